import itertools
from datetime import datetime, timedelta
from unittest.mock import patch

import psycopg2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odoo import fields, models
from odoo.exceptions import UserError
from odoo.tests import new_test_user, tagged
from odoo.tools import SQL, mute_logger

from ..lib.errors import InvalidPayloadError, RetryableError, SkipRecord
from ..lib.records import Change, Item, ListPage, Snapshot
from ..models import integration_comparer, integration_reconciliation
from .common import FakeContact, IntegrationCase, add_fake_models, service

#: What the service has of the boxes, by id.
boxes = {}
numbers = itertools.count(1)


class FakeBox(models.AbstractModel):
    _module = None
    _name = "integration.fake.box"
    _inherit = ["integration.resource"]
    _description = "Fake Box"

    _resource_name = "Boxes"
    _resource_model = "res.partner.category"
    _resource_direction = "out"
    _resource_export_scope = "all"

    def _export_domain(self, backend):
        return [("name", "like", "Box %")]

    def _export(self, backend, items):
        for item in items:
            item.values = {"name": item.record.name, "color": item.record.color}

    def _push(self, backend, items):
        for item in items:
            external_id = item.external_id or f"b{next(numbers)}"
            boxes[external_id] = {"id": external_id, "updated": "2026-11-01", **item.values}
            item.mark_sent(external_id)

    def _fetch(self, backend, external_ids):
        service.fetches.append(list(external_ids))
        return {key: boxes[key] for key in external_ids if key in boxes}

    def _count(self, backend):
        return len(boxes)

    def _list(self, backend, page):
        return ListPage(
            [
                Snapshot(key, fields.Datetime.to_datetime(row["updated"]), label=row["name"])
                for key, row in boxes.items()
            ]
        )


class ReconciliationCase(IntegrationCase):
    def load(self, count):
        """Create contacts there and import them."""
        for number in range(count):
            self.service.put(f"c{number:04}", f"Contact {number}")
        self.append(*self.service.records)
        self.drain()
        self.service.fetches.clear()
        self.service.applied.clear()
        self.service.listings.clear()

    def start(self):
        run = self.env["integration.reconciliation"]._start(self.flow, "manual")
        # the test drives the pages itself
        self.operations(run).unlink()
        return run

    def operations(self, run):
        return self.env["integration.sync.log"].search(
            [("flow_id", "=", run.flow_id.id), ("kind", "=", "reconcile")]
        )

    def page(self, run):
        """Work on one page of the run."""
        self.env.flush_all()
        with self.enter_registry_test_mode():
            more = run._run_page(self.flow, self.backend, {"id": 0})
        self.env.invalidate_all()
        return more

    def compare(self):
        """Compare both sides to the end; returns the run."""
        run = self.start()
        while self.page(run):
            pass
        return run

    def figures(self, run):
        return (run.missing_in_odoo_count, run.missing_outside_count, run.different_count)

    def found(self, run):
        return {line.external_id: line.kind for line in run.discrepancy_ids}

    def binding(self, external_id):
        return self.env["integration.binding"].search(
            [("backend_id", "=", self.backend.id), ("external_id", "=", external_id)]
        )

    def repair(self, run):
        run.discrepancy_ids.filtered(lambda line: line.state == "open")._repair()
        self.drain()
        self.env["integration.discrepancy"]._settle_repairs()


@tagged("post_install", "-at_install")
class TestReconciliation(ReconciliationCase):
    def test_equal_sides_are_compared_without_a_fetch(self):
        self.load(1000)
        run = self.compare()
        self.assertEqual(run.state, "done")
        self.assertEqual(self.service.fetches, [])
        self.assertEqual((run.seen_count, run.odoo_count), (1000, 1000))
        self.assertEqual(self.figures(run), (0, 0, 0))
        self.assertEqual(run.drift, 0)
        self.assertFalse(run.discrepancy_ids)

    def test_queries_of_a_page_do_not_grow_with_it(self):
        self.load(60)
        counts = []
        for size in (5, 50):
            self.service.page_size = size
            run = self.start()
            self.page(run)  # counts
            self.page(run)  # warms the caches
            before = self.cr.sql_log_count
            self.page(run)
            counts.append(self.cr.sql_log_count - before)
            run.action_stop()
        self.assertEqual(counts[0], counts[1])

    def test_what_is_missing_or_different_is_found(self):
        self.load(6)
        self.service.put("c0001", "New name", datetime(2026, 11, 2))
        self.service.put("new", "New")
        del self.service.records["c0002"]
        self.partners()["c0003"].unlink()
        run = self.compare()
        self.assertEqual(
            self.found(run),
            {
                "c0001": "different",
                "c0002": "missing_outside",
                "c0003": "missing_in_odoo",
                "new": "missing_in_odoo",
            },
        )
        self.assertEqual(self.figures(run), (2, 1, 1))
        self.assertEqual(run.drift, round(100 * 4 / 7, 2))
        line = run.discrepancy_ids.filtered(lambda line: line.kind == "different")
        self.assertEqual(line.differences, [["Name", "Contact 1", "New name"]])
        self.assertEqual(line.summary, "Name: Contact 1 in Odoo, New name outside")
        self.assertEqual(set(run.discrepancy_ids.mapped("state")), {"open"})
        self.assertEqual(self.service.fetches, [["c0001", "c0002"]], "only what may differ")
        self.assertFalse(self.service.applied, "nothing is repaired without being asked")

    def test_repaired_sides_are_equal_and_stay_so(self):
        self.load(6)
        self.service.put("c0001", "New name", datetime(2026, 11, 2))
        self.service.put("new", "New")
        self.edit(self.partners()["c0003"], name="Typo")
        run = self.compare()
        self.assertEqual(self.figures(run), (1, 0, 2))
        self.repair(run)
        self.assertEqual(set(run.discrepancy_ids.mapped("state")), {"repaired"})
        self.assertEqual(run.repaired_count, 3)
        names = {key: partner.name for key, partner in self.partners().items()}
        self.assertEqual(names, {k: r["name"] for k, r in self.service.records.items()})
        again = self.compare()
        self.assertEqual(self.figures(again), (0, 0, 0))
        before = len(self.service.fetches)
        written = self.env["res.partner"].search([]).mapped("write_date")
        self.compare()
        self.assertEqual(len(self.service.fetches), before, "what was found equal stays so")
        self.assertEqual(self.env["res.partner"].search([]).mapped("write_date"), written)

    def edit(self, partner, **values):
        """Change a partner as a later transaction would."""
        partner.write(values)
        self.env.flush_all()
        self.cr.execute(
            "UPDATE res_partner SET write_date = clock_timestamp() + interval '1 minute'"
            " WHERE id = %s",
            [partner.id],
        )
        self.env.invalidate_all()

    def test_edit_in_odoo_is_fetched_once(self):
        self.load(3)
        self.edit(self.partners()["c0000"], comment="Nothing of the service's business")
        self.edit(self.partners()["c0001"], name="Typo")
        run = self.compare()
        self.assertEqual(self.found(run), {"c0001": "different"})
        self.assertEqual(self.service.fetches, [["c0000", "c0001"]])
        self.service.fetches.clear()
        self.repair(run)
        self.service.fetches.clear()
        self.compare()
        self.assertEqual(
            [key for fetch in self.service.fetches for key in fetch if key == "c0000"],
            [],
            "the agreement is remembered",
        )

    def test_what_imports_write_is_no_edit(self):
        self.load(2)
        self.service.put("c0001", "New name", datetime(2026, 11, 2))
        self.append("c0001")
        self.drain()
        self.service.fetches.clear()
        # in one transaction everything has the same time
        self.cr.execute(
            "UPDATE integration_binding SET create_date = create_date - interval '1 day'"
        )
        self.env.invalidate_all()
        self.assertEqual(self.binding("c0001").imported_at, self.partners()["c0001"].write_date)
        self.compare()
        self.assertEqual(self.service.fetches, [])

    def test_digest_in_the_list_saves_the_fetch(self):
        self.load(2)
        binding = self.binding("c0000")
        resource = self.flow._resource()
        digest = resource._digest(
            resource._validate(self.backend, self.service.records["c0000"], "")
        )
        self.assertEqual(binding.import_digest, digest)
        page = ListPage([Snapshot("c0000", digest=digest), Snapshot("c0001", digest="other")])
        with patch.object(type(self.flow._resource()), "_list", lambda self, backend, page_: page):
            run = self.compare()
            self.assertEqual(self.service.fetches, [["c0001"]])
            self.assertEqual(self.figures(run), (0, 0, 0), "it is the same in all that matters")
            self.service.fetches.clear()
            self.compare()
        self.assertEqual(self.service.fetches, [])

    def test_records_on_their_way_are_no_discrepancies(self):
        self.load(3)
        self.service.put("c0001", "New name", datetime(2026, 11, 2))
        self.service.put("c0002", "Just now", datetime.now() + timedelta(seconds=1))
        self.service.put("waiting", "Waiting")
        self.append("c0001", "waiting")
        run = self.compare()
        self.assertFalse(run.discrepancy_ids)
        self.assertEqual(run.in_work_count, 3)

    def test_change_while_comparing_is_no_discrepancy(self):
        self.load(3)
        self.service.put("c0001", "New name", datetime(2026, 11, 2))
        run = self.start()
        while run.phase != "check":
            self.page(run)
        self.assertEqual(run.discrepancy_ids.mapped("state"), ["suspected"])
        self.append("c0001")
        self.drain()
        while self.page(run):
            pass
        self.assertFalse(run.discrepancy_ids)
        self.assertEqual(self.figures(run), (0, 0, 0))

    def test_record_that_moved_to_another_page_is_not_missing(self):
        self.load(5)
        rows = [Snapshot(key, row["updated_at"]) for key, row in self.service.records.items()]
        with patch.object(
            type(self.flow._resource()), "_list", lambda self, backend, page: ListPage(rows[:-1])
        ):
            run = self.compare()
        self.assertEqual(self.service.fetches, [["c0004"]])
        self.assertFalse(run.discrepancy_ids)

    def test_skipped_records_are_left_out_until_they_change(self):
        self.load(2)
        self.service.put("old", "Old")
        self.service.apply_errors["old"] = SkipRecord("From before the change-over.")
        self.append("old")
        self.drain()
        run = self.compare()
        self.assertFalse(run.discrepancy_ids)
        self.assertEqual(run.left_out_count, 1)
        self.service.put("old", "Old", datetime(2026, 11, 3))
        self.assertEqual(self.found(self.compare()), {"old": "missing_in_odoo"})

    def test_ignored_difference_is_not_reported_again(self):
        self.load(2)
        self.service.put("c0001", "New name", datetime(2026, 11, 2))
        self.compare().discrepancy_ids._ignore("Sold there only.")
        run = self.compare()
        self.assertFalse(run.discrepancy_ids)
        self.assertEqual(run.left_out_count, 1)
        self.service.put("c0001", "Another name", datetime(2026, 11, 3))
        self.assertEqual(self.found(self.compare()), {"c0001": "different"})

    def test_later_run_takes_over_open_lines(self):
        self.load(2)
        self.service.put("c0001", "New name", datetime(2026, 11, 2))
        first, second = self.compare(), self.compare()
        self.assertEqual(first.discrepancy_ids.state, "outdated")
        self.assertEqual(second.discrepancy_ids.state, "open")

    def test_unreadable_record_does_not_stop_the_others(self):
        self.load(4)
        for key in ("c0000", "c0001", "c0002"):
            self.service.put(key, "New name", datetime(2026, 11, 2))
        self.service.fetch_errors["c0000"] = ZeroDivisionError("division by zero")
        self.service.records["c0001"]["name"] = 7
        run = self.compare()
        lines = {line.external_id: line for line in run.discrepancy_ids}
        self.assertEqual(set(lines), {"c0000", "c0001", "c0002"})
        self.assertIn("division by zero", lines["c0000"].summary)
        self.assertIn("name: Input should be a valid string", lines["c0001"].summary)
        self.assertIn("New name", lines["c0002"].summary)

    def test_error_while_comparing_is_narrowed_down(self):
        self.load(4)
        for key in self.service.records:
            self.service.put(key, "New name", datetime(2026, 11, 2))
        original = FakeContact._map

        def guilty(self, backend, items):
            if any(item.external_id == "c0002" for item in items):
                raise ZeroDivisionError("division by zero")
            original(self, backend, items)

        with patch.object(FakeContact, "_map", guilty):
            run = self.compare()
        self.assertEqual(self.figures(run), (0, 0, 4))
        lines = {line.external_id: line.summary for line in run.discrepancy_ids}
        self.assertIn("division by zero", lines["c0002"])
        self.assertIn("New name", lines["c0003"])

    def test_technical_error_leaves_the_page_to_the_next_try(self):
        self.load(4)
        self.service.put("c0001", "New name", datetime(2026, 11, 2))
        self.service.fetch_errors["c0001"] = RetryableError("The service is down.")
        run = self.start()
        while run.phase != "check":
            self.page(run)
        with self.assertRaises(RetryableError), self.env.cr.savepoint():
            self.page(run)
        self.service.fetch_errors.clear()
        while self.page(run):
            pass
        self.assertEqual(self.found(run), {"c0001": "different"})

    def test_killed_at_any_page_it_goes_on_there(self):
        self.load(30)
        self.service.page_size = 7
        self.flow.batch_size = 2
        for key in ("c0003", "c0010", "c0020"):
            self.service.put(key, "New name", datetime(2026, 11, 2))
        for key in ("c0004", "c0005"):
            del self.service.records[key]
        for key in ("new1", "new2"):
            self.service.put(key, "New", datetime(2026, 11, 3))
        expected = None
        with (
            patch.object(integration_reconciliation, "PAGE", 3),
            patch.object(integration_comparer, "PAGE", 3),
        ):
            for kill in (False, True):
                run = self.start()
                more, pages = True, 0
                while more:
                    if kill:
                        self.die_while_storing(run)
                    more = self.page(run)
                    pages += 1
                outcome = (self.found(run), self.figures(run), run.seen_count, run.drift)
                if not kill:
                    expected = outcome
                    self.assertEqual(self.figures(run), (2, 2, 3))
        self.assertGreater(pages, 10)
        self.assertEqual(outcome, expected)

    def die_while_storing(self, run):
        """Work on a page, and lose the database after everything was written."""
        original = type(run).write

        def dying(self, vals):
            original(self, vals)
            self.env.flush_all()
            raise psycopg2.OperationalError("server closed the connection unexpectedly")

        with (
            patch.object(type(run), "write", dying),
            self.assertRaises(psycopg2.OperationalError),
        ):
            self.page(run)
        self.env.invalidate_all()

    def test_list_that_does_not_end_is_refused(self):
        self.load(1)
        endless = patch.object(
            type(self.flow._resource()), "_list", lambda self, backend, page: ListPage([], "again")
        )
        run = self.start()
        self.page(run)
        with endless:
            self.assertTrue(self.page(run))
            with self.assertRaises(InvalidPayloadError), self.env.cr.savepoint():
                self.page(run)

    def test_faster_process_wins_the_page(self):
        self.load(3)
        self.service.page_size = 1
        run = self.start()
        self.page(run)
        with self.enter_registry_test_mode():
            slow = self.env["integration.comparer"]._read(run, self.flow, self.backend)
        self.page(run)
        seen = run.seen_count
        with self.enter_registry_test_mode():
            self.assertTrue(run._judge(self.flow.id, run.id, slow))
        self.env.invalidate_all()
        self.assertEqual(run.seen_count, seen)

    def test_policy_repairs_without_asking(self):
        self.load(4)
        self.service.put("new", "New")
        self.service.put("c0001", "New name", datetime(2026, 11, 2))
        self.flow.reconcile_repair = "missing"
        run = self.compare()
        states = {line.external_id: line.state for line in run.discrepancy_ids}
        self.assertEqual(states, {"new": "repairing", "c0001": "open"})
        operation = run.discrepancy_ids.operation_id
        self.assertEqual((operation.trigger, operation.priority), ("reconcile", 30))
        self.flow.reconcile_repair = "all"
        self.drain()
        run = self.compare()
        self.assertEqual(run.discrepancy_ids.state, "repairing")
        self.drain()
        self.env["integration.discrepancy"]._settle_repairs()
        self.assertEqual(run.discrepancy_ids.state, "repaired")
        self.assertEqual(self.partners()["c0001"].name, "New name")

    def test_failed_repair_is_open_again_with_the_reason(self):
        self.load(1)
        self.service.put("new", "New", country="Elbonia")
        run = self.compare()
        self.repair(run)
        self.assertEqual(run.discrepancy_ids.state, "open")
        self.assertIn("not mapped", run.discrepancy_ids.reason)
        self.assertFalse(self.compare().discrepancy_ids, "the failure is under review already")

    def test_drift_opens_and_closes_an_incident(self):
        self.load(10)
        self.service.put("c0001", "New name", datetime(2026, 11, 2))
        run = self.compare()
        self.assertEqual((run.drift, self.flow.drift), (10.0, 10.0))
        incident = self.env["integration.incident"].search([("kind", "=", "drift")])
        self.assertEqual(incident.state, "open")
        self.assertIn("1 different", incident.message)
        self.repair(run)
        self.compare()
        self.assertEqual(incident.state, "closed")
        self.assertEqual(self.flow.drift, 0)

    def test_pause_stop_and_resume(self):
        self.load(3)
        self.service.page_size = 1
        run = self.start()
        self.page(run)
        run.action_pause()
        self.assertFalse(self.page(run))
        self.assertEqual(run.phase, "list")
        run.action_resume()
        self.assertEqual((run.state, self.operations(run).state), ("running", "pending"))
        self.drain()
        self.assertEqual(run.state, "done")
        self.assertFalse(self.operations(run), "the run says all there is to say")
        run = self.start()
        self.page(run)
        run.action_stop()
        self.assertFalse(self.page(run))
        self.assertEqual(run.state, "stopped")

    def test_engine_runs_the_comparison_after_everything_else(self):
        self.load(3)
        self.service.put("c0001", "New name", datetime(2026, 11, 2))
        self.flow.reconcile_repair = "all"
        run = self.env["integration.reconciliation"]._start(self.flow, "manual")
        self.assertEqual(self.operations(run).priority, 30)
        self.drain()
        self.assertEqual((run.state, run.discrepancy_ids.state), ("done", "repairing"))
        self.drain()
        run._settle_runs()
        self.assertEqual(run.discrepancy_ids.state, "repaired")
        self.assertEqual(self.partners()["c0001"].name, "New name")

    def test_run_follows_its_operation(self):
        self.load(1)
        Run = self.env["integration.reconciliation"]
        broken = patch.object(
            type(self.flow._resource()), "_list", side_effect=ZeroDivisionError("division by zero")
        )
        run = Run._start(self.flow, "manual")
        with broken, mute_logger("odoo.addons.integration_base.models.integration_settlement"):
            self.drain()
        operation = self.operations(run)
        self.assertEqual(operation.state, "dead")
        Run._settle_runs()
        self.assertEqual((run.state, run.message), ("failed", operation.message))
        operation._requeue()
        self.drain()
        self.assertEqual(run.state, "done", "retrying goes on with it")
        run = Run._start(self.flow, "manual")
        self.operations(run).write({"state": "ignored", "review_note": "Not now."})
        Run._settle_runs()
        self.assertEqual((run.state, run.message), ("stopped", "Not now."))
        run = Run._start(self.flow, "manual")
        self.operations(run).unlink()
        Run._settle_runs()
        self.assertEqual(self.operations(run).state, "pending", "a lost operation comes back")

    def test_two_starts_make_one_run(self):
        self.load(1)
        run = self.start()
        self.assertEqual(self.env["integration.reconciliation"]._start(self.flow, "manual"), run)
        action = self.flow.action_compare()
        self.assertEqual(action["res_id"], run.id)

    def test_schedule_starts_runs(self):
        Run = self.env["integration.reconciliation"]
        Run._cron_start_due()
        self.assertFalse(Run.search([("flow_id", "=", self.flow.id)]))
        self.flow.reconcile_days = 7
        Run._cron_start_due()
        run = Run.search([("flow_id", "=", self.flow.id)])
        self.assertEqual((run.trigger, self.operations(run).trigger), ("schedule", "schedule"))
        self.assertGreater(self.flow.next_reconcile_at, fields.Datetime.now() + timedelta(days=6))
        run.action_stop()
        Run._cron_start_due()
        self.assertEqual(Run.search_count([("flow_id", "=", self.flow.id)]), 1)

    def test_buttons_need_the_operator(self):
        self.load(1)
        self.service.put("new", "New")
        run = self.compare()
        user = new_test_user(self.env, "looks", groups="integration_base.group_integration_user")
        with self.assertRaises(UserError):
            run.discrepancy_ids.with_user(user).action_repair()
        with self.assertRaises(UserError):
            self.flow.with_user(user).action_compare()
        operator = new_test_user(
            self.env, "operates", groups="integration_base.group_integration_operator"
        )
        run.discrepancy_ids.with_user(operator).action_repair()
        self.assertEqual(run.discrepancy_ids.state, "repairing")
        run.discrepancy_ids.with_user(operator).action_open_operation()
        with self.assertRaises(UserError):
            run.discrepancy_ids.with_user(operator).action_repair()


@tagged("post_install", "-at_install")
class TestDeletions(ReconciliationCase):
    def items(self, *external_ids, forced=False):
        partners = self.partners()
        return [
            Item(0, key, key, record=partners[key], bound=True, forced=forced)
            for key in external_ids
        ]

    def follow(self, items):
        self.env["integration.binding"]._follow_deletions(self.flow, items)

    def test_deleted_record_is_archived_and_remembered(self):
        self.load(1)
        partner = self.partners()["c0000"]
        items = self.items("c0000")
        self.follow(items)
        self.assertFalse(partner.active)
        self.assertTrue(self.binding("c0000").deleted_at)
        self.assertIn("was archived", items[0].notes[0])
        again = self.items("c0000")
        self.follow(again)
        self.assertFalse(again[0].notes, "once is enough")

    def test_record_without_archive_is_left_with_a_note(self):
        country = self.env.ref("base.be")
        items = [Item(0, "BE", "Belgium", record=country)]
        self.flow._resource()._apply_deletion(self.backend, items)
        self.assertIn("Belgium no longer exists in Fake. It was left as it is", items[0].notes[0])

    def test_deletion_found_by_comparing_is_no_discrepancy_afterwards(self):
        self.load(30)
        del self.service.records["c0001"]
        run = self.compare()
        self.assertEqual(self.found(run), {"c0001": "missing_outside"})
        run.discrepancy_ids._repair()
        operation = run.discrepancy_ids.operation_id
        self.assertTrue(operation.deleted and operation.force)
        self.drain()
        run._settle_runs()
        self.assertEqual(run.discrepancy_ids.state, "repaired")
        self.assertFalse(self.partners()["c0001"].active)
        self.assertFalse(self.compare().discrepancy_ids)

    def test_record_that_comes_back_is_found_and_loses_its_tombstone(self):
        self.load(30)
        row = self.service.records.pop("c0001")
        partner = self.partners()["c0001"]
        items = self.items("c0001")
        self.follow(items)
        self.service.records["c0001"] = row
        run = self.compare()
        self.assertEqual(self.found(run), {"c0001": "different"})
        self.assertIn("Exists again", run.discrepancy_ids.summary)
        bindings = {"c0001": self.binding("c0001")}
        self.env["integration.binding"]._undo_deletions(self.flow, items, bindings)
        self.assertTrue(partner.active)
        self.assertFalse(self.binding("c0001").deleted_at)

    def delete(self, *external_ids, told=True):
        """Delete contacts there; returns the operations that learn of it."""
        for external_id in external_ids:
            self.service.records.pop(external_id, None)
        changes = [Change(external_id, deleted=told) for external_id in external_ids]
        operations = self.env["integration.sync.log"]._append(self.flow, changes, "webhook")
        self.drain()
        return operations

    def test_told_deletion_is_followed_at_once(self):
        self.load(30)
        partner = self.partners()["c0001"]
        self.service.put("c0002", "Lives")
        operations = self.delete("c0001", "unknown")
        self.assertEqual(self.states(operations), ["done", "skipped"])
        self.assertIn("was archived", operations[0].message)
        self.assertFalse(partner.active)
        again = self.delete("c0001")
        self.assertEqual(again.message, "Unchanged.")

    def test_deletion_is_a_pointer_too(self):
        self.load(2)
        row = dict(self.service.records["c0001"], name="Not deleted at all")
        operation = self.env["integration.sync.log"]._append(
            self.flow, [Change("c0001", row["updated_at"], deleted=True)], "webhook"
        )
        self.service.records["c0001"] = row
        self.drain()
        self.assertEqual(operation.state, "done")
        self.assertTrue(self.partners()["c0001"].active)
        self.assertEqual(self.partners()["c0001"].name, "Not deleted at all")

    def test_record_that_is_not_shown_is_asked_for_once_more(self):
        self.load(30)
        operation = self.delete("c0001", told=False)
        self.assertEqual(operation.state, "pending")
        self.assertTrue(self.partners()["c0001"].active)
        self.cr.execute(
            "UPDATE integration_sync_log SET create_date = create_date - interval '1 minute',"
            " next_attempt_at = create_date WHERE id = %s",
            [operation.id],
        )
        self.env.invalidate_all()
        self.drain()
        self.assertEqual(operation.state, "done")
        self.assertFalse(self.partners()["c0001"].active)

    def test_record_that_comes_back_is_written_again(self):
        self.load(30)
        row = self.service.records["c0001"]
        partner = self.partners()["c0001"]
        self.delete("c0001")
        self.service.records["c0001"] = row
        operation = self.append("c0001", updated_at=row["updated_at"])
        self.drain()
        self.assertEqual((operation.state, operation.message), ("done", False))
        self.assertTrue(partner.active)
        self.assertFalse(self.binding("c0001").deleted_at)
        self.assertFalse(self.compare().discrepancy_ids)

    def test_flow_waits_for_the_decision_and_goes_on(self):
        self.load(40)
        keys = sorted(self.service.records)[:6]
        operations = self.delete(*keys)
        self.assertEqual(set(self.states(operations)), {"pending"})
        self.assertEqual(set(operations.mapped("error_class")), {"vanished"})
        self.assertTrue(self.flow.held_reason)
        self.service.put("new", "New")
        new = self.append("new")
        self.cr.execute("UPDATE integration_sync_log SET next_attempt_at = create_date")
        self.drain()
        self.assertEqual(new.state, "pending", "the flow is stopped")
        with self.assertRaises(UserError):
            self.flow.action_compare()
        self.flow.action_accept_vanished()
        self.drain()
        self.assertEqual(set(self.states(operations | new)), {"done"})
        self.assertEqual(len(self.gone()), 6)

    def test_kept_records_of_operations_stay(self):
        self.load(40)
        keys = sorted(self.service.records)[:6]
        operations = self.delete(*keys)
        self.flow.action_keep_vanished()
        self.assertEqual(set(self.states(operations)), {"ignored"})
        self.assertTrue(all(self.partners()[key].active for key in keys))
        self.assertEqual(self.delete(*keys[:1]).message, "Unchanged.")

    def test_few_vanish_without_a_question(self):
        self.load(20)
        self.follow(self.items("c0000", "c0001", "c0002", "c0003"))
        self.assertEqual(len(self.gone()), 4)
        self.assertFalse(self.flow.held_reason)

    def gone(self):
        return self.env["integration.binding"].search(
            [("backend_id", "=", self.backend.id), ("deleted_at", "!=", False)]
        )

    def test_many_vanished_stop_the_flow_and_ask(self):
        self.load(40)
        keys = sorted(self.service.records)[:6]
        items = self.items(*keys)
        self.follow(items)
        self.assertEqual({item.error.error_class for item in items}, {"vanished"})
        self.assertFalse(self.gone())
        self.assertTrue(all(item.record.active for item in items))
        self.assertIn("waits for your decision", self.flow.held_reason)
        incident = self.env["integration.incident"].search([("kind", "=", "vanished")])
        self.assertEqual((incident.state, incident.count), ("open", 6))
        operations = self.append(*keys)
        operations.write({"error_class": "vanished"})
        incident.action_accept_vanished()
        self.assertFalse(self.flow.held_reason)
        self.assertEqual(incident.state, "closed")
        self.assertEqual(operations.mapped("force"), [True] * 6)
        self.follow(self.items(*keys, forced=True))
        self.assertEqual(len(self.gone()), 6)

    def test_one_after_the_other_within_a_day_counts_too(self):
        self.load(40)
        keys = sorted(self.service.records)
        for key in keys[:4]:
            self.follow(self.items(key))
        self.assertFalse(self.flow.held_reason)
        self.follow(self.items(keys[4]))
        self.assertTrue(self.flow.held_reason, "5 of 40 within a day")

    def test_kept_records_stay_and_ask_no_more(self):
        self.load(40)
        keys = sorted(self.service.records)[:6]
        for key in keys:
            del self.service.records[key]
        run = self.start()
        while not self.flow.held_reason:
            self.page(run)
        self.assertEqual(run.phase, "repair")
        self.assertEqual(len(run.discrepancy_ids), 6)
        self.flow.action_keep_vanished()
        while self.page(run):
            pass
        self.assertEqual(set(run.discrepancy_ids.mapped("state")), {"ignored"})
        self.assertEqual(len(self.gone()), 6)
        self.assertTrue(all(self.partners()[key].active for key in keys))
        again = self.compare()
        self.assertFalse(again.discrepancy_ids)
        self.assertFalse(self.flow.held_reason)

    def test_confirmed_by_comparison(self):
        self.load(40)
        for key in sorted(self.service.records)[:6]:
            del self.service.records[key]
        self.flow.reconcile_repair = "all"
        run = self.start()
        while not self.flow.held_reason:
            self.page(run)
        self.flow.action_accept_vanished()
        while self.page(run):
            pass
        self.assertEqual(set(run.discrepancy_ids.mapped("state")), {"repairing"})
        self.assertEqual(run.discrepancy_ids.operation_id.mapped("force"), [True] * 6)

    def test_limit_is_a_share(self):
        self.load(100)
        self.assertFalse(self.flow._too_many_vanished(10))
        self.assertTrue(self.flow._too_many_vanished(11))
        self.flow.vanish_limit = 0
        self.assertTrue(self.flow._too_many_vanished(5))
        self.assertFalse(self.flow._too_many_vanished(4))


@tagged("post_install", "-at_install")
class TestOutgoing(ReconciliationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        add_fake_models(cls, FakeBox)
        cls.backend._create_missing_parts()
        cls.flow = cls.backend.flow_ids.filtered(lambda flow: flow.resource == "box")

    def setUp(self):
        super().setUp()
        boxes.clear()
        self.tags = self.env["res.partner.category"].create(
            [{"name": f"Box {number}", "color": 0} for number in range(5)]
        )
        self.send(self.tags)
        # the answers of the service do not tell its version: it is looked at once
        self.compare()
        self.service.fetches.clear()

    def send(self, tags):
        self.env["integration.sync.log"]._append_records(self.flow, tags, "manual")
        self.drain()

    def lose(self, tag, **values):
        """Change a tag without anybody noticing."""
        self.env.flush_all()
        for name, value in values.items():
            self.cr.execute(
                SQL(
                    "UPDATE res_partner_category SET %s = %s WHERE id = %s",
                    SQL.identifier(name),
                    value if name == "color" else f'{{"en_US": "{value}"}}',
                    tag.id,
                )
            )
        self.env.invalidate_all()

    def key(self, tag):
        return (
            self.env["integration.binding"]
            .search([("res_model", "=", tag._name), ("res_id", "=", tag.id)])
            .external_id
        )

    def test_equal_sides_are_compared_without_a_fetch(self):
        run = self.compare()
        self.assertEqual(self.service.fetches, [])
        self.assertEqual(self.figures(run), (0, 0, 0))
        self.assertEqual((run.external_count, run.odoo_count, run.seen_count), (5, 5, 5))

    def test_lost_change_in_odoo_is_sent(self):
        self.lose(self.tags[1], color=7)
        run = self.compare()
        self.assertEqual(self.found(run), {self.key(self.tags[1]): "different"})
        self.assertEqual(run.discrepancy_ids.differences, [["color", "7", "0"]])
        self.repair(run)
        self.assertEqual(boxes[self.key(self.tags[1])]["color"], 7)
        self.assertEqual(run.discrepancy_ids.state, "repaired")
        self.assertEqual(self.figures(self.compare()), (0, 0, 0))

    def test_change_made_there_is_overwritten(self):
        key = self.key(self.tags[2])
        boxes[key].update(name="Mine", updated="2026-11-02")
        run = self.compare()
        self.assertEqual(self.found(run), {key: "different"})
        self.repair(run)
        self.assertEqual(boxes[key]["name"], "Box 2")
        self.assertEqual(self.figures(self.compare()), (0, 0, 0))

    def test_record_that_never_went_out_is_sent(self):
        tag = self.env["res.partner.category"].create({"name": "Box lost"})
        self.env["integration.sync.log"].search([("res_id", "=", tag.id)]).unlink()
        self.env["res.partner.category"].create({"name": "Not for the service"})
        run = self.compare()
        self.assertEqual(run.discrepancy_ids.kind, "missing_outside")
        self.assertEqual(run.discrepancy_ids.display_name, "Box lost")
        self.assertEqual(self.figures(run), (0, 1, 0))
        self.repair(run)
        self.assertIn("Box lost", [row["name"] for row in boxes.values()])
        self.assertEqual(self.figures(self.compare()), (0, 0, 0))

    def test_record_deleted_there_is_created_anew(self):
        key = self.key(self.tags[0])
        del boxes[key]
        boxes["other"] = {"id": "other", "updated": "2026-11-01", "name": "Box 9", "color": 1}
        run = self.compare()
        self.assertEqual(self.found(run), {key: "missing_outside", "other": "missing_in_odoo"})
        gone = run.discrepancy_ids.filtered(lambda line: line.external_id == key)
        other = run.discrepancy_ids - gone
        other._repair()
        self.assertEqual(other.state, "open")
        self.assertIn("nothing imports it", other.reason)
        del boxes["other"]
        self.repair(run)
        self.assertIn("Box 0", [row["name"] for row in boxes.values()])
        self.assertNotEqual(self.key(self.tags[0]), key)
        self.assertEqual(self.figures(self.compare()), (0, 0, 0))

    def test_record_that_is_not_meant_for_it_is_left_alone(self):
        self.lose(self.tags[0], name="Private")
        run = self.compare()
        self.assertFalse(run.discrepancy_ids)
        self.assertEqual(self.service.fetches, [])


NAMES = st.sampled_from(["Ada", "Bob", "Cy"])
KEYS = st.sampled_from([f"k{number}" for number in range(8)])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, NAMES),
        st.tuples(st.just("import"), KEYS, NAMES),
        st.tuples(st.just("edit"), KEYS, NAMES),
        st.tuples(st.just("unlink"), KEYS, NAMES),
        st.tuples(st.just("delete"), KEYS, NAMES),
        st.tuples(st.just("compare"), KEYS, NAMES),
    ),
    min_size=3,
    max_size=14,
)


@tagged("post_install", "-at_install")
class TestRandomWorlds(ReconciliationCase):
    @given(steps=STEPS, page_size=st.integers(1, 5), batch_size=st.integers(1, 4))
    @settings(
        max_examples=15,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    def test_repaired_worlds_are_equal(self, steps, page_size, batch_size):
        savepoint = self.env.cr.savepoint()
        try:
            service.__init__()
            self.service.page_size = page_size
            self.flow.batch_size = batch_size
            self.flow.vanish_limit = 100
            for moment, (action, key, name) in enumerate(steps, start=1):
                self.act(moment, action, key, name)
            run = self.compare()
            self.repair(run)
            expected = {key: row["name"] for key, row in self.service.records.items()}
            partners = self.partners().items()
            self.assertEqual({k: p.name for k, p in partners if p.active}, expected)
            self.assertFalse(run.discrepancy_ids.filtered(lambda line: line.state != "repaired"))
            again = self.compare()
            self.assertEqual(self.figures(again), (0, 0, 0))
            self.assertFalse(again.discrepancy_ids)
            applied = list(self.service.applied)
            self.compare()
            self.assertEqual(self.service.applied, applied)
        finally:
            savepoint.close(rollback=True)
            self.env.invalidate_all()

    def act(self, moment, action, key, name):
        partner = self.partners().get(key)
        if action == "put":
            self.service.put(key, name, datetime(2026, 11, 1) + timedelta(hours=moment))
        elif action == "import" and key in self.service.records:
            self.append(key)
            self.drain()
        elif action == "edit" and partner:
            partner.name = name
            self.env.flush_all()
            self.cr.execute(
                "UPDATE res_partner SET write_date = clock_timestamp() + %s * interval '1 minute'"
                " WHERE id = %s",
                [moment, partner.id],
            )
            self.env.invalidate_all()
        elif action == "delete":
            self.service.records.pop(key, None)
        elif action == "unlink" and partner:
            partner.unlink()
        elif action == "compare":
            self.compare()
