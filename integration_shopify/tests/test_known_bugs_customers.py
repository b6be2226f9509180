"""Bugs about people that really happened to users of other connectors; numbers as in their list."""

from odoo.tests import tagged

from .common import address, connection, line, order
from .customer_shop import CustomerCase, company, customer, location, place


@tagged("post_install", "-at_install")
class TestKnownBugsOfCustomers(CustomerCase):
    def test_bug_03_empty_email_never_matches_by_name(self):
        other = self.env["res.partner"].create({"name": "Anna Muster"})
        self.assertNotEqual(self.one(customer(1, email=None)), other)

    def test_bug_04_customer_without_any_address(self):
        partner = self.one(customer(1))
        self.assertFalse(partner.street or partner.child_ids)
        nobody = self.one(customer(2, email=None, firstName=None, lastName=None))
        self.assertEqual(nobody.name, "Shopify customer")

    def test_bug_14_archived_partner_is_not_reused(self):
        first = self.one(customer(1))
        first.active = False
        self.env["res.partner"].create(
            {"name": "Otto", "email": "otto@example.com", "active": False}
        )
        second = self.one(customer(2, email="otto@example.com"))
        self.assertTrue(second.active)
        self.assertEqual(self.bring(self.changed(customer(1, lastName="Neu"))).state, "skipped")
        self.assertFalse(first.active)

    def test_bug_15_equal_addresses_make_one_contact(self):
        sale = self.import_one(order(1, [line(1, 10)], 10))
        before = self.env["res.partner"].search_count([])
        partner = self.one(customer(1, place(1), place(2), place(3, "HAUPTSTR 5")))
        self.assertEqual(partner, sale.partner_id)
        self.assertEqual(self.env["res.partner"].search_count([]), before)
        # an address of an order and the same one of the address book, too
        self.import_one(order(2, [line(1, 10)], 10, shippingAddress=address(address1="Weg 9")))
        before = self.env["res.partner"].search_count([])
        self.one(customer(1, place(1), place(4, "Weg 9"), updatedAt="2026-11-21T10:00:00Z"))
        self.assertEqual(self.env["res.partner"].search_count([]), before)

    def test_bug_19_no_recursive_partner_hierarchy(self):
        """The company stands below the very person who is to stand below it."""
        person = self.one(customer(5))
        boss = self.one(company(1, location(1)))
        between = self.env["res.partner"].create({"name": "Between", "parent_id": person.id})
        boss.parent_id = between
        record = company(1, location(1), contacts=[(5, "Owner")])
        self.one(self.changed(record))
        self.assertFalse(person.parent_id)

    def test_bug_21_names_of_addresses_are_kept(self):
        row = place(2, "Platz 1", firstName="Pickup", lastName="Main Street Store")
        partner = self.one(customer(1, place(1), row))
        self.assertEqual(partner.child_ids.name, "Pickup Main Street Store")
        record = customer(1, place(1), row)
        self.one(self.changed(record, addressesV2=connection(place(1), row)), force=True)
        self.assertEqual(partner.child_ids.name, "Pickup Main Street Store")
