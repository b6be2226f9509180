"""Whatever is sent to the address of a backend, nothing unsigned gets in and nothing breaks.

Real sockets to a real server, since half of what can be wrong is wrong before Python sees a body.
"""

import gzip
import hashlib
import hmac
import itertools
import json
import os
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.simulators.generic.client import GenericService
from tests.simulators.generic.connect import CREDENTIALS, connect_backend

from .conftest import wait_until
from .wire import send

pytestmark = pytest.mark.long

#: Requests sent; the same ones each time unless their number is given.
INPUTS = int(os.environ.get("INTEGRATION_FUZZ_INPUTS", "500"))
#: Requests of one example, and how many of them are under way at a time.
TOGETHER, THREADS = 8, 4
MEGABYTE = 1024 * 1024
MAX_BODY = 5 * MEGABYTE
SECRET = CREDENTIALS["secret"].encode()
#: Of the server itself, to what is no HTTP request or names another method, address or database.
BEFORE_THE_ROUTE = {400, 404, 414, 431, 505}


@pytest.fixture(scope="module")
def odoo(odoo_server):
    return odoo_server(workers=2, test_addons=True)


@pytest.fixture(scope="module")
def backend(odoo, generic_simulator):
    """A connected backend whose work is stored and not done: only the receiving is looked at."""
    service = GenericService(generic_simulator().url)
    backend = connect_backend(odoo.call, odoo.url, service.url)
    odoo.call("integration.backend", "action_pause", [backend])
    return backend


@pytest.fixture(scope="module")
def tokens(odoo, backend):
    """Tokens of the backend, and of one that is not connected."""
    values = {"name": "Draft", "connector": "generic", "base_url": "https://service.example.com"}
    draft = odoo.call("integration.backend", "create", [values])[0]
    rows = odoo.sql(
        "SELECT webhook_token FROM integration_backend WHERE id = ANY(%s) ORDER BY id",
        [[backend, draft]],
    )
    return [token for (token,) in rows]


def sign(body, secret=SECRET):
    return hmac.new(secret, body, hashlib.sha256).hexdigest().encode()


# === WHAT IS SENT === #

TEXTS = st.text(max_size=40)
BODIES = {
    "empty": b"",
    "blank": b" \n",
    "NaN": b'{"id": NaN}',
    "infinity": b'{"id": -Infinity}',
    "1e999": b'{"id": 1e999}',
    "text": b'"c1"',
    "null": b"null",
    "list": b'["c1"]',
    "nested id": b'{"id": {"id": "c1"}}',
    "5,000 digits": b'{"id": ' + b"9" * 5000 + b"}",
    "depth 1,000": b"[" * 1000 + b"]" * 1000,
    "depth 100,000": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "open end": b'{"id":' * 50_000,
    "NUL": b'{"id": "c\0"}',
    "escaped NUL": b'{"id": "c\\u0000"}',
    "half of a pair": b'{"id": "\\ud800"}',
    "raw half of a pair": b'{"id": "\xed\xa0\x80"}',
    "name twice": b'{"id": "a", "id": "b"}',
    "byte order mark": b'\xef\xbb\xbf{"id": "c1"}',
    "UTF-16": '{"id": "c1"}'.encode("utf-16"),
    "UTF-32": '{"id": "c1"}'.encode("utf-32"),
    "Latin-1": b'{"id": "\xe4"}',
    "gzip": gzip.compress(b'{"id": "c1"}'),
    "bomb": gzip.compress(b"0" * MEGABYTE),
    "form": b"id=c1&payload=%7B%7D",
    "multipart": b'--b\r\nContent-Disposition: form-data; name="id"\r\n\r\nc1\r\n--b--\r\n',
    "XML": b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
    "long id": json.dumps({"id": "c" * 9000}).encode(),
    "a request": b"POST / HTTP/1.1\r\nHost: x\r\n\r\n",
}
LARGE = {
    "1 MB": b'{"id": "' + b"x" * MEGABYTE + b'"}',
    "nearly too large": b"\xff" * (MAX_BODY - 1),
    "too large": b"x" * (MAX_BODY + 1),
    "6 MB": b"[" * 6 * MEGABYTE,
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
).map(lambda value: json.dumps(value).encode())
bodies = st.one_of(
    st.builds(lambda text: json.dumps({"id": text}).encode(), TEXTS),
    JSON,
    st.binary(max_size=300),
    st.sampled_from(sorted(BODIES)).map(BODIES.get),
)
#: Large ones are rare, or nothing else would be sent.
all_bodies = st.integers(0, 60).flatmap(
    lambda number: st.sampled_from(sorted(LARGE)).map(LARGE.get) if number == 60 else bodies
)

SIGNATURES = {
    "none": lambda body: None,
    "empty": lambda body: b"",
    "of nothing": lambda body: sign(body + b" "),
    "other secret": lambda body: sign(body, b"other"),
    "empty secret": lambda body: sign(body, b""),
    "word None": lambda body: b"None",
    "upper case": lambda body: sign(body).upper() + b"0",
    "shortened": lambda body: sign(body)[:-1],
    "prefixed": lambda body: b"sha256=" + sign(body),
    "quoted": lambda body: b'"' + sign(body) + b'"',
    "not ASCII": lambda body: b"\xe4" * 64,
    "UTF-8": lambda body: "\N{SNOWMAN}".encode() * 22,
    "twice": lambda body: sign(body) + b"," + sign(body),
    "long": lambda body: b"a" * 5000,
    "NUL": lambda body: sign(body) + b"\0",
    "digits": lambda body: "٣".encode() * 64,
}
TOKENS = {
    "unknown": lambda token, draft: "A" * 43,
    "not connected": lambda token, draft: draft,
    "other case": lambda token, draft: token.swapcase(),
    "shortened": lambda token, draft: token[:-1],
    "longer": lambda token, draft: f"{token}A",
    "NUL": lambda token, draft: "%00",
    "with NUL": lambda token, draft: f"{token}%00",
    "blank": lambda token, draft: "%20",
    "no UTF-8": lambda token, draft: "%ff%fe",
    "half of a pair": lambda token, draft: "%ed%a0%80",
    "raw bytes": lambda token, draft: "\xe4\xf6",
    "quote": lambda token, draft: "'%20OR%201=1--",
    "pattern": lambda token, draft: "%25",
    "dots": lambda token, draft: "..",
    "long": lambda token, draft: "a" * 30_000,
    "false": lambda token, draft: "False",
    "braces": lambda token, draft: "%7B0%7D",
    "line end": lambda token, draft: "%0d%0aSet-Cookie:%20a=b",
}
#: Header lines beside those of the notification. None of them may change what becomes of it.
HEADERS = {
    "content-type": [
        b"application/json",
        b"application/x-www-form-urlencoded",
        b"multipart/form-data; boundary=b",
        b"multipart/form-data",
        b"text/xml; charset=utf-16",
        b"application/json; charset=nonsense",
        b"\xff\xfe",
        b"",
    ],
    "content-encoding": [b"gzip", b"deflate", b"br", b"identity", b"gzip, gzip", b"\xe4"],
    "accept-language": [b"de_DE", b"xx-XX;q=nan", b"*", b"a" * 3000, b"\xe4"],
    "cookie": [b"session_id=" + b"a" * 84, b"session_id=\xe4", b"=;=;", b'a="\\', b"lang=\xff"],
    "authorization": [b"Basic", b"Basic \xe4", b"Bearer x", b"Digest a="],
    "user-agent": [b"", b"\x00", b"a" * 9000],
    "forwarded": [b"for=\xe4"],
    "x-forwarded-for": [b"\xe4, 1.2.3.4", b"'", b"1.2.3.4"],
    "x-http-method-override": [b"GET", b"DELETE"],
    "range": [b"bytes=0-1", b"bytes=-"],
    "if-none-match": [b"*", b'"'],
    "expect": [b"100-continue", b"\xe4"],
    "referer": [b"http://[::1", b"\xe4"],
    "origin": [b"null", b"http://[::1"],
    "date": [b"never"],
    "upgrade": [b"websocket", b"h2c"],
    "x-topic": [b"contacts/updated"],
}
LINES = st.sampled_from(
    [(name.encode(), value) for name, values in HEADERS.items() for value in values]
)
NAMES = st.from_regex(rb"X-[A-Za-z0-9\-]{1,20}", fullmatch=True)
VALUES = st.binary(max_size=60).map(lambda value: re.sub(rb"[\r\n]", b"", value))
TOPICS = st.sampled_from([b"contacts/updated", b"contacts/deleted", b"moon/full", b"", b"\xe4\0"])
EVENTS = st.sampled_from([b"e", b"e" * 300, b"\xe4\xf6", b"\0", "\N{SNOWMAN}".encode(), b"'--"])
#: Ways to say how long the body is that are not true; all leave out the last byte of it.
LENGTHS = {
    "shorter": lambda body: [(b"Content-Length", b"%d" % (len(body) - 1))],
    "longer": lambda body: [(b"Content-Length", b"%d" % (len(body) + 9))],
    "none": lambda body: [],
    "nothing": lambda body: [(b"Content-Length", b"")],
    "negative": lambda body: [(b"Content-Length", b"-1")],
    "a word": lambda body: [(b"Content-Length", b"many")],
    "decimal": lambda body: [(b"Content-Length", b"1.5")],
    "10 GB": lambda body: [(b"Content-Length", b"10000000000")],
    "5,000 digits": lambda body: [(b"Content-Length", b"9" * 5000)],
    "twice": lambda body: [
        (b"Content-Length", b"%d" % len(body)),
        (b"Content-Length", b"%d" % (len(body) - 1)),
    ],
    "chunked": lambda body: [(b"Transfer-Encoding", b"chunked")],
    "both": lambda body: [
        (b"Content-Length", b"%d" % len(body)),
        (b"Transfer-Encoding", b"chunked"),
    ],
}
#: With Host as far as they get: without, Odoo itself fails at any address.
HEADS = {
    "no HTTP": b"hello\r\n\r\n",
    "other version": b"POST %s HTTP/9.9\r\n\r\n",
    "no version": b"POST %s HTTP/x\r\n\r\n",
    "HTTP 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "line without colon": b"POST %s HTTP/1.1\r\nHost: x\r\nnothing\r\nX-Signature\r\n\r\n",
    "too many lines": b"POST %s HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 150 + b"\r\n",
    "long line": b"POST %s HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 70_000 + b"\r\n\r\n",
    "long address": b"POST %s" + b"/a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "folded line": b"POST %s HTTP/1.1\r\nHost: x\r\nX-Signature: a\r\n b\r\n\r\n",
    "no end": b"POST %s HTTP/1.1\r\nHost: x\r\nX-Signature: a",
    "two slashes": b"POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "control characters": b"POST %s HTTP/1.1\r\nHost: x\r\n\x00\x01: \x02\r\n\r\n",
    "other host": b"POST http://evil.example%s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "nothing": b"",
}
METHODS = st.sampled_from(
    [b"GET", b"HEAD", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"LOOK"]
)


@dataclass
class Input:
    """One request as bytes, without the number that makes it different from all others."""

    method: bytes
    address: bytes
    lines: list
    event: bytes
    body: bytes
    authentic: bool
    """Signed by the service, for this backend, and sent as HTTP wants it."""
    kind: str

    def raw(self, number):
        if self.kind == "head":
            return self.body.replace(b"%s", self.address)
        lines = [b"%s %s HTTP/1.1" % (self.method, self.address), b"Host: localhost"]
        lines += [b"%s: %s" % line for line in self.lines]
        # the number last: ids that are cut off or compared by their beginning would be equal
        lines += [b"X-Event-Id: %s-%d" % (self.event, number), b"", b""]
        return b"\r\n".join(lines) + self.body


def chunk(body, size):
    """Return a body in chunks, as a sender that does not know its length sends it."""
    parts = (body[start : start + size] for start in range(0, len(body), size))
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@st.composite
def inputs(draw, tokens):
    """Requests; about a third of them are authentic and only look odd."""
    wrong = draw(
        st.sampled_from(["", "", "", "signature", "signature", "token", "length", "method", "head"])
    )
    token, draft = tokens
    prefix = "/integration/webhook/"
    address = f"{prefix}{token}".encode()
    if wrong == "head":
        head = HEADS[draw(st.sampled_from(sorted(HEADS)))]
        return Input(b"", address, [], b"", head, False, "head")
    body = draw(all_bodies if wrong != "length" else bodies.filter(len))
    signature = sign(body)
    method = b"POST"
    if wrong == "signature":
        name = draw(st.sampled_from([*sorted(SIGNATURES), "any"]))
        signature = draw(VALUES) if name == "any" else SIGNATURES[name](body)
    elif wrong == "token":
        name = draw(st.sampled_from(sorted(TOKENS)))
        address = f"{prefix}{TOKENS[name](token, draft)}".encode("latin-1")
    elif wrong == "method":
        method = draw(METHODS)
    if wrong == "length":
        lengths = LENGTHS[draw(st.sampled_from(sorted(LENGTHS)))](body)
        sent = body
    elif draw(st.booleans()):
        lengths, sent = [(b"Content-Length", b"%d" % len(body))], body
    else:
        size = draw(st.sampled_from([1, 7, 1000])) if len(body) < 1000 else MEGABYTE
        lengths, sent = [(b"Transfer-Encoding", b"chunked")], chunk(body, size)
    odd = draw(st.lists(LINES, max_size=3, unique_by=lambda line: line[0]))
    odd += draw(st.dictionaries(NAMES, VALUES, max_size=3)).items()
    reserved = {b"x-signature", b"x-topic", b"x-event-id"}
    odd = [line for line in odd if line[0].lower() not in reserved]
    lines = [*lengths, (b"X-Topic", draw(TOPICS)), *odd]
    if signature is not None:
        lines.append((b"X-Signature", signature))
    authentic = not wrong and len(body) < MAX_BODY
    return Input(method, address, lines, draw(EVENTS), sent, authentic, wrong or "odd")


# === SENDING === #

_numbers = itertools.count(1)


def is_as_documented(item, answer):
    """Whether an answer is what the request has to get, without a word in it."""
    status, body = answer.status, answer.body
    if item.authentic:
        expected = status == 200
    elif item.kind == "head":
        expected = status is None or status in BEFORE_THE_ROUTE | {401, 405}
    elif item.kind == "length":
        expected = status in (400, 401, 413)
    elif item.kind == "method":
        expected = status == 405
    elif item.kind == "token":
        expected = status in (401, 413)
    else:
        # it may hang up on a sender that goes on sending what nobody wants to read
        expected = status in (401, 413) or (status is None and len(item.body) > MAX_BODY)
    if item.kind == "head" and status != 405:
        return expected and b"Traceback" not in body and b"odoo" not in body.lower()
    cookie = any(line.lower().startswith(b"set-cookie") for line in answer.head)
    return expected and body == b"" and not cookie


def memory(odoo):
    """Megabytes that each HTTP worker holds, by its process id."""
    result = {}
    for pid in odoo.workers():
        if b"WorkerHTTP" in Path(f"/proc/{pid}/cmdline").read_bytes():
            status = Path(f"/proc/{pid}/status").read_text()
            result[pid] = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024
    return result


def warm_up(odoo, address):
    """Have every worker load what it keeps, and read and store bodies of every size."""
    for _round in range(8):
        for body in (b"{}", *LARGE.values()):
            for signature in (b"wrong", sign(body)):
                lines = [(b"Content-Length", b"%d" % len(body)), (b"X-Topic", b"contacts/updated")]
                lines.append((b"X-Signature", signature))
                item = Input(b"POST", address, lines, b"warm", body, False, "signature")
                send(odoo.url, item.raw(next(_numbers)))


def stored(odoo, backend):
    """Return how many notifications were taken."""
    return odoo.sql(
        "SELECT COALESCE(sum(count), 0)::int FROM integration_webhook_event"
        " WHERE backend_id = %s AND state != 'refused'",
        [backend],
    )[0][0]


@pytest.mark.timeout(300 + INPUTS // 5)
def test_nothing_unsigned_gets_in_and_nothing_breaks(odoo, backend, tokens):
    address = f"/integration/webhook/{tokens[0]}".encode()
    warm_up(odoo, address)
    before, log_before = memory(odoo), odoo.log.stat().st_size
    stored_before = stored(odoo, backend)
    seen, taken, unexpected = Counter(), Counter(), {}

    def sent(item):
        return item, send(odoo.url, item.raw(next(_numbers)))

    @settings(
        max_examples=-(-INPUTS // TOGETHER),
        deadline=None,
        database=None,
        derandomize="INTEGRATION_FUZZ_INPUTS" not in os.environ,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(inputs(tokens), min_size=TOGETHER, max_size=TOGETHER))
    def run(items):
        for item, answer in pool.map(sent, items):
            seen[item.kind, answer.status] += 1
            taken[item.authentic] += answer.status == 200
            if not is_as_documented(item, answer):
                unexpected.setdefault((item.kind, answer.status), (item, answer))

    with ThreadPoolExecutor(THREADS) as pool:
        run()
    after = memory(odoo)
    log = odoo.log.read_text(errors="replace")[log_before:]
    figures = ", ".join(f"{kind} {status}: {count}" for (kind, status), count in seen.items())
    print(f"{seen.total()} requests; {figures}; MB {before} -> {after}")

    assert not unexpected
    assert seen.total() >= INPUTS
    assert taken[True] and not taken[False]
    assert stored(odoo, backend) - stored_before == taken[True]
    assert not odoo.sql(
        "SELECT o.id FROM integration_sync_log o"
        " LEFT JOIN integration_webhook_event e ON e.id = o.webhook_event_id"
        " WHERE o.kind = 'record' AND (e.id IS NULL OR e.state = 'refused')"
    )
    assert before.keys() == after.keys(), "a worker ended"
    assert max(after[pid] - before[pid] for pid in before) < 50
    assert "Traceback" not in log
    # what is no HTTP is an error in the log of the server, and a line each
    errors = [line for line in log.splitlines() if " ERROR " in line]
    assert not [line for line in errors if not re.search(r"werkzeug: .* code \d+, message", line)]
    # refused ones are counted once they are answered
    wait_until(
        lambda: odoo.sql(
            "SELECT 1 FROM integration_webhook_event WHERE backend_id = %s AND state = 'refused'",
            [backend],
        )
    )
