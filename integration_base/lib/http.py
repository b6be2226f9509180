"""The one way out: an HTTP client that asks once, in bounded time, and records what was said.

It never retries, never sleeps and never follows a redirect: whether a request may be repeated is
the engine's decision, which is why a failure says whether the request can have been carried out
(``outcome``). Whatever is not an accepted answer is an error named after its recovery.
"""

import contextlib
import http.client
import io
import json
import logging
import os
import queue
import re
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_plus, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError
from urllib3.filepost import encode_multipart_formdata

from .address_guard import AddressGuard, Target, origin_of
from .backoff import parse_http_date, parse_retry_after
from .client_certificate import ClientCertificate
from .errors import (
    AddressError,
    AuthError,
    ConfigurationError,
    IntegrationError,
    InvalidPayloadError,
    RateLimitedError,
    RequestRefused,
    RetryableError,
)
from .json_strict import MAX_DEPTH, dumps_strict, loads_strict
from .redact import Redactor
from .xml_strict import DamagedXmlError, parse_strict

_logger = logging.getLogger(__name__)

#: Seconds to connect, between two pieces of the answer, and for everything together.
DEFAULT_TIMEOUT = (5.0, 30.0, 60.0)
DEFAULT_MAX_RESPONSE_BYTES = 20 * 1024 * 1024
DEFAULT_USER_AGENT = "odoo-integration/19.0"
#: Most characters kept of each body in the record of an exchange.
MAX_RECORDED = 64 * 1024
#: An error's page is only read to be shown.
_MAX_ERROR_BYTES = 1024 * 1024
_CHUNK = 64 * 1024
#: Longest wait without a Retry-After header after "too many requests", in seconds.
_DEFAULT_RATE_LIMIT_WAIT = 5.0
_METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
_RETRY_STATUS = frozenset({408, 425})
#: "Range not satisfiable": the file ends before the part asked for.
_BEYOND_THE_END = 416
_CONTENT_RANGE = re.compile(r"\s*bytes\s+(\d+)-\d+/(\d+|\*)\s*", re.IGNORECASE)
#: Server errors that say "we do not know how", which waiting does not change.
_PERMANENT_5XX = frozenset({501, 505})

#: What a server says to the certificate we have shown, or have not.
_CERTIFICATE_ALERTS = frozenset({
    "TLSV13_ALERT_CERTIFICATE_REQUIRED", "TLSV1_ALERT_UNKNOWN_CA", "TLSV1_ALERT_ACCESS_DENIED",
    "SSLV3_ALERT_BAD_CERTIFICATE", "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    "SSLV3_ALERT_CERTIFICATE_REVOKED", "SSLV3_ALERT_CERTIFICATE_EXPIRED",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN", "TLSV1_ALERT_DECRYPT_ERROR",
})  # fmt: skip

NOT_SENT = "not_sent"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class ExchangeRecord:
    """One request and its answer, redacted and cut to what is kept of it.

    :param status: None when no answer came.
    :param error: what went wrong, in the words of the error raised, else an empty text.
    :param started_at: naive UTC.
    :param label: what the request was for, given by the caller.
    """

    method: str
    url: str
    request_headers: dict[str, str]
    request_body: str
    status: int | None
    response_headers: dict[str, str]
    response_body: str
    duration_ms: int
    error: str
    started_at: datetime
    label: str = ""


@dataclass(frozen=True)
class Request:
    """A request about to be sent, as the hooks around it see it.

    :param url: absolute, with its parameters.
    :param json: the body where it is sent as JSON, else None.
    """

    method: str
    url: str
    label: str = ""
    json: Any = field(default=None, repr=False)


@dataclass(frozen=True)
class Response:
    """An answer, completely read."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    elapsed_ms: int
    url: str = ""
    label: str = ""
    redactor: Redactor = field(default_factory=Redactor, repr=False, compare=False)
    _parsed: dict = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def text(self) -> str:
        """The body as text; bytes that are none are replaced."""
        return self.body.decode("utf-8", "replace").removeprefix("\ufeff")

    def json(self, *, decimals: bool = False, max_depth: int = MAX_DEPTH) -> Any:
        """The body as JSON (an object or a list), see :func:`.json_strict.loads_strict`.

        Read once: who asks again gets the same object.

        :param decimals: numbers with a fraction become ``Decimal`` instead of ``float``.
        :raises RetryableError: for a web page or nothing where data was expected: that is a proxy,
            a maintenance page or a login, and passes. Also for an answer that was damaged on its
            way, so that it is no JSON at all: nobody's data is wrong.
        :raises InvalidPayloadError: for JSON that is not acceptable.
        """
        if (decimals, max_depth) not in self._parsed:
            self._parsed[decimals, max_depth] = self._parse(decimals, max_depth)
        return self._parsed[decimals, max_depth]

    def xml(self, *, max_depth: int = MAX_DEPTH) -> Any:
        """The root element of the body as XML, see :func:`.xml_strict.parse_strict`.

        Read once, and raises the same, as :meth:`json`.
        """
        if ("xml", max_depth) not in self._parsed:
            self._parsed["xml", max_depth] = self._parse_xml(max_depth)
        return self._parsed["xml", max_depth]

    @property
    def _what(self) -> str:
        return f"The answer of {self._who}{_about(self.label)}"

    @property
    def _who(self) -> str:
        return _host(self.url) or "The service"

    def _parse(self, decimals: bool, max_depth: int) -> Any:
        # Some services label their JSON as a page.
        self._refuse_page((b"{", b"["))
        try:
            return loads_strict(
                self.body,
                what=self._what,
                max_depth=max_depth,
                max_bytes=max(len(self.body), 1),
                decimals=decimals,
            )
        except InvalidPayloadError as error:
            problem = error
        raise self._damaged(problem) if _is_damaged(self.body) else problem

    def _parse_xml(self, max_depth: int) -> Any:
        self._refuse_page((b"<?xml",))
        try:
            return parse_strict(
                self.body,
                what=self._what,
                max_depth=max_depth,
                max_bytes=max(len(self.body), 1),
            )
        except InvalidPayloadError as error:
            problem = error
        raise self._damaged(problem) if isinstance(problem, DamagedXmlError) else problem

    def _refuse_page(self, data_begins: tuple[bytes, ...]) -> None:
        if not self.body.strip():
            raise RetryableError(
                f"{self._who} answered HTTP {self.status} with nothing where data was expected"
                f"{_about(self.label)}. It is asked again later.",
            )
        begins = self.body.lstrip(b"\xef\xbb\xbf \t\r\n")
        labelled = self.content_type in ("text/html", "application/xhtml+xml")
        if _looks_like_page(begins) or (labelled and not begins.startswith(data_begins)):
            raise RetryableError(
                f"{self._who} answered HTTP {self.status} with a web page "
                f"({self.content_type or 'no content type'}) instead of data{_about(self.label)}. "
                f"It begins: {self.excerpt(120)}. Such pages come from maintenance, a login or a "
                f"firewall in between; it is asked again later.",
                detail=self.excerpt(2000),
            )

    def _damaged(self, problem: InvalidPayloadError) -> RetryableError:
        return RetryableError(
            f"{self._what} arrived damaged: {problem.problems[0][1]}. It is asked again later.",
            detail=problem.message,
        )

    def excerpt(self, length: int = 300) -> str:
        """The first words of the body for people: redacted, without tags and line breaks."""
        text = self.redactor.body(self.body, self.headers.get("Content-Type"))
        if _looks_like_page(self.body):
            text = re.sub(r"(?is)<(script|style)\b.*?(?:</\1\s*>|\Z)|<[^<>]*>", " ", text)
        text = " ".join(text[: 40 * length].split())
        return text if len(text) <= length else text[: length - 1].rstrip() + "\u2026"


@dataclass(frozen=True)
class Part:
    """A part of a file.

    :param start: position of its first byte in the file.
    :param total: size of the file, None where the server does not tell.
    :param last: whether the file ends with it.
    """

    start: int
    body: bytes = field(repr=False)
    total: int | None
    last: bool


def encode_form(
    fields: Iterable[tuple[str, str]], name: str, filename: str, body: bytes, content_type: str
) -> tuple[bytes, str]:
    """Return the body of a form with a file (``multipart/form-data``), and its Content-Type.

    :param fields: pairs of name and value; they stand before the file, because storage services
        ignore what stands behind it.
    :param name: of the field with the file.
    :param body: the content of the file.
    """
    return encode_multipart_formdata([*fields, (name, (filename, body, content_type))])


class HttpClient:
    """Requests to one service, with one account's credentials.

    :param base_url: ``https://`` address; paths are appended to it. See :mod:`.address_guard` for
        what can be called.
    :param auth: called for each request, returns the headers that carry the credentials. They are
        never recorded, and their values are removed wherever else they appear.
    :param auth_params: the same for parameters of the URL. They are removed from what is recorded
        as well, also from the addresses that hooks and answers show.
    :param sign: called with method, URL and body of each request, returns more such headers.
    :param certificate: shown to the server, which then knows who calls.
    :param timeout: seconds to connect, between two pieces of the answer, and for the whole request.
        Looking up the name may take as long as connecting may.
    :param max_response_bytes: most bytes of an answer, after decompression.
    :param allow_insecure: for sandboxes and simulators: this machine can be called as well, as
        ``localhost`` or by its address, also with ``http://``. Certificates are checked all the
        same.
    :param private_hosts: what may be called besides public addresses, see
        :func:`.address_guard.read_private_hosts`.
    :param on_exchange: called with an :class:`ExchangeRecord` after every request, failed or not.
    :param before_request: called with the :class:`Request` before anything is sent; what it raises
        (:class:`RateLimitedError`) is raised, and nothing is sent or recorded.
    :param after_response: called with the :class:`Request`, the :class:`Response` and the error it
        means, if any. It must not raise.
    :param classify: called with each :class:`Response` before the default table; it may raise an
        error of :mod:`.errors`, return True to accept the answer whatever its status, or None.
    :param ca_bundle: file or folder of certificates to trust instead of the usual ones.
    :raises AddressError: for an address that must not be called.
    :raises ConfigurationError: for certificates that cannot be read.

    A client keeps connections open; it is not shared between threads.
    """

    def __init__(
        self,
        base_url: str,
        *,
        auth: Callable[[], Mapping[str, str]] | None = None,
        auth_params: Callable[[], Mapping[str, str]] | None = None,
        sign: Callable[[str, str, bytes], Mapping[str, str]] | None = None,
        certificate: ClientCertificate | None = None,
        timeout: tuple[float, float, float] = DEFAULT_TIMEOUT,
        max_response_bytes: int = DEFAULT_MAX_RESPONSE_BYTES,
        allow_insecure: bool = False,
        private_hosts: str = "",
        user_agent: str = DEFAULT_USER_AGENT,
        on_exchange: Callable[[ExchangeRecord], None] | None = None,
        before_request: Callable[[Request], None] | None = None,
        after_response: Callable[[Request, Response, IntegrationError | None], None] | None = None,
        redactor: Redactor | None = None,
        classify: Callable[[Response], bool | None] | None = None,
        ca_bundle: str | None = None,
    ):
        if len(timeout) != 3 or not all(seconds and seconds > 0 for seconds in timeout):
            raise ValueError("timeout is three positive numbers: connect, read, total")
        self.base_url = _checked_base_url(base_url)
        self._guard = AddressGuard(
            self.base_url, sandbox=allow_insecure, private_hosts=private_hosts
        )
        self.host = self._guard.origin.host
        self._auth = auth
        self._auth_params = auth_params
        self._sign = sign
        self._connect, self._read, self._total = (float(seconds) for seconds in timeout)
        self._max_bytes = max_response_bytes
        self._user_agent = user_agent
        self._on_exchange = on_exchange
        self._before_request = before_request
        self._after_response = after_response
        self._redactor = redactor or Redactor()
        self._classify = classify
        self._adapter = _Adapter(_tls_context(ca_bundle, certificate))

    def __enter__(self) -> "HttpClient":
        return self

    def __exit__(self, *_exc_info) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._adapter.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        data: bytes | str | Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        label: str | None = None,
        expected: Collection[int] = (),
        keep_bodies: bool = True,
    ) -> Response:
        """Send one request and read the answer.

        :param path: appended to the base URL; an absolute URL is taken when it is below the same
            origin (links to a next page).
        :param json: sent as JSON, see :func:`.json_strict.dumps_strict`.
        :param data: sent as it is, a mapping as a form. Not together with ``json``.
        :param label: what the request is for, in words, for errors and the record.
        :param expected: statuses besides 2xx that the caller handles itself, e.g. ``(404,)``.
        :param keep_bodies: off for files: the record then only tells their sizes, as long as all
            goes well.
        :raises RetryableError: no or no complete answer, HTTP 408, 425, 5xx. Its ``outcome`` is
            ``not_sent`` when nothing left this machine, else ``unknown``.
        :raises RateLimitedError: HTTP 429, or what ``before_request`` raises.
        :raises AuthError: HTTP 401, 403.
        :raises RequestRefused: every other 3xx and 4xx, 501, 505.
        :raises InvalidPayloadError: the answer is too large, or compressed in an unknown way.
        :raises AddressError: the host's name leads to an address that must not be called.
        :raises ConfigurationError: a request that cannot be sent as configured.
        """
        call = self._prepare(method, path, params, json, data, headers, label)
        if self._before_request:
            self._before_request(call.request)
        return self._send(replace(call, keep_bodies=keep_bodies), expected)

    def get(self, path: str, **options) -> Response:
        """:meth:`request` with GET."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options) -> Response:
        """:meth:`request` with POST."""
        return self.request("POST", path, **options)

    def download(self, path: str, *, start: int = 0, size: int, label: str | None = None) -> Part:
        """Read a part of a file, however large the file is.

        A server that cannot begin in the middle is read up to there, keeping nothing, and left as
        soon as the part is complete.

        :param start: position of the first byte wanted.
        :param size: most bytes wanted.
        :returns: :class:`Part`; empty when the file ends before ``start``.
        :raises IntegrationError: see :meth:`request`.
        """
        headers = {"Range": f"bytes={start}-{start + size - 1}", "Accept": "*/*"}
        call = self._prepare("GET", path, None, None, None, headers, label)
        if self._before_request:
            self._before_request(call.request)
        response = self._send(
            replace(call, keep_bodies=False, part=(start, size)), (_BEYOND_THE_END,)
        )
        if response.status == _BEYOND_THE_END:
            return Part(start, b"", None, True)
        total = response.headers.get("Content-Length", "").strip()
        if response.status == 206:
            first, total = _read_range(response.headers.get("Content-Range", ""))
            if first != start:
                raise RetryableError(
                    f"{self.host} sent another part of the file than asked for{_about(label)}. It "
                    f"is asked again later.",
                )
        whole = int(total) if total.isdigit() else None
        end = start + len(response.body)
        # without a size, a short part is the last one
        last = len(response.body) < size if whole is None else end >= whole
        return Part(start, response.body, whole, last)

    # === PREPARING === #

    def _prepare(self, method, path, params, json, data, headers, label) -> "_Call":
        method = method.upper()
        if method not in _METHODS:
            raise ValueError(f"{method} is no HTTP method this client sends")
        if json is not None and data is not None:
            raise ValueError("a request has either json or data")
        credentials = dict(self._auth() or {}) if self._auth else {}
        secret_params = dict(self._auth_params() or {}) if self._auth_params else {}
        sent = CaseInsensitiveDict(
            {
                "User-Agent": self._user_agent,
                "Accept": "application/json, */*;q=0.5",
                # A small compressed answer can be a huge one; see _decompressed.
                "Accept-Encoding": "identity",
            }
        )
        sent.update(headers or {})
        if json is not None:
            data = dumps_strict(json).encode()
            sent.setdefault("Content-Type", "application/json")
        elif isinstance(data, str):
            data = data.encode()
        sent.update(credentials)
        url, shown = self._url(path), ""
        try:
            prepared = requests.Request(
                method, url, headers=sent, params=params, data=data
            ).prepare()
            shown = prepared.url
            if secret_params:
                # instead of those that a link to a next page may have brought along
                prepared.prepare_url(_without_params(shown, secret_params), secret_params)
                shown = _without_params(prepared.url, secret_params)
            if self._sign:
                signed = self._sign(method, prepared.url, _as_bytes(prepared.body))
                credentials.update(signed)
                prepared.headers.update(signed)
            # What http.client would find out when half of the request is sent.
            "".join(map(str, prepared.headers.values())).encode("latin-1")
            valid = True
        except (requests.RequestException, ValueError):
            # Their texts contain the header or the URL, so they are not shown.
            valid = False
        # The scheme ("Bearer") is no secret, what follows it is also used alone.
        values = [part for value in credentials.values() for part in (value, *value.split()[1:])]
        redactor = self._redactor.with_secrets(
            value for value in (*values, *secret_params.values()) if len(value) >= 6
        )
        if not valid:
            raise ConfigurationError(
                f"The request to {self.host}{_about(label)} cannot be built: its address or a "
                f"header has characters that are not allowed there. Enter the credentials of the "
                f"backend again, without line breaks or special characters."
            )
        return _Call(
            prepared,
            redactor.text(label or ""),
            redactor,
            frozenset(name.lower() for name in credentials),
            Request(method, shown, label or "", json),
        )

    def _url(self, path: str) -> str:
        if not re.match(r"(?i)[a-z][a-z0-9+.-]*:|//", path):
            return f"{self.base_url}/{path.lstrip('/')}" if path else self.base_url
        with contextlib.suppress(AddressError):
            if origin_of(path) == self._guard.origin:
                return path
        raise InvalidPayloadError(
            f"{self.host} pointed to an address of another server "
            f"({self._redactor.text(_host(path) or 'unknown')}). It was not called, because the "
            f"credentials of {self.host} must not go there. Tell your integrator.",
        )

    # === SENDING === #

    def _send(self, call: "_Call", expected: Collection[int]) -> Response:
        started_at = datetime.now(UTC).replace(tzinfo=None)
        progress = _Progress(time.monotonic(), self._total, self._read, self._guard)
        token = _PROGRESS.set(progress)
        answer, problem, response = _Answer(), None, None
        try:
            self._exchange(call, progress, answer)
        except _FAILURES as failure:
            problem = self._failure(call, progress, failure)
        except (InvalidPayloadError, AddressError) as failure:
            problem = failure
        finally:
            _PROGRESS.reset(token)
        if problem is None:
            response = Response(
                answer.status, answer.headers, bytes(answer.body), progress.elapsed_ms,
                call.request.url, call.label, call.redactor,
            )  # fmt: skip
            try:
                self._judge(response, expected)
            except IntegrationError as refusal:
                problem = refusal
            except Exception as bug:
                self._record(call, answer, progress, started_at, type(bug).__name__)
                raise
        self._record(call, answer, progress, started_at, problem.message if problem else "")
        if response is not None and self._after_response:
            self._after_response(call.request, response, problem)
        if problem is not None:
            raise problem
        return response

    def _exchange(self, call: "_Call", progress: "_Progress", answer: "_Answer") -> None:
        # Not through a Session: it would keep cookies, take proxies, passwords and certificates
        # from the environment, and read the whole body of a redirect it does not follow.
        received = self._adapter.send(
            call.prepared,
            stream=True,
            timeout=(min(self._connect, self._total), min(self._read, self._total)),
        )
        try:
            answer.status, answer.headers = received.status_code, received.headers
            limit = self._max_bytes
            if not 200 <= received.status_code < 300:
                limit = min(limit, _MAX_ERROR_BYTES)
            elif call.part:
                self._read_part(call, received, answer)
                return
            self._read_body(call, received, answer, limit)
        except BaseException:
            # A connection with a rest of an answer on it must not serve the next request.
            received.raw.close()
            raise
        # Not received.close(), which closes the connection that the next request can use.
        received.raw.release_conn()

    def _read_body(self, call, received, answer: "_Answer", limit: int) -> None:
        is_error = not 200 <= received.status_code < 300
        encoding = received.headers.get("Content-Encoding", "").strip().lower()
        announced = received.headers.get("Content-Length", "").strip()
        unpack = _decompressor(encoding)
        if unpack is None:
            if is_error:
                received.raw.close()
                return
            raise InvalidPayloadError(
                f"{self.host} answered{_about(call.label)} in the compression "
                f"{call.redactor.text(encoding[:40])}, which was not asked for and cannot be read. "
                f"Tell the other side's support."
            )
        raw_size = 0
        while True:
            chunk = received.raw.read(_CHUNK, decode_content=False)
            raw_size += len(chunk)
            answer.body += unpack(chunk, limit + 1 - len(answer.body))
            # junk behind the end of a compressed answer makes no body, but takes time to read
            if max(len(answer.body), raw_size) > limit:
                del answer.body[limit:]
                received.raw.close()
                if is_error:
                    return
                raise InvalidPayloadError(
                    f"{self.host} answered{_about(call.label)} with more than {limit:,} bytes. "
                    f"Reading was stopped. Ask for less at once (fewer records per page)."
                )
            if not chunk:
                break
        # Neither urllib3 1.26 nor http.client minds an answer that ends too early.
        body_expected = call.prepared.method != "HEAD" and received.status_code not in (204, 304)
        if body_expected and announced.isdigit() and raw_size < int(announced):
            raise _Truncated(f"{raw_size} of {announced} bytes")

    def _read_part(self, call, received, answer: "_Answer") -> None:
        """Read a part of a file; the connection is not used again if there is more behind it."""
        start, size = call.part
        if received.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            received.raw.close()
            raise InvalidPayloadError(
                f"{self.host} sent the file compressed{_about(call.label)}, which was not asked "
                f"for. Tell the other side's support."
            )
        skip = 0 if received.status_code == 206 else start
        announced = received.headers.get("Content-Length", "").strip()
        seen = 0
        while len(answer.body) < size:
            chunk = received.raw.read(_CHUNK, decode_content=False)
            if not chunk:
                break
            seen += len(chunk)
            if seen > skip:
                answer.body += chunk[max(0, len(chunk) - (seen - skip)) :]
        whole = len(answer.body) <= size and announced.isdigit() and seen == int(announced)
        if len(answer.body) < size and announced.isdigit() and seen < int(announced):
            raise _Truncated(f"{seen} of {announced} bytes")
        del answer.body[size:]
        if whole:
            received.raw.release_conn()
        else:
            received.raw.close()

    def _failure(
        self, call: "_Call", progress: "_Progress", failure: Exception
    ) -> IntegrationError:
        alerts = {
            getattr(cause, "reason", None) for cause in _causes(failure)
        } & _CERTIFICATE_ALERTS
        if alerts:
            return AuthError(
                f"{self.host} does not accept our client certificate, or wants one"
                f"{_about(call.label)}. Check the certificate on the page Credentials of the "
                f"backend, and that the service knows it.",
                detail=", ".join(sorted(alerts)),
            )
        outcome = UNKNOWN if progress.sent else NOT_SENT
        kind, reason = _explain(failure, progress)
        if outcome == NOT_SENT:
            follow = "Nothing was sent; it is tried again."
        elif call.prepared.method in ("GET", "HEAD", "OPTIONS"):
            follow = "It is tried again."
        else:
            follow = (
                "The request may have been carried out; that is found out before it is sent again."
            )
        return RetryableError(
            f"{self.host} {reason}{_about(call.label)}. {follow}",
            outcome=outcome,
            detail=call.redactor.text(f"{kind}: {failure}"),
        )

    # === JUDGING === #

    def _judge(self, response: Response, expected: Collection[int]) -> None:
        if self._classify and self._classify(response):
            return
        if response.ok or response.status in expected:
            return
        raise self._refusal(response)

    def _refusal(self, response: Response) -> IntegrationError:
        status, detail = response.status, response.excerpt(2000)
        said = f" It says: {response.excerpt(300)}" if response.body.strip() else ""
        begin = f"{self.host} answered HTTP {status}{_about(response.label)}"
        wait = self._retry_after(response)
        if status == 429:
            return RateLimitedError(
                f"{begin}: too many requests at once. It goes on by itself.",
                retry_after=_DEFAULT_RATE_LIMIT_WAIT if wait is None else wait,
                detail=detail,
            )
        if status in _RETRY_STATUS or (status >= 500 and status not in _PERMANENT_5XX):
            return RetryableError(
                f"{begin}: the service has a problem. It is tried again.{said}",
                retry_after=wait,
                detail=detail,
            )
        if status in (401, 403):
            what = "the credentials were refused" if status == 401 else "access was refused"
            return AuthError(
                f"{begin}: {what}. Check the credentials and their permissions on the "
                f"backend.{said}",
                detail=detail,
            )
        if 300 <= status < 400:
            target = response.redactor.url(response.headers.get("Location", "nowhere"))
            return RequestRefused(
                f"{begin} and sends us to {target[:200]}. Redirects are not followed, because they "
                f"would hand the credentials to another address. Check the address of the backend.",
                status=status,
                detail=detail,
            )
        return RequestRefused(
            f"{begin}: the request was refused.{said}", status=status, detail=detail
        )

    def _retry_after(self, response: Response) -> float | None:
        # Their clock where they show it, so that a wrong clock on either side does no harm.
        now = parse_http_date(response.headers.get("Date")) or datetime.now(UTC)
        return parse_retry_after(response.headers.get("Retry-After"), now)

    # === RECORDING === #

    def _record(self, call, answer, progress, started_at, error: str) -> None:
        if not self._on_exchange:
            return
        try:
            self._on_exchange(self._exchange_record(call, answer, progress, started_at, error))
        except Exception as failure:
            # The answer to a request that may have cost money is worth more than its record.
            _logger.error("an exchange could not be recorded: %s", type(failure).__name__)

    def _exchange_record(self, call, answer, progress, started_at, error) -> ExchangeRecord:
        redactor, prepared = call.redactor, call.prepared
        return ExchangeRecord(
            method=prepared.method,
            url=_cut(redactor.url(call.request.url)),
            request_headers={
                name: "***" if name.lower() in call.secret_headers else value
                for name, value in redactor.headers(prepared.headers).items()
            },
            request_body=self._recorded(call, prepared.body, prepared.headers),
            status=answer.status,
            response_headers=redactor.headers(answer.headers),
            # what went wrong is said by the answer, and is no file
            response_body=self._recorded(
                replace(call, keep_bodies=call.keep_bodies or bool(error)),
                bytes(answer.body),
                answer.headers,
            ),
            duration_ms=progress.elapsed_ms,
            error=_cut(redactor.text(error)),
            started_at=started_at,
            label=call.label,
        )

    def _recorded(self, call, body, headers) -> str:
        if call.keep_bodies or not body:
            return _cut(call.redactor.body(body, headers.get("Content-Type")))
        return f"[{len(body):,} bytes, not kept]"


# === ONE REQUEST ON ITS WAY === #


@dataclass(frozen=True)
class _Call:
    prepared: requests.PreparedRequest
    label: str
    redactor: Redactor
    secret_headers: frozenset[str]
    request: Request
    keep_bodies: bool = True
    #: first byte and number of bytes wanted of a file
    part: tuple[int, int] | None = None


@dataclass
class _Answer:
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


@dataclass
class _Progress:
    started: float
    total: float
    read: float
    guard: AddressGuard
    sent: bool = False
    _stopped: float | None = None

    def next_timeout(self, limit: float | None = None) -> float:
        """Seconds the next wait on the socket may take.

        :param limit: most of them; without it, those between two pieces of the answer.
        """
        left = self.started + self.total - time.monotonic()
        if left <= 0:
            raise TimeoutError("total time is over")
        return min(left, self.read if limit is None else limit)

    @property
    def overdue(self) -> bool:
        """Whether the total time is over, give or take the precision of a socket's timeout."""
        return time.monotonic() >= self.started + self.total - 0.01

    @property
    def elapsed_ms(self) -> int:
        if self._stopped is None:
            self._stopped = time.monotonic()
        return round((self._stopped - self.started) * 1000)


#: Of the request that is being sent; without one, nothing connects.
_PROGRESS: ContextVar[_Progress] = ContextVar("progress")


class _Truncated(Exception):
    """The connection ended before the announced length."""


_FAILURES = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    zlib.error,
    _Truncated,
)


# === TRANSPORT: a total deadline, and the truth about whether anything was sent === #


class _DeadlineStream(io.RawIOBase):
    """The bytes of a socket; each wait gets only what is left of the request's time.

    The timeouts of ``requests`` start again with every byte, so a server that sends one byte now
    and then holds a worker for ever. Covers the headers too.
    """

    def __init__(self, sock: socket.socket, stream: io.RawIOBase, progress: _Progress):
        super().__init__()
        self._sock, self._stream, self._progress = sock, stream, progress

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int | None:
        self._sock.settimeout(self._progress.next_timeout())
        return self._stream.readinto(buffer)

    def close(self) -> None:
        self._stream.close()
        return super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    def __init__(self, sock, *args, **kwargs):
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_DeadlineStream(sock, self.fp.detach(), _PROGRESS.get()))


def _look_up(guard: AddressGuard, host: str, port: int, timeout: float) -> list[Target]:
    """:meth:`AddressGuard.targets` in bounded time.

    The system's resolver knows no deadline; a look-up that is left behind ends by itself.
    """
    outcome: queue.SimpleQueue = queue.SimpleQueue()

    def look_up() -> None:
        try:
            outcome.put((guard.targets(host, port), None))
        except Exception as failure:
            outcome.put(([], failure))

    threading.Thread(target=look_up, daemon=True, name="integration look-up").start()
    try:
        found, failure = outcome.get(timeout=timeout)
    except queue.Empty:
        found, failure = [], TimeoutError("the name was not looked up in time")
    if failure:
        raise failure
    return found


class _Tracked:
    """Connects to judged addresses only; notes when the other side may have seen something."""

    response_class = _DeadlineResponse

    def _new_conn(self) -> socket.socket:
        # The name stays the connection's host: its certificate is checked against that.
        progress, failure = _PROGRESS.get(), None
        try:
            limit = progress.next_timeout(self.timeout)
            for target in _look_up(progress.guard, self._dns_host, self.port, limit):
                try:
                    return self._dial(target, progress.next_timeout(self.timeout))
                except OSError as error:
                    failure = error
        except (socket.gaierror, TimeoutError) as error:
            failure = error
        raise NewConnectionError(self, f"Failed to connect: {failure}") from failure

    def _dial(self, target: Target, timeout: float) -> socket.socket:
        sock = socket.socket(target.family, socket.SOCK_STREAM)
        try:
            for option in self.socket_options or ():
                sock.setsockopt(*option)
            sock.settimeout(timeout)
            sock.connect(target.address)
        except BaseException:
            sock.close()
            raise
        return sock

    def send(self, data) -> None:
        if self.sock is None:
            self.connect()
        progress = _PROGRESS.get()
        self.sock.settimeout(progress.next_timeout())
        progress.sent = True
        try:
            return super().send(data)
        except OSError:
            # Why it was closed stands behind what could not be sent: the refusal of a certificate.
            with contextlib.suppress(TimeoutError):
                self.sock.settimeout(progress.next_timeout(1.0))
                self.sock.recv(1)
            raise


class _Connection(_Tracked, HTTPConnection):
    pass


class _TlsConnection(_Tracked, HTTPSConnection):
    def connect(self) -> None:
        # urllib3 would add certificates to the context that all clients share, and lets no
        # certificate be checked for an IP address.
        sock = self._new_conn()
        try:
            sock.settimeout(_PROGRESS.get().next_timeout(self.timeout))
            self.sock = self.ssl_context.wrap_socket(sock, server_hostname=self.host)
        except BaseException:
            sock.close()
            raise
        self.is_verified = True


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    def __init__(self, tls: ssl.SSLContext):
        self._tls = tls
        super().__init__(pool_connections=2, pool_maxsize=2, max_retries=0)

    def init_poolmanager(self, *args, **kwargs):
        result = super().init_poolmanager(*args, ssl_context=self._tls, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
        return result


@lru_cache(maxsize=16)
def _tls_context(
    ca_bundle: str | None, certificate: ClientCertificate | None = None
) -> ssl.SSLContext:
    """Trust in authorities; shared by all clients, because reading them takes 20 ms.

    Those who show a certificate share it with others who show the same one.
    """
    folder = bool(ca_bundle) and os.path.isdir(ca_bundle)
    context = None
    with contextlib.suppress(OSError):
        context = ssl.create_default_context(
            cafile=None if folder else ca_bundle or None, capath=ca_bundle if folder else None
        )
    if context is None:
        raise ConfigurationError(
            f"The certificates to trust cannot be read from {ca_bundle}. Give a file or folder of "
            f"certificates in PEM format, or leave it empty to trust the usual authorities."
        )
    if not ca_bundle:
        context.load_verify_locations(requests.certs.where())
    if certificate:
        certificate.load_into(context)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _decompressor(encoding: str) -> Callable[[bytes, int], bytes] | None:
    """A function (bytes, most bytes to return) -> bytes; None for an unknown encoding.

    Compression is not asked for, so of what RFC 1952 allows only what servers do is read: one part,
    not several one after the other.
    """
    if encoding in ("", "identity"):
        return lambda chunk, _most: chunk
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return None
    state = zlib.decompressobj(zlib.MAX_WBITS | 32 if encoding != "deflate" else zlib.MAX_WBITS)
    first = True

    def refuse_more(rest: bytes) -> None:
        # some fill the last block with zeros
        if rest.strip(b"\0"):
            raise zlib.error("something follows the end of the compressed answer")

    def unpack(chunk: bytes, most: int) -> bytes:
        nonlocal state, first
        if state.eof:
            # zlib would keep all of it
            refuse_more(chunk)
            return b""
        if not chunk:
            if not first:
                raise _Truncated("the compressed answer ends in the middle")
            return b""
        try:
            result = state.decompress(chunk, most)
        except zlib.error:
            if encoding != "deflate" or not first:
                raise
            # Some servers mean the bare format by "deflate".
            state = zlib.decompressobj(-zlib.MAX_WBITS)
            result = state.decompress(chunk, most)
        first = False
        while state.unconsumed_tail and len(result) < most:
            result += state.decompress(state.unconsumed_tail, most - len(result))
        refuse_more(state.unused_data)
        return result

    return unpack


# === WORDS === #


def _explain(failure: Exception, progress: _Progress) -> tuple[str, str]:
    """Name of the real cause, and the same as a clause that follows the host's name."""
    causes = list(_causes(failure))
    kinds = {type(cause).__name__ for cause in causes}
    name = type(causes[-1]).__name__
    if progress.overdue:
        return name, f"did not finish its answer within {progress.total:g} seconds"
    if (
        any(isinstance(cause, socket.gaierror) for cause in causes)
        or "NameResolutionError" in kinds
    ):
        return name, "cannot be found (its name has no address)"
    if not progress.sent and (
        "SSLError" in kinds or any(isinstance(c, ssl.SSLError) for c in causes)
    ):
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
            return name, "could not prove its identity (its certificate is not valid for us)"
        return name, "and we cannot agree on a secure connection"
    if isinstance(failure, _Truncated) or kinds & {"IncompleteRead", "InvalidChunkLength"}:
        return name, "broke off in the middle of its answer"
    if any(isinstance(c, (TimeoutError, requests.Timeout)) for c in causes) or any(
        "Timeout" in kind for kind in kinds
    ):
        if not progress.sent:
            return name, "could not be reached in time"
        return name, "did not answer in time"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return name, "refuses connections"
    if any(isinstance(cause, zlib.error) for cause in causes):
        return name, "sent an answer that cannot be decompressed"
    if not progress.sent:
        return name, "could not be reached"
    return name, "closed the connection without a complete answer"


def _is_damaged(body: bytes) -> bool:
    try:
        json.loads(body)
    except RecursionError:
        return False
    except ValueError:  # no JSON, or no text
        return True
    return False


def _causes(failure: BaseException):
    seen: set[int] = set()
    queue = [failure]
    while queue:
        current = queue.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = [current.__cause__, current.__context__, getattr(current, "reason", None)]
        queue += [cause for cause in (*inner, *current.args) if isinstance(cause, BaseException)]


def _as_bytes(body: bytes | str | None) -> bytes:
    return body.encode() if isinstance(body, str) else body or b""


def _without_params(url: str, names: Collection[str]) -> str:
    base, mark, query = url.partition("?")
    query, hash_mark, fragment = query.partition("#")
    kept = [pair for pair in query.split("&") if unquote_plus(pair.partition("=")[0]) not in names]
    return base + (mark if any(kept) else "") + "&".join(kept) + hash_mark + fragment


def _read_range(text: str) -> tuple[int | None, str]:
    """The position a part begins at, and the size of the whole as text."""
    found = _CONTENT_RANGE.fullmatch(text)
    return (int(found[1]), found[2]) if found else (None, "")


def _about(label: str | None) -> str:
    return f" ({label})" if label else ""


def _cut(text: str) -> str:
    if len(text) <= MAX_RECORDED:
        return text
    return f"{text[:MAX_RECORDED]}\n[cut: {len(text):,} characters in all]"


def _looks_like_page(body: bytes) -> bool:
    start = re.sub(rb"\A<\?xml[^>]*>\s*", b"", body[:400].lstrip(b"\xef\xbb\xbf \t\r\n").lower())
    return start.startswith((b"<!doctype html", b"<html", b"<head", b"<body"))


# === ADDRESSES === #


def _checked_base_url(base_url: str) -> str:
    url = (base_url or "").strip().rstrip("/")
    if "?" in url or "#" in url:
        raise AddressError(
            "The address of the backend must not contain ? or #. Enter credentials in their own "
            "fields."
        )
    return url


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
