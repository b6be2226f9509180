"""What the automation rules decided about an order, and why."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Decision:
    """What shall become of an order in Odoo.

    The defaults are what happens without any rule: a confirmed sales order, nothing in accounting.

    :param confirm: whether the order is confirmed; else it stays a quotation.
    :param invoice: when its ledger is booked: ``no``, ``at_once``, ``paid`` or ``delivered``.
    :param post_invoice: whether invoices and credit notes are posted, or left as drafts.
    :param register_payment: whether transactions become payments.
    :param journal: ``account.journal`` of payments whose gateway has none mapped, or None.
    :param team: ``crm.team`` or None.
    :param warehouse: ``stock.warehouse`` or None.
    :param payment_term: ``account.payment.term`` or None.
    :param tags: ``crm.tag`` records or None.
    :param hold: why the delivery waits for a person; empty when it does not.
    :param trace: pairs (what was decided, why), in the order they were decided.
    """

    confirm: bool = True
    invoice: str = "no"
    post_invoice: bool = True
    register_payment: bool = False
    journal: Any = None
    team: Any = None
    warehouse: Any = None
    payment_term: Any = None
    tags: Any = None
    hold: str = ""
    trace: list[tuple[str, str]] = field(default_factory=list)
