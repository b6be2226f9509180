import gzip
import json
import os
from functools import cache
from pathlib import Path
from unittest import SkipTest

from odoo.tests import BaseCase

from ..lib.client import document
from ..lib.versions import VERSIONS as KNOWN

#: Every version that may answer while we write.
VERSIONS = tuple(sorted(KNOWN))
GID = "gid://shopify/Order/1"
PAGE = {"first": 250, "after": "abc"}
SUBSCRIPTION = {
    "uri": "https://odoo.example.com/integration/webhook/token",
    "format": "JSON",
    "includeFields": ["id"],
}
#: Each document with the variables we send it, complete and as bare as they can be.
VARIABLES = {
    "orders": [{"ids": [GID], "lines": 20, "shippingLines": 2}],
    "order_lines": [{"id": GID, **PAGE}, {"id": GID, "first": 250}],
    "order_shipping_lines": [{"id": GID, **PAGE}],
    "order_changes": [
        {**PAGE, "query": "updated_at:>='2026-11-20T10:00:00Z'"},
        {"first": 250, "after": None, "query": None},
    ],
    "access_scopes": [{}],
    "shop": [{}],
    "webhook_subscriptions": [
        {"first": 100, "after": None, "topics": ["ORDERS_CREATE", "ORDERS_UPDATED"]}
    ],
    "webhook_subscription_create": [
        {"topic": "ORDERS_CREATE", "webhookSubscription": SUBSCRIPTION},
        {"topic": "ORDERS_EDITED", "webhookSubscription": {"uri": "https://a.example.com"}},
    ],
    "webhook_subscription_delete": [{"id": "gid://shopify/WebhookSubscription/1"}],
}


@cache
def schema(version):
    from graphql import build_client_schema

    folder = os.environ.get("SHOPIFY_SCHEMA_DIR")
    file = Path(folder or "") / f"admin_{version}.json.gz"
    if not folder or not file.exists():
        if os.environ.get("CI") == "true":
            raise AssertionError("CI needs Shopify's schemas: set SHOPIFY_SCHEMA_DIR.")
        raise SkipTest("Shopify's schema is not here: set SHOPIFY_SCHEMA_DIR.")
    return build_client_schema(json.loads(gzip.decompress(file.read_bytes()))["data"])


class TestDocuments(BaseCase):
    def test_every_document_has_variables_here(self):
        folder = Path(__file__).parent.parent / "graphql"
        fragments = {"order_fields", "money_presentment", "money_shop"}
        self.assertEqual(
            {path.stem for path in folder.glob("*.graphql")} - fragments, set(VARIABLES)
        )

    def test_documents_and_variables_fit_the_schemas(self):
        from graphql import parse, validate
        from graphql.execution.values import get_variable_values

        for version in VERSIONS:
            known = schema(version)
            for name, variable_sets in VARIABLES.items():
                for money in ("presentment", "shop"):
                    with self.subTest(version=version, document=name, money=money):
                        parsed = parse(document(name, money))
                        self.assertEqual(validate(known, parsed), [])
                        definitions = parsed.definitions[0].variable_definitions
                        for variables in variable_sets:
                            found = get_variable_values(known, definitions, variables)
                            self.assertIsInstance(found, dict, found)

    def test_nothing_deprecated_is_asked_for(self):
        from graphql import NoDeprecatedCustomRule, parse, validate

        known = schema(VERSIONS[-1])
        for name in VARIABLES:
            found = validate(known, parse(document(name)), [NoDeprecatedCustomRule])
            self.assertEqual([error.message for error in found], [])

    def test_documents_stay_small(self):
        for name in VARIABLES:
            self.assertLess(len(document(name).encode()), 10000)
