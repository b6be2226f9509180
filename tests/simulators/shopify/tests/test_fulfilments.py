"""Shipping through the API: what it does, and what it refuses with which words."""

from __future__ import annotations

from typing import Any

import pytest

from ..app import Simulator
from ..payloads import payload
from ..records import FulfillmentOrder, Order
from .helpers import Run

CREATE = """
mutation Create($input: FulfillmentInput!) {
  fulfillmentCreate(fulfillment: $input) {
    fulfillment {
      id name status displayStatus totalQuantity trackingInfo(first: 5) { company number url }
      fulfillmentLineItems(first: 5) { nodes { quantity lineItem { id } } }
    }
    userErrors { field message }
  }
}
"""
HOLD = """
mutation Hold($id: ID!, $hold: FulfillmentOrderHoldInput!) {
  fulfillmentOrderHold(id: $id, fulfillmentHold: $hold) {
    fulfillmentHold { id reason heldByRequestingApp }
    fulfillmentOrder { id status lineItems(first: 5) { nodes { totalQuantity } } }
    remainingFulfillmentOrder { status lineItems(first: 5) { nodes { totalQuantity } } }
    userErrors { field message code }
  }
}
"""
RELEASE = """
mutation Release($id: ID!) {
  fulfillmentOrderReleaseHold(id: $id) { fulfillmentOrder { status } userErrors { message } }
}
"""
MOVE = """
mutation Move($id: ID!, $to: ID!, $lines: [FulfillmentOrderLineItemInput!]) {
  fulfillmentOrderMove(id: $id, newLocationId: $to, fulfillmentOrderLineItems: $lines) {
    movedFulfillmentOrder { id assignedLocation { location { id } } }
    originalFulfillmentOrder { id }
    remainingFulfillmentOrder { id }
    userErrors { field message }
  }
}
"""
SPLIT = """
mutation Split($splits: [FulfillmentOrderSplitInput!]!) {
  fulfillmentOrderSplit(fulfillmentOrderSplits: $splits) {
    fulfillmentOrderSplits {
      fulfillmentOrder {
        supportedActions { action }
        lineItems(first: 5) { nodes { totalQuantity } }
      }
      remainingFulfillmentOrder { lineItems(first: 5) { nodes { totalQuantity } } }
    }
    userErrors { field message code }
  }
}
"""
CANCEL = """
mutation Cancel($id: ID!) {
  fulfillmentCancel(id: $id) { fulfillment { status displayStatus } userErrors { message } }
}
"""


def ordered(simulator: Simulator, quantity: int = 2, **line: Any) -> tuple[Order, FulfillmentOrder]:
    row = {"sku": "MUG-350", "quantity": quantity, **line}
    order = simulator.shop.place_order({"lines": [row]})
    return order, order.fulfillment_orders[0]


def whole(work: FulfillmentOrder, *quantities: int, **more: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"fulfillmentOrderId": work.gid}
    if quantities:
        row["fulfillmentOrderLineItems"] = [
            {"id": line.gid, "quantity": quantity}
            for line, quantity in zip(work.lines, quantities, strict=True)
        ]
    return {"input": {"lineItemsByFulfillmentOrder": [row], **more}}


def create(graphql: Run, variables: dict[str, Any]) -> dict[str, Any]:
    return graphql(CREATE, variables)["data"]["fulfillmentCreate"]


def state(order: Order) -> list[tuple[str, list[tuple[int, int]]]]:
    return [
        (fo.status, [(row.total, row.remaining) for row in fo.lines])
        for fo in order.fulfillment_orders
    ]


def test_parcels_are_shipped_one_after_the_other(simulator: Simulator, graphql: Run) -> None:
    order, work = ordered(simulator, 3)
    parcel = {"company": "DHL", "numbers": ["1", "2"], "urls": ["https://t/1", "https://t/2"]}
    answer = create(graphql, whole(work, 2, trackingInfo=parcel))
    assert answer["userErrors"] == []
    made = answer["fulfillment"]
    assert (made["name"], made["status"], made["displayStatus"]) == (
        f"{order.name}-F1",
        "SUCCESS",
        "FULFILLED",
    )
    assert made["trackingInfo"] == [
        {"company": "DHL", "number": "1", "url": "https://t/1"},
        {"company": "DHL", "number": "2", "url": "https://t/2"},
    ]
    assert (work.status, order.fulfillment_status) == ("IN_PROGRESS", "PARTIALLY_FULFILLED")
    assert create(graphql, whole(work))["fulfillment"]["totalQuantity"] == 1
    assert (state(order), order.fulfillment_status) == ([("CLOSED", [(3, 0)])], "FULFILLED")
    assert simulator.shop.effects["fulfillments"] == 2


def test_what_cannot_be_shipped_is_refused(simulator: Simulator, graphql: Run) -> None:
    order, work = ordered(simulator)
    error = create(graphql, whole(work, 3))["userErrors"]
    assert error == [
        {
            "field": ["fulfillment"],
            "message": "Invalid fulfillment order line item quantity requested.",
        }
    ]
    graphql(HOLD, {"id": work.gid, "hold": {"reason": "OTHER"}})
    error = create(graphql, whole(work))["userErrors"][0]
    assert error["message"] == f"Fulfillment order {work.id} has an unfulfillable status= on_hold."
    graphql(RELEASE, {"id": work.gid})
    create(graphql, whole(work))
    error = create(graphql, whole(work))["userErrors"][0]
    assert error["message"] == f"Fulfillment order {work.id} has an unfulfillable status= closed."
    assert len(order.fulfillments) == 1


def test_one_call_ships_from_one_place_for_one_order(simulator: Simulator, graphql: Run) -> None:
    shop = simulator.shop
    other = shop.add_location("Elsewhere")
    order = shop.place_order(
        {
            "lines": [
                {"title": "Here", "price": "1"},
                {"title": "There", "price": "1", "location": other.gid},
            ]
        }
    )
    here, there = order.fulfillment_orders
    assert (here.location, there.location) == (shop.default_location, other)
    _order, stranger = ordered(simulator)
    for pair in ((here, there), (here, stranger)):
        rows = [{"fulfillmentOrderId": work.gid} for work in pair]
        error = create(graphql, {"input": {"lineItemsByFulfillmentOrder": rows}})["userErrors"][0]
        assert error["field"] == ["fulfillment"]
        assert str(pair[1].id) in error["message"]
    shop.fulfil(order)
    assert [f.location for f in order.fulfillments] == [shop.default_location, other]


def test_units_of_two_fulfillment_orders_are_one_line(simulator: Simulator, graphql: Run) -> None:
    order, work = ordered(simulator)
    line = [{"id": work.lines[0].gid, "quantity": 1}]
    split = {"fulfillmentOrderId": work.gid, "fulfillmentOrderLineItems": line}
    result = graphql(SPLIT, {"splits": [split]})["data"]["fulfillmentOrderSplit"]
    (pair,) = result["fulfillmentOrderSplits"]
    assert "MERGE" in [row["action"] for row in pair["fulfillmentOrder"]["supportedActions"]]
    assert state(order) == [("OPEN", [(1, 1)]), ("OPEN", [(1, 1)])]
    rows = [{"fulfillmentOrderId": fo.gid} for fo in order.fulfillment_orders]
    made = create(graphql, {"input": {"lineItemsByFulfillmentOrder": rows}})["fulfillment"]
    assert [row["quantity"] for row in made["fulfillmentLineItems"]["nodes"]] == [2]


def test_cancelled_fulfillment_leaves_its_order_closed(simulator: Simulator, graphql: Run) -> None:
    order, work = ordered(simulator)
    gid = create(graphql, whole(work))["fulfillment"]["id"]
    assert order.closed_at
    for _time in range(2):
        answer = graphql(CANCEL, {"id": gid})["data"]["fulfillmentCancel"]
        assert answer["fulfillment"] == {"status": "CANCELLED", "displayStatus": "CANCELED"}
    assert state(order) == [("CLOSED", [(2, 2)]), ("OPEN", [(2, 2)])]
    assert (order.closed_at, order.fulfillment_status) == (None, "UNFULFILLED")
    assert order.lines[0].fulfillable == 2
    assert simulator.shop.effects["fulfillmentCancellations"] == 1
    level = order.lines[0].variant.item.levels[0]
    assert level.quantity("committed") == 2


def test_tracking_and_events_of_a_cancelled_fulfillment(simulator: Simulator, graphql: Run) -> None:
    order, _work = ordered(simulator)
    fulfillment = simulator.shop.fulfil(order)
    track = """mutation ($id: ID!) { fulfillmentTrackingInfoUpdate(fulfillmentId: $id,
        trackingInfoInput: {company: "UPS", number: "9"}) {
        fulfillment { trackingInfo { number } } userErrors { message } } }"""
    event = """mutation ($id: ID!) { fulfillmentEventCreate(fulfillmentEvent: {
        fulfillmentId: $id, status: DELIVERED}) {
        fulfillmentEvent { status } userErrors { message } } }"""
    graphql(event, {"id": fulfillment.gid})
    assert fulfillment.display_status == "DELIVERED"
    graphql(CANCEL, {"id": fulfillment.gid})
    for document in (track, event):
        answer = next(iter(graphql(document, {"id": fulfillment.gid})["data"].values()))
        assert answer["userErrors"] == []
    assert fulfillment.tracking[0]["number"] == "9"


def test_moved_units_get_a_fulfillment_order_there(simulator: Simulator, graphql: Run) -> None:
    shop = simulator.shop
    order, work = ordered(simulator)
    other = shop.add_location("Elsewhere")
    error = graphql(MOVE, {"id": work.gid, "to": other.gid})["data"]["fulfillmentOrderMove"]
    assert "does not stock" in error["userErrors"][0]["message"]
    item = order.lines[0].variant.item
    level = shop.add_level(item, other)
    part = [{"id": work.lines[0].gid, "quantity": 1}]
    moved = graphql(MOVE, {"id": work.gid, "to": other.gid, "lines": part})
    moved = moved["data"]["fulfillmentOrderMove"]
    assert moved["originalFulfillmentOrder"] == moved["remainingFulfillmentOrder"]
    assert moved["movedFulfillmentOrder"]["assignedLocation"]["location"]["id"] == other.gid
    assert (level.quantity("committed"), level.quantity("available")) == (1, -1)
    rest = graphql(MOVE, {"id": work.gid, "to": other.gid})["data"]["fulfillmentOrderMove"]
    assert rest["movedFulfillmentOrder"]["id"] == work.gid
    assert rest["remainingFulfillmentOrder"] is None


def test_what_is_told_of_fulfillment_orders(simulator: Simulator) -> None:
    shop = simulator.shop
    order, work = ordered(simulator, 3)
    other = shop.add_location("Elsewhere")
    shop.add_level(order.lines[0].variant.item, other)
    told: list[tuple[str, dict[str, Any]]] = []
    shop.emit = lambda topic, record: told.append((topic, payload(shop, topic, record)))
    before = order.updated_at
    shop.hold(work, {"reason": "OTHER"}, [(work.lines[0], 1)])
    shop.release(work)
    moved, _rest = shop.move(work, other, [(work.lines[0], 1)])
    shop.split(work, [(work.lines[0], 1)])
    bodies = {topic: body for topic, body in told if topic.startswith("FULFILLMENT_ORDERS_")}
    assert list(bodies) == [
        "FULFILLMENT_ORDERS_PLACED_ON_HOLD",
        "FULFILLMENT_ORDERS_HOLD_RELEASED",
        "FULFILLMENT_ORDERS_MOVED",
        "FULFILLMENT_ORDERS_SPLIT",
    ]
    body = bodies["FULFILLMENT_ORDERS_MOVED"]
    assert body["moved_fulfillment_order"] == {"id": moved.gid, "status": "open"}
    assert body["source_location"] == {"id": shop.default_location.gid}
    # None of it is a change of the order.
    assert "ORDERS_UPDATED" not in [topic for topic, _body in told]
    assert order.updated_at == before


@pytest.mark.parametrize("handles", [["a", "a"], [None, None]])
def test_a_hold_has_a_name_of_its_own(
    simulator: Simulator, graphql: Run, handles: list[str | None]
) -> None:
    _order, work = ordered(simulator)
    codes = []
    for handle in handles:
        hold = {"reason": "OTHER", **({"handle": handle} if handle else {})}
        answer = graphql(HOLD, {"id": work.gid, "hold": hold})["data"]["fulfillmentOrderHold"]
        codes.append([error["code"] for error in answer["userErrors"]])
    assert codes == [[], ["DUPLICATE_FULFILLMENT_HOLD_HANDLE"]]


def test_ten_holds_and_no_more(simulator: Simulator, graphql: Run) -> None:
    _order, work = ordered(simulator)
    for number in range(11):
        hold = {"reason": "OTHER", "handle": str(number)}
        answer = graphql(HOLD, {"id": work.gid, "hold": hold})["data"]["fulfillmentOrderHold"]
    assert answer["userErrors"][0]["code"] == "FULFILLMENT_ORDER_HOLD_LIMIT_REACHED"


def test_a_cancelled_fulfillment_order_is_replaced(simulator: Simulator, graphql: Run) -> None:
    order, work = ordered(simulator)
    cancel = """mutation ($id: ID!) { fulfillmentOrderCancel(id: $id) {
        fulfillmentOrder { status } replacementFulfillmentOrder { status }
        userErrors { field message } } }"""
    answer = graphql(cancel, {"id": work.gid})["data"]["fulfillmentOrderCancel"]
    assert answer["replacementFulfillmentOrder"] == {"status": "OPEN"}
    assert state(order) == [("CLOSED", []), ("OPEN", [(2, 2)])]
