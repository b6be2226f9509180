"""Kinds of authentication: a connector names its own, and writes no code for them.

Each says which credentials it needs, and what they add to a request. Those that need tokens say how
to get them; when that is done, and where they are kept, is the business of ``integration.auth``.
The words of OAuth 2.0 (RFC 6749), client authentication and PKCE (RFC 7636) are Authlib's; what is
sent goes through our own client, with its limits.
"""

import base64
import contextlib
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

from authlib.common.urls import url_decode
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from .client_certificate import ClientCertificate, certificate_expiry
from .errors import AuthError, CredentialError, RequestRefused, RetryableError, TokenRefused
from .log_secrets import SECRETS


def _lt(text: str) -> str:
    """Mark a text for the export of translations; where it is shown it is translated."""
    return text


#: Codes under which tokens are kept beside the credentials that are typed in.
ACCESS_TOKEN = "oauth_access"
REFRESH_TOKEN = "oauth_refresh"
TOKEN_LABELS = {ACCESS_TOKEN: _lt("Access token"), REFRESH_TOKEN: _lt("Refresh token")}
#: Tokens are replaced this long before they expire.
RENEW_EARLY = timedelta(minutes=5)
#: What a token endpoint answers when it may work in a moment, beside HTTP 5xx.
_PASSING = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
#: Where services say how long a refresh token lives; RFC 6749 has no name for it.
_REFRESH_LIFE = (
    "refresh_token_expires_in",
    "refresh_expires_in",
    "x_refresh_token_expires_in",
)
#: Most characters shown of what a service says about a refusal.
_MOST_SAID = 300

Get = Callable[[str], str]


@dataclass(frozen=True)
class CredentialSpec:
    """One secret or identifier that a connector needs from the user.

    :param code: technical name, unique in the connector, e.g. ``client_secret``.
    :param label: what the form shows; a connector marks its own by ``odoo.tools.LazyTranslate``.
    :param help: where the user finds it, marked likewise.
    :param required: whether the backend cannot connect without it.
    :param expiry: reads from a value when it ends (naive UTC, None for never); it raises
        ``ConfigurationError`` for a value that cannot be right.
    """

    code: str
    label: str
    help: str = ""
    required: bool = True
    expiry: Callable[[str], datetime | None] | None = None


@dataclass(frozen=True, kw_only=True)
class Auth:
    """A kind of authentication. ``get(code)`` of its methods returns the value of a credential.

    :param code: tells several kinds of one connector apart.
    :param label: what the user chooses.
    """

    code: str = ""
    label: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """The label in parts, each of which is translated."""
        return (self.label,)

    @property
    def credentials(self) -> tuple[CredentialSpec, ...]:
        """What the form asks for."""
        return ()

    @property
    def secret_params(self) -> tuple[str, ...]:
        """Names of parameters in the URL that hold secrets."""
        return ()

    @property
    def grant(self) -> "OAuth | None":
        """The part of it that needs tokens."""
        return None

    def headers(self, get: Get) -> dict[str, str]:
        """Headers that every request gets."""
        return {}

    def params(self, get: Get) -> dict[str, str]:
        """Parameters that the URL of every request gets."""
        return {}

    def sign(self, get: Get, method: str, url: str, body: bytes) -> dict[str, str]:
        """Headers that depend on the request.

        :param url: absolute, with its parameters.
        """
        return {}

    def certificate(self, get: Get) -> ClientCertificate | None:
        """The certificate that connections show."""
        return None


@dataclass(frozen=True, kw_only=True)
class AllOf(Auth):
    """Several kinds at once, such as a client certificate and a token."""

    parts: tuple[Auth, ...]

    def __post_init__(self):
        object.__setattr__(self, "code", self.code or "_".join(part.code for part in self.parts))

    @property
    def labels(self):
        if self.label:
            return (self.label,)
        return tuple(label for part in self.parts for label in part.labels)

    @property
    def credentials(self):
        return tuple(spec for part in self.parts for spec in part.credentials)

    @property
    def secret_params(self):
        return tuple(name for part in self.parts for name in part.secret_params)

    @property
    def grant(self):
        return next((part.grant for part in self.parts if part.grant), None)

    def headers(self, get):
        return {name: value for part in self.parts for name, value in part.headers(get).items()}

    def params(self, get):
        return {name: value for part in self.parts for name, value in part.params(get).items()}

    def sign(self, get, method, url, body):
        return {
            name: value
            for part in self.parts
            for name, value in part.sign(get, method, url, body).items()
        }

    def certificate(self, get):
        return next(filter(None, (part.certificate(get) for part in self.parts)), None)


# === WITHOUT TOKENS === #


@dataclass(frozen=True, kw_only=True)
class ApiKey(Auth):
    """A key in a header, or in the URL where a service knows no other way.

    :param param: name of the parameter; then there is no header.
    :param prefix: stands before the key, e.g. ``"Token "``.
    :param credential: code of the credential.
    """

    code: str = "api_key"
    label: str = _lt("API key")
    header: str = "X-Api-Key"
    param: str = ""
    prefix: str = ""
    credential: str = "api_key"

    @property
    def credentials(self):
        return (CredentialSpec(self.credential, self.label),)

    @property
    def secret_params(self):
        return (self.param,) if self.param else ()

    def headers(self, get):
        return {} if self.param else {self.header: f"{self.prefix}{get(self.credential)}"}

    def params(self, get):
        return {self.param: f"{self.prefix}{get(self.credential)}"} if self.param else {}


@dataclass(frozen=True, kw_only=True)
class Bearer(ApiKey):
    """A token that a person has got from the service (RFC 6750)."""

    code: str = "bearer"
    label: str = _lt("Access token")
    header: str = "Authorization"
    prefix: str = "Bearer "
    credential: str = "access_token"


@dataclass(frozen=True, kw_only=True)
class Basic(Auth):
    """User name and password (RFC 7617)."""

    code: str = "basic"
    label: str = _lt("User name and password")
    username: str = "username"
    password: str = "password"

    @property
    def credentials(self):
        return (
            CredentialSpec(self.username, _lt("User name")),
            CredentialSpec(self.password, _lt("Password")),
        )

    def headers(self, get):
        username = get(self.username)
        if ":" in username:
            raise CredentialError(
                "The user name has a colon, which this way to sign in does not allow. Type it "
                "again on the page Credentials of the backend."
            )
        both = f"{username}:{get(self.password)}".encode()
        return _hidden({"Authorization": f"Basic {base64.b64encode(both).decode('ascii')}"})


@dataclass(frozen=True, kw_only=True)
class HmacSigned(Auth):
    """Every request is signed with a secret.

    :param parts: what is signed, in this order: ``method``, ``url``, ``host``, ``path``, ``query``,
        ``target`` (path and query), ``body``, ``body_hash`` (hexadecimal, by ``algorithm``),
        ``key``, ``timestamp``, ``nonce``; anything else is taken as it stands.
    :param separator: between the parts.
    :param header: where the signature goes.
    :param value: what it looks like there; ``{key}``, ``{timestamp}`` and ``{nonce}`` can stand in
        it beside ``{signature}``.
    :param key_header: where the key goes that says whose secret it is.
    :param timestamp: seconds (``unix``) or milliseconds since 1970, or ``iso`` in UTC.
    :param secret_encoding: how the bytes of the secret are written.
    """

    code: str = "hmac"
    label: str = _lt("Signed requests")
    parts: tuple[str, ...] = ("method", "target", "timestamp", "body")
    separator: str = "\n"
    algorithm: Literal["sha256", "sha384", "sha512", "sha1"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    header: str = "X-Signature"
    value: str = "{signature}"
    key_header: str = "X-Api-Key"
    timestamp_header: str = "X-Timestamp"
    nonce_header: str = ""
    timestamp: Literal["unix", "unix_ms", "iso"] = "unix"
    secret_encoding: Literal["text", "base64", "hex"] = "text"
    key: str = "api_key"
    secret: str = "api_secret"

    @property
    def credentials(self):
        return (
            CredentialSpec(self.key, _lt("API key")),
            CredentialSpec(
                self.secret, _lt("API secret"), _lt("Signs requests; it is never sent.")
            ),
        )

    def sign(self, get, method, url, body):
        address = urlsplit(url)
        now = datetime.now(UTC)
        told = {
            "key": get(self.key),
            "timestamp": {
                "unix": str(int(now.timestamp())),
                "unix_ms": str(int(now.timestamp() * 1000)),
                "iso": f"{now:%Y-%m-%dT%H:%M:%SZ}",
            }[self.timestamp],
            "nonce": secrets.token_hex(16),
        }
        target = address.path + (f"?{address.query}" if address.query else "")
        known = {
            **{name: value.encode() for name, value in told.items()},
            "method": method.encode(),
            "url": url.encode(),
            "host": address.netloc.encode(),
            "path": address.path.encode(),
            "query": address.query.encode(),
            "target": target.encode(),
            "body": body,
            "body_hash": hashlib.new(self.algorithm, body).hexdigest().encode(),
        }
        message = self.separator.encode().join(
            known.get(part, part.encode()) for part in self.parts
        )
        digest = hmac.new(self._secret(get(self.secret)), message, self.algorithm).digest()
        told["signature"] = (
            digest.hex() if self.encoding == "hex" else base64.b64encode(digest).decode("ascii")
        )
        headers = {self.header: self.value.format_map(told)}
        for name, header in (
            ("key", self.key_header),
            ("timestamp", self.timestamp_header),
            ("nonce", self.nonce_header),
        ):
            if header:
                headers[header] = told[name]
        return headers

    def _secret(self, text: str) -> bytes:
        if self.secret_encoding == "text":
            return text.encode()
        # raised outside of the block, because the other error quotes the secret
        with contextlib.suppress(ValueError):
            if self.secret_encoding == "hex":
                return bytes.fromhex(text)
            return base64.b64decode(text, validate=True)
        raise CredentialError(
            f"The API secret is not written in {self.secret_encoding}, as this service gives it. "
            f"Copy it again into the page Credentials of the backend."
        )


@dataclass(frozen=True, kw_only=True)
class MutualTls(Auth):
    """A client certificate. Usually beside another kind, see :class:`AllOf`."""

    code: str = "certificate"
    label: str = _lt("Client certificate")

    @property
    def credentials(self):
        return (
            CredentialSpec(
                "certificate",
                _lt("Client certificate"),
                _lt("In PEM format, with those that vouch for it below."),
                expiry=certificate_expiry,
            ),
            CredentialSpec(
                "certificate_key", _lt("Private key"), _lt("Of the certificate, in PEM format.")
            ),
            CredentialSpec(
                "certificate_passphrase",
                _lt("Passphrase"),
                _lt("Of the private key, if it is encrypted."),
                required=False,
            ),
        )

    def certificate(self, get):
        try:
            passphrase = get("certificate_passphrase")
        except CredentialError:
            passphrase = ""
        return ClientCertificate(get("certificate"), get("certificate_key"), passphrase)


# === WITH TOKENS === #


@dataclass(frozen=True)
class Tokens:
    """What a token endpoint has issued. Times are naive UTC, None where nothing is known.

    :param expires_at: when the access token has to be replaced: early enough.
    :param refresh: None when the service keeps to the one it has issued before.
    :param scope: what was granted, as the service writes it; empty when it does not say.
    """

    access: str = field(repr=False)
    expires_at: datetime | None
    refresh: str | None = field(repr=False)
    refresh_expires_at: datetime | None
    scope: str


@dataclass(frozen=True, kw_only=True)
class OAuth(Auth):
    """Access tokens of OAuth 2.0.

    :param token_url: where they are issued: an absolute address, or a path below that of the
        backend; see also ``_oauth_address`` of the connector.
    :param scopes: what the tokens shall allow.
    :param client_auth: how client ID and secret are sent to the token endpoint.
    :param token_params: what the service wants to be told there beside the standard.
    :param header: where the token goes in requests.
    :param prefix: stands before it.
    """

    token_url: str
    scopes: tuple[str, ...] = ()
    scope_separator: str = " "
    client_auth: Literal["client_secret_basic", "client_secret_post", "none"] = (
        "client_secret_basic"
    )
    token_params: Mapping[str, str] = field(default_factory=dict)
    header: str = "Authorization"
    prefix: str = "Bearer "

    @property
    def credentials(self):
        specs = (
            CredentialSpec("client_id", _lt("Client ID")),
            CredentialSpec("client_secret", _lt("Client secret")),
        )
        return specs[:1] if self.client_auth == "none" else specs

    @property
    def grant(self):
        return self

    def headers(self, get):
        return {self.header: f"{self.prefix}{get(ACCESS_TOKEN)}"}

    def secret_values(self, get: Get) -> list[str]:
        """The credentials that a request for tokens holds."""
        return [get(spec.code) for spec in self.credentials if spec.code != "client_id"]

    def request_tokens(self, http, url: str, get: Get, grant_type: str, **form: str) -> Tokens:
        """Have tokens issued.

        :param http: client of the token endpoint's host, which authenticates nothing by itself.
        :param url: absolute address of the token endpoint.
        :param form: what the kind of grant needs, e.g. ``refresh_token``.
        :raises TokenRefused: when only a person can change that there are none.
        :raises RetryableError: when the endpoint does not answer, or has a problem.
        """
        body = prepare_token_request(grant_type, "", **form, **self.token_params)
        secret = "" if self.client_auth == "none" else get("client_secret")
        client = ClientAuth(get("client_id"), secret, self.client_auth)
        try:
            _url, headers, body = client.prepare("POST", url, {"Accept": "application/json"}, body)
        except UnicodeError:
            headers = None
        if headers is None:
            raise CredentialError(
                "Client ID or secret have characters that cannot be sent. Copy them again into the "
                "page Credentials of the backend."
            )
        try:
            response = http.post(
                url,
                data=dict(url_decode(body)),
                headers=_hidden(headers),
                label="get an access token",
                expected=(400, 401, 403),
            )
        except (AuthError, RequestRefused) as error:
            refusal = error
        else:
            return self._read(response, grant_type)
        raise TokenRefused(
            f"{http.host} issued no access token. {refusal.message}", detail=refusal.detail
        )

    def _read(self, response, grant_type: str) -> Tokens:
        host = urlsplit(response.url).hostname or "The service"
        try:
            answer = response.json()
        except Exception:
            if response.ok:
                raise
            answer = None
        answer = answer if isinstance(answer, dict) else {}
        failed, token = answer.get("error"), answer.get("access_token")
        code = failed if isinstance(failed, str) else ""
        if code in _PASSING:
            raise RetryableError(
                f"{host} issued no access token just now ({code}). It is tried again."
            )
        usable = isinstance(token, str) and token.isascii() and token.isprintable() and token
        if not response.ok or failed or not usable:
            said = answer.get("error_description") or code
            said = said if said and isinstance(said, str) else response.excerpt(_MOST_SAID)
            said = response.redactor.text(said)[:_MOST_SAID]
            raise TokenRefused(
                f"{host} issued no access token. {self.advice(code, grant_type)}"
                + (f" It says: {said}" if said.strip() else ""),
                detail=response.excerpt(2000),
            )
        refresh = answer.get("refresh_token")
        life = next((answer[name] for name in _REFRESH_LIFE if answer.get(name)), None)
        return Tokens(
            access=token,
            expires_at=_expiry(answer.get("expires_in"), early=True),
            refresh=refresh if isinstance(refresh, str) and refresh else None,
            refresh_expires_at=_expiry(life),
            scope=answer["scope"] if isinstance(answer.get("scope"), str) else "",
        )

    def advice(self, code: str, grant_type: str) -> str:
        """What a person has to do after a refusal with the error ``code`` (RFC 6749, 5.2)."""
        if code == "invalid_grant" and grant_type == "refresh_token":
            return (
                "The access that was granted has ended or was withdrawn. Press Connect on the "
                "backend, and grant it again."
            )
        if code == "invalid_grant" and grant_type == "authorization_code":
            return "The answer to the consent was used already, or came too late. Press Connect."
        if code == "invalid_scope":
            return (
                f"It does not grant what is needed ({', '.join(self.scopes) or 'no scopes'}). "
                f"Allow it in the settings of the app there."
            )
        return (
            "Check client ID and client secret on the page Credentials of the backend, and that "
            "the app is installed and allowed there; then test the connection."
        )


@dataclass(frozen=True, kw_only=True)
class ClientCredentials(OAuth):
    """Tokens for client ID and secret alone, without a person (RFC 6749, 4.4)."""

    code: str = "client_credentials"
    label: str = _lt("Client ID and secret")


@dataclass(frozen=True, kw_only=True)
class AuthorizationCode(OAuth):
    """Tokens that a person grants in the browser, renewed by a refresh token (RFC 6749, 4.1).

    :param authorize_url: the page where that is done, like ``token_url``.
    :param authorize_params: what the page wants to be told beside the standard.
    :param code_params: what the token endpoint wants to be told with the code.
    :param pkce: whether the service knows proof keys (RFC 7636, S256). Those that do not know them
        have to ignore them.
    """

    code: str = "authorization_code"
    label: str = _lt("Consent in the browser")
    authorize_url: str
    authorize_params: Mapping[str, str] = field(default_factory=dict)
    code_params: Mapping[str, str] = field(default_factory=dict)
    pkce: bool = True

    def consent_url(
        self, url: str, client_id: str, redirect_uri: str, state: str, verifier: str, scopes
    ) -> str:
        """Address of the page on which a person grants access.

        :param url: absolute address of the page, without our parameters.
        :param verifier: random text that only the session knows.
        """
        proof = {}
        if self.pkce:
            proof = {
                "code_challenge": create_s256_code_challenge(verifier),
                "code_challenge_method": "S256",
            }
        return prepare_grant_uri(
            url,
            client_id=client_id,
            response_type="code",
            redirect_uri=redirect_uri,
            scope=self.scope_separator.join(scopes),
            state=state,
            **proof,
            **self.authorize_params,
        )


def _hidden(headers: dict[str, str]) -> dict[str, str]:
    """Keep what authenticates out of the log: encoded with its name, a secret has another form."""
    SECRETS.add(headers.get("Authorization", "").rpartition(" ")[2])
    return headers


def _expiry(seconds: Any, *, early: bool = False) -> datetime | None:
    """Moment so many seconds from now; None for what is no such number."""
    try:
        life = timedelta(seconds=0 if isinstance(seconds, bool) else float(seconds))
        if life <= timedelta(0):
            return None
        now = datetime.now(UTC).replace(tzinfo=None)
        return now + (max(life - RENEW_EARLY, life / 2) if early else life)
    except (TypeError, ValueError, OverflowError):
        return None
