"""Never more than the service allows, never less than it would give, and live work first."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.integration_base.lib.token_bucket import (
    BACKFILL,
    LIVE,
    RESERVES,
    Bucket,
    RateLimit,
    RateState,
)

NOW = datetime(2026, 11, 20, 12)


def after(seconds):
    return NOW + timedelta(seconds=seconds)


def bucket(level=100.0, capacity=100.0, per_second=50.0):
    return Bucket(capacity, per_second, level, NOW)


def test_takes_and_refills():
    left = bucket().take(30, LIVE, NOW)
    assert left.level == 70
    assert left.refilled(after(0.2)).level == 80
    assert left.refilled(after(60)).level == 100, "not more than it holds"


def test_live_work_leaves_a_margin_and_a_backfill_more():
    assert bucket(11).take(1, LIVE, NOW).level == 10
    assert bucket(10.9).take(1, LIVE, NOW) is None
    assert bucket(31).take(1, BACKFILL, NOW).level == 30
    assert bucket(30.9).take(1, BACKFILL, NOW) is None


def test_a_full_bucket_lets_everything_go():
    for cost in (1, 99, 100, 5000):
        for priority in (LIVE, BACKFILL):
            assert bucket().take(cost, priority, NOW).level == max(0, 100 - cost)
    single = bucket(1, 1, 1)
    assert single.take(1, BACKFILL, NOW).level == 0
    assert single.take(1, LIVE, NOW).wait(1, LIVE, NOW) == 1


def test_waits_until_it_may_go():
    empty = bucket(0)
    assert empty.wait(10, LIVE, NOW) == pytest.approx(0.4)
    assert empty.wait(10, BACKFILL, NOW) == pytest.approx(0.8)
    assert empty.take(10, LIVE, after(0.4)).level == pytest.approx(10)


def test_pauses_for_several_calls_but_not_until_it_overflows():
    assert bucket(0).pause(1, LIVE, NOW) == 0.5, "a quarter of what it holds"
    assert bucket(0, capacity=10_000).pause(1, LIVE, NOW) == 20.02, "its margin comes first"
    assert bucket(1000, capacity=10_000).pause(1, LIVE, NOW) == 1, "more than a second is too long"
    assert bucket(0).pause(80, LIVE, NOW) == 1.8
    assert bucket(50).pause(1, LIVE, NOW) == 0


def test_blocked_until_the_service_said():
    refused = bucket().blocked(3, NOW)
    assert refused.level == 0
    assert refused.take(1, LIVE, after(2.9)) is None
    assert refused.wait(1, LIVE, after(1)) == 2
    assert refused.take(1, LIVE, after(3)).level == 99
    assert refused.blocked(1, after(1)).blocked_until == after(3), "the longer one counts"


def test_what_a_call_did_not_cost_is_given_back():
    left = bucket().take(60, LIVE, NOW)
    assert left.told(60, RateState("x", available=95, cost=5), NOW).level == 95
    assert left.told(60, RateState("x", cost=70), NOW).level == 30, "it cost more"
    assert left.told(60, RateState("x"), NOW).level == 40
    assert bucket(10).told(10, RateState("x", cost=500), NOW).level == 0


def test_what_others_use_is_gone():
    assert bucket(80).told(1, RateState("x", available=20), NOW).level == 20
    assert bucket(20).told(1, RateState("x", available=80), NOW).level == 20, "calls on their way"


def test_learns_the_real_size():
    learnt = bucket(99).told(1, RateState("x", 19_990, 20_000, 1000), NOW)
    assert (learnt.capacity, learnt.per_second, learnt.level) == (20_000, 1000, 19_990)
    smaller = bucket(99).told(1, RateState("x", capacity=40), NOW)
    assert (smaller.capacity, smaller.per_second, smaller.level) == (40, 50, 40)
    assert bucket(99).told(1, RateState("x", 500, 40), NOW).level == 40


def test_knows_what_it_counted_itself():
    left = bucket(60.7)
    for known in (
        RateState("x"),
        RateState("x", 60, 100, 50, 1),
        RateState("x", 75),
        RateState("x", 61, 0, 0),
    ):
        assert left.knows(1, known), known
    for news in (
        RateState("x", 59),
        RateState("x", 75, 200),
        RateState("x", 75, 100, 51),
        RateState("x", cost=0.5),
    ):
        assert not left.knows(1, news), news


@pytest.mark.parametrize(("per_second", "capacity"), [(0, 1), (-1, 1), (1, 0), (1, -1)])
def test_senseless_limits_are_a_bug(per_second, capacity):
    with pytest.raises(ValueError, match="calls"):
        RateLimit("calls", per_second, capacity)


SIZES = st.floats(0.5, 1e4)
STEPS = st.lists(
    st.tuples(
        st.floats(-5, 20),
        st.floats(0.01, 2e4),
        st.sampled_from([LIVE, BACKFILL]),
        st.one_of(st.none(), st.floats(0, 2e4)),
    ),
    max_size=40,
)


@given(capacity=SIZES, rate=SIZES, share=st.floats(0, 1), steps=STEPS)
def test_never_more_than_allowed_in_any_window(capacity, rate, share, steps):
    """Costs above the capacity count as the capacity; the clock may be set back."""
    now = NOW
    clock = 0.0  # what has really passed: a step back of the clock is none of time
    current = Bucket(capacity, rate, capacity * share, now)
    taken = []
    for step, cost, priority, available in steps:
        now += timedelta(seconds=step)
        clock += max(0.0, step)
        left = current.take(cost, priority, now)
        if left is None:
            assert current.wait(cost, priority, now) > 0
            current = current.refilled(now)
        else:
            taken.append((clock, min(cost, capacity)))
            current = left
        if available is not None:
            current = current.told(0, RateState("x", available=available), now)
        assert 0 <= current.level <= capacity
        assert current.updated_at == now
    for first, (begin, _cost) in enumerate(taken):
        amount = 0.0
        for end, cost in taken[first:]:
            amount += cost
            assert amount <= capacity + rate * (end - begin) + 1e-6 * capacity


@given(
    capacity=SIZES,
    rate=SIZES,
    share=st.floats(0, 1),
    cost=st.floats(0.01, 2e4),
    priority=st.sampled_from([LIVE, BACKFILL]),
)
def test_waiting_as_told_is_enough(capacity, rate, share, cost, priority):
    start = Bucket(capacity, rate, capacity * share, NOW)
    wait = start.wait(cost, priority, NOW)
    assert (wait == 0) == (start.take(cost, priority, NOW) is not None)
    # a microsecond more: the clock knows no less
    assert start.take(cost, priority, after(wait + 2e-6))
    assert start.pause(cost, priority, NOW) >= wait


@given(capacity=SIZES, rate=SIZES, share=st.floats(0, 1), part=st.floats(0.001, 0.7))
def test_live_work_overtakes_a_backfill(capacity, rate, share, part):
    """Whatever a backfill takes of a bucket, live work finds a fifth of it."""
    start = Bucket(capacity, rate, capacity * share, NOW)
    assert start.wait(part * capacity, LIVE, NOW) <= start.wait(part * capacity, BACKFILL, NOW)
    left = start.take(part * capacity, BACKFILL, NOW) or start
    if share >= RESERVES[BACKFILL]:
        assert left.wait(0.19 * capacity, LIVE, NOW) == 0
