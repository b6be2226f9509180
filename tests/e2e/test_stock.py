"""Stock reaches the shop within seconds and once, whatever happens, and nothing is sold twice."""

import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import pytest

from tests.simulators.shopify.client import SimulatorError

from .conftest import wait_until
from .test_recovery import kill_http_workers

MANY = 300
#: Rows of one call.
ROWS = 250


@pytest.fixture(autouse=True)
def healthy(stocked):
    yield
    stocked.shop.clear_faults()


@pytest.fixture(scope="module")
def stocked(connected):
    """A shop that gets the stock of its products from Odoo."""
    call, shop = connected.odoo.call, connected.shop
    skus = [f"STOCK-{number}" for number in range(MANY)]
    shop.post("seed", {"products": [{"title": sku, "sku": sku, "stock": 0} for sku in skus]})
    products = call(
        "product.product",
        "create",
        [{"name": sku, "default_code": sku, "is_storable": True} for sku in skus],
    )
    connected.skus = dict(zip(skus, products, strict=True))
    connected.link(connected.skus)
    (warehouse,) = call("stock.warehouse", "search_read", [], ["lot_stock_id"], limit=1)
    connected.place = warehouse["lot_stock_id"][0]
    connected.send_stock(skus[0], connected.place)
    assert connected.operations("dead") == []
    return connected


def count(connected, quantities):
    """Count units in Odoo, all in one transaction, by SKU."""
    found = {connected.skus[sku]: quantity for sku, quantity in quantities.items()}
    connected.count(found, connected.place)


def changes(connected):
    """How many calls really changed stock, whoever made them."""
    return connected.shop.calls()["effects"].get("stockChanges", 0)


def test_many_changes_in_few_calls(stocked):
    before = stocked.calls("InventorySet")
    count(stocked, dict.fromkeys(stocked.skus, 7))
    stocked.settle()
    assert {
        variant["levels"][0]["available"]
        for product in stocked.shop.products()
        for variant in product["variants"]
        if variant["sku"] in stocked.skus
    } == {7}
    # no more than full calls, and a few for what was committed in between
    assert stocked.calls("InventorySet") - before <= -(-MANY // ROWS) + 3
    assert stocked.operations("dead") == []


def test_a_change_is_there_in_seconds_while_orders_are_read(stocked):
    stocked.shop.webhook_faults(drop=1.0)
    # of other goods: what is sold is held back
    for _number in range(80):
        stocked.shop.place_order(lines=[{"sku": "MUG-350", "quantity": 1}])
    call = stocked.odoo.call
    (flow,) = call("integration.flow", "search", [("resource", "=", "order")])
    wizard = call("integration.backfill", "create", [{"flow_id": flow}])
    call("integration.backfill", "action_start", wizard)
    took = []
    for number in range(15):
        quantity = 20 + number
        started = time.monotonic()
        count(stocked, {"STOCK-1": quantity})
        wait_until(lambda wanted=quantity: stocked.available("STOCK-1") == wanted, 30, 0.02)
        took.append(time.monotonic() - started)
    stocked.shop.webhook_faults(drop=0.0)
    print(f"median {median(took):.2f} s, worst {max(took):.2f} s")
    assert median(took) < 3
    stocked.settle()


def test_lost_answer(stocked):
    before = changes(stocked)
    stocked.shop.fault(operation="InventorySet", status=500, after=True)
    count(stocked, {"STOCK-2": 11})
    wait_until(lambda: changes(stocked) > before, 30)
    stocked.settle()
    assert (changes(stocked) - before, stocked.available("STOCK-2")) == (1, 11)
    assert stocked.operations("dead") == []


def test_killed_between_sending_and_committing(stocked):
    before = changes(stocked)
    stocked.shop.fault(operation="InventorySet", hang=6, after=True, status=500)
    count(stocked, {"STOCK-3": 12, "STOCK-4": 13})
    wait_until(lambda: stocked.operations("running"), 30, 0.02)
    time.sleep(1)
    kill_http_workers(stocked.odoo)
    wait_until(lambda: stocked.available("STOCK-3") == 12, 60)
    # somebody buys before the process that died is missed
    stocked.shop.checkout("STOCK-3")
    stocked.settle()
    assert changes(stocked) - before <= 2
    assert (stocked.available("STOCK-3"), stocked.available("STOCK-4")) == (11, 13)
    assert stocked.operations("dead") == []


def test_sale_rush(stocked):
    """Ten buyers want the last units, while Odoo counts other goods and receives two more."""
    sku = "STOCK-5"
    count(stocked, {sku: 10})
    wait_until(lambda: stocked.available(sku) == 10, 30)

    def buy(_buyer):
        bought = 0
        for _try in range(12):
            try:
                stocked.shop.checkout(sku)
                bought += 1
            except SimulatorError:
                time.sleep(0.3)
        return bought

    with ThreadPoolExecutor(4) as pool:
        buyers = [pool.submit(buy, buyer) for buyer in range(4)]
        time.sleep(0.5)
        received = stocked.odoo.call(
            "stock.quant",
            "search_read",
            [("product_id", "=", stocked.skus[sku]), ("location_id", "=", stocked.place)],
            ["quantity"],
        )
        count(stocked, {sku: received[0]["quantity"] + 2})
        sold = sum(buyer.result() for buyer in buyers)
    stocked.settle()
    assert sold <= 12
    assert stocked.available(sku) >= 0
    for _left in range(12 - sold):
        wait_until(lambda: stocked.available(sku) > 0, 30)
        stocked.shop.checkout(sku)
    stocked.settle()
    with pytest.raises(SimulatorError, match="sold out"):
        stocked.shop.checkout(sku)
    assert stocked.available(sku) == 0
    assert stocked.operations("dead") == []
