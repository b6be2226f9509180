from datetime import timedelta

from odoo import fields
from odoo.tests import tagged
from odoo.tools import mute_logger

from .common import IntegrationCase

WATCHDOG = "odoo.addons.integration_base.models.integration_watchdog"


@tagged("post_install", "-at_install")
class TestWatchdog(IntegrationCase):
    def setUp(self):
        super().setUp()
        self.env["queue.job"].search([("identity_key", "like", "integration.")]).unlink()
        self.flow.interval_minutes = 0

    def heartbeats(self):
        return self.env["queue.job"].search([("identity_key", "=", "integration.heartbeat")])

    def drains(self):
        return self.env["queue.job"].search([("identity_key", "like", "integration.drain.")])

    def keep_alive(self):
        self.env.flush_all()
        with self.enter_registry_test_mode():
            self.watchdog._keep_alive()
        self.env.invalidate_all()

    def incidents(self):
        return self.env["integration.incident"].search(
            [("kind", "=", "watchdog"), ("state", "=", "open")]
        )

    def test_missing_heartbeat_is_recreated_once(self):
        self.keep_alive()
        self.keep_alive()
        self.assertEqual(self.heartbeats().mapped("state"), ["pending"])

    def test_failed_jobs_of_ours_are_cleared(self):
        self.engine._wake(self.flow.ids)
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE queue_job SET state = 'failed' WHERE identity_key LIKE 'integration.drain.%'"
        )
        self.append("c1")
        self.keep_alive()
        self.assertEqual(self.drains().mapped("state"), ["pending"], "a new one does the work")

    def test_step_that_fails_does_not_hold_up_the_others(self):
        self.append("c1")

        def broken(watchdog):
            raise ZeroDivisionError

        self.patch(type(self.watchdog), "_plan_listings", broken)
        with mute_logger(WATCHDOG):
            self.keep_alive()
        self.assertEqual(len(self.drains()), 1)

    def test_work_goes_on_without_a_runner_and_is_reported(self):
        self.keep_alive()
        self.service.put("c1", "One")
        operation = self.append("c1")
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE queue_job SET eta = %s WHERE identity_key = 'integration.heartbeat'",
            [fields.Datetime.now() - timedelta(minutes=5)],
        )
        self.keep_alive()
        self.assertEqual(operation.state, "done")
        self.assertEqual(self.incidents().key, "runner")
        self.env.cr.execute(
            "UPDATE queue_job SET eta = %s WHERE identity_key = 'integration.heartbeat'",
            [fields.Datetime.now()],
        )
        self.keep_alive()
        self.assertFalse(self.incidents())

    def test_work_nobody_does_is_reported(self):
        self.keep_alive()
        operation = self.append("c1")
        operation.next_attempt_at = fields.Datetime.now() - timedelta(minutes=3)
        self.keep_alive()
        self.assertEqual(self.incidents().flow_id, self.flow)
        operation.unlink()
        self.keep_alive()
        self.assertFalse(self.incidents())

    def test_wake_up_is_not_swallowed_by_one_planned_for_later(self):
        self.engine._wake(self.flow.ids, 20)
        self.engine._wake(self.flow.ids)
        self.engine._wake(self.flow.ids)
        self.assertEqual(sorted(bool(job.eta) for job in self.drains()), [False, True])
