import base64
import io
from unittest.mock import patch

from PIL import Image

from odoo.addons.integration_base.lib.errors import RequestRefused, RetryableError

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
