"""What has to change so that a product is in the shop as it is in Odoo; no database."""

from odoo.tests import BaseCase

from ..lib import catalogue


def row(product, *options, **values):
    """Return a variant as Odoo wants it."""
    return {
        "product": product,
        "options": list(options),
        "sku": f"SKU-{product}",
        "barcode": "",
        "price": "10.00",
        "compare": None,
        "cost": None,
        "weight": None,
        "hs": "",
        "origin": "",
        "tracked": True,
        "shipping": True,
        "policy": "DENY",
        "image": "",
        **values,
    }


def wanted(*rows, **values):
    """Return a product as Odoo wants it."""
    return {
        "title": "Shirt",
        "html": "",
        "vendor": "",
        "type": "",
        "category": "",
        "status": "ACTIVE",
        "status_chosen": False,
        "tags": [],
        "options": [{"name": "Size", "values": [r["options"][0] for r in rows]}]
        if rows and rows[0]["options"]
        else [],
        "variants": list(rows),
        "image": "",
        "metafields": [],
        "collections": [],
        "channels": None,
        "translations": {},
        **values,
    }


def present(gid, *options, **values):
    """Return a variant as the shop has it."""
    names = ["Size", "Colour"] if options else ["Title"]
    return {
        "id": gid,
        "title": " / ".join(options),
        "sku": "",
        "barcode": None,
        "price": "10.0",
        "compareAtPrice": None,
        "inventoryPolicy": "DENY",
        "selectedOptions": [
            {"name": name, "value": value}
            for name, value in zip(names, options or ["Default Title"], strict=False)
        ],
        "media": {"nodes": []},
        "inventoryItem": {
            "id": f"item-{gid}",
            "tracked": True,
            "requiresShipping": True,
            "harmonizedSystemCode": None,
            "countryCodeOfOrigin": None,
            "unitCost": None,
            "measurement": {"weight": {"value": 0.0, "unit": "KILOGRAMS"}},
        },
        **values,
    }


class TestCatalogue(BaseCase):
    def test_pairs_by_link_then_sku_barcode_values(self):
        values = wanted(
            row(1, "S"), row(2, "M"), row(3, "L", sku="", barcode="B3"), row(4, "XL", sku="")
        )
        found = catalogue.pair_variants(
            values,
            [
                present("a", "XL"),
                present("b", "?", barcode="B3"),
                present("c", "!", sku="SKU-2"),
                present("d", "M", sku="SKU-9"),
                present("e", "Other"),
                present("f", "Old"),
            ],
            {"d": 1},
            {"f"},
        )
        pairs = {index: variant["id"] for index, variant in found.pairs.items()}
        self.assertEqual(pairs, {0: "d", 1: "c", 2: "b", 3: "a"})
        self.assertEqual([v["id"] for v in found.foreign], ["e"])
        self.assertEqual([v["id"] for v in found.gone], ["f"])

    def test_a_sku_that_is_there_twice_pairs_nothing(self):
        values = wanted(row(1, "S"), row(2, "M", sku="SKU-1"))
        found = catalogue.pair_variants(
            values, [present("a", "?", sku="SKU-1"), present("b", "!", sku="SKU-1")], {}, ()
        )
        self.assertFalse(found.pairs)

    def test_a_variant_that_is_another_product_pairs_with_nothing(self):
        values = wanted(row(1, "S"), row(2, "M"))
        found = catalogue.pair_variants(
            values,
            [present("a", "S", sku="SKU-1"), present("b", "M", sku="SKU-1")],
            {"a": 1},
            {"a", "b"},
            {"a"},
        )
        self.assertEqual({at: v["id"] for at, v in found.pairs.items()}, {0: "b"})
        self.assertEqual(([v["id"] for v in found.elsewhere], found.gone), (["a"], []))
        found = catalogue.pair_variants(values, [present("a", "s", sku="?")], {}, {"a"}, {"a"})
        self.assertEqual((found.pairs, found.taken, found.gone), ({}, {0}, []))

    def test_tags_of_both_sides(self):
        for have, want, before, after in (
            (["a", "B"], ["c"], [], ["a", "B", "c"]),
            (["a", "B", "c"], ["b"], ["c"], ["a", "B"]),
            (["a"], [], ["a"], []),
            (["Sale"], ["sale"], ["sale"], ["Sale"]),
        ):
            self.assertEqual(catalogue.tags_after(have, want, before), after)

    def test_empty_fields_are_left_alone_unless_they_were_ours(self):
        state = {
            "title": "Shirt",
            "descriptionHtml": "<p>Theirs</p>",
            "vendor": "Theirs",
            "productType": "",
            "status": "ACTIVE",
            "category": {"id": "x"},
            "tags": [],
            "collections": {"nodes": []},
            "metafields": {"nodes": []},
        }
        values = wanted(row(1))
        self.assertEqual(catalogue.product_changes(values, state, {}), {})
        self.assertEqual(
            catalogue.product_changes(values, state, {"filled": ["vendor", "category"]}),
            {"vendor": "", "category": None},
        )

    def test_a_variant_as_it_is_changes_nothing(self):
        values = row(1, weight=["0.5", "KILOGRAMS"], cost="4.50")
        shop = present("a", sku="SKU-1", price="10.0")
        shop["inventoryItem"] |= {
            "unitCost": {"amount": "4.5"},
            "measurement": {"weight": {"value": 0.5, "unit": "KILOGRAMS"}},
        }
        self.assertEqual(catalogue.variant_changes(values, shop, ["Title"]), {})
        shop["inventoryItem"]["measurement"]["weight"]["unit"] = "POUNDS"
        self.assertEqual(
            catalogue.variant_changes(values, shop, ["Title"]),
            {"inventoryItem": {"measurement": {"weight": {"value": 0.5, "unit": "KILOGRAMS"}}}},
        )

    def test_values_of_variants_go_again_where_they_were_ours(self):
        shop = present("a", sku="X", barcode="B", compareAtPrice="12.00")
        empty = row(1, sku="")
        self.assertEqual(catalogue.variant_changes(empty, shop, ["Title"]), {})
        filled = {"sku", "barcode", "compare"}
        self.assertEqual(
            catalogue.variant_changes(empty, shop, ["Title"], filled),
            {"compareAtPrice": None, "barcode": None, "inventoryItem": {"sku": ""}},
        )
        made = catalogue.variant_input(empty, ["Title"])
        self.assertFalse({"compareAtPrice", "barcode", "sku"} & {*made, *made["inventoryItem"]})

    def test_what_is_remembered_of_variants(self):
        values = wanted(row(1, "S", barcode="B"), row(2, "M", sku="", compare="12.00"))
        memory = catalogue.remembered(values, {1: "a", 2: "b"})
        self.assertEqual(memory["variants"], ["a", "b"])
        self.assertEqual(
            [catalogue.filled_of(memory)[gid] for gid in ("a", "b", "c")],
            [{"sku", "barcode"}, {"compare"}, set()],
        )
        self.assertEqual(memory["status"], "")
        values = wanted(row(1, "S"), status_chosen=True)
        self.assertEqual(catalogue.remembered(values, {1: "a"})["status"], "ACTIVE")

    def test_the_status_is_the_shops_unless_it_was_chosen_in_odoo(self):
        state = {"title": "Shirt", "descriptionHtml": "", "vendor": "", "productType": "",
                 "status": "DRAFT", "category": None, "tags": [], "collections": {"nodes": []},
                 "metafields": {"nodes": []}}  # fmt: skip
        for chosen, before, changes in (
            (False, {}, {}),
            (True, {}, {"status": "ACTIVE"}),
            (False, {"status": "ARCHIVED"}, {"status": "ACTIVE"}),
        ):
            values = wanted(row(1), status_chosen=chosen)
            self.assertEqual(catalogue.product_changes(values, state, before), changes)

    def test_problems(self):
        values = wanted(
            row(1, "S"),
            row(2, "s"),
            row(3, "M", price="-1.00"),
            title="x" * 256,
            tags=[str(number) for number in range(251)],
        )
        values["options"][0]["name"] = "Size / Fit"
        values["options"] += [{"name": f"O{n}", "values": []} for n in range(3)]
        codes = [code for code, _values in catalogue.problems(values)]
        self.assertEqual(
            codes, ["title", "tags", "options", "option_name", "value_twice", "same", "price"]
        )
        many = wanted(*(row(number, str(number)) for number in range(2049)))
        self.assertEqual([code for code, _v in catalogue.problems(many)], ["variants"])

    def test_a_renamed_option_keeps_its_id(self):
        values = wanted(row(1, "S"))
        state = {"options": [{"id": "o1", "name": "Fit", "optionValues": []}]}
        pairing = catalogue.Pairing({0: present("a", "S")})
        made = catalogue.restructure_input(values, state, pairing, {})
        self.assertEqual(made["productOptions"][0]["id"], "o1")
        self.assertEqual(made["variants"][0]["id"], "a")
        self.assertEqual(set(made), {"productOptions", "variants"}, "every other list stays")

    def test_channels(self):
        self.assertEqual(
            catalogue.channel_changes(["a", "b"], {"b", "c", "d"}, ["b", "c"]), (["a"], ["c"])
        )

    def test_numbers_of_metafields(self):
        self.assertTrue(catalogue.same_text("1.50", "1.5", "number_decimal"))
        self.assertFalse(catalogue.same_text(None, "", "single_line_text_field"))
        self.assertTrue(
            catalogue.same_text("2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00Z", "date_time")
        )

    def test_a_search_is_quoted(self):
        values = wanted(row(1, sku='A"B\\C', barcode="400"))
        other = wanted(row(2, sku="D", barcode="400"))
        self.assertEqual(
            catalogue.candidate_terms([values, other]),
            ['sku:"A\\"B\\\\C"', 'barcode:"400"', 'sku:"D"'],
        )
