"""Money and goods given back, and orders called off."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from .base import Refused, action, decimal
from .fulfilments import Fulfilments
from .ledger import Entry, Ledger
from .money import ZERO, Bag, round_money, total
from .payments import Payments
from .records import Agreement, Line, Order, Refund, RefundLine, RefundShipping, now


class Refunds(Payments, Ledger, Fulfilments):
    @action
    def refund(self, order: Order, spec: dict[str, Any] | None = None) -> Refund:
        """Refund.

        :param spec: ``full`` (true) or ``lines`` [{line, quantity, restock}] with restock RETURN,
            CANCEL or NO_RESTOCK; ``shipping`` ("full" or a net amount in the buyer's currency);
            ``amount`` of money sent back (default: what is given back and was paid; 0 sends none);
            ``status`` of the money (SUCCESS or PENDING), ``rate`` of today, ``note``;
            ``zeroSubtotal`` shows 0.0 on the refund lines, as one recording has it.
        """
        spec = spec or {}
        paid = order.net_payment.presentment
        asked = None if spec.get("amount") is None else decimal(spec["amount"])
        if asked is not None and asked > paid:
            code = order.currencies.presentment
            raise Refused(
                f"Refund amount ${round_money(asked, code)} is greater than net payment received "
                f"${round_money(paid, code)}"
            )
        rows = list(spec.get("lines", []))
        shipping = spec.get("shipping")
        if spec.get("full"):
            rows = [{"line": ln.gid, "quantity": ln.current_quantity} for ln in order.lines]
            rows = [row for row in rows if row["quantity"]]
            shipping = "full"
        plan = self._refund_plan(order, rows)
        if not plan and shipping is None and not asked:
            raise Refused("Refund cannot be empty.", None)
        refund = Refund(self.next_id("Refund"), order, spec.get("note"))
        entries: list[Entry] = []
        worth = Bag()
        for line, quantity, restock in plan:
            amount, tax = self._remove_units(order, line, quantity)
            self._take_back(line, quantity, restock)
            shown = spec.get("zeroSubtotal")
            row = RefundLine(
                self.next_id("RefundLineItem"),
                line,
                quantity,
                restock,
                Bag() if shown else amount,
                Bag() if shown else tax,
                self.default_location if restock != "NO_RESTOCK" else None,
            )
            refund.lines.append(self.add(row))
            entries.append((line, "RETURN", -amount, -tax, -quantity))
            worth += amount if order.taxes_included else amount + tax
        if shipping is not None:
            worth += self._refund_shipping(order, refund, shipping, entries)
        due = self._refund_due(order, worth)
        money = self._refund_money(order, refund, due if asked is None else asked, worth, spec)
        order.refunds.append(self.add(refund))
        agreement = self._ledger(order, "REFUND", refund.created_at, entries, refund)
        pending = spec.get("status", "SUCCESS").upper() == "PENDING"
        self._balance_refund(order, agreement, worth, due, Bag() if pending else money, pending)
        if not pending:
            for transaction in refund.transactions:
                self.emit("ORDER_TRANSACTIONS_CREATE", transaction)
        self.emit("REFUNDS_CREATE", refund)
        self.changed(order)
        return refund

    def _refund_plan(self, order: Order, rows: list[dict[str, Any]]) -> list[tuple[Line, int, str]]:
        plan: list[tuple[Line, int, str]] = []
        taken: dict[Line, int] = {}
        for index, row in enumerate(rows):
            line, quantity = self.line_of(order, row["line"]), int(row.get("quantity", 1))
            taken[line] = taken.get(line, 0) + quantity
            if quantity < 1 or taken[line] > line.current_quantity:
                raise Refused(
                    "Quantity cannot refund more items than were purchased",
                    ["refundLineItems", str(index), "quantity"],
                )
            plan.append((line, quantity, row.get("restock", "NO_RESTOCK").upper()))
        return plan

    def _refund_due(self, order: Order, worth: Bag) -> Decimal:
        """Money that is owed after goods were given back, in the buyer's currency."""
        kept = order.current_total.presentment + order.adjusted.presentment
        return max(ZERO, min(worth.presentment, order.net_payment.presentment - kept))

    def _refund_shipping(self, order: Order, refund: Refund, asked: Any, entries: list[Any]) -> Bag:
        """Give shipping back: everything, or a net amount in the buyer's currency."""
        cur, worth = order.currencies, Bag()
        left = None if asked in (True, "full") else decimal(asked, "shipping")
        for shipping in order.shipping:
            current = shipping.current
            if not current.presentment or left == 0:
                continue
            if left is None or left >= current.presentment:
                amount, tax = current, shipping.current_tax
                for tax_line in shipping.tax_lines:
                    tax_line.removed = tax_line.price
            else:
                ratio = left / shipping.discounted.presentment
                amount = Bag(shipping.discounted.shop * ratio, left).rounded(cur)
                tax = Bag()
                for tax_line in shipping.tax_lines:
                    part = tax_line.price.times(ratio).rounded(cur)
                    tax_line.removed += part
                    tax += part
            if left is not None:
                left -= amount.presentment
            shipping.removed += amount
            refund.shipping.append(
                self.add(RefundShipping(self.next_id("RefundShippingLine"), shipping, amount, tax))
            )
            entries.append((shipping, "RETURN", -amount, -tax, None))
            worth += amount if order.taxes_included else amount + tax
        return worth

    def _refund_money(
        self, order: Order, refund: Refund, asked: Decimal, worth: Bag, spec: dict[str, Any]
    ) -> Bag:
        """Send money back; returns what moved or will move."""
        if not asked:
            return Bag()
        parent = next(
            t for t in order.transactions if t.kind in ("SALE", "CAPTURE") and t.status == "SUCCESS"
        )
        same_rate = order.currencies.single or parent.amount == order.original_total
        if asked == worth.presentment and same_rate and "rate" not in spec:
            amount = worth
        else:
            amount = self._live_bag(order, asked, spec.get("rate"))
        status = spec.get("status", "SUCCESS").upper()
        refund.transactions.append(
            self._transact(order, "REFUND", amount, parent=parent, status=status)
        )
        return amount

    def _balance_refund(
        self,
        order: Order,
        agreement: Agreement,
        worth: Bag,
        due: Decimal,
        moved: Bag,
        pending: bool,
    ) -> None:
        """Write the difference between what was owed for the goods and the money sent back."""
        if due == moved.presentment:
            return
        if due == worth.presentment:
            owed = worth
        else:
            ratio = worth.shop / worth.presentment if worth.presentment else ZERO
            owed = Bag(due * ratio, due).rounded(order.currencies)
        gap = owed - moved
        reason = "PENDING_REFUND_DISCREPANCY" if pending else "REFUND_DISCREPANCY"
        self._adjust(agreement, gap, reason)

    def _take_back(self, line: Line, quantity: int, restock: str) -> None:
        """Units given back: first those never shipped, unless they are said to have returned."""
        shipped = line.fulfilled - line.returned
        back = (
            min(quantity, shipped) if restock == "RETURN" else max(quantity - line.unfulfilled, 0)
        )
        loose = quantity - back
        line.returned += back
        if loose:
            self._withdraw(line, loose)
        if restock != "NO_RESTOCK":
            self._move_stock(
                line, {"available": quantity, "committed": -loose, "on_hand": quantity - loose}
            )

    @action
    def settle(self, refund: Refund, status: str = "SUCCESS") -> Refund:
        """A pending refund becomes real: the balancing row is cleared by an opposite one."""
        for transaction in refund.transactions:
            if transaction.status == "PENDING":
                transaction.status = status
                self.emit("ORDER_TRANSACTIONS_CREATE", transaction)
        pending = [a for a in refund.adjustments if a.reason == "PENDING_REFUND_DISCREPANCY"]
        if status == "SUCCESS" and pending:
            agreement = next(a for a in refund.order.agreements if a.refund is refund)
            gap = total(a.amount for a in pending)
            self._adjust(agreement, -gap, "PENDING_REFUND_DISCREPANCY")
        self.changed(refund.order)
        return refund

    @action
    def cancel(self, order: Order, spec: dict[str, Any] | None = None) -> Order:
        """Cancel: money back to where it came from (unless ``refund`` is false), units released.

        :param spec: ``reason`` (OTHER), ``refund`` (true), ``restock`` (true), ``note``.
        """
        spec = spec or {}
        if order.cancelled_at:
            raise Refused(
                "Cannot cancel an order that has already been canceled", ["orderId"], "INVALID"
            )
        if len(spec.get("note") or "") > 255:
            raise Refused(
                "Staff note is too long (maximum is 255 characters)", ["staffNote"], "INVALID"
            )
        if any(line.fulfilled for line in order.goods):
            raise Refused("Cannot cancel a fulfilled order", ["orderId"], "INVALID")
        for parent in list(order.open_authorizations):
            self._transact(order, "VOID", Bag(), parent=parent)
        restock = "CANCEL" if spec.get("restock", True) else "NO_RESTOCK"
        rows = [
            {"line": ln.gid, "quantity": ln.current_quantity, "restock": restock}
            for ln in order.lines
            if ln.current_quantity
        ]
        moment = now()
        order.cancelled_at = order.closed_at = moment
        order.cancel_reason = spec.get("reason", "OTHER").upper()
        order.staff_note = spec.get("note")
        self._cancel_refund(order, rows, spec.get("refund", True))
        for fulfillment_order in order.fulfillment_orders:
            fulfillment_order.status = "CLOSED"
            for row in fulfillment_order.lines:
                row.total = row.remaining = 0
        self.changed(order, "ORDERS_CANCELLED")
        return order

    def _cancel_refund(self, order: Order, rows: list[dict[str, Any]], pay_back: bool) -> None:
        """A cancellation takes every unit out; money goes back only when it is wished."""
        refund: dict[str, Any] = {"lines": rows, "shipping": "full", "note": "Order canceled"}
        paid = order.net_payment.presentment
        if not pay_back:
            refund["amount"] = 0
        elif paid:
            refund["amount"] = paid
        self.refund(order, refund)
