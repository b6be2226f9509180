"""Money that moves: authorisations, captures, sales, voids."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from .base import Base, Refused, SpecError, action, decimal
from .money import Bag, round_money
from .records import Order, Transaction, now


class Payments(Base):
    def _initial_payments(self, order: Order, payment: Any) -> None:
        """``payment``: "paid", "pending", "authorized", "failed", "none", "terms", or a list."""
        if isinstance(payment, list):
            for row in payment:
                self._initial_payment(order, row)
            return
        kinds = {
            "paid": ("SALE", "SUCCESS"),
            "authorized": ("AUTHORIZATION", "SUCCESS"),
            "failed": ("AUTHORIZATION", "FAILURE"),
            # What is to be paid later: a payment that waits.
            "terms": ("SALE", "PENDING"),
        }
        if isinstance(payment, str) and payment in kinds:
            if order.total:
                kind, status = kinds[payment]
                self._transact(order, kind, order.total, status=status)
        elif payment == "none":
            # An order made through the API without a status has none at all.
            order.unpaid_status = None
        elif payment != "pending":
            raise SpecError(
                f"payment: {payment!r} is none of paid, pending, authorized, failed, none, terms"
            )

    def _initial_payment(self, order: Order, row: dict[str, Any]) -> None:
        """One payment of a list: ``kind, amount, status, gateway, rounding, location``.

        CHANGE is what is given back of the cash before it.
        """
        cur, kind = order.currencies, row.get("kind", "SALE").upper()
        amount = order.outstanding
        if row.get("amount") is not None:
            amount = self._bag(row["amount"], cur, "payment")
        parent = order.transactions[-1] if kind in ("CHANGE", "CAPTURE") else None
        transaction = self._transact(
            order,
            kind,
            amount,
            gateway=row.get("gateway", order.gateway),
            status=row.get("status", "SUCCESS").upper(),
            parent=parent,
        )
        if row.get("rounding") is not None:
            transaction.rounding = self._bag(row["rounding"], cur, "rounding")
        transaction.location = order.retail_location

    def _transact(
        self,
        order: Order,
        kind: str,
        amount: Bag,
        *,
        gateway: str | None = None,
        status: str = "SUCCESS",
        parent: Transaction | None = None,
    ) -> Transaction:
        transaction = Transaction(
            self.next_id("OrderTransaction"),
            order,
            kind,
            status,
            gateway or (parent.gateway if parent else order.gateway),
            amount,
            parent,
            created_at=order.processed_at
            if kind in ("SALE", "AUTHORIZATION") and not order.transactions
            else now(),
            number=len(order.transactions) + 1,
        )
        order.transactions.append(self.add(transaction))
        return transaction

    @action
    def pay(self, order: Order, spec: dict[str, Any] | None = None) -> Transaction:
        """Receive money: the whole outstanding amount unless ``amount`` says otherwise.

        The shop side is converted at today's rate (``rate`` or the shop's own), so an order whose
        stored rate differs is fully paid with another amount in shop currency.
        """
        spec = spec or {}
        due = order.outstanding.presentment
        status = spec.get("status", "SUCCESS").upper()
        if (
            order.cancelled_at
            or due <= 0
            or order.financial_status in ("PAID", "REFUNDED", "VOIDED")
        ):
            raise Refused("Order cannot be marked as paid.", ["id"])
        amount = self._live_bag(order, spec.get("amount", due), spec.get("rate"))
        transaction = self._transact(
            order, "SALE", amount, gateway=spec.get("gateway", "manual"), status=status
        )
        self.effects["payments"] += 1
        if status != "PENDING":
            self.emit("ORDER_TRANSACTIONS_CREATE", transaction)
        self.changed(order, *(["ORDERS_PAID"] if order.financial_status == "PAID" else []))
        return transaction

    @action
    def settle_payments(self, order: Order, status: str = "SUCCESS") -> None:
        """Payments that wait arrive, or fail: told of only now."""
        waiting = [t for t in order.transactions if t.status == "PENDING" and t.kind != "REFUND"]
        for transaction in waiting:
            transaction.status = status
            self.emit("ORDER_TRANSACTIONS_CREATE", transaction)
        if waiting:
            self.changed(order, *(["ORDERS_PAID"] if order.financial_status == "PAID" else []))

    def _live_bag(self, order: Order, amount: Any, rate: Any = None) -> Bag:
        cur = order.currencies
        buyer = decimal(amount)
        if cur.single:
            return Bag(buyer, buyer).rounded(cur)
        value = decimal(rate, "rate") if rate is not None else self._current_rate(order)
        return Bag(buyer * value, buyer).rounded(cur)

    def _current_rate(self, order: Order) -> Decimal:
        try:
            return self.live_rate(order.currencies.presentment)
        except SpecError:
            return order.currencies.rate

    @action
    def authorize(self, order: Order, spec: dict[str, Any] | None = None) -> Transaction:
        spec = spec or {}
        due = order.outstanding.presentment
        amount = self._live_bag(
            order, spec.get("amount", due), spec.get("rate", order.currencies.rate)
        )
        transaction = self._transact(
            order,
            "AUTHORIZATION",
            amount,
            gateway=spec.get("gateway"),
            status=spec.get("status", "SUCCESS").upper(),
        )
        self.emit("ORDER_TRANSACTIONS_CREATE", transaction)
        self.changed(order)
        return transaction

    @action
    def capture(
        self,
        order: Order,
        spec: dict[str, Any] | None = None,
        parent: Transaction | None = None,
    ) -> Transaction:
        """Capture an authorisation (the first open one), wholly unless ``amount`` says less."""
        spec = spec or {}
        if parent is None and order.open_authorizations:
            parent = order.open_authorizations[0]
        if parent is None or parent not in order.open_authorizations:
            raise Refused("Can only capture successful authorizations", ["parentTransactionId"])
        asked = decimal(spec.get("amount", parent.amount.presentment))
        if asked <= 0:
            raise Refused("Amount must be greater than zero for capture transactions")
        if asked > parent.amount.presentment:
            limit = round_money(parent.amount.presentment, order.currencies.presentment)
            raise Refused(
                f"Cannot capture more than the authorized {limit} for this payment.", ["amount"]
            )
        amount = (
            parent.amount if asked == parent.amount.presentment else self._live_bag(order, asked)
        )
        transaction = self._transact(order, "CAPTURE", amount, parent=parent)
        self.effects["captures"] += 1
        self.emit("ORDER_TRANSACTIONS_CREATE", transaction)
        self.changed(order, *(["ORDERS_PAID"] if order.financial_status == "PAID" else []))
        return transaction

    @action
    def void(
        self,
        order: Order,
        spec: dict[str, Any] | None = None,
        parent: Transaction | None = None,
    ) -> Transaction:
        """Give an authorisation back (the first open one)."""
        if parent is not None and (parent.kind, parent.status) != ("AUTHORIZATION", "SUCCESS"):
            raise Refused(
                "Parent transaction must be a successful authorization",
                ["parentTransactionId"],
                "AUTH_NOT_SUCCESSFUL",
            )
        if parent is None and order.open_authorizations:
            parent = order.open_authorizations[0]
        if parent is None or parent not in order.open_authorizations:
            raise Refused(
                "Parent transaction require a parent_id referring to a voidable transaction",
                ["parentTransactionId"],
                "AUTH_NOT_VOIDABLE",
            )
        transaction = self._transact(order, "VOID", Bag(), parent=parent)
        self.effects["voids"] += 1
        self.emit("ORDER_TRANSACTIONS_CREATE", transaction)
        self.changed(order)
        return transaction
