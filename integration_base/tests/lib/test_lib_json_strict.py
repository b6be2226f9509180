"""JSON from outside: what a database cannot hold or readers do not agree on is refused."""

import contextlib
import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.integration_base.lib.errors import InvalidPayloadError
from odoo.addons.integration_base.lib.json_strict import dumps_strict, loads_strict

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**39), 10**39) | TEXT
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(DATA, st.booleans())
def test_reads_what_json_writes(data, ascii_only):
    text = json.dumps([data], ensure_ascii=ascii_only)
    assert loads_strict(text) == [data]
    assert loads_strict(text.encode()) == [data]


@given(DATA)
def test_writes_what_json_reads(data):
    assert json.loads(dumps_strict(data)) == data


@pytest.mark.parametrize(
    ("data", "reason", "place"),
    [
        (b"", "is empty", ""),
        (b"  \n", "is empty", ""),
        (b'{"a": NaN}', "NaN is not a number", "line 1, column 7"),
        (b'{"NaN": 1,\n "b": -Infinity}', "-Infinity is not a number", "line 2, column 7"),
        (b'{"a": 1e999}', "too large", "1e999"),
        (b'{"a": 1, "a": 2}', "same name twice", "'a'"),
        (b'{"a": 1', "a part is missing", ""),
        (b'{"a": "x', "not JSON", "line 1, column 7"),
        (b"{'a': 1}", "not JSON", "line 1, column 2"),
        (b'{"a": 1}}', "not JSON", "line 1, column 9"),
        (b"[" + b"1" * 41 + b"]", "more than 40 digits", "11111"),
        (b"[" + b"1" * 5000 + b"]", "more than 40 digits", "11111"),
        (b'{"a": [{"b": "x\\u0000"}]}', "NUL", "at a[0].b"),
        (b'{"a\\u0000": 1}', "NUL", "a name at the top"),
        (b'{"a": "\\ud800"}', "character pair", "at a"),
        ('{"a": "\ud800"}', "character pair", "line 1, column 8"),
        (b'{"a": "\xff"}', "not UTF-8", "byte 7"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8", "byte 0"),
        (b'"text"', "not a text", ""),
        (b"5", "not a number", ""),
        (b"null", "not null", ""),
        (b"true", "not true or false", ""),
        (b"[" * 65 + b"]" * 65, "deeper than 64", "column 65"),
        (b"[" * 100_000, "deeper than 64", "column 65"),
        (b'{"a":' * 100_000, "deeper than 64", ""),
        (b"[" * 1000 + b"]" * 1000, "deeper than 64", ""),
    ],
)
def test_refuses_in_words(data, reason, place):
    with pytest.raises(InvalidPayloadError) as caught:
        loads_strict(data, what="The answer of shop.example")
    message = str(caught.value)
    assert message.startswith("The answer of shop.example cannot be read: ")
    assert reason in message
    assert place in message
    assert len(message) < 400
    assert len(caught.value.problems) == 1
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ('\ufeff{"a": 1}', {"a": 1}),
        (b'["\\ud83d\\ude00"]', ["😀"]),
        (b'["[[[[{{{{", "NaN"]', ["[[[[{{{{", "NaN"]),
        (b"[" * 64 + b"]" * 64, None),
        (json.dumps([[[]]] * 1000).encode(), None),
        (('["' + "[" * 1000 + '\\""]').encode(), None),
        (b'["\\\\u0000"]', ["\\u0000"]),
        (b"[1.5e3]", [1500.0]),
        (b'["' + b"1" * 60 + b'"]', ["1" * 60]),
    ],
)
def test_accepts(data, value):
    read = loads_strict(data)
    assert value is None or read == value


def test_decimals_are_exact():
    read = loads_strict(b'{"a": 0.10, "b": 12345678901234567.89, "c": 3}', decimals=True)
    assert read == {"a": Decimal("0.10"), "b": Decimal("12345678901234567.89"), "c": 3}
    assert str(read["a"]) == "0.10"


@pytest.mark.parametrize("number", ["1e999999", "1e-999999", "0." + "1" * 100])
def test_decimals_are_no_bombs(number):
    with pytest.raises(InvalidPayloadError):
        loads_strict(f"[{number}]", decimals=True)


def test_size_is_checked_before_reading():
    with pytest.raises(InvalidPayloadError, match="larger than 10 bytes"):
        loads_strict(b"[" + b"1," * 10, max_bytes=10)


def test_scalars_on_request():
    assert loads_strict(b"5", containers_only=False) == 5


@given(st.binary() | st.text(st.characters()))
def test_only_one_error_whatever_comes(data):
    with contextlib.suppress(InvalidPayloadError):
        loads_strict(data, containers_only=False)


def test_dumps():
    when = datetime(2026, 1, 2, 3, 4, 5)
    value = {"d": Decimal("1E+2"), "n": Decimal("10.00"), "t": when, "u": when.replace(tzinfo=UTC)}
    assert dumps_strict(value) == (
        '{"d":"100","n":"10.00","t":"2026-01-02T03:04:05Z","u":"2026-01-02T03:04:05+00:00"}'
    )
    assert dumps_strict([date(2026, 1, 2), "é"]) == '["2026-01-02","é"]'
    with pytest.raises(ValueError):
        dumps_strict(float("nan"))
    with pytest.raises(ValueError):
        dumps_strict(Decimal("NaN"))
    with pytest.raises(TypeError, match="object"):
        dumps_strict(object())
