"""Waiting: growing, bounded, spread, and never longer than somebody else's wrong clock."""

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.integration_base.lib.backoff import (
    MAX_RETRY_AFTER,
    next_delay,
    parse_http_date,
    parse_retry_after,
)

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def test_doubles_up_to_the_cap():
    delays = [next_delay(n, base=30, cap=300, rand=lambda: 1.0) for n in range(1, 7)]
    assert delays == [30, 60, 120, 240, 300, 300]


def test_jitter_draws_between_half_and_all():
    assert next_delay(1, base=30, rand=lambda: 0.0) == 15
    assert next_delay(1, base=30, rand=lambda: 0.5) == 22.5


@given(
    attempts=st.integers(-5, 10**9),
    base=st.floats(0.1, 1e6),
    factor=st.floats(1, 1e6),
    cap=st.floats(0.1, 1e7),
    dice=st.floats(0, 1, exclude_max=True),
)
def test_always_between_half_and_the_cap(attempts, base, factor, cap, dice):
    delay = next_delay(attempts, base=base, factor=factor, cap=cap, rand=lambda: dice)
    assert min(base, cap) / 2 <= delay <= cap


@given(st.integers(1, 200))
def test_never_shrinks_with_more_attempts(attempts):
    assert next_delay(attempts, rand=lambda: 0.3) <= next_delay(attempts + 1, rand=lambda: 0.3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"base": 0},
        {"base": -1},
        {"factor": 0.5},
        {"cap": 0},
        {"jitter": (0.9, 0.1)},
        {"jitter": (0, 2)},
    ],
)
def test_senseless_settings_are_a_bug(wrong):
    with pytest.raises(ValueError):
        next_delay(1, **wrong)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 7 ", 7),
        ("2.0", 2),
        ("1.5", 1.5),
        ("999999999999999999999", MAX_RETRY_AFTER),
        (None, None),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("1e3", None),
        ("nan", None),
        ("inf", None),
        (".", None),
        ("٣", None),
        ("1" * 400, None),
        ("Fri, 20 Nov 2026 12:00:30 GMT", 30),
        ("Fri, 20 Nov 2026 11:59:00 GMT", 0),
        ("Fri, 20 Nov 9999 23:59:59 GMT", MAX_RETRY_AFTER),
        ("Fri, 32 Nov 2026 12:00:30 GMT", None),
    ],
)
def test_retry_after(header, seconds):
    assert parse_retry_after(header, NOW) == seconds


def test_retry_after_takes_a_naive_now_as_utc():
    assert parse_retry_after("Fri, 20 Nov 2026 12:00:30 GMT", NOW.replace(tzinfo=None)) == 30


@given(st.integers(0, 86_000), st.integers(-12, 14))
def test_retry_after_reads_every_zone(seconds, hours):
    when = (NOW + timedelta(seconds=seconds)).astimezone(timezone(timedelta(hours=hours)))
    assert parse_retry_after(format_datetime(when), NOW) == seconds


@given(st.text())
def test_retry_after_takes_any_text(text):
    result = parse_retry_after(text, NOW)
    assert result is None or 0 <= result <= MAX_RETRY_AFTER
    parse_http_date(text)
