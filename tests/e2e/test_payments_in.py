"""Money of orders: booked as it moves, and taken from Odoo by buttons, once whatever happens."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from runtime.rpc import RpcError

from .conftest import wait_until

CAPTURE = "integration.shopify.capture"
LINES = [{"title": "Poster", "price": "25.00", "taxable": False}]


def place(shop, **spec):
    return shop.place_order(
        **{"lines": LINES, "taxes": [], "presentmentCurrency": "EUR", "currency": "EUR", **spec}
    )


@pytest.fixture(scope="module")
def paying(connected):
    """The shop with a rule that books everything at once, into one bank journal."""
    call = connected.odoo.call
    call("account.chart.template", "try_loading", "generic_coa", 1, False)
    journal = call("account.journal", "create", [{"name": "Shop", "code": "SHP", "type": "bank"}])
    call(
        "integration.shopify.rule",
        "create",
        [
            {
                "backend_id": connected.backend,
                "invoice": "at_once",
                "register_payment": "register",
                "journal_id": journal[0],
            }
        ],
    )
    return connected


@pytest.fixture(autouse=True)
def quiet(paying):
    yield
    paying.shop.clear_faults()
    paying.settle()


def sale_of(paying, order):
    rows = paying.odoo.sql(
        "SELECT res_id FROM integration_binding"
        " WHERE backend_id = %s AND resource = 'order' AND external_id = %s",
        [paying.backend, order["id"]],
    )
    return rows[0][0] if rows else None


def imported(paying, order):
    paying.settle()
    return wait_until(lambda: sale_of(paying, order), 30)


def payments(paying, sale):
    return [
        (kind, Decimal(str(amount)))
        for kind, amount in paying.odoo.sql(
            "SELECT p.payment_type, p.amount FROM account_payment p"
            "  JOIN integration_shopify_transaction t ON t.payment_id = p.id"
            " WHERE t.order_id = %s AND p.state IN ('in_process', 'paid') ORDER BY t.id",
            [sale],
        )
    ]


def open_amounts(paying, sale):
    """What is left on each invoice and credit note of the order."""
    moves = paying.odoo.call("sale.order", "read", [sale], ["invoice_ids"])[0]["invoice_ids"]
    rows = paying.odoo.call("account.move", "read", moves, ["move_type", "amount_residual"])
    return sorted((row["move_type"], row["amount_residual"]) for row in rows)


def effects(paying, kind):
    return paying.shop.calls()["effects"].get(kind, 0)


def dialog(paying, sale, amount=None, session=None):
    call = (session or paying.odoo).call
    values = {"order_id": sale, **({"amount": amount} if amount else {})}
    return call(CAPTURE, "create", [values])[0]


def press(paying, model, method, record, session=None):
    """Press a button and let everything settle; returns "done", or the reason it was refused."""
    try:
        answer = (session or paying.odoo).call(model, method, [record])
    except RpcError as error:
        return str(error)
    # "warning": a notification was faster, and the order is being read because of that one
    assert answer["params"]["type"] in ("success", "warning"), answer
    paying.settle()
    return "done"


def press_until_known(paying, model, method, record):
    """Press as a person does who is told to press again."""

    def told():
        answer = press(paying, model, method, record)
        return None if "again in a minute" in answer else answer

    return wait_until(told, 120, step=5)


def test_money_is_booked_and_matched(paying):
    shop = paying.shop
    paid = place(shop, payment="paid")
    parts = place(shop, payment=[{"kind": "SALE", "amount": "10.00"}])
    mixed = place(
        shop,
        payment=[
            {"kind": "SALE", "amount": "5.00", "gateway": "gift_card"},
            {"kind": "SALE", "amount": "20.00"},
        ],
    )
    failed = place(shop, payment="failed")
    sales = [imported(paying, order) for order in (paid, parts, mixed, failed)]
    assert [payments(paying, sale) for sale in sales] == [
        [("inbound", 25)],
        [("inbound", 10)],
        [("inbound", 5), ("inbound", 20)],
        [],
    ]
    assert [open_amounts(paying, sale) for sale in sales] == [
        [("out_invoice", 0.0)],
        [("out_invoice", 15.0)],
        [("out_invoice", 0.0)],
        [("out_invoice", 25.0)],
    ]
    shop.act(parts["name"], "pay")
    shop.act(paid["name"], "refund", amount="1.00")
    paying.settle()
    assert payments(paying, sales[1]) == [("inbound", 10), ("inbound", 15)]
    assert payments(paying, sales[0]) == [("inbound", 25), ("outbound", 1)]
    assert open_amounts(paying, sales[1]) == [("out_invoice", 0.0)]
    assert open_amounts(paying, sales[0]) == [("out_invoice", 0.0), ("out_refund", 0.0)]


def test_capture(paying):
    order = place(paying.shop, payment="authorized")
    sale = imported(paying, order)
    (state,) = paying.odoo.call("sale.order", "read", [sale], ["shopify_capturable"])
    assert state["shopify_capturable"]
    assert payments(paying, sale) == []
    before = effects(paying, "captures")
    answer = press(paying, CAPTURE, "action_capture", dialog(paying, sale, 30.0))
    assert "25.00" in answer, answer
    wizard = dialog(paying, sale, 20.0)
    assert press(paying, CAPTURE, "action_capture", wizard) == "done"
    assert payments(paying, sale) == [("inbound", 20)]
    # the same dialog again is the same capture
    assert press(paying, CAPTURE, "action_capture", wizard) == "done"
    assert effects(paying, "captures") == before + 1
    (state,) = paying.odoo.call("sale.order", "read", [sale], ["shopify_capturable"])
    assert not state["shopify_capturable"]


def test_capture_whose_answer_is_lost(paying):
    order = place(paying.shop, payment="authorized")
    sale = imported(paying, order)
    before = effects(paying, "captures")
    paying.shop.fault(operation="^orderCapture$", status=500, after=True)
    assert press(paying, CAPTURE, "action_capture", dialog(paying, sale)) == "done"
    assert effects(paying, "captures") == before + 1
    assert payments(paying, sale) == [("inbound", 25)]
    assert open_amounts(paying, sale) == [("out_invoice", 0.0)]


def test_capture_that_never_arrived(paying):
    order = place(paying.shop, payment="authorized")
    sale = imported(paying, order)
    before = effects(paying, "captures")
    paying.shop.fault(operation="^orderCapture$", status=500)
    wizard = dialog(paying, sale)
    assert "may still arrive" in press(paying, CAPTURE, "action_capture", wizard)
    assert press_until_known(paying, CAPTURE, "action_capture", wizard) == "done"
    assert effects(paying, "captures") == before + 1
    assert payments(paying, sale) == [("inbound", 25)]


@pytest.mark.parametrize("action", ["action_capture", "action_void"])
def test_two_people_at_once(paying, action):
    order = place(paying.shop, payment="authorized")
    sale = imported(paying, order)
    before = effects(paying, "captures") + effects(paying, "voids")
    sessions = [paying.odoo.session() for _person in range(2)]
    wizards = [dialog(paying, sale, session=session) for session in sessions]
    with ThreadPoolExecutor(4) as pool:
        answers = [
            pool.submit(press, paying, CAPTURE, action, wizard, session)
            for session, wizard in zip(sessions * 2, wizards * 2, strict=True)
        ]
        told = [answer.result() for answer in answers]
    assert "done" in told, told
    assert effects(paying, "captures") + effects(paying, "voids") == before + 1
    assert payments(paying, sale) == ([("inbound", 25)] if action == "action_capture" else [])


def test_release(paying):
    order = place(paying.shop, payment="authorized")
    sale = imported(paying, order)
    before = effects(paying, "voids")
    paying.shop.fault(operation="^transactionVoid$", reset="after")
    assert press(paying, CAPTURE, "action_void", dialog(paying, sale)) == "done"
    assert effects(paying, "voids") == before + 1
    (state,) = paying.odoo.call(
        "sale.order", "read", [sale], ["shopify_capturable", "shopify_financial_status"]
    )
    assert (state["shopify_capturable"], state["shopify_financial_status"]) == (False, "Voided")


def test_mark_as_paid(paying):
    order = place(paying.shop, payment="pending")
    sale = imported(paying, order)
    before = effects(paying, "payments")
    paying.shop.fault(operation="^orderMarkAsPaid$", status=502, after=True)
    method = "action_shopify_mark_as_paid"
    assert press(paying, "sale.order", method, sale) == "done"
    assert payments(paying, sale) == [("inbound", 25)]
    assert "Nothing is due" in press(paying, "sale.order", method, sale)
    assert effects(paying, "payments") == before + 1


def test_mark_as_paid_by_two_people_at_once(paying):
    order = place(paying.shop, payment="pending")
    sale = imported(paying, order)
    before = effects(paying, "payments")
    sessions = [paying.odoo.session() for _person in range(3)]
    with ThreadPoolExecutor(3) as pool:
        answers = [
            pool.submit(press, paying, "sale.order", "action_shopify_mark_as_paid", sale, session)
            for session in sessions
        ]
        told = [answer.result() for answer in answers]
    assert "done" in told, told
    assert effects(paying, "payments") == before + 1
    assert payments(paying, sale) == [("inbound", 25)]


def test_changed_in_shopify_meanwhile(paying):
    order = place(paying.shop, payment="authorized")
    sale = imported(paying, order)
    wizard = dialog(paying, sale)
    paying.shop.webhook_faults(hold=True)
    paying.shop.act(order["name"], "void")
    answer = press(paying, CAPTURE, "action_capture", wizard)
    paying.shop.webhook_faults(hold=False)
    assert "changed in Shopify meanwhile" in answer
    assert payments(paying, sale) == []
