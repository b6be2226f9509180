"""The control API: what the rest of the world does to the service (reference: README.md)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Request, Response

from .store import COLLECTIONS, Refused

if TYPE_CHECKING:
    from .app import Simulator


def _json(body: Any, status: int = 200) -> Response:
    return Response(json.dumps(body) + "\n", status, content_type="application/json")


class Control:
    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.routes: dict[tuple[str, str], Callable[[Request, dict[str, Any]], Any]] = {
            ("GET", "health"): self.health,
            ("POST", "reset"): lambda request, body: simulator.reset(),
            ("GET", "config"): lambda request, body: simulator.config.shown(),
            ("POST", "config"): self.configure,
            ("POST", "changes"): self.change,
            ("GET", "journal"): self.journal,
            ("GET", "calls"): self.calls,
            ("POST", "calls/reset"): self.reset_calls,
            ("GET", "faults"): lambda request, body: simulator.faults.shown(),
            ("POST", "faults"): self.set_faults,
            ("DELETE", "faults"): self.clear_faults,
            ("POST", "outage"): self.outage,
            ("GET", "webhooks"): lambda request, body: asdict(simulator.webhooks.faults),
            ("POST", "webhooks"): self.set_webhooks,
            ("GET", "webhooks/log"): self.webhook_log,
            ("POST", "webhooks/resend"): self.resend,
            ("POST", "webhooks/send"): self.send,
            ("POST", "webhooks/wait"): self.wait,
        }

    def route(self, request: Request) -> Response:
        path = request.path.removeprefix("/control/").strip("/")
        try:
            body = json.loads(request.get_data() or b"{}")
            if path.startswith("records/") and request.method == "GET":
                return _json(self.records(path.removeprefix("records/")))
            handler = self.routes.get((request.method, path))
            if handler is None:
                return _json({"error": f"there is no {request.method} {path}"}, 404)
            return _json(handler(request, body))
        except Refused as error:
            return _json({"error": str(error)}, error.status)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return _json({"error": f"{type(error).__name__}: {error}"}, 400)

    # === SERVICE === #

    def health(self, request: Request, body: dict[str, Any]) -> Any:
        store = self.simulator.store
        with store.lock:
            return {
                "records": {name: store.count(name) for name in COLLECTIONS},
                "writes": len(store.journal),
                "pending": self.simulator.webhooks.pending,
            }

    def configure(self, request: Request, body: dict[str, Any]) -> Any:
        with self.simulator.store.lock:
            self.simulator.config.update(body)
            self.simulator.limits.reset()
            return self.simulator.config.shown()

    def change(self, request: Request, body: dict[str, Any]) -> Any:
        """Do what people do in the service itself; the records may be odd."""
        store = self.simulator.store
        changed = []
        for spec in body["changes"]:
            collection = spec.get("collection", "contacts")
            if collection not in COLLECTIONS:
                raise Refused(f"there is no collection {collection}", 400)
            values = spec.get("values", {})
            with store.lock:
                match spec["action"]:
                    case "create":
                        row = store.create(collection, values, "control")
                    case "update":
                        row = store.update(collection, spec["id"], values, "control")
                    case "delete":
                        row = store.delete(collection, spec["id"], "control")
                    case action:
                        raise Refused(f"unknown action {action}", 400)
                changed.append(row.shown())
        return changed

    def records(self, collection: str) -> Any:
        store = self.simulator.store
        if collection not in COLLECTIONS:
            raise Refused(f"there is no collection {collection}", 404)
        with store.lock:
            return [row.shown() for row in store.rows[collection].values()]

    def journal(self, request: Request, body: dict[str, Any]) -> Any:
        after = int(request.args.get("after", 0))
        collection = request.args.get("collection")
        with self.simulator.store.lock:
            writes = self.simulator.store.journal[after:]
        return [asdict(w) for w in writes if collection in (None, w.collection)]

    # === CALLS === #

    def calls(self, request: Request, body: dict[str, Any]) -> Any:
        with self.simulator.store.lock:
            return {
                "total": self.simulator.calls.total(),
                "byEndpoint": dict(self.simulator.calls),
                "byStatus": {str(key): n for key, n in self.simulator.answers.items()},
                "faults": dict(self.simulator.faults.hits),
            }

    def reset_calls(self, request: Request, body: dict[str, Any]) -> Any:
        with self.simulator.store.lock:
            self.simulator.calls.clear()
            self.simulator.answers.clear()
            self.simulator.faults.hits.clear()

    # === TROUBLE === #

    def set_faults(self, request: Request, body: Any) -> Any:
        faults = self.simulator.faults
        if isinstance(body, list) or "kind" in body:
            faults.add(body if isinstance(body, list) else [body])
        else:
            faults.configure(body)
        return faults.shown()

    def clear_faults(self, request: Request, body: dict[str, Any]) -> Any:
        self.simulator.faults.clear(self.simulator.faults.seed)

    def outage(self, request: Request, body: dict[str, Any]) -> Any:
        self.simulator.faults.begin_outage(body["seconds"], body.get("kind", "reset_before"))

    # === NOTIFICATIONS === #

    def set_webhooks(self, request: Request, body: dict[str, Any]) -> Any:
        self.simulator.webhooks.configure(body)
        return asdict(self.simulator.webhooks.faults)

    def webhook_log(self, request: Request, body: dict[str, Any]) -> Any:
        return [delivery.shown() for delivery in list(self.simulator.webhooks.log)]

    def resend(self, request: Request, body: dict[str, Any]) -> Any:
        return {"sent": self.simulator.webhooks.resend(body.get("times", 1))}

    def send(self, request: Request, body: dict[str, Any]) -> Any:
        raw = body["body"] if "body" in body else json.dumps(body["payload"])
        sent = self.simulator.webhooks.send(
            body["topic"], raw.encode(), body.get("badSignature", False)
        )
        return {"sent": sent}

    def wait(self, request: Request, body: dict[str, Any]) -> Any:
        end = time.monotonic() + body.get("timeout", 30)
        while self.simulator.webhooks.pending and time.monotonic() < end:
            time.sleep(0.05)
        return {"pending": self.simulator.webhooks.pending}
