"""Deliveries reach Shopify once, and what others shipped reaches Odoo once."""

from collections import Counter
from unittest.mock import patch

from odoo.exceptions import UserError
from odoo.tests import BaseCase, new_test_user, tagged

from odoo.addons.integration_base.lib.errors import RetryableError

from ..lib import shipping
from ..lib.client import GraphqlClient, Payload, document, refuse_user_errors
from ..lib.contract import FulfillmentOrder
from .common import (
    FakeShop,
    ShopifyCase,
    agreement,
    agreements,
    line,
    money,
    order,
    refund,
)
from .common import sale as sale_row
from .contract import judge

BERLIN = "gid://shopify/Location/1"
PARIS = "gid://shopify/Location/2"
NAMES = {BERLIN: "Berlin", PARIS: "Paris"}
ACTIONS = {
    "OPEN": ("CREATE_FULFILLMENT", "MOVE"),
    "IN_PROGRESS": ("CREATE_FULFILLMENT",),
    "ON_HOLD": ("RELEASE_HOLD", "MOVE"),
}


def item(number):
    """Return the id of a line item."""
    return f"gid://shopify/LineItem/{number}"


class ShippingShop(FakeShop):
    """A shop that plans, ships, moves and cancels as the real one does.

    :ivar lost: how many of the next mutations take effect without an answer.
    :ivar refused: userErrors of the next mutation of a name.
    """

    def __init__(self):
        super().__init__()
        self.count = 0
        self.lost = 0
        self.refused = {}
        #: minutes since the orders were placed
        self.minutes = 0

    def number(self):
        self.count += 1
        return self.count

    def plan(self, payload, *places):
        """Give an order fulfillment orders: ``(location, {line number: units})`` each."""
        payload["fulfillments"] = []
        payload["fulfillmentOrders"] = []
        rows = [(f"gid://shopify/LineItem/{n}", u) for p in places for n, u in p[1].items()]
        known = {row["id"]: row["quantity"] for row in payload["lineItems"]["nodes"]}
        assert {gid for gid, _units in rows} <= known.keys()
        for location, units in places:
            self.open(payload, location, {item(n): count for n, count in units.items()})
        self.put(payload)
        return payload

    def open(self, payload, location, units, status="OPEN"):
        number = self.number()
        found = {
            "id": f"gid://shopify/FulfillmentOrder/{number}",
            "status": status,
            "requestStatus": "UNSUBMITTED",
            "assignedLocation": {"name": NAMES[location], "location": {"id": location}},
            "fulfillmentHolds": [],
            "lineItems": {
                "nodes": [
                    {
                        "id": f"gid://shopify/FulfillmentOrderLineItem/{self.number()}",
                        "totalQuantity": count,
                        "remainingQuantity": count,
                        "lineItem": {"id": line_id},
                    }
                    for line_id, count in units.items()
                ],
                "pageInfo": {"hasNextPage": False, "endCursor": None},
            },
        }
        payload["fulfillmentOrders"].append(found)
        return found

    def touch(self, payload):
        self.minutes += 1
        hour, minute = divmod(self.minutes, 60)
        payload["updatedAt"] = f"2026-11-20T{11 + hour:02}:{minute:02}:00Z"

    def ship(self, payload, location, units, numbers=(), company=None, **extra):
        """Ship units (by line id) that are planned at a location, whoever does."""
        for found in payload["fulfillmentOrders"]:
            if found["assignedLocation"]["location"]["id"] != location:
                continue
            rest = Counter(units)
            for row in found["lineItems"]["nodes"]:
                taken = min(rest[row["lineItem"]["id"]], row["remainingQuantity"])
                row["remainingQuantity"] -= taken
                rest[row["lineItem"]["id"]] -= taken
            if not any(row["remainingQuantity"] for row in found["lineItems"]["nodes"]):
                found["status"] = "CLOSED"
        return self.add(payload, location, units, numbers, company, **extra)

    def add(self, payload, location, units, numbers=(), company=None, **extra):
        self.touch(payload)
        made = {
            "id": f"gid://shopify/Fulfillment/{self.number()}",
            "name": f"{payload['name']}-F{len(payload['fulfillments']) + 1}",
            "status": "SUCCESS",
            "displayStatus": "FULFILLED",
            "createdAt": extra.pop("createdAt", "2099-01-01T00:00:00Z"),
            "updatedAt": payload["updatedAt"],
            "inTransitAt": None,
            "deliveredAt": None,
            "location": {"id": location, "name": NAMES[location]},
            "service": None,
            "trackingInfo": [{"company": company, "number": n, "url": None} for n in numbers],
            "fulfillmentLineItems": {
                "nodes": [
                    {
                        "id": f"gid://shopify/FulfillmentLineItem/{self.number()}",
                        "quantity": count,
                        "lineItem": {"id": line_id},
                    }
                    for line_id, count in units.items()
                ],
                "pageInfo": {"hasNextPage": False, "endCursor": None},
            },
            **extra,
        }
        # newest first, as Shopify lists them
        payload["fulfillments"].insert(0, made)
        payload["displayFulfillmentStatus"] = "PARTIALLY_FULFILLED"
        return made

    def fulfillments(self):
        return [row for payload in self.orders.values() for row in payload["fulfillments"]]

    def units(self):
        """Return the units of each fulfillment that stands, oldest first."""
        return [
            {
                row["lineItem"]["id"][-2:]: row["quantity"]
                for row in made["fulfillmentLineItems"]["nodes"]
            }
            for made in reversed(self.fulfillments())
            if made["status"] == "SUCCESS"
        ]

    def _order_fulfillments(self, variables):
        answer = super()._order_fulfillments(variables)
        for row in answer["order"]["fulfillmentOrders"]["nodes"]:
            row["supportedActions"] = [{"action": name} for name in ACTIONS.get(row["status"], ())]
        return answer

    # === MUTATIONS === #

    def mutate(self, name, variables, action=""):
        judge(document(name), variables)
        self.calls.append((name, variables))
        if self.errors:
            error = self.errors.pop(0)
            if error:
                raise error
        if name in self.refused:
            refuse_user_errors({"userErrors": [self.refused.pop(name)]}, action)
        payload = getattr(self, f"_{name}")(variables)
        if self.lost:
            self.lost -= 1
            raise RetryableError("The answer was lost.")
        return Payload(payload, [])

    def _owner(self, order_id):
        return next(
            (payload, found)
            for payload in self.orders.values()
            for found in payload["fulfillmentOrders"]
            if found["id"] == order_id
        )

    def _fulfillment_create(self, variables):
        units, places = Counter(), set()
        for part in variables["fulfillment"]["lineItemsByFulfillmentOrder"]:
            payload, found = self._owner(part["fulfillmentOrderId"])
            assert "CREATE_FULFILLMENT" in ACTIONS.get(found["status"], ())
            places.add(found["assignedLocation"]["location"]["id"])
            rows = {row["id"]: row for row in found["lineItems"]["nodes"]}
            for wanted in part["fulfillmentOrderLineItems"]:
                row = rows[wanted["id"]]
                assert 0 < wanted["quantity"] <= row["remainingQuantity"]
                row["remainingQuantity"] -= wanted["quantity"]
                units[row["lineItem"]["id"]] += wanted["quantity"]
            if not any(row["remainingQuantity"] for row in rows.values()):
                found["status"] = "CLOSED"
        (place,) = places
        tracking = variables["fulfillment"].get("trackingInfo") or {}
        made = self.add(payload, place, units, tracking.get("numbers", ()), tracking.get("company"))
        return {"fulfillment": {key: made[key] for key in ("id", "name", "status")}}

    def _fulfillment_order_move(self, variables):
        payload, found = self._owner(variables["id"])
        moved = {}
        rows = {row["id"]: row for row in found["lineItems"]["nodes"]}
        for wanted in variables["lines"]:
            row = rows[wanted["id"]]
            row["remainingQuantity"] -= wanted["quantity"]
            row["totalQuantity"] -= wanted["quantity"]
            moved[row["lineItem"]["id"]] = wanted["quantity"]
        made = self.open(payload, variables["location"], moved)
        return {"movedFulfillmentOrder": {"id": made["id"], "status": made["status"]}}

    def _fulfillment_tracking_update(self, variables):
        (made,) = [row for row in self.fulfillments() if row["id"] == variables["id"]]
        tracking = variables["tracking"]
        made["trackingInfo"] = [
            {"company": tracking.get("company"), "number": number, "url": None}
            for number in tracking["numbers"]
        ]
        return {"fulfillment": {key: made[key] for key in ("id", "name", "status")}}

    def _fulfillment_cancel(self, variables):
        for payload in self.orders.values():
            for made in payload["fulfillments"]:
                if made["id"] == variables["id"]:
                    self.cancel(payload, made)
                    return {"fulfillment": {key: made[key] for key in ("id", "name", "status")}}
        raise AssertionError(variables)

    def cancel(self, payload, made):
        if made["status"] != "CANCELLED":
            self.touch(payload)
            made.update(status="CANCELLED", displayStatus="CANCELED")
            if not any(row["status"] == "SUCCESS" for row in payload["fulfillments"]):
                payload["displayFulfillmentStatus"] = "UNFULFILLED"
            units = {
                row["lineItem"]["id"]: row["quantity"]
                for row in made["fulfillmentLineItems"]["nodes"]
            }
            self.open(payload, made["location"]["id"], units)


class ShippingCase(ShopifyCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.product_b = cls._product("SKU-2")
        cls.out = cls.backend.flow_ids.filtered(lambda flow: flow.resource == "shipment")
        cls.stock = (
            cls.env["stock.warehouse"]
            .search([("company_id", "=", cls.company.id)], limit=1)
            .lot_stock_id
        )

    def setUp(self):
        super().setUp()
        self.shop = ShippingShop()
        self.startPatcher(
            patch.object(
                GraphqlClient,
                "mutate",
                lambda _client, name, variables=None, action="", **_options: self.shop.mutate(
                    name, variables, action
                ),
            )
        )

    def sell(self, number=1001, a=2, b=0, places=None):
        """Import an order of ``a`` + ``b`` units; returns (payload, sales order)."""
        lines = [line(11, "10.00", a)] + ([line(12, "5.00", b, sku="SKU-2")] if b else [])
        payload = order(number, lines, str(10 * a + 5 * b))
        units = {11: a, **({12: b} if b else {})}
        self.shop.plan(payload, *(places or [(BERLIN, units)]))
        return payload, self.import_one(payload)

    def deliver(self, picking, tracking=None, **units):
        """Validate a delivery of ``a`` and ``b`` units, all without; returns the backorder."""
        if tracking:
            picking.carrier_tracking_ref = tracking
        for move in picking.move_ids:
            name = "a" if move.product_id == self.product else "b"
            move.quantity = units.get(name, 0) if units else move.product_uom_qty
            move.picked = bool(move.quantity)
        picking._action_done()
        return picking.backorder_ids

    def push(self):
        """Send what waits to Shopify; returns the operations, oldest first."""
        self.env.cr.execute(
            "UPDATE integration_sync_log SET next_attempt_at = create_date WHERE state = 'pending';"
            "UPDATE integration_flow SET blocked_until = NULL"
        )
        self.env.flush_all()
        with self.enter_registry_test_mode():
            self.env["integration.engine"]._drain(self.out.id)
        self.env.invalidate_all()
        return self.env["integration.sync.log"].search([("flow_id", "=", self.out.id)], order="id")

    def again(self, payload):
        """Import an order again; it has to succeed."""
        operation = self.drain(payload)
        self.assertEqual(operation.state, "done", operation.message)

    def pass_time(self):
        self.env.cr.execute(
            "UPDATE integration_intent SET started_at = started_at - interval '61 seconds'"
        )

    def mutations(self):
        return [name for name, _variables in self.shop.calls if name.startswith("fulfillment")]


@tagged("post_install", "-at_install")
class TestShipOut(ShippingCase):
    def test_delivery_becomes_one_fulfillment_with_two_calls(self):
        _payload, sale = self.sell(a=2, b=1)
        self.shop.calls.clear()
        self.deliver(sale.picking_ids)
        operations = self.push()
        self.assertEqual(operations[-1].state, "done", operations.mapped("message"))
        self.assertEqual(self.shop.units(), [{"11": 2, "12": 1}])
        self.assertEqual(
            [name for name, _variables in self.shop.calls],
            ["order_fulfillments", "fulfillment_create"],
        )

    def test_nothing_is_sent_before_it_is_done(self):
        self.sell()
        self.assertFalse(self.push())

    def test_partial_deliveries_and_backorder(self):
        _payload, sale = self.sell(a=3, b=1)
        backorder = self.deliver(sale.picking_ids, a=1)
        self.push()
        self.deliver(backorder)
        self.push()
        self.assertEqual(self.shop.units(), [{"11": 1}, {"11": 2, "12": 1}])

    def test_deliveries_before_anything_was_sent(self):
        _payload, sale = self.sell(a=3)
        self.deliver(self.deliver(sale.picking_ids, a=1))
        self.push()
        self.assertEqual(self.shop.units(), [{"11": 1}, {"11": 2}])

    def test_own_fulfillment_is_recognised(self):
        payload, sale = self.sell()
        self.deliver(sale.picking_ids, tracking="1Z1")
        self.push()
        self.again(payload)
        row = sale.shopify_fulfillment_ids
        self.assertEqual((row.name, row.picking_ids), ("#1001-F1", sale.picking_ids))
        self.assertEqual(len(sale.picking_ids), 1)
        self.assertEqual(sale.order_line.qty_delivered, 2)
        self.env["integration.sync.log"]._append_records(self.out, sale.picking_ids, "change")
        self.push()
        self.assertEqual(self.mutations(), ["fulfillment_create"])

    def test_services_go_with_the_last_delivery(self):
        payload = order(
            1001,
            [
                line(11, "10.00", 2),
                line(12, "5.00", 1, sku=None, variant=None, name="Engraving"),
            ],
            "25.00",
        )
        self.shop.plan(payload, (BERLIN, {11: 2, 12: 1}))
        sale = self.import_one(payload)
        backorder = self.deliver(sale.picking_ids, a=1)
        self.push()
        self.deliver(backorder)
        self.push()
        self.assertEqual(self.shop.units(), [{"11": 1}, {"11": 1, "12": 1}])
        self.again(payload)
        self.assertEqual(len(sale.picking_ids), 2)
        self.assertFalse(sale.activity_ids)

    def test_services_wait_for_what_is_not_picked_yet(self):
        self.stock.warehouse_id.delivery_steps = "pick_ship"
        payload = order(
            1001,
            [
                line(11, "10.00", 2),
                line(12, "5.00", 1, sku=None, variant=None, name="Engraving"),
            ],
            "25.00",
        )
        self.shop.plan(payload, (BERLIN, {11: 2, 12: 1}))
        sale = self.import_one(payload)
        rest = self.deliver(sale.picking_ids, a=1)
        for pick in (None, rest):
            if pick:
                self.deliver(pick)
            self.deliver(sale.picking_ids.filtered(lambda p: p.state != "done") - rest)
            self.push()
        self.assertEqual(self.shop.units(), [{"11": 1}, {"11": 1, "12": 1}])

    def test_parts_of_a_kit_make_whole_units(self):
        """A unit counts with the delivery of its last part."""
        _payload, sale = self.sell(a=2)
        picking = sale.picking_ids
        box, lid = self._product("BOX"), self._product("LID")
        kit = picking.move_ids
        for product, quantity in ((box, 2), (lid, 4)):
            kit.copy(
                {
                    "product_id": product.id,
                    "product_uom_qty": quantity,
                    "picking_id": picking.id,
                    "sale_line_id": sale.order_line.id,
                }
            )
        kit._action_cancel()
        kit.unlink()
        picking.action_confirm()
        for move in picking.move_ids:
            move.quantity = {box: 2, lid: 3}[move.product_id]
            move.picked = True
        picking._action_done()
        self.push()
        self.assertEqual(self.shop.units(), [{"11": 1}])
        self.deliver(picking.backorder_ids)
        self.push()
        self.assertEqual(self.shop.units(), [{"11": 1}, {"11": 1}])

    def test_a_kit_that_is_picked_in_parts(self):
        """What is not picked yet belongs to the kit as well."""
        self.stock.warehouse_id.delivery_steps = "pick_ship"
        _payload, sale = self.sell(a=2)
        pick = sale.picking_ids
        box, lid = self._product("BOX"), self._product("LID")
        kit = pick.move_ids
        for product, quantity in ((box, 2), (lid, 4)):
            kit.copy(
                {
                    "product_id": product.id,
                    "product_uom_qty": quantity,
                    "picking_id": pick.id,
                    "sale_line_id": sale.order_line.id,
                }
            )
        kit._action_cancel()
        kit.unlink()
        pick.action_confirm()
        for move in pick.move_ids:
            move.quantity = {box: 1, lid: 2}[move.product_id]
            move.picked = True
        pick._action_done()
        self.push()
        self.assertEqual(self.shop.units(), [])
        self.deliver(sale.picking_ids - pick - pick.backorder_ids)
        self.push()
        self.assertEqual(self.shop.units(), [{"11": 1}])
        self.deliver(pick.backorder_ids)
        self.deliver(sale.picking_ids.filtered(lambda picking: picking.state != "done"))
        self.push()
        self.assertEqual(self.shop.units(), [{"11": 1}, {"11": 1}])

    def test_clerk_without_a_role_in_integrations(self):
        payload, sale = self.sell()
        clerk = new_test_user(
            self.env, "packer", groups="stock.group_stock_user,sales_team.group_sale_salesman"
        )
        picking = sale.picking_ids.with_user(clerk)
        self.deliver(picking)
        self.push()
        self.again(payload)
        self.assertTrue(picking.shopify_is_cancellable)
        self.assertEqual(picking.shopify_fulfillment_ids.name, "#1001-F1")
        with self.enter_registry_test_mode():
            picking.action_shopify_cancel()
        self.env.invalidate_all()
        self.assertEqual(self.mutations(), ["fulfillment_create", "fulfillment_cancel"])
        self.assertEqual(sale.order_line.qty_delivered, 0)

    def test_button_says_why_it_cannot(self):
        _payload, sale = self.sell()
        with self.assertRaisesRegex(UserError, "not done"):
            sale.picking_ids.action_shopify_ship()
        self.deliver(sale.picking_ids)
        with self.assertRaisesRegex(UserError, "no fulfillment"):
            sale.picking_ids.action_shopify_cancel()
        self.out.enabled = False
        with self.assertRaisesRegex(UserError, "switched off"):
            sale.picking_ids.action_shopify_ship()

    def test_button_sends_what_was_never_sent(self):
        _payload, sale = self.sell()
        self.out.enabled = False
        self.deliver(sale.picking_ids)
        self.out.enabled = True
        self.assertFalse(self.push())
        self.env.flush_all()
        for _click in range(2):
            with self.enter_registry_test_mode():
                answer = sale.picking_ids.action_shopify_ship()
            self.assertEqual(answer["params"]["type"], "success", answer)
        self.assertEqual(self.mutations(), ["fulfillment_create"])

    # === LOST ANSWERS === #

    def test_lost_answer_is_looked_up(self):
        _payload, sale = self.sell()
        self.deliver(sale.picking_ids, tracking="1Z1")
        self.shop.lost = 1
        self.assertEqual(self.push()[-1].state, "pending")
        self.assertEqual(self.push()[-1].state, "done")
        self.assertEqual(self.shop.units(), [{"11": 2}])
        self.assertEqual(self.mutations(), ["fulfillment_create"])

    def test_lost_answer_and_import_in_between(self):
        payload, sale = self.sell()
        self.deliver(sale.picking_ids)
        self.shop.lost = 1
        self.push()
        self.again(payload)
        self.assertEqual(sale.shopify_fulfillment_ids.picking_ids, sale.picking_ids)
        self.assertEqual(self.push()[-1].state, "done")
        self.assertEqual(self.shop.units(), [{"11": 2}])
        self.assertFalse(self.env["integration.intent"].search([("is_lost", "=", True)]))

    def test_lost_request_is_sent_again_when_it_can_no_longer_arrive(self):
        _payload, sale = self.sell()
        self.deliver(sale.picking_ids)
        self.shop.errors = [None, RetryableError("time-out")]
        self.push()
        operation = self.push()[-1]
        self.assertEqual((operation.state, operation.error_class), ("pending", "not_ready"))
        self.assertEqual(self.shop.units(), [])
        self.pass_time()
        self.assertEqual(self.push()[-1].state, "done")
        self.assertEqual(self.shop.units(), [{"11": 2}])

    def test_lost_answer_of_part_and_equal_fulfillment_before(self):
        payload, sale = self.sell(a=4)
        # somebody shipped as much by hand, long ago
        self.shop.ship(payload, BERLIN, {item(11): 2}, createdAt="2026-11-20T10:30:00Z")
        self.again(payload)
        self.assertEqual(sale.order_line.qty_delivered, 2)
        self.deliver(sale.picking_ids.filtered(lambda p: p.state != "done"))
        self.shop.errors = [None, RetryableError("time-out")]
        self.push()
        self.assertEqual(self.shop.units(), [{"11": 2}])
        self.pass_time()
        self.assertEqual(self.push()[-1].state, "done")
        self.assertEqual(self.shop.units(), [{"11": 2}, {"11": 2}])

    def test_refused_is_tried_again(self):
        _payload, sale = self.sell()
        self.deliver(sale.picking_ids)
        self.shop.refused = {"fulfillment_create": {"field": ["fulfillment"], "message": "No"}}
        operation = self.push()[-1]
        self.assertEqual((operation.state, operation.error_class), ("dead", "refused"))
        self.env["integration.sync.log"]._append_records(self.out, sale.picking_ids, "change")
        self.assertEqual(self.push()[-1].state, "done")
        self.assertEqual(self.shop.units(), [{"11": 2}])

    def test_pushed_again_changes_nothing(self):
        _payload, sale = self.sell()
        self.deliver(sale.picking_ids)
        self.push()
        for _click in range(2):
            self.env["integration.sync.log"]._append_records(
                self.out, sale.picking_ids, "manual", force=True
            )
        self.push()
        self.assertEqual(self.mutations(), ["fulfillment_create"])

    # === LOCATIONS === #

    def map_location(self, external, location):
        self.env["integration.mapping"].create(
            {
                "backend_id": self.backend.id,
                "kind": "location",
                "external_value": external,
                "external_label": NAMES[external],
                "resource_ref": f"stock.location,{location.id}",
            }
        )

    def test_one_call_per_location(self):
        _payload, sale = self.sell(a=3, b=1, places=[(BERLIN, {11: 2}), (PARIS, {11: 1, 12: 1})])
        self.deliver(sale.picking_ids)
        self.push()
        self.assertEqual(self.shop.units(), [{"11": 2}, {"11": 1, "12": 1}])

    def test_second_of_two_calls_lost(self):
        payload, sale = self.sell(a=3, places=[(BERLIN, {11: 2}), (PARIS, {11: 1})])
        self.deliver(sale.picking_ids)
        self.shop.errors = [None, None, RetryableError("time-out")]
        self.push()
        self.again(payload)
        self.pass_time()
        self.assertEqual(self.push()[-1].state, "done")
        self.assertEqual(self.shop.units(), [{"11": 2}, {"11": 1}])

    def test_units_move_to_the_location_they_leave(self):
        self.map_location(BERLIN, self.stock)
        _payload, sale = self.sell(a=3, places=[(PARIS, {11: 3})])
        self.deliver(sale.picking_ids, a=2)
        self.push()
        self.assertEqual(self.mutations(), ["fulfillment_order_move", "fulfillment_create"])
        (made,) = self.shop.fulfillments()
        self.assertEqual(made["location"]["id"], BERLIN)
        move = next(v for name, v in self.shop.calls if name == "fulfillment_order_move")
        self.assertEqual([row["quantity"] for row in move["lines"]], [2])

    def test_location_stays_when_it_shall_or_must(self):
        self.map_location(BERLIN, self.stock)
        self.backend.shopify_move_shipments = False
        _payload, sale = self.sell(a=2, places=[(PARIS, {11: 2})])
        backorder = self.deliver(sale.picking_ids, a=1)
        self.push()
        self.backend.shopify_move_shipments = True
        self.deliver(backorder)
        self.shop.refused = {"fulfillment_order_move": {"field": ["id"], "message": "Not stocked"}}
        operation = self.push()[-1]
        self.assertIn("Not stocked", operation.message)
        self.assertEqual({row["location"]["id"] for row in self.shop.fulfillments()}, {PARIS})
        self.assertEqual(self.mutations().count("fulfillment_create"), 2)

    def test_units_at_the_right_location_are_taken_first(self):
        self.map_location(PARIS, self.stock)
        _payload, sale = self.sell(a=3, places=[(BERLIN, {11: 2}), (PARIS, {11: 1})])
        self.deliver(sale.picking_ids, a=1)
        self.push()
        self.assertEqual(self.mutations(), ["fulfillment_create"])
        self.assertEqual(self.shop.fulfillments()[0]["location"]["id"], PARIS)

    # === WHAT CANNOT BE SHIPPED === #

    def test_hold_is_explained_and_waited_for(self):
        payload, sale = self.sell()
        payload["fulfillmentOrders"][0].update(
            status="ON_HOLD",
            fulfillmentHolds=[
                {
                    "id": "gid://shopify/FulfillmentHold/1",
                    "reason": "HIGH_RISK_OF_FRAUD",
                    "displayReason": "High risk of fraud",
                    "reasonNotes": None,
                }
            ],
        )
        self.deliver(sale.picking_ids)
        operation = self.push()[-1]
        self.assertEqual((operation.state, operation.error_class), ("pending", "not_ready"))
        self.assertIn("High risk of fraud", operation.message)
        self.assertEqual(self.mutations(), [])
        payload["fulfillmentOrders"][0].update(status="OPEN", fulfillmentHolds=[])
        self.assertEqual(self.push()[-1].state, "done")
        self.assertEqual(self.shop.units(), [{"11": 2}])

    def test_case_21_part_held_and_released(self):
        """FO of 2: 1 is held, then released: to ship is always 2."""
        payload, sale = self.sell()
        first = payload["fulfillmentOrders"][0]
        first["lineItems"]["nodes"][0].update(totalQuantity=1, remainingQuantity=1)
        first["status"] = "ON_HOLD"
        second = self.shop.open(payload, BERLIN, {item(11): 1})
        first["lineItems"]["nodes"][0].update(totalQuantity=2, remainingQuantity=2)
        first["status"] = "OPEN"
        second["lineItems"]["nodes"][0].update(totalQuantity=0, remainingQuantity=0)
        second["status"] = "CLOSED"
        self.deliver(sale.picking_ids)
        self.push()
        self.assertEqual(self.shop.units(), [{"11": 2}])

    def test_more_than_the_shop_has_is_a_conflict_and_the_rest_is_sent(self):
        payload, sale = self.sell(a=2, b=1)
        payload["fulfillmentOrders"][0]["lineItems"]["nodes"][1].update(
            totalQuantity=0, remainingQuantity=0
        )
        self.deliver(sale.picking_ids)
        operation = self.push()[-1]
        self.assertEqual((operation.state, operation.error_class), ("dead", "conflict"))
        self.assertIn("1 x", operation.message)
        self.assertEqual(self.shop.units(), [{"11": 2}])

    # === TRACKING === #

    def test_parcels_tracking_and_company(self):
        _payload, sale = self.sell()
        sale.picking_ids.carrier_id = self.carrier("UPS Standard")
        self.deliver(sale.picking_ids, tracking="1Z1, 1Z2")
        self.push()
        (made,) = self.shop.fulfillments()
        self.assertEqual(
            [(row["company"], row["number"]) for row in made["trackingInfo"]],
            [("UPS", "1Z1"), ("UPS", "1Z2")],
        )

    def carrier(self, name, **values):
        return self.env["delivery.carrier"].create(
            {
                "name": name,
                "product_id": self._product("SHIP", type="service", is_storable=False).id,
                "delivery_type": "fixed",
                **values,
            }
        )

    def test_links_of_own_carrier(self):
        _payload, sale = self.sell()
        sale.picking_ids.carrier_id = self.carrier(
            "Our van", tracking_url="https://van.example.com/<shipmenttrackingnumber>"
        )
        self.deliver(sale.picking_ids, tracking="7,8")
        self.push()
        sent = next(v for name, v in self.shop.calls if name == "fulfillment_create")
        self.assertEqual(
            sent["fulfillment"]["trackingInfo"],
            {
                "company": "Our van",
                "numbers": ["7", "8"],
                "urls": ["https://van.example.com/7", "https://van.example.com/8"],
            },
        )

    def test_corrected_tracking(self):
        _payload, sale = self.sell()
        self.deliver(sale.picking_ids, tracking="1Z1")
        self.push()
        sale.picking_ids.carrier_tracking_ref = "1Z9"
        self.push()
        self.assertEqual(self.mutations(), ["fulfillment_create", "fulfillment_tracking_update"])
        (made,) = self.shop.fulfillments()
        self.assertEqual([row["number"] for row in made["trackingInfo"]], ["1Z9"])

    def test_buyer_is_told_by_policy(self):
        told = []
        for policy in ("never", "first", "always"):
            self.backend.shopify_notify_shipments = policy
            _payload, sale = self.sell(number=2000 + len(told), a=2)
            self.shop.calls.clear()
            backorder = self.deliver(sale.picking_ids, a=1)
            self.push()
            self.deliver(backorder)
            self.push()
            told += [
                variables["fulfillment"]["notifyCustomer"]
                for name, variables in self.shop.calls
                if name == "fulfillment_create"
            ]
        self.assertEqual(told, [False, False, True, False, True, True])


@tagged("post_install", "-at_install")
class TestShipIn(ShippingCase):
    def delivered(self, sale):
        return {row.product_id.default_code: row.qty_delivered for row in sale.order_line}

    def test_shipment_of_others_is_delivered_once(self):
        payload, sale = self.sell(a=3, b=1)
        self.shop.ship(
            payload,
            BERLIN,
            {item(11): 2},
            ["00340434161094021501"],
            "DHL",
            createdAt="2026-11-20T12:00:00Z",
        )
        self.again(payload)
        self.again({**payload, "updatedAt": "2026-11-20T11:01:30Z", "note": "again"})
        self.assertEqual(self.delivered(sale), {"SKU-1": 2, "SKU-2": 0})
        done = sale.picking_ids.filtered(lambda picking: picking.state == "done")
        self.assertEqual(done.carrier_tracking_ref, "00340434161094021501")
        self.assertEqual(str(done.date_done), "2026-11-20 12:00:00")
        self.assertEqual(len(sale.picking_ids), 2)
        self.assertEqual(sale.shopify_fulfillment_ids.picking_ids, done)
        self.assertFalse(self.push(), "what came from Shopify is not sent back")
        self.shop.ship(payload, BERLIN, {item(11): 1, item(12): 1})
        self.again(payload)
        self.assertEqual(self.delivered(sale), {"SKU-1": 3, "SKU-2": 1})
        self.assertEqual(len(sale.picking_ids), 2)
        self.assertFalse(sale.activity_ids)

    def test_all_at_once_with_the_order(self):
        payload = order(1001, [line(11, "10.00", 2)], "20.00")
        self.shop.plan(payload, (BERLIN, {11: 2}))
        self.shop.ship(payload, BERLIN, {item(11): 1})
        self.shop.ship(payload, BERLIN, {item(11): 1})
        sale = self.import_one(payload)
        self.assertEqual(self.delivered(sale), {"SKU-1": 2})
        self.assertEqual(len(sale.picking_ids), 2)

    def test_done_by_hand_on_both_sides_is_one_shipment(self):
        payload, sale = self.sell(a=2)
        self.deliver(sale.picking_ids, a=1)
        self.shop.ship(payload, BERLIN, {item(11): 1})
        self.again(payload)
        self.assertEqual(self.delivered(sale), {"SKU-1": 1})
        self.push()
        self.assertEqual(self.mutations(), [])

    def test_shipped_by_hand_before_the_delivery_is_sent(self):
        payload, sale = self.sell(a=1)
        self.deliver(sale.picking_ids, tracking="1Z1")
        self.shop.ship(payload, BERLIN, {item(11): 1})
        self.assertEqual(self.push()[-1].state, "done")
        self.assertEqual(self.mutations(), ["fulfillment_tracking_update"])
        self.again(payload)
        self.assertEqual(self.delivered(sale), {"SKU-1": 1})
        self.assertEqual(sale.shopify_fulfillment_ids.picking_ids, sale.picking_ids)

    def test_shipped_and_given_back_all_at_once(self):
        """Ends in the same stock as step by step."""
        found = []
        for number, steps in ((1001, True), (1002, False)):
            payload = order(number, [line(11, "10.00", 2)], "20.00")
            self.shop.plan(payload, (BERLIN, {11: 2}))
            if steps:
                self.import_one(payload)
            self.shop.ship(payload, BERLIN, {item(11): 2})
            if steps:
                self.again(payload)
            self.shop.touch(payload)
            payload["lineItems"]["nodes"][0]["currentQuantity"] = 1
            payload["currentTotalPriceSet"] = money("10.00")
            payload["agreements"] = agreements(
                agreement(number, [sale_row(number, "PRODUCT", "20.00", quantity=2, line=11)]),
                agreement(
                    10 * number,
                    [
                        sale_row(
                            10 * number, "PRODUCT", "-10.00", quantity=-1, action="RETURN", line=11
                        )
                    ],
                    "REFUND",
                    "2099-01-02T00:00:00Z",
                    refund={"id": f"gid://shopify/Refund/{number}"},
                ),
            )
            payload["refunds"] = [
                refund(number, "10.00", lines=[(11, 1, "RETURN")], at="2099-01-02T00:00:00Z")
            ]
            sale = self.import_one(payload)
            out = sale.picking_ids.filtered(lambda p: p.location_dest_id.usage == "customer")
            found.append(
                (
                    sale.order_line.qty_delivered,
                    sorted(out.mapped("state")),
                    sum(out.move_ids.mapped("quantity")),
                    sum((sale.picking_ids - out).move_ids.mapped("quantity")),
                )
            )
        self.assertEqual(found[0], (1, ["done"], 2, 1))
        self.assertEqual(found[0], found[1])

    def test_goods_leave_from_the_location_of_the_shipment(self):
        other = self.env["stock.warehouse"].create({"name": "Paris", "code": "PAR"})
        self.env["integration.mapping"].create(
            {
                "backend_id": self.backend.id,
                "kind": "location",
                "external_value": PARIS,
                "external_label": "Paris",
                "resource_ref": f"stock.location,{other.lot_stock_id.id}",
            }
        )
        payload, sale = self.sell(a=2)
        first = sale.picking_ids
        first.move_ids.product_uom_qty = 1
        second = first.copy(
            {
                "move_ids": [],
                "location_id": other.lot_stock_id.id,
                "picking_type_id": other.out_type_id.id,
            }
        )
        first.move_ids.copy({"picking_id": second.id, "location_id": other.lot_stock_id.id})
        second.action_confirm()
        self.shop.ship(payload, PARIS, {item(11): 1})
        self.shop.add(payload, PARIS, {item(11): 1})
        self.again(payload)
        self.assertEqual((first.state, second.state), ("done", "done"))
        rows = sale.shopify_fulfillment_ids
        self.assertEqual(rows.filtered(lambda row: row.name.endswith("F1")).picking_ids, second)

    def test_not_followed_when_switched_off(self):
        self.backend.shopify_follow_shipments = False
        payload, sale = self.sell()
        self.shop.ship(payload, BERLIN, {item(11): 2})
        self.again(payload)
        self.assertEqual(self.delivered(sale), {"SKU-1": 0})
        self.assertEqual(sale.shopify_fulfillment_ids.status, "SUCCESS")

    def test_acknowledged_by_a_service_is_not_shipped_yet(self):
        payload, sale = self.sell()
        made = self.shop.ship(payload, BERLIN, {item(11): 2}, status="OPEN")
        self.again(payload)
        self.assertEqual(self.delivered(sale), {"SKU-1": 0})
        made["status"] = "SUCCESS"
        self.shop.touch(payload)
        self.again(payload)
        self.assertEqual(self.delivered(sale), {"SKU-1": 2})

    def test_nothing_left_to_deliver_is_a_to_do(self):
        payload, sale = self.sell()
        sale.picking_ids.action_cancel()
        self.shop.ship(payload, BERLIN, {item(11): 2})
        self.again(payload)
        self.shop.touch(payload)
        self.again(payload)
        (activity,) = sale.activity_ids
        self.assertIn("nothing of it left", activity.note)

    def test_not_picked_yet_is_a_to_do(self):
        self.stock.warehouse_id.delivery_steps = "pick_ship"
        payload, sale = self.sell()
        pick = sale.picking_ids
        self.shop.ship(payload, BERLIN, {item(11): 2})
        self.again(payload)
        (activity,) = sale.activity_ids
        self.assertIn("not picked", activity.note)
        self.assertIn(pick.name, activity.note)
        self.deliver(pick)
        self.deliver(sale.picking_ids - pick)
        self.push()
        # Shopify knows, and is not told again
        self.assertEqual(self.mutations(), [])
        self.assertEqual(self.delivered(sale), {"SKU-1": 2})

    def test_unknown_lots_are_a_to_do(self):
        self.product.tracking = "serial"
        payload, sale = self.sell(a=1)
        self.shop.ship(payload, BERLIN, {item(11): 1})
        self.again(payload)
        self.assertEqual(self.delivered(sale), {"SKU-1": 0})
        (activity,) = sale.activity_ids
        self.assertIn("serial or lot", activity.note)

    def test_reserved_lots_are_shipped(self):
        self.product.tracking = "lot"
        lot = self.env["stock.lot"].create({"name": "L1", "product_id": self.product.id})
        self.env["stock.quant"]._update_available_quantity(self.product, self.stock, 5, lot_id=lot)
        payload, sale = self.sell(a=2)
        self.shop.ship(payload, BERLIN, {item(11): 1})
        self.again(payload)
        self.assertEqual(self.delivered(sale), {"SKU-1": 1})
        self.assertFalse(sale.activity_ids)

    def test_corrected_tracking_is_shown(self):
        payload, sale = self.sell()
        made = self.shop.ship(payload, BERLIN, {item(11): 2}, ["A1"])
        self.again(payload)
        made["trackingInfo"][0]["number"] = "A2"
        self.shop.touch(payload)
        self.again(payload)
        self.assertEqual(sale.picking_ids.carrier_tracking_ref, "A2")
        self.assertFalse(self.push())

    # === CANCELLED === #

    def test_cancelled_shipment_returns_and_ships_again(self):
        payload, sale = self.sell()
        self.deliver(sale.picking_ids)
        self.push()
        self.again(payload)
        self.shop.cancel(payload, self.shop.fulfillments()[0])
        self.again(payload)
        self.shop.touch(payload)
        self.again(payload)
        self.assertEqual(self.delivered(sale), {"SKU-1": 0})
        row = sale.shopify_fulfillment_ids
        self.assertEqual((len(row.return_ids), row.return_ids.state), (1, "done"))
        waiting = sale.picking_ids.filtered(lambda p: p.state not in ("done", "cancel"))
        self.assertEqual(waiting.move_ids.product_uom_qty, 2)
        self.assertEqual(len(sale.picking_ids), 3)
        self.deliver(waiting)
        self.push()
        self.assertEqual(self.shop.units(), [{"11": 2}])
        self.again(payload)
        self.assertEqual(self.delivered(sale), {"SKU-1": 2})

    def test_cancelled_shipment_of_a_part(self):
        """Afterwards Shopify shows nothing but open work, as if nothing had been shipped."""
        payload, sale = self.sell(a=3)
        self.deliver(sale.picking_ids, a=2)
        self.push()
        self.again(payload)
        self.shop.cancel(payload, self.shop.fulfillments()[0])
        self.again(payload)
        self.assertEqual(self.delivered(sale), {"SKU-1": 0})
        waiting = sale.picking_ids.filtered(lambda p: p.state not in ("done", "cancel"))
        self.assertEqual(sum(waiting.move_ids.mapped("product_uom_qty")), 3)

    def test_cancelled_from_the_delivery(self):
        payload, sale = self.sell()
        picking = sale.picking_ids
        self.deliver(picking)
        self.push()
        self.again(payload)
        row = picking.shopify_fulfillment_ids
        row.display_status = "IN_TRANSIT"
        picking.invalidate_recordset()
        self.assertFalse(picking.shopify_is_cancellable, "it would bring no goods back")
        row.display_status = "FULFILLED"
        picking.invalidate_recordset()
        self.assertTrue(picking.shopify_is_cancellable)
        self.env.flush_all()
        for _click in range(2):
            with self.enter_registry_test_mode():
                row = picking.shopify_fulfillment_ids
                row._cancel(picking)
        self.assertEqual(self.mutations().count("fulfillment_cancel"), 1)
        self.again(payload)
        self.assertEqual(self.delivered(sale), {"SKU-1": 0})
        self.assertTrue(picking.shopify_is_shipped)
        self.assertFalse(picking.shopify_is_cancellable)

    def test_cancelled_before_it_was_seen_is_nothing(self):
        payload, sale = self.sell()
        self.shop.cancel(payload, self.shop.ship(payload, BERLIN, {item(11): 2}))
        self.again(payload)
        self.assertEqual(self.delivered(sale), {"SKU-1": 0})
        self.assertEqual(len(sale.picking_ids), 1)

    def test_cancelled_on_its_way_is_a_to_do(self):
        payload, sale = self.sell()
        made = self.shop.ship(payload, BERLIN, {item(11): 2})
        self.again(payload)
        made["inTransitAt"] = "2026-11-21T08:00:00Z"
        self.shop.cancel(payload, made)
        self.again(payload)
        self.assertEqual(self.delivered(sale), {"SKU-1": 2})
        (activity,) = sale.activity_ids
        self.assertIn("on its way", activity.note)

    def test_units_already_taken_back_are_not_taken_twice(self):
        payload, sale = self.sell()
        made = self.shop.ship(payload, BERLIN, {item(11): 2})
        self.again(payload)
        wizard = self.env["stock.return.picking"].create({"picking_id": sale.picking_ids.id})
        wizard.product_return_moves.quantity = 2
        back = wizard._create_return()
        back.move_ids.write({"quantity": 2, "picked": True})
        back._action_done()
        self.shop.cancel(payload, made)
        self.again(payload)
        self.assertFalse(sale.shopify_fulfillment_ids.return_ids)
        self.assertEqual(self.delivered(sale), {"SKU-1": 0})


class TestShipping(BaseCase):
    def test_carriers(self):
        self.assertEqual(len(shipping.COMPANIES), len(set(shipping.COMPANIES)))
        for name, delivery_type, wanted in (
            ("UPS Standard", "fixed", "UPS"),
            ("dhl express  worldwide", "fixed", "DHL Express"),
            ("Groups", "fixed", "Groups"),
            ("US parcels", "usps", "USPS"),
            ("Österreichische Post Paket", "", "Österreichische Post"),
        ):
            self.assertEqual(shipping.company_of(name, delivery_type), wanted)

    def test_long_orders_are_shipped_in_parts(self):
        """Shopify takes no list of more than 250."""
        found = FulfillmentOrder.model_validate(
            {
                "id": "gid://shopify/FulfillmentOrder/1",
                "status": "OPEN",
                "requestStatus": "UNSUBMITTED",
                "assignedLocation": {"name": "Berlin", "location": {"id": BERLIN}},
                "supportedActions": [{"action": "CREATE_FULFILLMENT"}],
                "fulfillmentHolds": [],
                "lineItems": [
                    {
                        "id": f"gid://shopify/FulfillmentOrderLineItem/{number}",
                        "totalQuantity": 1,
                        "remainingQuantity": 1,
                        "lineItem": {"id": item(number)},
                    }
                    for number in range(600)
                ],
            }
        )
        plan = shipping.plan([found], {item(number): 1 for number in range(601)})
        self.assertEqual([len(part.units) for part in plan.parts], [250, 250, 100])
        self.assertEqual(
            [sum(map(len, part.rows.values())) for part in plan.parts], [250, 250, 100]
        )
        self.assertEqual(plan.missing, {item(600): 1})

    def test_numbers(self):
        self.assertEqual(shipping.split_numbers(" A 1, B2;A 1,\nC3 ,"), ["A 1", "B2", "C3"])
        self.assertEqual(shipping.tracking_mark(["a", "b"]), shipping.tracking_mark(["b", "a"]))
        self.assertEqual(shipping.tracking_mark([]), "")
