from unittest.mock import patch

from odoo.fields import Command

from .common import ShopifyCase, address, fixture, line, order, shipping, tax


def later(payload, minute=5, **changes):
    """Return the order as it is some minutes later."""
    return {**payload, "updatedAt": f"2026-11-20T10:{minute:02}:00Z", **changes}


class TestOrderUpdate(ShopifyCase):
    """Orders that changed in Shopify change in Odoo, as long as nothing went out."""

    def setUp(self):
        super().setUp()
        self.payload = order(
            1,
            [
                line(1, "100.0", 2, taxes=[tax("HST", 0.13, "26.0")]),
                line(2, "10.0", taxes=[tax("HST", 0.13, "1.3")]),
            ],
            "242.3",
            "27.3",
            shipping_lines=[shipping(1, "5.0")],
        )

    def reduced(self, **changes):
        nodes = [{**self.payload["lineItems"]["nodes"][0], "currentQuantity": 1}]
        nodes += self.payload["lineItems"]["nodes"][1:]
        return later(
            self.payload,
            lineItems={"nodes": nodes, "pageInfo": {"hasNextPage": False, "endCursor": None}},
            currentTotalPriceSet={"money": {"amount": "129.3"}},
            currentTotalTaxSet={"money": {"amount": "14.3"}},
            **changes,
        )

    def deliver(self, sale):
        for move in sale.picking_ids.move_ids:
            move.quantity = move.product_uom_qty
            move.picked = True
        sale.picking_ids.button_validate()

    def test_unchanged_order_is_not_written(self):
        sale = self.import_one(self.payload)
        operation = self.drain(later(self.payload))
        self.assertEqual((operation.state, operation.message), ("done", "Unchanged."))
        self.assertEqual(len(self.env["sale.order"].search([("origin", "=", "#1")])), 1)
        self.assertEqual(sale.order_line.mapped("shopify_line_id")[0], "gid://shopify/LineItem/1")

    def test_older_version_changes_nothing(self):
        sale = self.import_one(later(self.payload))
        operation = self.drain({**self.payload, "note": "old"})
        self.assertEqual(operation.state, "skipped")
        self.assertFalse(sale.note)

    def test_many_changed_lines_change_the_delivery_once(self):
        """Line by line, a refund of 300 of 600 lines took longer than a worker may work."""
        lines = [line(number, "10.0", 3) for number in range(1, 31)]
        sale = self.import_one(order(2, lines, "900.0"))
        present = [{**row, "currentQuantity": 1} for row in lines[:20]] + lines[20:]
        nodes = [*present, line(31, "10.0", 2)]
        runs = []
        launch = type(self.env["sale.order.line"])._action_launch_stock_rule

        def counted(lines, **options):
            if not lines.env.context.get("skip_procurement"):
                runs.append(len(lines))
            return launch(lines, **options)

        with patch.object(type(self.env["sale.order.line"]), "_action_launch_stock_rule", counted):
            self.import_one(later(order(2, nodes, "520.0")))
        self.assertEqual(runs, [21])
        self.assertEqual(len(sale.picking_ids), 1)
        self.assertEqual(sum(sale.picking_ids.move_ids.mapped("product_uom_qty")), 52)
        self.assertEqual(
            sorted(sale.picking_ids.move_ids.mapped("product_uom_qty")), [1] * 20 + [2] + [3] * 10
        )

    def test_reduced_quantity(self):
        sale = self.import_one(self.payload)
        self.assertTotals(sale, 215, 27.3, 242.3)
        untouched = sale.order_line[1:].mapped("write_date")
        self.import_one(self.reduced())
        self.assertTotals(sale, 115, 14.3, 129.3)
        self.assertEqual(sale.order_line[0].product_uom_qty, 1)
        moves = sale.picking_ids.move_ids.filtered(lambda m: m.state != "cancel")
        self.assertEqual(sum(moves.mapped("product_uom_qty")), 2)
        self.assertEqual(sale.order_line[1:].mapped("write_date"), untouched)

    def test_added_and_removed_line(self):
        payload = fixture("edited_item_added")
        both = payload["lineItems"]["nodes"]
        page = {"hasNextPage": False, "endCursor": None}
        first = {
            **payload,
            "lineItems": {"nodes": both[:1], "pageInfo": page},
            "currentTotalPriceSet": {"money": {"amount": "10.0"}},
        }
        sale = self.import_one(first)
        self.import_one(later(payload))
        self.assertTotals(sale, 15, 0, 15)
        self.assertEqual(len(sale.order_line), 2)
        gone = {**both[0], "currentQuantity": 0}
        self.import_one(
            later(
                payload,
                6,
                lineItems={"nodes": [gone, both[1]], "pageInfo": page},
                currentTotalPriceSet={"money": {"amount": "5.0"}},
            )
        )
        self.assertTotals(sale, 5, 0, 5)
        self.assertEqual(sale.order_line.mapped("product_uom_qty"), [0, 1])

    def test_header_of_a_delivered_order(self):
        sale = self.import_one(self.payload)
        self.deliver(sale)
        sale.tag_ids = [Command.create({"name": "by hand"})]
        self.import_one(later(self.payload, note="Thanks", tags=["vip"]))
        self.assertIn("Thanks", sale.note)
        self.assertEqual(set(sale.tag_ids.mapped("name")), {"by hand", "vip"})

    def test_reduced_after_delivery(self):
        sale = self.import_one(self.payload)
        self.deliver(sale)
        self.import_one(self.reduced())
        self.assertTotals(sale, 115, 14.3, 129.3)
        # two are with the buyer, whatever is charged for them
        self.assertEqual(sale.order_line[0].product_uom_qty, 2)
        self.assertEqual(sale.order_line[0].price_subtotal, 100)

    def test_reduced_after_an_invoice_by_hand(self):
        sale = self.import_one(self.payload)
        invoice = sale._create_invoices()
        invoice.action_post()
        self.import_one(self.reduced())
        self.assertTotals(sale, 115, 14.3, 129.3)
        self.assertEqual(sale.activity_ids.mapped("summary"), ["Make a credit note"])
        self.assertEqual(invoice.amount_total, 242.3)

    def test_cancelled(self):
        sale = self.import_one(self.payload)
        cancelled = later(
            self.payload,
            cancelledAt="2026-11-20T10:05:00Z",
            cancelReason="CUSTOMER",
            currentTotalPriceSet={"money": {"amount": "0.0"}},
            currentTotalTaxSet={"money": {"amount": "0.0"}},
        )
        self.import_one(cancelled)
        self.assertEqual(sale.state, "cancel")
        self.assertEqual(set(sale.picking_ids.mapped("state")), {"cancel"})
        self.import_one({**cancelled, "updatedAt": "2026-11-20T10:09:00Z", "note": "again"})
        self.assertEqual(sale.state, "cancel")

    def test_cancelled_after_delivery(self):
        sale = self.import_one(self.payload)
        self.deliver(sale)
        operation = self.drain(later(self.payload, cancelledAt="2026-11-20T10:05:00Z"))
        self.assertEqual(operation.state, "done")
        self.assertIn("after a part", operation.message)
        self.assertEqual(sale.state, "sale")

    def test_cancelled_by_hand_in_odoo(self):
        sale = self.import_one(self.payload)
        sale.action_cancel()
        operation = self.drain(self.reduced(note="new"))
        self.assertEqual(operation.state, "done")
        self.assertIn("cancelled in Odoo", operation.message)
        self.assertEqual(sale.state, "cancel")

    def test_locked_order(self):
        sale = self.import_one(self.payload)
        sale.action_lock()
        self.import_one(self.reduced())
        self.assertTotals(sale, 115, 14.3, 129.3)
        self.assertTrue(sale.locked)

    def test_new_delivery_address(self):
        sale = self.import_one(self.payload)
        self.import_one(
            later(self.payload, shippingAddress=address(address1="Neuer Weg 2", zip="10117"))
        )
        self.assertEqual(sale.partner_shipping_id.street, "Neuer Weg 2")
        self.assertEqual(sale.partner_shipping_id.parent_id, sale.partner_id)
        self.assertEqual(sale.picking_ids.partner_id, sale.partner_shipping_id)

    def test_line_added_by_hand_stays(self):
        sale = self.import_one(self.payload)
        sale.order_line = [
            Command.create({"product_id": self._product("EXTRA").id, "price_unit": 3})
        ]
        self.import_one(self.reduced())
        self.assertEqual(len(sale.order_line), 4)
        self.assertEqual(sale.order_line[0].product_uom_qty, 1)

    def test_refunded_shipping(self):
        sale = self.import_one(self.payload)
        refunded = [shipping(1, "5.0", current="0.0")]
        self.import_one(
            later(
                self.payload,
                shippingLines={
                    "nodes": refunded,
                    "pageInfo": {"hasNextPage": False, "endCursor": None},
                },
                currentTotalPriceSet={"money": {"amount": "237.3"}},
            )
        )
        self.assertTotals(sale, 210, 27.3, 237.3)

    def test_product_that_lost_its_sku(self):
        """The line knows its product; only new lines have to be found."""
        sale = self.import_one(self.payload)
        self.product.default_code = "RENAMED"
        self.import_one(self.reduced())
        self.assertEqual(sale.order_line[0].product_uom_qty, 1)
        self.assertEqual(sale.order_line[0].product_id, self.product)

    def test_terms_are_not_removed_by_an_empty_note(self):
        sale = self.import_one(self.payload)
        sale.note = "Our terms"
        self.import_one(later(self.payload, tags=["vip"]))
        self.assertIn("Our terms", sale.note)
        self.import_one(later(self.payload, 6, note="Ring twice"))
        self.assertIn("Ring twice", sale.note)

    def lose_binding(self):
        self.env["integration.binding"].search([("resource", "=", "order")]).unlink()

    def test_addresses_of_an_order_found_again(self):
        guest = {"customer": None, "email": None}
        sale = self.import_one({**self.payload, **guest})
        self.lose_binding()
        moved = address(address1="Nebenweg 1", zip="20095", city="Hamburg")
        again = self.import_one(later(self.payload, shippingAddress=moved, **guest))
        self.assertEqual(again, sale)
        self.assertEqual(sale.partner_shipping_id.city, "Hamburg")
        self.assertEqual(sale.partner_shipping_id.parent_id, sale.partner_id)

    def test_cancelled_after_the_link_was_lost(self):
        sale = self.import_one(self.payload)
        self.lose_binding()
        self.drain(later(self.payload, cancelledAt="2026-11-20T10:05:00Z", cancelReason="FRAUD"))
        self.assertEqual(sale.state, "cancel")
