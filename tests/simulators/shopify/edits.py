"""Changes of an order that is there."""

from __future__ import annotations

from typing import Any

from .base import Refused, action
from .fulfilments import line_orders
from .ledger import Entry, sold
from .money import Bag
from .placing import Placing
from .records import Charged, Line, Order, now


class Edits(Placing):
    @action
    def touch(self, order: Order, spec: dict[str, Any]) -> None:
        """Change what does not concern money: note, tags, e-mail, addresses, attributes."""
        for key, name in (
            ("note", "note"),
            ("tags", "tags"),
            ("email", "email"),
            ("phone", "phone"),
            ("poNumber", "po_number"),
        ):
            if key in spec:
                setattr(order, name, spec[key])
        if "attributes" in spec:
            order.attributes = list((spec["attributes"] or {}).items())
        for key, name in (("billing", "billing"), ("delivery", "shipping_address")):
            if key in spec:
                setattr(order, name, self.make_address(spec[key]) if spec[key] else None)
        self.changed(order)

    @action
    def edit(self, order: Order, spec: dict[str, Any]) -> Order:
        """Edit an order as the admin does.

        :param spec: ``set`` [{line, quantity}], ``add`` [line specs with ``taxes``], ``discount``
            [{line, fixed (per unit) or percentage}], ``shipping`` [shipping specs].
        """
        if order.cancelled_at:
            raise Refused("The order cannot be edited.", ["id"])
        added = [(row, self._make_line(order, row)) for row in spec.get("add", [])]
        drops: list[tuple[Line, int]] = []
        for row in spec.get("set", []):
            line = self.line_of(order, row["line"])
            drop = line.current_quantity - int(row["quantity"])
            if drop > line.unfulfilled:
                raise Refused("The quantity of fulfilled units cannot be reduced.", ["quantity"])
            drops.append((line, drop))
        for row in spec.get("discount", []):
            self.line_of(order, row["line"])
        entries: list[Entry] = []
        for line, drop in drops:
            if drop > 0:
                amount, taxes = self._remove_units(order, line, drop)
                self._withdraw(line, drop)
                entries.append((line, "RETURN", -amount, [-tax for tax in taxes], -drop))
            elif drop < 0:
                entries.append(self._add_units(order, line, -drop))
        for row, line in added:
            order.lines.append(line)
            self._tax(order, line, row.get("taxes"), spec.get("taxes", self._taxes_of(order)))
            self._reserve(line, line.quantity)
            entries.append(sold(line))
        for row in spec.get("discount", []):
            line = self.line_of(order, row["line"])
            before = self._as_sold(line)
            self._discount_line(order, line, {"title": "Discount", "perUnit": True, **row})
            self._retax(order, line)
            entries.append((line, "UPDATE", *self._since(line, before), 0))
        for row in spec.get("shipping", []):
            shipping = self._make_shipping(order, row)
            order.shipping.append(shipping)
            self._tax(order, shipping, row.get("taxes"), spec.get("taxes", []))
            entries.append(sold(shipping))
        if not entries:
            raise Refused("There must be at least one change to be made.", ["id"])
        order.edited = True
        self._route(order, [line for _row, line in added])
        self._ledger(order, "ORDER_EDIT", now(), entries)
        self.changed(order, "ORDERS_EDITED")
        return order

    def _retax(self, order: Order, charged: Charged) -> None:
        rows = [
            {"title": t.title, "rate": t.rate, "channelLiable": t.channel_liable}
            for t in charged.tax_lines
        ]
        removed = [t.removed for t in charged.tax_lines]
        charged.tax_lines = []
        self._tax(order, charged, rows, rows)
        for tax_line, part in zip(charged.tax_lines, removed, strict=False):
            tax_line.removed = part

    @staticmethod
    def _as_sold(line: Line) -> tuple[Bag, list[Bag]]:
        return line.discounted, [t.price for t in line.tax_lines]

    def _since(self, line: Line, before: tuple[Bag, list[Bag]]) -> tuple[Bag, list[Bag]]:
        """What changed in the net amount of a line and in its taxes."""
        after, taxes = self._as_sold(line)
        old = before[1] or [Bag() for _tax in taxes]
        return after - before[0], [a - b for a, b in zip(taxes, old, strict=True)]

    def _add_units(self, order: Order, line: Line, quantity: int) -> Entry:
        before = self._as_sold(line)
        line.quantity += quantity
        line.current_quantity += quantity
        self._retax(order, line)
        working = line_orders(line, order.fulfillment_orders)
        if working:
            row = next(row for row in working[0].lines if row.line is line)
            row.total += quantity
            row.remaining += quantity
        else:
            self._route(order, [line], quantity)
        self._reserve(line, quantity)
        return line, "ORDER", *self._since(line, before), quantity
