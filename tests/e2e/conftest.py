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
    """`shop` (simulator), `odoo` (server) and `backend` (id) with what the tests ask of them.

    `call` calls a method in Odoo, as the administrator or as somebody else.
    """

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

    def link(self, products):
        """Link products, {SKU: id}, with the variants of the shop that have their SKUs."""
        variants = {
            variant["sku"]: variant
            for product in self.shop.products()
            for variant in product["variants"]
        }
        for resource, name in (("variant", "id"), ("inventory_item", "inventoryItem")):
            self.call(
                "integration.binding",
                "create",
                [
                    {
                        "backend_id": self.backend,
                        "resource": resource,
                        "external_id": variants[sku][name],
                        "res_model": "product.product",
                        "res_id": product,
                    }
                    for sku, product in products.items()
                ],
            )

    def send_stock(self, sku, place):
        """Have Odoo decide on the stock of the location where the shop has that SKU.

        :param place: id of the location of Odoo that it is.
        """
        location = self.shop.stock(sku)[0]["location"]
        domain = [("backend_id", "=", self.backend), ("kind", "=", "location")]
        domain += [("external_value", "=", location)]
        # read when the shop was connected
        mapping = wait_until(lambda: self.call("integration.mapping", "search", domain))
        values = {"resource_ref": f"stock.location,{place}", "shopify_stock_owner": "odoo"}
        self.call("integration.mapping", "write", mapping, values)
        domain = [("backend_id", "=", self.backend), ("resource", "=", "stock")]
        flow = self.call("integration.flow", "search", domain)
        self.call("integration.flow", "write", flow, {"enabled": True})
        self.settle()

    def count(self, quantities, place):
        """Count units of products, {id: units}, in a location, all in one transaction."""
        context = {"inventory_mode": True}
        rows = [
            {"product_id": product, "location_id": place, "inventory_quantity": quantity}
            for product, quantity in quantities.items()
        ]
        quants = self.call("stock.quant", "create", rows, context=context)
        self.call("stock.quant", "action_apply_inventory", quants, context=context)

    def available(self, sku):
        """How many units the shop sells of a SKU."""
        return self.shop.stock(sku)[0]["available"]

    def calls(self, operation):
        """How often the shop was asked by the document of that name."""
        return self.shop.calls()["byOperation"].get(operation, 0)


def connect(odoo_server, shop_simulator, **options):
    """Start a shop and an Odoo, and connect them.

    :param options: of `odoo_server`.
    """
    service = shop_simulator()
    shop = ShopSimulator(service.url)
    # a Plus shop: the hundreds of orders placed at once shall wait for us, not for its rate limit
    shop.configure(costBucket=20000, costRestore=1000)
    odoo = odoo_server(workers=2, **options)
    demo.prepare_company(odoo.call)
    demo.create_products(odoo.call, service.url)
    backend = demo.connect_backend(odoo.call, odoo.url, service.url)
    return ConnectedShop(shop=shop, odoo=odoo, backend=backend, call=odoo.call)


@pytest.fixture(scope="module")
def connected(odoo_server, shop_simulator):
    """A running shop whose backend is connected, without any order."""
    return connect(odoo_server, shop_simulator)
