from datetime import datetime, timedelta

from freezegun import freeze_time

from odoo import fields
from odoo.exceptions import ValidationError
from odoo.tests import tagged

from ..lib.records import Change
from .common import IntegrationCase


@tagged("post_install", "-at_install")
class TestSchedule(IntegrationCase):
    def setUp(self):
        super().setUp()
        self.flow.tz = "Europe/Berlin"

    def test_interval(self):
        self.flow.interval_minutes = 15
        noon = datetime(2026, 1, 10, 12)
        self.assertEqual(self.flow._next_run(noon), datetime(2026, 1, 10, 12, 15))
        self.assertIn("every 15 minutes", self.flow.schedule_text)
        self.flow.interval_minutes = 0
        self.assertIs(self.flow._next_run(noon), False)
        self.assertFalse(self.flow.next_run_at)
        self.assertEqual(self.flow.schedule_text, "Only notifications and buttons.")

    def test_times_of_day(self):
        with freeze_time("2026-03-28 12:00"):
            self.flow.write({"schedule_kind": "daily", "schedule_times": "18:30 6:00"})
        self.assertEqual(self.flow.next_run_at, datetime(2026, 3, 28, 17, 30))
        # that night the clock is put forward
        self.assertEqual(
            self.flow._next_run(datetime(2026, 3, 28, 17, 30)), datetime(2026, 3, 29, 4)
        )
        self.flow.schedule_days = "workdays"
        self.assertEqual(
            self.flow._next_run(datetime(2026, 3, 28, 17, 30)), datetime(2026, 3, 30, 4)
        )
        self.flow.schedule_days = "2"
        self.assertEqual(self.flow._next_run(datetime(2026, 3, 28)), datetime(2026, 4, 1, 4))
        self.assertIn("Wednesdays", self.flow.schedule_text)
        self.assertIn("Europe/Berlin", self.flow.schedule_text)
        self.flow.enabled = False
        self.assertFalse(self.flow.next_run_at)

    def test_what_is_no_time_is_refused(self):
        for text in ("", "noon", "6:00 25:00"):
            with self.subTest(text), self.assertRaisesRegex(ValidationError, "06:00, 12:30"):
                self.flow.write({"schedule_kind": "daily", "schedule_times": text})

    def test_scheduled_work_waits_for_the_end_of_quiet_hours(self):
        self.flow.write({"interval_minutes": 60, "quiet_from": 22, "quiet_to": 6})
        late = datetime(2026, 1, 10, 20, 30)
        self.flow.quiet_hours = "heavy"
        self.assertEqual(self.flow._next_run(late), datetime(2026, 1, 10, 21, 30))
        self.flow.quiet_hours = "scheduled"
        self.assertEqual(self.flow._next_run(late), datetime(2026, 1, 11, 5))
        self.assertIn("22:00 to 06:00", self.flow.schedule_text)
        with freeze_time("2026-01-10 23:00"):
            self.flow._schedule()
            self.assertEqual(self.flow.next_run_at, datetime(2026, 1, 11, 5))

    def test_heavy_work_has_hours(self):
        with freeze_time("2026-01-10 12:00"):
            # people work from 6:00 to 22:00, that is from 5:00 to 21:00 in UTC
            self.flow.write({"quiet_hours": "heavy", "quiet_from": 6, "quiet_to": 22})
            self.assertTrue(self.flow.heavy_waits)
        self.assertEqual(self.flow.heavy_from, datetime(2026, 1, 10, 21))
        self.assertEqual(self.flow.heavy_until, datetime(2026, 1, 11, 5))
        with freeze_time("2026-01-10 23:00"):
            self.env["integration.flow"]._step_quiet_hours()
            self.env.invalidate_all()
            self.assertFalse(self.flow.heavy_waits)
        self.assertEqual(self.flow.heavy_from, datetime(2026, 1, 10, 21), "nothing to change yet")
        with freeze_time("2026-01-11 05:00:03"):
            self.env["integration.flow"]._step_quiet_hours()
        self.assertEqual(self.flow.heavy_from, datetime(2026, 1, 11, 21))
        with freeze_time("2026-01-11 22:00"):
            self.flow.quiet_to = 20
            self.assertLessEqual(self.flow.heavy_from, datetime(2026, 1, 11, 22))
            self.assertEqual(self.flow.heavy_until, datetime(2026, 1, 12, 5))
        self.flow.quiet_hours = False
        self.assertFalse(self.flow.heavy_from)
        self.assertFalse(self.flow.heavy_until)

    def test_readings_are_planned_by_the_schedule(self):
        self.flow.write({"schedule_kind": "daily", "schedule_times": "6:00", "interval_minutes": 0})
        planned = self.flow.next_run_at
        self.flow.next_run_at = fields.Datetime.now()
        self.env["integration.watchdog"]._plan_listings()
        self.assertEqual(self.flow.next_run_at, planned)
        listing = self.env["integration.sync.log"].search([("flow_id", "=", self.flow.id)])
        self.assertEqual((listing.kind, listing.trigger), ("listing", "schedule"))

    def test_heavy_operations_wait_for_the_end_of_quiet_hours(self):
        self.service.put("c1", "One")
        self.service.put("c2", "Two")
        Operation = self.env["integration.sync.log"]
        heavy = Operation._append(self.flow, [Change("c1")], "backfill")
        live = self.append("c2")
        self.flow.heavy_from = fields.Datetime.now() + timedelta(hours=1)
        self.drain()
        self.assertEqual(self.states(heavy | live), ["pending", "done"])
        self.assertEqual(self.engine._flows_to_wake(), [])
        self.flow.heavy_from = fields.Datetime.now() - timedelta(hours=1)
        self.env.flush_all()
        self.assertEqual(self.engine._flows_to_wake(), [self.flow.id])
        self.drain()
        self.assertEqual(self.states(heavy), ["done"])

    def test_quiet_hours_have_limits(self):
        for begin, end in ((24, 6), (-1, 6), (6, 6), (6, 24)):
            with self.subTest((begin, end)), self.assertRaises(ValidationError):
                self.flow.write({"quiet_hours": "heavy", "quiet_from": begin, "quiet_to": end})

    def test_state_of_the_flow(self):
        self.assertFalse(self.flow.oldest_waiting_at)
        self.service.put("c1", "One")
        self.append("c1")
        self.drain()
        operations = self.append("c2", "c3")
        self.env.cr.execute(
            "UPDATE integration_sync_log SET create_date = '2026-01-10 12:00' WHERE id = %s",
            [operations[0].id],
        )
        self.env.invalidate_all()
        self.assertEqual(self.flow.waiting_count, 2)
        self.assertEqual(self.flow.oldest_waiting_at, datetime(2026, 1, 10, 12))
        self.assertEqual(self.flow.hourly_count, 1)
