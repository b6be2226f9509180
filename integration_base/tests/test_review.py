import json
from datetime import datetime

from odoo.exceptions import AccessError, UserError
from odoo.tests import new_test_user, tagged
from odoo.tools import mute_logger

from ..lib.errors import ConflictError
from ..lib.records import Change
from .common import IntegrationCase


@tagged("post_install", "-at_install")
class TestReview(IntegrationCase):
    """What the person does who looks at the failures in the morning."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.operator = new_test_user(
            cls.env,
            "integration_operator",
            groups="base.group_user,integration_base.group_integration_operator",
        )
        cls.Log = cls.env["integration.sync.log"]
        cls.service_error = ConflictError("No.")

    def failing(self, *external_ids):
        for external_id in external_ids:
            self.service.put(external_id, external_id)
            self.service.apply_errors[external_id] = self.service_error
        operations = self.append(*external_ids)
        self.drain()
        return operations

    def multiply(self, count):
        """Copy the one failed operation, as if ``count`` records had failed like it."""
        self.env.flush_all()
        self.env.cr.execute(
            "INSERT INTO integration_sync_log (flow_id, backend_id, company_id, resource, kind,"
            " key, external_id, state, trigger, next_attempt_at, fingerprint, error_class,"
            " message, finished_at, attempts, crashes, force)"
            " SELECT flow_id, backend_id, company_id, resource, kind, key || '-' || n,"
            " external_id || '-' || n, state, trigger, next_attempt_at, fingerprint, error_class,"
            " message, finished_at, 8, 2, FALSE"
            " FROM integration_sync_log, generate_series(1, %s) n WHERE state = 'dead'",
            [count],
        )
        self.env["integration.incident"]._refresh(self.flow.ids)

    def dead(self):
        return self.Log.search([("flow_id", "=", self.flow.id), ("state", "=", "dead")])

    # === IN BULK === #

    def test_ten_thousand_retries_are_one_update(self):
        self.failing("c1")
        self.multiply(9999)
        incident = self.incidents()
        self.assertEqual(incident.count, 10000)
        with self.assertQueryCount(60):
            incident.with_user(self.operator).action_retry_all()
        self.env.invalidate_all()
        again = self.Log.search([("flow_id", "=", self.flow.id), ("state", "=", "pending")])
        self.assertEqual(len(again), 10000)
        sample = again[:100]
        self.assertEqual(set(sample.mapped("attempts")), {0})
        self.assertEqual(set(sample.mapped("crashes")), {0})
        self.assertEqual(sample.reviewed_by_id, self.operator)
        self.assertEqual(incident.state, "closed")

    def test_selected_operations_are_retried_by_one_update(self):
        self.failing("c1")
        self.multiply(2999)
        chosen = self.dead()[:2000].with_user(self.operator)
        with self.assertQueryCount(60):
            chosen.action_retry()
        self.assertEqual(len(self.dead()), 1000)
        self.assertEqual(self.incidents().count, 1000)

    def test_all_of_an_incident_are_set_aside_with_one_reason(self):
        self.failing("c1")
        self.multiply(1999)
        self.service_error = ConflictError("Another reason.")
        other = self.failing("x1")
        incident = self.incidents().filtered(lambda i: i.count > 1).with_user(self.operator)
        with self.assertQueryCount(80):
            action = incident.action_set_aside_all()
            wizard = self.env["integration.set.aside"].with_user(self.operator)
            wizard = wizard.browse(action["res_id"])
            self.assertIn("1990 more", wizard.operation_names)
            wizard.reason = "Test orders"
            wizard.action_confirm()
        self.assertEqual(self.dead(), other)
        aside = self.Log.search([("state", "=", "ignored"), ("flow_id", "=", self.flow.id)])
        self.assertEqual(len(aside), 2000)
        self.assertEqual(set(aside[:50].mapped("review_note")), {"Test orders"})
        self.assertEqual(incident.state, "closed")

    def test_setting_aside_needs_a_reason(self):
        operation = self.failing("c1").with_user(self.operator)
        action = operation.action_set_aside()
        wizard = self.env["integration.set.aside"].with_user(self.operator).browse(action["res_id"])
        with self.assertRaises(UserError):
            wizard.action_confirm()
        self.assertEqual(operation.state, "dead")

    def test_incident_leads_to_its_operations_and_back(self):
        operation = self.failing("c1")
        self.service_error = ConflictError("Another reason.")
        self.failing("c2")
        self.assertEqual(len(self.incidents()), 2)
        incident = operation.incident_id
        self.assertEqual(operation.action_open_incident()["res_id"], incident.id)
        found = self.Log.search(incident.action_open_operations()["domain"])
        self.assertEqual(found, operation)

    def test_nothing_to_retry_is_said(self):
        operation = self.failing("c1")
        incident = self.incidents()
        operation.write({"state": "done"})
        with self.assertRaises(UserError):
            incident.with_user(self.operator).action_retry_all()

    def test_plain_user_cannot_review_an_incident(self):
        self.failing("c1")
        user = new_test_user(
            self.env, "reader", groups="base.group_user,integration_base.group_integration_user"
        )
        incident = self.incidents().with_user(user)
        with self.assertRaises(AccessError):
            incident.read(["message"])
        with self.assertRaises(UserError):
            incident.action_retry_all()
        with self.assertRaises(UserError):
            incident.action_set_aside_all()

    def test_operator_of_another_company_retries_nothing(self):
        operation = self.failing("c1")
        company = self.env["res.company"].create({"name": "Other"})
        self.operator.write({"company_ids": [(6, 0, company.ids)], "company_id": company.id})
        with self.assertRaises(AccessError), mute_logger("odoo.addons.base.models.ir_rule"):
            operation.with_user(self.operator).action_retry()
        self.assertEqual(operation.state, "dead")

    # === EDITED DATA === #

    def refused(self, **values):
        """Return a failed operation whose data breaks the contract."""
        self.service.put("c1", "One", updated_at=datetime(2026, 11, 1, 10), **values)
        operation = self.append("c1")
        self.drain()
        self.assertEqual((operation.state, operation.error_class), ("dead", "invalid_payload"))
        return operation

    def edit(self, operation, change, reason="The colour is a number"):
        """Edit the data of an operation as the operator does; returns the wizard."""
        action = operation.with_user(self.operator).action_edit_payload()
        wizard = self.env["integration.edit.payload"].with_user(self.operator)
        wizard = wizard.browse(action["res_id"])
        data = json.loads(wizard.payload)
        change(data)
        wizard.write({"payload": json.dumps(data), "reason": reason})
        return wizard

    def test_edited_data_is_kept_with_who_and_why(self):
        operation = self.refused(color="blue")
        original = operation.payload
        wizard = self.edit(operation, lambda data: data.update(color=4))
        with self.enter_registry_test_mode():
            wizard.action_retry()
        self.env.invalidate_all()
        edit = operation.edit_ids
        self.assertEqual((edit.user_id, edit.reason), (self.operator, "The colour is a number"))
        self.assertEqual(edit.original, original)
        self.assertEqual(json.loads(edit.edited)["color"], 4)
        self.assertIn("blue", str(operation.edit_diff))
        self.assertNotIn("One", [line.strip() for line in str(edit.diff).split("<div")][:1])

    def test_edited_data_that_is_still_wrong_names_the_field(self):
        operation = self.refused(color="blue")
        wizard = self.edit(operation, lambda data: data.update(color="green", name=None))
        with self.assertRaises(UserError) as caught:
            wizard.action_retry()
        self.assertRegex(str(caught.exception), r"(?m)^color: .*\n?")
        self.assertRegex(str(caught.exception), r"(?m)^name: ")
        self.assertFalse(operation.edit_ids)

    def test_what_is_not_an_edit_is_refused(self):
        operation = self.refused(color="blue")
        for change in (
            lambda data: data.update(id="c2", color=1),
            lambda data: None,
        ):
            with self.assertRaises(UserError):
                self.edit(operation, change).action_retry()
        wizard = self.edit(operation, lambda data: data.update(color=1))
        wizard.payload = '{"id": "c1", "name": '
        with self.assertRaisesRegex(UserError, "not valid JSON"):
            wizard.action_retry()
        with self.assertRaisesRegex(UserError, "why"):
            self.edit(operation, lambda data: data.update(color=1), reason=" ").action_retry()
        self.assertFalse(operation.edit_ids)

    def test_only_failed_data_can_be_edited(self):
        self.service.put("c1", "One")
        operation = self.append("c1")
        self.drain()
        with self.assertRaises(UserError):
            operation.with_user(self.operator).action_edit_payload()

    def test_edit_can_be_discarded(self):
        operation = self.refused(color="blue")
        operation._edit_payload('{"id": "c1"}', "x")
        operation.with_user(self.operator).action_discard_edit()
        self.assertFalse(operation.edited_payload)
        self.assertTrue(operation.edit_ids, "the audit stays")

    def retry_with(self, operation, change):
        wizard = self.edit(operation, change)
        with self.enter_registry_test_mode():
            wizard.action_retry()
        self.env.invalidate_all()

    def test_edited_data_becomes_the_record_and_stays(self):
        operation = self.refused(color="blue")
        original = operation.payload
        fetches = len(self.service.fetches)
        self.retry_with(operation, lambda data: data.update(color=4))
        self.assertEqual(operation.state, "done")
        self.assertEqual(self.partners()["c1"].color, 4)
        self.assertEqual(len(self.service.fetches), fetches, "the service is not asked")
        self.assertFalse(operation.edited_payload)
        self.assertEqual(operation.edit_ids.original, original)
        # the same version, shown again by the overlap of the next reading, does not undo it
        self.env["integration.sync.log"]._append_paged(self.flow, "listing", "schedule")
        self.drain()
        self.assertEqual(len(self.service.fetches), fetches)
        self.assertEqual(self.partners()["c1"].color, 4)
        self.assertFalse(self.dead())

    def test_edited_data_that_fails_again_is_kept_beside_the_original(self):
        operation = self.refused(color="blue", country="Freedonia")
        original = operation.payload
        self.retry_with(operation, lambda data: data.update(color=4))
        self.assertEqual((operation.state, operation.error_class), ("dead", "mapping"))
        self.assertEqual(operation.payload, original)
        self.assertEqual(json.loads(operation.edited_payload)["color"], 4)
        # what was missing is filled in: the edited data goes on
        operation.mapping_ids.resource_ref = self.env.ref("base.be")
        self.drain()
        self.assertEqual(operation.state, "done")
        self.assertEqual(self.partners()["c1"].country_id, self.env.ref("base.be"))

    def test_edited_data_does_not_survive_a_newer_version(self):
        operation = self.refused(color="blue")
        operation._edit_payload(operation.payload.replace('"blue"', "4"), "x")
        operation._requeue()
        self.service.put("c1", "Newer", updated_at=datetime(2026, 11, 2), color=5)
        newer = self.append("c1", updated_at=datetime(2026, 11, 2))
        self.drain()
        self.assertEqual((operation.state, newer.state), ("merged", "done"))
        self.assertFalse(operation.edited_payload)
        partner = self.partners()["c1"]
        self.assertEqual((partner.name, partner.color), ("Newer", 5))

    def test_edit_of_a_version_that_is_no_longer_the_announced_one_asks_the_service(self):
        operation = self.refused(color="blue")
        operation._edit_payload(operation.payload.replace('"blue"', "4"), "x")
        operation._requeue()
        # an older operation of the record was told of a newer version, and is merged into this
        operation.external_updated_at = datetime(2026, 11, 2)
        self.service.put("c1", "Newer", updated_at=datetime(2026, 11, 2), color=5)
        self.drain()
        self.assertEqual(operation.state, "done")
        self.assertEqual(self.partners()["c1"].name, "Newer")

    def test_one_reason_is_one_incident_whatever_the_records_are_called(self):
        for name in ("Ada", "Grace Hopper", "Linus"):
            self.service.put(name.lower(), name, color="blue")
        for name in ("Ada", "Grace Hopper", "Linus"):
            change = Change(name.lower(), label=name)
            self.env["integration.sync.log"]._append(self.flow, [change], "webhook")
        self.drain()
        self.assertEqual(self.incidents().mapped("count"), [3])

    # === OF OTHERS === #

    def test_failed_job_of_the_engine_mails_nobody(self):
        self.env["integration.engine"]._wake(self.flow.ids)
        job = self.env["queue.job"].search(
            [("identity_key", "=", f"integration.drain.{self.flow.id}")]
        )
        messages = job.message_ids
        job.write({"state": "failed"})
        self.assertFalse(job.message_ids - messages)
        self.assertFalse(job.message_partner_ids)
