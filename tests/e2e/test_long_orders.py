"""Orders of any length: nothing is cut off, and a page more costs a call more."""

import pytest

from tests.chaos.order_checker import OdooBooks
from tests.chaos.orders import judge, map_gateways, write_rules

pytestmark = pytest.mark.long

SKUS = ("MUG-350", "FIL-100", "CAN-BEE", "TOW-LIN", "DRP-01")
#: Lines that come with the order itself, and those of a page.
FIRST, PAGE = 20, 250


@pytest.fixture(scope="module")
def booked(connected):
    """The shop whose orders are invoiced and paid by themselves."""
    connected.shop.webhook_faults(drop=1)
    call = connected.odoo.call
    flows = call("integration.flow", "search", [("backend_id", "=", connected.backend)])
    # a listing might find an order just then and read it once more
    call("integration.flow", "write", flows, {"interval_minutes": 0})
    map_gateways(call, connected.backend)
    write_rules(call, connected.backend)
    return connected


def place(connected, count):
    return connected.shop.place_order(
        lines=[
            {"sku": SKUS[number % len(SKUS)], "quantity": 1 + number % 3} for number in range(count)
        ],
        taxes=[{"title": "State Tax", "rate": "0.0725"}],
        taxesIncluded=False,
        presentmentCurrency="USD",
        discounts=[{"code": "TEN", "amount": "10.01"}],
        shipping=[{"title": "Standard", "price": "4.90"}],
        customer={
            "firstName": "Emma",
            "lastName": "Lee",
            "email": "emma@example.com",
            "address": {
                "address1": "1 Oak Ave",
                "zip": "94105",
                "city": "SF",
                "country_code": "US",
            },
        },
    )


def import_and_count(connected, order):
    """Import an order as it is now; returns the calls that took, by document."""
    before = connected.shop.calls()["byOperation"]
    connected.shop.webhook_faults(drop=0)
    connected.shop.act(order["id"], "touch", note="now")
    connected.settle()
    connected.shop.webhook_faults(drop=1)
    assert connected.operations("dead") == []
    after = connected.shop.calls()["byOperation"]
    return {
        name: count - before.get(name, 0)
        for name, count in after.items()
        if count != before.get(name, 0) and name.startswith(("Order", "Refund"))
    }


def assert_books(connected, order):
    (row,) = connected.shop.books(order["id"])
    found = OdooBooks(connected.odoo.sql, connected.backend).read()[order["id"]]
    assert judge(row, found) == {}
    return found


def pages(rows, first=FIRST, page=PAGE):
    """Calls that read what did not come with the first answer."""
    return -(-max(rows - first, 0) // page)


@pytest.mark.parametrize("count", [1, 250, 251, 600])
def test_orders_of_any_length_are_booked_to_the_cent(booked, count):
    order = place(booked, count)
    calls = import_and_count(booked, order)
    found = assert_books(booked, order)
    assert len(found.quantities) == count
    assert calls.get("Orders") == 1
    assert calls.get("OrderLines", 0) == pages(count)
    # the ledger has a sale for each line, and one for shipping
    assert calls.get("OrderAgreements", 0) == pages(count + 1)
    assert sum(calls.values()) == 1 + pages(count) + pages(count + 1), calls


def test_refunds_of_several_pages_are_booked_to_the_cent(booked):
    order = place(booked, 600)
    import_and_count(booked, order)
    booked.shop.act(
        order["id"],
        "refund",
        lines=[{"line": n, "quantity": 1, "restock": "CANCEL"} for n in range(0, 600, 2)],
    )
    calls = import_and_count(booked, order)
    assert_books(booked, order)
    assert calls.get("OrderRefunds") == 1
    # 300 lines of the refund, and 300 sales of its entry in the ledger
    assert calls.get("RefundLines") == pages(300)
    # (601 in the first; a call for the second one, and one that finds where it stands)
    assert calls.get("OrderAgreements") == pages(601) + pages(300) + 2
    assert set(calls) == {"Orders", "OrderLines", "OrderAgreements", "OrderRefunds", "RefundLines"}
