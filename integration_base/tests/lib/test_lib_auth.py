"""The kinds of authentication: what they add to requests, and what is asked for tokens."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

import pytest
from wire import Wire, answer

from odoo.addons.integration_base.lib import auth as auth_module
from odoo.addons.integration_base.lib.auth import (
    AllOf,
    ApiKey,
    AuthorizationCode,
    Basic,
    Bearer,
    ClientCredentials,
    HmacSigned,
    MutualTls,
)
from odoo.addons.integration_base.lib.client_certificate import ClientCertificate
from odoo.addons.integration_base.lib.errors import (
    AuthError,
    CredentialError,
    RateLimitedError,
    RetryableError,
    TokenRefused,
)
from odoo.addons.integration_base.lib.http import HttpClient
from odoo.addons.integration_base.lib.log_secrets import KnownSecrets
from odoo.addons.integration_base.lib.redact import Redactor

SECRET = "s3cr3t-canary&="
VALUES = {
    "api_key": "k3y-canary",
    "api_secret": SECRET,
    "access_token": "t0ken-canary",
    "username": "anna",
    "password": "pässword",
    "client_id": "app",
    "client_secret": SECRET,
    "oauth_access": "a-1",
    "certificate": "CERT",
    "certificate_key": "KEY",
}


def get(code):
    if code not in VALUES:
        raise CredentialError(f"no {code}")
    return VALUES[code]


# === WITHOUT TOKENS === #


@pytest.mark.parametrize(
    ("kind", "headers", "params"),
    [
        (ApiKey(), {"X-Api-Key": "k3y-canary"}, {}),
        (
            ApiKey(header="Authorization", prefix="Token "),
            {"Authorization": "Token k3y-canary"},
            {},
        ),
        (ApiKey(param="key"), {}, {"key": "k3y-canary"}),
        (Bearer(), {"Authorization": "Bearer t0ken-canary"}, {}),
        (
            Basic(),
            {"Authorization": f"Basic {base64.b64encode('anna:pässword'.encode()).decode()}"},
            {},
        ),
        (ClientCredentials(token_url="/t"), {"Authorization": "Bearer a-1"}, {}),
        (ClientCredentials(token_url="/t", header="X-T", prefix=""), {"X-T": "a-1"}, {}),
        (MutualTls(), {}, {}),
        (
            AllOf(parts=(MutualTls(), ApiKey(param="key"), Bearer())),
            {"Authorization": "Bearer t0ken-canary"},
            {"key": "k3y-canary"},
        ),
    ],
)
def test_what_a_request_gets(kind, headers, params):
    assert (kind.headers(get), kind.params(get)) == (headers, params)
    assert kind.sign(get, "GET", "https://a.example/", b"") == {}
    assert set(kind.secret_params) == set(params)


def test_credentials_of_each_kind():
    codes = {
        ApiKey(): ["api_key"],
        Bearer(): ["access_token"],
        Basic(): ["username", "password"],
        HmacSigned(): ["api_key", "api_secret"],
        MutualTls(): ["certificate", "certificate_key", "certificate_passphrase"],
    }
    for kind, expected in codes.items():
        assert [spec.code for spec in kind.credentials] == expected
        assert kind.grant is None
        assert kind.code and kind.label
    for kind in (
        ClientCredentials(token_url="/t"),
        AuthorizationCode(token_url="/t", authorize_url="/a"),
    ):
        assert [spec.code for spec in kind.credentials] == ["client_id", "client_secret"]
        assert kind.grant is kind
    public = AuthorizationCode(token_url="/t", authorize_url="/a", client_auth="none")
    assert [spec.code for spec in public.credentials] == ["client_id"]
    both = AllOf(parts=(MutualTls(), public))
    assert both.grant is public
    assert both.code == "certificate_authorization_code"
    assert both.labels == ("Client certificate", "Consent in the browser")
    named = AllOf(parts=(Bearer(),), code="c", label="L")
    assert (named.code, named.labels) == ("c", ("L",))
    assert [spec.code for spec in both.credentials][-2:] == ["certificate_passphrase", "client_id"]


def test_certificate():
    assert MutualTls().certificate(get) == ClientCertificate("CERT", "KEY", "")
    assert AllOf(parts=(Bearer(), MutualTls())).certificate(get).key == "KEY"
    with patch.dict(VALUES, certificate_passphrase="p"):
        assert MutualTls().certificate(get).passphrase == "p"
    assert Bearer().certificate(get) is None
    with pytest.raises(CredentialError):
        MutualTls().certificate(_only_certificate)


def _only_certificate(code):
    if code != "certificate":
        raise CredentialError(f"no {code}")
    return "CERT"


def test_user_name_with_a_colon_is_refused():
    with patch.dict(VALUES, username="an:na"), pytest.raises(CredentialError, match="colon"):
        Basic().headers(get)


def test_basic_authentication_is_kept_out_of_the_log():
    """Encoded together with the name, the password has none of the forms that are looked for."""
    secrets = KnownSecrets()
    with patch.object(auth_module, "SECRETS", secrets):
        sent = Basic().headers(get)["Authorization"]
    assert secrets.mask(f"refused: {sent}") == "refused: Basic ***"


# === SIGNED REQUESTS === #

URL = "https://api.example.com/v1/parcels?page=2&a=b%20c"
NOW = datetime(2026, 11, 21, 12, 30, 15, 250000, tzinfo=UTC)


@pytest.fixture
def clock(monkeypatch):
    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return NOW.astimezone(tz)

    monkeypatch.setattr(auth_module, "datetime", Clock)
    monkeypatch.setattr(auth_module.secrets, "token_hex", lambda _size: "n0nce")


def seal(message, algorithm="sha256", secret=SECRET):
    return hmac.new(secret.encode(), message, algorithm)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (
            HmacSigned(),
            {
                "X-Signature": seal(
                    b'POST\n/v1/parcels?page=2&a=b%20c\n1795264215\n{"a":1}'
                ).hexdigest(),
                "X-Api-Key": "k3y-canary",
                "X-Timestamp": "1795264215",
            },
        ),
        (
            HmacSigned(
                parts=("v2", "key", "nonce", "timestamp", "host", "path", "query", "body_hash"),
                separator="",
                algorithm="sha512",
                encoding="base64",
                header="Authorization",
                value="HMAC {key}:{nonce}:{timestamp}:{signature}",
                key_header="",
                timestamp_header="",
                timestamp="unix_ms",
            ),
            {
                "Authorization": "HMAC k3y-canary:n0nce:1795264215250:"
                + base64.b64encode(
                    seal(
                        b"v2k3y-canaryn0nce1795264215250api.example.com/v1/parcelspage=2&a=b%20c"
                        + hashlib.sha512(b'{"a":1}').hexdigest().encode(),
                        "sha512",
                    ).digest()
                ).decode()
            },
        ),
        (
            HmacSigned(
                parts=("url", "timestamp"),
                timestamp="iso",
                key_header="",
                nonce_header="X-Nonce",
            ),
            {
                "X-Signature": seal(URL.encode() + b"\n2026-11-21T12:30:15Z").hexdigest(),
                "X-Timestamp": "2026-11-21T12:30:15Z",
                "X-Nonce": "n0nce",
            },
        ),
    ],
)
def test_signature(clock, kind, expected):
    assert kind.sign(get, "POST", URL, b'{"a":1}') == expected
    assert kind.headers(get) == {}


@pytest.mark.parametrize(
    ("encoding", "written"),
    [("base64", base64.b64encode(b"\x00raw").decode()), ("hex", b"\x00raw".hex())],
)
def test_secret_that_is_written_as_text(clock, encoding, written):
    kind = HmacSigned(parts=("body",), secret_encoding=encoding)
    with patch.dict(VALUES, api_secret=written):
        signed = kind.sign(get, "GET", URL, b"x")
    assert signed["X-Signature"] == seal(b"x", secret="\x00raw").hexdigest()
    with pytest.raises(CredentialError) as caught:
        kind.sign(get, "GET", URL, b"x")
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None


def test_nonces_differ():
    kind = HmacSigned(nonce_header="X-Nonce")
    nonces = {kind.sign(get, "GET", URL, b"")["X-Nonce"] for _number in range(50)}
    assert len(nonces) == 50


# === TOKENS === #


class TokenServer:
    """Answers a token endpoint with what the test sets."""

    def __init__(self):
        self.status, self.body = 200, {"access_token": "a-2", "token_type": "bearer"}
        self.wire = Wire(self.answer)
        self.url = f"{self.wire.url}/oauth/token/"
        self.exchanges = []

    def answer(self, _connection, _request):
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return answer(self.status, body)

    def ask(self, kind, grant_type="client_credentials", **form):
        with HttpClient(
            self.wire.url,
            allow_insecure=True,
            timeout=(2, 2, 3),
            on_exchange=self.exchanges.append,
            redactor=Redactor().with_secrets([*kind.secret_values(get), *form.values()]),
        ) as http:
            return kind.request_tokens(http, self.url, get, grant_type, **form)

    def asked(self):
        head, _, body = self.wire.requests[-1].partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        return lines[0], headers, {k: v[0] for k, v in parse_qs(body.decode()).items()}


@pytest.fixture
def server():
    server = TokenServer()
    yield server
    server.wire.close()


def test_client_in_the_header(server):
    tokens = server.ask(ClientCredentials(token_url="/t"), scope="read write")
    line, headers, form = server.asked()
    assert line == "POST /oauth/token/ HTTP/1.1"
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    told = base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode()
    assert told == f"app:{SECRET}"
    assert form == {"grant_type": "client_credentials", "scope": "read write"}
    assert (tokens.access, tokens.expires_at, tokens.refresh) == ("a-2", None, None)
    assert "a-2" not in repr(tokens)


def test_client_in_the_form(server):
    kind = ClientCredentials(
        token_url="/t", client_auth="client_secret_post", token_params={"audience": "api"}
    )
    server.ask(kind)
    _line, headers, form = server.asked()
    assert "Authorization" not in headers
    assert form == {
        "grant_type": "client_credentials",
        "audience": "api",
        "client_id": "app",
        "client_secret": SECRET,
    }


def test_client_without_a_secret(server):
    kind = AuthorizationCode(token_url="/t", authorize_url="/a", client_auth="none")
    server.ask(kind, "authorization_code", code="c0de-canary", code_verifier="v" * 43)
    _line, headers, form = server.asked()
    assert "Authorization" not in headers
    assert form == {
        "grant_type": "authorization_code",
        "code": "c0de-canary",
        "code_verifier": "v" * 43,
        "client_id": "app",
    }


def test_client_that_cannot_be_written(server):
    with patch.dict(VALUES, client_secret="\u20ac"), pytest.raises(CredentialError):
        server.ask(ClientCredentials(token_url="/t"))
    assert server.wire.requests == []


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        (3600, 3300),
        ("3600", 3300),
        (60, 30),
        (0, None),
        (-1, None),
        (None, None),
        (True, None),
        ("soon", None),
        (1e300, None),
        ([], None),
    ],
)
def test_tokens_are_replaced_early(server, told, seconds):
    server.body["expires_in"] = told
    expires_at = server.ask(ClientCredentials(token_url="/t")).expires_at
    if seconds is None:
        assert expires_at is None
    else:
        left = expires_at - datetime.now(UTC).replace(tzinfo=None)
        assert abs(left - timedelta(seconds=seconds)) < timedelta(seconds=5)


@pytest.mark.parametrize(
    "name", ["refresh_token_expires_in", "refresh_expires_in", "x_refresh_token_expires_in"]
)
def test_end_of_a_refresh_token(server, name):
    server.body |= {"refresh_token": "r-2", name: 86400, "scope": "a b"}
    tokens = server.ask(ClientCredentials(token_url="/t"))
    left = tokens.refresh_expires_at - datetime.now(UTC).replace(tzinfo=None)
    assert abs(left - timedelta(days=1)) < timedelta(seconds=5)
    assert (tokens.refresh, tokens.scope) == ("r-2", "a b")


REFRESH = AuthorizationCode(token_url="/t", authorize_url="/a", scopes=("read", "write"))


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (400, {"error": "invalid_grant"}, "was withdrawn. Press Connect"),
        (401, {"error": "invalid_client"}, "Check client ID"),
        (403, {"error": "access_denied"}, "Check client ID"),
        (400, {"error": "invalid_scope"}, r"read, write"),
        (400, {"error": "invalid_grant", "error_description": "It is revoked."}, "It is revoked."),
        (400, {"error": {"code": 7}}, "Check client ID"),
        (200, {"error": "bad_verification_code"}, "bad_verification_code"),
        (200, {"error": "x", "access_token": "a-2"}, "no access token"),
        (200, {}, "no access token"),
        (200, {"access_token": ""}, "no access token"),
        (200, {"access_token": 5}, "no access token"),
        (200, {"access_token": "a\r\nX-Evil: 1"}, "no access token"),
        (200, b"[]", "no access token"),
        (400, b"<html>blocked</html>", "blocked"),
        (401, b"", "no access token"),
        (404, {"error": "gone"}, "HTTP 404"),
        (302, b"", "Redirects are not followed"),
    ],
)
def test_refusals_need_a_person(server, status, body, words):
    server.status, server.body = status, body
    with pytest.raises(TokenRefused, match=words) as caught:
        server.ask(REFRESH, "refresh_token", refresh_token="r-canary")
    assert isinstance(caught.value, AuthError)
    assert caught.value.__context__ is None
    assert len(server.wire.requests) == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b""),
        (502, b"<html>"),
        (503, {"error": "temporarily_unavailable"}),
        (400, {"error": "temporarily_unavailable"}),
        (400, {"error": "server_error"}),
        (408, b""),
        (200, b"<html>We will be back</html>"),
        (200, b'{"access_tok'),
        (200, b""),
    ],
)
def test_passing_trouble_needs_nobody(server, status, body):
    server.status, server.body = status, body
    with pytest.raises(RetryableError):
        server.ask(REFRESH, "refresh_token", refresh_token="r-canary")


def test_silence_and_limits_need_nobody(server):
    server.status = 429
    with pytest.raises(RateLimitedError):
        server.ask(REFRESH, "refresh_token", refresh_token="r-canary")
    server.wire.close()
    with pytest.raises(RetryableError):
        server.ask(REFRESH, "refresh_token", refresh_token="r-canary")


def test_nothing_secret_is_recorded(server):
    """Also when the service says it all again, and in errors."""
    echo = json.dumps({"said": f"{SECRET} r-canary-1 c0de-canary {'v' * 43}"})
    for client_auth in ("client_secret_basic", "client_secret_post"):
        kind = AuthorizationCode(token_url="/t", authorize_url="/a", client_auth=client_auth)
        for status in (200, 400, 500):
            server.status = status
            server.body = {
                "error": "x",
                "error_description": echo,
                "access_token": "a-canary-9",
                "refresh_token": "r-canary-9",
            }
            with pytest.raises((TokenRefused, RetryableError)) as caught:
                server.ask(
                    kind,
                    "authorization_code",
                    code="c0de-canary",
                    code_verifier="v" * 43,
                    refresh_token="r-canary-1",
                )
            shown = f"{caught.value} {caught.value.detail} {server.exchanges}"
            basic = base64.b64encode(f"app:{SECRET}".encode()).decode()
            for secret in (SECRET, "canary", "v" * 43, basic, "s3cr3t"):
                assert secret not in shown, secret


# === CONSENT === #


def test_page_to_grant_access():
    kind = AuthorizationCode(
        token_url="/t",
        authorize_url="/a",
        scope_separator=",",
        authorize_params={"access_type": "offline"},
    )
    url = kind.consent_url(
        "https://a.example/auth?tenant=1", "app", "https://o.example/cb", "st&te", "v" * 43,
        ["read", "write"],
    )  # fmt: skip
    address = urlsplit(url)
    assert (address.netloc, address.path) == ("a.example", "/auth")
    digest = hashlib.sha256(b"v" * 43).digest()
    assert {name: values[0] for name, values in parse_qs(address.query).items()} == {
        "tenant": "1",
        "response_type": "code",
        "client_id": "app",
        "redirect_uri": "https://o.example/cb",
        "scope": "read,write",
        "state": "st&te",
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
        "access_type": "offline",
    }


def test_page_of_a_service_without_proof_keys():
    kind = AuthorizationCode(token_url="/t", authorize_url="/a", pkce=False)
    url = kind.consent_url("https://a.example/auth", "app", "https://o.example/cb", "s", "v", [])
    assert set(parse_qs(urlsplit(url).query)) == {
        "response_type",
        "client_id",
        "redirect_uri",
        "state",
    }
