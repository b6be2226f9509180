"""Fixed prices of Shopify's price lists: what has to be sent, in which calls, what was refused."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from odoo.addons.integration_base.lib.money import minor_units, round_to

#: Prices of one call. https://shopify.dev/docs/api/admin-graphql/latest/mutations/priceListFixedPricesAdd
BATCH = 250
#: Variants asked for by one call. Each has one fixed price in a price list, so they fit into one
#: page, which stays below what a query may cost even where each of its rows costs its full price.
READ = 200
#: Linked variants listed in one step of a comparison.
LISTED = 3 * READ


@dataclass(frozen=True)
class Price:
    """A fixed price of one variant in one price list.

    :param amount: as Shopify gets it, ``12.50``.
    :param compare_at: the crossed out one, empty for none.
    """

    amount: str
    compare_at: str
    currency: str

    def as_input(self, variant: str) -> dict:
        """Return the ``PriceListPriceInput``."""
        money = {"amount": self.amount, "currencyCode": self.currency}
        before = {"amount": self.compare_at, "currencyCode": self.currency}
        return {
            "variantId": variant,
            "price": money,
            "compareAtPrice": before if self.compare_at else None,
        }


def amount(value, currency: str) -> str:
    """Return an amount of Odoo as text with the decimals of its currency.

    :param value: as Odoo computed it; never compared as a float, only rounded.
    """
    rounded = round_to(Decimal(repr(value)) if isinstance(value, float) else value, currency)
    return f"{rounded:.{minor_units(currency)}f}"


def fixed(price, before, base, *, ruled: bool, currency: str, same_currency: bool, percent: str):
    """Return the :class:`Price` that a price list has to fix, None where Shopify's own is right.

    Shopify computes prices that nobody fixes: the shop's price, by its rate of exchange, and by
    the percentage of the price list. So a price is fixed where a rule of Odoo's price list makes
    it, unless that is the same as what Shopify would compute for sure.

    :param price: of the price list, in its currency.
    :param before: the same before the discount that is shown to buyers.
    :param base: what the shop itself asks, in its currency.
    :param ruled: whether a rule of the price list has made ``price``.
    :param same_currency: whether the price list is in the currency of the shop.
    :param percent: how far the prices of the price list are from the shop's, as text.
    """
    if not ruled:
        return None
    asked, shown = amount(price, currency), amount(before, currency)
    if same_currency and not Decimal(percent) and asked == amount(base, currency):
        return None
    return Price(asked, shown if Decimal(shown) > Decimal(asked) else "", currency)


def read_price(node: dict) -> list[str]:
    """Return a fixed price of the shop in the form in which ours are compared and remembered.

    :param node: a ``PriceListPrice``.
    :returns: amount, compare-at (empty for none) and currency, with the decimals of the currency.
    """
    price, before = node["price"], node["compareAtPrice"]
    return [_written(price), _written(before) if before else "", price["currencyCode"]]


def _written(money: dict) -> str:
    told = Decimal(money["amount"])
    rounded = amount(told, money["currencyCode"])
    # more decimals than the currency has are another price
    return rounded if Decimal(rounded) == told else money["amount"]


def search(variants: Iterable[str]) -> str:
    """Return the search for the prices of variants (their ids) in a price list.

    https://shopify.dev/docs/api/admin-graphql/latest/objects/PriceList#field-PriceList.fields.prices
    """
    return " OR ".join(f"variant_id:{gid.rpartition('/')[2]}" for gid in variants)


def batches(rows: list, size: int = BATCH) -> Iterator[list]:
    """Return ``rows`` in parts of at most ``size``."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def refused_rows(paths: Iterable[str], argument: str, count: int) -> dict[int, int] | None:
    """Return which rows of an input list were refused.

    :param paths: dotted, of each user error: ``prices.3.variantId``.
    :param argument: name of the list, ``prices``.
    :param count: rows sent.
    :returns: ``{position of the row: position of its error}``; None when an error names no row.
    """
    found: dict[int, int] = {}
    for position, path in enumerate(paths):
        steps = path.split(".")
        row = steps[steps.index(argument) + 1 :][:1] if argument in steps else []
        if not row or not row[0].isdecimal() or int(row[0]) >= count:
            return None
        found.setdefault(int(row[0]), position)
    return found
