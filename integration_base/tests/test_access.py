from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import tagged, users
from odoo.tests.common import new_test_user

from .common import IntegrationCase

MODELS = (
    "integration.backend",
    "integration.credential",
    "integration.flow",
    "integration.binding",
    "integration.mapping",
    "integration.field.mapping",
    "integration.sync.log",
    "integration.sync.attempt",
    "integration.exchange",
    "integration.webhook.event",
    "integration.incident",
    "integration.agreement",
    "integration.discrepancy",
    "integration.reconciliation",
    "integration.breaker",
    "integration.rate.bucket",
)


@tagged("post_install", "-at_install")
class TestAccess(IntegrationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for login, group in (
            ("nobody", "base.group_user"),
            ("user", "integration_base.group_integration_user"),
            ("operator", "integration_base.group_integration_operator"),
            ("manager", "integration_base.group_integration_manager"),
        ):
            new_test_user(cls.env, f"integration_{login}", groups=f"base.group_user,{group}")
        cls.other_company = cls.env["res.company"].create({"name": "Other"})

    def test_employees_without_a_role_see_nothing(self):
        env = self.env(user=self.env["res.users"].search([("login", "=", "integration_nobody")]))
        for model in MODELS:
            with self.assertRaises(AccessError, msg=model):
                env[model].search([])

    def test_no_role_writes_the_log(self):
        env = self.env(user=self.env["res.users"].search([("login", "=", "integration_manager")]))
        for model in (
            "sync.log",
            "sync.attempt",
            "exchange",
            "webhook.event",
            "incident",
            "agreement",
            "discrepancy",
            "reconciliation",
            "breaker",
            "rate.bucket",
        ):
            for operation in ("write", "create", "unlink"):
                self.assertFalse(env[f"integration.{model}"].has_access(operation), model)

    def test_other_companies_are_invisible(self):
        backend = self.backend.copy({"name": "Other", "company_id": self.other_company.id})
        backend.state = "active"
        self.flow = backend.flow_ids
        self.service.put("c1", "One")
        self.append("c1")
        self.drain()
        manager = self.env["res.users"].search([("login", "=", "integration_manager")])
        env = self.env(user=manager)
        for model in ("backend", "flow", "credential", "binding", "sync.log"):
            of_backend = [("id" if model == "backend" else "backend_id", "=", backend.id)]
            self.assertTrue(self.env[f"integration.{model}"].search(of_backend), model)
            self.assertFalse(env[f"integration.{model}"].search(of_backend), model)

    def test_operator_links_only_what_they_may_change(self):
        operator = self.env["res.users"].search([("login", "=", "integration_operator")])
        admin = self.env.ref("base.user_admin")
        values = {"backend_id": self.backend.id, "resource": "contact", "external_id": "c1"}
        Binding = self.env["integration.binding"].with_user(operator)
        with self.assertRaises(AccessError):
            Binding.create([{**values, "res_model": "res.users", "res_id": admin.id}])
        with self.assertRaises(ValidationError):
            Binding.create([{**values, "res_model": "no.model", "res_id": 1}])
        with self.assertRaises(AccessError):
            # a plain employee may read contacts, not write them
            Binding.create([{**values, "res_model": "res.partner", "res_id": admin.partner_id.id}])

    @users("integration_user")
    def test_user_cannot_review(self):
        self.assertFalse(self.env["integration.exchange"].has_access("read"))
        operation = self.append("gone").with_env(self.env)
        with self.assertRaises(UserError):
            operation.action_retry()
        with self.assertRaises(UserError):
            operation._set_aside("no")

    def test_operator_retries_but_sees_no_secret(self):
        operation = self.append("gone")
        self.drain()
        env = self.env(user=self.env["res.users"].search([("login", "=", "integration_operator")]))
        with self.enter_registry_test_mode():
            operation.with_env(env).action_retry()
        self.assertFalse(env["integration.credential"].has_access("read"))
        with self.assertRaises(AccessError):
            env["integration.backend"].browse(self.backend.id).read(["webhook_token"])
        with self.assertRaises(AccessError):
            env["integration.backend"].browse(self.backend.id).action_pause()
