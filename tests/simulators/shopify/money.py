"""Money the way Shopify keeps it: two stored amounts, one per currency, never a live conversion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

ZERO = Decimal(0)

# Minor units where they are not two (ISO 4217).
_EXPONENTS = {
    **dict.fromkeys(
        ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX"), 0
    ),
    **dict.fromkeys(("VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}


def exponent(currency: str) -> int:
    """Number of decimals of a currency code."""
    return _EXPONENTS.get(currency, 2)


def unit(currency: str) -> Decimal:
    """Smallest amount of a currency: 0.01 for EUR, 1 for JPY."""
    return Decimal(1).scaleb(-exponent(currency))


def round_money(amount: Decimal, currency: str) -> Decimal:
    """Round half away from zero to the currency's smallest unit."""
    return amount.quantize(unit(currency), rounding=ROUND_HALF_UP)


def api_amount(amount: Decimal) -> str:
    """GraphQL spelling: a decimal string without padding but with one decimal ("20.0", "2.9")."""
    text = format(amount.normalize(), "f")
    if text in ("-0", "0"):
        return "0.0"
    return text if "." in text else f"{text}.0"


def rest_amount(amount: Decimal, currency: str) -> str:
    """Webhook spelling: padded to the currency's decimals ("99.00", JPY "1200")."""
    return format(round_money(amount, currency) + ZERO, "f")


@dataclass(frozen=True)
class Currencies:
    """The two currencies of an order and the rate at the moment it was placed.

    ``rate`` is the value of one unit of the buyer's (presentment) currency in shop currency.
    """

    shop: str
    presentment: str
    rate: Decimal = Decimal(1)

    @property
    def single(self) -> bool:
        return self.shop == self.presentment


@dataclass(frozen=True)
class Bag:
    """A stored pair of amounts: in shop currency and in the buyer's currency."""

    shop: Decimal = ZERO
    presentment: Decimal = ZERO

    def __add__(self, other: Bag) -> Bag:
        return Bag(self.shop + other.shop, self.presentment + other.presentment)

    def __sub__(self, other: Bag) -> Bag:
        return Bag(self.shop - other.shop, self.presentment - other.presentment)

    def __neg__(self) -> Bag:
        return Bag(-self.shop, -self.presentment)

    def __bool__(self) -> bool:
        return bool(self.shop or self.presentment)

    def times(self, factor: Decimal | int) -> Bag:
        """Exact multiple, not rounded."""
        return Bag(self.shop * factor, self.presentment * factor)

    def rounded(self, currencies: Currencies) -> Bag:
        return Bag(
            round_money(self.shop, currencies.shop),
            round_money(self.presentment, currencies.presentment),
        )

    def share(self, part: int, whole: int, currencies: Currencies) -> Bag:
        """``part`` of ``whole`` units, each currency rounded on its own."""
        if not whole:
            return Bag()
        return Bag(self.shop * part / whole, self.presentment * part / whole).rounded(currencies)


def total(bags: Iterable[Bag]) -> Bag:
    result = Bag()
    for bag in bags:
        result += bag
    return result


def allocate(amount: Decimal, weights: Sequence[Decimal], currency: str) -> list[Decimal]:
    """Split an amount over lines in proportion to what each still costs.

    Every part is cut down to the smallest unit; the units left over go to the first lines, one each
    (Shopify's own rule: 20.00 over 94/100/100/100 is 4.78/5.08/5.07/5.07).
    """
    base = sum(weights, ZERO)
    if not base or not amount:
        return [ZERO for _weight in weights]
    step = unit(currency)
    amount = min(round_money(amount, currency), base)
    parts = [(amount * w / base).quantize(step, rounding=ROUND_DOWN) for w in weights]
    spare = amount - sum(parts, ZERO)
    while spare >= step:
        for index, weight in enumerate(weights):
            if spare < step:
                break
            if parts[index] < weight:
                parts[index] += step
                spare -= step
    return parts


def allocate_bag(amount: Bag, weights: Sequence[Bag], currencies: Currencies) -> list[Bag]:
    shop = allocate(amount.shop, [w.shop for w in weights], currencies.shop)
    if currencies.single:
        return [Bag(part, part) for part in shop]
    buyer = allocate(amount.presentment, [w.presentment for w in weights], currencies.presentment)
    return [Bag(a, b) for a, b in zip(shop, buyer, strict=True)]


def tax_of(
    net: Decimal, rate: Decimal, all_rates: Decimal, included: bool, currency: str
) -> Decimal:
    """Tax of one rate on one line, rounded per tax line.

    :param net: line amount after every discount (tax inside when ``included``).
    :param rate: this tax, as a fraction.
    :param all_rates: sum of the rates that apply to the line.
    """
    if included:
        return round_money(net * rate / (1 + all_rates), currency)
    return round_money(net * rate, currency)
