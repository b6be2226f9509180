"""How much each of many callers has used up lately, in the memory of one process.

For what anybody may call: it has to be cheap, needs no database, and forgets callers rather than
grow. Every process counts for itself, so all together allow as many times more.
"""

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable


class Throttle:
    """A token bucket for each key.

    :param burst: tokens of a full bucket.
    :param per_second: tokens gained.
    :param most: keys that are remembered; the one that was used longest ago is forgotten.
    :param clock: seconds that never go back.
    """

    def __init__(
        self,
        burst: int,
        per_second: float,
        most: int = 4096,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._burst = burst
        self._per_second = per_second
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        # A key may be long and is chosen by the caller: its hash is kept, which nobody can
        # foresee. Buckets that are full again are like new ones.
        self._buckets: OrderedDict[int, tuple[float, float]] = OrderedDict()

    def is_empty(self, key: Hashable) -> bool:
        """Whether nothing is left to be taken."""
        with self._lock:
            return self._level(hash(key), self._clock()) < 1

    def take(self, key: Hashable) -> bool:
        """Take a token; returns False when there was none."""
        with self._lock:
            number, now = hash(key), self._clock()
            level = self._level(number, now)
            taken = level >= 1
            self._buckets[number] = (level - taken, now)
            self._buckets.move_to_end(number)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
            return taken

    def clear(self) -> None:
        """Forget everybody."""
        with self._lock:
            self._buckets.clear()

    def _level(self, number: int, now: float) -> float:
        if number not in self._buckets:
            return self._burst
        level, updated_at = self._buckets[number]
        return min(self._burst, level + (now - updated_at) * self._per_second)


def network_of(address: str | None) -> str:
    """Return what a sender cannot easily change of its address: IPv6 networks of a customer (/64).

    :param address: as the server or the reverse proxy told it; what is no address stays as it is.
    """
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))
