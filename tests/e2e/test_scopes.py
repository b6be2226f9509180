"""An app that lacks an access scope: its flow waits, says why, and goes on when it is granted."""

import pytest

from .conftest import wait_until

pytestmark = pytest.mark.long

NEEDED = ("read_orders", "read_customers", "read_products", "read_returns", "read_locations")
#: What the other flow needs.
SHIPPING = "write_merchant_managed_fulfillment_orders"


def flow(connected, *columns):
    return connected.odoo.sql(
        f"SELECT {', '.join(columns)} FROM integration_flow"
        " WHERE backend_id = %s AND resource = 'order'",
        [connected.backend],
    )[0]


def scopes(connected):
    rows = connected.odoo.call(
        "integration.scope",
        "search_read",
        [("backend_id", "=", connected.backend)],
        ["name", "state", "reason", "advice"],
    )
    return {row["name"]: row for row in rows}


def press(connected, button):
    return connected.odoo.call("integration.backend", button, [connected.backend])


@pytest.fixture(autouse=True)
def everything_granted(connected):
    yield
    connected.shop.configure(scopes=[*NEEDED, SHIPPING, "read_all_orders"])
    press(connected, "action_test_connection")


# an order of which nothing came back is read without the right to see returns
@pytest.mark.parametrize("lost", [scope for scope in NEEDED if scope != "read_returns"])
def test_a_scope_withdrawn_at_work(connected, lost):
    imported = len(connected.orders())
    connected.shop.configure(scopes=[scope for scope in (*NEEDED, SHIPPING) if scope != lost])
    connected.shop.place_order(
        lines=[{"sku": "MUG-350"}], customer={"email": f"{lost}@example.com"}
    )
    # whatever was withdrawn: a notification or a listing runs into it, or the daily check
    if lost == "read_locations":
        press(connected, "action_check_access")
    wait_until(lambda: flow(connected, "missing_scopes")[0], 90)
    assert flow(connected, "missing_scopes")[0] == lost
    # people are told right after the flow has stopped
    incidents = wait_until(
        lambda: connected.odoo.sql(
            "SELECT message FROM integration_incident WHERE kind = 'scopes' AND state = 'open'"
        )
    )
    assert len(incidents) == 1 and lost in incidents[0][0]
    assert scopes(connected)[lost]["state"] == "missing"
    assert connected.operations("dead") == []
    assert len(connected.orders()) == imported

    connected.shop.configure(scopes=[*NEEDED, SHIPPING])
    press(connected, "action_check_access")
    assert flow(connected, "missing_scopes")[0] is None
    connected.poll()
    connected.settle()
    assert len(connected.orders()) == imported + 1
    assert connected.operations("dead") == []


def test_connecting_without_a_scope(connected):
    others = [scope for scope in NEEDED if scope != "read_products"]
    connected.shop.configure(scopes=[*others, SHIPPING, "write_products", "read_themes"])
    shown = press(connected, "action_test_connection")["params"]
    assert shown["type"] == "success", "writing products includes reading them"
    table = scopes(connected)
    assert table["read_products"]["state"] == "granted"
    assert "replace it by read_products" in table["write_products"]["advice"]
    assert table["read_themes"]["state"] == "superfluous"
    assert table["read_all_orders"]["state"] == "optional"

    connected.shop.configure(scopes=[*NEEDED[:-1], SHIPPING])
    shown = press(connected, "action_test_connection")["params"]
    assert shown["type"] == "warning" and "read_locations" in shown["message"]
    calls = connected.calls("Orders")
    order = connected.shop.place_order(lines=[{"sku": "MUG-350"}])
    connected.shop.wait_for_webhooks()
    wait_until(lambda: connected.operations("pending"))
    assert connected.calls("Orders") == calls, "what would be refused is not asked"
    connected.shop.configure(scopes=[*NEEDED, SHIPPING])
    press(connected, "action_test_connection")
    connected.settle()
    assert order["id"] in connected.orders()
