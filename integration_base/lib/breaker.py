"""When to stop calling a service that does not answer, and when to ask again. Pure.

The clock and the dice are arguments. A breaker is *closed* while the service answers; it *opens*
on failures in a row or on their share of many calls, and lets nobody through for a while; then one
caller at a time is the *probe* (half open): its success closes the breaker, its failure opens it
for longer.

A failure is a call without a usable answer: none at all, 5xx, or no data where data was due. A
refusal (4xx, 429) is an answer.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from .backoff import next_delay

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"


@dataclass(frozen=True)
class BreakerPolicy:
    """How much failure a service is allowed.

    :param failures_in_row: opens after so many failed calls without a good one in between.
    :param failure_share: opens when so much of the recent calls failed (0 to 1) ...
    :param minimum_calls: ... and there were so many of them.
    :param window_seconds: what is recent. Calls are forgotten half a window at a time.
    :param open_seconds: time until the first probe; doubles with every failed one.
    :param max_open_seconds: longest time between two probes.
    :param probe_seconds: a probe that has not ended by then is taken for dead.
    """

    failures_in_row: int = 5
    failure_share: float = 0.5
    minimum_calls: int = 20
    window_seconds: float = 60.0
    open_seconds: float = 15.0
    max_open_seconds: float = 600.0
    probe_seconds: float = 60.0


DEFAULT_POLICY = BreakerPolicy()


@dataclass(frozen=True)
class Breaker:
    """The state of one service; every method returns the next state.

    :param calls: in this half of the window, of them ``failures``.
    :param previous_calls: in the half before, of them ``previous_failures``.
    :param half_until: when this half ends (naive UTC, as all times here).
    :param openings: how often it has opened since it was last closed.
    :param opened_at: since when it is not closed.
    :param open_until: when the next probe may begin; while half open, when the present one is
        taken for dead.
    """

    state: str = CLOSED
    failures_in_row: int = 0
    calls: int = 0
    failures: int = 0
    previous_calls: int = 0
    previous_failures: int = 0
    half_until: datetime | None = None
    openings: int = 0
    opened_at: datetime | None = None
    open_until: datetime | None = None

    def note(
        self,
        calls: int,
        failures: int,
        now: datetime,
        policy: BreakerPolicy = DEFAULT_POLICY,
        rand: Callable[[], float] = random.random,
    ) -> "Breaker":
        """Count the calls of one batch.

        :param calls: made in the batch, of them ``failures``; their order does not matter.
        """
        failures = min(failures, calls)
        if calls <= 0 or self.state == OPEN:
            # what ends now began before the opening; only a probe can tell the present state
            return self
        if self.state == HALF_OPEN:
            failed = failures >= max(1, calls * policy.failure_share)
            return self._opened(now, policy, rand) if failed else Breaker()
        counted = self._rolled(now, policy)
        counted = replace(
            counted,
            calls=counted.calls + calls,
            failures=counted.failures + failures,
            # a service that answers some of the calls is up; the share says whether enough
            failures_in_row=self.failures_in_row + failures if failures == calls else 0,
        )
        if failures and counted._fails_too_much(now, policy):
            return counted._opened(now, policy, rand)
        return counted

    def recent(self, now: datetime, policy: BreakerPolicy = DEFAULT_POLICY) -> tuple[int, int]:
        """Return the calls of the window that ends now, and how many of them failed."""
        rolled = self._rolled(now, policy)
        calls = rolled.calls + rolled.previous_calls
        return calls, rolled.failures + rolled.previous_failures

    def begin_probe(
        self, now: datetime, policy: BreakerPolicy = DEFAULT_POLICY, *, forced: bool = False
    ) -> "Breaker | None":
        """Return the state in which the caller is the probe, None when it must not call.

        :param forced: before its time, for a person who waits.
        """
        if self.state == CLOSED or (self.open_until > now and not forced):
            return None
        until = now + timedelta(seconds=policy.probe_seconds)
        return replace(self, state=HALF_OPEN, open_until=until)

    def _rolled(self, now, policy):
        """Return the counters with the halves of the window that are over forgotten."""
        half = timedelta(seconds=policy.window_seconds / 2)
        # a half that ends too far ahead was begun by a clock that has been set back since
        if self.half_until and now < self.half_until <= now + 2 * half:
            return self
        just_over = self.half_until and self.half_until <= now < self.half_until + half
        return replace(
            self,
            calls=0,
            failures=0,
            previous_calls=self.calls if just_over else 0,
            previous_failures=self.failures if just_over else 0,
            half_until=now + half,
        )

    def _fails_too_much(self, now, policy):
        if self.failures_in_row >= policy.failures_in_row:
            return True
        calls, failures = self.recent(now, policy)
        return calls >= policy.minimum_calls and failures >= calls * policy.failure_share

    def _opened(self, now, policy, rand):
        openings = self.openings + 1
        # with jitter: the services behind one gateway do not come back to it together
        seconds = next_delay(
            openings,
            base=policy.open_seconds,
            cap=policy.max_open_seconds,
            jitter=(0.75, 1.0),
            rand=rand,
        )
        return Breaker(
            state=OPEN,
            openings=openings,
            opened_at=self.opened_at or now,
            open_until=now + timedelta(seconds=seconds),
        )
