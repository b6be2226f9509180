"""Work to be shipped, and what was shipped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .base import Refused, action
from .catalogue import Catalogue
from .records import (
    Fulfillment,
    FulfillmentLine,
    FulfillmentOrder,
    FulfillmentOrderLine,
    Line,
    Order,
    now,
)


class Fulfilments(Catalogue):
    def _reserve(self, order: Order) -> None:
        for line in order.goods:
            self._move_stock(line, {"available": -line.quantity, "committed": line.quantity})

    def _route(self, order: Order, lines: Iterable[Line], units: int | None = None) -> None:
        """A fulfillment order for these lines, whole or for some units of each."""
        goods = [line for line in lines if not line.tip]
        if not goods:
            return
        fulfillment_order = FulfillmentOrder(
            self.next_id("FulfillmentOrder"), order, self.default_location
        )
        for line in goods:
            count = line.quantity if units is None else units
            row = FulfillmentOrderLine(self.next_id("FulfillmentOrderLineItem"), line, count, count)
            fulfillment_order.lines.append(self.add(row))
        order.fulfillment_orders.append(self.add(fulfillment_order))
        self.emit("FULFILLMENT_ORDERS_ORDER_ROUTING_COMPLETE", fulfillment_order)

    def _withdraw(self, line: Line, quantity: int) -> None:
        """Take unfulfilled units out of the work still to do."""
        line.withdrawn += quantity
        for fulfillment_order in line_orders(line, line.order.fulfillment_orders):
            for row in fulfillment_order.lines:
                if row.line is line and quantity:
                    cut = min(row.remaining, quantity)
                    row.remaining -= cut
                    row.total -= cut
                    quantity -= cut
            if not any(row.remaining for row in fulfillment_order.lines):
                fulfillment_order.status = "CLOSED"
            fulfillment_order.updated_at = now()

    @action
    def fulfil(self, order: Order, spec: dict[str, Any] | None = None) -> Fulfillment:
        """Ship everything still open, or ``lines`` [{line, quantity}].

        ``tracking`` is [{company, number, url}].
        """
        spec = spec or {}
        wanted: dict[Line, int] | None = None
        if spec.get("lines") is not None:
            wanted = {
                self.line_of(order, row["line"]): int(row.get("quantity", 1))
                for row in spec["lines"]
            }
        open_orders = [
            fo for fo in order.fulfillment_orders if fo.status in ("OPEN", "IN_PROGRESS")
        ]
        if not open_orders or order.cancelled_at:
            raise Refused("The order has nothing left to fulfil.", ["fulfillment"])
        for line, quantity in (wanted or {}).items():
            if quantity > line.unfulfilled:
                raise Refused(
                    "Invalid fulfillment order line item quantity requested.", ["fulfillment"]
                )
        fulfillment = Fulfillment(
            self.next_id("Fulfillment"),
            order,
            f"{order.name}-F{len(order.fulfillments) + 1}",
            open_orders[0].location,
            tracking=[
                {"company": t.get("company"), "number": t.get("number"), "url": t.get("url")}
                for t in spec.get("tracking", [])
            ],
        )
        shipped: dict[Line, int] = {}
        for fulfillment_order in open_orders:
            for row in fulfillment_order.lines:
                left = (
                    row.remaining if wanted is None else min(wanted.get(row.line, 0), row.remaining)
                )
                if wanted is not None and row.line in wanted:
                    wanted[row.line] -= left
                row.remaining -= left
                if left:
                    shipped[row.line] = shipped.get(row.line, 0) + left
            rest = any(row.remaining for row in fulfillment_order.lines)
            fulfillment_order.status = "IN_PROGRESS" if rest else "CLOSED"
            fulfillment_order.updated_at = now()
        for line, quantity in shipped.items():
            line.fulfilled += quantity
            self._move_stock(
                line, {"committed": -quantity, "on_hand": -quantity}, fulfillment.location
            )
            fulfillment.lines.append(
                self.add(FulfillmentLine(self.next_id("FulfillmentLineItem"), line, quantity))
            )
        order.fulfillments.append(self.add(fulfillment))
        self.emit("FULFILLMENTS_CREATE", fulfillment)
        self.changed(
            order,
            "ORDERS_FULFILLED"
            if order.fulfillment_status == "FULFILLED"
            else "ORDERS_PARTIALLY_FULFILLED",
        )
        return fulfillment


def line_orders(
    line: Line, fulfillment_orders: Iterable[FulfillmentOrder]
) -> list[FulfillmentOrder]:
    return [
        fo
        for fo in fulfillment_orders
        if fo.status not in ("CLOSED", "CANCELLED") and any(row.line is line for row in fo.lines)
    ]
