"""Very many products go to a simulated shop by one bulk mutation: each once, and complete."""

import base64
import time
from unittest.mock import patch

from odoo.tests import tagged

from ..models import (
    integration_shopify_bulk,
    integration_shopify_bulk_item,
    integration_shopify_bulk_push,
    integration_shopify_product_out,
)
from .test_products_out import BLUE, RED, ProductsOutCase

#: What one bulk mutation costs, however many lines it has, apart from asking how far it is.
ONE_BULK = {"BulkUpload": 1, "bulk file": 1, "BulkMutationRun": 1, "bulk result": 1}


@tagged("post_install", "-at_install")
class TestProductsOutBulk(ProductsOutCase):
    def setUp(self):
        super().setUp()
        self.store.config.bulk_seconds = 0
        self.startPatcher(patch.object(integration_shopify_bulk, "LOOK_SECONDS", (0, 0)))
        self.startPatcher(patch.object(integration_shopify_bulk_item, "GATHER_SECONDS", 0))

    def worth(self, count):
        self.startPatcher(patch.object(integration_shopify_bulk_push, "WORTH", count))

    def mugs(self, count, **values):
        return self.env["product.template"].create(
            [
                {
                    "name": f"Mug {number}",
                    "default_code": f"MUG-{number:03}",
                    "list_price": number + 1,
                    "is_storable": True,
                    "taxes_id": False,
                    **values,
                }
                for number in range(count)
            ]
        )

    def load(self, templates):
        """Have products listed, and run an initial load of them to its end."""
        new = templates.filtered(lambda row: not row.shopify_listing_ids)
        self.list_in_shop(new)
        self.env["integration.sync.log"]._append_records(self.out, templates, "backfill")
        self.settle()

    def settle(self):
        for _round in range(8):
            self.run_flow(self.out)
            end = time.monotonic() + 120
            while any(op.status in ("CREATED", "RUNNING") for op in self.bulks()):
                self.assertLess(time.monotonic(), end, "the bulk operation does not end")
                time.sleep(0.01)
            if not self.operations("pending"):
                return
        self.fail(self.operations("pending").mapped("message"))

    def bulks(self):
        return list(self.store.all("BulkOperation"))

    def operations(self, state):
        return self.env["integration.sync.log"].search(
            [("flow_id", "=", self.out.id), ("state", "=", state)]
        )

    def titles(self):
        return sorted(product.title for product in self.store.all("Product"))

    def assert_calls(self, expected):
        calls = {name: count for name, count in self.calls.items() if name != "BulkOperation"}
        self.assertEqual(calls, expected)

    # === ONE FOR ALL === #

    def test_a_long_load_is_one_bulk_mutation(self):
        templates = self.mugs(150)
        self.load(templates)
        self.assert_calls({**ONE_BULK, "ProductKeyDefinition": 1, "ProductCandidates": 6})
        self.assertEqual(self.titles(), sorted(templates.mapped("name")))
        self.assertEqual(self.store.effects["products"], 150)
        for template in templates:
            [variant] = self.of(template).variants
            self.assertEqual(
                (variant.sku, float(variant.price), variant.item.tracked),
                (template.default_code, template.list_price, True),
            )
        self.assertEqual(set(templates.shopify_listing_ids.mapped("state")), {"done"})
        for resource, records in (
            ("product", templates),
            ("variant", templates.product_variant_ids),
            ("inventory_item", templates.product_variant_ids),
        ):
            links = self.env["integration.binding"]._search_records(self.backend, resource, records)
            self.assertEqual(len(links), 150)
        self.assertFalse(self.env["integration.shopify.bulk.item"].search([]))
        self.calls.clear()
        self.load(templates)
        self.assertFalse(self.calls, "unchanged costs nothing")
        templates[7].list_price = 99
        self.send()
        self.assertEqual(self.calls, {"ProductState": 1, "ProductVariantsUpdate": 1})

    def test_everything_that_follows_a_creation_follows_once(self):
        self.worth(2)
        channel = self.store.add_publication("Online Store")
        self.read_channels()
        self.backend.shopify_channel_ids.shopify_publish = True
        self.env["res.lang"]._activate_lang("de_DE")
        self.backend.write({"shopify_translate": True, "shopify_lang": "en_US"})
        shelf = self.store.add_collection("Kitchen")
        tag = self.env["product.tag"].create({"name": "kitchen"})
        self.env["integration.mapping"].create(
            {
                "backend_id": self.backend.id,
                "kind": "collection",
                "external_value": shelf.gid,
                "resource_ref": f"product.tag,{tag.id}",
            }
        )
        shirt = self.template(image_1920=base64.b64encode(RED), product_tag_ids=tag.ids)
        shirt.product_variant_ids.sorted("id")[1].image_variant_1920 = base64.b64encode(BLUE)
        mug = self.single()
        mug.with_context(lang="de_DE").name = "Becher"
        self.calls.clear()
        self.load(shirt + mug)
        self.assert_calls(
            {
                **ONE_BULK,
                "ProductKeyDefinition": 1,
                "ProductCandidates": 1,
                "ProductPublish": 2,
                "ProductTranslations": 1,
                "ProductTranslate": 1,
                # pictures, of the one that has some
                "ProductState": 1,
                "ProductUploads": 1,
                "upload": 2,
                "ProductUpdate": 1,
                "ProductVariantsUpdate": 1,
            }
        )
        made, cup = self.of(shirt), self.of(mug)
        self.assertEqual(len(made.media), 2)
        self.assertEqual(made.variants[1].media, [made.media[1]])
        self.assertEqual([v.sku for v in made.variants], shirt.product_variant_ids.sorted("id")
                         .mapped("default_code"))  # fmt: skip
        self.assertEqual(shelf.products, [made])
        for product in (made, cup):
            self.assertIn(channel.id, product.publications)
        known = {key: text for key, (text, _d) in self.store.translations[cup.gid].items()}
        self.assertEqual(known, {("de", "title"): "Becher"})
        self.calls.clear()
        self.load(shirt + mug)
        self.assertFalse(self.calls)
        shirt.name = "Flax Shirt"
        self.send()
        self.assertEqual(self.calls, {"ProductState": 1, "ProductUpdate": 1})

    def test_more_variants_than_the_answer_to_a_line_brings(self):
        self.worth(2)
        self.startPatcher(patch.object(integration_shopify_product_out, "BULK_VARIANTS", 3))
        shirt, mug = self.template(), self.single()
        self.load(shirt + mug)
        self.assertEqual(self.calls["ProductState"], 1)
        links = self.env["integration.binding"]._search_records(
            self.backend, "variant", shirt.product_variant_ids
        )
        self.assertEqual(
            set(links.mapped("external_id")), {row.gid for row in self.of(shirt).variants}
        )

    def test_few_of_those_that_wait_ask_how_far_it_is(self):
        self.worth(3)
        self.list_in_shop(self.mugs(120))
        self.run_flow(self.out)
        waiting = self.operations("pending")
        soon = [
            row for row in waiting if (row.next_attempt_at - row.create_date).total_seconds() < 100
        ]
        self.assertEqual((len(waiting), len(soon)), (120, 3), "one of each batch")
        self.run_flow(self.out)
        self.settle()
        self.assertEqual(len(self.store.all("Product")), 120)

    # === WHAT DOES NOT GO IN BULK === #

    def test_few_products_go_by_themselves(self):
        templates = self.mugs(99)
        self.load(templates)
        self.assert_calls({"ProductKeyDefinition": 1, "ProductCandidates": 99, "ProductSet": 99})
        self.assertEqual(self.store.effects["products"], 99)

    def test_changes_of_products_go_by_themselves(self):
        self.worth(3)
        templates = self.mugs(4)
        self.load(templates)
        self.calls.clear()
        templates.list_price = 50
        self.env["integration.sync.log"]._append_records(self.out, templates, "backfill")
        self.settle()
        self.assertEqual(self.calls, {"ProductState": 4, "ProductVariantsUpdate": 4})

    def test_who_presses_a_button_does_not_wait_for_the_others(self):
        self.worth(3)
        templates = self.mugs(4)
        self.list_in_shop(templates)
        self.env.flush_all()
        self.env.cr.precommit.run()
        with self.enter_registry_test_mode():
            templates[0].shopify_listing_ids.action_send()
        self.env.invalidate_all()
        self.assertTrue(self.of(templates[0]))
        self.assertFalse(self.bulks())
        self.settle()
        self.assertEqual(len(self.bulks()), 1)
        self.assertEqual(self.titles(), sorted(templates.mapped("name")))

    def test_what_the_shop_has_is_linked_and_not_created(self):
        self.worth(3)
        there = self.store.add_product({"title": "Old mug", "sku": "MUG-001", "price": "9"})
        templates = self.mugs(4)
        self.load(templates)
        self.assertEqual(self.of(templates[1]), there)
        self.assertEqual(there.title, "Mug 1")
        self.assertEqual(self.titles(), sorted(templates.mapped("name")))
        self.assertEqual(self.store.effects["bulk lines"], 3)

    def test_what_is_alike_does_not_crowd_out_what_is_the_same(self):
        self.worth(2)
        rows = [{"sku": "MUG-000", "options": [f"V{at}"]} for at in range(101)]
        for spec in (
            {"title": "Wide", "options": ["Size"], "variants": rows},
            {"title": "Old mug", "sku": "MUG-001"},
        ):
            self.store.add_product(spec)
        self.backend.shopify_removed_variants = "keep"
        self.load(self.mugs(2))
        self.assertEqual(len(self.store.all("Product")), 2)

    # === WHAT GOES WRONG === #

    def test_a_refused_line_is_told_on_its_own_product(self):
        self.worth(3)
        templates = self.mugs(4)
        templates[2].name = " "
        self.load(templates)
        self.assertEqual(len(self.store.all("Product")), 3)
        dead = self.operations("dead")
        self.assertEqual((dead.res_id, dead.error_class), (templates[2].id, "refused"))
        self.assertIn("can't be blank", dead.message)
        self.assertIn("can't be blank", templates[2].shopify_listing_ids.message)
        templates[2].name = "Mug 2"
        self.settle()
        self.assertEqual(self.titles(), sorted(templates.mapped("name")))
        self.assertEqual(self.store.effects["products"], 4)

    def test_what_shopify_did_not_finish_is_looked_up_and_sent_again(self):
        self.worth(3)
        self.store.config.bulk_failure = "INTERNAL_SERVER_ERROR"
        templates = self.mugs(6)
        self.load(templates)
        self.assertEqual(self.titles(), sorted(templates.mapped("name")))
        self.assertEqual(self.store.effects["products"], 6)
        self.assertEqual(self.calls["ProductByKey"], 3)

    def test_what_fails_after_the_creation_goes_on_there(self):
        self.worth(3)
        channel = self.store.add_publication("Online Store")
        self.read_channels()
        self.backend.shopify_channel_ids.shopify_publish = True
        templates = self.mugs(4)
        self.before["ProductPublish"] = self.lose
        self.load(templates)
        self.assertEqual(self.store.effects["products"], 4)
        self.assertEqual(self.calls["ProductPublish"], 5)
        for template in templates:
            self.assertIn(channel.id, self.of(template).publications)

    def test_what_changes_meanwhile_is_written_afterwards(self):
        self.worth(3)
        templates = self.mugs(4)
        self.list_in_shop(templates)
        self.run_flow(self.out)
        self.run_flow(self.out)
        self.assertEqual(len(self.bulks()), 1)
        templates[1].list_price = 77
        self.settle()
        self.assertEqual(len(self.bulks()), 1)
        self.assertEqual(self.titles(), sorted(templates.mapped("name")))
        self.assertEqual(str(self.of(templates[1]).variants[0].price), "77.00")
        self.assertEqual(self.store.effects["products"], 4)
