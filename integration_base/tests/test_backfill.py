from dataclasses import replace
from datetime import datetime
from unittest.mock import patch

from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import new_test_user, tagged
from odoo.tools import mute_logger

from ..lib.errors import NotReadyError, RequestRefused, RetryableError
from ..lib.records import ChangePage
from ..models import integration_backfill, integration_staged_payload
from .common import IntegrationCase

READ_AT = datetime(2026, 11, 18, 12)


@tagged("post_install", "-at_install")
class TestBackfill(IntegrationCase):
    def setUp(self):
        super().setUp()
        for number in range(7):
            self.service.put(f"c{number}", f"Contact {number}", datetime(2026, 11, 1 + number))
        self.service.page_size = 3
        self.backfill = self.env["integration.backfill"].create({"flow_id": self.flow.id})

    def operations(self, kind="record"):
        self.env.invalidate_all()
        return self.env["integration.sync.log"].search(
            [("flow_id", "=", self.flow.id), ("kind", "=", kind)], order="id"
        )

    def advance(self):
        with self.enter_registry_test_mode():
            self.backfill._step_advance()
        self.env.flush_all()

    def test_all_records_arrive(self):
        self.backfill.action_start()
        self.drain()
        self.assertEqual(sorted(self.partners()), [f"c{number}" for number in range(7)])
        self.assertEqual([since for since, _page in self.service.listings], [None] * 3)
        self.assertEqual((self.backfill.found, self.backfill.appended), (7, 7))
        self.assertTrue(self.backfill.read_all)
        self.assertEqual(self.backfill.state, "running")
        self.advance()
        self.assertEqual(self.backfill.state, "done")
        self.assertEqual((self.backfill.progress, self.backfill.processed_count), (100, 7))
        self.assertEqual(set(self.operations().mapped("trigger")), {"backfill"})
        self.assertEqual(set(self.operations().mapped("priority")), {20})
        self.assertFalse(self.flow.cursor_at, "the cursor of changes is left alone")

    def test_known_records_cost_nothing(self):
        self.append("c1", "c2")
        self.drain()
        self.env["integration.binding"].search([]).fetched_at = datetime(2026, 12, 1)
        self.backfill.action_start()
        self.drain()
        self.assertEqual((self.backfill.found, self.backfill.appended), (7, 5))

    def test_period(self):
        self.flow.tz = "Europe/Berlin"
        self.service.put("late", "Late", datetime(2026, 11, 4, 22, 59))
        self.service.put("too late", "Too Late", datetime(2026, 11, 4, 23, 1))
        self.backfill.write({"date_from": "2026-11-03", "date_to": "2026-11-04"})
        self.backfill.action_start()
        self.drain()
        # midnight in Berlin is 23:00 UTC of the day before
        self.assertEqual(sorted(self.partners()), ["c2", "c3", "late"])
        self.assertEqual(self.service.listings[0][0], datetime(2026, 11, 2, 23))
        self.assertEqual(len(self.service.listings), 2, "what is behind is not read")
        self.assertTrue(self.backfill.read_all)

    def test_progress_with_a_count(self):
        resource = self.registry["integration.fake.contact"]
        self.patch(resource, "_count", lambda resource, backend: 7)
        self.patch(integration_backfill, "MAX_WAITING", 4)
        self.backfill.action_start()
        with patch.object(type(self.env["integration.importer"]), "_run", lambda *args: None):
            # nothing is written yet, the records are only claimed
            self.drain()
        self.assertEqual((self.backfill.total, self.backfill.found), (7, 6))
        self.assertEqual(self.backfill.waiting_count, 6)
        self.assertEqual(self.backfill.progress, 0)
        self.env.cr.execute(
            "UPDATE integration_sync_log SET state = 'done' WHERE id IN %s",
            [tuple(self.operations()[:3].ids)],
        )
        self.env.cr.execute(
            "UPDATE integration_backfill SET resumed_at = resumed_at - interval '1 hour'"
        )
        self.env.invalidate_all()
        self.assertAlmostEqual(self.backfill.progress, 100 * 3 / 7)
        self.assertAlmostEqual(self.backfill.hourly_rate, 3, delta=1)
        self.assertTrue(self.backfill.expected_at)

    def test_backlog_is_bounded(self):
        self.patch(integration_backfill, "MAX_WAITING", 2)
        with patch.object(type(self.env["integration.importer"]), "_run", lambda *args: None):
            self.backfill.action_start()
            self.drain()
            self.assertEqual(len(self.operations()), 3, "one page is more than enough")
            self.advance()
            self.assertFalse(self.operations("backfill"), "nothing is read meanwhile")
        self.env.cr.execute("UPDATE integration_sync_log SET state = 'done'")
        for _page in range(3):
            self.advance()
            self.drain()
        self.assertEqual(self.backfill.found, 7)
        self.advance()
        self.assertEqual(self.backfill.state, "done")

    def test_pause_and_resume(self):
        self.backfill.action_start()
        self.backfill.action_pause()
        self.drain()
        self.assertEqual(self.service.listings, [])
        self.advance()
        self.assertFalse(self.operations("backfill"))
        self.backfill.action_resume()
        self.drain()
        self.advance()
        self.assertEqual((self.backfill.state, len(self.partners())), ("done", 7))

    def bring_payloads(self):
        """Let the service hand out its records with their listing."""

        def fetch_all(resource, backend, since, page):
            page = resource._fetch_changes(backend, since, page)
            changes = [
                replace(change, payload=self.plain(change.external_id), read_at=READ_AT)
                for change in page.changes
            ]
            return replace(page, changes=changes)

        self.patch(self.registry["integration.fake.contact"], "_fetch_all", fetch_all)

    def plain(self, external_id):
        row = self.service.records[external_id]
        return {**row, "updated_at": row["updated_at"].isoformat()}

    def staged(self):
        self.env.cr.execute("SELECT count(*) FROM integration_staged_payload")
        return self.env.cr.fetchone()[0]

    def test_payloads_that_come_along_are_not_fetched(self):
        self.bring_payloads()
        self.backfill.action_start()
        with patch.object(type(self.env["integration.importer"]), "_run", lambda *args: None):
            self.drain()
        self.assertEqual(self.staged(), 7)
        self.env.cr.execute("UPDATE integration_sync_log SET state = 'pending', claim_token = NULL")
        self.drain()
        self.assertEqual(len(self.partners()), 7)
        self.assertEqual(self.service.fetches, [])
        self.assertEqual(self.staged(), 0, "nothing of it is kept")
        binding = self.env["integration.binding"].search([("external_id", "=", "c1")])
        self.assertEqual(binding.fetched_at, READ_AT)

    def test_payload_gives_way_to_newer_news(self):
        self.bring_payloads()
        self.backfill.action_start()
        with patch.object(type(self.env["integration.importer"]), "_run", lambda *args: None):
            self.drain()
        self.env.cr.execute("UPDATE integration_sync_log SET state = 'pending', claim_token = NULL")
        self.service.put("c1", "Newer", datetime(2026, 11, 20))
        self.service.put("c2", "Newer too", datetime(2026, 11, 20))
        # one came later, one was there before and says no version
        self.append("c1", updated_at=datetime(2026, 11, 20))
        self.append("c2")
        self.env.cr.execute(
            "UPDATE integration_sync_log SET id = -id WHERE key = 'c2' AND trigger = 'webhook'"
        )
        self.drain()
        self.assertEqual(sorted(key for keys in self.service.fetches for key in keys), ["c1", "c2"])
        partners = self.partners()
        self.assertEqual((partners["c1"].name, partners["c2"].name), ("Newer", "Newer too"))

    def test_bad_payload_hurts_its_record_alone_and_retry_reads_anew(self):
        self.bring_payloads()
        with patch.object(type(self), "plain", lambda test, key: {"id": key}):
            self.backfill.action_start()
            self.drain()
        dead = self.operations().filtered(lambda operation: operation.state == "dead")
        self.assertEqual(len(dead), 7)
        self.assertEqual(set(dead.mapped("error_class")), {"invalid_payload"})
        dead._requeue()
        self.drain()
        self.assertEqual(len(self.partners()), 7)
        self.assertEqual(sum(map(len, self.service.fetches)), 7)
        self.env["integration.staged.payload"]._gc_over()
        self.assertEqual(self.staged(), 0)

    def test_large_payloads_are_worked_on_in_smaller_batches(self):
        self.bring_payloads()
        self.patch(integration_staged_payload, "BATCH_BYTES", 200)
        self.backfill.action_start()
        self.drain()
        self.assertEqual(len(self.partners()), 7)
        self.assertEqual(self.service.fetches, [])

    def test_service_that_still_prepares_its_data(self):
        calls = []

        def fetch_all(resource, backend, since, page):
            calls.append(page)
            if len(calls) == 1:
                raise NotReadyError("The file is being made.", retry_after=60)
            return ChangePage([], {"file": 1}) if page is None else ChangePage([])

        self.patch(self.registry["integration.fake.contact"], "_fetch_all", fetch_all)
        self.backfill.action_start()
        self.drain()
        self.assertEqual(self.operations("backfill").attempts, 0)
        self.env.cr.execute("UPDATE integration_sync_log SET next_attempt_at = create_date")
        self.drain()
        self.advance()
        self.assertEqual(calls, [None, None, {"file": 1}])
        self.assertEqual((self.backfill.state, self.service.listings), ("done", []))

    def test_service_that_turns_out_not_to_hand_out_everything(self):
        def fetch_all(resource, backend, since, page):
            return ChangePage([], {"file": 1}) if page is None else None

        self.patch(self.registry["integration.fake.contact"], "_fetch_all", fetch_all)
        self.backfill.action_start()
        self.drain()
        self.advance()
        self.assertEqual((self.backfill.state, self.backfill.found), ("done", 7))
        self.assertEqual([page for _since, page in self.service.listings], [None, 3, 6])

    def test_lost_page_is_read_again(self):
        """A transaction that ends in the middle leaves neither operations nor a new position."""
        self.backfill.action_start()
        Backfill = type(self.env["integration.backfill"])
        write, broken = Backfill.write, []

        def fail_once(records, vals):
            if "cursor_page" in vals and len(self.service.listings) == 2 and not broken:
                broken.append(True)
                raise RetryableError("the connection is gone")
            return write(records, vals)

        self.patch(Backfill, "write", fail_once)
        self.drain()
        self.assertTrue(broken)
        self.assertEqual(self.backfill.found, 3)
        self.assertEqual(len(self.operations()), 3)
        self.env.cr.execute(
            "UPDATE integration_sync_log SET next_attempt_at = create_date WHERE state = 'pending'"
        )
        self.drain()
        self.advance()
        self.assertEqual((self.backfill.state, self.backfill.found), ("done", 7))
        self.assertEqual(len(self.operations()), 7, "no record twice")
        self.assertEqual([page for _since, page in self.service.listings], [None, 3, 3, 6])

    def test_failure_stops_and_resumes_at_the_page(self):
        self.backfill.action_start()
        resource = self.registry["integration.fake.contact"]
        fetch = resource._fetch_changes

        def refuse(resource, backend, since, page):
            if page:
                raise RequestRefused("The page is unknown.", status=400)
            return fetch(resource, backend, since, page)

        with patch.object(resource, "_fetch_changes", refuse):
            self.drain()
        self.advance()
        self.assertEqual(self.backfill.state, "failed")
        self.assertEqual(self.backfill.message, "The page is unknown.")
        self.assertEqual(self.backfill.found, 3)
        self.backfill.action_resume()
        self.drain()
        self.advance()
        self.assertEqual((self.backfill.state, self.backfill.found), ("done", 7))

    def test_retry_in_the_sync_log_resumes_as_well(self):
        self.backfill.action_start()
        resource = self.registry["integration.fake.contact"]
        error = RequestRefused("No.", status=400)
        with patch.object(resource, "_fetch_changes", side_effect=error):
            self.drain()
        self.advance()
        self.assertEqual(self.backfill.state, "failed")
        self.operations("backfill")._requeue()
        self.advance()
        self.assertEqual(self.backfill.state, "running")
        self.drain()
        self.assertEqual(self.backfill.found, 7)

    def test_cancel(self):
        with patch.object(type(self.env["integration.importer"]), "_run", lambda *args: None):
            self.backfill.action_start()
            self.drain()
        self.env.cr.execute("UPDATE integration_sync_log SET state = 'pending'")
        self.env.invalidate_all()
        self.backfill.action_cancel()
        self.assertEqual(self.backfill.state, "cancelled")
        self.assertEqual(set(self.operations().mapped("state")), {"ignored"})
        self.drain()
        self.assertFalse(self.partners())
        self.env["integration.backfill"].create({"flow_id": self.flow.id}).action_start()

    def test_one_at_a_time(self):
        self.backfill.action_start()
        with self.assertRaisesRegex(UserError, "before you delete"):
            self.backfill.unlink()
        second = self.env["integration.backfill"].create({"flow_id": self.flow.id})
        with self.assertRaisesRegex(ValidationError, "under way"):
            second.action_start()
        action = self.flow.action_import_history()
        self.assertEqual(action["res_id"], second.id)
        second.unlink()
        self.assertEqual(self.flow.action_import_history()["res_id"], self.backfill.id)

    def test_flow_has_to_be_ready(self):
        self.flow.enabled = False
        with self.assertRaisesRegex(UserError, "switched off"):
            self.backfill.action_start()

    @mute_logger("odoo.addons.base.models.ir_rule")
    def test_only_managers_start(self):
        operator = new_test_user(
            self.env, "load-operator", "integration_base.group_integration_operator"
        )
        with self.assertRaises(AccessError):
            self.backfill.with_user(operator).action_start()
        manager = new_test_user(
            self.env, "load-manager", "integration_base.group_integration_manager"
        )
        load = self.env["integration.backfill"].with_user(manager).browse(self.backfill.id)
        load.action_start()
        load.action_pause()
        load.action_resume()
        load.action_cancel()
        self.assertEqual(self.backfill.state, "cancelled")
