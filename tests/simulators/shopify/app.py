"""The HTTP side: tokens, GraphQL, control API, shop page."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import re
import secrets
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from graphql import FieldNode, GraphQLSyntaxError, OperationDefinitionNode, parse
from werkzeug.exceptions import HTTPException
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.utils import redirect
from werkzeug.wrappers import Request, Response

from . import bulk_api
from .control import Control
from .executor import Answer, Executor
from .faults import Fault, Faults
from .market_api import seed_markets
from .page import Page
from .recorder import Recorder
from .schema import load_schema
from .seed import seed_catalogue
from .shop import Config, Shop
from .state import StateFile
from .webhooks import Webhooks

_GRAPHQL = re.compile(r"^/admin/api/([\w-]+)/graphql\.json$")
_VERSION = re.compile(r"^\d{4}-\d{2}$")

_HTML_ERROR = (
    "<!DOCTYPE html><html><head><title>Something went wrong</title></head>"
    "<body><h1>There was a problem loading this website</h1></body></html>"
)


def json_response(body: Any, status: int = 200, **headers: str) -> Response:
    text = json.dumps(body, ensure_ascii=False, default=str)
    return Response(text, status, headers, content_type="application/json; charset=utf-8")


def _operation_names(raw: bytes) -> list[str]:
    """Names of the operation a request asks for and of its root fields, if they can be told."""
    try:
        document = parse(json.loads(raw)["query"])
    except (ValueError, KeyError, TypeError, GraphQLSyntaxError):
        return [""]
    names = []
    for operation in document.definitions:
        if isinstance(operation, OperationDefinitionNode):
            names.append(operation.name.value if operation.name else "")
            fields = operation.selection_set.selections
            names += [field.name.value for field in fields if isinstance(field, FieldNode)]
    return names


class ConnectionReset(Exception):
    """The connection is to be cut instead of answered."""


class _QuietHandler(WSGIRequestHandler):
    """Requests are counted, not printed."""

    def log_request(self, *_args: Any) -> None:
        return


class Simulator:
    """A whole shop as a WSGI application."""

    def __init__(
        self, config: Config | None = None, *, seed: bool = True, state: Path | None = None
    ) -> None:
        """:param state: file that keeps the shop; one that exists is the shop, and needs no seed.
        :raises OSError: the file can be neither read nor written.
        """
        self.shop = Shop(config)
        self.webhooks = Webhooks(self.shop)
        self.executor = Executor(self.shop)
        self.faults = Faults(self.shop.config.seed)
        self.calls: Counter[str] = Counter()
        self.requested_cost = 0
        #: set by whoever starts it as a program; what it is asked by tests in its own process is
        #: often wrong on purpose
        self.recorder: Recorder | None = None
        self.control = Control(self)
        self.page = Page(self)
        self.server: BaseWSGIServer | None = None
        self.state = StateFile(state, self.shop) if state else None
        if self.state and self.state.load():
            return
        if seed:
            seed_catalogue(self.shop)
            seed_markets(self.shop)
        if self.state:
            self.state.save()

    # === LIFE === #

    def listen(self, host: str, port: int) -> BaseWSGIServer:
        """Bind the port, warm the schema up and start the notification senders."""
        self.server = make_server(host, port, self, threaded=True, request_handler=_QuietHandler)
        load_schema(self.shop.config.versions[-1])
        self.webhooks.start()
        if self.state:
            self.state.start()
        return self.server

    def close(self) -> None:
        self.webhooks.stop()
        if self.server:
            self.server.server_close()
        if self.state:
            self.state.stop()

    def reset(self, *, seed: bool = True) -> None:
        """Forget orders, subscriptions, tokens, faults and counters."""
        with self.shop.lock:
            self.webhooks.reset()
            self.shop.reset()
            self.executor = Executor(self.shop)
            self.faults = Faults(self.shop.config.seed)
            self.calls.clear()
            self.requested_cost = 0
            if seed:
                seed_catalogue(self.shop)
                seed_markets(self.shop)

    # === WSGI === #

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        request = Request(environ)
        try:
            response = self.route(request)
        except ConnectionReset:
            _cut(environ)
            return []
        except HTTPException as error:
            response = json_response({"errors": error.name}, error.code or 500)
        return response(environ, start_response)

    def route(self, request: Request) -> Response:
        path = request.path
        found = _GRAPHQL.match(path)
        if found:
            return self.graphql(request, found.group(1))
        try:
            return self._route(request, path)
        finally:
            if request.method != "GET":
                self.shop.unsaved.set()

    def _route(self, request: Request, path: str) -> Response:
        if path == "/admin/oauth/access_token":
            return self.with_fault("token", [""], lambda: self.token(request))
        if path == "/admin/oauth/authorize":
            return self.authorize(request)
        if path.startswith(bulk_api.UPLOADS) and request.method == "POST":
            return self.with_fault("file", ["upload"], lambda: bulk_api.upload(self.shop, request))
        if path.startswith(bulk_api.RESULTS) and request.method == "GET":
            self.calls["(bulk result)"] += 1
            return self.with_fault("file", ["result"], lambda: bulk_api.result(self.shop, request))
        if path.startswith("/control/"):
            return self.control.route(request)
        if path.startswith("/staged/"):
            return self.staged(request, path.removeprefix("/staged/"))
        if path == "/" or path.startswith("/page/"):
            return self.page.route(request)
        return json_response({"errors": "Not Found"}, 404)

    # === UPLOADS === #

    def staged(self, request: Request, token: str) -> Response:
        """Take what ``stagedUploadsCreate`` made room for, as Shopify's storage does."""
        upload = self.shop.uploads.get(token)
        if upload is None:
            return Response("<Error><Code>NoSuchKey</Code></Error>", 404, content_type="text/xml")
        if request.method != upload["method"] or request.content_type != upload["mime"]:
            return Response("<Error><Code>SignatureDoesNotMatch</Code></Error>", 403)
        body = request.get_data()
        upload["digest"] = hashlib.sha256(body).hexdigest()
        upload["size"] = len(body)
        return Response(status=200)

    # === FAULTS === #

    def with_fault(self, target: str, names: list[str], answer: Callable[[], Response]) -> Response:
        fault = self.faults.draw(target, names)
        if fault is None:
            return answer()
        done = answer() if fault.after else None
        if fault.hang:
            time.sleep(fault.hang)
        if fault.reset == "before":
            raise ConnectionReset
        if fault.throttle:
            response = json_response(self.executor.throttled(10))
        elif fault.status:
            response = self._fault_response(fault)
        else:
            response = done or answer()
            if fault.reset == "after":
                raise ConnectionReset
            if fault.body == "html":
                response = Response(_HTML_ERROR, 200, content_type="text/html; charset=utf-8")
            elif fault.truncate:
                text = response.get_data()
                response = Response(text[: len(text) // 2], 200, content_type="application/json")
        if fault.retry_after is not None:
            response.headers["Retry-After"] = f"{fault.retry_after:.1f}"
        return response

    @staticmethod
    def _fault_response(fault: Fault) -> Response:
        status = fault.status or 500
        if fault.body == "html":
            return Response(_HTML_ERROR, status, content_type="text/html; charset=utf-8")
        if fault.body == "empty":
            return Response(b"", status)
        if fault.body and fault.body != "json":
            return Response(fault.body, status, content_type="text/plain; charset=utf-8")
        texts = {
            401: "[API] Invalid API key or access token (unrecognized login or wrong password)",
            402: "Unavailable Shop",
            403: "[API] This action requires merchant approval for the necessary scope.",
            404: "Not Found",
            423: "Locked",
            429: "Exceeded 2 calls per second for api client. Reduce request rates to resume.",
        }
        return json_response({"errors": texts.get(status, "Internal Server Error")}, status)

    # === GRAPHQL === #

    def served_version(self, asked: str) -> str | None:
        """Version that answers: the one asked for or the oldest accessible; None if nonsense."""
        versions = self.shop.config.versions
        if asked in versions:
            return asked
        if asked == "unstable":
            return versions[-1]
        if _VERSION.match(asked) and asked < versions[0]:
            return versions[0]
        return None

    def graphql(self, request: Request, asked: str) -> Response:
        version = self.served_version(asked)
        if version is None:
            return json_response({"errors": "Not Found"}, 404)
        if request.method != "POST":
            return json_response({"errors": "Not Found"}, 404)
        raw = request.get_data()
        names = _operation_names(raw) if self.faults.active else []
        return self.with_fault(
            "graphql", names, lambda: self._graphql(request, raw, asked, version)
        )

    def _graphql(self, request: Request, raw: bytes, asked: str, version: str) -> Response:
        headers = {
            "X-Shopify-API-Version": asked if asked == "unstable" else version,
            "X-Request-Id": secrets.token_hex(16),
            "X-Shopify-Shop-Id": str(self.shop.shop_id),
        }
        with self.shop.lock:
            self.shop.address = request.host_url.rstrip("/")
            scopes = self.shop.token_scopes(request.headers.get("X-Shopify-Access-Token"))
            if scopes is None:
                self.calls["(unauthorized)"] += 1
                message = (
                    "[API] Invalid API key or access token (unrecognized login or wrong password)"
                )
                return json_response({"errors": message}, 401, **headers)
            try:
                body = json.loads(raw)
                query = body["query"]
                variables = body.get("variables") or {}
                if not isinstance(query, str) or not isinstance(variables, dict):
                    raise TypeError
            except (ValueError, KeyError, TypeError, AttributeError):
                problem = {"query": "Required parameter missing or invalid"}
                return json_response({"errors": problem}, 400, **headers)
            if self.recorder:
                self.recorder.note(query, variables)
            self.executor.origin = request.host_url.rstrip("/")
            answer: Answer = self.executor.run(
                query, variables, body.get("operationName"), scopes, version
            )
            self.calls[answer.operation_name or "(invalid)"] += 1
            self.requested_cost += answer.requested_cost
            if answer.operation_type == "mutation":
                self.shop.unsaved.set()
            if answer.deprecated:
                headers["X-Shopify-API-Deprecated-Reason"] = ", ".join(answer.deprecated)
            return json_response(answer.body, **headers)

    # === TOKENS === #

    def _oauth_error(self, request: Request, code: str, text: str, status: int = 400) -> Response:
        # A caller that does not ask for JSON gets a page.
        if "json" in request.headers.get("Accept", ""):
            return json_response({"error": code, "error_description": text}, status)
        page = f"<html><body><h1>Oauth error {code}: {text}</h1></body></html>"
        return Response(page, status, content_type="text/html; charset=utf-8")

    def token(self, request: Request) -> Response:
        if request.method != "POST":
            return json_response({"errors": "Not Found"}, 404)
        values: Any = request.form
        if request.is_json:
            values = request.get_json(silent=True) or {}
        shop, config = self.shop, self.shop.config
        with shop.lock:
            self.calls["(token)"] += 1
            if values.get("client_id") != config.client_id:
                return self._oauth_error(
                    request,
                    "application_cannot_be_found",
                    "The application associated with the API key cannot be found",
                )
            if not hmac.compare_digest(str(values.get("client_secret", "")), config.client_secret):
                return self._oauth_error(
                    request, "invalid_client", "The client secret does not match the application"
                )
            # The exchange of an authorization code has no grant_type in Shopify's flow.
            grant = values.get("grant_type") or ("authorization_code" if values.get("code") else "")
            handler = {
                "client_credentials": self._client_credentials,
                "authorization_code": self._authorization_code,
                "refresh_token": self._refresh,
            }.get(grant)
            if handler is None:
                return self._oauth_error(
                    request, "unsupported_grant_type", f"Unknown grant {grant!r}"
                )
            return handler(request, values)

    def _client_credentials(self, request: Request, values: Any) -> Response:
        config = self.shop.config
        token = self.shop.issue_token(config.scopes, config.token_lifetime)
        return json_response(
            {
                "access_token": token,
                "scope": ",".join(config.scopes),
                "expires_in": config.token_lifetime,
            }
        )

    def _authorization_code(self, request: Request, values: Any) -> Response:
        code = self.shop.codes.pop(values.get("code"), None)
        if code is None:
            return self._oauth_error(
                request,
                "invalid_request",
                "The authorization code was not found or was already used",
            )
        # The consent was given to what was asked for.
        scopes = self.shop.offered_scopes(code["asked"])
        if str(values.get("expiring", "")) not in ("1", "true"):
            token = self.shop.issue_token(scopes, None)
            return json_response({"access_token": token, "scope": ",".join(scopes)})
        return self._expiring(code["asked"])

    def _expiring(self, asked: str, previous: str | None = None) -> Response:
        shop, config = self.shop, self.shop.config
        lifetime = min(config.token_lifetime, 3600)
        scopes = shop.offered_scopes(asked)
        token = shop.issue_token(scopes, lifetime)
        refresh = "shprt_" + secrets.token_hex(16)
        shop.refresh_tokens[refresh] = {
            "expires": time.time() + config.refresh_lifetime,
            # The predecessor stays good until this one is used for the first time.
            "previous": previous,
            "asked": asked,
        }
        return json_response(
            {
                "access_token": token,
                "scope": ",".join(scopes),
                "expires_in": lifetime,
                "refresh_token": refresh,
                "refresh_token_expires_in": config.refresh_lifetime,
            }
        )

    def _refresh(self, request: Request, values: Any) -> Response:
        token = values.get("refresh_token")
        known = self.shop.refresh_tokens.get(token)
        if known is None or known["expires"] <= time.time():
            return self._oauth_error(
                request, "invalid_grant", "The refresh token is invalid or has expired", 401
            )
        self.shop.refresh_tokens.pop(known["previous"], None)
        known["previous"] = None
        return self._expiring(known["asked"], token)

    def authorize(self, request: Request) -> Response:
        """The merchant's consent, given at once."""
        config = self.shop.config
        target = request.args.get("redirect_uri", "")
        if request.args.get("client_id") != config.client_id or not target:
            return self._oauth_error(
                request, "invalid_request", "client_id or redirect_uri is wrong"
            )
        code = secrets.token_hex(16)
        with self.shop.lock:
            self.shop.codes[code] = {
                "created": time.time(),
                "asked": request.args.get("scope", ""),
            }
            self.shop.unsaved.set()
        values = {
            "code": code,
            "host": "YWRtaW4",
            "shop": config.domain,
            "state": request.args.get("state", ""),
            "timestamp": str(int(time.time())),
        }
        message = "&".join(f"{key}={values[key]}" for key in sorted(values))
        values["hmac"] = hmac.new(
            config.client_secret.encode(), message.encode(), hashlib.sha256
        ).hexdigest()
        return redirect(f"{target}{'&' if '?' in target else '?'}{urlencode(values)}", 302)


def _cut(environ: dict[str, Any]) -> None:
    """Close the connection with a reset, so the client sees no answer at all."""
    connection = environ.get("werkzeug.socket")
    if connection is None:
        raise ConnectionAbortedError
    linger = struct.pack("ii", 1, 0)
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.shutdown(socket.SHUT_RD)
    with contextlib.suppress(OSError):
        connection.close()
    raise ConnectionAbortedError
