"""The scopes the addon asks merchants for are those its documents need, no more and no less."""

import json
import os
from pathlib import Path

import pytest

from tests.contract.__main__ import versions
from tests.contract.scopes import TARGET, compute, write


@pytest.fixture(scope="module")
def computed() -> dict:
    folder = os.environ.get("SHOPIFY_SCHEMA_DIR")
    if not folder:
        pytest.skip("Shopify's full schemas are not here: set SHOPIFY_SCHEMA_DIR.")
    return compute(Path(folder), versions()[-1])


def test_the_file_is_what_the_documents_need(computed: dict) -> None:
    assert TARGET.read_text(encoding="utf-8") == write(computed), (
        "A document needs other access scopes than before. Write the file anew by "
        "`SHOPIFY_SCHEMA_DIR=$(./run schema) ./run python -m tests.contract.scopes`, and say in "
        "the resource what they are for."
    )


def test_what_is_known_of_some_documents(computed: dict) -> None:
    documents = computed["documents"]
    assert documents["shop"] == []
    assert documents["order_lines"] == [["read_orders"], ["read_products"]]
    assert ["read_customers"] in documents["orders"]
    assert documents["fulfillment_order_owners"][0][0] == "read_merchant_managed_fulfillment_orders"


def test_the_file_is_json_that_gives_the_same(computed: dict) -> None:
    assert json.loads(write(computed)) == computed
