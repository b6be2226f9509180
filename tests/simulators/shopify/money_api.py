"""Payments, refunds and the sales ledger as the API says and changes them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from graphql import GraphQLResolveInfo

from .money import Bag, api_amount, round_money, total
from .mutations import mutation, refused, user_error
from .records import Order, RefundDuty, RefundLine, Sale, Transaction
from .refunds import LinePart, RefundPlan
from .resolvers import (
    Bound,
    Resolver,
    Taxed,
    bag,
    connection,
    find,
    gql_error,
    listed,
    served,
    shop_of,
)
from .shop import Refused, SpecError

# === MONEY MOVEMENTS === #


def _tx_bag(getter: Callable[[Transaction], Bag]) -> Resolver:
    return lambda t, i: bag(t.order, getter(t))


served(
    "OrderTransaction",
    id="gid",
    kind="kind",
    status="status",
    gateway="gateway",
    formattedGateway=lambda t, i: t.gateway.replace("_", " ").title(),
    amountSet=_tx_bag(lambda t: t.amount),
    amount=lambda t, i: format(round_money(t.amount.shop, t.order.currencies.shop), "f"),
    amountRoundingSet=lambda t, i: None if t.rounding is None else bag(t.order, t.rounding),
    totalUnsettledSet=_tx_bag(lambda t: t.amount if t in t.order.open_authorizations else Bag()),
    maximumRefundableV2=lambda t, i: None,
    parentTransaction="parent",
    order="order",
    paymentId="payment_id",
    processedAt="created_at",
    createdAt="created_at",
    test=lambda t, i: t.order.test,
    errorCode=lambda t, i: "CARD_DECLINED" if t.status == "FAILURE" else None,
    fees=lambda t, i: [],
    manualPaymentGateway=lambda t, i: t.gateway == "manual",
    manuallyCapturable=lambda t, i: t in t.order.open_authorizations,
    multiCapturable=lambda t, i: False,
    authorizationExpiresAt=lambda t, i: None,
    accountNumber=lambda t, i: None,
    receiptJson=lambda t, i: None,
    settlementCurrency=lambda t, i: None,
    settlementCurrencyRate=lambda t, i: None,
    paymentDetails=lambda t, i: None,
    location="location",
)
served(
    "Refund",
    id="gid",
    legacyResourceId=lambda r, i: str(r.id),
    note="note",
    order="order",
    createdAt="created_at",
    updatedAt="created_at",
    processedAt="created_at",
    refundLineItems=lambda r, i, **a: connection([_Refunded(r.order, x) for x in r.lines], **a),
    refundShippingLines=lambda r, i, **a: connection(
        [_Refunded(r.order, x) for x in r.shipping], **a
    ),
    orderAdjustments=lambda r, i, **a: connection(
        [_Refunded(r.order, x) for x in r.adjustments], **a
    ),
    transactions=listed("transactions"),
    totalRefundedSet=lambda r, i: bag(r.order, r.refunded),
    duties=lambda r, i: [_Refunded(r.order, x) for x in r.duties],
)
served(
    "Refund",
    **{"return": lambda r, i: next((x for x in r.order.returns if r in x.refunds), None)},
)


class _Refunded(Bound):
    def __init__(self, order: Order, record: Any) -> None:
        super().__init__(order, record)
        self.id = record.id
        self.gql_type = record.gql_type


served(
    "RefundLineItem",
    # One that is only suggested has no number yet.
    id=lambda r, i: r.record.gid if r.record.id else None,
    lineItem=lambda r, i: r.record.line,
    quantity=lambda r, i: r.record.quantity,
    restockType=lambda r, i: r.record.restock_type,
    restocked=lambda r, i: r.record.restock_type != "NO_RESTOCK",
    location=lambda r, i: r.record.location,
    priceSet=lambda r, i: bag(r.order, r.record.line.unit_price),
    subtotalSet=lambda r, i: bag(r.order, r.record.subtotal),
    totalTaxSet=lambda r, i: bag(r.order, r.record.tax),
)
served(
    "RefundShippingLine",
    id=lambda r, i: r.record.gid,
    shippingLine=lambda r, i: r.record.shipping,
    subtotalAmountSet=lambda r, i: bag(r.order, r.record.subtotal),
    taxAmountSet=lambda r, i: bag(r.order, r.record.tax),
)
served(
    "RefundDuty",
    originalDuty=lambda r, i: r.record.duty,
    amountSet=lambda r, i: bag(r.order, r.record.subtotal),
)
served(
    "OrderAdjustment",
    id=lambda r, i: r.record.gid,
    amountSet=lambda r, i: bag(r.order, r.record.amount),
    taxAmountSet=lambda r, i: bag(r.order, r.record.tax),
    reason=lambda r, i: r.record.reason,
)

# === SUGGESTED REFUND === #


def line_specs(rows: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Refund lines of an input as a refund of the shop takes them."""
    return [
        {
            "line": row["lineItemId"],
            "quantity": row["quantity"],
            "restock": row.get("restockType") or "NO_RESTOCK",
            "location": row.get("locationId"),
        }
        for row in rows or []
    ]


def _duty_specs(rows: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    return [{"duty": row["dutyId"], "type": row.get("refundType") or "FULL"} for row in rows or []]


def _suggested_refund(
    order: Order,
    info: GraphQLResolveInfo,
    refundLineItems: list[dict[str, Any]] | None = None,
    refundShipping: bool = False,
    shippingAmount: Any = None,
    refundDuties: list[dict[str, Any]] | None = None,
    suggestFullRefund: bool = False,
    refundMethodAllocation: str | None = None,
) -> Any:
    spec: dict[str, Any] = {
        "full": suggestFullRefund,
        "lines": line_specs(refundLineItems),
        "duties": _duty_specs(refundDuties),
    }
    if refundShipping:
        spec["shipping"] = "full"
    elif shippingAmount is not None:
        spec["shipping"] = shippingAmount
    try:
        return _suggestion(shop_of(info).plan_refund(order, spec), info)
    except Refused as error:
        raise gql_error(error.message, "BAD_USER_INPUT") from error


def _suggestion(plan: RefundPlan, info: GraphQLResolveInfo) -> dict[str, Any]:
    order = plan.order

    def both(name: str, amount: Bag) -> dict[str, Any]:
        """A set, and the deprecated amount in shop currency it came from."""
        old = {"totalTaxSet": "totalTaxes"}.get(name, name.removesuffix("Set"))
        return {name: bag(order, amount), old: api_amount(amount.shop)}

    shipping = total(part.amount for part in plan.shipping)
    shipping_tax = total(part.tax for part in plan.shipping)
    limit = order.net_payment
    return {
        **both("amountSet", plan.due_bag),
        **both("maximumRefundableSet", limit),
        **both("subtotalSet", total(_before_cart_discounts(part) for part in plan.lines)),
        **both("totalTaxSet", plan.tax),
        "discountedSubtotalSet": bag(order, total(part.amount for part in plan.lines)),
        "totalCartDiscountAmountSet": bag(order, total(_cart_share(part) for part in plan.lines)),
        "totalDutiesSet": bag(order, total(part.amount for part in plan.duties)),
        "refundLineItems": [
            _Refunded(
                order,
                RefundLine(0, p.line, p.quantity, p.restock, p.amount, p.tax, p.location),
            )
            for p in plan.lines
        ],
        "refundDuties": [
            _Refunded(order, RefundDuty(0, p.charged, p.amount, p.tax)) for p in plan.duties
        ],
        "shipping": {
            **both("amountSet", shipping),
            **both("taxSet", shipping_tax),
            **both("maximumRefundableSet", total(s.current for s in order.shipping)),
        },
        "suggestedTransactions": [
            {
                **both("amountSet", amount),
                **both("maximumRefundableSet", parent.refundable),
                "kind": "SUGGESTED_REFUND",
                "gateway": parent.gateway,
                "formattedGateway": parent.gateway.replace("_", " ").title(),
                "parentTransaction": parent,
                "accountNumber": None,
                "paymentDetails": None,
            }
            for parent, amount in shop_of(info).suggest(plan)
        ],
        "suggestedRefundMethods": [],
    }


def _cart_share(part: LinePart) -> Bag:
    line = part.line
    across = total(a.amount for a in line.allocations if a.discount.across)
    return across.share(part.quantity, line.quantity, line.order.currencies)


def _before_cart_discounts(part: LinePart) -> Bag:
    return part.amount + _cart_share(part)


served("Order", suggestedRefund=_suggested_refund)

# === MOVING MONEY === #


@mutation("refundCreate")
def _refund(_root: Any, info: GraphQLResolveInfo, input: dict[str, Any]) -> Any:
    order = find(info, input["orderId"], "Order")
    if order is None:
        message = user_error("Order does not exist", ["orderId"])
        return {"order": None, "refund": None, "userErrors": [message]}
    try:
        refund = shop_of(info).refund(order, _refund_spec(order, input))
    except Refused as error:
        return {"order": order, "refund": None, "userErrors": [refused(error)]}
    except SpecError as error:
        message = user_error(str(error), ["refundLineItems"])
        return {"order": order, "refund": None, "userErrors": [message]}
    return {"order": order, "refund": refund, "userErrors": []}


def _refund_spec(order: Order, input: dict[str, Any]) -> dict[str, Any]:
    """A refund as the shop takes it.

    :raises Refused: the input does not fit the order.
    """
    if input.get("refundMethods"):
        raise gql_error("This simulator does not refund to store credit.", "NOT_SIMULATED")
    lines = {line.gid for line in order.lines}
    for index, row in enumerate(input.get("refundLineItems") or []):
        if row["lineItemId"] not in lines:
            path = ["refundLineItems", str(index), "lineItemId"]
            raise Refused("Line item does not exist", path)
    known = {t.gid for t in order.transactions}
    rows = input.get("transactions") or []
    for row in rows:
        if row["kind"] != "REFUND":
            raise Refused(f"Kind {row['kind'].lower()} is not a valid transaction")
        if row.get("parentId") not in known:
            raise Refused(
                "Transactions require a parent_id associated with the order", ["transactions"]
            )
    currency = input.get("currency")
    expected = order.currencies.presentment
    if ((rows and not order.currencies.single) or currency) and currency != expected:
        raise Refused(f"Currency must match the presentment currency {expected}", ["currency"])
    spec: dict[str, Any] = {
        "note": input.get("note"),
        "reason": input.get("discrepancyReason"),
        "lines": line_specs(input.get("refundLineItems")),
        "duties": _duty_specs(input.get("refundDuties")),
        # The gateway of the input does not count: the money goes where it came from.
        "transactions": [{"parent": row["parentId"], "amount": row["amount"]} for row in rows],
    }
    shipping = input.get("shipping") or {}
    if shipping.get("fullRefund"):
        spec["shipping"] = "full"
    elif shipping.get("amount") is not None and Decimal(shipping["amount"]):
        spec["shipping"] = shipping["amount"]
    return spec


@mutation("orderCapture")
def _capture(_root: Any, info: GraphQLResolveInfo, input: dict[str, Any]) -> Any:
    order = find(info, input["id"], "Order")
    try:
        if order is None:
            raise Refused("Order does not exist", ["id"])
        parent = find(info, input["parentTransactionId"], "OrderTransaction")
        if parent is None or parent.order is not order:
            raise Refused("Unable to find parent transaction")
        if input.get("finalCapture"):
            raise Refused("Final capture is not supported by this payment gateway.")
        expected, currency = order.currencies.presentment, input.get("currency")
        if (currency or not order.currencies.single) and currency != expected:
            raise Refused(
                f"Currency Currency must match parent transaction {expected}", ["currency"]
            )
        transaction = shop_of(info).capture(order, {"amount": input["amount"]}, parent)
    except Refused as error:
        return {"transaction": None, "userErrors": [refused(error)]}
    return {"transaction": transaction, "userErrors": []}


@mutation("transactionVoid")
def _void(_root: Any, info: GraphQLResolveInfo, parentTransactionId: str) -> Any:
    parent = find(info, parentTransactionId, "OrderTransaction")
    try:
        if parent is None:
            raise Refused(
                "Transaction does not exist", ["parentTransactionId"], "TRANSACTION_NOT_FOUND"
            )
        transaction = shop_of(info).void(parent.order, {}, parent)
    except Refused as error:
        return {"transaction": None, "userErrors": [refused(error)]}
    return {"transaction": transaction, "userErrors": []}


# === LEDGER === #


class _Sold(Bound):
    def __init__(self, order: Order, record: Sale) -> None:
        super().__init__(order, record)
        self.id = record.id
        self.gql_type = record.gql_type


def _agreement_fields(kind: str, /, **more: Resolver) -> None:
    served(
        kind,
        id=lambda a, i: a.gid,
        happenedAt="happened_at",
        reason="reason",
        app=lambda a, i: None,
        sales=lambda a, i, **args: connection([_Sold(a.order, s) for s in a.sales], **args),
        **more,
    )


_agreement_fields("OrderAgreement", order=lambda a, i: a.order)
_agreement_fields("OrderEditAgreement")
_agreement_fields("RefundAgreement", refund=lambda a, i: a.refund)
_agreement_fields("ReturnAgreement", **{"return": lambda a, i: a.return_})

for _kind, _more in {
    "ProductSale": {"lineItem": lambda s, i: s.record.line},
    "TipSale": {"lineItem": lambda s, i: s.record.line},
    "GiftCardSale": {"lineItem": lambda s, i: s.record.line},
    "ShippingLineSale": {"shippingLine": lambda s, i: s.record.shipping},
    "DutySale": {"duty": lambda s, i: s.record.of},
    "AdditionalFeeSale": {"additionalFee": lambda s, i: s.record.of},
    "AdjustmentSale": {},
}.items():
    served(
        _kind,
        id=lambda s, i: s.record.gid,
        actionType=lambda s, i: s.record.action,
        lineType=lambda s, i: s.record.line_type,
        quantity=lambda s, i: s.record.quantity,
        totalAmount=lambda s, i: bag(s.order, s.record.amount),
        totalTaxAmount=lambda s, i: bag(s.order, s.record.tax),
        totalDiscountAmountBeforeTaxes=lambda s, i: bag(s.order, s.record.discount_before_taxes),
        totalDiscountAmountAfterTaxes=lambda s, i: bag(s.order, Bag()),
        taxes=lambda s, i: [
            {
                "id": f"gid://shopify/SaleTax/{number}",
                "amount": bag(s.order, amount),
                "taxLine": Taxed(s.order, tax),
            }
            for number, amount, tax in s.record.taxes
        ],
        **_more,
    )
