"""The breaker opens for failures only, lets one probe through at a time, and closes again."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from odoo.addons.integration_base.lib.breaker import (
    CLOSED,
    DEFAULT_POLICY,
    HALF_OPEN,
    OPEN,
    Breaker,
    BreakerPolicy,
)

NOW = datetime(2026, 11, 20, 12)


def after(seconds):
    return NOW + timedelta(seconds=seconds)


def opened(now=NOW, times=1):
    breaker = Breaker()
    for _ in range(times):
        if breaker.state == OPEN:
            breaker = breaker.begin_probe(now, forced=True)
        breaker = breaker.note(5, 5, now, rand=lambda: 1.0)
    return breaker


def test_opens_on_failures_in_a_row():
    breaker = Breaker()
    for number in range(4):
        breaker = breaker.note(1, 1, after(100 * number))
        assert breaker.state == CLOSED
    breaker = breaker.note(1, 1, after(400), rand=lambda: 1.0)
    assert breaker.state == OPEN
    assert breaker.opened_at == after(400)
    assert breaker.open_until == after(415)


def test_one_good_call_ends_the_row():
    breaker = Breaker().note(4, 4, NOW).note(1, 0, NOW).note(4, 4, NOW)
    assert breaker.state == CLOSED


def test_opens_on_the_share_of_many_calls():
    breaker = Breaker().note(10, 0, NOW).note(2, 1, NOW)
    assert breaker.state == CLOSED
    assert breaker.note(7, 6, NOW).state == CLOSED, "19 calls are too few to judge"
    assert breaker.note(9, 8, NOW).state == CLOSED, "9 of 21 is less than half"
    assert breaker.note(10, 10, NOW).state == OPEN, "11 of 22"


def test_a_good_call_never_opens():
    breaker = replace(Breaker().note(1, 0, NOW), calls=19, failures=15)
    assert breaker.note(1, 0, NOW).state == CLOSED
    assert breaker.note(2, 1, NOW).state == OPEN


def test_old_calls_are_forgotten():
    breaker = Breaker().note(18, 16, NOW)
    assert breaker.note(4, 3, after(29)).state == OPEN
    assert breaker.note(4, 3, after(31)).state == OPEN, "the half before still counts"
    assert breaker.note(4, 3, after(61)).state == CLOSED
    assert breaker.note(4, 3, after(-7200)).state == CLOSED, "the clock was set back"


def test_recent_calls():
    breaker = Breaker().note(8, 2, NOW).note(4, 1, after(31))
    assert breaker.recent(after(35)) == (12, 3)
    assert breaker.recent(after(62)) == (4, 1)
    assert breaker.recent(after(95)) == (0, 0)
    assert Breaker().recent(NOW) == (0, 0)


def test_only_a_probe_closes():
    breaker = opened()
    assert breaker.note(10, 0, after(1)) == breaker, "a call from before the opening"
    assert breaker.note(10, 10, after(1)) == breaker
    assert breaker.begin_probe(after(14)) is None
    probing = breaker.begin_probe(after(15))
    assert probing.state == HALF_OPEN
    assert probing.begin_probe(after(16)) is None, "one at a time"
    assert probing.note(1, 0, after(17)) == Breaker()


def test_probe_that_dies_frees_itself():
    probing = opened().begin_probe(after(15))
    assert probing.begin_probe(after(74)) is None
    assert probing.begin_probe(after(75)).state == HALF_OPEN


def test_probe_of_a_person_does_not_wait():
    assert opened().begin_probe(after(1), forced=True).state == HALF_OPEN
    assert Breaker().begin_probe(NOW, forced=True) is None, "a closed one needs none"


def test_probe_without_calls_tells_nothing():
    probing = opened().begin_probe(after(15))
    assert probing.note(0, 0, after(16)) == probing


def test_failed_probes_wait_ever_longer():
    waits, breaker, now = [], opened(), after(0)
    for _ in range(8):
        waits.append((breaker.open_until - now).total_seconds())
        now = breaker.open_until
        breaker = breaker.begin_probe(now).note(1, 1, now, rand=lambda: 1.0)
    assert waits == [15, 30, 60, 120, 240, 480, 600, 600]
    assert breaker.opened_at == NOW, "since when it is down does not change"


def test_closing_forgets_how_often_it_opened():
    breaker = opened(times=5).begin_probe(NOW, forced=True).note(1, 0, NOW)
    assert opened(times=1).open_until == after(15)
    assert breaker.note(5, 5, NOW, rand=lambda: 1.0).open_until == after(15)


@pytest.mark.parametrize(("calls", "failures", "state"), [(4, 1, CLOSED), (4, 2, OPEN)])
def test_probe_of_several_calls_is_judged_by_their_share(calls, failures, state):
    assert opened().begin_probe(after(15)).note(calls, failures, after(16)).state == state


@given(
    openings=st.integers(0, 10**6), dice=st.floats(0, 1, exclude_max=True), base=st.floats(1, 100)
)
def test_wait_is_within_its_limits(openings, dice, base):
    policy = BreakerPolicy(open_seconds=base)
    probing = replace(Breaker(), state=HALF_OPEN, openings=openings)
    wait = probing.note(1, 1, NOW, policy, rand=lambda: dice).open_until - NOW
    assert base * 0.75 - 1e-3 <= wait.total_seconds() <= 600


class BreakerMachine(RuleBasedStateMachine):
    """Any history, with a clock that may also be set back."""

    def __init__(self):
        super().__init__()
        self.breaker, self.now, self.history = Breaker(), NOW, []

    @rule(seconds=st.integers(-100, 700))
    def wait(self, seconds):
        self.now += timedelta(seconds=seconds)

    @rule(calls=st.integers(0, 30), failures=st.integers(0, 30))
    def note(self, calls, failures):
        failures = min(failures, calls)
        before = self.breaker
        self.breaker = before.note(calls, failures, self.now)
        if calls and before.state == CLOSED:
            self.history = [] if failures < calls else [*self.history, failures]
        if not failures:
            assert self.breaker.state != OPEN or before.state == OPEN
        if before.state == OPEN:
            assert self.breaker == before
        if calls and failures == calls and before.state == HALF_OPEN:
            assert self.breaker.openings == before.openings + 1
        if before.state == CLOSED and calls:
            row = sum(self.history)
            assert self.breaker.state == OPEN or row < DEFAULT_POLICY.failures_in_row
        if self.breaker.state == CLOSED != before.state:
            self.history = []

    @precondition(lambda self: self.breaker.state != CLOSED)
    @rule(forced=st.booleans())
    def probe(self, forced):
        due = self.breaker.open_until <= self.now
        probing = self.breaker.begin_probe(self.now, forced=forced)
        assert (probing is not None) == (due or forced)
        if probing:
            assert probing.begin_probe(self.now) is None
            self.breaker = probing

    @invariant()
    def consistent(self):
        breaker = self.breaker
        assert 0 <= breaker.failures <= breaker.calls
        assert 0 <= breaker.previous_failures <= breaker.previous_calls
        assert (breaker.state == CLOSED) == (breaker.open_until is None)
        assert (breaker.state == CLOSED) == (breaker.opened_at is None)


TestBreakerMachine = BreakerMachine.TestCase


def test_an_hour_of_failures_costs_few_calls():
    """A caller that tries every second, for as long as the service is down."""
    breaker, calls = Breaker(), 0
    for second in range(3600):
        now = after(second)
        probe = breaker.begin_probe(now)
        if breaker.state == CLOSED or probe:
            calls += 1
            breaker = (probe or breaker).note(1, 1, now, rand=lambda: 0.0)
    assert 5 < calls < 25
