"""Reading the keys under which taxes of the shop are mapped (written by ``taxes.tax_key``)."""

import re
from decimal import Decimal
from typing import NamedTuple

_KEY = re.compile(
    r"(?P<title>.*)\|(?P<rate>\d*\.?\d*)\|(?P<position>included|excluded)"
    r"(?:\|(?P<country>[A-Z]{2}|))?(?P<channel>\|channel)?",
    re.DOTALL,
)


class TaxKey(NamedTuple):
    """What a key says: the percentage (None without one), whether prices include the tax, the ISO
    code of the country abroad it is charged for (empty at home), and whether a sales channel pays
    it itself."""

    percent: Decimal | None
    included: bool
    country: str = ""
    channel: bool = False


def read_tax_key(key: str) -> TaxKey:
    """Read ``VAT|0.19|included``, perhaps followed by ``|AT`` and ``|channel``.

    A title may contain anything, also bars. What is no key has no percentage.
    """
    match = _KEY.fullmatch(key)
    if not match:
        return TaxKey(None, False)
    rate = match["rate"]
    return TaxKey(
        Decimal(rate) * 100 if rate.strip(".") else None,
        match["position"] == "included",
        match["country"] or "",
        bool(match["channel"]),
    )
