"""When to try again. Pure: the clock and the dice are arguments."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

#: No answer makes us wait longer than a day, whatever it says.
MAX_RETRY_AFTER = 24 * 3600.0


def next_delay(
    attempts: int,
    *,
    base: float = 30.0,
    factor: float = 2.0,
    cap: float = 3600.0,
    jitter: tuple[float, float] = (0.5, 1.0),
    rand: Callable[[], float] = random.random,
) -> float:
    """Seconds to wait after the given number of failed attempts.

    Exponential with jitter, so that what failed together does not come back together.

    :param attempts: failed attempts so far, 1 after the first.
    :param base: seconds after the first failure, before jitter.
    :param cap: most seconds ever.
    :param jitter: share of the wait that is drawn, lowest and highest.
    :param rand: returns a number in [0, 1).
    """
    low, high = jitter
    if base <= 0 or factor < 1 or cap <= 0 or not 0 <= low <= high <= 1:
        raise ValueError("base and cap must be positive, factor >= 1, jitter within 0 and 1")
    delay = min(base, cap)
    for _ in range(max(attempts, 1) - 1):
        if delay >= cap or factor == 1:
            break
        delay = min(delay * factor, cap)
    return delay * (low + (high - low) * rand())


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds of a ``Retry-After`` header (RFC 9110 section 10.2.3).

    :param value: seconds (some services send ``2.0``) or an HTTP date.
    :param now: the other side's clock, i.e. its ``Date`` header where it sent one, else ours;
        naive means UTC. Dates compared with a foreign clock would make us wait for its error.
    :returns: between 0 and a day, or None when the header is missing or senseless.
    """
    if not value or len(value) > 64:
        return None
    text = value.strip()
    if not text.isascii():
        return None
    whole, _, fraction = text.partition(".")
    if whole.isdigit() and (fraction.isdigit() or not fraction):
        return min(float(text), MAX_RETRY_AFTER)
    when = parse_http_date(text)
    if when is None:
        return None
    if now.tzinfo is None:
        now = now.replace(tzinfo=UTC)
    return min(max((when - now).total_seconds(), 0.0), MAX_RETRY_AFTER)


def parse_http_date(value: str | None) -> datetime | None:
    """The moment of an HTTP date, aware, or None when it is none."""
    if not value or len(value) > 64:
        return None
    try:
        when = parsedate_to_datetime(value)
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        return when.astimezone(UTC)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
