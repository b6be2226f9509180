"""Products: what the shop tells of them."""

from __future__ import annotations

import pytest

from ..app import Simulator
from .helpers import Run

SHIRT = {
    "title": "Linen Shirt",
    "options": ["Size", "Colour"],
    "variants": [
        {"sku": "LS-S", "price": "30", "options": ["S", "Red"], "weight": [1.5, "POUNDS"]},
        {"sku": "LS-M", "price": "31", "options": ["M", "Red"], "compareAt": "40", "cost": "9"},
    ],
    "tags": ["summer"],
    "images": [{"source": "https://example.com/shirt.png", "alt": "A shirt"}],
    "metafields": [
        {"namespace": "custom", "key": "care", "type": "single_line_text_field", "value": "cold"}
    ],
}

READ = """
query ($id: ID!) {
  product(id: $id) {
    title status tags hasOnlyDefaultVariant
    options { id name position values optionValues { id name hasVariants } }
    media(first: 5) { nodes { id alt status ... on MediaImage { image { url } } } }
    metafields(first: 5) { nodes { namespace key type value } }
    collections(first: 5) { nodes { id title } }
    resourcePublicationsV2(first: 5) { nodes { publication { id catalog { title } } } }
    variants(first: 5) { nodes {
      sku price compareAtPrice
      selectedOptions { name value optionValue { id } }
      inventoryItem { unitCost { amount } measurement { weight { value unit } } }
    } }
  }
}
"""


def test_a_product_is_read_as_a_whole(simulator: Simulator, graphql: Run) -> None:
    shop = simulator.shop
    channel, shelf = shop.add_publication("Online Store"), shop.add_collection("Shirts")
    product = shop.add_product(
        {**SHIRT, "collections": [shelf.gid], "publications": [channel.gid]}
    )
    found = graphql(READ, {"id": product.gid})["data"]["product"]
    assert [row["values"] for row in found["options"]] == [["S", "M"], ["Red"]]
    first, second = found["variants"]["nodes"]
    assert first["inventoryItem"]["measurement"]["weight"] == {"value": 1.5, "unit": "POUNDS"}
    assert product.variants[0].grams == 680
    assert second["compareAtPrice"] == "40.00"
    assert second["inventoryItem"]["unitCost"]["amount"] == "9.0"
    values = found["options"][0]["optionValues"]
    assert second["selectedOptions"][0]["optionValue"]["id"] == values[1]["id"]
    assert found["media"]["nodes"][0]["alt"] == "A shirt"
    assert found["metafields"]["nodes"][0]["value"] == "cold"
    assert found["collections"]["nodes"][0]["title"] == "Shirts"
    where = found["resourcePublicationsV2"]["nodes"][0]["publication"]
    assert where["catalog"]["title"] == "Online Store"


def test_a_product_without_options_has_the_default_one(simulator: Simulator, graphql: Run) -> None:
    product = simulator.shop.add_product({"title": "Mug", "sku": "MUG"})
    found = graphql(READ, {"id": product.gid})["data"]["product"]
    assert found["hasOnlyDefaultVariant"]
    assert found["options"][0]["name"] == "Title"
    option = found["variants"]["nodes"][0]["selectedOptions"][0]
    assert (option["name"], option["value"]) == ("Title", "Default Title")


@pytest.mark.parametrize("root", ["products", "productVariants"])
def test_the_search_lags_behind(simulator: Simulator, graphql: Run, root: str) -> None:
    simulator.shop.config.search_delay = 60
    simulator.shop.add_product({"title": "Mug", "sku": "MUG"})
    query = "query ($q: String) { %s(first: 5, query: $q) { nodes { id } } }" % root
    assert graphql(query, {"q": "sku:MUG"})["data"][root]["nodes"] == []
    assert graphql(query, {"q": None})["data"][root]["nodes"]
