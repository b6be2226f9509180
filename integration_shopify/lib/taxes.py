"""Taxes as Shopify booked them, and the keys of their mappings."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple

_KEY = re.compile(
    r"(?P<title>.*)\|(?P<rate>\d*\.?\d*)\|(?P<position>included|excluded)"
    r"(?:\|(?P<country>[A-Z]{2}|))?(?P<channel>\|channel)?",
    re.DOTALL,
)


@dataclass(frozen=True)
class Tax:
    """One tax of a line.

    :param key: title, rate and position, e.g. ``VAT|0.19|included``: the key of its mapping.
    :param label: the same for people.
    :param amount: in the order's currency.
    """

    key: str
    label: str
    amount: Decimal


class TaxKey(NamedTuple):
    """What a key says: the percentage (None without one), whether prices include the tax, the ISO
    code of the country abroad it is charged for (empty at home), and whether a sales channel pays
    it itself."""

    percent: Decimal | None
    included: bool
    country: str = ""
    channel: bool = False


def tax_key(tax, included: bool, country: str = "") -> tuple[str, str]:
    """Return (key, label) of a tax for the mapping screen.

    :param tax: with ``title``, ``rate`` (a fraction or None) and ``channelLiable``.
    :param included: whether the prices of the order include taxes.
    :param country: ISO code of where the goods go, if that is abroad: the same title and rate is
        another tax there.
    """
    position = "included" if included else "excluded"
    rate = "" if tax.rate is None else format(tax.rate.normalize(), "f")
    percent = "" if tax.rate is None else f" {format((tax.rate * 100).normalize(), 'f')} %"
    key, label = f"{tax.title}|{rate}|{position}", f"{tax.title}{percent} ({position})"
    if country:
        key, label = f"{key}|{country}", f"{label}, {country}"
    if tax.channelLiable:
        # a marketplace pays this tax itself, so it belongs to another account
        return f"{key}|channel", f"{label}, paid by the sales channel"
    return key, label


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


def without_country(key: str) -> str:
    """Return a tax key without its country, which changes when an address is erased."""
    match = _KEY.fullmatch(key)
    if not match:
        return key
    return f"{match['title']}|{match['rate']}|{match['position']}{match['channel'] or ''}"


def foreign_country(order, home: str) -> str:
    """Return the country the order is delivered to, empty when it is ``home`` or not known."""
    address = order.shippingAddress or order.billingAddress
    country = address.countryCodeV2 if address else ""
    return "" if not home or country == home else country


def tax_of(tax, amount: Decimal, order, home: str = "") -> Tax | None:
    """Return the tax of a tax line of ``order``, None where there is nothing to book.

    :param amount: signed; "rate 0.08, amount 0.00" is real, and would be charged if it were booked
        by its rate.
    """
    if not amount and tax.rate:
        return None
    return Tax(*tax_key(tax, order.taxesIncluded, foreign_country(order, home)), amount)


def sum_taxes(taxes: Iterable[Tax | None]) -> tuple[Tax, ...]:
    """Return ``taxes`` summed by key."""
    found: dict[str, Tax] = {}
    for tax in filter(None, taxes):
        known = found.get(tax.key)
        found[tax.key] = replace(known, amount=known.amount + tax.amount) if known else tax
    return tuple(found.values())
