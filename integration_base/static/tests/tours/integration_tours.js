import { registry } from "@web/core/registry";
import { stepUtils } from "@web_tour/tour_utils";

const tours = registry.category("web_tour.tours");
// Milliseconds a step may take on a machine that has other work.
const PATIENCE = 60000;

tours.add("integration_connect_from_here", {
    timeout: PATIENCE,
    steps: () => [
        {
            content: "The form says that nothing is called from this copy",
            trigger: ".alert-danger:contains('This database is a copy.')",
        },
        {
            content: "Take over",
            trigger: ".alert-danger button[name='action_connect_here']",
            run: "click",
        },
        {
            content: "The original has to be off",
            trigger: ".modal:contains('switched off?') .modal-footer .btn-primary",
            run: "click",
        },
        {
            content: "It is connected",
            trigger: ".o_form_view:not(:has(.alert-danger)) .o_arrow_button_current:contains('Connected')",
        },
    ],
});

tours.add("integration_connect_backend", {
    timeout: PATIENCE,
    url: "/odoo/integrations",
    steps: () => [
        {
            content: "Start a new backend from the dashboard",
            trigger: ".o-kanban-button-new",
            run: "click",
        },
        {
            content: "Nothing but the service is asked for at first",
            trigger: ".o_form_view:not(:has(.o_notebook, [name='base_url']))",
        },
        {
            content: "Choose the service",
            trigger: ".o_field_widget[name='connector'] label:contains('Fake Service')",
            run: "click",
        },
        {
            content: "Name it",
            trigger: ".o_field_widget[name='name'] input",
            run: "edit Second Shop",
        },
        {
            content: "Type its address",
            trigger: ".o_field_widget[name='base_url'] input",
            run: "edit https://second.example.com",
        },
        ...stepUtils.saveForm(),
        {
            content: "The form says what to do next",
            trigger: ".alert-info:contains('Test Connection')",
        },
        {
            content: "The flows of the service are there",
            trigger: "[name='flow_ids'] td[name='name']:contains('Contacts')",
        },
        {
            content: "Open the credentials",
            trigger: ".o_notebook a[name='credentials']",
            run: "click",
        },
        {
            content: "The secret is missing",
            trigger: "[name='credential_ids'] td[name='status']:contains('Missing')",
        },
        {
            content: "Go into its cell",
            trigger: "[name='credential_ids'] td[name='value']",
            run: "click",
        },
        {
            content: "Type the secret; it is not shown",
            trigger: "[name='credential_ids'] td[name='value'] input[type='password']",
            run: "edit tour-secret",
        },
        {
            content: "Test the connection",
            trigger: "button[name='action_test_connection']",
            run: "click",
        },
        {
            content: "It is connected",
            trigger: ".o_statusbar_status .o_arrow_button_current:contains('Connected')",
        },
        {
            content: "Back to the credentials",
            trigger: ".o_notebook a[name='credentials']",
            run: "click",
        },
        {
            content: "The secret is stored",
            trigger: "[name='credential_ids'] td[name='status']:contains('Stored')",
        },
        {
            content: "And cannot be read any more",
            trigger: "[name='credential_ids'] td[name='value']:not(:contains('tour-secret'))",
        },
    ],
});

tours.add("integration_set_aside", {
    timeout: PATIENCE,
    url: "/odoo/failed-operations",
    steps: () => [
        {
            content: "Open the failed operation",
            trigger: "td[name='display_name']:contains('#1001')",
            run: "click",
        },
        {
            content: "Its text comes first",
            trigger: ".alert-danger:contains('No product has the SKU MUG-OLD')",
        },
        {
            content: "Set it aside",
            trigger: "button[name='action_set_aside']",
            run: "click",
        },
        {
            content: "Say why",
            trigger: ".modal [name='reason'] textarea",
            run: "edit Delivered by hand",
        },
        {
            content: "Confirm",
            trigger: ".modal button[name='action_confirm']",
            run: "click",
        },
        {
            content: "The form shows the reason",
            trigger: ".alert-secondary:contains('Delivered by hand')",
        },
        {
            content: "Back to the review",
            trigger: ".o_breadcrumb .o_back_button",
            run: "click",
        },
        {
            content: "Nothing is left",
            trigger: ".o_nocontent_help:contains('Nothing failed')",
        },
    ],
});

tours.add("integration_map_value", {
    timeout: PATIENCE,
    url: "/odoo/failed-operations",
    steps: () => [
        {
            content: "Open the operation that misses a value",
            trigger: "td[name='display_name']:contains('Ada')",
            run: "click",
        },
        {
            content: "The missing value is listed; say what it is",
            trigger: "[name='missing_mapping_ids'] tr:contains('Freedonia') button[name='action_choose']",
            run: "click",
        },
        {
            content: "Search the country",
            trigger: ".modal [name='res_id'] input",
            run: "edit Belgium",
        },
        {
            content: "Choose it",
            trigger: ".modal .dropdown-item:contains('Belgium')",
            run: "click",
        },
        {
            content: "Save",
            trigger: ".modal button:contains('Save')",
            run: "click",
        },
        {
            content: "The operation goes on by itself",
            trigger: ".o_statusbar_status .o_arrow_button_current:contains('Waiting')",
        },
    ],
});

tours.add("integration_review_incident", {
    timeout: PATIENCE,
    url: "/odoo/integration-incidents",
    steps: () => [
        {
            content: "One row for all equal failures, with their number and what to do",
            trigger: "tr:has(td[name='count']:contains('3')) td[name='message']:contains('SKU')",
            run: "click",
        },
        {
            content: "It says what to do",
            trigger: ".alert-danger [name='advice']:contains('Retry All')",
        },
        {
            content: "Look at the operations behind it",
            trigger: "button[name='action_open_operations']",
            run: "click",
        },
        {
            content: "All of them are there",
            trigger: ".o_list_view tr.o_data_row:nth-of-type(3)",
        },
        {
            content: "Back to the incident",
            trigger: ".o_breadcrumb .o_back_button",
            run: "click",
        },
        {
            content: "Nobody needs them",
            trigger: "button[name='action_set_aside_all']",
            run: "click",
        },
        {
            content: "They are named",
            trigger: ".modal [name='operation_names']:contains('#1001')",
        },
        {
            content: "Say why",
            trigger: ".modal [name='reason'] textarea",
            run: "edit Test orders",
        },
        {
            content: "Confirm",
            trigger: ".modal button[name='action_confirm']",
            run: "click",
        },
        {
            content: "The incident is over by itself",
            trigger: ".o_statusbar_status .o_arrow_button_current:contains('Closed')",
        },
    ],
});

tours.add("integration_edit_payload", {
    timeout: PATIENCE,
    url: "/odoo/failed-operations",
    steps: () => [
        {
            content: "Open the operation whose data is wrong",
            trigger: "td[name='display_name']:contains('Ada')",
            run: "click",
        },
        {
            content: "Edit its data",
            trigger: "button[name='action_edit_payload']",
            run: "click",
        },
        {
            content: "The data is there to edit",
            trigger: ".modal .ace_editor:contains('blue')",
            run({ anchor }) {
                const editor = window.ace.edit(anchor);
                editor.setValue(editor.getValue().replace('"blue"', "4"));
            },
        },
        {
            content: "Say why",
            trigger: ".modal [name='reason'] textarea",
            run: "edit The colour is a number",
        },
        {
            content: "Try it",
            trigger: ".modal button[name='action_retry']",
            run: "click",
        },
        {
            content: "The edit stays visible",
            trigger: ".o_notebook a[name='edits']",
            run: "click",
        },
        {
            content: "With what was changed",
            trigger: "[name='edit_diff'] .text-danger:contains('blue')",
        },
    ],
});

tours.add("integration_forget_a_person", {
    timeout: PATIENCE,
    url: "/odoo/privacy-requests",
    steps: () => [
        {
            content: "Open the menu",
            trigger: "button[data-menu-xmlid='integration_base.integration_menu_privacy']",
            run: "click",
        },
        {
            content: "Find a person",
            trigger:
                "[data-menu-xmlid='integration_base.integration_menu_privacy_lookup']",
            run: "click",
        },
        {
            content: "Type an e-mail address",
            trigger: ".modal .o_field_widget[name='email'] input",
            run: "edit ada@example.com",
        },
        {
            content: "See what is kept",
            trigger: ".modal button[name='action_look']",
            run: "click",
        },
        {
            content: "One notification is",
            trigger: ".modal .o_field_widget[name='found']:contains('Webhook Event: 1')",
        },
        {
            content: "Erase it",
            trigger: ".modal button[name='action_erase']",
            run: "click",
        },
        {
            content: "Yes",
            trigger: ".modal .modal-footer button.btn-primary:contains('Ok')",
            run: "click",
        },
        {
            content: "It is done, and the request says what was",
            trigger: ".o_form_view .o_statusbar_status .o_arrow_button_current:contains('Done')",
        },
        {
            content: "How many rows were concerned",
            trigger: ".o_field_widget[name='counts_text']:contains('Webhook Event: 1')",
        },
    ],
});
