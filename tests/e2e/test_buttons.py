"""Buttons that start work at once: only a real server gives each of them its own transaction."""

import pytest

from .conftest import wait_until


@pytest.fixture(scope="module")
def flow(connected):
    return connected.odoo.sql(
        "SELECT id FROM integration_flow WHERE backend_id = %s AND resource = 'order'",
        [connected.backend],
    )[0][0]


@pytest.fixture(scope="module")
def order(connected):
    order = connected.shop.place_random_orders(1, seed=3)[0]
    connected.settle()
    return order


@pytest.mark.parametrize("typed", ["id", "name", "number"])
def test_import_one_record(connected, flow, order, typed):
    reference = {**order, "number": order["name"].lstrip("#")}[typed]

    def press():
        wizard = connected.odoo.call(
            "integration.import.now", "create", {"flow_id": flow, "reference": reference}
        )
        return connected.odoo.call("integration.import.now", "action_import", [wizard])["params"]

    # a listing may be at work on the same order; then the button says that it waits
    outcome = wait_until(lambda: (found := press())["type"] != "warning" and found, 30)
    assert outcome["type"] == "success", outcome
    assert list(connected.orders()) == [order["id"]]


def test_read_changes(connected, flow, order):
    outcome = connected.odoo.call("integration.flow", "action_read_changes", [flow])["params"]
    assert outcome["type"] == "success", outcome
    assert outcome["message"]


def test_new_address(connected, order):
    """The calls that tell the service are recorded beside the transaction that changes it."""
    backend, odoo, shop = connected.backend, connected.odoo, connected.shop
    query = "SELECT webhook_token FROM integration_backend WHERE id = %s"
    ((old,),) = odoo.sql(query, [backend])
    before = odoo.sql("SELECT max(id) FROM integration_exchange")[0][0]
    shown = odoo.call("integration.backend", "action_new_webhook_address", [backend])["params"]
    assert shown["type"] == "success", shown
    ((new,),) = odoo.sql(query, [backend])
    told = {row["uri"].rpartition("/")[2] for row in shop.get("subscriptions")}
    assert new != old and told == {new}
    assert odoo.sql("SELECT 1 FROM integration_exchange WHERE id > %s", [before])
    # the shop goes away, and the address all the same
    shop.fault(status=503, share=1.0)
    shown = odoo.call("integration.backend", "action_new_webhook_address", [backend])["params"]
    assert shown["type"] == "warning", shown
    shop.clear_faults()
    ((newest,),) = odoo.sql(query, [backend])
    assert newest not in (old, new)
