import os
from unittest import SkipTest
from unittest.mock import patch

from odoo.addons.integration_base.lib.records import Change

from ..lib.client import Answer, GraphqlClient, document
from .product_common import ProductCase


class TestProductsSimulated(ProductCase):
    """The import reads a stateful shop as it changes."""

    def setUp(self):
        super().setUp()
        try:
            from tests.simulators.shopify.app import Simulator
            from tests.simulators.shopify.shop import Config
        except ImportError:
            if os.environ.get("CI") == "true":
                raise
            raise SkipTest("The simulated shop is not here.") from None
        self.sim = Simulator(
            Config(currency="USD", search_delay=0, cost_bucket=1_000_000), seed=False
        )
        self.store = self.sim.shop
        self.store.add_location("Main")
        self.asked = []
        self.startPatcher(patch.object(GraphqlClient, "_ask", self._ask_simulator))

    def _ask_simulator(self, name, variables, money):
        self.asked.append(name)
        with self.store.lock:
            body = self.sim.executor.run(
                document(name, money), variables, None, self.store.config.scopes, "2026-10"
            ).body
        return Answer(data=body.get("data") or {}, errors=body.get("errors") or [])

    def sync(self, *records):
        operations = self.env["integration.sync.log"]._append(
            self.products_in, [Change(record.gid) for record in records], "manual"
        )
        self.run_flow(self.products_in)
        self.assertEqual(set(operations.mapped("state")), {"done"}, operations.mapped("message"))
        found = self.env["integration.binding"]._find(
            self.backend, "product", [record.gid for record in records]
        )
        return [found[record.gid] for record in records]

    def test_a_product_of_the_shop_and_what_becomes_of_it(self):
        shirt = self.store.add_product(
            {
                "title": "Linen Shirt",
                "options": ["Size", "Colour"],
                "variants": [
                    {"sku": "LS-S", "price": "30", "options": ["S", "Red"],
                     "weight": [1.5, "POUNDS"]},
                    {"sku": "LS-M", "price": "31", "options": ["M", "Red"], "cost": "9"},
                ],
                "tags": ["summer"],
                "images": [{"source": "https://example.com/shirt.png", "alt": "A shirt"}],
            }
        )  # fmt: skip
        mug = self.store.add_product({"sku": "MUG", "price": "9"})
        template, plain = self.sync(shirt, mug)
        self.assertEqual(self.combinations(template), {"LS-S": ("S", "Red"), "LS-M": ("M", "Red")})
        small, medium = template.product_variant_ids.sorted("default_code", reverse=True)
        self.assertEqual((small.lst_price, medium.lst_price), (30, 31))
        self.assertEqual((small.weight, medium.standard_price), (0.68, 9))
        self.assertFalse(plain.attribute_line_ids)
        self.assertEqual(plain.default_code, "MUG")
        resource = self.env["integration.shopify.product"]
        self.assertEqual(resource._count(self.backend), 2)
        self.assertEqual(resource._resolve_reference(self.backend, "LS-M"), shirt.gid)
        listed = resource._fetch_changes(self.backend, None, None).changes
        self.assertEqual({change.external_id for change in listed}, {shirt.gid, mug.gid})
        pictures = self.env["integration.shopify.picture"]._fetch(self.backend, [shirt.gid])
        self.assertEqual(pictures[shirt.gid]["title"], "Linen Shirt")
        self.asked.clear()
        shirt.title = "Shirt"
        shirt.variants[1].price = shirt.variants[0].price
        self.assertEqual(self.sync(shirt), [template])
        self.assertEqual(self.asked, ["products"])
        self.assertEqual((template.name, medium.lst_price), ("Shirt", 30))

    def test_more_variants_than_a_page(self):
        rows = [{"sku": f"S{at}", "options": [f"V{at}"]} for at in range(260)]
        wide = self.store.add_product({"title": "Wide", "options": ["Size"], "variants": rows})
        [template] = self.sync(wide)
        self.assertEqual(len(template.product_variant_ids), 260)

    def test_made_by_odoo_and_not_linked_yet(self):
        """Notified of before the creation is noted; without any code to know it by."""
        key = self.backend._shopify_metafield_key()
        self.backend.shopify_product_key = key
        template = self.env["product.template"].create({"name": "Plain"})
        own = {"namespace": "odoo", "key": key, "type": "id", "value": str(template.id)}
        ours, other = (
            self.store.add_product({"title": "Plain", "price": "9", "metafields": [own]})
            for _ in range(2)
        )
        self.assertEqual(self.sync(ours), [template])
        # Shopify copies metafields when somebody duplicates a product there
        self.assertNotEqual(self.sync(other), [template])
