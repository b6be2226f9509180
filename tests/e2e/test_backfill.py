"""Initial loads in both directions, with processes killed in the middle: everything once."""

import os
import signal
from pathlib import Path

import pytest

from tests.simulators.generic.client import GenericService
from tests.simulators.generic.connect import connect_backend

from .conftest import wait_until

pytestmark = pytest.mark.long

COUNT = 600


@pytest.fixture(scope="module")
def service(generic_simulator):
    return GenericService(generic_simulator().url)


@pytest.fixture(scope="module")
def odoo(odoo_server):
    return odoo_server(workers=2, test_addons=True)


@pytest.fixture(scope="module")
def backend(odoo, service):
    return connect_backend(odoo.call, odoo.url, service.url)


def kill_http_workers(odoo):
    """SIGKILL the workers, so also the one that is loading."""
    for pid in odoo.workers():
        if b"WorkerHTTP" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)


def flow_of(odoo, backend, resource):
    return odoo.sql(
        "SELECT id FROM integration_flow WHERE backend_id = %s AND resource = %s",
        [backend, resource],
    )[0][0]


def start(odoo, flow):
    load = odoo.call("integration.backfill", "create", [{"flow_id": flow}])[0]
    odoo.call("integration.backfill", "action_start", [load])
    return load


def state(odoo, load):
    return odoo.sql(
        "SELECT state, found, read_all FROM integration_backfill WHERE id = %s", [load]
    )[0]


def done(odoo, flow):
    return odoo.sql(
        "SELECT count(*) FROM integration_sync_log"
        " WHERE flow_id = %s AND trigger = 'backfill' AND state = 'done'",
        [flow],
    )[0][0]


def test_history_is_imported_through_kills(odoo, service, backend):
    flow = flow_of(odoo, backend, "contact")
    odoo.call("integration.flow", "write", [flow], {"interval_minutes": 0})
    service.webhook_faults(drop=1)
    for number in range(COUNT):
        service.create(name=f"Contact {number}")
    load = start(odoo, flow)
    wait_until(lambda: done(odoo, flow) >= 50, 60, 0.05)
    kill_http_workers(odoo)
    wait_until(lambda: done(odoo, flow) >= COUNT // 2, 60, 0.05)
    odoo.kill()
    odoo.start()
    wait_until(lambda: state(odoo, load)[0] == "done", 120)
    assert state(odoo, load) == ("done", COUNT, True)
    names = odoo.sql("SELECT name FROM res_partner WHERE ref LIKE 'C%%'")
    assert sorted(names) == sorted((f"Contact {number}",) for number in range(COUNT))
    progress = odoo.call("integration.backfill", "read", [load], ["progress", "failed_count"])[0]
    assert (progress["progress"], progress["failed_count"]) == (100, 0)


def test_all_products_are_sent_through_kills(odoo, service, backend):
    flow = flow_of(odoo, backend, "product")
    odoo.call("integration.flow", "write", [flow], {"enabled": False})
    odoo.call(
        "product.product",
        "create",
        [{"name": f"Product {n}", "default_code": f"LOAD-{n}"} for n in range(COUNT)],
    )
    odoo.call("integration.flow", "write", [flow], {"enabled": True})
    load = start(odoo, flow)
    for share in (0.1, 0.5):
        wait_until(lambda share=share: done(odoo, flow) >= share * COUNT, 150, 0.02)
        kill_http_workers(odoo)
    wait_until(lambda: state(odoo, load)[0] == "done", 240)
    codes = [row["code"] for row in service.records("products") if row["code"].startswith("LOAD-")]
    assert sorted(codes) == sorted(f"LOAD-{n}" for n in range(COUNT))
    outcomes = odoo.sql(
        "SELECT outcome, count(*) FROM integration_intent WHERE backend_id = %s GROUP BY 1",
        [backend],
    )
    assert len(outcomes) == 1
    assert outcomes[0][0] == "sent"
