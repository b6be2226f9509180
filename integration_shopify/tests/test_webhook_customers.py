"""What notifications about customers and companies point at."""

import json

from odoo.tests import BaseCase

from odoo.addons.integration_base.lib.errors import InvalidPayloadError

from ..lib import scopes, webhook

KEPT, GONE = "gid://shopify/Customer/1", "gid://shopify/Customer/2"
COMPANY = "gid://shopify/Company/3"
INNER = {"name": "Acme", "admin_graphql_api_id": COMPANY}
CASES = {
    "customers/update": ({"id": 1, "updated_at": "2026-11-20T11:00:00+01:00"}, "customer", KEPT),
    "customers/delete": ({"id": 1}, "customer", KEPT),
    "customers_email_marketing_consent/update": ({"customer_id": 1}, "customer", KEPT),
    "customers_marketing_consent/update": ({"id": 1, "phone": None}, "customer", KEPT),
    "customer.tags_added": ({"customerId": KEPT, "tags": ["vip"]}, "customer", KEPT),
    "companies/update": (INNER, "company", COMPANY),
    "company_locations/update": (
        {"admin_graphql_api_id": "gid://shopify/CompanyLocation/4", "company": INNER},
        "company",
        COMPANY,
    ),
    "company_contacts/create": ({"title": "Buyer", "company": INNER}, "company", COMPANY),
    "company_contact_roles/assign": ({"company_contact": {"company": INNER}}, "company", COMPANY),
}


class TestNotifications(BaseCase):
    def read_json(self, topic, payload):
        return webhook.read(topic, json.dumps(payload).encode())

    def test_pointers(self):
        for topic, (payload, resource, gid) in CASES.items():
            with self.subTest(topic):
                found, change = self.read_json(topic, payload)
                self.assertEqual((found, change.external_id), (resource, gid))
                self.assertEqual(change.deleted, topic.endswith("s/delete"))

    def test_what_is_asked_for_is_enough(self):
        for topic, (payload, _resource, gid) in CASES.items():
            names = webhook.include_fields(topic)
            sent = {key: payload[key] for key in payload if not names or key in names}
            with self.subTest(topic):
                self.assertEqual(self.read_json(topic, sent)[1].external_id, gid)

    def test_part_that_is_deleted_is_no_deleted_whole(self):
        payload = {"admin_graphql_api_id": "gid://shopify/CompanyLocation/4", "company": INNER}
        _resource, change = self.read_json("company_locations/delete", payload)
        self.assertEqual((change.external_id, change.deleted), (COMPANY, False))

    def test_merge(self):
        payload = {
            "admin_graphql_api_customer_kept_id": KEPT,
            "admin_graphql_api_customer_deleted_id": GONE,
            "status": "completed",
        }
        _resource, change = self.read_json("customers/merge", payload)
        self.assertEqual(webhook.merged_ids(change.external_id), (KEPT, GONE))
        _resource, change = self.read_json("customers/merge", {**payload, "status": "failed"})
        self.assertEqual(webhook.merged_ids(change.external_id), (KEPT, ""))
        with self.assertRaises(InvalidPayloadError):
            self.read_json(
                "customers/merge", {**payload, "admin_graphql_api_customer_deleted_id": 0.5}
            )

    def test_names_nobody(self):
        for topic in CASES:
            with self.subTest(topic), self.assertRaises(InvalidPayloadError):
                self.read_json(topic, {"x": 1})

    def test_every_topic_has_a_scope(self):
        own = [topic for topic in webhook.TOPICS if topic.startswith(("customer", "compan"))]
        for topic in own:
            name = topic.replace("/", "_").replace(".", "_").upper()
            self.assertTrue(scopes.of_topic(name), name)
