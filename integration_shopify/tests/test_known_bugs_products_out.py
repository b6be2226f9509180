"""Bugs that merchants met with other connectors, of products on their way to Shopify.

Numbers as in the list of known bugs: 5, 8, 11, 12, 18, 20, and two shops that must not be
mixed (9).
"""

import base64

from .test_products_out import BLUE, RED, ProductsOutCase


class TestKnownBugs(ProductsOutCase):
    def test_bug_05_media_image_ids_replaced_and_pictures_deleted(self):
        """A picture has two ids; we go by that of the MediaImage, and delete nobody's pictures."""
        template = self.template(image_1920=base64.b64encode(RED))
        made = self.publish(template)
        known = self.env["integration.shopify.image"].search([("backend_id", "=", self.backend.id)])
        self.assertEqual(known.external_id, made.media[0].gid)
        self.assertTrue(known.external_id.startswith("gid://shopify/MediaImage/"))
        theirs = self.store.add_media("https://example.com/a.png", "By hand")
        made.media.append(theirs)
        for picture in (BLUE, RED):
            template.image_1920 = base64.b64encode(picture)
            self.send()
            self.assertIn(theirs, made.media)
            self.assertEqual(len(made.media), 2)
        template.image_1920 = False
        self.send()
        self.assertEqual(made.media, [theirs])

    def test_bug_08_unarchive_left_variants_archived(self):
        template = self.template()
        made = self.publish(template)
        ids = [variant.gid for variant in made.variants]
        template.action_archive()
        self.send()
        self.assertEqual(made.status, "ARCHIVED")
        self.assertEqual(len(made.variants), 4)
        template.action_unarchive()
        self.send()
        self.assertEqual(made.status, "ACTIVE")
        self.assertEqual([variant.gid for variant in made.variants], ids)
        self.assertTrue(all(template.product_variant_ids.mapped("active")))

    def test_bug_09_two_shops_are_never_mixed(self):
        """Every call goes to the shop of the backend, however many are worked on in turn."""
        from .simulated import simulator

        second = simulator(shop="second")
        other = self.backend.copy({"name": "Second", "base_url": "second.myshopify.com"})
        other.write(
            {
                "state": "active",
                "shopify_domain": "second.myshopify.com",
                "shopify_currency": "USD",
            }
        )
        flow = other.flow_ids.filtered(
            lambda row: row.resource == "product" and row.direction == "out"
        )
        flow.write({"enabled": True, "debounce_seconds": 0})
        template = self.single()
        self.list_in_shop(template)
        self.list_in_shop(template, other)
        first = self.sim
        self.send()
        self.sim = second
        self.send(flow)
        self.assertEqual(len(first.shop.all("Product")), 1)
        self.assertEqual(len(second.shop.all("Product")), 1)
        links = self.env["integration.binding"].search(
            [("resource", "=", "product"), ("res_id", "=", template.id)]
        )
        self.assertEqual(links.backend_id, self.backend | other)
        template.shopify_listing_ids.filtered(lambda row: row.backend_id == other).publish = False
        self.send(flow)
        self.assertEqual(second.shop.all("Product")[0].status, "DRAFT")
        self.assertEqual(first.shop.all("Product")[0].status, "ACTIVE")

    def test_bug_11_cannot_delete_option_with_multiple_values(self):
        """An attribute with several values is dropped: options and variants change in one call."""
        template = self.template()
        made = self.publish(template)
        template.attribute_line_ids[1].unlink()
        for variant in template.product_variant_ids:
            variant.default_code = f"LS-{variant.product_template_attribute_value_ids.name}"
        self.send()
        self.assertEqual([option.name for option in made.options], ["Size"])
        self.assertEqual({variant.sku for variant in made.variants}, {"LS-S", "LS-M"})

    def test_bug_12_limit_for_simultaneous_publication_updates(self):
        """The product is there already; only its channels wait, and are tried again."""
        for name in ("Online", "Till", "Feed"):
            self.store.add_publication(name)
        self.read_channels()
        self.backend.shopify_channel_ids.shopify_publish = True
        self.store.config.publication_limit = 1
        template = self.single()
        self.list_in_shop(template)
        done = self.run_flow(self.out)
        self.assertEqual(done.mapped("state"), ["pending"])
        self.assertIn("busy", done.message)
        self.store.config.publication_limit = 250
        self.send()
        self.assertEqual(len(self.store.all("Product")), 1)
        self.assertEqual(len(self.of(template).publications), 3)

    def test_bug_18_kilograms_and_pounds(self):
        template = self.single(weight=1.5)
        self.env["ir.config_parameter"].set_param("product.weight_in_lbs", "1")
        made = self.publish(template)
        item = made.variants[0].item
        self.assertEqual((item.weight, made.variants[0].grams), ((1.5, "POUNDS"), 680))
        self.env["ir.config_parameter"].set_param("product.weight_in_lbs", "0")
        template.name = "Cup"
        self.send()
        self.assertEqual((item.weight, made.variants[0].grams), ((1.5, "KILOGRAMS"), 1500))

    def test_bug_20_one_bad_product_blocks_no_other(self):
        good, bad, also_good = (
            self.single(default_code=f"P{number}", name=f"P{number}") for number in range(3)
        )
        bad.list_price = -1
        ugly = self.single(default_code="P9", hs_code="12")
        self.list_in_shop(good | bad | ugly | also_good)
        done = self.run_flow(self.out)
        states = {row.res_id: row.state for row in done}
        self.assertEqual(
            [states[row.id] for row in (good, bad, ugly, also_good)],
            ["done", "dead", "dead", "done"],
        )
        refused = done.filtered(lambda row: row.res_id == ugly.id)
        self.assertIn("armonized", refused.message)
        self.assertEqual(len(self.store.all("Product")), 2)
