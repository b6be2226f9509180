from decimal import Decimal

from odoo.tests import BaseCase

from odoo.addons.integration_base.lib.contract import validate
from odoo.addons.integration_base.lib.errors import InvalidPayloadError

from ..lib import products
from ..lib.contract_product import Product, read_metafields
from .product_common import matrix, product, variant


def read(payload):
    return validate(Product, payload, "P")


class TestProducts(BaseCase):
    def test_a_plain_product_has_no_options(self):
        data = read(product(1))
        self.assertEqual(products.options_of(data), [])
        [row] = products.rows_of(data)
        self.assertEqual((row.values, row.sku, row.label), ((), "SKU-1", "Product 1"))
        self.assertFalse(products.is_plain(read(product(2, variant(2, ["M"])))))

    def test_options_and_values_keep_the_order_of_the_shop(self):
        payload = matrix(1, ["S", "M"], ["Red", "Blue"])
        payload["options"].reverse()
        data = read(payload)
        self.assertEqual(
            products.options_of(data), [("Size", ["S", "M"]), ("Color", ["Red", "Blue"])]
        )
        self.assertTrue(products.is_full(products.options_of(data), products.rows_of(data)))
        payload["variants"]["nodes"].pop()
        data = read(payload)
        self.assertFalse(products.is_full(products.options_of(data), products.rows_of(data)))

    def test_values_without_variants_are_left_out(self):
        payload = matrix(1, ["S", "M"])
        payload["options"][0]["optionValues"].append({"id": None, "name": "XXL"})
        self.assertEqual(products.options_of(read(payload)), [("Size", ["S", "M"])])

    def test_weights_are_exact_in_every_unit(self):
        for value, unit, kilograms, pounds in (
            (1500, "GRAMS", 1.5, 3.31),
            (1, "POUNDS", 0.45, 1.0),
            (16, "OUNCES", 0.45, 1.0),
            (2.2, "KILOGRAMS", 2.2, 4.85),
        ):
            stock = {"measurement": {"weight": {"value": value, "unit": unit}}}
            [row] = products.rows_of(read(product(1, variant(1, stock=stock))))
            self.assertEqual(products.weight_in(row.weight, pounds=False, digits=2), kilograms)
            self.assertEqual(products.weight_in(row.weight, pounds=True, digits=2), pounds)

    def test_what_breaks_the_contract_is_named(self):
        payload = product(1, variant(1, price="cheap"))
        with self.assertRaisesRegex(InvalidPayloadError, "variants.0.price"):
            read(payload)
        with self.assertRaisesRegex(InvalidPayloadError, "one variant at least"):
            read({**product(1), "variants": {"nodes": []}})

    def test_metafields_have_the_kind_their_type_says(self):
        rows = [
            {"namespace": "custom", "key": "care", "type": "list.single_line_text_field",
             "value": '["wash","dry"]'},
            {"namespace": "facts.lab", "key": "vegan", "type": "boolean", "value": "false"},
            {"namespace": "custom", "key": "length", "type": "number_decimal", "value": "1.10"},
        ]  # fmt: skip
        found = read_metafields({"nodes": rows})
        self.assertEqual(found["custom"], {"care": ["wash", "dry"], "length": "1.10"})
        self.assertIs(found["facts"]["lab"]["vegan"], False)


class TestMatching(BaseCase):
    def rows(self, *variants):
        return products.rows_of(read(product(1, *variants)))

    def test_links_before_skus_before_values(self):
        rows = self.rows(variant(1, ["S"]), variant(2, ["M"]), variant(3, ["L"], sku=""))
        found = products.match_rows(
            rows,
            {rows[0].gid: "linked"},
            [
                products.Candidate("sku", "SKU-2", "", ("XL",)),
                products.Candidate("values", "", "", ("l",)),
                products.Candidate("other", "SKU-1", "", ("S",)),
            ],
        )
        self.assertEqual(found, {rows[0].gid: "linked", rows[1].gid: "sku", rows[2].gid: "values"})

    def test_a_sku_that_comes_twice_tells_nothing(self):
        rows = self.rows(variant(1, ["S"], sku="A"), variant(2, ["M"], sku="A"))
        candidates = [
            products.Candidate(1, "A", "", ("M",)),
            products.Candidate(2, "A", "", ("S",)),
        ]
        self.assertEqual(
            products.match_rows(rows, {}, candidates), {rows[0].gid: 2, rows[1].gid: 1}
        )

    def test_archived_ones_come_last(self):
        rows = self.rows(variant(1, ["S"], sku="A"))
        candidates = [
            products.Candidate("old", "A", "", ("S",), active=False),
            products.Candidate("new", "A", "", ("S",)),
        ]
        self.assertEqual(products.match_rows(rows, {}, candidates), {rows[0].gid: "new"})
        self.assertEqual(products.match_rows(rows, {}, candidates[:1]), {rows[0].gid: "old"})


class TestPrices(BaseCase):
    def split(self, **prices):
        return products.split_prices(
            {tuple(key.split("_")): Decimal(price) for key, price in prices.items()}
        )

    def test_equal_prices_need_no_extra(self):
        self.assertEqual(self.split(S_Red="5", M_Red="5.00"), (Decimal(5), {}))

    def test_one_option_makes_the_price(self):
        self.assertEqual(
            self.split(S_Red="5", M_Red="6", S_Blue="5", M_Blue="6"),
            (Decimal(5), {(0, "M"): Decimal(1)}),
        )

    def test_two_options_add_up(self):
        base, extras = self.split(S_Red="5", M_Red="6", S_Blue="7", M_Blue="8")
        self.assertEqual((base, extras), (5, {(0, "M"): 1, (1, "Blue"): 2}))

    def test_no_sum_gives_these(self):
        self.assertIsNone(self.split(S_Red="5", M_Red="6", S_Blue="7", M_Blue="9"))

    def test_combinations_without_a_common_value(self):
        prices = {"S_Red": Decimal(5), "M_Blue": Decimal(8), "L_Blue": Decimal(9)}
        base, extras = self.split(**prices)
        for key, price in prices.items():
            self.assertEqual(
                base + sum(extras.get(part, 0) for part in enumerate(key.split("_"))), price
            )
