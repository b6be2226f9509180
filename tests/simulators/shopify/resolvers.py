"""What every served field answers, from the records of the shop."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from graphql import GraphQLError, GraphQLResolveInfo

from .money import Bag, api_amount, round_money, total
from .records import (
    Charged,
    Level,
    Line,
    Order,
    TaxLine,
)
from .search import Search
from .shop import Shop

Resolver = Callable[..., Any]

# type name -> field name -> function(record, info, **arguments)
FIELDS: dict[str, dict[str, Resolver]] = {}

MAX_PAGE = 250

#: Whether connections are read to their end, as bulk operations do.
WHOLE_CONNECTIONS: ContextVar[bool] = ContextVar("whole_connections", default=False)


def served(kind: str, /, **fields: Resolver | str) -> None:
    """Declare fields of a type; a text names the attribute of the record."""
    table = FIELDS.setdefault(kind, {})
    for name, resolver in fields.items():
        table[name] = _attribute(resolver) if isinstance(resolver, str) else resolver


def _attribute(name: str) -> Resolver:
    return lambda record, info: plain(getattr(record, name))


def plain(value: Any) -> Any:
    """A Python value as the API writes it."""
    if isinstance(value, datetime):
        return stamp(value)
    if isinstance(value, Decimal):
        return api_amount(value)
    return value


def stamp(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def shop_of(info: GraphQLResolveInfo) -> Shop:
    return info.context.shop


def money(amount: Decimal, currency: str) -> dict[str, Any]:
    return {"amount": api_amount(amount), "currencyCode": currency}


def bag(order: Order, amount: Bag) -> dict[str, Any]:
    cur = order.currencies
    return {
        "shopMoney": money(amount.shop, cur.shop),
        "presentmentMoney": money(amount.presentment, cur.presentment),
    }


def gql_error(message: str, code: str, **extensions: Any) -> GraphQLError:
    return GraphQLError(message, extensions={"code": code, **extensions})


# === CONNECTIONS === #


def _identity(record: Any) -> Any:
    if isinstance(record, dict):
        return record.get("id") or record["key"]
    return getattr(record, "id", record)


def cursor(record: Any, value: Any = None) -> str:
    identity = _identity(record)
    last = stamp(value) if isinstance(value, datetime) else value
    text = json.dumps({"last_id": identity, "last_value": last if last is not None else identity})
    return base64.b64encode(text.encode()).decode()


def _cursor_key(text: str, argument: str) -> tuple[Any, Any]:
    try:
        data = json.loads(base64.b64decode(text, validate=True))
        return data["last_value"], data["last_id"]
    except (ValueError, KeyError, TypeError) as error:
        raise gql_error("Invalid cursor for current pagination sort.", "INVALID_CURSOR") from error


def connection(
    records: Sequence[Any],
    *,
    first: int | None = None,
    last: int | None = None,
    after: str | None = None,
    before: str | None = None,
    reverse: bool = False,
    key: Callable[[Any], Any] | None = None,
    edge_extra: Callable[[Any], dict[str, Any]] | None = None,
    **_ignored: Any,
) -> dict[str, Any]:
    """A page of records.

    :param key: sort value of a record; without it the given order is the order, and the cursor
        marks a record by its identifier.
    """
    if WHOLE_CONNECTIONS.get():
        first, last = len(records), None
    elif first is None and last is None:
        raise gql_error("you must provide one of first or last", "BAD_REQUEST")
    for name, value in (("first", first), ("last", last)):
        if value is not None and value > MAX_PAGE and not WHOLE_CONNECTIONS.get():
            raise gql_error(
                f"{name} cannot exceed {MAX_PAGE}", "MAX_INPUT_SIZE_EXCEEDED", maxInputSize=MAX_PAGE
            )
        if value is not None and value < 0:
            raise gql_error(f"{name} cannot be negative", "BAD_REQUEST")
    rows = list(records)
    if key is not None:
        rows.sort(key=lambda r: (_comparable(key(r)), r.id), reverse=reverse)
    elif reverse:
        rows.reverse()
    start, end = 0, len(rows)
    if after:
        start = _position(rows, after, key, reverse, after=True)
    if before:
        end = max(_position(rows, before, key, reverse, after=False), start)
    window = rows[start:end]
    if first is not None:
        page = window[:first]
        more, less = len(window) > first, start > 0
    else:
        page = window[-last:] if last else []
        more, less = end < len(rows), len(window) > (last or 0)
    edges = []
    for row in page:
        value = key(row) if key else None
        edges.append(
            {"cursor": cursor(row, value), "node": row, **(edge_extra(row) if edge_extra else {})}
        )
    return {
        "edges": edges,
        "nodes": page,
        "pageInfo": {
            "hasNextPage": more,
            "hasPreviousPage": less,
            "startCursor": edges[0]["cursor"] if edges else None,
            "endCursor": edges[-1]["cursor"] if edges else None,
        },
    }


def _comparable(value: Any) -> Any:
    if isinstance(value, datetime):
        return stamp(value)
    return "" if value is None else value


def _position(rows: list[Any], text: str, key: Any, reverse: bool, *, after: bool) -> int:
    value, identity = _cursor_key(text, "after")
    if key is None:
        for index, row in enumerate(rows):
            if _identity(row) == identity:
                return index + 1 if after else index
        return len(rows)
    mark = (value, identity)
    for index, row in enumerate(rows):
        here = (_comparable(key(row)), row.id)
        passed = here < mark if reverse else here > mark
        if passed or (not after and here == mark):
            return index
    return len(rows)


def listed(attribute: str) -> Resolver:
    """Connection over a list attribute of the record."""
    return lambda record, info, **args: connection(getattr(record, attribute), **args)


def first_of(attribute: str) -> Resolver:
    """Plain list with an optional ``first``."""

    def resolve(
        record: Any, info: GraphQLResolveInfo, first: int | None = None, **_args: Any
    ) -> Any:
        rows = list(getattr(record, attribute))
        return rows if first is None else rows[:first]

    return resolve


def searched(
    records: Sequence[Any],
    fields: dict[str, Callable[[Any], Any]],
    keys: dict[str, Callable[[Any], Any]],
    info: GraphQLResolveInfo,
    query: str | None = None,
    sortKey: str = "ID",
    **args: Any,
) -> dict[str, Any]:
    search = Search(query, fields, shop_of(info).config.timezone)
    if search.unknown:
        info.context.warn_search(info, query, search.unknown)
    if sortKey not in keys:
        raise gql_error(f"This simulator does not sort by {sortKey}.", "NOT_SIMULATED")
    return connection(search.filter(records), key=keys[sortKey], **args)


def count_of(records: Sequence[Any]) -> dict[str, Any]:
    return {"count": len(records), "precision": "EXACT"}


# === ROOT === #

_ORDER_SEARCH: dict[str, Callable[[Any], Any]] = {
    "id": lambda o: o.id,
    "name": lambda o: o.name,
    "email": lambda o: o.email,
    "created_at": lambda o: o.indexed["created_at"],
    "updated_at": lambda o: o.indexed["updated_at"],
    "processed_at": lambda o: o.indexed["processed_at"],
    "status": lambda o: ["any", *_order_states(o)],
    "financial_status": lambda o: ["any", (o.financial_status or "pending").lower()],
    "fulfillment_status": lambda o: ["any", _fulfillment_search(o)],
    "customer_id": lambda o: o.customer.id if o.customer else None,
    "tag": lambda o: o.tags,
    "sku": lambda o: [line.sku for line in o.lines],
    "test": lambda o: o.test,
    "source_name": lambda o: o.source_name,
    "po_number": lambda o: o.po_number,
}


def _order_states(order: Order) -> list[str]:
    if order.cancelled_at:
        return ["cancelled", "closed"]
    return ["closed"] if order.closed_at else ["open", "not_closed"]


def _fulfillment_search(order: Order) -> str:
    status = order.fulfillment_status
    return {"FULFILLED": "shipped", "PARTIALLY_FULFILLED": "partial"}.get(status, "unshipped")


_ORDER_KEYS = {
    "ID": lambda o: o.id,
    "CREATED_AT": lambda o: o.indexed["created_at"],
    "UPDATED_AT": lambda o: o.indexed["updated_at"],
    "PROCESSED_AT": lambda o: o.indexed["processed_at"],
    "ORDER_NUMBER": lambda o: o.number,
}


def _orders(
    _root: Any, info: GraphQLResolveInfo, sortKey: str = "PROCESSED_AT", **args: Any
) -> Any:
    orders = shop_of(info).searchable_orders()
    return searched(orders, _ORDER_SEARCH, _ORDER_KEYS, info, sortKey=sortKey, **args)


_CUSTOMER_SEARCH = {
    "id": lambda c: c.id,
    "email": lambda c: c.email,
    "phone": lambda c: c.phone,
    "first_name": lambda c: c.first_name,
    "last_name": lambda c: c.last_name,
    "created_at": lambda c: c.created_at,
    "updated_at": lambda c: c.updated_at,
    "tag": lambda c: c.tags,
}
_DATED_KEYS = {
    "ID": lambda r: r.id,
    "CREATED_AT": lambda r: r.created_at,
    "UPDATED_AT": lambda r: r.updated_at,
}


def by_id(*kinds: str) -> Resolver:
    def resolve(_root: Any, info: GraphQLResolveInfo, id: str | None = None) -> Any:
        if id is None:
            return shop_of(info).default_location
        return find(info, id, *kinds)

    return resolve


def find(info: GraphQLResolveInfo, gid: str, *kinds: str) -> Any:
    """Record of an id; None when there is none of these kinds, an error when it is no id."""
    try:
        record = shop_of(info).find(gid)
    except ValueError as error:
        raise gql_error(str(error), "RESOURCE_NOT_FOUND") from error
    if record is not None and kinds and record.gql_type not in kinds:
        raise gql_error("invalid id", "RESOURCE_NOT_FOUND")
    return record


def _nodes(_root: Any, info: GraphQLResolveInfo, ids: list[str]) -> list[Any]:
    if len(ids) > MAX_PAGE:
        raise gql_error(
            f"The input array size of {len(ids)} is greater than the maximum allowed of "
            f"{MAX_PAGE}.",
            "MAX_INPUT_SIZE_EXCEEDED",
        )
    return [find(info, gid) for gid in ids]


def _order_by_identifier(_root: Any, info: GraphQLResolveInfo, identifier: dict[str, Any]) -> Any:
    return find(info, identifier["id"], "Order") if identifier.get("id") else None


def _customer_by_identifier(
    _root: Any, info: GraphQLResolveInfo, identifier: dict[str, Any]
) -> Any:
    if identifier.get("id"):
        return find(info, identifier["id"], "Customer")
    for customer in shop_of(info).all("Customer"):
        for key, value in (
            ("emailAddress", customer.email),
            ("phoneNumber", customer.phone),
        ):
            if identifier.get(key) and value and identifier[key].lower() == value.lower():
                return customer
    return None


def _locations(
    _root: Any, info: GraphQLResolveInfo, includeInactive: bool = False, **args: Any
) -> Any:
    rows = [loc for loc in shop_of(info).all("Location") if loc.active or includeInactive]
    args.pop("query", None)
    args.pop("sortKey", None)
    return connection(rows, key=lambda loc: loc.name, **args)


def _subscriptions(
    _root: Any,
    info: GraphQLResolveInfo,
    topics: list[str] | None = None,
    uri: str | None = None,
    callbackUrl: str | None = None,
    format: str | None = None,
    sortKey: str = "CREATED_AT",
    query: str | None = None,
    **args: Any,
) -> Any:
    wanted = uri or callbackUrl
    rows = [
        s
        for s in shop_of(info).all("WebhookSubscription")
        if (not topics or s.topic in topics) and (not wanted or s.uri == wanted)
    ]
    return connection(rows, **args)


served(
    "QueryRoot",
    shop=lambda _r, info: shop_of(info),
    currentAppInstallation=lambda _r, info: info.context,
    appInstallation=lambda _r, info, id=None: info.context,
    publicApiVersions=lambda _r, info: [
        {"handle": v, "displayName": v, "supported": True} for v in shop_of(info).config.versions
    ],
    orders=_orders,
    ordersCount=lambda _r, info, query=None, **_a: count_of(
        Search(query, _ORDER_SEARCH, shop_of(info).config.timezone).filter(
            shop_of(info).searchable_orders()
        )
    ),
    order=by_id("Order"),
    orderByIdentifier=_order_by_identifier,
    node=by_id(),
    nodes=_nodes,
    customers=lambda _r, info, **a: searched(
        shop_of(info).all("Customer"), _CUSTOMER_SEARCH, _DATED_KEYS, info, **a
    ),
    customer=by_id("Customer"),
    customerByIdentifier=_customer_by_identifier,
    locations=_locations,
    location=by_id("Location"),
    inventoryItem=by_id("InventoryItem"),
    inventoryItems=lambda _r, info, **a: searched(
        shop_of(info).all("InventoryItem"),
        {
            "id": lambda i: i.id,
            "sku": lambda i: i.variant.sku,
            "updated_at": lambda i: i.updated_at,
        },
        {"ID": lambda i: i.id},
        info,
        **a,
    ),
    inventoryLevel=by_id("InventoryLevel"),
    refund=by_id("Refund"),
    job=lambda _r, info, id: {"id": id, "done": True},
    webhookSubscriptions=_subscriptions,
    webhookSubscription=by_id("WebhookSubscription"),
    webhookSubscriptionsCount=lambda _r, info, **_a: count_of(
        shop_of(info).all("WebhookSubscription")
    ),
)

served("Job", id=lambda j, i: j["id"], done=lambda j, i: j["done"])


# === SHOP AND APP === #


def _offset(shop: Shop) -> str:
    return datetime.now(UTC).astimezone(Search("", {}, shop.config.timezone).zone).strftime("%z")


served(
    "Shop",
    id=lambda s, i: f"gid://shopify/Shop/{s.shop_id}",
    name=lambda s, i: s.config.name,
    email=lambda s, i: "owner@example.com",
    contactEmail=lambda s, i: "hello@example.com",
    shopOwnerName=lambda s, i: "Demo Owner",
    description=lambda s, i: None,
    myshopifyDomain=lambda s, i: s.config.domain,
    url=lambda s, i: f"https://{s.config.domain}",
    primaryDomain=lambda s, i: {
        "id": "gid://shopify/Domain/1",
        "host": s.config.domain,
        "url": f"https://{s.config.domain}",
        "sslEnabled": True,
    },
    currencyCode=lambda s, i: s.config.currency,
    enabledPresentmentCurrencies=lambda s, i: sorted({s.config.currency, *s.config.rates}),
    taxesIncluded=lambda s, i: s.config.taxes_included,
    taxShipping=lambda s, i: True,
    ianaTimezone=lambda s, i: s.config.timezone,
    timezoneAbbreviation=lambda s, i: datetime.now(Search("", {}, s.config.timezone).zone).tzname(),
    timezoneOffset=lambda s, i: _offset(s),
    weightUnit=lambda s, i: "KILOGRAMS",
    unitSystem=lambda s, i: "METRIC_SYSTEM",
    orderNumberFormatPrefix=lambda s, i: "#",
    orderNumberFormatSuffix=lambda s, i: "",
    createdAt=lambda s, i: "2024-01-15T09:00:00Z",
    updatedAt=lambda s, i: "2026-10-01T09:00:00Z",
    plan=lambda s, i: {
        "publicDisplayName": "Basic",
        "partnerDevelopment": False,
        "shopifyPlus": False,
    },
    shopAddress=lambda s, i: {
        "id": "gid://shopify/ShopAddress/1",
        "address1": "Lagerstr. 1",
        "city": "Hamburg",
        "zip": "20095",
        "country": "Germany",
        "countryCodeV2": s.config.country,
    },
)
served(
    "AppInstallation",
    id=lambda c, i: f"gid://shopify/AppInstallation/{c.shop.app_id}",
    accessScopes=lambda c, i: [{"handle": s, "description": s.replace("_", " ")} for s in c.scopes],
    app=lambda c, i: c.shop,
    launchUrl=lambda c, i: f"https://{c.shop.config.domain}/admin/apps",
    uninstallUrl=lambda c, i: None,
)
served(
    "App",
    id=lambda s, i: f"gid://shopify/App/{s.app_id}",
    apiKey=lambda s, i: s.config.client_id,
    title=lambda s, i: "Integration",
    handle=lambda s, i: "integration",
    embedded=lambda s, i: False,
    webhookApiVersion=lambda s, i: s.config.webhook_version,
)

# === ORDER === #


def _order_bag(getter: Callable[[Order], Bag]) -> Resolver:
    return lambda order, info, **_args: bag(order, getter(order))


def _bags(kind: str, /, **getters: Callable[[Order], Bag]) -> None:
    """Fields of type MoneyBag of an order."""
    served(kind, **{name: _order_bag(getter) for name, getter in getters.items()})


def _across(order: Order) -> Bag:
    return total(a.amount for c in order.lines for a in c.allocations if a.discount.across)


def _current_discount(charged: Charged, order: Order) -> Bag:
    if isinstance(charged, Line):
        return charged.allocated.share(charged.current_quantity, charged.quantity, order.currencies)
    return charged.allocated if charged.current or not charged.discounted else Bag()


_bags(
    "Order",
    totalPriceSet=lambda o: o.total,
    originalTotalPriceSet=lambda o: o.original_total,
    currentTotalPriceSet=lambda o: o.current_total,
    subtotalPriceSet=lambda o: o.subtotal,
    currentSubtotalPriceSet=lambda o: o.current_subtotal,
    totalTaxSet=lambda o: o.tax,
    currentTotalTaxSet=lambda o: o.current_tax,
    totalDiscountsSet=lambda o: o.discount_total,
    currentTotalDiscountsSet=lambda o: total(_current_discount(c, o) for c in o.charged),
    cartDiscountAmountSet=_across,
    currentCartDiscountAmountSet=lambda o: total(
        a.amount.share(ln.current_quantity, ln.quantity, o.currencies)
        for ln in o.lines
        for a in ln.allocations
        if a.discount.across
    ),
    totalShippingPriceSet=lambda o: o.shipping_total,
    currentShippingPriceSet=lambda o: total(s.current for s in o.shipping),
    totalReceivedSet=lambda o: o.received,
    totalRefundedSet=lambda o: o.refunded,
    totalOutstandingSet=lambda o: o.outstanding,
    totalCapturableSet=lambda o: o.authorized,
    netPaymentSet=lambda o: o.net_payment,
    totalTipReceivedSet=lambda o: o.tips,
    refundDiscrepancySet=lambda o: o.adjusted,
    totalRefundedShippingSet=lambda o: total(
        s.subtotal if o.taxes_included else s.subtotal + s.tax
        for r in o.refunds
        for s in r.shipping
    ),
)


def _padded(getter: Callable[[Order], Bag]) -> Resolver:
    """The deprecated scalars are padded to the currency, unlike the money sets."""
    return lambda o, i: format(round_money(getter(o).shop, o.currencies.shop), "f")


served(
    "Order",
    totalPrice=_padded(lambda o: o.total),
    subtotalPrice=_padded(lambda o: o.subtotal),
    totalTax=_padded(lambda o: o.tax),
    totalDiscounts=_padded(lambda o: o.discount_total),
    totalShippingPrice=_padded(lambda o: o.shipping_total),
    totalReceived=_padded(lambda o: o.received),
    totalRefunded=_padded(lambda o: o.refunded),
    totalCapturable=_padded(lambda o: o.authorized),
    netPayment=_padded(lambda o: o.net_payment),
)


def _shipping_lines(
    order: Order, info: GraphQLResolveInfo, includeRemovals: bool = False, **args: Any
) -> Any:
    rows = [s for s in order.shipping if includeRemovals or not s.is_removed]
    return connection(rows, **args)


def _addresses_match(order: Order) -> bool:
    if not order.billing or not order.shipping_address:
        return order.billing is order.shipping_address
    return order.billing.lines == order.shipping_address.lines


served(
    "Order",
    id="gid",
    legacyResourceId=lambda o, i: str(o.id),
    name="name",
    number="number",
    confirmationNumber=lambda o, i: f"XC{o.id % 10**7:07d}",
    confirmed=lambda o, i: True,
    createdAt="created_at",
    updatedAt="updated_at",
    processedAt="processed_at",
    cancelledAt="cancelled_at",
    cancelReason="cancel_reason",
    cancellation=lambda o, i: {"staffNote": o.staff_note} if o.cancelled_at else None,
    closed=lambda o, i: bool(o.closed_at),
    closedAt="closed_at",
    currencyCode=lambda o, i: o.currencies.shop,
    presentmentCurrencyCode=lambda o, i: o.currencies.presentment,
    customer="customer",
    email="email",
    phone="phone",
    customerLocale="locale",
    customerAcceptsMarketing=lambda o, i: False,
    billingAddress="billing",
    shippingAddress="shipping_address",
    displayAddress=lambda o, i: o.shipping_address or o.billing,
    billingAddressMatchesShippingAddress=lambda o, i: _addresses_match(o),
    customAttributes=lambda o, i: [{"key": k, "value": v} for k, v in o.attributes],
    discountApplications=lambda o, i, **a: connection(
        [_Application(o, d) for d in o.discounts], **a
    ),
    discountCode=lambda o, i: next((d.title for d in o.discounts if d.kind == "code"), None),
    discountCodes=lambda o, i: [d.title for d in o.discounts if d.kind == "code"],
    displayFinancialStatus="financial_status",
    displayFulfillmentStatus="fulfillment_status",
    dutiesIncluded="duties_included",
    edited="edited",
    estimatedTaxes=lambda o, i: False,
    fulfillable=lambda o, i: any(ln.unfulfilled for ln in o.goods) and not o.cancelled_at,
    fullyPaid=lambda o, i: o.received.presentment >= o.total.presentment,
    unpaid=lambda o, i: not o.received.presentment,
    lineItems=listed("lines"),
    shippingLines=_shipping_lines,
    shippingLine=lambda o, i: next((s for s in o.shipping if not s.is_removed), None),
    note="note",
    tags="tags",
    poNumber="po_number",
    sourceName="source_name",
    clientIp=lambda o, i: None,
    paymentGatewayNames=lambda o, i: list(dict.fromkeys(t.gateway for t in o.transactions)),
    refundable=lambda o, i: o.net_payment.presentment > 0,
    refunds=first_of("refunds"),
    requiresShipping=lambda o, i: any(ln.requires_shipping for ln in o.lines),
    restockable=lambda o, i: any(ln.current_quantity for ln in o.goods),
    taxExempt="tax_exempt",
    taxLines=lambda o, i: [Taxed(o, t) for t in o.summed_taxes()],
    currentTaxLines=lambda o, i: [Taxed(o, t) for t in o.summed_taxes(current=True)],
    taxesIncluded="taxes_included",
    test="test",
    totalWeight=lambda o, i: str(sum(ln.grams * ln.quantity for ln in o.lines)),
    currentTotalWeight=lambda o, i: str(sum(ln.grams * ln.current_quantity for ln in o.lines)),
    subtotalLineItemsQuantity=lambda o, i: sum(ln.quantity for ln in o.goods if not ln.gift_card),
    currentSubtotalLineItemsQuantity=lambda o, i: sum(
        ln.current_quantity for ln in o.goods if not ln.gift_card
    ),
    transactions=lambda o, i, first=None, **_a: o.transactions[:first],
    transactionsCount=lambda o, i: count_of(o.transactions),
    capturable=lambda o, i: bool(o.open_authorizations),
    canMarkAsPaid=lambda o, i: o.outstanding.presentment > 0 and not o.cancelled_at,
    canNotifyCustomer=lambda o, i: bool(o.email),
    merchantEditable=lambda o, i: not o.cancelled_at,
    merchantEditableErrors=lambda o, i: [],
    fulfillmentOrders=lambda o, i, query=None, displayable=False, **a: connection(
        o.fulfillment_orders, **a
    ),
    fulfillments=lambda o, i, first=None, query=None: list(reversed(o.fulfillments))[:first],
    fulfillmentsCount=lambda o, i: count_of(o.fulfillments),
    agreements=lambda o, i, query=None, **a: connection(o.agreements, **a),
    nonFulfillableLineItems=lambda o, i, **a: connection(
        [ln for ln in o.lines if ln.tip or not ln.current_quantity], **a
    ),
    statusPageUrl=lambda o, i, **_a: (
        f"https://{shop_of(i).config.domain}/orders/{o.id}/authenticate"
    ),
    metafield=lambda o, i, **_a: None,
    metafields=lambda o, i, **a: connection([], **a),
)


class Bound:
    """A part of an order that needs its order to say its money."""

    gql_type = ""

    def __init__(self, order: Order, record: Any) -> None:
        self.order, self.record = order, record
        self.id = getattr(record, "index", None)


class Taxed(Bound):
    gql_type = "TaxLine"


class _Allocated(Bound):
    gql_type = "DiscountAllocation"


class _Application(Bound):
    @property
    def gql_type(self) -> str:  # type: ignore[override]
        return {
            "code": "DiscountCodeApplication",
            "automatic": "AutomaticDiscountApplication",
            "manual": "ManualDiscountApplication",
        }[self.record.kind]


def _value(app: _Application) -> Any:
    if app.record.percentage is not None:
        return {"__typename": "PricingPercentageValue", "percentage": float(app.record.percentage)}
    cur = app.order.currencies
    return {"__typename": "MoneyV2", **money(app.record.amount.presentment, cur.presentment)}


for _kind in (
    "DiscountCodeApplication",
    "AutomaticDiscountApplication",
    "ManualDiscountApplication",
    "ScriptDiscountApplication",
):
    served(
        _kind,
        index=lambda a, i: a.record.index,
        allocationMethod=lambda a, i: "ACROSS" if a.record.across else "EACH",
        targetSelection=lambda a, i: "ALL" if a.record.across else "ENTITLED",
        targetType=lambda a, i: a.record.target,
        value=lambda a, i: _value(a),
    )
    served(
        _kind,
        **(
            {"code": lambda a, i: a.record.title}
            if _kind == "DiscountCodeApplication"
            else {"title": lambda a, i: a.record.title}
        ),
    )
served("ManualDiscountApplication", description=lambda a, i: a.record.title)
served("PricingPercentageValue", percentage=lambda v, i: v["percentage"])
served(
    "DiscountAllocation",
    allocatedAmountSet=lambda a, i: bag(a.order, a.record.amount),
    discountApplication=lambda a, i: _Application(a.order, a.record.discount),
)


def _rate_percent(tax: TaxLine) -> float | None:
    return None if tax.rate is None else float(tax.rate * 100)


served(
    "TaxLine",
    title=lambda t, i: t.record.title,
    rate=lambda t, i: None if t.record.rate is None else float(t.record.rate),
    ratePercentage=lambda t, i: _rate_percent(t.record),
    priceSet=lambda t, i: bag(t.order, t.record.price),
    price=lambda t, i: format(round_money(t.record.price.shop, t.order.currencies.shop), "f"),
    channelLiable=lambda t, i: t.record.channel_liable,
    source=lambda t, i: "Shopify",
)
served(
    "MoneyBag",
    shopMoney=lambda b, i: b["shopMoney"],
    presentmentMoney=lambda b, i: b["presentmentMoney"],
)
served("MoneyV2", amount=lambda m, i: m["amount"], currencyCode=lambda m, i: m["currencyCode"])
served("Attribute", key=lambda a, i: a["key"], value=lambda a, i: a["value"])
served("Count", count=lambda c, i: c["count"], precision=lambda c, i: c["precision"])
served("SelectedOption", name=lambda o, i: o["name"], value=lambda o, i: o["value"])


# === LINES === #


def _line_bag(getter: Callable[[Any, Order], Bag]) -> Resolver:
    def resolve(line: Charged, info: GraphQLResolveInfo, **_args: Any) -> Any:
        return bag(line.order, getter(line, line.order))

    return resolve


def _in_line(line: Line, *, codes: bool = False) -> Bag:
    """Discounts of the line itself; those of the whole order only when asked for."""
    return total(
        a.amount
        for a in line.allocations
        if not a.discount.across or (codes and a.discount.kind == "code")
    )


def _unit(line: Line, amount: Bag, order: Order) -> Bag:
    return amount.share(1, line.quantity, order.currencies)


def _untaxed(charged: Charged, order: Order) -> Bag:
    return charged.current - charged.current_tax if order.taxes_included else charged.current


def _charged_parts(kind: str) -> None:
    served(
        kind,
        title="title",
        taxLines=lambda c, i, first=None: [Taxed(c.order, t) for t in c.tax_lines[:first]],
        discountAllocations=lambda c, i: [_Allocated(c.order, a) for a in c.allocations],
    )


_charged_parts("LineItem")
_charged_parts("ShippingLine")


def _discounted_total(line: Line, info: GraphQLResolveInfo, withCodeDiscounts: bool = False) -> Any:
    return bag(line.order, line.original_total - _in_line(line, codes=withCodeDiscounts))


served(
    "LineItem",
    id="gid",
    name="name",
    sku="sku",
    vendor="vendor",
    variant="variant",
    variantTitle="variant_title",
    product=lambda ln, i: ln.variant.product if ln.variant else None,
    quantity="quantity",
    currentQuantity="current_quantity",
    refundableQuantity="current_quantity",
    unfulfilledQuantity="unfulfilled",
    fulfillableQuantity="fulfillable",
    fulfillmentStatus=lambda ln, i: (
        "fulfilled" if not ln.unfulfilled else "partial" if ln.fulfilled else "unfulfilled"
    ),
    nonFulfillableQuantity=lambda ln, i: ln.quantity if ln.tip else ln.withdrawn,
    requiresShipping="requires_shipping",
    restockable=lambda ln, i: ln.variant is not None,
    taxable="taxable",
    isGiftCard="gift_card",
    merchantEditable=lambda ln, i: bool(ln.unfulfilled),
    customAttributes=lambda ln, i: [{"key": k, "value": v} for k, v in ln.attributes],
    image=lambda ln, i, **_a: None,
    duties="duties",
    lineItemGroup=lambda ln, i: None,
    sellingPlan=lambda ln, i: None,
    contract=lambda ln, i: None,
    weight=lambda ln, i: {"unit": "GRAMS", "value": float(ln.grams)} if ln.grams else None,
    originalUnitPriceSet=_line_bag(lambda ln, o: ln.unit_price),
    originalTotalSet=_line_bag(lambda ln, o: ln.original_total),
    discountedTotalSet=_discounted_total,
    discountedUnitPriceSet=_line_bag(lambda ln, o: _unit(ln, ln.original_total - _in_line(ln), o)),
    discountedUnitPriceAfterAllDiscountsSet=_line_bag(lambda ln, o: _unit(ln, ln.discounted, o)),
    totalDiscountSet=_line_bag(lambda ln, o: _in_line(ln)),
    priceAfterAllDiscountsBeforeTaxesSet=_line_bag(_untaxed),
    unfulfilledOriginalTotalSet=_line_bag(lambda ln, o: ln.unit_price.times(ln.unfulfilled)),
    unfulfilledDiscountedTotalSet=_line_bag(
        lambda ln, o: ln.discounted.share(ln.unfulfilled, ln.quantity, o.currencies)
    ),
)
served(
    "ShippingLine",
    id="gid",
    code="code",
    source="source",
    carrierIdentifier=lambda s, i: None,
    deliveryCategory=lambda s, i: None,
    phone=lambda s, i: None,
    shippingRateHandle=lambda s, i: None,
    custom=lambda s, i: s.source != "shopify",
    isRemoved="is_removed",
    originalPriceSet=_line_bag(lambda s, o: s.price),
    discountedPriceSet=_line_bag(lambda s, o: s.discounted),
    currentDiscountedPriceSet=_line_bag(lambda s, o: s.current),
)

# === PEOPLE === #

served(
    "Customer",
    id="gid",
    legacyResourceId=lambda c, i: str(c.id),
    firstName="first_name",
    lastName="last_name",
    displayName="display_name",
    email="email",
    phone="phone",
    note="note",
    tags="tags",
    locale="locale",
    state="state",
    taxExempt="tax_exempt",
    taxExemptions=lambda c, i: [],
    verifiedEmail=lambda c, i: bool(c.email),
    defaultAddress=lambda c, i: c.addresses[0] if c.addresses else None,
    addresses=first_of("addresses"),
    addressesV2=listed("addresses"),
    numberOfOrders=lambda c, i: str(len(c.orders)),
    amountSpent=lambda c, i: money(
        total(o.net_payment for o in c.orders).shop, shop_of(i).config.currency
    ),
    lastOrder=lambda c, i: c.orders[-1] if c.orders else None,
    orders=lambda c, i, sortKey="ID", **a: searched(
        [o for o in c.orders if o.indexed], _ORDER_SEARCH, _ORDER_KEYS, i, sortKey=sortKey, **a
    ),
    companyContactProfiles=lambda c, i: [],
    createdAt="created_at",
    updatedAt="updated_at",
    metafield=lambda c, i, **_a: None,
    metafields=lambda c, i, **a: connection([], **a),
)


served(
    "MailingAddress",
    id=lambda a, i: f"{a.gid}?model_name=Address",
    firstName="first_name",
    lastName="last_name",
    name="name",
    company="company",
    address1="address1",
    address2="address2",
    city="city",
    zip="zip",
    province="province",
    provinceCode="province_code",
    country="country",
    countryCode="country_code",
    countryCodeV2="country_code",
    phone="phone",
    coordinatesValidated=lambda a, i: False,
    latitude=lambda a, i: None,
    longitude=lambda a, i: None,
    timeZone=lambda a, i: None,
    formatted=lambda a, i, **_a: a.lines,
    formattedArea=lambda a, i: ", ".join(p for p in (a.city, a.province, a.country) if p),
)

# === STOCK (products: product_api.py) === #


served(
    "InventoryItem",
    id="gid",
    legacyResourceId=lambda x, i: str(x.id),
    sku=lambda x, i: x.variant.sku,
    tracked="tracked",
    unitCost=lambda x, i: None if x.cost is None else money(x.cost, shop_of(i).config.currency),
    requiresShipping=lambda x, i: x.variant.requires_shipping,
    countryCodeOfOrigin="origin",
    harmonizedSystemCode="hs_code",
    provinceCodeOfOrigin=lambda x, i: None,
    variants=lambda x, i, **a: connection([x.variant], **a),
    measurement=lambda x, i: {
        "id": f"gid://shopify/InventoryItemMeasurement/{x.id}",
        "weight": dict(
            zip(("value", "unit"), x.weight or (float(x.variant.grams), "GRAMS"), strict=True)
        ),
    },
    locationsCount=lambda x, i: count_of(x.levels),
    createdAt="created_at",
    updatedAt="updated_at",
)


def _quantities(level: Level, info: GraphQLResolveInfo, names: list[str]) -> list[dict[str, Any]]:
    where = f"{level.id}?inventory_item_id={level.item.id}"
    return [
        {
            "id": f"gid://shopify/InventoryQuantity/{where}&name={n}",
            "name": n,
            "quantity": level.quantity(n),
            "updatedAt": stamp(level.updated_at),
        }
        for n in names
    ]


served(
    "InventoryLevel",
    id="gid",
    item="item",
    location="location",
    isActive="active",
    canDeactivate=lambda lev, i: True,
    quantities=_quantities,
    createdAt="created_at",
    updatedAt="updated_at",
)
served(
    "Location",
    id="gid",
    legacyResourceId=lambda loc, i: str(loc.id),
    name="name",
    isActive="active",
    address=lambda loc, i: {
        "address1": loc.address.address1,
        "address2": loc.address.address2,
        "city": loc.address.city,
        "zip": loc.address.zip,
        "province": loc.address.province,
        "provinceCode": loc.address.province_code,
        "country": loc.address.country,
        "countryCode": loc.address.country_code,
        "phone": loc.address.phone,
        "formatted": loc.address.lines,
    },
    fulfillsOnlineOrders=lambda loc, i: True,
    shipsInventory=lambda loc, i: True,
    isFulfillmentService=lambda loc, i: False,
    hasActiveInventory=lambda loc, i: True,
    createdAt="created_at",
    updatedAt="updated_at",
)

# === WEBHOOK SUBSCRIPTIONS === #

served(
    "WebhookSubscription",
    id="gid",
    legacyResourceId=lambda s, i: str(s.id),
    topic="topic",
    uri="uri",
    callbackUrl="uri",
    format="format",
    filter="filter",
    includeFields="include_fields",
    metafieldNamespaces=lambda s, i: [],
    metafields=lambda s, i: [],
    name="name",
    createdAt="created_at",
    updatedAt="updated_at",
    apiVersion=lambda s, i: {
        "handle": shop_of(i).config.webhook_version,
        "displayName": shop_of(i).config.webhook_version,
        "supported": True,
    },
)


def resolve_type(value: Any, info: GraphQLResolveInfo, abstract: Any) -> str | None:
    if isinstance(value, dict):
        return value.get("__typename")
    return getattr(value, "gql_type", None)


# Types no function is declared for are answered from dicts.
DICT_TYPES = frozenset(
    {
        "AccessScope",
        "ApiVersion",
        "AppCatalog",
        "BuyerExperienceConfiguration",
        "CashRoundingAdjustment",
        "CollectionRuleSet",
        "CompanyContactRole",
        "CompanyContactRoleAssignment",
        "CompanyLocationTaxSettings",
        "CurrencySetting",
        "CustomerEmailAddress",
        "CustomerPhoneNumber",
        "Domain",
        "FulfillmentOrderAssignedLocation",
        "FulfillmentOrderSplitResult",
        "FulfillmentOrderSupportedAction",
        "FulfillmentService",
        "FulfillmentTrackingInfo",
        "InventoryItemMeasurement",
        "InventoryQuantity",
        "LocalizedField",
        "LocationAddress",
        "MarketCurrencySettings",
        "MediaImageOriginalSource",
        "MediaPreviewImage",
        "MetafieldDefinitionType",
        "MetafieldIdentifier",
        "OrderApp",
        "OrderAttribution",
        "OrderCancellation",
        "OrderRiskSummary",
        "PageInfo",
        "PaymentTermsTemplate",
        "PriceListAdjustment",
        "PriceListParent",
        "PriceListPrice",
        "ProductPriceRangeV2",
        "RestockingFee",
        "ReturnDecline",
        "ReturnReasonDefinition",
        "ReturnShippingFee",
        "RiskFact",
        "SEO",
        "SaleTax",
        "SelectedOption",
        "ShippingRefund",
        "ShopAddress",
        "ShopPlan",
        "StagedMediaUploadTarget",
        "StagedUploadParameter",
        "SuggestedOrderTransaction",
        "SuggestedRefund",
        "TaxonomyCategory",
        "TranslatableContent",
        "Translation",
        "UserError",
        "Weight",
    }
)
