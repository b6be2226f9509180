"""The whole history of an order, as records of the shop: what an importer's books must tell."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from .money import Bag
from .records import Agreement, Fulfillment, Line, Order, Refund, Sale, Transaction


def books(order: Order, timezone: str) -> dict[str, Any]:
    """Return ledger, money, shipments and refunds of an order; amounts exact, as texts.

    Unlike the answers of the API it leaves nothing out and needs no second page.

    :param timezone: of the shop, in which its days begin.
    """
    cur = order.currencies
    return {
        "id": order.gid,
        "name": order.name,
        "timezone": timezone,
        "currency": cur.shop,
        "presentmentCurrency": cur.presentment,
        "taxesIncluded": order.taxes_included,
        "financialStatus": order.financial_status,
        "cancelled": bool(order.cancelled_at),
        "closed": bool(order.closed_at),
        "gateway": order.gateway,
        "sourceName": order.source_name,
        "tags": list(order.tags),
        "note": order.note,
        "createdAt": order.created_at.isoformat(),
        "processedAt": order.processed_at.isoformat(),
        "updatedAt": order.updated_at.isoformat(),
        "currentTotal": _both(order.current_total),
        "currentTax": _both(order.current_tax),
        "outstanding": _both(order.outstanding),
        "authorized": _both(order.authorized),
        "lines": [_line(line) for line in order.lines],
        "agreements": [_agreement(agreement) for agreement in order.agreements],
        "transactions": [_transaction(row) for row in order.transactions],
        "fulfillments": [_fulfillment(row) for row in order.fulfillments],
        "refunds": [_refund(row) for row in order.refunds],
    }


def _both(amount: Bag) -> dict[str, str]:
    return {"shop": _text(amount.shop), "presentment": _text(amount.presentment)}


def _text(amount: Decimal) -> str:
    return format(amount + Decimal(0), "f")


def _line(line: Line) -> dict[str, Any]:
    return {
        "id": line.gid,
        "sku": line.sku,
        "kind": "tip" if line.tip else "gift_card" if line.gift_card else "product",
        "quantity": line.quantity,
        "currentQuantity": line.current_quantity,
        "unfulfilled": line.unfulfilled,
        "current": _both(line.current),
        "currentTax": _both(line.current_tax),
    }


def _agreement(agreement: Agreement) -> dict[str, Any]:
    return {
        "id": agreement.gid,
        "reason": agreement.reason,
        "happenedAt": agreement.happened_at.isoformat(),
        "refund": agreement.refund.gid if agreement.refund else None,
        "sales": [_sale(sale) for sale in agreement.sales],
    }


def _sale(sale: Sale) -> dict[str, Any]:
    return {
        "id": sale.gid,
        "action": sale.action,
        "type": sale.line_type,
        "line": sale.line.gid if sale.line else None,
        "quantity": sale.quantity,
        "total": _both(sale.amount),
        "tax": _both(sale.tax),
        "taxes": [
            {
                "title": tax.title,
                "rate": None if tax.rate is None else _text(tax.rate),
                **_both(amount),
            }
            for _id, amount, tax in sale.taxes
        ],
    }


def _transaction(row: Transaction) -> dict[str, Any]:
    return {
        "id": row.gid,
        "kind": row.kind,
        "status": row.status,
        "gateway": row.gateway,
        "paymentId": row.payment_id,
        "parent": row.parent.gid if row.parent else None,
        "createdAt": row.created_at.isoformat(),
        "amount": _both(row.amount),
    }


def _fulfillment(row: Fulfillment) -> dict[str, Any]:
    return {
        "id": row.gid,
        "name": row.name,
        "status": row.status,
        "createdAt": row.created_at.isoformat(),
        "tracking": list(row.tracking),
        "lines": [{"line": part.line.gid, "quantity": part.quantity} for part in row.lines],
    }


def _refund(row: Refund) -> dict[str, Any]:
    return {
        "id": row.gid,
        "createdAt": row.created_at.isoformat(),
        "lines": [
            {"line": part.line.gid, "quantity": part.quantity, "restock": part.restock_type}
            for part in row.lines
        ],
        "adjustments": [{"reason": part.reason, **_both(part.amount)} for part in row.adjustments],
        "transactions": [part.gid for part in row.transactions],
    }
