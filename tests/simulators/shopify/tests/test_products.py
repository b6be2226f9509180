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
    product = shop.add_product({**SHIRT, "collections": [shelf.gid], "publications": [channel.gid]})
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
    query = f"query ($q: String) {{ {root}(first: 5, query: $q) {{ nodes {{ id }} }} }}"
    assert graphql(query, {"q": "sku:MUG"})["data"][root]["nodes"] == []
    assert graphql(query, {"q": None})["data"][root]["nodes"]


SET = """
mutation ($identifier: ProductSetIdentifiers, $input: ProductSetInput!) {
  productSet(identifier: $identifier, input: $input) {
    product { id metafields(first: 5) { nodes { key value } } }
    userErrors { field message code }
  }
}
"""
KEY = {"namespace": "odoo", "key": "db_1", "value": "7"}


def _variant(size: str, **values: object) -> dict[str, object]:
    return {"optionValues": [{"optionName": "Size", "name": size}], "price": "5", **values}


def _shirt(*sizes: str, **values: object) -> dict[str, object]:
    options = [{"name": "Size", "values": [{"name": size} for size in dict.fromkeys(sizes)]}]
    rows = [_variant(size) for size in sizes]
    return {"title": "Shirt", "productOptions": options, "variants": rows, **values}


def test_product_set_makes_one_product_of_one_id(simulator: Simulator, graphql: Run) -> None:
    define = """mutation { metafieldDefinitionCreate(definition: {name: "Odoo", namespace: "odoo",
        key: "db_1", type: "id", ownerType: PRODUCT}) { userErrors { code } } }"""
    variables = {"identifier": {"customId": KEY}, "input": _shirt("S", "M")}
    refused = graphql(SET, variables)["data"]["productSet"]
    assert refused["userErrors"][0]["code"] == "INVALID_METAFIELD"
    assert graphql(define)["data"]["metafieldDefinitionCreate"]["userErrors"] == []
    again = graphql(define)["data"]["metafieldDefinitionCreate"]["userErrors"]
    assert again == [{"code": "TAKEN"}]
    first, second = (graphql(SET, variables)["data"]["productSet"] for _ in range(2))
    assert first["product"]["id"] == second["product"]["id"]
    assert first["product"]["metafields"]["nodes"] == [{"key": "db_1", "value": "7"}]
    assert simulator.shop.effects["products"] == 1


def test_product_set_replaces_the_lists_it_names(simulator: Simulator, graphql: Run) -> None:
    product = simulator.shop.add_product(SHIRT)
    kept = product.variants[0].gid
    values = _shirt("S")
    values["variants"] = [_variant("S", id=kept)]
    made = graphql(SET, {"identifier": {"id": product.gid}, "input": values})["data"]["productSet"]
    assert made["userErrors"] == []
    assert [variant.gid for variant in product.variants] == [kept]
    assert [option.name for option in product.options] == ["Size"]
    # what it does not name stays
    assert len(product.metafields) == len(product.media) == 1
    graphql(SET, {"identifier": {"id": product.gid}, "input": {"metafields": [], "files": []}})
    assert product.metafields == product.media == []


@pytest.mark.parametrize(
    ("values", "path", "code"),
    [
        (_shirt("S", "S"), ["input", "variants", "1"], "INVALID_VARIANT"),
        ({"title": "A", "productOptions": []}, ["input", "variants"], "VARIANTS_INPUT_MISSING"),
        (
            {**_shirt("S"), "variants": [_variant("S", price="-1")]},
            ["input", "variants", "0", "price"],
            # of this mutation not every error has a code
            None,
        ),
        (
            {**_shirt("S"), "variants": [_variant("M")]},
            ["input", "variants", "0", "optionValues"],
            "OPTION_VALUE_DOES_NOT_EXIST",
        ),
    ],
)
def test_product_set_refuses(
    simulator: Simulator, graphql: Run, values: dict[str, object], path: list[str], code: str | None
) -> None:
    before = len(simulator.shop.all("Product"))
    errors = graphql(SET, {"input": values})["data"]["productSet"]["userErrors"]
    assert [(error["field"], error["code"]) for error in errors] == [(path, code)]
    assert len(simulator.shop.all("Product")) == before


def test_more_variants_than_there_is_room_for(graphql: Run) -> None:
    body = graphql(SET, {"input": _shirt(*map(str, range(2049)))})
    assert body["errors"][0]["extensions"]["code"] == "MAX_INPUT_SIZE_EXCEEDED"
    assert not any((body.get("data") or {}).values())


def test_variants_are_changed_together_or_not_at_all(simulator: Simulator, graphql: Run) -> None:
    product = simulator.shop.add_product(SHIRT)
    first, second = product.variants
    update = """mutation ($id: ID!, $rows: [ProductVariantsBulkInput!]!, $part: Boolean) {
      productVariantsBulkUpdate(productId: $id, variants: $rows, allowPartialUpdates: $part) {
        productVariants { id price } userErrors { field code } } }"""
    rows = [{"id": first.gid, "price": "9.99"}, {"id": second.gid, "price": "-1"}]
    for part, price in ((False, "30.00"), (True, "9.99")):
        made = graphql(update, {"id": product.gid, "rows": rows, "part": part})
        made = made["data"]["productVariantsBulkUpdate"]
        assert made["userErrors"] == [
            {"field": ["variants", "1", "price"], "code": "GREATER_THAN_OR_EQUAL_TO"}
        ]
        assert str(first.price) == price
    assert str(second.price) == "31.00"
    assert len(made["productVariants"]) == 2


def test_an_option_with_several_values_is_not_deleted(simulator: Simulator, graphql: Run) -> None:
    product = simulator.shop.add_product(SHIRT)
    query = """mutation ($id: ID!, $options: [ID!]!) {
      productOptionsDelete(productId: $id, options: $options) { userErrors { code } } }"""
    found = graphql(query, {"id": product.gid, "options": [product.options[0].gid]})
    assert found["data"]["productOptionsDelete"]["userErrors"] == [
        {"code": "CANNOT_DELETE_OPTION_WITH_MULTIPLE_VALUES"}
    ]
