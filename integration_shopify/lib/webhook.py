"""Reading Shopify's notifications: their signature, their envelope, and what they point at.

Shopify signs the body alone. Topic, shop, id and time stand in headers that whoever has seen one
notification may change: nothing that cannot be undone may follow from a header.
"""

from datetime import datetime

from odoo.addons.integration_base.lib.errors import InvalidPayloadError, WebhookRefused
from odoo.addons.integration_base.lib.json_strict import loads_strict
from odoo.addons.integration_base.lib.records import Change, PrivacyNotice, WebhookHeaders
from odoo.addons.integration_base.lib.signature import verify_hmac

from .contract import read_utc

#: What we subscribe to about orders. Whatever happens to an order is a reason to read the order
#: again; what no topic tells of (and what is lost) the scheduled reading finds.
ORDER_TOPICS = dict.fromkeys(
    (
        "orders/create",
        "orders/updated",
        "orders/edited",
        "orders/paid",
        "orders/cancelled",
        "orders/risk_assessment_changed",
        "order_transactions/create",
        "refunds/create",
        "returns/request",
        "returns/approve",
        "returns/decline",
        "returns/update",
        "returns/process",
        "returns/cancel",
        "returns/close",
        "returns/reopen",
        "fulfillments/create",
        "fulfillments/update",
        # These leave the order's own time of change as it is. Not the routing of new orders: each
        # would be read twice.
        "fulfillment_orders/moved",
        "fulfillment_orders/split",
        "fulfillment_orders/merged",
        "fulfillment_orders/placed_on_hold",
        "fulfillment_orders/hold_released",
        "fulfillment_orders/cancelled",
        "fulfillment_orders/rescheduled",
        "fulfillment_orders/scheduled_fulfillment_order_ready",
    ),
    "order",
)


def _of(resource: str, group: str, *events: str) -> dict[str, str]:
    return {f"{group}/{event}": resource for event in events}


#: The same of everything whose payload is the record itself.
RECORD_TOPICS: dict[str, str] = {
    **_of("product", "products", "create", "update", "delete"),
    **_of("inventory", "inventory_levels", "connect", "update"),
    **_of("customer", "customers", "create", "update", "enable", "disable", "delete"),
    **_of("company", "companies", "create", "update", "delete"),
    **_of("bulk_run", "bulk_operations", "finish"),
}
#: Kind of the ids of what a resource reads, where notifications are about the record itself.
KINDS: dict[str, str] = {
    "product": "Product",
    "inventory": "InventoryLevel",
    "customer": "Customer",
    "company": "Company",
    "bulk_run": "BulkOperation",
}
#: The same of what is about a part, and names the whole: the resource of the whole, and where its
#: id stands in the payload (a path, or several with | between them). Tags and consent change
#: without ``customers/update``.
PART_TOPICS: dict[str, tuple[str, str]] = {
    "customers/merge": ("customer", "admin_graphql_api_customer_kept_id"),
    "customers_email_marketing_consent/update": ("customer", "customer_id"),
    # of SMS; Shopify's sample has the other name of the two
    "customers_marketing_consent/update": ("customer", "id|customer_id"),
    "customer.tags_added": ("customer", "customerId"),
    "customer.tags_removed": ("customer", "customerId"),
    **dict.fromkeys(
        (
            *_of("", "company_locations", "create", "update", "delete"),
            *_of("", "company_contacts", "create", "update", "delete"),
        ),
        ("company", "company.admin_graphql_api_id"),
    ),
    **dict.fromkeys(
        _of("", "company_contact_roles", "assign", "revoke"),
        ("company", "company_contact.company.admin_graphql_api_id"),
    ),
}
#: What tells that a group of the shop's settings (``lib/settings.py``) has to be read again. Price
#: lists have no topic of their own, and changed memberships of collections mean nothing here: a
#: renamed collection is found by the daily reading.
SETTING_TOPICS = {
    **_of("location", "locations", "create", "update", "delete", "activate", "deactivate"),
    **_of("market", "markets", "create", "update", "delete"),
    **_of("collection", "collections", "create", "delete"),
    **_of("locale", "locales", "create", "update", "destroy"),
    "channels/delete": "publication",
    "shop/update": "currency",
}
#: What we subscribe to, and the resource it is about.
TOPICS = {
    **ORDER_TOPICS,
    **RECORD_TOPICS,
    **{topic: resource for topic, (resource, _path) in PART_TOPICS.items()},
    **dict.fromkeys(SETTING_TOPICS, "setting"),
}
#: Topics whose payload is the order itself.
_OF_ORDERS = frozenset(
    {"orders/create", "orders/updated", "orders/paid", "orders/cancelled", "orders/delete"}
)
#: What Shopify asks every app for on behalf of a person. No subscription: the app's own settings
#: say where they are sent.
PRIVACY_TOPICS = {
    "customers/data_request": "export",
    "customers/redact": "erase",
    "shop/redact": "erase_all",
}
#: What a request about personal data has, and what it has not: one must not be sent as another.
_SHAPES = {
    "export": ({"data_request"}, {"orders_to_redact"}),
    "erase": ({"orders_to_redact"}, {"data_request", "orders_requested"}),
    "erase_all": (
        {"shop_id"},
        {"customer", "data_request", "orders_requested", "orders_to_redact"},
    ),
}
#: All we need of a payload; the order itself is read again, so no personal data is sent around.
INCLUDE_FIELDS = ["id", "admin_graphql_api_id", "updated_at", "name"]
#: The same of records that have no name without personal data.
INCLUDE_FIELDS_OF_RECORDS = ["id", "admin_graphql_api_id", "updated_at"]
#: The same of stock levels: only those of some locations are read.
_INCLUDE_OF_LEVELS = ["admin_graphql_api_id", "location_id", "updated_at"]
#: Companies have only long ids.
_INCLUDE_OF_COMPANIES = ["admin_graphql_api_id", "updated_at"]
_MERGED_AWAY = "admin_graphql_api_customer_deleted_id"
#: The same of what belongs to an order: transactions, refunds, returns, shipments.
_INCLUDE_OF_PARTS = ["id", "admin_graphql_api_id", "order_id", "order"]


def include_fields(topic: str) -> list[str]:
    """Return what a subscription asks for of each payload; empty: everything."""
    if topic in SETTING_TOPICS:
        return INCLUDE_FIELDS_OF_RECORDS
    if RECORD_TOPICS.get(topic) == "inventory":
        return _INCLUDE_OF_LEVELS
    if topic in RECORD_TOPICS:
        # of what was deleted Shopify sends the id alone
        if topic.endswith("/delete"):
            return []
        of_company = RECORD_TOPICS[topic] == "company"
        return _INCLUDE_OF_COMPANIES if of_company else INCLUDE_FIELDS_OF_RECORDS
    if topic in PART_TOPICS:
        names = [path.partition(".")[0] for path in PART_TOPICS[topic][1].split("|")]
        return [*names, _MERGED_AWAY, "status"] if topic == "customers/merge" else names
    if topic in _OF_ORDERS:
        return INCLUDE_FIELDS
    # edits, risks and fulfillment orders have what is needed further inside, and nothing personal
    if topic.startswith(("orders/", "fulfillment_orders/")):
        return []
    return _INCLUDE_OF_PARTS


def header(headers, name: str) -> str:
    """Return a Shopify header in either spelling (``X-Shopify-Topic`` or ``Shopify-Topic``)."""
    return headers.get(f"X-Shopify-{name}") or headers.get(f"Shopify-{name}") or ""


def verify(headers, body: bytes, secrets: list[str]) -> None:
    """Check the signature of a notification.

    :param secrets: every client secret that is still good (two while one is replaced).
    :raises WebhookRefused: when Shopify has not signed the body for this app.
    """
    signature = header(headers, "Hmac-Sha256")
    if not signature:
        raise WebhookRefused(
            "The notification carries no signature, so it is not from Shopify. If you expected "
            "it, check what else sends to this address."
        )
    if not verify_hmac(secrets, body, signature):
        raise WebhookRefused(
            "The signature of the notification is wrong. If notifications of this shop fail "
            "again and again, its client secret was changed: type the new one into the backend."
        )


def refuse_other_shop(headers, domain: str) -> None:
    """Refuse what says that it is from another shop: an app signs for all of its shops alike.

    The header is not signed: this finds wrong settings, it is no proof.

    :param domain: the shop's ``*.myshopify.com`` domain; empty while it is not known.
    :raises WebhookRefused: when another shop is named.
    """
    shop = header(headers, "Shop-Domain").lower()
    if domain and shop and shop != domain.lower():
        raise WebhookRefused(
            f"The notification is from the shop {shop}, but this backend belongs to {domain}."
        )


def read_headers(headers) -> WebhookHeaders:
    """Return topic, event id and time of a notification.

    One event may be delivered more than once, also to several topics' subscriptions; the event id
    is the same each time, the delivery's own id is not.
    """
    topic = header(headers, "Topic").strip().lower()
    event = header(headers, "Event-Id") or header(headers, "Webhook-Id")
    return WebhookHeaders(
        topic,
        f"{topic}:{event}" if event else "",
        _utc(header(headers, "Triggered-At")),
        # not every shop without this header is a live one: development stores send real events
        environment="sandbox" if header(headers, "Test").strip().lower() == "true" else None,
    )


def read(topic: str, body: bytes) -> tuple[str, Change] | None:
    """Return (resource, record) that a notification is about; None for a topic nobody reads.

    :raises InvalidPayloadError: when the body is no JSON object or names no record.
    """
    if topic in ORDER_TOPICS:
        return "order", read_order(topic, body)
    if topic in RECORD_TOPICS:
        return RECORD_TOPICS[topic], read_record(topic, body)
    if topic in SETTING_TOPICS:
        _read_object(topic, body)
        # the whole group is read: its time of change says nothing
        return "setting", Change(SETTING_TOPICS[topic])
    if topic in PART_TOPICS:
        return PART_TOPICS[topic][0], read_whole(topic, body)
    return None


def read_whole(topic: str, body: bytes) -> Change:
    """Return the record whose part a notification of :data:`PART_TOPICS` is about.

    Of two customers that were merged it is :func:`merge_id`: nothing can be asked which one is
    gone because of it.

    :raises InvalidPayloadError: when the body is no JSON object or names no record.
    """
    payload = _read_object(topic, body)
    resource, path = PART_TOPICS[topic]
    gid = _gid(KINDS[resource], *(_at(payload, way) for way in path.split("|")))
    if not gid:
        raise _unreadable(topic, path, "it names no record")
    if topic == "customers/merge" and payload.get("status") != "failed":
        gone = _gid("Customer", payload.get(_MERGED_AWAY))
        if not gone:
            raise _unreadable(topic, _MERGED_AWAY, "it names no record")
        return Change(merge_id(gid, gone))
    return Change(gid)


def _at(payload, path):
    for step in path.split("."):
        payload = payload.get(step) if isinstance(payload, dict) else None
    return payload


def merge_id(kept: str, gone: str) -> str:
    """Return the id under which the merge of customer ``gone`` into ``kept`` is worked on."""
    return f"{kept}?merged={gone.rpartition('/')[2]}"


def merged_ids(gid: str) -> tuple[str, str]:
    """Return (kept, gone) of a :func:`merge_id`; gone is empty for the id of a customer."""
    kept, _mark, number = gid.partition("?merged=")
    return kept, f"gid://shopify/Customer/{number}" if number else ""


def read_record(topic: str, body: bytes) -> Change:
    """Return the record that a notification of :data:`RECORD_TOPICS` is about.

    :raises InvalidPayloadError: when the body is no JSON object or names no record.
    """
    payload = _read_object(topic, body)
    kind = KINDS[RECORD_TOPICS[topic]]
    gid = _gid(kind, payload.get("admin_graphql_api_id"), payload.get("id"))
    if not gid:
        raise _unreadable(topic, "id", "it names no record")
    updated_at = payload.get("updated_at")
    return Change(
        external_id=gid,
        updated_at=_utc(updated_at) if isinstance(updated_at, str) else None,
        deleted=topic.endswith("/delete"),
    )


def read_location(topic: str, body: bytes) -> str:
    """Return the location that a notification about a stock level names, empty without one."""
    return _gid("Location", _read_object(topic, body).get("location_id"))


def read_order(topic: str, body: bytes) -> Change:
    """Return the order a notification is about.

    Some about fulfillment orders name no order but the fulfillment order; then that is returned,
    and whoever reads it has to ask whose it is.

    :raises InvalidPayloadError: when the body is no JSON object or names neither.
    """
    payload = _read_object(topic, body)
    if topic in _OF_ORDERS:
        gid = _gid("Order", payload.get("admin_graphql_api_id"), payload.get("id"))
        name, updated_at = payload.get("name"), payload.get("updated_at")
        if gid:
            return Change(
                external_id=gid,
                updated_at=_utc(updated_at) if isinstance(updated_at, str) else None,
                label=name if isinstance(name, str) else "",
            )
        raise _unreadable(topic, "id", "it names no order")
    # its times are those of the part, and say nothing about the order
    parts = [payload, *(part for part in payload.values() if isinstance(part, dict))]
    for part in parts:
        order = part.get("order") if isinstance(part.get("order"), dict) else {}
        gid = _gid("Order", part.get("admin_graphql_api_order_id"), part.get("order_id")) or _gid(
            "Order", order.get("admin_graphql_api_id"), order.get("id")
        )
        if gid:
            return Change(gid)
    if topic == "orders/edited":
        # the edit was taken for the order by some versions
        gid = _gid("Order", None, payload.get("id"))
    else:
        gid = _fulfillment_order(payload) if topic.startswith("fulfillment_orders/") else ""
    if gid:
        return Change(gid)
    raise _unreadable(topic, "order_id", "it names no order")


def _fulfillment_order(payload) -> str:
    """Return the first fulfillment order a payload names; moves and splits name several, all of
    one order."""
    for name, part in payload.items():
        if isinstance(part, dict) and name.endswith("fulfillment_order"):
            gid = _gid("FulfillmentOrder", part.get("admin_graphql_api_id"), part.get("id"))
            if gid:
                return gid
    return _gid("FulfillmentOrder", payload.get("admin_graphql_api_id"), payload.get("id"))


def _gid(kind: str, *values) -> str:
    """Return the first of ``values`` that is an id of this kind, number or long, as a long one."""
    for value in values:
        text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
        if text.isascii() and text.isdecimal():
            return f"gid://shopify/{kind}/{text}"
        if text.startswith(f"gid://shopify/{kind}/"):
            return text
    return ""


def read_shop(topic: str, body: bytes) -> str:
    """Return the shop (``*.myshopify.com``) that a request about personal data names; signed.

    :raises InvalidPayloadError: when it names none.
    """
    shop = _read_object(topic, body).get("shop_domain")
    if not isinstance(shop, str) or not shop.strip():
        raise _unreadable(topic, "shop_domain", "it names no shop")
    return shop.strip().lower()


def read_privacy(topic: str, body: bytes, domain: str) -> PrivacyNotice:
    """Return what Shopify asks for on behalf of a person.

    Nothing of it is left out: what cannot be read wholly is for a person.

    :param domain: the ``*.myshopify.com`` domain of the shop it has to be about.
    :raises InvalidPayloadError: when the body does not belong to the topic, is about another
        shop, or names no customer.
    """
    shop = read_shop(topic, body)
    if shop != (domain or "").lower():
        message = (
            f"it is about the shop {shop}, this backend belongs to {domain or 'an unknown one'}, "
            f"and no other connected backend takes it"
        )
        raise _unreadable(topic, "shop_domain", message)
    payload = _read_object(topic, body)
    kind = PRIVACY_TOPICS[topic]
    needed, foreign = _SHAPES[kind]
    odd = (needed - payload.keys()) | (foreign & payload.keys())
    if odd:
        raise _unreadable(topic, min(odd), "a notification of another kind was sent as this one")
    if kind == "erase_all":
        _number(topic, "shop_id", payload["shop_id"])
        return PrivacyNotice(kind)
    customer = payload.get("customer")
    if not isinstance(customer, dict):
        raise _unreadable(topic, "customer", "it names no customer")
    contacts = tuple(
        text
        for text in (customer.get("email"), customer.get("phone"))
        if isinstance(text, str) and text
    )
    records = []
    if customer.get("id") is not None:
        number = _number(topic, "customer.id", customer["id"])
        records.append(("customer", f"gid://shopify/Customer/{number}"))
    elif not contacts:
        raise _unreadable(topic, "customer", "it names no customer")
    name = "orders_to_redact" if kind == "erase" else "orders_requested"
    orders = payload.get(name, [])
    if not isinstance(orders, list):
        raise _unreadable(topic, name, "it is no list of orders")
    for position, number in enumerate(orders):
        number = _number(topic, f"{name}.{position}", number)
        records.append(("order", f"gid://shopify/Order/{number}"))
    reference = ""
    if kind == "export":
        request = payload["data_request"]
        number = request.get("id") if isinstance(request, dict) else None
        reference = _number(topic, "data_request.id", number)
    return PrivacyNotice(kind, tuple(records), contacts, reference)


def _number(topic, path, value) -> str:
    """Return a number of Shopify's as text.

    :raises InvalidPayloadError: when it is none.
    """
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdecimal()):
        raise _unreadable(topic, path, "it is no number")
    return text


def _read_object(topic: str, body: bytes) -> dict:
    try:
        payload = loads_strict(body, what=f"A notification of Shopify ({topic})")
    except InvalidPayloadError as error:
        raise _unreadable(topic, *error.problems[0]) from error
    if not isinstance(payload, dict):
        raise _unreadable(topic, "(whole text)", "it is not a JSON object")
    return payload


def _unreadable(topic, path, message):
    problems = [(path, message)]
    if topic in PRIVACY_TOPICS:
        return InvalidPayloadError(
            f"A request of Shopify about personal data ({topic}) cannot be carried out by itself: "
            f"{message}. Nothing was handed out or erased; a manager decides under Privacy > "
            f"Requests.",
            problems=problems,
        )
    return InvalidPayloadError(
        f"A notification of Shopify ({topic}) cannot be read: {message}. Nothing is lost: the "
        f"record will be found by the next scheduled reading. If this happens again, show it to "
        f"your integrator.",
        problems=problems,
    )


def _utc(text: str) -> datetime | None:
    try:
        return read_utc(text)
    except (ValueError, OverflowError):  # the year 1, east of Greenwich
        return None
