"""Compares the books of Odoo with those the shop's history demands, to the cent and piece."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from .order_books import ZERO, Amounts, Books, Document, Expected, Money

#: What is compared, and what each check says in plain words.
CHECKS = {
    "order": "each order of the shop is one sales order, confirmed or cancelled as in the shop",
    "total": "the total of the sales order is that of the ledger",
    "quantities": "its lines have the units sold, or those the buyer has if these are more",
    "documents": "posted invoices less credit notes are the ledger: untaxed, each tax, total",
    "agreements": "each entry of the ledger is in exactly one document, with its amounts and date",
    "payments": "each successful transaction is one payment: amount, currency, direction, date",
    "residual": "what is still open is what was agreed less what was paid",
    "reconciled": "where nothing is open, no document and no payment is left open",
    "delivered": "the units delivered are those shipped less those returned to the shelf",
    "to_ship": "the units still to be delivered are those still to be shipped",
}


@dataclass
class Found(Books):
    """What Odoo has about one order.

    :ivar sales: number of sales orders of it, and ``state`` of the first.
    :ivar documents: by id.
    :ivar booked_in: ledger entry -> documents it stands in.
    :ivar nothing: ledger entries noted as nothing to book.
    :ivar doubled: payments that are one too many, as text.
    :ivar loose: amounts left open on payments and documents that exist, as text.
    """

    sales: int = 1
    state: str = "sale"
    documents: dict[int, Document] = field(default_factory=dict)
    booked_in: dict[str, list[int]] = field(default_factory=dict)
    nothing: set[str] = field(default_factory=set)
    doubled: list[str] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)


def compare(
    expected: Expected, found: Found | None, *, invoiced: bool, late: bool = False
) -> dict[str, list[str]]:
    """Return what is wrong, by check; empty when the books are equal.

    :param found: None when Odoo does not know the order.
    :param invoiced: whether its rule has had reason to invoice it.
    :param late: whether the rule waits for something, so that the first invoice has a later date
        than the order.
    """
    if found is None:
        # what was cancelled before anybody paid needs no sales order
        return {} if expected.empty else {"order": ["is not in Odoo"]}
    problems = {
        "order": _order(expected, found),
        "total": _total(expected, found),
        "quantities": _units(expected.quantities, found.quantities, "on the order", expected),
        "documents": _documents(expected, found, invoiced),
        "agreements": _agreements(expected, found, invoiced, late),
        "payments": _payments(expected, found),
        "residual": _residual(expected, found, invoiced),
        "reconciled": found.loose if invoiced and not expected.residual else [],
        "delivered": _units(expected.delivered, found.delivered, "delivered", expected),
        "to_ship": _units(expected.to_ship, found.to_ship, "to deliver", expected),
    }
    return {check: texts for check, texts in problems.items() if texts}


def _order(expected: Expected, found: Found) -> list[str]:
    problems = []
    if found.sales != 1:
        problems.append(f"{found.sales} sales orders")
    delivered = any(expected.delivered.values())
    states = {"cancel"} if expected.cancelled and not delivered else {"sale"}
    if expected.cancelled and not delivered and found.documents:
        # what is invoiced stays a sale with nothing on it
        states.add("sale")
    if found.state not in states:
        problems.append(f"is {found.state} in Odoo, should be {' or '.join(sorted(states))}")
    return problems


def _total(expected: Expected, found: Found) -> list[str]:
    if found.state == "cancel":
        # Odoo leaves the lines of what was cancelled as they were
        return []
    problems = []
    if found.currency != expected.currency:
        problems.append(f"currency {found.currency}, should be {expected.currency}")
    if found.total != expected.total:
        problems.append(f"total {found.total}, the ledger sums to {expected.total}")
    return problems


def _units(
    should: Mapping[str, Decimal], present: Mapping[str, Decimal], what: str, expected: Expected
) -> list[str]:
    if expected.cancelled and what == "on the order":
        return []
    return [
        f"{gid.rsplit('/', 1)[-1]}: {present.get(gid, ZERO).normalize():f} {what}, "
        f"should be {should.get(gid, ZERO).normalize():f}"
        for gid in sorted({*should, *present})
        if present.get(gid, ZERO) != should.get(gid, ZERO)
    ]


def _documents(expected: Expected, found: Found, invoiced: bool) -> list[str]:
    problems = [
        f"{row.name} is {row.state}" for row in found.documents.values() if row.state != "posted"
    ]
    problems += [
        f"{row.name} is in {row.currency}"
        for row in found.documents.values()
        if row.currency != expected.currency
    ]
    should = sum(expected.agreements.values(), Amounts()) if invoiced else Amounts()
    present = sum((row.amounts for row in found.documents.values()), Amounts())
    if not invoiced and found.documents:
        names = ", ".join(row.name for row in found.documents.values())
        problems.append(f"was never paid in full, but there is {names}")
    if present != should:
        problems.append(f"documents sum to {present}, should be {should}")
    return problems


def _agreements(expected: Expected, found: Found, invoiced: bool, late: bool) -> list[str]:
    problems = []
    parts: dict[int, Amounts] = defaultdict(Amounts)
    entries: dict[int, list[str]] = defaultdict(list)
    for gid, amounts in expected.agreements.items():
        documents = found.booked_in.get(gid, [])
        for document in documents:
            parts[document] += amounts
            entries[document].append(gid)
        count = len(documents)
        none = invoiced and amounts and gid not in found.nothing
        if count > 1 or (none and not count):
            problems.append(f"ledger entry {_short(gid)} ({amounts}) is in {count} documents")
    # only what takes itself back together needs no document
    left_out = sum((expected.agreements.get(gid, Amounts()) for gid in found.nothing), Amounts())
    if left_out:
        problems.append(f"entries noted as nothing to book come to {left_out}")
    for gid in found.booked_in.keys() - expected.agreements.keys():
        if found.booked_in[gid]:
            problems.append(f"{_short(gid)} is booked, but is no entry of the ledger")
    for key, row in found.documents.items():
        if row.amounts != parts[key]:
            problems.append(f"{row.name} has {row.amounts}, its entries {parts[key]}")
        dates = {expected.dates[gid] for gid in entries[key]}
        # what was agreed before the first invoice was due is dated when it was
        if len(entries[key]) == 1 and not late and row.date not in dates:
            problems.append(f"{row.name} is of {row.date}, its entry of {', '.join(dates)}")
    return problems


def _payments(expected: Expected, found: Found) -> list[str]:
    problems = list(found.doubled)
    for gid in sorted({*expected.payments, *found.payments}):
        should, present = expected.payments.get(gid), found.payments.get(gid)
        if should != present:
            problems.append(
                f"transaction {_short(gid)}: {present or 'no payment'}, "
                f"should be {should or 'none'}"
            )
    return problems


def _residual(expected: Expected, found: Found, invoiced: bool) -> list[str]:
    # money without a document is open on the buyer's account
    paid = sum((row.amount for row in expected.payments.values()), ZERO)
    should = expected.residual if invoiced else -paid
    if found.residual == should:
        return []
    return [f"open {found.residual}, should be {should}"]


def _short(gid: str) -> str:
    return gid.removeprefix("gid://shopify/")


# === READING ODOO === #

Sql = Callable[..., list[tuple]]


class OdooBooks:
    """The books of all orders of a backend, read in a few queries."""

    def __init__(self, sql: Sql, backend: int) -> None:
        self.sql = sql
        self.backend = backend
        self.found: dict[str, Found] = {}
        #: payments and documents that belong to no order
        self.strays: list[str] = []
        self.by_order: dict[int, Found] = {}

    def read(self) -> dict[str, Found]:
        """Return the books by the order's id in the shop."""
        self._orders()
        self._lines()
        self._moves_to_ship()
        self._documents()
        self._agreements()
        self._payments()
        self._open()
        return self.found

    def _orders(self) -> None:
        rows = self.sql(
            "SELECT 'gid://shopify/Order/' || substring(o.shopify_url FROM '[0-9]+$'), o.id,"
            "       o.state, o.amount_total, c.name"
            "  FROM sale_order o JOIN res_currency c ON c.id = o.currency_id"
            " WHERE o.shopify_url IS NOT NULL ORDER BY o.id"
        )
        for gid, order, state, total, currency in rows:
            if known := self.found.get(gid):
                known.sales += 1
                self.by_order[order] = known
                continue
            found = Found(total=_exact(total), currency=currency, state=state)
            self.found[gid] = self.by_order[order] = found

    def _lines(self) -> None:
        rows = self.sql(
            "SELECT l.order_id, l.shopify_line_id, l.product_uom_qty, l.qty_delivered,"
            "       t.is_storable"
            "  FROM sale_order_line l JOIN product_product p ON p.id = l.product_id"
            "  JOIN product_template t ON t.id = p.product_tmpl_id"
            " WHERE l.shopify_line_id LIKE 'gid://shopify/LineItem/%%'"
        )
        for order, gid, quantity, delivered, storable in rows:
            found = self.by_order[order]
            found.quantities[gid] = found.quantities.get(gid, ZERO) + _exact(quantity)
            if storable:
                found.delivered[gid] = found.delivered.get(gid, ZERO) + _exact(delivered)

    def _moves_to_ship(self) -> None:
        rows = self.sql(
            "SELECT l.order_id, l.shopify_line_id, sum(m.product_uom_qty)"
            "  FROM stock_move m JOIN sale_order_line l ON l.id = m.sale_line_id"
            "  JOIN stock_location d ON d.id = m.location_dest_id"
            " WHERE m.state NOT IN ('done', 'cancel') AND d.usage = 'customer'"
            " GROUP BY 1, 2"
        )
        for order, gid, quantity in rows:
            self.by_order[order].to_ship[gid] = _exact(quantity)

    def _documents(self) -> None:
        """Invoices and credit notes by the order their lines were made from."""
        self.documents: dict[int, Found] = {}
        taxes: dict[int, Counter[Decimal]] = defaultdict(Counter)
        rows = self.sql(
            "SELECT l.move_id, t.amount, sum(l.amount_currency)"
            "  FROM account_move_line l JOIN account_tax t ON t.id = l.tax_line_id"
            " GROUP BY 1, 2"
        )
        for move, percent, amount in rows:
            # of a sale the tax is on the credit side
            taxes[move][_exact(percent)] -= _exact(amount)
        rows = self.sql(
            "SELECT o.id, m.id, m.name, m.state, m.move_type, m.amount_untaxed,"
            "       m.amount_residual, c.name, m.invoice_date"
            "  FROM account_move m JOIN res_currency c ON c.id = m.currency_id"
            f"  LEFT JOIN sale_order o ON o.id IN ({_ORDER_OF_MOVE})"
            " WHERE m.move_type IN ('out_invoice', 'out_refund') ORDER BY m.id"
        )
        for order, move, name, state, kind, untaxed, residual, currency, date in rows:
            sign = 1 if kind == "out_invoice" else -1
            amounts = Amounts.of(sign * _exact(untaxed), taxes[move])
            found = self.by_order.get(order)
            if state == "cancel":
                continue
            if found is None:
                self.strays.append(f"{name or move} belongs to no order of the shop")
                continue
            found.documents[move] = Document(
                name or f"draft {move}",
                state,
                amounts,
                sign * _exact(residual),
                currency,
                str(date),
            )
            self.documents[move] = found

    def _agreements(self) -> None:
        rows = self.sql(
            "SELECT order_id, external_id, move_id, state FROM integration_shopify_agreement"
            " WHERE backend_id = %s",
            [self.backend],
        )
        for order, gid, move, state in rows:
            found = self.by_order[order]
            # what was added to an entry after it was booked is a document of its own
            found.booked_in.setdefault(gid.split("#more")[0], []).extend([move] if move else [])
            if state == "nothing":
                found.nothing.add(gid)

    def _payments(self) -> None:
        self.payments: dict[int, Found] = {}
        rows = self.sql(
            "SELECT t.order_id, t.external_id, p.id, p.amount, p.payment_type, c.name, p.date,"
            "       p.state"
            "  FROM integration_shopify_transaction t"
            "  JOIN account_payment p ON p.id = t.payment_id"
            "  JOIN res_currency c ON c.id = p.currency_id"
            " WHERE t.backend_id = %s AND p.state <> 'canceled' ORDER BY p.id",
            [self.backend],
        )
        for order, gid, payment, amount, kind, currency, date, state in rows:
            found = self.by_order[order]
            sign = 1 if kind == "inbound" else -1
            money = Money(sign * _exact(amount), currency, str(date))
            if payment in self.payments or gid in found.payments:
                found.doubled.append(f"{_short(gid)} has more than one payment")
            if state not in ("in_process", "paid"):
                found.doubled.append(f"the payment of {_short(gid)} is {state}")
            found.payments[gid] = money
            self.payments[payment] = found
        rows = self.sql(
            "SELECT id, memo FROM account_payment WHERE state <> 'canceled' ORDER BY id"
        )
        self.strays += [
            f"payment {payment} ({memo}) belongs to no transaction"
            for payment, memo in rows
            if payment not in self.payments
        ]

    def _open(self) -> None:
        """What is open on the buyer's account: of documents and of payments."""
        rows = self.sql(
            "SELECT l.move_id, p.id, l.amount_residual_currency, m.name"
            "  FROM account_move_line l JOIN account_account a ON a.id = l.account_id"
            "  JOIN account_move m ON m.id = l.move_id"
            "  LEFT JOIN account_payment p ON p.move_id = m.id"
            " WHERE a.account_type = 'asset_receivable' AND l.parent_state = 'posted'"
        )
        for move, payment, residual, name in rows:
            found = self.documents.get(move) or self.payments.get(payment)
            amount = _exact(residual)
            if found and amount:
                found.residual += amount
                found.loose.append(f"{name}: {amount} is open")


#: Sales orders whose lines the lines of the move were made from.
_ORDER_OF_MOVE = (
    "SELECT s.order_id FROM account_move_line i"
    " JOIN sale_order_line_invoice_rel r ON r.invoice_line_id = i.id"
    " JOIN sale_order_line s ON s.id = r.order_line_id WHERE i.move_id = m.id"
)


def _exact(value: Any) -> Decimal:
    """A number of the database, without the noise of a float."""
    if isinstance(value, float):
        value = round(value, 6)
    return Decimal(str(value or 0)).normalize() + ZERO
