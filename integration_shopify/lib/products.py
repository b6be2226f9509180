"""Products of Shopify as Odoo can have them: rows, options, weights, prices, and who is who."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .contract import MoneyV2
from .contract_product import Product
from .pages import Connection

#: Rows that come with a product; what is longer is read on by page.
FIRST_VARIANTS = 10
PLAN = (
    Connection("variants", "product_variants", "product.variants", version="product.updatedAt"),
)
PICTURES_PLAN = (
    Connection(
        "variants", "product_variant_pictures", "product.variants", version="product.updatedAt"
    ),
)
#: How Shopify writes the option of a product that has none.
DEFAULT_OPTION, DEFAULT_VALUE = "Title", "Default Title"
#: Kilograms of each unit, exactly (international pound of 1959).
_KILOGRAMS = {
    "KILOGRAMS": Decimal(1),
    "GRAMS": Decimal("0.001"),
    "POUNDS": Decimal("0.45359237"),
    "OUNCES": Decimal("0.45359237") / 16,
}


@dataclass(frozen=True)
class Row:
    """One variant of Shopify's.

    :param gid: id of the variant; ``item_gid`` of its inventory item.
    :param values: its value of each option, in the order of :func:`options_of`.
    :param weight: in kilograms; None where Shopify does not tell.
    """

    gid: str
    item_gid: str
    label: str
    sku: str
    barcode: str
    values: tuple[str, ...]
    price: Decimal
    compare_at: Decimal | None
    cost: MoneyV2 | None
    weight: Decimal | None
    tracked: bool
    ships: bool
    taxable: bool
    hs_code: str
    country: str


@dataclass(frozen=True)
class Candidate:
    """A product of Odoo that a row may be.

    :param key: of the product.
    :param values: its value of each option, as in :class:`Row`; None where it has others.
    :param active: archived ones are taken after those that are not.
    """

    key: Any
    sku: str
    barcode: str
    values: tuple[str, ...] | None
    active: bool = True


def is_plain(product: Product) -> bool:
    """Whether a product has no options: Shopify then gives it one, ``Title: Default Title``."""
    names = [(option.name, [v.name for v in option.optionValues]) for option in product.options]
    return product.hasOnlyDefaultVariant or names == [(DEFAULT_OPTION, [DEFAULT_VALUE])]


def options_of(product: Product) -> list[tuple[str, list[str]]]:
    """Return name and values of each option in Shopify's order; empty for a plain product.

    Only values that variants have: Shopify keeps others that could be chosen one day.
    """
    if is_plain(product):
        return []
    found = []
    for option in sorted(product.options, key=lambda option: option.position):
        used = dict.fromkeys(
            chosen.value
            for variant in product.variants
            for chosen in variant.selectedOptions
            if chosen.name == option.name
        )
        known = [value.name for value in option.optionValues if value.name in used]
        found.append((option.name, list(dict.fromkeys([*known, *used]))))
    return found


def rows_of(product: Product) -> list[Row]:
    """Return the variants of a product in Shopify's order."""
    names = [name for name, _values in options_of(product)]
    rows = []
    for variant in sorted(product.variants, key=lambda variant: variant.position):
        chosen = {option.name: option.value for option in variant.selectedOptions}
        stocked = variant.inventoryItem
        rows.append(
            Row(
                gid=variant.id,
                item_gid=stocked.id,
                label=" - ".join([product.title, *([variant.title] if names else [])]),
                sku=variant.sku,
                barcode=variant.barcode,
                values=tuple(chosen[name] for name in names),
                price=variant.price,
                compare_at=variant.compareAtPrice,
                cost=stocked.unitCost,
                weight=_kilograms(stocked.measurement),
                tracked=stocked.tracked,
                ships=stocked.requiresShipping,
                taxable=variant.taxable,
                hs_code=stocked.harmonizedSystemCode,
                country=stocked.countryCodeOfOrigin,
            )
        )
    return rows


def is_bundle(product: Product) -> bool:
    """Whether variants are made of others, which Shopify takes from stock instead of them."""
    return product.hasVariantsThatRequiresComponents or any(
        variant.requiresComponents for variant in product.variants
    )


def _kilograms(measurement) -> Decimal | None:
    weight = measurement.weight if measurement else None
    if not weight or weight.unit not in _KILOGRAMS:
        return None
    return weight.value * _KILOGRAMS[weight.unit]


def weight_in(kilograms: Decimal, *, pounds: bool, digits: int) -> float:
    """Return a weight in the unit Odoo weighs products in.

    :param pounds: whether that is pounds, else kilograms.
    :param digits: decimals Odoo keeps.
    """
    amount = kilograms / _KILOGRAMS["POUNDS"] if pounds else kilograms
    return float(round(amount, digits))


def repeated(codes: Iterable[str]) -> list[str]:
    """Return the codes that come more than once; empty ones do not count."""
    return [code for code, count in Counter(codes).items() if code and count > 1]


def is_full(options: list[tuple[str, list[str]]], rows: list[Row]) -> bool:
    """Whether every combination of the values exists."""
    expected = 1
    for _name, values in options:
        expected *= len(values)
    return len({row.values for row in rows}) == expected


def match_rows(
    rows: list[Row], bound: dict[str, Any], candidates: list[Candidate]
) -> dict[str, Any]:
    """Find which product of one template each row is.

    By link, then by SKU, by barcode, and by its values; each product once. A code that two rows or
    two products share tells nothing. Archived products come after those in use.

    :param bound: ``{variant id: key}`` of links.
    :returns: ``{variant id: key}`` of the rows found.
    """
    found = {row.gid: bound[row.gid] for row in rows if row.gid in bound}
    free = [c for c in candidates if c.key not in set(found.values())]
    for read, seen in (
        (lambda row: row.sku, lambda candidate: candidate.sku),
        (lambda row: row.barcode, lambda candidate: candidate.barcode),
        (lambda row: _folded(row.values), lambda candidate: _folded(candidate.values)),
    ):
        for active in (True, False):
            open_rows = [row for row in rows if row.gid not in found]
            wanted = Counter(map(read, open_rows))
            group = [c for c in free if c.active == active]
            offered = Counter(map(seen, group))
            by_code = {seen(c): c.key for c in group if offered[seen(c)] == 1}
            for row in open_rows:
                code = read(row)
                if code not in (None, "") and wanted[code] == 1 and code in by_code:
                    found[row.gid] = by_code[code]
            free = [c for c in free if c.key not in set(found.values())]
    return found


def _folded(values):
    return None if values is None else tuple(value.casefold() for value in values)


def split_prices(
    prices: dict[tuple[str, ...], Decimal],
) -> tuple[Decimal, dict[tuple[int, str], Decimal]] | None:
    """Write prices of combinations as a base price and an extra price per value, as Odoo does.

    :param prices: ``{values: price}``.
    :returns: base and ``{(number of the option, value): extra}`` of those that are not 0, or None
        where no such sum gives every price exactly.
    """
    if not prices:
        return None
    base = min(prices.values())
    if max(prices.values()) == base:
        return base, {}
    width = len(next(iter(prices)))
    for position in range(width):
        # the usual case: one option, a size say, makes the price
        by_value: dict[str, set[Decimal]] = {}
        for values, price in prices.items():
            by_value.setdefault(values[position], set()).add(price)
        if all(len(amounts) == 1 for amounts in by_value.values()):
            return base, {
                (position, value): min(amounts) - base
                for value, amounts in by_value.items()
                if min(amounts) != base
            }
    return _solve(prices)


def _solve(prices):
    """Solve ``base + extras = price`` for several options, value by value."""
    pending = sorted(prices.items(), key=lambda entry: entry[1])
    first, base = pending[0]
    extras = {(position, value): Decimal(0) for position, value in enumerate(first)}
    while pending:
        rest = []
        for values, price in pending:
            unknown = [key for key in enumerate(values) if key not in extras]
            known = base + sum(extras.get(key, Decimal(0)) for key in enumerate(values))
            if not unknown and known != price:
                return None
            if len(unknown) == 1:
                extras[unknown[0]] = price - known
            elif unknown:
                rest.append((values, price))
        if len(rest) == len(pending):
            # nothing leads there: any choice does, and one of them is nothing
            values = rest[0][0]
            extras[next(key for key in enumerate(values) if key not in extras)] = Decimal(0)
        pending = rest
    return base, {key: extra for key, extra in extras.items() if extra}


def common(values: Iterable[Any]) -> Any:
    """Return the value all have that have any, None where they differ or none has one."""
    found = {value for value in values if value not in (None, "")}
    return found.pop() if len(found) == 1 else None
