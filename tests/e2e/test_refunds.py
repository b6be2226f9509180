"""Refunds and cancellations that start in Odoo: carried out once, whatever happens on the way."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from runtime.rpc import RpcError

from .conftest import wait_until

REQUEST = "integration.shopify.refund.request"


def money(value):
    return Decimal(str(value)).quantize(Decimal("0.01"))


@pytest.fixture
def sold(connected):
    """Place a paid order of three mugs and wait until it is in Odoo; returns (order, sale id)."""

    def place(**spec):
        order = connected.shop.place_order(
            lines=[{"sku": "MUG-350", "quantity": 3}], payment="paid", **spec
        )
        connected.settle()
        rows = connected.odoo.sql(
            "SELECT res_id FROM integration_binding WHERE external_id = %s", [order["id"]]
        )
        assert len(rows) == 1, connected.operations("dead", "skipped")
        return order, rows[0][0]

    yield place
    connected.shop.clear_faults()


def choose(connected, sale, quantity, **values):
    """Open the dialog of a sales order, choose units and let Shopify compute."""
    call = connected.odoo.call
    wizard = call("sale.order", "action_shopify_refund", [sale])["res_id"]
    lines = call(REQUEST, "read", [wizard], ["line_ids"])[0]["line_ids"]
    call(f"{REQUEST}.line", "write", lines[:1], {"quantity": quantity})
    call(REQUEST, "action_compute", [wizard])
    if values:
        call(REQUEST, "write", [wizard], values)
    return wizard


def press_together(connected, model, method, record, times=2):
    """Press a button in several browsers at once; returns what each of them showed."""

    def press(session):
        try:
            return session.call(model, method, [record])["params"]["type"]
        except RpcError as error:
            return str(error)

    sessions = [connected.odoo.session() for _number in range(times)]
    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(press, sessions))


def rows(connected, sale):
    return connected.odoo.sql(
        "SELECT external_id, state, amount_total FROM integration_shopify_refund"
        " WHERE order_id = %s ORDER BY id",
        [sale],
    )


def assert_refunded_once(connected, order, sale, amount):
    """The shop gave that much back by one refund, which is in Odoo as the one asked for."""
    connected.settle()
    assert connected.operations("dead") == []
    truth = connected.shop.order(order["name"])
    assert money(truth["refunded"]["presentment"]) == money(amount)
    found = rows(connected, sale)
    assert len(found) == 1, found
    assert found[0][0] and found[0][1] == "done", found
    assert money(found[0][2]) == money(amount)
    intents = connected.odoo.sql(
        "SELECT outcome FROM integration_intent WHERE action = 'refund' AND res_id IN"
        " (SELECT id FROM integration_shopify_refund WHERE order_id = %s)",
        [sale],
    )
    assert intents == [("sent",)]


def proposed(connected, wizard):
    return connected.odoo.call(REQUEST, "read", [wizard], ["amount"])[0]["amount"]


def test_double_click_by_two_workers(connected, sold):
    order, sale = sold()
    wizard = choose(connected, sale, 1)
    amount = proposed(connected, wizard)
    # long enough for the second to come while the first is being carried out
    connected.shop.fault(operation="RefundCreate", hang=2, after=True)
    shown = press_together(connected, REQUEST, "action_refund", wizard)
    # a warning: the order is being read at this moment, because the shop has told of it
    assert {"success", "warning"} & set(shown), shown
    assert_refunded_once(connected, order, sale, amount)
    # and once more, long after
    answer = connected.odoo.call(REQUEST, "action_refund", [wizard])
    assert answer["params"]["type"] in ("success", "warning"), answer
    assert_refunded_once(connected, order, sale, amount)


@pytest.mark.parametrize(
    "fault",
    [
        {"reset": "after"},
        {"status": 502, "after": True},
        {"truncate": True},
    ],
    ids=lambda fault: next(iter(fault)),
)
def test_lost_answer(connected, sold, fault):
    order, sale = sold()
    wizard = choose(connected, sale, 2)
    amount = proposed(connected, wizard)
    connected.shop.fault(operation="RefundCreate", **fault)
    answer = connected.odoo.call(REQUEST, "action_refund", [wizard])
    assert answer["params"]["type"] in ("success", "warning"), answer
    assert_refunded_once(connected, order, sale, amount)


def test_answer_lost_for_so_long_that_a_person_tries_again(connected, sold):
    order, sale = sold()
    wizard = choose(connected, sale, 1)
    amount = proposed(connected, wizard)
    connected.shop.webhook_faults(hold=True)
    connected.shop.fault(operation="RefundCreate", reset="after")
    connected.shop.fault(operation="OrderRefundNotes", status=503, count=2)
    with pytest.raises(RpcError, match="Try Again"):
        connected.odoo.call(REQUEST, "action_refund", [wizard])
    ((_gid, state, _amount),) = rows(connected, sale)
    assert state == "requested"
    # nobody refunds on top of what nobody knows
    connected.shop.clear_faults()
    other = choose(connected, sale, 1)
    with pytest.raises(RpcError, match="Another refund of this order"):
        connected.odoo.call(REQUEST, "action_refund", [other])
    ((row,),) = connected.odoo.sql(
        "SELECT id FROM integration_shopify_refund WHERE order_id = %s", [sale]
    )
    press_together(connected, "integration.shopify.refund", "action_try_again", row)
    connected.shop.webhook_faults(hold=False)
    assert_refunded_once(connected, order, sale, amount)


def test_notification_that_is_faster_than_the_answer(connected, sold):
    """The import reads the refund before whoever asked for it knows that it was made."""
    order, sale = sold()
    wizard = choose(connected, sale, 1)
    amount = proposed(connected, wizard)
    connected.shop.fault(operation="RefundCreate", hang=6, after=True)
    with ThreadPoolExecutor(1) as pool:
        pressed = pool.submit(connected.odoo.session().call, REQUEST, "action_refund", [wizard])
        wait_until(lambda: any(row[1] == "done" for row in rows(connected, sale)), 60)
        assert not pressed.done(), "the answer is meant to come later"
        assert pressed.result()["params"]["type"] in ("success", "warning")
    assert_refunded_once(connected, order, sale, amount)


def test_over_refund_and_goodwill(connected, sold):
    order, sale = sold()
    total = money(order["total"]["presentment"])
    wizard = choose(connected, sale, 0, amount=float(total) + 0.01)
    with pytest.raises(RpcError, match="more than is left"):
        connected.odoo.call(REQUEST, "action_refund", [wizard])
    assert rows(connected, sale) == []
    connected.odoo.call(REQUEST, "write", [wizard], {"amount": 1.0})
    connected.odoo.call(REQUEST, "action_refund", [wizard])
    assert_refunded_once(connected, order, sale, 1)


def test_everything_at_once(connected, sold):
    order, sale = sold(shipping=[{"title": "Standard", "code": "STD", "price": "4.90"}])
    wizard = connected.odoo.call("sale.order", "action_shopify_refund", [sale])["res_id"]
    connected.odoo.call(REQUEST, "action_all", [wizard])
    connected.odoo.call(REQUEST, "action_refund", [wizard])
    assert_refunded_once(connected, order, sale, order["total"]["presentment"])


def cancel(connected, sale, **values):
    return connected.odoo.call(
        "integration.shopify.cancel", "create", [{"order_id": sale, **values}]
    )[0]


def assert_cancelled_once(connected, order, sale):
    assert connected.operations("dead") == []
    wait_until(
        lambda: (
            connected.odoo.sql("SELECT state FROM sale_order WHERE id = %s", [sale])
            == [("cancel",)]
        ),
        60,
    )
    connected.settle()
    truth = connected.shop.order(order["name"])
    assert truth["cancelled"]
    assert money(truth["refunded"]["presentment"]) == money(order["total"]["presentment"])
    assert connected.operations("dead") == []


def test_cancelled_by_two_workers(connected, sold):
    order, sale = sold()
    before = connected.calls("OrderCancel")
    connected.shop.fault(operation="^OrderCancel$", hang=2, after=True)
    shown = press_together(
        connected, "integration.shopify.cancel", "action_cancel_order", cancel(connected, sale)
    )
    assert "success" in shown or "warning" in shown, shown
    assert_cancelled_once(connected, order, sale)
    assert connected.calls("OrderCancel") == before + 1


def test_lost_answer_of_a_cancellation(connected, sold):
    order, sale = sold()
    before = connected.calls("OrderCancel")
    connected.shop.fault(operation="^OrderCancel$", reset="after")
    connected.odoo.call(
        "integration.shopify.cancel", "action_cancel_order", [cancel(connected, sale)]
    )
    assert_cancelled_once(connected, order, sale)
    assert connected.calls("OrderCancel") == before + 1
    assert connected.odoo.sql(
        "SELECT outcome FROM integration_intent WHERE action = 'cancel' AND res_id = %s", [sale]
    ) == [("sent",)]
