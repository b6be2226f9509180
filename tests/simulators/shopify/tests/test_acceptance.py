"""The recorded behaviour of the real service, case by case (numbers are those of recordings).

Cases of the list that concern only an importer are not here.
"""

from __future__ import annotations

from decimal import Decimal

import pytest

from ..app import Simulator
from ..money import Bag, total
from ..payloads import refund_payload
from ..records import Order
from ..shop import Refused, Shop
from .helpers import Run, cad, ledger, place

D = Decimal
GST = [{"title": "GST", "rate": "0.13"}]


def work(order: Order) -> list[tuple[str, int, int]]:
    return [
        (fo.status, sum(r.total for r in fo.lines), sum(r.remaining for r in fo.lines))
        for fo in order.fulfillment_orders
    ]


def test_case_01_an_unpaid_order_of_the_api_has_no_status(shop: Shop) -> None:
    order = place(shop, {"price": "10", "quantity": 2}, payment="none")
    assert (cad(order.total), cad(order.outstanding)) == ("20.00", "20.00")
    assert order.financial_status is None


def test_case_02_paid_with_tax_on_goods_and_shipping(shop: Shop) -> None:
    vat = [{"title": "VAT", "rate": "0.1"}]
    line = {"price": "12", "quantity": 2}
    order = place(shop, line, taxes=vat, shipping=[{"price": "5.00"}])
    assert (cad(order.total), cad(order.tax), cad(order.received)) == ("31.90", "2.90", "31.90")
    assert (cad(order.outstanding), order.financial_status) == ("0.00", "PAID")


def test_case_03_fixed_code_discount(shop: Shop) -> None:
    code = [{"code": "MATH5", "amount": "5"}]
    order = place(shop, {"price": "30"}, discounts=code, shipping=[{"price": "4"}])
    assert (cad(order.subtotal), cad(order.total)) == ("25.00", "29.00")
    assert cad(order.lines[0].unit_price) == "30.00"


def test_case_04_item_discount_then_order_discount(shop: Shop) -> None:
    order = place(
        shop,
        {"price": "99", "discount": {"kind": "automatic", "title": "Item", "amount": "5"}},
        *[{"price": "100"} for _line in range(3)],
        discounts=[{"title": "Order", "amount": "20"}],
        shipping=[{"price": "20"}],
    )
    assert [cad(line.allocated) for line in order.lines] == ["9.78", "5.08", "5.07", "5.07"]
    assert cad(order.total) == "394.00"


def dual(shop: Shop) -> Order:
    amount = {"shop": "13.50", "presentment": "9.00"}
    order = place(shop, {"price": amount}, presentmentCurrency="USD", rate="1.5", payment="none")
    shop.pay(order, {"rate": "1.419"})
    return order


def test_case_05_paid_later_at_another_rate(shop: Shop) -> None:
    order = dual(shop)
    assert order.total == Bag(D("13.50"), D("9.00"))
    assert order.received == Bag(D("12.77"), D("9.00"))
    assert (order.outstanding, order.financial_status) == (Bag(), "PAID")


def test_case_06_refunded_at_another_rate(shop: Shop) -> None:
    order = dual(shop)
    shop.refund(order, {"amount": "5", "rate": "1.42"})
    assert order.refunded == Bag(D("7.10"), D("5.00"))


def test_case_07_edit_takes_a_unit_off(shop: Shop) -> None:
    order = place(shop, {"price": "100", "quantity": 2}, taxes=GST)
    shop.edit(order, {"set": [{"line": 0, "quantity": 1}]})
    assert (cad(order.subtotal), cad(order.tax), cad(order.total)) == ("200.00", "26.00", "226.00")
    assert (cad(order.current_subtotal), cad(order.current_tax)) == ("100.00", "13.00")
    assert cad(order.current_total) == cad(ledger(order)) == "113.00"
    (line,) = order.lines
    assert (line.quantity, line.current_quantity) == (2, 1)
    assert (cad(line.tax_lines[0].price), cad(line.tax_lines[0].current)) == ("26.00", "13.00")


def test_case_08_edit_discount_changes_the_total_before_returns(shop: Shop) -> None:
    order = place(shop, {"price": "100"})
    shop.edit(order, {"discount": [{"line": 0, "fixed": "20"}]})
    assert (cad(order.subtotal), cad(order.current_subtotal)) == ("80.00", "80.00")
    assert (cad(order.lines[0].unit_price), cad(order.original_total)) == ("100.00", "100.00")


def test_case_09_edit_discount_is_per_unit(shop: Shop) -> None:
    order = place(shop, {"price": "3", "quantity": 2})
    shop.edit(order, {"discount": [{"line": 0, "fixed": "1.00"}]})
    assert (cad(order.lines[0].allocated), cad(order.total)) == ("2.00", "4.00")


def test_case_10_edit_adds_to_a_paid_order(shop: Shop) -> None:
    order = place(shop, {"price": "10"})
    shop.edit(order, {"add": [{"title": "More", "price": "5"}]})
    assert (order.financial_status, cad(order.outstanding)) == ("PARTIALLY_PAID", "5.00")
    assert (cad(order.total), cad(order.current_total)) == ("15.00", "15.00")
    assert len(order.transactions) == 1
    assert len(order.fulfillment_orders) == 2


def test_case_11_a_removed_line_stays(shop: Shop) -> None:
    order = place(shop, *[{"price": "10"} for _line in range(3)])
    shop.edit(order, {"set": [{"line": 1, "quantity": 0}]})
    assert [(ln.quantity, ln.current_quantity) for ln in order.lines] == [(1, 1), (1, 0), (1, 1)]


def test_case_12_refund_lines_may_show_nothing(shop: Shop) -> None:
    order = place(shop, {"price": "10"}, shipping=[{"price": "5"}])
    spec = {"lines": [{"line": 0, "restock": "NO_RESTOCK"}], "shipping": "full"}
    refund = shop.refund(order, {**spec, "zeroSubtotal": True})
    assert (cad(refund.lines[0].subtotal), cad(refund.refunded)) == ("0.00", "15.00")
    assert (order.financial_status, cad(order.current_total)) == ("REFUNDED", "0.00")


def test_case_13_partial_refund_with_shipping_and_restock(shop: Shop) -> None:
    order = place(shop, {"price": "10", "quantity": 2}, shipping=[{"price": "5"}])
    spec = {"lines": [{"line": 0, "quantity": 1, "restock": "RETURN"}], "shipping": "full"}
    refund = shop.refund(order, spec)
    assert (cad(refund.lines[0].subtotal), cad(refund.refunded)) == ("10.00", "15.00")
    assert order.financial_status == "PARTIALLY_REFUNDED"
    assert refund_payload(shop, refund)["restock"] is True


def test_case_14_refund_of_an_amount_only(shop: Shop) -> None:
    order = place(shop, {"price": "10"}, gateway="bogus")
    refund = shop.refund(order, {"amount": "1.00"})
    assert (refund.lines, cad(refund.refunded)) == ([], "1.00")
    assert (order.financial_status, cad(order.current_total)) == ("PARTIALLY_REFUNDED", "10.00")
    assert refund.transactions[0].gateway == "bogus"
    assert cad(refund.adjustments[0].amount) == "-1.00"
    assert (cad(ledger(order)), cad(order.outstanding)) == ("9.00", "0.00")


def test_case_15_pending_refund_moves_no_money_yet(shop: Shop) -> None:
    taxes = [{"title": "HST", "rate": "0.13", "amount": "31.94"}]
    order = place(shop, {"price": "245.67", "taxes": taxes})
    shop.fulfil(order)
    told: list[str] = []
    shop.emit = lambda topic, record: told.append(topic)
    refund = shop.refund(order, {"lines": [{"line": 0, "restock": "RETURN"}], "status": "PENDING"})
    assert "REFUNDS_CREATE" in told and "ORDER_TRANSACTIONS_CREATE" not in told
    payload = refund_payload(shop, refund)
    assert payload["refund_line_items"][0]["subtotal"] == 245.67
    assert payload["refund_line_items"][0]["total_tax"] == 31.94
    assert payload["transactions"][0]["status"] == "pending"
    assert payload["transactions"][0]["amount"] == "277.61"
    assert [row["amount"] for row in payload["order_adjustments"]] == ["277.61"]
    assert cad(order.refunded) == "0.00"
    shop.settle(refund)
    # The same transaction is told of once more, and an opposite row clears the first one.
    assert told.count("ORDER_TRANSACTIONS_CREATE") == 1
    assert [cad(a.amount) for a in refund.adjustments] == ["277.61", "-277.61"]
    assert (cad(order.refunded), order.financial_status) == ("277.61", "REFUNDED")


def test_case_16_voided_authorisation(shop: Shop) -> None:
    order = place(shop, {"price": "25"}, payment="authorized")
    assert (order.financial_status, cad(order.outstanding)) == ("AUTHORIZED", "0.00")
    void = shop.void(order)
    assert (void.kind, cad(void.amount), void.parent) == ("VOID", "0.00", order.transactions[0])
    assert (order.financial_status, cad(order.outstanding)) == ("VOIDED", "25.00")


def test_case_17_failed_authorisation(shop: Shop) -> None:
    order = place(shop, {"price": "25"}, payment="failed")
    assert (order.financial_status, cad(order.outstanding)) == (None, "25.00")
    assert [(t.status, cad(t.amount)) for t in order.transactions] == [("FAILURE", "25.00")]


def test_case_18_cancelled_with_refund_and_restock(shop: Shop) -> None:
    order = place(shop, {"price": "10", "quantity": 2})
    shop.cancel(order)
    assert (order.financial_status, order.closed_at) == ("REFUNDED", order.cancelled_at)
    assert (cad(order.current_total), cad(order.refunded)) == ("0.00", "20.00")
    assert (cad(order.outstanding), cad(order.net_payment)) == ("0.00", "0.00")
    assert work(order) == [("CLOSED", 0, 0)]
    assert (order.lines[0].quantity, order.lines[0].fulfillable) == (2, 0)
    assert order.fulfillment_status == "UNFULFILLED"


def test_case_19_cancelled_twice(shop: Shop) -> None:
    order = place(shop, {"price": "10"})
    shop.cancel(order)
    with pytest.raises(Refused) as caught:
        shop.cancel(order)
    assert (caught.value.field, caught.value.code) == (["orderId"], "INVALID")
    assert shop.effects["cancellations"] == 1


def test_cancelled_when_all_units_are_out_and_the_money_stays(shop: Shop) -> None:
    order = place(shop, {"price": "10"})
    shop.refund(order, {"full": True, "amount": 0})
    shop.cancel(order, {"refund": False})
    assert (order.cancelled_at is not None, len(order.refunds)) == (True, 1)
    assert cad(order.net_payment) == "10.00"


RETURN = """
mutation Return($input: ReturnInput!) {
  returnCreate(returnInput: $input) {
    return {
      name status totalQuantity
      returnShippingFees { amountSet { presentmentMoney { amount } } }
      returnLineItems(first: 5) { nodes { id quantity unprocessedQuantity } }
      reverseFulfillmentOrders(first: 5) { nodes { status } }
    }
    userErrors { field message code }
  }
}
"""


def shipped(simulator: Simulator) -> Order:
    lines = [{"title": "Coat", "price": "20", "quantity": 2}]
    order = simulator.shop.place_order({"lines": lines, "taxesIncluded": False})
    simulator.shop.fulfil(order)
    return order


def test_case_20_an_open_return_changes_nothing(simulator: Simulator, graphql: Run) -> None:
    order = shipped(simulator)
    source = order.fulfillments[0].lines[0].gid
    values = {
        "orderId": order.gid,
        "returnLineItems": [{"fulfillmentLineItemId": source, "quantity": 1}],
        "returnShippingFee": {"amount": {"amount": "7.50", "currencyCode": "EUR"}},
    }
    made = graphql(RETURN, {"input": values})["data"]["returnCreate"]["return"]
    assert (made["name"], made["status"]) == (f"{order.name}-R1", "OPEN")
    assert made["reverseFulfillmentOrders"]["nodes"] == [{"status": "OPEN"}]
    fee = made["returnShippingFees"][0]["amountSet"]["presentmentMoney"]
    assert fee == {"amount": "7.5"}
    assert (cad(order.current_total), order.lines[0].current_quantity) == ("40.00", 2)
    assert (len(order.agreements), order.refunds, order.return_status) == (1, [], "IN_PROGRESS")
    values["returnLineItems"][0]["quantity"] = 2
    refused = graphql(RETURN, {"input": values})["data"]["returnCreate"]
    assert refused["return"] is None
    assert refused["userErrors"] == [
        {
            "field": ["returnInput", "returnLineItems", "0", "quantity"],
            "message": "Return line item has an invalid quantity.",
            "code": "INVALID",
        }
    ]


def test_case_21_a_part_on_hold_and_released(shop: Shop) -> None:
    order = place(shop, {"price": "10", "quantity": 2})
    held = order.fulfillment_orders[0]
    _hold, rest = shop.hold(held, {"reason": "OTHER"}, [(held.lines[0], 1)])
    assert work(order) == [("ON_HOLD", 1, 1), ("OPEN", 1, 1)]
    assert (order.lines[0].fulfillable, order.fulfillment_status) == (1, "UNFULFILLED")
    shop.release(held)
    assert work(order) == [("OPEN", 2, 2), ("CLOSED", 0, 0)]
    shop.hold(held, {"reason": "OTHER"})
    assert order.fulfillment_status == "ON_HOLD"
    assert rest is order.fulfillment_orders[1]


def test_case_25_an_exchange_leaves_a_rest_with_the_merchant(shop: Shop) -> None:
    order = place(shop, {"price": "131.25"}, {"price": "438.90"}, taxesIncluded=True)
    shop.fulfil(order)
    row = shop.start_return(
        order, {"lines": [{"line": 0}], "exchange": [{"title": "Other", "price": "123.90"}]}
    )
    refund = shop.process_return(row, {"amount": 0})
    assert (cad(order.current_total), cad(ledger(order))) == ("562.80", "570.15")
    assert cad(ledger(order)) == cad(order.net_payment)
    agreement = order.agreements[-1]
    assert (agreement.reason, agreement.return_) == ("RETURN", row)
    assert [(s.action, s.line_type, cad(s.amount)) for s in agreement.sales] == [
        ("RETURN", "PRODUCT", "-131.25"),
        ("ORDER", "PRODUCT", "123.90"),
        ("RETURN", "ADJUSTMENT", "7.35"),
    ]
    assert (refund.transactions, cad(total(ln.subtotal for ln in refund.lines))) == ([], "131.25")
    assert order.outstanding == Bag()
