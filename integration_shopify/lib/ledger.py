"""Shopify's sales ledger: what was agreed with the buyer, entry by entry, to the cent.

An order's agreements are append-only: the order itself, then each edit, refund and return with what
it changed. Amounts and units are signed, taxes stand beside them per tax line, so nothing has to be
computed. https://shopify.dev/docs/api/admin-graphql/latest/interfaces/SalesAgreement

Traps that are handled here:

* A processed return is one agreement although it also makes a refund: agreements are the only
  source of amounts, refunds only say which shipping line went back and what is pending.
* The replacement of an exchange is a sale of action ``ORDER`` within the return.
* An ``ADJUSTMENT`` is the difference between goods and money of a refund: positive is kept by the
  merchant. While the money is under way Shopify balances it by an adjustment that is cleared later;
  it is left out, because the goods are credited whether or not the money has arrived.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from .contract import Agreement, Order, Sale
from .taxes import Tax, sum_taxes, tax_of

ZERO = Decimal(0)
#: Transactions that move money, and which way; what is authorized or void moves none.
_DIRECTIONS = {"SALE": 1, "CAPTURE": 1, "REFUND": -1, "CHANGE": -1}
#: Keys of entries that belong to no line of the order.
ADJUSTMENT, DUTY, FEE, RETURN_FEE, ROUNDING, SHIPPING = (
    "adjustment",
    "duty",
    "fee",
    "return-fee",
    "rounding",
    "shipping",
)
_KINDS = {
    "ADJUSTMENT": ("adjustment", ADJUSTMENT),
    "DUTY": ("duty", DUTY),
    "ADDITIONAL_FEE": ("fee", FEE),
    "FEE": ("fee", RETURN_FEE),
    "SHIPPING": ("shipping", SHIPPING),
    "TIP": ("tip", "tip"),
    "GIFT_CARD": ("gift_card", ""),
    "PRODUCT": ("product", ""),
}
#: Kinds of lines that are counted in units.
GOODS = frozenset({"product", "gift_card", "tip"})


@dataclass(frozen=True)
class Entry:
    """What an agreement changes on one line of the order.

    :param kind: ``product``, ``gift_card``, ``tip``, ``shipping``, ``duty``, ``fee``,
        ``adjustment``, ``rounding``.
    :param key: id of the line item or shipping line, or one of the keys above.
    :param quantity: signed units; 0 where only the price changes.
    :param untaxed: signed.
    :param taxes: signed.
    """

    kind: str
    key: str
    quantity: Decimal
    untaxed: Decimal
    taxes: tuple[Tax, ...] = ()

    @property
    def tax(self) -> Decimal:
        return sum((tax.amount for tax in self.taxes), ZERO)

    @property
    def total(self) -> Decimal:
        return self.untaxed + self.tax

    def __bool__(self) -> bool:
        return bool(self.quantity or self.untaxed or any(tax.amount for tax in self.taxes))


@dataclass(frozen=True)
class Posting:
    """One agreement, its sales merged by line.

    :param agreement_id: Shopify's id.
    :param reason: ``ORDER``, ``ORDER_EDIT``, ``REFUND``, ``RETURN`` or, of our own, ``ROUNDING``.
    :param happened_at: naive UTC; the date of the books.
    :param refund_id: the refund it stands for, also of a return; empty when there is none.
    :param return_id: the return that was processed; empty when there is none.
    :param return_name: what people call it, e.g. ``#1001-R1``.
    """

    agreement_id: str
    reason: str
    happened_at: datetime
    entries: tuple[Entry, ...]
    refund_id: str = ""
    return_id: str = ""
    return_name: str = ""

    @property
    def tax(self) -> Decimal:
        return sum((entry.tax for entry in self.entries), ZERO)

    @property
    def total(self) -> Decimal:
        return sum((entry.total for entry in self.entries), ZERO)


@dataclass(frozen=True)
class Ledger:
    """All postings of an order, in the order of time.

    :param problem: why the ledger cannot be relied on; empty when it adds up with the order.
    """

    postings: tuple[Posting, ...] = ()
    problem: str = ""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What all postings together come to, by line, in the order of their first appearance."""
        return merge(entry for posting in self.postings for entry in posting.entries)


def merge(entries) -> tuple[Entry, ...]:
    """Return ``entries`` summed by line."""
    found: dict[str, Entry] = {}
    for entry in entries:
        known = found.get(entry.key)
        found[entry.key] = (
            replace(
                known,
                quantity=known.quantity + entry.quantity,
                untaxed=known.untaxed + entry.untaxed,
                taxes=sum_taxes([*known.taxes, *entry.taxes]),
            )
            if known
            else entry
        )
    return tuple(found.values())


def read(order: Order, home: str = "") -> Ledger:
    """Return the ledger of ``order`` in the currency the order was asked for in.

    :param home: country (ISO code) whose taxes need no country in their key.
    :returns: :class:`Ledger`. Its ``problem`` is set when there are no agreements, when one holds a
        sale of a kind Shopify does not name, or when the sums differ from the order's own: then
        nothing may be posted by it.
    """
    if not order.agreements:
        return Ledger(problem="Shopify shows no sales agreements of it")
    context = _Context(order, home)
    postings = tuple(
        context.posting(agreement)
        for agreement in sorted(order.agreements, key=lambda row: (row.happenedAt, _number(row.id)))
    )
    problem = context.unknown or _problem(order, postings)
    return Ledger(_with_rounding(order, postings), problem)


def _with_rounding(order, postings):
    """Add what cash was rounded by, which is agreed with nobody: a posting of its own.

    https://shopify.dev/docs/api/admin-graphql/latest/objects/CashRoundingAdjustment
    """
    rounding = order.totalCashRoundingAdjustment
    placed, found = postings[0].happened_at, []
    for name, amount, sign in (
        (ROUNDING, rounding.paymentSet, 1),
        (f"{ROUNDING}-refund", -rounding.refundSet, -1),
    ):
        moved = [
            row.moved_at
            for row in order.transactions
            if row.status == "SUCCESS" and _DIRECTIONS.get(row.kind) == sign
        ]
        if amount:
            entry = Entry("rounding", ROUNDING, Decimal(int(not found)), amount)
            moment = max([placed, min(moved, default=placed)])
            found.append(Posting(f"{order.id}#{name}", "ROUNDING", moment, (entry,)))
    return tuple(sorted([*postings, *found], key=lambda post: post.happened_at))


def has_moved_money(order: Order) -> bool:
    """Whether there is something for the books, whatever became of the order since."""
    return any(row.status == "SUCCESS" and row.kind in _DIRECTIONS for row in order.transactions)


def paid_at(order: Order, currency: str, postings: tuple[Posting, ...]) -> datetime | None:
    """Return when the money received first covered all that was agreed by then; None: never.

    A fact about the past: it stays the same whatever is edited, refunded or cancelled later. Where
    the rate of the day moves the sums of another currency, Shopify's own verdict decides.

    :param currency: ISO code of the books.
    :param postings: of the ledger, in the order of time; without them the order's total counts.
    """
    agreed = [(post.happened_at, 0, post.total) for post in postings] or [
        (order.processedAt, 0, order.currentTotalPriceSet)
    ]
    # a gift card is taken a second before the order is placed
    placed = agreed[0][0]
    moved = [
        (max(row.moved_at, placed), 1, _DIRECTIONS[row.kind] * _amount(row, currency))
        for row in order.transactions
        if row.status == "SUCCESS" and row.kind in _DIRECTIONS
    ]
    received = due = ZERO
    free = not agreed[0][2]
    for moment, is_money, amount in sorted([*agreed, *moved]):
        if is_money:
            received += amount
        else:
            due += amount
        if received >= due and (received > 0 or free):
            return moment
    status_says_paid = order.displayFinancialStatus in ("PAID", "PARTIALLY_REFUNDED", "REFUNDED")
    if status_says_paid and not order.transactions:
        # an app has brought it along paid, without the payments
        return placed
    if currency == order.presentmentCurrencyCode:
        # sums in the buyer's own money are exact, and "partially refunded" may be of a part
        return None
    incoming = [moment for moment, _is_money, amount in moved if amount > 0]
    return max(incoming) if status_says_paid and incoming else None


def _amount(transaction, currency) -> Decimal:
    bag = transaction.amountSet
    shop_side = bag.shopMoney.currencyCode == currency != bag.presentmentMoney.currencyCode
    return bag.shopMoney.amount if shop_side else bag.presentmentMoney.amount


def _number(gid: str) -> int:
    tail = gid.rsplit("/", 1)[-1].split("?")[0]
    return int(tail) if tail.isdecimal() else 0


class _Context:
    """Reads the agreements of one order."""

    def __init__(self, order: Order, home: str):
        self.order = order
        self.home = home
        self.unknown = ""
        self.refunds = {refund.id: refund for refund in order.refunds or ()}
        self.shipping_left: dict[str, Decimal] = {}
        self.charged: set[str] = set()

    def posting(self, agreement: Agreement) -> Posting:
        refund = self._refund(agreement)
        entries = merge(self._entry(sale, refund) for sale in agreement.sales)
        return Posting(
            agreement.id,
            agreement.reason,
            agreement.happenedAt,
            tuple(self._without_pending(entries, refund)),
            refund_id=refund.id if refund else (agreement.refund.id if agreement.refund else ""),
            return_id=agreement.return_.id if agreement.return_ else "",
            return_name=agreement.return_.name if agreement.return_ else "",
        )

    def _refund(self, agreement):
        if agreement.refund:
            return self.refunds.get(agreement.refund.id)
        if not agreement.return_:
            return None
        # the agreement of a return is of the second in which it made its refund
        made = [
            refund
            for refund in self.refunds.values()
            if refund.return_ and refund.return_.id == agreement.return_.id
        ]
        return min(
            made,
            key=lambda refund: abs((refund.createdAt or datetime.min) - agreement.happenedAt),
            default=None,
        )

    def _entry(self, sale: Sale, refund) -> Entry:
        if sale.actionType not in ("ORDER", "RETURN", "UPDATE") or sale.lineType not in _KINDS:
            self.unknown = self.unknown or (
                f"the sale {sale.id} is of the unknown kind {sale.actionType} {sale.lineType}"
            )
        kind, key = _KINDS.get(sale.lineType, ("custom", "unknown"))
        taxes = sum_taxes(
            tax_of(row.taxLine, row.amount, self.order, self.home) for row in sale.taxes
        )
        untaxed = sale.totalAmount - sum((tax.amount for tax in taxes), ZERO)
        if sale.lineItem:
            key = sale.lineItem.id
        elif kind == "shipping":
            key = self._shipping_key(sale, untaxed, refund)
        return Entry(kind, key, self._units(sale, kind, key), untaxed, taxes)

    def _units(self, sale, kind, key):
        """Return the signed units; a charge is one unit once, whatever Shopify says about it."""
        if kind in GOODS:
            return Decimal(sale.quantity or 0)
        return ZERO if kind == "adjustment" else self._once(key)

    def _once(self, key):
        first = key not in self.charged
        self.charged.add(key)
        return Decimal(int(first))

    def _shipping_key(self, sale, untaxed, refund):
        """Return the shipping line of a sale; of a return, the one its refund names."""
        if sale.shippingLine:
            key = sale.shippingLine.id
        else:
            named = [row.shippingLine.id for row in refund.refundShippingLines] if refund else []
            known = [line.id for line in self.order.shippingLines if line.id]
            fits = [key for key in named or known if self.shipping_left.get(key, ZERO) >= -untaxed]
            key = next(iter(fits or named or known), SHIPPING)
        self.shipping_left[key] = self.shipping_left.get(key, ZERO) + untaxed
        return key

    def _without_pending(self, entries, refund):
        """Take out what only balances money that is still under way."""
        pending = sum(
            (
                row.amountSet
                for row in (refund.orderAdjustments if refund else ())
                if row.reason == "PENDING_REFUND_DISCREPANCY"
            ),
            ZERO,
        )
        balance = Entry("adjustment", ADJUSTMENT, ZERO, -pending)
        for entry in merge([*entries, balance]):
            if entry.kind == "adjustment" and entry:
                yield replace(entry, quantity=self._once(ADJUSTMENT))
            elif entry:
                yield entry


def _problem(order: Order, postings) -> str:
    """Return what of the ledger differs from the order's own figures."""
    goods = merge(
        entry for post in postings for entry in post.entries if entry.kind != "adjustment"
    )
    # whether the fee of a return counts as part of the order's total, Shopify does not say
    fees = [entry for entry in goods if entry.key == RETURN_FEE]
    problems = []
    for what, name, wanted in (
        ("taxes", "tax", order.currentTotalTaxSet),
        ("sales", "total", order.currentTotalPriceSet),
    ):
        found = sum((getattr(entry, name) for entry in goods), ZERO)
        without = found - sum((getattr(entry, name) for entry in fees), ZERO)
        if wanted not in (found, without):
            problems.append(f"its {what} sum to {found}, the order says {wanted}")
    units = {entry.key: entry.quantity for entry in goods}
    for line in order.lineItems:
        if units.get(line.id, ZERO) != line.currentQuantity:
            problems.append(
                f'of "{line.name}" it has {units.get(line.id, ZERO)} units, the order '
                f"{line.currentQuantity}"
            )
    return "; ".join(problems[:5])
