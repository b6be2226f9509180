"""Whatever happens to an order, its sums agree."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..money import total
from ..records import Line, Order
from ..seed import random_orders, seed_catalogue
from ..shop import Config, Refused, Shop, SpecError


def check(order: Order) -> None:
    sales = [sale for agreement in order.agreements for sale in agreement.sales]
    assert total(s.amount for s in sales if s.line_type != "ADJUSTMENT") == order.current_total
    assert total(s.tax for s in sales) == order.current_tax
    for charged in order.charged:
        own = [sale for sale in sales if sale.of is charged]
        for tax_line in charged.tax_lines:
            titles = [t.title for t in charged.tax_lines]
            if titles.count(tax_line.title) == 1:
                amounts = [a for s in own for _id, a, t in s.taxes if t.title == tax_line.title]
                assert total(amounts) == tax_line.current
    for line in order.lines:
        units = sum(s.quantity or 0 for s in sales if s.line is line)
        assert units == line.current_quantity
        assert line.current.presentment >= 0
        check_units(order, line)
    for sale in sales:
        assert total(amount for _id, amount, _line in sale.taxes) == sale.tax
    money = order.net_payment + order.authorized
    if order.currencies.single:
        balance = order.current_total + order.adjusted - money
        assert balance == order.outstanding
    if not order.currencies.single and not order.outstanding.presentment:
        assert not order.outstanding.shop
    assert order.refunded == total(refund.refunded for refund in order.refunds)
    assert sum(t.price.presentment for t in order.summed_taxes()) == order.tax.presentment
    assert all(t.refundable.presentment >= 0 for t in order.transactions)
    told = [a.refund for a in order.agreements if a.refund]
    assert len(told) == len(set(told)) and set(told) == set(order.refunds)


def check_units(order: Order, line: Line) -> None:
    """Every unit is somewhere: to be shipped, shipped, come back or never to be."""
    assert line.current_quantity == line.quantity - line.withdrawn - line.returned
    if line.tip:
        return
    work = [
        row
        for fulfillment_order in order.fulfillment_orders
        if not fulfillment_order.over
        for row in fulfillment_order.lines
        if row.line is line
    ]
    assert sum(row.remaining for row in work) == line.unfulfilled
    assert all(0 <= row.remaining <= row.total for row in work)
    shipped = sum(
        row.quantity
        for fulfillment in order.fulfillments
        if fulfillment.status == "SUCCESS"
        for row in fulfillment.lines
        if row.line is line
    )
    assert shipped == line.fulfilled >= line.returned
    promised = sum(
        row.unprocessed for r in order.returns if r.active for row in r.lines if row.line is line
    )
    assert promised <= line.fulfilled - line.returned


def do(shop: Shop, order: Order, action: str, spec: dict[str, Any]) -> Any:
    """One action as the control API does it."""
    if action == "start_return":
        return shop.start_return(order, spec)
    if action.endswith("_return"):
        row = shop.return_of(order)
        return shop.process_return(row, spec) if spec else getattr(shop, action)(row)
    if action == "cancel_fulfillment":
        return shop.cancel_fulfillment(shop.parcel_of(order))
    if action in ("hold", "release", "move", "split"):
        work = shop.work_of(order)
        rows = shop.rows_of(work, spec.get("lines"))
        if action == "hold":
            return shop.hold(work, {}, rows)
        if action == "release":
            return shop.release(work)
        if action == "split":
            return shop.split(work, rows or [])
        return shop.move(work, shop.all("Location")[-1], rows)
    if action == "settle":
        return [shop.settle(refund) for refund in order.refunds]
    return getattr(shop, action)(order, spec)


def shake(shop: Shop, order: Order, rng: random.Random) -> None:
    """Do something to an order that the shop may refuse."""
    line = rng.randrange(len(order.lines))
    quantity = order.lines[line].current_quantity
    some = [{"line": line, "quantity": rng.randint(1, quantity + 1)}]
    choice: dict[str, Any] = {
        "edit": rng.choice(
            [
                {"set": [{"line": line, "quantity": rng.randint(0, quantity + 2)}]},
                {"discount": [{"line": line, "fixed": "0.10"}]},
                {"add": [{"title": "More", "price": "3"}]},
            ]
        ),
        "pay": {},
        "fulfil": rng.choice([{}, {"lines": some}]),
        "cancel": {"refund": rng.random() < 0.7},
        "refund": {
            "lines": [{**some[0], "restock": rng.choice(["RETURN", "CANCEL", "NO_RESTOCK"])}],
            **rng.choice(
                [{}, {"shipping": "full"}, {"amount": "0.50"}, {"amount": 0}, {"status": "PENDING"}]
            ),
        },
        "settle": {},
        "capture": {},
        "touch": {"note": "again"},
        "cancel_fulfillment": {},
        "hold": rng.choice([{}, {"lines": some}]),
        "release": {},
        "move": rng.choice([{}, {"lines": some}]),
        "split": {"lines": some},
        "start_return": {
            "lines": some,
            "exchange": rng.choice([[], [{"title": "Other", "price": "4"}]]),
            "requested": rng.random() < 0.3,
            "shippingFee": rng.choice([None, "0.20"]),
        },
        "approve_return": {},
        "process_return": rng.choice(
            [{"note": "back"}, {"amount": 0}, {"lines": [{"line": 0, "quantity": 1}]}]
        ),
        "close_return": {},
        "cancel_return": {},
        "reopen_return": {},
    }
    # A cancelled order has little left to live through, an order not shipped nothing to return.
    weights = {"cancel": 0.1, "fulfil": 2, "start_return": 2, "process_return": 3, "touch": 0.2}
    names = list(choice)
    (action,) = rng.choices(names, [weights.get(name, 1) for name in names])
    before = (order.current_total, order.net_payment, len(order.agreements), len(order.lines))
    try:
        do(shop, order, action, choice[action])
    except (Refused, SpecError):
        after = (order.current_total, order.net_payment, len(order.agreements), len(order.lines))
        assert after == before


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_sums_agree_after_any_history(seed: int) -> None:
    rng = random.Random(seed)
    shop = Shop(Config(search_delay=0))
    seed_catalogue(shop)
    other = shop.add_location("Elsewhere")
    for item in shop.all("InventoryItem"):
        shop.add_level(item, other)
    for spec in random_orders(3, seed, shop):
        for row in spec["lines"]:
            if rng.random() < 0.3:
                row["location"] = other.gid
            if rng.random() < 0.2:
                taxes = [{"title": "Duty tax", "rate": "0.1"}]
                row["duties"] = [{"amount": "1.23", "taxes": taxes}]
        if rng.random() < 0.3:
            spec["fees"] = [{"amount": "0.28"}]
        order = shop.place_order(spec)
        check(order)
        for _step in range(12):
            shake(shop, order, rng)
            check(order)


def test_the_same_seed_draws_the_same_orders() -> None:
    drawn = []
    for _run in range(2):
        shop = Shop(Config(search_delay=0))
        seed_catalogue(shop)
        orders = [shop.place_order(spec) for spec in random_orders(30, 7, shop)]
        drawn.append([(o.name, o.total, o.email) for o in orders])
    assert drawn[0] == drawn[1]


@pytest.fixture(scope="module")
def many() -> list[Order]:
    shop = Shop(Config(search_delay=0))
    seed_catalogue(shop)
    return [shop.place_order(spec) for spec in random_orders(200, 7, shop)]


def test_random_orders_are_as_different_as_real_ones(many: list[Order]) -> None:
    assert {o.taxes_included for o in many} == {True, False}
    assert len({o.currencies.presentment for o in many}) >= 5
    assert "JPY" in {o.currencies.presentment for o in many}
    assert len({o.billing.country_code for o in many if o.billing}) >= 8
    assert {1, 12} <= {len(o.lines) for o in many}
    assert any(o.customer is None for o in many)
    assert any(o.customer and len(o.customer.orders) > 1 for o in many)
    assert {"PAID", "PENDING", "AUTHORIZED", None} <= {o.financial_status for o in many}
    assert any(o.discounts for o in many)
    assert any(not line.taxable for o in many for line in o.lines)
