"""Kits, with Odoo's manufacturing: the parts are counted and shipped, the shop sells the kit."""

import pytest

from .conftest import connect, wait_until
from .test_fulfilment import deliver, made, pickings, sale_of, shipments

pytestmark = pytest.mark.long

KIT, SHIRT, CAP = "SET-1", "SET-SHIRT", "SET-CAP"


@pytest.fixture(scope="module")
def kits(odoo_server, shop_simulator):
    """A shop that sells a set of one shirt and two caps, and caps by themselves."""
    connected = connect(odoo_server, shop_simulator, modules=["sale_mrp"])
    call, shop = connected.call, connected.shop
    skus = [KIT, SHIRT, CAP]
    shop.post("seed", {"products": [{"title": sku, "sku": sku, "stock": 0} for sku in skus]})
    products = call(
        "product.product",
        "create",
        [
            {"name": sku, "default_code": sku, "is_storable": sku != KIT, "taxes_id": False}
            for sku in skus
        ],
    )
    connected.products = dict(zip(skus, products, strict=True))
    (kit,) = call("product.product", "read", [connected.products[KIT]], ["product_tmpl_id"])
    call(
        "mrp.bom",
        "create",
        [
            {
                "product_tmpl_id": kit["product_tmpl_id"][0],
                "type": "phantom",
                "bom_line_ids": [
                    (0, 0, {"product_id": connected.products[sku], "product_qty": quantity})
                    for sku, quantity in ((SHIRT, 1), (CAP, 2))
                ],
            }
        ],
    )
    (warehouse,) = call("stock.warehouse", "search_read", [], ["lot_stock_id"], limit=1)
    connected.place = warehouse["lot_stock_id"][0]
    connected.link(connected.products)
    connected.send_stock(KIT, connected.place)
    return connected


def count(kits, **quantities):
    found = {kits.products[sku]: quantities[sku.partition("-")[2]] for sku in (SHIRT, CAP)}
    kits.count(found, kits.place)


def stock(kits):
    return {sku: kits.available(sku) for sku in (KIT, SHIRT, CAP)}


def test_what_can_be_made_is_for_sale(kits):
    count(kits, SHIRT=10, CAP=8)
    # eight caps are enough for four sets
    wait_until(lambda: stock(kits) == {KIT: 4, SHIRT: 10, CAP: 8}, 60)
    count(kits, SHIRT=3, CAP=8)
    wait_until(lambda: stock(kits) == {KIT: 3, SHIRT: 3, CAP: 8}, 60)
    kits.settle()
    assert kits.operations("dead") == []


def test_a_sold_kit_takes_its_parts_and_is_shipped_whole(kits):
    count(kits, SHIRT=10, CAP=8)
    wait_until(lambda: stock(kits)[KIT] == 4, 60)
    shipped = made(kits)
    order = kits.shop.place_order(lines=[{"sku": KIT, "quantity": 2}])
    kits.settle()
    # two sets are promised: the parts are reserved, and the rest makes two more
    wait_until(lambda: stock(kits) == {KIT: 2, SHIRT: 8, CAP: 4}, 60)
    sale = sale_of(kits, order)
    (picking,) = pickings(kits, sale)
    deliver(kits, picking)
    wait_until(lambda: made(kits) == shipped + 1, 60)
    kits.settle()
    (shipment,) = shipments(kits, sale)
    assert shipment[2] == 2, "units of the kit, not of its parts"
    assert kits.shop.order(order["name"])["fulfillmentStatus"] == "FULFILLED"
    assert stock(kits) == {KIT: 2, SHIRT: 8, CAP: 4}
    assert kits.operations("dead") == []


def test_a_part_without_the_rest_is_no_kit_shipped(kits):
    """Of one set the shirt goes first: the shop hears of it when the caps are on their way."""
    shipped = made(kits)
    order = kits.shop.place_order(lines=[{"sku": KIT, "quantity": 1}])
    kits.settle()
    sale = sale_of(kits, order)
    (picking,) = pickings(kits, sale)
    moves = kits.call("stock.move", "search_read", [("picking_id", "=", picking)], ["product_id"])
    for move in moves:
        units = 1 if move["product_id"][0] == kits.products[SHIRT] else 0
        kits.call("stock.move", "write", [move["id"]], {"quantity": units, "picked": bool(units)})
    kits.call("stock.picking", "button_validate", [picking], context={"skip_backorder": True})
    kits.settle()
    assert made(kits) == shipped
    (rest,) = pickings(kits, sale, "assigned", "confirmed")
    deliver(kits, rest)
    wait_until(lambda: made(kits) == shipped + 1, 60)
    kits.settle()
    assert kits.shop.order(order["name"])["fulfillmentStatus"] == "FULFILLED"
    assert kits.operations("dead") == []
