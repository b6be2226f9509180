"""What has to be changed at Shopify, told apart without a database."""

from odoo.tests import BaseCase

from ..lib import customers
from ..lib.contract_customer import Customer


def address(number, street="Hauptstr. 5", **values):
    return {
        "id": f"gid://shopify/MailingAddress/{number}?model_name=Address",
        "firstName": "Anna",
        "lastName": "Muster",
        "company": None,
        "address1": street,
        "address2": None,
        "zip": "10115",
        "city": "Berlin",
        "countryCodeV2": "DE",
        "provinceCode": None,
        "phone": None,
        **values,
    }


def customer(*addresses, default=None, **values):
    return Customer.model_validate(
        {
            "id": "gid://shopify/Customer/1",
            "updatedAt": "2026-11-20T10:00:00Z",
            "firstName": "Anna",
            "lastName": "Muster",
            "defaultEmailAddress": {
                "emailAddress": "anna@example.com",
                "marketingState": "NOT_SUBSCRIBED",
            },
            "defaultPhoneNumber": None,
            "tags": ["VIP", "app:loyal"],
            "defaultAddress": {"id": address(default)["id"]} if default else None,
            "addressesV2": {"nodes": list(addresses), "pageInfo": {"hasNextPage": False}},
            **values,
        }
    )


def wanted(street="hauptstr 5", **values):
    return {
        "firstName": "Anna",
        "lastName": "Muster",
        "company": "",
        "address1": street,
        "address2": "",
        "zip": "10115",
        "city": "Berlin",
        "countryCode": "DE",
        "provinceCode": None,
        "phone": "",
        **values,
    }


class TestPlan(BaseCase):
    def test_equal_is_nothing(self):
        values = {
            "customer": {"firstName": "Anna", "lastName": "Muster", "email": "Anna@Example.com"},
            "addresses": [wanted()],
            "tags": ["vip"],
        }
        self.assertFalse(customers.plan(values, customer(address(1), default=1)))

    def test_foreign_tags_survive(self):
        todo = customers.plan({"tags": ["wholesale"]}, customer(), sent_tags=["vip"])
        self.assertEqual((todo.add_tags, todo.remove_tags), (["wholesale"], ["vip"]))

    def test_hidden_fields_are_not_written(self):
        data = customer(firstName=None, withheld=["firstName", "addressesV2"])
        values = {"customer": {"firstName": "Anna"}, "addresses": [wanted("New 1")]}
        self.assertFalse(customers.plan(values, data))

    def name(self, first, last, wanted):
        """Return what is sent when Odoo calls a customer ``wanted``."""
        names = dict(zip(("firstName", "lastName"), customers.split_name(wanted), strict=True))
        return customers.plan({"customer": names}, customer(firstName=first, lastName=last)).update

    def test_name_that_shopify_splits_otherwise_is_left_alone(self):
        for first, last in (
            ("Ludwig", "van Beethoven"),
            ("María", "García López"),
            ("Anna ", "Muster"),
            ("Anna", None),
            (None, "Muster"),
        ):
            with self.subTest(first=first, last=last):
                name = " ".join(filter(None, (first, last)))
                self.assertFalse(self.name(first, last, name))

    def test_only_the_changed_part_of_a_name_is_sent(self):
        for wanted, sent in (
            ("Ludwig van beethoven", {"lastName": "van beethoven"}),
            ("Ludwig van Bethoven", {"lastName": "van Bethoven"}),
            ("Karl Maria van Beethoven", {"firstName": "Karl Maria"}),
            ("Ludwig", {"lastName": ""}),
            ("Otto Beispiel", {"firstName": "Otto", "lastName": "Beispiel"}),
        ):
            with self.subTest(wanted):
                self.assertEqual(self.name("Ludwig", "van Beethoven", wanted), sent)
        self.assertEqual(self.name("Anna", None, "Anna Muster"), {"lastName": "Muster"})

    def test_address_that_changes_keeps_the_name_as_shopify_splits_it(self):
        data = customer(address(1, firstName="Ludwig", lastName="van Beethoven"), default=1)
        row = wanted("Weg 2", firstName="Ludwig van", lastName="Beethoven")
        todo = customers.plan({"addresses": [row]}, data, (), [data.addresses[0].key])
        ((_gid, sent, _usual),) = todo.change
        self.assertEqual((sent["firstName"], sent["lastName"]), ("Ludwig", "van Beethoven"))

    def test_consent_needs_an_address(self):
        state = {"marketingState": "SUBSCRIBED", "consentUpdatedAt": None}
        email, sms = {"consent": {"email": state}}, {"consent": {"sms": state}}
        self.assertEqual(customers.plan(email, customer()).consent, {"email": state})
        self.assertFalse(customers.plan(email, customer(defaultEmailAddress=None)))
        self.assertFalse(customers.plan(sms, customer()))
        phone = {"phoneNumber": "+49301234", "marketingState": "NOT_SUBSCRIBED"}
        data = customer(defaultPhoneNumber=phone)
        self.assertEqual(customers.plan(sms, data).consent, {"sms": state})
        number = {"customer": {"phone": "+49301234"}, **sms}
        self.assertEqual(customers.plan(number, customer()).consent, {"sms": state})
        data = customer(defaultPhoneNumber={**phone, "marketingState": "SUBSCRIBED"})
        self.assertFalse(customers.plan(sms, data))

    def test_newer_decision_of_the_shop_stays(self):
        january, march = "2026-01-10T10:00:00Z", "2026-03-10T10:00:00Z"
        for state, since, known, known_since, is_sent in (
            ("SUBSCRIBED", january, "UNSUBSCRIBED", march, False),
            ("SUBSCRIBED", march, "UNSUBSCRIBED", january, True),
            ("SUBSCRIBED", march, "UNSUBSCRIBED", march, True),
            ("SUBSCRIBED", march, "UNSUBSCRIBED", None, True),
            ("SUBSCRIBED", january, "NOT_SUBSCRIBED", march, True),
            ("SUBSCRIBED", None, "UNSUBSCRIBED", january, False),
            ("SUBSCRIBED", None, "UNSUBSCRIBED", None, False),
            ("UNSUBSCRIBED", january, "SUBSCRIBED", march, False),
            ("UNSUBSCRIBED", None, "SUBSCRIBED", march, True),
        ):
            with self.subTest(state=state, since=since, known=known, known_since=known_since):
                told = {"marketingState": known, "marketingUpdatedAt": known_since}
                data = customer(defaultEmailAddress={"emailAddress": "anna@example.com", **told})
                consent = {"marketingState": state, "consentUpdatedAt": since}
                todo = customers.plan({"consent": {"email": consent}}, data)
                self.assertEqual(todo.consent, {"email": consent} if is_sent else {})

    def test_second_address_becomes_the_usual_one(self):
        data = customer(address(1), address(2, "Weg 2"), default=1)
        todo = customers.plan({"addresses": [wanted("Weg 2"), wanted()]}, data)
        changed = [(gid, usual) for gid, _row, usual in todo.change]
        self.assertEqual(changed, [(data.addresses[1].id, True)])
        self.assertFalse(todo.create or todo.delete)

    def test_address_of_odoo_that_is_gone_is_used_again_or_deleted(self):
        data = customer(address(1), address(2, "Weg 2"), address(3, "Foreign 3"), default=1)
        own = [data.addresses[1].key]
        todo = customers.plan({"addresses": [wanted(), wanted("New 4")]}, data, (), own)
        self.assertEqual([gid for gid, _row, _usual in todo.change], [data.addresses[1].id])
        todo = customers.plan({"addresses": [wanted()]}, data, (), own)
        self.assertEqual(todo.delete, [data.addresses[1].id])
        self.assertFalse(todo.create or todo.change)

    def test_usual_address_is_never_deleted_without_another(self):
        data = customer(address(1), default=1)
        todo = customers.plan({"addresses": []}, data, (), [data.addresses[0].key])
        self.assertFalse(todo)

    def test_other_name_at_the_same_place(self):
        data = customer(address(1), default=1)
        todo = customers.plan({"addresses": [wanted(lastName="Neu")]}, data)
        self.assertEqual([gid for gid, _row, _usual in todo.change], [data.addresses[0].id])
        self.assertFalse(todo.create)

    def test_names(self):
        self.assertEqual(customers.split_name("Anna Maria  Muster"), ("Anna Maria", "Muster"))
        self.assertEqual(customers.split_name("Muster"), ("", "Muster"))
        self.assertEqual(
            customers.recipient("Acme, Inc., Anna Muster"), ("Acme, Inc.", "Anna", "Muster")
        )

    def test_exemptions(self):
        self.assertEqual(customers.exemptions(customer()), [])
        self.assertEqual(customers.exemptions(customer(taxExempt=True)), [customers.EXEMPT])
        data = customer(taxExempt=True, taxExemptions=["US_CA_RESELLER_EXEMPTION"])
        self.assertEqual(customers.exemptions(data), ["US_CA_RESELLER_EXEMPTION"])
