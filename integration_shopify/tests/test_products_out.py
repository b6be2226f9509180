"""Products of Odoo in a simulated shop: made once, kept up to date, nothing of others lost."""

import base64

from odoo.fields import Command
from odoo.tests import tagged

from .simulated import SimulatedCase

#: Two pictures of one pixel each.
RED = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
BLUE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPj/HwADBwIAMCbHYQAAAABJRU5ErkJggg=="
)


@tagged("post_install", "-at_install")
class ProductsOutCase(SimulatedCase):
    """What the tests of products that leave Odoo need."""

    def setUp(self):
        super().setUp()
        self.backend.shopify_currency = "USD"
        self.out = self.backend.flow_ids.filtered(
            lambda flow: flow.resource == "product" and flow.direction == "out"
        )
        self.out.write({"enabled": True, "debounce_seconds": 0})
        self.env.flush_all()

    def template(self, **values):
        """Return a product with two sizes in two colours."""
        size = self.attribute("Size", "S", "M")
        colour = self.attribute("Colour", "Red", "Blue")
        template = self.env["product.template"].create(
            {
                "name": "Linen Shirt",
                "type": "consu",
                "is_storable": True,
                "list_price": 30,
                "taxes_id": False,
                "attribute_line_ids": [
                    Command.create(
                        {
                            "attribute_id": attribute.id,
                            "value_ids": [Command.set(attribute.value_ids.ids)],
                        }
                    )
                    for attribute in (size, colour)
                ],
                **values,
            }
        )
        for variant in template.product_variant_ids:
            variant.default_code = "LS-" + "-".join(
                variant.product_template_attribute_value_ids.mapped("name")
            )
        return template

    def attribute(self, name, *values):
        return self.env["product.attribute"].create(
            {
                "name": name,
                "create_variant": "always",
                "value_ids": [Command.create({"name": value}) for value in values],
            }
        )

    def single(self, **values):
        return self.env["product.template"].create(
            {
                "name": "Mug",
                "type": "consu",
                "is_storable": True,
                "default_code": "MUG",
                "list_price": 12.5,
                "taxes_id": False,
                **values,
            }
        )

    def list_in_shop(self, templates, backend=None):
        return self.env["integration.shopify.listing"].create(
            [
                {"product_tmpl_id": template.id, "backend_id": (backend or self.backend).id}
                for template in templates
            ]
        )

    def send(self, flow=None):
        """Run what is due and return the operations; everything has to succeed."""
        done = self.run_flow(flow or self.out)
        for row in done:
            self.assertIn(row.state, ("done", "merged", "skipped"), row.message)
        return done

    def publish(self, template):
        """Put a product into the shop; returns the shop's record of it."""
        self.list_in_shop(template)
        self.send()
        self.calls.clear()
        return self.of(template)

    def of(self, template, backend=None):
        link = self.env["integration.binding"]._search_records(
            backend or self.backend, "product", template
        )
        return self.store.find(link.external_id) if link else None


class TestProductsOut(ProductsOutCase):
    def test_made_with_everything(self):
        category = self.env["product.category"].create({"name": "Shirts"})
        self.env["integration.mapping"].create(
            {
                "backend_id": self.backend.id,
                "kind": "product_category",
                "external_value": "gid://shopify/TaxonomyCategory/aa-1",
                "resource_ref": f"product.category,{category.id}",
            }
        )
        tag = self.env["product.tag"].create({"name": "summer"})
        template = self.template(
            categ_id=category.id,
            product_tag_ids=tag.ids,
            hs_code="6205.20",
            country_of_origin=self.env.ref("base.pt").id,
            shopify_description="<p>Cool <script>x</script></p>",
            shopify_oversell=True,
            shopify_vendor="Norte",
        )
        template.product_variant_ids.weight = 0.3
        template.product_variant_ids.standard_price = 9
        template.product_variant_ids[0].barcode = "4006381333931"
        made = self.publish(template)
        self.assertEqual(made.title, "Linen Shirt")
        self.assertEqual([option.name for option in made.options], ["Size", "Colour"])
        self.assertEqual(len(made.variants), 4)
        self.assertEqual(made.tags, ["summer"])
        self.assertEqual(made.vendor, "Norte")
        self.assertEqual(made.product_type, "Shirts")
        self.assertEqual(made.category, "gid://shopify/TaxonomyCategory/aa-1")
        self.assertEqual(made.description_html, "<p>Cool </p>")
        first = made.variants[0]
        self.assertEqual(first.sku, "LS-S-Red")
        self.assertEqual(first.barcode, "4006381333931")
        self.assertEqual(str(first.price), "30.00")
        self.assertEqual(first.policy, "CONTINUE")
        self.assertEqual(first.item.weight, (0.3, "KILOGRAMS"))
        self.assertEqual(first.item.hs_code, "620520")
        self.assertEqual(first.item.origin, "PT")
        self.assertEqual(str(first.item.cost), "9.00")
        self.assertTrue(first.item.tracked)
        links = self.env["integration.binding"].search(
            [("backend_id", "=", self.backend.id), ("resource", "in", ("variant", "inventory_item"))]
        )
        self.assertEqual(len(links), 8)
        listing = template.shopify_listing_ids
        self.assertEqual(listing.state, "done")
        self.assertIn("/products/", listing.url)

    def test_unchanged_costs_nothing(self):
        template = self.template()
        self.publish(template)
        self.env["integration.sync.log"]._append_records(self.out, template, "change")
        self.send()
        self.assertFalse(self.calls)

    def test_a_price_costs_one_reading_and_one_writing(self):
        template = self.template()
        made = self.publish(template)
        template.list_price = 31
        self.send()
        self.assertEqual(self.calls, {"ProductState": 1, "ProductVariantsUpdate": 1})
        self.assertEqual({str(variant.price) for variant in made.variants}, {"31.00"})

    def test_a_name_costs_one_reading_and_one_writing(self):
        template = self.template()
        made = self.publish(template)
        template.name = "Flax Shirt"
        self.send()
        self.assertEqual(self.calls, {"ProductState": 1, "ProductUpdate": 1})
        self.assertEqual(made.title, "Flax Shirt")

    def test_nothing_is_published_by_accident(self):
        self.single()
        self.send()
        self.assertFalse(self.store.all("Product"))
        self.assertFalse(self.calls)

    def test_what_shopify_owns_stays(self):
        tag = self.env["product.tag"].create({"name": "summer"})
        template = self.template(product_tag_ids=tag.ids)
        made = self.publish(template)
        shelf = self.store.add_collection("By hand")
        shelf.products.append(made)
        made.tags.append("Editor's choice")
        made.media.append(self.store.add_media("https://example.com/a.png", "By hand"))
        self.store.set_metafield(made, "custom", "care", "single_line_text_field", "cold")
        made.vendor, made.seo = "Set there", {"title": "SEO"}
        extra = self.store.option_value(made.options[0], "XL")
        self.store.add_variant(made, ["XL", "Red"], {"sku": "BY-HAND"})
        made.variants[1].item.hs_code = "999999"
        template.write({"name": "Flax Shirt", "list_price": 31, "product_tag_ids": False})
        self.send()
        self.assertEqual(made.title, "Flax Shirt")
        self.assertEqual(made.tags, ["Editor's choice"])
        self.assertEqual(len(made.media), 1)
        self.assertIn(made, shelf.products)
        fields_of = {(row.namespace, row.key): row.value for row in made.metafields}
        self.assertEqual(fields_of["custom", "care"], "cold")
        self.assertEqual(made.vendor, "Set there")
        self.assertEqual(made.seo["title"], "SEO")
        self.assertEqual(len(made.variants), 5)
        self.assertTrue(extra.used)
        self.assertEqual(made.variants[1].item.hs_code, "999999")
        self.assertIn("BY-HAND", template.shopify_listing_ids.note)
