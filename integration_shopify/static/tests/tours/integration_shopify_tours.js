import { registry } from "@web/core/registry";

const tours = registry.category("web_tour.tours");
// Milliseconds a step may take on a machine that has other work.
const PATIENCE = 60000;

const SHOPIFY_PAGE = {
    content: "Open what Shopify says of the order",
    trigger: ".o_notebook a[name='shopify']",
    run: "click",
};

tours.add("integration_shopify_ship", {
    timeout: PATIENCE,
    steps: () => [
        SHOPIFY_PAGE,
        {
            content: "The ledger of the shop is booked in the invoice",
            trigger: "[name='shopify_agreement_ids'] tr:contains('Booked'):contains('INV')",
        },
        {
            content: "The money is there with its payment",
            trigger: "[name='shopify_transaction_ids'] tr.o_data_row:contains('30.00')",
        },
        {
            content: "Nothing was shipped or refunded, so nothing is said of it",
            trigger: ".o_form_view:not(:has([name='shopify_fulfillment_ids'], [name='shopify_refund_ids']))",
        },
        {
            content: "Ask why the order is as it is",
            trigger: "button[name='action_shopify_why']",
            run: "click",
        },
        {
            content: "What was done, and the rule that decided it",
            trigger: ".modal [name='shopify_why'] tr:contains('paid') a",
        },
        {
            content: "Close the trace",
            trigger: ".modal-footer button:contains('Close')",
            run: "click",
        },
        {
            content: "Open the delivery",
            trigger: "body:not(:has(.modal)) button[name='action_view_delivery']",
            run: "click",
        },
        {
            content: "Ship it",
            trigger: "button[name='button_validate']",
            run: "click",
        },
        {
            content: "It has left",
            trigger: ".o_statusbar_status .o_arrow_button_current:contains('Done')",
        },
    ],
});

tours.add("integration_shopify_refund", {
    timeout: PATIENCE,
    steps: () => [
        SHOPIFY_PAGE,
        {
            content: "The shop knows of the delivery",
            trigger: "[name='shopify_fulfillment_ids'] tr.o_data_row:contains('#1001-F1')",
        },
        {
            content: "What was shipped can only be taken back, not cancelled",
            trigger: ".o_form_view:not(:has(button[name='action_shopify_cancel']))",
        },
        {
            content: "One unit came back",
            trigger: "button[name='action_shopify_refund']",
            run: "click",
        },
        {
            content: "Go to the units",
            trigger: ".modal tr:contains('Line 1') td[name='quantity']",
            run: "click",
        },
        {
            content: "One of them",
            trigger: ".modal td[name='quantity'] input",
            run: "edit 1",
        },
        {
            content: "Say why",
            trigger: ".modal [name='note'] input",
            run: "edit Arrived damaged",
        },
        {
            content: "Ask Shopify for the amounts",
            trigger: ".modal button[name='action_compute']",
            run: "click",
        },
        {
            content: "It proposes the price of one unit; pay it back",
            trigger: ".modal:has([name='suggested']:contains('10.00')) button[name='action_refund']",
            run: "click",
        },
        {
            ...SHOPIFY_PAGE,
            trigger: "body:not(:has(.modal)) .o_notebook a[name='shopify']",
        },
        {
            content: "The refund is there with the goods and the credit note",
            trigger:
                "[name='shopify_refund_ids'] tr:contains('1 x'):contains('Done'):contains('RINV')",
        },
        {
            content: "The ledger has a second entry",
            trigger: "[name='shopify_agreement_ids'] tr:contains('Refund'):contains('RINV')",
        },
        {
            content: "Look at the documents",
            trigger: "button[name='action_view_invoice']",
            run: "click",
        },
        {
            content: "Open the credit note",
            trigger: ".o_list_view td[name='name']:contains('RINV')",
            run: "click",
        },
        {
            content: "It is about one unit",
            trigger: ".o_form_view .oe_subtotal_footer:contains('10.00')",
        },
    ],
});

tours.add("integration_shopify_automation", {
    timeout: PATIENCE,
    steps: () => [
        {
            content: "Open the automation of the backend",
            trigger: ".o_notebook a[name='shopify_automation']",
            run: "click",
        },
        {
            content: "Begin with the rules of most shops",
            trigger: "button[name='action_shopify_usual_rules']",
            run: "click",
        },
        {
            content: "They read as sentences",
            trigger: "[name='shopify_rule_ids'] td[name='then_text']:contains('when paid')",
        },
        {
            content: "Edit them as a table",
            trigger: ".o_form_view button:contains('Edit as Table')",
            run: "click",
        },
        {
            content: "Where the first rule holds",
            trigger: ".o_list_view tr.o_data_row:first td[name='channel']",
            run: "click",
        },
        {
            content: "Only in the web shop",
            trigger: ".o_list_view tr.o_selected_row td[name='channel'] input",
            run: "edit web",
        },
        {
            content: "Save the row",
            trigger: ".o_list_button_save",
            run: "click",
        },
        {
            content: "It is saved",
            trigger: ".o_list_view:not(:has(.o_selected_row)) td[name='channel']:contains('web')",
        },
    ],
});

tours.add("integration_shopify_release_hold", {
    timeout: PATIENCE,
    steps: () => [
        {
            content: "The order says that its deliveries wait, and why",
            trigger: ".alert-warning:contains('on hold')",
        },
        {
            content: "Nothing was paid, so nothing can be refunded, but it can be cancelled",
            trigger:
                ".o_form_view:not(:has(button[name='action_shopify_refund'])) button[name='action_shopify_cancel']",
        },
        {
            content: "Release them",
            trigger: "button[name='action_shopify_release_hold']",
            run: "click",
        },
        {
            content: "Yes",
            trigger: ".modal-footer .btn-primary",
            run: "click",
        },
        {
            content: "Nothing waits any more",
            trigger:
                "body:not(:has(.modal)) .o_form_view:not(:has(button[name='action_shopify_release_hold']))",
        },
        {
            content: "Who did it is remembered",
            trigger: "button[name='action_shopify_why']",
            run: "click",
        },
        {
            content: "With the reason it was held for",
            trigger: ".modal [name='shopify_why'] tr:contains('Hold released')",
        },
    ],
});

const SAVE = {
    content: "Save",
    trigger: ".o_form_button_save:visible",
    run: "click",
};

const switchOn = (flow) => ({
    content: `Switch on ${flow}`,
    trigger: `[name='flow_ids'] tr:contains('${flow}') td[name='enabled'] input:not(:checked)`,
    run: "click",
});

tours.add("integration_shopify_catalogue_on", {
    timeout: PATIENCE,
    steps: () => [
        {
            content: "Say where the stock of the shop is",
            trigger: ".o_notebook a[name='shopify_stock']",
            run: "click",
        },
        {
            content: "The shop has one location",
            trigger: "[name='shopify_location_ids'] tr:contains('Main') td[name='shopify_place_id']",
            run: "click",
        },
        {
            content: "Look for it in Odoo",
            trigger: "[name='shopify_location_ids'] .o_selected_row td[name='shopify_place_id'] input",
            run: "edit WH/Stock",
        },
        {
            content: "It is the stock of the warehouse",
            trigger: ".o-autocomplete--dropdown-item a:text('WH/Stock')",
            run: "click",
        },
        SAVE,
        {
            content: "To the flows",
            trigger: ".o_form_saved .o_notebook a[name='flows']",
            run: "click",
        },
        switchOn("Products (Out of Odoo)"),
        switchOn("Stock (Out of Odoo)"),
        SAVE,
        {
            content: "The page about stock no longer says that nothing is sent",
            trigger: ".o_form_saved .o_notebook a[name='shopify_stock']",
            run: "click",
        },
        {
            content: "It can all be sent",
            trigger:
                ".o_notebook .tab-pane.active:not(:has(.alert-info)) button[name='action_shopify_send_stock']",
        },
    ],
});

tours.add("integration_shopify_publish", {
    timeout: PATIENCE,
    steps: () => [
        SHOPIFY_PAGE,
        {
            content: "It is in no shop",
            trigger: "[name='shopify_listing_ids']:not(:has(.o_data_row))",
        },
        {
            content: "Publish it",
            trigger: "button[name='action_shopify_publish']",
            run: "click",
        },
        {
            content: "It is on its way to the only shop there is; do not wait for it",
            trigger:
                "[name='shopify_listing_ids'] tr:contains('Demo shop'):contains('Waiting') button[name='action_send']",
            run: "click",
        },
        {
            content: "It is in the shop, with a link to it",
            trigger:
                "[name='shopify_listing_ids'] tr:contains('Up to Date') a[href^='https://admin.shopify.com/']",
        },
        {
            content: "The smart button says the same",
            trigger: "button[name='action_open_integration_operations']:contains('Up to Date')",
        },
    ],
});

tours.add("integration_shopify_reprice", {
    timeout: PATIENCE,
    steps: () => [
        {
            content: "What is offered in the shop",
            trigger: "button[name='action_shopify_levels']:contains('16')",
        },
        {
            content: "Make it cheaper",
            trigger: ".o_field_widget[name='list_price'] input",
            run: "edit 24.90",
        },
        SAVE,
        {
            content: "It is saved",
            trigger: ".o_form_saved .o_field_widget[name='list_price']",
        },
    ],
});

tours.add("integration_shopify_sell_last", {
    timeout: PATIENCE,
    steps: () => [
        {
            content: "Sell the last piece",
            trigger: "button[name='action_confirm']",
            run: "click",
        },
        {
            content: "Open the delivery",
            trigger: "button[name='action_view_delivery']",
            run: "click",
        },
        {
            content: "Ship it",
            trigger: "button[name='button_validate']",
            run: "click",
        },
        {
            content: "It has left",
            trigger: ".o_statusbar_status .o_arrow_button_current:contains('Done')",
        },
    ],
});

tours.add("integration_shopify_sold_out", {
    timeout: PATIENCE,
    steps: () => [
        {
            content: "Price and stock have got to the shop",
            trigger: "button[name='action_open_integration_operations']:contains('Up to Date')",
        },
        {
            content: "One piece less is offered; look at the sizes",
            trigger: "button[name='action_shopify_levels']:contains('15')",
            run: "click",
        },
        {
            content: "Of the first nothing is left, on either side",
            trigger:
                ".o_list_view tr:contains('LS-S-Red'):has(td[name='present_quantity']:text('0')):has(td[name='confirmed_quantity']:text('0'))",
        },
        {
            content: "Of the others there is",
            trigger: ".o_list_view tr:contains('LS-M-Red') td[name='confirmed_quantity']:text('5')",
        },
    ],
});
