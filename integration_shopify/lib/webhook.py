"""Reading Shopify's notifications: their signature, their envelope, and what they point at."""

from datetime import datetime

from odoo.addons.integration_base.lib.errors import InvalidPayloadError, WebhookRefused
from odoo.addons.integration_base.lib.json_strict import loads_strict
from odoo.addons.integration_base.lib.records import Change, PrivacyNotice, WebhookHeaders
from odoo.addons.integration_base.lib.signature import verify_hmac

from .contract import read_utc

#: What we subscribe to, and the resource it is about.
TOPICS = {
    "orders/create": "order",
    "orders/updated": "order",
    "orders/edited": "order",
    "orders/paid": "order",
    "orders/cancelled": "order",
}
#: What Shopify asks every app for on behalf of a person. No subscription: the app's own settings
#: say where they are sent.
PRIVACY_TOPICS = {
    "customers/data_request": "export",
    "customers/redact": "erase",
    "shop/redact": "erase_all",
}
#: All we need of a payload; the order itself is read again, so no personal data is sent around.
INCLUDE_FIELDS = ["id", "admin_graphql_api_id", "updated_at", "name"]


def header(headers, name: str) -> str:
    """Return a Shopify header in either spelling (``X-Shopify-Topic`` or ``Shopify-Topic``)."""
    return headers.get(f"X-Shopify-{name}") or headers.get(f"Shopify-{name}") or ""


def verify(headers, body: bytes, secrets: list[str], domain: str) -> None:
    """Check the signature and the shop of a notification.

    :param secrets: every client secret that is still good (two while one is replaced).
    :param domain: the shop's ``*.myshopify.com`` domain; empty while it is not known.
    :raises WebhookRefused: when it is not from this shop.
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


def read_order(topic: str, body: bytes) -> Change:
    """Return the order a notification is about.

    :raises InvalidPayloadError: when the body is no JSON object or names no order.
    """
    payload = _read_object(topic, body)
    if topic == "orders/edited":
        # not an order but a description of the edit, which names its order
        edit = payload.get("order_edit")
        payload = edit if isinstance(edit, dict) else payload
        number = payload.get("order_id") or payload.get("id")
        gid = payload.get("admin_graphql_api_order_id")
    else:
        number, gid = payload.get("id"), payload.get("admin_graphql_api_id")
    if not gid and isinstance(number, int | str) and str(number).isdecimal():
        gid = f"gid://shopify/Order/{number}"
    if not isinstance(gid, str) or not gid.startswith("gid://shopify/Order/"):
        raise _unreadable(topic, "id", "it names no order")
    name, updated_at = payload.get("name"), payload.get("updated_at")
    return Change(
        external_id=gid,
        updated_at=_utc(updated_at) if isinstance(updated_at, str) else None,
        label=name if isinstance(name, str) else "",
    )


def read_privacy(topic: str, body: bytes) -> PrivacyNotice:
    """Return what Shopify asks for on behalf of a person.

    :raises InvalidPayloadError: when the body is no JSON object or names no customer.
    """
    payload = _read_object(topic, body)
    kind = PRIVACY_TOPICS[topic]
    if kind == "erase_all":
        return PrivacyNotice(kind)
    customer = payload.get("customer")
    if not isinstance(customer, dict) or not (customer.get("id") or customer.get("email")):
        raise _unreadable(topic, "customer", "it names no customer")
    orders = payload.get("orders_to_redact" if kind == "erase" else "orders_requested")
    records = [("customer", "Customer", customer.get("id"))]
    records += [("order", "Order", number) for number in orders or ()]
    request = payload.get("data_request")
    return PrivacyNotice(
        kind,
        tuple(
            (resource, f"gid://shopify/{name}/{number}")
            for resource, name, number in records
            if isinstance(number, int | str) and str(number).isdecimal()
        ),
        tuple(
            text
            for text in (customer.get("email"), customer.get("phone"))
            if isinstance(text, str) and text
        ),
        str(request.get("id") or "") if isinstance(request, dict) else "",
    )


def _read_object(topic: str, body: bytes) -> dict:
    try:
        payload = loads_strict(body, what=f"A notification of Shopify ({topic})")
    except InvalidPayloadError as error:
        raise _unreadable(topic, *error.problems[0]) from error
    if not isinstance(payload, dict):
        raise _unreadable(topic, "(whole text)", "it is not a JSON object")
    return payload


def _unreadable(topic, path, message):
    return InvalidPayloadError(
        f"A notification of Shopify ({topic}) cannot be read: {message}. Nothing is lost: the "
        f"order will be found by the next scheduled reading. If this happens again, show it to "
        f"your integrator.",
        problems=[(path, message)],
    )


def _utc(text: str) -> datetime | None:
    try:
        return read_utc(text)
    except (ValueError, OverflowError):  # the year 1, east of Greenwich
        return None
