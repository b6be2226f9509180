import contextlib
import gzip
import hashlib
import hmac
import json
from datetime import UTC, timedelta, timezone
from unittest.mock import patch

import requests

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import HttpCase, tagged
from odoo.tests.common import new_test_user
from odoo.tools import mute_logger

from ..controllers import webhook
from ..lib.errors import WebhookRefused
from ..lib.records import WebhookHeaders
from ..lib.throttle import Throttle
from ..models.integration_engine import LOCK_SLOT
from .common import FakeConnectorMixin, IntegrationCase

EVENT_LOGGER = "odoo.addons.integration_base.models.integration_webhook_event"


def sign(body, secret="s3cr3t-canary"):
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@tagged("post_install", "-at_install")
class TestWebhook(FakeConnectorMixin, HttpCase):
    def setUp(self):
        super().setUp()
        # of the tests before, from the same sender
        webhook.REFUSALS.clear()
        webhook.COUNTED.clear()
        webhook.UNCOUNTED.clear()

    def post(
        self, body, secret="s3cr3t-canary", topic="contact/updated", event="e1", token=None, **more
    ):
        body = json.dumps(body).encode() if isinstance(body, dict) else body
        return self.url_open(
            f"/integration/webhook/{token or self.backend.webhook_token}",
            data=body,
            method="POST",
            headers={
                "Content-Type": "application/json",
                "X-Signature": sign(body, secret) if isinstance(body, bytes) else "",
                "X-Topic": topic,
                "X-Event-Id": event,
                **{name.replace("_", "-"): value for name, value in more.items()},
            },
        )

    def post_chunks(self, chunks):
        """Send a body without saying how long it is."""
        headers = {"X-Signature": sign(b"".join(chunks)), "X-Topic": "contact/updated"}
        return self.post(iter(chunks), X_Event_Id="chunked", **headers)

    def events(self):
        self.env.invalidate_all()
        return self.env["integration.webhook.event"].search([("backend_id", "=", self.backend.id)])

    def operations(self):
        return self.env["integration.sync.log"].search([("backend_id", "=", self.backend.id)])

    def test_authentic_notification_becomes_one_operation(self):
        self.assertEqual(self.post({"id": "c1"}).status_code, 200)
        self.assertEqual(self.post({"id": "c1"}).status_code, 200)
        event = self.events()
        self.assertEqual(len(event), 1)
        self.assertEqual(event.count, 2)
        self.assertEqual(event.operation_ids.mapped("external_id"), ["c1"])
        self.assertEqual(json.loads(event.body), {"id": "c1"})

    def test_bad_signature_is_refused_counted_and_does_nothing(self):
        for event in ("e1", "e2"):
            self.assertEqual(self.post({"id": "c1"}, secret="wrong", event=event).status_code, 401)
        refused = self.events()
        self.assertEqual((refused.state, refused.count, refused.body), ("refused", 2, False))
        self.assertIn("The signature is wrong.", refused.message)
        self.assertFalse(self.operations())

    @mute_logger(EVENT_LOGGER)
    def test_strange_signatures_are_refused(self):
        body = b'{"id": "c1"}'
        for signature in ("", "\xe4\xf6", "x" * 5000, f"{sign(body)}, {sign(body)}"):
            answer = self.post(body, X_Signature=signature.encode("latin-1"))
            self.assertEqual((answer.status_code, answer.content), (401, b""), signature)

        def broken(connector, backend, headers, body):
            raise TypeError("comparing strings with non-ASCII characters is not supported")

        self.patch(self.registry["integration.connector.fake"], "_verify_webhook", broken)
        self.assertEqual(self.post(body).status_code, 401)
        self.assertIn("cannot be checked: TypeError", self.events()[0].message)
        self.assertFalse(self.operations())

    def test_nobody_can_tell_which_addresses_exist(self):
        unknown = self.post({"id": "c1"}, token="A" * 43)
        wrong = self.post({"id": "c1"}, secret="wrong")
        self.backend.state = "draft"
        disabled = self.post({"id": "c1"})
        self.backend.write({"state": "active", "active": False})
        archived = self.post({"id": "c1"})
        self.assertEqual({answer.status_code for answer in (unknown, wrong)}, {401})
        seen = {self.seen(answer) for answer in (unknown, wrong, disabled, archived)}
        self.assertEqual(len(seen), 1, seen)
        self.assertEqual(self.events().mapped("state"), ["refused"])
        self.backend.active = True
        self.assertEqual(self.post({"id": "c1"}).status_code, 200)

    def seen(self, answer):
        """All that a sender sees of an answer."""
        headers = {name: value for name, value in answer.headers.items() if name != "Date"}
        return answer.status_code, answer.content, json.dumps(headers)

    def test_odd_tokens_are_unknown_addresses(self):
        wrong = self.seen(self.post({"id": "c1"}, token="A" * 43))
        for token in (
            "%00",
            f"{self.backend.webhook_token}%00",
            "%ff",
            "\xe4",
            "a" * 9000,
            "False",
        ):
            self.assertEqual(self.seen(self.post({"id": "c1"}, token=token)), wrong, token)

    def test_signature_is_good_for_its_own_address_only(self):
        self.assertEqual(self.post({"id": "c1"}, token="nobody").status_code, 401)
        other = self.backend.copy({"name": "Other", "state": "active"})
        other.credential_ids.value = "other"
        self.assertEqual(self.post({"id": "c1"}, token=other.webhook_token).status_code, 401)
        self.assertEqual(self.events().mapped("state"), [])
        self.assertFalse(self.operations())

    def test_no_backend_is_connected(self):
        connected = self.env["integration.backend"].search([])
        connected.state = "draft"
        wrong = self.seen(self.post({"id": "c1"}))
        self.assertEqual(wrong[:2], (401, b""))
        self.assertEqual(self.post(b"x" * (6 * 1024 * 1024)).status_code, 413)

    @mute_logger(EVENT_LOGGER)
    def test_address_that_does_not_exist_needs_no_secret(self):
        self.backend.credential_ids.write({"ciphertext": False, "previous_ciphertext": False})
        self.assertEqual(self.post({"id": "c1"}, token="nobody").status_code, 401)

    def test_other_methods_tell_nothing(self):
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
            known, unknown = (
                self.url_open(f"/integration/webhook/{token}", method=method)
                for token in (self.backend.webhook_token, "nobody")
            )
            self.assertEqual((known.status_code, known.content), (405, b""), method)
            self.assertEqual(known.headers["Allow"], "POST")
            self.assertEqual(self.seen(known), self.seen(unknown))
        self.assertFalse(self.events())

    def test_sender_who_is_refused_too_often_is_not_read(self):
        now = 0.0
        self.patch(webhook, "REFUSALS", Throttle(3, 0.5, clock=lambda: now))
        with patch.object(
            self.registry["integration.webhook.event"],
            "_answer",
            autospec=True,
            side_effect=self.registry["integration.webhook.event"]._answer,
        ) as answer:
            statuses = [self.post({"id": "c1"}, secret="wrong").status_code for _call in range(5)]
            self.assertEqual(statuses, [401, 401, 401, 429, 429])
            self.assertEqual(answer.call_count, 3)
        self.assertEqual(self.events().count, 3)
        known = self.post(b"x")
        for _call in range(3):
            self.post({"id": "c1"}, token="nobody")
        unknown = self.post({"id": "c1"}, token="nobody")
        self.assertEqual((known.status_code, known.content), (429, b""))
        self.assertEqual(known.headers["Retry-After"], "60")
        self.assertEqual(self.seen(known), self.seen(unknown))
        # a secret that was set right lets the service through again
        now = 2.0
        statuses = [self.post({"id": f"c{call}"}).status_code for call in range(5)]
        self.assertEqual(statuses, [200] * 5)

    def test_authentic_ones_are_never_too_many(self):
        self.patch(webhook, "REFUSALS", Throttle(3, 0.5, clock=lambda: 0.0))
        for number in range(10):
            self.assertEqual(self.post({"id": "c1"}, event=f"e{number}").status_code, 200)

    def test_one_sender_does_not_shut_out_another(self):
        self.patch(webhook, "REFUSALS", Throttle(1, 0.5, clock=lambda: 0.0))
        self.patch(webhook, "network_of", lambda address: "192.0.2.1")
        self.assertEqual(self.post({"id": "c1"}, secret="wrong").status_code, 401)
        self.assertEqual(self.post({"id": "c1"}).status_code, 429)
        self.patch(webhook, "network_of", lambda address: "192.0.2.2")
        self.assertEqual(self.post({"id": "c1"}).status_code, 200)

    def test_flood_from_many_senders_writes_little_and_counts_all(self):
        now = 0.0
        self.patch(webhook, "COUNTED", Throttle(2, 1, clock=lambda: now))
        with patch.object(
            self.registry["integration.webhook.event"],
            "_count_refused",
            autospec=True,
            side_effect=self.registry["integration.webhook.event"]._count_refused,
        ) as count:
            for _call in range(9):
                self.post({"id": "c1"}, secret="wrong")
            self.assertEqual(count.call_count, 2)
            self.assertEqual(self.events().count, 2)
            now = 1.0
            self.post({"id": "c1"}, secret="wrong")
            self.assertEqual(count.call_count, 3)
        self.assertEqual(self.events().count, 10)

    def test_replaced_address_and_secret_work_at_once(self):
        self.assertEqual(self.post({"id": "c1"}, event="e1").status_code, 200)
        old = self.backend.webhook_token
        self.backend.action_new_webhook_address()
        self.assertEqual(self.post({"id": "c1"}, event="e2", token=old).status_code, 401)
        self.backend.credential_ids.value = "new"
        self.assertEqual(self.post({"id": "c1"}, event="e3", secret="new").status_code, 200)
        self.assertEqual(self.post({"id": "c1"}, event="e4").status_code, 200)
        self.backend.credential_ids.previous_until = "2000-01-01"
        self.assertEqual(self.post({"id": "c1"}, event="e5").status_code, 401)

    def test_missing_secret_asks_the_service_to_come_again(self):
        self.backend.credential_ids.write({"ciphertext": False, "previous_ciphertext": False})
        with mute_logger(EVENT_LOGGER):
            self.assertEqual(self.post({"id": "c1"}).status_code, 503)
        self.assertIn("has no Signing secret", self.events().message)

    def test_unreadable_body_is_a_failed_operation(self):
        self.assertEqual(self.post(b"\xff\x00 not json").status_code, 200)
        event = self.events()
        self.assertTrue(event.body_is_base64)
        self.assertEqual(event._raw_body(), b"\xff\x00 not json")
        self.assertEqual(event.state, "unreadable")
        self.assertEqual(event.operation_ids.state, "dead")
        self.assertEqual(event.operation_ids.message, "The notification is not readable.")

    @mute_logger(EVENT_LOGGER)
    def test_odd_bodies_are_stored_and_shown(self):
        bodies = {
            "empty": b"",
            "NaN": b'{"id": NaN}',
            "number": b"1",
            "infinity": b'{"id": 1e999}',
            "NUL in the id": b'{"id": "c\\u0000"}',
            "half a character": b'{"id": "\\ud800"}',
            "5,000 digits": b'{"id": ' + b"9" * 5000 + b"}",
            "depth 1,000": b"[" * 1000 + b"]" * 1000,
            "depth 100,000": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
            "long id": json.dumps({"id": "c" * 9000}).encode(),
            "compressed": gzip.compress(b'{"id": "c1"}'),
        }
        for name, body in bodies.items():
            answer = self.post(body, event=name, Content_Encoding="gzip")
            self.assertEqual(answer.status_code, 200, name)
            event = self.events()[0]
            self.assertEqual((event.event_id, event.state), (name, "unreadable"))
            self.assertEqual(event._raw_body(), body, name)
            self.assertEqual(event.operation_ids.state, "dead", name)
            self.assertTrue(event.operation_ids.message, name)

    def test_harmless_oddities_are_read(self):
        # the connector of the tests reads with json.loads
        bodies = {
            "name twice": b'{"id": "x", "id": "c1"}',
            "byte order mark": b'\xef\xbb\xbf{"id": "c1"}',
            "other encoding": '{"id": "c1"}'.encode("utf-16"),
        }
        for name, body in bodies.items():
            self.assertEqual(self.post(body, event=name).status_code, 200, name)
            self.assertEqual(self.events()[0]._raw_body(), body, name)
            self.assertEqual(self.events()[0].operation_ids.external_id, "c1", name)

    def test_forms_reach_the_connector_as_they_were_sent(self):
        form = b"id=c1&payload=%7B%7D"
        multipart = b'--b\r\nContent-Disposition: form-data; name="id"\r\n\r\nc1\r\n--b--\r\n'
        for kind, body in (
            ("application/x-www-form-urlencoded", form),
            ("multipart/form-data; boundary=b", multipart),
        ):
            answer = self.post(body, event=kind, Content_Type=kind)
            self.assertEqual(answer.status_code, 200, kind)
            self.assertEqual(self.events()[0]._raw_body(), body)

    @mute_logger(EVENT_LOGGER)
    def test_headers_that_cannot_be_stored(self):
        self.post({"id": "c1"}, event="e" * 3000, topic="t" * 3000)
        event = self.events()
        self.assertEqual((len(event.event_id), len(event.topic)), (64, 255))

        def broken(connector, backend, headers, body):
            return WebhookHeaders(headers["X-Nothing"], headers["X-Nothing"])

        self.patch(self.registry["integration.connector.fake"], "_read_webhook_headers", broken)
        for _delivery in range(2):
            self.assertEqual(self.post({"id": "c2"}).status_code, 200)
        event = self.events()[0]
        self.assertEqual((event.count, json.loads(event.body)), (2, {"id": "c2"}))

    @mute_logger(EVENT_LOGGER)
    def test_bug_in_the_connector_loses_nothing(self):
        def broken(connector, backend, topic, body):
            raise ZeroDivisionError("division by zero")

        self.patch(self.registry["integration.connector.fake"], "_parse_webhook", broken)
        self.assertEqual(self.post({"id": "c1"}).status_code, 200)
        event = self.events()
        self.assertEqual(event.state, "unreadable")
        self.assertEqual(event.operation_ids.state, "dead")
        self.assertIn("division by zero", event.operation_ids.message)

    def test_unknown_topic_is_stored_and_counted(self):
        for _delivery in range(2):
            self.assertEqual(self.post({"id": "c1"}, topic="moon/full").status_code, 200)
        event = self.events()
        self.assertEqual((event.state, event.count), ("unknown", 2))
        self.assertFalse(self.operations())

    def test_paused_backend_still_stores(self):
        self.backend.action_pause()
        self.assertEqual(self.post({"id": "c1"}).status_code, 200)
        self.assertEqual(self.events().operation_ids.state, "pending")

    def test_same_id_with_another_body_is_kept_apart(self):
        for _delivery in range(2):
            self.post({"id": "c1"})
            self.post({"id": "c2"})
        second, first = self.events()
        self.assertEqual((first.id_reused, second.id_reused), (False, True))
        self.assertEqual((first.event_id, second.event_id[:3]), ("e1", "e1 "))
        self.assertEqual(second.count, 2)
        self.assertEqual(self.operations().mapped("external_id"), ["c2", "c1"])

    def test_every_other_body_under_the_same_id_is_kept(self):
        for number in (1, 2, 3, 2, 3, 3):
            self.assertEqual(self.post({"id": f"c{number}"}).status_code, 200)
        third, second, first = self.events()
        self.assertEqual((first.id_reused, second.id_reused, third.id_reused), (False, True, True))
        self.assertEqual((second.count, third.count), (2, 3))
        self.assertEqual(json.loads(third.body), {"id": "c3"})

    def test_notification_signed_long_ago_is_refused(self):
        signed_at = None

        def read(connector, backend, headers, body):
            return WebhookHeaders(headers["X-Topic"], headers["X-Event-Id"], signed_at=signed_at)

        self.patch(self.registry["integration.connector.fake"], "_read_webhook_headers", read)
        zones = (None, UTC, timezone(timedelta(hours=9)))
        cases = [
            (sign * timedelta(minutes=5, seconds=seconds), zone)
            for sign in (-1, 1)
            for seconds in (-10, 10)
            for zone in zones
        ]
        for number, (age, zone) in enumerate(cases):
            signed_at = fields.Datetime.now() + age
            if zone:
                signed_at = signed_at.replace(tzinfo=UTC).astimezone(zone)
            taken = abs(age) < timedelta(minutes=5)
            answer = self.post({"id": "c1"}, event=f"e{number}")
            self.assertEqual(answer.status_code, 200 if taken else 401, (age, zone))
        self.assertEqual(len(self.operations()), len(cases) // 2)
        refused = self.events().filtered(lambda event: event.state == "refused")
        self.assertEqual(sum(refused.mapped("count")), len(cases) // 2)
        self.assertIn("at another time than now", refused[0].message)

    def test_tolerance_is_the_connectors(self):
        def read(connector, backend, headers, body):
            long_ago = fields.Datetime.now() - timedelta(hours=1)
            return WebhookHeaders(headers["X-Topic"], headers["X-Event-Id"], signed_at=long_ago)

        connector = self.registry["integration.connector.fake"]
        self.patch(connector, "_read_webhook_headers", read)
        self.assertEqual(self.post({"id": "c1"}).status_code, 401)
        self.patch(connector, "_connector_webhook_tolerance", timedelta(hours=2))
        self.assertEqual(self.post({"id": "c1"}).status_code, 200)

    def test_replay_of_what_was_signed_in_time_does_nothing_again(self):
        signed_at = fields.Datetime.now()

        def read(connector, backend, headers, body):
            return WebhookHeaders(headers["X-Topic"], headers["X-Event-Id"], signed_at=signed_at)

        self.patch(self.registry["integration.connector.fake"], "_read_webhook_headers", read)
        for _delivery in range(3):
            self.assertEqual(self.post({"id": "c1"}).status_code, 200)
        self.assertEqual((self.events().count, len(self.operations())), (3, 1))

    def test_huge_body_is_not_read_but_counted(self):
        huge = b"x" * (6 * 1024 * 1024)
        self.assertEqual(self.post(huge).status_code, 413)
        event = self.events()
        self.assertEqual((event.state, event.body), ("refused", False))
        self.assertIn("larger than we read", event.message)
        self.assertEqual(self.post(huge, token="nobody").status_code, 413)
        self.assertEqual(self.events().count, 1)

    def test_body_of_unknown_length_is_bounded(self):
        self.assertEqual(self.post_chunks([b'{"id": ', b'"c1"}']).status_code, 200)
        self.assertEqual(self.events().operation_ids.external_id, "c1")
        # the server may hang up before it was told everything
        with contextlib.suppress(requests.ConnectionError):
            self.assertEqual(self.post_chunks([b"x" * 65536] * 100).status_code, 413)
        self.assertEqual(self.events()[0].state, "refused")


@tagged("post_install", "-at_install")
class TestReceiving(IntegrationCase):
    """What a notification costs."""

    def setUp(self):
        super().setUp()
        self.Event = self.env["integration.webhook.event"]
        self.token = self.backend.webhook_token
        self.receive("warm")

    def receive(self, event, external_id="c1", secret="s3cr3t-canary"):
        body = json.dumps({"id": external_id}).encode()
        headers = {"X-Topic": "contact/updated", "X-Event-Id": event}
        headers["X-Signature"] = sign(body, secret)
        status, refusal = self.Event._answer(self.token, headers, body, "192.0.2.1")
        if refusal:
            self.Event._count_refused(refusal)
        return status

    def test_one_statement_whatever_happens(self):
        with self.assertQueryCount(1):
            self.assertEqual(self.receive("new"), 200)
        with self.assertQueryCount(1):
            self.assertEqual(self.receive("new"), 200)
        with self.assertQueryCount(1):
            self.assertEqual(self.receive("bad", secret="wrong"), 401)
        event = self.Event.search([("event_id", "=", "new")])
        self.assertEqual((event.count, len(event.operation_ids)), (2, 1))

    def test_answering_a_stranger_costs_no_statement(self):
        headers = {"X-Signature": "wrong", "X-Topic": "contact/updated", "X-Event-Id": "e1"}
        with self.assertQueryCount(0):
            status, refusal = self.Event._answer(self.token, headers, b"{}", "192.0.2.1")
            self.assertEqual((status, refusal.backend_id), (401, self.backend.id))
            for token in ("nobody", "\0", "x" * 9000):
                answer = self.Event._answer(token, headers, b"{}", "192.0.2.1")
                self.assertEqual(answer, (401, None))

    def refusal(self, secret="s3cr3t-canary", **headers):
        body = b'{"id": "c1"}'
        headers = {"X-Topic": "contact/updated", "X-Event-Id": "odd", **headers}
        headers["X-Signature"] = sign(body, secret)
        status, refusal = self.Event._answer(self.token, headers, body, "192.0.2.1")
        self.assertEqual(status, 401)
        return refusal.message

    def test_secret_is_blamed_for_a_wrong_signature_only(self):
        """A person sent off to replace a secret that is right makes it worse."""
        advice = "the secret stored in the backend"
        self.assertIn(advice, self.refusal(secret="wrong"))
        live = self.refusal(**{"X-Environment": "production"})
        self.assertIn("It is a live event", live)
        self.assertNotIn(advice, live)
        connector = self.registry["integration.connector.fake"]

        def read(connector, backend, headers, body):
            return WebhookHeaders("t", "e", signed_at=fields.Datetime.now() - timedelta(days=1))

        def elsewhere(connector, backend, topic, headers, body):
            raise WebhookRefused("It is of another account.")

        with patch.object(connector, "_read_webhook_headers", read):
            self.assertNotIn(advice, self.refusal())
        with patch.object(connector, "_webhook_backends", elsewhere):
            self.assertEqual(self.refusal(), "It is of another account. Last sent from 192.0.2.1.")

    def other(self, secret="other", **values):
        other = self.backend.copy({"name": "Other", "state": "active", **values})
        other.credential_ids.value = secret
        return other

    def handed_over(self, backends):
        """Receive a notification of which the connector says whose it is; returns who has it.

        :param backends: function of the connector's answer.
        """
        connector = self.registry["integration.connector.fake"]
        before = self.Event.search([])
        with patch.object(connector, "_webhook_backends", lambda *_args: backends()):
            self.assertEqual(self.receive(f"over {len(before)}"), 200)
        return (self.Event.search([]) - before).backend_id

    @mute_logger(EVENT_LOGGER)
    def test_handed_over_to_whose_secret_proves_it(self):
        mine, same, stranger = self.backend, self.other("s3cr3t-canary"), self.other()
        self.assertEqual(self.handed_over(lambda: same), same)
        self.assertEqual(self.handed_over(lambda: mine | same), mine | same)
        # nobody proves it: it stays where it has arrived
        self.assertEqual(self.handed_over(lambda: stranger), mine)
        self.assertEqual(self.handed_over(lambda: stranger | same), same)
        self.assertEqual(self.handed_over(lambda: mine.browse()), mine)
        self.assertEqual(self.handed_over(lambda: 1 / 0), mine)
        same.state = "draft"
        self.assertEqual(self.handed_over(lambda: same), mine)

    def test_counting_a_backend_that_is_gone(self):
        headers = {"X-Signature": "wrong", "X-Topic": "contact/updated", "X-Event-Id": "e1"}
        _status, refusal = self.Event._answer(self.token, headers, b"{}", "192.0.2.1")
        count = self.Event.search_count([])
        self.Event._count_refused(refusal._replace(backend_id=2_000_000_000))
        self.assertEqual(self.Event.search_count([]), count)

    def test_secrets_stay_encrypted_in_the_cache(self):
        self.assertNotIn("canary", str(self.Event._target(self.backend.webhook_token)))

    def test_what_another_thread_kept_meanwhile_is_forgotten(self):
        self.Event._forget_targets()
        self.Event._target(self.token)
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE integration_backend SET state = 'draft' WHERE id = %s", [self.backend.id]
        )
        self.assertEqual(self.receive("before"), 200)
        self.env.cr.postcommit.run()
        self.assertEqual(self.receive("after"), 401)

    def needs_waking(self):
        self.env.flush_all()
        return self.Event._needs_waking(self.env.cr, self.flow.id)

    def test_wakes_only_when_nobody_will_look(self):
        self.assertTrue(self.needs_waking())
        with self.assertQueryCount(1):
            self.Event._needs_waking(self.env.cr, self.flow.id)
        # a drain is at work
        with self.registry.cursor() as cr, self.engine_slot(cr):
            self.assertFalse(self.needs_waking())
        self.assertTrue(self.needs_waking())
        # a drain waits to be started
        self.engine._wake([self.flow.id])
        self.assertFalse(self.needs_waking())

    def engine_slot(self, cr):
        return self.engine._slot(cr, LOCK_SLOT, self.flow.id, range(1))

    def test_later_drain_does_not_swallow_the_wake_up(self):
        self.engine._wake([self.flow.id], 60)
        self.assertTrue(self.needs_waking())

    # === PROCESSING AGAIN === #

    def wizard(self, **values):
        operator = new_test_user(
            self.env, "replaying", groups="integration_base.group_integration_operator"
        )
        values = {"date_to": fields.Datetime.now() + timedelta(minutes=1), **values}
        return self.env["integration.webhook.replay"].with_user(operator).create(values)

    def test_a_time_is_processed_again(self):
        for number in range(3):
            self.receive(f"e{number}", f"c{number}")
        self.receive("bad", secret="wrong")
        events = self.Event.search([("event_id", "in", ["e0", "e1", "e2", "warm"])])
        before = self.env["integration.sync.log"].search([])
        wizard = self.wizard(backend_id=self.backend.id, topic="contact/updated", force=True)
        self.assertEqual(wizard.count, 4)
        wizard.action_replay()
        new = self.env["integration.sync.log"].search([]) - before
        self.assertEqual(sorted(new.mapped("external_id")), ["c0", "c1", "c1", "c2"])
        self.assertEqual(set(new.mapped("trigger")), {"manual"})
        self.assertTrue(all(new.mapped("force")))
        self.assertEqual(new.create_uid.login, "replaying")
        self.assertEqual(events.mapped("replay_count"), [1] * 4)
        self.assertEqual(events.replayed_by_id.login, "replaying")

    def test_processing_again_doubles_nothing(self):
        for external_id in ("c0", "c1"):
            self.service.put(external_id, external_id)
            self.receive(external_id, external_id)
        self.drain()
        applied = list(self.service.applied)
        events = self.Event.search([("state", "=", "accepted")])
        self.wizard(event_ids=events.ids).action_replay()
        self.drain()
        self.assertEqual(self.service.applied, applied)
        self.assertEqual(len(self.partners()), 2)
        self.assertFalse(self.env["integration.sync.log"].search([("state", "=", "pending")]))

    @mute_logger(EVENT_LOGGER)
    def test_what_could_not_be_read_is_replaced(self):
        parse = self.registry["integration.connector.fake"]._parse_webhook
        self.patch(self.registry["integration.connector.fake"], "_parse_webhook", None)
        self.receive("odd", "c9")
        event = self.Event.search([("event_id", "=", "odd")])
        failed = event.operation_ids
        self.assertEqual((event.state, failed.state), ("unreadable", "dead"))
        self.patch(self.registry["integration.connector.fake"], "_parse_webhook", parse)
        self.wizard(event_ids=event.ids).action_replay()
        self.env.invalidate_all()
        self.assertEqual((event.state, failed.state), ("accepted", "merged"))
        self.assertEqual((event.operation_ids - failed).external_id, "c9")

    def test_processing_again_costs_one_statement_for_operations(self):
        for number in range(20):
            self.receive(f"e{number}", f"c{number}")
        events = self.Event.search([("state", "=", "accepted")])
        with patch.object(
            self.registry["integration.sync.log"],
            "_insert_values",
            autospec=True,
            side_effect=self.registry["integration.sync.log"]._insert_values,
        ) as insert:
            events._replay()
        self.assertEqual(insert.call_count, 1)

    def test_refused_and_nothing_is_said(self):
        self.receive("bad", secret="wrong")
        refused = self.Event.search([("state", "=", "refused")])
        with self.assertRaisesRegex(UserError, "nothing to process again"):
            self.wizard(event_ids=refused.ids).action_replay()

    def test_replaying_needs_the_role(self):
        user = new_test_user(self.env, "reader", groups="integration_base.group_integration_user")
        events = self.Event.search([])
        with self.assertRaises(AccessError):
            self.env["integration.webhook.replay"].with_user(user).create({"event_ids": events.ids})

    # === WAKING === #

    def test_does_not_wake_what_may_not_work(self):
        self.flow.enabled = False
        self.assertFalse(self.needs_waking())
        self.flow.enabled = True
        self.backend.state = "paused"
        self.assertFalse(self.needs_waking())

    def test_wakes_once_committed(self):
        with patch.object(self.registry["integration.engine"], "_wake") as wake:
            self.receive("later")
            self.assertFalse(wake.called)
            with self.enter_registry_test_mode():
                self.env.cr.postcommit.run()
        self.assertEqual(wake.call_args.args, ([self.flow.id],))
