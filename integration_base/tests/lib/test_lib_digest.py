"""Digests: equal for equal data, different for different data, stable between runs."""

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from odoo.addons.integration_base.lib.digest import canonical_json, digest, fingerprint, generalize

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.decimals(allow_nan=False, allow_infinity=False)
)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def shuffled(value, dice):
    if isinstance(value, dict):
        items = list(value.items())
        dice.shuffle(items)
        return {key: shuffled(item, dice) for key, item in items}
    if isinstance(value, list):
        return [shuffled(item, dice) for item in value]
    return value


@given(DATA, st.randoms(use_true_random=False))
def test_order_of_keys_makes_no_difference(data, dice: random.Random):
    assert digest(data) == digest(shuffled(data, dice))


@given(DATA, DATA)
def test_same_digest_means_same_canonical_text(one, other):
    assert (digest(one) == digest(other)) == (canonical_json(one) == canonical_json(other))


@given(st.decimals(allow_nan=False, allow_infinity=False), st.integers(0, 20))
def test_trailing_zeros_of_a_decimal_make_no_difference(amount, zeros):
    sign, digits, exponent = amount.as_tuple()
    longer = Decimal((sign, digits + (0,) * zeros, exponent - zeros))
    assert digest(amount) == digest(longer)


@given(st.decimals(-(10**15), 10**15, places=4), st.decimals(-(10**15), 10**15, places=4))
def test_different_amounts_differ(one, other):
    assert (digest(one) == digest(other)) == (one == other)


def test_is_short_and_stable():
    assert digest({"b": [1, Decimal("2.50")], "a": "é"}) == "01ad7fabab60df6a12ac3a8474117b87"


def test_order_of_a_list_counts():
    assert digest([1, 2]) != digest([2, 1])


def test_spellings_of_one_value():
    berlin = timezone(timedelta(hours=1))
    assert digest(datetime(2026, 1, 1, 12)) == digest(datetime(2026, 1, 1, 13, tzinfo=berlin))
    assert digest(datetime(2026, 1, 1, 12)) == digest(datetime(2026, 1, 1, 12, tzinfo=UTC))
    assert digest(Decimal("-0.00")) == digest(Decimal(0))
    assert digest((1, 2)) == digest([1, 2])
    assert digest({3, 1, 2}) == digest({2, 3, 1})
    assert digest(1.0) == digest(1)
    assert digest(True) != digest(1)
    assert digest(date(2026, 1, 1)) != digest(datetime(2026, 1, 1))


def test_models_dataclasses_and_enums():
    class Line(BaseModel):
        sku: str
        price: Decimal

    @dataclass
    class Row:
        sku: str
        price: Decimal

    class Kind(Enum):
        SALE = "sale"

    plain = {"sku": "A", "price": Decimal("1.5")}
    assert digest(Line(sku="A", price="1.50")) == digest(plain)
    assert digest(Row("A", Decimal("1.50"))) == digest(plain)
    assert digest(Kind.SALE) == digest("sale")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("NaN"), {1: 1, "1": 2}])
def test_values_without_a_digest(value):
    with pytest.raises(ValueError):
        digest(value)


def test_unknown_objects_have_no_digest():
    with pytest.raises(TypeError, match="object"):
        digest({"record": object()})


def test_huge_exponent_is_no_bomb():
    assert digest(Decimal("1e999999")) != digest(Decimal("1e999998"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Order #1001: SKU 'A-1' is unknown.", "Order #1002: SKU 'B' is unknown."),
        ("SO0042 has 19.99 to pay since 2026-01-02", "SO7 has 5 to pay since 2025-12-31 10:00"),
        ("No tax for “VAT 19 %”", "No tax for “MwSt, ermäßigt”"),
        ("Missing 'A', 'B' and 'C'", "Missing 'A' and 'C'"),
        ("gid://shopify/Order/12 not found", "gid://shopify/Order/999 not found"),
        ("Customer a@b.example exists", "Customer longer.name@shop.example exists"),
        ("see https://a.example/x?y=1", "see https://b.example/"),
        ("line 3  of 4\nfailed", "line 12 of 14 failed"),
        ("doesn't fit 'x'", "doesn't fit 'it's'"),
    ],
)
def test_equal_failures_group(one, other):
    assert generalize(one) == generalize(other)
    assert fingerprint("mapping", one) == fingerprint("mapping", other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("HTTP 404: not found", "HTTP 422: not found"),
        ("SKU 'A' is unknown", "Tax 'A' is unknown"),
        ("it doesn't exist, we can't", "it doesn't fit, we can't"),
    ],
)
def test_different_failures_do_not(one, other):
    assert fingerprint("refused", one) != fingerprint("refused", other)


def test_error_class_counts_as_text_or_class():
    assert fingerprint("KeyError", "x") == fingerprint(KeyError, "x")
    assert fingerprint("auth", "x") != fingerprint("mapping", "x")
    assert len(fingerprint("auth", "x")) == 16


@given(st.text())
def test_fingerprint_takes_any_text(text):
    fingerprint("error", text)


def test_fingerprint_leaves_out_what_the_record_is_called():
    reason = "%s: no country. Correct %s there."
    prints = {
        fingerprint("odoo", reason % (name, name), about=(name, "c-1", None, ""))
        for name in ("Ada", "Ada Lovelace", "#1001", "Caf\u00e9 (old)", "a.b*")
    }
    assert len(prints) == 1
    assert fingerprint("odoo", "Country", about=("try",)) == fingerprint("odoo", "Country")
    assert fingerprint("odoo", "No country", about=("Ada",)) != prints.pop()
