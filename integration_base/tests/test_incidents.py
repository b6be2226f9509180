from datetime import timedelta

from odoo.tests import new_test_user, tagged

from ..lib.errors import AmbiguousMatchError, ConflictError
from ..models.integration_incident import FLOOD_LIMIT
from .common import IntegrationCase

ROLE = "integration_base.group_integration_"


@tagged("post_install", "-at_install")
class TestIncidents(IntegrationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.owner = new_test_user(
            cls.env,
            "integration_owner",
            email="owner@example.com",
            groups="base.group_user,integration_base.group_integration_operator",
            notification_type="email",
        )
        cls.backend.user_id = cls.owner
        cls.Incident = cls.env["integration.incident"]
        # the owner was told of the backend itself
        cls.env["mail.mail"].search([]).unlink()

    def failing(self, *external_ids, error=None):
        """Append and drain operations that fail."""
        for external_id in external_ids:
            self.service.put(external_id, external_id)
            self.service.apply_errors[external_id] = error or ConflictError("No.")
        operations = self.append(*external_ids)
        self.drain()
        return operations

    def mails(self):
        return (
            self.env["mail.mail"]
            .sudo()
            .search_count([("recipient_ids", "in", self.owner.partner_id.ids)])
        )

    def past(self, incident, **delta):
        """Make it look as if all that happened to the incident was so long ago."""
        incident.flush_recordset()
        for name in ("first_at", "last_at", "closed_at", "notified_at"):
            if incident[name]:
                incident[name] -= timedelta(**delta)
        incident.flush_recordset()

    def test_names_of_candidates_make_no_incidents_of_their_own(self):
        for name, others in (("c1", ["Anna Blue"]), ("c2", ["Bert Green", "Carl, the third"])):
            text = f"Any of these could be meant: {', '.join(others)}. Choose one."
            self.failing(name, error=AmbiguousMatchError(text, candidates=others))
        self.failing("c3", error=AmbiguousMatchError("Something else could be meant."))
        self.assertEqual(sorted(self.incidents().mapped("count")), [1, 2])

    def test_equal_failures_are_one_incident_one_to_do_one_mail(self):
        names = [f"c{number}" for number in range(30)]
        operations = self.failing(*names)
        incident = self.incidents()
        self.assertEqual((incident.kind, incident.count), ("failures", 30))
        self.assertEqual(incident.operation_id, operations.sorted("id")[-1])
        self.assertEqual((incident.message, incident.error_class), ("No.", "conflict"))
        self.assertEqual(incident.activity_id.user_id, self.owner)
        self.assertEqual(self.mails(), 1)

    def test_different_failures_are_different_incidents(self):
        self.failing("c1", error=ConflictError("Odoo says 1, the service says 2."))
        self.failing("c2", error=ConflictError("Odoo says 5, the service says 8."))
        self.failing("c3", error=ConflictError("The customer was merged."))
        self.assertEqual(sorted(self.incidents().mapped("count")), [1, 2])

    def test_incident_closes_with_the_last_failure(self):
        operations = self.failing("c1", "c2")
        incident = self.incidents()
        operations[0]._set_aside("Not needed")
        self.assertEqual((incident.state, incident.count), ("open", 1))
        operations[1]._set_aside("Not needed")
        self.assertEqual(incident.state, "closed")
        self.assertTrue(incident.close_reason)
        self.assertFalse(incident.activity_ids)

    def test_cause_that_comes_back_within_a_day_is_the_same_incident(self):
        operation = self.failing("c1")
        incident = self.incidents()
        operation._set_aside("x")
        self.failing("c1")
        self.assertEqual(self.incidents(), incident)
        self.assertEqual((incident.reopened, len(incident.activity_ids)), (1, 1))
        self.assertEqual(self.mails(), 1, "one mail an hour")
        self.env["integration.sync.log"].search([("state", "=", "dead")])._set_aside("x")
        self.past(incident, hours=23)
        self.failing("c1")
        self.assertEqual(self.incidents(), incident)
        self.assertEqual(self.mails(), 2)
        self.env["integration.sync.log"].search([("state", "=", "dead")])._set_aside("x")
        self.past(incident, hours=25)
        self.failing("c1")
        self.assertTrue(self.incidents())
        self.assertEqual(incident.state, "closed", "yesterday's incident stays closed")

    def test_owner_is_reminded_when_it_grows_tenfold(self):
        self.failing("c1")
        incident = self.incidents()
        self.past(incident, hours=2)
        self.failing(*[f"d{number}" for number in range(8)])
        self.assertEqual((incident.count, self.mails()), (9, 1))
        self.failing("c10")
        self.assertEqual((incident.count, self.mails()), (10, 2))
        self.failing(*[f"e{number}" for number in range(100)])
        self.assertEqual(self.mails(), 2, "one mail an hour")
        self.assertEqual(len(incident.activity_ids), 1, "still one to-do")

    def test_many_incidents_at_once_share_a_to_do(self):
        reasons = "abcdefghijklmnop"
        for reason in reasons:
            self.failing(f"c{reason}", error=ConflictError(f"Reason {reason}."))
        incidents = self.incidents()
        self.assertEqual(len(incidents), len(reasons))
        shared = incidents.filtered(lambda i: i.activity_id.res_model == "integration.backend")
        self.assertEqual(len(incidents) - len(shared), FLOOD_LIMIT)
        self.assertEqual(shared.activity_id, self.backend.activity_ids)
        self.assertEqual(self.mails(), FLOOD_LIMIT + 1)
        failed = self.env["integration.sync.log"].search([("state", "=", "dead")])
        failed[0]._set_aside("x")
        self.assertTrue(self.backend.activity_ids, "others are still open")
        failed._set_aside("x")
        self.assertFalse(self.incidents())
        self.assertFalse(self.backend.activity_ids)

    def test_refresh_costs_the_same_for_one_and_for_many(self):
        self.failing("c1")
        with self.assertQueryCount(8):
            self.Incident._refresh(self.flow.ids)
        self.env.cr.execute(
            "INSERT INTO integration_sync_log (flow_id, backend_id, company_id, resource, kind,"
            " key, state, trigger, next_attempt_at, fingerprint, error_class, message, finished_at)"
            " SELECT flow_id, backend_id, company_id, resource, kind, key || n, state, trigger,"
            " next_attempt_at, fingerprint, error_class, message, finished_at"
            " FROM integration_sync_log, generate_series(1, 5000) n WHERE state = 'dead'"
        )
        with self.assertQueryCount(10):
            self.Incident._refresh(self.flow.ids)
        self.assertEqual(self.incidents().count, 5001)

    def test_failure_without_fingerprint_has_an_incident(self):
        operation = self.append("c1")
        operation.write({"state": "dead", "error_class": "crash", "message": "It died."})
        self.Incident._refresh(self.flow.ids)
        self.assertEqual(self.incidents().error_class, "crash")
        action = self.incidents().action_open_operations()
        self.assertEqual(self.env["integration.sync.log"].search(action["domain"]), operation)

    def test_raise_and_resolve_are_idempotent_and_cheap(self):
        incident = self.Incident._raise("breaker", self.backend, "", "Down.")
        self.assertEqual((incident.state, incident.count), ("open", 1))
        self.assertEqual(self.mails(), 1)
        mail = self.env["mail.mail"].search([], order="id desc", limit=1)
        self.assertEqual(mail.state, "outgoing", "no drain waits for the mail server")
        with self.assertQueryCount(1):
            self.assertEqual(self.Incident._raise("breaker", self.backend, "", "Down."), incident)
        self.assertEqual(self.mails(), 1)
        self.Incident._resolve("breaker", self.backend, "", "It answers again.")
        self.assertEqual((incident.state, incident.close_reason), ("closed", "It answers again."))
        self.assertFalse(incident.activity_ids)
        with self.assertQueryCount(1):
            self.Incident._resolve("breaker", self.backend, "")
        self.assertEqual(self.Incident._raise("breaker", self.backend, "", "Down."), incident)
        self.assertEqual((incident.reopened, self.mails()), (1, 1))

    def test_raise_tells_flows_and_keys_apart(self):
        raised = [
            self.Incident._raise("drift", self.backend, key, "3 differ.", flow=flow, count=3)
            for key in ("", "other")
            for flow in (None, self.flow)
        ]
        self.assertEqual(len(self.Incident.union(*raised)), 4)
        again = self.Incident._raise("drift", self.backend, "", "5 differ.", self.flow, count=5)
        self.assertEqual(again, raised[1])
        self.assertEqual((again.count, again.message), (5, "5 differ."))

    def test_limiter_sends_nobody_a_to_do(self):
        incident = self.Incident._raise("limiter", self.backend, "", "Slow.")
        self.assertFalse(incident.activity_ids)
        self.assertFalse(self.mails())

    def test_incident_is_kept_when_nobody_can_be_told(self):
        self.patch(type(self.Incident), "_give_todo", lambda incident: 1 / 0)
        with self.assertLogs("odoo.addons.integration_base.models.integration_incident", "ERROR"):
            self.failing("c1")
        incident = self.incidents()
        self.assertFalse(incident.notified_at)

    def test_responsible_of_the_flow_is_told(self):
        user = new_test_user(
            self.env,
            "flow_owner",
            groups="base.group_user,integration_base.group_integration_operator",
        )
        self.flow.user_id = user
        self.failing("c1")
        self.assertEqual(
            (self.incidents().user_id, self.incidents().activity_id.user_id), (user,) * 2
        )

    def test_who_may_not_review_is_told_nothing(self):
        """A to-do carries the message, and shows it to whomever it is assigned to."""
        users = [
            new_test_user(self.env, f"reader_{number}", groups=f"base.group_user,{role}")
            for number, role in enumerate(("base.group_user", ROLE + "user", ROLE + "auditor"))
        ]
        for number, user in enumerate(users):
            self.flow.user_id = user
            self.failing(f"c{number}")
            incident = self.incidents()[:1]
            self.assertEqual((incident.user_id, incident.activity_id.user_id), (self.owner,) * 2)
            incident._close("Next")
        self.assertFalse(
            self.env["mail.activity"].search([("user_id", "in", [user.id for user in users])])
        )
        self.backend.user_id = users[0]
        self.failing("c9")
        self.assertEqual(self.incidents()[:1].user_id, self.env.ref("base.user_admin"))

    def drain_all(self):
        """Drain until nothing is due; one drain makes room after half a minute."""
        due = [("flow_id", "=", self.flow.id), ("state", "=", "pending")]
        for _drain in range(20):
            self.drain()
            if not self.env["integration.sync.log"].search_count(due):
                return

    def messages(self):
        Message = self.env["mail.message"].sudo()
        return Message.search_count([("model", "=", "integration.incident")])

    def test_a_thousand_records_that_miss_one_mapping(self):
        self.env["integration.mapping"].search([]).unlink()
        names = [f"c{number}" for number in range(1000)]
        for name in names:
            self.service.put(name, name, country="Freedonia")
        before = self.messages()
        operations = self.append(*names)
        self.drain_all()
        self.assertEqual(set(operations.mapped("state")), {"dead"})
        incident = self.incidents()
        self.assertEqual((len(incident), incident.count), (1, 1000))
        self.assertEqual(len(incident.activity_ids), 1)
        self.assertFalse(self.backend.activity_ids)
        self.assertEqual(self.mails(), 1)
        self.assertEqual(self.messages() - before, 1)
        mapping = self.env["integration.mapping"].search(incident.action_open_mappings()["domain"])
        self.assertEqual(mapping.external_value, "Freedonia")
        with self.assertQueryCount(80):
            mapping.with_user(self.owner).resource_ref = self.env.ref("base.be")
            self.env.flush_all()
        self.env.invalidate_all()
        self.assertEqual(set(operations.mapped("state")), {"pending"})
        self.assertEqual((incident.state, len(incident.activity_ids)), ("closed", 0))
        self.drain_all()
        self.assertEqual(set(operations.mapped("state")), {"done"})
        self.assertEqual(len(self.partners()), 1000)
        self.assertFalse(self.incidents())
        self.assertEqual(self.mails(), 1)
        self.assertEqual(self.messages() - before, 2, "the to-do was given, and ended")
