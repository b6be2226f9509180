"""The amounts of an order, line by line, to the smallest unit of its currency.

The rules are those of Shopify's own books:

* A line costs unit price x quantity less *all* its discount allocations; with taxes included the
  tax is inside of that, else it comes on top.
* Taxes are taken as booked, per tax line. They are never computed from a rate: a Markets order may
  show 20 % and carry another amount.
* Lines, discounts and taxes keep the amounts of removed and refunded units for ever. What is left
  is the whole less the rounded share of what was taken away, as a refund does it. Refunds in
  several steps round several times; then a few units of the smallest coin can lie on either of the
  reduced lines, and the order's own totals decide.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from . import ledger
from .contract import LineItem, Order, ShippingLine
from .taxes import Tax, foreign_country, tax_key

ZERO = Decimal(0)
_TITLES = {
    "tip": "Tip",
    "duty": "Duty",
    "fee": "Fee",
    "adjustment": "Refund difference",
    "rounding": "Cash rounding",
}


@dataclass(frozen=True)
class Line:
    """One line of the order as Odoo shall have it.

    :param kind: ``product``, ``custom``, ``gift_card``, ``tip``, ``shipping``, ``duty``, ``fee``,
        ``adjustment``, ``rounding``.
    :param external_id: Shopify's id, or a name of our own for lines Shopify has none for.
    :param price_unit: the original price; with taxes included the tax is inside.
    :param discount: percentage for people to read, two decimals. The exact amounts are below.
    :param untaxed: what the line costs now, without tax.
    :param reduced: whether units or part of the price were taken back.
    """

    kind: str
    external_id: str
    name: str
    quantity: Decimal
    price_unit: Decimal
    discount: Decimal
    untaxed: Decimal
    taxes: tuple[Tax, ...] = ()
    sku: str = ""
    barcode: str = ""
    variant_id: str = ""
    shipping_code: str = ""
    reduced: bool = False

    @property
    def tax(self) -> Decimal:
        return sum((tax.amount for tax in self.taxes), ZERO)

    @property
    def total(self) -> Decimal:
        return self.untaxed + self.tax


@dataclass(frozen=True)
class Amounts:
    """An order's lines and totals.

    :param total: what all of the ledger comes to: Shopify's current total, what of refunds was
        kept or given beyond the goods, and what cash was rounded by.
    :param problem: empty when the lines add up to Shopify's totals, else what differs.
    :param postings: of the ledger, in the order of time.
    :param fallback: why the amounts come from the totals of the lines instead; empty when they do
        not. Then nothing may be posted by the ledger.
    :param paid_at: when the order was first fully paid (naive UTC), whatever became of it since.
    """

    currency: str
    taxes_included: bool
    lines: tuple[Line, ...]
    untaxed: Decimal
    tax: Decimal
    total: Decimal
    problem: str = ""
    postings: tuple[ledger.Posting, ...] = ()
    fallback: str = ""
    paid_at: datetime | None = None


@dataclass
class _Sums:
    lines: list[Line] = field(default_factory=list)

    @property
    def tax(self):
        return sum((line.tax for line in self.lines), ZERO)

    @property
    def total(self):
        return sum((line.total for line in self.lines), ZERO)


def compute(order: Order, currency: str, places: int, home: str = "") -> Amounts:
    """Compute the lines of ``order`` as it is now.

    The amounts are those of the sales ledger. Where that cannot be relied on they are computed from
    the totals of the lines, and ``fallback`` says why.

    :param currency: ISO code of the currency the amounts of ``order`` are in.
    :param places: decimals of that currency, e.g. 2, 0 for JPY, 3 for KWD.
    :param home: country (ISO code) whose taxes need no country in their mapping key.
    :returns: :class:`Amounts`; ``problem`` is set where Shopify's figures do not add up.
    """
    books = ledger.read(order, home)
    if books.problem:
        found = replace(_from_totals(order, currency, places, home), fallback=books.problem)
    else:
        found = replace(_from_ledger(order, currency, books), postings=books.postings)
    return replace(found, paid_at=ledger.paid_at(order, currency, found.postings))


def _from_ledger(order: Order, currency: str, books: ledger.Ledger) -> Amounts:
    lines = []
    items = {item.id: item for item in order.lineItems}
    shipping = {line.id: line for line in order.shippingLines if line.id}
    entries = {entry.key: entry for entry in books.entries}
    # in the order of Shopify's lines, what belongs to none at the end
    keys = [key for key in (*items, *shipping) if key in entries]
    for key in [*keys, *(key for key in entries if key not in keys)]:
        entry = entries[key]
        if key in items:
            lines.append(_line_of_item(items[key], entry, order.taxesIncluded))
        else:
            lines.append(_line_of_charge(shipping.get(key), entry, order.taxesIncluded))
    tax = sum((line.tax for line in lines), ZERO)
    total = sum((line.total for line in lines), ZERO)
    return Amounts(
        currency=currency,
        taxes_included=order.taxesIncluded,
        lines=tuple(lines),
        untaxed=total - tax,
        tax=tax,
        total=total,
    )


def _line_of_item(item: LineItem, entry: ledger.Entry, included: bool) -> Line:
    kind = entry.kind
    if kind == "product" and not (item.variant or item.sku):
        kind = "custom"
    cost = entry.total if included else entry.untaxed
    listed = item.originalUnitPriceSet * entry.quantity
    return Line(
        kind=kind,
        external_id=item.id,
        name=item.name,
        quantity=entry.quantity,
        price_unit=item.originalUnitPriceSet,
        discount=percent(listed - cost, listed),
        untaxed=entry.untaxed,
        taxes=entry.taxes,
        sku=item.sku.strip(),
        barcode=(item.variant.barcode if item.variant else "").strip(),
        variant_id=item.variant.id if item.variant else "",
        reduced=entry.quantity < item.quantity,
    )


def _line_of_charge(line: ShippingLine | None, entry: ledger.Entry, included: bool) -> Line:
    cost = entry.total if included else entry.untaxed
    listed = cost
    if line:
        # what was paid back lowers the price; only real discounts are shown as such
        listed = line.originalPriceSet - line.discountedPriceSet + cost
    title = (line.title if line else "") or _TITLES.get(entry.kind, "Shipping")
    return Line(
        kind=entry.kind,
        external_id=entry.key,
        name=title,
        quantity=Decimal(1),
        price_unit=listed,
        discount=percent(listed - cost, listed),
        untaxed=entry.untaxed,
        taxes=entry.taxes,
        shipping_code=(line.code or line.title) if line else "",
    )


def _cash_rounding(order: Order) -> list[Line]:
    """What rounding to coins added to what was received less what it added to what was paid back.

    https://shopify.dev/docs/api/admin-graphql/latest/objects/CashRoundingAdjustment
    """
    rounding = order.totalCashRoundingAdjustment
    amount = rounding.paymentSet - rounding.refundSet
    if not amount:
        return []
    return [Line("rounding", "rounding", _TITLES["rounding"], Decimal(1), amount, ZERO, amount)]


def _from_totals(order: Order, currency: str, places: int, home: str) -> Amounts:
    unit = Decimal(1).scaleb(-places)
    country = foreign_country(order, home)
    tips = order.totalTipReceivedSet
    sums = _Sums()
    for item in order.lineItems:
        if item.currentQuantity:
            kind = _kind(item, tips)
            tips -= item.originalUnitPriceSet * item.quantity if kind == "tip" else ZERO
            sums.lines.append(_goods_line(item, kind, order.taxesIncluded, country, unit))
    for position, shipping in enumerate(order.shippingLines):
        sums.lines.append(_shipping_line(shipping, position, order.taxesIncluded, country, unit))
    for kind, amount in (
        ("tip", tips),
        ("duty", order.currentTotalDutiesSet),
        ("fee", order.currentTotalAdditionalFeesSet),
    ):
        if amount > 0 and sums.total + amount <= order.currentTotalPriceSet:
            sums.lines.append(Line(kind, kind, _TITLES[kind], Decimal(1), amount, ZERO, amount))
    _settle(sums, order, unit)
    problem, rounding = _problem(sums, order), _cash_rounding(order)
    sums.lines += rounding
    total = order.currentTotalPriceSet + sum((line.total for line in rounding), ZERO)
    return Amounts(
        currency=currency,
        taxes_included=order.taxesIncluded,
        lines=tuple(sums.lines),
        untaxed=total - order.currentTotalTaxSet,
        tax=order.currentTotalTaxSet,
        total=total,
        problem=problem,
    )


def _kind(item: LineItem, tips: Decimal) -> str:
    if item.isGiftCard:
        return "gift_card"
    if item.variant or item.sku:
        return "product"
    # A tip is a line without product that Shopify neither taxes nor ships; its amount is known.
    amount = item.originalUnitPriceSet * item.quantity
    if 0 < amount <= tips and not item.taxLines and not item.requiresShipping:
        return "tip"
    # A product deleted in Shopify leaves a line without variant and SKU as well.
    return "custom"


def _goods_line(item: LineItem, kind: str, included: bool, country: str, unit: Decimal) -> Line:
    quantity, left = item.quantity, item.currentQuantity
    listed = item.originalUnitPriceSet * quantity
    price = listed - sum((row.allocatedAmountSet for row in item.discountAllocations), ZERO)
    current = _left(price, left, quantity, unit)
    taxes = _taxes(item.taxLines, included, country, Decimal(left), Decimal(quantity), unit)
    return Line(
        kind=kind,
        external_id=item.id,
        name=item.name,
        quantity=Decimal(left),
        price_unit=item.originalUnitPriceSet,
        discount=percent(listed - price, listed),
        untaxed=current - _sum(taxes) if included else current,
        taxes=taxes,
        sku=item.sku.strip(),
        barcode=(item.variant.barcode if item.variant else "").strip(),
        variant_id=item.variant.id if item.variant else "",
        reduced=left < quantity,
    )


def _shipping_line(
    line: ShippingLine, position: int, included: bool, country: str, unit: Decimal
) -> Line:
    charged, current = line.discountedPriceSet, line.currentDiscountedPriceSet
    taxes = _taxes(line.taxLines, included, country, current, charged, unit)
    # What was paid back lowers the price; only real discounts are shown as such.
    listed = line.originalPriceSet - (charged - current)
    return Line(
        kind="shipping",
        external_id=line.id or f"shipping-{position}",
        name=line.title or "Shipping",
        quantity=Decimal(1),
        price_unit=listed,
        discount=percent(listed - current, listed),
        untaxed=current - _sum(taxes) if included else current,
        taxes=taxes,
        shipping_code=line.code or line.title,
        reduced=current != charged,
    )


def _taxes(lines, included, country, left: Decimal, whole: Decimal, unit) -> tuple[Tax, ...]:
    """What is left of the taxes of a line, summed by key."""
    amounts: dict[str, Tax] = {}
    for line in lines:
        key, label = tax_key(line, included, country)
        amount = _left(line.priceSet, left, whole, unit)
        if not line.priceSet and line.rate:
            # "rate 0.08, amount 0.00" is real. Booking the tax by its rate would charge it.
            continue
        known = amounts.get(key)
        amounts[key] = (
            replace(known, amount=known.amount + amount) if known else Tax(key, label, amount)
        )
    return tuple(amounts.values())


def _left(amount: Decimal, left: Decimal | int, whole: Decimal | int, unit: Decimal) -> Decimal:
    if left == whole or not whole:
        return amount
    taken = amount * (Decimal(whole) - Decimal(left)) / Decimal(whole)
    return amount - taken.quantize(unit, rounding=ROUND_HALF_UP)


def percent(discount: Decimal, listed: Decimal) -> Decimal:
    """Return a discount for people to read: a percentage of two decimals."""
    if not listed or discount * listed <= 0:
        return ZERO
    percent = (discount * 100 / listed).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
    return percent.normalize() if percent else ZERO


def _sum(taxes) -> Decimal:
    return sum((tax.amount for tax in taxes), ZERO)


def _settle(sums: _Sums, order: Order, unit: Decimal) -> None:
    """Put what repeated rounding of refunds left open on the reduced lines.

    Only as many of the smallest units as there can be roundings; more is a real difference.
    """
    reduced = [index for index, line in enumerate(sums.lines) if line.reduced]
    removed = sum(item.quantity - item.currentQuantity for item in order.lineItems if item.quantity)
    limit = unit * (removed + len(order.shippingLines)) if reduced else ZERO
    open_tax = order.currentTotalTaxSet - sums.tax
    taxed = [index for index in reduced if sums.lines[index].taxes]
    if open_tax and taxed and abs(open_tax) <= limit:
        line = sums.lines[taxed[-1]]
        first, *others = line.taxes
        sums.lines[taxed[-1]] = replace(
            line,
            taxes=(replace(first, amount=first.amount + open_tax), *others),
            untaxed=line.untaxed - (open_tax if order.taxesIncluded else ZERO),
        )
    open_total = order.currentTotalPriceSet - sums.total
    if open_total and reduced and abs(open_total) <= limit:
        line = sums.lines[reduced[-1]]
        sums.lines[reduced[-1]] = replace(line, untaxed=line.untaxed + open_total)


def _problem(sums: _Sums, order: Order) -> str:
    problems = []
    if sums.tax != order.currentTotalTaxSet:
        problems.append(
            f"its tax lines sum to {sums.tax}, its tax total is {order.currentTotalTaxSet} "
            f"(difference {order.currentTotalTaxSet - sums.tax})"
        )
    if sums.total != order.currentTotalPriceSet:
        problems.append(
            f"its lines sum to {sums.total}, its total is {order.currentTotalPriceSet} "
            f"(difference {order.currentTotalPriceSet - sums.total})"
        )
    return "; ".join(problems)


def exact_amounts(currency_id, price, discount, quantity, base, taxes):
    """Return the ``extra_tax_data`` of a line, by which Odoo takes its amounts as they are.

    They count while price, discount and quantity stay as noted here.

    :param currency_id: ``res.currency`` id.
    :param Decimal base: without tax.
    :param dict taxes: ``{account.tax id: Decimal}``.
    """
    base = float(base)
    return {
        "currency_id": currency_id,
        "price_unit": price,
        "discount": discount,
        "quantity": quantity,
        "rate": 1.0,
        "manual_total_excluded_currency": base,
        "manual_total_excluded": base,
        "manual_tax_amounts": {
            str(tax_id): {
                "base_amount_currency": base,
                "base_amount": base,
                "tax_amount_currency": float(amount),
                "tax_amount": float(amount),
            }
            for tax_id, amount in sorted(taxes.items())
        },
    }
