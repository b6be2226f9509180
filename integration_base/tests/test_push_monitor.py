from datetime import timedelta

from odoo import fields
from odoo.tests import tagged

from ..lib.records import Change
from .common import IntegrationCase


@tagged("post_install", "-at_install")
class TestPushMonitor(IntegrationCase):
    def setUp(self):
        super().setUp()
        self.now = fields.Datetime.now()
        self.flow.write({"push_since": self.now - timedelta(days=3), "interval_minutes": 10})

    def learn(self, trigger, *ids, ago=timedelta(hours=3), changed=None):
        """Append operations as if the changes had been learnt some time ago."""
        changes = [Change(key, changed or self.now - ago) for key in ids]
        operations = self.env["integration.sync.log"]._append(self.flow, changes, trigger)
        self.env.cr.execute(
            "UPDATE integration_sync_log SET create_date = %s WHERE id = ANY(%s)",
            [self.now - ago, operations.ids],
        )

    def measure(self):
        self.env.flush_all()
        self.env["integration.push.monitor"]._cron_measure()

    def incident(self):
        return self.env["integration.incident"].search([("kind", "=", "webhooks")])

    def ids(self, prefix, count):
        return [f"{prefix}{number}" for number in range(count)]

    def test_share_of_what_was_notified(self):
        self.learn("webhook", *self.ids("t", 48))
        self.learn("webhook", *self.ids("t", 48))
        self.learn("schedule", "m1", "m2")
        self.learn("manual", "x")
        self.measure()
        self.assertEqual((self.flow.push_count, self.flow.push_share), (50, 96.0))
        self.assertFalse(self.flow.push_degraded)
        self.assertFalse(self.incident())

    def test_missing_notifications_tighten_the_reading_and_tell_the_owner(self):
        self.learn("webhook", *self.ids("t", 10))
        self.learn("schedule", *self.ids("m", 5))
        self.flow.next_run_at = self.now + timedelta(minutes=9)
        self.measure()
        self.assertTrue(self.flow.push_degraded)
        self.assertLess(self.flow.next_run_at, self.now + timedelta(minutes=3))
        self.assertEqual(self.flow._next_run(self.now), self.now + timedelta(minutes=2))
        incident = self.incident()
        self.assertEqual((incident.flow_id, incident.count), (self.flow, 5))
        self.assertIn("5 of 15 records", incident.message)
        self.measure()
        self.assertEqual(len(self.incident()), 1)

    def test_relaxes_when_notifications_come_again(self):
        self.learn("schedule", *self.ids("m", 5))
        self.measure()
        self.assertTrue(self.flow.push_degraded)
        self.learn("webhook", *self.ids("t", 4), ago=timedelta(minutes=5))
        self.measure()
        self.assertTrue(self.flow.push_degraded)
        self.learn("webhook", "t9", ago=timedelta(minutes=5))
        self.measure()
        self.assertFalse(self.flow.push_degraded)
        self.assertEqual(self.incident().state, "closed")
        self.assertEqual(self.flow._next_run(self.now), self.now + timedelta(minutes=10))
        self.measure()
        self.assertEqual((self.flow.push_count, self.flow.push_share), (5, 100.0))

    def test_few_missed_ones_say_nothing(self):
        self.learn("schedule", *self.ids("m", 4))
        self.measure()
        self.assertFalse(self.flow.push_degraded)

    def test_what_changed_before_the_notifications_does_not_count(self):
        self.flow.push_since = False
        self.learn("schedule", *self.ids("m", 50))
        self.measure()
        self.assertFalse(self.flow.push_since)
        self.learn("webhook", "t1")
        self.measure()
        self.assertTrue(self.flow.push_since)
        self.learn("schedule", *self.ids("old", 50), ago=timedelta(0), changed="2020-01-01")
        self.measure()
        self.assertFalse(self.flow.push_degraded)
        self.assertEqual(self.flow.push_count, 0)

    def test_subscription_that_brings_nothing_is_noticed(self):
        self.flow.push_since = False
        self.env["integration.webhook.subscription"].create(
            {
                "backend_id": self.backend.id,
                "topic": "contact/updated",
                "address": "https://odoo.example.com",
                "state": "ok",
            }
        )
        self.measure()
        self.assertTrue(self.flow.push_since)
        self.flow.push_since -= timedelta(hours=4)
        self.learn("schedule", *self.ids("m", 5), ago=timedelta(hours=1))
        self.measure()
        self.assertTrue(self.flow.push_degraded)
        self.assertEqual(self.flow.push_share, 0)

    def test_flow_that_reads_at_times_of_day_is_read_in_between(self):
        self.flow.write({"schedule_kind": "daily", "schedule_times": "06:00"})
        self.learn("schedule", *self.ids("m", 5))
        self.measure()
        self.assertLessEqual(self.flow._next_run(self.now), self.now + timedelta(minutes=30))
