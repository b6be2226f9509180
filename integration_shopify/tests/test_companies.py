"""Companies of Shopify's B2B, their locations, catalogs and contacts."""

from datetime import datetime

from odoo import Command
from odoo.tests import new_test_user, tagged

from ..models.integration_shopify_contact import Party
from .common import connection, line, order
from .customer_shop import CustomerCase, company, customer, location

BUYER = {
    "company": {"id": "gid://shopify/Company/1", "name": "Acme"},
    "location": {"id": "gid://shopify/CompanyLocation/1", "name": "Berlin"},
}
CATALOG = {"id": "gid://shopify/CompanyLocationCatalog/5", "title": "Wholesale", "status": "ACTIVE"}


@tagged("post_install", "-at_install")
class TestCompanies(CustomerCase):
    def test_company_with_locations(self):
        record = company(1, location(1), location(2, "Bonn"), externalId="C-1")
        partner = self.one(record)
        self.assertEqual((partner.name, partner.is_company, partner.ref), ("Acme", True, "C-1"))
        self.assertEqual(partner.child_ids.mapped("city"), ["Berlin", "Bonn"])
        self.assertEqual(
            self.link(partner.child_ids[0], "company_location").external_id,
            "gid://shopify/CompanyLocation/1",
        )
        stamp = partner.child_ids[0].write_date
        self.assertEqual(self.one(record, force=True), partner)
        self.assertEqual(partner.child_ids[0].write_date, stamp)
        self.assertEqual(len(partner.child_ids), 2)

    def test_location_that_moves_or_is_gone(self):
        record = company(1, location(1), location(2, "Bonn"))
        partner = self.one(record)
        berlin, bonn = partner.child_ids
        moved = location(1)
        moved["shippingAddress"]["address1"] = "Neu 1"
        self.one(self.changed(record, locations=connection(moved)))
        self.assertEqual((berlin.street, bonn.active), ("Neu 1", False))
        self.assertFalse(self.link(bonn, "company_location"))

    def test_location_of_a_document_that_moves(self):
        record = company(1, location(1))
        partner = self.one(record)
        old = partner.child_ids
        sale = self.env["sale.order"].create(
            {"partner_id": partner.id, "partner_shipping_id": old.id}
        )
        moved = location(1)
        moved["shippingAddress"]["address1"] = "Neu 1"
        self.one(self.changed(record, locations=connection(moved)))
        self.assertEqual((sale.partner_shipping_id, old.street), (old, "Berliner Str. 1"))
        self.assertFalse(old.active)
        self.assertEqual(partner.child_ids.street, "Neu 1")

    def test_catalog_is_a_price_list_by_mapping(self):
        record = company(1, location(1, catalogs=connection(CATALOG)))
        partner = self.one(record)
        mapping = self.env["integration.mapping"].search([("kind", "=", "catalog")])
        self.assertEqual(mapping.external_label, "Wholesale")
        prices = self.env["product.pricelist"].create({"name": "Wholesale"})
        mapping.resource_ref = f"product.pricelist,{prices.id}"
        self.one(record, force=True)
        self.assertEqual(partner.specific_property_product_pricelist, prices)

    def map_terms(self):
        """Map what :meth:`trading` says; returns (payment term, fiscal position, price list)."""
        targets = (
            self.env["account.payment.term"].search([], limit=1),
            self.env["account.fiscal.position"].create({"name": "Exempt"}),
            self.env["product.pricelist"].create({"name": "Wholesale"}),
        )
        values = ("Net 30|30", "TAX_EXEMPT", CATALOG["id"])
        kinds = ("payment_term", "tax_exemption", "catalog")
        for kind, value, target in zip(kinds, values, targets, strict=True):
            self.env["integration.mapping"].create(
                {
                    "backend_id": self.backend.id,
                    "kind": kind,
                    "external_value": value,
                    "resource_ref": f"{target._name},{target.id}",
                }
            )
        return targets

    def trading(self, number=1, name="Berlin", exempt=True):
        """Return a location with a catalog, terms, a tax number and maybe an exemption."""
        terms = {"name": "Net 30", "paymentTermsType": "NET", "dueInDays": 30}
        taxes = {"taxRegistrationId": "DE1", "taxExempt": exempt, "taxExemptions": []}
        return location(
            number,
            name,
            taxSettings=taxes,
            buyerExperienceConfiguration={"paymentTermsTemplate": terms},
            catalogs=connection(CATALOG),
        )

    def terms_of(self, partner):
        return (
            partner.property_payment_term_id,
            partner.property_account_position_id,
            partner.specific_property_product_pricelist,
        )

    def test_terms_exemption_and_tax_number(self):
        targets = self.map_terms()
        partner = self.one(company(1, self.trading()))
        self.assertEqual(self.terms_of(partner), targets)
        self.assertEqual((partner.vat, partner.child_ids.vat), ("DE1", "DE1"))

    def test_exemption_that_ended_is_taken_back(self):
        _days, position, _prices = self.map_terms()
        record = company(1, self.trading(), self.trading(2, "Bonn"))
        partner = self.one(record)
        self.assertEqual(partner.property_account_position_id, position)
        # one location that pays taxes: the company as a whole is not exempt
        places = connection(self.trading(), self.trading(2, "Bonn", exempt=False))
        record = self.changed(record, locations=places)
        self.one(record)
        self.assertFalse(partner.property_account_position_id)
        own = self.env["account.fiscal.position"].create({"name": "Chosen in Odoo"})
        partner.property_account_position_id = own
        places = connection(self.trading(exempt=False))
        self.one(self.changed(record, locations=places))
        self.assertEqual(partner.property_account_position_id, own)

    def test_price_list_and_terms_that_ended_are_taken_back(self):
        days, position, prices = self.map_terms()
        record = company(1, self.trading())
        partner = self.one(record)
        self.assertEqual(self.terms_of(partner), (days, position, prices))
        record = self.changed(record, locations=connection(location(1)))
        self.one(record)
        nothing = (days.browse(), position.browse(), prices.browse())
        self.assertEqual(self.terms_of(partner), nothing)
        # what means nothing in this shop was chosen in Odoo
        own = prices.copy({"name": "Chosen in Odoo"})
        partner.specific_property_product_pricelist = own
        self.one(self.changed(record, name="Acme AG"))
        self.assertEqual(partner.name, "Acme AG")
        self.assertEqual(partner.specific_property_product_pricelist, own)

    def test_price_list_and_terms_chosen_in_odoo_stay(self):
        """What was mapped for orders may be chosen in Odoo too, for a company without terms."""
        days, position, prices = self.map_terms()
        record = company(1, location(1))
        partner = self.one(record)
        partner.property_payment_term_id = days
        partner.specific_property_product_pricelist = prices
        chosen = (days, position.browse(), prices)
        record = self.changed(record, name="Acme AG")
        self.one(record)
        self.assertEqual((partner.name, *self.terms_of(partner)), ("Acme AG", *chosen))
        self.assertFalse(partner.shopify_profile_ids)
        # Shopify says the same for a while: it was chosen in Odoo all the same
        record = self.changed(record, locations=connection(self.trading(exempt=False)))
        self.one(record)
        record = self.changed(record, locations=connection(location(1)))
        self.one(record)
        self.assertEqual(self.terms_of(partner), chosen)

    def test_price_list_and_terms_that_ended_are_forgotten(self):
        days, position, prices = self.map_terms()
        record = company(1, self.trading(exempt=False))
        partner = self.one(record)
        chosen = (days, position.browse(), prices)
        profile = partner.shopify_profile_ids
        given = (profile.given_payment_term_id, profile.given_pricelist_id)
        self.assertEqual(given, (days, prices))
        # a company whose locations are all gone says nothing
        record = self.changed(record, locations=connection())
        self.one(record)
        self.assertEqual(self.terms_of(partner), chosen)
        record = self.changed(record, locations=connection(location(1)))
        self.one(record)
        self.assertFalse(partner.property_payment_term_id)
        self.assertFalse(profile.given_payment_term_id or profile.given_pricelist_id)
        partner.property_payment_term_id = days
        partner.specific_property_product_pricelist = prices
        self.one(self.changed(record, name="Acme AG"))
        self.assertEqual((partner.name, *self.terms_of(partner)), ("Acme AG", *chosen))

    def test_addresses_that_belong_to_odoo_are_only_added(self):
        self.backend.shopify_customer_master = "both"
        self.backend.shopify_customer_addresses_owner = "odoo"
        record = company(1, location(1), location(2, "Bonn"))
        partner = self.one(record)
        berlin, bonn = partner.child_ids
        berlin.street = "Odoo-Weg 1"
        moved = location(1)
        moved["shippingAddress"]["address1"] = "Neu 1"
        record = self.changed(record, locations=connection(moved, location(3, "Kiel")))
        self.one(record)
        self.assertEqual((berlin.street, bonn.active), ("Odoo-Weg 1", True))
        self.assertEqual(partner.child_ids.mapped("city"), ["Berlin", "Bonn", "Kiel"])
        # one that is archived in Odoo is not made again
        berlin.active = False
        self.one(self.changed(record, name="Acme AG"))
        self.assertEqual((partner.name, berlin.active), ("Acme AG", False))
        self.assertEqual(partner.child_ids.mapped("city"), ["Bonn", "Kiel"])

    def test_what_belongs_to_odoo_is_not_written(self):
        days, position, prices = self.map_terms()
        nothing = (days.browse(), position.browse(), prices.browse())
        untaxed = (days, position.browse(), prices)
        for number, master, tax, terms, vat in (
            (1, "odoo", "shopify", nothing, False),
            (2, "both", "odoo", untaxed, False),
            (3, "both", "shopify", (days, position, prices), "DE1"),
            (4, "shopify", "odoo", (days, position, prices), "DE1"),
        ):
            with self.subTest(master=master, tax=tax):
                self.backend.write(
                    {"shopify_customer_master": master, "shopify_customer_tax_owner": tax}
                )
                reference = f"C-{number}"
                known = self.env["res.partner"].create(
                    {"name": "ACME GmbH", "is_company": True, "ref": reference}
                )
                record = company(number, self.trading(number), externalId=reference)
                self.assertEqual(self.one(record), known)
                self.assertEqual((self.terms_of(known), known.vat), (terms, vat))

    def test_new_company_gets_all_that_shopify_knows(self):
        self.backend.shopify_customer_master = "odoo"
        targets = self.map_terms()
        partner = self.one(company(1, self.trading()))
        self.assertEqual((self.terms_of(partner), partner.vat), (targets, "DE1"))

    def test_locations_with_several_tax_numbers(self):
        taxes = {"taxExempt": False, "taxExemptions": []}
        operation = self.bring(
            company(
                1,
                location(1, taxSettings={**taxes, "taxRegistrationId": "DE1"}),
                location(2, "Wien", taxSettings={**taxes, "taxRegistrationId": "AT2"}),
            )
        )
        self.assertEqual(operation.state, "done", operation.message)
        self.assertIn("AT2, DE1", operation.message)

    def test_contacts_join_their_company(self):
        person = self.one(customer(5))
        partner = self.one(company(1, location(1), contacts=[(5, "Buyer"), (6, None)]))
        self.assertEqual((person.parent_id, person.function), (partner, "Buyer"))
        self.assertEqual(person.shopify_profile_ids.roles, "Location admin (Berlin)")
        profile = {
            "id": "gid://shopify/CompanyContact/6",
            "title": "Chief",
            "isMainContact": True,
            "company": {"id": "gid://shopify/Company/1", "name": "Acme"},
        }
        late = self.one(customer(6, email="b@example.com", companyContactProfiles=[profile]))
        self.assertEqual((late.parent_id, late.function), (partner, "Chief"))

    def test_contact_keeps_the_exemption_of_his_company(self):
        _days, position, _prices = self.map_terms()
        record = customer(5)
        person = self.one(record)
        self.one(company(1, self.trading(), contacts=[(5, None)]))
        self.assertEqual(person.property_account_position_id, position)
        self.one(self.changed(record, firstName="Anne"))
        self.assertEqual(person.name, "Anne Muster")
        self.assertEqual(person.property_account_position_id, position)

    def test_contact_of_all_companies_is_not_put_below_one_of_ours(self):
        """Whoever reads the contact reads the company above it, for its invoice address."""
        shared = self.env["res.partner"].create({"name": "Anna", "email": "anna@example.com"})
        sale = self.import_one(order(1, [line(1, 10)], 10, purchasingEntity=BUYER))
        acme = sale.partner_id
        self.assertEqual((acme.name, acme.company_id), ("Acme", self.company))
        profile = {
            "id": "gid://shopify/CompanyContact/1",
            "title": None,
            "isMainContact": True,
            "company": BUYER["company"],
        }
        self.assertEqual(self.one(customer(1, companyContactProfiles=[profile])), shared)
        self.assertEqual(self.one(company(1, location(1), contacts=[(1, None)])), acme)
        self.assertFalse(shared.parent_id)
        other = self.env["res.company"].create({"name": "Other"})
        seller = new_test_user(
            self.env,
            "seller of others",
            groups="sales_team.group_sale_salesman_all_leads",
            company_id=other.id,
            company_ids=[Command.set(other.ids)],
        )
        quotation = self.env["sale.order"].with_user(seller).create({"partner_id": shared.id})
        self.assertEqual(quotation.partner_invoice_id, shared)

    def test_contact_of_a_branch_joins_its_company(self):
        acme = self.one(company(1, location(1)))
        branch = self.env["res.company"].create({"name": "Branch", "parent_id": self.company.id})
        person = self.env["res.partner"].create({"name": "Bea", "company_id": branch.id})
        self.env["integration.shopify.contact"]._join_company(Party("", person, company=acme))
        self.assertEqual(person.parent_id, acme)

    def test_order_and_company_are_one(self):
        sale = self.import_one(order(1, [line(1, 10)], 10, purchasingEntity=BUYER))
        partner = self.one(company(1, location(1)))
        self.assertEqual(sale.partner_id.commercial_partner_id, partner)

    def test_more_locations_than_a_page(self):
        rows = [location(number, f"Ort{number}") for number in range(1, 16)]
        self.assertEqual(len(self.one(company(1, *rows)).child_ids), 15)

    def test_known_by_reference(self):
        known = self.env["res.partner"].create(
            {"name": "ACME GmbH", "is_company": True, "ref": "C-1"}
        )
        self.assertEqual(self.one(company(1, location(1), externalId="C-1")), known)

    def test_never_by_name(self):
        known = self.env["res.partner"].create({"name": "Acme", "is_company": True})
        self.assertNotEqual(self.one(company(1, location(1))), known)

    def test_changes_of_locations_are_listed(self):
        resource = self.env["integration.shopify.company"]
        self.shop.put(company(1, location(1)))
        since = datetime(2026, 11, 1)
        first = resource._fetch_changes(self.backend, since, None)
        self.assertEqual([row.external_id for row in first.changes], ["gid://shopify/Company/1"])
        last = resource._fetch_changes(self.backend, since, first.next_page)
        self.assertIsNone(last.next_page)
        self.assertEqual(
            [name for name, _v in self.shop.calls], ["company_changes", "company_location_changes"]
        )
