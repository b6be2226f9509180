"""How an order and what happened to it are read to their end, see :mod:`.pages`.

The first page of everything comes with ``orders``; ``order_refunds`` and ``order_fulfillments`` are
read only of orders that have such.
"""

from .pages import Connection, PlainList, by_root
from .shipping import FIRST as FULFILLMENTS_FIRST
from .shipping import PAGES as FULFILLMENTS_PLAN

#: Rows that come with the order, by variable of ``orders``.
#:
#: Enough for an order that was just placed: ten of them in one call of at most 1000 points. What is
#: longer is read on by page.
FIRST = {"lines": 10, "shippingLines": 2, "transactions": 3, "agreements": 1, "sales": 10}
#: The same of ``order_refunds``.
REFUNDS_FIRST = {"refunds": 25, "lines": 20, "returns": 25}


def _by_parent(place):
    return {"id": place.parent["id"], "first": place.first, "after": place.after}


#: Of what comes with the order.
PLAN = (
    Connection("lineItems", "order_lines", "order.lineItems"),
    Connection("shippingLines", "order_shipping_lines", "order.shippingLines"),
    Connection(
        "agreements",
        "order_agreements",
        "order.agreements",
        lambda place: {**by_root(place), "sales": 20},
        page=20,
    ),
    Connection(
        "agreements.sales",
        "order_agreements",
        "order.agreements.0.sales",
        lambda place: {
            "id": place.root["id"],
            "first": 1,
            "after": place.before,
            "sales": place.first,
            "salesAfter": place.after,
        },
        by_cursor=True,
    ),
    PlainList(
        "transactions",
        "order_transactions",
        "order.transactions",
        asked=FIRST["transactions"],
        variables=lambda place: {"id": place.root["id"], "transactions": place.first},
    ),
)
#: Of ``order_refunds``.
REFUNDS_PLAN = (
    PlainList(
        "refunds",
        "order_refunds",
        "order.refunds",
        asked=REFUNDS_FIRST["refunds"],
        variables=lambda place: {
            "id": place.root["id"],
            "refunds": place.first,
            "lines": 1,
            "returns": 1,
        },
    ),
    Connection(
        "returns",
        "order_refunds",
        "order.returns",
        lambda place: {
            "id": place.root["id"],
            "refunds": 1,
            "lines": 1,
            "returns": place.first,
            "returnsAfter": place.after,
        },
    ),
    Connection(
        "refunds.refundLineItems",
        "refund_lines",
        "refund.refundLineItems",
        _by_parent,
        version=None,
    ),
    Connection(
        "refunds.refundShippingLines",
        "refund_shipping_lines",
        "refund.refundShippingLines",
        _by_parent,
        version=None,
    ),
    Connection(
        "refunds.orderAdjustments",
        "refund_adjustments",
        "refund.orderAdjustments",
        _by_parent,
        version=None,
    ),
)
__all__ = [
    "FIRST",
    "FULFILLMENTS_FIRST",
    "FULFILLMENTS_PLAN",
    "PLAN",
    "REFUNDS_FIRST",
    "REFUNDS_PLAN",
]
