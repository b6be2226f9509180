"""Signed notifications, and the ways they go wrong."""

from __future__ import annotations

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
from typing import Any

import requests

from .store import Config, Refused, Row, text_of


@dataclass
class Subscription:
    id: str
    url: str
    topics: tuple[str, ...]

    def shown(self) -> dict[str, Any]:
        return {"id": self.id, "url": self.url, "topics": list(self.topics)}


@dataclass
class WebhookFaults:
    """Shares of notifications that get lost or sent twice, and how late they come."""

    drop: float = 0.0
    duplicate: float = 0.0
    #: seconds, lowest and highest; with a spread they arrive in any order
    delay: tuple[float, float] = (0.0, 0.0)
    hold: bool = False


@dataclass
class Delivery:
    subscription: Subscription
    topic: str
    body: bytes
    event_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "waiting"
    tries: int = 0
    answer: int | None = None
    error: str | None = None
    bad_signature: bool = False

    def shown(self) -> dict[str, Any]:
        return {
            "topic": self.topic,
            "eventId": self.event_id,
            "status": self.status,
            "tries": self.tries,
            "httpStatus": self.answer,
            "error": self.error,
            "body": self.body.decode(),
        }


def sign(body: bytes, secret: str) -> str:
    """HMAC-SHA256 of the raw body in hexadecimal digits."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Webhooks:
    """Queue and senders. Thread-safe; ``emit`` never blocks."""

    def __init__(self, config: Config, senders: int = 4) -> None:
        self.config = config
        self.subscriptions: dict[str, Subscription] = {}
        self._wake = threading.Condition()
        self._serial = itertools.count(1)
        self._stopping = False
        self._busy = 0
        self._clear()
        self._threads = [
            threading.Thread(target=self._send_loop, name=f"webhooks-{n}", daemon=True)
            for n in range(senders)
        ]

    def _clear(self) -> None:
        self.faults = WebhookFaults()
        self.log: list[Delivery] = []
        self._queue: list[tuple[float, int, Delivery]] = []
        self._held: list[Delivery] = []
        self._random = random.Random(self.config.seed)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        with self._wake:
            self._stopping = True
            self._wake.notify_all()

    def reset(self) -> None:
        with self._wake:
            self._clear()
            self.subscriptions.clear()

    # === SUBSCRIPTIONS === #

    def subscribe(self, values: dict[str, Any]) -> Subscription:
        url, topics = values.get("url"), values.get("topics")
        if not isinstance(url, str) or not isinstance(topics, list):
            raise Refused("a subscription needs url and topics", 422)
        with self._wake:
            row = Subscription(f"W{next(self._serial)}", url, tuple(topics))
            self.subscriptions[row.id] = row
            return row

    def unsubscribe(self, subscription_id: str) -> Subscription:
        with self._wake:
            if subscription_id not in self.subscriptions:
                raise Refused(f"there is no subscription {subscription_id}", 404)
            return self.subscriptions.pop(subscription_id)

    # === CREATING NOTIFICATIONS === #

    def emit(self, topic: str, row: Row) -> None:
        """Tell every subscriber of the topic, e.g. ``contacts/updated``."""
        content = {"id": row.id, "updated_at": text_of(row.updated_at), "deleted": row.deleted}
        body = json.dumps(content).encode()
        with self._wake:
            event_id = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
            for subscription in self.subscriptions.values():
                if topic in subscription.topics:
                    self._dispatch(Delivery(subscription, topic, body, event_id))

    def _dispatch(self, delivery: Delivery) -> None:
        self.log.append(delivery)
        # all drawn each time, so that one setting does not shift the others
        lost, twice = self._random.random(), self._random.random()
        if lost < self.faults.drop:
            delivery.status = "dropped"
            return
        for _copy in range(2 if twice < self.faults.duplicate else 1):
            if self.faults.hold:
                delivery.status = "held"
                self._held.append(delivery)
            else:
                self._enqueue(delivery, self._random.uniform(*self.faults.delay))

    def _enqueue(self, delivery: Delivery, wait: float) -> None:
        heapq.heappush(self._queue, (time.monotonic() + wait, next(self._serial), delivery))
        self._wake.notify()

    # === CONTROL === #

    def configure(self, values: dict[str, Any]) -> None:
        """Set the trouble; ``hold`` set to false sends what was held, in any order."""
        unknown = set(values) - {"drop", "duplicate", "delay", "hold"}
        if unknown:
            raise Refused(f"unknown setting {', '.join(sorted(unknown))}", 400)
        with self._wake:
            for name, value in values.items():
                setattr(self.faults, name, tuple(value) if name == "delay" else value)
            if not self.faults.hold and self._held:
                held, self._held = self._held, []
                self._random.shuffle(held)
                for delivery in held:
                    self._enqueue(delivery, self._random.uniform(*self.faults.delay))

    def resend(self, times: int = 1) -> int:
        """Send everything delivered so far again: same event, same body."""
        with self._wake:
            delivered = [d for d in self.log if d.status == "delivered"]
            for _round in range(times):
                for original in delivered:
                    self._enqueue(
                        Delivery(
                            original.subscription, original.topic, original.body, original.event_id
                        ),
                        0,
                    )
            return len(delivered) * times

    def send(self, topic: str, body: bytes, bad_signature: bool = False) -> int:
        """Send a body of the caller's choice to the subscribers of a topic."""
        with self._wake:
            wanted = [s for s in self.subscriptions.values() if topic in s.topics]
            for subscription in wanted:
                delivery = Delivery(subscription, topic, body, bad_signature=bad_signature)
                self.log.append(delivery)
                self._enqueue(delivery, 0)
            return len(wanted)

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

    def _send(self, session: requests.Session, delivery: Delivery) -> None:
        delivery.tries += 1
        limit = self.config.webhook_timeout
        secret = self.config.secret + ("-forged" if delivery.bad_signature else "")
        headers = {
            "Content-Type": "application/json",
            "X-Topic": delivery.topic,
            "X-Event-Id": delivery.event_id,
            "X-Signature": sign(delivery.body, secret),
        }
        try:
            answer = session.post(
                delivery.subscription.url,
                data=delivery.body,
                headers=headers,
                timeout=(min(1.0, limit), limit),
                allow_redirects=False,
            )
            delivery.answer, delivery.error = answer.status_code, None
        except requests.RequestException as error:
            delivery.answer, delivery.error = None, type(error).__name__
        if delivery.answer is not None and 200 <= delivery.answer < 300:
            delivery.status = "delivered"
            return
        backoff = self.config.webhook_backoff
        if delivery.bad_signature or delivery.tries > len(backoff):
            delivery.status = "refused" if delivery.bad_signature else "failed"
            return
        delivery.status = "retrying"
        with self._wake:
            self._enqueue(delivery, backoff[delivery.tries - 1])
