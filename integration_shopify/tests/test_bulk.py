"""The files of bulk operations: cut anywhere, children anywhere, anything in them."""

import json
import random

from odoo.tests import BaseCase

from odoo.addons.integration_base.lib.errors import InvalidPayloadError

from ..lib import bulk
from ..lib.client import UserErrors

PRODUCT = "gid://shopify/Product/{}"
VARIANT = "gid://shopify/ProductVariant/{}"
NAMES = {
    "Product": {"ProductVariant": "variants", "Metafield": "metafields"},
    "ProductVariant": {"Metafield": "metafields"},
    "InventoryItem": {"InventoryLevel": "inventoryLevels"},
}


class TestLines(BaseCase):
    def in_parts(self, data, size):
        """Read ``data`` in parts of at most ``size`` bytes, as the download does."""
        lines, position = [], 0
        while position < len(data):
            part = data[position : position + size]
            last = position + len(part) == len(data)
            count = bulk.complete_part(part, last)
            self.assertTrue(count, "a part shorter than a line")
            lines += bulk.read_objects(part[:count], position)
            position += count
        return lines

    def test_parts_of_any_size_give_the_same_lines(self):
        rows = [
            {"id": PRODUCT.format(n), "title": title}
            for n, title in enumerate(
                ("plain", "\u00fcml\u00e4ut", "\u2028 \U0001f600", "", "a\\n/b")
            )
        ]
        rows.append({"id": VARIANT.format(1), "__parentId": PRODUCT.format(1)})
        text = "\n".join(
            json.dumps(row, ensure_ascii=n % 2 == 0).replace("/", "\\/")
            for n, row in enumerate(rows)
        )
        for data in (text.encode(), (text + "\n").encode(), text.replace("\n", "\n\n").encode()):
            for size in range(120, len(data) + 1, 7):
                lines = self.in_parts(data, size)
                self.assertEqual([json.loads(line.text) for line in lines], rows)
                self.assertEqual(lines[0].gid, PRODUCT.format(0))
                self.assertEqual(lines[-1].parent, PRODUCT.format(1))

    def test_damage_is_told(self):
        for data in (b"\xff{}", b"{]", b"[1]", b'"x"', b"<html>", b"{" * 100000):
            with self.assertRaises(InvalidPayloadError):
                list(bulk.read_objects(data))
        with self.assertRaisesRegex(InvalidPayloadError, "byte 107"):
            list(bulk.read_lines(b"{}\n\xff", 104))
        self.patch(bulk, "MAX_LINE", 10)
        with self.assertRaises(InvalidPayloadError):
            list(bulk.read_objects(b'{"a": "0123456789"}'))

    def test_what_one_object_has_inside_does_not_stop_the_others(self):
        line = b'{"id":"gid:\\/\\/shopify\\/Product\\/1","title":"a\\u0000b \\ud83d"}'
        [found] = bulk.read_objects(line)
        self.assertEqual(found.gid, PRODUCT.format(1))
        self.assertNotIn("\0", found.text)


class TestAttach(BaseCase):
    def test_children_find_their_parents_in_any_order(self):
        for seed in range(20):
            products = [
                {"id": PRODUCT.format(n), "image": {"id": "gid://shopify/Image/1"}}
                for n in range(3)
            ]
            variants = [
                {"id": VARIANT.format(n), "__parentId": PRODUCT.format(n % 2)} for n in range(6)
            ]
            fields = [
                {"id": f"gid://shopify/Metafield/{n}", "__parentId": parent}
                for n, parent in enumerate((PRODUCT.format(0), VARIANT.format(3)))
            ]
            random.Random(seed).shuffle(variants)
            self.assertEqual(bulk.attach(products, variants + fields[:1], NAMES), [])
            self.assertEqual(bulk.attach(variants, fields[1:], NAMES), [])
            self.assertEqual(
                [sorted(v["id"] for v in p["variants"]["nodes"]) for p in products],
                [
                    [VARIANT.format(n) for n in (0, 2, 4)],
                    [VARIANT.format(n) for n in (1, 3, 5)],
                    [],
                ],
            )
            self.assertEqual(len(products[0]["metafields"]["nodes"]), 1)
            self.assertFalse(products[2]["variants"]["pageInfo"]["hasNextPage"])
            [three] = [v for v in variants if v["id"] == VARIANT.format(3)]
            self.assertEqual(three["metafields"]["nodes"], [{"id": "gid://shopify/Metafield/1"}])
            self.assertNotIn("__parentId", json.dumps(products))

    def test_children_of_an_object_inside(self):
        item = "gid://shopify/InventoryItem/1"
        variant = {"id": VARIANT.format(1), "inventoryItem": {"id": item}}
        self.assertEqual(list(bulk.ids_within(variant)), [VARIANT.format(1), item])
        level = {"id": "gid://shopify/InventoryLevel/1", "__parentId": item}
        self.assertEqual(bulk.attach([variant], [level], NAMES), [])
        self.assertEqual(len(variant["inventoryItem"]["inventoryLevels"]["nodes"]), 1)

    def test_children_without_a_place_are_given_back(self):
        product = {"id": PRODUCT.format(1)}
        orphan = {"id": VARIANT.format(1), "__parentId": PRODUCT.format(2)}
        image = {"id": "gid://shopify/Image/1", "__parentId": PRODUCT.format(1)}
        self.assertEqual(bulk.attach([product], [orphan, image], NAMES), [orphan, image])


class TestDocuments(BaseCase):
    def test_name_is_found_again(self):
        self.assertEqual(bulk.named("query A($x: B) { c }", "k"), "query A_k($x: B) { c }")
        self.assertEqual(bulk.named("query { c }", "k"), "query Bulk_k { c }")

    def test_search_cannot_leave_its_place(self):
        text = bulk.filled('{ products(query: "__SEARCH__") { x } }', "title:'a\"b\\'")
        self.assertEqual(text, '{ products(query: "title:\'a\\"b\\\\\'") { x } }')


class TestResults(BaseCase):
    def test_lines_of_a_mutation(self):
        done = bulk.read_result(
            '{"data":{"productSet":{"product":{"id":"x"},"userErrors":[]}},"__lineNumber":3}'
        )
        self.assertEqual(
            (done.number, done.payload["product"], done.error("x")), (3, {"id": "x"}, None)
        )
        refused = bulk.read_result(
            '{"data":{"productSet":{"product":null,"userErrors":[{"field":["input","title"],'
            '"message":"is blank","code":"BLANK"}]}},"__lineNumber":0}'
        ).error("set S1")
        self.assertIsInstance(refused, UserErrors)
        self.assertEqual(refused.problems[0], ("input.title", "BLANK", "is blank"))
        self.assertEqual(
            refused.message, "Shopify refused to set S1: input.title: is blank [BLANK]"
        )
        failed = bulk.read_result(
            '{"errors":[{"message":"Variable $id is missing"}],"__lineNumber":1}'
        )
        self.assertIn("Variable $id", failed.error("x").message)

    def test_lines_that_are_none(self):
        for text in ("{}", '{"__lineNumber":-1}', '{"__lineNumber":true}', "[]"):
            with self.assertRaises(InvalidPayloadError):
                bulk.read_result(text)

    def test_variables_are_one_line(self):
        line = bulk.variables_line({"a": "1\n2\u2028\u0085\U0001f600"})
        self.assertEqual(len(line.splitlines()), 1)
        self.assertTrue(line.isascii())
        with self.assertRaises(ValueError):
            bulk.variables_line({"a": float("nan")})
