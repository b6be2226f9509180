"""A thousand failures for one reason, on a real server: nobody is flooded, nothing is left over."""

import pytest

from tests.simulators.generic.client import GenericService
from tests.simulators.generic.connect import connect_backend

from .conftest import wait_until

pytestmark = pytest.mark.long

CONTACTS = 1000


@pytest.fixture(scope="module")
def service(generic_simulator):
    return GenericService(generic_simulator().url)


@pytest.fixture(scope="module")
def odoo(odoo_server):
    return odoo_server(workers=2, test_addons=True)


def test_an_outage_is_one_incident_and_ends_by_itself(odoo, service):
    backend = connect_backend(odoo.call, odoo.url, service.url)

    def incidents():
        return odoo.sql(
            "SELECT kind, state FROM integration_incident WHERE backend_id = %s ORDER BY id",
            [backend],
        )

    def states():
        return dict(
            odoo.sql(
                "SELECT state, count(*) FROM integration_sync_log"
                " WHERE backend_id = %s AND kind = 'record' GROUP BY 1",
                [backend],
            )
        )

    [(before,)] = odoo.sql("SELECT coalesce(max(id), 0) FROM mail_message")
    service.outage(3600, "server_error")
    service.change(
        *(
            {"action": "create", "collection": "contacts", "values": {"name": f"Contact {number}"}}
            for number in range(CONTACTS)
        )
    )
    service.wait_for_webhooks(120)
    wait_until(lambda: ("breaker", "open") in incidents(), 120)
    assert states() == {"pending": CONTACTS}, "they wait"
    asked = service.calls()["total"]
    service.outage(0)
    wait_until(lambda: not states().keys() & {"pending", "running"}, 240)
    # the schedule may have found them again meanwhile
    assert states().keys() <= {"done", "merged"}
    assert odoo.sql("SELECT max(attempts) FROM integration_sync_log") <= [(5,)]
    assert incidents() == [("breaker", "closed")]
    assert asked < CONTACTS / 10, "a service that is down is left alone"
    assert odoo.sql("SELECT count(*) FROM res_partner WHERE name LIKE 'Contact %%'") == [
        (CONTACTS,)
    ]
    # one person was told, once
    told = odoo.sql(
        "SELECT message_type, count(*) FROM mail_message"
        " WHERE model IN ('integration.incident', 'integration.backend', 'integration.flow')"
        "   AND message_type = 'user_notification' AND id > %s GROUP BY 1",
        [before],
    )
    assert told == [("user_notification", 1)]
    assert not odoo.sql(
        "SELECT 1 FROM mail_activity WHERE active AND res_model LIKE 'integration%%'"
    )
