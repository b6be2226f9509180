"""Webhook bodies: REST-shaped JSON, as Shopify still sends it beside its GraphQL API."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from .money import Bag, rest_amount, total
from .records import (
    Address,
    BulkOperation,
    Charged,
    Collection,
    Company,
    CompanyContact,
    CompanyLocation,
    Customer,
    Draft,
    Fulfillment,
    FulfillmentOrder,
    InventoryItem,
    Level,
    Line,
    Order,
    Product,
    Refund,
    Return,
    ReverseOrder,
    TaxLine,
    Transaction,
    Variant,
)
from .shop import Shop


def rest_set(order: Order, amount: Bag) -> dict[str, Any]:
    cur = order.currencies
    return {
        "shop_money": {"amount": rest_amount(amount.shop, cur.shop), "currency_code": cur.shop},
        "presentment_money": {
            "amount": rest_amount(amount.presentment, cur.presentment),
            "currency_code": cur.presentment,
        },
    }


def _amount(order: Order, amount: Bag) -> str:
    return rest_amount(amount.shop, order.currencies.shop)


def _address(address: Address | None) -> dict[str, Any] | None:
    if address is None:
        return None
    return {
        "first_name": address.first_name,
        "last_name": address.last_name,
        "name": address.name,
        "company": address.company,
        "address1": address.address1,
        "address2": address.address2,
        "city": address.city,
        "zip": address.zip,
        "province": address.province,
        "province_code": address.province_code,
        "country": address.country,
        "country_code": address.country_code,
        "phone": address.phone,
        "latitude": None,
        "longitude": None,
    }


def _tax(order: Order, tax: TaxLine) -> dict[str, Any]:
    return {
        "title": tax.title,
        "rate": None if tax.rate is None else float(tax.rate),
        "price": _amount(order, tax.price),
        "price_set": rest_set(order, tax.price),
        "channel_liable": tax.channel_liable,
    }


def _parts(order: Order, charged: Charged) -> dict[str, Any]:
    return {
        "tax_lines": [_tax(order, t) for t in charged.tax_lines],
        "discount_allocations": [
            {
                "amount": _amount(order, a.amount),
                "amount_set": rest_set(order, a.amount),
                "discount_application_index": a.discount.index,
            }
            for a in charged.allocations
        ],
    }


def _line(order: Order, line: Line) -> dict[str, Any]:
    done = line.fulfilled
    return {
        "id": line.id,
        "admin_graphql_api_id": line.gid,
        "name": line.name,
        "title": line.title,
        "variant_title": line.variant_title,
        "sku": line.sku,
        "vendor": line.vendor,
        "product_id": line.variant.product.id if line.variant else None,
        "variant_id": line.variant.id if line.variant else None,
        "product_exists": line.variant is not None,
        "quantity": line.quantity,
        "current_quantity": line.current_quantity,
        "fulfillable_quantity": line.unfulfilled,
        "fulfillment_status": None if not done else "partial" if line.unfulfilled else "fulfilled",
        "grams": line.grams,
        "gift_card": line.gift_card,
        "taxable": line.taxable,
        "requires_shipping": line.requires_shipping,
        "price": _amount(order, line.unit_price),
        "price_set": rest_set(order, line.unit_price),
        # Not what was allocated: use discount_allocations.
        "total_discount": "0.00",
        "total_discount_set": rest_set(order, Bag()),
        "properties": [{"name": k, "value": v} for k, v in line.attributes],
        "duties": [
            {
                "id": duty.id,
                "admin_graphql_api_id": duty.gid,
                "harmonized_system_code": duty.code,
                "country_code_of_origin": duty.country,
                **rest_set(order, duty.price),
                "tax_lines": [_tax(order, t) for t in duty.tax_lines],
            }
            for duty in line.duties
        ],
        **_parts(order, line),
    }


def _applications(order: Order) -> list[dict[str, Any]]:
    rows = []
    for discount in order.discounts:
        row: dict[str, Any] = {
            "target_type": discount.target.lower(),
            "type": "discount_code" if discount.kind == "code" else discount.kind,
            "allocation_method": "across" if discount.across else "each",
            "target_selection": "all" if discount.across else "entitled",
        }
        if discount.percentage is not None:
            row |= {"value": str(discount.percentage), "value_type": "percentage"}
        else:
            row |= {"value": _amount(order, discount.amount or Bag()), "value_type": "fixed_amount"}
        row["code" if discount.kind == "code" else "title"] = discount.title
        rows.append(row)
    return rows


def _sum_set(order: Order, amounts: list[Bag]) -> dict[str, Any] | None:
    """Null, not zero, where there is nothing of the kind."""
    return rest_set(order, total(amounts)) if amounts else None


def order_payload(shop: Shop, order: Order) -> dict[str, Any]:
    money: dict[str, Bag] = {
        "total_price": order.total,
        "current_total_price": order.current_total,
        "subtotal_price": order.subtotal,
        "current_subtotal_price": order.current_subtotal,
        "total_tax": order.tax,
        "current_total_tax": order.current_tax,
        "total_discounts": order.discount_total,
        "total_line_items_price": total(line.original_total for line in order.goods),
    }
    payload: dict[str, Any] = {
        "id": order.id,
        "admin_graphql_api_id": order.gid,
        "name": order.name,
        "number": order.number - 1000,
        "order_number": order.number,
        "email": order.email or "",
        "contact_email": order.email,
        "phone": order.phone,
        "note": order.note,
        "note_attributes": [{"name": k, "value": v} for k, v in order.attributes],
        "tags": ", ".join(order.tags),
        "po_number": order.po_number,
        "source_name": order.source_name,
        "test": order.test,
        "confirmed": True,
        "currency": order.currencies.shop,
        "presentment_currency": order.currencies.presentment,
        "taxes_included": order.taxes_included,
        "tax_exempt": order.tax_exempt,
        "financial_status": (order.financial_status or "pending").lower(),
        "fulfillment_status": {"FULFILLED": "fulfilled", "PARTIALLY_FULFILLED": "partial"}.get(
            order.fulfillment_status
        ),
        "created_at": shop.local(order.created_at),
        "updated_at": shop.local(order.updated_at),
        "processed_at": shop.local(order.processed_at),
        "cancelled_at": shop.local(order.cancelled_at) if order.cancelled_at else None,
        "cancel_reason": order.cancel_reason.lower() if order.cancel_reason else None,
        "closed_at": shop.local(order.closed_at) if order.closed_at else None,
        "customer_locale": order.locale,
        "buyer_accepts_marketing": False,
        "current_total_duties_set": _sum_set(order, [d.current for d in order.duties]),
        "original_total_duties_set": _sum_set(order, [d.discounted for d in order.duties]),
        "current_total_additional_fees_set": _sum_set(order, [f.current for f in order.fees]),
        "total_outstanding": rest_amount(
            order.outstanding.presentment, order.currencies.presentment
        ),
        "total_shipping_price_set": rest_set(order, order.shipping_total),
        "total_tip_received": _amount(order, order.tips),
        "total_weight": sum(line.grams * line.quantity for line in order.lines),
        "payment_gateway_names": list(dict.fromkeys(t.gateway for t in order.transactions)),
        "discount_codes": [
            {
                "code": d.title,
                "amount": _amount(
                    order,
                    total(
                        a.amount for c in order.charged for a in c.allocations if a.discount is d
                    ),
                ),
                "type": "percentage" if d.percentage is not None else "fixed_amount",
            }
            for d in order.discounts
            if d.kind == "code"
        ],
        "discount_applications": _applications(order),
        "tax_lines": [_tax(order, t) for t in order.summed_taxes()],
        "line_items": [_line(order, line) for line in order.lines],
        "shipping_lines": [
            {
                "id": s.id,
                "title": s.title,
                "code": s.code,
                "source": s.source,
                "price": _amount(order, s.price),
                "price_set": rest_set(order, s.price),
                "discounted_price": _amount(order, s.discounted),
                "discounted_price_set": rest_set(order, s.discounted),
                "is_removed": s.is_removed,
                **_parts(order, s),
            }
            for s in order.shipping
        ],
        "billing_address": _address(order.billing),
        "shipping_address": _address(order.shipping_address),
        "customer": customer_payload(shop, order.customer) if order.customer else None,
        "refunds": [refund_payload(shop, r) for r in order.refunds],
        "fulfillments": [fulfillment_payload(shop, f) for f in order.fulfillments],
    }
    for name, amount in money.items():
        payload[name] = _amount(order, amount)
        payload[f"{name}_set"] = rest_set(order, amount)
    return payload


def customer_payload(shop: Shop, customer: Customer) -> dict[str, Any]:
    return {
        "id": customer.id,
        "admin_graphql_api_id": customer.gid,
        "email": customer.email,
        "first_name": customer.first_name,
        "last_name": customer.last_name,
        "phone": customer.phone,
        "note": customer.note,
        "tags": ", ".join(customer.tags),
        "state": customer.state.lower(),
        "tax_exempt": customer.tax_exempt,
        "verified_email": bool(customer.email),
        "currency": shop.config.currency,
        "created_at": shop.local(customer.created_at),
        "updated_at": shop.local(customer.updated_at),
        "default_address": _address(customer.addresses[0]) if customer.addresses else None,
    }


def transaction_payload(shop: Shop, transaction: Transaction) -> dict[str, Any]:
    order, cur = transaction.order, transaction.order.currencies
    return {
        "id": transaction.id,
        "admin_graphql_api_id": transaction.gid,
        "order_id": order.id,
        "kind": transaction.kind.lower(),
        "status": transaction.status.lower(),
        "gateway": transaction.gateway,
        "amount": rest_amount(transaction.amount.presentment, cur.presentment),
        "currency": cur.presentment,
        "parent_id": transaction.parent.id if transaction.parent else None,
        "payment_id": transaction.payment_id,
        "test": order.test,
        "created_at": shop.local(transaction.created_at),
        "processed_at": shop.local(transaction.created_at),
        # This set really spells its currency differently from all others.
        "total_unsettled_set": {
            side: {"amount": "0.0", "currency": code}
            for side, code in (("presentment_money", cur.presentment), ("shop_money", cur.shop))
        },
    }


def refund_payload(shop: Shop, refund: Refund) -> dict[str, Any]:
    order = refund.order

    def number(amount: Decimal) -> float:
        return float(amount)

    return {
        "id": refund.id,
        "admin_graphql_api_id": refund.gid,
        "order_id": order.id,
        "note": refund.note,
        "created_at": shop.local(refund.created_at),
        "processed_at": shop.local(refund.created_at),
        "restock": any(row.restock_type != "NO_RESTOCK" for row in refund.lines),
        # Amounts of refund lines are numbers, not texts.
        "refund_line_items": [
            {
                "id": row.id,
                "line_item_id": row.line.id,
                "quantity": row.quantity,
                "restock_type": row.restock_type.lower(),
                "location_id": row.location.id if row.location else None,
                "subtotal": number(row.subtotal.shop),
                "subtotal_set": rest_set(order, row.subtotal),
                "total_tax": number(row.tax.shop),
                "total_tax_set": rest_set(order, row.tax),
                "line_item": _line(order, row.line),
            }
            for row in refund.lines
        ],
        "refund_shipping_lines": [
            {
                "id": row.id,
                "shipping_line_id": row.shipping.id,
                "subtotal_amount_set": rest_set(order, row.subtotal),
                "tax_amount_set": rest_set(order, row.tax),
            }
            for row in refund.shipping
        ],
        "order_adjustments": [
            {
                "id": row.id,
                "order_id": order.id,
                "refund_id": refund.id,
                "kind": "refund_discrepancy",
                "reason": row.reason.replace("_", " ").capitalize(),
                "amount": _amount(order, row.amount),
                "amount_set": rest_set(order, row.amount),
                "tax_amount": _amount(order, row.tax),
                "tax_amount_set": rest_set(order, row.tax),
            }
            for row in refund.adjustments
        ],
        "transactions": [transaction_payload(shop, t) for t in refund.transactions],
        "duties": [
            {"duty_id": row.duty.id, "amount_set": rest_set(order, row.subtotal)}
            for row in refund.duties
        ],
        "return": next(
            (
                {"id": row.id, "admin_graphql_api_id": row.gid}
                for row in order.returns
                if refund in row.refunds
            ),
            None,
        ),
    }


def fulfillment_payload(shop: Shop, fulfillment: Fulfillment) -> dict[str, Any]:
    tracking = fulfillment.tracking
    return {
        "id": fulfillment.id,
        "admin_graphql_api_id": fulfillment.gid,
        "order_id": fulfillment.order.id,
        "name": fulfillment.name,
        "status": fulfillment.status.lower(),
        "shipment_status": fulfillment.events[-1].status.lower() if fulfillment.events else None,
        "location_id": fulfillment.location.id,
        "created_at": shop.local(fulfillment.created_at),
        "updated_at": shop.local(fulfillment.updated_at),
        "tracking_company": tracking[0]["company"] if tracking else None,
        "tracking_number": tracking[0]["number"] if tracking else None,
        "tracking_numbers": [t["number"] for t in tracking],
        "tracking_url": tracking[0]["url"] if tracking else None,
        "tracking_urls": [t["url"] for t in tracking],
        "line_items": [
            {**_line(fulfillment.order, row.line), "quantity": row.quantity}
            for row in fulfillment.lines
        ],
    }


def fulfillment_order_payload(shop: Shop, order: FulfillmentOrder) -> dict[str, Any]:
    """Which order it is of is not told."""
    return {"fulfillment_order": {"id": order.gid, "status": order.status.lower()}}


def variant_payload(shop: Shop, variant: Variant) -> dict[str, Any]:
    return {
        "id": variant.id,
        "admin_graphql_api_id": variant.gid,
        "product_id": variant.product.id,
        "title": variant.title,
        "sku": variant.sku,
        "barcode": variant.barcode,
        "price": rest_amount(variant.price, shop.config.currency),
        "position": variant.position,
        "taxable": variant.taxable,
        "inventory_item_id": variant.item.id,
        "inventory_quantity": variant.available,
        "inventory_policy": variant.policy.lower(),
        "created_at": shop.local(variant.created_at),
        "updated_at": shop.local(variant.updated_at),
    }


def product_payload(shop: Shop, product: Product) -> dict[str, Any]:
    return {
        "id": product.id,
        "admin_graphql_api_id": product.gid,
        "title": product.title,
        "handle": product.handle,
        "body_html": product.description_html,
        "vendor": product.vendor,
        "product_type": product.product_type,
        "status": product.status.lower(),
        "tags": ", ".join(product.tags),
        "created_at": shop.local(product.created_at),
        "updated_at": shop.local(product.updated_at),
        "published_at": shop.local(min(product.publications.values()))
        if product.publications
        else None,
        "variants": [variant_payload(shop, v) for v in product.variants],
        "options": [
            {
                "id": option.id,
                "product_id": product.id,
                "name": option.name,
                "position": n,
                "values": [value.name for value in option.values],
            }
            for n, option in enumerate(product.options, 1)
        ],
    }


def collection_payload(shop: Shop, collection: Collection) -> dict[str, Any]:
    return {
        "id": collection.id,
        "admin_graphql_api_id": collection.gid,
        "title": collection.title,
        "handle": collection.handle,
        "body_html": collection.description_html,
        "updated_at": shop.local(collection.updated_at),
    }


def level_payload(shop: Shop, level: Level) -> dict[str, Any]:
    return {
        "inventory_item_id": level.item.id,
        "location_id": level.location.id,
        "available": level.quantity("available"),
        "updated_at": shop.local(level.updated_at),
        "admin_graphql_api_id": level.gid,
    }


def item_payload(shop: Shop, item: InventoryItem) -> dict[str, Any]:
    return {
        "id": item.id,
        "admin_graphql_api_id": item.gid,
        "sku": item.variant.sku,
        "tracked": item.tracked,
        "created_at": shop.local(item.created_at),
        "updated_at": shop.local(item.updated_at),
    }


def edit_payload(shop: Shop, order: Order) -> dict[str, Any]:
    """orders/edited carries the difference of the last edit, not the order."""
    agreement = next(a for a in reversed(order.agreements) if a.reason == "ORDER_EDIT")
    changes = [
        {"id": sale.line.id, "delta": sale.quantity or 0} for sale in agreement.sales if sale.line
    ]
    return {
        "order_edit": {
            "id": agreement.id,
            "app_id": shop.app_id,
            "order_id": order.id,
            "created_at": shop.local(agreement.happened_at),
            "committed_at": shop.local(agreement.happened_at),
            "notify_customer": False,
            "line_items": {
                "additions": [c for c in changes if c["delta"] > 0],
                "removals": [{**c, "delta": -c["delta"]} for c in changes if c["delta"] < 0],
            },
        }
    }


def return_payload(shop: Shop, row: Return) -> dict[str, Any]:
    return {
        "id": row.id,
        "admin_graphql_api_id": row.gid,
        "name": row.name,
        "status": row.status.lower(),
        "order": {"id": row.order.id, "admin_graphql_api_id": row.order.gid},
        "total_return_line_items": len(row.lines),
        "return_line_items": [
            {
                "id": line.id,
                "admin_graphql_api_id": line.gid,
                "fulfillment_line_item": {
                    "id": line.fulfillment_line.id,
                    "admin_graphql_api_id": line.fulfillment_line.gid,
                    "line_item": {
                        "id": line.line.id,
                        "admin_graphql_api_id": line.line.gid,
                    },
                },
                "quantity": line.quantity,
                "return_reason": line.reason.lower(),
                "return_reason_note": line.note,
                "customer_note": None,
            }
            for line in row.lines
        ],
    }


def reverse_order_payload(shop: Shop, row: ReverseOrder) -> dict[str, Any]:
    return {
        "id": row.id,
        "admin_graphql_api_id": row.gid,
        "status": row.status.lower(),
        "order": {"id": row.order.id, "admin_graphql_api_id": row.order.gid},
    }


def risk_payload(shop: Shop, order: Order) -> dict[str, Any]:
    """What changed about the risk of an order, not the order."""
    last = order.assessments[-1]
    return {
        "order_id": order.id,
        "admin_graphql_api_order_id": order.gid,
        "provider_id": shop.app_id if last.provider else None,
        "provider_title": last.provider or "Shopify",
        "risk_level": last.level.lower(),
        "created_at": shop.local(order.updated_at),
    }


def draft_payload(shop: Shop, draft: Draft) -> dict[str, Any]:
    return {
        "id": draft.id,
        "admin_graphql_api_id": draft.gid,
        "name": draft.name,
        "status": draft.status.lower(),
        "order_id": draft.order.id if draft.order else None,
        "created_at": shop.local(draft.created_at),
        "updated_at": shop.local(draft.updated_at),
        "completed_at": shop.local(draft.completed_at) if draft.completed_at else None,
    }


# What an app or a plan without access to personal data gets as null.
_PROTECTED = [
    "billing_address",
    "contact_email",
    "customer",
    "default_address",
    "email",
    "first_name",
    "last_name",
    "phone",
    "shipping_address",
]


def bulk_payload(shop: Shop, operation: BulkOperation) -> dict[str, Any]:
    """Body of ``bulk_operations/finish``: the only one whose status is in small letters."""
    done = operation.completed_at
    return {
        "admin_graphql_api_id": operation.gid,
        "completed_at": shop.local(done) if done else None,
        "created_at": shop.local(operation.created_at),
        "error_code": (operation.error_code or "").lower() or None,
        "status": operation.status.lower(),
        "type": operation.type.lower(),
    }


def consent_payload(shop: Shop, customer: Customer) -> dict[str, Any]:
    consent = customer.consent or {}
    at = consent.get("marketingUpdatedAt")
    return {
        "customer_id": customer.id,
        "email_address": customer.email,
        "email_marketing_consent": {
            "state": consent.get("marketingState", "NOT_SUBSCRIBED").lower(),
            "opt_in_level": (consent.get("marketingOptInLevel") or "single_opt_in").lower(),
            "consent_updated_at": shop.local(at) if at else None,
        },
    }


def sms_consent_payload(shop: Shop, customer: Customer) -> dict[str, Any]:
    consent = customer.sms_consent or {}
    at = consent.get("marketingUpdatedAt")
    return {
        "id": customer.id,
        "phone": customer.phone,
        "sms_marketing_consent": {
            "state": consent.get("marketingState", "NOT_SUBSCRIBED").lower(),
            "opt_in_level": (consent.get("marketingOptInLevel") or "single_opt_in").lower(),
            "consent_updated_at": shop.local(at) if at else None,
            "consent_collected_from": "other",
        },
    }


def company_payload(shop: Shop, company: Company) -> dict[str, Any]:
    return {
        "name": company.name,
        "note": company.note,
        "external_id": company.external_id,
        "main_contact_admin_graphql_api_id": None,
        "created_at": shop.local(company.created_at),
        "updated_at": shop.local(company.updated_at),
        "customer_since": shop.local(company.created_at),
        "admin_graphql_api_id": company.gid,
    }


def company_location_payload(shop: Shop, place: CompanyLocation) -> dict[str, Any]:
    return {
        "name": place.name,
        "external_id": place.external_id,
        "phone": place.phone,
        "created_at": shop.local(place.created_at),
        "updated_at": shop.local(place.updated_at),
        "admin_graphql_api_id": place.gid,
        "company": company_payload(shop, place.company),
    }


def company_contact_payload(shop: Shop, contact: CompanyContact) -> dict[str, Any]:
    return {
        "customer_admin_graphql_api_id": contact.customer.gid,
        "title": contact.title,
        "admin_graphql_api_id": contact.gid,
        "company": company_payload(shop, contact.company),
    }


_BY_TYPE: dict[str, Callable[[Shop, Any], dict[str, Any]]] = {
    "Order": order_payload,
    "Customer": customer_payload,
    "Company": company_payload,
    "CompanyLocation": company_location_payload,
    "CompanyContact": company_contact_payload,
    "Product": product_payload,
    "OrderTransaction": transaction_payload,
    "Refund": refund_payload,
    "Fulfillment": fulfillment_payload,
    "FulfillmentOrder": fulfillment_order_payload,
    "Collection": collection_payload,
    "Return": return_payload,
    "ReverseFulfillmentOrder": reverse_order_payload,
    "DraftOrder": draft_payload,
    "InventoryLevel": level_payload,
    "InventoryItem": item_payload,
    "BulkOperation": bulk_payload,
}


def payload(shop: Shop, topic: str, record: Any) -> dict[str, Any]:
    """Body of a notification.

    :param record: what it is about; a dict is sent as it is.
    """
    if isinstance(record, dict):
        return record
    if topic == "ORDERS_EDITED":
        return edit_payload(shop, record)
    if topic == "CUSTOMERS_EMAIL_MARKETING_CONSENT_UPDATE":
        return consent_payload(shop, record)
    if topic == "CUSTOMERS_MARKETING_CONSENT_UPDATE":
        return sms_consent_payload(shop, record)
    if topic == "ORDERS_RISK_ASSESSMENT_CHANGED":
        return risk_payload(shop, record)
    body = _BY_TYPE[record.gql_type](shop, record)
    if not shop.config.protected_data:
        body |= {key: None for key in _PROTECTED if key in body}
    return body
