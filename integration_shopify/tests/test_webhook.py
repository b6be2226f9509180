import base64
import hashlib
import hmac
import json
from datetime import datetime

from requests.structures import CaseInsensitiveDict

from odoo.tests import BaseCase

from odoo.addons.integration_base.lib.errors import InvalidPayloadError, WebhookRefused
from odoo.addons.integration_base.lib.records import Change

from ..lib import webhook
from . import contract
from .common import ShopifyCase, line, order

BODY = json.dumps(
    {
        "id": 450789469,
        "admin_graphql_api_id": "gid://shopify/Order/450789469",
        "updated_at": "2026-11-20T05:00:01-05:00",
        "name": "#1001",
    }
).encode()


def signature(body, secret="s3cret"):
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def headers(body=BODY, *, prefix="X-Shopify-", secret="s3cret", **extra):
    return CaseInsensitiveDict(
        {
            f"{prefix}Topic": "orders/create",
            f"{prefix}Hmac-Sha256": signature(body, secret),
            f"{prefix}Shop-Domain": "demo.myshopify.com",
            f"{prefix}Event-Id": "98880550-7158-44d4-b7cd-2c97c8a091b5",
            f"{prefix}Webhook-Id": "delivery-1",
            f"{prefix}Triggered-At": "2026-11-20T10:00:02.123456789Z",
            **extra,
        }
    )


#: What notifications of each kind look like, and the order they are about.
PARTS = {
    "refunds/create": {"id": 5, "order_id": 1001, "created_at": "2026-11-20T10:00:00Z"},
    "order_transactions/create": {
        "id": 6,
        "order_id": 1001,
        "admin_graphql_api_id": "gid://shopify/OrderTransaction/6",
    },
    "fulfillments/create": {"id": 7, "order_id": 1001, "updated_at": "2026-11-20T10:00:00Z"},
    "fulfillments/update": {"id": 7, "order_id": "1001", "name": "#1001-F1"},
    "returns/request": {
        "id": 8,
        "admin_graphql_api_id": "gid://shopify/Return/8",
        "order": {"id": 1001, "admin_graphql_api_id": "gid://shopify/Order/1001"},
    },
    "returns/close": {"id": 8, "order": {"id": 1001}},
    "returns/process": {"return": {"id": 8, "order_id": 1001}},
    "orders/risk_assessment_changed": {
        "provider_id": None,
        "order_id": 1001,
        "admin_graphql_api_order_id": "gid://shopify/Order/1001",
        "risk_level": "high",
    },
    "orders/edited": {"order_edit": {"id": 78912328793, "order_id": 1001}},
    "fulfillment_orders/cancelled": {
        "fulfillment_order": {
            "id": "gid://shopify/FulfillmentOrder/9",
            "order_id": "gid://shopify/Order/1001",
        }
    },
}


class TestWebhookReading(BaseCase):
    def verify(self, sent, body=BODY, secrets=("s3cret",)):
        webhook.verify(sent, body, list(secrets))

    def test_signed(self):
        self.verify(headers())

    def test_signed_with_the_secret_that_is_being_replaced(self):
        self.verify(headers(secret="old"), secrets=("new", "old"))

    def test_headers_without_x(self):
        sent = headers(prefix="Shopify-")
        self.verify(sent)
        self.assertEqual(webhook.read_headers(sent).topic, "orders/create")

    def test_refused(self):
        for name, sent, options in (
            ("no signature", CaseInsensitiveDict({"X-Shopify-Topic": "orders/create"}), {}),
            ("other secret", headers(secret="wrong"), {}),
            ("changed body", headers(), {"body": BODY + b" "}),
            ("no secret of ours", headers(secret=""), {"secrets": ("",)}),
            ("hexadecimal", headers(**{"X-Shopify-Hmac-Sha256": "ab" * 32}), {}),
            ("not ASCII", headers(**{"X-Shopify-Hmac-Sha256": "ä"}), {}),
        ):
            with self.subTest(name), self.assertRaises(WebhookRefused):
                self.verify(sent, **options)

    def test_other_shop(self):
        sent = headers(**{"X-Shopify-Shop-Domain": "Other.myshopify.com"})
        webhook.refuse_other_shop(sent, "other.myshopify.com")
        webhook.refuse_other_shop(sent, "")
        with self.assertRaisesRegex(WebhookRefused, "is from the shop other.myshopify.com"):
            webhook.refuse_other_shop(sent, "demo.myshopify.com")

    def test_event_id_is_the_same_for_each_delivery(self):
        first = webhook.read_headers(headers())
        second = webhook.read_headers(headers(**{"X-Shopify-Webhook-Id": "delivery-2"}))
        self.assertEqual(first.event_id, second.event_id)
        other_topic = webhook.read_headers(headers(**{"X-Shopify-Topic": "orders/updated"}))
        self.assertNotEqual(first.event_id, other_topic.event_id)

    def test_delivery_id_where_there_is_no_event_id(self):
        sent = headers()
        del sent["X-Shopify-Event-Id"]
        self.assertEqual(webhook.read_headers(sent).event_id, "orders/create:delivery-1")

    def test_event_sent_to_try_things_out(self):
        self.assertIsNone(webhook.read_headers(headers()).environment)
        told = webhook.read_headers(headers(**{"X-Shopify-Test": "true"}))
        self.assertEqual(told.environment, "sandbox")
        self.assertIsNone(webhook.read_headers(headers(**{"X-Shopify-Test": "false"})).environment)

    def test_time(self):
        read = webhook.read_headers(headers(**{"X-Shopify-Triggered-At": "2026-11-20T10:00:02Z"}))
        self.assertEqual(read.triggered_at, datetime(2026, 11, 20, 10, 0, 2))
        # headers are not signed: whoever repeats a notification may write anything into them
        for odd in ("soon", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
            sent = headers(**{"X-Shopify-Triggered-At": odd})
            self.assertIsNone(webhook.read_headers(sent).triggered_at, odd)

    def test_order(self):
        change = webhook.read_order("orders/create", BODY)
        self.assertEqual(change.external_id, "gid://shopify/Order/450789469")
        self.assertEqual(change.updated_at, datetime(2026, 11, 20, 10, 0, 1))
        self.assertEqual(change.label, "#1001")

    def test_parts_of_an_order_name_it_in_many_ways(self):
        for topic, payload in PARTS.items():
            with self.subTest(topic):
                change = webhook.read_order(topic, json.dumps(payload).encode())
                self.assertEqual(change.external_id, "gid://shopify/Order/1001")
                # the time is that of the part, and the order may have changed since
                self.assertIsNone(change.updated_at)

    def test_fulfillment_orders_that_name_no_order(self):
        for payload in (
            {"fulfillment_order": {"id": "gid://shopify/FulfillmentOrder/9", "status": "on_hold"}},
            {"original_fulfillment_order": {"id": 9}, "moved_fulfillment_order": {"id": 10}},
            {"id": 9, "status": "open"},
        ):
            change = webhook.read_order("fulfillment_orders/moved", json.dumps(payload).encode())
            self.assertEqual(change.external_id, "gid://shopify/FulfillmentOrder/9")

    def test_parts_that_name_nothing(self):
        for topic in sorted(webhook.ORDER_TOPICS):
            for payload in (
                {},
                {"order_id": True},
                {"order_id": "gid://shopify/Product/1"},
                {"order": [1]},
                {"order_id": "1001; drop"},
                {"order_id": "٣"},
            ):
                with (
                    self.subTest(topic, payload=payload),
                    self.assertRaises(InvalidPayloadError),
                ):
                    webhook.read_order(topic, json.dumps(payload).encode())

    def test_subscriptions_ask_for_no_personal_data(self):
        for topic in webhook.TOPICS:
            fields = webhook.include_fields(topic)
            self.assertFalse({"customer", "email", "shipping_address"} & set(fields))
        # whole orders and payments are never sent around
        for topic in ("orders/updated", "order_transactions/create", "refunds/create"):
            self.assertTrue(webhook.include_fields(topic))

    def test_every_topic_is_known_to_every_version(self):
        for version in contract.VERSIONS:
            known = contract.schema(version).get_type("WebhookSubscriptionTopic").values
            names = {topic.replace("/", "_").replace(".", "_").upper() for topic in webhook.TOPICS}
            self.assertFalse(names - known.keys(), version)

    def test_number_only(self):
        change = webhook.read_order("orders/updated", b'{"id": 5}')
        self.assertEqual(change.external_id, "gid://shopify/Order/5")

    def test_edit_names_its_order(self):
        body = b'{"order_edit": {"id": 7, "order_id": 5, "line_items": {"additions": []}}}'
        self.assertEqual(
            webhook.read_order("orders/edited", body).external_id, "gid://shopify/Order/5"
        )

    def test_unreadable_bodies(self):
        for body in (
            b"",
            b"<html>",
            b"[]",
            b'"text"',
            b"{}",
            b'{"id": null}',
            b'{"id": true}',
            b'{"id": "abc"}',
            b'{"admin_graphql_api_id": "gid://shopify/Product/1"}',
            b"\xff\xfe",
            b"[" * 100000,
        ):
            with self.subTest(body[:20]), self.assertRaises(InvalidPayloadError):
                webhook.read_order("orders/create", body)


class TestWebhookHooks(ShopifyCase):
    def setUp(self):
        super().setUp()
        self.connector = self.backend._connector()
        self.backend.credential_ids.filtered(lambda c: c.code == "client_secret").value = "s3cret"

    def test_verified_with_the_stored_secret(self):
        self.connector._verify_webhook(self.backend, headers(), BODY)
        with self.assertRaises(WebhookRefused):
            self.connector._verify_webhook(self.backend, headers(secret="x"), BODY)

    def test_old_secret_is_good_for_a_while(self):
        self.backend.credential_ids.filtered(lambda c: c.code == "client_secret").value = "n3w"
        self.connector._verify_webhook(self.backend, headers(), BODY)
        self.connector._verify_webhook(self.backend, headers(secret="n3w"), BODY)

    def test_unknown_topic_is_nobodys(self):
        found = self.connector._parse_webhook(self.backend, "themes/publish", BODY)
        self.assertIsNone(found.resource)

    def test_event_without_any_id(self):
        sent = headers()
        for name in ("X-Shopify-Event-Id", "X-Shopify-Webhook-Id"):
            del sent[name]
        first = self.connector._read_webhook_headers(self.backend, sent, BODY)
        second = self.connector._read_webhook_headers(self.backend, sent, BODY + b" ")
        self.assertNotEqual(first.event_id, second.event_id)
        self.assertTrue(first.event_id)


class TestPartsOfOrders(ShopifyCase):
    def notify(self, gid):
        operation = self.env["integration.sync.log"]._append(self.flow, [Change(gid)], "webhook")
        self.env.flush_all()
        with self.enter_registry_test_mode():
            self.env["integration.engine"]._drain(self.flow.id)
        self.env.invalidate_all()
        return operation

    def test_a_fulfillment_order_leads_to_its_order(self):
        self.shop.put(order(1, [line(1, "10.0")], "10.0"))
        self.shop.owners["gid://shopify/FulfillmentOrder/9"] = "gid://shopify/Order/1"
        operation = self.notify("gid://shopify/FulfillmentOrder/9")
        self.assertEqual(operation.state, "skipped", operation.message)
        self.assertIn("gid://shopify/Order/1, which is read instead", operation.message)
        binding = self.env["integration.binding"].search([("backend_id", "=", self.backend.id)])
        self.assertEqual(
            binding.filtered(lambda row: row.resource == "order").mapped("external_id"),
            ["gid://shopify/Order/1"],
        )

    def test_one_that_shopify_does_not_know_any_more(self):
        operation = self.notify("gid://shopify/FulfillmentOrder/10")
        self.assertEqual(operation.state, "skipped", operation.message)
        self.assertIn("does not know it any more", operation.message)
        self.assertFalse(self.env["integration.binding"].search([("resource", "=", "order")]))
