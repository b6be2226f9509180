"""The service's API: `/api/<collection>`, `/api/me` and `/api/webhooks`."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Request

from .store import COLLECTIONS, CREATE_ONLY, Refused, moment_of, text_of

if TYPE_CHECKING:
    from .app import Simulator


def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(request.get_data())
    except ValueError:
        raise Refused("the body is not JSON", 400) from None
    if not isinstance(body, dict):
        raise Refused("the body is not an object", 400)
    return body


def _list(request: Request, name: str) -> list[str]:
    return [value for value in request.args[name].split(",") if value]


def _token(position: tuple[datetime, str] | None) -> str | None:
    if position is None:
        return None
    return base64.urlsafe_b64encode(f"{text_of(position[0])}|{position[1]}".encode()).decode()


def _position(token: str | None) -> tuple[datetime, str] | None:
    if not token:
        return None
    try:
        moment, row_id = base64.urlsafe_b64decode(token).decode().split("|")
    except (ValueError, binascii.Error):
        raise Refused("the page token is not one of ours", 400) from None
    return moment_of(moment), row_id


class Api:
    """Endpoints by name, e.g. ``contacts.fetch``; the name is what calls are counted under."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.store = simulator.store

    def find(self, request: Request) -> tuple[str, str, Callable[[], tuple[int, Any]]]:
        """Return ``(endpoint, collection, call)`` of a request; the call does the work.

        :raises Refused: there is no such endpoint.
        """
        parts = request.path.strip("/").split("/")[1:]
        method = request.method
        if parts == ["me"] and method == "GET":
            return "me", "", lambda: (200, {"name": "Simulated service"})
        if parts[:1] == ["webhooks"]:
            return self._find_webhooks(request, parts[1:])
        if not parts or parts[0] not in COLLECTIONS:
            raise Refused("Not Found", 404)
        collection, rest = parts[0], parts[1:]
        if method in ("PUT", "DELETE") and collection in CREATE_ONLY:
            raise Refused(f"{collection} cannot be changed", 405)
        name, call = self._find_rows(request, collection, rest)
        return f"{collection}.{name}", collection, call

    def _find_rows(
        self, request: Request, collection: str, rest: list[str]
    ) -> tuple[str, Callable[[], tuple[int, Any]]]:
        store = self.store
        match request.method, rest:
            case "GET", []:
                if "ids" in request.args:
                    ids = _list(request, "ids")
                    return "fetch", lambda: self._some(store.by_ids(collection, ids))
                if "reference" in request.args:
                    keys = _list(request, "reference")
                    return "search", lambda: self._some(store.by_references(collection, keys))
                return "list", lambda: self._page(request, collection)
            case "GET", ["count"]:
                return "count", lambda: (200, {"count": store.count(collection)})
            case "GET", [row_id]:
                return "read", lambda: (200, store.row(collection, row_id).shown())
            case "POST", []:
                return "create", lambda: (201, store.create(collection, _body(request)).shown())
            case "POST", ["batch"]:
                return "create", lambda: self._batch(
                    request, lambda values: store.create(collection, values)
                )
            case "PUT", ["batch"]:
                return "update", lambda: self._batch(
                    request,
                    lambda values: store.update(collection, str(values.get("id")), values),
                )
            case "PUT", [row_id]:
                return "update", lambda: (
                    200, store.update(collection, row_id, _body(request)).shown()
                )  # fmt: skip
            case "DELETE", [row_id]:
                return "delete", lambda: (200, store.delete(collection, row_id).shown())
        raise Refused("Not Found", 404)

    def _find_webhooks(
        self, request: Request, rest: list[str]
    ) -> tuple[str, str, Callable[[], tuple[int, Any]]]:
        webhooks = self.simulator.webhooks
        match request.method, rest:
            case "GET", []:
                rows = webhooks.subscriptions
                call = lambda: (200, {"rows": [row.shown() for row in rows.values()]})  # noqa: E731
            case "POST", []:
                call = lambda: (201, webhooks.subscribe(_body(request)).shown())  # noqa: E731
            case "DELETE", [row_id]:
                call = lambda: (200, webhooks.unsubscribe(row_id).shown())  # noqa: E731
            case _:
                raise Refused("Not Found", 404)
        return f"webhooks.{request.method.lower()}", "webhooks", call

    # === ANSWERS === #

    def _some(self, rows: list[Any]) -> tuple[int, Any]:
        if len(rows) > self.simulator.config.page_size:
            raise Refused(f"at most {self.simulator.config.page_size} records a call")
        return 200, {"rows": [row.shown() for row in rows]}

    def _page(self, request: Request, collection: str) -> tuple[int, Any]:
        since = request.args.get("updated_since")
        most = self.simulator.config.page_size
        try:
            limit = min(int(request.args.get("limit", most)), most)
        except ValueError:
            raise Refused("limit is a number", 400) from None
        rows, position = self.store.page(
            collection,
            moment_of(since) if since else None,
            _position(request.args.get("page")),
            max(limit, 1),
            request.args.get("deleted") == "1",
        )
        return 200, {"rows": [row.shown() for row in rows], "next": _token(position)}

    def _batch(self, request: Request, write: Callable[[dict[str, Any]], Any]) -> tuple[int, Any]:
        """Write rows one by one; each answers for itself, in the order asked."""
        rows = _body(request).get("rows")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise Refused("rows is a list of objects", 400)
        if len(rows) > self.simulator.config.page_size:
            raise Refused(f"at most {self.simulator.config.page_size} records a call")
        answers = []
        for values in rows:
            try:
                answers.append(write(values).shown())
            except Refused as error:
                answers.append({"error": str(error), "status": error.status})
        return 200, {"rows": answers}
