"""Calls to a running Odoo, the way its web client makes them."""

from __future__ import annotations

import json
import urllib.request
from http.cookiejar import CookieJar
from typing import Any


class RpcError(Exception):
    """What Odoo answered instead of a result; the text is the one a user would read."""


class Session:
    """A user's session: `call(model, method, ...)` returns the method's result."""

    def __init__(self, url: str, database: str, login: str, password: str):
        """Log in.

        :raises RpcError: wrong user or password.
        """
        self.url = url
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        self.post(
            "/web/session/authenticate", {"db": database, "login": login, "password": password}
        )

    def call(self, model: str, method: str, *arguments: Any, **keywords: Any) -> Any:
        """Call a public method of a model; the ids of records, if any, are its first argument."""
        parameters = {"model": model, "method": method, "args": arguments, "kwargs": keywords}
        return self.post("/web/dataset/call_kw", parameters)

    def post(self, path: str, parameters: dict[str, Any]) -> Any:
        """Post JSON-RPC to a route and return its result."""
        request = urllib.request.Request(
            self.url + path,
            json.dumps({"jsonrpc": "2.0", "method": "call", "params": parameters}).encode(),
            {"Content-Type": "application/json"},
        )
        with self.opener.open(request, timeout=300) as answer:
            body = json.load(answer)
        if "error" in body:
            raise RpcError(body["error"]["data"]["message"])
        return body.get("result")
