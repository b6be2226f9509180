from odoo.tests import new_test_user, tagged

from ..lib.errors import ConfigurationError
from ..lib.records import Change
from .common import FakeConnectorMixin, TourCase


@tagged("post_install", "-at_install")
class TestTours(FakeConnectorMixin, TourCase):
    """What people do most, done in a browser by a user with just the role for it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for role in ("manager", "operator"):
            new_test_user(
                cls.env,
                login=f"integration-{role}",
                groups=f"base.group_user,integration_base.group_integration_{role}",
            )

    def _append(self, external_id, label):
        return self.env["integration.sync.log"]._append(
            self.flow, [Change(external_id, label=label)], "webhook"
        )

    def test_connect_a_backend(self):
        self.start_tour(
            "/odoo/integrations", "integration_connect_backend", login="integration-manager"
        )
        backend = self.env["integration.backend"].search([("name", "=", "Second Shop")])
        self.assertEqual(backend.state, "active")
        self.assertEqual(backend._credential("secret"), "tour-secret")

    def test_connect_from_here(self):
        self.env.cr.execute(
            "UPDATE integration_backend SET database_identity = '1/2' WHERE id = %s",
            [self.backend.id],
        )
        self.backend.invalidate_recordset()
        self.start_tour(
            f"/odoo/integration.backend/{self.backend.id}",
            "integration_connect_from_here",
            login="integration-manager",
        )
        self.assertFalse(self.backend.in_foreign_database)

    def test_set_a_failed_operation_aside(self):
        operation = self._append("1001", "#1001")
        operation.write(
            {
                "state": "dead",
                "error_class": ConfigurationError.error_class,
                "message": "No product has the SKU MUG-OLD. Create it, then press Retry.",
            }
        )
        self.env["integration.incident"]._refresh(self.flow.ids)
        self.start_tour(
            "/odoo/failed-operations", "integration_set_aside", login="integration-operator"
        )
        self.assertEqual(operation.state, "ignored")
        self.assertEqual(operation.review_note, "Delivered by hand")
        self.assertEqual(operation.reviewed_by_id.login, "integration-operator")
        incident = self.env["integration.incident"].search([("flow_id", "=", self.flow.id)])
        self.assertEqual(incident.state, "closed")

    def test_map_a_missing_value(self):
        self.service.put("7", "Ada", country="Freedonia")
        operation = self._append("7", "Ada")
        self.env.flush_all()
        with self.enter_registry_test_mode():
            self.env["integration.engine"]._drain(self.flow.id)
        self.env.invalidate_all()
        self.assertEqual(operation.state, "dead")
        self.start_tour(
            "/odoo/failed-operations", "integration_map_value", login="integration-operator"
        )
        mapping = operation.mapping_ids
        self.assertEqual(mapping.resource_ref, self.env.ref("base.be"))
        self.assertEqual(mapping.source, "manual")
        self.assertEqual(operation.state, "pending")

    def test_review_an_incident(self):
        operations = self.env["integration.sync.log"]
        for number in (1001, 1002, 1003):
            operations |= self._append(str(number), f"#{number}")
        operations.write(
            {
                "state": "dead",
                "error_class": ConfigurationError.error_class,
                "message": "No product has the SKU MUG-OLD. Create it, then press Retry.",
            }
        )
        self.env["integration.incident"]._refresh(self.flow.ids)
        self.start_tour(
            "/odoo/integration-incidents",
            "integration_review_incident",
            login="integration-operator",
        )
        self.assertEqual(set(operations.mapped("state")), {"ignored"})
        self.assertEqual(set(operations.mapped("review_note")), {"Test orders"})

    def test_edit_data_and_retry(self):
        self.service.put("7", "Ada", color="blue")
        operation = self._append("7", "Ada")
        self.env.flush_all()
        with self.enter_registry_test_mode():
            self.env["integration.engine"]._drain(self.flow.id)
        self.env.invalidate_all()
        self.assertEqual(operation.error_class, "invalid_payload")
        self.start_tour(
            "/odoo/failed-operations", "integration_edit_payload", login="integration-operator"
        )
        edit = operation.edit_ids
        self.assertEqual(edit.user_id.login, "integration-operator")
        self.assertEqual(edit.reason, "The colour is a number")
        self.assertIn('"color": 4', edit.edited)

    def test_forget_a_person(self):
        self.env.cr.execute(
            "INSERT INTO integration_webhook_event"
            " (backend_id, company_id, event_id, topic, received_at, state, body, count)"
            " VALUES (%s, %s, 'e-1', 'contact/updated', now(), 'accepted', %s, 1)",
            [self.backend.id, self.backend.company_id.id, '{"email": "ada@example.com"}'],
        )
        self.start_tour(
            "/odoo/privacy-requests", "integration_forget_a_person", login="integration-manager"
        )
        event = self.env["integration.webhook.event"].search(
            [("backend_id", "=", self.backend.id), ("event_id", "=", "e-1")]
        )
        self.assertEqual(event.body, '{"email": "***"}')
        request = self.env["integration.privacy.request"].search([], limit=1)
        self.assertEqual(request.user_id.login, "integration-manager")
