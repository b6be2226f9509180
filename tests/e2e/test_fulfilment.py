"""Deliveries reach the shop once whatever happens, and shipments of others come back."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from .conftest import wait_until

MUG = {"sku": "MUG-350"}


@pytest.fixture(autouse=True)
def healthy(connected):
    yield
    connected.shop.clear_faults()


def place(connected, quantity=2):
    """Place an order; returns (its ground truth, the sales order)."""
    order = connected.shop.place_order(lines=[{**MUG, "quantity": quantity}])
    connected.settle()
    return order, sale_of(connected, order)


def sale_of(connected, order):
    rows = connected.odoo.sql(
        "SELECT res_id FROM integration_binding WHERE resource = 'order' AND external_id = %s",
        [order["id"]],
    )
    return rows[0][0]


def pickings(connected, sale, *states):
    return [
        row[0]
        for row in connected.odoo.sql(
            "SELECT id FROM stock_picking WHERE sale_id = %s AND (%s OR state = ANY(%s))"
            " ORDER BY id",
            [sale, not states, list(states)],
        )
    ]


def deliver(connected, picking, quantity=None, tracking=None):
    """Validate a delivery as a clerk does, all of it or a part with a backorder."""
    call = connected.odoo.call
    if tracking:
        call("stock.picking", "write", [picking], {"carrier_tracking_ref": tracking})
    moves = call("stock.move", "search_read", [("picking_id", "=", picking)], ["product_uom_qty"])
    for move in moves:
        values = {"quantity": quantity or move["product_uom_qty"], "picked": True}
        call("stock.move", "write", [move["id"]], values)
    connected.odoo.call(
        "stock.picking", "button_validate", [picking], context={"skip_backorder": True}
    )


def delivered(connected, sale):
    rows = connected.odoo.sql(
        "SELECT sum(qty_delivered) FROM sale_order_line"
        " WHERE order_id = %s AND NOT COALESCE(is_delivery, FALSE)",
        [sale],
    )
    return float(rows[0][0])


def shipments(connected, sale):
    """What the shop has shipped of an order, as it was last read: (status, numbers, units)."""
    rows = connected.odoo.sql(
        "SELECT status, tracking_numbers, units FROM integration_shopify_fulfillment"
        " WHERE order_id = %s ORDER BY name",
        [sale],
    )
    return [(status, numbers, sum(units.values())) for status, numbers, units in rows]


def made(connected):
    """How many fulfillments the shop really made, whoever asked."""
    return connected.shop.calls()["effects"].get("fulfillments", 0)


def last(connected):
    """The newest operation that tells of a shipment: (state, message)."""
    return connected.odoo.sql(
        "SELECT state, message FROM integration_sync_log WHERE resource = 'shipment'"
        " AND state <> 'merged' ORDER BY id DESC LIMIT 1"
    )[0]


def test_deliveries_in_parts(connected):
    _order, sale = place(connected, 3)
    before, calls = made(connected), connected.calls("OrderFulfillments")
    deliver(connected, pickings(connected, sale)[0], quantity=1, tracking="1Z1,1Z2")
    wait_until(lambda: made(connected) == before + 1, 30)
    connected.settle()
    deliver(connected, pickings(connected, sale, "assigned", "confirmed")[0])
    wait_until(lambda: made(connected) == before + 2, 30)
    connected.settle()
    assert connected.calls("OrderFulfillments") >= calls + 2
    wait_until(lambda: len(shipments(connected, sale)) == 2, 30)
    assert shipments(connected, sale) == [("SUCCESS", "1Z1, 1Z2", 1), ("SUCCESS", None, 2)]
    assert delivered(connected, sale) == 3
    assert connected.operations("dead") == []
    rows = connected.odoo.sql(
        "SELECT count(*) FROM integration_shopify_fulfillment f"
        "  JOIN integration_shopify_fulfillment_picking_rel r ON r.fulfillment_id = f.id"
        " WHERE f.order_id = %s",
        [sale],
    )
    assert rows == [(2,)]


def test_lost_answer(connected):
    _order, sale = place(connected)
    before = made(connected)
    connected.shop.fault(operation="FulfillmentCreate", status=500, after=True)
    deliver(connected, pickings(connected, sale)[0])
    wait_until(lambda: last(connected)[0] == "done", 90)
    connected.settle()
    assert made(connected) == before + 1
    assert delivered(connected, sale) == 2
    wait_until(lambda: len(shipments(connected, sale)) == 1, 30)
    assert len(pickings(connected, sale)) == 1
    assert connected.odoo.sql(
        "SELECT outcome FROM integration_intent WHERE action = 'fulfil' AND res_id = %s",
        pickings(connected, sale),
    ) == [("sent",)]


def test_two_clicks_at_once(connected):
    _order, sale = place(connected)
    before = made(connected)
    (picking,) = pickings(connected, sale)
    flow = connected.odoo.call("integration.flow", "search", [("resource", "=", "shipment")])
    connected.odoo.call("integration.flow", "write", flow, {"enabled": False})
    deliver(connected, picking)
    connected.odoo.call("integration.flow", "write", flow, {"enabled": True})
    with ThreadPoolExecutor(4) as pool:
        clicks = [
            pool.submit(connected.odoo.call, "stock.picking", "action_shopify_ship", [picking])
            for _click in range(4)
        ]
        for click in clicks:
            click.result()
    connected.settle()
    assert made(connected) == before + 1
    assert last(connected)[0] == "done"


def test_shipped_by_others(connected):
    order, sale = place(connected, 3)
    connected.shop.act(
        order["name"],
        "fulfil",
        lines=[{"line": 0, "quantity": 1}],
        tracking=[{"company": "UPS", "number": "1ZOTHER"}],
    )
    connected.settle()
    assert delivered(connected, sale) == 1
    (done,) = pickings(connected, sale, "done")
    assert connected.odoo.sql(
        "SELECT carrier_tracking_ref FROM stock_picking WHERE id = %s", [done]
    ) == [("1ZOTHER",)]
    connected.shop.act(order["name"], "fulfil")
    connected.settle()
    assert delivered(connected, sale) == 3
    before = made(connected)
    connected.shop.resend_webhooks(times=2)
    connected.settle()
    assert delivered(connected, sale) == 3
    assert made(connected) == before
    assert connected.operations("dead") == []


def test_cancelled_from_the_delivery_and_shipped_again(connected):
    _order, sale = place(connected, 3)
    (picking,) = pickings(connected, sale)
    deliver(connected, picking, quantity=2)
    wait_until(lambda: shipments(connected, sale), 60)
    connected.settle()
    answer = connected.odoo.call("stock.picking", "action_shopify_cancel", [picking])
    assert answer["params"]["type"] == "success", answer
    connected.settle()
    assert shipments(connected, sale) == [("CANCELLED", None, 2)]
    assert delivered(connected, sale) == 0
    before = made(connected)
    for again in pickings(connected, sale, "assigned", "confirmed"):
        deliver(connected, again)
    wait_until(lambda: sum(units for _s, _n, units in shipments(connected, sale)) == 5, 60)
    connected.settle()
    assert made(connected) > before
    assert delivered(connected, sale) == 3
    assert connected.operations("dead") == []


def test_held_without_our_knowledge(connected):
    """The goods are gone before Odoo hears of the hold."""
    order, sale = place(connected)
    connected.shop.webhook_faults(hold=True)
    connected.shop.act(order["name"], "hold", reason="OTHER", notes="ask first")
    before = made(connected)
    deliver(connected, pickings(connected, sale)[0])
    wait_until(lambda: "holds" in (last(connected)[1] or ""), 60)
    assert made(connected) == before
    connected.shop.act(order["name"], "release")
    connected.shop.webhook_faults(hold=False)
    operation = connected.odoo.sql(
        "SELECT id FROM integration_sync_log WHERE resource = 'shipment' AND state = 'pending'"
    )[0][0]
    connected.odoo.call("integration.sync.log", "action_retry", [operation])
    connected.settle()
    assert made(connected) == before + 1
    assert delivered(connected, sale) == 2
