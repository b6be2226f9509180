"""Returns as the API says and changes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphql import GraphQLResolveInfo

from .money import Bag
from .mutations import mutation, refused, user_error
from .records import ExchangeLine, Return, ReturnLine
from .resolvers import bag, by_id, connection, find, listed, served, shop_of
from .shop import Refused, Shop, SpecError

served(
    "Order",
    returnStatus="return_status",
    returns=lambda o, i, query=None, **a: connection(o.returns, **a),
)
served(
    "QueryRoot",
    reverseFulfillmentOrder=by_id("ReverseFulfillmentOrder"),
    **{"return": by_id("Return")},
)


def _shipping_fees(row: Return, info: GraphQLResolveInfo) -> list[dict[str, Any]]:
    if row.shipping_fee is None:
        return []
    order, fee = row.order, row.shipping_fee
    amount = Bag(fee * order.currencies.rate, fee).rounded(order.currencies)
    return [
        {
            "__typename": "ReturnShippingFee",
            "id": row.gid.replace("Return", "ReturnShippingFee"),
            "amountSet": bag(order, amount),
        }
    ]


served(
    "Return",
    id="gid",
    name="name",
    status="status",
    order="order",
    createdAt="created_at",
    closedAt="closed_at",
    requestApprovedAt="approved_at",
    decline="decline",
    totalQuantity=lambda r, i: sum(line.quantity for line in r.lines),
    returnLineItems=lambda r, i, processingStatus=None, **a: connection(r.lines, **a),
    exchangeLineItems=lambda r, i, processingStatus=None, includeRemovedItems=False, **a: (
        connection(r.exchanges, **a)
    ),
    refunds=listed("refunds"),
    returnShippingFees=_shipping_fees,
    reverseFulfillmentOrders=listed("reverse_orders"),
    transactions=lambda r, i, **a: connection([t for x in r.refunds for t in x.transactions], **a),
)


def _restocking_fee(line: ReturnLine, info: GraphQLResolveInfo) -> dict[str, Any] | None:
    if line.fee is None:
        return None
    order, goods = line.line.order, line.line
    net = goods.discounted.share(line.quantity, goods.quantity, order.currencies)
    if order.taxes_included:
        net -= goods.tax.share(line.quantity, goods.quantity, order.currencies)
    return {
        "__typename": "RestockingFee",
        "id": line.gid.replace("ReturnLineItem", "RestockingFee"),
        "percentage": float(line.fee),
        "amountSet": bag(order, net.times(line.fee / 100).rounded(order.currencies)),
    }


def _reason(line: ReturnLine, info: GraphQLResolveInfo) -> dict[str, Any]:
    handle = line.reason.lower().replace("_", "-")
    return {
        "id": f"gid://shopify/ReturnReasonDefinition/{sum(map(ord, handle))}",
        "handle": handle,
        "name": line.reason.replace("_", " ").capitalize(),
        "deleted": False,
    }


served(
    "ReturnLineItem",
    id="gid",
    quantity="quantity",
    processedQuantity="processed",
    unprocessedQuantity="unprocessed",
    processableQuantity="unprocessed",
    refundableQuantity="unprocessed",
    refundedQuantity="processed",
    returnReason="reason",
    returnReasonDefinition=_reason,
    returnReasonNote="note",
    customerNote=lambda ln, i: None,
    restockingFee=_restocking_fee,
    fulfillmentLineItem="fulfillment_line",
    withCodeDiscountedTotalPriceSet=lambda ln, i: bag(
        ln.line.order,
        ln.line.discounted.share(ln.quantity, ln.line.quantity, ln.line.order.currencies),
    ),
)


def _exchange(getter: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda line, info: getter(line.variant) if line.variant else None


def _exchanged(line: ExchangeLine) -> int:
    return line.quantity - line.processed


served(
    "ExchangeLineItem",
    id="gid",
    quantity="quantity",
    processedQuantity="processed",
    unprocessedQuantity=lambda ln, i: _exchanged(ln),
    processableQuantity=lambda ln, i: _exchanged(ln),
    lineItem="line",
    lineItems=lambda ln, i: [ln.line] if ln.line else [],
    variantId=_exchange(lambda v: v.gid),
    variantSku=_exchange(lambda v: v.sku),
    variantTitle=_exchange(lambda v: v.title),
    productId=_exchange(lambda v: v.product.gid),
    title=lambda ln, i: ln.variant.product.title if ln.variant else ln.spec.get("title"),
)
served(
    "ReverseFulfillmentOrder",
    id="gid",
    status="status",
    order="order",
    lineItems=listed("lines"),
)
served(
    "ReverseFulfillmentOrderLineItem",
    id="gid",
    totalQuantity="total",
    fulfillmentLineItem=lambda ln, i: ln.return_line.fulfillment_line,
    dispositions="dispositions",
)
served(
    "ReverseFulfillmentOrderDisposition",
    id="gid",
    type="type",
    quantity="quantity",
    location="location",
    createdAt="created_at",
)

# === MUTATIONS === #


def _line_specs(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "fulfillmentLine": row["fulfillmentLineItemId"],
            "quantity": row["quantity"],
            "reason": row.get("returnReason"),
            "note": row.get("returnReasonNote") or row.get("customerNote"),
            "fee": (row.get("restockingFee") or {}).get("percentage"),
        }
        for row in rows
    ]


def _start(info: GraphQLResolveInfo, values: dict[str, Any], root: str, requested: bool) -> Any:
    order = find(info, values["orderId"], "Order")
    fee = (values.get("returnShippingFee") or {}).get("amount") or {}
    spec = {
        "lines": _line_specs(values["returnLineItems"]),
        "exchange": [
            {"variant": row["variantId"], "quantity": row["quantity"]}
            for row in values.get("exchangeLineItems") or []
        ],
        "shippingFee": fee.get("amount"),
        "requested": requested,
    }
    try:
        if order is None:
            raise Refused("Order does not exist.", [root, "orderId"], "NOT_FOUND")
        row = shop_of(info).start_return(order, spec, (root,))
    except Refused as error:
        return {"return": None, "userErrors": [refused(error)]}
    return {"return": row, "userErrors": []}


@mutation("returnCreate")
def _create(_root: Any, info: GraphQLResolveInfo, returnInput: dict[str, Any]) -> Any:
    return _start(info, returnInput, "returnInput", requested=False)


@mutation("returnRequest")
def _request(_root: Any, info: GraphQLResolveInfo, input: dict[str, Any]) -> Any:
    return _start(info, input, "input", requested=True)


def _change(
    info: GraphQLResolveInfo, gid: str, path: list[str], change: Callable[[Shop, Return], Any]
) -> Any:
    """Change a return; what is refused or does not exist is a user error."""
    row = find(info, gid, "Return")
    try:
        if row is None:
            raise Refused("Return not found.", path, "NOT_FOUND")
        change(shop_of(info), row)
    except Refused as error:
        return {"return": None, "userErrors": [refused(error)]}
    except SpecError as error:
        return {"return": None, "userErrors": [user_error(str(error), path, "NOT_FOUND")]}
    return {"return": row, "userErrors": []}


@mutation("returnApproveRequest")
def _approve(_root: Any, info: GraphQLResolveInfo, input: dict[str, Any]) -> Any:
    return _change(info, input["id"], ["input", "id"], lambda shop, row: shop.approve_return(row))


@mutation("returnDeclineRequest")
def _decline(_root: Any, info: GraphQLResolveInfo, input: dict[str, Any]) -> Any:
    return _change(
        info,
        input["id"],
        ["input", "id"],
        lambda shop, row: shop.decline_return(
            row, input["declineReason"], input.get("declineNote")
        ),
    )


@mutation("returnClose")
def _close(_root: Any, info: GraphQLResolveInfo, id: str) -> Any:
    return _change(info, id, ["id"], lambda shop, row: shop.close_return(row))


@mutation("returnReopen")
def _reopen(_root: Any, info: GraphQLResolveInfo, id: str) -> Any:
    return _change(info, id, ["id"], lambda shop, row: shop.reopen_return(row))


@mutation("returnCancel")
def _cancel(
    _root: Any, info: GraphQLResolveInfo, id: str, notifyCustomer: bool | None = None
) -> Any:
    return _change(info, id, ["id"], lambda shop, row: shop.cancel_return(row))


@mutation("returnProcess")
def _process(_root: Any, info: GraphQLResolveInfo, input: dict[str, Any]) -> Any:
    transfer = (input.get("financialTransfer") or {}).get("issueRefund") or {}
    shipping = input.get("refundShipping") or {}
    spec: dict[str, Any] = {
        "note": input.get("note"),
        "lines": [
            {
                "line": row["id"],
                "quantity": row["quantity"],
                "dispositions": [
                    {
                        "type": place["dispositionType"],
                        "quantity": place["quantity"],
                        "location": place.get("locationId"),
                    }
                    for place in row.get("dispositions") or []
                ],
            }
            for row in input.get("returnLineItems") or []
        ],
        "exchange": [row["id"] for row in input.get("exchangeLineItems") or []],
        "duties": [
            {"duty": row["dutyId"], "type": row.get("refundType") or "FULL"}
            for row in input.get("refundDuties") or []
        ],
        # Without a transfer no money moves.
        "transactions": [
            {"parent": row["parentId"], "amount": row["transactionAmount"]["amount"]}
            for row in transfer.get("orderTransactions") or []
        ],
    }
    if shipping.get("fullRefund"):
        spec["shipping"] = "full"
    elif shipping.get("shippingRefundAmount"):
        spec["shipping"] = shipping["shippingRefundAmount"]["amount"]
    return _change(
        info, input["returnId"], ["returnId"], lambda shop, row: shop.process_return(row, spec)
    )
