"""A shop and an Odoo that imports from it: real server processes, real job runner."""

import time
from types import SimpleNamespace

import pytest
from runtime import demo

from tests.simulators.shopify.client import ShopSimulator


def wait_until(condition, timeout=120, step=0.3):
    """Wait for `condition()` to be true and return its value; fails with the last value."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"still {value!r} after {timeout} s"
        time.sleep(step)


class ConnectedShop(SimpleNamespace):
    """`shop` (simulator), `odoo` (server) and `backend` (id) with what the tests ask of them."""

    def operations(self, *states):
        """Rows of the sync log that are records, in the states given (all without)."""
        return self.odoo.sql(
            "SELECT id, label, state, attempts, message FROM integration_sync_log"
            " WHERE backend_id = %s AND kind = 'record' AND (%s OR state = ANY(%s)) ORDER BY id",
            [self.backend, not states, list(states)],
        )

    def orders(self):
        """Imported sales orders: {shop's order id: (untaxed, tax, total, currency, state)}."""
        rows = self.odoo.sql(
            "SELECT b.external_id, o.amount_untaxed, o.amount_tax, o.amount_total, c.name, o.state"
            "  FROM integration_binding b JOIN sale_order o ON o.id = b.res_id"
            "  JOIN res_currency c ON c.id = o.currency_id"
            " WHERE b.backend_id = %s AND b.resource = 'order'",
            [self.backend],
        )
        return {row[0]: row[1:] for row in rows}

    def settle(self, timeout=180):
        """Wait until every notification has arrived and no operation is open."""
        self.shop.wait_for_webhooks()
        wait_until(lambda: not self.operations("pending", "running"), timeout)

    def poll(self):
        """Make the listing of changes due now; the heartbeat plans it within seconds."""
        flow = self.odoo.sql(
            "UPDATE integration_flow SET next_run_at = now() AT TIME ZONE 'UTC'"
            " WHERE backend_id = %s AND resource = 'order' RETURNING id",
            [self.backend],
        )[0][0]
        before = self.calls("OrderChanges")
        wait_until(lambda: self.calls("OrderChanges") > before, 60)
        wait_until(
            lambda: (
                not self.odoo.sql(
                    "SELECT 1 FROM integration_sync_log"
                    " WHERE flow_id = %s AND kind = 'listing' AND state IN ('pending', 'running')",
                    [flow],
                )
            ),
            60,
        )

    def calls(self, operation):
        """How often the shop was asked by the document of that name."""
        return self.shop.calls()["byOperation"].get(operation, 0)


@pytest.fixture(scope="module")
def connected(odoo_server, shop_simulator):
    """A running shop whose backend is connected, without any order."""
    service = shop_simulator()
    shop = ShopSimulator(service.url)
    # a Plus shop: the hundreds of orders placed at once shall wait for us, not for its rate limit
    shop.configure(costBucket=20000, costRestore=1000)
    odoo = odoo_server(workers=2)
    demo.prepare_company(odoo.call)
    demo.create_products(odoo.call, service.url)
    backend = demo.connect_backend(odoo.call, odoo.url, service.url)
    return ConnectedShop(shop=shop, odoo=odoo, backend=backend)
