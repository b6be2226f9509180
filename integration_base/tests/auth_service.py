"""A server on loopback that lets nobody in without the right credentials, and its connector."""

import base64
import hashlib
import hmac
import itertools
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from odoo import models

from ..lib.auth import (
    AllOf,
    ApiKey,
    AuthorizationCode,
    Basic,
    Bearer,
    ClientCredentials,
    HmacSigned,
    MutualTls,
)
from ..lib.errors import ConfigurationError

#: What is typed into the backend. Each of them has to be found nowhere afterwards.
SECRETS = {
    "api_key": "canary-key-0123456789",
    "api_secret": "canary-signing-secret",
    "access_token": "canary-bearer-token",
    "username": "anna",
    "password": "canary-password",
    "client_id": "app-id",
    "client_secret": "canary-client-secret&=",
}
SCOPES = ("read", "write")


class AuthService:
    """The service. ``calls`` are the requests to the API, ``forms`` those to the token endpoint.

    :param tls: ``ssl.SSLContext`` of the server.
    """

    def __init__(self, tls=None):
        self.calls, self.forms = [], []
        self.issued = itertools.count(1)
        self.codes, self.access, self.refresh = {}, set(), set()
        #: seconds that an access token lives; what becomes of the refresh token when it is used
        self.expires_in, self.rotates = 3600, True
        self.refresh_expires_in = None
        #: (status, body) of the next answers of the token endpoint
        self.troubles = []
        #: seconds that the token endpoint takes
        self.delay = 0
        self.nonces = set()
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.server.daemon_threads = True
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def revoke(self):
        """End all access that was granted, as the owner of the account can there."""
        self.access.clear()
        self.refresh.clear()

    def consent(self, url):
        """Grant access on the page ``url``; returns the query it calls back with."""
        query = dict(parse_qsl(urlsplit(url).query))
        code = f"canary-code-{next(self.issued)}"
        self.codes[code] = query
        return {"code": code, "state": query["state"]}

    # === HTTP === #

    def _handler(self):
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, said = service._route(self, body)
                said = said if isinstance(said, bytes) else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_POST = answer

            def log_message(self, *_args):
                return

        return Handler

    def _route(self, request, body):
        if urlsplit(request.path).path == "/oauth/token":
            time.sleep(self.delay)
            with self.lock:
                return self._token(request, body)
        with self.lock:
            self.calls.append((request.path, dict(request.headers), body))
            if not self._may(request, body):
                # a service that says it all again
                return 401, {"error": f"Refused: {request.path} {request.headers}"}
        return 200, {"name": "Door", "heard": f"{request.path} {dict(request.headers)}"}

    def _may(self, request, body):
        headers, parts = request.headers, urlsplit(request.path)
        authorization = headers.get("Authorization", "")
        basic = base64.b64encode(f"{SECRETS['username']}:{SECRETS['password']}".encode()).decode()
        if "X-Signature" in headers:
            return self._is_signed(request, body)
        return (
            headers.get("X-Api-Key") == SECRETS["api_key"]
            or parse_qs(parts.query).get("api_key") == [SECRETS["api_key"]]
            or authorization in (f"Basic {basic}", f"Bearer {SECRETS['access_token']}")
            or authorization.removeprefix("Bearer ") in self.access
        )

    def _is_signed(self, request, body):
        headers = request.headers
        nonce, timestamp = headers["X-Nonce"], headers["X-Timestamp"]
        message = "|".join((request.command, request.path, timestamp, nonce, body.decode()))
        expected = hmac.new(SECRETS["api_secret"].encode(), message.encode(), "sha256").digest()
        fresh = abs(time.time() - int(timestamp)) < 60 and nonce not in self.nonces
        self.nonces.add(nonce)
        return (
            fresh
            and headers["X-Api-Key"] == SECRETS["api_key"]
            and headers["X-Signature"] == base64.b64encode(expected).decode()
        )

    # === TOKENS === #

    def _token(self, request, body):
        form = dict(parse_qsl(body.decode()))
        self.forms.append(form)
        if self.troubles:
            return self.troubles.pop(0)
        client = base64.b64encode(
            f"{SECRETS['client_id']}:{SECRETS['client_secret']}".encode()
        ).decode()
        if request.headers.get("Authorization") != f"Basic {client}":
            return 401, {"error": "invalid_client"}
        grant = form["grant_type"]
        if grant == "client_credentials":
            return 200, self._issue(with_refresh=False, scope=form["scope"])
        if grant == "authorization_code":
            return self._exchange(form)
        if form["refresh_token"] not in self.refresh:
            # one that was used before was stolen by somebody: nobody gets in any more
            self.revoke()
            return 400, {
                "error": "invalid_grant",
                "error_description": f"No token {form['refresh_token']}",
            }
        if not self.rotates:
            return 200, self._issue(with_refresh=False)
        self.refresh.discard(form["refresh_token"])
        return 200, self._issue()

    def _exchange(self, form):
        asked = self.codes.pop(form["code"], None)
        if asked is None:
            return 400, {"error": "invalid_grant", "error_description": "Unknown code."}
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if asked["code_challenge_method"] != "S256" or asked["code_challenge"] != challenge:
            return 400, {"error": "invalid_grant", "error_description": "PKCE failed."}
        if asked["redirect_uri"] != form["redirect_uri"]:
            return 400, {"error": "invalid_grant", "error_description": "Another redirect_uri."}
        return 200, self._issue(scope=asked["scope"])

    def _issue(self, with_refresh=True, **more):
        number = next(self.issued)
        self.access.add(f"canary-access-{number}")
        answer = {
            "access_token": f"canary-access-{number}",
            "token_type": "Bearer",
            "expires_in": self.expires_in,
            **more,
        }
        if with_refresh:
            self.refresh.add(f"canary-refresh-{number}")
            answer["refresh_token"] = f"canary-refresh-{number}"
        if self.refresh_expires_in:
            answer["refresh_token_expires_in"] = self.refresh_expires_in
        return answer


class DoorConnector(models.AbstractModel):
    """Knows every kind of authentication, and has no code for any."""

    _module = None
    _name = "integration.connector.door"
    _inherit = ["integration.connector"]
    _description = "Door Connector"

    _connector_name = "Door"
    _connector_auth = (
        ApiKey(),
        ApiKey(code="query", param="api_key"),
        Basic(),
        Bearer(),
        HmacSigned(
            parts=("method", "target", "timestamp", "nonce", "body"),
            separator="|",
            encoding="base64",
            nonce_header="X-Nonce",
        ),
        ClientCredentials(token_url="/oauth/token", scopes=SCOPES),
        AuthorizationCode(
            token_url="/oauth/token", authorize_url="/oauth/authorize", scopes=SCOPES
        ),
        AllOf(code="tls", parts=(MutualTls(), Bearer())),
    )
    #: file with the certificates to trust
    ca_bundle = None

    def _test_connection(self, backend):
        options = {"ca_bundle": type(self).ca_bundle} if type(self).ca_bundle else {}
        with backend._client(**options) as client:
            client.post("/api/echo", params={"q": "1"}, json={"a": 1})
            answer = client.get("/api/me").json()
        if answer["name"] != "Door":
            raise ConfigurationError("This is no door.")
        return "Connected to the door."


class DoorThing(models.AbstractModel):
    _module = None
    _name = "integration.door.thing"
    _inherit = ["integration.resource"]
    _description = "Door Things"

    _resource_name = "Things"

    def _fetch(self, backend, external_ids):
        with backend._client() as client:
            return {key: client.get(f"/api/things/{key}").json() for key in external_ids}

    def _map(self, backend, items):
        pass

    def _apply(self, backend, items):
        pass


def callback_address(query):
    """Return the path that the browser comes back to."""
    return f"/integration/oauth/callback?{urlencode(query)}"
