"""A large catalogue is read by one bulk operation, and comes out as by single calls."""

from datetime import timedelta
from unittest.mock import patch

from odoo import fields

from odoo.addons.integration_base.lib.errors import NotReadyError

from ..models import integration_shopify_product
from .simulated import SimulatedCase


class TestProductsInBulk(SimulatedCase):
    def setUp(self):
        super().setUp()
        self.store.config.bulk_seconds = 0
        self.resource = self.env["integration.shopify.product"]
        self.backend.shopify_product_owner = "shopify"
        self.startPatcher(patch.object(integration_shopify_product, "BULK_FROM", 3))
        self.products = [
            self.store.add_product(
                {
                    "title": f"Shirt {number}",
                    "options": ["Size"],
                    "variants": [
                        {"sku": f"S{number}-{size}", "price": "30", "options": [size], "cost": "9"}
                        for size in ("S", "M", "L")
                    ],
                }
            )
            for number in range(3)
        ]

    def read_all(self, since=None):
        """Do all steps of reading everything; returns the payloads, None where it gives up."""
        from tests.simulators.shopify.bulk_api import finish

        page, found = None, {}
        for _step in range(50):
            try:
                with self.enter_registry_test_mode():
                    result = self.resource._fetch_all(self.backend, since, page)
            except NotReadyError:
                for operation in self.store.all("BulkOperation"):
                    finish(self.store, operation)
                self.env.cr.execute("UPDATE integration_shopify_bulk SET looked_at = NULL")
                continue
            if result is None:
                return None
            found |= {change.external_id: change.payload for change in result.changes}
            page = result.next_page
            if page is None:
                return found
        return self.fail("it does not end")

    def check_equal(self, by_bulk):
        ids = [product.gid for product in self.products]
        by_calls = self.resource._fetch(self.backend, ids)
        self.assertEqual(by_bulk.keys(), set(ids))
        for gid in ids:
            one, other = (
                self.resource._validate(self.backend, payloads[gid], "")
                for payloads in (by_bulk, by_calls)
            )
            self.assertEqual(
                self.resource._digest(one), self.resource._digest(other), "it would be written anew"
            )

    def test_it_is_the_same_as_by_single_calls(self):
        by_bulk = self.read_all()
        self.assertEqual(self.calls["BulkQueryRun"], 1)
        self.assertEqual(self.calls["bulk result"], 1)
        self.check_equal(by_bulk)

    def test_metafields_that_are_mapped_come_along(self):
        self.env["integration.field.mapping"].create(
            {
                "connector": "shopify",
                "resource": "product",
                "backend_id": self.backend.id,
                "external_path": "metafields.custom.care",
                "field_id": self.env.ref("product.field_product_template__description_sale").id,
            }
        )
        for product in self.products:
            self.store.write_metafield(product, "custom", "care", "single_line_text_field", "Cold")
        by_bulk = self.read_all()
        self.check_equal(by_bulk)
        [care] = {
            row["value"] for payload in by_bulk.values() for row in payload["metafields"]["nodes"]
        }
        self.assertEqual(care, "Cold")

    def test_only_what_has_changed_since(self):
        self.read_all(since=fields.Datetime.now() + timedelta(days=1))
        [operation] = self.store.all("BulkOperation")
        self.assertRegex(operation.query, r"updated_at:>='20\d\d-\d\d-\d\dT[0-9:]+Z'")

    def test_a_small_catalogue_is_read_by_calls(self):
        with patch.object(integration_shopify_product, "BULK_FROM", 4):
            self.assertIsNone(self.read_all())
        self.assertFalse(self.calls["BulkQueryRun"])

    def test_without_the_right_to_all_of_it_calls_tell_what_is_missing(self):
        self.store.config.bulk_failure = "ACCESS_DENIED"
        self.assertIsNone(self.read_all())
        [operation] = self.env["integration.shopify.bulk"].search([])
        self.assertEqual((operation.state, operation.error_code), ("failed", "ACCESS_DENIED"))
