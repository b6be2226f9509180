"""What really happened to an order: what a checker compares somebody's books with.

Every amount is ``{"shop": "1.00", "presentment": "1.00"}``, signed as the shop signs it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from .money import Bag, rest_amount, total
from .records import Agreement, Charged, Line, Order, Refund, Return, Sale, Transaction

Both = Callable[[Bag], dict[str, str]]


def both_of(order: Order) -> Both:
    """Writes a pair of amounts of this order."""
    cur = order.currencies

    def both(amount: Bag) -> dict[str, str]:
        return {
            "shop": rest_amount(amount.shop, cur.shop),
            "presentment": rest_amount(amount.presentment, cur.presentment),
        }

    return both


def brief(order: Order) -> dict[str, Any]:
    """State, totals and lines."""
    both = both_of(order)
    return {
        "id": order.gid,
        "name": order.name,
        "currency": order.currencies.shop,
        "presentmentCurrency": order.currencies.presentment,
        "taxesIncluded": order.taxes_included,
        "total": both(order.total),
        "tax": both(order.tax),
        "untaxed": both(order.total - order.tax),
        "currentTotal": both(order.current_total),
        "currentTax": both(order.current_tax),
        "currentUntaxed": both(order.current_total - order.current_tax),
        "shipping": both(order.shipping_total),
        "discounts": both(order.discount_total),
        "tips": both(order.tips),
        "received": both(order.received),
        "refunded": both(order.refunded),
        "netPayment": both(order.net_payment),
        "authorized": both(order.authorized),
        "outstanding": both(order.outstanding),
        "adjusted": both(order.adjusted),
        "rounding": both(order.rounding("SALE", "CAPTURE", "CHANGE", "REFUND")),
        "financialStatus": order.financial_status,
        "fulfillmentStatus": order.fulfillment_status,
        "returnStatus": order.return_status,
        "cancelled": bool(order.cancelled_at),
        "closed": bool(order.closed_at),
        "customer": order.customer.gid if order.customer else None,
        "company": order.buyer.company.name if order.buyer else None,
        "email": order.email,
        "country": order.billing.country_code if order.billing else None,
        "note": order.note,
        "tags": order.tags,
        "createdAt": order.created_at.isoformat(),
        "updatedAt": order.updated_at.isoformat(),
        "corrupt": bool(order.corrupt),
        "lines": [_line(order, line) for line in order.lines],
    }


def truth(order: Order) -> dict[str, Any]:
    """Everything of an order: :func:`brief`, and every record of it."""
    return {
        **brief(order),
        "shippingLines": [
            {"id": row.gid, "title": row.title, **_charged(order, row)} for row in order.shipping
        ],
        "duties": [
            {"id": row.gid, "line": row.line.gid, **_charged(order, row)} for row in order.duties
        ],
        "fees": [{"id": row.gid, "title": row.title, **_charged(order, row)} for row in order.fees],
        "agreements": [_agreement(order, row) for row in order.agreements],
        "ledger": _ledger(order),
        "transactions": [_transaction(order, row) for row in order.transactions],
        "refunds": [_refund(order, row) for row in order.refunds],
        "returns": [_return(row) for row in order.returns],
        "fulfillments": [
            {
                "id": row.gid,
                "name": row.name,
                "status": row.status,
                "displayStatus": row.display_status,
                "location": row.location.gid,
                "notified": row.notified,
                "tracking": row.tracking,
                "lines": _units((part.line, part.quantity) for part in row.lines),
            }
            for row in order.fulfillments
        ],
        "fulfillmentOrders": [
            {
                "id": row.gid,
                "status": row.status,
                "location": row.location.gid,
                "holds": [hold.reason for hold in row.holds],
                "lines": [
                    {"line": part.line.gid, "total": part.total, "remaining": part.remaining}
                    for part in row.lines
                ],
            }
            for row in order.fulfillment_orders
        ],
        "shippedUnits": _units((line, line.fulfilled) for line in order.goods),
        "unitsToShip": _units((line, line.unfulfilled) for line in order.goods),
        "returnedUnits": _units((line, line.returned) for line in order.goods),
        "effects": _effects(order),
    }


def _units(rows: Iterable[tuple[Line, int]]) -> list[dict[str, Any]]:
    """Lines with their number of units, none of nothing."""
    return [{"line": line.gid, "quantity": units} for line, units in rows if units]


def _charged(order: Order, charged: Charged) -> dict[str, Any]:
    """Money of a line, of shipping, of a duty: as sold, and what is left of it."""
    both = both_of(order)
    current = charged.current
    return {
        "total": both(charged.discounted),
        "tax": both(charged.tax),
        "discount": both(charged.allocated),
        "currentTotal": both(current if order.taxes_included else current + charged.current_tax),
        "currentUntaxed": both(current - charged.current_tax if order.taxes_included else current),
        "currentTax": both(charged.current_tax),
        "taxLines": [
            {
                "title": t.title,
                "rate": t.rate,
                "channelLiable": t.channel_liable,
                **both(t.price),
                "current": both(t.current),
            }
            for t in charged.tax_lines
        ],
    }


def _line(order: Order, line: Line) -> dict[str, Any]:
    return {
        "id": line.gid,
        "sku": line.sku,
        "title": line.name,
        "quantity": line.quantity,
        "currentQuantity": line.current_quantity,
        "fulfilled": line.fulfilled,
        "returned": line.returned,
        "toShip": line.unfulfilled,
        "giftCard": line.gift_card,
        "tip": line.tip,
        "unitPrice": both_of(order)(line.unit_price),
        **_charged(order, line),
    }


def _agreement(order: Order, agreement: Agreement) -> dict[str, Any]:
    both = both_of(order)
    return {
        "id": agreement.gid,
        "reason": agreement.reason,
        "happenedAt": agreement.happened_at.isoformat(),
        # The refund of a return has no agreement of its own: this one is of the return.
        "refund": agreement.refund.gid if agreement.refund and not agreement.return_ else None,
        "return": agreement.return_.gid if agreement.return_ else None,
        "total": both(total(sale.amount for sale in agreement.sales)),
        "tax": both(total(sale.tax for sale in agreement.sales)),
        "sales": [
            {
                "id": sale.gid,
                "action": sale.action,
                "type": sale.line_type,
                "of": sale.of.gid if sale.of else None,
                "quantity": sale.quantity,
                "total": both(sale.amount),
                "tax": both(sale.tax),
                "taxes": [
                    {"title": t.title, "rate": t.rate, **both(amount)}
                    for _id, amount, t in sale.taxes
                ],
            }
            for sale in agreement.sales
        ],
    }


def _ledger(order: Order) -> dict[str, Any]:
    """Sums of the whole ledger: all, without adjustments, tax, and by what was sold."""
    both = both_of(order)
    sales = [sale for agreement in order.agreements for sale in agreement.sales]
    types = dict.fromkeys(sale.line_type for sale in sales)

    def amount(keep: Callable[[Sale], bool]) -> dict[str, str]:
        return both(total(sale.amount for sale in sales if keep(sale)))

    return {
        "total": amount(lambda sale: True),
        "withoutAdjustments": amount(lambda sale: sale.line_type != "ADJUSTMENT"),
        "tax": both(total(sale.tax for sale in sales)),
        "byType": {name: amount(lambda sale, name=name: sale.line_type == name) for name in types},
    }


def _transaction(order: Order, transaction: Transaction) -> dict[str, Any]:
    both = both_of(order)
    return {
        "id": transaction.gid,
        "kind": transaction.kind,
        "status": transaction.status,
        "gateway": transaction.gateway,
        "amount": both(transaction.amount),
        "rounding": both(transaction.rounding or Bag()),
        "parent": transaction.parent.gid if transaction.parent else None,
        "createdAt": transaction.created_at.isoformat(),
    }


def _refund(order: Order, refund: Refund) -> dict[str, Any]:
    both = both_of(order)
    waiting = (t.amount for t in refund.transactions if t.status == "PENDING")
    return {
        "id": refund.gid,
        "note": refund.note,
        "createdAt": refund.created_at.isoformat(),
        "return": next((r.gid for r in order.returns if refund in r.refunds), None),
        "refunded": both(refund.refunded),
        "pending": both(total(waiting)),
        "transactions": [t.gid for t in refund.transactions],
        "lines": [
            {
                "line": row.line.gid,
                "quantity": row.quantity,
                "restock": row.restock_type,
                "location": row.location.gid if row.location else None,
                "subtotal": both(row.subtotal),
                "tax": both(row.tax),
            }
            for row in refund.lines
        ],
        "shipping": [
            {"shippingLine": s.shipping.gid, "subtotal": both(s.subtotal), "tax": both(s.tax)}
            for s in refund.shipping
        ],
        "duties": [
            {"duty": d.duty.gid, "subtotal": both(d.subtotal), "tax": both(d.tax)}
            for d in refund.duties
        ],
        "adjustments": [
            {"amount": both(a.amount), "tax": both(a.tax), "reason": a.reason}
            for a in refund.adjustments
        ],
    }


def _return(row: Return) -> dict[str, Any]:
    return {
        "id": row.gid,
        "name": row.name,
        "status": row.status,
        "lines": [
            {"line": part.line.gid, "quantity": part.quantity, "processed": part.processed}
            for part in row.lines
        ],
        "exchange": [
            {"line": part.line.gid if part.line else None, "quantity": part.quantity}
            for part in row.exchanges
        ],
        "refunds": [refund.gid for refund in row.refunds],
    }


def _effects(order: Order) -> dict[str, int]:
    """How often what cannot be undone was done to this order."""
    kinds = Counter(t.kind for t in order.transactions if t.status in ("SUCCESS", "PENDING"))
    return {
        "payments": kinds["SALE"],
        "captures": kinds["CAPTURE"],
        "voids": kinds["VOID"],
        "refunds": len(order.refunds),
        "moneyRefunds": kinds["REFUND"],
        "cancellations": int(bool(order.cancelled_at)),
        "fulfillments": len(order.fulfillments),
        "fulfillmentCancellations": sum(f.status == "CANCELLED" for f in order.fulfillments),
        "returns": sum(agreement.reason == "RETURN" for agreement in order.agreements),
    }
