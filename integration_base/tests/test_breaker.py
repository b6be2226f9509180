from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import UserError
from odoo.tests import tagged, users
from odoo.tests.common import new_test_user
from odoo.tools import mute_logger

from ..lib.breaker import BreakerPolicy
from .common import IntegrationCase

BREAKER = "odoo.addons.integration_base.models.integration_breaker"


@tagged("post_install", "-at_install")
class TestBreaker(IntegrationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for role in ("user", "operator"):
            new_test_user(
                cls.env,
                f"breaker_{role}",
                groups=f"base.group_user,integration_base.group_integration_{role}",
            )

    def setUp(self):
        super().setUp()
        self.Breaker = self.env["integration.breaker"]
        self.woken = set()

    def note(self, calls, failures, error=""):
        self.env.flush_all()
        with self.enter_registry_test_mode(), self.registry.cursor() as cr:
            self.Breaker._note(cr, self.backend.id, calls, failures, error)
            waking = cr.postcommit.data.pop("integration_flows", set())
            self.woken |= waking
        self.env.invalidate_all()

    def breaker(self):
        breaker = self.backend.breaker_ids
        breaker.invalidate_recordset()
        return breaker

    def incidents(self):
        return self.env["integration.incident"].search(
            [("backend_id", "=", self.backend.id), ("kind", "=", "breaker")]
        )

    def probe(self, forced=False):
        return self.Breaker._begin_probe(self.env.cr, self.backend.id, forced)

    def time_passes(self):
        self.breaker().open_until = fields.Datetime.now()
        self.env.flush_all()

    def test_good_calls_cost_one_statement(self):
        self.note(1, 0)
        with self.assertQueryCount(0):
            self.Breaker._note(self.env.cr, self.backend.id, 0, 0)
        with self.assertQueryCount(1):
            self.Breaker._note(self.env.cr, self.backend.id, 7, 0)
        self.assertEqual((self.breaker().calls, self.breaker().recent_calls), (8, 8))

    def test_opens_tells_once_and_closes(self):
        self.backend.name = "Shop"
        self.note(1, 0)
        for _ in range(4):
            self.note(1, 1)
        self.assertEqual(self.breaker().state, "closed")
        self.note(1, 1, "Shop answered HTTP 503.")
        breaker = self.breaker()
        self.assertEqual((breaker.state, self.backend.breaker_state), ("open", "open"))
        wait = (breaker.open_until - fields.Datetime.now()).total_seconds()
        self.assertTrue(10 < wait <= 16, wait)
        incident = self.incidents()
        self.assertEqual(incident.state, "open")
        for text in ("Shop has not answered", "Shop answered HTTP 503.", "Nothing is lost"):
            self.assertIn(text, incident.message)
            self.assertIn(text, self.backend.breaker_message)
        self.assertFalse(self.probe(), "too early")
        self.time_passes()
        self.assertTrue(self.probe())
        self.assertEqual(self.breaker().state, "half_open")
        self.assertFalse(self.probe(), "one at a time")
        self.note(1, 1)
        self.assertEqual((self.breaker().state, self.breaker().openings), ("open", 2))
        self.assertEqual(self.breaker().last_error, "Shop answered HTTP 503.")
        self.assertEqual(len(self.incidents()), 1)
        self.time_passes()
        self.assertTrue(self.probe())
        self.note(3, 0)
        breaker = self.breaker()
        self.assertEqual((breaker.state, breaker.openings), ("closed", 0))
        self.assertFalse(breaker.opened_at or breaker.open_until or breaker.last_error)
        self.assertFalse(self.backend.breaker_message)
        self.assertEqual(self.incidents().state, "closed")

    def test_dead_probe_frees_itself_after_a_minute(self):
        self.note(5, 5)
        self.time_passes()
        self.assertTrue(self.probe())
        left = (self.breaker().open_until - fields.Datetime.now()).total_seconds()
        self.assertTrue(58 < left <= 61, left)
        self.time_passes()
        self.assertTrue(self.probe())

    def test_probe_without_a_call_lets_the_next_one_ask(self):
        self.note(5, 5)
        self.time_passes()
        self.assertTrue(self.probe())
        self.note(0, 0)
        self.assertFalse(self.probe())
        self.Breaker._end_probe(self.env.cr, self.backend.id)
        self.assertTrue(self.probe())
        self.note(1, 0)
        self.Breaker._end_probe(self.env.cr, self.backend.id)
        self.assertEqual(self.breaker().state, "closed")

    def test_person_who_waits_probes_at_once(self):
        self.assertFalse(self.probe(forced=True), "no breaker, no probe")
        self.note(5, 5)
        self.assertFalse(self.probe())
        self.assertTrue(self.probe(forced=True))

    def test_opens_on_the_share_of_recent_calls(self):
        self.note(12, 0)
        self.note(10, 9)
        self.assertEqual(self.breaker().state, "closed")
        self.breaker().half_until = fields.Datetime.now() - timedelta(seconds=1)
        self.env.flush_all()
        self.note(4, 3)
        self.assertEqual(self.breaker().state, "closed", "12 of 26")
        self.assertEqual((self.breaker().calls, self.breaker().previous_calls), (4, 22))
        self.note(4, 3)
        self.assertEqual(self.breaker().state, "open", "15 of 30")

    def test_connector_says_how_patient_to_be(self):
        connector = self.registry["integration.connector.fake"]
        with patch.object(connector, "_connector_breaker", BreakerPolicy(failures_in_row=2)):
            self.note(2, 2)
        self.assertEqual(self.breaker().state, "open")

    def test_last_failed_exchange_is_the_reason(self):
        exchange = {
            "backend_id": self.backend.id,
            "company_id": self.backend.company_id.id,
            "at": fields.Datetime.now(),
            "method": "GET",
            "url": "x",
            "name": "x",
        }
        for status, error in ((404, "first"), (500, "HTTP 500: no reason given."), (200, "")):
            values = {**exchange, "status": status, "error": error}
            self.env["integration.exchange"].create(values)
        self.env.flush_all()
        self.note(5, 5)
        self.assertEqual(self.breaker().last_error, "HTTP 500: no reason given.")

    def test_waiting_operations_go_on_when_it_closes(self):
        operations = self.append("c1", "c2")
        later = fields.Datetime.now() + timedelta(hours=1)
        operations.next_attempt_at = later
        operations[0].error_class = "retryable"
        operations[1].error_class = "not_ready"
        self.note(5, 5)
        self.assertEqual(operations.mapped("next_attempt_at"), [later] * 2)
        self.assertTrue(self.probe(forced=True))
        self.note(1, 0)
        operations.invalidate_recordset()
        self.assertLess(operations[0].next_attempt_at, later)
        self.assertEqual(operations[1].next_attempt_at, later)
        self.assertIn(self.flow.id, self.woken)

    def test_successful_test_of_the_connection_closes(self):
        self.note(5, 5)
        with self.enter_registry_test_mode():
            self.backend.action_test_connection()
        self.assertEqual(self.breaker().state, "closed")
        self.assertEqual(self.incidents().state, "closed")

    def test_service_is_spared_even_if_nobody_can_be_told(self):
        Incident = self.registry["integration.incident"]
        with (
            patch.object(Incident, "_raise", side_effect=ZeroDivisionError),
            mute_logger(BREAKER),
        ):
            self.note(5, 5)
        self.assertEqual(self.breaker().state, "open")

    @users("breaker_operator", "breaker_user")
    def test_operator_may_ask_again(self):
        self.note(5, 5)
        backend = self.backend.with_env(self.env)
        if self.env.user.login == "breaker_user":
            with self.assertRaises(UserError):
                backend.action_probe_now()
            self.assertFalse(self.probe())
            return
        backend.action_probe_now()
        self.env.flush_all()
        self.assertTrue(self.probe())
