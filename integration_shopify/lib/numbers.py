"""Order numbers: Shopify counts on by one, so one that is missing is an order that is missing."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

_NAME = re.compile(r"(?P<prefix>.*?)(?P<number>\d{1,12})(?P<suffix>\D*)", re.DOTALL)


@dataclass(frozen=True)
class Series:
    """How a shop names its orders: ``#`` and a number by default, ``EN1001-B`` where it wants.

    :param prefix: before the number.
    :param suffix: behind it.
    """

    prefix: str = "#"
    suffix: str = ""

    def name(self, number: int) -> str:
        """Return the name of the order with this number."""
        return f"{self.prefix}{number}{self.suffix}"

    def number(self, name: str) -> int | None:
        """Return the number of an order of this series, None for any other name."""
        if not (name.startswith(self.prefix) and name.endswith(self.suffix)):
            return None
        digits = name[len(self.prefix) : len(name) - len(self.suffix)]
        # a zero in front: not counted but typed
        if not (digits.isascii() and digits.isdecimal()) or digits.startswith("0"):
            return None
        return int(digits) if len(digits) <= 12 else None


def series_of(names: Iterable[str]) -> Series | None:
    """Return the series most of the names belong to; None without any number."""
    found: Counter[Series] = Counter()
    for name in names:
        match = _NAME.fullmatch(name)
        if match:
            found[Series(match["prefix"], match["suffix"])] += 1
    return found.most_common(1)[0][0] if found else None


def gaps(present: Iterable[int], window: int) -> list[int]:
    """Return the numbers that are missing between the highest ones, ascending.

    :param present: numbers of orders that are in Odoo.
    :param window: how many numbers to look back from the highest.
    """
    have = set(present)
    if not have:
        return []
    last = max(have)
    first = max(min(have), last - window + 1)
    return sorted(set(range(first, last)) - have)
