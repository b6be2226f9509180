"""Changes of watched records become operations, exactly as far as they are committed."""

import base64
from contextlib import contextmanager
from unittest import SkipTest
from unittest.mock import patch

from odoo import SUPERUSER_ID, Command, api, fields, models
from odoo.tests import tagged
from odoo.tools import mute_logger

from ..lib.records import Change, Watch
from ..models import integration_outbox
from .common import IntegrationCase, add_fake_models

OUTBOX = "odoo.addons.integration_base.models.integration_outbox"
PIXEL = base64.b64encode(
    base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
)


class FakeCustomer(models.AbstractModel):
    _module = None
    _name = "integration.fake.customer"
    _inherit = ["integration.resource"]
    _description = "Fake Customer"

    _resource_name = "Customers"
    _resource_model = "res.partner"
    _resource_direction = "out"
    _resource_deletes = True
    _resource_watches = (
        Watch(
            "res.partner",
            ("name", "active", "complete_name", "category_id", "image_1920", "website"),
        ),
        Watch("res.partner.bank", ("acc_number",), "partner_id"),
        Watch("res.users", ("login",), "partner_id"),
        Watch("res.partner", ("street",), "parent_id"),
    )


class FakeTag(models.AbstractModel):
    _module = None
    _name = "integration.fake.tag"
    _inherit = ["integration.resource"]
    _description = "Fake Tag"

    _resource_name = "Tags"
    _resource_model = "res.partner.category"
    _resource_direction = "out"
    _resource_export_scope = "all"
    _resource_watches = (Watch("res.partner.category", ("name", "parent_id")),)


class FakeAccount(models.AbstractModel):
    _module = None
    _name = "integration.fake.account"
    _inherit = ["integration.resource"]
    _description = "Fake Account"

    _resource_name = "Accounts"
    _resource_model = "res.users"
    _resource_direction = "out"
    _resource_export_scope = "all"
    #: the name is one of the user's partner
    _resource_watches = (Watch("res.users", ("name",)),)


class FakeMember(models.AbstractModel):
    _module = None
    _name = "integration.fake.member"
    _inherit = ["integration.fake.contact"]
    _description = "Fake Member"

    _resource_name = "Members"
    _resource_direction = "both"
    _resource_export_scope = "all"
    _resource_watches = (Watch("res.partner", ("name", "color")),)

    def _export(self, backend, items):
        for item in items:
            item.values = {"name": item.record.name}


class OutboxCase(IntegrationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        add_fake_models(cls, FakeCustomer, FakeTag, FakeAccount, FakeMember)
        cls.backend._create_missing_parts()
        cls.flows = {
            flow.resource: flow for flow in cls.backend.flow_ids if flow.direction == "out"
        }
        cls.customers = cls.flows["customer"]
        cls.partner = cls.env["res.partner"].create({"name": "Known"})
        cls.bind(cls.partner)
        cls.env.cr.flush()

    @classmethod
    def bind(cls, record, backend=None, resource="customer", **values):
        """Link a record to an external one of the same id."""
        return cls.env["integration.binding"].create(
            {
                "backend_id": (backend or cls.backend).id,
                "resource": resource,
                "external_id": f"ext-{record.id}",
                "external_label": record.display_name,
                "res_model": record._name,
                "res_id": record.id,
                **values,
            }
        )

    def setUp(self):
        super().setUp()
        # what was noted before belongs to no test
        self.env.cr.flush()
        self.start = self.env["integration.sync.log"].search([], limit=1).id or 0

    def appended(self, flow=None):
        """Run what runs before a commit; return the operations appended by this test."""
        self.env.cr.flush()
        self.env.invalidate_all()
        flow = flow or self.customers
        return self.env["integration.sync.log"].search(
            [("id", ">", self.start), ("flow_id", "=", flow.id)], order="id"
        )

    def keys(self, flow=None):
        """Return the ids of the records that operations were appended for, in their order."""
        return [int(operation.key) for operation in self.appended(flow)]

    @contextmanager
    def statements(self):
        """Collect the statements of the outbox that are executed meanwhile."""
        found = []
        execute = type(self.env.cr).execute

        def spy(cr, query, *args, **kwargs):
            code = getattr(query, "code", query)
            if "INSERT INTO integration_sync_log" in code:
                found.append(code)
            return execute(cr, query, *args, **kwargs)

        with patch.object(type(self.env.cr), "execute", spy):
            yield found

    def count_queries(self, change):
        """Return the number of queries that a change takes, up to and with its flush."""
        self.env.cr.flush()
        before = self.env.cr.sql_log_count
        change()
        self.env.cr.flush()
        return self.env.cr.sql_log_count - before


@tagged("post_install", "-at_install")
class TestOutboxChanges(OutboxCase):
    def test_changed_record_becomes_an_operation(self):
        self.partner.name = "Renamed"
        operation = self.appended()
        self.assertRecordValues(
            operation,
            [
                {
                    "flow_id": self.customers.id,
                    "backend_id": self.backend.id,
                    "company_id": self.backend.company_id.id,
                    "resource": "customer",
                    "direction": "out",
                    "kind": "record",
                    "key": str(self.partner.id),
                    "external_id": f"ext-{self.partner.id}",
                    "label": "Known",
                    "res_model": "res.partner",
                    "res_id": self.partner.id,
                    "trigger": "change",
                    "priority": 10,
                    "state": "pending",
                    "attempts": 0,
                    "force": False,
                    "deleted": False,
                    "create_uid": self.env.user.id,
                }
            ],
        )
        now = fields.Datetime.now()
        self.assertAlmostEqual((operation.next_attempt_at - now).total_seconds(), 0, delta=5)

    def test_several_writes_of_one_flush_are_one_operation(self):
        self.partner.name = "One"
        self.partner.name = "Two"
        self.partner.active = False
        self.assertEqual(self.keys(), [self.partner.id])

    def test_fields_nobody_watches_and_equal_values_do_nothing(self):
        self.partner.write({"comment": "Nobody watches this", "name": "Known"})
        self.assertFalse(self.appended())

    def test_stored_computed_field(self):
        company = self.env["res.partner"].create({"name": "Parent", "is_company": True})
        self.partner.parent_id = company
        self.appended()
        self.start = self.env["integration.sync.log"].search([], limit=1).id
        company.name = "Renamed parent"
        self.assertEqual(self.keys(), [self.partner.id], "its complete name has changed")

    def test_many2many_from_both_sides(self):
        tag = self.env["res.partner.category"].create({"name": "Tag"})
        self.assertFalse(self.appended())
        self.partner.category_id = tag
        self.assertEqual(self.keys(), [self.partner.id])
        self.env.invalidate_all()
        other = self.env["res.partner"].create({"name": "Other"})
        self.bind(other)
        tag.write({"partner_ids": [Command.link(other.id)]})
        self.assertEqual(self.keys(), [self.partner.id, other.id])

    def test_image(self):
        self.partner.image_1920 = PIXEL
        self.assertEqual(self.keys(), [self.partner.id])

    def test_translation(self):
        tag = self.env["res.partner.category"].create({"name": "Tag"})
        self.assertEqual(self.keys(self.flows["tag"]), [tag.id])
        tag.update_field_translations("name", {"en_US": "Label"})
        self.assertEqual(self.keys(self.flows["tag"]), [tag.id, tag.id])

    def test_only_known_records_unless_all_are_exported(self):
        stranger = self.env["res.partner"].create({"name": "Stranger"})
        stranger.name = "Stranger still"
        self.assertFalse(self.appended())
        tag = self.env["res.partner.category"].create({"name": "Tag"})
        self.assertEqual(self.keys(self.flows["tag"]), [tag.id])
        self.assertFalse(self.appended(self.flows["tag"]).external_id)

    def test_record_that_is_gone_outside_is_not_exported(self):
        binding = self.env["integration.binding"].search([("res_id", "=", self.partner.id)])
        binding.deleted_at = fields.Datetime.now()
        self.partner.name = "Renamed"
        self.assertFalse(self.appended())

    def test_archived_record(self):
        self.partner.action_archive()
        self.assertEqual(self.keys(), [self.partner.id])

    def test_records_of_module_data(self):
        values = {"name": "From a file"}
        for noupdate in (False, True):
            tag = self.env["res.partner.category"]._load_records(
                [
                    {
                        "xml_id": f"integration_base.outbox_tag_{noupdate}",
                        "values": values,
                        "noupdate": noupdate,
                    }
                ]
            )
            self.assertEqual(self.keys(self.flows["tag"])[-1], tag.id)

    def test_copy_and_import_of_data(self):
        result = self.env["res.partner.category"].load(["name"], [["Loaded"], ["Loaded too"]])
        copied = self.env["res.partner.category"].browse(result["ids"][0]).copy()
        self.assertEqual(set(self.keys(self.flows["tag"])), {*result["ids"], copied.id})


@tagged("post_install", "-at_install")
class TestOutboxPaths(OutboxCase):
    def setUp(self):
        super().setUp()
        self.other = self.env["res.partner"].create({"name": "Other"})
        self.bind(self.other)
        self.env.cr.flush()
        self.start = self.env["integration.sync.log"].search([], limit=1).id or 0
        self.account = self.env["res.partner.bank"].create(
            {"acc_number": "1", "partner_id": self.partner.id}
        )

    def test_change_behind_a_path(self):
        self.assertEqual(self.keys(), [self.partner.id], "a new record behind the path")
        self.account.acc_number = "2"
        self.assertEqual(self.keys(), [self.partner.id] * 2)

    def test_leaving_a_record_concerns_both(self):
        self.appended()
        self.account.partner_id = self.other
        self.assertEqual(sorted(self.keys()[1:]), [self.partner.id, self.other.id])

    def test_deletion_behind_a_path(self):
        child = self.env["res.partner"].create({"name": "Child", "parent_id": self.other.id})
        count = len(self.appended())
        child.unlink()
        operations = self.appended()[count:]
        self.assertEqual(operations.mapped("res_id"), [self.other.id])
        self.assertFalse(operations.deleted)

    def test_field_of_a_delegated_model(self):
        user = self.env["res.users"].create({"name": "Ann", "login": "ann-of-the-outbox"})
        accounts = self.flows["account"]
        self.assertEqual(set(self.keys(accounts)), {user.id})
        count = len(self.appended(accounts))
        user.partner_id.name = "Anna"
        self.assertEqual(self.keys(accounts)[count:], [user.id])

    def test_path_over_lines(self):
        watch = Watch("res.country", ("name",), "state_ids")
        resource = self.env["integration.fake.customer"]
        with (
            patch.object(type(resource), "_resource_model", "res.country.state"),
            patch.object(type(resource), "_resource_watches", (watch,)),
        ):
            country = self.env.ref("base.be")
            state = country.state_ids[0]
            self.bind(state)
            self.env["integration.outbox"]._forget_index()
            country.name = "Belgique"
            self.assertIn(state.id, self.keys())
        self.env["integration.outbox"]._forget_index()

    def test_watch_that_cannot_be_evaluated(self):
        resource = self.env["integration.fake.customer"]
        outbox = self.env["integration.outbox"]
        for watch, reason in (
            (Watch("no.model", ("name",)), "unknown model"),
            (Watch("res.partner", ("no_field",)), "not stored"),
            (Watch("res.partner", ("child_ids",)), "for lines, their model with a path"),
            (Watch("res.partner", ("display_name",)), "not stored"),
            (Watch("res.partner.bank", ("acc_number",)), "leads to res.partner.bank"),
            (Watch("res.partner", ("name",), "category_id"), "no stored many2one"),
            (Watch("res.partner", ("name",), "nowhere"), "no stored many2one"),
        ):
            with self.subTest(watch=watch), self.assertRaisesRegex(ValueError, reason):
                outbox._resolve(resource, watch)

    def test_broken_watch_stops_neither_people_nor_other_watches(self):
        broken = Watch("res.partner", ("gone",))
        watches = (broken, *FakeCustomer._resource_watches)
        resource = type(self.env["integration.fake.customer"])
        with (
            patch.object(resource, "_resource_watches", watches),
            self.assertLogs(OUTBOX, "ERROR") as log,
        ):
            self.appended()
            self.env["integration.outbox"]._forget_index()
            self.other.name = "Saved all the same"
            self.assertEqual(self.keys()[1:], [self.other.id])
            outbox = self.env["integration.outbox"]
            outbox._report_broken()
            outbox._report_broken()
            incident = self.env["integration.incident"].search(
                [("flow_id", "=", self.customers.id)]
            )
            self.assertEqual((len(incident), incident.state), (1, "open"))
            self.assertIn("res.partner.gone", incident.message)
        self.assertIn("res.partner.gone", log.output[0])
        outbox._forget_index()
        outbox._report_broken()
        self.assertEqual(incident.state, "closed")


@tagged("post_install", "-at_install")
class TestOutboxDeletion(OutboxCase):
    def test_deleted_record_leaves_an_operation_with_its_external_id(self):
        key, external_id = self.partner.id, f"ext-{self.partner.id}"
        self.partner.name = "Changed before"
        self.partner.unlink()
        operation = self.appended()
        self.assertRecordValues(
            operation,
            [{"key": str(key), "external_id": external_id, "deleted": True, "label": "Known"}],
        )

    def test_deletion_nobody_asked_for(self):
        tag = self.env["res.partner.category"].create({"name": "Tag"})
        tag.unlink()
        self.assertFalse(self.appended(self.flows["tag"]), "created and deleted in one go")
        stranger = self.env["res.partner"].create({"name": "Stranger"})
        stranger.unlink()
        self.assertFalse(self.appended())

    def test_deletion_that_is_rolled_back(self):
        with self.assertRaises(ZeroDivisionError), self.env.cr.savepoint():
            self.partner.unlink()
            raise ZeroDivisionError
        self.assertFalse(self.appended())


@tagged("post_install", "-at_install")
class TestOutboxTransactions(OutboxCase):
    def rename(self, name):
        self.partner.name = name

    def test_change_before_a_savepoint_is_kept(self):
        self.rename("Before")
        with self.assertRaises(ZeroDivisionError), self.env.cr.savepoint():
            self.partner.active = False
            raise ZeroDivisionError
        self.assertEqual(self.keys(), [self.partner.id])

    def test_change_within_a_rolled_back_savepoint_is_dropped(self):
        with self.assertRaises(ZeroDivisionError), self.env.cr.savepoint():
            self.rename("Within")
            raise ZeroDivisionError
        self.assertFalse(self.appended())
        with self.assertRaises(ZeroDivisionError), self.env.cr.savepoint():
            self.rename("Within, and written")
            self.env.cr.flush()
            self.assertEqual(len(self.appended()), 1)
            raise ZeroDivisionError
        self.assertFalse(self.appended())

    def test_change_after_a_rolled_back_savepoint_is_kept(self):
        with self.assertRaises(ZeroDivisionError), self.env.cr.savepoint():
            self.rename("Within")
            self.env.cr.flush()
            raise ZeroDivisionError
        self.rename("After")
        self.assertEqual(self.keys(), [self.partner.id])

    def test_change_by_another_hook_before_the_commit(self):
        self.rename("One")
        self.env.cr.precommit.add(lambda: self.partner.write({"name": "Two"}))
        self.env.cr.flush()
        self.env.cr.precommit.add(lambda: self.partner.write({"name": "Three"}))
        self.assertEqual(self.keys(), [self.partner.id] * 3)

    def test_whole_rollback(self):
        self.rename("Never committed")
        self.env.flush_all()
        self.env.cr.clear()
        self.assertFalse(self.appended())

    def test_error_of_the_statement_is_the_one_of_the_transaction(self):
        """Fail closed: neither the change without its operation, nor silence."""
        self.rename("Refused")
        outbox = type(self.env["integration.outbox"])
        raised = None
        with patch.object(outbox, "_changed", side_effect=KeyError("bug")):
            try:
                self.env.cr.flush()
            except KeyError as error:
                raised = error
        self.env.cr.clear()
        self.assertTrue(raised)

    def test_flow_deleted_meanwhile(self):
        self.rename("Renamed")
        self.customers.unlink()
        self.env.cr.flush()
        self.assertFalse(
            self.env["integration.sync.log"].search_count(
                [("id", ">", self.start), ("resource", "=", "customer")]
            )
        )


@tagged("post_install", "-at_install")
class TestOutboxCost(OutboxCase):
    def many_partners(self, count):
        return self.env["res.partner"].create(
            [{"name": f"Partner {number}"} for number in range(count)]
        )

    def test_unwatched_model_costs_no_query(self):
        country = self.env.ref("base.be")
        country.name = "Warm"
        self.env.cr.flush()
        with patch.object(type(self.env["integration.outbox"]), "_watches", lambda *_args: ()):
            floor = self.count_queries(lambda: country.write({"name": "One"}))
        self.assertEqual(self.count_queries(lambda: country.write({"name": "Two"})), floor)

    def test_unwatched_field_costs_no_query(self):
        self.partner.comment = "Warm"
        self.env.cr.flush()
        with self.statements() as found:
            self.partner.comment = "Cold"
            self.env.cr.flush()
        self.assertFalse(found)

    def test_one_query_for_any_number_of_records_and_flows(self):
        partners = self.many_partners(1000)
        for partner in partners:
            self.bind(partner)
        second = self.backend.copy({"name": "Second"})
        second.state = "active"
        for partner in partners[:10]:
            self.bind(partner, second)
        self.env.cr.flush()
        twin = second.flow_ids.filtered(lambda flow: flow.resource == "customer")

        for changed in (partners[0], partners):
            changed.write({"name": "Warm"})
            self.env.cr.flush()
            with patch.object(type(self.env["integration.outbox"]), "_watches", lambda *_args: ()):
                floor = self.count_queries(lambda: changed.write({"name": "Unseen"}))  # noqa: B023
            self.start = self.env["integration.sync.log"].search([], limit=1).id
            with self.statements() as found:
                cost = self.count_queries(lambda: changed.write({"name": "Seen"}))  # noqa: B023
            self.assertEqual(cost, floor + 1)
            self.assertEqual(len(found), 1)
            self.assertEqual(self.keys(), changed.ids)
            self.assertEqual(self.keys(twin), changed[:10].ids)

    def test_mass_import_is_one_statement(self):
        with self.statements() as found:
            tags = self.env["res.partner.category"].create(
                [{"name": f"Tag {number}"} for number in range(10_000)]
            )
            self.env.cr.flush()
        self.assertEqual(len(found), 1)
        self.assertEqual(self.keys(self.flows["tag"]), tags.ids)


@tagged("post_install", "-at_install")
class TestOutboxFlows(OutboxCase):
    def test_flows_that_collect_no_changes(self):
        for record, off, on in (
            (self.customers, {"enabled": False}, {"enabled": True}),
            (self.backend, {"active": False}, {"active": True}),
            (self.backend, {"state": "draft"}, {"state": "active"}),
        ):
            with self.subTest(off=off):
                record.write(off)
                self.partner.name = f"Unseen {off}"
                self.assertFalse(self.appended())
                record.write(on)
                self.partner.name = f"Seen {on}"
                self.assertEqual(self.keys(), [self.partner.id])
                self.appended().unlink()

    def test_paused_backend_collects(self):
        self.backend.action_pause()
        self.partner.name = "Renamed"
        self.assertEqual(self.keys(), [self.partner.id])

    def test_connector_that_is_not_installed(self):
        self.env["integration.flow"].create(
            {"backend_id": self.backend.id, "resource": "gone", "direction": "out"}
        )
        self.partner.name = "Renamed"
        self.assertEqual(self.keys(), [self.partner.id])

    def test_other_companies_keep_their_records(self):
        company = self.env["res.company"].create({"name": "Elsewhere"})
        branch = self.env["res.company"].create(
            {"name": "Branch", "parent_id": self.backend.company_id.id}
        )
        resource = type(self.env["integration.fake.customer"])
        with patch.object(resource, "_resource_export_scope", "all"):
            self.env["integration.outbox"]._forget_index()
            names = {}
            for owner in (self.backend.company_id, company, branch, company.browse()):
                partner = self.env["res.partner"].create(
                    {"name": owner.name or "Everybody", "company_id": owner.id}
                )
                names[partner.id] = partner.name
            mine = [names[key] for key in self.keys() if key in names]
            self.assertEqual(mine, [self.backend.company_id.name, "Everybody"])
            # a branch may use the records of the companies above it
            self.env.cr.execute(
                "UPDATE integration_flow SET company_id = %s WHERE id = %s",
                [branch.id, self.customers.id],
            )
            self.start = self.env["integration.sync.log"].search([], limit=1).id
            for key in names:
                self.env["res.partner"].browse(key).name = f"{names[key]} again"
            mine = [names[key] for key in self.keys()]
            self.assertEqual(mine, [self.backend.company_id.name, "Branch", "Everybody"])
        self.env["integration.outbox"]._forget_index()

    def test_binding_decides_for_a_record_of_another_company(self):
        company = self.env["res.company"].create({"name": "Elsewhere"})
        self.partner.company_id = company
        self.partner.name = "Renamed"
        self.assertEqual(self.keys(), [self.partner.id])


@tagged("post_install", "-at_install")
class TestOutboxOrigin(OutboxCase):
    def setUp(self):
        super().setUp()
        self.second = self.backend.copy({"name": "Second"})
        self.second.state = "active"
        self.twin = self.second.flow_ids.filtered(lambda flow: flow.resource == "customer")
        self.child = self.env["res.partner"].create({"name": "Child", "parent_id": self.partner.id})
        for backend in (self.backend, self.second):
            self.bind(self.child, backend)
        self.bind(self.partner, self.second)
        self.env.cr.flush()
        self.start = self.env["integration.sync.log"].search([], limit=1).id or 0
        self.addCleanup(integration_outbox._imported.pop, self.env.cr, None)

    def test_import_is_not_exported_back(self):
        self.env["integration.outbox"]._note_imported(self.customers, self.partner)
        self.partner.name = "Imported"
        self.assertNotIn(self.partner.id, self.keys())
        self.assertIn(self.partner.id, self.keys(self.twin), "other backends get it")

    def test_mark_survives_a_savepoint(self):
        self.env["integration.outbox"]._note_imported(self.customers, self.partner)
        with self.assertRaises(ZeroDivisionError), self.env.cr.savepoint():
            raise ZeroDivisionError
        self.partner.name = "Imported"
        self.assertNotIn(self.partner.id, self.keys())

    def test_what_else_an_import_changes_is_exported(self):
        """The service does not know what Odoo makes of an import in other records."""
        self.env["integration.outbox"]._note_imported(self.customers, self.partner)
        self.partner.name = "Imported"
        self.assertEqual(self.keys(), [self.child.id], "its complete name has changed")

    def test_import_by_the_engine(self):
        """New records and known ones; the echo stays away, what people change goes out."""
        member_in = self.backend.flow_ids.filtered(
            lambda flow: flow.resource == "member" and flow.direction == "in"
        )
        member_out = self.flows["member"]
        for name in ("Created", "Updated"):
            self.service.put("m1", name)
            operation = self.env["integration.sync.log"]._append(
                member_in, [Change("m1")], "webhook"
            )
            self.env.flush_all()
            with self.enter_registry_test_mode():
                self.engine._drain(member_in.id)
            self.assertEqual(self.states(operation), ["done"])
            self.assertFalse(self.appended(member_out))
        member = self.env["res.partner"].search([("ref", "=", "m1")])
        self.assertEqual(member.name, "Updated")
        member.name = "Changed by hand"
        self.assertEqual(self.keys(member_out), member.ids)

    def test_mark_belongs_to_the_cursor(self):
        self.env["integration.outbox"]._note_imported(self.customers, self.partner)
        with self.enter_registry_test_mode(), self.registry.cursor() as cr:
            env = api.Environment(cr, SUPERUSER_ID, {})
            env["res.partner"].browse(self.partner.id).name = "Changed by somebody else"
        self.assertIn(self.partner.id, self.keys())


@tagged("post_install", "-at_install")
class TestOutboxWaking(OutboxCase):
    def setUp(self):
        super().setUp()
        self.flows["member"].enabled = False
        self.env.cr.postcommit.clear()

    def jobs(self):
        """Run what runs after the commit; return the keys of the jobs added, with their delay."""
        self.env.cr.flush()
        before = self.env["queue.job"].search([])
        with self.enter_registry_test_mode():
            self.env.cr.postcommit.run()
        jobs = self.env["queue.job"].search([]) - before
        now = fields.Datetime.now()
        return {
            job.identity_key: job.eta and round((job.eta - now).total_seconds(), -1) for job in jobs
        }

    def test_flow_is_woken_after_the_commit(self):
        self.partner.name = "Renamed"
        key = f"integration.drain.{self.customers.id}"
        self.assertEqual(self.jobs(), {key: False})

    def test_flow_that_collects_changes_is_woken_when_they_are_due(self):
        self.customers.debounce_seconds = 60
        self.partner.name = "Renamed"
        key = f"integration.drain.{self.customers.id}.later"
        self.assertEqual(self.jobs(), {key: 60})
        operation = self.appended()
        wait = operation.next_attempt_at - fields.Datetime.now()
        self.assertAlmostEqual(wait.total_seconds(), 60, delta=5)

    def test_later_changes_do_not_prolong_the_wait(self):
        self.customers.debounce_seconds = 60
        self.partner.name = "One"
        first = self.appended()
        self.partner.name = "Two"
        second = self.appended() - first
        self.assertEqual(len(second), 1)
        # the first one is due, the second is not
        first.next_attempt_at = fields.Datetime.now()
        self.env.flush_all()
        with self.enter_registry_test_mode(), self.engine._control_cursor() as ctl:
            batch = self.engine._claim(ctl, self.engine._facts(ctl, self.customers.id), 0)
        self.assertEqual([operation["id"] for operation in batch.operations], second.ids)
        self.assertEqual(self.states(first | second), ["merged", "running"])

    def test_nothing_changed_wakes_nobody(self):
        self.partner.comment = "Nobody watches this"
        self.assertEqual(self.jobs(), {})

    @mute_logger(OUTBOX)
    def test_waking_that_fails_does_not_look_like_a_failed_save(self):
        self.customers.debounce_seconds = 60
        self.partner.name = "Renamed"
        self.env.cr.flush()
        with patch.object(
            type(self.env["integration.outbox"]), "_wake_later", side_effect=RuntimeError
        ):
            self.assertEqual(self.jobs(), {})


class FakeStock(models.AbstractModel):
    _module = None
    _name = "integration.fake.stock"
    _inherit = ["integration.resource"]
    _description = "Fake Stock Level"

    _resource_name = "Stock"
    _resource_model = "product.product"
    _resource_direction = "out"
    _resource_watches = (
        Watch("stock.quant", ("quantity", "reserved_quantity"), "product_id"),
        Watch("product.product", ("name", "default_code")),
    )


@tagged("post_install", "-at_install")
class TestOutboxStock(OutboxCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if "stock.quant" not in cls.env:
            raise SkipTest("stock is not installed")
        add_fake_models(cls, FakeStock)
        cls.backend._create_missing_parts()
        cls.levels = cls.backend.flow_ids.filtered(lambda flow: flow.resource == "stock")
        cls.product = cls.env["product.product"].create({"name": "Chair", "is_storable": True})
        cls.bind(cls.product, resource="stock")
        warehouse = cls.env["stock.warehouse"].search(
            [("company_id", "=", cls.env.company.id)], limit=1
        )
        cls.shelf = warehouse.lot_stock_id
        cls.outside = cls.env.ref("stock.stock_location_customers")
        cls.env["stock.quant"]._update_available_quantity(cls.product, cls.shelf, 10)
        cls.env.cr.flush()

    def deliver(self, quantity):
        move = self.env["stock.move"].create(
            {
                "product_id": self.product.id,
                "product_uom_qty": quantity,
                "location_id": self.shelf.id,
                "location_dest_id": self.outside.id,
            }
        )
        move._action_confirm()
        return move

    def step(self):
        """Return which products were exported since the last step."""
        keys = set(self.keys(self.levels))
        self.start = self.env["integration.sync.log"].search([], limit=1).id or self.start
        return keys

    def free(self):
        quants = self.env["stock.quant"].search(
            [("product_id", "=", self.product.id), ("location_id", "=", self.shelf.id)]
        )
        return sum(quants.mapped("quantity")) - sum(quants.mapped("reserved_quantity"))

    def test_every_step_of_a_delivery_is_seen(self):
        move = self.deliver(3)
        move._action_assign()
        self.assertEqual((self.step(), self.free()), ({self.product.id}, 7))
        move._do_unreserve()
        self.assertEqual((self.step(), self.free()), ({self.product.id}, 10))
        move._action_assign()
        self.assertEqual((self.step(), self.free()), ({self.product.id}, 7))
        move.picked = True
        move._action_done()
        self.assertEqual((self.step(), self.free()), ({self.product.id}, 7))
        self.assertFalse(self.step())

    def test_inventory_adjustment_is_seen(self):
        quant = self.env["stock.quant"].search(
            [("product_id", "=", self.product.id), ("location_id", "=", self.shelf.id)]
        )
        quant.with_context(inventory_mode=True).inventory_quantity = 4
        quant.action_apply_inventory()
        self.assertEqual((self.step(), self.free()), ({self.product.id}, 4))

    def test_merging_quants_changes_no_quantity(self):
        """Odoo merges them by SQL; what was noted of the merged ones is not lost with them."""
        quant = self.env["stock.quant"].search(
            [("product_id", "=", self.product.id), ("location_id", "=", self.shelf.id)]
        )
        extra = self.env["stock.quant"].create(
            {"product_id": self.product.id, "location_id": self.shelf.id, "quantity": 5}
        )
        self.step()
        extra.quantity = 6
        quant._merge_quants()
        self.assertFalse(extra.exists())
        self.assertEqual((self.step(), self.free()), ({self.product.id}, 16))

    def test_change_by_sql_can_be_noted(self):
        quant = self.env["stock.quant"].search(
            [("product_id", "=", self.product.id), ("location_id", "=", self.shelf.id)]
        )
        self.env.cr.execute("UPDATE stock_quant SET quantity = 1 WHERE id = %s", [quant.id])
        self.assertFalse(self.step())
        self.env["integration.outbox"]._note_changed("stock.quant", quant.ids)
        self.assertEqual(self.step(), {self.product.id})
        self.env["integration.outbox"]._note_changed("stock.quant", quant.ids, ["in_date"])
        self.assertFalse(self.step())
        self.env["integration.outbox"]._note_changed("res.country", [1])

    def test_name_of_the_template(self):
        self.product.product_tmpl_id.name = "Armchair"
        self.assertEqual(self.step(), {self.product.id})
