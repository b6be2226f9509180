"""The connector of the tests' own service, on a real server."""

import pytest

from tests.simulators.generic.client import GenericService
from tests.simulators.generic.connect import connect_backend

from .conftest import wait_until


@pytest.fixture(scope="module")
def service(generic_simulator):
    return GenericService(generic_simulator().url)


@pytest.fixture(scope="module")
def odoo(odoo_server):
    return odoo_server(workers=2, test_addons=True)


@pytest.fixture(scope="module")
def backend(odoo, service):
    return connect_backend(odoo.call, odoo.url, service.url)


def partners(odoo):
    rows = odoo.sql("SELECT ref, name, email FROM res_partner WHERE ref LIKE 'C%%' ORDER BY ref")
    return [tuple(row) for row in rows]


def test_contacts_come_by_notification_and_by_listing(odoo, service, backend):
    told = service.create(name="Anna", email="anna@example.com")
    wait_until(lambda: partners(odoo) == [(told["id"], "Anna", "anna@example.com")], 30)
    service.webhook_faults(drop=1)
    service.update(told["id"], name="Anna Berg")
    missed = service.create(name="Otto")
    odoo.sql(
        "UPDATE integration_flow SET next_run_at = now() AT TIME ZONE 'UTC'"
        " WHERE backend_id = %s AND resource = 'contact'",
        [backend],
    )
    expected = [(told["id"], "Anna Berg", "anna@example.com"), (missed["id"], "Otto", None)]
    wait_until(lambda: partners(odoo) == expected, 60)


def test_operations_that_do_nothing_end(odoo, backend):
    odoo.sql(
        "INSERT INTO integration_sync_log (flow_id, backend_id, company_id, resource, kind, key,"
        " external_id, trigger, priority, state, attempts, crashes, next_attempt_at, create_date)"
        " SELECT id, backend_id, company_id, resource, 'record', n, n, 'manual', 10, 'pending', 0,"
        " 0, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC'"
        "  FROM integration_flow, generate_series(1, 500) n"
        " WHERE backend_id = %s AND resource = 'noop'",
        [backend],
    )
    wait_until(
        lambda: (
            odoo.sql("SELECT state, count(*) FROM integration_sync_log"
                     " WHERE resource = 'noop' GROUP BY 1") == [("done", 500)]
        ),
        30,
    )  # fmt: skip
