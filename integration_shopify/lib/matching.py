"""Which money pays which document of one order.

The answer depends on the documents and the money alone, never on the order in which they became
known: an order that is read once at its end is matched as one that was read after every step.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

#: Kinds of entries, and who is matched with whom, first to last. What the buyer owes (debit) meets
#: what he is owed or has paid (credit); after the last pair one of the two sides is used up.
INVOICE, CREDIT_NOTE, PAYMENT, REFUND = "invoice", "credit_note", "payment", "refund"
STEPS = (
    (INVOICE, PAYMENT),
    (REFUND, CREDIT_NOTE),
    # goods taken back before they were paid lower what is due
    (INVOICE, CREDIT_NOTE),
    # money given back without a document: change, or more than was due
    (REFUND, PAYMENT),
)


@dataclass(frozen=True)
class Entry:
    """One position on the customer's account.

    :param key: what names it; unique.
    :param at: when it happened. Entries of one moment keep the order they are given in.
    :param amount: what of it may be matched, in the currency of the order; never negative.
    """

    key: Any
    kind: str
    at: datetime
    amount: Decimal


@dataclass(frozen=True)
class Match:
    """``amount`` of the entry ``debit`` is settled by the entry ``credit``."""

    debit: Any
    credit: Any
    amount: Decimal


def match(entries: list[Entry]) -> list[Match]:
    """Settle the entries of one order: step by step as in :data:`STEPS`, each oldest first.

    :returns: the matches, in the order in which they have to be made so that each uses up at
        least one of its two entries.
    """
    left = {entry.key: entry.amount for entry in entries}
    by_kind = {
        kind: sorted((row for row in entries if row.kind == kind), key=lambda row: row.at)
        for kind in (INVOICE, CREDIT_NOTE, PAYMENT, REFUND)
    }
    matches = []
    for debit_kind, credit_kind in STEPS:
        for debit in by_kind[debit_kind]:
            for credit in by_kind[credit_kind]:
                amount = min(left[debit.key], left[credit.key])
                if amount > 0:
                    matches.append(Match(debit.key, credit.key, amount))
                    left[debit.key] -= amount
                    left[credit.key] -= amount
    return matches
