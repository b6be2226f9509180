"""Returns through the API and the control API."""

from __future__ import annotations

from typing import Any

import pytest

from ..app import Simulator
from ..records import Order, Return
from ..shop import Refused, Shop
from .helpers import Run

PROCESS = """
mutation Process($input: ReturnProcessInput!) {
  returnProcess(input: $input) {
    return {
      status
      returnLineItems(first: 5) { nodes { processedQuantity unprocessedQuantity } }
      refunds(first: 5) { nodes { id return { id } } }
      exchangeLineItems(first: 5) { nodes { lineItems { id } } }
    }
    userErrors { field message code }
  }
}
"""
LEDGER = """
query Ledger($id: ID!) {
  order(id: $id) {
    returnStatus
    refunds { id }
    agreements(first: 10) {
      nodes {
        __typename reason
        ... on RefundAgreement { refund { id } }
        ... on ReturnAgreement { return { id } }
        sales(first: 10) { nodes { actionType lineType quantity } }
      }
    }
  }
}
"""


def shipped(shop: Shop, **line: Any) -> Order:
    row = {"sku": "MUG-350", "quantity": 2, "price": "20", **line}
    taxes = [{"title": "VAT", "rate": "0.05"}]
    order = shop.place_order({"lines": [row], "taxesIncluded": False, "taxes": taxes})
    shop.fulfil(order)
    return order


def requested(shop: Shop) -> Return:
    return shop.start_return(shipped(shop), {"lines": [{"line": 0}], "requested": True})


def change(graphql: Run, name: str, row: Return, arguments: str = "id: $id") -> list[str]:
    """Codes of the errors of a mutation."""
    document = f"""mutation ($id: ID!) {{ {name}({arguments}) {{
        return {{ status }} userErrors {{ code }} }} }}"""
    answer = graphql(document, {"id": row.gid})["data"][name]
    return [error["code"] for error in answer["userErrors"]]


def test_a_processed_return_is_in_the_ledger_once(simulator: Simulator, graphql: Run) -> None:
    shop = simulator.shop
    order = shipped(shop)
    row = shop.start_return(order, {"lines": [{"line": 0}], "exchange": [{"sku": "MUG-350"}]})
    exchange = row.exchanges[0].gid
    values = {
        "returnId": row.gid,
        "returnLineItems": [
            {
                "id": row.lines[0].gid,
                "quantity": 1,
                "dispositions": [
                    {
                        "reverseFulfillmentOrderLineItemId": row.reverse_orders[0].lines[0].gid,
                        "quantity": 1,
                        "dispositionType": "RESTOCKED",
                        "locationId": shop.default_location.gid,
                    }
                ],
            }
        ],
        "exchangeLineItems": [{"id": exchange, "quantity": 1}],
        "financialTransfer": {
            "issueRefund": {
                "orderTransactions": [
                    {
                        "parentId": order.transactions[0].gid,
                        "transactionAmount": {"amount": "1.00", "currencyCode": "EUR"},
                    }
                ]
            }
        },
    }
    done = graphql(PROCESS, {"input": values})["data"]["returnProcess"]
    assert done["userErrors"] == []
    # It stays open, with nothing left to process.
    assert done["return"]["status"] == "OPEN"
    assert done["return"]["returnLineItems"]["nodes"] == [
        {"processedQuantity": 1, "unprocessedQuantity": 0}
    ]
    (refund,) = done["return"]["refunds"]["nodes"]
    assert refund["return"] == {"id": row.gid}
    told = graphql(LEDGER, {"id": order.gid})["data"]["order"]
    assert told["refunds"] == [{"id": refund["id"]}]
    _first, agreement = told["agreements"]["nodes"]
    assert (agreement["__typename"], agreement["return"]) == ("ReturnAgreement", {"id": row.gid})
    kinds = [(s["actionType"], s["lineType"], s["quantity"]) for s in agreement["sales"]["nodes"]]
    assert kinds == [
        ("RETURN", "PRODUCT", -1),
        ("ORDER", "PRODUCT", 1),
        ("RETURN", "ADJUSTMENT", None),
    ]
    # What is sent instead is a line of the order with work of its own.
    assert [ln.current_quantity for ln in order.lines] == [1, 1]
    assert [fo.status for fo in order.fulfillment_orders] == ["CLOSED", "OPEN"]
    assert shop.effects["returns"] == shop.effects["refunds"] == 1


def test_the_way_of_a_request(simulator: Simulator, graphql: Run) -> None:
    shop = simulator.shop
    told: list[str] = []
    shop.emit = lambda topic, record: told.append(topic)
    row = requested(shop)
    assert (row.status, row.reverse_orders) == ("REQUESTED", [])
    assert row.order.return_status == "RETURN_REQUESTED"
    approve = "input: {id: $id}"
    assert change(graphql, "returnApproveRequest", row, approve) == []
    assert (row.status, len(row.reverse_orders)) == ("OPEN", 1)
    assert change(graphql, "returnApproveRequest", row, approve) == ["INVALID_STATE"]
    shop.process_return(row)
    assert change(graphql, "returnCancel", row) == ["INVALID_STATE"]
    for _time in range(2):
        assert change(graphql, "returnClose", row) == []
    assert row.order.return_status == "RETURNED"
    assert change(graphql, "returnReopen", row) == []
    mine = [topic for topic in told if topic.startswith("RETURNS_")]
    assert mine == [
        "RETURNS_REQUEST",
        "RETURNS_APPROVE",
        "RETURNS_PROCESS",
        "RETURNS_CLOSE",
        "RETURNS_REOPEN",
    ]


def test_declined_and_cancelled_returns_do_not_count(simulator: Simulator, graphql: Run) -> None:
    shop = simulator.shop
    row = requested(shop)
    decline = 'input: {id: $id, declineReason: OTHER, declineNote: "Worn"}'
    assert change(graphql, "returnDeclineRequest", row, decline) == []
    assert row.decline == {"reason": "OTHER", "note": "Worn"}
    other = shop.start_return(row.order, {"lines": [{"line": 0, "quantity": 2}]})
    assert change(graphql, "returnCancel", other) == []
    assert row.order.return_status == "NO_RETURN"
    assert shop.start_return(row.order, {"lines": [{"line": 0, "quantity": 2}]}).name.endswith("R3")


def test_a_restocking_fee_is_kept_from_the_money(shop: Shop) -> None:
    shop.add_product({"title": "Mug", "sku": "MUG-350", "price": "20"})
    order = shipped(shop)
    row = shop.start_return(order, {"lines": [{"line": 0, "fee": 10}]})
    refund = shop.process_return(row)
    # 20.00 and 5 % tax come back, less a tenth of the price without tax.
    assert refund.refunded.shop == 19
    assert [a.amount.shop for a in refund.adjustments] == [2]
    assert order.outstanding.shop == 0


def test_money_of_a_return_may_be_pending(shop: Shop) -> None:
    shop.add_product({"title": "Mug", "sku": "MUG-350", "price": "20"})
    order = shipped(shop)
    row = shop.start_return(order, {"lines": [{"line": 0}]})
    refund = shop.process_return(row, {"status": "PENDING"})
    assert [a.reason for a in refund.adjustments] == ["PENDING_REFUND_DISCREPANCY"]
    shop.settle(refund)
    assert (order.refunded.shop, order.outstanding.shop) == (21, 0)
    assert [a.reason for a in order.agreements] == ["ORDER", "RETURN"]


def test_stock_comes_back_when_it_is_said_to(shop: Shop) -> None:
    shop.add_product({"title": "Mug", "sku": "MUG-350", "price": "20", "stock": 5})
    order = shipped(shop)
    level = order.lines[0].variant.item.levels[0]
    row = shop.start_return(order, {"lines": [{"line": 0, "quantity": 2}]})
    shop.process_return(row, {"lines": [{"line": 0, "quantity": 1}]})
    assert (level.quantity("available"), level.quantity("on_hand")) == (3, 3)
    back = [{"type": "RESTOCKED"}]
    shop.process_return(row, {"lines": [{"line": 0, "quantity": 1, "dispositions": back}]})
    assert (level.quantity("available"), level.quantity("on_hand")) == (4, 4)
    assert [ln.restock_type for r in order.refunds for ln in r.lines] == ["NO_RESTOCK", "RETURN"]
    assert row.reverse_orders[0].status == "CLOSED"


def test_what_does_not_exist_is_a_user_error(simulator: Simulator, graphql: Run) -> None:
    row = simulator.shop.start_return(shipped(simulator.shop), {"lines": [{"line": 0}]})
    line = {"id": "gid://shopify/ReturnLineItem/1", "quantity": 1}
    for return_id in (row.gid, "gid://shopify/Return/1"):
        values = {"returnId": return_id, "returnLineItems": [line]}
        errors = graphql(PROCESS, {"input": values})["data"]["returnProcess"]["userErrors"]
        assert [error["code"] for error in errors] == ["NOT_FOUND"]


def test_a_closed_return_is_not_reopened_over_another(shop: Shop) -> None:
    shop.add_product({"title": "Mug", "sku": "MUG-350", "price": "20"})
    order = shipped(shop)
    row = shop.start_return(order, {"lines": [{"line": 0, "quantity": 2}]})
    shop.close_return(row)
    shop.start_return(order, {"lines": [{"line": 0}]})
    with pytest.raises(Refused, match="not reopenable"):
        shop.reopen_return(row)
    assert row.status == "CLOSED"


def test_custom_items_cannot_be_restocked(shop: Shop) -> None:
    order = shipped(shop, sku=None, title="Engraving")
    row = shop.start_return(order, {"lines": [{"line": 0}]})
    back = [{"type": "RESTOCKED"}]
    with pytest.raises(Refused, match="Custom items cannot be restocked"):
        shop.process_return(row, {"lines": [{"line": 0, "dispositions": back}]})


def test_an_open_return_keeps_the_order_from_being_cancelled(shop: Shop) -> None:
    order = shop.place_order(
        {"lines": [{"title": "Coat", "price": "1", "quantity": 2}], "payment": "pending"}
    )
    fulfillment = shop.fulfil(order)
    shop.start_return(order, {"lines": [{"line": 0}]})
    with pytest.raises(Refused, match="open return"):
        shop.cancel(order)
    with pytest.raises(Refused, match="open return"):
        shop.cancel_fulfillment(fulfillment)
    with pytest.raises(Refused, match="more items than were purchased"):
        shop.refund(order, {"lines": [{"line": 0, "quantity": 2}]})


def test_an_archived_order_comes_back(shop: Shop) -> None:
    shop.add_product({"title": "Mug", "sku": "MUG-350", "price": "20"})
    order = shipped(shop)
    assert order.closed_at
    row = shop.start_return(order, {"lines": [{"line": 0}]})
    assert order.closed_at is None
    shop.process_return(row)
    shop.close_return(row)
    assert order.closed_at
