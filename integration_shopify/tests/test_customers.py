"""Customers and contacts become the same people, once, whoever owns them."""

import copy
from unittest.mock import patch

from odoo import Command, fields
from odoo.tests import new_test_user, tagged

from odoo.addons.integration_shopify.models.integration_shopify_customer import (
    IntegrationShopifyCustomer,
)

from .common import connection, line, order
from .customer_shop import CustomerCase, customer, gid, place


@tagged("post_install", "-at_install")
class TestCustomersIn(CustomerCase):
    def test_new_customer(self):
        places = (place(1), place(2, "Weg 2"))
        partner = self.one(customer(1, *places, tags=["VIP"], note="Rings twice"))
        self.assertEqual(
            (partner.name, partner.email, partner.street, partner.country_id.code),
            ("Anna Muster", "anna@example.com", "Hauptstr. 5", "DE"),
        )
        self.assertEqual(partner.child_ids.mapped("street"), ["Weg 2"])
        self.assertEqual(partner.category_id.mapped("name"), ["VIP"])
        self.assertIn("Rings twice", partner.comment)
        self.assertEqual(self.link(partner).external_id, gid(1))
        self.assertEqual(
            self.link(partner.child_ids, "customer_address").external_id,
            "gid://shopify/MailingAddress/2",
        )

    def test_unchanged_writes_nothing(self):
        record = customer(1, place(1), place(2, "Weg 2"), tags=["VIP"])
        partner = self.one(record)
        stamp, count = partner.write_date, self.env["res.partner"].search_count([])
        later = self.changed(record)
        self.assertEqual(self.bring(later).message, "Unchanged.")
        self.assertEqual(self.one(later, force=True), partner)
        self.assertEqual(partner.write_date, stamp)
        self.assertEqual(self.env["res.partner"].search_count([]), count)

    def test_order_and_customer_are_one_contact(self):
        sale = self.import_one(order(1, [line(1, 10)], 10))
        partner = self.one(customer(1, place(1)))
        self.assertEqual(partner, sale.partner_id)
        self.assertFalse(partner.child_ids)
        again = self.import_one(order(2, [line(1, 10)], 10))
        self.assertEqual(again.partner_shipping_id, partner)

    def test_known_by_email_and_ambiguous(self):
        known = self.env["res.partner"].create({"name": "A. Muster", "email": "Anna@Example.com"})
        self.assertEqual(self.one(customer(1)), known)
        other = self.bring(customer(2, email="anna@example.com"))
        self.assertEqual((other.state, other.error_class), ("dead", "ambiguous"))
        for _number in range(2):
            self.env["res.partner"].create({"name": "Otto", "email": "otto@example.com"})
        third = self.bring(customer(3, email="otto@example.com"))
        self.assertEqual((third.state, third.error_class), ("dead", "ambiguous"))

    def test_changes_follow_and_nothing_is_emptied(self):
        record = customer(1, place(1), defaultPhoneNumber={"phoneNumber": "+4930123"})
        partner = self.one(record)
        self.one(self.changed(record, lastName="Neu", defaultPhoneNumber=None))
        self.assertEqual((partner.name, partner.phone), ("Anna Neu", "+4930123"))

    def test_odoo_owns(self):
        self.backend.shopify_customer_master = "odoo"
        record = customer(1, place(1), tags=["VIP"])
        partner = self.one(record)
        self.assertEqual(partner.street, "Hauptstr. 5")
        self.one(self.changed(record, firstName="Bea", addressesV2=connection(place(1, "Neu 1"))))
        self.assertEqual((partner.name, partner.street), ("Anna Muster", "Hauptstr. 5"))

    def test_owner_field_by_field(self):
        self.backend.write(
            {"shopify_customer_master": "both", "shopify_customer_identity_owner": "odoo"}
        )
        record = customer(1, place(1))
        partner = self.one(record)
        self.one(self.changed(record, firstName="Bea", addressesV2=connection(place(1, "Neu 1"))))
        self.assertEqual((partner.name, partner.street), ("Anna Muster", "Neu 1"))

    def test_new_address_leaves_documents_alone(self):
        sale = self.import_one(order(1, [line(1, 10)], 10))
        partner = sale.partner_id
        record = customer(1, place(1))
        self.one(record)
        moved = self.changed(record, addressesV2=connection(place(1, "Neu 1")))
        self.one(moved)
        self.assertEqual(sale.partner_shipping_id.street, "Hauptstr. 5")
        self.assertEqual((partner.child_ids.street, partner.child_ids.type), ("Neu 1", "delivery"))
        later = self.import_one(
            order(2, [line(1, 10)], 10, shippingAddress=place(1, "Neu 1"), billingAddress=None)
        )
        self.assertEqual(later.partner_shipping_id, partner.child_ids)
        # the address of that order is not written over either
        self.one(self.changed(moved, addressesV2=connection(place(1, "Noch 2"))))
        self.assertEqual(later.partner_shipping_id.street, "Neu 1")
        self.assertFalse(later.partner_shipping_id.active)
        self.assertEqual(partner.child_ids.mapped("street"), ["Noch 2"])

    def test_addresses_that_changed_or_are_gone(self):
        record = customer(1, place(1), place(2, "Weg 2"), place(3, "Weg 3"))
        partner = self.one(record)
        second = partner.child_ids.filtered(lambda row: row.street == "Weg 2")
        self.one(self.changed(record, addressesV2=connection(place(1), place(2, "Weg 22"))))
        self.assertEqual(second.street, "Weg 22")
        self.assertEqual(partner.child_ids, second)

    def test_more_addresses_than_a_page(self):
        record = customer(1, *(place(n, f"Weg {n}") for n in range(1, 31)))
        partner = self.one(record)
        self.assertEqual(len(partner.child_ids), 29)
        self.assertIn("customer_addresses", [name for name, _variables in self.shop.calls])

    def test_hidden_personal_data(self):
        record = customer(1, place(1))
        partner = self.one(record)
        self.shop.hidden = ("firstName", "lastName", "defaultEmailAddress", "defaultPhoneNumber")
        operation = self.bring(self.changed(record, note="x"))
        self.assertEqual(operation.state, "skipped")
        self.assertIn("protected customer data", operation.message)
        self.assertEqual((partner.name, partner.email), ("Anna Muster", "anna@example.com"))
        # what is shown is followed, what is hidden stays
        self.shop.hidden = ("addressesV2", "defaultEmailAddress")
        self.one(self.changed(record, lastName="Neu", updatedAt="2026-11-20T11:00:00Z"))
        self.assertEqual((partner.name, partner.street), ("Anna Neu", "Hauptstr. 5"))

    def test_hidden_customer_is_not_taken_for_a_deleted_one(self):
        record = customer(1, place(1))
        partner = self.one(record)
        self.shop.hidden_whole = True
        with patch.object(type(self.env["integration.importer"]), "_missing", missing):
            operation = self.bring(self.changed(record))
        self.assertEqual(operation.state, "skipped")
        self.assertTrue(partner.active and not self.link(partner).deleted_at)

    def test_consent_and_its_history(self):
        record = customer(1)
        partner = self.one(record)
        self.assertFalse(partner.shopify_email_consent)
        email = {**record["defaultEmailAddress"], "marketingState": "SUBSCRIBED"}
        email["marketingUpdatedAt"] = "2026-11-20T10:00:00Z"
        self.one(self.changed(record, defaultEmailAddress=email))
        self.assertEqual(partner.shopify_email_consent, "subscribed")
        self.assertEqual(
            partner.shopify_email_consent_at, fields.Datetime.to_datetime("2026-11-20 10:00:00")
        )
        self.assertEqual(
            partner.shopify_consent_ids.mapped("state"), ["SUBSCRIBED", "NOT_SUBSCRIBED"]
        )
        self.assertEqual(set(partner.shopify_consent_ids.mapped("origin")), {"shopify"})

    def test_consent_to_text_messages_is_one_of_its_own(self):
        phone = {"phoneNumber": "+49301234", "marketingState": "SUBSCRIBED"}
        record = customer(1, defaultPhoneNumber=phone)
        partner = self.one(record)
        self.assertEqual(
            (partner.shopify_sms_consent, partner.shopify_email_consent), ("subscribed", False)
        )
        self.assertEqual(
            [(row.way, row.state) for row in partner.shopify_consent_ids.sorted("way")],
            [("email", "NOT_SUBSCRIBED"), ("sms", "SUBSCRIBED")],
        )
        gone = {**phone, "marketingState": "UNSUBSCRIBED"}
        self.one(self.changed(record, defaultPhoneNumber=gone))
        self.assertEqual(partner.shopify_sms_consent, "unsubscribed")
        self.assertEqual(len(partner.shopify_consent_ids), 3)

    def other_shop(self):
        """Return the flow of customers into Odoo of another shop of the company."""
        other = self.backend.copy({"base_url": "other.myshopify.com"})
        other.write({"state": "active", "shopify_domain": "other.myshopify.com"})
        flow = other.flow_ids.filtered(
            lambda row: row.resource == "customer" and row.direction == "in"
        )
        flow.enabled = True
        return flow

    def consenting(self, number, state, since, record=None):
        """Return Anna in a shop with a consent to e-mails and SMS."""
        told = {
            "marketingState": state,
            "marketingOptInLevel": None,
            "marketingUpdatedAt": since and f"{since}T10:00:00Z",
        }
        values = {
            "defaultEmailAddress": {"emailAddress": "anna@example.com", **told},
            "defaultPhoneNumber": {"phoneNumber": "+49301234", **told},
        }
        return self.changed(record, **values) if record else customer(number, **values)

    def assertConsent(self, partner, state, since):
        for way in ("email", "sms"):
            at = partner[f"shopify_{way}_consent_at"]
            with self.subTest(way):
                self.assertEqual(
                    (partner[f"shopify_{way}_consent"], at and f"{at:%Y-%m-%d}"), (state, since)
                )

    def test_never_asked_in_one_shop_leaves_what_another_says(self):
        flow, first = self.other_shop(), self.consenting(1, "UNSUBSCRIBED", "2026-11-01")
        partner = self.one(first)
        for since in (None, "2026-11-10"):
            self.shop.put(self.consenting(2, "NOT_SUBSCRIBED", since))
            self.bring_ids(gid(2), flow=flow)
            self.assertEqual(len(partner.shopify_profile_ids), 2)
            self.assertConsent(partner, "unsubscribed", "2026-11-01")
        # also where it takes back what this shop has said before, earlier or later
        for since in ("2026-10-01", "2026-11-15"):
            self.shop.put(self.consenting(2, "UNSUBSCRIBED", since))
            self.bring_ids(gid(2), flow=flow, force=True)
            self.shop.put(self.consenting(2, "NOT_SUBSCRIBED", None))
            self.bring_ids(gid(2), flow=flow, force=True)
            self.assertConsent(partner, "unsubscribed", "2026-11-01")
        # the shop itself takes its word back
        self.one(self.consenting(1, "NOT_SUBSCRIBED", None, first))
        self.assertConsent(partner, False, False)

    def test_what_another_shop_says_holds_again(self):
        flow, first = self.other_shop(), self.consenting(1, "UNSUBSCRIBED", "2026-11-01")
        partner = self.one(first)
        self.shop.put(self.consenting(2, "SUBSCRIBED", "2026-11-10"))
        self.bring_ids(gid(2), flow=flow)
        self.assertConsent(partner, "subscribed", "2026-11-10")
        self.shop.put(self.consenting(2, "NOT_SUBSCRIBED", None))
        self.bring_ids(gid(2), flow=flow, force=True)
        self.assertConsent(partner, "unsubscribed", "2026-11-01")

    def test_consent_without_a_date_does_not_replace_that_of_another_shop(self):
        flow = self.other_shop()
        partner = self.one(self.consenting(1, "UNSUBSCRIBED", "2026-11-01"))
        self.shop.put(self.consenting(2, "SUBSCRIBED", None))
        self.bring_ids(gid(2), flow=flow)
        self.assertConsent(partner, "unsubscribed", "2026-11-01")

    def test_never_asked_leaves_what_was_decided_in_odoo(self):
        record = self.consenting(1, "NOT_SUBSCRIBED", None)
        partner = self.one(record)
        partner.write(
            {"shopify_email_consent": "unsubscribed", "shopify_sms_consent": "unsubscribed"}
        )
        self.one(self.consenting(1, "NOT_SUBSCRIBED", "2026-11-20", record))
        self.assertEqual(
            (partner.shopify_email_consent, partner.shopify_sms_consent),
            ("unsubscribed", "unsubscribed"),
        )

    def test_tags_of_both_sides(self):
        record = customer(1, tags=["VIP", "old"])
        partner = self.one(record)
        partner.category_id += self.env["res.partner.category"].create({"name": "By hand"})
        self.one(self.changed(record, tags=["vip"]))
        self.assertEqual(set(partner.category_id.mapped("name")), {"VIP", "By hand"})
        self.backend.shopify_customer_tags = False
        self.one(self.changed(record, tags=["new"], updatedAt="2026-11-20T12:00:00Z"))
        self.assertNotIn("new", partner.category_id.mapped("name"))

    def test_tax_exemption(self):
        record = customer(1, taxExempt=True)
        partner = self.one(record)
        mapping = self.env["integration.mapping"].search([("kind", "=", "tax_exemption")])
        self.assertEqual((mapping.external_value, mapping.seen_count), ("TAX_EXEMPT", 1))
        position = self.env["account.fiscal.position"].create({"name": "Exempt"})
        mapping.resource_ref = f"account.fiscal.position,{position.id}"
        self.one(record, force=True)
        self.assertEqual(partner.property_account_position_id, position)
        self.one(self.changed(record, taxExempt=False))
        self.assertFalse(partner.property_account_position_id)

    def test_tax_numbers_by_field_mapping(self):
        for path, name in (
            ("localizedFields.TAX_CREDENTIAL_IT", "vat"),
            ("metafields.custom.branch", "ref"),
        ):
            self.env["integration.field.mapping"].create(
                {
                    "connector": "shopify",
                    "resource": "customer",
                    "backend_id": self.backend.id,
                    "external_path": path,
                    "field_id": self.env["ir.model.fields"]._get("res.partner", name).id,
                }
            )
        partner = self.one(
            customer(
                1,
                lastOrder={
                    "id": "gid://shopify/Order/1",
                    "localizedFields": connection({"key": "TAX_CREDENTIAL_IT", "value": "IT1"}),
                },
                metafields=connection({"namespace": "custom", "key": "branch", "value": "north"}),
            )
        )
        self.assertEqual((partner.vat, partner.ref), ("IT1", "north"))
        self.assertEqual(self.shop.calls[-1][1]["metafields"], ["custom.branch"])

    def test_language(self):
        self.env["res.lang"]._activate_lang("de_DE")
        self.assertEqual(self.one(customer(1, locale="de")).lang, "de_DE")
        self.assertEqual(self.one(customer(2, email="b@example.com", locale="xx")).lang, "en_US")

    def test_company_without_a_person(self):
        partner = self.one(
            customer(
                1,
                place(1, company="Acme", firstName=None, lastName=None, name=None),
                firstName=None,
                lastName=None,
            )
        )
        self.assertEqual((partner.name, partner.is_company), ("Acme", True))

    def test_deleted(self):
        partner = self.one(customer(1))
        del self.shop.customers[gid(1)]
        self.env.cr.execute("UPDATE integration_sync_log SET create_date = '2026-01-01'")
        with patch.object(type(self.env["integration.importer"]), "_missing", missing):
            self.bring_ids(gid(1))
        self.assertFalse(partner.active)

    def test_deleted_with_documents(self):
        sale = self.import_one(order(1, [line(1, 10)], 10))
        self.one(customer(1))
        del self.shop.customers[gid(1)]
        with patch.object(type(self.env["integration.importer"]), "_missing", missing):
            operation = self.bring_ids(gid(1))
        self.assertTrue(sale.partner_id.active)
        self.assertIn("left as it is", operation.message)

    def test_archived_is_not_written(self):
        record = customer(1)
        partner = self.one(record)
        partner.active = False
        operation = self.bring(self.changed(record, lastName="Neu"))
        self.assertEqual(operation.state, "skipped")
        self.assertEqual((partner.name, partner.active), ("Anna Muster", False))

    def test_contact_opens_for_whoever_may_read_it(self):
        partner = self.one(customer(1, place(1), consent="SUBSCRIBED"))
        for login, groups in (
            ("plain", "base.group_user"),
            ("seller", "base.group_user,sales_team.group_sale_salesman"),
            ("clerk", "base.group_user,integration_base.group_integration_user"),
        ):
            own = partner.with_user(new_test_user(self.env, login, groups=groups))
            views = own.get_views([(False, "form")])["models"]["res.partner"]["fields"]
            names = [name for name in views if name.startswith("shopify_")]
            self.env.invalidate_all()
            with self.subTest(login):
                found = own.web_read({name: {} for name in names})[0]
                self.assertEqual("shopify_profile_ids" in found, login == "seller")
                self.assertEqual("shopify_backend_ids" in found, login == "clerk")

    def test_queries_do_not_grow_with_customers(self):
        counts = []
        for start, count in ((100, 2), (200, 12)):
            rows = [
                customer(n, place(n * 10), place(n * 10 + 1, "Weg 2"), email=f"{n}@example.com")
                for n in range(start, start + count)
            ]
            self.shop.put(*rows)
            before = self.env.cr.sql_log_count
            self.bring(*rows)
            counts.append(self.env.cr.sql_log_count - before)
        # what Odoo itself does for each new contact stays below this
        self.assertLess((counts[1] - counts[0]) / 10, 12, counts)

    def test_calls_do_not_grow_with_customers(self):
        rows = [customer(n, email=f"{n}@example.com") for n in range(1, 51)]
        self.bring(*rows)
        self.assertEqual([name for name, _variables in self.shop.calls], ["customers"] * 2)


def missing(importer, resource, backend, operation, item):
    """As if the notification were old enough to be believed."""
    return resource._missing_on_fetch(backend, item.external_id, item.label)


@tagged("post_install", "-at_install")
class TestMerges(CustomerCase):
    def merge(self, kept=2, gone=1):
        del self.shop.customers[gid(gone)]
        return self.bring_ids(f"{gid(kept)}?merged={gone}")

    def test_link_follows(self):
        partner = self.one(customer(1))
        self.shop.put(customer(2, email="anna@example.com", lastName="Neu"))
        operation = self.merge()
        self.assertEqual(operation.state, "done", operation.message)
        self.assertEqual(self.link(partner).external_id, gid(2))
        self.run_flow(self.customers_in)
        self.assertEqual(partner.name, "Anna Neu")

    def test_both_known(self):
        first = self.one(customer(1))
        second = self.one(customer(2, email="a.muster@example.com"))
        operation = self.merge()
        self.assertEqual(operation.state, "done", operation.message)
        self.assertEqual(self.link(second).external_id, gid(2))
        self.assertTrue(self.link(first).deleted_at)
        self.assertTrue(first.active)
        self.assertIn(f"ID {first.id}", second.activity_ids.note)

    def test_still_merging(self):
        self.one(customer(1))
        self.shop.put(customer(2, email="b@example.com"))
        operation = self.bring_ids(f"{gid(2)}?merged=1")
        self.assertEqual(operation.state, "pending")

    def test_nobody_known(self):
        self.shop.put(customer(1), customer(2, email="b@example.com"))
        operation = self.merge()
        self.assertEqual(operation.state, "done", operation.message)
        self.run_flow(self.customers_in)
        self.assertTrue(self.env["res.partner"].search([("email", "=", "b@example.com")]))


@tagged("post_install", "-at_install")
class TestCustomersOut(CustomerCase):
    def contact(self, **values):
        return self.env["res.partner"].create(
            {
                "name": "Otto Beispiel",
                "email": "otto@example.com",
                "street": "Weg 1",
                "zip": "10115",
                "city": "Berlin",
                "country_id": self.env.ref("base.de").id,
                "shopify_backend_ids": [Command.set(self.backend.ids)],
                **values,
            }
        )

    def only(self):
        """Return the one customer of the shop."""
        self.assertEqual(len(self.shop.customers), 1)
        return next(iter(self.shop.customers.values()))

    def sent(self):
        operation = self.push()[-1:]
        self.assertIn(operation.state, (False, "done", "merged"), operation.message)

    def test_chosen_contact_becomes_a_customer_once(self):
        partner = self.contact()
        self.contact(name="Not chosen", email="no@example.com", shopify_backend_ids=False)
        self.sent()
        made = self.only()
        self.assertEqual((made["firstName"], made["lastName"]), ("Otto", "Beispiel"))
        self.assertEqual(made["addressesV2"]["nodes"][0]["address1"], "Weg 1")
        self.assertEqual(self.link(partner).external_id, made["id"])
        calls = len(self.shop.mutations())
        self.sent()
        self.assertEqual(len(self.shop.mutations()), calls)

    def test_lost_answer_makes_no_second_one(self):
        partner = self.contact()
        self.shop.lost = 1
        self.push()
        self.assertFalse(self.link(partner))
        self.sent()
        self.assertEqual(self.link(partner).external_id, self.only()["id"])

    def test_crash_between_send_and_commit(self):
        partner = self.contact()
        with patch.object(IntegrationShopifyCustomer, "_note_sent", side_effect=MemoryError):
            self.push()
        self.assertFalse(self.link(partner))
        self.env["integration.sync.log"].search([("state", "=", "dead")])._requeue()
        self.push()
        self.assertEqual(self.link(partner).external_id, self.only()["id"])

    def test_email_taken_by_the_same_person(self):
        record = customer(7, email="otto@example.com")
        self.shop.put(copy.deepcopy(record))
        partner = self.contact()
        self.sent()
        self.assertEqual(self.link(partner).external_id, gid(7))
        self.assertEqual(self.only(), record)

    def test_email_taken_and_odoo_owns(self):
        self.backend.shopify_customer_master = "odoo"
        self.shop.put(customer(7, email="otto@example.com"))
        self.contact()
        self.sent()
        self.assertEqual(self.only()["firstName"], "Otto")

    def taken(self):
        """Return a contact who differs in all from a customer with his e-mail address."""
        position = self.env["account.fiscal.position"].create({"name": "Exempt"})
        self.env["integration.mapping"].create(
            {
                "backend_id": self.backend.id,
                "kind": "tax_exemption",
                "external_value": "TAX_EXEMPT",
                "resource_ref": f"account.fiscal.position,{position.id}",
            }
        )
        taken = {"email": "otto@example.com", "consent": "UNSUBSCRIBED", "taxExempt": True}
        self.shop.put(customer(7, place(1), tags=["loyal"], **taken))
        vip = self.env["res.partner.category"].create({"name": "VIP"})
        return self.contact(
            phone="+4930123",
            category_id=[Command.set(vip.ids)],
            shopify_email_consent="subscribed",
        )

    def test_email_taken_leaves_what_shopify_owns(self):
        partner = self.taken()
        self.metafield("ref")
        partner.ref = "north"
        record = copy.deepcopy(self.only())
        self.sent()
        made = self.only()
        self.assertEqual([row["value"] for row in made["metafields"]["nodes"]], ["north"])
        changed = {name for name, value in made.items() if value != record.get(name)}
        self.assertEqual(changed, {"metafields", "updatedAt"})

    def test_email_taken_field_by_field(self):
        self.backend.write(
            {"shopify_customer_master": "both", "shopify_customer_identity_owner": "odoo"}
        )
        partner = self.taken()
        self.sent()
        made = self.only()
        self.assertEqual((made["firstName"], made["tags"]), ("Otto", ["loyal"]))
        self.assertEqual(made["defaultPhoneNumber"]["phoneNumber"], "+4930123")
        self.assertEqual(made["defaultEmailAddress"]["marketingState"], "UNSUBSCRIBED")
        self.assertTrue(made["taxExempt"])
        self.assertEqual(len(made["addressesV2"]["nodes"]), 1)
        partner.name = "Otto Anders"
        self.sent()
        self.assertEqual(made["lastName"], "Anders")

    def test_email_taken_by_somebody_else(self):
        other = self.one(customer(7, email="otto@example.com"))
        other.email = "other@example.com"
        partner = self.contact()
        operation = self.push().filtered(lambda row: row.res_id == partner.id)
        self.assertEqual((operation.state, operation.error_class), ("dead", "ambiguous"))
        self.assertIn(gid(7), operation.message)
        self.assertFalse(self.link(partner))

    def test_phone_taken(self):
        self.shop.put(
            customer(7, email="x@example.com", defaultPhoneNumber={"phoneNumber": "+4930123"})
        )
        self.contact(phone="+4930123")
        operation = self.push()[-1]
        self.assertEqual((operation.state, operation.error_class), ("dead", "ambiguous"))

    def test_without_email_and_phone(self):
        self.contact(email=False)
        operation = self.push()
        self.assertEqual(operation.state, "skipped")
        self.assertIn("neither", operation.message)

    def test_shopify_owns_so_changes_stay_here(self):
        partner = self.contact()
        self.sent()
        calls = len(self.shop.mutations())
        partner.name = "Otto Anders"
        self.push()
        self.assertEqual(len(self.shop.mutations()), calls)

    def test_odoo_owns_changes_addresses_and_tags(self):
        self.backend.shopify_customer_master = "odoo"
        vip = self.env["res.partner.category"].create({"name": "VIP"})
        partner = self.contact(category_id=[Command.set(vip.ids)])
        self.sent()
        made = self.only()
        made["tags"].append("app:loyal")
        other = self.env["res.partner"].create(
            {"parent_id": partner.id, "type": "delivery", "name": "Lager", "street": "Tor 3"}
        )
        partner.write({"name": "Otto Anders", "category_id": [Command.clear()]})
        self.sent()
        self.assertEqual((made["lastName"], made["tags"]), ("Anders", ["app:loyal"]))
        rows = self.shop.customers[made["id"]]["addressesV2"]["nodes"]
        self.assertEqual([row["address1"] for row in rows], ["Weg 1", "Tor 3"])
        self.assertTrue(self.link(other, "customer_address"))
        other.street = "Tor 4"
        self.sent()
        self.assertEqual([row["address1"] for row in rows], ["Weg 1", "Tor 4"])
        other.active = False
        self.sent()
        self.assertEqual([row["address1"] for row in rows], ["Weg 1"])

    def updates(self):
        """Return what was changed of customers, one dict per call."""
        return [v["input"] for name, v in self.shop.calls if name == "customer_update"]

    def test_names_are_changed_by_people_only(self):
        self.backend.shopify_customer_master = "odoo"
        partner = self.one(customer(1, firstName="Ludwig", lastName="van Beethoven"))
        vip = self.env["res.partner.category"].create({"name": "VIP"})
        partner.category_id += vip
        self.sent()
        self.assertEqual(self.shop.customers[gid(1)]["tags"], ["VIP"])
        self.assertFalse(self.updates())
        # one that Shopify has no name of is called by its e-mail address in Odoo
        other = self.one(customer(2, email="b@example.com", firstName=None, lastName=None))
        self.assertEqual(other.name, "b@example.com")
        other.category_id += vip
        self.sent()
        self.assertEqual(self.shop.customers[gid(2)]["tags"], ["VIP"])
        self.assertFalse(self.updates())

    def test_email_is_never_emptied(self):
        self.backend.shopify_customer_master = "odoo"
        partner = self.one(customer(1))
        for email in ('"Anna" <anna@example.com>', "anna@example.com, b@example.com", False):
            with self.subTest(email=email):
                partner.email = email
                self.sent()
                self.assertFalse(self.updates())
        partner.email = "Anna <new@example.com>"
        self.sent()
        self.assertEqual([row.get("email") for row in self.updates()], ["new@example.com"])

    def test_new_customer_gets_the_address_out_of_the_email(self):
        partner = self.contact(email='"Otto" <otto@example.com>')
        self.shop.lost = 1
        self.push()
        self.sent()
        self.assertEqual(self.only()["defaultEmailAddress"]["emailAddress"], "otto@example.com")
        self.assertEqual(self.link(partner).external_id, self.only()["id"])

    def test_address_of_the_contact_itself(self):
        self.backend.shopify_customer_master = "odoo"
        partner = self.contact()
        self.sent()
        partner.street = "Neu 1"
        self.sent()
        made = self.only()
        usual = [
            row["address1"]
            for row in made["addressesV2"]["nodes"]
            if row["id"] == made["defaultAddress"]["id"]
        ]
        self.assertEqual(usual, ["Neu 1"])

    def test_lost_answers_of_addresses_make_no_second_one(self):
        self.backend.shopify_customer_master = "odoo"
        partner = self.contact()
        self.sent()
        self.env["res.partner"].create(
            {"parent_id": partner.id, "type": "delivery", "name": "Lager", "street": "Tor 3"}
        )
        self.shop.lost = 1
        self.push()
        self.sent()
        self.assertEqual(len(self.only()["addressesV2"]["nodes"]), 2)

    def test_consent_is_only_sent_by_its_owner(self):
        partner = self.contact()
        self.sent()
        partner.shopify_email_consent = "subscribed"
        self.push()
        self.assertEqual(self.only()["defaultEmailAddress"]["marketingState"], "NOT_SUBSCRIBED")
        self.backend.write(
            {"shopify_customer_master": "both", "shopify_customer_consent_owner": "odoo"}
        )
        partner.shopify_email_consent = "unsubscribed"
        self.sent()
        self.assertEqual(self.only()["defaultEmailAddress"]["marketingState"], "UNSUBSCRIBED")
        self.assertEqual(partner.shopify_consent_ids.mapped("origin"), ["odoo", "odoo"])

    def objecting(self, since):
        """Return a contact who consented in January, and his customer, who objects later."""
        self.backend.shopify_customer_master = "odoo"
        partner = self.contact()
        partner.with_context(shopify_consent_noted=True).write(
            {
                "shopify_email_consent": "subscribed",
                "shopify_email_consent_at": "2026-01-10 10:00:00",
            }
        )
        self.sent()
        made = self.only()
        self.assertEqual(made["defaultEmailAddress"]["marketingState"], "SUBSCRIBED")
        told = {"marketingState": "UNSUBSCRIBED", "marketingUpdatedAt": since}
        email = {**made["defaultEmailAddress"], **told}
        return partner, self.changed(made, defaultEmailAddress=email)

    def test_objection_in_the_shop_survives_changes_in_odoo(self):
        partner, record = self.objecting("2026-03-10T10:00:00Z")
        self.shop.put(record)
        partner.phone = "+4930123"
        self.sent()
        made = self.only()
        self.assertEqual(made["defaultPhoneNumber"]["phoneNumber"], "+4930123")
        self.assertEqual(made["defaultEmailAddress"]["marketingState"], "UNSUBSCRIBED")

    def test_objection_in_the_shop_counts_in_odoo(self):
        partner, record = self.objecting("2026-03-10T10:00:00Z")
        self.one(record)
        self.assertEqual(partner.shopify_email_consent, "unsubscribed")
        self.assertEqual(f"{partner.shopify_email_consent_at:%Y-%m-%d}", "2026-03-10")
        self.assertEqual(
            [(row.origin, row.state) for row in partner.shopify_consent_ids],
            [("shopify", "UNSUBSCRIBED")],
        )
        # who consents again in Odoo is told to the shop
        partner.shopify_email_consent = "subscribed"
        self.sent()
        self.assertEqual(self.only()["defaultEmailAddress"]["marketingState"], "SUBSCRIBED")

    def test_older_objection_in_the_shop_leaves_what_odoo_owns(self):
        partner, record = self.objecting("2025-03-10T10:00:00Z")
        self.one(record)
        self.assertEqual(partner.shopify_email_consent, "subscribed")
        email = {**record["defaultEmailAddress"], "marketingUpdatedAt": None}
        self.one(self.changed(record, defaultEmailAddress=email))
        self.assertEqual(partner.shopify_email_consent, "subscribed")

    def test_consent_to_text_messages_is_sent(self):
        self.backend.shopify_customer_master = "odoo"
        partner = self.contact(phone="+49301234")
        partner.shopify_sms_consent = "subscribed"
        self.sent()
        self.assertEqual(self.only()["defaultPhoneNumber"]["marketingState"], "SUBSCRIBED")
        self.assertEqual(self.only()["defaultEmailAddress"]["marketingState"], "NOT_SUBSCRIBED")
        partner.shopify_sms_consent = "unsubscribed"
        self.sent()
        self.assertEqual(self.only()["defaultPhoneNumber"]["marketingState"], "UNSUBSCRIBED")

    def test_fields_that_odoo_owns_are_sent_as_metafields(self):
        self.backend.shopify_customer_master = "odoo"
        self.metafield("ref")
        partner = self.contact(ref="north")

        def branches():
            return [row["value"] for row in self.only()["metafields"]["nodes"]]

        self.sent()
        self.assertEqual(branches(), ["north"])
        partner.ref = "south"
        self.sent()
        self.assertEqual(branches(), ["south"])
        self.shop.calls.clear()
        self.push()
        self.assertFalse([name for name, _v in self.shop.calls if name.startswith("customer_up")])

    def metafield(self, name, path="metafields.custom.branch"):
        """Have a field of contacts sent as a metafield."""
        return self.env["integration.field.mapping"].create(
            {
                "connector": "shopify",
                "resource": "customer",
                "backend_id": self.backend.id,
                "external_path": path,
                "field_id": self.env["ir.model.fields"]._get("res.partner", name).id,
                "owner": "odoo",
            }
        )

    def test_change_of_a_mapped_field_alone_is_sent(self):
        """Whoever owns the customers: the row says that Odoo owns the field."""
        partner = self.one(customer(1))
        self.metafield("tz_offset", "metafields.custom.zone")
        self.metafield("child_ids", "metafields.custom.people")
        row = self.metafield("ref")
        partner.ref = "north"
        self.sent()
        self.assertEqual([sorted(sent) for sent in self.updates()], [["id", "metafields"]])
        found = self.shop.customers[gid(1)]["metafields"]["nodes"]
        self.assertIn("north", [field["value"] for field in found])
        # what cannot be watched disturbs nobody
        self.assertFalse(self.env["integration.outbox"]._index()[1])
        count = len(self.push())
        for values in ({"owner": "external"}, {"owner": "odoo", "active": False}):
            row.write(values)
            partner.ref = f"south {values}"
            self.assertEqual(len(self.push()), count)
        row.active = True
        partner.ref = "south"
        self.sent()
        self.assertEqual(len(self.updates()), 2)
        count = len(self.push())
        row.unlink()
        partner.ref = "west"
        self.assertEqual(len(self.push()), count)

    def test_tax_exemption(self):
        self.backend.shopify_customer_master = "odoo"
        position = self.env["account.fiscal.position"].create({"name": "Resale"})
        self.env["integration.mapping"].create(
            {
                "backend_id": self.backend.id,
                "kind": "tax_exemption",
                "external_value": "US_CA_RESELLER_EXEMPTION",
                "resource_ref": f"account.fiscal.position,{position.id}",
            }
        )
        partner = self.contact(property_account_position_id=position.id)
        self.sent()
        made = self.only()
        self.assertEqual(
            (made["taxExempt"], made["taxExemptions"]), (True, ["US_CA_RESELLER_EXEMPTION"])
        )
        partner.property_account_position_id = False
        self.sent()
        self.assertEqual((made["taxExempt"], made["taxExemptions"]), (False, []))

    def test_echo_of_our_own_change_costs_nothing(self):
        self.backend.shopify_customer_master = "odoo"
        partner = self.contact()
        self.sent()
        stamp = partner.write_date
        operation = self.bring_ids(self.only()["id"])
        self.assertEqual(operation.message, "Unchanged.")
        calls = len(self.shop.mutations())
        self.sent()
        self.assertEqual((partner.write_date, len(self.shop.mutations())), (stamp, calls))

    def test_what_the_shop_changed_just_before_is_not_hidden_by_ours(self):
        self.backend.shopify_customer_master = "both"
        self.backend.shopify_customer_identity_owner = "odoo"
        self.backend.shopify_customer_addresses_owner = "shopify"
        partner = self.one(customer(1, place(1)))
        self.push()
        made = self.only()
        self.shop.put({**made, **customer(1, place(1, "Neuer Weg 9"))})
        partner.phone = "+4930123456"
        self.sent()
        self.assertEqual(self.only()["defaultPhoneNumber"]["phoneNumber"], "+4930123456")
        operation = self.bring_ids(made["id"])
        self.assertEqual(partner.street, "Neuer Weg 9", operation.message)
        self.assertEqual(partner.phone, "+4930123456")

    def test_import_is_not_sent_back(self):
        self.backend.shopify_customer_master = "both"
        self.backend.shopify_customer_tags_owner = "odoo"
        self.one(customer(1, place(1), tags=["VIP"]))
        self.push()
        self.assertFalse(self.shop.mutations())

    def test_two_shops_are_told_apart(self):
        other = self.backend.copy({"base_url": "other.myshopify.com"})
        other.write({"state": "active", "shopify_domain": "other.myshopify.com"})
        partner = self.contact()
        self.sent()
        self.assertEqual(partner.shopify_backend_ids, self.backend)
        self.assertFalse(self.env["integration.binding"].search([("backend_id", "=", other.id)]))
        record = copy.deepcopy(self.only())
        flow = other.flow_ids.filtered(
            lambda row: row.resource == "customer" and row.direction == "in"
        )
        flow.enabled = True
        self.bring_ids(record["id"], flow=flow)
        links = self.env["integration.binding"].search(
            [("res_id", "=", partner.id), ("resource", "=", "customer")]
        )
        self.assertEqual(links.backend_id, self.backend | other)

    def test_chosen_before_the_flow_was_on(self):
        self.customers_out.enabled = False
        partner = self.contact()
        self.assertFalse(self.push())
        self.customers_out.enabled = True
        self.backend.action_shopify_send_contacts()
        self.sent()
        self.assertTrue(self.link(partner))
