"""Who buys on what terms, duties and fees, risk and drafts, as the API says them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphql import GraphQLResolveInfo

from .money import Bag, total
from .records import Charged, Draft, Order, PaymentTerms, now
from .resolvers import (
    Resolver,
    Taxed,
    bag,
    by_id,
    connection,
    money,
    searched,
    served,
    shop_of,
    stamp,
)


def _sums(charges: Callable[[Order], list[Any]], getter: Callable[[Charged], Bag]) -> Resolver:
    """A sum over charges of an order; null when there are none of the kind."""

    def resolve(order: Order, info: GraphQLResolveInfo) -> Any:
        rows = charges(order)
        return bag(order, total(getter(row) for row in rows)) if rows else None

    return resolve


def _app(title: str) -> dict[str, Any]:
    return {"id": f"gid://shopify/App/{sum(map(ord, title)) + 580_000}", "name": title}


def _business_entity(order: Order, info: GraphQLResolveInfo) -> dict[str, Any]:
    name = shop_of(info).config.name
    return {
        "id": "gid://shopify/BusinessEntity/1",
        "displayName": name,
        "companyName": name,
        "primary": True,
        "archived": False,
    }


def _from_dict(kind: str, *names: str) -> None:
    """A type answered from a dict that has only these of its fields."""

    def getter(name: str) -> Resolver:
        return lambda row, info: row[name]

    served(kind, **{name: getter(name) for name in names})


_from_dict("BusinessEntity", "id", "displayName", "companyName", "primary", "archived")
_from_dict(
    "PaymentSchedule",
    "id",
    "issuedAt",
    "dueAt",
    "completedAt",
    "due",
    "totalBalance",
    "balanceDue",
    "paymentTerms",
)

served(
    "Order",
    currentTotalDutiesSet=_sums(lambda o: o.duties, lambda d: d.current),
    originalTotalDutiesSet=_sums(lambda o: o.duties, lambda d: d.discounted),
    additionalFees="fees",
    currentTotalAdditionalFeesSet=_sums(lambda o: o.fees, lambda f: f.current),
    originalTotalAdditionalFeesSet=_sums(lambda o: o.fees, lambda f: f.discounted),
    totalCashRoundingAdjustment=lambda o, i: {
        "paymentSet": bag(o, o.rounding("SALE", "CAPTURE", "CHANGE")),
        "refundSet": bag(o, o.rounding("REFUND")),
    },
    paymentTerms="terms",
    purchasingEntity=lambda o, i: o.buyer or o.customer,
    retailLocation="retail_location",
    sourceIdentifier="source_identifier",
    registeredSourceUrl="source_url",
    app=lambda o, i: _app(o.app),
    attribution="attribution",
    merchantBusinessEntity=_business_entity,
    risk=lambda o, i: {
        "recommendation": o.recommendation if o.assessments else "NONE",
        "assessments": o.assessments,
    },
    localizedFields=lambda o, i, **a: connection(
        [
            {
                "key": row["key"],
                "value": row["value"],
                "title": row.get("title", row["key"].replace("_", " ").capitalize()),
                "countryCode": row.get("country", row["key"][-2:]),
                "purpose": row.get("purpose", row["key"].split("_")[0]),
            }
            for row in o.localized_fields
        ],
        **a,
    ),
)

# === DUTIES AND FEES === #

served(
    "Duty",
    id="gid",
    price=lambda d, i: bag(d.order, d.price),
    taxLines=lambda d, i: [Taxed(d.order, t) for t in d.tax_lines],
    harmonizedSystemCode="code",
    countryCodeOfOrigin="country",
)
for _kind in ("AdditionalFee", "SaleAdditionalFee"):
    served(
        _kind,
        id="gid",
        name="title",
        price=lambda f, i: bag(f.order, f.price),
        taxLines=lambda f, i: [Taxed(f.order, t) for t in f.tax_lines],
    )

# === RISK === #

served(
    "OrderRiskAssessment",
    riskLevel="level",
    facts=lambda a, i: [{"description": text, "sentiment": mood} for text, mood in a.facts],
    # Shopify's own assessment has no app behind it.
    provider=lambda a, i: shop_of(i) if a.provider else None,
)

# === BUSINESS BUYERS === #

served(
    "PurchasingCompany",
    company=lambda b, i: b.company,
    location=lambda b, i: b.location,
    contact=lambda b, i: b.contact,
)
served(
    "Company",
    id="gid",
    name="name",
    externalId="external_id",
    locations=lambda c, i, query=None, sortKey=None, **a: connection(c.locations, **a),
    createdAt="created_at",
    updatedAt="created_at",
)
served(
    "CompanyLocation",
    id="gid",
    name="name",
    externalId="external_id",
    phone="phone",
    company=lambda x, i: x.company,
    createdAt="created_at",
    updatedAt="created_at",
)
served(
    "CompanyContact",
    id="gid",
    title="title",
    company=lambda c, i: c.company,
    customer=lambda c, i: c.customer,
)


def _due(terms: PaymentTerms) -> bool:
    return bool(terms.due_at and terms.due_at <= now() and terms.order.outstanding.presentment > 0)


def _schedules(terms: PaymentTerms, info: GraphQLResolveInfo, **args: Any) -> Any:
    order = terms.order
    code = order.currencies.presentment
    left = order.current_total.presentment - order.net_payment.presentment
    row = {
        "id": terms.gid.replace("PaymentTerms", "PaymentSchedule"),
        "issuedAt": stamp(order.processed_at),
        "dueAt": stamp(terms.due_at),
        "completedAt": None if left > 0 else stamp(order.updated_at),
        "due": _due(terms),
        "totalBalance": money(order.current_total.presentment, code),
        "balanceDue": money(left, code),
        "paymentTerms": terms,
    }
    return connection([row], **args)


served(
    "PaymentTerms",
    id="gid",
    paymentTermsName="name",
    translatedName="name",
    paymentTermsType="type",
    dueInDays="days",
    due=lambda t, i: _due(t),
    overdue=lambda t, i: _due(t),
    order="order",
    paymentSchedules=_schedules,
)

# === DRAFTS === #


def _drafts(
    _root: Any,
    info: GraphQLResolveInfo,
    query: str | None = None,
    sortKey: str = "ID",
    **args: Any,
) -> Any:
    search = {"id": lambda d: d.id, "status": lambda d: d.status.lower()}
    keys = {"ID": lambda d: d.id, "UPDATED_AT": lambda d: d.updated_at}
    drafts: list[Draft] = shop_of(info).all("DraftOrder")
    return searched(drafts, search, keys, info, query=query, sortKey=sortKey, **args)


served("QueryRoot", draftOrder=by_id("DraftOrder"), draftOrders=_drafts)
served(
    "DraftOrder",
    id="gid",
    legacyResourceId=lambda d, i: str(d.id),
    name="name",
    status="status",
    order="order",
    poNumber=lambda d, i: d.spec.get("poNumber"),
    tags=lambda d, i: d.spec.get("tags", []),
    completedAt="completed_at",
    createdAt="created_at",
    updatedAt="updated_at",
)
