import base64
import io
from unittest.mock import patch

from PIL import Image

from odoo.addons.integration_base.lib.errors import RequestRefused, RetryableError

from ..models import integration_shopify_picture
from .product_common import ProductCase, matrix


def picture(color, size=(8, 8)):
    """Return a PNG of one color (bytes)."""
    stream = io.BytesIO()
    Image.new("RGB", size, color).save(stream, "PNG")
    return stream.getvalue()


def media(number, url):
    return {"id": f"gid://shopify/MediaImage/{number}", "image": {"url": url}}


class TestPicturesIn(ProductCase):
    """Pictures come in a flow of their own, after the product."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pictures_in = cls.flow_of("picture")
        cls.pictures_in.enabled = True

    def setUp(self):
        super().setUp()
        self.files, self.downloads = {}, []

        def download(_backend, url, _max_bytes):
            self.downloads.append(url)
            found = self.files.get(url) or RequestRefused("Not found.", status=404)
            if isinstance(found, Exception):
                raise found
            return found

        self.startPatcher(
            patch.object(type(self.env["integration.backend"]), "_shopify_download", download)
        )
        self.payload = matrix(1, ["S", "M", "L"])
        self.small, self.medium, self.large = (
            row["id"] for row in self.payload["variants"]["nodes"]
        )
        self.files = {"main?v=1": picture("red"), "blue?v=1": picture("blue")}
        main = media(1, "main?v=1")
        self.payload["pictures"] = main
        self.payload["variant_pictures"] = {
            self.small: [main],
            self.medium: [media(2, "blue?v=1")],
        }

    def bring_all(self):
        template = self.import_product(self.payload)
        self.run_flow(self.pictures_in)
        self.last = self.env["integration.sync.log"].search(
            [("flow_id", "=", self.pictures_in.id)], order="id desc", limit=1
        )
        return template

    def color(self, record, name):
        data = base64.b64decode(record[name])
        return Image.open(io.BytesIO(data)).convert("RGB").getpixel((0, 0))

    def test_the_main_picture_and_those_of_variants(self):
        template = self.bring_all()
        self.assertEqual(self.last.state, "done", self.last.message)
        self.assertEqual(self.color(template, "image_1920"), (255, 0, 0))
        small, medium, large = template.product_variant_ids.sorted("default_code")
        self.assertEqual(self.color(medium, "image_variant_1920"), (0, 0, 255))
        # that of the product is not stored once more
        self.assertFalse(small.image_variant_1920 or large.image_variant_1920)

    def test_only_changed_pictures_are_downloaded(self):
        self.bring_all()
        self.assertEqual(sorted(self.downloads), ["blue?v=1", "main?v=1"])
        self.downloads.clear()
        self.payload["title"] = "Another"
        self.bring_all()
        self.assertEqual(self.downloads, [])
        self.files["main?v=2"] = picture("green")
        self.payload["pictures"] = media(1, "main?v=2")
        template = self.bring(self.payload, flow=self.pictures_in) and self.bring_all()
        self.assertEqual(self.downloads, ["main?v=2"])
        self.assertEqual(self.color(template, "image_1920"), (0, 128, 0))

    def test_a_picture_that_is_gone_is_taken_away_but_not_a_foreign_one(self):
        template = self.bring_all()
        template.product_variant_ids.sorted("default_code")[
            2
        ].image_variant_1920 = base64.b64encode(picture("yellow"))
        self.payload["pictures"], self.payload["variant_pictures"] = None, {}
        self.bring(self.payload, flow=self.pictures_in)
        _small, medium, large = template.product_variant_ids.sorted("default_code")
        self.assertFalse(template.image_1920 or medium.image_variant_1920)
        self.assertTrue(large.image_variant_1920)

    def test_a_bad_picture_blocks_nothing(self):
        self.files["blue?v=1"] = b"<html>no picture</html>"
        del self.files["main?v=1"]
        template = self.bring_all()
        self.assertTrue(template)
        self.assertEqual(self.last.state, "done", self.last.message)
        self.assertIn("was not taken over", self.last.message)
        # and is tried again
        self.files["main?v=1"] = picture("red")
        self.bring(self.payload, flow=self.pictures_in, force=True)
        self.assertTrue(template.image_1920)

    def test_a_slow_host_is_tried_again(self):
        self.files["main?v=1"] = RetryableError("Timeout.")
        template = self.bring_all()
        self.assertTrue(template.active)
        self.assertEqual((self.last.state, self.last.error_class), ("pending", "retryable"))

    def test_pictures_of_unknown_products_are_left_out(self):
        [operation] = self.bring(self.payload, flow=self.pictures_in)
        self.assertEqual(operation.state, "skipped", operation.message)
        self.assertEqual(self.downloads, [])

    def test_where_odoo_keeps_products_its_pictures_stay(self):
        """Those Odoo has none of are taken over, once."""
        self.backend.shopify_product_owner = "odoo"
        template = self.import_product(self.payload)
        _small, medium, large = template.product_variant_ids.sorted("default_code")
        template.image_1920 = base64.b64encode(picture("yellow"))
        self.payload["variant_pictures"][self.large] = [media(3, "pink?v=1")]
        self.files["pink?v=1"] = picture("pink")
        large.image_variant_1920 = base64.b64encode(picture("black"))
        self.bring(self.payload, flow=self.pictures_in)
        self.assertEqual(self.downloads, ["blue?v=1"])
        self.assertEqual(self.color(template, "image_1920"), (255, 255, 0))
        self.assertEqual(self.color(medium, "image_variant_1920"), (0, 0, 255))
        self.assertEqual(self.color(large, "image_variant_1920"), (0, 0, 0))
        # what came from the shop is Odoo's now: another one, or none, in the shop changes nothing
        self.downloads.clear()
        self.payload["variant_pictures"][self.medium] = [media(4, "pink?v=1")]
        self.bring(self.payload, flow=self.pictures_in)
        self.payload["variant_pictures"], self.payload["pictures"] = {}, None
        self.bring(self.payload, flow=self.pictures_in)
        self.assertEqual(self.color(medium, "image_variant_1920"), (0, 0, 255))
        medium.image_variant_1920 = False
        self.payload["variant_pictures"] = {self.medium: [media(4, "pink?v=1")]}
        self.bring(self.payload, flow=self.pictures_in)
        self.assertFalse(medium.image_variant_1920)
        self.assertEqual(self.downloads, [])

    def test_a_picture_of_several_variants_is_downloaded_once(self):
        self.payload["variant_pictures"] = {
            gid: [media(2, "blue?v=1")] for gid in (self.small, self.medium, self.large)
        }
        template = self.bring_all()
        self.assertEqual(sorted(self.downloads), ["blue?v=1", "main?v=1"])
        for variant in template.product_variant_ids:
            self.assertEqual(self.color(variant, "image_variant_1920"), (0, 0, 255))

    def test_large_pictures_come_in_parts(self):
        self.files["pink?v=1"] = picture("pink")
        self.payload["variant_pictures"][self.large] = [media(3, "pink?v=1")]
        with patch.object(integration_shopify_picture, "BUDGET", 1):
            template = self.bring_all()
        operations = self.env["integration.sync.log"].search(
            [("flow_id", "=", self.pictures_in.id)]
        )
        self.assertEqual(operations.mapped("state"), ["done"] * 3)
        self.assertEqual(sorted(self.downloads), ["blue?v=1", "main?v=1", "pink?v=1"])
        _small, medium, large = template.product_variant_ids.sorted("default_code")
        self.assertEqual(self.color(template, "image_1920"), (255, 0, 0))
        self.assertEqual(self.color(medium, "image_variant_1920"), (0, 0, 255))
        self.assertTrue(large.image_variant_1920)
        known = self.env["integration.shopify.image"]._known(self.backend, template)
        self.assertEqual(len(known[template.id]), 3, "those of the first parts are still known")

    def test_pictures_of_the_shop_are_known_when_products_are_sent(self):
        template = self.bring_all()
        Image = self.env["integration.shopify.image"]
        found = Image.search([("product_tmpl_id", "=", template.id)])
        self.assertEqual(
            set(found.mapped("external_id")),
            {"gid://shopify/MediaImage/1", "gid://shopify/MediaImage/2"},
        )
        self.assertTrue(all(found.mapped("from_shop")))
        resource = self.env["integration.shopify.product"]
        checksums = resource._checksums(self.backend, template, template.product_variant_ids)
        self.assertEqual(set(found.mapped("checksum")), set(checksums.values()))
        # the shop has the same picture under another id
        self.payload["pictures"] = media(9, "main?v=9")
        self.files["main?v=9"] = self.files["main?v=1"]
        self.bring(self.payload, flow=self.pictures_in)
        known = Image._known(self.backend, template)[template.id]
        main = checksums["product.template", template.id]
        self.assertEqual(known[main], ("gid://shopify/MediaImage/9", True))
        self.assertEqual(len(known), 2)
