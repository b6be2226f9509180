"""Products of Odoo in a simulated shop: made once, kept up to date, nothing of others lost."""

import base64
from datetime import timedelta
from decimal import Decimal

from freezegun import freeze_time

from odoo import fields
from odoo.exceptions import UserError
from odoo.fields import Command
from odoo.tests import new_test_user, tagged

from odoo.addons.integration_base.lib.records import Change, Item

from ..lib import catalogue
from ..lib.resources import VARIANT
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

    def read_channels(self):
        settings = self.backend.flow_ids.filtered(lambda flow: flow.resource == "setting")
        self.env["integration.sync.log"]._append(settings, [Change("publication")], "poll")
        self.send(settings)

    def link_variant(self, variant, product):
        """Link a variant of the shop to a product, as an import or a person does."""
        self.env["integration.shopify.product"]._link_variants(
            self.backend, {variant.gid: (product, variant.item.gid, variant.sku)}
        )

    def linked_to(self, variant):
        """Return the product that a variant of the shop is linked to, if any."""
        found = self.env["integration.binding"]._find(self.backend, VARIANT, [variant.gid])
        return found.get(variant.gid)

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
        template.product_variant_ids.sorted("id")[0].barcode = "4006381333931"
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
            [
                ("backend_id", "=", self.backend.id),
                ("resource", "in", ("variant", "inventory_item")),
            ]
        )
        self.assertEqual(len(links), 8)
        listing = template.shopify_listing_ids
        self.assertEqual(listing.state, "done")
        self.assertIn("/products/", listing.url)

    def test_counts_where_it_is_published(self):
        template = self.single()
        self.publish(template)
        self.assertEqual((template.shopify_shop_count, template.shopify_published_count), (1, 1))
        template.action_shopify_unpublish()
        self.assertEqual((template.shopify_shop_count, template.shopify_published_count), (1, 0))

    def test_page_warns_of_another_currency(self):
        self.assertFalse(self.backend.shopify_sales_currency)
        self.backend.shopify_currency = "CHF"
        self.assertEqual(self.backend.shopify_sales_currency, "USD")
        chf = self.env.ref("base.CHF")
        chf.active = True
        self.backend.shopify_pricelist_id = self.env["product.pricelist"].create(
            {"name": "Web", "currency_id": chf.id}
        )
        self.assertFalse(self.backend.shopify_sales_currency)

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
        self.store.write_metafield(made, "custom", "care", "single_line_text_field", "cold")
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

    # === PICTURES === #

    def test_pictures_are_sent_once(self):
        template = self.template(image_1920=base64.b64encode(RED))
        blue = template.product_variant_ids.sorted("id")[1]
        blue.image_variant_1920 = base64.b64encode(BLUE)
        self.list_in_shop(template)
        self.send()
        made = self.of(template)
        self.assertEqual(self.calls["upload"], 2)
        self.assertEqual(len(made.media), 2)
        self.assertEqual(made.variants[1].media, [made.media[1]])
        self.calls.clear()
        template.name = "Flax Shirt"
        self.send()
        self.assertEqual(self.calls, {"ProductState": 1, "ProductUpdate": 1})

    def test_a_new_picture_takes_the_place_of_the_old_one(self):
        template = self.single(image_1920=base64.b64encode(RED))
        made = self.publish(template)
        other = self.store.add_media("https://example.com/a.png", "By hand")
        made.media.append(other)
        old = made.media[0]
        template.image_1920 = base64.b64encode(BLUE)
        self.send()
        self.assertEqual(self.calls["upload"], 1)
        self.assertEqual(len(made.media), 2)
        self.assertEqual(made.media[1], other)
        self.assertNotIn(old, made.media)

    def test_pictures_that_came_from_the_shop_are_not_sent_back(self):
        """They are ours only as long as Odoo shows them: the shop keeps them afterwards."""
        template = self.single()
        made = self.publish(template)
        theirs = self.store.add_media("https://example.com/a.png", "By hand")
        made.media.append(theirs)
        template.image_1920 = base64.b64encode(RED)
        checksums = self.env["integration.shopify.product"]._checksums(
            self.backend, template, template.product_variant_ids
        )
        self.env["integration.shopify.image"]._learn(
            self.backend, {template.id: {checksums["product.template", template.id]: theirs.gid}}
        )
        self.send()
        self.assertFalse(self.calls["upload"])
        self.assertEqual(made.media, [theirs])
        template.image_1920 = base64.b64encode(BLUE)
        self.send()
        self.assertEqual(self.calls["upload"], 1)
        self.assertEqual(len(made.media), 2)
        self.assertEqual(made.media[1], theirs)

    def test_a_variant_gets_its_picture_later(self):
        template = self.template()
        made = self.publish(template)
        template.product_variant_ids.sorted("id")[2].image_variant_1920 = base64.b64encode(BLUE)
        self.send()
        self.assertEqual(
            self.calls,
            {"ProductState": 1, "ProductUploads": 1, "upload": 1, "ProductVariantsUpdate": 1},
        )
        self.assertEqual(made.variants[2].media, made.media)
        self.assertEqual(len(made.media), 1)

    # === VARIANTS === #

    def test_a_value_more_and_a_value_less(self):
        template = self.template()
        made = self.publish(template)
        kept = {variant.sku: variant.gid for variant in made.variants}
        size = template.attribute_line_ids[0]
        large = self.env["product.attribute.value"].create(
            {"name": "L", "attribute_id": size.attribute_id.id}
        )
        size.value_ids = [Command.link(large.id)]
        for variant in template.product_variant_ids.filtered(lambda row: not row.default_code):
            variant.default_code = "LS-" + "-".join(
                variant.product_template_attribute_value_ids.mapped("name")
            )
        self.send()
        self.assertEqual(len(made.variants), 6)
        self.assertEqual(self.calls, {"ProductState": 1, "ProductVariantsCreate": 1})
        self.assertEqual(
            {variant.sku: variant.gid for variant in made.variants[:4]}, kept, "ids stay"
        )
        size.value_ids = [Command.unlink(size.attribute_id.value_ids[0].id)]
        self.send()
        self.assertEqual(
            {variant.sku for variant in made.variants},
            {"LS-M-Red", "LS-M-Blue", "LS-L-Red", "LS-L-Blue"},
        )
        links = self.env["integration.binding"].search(
            [("backend_id", "=", self.backend.id), ("resource", "=", "variant")]
        )
        self.assertEqual(
            set(links.mapped("external_id")), {variant.gid for variant in made.variants}
        )

    def test_a_renamed_value_keeps_the_variant(self):
        template = self.template()
        made = self.publish(template)
        ids = [variant.gid for variant in made.variants]
        template.attribute_line_ids[1].value_ids[0].name = "Crimson"
        self.send()
        self.assertEqual([variant.gid for variant in made.variants], ids)
        self.assertEqual(made.variants[0].options, [("Size", "S"), ("Colour", "Crimson")])

    def test_a_renamed_attribute_keeps_the_variants(self):
        template = self.template()
        made = self.publish(template)
        ids = [variant.gid for variant in made.variants]
        template.attribute_line_ids[1].attribute_id.name = "Color"
        self.send()
        self.assertEqual([variant.gid for variant in made.variants], ids)
        self.assertEqual([option.name for option in made.options], ["Size", "Color"])

    def test_options_are_not_changed_over_the_head_of_the_shop(self):
        template = self.template()
        made = self.publish(template)
        self.store.option_value(made.options[0], "XL")
        self.store.add_variant(made, ["XL", "Red"], {"sku": "BY-HAND"})
        template.attribute_line_ids[1].attribute_id.name = "Color"
        template.name = "Flax Shirt"
        done = self.run_flow(self.out)
        self.assertEqual(done.mapped("state"), ["dead"])
        self.assertIn("BY-HAND", done.message)
        self.assertEqual(len(made.variants), 5)
        self.assertEqual(made.title, "Linen Shirt", "all of it or nothing")

    def test_a_variant_that_is_another_product_stays(self):
        template = self.template()
        made = self.publish(template)
        self.store.option_value(made.options[0], "XL")
        theirs = self.store.add_variant(made, ["XL", "Red"], {"sku": "XL"})
        other = self.single(name="Shirt XL", default_code="XL").product_variant_ids
        self.link_variant(theirs, other)
        template.name = "Flax Shirt"
        self.send()
        self.assertEqual(made.title, "Flax Shirt")
        self.assertEqual(len(made.variants), 5)
        self.assertEqual(self.linked_to(theirs), other)
        note = template.shopify_listing_ids.note
        self.assertIn("other products in Odoo: XL / Red (XL)", note)
        self.assertNotIn("only Shopify", note)

    def test_a_variant_moved_to_another_product_is_neither_taken_back_nor_made_again(self):
        template = self.template()
        made = self.publish(template)
        moved = made.variants[1]
        other = self.single(name="A shirt of its own", default_code="OWN").product_variant_ids
        self.link_variant(moved, other)
        template.list_price = 31
        self.send()
        self.assertEqual(len(made.variants), 4)
        self.assertEqual(
            [str(variant.price) for variant in made.variants], ["31.00", "30.00", "31.00", "31.00"]
        )
        self.assertEqual(self.linked_to(moved), other)
        template.attribute_line_ids[1].attribute_id.name = "Color"
        done = self.run_flow(self.out)
        self.assertEqual(done.mapped("state"), ["dead"])
        self.assertIn(moved.sku, done.message)
        self.assertEqual(len(made.variants), 4)

    def test_a_single_product_gets_sizes(self):
        template = self.single()
        made = self.publish(template)
        self.assertTrue(made.only_default)
        size = self.attribute("Size", "S", "M")
        template.attribute_line_ids = [
            Command.create(
                {"attribute_id": size.id, "value_ids": [Command.set(size.value_ids.ids)]}
            )
        ]
        self.send()
        self.assertEqual([option.name for option in made.options], ["Size"])
        self.assertEqual(len(made.variants), 2)

    def test_too_many_variants_are_refused_before_the_call(self):
        template = self.template()
        self.list_in_shop(template)
        limit, catalogue.MAX_VARIANTS = catalogue.MAX_VARIANTS, 3
        try:
            done = self.run_flow(self.out)
        finally:
            catalogue.MAX_VARIANTS = limit
        self.assertEqual(done.mapped("state"), ["dead"])
        self.assertIn("4 variants, Shopify allows 3", done.message)
        self.assertFalse(self.calls)

    # === ENDS === #

    def test_archived_and_back(self):
        template = self.template()
        made = self.publish(template)
        template.active = False
        self.send()
        self.assertEqual(made.status, "ARCHIVED")
        self.assertEqual(self.calls, {"ProductState": 1, "ProductUpdate": 1})
        template.active = True
        self.send()
        self.assertEqual(made.status, "ACTIVE")
        self.assertEqual(len(made.variants), 4)

    def test_deleted(self):
        for policy, status in (("archive", "ARCHIVED"), ("keep", "ACTIVE"), ("delete", None)):
            self.backend.shopify_deleted_policy = policy
            template = self.single(default_code=f"DEL-{policy}")
            made = self.publish(template)
            template.unlink()
            self.send()
            self.assertEqual(made.status if made in self.store.all("Product") else None, status)

    def test_unpublished(self):
        template = self.single()
        made = self.publish(template)
        template.action_shopify_unpublish()
        self.send()
        self.assertEqual(made.status, "DRAFT")
        template.action_shopify_publish()
        self.send()
        self.assertEqual(made.status, "ACTIVE")

    def test_publish_says_what_happens(self):
        templates = self.single() | self.single(default_code="CUP")
        templates[0].shopify_listing_ids = [
            Command.create({"backend_id": self.backend.id, "publish": False})
        ]

        def said():
            params = templates.action_shopify_publish()["params"]
            return params["type"], params["message"]

        self.assertEqual(said(), ("success", f"Products on their way to {self.backend.name}: 2."))
        self.assertEqual(templates.shopify_listing_ids.mapped("publish"), [True, True])
        self.assertEqual(said()[0], "info")
        templates.action_shopify_unpublish()
        self.out.enabled = False
        kind, message = said()
        self.assertEqual(kind, "warning")
        self.assertIn("2. They are sent as soon as the flow Products (Out of Odoo)", message)

    def test_settings_of_the_shop_reach_products_that_are_there(self):
        channel = self.store.add_publication("Online Store")
        self.read_channels()
        template = self.single()
        made = self.publish(template)
        self.backend.shopify_vendor = "Acme"
        self.send()
        self.assertEqual(made.vendor, "Acme")
        row = self.backend.shopify_channel_ids
        for shown in (True, False):
            row.shopify_publish = shown
            self.send()
            self.assertEqual(channel.id in made.publications, shown)
        self.backend.write({"shopify_vendor": "Acme", "shopify_product_status": "DRAFT"})
        self.assertFalse(self.send(), "no product depends on what was changed")

    def test_prices_that_follow_a_rate_of_exchange(self):
        chf = self.env.ref("base.CHF")
        chf.active = True
        rate = self.env["res.currency.rate"].create({"currency_id": chf.id, "rate": 0.8})
        self.backend.shopify_currency = "CHF"
        self.backend.shopify_pricelist_id = self.env["product.pricelist"].create(
            {"name": "Swiss shop", "currency_id": chf.id}
        )
        made = self.publish(self.single())
        (variant,) = made.variants
        self.assertEqual(variant.price, Decimal("10.00"))
        self.backend._connector()._check_daily(self.backend)
        self.calls.clear()
        self.send()
        self.assertFalse(self.calls, "the same price costs no call")
        rate.rate = 0.9
        self.backend._connector()._check_daily(self.backend)
        self.send()
        self.assertEqual(variant.price, Decimal("11.25"))

    def test_shared_products_follow_the_rate_of_the_main_company(self):
        eur = self.env.ref("base.EUR")
        eur.active = True
        other = self.second_company(eur, rate=0.5)
        flow = other.flow_ids.filtered(
            lambda flow: flow.resource == "product" and flow.direction == "out"
        )
        flow.enabled = True
        self.list_in_shop(self.single(), other)
        waiting = [("flow_id", "=", flow.id), ("state", "=", "pending")]
        self.env["integration.sync.log"].search(waiting).write({"state": "done"})
        other._connector()._check_daily(other)
        self.env.cr.precommit.run()
        self.assertTrue(self.env["integration.sync.log"].search(waiting))

    def test_people_of_sales_and_products_need_no_role_of_the_integration(self):
        template = self.single()
        self.publish(template)
        asked = {
            "backend_id": {"fields": {"display_name": {}}},
            "url": {},
            "state": {},
            "message": {},
        }
        for group in ("sales_team.group_sale_salesman", "product.group_product_manager"):
            user = new_test_user(self.env, f"plain {group}", groups=f"base.group_user,{group}")
            self.env.invalidate_all()
            [found] = template.with_user(user).web_read({"shopify_listing_ids": {"fields": asked}})
            [line] = found["shopify_listing_ids"]
            self.assertEqual(line["backend_id"]["display_name"], self.backend.name)
            self.assertIn("https://admin.shopify.com/", line["url"])
        other = self.single(default_code="CUP").with_user(user)
        self.assertEqual(other.action_shopify_publish()["params"]["type"], "success")
        self.send()
        self.assertTrue(self.of(other))
        with self.assertRaisesRegex(UserError, "still in"):
            other.shopify_listing_ids.unlink()

    def test_many_settings_send_the_products_once_and_after_others(self):
        templates = self.single() | self.single(default_code="CUP")
        for template in templates:
            self.publish(template)
        Log = self.env["integration.sync.log"]
        waiting = [("flow_id", "=", self.out.id), ("state", "=", "pending")]
        templates[0].name = "Changed"
        self.env.flush_all()
        self.env.cr.precommit.run()
        tag = self.env["product.tag"].create({"name": "New"})
        Mapping = self.env["integration.mapping"]
        rows = Mapping.create(
            [
                {
                    "backend_id": self.backend.id,
                    "kind": "collection",
                    "external_value": f"gid://shopify/Collection/{number}",
                    "resource_ref": f"product.tag,{tag.id}",
                }
                for number in range(3)
            ]
        )
        self.backend.write({"shopify_vendor": "Acme", "shopify_send_type": False})
        self.env.cr.precommit.run()
        found = Log.search(waiting)
        self.assertEqual(sorted(found.mapped("res_id")), templates.ids)
        by_id = {row.res_id: row for row in found}
        self.assertLess(by_id[templates[0].id].priority, by_id[templates[1].id].priority)
        self.send()
        rows.write({"resource_ref": f"product.tag,{tag.id}"})
        rows.write({"resource_ref": False, "source": "automatic"})
        self.env.cr.precommit.run()
        self.assertFalse(Log.search(waiting), "nothing that a person has said")

    def test_the_own_status_of_the_shop_comes_back(self):
        for default, own, back in (
            ("ACTIVE", "DRAFT", "DRAFT"),
            ("DRAFT", "ACTIVE", "ACTIVE"),
            ("ACTIVE", "ARCHIVED", "ACTIVE"),
        ):
            with self.subTest(default=default, own=own):
                self.backend.shopify_product_status = default
                template = self.single(default_code=f"{default}-{own}")
                made = self.publish(template)
                made.status = own
                for name, between in (("active", "ARCHIVED"), ("publish", "DRAFT")):
                    record = template if name == "active" else template.shopify_listing_ids
                    record[name] = False
                    self.send()
                    self.assertEqual(made.status, between)
                    record[name] = True
                    self.send()
                    self.assertEqual(made.status, back)
                    made.status = own

    def import_products(self, *records):
        flow = self.backend.flow_ids.filtered(
            lambda flow: flow.resource == "product" and flow.direction == "in"
        )
        flow.enabled = True
        changes = [Change(record.gid) for record in records]
        operations = self.env["integration.sync.log"]._append(flow, changes, "manual")
        self.run_flow(flow)
        self.assertEqual(set(operations.mapped("state")), {"done"}, operations.mapped("message"))

    def test_what_an_import_only_links_was_not_sent(self):
        made = self.store.add_product({"title": "Old mug", "sku": "MUG", "price": "9.00"})
        template = self.single()
        self.import_products(made)
        self.assertEqual(self.of(template), made)
        self.assertEqual(str(made.variants[0].price), "9.00")
        template.action_shopify_publish()
        self.send()
        self.assertEqual((made.title, str(made.variants[0].price)), ("Mug", "12.50"))

    def test_what_an_import_makes_is_not_sent_back(self):
        made = self.store.add_product({"title": "New mug", "sku": "NEW", "price": "9.00"})
        self.import_products(made)
        template = self.env["product.template"].search([("default_code", "=", "NEW")])
        self.calls.clear()
        template.action_shopify_publish()
        self.send()
        self.assertFalse([name for name in self.calls if name != "ProductState"])

    def test_prices_that_cannot_be_sent_keep_no_product_from_being_imported(self):
        self.backend.shopify_currency = "CHF"
        self.import_products(self.store.add_product({"title": "New mug", "sku": "NEW"}))
        self.assertTrue(self.env["product.template"].search([("default_code", "=", "NEW")]))

    def test_products_of_the_first_batch_are_known_before_their_creation_is_noted(self):
        self.assertFalse(self.backend.shopify_product_key)
        template = self.single(default_code=False)
        key = self.backend._shopify_metafield_key()
        own = {"namespace": "odoo", "key": key, "type": "id", "value": str(template.id)}
        made = self.store.add_product({"title": "Mug", "metafields": [own]})
        self.import_products(made)
        self.assertEqual(self.of(template), made)

    def test_another_account_has_nothing_of_the_first(self):
        template = self.single(image_1920=base64.b64encode(RED))
        self.publish(template)
        listing = template.shopify_listing_ids
        self.assertTrue(self.backend.shopify_product_key and listing.external_id)
        self.backend._forget_records()
        self.assertFalse(self.backend.shopify_product_key or listing.external_id or listing.memory)
        images = self.env["integration.shopify.image"]
        self.assertFalse(images.search([("backend_id", "=", self.backend.id)]))

    def test_products_that_no_channel_shows(self):
        self.assertFalse(self.backend.shopify_shown_nowhere, "no channel is known")
        self.store.add_publication("Online Store")
        self.read_channels()
        self.assertTrue(self.backend.shopify_shown_nowhere)
        self.backend.shopify_channel_ids.shopify_publish = True
        self.assertFalse(self.backend.shopify_shown_nowhere)

    def test_what_is_in_the_shop_stays_in_the_list(self):
        template = self.single()
        made = self.publish(template)
        listing = template.shopify_listing_ids
        with self.assertRaisesRegex(UserError, "Mug: still in .* switch Publish off"):
            listing.unlink()
        link = self.env["integration.binding"]._search_records(self.backend, "product", template)
        link.unlink()
        listing.unlink()
        template.name = "Cup"
        self.send()
        self.assertEqual((made.title, made.status), ("Mug", "ACTIVE"), "let go of")
        self.assertFalse(template.shopify_listing_ids)

    def test_what_is_not_in_the_shop_leaves_the_list(self):
        template = self.single()
        self.list_in_shop(template).unlink()
        self.send()
        self.assertFalse(self.store.all("Product"))
        self.publish(template)
        link = self.env["integration.binding"]._search_records(self.backend, "product", template)
        link.deleted_at = self.env.cr.now()
        template.shopify_listing_ids.unlink()
        template.name = "Cup"
        self.send()
        self.assertFalse(template.shopify_listing_ids)

    # === FINDING === #

    def test_linked_by_sku(self):
        made = self.store.add_product(
            {
                "title": "Linen",
                "options": ["Size", "Colour"],
                "variants": [
                    {"sku": "LS-S-Red", "options": ["S", "Red"]},
                    {"sku": "LS-M-Red", "options": ["M", "Red"]},
                ],
            }
        )
        template = self.template()
        self.list_in_shop(template)
        self.send()
        self.assertEqual(self.store.all("Product"), [made])
        self.assertEqual(len(made.variants), 4)
        self.assertIn(("odoo", str(template.id)), [(m.namespace, m.value) for m in made.metafields])

    def linked_mug(self):
        """Return a product, and that of the shop that is linked to it by its SKU."""
        made = self.store.add_product(
            {
                "title": "Their mug",
                "variants": [
                    {
                        "sku": "MUG",
                        "price": "9",
                        "barcode": "4006381333931",
                        "compareAt": "15",
                    }
                ],
            }
        )
        template = self.single()
        self.publish(template)
        self.assertEqual((self.of(template), made.title), (made, "Mug"))
        return template, made

    def test_what_odoo_has_not_filled_stays_in_a_linked_product(self):
        template, made = self.linked_mug()
        variant = made.variants[0]
        self.assertEqual((variant.barcode, str(variant.compare_at)), ("4006381333931", "15.00"))
        template.barcode = "96385074"
        self.send()
        self.assertEqual(variant.barcode, "96385074")
        template.barcode = False
        self.send()
        self.assertFalse(variant.barcode, "it was Odoo's")
        variant.barcode = "4006381333931"
        template.name = "Cup"
        self.send()
        self.assertEqual(variant.barcode, "4006381333931", "it is no longer")

    def test_a_sku_that_odoo_does_not_have_stays(self):
        made = self.store.add_product({"title": "Mug", "sku": "THEIRS", "barcode": "96385074"})
        template = self.single(default_code=False, barcode="96385074")
        self.publish(template)
        self.assertEqual(self.of(template), made)
        self.assertEqual(made.variants[0].sku, "THEIRS")
        template.default_code = "MUG"
        self.send()
        template.default_code = False
        self.send()
        self.assertFalse(made.variants[0].sku)

    def test_other_options_erase_nothing_either(self):
        template, made = self.linked_mug()
        size = self.attribute("Size", "S", "M")
        template.attribute_line_ids = [
            Command.create(
                {"attribute_id": size.id, "value_ids": [Command.set(size.value_ids.ids)]}
            )
        ]
        template.product_variant_ids[0].default_code = "MUG"
        self.send()
        self.assertEqual([option.name for option in made.options], ["Size"])
        variant = made.variants[0]
        self.assertEqual((variant.barcode, str(variant.compare_at)), ("4006381333931", "15.00"))

    # === STATUS === #

    def test_a_linked_product_keeps_its_status(self):
        for default, status in (("ACTIVE", "DRAFT"), ("ACTIVE", "UNLISTED"), ("DRAFT", "ACTIVE")):
            self.backend.shopify_product_status = default
            made = self.store.add_product({"title": "Old", "sku": f"{default}-{status}"})
            made.status = status
            template = self.single(default_code=made.variants[0].sku)
            self.publish(template)
            self.assertEqual((made.title, made.status), ("Mug", status))
            template.list_price = 99
            self.send()
            self.assertEqual((str(made.variants[0].price), made.status), ("99.00", status))

    def test_a_status_chosen_in_odoo_is_sent_and_taken_back(self):
        template, made = self.linked_mug()
        listing = template.shopify_listing_ids
        listing.status = "UNLISTED"
        self.send()
        self.assertEqual(made.status, "UNLISTED")
        listing.status = False
        self.send()
        self.assertEqual(made.status, "ACTIVE")
        made.status = "DRAFT"
        template.name = "Cup"
        self.send()
        self.assertEqual(made.status, "DRAFT", "chosen in the shop")

    def test_new_products_become_drafts_and_others_stay_on_sale(self):
        template = self.single()
        made = self.publish(template)
        self.backend.shopify_product_status = "DRAFT"
        template.name = "Cup"
        self.send()
        self.assertEqual((made.title, made.status), ("Cup", "ACTIVE"))
        new = self.publish(self.single(default_code="NEW"))
        self.assertEqual(new.status, "DRAFT")

    def test_two_candidates_are_for_a_person(self):
        for title in ("Mug", "Other mug"):
            self.store.add_product({"title": title, "sku": "MUG"})
        self.list_in_shop(self.single())
        done = self.run_flow(self.out)
        self.assertEqual(done.mapped("state"), ["dead"])
        self.assertEqual(done.error_class, "ambiguous")
        self.assertIn("Other mug", done.message)
        self.assertEqual(len(self.store.all("Product")), 2)

    def three_of_one(self):
        """Return a product of the shop in three sizes, and three products of Odoo that are it."""
        made = self.store.add_product(
            {
                "title": "Shirt",
                "options": ["Size"],
                "variants": [
                    {"sku": f"SHIRT-{size}", "price": "20", "options": [size]} for size in "SML"
                ],
            }
        )
        products = [
            self.single(name=f"Shirt {size}", default_code=f"SHIRT-{size}") for size in "SML"
        ]
        return made, [product.product_variant_ids for product in products]

    def test_a_product_that_is_several_in_odoo_is_left_alone(self):
        made, products = self.three_of_one()
        for variant, product in zip(made.variants, products, strict=True):
            self.link_variant(variant, product)
        self.list_in_shop(products[0].product_tmpl_id)
        for _try in range(2):
            done = self.run_flow(self.out).filtered(lambda row: row.state != "merged")
            self.assertEqual(done.mapped("state"), ["dead"])
            self.assertIn("Shirt M", done.message)
            self.assertIn("Shirt L", done.message)
            self.assertEqual(made.title, "Shirt")
            self.assertFalse(made.metafields)
            self.assertEqual([str(variant.price) for variant in made.variants], ["20.00"] * 3)
            self.assertEqual([self.linked_to(variant) for variant in made.variants], products)
            products[0].list_price = 21
        self.assertFalse(self.of(products[0].product_tmpl_id))

    def test_a_product_that_is_several_in_odoo_is_known_by_its_skus(self):
        made, products = self.three_of_one()
        self.list_in_shop(products[0].product_tmpl_id)
        done = self.run_flow(self.out)
        self.assertEqual(done.mapped("state"), ["dead"])
        self.assertIn("Shirt M", done.message)
        self.assertEqual((made.title, len(made.variants)), ("Shirt", 3))

    def test_a_product_found_by_a_sku_is_refused_before_it_is_written(self):
        made = self.store.add_product(
            {
                "title": "Shirt",
                "options": ["Size"],
                "variants": [{"sku": "MUG", "options": ["S"]}, {"sku": "X", "options": ["M"]}],
            }
        )
        self.list_in_shop(self.single())
        done = self.run_flow(self.out)
        self.assertEqual(done.mapped("state"), ["dead"])
        self.assertEqual((made.title, len(made.variants)), ("Shirt", 2))
        self.assertFalse(made.metafields)

    # === CRASHES === #

    def test_a_lost_answer_makes_no_second_product(self):
        template = self.template(image_1920=base64.b64encode(RED))
        self.list_in_shop(template)
        self.after["ProductSet"] = self.lose
        self.run_flow(self.out)
        self.assertEqual(len(self.store.all("Product")), 1)
        self.run_flow(self.out)
        made = self.of(template)
        self.assertTrue(made)
        self.assertEqual(len(self.store.all("Product")), 1)
        self.assertEqual(self.store.effects["products"], 1)
        self.assertEqual(len(made.media), 1, "the picture is recognised")
        links = self.env["integration.binding"].search(
            [("backend_id", "=", self.backend.id), ("resource", "=", "variant")]
        )
        self.assertEqual(len(links), 4)

    def test_what_fails_after_the_creation_goes_on_there(self):
        channel = self.store.add_publication("Online Store")
        self.read_channels()
        self.backend.shopify_channel_ids.shopify_publish = True
        template = self.single()
        self.list_in_shop(template)
        self.before["ProductPublish"] = self.lose
        self.run_flow(self.out)
        self.run_flow(self.out)
        made = self.of(template)
        self.assertEqual(len(self.store.all("Product")), 1)
        self.assertIn(channel.id, made.publications)

    # === WHAT HANGS ON IT === #

    def test_channels(self):
        online, till = (self.store.add_publication(name) for name in ("Online", "Till"))
        self.read_channels()
        rows = self.backend.shopify_channel_ids
        self.assertEqual(rows.mapped("external_label"), ["Online", "Till"])
        rows[0].shopify_publish = True
        template = self.single()
        made = self.publish(template)
        self.assertEqual(set(made.publications), {online.id})
        self.store.records["Product"][made.id].publications[till.id] = made.created_at
        rows[0].shopify_publish = False
        template.name = "Cup"
        self.send()
        self.assertEqual(set(made.publications), {till.id}, "of others' channels none is left")

    def test_collections(self):
        shelf, other = (self.store.add_collection(name) for name in ("Kitchen", "Sale"))
        tag = self.env["product.tag"].create({"name": "kitchen"})
        self.env["integration.mapping"].create(
            {
                "backend_id": self.backend.id,
                "kind": "collection",
                "external_value": shelf.gid,
                "resource_ref": f"product.tag,{tag.id}",
            }
        )
        template = self.single(product_tag_ids=tag.ids)
        made = self.publish(template)
        self.assertEqual(shelf.products, [made])
        other.products.append(made)
        template.product_tag_ids = False
        self.send()
        self.assertEqual((shelf.products, other.products), ([], [made]))
        self.assertEqual(self.calls, {"ProductState": 1, "ProductUpdate": 1})

    def test_collections_of_a_category(self):
        shelf = self.store.add_collection("Kitchen")
        kitchen = self.env["product.category"].create({"name": "Kitchen"})
        cups = self.env["product.category"].create({"name": "Cups", "parent_id": kitchen.id})
        self.env["integration.mapping"].create(
            {
                "backend_id": self.backend.id,
                "kind": "collection",
                "external_value": shelf.gid,
                "shopify_category_ids": kitchen.ids,
            }
        )
        template = self.single(categ_id=cups.id)
        made = self.publish(template)
        self.assertEqual(shelf.products, [made])
        template.categ_id = self.env["product.category"].create({"name": "Garden"})
        self.send()
        self.assertEqual(shelf.products, [])

    def test_metafields(self):
        field = self.env["ir.model.fields"]._get("product.template", "description_purchase")
        self.env["integration.field.mapping"].create(
            {
                "connector": "shopify",
                "resource": "product",
                "external_path": "metafields.custom.supply",
                "field_id": field.id,
                "owner": "odoo",
            }
        )
        template = self.single(description_purchase="From Porto")
        made = self.publish(template)
        self.assertIn(
            ("custom", "supply", "single_line_text_field", "From Porto"),
            [(m.namespace, m.key, m.type, m.value) for m in made.metafields],
        )
        # the field alone: nothing else of the product changes
        template.description_purchase = "From Lisbon"
        self.send()
        self.assertIn("From Lisbon", [m.value for m in made.metafields])
        template.description_purchase = False
        self.send()
        self.assertNotIn("supply", [m.key for m in made.metafields])

    def test_translations(self):
        self.env["res.lang"]._activate_lang("de_DE")
        self.env["res.lang"]._activate_lang("nl_NL")
        self.backend.write({"shopify_translate": True, "shopify_lang": "en_US"})
        template = self.single()
        template.with_context(lang="de_DE").name = "Becher"
        template.with_context(lang="nl_NL").name = "Mok"
        made = self.publish(template)
        known = {key: text for key, (text, _d) in self.store.translations[made.gid].items()}
        self.assertEqual(known, {("de", "title"): "Becher"}, "the shop has no Dutch")
        template.list_price = 13
        self.send()
        self.assertFalse(self.calls["ProductTranslate"])
        template.with_context(lang="de_DE").name = "Tasse"
        self.send()
        self.assertEqual(self.calls["ProductTranslate"], 1)

    # === PRICES === #

    def test_a_price_list_reaches_only_its_shop(self):
        lists = self.env["product.pricelist"].create(
            [{"name": name, "currency_id": self.usd.id} for name in ("Shop", "Other")]
        )
        self.backend.shopify_pricelist_id = lists[0]
        other = self.backend.copy({"name": "Second", "base_url": "second.myshopify.com"})
        other.write({"state": "active", "shopify_domain": "second.myshopify.com"})
        other.write({"shopify_currency": "USD", "shopify_pricelist_id": lists[1].id})
        flow = other.flow_ids.filtered(
            lambda row: row.resource == "product" and row.direction == "out"
        )
        flow.write({"enabled": True, "debounce_seconds": 0})
        template = self.single()
        made = self.publish(template)
        self.list_in_shop(template, other)
        self.send(flow)
        self.calls.clear()
        item = self.env["product.pricelist.item"].create(
            {
                "pricelist_id": lists[0].id,
                "applied_on": "1_product",
                "product_tmpl_id": template.id,
                "compute_price": "fixed",
                "fixed_price": 10,
            }
        )
        self.env.flush_all()
        self.assertFalse(
            self.env["integration.sync.log"].search(
                [("flow_id", "=", flow.id), ("state", "=", "pending")]
            )
        )
        self.send()
        variant = made.variants[0]
        self.assertEqual((str(variant.price), str(variant.compare_at)), ("10.00", "12.50"))
        item.unlink()
        self.send()
        self.assertEqual((str(variant.price), variant.compare_at), ("12.50", None))

    def test_prices_with_tax(self):
        self.backend.shopify_price_tax = "included"
        template = self.single(taxes_id=[Command.set(self.tax10.ids)], list_price=9.99)
        made = self.publish(template)
        self.assertEqual(str(made.variants[0].price), "10.99")

    def test_another_currency_is_refused(self):
        self.backend.shopify_currency = "EUR"
        self.list_in_shop(self.single())
        done = self.run_flow(self.out)
        self.assertEqual(done.error_class, "configuration")
        self.assertFalse(self.calls)

    def test_shared_products_are_priced_in_the_main_company(self):
        """Their sales price is in the main company's currency, whichever company sells them."""
        eur = self.env.ref("base.EUR")
        eur.active = True
        other = self.second_company(eur, rate=0.5)
        shared = self.single(list_price=100)
        own = self.single(name="Cup", default_code="CUP", company_id=other.company_id.id)
        own.list_price = 100
        variants = (shared | own).product_variant_ids.with_company(other.company_id)
        resource = self.env["integration.shopify.product"]

        def prices():
            found = resource._prices(other, variants)
            return [found[row.product_variant_id.id] for row in (shared, own)]

        self.assertEqual(prices(), [("50.00", None), ("100.00", None)])
        pricelist = self.env["product.pricelist"].create(
            {
                "name": "Euro",
                "currency_id": eur.id,
                "company_id": other.company_id.id,
                "item_ids": [Command.create({"compute_price": "fixed", "fixed_price": 40})],
            }
        )
        other.shopify_pricelist_id = pricelist
        self.assertEqual(prices(), [("40.00", "50.00"), ("40.00", "100.00")])
        pricelist.item_ids.write({"compute_price": "percentage", "percent_price": 10})
        self.assertEqual(prices(), [("45.00", "50.00"), ("90.00", "100.00")])

    def test_offers_begin_and_end_by_themselves(self):
        """Within the ten minutes of the schedule, whether or not the shop has other markets."""
        below, pricelist = self.env["product.pricelist"].create(
            [{"name": name, "currency_id": self.usd.id} for name in ("Base", "Shop")]
        )
        Rule = self.env["product.pricelist.item"]
        Rule.create(
            {
                "pricelist_id": pricelist.id,
                "compute_price": "formula",
                "base": "pricelist",
                "base_pricelist_id": below.id,
            }
        )
        self.backend.shopify_pricelist_id = pricelist
        self.assertFalse(self.backend.shopify_prices_on)
        made = self.publish(self.single())
        other = self.publish(self.single(name="Cup", default_code="CUP"))
        start = fields.Datetime.now().replace(microsecond=0)
        template = self.env["product.template"].search([("name", "=", "Mug")], limit=1)
        Rule.create(
            {
                "pricelist_id": below.id,
                "applied_on": "1_product",
                "product_tmpl_id": template.id,
                "compute_price": "fixed",
                "fixed_price": 10,
                "date_start": start + timedelta(minutes=5),
                "date_end": start + timedelta(days=4),
            }
        )
        self.send()

        def later(**time):
            """Return the price after the next run of the schedule, and how many were sent."""
            with freeze_time(start + timedelta(**time)):
                self.env["integration.backend"]._cron_shopify_dated_prices()
                done = self.send()
            return str(made.variants[0].price), len(done)

        self.assertEqual(later(minutes=0), ("12.50", 0))
        self.assertEqual(later(minutes=10), ("10.00", 1))
        self.assertEqual(later(minutes=20), ("10.00", 0))
        # the server was down when it ended
        self.out.enabled = False
        self.assertEqual(later(days=5), ("10.00", 0))
        self.out.enabled = True
        self.assertEqual(later(days=8), ("12.50", 1))
        self.assertEqual(later(days=8, minutes=10), ("12.50", 0))
        self.assertEqual(str(other.variants[0].price), "12.50")

    def test_a_category_rule_reaches_the_products_in_it(self):
        pricelist = self.env["product.pricelist"].create(
            {"name": "Shop", "currency_id": self.usd.id}
        )
        self.backend.shopify_pricelist_id = pricelist
        category = self.env["product.category"].create({"name": "Kitchen"})
        template = self.single(categ_id=category.id)
        made = self.publish(template)
        self.env["product.pricelist.item"].create(
            {
                "pricelist_id": pricelist.id,
                "applied_on": "2_product_category",
                "categ_id": category.id,
                "compute_price": "percentage",
                "percent_price": 20,
            }
        )
        self.send()
        self.assertEqual(str(made.variants[0].price), "10.00")

    # === EFFORT === #

    def test_queries_per_product(self):
        """Reading what products shall be takes as many queries for twenty as for two."""

        def count(number):
            templates = self.env["product.template"].create(
                [
                    {"name": f"P{number}-{i}", "default_code": f"Q{number}-{i}", "taxes_id": False}
                    for i in range(number)
                ]
            )
            self.list_in_shop(templates)
            self.env.flush_all()
            self.env.invalidate_all()
            resource = self.env["integration.shopify.product"]
            items = [Item(i, "", record=row) for i, row in enumerate(templates)]
            before = self.env.cr.sql_log_count
            resource._export(self.backend, items)
            for item in items:
                self.assertTrue(item.values, item.error)
            return self.env.cr.sql_log_count - before

        count(1)
        self.assertLessEqual(count(20) - count(2), 2)


class TestDrift(ProductsOutCase):
    """What somebody changed in the shop is found without a change in Odoo."""

    def drift(self, template):
        resource = self.env["integration.shopify.product"]
        gid = self.of(template).gid
        item = Item(1, gid, record=template, bound=True, outgoing=True)
        item.payload = resource._fetch(self.backend, [gid])[gid]
        item.data = resource._validate(self.backend, item.payload, template.name)
        resource._export(self.backend, [item])
        self.calls.clear()
        resource._compare(self.backend, [item])
        self.assertFalse(self.calls, "it only compares")
        return [(found.field, found.odoo, found.external) for found in item.differences]

    def test_nothing_changed(self):
        template = self.template(
            hs_code="6205.20",
            country_of_origin=self.env.ref("base.pt").id,
            shopify_description="<p>Cool</p>",
            image_1920=base64.b64encode(RED),
        )
        template.product_variant_ids.weight = 0.3
        template.product_variant_ids.standard_price = 9
        self.publish(template)
        self.assertEqual(self.drift(template), [])

    def test_what_odoo_owns_is_told(self):
        template = self.template()
        product = self.publish(template)
        product.title, product.vendor = "Other", "Somebody"
        first = product.variants[0]
        first.price, first.item.country = Decimal("9.99"), "FR"
        product.tags.append("sale")
        self.assertEqual(
            self.drift(template),
            [
                ("Name", "Linen Shirt", "Other"),
                (f"{first.sku}: Price", "30.00", "9.99"),
            ],
            "tags, vendor and origin are nobody's in Odoo",
        )

    def test_variants_of_one_side(self):
        template = self.template()
        product = self.publish(template)
        lost = product.variants.pop()
        self.assertEqual(self.drift(template), [(f"{lost.sku}: Variant", lost.sku, "")])
        product.variants.append(lost)
        archived = template.product_variant_ids.filtered(lambda row: row.default_code == lost.sku)
        archived.active = False
        self.assertEqual(self.drift(template), [(f"{lost.sku}: Variant", "", lost.sku)])
        self.backend.shopify_removed_variants = "keep"
        self.assertEqual(self.drift(template), [])

    def test_unarchived_in_the_shop(self):
        template = self.single()
        product = self.publish(template)
        template.active = False
        self.send()
        self.assertEqual(self.drift(template), [])
        product.status = "ACTIVE"
        self.assertEqual(self.drift(template), [("Status", "ARCHIVED", "ACTIVE")])

    def test_comparison_repairs_what_was_changed_in_the_shop(self):
        template = self.single()
        product = self.publish(template)
        product.title = "Other"
        # what changed just now is judged the next time
        product.updated_at -= timedelta(minutes=10)
        self.out.reconcile_repair = "all"
        run = self.env["integration.reconciliation"]._start(self.out, "manual")
        self.run_flow(self.out)
        self.assertEqual((run.state, run.different_count), ("done", 1), run.message)
        self.send()
        self.assertEqual(product.title, "Mug")
