"""Stock as Shopify keeps it: compare and set, all or nothing, once per key."""

from __future__ import annotations

from typing import Any

import pytest

from ..app import Simulator
from ..base import Refused
from ..inventory_api import count_stock, refuse_sold_out
from .helpers import Run

SET = """mutation ($input: InventorySetQuantitiesInput!, $key: String!) {
  inventorySetQuantities(input: $input) @idempotent(key: $key) {
    inventoryAdjustmentGroup { referenceDocumentUri changes { name delta } }
    userErrors { field code }
  }
}"""
ADJUST = SET.replace("InventorySet", "InventoryAdjust").replace("inventorySet", "inventoryAdjust")
ACTIVATE = """mutation ($item: ID!, $place: ID!, $available: Int, $key: String!) {
  inventoryActivate(inventoryItemId: $item, locationId: $place, available: $available)
      @idempotent(key: $key) {
    inventoryLevel { isActive quantities(names: ["available"]) { quantity } }
    userErrors { field message }
  }
}"""
DEACTIVATE = """mutation ($id: ID!) {
  inventoryDeactivate(inventoryLevelId: $id) { userErrors { field message } }
}"""


@pytest.fixture
def level(simulator: Simulator) -> Any:
    shop = simulator.shop
    shop.reset()
    shop.add_location("Berlin")
    shop.add_location("Paris")
    return shop.add_product({"title": "Mug", "sku": "MUG", "stock": 5}).variants[0].item.levels[0]


def row(level: Any, quantity: int, former: int | None, **values: Any) -> dict[str, Any]:
    return {
        "inventoryItemId": level.item.gid,
        "locationId": level.location.gid,
        "quantity": quantity,
        "changeFromQuantity": former,
        **values,
    }


def put(graphql: Run, key: str, *rows: dict[str, Any], **values: Any) -> Any:
    values = {"name": "available", "reason": "correction", "quantities": [*rows], **values}
    version = values.pop("version", "2026-10")
    body = graphql(SET, {"input": values, "key": key}, version=version)
    return body["data"]["inventorySetQuantities"]


def errors(answer: Any) -> list[tuple[str, str]]:
    return [(".".join(e["field"] or []), e["code"]) for e in answer["userErrors"]]


def test_one_bad_row_stops_all(graphql: Run, level: Any, simulator: Simulator) -> None:
    other = level.item.levels[1]
    answer = put(graphql, "a", row(level, 9, 5), row(other, 3, 1))
    assert errors(answer) == [
        ("input.quantities.1.changeFromQuantity", "CHANGE_FROM_QUANTITY_STALE")
    ]
    assert level.quantity("available") == 5
    again = put(graphql, "a", row(level, 9, 5), row(other, 3, 1))
    assert errors(again) == [("", "IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED")]
    simulator.shop.all("Location")[1].active = False
    level.item.mutable = False
    answer = put(graphql, "b", row(level, 9, 5), row(other, 3, 0))
    assert errors(answer) == [
        ("input.quantities.0.inventoryItemId", "NON_MUTABLE_INVENTORY_ITEM"),
        ("input.quantities.1.inventoryItemId", "NON_MUTABLE_INVENTORY_ITEM"),
        ("input.quantities.1.locationId", "INVALID_LOCATION"),
    ]
    assert simulator.shop.effects["stockChanges"] == 0


def test_the_document_a_change_refers_to(graphql: Run, level: Any) -> None:
    for document, found in (
        ("gid://shopify/Order/1", ["INVALID_REFERENCE_DOCUMENT"]),
        ("no link", ["INVALID_REFERENCE_DOCUMENT"]),
        ("https://odoo.example.com/odoo/stock.picking/1", []),
    ):
        answer = put(graphql, document, row(level, 4, 5), referenceDocumentUri=document)
        assert [code for _path, code in errors(answer)] == found
    assert answer["inventoryAdjustmentGroup"]["referenceDocumentUri"] == document
    assert level.quantities == {"available": 4, "on_hand": 4}


def test_adjusting(graphql: Run, level: Any) -> None:
    change = {
        "inventoryItemId": level.item.gid,
        "locationId": level.location.gid,
        "delta": 2,
        "changeFromQuantity": 5,
    }

    def adjust(key: str, name: str, **values: Any) -> Any:
        values = {"name": name, "reason": "correction", "changes": [{**change, **values}]}
        body = graphql(ADJUST, {"input": values, "key": key})
        return body["data"]["inventoryAdjustQuantities"]

    assert errors(adjust("a", "available", changeFromQuantity=4))[0][1].endswith("STALE")
    assert not errors(adjust("b", "available"))
    assert level.quantities == {"available": 7, "on_hand": 7}
    assert errors(adjust("c", "damaged", changeFromQuantity=0)) == [
        ("input.changes.0.ledgerDocumentUri", "INVALID_QUANTITY_DOCUMENT")
    ]
    answer = adjust("d", "incoming", changeFromQuantity=0, ledgerDocumentUri="gid://odoo/a/1")
    assert [c["name"] for c in answer["inventoryAdjustmentGroup"]["changes"]] == ["incoming"]


def test_where_an_item_is_stocked(graphql: Run, level: Any) -> None:
    other = level.item.levels[1]

    def activate(key: str, available: int | None) -> Any:
        values = {"item": level.item.gid, "place": other.location.gid, "key": key}
        body = graphql(ACTIVATE, {**values, "available": available})
        return body["data"]["inventoryActivate"]

    assert activate("a", 3)["userErrors"]
    assert not graphql(DEACTIVATE, {"id": other.gid})["data"]["inventoryDeactivate"]["userErrors"]
    assert graphql(DEACTIVATE, {"id": level.gid})["data"]["inventoryDeactivate"]["userErrors"]
    assert activate("b", 3)["inventoryLevel"]["quantities"] == [{"quantity": 3}]
    del level.item.levels[1]
    old = put(graphql, "c", row(other, 3, None), version="2026-07")
    assert errors(old)[0][1] == "ITEM_NOT_STOCKED_AT_LOCATION"
    assert not errors(put(graphql, "d", row(other, 3, None)))


def test_the_checkout_sells_what_is_there(level: Any, simulator: Simulator) -> None:
    shop = simulator.shop
    count_stock(shop, {"sku": "MUG", "available": 1})
    refuse_sold_out(shop, {"sku": "MUG"})
    with pytest.raises(Refused, match="sold out"):
        refuse_sold_out(shop, {"sku": "MUG", "quantity": 2})
