"""What several tests of the shop need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..money import Bag, total
from ..records import Order
from ..shop import Shop

# Runs a document against the shop and returns the decoded body.
Run = Callable[..., dict[str, Any]]


def cad(amount: Bag) -> str:
    assert amount.shop == amount.presentment
    return f"{amount.shop:.2f}"


def place(shop: Shop, *lines: dict[str, Any], **spec: Any) -> Order:
    rows = [{"title": f"Article {n}", **line} for n, line in enumerate(lines)]
    return shop.place_order({"lines": rows, **spec})


def ledger(order: Order, *, adjustments: bool = True) -> Bag:
    return total(
        sale.amount
        for agreement in order.agreements
        for sale in agreement.sales
        if adjustments or sale.line_type != "ADJUSTMENT"
    )
