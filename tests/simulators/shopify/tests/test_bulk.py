"""Bulk operations: what is refused, what the files hold, how they end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from ..app import Simulator
from .helpers import Run

RUN = "mutation($query: String!) { bulkOperationRunQuery(query: $query) { bulkOperation { id status } userErrors { field code message } } }"  # noqa: E501
LOOK = """query($id: ID!) { bulkOperation(id: $id) {
  id status errorCode objectCount rootObjectCount fileSize url partialDataUrl query type } }"""
STAGE = """mutation($input: [StagedUploadInput!]!) { stagedUploadsCreate(input: $input) {
  stagedTargets { url resourceUrl parameters { name value } } userErrors { message } } }"""
MUTATE = """mutation($mutation: String!, $path: String!, $key: String) {
  bulkOperationRunMutation(mutation: $mutation, stagedUploadPath: $path, clientIdentifier: $key) {
    bulkOperation { id status } userErrors { field code message } } }"""
PRODUCTS = "{ products { edges { node { id title variants { edges { node { id sku } } } } } } }"
TAGS = "mutation Call($id: ID!, $tags: [String!]!) { tagsAdd(id: $id, tags: $tags) { node { id } userErrors { field message } } }"  # noqa: E501
VARIABLES = {
    "resource": "BULK_MUTATION_VARIABLES",
    "filename": "vars.jsonl",
    "mimeType": "text/jsonl",
    "httpMethod": "POST",
}


@pytest.fixture
def bulk(simulator: Simulator, graphql: Run, served: str) -> Callable[[str], dict[str, Any]]:
    """Run a query and return what became of it."""
    simulator.shop.config.bulk_seconds = 0
    simulator.shop.address = served

    def run(query: str) -> dict[str, Any]:
        payload = graphql(RUN, {"query": query})["data"]["bulkOperationRunQuery"]
        assert payload["userErrors"] == []
        return ended(graphql, payload["bulkOperation"]["id"])

    return run


def ended(graphql: Run, gid: str) -> dict[str, Any]:
    end = time.monotonic() + 5
    while True:
        found = graphql(LOOK, {"id": gid})["data"]["bulkOperation"]
        if found["status"] not in ("CREATED", "RUNNING", "CANCELING"):
            return found
        assert time.monotonic() < end
        time.sleep(0.01)


def lines(url: str) -> list[dict[str, Any]]:
    answer = requests.get(url, timeout=5)
    assert answer.status_code == 200
    return [json.loads(line) for line in answer.content.splitlines()]


def test_objects_stand_on_lines_of_their_own(
    simulator: Simulator, bulk: Callable[[str], dict[str, Any]]
) -> None:
    for number in range(300):
        simulator.shop.add_product(
            {
                "title": f"P{number}",
                "options": ["S"],
                "variants": [{"options": ["a"]}, {"options": ["b"]}],
            }
        )
    found = bulk(PRODUCTS)
    rows = lines(found["url"])
    products = simulator.shop.all("Product")
    variants = {v.gid: p.gid for p in products for v in p.variants}
    assert {r["id"]: r["__parentId"] for r in rows if "__parentId" in r} == variants
    assert {r["id"] for r in rows if "__parentId" not in r} == {p.gid for p in products}
    counts = (found["objectCount"], found["rootObjectCount"])
    assert counts == (str(len(rows)), str(len(products)))
    known: set[str] = set()
    early = [r for r in rows if known.add(r["id"]) or r.get("__parentId", r["id"]) not in known]
    assert early, "some children stand before their parents"
    assert b"gid:\\/\\/shopify" in requests.get(found["url"], timeout=5).content


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("{ products { nodes { id } } }", "`nodes`"),
        ("{ shop { name } }", "at least one connection"),
        ('{ node(id: "gid://shopify/Product/1") { id } }', "top-level"),
        ("{ products { edges { node { title variants { edges { node { id } } } } } } }", "'id'"),
        ("query($f: Int) { products(first: $f) { edges { node { id } } } }", "variables"),
        (
            "{ orders { edges { node { id refunds { id refundLineItems { edges { node "
            "{ id } } } } } } } }",
            "list field",
        ),
        (
            "{ orders { edges { node { id lineItems { edges { node { id variant { id } "
            "} } } a: lineItems { edges { node { id } } } b: lineItems { edges { node { id } } } "
            "c: lineItems { edges { node { id } } } d: lineItems { edges { node { id } } } } } } }",
            "more than 5",
        ),
        ("{ products { edges { node { id nothing } } } }", "Invalid bulk query"),
    ],
)
def test_queries_that_are_refused(graphql: Run, query: str, reason: str) -> None:
    payload = graphql(RUN, {"query": query})["data"]["bulkOperationRunQuery"]
    [error] = payload["userErrors"]
    assert (error["field"], error["code"], payload["bulkOperation"]) == (["query"], "INVALID", None)
    assert reason in error["message"]


def test_five_at_a_time_and_cancelling(simulator: Simulator, graphql: Run) -> None:
    simulator.shop.config.bulk_seconds = 60
    ids = [
        graphql(RUN, {"query": PRODUCTS})["data"]["bulkOperationRunQuery"]["bulkOperation"]["id"]
        for _number in range(5)
    ]
    [error] = graphql(RUN, {"query": PRODUCTS})["data"]["bulkOperationRunQuery"]["userErrors"]
    assert error["code"] == "OPERATION_IN_PROGRESS"
    assert all(gid in error["message"] for gid in ids)
    cancel = "mutation($id: ID!) { bulkOperationCancel(id: $id) { bulkOperation { status } userErrors { message } } }"  # noqa: E501
    payload = graphql(cancel, {"id": ids[0]})["data"]["bulkOperationCancel"]
    assert payload["bulkOperation"]["status"] == "CANCELING"


def test_nothing_found_has_no_file(bulk: Callable[[str], dict[str, Any]]) -> None:
    found = bulk("{ draftOrders { edges { node { id } } } }")
    assert (found["status"], found["url"], found["objectCount"]) == ("COMPLETED", None, "0")


def test_failure_leaves_a_part(simulator: Simulator, bulk: Callable[[str], dict[str, Any]]) -> None:
    simulator.shop.config.bulk_failure = "TIMEOUT"
    found = bulk(PRODUCTS)
    assert (found["status"], found["errorCode"], found["url"]) == ("FAILED", "TIMEOUT", None)
    assert lines(found["partialDataUrl"])
    assert bulk(PRODUCTS)["status"] == "COMPLETED"


def test_result_in_parts_and_expired(
    simulator: Simulator, bulk: Callable[[str], dict[str, Any]]
) -> None:
    url = bulk(PRODUCTS)["url"]
    whole = requests.get(url, timeout=5).content
    part = requests.get(url, headers={"Range": "bytes=10-19"}, timeout=5)
    assert (part.status_code, part.content) == (206, whole[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(whole)}"
    beyond = requests.get(url, headers={"Range": f"bytes={len(whole)}-"}, timeout=5)
    assert beyond.status_code == 416
    assert requests.get(url.split("?")[0], timeout=5).status_code == 403
    simulator.shop.config.bulk_expired = 1
    assert requests.get(url, timeout=5).status_code == 403


def stage(graphql: Run, content: bytes) -> str:
    [target] = graphql(STAGE, {"input": [VARIABLES]})["data"]["stagedUploadsCreate"][
        "stagedTargets"
    ]
    fields = {row["name"]: row["value"] for row in target["parameters"]}
    answer = requests.post(target["url"], fields, files={"file": content}, timeout=5)
    assert answer.status_code == 201
    return fields["key"]


def test_mutation_runs_every_line(simulator: Simulator, graphql: Run, served: str) -> None:
    simulator.shop.config.bulk_seconds = 0
    simulator.shop.address = served
    products = simulator.shop.all("Product")[:2]
    rows = [{"id": p.gid, "tags": ["bulk"]} for p in products]
    rows += [{"id": "gid://shopify/Product/1", "tags": ["x"]}, {"id": products[0].gid}]
    path = stage(graphql, b"\n".join(json.dumps(row).encode() for row in rows))
    values = {"mutation": TAGS, "path": path, "key": "odoo-0123456789"}
    payload = graphql(MUTATE, values)["data"]["bulkOperationRunMutation"]
    assert payload["userErrors"] == []
    found = ended(graphql, payload["bulkOperation"]["id"])
    assert (found["type"], found["query"]) == ("MUTATION", TAGS)
    results = {row["__lineNumber"]: row for row in lines(found["url"])}
    assert sorted(results) == [0, 1, 2, 3]
    assert results[0]["data"]["tagsAdd"]["userErrors"] == []
    assert results[2]["data"]["tagsAdd"]["userErrors"][0]["field"] == ["id"]
    assert "errors" in results[3]
    assert all("bulk" in product.tags for product in products)


def test_mutations_that_are_refused(simulator: Simulator, graphql: Run, served: str) -> None:
    simulator.shop.address = served
    path = stage(graphql, b'{"id": "gid://shopify/Product/1", "tags": []}')
    broken = stage(graphql, b"{]")

    def code(**values: Any) -> Any:
        values = {"mutation": TAGS, "path": path, "key": None, **values}
        return graphql(MUTATE, values)["data"]["bulkOperationRunMutation"]["userErrors"][0]["code"]

    assert code(path="tmp/nowhere") == "NO_SUCH_FILE"
    assert code(path=broken) == "INVALID_STAGED_UPLOAD_FILE"
    assert code(mutation="{ shop { name } }") == "INVALID_MUTATION"
    two = """mutation Call($input: ProductSetInput!) { productSet(input: $input) { product {
      variants(first: 1) { nodes { id } } media(first: 1) { nodes { id } } } } }"""
    assert code(mutation=two) == "INVALID_MUTATION"
    assert code(key="short") is None
    form = {"key": path, "acl": "public"}
    url = f"{served}/bulk-uploads/"
    assert requests.post(url, form, files={"file": b"{}"}, timeout=5).status_code == 403
