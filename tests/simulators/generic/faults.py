"""Making the service misbehave on purpose, the same way for the same seed."""

from __future__ import annotations

import fnmatch
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from .store import Refused

#: Kinds after which the request has not been carried out, and after which it has.
BEFORE = ("timeout_before", "reset_before", "too_many", "server_error", "html")
AFTER = ("timeout_after", "reset_after", "server_error_after", "html_after", "truncated")
#: ``hang`` answers correctly, only late.
KINDS = (*BEFORE, *AFTER, "hang")
STATUSES = (500, 502, 503, 504)


@dataclass
class Fault:
    """Trouble for the next ``count`` requests whose endpoint fits the pattern."""

    kind: str
    count: int = 1
    endpoint: str = "*"
    seconds: float | None = None
    #: seconds of ``Retry-After`` of ``too_many`` and ``server_error``
    retry_after: float | None = None
    status: int | None = None


class Faults:
    """What each request meets: an outage, a counted fault, else one drawn by the shares."""

    def __init__(self, seed: int) -> None:
        self._lock = threading.Lock()
        self.clear(seed)

    def clear(self, seed: int) -> None:
        with self._lock:
            self.seed = seed
            self._random = random.Random(seed)
            self.shares: dict[str, float] = {}
            self.seconds = 3.0
            self.retry_after = 1.0
            self.counted: list[Fault] = []
            self.outage_until = 0.0
            self.outage_kind = "reset_before"
            self.hits: Counter[str] = Counter()

    def configure(self, values: dict[str, Any]) -> None:
        """Take ``seed``, ``shares``, ``seconds`` (of a timeout or hang) and ``retryAfter``.

        :raises Refused: an unknown kind or setting, or shares of more than the whole.
        """
        unknown = set(values) - {"seed", "shares", "seconds", "retryAfter"}
        shares = values.get("shares", {})
        unknown |= set(shares) - set(KINDS)
        if unknown:
            raise Refused(f"unknown fault setting {', '.join(sorted(unknown))}", 400)
        if sum(shares.values()) > 1:
            raise Refused("the shares add up to more than 1", 400)
        with self._lock:
            if "seed" in values:
                self.seed = values["seed"]
                self._random = random.Random(self.seed)
            self.shares = dict(values.get("shares", self.shares))
            self.seconds = values.get("seconds", self.seconds)
            self.retry_after = values.get("retryAfter", self.retry_after)

    def add(self, specs: list[dict[str, Any]]) -> None:
        """Add counted faults, see :class:`Fault`."""
        names = {"retryAfter": "retry_after"}
        try:
            new = [Fault(**{names.get(k, k): v for k, v in spec.items()}) for spec in specs]
        except TypeError as error:
            raise Refused(f"unknown fault setting: {error}", 400) from None
        for fault in new:
            if fault.kind not in KINDS:
                raise Refused(f"unknown fault {fault.kind}", 400)
        with self._lock:
            self.counted += new

    def begin_outage(self, seconds: float, kind: str) -> None:
        """Answer no request with data for so long; 0 ends it."""
        if kind not in BEFORE:
            raise Refused(f"an outage cannot be {kind}", 400)
        with self._lock:
            self.outage_until = time.monotonic() + seconds
            self.outage_kind = kind

    def draw(self, endpoint: str) -> Fault | None:
        """The fault this request meets, if any; counted ones are used up."""
        with self._lock:
            # drawn for every request, so that the others do not shift what comes
            drawn = self._drawn(self._random.random(), self._random.choice(STATUSES))
            if time.monotonic() < self.outage_until:
                fault = Fault(self.outage_kind, status=503)
            else:
                fault = self._take_counted(endpoint) or drawn
            if fault:
                self.hits[fault.kind] += 1
                if fault.seconds is None:
                    fault.seconds = self.seconds
                if fault.retry_after is None and fault.kind == "too_many":
                    fault.retry_after = self.retry_after
            return fault

    def _drawn(self, number: float, status: int) -> Fault | None:
        for kind in KINDS:
            number -= self.shares.get(kind, 0)
            if number < 0:
                return Fault(kind, status=status)
        return None

    def _take_counted(self, endpoint: str) -> Fault | None:
        for fault in self.counted:
            if fault.count > 0 and fnmatch.fnmatch(endpoint, fault.endpoint):
                fault.count -= 1
                return Fault(
                    fault.kind, 1, endpoint, fault.seconds, fault.retry_after, fault.status or 503
                )
        return None

    def shown(self) -> dict[str, Any]:
        with self._lock:
            return {
                "seed": self.seed,
                "shares": self.shares,
                "seconds": self.seconds,
                "retryAfter": self.retry_after,
                "counted": [vars(fault) for fault in self.counted if fault.count > 0],
                "outage": max(0.0, self.outage_until - time.monotonic()),
                "hits": dict(self.hits),
            }
