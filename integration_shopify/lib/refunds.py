"""What is refunded, and to which payments it goes back.

All amounts are in the currency the buyer paid in, and come from Shopify: nothing is computed from
prices or tax rates here.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

from odoo.addons.integration_base.lib.money import to_decimal

ZERO = Decimal(0)
#: Transactions that brought money, which alone can be given back.
_RECEIVED = frozenset({"SALE", "CAPTURE"})
_MARKER = re.compile(r"\[Odoo ([0-9a-f]{12})\]\s*$")


class CannotPayBack(ValueError):
    """The payments of the order do not have that much left; ``left`` is what they have."""

    def __init__(self, left: Decimal):
        super().__init__(f"at most {left} can be paid back")
        self.left = left


@dataclass(frozen=True)
class Source:
    """A payment that money can go back to.

    :param parent_id: the transaction that brought it.
    :param suggested: what Shopify proposes to give back of it now.
    :param left: what can still be given back of it; None when Shopify does not say.
    """

    parent_id: str
    gateway: str
    label: str
    suggested: Decimal
    left: Decimal | None


@dataclass(frozen=True)
class Suggestion:
    """What Shopify proposes for a refund.

    :param amount: to pay back for what was chosen.
    :param limit: the most that can be paid back: what was received, less what went back and what
        is on its way back.
    :param pending: what is on its way back.
    :param shipping_left: shipping that can still be refunded.
    """

    amount: Decimal
    limit: Decimal
    pending: Decimal
    subtotal: Decimal
    tax: Decimal
    duties: Decimal
    shipping: Decimal
    shipping_left: Decimal
    sources: tuple[Source, ...]


def number_of(gid: str) -> int:
    """Return the number of a Shopify id: later records have larger ones."""
    number = gid.rsplit("/", 1)[-1]
    return int(number) if number.isdecimal() else 0


def marked(note: str, marker: str) -> str:
    """Return the reason of a refund with what tells it from every other refund."""
    return f"{note.strip()} [Odoo {marker}]".strip()


def marker_of(note: str | None) -> str:
    """Return what :func:`marked` put into the reason, or an empty text."""
    found = _MARKER.search(note or "")
    return found[1] if found else ""


def without_marker(note: str | None) -> str:
    """Return the reason as people wrote it."""
    return _MARKER.sub("", note or "").strip()


def _amount(value) -> Decimal:
    return to_decimal(value["money"]["amount"]) if value else ZERO


def read_suggestion(order: dict) -> Suggestion:
    """Read the answer of ``order_suggested_refund.graphql``.

    :param order: its ``order``.
    """
    found = order["suggestedRefund"] or {}
    transactions = order.get("transactions") or []
    pending = sum(
        (
            _amount(row["amountSet"])
            for row in transactions
            if row["kind"] == "REFUND" and row["status"] == "PENDING"
        ),
        ZERO,
    )
    # money on its way counts as paid until it has left
    left = max(ZERO, _amount(order.get("netPaymentSet")) - pending)
    shipping = found.get("shipping") or {}
    sources = [
        Source(
            parent_id=row["parentTransaction"]["id"],
            gateway=row["gateway"] or "",
            label=row.get("formattedGateway") or row["gateway"] or "",
            suggested=_amount(row["amountSet"]),
            left=_amount(row["maximumRefundableSet"]) if row.get("maximumRefundableSet") else None,
        )
        for row in found.get("suggestedTransactions") or []
        if row.get("parentTransaction")
    ]
    return Suggestion(
        amount=_amount(found.get("amountSet")),
        limit=min(left, _amount(found.get("maximumRefundableSet"))),
        pending=pending,
        subtotal=_amount(found.get("discountedSubtotalSet")),
        tax=_amount(found.get("totalTaxSet")),
        duties=_amount(found.get("totalDutiesSet")),
        shipping=_amount(shipping.get("amountSet")),
        shipping_left=_amount(shipping.get("maximumRefundableSet")),
        sources=tuple(sources or _received(transactions)),
    )


def _received(transactions):
    """Payments of the order with what is left of each, where Shopify proposes none."""
    given_back = {}
    for row in transactions:
        if row["kind"] == "REFUND" and row["status"] in ("SUCCESS", "PENDING"):
            parent = (row.get("parentTransaction") or {}).get("id")
            given_back[parent] = given_back.get(parent, ZERO) + _amount(row["amountSet"])
    for row in transactions:
        if row["kind"] in _RECEIVED and row["status"] == "SUCCESS":
            left = _amount(row["amountSet"]) - given_back.get(row["id"], ZERO)
            if left > 0:
                label = row.get("formattedGateway") or row["gateway"] or ""
                yield Source(row["id"], row["gateway"] or "", label, ZERO, left)


def spread(amount: Decimal, sources: tuple[Source, ...]) -> list[tuple[Source, Decimal]]:
    """Divide an amount over the payments it goes back to.

    As Shopify proposes; more than that goes to the payments in their order, as far as they reach.

    :raises CannotPayBack: when they do not have that much left.
    """
    parts, rest = [], amount
    for source in sources:
        part = min(source.suggested, rest)
        parts.append(part)
        rest -= part
    for index, source in enumerate(sources):
        more = rest if source.left is None else min(rest, max(ZERO, source.left - parts[index]))
        parts[index] += more
        rest -= more
    if rest:
        raise CannotPayBack(amount - rest)
    return [(source, part) for source, part in zip(sources, parts, strict=True) if part]
