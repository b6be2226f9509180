"""Delivery of notifications: signed, late, doubled, lost and retried as told."""

from __future__ import annotations

import base64
import hashlib
import heapq
import hmac
import itertools
import json
import random
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import requests

from .mutations import Subscription
from .payloads import payload
from .search import Search
from .shop import Shop

_PREFIXES = sorted(
    [
        "APP",
        "APP_SUBSCRIPTIONS",
        "BULK_OPERATIONS",
        "COLLECTIONS",
        "COMPANIES",
        "COMPANY_CONTACTS",
        "COMPANY_CONTACT_ROLES",
        "COMPANY_LOCATIONS",
        "CUSTOMERS",
        "CUSTOMERS_EMAIL_MARKETING_CONSENT",
        "CUSTOMERS_MARKETING_CONSENT",
        "DISPUTES",
        "DRAFT_ORDERS",
        "FULFILLMENTS",
        "FULFILLMENT_EVENTS",
        "FULFILLMENT_HOLDS",
        "FULFILLMENT_ORDERS",
        "INVENTORY_ITEMS",
        "INVENTORY_LEVELS",
        "LOCATIONS",
        "ORDERS",
        "ORDER_TRANSACTIONS",
        "PAYMENT_TERMS",
        "PRODUCTS",
        "REFUNDS",
        "RETURNS",
        "REVERSE_FULFILLMENT_ORDERS",
        "SHOP",
        "TENDER_TRANSACTIONS",
    ],
    key=len,
    reverse=True,
)


def topic_path(topic: str) -> str:
    """ORDERS_CREATE -> orders/create, ORDER_TRANSACTIONS_CREATE -> order_transactions/create."""
    if topic.startswith("CUSTOMER_TAGS_"):
        # one of the few with a dot
        return f"customer.{topic.removeprefix('CUSTOMER_').lower()}"
    for prefix in _PREFIXES:
        if topic.startswith(prefix + "_"):
            return f"{prefix.lower()}/{topic[len(prefix) + 1 :].lower()}"
    head, _sep, tail = topic.rpartition("_")
    return f"{head.lower()}/{tail.lower()}"


def sign(body: bytes, secret: str) -> str:
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


@dataclass
class WebhookFaults:
    """What goes wrong on the way. Shares are probabilities; ``delay`` is a range of seconds."""

    drop: float = 0.0
    duplicate: float = 0.0
    delay: tuple[float, float] = (0.0, 0.0)
    reorder: bool = False
    hold: bool = False


@dataclass
class Delivery:
    """One notification on its way to one subscription."""

    subscription: Subscription
    topic: str
    body: bytes
    event_id: str
    triggered_at: str
    webhook_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    tries: int = 0
    status: str = "queued"
    answer: int | None = None
    error: str | None = None
    bad_signature: bool = False
    at: float = field(default_factory=time.time)

    def as_dict(self) -> dict[str, Any]:
        return {
            "topic": topic_path(self.topic),
            "uri": self.subscription.uri,
            "eventId": self.event_id,
            "webhookId": self.webhook_id,
            "triggeredAt": self.triggered_at,
            "status": self.status,
            "httpStatus": self.answer,
            "error": self.error,
            "tries": self.tries,
            "body": self.body.decode("utf-8", "replace"),
        }


class Webhooks:
    """Queue and senders. Thread-safe; ``emit`` is called under the shop's lock and never blocks."""

    def __init__(self, shop: Shop, senders: int = 4) -> None:
        self.shop = shop
        self.faults = WebhookFaults()
        self.log: list[Delivery] = []
        self.dropped = 0
        self._wake = threading.Condition()
        self._queue: list[tuple[float, int, Delivery]] = []
        self._held: list[Delivery] = []
        self._serial = itertools.count()
        self._busy = 0
        self._random = random.Random(shop.config.seed)
        self._stopping = False
        shop.emit = self.emit
        self._threads = [
            threading.Thread(target=self._send_loop, name=f"webhooks-{n}", daemon=True)
            for n in range(senders)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        with self._wake:
            self._stopping = True
            self._wake.notify_all()

    def reset(self) -> None:
        with self._wake:
            self._queue.clear()
            self._held.clear()
            self.log.clear()
            self.dropped = 0
            self.faults = WebhookFaults()
            self._random = random.Random(self.shop.config.seed)

    # === CREATING NOTIFICATIONS === #

    def emit(self, topic: str, record: Any) -> None:
        """An event happened: snapshot its payload for every subscription of the topic."""
        subscriptions = [s for s in self.shop.all("WebhookSubscription") if s.topic == topic]
        if not subscriptions:
            return
        content = payload(self.shop, topic, record)
        moment = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "000Z")
        for subscription in subscriptions:
            if not self._passes(subscription, content):
                continue
            body = self._body(subscription, content)
            self._dispatch(Delivery(subscription, topic, body, self.shop.event_id, moment))

    def _passes(self, subscription: Subscription, content: dict[str, Any]) -> bool:
        if not subscription.filter:
            return True
        fields = {
            key: (lambda name: lambda row: row.get(name))(key)
            for key, value in content.items()
            if not isinstance(value, dict | list)
        }
        return bool(Search(subscription.filter, fields, "UTC").filter([content]))

    @staticmethod
    def _body(subscription: Subscription, content: dict[str, Any]) -> bytes:
        if subscription.include_fields:
            content = {
                key: value
                for key, value in content.items()
                if key in {name.split(".")[0] for name in subscription.include_fields}
            }
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()

    def _dispatch(self, delivery: Delivery) -> None:
        with self._wake:
            faults = self.faults
            if self._random.random() < faults.drop:
                delivery.status = "dropped"
                self.dropped += 1
                self.log.append(delivery)
                return
            copies = 2 if self._random.random() < faults.duplicate else 1
            self.log.append(delivery)
            for _copy in range(copies):
                if faults.hold:
                    self._held.append(delivery)
                    delivery.status = "held"
                else:
                    self._enqueue(delivery, self._wait())

    def _wait(self) -> float:
        low, high = self.faults.delay
        wait = self._random.uniform(low, high)
        if self.faults.reorder:
            wait += self._random.uniform(0, 0.5)
        return wait

    def _enqueue(self, delivery: Delivery, wait: float) -> None:
        heapq.heappush(self._queue, (time.monotonic() + wait, next(self._serial), delivery))
        self._wake.notify()

    # === CONTROL === #

    def configure(self, values: dict[str, Any]) -> None:
        with self._wake:
            for key in ("drop", "duplicate", "reorder", "hold"):
                if key in values:
                    setattr(self.faults, key, values[key])
            if "delay" in values:
                low, high = values["delay"]
                self.faults.delay = (float(low), float(high))
            if not self.faults.hold and self._held:
                held, self._held = self._held, []
                if self.faults.reorder:
                    self._random.shuffle(held)
                for delivery in held:
                    self._enqueue(delivery, self._wait())

    def resend(self, times: int = 1) -> int:
        """Send everything delivered so far again: same event, original body, new delivery id."""
        with self._wake:
            seen: dict[tuple[str, int, bytes], Delivery] = {}
            for delivery in self.log:
                if delivery.status == "delivered":
                    key = (delivery.event_id, delivery.subscription.id, delivery.body)
                    seen.setdefault(key, delivery)
            for _round in range(times):
                for original in seen.values():
                    copy = Delivery(
                        original.subscription,
                        original.topic,
                        original.body,
                        original.event_id,
                        original.triggered_at,
                    )
                    self.log.append(copy)
                    self._enqueue(copy, self._wait())
            return len(seen) * times

    def send_raw(
        self, topic: str, body: bytes, *, bad_signature: bool = False, uri: str | None = None
    ) -> int:
        """Send a body of the caller's choice to the subscriptions of a topic.

        :param uri: send it there instead: compliance topics have an address in the app's settings.
        """
        sent = 0
        moment = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "000Z")
        subscriptions = self.shop.all("WebhookSubscription")
        if uri:
            subscriptions = [Subscription(0, topic=topic, uri=uri)]
        for subscription in subscriptions:
            if subscription.topic == topic:
                delivery = Delivery(subscription, topic, body, str(uuid.uuid4()), moment)
                delivery.bad_signature = bad_signature
                with self._wake:
                    self.log.append(delivery)
                    self._enqueue(delivery, 0)
                sent += 1
        return sent

    @property
    def pending(self) -> int:
        """Notifications not yet answered, retries included; held ones do not count."""
        with self._wake:
            return len(self._queue) + self._busy

    # === SENDING === #

    def _send_loop(self) -> None:
        session = requests.Session()
        session.trust_env = False
        while True:
            with self._wake:
                while not self._stopping:
                    now = time.monotonic()
                    if self._queue and self._queue[0][0] <= now:
                        break
                    self._wake.wait(self._queue[0][0] - now if self._queue else None)
                if self._stopping:
                    return
                delivery = heapq.heappop(self._queue)[2]
                self._busy += 1
            try:
                self._send(session, delivery)
            finally:
                with self._wake:
                    self._busy -= 1

    def _headers(self, delivery: Delivery) -> dict[str, str]:
        config = self.shop.config
        secret = config.webhook_secret or config.client_secret
        if delivery.bad_signature:
            secret += "-forged"
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Shopify-Captain-Hook",
            "X-Shopify-Topic": topic_path(delivery.topic),
            "X-Shopify-Hmac-Sha256": sign(delivery.body, secret),
            "X-Shopify-Shop-Domain": config.domain,
            "X-Shopify-API-Version": config.webhook_version,
            "X-Shopify-Webhook-Id": delivery.webhook_id,
            "X-Shopify-Event-Id": delivery.event_id,
            "X-Shopify-Triggered-At": delivery.triggered_at,
            "X-Shopify-Test": "false",
        }
        if delivery.subscription.name:
            headers["X-Shopify-Name"] = delivery.subscription.name
        return headers

    def _send(self, session: requests.Session, delivery: Delivery) -> None:
        delivery.tries += 1
        limit = self.shop.config.webhook_timeout
        try:
            answer = session.post(
                delivery.subscription.uri,
                data=delivery.body,
                headers=self._headers(delivery),
                timeout=(min(1.0, limit), limit),
                allow_redirects=False,
            )
            delivery.answer, delivery.error = answer.status_code, None
        except requests.RequestException as error:
            delivery.answer, delivery.error = None, type(error).__name__
        if delivery.answer is not None and 200 <= delivery.answer < 300:
            delivery.status = "delivered"
            delivery.subscription.failures = 0
            return
        self._failed(delivery)

    def _failed(self, delivery: Delivery) -> None:
        if delivery.bad_signature:
            # Not Shopify's doing, so nobody tries again.
            delivery.status = "refused"
            return
        backoff = self.shop.config.webhook_backoff
        if delivery.tries <= len(backoff):
            delivery.status = "retrying"
            with self._wake:
                self._enqueue(delivery, backoff[delivery.tries - 1])
            return
        delivery.status = "failed"
        subscription = delivery.subscription
        # A notification that exhausted its retries was refused that many times in a row.
        subscription.failures += delivery.tries
        self.shop.unsaved.set()
        if subscription.failures >= self.shop.config.webhook_failures:
            with self.shop.lock:
                self.shop.records.get("WebhookSubscription", {}).pop(subscription.id, None)
