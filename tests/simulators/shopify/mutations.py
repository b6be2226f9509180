"""Mutations: each returns its payload, with user errors where Shopify has user errors."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from graphql import DirectiveNode, GraphQLResolveInfo, get_named_type
from graphql.execution.values import get_argument_values

from .records import Customer, Order, Product, Record, now
from .resolvers import find, gql_error, served, shop_of, stamp
from .shop import Refused, Shop

# Since 2026-04 these refuse to run without the @idempotent directive.
IDEMPOTENT = frozenset(
    {
        "inventoryActivate",
        "inventoryAdjustQuantities",
        "inventoryMoveQuantities",
        "inventorySetOnHandQuantities",
        "inventorySetQuantities",
        "inventorySetScheduledChanges",
        "refundCreate",
    }
)


@dataclass(eq=False)
class Subscription(Record):
    """A webhook subscription made through the API."""

    topic: str
    uri: str
    format: str = "JSON"
    filter: str | None = None
    include_fields: list[str] = field(default_factory=list)
    name: str | None = None
    failures: int = 0
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    gql_type = "WebhookSubscription"


def user_error(
    message: str, path: list[str] | None = None, code: str | None = None
) -> dict[str, Any]:
    return {"field": path, "message": message, "code": code}


def refused(error: Refused) -> dict[str, Any]:
    return user_error(error.message, error.field, error.code)


def check_idempotency(info: GraphQLResolveInfo, name: str, arguments: dict[str, Any]) -> str | None:
    """Key of the @idempotent directive; refuses where it is mandatory and missing."""
    directive = info.schema.get_directive("idempotent")
    key = None
    for node in info.field_nodes[0].directives:
        if isinstance(node, DirectiveNode) and node.name.value == "idempotent" and directive:
            key = get_argument_values(directive, node, info.variable_values).get("key")
    if key is None and name in IDEMPOTENT and info.context.version >= "2026-04":
        raise gql_error(
            "The @idempotent directive is required for this mutation but was not provided.",
            "BAD_REQUEST",
        )
    return key


def idempotent(name: str, mutate: Callable[..., dict[str, Any]]) -> Callable[..., Any]:
    """Run a mutation once per key: the same key with the same input gets the first answer again."""

    def resolve(root: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
        key = check_idempotency(info, name, arguments)
        if key is None:
            return mutate(root, info, **arguments)
        shop = shop_of(info)
        text = json.dumps([name, arguments], sort_keys=True, default=str)
        known = shop.idempotency.get(key)
        if known and known[0] != text:
            return _mismatch(info)
        if known and known[1]["userErrors"] and name.startswith("inventory"):
            return _failed_before(info, known[1])
        if known:
            return known[1]
        answer = mutate(root, info, **arguments)
        shop.idempotency[key] = (text, answer)
        return answer

    return resolve


def _mismatch(info: GraphQLResolveInfo) -> dict[str, Any]:
    """Answer to a key that was used with other variables.

    Nobody has recorded it: a user error where these have a code, else an error of the request.
    """
    message = "The idempotency key was used before with other parameters."
    code = "IDEMPOTENCY_KEY_PARAMETER_MISMATCH"
    errors = get_named_type(info.return_type).fields["userErrors"].type
    if "code" not in get_named_type(errors).fields:
        raise gql_error(message, code)
    return {"userErrors": [user_error(message, None, code)]}


def _failed_before(info: GraphQLResolveInfo, answer: dict[str, Any]) -> dict[str, Any]:
    """Answer to a key whose request was refused; not recorded either, guessed from the code."""
    errors = get_named_type(info.return_type).fields["userErrors"].type
    if "code" not in get_named_type(errors).fields:
        return answer
    message = "A previous request with this idempotency key failed."
    return {"userErrors": [user_error(message, None, "IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED")]}


def mutation(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        served("Mutation", **{name: idempotent(name, function)})
        return function

    return declare


# === WEBHOOK SUBSCRIPTIONS === #

_NAME = re.compile(r"^[A-Za-z0-9_-]{1,50}$")


def _uri_problem(uri: str | None) -> str | None:
    if not uri:
        return "Address can't be blank"
    parts = urlsplit(uri)
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    # The real service takes https only; a test listens on the loopback without a certificate.
    if parts.scheme == "https" or (parts.scheme == "http" and local):
        host = parts.hostname or ""
        if host.endswith((".myshopify.com", ".shopify.com")):
            return f"Address cannot be a Shopify domain: {host}"
        return None
    return (
        "Address protocol http:// is not supported"
        if parts.scheme == "http"
        else "Address is invalid"
    )


def _subscription_errors(
    shop: Shop, topic: str, values: dict[str, Any], current: Subscription | None
) -> list[dict[str, Any]]:
    uri = values.get("uri") or values.get("callbackUrl") or (current.uri if current else None)
    problem = _uri_problem(uri)
    if problem:
        return [user_error(problem, ["webhookSubscription", "callbackUrl"])]
    name = values.get("name")
    if name and not _NAME.match(name):
        return [user_error("Name is invalid", ["webhookSubscription", "name"])]
    format_ = values.get("format") or (current.format if current else "JSON")
    filter_ = values.get("filter", current.filter if current else None)
    for other in shop.all("WebhookSubscription"):
        same = (other.topic, other.uri, other.format, other.filter) == (
            topic,
            uri,
            format_,
            filter_,
        )
        if same and other is not current:
            return [
                user_error(
                    "Address for this topic has already been taken",
                    ["webhookSubscription", "callbackUrl"],
                )
            ]
    return []


def _write_subscription(subscription: Subscription, values: dict[str, Any]) -> None:
    subscription.uri = values.get("uri") or values.get("callbackUrl") or subscription.uri
    subscription.format = values.get("format") or subscription.format
    if "filter" in values:
        subscription.filter = values["filter"]
    if values.get("includeFields") is not None:
        subscription.include_fields = list(values["includeFields"])
    if "name" in values:
        subscription.name = values["name"]
    subscription.updated_at = now()


@mutation("webhookSubscriptionCreate")
def _subscribe(
    _root: Any, info: GraphQLResolveInfo, topic: str, webhookSubscription: dict[str, Any]
) -> Any:
    shop = shop_of(info)
    errors = _subscription_errors(shop, topic, webhookSubscription, None)
    if errors:
        return {"webhookSubscription": None, "userErrors": errors}
    subscription = Subscription(shop.next_id("WebhookSubscription"), topic, "")
    _write_subscription(subscription, webhookSubscription)
    return {"webhookSubscription": shop.add(subscription), "userErrors": []}


@mutation("webhookSubscriptionUpdate")
def _resubscribe(
    _root: Any, info: GraphQLResolveInfo, id: str, webhookSubscription: dict[str, Any]
) -> Any:
    subscription = find(info, id, "WebhookSubscription")
    if subscription is None:
        message = user_error("Webhook subscription does not exist", ["id"])
        return {"webhookSubscription": None, "userErrors": [message]}
    errors = _subscription_errors(
        shop_of(info), subscription.topic, webhookSubscription, subscription
    )
    if not errors:
        _write_subscription(subscription, webhookSubscription)
    return {"webhookSubscription": None if errors else subscription, "userErrors": errors}


@mutation("webhookSubscriptionDelete")
def _unsubscribe(_root: Any, info: GraphQLResolveInfo, id: str) -> Any:
    subscription = find(info, id, "WebhookSubscription")
    if subscription is None:
        message = user_error("Webhook subscription does not exist", ["id"])
        return {"deletedWebhookSubscriptionId": None, "userErrors": [message]}
    del shop_of(info).records["WebhookSubscription"][subscription.id]
    return {"deletedWebhookSubscriptionId": subscription.gid, "userErrors": []}


# === ORDERS === #


def _order(info: GraphQLResolveInfo, gid: str) -> Order | None:
    return find(info, gid, "Order")


@mutation("orderUpdate")
def _order_update(_root: Any, info: GraphQLResolveInfo, input: dict[str, Any]) -> Any:
    order = _order(info, input["id"])
    if order is None:
        return {"order": None, "userErrors": [user_error("Order does not exist", ["id"])]}
    allowed = {"id", "note", "tags", "email", "phone", "poNumber", "customAttributes"}
    if set(input) - allowed:
        raise gql_error(
            f"This simulator does not update {', '.join(sorted(set(input) - allowed))}.",
            "NOT_SIMULATED",
        )
    values = {k: v for k, v in input.items() if k not in ("id", "customAttributes")}
    if "customAttributes" in input:
        values["attributes"] = {row["key"]: row["value"] for row in input["customAttributes"] or []}
    shop_of(info).touch(order, values)
    return {"order": order, "userErrors": []}


@mutation("orderMarkAsPaid")
def _mark_paid(_root: Any, info: GraphQLResolveInfo, input: dict[str, Any]) -> Any:
    order = _order(info, input["id"])
    if order is None:
        return {"order": None, "userErrors": [user_error("Order does not exist", ["id"])]}
    try:
        shop_of(info).pay(order)
    except Refused as error:
        return {"order": order, "userErrors": [refused(error)]}
    return {"order": order, "userErrors": []}


@mutation("orderClose")
def _close(_root: Any, info: GraphQLResolveInfo, input: dict[str, Any]) -> Any:
    order = _order(info, input["id"])
    if order is None:
        return {"order": None, "userErrors": [user_error("Order does not exist", ["id"])]}
    order.closed_at = order.closed_at or now()
    shop_of(info).changed(order)
    return {"order": order, "userErrors": []}


@mutation("orderOpen")
def _open(_root: Any, info: GraphQLResolveInfo, input: dict[str, Any]) -> Any:
    order = _order(info, input["id"])
    if order is None:
        return {"order": None, "userErrors": [user_error("Order does not exist", ["id"])]}
    order.closed_at = None
    shop_of(info).changed(order)
    return {"order": order, "userErrors": []}


@mutation("orderCancel")
def _cancel(
    _root: Any,
    info: GraphQLResolveInfo,
    orderId: str,
    reason: str,
    restock: bool,
    refund: bool | None = None,
    refundMethod: dict[str, Any] | None = None,
    staffNote: str | None = None,
    notifyCustomer: bool = False,
) -> Any:
    order = _order(info, orderId)
    errors: list[dict[str, Any]] = []
    if order is None:
        errors.append(user_error("Order does not exist", ["orderId"], "NOT_FOUND"))
    elif refund is not None and refundMethod is not None:
        errors.append(
            user_error(
                "Refund and refundMethod cannot be specified together", ["refund"], "INVALID"
            )
        )
    else:
        back = bool(refund or (refundMethod or {}).get("originalPaymentMethodsRefund"))
        try:
            shop_of(info).cancel(
                order, {"reason": reason, "restock": restock, "refund": back, "note": staffNote}
            )
        except Refused as error:
            errors.append(refused(error))
    job = None
    if not errors:
        job = {"id": f"gid://shopify/Job/{shop_of(info).next_id('Job')}", "done": False}
    return {"job": job, "orderCancelUserErrors": errors, "userErrors": errors}


@mutation("tagsAdd")
def _tags_add(_root: Any, info: GraphQLResolveInfo, id: str, tags: list[str]) -> Any:
    return _tag(info, id, lambda have: [*have, *(t for t in tags if t not in have)])


@mutation("tagsRemove")
def _tags_remove(_root: Any, info: GraphQLResolveInfo, id: str, tags: list[str]) -> Any:
    return _tag(info, id, lambda have: [t for t in have if t not in tags])


def _tag(info: GraphQLResolveInfo, gid: str, change: Callable[[list[str]], list[str]]) -> Any:
    record = find(info, gid, "Order", "Customer", "Product")
    if record is None:
        return {"node": None, "userErrors": [user_error("Record does not exist", ["id"])]}
    if isinstance(record, Order):
        shop_of(info).touch(record, {"tags": change(record.tags)})
    elif isinstance(record, Product):
        record.tags = change(record.tags)
        shop_of(info).product_changed(record)
    else:
        before, record.tags = record.tags, change(record.tags)
        record.updated_at = now()
        if isinstance(record, Customer):
            _tell_tags(shop_of(info), record, before)
    return {"node": record, "userErrors": []}


def _tell_tags(shop: Shop, customer: Customer, before: list[str]) -> None:
    """Notify of tags alone: Shopify sends no customers/update for them."""
    for topic, tags in (
        ("CUSTOMER_TAGS_ADDED", [t for t in customer.tags if t not in before]),
        ("CUSTOMER_TAGS_REMOVED", [t for t in before if t not in customer.tags]),
    ):
        if tags:
            body = {
                "customerId": customer.gid,
                "tags": tags,
                "occurredAt": stamp(customer.updated_at),
            }
            shop.emit(topic, body)
