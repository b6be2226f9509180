"""Money and goods given back, and orders called off."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from .base import Refused, SpecError, action, decimal
from .fulfilments import Fulfilments
from .ledger import Entry, Ledger
from .money import ZERO, Bag, round_money, total
from .payments import Payments
from .records import (
    Agreement,
    Charged,
    Duty,
    Line,
    Location,
    Order,
    Refund,
    RefundDuty,
    RefundLine,
    RefundShipping,
    Shipping,
    Transaction,
    now,
)


@dataclass
class LinePart:
    """Units of a line to be given back, and their share of its money."""

    line: Line
    quantity: int
    restock: str
    amount: Bag
    taxes: list[Bag]
    location: Location | None = None
    # Units of a return were shipped, whatever else of the line still is to be.
    shipped: bool = False

    @property
    def tax(self) -> Bag:
        return total(self.taxes)


@dataclass
class ChargePart:
    """A part of shipping or of a duty to be given back."""

    charged: Charged
    amount: Bag
    taxes: list[Bag]

    @property
    def tax(self) -> Bag:
        return total(self.taxes)


@dataclass
class RefundPlan:
    """What a refund would give back. Nothing of it has happened yet."""

    order: Order
    lines: list[LinePart] = field(default_factory=list)
    shipping: list[ChargePart] = field(default_factory=list)
    duties: list[ChargePart] = field(default_factory=list)
    fees: list[ChargePart] = field(default_factory=list)

    @property
    def parts(self) -> list[LinePart | ChargePart]:
        return [*self.lines, *self.shipping, *self.duties, *self.fees]

    @property
    def tax(self) -> Bag:
        return total(part.tax for part in self.parts)

    @property
    def worth(self) -> Bag:
        """What the goods and charges cost, tax included."""
        net = total(part.amount for part in self.parts)
        return net if self.order.taxes_included else net + self.tax

    @property
    def due(self) -> Decimal:
        """Money that is owed once they were given back, in the buyer's currency."""
        order, worth = self.order, self.worth.presentment
        kept = order.current_total.presentment - worth + order.adjusted.presentment
        return max(ZERO, min(worth, order.net_payment.presentment - kept))

    @property
    def due_bag(self) -> Bag:
        """The same in both currencies, at the rate of the goods."""
        worth, due = self.worth, self.due
        if due == worth.presentment:
            return worth
        ratio = worth.shop / worth.presentment if worth.presentment else ZERO
        return Bag(due * ratio, due).rounded(self.order.currencies)


class Refunds(Payments, Ledger, Fulfilments):
    # === WHAT WOULD BE GIVEN BACK === #

    def plan_refund(self, order: Order, spec: dict[str, Any]) -> RefundPlan:
        """Work out a refund.

        :param spec: ``full`` (true) or ``lines`` [{line, quantity, restock, location}] with restock
            RETURN, CANCEL or NO_RESTOCK; ``shipping`` ("full" or a net amount in the buyer's
            currency); ``duties`` [{duty, type FULL or PROPORTIONAL}], or "full"; ``fees`` "full".
        """
        plan = RefundPlan(order)
        rows, shipping = list(spec.get("lines") or []), spec.get("shipping")
        duties, fees = spec.get("duties") or [], spec.get("fees")
        if spec.get("full"):
            rows = [
                {"line": ln.gid, "quantity": ln.current_quantity - ln.promised}
                for ln in order.lines
            ]
            rows = [row for row in rows if row["quantity"]]
            shipping = duties = fees = "full"
        taken: dict[Line, int] = {}
        for index, row in enumerate(rows):
            line, quantity = self.line_of(order, row["line"]), int(row.get("quantity", 1))
            before = taken.get(line, 0)
            taken[line] = before + quantity
            # What is to come back in a return is refunded with that return.
            shipped = bool(row.get("shipped"))
            free = line.current_quantity - (0 if shipped else line.promised)
            if quantity < 1 or taken[line] > free:
                raise Refused(
                    "Quantity cannot refund more items than were purchased",
                    ["refundLineItems", str(index), "quantity"],
                )
            amount, taxes = self._share_of_units(order, line, quantity, before)
            restock = row.get("restock", "NO_RESTOCK").upper()
            place = self.get("Location", row["location"]) if row.get("location") else None
            plan.lines.append(LinePart(line, quantity, restock, amount, taxes, place, shipped))
        if shipping is not None:
            plan.shipping = self._plan_shipping(order, shipping)
        plan.duties = self._plan_duties(order, plan, duties)
        if fees == "full":
            plan.fees = [
                ChargePart(fee, fee.current, [t.current for t in fee.tax_lines])
                for fee in order.fees
                if fee.current
            ]
        return plan

    @staticmethod
    def _plan_shipping(order: Order, asked: Any) -> list[ChargePart]:
        """Give shipping back: everything, or a net amount in the buyer's currency."""
        cur, parts = order.currencies, []
        left = None if asked in (True, "full") else decimal(asked, "shipping")
        for shipping in order.shipping:
            current = shipping.current
            if not current.presentment or left == 0:
                continue
            if left is None or left >= current.presentment:
                amount, taxes = current, [t.current for t in shipping.tax_lines]
            else:
                ratio = left / shipping.discounted.presentment
                amount = Bag(shipping.discounted.shop * ratio, left).rounded(cur)
                taxes = [t.price.times(ratio).rounded(cur) for t in shipping.tax_lines]
            if left is not None:
                left -= amount.presentment
            parts.append(ChargePart(shipping, amount, taxes))
        return parts

    def _plan_duties(self, order: Order, plan: RefundPlan, asked: Any) -> list[ChargePart]:
        """Duties wholly, or as much of them as units of their line are given back."""
        if asked == "full":
            asked = [{"duty": duty.gid} for duty in order.duties]
        units: dict[Line, int] = {}
        for part in plan.lines:
            units[part.line] = units.get(part.line, 0) + part.quantity
        parts = []
        for index, row in enumerate(asked):
            duty = next((d for d in order.duties if row["duty"] in (d.gid, d.id)), None)
            if duty is None:
                raise Refused("Duty does not exist", ["refundDuties", str(index), "dutyId"])
            quantity, whole = units.get(duty.line, 0), duty.line.quantity
            last = quantity >= duty.line.current_quantity
            if row.get("type", "FULL") == "FULL" or last:
                amount, taxes = duty.current, [t.current for t in duty.tax_lines]
            else:
                cur = order.currencies
                amount = duty.discounted.share(quantity, whole, cur)
                taxes = [t.price.share(quantity, whole, cur) for t in duty.tax_lines]
            if amount:
                parts.append(ChargePart(duty, amount, taxes))
        return parts

    def suggest(self, plan: RefundPlan) -> list[tuple[Transaction, Bag]]:
        """The payments to send the money of a plan back to, and how much to each."""
        order, left, rows = plan.order, plan.due_bag, []
        for parent in order.transactions:
            limit = parent.refundable
            if not limit.presentment or not left.presentment:
                continue
            if left.presentment <= limit.presentment:
                part = left
            else:
                ratio = left.shop / left.presentment
                part = Bag(limit.presentment * ratio, limit.presentment).rounded(order.currencies)
            left -= part
            rows.append((parent, part))
        return rows

    # === GIVING BACK === #

    @action
    def refund(self, order: Order, spec: dict[str, Any] | None = None) -> Refund:
        """Refund.

        :param spec: what :meth:`plan_refund` takes, and ``amount`` of money sent back (default:
            what is given back and was paid; 0 sends none) or ``transactions`` [{parent, amount}];
            ``status`` of the money (SUCCESS or PENDING), ``rate`` of today, ``note``, ``reason``
            of a difference; ``zeroSubtotal`` shows 0.0 on the refund lines, as one recording has
            it.
        """
        spec = spec or {}
        wanted = self._wanted_money(order, spec)
        plan = self.plan_refund(order, spec)
        if not plan.parts and not wanted:
            raise Refused("Refund cannot be empty.", None)
        worth, owed = plan.worth, plan.due_bag
        refund = Refund(self.next_id("Refund"), order, spec.get("note"))
        entries = self._give_back(refund, plan, zero=bool(spec.get("zeroSubtotal")))
        if wanted is None:
            wanted = self._parents_of(order, owed.presentment)
        money = self._send_money(order, refund, wanted, worth, spec)
        order.refunds.append(self.add(refund))
        agreement = self._ledger(order, "REFUND", refund.created_at, entries, refund)
        self._close_refund(agreement, owed, money, spec)
        self.changed(order)
        return refund

    def _close_refund(
        self, agreement: Agreement, owed: Bag, money: Bag, spec: dict[str, Any]
    ) -> None:
        """Write the difference between goods and money, and tell of the refund."""
        refund = agreement.refund
        pending = spec.get("status", "SUCCESS").upper() == "PENDING"
        moved = Bag() if pending else money
        if owed.presentment != moved.presentment:
            reason = spec.get("reason") or "REFUND_DISCREPANCY"
            self._adjust(
                agreement, owed - moved, "PENDING_REFUND_DISCREPANCY" if pending else reason
            )
        self.effects["refunds"] += 1
        if not pending:
            for transaction in refund.transactions:
                self.emit("ORDER_TRANSACTIONS_CREATE", transaction)
        self.emit("REFUNDS_CREATE", refund)

    def _wanted_money(
        self, order: Order, spec: dict[str, Any]
    ) -> list[tuple[Transaction, Decimal]] | None:
        """Money asked for, by the payment it goes back to; None when that follows from the goods.

        :raises Refused: it is more than was paid.
        """
        if spec.get("transactions") is not None:
            wanted = [
                (self._payment_of(order, row.get("parent")), decimal(row["amount"]))
                for row in spec["transactions"]
            ]
        elif spec.get("amount") is not None:
            asked = decimal(spec["amount"])
            waiting = total(t.refundable for t in order.transactions).presentment
            self._check_over_refund(order, asked, min(order.net_payment.presentment, waiting))
            return self._parents_of(order, asked)
        else:
            return None
        wanted = [(parent, amount) for parent, amount in wanted if amount]
        asked = sum((amount for _parent, amount in wanted), ZERO)
        self._check_over_refund(order, asked, order.net_payment.presentment)
        for parent in {parent for parent, _amount in wanted}:
            part = sum((amount for p, amount in wanted if p is parent), ZERO)
            self._check_over_refund(order, part, parent.refundable.presentment)
        return wanted

    @staticmethod
    def _check_over_refund(order: Order, asked: Decimal, limit: Decimal) -> None:
        if asked > limit:
            code = order.currencies.presentment
            raise Refused(
                f"Refund amount ${round_money(asked, code)} is greater than net payment received "
                f"${round_money(limit, code)}"
            )

    @staticmethod
    def _payment_of(order: Order, key: Any) -> Transaction:
        for transaction in order.transactions:
            if key in (transaction.gid, transaction.id):
                return transaction
        raise SpecError(f"{order.name} has no transaction {key!r}")

    @staticmethod
    def _parents_of(order: Order, amount: Decimal) -> list[tuple[Transaction, Decimal]]:
        """Spread an amount over the payments of an order, the first one first.

        What pending refunds wait for is not there any more, so the parts may sum to less.
        """
        rows = []
        for parent in order.transactions:
            part = min(amount, parent.refundable.presentment)
            if part > 0:
                rows.append((parent, part))
                amount -= part
        return rows

    def _give_back(self, refund: Refund, plan: RefundPlan, *, zero: bool = False) -> list[Entry]:
        """Take what is given back off the order, and write the rows of the refund."""
        entries: list[Entry] = []
        for part in plan.lines:
            self._remove(part.line, part.amount, part.taxes)
            part.line.current_quantity -= part.quantity
            place = self._take_back(part)
            row = RefundLine(
                self.next_id("RefundLineItem"),
                part.line,
                part.quantity,
                part.restock,
                Bag() if zero else part.amount,
                Bag() if zero else part.tax,
                place if part.restock != "NO_RESTOCK" else None,
            )
            refund.lines.append(self.add(row))
            entries.append(_returned(part.line, part.amount, part.taxes, -part.quantity))
        for charge in [*plan.shipping, *plan.duties, *plan.fees]:
            self._remove(charge.charged, charge.amount, charge.taxes)
            entries.append(_returned(charge.charged, charge.amount, charge.taxes, None))
            if isinstance(charge.charged, Shipping):
                number = self.next_id("RefundShippingLine")
                shipping = RefundShipping(number, charge.charged, charge.amount, charge.tax)
                refund.shipping.append(self.add(shipping))
            elif isinstance(charge.charged, Duty):
                number = self.next_id("RefundDuty")
                duty = RefundDuty(number, charge.charged, charge.amount, charge.tax)
                refund.duties.append(self.add(duty))
        return entries

    def _send_money(
        self,
        order: Order,
        refund: Refund,
        wanted: list[tuple[Transaction, Decimal]],
        worth: Bag,
        spec: dict[str, Any],
    ) -> Bag:
        """Send money back; returns what moved or will move."""
        status = spec.get("status", "SUCCESS").upper()
        asked = sum((amount for _parent, amount in wanted), ZERO)
        for parent, part in wanted:
            same_rate = order.currencies.single or parent.amount == order.original_total
            if part == asked == worth.presentment and same_rate and "rate" not in spec:
                amount = worth
            else:
                amount = self._live_bag(order, part, spec.get("rate"))
            transaction = self._transact(order, "REFUND", amount, parent=parent, status=status)
            refund.transactions.append(transaction)
        return total(t.amount for t in refund.transactions)

    def _take_back(self, part: LinePart) -> Location:
        """Units given back: first those never shipped, unless they are said to have returned."""
        line, quantity, restock = part.line, part.quantity, part.restock
        place = part.location or self._place_of(line)
        if part.shipped:
            back = quantity
        elif restock == "RETURN":
            back = min(quantity, line.fulfilled - line.returned - line.promised)
        else:
            back = max(quantity - line.unfulfilled, 0)
        loose = quantity - back
        line.returned += back
        if loose:
            self._withdraw(line, loose, restock=restock != "NO_RESTOCK")
        # Only what was sent back can lie on a shelf again; what is cancelled never left it.
        if back and restock == "RETURN":
            self._move_stock(line, {"available": back, "on_hand": back}, place)
        return place

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

    # === CALLING OFF === #

    @action
    def cancel(self, order: Order, spec: dict[str, Any] | None = None) -> Order:
        """Cancel: money back to where it came from (unless ``refund`` is false), units released.

        :param spec: ``reason`` (OTHER), ``refund`` (true), ``restock`` (true), ``note``, ``force``
            (a paid order that was shipped in part, too).
        """
        spec = spec or {}
        self._check_cancel(order, spec)
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
            self._end(fulfillment_order)
            for row in fulfillment_order.lines:
                row.total = row.remaining = 0
        self.effects["cancellations"] += 1
        self.changed(order, "ORDERS_CANCELLED")
        return order

    @staticmethod
    def _check_cancel(order: Order, spec: dict[str, Any]) -> None:
        if order.cancelled_at:
            raise Refused(
                "Cannot cancel an order that has already been canceled", ["orderId"], "INVALID"
            )
        if len(spec.get("note") or "") > 255:
            raise Refused(
                "Staff note is too long (maximum is 255 characters)", ["staffNote"], "INVALID"
            )
        if any(row.active for row in order.returns):
            raise Refused("Cannot cancel an order with an open return", ["orderId"], "INVALID")
        # The vendor's rule: "Orders that are paid and have fulfillments can't be canceled."
        shipped = any(line.fulfilled for line in order.goods)
        if order.received.presentment and shipped and not spec.get("force"):
            raise Refused("Cannot cancel a fulfilled order", ["orderId"], "INVALID")

    def _cancel_refund(self, order: Order, rows: list[dict[str, Any]], pay_back: bool) -> None:
        """A cancellation takes every unit out; money goes back only when it is wished."""
        refund: dict[str, Any] = {
            "lines": rows,
            "shipping": "full",
            "duties": "full",
            "fees": "full",
            "note": "Order canceled",
        }
        paid = order.net_payment.presentment
        if not pay_back:
            refund["amount"] = 0
        elif paid:
            refund["amount"] = paid
        if self.plan_refund(order, refund).parts or self._wanted_money(order, refund):
            self.refund(order, refund)


def _returned(charged: Charged, amount: Bag, taxes: list[Bag], quantity: int | None) -> Entry:
    return charged, "RETURN", -amount, [-tax for tax in taxes], quantity
