"""The sales ledger and the taxes it is made of."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from .base import Base, decimal
from .money import ZERO, Bag, allocate_bag, tax_of
from .records import Adjustment, Agreement, Charged, Line, Order, Refund, Sale, TaxLine

# A change of the ledger: what, action, signed net and tax as stored, signed units (None: all).
Entry = tuple[Charged, str, Bag, Bag, int | None]


class Ledger(Base):
    def _ledger(
        self,
        order: Order,
        reason: str,
        moment: datetime,
        entries: Iterable[Entry],
        refund: Refund | None = None,
    ) -> Agreement:
        """Append an agreement.

        :param entries: (line or shipping, action, signed net change as stored, signed tax change,
            signed quantity or None for the line's own).
        """
        agreement = Agreement(self.next_id("SalesAgreement"), order, reason, moment, refund=refund)
        for charged, action, amount, tax, quantity in entries:
            line = charged if isinstance(charged, Line) else None
            if line:
                line_type = "TIP" if line.tip else "GIFT_CARD" if line.gift_card else "PRODUCT"
                quantity = line.quantity if quantity is None else quantity
            else:
                line_type, quantity = "SHIPPING", 1 if quantity is None else quantity
            full = amount if order.taxes_included else amount + tax
            whole = charged.discounted
            share = Decimal(1) if not whole.presentment else amount.presentment / whole.presentment
            rate = sum((t.rate or ZERO for t in charged.tax_lines), ZERO)
            discount = charged.allocated.times(share)
            if order.taxes_included:
                discount = discount.times(1 / (1 + rate))
            sale = Sale(
                self.next_id("Sale"),
                action,
                line_type,
                full,
                tax,
                discount.rounded(order.currencies),
                quantity,
                line,
                None if line or action == "RETURN" else charged,  # type: ignore[arg-type]
            )
            parts = [t.price for t in charged.tax_lines]
            if len(parts) == 1:
                sale.taxes = [(self.next_id("SaleTax"), tax, charged.tax_lines[0])]
            elif parts:
                shop = allocate_bag(
                    Bag(abs(tax.shop), abs(tax.presentment)), parts, order.currencies
                )
                negative = tax.presentment < 0 or tax.shop < 0
                sale.taxes = [
                    (self.next_id("SaleTax"), -part if negative else part, line_tax)
                    for part, line_tax in zip(shop, charged.tax_lines, strict=True)
                ]
            agreement.sales.append(sale)
        order.agreements.append(self.add(agreement))
        return agreement

    def _tax(
        self,
        order: Order,
        charged: Charged,
        own: list[dict[str, Any]] | None,
        common: list[dict[str, Any]],
    ) -> None:
        """Write the tax lines of one line.

        A row is ``{"title", "rate"}`` with the rate as a fraction, and optionally ``amount`` when
        the stored tax is not what the rate gives (the tax service decides, not the rate).
        """
        is_line = isinstance(charged, Line)
        if is_line and (charged.tip or charged.gift_card or not charged.taxable):
            return
        rows = common if own is None else own
        if not is_line and own is None:
            rows = [row for row in common if row.get("shipping", True)]
        rates = [decimal(row.get("rate", 0) or 0, "tax rate") for row in rows]
        net = charged.discounted
        cur = order.currencies
        for row, rate in zip(rows, rates, strict=True):
            if row.get("amount") is not None:
                price = self._bag(row["amount"], cur, "tax amount")
            else:
                price = Bag(
                    tax_of(net.shop, rate, sum(rates, ZERO), order.taxes_included, cur.shop),
                    tax_of(
                        net.presentment,
                        rate,
                        sum(rates, ZERO),
                        order.taxes_included,
                        cur.presentment,
                    ),
                )
            stored = None if row.get("rate", 0) is None else rate
            charged.tax_lines.append(
                TaxLine(
                    row.get("title", "Tax"),
                    stored,
                    price,
                    channel_liable=bool(row.get("channelLiable")),
                )
            )

    def _remove_units(self, order: Order, line: Line, quantity: int) -> tuple[Bag, Bag]:
        """Take units off a line for good; returns their share of the net amount and of the tax.

        The last units take what is left, so the shares of a line always sum to the line.
        """
        last = quantity == line.current_quantity
        amount = (
            line.current
            if last
            else line.discounted.share(quantity, line.quantity, order.currencies)
        )
        tax = Bag()
        for tax_line in line.tax_lines:
            part = (
                tax_line.current
                if last
                else tax_line.price.share(quantity, line.quantity, order.currencies)
            )
            tax_line.removed += part
            tax += part
        line.removed += amount
        line.current_quantity -= quantity
        return amount, tax

    def _adjust(self, agreement: Agreement, gap: Bag, reason: str) -> None:
        agreement.refund.adjustments.append(
            self.add(Adjustment(self.next_id("OrderAdjustment"), gap, Bag(), reason))
        )
        agreement.sales.append(
            Sale(self.next_id("Sale"), "RETURN", "ADJUSTMENT", gap, Bag(), Bag())
        )
