"""Every document of the connector is one the shop can answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from graphql import (
    FragmentDefinitionNode,
    FragmentSpreadNode,
    OperationDefinitionNode,
    Visitor,
    build_client_schema,
    parse,
    print_ast,
    validate,
    visit,
)

from .. import market_api
from ..app import Simulator
from ..records import BulkOperation
from ..schema import TRIMMED, read_introspection
from .helpers import Run

DOCUMENTS = Path(__file__).resolve().parents[4] / "integration_shopify" / "graphql"


def definitions() -> tuple[dict[str, OperationDefinitionNode], dict[str, FragmentDefinitionNode]]:
    operations, fragments = {}, {}
    for path in sorted(DOCUMENTS.glob("*.graphql")):
        # Two files give the same fragment; one of them is enough here.
        for node in parse(path.read_text(encoding="utf-8")).definitions:
            if isinstance(node, OperationDefinitionNode):
                operations[path.stem] = node
            else:
                fragments[node.name.value] = node
    return operations, fragments


OPERATIONS, FRAGMENTS = definitions()


def document(operation: OperationDefinitionNode) -> str:
    """The operation with the fragments it uses, and those these use."""
    used: dict[str, FragmentDefinitionNode] = {}

    class Spreads(Visitor):
        def enter_fragment_spread(self, node: FragmentSpreadNode, *_args: Any) -> None:
            name = node.name.value
            if name not in used:
                used[name] = FRAGMENTS[name]
                visit(FRAGMENTS[name], Spreads())

    visit(operation, Spreads())
    return "\n".join(print_ast(node) for node in [operation, *used.values()])


def values_for(operation: OperationDefinitionNode, ids: dict[str, str]) -> dict[str, Any]:
    """Variables of a reading operation: ids of records of the shop, and pages of 10."""
    values: dict[str, Any] = {}
    for definition in operation.variable_definitions:
        name, kind = definition.variable.name.value, print_ast(definition.type)
        if kind == "[ID!]!":
            values[name] = [ids["order"]]
        elif kind == "ID!":
            roots = [row.name.value for row in operation.selection_set.selections]
            values[name] = next((ids[root] for root in roots if root in ids), ids["order"])
        elif kind == "Boolean!":
            values[name] = True
        elif kind in ("CustomerIdentifierInput!", "ProductIdentifierInput!"):
            root = operation.selection_set.selections[0].name.value
            values[name] = {"id": ids[root.removesuffix("ByIdentifier")]}
        elif kind.startswith("Int"):
            values[name] = 10
        elif kind == "String!":
            # A search for everything.
            values[name] = ""
    return values


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_document_is_part_of_the_trimmed_schema(name: str) -> None:
    schema = build_client_schema(read_introspection(TRIMMED)["data"], assume_valid=True)
    assert validate(schema, parse(document(OPERATIONS[name]))) == []


# what a bulk operation runs has no variables, but a place for a search
BULK = [n for n, node in OPERATIONS.items() if "__SEARCH__" in print_ast(node)]
READING = [n for n, node in OPERATIONS.items() if node.operation.value == "query" and n not in BULK]


@pytest.mark.parametrize("name", BULK)
def test_a_document_is_run_in_bulk(graphql: Run, name: str) -> None:
    answer = graphql(document(OPERATIONS["bulk_query_run"]), {"query": document(OPERATIONS[name])})
    [started] = answer["data"].values()
    assert (started["userErrors"], started["bulkOperation"]["status"]) == ([], "CREATED")


@pytest.mark.parametrize("name", READING)
def test_a_document_is_answered_without_an_error(
    simulator: Simulator, graphql: Run, name: str
) -> None:
    shop = simulator.shop
    order = shop.place_order(
        {
            "lines": [
                {"sku": "MUG-350", "quantity": 3, "duties": [{"amount": "1"}]},
                {"title": "Tip", "tip": True, "price": "1"},
            ],
            "fees": [{"amount": "1"}],
            "company": {"name": "Berg AG"},
            "paymentTerms": {"days": 30},
            "risk": {"level": "HIGH", "facts": [{"description": "Proxy"}]},
            "shipping": [{"price": "5"}],
            "taxes": [{"title": "VAT", "rate": "0.1"}],
            "discounts": [{"code": "FIVE", "amount": "5"}],
        }
    )
    shop.edit(order, {"set": [{"line": 0, "quantity": 2}]})
    fulfillment = shop.fulfil(order, {"tracking": [{"company": "DHL", "number": "1"}]})
    row = shop.start_return(order, {"lines": [{"line": 0}], "exchange": [{"sku": "MUG-350"}]})
    refund = shop.process_return(row, {"amount": "1"})
    shop.refund(order, {"amount": "1", "shipping": "full"})
    shop.hold(shop.work_of(order), {"reason": "OTHER"})
    buyer = shop.add_customer({"email": "buyer@example.com", "address": {"city": "Bonn"}})
    company = shop.add_company(
        {
            "name": "Berg AG",
            "locations": [{"name": "Bonn"}],
            "contacts": [{"customer": buyer.gid, "roles": [{"role": "Buyer", "location": "Bonn"}]}],
        }
    )
    product = shop.all("Product")[0]
    market = market_api.add_market(
        shop, {"name": "Europe", "currency": "EUR", "priceList": {"percent": 5}}
    )
    bulk = shop.add(BulkOperation(shop.next_id("BulkOperation"), "QUERY", "{ shop { id } }"))
    ids = {
        "order": order.gid,
        "customer": buyer.gid,
        "company": company.gid,
        "companyContact": shop.all("CompanyContact")[0].gid,
        "companyLocation": company.locations[0].gid,
        "product": product.gid,
        "translatableResource": product.gid,
        "inventoryItem": product.variants[0].item.gid,
        "location": shop.default_location.gid,
        "market": market.gid,
        "priceList": market.catalogs[0].price_list.gid,
        "bulkOperation": bulk.gid,
        "refund": refund.gid,
        "return": row.gid,
        "fulfillment": fulfillment.gid,
        "fulfillmentOrder": order.fulfillment_orders[0].gid,
    }
    operation = OPERATIONS[name]
    answer = graphql(document(operation), values_for(operation, ids))
    assert "errors" not in answer
    assert all(value is not None for value in answer["data"].values())
