"""Money: nothing lost, nothing invented."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.integration_base.lib.money import allocate, minor_units, round_to, to_decimal

CURRENCIES = st.sampled_from(["EUR", "JPY", "KWD", "CLF"])


@pytest.mark.parametrize(
    ("currency", "decimals"),
    [
        ("EUR", 2),
        ("USD", 2),
        ("HUF", 2),
        ("JPY", 0),
        ("KRW", 0),
        ("KWD", 3),
        ("TND", 3),
        ("CLF", 4),
    ],
)
def test_minor_units(currency, decimals):
    assert minor_units(currency) == decimals


@pytest.mark.parametrize("wrong", ["", "eur", "EURO", "E1R", "ÄÖÜ", None])
def test_no_currency(wrong):
    with pytest.raises(ValueError):
        minor_units(wrong)


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        ("10.00", "10.00"),
        ("-0.5", "-0.5"),
        ("007", "7"),
        (3, "3"),
        (-3, "-3"),
        (Decimal("1E+2"), "100"),
        (Decimal("1.50"), "1.50"),
        ("-0.00", "0.00"),
    ],
)
def test_to_decimal(value, amount):
    result = to_decimal(value)
    assert str(result) == amount


@pytest.mark.parametrize(
    "value",
    [
        1.1, True, None, b"1", "", " 1", "1 ", "1\n", "+1", "1e3", "1E3", "NaN", "Infinity", "-",
        ".5", "5.", "1,5", "1_000", "0x10", "\u0661", "1" * 31, 10**30, Decimal("NaN"),
        Decimal("Infinity"), Decimal("1e999999"), Decimal("1e-999999"), [1],
    ],
)  # fmt: skip
def test_to_decimal_refuses(value):
    with pytest.raises(ValueError, match="an amount must be"):
        to_decimal(value)


@given(st.decimals(-(10**20), 10**20, places=5))
def test_to_decimal_keeps_the_value(amount):
    assert to_decimal(format(amount, "f")) == amount
    assert to_decimal(amount) == amount


@pytest.mark.parametrize(
    ("amount", "currency", "rounded"),
    [
        ("1.005", "EUR", "1.01"),
        ("-1.005", "EUR", "-1.01"),
        ("2.5", "JPY", "3"),
        ("1.0005", "KWD", "1.001"),
        ("-0.001", "EUR", "0.00"),
        ("1", "EUR", "1.00"),
        ("9" * 30 + ".999", "EUR", "1" + "0" * 30 + ".00"),
    ],
)
def test_round_to(amount, currency, rounded):
    assert str(round_to(Decimal(amount), currency)) == rounded


@given(st.decimals(-(10**12), 10**12, places=6), CURRENCIES)
def test_rounding_moves_at_most_half_a_unit_and_once(amount, currency):
    rounded = round_to(amount, currency)
    assert abs(rounded - amount) * 2 <= Decimal(1).scaleb(-minor_units(currency))
    assert round_to(rounded, currency) == rounded


def test_allocation_of_a_shop_discount():
    # Recorded order: 20.00 over four lines; the odd cents go to the first lines.
    lines = [Decimal(100)] * 3
    assert allocate(Decimal("20.00"), lines, "EUR") == [
        Decimal("6.67"),
        Decimal("6.67"),
        Decimal("6.66"),
    ]
    assert allocate(Decimal("-0.05"), [1, 1, 1], "EUR") == [
        Decimal("-0.02"),
        Decimal("-0.02"),
        Decimal("-0.01"),
    ]
    assert allocate(Decimal(10), [0, 0, 0], "JPY") == [4, 3, 3]
    assert allocate(Decimal("0.01"), [0, 1], "EUR") == [0, Decimal("0.01")]


@given(
    units=st.integers(-(10**12), 10**12),
    weights=st.lists(st.decimals(0, 10**6, places=3), min_size=1, max_size=30),
    currency=CURRENCIES,
)
def test_allocation_adds_up_and_is_fair(units, weights, currency):
    unit = Decimal(1).scaleb(-minor_units(currency))
    total = units * unit
    parts = allocate(total, weights, currency)
    assert sum(parts) == total
    assert len(parts) == len(weights)
    whole = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        assert part == part.quantize(unit)
        assert part * total >= 0
        if whole:
            assert abs(part * whole - total * weight) < unit * whole
            assert weight or not part


@given(st.integers(0, 10**9), st.lists(st.integers(1, 1000), min_size=2, max_size=10))
def test_remainder_goes_to_the_first(units, weights):
    parts = allocate(Decimal(units), weights, "JPY")
    exact = [units * weight // sum(weights) for weight in weights]
    extra = [int(part) - floor for part, floor in zip(parts, exact, strict=True)]
    assert extra == sorted(extra, reverse=True)


@pytest.mark.parametrize(
    ("total", "weights", "currency"),
    [
        ("1.00", [], "EUR"),
        ("1.00", [1, -1], "EUR"),
        ("1.001", [1], "EUR"),
        ("1.5", [1], "JPY"),
        ("1.00", [1.5], "EUR"),
        ("NaN", [1], "EUR"),
    ],
)
def test_allocation_refuses(total, weights, currency):
    with pytest.raises(ValueError):
        allocate(Decimal(total), weights, currency)
