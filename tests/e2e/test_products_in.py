"""The catalogue of a shop comes to Odoo, and an order brings a product that is new."""

import pytest

from .conftest import wait_until


@pytest.fixture(autouse=True, scope="module")
def importing(connected):
    call = connected.odoo.call
    call("integration.backend", "write", [connected.backend], {"shopify_product_owner": "shopify"})
    flows = call(
        "integration.flow",
        "search",
        [
            ("backend_id", "=", connected.backend),
            ("resource", "=", "product"),
            ("direction", "=", "in"),
        ],
    )
    call("integration.flow", "write", flows, {"enabled": True})
    yield


def product_of(connected, sku):
    rows = connected.odoo.sql(
        "SELECT p.id, b.external_id FROM product_product p JOIN integration_binding b"
        "  ON b.res_id = p.id AND b.res_model = 'product.product' AND b.resource = 'variant'"
        " WHERE p.default_code = %s AND p.active",
        [sku],
    )
    assert len(rows) < 2, rows
    return rows


def test_a_new_order_brings_its_product(connected):
    connected.shop.add_product(sku="NEW-1", title="Teapot", price="25.00", stock=5)
    order = connected.shop.place_order(lines=[{"sku": "NEW-1"}])
    wait_until(lambda: order["id"] in connected.orders())
    assert product_of(connected, "NEW-1")
    connected.settle()


def test_a_product_with_options_comes_by_its_notification(connected):
    connected.shop.add_product(
        title="Shirt",
        options=["Size", "Color"],
        variants=[
            {"sku": f"SH-{size}-{color}", "price": "30.00", "options": [size, color]}
            for size, color in (("S", "Red"), ("M", "Red"), ("M", "Blue"))
        ],
    )
    connected.odoo.sql(
        "UPDATE integration_flow SET next_run_at = now() AT TIME ZONE 'UTC'"
        " WHERE backend_id = %s AND resource = 'product' AND direction = 'in' RETURNING id",
        [connected.backend],
    )
    wait_until(lambda: product_of(connected, "SH-M-Blue"))
    assert product_of(connected, "SH-S-Red") and not product_of(connected, "SH-S-Blue")
    rows = connected.odoo.sql(
        "SELECT count(*) FROM product_product p JOIN product_template t ON t.id = p.product_tmpl_id"
        " WHERE t.name->>'en_US' = 'Shirt'"
    )
    assert rows[0][0] == 3
    connected.settle()
    assert not connected.operations("dead")
