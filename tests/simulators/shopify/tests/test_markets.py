"""Markets and their price lists: prices are fixed all or none, and refused as Shopify does."""

from __future__ import annotations

from typing import Any

import pytest

from .. import market_api
from ..app import Simulator
from .helpers import Run
from .test_documents import DOCUMENTS

ADD = """
mutation Add($id: ID!, $prices: [PriceListPriceInput!]!) {
  priceListFixedPricesAdd(priceListId: $id, prices: $prices) {
    prices { originType price { amount currencyCode } variant { id } }
    userErrors { field code message }
  }
}
"""
DELETE = """
mutation Delete($id: ID!, $variants: [ID!]!) {
  priceListFixedPricesDelete(priceListId: $id, variantIds: $variants) {
    deletedFixedPriceVariantIds
    userErrors { field code }
  }
}
"""
PRICES = """
query Prices(
  $id: ID!, $origin: PriceListPriceOriginType, $first: Int = 250, $after: String, $query: String
) {
  priceList(id: $id) {
    currency
    fixedPricesCount
    parent { adjustment { type value } }
    catalog { title status }
    prices(first: $first, after: $after, originType: $origin, query: $query) {
      nodes { originType price { amount } compareAtPrice { amount } variant { sku } }
      pageInfo { hasNextPage endCursor }
    }
  }
}
"""


@pytest.fixture
def market(simulator: Simulator) -> Any:
    """Switzerland, 10 % dearer, with one product of 10.00 EUR."""
    with simulator.shop.lock:
        simulator.reset(seed=False)
        simulator.shop.add_product({"title": "Mug", "sku": "MUG", "price": "10.00"})
        simulator.shop.add_product({"title": "Cup", "sku": "CUP", "price": "8.00"})
        return market_api.add_market(
            simulator.shop,
            {"name": "Switzerland", "currency": "CHF", "priceList": {"percent": 10}},
        )


def row(variant: Any, amount: str, currency: str = "CHF", before: str | None = None) -> dict:
    return {
        "variantId": variant if isinstance(variant, str) else variant.gid,
        "price": {"amount": amount, "currencyCode": currency},
        "compareAtPrice": before and {"amount": before, "currencyCode": currency},
    }


def test_fixed_prices(simulator: Simulator, graphql: Run, market: Any) -> None:
    price_list = market.catalogs[0].price_list
    mug, cup = simulator.shop.all("ProductVariant")
    answer = graphql(ADD, {"id": price_list.gid, "prices": [row(mug, "12.5", before="15")]})
    assert answer["data"]["priceListFixedPricesAdd"]["userErrors"] == []
    found = graphql(PRICES, {"id": price_list.gid})["data"]["priceList"]
    assert found["parent"]["adjustment"] == {"type": "PERCENTAGE_INCREASE", "value": 10.0}
    assert found["fixedPricesCount"] == 1
    prices = {node["variant"]["sku"]: node for node in found["prices"]["nodes"]}
    assert prices["MUG"]["price"]["amount"] == "12.5"
    assert prices["MUG"]["compareAtPrice"]["amount"] == "15.0"
    # 8.00 EUR at 1.05 EUR for a CHF, and 10 % more
    assert (prices["CUP"]["price"]["amount"], prices["CUP"]["originType"]) == ("8.38", "RELATIVE")
    gone = graphql(DELETE, {"id": price_list.gid, "variants": [mug.gid]})
    assert gone["data"]["priceListFixedPricesDelete"]["deletedFixedPriceVariantIds"] == [mug.gid]
    fixed = graphql(PRICES, {"id": price_list.gid, "origin": "FIXED"})["data"]["priceList"]
    assert fixed["prices"]["nodes"] == []
    assert simulator.shop.effects == {"prices": 1, "pricesDeleted": 1}
    assert cup.price == 8


def test_one_bad_row_refuses_all(simulator: Simulator, graphql: Run, market: Any) -> None:
    price_list = market.catalogs[0].price_list
    mug, cup = simulator.shop.all("ProductVariant")
    unknown = "gid://shopify/ProductVariant/1"
    answer = graphql(
        ADD,
        {"id": price_list.gid, "prices": [row(mug, "1"), row(unknown, "1"), row(cup, "1", "EUR")]},
    )
    errors = answer["data"]["priceListFixedPricesAdd"]["userErrors"]
    assert [(error["field"], error["code"]) for error in errors] == [
        (["prices", "1", "variantId"], "VARIANT_NOT_FOUND"),
        (["prices", "2", "price", "currencyCode"], "PRICE_LIST_CURRENCY_MISMATCH"),
    ]
    assert price_list.fixed == {}
    answer = graphql(DELETE, {"id": price_list.gid, "variants": [mug.gid]})
    assert answer["data"]["priceListFixedPricesDelete"]["userErrors"] == [
        {"field": ["variantIds", "0"], "code": "PRICE_NOT_FIXED"}
    ]
    answer = graphql(ADD, {"id": "gid://shopify/PriceList/1", "prices": [row(mug, "1")]})
    errors = answer["data"]["priceListFixedPricesAdd"]["userErrors"]
    assert errors[0]["code"] == "PRICE_LIST_NOT_FOUND"


def test_limits_and_scopes(simulator: Simulator, graphql: Run, market: Any) -> None:
    price_list = market.catalogs[0].price_list
    mug = simulator.shop.all("ProductVariant")[0]
    many = graphql(ADD, {"id": price_list.gid, "prices": [row(mug, "1")] * 251})
    assert many["errors"][0]["extensions"]["code"] == "MAX_INPUT_SIZE_EXCEEDED"
    denied = graphql(
        ADD, {"id": price_list.gid, "prices": [row(mug, "1")]}, scopes=("read_products",)
    )
    assert denied["errors"][0]["extensions"]["code"] == "ACCESS_DENIED"
    denied = graphql("{ markets(first: 1) { nodes { id } } }", scopes=("read_products",))
    assert denied["errors"][0]["extensions"]["code"] == "ACCESS_DENIED"


def test_fixed_prices_are_searched_and_paged(
    simulator: Simulator, graphql: Run, market: Any
) -> None:
    shop, price_list = simulator.shop, market.catalogs[0].price_list
    mug, cup = shop.all("ProductVariant")
    other = shop.add_product({"title": "Pot", "sku": "POT", "price": "20.00"}).variants[0]

    def read(**variables: Any) -> dict[str, Any]:
        return graphql(PRICES, {"id": price_list.gid, **variables})

    def found(**variables: Any) -> list[str]:
        rows = read(**variables)["data"]["priceList"]["prices"]["nodes"]
        return [row["variant"]["sku"] for row in rows]

    with shop.lock:
        for sku in ("MUG", "POT"):
            market_api.fix_price(shop, {"priceList": "Switzerland", "sku": sku, "price": "9.999"})
    of_two = f"variant_id:{mug.id} OR variant_id:{cup.id}"
    assert found(query=of_two) == ["MUG", "CUP"]
    assert found(query=of_two, origin="FIXED") == ["MUG"]
    assert found(query=of_two, origin="RELATIVE") == ["CUP"]
    assert found(query=f"product_id:{other.product.id}") == ["POT"]
    page = read(origin="FIXED", first=1)["data"]["priceList"]["prices"]
    assert (page["nodes"][0]["price"]["amount"], page["pageInfo"]["hasNextPage"]) == ("10.0", True)
    assert found(origin="FIXED", first=1, after=page["pageInfo"]["endCursor"]) == ["POT"]
    ignored = read(query="sku:MUG", origin="FIXED")
    assert len(ignored["data"]["priceList"]["prices"]["nodes"]) == 2
    assert ignored["extensions"]["search"][0]["warnings"][0]["field"] == "sku"
    full = read(origin="FIXED", first=200, query=of_two)["extensions"]["cost"]
    assert full["actualQueryCost"] < full["requestedQueryCost"] < 100
    with shop.lock:
        market_api.fix_price(shop, {"priceList": "Switzerland", "sku": "MUG"})
    assert found(origin="FIXED") == ["POT"]


@pytest.mark.parametrize(("model", "cost"), [("log", 45), ("linear", 803)])
def test_a_page_of_fixed_prices_is_never_too_expensive(
    simulator: Simulator, graphql: Run, market: Any, model: str, cost: int
) -> None:
    simulator.shop.config.cost_model = model
    gid = market.catalogs[0].price_list.gid
    query = (DOCUMENTS / "price_list_prices.graphql").read_text(encoding="utf-8")
    answer = graphql(query, {"id": gid, "first": 200, "query": "variant_id:1"})
    assert answer["data"]["priceList"]["prices"]["nodes"] == []
    assert answer["extensions"]["cost"]["requestedQueryCost"] == cost


def test_another_currency_lets_go_of_fixed_prices(simulator: Simulator, market: Any) -> None:
    price_list = market.catalogs[0].price_list
    price_list.fixed[1] = (1, None)
    market_api.change_market(simulator.shop, market, {"currency": "EUR"})
    assert (price_list.currency, price_list.fixed) == ("EUR", {})
    market_api.delete_market(simulator.shop, market)
    assert simulator.shop.all("PriceList") == []
