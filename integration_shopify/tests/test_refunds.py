from datetime import datetime
from decimal import Decimal
from unittest.mock import Mock

from odoo.exceptions import AccessError, UserError
from odoo.fields import Command
from odoo.tests import new_test_user, tagged
from odoo.tools import mute_logger

from odoo.addons.integration_base.lib.errors import (
    MissingScopeError,
    RateLimitedError,
    RetryableError,
)
from odoo.addons.integration_base.lib.records import Item
from odoo.addons.integration_base.models.integration_intent import LOCK_INTENT

from ..lib import contract
from ..lib.decision import Decision
from .common import FakeShop, ShopifyCase, line, money, order


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

    def still_to_ship(self, quantity):
        """Return the work that is left of line 1, and a closed piece that still shows some."""
        return {
            "nodes": [
                {
                    "id": number("FulfillmentOrder", index),
                    "status": status,
                    "requestStatus": "UNSUBMITTED",
                    "assignedLocation": {"name": "Shop", "location": None},
                    "supportedActions": [],
                    "fulfillmentHolds": [],
                    "lineItems": {
                        "nodes": [
                            {
                                "id": number("FulfillmentOrderLineItem", index),
                                "totalQuantity": 3,
                                "remainingQuantity": quantity,
                                "lineItem": {"id": number("LineItem", 1)},
                            }
                        ]
                    },
                }
                for index, status in ((1, "CLOSED"), (2, "OPEN"))
            ]
        }

    def import_part_shipped(self, restock, current):
        """Import: two of three units were shipped, one of those was given back."""
        self.deliver(2)
        (sold,) = self.payload["lineItems"]["nodes"]
        payload = {
            **self.payload,
            "updatedAt": "2026-11-21T10:00:01Z",
            "returnStatus": "RETURNED",
            "displayFulfillmentStatus": "PARTIALLY_FULFILLED",
            "currentTotalPriceSet": money("20.0"),
            "lineItems": {
                "nodes": [{**sold, "currentQuantity": current}],
                "pageInfo": {"hasNextPage": False, "endCursor": None},
            },
            "refunds": [refund(7, refund_line(1, 1, restock), paid="10.0")],
            "fulfillments": [shipment(1, (1, 2))],
            "fulfillmentOrders": self.still_to_ship(1),
        }
        self.import_one(payload)
        self.import_one({**payload, "updatedAt": "2026-11-21T10:00:02Z", "note": "seen again"})
        return self.sale.picking_ids.filtered(
            lambda p: p.picking_type_code == "outgoing" and p.state not in ("done", "cancel")
        )

    def test_what_was_not_shipped_yet_still_is_after_a_return(self):
        waiting = self.import_part_shipped("RETURN", 2)
        self.assertEqual(self.sale.order_line.qty_delivered, 1)
        self.assertEqual(self.sale.order_line.product_uom_qty, 2)
        self.assertEqual(waiting.move_ids.mapped("product_uom_qty"), [1])
        self.assertEqual(self.sale.amount_total, 20.0)

    def test_what_was_not_shipped_yet_still_is_when_goods_are_kept(self):
        waiting = self.import_part_shipped("NO_RESTOCK", 2)
        self.assertEqual(self.sale.order_line.qty_delivered, 2)
        self.assertEqual(waiting.move_ids.mapped("product_uom_qty"), [1])
        self.assertEqual(self.sale.amount_total, 20.0)

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


class RefundingShop(FakeShop):
    """A shop with one order of which units can be refunded; counts what it did.

    ``lose`` answers of the next mutations are lost after they were carried out.
    """

    def __init__(self, payload, units=3, price=10, unshipped=0):
        super().__init__()
        self.put(payload)
        self.payload = payload
        self.units, self.price, self.unshipped = units, Decimal(price), unshipped
        self.paid = units * self.price
        self.pending = Decimal(0)
        self.given_back = Decimal(0)
        self.refunds = []
        self.keys = {}
        self.lose = 0
        self.refuse = ""
        self.cancels = 0

    def _order_refundable(self, variables):
        return {
            "order": {
                "id": variables["id"],
                "updatedAt": self.payload["updatedAt"],
                "presentmentCurrencyCode": "USD",
                "lineItems": {
                    "nodes": [
                        {
                            "id": number("LineItem", 1),
                            "name": "Line 1",
                            "refundableQuantity": self.units,
                            "unfulfilledQuantity": self.unshipped,
                            "restockable": True,
                            "duties": [],
                        }
                    ],
                    "pageInfo": {"hasNextPage": False, "endCursor": None},
                },
            }
        }

    def _order_suggested_refund(self, variables):
        units = sum(row["quantity"] for row in variables["lines"])
        amount = min(units * self.price, self.paid - self.given_back)
        sale = {
            "id": number("OrderTransaction", 1),
            "kind": "SALE",
            "status": "SUCCESS",
            "gateway": "bogus",
            "parentTransaction": None,
            "amountSet": money(self.paid),
        }
        pending = {**sale, "kind": "REFUND", "status": "PENDING", "amountSet": money(self.pending)}
        return {
            "order": {
                "id": variables["id"],
                "netPaymentSet": money(self.paid - self.given_back),
                "transactions": [sale, pending],
                "suggestedRefund": {
                    "amountSet": money(amount),
                    "maximumRefundableSet": money(self.paid - self.given_back),
                    "discountedSubtotalSet": money(amount),
                    "totalTaxSet": money(0),
                    "totalDutiesSet": money(0),
                    "shipping": {"amountSet": money(0), "maximumRefundableSet": money(0)},
                    "suggestedTransactions": [],
                },
            }
        }

    def _order_refund_notes(self, variables):
        return {
            "order": {
                "id": variables["id"],
                "refunds": [{"id": row["id"], "note": row["note"]} for row in self.refunds],
            }
        }

    def _refund_create(self, variables):
        key, values = variables["idempotencyKey"], variables["input"]
        if self.refuse:
            errors = [{"field": ["transactions"], "message": self.refuse}]
            return {"refundCreate": {"refund": None, "userErrors": errors}}
        if key not in self.keys:
            amount = sum(Decimal(row["amount"]) for row in values["transactions"])
            rows = values["refundLineItems"]
            found = refund(
                100 + len(self.refunds),
                *(refund_line(1, row["quantity"], row["restockType"]) for row in rows),
                paid=amount,
                note=values["note"],
            )
            self.keys[key] = found["id"]
            self.refunds.append(found)
            self.given_back += amount
            self.units -= sum(row["quantity"] for row in rows)
            self.put(
                {
                    **self.payload,
                    "updatedAt": f"2026-11-21T10:00:{len(self.refunds):02}Z",
                    "agreements": {
                        "nodes": [
                            {
                                "id": number("SalesAgreement", 1),
                                "reason": "REFUND",
                                "happenedAt": "2026-11-21T10:00:00Z",
                                "sales": {"nodes": []},
                            }
                        ]
                    },
                    "refunds": self.refunds,
                }
            )
        self._lose()
        return {"refundCreate": {"refund": {"id": self.keys[key]}, "userErrors": []}}

    def _lose(self):
        if self.lose:
            self.lose -= 1
            raise RetryableError("Shopify did not answer in time.")


class RequestCase(RefundCase):
    def setUp(self):
        super().setUp()
        self.shop = RefundingShop(self.payload)
        self.manager = new_test_user(
            self.env, "refunder", groups="base.group_user,sales_team.group_sale_manager"
        )

    def ask(self, quantity=1, restock="no_restock", **values):
        """Open the dialog as a sales manager and fill it in."""
        action = self.sale.with_user(self.manager).action_shopify_refund()
        wizard = self.env[action["res_model"]].with_user(self.manager).browse(action["res_id"])
        wizard.line_ids[:1].write({"quantity": quantity, "restock": restock})
        wizard.action_compute()
        wizard.write(values)
        self.env.flush_all()
        return wizard

    def press(self, wizard):
        with self.enter_registry_test_mode():
            answer = wizard.action_refund()
        self.env.invalidate_all()
        return answer

    def refusal(self, wizard):
        """Return what the person reads; Odoo's assertRaises would roll back what it leaves."""
        try:
            self.press(wizard)
        except UserError as error:
            self.env.invalidate_all()
            return str(error)
        self.fail("nothing was refused")

    def rows(self):
        return self.sale.shopify_refund_ids


@tagged("post_install", "-at_install")
class TestRefundFromOdoo(RequestCase):
    """Refunds that are started in Odoo."""

    def test_amounts_are_shopifys(self):
        wizard = self.ask(2)
        self.assertEqual((wizard.suggested, wizard.limit, wizard.amount), (20.0, 30.0, 20.0))
        self.assertTrue(wizard.is_computed)
        wizard.line_ids.quantity = 1
        self.assertFalse(wizard.is_computed)
        self.assertIn("Press Compute", self.refusal(wizard))
        self.assertEqual(self.shop.refunds, [])

    def test_shipped_and_not_shipped_units_stand_apart(self):
        self.shop.unshipped = 1
        wizard = self.ask(0)
        self.assertEqual(wizard.line_ids.mapped("restock"), ["no_restock", "cancel"])
        self.assertEqual(wizard.line_ids.mapped("quantity_left"), [2, 1])
        self.assertEqual(wizard.line_ids.mapped("shipped"), [True, False])

    def test_refund_comes_back_as_the_one_that_was_asked_for(self):
        self.deliver(3)
        self.shop.payload["fulfillments"] = [shipment(1, (1, 3))]
        self.shop.payload["displayFulfillmentStatus"] = "FULFILLED"
        answer = self.press(self.ask(1, "return", note="arrived damaged"))
        self.assertEqual(answer["params"]["type"], "success", answer)
        row = self.rows()
        self.assertEqual(len(self.shop.refunds), 1)
        self.assertEqual(row.external_id, self.shop.refunds[0]["id"])
        self.assertEqual((row.state, row.amount_total, row.note), ("done", 10.0, "arrived damaged"))
        self.assertEqual(row.create_uid, self.manager)
        self.assertEqual(self.sale.order_line.qty_delivered, 2)
        self.assertEqual(len(row.picking_ids), 1)
        intent = self.env["integration.intent"].search([("res_model", "=", row._name)])
        self.assertEqual(intent.outcome, "sent")

    def test_pressed_twice(self):
        wizard = self.ask(1)
        self.press(wizard)
        self.press(wizard)
        self.assertEqual(len(self.shop.refunds), 1)
        self.assertEqual(len(self.rows()), 1)

    def test_lost_answer_is_looked_up_at_once(self):
        self.shop.lose = 1
        self.press(self.ask(1))
        self.assertEqual(len(self.shop.refunds), 1)
        self.assertEqual(len(self.shop.keys), 1)
        self.assertEqual((len(self.rows()), self.rows().state), (1, "done"))
        calls = [name for name, _variables in self.shop.calls]
        self.assertEqual(calls.count("refund_create"), 1)

    def test_shop_that_does_not_answer_for_long(self):
        self.shop.lose = 1
        wizard = self.ask(1)
        original = self.shop._order_refund_notes
        self.shop._order_refund_notes = self.fail_to_answer
        text = self.refusal(wizard)
        self.assertIn("Try Again", text)
        self.assertEqual(self.rows().state, "requested")
        # nobody refunds on top of what nobody knows
        self.assertIn("Another refund", self.other_refusal())
        self.shop._order_refund_notes = original
        with self.enter_registry_test_mode():
            self.rows().with_user(self.manager).action_try_again()
        self.env.invalidate_all()
        self.assertEqual((len(self.rows()), self.rows().state), (1, "done"))
        self.assertEqual(len(self.shop.refunds), 1)

    def test_import_settles_what_nobody_knew(self):
        self.shop.lose = 1
        wizard = self.ask(1)
        self.shop._order_refund_notes = self.fail_to_answer
        self.refusal(wizard)
        self.import_one(self.shop.orders[self.payload["id"]])
        row = self.rows()
        self.assertEqual((row.state, row.external_id), ("done", self.shop.refunds[0]["id"]))
        intent = self.env["integration.intent"].search([("res_model", "=", row._name)])
        self.assertEqual(intent.outcome, "sent")

    def test_given_up_when_shopify_certainly_did_nothing(self):
        wizard = self.ask(1)
        self.shop._refund_create = self.fail_to_answer
        self.refusal(wizard)
        row = self.rows().with_user(self.manager)
        # the row was written long ago, the last call was made just now
        self.age("integration_shopify_refund", "write_date")
        self.assertIn("may still arrive", self.withdraw(row))
        self.age("integration_intent", "started_at")
        self.assertFalse(self.withdraw(row))
        self.assertEqual(row.state, "refused")
        self.assertEqual(self.intent().outcome, "void")
        self.assertIn("is known", self.withdraw(row))

    def test_not_given_up_while_it_is_sent(self):
        wizard = self.ask(1)
        self.shop._refund_create = self.fail_to_answer
        self.refusal(wizard)
        self.age("integration_intent", "started_at")
        row = self.rows().with_user(self.manager)
        with self.registry.cursor() as other:
            name = self.env["integration.intent"]._key(self.backend, "refund", row)
            other.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", [LOCK_INTENT, name])
            self.assertIn("at this moment", self.withdraw(row))
        self.assertEqual(row.state, "requested")

    def test_lookup_that_is_refused_says_nothing_about_the_refund(self):
        for failure in (
            RateLimitedError("Slow down."),
            MissingScopeError("No access.", scopes=[("read_orders",)]),
        ):
            with self.subTest(str(failure)):
                self.shop.lose = 1
                wizard = self.ask(1)
                original = self.shop._order_refund_notes
                self.shop._order_refund_notes = Mock(side_effect=failure)
                self.assertIn("Try Again", self.refusal(wizard))
                row = self.rows().filtered(lambda row: row.state == "requested")
                self.assertEqual(len(row), 1)
                self.shop._order_refund_notes = original
                with self.enter_registry_test_mode():
                    row.with_user(self.manager).action_try_again()
                self.env.invalidate_all()
                self.assertEqual(row.state, "done")
                self.assertFalse(row.request)
        self.assertEqual(len(self.shop.refunds), 2)

    def test_dialog_changed_after_a_lost_answer(self):
        wizard = self.ask(1)
        self.shop.lose = 1
        original = self.shop._order_refund_notes
        self.shop._order_refund_notes = self.fail_to_answer
        self.refusal(wizard)
        wizard.amount = 9.0
        self.env.flush_all()
        self.assertRegex(self.refusal(wizard), "10.00 USD .* Try Again")
        self.shop._order_refund_notes = original
        wizard.amount = 10.0
        self.env.flush_all()
        self.press(wizard)
        self.assertEqual((self.rows().state, len(self.shop.refunds)), ("done", 1))

    def age(self, table, column):
        self.env.flush_all()
        self.env.cr.execute(f"UPDATE {table} SET {column} = {column} - interval '1 hour'")
        self.env.invalidate_all()

    def intent(self):
        return self.env["integration.intent"].search(
            [("res_model", "=", "integration.shopify.refund")]
        )

    def withdraw(self, row):
        """Return what the person reads when it cannot be withdrawn."""
        try:
            with self.enter_registry_test_mode():
                row.action_withdraw()
        except UserError as error:
            return str(error)
        finally:
            self.env.invalidate_all()
        return ""

    def fail_to_answer(self, _variables):
        raise RetryableError("Shopify did not answer in time.")

    @mute_logger("odoo.sql_db")
    def other_refusal(self):
        return self.refusal(self.ask(1))

    def test_refused_by_shopify(self):
        self.shop.refuse = "Refund amount $10.00 is greater than net payment received $0.00"
        wizard = self.ask(1)
        self.assertIn("greater than net payment", self.refusal(wizard))
        self.assertEqual(self.rows().state, "refused")
        self.assertIn("greater than net payment", self.rows().error)
        # what was corrected may be sent from the same dialog
        self.shop.refuse = ""
        wizard.amount = 9.0
        self.env.flush_all()
        self.press(wizard)
        self.assertEqual((self.rows().state, self.rows().amount_total), ("done", 9.0))
        self.assertEqual(len(self.shop.keys), 1)

    def test_more_than_is_left(self):
        wizard = self.ask(1, amount=30.01)
        self.assertIn("more than is left", self.refusal(wizard))
        self.shop.pending = Decimal(25)
        text = self.refusal(self.ask(1, amount=10.0))
        self.assertIn("25", text)
        self.assertIn("on their way back", text)
        self.assertEqual(self.shop.refunds, [])
        self.assertFalse(self.rows())

    def test_units_somebody_else_refunded_meanwhile(self):
        wizard = self.ask(3)
        self.shop.units = 1
        self.assertIn("only 1 are left", self.refusal(wizard))
        self.assertEqual(self.shop.refunds, [])

    def test_goodwill_has_no_goods(self):
        wizard = self.ask(0, amount=1.0)
        self.press(wizard)
        self.assertEqual(self.shop.refunds[0]["refundLineItems"]["nodes"], [])
        self.assertEqual((self.rows().amount_total, self.rows().goods), (1.0, ""))

    def test_nothing_chosen(self):
        self.assertIn("Choose what to refund", self.refusal(self.ask(0, amount=0.0)))

    def test_who_may(self):
        salesman = new_test_user(
            self.env,
            "salesman",
            groups="base.group_user,sales_team.group_sale_salesman_all_leads",
        )
        for method in ("action_shopify_refund", "action_shopify_cancel"):
            with self.assertRaisesRegex(AccessError, "Sales: Administrator"):
                getattr(self.sale.with_user(salesman), method)()


class CancellingShop(FakeShop):
    """A shop that cancels some time after it was asked to."""

    def __init__(self, payload):
        super().__init__()
        self.put(payload)
        self.payload = payload
        self.asked = []
        self.lose = 0
        self.is_slow = False
        self.refuse = ""
        self.state = {"displayFulfillmentStatus": "UNFULFILLED", "returnStatus": "NO_RETURN"}

    def _order_cancel_state(self, variables):
        cancelled = self.orders[variables["id"]]["cancelledAt"]
        return {"order": {"id": variables["id"], "cancelledAt": cancelled, **self.state}}

    def _order_cancel(self, variables):
        self.asked.append(variables)
        if self.refuse:
            errors = [{"field": ["orderId"], "message": self.refuse, "code": "INVALID"}]
            return {"orderCancel": {"job": None, "orderCancelUserErrors": errors}}
        if not self.is_slow:
            self.finish()
        if self.lose:
            self.lose -= 1
            raise RetryableError("Shopify did not answer in time.")
        return {"orderCancel": {"job": {"id": number("Job", 1)}, "orderCancelUserErrors": []}}

    def finish(self):
        self.put(
            {
                **self.payload,
                "updatedAt": "2026-11-21T11:00:00Z",
                "cancelledAt": "2026-11-21T11:00:00Z",
                "cancelReason": "CUSTOMER",
            }
        )


@tagged("post_install", "-at_install")
class TestCancelFromOdoo(RefundCase):
    """Cancellations that are started in Odoo."""

    def setUp(self):
        super().setUp()
        self.shop = CancellingShop(self.payload)
        self.manager = new_test_user(
            self.env, "canceller", groups="base.group_user,sales_team.group_sale_manager"
        )
        self.sale = self.sale.with_user(self.manager)

    def press(self, **values):
        action = self.sale.action_shopify_cancel()
        wizard = (
            self.env[action["res_model"]]
            .with_user(self.manager)
            .with_context(**action["context"])
            .create(values)
        )
        self.env.flush_all()
        with self.enter_registry_test_mode():
            answer = wizard.action_cancel_order()
        self.env.invalidate_all()
        return answer

    def refusal(self, **values):
        try:
            self.press(**values)
        except UserError as error:
            self.env.invalidate_all()
            return str(error)
        self.fail("nothing was refused")

    def test_cancelled_there_and_here(self):
        answer = self.press(reason="INVENTORY", refund=False, note="sold out")
        self.assertEqual(answer["params"]["type"], "success", answer)
        (asked,) = self.shop.asked
        self.assertEqual(asked["reason"], "INVENTORY")
        self.assertEqual(asked["refundMethod"], {"originalPaymentMethodsRefund": False})
        self.assertEqual(asked["staffNote"], "sold out")
        self.assertEqual(self.sale.state, "cancel")
        self.assertEqual(self.sale.shopify_cancelled_at, datetime(2026, 11, 21, 11))

    def test_pressed_twice(self):
        self.press()
        self.press()
        self.assertEqual(len(self.shop.asked), 1)

    def test_lost_answer(self):
        self.shop.lose = 1
        self.press()
        self.assertEqual(len(self.shop.asked), 1)
        self.assertEqual(self.sale.state, "cancel")

    def test_shop_that_takes_its_time(self):
        self.shop.is_slow = True
        answer = self.press()
        self.assertEqual(answer["params"]["type"], "warning", answer)
        self.assertIn("Shopify is cancelling", answer["params"]["message"])
        self.assertEqual(self.sale.state, "sale")
        # pressed again meanwhile: nothing is asked for twice
        self.press()
        self.assertEqual(len(self.shop.asked), 1)
        self.shop.finish()
        self.env.cr.execute(
            "UPDATE integration_sync_log SET next_attempt_at = now() AT TIME ZONE 'UTC'"
            " WHERE state = 'pending'"
        )
        with self.enter_registry_test_mode():
            self.env["integration.engine"]._drain(self.flow.id)
        self.env.invalidate_all()
        self.assertEqual(self.sale.state, "cancel")

    def test_lost_answer_of_a_slow_shop(self):
        self.shop.is_slow, self.shop.lose = True, 1
        self.assertIn("again in a minute", self.refusal())
        self.assertEqual(len(self.shop.asked), 1)
        self.shop.finish()
        self.press()
        self.assertEqual(len(self.shop.asked), 1)
        self.assertEqual(self.sale.state, "cancel")
        intents = self.env["integration.intent"].search([("action", "=", "cancel")])
        self.assertEqual(intents.mapped("outcome"), ["sent"])

    def test_job_that_failed_can_be_asked_for_again(self):
        self.shop.is_slow = True
        self.press()
        self.env.cr.execute(
            "UPDATE integration_intent SET finished_at = finished_at - interval '1 hour'"
        )
        self.env.cr.execute(
            "UPDATE sale_order SET shopify_cancel_asked_at = now() - interval '1 hour'"
        )
        self.shop.is_slow = False
        self.press()
        self.assertEqual(len(self.shop.asked), 2)
        self.assertEqual(self.sale.state, "cancel")

    def test_refused_in_plain_words_before_anything_is_sent(self):
        self.shop.state["returnStatus"] = "IN_PROGRESS"
        self.assertIn("open return", self.refusal())
        self.shop.state = {"displayFulfillmentStatus": "FULFILLED", "returnStatus": "NO_RETURN"}
        self.assertIn("was shipped", self.refusal())
        self.assertEqual(self.shop.asked, [])
        self.assertEqual(self.sale.state, "sale")

    def test_refused_by_shopify(self):
        self.shop.refuse = "Cannot cancel a fulfilled order"
        self.assertIn("Cannot cancel a fulfilled order", self.refusal())
        self.shop.refuse = ""
        self.press()
        self.assertEqual(self.sale.state, "cancel")

    def test_cancelled_in_odoo_only(self):
        self.sale.sudo()._action_cancel()
        self.assertFalse(self.sale.shopify_cancelled_at)
        self.press()
        self.assertTrue(self.sale.shopify_cancelled_at)


@tagged("post_install", "-at_install")
class TestRefundOfCreditNote(RequestCase):
    """A credit note made in Odoo is paid back in Shopify, and books that refund."""

    def credit(self, quantity):
        invoice = self.sale._create_invoices()
        invoice.action_post()
        reversal = self.env["account.move.reversal"].create(
            {
                "move_ids": invoice.ids,
                "journal_id": invoice.journal_id.id,
                "reason": "broken",
            }
        )
        note = self.env["account.move"].browse(reversal.refund_moves()["res_id"])
        note.invoice_line_ids.quantity = quantity
        note.action_post()
        return note

    def test_prefilled_and_linked(self):
        self.manager.group_ids |= self.env.ref("account.group_account_invoice")
        note = self.credit(2)
        self.assertTrue(note.shopify_can_refund)
        action = note.with_user(self.manager).action_shopify_refund()
        wizard = self.env[action["res_model"]].with_user(self.manager).browse(action["res_id"])
        self.assertEqual(wizard.line_ids.quantity, 2)
        self.assertEqual(wizard.amount, note.amount_total)
        self.env.flush_all()
        self.press(wizard)
        self.assertEqual(note.shopify_refund_ref, self.shop.refunds[0]["id"])
        self.assertEqual(self.rows().credit_note_id, note)
        self.assertFalse(note.shopify_can_refund)

    def test_paid_back_once(self):
        self.manager.group_ids |= self.env.ref("account.group_account_invoice")
        note = self.credit(1)

        def open_dialog():
            action = note.with_user(self.manager).action_shopify_refund()
            return self.env[action["res_model"]].with_user(self.manager).browse(action["res_id"])

        first, second = open_dialog(), open_dialog()
        self.env.flush_all()
        # the answer is lost, and the order was not read since
        self.shop._order_refund_notes = Mock(side_effect=RetryableError("No answer."))
        self.shop.lose = 1
        self.refusal(first)
        self.assertFalse(note.shopify_can_refund)
        with self.assertRaisesRegex(UserError, "already"):
            open_dialog()
        self.env.cr.execute("UPDATE integration_shopify_refund SET state = 'sent'")
        self.env.invalidate_all()
        self.assertIn("already", self.refusal(second))
        self.assertEqual(len(self.shop.refunds), 1)
        # an import that had not seen what was asked for was faster
        row = self.rows()
        row.state = "requested"
        imported = row.copy(
            {"external_id": number("Refund", 55), "request_ref": False, "credit_note_id": False}
        )
        imported.state = "done"
        self.env.flush_all()
        with mute_logger("odoo.sql_db"), self.enter_registry_test_mode():
            row._mark(row.id, "sent", external_id=imported.external_id)
        self.env.invalidate_all()
        self.assertEqual(self.rows(), imported)
        self.assertEqual(imported.credit_note_id, note)
        # what was not carried out may be asked for again
        self.env.cr.execute("UPDATE integration_shopify_refund SET state = 'refused'")
        self.env.invalidate_all()
        note.invalidate_recordset()
        self.assertTrue(note.shopify_can_refund)
        self.assertTrue(open_dialog())

    def test_not_for_what_the_ledger_booked(self):
        note = self.credit(1)
        self.env["integration.shopify.agreement"].create(
            {
                "order_id": self.sale.id,
                "backend_id": self.backend.id,
                "company_id": self.company.id,
                "external_id": number("SalesAgreement", 2),
                "reason": "REFUND",
                "happened_at": datetime(2026, 11, 21),
                "currency_id": self.usd.id,
                "move_id": note.id,
            }
        )
        note.invalidate_recordset()
        self.assertFalse(note.shopify_can_refund)
