"""Fulfilment as the API says and changes it."""

from __future__ import annotations

from typing import Any

from graphql import GraphQLResolveInfo

from .fulfilments import Pick, Rows
from .money import Bag, total
from .mutations import mutation, refused, user_error
from .records import Fulfillment, FulfillmentLine, FulfillmentOrder
from .resolvers import (
    bag,
    by_id,
    connection,
    find,
    first_of,
    listed,
    searched,
    served,
    shop_of,
    stamp,
)
from .shop import Refused

# === FULFILMENT === #


def _assigned(order: FulfillmentOrder) -> dict[str, Any]:
    place = order.location.address
    return {
        "location": order.location,
        "name": order.location.name,
        "address1": place.address1,
        "address2": place.address2,
        "city": place.city,
        "zip": place.zip,
        "province": place.province,
        "phone": place.phone,
        "countryCode": place.country_code,
    }


def _actions(order: FulfillmentOrder) -> list[dict[str, Any]]:
    names = {
        "OPEN": ["CREATE_FULFILLMENT", "REPORT_PROGRESS", "MOVE", "HOLD", "SPLIT"],
        "IN_PROGRESS": ["CREATE_FULFILLMENT", "MARK_AS_OPEN"],
        "ON_HOLD": ["RELEASE_HOLD", "MOVE", "HOLD"],
    }.get(order.status, [])
    if order.was_split and order.status == "OPEN":
        names = [*names, "MERGE"]
    return [{"action": name, "externalUrl": None} for name in names]


served(
    "FulfillmentOrder",
    id="gid",
    status="status",
    requestStatus="request_status",
    order="order",
    orderId=lambda f, i: f.order.gid,
    orderName=lambda f, i: f.order.name,
    orderProcessedAt=lambda f, i: stamp(f.order.processed_at),
    createdAt="created_at",
    updatedAt="updated_at",
    assignedLocation=lambda f, i: _assigned(f),
    lineItems=listed("lines"),
    supportedActions=lambda f, i: _actions(f),
    fulfillmentHolds="holds",
    fulfillments=lambda f, i, **a: connection(
        [x for x in f.order.fulfillments if f in x.fulfillment_orders], **a
    ),
    deliveryMethod=lambda f, i: None,
    destination=lambda f, i: None,
    fulfillAt=lambda f, i: None,
    fulfillBy=lambda f, i: None,
)
served(
    "FulfillmentOrderLineItem",
    id="gid",
    lineItem="line",
    totalQuantity="total",
    remainingQuantity="remaining",
    sku=lambda r, i: r.line.sku,
    productTitle=lambda r, i: r.line.title,
    variantTitle=lambda r, i: r.line.variant_title,
    vendor=lambda r, i: r.line.vendor,
    variant=lambda r, i: r.line.variant,
    inventoryItemId=lambda r, i: r.line.variant.item.gid if r.line.variant else None,
    requiresShipping=lambda r, i: r.line.requires_shipping,
    image=lambda r, i: None,
)


def _shipped_total(fulfillment: Fulfillment) -> int:
    return sum(row.quantity for row in fulfillment.lines)


served(
    "Fulfillment",
    id="gid",
    legacyResourceId=lambda f, i: str(f.id),
    name="name",
    order="order",
    status="status",
    displayStatus="display_status",
    createdAt="created_at",
    updatedAt="updated_at",
    deliveredAt=lambda f, i: stamp(f.first_event("DELIVERED")),
    inTransitAt=lambda f, i: stamp(f.first_event("IN_TRANSIT")),
    estimatedDeliveryAt=lambda f, i: stamp(
        next((e.estimated_at for e in reversed(f.events) if e.estimated_at), None)
    ),
    events=lambda f, i, sortKey=None, **a: connection(f.events, **a),
    fulfillmentOrders=lambda f, i, **a: connection(f.fulfillment_orders, **a),
    service=lambda f, i: _service(f),
    location="location",
    requiresShipping=lambda f, i: True,
    totalQuantity=lambda f, i: _shipped_total(f),
    trackingInfo=first_of("tracking"),
    fulfillmentLineItems=lambda f, i, **a: connection(f.lines, **a),
)
served(
    "FulfillmentLineItem",
    id="gid",
    lineItem="line",
    quantity="quantity",
    originalTotalSet=lambda r, i: bag(r.line.order, r.line.unit_price.times(r.quantity)),
    discountedTotalSet=lambda r, i: bag(r.line.order, _discounted(r)),
)
served(
    "FulfillmentEvent",
    id="gid",
    status="status",
    happenedAt="happened_at",
    createdAt="created_at",
    estimatedDeliveryAt="estimated_at",
    message="message",
)
served(
    "FulfillmentHold",
    id="gid",
    reason="reason",
    reasonNotes="notes",
    displayReason=lambda h, i: h.reason.replace("_", " ").capitalize(),
    handle="handle",
    heldByRequestingApp="by_app",
    heldByApp=lambda h, i: shop_of(i) if h.by_app else None,
)


def _discounted(row: FulfillmentLine) -> Bag:
    """Share of the units after the discounts of the line, not those of the whole order."""
    line = row.line
    own = total(a.amount for a in line.allocations if not a.discount.across)
    return (line.original_total - own).share(row.quantity, line.quantity, line.order.currencies)


def _service(fulfillment: Fulfillment) -> dict[str, Any] | None:
    name = fulfillment.service
    if name is None:
        return None
    handle = "-".join(name.lower().split())
    return {
        "id": f"gid://shopify/FulfillmentService/{handle}",
        "serviceName": name,
        "handle": handle,
        "type": "THIRD_PARTY",
        "location": fulfillment.location,
        "inventoryManagement": True,
        "trackingSupport": True,
        "requiresShippingMethod": True,
        "callbackUrl": None,
    }


# === SHIPPING === #


def tracking_rows(info: dict[str, Any] | None) -> list[dict[str, Any]]:
    """One row for each number or address, the carrier repeated."""
    info = info or {}
    numbers = info.get("numbers") or ([info["number"]] if info.get("number") else [])
    urls = info.get("urls") or ([info["url"]] if info.get("url") else [])
    count = max(len(numbers), len(urls), 1 if info.get("company") else 0)
    return [
        {
            "company": info.get("company"),
            "number": numbers[index] if index < len(numbers) else None,
            "url": urls[index] if index < len(urls) else None,
        }
        for index in range(count)
    ]


def _picked(
    fulfillment_order: FulfillmentOrder, inputs: list[dict[str, Any]] | None
) -> Rows | None:
    """Lines of an input; None for the whole fulfillment order.

    :raises Refused: a line is not of this fulfillment order.
    """
    if not inputs:
        return None
    known = {row.gid: row for row in fulfillment_order.lines}
    if any(row["id"] not in known for row in inputs):
        raise Refused("Invalid fulfillment order line item quantity requested.", ["fulfillment"])
    return [(known[row["id"]], row["quantity"]) for row in inputs]


def _work(
    info: GraphQLResolveInfo, gid: str, path: list[str], code: str | None = None
) -> FulfillmentOrder:
    """Fulfillment order of an id.

    :raises Refused: there is none.
    """
    fulfillment_order = find(info, gid, "FulfillmentOrder")
    if fulfillment_order is None:
        raise Refused("Fulfillment order does not exist.", path, code)
    return fulfillment_order


@mutation("fulfillmentCreate")
def _create(
    _root: Any, info: GraphQLResolveInfo, fulfillment: dict[str, Any], message: str | None = None
) -> Any:
    picks: list[Pick] = []
    try:
        for row in fulfillment["lineItemsByFulfillmentOrder"]:
            work = _work(info, row["fulfillmentOrderId"], ["fulfillment"])
            picks.append((work, _picked(work, row.get("fulfillmentOrderLineItems"))))
        if not picks:
            raise Refused("Line items by fulfillment order can't be blank", ["fulfillment"])
        created = shop_of(info).ship(
            picks,
            tracking_rows(fulfillment.get("trackingInfo")),
            notify=bool(fulfillment.get("notifyCustomer")),
        )
    except Refused as error:
        return {"fulfillment": None, "userErrors": [refused(error)]}
    return {"fulfillment": created, "userErrors": []}


def _track(
    _root: Any,
    info: GraphQLResolveInfo,
    fulfillmentId: str,
    trackingInfoInput: dict[str, Any],
    notifyCustomer: bool | None = None,
) -> Any:
    fulfillment = find(info, fulfillmentId, "Fulfillment")
    if fulfillment is None:
        message = user_error("Fulfillment does not exist.", ["fulfillmentId"])
        return {"fulfillment": None, "userErrors": [message]}
    rows = tracking_rows(trackingInfoInput)
    shop_of(info).track(fulfillment, rows, notify=bool(notifyCustomer))
    return {"fulfillment": fulfillment, "userErrors": []}


mutation("fulfillmentTrackingInfoUpdate")(_track)
mutation("fulfillmentTrackingInfoUpdateV2")(_track)


@mutation("fulfillmentCancel")
def _cancel(_root: Any, info: GraphQLResolveInfo, id: str) -> Any:
    fulfillment = find(info, id, "Fulfillment")
    if fulfillment is None:
        message = user_error("Fulfillment not found.", ["id"])
        return {"fulfillment": None, "userErrors": [message]}
    try:
        shop_of(info).cancel_fulfillment(fulfillment)
    except Refused as error:
        return {"fulfillment": fulfillment, "userErrors": [refused(error)]}
    return {"fulfillment": fulfillment, "userErrors": []}


@mutation("fulfillmentEventCreate")
def _event(_root: Any, info: GraphQLResolveInfo, fulfillmentEvent: dict[str, Any]) -> Any:
    fulfillment = find(info, fulfillmentEvent["fulfillmentId"], "Fulfillment")
    if fulfillment is None:
        message = user_error("Fulfillment does not exist.", ["fulfillmentEvent", "fulfillmentId"])
        return {"fulfillmentEvent": None, "userErrors": [message]}
    event = shop_of(info).report(fulfillment, fulfillmentEvent)
    return {"fulfillmentEvent": event, "userErrors": []}


# === HOLDS, MOVES, SPLITS === #


@mutation("fulfillmentOrderHold")
def _hold(_root: Any, info: GraphQLResolveInfo, id: str, fulfillmentHold: dict[str, Any]) -> Any:
    spec = {
        "reason": fulfillmentHold["reason"],
        "notes": fulfillmentHold.get("reasonNotes"),
        "handle": fulfillmentHold.get("handle"),
    }
    try:
        work = _work(info, id, ["id"], "FULFILLMENT_ORDER_NOT_FOUND")
        rows = _picked(work, fulfillmentHold.get("fulfillmentOrderLineItems"))
        hold, remaining = shop_of(info).hold(work, spec, rows)
    except Refused as error:
        return {"userErrors": [refused(error)]}
    return {
        "fulfillmentHold": hold,
        "fulfillmentOrder": work,
        "remainingFulfillmentOrder": remaining,
        "userErrors": [],
    }


@mutation("fulfillmentOrderReleaseHold")
def _release(
    _root: Any,
    info: GraphQLResolveInfo,
    id: str,
    holdIds: list[str] | None = None,
    externalId: str | None = None,
) -> Any:
    try:
        work = _work(info, id, ["id"], "FULFILLMENT_ORDER_NOT_FOUND")
    except Refused as error:
        return {"fulfillmentOrder": None, "userErrors": [refused(error)]}
    return {"fulfillmentOrder": shop_of(info).release(work, holdIds), "userErrors": []}


@mutation("fulfillmentOrderMove")
def _move(
    _root: Any,
    info: GraphQLResolveInfo,
    id: str,
    newLocationId: str,
    fulfillmentOrderLineItems: list[dict[str, Any]] | None = None,
) -> Any:
    try:
        work = _work(info, id, ["id"])
        place = find(info, newLocationId, "Location")
        if place is None:
            raise Refused("Location not found.", ["newLocationId"])
        rows = _picked(work, fulfillmentOrderLineItems)
        moved, remaining = shop_of(info).move(work, place, rows)
    except Refused as error:
        return {"userErrors": [refused(error)]}
    return {
        "movedFulfillmentOrder": moved,
        "originalFulfillmentOrder": work,
        "remainingFulfillmentOrder": remaining,
        "userErrors": [],
    }


@mutation("fulfillmentOrderSplit")
def _split(
    _root: Any, info: GraphQLResolveInfo, fulfillmentOrderSplits: list[dict[str, Any]]
) -> Any:
    results = []
    for index, split in enumerate(fulfillmentOrderSplits):
        path = ["fulfillmentOrderSplits", str(index)]
        try:
            work = _work(
                info,
                split["fulfillmentOrderId"],
                [*path, "fulfillmentOrderId"],
                "FULFILLMENT_ORDER_NOT_FOUND",
            )
            rows = _picked(work, split["fulfillmentOrderLineItems"])
            if rows is None:
                raise Refused(
                    "There must be at least one item selected in this fulfillment to split it.",
                    [*path, "fulfillmentOrderLineItems"],
                    "NO_LINE_ITEMS_PROVIDED_TO_SPLIT",
                )
            remaining = shop_of(info).split(work, rows)
        except Refused as error:
            return {"fulfillmentOrderSplits": None, "userErrors": [refused(error)]}
        results.append(
            {
                "fulfillmentOrder": work,
                "remainingFulfillmentOrder": remaining,
                "replacementFulfillmentOrder": None,
            }
        )
    return {"fulfillmentOrderSplits": results, "userErrors": []}


@mutation("fulfillmentOrderCancel")
def _cancel_work(_root: Any, info: GraphQLResolveInfo, id: str) -> Any:
    try:
        work = _work(info, id, ["id"])
        replacement = shop_of(info).cancel_work(work)
    except Refused as error:
        return {"userErrors": [refused(error)]}
    return {
        "fulfillmentOrder": work,
        "replacementFulfillmentOrder": replacement,
        "userErrors": [],
    }


# === READING === #


def _all_work(
    _root: Any,
    info: GraphQLResolveInfo,
    includeClosed: bool = False,
    sortKey: str = "ID",
    query: str | None = None,
    **args: Any,
) -> Any:
    rows = shop_of(info).all("FulfillmentOrder")
    keys = {"ID": lambda f: f.id, "CREATED_AT": lambda f: f.created_at}
    keys["UPDATED_AT"] = lambda f: f.updated_at
    search = {
        "id": lambda f: f.id,
        "status": lambda f: f.status.lower(),
        "order_id": lambda f: f.order.id,
        "updated_at": lambda f: f.updated_at,
    }
    rows = [row for row in rows if includeClosed or not row.over]
    return searched(rows, search, keys, info, query=query, sortKey=sortKey, **args)


served(
    "QueryRoot",
    fulfillment=by_id("Fulfillment"),
    fulfillmentOrder=by_id("FulfillmentOrder"),
    fulfillmentOrders=_all_work,
)
