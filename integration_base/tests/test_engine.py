from contextlib import closing
from datetime import datetime, timedelta
from unittest.mock import patch

import psycopg2

from odoo import fields
from odoo.exceptions import UserError
from odoo.tests import tagged
from odoo.tools import mute_logger

from ..lib.errors import (
    AddressError,
    AuthError,
    ConflictError,
    DependencyError,
    MappingError,
    MissingValue,
    NotReadyError,
    RateLimitedError,
    RetryableError,
    SkipRecord,
)
from ..lib.http import ExchangeRecord
from ..lib.records import Change
from ..models.integration_engine import LOCK_SEAT, LOCK_SLOT, MAX_SLOTS
from ..models.integration_exchange import record_exchange
from .common import FakeContact, IntegrationCase

ENGINE = "odoo.addons.integration_base.models.integration_settlement"


@tagged("post_install", "-at_install")
class TestEngine(IntegrationCase):
    def test_batch_is_fetched_and_written_as_a_set(self):
        for number in range(3):
            self.service.put(f"c{number}", f"Contact {number}")
        operations = self.append("c0", "c1", "c2")
        self.drain()
        self.assertEqual(self.states(operations), ["done"] * 3)
        self.assertEqual(self.service.fetches, [["c0", "c1", "c2"]])
        self.assertEqual(
            {key: partner.name for key, partner in self.partners().items()},
            {"c0": "Contact 0", "c1": "Contact 1", "c2": "Contact 2"},
        )
        self.assertEqual(operations[0].label, "Contact 0")
        self.assertEqual(operations[0].res_id, self.partners()["c0"].id)
        self.assertEqual(operations[0].attempts, 1)

    def test_operations_of_one_record_are_merged_into_the_newest(self):
        self.service.put("c1", "One")
        operations = self.append("c1", "c1", "c1")
        self.drain()
        self.assertEqual(self.states(operations), ["merged", "merged", "done"])
        self.assertEqual(operations[0].merged_into_id, operations[2])
        self.assertEqual(self.service.fetches, [["c1"]])

    def test_unchanged_record_is_not_written(self):
        self.service.put("c1", "One")
        self.append("c1")
        self.drain()
        self.service.put("c1", "One", datetime(2026, 11, 2))
        operation = self.append("c1")
        self.drain()
        self.assertEqual(self.service.applied, ["c1"])
        self.assertEqual(operation.state, "done")
        self.assertEqual(operation.message, "Unchanged.")

    def test_version_that_was_read_is_not_fetched_again(self):
        seen = datetime(2026, 11, 1, 10)
        self.service.put("c1", "One", seen)
        self.append("c1")
        self.drain()
        self.env["integration.binding"].search([]).fetched_at = seen + timedelta(seconds=10)
        again = self.append("c1", updated_at=seen)
        forced = self.append("c1", updated_at=seen)
        self.drain()
        self.assertEqual(len(self.service.fetches), 1)
        self.assertEqual(self.states(again | forced), ["merged", "done"])
        self.assertEqual(forced.message, "Unchanged.")
        self.append("c1", updated_at=seen + timedelta(seconds=1))
        self.drain()
        self.assertEqual(len(self.service.fetches), 2)
        # read in the very second of the change: a second change of that second may be unseen
        self.env["integration.binding"].search([]).fetched_at = seen + timedelta(seconds=1)
        self.append("c1", updated_at=seen)
        self.drain()
        self.assertEqual(len(self.service.fetches), 3)

    def test_refusal_of_odoo_is_explained(self):
        self.service.put("c1", "One")
        self.service.apply_errors["c1"] = UserError("The partner is blocked.")
        operation = self.append("c1")
        self.drain()
        self.assertEqual((operation.state, operation.error_class), ("dead", "odoo"))
        self.assertIn("One: Odoo does not accept it: The partner is blocked.", operation.message)

    def test_older_version_never_overwrites_a_newer_one(self):
        self.service.put("c1", "New", datetime(2026, 11, 2))
        self.append("c1")
        self.drain()
        self.service.put("c1", "Old", datetime(2026, 11, 1))
        operation = self.append("c1")
        self.drain()
        self.assertEqual(operation.state, "skipped")
        self.assertEqual(self.partners()["c1"].name, "New")

    def test_existing_record_is_matched_not_doubled(self):
        partner = self.env["res.partner"].create({"name": "Known", "ref": "c1"})
        self.service.put("c1", "One")
        self.append("c1")
        self.drain()
        self.assertEqual(self.partners()["c1"], partner)
        self.assertEqual(partner.name, "One")

    def test_deleted_record_is_imported_anew(self):
        self.service.put("c1", "One")
        self.append("c1")
        self.drain()
        self.partners()["c1"].unlink()
        operation = self.append("c1")
        self.drain()
        self.assertEqual(operation.state, "done")
        self.assertEqual(self.partners()["c1"].name, "One")

    def test_one_bad_record_leaves_its_neighbours_alone(self):
        names = [f"c{number:02}" for number in range(16)]
        for name in names:
            self.service.put(name, name)
        self.service.apply_errors["c05"] = ZeroDivisionError("division by zero")
        operations = self.append(*names)
        with mute_logger(ENGINE):
            self.drain()
        expected = ["dead" if name == "c05" else "done" for name in names]
        self.assertEqual(self.states(operations), expected)
        self.assertEqual(len(self.partners()), 15)
        self.assertFalse(self.env["res.partner"].search([("ref", "=", "c05")]))
        dead = operations[5]
        self.assertEqual(dead.error_class, "bug")
        self.assertIn("division by zero", dead.message)
        self.assertIn("Traceback", dead.detail)
        self.assertEqual(dead.attempt_ids.error_class, "bug")
        self.assertEqual(self.service.fetches, [names], "bisecting must not fetch again")

    def test_bad_payload_names_the_field(self):
        self.service.put("c1", "One")
        self.service.records["c2"] = {"id": "c2", "name": 7, "updated_at": "soon"}
        operations = self.append("c1", "c2")
        self.drain()
        self.assertEqual(self.states(operations), ["done", "dead"])
        dead = operations[1]
        self.assertEqual(dead.error_class, "invalid_payload")
        self.assertIn("name:", dead.message)
        self.assertIn("updated_at:", dead.message)
        self.assertIn('"soon"', dead.payload)

    def make_older(self, operation, age):
        """Make an operation look as if it had been appended earlier; it is due now."""
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE integration_sync_log SET create_date = create_date - %s::interval,"
            " next_attempt_at = create_date WHERE id = %s",
            [age, operation.id],
        )
        operation.invalidate_recordset()

    def test_vanished_record_is_skipped_with_the_reason(self):
        operation = self.append("gone")
        self.drain()
        self.assertEqual((operation.state, operation.attempts), ("pending", 0))
        self.assertIn("does not show it yet", operation.message)
        self.make_older(operation, "1 minute")
        self.drain()
        self.assertEqual(operation.state, "skipped")
        self.assertIn("gone no longer exists in Fake", operation.message)

    def test_record_that_shows_up_late_is_not_lost(self):
        operation = self.append("late")
        self.drain()
        self.service.put("late", "Late")
        operation.next_attempt_at = fields.Datetime.now() - timedelta(seconds=1)
        self.drain()
        self.assertEqual(operation.state, "done")

    def test_technical_failure_is_retried_and_then_dead(self):
        self.service.put("c1", "One")
        self.service.fetch_errors["c1"] = RetryableError("Service down")
        self.flow.max_attempts = 2
        operation = self.append("c1")
        self.drain()
        self.assertEqual(operation.state, "pending")
        self.assertEqual(operation.attempts, 1)
        self.assertGreater(operation.next_attempt_at, fields.Datetime.now())
        self.drain()
        self.assertEqual(len(self.service.fetches), 1, "not due yet")
        operation.next_attempt_at = fields.Datetime.now() - timedelta(hours=1)
        self.drain()
        self.assertEqual(operation.state, "dead")
        self.assertEqual(operation.attempt_ids.mapped("message"), ["Service down"] * 2)
        self.service.fetch_errors.clear()
        with self.enter_registry_test_mode():
            operation.action_retry()
        self.env.invalidate_all()
        self.assertEqual(operation.state, "done")

    def test_rate_limit_blocks_the_flow_and_uses_no_attempt(self):
        self.service.put("c1", "One")
        self.service.fetch_errors["c1"] = RateLimitedError("Slow down", retry_after=60)
        operation = self.append("c1")
        self.drain()
        self.assertEqual((operation.state, operation.attempts), ("pending", 0))
        self.assertGreater(self.flow.blocked_until, fields.Datetime.now() + timedelta(seconds=50))
        other = self.append("c2")
        self.drain()
        self.assertEqual(other.state, "pending", "the whole flow waits")

    def test_rate_limit_holds_up_a_backfill_as_a_whole_but_no_live_work(self):
        names = [f"c{number}" for number in range(6)]
        for name in names:
            self.service.put(name, name)
            self.service.fetch_errors[name] = RateLimitedError("Slow down", retry_after=60)
        self.flow.batch_size = 2
        changes = [Change(name) for name in names]
        backlog = self.env["integration.sync.log"]._append(self.flow, changes, "backfill")
        self.drain()
        self.assertEqual(len(self.service.fetches), 1, "the rest was not tried in vain")
        self.assertEqual(set(self.states(backlog)), {"pending"})
        self.service.fetch_errors.clear()
        live = self.append("c9")
        self.service.put("c9", "Live")
        self.drain()
        self.assertEqual(live.state, "done")
        self.assertEqual(set(self.states(backlog)), {"pending"})
        backlog.next_attempt_at = self.flow.heavy_from = fields.Datetime.now()
        self.drain()
        self.assertEqual(set(self.states(backlog)), {"done"})

    def test_what_was_read_before_the_limit_is_kept(self):
        names = ["c1", "c2", "c3", "c4", "c5"]
        for name in names:
            self.service.put(name, name)
        asked = []

        def read(name):
            asked.append(name)
            if name == "c2":
                raise ConflictError("Two of them.")
            if name == "c4":
                raise RateLimitedError("Slow down", retry_after=60)
            return None if name == "c1" else self.service.records[name]

        resource = self.registry["integration.fake.contact"]
        with patch.object(resource, "_fetch", lambda self, _b, ids: self._fetch_each(ids, read)):
            operations = self.append(*names)
            self.drain()
        self.assertEqual(asked, ["c1", "c2", "c3", "c4"])
        self.assertEqual(self.states(operations), ["pending", "dead", "done", "pending", "pending"])
        missing, _bad, _read, *waiting = operations.sorted("id")
        self.assertEqual(missing.error_class, "not_ready")
        for operation in waiting:
            self.assertEqual((operation.error_class, operation.attempts), ("rate_limited", 0))

    def test_not_ready_waits_without_an_attempt_but_not_for_ever(self):
        self.service.put("c1", "One")
        self.service.fetch_errors["c1"] = NotReadyError("Still being made", retry_after=60)
        operation = self.append("c1")
        self.drain()
        self.assertEqual((operation.state, operation.attempts), ("pending", 0))
        self.env.cr.execute(
            "UPDATE integration_sync_log SET waiting_since = waiting_since - interval '4 days',"
            " next_attempt_at = create_date WHERE id = %s",
            [operation.id],
        )
        operation.invalidate_recordset()
        self.assertEqual(operation.message, "Still being made", "people see what it waits for")
        self.drain()
        self.assertEqual(operation.state, "dead")
        operation._requeue()
        self.drain()
        self.assertEqual(operation.state, "pending", "after a retry it may wait again")

    def test_refused_credentials_pause_the_backend_and_tell_the_owner_once(self):
        self.backend.user_id = self.env.ref("base.user_admin")
        self.service.put("c1", "One")
        self.service.fetch_errors["c1"] = AuthError("The token was revoked.")
        operations = self.append("c1", "c2")
        self.drain()
        self.assertEqual(self.states(operations), ["pending", "pending"])
        self.assertEqual(operations.mapped("attempts"), [0, 0])
        self.assertEqual(self.backend.state, "paused")
        self.assertEqual(self.backend.pause_reason, "The token was revoked.")
        incident = self.incidents()
        self.assertEqual((incident.kind, incident.message), ("paused", "The token was revoked."))
        self.assertEqual(incident.activity_ids.user_id, self.backend.user_id)
        self.drain()
        self.assertEqual(len(self.service.fetches), 1, "a paused backend is not called")
        self.service.fetch_errors.clear()
        self.backend.action_test_connection()
        self.assertEqual((incident.state, incident.close_reason), ("closed", "Connected."))
        self.assertFalse(incident.activity_ids)
        self.drain()
        self.assertEqual(operations[0].state, "done")

    def test_address_that_must_not_be_called_pauses_the_backend(self):
        """Everything would fail the same way, for days, until a person corrects it."""
        self.service.put("c1", "One")
        self.service.fetch_errors["c1"] = AddressError("shop.example leads to 10.0.0.1.")
        operations = self.append("c1", "c2")
        self.drain()
        self.assertEqual(self.states(operations), ["pending", "pending"])
        self.assertEqual(operations.mapped("attempts"), [0, 0])
        self.assertEqual(self.backend.state, "paused")
        incident = self.incidents()
        self.assertEqual((incident.kind, incident.message),
                         ("paused", "shop.example leads to 10.0.0.1."))  # fmt: skip

    def test_skip_and_conflict_of_single_records(self):
        for name in ("c1", "c2", "c3"):
            self.service.put(name, name)
        self.service.apply_errors["c1"] = SkipRecord("Not for this company.")
        self.service.apply_errors["c2"] = ConflictError("Odoo says 1, the service says 2.")
        operations = self.append("c1", "c2", "c3")
        self.drain()
        self.assertEqual(self.states(operations), ["skipped", "dead", "done"])
        self.assertEqual(operations[0].message, "Not for this company.")
        self.assertEqual(operations[1].error_class, "conflict")

    def test_newer_success_closes_the_older_failure(self):
        self.service.put("c1", "One")
        self.service.apply_errors["c1"] = ConflictError("No.")
        dead = self.append("c1")
        self.drain()
        self.assertEqual(dead.state, "dead")
        incident = self.incidents()
        self.assertEqual((incident.count, incident.operation_id), (1, dead))
        self.assertEqual(len(incident.activity_ids), 1)
        self.service.apply_errors.clear()
        done = self.append("c1")
        self.drain()
        self.assertEqual((dead.state, dead.merged_into_id), ("merged", done))
        self.assertEqual(incident.state, "closed")
        self.assertFalse(incident.activity_ids)

    def test_transaction_conflicts_are_tried_again_as_a_whole(self):
        self.service.put("c1", "One")
        failures = [psycopg2.errors.SerializationFailure(), psycopg2.errors.DeadlockDetected()]
        resource = self.registry["integration.fake.contact"]
        original = resource._apply

        def flaky(resource, backend, items):
            if failures:
                raise failures.pop()
            return original(resource, backend, items)

        self.patch(resource, "_apply", flaky)
        operation = self.append("c1")
        self.drain()
        self.assertEqual((operation.state, operation.attempts), ("done", 1))
        self.assertFalse(operation.attempt_ids)

    def test_drains_in_each_others_way_become_one(self):
        self.flow.slots = 4
        self.service.put("c1", "One")
        self.service.apply_errors["c1"] = psycopg2.errors.SerializationFailure()
        self.append("c1")
        self.drain()
        self.assertGreater(self.flow.alone_until, fields.Datetime.now())
        self.append("c2")
        with self.enter_registry_test_mode(), self.engine._control_cursor() as ctl:
            facts = self.engine._facts(ctl, self.flow.id)
            self.assertEqual(facts.slots, 1)
            self.assertFalse(self.engine._claim(ctl, facts, 1), "the second stops")
            self.assertTrue(self.engine._claim(ctl, facts, 0))

    def test_conflicts_without_end_use_no_attempt_but_have_an_age(self):
        self.service.put("c1", "One")
        self.service.apply_errors["c1"] = psycopg2.errors.SerializationFailure()
        operation = self.append("c1")
        self.drain()
        self.assertEqual((operation.state, operation.attempts), ("pending", 0))
        self.assertIn("changed by other users", operation.message)
        operation.write(
            {
                "waiting_since": fields.Datetime.now() - timedelta(hours=73),
                "next_attempt_at": fields.Datetime.now() - timedelta(hours=1),
            }
        )
        self.drain()
        self.assertEqual(operation.state, "dead")

    def test_technical_failures_end_by_age(self):
        self.service.put("c1", "One")
        self.service.fetch_errors["c1"] = RetryableError("Service down")
        self.flow.max_attempts = 1000
        operation = self.append("c1")
        self.drain()
        self.assertEqual(operation.state, "pending")
        operation.write(
            {
                "first_failed_at": fields.Datetime.now() - timedelta(hours=73),
                "next_attempt_at": fields.Datetime.now() - timedelta(hours=1),
            }
        )
        self.drain()
        self.assertEqual(operation.state, "dead")

    def test_record_that_fails_every_fetch_soon_stands_alone(self):
        """Whatever is fetched together with it succeeds, and has attempts to spare."""
        names = [f"c{number:02}" for number in range(20)]
        for name in names:
            self.service.put(name, name)
        self.service.fetch_errors["c07"] = RetryableError("HTTP 500")
        operations = self.append(*names)
        for _attempt in range(12):
            operations.filtered(lambda op: op.state == "pending").next_attempt_at = (
                fields.Datetime.now() - timedelta(hours=1)
            )
            self.drain()
        expected = ["dead" if name == "c07" else "done" for name in names]
        self.assertEqual(self.states(operations), expected)
        self.assertLess(max(operations.filtered(lambda o: o.state == "done").mapped("attempts")), 6)

    def test_waits_for_the_record_it_needs(self):
        """What is missing is imported, and lets the waiting operation go on at once."""
        for name in ("c1", "c2"):
            self.service.put(name, name)
        self.service.apply_errors["c1"] = DependencyError(
            "c1 needs c2.", resource="contact", external_id="c2"
        )
        first = self.append("c1")
        resource = self.registry["integration.fake.contact"]
        original = resource._apply

        def apply(resource, backend, items):
            original(resource, backend, items)
            if any(item.external_id == "c2" for item in items):
                self.service.apply_errors.clear()

        self.patch(resource, "_apply", apply)
        self.drain()
        self.assertEqual((first.state, first.attempts), ("done", 1))
        second = self.env["integration.sync.log"].search([("key", "=", "c2")])
        self.assertEqual((second.state, second.trigger), ("done", "dependency"))
        self.assertFalse(first.depends_on)

    def test_live_work_overtakes_what_has_time(self):
        for name in ("b1", "b2", "live"):
            self.service.put(name, name)
        self.env["integration.sync.log"]._append(
            self.flow, [Change("b1"), Change("b2")], "backfill"
        )
        self.append("live")
        self.drain()
        self.assertEqual(self.service.fetches, [["live"], ["b1", "b2"]])

    def answer(self, status):
        """Let every fetch be a call that is answered with ``status``."""
        resource = self.registry["integration.fake.contact"]
        fetch = FakeContact._fetch

        def asked(resource, backend, external_ids):
            failed = status >= 500
            exchange = ExchangeRecord(
                "GET", "https://service.example.com/contacts", {}, "", status, {}, "", 5,
                f"HTTP {status}" if failed else "", datetime(2026, 11, 1),
            )  # fmt: skip
            record_exchange(backend, exchange)
            if failed:
                raise RetryableError(f"Fake answered HTTP {status}.")
            return fetch(resource, backend, external_ids)

        self.patch(resource, "_fetch", asked)

    def test_service_that_is_down_burns_no_operation(self):
        names = [f"c{number:03}" for number in range(100)]
        for name in names:
            self.service.put(name, name)
        self.flow.batch_size = 5
        operations = self.append(*names)
        self.answer(503)
        for _time in range(4):
            self.drain()
            self.env.cr.execute(
                "UPDATE integration_breaker SET open_until = now() - '1 s'::interval"
            )
        breaker = self.backend.breaker_ids
        self.assertNotEqual(breaker.state, "closed")
        self.assertLessEqual(max(operations.mapped("attempts")), 1)
        self.assertEqual(set(operations.mapped("state")), {"pending"})
        incident = self.env["integration.incident"].search([("state", "=", "open")])
        self.assertEqual(incident.mapped("kind"), ["breaker"])
        self.answer(200)
        self.drain()
        self.assertEqual(set(operations.mapped("state")), {"done"})
        self.assertEqual((breaker.state, incident.state), ("closed", "closed"))

    def test_deletion_is_followed_and_undone(self):
        self.service.put("c1", "One")
        self.append("c1")
        self.drain()
        partner = self.partners()["c1"]
        row = self.service.records.pop("c1")
        changes = [Change("c1", deleted=True)]
        operation = self.env["integration.sync.log"]._append(self.flow, changes, "webhook")
        self.drain()
        self.assertEqual((operation.state, partner.active), ("done", False))
        self.assertIn("was archived in Odoo", operation.message)
        binding = self.env["integration.binding"].search([("external_id", "=", "c1")])
        self.assertTrue(binding.deleted_at)
        self.service.records["c1"] = row
        self.append("c1")
        self.drain()
        self.assertEqual((partner.active, binding.deleted_at), (True, False))

    def test_many_deletions_at_once_ask_first(self):
        names = [f"c{number:02}" for number in range(12)]
        for name in names:
            self.service.put(name, name)
        self.append(*names)
        self.drain()
        self.service.records.clear()
        gone = [Change(name, deleted=True) for name in names]
        operations = self.env["integration.sync.log"]._append(self.flow, gone, "webhook")
        self.drain()
        self.assertEqual(set(operations.mapped("state")), {"pending"})
        self.assertTrue(all(partner.active for partner in self.partners().values()))
        self.assertIn("waits for your decision", self.flow.held_reason)
        self.assertNotIn(self.flow.id, self.engine._flows_to_wake())
        self.flow.action_accept_vanished()
        operations.next_attempt_at = fields.Datetime.now() - timedelta(hours=1)
        self.drain()
        self.assertEqual(set(operations.mapped("state")), {"done"})
        self.assertFalse(any(partner.active for partner in self.partners().values()))

    def test_edited_data_is_used_once_instead_of_a_fetch(self):
        self.service.put("c1", 7)
        operation = self.append("c1")
        self.drain()
        self.assertEqual(operation.error_class, "invalid_payload")
        edited = operation.payload.replace("7", '"Seven"')
        operation._edit_payload(edited, "The name is no number.")
        operation._requeue()
        self.drain()
        self.assertEqual((operation.state, operation.edited_payload), ("done", False))
        self.assertEqual(self.partners()["c1"].name, "Seven")
        self.assertEqual(len(self.service.fetches), 1)

    def test_heavy_work_waits_for_its_hours(self):
        self.service.put("c1", "One")
        operation = self.env["integration.sync.log"]._append(self.flow, [Change("c1")], "backfill")
        self.flow.heavy_from = fields.Datetime.now() + timedelta(hours=3)
        self.drain()
        self.assertEqual(operation.state, "pending")
        self.assertNotIn(self.flow.id, self.engine._flows_to_wake())
        self.flow.heavy_from = fields.Datetime.now() - timedelta(seconds=1)
        self.drain()
        self.assertEqual(operation.state, "done")

    def test_one_bad_among_256_costs_a_bounded_number_of_tries(self):
        """At most 2 x log2(256) tries more than without it, and the others are written once."""
        names = [f"c{number:03}" for number in range(256)]
        for name in names:
            self.service.put(name, name)
        self.flow.batch_size = 256
        self.service.apply_errors["c100"] = ZeroDivisionError("division by zero")
        tries = []
        importer = self.registry["integration.importer"]
        work = importer._work

        def counted(importer, batch, items):
            tries.append(len(items))
            return work(importer, batch, items)

        self.patch(importer, "_work", counted)
        operations = self.append(*names)
        with mute_logger(ENGINE):
            self.drain()
        self.assertLessEqual(len(tries), 1 + 2 * 8)
        self.assertEqual(len(self.partners()), 255)
        self.assertEqual(operations.filtered(lambda op: op.state == "dead").mapped("key"), ["c100"])
        self.assertEqual(len(self.service.fetches), 1)

    def claims(self):
        """Collect how many operations each claim took."""
        taken = []
        claim = type(self.engine)._claim

        def counted(engine, *args, **kwargs):
            found = claim(engine, *args, **kwargs)
            taken.append(len(found.operations) if found else 0)
            return found

        self.patch(type(self.engine), "_claim", counted)
        return taken

    def test_quick_batches_are_claimed_several_at_once(self):
        names = [f"c{number:03}" for number in range(60)]
        for name in names:
            self.service.put(name, name)
        self.flow.batch_size = 1
        operations = self.append(*names)
        taken = self.claims()
        self.drain()
        self.assertEqual(set(operations.mapped("state")), {"done"})
        self.assertEqual([len(ids) for ids in self.service.fetches], [1] * 60)
        self.assertLess(len(taken), 20)

    def test_what_was_claimed_ahead_is_given_back_when_the_service_stops(self):
        names = [f"c{number:03}" for number in range(60)]
        for name in names:
            self.service.put(name, name)
        self.flow.batch_size = 1
        operations = self.append(*names)
        self.service.fetch_errors["c005"] = RateLimitedError("Slow down", retry_after=60)
        self.drain()
        left = operations.filtered(lambda op: op.state == "pending")
        self.assertEqual(len(left), 55)
        self.assertEqual(set(left.mapped("attempts")), {0})
        self.assertEqual(len(self.service.fetches), 6)

    def test_copy_of_the_database_calls_nobody(self):
        self.service.put("c1", "One")
        operation = self.append("c1")
        self.env.cr.execute(
            "UPDATE integration_backend SET database_identity = '1/2' WHERE id = %s",
            [self.backend.id],
        )
        self.backend.invalidate_recordset()
        self.drain()
        self.assertEqual((operation.state, self.service.fetches), ("pending", []))
        self.assertNotIn(self.flow.id, self.engine._flows_to_wake())
        self.assertTrue(self.backend.in_foreign_database)
        with self.assertRaisesRegex(UserError, "was connected in another database"):
            self.backend.action_test_connection()
        self.backend.action_connect_here()
        self.drain()
        self.assertEqual(operation.state, "done")

    def test_backend_holds_no_more_than_its_seats(self):
        self.backend.max_drains = 1
        self.env.flush_all()
        operation = self.append("c1")
        with closing(self.registry._db.cursor()) as other:
            other.execute(
                "SELECT pg_advisory_lock(%s, %s)", [LOCK_SEAT, self.backend.id * MAX_SLOTS]
            )
            self.assertIn("enough drains", self.drain())
            # the connection goes back to the pool
            other.execute("SELECT pg_advisory_unlock_all()")
        self.assertEqual(operation.state, "pending")

    def test_orphan_of_a_dead_drain_is_freed(self):
        self.service.put("c1", "One")
        operation = self.append("c1")
        self.env.flush_all()
        with self.enter_registry_test_mode(), self.engine._control_cursor() as ctl:
            self.engine._claim(ctl, self.engine._facts(ctl, self.flow.id), 0)
        self.env.invalidate_all()
        self.assertEqual(operation.state, "running")
        self.watchdog._free_orphans()
        self.env.invalidate_all()
        self.assertEqual((operation.state, operation.crashes), ("pending", 1))
        self.drain()
        self.assertEqual(operation.state, "done")

    def test_killer_operation_ends_dead_and_alone(self):
        self.service.put("c1", "One")
        operation = self.append("c1")
        for _crash in range(5):
            self.env.flush_all()
            with self.enter_registry_test_mode(), self.engine._control_cursor() as ctl:
                self.engine._claim(ctl, self.engine._facts(ctl, self.flow.id), 0)
            self.watchdog._free_orphans()
            self.env.invalidate_all()
        self.assertEqual(operation.state, "dead")
        self.assertIn("died 5 times", operation.message)

    def test_operations_of_crashed_processes_are_tried_in_smaller_batches(self):
        self.flow.batch_size = 64
        names = [f"c{number:02}" for number in range(20)]
        for name in names:
            self.service.put(name, name)
        operations = self.append(*names)
        operations.write({"crashes": 1})
        self.drain()
        self.assertEqual([len(ids) for ids in self.service.fetches], [16, 4])

    def test_slot_is_taken_once(self):
        with (
            self.enter_registry_test_mode(),
            self.engine._control_cursor() as ctl,
            self.engine._slot(ctl, LOCK_SLOT, self.flow.id, range(1)) as first,
        ):
            self.assertEqual(first, 0)
            # the lock is re-entrant within one session, so look for it as others do
            self.env.cr.execute(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s"
                " AND objid = %s",
                [LOCK_SLOT, self.flow.id * MAX_SLOTS],
            )
            self.assertEqual(self.env.cr.fetchone()[0], 1)

    def test_lost_lease_rolls_everything_back(self):
        self.service.put("c1", "One")
        operation = self.append("c1")
        resource = self.registry["integration.fake.contact"]
        original = resource._apply

        def stolen(resource, backend, items):
            original(resource, backend, items)
            resource.env.cr.execute(
                "UPDATE integration_sync_log SET claim_token = 'other' WHERE id = %s",
                [operation.id],
            )

        self.patch(resource, "_apply", stolen)
        with mute_logger(ENGINE):
            self.drain()
        self.assertFalse(self.env["res.partner"].search([("ref", "=", "c1")]))

    def test_lost_lease_of_one_record_does_not_make_the_others_look_crashed(self):
        for name in ("c1", "c2"):
            self.service.put(name, name)
        operations = self.append("c1", "c2")
        stolen = []
        claimed = type(self.engine)._claim

        def claim(engine, ctl, *args):
            batch = claimed(engine, ctl, *args)
            if batch and not stolen:
                stolen.append(1)
                ctl.execute(
                    "UPDATE integration_sync_log SET claim_token = 'other' WHERE id = %s",
                    [operations[0].id],
                )
            return batch

        self.patch(type(self.engine), "_claim", claim)
        with mute_logger(ENGINE):
            self.drain()
        self.assertEqual(self.states(operations), ["running", "pending"])
        self.assertEqual(operations.mapped("crashes"), [0, 0])

    def test_late_notification_of_an_old_version_does_not_hide_the_new_one(self):
        old = datetime(2026, 11, 1, 10)
        self.service.put("c1", "One", old)
        self.append("c1")
        self.drain()
        self.env["integration.binding"].search([]).fetched_at = old + timedelta(minutes=1)
        for version in (old + timedelta(hours=1), None):
            name = f"as of {version}"
            self.service.put("c1", name, old + timedelta(hours=1))
            self.append("c1", updated_at=version)
            self.append("c1", updated_at=old)
            self.drain()
            self.assertEqual(self.partners()["c1"].name, name)

    def test_known_version_of_a_deleted_record_is_imported_anew(self):
        seen = datetime(2026, 11, 1, 10)
        self.service.put("c1", "One", seen)
        self.append("c1")
        self.drain()
        self.env["integration.binding"].search([]).fetched_at = seen + timedelta(minutes=1)
        self.partners()["c1"].unlink()
        operation = self.append("c1", updated_at=seen)
        self.drain()
        self.assertEqual(operation.state, "done")
        self.assertEqual(self.partners()["c1"].name, "One")

    @mute_logger(ENGINE, "odoo.sql_db")
    def test_errors_that_cannot_be_stored_end_in_a_state(self):
        for name, error in (
            ("c1", MappingError("Nothing said.", missing=[])),
            ("c2", MappingError("No value.", missing=[MissingValue("country", None)])),
            ("c3", ConflictError("a\0b\ud800c")),
        ):
            self.service.put(name, name)
            self.service.apply_errors[name] = error
        self.service.put("c4", "c4")
        operations = self.append("c1", "c2", "c3", "c4")
        self.drain()
        self.assertEqual(self.states(operations), ["dead"] * 3 + ["done"])
        self.assertIn("could not be stored", operations[1].message)
        self.assertEqual(operations[2].message, "a\N{REPLACEMENT CHARACTER}b?c")

    def test_telling_people_fails_without_harm(self):
        self.service.put("c1", "One")
        self.service.apply_errors["c1"] = ConflictError("No.")
        operation = self.append("c1")
        self.patch(
            type(self.env["integration.incident"]),
            "_refresh",
            lambda incident, flow_ids: 1 / 0,
        )
        with mute_logger(ENGINE):
            self.drain()
        self.assertEqual(operation.state, "dead")

    def test_a_record_at_work_is_not_due(self):
        self.append("c1")
        with self.enter_registry_test_mode(), self.engine._control_cursor() as ctl:
            self.assertTrue(self.engine._is_due(ctl, self.flow.id))
            self.engine._claim(ctl, self.engine._facts(ctl, self.flow.id), 0)
            self.append("c1")
            self.assertFalse(self.engine._is_due(ctl, self.flow.id), "drains would spin")

    def test_skipped_record_closes_its_older_failure(self):
        self.service.put("c1", "One")
        self.service.apply_errors["c1"] = ConflictError("No.")
        dead = self.append("c1")
        self.drain()
        del self.service.records["c1"]
        self.make_older(self.append("c1"), "1 minute")
        self.drain()
        self.assertEqual(dead.state, "merged")

    def test_neutralized_copy_calls_nobody(self):
        self.env["ir.config_parameter"].set_param("database.is_neutralized", "1")
        self.service.put("c1", "One")
        operation = self.append("c1")
        self.drain()
        self.assertEqual(operation.state, "pending")
        self.assertFalse(self.service.fetches)
        with self.assertRaisesRegex(UserError, "neutralized copy"):
            self.backend.action_test_connection()


@tagged("post_install", "-at_install")
class TestListing(IntegrationCase):
    def setUp(self):
        super().setUp()
        for number in range(5):
            self.service.put(f"c{number}", f"C{number}", datetime(2026, 11, 1, 10, number))

    def list_changes(self):
        self.env["integration.sync.log"]._append_paged(self.flow, "listing", "schedule")
        self.drain()

    def test_pages_are_stored_before_the_cursor_moves(self):
        self.service.page_size = 2
        self.list_changes()
        self.assertEqual(len(self.partners()), 5)
        self.assertEqual(self.flow.cursor_at, datetime(2026, 11, 1, 10, 4))
        self.assertFalse(self.flow.cursor_page)
        self.assertEqual([page for _since, page in self.service.listings], [None, 2, 4])

    def test_listing_reads_again_with_overlap_but_fetches_nothing_known(self):
        self.list_changes()
        fetched = len(self.service.fetches)
        self.list_changes()
        self.assertEqual(self.service.listings[-1][0], datetime(2026, 11, 1, 9, 59))
        self.assertEqual(len(self.service.fetches), fetched)
        listings = self.env["integration.sync.log"].search(
            [("flow_id", "=", self.flow.id), ("kind", "=", "listing")]
        )
        self.assertEqual(len(listings), 1, "a listing that finds nothing leaves no row")

    def test_dead_letter_is_not_doubled_by_the_next_listing(self):
        self.service.apply_errors["c2"] = ConflictError("No.")
        self.list_changes()
        self.list_changes()
        dead = self.env["integration.sync.log"].search(
            [("flow_id", "=", self.flow.id), ("state", "=", "dead")]
        )
        self.assertEqual(len(dead), 1)

    def test_failed_page_keeps_the_cursor(self):
        self.service.page_size = 2
        resource = self.registry["integration.fake.contact"]
        original = resource._fetch_changes

        def failing(resource, backend, since, page):
            if page == 4:
                raise RetryableError("Service down")
            return original(resource, backend, since, page)

        self.patch(resource, "_fetch_changes", failing)
        self.list_changes()
        self.assertEqual(self.flow.cursor_at, datetime(2026, 11, 1, 10, 3))
        self.assertEqual(self.flow.cursor_page["page"], 4)
        self.patch(resource, "_fetch_changes", original)
        self.list_changes()
        self.assertEqual(self.flow.cursor_at, datetime(2026, 11, 1, 10, 4))

    def test_cursor_set_back_while_reading_is_kept(self):
        self.list_changes()
        back = datetime(2026, 10, 1)
        resource = self.registry["integration.fake.contact"]
        original = resource._fetch_changes
        flow = self.flow
        done = []

        def meanwhile(resource, backend, since, page):
            if not done:
                done.append(1)
                resource.env.cr.execute(
                    "UPDATE integration_flow SET cursor_at = %s WHERE id = %s", [back, flow.id]
                )
            return original(resource, backend, since, page)

        self.patch(resource, "_fetch_changes", meanwhile)
        self.list_changes()
        since = [since for since, _page in self.service.listings]
        self.assertEqual(since[-1], back - timedelta(seconds=self.flow.overlap_seconds))

    def test_cursor_set_back_forgets_an_interrupted_reading(self):
        self.flow.cursor_page = {"page": 4, "since": None, "high": None}
        self.flow.cursor_at = datetime(2026, 10, 1)
        self.assertFalse(self.flow.cursor_page)

    def test_refused_page_is_not_asked_for_again(self):
        self.flow.cursor_page = {"page": 4, "since": None, "high": None}
        resource = self.registry["integration.fake.contact"]
        original = resource._fetch_changes

        def refuse(resource, backend, since, page):
            if page:
                raise ConflictError("This page is no longer known.")
            return original(resource, backend, since, page)

        self.patch(resource, "_fetch_changes", refuse)
        self.list_changes()
        self.assertFalse(self.flow.cursor_page)
        failed = self.env["integration.sync.log"].search([("state", "=", "dead")])
        self.assertEqual(failed.kind, "listing")
        self.list_changes()
        self.assertEqual(len(self.partners()), 5)
        self.assertEqual(failed.state, "merged", "a later reading makes up for it")

    def test_schedule_appends_one_listing(self):
        self.flow.next_run_at = fields.Datetime.now() - timedelta(minutes=1)
        self.watchdog._plan_listings()
        self.watchdog._plan_listings()
        domain = [("flow_id", "=", self.flow.id), ("kind", "=", "listing")]
        self.assertEqual(self.env["integration.sync.log"].search_count(domain), 1)
        self.assertGreater(self.flow.next_run_at, fields.Datetime.now())


@tagged("post_install", "-at_install")
class TestQueries(IntegrationCase):
    def test_queries_per_record(self):
        """The engine costs a fixed number of queries per batch and none per record."""
        counts = {}
        for size in (1, 50):
            names = [f"s{size}-{number}" for number in range(size)]
            for name in names:
                self.service.put(name, name)
            self.append(*names)
            self.env.flush_all()
            before = self.env.cr.sql_log_count
            with self.enter_registry_test_mode():
                self.engine._drain(self.flow.id)
            counts[size] = self.env.cr.sql_log_count - before
            self.env.invalidate_all()
        self.assertLessEqual(counts[1], 45)
        self.assertLessEqual((counts[50] - counts[1]) / 49, 0.2, counts)
