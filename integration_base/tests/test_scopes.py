from unittest.mock import patch

from odoo import models
from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, tagged
from odoo.tests.common import new_test_user

from ..lib.errors import ConfigurationError, MissingScopeError
from ..lib.scopes import Scope
from .common import FakeConnector, FakeContact, IntegrationCase, add_fake_models


class FakeNote(models.AbstractModel):
    """A second resource, so that one flow can go on while the other one is stopped."""

    _module = None
    _name = "integration.fake.note"
    _inherit = ["integration.fake.contact"]
    _description = "Fake Note"

    _resource_name = "Notes"

    def _resource_scopes(self, backend, direction):
        return [Scope("read_notes", "read the notes")]


@tagged("post_install", "-at_install")
class TestScopes(IntegrationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        add_fake_models(cls, FakeNote)
        cls.backend._create_missing_parts()
        cls.contacts, cls.notes = cls.backend.flow_ids.sorted("resource")
        cls.flow = cls.contacts

    def setUp(self):
        super().setUp()
        self.granted = ["read_contacts", "read_notes"]
        test = self

        def contact_scopes(resource, backend, direction):
            return [
                Scope("read_contacts", "read the contacts"),
                Scope("read_archive", "read old contacts", optional=True),
            ]

        def implied(connector, name):
            return (name.replace("write", "read"),) if name.startswith("write") else ()

        for model, name, function in (
            (FakeContact, "_resource_scopes", contact_scopes),
            (FakeConnector, "_granted_scopes", lambda connector, backend: test.granted),
            (FakeConnector, "_implied_scopes", implied),
            (
                FakeConnector,
                "_connector_scopes",
                lambda connector, backend: [Scope("set_up", "be set up", optional=True)],
            ),
        ):
            self.startPatcher(patch.object(model, name, function, create=True))

    def connect(self):
        self.env.flush_all()
        with self.enter_registry_test_mode():
            action = self.backend.action_test_connection()
        self.env.invalidate_all()
        return action["params"]

    def check(self):
        with self.enter_registry_test_mode():
            self.backend.action_check_access()
        self.env.invalidate_all()

    def row(self, name):
        return self.backend.scope_ids.filtered(lambda row: row.name == name)

    def scope_incidents(self, state="open"):
        return self.incidents(state).filtered(lambda incident: incident.kind == "scopes")

    # === THE TABLE === #

    def test_the_table_compares_needed_and_granted(self):
        self.granted = ["write_contacts", "read_stock"]
        self.connect()
        self.assertEqual(
            {row.name: row.state for row in self.backend.scope_ids},
            {
                "read_contacts": "granted",
                "write_contacts": "superfluous",
                "read_notes": "missing",
                "read_archive": "optional",
                "set_up": "optional",
                "read_stock": "superfluous",
            },
        )
        self.assertEqual(self.backend.scope_ids[0].name, "read_notes", "what is missing first")
        self.assertEqual(
            self.row("read_contacts").reason, "Contacts (Into Odoo): read the contacts"
        )
        self.assertEqual(self.row("set_up").reason, "Connection: be set up")
        self.assertEqual(self.row("read_stock").reason, "Nothing that this connection does.")
        self.assertIn("remove it", self.row("read_stock").advice)
        self.assertIn("replace it by read_contacts", self.row("write_contacts").advice)
        self.assertIn("Check Access", self.row("read_notes").advice)
        self.assertFalse(self.row("read_contacts").advice)

    def test_the_table_follows_the_flows(self):
        self.connect()
        self.assertEqual(self.row("read_notes").state, "granted")
        self.notes.enabled = False
        self.assertEqual(self.row("read_notes").state, "superfluous")
        self.assertEqual(
            self.row("read_notes").reason, "Notes (Into Odoo), which is off: read the notes"
        )
        self.notes.enabled = True
        self.assertEqual(self.row("read_notes").state, "granted")
        self.assertEqual(self.row("read_notes").reason, "Notes (Into Odoo): read the notes")

    def test_a_service_that_does_not_tell(self):
        self.granted = None
        self.connect()
        self.assertEqual(set(self.backend.scope_ids.mapped("state")), {"unknown"})
        self.assertFalse(self.backend.flow_ids.filtered("missing_scopes"))

    def test_a_second_check_changes_no_row(self):
        self.connect()
        before = self.backend.scope_ids.ids
        self.check()
        self.assertEqual(self.backend.scope_ids.ids, before)

    # === FLOWS === #

    def test_a_flow_that_lacks_a_scope_waits_and_others_go_on(self):
        self.granted = ["read_contacts"]
        shown = self.connect()
        self.assertEqual(shown["type"], "warning")
        self.assertIn("read_notes (read the notes)", shown["message"])
        self.assertEqual(self.backend.state, "active")
        self.assertFalse(self.contacts.missing_scopes)
        self.assertEqual(self.notes.missing_scopes, "read_notes")
        self.service.put("c1", "One")
        self.service.put("n1", "Two")
        contact = self.append("c1")
        self.drain()
        self.flow = self.notes
        note = self.append("n1")
        self.drain()
        self.assertEqual((contact.state, note.state), ("done", "pending"))
        self.assertEqual(note.attempts, 0)
        with self.assertRaisesRegex(UserError, "read_notes"):
            self.notes.action_read_changes()
        incident = self.scope_incidents()
        self.assertEqual(incident.flow_id, self.notes)
        self.assertIn("page Access", incident.advice)

        self.granted.append("read_notes")
        self.check()
        self.assertFalse(self.notes.missing_scopes)
        self.assertEqual(self.scope_incidents("closed"), incident)
        self.drain()
        self.assertEqual(note.state, "done")

    def test_listings_of_a_stopped_flow_are_not_planned(self):
        self.granted = ["read_contacts"]
        self.connect()
        self.backend.flow_ids.next_run_at = "2020-01-01 00:00:00"
        self.watchdog._plan_listings()
        planned = self.env["integration.sync.log"].search(
            [("flow_id", "in", self.backend.flow_ids.ids), ("kind", "=", "listing")]
        )
        self.assertEqual(planned.flow_id, self.contacts)

    def test_switching_on_says_what_is_missing_before(self):
        self.notes.enabled = False
        self.granted = ["read_contacts"]
        self.connect()
        self.assertFalse(self.notes.missing_scopes, "what is off needs nothing")
        self.assertIn("read_notes", self.notes.scope_text)
        with self.assertLogs("odoo.tests.form.onchange", level="WARNING") as log:
            form = Form(self.notes)
            form.enabled = True
        self.assertIn("read_notes (read the notes)", "".join(log.output))
        form.save()
        self.assertEqual(self.notes.missing_scopes, "read_notes")
        self.notes.enabled = False
        self.assertFalse(self.notes.missing_scopes)
        self.assertFalse(self.scope_incidents())

    # === REFUSALS === #

    def refuse(self, *scopes):
        self.service.put("c1", "One")
        error = MissingScopeError("It is not allowed.", scopes=list(scopes))
        self.service.fetch_errors["c1"] = error
        operation = self.append("c1")
        self.drain()
        return operation

    def test_a_refusal_stops_the_flow_and_its_work_waits(self):
        self.connect()
        operation = self.refuse(("read_people", "read_contacts"))
        self.assertEqual((operation.state, operation.attempts), ("pending", 0))
        self.assertEqual(operation.error_class, "scope")
        self.assertEqual(self.contacts.missing_scopes, "read_contacts", "the one declared is meant")
        self.assertEqual(self.row("read_contacts").state, "missing")
        self.assertFalse(self.notes.missing_scopes)
        self.assertEqual(self.scope_incidents().flow_id, self.contacts)
        fetches = len(self.service.fetches)
        self.drain()
        self.assertEqual(len(self.service.fetches), fetches, "it is not asked again and again")
        # granted again there: one check, and all that waited is done
        self.service.fetch_errors.clear()
        self.check()
        self.drain()
        self.assertEqual(operation.state, "done")
        self.assertFalse(self.contacts.refused_scopes)

    def test_a_refusal_for_what_nobody_declared(self):
        self.connect()
        operation = self.refuse(("read_people",))
        self.assertEqual(self.contacts.missing_scopes, "read_people")
        self.assertIn("refuses the flow without it", self.row("read_people").reason)
        self.check()
        self.assertEqual(self.contacts.missing_scopes, "read_people", "it is still not granted")
        self.assertIn("read_people", self.backend._scopes_to_request())
        self.granted.append("read_people")
        self.service.fetch_errors.clear()
        self.check()
        self.drain()
        self.assertEqual(operation.state, "done")

    def test_a_refusal_takes_back_what_includes_the_scope(self):
        self.granted = ["write_contacts", "read_notes"]
        self.connect()
        self.refuse(("read_contacts",))
        self.assertEqual(self.contacts.missing_scopes, "read_contacts")
        self.assertEqual(self.row("read_contacts").state, "missing")

    def test_a_refusal_by_a_service_that_does_not_tell(self):
        self.granted = None
        self.connect()
        self.refuse(("read_contacts",))
        self.assertEqual(self.contacts.missing_scopes, "read_contacts")
        self.check()
        self.assertFalse(self.contacts.missing_scopes, "it has to be tried")

    def test_a_refusal_without_a_scope_is_a_failure(self):
        self.connect()
        self.service.put("c1", "One")
        self.service.fetch_errors["c1"] = ConfigurationError("Not approved.")
        operation = self.append("c1")
        self.drain()
        self.assertEqual(operation.state, "dead")
        self.assertFalse(self.contacts.missing_scopes)

    # === WHO AND WHERE === #

    def test_the_daily_check_notices_what_was_withdrawn(self):
        self.connect()
        self.granted = ["read_contacts"]
        with patch.object(type(self.env["ir.cron"]), "_commit_progress"):
            self.env["integration.webhook.subscription"]._cron_check()
        self.env.invalidate_all()
        self.assertEqual(self.notes.missing_scopes, "read_notes")

    def test_another_environment_starts_without_knowledge(self):
        self.connect()
        self.refuse(("read_people",))
        self.backend.state = "paused"
        self.backend._switch_environment("https://live.example.com", same_account=False)
        self.assertFalse(self.backend._granted_scopes())
        self.assertFalse(self.contacts.missing_scopes)
        self.assertEqual(set(self.backend.scope_ids.mapped("state")), {"unknown"})

    def test_the_to_do_is_given_to_somebody_who_has_the_buttons(self):
        users = {
            role: new_test_user(
                self.env,
                f"told-{role}",
                groups=f"base.group_user,integration_base.group_integration_{role}",
            )
            for role in ("operator", "manager")
        }
        self.notes.user_id = users["operator"]
        self.backend.user_id = users["manager"]
        self.granted = ["read_contacts"]
        self.connect()
        incident = self.scope_incidents()
        self.assertEqual(incident.user_id, users["manager"])
        self.assertIn("Check Access on the backend (role Integration Manager)", incident.message)

    def test_who_sees_and_asks(self):
        self.granted = ["read_contacts"]
        self.connect()
        users = {
            role: new_test_user(
                self.env,
                f"scopes-{role}",
                groups=f"base.group_user,integration_base.group_integration_{role}",
            )
            for role in ("user", "operator", "auditor", "manager")
        }
        for role in ("operator", "auditor", "manager"):
            rows = self.backend.with_user(users[role]).scope_ids
            self.assertIn("Notes", "".join(filter(None, rows.mapped("reason"))))
            self.assertIn("Check Access", "".join(filter(None, rows.mapped("advice"))))
        with self.assertRaises(AccessError):
            self.backend.with_user(users["user"]).read(["scope_ids"])
        for role in ("user", "operator", "auditor"):
            for action in ("action_check_access", "action_reconnect"):
                with self.assertRaises(AccessError):
                    getattr(self.backend.with_user(users[role]), action)()
        with self.enter_registry_test_mode():
            self.backend.with_user(users["manager"]).action_check_access()
            self.backend.with_user(users["manager"]).action_reconnect()
