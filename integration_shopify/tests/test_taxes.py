from decimal import Decimal

from odoo.tests import BaseCase

from ..lib.taxes import TaxKey, read_tax_key, without_country
from .common import ShopifyCase


class TestTaxKeys(BaseCase):
    def test_reading(self):
        for key, expected in {
            "VAT|0.19|included": TaxKey(Decimal(19), True),
            "HST|0.13|excluded": TaxKey(Decimal(13), False),
            "MwSt|0.2|included|AT": TaxKey(Decimal(20), True, "AT"),
            "MwSt|0.2|included|": TaxKey(Decimal(20), True),
            "VAT|0.2|excluded|GB|channel": TaxKey(Decimal(20), False, "GB", True),
            "VAT|0.2|excluded||channel": TaxKey(Decimal(20), False, "", True),
            "Sales tax|0.08875|excluded|channel": TaxKey(Decimal("8.875"), False, "", True),
            "A|0.1|included|B|0.2|excluded": TaxKey(Decimal(20), False),
            "of two\nlines|0|included": TaxKey(Decimal(0), True),
            "|0.19|included": TaxKey(Decimal(19), True),
            "no rate||included": TaxKey(None, True),
            "odd|.|included": TaxKey(None, True),
            "VAT": TaxKey(None, False),
            "VAT|0.19|besides": TaxKey(None, False),
            "": TaxKey(None, False),
        }.items():
            self.assertEqual(read_tax_key(key), expected, key)

    def test_without_country(self):
        for key, expected in {
            "MwSt|0.2|included|AT": "MwSt|0.2|included",
            "MwSt|0.2|included": "MwSt|0.2|included",
            "VAT|0.2|excluded|GB|channel": "VAT|0.2|excluded|channel",
            "A|0.1|included|B|0.2|excluded|AT": "A|0.1|included|B|0.2|excluded",
            "no key": "no key",
        }.items():
            self.assertEqual(without_country(key), expected, key)


class TestTaxRecognition(ShopifyCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.austria = cls.env.ref("base.at")
        cls.group = cls.env["account.tax.group"].create(
            {"name": "AT", "company_id": cls.company.id, "country_id": cls.austria.id}
        )
        cls.abroad = cls._foreign("AT 20%")

    @classmethod
    def _foreign(cls, name):
        return cls._tax(
            name, 20, included=True, country_id=cls.austria.id, tax_group_id=cls.group.id
        )

    def recognised(self, key):
        values = self.backend._connector()._default_mapping(self.backend, "tax", {key: key})
        return values.get(key, self.env["account.tax"])

    def test_at_home_only_taxes_of_the_own_country(self):
        self.assertEqual(self.recognised("VAT|0.19|included"), self.vat19)
        self.assertEqual(self.recognised("VAT|0.19|included|"), self.vat19)
        self.assertFalse(self.recognised("VAT|0.2|included"), "there is an Austrian one only")

    def test_abroad_only_taxes_of_that_country(self):
        self.assertEqual(self.recognised("MwSt|0.2|included|AT"), self.abroad)
        self.assertFalse(self.recognised("VAT|0.19|included|AT"), "19 % is domestic")
        self.assertFalse(self.recognised("TVA|0.2|included|FR"), "20 % of another country")

    def test_the_own_country_may_be_named(self):
        code = self.company.account_fiscal_country_id.code
        self.assertEqual(self.recognised(f"VAT|0.19|included|{code}"), self.vat19)

    def test_taxes_of_distance_sales_belong_to_where_the_goods_go(self):
        self.abroad.active = False
        position = self.env["account.fiscal.position"].create(
            {
                "name": "OSS Austria",
                "company_id": self.company.id,
                "country_id": self.austria.id,
                "auto_apply": True,
            }
        )
        oss = self._tax("20% AT", 20, included=True, fiscal_position_ids=[(6, 0, position.ids)])
        self.assertEqual(oss.country_id, self.company.account_fiscal_country_id)
        self.assertEqual(self.recognised("MwSt|0.2|included|AT"), oss)
        self.assertFalse(self.recognised("VAT|0.2|included"))

    def test_two_that_fit_are_a_question_for_a_person(self):
        self._foreign("AT 20% services")
        self.assertFalse(self.recognised("MwSt|0.2|included|AT"))

    def test_what_a_channel_pays_is_a_question_for_a_person(self):
        for key in ("VAT|0.19|included|channel", "VAT|0.2|included|AT|channel"):
            self.assertFalse(self.recognised(key), key)

    def test_a_mapping_stored_before_countries_were_told_apart_is_used_at_home(self):
        chosen = self._tax("Chosen by hand", 7, included=True)
        self.env["integration.mapping"].create(
            {
                "backend_id": self.backend.id,
                "kind": "tax",
                "external_value": "VAT|0.19|included",
                "resource_ref": f"account.tax,{chosen.id}",
            }
        )
        values = self.env["integration.mapping"]._values(
            self.backend, "tax", {"VAT|0.19|included": "VAT", "MwSt|0.2|included|AT": "MwSt"}
        )
        self.assertEqual(values["VAT|0.19|included"], chosen)
        self.assertEqual(values["MwSt|0.2|included|AT"], self.abroad)
