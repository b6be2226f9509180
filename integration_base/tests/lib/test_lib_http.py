"""The HTTP client against real sockets: every way an answer can fail, and what is told about it."""

import contextlib
import gzip
import inspect
import logging
import os
import socket
import ssl
import stat
import struct
import threading
import time
import zlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from socket import SO_LINGER, SOL_SOCKET, create_server

import pytest
from cryptography.hazmat.primitives import serialization
from wire import Wire, answer

from odoo.addons.integration_base.lib import client_certificate
from odoo.addons.integration_base.lib.client_certificate import (
    ClientCertificate,
    certificate_expiry,
)
from odoo.addons.integration_base.lib.errors import (
    AuthError,
    ConfigurationError,
    CredentialError,
    InvalidPayloadError,
    RateLimitedError,
    RequestRefused,
    RetryableError,
    SkipRecord,
)
from odoo.addons.integration_base.lib.http import (
    MAX_RECORDED,
    ExchangeRecord,
    HttpClient,
    encode_form,
)
from odoo.addons.integration_base.lib.redact import Redactor
from odoo.addons.integration_base.tests.authority import Authority

TOKEN = "shpat_canary0123456789"
CUSTOM = "C4NARY-custom-value"
DES_KEY = """
-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: DES-EDE3-CBC,63AA2F7E6B19DA5C

BJPtAYqKepnP5MLSpfpCvCjw4T1syqyDO4PIVP+0bXSg0H5f4kp+snlSyaZ3lTgn
7W9RoRi5Ckn8QEfQE9w4clsjeeOpVXMSAowq66B90PrUMndZDOyG7SdnGe0UQz6N
aC24G/v5qp6SSndRQTArk6JMRnxXH0r67i+LkE2VUhM=
-----END EC PRIVATE KEY-----
"""


@pytest.fixture
def serve():
    wires = []

    def start(handler, tls=None) -> Wire:
        wires.append(Wire(handler if callable(handler) else lambda *_args: handler, tls))
        return wires[-1]

    yield start
    for wire in wires:
        wire.close()


@pytest.fixture
def exchanges() -> list[ExchangeRecord]:
    return []


@pytest.fixture
def client(exchanges):
    clients = []

    def make(url, **options) -> HttpClient:
        options.setdefault("timeout", (5, 5, 10))
        options.setdefault("on_exchange", exchanges.append)
        clients.append(HttpClient(url, allow_insecure=True, **options))
        return clients[-1]

    yield make
    for each in clients:
        each.close()


def failure(call, kind):
    started = time.monotonic()
    with pytest.raises(kind) as caught:
        call()
    error = caught.value
    error.seconds = time.monotonic() - started
    # Whatever is logged about an error must not bring back what was removed from its text.
    assert error.__cause__ is None and error.__context__ is None
    return error


# === ANSWERS === #


def test_answer_is_read_and_recorded(serve, client, exchanges):
    wire = serve(answer(201, b'{"id": 7}', X_Request_Id="r-1"))
    response = client(wire.url).post("orders", json={"a": Decimal("1.10")}, label="create order #1")
    assert (response.status, response.ok, response.json()) == (201, True, {"id": 7})
    assert response.headers["x-request-id"] == "r-1"
    assert response.elapsed_ms >= 0
    head, _, body = wire.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /orders HTTP/1.1")
    assert b"Accept-Encoding: identity" in head
    assert b"Content-Type: application/json" in head
    assert b"User-Agent: odoo-integration" in head
    assert body == b'{"a":"1.10"}'
    [record] = exchanges
    assert (record.method, record.url, record.status) == ("POST", f"{wire.url}/orders", 201)
    assert (record.request_body, record.response_body) == ('{"a": "1.10"}', '{"id": 7}')
    assert (record.error, record.label) == ("", "create order #1")
    assert record.started_at.tzinfo is None
    assert abs(record.started_at - datetime.now(UTC).replace(tzinfo=None)) < timedelta(seconds=5)


def test_one_connection_serves_several_requests(serve, client):
    wire = serve(answer())
    http = client(wire.url)
    for _ in range(3):
        http.get("x")
    assert (len(wire.requests), wire.connections) == (3, 1)


def test_parameters_forms_and_methods(serve, client):
    wire = serve(answer())
    http = client(f"{wire.url}/api/")
    http.get("/a", params={"q": "x y", "n": 1})
    http.post("a", data={"k": "v"})
    http.request("put", "", data="text", headers={"Content-Type": "text/plain"})
    first, second, third = wire.requests
    assert first.startswith(b"GET /api/a?q=x+y&n=1 ")
    assert second.endswith(b"k=v") and b"x-www-form-urlencoded" in second
    assert third.startswith(b"PUT /api ") and third.endswith(b"text")
    with pytest.raises(ValueError):
        http.request("BREW", "x")
    with pytest.raises(ValueError):
        http.post("x", json={}, data="x")


def test_chunked_answer(serve, client):
    raw = (
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n5\r\n": 1}\r\n0\r\n\r\n'
    )
    assert client(serve(raw).url).get("x").json() == {"a": 1}


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_body(serve, client, status):
    raw = f"HTTP/1.1 {status} X\r\nContent-Length: 10\r\n\r\n".encode()
    response = client(serve(raw).url).get("x", expected=(304,))
    assert (response.status, response.body) == (status, b"")


def test_head_has_a_length_but_no_body(serve, client):
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
    assert client(serve(raw).url).request("HEAD", "x").body == b""


def test_cookies_are_not_kept(serve, client):
    wire = serve(answer(Set_Cookie="session=abc; Path=/"))
    http = client(wire.url)
    http.get("x")
    http.get("x")
    assert b"cookie" not in wire.requests[1].lower()


def test_environment_does_not_interfere(serve, client, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine localhost login canary password canary\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    wire = serve(answer())
    client(wire.url).get("x")
    assert b"authorization" not in wire.requests[0].lower()


# === STATUS TABLE === #


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestRefused),
        (401, AuthError),
        (403, AuthError),
        (404, RequestRefused),
        (408, RetryableError),
        (409, RequestRefused),
        (410, RequestRefused),
        (422, RequestRefused),
        (425, RetryableError),
        (429, RateLimitedError),
        (500, RetryableError),
        (501, RequestRefused),
        (502, RetryableError),
        (503, RetryableError),
        (504, RetryableError),
        (505, RequestRefused),
        (599, RetryableError),
    ],
)
def test_default_table(serve, client, exchanges, status, kind):
    wire = serve(answer(status, b'{"errors": "sku is taken", "token": "canary"}'))
    error = failure(lambda: client(wire.url).post("x", json={}, label="product A"), kind)
    assert type(error) is kind
    assert f"localhost answered HTTP {status} (product A)" in error.message
    assert "canary" not in f"{error.message}{error.detail}"
    assert "sku is taken" in error.detail
    if kind is RequestRefused:
        assert error.status == status
        assert "sku is taken" in error.message
    if kind is RetryableError:
        assert error.outcome == "unknown"
    [record] = exchanges
    assert (record.status, record.error) == (status, error.message)
    assert len(wire.requests) == 1, "the client must not try again"


NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "7"}, 7),
        ({"Retry_After": "2.0"}, 2),
        # Both clocks of the other side are a year ahead of ours: only their difference counts.
        (
            {
                "Retry_After": format_datetime(NOW + timedelta(days=365, seconds=40), usegmt=True),
                "Date": format_datetime(NOW + timedelta(days=365), usegmt=True),
            },
            40,
        ),
        ({"Retry_After": format_datetime(NOW - timedelta(hours=1), usegmt=True)}, 0),
        ({"Retry_After": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after(serve, client, status, headers, seconds):
    kind = RateLimitedError if status == 429 else RetryableError
    error = failure(lambda: client(serve(answer(status, **headers)).url).get("x"), kind)
    if seconds is None:
        assert error.retry_after == (5 if status == 429 else None)
    else:
        assert error.retry_after == seconds


def test_expected_status_is_returned(serve, client, exchanges):
    response = client(serve(answer(404, b'{"e": 1}')).url).get("x", expected=(404,))
    assert (response.status, response.ok, response.json()) == (404, False, {"e": 1})
    assert exchanges[0].error == ""


def test_classify_comes_first(serve, client, exchanges):
    def classify(response):
        if response.status == 402:
            raise SkipRecord("the shop is frozen")
        return True if response.status == 418 else None

    for status, outcome in [(402, SkipRecord), (418, None), (404, RequestRefused), (200, None)]:
        http = client(serve(answer(status)).url, classify=classify)
        if outcome:
            with pytest.raises(outcome):
                http.get("x")
        else:
            assert http.get("x").status == status
    assert [bool(record.error) for record in exchanges] == [True, False, True, False]


def test_bug_in_classify_is_recorded_and_seen(serve, client, exchanges):
    http = client(serve(answer()).url, classify=lambda response: response.nonsense)
    with pytest.raises(AttributeError):
        http.get("x")
    assert exchanges[0].error == "AttributeError"


# === REDIRECTS === #


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_redirect_is_an_error_and_nobody_else_is_called(serve, client, status):
    other = serve(answer())
    wire = serve(answer(status, Location=f"{other.url}/steal?token=canary"))
    http = client(wire.url, auth=lambda: {"X-Shopify-Access-Token": TOKEN})
    error = failure(lambda: http.post("x", json={"secret": 1}), RequestRefused)
    assert f"{other.url}/steal" in error.message
    assert "canary" not in error.message
    assert other.connections == 0


@pytest.mark.parametrize(
    "path",
    ["http://localhost:1/x", "//localhost/x", "https://evil.example/x", "file:///etc/passwd",
     "http://user@localhost/x", "HTTP://127.1/x", "javascript:1", "http://[::1/x"],
)  # fmt: skip
def test_other_servers_are_not_called(serve, client, path):
    wire = serve(answer())
    http = client(wire.url, auth=lambda: {"X-Token": TOKEN})
    failure(lambda: http.get(path), InvalidPayloadError)
    assert wire.connections == 0


def test_absolute_link_of_the_same_server_is_taken(serve, client):
    wire = serve(answer())
    client(f"{wire.url}/api").get(f"{wire.url}/api/next?page=2")
    assert wire.requests[0].startswith(b"GET /api/next?page=2 ")


# === ADDRESSES === #


@pytest.mark.parametrize(
    "url",
    ["", "shop.example", "ftp://shop.example", "https://", "https://user:pw@shop.example",
     "https://shop.example/?a=1", "https://shop.example/#a", "https://shop.example:99999",
     "https://shop .example", "https://good.example\\@evil.example", "https://[::1", None],
)  # fmt: skip
def test_unusable_address(url):
    error = failure(lambda: HttpClient(url), ConfigurationError)
    assert "pw" not in error.message


@pytest.mark.parametrize(
    "url",
    ["http://shop.example", "http://127.1", "http://2130706433", "http://0x7f000001",
     "http://0177.0.0.1", "http://0.0.0.0", "http://10.0.0.1", "http://localhost.evil.example"],
)  # fmt: skip
def test_plain_http_only_to_this_machine(url):
    failure(lambda: HttpClient(url, allow_insecure=True), ConfigurationError)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost", "http://[::1]:80"])
def test_plain_http_only_when_allowed(url):
    HttpClient(url, allow_insecure=True).close()
    failure(lambda: HttpClient(url), ConfigurationError)


@pytest.mark.parametrize("timeout", [(1, 1), (1, 1, 0), (1, None, 1), (1, 1, -1)])
def test_timeouts_are_mandatory(timeout):
    with pytest.raises(ValueError):
        HttpClient("https://shop.example", timeout=timeout)


# === NO ANSWER === #


def test_refused_connection_sends_nothing(client, exchanges):
    with create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = failure(lambda: client(f"http://127.0.0.1:{port}").post("x", json={}), RetryableError)
    assert error.outcome == "not_sent"
    assert "refuses connections" in error.message
    assert (exchanges[0].status, exchanges[0].error) == (None, error.message)


def test_unknown_name_sends_nothing(client, monkeypatch):
    def fail(*_args, **_kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    error = failure(lambda: HttpClient("https://shop.example").post("x", json={}), RetryableError)
    assert error.outcome == "not_sent"
    assert "cannot be found" in error.message


def test_resolver_that_does_not_answer_holds_up_nobody(monkeypatch, exchanges):
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: answered.wait(20) and [])
    http = HttpClient("https://shop.example", timeout=(0.3, 5, 10), on_exchange=exchanges.append)
    error = failure(lambda: http.post("x", json={}), RetryableError)
    answered.set()
    assert error.seconds < 2
    assert error.outcome == "not_sent"
    assert "could not be reached in time" in error.message
    assert exchanges[0].status is None


def test_full_backlog_times_out_before_anything_is_sent(client):
    with create_server(("127.0.0.1", 0), backlog=0) as listener:
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        time.sleep(0.1)
        http = client(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=(0.3, 1, 2))
        error = failure(lambda: http.post("x", json={}), RetryableError)
        for filler in fillers:
            filler.close()
    assert error.outcome == "not_sent"
    assert "could not be reached in time" in error.message
    assert error.seconds < 1.5


def test_closed_before_the_answer(serve, client):
    wire = serve(b"")
    error = failure(lambda: client(wire.url).post("x", json={}), RetryableError)
    assert error.outcome == "unknown"
    assert "may have been carried out" in error.message
    assert len(wire.requests) == 1


def reset(connection, sent=b""):
    connection.sendall(sent)
    time.sleep(0.05)
    connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    return b""


def test_reset_before_the_answer(serve, client):
    error = failure(
        lambda: client(serve(lambda c, _r: reset(c)).url).post("x", json={}), RetryableError
    )
    assert error.outcome == "unknown"


def test_reset_in_the_middle(serve, client, exchanges):
    wire = serve(lambda c, _r: reset(c, answer(200, b'{"a": ', length=100)))
    error = failure(lambda: client(wire.url).post("x", json={}), RetryableError)
    assert error.outcome == "unknown"
    assert (exchanges[0].status, exchanges[0].error) == (200, error.message)


def test_end_in_the_middle(serve, client):
    def handle(connection, _request):
        connection.sendall(answer(200, b"[1]", length=100))
        return b""

    error = failure(lambda: client(serve(handle).url).get("x"), RetryableError)
    assert error.outcome == "unknown"
    assert "broke off in the middle" in error.message


def test_end_in_the_middle_of_a_chunk(serve, client):
    def handle(connection, _request):
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n[1,")
        return b""

    assert (
        "broke off" in failure(lambda: client(serve(handle).url).get("x"), RetryableError).message
    )


@pytest.mark.parametrize(
    "raw", [b"220 mail.example ESMTP\r\n", b"\0\xff" * 100, b"HTTP/1.1 abc\r\n\r\n"]
)
def test_other_protocols(serve, client, raw):
    def handle(connection, _request):
        connection.sendall(raw)
        return b""

    assert failure(lambda: client(serve(handle).url).get("x"), RetryableError).outcome == "unknown"


def test_silence_ends_at_the_read_timeout(serve, client):
    wire = serve(lambda _c, _r: wire.wait(5) and b"")
    error = failure(
        lambda: client(wire.url, timeout=(5, 0.3, 10)).post("x", json={}), RetryableError
    )
    assert error.outcome == "unknown"
    assert "did not answer in time" in error.message
    assert 0.25 < error.seconds < 3


DRIPS = {
    "headers": b"HTTP/1.1 200 OK\r\nX-Slow: ",
    "body": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n",
    "endless": b"HTTP/1.1 200 OK\r\n\r\n",
    "error": b"HTTP/1.1 500 No\r\n\r\n",
}


@pytest.mark.parametrize("where", DRIPS)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_drip_ends_at_the_total_timeout(serve, client, authority, where, secure):
    def drip(connection, _request):
        connection.sendall(DRIPS[where])
        while not wire.wait(0.05):
            connection.sendall(b"x")

    wire = serve(drip, authority.server("localhost") if secure else None)
    http = client(wire.url, timeout=(5, 5, 0.5), ca_bundle=authority.path if secure else None)
    error = failure(lambda: http.post("x", json={}), RetryableError)
    assert error.outcome == "unknown"
    assert "did not finish its answer within 0.5 seconds" in error.message
    assert 0.45 < error.seconds < 3


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_server_that_reads_slowly_ends_at_the_total_timeout(client, authority, secure):
    """As one that writes slowly: it would hold a worker for as long as it likes."""
    stop = threading.Event()
    listener = create_server(("127.0.0.1", 0))

    def read_slowly():
        connection, _address = listener.accept()
        with contextlib.suppress(OSError):
            if secure:
                connection = authority.server("localhost").wrap_socket(connection, server_side=True)
            while not stop.wait(0.02):
                connection.recv(4096)
        connection.close()

    thread = threading.Thread(target=read_slowly, daemon=True)
    thread.start()
    url = f"{'https' if secure else 'http'}://localhost:{listener.getsockname()[1]}"
    http = client(url, timeout=(5, 5, 0.7), ca_bundle=authority.path if secure else None)
    try:
        error = failure(lambda: http.post("x", data=b"x" * 30_000_000), RetryableError)
    finally:
        stop.set()
        thread.join(5)
        listener.close()
    assert error.outcome == "unknown"
    assert "did not finish its answer within 0.7 seconds" in error.message
    assert 0.65 < error.seconds < 3


@pytest.mark.parametrize("where", ["handshake", "connect"])
def test_total_timeout_covers_the_beginning(client, where):
    listener = create_server(("127.0.0.1", 0), backlog=0)
    port = listener.getsockname()[1]
    fillers = []
    if where == "connect":
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        time.sleep(0.1)
    try:
        http = client(f"https://127.0.0.1:{port}", timeout=(5, 5, 0.4))
        error = failure(lambda: http.post("x", json={}), RetryableError)
    finally:
        for sock in (*fillers, listener):
            sock.close()
    assert error.outcome == "not_sent"
    assert error.seconds < 2


def test_next_request_after_a_failure_gets_its_own_answer(serve, client):
    def handle(connection, request):
        if b" /slow " in request:
            wire.wait(0.4)
            return answer(200, b'"slow"')
        return answer(200, b'["fast"]')

    wire = serve(handle)
    http = client(wire.url, timeout=(1, 0.2, 5))
    failure(lambda: http.get("slow"), RetryableError)
    assert http.get("fast").json() == ["fast"]


# === SIZE AND COMPRESSION === #


def test_size_is_capped(serve, client, exchanges):
    wire = serve(answer(200, b"[" + b"1," * 10_000))
    error = failure(lambda: client(wire.url, max_response_bytes=1000).get("x"), InvalidPayloadError)
    assert "more than 1,000 bytes" in error.message
    assert exchanges[0].status == 200
    assert client(serve(answer(200, b"x" * 1000)).url, max_response_bytes=1000).get("x").ok


def test_endless_error_page_is_cut(serve, client):
    wire = serve(answer(404, b"x" * 3_000_000, "text/plain"))
    assert failure(lambda: client(wire.url).get("x"), RequestRefused).status == 404


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data)[2:-4]),
        ("identity", bytes),
    ],
)
def test_insisting_servers_are_unpacked(serve, client, encoding, pack):
    data = b'{"a": "' + b"x" * 200_000 + b'"}'
    wire = serve(answer(200, pack(data), Content_Encoding=encoding))
    assert client(wire.url).get("x").body == data


def test_gzip_bomb(serve, client):
    import tracemalloc

    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b"\0" * 1_000_000) for _ in range(200)) + packer.flush()
    assert len(bomb) < 250_000
    wire = serve(answer(200, bomb, Content_Encoding="gzip"))
    http = client(wire.url, max_response_bytes=5_000_000)
    tracemalloc.start()
    failure(lambda: http.get("x"), InvalidPayloadError)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def test_damaged_and_cut_compression(serve, client):
    packed = gzip.compress(b"x" * 1000)
    for data in (packed[:-20], b"no gzip at all", packed[:12] + b"\xff" * 20):
        wire = serve(answer(200, data, Content_Encoding="gzip"))
        error = failure(lambda wire=wire: client(wire.url).get("x"), RetryableError)
        assert error.outcome == "unknown"


COMPRESSIONS = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("encoding", COMPRESSIONS)
@pytest.mark.parametrize("gap", [0, 100_000])
def test_what_follows_a_compressed_answer_is_not_read(serve, client, encoding, gap):
    """It makes no body, so the limit of that does not end it; zlib would keep all of it."""
    import tracemalloc

    sent = []

    def endless(connection, _request):
        head = answer(200, b"", Content_Encoding=encoding).replace(b"Content-Length: 0\r\n", b"")
        connection.sendall(head + COMPRESSIONS[encoding](b"{}") + b"\0" * gap)
        while True:
            connection.sendall(b"x" * 65_536)
            sent.append(65_536)

    http = client(serve(endless).url)
    tracemalloc.start()
    error = failure(lambda: http.get("x"), RetryableError)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "an answer that cannot be decompressed" in error.message
    assert error.detail == "error: something follows the end of the compressed answer"
    # the rest is what the two sockets hold
    assert sum(sent) < 12_000_000 and peak < 5_000_000


@pytest.mark.parametrize("encoding", COMPRESSIONS)
def test_padding_of_a_compressed_answer_has_the_limit_of_an_answer(serve, client, encoding):
    padded = COMPRESSIONS[encoding](b"{}") + b"\0" * 200_000
    wire = serve(answer(200, padded, Content_Encoding=encoding))
    assert client(wire.url).get("x").body == b"{}"
    http = client(wire.url, max_response_bytes=len(padded) - 1)
    assert "more than 200," in failure(lambda: http.get("x"), InvalidPayloadError).message
    assert client(wire.url, max_response_bytes=len(padded)).get("x").ok


def test_compressed_answer_has_one_part(serve, client):
    parts = gzip.compress(b"{}") + gzip.compress(b"{}")
    error = failure(
        lambda: client(serve(answer(200, parts, Content_Encoding="gzip")).url).get("x"),
        RetryableError,
    )
    assert "something follows the end" in error.detail


def test_page_with_many_brackets_takes_no_time(serve, client):
    wire = serve(answer(500, b"<html>" + b"<" * 250_000, "text/html"))
    started = time.process_time()
    failure(lambda: client(wire.url).get("x"), RetryableError)
    assert time.process_time() - started < 6, "quadratic time would be minutes"


def test_unknown_compression(serve, client):
    wire = serve(answer(200, b"?", Content_Encoding="br"))
    assert "br" in failure(lambda: client(wire.url).get("x"), InvalidPayloadError).message
    wire = serve(answer(502, b"?", Content_Encoding="br"))
    failure(lambda: client(wire.url).get("x"), RetryableError)


# === JSON === #


PAGE = b"<!DOCTYPE html><html><style>b{}</style><title>Just a moment...</title><p>Checking</html>"


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (PAGE, "text/html; charset=utf-8", "web page (text/html) instead of data (order #1)"),
        (PAGE, "application/json", "web page (application/json)"),
        (b"Bad gateway", "text/html", "It begins: Bad gateway."),
        (b"", "application/json", "with nothing where data was expected"),
        (b" \r\n", "", "with nothing"),
    ],
)
def test_page_or_nothing_instead_of_data_passes(serve, client, body, content_type, words):
    response = client(serve(answer(200, body, content_type)).url).get("x", label="order #1")
    error = failure(response.json, RetryableError)
    assert words in error.message
    assert "<" not in error.message


def test_excerpt_of_a_page_is_its_text(serve, client):
    response = client(serve(answer(200, PAGE, "text/html")).url).get("x")
    assert response.excerpt() == "Just a moment... Checking"
    assert response.excerpt(6) == "Just a…"[:5].rstrip() + "…"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"a": NaN}', "NaN is not a number (line 1, column 7)"),
        (b"[" * 5000 + b"]" * 5000, "deeper than 64"),
        (b'"text"', "an object or a list was expected"),
    ],
)
def test_unacceptable_json(serve, client, body, words):
    response = client(serve(answer(200, body)).url).get("x", label="order #1")
    error = failure(response.json, InvalidPayloadError)
    assert error.message.startswith("The answer of localhost (order #1) cannot be read: ")
    assert words in error.message


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"a": 1', "a part is missing"),
        (b'{"a": "b', "not JSON"),
        (b"OK", "not JSON"),
        (b'{"a": "\xff"}', "not UTF-8"),
    ],
)
def test_damaged_json_is_asked_again(serve, client, body, words):
    response = client(serve(answer(200, body)).url).get("x", label="order #1")
    error = failure(response.json, RetryableError)
    assert error.message.startswith("The answer of localhost (order #1) arrived damaged: ")
    assert words in error.message and error.outcome == "unknown"


def test_json_in_disguise(serve, client):
    for body, content_type in [
        (b'\xef\xbb\xbf{"a": 1.10}', "application/json"),
        (b' {"a": 1.10}', "text/html"),
        (b'{"a": 1.10}', ""),
    ]:
        response = client(serve(answer(200, body, content_type)).url).get("x")
        assert response.json(decimals=True) == {"a": Decimal("1.10")}


# === XML === #


XHTML = (
    b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML"><html><p>Login</p></html>'
)


def test_xml_is_read_once(serve, client):
    body = b'<?xml version="1.0" encoding="ISO-8859-1"?><label><no>1Z\xe9</no></label>'
    for content_type in ("text/xml", "application/soap+xml; charset=iso-8859-1", "text/html", ""):
        response = client(serve(answer(200, body, content_type)).url).get("x")
        assert response.xml().findtext("no") == "1Z\u00e9"
        assert response.xml() is response.xml()


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (PAGE, "text/html", "web page (text/html) instead of data (label #1)"),
        (PAGE, "text/xml", "web page (text/xml)"),
        (XHTML, "application/xhtml+xml", "web page"),
        (b"\xef\xbb\xbf" + XHTML, "text/xml", "web page"),
        (b"Bad gateway", "text/html", "web page"),
        (b"", "text/xml", "with nothing where data was expected (label #1)"),
        (b"OK", "text/xml", "arrived damaged: it is not XML"),
        (b"<label><no>1", "text/xml", "arrived damaged: it ends in the middle"),
        (b"<label>\xe9</label>", "text/xml", "arrived damaged: it is not UTF-8"),
    ],
)
def test_page_or_damaged_xml_is_asked_again(serve, client, body, content_type, words):
    response = client(serve(answer(200, body, content_type)).url).get("x", label="label #1")
    error = failure(response.xml, RetryableError)
    assert words in error.message and error.outcome == "unknown"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><a>&b;</a>', "DTD"),
        (b"<a>" * 65 + b"</a>" * 65, "deeper than 64"),
        (b'<?xml version="1.0" encoding="utf-7"?><a/>', "encoding utf-7"),
    ],
)
def test_unacceptable_xml(serve, client, body, words):
    response = client(serve(answer(200, body, "text/xml")).url).get("x", label="label #1")
    error = failure(response.xml, InvalidPayloadError)
    assert error.message.startswith("The answer of localhost (label #1) cannot be read: ")
    assert words in error.message


def test_depth_of_xml_is_chosen_by_the_caller(serve, client):
    response = client(serve(answer(200, b"<a><b/></a>", "text/xml")).url).get("x")
    assert response.xml(max_depth=2).tag == "a"
    failure(lambda: response.xml(max_depth=1), InvalidPayloadError)


# === SECRETS === #


def test_credentials_are_sent_but_never_kept(serve, client, exchanges):
    wire = serve(lambda _c, request: answer(422, b"echo: " + request, "text/plain", X_Echo=CUSTOM))
    http = client(
        wire.url, auth=lambda: {"X-Shopify-Access-Token": TOKEN, "X-Odd": f"Odd {CUSTOM}"}
    )
    error = failure(
        lambda: http.post(
            "x", params={"access_token": TOKEN, "q": CUSTOM}, json={"a": CUSTOM}, label=TOKEN
        ),
        RequestRefused,
    )
    assert TOKEN.encode() in wire.requests[0] and CUSTOM.encode() in wire.requests[0]
    kept = f"{exchanges}{error.message}{error.detail}{error!r}"
    assert TOKEN not in kept and CUSTOM not in kept
    assert exchanges[0].request_headers["X-Odd"] == "***"


@pytest.mark.parametrize("value", ["a\nb-canary", "a\r\nX: canary", "canary\u20ac"])
def test_unusable_credentials_are_not_shown(serve, client, value):
    wire = serve(answer())
    http = client(wire.url, auth=lambda: {"X-Token": value})
    error = failure(lambda: http.get("x"), ConfigurationError)
    assert "canary" not in f"{error.message}{error.detail}"
    assert wire.connections == 0


def test_error_of_auth_is_passed_on(client):
    def auth():
        raise AuthError("Enter the token of the shop.")

    with pytest.raises(AuthError, match="Enter the token"):
        client("http://localhost:1", auth=auth).get("x")


def test_secret_in_the_address_of_a_failed_request(client, exchanges):
    http = client("http://localhost:1", redactor=Redactor(extra=[CUSTOM]))
    error = failure(lambda: http.get(f"hooks/{CUSTOM}", params={"token": TOKEN}), RetryableError)
    kept = f"{exchanges}{error.message}{error.detail}"
    assert TOKEN not in kept and CUSTOM not in kept


def test_long_bodies_are_cut_in_the_record(serve, client, exchanges):
    client(serve(answer(200, b"x" * 200_000, "text/plain")).url).post("x", data="y" * 200_000)
    for text in (exchanges[0].request_body, exchanges[0].response_body):
        assert MAX_RECORDED < len(text) < MAX_RECORDED + 100
        assert "[cut: " in text


def test_failing_record_does_not_lose_the_answer(serve, client, caplog):
    def broken(_record):
        raise RuntimeError("disk full, canary")

    with caplog.at_level(logging.ERROR):
        assert client(serve(answer()).url, on_exchange=broken).get("x").ok
    assert "RuntimeError" in caplog.text and "canary" not in caplog.text


# === TLS === #


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


def test_tls_with_a_trusted_certificate(serve, client, authority):
    wire = serve(answer(200, b'{"a": 1}'), authority.server("localhost"))
    assert client(wire.url, ca_bundle=authority.path).get("x").json() == {"a": 1}


@pytest.mark.parametrize(
    ("name", "options", "trusted"),
    [
        ("localhost", {}, False),
        ("localhost", {"self_signed": True}, True),
        ("other.example", {}, True),
        ("localhost", {"days": -1}, True),
    ],
    ids=["unknown authority", "self signed", "other name", "expired"],
)
def test_tls_with_a_bad_certificate_sends_nothing(serve, client, authority, name, options, trusted):
    wire = serve(answer(), authority.server(name, **options))
    http = client(wire.url, ca_bundle=authority.path if trusted else None)
    error = failure(lambda: http.post("x", json={}), RetryableError)
    assert error.outcome == "not_sent"
    assert "certificate is not valid" in error.message
    assert wire.requests == []


def test_tls_before_1_2_sends_nothing(serve, client, authority):
    wire = serve(answer(), authority.server("localhost", maximum=ssl.TLSVersion.TLSv1_1))
    http = client(wire.url, ca_bundle=authority.path)
    error = failure(lambda: http.post("x", json={}), RetryableError)
    assert error.outcome == "not_sent"
    assert wire.requests == []


def test_plain_answer_on_a_tls_port_sends_nothing(serve, client):
    wire = serve(answer())
    http = client(wire.url.replace("http:", "https:"), timeout=(0.5, 1, 2))
    error = failure(lambda: http.post("x", json={}), RetryableError)
    assert error.outcome == "not_sent"


def test_environment_does_not_choose_the_authorities(serve, client, authority, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", authority.path)
    monkeypatch.setenv("CURL_CA_BUNDLE", authority.path)
    wire = serve(answer(), authority.server("localhost"))
    failure(lambda: client(wire.url).get("x"), RetryableError)


def test_certificates_are_always_checked(serve, client, authority, monkeypatch):
    """Nothing a caller, a setting or the environment can say switches that off."""
    for method in (HttpClient.__init__, HttpClient.request):
        assert not {"verify", "check", "insecure", "cert_reqs", "ssl_context"} & set(
            inspect.signature(method).parameters
        )
    monkeypatch.setenv("PYTHONHTTPSVERIFY", "0")
    for bundle in (None, "", False):
        wire = serve(answer(), authority.server("localhost"))
        http = client(wire.url, ca_bundle=bundle, private_hosts="10.0.0.0/8")
        failure(lambda http=http: http.post("x", json={}), RetryableError)
        with pytest.raises(TypeError):
            http.get("x", verify=False)
        assert wire.requests == []


def test_name_of_a_pinned_address_is_checked(serve, client, authority, monkeypatch):
    """The connection goes to an address; the certificate is for the name, which SNI asks for."""
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda _host, port, *_a, **_k: [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        ],
    )
    asked = []
    context = authority.server("shop.example")
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    wire = serve(answer(), context)
    port = wire.port
    options = {"ca_bundle": authority.path, "private_hosts": "shop.example, other.example"}
    assert client(f"https://shop.example:{port}", **options).get("x").ok
    other = client(f"https://other.example:{port}", **options)
    assert "certificate" in failure(lambda: other.get("x"), RetryableError).message
    assert asked == ["shop.example", "other.example"]
    assert len(wire.requests) == 1


@pytest.mark.parametrize(("name", "fits"), [("localhost", True), ("shop.example", False)])
def test_certificate_of_an_ip_address_is_checked(serve, client, authority, name, fits):
    wire = serve(answer(), authority.server(name))
    http = client(f"https://127.0.0.1:{wire.port}", ca_bundle=authority.path)
    if fits:
        assert http.get("x").ok
    else:
        assert "certificate" in failure(lambda: http.get("x"), RetryableError).message
        assert wire.requests == []


def test_missing_authorities_are_a_setting(tmp_path):
    for bundle in (tmp_path / "missing.pem", __file__):
        error = failure(
            lambda b=bundle: HttpClient("https://shop.example", ca_bundle=str(b)),
            ConfigurationError,
        )
        assert "PEM" in error.message


# === AROUND A REQUEST === #


def test_before_request_can_keep_it_from_being_sent(serve, client, exchanges):
    wire = serve(answer(200))
    asked = []

    def refuse(request):
        asked.append(request)
        raise RateLimitedError("not now", retry_after=3)

    error = failure(
        lambda: client(wire.url, before_request=refuse).post(
            "/things", json={"a": 1}, label="send a thing", params={"b": 2}
        ),
        RateLimitedError,
    )
    assert error.retry_after == 3
    assert (asked[0].method, asked[0].url) == ("POST", f"{wire.url}/things?b=2")
    assert (asked[0].label, asked[0].json) == ("send a thing", {"a": 1})
    assert exchanges == [] and wire.requests == []


@pytest.mark.parametrize(
    ("status", "kind"), [(200, type(None)), (429, RateLimitedError), (500, RetryableError)]
)
def test_after_response_sees_the_answer_and_what_it_means(serve, client, status, kind):
    seen = []
    wire = serve(answer(status, X_Left="7"))
    http = client(wire.url, after_response=lambda *told: seen.append(told))
    try:
        http.get("/things")
    except (RateLimitedError, RetryableError) as raised:
        assert raised is seen[0][2]
    ((request, response, error),) = seen
    assert (request.method, response.status, type(error)) == ("GET", status, kind)
    assert response.headers["x-left"] == "7"


def test_after_response_is_not_called_without_an_answer(client):
    seen = []
    with create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    http = client(f"http://127.0.0.1:{port}", after_response=lambda *told: seen.append(told))
    failure(lambda: http.get("/"), RetryableError)
    assert seen == []


def test_json_is_read_once(serve, client):
    response = client(serve(answer(200, b'{"a": 1.5}')).url).get("/")
    assert response.json() is response.json()
    assert str(response.json(decimals=True)["a"]) == "1.5"
    assert isinstance(response.json()["a"], float)


# === CLIENT CERTIFICATES === #


@pytest.fixture
def door(serve, authority):
    """A server that lets in who shows a certificate of the authority."""
    return serve(answer(200, b'{"a": 1}'), authority.server("localhost", demands=True))


@pytest.mark.parametrize("passphrase", ["", "pass-phrase"])
@pytest.mark.parametrize("lines", [True, False], ids=["lines", "one line"])
def test_client_certificate_is_shown(door, client, authority, passphrase, lines):
    certificate, key = authority.issue("acme", passphrase=passphrase)
    if not lines:
        certificate, key = (text.replace("\n", "") for text in (certificate, key))
    shown = ClientCertificate(certificate, key, passphrase)
    http = client(door.url, ca_bundle=authority.path, certificate=shown)
    assert http.get("x").json() == {"a": 1}
    assert door.callers == ["acme"]


@pytest.mark.parametrize("between", ["\n", "\r\n", "", " "])
def test_key_that_openssl_has_encrypted_in_its_own_format(door, client, authority, between):
    certificate, key = authority.issue("acme")
    read = serialization.load_pem_private_key(key.encode(), None)
    key = read.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.BestAvailableEncryption(b"canary"),
    ).decode()
    assert "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC," in key
    typed = [text.replace("\n", between) for text in (certificate, key)]
    shown = ClientCertificate(*typed, "canary")
    http = client(door.url, ca_bundle=authority.path, certificate=shown)
    assert http.get("x").ok
    assert door.callers == ["acme"]
    failure(
        lambda: client(door.url, certificate=ClientCertificate(*typed, "wrong")), CredentialError
    )


@pytest.mark.parametrize("between", ["\n", ""])
def test_older_ciphers_of_that_format(between):
    """Made by ``openssl ec -des3``."""
    key = client_certificate._pem(DES_KEY.replace("\n", between))
    assert serialization.load_pem_private_key(key.encode(), b"canary").key_size == 256


def test_client_certificate_is_for_its_client_only(door, client, authority, exchanges):
    shown = ClientCertificate(*authority.issue("acme"))
    assert client(door.url, ca_bundle=authority.path, certificate=shown).get("x").ok
    without = client(door.url, ca_bundle=authority.path)
    error = failure(lambda: without.post("x", json={}), AuthError)
    assert "client certificate" in error.message
    assert exchanges[-1].error == error.message
    assert len(door.requests) == 1


@pytest.mark.parametrize("maximum", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_strange_client_certificate_needs_a_person(serve, client, authority, tmp_path, maximum):
    context = authority.server("localhost", demands=True)
    context.maximum_version = maximum
    wire = serve(answer(), context)
    strange = ClientCertificate(*Authority(tmp_path, "Another").issue("acme"))
    http = client(wire.url, ca_bundle=authority.path, certificate=strange)
    error = failure(lambda: http.post("x", json={}), AuthError)
    assert "does not accept our client certificate" in error.message
    assert "UNKNOWN_CA" in error.detail
    assert wire.requests == []


def test_server_of_a_client_certificate_is_checked_too(serve, client, authority, tmp_path):
    """Whoever is not the service must not see who we are, nor what we send."""
    wire = serve(answer(), Authority(tmp_path).server("localhost", demands=True))
    shown = ClientCertificate(*authority.issue("acme"))
    http = client(wire.url, ca_bundle=authority.path, certificate=shown)
    error = failure(lambda: http.post("x", json={}), RetryableError)
    assert "certificate is not valid" in error.message
    assert wire.requests == [] and wire.callers == []


def test_unusable_client_certificate(client, authority):
    certificate, key = authority.issue("acme", passphrase="pass-phrase")
    _other, other_key = authority.issue("acme")
    for parts in (
        (certificate, key),
        (certificate, key, "wrong"),
        (certificate, other_key),
        (certificate, ""),
        ("", other_key),
        ("nonsense", "nonsense"),
        (certificate[:200], other_key),
    ):
        error = failure(
            lambda p=parts: client("https://localhost", certificate=ClientCertificate(*p)),
            CredentialError,
        )
        assert "page Credentials" in error.message
        assert key[40:80] not in f"{error.message}{error.detail}"


@pytest.mark.parametrize("memory", [True, False], ids=["memory", "file"])
def test_private_key_stays_in_no_file(authority, monkeypatch, tmp_path, memory):
    if not memory:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen = []

    class Context(ssl.SSLContext):
        def load_cert_chain(self, path, password):
            seen.append((path, stat.S_IMODE(os.stat(path).st_mode)))
            seen.extend(tmp_path.iterdir())
            return super().load_cert_chain(path, password=password)

    before = set(os.listdir("/proc/self/fd"))
    certificate = ClientCertificate(*authority.issue("acme"))
    certificate.load_into(Context(ssl.PROTOCOL_TLS_CLIENT))
    assert "PRIVATE KEY" not in repr(certificate)
    assert set(os.listdir("/proc/self/fd")) == before
    assert list(tmp_path.iterdir()) == []
    if memory:
        assert len(seen) == 1, "nothing on a disk"
    else:
        assert seen[0][1] == 0o600
        assert not os.path.exists(seen[0][0])


def test_expiry_of_a_certificate(authority):
    certificate, _key = authority.issue("acme", days=30)
    ends = certificate_expiry(certificate.replace("\n", " "))
    left = ends - datetime.now(UTC).replace(tzinfo=None)
    assert timedelta(days=29) < left <= timedelta(days=30)
    for text, words in (
        (authority.issue("acme", days=-1)[0], "has ended"),
        ("nonsense", "no certificate"),
        (authority.issue("acme")[1], "no certificate"),
        (certificate.replace("M", "-", 3), "no certificate"),
    ):
        assert words in failure(lambda t=text: certificate_expiry(t), ConfigurationError).message


# === MORE WAYS TO AUTHENTICATE === #


def test_secret_parameter_is_sent_and_never_shown(serve, client, exchanges):
    wire = serve(answer(404, f'{{"said": "no key {TOKEN}"}}'.encode()))
    requests = []
    http = client(
        wire.url,
        auth_params=lambda: {"api_key": TOKEN, "u": "x y"},
        before_request=requests.append,
        after_response=lambda request, response, _error: requests.extend([request, response]),
    )
    error = failure(lambda: http.get("a", params={"q": "1"}), RequestRefused)
    assert wire.requests[0].startswith(f"GET /a?q=1&api_key={TOKEN}&u=x+y HTTP".encode())
    shown = f"{exchanges}{requests}{error}{error.detail}{[r.url for r in requests]}"
    assert TOKEN not in shown
    assert exchanges[0].url == f"{wire.url}/a?q=1"


def test_secret_parameter_is_not_doubled_by_a_link(serve, client):
    wire = serve(answer())
    http = client(wire.url, auth_params=lambda: {"api_key": TOKEN})
    http.get(f"{wire.url}/a?api_key=old&page=2")
    http.get(f"{wire.url}/a?api%5fkey=old#x")
    targets = [request.split()[1].decode() for request in wire.requests]
    assert targets == [f"/a?page=2&api_key={TOKEN}", f"/a?api_key={TOKEN}"]


def test_secret_parameter_is_not_shown_when_nothing_answers(client, exchanges):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    http = client(f"http://localhost:{port}", auth_params=lambda: {"api_key": TOKEN})
    error = failure(lambda: http.get("a"), RetryableError)
    assert TOKEN not in f"{error.message}{error.detail}{exchanges}"


def test_signature_is_made_of_what_is_sent(serve, client, exchanges):
    wire = serve(answer(body=b'{"echo": "signed-by-me-0123"}'))
    seen = []

    def sign(method, url, body):
        seen.append((method, url, body))
        return {"X-Seal": "signed-by-me-0123"}

    http = client(wire.url, auth_params=lambda: {"k": TOKEN}, sign=sign)
    http.post("a", params={"q": "1"}, json={"b": 2})
    http.post("a", data={"c": "d"})
    http.get("a")
    assert seen == [
        ("POST", f"{wire.url}/a?q=1&k={TOKEN}", b'{"b":2}'),
        ("POST", f"{wire.url}/a?k={TOKEN}", b"c=d"),
        ("GET", f"{wire.url}/a?k={TOKEN}", b""),
    ]
    assert all(b"\r\nX-Seal: signed-by-me-0123\r\n" in request for request in wire.requests)
    assert "signed-by-me-0123" not in str(exchanges)


def test_signature_that_cannot_be_sent(serve, client):
    wire = serve(answer())
    http = client(wire.url, sign=lambda *_request: {"X-Seal": "a\nb\u20ac"})
    failure(lambda: http.get("a"), ConfigurationError)
    assert wire.requests == []


# === FILES === #

FILE = bytes(range(256)) * 40


def ranged(_connection, request):
    """A server of one file that can begin anywhere."""
    head = request.lower()
    start, _, end = head.partition(b"range: bytes=")[2].partition(b"\r\n")[0].partition(b"-")
    start, end = int(start), int(end)
    if start >= len(FILE):
        return answer(416, b"")
    part = FILE[start : end + 1]
    where = f"bytes {start}-{start + len(part) - 1}/{len(FILE)}"
    return answer(206, part, "application/jsonl", Content_Range=where)


def read_file(http, size):
    whole, parts, last = b"", 0, False
    while not last:
        part = http.download("result.jsonl", start=len(whole), size=size)
        assert part.start == len(whole) and len(part.body) <= size
        whole, last, parts = whole + part.body, part.last, parts + 1
    return whole, parts


@pytest.mark.parametrize("size", [1000, 1024, len(FILE), 10 * len(FILE)])
def test_file_is_read_part_by_part(serve, client, exchanges, size):
    wire = serve(ranged)
    whole, parts = read_file(client(wire.url), size)
    assert whole == FILE
    assert parts == len(wire.requests) == -(-len(FILE) // size)
    assert wire.connections == 1
    assert exchanges[0].response_body.endswith("bytes, not kept]")


@pytest.mark.parametrize("size", [1000, 10 * len(FILE)])
def test_file_of_a_server_that_only_begins_at_the_beginning(serve, client, size):
    wire = serve(answer(200, FILE, "application/jsonl"))
    assert read_file(client(wire.url), size)[0] == FILE


def test_nothing_behind_the_end_of_a_file(serve, client):
    part = client(serve(ranged).url).download("f", start=len(FILE), size=10)
    assert (part.body, part.last) == (b"", True)


def test_part_that_breaks_off_is_an_error(serve, client):
    broken = answer(206, FILE[:10], length=50, Content_Range="bytes 0-49/100")
    http = client(serve(lambda connection, _r: connection.sendall(broken) or b"").url)
    failure(lambda: http.download("f", size=50), RetryableError)


def test_another_part_than_asked_for_is_an_error(serve, client):
    wrong = answer(206, FILE[:10], Content_Range="bytes 5-14/100")
    failure(lambda: client(serve(wrong).url).download("f", size=50), RetryableError)


def test_refused_file_says_why(serve, client, exchanges):
    http = client(serve(answer(403, b"<Code>ExpiredToken</Code>", "application/xml")).url)
    failure(lambda: http.download("f", size=50), AuthError)
    assert "ExpiredToken" in exchanges[0].response_body


def test_form_with_a_file(serve, client, exchanges):
    wire = serve(answer(201, b"", ""))
    body, content_type = encode_form(
        [("key", "tmp/1")], "file", "vars.jsonl", b"{}\n{}", "text/jsonl"
    )
    client(wire.url).post("", data=body, headers={"Content-Type": content_type}, keep_bodies=False)
    sent = wire.requests[0].partition(b"\r\n\r\n")[2]
    assert sent == body
    assert sent.index(b'name="key"') < sent.index(b'filename="vars.jsonl"')
    assert exchanges[0].request_body == f"[{len(body)} bytes, not kept]"
