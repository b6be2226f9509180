"""Notifications to a real server with several workers."""

import hashlib
import hmac
import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.simulators.generic.client import GenericService
from tests.simulators.generic.connect import CREDENTIALS, connect_backend

from .conftest import wait_until


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

    wait_until(lambda: not open_operations(), 60)
