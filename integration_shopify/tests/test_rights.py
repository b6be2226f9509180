"""What this addon adds to Odoo's own models is cheap and in nobody's way."""

from odoo.exceptions import AccessError
from odoo.tests import new_test_user, tagged
from odoo.tools import mute_logger

from .test_shipments import ShippingCase

STOCK = "stock.group_stock_user"
SALES = "sales_team.group_sale_salesman"
INVOICING = "account.group_account_invoice"
#: What Shopify says of an order; all of it is money or goods of a customer.
BOOKS = ("agreement", "transaction", "refund", "refund.line", "return", "fulfillment")


@tagged("post_install", "-at_install")
class TestRights(ShippingCase):
    def user(self, groups, login="somebody"):
        return new_test_user(self.env, login, groups=f"base.group_user,{groups}")

    def plain_order(self, count=1, **values):
        """Return a confirmed order of ``count`` lines that Shopify knows nothing of."""
        sale = self.env["sale.order"].create(
            {
                "partner_id": self.env["res.partner"].create({"name": "Plain"}).id,
                "order_line": [
                    (0, 0, {"product_id": self.product.id, "product_uom_qty": 1})
                    for _number in range(count)
                ],
                **values,
            }
        )
        sale.action_confirm()
        return sale

    def receipt(self):
        kind = self.env["stock.warehouse"].search([("company_id", "=", self.company.id)], limit=1)
        return self.env["stock.picking"].create(
            {
                "picking_type_id": kind.in_type_id.id,
                "location_id": self.env.ref("stock.stock_location_suppliers").id,
                "location_dest_id": kind.lot_stock_id.id,
            }
        )

    def read_form(self, record, user):
        """Read what the form of Shopify's fields reads, as the browser does."""
        own = record.with_user(user)
        fields = own.get_views([(False, "form")])["models"][own._name]["fields"]
        names = [name for name in fields if name.startswith("shopify_")]
        self.env.invalidate_all()
        return own.web_read({name: {} for name in names})[0]

    # === FORMS === #

    def test_transfers_open_without_any_right_in_shopify(self):
        """Invoicing may read transfers, not what Shopify says of their shipments."""
        found = self.read_form(self.receipt(), self.user(INVOICING))
        self.assertFalse(found["shopify_is_shipped"])
        self.assertNotIn("shopify_fulfillment_ids", found)

    def test_orders_open_for_whoever_odoo_lets_read_them(self):
        sale = self.plain_order()
        sale.user_id = False
        for login, groups in (("packer", STOCK), ("clerk", INVOICING), ("seller", SALES)):
            with self.subTest(groups):
                found = self.read_form(sale, self.user(groups, login))
                self.assertEqual("shopify_agreement_ids" in found, groups == SALES)
                self.assertEqual("shopify_fulfillment_ids" in found, groups != INVOICING)
                self.assertEqual("shopify_transaction_ids" in found, groups != STOCK)

    def test_packer_reads_a_delivery(self):
        _payload, sale = self.sell()
        self.deliver(sale.picking_ids)
        found = self.read_form(sale.picking_ids, self.user(STOCK))
        self.assertTrue(found["shopify_is_shipped"])
        self.assertEqual(found["shopify_fulfillment_ids"], [])

    # === DELIVERIES === #

    def test_delivery_of_a_colleagues_order(self):
        clerk = self.user(f"{STOCK},{SALES}")
        _payload, sold = self.sell()
        for sale in (sold, self.plain_order()):
            sale.user_id = self.env.user
            self.env.flush_all()
            self.env.invalidate_all()
            with self.assertRaises(AccessError):
                sale.with_user(clerk).read(["name"])
            picking = sale.picking_ids.with_user(clerk)
            picking.carrier_tracking_ref = "1Z1"
            self.deliver(picking)
            picking.carrier_tracking_ref = "1Z2"
            self.assertEqual(picking.state, "done")
            self.assertEqual(picking.shopify_is_shipped, sale == sold)
        self.push()
        (made,) = self.shop.fulfillments()
        self.assertEqual([row["number"] for row in made["trackingInfo"]], ["1Z2"])

    # === ORDER LINES === #

    def test_amounts_of_lines_for_whoever_reads_the_order(self):
        _payload, sale = self.sell()
        names = ["qty_to_invoice", "qty_invoiced", "invoice_status", "qty_invoiced_at_date"]
        portal = new_test_user(self.env, "buyer", groups="base.group_portal")
        sale.partner_id = portal.partner_id
        seller = self.user(SALES, "seller")
        sale.user_id = seller
        for user in (seller, self.user(INVOICING, "clerk"), portal):
            lines = sale.order_line
            for name in names[:3]:
                self.env.add_to_compute(lines._fields[name], lines)
            self.env.invalidate_all(flush=False)
            with self.subTest(user.login):
                rows = lines.with_user(user).read(names)
                self.assertEqual(rows, lines.sudo().read(names))

    # === QUERIES === #

    def test_plain_records_cost_no_queries_each(self):
        """As many queries for twenty as for two."""

        def deliveries(count):
            records = self.env["stock.picking"]
            for _number in range(count):
                records |= self.plain_order().picking_ids
            names = ["shopify_is_shipped", "shopify_is_covered", "shopify_is_cancellable"]
            return lambda: (records.read([*names, "shopify_hold"]), records._shopify_enqueue())

        def lines(count):
            records = self.env["sale.order.line"]
            for _number in range(count):
                records |= self.plain_order().order_line

            def compute():
                records._prepare_qty_invoiced()
                records._compute_qty_to_invoice()
                records._compute_invoice_status()

            return compute

        def invoices(count):
            records = self.env["account.move"].create(
                [{"move_type": "in_invoice", "partner_id": self.env.user.partner_id.id}] * count
            )
            return lambda: records.read(["shopify_can_refund"])

        for make in (deliveries, lines, invoices):
            counts = []
            for count in (2, 20):
                run = make(count)
                self.env.flush_all()
                self.env.invalidate_all()
                before = self.env.cr.sql_log_count
                run()
                counts.append(self.env.cr.sql_log_count - before)
            self.assertEqual(*counts, make.__name__)

    # === RECORDS === #

    @mute_logger("odoo.addons.base.models.ir_rule")
    def test_own_documents(self):
        """Who sees the orders of their own only sees their own money only."""
        sale = self.plain_order(user_id=self.env.user.id)
        rows = self.books(sale)
        seller = self.user(SALES, "seller")
        reader = self.user(f"{SALES},integration_base.group_integration_user", "reader")
        seeing = [
            self.user(groups, login)
            for login, groups in (
                ("leader", "sales_team.group_sale_salesman_all_leads"),
                ("accountant", f"{SALES},account.group_account_readonly"),
                ("operator", f"{SALES},integration_base.group_integration_operator"),
                ("auditor", f"{SALES},integration_base.group_integration_auditor"),
                ("looker", "integration_base.group_integration_user"),
            )
        ]
        for row in rows:
            with self.subTest(row._name):
                for user in (seller, reader):
                    self.assertFalse(row.with_user(user).search([]) & row)
                    with self.assertRaises(AccessError):
                        row.with_user(user).read(["company_id"])
                for user in seeing:
                    self.assertIn(row, row.with_user(user).search([]), user.login)
        for owner in (seller, self.env["res.users"]):
            sale.user_id = owner
            for row in rows:
                self.assertIn(row, row.with_user(seller).search([]))
        packer = self.user(f"{SALES},{STOCK}", "packer")
        sale.user_id = self.env.user
        fulfillment = rows[-1]
        self.assertIn(fulfillment, fulfillment.with_user(packer).search([]))

    def books(self, sale):
        """Return a row of each model of :data:`BOOKS` for an order."""
        rows = []
        for name in BOOKS:
            Model = self.env[f"integration.shopify.{name}"].sudo()
            values = {
                "order_id": sale.id,
                "backend_id": self.backend.id,
                "external_id": name,
                "company_id": self.company.id,
                "currency_id": self.usd.id,
                "reason": "ORDER",
                "kind": "SALE",
                "status": "SUCCESS",
                "happened_at": sale.date_order,
                "processed_at": sale.date_order,
                "shopify_line_id": "1",
                "refund_id": next((row.id for row in rows if row._name.endswith("refund")), 0),
            }
            rows.append(
                Model.create({key: values[key] for key in values.keys() & Model._fields.keys()})
            )
        return rows
