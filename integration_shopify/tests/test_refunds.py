from datetime import datetime

from odoo.fields import Command
from odoo.tests import tagged

from odoo.addons.integration_base.lib.records import Item

from ..lib import contract
from ..lib.decision import Decision
from .common import ShopifyCase, line, money, order


def number(kind, value):
    return f"gid://shopify/{kind}/{value}"


def refund_line(line_id, quantity, restock="RETURN", *, location=None, subtotal="0.0"):
    """Return one line of a refund as the API returns it."""
    return {
        "id": number("RefundLineItem", line_id),
        "quantity": quantity,
        "restockType": restock,
        "restocked": restock != "NO_RESTOCK",
        "lineItem": {"id": number("LineItem", line_id)},
        "location": location and {"id": number("Location", location), "name": f"Shop {location}"},
        "subtotalSet": money(subtotal),
        "totalTaxSet": money("0.0"),
    }


def refund(refund_id, *lines, paid="0.0", at="2026-11-21T10:00:00Z", **extra):
    """Return a refund as the API returns it."""
    return {
        "id": number("Refund", refund_id),
        "createdAt": at,
        "note": None,
        "return": None,
        "totalRefundedSet": money(paid),
        "refundLineItems": {"nodes": list(lines)},
        "refundShippingLines": {"nodes": []},
        "orderAdjustments": {"nodes": []},
        "transactions": {"nodes": []},
        **extra,
    }


def shipment(shipment_id, *lines, status="SUCCESS"):
    """Return a fulfillment; ``lines`` are pairs of line number and quantity."""
    return {
        "id": number("Fulfillment", shipment_id),
        "name": f"#1-F{shipment_id}",
        "status": status,
        "createdAt": "2026-11-20T12:00:00Z",
        "updatedAt": "2026-11-20T12:00:00Z",
        "trackingInfo": [],
        "fulfillmentLineItems": {
            "nodes": [
                {
                    "id": number("FulfillmentLineItem", f"{shipment_id}{line_id}"),
                    "quantity": quantity,
                    "lineItem": {"id": number("LineItem", line_id)},
                }
                for line_id, quantity in lines
            ]
        },
    }


class RefundCase(ShopifyCase):
    def setUp(self):
        super().setUp()
        self.payload = order(1, [line(1, "10.0", 3)], "30.0")
        self.sale = self.import_one(self.payload)

    def deliver(self, quantity, sale=None):
        """Deliver units of the order's first line; the rest stays as a backorder."""
        picking = (sale or self.sale).picking_ids.filtered(
            lambda p: p.state not in ("done", "cancel") and p.picking_type_code == "outgoing"
        )
        picking.move_ids.quantity = quantity
        picking.move_ids.picked = True
        picking.with_context(cancel_backorder=False)._action_done()
        return picking

    def follow(self, *, refunds=(), shipped=None, current=None, sale=None, **extra):
        """Let what came of the order pass by once; returns the notes for the operation.

        ``shipped`` are units of line 1; ``current`` those that are still sold.
        """
        payload = {**self.payload, "refunds": list(refunds), **extra}
        if shipped is not None:
            payload["fulfillments"] = [shipment(1, (1, shipped))]
        if current is not None:
            payload["lineItems"] = {
                "nodes": [{**self.payload["lineItems"]["nodes"][0], "currentQuantity": current}]
            }
        item = Item(1, payload["id"], label="#1")
        item.record = sale or self.sale
        item.data = contract.Order.model_validate(payload)
        item.values = {"currency": self.usd, "decision": Decision()}
        self.env["integration.shopify.refund"]._follow(self.backend, [item])
        self.env.flush_all()
        return item

    def returns(self):
        return self.sale.picking_ids.filtered("return_id")


@tagged("post_install", "-at_install")
class TestReturnedGoods(RefundCase):
    """What refunds made in Shopify do to stock."""

    def test_units_that_came_back_are_received(self):
        delivery = self.deliver(3)
        item = self.follow(refunds=[refund(7, refund_line(1, 1), paid="10.0")], shipped=3)
        picking = self.returns()
        self.assertEqual(picking.state, "done")
        self.assertEqual(picking.return_id, delivery)
        self.assertEqual(picking.move_ids.quantity, 1)
        self.assertTrue(picking.move_ids.to_refund)
        self.assertEqual(self.sale.order_line.qty_delivered, 2)
        row = self.sale.shopify_refund_ids
        self.assertEqual(row.state, "done")
        self.assertEqual(row.picking_ids, picking)
        self.assertEqual(row.amount_total, 10.0)
        self.assertEqual(row.refunded_at, datetime(2026, 11, 21, 10))
        self.assertIn(picking.name, item.notes[0])
        self.assertIn(picking.name, self.sale.message_ids[0].body)

    def test_each_refund_once_however_often_it_is_seen(self):
        self.deliver(3)
        first = refund(7, refund_line(1, 1))
        second = refund(8, refund_line(1, 1), at="2026-11-22T10:00:00Z")
        self.follow(refunds=[first], shipped=3)
        self.follow(refunds=[second, first], shipped=3)
        item = self.follow(refunds=[second, first], shipped=3)
        self.assertEqual(item.notes, [])
        self.assertEqual(len(self.returns()), 2)
        self.assertEqual(self.sale.order_line.qty_delivered, 1)
        self.assertEqual(len(self.sale.shopify_refund_ids), 2)

    def test_both_at_once_end_as_one_after_the_other(self):
        self.deliver(3)
        rows = [refund(7, refund_line(1, 1)), refund(8, refund_line(1, 2))]
        self.follow(refunds=rows, shipped=3)
        self.assertEqual(self.sale.order_line.qty_delivered, 0)
        self.assertEqual(sorted(self.returns().move_ids.mapped("quantity")), [1, 2])

    def test_what_was_called_off_or_kept_moves_nothing(self):
        self.deliver(2)
        rows = [
            refund(7, refund_line(1, 1, "CANCEL")),
            refund(8, refund_line(1, 1, "NO_RESTOCK"), paid="10.0"),
        ]
        self.follow(refunds=rows, shipped=2, current=1)
        self.assertFalse(self.returns())
        self.assertEqual(self.sale.order_line.qty_delivered, 2)
        self.assertEqual(set(self.sale.shopify_refund_ids.mapped("state")), {"done"})
        goods = self.sale.shopify_refund_ids.mapped("goods")
        self.assertIn("never shipped", goods[0])
        self.assertIn("not restocked", goods[1])
        self.assertFalse(self.sale.activity_ids)

    def test_money_alone_has_no_goods(self):
        self.follow(refunds=[refund(7, paid="1.0")])
        row = self.sale.shopify_refund_ids
        self.assertEqual((row.state, row.amount_total, row.goods), ("done", 1.0, ""))

    def test_pending_money_arrives_later(self):
        self.follow(refunds=[refund(7)])
        self.follow(refunds=[refund(7, paid="277.61")])
        self.assertEqual(self.sale.shopify_refund_ids.amount_total, 277.61)

    def test_more_returned_than_odoo_has_delivered(self):
        self.deliver(1)
        item = self.follow(refunds=[refund(7, refund_line(1, 2))], shipped=2)
        row = self.sale.shopify_refund_ids
        self.assertEqual(self.sale.order_line.qty_delivered, 0)
        self.assertEqual(row.state, "open")
        self.assertIn("Not delivered in Odoo", item.notes[0])
        # said once
        self.assertEqual(self.follow(refunds=[refund(7, refund_line(1, 2))], shipped=2).notes, [])
        # the other unit's delivery reaches Odoo later: it is taken back then
        self.deliver(1)
        self.follow(refunds=[refund(7, refund_line(1, 2))], shipped=2)
        self.assertEqual(row.state, "done")
        self.assertEqual(self.sale.order_line.qty_delivered, 0)
        self.assertEqual(len(row.picking_ids), 2)

    def test_units_that_stay_with_the_buyer_are_not_taken_back(self):
        """A return whose delivery is not in Odoo must not take another delivery's goods."""
        self.follow(refunds=[refund(7, refund_line(1, 1))], shipped=1)
        self.deliver(2)
        self.follow(refunds=[refund(7, refund_line(1, 1))], shipped=3)
        self.assertEqual(self.sale.order_line.qty_delivered, 2)
        self.deliver(1)
        self.follow(refunds=[refund(7, refund_line(1, 1))], shipped=3)
        self.assertEqual(self.sale.order_line.qty_delivered, 2)
        self.assertEqual(self.sale.shopify_refund_ids.state, "done")

    def test_goods_somebody_returned_in_odoo_come_back_once(self):
        delivery = self.deliver(3)
        wizard = self.env["stock.return.picking"].create({"picking_id": delivery.id})
        wizard.product_return_moves.quantity = 1
        back = wizard._create_return()
        back.move_ids.picked = True
        back._action_done()
        self.assertEqual(self.sale.order_line.qty_delivered, 2)
        self.follow(refunds=[refund(7, refund_line(1, 1))], shipped=3)
        self.assertEqual(self.sale.order_line.qty_delivered, 2)
        self.assertEqual(self.returns(), back)
        self.assertEqual(self.sale.shopify_refund_ids.state, "done")

    def test_latest_delivery_first(self):
        first, second = self.deliver(1), self.deliver(2)
        self.follow(refunds=[refund(7, refund_line(1, 2))], shipped=3)
        self.assertEqual(self.returns().return_id, second)
        self.follow(refunds=[refund(7, refund_line(1, 2)), refund(8, refund_line(1, 1))], shipped=3)
        self.assertEqual(self.returns().return_id, first | second)

    def test_warehouse_receives_when_the_setting_is_off(self):
        self.backend.shopify_receive_returns = False
        self.deliver(3)
        item = self.follow(refunds=[refund(7, refund_line(1, 1))], shipped=3)
        picking = self.returns()
        self.assertEqual(picking.state, "assigned")
        self.assertIn("The warehouse has to receive", item.notes[0])
        # the return that waits is not made again
        self.follow(refunds=[refund(7, refund_line(1, 1))], shipped=3)
        self.assertEqual(self.returns(), picking)
        picking.move_ids.picked = True
        picking._action_done()
        self.assertEqual(self.sale.order_line.qty_delivered, 2)

    def test_lot_that_nobody_can_tell_waits_for_the_warehouse(self):
        self.product.tracking = "serial"
        serials = self.env["stock.lot"].create(
            [{"name": f"S{n}", "product_id": self.product.id} for n in range(3)]
        )
        picking = self.sale.picking_ids
        picking.move_ids.move_line_ids.unlink()
        picking.move_ids.move_line_ids = [
            Command.create(
                {
                    "product_id": self.product.id,
                    "lot_id": serial.id,
                    "quantity": 1,
                    "location_id": picking.location_id.id,
                    "location_dest_id": picking.location_dest_id.id,
                    "picking_id": picking.id,
                }
            )
            for serial in serials
        ]
        picking.move_ids.picked = True
        picking._action_done()
        self.follow(refunds=[refund(7, refund_line(1, 1))], shipped=3)
        self.assertEqual(self.returns().state, "assigned")

    def test_goods_come_back_to_the_place_shopify_says(self):
        self.deliver(3)
        other = self.env["stock.warehouse"].create({"name": "Outlet", "code": "OUT"})
        rows = [refund(7, refund_line(1, 1, location=5))]
        item = self.follow(refunds=rows, shipped=3)
        self.assertEqual(self.returns().picking_type_id.warehouse_id, self.sale.warehouse_id)
        self.assertEqual([value.kind for value in item.seen], ["location"])
        self.env["integration.mapping"].create(
            {
                "backend_id": self.backend.id,
                "kind": "location",
                "external_value": number("Location", 5),
                "resource_ref": f"stock.location,{other.lot_stock_id.id}",
            }
        )
        rows.append(refund(8, refund_line(1, 1, location=5)))
        self.follow(refunds=rows, shipped=3)
        picking = self.returns().sorted("id")[-1]
        self.assertEqual(picking.state, "done")
        self.assertEqual(picking.move_ids.location_dest_id, other.lot_stock_id)
        self.assertEqual(picking.picking_type_id.warehouse_id, other)

    def test_called_off_after_odoo_delivered(self):
        self.deliver(3)
        self.follow(refunds=[refund(7, refund_line(1, 1, "CANCEL"))], shipped=2, current=2)
        self.assertIn("called off", self.sale.activity_ids.summary)
        self.assertFalse(self.returns())

    def test_services_have_nothing_to_bring_back(self):
        self._product("SERVICE", type="service", is_storable=False)
        self.payload = order(2, [line(1, "10.0", 1, sku="SERVICE")], "10.0")
        self.sale = self.import_one(self.payload)
        self.follow(refunds=[refund(7, refund_line(1, 1))])
        self.assertEqual(self.sale.shopify_refund_ids.state, "done")

    def test_line_odoo_does_not_have(self):
        self.follow(refunds=[refund(7, refund_line(99, 1))])
        self.assertEqual(self.sale.shopify_refund_ids.state, "done")
        self.assertIn("Line 99", self.sale.shopify_refund_ids.goods)

    def test_done_by_the_import_itself(self):
        """Through the engine, by the user of the backend; the order itself has not changed."""
        self.deliver(3)
        payload = {
            **self.payload,
            "updatedAt": "2026-11-21T10:00:01Z",
            "returnStatus": "RETURNED",
            "displayFulfillmentStatus": "FULFILLED",
            "refunds": [refund(7, refund_line(1, 1), paid="10.0")],
            "fulfillments": [shipment(1, (1, 3))],
        }
        self.import_one(payload)
        self.assertEqual(self.sale.order_line.qty_delivered, 2)
        self.assertEqual(self.returns().state, "done")


@tagged("post_install", "-at_install")
class TestOpenReturns(RefundCase):
    """Returns that are opened in Shopify and not processed yet."""

    def open_return(self, status="OPEN", **extra):
        return {
            "id": number("Return", 3),
            "name": "#1-R1",
            "status": status,
            "createdAt": "2026-11-21T09:00:00Z",
            "closedAt": None,
            "totalQuantity": 1,
            **extra,
        }

    def test_open_return_with_a_fee_changes_neither_money_nor_stock(self):
        self.deliver(3)
        total = self.sale.amount_total
        self.follow(returns=[self.open_return()], shipped=3)
        found = self.sale.shopify_return_ids
        self.assertEqual((found.name, found.status, found.quantity), ("#1-R1", "Open", 1))
        self.assertEqual(self.sale.order_line.qty_delivered, 3)
        self.assertEqual(self.sale.amount_total, total)
        self.assertFalse(self.sale.shopify_refund_ids)
        self.assertFalse(self.sale.activity_ids)

    def test_status_follows(self):
        self.follow(returns=[self.open_return("REQUESTED")])
        self.follow(returns=[self.open_return("CLOSED", closedAt="2026-11-22T09:00:00Z")])
        found = self.sale.shopify_return_ids
        self.assertEqual(found.status, "Closed")
        self.assertEqual(found.closed_at, datetime(2026, 11, 22, 9))

    def test_to_do_until_it_is_processed(self):
        self.backend.shopify_return_todo = True
        self.deliver(3)
        for _time in range(2):
            self.follow(returns=[self.open_return()], shipped=3)
            self.assertIn("#1-R1", self.sale.activity_ids.summary)
        processed = refund(
            7, refund_line(1, 1), **{"return": {"id": number("Return", 3), "name": "#1-R1"}}
        )
        # processing leaves the return open
        self.follow(returns=[self.open_return()], refunds=[processed], shipped=3)
        self.assertFalse(self.sale.activity_ids)
        self.assertEqual(self.sale.order_line.qty_delivered, 2)
        self.assertEqual(self.sale.shopify_refund_ids.return_name, "#1-R1")
