"""What can be done about the money of an order, and how to find out whether it was done.

Shopify honours no idempotency key for any of it. Each step is therefore named by what was known
before it, e.g. the first capture of an authorization: whoever asks for the same again, in another
window or after a lost answer, asks for the same step, and the transactions of the order say whether
it has happened.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

#: States of transactions that happened, or may still.
DONE = ("SUCCESS", "PENDING")
#: Gateway of the payment that ``orderMarkAsPaid`` notes.
MANUAL = "manual"


def _tried(rows: list[dict], kinds: tuple[str, ...], parent: str | None = None) -> list[dict]:
    """Return the transactions of some kinds, whatever became of them, oldest first.

    :param rows: transactions as the API returns them.
    :param parent: only those that belong to this one.
    """
    found = [
        row
        for row in rows
        if row["kind"] in kinds
        and (parent is None or (row["parentTransaction"] or {}).get("id") == parent)
    ]
    return sorted(found, key=lambda row: (row["createdAt"], len(row["id"]), row["id"]))


def _made(rows: list[dict]) -> list[dict]:
    """Return those of some transactions that happened, or still may."""
    return [row for row in rows if row["status"] in DONE]


@dataclass(frozen=True)
class Capture:
    """Take an authorized payment, whole or in part.

    :param order: id of the order.
    :param authorization: id of its transaction.
    :param amount: in the buyer's currency, as text with its decimals.
    :param known: how many captures of the authorization were known to who asks for this one,
        failed ones as well: one that was pending and failed is another step when asked for again.
    """

    order: str
    authorization: str
    amount: str
    currency: str
    known: int
    action: str = field(default="capture", init=False)
    document: str = field(default="order_capture", init=False)

    @property
    def key(self) -> str:
        return f"{self.authorization}/{self.known}"

    @property
    def variables(self) -> dict[str, Any]:
        return {
            "input": {
                "id": self.order,
                "parentTransactionId": self.authorization,
                "amount": self.amount,
                "currency": self.currency,
            }
        }

    def find(self, rows: list[dict]) -> str | None:
        """Return the id of the transaction this step made, None when it made none."""
        for row in self._later(rows):
            side = row["amountSet"]["presentmentMoney"]
            if Decimal(side["amount"]) == Decimal(self.amount):
                return row["id"]
        return None

    def is_overtaken(self, rows: list[dict]) -> bool:
        """Whether somebody was faster, so that nobody can have meant this step."""
        return bool(self._later(rows) or self._voids(rows))

    def _later(self, rows):
        return _made(_tried(rows, ("CAPTURE",), self.authorization)[self.known :])

    def _voids(self, rows):
        return _made(_tried(rows, ("VOID",), self.authorization))


@dataclass(frozen=True)
class Void:
    """Release an authorized payment.

    :param authorization: id of its transaction.
    :param failed: how many times that was tried and failed, as far as who asks for it knows.
    """

    authorization: str
    failed: int
    action: str = field(default="void", init=False)
    document: str = field(default="transaction_void", init=False)

    @property
    def key(self) -> str:
        return f"{self.authorization}/{self.failed}"

    @property
    def variables(self) -> dict[str, Any]:
        return {"parentTransactionId": self.authorization}

    def find(self, rows: list[dict]) -> str | None:
        """Return the id of the transaction this step made, None when it made none."""
        made = _made(_tried(rows, ("VOID",), self.authorization))
        return made[0]["id"] if made else None

    def is_overtaken(self, rows: list[dict]) -> bool:
        """Whether somebody was faster."""
        return bool(self.find(rows))


@dataclass(frozen=True)
class MarkAsPaid:
    """Note that all that is due was received outside of the shop.

    :param order: id of the order.
    :param known: how many payments of the order were known to who asks for this.
    """

    order: str
    known: int
    action: str = field(default="mark as paid", init=False)
    document: str = field(default="order_mark_as_paid", init=False)

    @property
    def key(self) -> str:
        return str(self.known)

    @property
    def variables(self) -> dict[str, Any]:
        return {"input": {"id": self.order}}

    def find(self, rows: list[dict]) -> str | None:
        """Return the id of the transaction this step made, None when it made none.

        Shopify notes it as a payment by the gateway ``manual``: any other is somebody else's.
        """
        for row in self._later(rows):
            if row["kind"] == "SALE" and row["gateway"] == MANUAL:
                return row["id"]
        return None

    def is_overtaken(self, rows: list[dict]) -> bool:
        """Whether money came in meanwhile."""
        return bool(self._later(rows))

    def _later(self, rows):
        received = [row for row in rows if row["status"] == "SUCCESS"]
        return _tried(received, ("SALE", "CAPTURE"))[self.known :]
