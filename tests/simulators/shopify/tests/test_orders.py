"""Order money by recorded cases: placing, editing, paying, refunding, cancelling.

Numbers and outcomes are those of recordings of the real service.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ..money import Bag, total
from ..payloads import order_payload, refund_payload
from ..records import Order
from ..shop import Refused, Shop, SpecError

D = Decimal
GST = [{"title": "GST", "rate": "0.13"}]


def cad(amount: Bag) -> str:
    assert amount.shop == amount.presentment
    return f"{amount.shop:.2f}"


def place(shop: Shop, *lines: dict[str, Any], **spec: Any) -> Order:
    rows = [{"title": f"Article {n}", **line} for n, line in enumerate(lines)]
    return shop.place_order({"lines": rows, **spec})


def ledger(order: Order, *, adjustments: bool = True) -> Bag:
    return total(
        sale.amount
        for agreement in order.agreements
        for sale in agreement.sales
        if adjustments or sale.line_type != "ADJUSTMENT"
    )


def test_unpaid_order_of_the_api_has_no_status(shop: Shop) -> None:
    order = place(shop, {"price": "10", "quantity": 2}, payment="none")
    assert (cad(order.total), cad(order.outstanding)) == ("20.00", "20.00")
    assert order.financial_status is None


def test_paid_with_tax_on_goods_and_shipping(shop: Shop) -> None:
    order = place(
        shop,
        {"price": "12", "quantity": 2},
        taxes=[{"title": "VAT", "rate": "0.1"}],
        shipping=[{"price": "5.00"}],
    )
    assert (cad(order.total), cad(order.tax), cad(order.received)) == ("31.90", "2.90", "31.90")
    assert (cad(order.outstanding), order.financial_status) == ("0.00", "PAID")


def test_fixed_code_discount(shop: Shop) -> None:
    order = place(
        shop,
        {"price": "30"},
        discounts=[{"code": "MATH5", "amount": "5"}],
        shipping=[{"price": "4"}],
    )
    assert (cad(order.subtotal), cad(order.total)) == ("25.00", "29.00")
    assert cad(order.lines[0].unit_price) == "30.00"
    assert order.discounts[0].title == "MATH5"


def test_item_discount_then_order_discount(shop: Shop) -> None:
    order = place(
        shop,
        {"price": "99", "discount": {"kind": "automatic", "title": "Item", "amount": "5"}},
        *[{"price": "100"} for _line in range(3)],
        discounts=[{"title": "Order", "amount": "20"}],
        shipping=[{"price": "20"}],
    )
    assert [cad(line.allocated) for line in order.lines] == ["9.78", "5.08", "5.07", "5.07"]
    assert cad(order.total) == "394.00"


def test_stored_tax_wins_over_its_rate(shop: Shop) -> None:
    order = place(
        shop,
        {"price": "88.00", "taxes": [{"title": "VAT", "rate": "0.2", "amount": "14.08"}]},
        taxesIncluded=True,
    )
    assert (cad(order.total), cad(order.tax)) == ("88.00", "14.08")


def test_zero_rate_beside_others(shop: Shop) -> None:
    taxes = [{"title": "State", "rate": "0.0625"}, {"title": "County", "rate": "0"}]
    order = place(shop, {"price": "10"}, taxes=taxes)
    assert [(t.title, cad(t.price)) for t in order.lines[0].tax_lines] == [
        ("State", "0.63"),
        ("County", "0.00"),
    ]


def dual(shop: Shop) -> Order:
    amount = {"shop": "13.50", "presentment": "9.00"}
    return place(shop, {"price": amount}, presentmentCurrency="USD", rate="1.5", payment="none")


def test_paid_later_at_another_rate(shop: Shop) -> None:
    order = dual(shop)
    assert order.total == Bag(D("13.50"), D("9.00"))
    shop.pay(order, {"rate": "1.419"})
    assert order.received == Bag(D("12.77"), D("9.00"))
    assert order.outstanding == Bag()
    assert order.financial_status == "PAID"


def test_refund_at_another_rate(shop: Shop) -> None:
    order = dual(shop)
    shop.pay(order, {"rate": "1.419"})
    refund = shop.refund(order, {"amount": "5", "rate": "1.419"})
    assert refund.refunded == Bag(D("7.10"), D("5.00"))
    assert order.financial_status == "PARTIALLY_REFUNDED"


def test_edit_takes_one_of_two_units(shop: Shop) -> None:
    order = place(shop, {"price": "100", "quantity": 2}, taxes=GST, payment="none")
    shop.edit(order, {"set": [{"line": 0, "quantity": 1}]})
    assert (cad(order.subtotal), cad(order.tax), cad(order.total)) == ("200.00", "26.00", "226.00")
    assert cad(order.current_subtotal) == "100.00"
    assert (cad(order.current_tax), cad(order.current_total)) == ("13.00", "113.00")
    (line,) = order.lines
    assert (line.quantity, line.current_quantity, cad(line.tax)) == (2, 1, "26.00")
    assert cad(ledger(order)) == "113.00"


def test_edit_discounts_a_line(shop: Shop) -> None:
    order = place(shop, {"price": "100"}, payment="none")
    shop.edit(order, {"discount": [{"line": 0, "fixed": "20"}]})
    assert (cad(order.subtotal), cad(order.current_subtotal)) == ("80.00", "80.00")
    assert cad(order.lines[0].unit_price) == "100.00"
    assert (cad(order.original_total), cad(order.total)) == ("100.00", "80.00")


def test_edit_discount_is_per_unit(shop: Shop) -> None:
    order = place(shop, {"price": "3", "quantity": 2}, payment="none")
    shop.edit(order, {"discount": [{"line": 0, "fixed": "1"}]})
    assert cad(order.lines[0].allocated) == "2.00"


def test_edit_adds_to_a_paid_order(shop: Shop) -> None:
    order = place(shop, {"price": "10"})
    shop.edit(order, {"add": [{"title": "More", "price": "5"}]})
    assert (order.financial_status, cad(order.outstanding)) == ("PARTIALLY_PAID", "5.00")
    assert (cad(order.total), cad(order.current_total)) == ("15.00", "15.00")
    assert len(order.transactions) == 1
    assert len(order.fulfillment_orders) == 2


def test_edit_to_zero_keeps_the_line(shop: Shop) -> None:
    order = place(shop, {"price": "1"}, {"price": "2"}, {"price": "3"})
    shop.edit(order, {"set": [{"line": 1, "quantity": 0}]})
    assert [(ln.quantity, ln.current_quantity) for ln in order.lines] == [(1, 1), (1, 0), (1, 1)]


def test_edit_without_a_change(shop: Shop) -> None:
    order = place(shop, {"price": "1"})
    with pytest.raises(Refused, match="There must be at least one change"):
        shop.edit(order, {"set": [{"line": 0, "quantity": 1}]})


def test_full_refund_that_shows_no_subtotal(shop: Shop) -> None:
    order = place(shop, {"price": "10"}, shipping=[{"price": "5"}])
    refund = shop.refund(order, {"lines": [{"line": 0}], "shipping": "full", "zeroSubtotal": True})
    assert (cad(refund.lines[0].subtotal), cad(refund.refunded)) == ("0.00", "15.00")
    assert order.financial_status == "REFUNDED"


def test_partial_refund_with_shipping_and_restock(shop: Shop) -> None:
    order = place(shop, {"price": "10", "quantity": 2}, shipping=[{"price": "5"}])
    refund = shop.refund(order, {"lines": [{"line": 0, "restock": "RETURN"}], "shipping": "full"})
    assert (cad(refund.lines[0].subtotal), cad(refund.refunded)) == ("10.00", "15.00")
    assert order.financial_status == "PARTIALLY_REFUNDED"
    assert refund.lines[0].restock_type == "RETURN"
    assert (cad(order.current_total), cad(order.outstanding)) == ("10.00", "0.00")


def test_refund_of_an_amount_only(shop: Shop) -> None:
    order = place(shop, {"price": "10"}, gateway="bogus")
    refund = shop.refund(order, {"amount": "1.00"})
    assert (order.financial_status, cad(refund.refunded)) == ("PARTIALLY_REFUNDED", "1.00")
    assert refund.transactions[0].gateway == "bogus"
    assert cad(refund.adjustments[0].amount) == "-1.00"
    assert (cad(order.current_total), cad(order.outstanding)) == ("10.00", "0.00")
    assert cad(ledger(order)) == cad(order.net_payment)


def test_pending_refund_books_no_money(shop: Shop) -> None:
    order = place(shop, {"price": "245.67"}, taxes=GST)
    refund = shop.refund(order, {"full": True, "status": "PENDING"})
    payload = refund_payload(shop, refund)
    assert payload["refund_line_items"][0]["subtotal"] == 245.67
    assert payload["refund_line_items"][0]["total_tax"] == 31.94
    assert payload["transactions"][0]["status"] == "pending"
    assert payload["order_adjustments"][0]["amount"] == "277.61"
    assert cad(order.refunded) == "0.00"
    shop.settle(refund)
    assert cad(order.refunded) == "277.61"
    assert [cad(a.amount) for a in refund.adjustments] == ["277.61", "-277.61"]


def test_refund_beyond_what_was_paid_changes_nothing(shop: Shop) -> None:
    order = place(shop, {"price": "10"})
    with pytest.raises(Refused, match=r"\$999.00 is greater than net payment received \$10.00"):
        shop.refund(order, {"lines": [{"line": 0}], "amount": "999"})
    assert not order.refunds
    assert order.lines[0].current_quantity == 1


def test_void_leaves_the_whole_amount_open(shop: Shop) -> None:
    order = place(shop, {"price": "25"}, payment="authorized")
    assert (order.financial_status, cad(order.outstanding)) == ("AUTHORIZED", "0.00")
    shop.void(order)
    assert (order.financial_status, cad(order.outstanding)) == ("VOIDED", "25.00")
    assert cad(order.transactions[-1].amount) == "0.00"


def test_capture(shop: Shop) -> None:
    order = place(shop, {"price": "12.50"}, payment="authorized")
    with pytest.raises(Refused, match=r"Cannot capture more than the authorized 12.50"):
        shop.capture(order, {"amount": "13"})
    shop.capture(order)
    assert (order.financial_status, cad(order.received)) == ("PAID", "12.50")
    with pytest.raises(Refused, match="Can only capture successful authorizations"):
        shop.capture(order)


def test_failed_authorization(shop: Shop) -> None:
    order = place(shop, {"price": "25"}, payment="failed")
    assert order.financial_status is None
    assert (cad(order.received), cad(order.outstanding)) == ("0.00", "25.00")
    assert order.transactions[0].status == "FAILURE"


def test_cancel_a_paid_order(shop: Shop) -> None:
    order = place(shop, {"price": "10", "quantity": 2})
    shop.cancel(order)
    assert order.financial_status == "REFUNDED"
    assert (cad(order.current_total), cad(order.refunded)) == ("0.00", "20.00")
    assert (cad(order.outstanding), cad(order.net_payment)) == ("0.00", "0.00")
    assert (order.lines[0].quantity, order.lines[0].unfulfilled) == (2, 0)
    (work,) = order.fulfillment_orders
    assert (work.status, work.lines[0].total) == ("CLOSED", 0)
    assert order.cancelled_at == order.closed_at
    assert order.fulfillment_status == "UNFULFILLED"


def test_cancel_an_unpaid_order(shop: Shop) -> None:
    order = place(shop, {"price": "10"}, payment="pending")
    assert order.financial_status == "PENDING"
    shop.cancel(order)
    assert order.financial_status is None
    assert (cad(order.current_total), cad(order.outstanding)) == ("0.00", "0.00")


def test_cancel_twice(shop: Shop) -> None:
    order = place(shop, {"price": "10"})
    shop.cancel(order)
    with pytest.raises(Refused) as caught:
        shop.cancel(order)
    assert (caught.value.field, caught.value.code) == (["orderId"], "INVALID")


def test_pay_twice(shop: Shop) -> None:
    order = place(shop, {"price": "10"})
    with pytest.raises(Refused, match="Order cannot be marked as paid"):
        shop.pay(order)


def test_fulfilled_and_paid_orders_are_closed(shop: Shop) -> None:
    order = place(shop, {"price": "10", "quantity": 2})
    shop.fulfil(order, {"lines": [{"line": 0, "quantity": 1}]})
    assert (order.fulfillment_status, order.closed_at) == ("PARTIALLY_FULFILLED", None)
    fulfillment = shop.fulfil(order)
    assert (order.fulfillment_status, fulfillment.name) == ("FULFILLED", f"{order.name}-F2")
    assert order.closed_at
    with pytest.raises(Refused):
        shop.fulfil(order)


def test_more_units_of_a_shipped_line_are_shipped_too(shop: Shop) -> None:
    order = place(shop, {"price": "10"})
    shop.fulfil(order)
    shop.edit(order, {"set": [{"line": 0, "quantity": 3}]})
    assert order.lines[0].unfulfilled == 2
    assert [fo.status for fo in order.fulfillment_orders] == ["CLOSED", "OPEN"]
    shop.fulfil(order)
    assert order.lines[0].unfulfilled == 0


def test_stock_follows_the_order(shop: Shop) -> None:
    shop.add_product({"title": "Mug", "sku": "MUG", "price": "5", "stock": 5})
    order = shop.place_order({"lines": [{"sku": "MUG", "quantity": 2}]})
    level = shop.all("InventoryLevel")[0]
    assert level.quantities == {"available": 3, "on_hand": 5, "committed": 2}
    shop.cancel(order)
    assert level.quantities == {"available": 5, "on_hand": 5, "committed": 0}


def test_webhook_payload_spells_money_its_own_way(shop: Shop) -> None:
    order = place(shop, {"price": "99"}, shipping=[{"price": "20"}], payment="paid")
    payload = order_payload(shop, order)
    assert payload["total_price"] == "119.00"
    assert payload["total_price_set"]["shop_money"] == {"amount": "119.00", "currency_code": "CAD"}
    assert payload["admin_graphql_api_id"] == order.gid
    assert payload["financial_status"] == "paid"
    assert payload["created_at"].endswith(("-05:00", "-04:00"))


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"lines": []}, "at least one line"),
        ({"lines": [{"sku": "NOPE"}]}, "needs a price"),
        ({"lines": [{"title": "x", "price": "much"}]}, "not a number"),
        ({"lines": [{"title": "x", "price": "1", "quantity": 0}]}, "not positive"),
        ({"lines": [{"title": "x", "price": "1"}], "payment": "later"}, "payment"),
        ({"lines": [{"title": "x", "price": "1"}], "presentmentCurrency": "XYZ"}, "no rate"),
    ],
)
def test_a_wrong_spec_says_why(shop: Shop, spec: dict[str, Any], reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        shop.place_order(spec)
