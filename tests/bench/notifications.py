"""The side of a service that notifies: signed events for the connector of the tests."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import os
from collections.abc import Sequence
from typing import Any

from . import load
from .case import Case, Sample
from .stack import Stack

SECRET = "bench-secret"
WEBHOOK = "/integration/webhook/"
EMPTY = "/integration_generic/empty"
#: Bytes of a notification.
BODY = 10_000

_numbers = itertools.count(1)
#: Rounds of one process have other ids than those of the process before.
_run = os.urandom(4).hex()


class NotifiedCase(Case):
    """Notifications to the route of a backend; the floor is a route that only answers 200.

    They are received while a drain is at work on others, which is pretended by holding its slot: so
    they wake nobody, and what they cause is not measured.
    """

    notifications: int
    pretended: Any = None

    def prepare(self, stack: Stack) -> None:
        self.stack = stack
        with stack.environment() as env:
            from odoo.addons.integration_base.models.integration_engine import (
                LOCK_SLOT,
                MAX_SLOTS,
            )

            backend = env["integration.backend"].create(
                {"name": f"Bench {self.name()}", "connector": "generic", "state": "active"}
            )
            backend.flow_ids.write({"enabled": False})
            secrets = backend.credential_ids.filtered(lambda row: row.code == "secret")
            secrets.value = SECRET
            self.backend = backend.id
            flow = backend.flow_ids.filtered(lambda flow: flow.resource == "contact")
            self.flow = flow.id
            self.pretended = stack.server.connect()
            with self.pretended.cursor() as cursor:
                for slot in range(flow.slots):
                    cursor.execute(
                        "SELECT pg_advisory_lock(%s, %s)", [LOCK_SLOT, flow.id * MAX_SLOTS + slot]
                    )
            flow.enabled = True
            self.url = f"{stack.server.url}{WEBHOOK}{backend.webhook_token}"
        stack.settle()
        for _worker in range(4):  # each worker loads its registry with its first request
            load.send(self.url, [self.event(), self.floor_request(stack)])

    def event(self, event_id: str | None = None) -> bytes:
        """A signed notification; a new event unless an id is given."""
        number = next(_numbers)
        contact = {"id": f"bench-{event_id or number}", "note": ""}
        contact["note"] = "x" * (BODY - len(json.dumps(contact)))
        body = json.dumps(contact).encode()
        headers = {
            "X-Signature": hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest(),
            "X-Topic": "contacts/updated",
            "X-Event-Id": event_id or f"{_run}-{number}",
        }
        return load.post(self.url, headers, body)

    def floor_request(self, stack: Stack) -> bytes:
        """The same amount of data to the empty route."""
        return load.post(f"{stack.server.url}{EMPTY}", {}, b"x" * BODY)

    def send(self, stack: Stack, requests: Sequence[bytes], path: str) -> Sample:
        """Send requests to `path`.

        :raises RuntimeError: one of them was not answered with 2xx.
        """
        stack.settle()
        position = stack.log.position()
        outcome = load.send(stack.server.url, requests)
        refused = {status: n for status, n in outcome.statuses.items() if status // 100 != 2}
        if refused:
            raise RuntimeError(f"answers that were not 2xx: {refused} (see {stack.log.file})")

        def answered() -> Any:
            log = list(stack.log.requests(position, path))
            return len(log) >= len(requests) and log

        log = stack.wait("every request is logged", answered)
        return Sample(len(requests), outcome.seconds, sum(request.queries for request in log))

    def floor(self, stack: Stack) -> Sample:
        count = self.count(self.notifications)
        return self.send(stack, [self.floor_request(stack)] * count, EMPTY)

    def close(self) -> None:
        """Let nobody work on what was received: another case may use the server."""
        if self.pretended:
            with self.stack.environment() as env:
                env["integration.flow"].browse(self.flow).enabled = False
            self.pretended.close()
