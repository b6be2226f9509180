"""What breaks, or hangs, is mended within seconds and holds up nobody else."""

import os
import signal
import statistics
import threading
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg2
import pytest

from tests.simulators.generic.client import GenericService
from tests.simulators.generic.connect import connect_backend

from .conftest import wait_until

pytestmark = pytest.mark.long

#: Seconds of each answer of the service, so that work is under way when something is killed.
PACE = 0.4


@pytest.fixture(scope="module")
def odoo(odoo_server):
    return odoo_server(workers=4, channels="root:4,root.integration:3", test_addons=True)


@pytest.fixture(scope="module")
def healthy(generic_simulator):
    return GenericService(generic_simulator().url)


@pytest.fixture(scope="module")
def slow(generic_simulator):
    return GenericService(generic_simulator().url)


@pytest.fixture(scope="module")
def backends(odoo, healthy, slow):
    """Ids of a backend of each service; contacts are read in small batches."""
    flows = {"contact": {"batch_size": 2, "interval_minutes": 0}}
    return {
        "healthy": connect_backend(odoo.call, odoo.url, healthy.url, "Healthy", flows),
        "slow": connect_backend(odoo.call, odoo.url, slow.url, "Slow", flows),
    }


def states(odoo, backend):
    rows = odoo.sql(
        "SELECT state, count(*) FROM integration_sync_log WHERE backend_id = %s"
        " AND kind = 'record' GROUP BY 1",
        [backend],
    )
    return dict(rows)


def done(odoo, backend):
    return states(odoo, backend).get("done", 0)


def ended(odoo, ids):
    """Return {state: operations} of the external records with these ids."""
    rows = odoo.sql(
        "SELECT state, count(*) FROM integration_sync_log WHERE key = ANY(%s) GROUP BY 1", [ids]
    )
    return dict(rows)


def place(service, count):
    """Create contacts in the service; their notifications make operations in Odoo."""
    spec = {"action": "create", "collection": "contacts"}
    service.change(*({**spec, "values": {"name": f"Contact {n}"}} for n in range(count)))
    service.wait_for_webhooks(60)


@contextmanager
def paced(service):
    service.faults(shares={"hang": 1}, seconds=PACE)
    try:
        yield
    finally:
        service.clear_faults()


def workers_at_work(odoo):
    rows = odoo.sql(
        "SELECT worker_pid FROM queue_job WHERE state = 'started'"
        " AND identity_key LIKE 'integration.drain.%%'"
    )
    return [row[0] for row in rows if row[0]]


def seconds_to_resume(odoo, backend, broken_at):
    before = done(odoo, backend)
    wait_until(lambda: done(odoo, backend) > before, 90, 0.05)
    return time.monotonic() - broken_at


def settled(odoo, backend, service):
    """Wait for the end and check that everything is there once, and no job failed."""
    wait_until(lambda: not set(states(odoo, backend)) - {"done", "merged"}, 120)
    there = sorted(row["id"] for row in service.records("contacts"))
    found = odoo.sql(
        "SELECT p.ref FROM res_partner p JOIN integration_binding b ON b.res_id = p.id"
        " AND b.res_model = 'res.partner' WHERE b.backend_id = %s ORDER BY 1",
        [backend],
    )
    assert sorted(row[0] for row in found) == there
    wait_until(
        lambda: odoo.sql("SELECT count(*) FROM queue_job WHERE state = 'failed'") == [(0,)], 20
    )


def test_killed_worker_costs_six_seconds(odoo, backends, healthy):
    with paced(healthy):
        place(healthy, 60)
        wait_until(lambda: done(odoo, backends["healthy"]), 30, 0.05)
        [pid, *_] = wait_until(lambda: workers_at_work(odoo), 20, 0.02)
        os.kill(pid, signal.SIGKILL)
        assert seconds_to_resume(odoo, backends["healthy"], time.monotonic()) < 6 + 2 * PACE
    settled(odoo, backends["healthy"], healthy)


def test_all_workers_killed_cost_fifteen_seconds(odoo, backends, healthy):
    before = done(odoo, backends["healthy"])
    with paced(healthy):
        place(healthy, 60)
        wait_until(lambda: done(odoo, backends["healthy"]) > before, 30, 0.05)
        for pid in odoo.workers():
            if b"WorkerHTTP" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
        assert seconds_to_resume(odoo, backends["healthy"], time.monotonic()) < 15 + 2 * PACE
    settled(odoo, backends["healthy"], healthy)


def test_database_away_for_seconds_costs_twenty(odoo, backends, healthy):
    """As a restart of PostgreSQL does: all connections end, and new ones are refused a while."""
    before = done(odoo, backends["healthy"])
    with paced(healthy):
        place(healthy, 60)
        wait_until(lambda: done(odoo, backends["healthy"]) > before, 30, 0.05)
        with closing(psycopg2.connect(dbname="postgres", **odoo._dsn())) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f'ALTER DATABASE "{odoo.database}" ALLOW_CONNECTIONS false')
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                    [odoo.database],
                )
                time.sleep(2)
                cursor.execute(f'ALTER DATABASE "{odoo.database}" ALLOW_CONNECTIONS true')
        assert seconds_to_resume(odoo, backends["healthy"], time.monotonic()) < 20
    settled(odoo, backends["healthy"], healthy)


class Meter:
    """Measures, in seconds, how fast Odoo answers a user and a notification is worked off."""

    def __init__(self, odoo, backend, service):
        self.odoo, self.backend, self.service = odoo, backend, service
        self.session = odoo.session()

    def page(self):
        begin = time.monotonic()
        self.session.call(
            "res.partner", "web_search_read", [], specification={"name": {}}, limit=40
        )
        return time.monotonic() - begin

    def flow(self):
        before, begin = done(self.odoo, self.backend), time.monotonic()
        self.service.create(name="Live")
        wait_until(lambda: done(self.odoo, self.backend) > before, 60, 0.02)
        return time.monotonic() - begin

    def measure(self, count=12):
        pages, flows = [], []
        for _number in range(count):
            pages += [self.page() for _time in range(4)]
            flows.append(self.flow())
        return pages, flows


def test_hanging_service_slows_neither_users_nor_others(odoo, backends, healthy, slow):
    meter = Meter(odoo, backends["healthy"], healthy)
    meter.measure(3)
    usual_pages, usual_flows = meter.measure()
    place(slow, 30)
    settled(odoo, backends["slow"], slow)
    slow.faults(shares={"hang": 1}, seconds=60)
    try:
        place(slow, 30)
        odoo.call("product.product", "create", [{"name": "X", "default_code": "X1"}] * 3)
        wait_until(lambda: states(odoo, backends["slow"]).get("running"), 30, 0.05)
        begun = time.monotonic()
        pages, flows = meter.measure()
        # a client gives up after half a minute, which a busy machine may need for this
        hung = states(odoo, backends["slow"]).get("running")
        assert hung or time.monotonic() - begun > 20, "it was hanging all the time"
        held = odoo.sql(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s",
            [0x1A7EA],
        )
        assert held[0][0] <= 3
    finally:
        slow.clear_faults()
    median = statistics.median
    print(
        f"pages {median(usual_pages):.3f} -> {median(pages):.3f} s,"
        f" flow {median(usual_flows):.3f} -> {median(flows):.3f} s"
    )
    assert median(pages) < 2 * median(usual_pages) + 0.05
    assert median(flows) < 2 * median(usual_flows) + 0.1
    assert max(flows) < 8


def test_killer_ends_alone_as_a_dead_letter(odoo, backends, healthy):
    """One record kills whatever process works on it; its 255 neighbours are written."""
    backend = backends["healthy"]
    odoo.sql(
        "UPDATE integration_flow SET batch_size = 256, slots = 1"
        " WHERE backend_id = %s AND resource = 'contact'",
        [backend],
    )
    healthy.webhook_faults(drop=1)
    spec = {"action": "create", "collection": "contacts"}
    rows = healthy.change(
        *({**spec, "values": {"name": "Kill" if n == 77 else f"Good {n}"}} for n in range(256))
    )
    healthy.webhook_faults(drop=0)
    ids = [row["id"] for row in rows]
    killer = ids[77]
    stop = threading.Event()

    def kill():
        """SIGKILL the worker that has claimed the record, each time it is claimed."""
        seen = None
        while not stop.is_set():
            claims = odoo.sql(
                "SELECT claim_token FROM integration_sync_log WHERE key = %s AND state = 'running'",
                [killer],
            )
            # the claim outlives its worker for some seconds, in which others work
            for pid in workers_at_work(odoo) if claims and claims != seen else ():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    seen = claims
            time.sleep(0.02)

    watcher = threading.Thread(target=kill)
    with paced(healthy):
        watcher.start()
        try:
            odoo.sql(
                "INSERT INTO integration_sync_log (flow_id, backend_id, company_id, resource, kind,"
                " key, external_id, trigger, priority, state, attempts, crashes, next_attempt_at,"
                " create_date) SELECT id, backend_id, company_id, resource, 'record', x, x,"
                " 'manual', 10, 'pending', 0, 0, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC'"
                " FROM integration_flow, unnest(%s) x WHERE resource = 'contact'"
                " AND backend_id = %s",
                [ids, backend],
            )
            wait_until(lambda: states(odoo, backend).get("dead"), 150, 0.2)
            wait_until(lambda: ended(odoo, ids).get("done") == 255, 60, 0.2)
        finally:
            stop.set()
            watcher.join()
    dead = odoo.sql("SELECT key, error_class FROM integration_sync_log WHERE state = 'dead'")
    assert dead == [(killer, "crash")]
