"""What Shopify asks every app for on behalf of a person. One fixture, one event, one test."""

import json

from requests.structures import CaseInsensitiveDict

from odoo.tests import tagged

from odoo.addons.integration_base.lib.errors import InvalidPayloadError

from ..lib import webhook
from .common import FIXTURES, ShopifyCase, address, line, order
from .test_webhook import signature

CUSTOMER = "gid://shopify/Customer/191167"
ORDERS = ("gid://shopify/Order/299938", "gid://shopify/Order/280263")
CANARIES = ("anna@example.com", "Anna", "Muster", "Hauptstr", "ring twice", "625-1199")


@tagged("post_install", "-at_install")
class TestPrivacyNotices(ShopifyCase):
    def setUp(self):
        super().setUp()
        self.backend.credential_ids.filtered(lambda c: c.code == "client_secret").value = "s3cret"
        customer = {
            "id": CUSTOMER,
            "firstName": "Anna",
            "lastName": "Muster",
            "defaultEmailAddress": {"emailAddress": "anna@example.com"},
        }
        self.sale = self.import_one(
            order(299938, [line(1, 10)], 10, customer=customer, note="ring twice")
        )
        # one that fails keeps what was received
        self.failed = self.refuse_one(
            order(
                280263,
                [line(2, 10, sku="NO-SUCH-SKU")],
                10,
                customer=customer,
                note="ring twice",
                shippingAddress=address(phone="555-625-1199"),
            )
        )

    def deliver(self, name, event_id="event-1"):
        """Deliver a notification as Shopify does, and let the scheduled action do its work."""
        body = (FIXTURES / "webhooks" / f"{name}.json").read_bytes()
        topic = {"customers_data_request": "customers/data_request"}.get(
            name, name.replace("_", "/")
        )
        headers = CaseInsensitiveDict(
            {
                "X-Shopify-Topic": topic,
                "X-Shopify-Hmac-Sha256": signature(body),
                "X-Shopify-Shop-Domain": "demo.myshopify.com",
                "X-Shopify-Event-Id": event_id,
                "X-Shopify-Triggered-At": "2026-11-20T10:00:02.123456789Z",
            }
        )
        backend = self.backend.sudo()
        status, _refusal = self.env["integration.webhook.event"]._answer(
            backend.webhook_token, headers, body, "203.0.113.7"
        )
        self.assertEqual(status, 200)
        self.env.flush_all()
        with self.enter_registry_test_mode():
            for request in self.requests().filtered(lambda r: r.state != "done"):
                request._work()
        self.env.invalidate_all()
        return self.env["integration.webhook.event"].search(
            [("backend_id", "=", self.backend.id), ("topic", "=", topic)]
        )

    def requests(self):
        return self.env["integration.privacy.request"].search(
            [("backend_id", "=", self.backend.id)]
        )

    def kept(self):
        """Return all texts that are kept, for a look at what is in them."""
        texts = []
        for store in self.env["integration.privacy"]._stores():
            columns = ", ".join(f'"{name}"::text' for name in store.columns)
            self.env.cr.execute(f"SELECT {columns} FROM {self.env[store.model]._table}")
            texts += [text for row in self.env.cr.fetchall() for text in row if text]
        return "\n".join(texts)

    def test_customers_redact(self):
        self.assertIn("ring twice", self.kept())
        event = self.deliver("customers_redact")
        request = self.requests()
        self.assertEqual((request.kind, request.state), ("erase", "done"))
        self.assertEqual(request.partner_id, self.sale.partner_id)
        for external_id in (CUSTOMER, *ORDERS):
            self.assertIn(external_id, request.external_ids)
        kept = self.kept()
        for canary in CANARIES:
            self.assertNotIn(canary, kept)
        self.assertEqual(json.loads(event.body)["customer"]["id"], 191167)
        self.assertEqual(self.failed.state, "ignored")
        # Odoo's own records are for a person to decide about
        self.assertEqual(self.sale.partner_id.email, "anna@example.com")
        self.assertEqual(request.activity_ids.user_id, self.backend.user_id)
        self.assertIn("forgotten", request.activity_ids.summary)
        # the same notification once more
        self.deliver("customers_redact")
        self.assertEqual(len(self.requests()), 1)

    def test_customers_data_request(self):
        self.deliver("customers_data_request")
        request = self.requests()
        self.assertEqual(
            (request.kind, request.state, request.reference), ("export", "done", "9999")
        )
        text = request.attachment_id.raw.decode()
        for canary in CANARIES:
            self.assertIn(canary, text)
        self.assertIn("30 days", request.activity_ids.note)
        self.assertIn("ring twice", self.kept())

    def test_shop_redact(self):
        # typed before another way to sign in was chosen
        self.backend.auth_kind = "shopify.legacy"
        unused = self.backend.credential_ids.filtered(lambda row: row.code == "access_token")
        unused.value = "shpat_canary"
        self.backend.auth_kind = "shopify.client_credentials"
        self.assertEqual((unused.active, unused.is_set), (False, True))
        self.deliver("shop_redact")
        request = self.requests()
        self.assertEqual((request.kind, request.state), ("erase_all", "done"))
        self.assertEqual((self.backend.state, self.backend.active), ("draft", False))
        self.assertFalse(self.backend.credential_ids.filtered("is_set"))
        self.assertFalse(unused.is_set)
        kept = self.kept()
        for canary in CANARIES:
            self.assertNotIn(canary, kept)
        self.assertEqual(self.failed.state, "ignored")
        self.assertTrue(self.sale.exists())
        self.assertEqual(request.activity_ids.user_id, self.backend.user_id)

    def test_unreadable(self):
        for topic in ("customers/redact", "customers/data_request"):
            for body in (b"", b"[]", b"{}", b'{"customer": 5}', b'{"customer": {}}'):
                with self.subTest(topic=topic, body=body), self.assertRaises(InvalidPayloadError):
                    webhook.read_privacy(topic, body)

    def test_odd_numbers_are_left_out(self):
        body = b'{"customer": {"id": "x", "email": "a@example.com"}, "orders_to_redact": [1, null]}'
        notice = webhook.read_privacy("customers/redact", body)
        self.assertEqual(notice.records, (("order", "gid://shopify/Order/1"),))
        self.assertEqual(notice.contacts, ("a@example.com",))
