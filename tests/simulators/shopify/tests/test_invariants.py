"""Whatever happens to an order, its sums agree."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..money import total
from ..records import Order
from ..seed import random_orders, seed_catalogue
from ..shop import Config, Refused, Shop


def check(order: Order) -> None:
    sales = [sale for agreement in order.agreements for sale in agreement.sales]
    assert total(s.amount for s in sales if s.line_type != "ADJUSTMENT") == order.current_total
    assert total(s.tax for s in sales) == order.current_tax
    for line in order.lines:
        units = sum(s.quantity or 0 for s in sales if s.line is line)
        assert units == line.current_quantity
        assert line.current.presentment >= 0
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


def shake(shop: Shop, order: Order, rng: random.Random) -> None:
    """Do something to an order that the shop may refuse."""
    line = rng.randrange(len(order.lines))
    quantity = order.lines[line].current_quantity
    choice: dict[str, Any] = {
        "edit": {"set": [{"line": line, "quantity": rng.randint(0, quantity + 2)}]},
        "pay": {},
        "fulfil": {"lines": [{"line": line, "quantity": rng.randint(1, quantity + 1)}]},
        "cancel": {"refund": rng.random() < 0.7},
        "refund": {
            "lines": [
                {
                    "line": line,
                    "quantity": rng.randint(1, quantity + 1),
                    "restock": rng.choice(["RETURN", "CANCEL", "NO_RESTOCK"]),
                }
            ],
            **rng.choice([{}, {"shipping": "full"}, {"amount": "0.50"}, {"amount": 0}]),
        },
        "capture": {},
        "touch": {"note": "again"},
    }
    action = rng.choice(list(choice))
    before = (order.current_total, order.net_payment, len(order.agreements))
    try:
        getattr(shop, action)(order, choice[action])
    except Refused:
        assert (order.current_total, order.net_payment, len(order.agreements)) == before


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_sums_agree_after_any_history(seed: int) -> None:
    rng = random.Random(seed)
    shop = Shop(Config(search_delay=0))
    seed_catalogue(shop)
    for spec in random_orders(3, seed, shop):
        order = shop.place_order(spec)
        check(order)
        for _step in range(6):
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
