"""Splitting and rounding of amounts."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..money import allocate, api_amount, rest_amount, round_money, tax_of

D = Decimal


@pytest.mark.parametrize(
    ("amount", "text"),
    [("20.00", "20.0"), ("2.90", "2.9"), ("0", "0.0"), ("-5.85", "-5.85"), ("1E+3", "1000.0")],
)
def test_graphql_amounts_are_not_padded(amount: str, text: str) -> None:
    assert api_amount(D(amount)) == text


def test_webhook_amounts_are_padded() -> None:
    assert rest_amount(D(99), "EUR") == "99.00"
    assert rest_amount(D(1200), "JPY") == "1200"


def test_spare_cents_go_to_the_first_lines() -> None:
    weights = [D(94), D(100), D(100), D(100)]
    assert allocate(D(20), weights, "HKD") == [D("4.78"), D("5.08"), D("5.07"), D("5.07")]


@given(
    st.decimals(0, 5000, places=2),
    st.lists(st.decimals(0, 900, places=2), min_size=1, max_size=12),
)
def test_parts_sum_to_the_whole(amount: Decimal, weights: list[Decimal]) -> None:
    parts = allocate(amount, weights, "EUR")
    assert sum(parts) == (min(amount, sum(weights)) if sum(weights) else 0)
    assert all(0 <= part <= weight for part, weight in zip(parts, weights, strict=True))


@pytest.mark.parametrize(
    ("net", "tax"), [("61.95", "2.95"), ("142.80", "6.80"), ("45.36", "2.16"), ("22.00", "1.05")]
)
def test_tax_inside_the_price(net: str, tax: str) -> None:
    assert tax_of(D(net), D("0.05"), D("0.05"), True, "AED") == D(tax)


def test_tax_is_rounded_per_line() -> None:
    taxes = [tax_of(D("10.15"), D("0.1"), D("0.1"), False, "USD") for _line in range(3)]
    assert sum(taxes) == D("3.06")
    assert tax_of(D("30.45"), D("0.1"), D("0.1"), False, "USD") == D("3.05")


def test_currency_without_minor_unit() -> None:
    assert round_money(D("1234.5"), "JPY") == 1235
