import json
from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import new_test_user, tagged
from odoo.tools import mute_logger

from ..lib.errors import (
    ConflictError,
    InvalidPayloadError,
    NotReadyError,
    RateLimitedError,
    RequestRefused,
    RetryableError,
)
from ..lib.records import Item
from .common import IntegrationCase


class Calls:
    """Stands for a service: counts what it is asked, and answers what the test says."""

    def __init__(self, *answers, recovered=None):
        self.answers = list(answers)
        self.recovered = recovered
        self.keys = []
        self.asked = []

    def call(self, key):
        self.keys.append(key)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def recover(self, key):
        self.asked.append(key)
        if isinstance(self.recovered, Exception):
            raise self.recovered
        return self.recovered


class IntentCase(IntegrationCase):
    def setUp(self):
        super().setUp()
        self.payment = self.env["res.partner"].create({"name": "Payment 7"})

    def send(self, calls, key=None, request=None, **options):
        with (
            self.enter_registry_test_mode(),
            self.backend._intent("refund", self.payment, key, request) as intent,
        ):
            return intent.send(calls.call, calls.recover, **options)

    def failure(self, error_class, text, *arguments, **options):
        """Return the error of :meth:`send`; Odoo's assertRaises would roll back what it leaves."""
        try:
            self.send(*arguments, **options)
        except error_class as error:
            self.assertIn(text, str(error))
            return error
        self.fail(f"{error_class.__name__} was not raised")

    def intents(self):
        self.env.invalidate_all()
        return self.env["integration.intent"].search([("backend_id", "=", self.backend.id)])

    def pass_time(self, seconds):
        self.env.cr.execute(
            "UPDATE integration_intent SET started_at = started_at - %s * interval '1 second'",
            [seconds],
        )


@tagged("post_install", "-at_install")
class TestIntent(IntentCase):
    def test_stored_result_needs_no_call(self):
        calls = Calls({"id": "re_1", "parts": (1, 2)})
        first = self.send(calls)
        self.assertEqual(first, {"id": "re_1", "parts": [1, 2]})
        self.assertEqual(self.send(calls), first)
        self.assertEqual(len(calls.keys), 1)
        intent = self.intents()
        self.assertEqual((intent.outcome, intent.attempts), ("sent", 1))
        self.assertEqual(intent.display_name, "refund of Payment 7")
        self.assertEqual(calls.asked, [])

    def test_keys_tell_repetitions_on_one_record_apart(self):
        calls = Calls({"id": "re_1"}, {"id": "re_2"})
        self.assertEqual(self.send(calls, "1"), {"id": "re_1"})
        self.assertEqual(self.send(calls, "2"), {"id": "re_2"})
        self.assertEqual(len(set(calls.keys)), 2)

    def test_what_happened_is_adopted(self):
        calls = Calls(RetryableError("time-out"), recovered={"id": "re_1"})
        self.failure(RetryableError, "time-out", calls)
        self.assertEqual(self.intents().outcome, "unknown")
        self.assertEqual(self.send(calls), {"id": "re_1"})
        self.assertEqual(len(calls.keys), 1)
        self.assertEqual(calls.asked, calls.keys)
        self.assertEqual(self.intents().outcome, "sent")

    def test_what_did_not_happen_is_sent_again_when_it_can_no_longer_arrive(self):
        calls = Calls(RetryableError("time-out"), {"id": "re_1"})
        self.failure(RetryableError, "", calls)
        error = self.failure(NotReadyError, "may still arrive", calls)
        self.assertGreater(error.retry_after, 30)
        self.assertEqual(len(calls.keys), 1)
        self.pass_time(61)
        self.assertEqual(self.send(calls), {"id": "re_1"})
        self.assertEqual(calls.keys[0], calls.keys[1])

    def test_honoured_keys_are_sent_again_at_once(self):
        calls = Calls(RetryableError("time-out"), {"id": "re_1"})
        self.failure(RetryableError, "", calls, late_seconds=0)
        self.assertEqual(self.send(calls, late_seconds=0), {"id": "re_1"})
        self.assertEqual(calls.keys[0], calls.keys[1])

    def test_error_saved_under_the_key_does_not_last(self):
        error = RetryableError("HTTP 500")
        calls = Calls(error, error, {"id": "re_1"})
        for _try in range(2):
            self.failure(RetryableError, "500", calls, late_seconds=0)
        self.failure(NotReadyError, "may still arrive", calls, late_seconds=0)
        self.pass_time(61)
        self.assertEqual(self.send(calls, late_seconds=0), {"id": "re_1"})
        first, second, third = calls.keys
        self.assertEqual(first, second)
        self.assertEqual(third, f"{first}-2")

    def test_not_sent_is_sent_again_without_asking(self):
        calls = Calls(
            RetryableError("connection refused", outcome="not_sent"),
            RateLimitedError("slow down"),
            {"id": "re_1"},
        )
        self.failure(RetryableError, "", calls)
        self.assertEqual(self.intents().outcome, "not_sent")
        self.failure(RateLimitedError, "", calls)
        self.assertEqual(self.send(calls), {"id": "re_1"})
        self.assertEqual(calls.asked, [])
        self.assertEqual(len(set(calls.keys)), 1)
        self.assertEqual(self.intents().attempts, 3)

    def test_corrected_request_has_a_new_key(self):
        calls = Calls(RequestRefused("amount too large", status=400), {"id": "re_1"})
        self.failure(RequestRefused, "", calls, request={"amount": "12.00"})
        self.assertEqual(self.intents().outcome, "refused")
        self.assertIn("amount too large", self.intents().error)
        self.assertEqual(self.send(calls, request={"amount": "10.00"}), {"id": "re_1"})
        self.assertEqual(calls.asked, [])
        self.assertEqual(calls.keys[1], f"{calls.keys[0]}-2")
        self.assertFalse(self.intents().error)

    def test_broken_answer_and_bug_leave_the_outcome_open(self):
        for error in (InvalidPayloadError("truncated JSON"), KeyError("id")):
            calls = Calls(error, recovered={"id": "re_1"})
            self.failure(type(error), "", calls, key=str(error))
            self.assertEqual(self.send(calls, key=str(error)), {"id": "re_1"})

    def test_nothing_is_sent_while_the_service_cannot_tell(self):
        calls = Calls(RetryableError("time-out"), recovered=NotReadyError("in production"))
        self.failure(RetryableError, "", calls)
        self.pass_time(1000)
        self.failure(NotReadyError, "in production", calls)
        calls.recovered = RetryableError("connection refused", outcome="not_sent")
        self.failure(RetryableError, "connection refused", calls)
        self.assertEqual(self.intents().outcome, "unknown")
        self.assertEqual(len(calls.keys), 1)

    def test_other_contents_of_what_was_done_are_refused(self):
        calls = Calls({"id": "re_1"})
        self.send(calls, request={"amount": "10.00", "token": "canary-secret"})
        changed = {"amount": "12.00", "token": "canary-secret"}
        error = self.failure(ConflictError, "", calls, request=changed)
        self.assertIn("10.00", error.message)
        self.assertIn("12.00", error.message)
        self.assertNotIn("canary", error.message)
        self.assertNotIn("canary", self.intents().request)
        self.assertEqual(len(calls.keys), 1)

    def test_other_contents_after_a_lost_answer(self):
        calls = Calls(RetryableError("time-out"), recovered={"id": "re_1"})
        self.failure(RetryableError, "", calls, request={"amount": "10.00"})
        self.failure(ConflictError, "already carried out", calls, request={"amount": "12.00"})
        self.assertEqual(self.intents().outcome, "sent", "what was found is kept")
        self.assertEqual(self.send(calls, request={"amount": "10.00"}), {"id": "re_1"})
        self.assertEqual(len(calls.keys), 1)

    def test_other_contents_of_what_did_not_happen_have_a_new_key(self):
        calls = Calls(RetryableError("time-out"), {"id": "re_1"})
        self.failure(RetryableError, "", calls, request={"amount": "10.00"}, late_seconds=0)
        self.failure(NotReadyError, "", calls, request={"amount": "12.00"}, late_seconds=0)
        self.pass_time(61)
        self.assertEqual(
            self.send(calls, request={"amount": "12.00"}, late_seconds=0), {"id": "re_1"}
        )
        self.assertEqual(calls.keys[1], f"{calls.keys[0]}-2")

    def test_misuse_is_loud(self):
        calls = Calls({"id": "1"}, {"id": "2"})
        refund = self.backend._intent
        self.enterContext(self.enter_registry_test_mode())
        with self.assertRaisesRegex(RuntimeError, r"without send\(\)"), refund("r", self.payment):
            pass
        with refund("r", self.payment) as intent:
            intent.send(calls.call, calls.recover)
            with self.assertRaisesRegex(RuntimeError, "twice"):
                intent.send(calls.call, calls.recover)
        with refund("r", self.payment) as intent:
            with self.assertRaisesRegex(RuntimeError, "nested"), refund("r", self.payment):
                pass
            with refund("r", self.payment, "other") as other:
                other.send(calls.call, calls.recover)
            intent.send(calls.call, calls.recover)
        new = self.env["res.partner"].new()
        with self.assertRaisesRegex(ValueError, "saved record"), refund("r", new):
            pass
        with self.assertRaises(ValueError), refund("r", self.env["res.partner"]):
            pass
        # an error of the body is not covered by a complaint about send()
        with self.assertRaises(ZeroDivisionError), refund("r", self.payment, "body"):
            raise ZeroDivisionError

    def test_result_has_to_be_json(self):
        calls = Calls(None, object())
        self.failure(TypeError, "returned None", calls, "none")
        self.failure(TypeError, "JSON", calls, "object")

    def test_neutralized_copy_sends_nothing(self):
        self.env["ir.config_parameter"].set_param("database.is_neutralized", "True")
        calls = Calls({"id": "re_1"})
        self.failure(Exception, "neutralized", calls)
        self.assertFalse(calls.keys)

    def test_manager_decides_what_nobody_can_tell(self):
        calls = Calls(
            RetryableError("time-out"), {"id": "re_1"}, recovered=NotReadyError("who knows")
        )
        self.failure(RetryableError, "", calls)
        intent = self.intents()
        self.assertIn(intent, intent.search([("is_lost", "=", True)]))
        operator = new_test_user(
            self.env, "intent-operator", "integration_base.group_integration_operator"
        )
        with self.assertRaisesRegex(UserError, "Integration Manager"):
            intent.with_user(operator).action_not_done()
        with self.assertRaises(AccessError):
            intent.with_user(operator).write({"outcome": "void"})
        manager = new_test_user(
            self.env, "intent-manager", "integration_base.group_integration_manager"
        )
        intent.with_user(manager).action_not_done()
        self.assertIn("intent-manager", intent.error)
        self.assertEqual(self.send(calls), {"id": "re_1"})
        self.assertEqual(calls.keys[1], f"{calls.keys[0]}-2")
        with self.assertRaisesRegex(UserError, "is known"):
            self.intents().with_user(manager).action_not_done()

    def test_call_under_way_is_lost_only_after_a_while(self):
        self.send(Calls({"id": "re_1"}))
        intent = self.intents()
        self.env.cr.execute("UPDATE integration_intent SET outcome = 'new'")
        self.env.invalidate_all()
        self.assertFalse(intent.is_lost)
        self.assertFalse(intent.search([("is_lost", "=", True)]))
        intent.started_at = fields.Datetime.now() - timedelta(hours=1)
        self.assertTrue(intent.is_lost)
        self.assertEqual(intent.search([("is_lost", "=", True)]), intent)

    def test_other_companies_see_nothing(self):
        self.send(Calls({"id": "re_1"}))
        company = self.env["res.company"].create({"name": "Other"})
        other = new_test_user(
            self.env,
            "intent-other",
            "integration_base.group_integration_operator",
            company_id=company.id,
            company_ids=[(6, 0, company.ids)],
        )
        self.assertFalse(self.env["integration.intent"].with_user(other).search([]))


@tagged("post_install", "-at_install")
class TestIntentBatch(IntentCase):
    def setUp(self):
        super().setUp()
        self.Intent = self.env["integration.intent"]
        self.partners_out = self.env["res.partner"].create(
            [{"name": f"Partner {number}"} for number in range(3)]
        )
        self.recovered = {}
        self.honours_keys = False
        resource = self.registry["integration.fake.contact"]
        self.patch(resource, "_recover", lambda resource, backend, items: self.recover(items))
        self.patch(resource, "_resource_honours_keys", property(lambda resource: self.honours_keys))

    def recover(self, items):
        for item in items:
            item.external_id = self.recovered.get(item.record.name, "")

    def items(self):
        return [
            Item(number, "", record.name, record=record)
            for number, record in enumerate(self.partners_out, 1)
        ]

    def begin(self, items):
        self.env.flush_all()
        with self.enter_registry_test_mode(), self.registry.cursor() as cr:
            return self.Intent._begin(cr, self.backend, "contact", items, "token")

    def find_out(self, items):
        with self.enter_registry_test_mode(), self.registry.cursor() as cr:
            self.Intent._recover(cr, self.backend, "contact", items, "token")

    def try_again(self):
        """Return the items of another try, after what became of the last one was found out."""
        items = self.items()
        self.find_out(self.begin(items))
        return items

    def settle(self, items, error=None):
        with self.enter_registry_test_mode(), self.registry.cursor() as cr:
            self.Intent._settle(cr, items, error)

    def outcomes(self):
        return {intent.label: intent.outcome for intent in self.intents()}

    def test_costs_two_statements_and_one(self):
        items = self.items()
        self.env["ir.config_parameter"].get_param("database.uuid")
        self.env.flush_all()
        self.partners_out.mapped("display_name")
        cr = self.env.cr
        with patch.object(cr, "commit", lambda: None):
            with self.assertQueryCount(2):
                self.assertEqual(
                    self.Intent._begin(cr, self.backend, "contact", items, "token"), []
                )
            for item in items:
                item.external_id = f"x{item.operation_id}"
            with self.assertQueryCount(1):
                self.Intent._settle(cr, items)
        self.assertEqual(set(self.outcomes().values()), {"sent"})
        self.assertEqual(len(self.intents()), 3)

    def test_created_once_also_when_the_work_is_rolled_back(self):
        items = self.items()
        self.begin(items)
        keys = [item.idempotency_key for item in items]
        for item in items:
            item.external_id = f"x{item.operation_id}"
        self.settle(items)
        again = self.items()
        self.assertEqual(self.begin(again), [])
        self.assertEqual([item.external_id for item in again], ["x1", "x2", "x3"])
        self.assertEqual([item.idempotency_key for item in again], keys)
        # what is adopted is not settled a second time
        again[0].external_id = "other"
        self.settle(again)
        self.assertIn('"x1"', self.intents().mapped("result"))

    def test_each_record_has_its_outcome(self):
        items = self.items()
        self.begin(items)
        items[0].external_id = "x1"
        items[1].fail(RequestRefused("no such country", status=422))
        self.settle(items, RetryableError("time-out"))
        self.assertEqual(
            self.outcomes(), {"Partner 0": "sent", "Partner 1": "refused", "Partner 2": "unknown"}
        )
        again = self.items()
        lost = self.begin(again)
        self.assertEqual([item.label for item in lost], ["Partner 2"])
        self.assertEqual(again[0].external_id, "x1")
        self.assertTrue(again[1].idempotency_key.endswith("-2"))
        self.assertEqual(again[2].idempotency_key, items[2].idempotency_key)

    def lose_answers(self):
        items = self.items()
        self.begin(items)
        self.settle(items, RetryableError("time-out"))
        again = self.items()
        self.assertEqual(self.begin(again), again)
        return again

    def test_lost_answers_are_looked_up_before_anything_is_sent(self):
        self.recovered = {"Partner 1": "x2"}
        items = self.lose_answers()
        self.find_out(items)
        self.assertEqual(items[1].external_id, "x2")
        self.assertTrue(items[1].alive)
        for item in (items[0], items[2]):
            self.assertIsInstance(item.error, NotReadyError)
            self.assertIn("may still arrive", item.error.message)
        self.settle(items)
        self.assertEqual(
            self.outcomes(), {"Partner 0": "unknown", "Partner 1": "sent", "Partner 2": "unknown"}
        )
        self.pass_time(61)
        last = self.items()
        lost = self.begin(last)
        self.find_out(lost)
        self.assertTrue(all(item.alive for item in last))
        self.assertEqual([item.external_id for item in last], ["", "x2", ""])
        self.assertEqual(last[0].idempotency_key, items[0].idempotency_key)

    def test_resource_says_how_late_a_request_may_arrive(self):
        resource = self.registry["integration.fake.contact"]
        self.patch(resource, "_resource_late_seconds", 15)
        self.lose_answers()
        self.pass_time(14)
        early = self.try_again()
        self.assertIsInstance(early[0].error, NotReadyError)
        self.pass_time(2)
        late = self.try_again()
        self.assertTrue(all(item.alive for item in late))

    def test_honoured_keys_are_sent_again_at_once(self):
        self.honours_keys = True
        items = self.lose_answers()
        self.find_out(items)
        self.assertTrue(all(item.alive for item in items))
        self.settle(items, RetryableError("HTTP 500"))
        # the error may be saved under the key: another one, after the lost request can have come
        third = self.try_again()
        self.assertIsInstance(third[0].error, NotReadyError)
        self.pass_time(61)
        fourth = self.try_again()
        self.assertEqual(fourth[0].idempotency_key, f"{items[0].idempotency_key}-2")
        self.assertTrue(fourth[0].alive)

    def test_failed_look_up_says_nothing_about_the_creation(self):
        items = self.lose_answers()
        error = RetryableError("connection refused", outcome="not_sent")
        with (
            patch.object(type(self), "recover", side_effect=error),
            self.assertRaises(RetryableError),
        ):
            self.find_out(items)
        self.settle(items, error)
        self.assertEqual(set(self.outcomes().values()), {"unknown"})

    def test_killed_process_leaves_an_unknown_outcome(self):
        self.begin(self.items())
        again = self.items()
        self.assertEqual(self.begin(again), again)

    def test_unlinked_record_is_created_anew(self):
        items = self.items()
        self.begin(items)
        for item in items:
            item.external_id = f"x{item.operation_id}"
        self.settle(items)
        bindings = self.env["integration.binding"]._bind(
            self.backend, "contact", {item.external_id: item.record for item in items}
        )
        bindings[0].unlink()
        again = self.items()
        self.assertEqual(self.begin(again), [])
        self.assertEqual([item.external_id for item in again], ["", "x2", "x3"])
        self.assertEqual(again[0].idempotency_key, f"{items[0].idempotency_key}-2")

    @mute_logger("odoo.sql_db")
    def test_results_are_json(self):
        items = self.items()[:1]
        self.begin(items)
        items[0].external_id = 'gid://shop/Product/1"\\'
        self.settle(items)
        self.assertEqual(json.loads(self.intents().result), items[0].external_id)
        again = self.items()[:1]
        self.begin(again)
        self.assertEqual(again[0].external_id, items[0].external_id)
