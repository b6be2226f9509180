"""Placing, editing, paying, refunding, cancelling: what the numbered cases leave out."""

from __future__ import annotations

from typing import Any

import pytest

from ..payloads import order_payload
from ..records import Order
from ..shop import Refused, Shop, SpecError
from .helpers import cad, place


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


def test_edit_without_a_change(shop: Shop) -> None:
    order = place(shop, {"price": "1"})
    with pytest.raises(Refused, match="There must be at least one change"):
        shop.edit(order, {"set": [{"line": 0, "quantity": 1}]})


def test_refund_beyond_what_was_paid_changes_nothing(shop: Shop) -> None:
    order = place(shop, {"price": "10"})
    with pytest.raises(Refused, match=r"\$999.00 is greater than net payment received \$10.00"):
        shop.refund(order, {"lines": [{"line": 0}], "amount": "999"})
    assert not order.refunds
    assert order.lines[0].current_quantity == 1


def test_capture(shop: Shop) -> None:
    order = place(shop, {"price": "12.50"}, payment="authorized")
    with pytest.raises(Refused, match=r"Cannot capture more than the authorized 12.50"):
        shop.capture(order, {"amount": "13"})
    shop.capture(order)
    assert (order.financial_status, cad(order.received)) == ("PAID", "12.50")
    with pytest.raises(Refused, match="Can only capture successful authorizations"):
        shop.capture(order)


def test_cancel_an_unpaid_order(shop: Shop) -> None:
    order = place(shop, {"price": "10"}, payment="pending")
    assert order.financial_status == "PENDING"
    shop.cancel(order)
    assert order.financial_status is None
    assert (cad(order.current_total), cad(order.outstanding)) == ("0.00", "0.00")


@pytest.mark.parametrize("payment", ["paid", "pending"])
def test_an_order_shipped_in_part_is_cancelled(shop: Shop, payment: str) -> None:
    shop.add_product({"title": "Mug", "sku": "MUG", "price": "10", "stock": 5})
    order = shop.place_order({"lines": [{"sku": "MUG", "quantity": 3}], "payment": payment})
    shop.fulfil(order, {"lines": [{"line": 0, "quantity": 1}]})
    if payment == "paid":
        with pytest.raises(Refused, match="fulfilled order"):
            shop.cancel(order)
    shop.cancel(order, {"force": True})
    line = order.lines[0]
    assert (line.current_quantity, line.fulfilled, line.withdrawn) == (0, 1, 2)
    # What was shipped does not lie on the shelf again.
    level = line.variant.item.levels[0]
    assert (level.quantity("available"), level.quantity("on_hand")) == (4, 4)
    assert cad(order.current_total) == cad(order.net_payment) == "0.00"


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
