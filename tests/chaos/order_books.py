"""What the books of an order have to say, computed from the shop's history alone.

It shares nothing with the import: its own reading of the sales ledger, of money and of shipments,
from the simulator's records and not from the answers of its API.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

ZERO = Decimal(0)
#: Transactions that move money, and which way.
DIRECTIONS = {"SALE": 1, "CAPTURE": 1, "REFUND": -1, "CHANGE": -1}
#: The difference between goods and money that Shopify books while the money is on its way.
PENDING = "PENDING_REFUND_DISCREPANCY"


@dataclass(frozen=True)
class Amounts:
    """Signed sums; ``taxes`` by percentage, those of 0.00 left out."""

    untaxed: Decimal = ZERO
    tax: Decimal = ZERO
    taxes: tuple[tuple[Decimal, Decimal], ...] = ()

    @classmethod
    def of(cls, untaxed: Decimal, taxes: dict[Decimal, Decimal]) -> Amounts:
        """:param taxes: amounts by percentage."""
        rows = sorted((percent, amount) for percent, amount in taxes.items() if amount)
        return cls(untaxed, sum(taxes.values(), ZERO), tuple(rows))

    @property
    def total(self) -> Decimal:
        return self.untaxed + self.tax

    def __add__(self, other: Amounts) -> Amounts:
        taxes: Counter[Decimal] = Counter(dict(self.taxes))
        for percent, amount in other.taxes:
            taxes[percent] += amount
        return Amounts.of(self.untaxed + other.untaxed, taxes)

    def __neg__(self) -> Amounts:
        return Amounts.of(-self.untaxed, {percent: -amount for percent, amount in self.taxes})

    def __bool__(self) -> bool:
        return bool(self.untaxed or self.taxes)

    def __str__(self) -> str:
        taxes = ", ".join(f"{percent.normalize():f} %: {amount}" for percent, amount in self.taxes)
        return f"{self.untaxed} + tax {self.tax} ({taxes or 'none'}) = {self.total}"


@dataclass(frozen=True)
class Money:
    """A payment: positive is received."""

    amount: Decimal
    currency: str
    date: str

    def __str__(self) -> str:
        return f"{self.amount} {self.currency} on {self.date}"


@dataclass(frozen=True)
class Document:
    """An invoice, or a credit note whose amounts are negative."""

    name: str
    state: str
    amounts: Amounts
    residual: Decimal = ZERO
    currency: str = ""
    date: str = ""


@dataclass
class Books:
    """What is known of one order, by whoever was asked: the shop or Odoo.

    :ivar agreements: ledger entries (id -> signed amounts): what they are worth.
    :ivar quantities: units of each line, by its Shopify id; likewise ``delivered`` and ``to_ship``.
    :ivar residual: what the buyer still owes (negative: is owed) once ledger and money are booked.
    """

    total: Decimal = ZERO
    currency: str = ""
    agreements: dict[str, Amounts] = field(default_factory=dict)
    payments: dict[str, Money] = field(default_factory=dict)
    quantities: dict[str, Decimal] = field(default_factory=dict)
    delivered: dict[str, Decimal] = field(default_factory=dict)
    to_ship: dict[str, Decimal] = field(default_factory=dict)
    residual: Decimal = ZERO


@dataclass
class Expected(Books):
    """The books the shop's history demands.

    :ivar ever_paid: whether there was a moment at which all that was agreed was paid.
    :ivar cancelled: whether the order was cancelled in the shop.
    :ivar dates: ledger entry -> its day in the shop.
    :ivar empty: whether nothing of it is left and no money was ever moved: nobody needs it.
    """

    id: str = ""
    name: str = ""
    ever_paid: bool = False
    cancelled: bool = False
    empty: bool = False
    dates: dict[str, str] = field(default_factory=dict)


def expect(row: dict[str, Any], side: str = "presentment") -> Expected:
    """Return what the books of an order have to say.

    :param row: of the simulator's ``books``.
    :param side: ``presentment`` (the buyer's currency) or ``shop``.
    """
    money = [_Move.of(transaction, side) for transaction in row["transactions"]]
    money = [move for move in money if move]
    agreements = {entry["id"]: _agreement(row, entry, side) for entry in row["agreements"]}
    total = sum((amounts.total for amounts in agreements.values()), ZERO)
    currency = row["presentmentCurrency" if side == "presentment" else "currency"]
    delivered, quantities, to_ship = {}, {}, {}
    shipped, returned = _moved(row)
    for line in row["lines"]:
        gid = line["id"]
        # only goods lie in a warehouse
        if line["kind"] == "product":
            delivered[gid] = Decimal(shipped[gid] - returned[gid])
            to_ship[gid] = ZERO if row["cancelled"] else Decimal(line["unfulfilled"])
        # what the buyer has cannot be less than what was sold
        quantities[gid] = max(Decimal(line["currentQuantity"]), delivered.get(gid, ZERO))
    return Expected(
        id=row["id"],
        name=row["name"],
        total=total,
        currency=currency,
        agreements=agreements,
        payments={
            move.id: Money(move.amount, currency, local_date(move.at, row["timezone"]))
            for move in money
        },
        quantities=quantities,
        delivered=delivered,
        to_ship=to_ship,
        residual=total - sum((move.amount for move in money), ZERO),
        ever_paid=_ever_paid(row, agreements, money),
        cancelled=row["cancelled"],
        empty=not money and not any(line["currentQuantity"] for line in row["lines"]),
        dates={
            entry["id"]: local_date(entry["happenedAt"], row["timezone"])
            for entry in row["agreements"]
        },
    )


def local_date(moment: str, timezone: str) -> str:
    """The day of the shop in which something happened: that of its books."""
    return str(datetime.fromisoformat(moment).astimezone(ZoneInfo(timezone)).date())


@dataclass(frozen=True)
class _Move:
    id: str
    at: str
    amount: Decimal

    @classmethod
    def of(cls, row: dict[str, Any], side: str) -> _Move | None:
        """The money a transaction moved, if any."""
        direction = DIRECTIONS.get(row["kind"])
        amount = Decimal(row["amount"][side])
        if row["status"] != "SUCCESS" or not direction or not amount:
            return None
        return cls(row["id"], row["createdAt"], direction * amount)


def _agreement(row: dict[str, Any], entry: dict[str, Any], side: str) -> Amounts:
    """What a ledger entry is worth, whether or not the money of a refund has arrived."""
    untaxed, taxes = ZERO, Counter()
    for sale in entry["sales"]:
        if sale["type"] == "ADJUSTMENT":
            continue
        untaxed += Decimal(sale["total"][side]) - Decimal(sale["tax"][side])
        for tax in sale["taxes"]:
            taxes[Decimal(tax["rate"] or 0) * 100] += Decimal(tax[side])
    for refund in row["refunds"]:
        if refund["id"] == entry["refund"]:
            untaxed += sum(
                (Decimal(a[side]) for a in refund["adjustments"] if a["reason"] != PENDING), ZERO
            )
    return Amounts.of(untaxed, taxes)


def _moved(row: dict[str, Any]) -> tuple[Counter[str], Counter[str]]:
    """Units that were shipped, and that came back to the shelf, by line."""
    shipped: Counter[str] = Counter()
    returned: Counter[str] = Counter()
    for fulfillment in row["fulfillments"]:
        if fulfillment["status"] == "SUCCESS":
            for part in fulfillment["lines"]:
                shipped[part["line"]] += part["quantity"]
    for refund in row["refunds"]:
        for part in refund["lines"]:
            if part["restock"] == "RETURN":
                returned[part["line"]] += part["quantity"]
    return shipped, returned


def _ever_paid(row: dict[str, Any], agreements: dict[str, Amounts], money: list[_Move]) -> bool:
    """Whether the money once covered what was agreed by then; what is free counts as paid."""
    events = [
        (entry["happenedAt"], 0, agreements[entry["id"]].total) for entry in row["agreements"]
    ]
    free = not events[0][2]
    events += [(move.at, 1, move.amount) for move in money]
    agreed = received = ZERO
    for _at, is_money, amount in sorted(events):
        if is_money:
            received += amount
        else:
            agreed += amount
        if received >= agreed and (received > 0 or free):
            return True
    return False


# === AGREEING WITH THE SHOP'S OWN SUMS === #


def contradictions(row: dict[str, Any], side: str = "presentment") -> list[str]:
    """Where the shop's history contradicts its own totals: then it is no measure for anybody."""
    expected = expect(row, side)
    problems = []
    kept = balancing = ZERO
    for adjustment in (a for refund in row["refunds"] for a in refund["adjustments"]):
        if adjustment["reason"] == PENDING:
            balancing += Decimal(adjustment[side])
        else:
            kept += Decimal(adjustment[side])
    current = Decimal(row["currentTotal"][side])
    if expected.total != current + kept:
        problems.append(
            f"the ledger sums to {expected.total}, current total and adjustments to "
            f"{current + kept}"
        )
    tax = sum((amounts.tax for amounts in expected.agreements.values()), ZERO)
    if tax != Decimal(row["currentTax"][side]):
        problems.append(f"the ledger's taxes sum to {tax}, now {row['currentTax'][side]}")
    open_ = Decimal(row["outstanding"][side]) + Decimal(row["authorized"][side]) - balancing
    if side == "presentment" and expected.residual != open_:
        problems.append(f"agreed less paid is {expected.residual}, outstanding {open_}")
    sold: Counter[str] = Counter()
    for agreement in row["agreements"]:
        for sale in agreement["sales"]:
            if sale["line"] and sale["action"] != "UPDATE":
                sold[sale["line"]] += sale["quantity"] or 0
    for line in row["lines"]:
        if sold[line["id"]] != line["currentQuantity"]:
            problems.append(
                f"the ledger sold {sold[line['id']]} of {line['sku']}, "
                f"the line has {line['currentQuantity']}"
            )
    return problems
