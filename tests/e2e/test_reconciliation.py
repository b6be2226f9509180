"""Both sides drift apart unnoticed; a comparison finds it and repairs it, killed or not."""

import time

import pytest

from tests.simulators.generic.client import GenericService
from tests.simulators.generic.connect import connect_backend

from .conftest import wait_until

CONTACTS = 120
PRODUCTS = 40


class World:
    """The two sides, and what users do with them."""

    def __init__(self, odoo, service, backend):
        self.odoo, self.service, self.backend = odoo, service, backend

    def flow(self, resource):
        row = self.odoo.sql(
            "SELECT id FROM integration_flow WHERE backend_id = %s AND resource = %s",
            [self.backend, resource],
        )
        return row[0][0]

    def settle(self):
        wait_until(
            lambda: (
                not self.odoo.sql(
                    "SELECT 1 FROM integration_sync_log"
                    " WHERE backend_id = %s AND state IN ('pending', 'running')",
                    [self.backend],
                )
            ),
            90,
        )

    def partners(self):
        rows = self.odoo.sql(
            "SELECT b.external_id, p.name FROM integration_binding b"
            "  JOIN res_partner p ON p.id = b.res_id"
            " WHERE b.backend_id = %s AND b.resource = 'contact'",
            [self.backend],
        )
        return dict(tuple(row) for row in rows)

    def contacts(self):
        rows = self.service.records("contacts")
        return {row["id"]: row["name"] for row in rows if not row.get("deleted")}

    def run(self, run_id):
        columns = (
            "state, seen_count, missing_in_odoo_count, missing_outside_count, different_count,"
            " in_work_count"
        )
        row = self.odoo.sql(
            f"SELECT {columns} FROM integration_reconciliation WHERE id = %s", [run_id]
        )
        return tuple(value or 0 for value in row[0])

    def compare(self, resource):
        """Press the button; returns the run when it is done."""
        run_id = self.start(resource)
        wait_until(lambda: self.run(run_id)[0] == "done", 90)
        return self.run(run_id)[1:]

    def start(self, resource):
        action = self.odoo.call("integration.flow", "action_compare", [self.flow(resource)])
        return action["res_id"]


@pytest.fixture(scope="module")
def world(odoo_server, generic_simulator):
    service = GenericService(generic_simulator().url)
    # what changes there seems to have changed an hour ago: it is not on its way any more
    service.configure(clockSkew=-3600)
    service.webhook_faults(drop=1)
    odoo = odoo_server(workers=2, test_addons=True)
    quiet = {"contact": {"interval_minutes": 0}}
    backend = connect_backend(odoo.call, odoo.url, service.url, flows=quiet)
    return World(odoo, service, backend)


def test_everything_is_found_repaired_and_equal(world):
    service = world.service
    service.change(
        *(
            {"action": "create", "collection": "contacts", "values": {"name": f"Contact {n}"}}
            for n in range(CONTACTS)
        )
    )
    flow = world.flow("contact")
    world.odoo.call("integration.flow", "write", [flow], {"reconcile_repair": "missing"})
    assert world.compare("contact") == (CONTACTS, CONTACTS, 0, 0, 0)
    wait_until(lambda: world.partners() == world.contacts(), 60)
    world.settle()
    ids = sorted(world.contacts())
    for external_id in ids[:3]:
        service.update(external_id, name="Changed there")
    partner = world.odoo.sql(
        "SELECT res_id FROM integration_binding WHERE backend_id = %s AND external_id = %s",
        [world.backend, ids[5]],
    )[0][0]
    world.odoo.call("res.partner", "write", [partner], {"name": "Changed in Odoo"})
    service.create(name="Never told")
    world.odoo.call("integration.flow", "write", [flow], {"reconcile_repair": "all"})
    assert world.compare("contact") == (CONTACTS + 1, 1, 0, 4, 0)
    wait_until(lambda: world.partners() == world.contacts(), 60)
    world.settle()
    assert world.compare("contact") == (CONTACTS + 1, 0, 0, 0, 0)
    service.reset_calls()
    written = world.odoo.sql("SELECT max(write_date) FROM res_partner")
    assert world.compare("contact") == (CONTACTS + 1, 0, 0, 0, 0)
    assert "contacts.fetch" not in service.calls()["byEndpoint"]
    assert world.odoo.sql("SELECT max(write_date) FROM res_partner") == written
    wait_until(
        lambda: (
            world.odoo.sql("SELECT DISTINCT state FROM integration_discrepancy") == [("repaired",)]
        ),
        30,
    )


def test_killed_comparison_goes_on_and_counts_nothing_twice(world):
    total = len(world.contacts())
    world.service.configure(pageSize=2)
    for external_id in sorted(world.contacts())[10:15]:
        world.service.update(external_id, name="Changed again")
    world.odoo.call(
        "integration.flow", "write", [world.flow("contact")], {"reconcile_repair": "report"}
    )
    run_id = world.start("contact")
    wait_until(lambda: world.run(run_id)[1] > 10, 60, 0.02)
    world.odoo.kill()
    assert world.run(run_id)[:1] + world.run(run_id)[2:] == ("running", 0, 0, 0, 0)
    assert world.run(run_id)[1] < total
    time.sleep(1)
    world.odoo.start()
    wait_until(lambda: world.run(run_id)[0] == "done", 90)
    assert world.run(run_id)[1:] == (total, 0, 0, 5, 0)
    world.service.configure(pageSize=100)


def test_products_lost_on_their_way_out_are_sent(world):
    flow = world.flow("product")
    world.odoo.call("integration.flow", "write", [flow], {"reconcile_repair": "all"})
    # what modules brought along was never written, so nothing of it was sent
    old = world.odoo.call("product.product", "search_count", [("default_code", "!=", False)])
    assert world.compare("product") == (0, 0, old, 0, 0)
    world.settle()
    products = world.odoo.call(
        "product.product",
        "create",
        [{"name": f"Product {n}", "default_code": f"P{n}"} for n in range(PRODUCTS)],
    )

    def sent():
        rows = world.service.records("products")
        return sorted(
            (row["name"], row["code"])
            for row in rows
            if not row.get("deleted") and row["name"].startswith("Product ")
        )

    wanted = sorted((f"Product {n}", f"P{n}") for n in range(PRODUCTS))
    wait_until(lambda: sent() == wanted, 60)
    world.settle()
    # behind the back of the ORM, as after a restored backup
    world.odoo.sql("UPDATE product_product SET default_code = 'LOST' WHERE id = %s", products[:1])
    deleted = next(
        row["id"] for row in world.service.records("products") if row["name"] == "Product 9"
    )
    world.service.delete(deleted, collection="products")
    total = old + PRODUCTS
    assert world.compare("product") == (total - 1, 0, 1, 1, 0)
    wanted = sorted([*(pair for pair in wanted if pair[1] != "P0"), ("Product 0", "LOST")])
    wait_until(lambda: sent() == wanted, 60)
    world.settle()
    assert world.compare("product") == (total, 0, 0, 0, 0)
