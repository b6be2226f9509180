"""Money moved through the API: suggested, sent back, captured, voided."""

from __future__ import annotations

from typing import Any

import pytest

from ..app import Simulator
from ..records import Order
from .helpers import Run

MONEY = "{ shopMoney { amount } presentmentMoney { amount currencyCode } }"
SUGGEST = f"""
query Suggest($id: ID!, $lines: [RefundLineItemInput!], $shipping: Boolean, $full: Boolean) {{
  order(id: $id) {{
    suggestedRefund(refundLineItems: $lines, refundShipping: $shipping, suggestFullRefund: $full) {{
      amountSet {MONEY} maximumRefundableSet {MONEY} subtotalSet {MONEY} totalTaxSet {MONEY}
      shipping {{ amountSet {MONEY} taxSet {MONEY} }}
      refundLineItems {{ quantity restockType subtotalSet {MONEY} lineItem {{ id }} }}
      suggestedTransactions {{
        kind gateway amountSet {MONEY} maximumRefundableSet {MONEY} parentTransaction {{ id }}
      }}
    }}
  }}
}}
"""
REFUND = f"""
mutation Refund($input: RefundInput!, $key: String!) {{
  refundCreate(input: $input) @idempotent(key: $key) {{
    order {{ id displayFinancialStatus }}
    refund {{
      id totalRefundedSet {MONEY}
      refundLineItems(first: 10) {{ nodes {{ quantity subtotalSet {MONEY} }} }}
      refundShippingLines(first: 10) {{ nodes {{ subtotalAmountSet {MONEY} }} }}
      orderAdjustments(first: 10) {{ nodes {{ reason amountSet {MONEY} }} }}
      transactions(first: 10) {{ nodes {{ gateway kind parentTransaction {{ id }} }} }}
    }}
    userErrors {{ field message }}
  }}
}}
"""
CAPTURE = """
mutation Capture($input: OrderCaptureInput!) {
  orderCapture(input: $input) {
    transaction { kind status parentTransaction { id } } userErrors { field message }
  }
}
"""
VOID = """
mutation Void($id: ID!) {
  transactionVoid(parentTransactionId: $id) {
    transaction { kind amountSet { shopMoney { amount } } parentTransaction { id } }
    userErrors { field code }
  }
}
"""


def placed(simulator: Simulator, **spec: Any) -> Order:
    return simulator.shop.place_order(
        {
            "lines": [{"title": "Mug", "price": "10", "quantity": 3}],
            "shipping": [{"price": "5"}],
            "taxesIncluded": False,
            "taxes": [{"title": "VAT", "rate": "0.1"}],
            **spec,
        }
    )


def refund_input(order: Order, amount: str, **more: Any) -> dict[str, Any]:
    transaction = {
        "amount": amount,
        "gateway": "whatever",
        "kind": "REFUND",
        "orderId": order.gid,
        "parentId": order.transactions[0].gid,
    }
    return {"orderId": order.gid, "transactions": [transaction], **more}


def send(graphql: Run, values: dict[str, Any], key: str = "k1") -> dict[str, Any]:
    return graphql(REFUND, {"input": values, "key": key})


def amount(money: dict[str, Any]) -> str:
    return money["presentmentMoney"]["amount"]


def test_the_suggestion_is_what_the_refund_books(simulator: Simulator, graphql: Run) -> None:
    order = placed(simulator, payment=[{"amount": "30", "gateway": "gift_card"}, {}])
    lines = [{"lineItemId": order.lines[0].gid, "quantity": 2, "restockType": "CANCEL"}]
    answer = graphql(SUGGEST, {"id": order.gid, "lines": lines, "shipping": True})
    found = answer["data"]["order"]["suggestedRefund"]
    assert (amount(found["amountSet"]), amount(found["totalTaxSet"])) == ("27.5", "2.5")
    assert (amount(found["subtotalSet"]), amount(found["maximumRefundableSet"])) == ("20.0", "38.5")
    (row,) = found["suggestedTransactions"]
    assert (row["kind"], row["gateway"]) == ("SUGGESTED_REFUND", "gift_card")
    assert (amount(row["amountSet"]), amount(row["maximumRefundableSet"])) == ("27.5", "30.0")
    values = refund_input(order, "27.5", refundLineItems=lines, shipping={"fullRefund": True})
    done = send(graphql, values)["data"]["refundCreate"]
    assert done["userErrors"] == []
    refund = done["refund"]
    assert amount(refund["totalRefundedSet"]) == "27.5"
    assert refund["orderAdjustments"]["nodes"] == []
    assert refund["transactions"]["nodes"][0]["gateway"] == "gift_card"
    full = graphql(SUGGEST, {"id": order.gid, "full": True})["data"]["order"]["suggestedRefund"]
    assert amount(full["amountSet"]) == "11.0"
    rows = [amount(r["amountSet"]) for r in full["suggestedTransactions"]]
    assert rows == ["2.5", "8.5"]


def test_nothing_happens_when_a_refund_is_suggested(simulator: Simulator, graphql: Run) -> None:
    order = placed(simulator)
    before = (order.current_total, order.lines[0].current_quantity, len(order.agreements))
    graphql(SUGGEST, {"id": order.gid, "full": True})
    assert before == (order.current_total, order.lines[0].current_quantity, len(order.agreements))


def test_the_same_key_refunds_once(simulator: Simulator, graphql: Run) -> None:
    order = placed(simulator)
    values = refund_input(order, "1.00")
    first = send(graphql, values)["data"]["refundCreate"]["refund"]["id"]
    assert send(graphql, values)["data"]["refundCreate"]["refund"]["id"] == first
    other = send(graphql, refund_input(order, "2.00"))
    assert other["errors"][0]["extensions"]["code"] == "IDEMPOTENCY_KEY_PARAMETER_MISMATCH"
    assert len(order.refunds) == simulator.shop.effects["refunds"] == 1
    missing = REFUND.replace("@idempotent(key: $key)", "").replace(", $key: String!", "")
    answer = graphql(missing, {"input": values})
    assert answer["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    assert answer["data"] == {"refundCreate": None}


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        (
            {"transactions": [{"amount": "999.00"}], "allowOverRefunding": True},
            None,
            "Refund amount $999.00 is greater than net payment received $38.50",
        ),
        (
            {"transactions": [{"amount": "1.00", "parentId": None}]},
            ["transactions"],
            "Transactions require a parent_id associated with the order",
        ),
        (
            {"refundLineItems": [{"lineItemId": "line", "quantity": 4}]},
            ["refundLineItems", "0", "quantity"],
            "Quantity cannot refund more items than were purchased",
        ),
        (
            {"refundLineItems": [{"lineItemId": "gid://shopify/LineItem/1", "quantity": 1}]},
            ["refundLineItems", "0", "lineItemId"],
            "Line item does not exist",
        ),
    ],
)
def test_refused_refunds(
    simulator: Simulator,
    graphql: Run,
    change: dict[str, Any],
    field: list[str] | None,
    message: str,
) -> None:
    order = placed(simulator)
    values = refund_input(order, "1.00")
    for row in change.get("refundLineItems", []):
        row["lineItemId"] = row["lineItemId"].replace("line", order.lines[0].gid)
    if "transactions" in change:
        rows = [{**values["transactions"][0], **row} for row in change["transactions"]]
        change = {**change, "transactions": rows}
    answer = send(graphql, {**values, **change})["data"]["refundCreate"]
    assert answer["userErrors"] == [{"field": field, "message": message}]
    assert order.refunds == []


def test_more_than_one_payment_received_is_refused(simulator: Simulator, graphql: Run) -> None:
    order = placed(simulator, payment=[{"amount": "30"}, {}])
    answer = send(graphql, refund_input(order, "31"))["data"]["refundCreate"]
    assert "greater than net payment" in answer["userErrors"][0]["message"]


def test_refund_in_the_currency_of_the_buyer(simulator: Simulator, graphql: Run) -> None:
    order = placed(simulator, presentmentCurrency="USD", rate="0.9")
    answer = send(graphql, refund_input(order, "1.00"))["data"]["refundCreate"]
    assert answer["userErrors"][0]["field"] == ["currency"]
    answer = send(graphql, refund_input(order, "1.00", currency="USD"), "k2")
    money = answer["data"]["refundCreate"]["refund"]["totalRefundedSet"]["presentmentMoney"]
    assert money == {"amount": "1.0", "currencyCode": "USD"}


def test_capture_is_refused_like_the_real_one(simulator: Simulator, graphql: Run) -> None:
    order = placed(simulator, payment="authorized")
    parent = order.transactions[0].gid
    values = {"id": order.gid, "parentTransactionId": parent, "amount": "99"}
    answer = graphql(CAPTURE, {"input": values})["data"]["orderCapture"]
    message = "Cannot capture more than the authorized 38.50 for this payment."
    assert answer["userErrors"][0]["message"] == message
    values["amount"] = "38.50"
    answer = graphql(CAPTURE, {"input": values})["data"]["orderCapture"]
    assert answer["transaction"]["parentTransaction"]["id"] == parent
    answer = graphql(CAPTURE, {"input": values})["data"]["orderCapture"]
    message = "Can only capture successful authorizations"
    assert answer["userErrors"][0]["message"] == message
    assert (order.financial_status, simulator.shop.effects["captures"]) == ("PAID", 1)


def test_void_has_a_code_for_every_reason(simulator: Simulator, graphql: Run) -> None:
    order = placed(simulator, payment="authorized")
    codes = []
    capture = simulator.shop.pay(placed(simulator, payment="pending"))
    for gid in (
        order.transactions[0].gid,
        order.transactions[0].gid,
        capture.gid,
        "gid://shopify/OrderTransaction/1",
    ):
        answer = graphql(VOID, {"id": gid})["data"]["transactionVoid"]
        codes.append([error["code"] for error in answer["userErrors"]])
    assert codes == [[], ["AUTH_NOT_VOIDABLE"], ["AUTH_NOT_SUCCESSFUL"], ["TRANSACTION_NOT_FOUND"]]
    assert order.financial_status == "VOIDED"
