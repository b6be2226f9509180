"""How many calls a service allows, and who may use them. Pure: the clock is an argument.

A bucket holds tokens up to its ``capacity`` and gains ``per_second``; a call takes its cost, or
nothing and has to come back later. ``integration.rate.bucket`` follows the same rules in SQL, for
all workers at once.

Nobody takes the last tokens: live work leaves a margin, since the service counts a call when it
arrives and not when we send it; a backfill leaves more, so that live work overtakes it.
"""

import math
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

LIVE, BACKFILL = 0, 1
#: For whom the present work is; the engine sets it for each batch.
PRIORITY: ContextVar[int] = ContextVar("integration_priority", default=LIVE)
#: Share of the capacity that work of each priority leaves in the bucket.
RESERVES = {LIVE: 0.1, BACKFILL: 0.3}
#: Tokens by which rounding may be wrong.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class RateLimit:
    """What a service allows of one kind of call, as far as it is known beforehand.

    :param name: of the bucket, unique in the backend: ``calls``, ``graphql`` ...
    :param per_second: tokens gained; 0.5 for one call in two seconds.
    :param capacity: tokens of a full bucket, the largest burst. One or two seconds' worth at
        least, or what comes back from waiting finds an overflowing bucket; never more than the
        service allows.
    """

    name: str
    per_second: float
    capacity: float

    def __post_init__(self):
        if not (self.per_second > 0 and self.capacity > 0):
            raise ValueError(f"the limit {self.name} has to be positive")


@dataclass(frozen=True)
class RateState:
    """What an answer tells about a bucket; whatever it does not tell is None.

    :param available: tokens left at the service after the call.
    :param cost: what the call really cost; the difference to what was taken is given back.
    """

    name: str
    available: float | None = None
    capacity: float | None = None
    per_second: float | None = None
    cost: float | None = None


@dataclass(frozen=True)
class Bucket:
    """One bucket at a moment; every method leaves it as it is and returns what it becomes.

    :param level: tokens in it at ``updated_at`` (naive UTC).
    :param blocked_until: the service said that nothing works before.
    """

    capacity: float
    per_second: float
    level: float
    updated_at: datetime
    blocked_until: datetime | None = None

    def refilled(self, now: datetime) -> "Bucket":
        """Return the bucket at ``now``. A clock that was set back takes and gives nothing."""
        elapsed = max(0.0, (now - self.updated_at).total_seconds())
        level = min(self.capacity, self.level + self.per_second * elapsed)
        return replace(self, level=level, updated_at=now)

    def needed(self, cost: float, priority: int) -> float:
        """Return the level at which a call of ``cost`` may go; a full bucket lets every call go."""
        return min(cost + RESERVES[priority] * self.capacity, self.capacity)

    def wait(self, cost: float, priority: int, now: datetime) -> float:
        """Return the seconds until a call of ``cost`` may go if nobody else takes anything."""
        blocked = (self.blocked_until - now).total_seconds() if self.blocked_until else 0.0
        missing = self.needed(cost, priority) - self.refilled(now).level
        return max(0.0, blocked, missing / self.per_second if missing > TOLERANCE else 0.0)

    def pause(self, cost: float, priority: int, now: datetime) -> float:
        """Return the seconds after which it pays to come back, 0 when a call may go now.

        Coming back costs more than a call: whoever has to wait waits for several calls, but never
        so long that the bucket overflows.
        """
        wait = self.wait(cost, priority, now)
        return wait and max(wait, min(1.0, self.capacity / self.per_second / 4))

    def take(self, cost: float, priority: int, now: datetime) -> "Bucket | None":
        """Return the bucket after a call of ``cost``, None when it may not go now."""
        if self.wait(cost, priority, now):
            return None
        bucket = self.refilled(now)
        # what is larger than the bucket goes when it is full; the service will judge it
        return replace(bucket, level=max(0.0, bucket.level - min(cost, self.capacity)))

    def told(self, taken: float, state: RateState, now: datetime) -> "Bucket":
        """Return the bucket after an answer to a call that took ``taken``.

        Whoever else uses the same account lowers the level. It is raised only by what is given
        back: calls still on their way are missing in what the service says is available.
        """
        capacity = state.capacity or self.capacity
        bucket = replace(
            self.refilled(now), capacity=capacity, per_second=state.per_second or self.per_second
        )
        level = bucket.level + (taken - state.cost if state.cost is not None else 0.0)
        if state.available is not None:
            # another size than we knew: what we have counted so far says nothing
            known = capacity == self.capacity
            level = min(level, state.available) if known else state.available
        return replace(bucket, level=min(max(0.0, level), capacity))

    def knows(self, taken: float, state: RateState) -> bool:
        """Whether an answer tells nothing that this bucket, as its call left it, does not say."""
        return (
            state.capacity in (None, 0, self.capacity)
            and state.per_second in (None, 0, self.per_second)
            and state.cost in (None, taken)
            # services tell whole tokens
            and (state.available is None or state.available >= math.floor(self.level))
        )

    def blocked(self, seconds: float, now: datetime) -> "Bucket":
        """Return the bucket after the service refused a call and asked to wait."""
        until = max(now + timedelta(seconds=seconds), self.blocked_until or now)
        return replace(self.refilled(now), level=0.0, blocked_until=until)
