"""Shipped goods that come back, and what is sent instead."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from .base import Refused, SpecError, action, decimal
from .ledger import Entry, sold
from .money import ZERO, Bag, total
from .placing import Placing
from .records import (
    Disposition,
    ExchangeLine,
    FulfillmentLine,
    Line,
    Order,
    Refund,
    Return,
    ReturnLine,
    ReverseLine,
    ReverseOrder,
    now,
)
from .refunds import Refunds


class Returns(Refunds, Placing):
    # === OPENING === #

    @action
    def start_return(
        self, order: Order, spec: dict[str, Any], path: tuple[str, ...] = ("returnInput",)
    ) -> Return:
        """Write a return. Nothing of the order changes before it is processed.

        :param spec: ``lines`` [{line or fulfillmentLine, quantity, reason, note, fee (percent)}],
            ``exchange`` [line specs], ``shippingFee`` (buyer's currency), ``requested`` (a buyer
            asks; otherwise it is approved).
        :param path: where the lines are in the input, for what is refused.
        """
        lines: list[ReturnLine] = []
        for index, row in enumerate(spec.get("lines", [])):
            where = [*path, "returnLineItems", str(index), "quantity"]
            for source, units in self._units_to_return(order, row, lines, where):
                fee = row.get("fee")
                line = ReturnLine(
                    self.next_id("ReturnLineItem"),
                    source,
                    units,
                    (row.get("reason") or "UNKNOWN").upper(),
                    row.get("note") or "",
                    None if fee is None else decimal(fee, "fee"),
                )
                lines.append(line)
        if not lines:
            raise Refused("Return line items can't be blank", [*path, "returnLineItems"], "BLANK")
        fee = spec.get("shippingFee")
        row = Return(
            self.next_id("Return"),
            order,
            f"{order.name}-R{len(order.returns) + 1}",
            "REQUESTED",
            [self.add(line) for line in lines],
            shipping_fee=None if fee is None else decimal(fee, "fee"),
        )
        for wanted in spec.get("exchange", []):
            number, variant = self.next_id("ExchangeLineItem"), self._variant_of(wanted)
            units = int(wanted.get("quantity", 1))
            row.exchanges.append(self.add(ExchangeLine(number, wanted, variant, units)))
        order.returns.append(self.add(row))
        # An archived order is brought back.
        if not order.cancelled_at:
            order.closed_at = None
        if spec.get("requested"):
            self.emit("RETURNS_REQUEST", row)
        else:
            self._approve(row)
        self.changed(order)
        return row

    def _units_to_return(
        self, order: Order, row: dict[str, Any], lines: list[ReturnLine], where: list[str]
    ) -> list[tuple[FulfillmentLine, int]]:
        """The shipped units a row means; a line of the order may be in several parcels."""
        key, left = row.get("fulfillmentLine"), int(row.get("quantity", 1))
        shipped = [
            source
            for fulfillment in order.fulfillments
            if fulfillment.status == "SUCCESS"
            for source in fulfillment.lines
        ]
        if key is not None:
            sources = [source for source in shipped if key in (source.gid, source.id)]
        else:
            line = self.line_of(order, row["line"])
            sources = [source for source in shipped if source.line is line]
        found: list[tuple[FulfillmentLine, int]] = []
        for source in sources:
            free = self._returnable(source, lines) - sum(
                units for other, units in found if other.line is source.line
            )
            take = min(left, free, source.quantity - self._on_the_way(source, lines))
            if take > 0:
                found.append((source, take))
                left -= take
        if left or not found:
            raise Refused("Return line item has an invalid quantity.", where, "INVALID")
        return found

    @staticmethod
    def _on_the_way(source: FulfillmentLine, lines: list[ReturnLine]) -> int:
        """Units of a parcel line that came back in a return or are to come back in one."""
        units = sum(line.quantity for line in lines if line.fulfillment_line is source)
        for row in source.line.order.returns:
            for line in row.lines:
                if line.fulfillment_line is source:
                    units += line.quantity if row.active else line.processed
        return units

    @staticmethod
    def _returnable(source: FulfillmentLine, lines: list[ReturnLine]) -> int:
        """Units of the order line that were shipped, and neither came back nor are to."""
        line = source.line
        here = sum(other.quantity for other in lines if other.line is line)
        return line.fulfilled - line.returned - line.promised - here

    def _approve(self, row: Return) -> None:
        row.status = "OPEN"
        row.approved_at = now()
        reverse = ReverseOrder(self.next_id("ReverseFulfillmentOrder"), row.order)
        for line in row.lines:
            number = self.next_id("ReverseFulfillmentOrderLineItem")
            reverse.lines.append(self.add(ReverseLine(number, line, line.quantity)))
        row.reverse_orders.append(self.add(reverse))
        self.emit("RETURNS_APPROVE", row)

    @action
    def approve_return(self, row: Return) -> Return:
        self._expect(row, "REQUESTED", "Return is not approvable.")
        self._approve(row)
        self.changed(row.order)
        return row

    @action
    def decline_return(self, row: Return, reason: str = "OTHER", note: str | None = None) -> Return:
        self._expect(row, "REQUESTED", "Return is not declinable.")
        row.status = "DECLINED"
        row.decline = {"reason": reason.upper(), "note": note}
        self.emit("RETURNS_DECLINE", row)
        self.changed(row.order)
        return row

    @staticmethod
    def _expect(row: Return, status: str, message: str) -> None:
        if row.status != status:
            raise Refused(message, ["id"], "INVALID_STATE")

    # === ENDING === #

    @action
    def cancel_return(self, row: Return) -> Return:
        """Call a return off, as long as nothing of it was processed."""
        if not row.active or any(line.processed for line in row.lines):
            raise Refused("Return is not cancelable.", ["id"], "INVALID_STATE")
        row.status = "CANCELED"
        for reverse in row.reverse_orders:
            reverse.status = "CANCELED"
        self.emit("RETURNS_CANCEL", row)
        self.changed(row.order)
        return row

    @action
    def close_return(self, row: Return) -> Return:
        """Close an open return; one that is closed stays so without a word."""
        if row.status == "CLOSED":
            return row
        self._expect(row, "OPEN", "Return is not closable.")
        row.status = "CLOSED"
        row.closed_at = now()
        self.emit("RETURNS_CLOSE", row)
        self.changed(row.order)
        return row

    @action
    def reopen_return(self, row: Return) -> Return:
        if row.status == "OPEN":
            return row
        self._expect(row, "CLOSED", "Return is not reopenable.")
        before = row.closed_at
        row.status, row.closed_at = "OPEN", None
        # Meanwhile the units may have come back in another way.
        if any(ln.line.promised > ln.line.fulfilled - ln.line.returned for ln in row.lines):
            row.status, row.closed_at = "CLOSED", before
            raise Refused("Return is not reopenable.", ["id"], "INVALID_STATE")
        self.emit("RETURNS_REOPEN", row)
        self.changed(row.order)
        return row

    # === PROCESSING === #

    @action
    def process_return(self, row: Return, spec: dict[str, Any] | None = None) -> Refund:
        """Confirm what came back: one ReturnAgreement, and a refund that has none of its own.

        :param spec: ``lines`` [{line (position, id), quantity, dispositions [{type, quantity,
            location}]}] (default: everything, restocked), ``exchange`` [ids] (default: all that
            were not), ``shipping``, ``duties``, and the money of a refund: ``amount`` or
            ``transactions`` (default: what is owed less the fees), ``status``, ``rate``, ``note``.
        """
        spec, order = spec or {}, row.order
        self._expect(row, "OPEN", "Return is not processable.")
        picked = self._picked(row, spec)
        wanted_money = self._wanted_money(order, spec)
        exchanges = [
            line
            for line in row.exchanges
            if not line.line and ("exchange" not in spec or line.gid in spec["exchange"])
        ]
        if not picked and not exchanges:
            raise Refused("Nothing is left to process.", ["returnLineItems"], "INVALID")
        plan = self.plan_refund(
            order,
            {
                "lines": [self._refund_row(line, units, where) for line, units, where in picked],
                "shipping": spec.get("shipping"),
                "duties": spec.get("duties"),
            },
        )
        instead = [self._sell_instead(order, exchange) for exchange in exchanges]
        # What the buyer gets instead is on the order by now, so it is paid from what comes back.
        owed = plan.due_bag
        worth = plan.worth - total(
            ln.discounted if order.taxes_included else ln.discounted + ln.tax for ln in instead
        )
        refund = Refund(self.next_id("Refund"), order, spec.get("note"))
        entries: list[Entry] = [*self._give_back(refund, plan), *map(sold, instead)]
        for line, units, where in picked:
            line.processed += units
            self._dispose(row, line, units, where)
        if wanted_money is None:
            fees = min(self._fees(row, picked), owed.presentment)
            wanted_money = self._parents_of(order, owed.presentment - fees)
        money = self._send_money(order, refund, wanted_money, worth, spec)
        order.refunds.append(self.add(refund))
        row.refunds.append(refund)
        agreement = self._ledger(order, "RETURN", refund.created_at, entries, refund, row)
        self._close_refund(agreement, owed, money, spec)
        self._route(order, instead)
        self.effects["returns"] += 1
        self.emit("RETURNS_PROCESS", row)
        self.changed(order)
        return refund

    def _picked(
        self, row: Return, spec: dict[str, Any]
    ) -> list[tuple[ReturnLine, int, list[dict[str, Any]]]]:
        """Lines that came back: with how many units, and where they went."""
        rows = spec.get("lines")
        if rows is None:
            restock = [{"type": "RESTOCKED"}] if spec.get("restock", True) else []
            return [(ln, ln.unprocessed, restock) for ln in row.lines if ln.unprocessed]
        picked = []
        for index, wanted in enumerate(rows):
            line = self.return_line_of(row, wanted["line"])
            units = int(wanted.get("quantity", line.unprocessed))
            if not 0 < units <= line.unprocessed:
                raise Refused(
                    "Return line item has an invalid quantity.",
                    ["returnLineItems", str(index), "quantity"],
                    "INVALID",
                )
            picked.append((line, units, list(wanted.get("dispositions") or [])))
        for line, _units, where in picked:
            restocked = any(place["type"] == "RESTOCKED" for place in where)
            if restocked and line.line.variant is None and rows is not None:
                raise Refused("Custom items cannot be restocked.", ["dispositions"], "INVALID")
        return picked

    @staticmethod
    def return_line_of(row: Return, key: Any) -> ReturnLine:
        """Line of a return by position or id."""
        if isinstance(key, int) and 0 <= key < len(row.lines):
            return row.lines[key]
        for line in row.lines:
            if str(key) in (line.gid, str(line.id)):
                return line
        raise SpecError(f"{row.name} has no line {key!r}")

    def return_of(self, order: Order, key: Any = None) -> Return:
        """Return by position, id or name; without a key the last one."""
        if key is None and order.returns:
            return order.returns[-1]
        if isinstance(key, int) and 0 <= key < len(order.returns):
            return order.returns[key]
        for row in order.returns:
            if str(key) in (row.gid, str(row.id), row.name):
                return row
        raise SpecError(f"{order.name} has no return {key!r}")

    @staticmethod
    def _refund_row(line: ReturnLine, units: int, where: list[dict[str, Any]]) -> dict[str, Any]:
        back = next((place for place in where if place["type"] == "RESTOCKED"), None)
        return {
            "line": line.line.gid,
            "quantity": units,
            "restock": "RETURN" if back else "NO_RESTOCK",
            "location": (back or {}).get("location"),
            "shipped": True,
        }

    def _dispose(
        self, row: Return, line: ReturnLine, units: int, where: list[dict[str, Any]]
    ) -> None:
        for reverse in row.reverse_orders:
            for place in reverse.lines:
                if place.return_line is not line:
                    continue
                for disposition in where:
                    location = disposition.get("location")
                    record = Disposition(
                        self.next_id("ReverseFulfillmentOrderDisposition"),
                        disposition["type"],
                        int(disposition.get("quantity", units)),
                        self.get("Location", location) if location else self.default_location,
                    )
                    place.dispositions.append(self.add(record))
                    self.emit("REVERSE_FULFILLMENT_ORDERS_DISPOSE", reverse)
            if all(not place.return_line.unprocessed for place in reverse.lines):
                reverse.status = "CLOSED"

    def _sell_instead(self, order: Order, exchange: ExchangeLine) -> Line:
        line = exchange.line = self._make_line(order, exchange.spec)
        taxes = [] if order.tax_exempt else self._taxes_of(order)
        order.lines.append(line)
        for discount in exchange.spec.get("discounts", []):
            self._discount_line(order, line, discount)
        self._tax(order, line, exchange.spec.get("taxes"), taxes)
        self._reserve(line, line.quantity)
        return line

    @staticmethod
    def _fees(row: Return, picked: list[tuple[ReturnLine, int, list[dict[str, Any]]]]) -> Decimal:
        """Fees kept from the money: a restocking fee is on the price without tax."""
        order = row.order
        fees = Bag()
        for line, units, _where in picked:
            if line.fee:
                goods, cur = line.line, order.currencies
                net = goods.discounted.share(units, goods.quantity, cur)
                if order.taxes_included:
                    net -= goods.tax.share(units, goods.quantity, cur)
                fees += net.times(line.fee / 100).rounded(cur)
        # The fee for the way back is kept once.
        shipping = ZERO if row.refunds or not row.shipping_fee else row.shipping_fee
        return fees.presentment + shipping
