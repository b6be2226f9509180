"""Records go out of Odoo: newest state, once, and only when the service does not have it."""

from datetime import datetime
from unittest.mock import patch

from odoo import models
from odoo.tests import tagged
from odoo.tests.common import new_test_user

from ..lib.errors import RateLimitedError, RequestRefused
from ..lib.records import Change, Watch
from .common import IntegrationCase, add_fake_models


class Shelf:
    """What the service has of the exported records; ``errors`` maps names to what goes wrong."""

    def __init__(self):
        self.rows = {}
        self.calls = []
        self.errors = {}
        self.recovered = []
        self.deleted = []

    def put(self, item):
        """Create or update; the error ``after`` hits when the effect took place."""
        name = item.values["name"]
        error, after = self.errors.get(name, (None, False))
        if error and not after:
            raise error
        external_id = item.external_id or f"x{len(self.rows) + 1}"
        self.rows[external_id] = {**item.values, "reference": item.idempotency_key}
        if error:
            raise error
        return external_id


shelf = Shelf()


class FakeShelf(models.AbstractModel):
    _module = None
    _name = "integration.fake.shelf"
    _inherit = ["integration.resource"]
    _description = "Fake Shelf"

    _resource_name = "Shelves"
    _resource_model = "res.partner.category"
    _resource_direction = "both"
    _resource_export_scope = "all"
    _resource_deletes = True
    _resource_watches = (Watch("res.partner.category", ("name", "color")),)

    def _export_domain(self, backend):
        return [("name", "not like", "Private%")]

    def _export(self, backend, items):
        for item in items:
            item.values = {"name": item.record.name, "color": item.record.color}

    def _push(self, backend, items):
        shelf.calls.append([item.values["name"] for item in items])
        for item in items:
            item.mark_sent(shelf.put(item))

    def _push_deletion(self, backend, items):
        shelf.deleted += [item.external_id for item in items]

    def _recover(self, backend, items):
        shelf.recovered.append(len(items))
        by_reference = {row["reference"]: key for key, row in shelf.rows.items()}
        for item in items:
            item.external_id = by_reference.get(item.idempotency_key, "")

    def _fetch(self, backend, external_ids):
        return {key: {**shelf.rows[key], "id": key} for key in external_ids if key in shelf.rows}

    def _updated_at(self, data):
        return datetime(2026, 11, 1)

    def _map(self, backend, items):
        for item in items:
            item.values = {"name": item.data["name"], "color": item.data["color"]}

    def _apply(self, backend, items):
        for item in items:
            if item.record:
                item.record.write(item.values)
            else:
                item.record = self.env["res.partner.category"].create(item.values)


@tagged("post_install", "-at_install")
class TestExporter(IntegrationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        add_fake_models(cls, FakeShelf)
        cls.backend._create_missing_parts()
        flows = cls.backend.flow_ids.filtered(lambda flow: flow.resource == "shelf")
        cls.flow = flows.filtered(lambda flow: flow.direction == "out")
        cls.back = flows - cls.flow

    def setUp(self):
        super().setUp()
        shelf.__init__()
        self.start = self.env["integration.sync.log"].search([], limit=1).id or 0

    def make(self, *names):
        return self.env["res.partner.category"].create(
            [{"name": name, "color": 0} for name in names]
        )

    def names(self):
        return sorted(row["name"] for row in shelf.rows.values())

    def operations(self):
        return self.env["integration.sync.log"].search(
            [("flow_id", "=", self.flow.id), ("id", ">", self.start)], order="id"
        )

    def drain(self):
        self.env.cr.flush()
        return super().drain()

    def wait(self):
        """Let the time pass that waiting operations have to wait."""
        self.env.cr.execute(
            "UPDATE integration_sync_log SET next_attempt_at = create_date"
            " WHERE state = 'pending'; UPDATE integration_flow SET blocked_until = NULL"
        )
        self.env.invalidate_all()

    def test_changes_arrive_in_batches_and_once(self):
        records = self.make("A", "B", "C")
        records[0].color = 3
        self.drain()
        self.assertEqual(shelf.calls, [["A", "B", "C"]])
        self.assertEqual(self.names(), ["A", "B", "C"])
        self.assertEqual(set(self.operations().mapped("state")) - {"merged"}, {"done"})
        bindings = self.env["integration.binding"].search([("resource", "=", "shelf")])
        self.assertEqual(set(bindings.mapped("res_id")), set(records.ids))
        self.drain()
        self.assertEqual(len(shelf.calls), 1)

    def test_records_are_read_with_the_rights_of_the_user_it_works_as(self):
        clerk = new_test_user(
            self.env,
            "shelver",
            groups="base.group_user,integration_base.group_integration_operator",
        )
        self.backend.work_user_id = clerk
        seen = []

        def export(resource, backend, items):
            environments = [resource.env, backend.env, *(item.record.env for item in items)]
            seen.append({(env.uid, env.su) for env in environments})
            return _export(resource, backend, items)

        _export = FakeShelf._export
        self.startPatcher(patch.object(FakeShelf, "_export", export))
        record = self.make("A")
        self.drain()
        self.assertEqual((seen, self.names()), ([{(clerk.id, False)}], ["A"]))
        hidden = self.make("B")
        self.env["ir.rule"].create(
            {
                "name": "Shelvers may not read this one",
                "model_id": self.env["ir.model"]._get_id("res.partner.category"),
                "domain_force": f"[('id', '!=', {hidden.id})]",
            }
        )
        record.name = "A2"
        self.drain()
        refused = self.operations().filtered(lambda operation: operation.res_id == hidden.id)
        self.assertEqual((refused.state, refused.error_class), ("dead", "configuration"))
        self.assertIn(clerk.name, refused.message)
        self.assertEqual(self.names(), ["A2"])

    def test_unchanged_state_costs_no_call(self):
        record = self.make("A")
        self.drain()
        record.color = 5
        record.color = 0
        self.drain()
        self.assertEqual(len(shelf.calls), 1)
        self.assertEqual(self.operations()[-1].message, "Unchanged.")
        record.name = "A2"
        self.drain()
        self.assertEqual((shelf.calls[-1], self.names()), (["A2"], ["A2"]))

    def test_record_outside_the_domain_is_skipped(self):
        self.make("Private A")
        self.drain()
        operation = self.operations()
        self.assertEqual((operation.state, shelf.calls), ("skipped", []))
        self.assertIn("is not meant for Fake", operation.message)

    def test_refused_record_does_not_hold_up_the_others(self):
        self.make("A", "B", "C", "D")
        shelf.errors["C"] = (RequestRefused("C has no price.", status=422), False)
        self.drain()
        self.assertEqual(self.operations().mapped("state"), ["done", "done", "dead", "done"])
        self.assertEqual(self.names(), ["A", "B", "D"])

    def test_limit_in_the_middle_repeats_only_the_rest(self):
        self.make("A", "B", "C")
        shelf.errors["B"] = (RateLimitedError("Slow down", retry_after=5), False)
        self.drain()
        self.assertEqual(self.operations().mapped("state"), ["done", "pending", "pending"])
        shelf.errors.clear()
        self.wait()
        self.drain()
        self.assertEqual(shelf.calls, [["A", "B", "C"], ["B", "C"]])
        self.assertEqual(self.names(), ["A", "B", "C"])

    def test_deletion_reaches_the_service(self):
        record = self.make("A")
        self.drain()
        self.env.cr.execute("SELECT external_id FROM integration_binding WHERE resource = 'shelf'")
        [(external_id,)] = self.env.cr.fetchall()
        record.unlink()
        self.drain()
        self.assertEqual(shelf.deleted, [external_id])
        self.assertEqual(self.operations()[-1].state, "done")

    def test_record_deleted_before_it_was_sent_is_skipped(self):
        record = self.make("A")
        self.env.cr.flush()
        record.unlink()
        self.drain()
        self.assertEqual((self.operations()[0].state, shelf.calls), ("skipped", []))

    def test_imported_record_is_not_sent_back(self):
        """By its digest: also when something else makes an operation of it."""
        shelf.rows["x9"] = {"name": "From there", "color": 2}
        self.env["integration.sync.log"]._append(self.back, [Change("x9")], "webhook")
        self.env.flush_all()
        with self.enter_registry_test_mode():
            self.engine._drain(self.back.id)
        self.env.invalidate_all()
        record = self.env["res.partner.category"].search([("name", "=", "From there")])
        self.assertTrue(record)
        self.env["integration.sync.log"]._append_records(self.flow, record, "change")
        self.drain()
        self.assertEqual(shelf.calls, [])
        self.assertEqual(self.operations()[-1].message, "Unchanged.")

    def import_colour(self, key, colour):
        """Import a change of the service, of which only the colour is taken over."""
        shelf.rows[key]["color"] = colour

        def take_colour(resource, backend, items):
            for item in items:
                item.values = {"color": item.data["color"]}

        self.env["integration.sync.log"]._append(self.back, [Change(key)], "webhook")
        self.env.flush_all()
        with (
            patch.object(self.env.registry["integration.fake.shelf"], "_map", take_colour),
            self.enter_registry_test_mode(),
        ):
            self.env["integration.engine"]._drain(self.back.id)
        self.env.invalidate_all()

    def test_import_does_not_hide_a_change_that_waits(self):
        """The answer to what was sent first is read while the next change is on its way."""
        shelf_record = self.make("Oak")
        self.drain()
        ((key, _row),) = shelf.rows.items()
        shelf_record.name = "Beech"
        self.env.cr.flush()
        self.import_colour(key, 3)
        self.assertEqual(shelf_record.color, 3)
        self.drain()
        self.assertEqual(self.names(), ["Beech"])

    def test_import_of_foreign_fields_says_nothing_about_ours(self):
        """Where each field has one owner, what was read is not taken for what was sent."""
        shelf_record = self.make("Oak")
        self.drain()
        ((key, _row),) = shelf.rows.items()
        # without an operation, as a price changes by its date
        self.env.cr.execute(
            "UPDATE res_partner_category SET name = %s WHERE id = %s",
            ['{"en_US": "Beech"}', shelf_record.id],
        )
        self.env.invalidate_all()
        resource = self.env.registry["integration.fake.shelf"]
        with patch.object(resource, "_resource_imports_exported", False):
            self.import_colour(key, 3)
        self.env["integration.sync.log"]._append_records(self.flow, shelf_record, "change")
        self.drain()
        self.assertEqual(self.names(), ["Beech"])

    def test_queries_per_record(self):
        """Sending costs a fixed number of queries per batch and few per record."""
        counts = {}
        for size in (1, 50):
            self.make(*(f"{size}-{number}" for number in range(size)))
            self.env.cr.flush()
            before = self.env.cr.sql_log_count
            with self.enter_registry_test_mode():
                self.engine._drain(self.flow.id)
            counts[size] = self.env.cr.sql_log_count - before
            self.env.invalidate_all()
        self.assertLessEqual(counts[1], 50)
        self.assertLessEqual((counts[50] - counts[1]) / 49, 0.2, counts)
