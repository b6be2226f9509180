"""A run of the tests ends red when a shop was asked what a version we know refuses."""

import json
import os
from pathlib import Path

import pytest
from werkzeug.test import Client

from tests.contract.__main__ import judge, main, versions
from tests.simulators.shopify.app import Simulator
from tests.simulators.shopify.recorder import VARIABLE, Recorder, shape
from tests.simulators.shopify.shop import Config

SHOP = "query Shop { shop { name } }"
ORDERS = "query Orders($first: Int!, $key: OrderSortKeys) { orders(first: $first, sortKey: $key) %s"
ORDERS %= "{ nodes { id } } }"


@pytest.fixture
def schemas() -> Path:
    folder = os.environ.get("SHOPIFY_SCHEMA_DIR")
    if not folder:
        pytest.skip("Shopify's full schemas are not here: set SHOPIFY_SCHEMA_DIR.")
    return Path(folder)


def found(folder: Path, schemas: Path, *requests: tuple[str, dict]) -> list[str]:
    recorder = Recorder(folder)
    recorder.file.unlink(missing_ok=True)
    for query, variables in requests:
        recorder.note(query, variables)
    return judge(folder, schemas)[1]


def test_the_versions_are_those_of_the_addon() -> None:
    assert versions() == ["2026-04", "2026-07", "2026-10"]


def test_what_every_version_knows_is_fine(tmp_path: Path, schemas: Path) -> None:
    asked = (SHOP, {}), (ORDERS, {"first": 5, "key": "UPDATED_AT"}), (ORDERS, {"first": 5})
    assert found(tmp_path, schemas, *asked) == []
    assert judge(tmp_path, schemas)[0] == 3


def test_documents_are_judged_by_every_version(tmp_path: Path, schemas: Path) -> None:
    problems = found(tmp_path, schemas, ("query Shop { shop { nme } }", {}))
    assert [text.split(":")[0] for text in problems] == versions()
    assert "Cannot query field 'nme'" in problems[0]


def test_what_only_some_versions_know_is_found(tmp_path: Path, schemas: Path) -> None:
    # compareQuantity went with 2026-04; the newest versions brought fields the older do not have
    stock = """mutation Stock($input: InventorySetQuantitiesInput!, $key: String!) {
      inventorySetQuantities(input: $input) @idempotent(key: $key) { userErrors { code } } }"""
    row = {
        "inventoryItemId": "gid://shopify/InventoryItem/1",
        "locationId": "gid://shopify/Location/1",
        "quantity": 1,
    }
    for field, wrong in (("changeFromQuantity", 0), ("compareQuantity", 3)):
        given = {"name": "available", "reason": "correction", "quantities": [{**row, field: 1}]}
        problems = found(tmp_path, schemas, (stock, {"input": given, "key": "k"}))
        assert len(problems) == wrong, problems


def test_variables_are_judged_as_documents_are(tmp_path: Path, schemas: Path) -> None:
    for variables in (
        {"first": "five"},
        {"first": 5, "key": "BY_MOON"},
        {},
        {"first": 5, "last": 3},
    ):
        assert len(found(tmp_path, schemas, (ORDERS, variables))) == 3, variables


def test_what_differs_for_a_schema_is_written_down_once(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    for variables in ({"first": 1}, {"first": 2}, {"first": 1, "key": "ID"}, {"first": 1.5}):
        recorder.note(ORDERS, variables)
    recorder.note(SHOP, {})
    assert len(recorder.file.read_text().splitlines()) == 4


def test_shapes() -> None:
    assert shape({"a": ["x", "y"]}) == shape({"a": ["z"]}) != shape({"a": []})
    assert shape({"a": None}) != shape({"a": "x"}) != shape({})
    assert shape([{"a": 1}, {"b": 1}]) != shape([{"a": 1}])
    assert shape("CREATED_AT") != shape("UPDATED_AT")
    assert shape(True) != shape(False) != shape(0)


def test_a_shop_writes_down_what_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    simulator = Simulator(Config(search_delay=0, legacy_tokens=("shpat_demo",)))
    simulator.recorder = Recorder.from_environment()
    for _time in range(2):
        answer = Client(simulator).post(
            "/admin/api/2026-10/graphql.json",
            json={"query": SHOP, "variables": {}},
            headers={"X-Shopify-Access-Token": "shpat_demo"},
        )
        assert answer.json["data"]["shop"]["name"]
    (file,) = tmp_path.iterdir()
    assert [json.loads(line)["query"] for line in file.read_text().splitlines()] == [SHOP]


def test_the_end_of_a_run(
    tmp_path: Path, schemas: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Recorder(tmp_path).note(SHOP, {})
    assert main([str(tmp_path)]) == 0
    assert "1 different requests to the shop are valid in API versions 2026-04" in (
        capsys.readouterr().out
    )
    Recorder(tmp_path).note("query Shop { shop { nme } }", {})
    assert main([str(tmp_path)]) == 1
    assert "query Shop: Cannot query field 'nme'" in capsys.readouterr().out
