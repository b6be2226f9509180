"""GraphQL: every served field answers, and what Shopify refuses is refused the same way."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLScalarType,
    build_client_schema,
    execute,
    get_named_type,
    get_operation_ast,
    is_required_argument,
    parse,
    validate,
)

from ..app import Simulator
from ..cost import Costs
from ..executor import Context, resolve_field
from ..resolvers import FIELDS, resolve_type
from ..schema import TRIMMED, is_full, load_schema, read_introspection, schema_file
from ..seed import random_orders
from ..trim_schema import trim

Run = Callable[..., dict[str, Any]]

ORDERS = """
query Orders($first: Int, $after: String, $query: String, $reverse: Boolean) {
  orders(first: $first, after: $after, query: $query, sortKey: UPDATED_AT, reverse: $reverse) {
    nodes { id name updatedAt }
    pageInfo { hasNextPage endCursor }
  }
}
"""
SUBSCRIBE = """
mutation Subscribe($topic: WebhookSubscriptionTopic!, $input: WebhookSubscriptionInput!) {
  webhookSubscriptionCreate(topic: $topic, webhookSubscription: $input) {
    webhookSubscription { id uri filter includeFields }
    userErrors { field message }
  }
}
"""
SET_STOCK = """
mutation SetStock($input: InventorySetQuantitiesInput!, $key: String!) {
  inventorySetQuantities(input: $input) @idempotent(key: $key) {
    inventoryAdjustmentGroup { changes { name delta quantityAfterChange } }
    userErrors { field code message }
  }
}
"""


def place(simulator: Simulator, count: int = 1, **spec: Any) -> list[Any]:
    shop = simulator.shop
    if spec:
        return [shop.place_order(spec)]
    return [shop.place_order(row) for row in random_orders(count, 3, shop)]


def codes(body: dict[str, Any]) -> list[str]:
    return [error["extensions"]["code"] for error in body["errors"]]


# === EVERY SERVED FIELD === #


@pytest.mark.parametrize("trimmed", [True, False])
def test_every_served_field_is_in_the_schema(trimmed: bool) -> None:
    if trimmed:
        schema = build_client_schema(read_introspection(TRIMMED)["data"])
    else:
        schema = load_schema("2026-10")
    for kind, fields in FIELDS.items():
        known = schema.get_type(kind)
        assert set(fields) - set(known.fields) == set(), kind


def test_the_trimmed_schema_is_made_of_the_full_one() -> None:
    if not is_full("2026-10"):
        pytest.skip("Shopify's full schema is not here: set SHOPIFY_SCHEMA_DIR.")
    full = read_introspection(schema_file("2026-10"))
    assert trim(full) == read_introspection(TRIMMED), "run trim_schema.py again"


def _selection(name: str, field: GraphQLField, depth: int) -> str | None:
    """A selection of everything below a field, or None when it needs arguments of its own."""
    required = [key for key, argument in field.args.items() if is_required_argument(argument)]
    if required not in ([], ["names"]):
        return None
    arguments = []
    if "first" in field.args:
        arguments.append("first: 2")
    if required:
        arguments.append('names: ["available"]')
    call = f"{name}({', '.join(arguments)})" if arguments else name
    kind = get_named_type(field.type)
    if isinstance(kind, GraphQLScalarType | GraphQLEnumType):
        return call
    if not depth:
        return None
    if not hasattr(kind, "fields"):
        return f"{call} {{ __typename }}"
    served = FIELDS.get(kind.name)
    rows = [
        _selection(child, inner, depth - 1)
        for child, inner in kind.fields.items()
        if served is None or child in served
    ]
    inside = " ".join(row for row in rows if row)
    return f"{call} {{ {inside or '__typename'} }}"


@pytest.mark.parametrize(
    ("kind", "root"),
    [
        ("Order", "order"),
        ("Customer", "customer"),
        ("Product", "product"),
        ("ProductVariant", "productVariant"),
        ("InventoryItem", "inventoryItem"),
        ("Location", "location"),
        ("Refund", "refund"),
        ("FulfillmentOrder", "fulfillmentOrder"),
        ("Fulfillment", "fulfillment"),
        ("Return", "return"),
        ("ReverseFulfillmentOrder", "reverseFulfillmentOrder"),
        ("DraftOrder", "draftOrder"),
    ],
)
def test_every_served_field_answers(simulator: Simulator, kind: str, root: str) -> None:
    shop = simulator.shop
    order = place(
        simulator,
        lines=[
            {
                "sku": "MUG-350",
                "quantity": 3,
                "discount": {"title": "Line", "percentage": 10},
                "duties": [{"amount": "1.50", "code": "6912", "country": "CN"}],
            },
            {"title": "Tip", "tip": True, "price": "2"},
        ],
        fees=[{"name": "Delivery state", "amount": "0.28"}],
        company={"name": "Berg AG", "location": "Depot"},
        paymentTerms={"name": "Net 30", "days": 30},
        risk={"level": "HIGH", "facts": [{"description": "Proxy", "sentiment": "NEGATIVE"}]},
        localizedFields=[{"key": "TAX_CREDENTIAL_IT", "value": "X"}],
        attribution={"displayName": "Market", "handle": "market"},
        retailLocation=simulator.shop.default_location.gid,
        discounts=[{"code": "FIVE", "amount": "5"}],
        taxes=[{"title": "VAT", "rate": "0.19"}],
        shipping=[{"price": "4.90"}],
        customer={"firstName": "A", "email": "a@example.com", "address": {"country_code": "DE"}},
    )[0]
    shop.refund(order, {"lines": [{"line": 0}], "shipping": "full", "amount": "3"})
    fulfillment = shop.fulfil(order, {"tracking": [{"company": "DHL", "number": "1"}]})
    shop.report(fulfillment, {"status": "IN_TRANSIT"})
    row = shop.start_return(
        order,
        {
            "lines": [{"line": 0, "fee": 10}],
            "exchange": [{"sku": "MUG-350"}],
            "shippingFee": "1",
        },
    )
    shop.process_return(row)
    shop.hold(shop.work_of(order), {"reason": "OTHER"})
    shop.draft({"lines": [{"sku": "MUG-350"}]})
    schema = load_schema("2026-10")
    record = order if kind == "Order" else shop.all(kind)[0]
    selection = _selection(root, schema.query_type.fields[root], 6 if kind != "Order" else 5)
    if selection is None:
        field = schema.query_type.fields[root]
        rows = [
            _selection(child, inner, 4)
            for child, inner in get_named_type(field.type).fields.items()
            if child in FIELDS[kind]
        ]
        selection = f'{root}(id: "{record.gid}") {{ {" ".join(row for row in rows if row)} }}'
    document = parse(f"{{ {selection} }}")
    assert validate(schema, document) == []
    result = execute(
        schema,
        document,
        context_value=Context(shop, shop.config.scopes, "2026-10"),
        field_resolver=resolve_field,
        type_resolver=resolve_type,
    )
    unserved = [
        f"{e.path}: {e.message}"
        for e in result.errors or []
        if (e.extensions or {}).get("code") != "NOT_SIMULATED"
    ]
    assert unserved == []
    assert result.data[root]["id"]


def test_what_is_not_served_is_an_error(graphql: Run, simulator: Simulator) -> None:
    place(simulator)
    body = graphql("{ orders(first: 1) { nodes { alerts { title } } } }")
    assert codes(body)[0] in ("NOT_SIMULATED", "undefinedField")


# === PAGES AND SEARCH === #


def test_pages_are_complete_and_without_doubles(graphql: Run, simulator: Simulator) -> None:
    orders = place(simulator, 23)
    for reverse in (False, True):
        seen: list[str] = []
        after = None
        while True:
            body = graphql(ORDERS, {"first": 5, "after": after, "reverse": reverse})
            page = body["data"]["orders"]
            seen += [node["id"] for node in page["nodes"]]
            if not page["pageInfo"]["hasNextPage"]:
                break
            after = page["pageInfo"]["endCursor"]
        assert sorted(seen) == sorted(order.gid for order in orders)
        assert len(set(seen)) == 23


def test_lines_are_paged(graphql: Run, simulator: Simulator) -> None:
    order = place(simulator, lines=[{"title": f"Line {n}", "price": "1"} for n in range(120)])[0]
    query = """query Lines($id: ID!, $after: String) { order(id: $id) {
        lineItems(first: 50, after: $after) { nodes { title } pageInfo { hasNextPage endCursor } }
    } }"""
    titles: list[str] = []
    after = None
    for _page in range(3):
        page = graphql(query, {"id": order.gid, "after": after})["data"]["order"]["lineItems"]
        titles += [node["title"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
    assert titles == [f"Line {n}" for n in range(120)]
    assert not page["pageInfo"]["hasNextPage"]


def test_a_time_without_zone_is_read_in_the_shops_own(graphql: Run, simulator: Simulator) -> None:
    place(simulator, lines=[{"sku": "MUG-350"}], createdAt="2026-11-20T10:00:00Z")

    def found(text: str) -> int:
        body = graphql(ORDERS, {"first": 5, "query": text})
        return len(body["data"]["orders"]["nodes"])

    assert found("status:any updated_at:>='2026-11-20T09:59:59Z'") == 1
    assert found("status:any updated_at:>'2026-11-20T10:00:00Z'") == 0
    # 09:59:59 in New York is five hours later: the order is silently missed.
    assert found("updated_at:>='2026-11-20T09:59:59'") == 0
    assert found("updated_at:>='2026-11-20T04:59:59'") == 1


def test_search_by_sku_tag_and_words(graphql: Run, simulator: Simulator) -> None:
    query = "query V($q: String) { productVariants(first: 5, query: $q) { nodes { sku barcode } } }"
    nodes = graphql(query, {"q": "sku:MUG-350"})["data"]["productVariants"]["nodes"]
    assert [node["sku"] for node in nodes] == ["MUG-350"]
    barcode = nodes[0]["barcode"]
    nodes = graphql(query, {"q": f"barcode:{barcode} OR sku:'FIL-100'"})["data"]
    assert {n["sku"] for n in nodes["productVariants"]["nodes"]} == {"MUG-350", "FIL-100"}


def test_an_unknown_search_field_is_ignored_with_a_warning(
    graphql: Run, simulator: Simulator
) -> None:
    place(simulator)
    body = graphql(ORDERS, {"first": 5, "query": "updatedat:>2030-01-01"})
    assert len(body["data"]["orders"]["nodes"]) == 1
    assert body["extensions"]["search"][0]["warnings"][0]["field"] == "updatedat"


def test_new_orders_appear_in_search_later(graphql: Run, simulator: Simulator) -> None:
    simulator.shop.config.search_delay = 0.15
    order = place(simulator)[0]
    assert graphql(ORDERS, {"first": 5})["data"]["orders"]["nodes"] == []
    read = graphql("query O($id: ID!) { order(id: $id) { name } }", {"id": order.gid})
    assert read["data"]["order"]["name"] == order.name
    time.sleep(0.2)
    assert len(graphql(ORDERS, {"first": 5})["data"]["orders"]["nodes"]) == 1


def test_orders_older_than_sixty_days_need_their_own_scope(
    graphql: Run, simulator: Simulator
) -> None:
    place(simulator, lines=[{"sku": "MUG-350"}], createdAt="2026-01-05T10:00:00Z")
    assert len(graphql(ORDERS, {"first": 5})["data"]["orders"]["nodes"]) == 1
    simulator.shop.config.scopes = ("read_orders",)
    assert graphql(ORDERS, {"first": 5})["data"]["orders"]["nodes"] == []


# === REFUSALS === #


def test_an_unknown_field(graphql: Run) -> None:
    body = graphql("query Names { orders(first: 1) { nodes { fullName } } }")
    assert "data" not in body and "extensions" not in body
    (error,) = body["errors"]
    assert error["message"] == "Field 'fullName' doesn't exist on type 'Order'"
    assert error["path"][0] == "query Names"
    assert error["extensions"] == {
        "code": "undefinedField",
        "typeName": "Order",
        "fieldName": "fullName",
    }


def test_an_unknown_input_field_in_a_variable(graphql: Run) -> None:
    row = {
        "inventoryItemId": "gid://shopify/InventoryItem/1",
        "locationId": "gid://shopify/Location/1",
        "quantity": 3,
        "compareQuantity": 2,
    }
    values = {"name": "available", "reason": "correction", "quantities": [row]}
    body = graphql(SET_STOCK, {"input": values, "key": "k"})
    assert body["data"] is None
    assert codes(body) == ["INVALID_VARIABLE"]
    assert body["errors"][0]["extensions"]["problems"][0]["path"] == ["quantities", 0]
    assert "InventorySetQuantitiesInput!" in body["errors"][0]["message"]


def test_ids(graphql: Run) -> None:
    query = "query O($id: ID!) { order(id: $id) { name } }"
    body = graphql(query, {"id": "12"})
    assert (body["data"], codes(body)) == ({"order": None}, ["RESOURCE_NOT_FOUND"])
    body = graphql(query, {"id": "gid://shopify/Order/12"})
    assert body["data"] == {"order": None} and "errors" not in body


def test_page_size_is_limited(graphql: Run) -> None:
    body = graphql(ORDERS, {"first": 251})
    assert codes(body) == ["MAX_INPUT_SIZE_EXCEEDED"]
    nodes = "query N($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    body = graphql(nodes, {"ids": ["gid://shopify/Order/1"] * 251})
    assert codes(body) == ["MAX_INPUT_SIZE_EXCEEDED"]


def test_missing_scope_leaves_the_rest(graphql: Run, simulator: Simulator) -> None:
    place(simulator, lines=[{"sku": "MUG-350"}], customer={"email": "a@example.com"})
    query = "{ orders(first: 1) { nodes { name customer { id } } } }"
    body = graphql(query, scopes=("read_orders", "read_all_orders"))
    node = body["data"]["orders"]["nodes"][0]
    assert node["name"] and node["customer"] is None
    (error,) = body["errors"]
    assert error["path"] == ["orders", "nodes", 0, "customer"]
    assert error["extensions"]["code"] == "ACCESS_DENIED"
    assert "read_customers" in error["extensions"]["requiredAccess"]


def test_writing_includes_reading(graphql: Run, simulator: Simulator) -> None:
    place(simulator, lines=[{"sku": "MUG-350"}])
    query = "{ orders(first: 1) { nodes { name } } }"
    assert "errors" not in graphql(query, scopes=("write_orders", "read_all_orders"))
    assert codes(graphql(query, scopes=("write_products",))) == ["ACCESS_DENIED"]


def test_missing_scope_of_records_looked_up_by_id(graphql: Run, simulator: Simulator) -> None:
    order = place(simulator, lines=[{"sku": "MUG-350"}])[0]
    for query, expected in (
        ("query N($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"nodes": [None]}),
        ("query N($ids: [ID!]!) { node(id: $ids) { id } }", {"node": None}),
    ):
        one = "node(id" in query
        query = query.replace("$ids: [ID!]!", "$ids: ID!") if one else query
        ids = order.gid if one else [order.gid]
        body = graphql(query, {"ids": ids}, scopes=("read_products",))
        assert body["data"] == expected
        (error,) = body["errors"]
        assert error["extensions"]["code"] == "ACCESS_DENIED"
        assert "read_orders" in error["extensions"]["requiredAccess"]
        assert "errors" not in graphql(query, {"ids": ids}, scopes=("read_orders",))


def test_protected_data_is_null_with_an_error(graphql: Run, simulator: Simulator) -> None:
    place(simulator, lines=[{"sku": "MUG-350"}], customer={"email": "a@example.com"})
    simulator.shop.config.protected_data = False
    body = graphql("{ orders(first: 1) { nodes { name email billingAddress { city } } } }")
    node = body["data"]["orders"]["nodes"][0]
    assert (node["email"], node["billingAddress"]) == (None, None)
    assert set(codes(body)) == {"ACCESS_DENIED"}


# === COST === #


def test_cost_of_the_published_example() -> None:
    schema = load_schema("2026-10")
    document = parse(
        "query V($id: ID!) { product(id: $id) { variants(first: 250) { nodes {"
        " inventoryItem { id tracked } } } } }"
    )
    costs = Costs(schema, get_operation_ast(document), {}, {"id": "x"})
    assert costs.requested() == 25
    assert Costs(schema, get_operation_ast(document), {}, {}, "linear").requested() == 503
    assert costs.actual({"product": None}) == 1


def test_throttled(graphql: Run, simulator: Simulator) -> None:
    simulator.executor.bucket.restore = 0
    simulator.executor.bucket.available = 5
    body = graphql(ORDERS, {"first": 250})
    assert codes(body) == ["THROTTLED"]
    assert "data" not in body
    cost = body["extensions"]["cost"]
    assert cost["actualQueryCost"] is None
    assert cost["throttleStatus"]["currentlyAvailable"] == 5


def test_the_difference_is_given_back(graphql: Run, simulator: Simulator) -> None:
    simulator.executor.bucket.restore = 0
    cost = graphql(ORDERS, {"first": 250})["extensions"]["cost"]
    assert cost["requestedQueryCost"] > cost["actualQueryCost"]
    left = 2000 - cost["actualQueryCost"]
    assert cost["throttleStatus"]["currentlyAvailable"] == left


def test_too_expensive_at_once(graphql: Run) -> None:
    body = graphql(
        "{ orders(first: 250) { nodes { lineItems(first: 250) { nodes {"
        " discountAllocations { allocatedAmountSet { shopMoney { amount } } }"
        " taxLines { priceSet { shopMoney { amount } presentmentMoney { amount } } }"
        " variant { product { id } } } } } } }"
    )
    assert codes(body) == ["MAX_COST_EXCEEDED"]
    assert body["errors"][0]["extensions"]["maxCost"] == 1000


# === MUTATIONS === #


def stock_row(simulator: Simulator, **values: Any) -> dict[str, Any]:
    level = simulator.shop.all("InventoryLevel")[0]
    return {
        "inventoryItemId": level.item.gid,
        "locationId": level.location.gid,
        "quantity": 3,
        **values,
    }


def test_stock_needs_the_directive(graphql: Run, simulator: Simulator) -> None:
    level = simulator.shop.all("InventoryLevel")[0]
    row = stock_row(simulator, changeFromQuantity=None)
    values = {"name": "available", "reason": "correction", "quantities": [row]}
    plain = SET_STOCK.replace("@idempotent(key: $key)", "").replace(", $key: String!", "")
    body = graphql(plain, {"input": values})
    assert (codes(body), body["data"]) == (["BAD_REQUEST"], {"inventorySetQuantities": None})
    assert "@idempotent directive is required" in body["errors"][0]["message"]
    assert level.quantity("available") == 500
    assert "errors" not in graphql(plain, {"input": values}, version="2026-01")


def test_stock_needs_the_former_quantity(graphql: Run, simulator: Simulator) -> None:
    values = {
        "name": "available",
        "reason": "correction",
        "quantities": [stock_row(simulator)],
    }
    body = graphql(SET_STOCK, {"input": values, "key": "a"})
    assert codes(body) == ["INVALID_FIELD_ARGUMENTS"]
    values["quantities"] = [stock_row(simulator, changeFromQuantity=499)]
    errors = graphql(SET_STOCK, {"input": values, "key": "b"})["data"]["inventorySetQuantities"]
    assert errors["userErrors"][0]["code"] == "CHANGE_FROM_QUANTITY_STALE"
    assert errors["userErrors"][0]["field"][:3] == ["input", "quantities", "0"]
    values["quantities"] = [stock_row(simulator, changeFromQuantity=500)]
    done = graphql(SET_STOCK, {"input": values, "key": "c"})["data"]["inventorySetQuantities"]
    changes = done["inventoryAdjustmentGroup"]["changes"]
    assert [(c["name"], c["delta"], c["quantityAfterChange"]) for c in changes] == [
        ("available", -497, None),
        ("on_hand", -497, None),
    ]
    again = graphql(SET_STOCK, {"input": values, "key": "c"})["data"]["inventorySetQuantities"]
    assert again == done
    values["quantities"][0]["quantity"] = 4
    other = graphql(SET_STOCK, {"input": values, "key": "c"})["data"]["inventorySetQuantities"]
    assert other["userErrors"][0]["code"] == "IDEMPOTENCY_KEY_PARAMETER_MISMATCH"


def test_subscriptions(graphql: Run, simulator: Simulator) -> None:
    address = "https://odoo.example.com/hook"
    values = {"topic": "ORDERS_CREATE", "input": {"uri": address, "includeFields": ["id"]}}
    made = graphql(SUBSCRIBE, values)["data"]["webhookSubscriptionCreate"]
    assert made["userErrors"] == []
    assert made["webhookSubscription"]["filter"] is None
    again = graphql(SUBSCRIBE, values)["data"]["webhookSubscriptionCreate"]
    assert again["webhookSubscription"] is None
    assert "already been taken" in again["userErrors"][0]["message"]
    values["input"] = {"uri": "http://odoo.example.com/hook"}
    bad = graphql(SUBSCRIBE, values)["data"]["webhookSubscriptionCreate"]
    assert "not supported" in bad["userErrors"][0]["message"]
    delete = (
        "mutation D($id: ID!) { webhookSubscriptionDelete(id: $id) {"
        " deletedWebhookSubscriptionId userErrors { message } } }"
    )
    gone = graphql(delete, {"id": made["webhookSubscription"]["id"]})
    assert gone["data"]["webhookSubscriptionDelete"]["userErrors"] == []
    assert simulator.shop.all("WebhookSubscription") == []


def test_cancel_by_the_api(graphql: Run, simulator: Simulator) -> None:
    order = place(simulator, lines=[{"sku": "MUG-350"}])[0]
    cancel = """mutation C($id: ID!, $refund: OrderCancelRefundMethodInput) {
        orderCancel(orderId: $id, reason: OTHER, restock: true, refundMethod: $refund) {
            job { id done } orderCancelUserErrors { field code message } } }"""
    values = {"id": order.gid, "refund": {"originalPaymentMethodsRefund": True}}
    answer = graphql(cancel, values)["data"]["orderCancel"]
    assert answer["job"]["done"] is False and answer["orderCancelUserErrors"] == []
    assert order.financial_status == "REFUNDED"
    (error,) = graphql(cancel, values)["data"]["orderCancel"]["orderCancelUserErrors"]
    assert (error["field"], error["code"]) == (["orderId"], "INVALID")


# === ORDERS THAT BREAK THE CONTRACT === #


def test_corrupt_fields_whatever_the_document_calls_them(
    graphql: Run, simulator: Simulator
) -> None:
    order = place(
        simulator,
        lines=[{"sku": "MUG-350"}, {"sku": "FIL-100"}],
        corrupt={
            "totalPriceSet.shopMoney.amount": "a lot",
            "name": None,
            "lineItems.nodes.1.quantity": "two",
            "taxesIncluded": "__delete__",
        },
    )[0]
    other = place(simulator, lines=[{"sku": "MUG-350"}])[0]
    body = graphql(
        """query N($ids: [ID!]!) { nodes(ids: $ids) { ... on Order {
            label: name taxesIncluded total: totalPriceSet { ...M }
            lineItems(first: 5) { nodes { number: quantity } } } } }
        fragment M on MoneyBag { money: shopMoney { amount } }""",
        {"ids": [order.gid, other.gid]},
    )
    bad, good = body["data"]["nodes"]
    assert bad == {
        "label": None,
        "total": {"money": {"amount": "a lot"}},
        "lineItems": {"nodes": [{"number": 1}, {"number": "two"}]},
    }
    assert good["label"] == other.name and good["total"]["money"]["amount"] != "a lot"
