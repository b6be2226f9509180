"""What is kept long enough goes; what somebody still needs stays."""

from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import AccessError
from odoo.tests import Form, new_test_user, tagged

from ..models import integration_retention
from .common import IntegrationCase

STATES = ("pending", "running", "done", "merged", "skipped", "dead", "ignored")


class RetentionCase(IntegrationCase):
    def setUp(self):
        super().setUp()
        self.retention = self.env["integration.retention"]
        self.now = fields.Datetime.now()

    def add_operations(self, state, days, count=1, **columns):
        """Insert operations that ended so many days ago; returns them."""
        ended = self.now - timedelta(days=days)
        values = {
            "flow_id": self.flow.id,
            "backend_id": self.backend.id,
            "company_id": self.backend.company_id.id,
            "resource": "contact",
            "kind": "record",
            "trigger": "webhook",
            "state": state,
            "create_date": ended,
            "next_attempt_at": ended,
            "finished_at": None if state in ("pending", "running") else ended,
            **columns,
        }
        return self.insert("integration.sync.log", values, count, "key", f"'{state}{days}-' || n")

    def add_events(self, days, count=1, **columns):
        values = {
            "backend_id": self.backend.id,
            "company_id": self.backend.company_id.id,
            "received_at": self.now - timedelta(days=days),
            "state": "accepted",
            "count": 1,
            **columns,
        }
        return self.insert(
            "integration.webhook.event", values, count, "event_id", f"'{days}-' || n"
        )

    def add_exchanges(self, days, count=1, **columns):
        values = {
            "backend_id": self.backend.id,
            "company_id": self.backend.company_id.id,
            "at": self.now - timedelta(days=days),
            "method": "GET",
            **columns,
        }
        return self.insert("integration.exchange", values, count, "url", "'https://e/' || n")

    def insert(self, model, values, count, column, expression):
        names = ", ".join(f'"{name}"' for name in (*values, column))
        marks = ", ".join(["%s"] * len(values))
        self.env.cr.execute(
            f"INSERT INTO {self.env[model]._table} ({names})"
            f" SELECT {marks}, {expression} FROM generate_series(1, %s) n RETURNING id",
            [*values.values(), count],
        )
        return self.env[model].browse(row[0] for row in self.env.cr.fetchall())

    def clean_up(self, backend=None):
        self.env.flush_all()
        with self.enter_registry_test_mode():
            counts, done = self.retention._clean_up(backend or self.backend)
        self.env.invalidate_all()
        self.assertTrue(done)
        return counts


@tagged("post_install", "-at_install")
class TestRetentionByAge(RetentionCase):
    def test_operations_by_what_became_of_them(self):
        limits = {"done": 30, "merged": 30, "skipped": 30, "dead": 365, "ignored": 365}
        old = {state: self.add_operations(state, limits.get(state, 5000) + 1) for state in STATES}
        young = {state: self.add_operations(state, limits.get(state, 2) - 1) for state in STATES}
        self.assertEqual(
            self.clean_up(), {"operations": 3, "failures": 2, "events": 0, "exchanges": 0}
        )
        for state in STATES:
            with self.subTest(state=state):
                self.assertEqual(bool(old[state].exists()), state in ("pending", "running"))
                self.assertTrue(young[state].exists())

    def test_operation_without_an_end_counts_from_its_beginning(self):
        aside = self.add_operations("ignored", 400, finished_at=None)
        self.clean_up()
        self.assertFalse(aside.exists())

    def test_attempts_and_links_go_with_their_operation(self):
        mapping = self.env["integration.mapping"].create(
            {"backend_id": self.backend.id, "kind": "country", "external_value": "XX"}
        )
        operation = self.add_operations("done", 31)
        operation.mapping_ids = mapping
        merged = self.add_operations("merged", 29, merged_into_id=operation.id)
        attempt = self.env["integration.sync.attempt"].create(
            {
                "operation_id": operation.id,
                "company_id": operation.company_id.id,
                "at": operation.finished_at,
            }
        )
        self.clean_up()
        self.assertFalse(attempt.exists())
        self.assertTrue(mapping.exists())
        self.assertFalse(merged.merged_into_id)

    def test_events_and_exchanges(self):
        old_event, young_event = self.add_events(31), self.add_events(29)
        old, young = self.add_exchanges(15), self.add_exchanges(13)
        self.assertEqual(
            self.clean_up(), {"operations": 0, "failures": 0, "events": 1, "exchanges": 1}
        )
        self.assertEqual((old_event | young_event).exists(), young_event)
        self.assertEqual((old | young).exists(), young)

    def test_what_an_open_operation_goes_back_to_stays(self):
        for number, state in enumerate(STATES):
            event = self.add_events(50 + number)
            # by the operation itself, and by one of its failed attempts
            operation = self.add_operations(
                state, 1, webhook_event_id=event.id, batch_ref=f"own-{state}"
            )
            self.env["integration.sync.attempt"].create(
                {
                    "operation_id": operation.id,
                    "company_id": operation.company_id.id,
                    "at": self.now,
                    "batch_ref": f"tried-{state}",
                }
            )
            exchanges = self.add_exchanges(50, batch_ref=f"own-{state}") | self.add_exchanges(
                50, batch_ref=f"tried-{state}"
            )
            needed = state in ("pending", "running", "dead")
            with self.subTest(state=state):
                self.clean_up()
                self.assertEqual(bool(event.exists()), needed)
                self.assertEqual(exchanges.exists(), exchanges if needed else exchanges.browse())

    def test_what_a_person_has_to_decide_about_stays(self):
        events = {
            state: self.add_events(days)
            for days, state in enumerate(("waiting", "held", "running", "done", "closed"), 400)
        }
        self.env["integration.privacy.request"].create(
            [
                {
                    "company_id": self.backend.company_id.id,
                    "backend_id": self.backend.id,
                    "kind": "manual",
                    "state": state,
                    "event_id": event.id,
                }
                for state, event in events.items()
            ]
        )
        self.clean_up()
        left = {state for state, event in events.items() if event.exists()}
        self.assertEqual(left, {"waiting", "held", "running"})

    def test_zero_keeps_for_ever(self):
        self.backend.write(
            {
                "keep_done_days": 0,
                "keep_failed_days": 0,
                "keep_events_days": 0,
                "keep_exchanges_days": 0,
            }
        )
        rows = (self.add_operations("done", 5000), self.add_exchanges(5000), self.add_events(5000))
        self.clean_up()
        self.assertTrue(all(row.exists() for row in rows))

    def test_each_backend_has_its_own_settings(self):
        other = self.backend.copy({"name": "Other", "keep_exchanges_days": 60})
        mine = self.add_exchanges(20)
        theirs = self.add_exchanges(20, backend_id=other.id)
        self.clean_up()
        self.assertFalse(mine.exists())
        self.clean_up(other)
        self.assertTrue(theirs.exists())

    def test_incident_ends_with_its_last_failure(self):
        self.add_operations("dead", 400, error_class="bug", fingerprint="f", message="Broken")
        self.env["integration.incident"]._refresh(self.flow.ids)
        incident = self.env["integration.incident"].search([("flow_id", "=", self.flow.id)])
        self.assertEqual(incident.state, "open")
        self.clean_up()
        self.assertEqual(incident.state, "closed")


@tagged("post_install", "-at_install")
class TestRetentionBySize(RetentionCase):
    def test_oldest_go_until_the_rest_fits(self):
        self.backend.keep_exchanges_mb = 1
        # does not compress: 10 rows of about 200 kB
        self.env.cr.execute("SELECT string_agg(md5(n::text), '') FROM generate_series(1, 6250) n")
        body = self.env.cr.fetchone()[0]
        exchanges = self.env["integration.exchange"].concat(
            *(self.add_exchanges(days, response_body=f"{days}{body}") for days in range(10, 0, -1))
        )
        self.env.cr.execute("SELECT avg(pg_column_size(response_body)) FROM integration_exchange")
        fit = int(integration_retention.MEGABYTE // (self.env.cr.fetchone()[0] + 300))
        self.assertTrue(3 <= fit < 10, fit)
        counts = self.clean_up()
        self.assertEqual(counts["exchanges"], 10 - fit)
        self.assertEqual(exchanges.exists(), exchanges[10 - fit :])
        self.assertEqual(self.clean_up()["exchanges"], 0, "the rest fits")

    def test_open_ones_stay_however_large(self):
        self.backend.keep_done_mb = 1
        with patch.object(integration_retention, "MEGABYTE", 1):
            done = self.add_operations("done", 1)
            dead = self.add_operations("dead", 1, batch_ref="b")
            self.backend.keep_exchanges_mb = 1
            exchange = self.add_exchanges(1, batch_ref="b")
            pending = self.add_operations("pending", 1)
            self.clean_up()
        self.assertFalse(done.exists())
        self.assertTrue(dead.exists() and pending.exists() and exchange.exists())


@tagged("post_install", "-at_install")
class TestRetentionCost(RetentionCase):
    def test_many_rows(self):
        """Batches, each one statement; rows that stay are looked at once."""
        batch = integration_retention.BATCH
        kept = self.add_exchanges(50, 3 * batch, batch_ref="open")
        self.add_operations("pending", 60, batch_ref="open")
        self.add_exchanges(40, 2 * batch + 1)
        self.add_operations("done", 40, batch + 1)
        self.env.flush_all()
        before = self.env.cr.sql_log_count
        counts = self.clean_up()
        queries = self.env.cr.sql_log_count - before
        self.assertEqual(counts["operations"], batch + 1)
        self.assertEqual(counts["exchanges"], 2 * batch + 1)
        self.assertEqual(len(kept.exists()), 3 * batch)
        # 5 batches of deletion, two looks at the sizes of each kind, and storing the figures
        self.assertLessEqual(queries, 5 + 2 * 4 + 20)

    def test_deleting_finds_what_points_at_it_by_an_index(self):
        """A foreign key without an index reads its whole table for each deleted row."""
        self.env.cr.execute(
            """
            SELECT c.conrelid::regclass::text, a.attname
              FROM pg_constraint c
              JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
             WHERE c.contype = 'f' AND c.confrelid = ANY(%s::regclass[])
               AND NOT EXISTS (SELECT 1 FROM pg_index i
                                WHERE i.indrelid = c.conrelid AND i.indkey[0] = a.attnum)
            """,
            [list({kind.table for kind in integration_retention.KINDS})],
        )
        wizards = {model._table for model in self.env.values() if model._transient}
        missing = [row for row in self.env.cr.fetchall() if row[0] not in wizards]
        self.assertEqual(missing, [])

    def test_expired_rows_are_found_by_an_index(self):
        self.add_operations("done", 1, 3000)
        self.add_events(1, 3000)
        self.add_exchanges(1, 3000)
        self.env.flush_all()
        execute = type(self.env.cr).execute
        plans = []

        def explain(cr, query, *args, **kwargs):
            if "gone AS" in getattr(query, "code", ""):
                self.env.cr._obj.execute(
                    "EXPLAIN " + self.env.cr.mogrify(query).decode(),
                )
                plans.append("\n".join(row[0] for row in self.env.cr._obj.fetchall()))
            return execute(cr, query, *args, **kwargs)

        self.env.cr.execute(
            "ANALYZE integration_sync_log, integration_exchange, integration_webhook_event"
        )
        # a small table is read as a whole, whatever index it has
        self.env.cr.execute("SET LOCAL enable_seqscan = off")
        with patch.object(type(self.env.cr), "execute", explain):
            self.clean_up()
        self.assertEqual(len(plans), 4)
        for plan, index in zip(
            plans, ("done_index", "failed_index", "received_index", "at_index"), strict=True
        ):
            self.assertIn(index, plan)


@tagged("post_install", "-at_install")
class TestRetentionRuns(RetentionCase):
    def test_cron(self):
        archived = self.backend.copy({"name": "Archived", "active": False})
        rows = self.add_exchanges(20) | self.add_exchanges(20, backend_id=archived.id)
        self.env.flush_all()
        cron = self.env.ref("integration_base.ir_cron_retention")
        with self.enter_registry_test_mode():
            cron.method_direct_trigger()
        self.env.invalidate_all()
        self.assertFalse(rows.exists())
        self.assertEqual(self.backend.kept["exchanges"]["count"], 0)

    def test_cron_that_runs_out_of_time_goes_on_later(self):
        rows = self.add_exchanges(20) | self.add_exchanges(20)
        self.env.flush_all()
        Cron = type(self.env["ir.cron"])
        with (
            patch.object(integration_retention, "BATCH", 1),
            patch.object(Cron, "_commit_progress", return_value=0) as progress,
            self.enter_registry_test_mode(),
        ):
            self.retention._cron_clean_up()
        self.assertEqual(len(rows.exists()), 1)
        self.assertEqual(progress.call_args.kwargs, {"remaining": 1})

    def test_button_says_what_it_deleted(self):
        self.add_exchanges(20)
        self.add_operations("done", 40, 2)
        self.env.flush_all()
        with self.enter_registry_test_mode():
            message = self.backend.action_clean_up()["params"]["message"]
            self.assertEqual(message, "Deleted: Finished operations: 2, HTTP exchanges: 1.")
            message = self.backend.action_clean_up()["params"]["message"]
        self.assertEqual(message, "Nothing is older or larger than it may be.")

    def test_button_leaves_what_takes_long_to_the_cron(self):
        self.add_exchanges(20, 2)
        self.env.flush_all()
        cron = self.env.ref("integration_base.ir_cron_retention")
        triggers = self.env["ir.cron.trigger"].search_count([("cron_id", "=", cron.id)])
        with (
            patch.object(integration_retention, "BATCH", 1),
            patch.object(
                integration_retention.IntegrationRetention._clean_up, "__defaults__", (-1,)
            ),
            self.enter_registry_test_mode(),
        ):
            message = self.backend.action_clean_up()["params"]["message"]
        self.assertIn("HTTP exchanges: 1. There is more", message)
        self.assertEqual(
            self.env["ir.cron.trigger"].search_count([("cron_id", "=", cron.id)]), triggers + 1
        )

    def test_figures_on_the_form(self):
        self.add_exchanges(1, 1234)
        self.clean_up()
        with Form(self.backend) as form:
            self.assertIn("1,234", form.kept_summary)
            self.assertNotIn("None", form.kept_summary)
            form.keep_exchanges_days = 7
        self.assertEqual(self.backend.keep_exchanges_days, 7)

    def test_only_managers_clean_up(self):
        operator = new_test_user(
            self.env, "retention-operator", "integration_base.group_integration_operator"
        )
        with self.assertRaises(AccessError):
            self.backend.with_user(operator).action_clean_up()
