"""Orders of a shop become sales orders, once and to the cent."""

import urllib.error
import urllib.request
from datetime import timedelta
from decimal import Decimal

import pytest

from .conftest import wait_until

COUNT = 200


def money(value):
    return Decimal(str(value))


def assert_equal_books(connected, expected):
    """Every expected order is there once, with the shop's amounts in the buyer's currency."""
    imported = connected.orders()
    wrong = {}
    for order in expected:
        amounts = (
            order[key]["presentment"] for key in ("currentUntaxed", "currentTax", "currentTotal")
        )
        truth = (*map(money, amounts), order["presentmentCurrency"], "sale")
        found = imported.get(order["id"])
        if found is None or (*map(money, found[:3]), *found[3:]) != truth:
            wrong[order["name"]] = (truth, found)
    assert not wrong, f"{len(wrong)} orders differ: {dict(list(wrong.items())[:3])}"
    assert len(imported) == len(expected)
    assert connected.odoo.sql("SELECT count(*) FROM sale_order") == [(len(expected),)]


def assert_one_partner_per_customer(connected):
    people = {o["email"].lower() for o in connected.shop.orders() if o["email"]}
    rows = connected.odoo.sql(
        "SELECT lower(p.email), count(DISTINCT p.id) FROM sale_order o"
        "  JOIN res_partner p ON p.id = o.partner_id WHERE p.email IS NOT NULL GROUP BY 1"
    )
    assert dict(rows) == dict.fromkeys(people, 1)


def row_versions(odoo):
    """Physical versions of all rows that an import writes: they change with every UPDATE."""
    tables = ("sale_order", "sale_order_line", "res_partner", "stock_picking", "stock_move")
    versions = "count(*), md5(string_agg(id || ':' || xmin, ',' ORDER BY id))"
    return {table: odoo.sql(f"SELECT {versions} FROM {table}") for table in tables}


@pytest.fixture(scope="module")
def filled(connected):
    """The shop after 200 orders, told by notifications and found by listings at the same time."""
    connected.placed = connected.shop.place_random_orders(COUNT, seed=7)
    connected.poll()
    connected.settle()
    return connected


def test_orders_arrive_once_and_to_the_cent(filled):
    assert filled.operations("dead") == []
    assert_equal_books(filled, filled.placed)
    assert_one_partner_per_customer(filled)
    currencies = {order["presentmentCurrency"] for order in filled.placed}
    assert len(currencies) >= 4, "the orders are meant to be varied"
    assert {order["taxesIncluded"] for order in filled.placed} == {True, False}


def list_last_day_again(filled):
    filled.odoo.sql(
        "UPDATE integration_flow SET cursor_at = cursor_at - %s WHERE backend_id = %s",
        [timedelta(days=1), filled.backend],
    )
    filled.poll()
    filled.settle()


def test_notifications_again_and_cursor_set_back_change_nothing(filled):
    # what was read within seconds of its time stamp is read once more
    list_last_day_again(filled)
    before = row_versions(filled.odoo)
    calls = filled.calls("Orders")
    assert filled.shop.resend_webhooks(times=3) >= 3 * COUNT
    list_last_day_again(filled)
    assert row_versions(filled.odoo) == before
    assert_equal_books(filled, filled.placed)
    assert filled.calls("Orders") == calls, "versions that were read are not fetched again"


def test_failures_say_what_to_do_and_hurt_nobody_else(connected):
    shop, odoo = connected.shop, connected.odoo
    had = len(connected.orders())
    good = shop.place_random_orders(196, seed=11)
    shop.add_product(title="Brass Lamp", variants=[{"sku": "LAMP-01", "price": "59.00"}])
    lamp = shop.place_order(lines=[{"sku": "LAMP-01", "quantity": 1}])
    taxed = shop.place_order(
        lines=[{"sku": "MUG-350", "quantity": 1}],
        taxes=[{"title": "Moon Tax", "rate": "0.137"}],
        taxesIncluded=False,
    )
    malformed = shop.place_order(
        lines=[{"sku": "MUG-350", "quantity": 1}], corrupt={"currentTotalPriceSet": "a lot"}
    )
    shop.send_webhook("orders/create", order=lamp["id"], badSignature=True)
    connected.settle()

    dead = {label: message for _id, label, _state, _tries, message in connected.operations("dead")}
    assert set(dead) == {lamp["name"], taxed["name"], malformed["name"]}
    assert "LAMP-01" in dead[lamp["name"]] and "Retry" in dead[lamp["name"]]
    assert "Moon Tax" in dead[taxed["name"]]
    assert "currentTotalPriceSet" in dead[malformed["name"]]
    imported = connected.orders()
    assert len(imported) == had + 196
    assert {order["id"] for order in good} <= set(imported)

    refused = odoo.sql(
        "SELECT state, count, message FROM integration_webhook_event WHERE state = 'refused'"
    )
    assert len(refused) == 1 and "signature" in refused[0][2].lower()
    log = [row for row in shop.webhook_log() if row["httpStatus"] == 401]
    assert len(log) == 1, "the forged notification is answered with 401"

    # the clerk creates the product and presses Retry: once
    odoo.call("product.product", "create", [{"name": "Lamp", "default_code": "LAMP-01"}])
    ids = {label: id_ for id_, label, *_rest in connected.operations("dead")}
    answer = odoo.call("integration.sync.log", "action_retry", [ids[lamp["name"]]])
    assert answer["params"]["type"] == "success", answer
    assert len(connected.orders()) == had + 197
    odoo.call("integration.sync.log", "action_retry", [ids[malformed["name"]]])
    assert lamp["id"] in connected.orders()

    # mapping the tax releases the order by itself
    missing = odoo.call(
        "integration.mapping",
        "search_read",
        [
            ("backend_id", "=", connected.backend),
            ("kind", "=", "tax"),
            ("resource_ref", "=", False),
        ],
        ["external_label", "seen_count"],
    )
    assert len(missing) == 1 and "Moon Tax" in missing[0]["external_label"]
    tax = odoo.call(
        "account.tax",
        "create",
        [{"name": "Moon", "amount": 13.7, "price_include_override": "tax_excluded"}],
    )
    odoo.call(
        "integration.mapping",
        "write",
        [missing[0]["id"]],
        {"resource_ref": f"account.tax,{tax[0]}"},
    )
    wait_until(lambda: taxed["id"] in connected.orders(), 30)
    assert [label for _id, label, *_rest in connected.operations("dead")] == [malformed["name"]]


def test_unknown_address_gets_no_answer_to_learn_from(connected):
    request = urllib.request.Request(
        f"{connected.odoo.url}/integration/webhook/nobody", data=b"{}", method="POST"
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    assert caught.value.code == 401
