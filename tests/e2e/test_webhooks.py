"""Notifications to a real server with several workers."""

import hashlib
import hmac
import json
import os
import random
import statistics
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.simulators.generic.client import GenericService
from tests.simulators.generic.connect import CREDENTIALS, connect_backend

from .conftest import wait_until
from .wire import send

#: Requests of each kind whose time is compared, and how much their medians may differ: few of them
#: depend more on what else the machine does.
TIMED = int(os.environ.get("INTEGRATION_TIMING_INPUTS", "200"))
DIFFERENCE = 0.05 if TIMED >= 1000 else 0.25


@pytest.fixture(scope="module")
def odoo(odoo_server):
    return odoo_server(workers=2, test_addons=True)


@pytest.fixture(scope="module")
def backend(odoo, generic_simulator):
    service = GenericService(generic_simulator().url)
    return connect_backend(odoo.call, odoo.url, service.url)


@pytest.fixture(scope="module")
def address(odoo, backend):
    token = odoo.sql("SELECT webhook_token FROM integration_backend WHERE id = %s", [backend])
    return f"{odoo.url}/integration/webhook/{token[0][0]}"


def notify(address, event, external_id="nobody"):
    """Send one notification; returns the status."""
    body = json.dumps({"id": external_id}).encode()
    signature = hmac.new(CREDENTIALS["secret"].encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-Signature": signature, "X-Topic": "contacts/updated", "X-Event-Id": event}
    request = urllib.request.Request(address, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def stored(odoo, backend, event):
    return odoo.sql(
        "SELECT e.count, count(o.id) FROM integration_webhook_event e"
        " LEFT JOIN integration_sync_log o ON o.webhook_event_id = e.id"
        " WHERE e.backend_id = %s AND e.event_id = %s GROUP BY e.id",
        [backend, event],
    )


def test_one_event_delivered_a_hundred_times_at_once(odoo, backend, address):
    before = len(odoo.log.read_text())
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(notify, [address] * 100, ["same"] * 100))
    assert set(statuses) == {200}
    assert stored(odoo, backend, "same") == [(100, 1)]
    log = odoo.log.read_text()[before:]
    assert " ERROR " not in log
    # Odoo's own way out of a conflict: the worker sleeps and tries again
    assert "tries left" not in log


def test_burst_makes_few_jobs(odoo, backend, address):
    highest = odoo.sql("SELECT COALESCE(max(id), 0) FROM queue_job")[0][0]
    events = [f"burst-{number}" for number in range(200)]
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(notify, [address] * 200, events)) == {200}
    latest = odoo.sql("SELECT last_value FROM queue_job_id_seq")[0][0]
    assert latest - highest < 100

    def open_operations():
        return odoo.sql(
            "SELECT 1 FROM integration_sync_log"
            " WHERE backend_id = %s AND state IN ('pending', 'running')",
            [backend],
        )

    wait_until(lambda: not open_operations())


@pytest.fixture(scope="module")
def addresses(odoo, address):
    """Addresses that must not be told apart without a signature."""
    values = {"name": "Draft", "connector": "generic", "base_url": "https://service.example.com"}
    draft = odoo.call("integration.backend", "create", [values])[0]
    query = "SELECT webhook_token FROM integration_backend WHERE id = %s"
    start = address.rpartition("/")[0]
    return {
        "bad signature": address,
        "not connected": f"{start}/{odoo.sql(query, [draft])[0][0]}",
        "unknown": f"{start}/{'A' * 43}",
    }


def forged(address, body):
    head = [
        f"POST {address[address.index('/integration') :]} HTTP/1.1",
        "Host: localhost",
        "X-Topic: contacts/updated",
        "X-Event-Id: forged",
        f"X-Signature: {'0' * 64}",
        f"Content-Length: {len(body)}",
        "",
        "",
    ]
    return "\r\n".join(head).encode() + body


@pytest.mark.parametrize("size", [20, 1024 * 1024])
def test_no_answer_tells_whether_an_address_exists(odoo, addresses, size):
    body, times, answers = b"x" * size, {kind: [] for kind in addresses}, set()
    count = TIMED if size < 1000 else TIMED // 4
    for number in range(count + 20):
        for kind in random.sample(sorted(addresses), len(addresses)):
            answer = send(odoo.url, forged(addresses[kind], body))
            answers.add(answer[:3])
            if number >= 20:  # caches are warm
                times[kind].append(answer.seconds)
    assert len(answers) == 1
    assert answers.pop()[0] == 401
    medians = {kind: statistics.median(values) * 1000 for kind, values in times.items()}
    print(f"{size} bytes, median of {count} in ms: {medians}")
    assert max(medians.values()) / min(medians.values()) - 1 < DIFFERENCE


def test_flood_of_one_sender_is_turned_away_unread(odoo, backend, addresses):
    def refused():
        return odoo.sql(
            "SELECT COALESCE(sum(count), 0) FROM integration_webhook_event"
            " WHERE backend_id = %s AND state = 'refused'",
            [backend],
        )[0][0]

    before = refused()
    raw = forged(addresses["bad signature"], b"{}")
    statuses = [send(odoo.url, raw, "127.0.0.9").status for _call in range(200)]
    assert statuses[-1] == 429
    # two workers, 30 each, and what is given back meanwhile
    assert 30 <= statuses.count(401) <= 80
    assert set(statuses) == {401, 429}
    # others are not concerned
    assert send(odoo.url, raw, "127.0.0.10").status == 401
    # what a process does not write down at once, after many others, it adds to the next one
    wait_until(lambda: send(odoo.url, raw, "127.0.0.11").status == 401 and refused() > before, 10)
    assert notify(addresses["bad signature"], "after the flood") == 200
