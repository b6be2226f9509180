import hashlib
import hmac
import json

from odoo.tests import HttpCase, tagged
from odoo.tools import mute_logger

from .common import FakeConnectorMixin


@tagged("post_install", "-at_install")
class TestWebhook(FakeConnectorMixin, HttpCase):
    def post(self, body, secret="s3cr3t-canary", topic="contact/updated", event="e1", token=None):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.url_open(
            f"/integration/webhook/{token or self.backend.webhook_token}",
            data=body,
            headers={
                "Content-Type": "application/json",
                "X-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
                "X-Topic": topic,
                "X-Event-Id": event,
            },
        )

    def events(self):
        self.env.invalidate_all()
        return self.env["integration.webhook.event"].search([("backend_id", "=", self.backend.id)])

    def test_authentic_notification_becomes_one_operation(self):
        self.assertEqual(self.post({"id": "c1"}).status_code, 200)
        self.assertEqual(self.post({"id": "c1"}).status_code, 200)
        event = self.events()
        self.assertEqual(len(event), 1)
        self.assertEqual(event.operation_ids.mapped("external_id"), ["c1"])
        self.assertEqual(json.loads(event.body), {"id": "c1"})

    def test_bad_signature_is_refused_counted_and_does_nothing(self):
        for event in ("e1", "e2"):
            self.assertEqual(self.post({"id": "c1"}, secret="wrong", event=event).status_code, 401)
        refused = self.events()
        self.assertEqual((refused.state, refused.count, refused.body), ("refused", 2, False))
        self.assertIn("The signature is wrong.", refused.message)
        self.assertFalse(
            self.env["integration.sync.log"].search([("backend_id", "=", self.backend.id)])
        )

    def test_unknown_address_answers_like_a_bad_signature(self):
        answer = self.post({"id": "c1"}, token="nobody")
        self.assertEqual(answer.status_code, 401)
        self.assertFalse(self.events())

    def test_unreadable_body_is_a_failed_operation(self):
        self.assertEqual(self.post(b"\xff\x00 not json").status_code, 200)
        event = self.events()
        self.assertTrue(event.body_is_base64)
        self.assertEqual(event._raw_body(), b"\xff\x00 not json")
        self.assertEqual(event.state, "unreadable")
        self.assertEqual(event.operation_ids.state, "dead")
        self.assertEqual(event.operation_ids.message, "The notification is not readable.")

    @mute_logger("odoo.addons.integration_base.models.integration_webhook_event")
    def test_bug_in_the_connector_loses_nothing(self):
        def broken(connector, backend, topic, body):
            raise ZeroDivisionError("division by zero")

        self.patch(self.registry["integration.connector.fake"], "_parse_webhook", broken)
        self.assertEqual(self.post({"id": "c1"}).status_code, 200)
        event = self.events()
        self.assertEqual(event.state, "unreadable")
        self.assertEqual(event.operation_ids.state, "dead")
        self.assertIn("division by zero", event.operation_ids.message)

    def test_unknown_topic_is_stored(self):
        self.assertEqual(self.post({"id": "c1"}, topic="moon/full").status_code, 200)
        self.assertEqual(self.events().state, "unknown")

    def test_paused_backend_still_stores(self):
        self.backend.action_pause()
        self.assertEqual(self.post({"id": "c1"}).status_code, 200)
        self.assertEqual(self.events().operation_ids.state, "pending")

    @mute_logger("odoo.http")
    def test_huge_body_is_not_read(self):
        self.assertEqual(self.post(b"x" * (6 * 1024 * 1024)).status_code, 413)
        self.assertFalse(self.events())
