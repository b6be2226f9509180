"""Token buckets of the API keys."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from .store import Config

#: Where nothing is set; far above what one Odoo asks for.
DEFAULT = (500.0, 1000.0)


@dataclass
class Bucket:
    tokens: float
    at: float


@dataclass(frozen=True)
class State:
    """A bucket after a request: ``wait`` is 0 when it was allowed, else seconds until one is."""

    rate: float
    capacity: float
    remaining: float
    wait: float

    def headers(self) -> dict[str, str]:
        shown = {
            "X-RateLimit-Limit": f"{self.capacity:g}",
            "X-RateLimit-Rate": f"{self.rate:g}",
            "X-RateLimit-Remaining": f"{int(self.remaining)}",
        }
        if self.wait:
            shown["Retry-After"] = f"{self.wait:.2f}"
        return shown


class Limits:
    """One bucket per key for all calls, and one per key and collection that has a limit."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str, str], Bucket] = {}

    def reset(self) -> None:
        with self._lock:
            self._buckets.clear()

    def take(self, key: str, collection: str) -> State:
        """Pay for a call out of all its buckets, or out of none.

        :returns: of the bucket that refuses longest, else of the one with the least left.
        """
        limits = self.config.rate_limits
        wanted = [("*", limits.get("*", DEFAULT))]
        if collection in limits:
            wanted.append((collection, limits[collection]))
        with self._lock:
            now = time.monotonic()
            states = []
            for name, (rate, capacity) in wanted:
                bucket = self._buckets.setdefault((key, name), Bucket(capacity, now))
                bucket.tokens = min(capacity, bucket.tokens + (now - bucket.at) * rate)
                bucket.at = now
                wait = max(0.0, (1 - bucket.tokens) / rate)
                states.append((bucket, State(rate, capacity, bucket.tokens, wait)))
            blocked = [state for _bucket, state in states if state.wait]
            if blocked:
                return max(blocked, key=lambda state: state.wait)
            for bucket, _state in states:
                bucket.tokens -= 1
            _bucket, least = min(states, key=lambda pair: pair[1].remaining / pair[1].capacity)
            return State(least.rate, least.capacity, least.remaining - 1, 0)
