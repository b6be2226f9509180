"""Bugs that really happened to others (facts of the field), on the way of products into Odoo."""

from .product_common import ProductCase, matrix, product, variant


class TestKnownBugsProductsIn(ProductCase):
    def test_bug_08_unarchive_left_variants_archived(self):
        payload = matrix(1, ["S", "M"], ["Red", "Blue"])
        del payload["variants"]["nodes"][3]
        template = self.import_product(payload)
        variants = template.product_variant_ids
        payload["status"] = "ARCHIVED"
        self.import_product(payload)
        self.assertFalse(template.active)
        self.assertFalse(any(variants.mapped("active")))
        payload["status"] = "ACTIVE"
        self.import_product(payload)
        self.assertTrue(template.active)
        self.assertEqual(template.product_variant_ids, variants)
        self.assertEqual(len(template.with_context(active_test=False).product_variant_ids), 3)

    def test_bug_08_a_removed_variant_stays_archived(self):
        payload = matrix(1, ["S", "M"])
        template = self.import_product(payload)
        payload = matrix(1, ["S", "M"], status="ARCHIVED")
        del payload["variants"]["nodes"][1]
        self.import_product(payload)
        payload["status"] = "ACTIVE"
        self.import_product(payload)
        self.assertEqual(template.product_variant_ids.mapped("default_code"), ["SKU-11"])

    def test_bug_11_an_option_with_several_values_goes(self):
        template = self.import_product(matrix(1, ["S", "M"], ["Red", "Blue"]))
        kept = template.product_variant_ids.filtered(
            lambda v: v.default_code in ("SKU-11", "SKU-13")
        )
        payload = product(1, variant(11, ["S"]), variant(13, ["M"]))
        self.import_product(payload)
        self.assertEqual(template.product_variant_ids, kept)
        self.assertEqual(template.attribute_line_ids.attribute_id.mapped("name"), ["Size"])
        self.assertEqual(self.combinations(template), {"SKU-11": ("S",), "SKU-13": ("M",)})
        # and comes back
        self.import_product(matrix(1, ["S", "M"], ["Red", "Blue"]))
        self.assertEqual(len(template.product_variant_ids), 4)
        self.assertLessEqual(kept, template.product_variant_ids)

    def test_bug_18_kilograms_and_pounds(self):
        stock = {"measurement": {"weight": {"value": 10, "unit": "POUNDS"}}}
        self.assertEqual(self.import_product(product(5, variant(5, stock=stock))).weight, 4.54)
        self.env["ir.config_parameter"].set_param("product.weight_in_lbs", "1")
        self.assertEqual(self.import_product(product(6, variant(6, stock=stock))).weight, 10.0)
        stock = {"measurement": {"weight": {"value": 1, "unit": "KILOGRAMS"}}}
        self.assertEqual(self.import_product(product(7, variant(7, stock=stock))).weight, 2.2)

    def test_bug_20_one_bad_product_never_blocks_the_batch(self):
        self._product("TWICE")
        self._product("TWICE")
        good = [product(number) for number in (2, 3, 4, 5)]
        operations = self.bring(
            good[0],
            product(10, variant(10, sku="TWICE")),
            good[1],
            product(11, variant(11, price="cheap")),
            good[2],
            {**product(12), "title": None},
            good[3],
        )
        self.assertEqual(
            operations.mapped("state"), ["done", "dead", "done", "dead", "done", "dead", "done"]
        )
        for payload in good:
            self.assertTrue(self.template_of(payload))

    def test_deleted_and_made_again_with_the_same_skus(self):
        payload = matrix(1, ["S", "M"])
        template = self.import_product(payload)
        variants = template.product_variant_ids
        del self.shop.products[payload["id"]]
        [operation] = self.bring(payload, deleted=True)
        self.assertEqual(operation.state, "done", operation.message)
        self.assertFalse(template.active)
        again = matrix(2, ["S", "M"])
        for row, sku in zip(again["variants"]["nodes"], ("SKU-11", "SKU-12"), strict=True):
            row["sku"] = sku
        self.assertEqual(self.import_product(again), template)
        self.assertTrue(template.active)
        self.assertEqual(template.product_variant_ids, variants)

    def test_made_again_before_the_deletion_is_known(self):
        payload = matrix(1, ["S", "M"])
        template = self.import_product(payload)
        variants = template.product_variant_ids
        del self.shop.products[payload["id"]]
        again = matrix(2, ["S", "M"])
        for row, sku in zip(again["variants"]["nodes"], ("SKU-11", "SKU-12"), strict=True):
            row["sku"] = sku
        self.assertEqual(self.import_product(again), template)
        self.assertEqual(template.product_variant_ids, variants)
        [operation] = self.bring(payload, deleted=True)
        self.assertTrue(template.active, operation.message)

    def test_several_shops_sell_one_product(self):
        payload = matrix(1, ["S", "M"])
        template = self.import_product(payload)
        first, first_flow = self.backend, self.products_in
        second = self.env["integration.backend"].create(
            {"name": "Other shop", "connector": "shopify", "base_url": "other.myshopify.com"}
        )
        second.write(
            {"state": "active", "shopify_product_owner": "shopify", "shopify_currency": "USD"}
        )
        type(self).backend, type(self).products_in = (
            second,
            second.flow_ids.filtered(
                lambda flow: flow.resource == "product" and flow.direction == "in"
            ),
        )
        self.addCleanup(setattr, type(self), "backend", first)
        self.addCleanup(setattr, type(self), "products_in", first_flow)
        self.products_in.enabled = True
        self.shop.products.clear()
        other = matrix(5, ["S", "M"])
        for row, sku in zip(other["variants"]["nodes"], ("SKU-11", "SKU-12"), strict=True):
            row["sku"] = sku
        self.assertEqual(self.import_product(other), template)
        self.assertEqual(len(template.product_variant_ids), 2)
        # what one shop archives or deletes stays in use for the other
        other["status"] = "ARCHIVED"
        self.import_product(other)
        self.assertTrue(template.active)
        del self.shop.products[other["id"]]
        self.bring(other, deleted=True)
        self.assertTrue(template.active)
        links = self.env["integration.binding"].search([("resource", "=", "variant")])
        self.assertEqual(links.backend_id, first)
