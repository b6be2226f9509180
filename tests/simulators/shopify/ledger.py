"""The sales ledger and the taxes it is made of."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from .base import Base, decimal
from .money import ZERO, Bag, tax_of, total
from .records import (
    Adjustment,
    Agreement,
    Charged,
    Duty,
    Line,
    Order,
    Refund,
    Return,
    Sale,
    Shipping,
    TaxLine,
)

# A change of the ledger: what, action, signed net as stored, signed tax of each of its tax lines,
# signed units (None: all).
Entry = tuple[Charged, str, Bag, list[Bag], int | None]


def sold(charged: Charged) -> Entry:
    """All of it, as it is when it is sold."""
    return charged, "ORDER", charged.discounted, [t.price for t in charged.tax_lines], None


class Ledger(Base):
    def _ledger(
        self,
        order: Order,
        reason: str,
        moment: datetime,
        entries: Iterable[Entry],
        refund: Refund | None = None,
        return_: Return | None = None,
    ) -> Agreement:
        """Append an agreement."""
        agreement = Agreement(
            self.next_id("SalesAgreement"), order, reason, moment, refund=refund, return_=return_
        )
        for entry in entries:
            agreement.sales.append(self._sale(order, *entry))
        order.agreements.append(self.add(agreement))
        return agreement

    def _sale(
        self,
        order: Order,
        charged: Charged,
        action: str,
        amount: Bag,
        taxes: list[Bag],
        quantity: int | None,
    ) -> Sale:
        if isinstance(charged, Line):
            line_type = "TIP" if charged.tip else "GIFT_CARD" if charged.gift_card else "PRODUCT"
            quantity = charged.quantity if quantity is None else quantity
        elif isinstance(charged, Shipping):
            line_type, quantity = "SHIPPING", 1 if quantity is None else quantity
        else:
            line_type = "DUTY" if isinstance(charged, Duty) else "ADDITIONAL_FEE"
        tax = total(taxes)
        whole = charged.discounted
        share = Decimal(1) if not whole.presentment else amount.presentment / whole.presentment
        discount = charged.allocated.times(share)
        if order.taxes_included:
            rate = sum((t.rate or ZERO for t in charged.tax_lines), ZERO)
            discount = discount.times(1 / (1 + rate))
        return Sale(
            self.next_id("Sale"),
            action,
            line_type,
            amount if order.taxes_included else amount + tax,
            tax,
            discount.rounded(order.currencies),
            quantity,
            charged,
            [
                (self.next_id("SaleTax"), part, tax_line)
                for part, tax_line in zip(taxes, charged.tax_lines, strict=True)
            ],
        )

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
        if isinstance(charged, Shipping) and own is None:
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

    @staticmethod
    def _taxes_of(order: Order) -> list[dict[str, Any]]:
        line = next((ln for ln in order.lines if ln.tax_lines), None)
        return [{"title": t.title, "rate": t.rate} for t in line.tax_lines] if line else []

    def _share_of_units(
        self, order: Order, line: Line, quantity: int, taken: int = 0
    ) -> tuple[Bag, list[Bag]]:
        """Share of some units in the net amount of their line, and in each of its taxes.

        The last units take what is left, so the shares of a line always sum to the line.

        :param taken: units whose share is not to be counted among what is left.
        """
        cur = order.currencies
        rest = line.current_quantity - taken
        if quantity < rest or not rest:
            return (
                line.discounted.share(quantity, line.quantity, cur),
                [t.price.share(quantity, line.quantity, cur) for t in line.tax_lines],
            )
        gone, taxes = self._share_of_units(order, line, taken) if taken else (Bag(), [])
        gone_taxes = taxes or [Bag() for _line in line.tax_lines]
        return (
            line.current - gone,
            [t.current - g for t, g in zip(line.tax_lines, gone_taxes, strict=True)],
        )

    def _remove_units(self, order: Order, line: Line, quantity: int) -> tuple[Bag, list[Bag]]:
        """Take units off a line for good; returns their share of the net amount and the taxes."""
        amount, taxes = self._share_of_units(order, line, quantity)
        self._remove(line, amount, taxes)
        line.current_quantity -= quantity
        return amount, taxes

    @staticmethod
    def _remove(charged: Charged, amount: Bag, taxes: list[Bag]) -> None:
        charged.removed += amount
        for tax_line, part in zip(charged.tax_lines, taxes, strict=True):
            tax_line.removed += part

    def _adjust(self, agreement: Agreement, gap: Bag, reason: str) -> None:
        """Note a difference between the goods given back and the money sent back."""
        agreement.refund.adjustments.append(
            self.add(Adjustment(self.next_id("OrderAdjustment"), gap, Bag(), reason))
        )
        agreement.sales.append(
            Sale(self.next_id("Sale"), "RETURN", "ADJUSTMENT", gap, Bag(), Bag())
        )
