"""The HTTP side: routing, keys, rate limit, faults."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from .api import Api
from .control import Control
from .faults import Fault, Faults
from .limits import Limits
from .store import Config, Refused, Row, Store
from .webhooks import Webhooks

_PAGE = (
    "<!DOCTYPE html><html><head><title>Maintenance</title></head>"
    "<body><h1>We will be back soon</h1></body></html>"
)
_EVENTS = {"create": "created", "update": "updated", "delete": "deleted"}


class ConnectionCut(Exception):
    """The connection is to be reset instead of answered."""


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    text = json.dumps(body, ensure_ascii=False)
    return Response(text, status, headers, content_type="application/json; charset=utf-8")


class _Handler(WSGIRequestHandler):
    """Requests are counted, not printed; the service's clock may be wrong."""

    protocol_version = "HTTP/1.1"
    # an answer in two packets would wait for the client's delayed confirmation of the first
    disable_nagle_algorithm = True

    def log_request(self, *_args: Any) -> None:
        return

    def date_time_string(self, timestamp: float | None = None) -> str:
        skew = self.server.app.config.clock_skew
        return super().date_time_string((timestamp or time.time()) + skew)


class Simulator:
    """The whole service as a WSGI application."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self.store = Store(self.config, self._changed)
        self.webhooks = Webhooks(self.config)
        self.limits = Limits(self.config)
        self.faults = Faults(self.config.seed)
        self.calls: Counter[str] = Counter()
        self.answers: Counter[int] = Counter()
        self.api = Api(self)
        self.control = Control(self)
        self.server: BaseWSGIServer | None = None

    def _changed(self, action: str, collection: str, row: Row) -> None:
        self.webhooks.emit(f"{collection}/{_EVENTS[action]}", row)

    # === LIFE === #

    def listen(self, host: str, port: int) -> BaseWSGIServer:
        """Bind the port and start the notification senders."""
        self.server = make_server(host, port, self, threaded=True, request_handler=_Handler)
        self.server.daemon_threads = True
        self.webhooks.start()
        return self.server

    def close(self) -> None:
        self.webhooks.stop()
        if self.server:
            self.server.server_close()

    def reset(self) -> None:
        """Forget records, subscriptions, faults and counters; settings stay."""
        with self.store.lock:
            self.webhooks.reset()
            self.store.reset()
            self.limits.reset()
            self.faults.clear(self.config.seed)
            self.calls.clear()
            self.answers.clear()

    # === WSGI === #

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        request = Request(environ)
        # before the answer: what stays unread would be taken for the next request
        request.get_data()
        if request.path.startswith("/control/"):
            return self.control.route(request)(environ, start_response)
        try:
            response = self._answer(request)
        except ConnectionCut:
            _cut(environ)
            return []
        with self.store.lock:
            self.answers[response.status_code] += 1
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        if not request.path.startswith("/api/"):
            return json_response({"error": "Not Found"}, 404)
        try:
            endpoint, collection, call = self.api.find(request)
        except Refused as error:
            return json_response({"error": str(error)}, error.status)
        with self.store.lock:
            self.calls[endpoint] += 1
        fault = self.faults.draw(endpoint)
        if fault is None:
            return self._carry_out(request, collection, call)
        return self._with_fault(fault, lambda: self._carry_out(request, collection, call))

    def _carry_out(
        self, request: Request, collection: str, call: Callable[[], tuple[int, Any]]
    ) -> Response:
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        known = (secrets.compare_digest(key.encode(), k.encode()) for k in self.config.keys)
        if not any(known):
            return json_response({"error": "The key is not valid."}, 401)
        state = self.limits.take(key, collection)
        headers = state.headers()
        if state.wait:
            return json_response({"error": "Too many requests."}, 429, headers)
        try:
            with self.store.lock:
                status, body = call()
        except Refused as error:
            return json_response({"error": str(error)}, error.status, headers)
        return json_response(body, status, headers)

    # === FAULTS === #

    def _with_fault(self, fault: Fault, answer: Callable[[], Response]) -> Response:
        match fault.kind:
            case "timeout_before":
                time.sleep(fault.seconds)
                raise ConnectionCut
            case "reset_before":
                raise ConnectionCut
            case "html":
                return Response(_PAGE, 200, content_type="text/html; charset=utf-8")
            case "too_many":
                headers = {"Retry-After": f"{fault.retry_after:g}"}
                return json_response({"error": "Too many requests."}, 429, headers)
            case "server_error":
                return self._server_error(fault)
            case "hang":
                time.sleep(fault.seconds)
                return answer()
        response = answer()
        match fault.kind:
            case "timeout_after":
                time.sleep(fault.seconds)
                raise ConnectionCut
            case "reset_after":
                raise ConnectionCut
            case "server_error_after":
                return self._server_error(fault)
            case "html_after":
                return Response(_PAGE, 200, content_type="text/html; charset=utf-8")
        text = response.get_data()
        return Response(text[: len(text) // 2], 200, content_type="application/json")

    @staticmethod
    def _server_error(fault: Fault) -> Response:
        headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
        return json_response({"error": "Something went wrong."}, fault.status or 503, headers)


def _cut(environ: dict[str, Any]) -> None:
    """Close the connection with a reset, so the client sees no answer at all."""
    connection = environ.get("werkzeug.socket")
    linger = struct.pack("ii", 1, 0)
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.shutdown(socket.SHUT_RD)
    with contextlib.suppress(OSError):
        connection.close()
    raise ConnectionAbortedError
