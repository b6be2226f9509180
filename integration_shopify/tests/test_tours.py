import base64

from odoo.fields import Command
from odoo.tests import new_test_user, tagged

from odoo.addons.integration_base.lib.records import Change
from odoo.addons.integration_base.tests.common import TourCase

from .common import (
    ShopifyCase,
    agreement,
    agreements,
    line,
    money,
    order,
    refund,
    sale,
    transaction,
)
from .test_products_out import BLUE, RED, ProductsOutCase
from .test_refunds import RefundingShop
from .test_shipments import BERLIN, ShippingShop

BACK = "2026-11-21T10:00:00Z"


class Shop(RefundingShop, ShippingShop):
    """A shop that ships and refunds the one order it has."""

    def _fulfillment_create(self, variables):
        return {"fulfillmentCreate": {**super()._fulfillment_create(variables), "userErrors": []}}

    def _refund_create(self, variables):
        answer = super()._refund_create(variables)
        (made,) = self.refunds
        back = sale(2, "PRODUCT", "-10.0", quantity=-1, action="RETURN", line=1)
        payload = {
            **self.payload,
            "updatedAt": "2026-11-21T10:00:00Z",
            "displayFinancialStatus": "PARTIALLY_REFUNDED",
            "currentTotalPriceSet": money("20.0"),
            "agreements": agreements(
                *self.payload["agreements"]["nodes"],
                agreement(2, [back], "REFUND", BACK, refund={"id": made["id"]}),
            ),
            "refunds": [
                refund(
                    1,
                    "10.0",
                    lines=[(1, 1, "RETURN")],
                    at=BACK,
                    id=made["id"],
                    note=made["note"],
                )
            ],
            "transactions": [
                *self.payload["transactions"],
                transaction(2, "REFUND", "10.0", at=BACK),
            ],
        }
        payload["lineItems"]["nodes"][0]["currentQuantity"] = 2
        self.put(payload)
        return answer


@tagged("post_install", "-at_install")
class TestTours(ShopifyCase, TourCase):
    """The life of an order, in a browser, by people with just the roles for it."""

    def rule(self, **vals):
        return self.env["integration.shopify.rule"].create({"backend_id": self.backend.id, **vals})

    def tour(self, name, record, login):
        self.env.flush_all()
        self.start_tour(f"/odoo/{record._name}/{record.id}", name, login=login)
        self.env.invalidate_all()

    def send_shipment(self):
        """Do what the job runner does some seconds after a delivery."""
        flow = self.backend.flow_ids.filtered(lambda flow: flow.resource == "shipment")
        self.env.cr.execute(
            "UPDATE integration_sync_log SET next_attempt_at = create_date WHERE state = 'pending'"
        )
        with self.enter_registry_test_mode():
            self.env["integration.engine"]._drain(flow.id)
        self.env.invalidate_all()
        operations = self.env["integration.sync.log"].search([("flow_id", "=", flow.id)])
        self.assertEqual(set(operations.mapped("state")), {"done"}, operations.mapped("message"))

    def test_shipped_then_returned_in_part(self):
        new_test_user(
            self.env,
            "shop-clerk",
            groups="base.group_user,sales_team.group_sale_manager,stock.group_stock_user,"
            "account.group_account_invoice",
        )
        journal = self.env["account.journal"].search(
            [("type", "=", "bank"), ("company_id", "=", self.company.id)], limit=1
        )
        self.rule(invoice="paid", register_payment="register", journal_id=journal.id)
        stock = self.env["stock.warehouse"].search([("company_id", "=", self.company.id)], limit=1)
        self.env["stock.quant"]._update_available_quantity(self.product, stock.lot_stock_id, 10)
        payload = order(
            1001,
            [line(1, "10.0", 3)],
            "30.0",
            transactions=[transaction(1, "SALE", "30.0")],
            agreements=agreements(agreement(1, [sale(1, "PRODUCT", "30.0", quantity=3, line=1)])),
        )
        self.shop = Shop(payload)
        self.shop.plan(payload, (BERLIN, {1: 3}))
        sold = self.import_one(payload)
        self.tour("integration_shopify_ship", sold, "shop-clerk")
        self.assertEqual(sold.picking_ids.state, "done")
        self.send_shipment()
        self.assertEqual([row["name"] for row in self.shop.fulfillments()], ["#1001-F1"])
        self.import_one(payload)
        self.tour("integration_shopify_refund", sold, "shop-clerk")
        self.assertEqual(len(self.shop.refunds), 1)
        self.assertEqual(sold.order_line.qty_delivered, 2)
        self.assertEqual(sold.amount_total, 20)
        invoice, note = sold.invoice_ids.sorted("id")
        self.assertEqual((invoice.amount_total, note.amount_total), (30, 10))
        self.assertEqual(note.reversed_entry_id, invoice)
        self.assertEqual(
            set((invoice | note).mapped("payment_state")) - {"paid", "in_payment"}, set()
        )
        self.assertEqual(
            sold.shopify_refund_ids.picking_ids, sold.picking_ids.filtered("return_id")
        )

    def test_usual_rules_in_a_table(self):
        new_test_user(
            self.env,
            "integration-manager",
            groups="base.group_user,integration_base.group_integration_manager",
        )
        self.tour("integration_shopify_automation", self.backend, "integration-manager")
        self.assertEqual(self.backend.shopify_rule_ids.sorted()[:1].channel, "web")

    def test_hold_released_by_a_salesperson(self):
        new_test_user(self.env, "seller", groups="base.group_user,sales_team.group_sale_manager")
        self.rule(hold="hold")
        sold = self.import_one(
            order(1001, [line(1, "10.0")], "10.0", displayFinancialStatus="AUTHORIZED")
        )
        self.assertTrue(sold.shopify_hold)
        self.tour("integration_shopify_release_hold", sold, "seller")
        self.assertFalse(sold.shopify_hold)


@tagged("post_install", "-at_install")
class TestCatalogueTours(ProductsOutCase, TourCase):
    """The life of a product in a simulated shop, by people with just the roles for it."""

    # a page that scrolls closes lists of choices, a narrow one hides smart buttons
    browser_size = "1920x1800"

    def setUp(self):
        super().setUp()
        self.out.enabled = False
        self.stock = self.backend._shopify_stock_flow()
        self.stock.debounce_seconds = 0
        settings = self.backend.flow_ids.filtered(lambda flow: flow.resource == "setting")
        # which reads itself when a shop is connected
        self.env["integration.sync.log"]._append(settings, [Change("location")], "poll")
        self.send(settings)

    def tour(self, name, record, login):
        self.env.flush_all()
        self.start_tour(f"/odoo/{record._name}/{record.id}", name, login=login)
        self.env.invalidate_all()

    def test_published_repriced_and_sold_out(self):
        new_test_user(
            self.env,
            "shop-owner",
            groups="base.group_user,integration_base.group_integration_manager,"
            "stock.group_stock_multi_locations",
        )
        new_test_user(
            self.env,
            "shop-clerk",
            groups="base.group_user,product.group_product_manager,"
            "sales_team.group_sale_manager,stock.group_stock_user,"
            "integration_base.group_integration_user",
        )
        warehouse = self.env["stock.warehouse"].search(
            [("company_id", "=", self.company.id)], limit=1
        )
        shirt = self.template(image_1920=base64.b64encode(RED))
        variants = shirt.product_variant_ids.sorted("id")
        last = variants[0]
        last.image_variant_1920 = base64.b64encode(BLUE)
        for variant, units in zip(variants, (1, 5, 5, 5), strict=True):
            self.env["stock.quant"]._update_available_quantity(
                variant, warehouse.lot_stock_id, units
            )

        self.tour("integration_shopify_catalogue_on", self.backend, "shop-owner")
        self.assertTrue(self.out.enabled and self.stock.enabled)

        self.tour("integration_shopify_publish", shirt, "shop-clerk")
        made = self.of(shirt)
        self.assertEqual((made.title, made.status), ("Linen Shirt", "ACTIVE"))
        self.assertEqual([option.name for option in made.options], ["Size", "Colour"])
        self.assertEqual(
            [variant.sku for variant in made.variants], variants.mapped("default_code")
        )
        self.assertEqual({str(variant.price) for variant in made.variants}, {"30.00"})
        self.assertEqual(len(made.media), 2)
        sold = next(variant for variant in made.variants if variant.sku == last.default_code)
        self.assertTrue(sold.media, "the variant shows a picture of its own")

        self.send(self.stock)
        self.assertEqual([variant.available for variant in made.variants], [1, 5, 5, 5])

        self.tour("integration_shopify_reprice", shirt, "shop-clerk")
        self.send()
        self.assertEqual({str(variant.price) for variant in made.variants}, {"24.90"})

        sale = self.env["sale.order"].create(
            {
                "partner_id": self.env["res.partner"].create({"name": "Ada"}).id,
                "order_line": [Command.create({"product_id": last.id, "product_uom_qty": 1})],
            }
        )
        self.tour("integration_shopify_sell_last", sale, "shop-clerk")
        self.assertEqual(sale.picking_ids.state, "done")
        self.send(self.stock)
        self.assertEqual(sold.available, 0)
        self.assertEqual([variant.available for variant in made.variants], [0, 5, 5, 5])
        self.tour("integration_shopify_sold_out", shirt, "shop-clerk")
