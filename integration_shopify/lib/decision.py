"""What the automation rules decided about an order, and why."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Reason(NamedTuple):
    """One thing that was decided about an order, and why.

    :param what: for people, e.g. ``Confirmed``; equal texts are the same decision.
    :param why: the rule or setting and the facts that made it.
    :param rule_id: of the ``integration.shopify.rule`` that decided, else None.
    """

    what: str
    why: str
    rule_id: int | None = None


@dataclass
class Decision:
    """What shall become of an order in Odoo.

    The defaults are what happens without any rule: a confirmed sales order, nothing in accounting.

    :param confirm: whether the order is confirmed; else it stays a quotation.
    :param invoice: when its ledger is booked: ``no``, ``at_once``, ``paid`` or ``delivered``. A
        quotation is never invoiced.
    :param post_invoice: whether invoices and credit notes are posted, or left as drafts.
    :param register_payment: whether transactions become payments.
    :param journal: ``account.journal`` of payments whose gateway has none mapped, or None.
    :param team: ``crm.team`` or None.
    :param warehouse: ``stock.warehouse`` or None.
    :param payment_term: ``account.payment.term`` or None.
    :param tags: ``crm.tag`` records or None.
    :param hold: why the delivery waits for a person; empty when it does not.
    :param hold_key: names the reason; another reason has another key.
    :param hold_rule_id: of the rule that holds.
    :param user: salesperson (``res.users``) or None.
    :param trace: :class:`Reason` of what holds whenever the order is looked at.
    :param chosen: :class:`Reason` of what is written to the order once, by name: ``confirm``,
        ``team``, ``warehouse``, ``payment_term``, ``user``.
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
    hold_key: str = ""
    hold_rule_id: int | None = None
    user: Any = None
    trace: list[Reason] = field(default_factory=list)
    chosen: dict[str, Reason] = field(default_factory=dict)

    def note(self, what: str, why: str, rule_id: int | None = None) -> None:
        """Add to the trace what was decided and why."""
        self.trace.append(Reason(what, why, rule_id))

    def choose(self, name: str, value: Any, what: str, why: str, rule_id: int | None = None):
        """Set what is written to the order once, and note why."""
        setattr(self, name, value)
        self.chosen[name] = Reason(what, why, rule_id)
