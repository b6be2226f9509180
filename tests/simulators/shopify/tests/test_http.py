"""Tokens, versions, faults and webhooks over real connections."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from ..app import Simulator
from ..client import ShopSimulator, SimulatorError
from .test_graphql import SUBSCRIBE

APP = {"client_id": "demo-client-id", "client_secret": "demo-client-secret"}
JSON = {"Accept": "application/json"}


def token(url: str, **form: str) -> requests.Response:
    form = {"grant_type": "client_credentials", **APP, **form}
    return requests.post(f"{url}/admin/oauth/access_token", data=form, headers=JSON, timeout=10)


def ask(
    url: str,
    query: str = "{ shop { name } }",
    variables: dict[str, Any] | None = None,
    *,
    secret: str = "shpat_demo",
    version: str = "2026-10",
    **options: Any,
) -> requests.Response:
    return requests.post(
        f"{url}/admin/api/{version}/graphql.json",
        json={"query": query, "variables": variables},
        headers={"X-Shopify-Access-Token": secret},
        **{"timeout": 10, **options},
    )


# === TOKENS AND VERSIONS === #


def test_client_credentials(served: str) -> None:
    answer = token(served).json()
    assert set(answer) == {"access_token", "scope", "expires_in"}
    assert ask(served, secret=answer["access_token"]).json()["data"]["shop"]["name"]
    wrong = token(served, client_secret="no")
    assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_client")
    page = requests.post(f"{served}/admin/oauth/access_token", data={}, timeout=10)
    assert page.headers["Content-Type"].startswith("text/html")


def test_expired_and_unknown_tokens(served: str, simulator: Simulator) -> None:
    simulator.shop.config.token_lifetime = 0
    answer = ask(served, secret=token(served).json()["access_token"])
    assert answer.status_code == 401
    assert "Invalid API key or access token" in answer.json()["errors"]
    assert ask(served, secret="shpat_demo").ok


def test_consent_covers_what_was_asked_for(served: str) -> None:
    query = {
        "client_id": APP["client_id"],
        "redirect_uri": "https://odoo.example.com/callback",
        "scope": "read_orders,read_products,read_nothing",
    }
    answer = requests.get(
        f"{served}/admin/oauth/authorize", params=query, allow_redirects=False, timeout=10
    )
    code = parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]
    first = token(served, grant_type="authorization_code", code=code, expiring="1").json()
    assert first["scope"] == "read_orders,read_products"
    scopes = "{ currentAppInstallation { accessScopes { handle } } }"
    second = token(served, grant_type="refresh_token", refresh_token=first["refresh_token"]).json()
    rows = ask(served, scopes, secret=second["access_token"]).json()["data"]
    handles = [row["handle"] for row in rows["currentAppInstallation"]["accessScopes"]]
    assert handles == ["read_orders", "read_products"]


def test_authorization_code_and_rotation(served: str) -> None:
    target = "https://odoo.example.com/callback"
    query = {"client_id": APP["client_id"], "redirect_uri": target, "state": "abc"}
    answer = requests.get(
        f"{served}/admin/oauth/authorize", params=query, allow_redirects=False, timeout=10
    )
    values = {k: v[0] for k, v in parse_qs(urlsplit(answer.headers["Location"]).query).items()}
    signature = values.pop("hmac")
    message = "&".join(f"{key}={values[key]}" for key in sorted(values))
    secret = APP["client_secret"].encode()
    assert hmac.new(secret, message.encode(), hashlib.sha256).hexdigest() == signature
    assert values["state"] == "abc"
    grant = {"grant_type": "authorization_code", "code": values["code"], "expiring": "1"}
    first = token(served, **grant).json()
    assert ask(served, secret=first["access_token"]).ok
    assert token(served, **grant).status_code == 400

    def refresh(known: str) -> requests.Response:
        return token(served, grant_type="refresh_token", refresh_token=known)

    second = refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    # The old one stays good until the new one is used.
    assert refresh(first["refresh_token"]).ok
    assert refresh(second["refresh_token"]).ok
    refused = refresh(first["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_grant")


@pytest.mark.parametrize(
    ("asked", "served_as"), [("2026-10", "2026-10"), ("2024-10", "2026-01"), ("2031-01", None)]
)
def test_versions_fall_forward(served: str, asked: str, served_as: str | None) -> None:
    answer = ask(served, version=asked)
    assert answer.headers.get("X-Shopify-API-Version") == served_as
    assert answer.ok is (served_as is not None)


def test_deprecated_fields_are_named(served: str) -> None:
    answer = ask(served, "{ orders(first: 1) { nodes { totalPrice } } }")
    assert answer.headers["X-Shopify-API-Deprecated-Reason"] == "Order.totalPrice"
    assert "X-Shopify-API-Deprecated-Reason" not in ask(served).headers


# === FAULTS === #


def test_statuses_and_bodies(served: str) -> None:
    control = ShopSimulator(served)
    control.fault(status=429, retryAfter=2)
    answer = ask(served)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2.0")
    assert ask(served).ok
    control.fault(status=502, body="html", count=2)
    assert [ask(served).status_code for _n in range(3)] == [502, 502, 200]
    control.fault(body="html")
    with pytest.raises(ValueError):
        ask(served).json()
    control.fault(truncate=True)
    with pytest.raises(ValueError):
        ask(served).json()
    control.fault(throttle=True)
    assert ask(served).json()["errors"][0]["extensions"]["code"] == "THROTTLED"
    control.fault(hang=0.3)
    start = time.monotonic()
    assert ask(served).ok and time.monotonic() - start > 0.3
    control.fault(share=1.0, status=500, target="token")
    assert (ask(served).status_code, token(served).status_code) == (200, 500)
    control.clear_faults()
    with pytest.raises(SimulatorError, match="unknown fault setting"):
        control.fault(colour="red")


def test_a_reset_after_execution_has_taken_effect(served: str, simulator: Simulator) -> None:
    control = ShopSimulator(served)
    values = {"topic": "ORDERS_CREATE", "input": {"uri": "https://example.com/a"}}
    control.fault(reset="before", operation="Subscribe")
    with pytest.raises(requests.ConnectionError):
        ask(served, SUBSCRIBE, values)
    assert simulator.shop.all("WebhookSubscription") == []
    control.fault(reset="after", operation="Subscribe")
    with pytest.raises(requests.ConnectionError):
        ask(served, SUBSCRIBE, values)
    assert len(simulator.shop.all("WebhookSubscription")) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500, "after": True},
        {"reset": "after"},
        {"body": "html"},
        {"throttle": True, "after": True},
        {"hang": 0.5, "after": True},
    ],
)
def test_the_answer_of_a_mutation_is_lost(
    served: str, simulator: Simulator, fault: dict[str, Any]
) -> None:
    control = ShopSimulator(served)
    order = control.place_order(lines=[{"sku": "MUG-350"}])
    control.reset_calls()
    work = simulator.shop.all("FulfillmentOrder")[0]
    # The name of the mutation, not the one an app gives the operation.
    control.fault(operation="^fulfillmentCreate$", **fault)
    document = f"""mutation Ship {{ fulfillmentCreate(fulfillment: {{
        lineItemsByFulfillmentOrder: [{{fulfillmentOrderId: "{work.gid}"}}]
    }}) {{ fulfillment {{ id }} userErrors {{ message }} }} }}"""
    ask(served, "query Ship { shop { id } }")
    with contextlib.suppress(requests.RequestException, ValueError):
        answer = ask(served, document, timeout=0.2)
        assert "fulfillmentCreate" not in (answer.json().get("data") or {})
    control.wait_for_webhooks()
    assert control.calls()["effects"] == {"fulfillments": 1}
    assert control.order(order["name"])["fulfillmentStatus"] == "FULFILLED"


def test_calls_are_counted(served: str) -> None:
    control = ShopSimulator(served)
    control.reset_calls()
    ask(served)
    ask(served, "query Named { shop { id } }")
    calls = control.calls()
    assert calls["byOperation"] == {"shop": 1, "Named": 1}
    assert (calls["total"], calls["requestedCost"]) == (2, 2)


# === WEBHOOKS === #


class Receiver:
    """Collects notifications; ``status`` is what it answers."""

    def __init__(self) -> None:
        self.status = 200
        self.got: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers), body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_args: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture
def subscribed(served: str, receiver: Receiver) -> ShopSimulator:
    for topic in ("ORDERS_CREATE", "ORDERS_UPDATED", "REFUNDS_CREATE"):
        values = {"uri": receiver.url, "name": "odoo"}
        answer = ask(served, SUBSCRIBE, {"topic": topic, "input": values}).json()
        assert answer["data"]["webhookSubscriptionCreate"]["userErrors"] == []
    return ShopSimulator(served)


def signed(headers: dict[str, str], body: bytes) -> bool:
    digest = hmac.new(APP["client_secret"].encode(), body, hashlib.sha256).digest()
    return headers["X-Shopify-Hmac-Sha256"] == base64.b64encode(digest).decode()


def test_notifications_are_signed_and_complete(
    subscribed: ShopSimulator, receiver: Receiver
) -> None:
    order = subscribed.place_order(lines=[{"sku": "MUG-350", "quantity": 2}])
    assert subscribed.wait_for_webhooks() == 0
    topics = {headers["X-Shopify-Topic"] for headers, _body in receiver.got}
    assert topics == {"orders/create", "orders/updated"}
    for headers, body in receiver.got:
        assert signed(headers, body)
        payload = json.loads(body)
        assert payload["admin_graphql_api_id"] == order["id"]
        assert payload["total_price"] == order["total"]["shop"]
        assert headers["X-Shopify-Shop-Domain"] == "demo-shop.myshopify.com"
        assert headers["X-Shopify-Name"] == "odoo"
        for name in ("API-Version", "Webhook-Id", "Event-Id", "Triggered-At"):
            assert headers[f"X-Shopify-{name}"]
    assert len({headers["X-Shopify-Webhook-Id"] for headers, _body in receiver.got}) == 2
    # One thing happened, two topics tell of it.
    assert len({headers["X-Shopify-Event-Id"] for headers, _body in receiver.got}) == 1


def test_resent_notifications_keep_event_and_body(
    subscribed: ShopSimulator, receiver: Receiver
) -> None:
    order = subscribed.place_order(lines=[{"sku": "MUG-350"}])
    subscribed.wait_for_webhooks()
    first = list(receiver.got)
    subscribed.act(order["name"], "touch", note="later")
    subscribed.wait_for_webhooks()
    receiver.got.clear()
    assert subscribed.resend_webhooks(3) == 9
    subscribed.wait_for_webhooks()
    assert len(receiver.got) == 9
    for headers, body in first:
        topic = headers["X-Shopify-Topic"]
        same = [h for h, b in receiver.got if (b, h["X-Shopify-Topic"]) == (body, topic)]
        assert len(same) == 3
        assert {h["X-Shopify-Event-Id"] for h in same} == {headers["X-Shopify-Event-Id"]}
        assert headers["X-Shopify-Webhook-Id"] not in {h["X-Shopify-Webhook-Id"] for h in same}


def test_dropped_doubled_held_and_forged(subscribed: ShopSimulator, receiver: Receiver) -> None:
    subscribed.webhook_faults(drop=1.0)
    subscribed.place_order(lines=[{"sku": "MUG-350"}])
    subscribed.wait_for_webhooks()
    assert receiver.got == []
    subscribed.webhook_faults(drop=0, duplicate=1.0)
    subscribed.place_order(lines=[{"sku": "MUG-350"}])
    subscribed.wait_for_webhooks()
    assert len(receiver.got) == 4
    subscribed.webhook_faults(duplicate=0, hold=True)
    subscribed.place_order(lines=[{"sku": "MUG-350"}])
    subscribed.wait_for_webhooks()
    assert len(receiver.got) == 4
    subscribed.webhook_faults(hold=False, reorder=True, delay=[0, 0.2])
    subscribed.wait_for_webhooks()
    assert len(receiver.got) == 6
    receiver.got.clear()
    subscribed.webhook_faults(reorder=False, delay=[0, 0])
    assert subscribed.send_webhook("orders/create", body="{no json") == 1
    assert subscribed.send_webhook("orders/create", payload={"id": 1}, badSignature=True) == 1
    subscribed.wait_for_webhooks()
    assert sorted(signed(h, b) for h, b in receiver.got) == [False, True]


def test_a_forgery_is_not_tried_again(subscribed: ShopSimulator, receiver: Receiver) -> None:
    receiver.status = 401
    assert subscribed.send_webhook("orders/create", payload={"id": 1}, badSignature=True) == 1
    assert subscribed.wait_for_webhooks() == 0
    assert [row["status"] for row in subscribed.webhook_log()] == ["refused"]
    assert len(receiver.got) == 1


def test_a_dead_receiver_loses_its_subscription(
    subscribed: ShopSimulator, receiver: Receiver
) -> None:
    receiver.status = 500
    subscribed.configure(webhookBackoff=[0.01] * 8)
    subscribed.place_order(lines=[{"sku": "MUG-350"}])
    assert subscribed.wait_for_webhooks() == 0
    topics = {row["topic"] for row in subscribed.get("subscriptions")}
    assert topics == {"REFUNDS_CREATE"}
    assert len(receiver.got) == 18


# === CONTROL AND PAGE === #


def test_control_of_orders(served: str) -> None:
    control = ShopSimulator(served)
    placed = control.place_random_orders(5, seed=2)
    assert [o["name"] for o in placed] == [o["name"] for o in control.orders()]
    order = control.place_order(lines=[{"sku": "MUG-350", "quantity": 2}], payment="pending")
    for action, status in (("pay", "PAID"), ("refund", "PAID"), ("cancel", "REFUNDED")):
        spec = {"lines": [{"line": 0}]} if action == "refund" else {}
        answer = control.act(order["id"], action, **spec)
        if action != "refund":
            assert answer["financialStatus"] == status
    with pytest.raises(SimulatorError, match="already been canceled"):
        control.act(order["name"], "cancel")
    with pytest.raises(SimulatorError, match="does not exist"):
        control.order("9999")
    control.reset()
    assert control.orders() == []
    assert len(control.products()) == 12


def test_new_products_can_be_added(served: str) -> None:
    control = ShopSimulator(served)
    product = control.add_product(title="Lamp", sku="LAMP", price="40", stock=3, barcode="1")
    assert product["variants"][0]["sku"] == "LAMP"
    control.post("products/update", {"sku": "LAMP", "set": {"sku": "LAMP-2", "price": "41.50"}})
    order = control.place_order(lines=[{"sku": "LAMP-2"}])
    assert order["lines"][0]["unitPrice"]["shop"] == "41.50"


def test_the_page_can_be_played_with(served: str) -> None:
    control = ShopSimulator(served)
    answer = requests.post(f"{served}/page/place", timeout=10)
    assert answer.ok and "Order #1001 was placed." in answer.text
    (order,) = control.orders()
    key = order["id"].rsplit("/", 1)[-1]
    for action in ("edit", "refund", "cancel"):
        page = requests.post(f"{served}/page/{action}", data={"order": key}, timeout=10)
        assert page.ok and "#1001" in page.text
    assert control.orders()[0]["cancelled"]
    assert "<script" not in page.text
