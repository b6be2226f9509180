"""The ground truth of an order is whole, and agrees with itself."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ..app import Simulator
from ..client import ShopSimulator
from ..shop import Shop
from ..truth import brief, truth
from .helpers import place


def lived(shop: Shop) -> dict[str, Any]:
    """An order that was edited, shipped, part returned, part refunded."""
    duty = [{"amount": "3", "taxes": [{"title": "VAT", "rate": "0.1"}]}]
    order = place(
        shop,
        {"price": "10", "quantity": 3, "duties": duty},
        {"price": "4"},
        shipping=[{"price": "5"}],
        taxes=[{"title": "VAT", "rate": "0.1"}],
        payment="authorized",
    )
    shop.capture(order)
    shop.edit(order, {"set": [{"line": 1, "quantity": 0}]})
    shop.fulfil(order, {"lines": [{"line": 0, "quantity": 2}], "tracking": [{"number": "1"}]})
    row = shop.start_return(order, {"lines": [{"line": 0}]})
    shop.process_return(row, {"amount": "10"})
    shop.refund(order, {"lines": [{"line": 0, "restock": "CANCEL"}], "status": "PENDING"})
    return truth(order)


def amount(found: dict[str, str]) -> Decimal:
    return Decimal(found["presentment"])


def test_the_truth_agrees_with_itself(shop: Shop) -> None:
    told = lived(shop)
    parts = [*told["lines"], *told["shippingLines"], *told["duties"], *told["fees"]]
    assert sum(amount(p["currentTotal"]) for p in parts) == amount(told["currentTotal"])
    assert sum(amount(p["currentTax"]) for p in parts) == amount(told["currentTax"])
    ledger = told["ledger"]
    assert amount(ledger["withoutAdjustments"]) == amount(told["currentTotal"])
    assert amount(ledger["tax"]) == amount(told["currentTax"])
    assert sum(amount(a["total"]) for a in told["agreements"]) == amount(ledger["total"])
    assert sum(map(amount, ledger["byType"].values())) == amount(ledger["total"])
    back = [t for t in told["transactions"] if (t["kind"], t["status"]) == ("REFUND", "SUCCESS")]
    assert sum(amount(t["amount"]) for t in back) == amount(told["refunded"]) == 10
    assert sum(amount(r["refunded"]) for r in told["refunds"]) == 10
    for line in told["lines"]:
        sold = [s for a in told["agreements"] for s in a["sales"] if s["of"] == line["id"]]
        assert sum(s["quantity"] for s in sold) == line["currentQuantity"]


def test_the_truth_of_a_life(shop: Shop) -> None:
    told = lived(shop)
    first = told["lines"][0]["id"]
    assert [a["reason"] for a in told["agreements"]] == ["ORDER", "ORDER_EDIT", "RETURN", "REFUND"]
    of_return, of_refund = told["refunds"]
    assert told["agreements"][2]["refund"] is None
    assert told["agreements"][2]["return"] == of_return["return"] == told["returns"][0]["id"]
    assert (of_refund["return"], amount(of_refund["pending"])) == (None, Decimal("11"))
    assert told["shippedUnits"] == [{"line": first, "quantity": 2}]
    assert told["returnedUnits"] == [{"line": first, "quantity": 1}]
    assert told["unitsToShip"] == []
    assert told["fulfillments"][0]["lines"] == [{"line": first, "quantity": 2}]
    assert told["effects"] == {
        "payments": 0,
        "captures": 1,
        "voids": 0,
        "refunds": 2,
        "moneyRefunds": 2,
        "cancellations": 0,
        "fulfillments": 1,
        "fulfillmentCancellations": 0,
        "returns": 1,
    }


def test_all_orders_are_told_briefly_or_wholly(simulator: Simulator, served: str) -> None:
    control = ShopSimulator(served)
    order = control.place_order(lines=[{"sku": "MUG-350"}])
    assert "agreements" in order
    (told,) = control.orders()
    assert "agreements" not in told
    assert control.orders(full=True) == [order] == [control.order(order["name"])]
    placed = simulator.shop.all("Order")[0]
    assert set(brief(placed)) < set(truth(placed))
