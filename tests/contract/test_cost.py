"""What our documents cost is known before the shop has told, well enough to find the points."""

import pytest
from graphql import parse
from graphql.execution.values import get_variable_values
from graphql.language import FragmentDefinitionNode

from odoo.addons.integration_shopify.lib import client
from odoo.addons.integration_shopify.lib.cost import MOST, estimate
from odoo.addons.integration_shopify.tests.test_documents import READ_IN_BULK, VARIABLES

from tests.simulators.shopify.app import Simulator
from tests.simulators.shopify.cost import Costs
from tests.simulators.shopify.schema import load_schema
from tests.simulators.shopify.shop import Config

CASES = [
    pytest.param(name, variables, id=f"{name}-{number}")
    for name, sets in VARIABLES.items()
    # what a bulk operation reads costs nothing
    if name not in READ_IN_BULK
    for number, variables in enumerate(sets)
]


def requested(query: str, variables: dict, model: str) -> int:
    """What the simulated shop asks for."""
    document, schema = parse(query), load_schema("2026-10")
    operation = document.definitions[0]
    values = get_variable_values(schema, operation.variable_definitions or (), variables)
    assert isinstance(values, dict), values
    fragments = {
        node.name.value: node
        for node in document.definitions
        if isinstance(node, FragmentDefinitionNode)
    }
    return Costs(schema, operation, fragments, values, model).requested()


@pytest.mark.parametrize(("name", "variables"), CASES)
def test_an_estimate_is_near_what_the_shop_asks_for(name: str, variables: dict) -> None:
    query = client.document(name)
    told = min(requested(query, variables, "log"), MOST)
    assert estimate(query, variables) == pytest.approx(told, rel=0.1, abs=2)


@pytest.mark.parametrize("model", ["log", "linear"])
@pytest.mark.parametrize(("name", "variables"), CASES)
def test_after_one_answer_the_cost_is_known(name: str, variables: dict, model: str) -> None:
    simulator = Simulator(Config(search_delay=0, cost_model=model))
    query = {"query": client.document(name), "variables": variables}
    with simulator.shop.lock:
        body = simulator.executor.run(
            query["query"], variables, None, simulator.shop.config.scopes, "2026-10"
        ).body
    cost = (body.get("extensions") or {}).get("cost")
    if not cost:
        # refused as too expensive, without a word on the cost: asked for in smaller parts
        assert "MAX_COST_EXCEEDED" in str(body)
        return
    client._known_costs.clear()
    client.learn_cost(query, cost)
    assert client.expected_cost(query) == requested(query["query"], variables, model)
    state = client.bucket_state(cost)
    # what was taken for the worst case and not needed is given back
    assert state.cost <= client.expected_cost(query)
    # it fills up again while we look
    assert 2000 - state.cost - 1 <= state.available <= 2000


@pytest.mark.parametrize(
    ("query", "variables", "cost"),
    [
        ("{ shop { name } }", {}, 1),
        ("query Q { shop { name plan { displayName } } }", {}, 2),
        ("query Q($n: Int!) { orders(first: $n) { nodes { id } } }", {"n": 1}, 3),
        ("query Q($n: Int!) { orders(first: $n) { nodes { id } } }", {"n": 250}, 13),
        ("query Q { orders(last: 10) { edges { cursor node { id } } pageInfo { x } } }", {}, 7),
        ("query Q($i: [ID!]!) { nodes(ids: $i) { ... on Order { id } } }", {"i": ["a"] * 10}, 5),
        ("query Q { a: shop @include(if: true) { ...F @skip(if: false) } }"
         " fragment F on Shop { name plan { x } }", {}, 2),
        ('query Q { orders(first: 2, query: "x) { y {") { nodes { id } } }', {}, 3),
        ("query Q { # { shop {\n shop { name } }", {}, 1),
        ("query Q($f: F = {a: [1, {b: 2}]}) { shop(filter: {a: [{b: 1}], c: $f}) { id } }", {}, 1),
        ("mutation M($i: I!) { refundCreate(input: $i) @idempotent(key: \"k\") { refund { id } } }",
         {"i": {}}, 21),
        ("mutation M { tagsAdd { node { id } userErrors { message } } }", {}, 12),
        ("query Q { orders(first: 250) { nodes { lineItems(first: 250) { nodes { a { b } c { d } "
         "taxes(first: 250) { nodes { x { y } } } } } } } }", {}, 1000),
    ],
)  # fmt: skip
def test_estimates(query: str, variables: dict, cost: int) -> None:
    assert estimate(query, variables) == cost
