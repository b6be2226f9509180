import json
from base64 import b64encode
from contextlib import contextmanager
from unittest.mock import patch

from odoo.exceptions import AccessError, UserError
from odoo.service.model import call_kw
from odoo.tests import tagged
from odoo.tests.common import new_test_user

from ..lib.errors import AuthError
from .access_case import PREFIX, AccessCase
from .common import FakeContact

SECRET = "s3cr3t-canary"


@tagged("post_install", "-at_install")
class TestAttacks(AccessCase):
    """What people with a role, or with another right of Odoo, try by remote calls."""

    def call(self, who, model, method, *args, **context):
        """Call a method as RPC does, with what that user may send along."""
        user = self.users[who] if isinstance(who, str) else who
        self.env.flush_all()
        self.env.invalidate_all()
        records = self.env[model].with_user(user).sudo(False).with_context(**context)
        with self.env.cr.savepoint():
            result = call_kw(records, method, list(args), {})
            self.env.flush_all()
        # every call has a transaction of its own
        self.env.invalidate_all()
        return result

    def make(self, who, model, values, **context):
        """Create one record; returns it with all rights."""
        created = self.call(who, model, "create", [values], **context)
        return self.env[model].sudo().browse(created)

    @contextmanager
    def refused(self, error=UserError):
        """Expect an error of that class, and only then go on."""
        try:
            yield
        except error:
            self.env.invalidate_all()
        else:
            self.fail("It was not refused.")

    # === ANOTHER COMPANY === #

    def test_no_record_moves_to_another_company(self):
        theirs = self.record("integration.backend", self.other_company)
        for model in ("binding", "mapping", "field.mapping"):
            name = f"integration.{model}"
            mine = self.record(name, self.company)
            with self.subTest(model=name), self.refused(AccessError):
                self.call("manager", name, "write", mine.ids, {"backend_id": theirs.id})
        load = self.record("integration.backfill", self.company)
        theirs = theirs.copy({"name": "Another"})
        with self.refused(AccessError):
            self.call("manager", load._name, "write", load.ids, {"flow_id": theirs.flow_ids.id})
        mine = self.record("integration.flow", self.company)
        with self.refused(AccessError):
            self.call("manager", mine._name, "write", mine.ids, {"backend_id": theirs.id})
        row = self.record("integration.credential", self.company)
        with self.refused(AccessError):
            self.call("manager", row._name, "write", row.ids, {"backend_id": theirs.id})

    def test_no_backend_moves_to_another_company(self):
        backend = self.make("manager", "integration.backend", {"name": "B", "connector": "fake"})
        other = {"company_id": self.other_company.id}
        with self.refused(AccessError):
            self.call("manager", backend._name, "write", backend.ids, other)
        with self.refused(AccessError):
            self.call(
                "manager", backend._name, "create", [{"name": "C", "connector": "fake", **other}]
            )
        with self.refused(AccessError):
            self.call("manager", backend._name, "copy", backend.ids, other)

    def test_dialogs_show_nothing_of_another_company(self):
        cases = (
            ("integration.edit.payload", {"payload": "{}"}, "operation_id", "sync.log", "message"),
            ("integration.switch.environment", {}, "backend_id", "backend", "old_base_url"),
            ("integration.switch.environment", {}, "backend_id", "backend", "environment"),
            ("integration.switch.environment", {}, "backend_id", "backend", "flows"),
            ("integration.backfill", {}, "flow_id", "flow", "display_name"),
        )
        for model, values, link, target, field in cases:
            theirs = self.record(f"integration.{target}", self.other_company)
            with self.subTest(model=model, field=field), self.refused(AccessError):
                row = self.make("manager", model, {**values, link: theirs.id})
                self.call("manager", model, "read", row.ids, [field])
        operation = self.record("integration.sync.log", self.other_company)
        with self.refused(AccessError):
            row = self.make(
                "manager", "integration.set.aside", {"operation_ids": operation.ids, "reason": "x"}
            )
            self.call("manager", row._name, "read", row.ids, ["operation_names"])
        event = self.record("integration.webhook.event", self.other_company)
        with self.refused(AccessError):
            self.make("manager", "integration.webhook.replay", {"event_ids": event.ids})

    def test_dialogs_start_nothing_in_another_company(self):
        calls = (
            ("integration.import.now", "flow", "flow_id", {"reference": "1"}, "action_import"),
            ("integration.edit.payload", "sync.log", "operation_id",
             {"payload": "{}", "reason": "x"}, "action_retry"),
            ("integration.switch.environment", "backend", "backend_id",
             {"account": "same"}, "action_switch"),
            ("integration.mapping.import", "backend", "backend_id",
             {"file": b64encode(b"kind,external_value,odoo\ncurrency,EUR,EUR\n").decode()},
             "action_import"),
            ("integration.webhook.replay", "backend", "backend_id", {}, "action_replay"),
        )  # fmt: skip
        for model, target, link, values, method in calls:
            theirs = self.record(f"integration.{target}", self.other_company)
            before = self.everything()
            with self.subTest(model=model), self.refused(UserError):
                dialog = self.make("manager", model, {**values, link: theirs.id})
                self.call("manager", model, method, dialog.ids)
            self.assertEqual(
                self.everything() | {model.replace(".", "_"): None},
                before | {model.replace(".", "_"): None},
            )

    # === MORE RIGHTS THAN ONE HAS === #

    def _needs(self, *groups):
        self.startPatcher(patch.object(FakeContact, "_resource_groups", groups, create=True))

    def test_nothing_is_slipped_in_as_a_default(self):
        self._needs("base.group_partner_manager")
        system = self.env.ref("base.group_system")
        for model, field, value in (
            ("res.users", "password", "known"),
            ("res.users", "email", "attacker@example.com"),
            ("integration.backend", "webhook_token", "guessed"),
            ("integration.backend", "state", "active"),
        ):
            self.call("manager", "ir.default", "set", model, field, value, True)
        backend = self.make(
            "manager",
            "integration.backend",
            {"name": "B", "connector": "fake"},
            default_password="known",
            default_group_ids=[(4, system.id)],
            default_active=False,
            default_email="attacker@example.com",
            default_enabled=False,
            default_is_set=True,
            default_state="active",
            default_webhook_token="guessed",
        )
        self.assertEqual(backend.state, "draft")
        self.assertNotEqual(backend.webhook_token, "guessed")
        technical = backend.work_user_id
        self.env.cr.execute("SELECT password FROM res_users WHERE id = %s", [technical.id])
        self.assertFalse(self.env.cr.fetchone()[0])
        self.assertTrue(technical.active)
        self.assertFalse(technical.email)
        self.assertFalse(technical.has_group("base.group_system"))
        self.assertEqual(backend.flow_ids.mapped("enabled"), [True])
        self.assertEqual(backend.credential_ids.mapped("is_set"), [False])

    def test_no_stranger_becomes_the_technical_user(self):
        self._needs("base.group_partner_manager")
        stranger = new_test_user(self.env, f"integration-{self.company.id}", password="known-pass")
        with self.refused(UserError):
            self.make("manager", "integration.backend", {"name": "B", "connector": "fake"})
        self.assertFalse(stranger.has_group("base.group_partner_manager"))

    def test_managers_lend_no_rights_they_do_not_have(self):
        backend = self.record("integration.backend", self.company)
        clerk = new_test_user(self.env, "clerk")
        backend.work_user_id = clerk
        mine = self.users["manager"]
        for user in (self.env.ref("base.user_root"), self.env.ref("base.user_admin"), False):
            with self.subTest(user=user and user.login), self.refused(UserError):
                values = {"work_user_id": user and user.id}
                self.call("manager", backend._name, "write", backend.ids, values)
        self.call("manager", backend._name, "write", backend.ids, {"work_user_id": mine.id})
        admin = new_test_user(self.env, "adm", groups=f"base.group_system,{PREFIX}manager")
        self.call(admin, backend._name, "write", backend.ids, {"work_user_id": False})
        self.assertFalse(backend.work_user_id)

    def test_managers_do_not_reach_around_the_server(self):
        backend = self.make("manager", "integration.backend", {"name": "B", "connector": "fake"})
        admin = new_test_user(self.env, "adm", groups=f"base.group_system,{PREFIX}manager")
        around = (
            {"base_url": "http://localhost:8069"},
            {"base_url": "https://shop.localhost"},
            {"base_url": "https://127.0.0.1:8443"},
            {"base_url": "https://[::1]:8443"},
            {"base_url": "https://10.1.2.3"},
            {"private_hosts": "intranet.example"},
        )
        for values in around:
            with self.subTest(values=values):
                with self.refused(AccessError):
                    self.call("manager", backend._name, "write", backend.ids, values)
                with self.refused(AccessError):
                    self.make(
                        "manager", backend._name, {"name": "B", "connector": "fake", **values}
                    )
        backend.database_identity = "1/2"
        wizard = self.make(
            "manager",
            "integration.switch.environment",
            {"backend_id": backend.id, "base_url": "https://10.1.2.3", "account": "same"},
        )
        with self.refused(AccessError):
            self.call("manager", wizard._name, "action_switch", wizard.ids)
        public = {"base_url": "https://service.example.com", "private_hosts": False}
        self.call("manager", backend._name, "write", backend.ids, public)
        self.call(admin, backend._name, "write", backend.ids, around[0])
        with patch.dict("os.environ", {"INTEGRATION_PRIVATE_HOSTS": "10.1.2.3"}):
            listed = {"base_url": "https://10.1.2.3"}
            self.call("manager", backend._name, "write", backend.ids, listed)

    def test_what_the_form_does_not_offer_is_not_written(self):
        backend = self.record("integration.backend", self.company)
        for values in (
            {"webhook_token": "guessed"},
            {"state": "active"},
            {"state": "draft"},
            {"database_identity": "1/2"},
            {"pause_reason": "x"},
            {"other_base_url": "https://evil.example"},
            {"account_since": "2000-01-01"},
            {"kept": {"x": "<b>"}},
        ):
            with self.subTest(values=values), self.refused(AccessError):
                self.call("manager", backend._name, "write", backend.ids, values)
            with self.subTest(create=values), self.refused(AccessError):
                self.make("manager", backend._name, {"name": "B", "connector": "fake", **values})

    def test_readers_say_nothing_in_the_chatter(self):
        # incidents are there to be talked about
        for model in ("integration.backend", "integration.privacy.request"):
            record = self.record(model, self.company)
            for who in ("user", "auditor", "employee", "portal"):
                with self.subTest(model=model, who=who), self.refused(AccessError):
                    reader = record.with_user(self.users[who]).sudo(False)
                    call_kw(reader, "message_post", [record.ids], {"body": "Type it here"})

    def test_shipped_field_mappings_are_of_all_companies(self):
        shipped = self.record("integration.field.mapping", self.company).copy({"backend_id": False})
        for values in ({"external_path": "evil"}, {"active": False}):
            with self.refused(AccessError):
                self.call("manager", shipped._name, "write", shipped.ids, values)
        with self.refused(AccessError):
            self.call("manager", shipped._name, "unlink", shipped.ids)

    def test_no_link_leads_the_import_to_a_record_that_is_closed(self):
        """An import writes with rights that whoever moves the link may not have."""
        operator = new_test_user(self.env, "linker", groups=f"base.group_user,{PREFIX}operator")
        other = self.backend.copy({"name": "Another"})
        link = self.env["integration.binding"].create(
            {
                "backend_id": self.backend.id,
                "resource": "contact",
                "external_id": "a",
                "res_model": "res.partner",
                "res_id": self.env["res.partner"].create({"name": "A"}).id,
            }
        )
        moves = (
            {"external_id": "b"},
            {"resource": "other"},
            {"backend_id": other.id},
            {"res_id": self.env.company.partner_id.id},
        )
        for values in moves:
            with self.subTest(values=values), self.refused(AccessError):
                self.call(operator, link._name, "write", link.ids, values)
        self.call(operator, link._name, "write", link.ids, {"external_label": "Still allowed"})
        operator.group_ids |= self.env.ref("base.group_partner_manager")
        for values in moves:
            self.call(operator, link._name, "write", link.ids, values)
        theirs = self.record("integration.backend", self.other_company)
        with self.refused(AccessError):
            self.call(operator, link._name, "write", link.ids, {"backend_id": theirs.id})

    # === SECRETS === #

    def _guess(self, who, model, domain):
        return self.call(who, model, "search", domain)

    def test_no_search_guesses_a_secret(self):
        backend = self.record("integration.backend", self.company)
        self.record("integration.credential", self.company)
        self.record("integration.mapping", self.company)
        self.record("integration.webhook.subscription", self.company)
        event = self.record("integration.webhook.event", self.company)
        self.record("integration.sync.log", self.company).webhook_event_id = event
        cases = (
            ("user", "integration.mapping", "backend_id.webhook_token"),
            ("user", "integration.sync.log", "flow_id.backend_id.webhook_token"),
            ("user", "integration.backend", "webhook_token"),
            ("user", "integration.backend", "credential_ids.code"),
            ("auditor", "integration.backend", "webhook_token"),
            ("manager", "integration.credential", "ciphertext"),
            ("manager", "integration.backend", "credential_ids.ciphertext"),
            ("manager", "integration.mapping", "backend_id.credential_ids.previous_ciphertext"),
            ("user", "integration.sync.log", "payload"),
            ("user", "integration.sync.log", "webhook_event_id.body"),
            ("user", "integration.mapping", "backend_id.subscription_ids.address"),
            ("manager", "integration.privacy.request", "terms"),
        )
        for who, model, path in cases:
            for operator, value in (("=like", "v1%"), ("!=", False), (">", "a")):
                with self.subTest(who=who, path=path, op=operator), self.refused(AccessError):
                    self._guess(who, model, [(path, operator, value)])
            for method, args in (
                ("search_read", ([], ["id"], 0, 1, path)),
                ("web_search_read", ([], {path.split(".")[0]: {}}, 0, 1, path)),
                ("formatted_read_group", ([], [path], ["__count"])),
                ("formatted_read_group", ([], [], [f"{path}:max"])),
                ("export_data", ([backend.id], [path.replace(".", "/")])),
                ("read", ([backend.id], [path])),
            ):
                if "." in path and method in ("read", "web_search_read", "formatted_read_group"):
                    continue
                if method == "export_data":
                    args = (self.record(model, self.company).ids, args[1])
                if method == "read":
                    args = (self.record(model, self.company).ids, [path])
                with (
                    self.subTest(who=who, path=path, method=method),
                    self.refused((UserError, ValueError)),
                ):
                    self.call(who, model, method, *args)

    def test_templates_open_no_secret(self):
        editor = new_test_user(
            self.env, "editor", groups=f"mail.group_mail_template_editor,{PREFIX}manager"
        )
        admin = new_test_user(self.env, "adm", groups=f"base.group_system,{PREFIX}manager")
        expressions = (
            "object.credential_ids.ciphertext",
            "object.credential_ids[:1]['ciphertext']",
            "object._credential('secret')",
            "object.sudo()._credential('secret')",
            "object.credential_ids._decrypt()",
            "object.credential_ids._open(object.credential_ids._stored())",
            "object.credential_ids._box()._fernets",
            "object._client()._auth()",
            "object._webhook_url()",
            "object.sudo()._webhook_url()",
            "object.webhook_url",
        )
        for user in (editor, admin):
            for expression in expressions:
                with self.subTest(user=user.login, expression=expression):
                    shown = self._render(user, f"{{{{ {expression} }}}}")
                    parts = (SECRET, "v1:", "Fernet", self.backend.webhook_token)
                    for part in parts:
                        self.assertNotIn(part, shown)
                    body = f'<t t-out="{expression}"/>'
                    shown = self._render(user, body, "qweb")
                    for part in parts:
                        self.assertNotIn(part, shown)

    def test_templates_show_the_address_for_notifications_to_nobody_else(self):
        for role in ("user", "operator", "auditor"):
            reader = new_test_user(
                self.env, f"editor_{role}", groups=f"mail.group_mail_template_editor,{PREFIX}{role}"
            )
            for name in ("webhook_token", "webhook_url", "_webhook_url()"):
                with self.subTest(role=role, name=name):
                    shown = self._render(reader, f"{{{{ object.{name} }}}}")
                    self.assertNotIn(self.backend.webhook_token, shown)
            self.assertEqual(
                self._render(reader, "{{ object.name }}"), str({self.backend.id: "Fake"})
            )

    def test_server_actions_that_use_secrets_are_noted(self):
        admin = new_test_user(self.env, "adm", groups=f"base.group_system,{PREFIX}manager")
        action = self.env["ir.actions.server"].create(
            {
                "name": "Curious",
                "model_id": self.env["ir.model"]._get_id("integration.backend"),
                "state": "code",
                "code": "raise UserError(record._credential('secret'))",
            }
        )
        run = action.with_user(admin).with_context(
            active_model=self.backend._name, active_id=self.backend.id
        )
        logger = "odoo.addons.integration_base.models.integration_credential"
        with (
            self.enter_registry_test_mode(),
            self.assertLogs(logger, "WARNING") as logs,
            self.refused(UserError),
        ):
            # it cannot be prevented: an administrator could reach the key by other ways, too
            run.run()
        self.assertIn(f"Curious ({action.id}), run by adm", logs.output[0])
        noted = self.env["ir.logging"].search([("path", "=", "integration.credential")])
        self.assertIn("Curious", noted.message)
        self.assertNotIn(SECRET, noted.message)

    def test_crons_use_secrets_without_a_note(self):
        cron = self.env.ref("integration_base.ir_cron_check_subscriptions")
        with (
            patch.object(
                type(self.env["integration.webhook.subscription"]),
                "_cron_check",
                lambda model: self.backend._credential("secret"),
            ),
            self.enter_registry_test_mode(),
        ):
            cron.ir_actions_server_id.run()
        self.assertFalse(self.env["ir.logging"].search([("path", "=", "integration.credential")]))

    def test_secrets_stay_with_the_host_they_were_typed_for(self):
        backend = self.make(
            "manager",
            "integration.backend",
            {"name": "B", "connector": "fake", "base_url": "https://service.example.com"},
        )
        row = backend.credential_ids
        self.call("manager", row._name, "write", row.ids, {"value": SECRET})
        self.assertEqual(row.host, "service.example.com")
        # the same host is written in many ways
        for address in ("https://SERVICE.example.com./api", "https://service.example.com:8443"):
            self.call("manager", backend._name, "write", backend.ids, {"base_url": address})
            backend._client().close()
        moves = ({"base_url": False}, {"base_url": "https://evil.example"})
        for values in (*moves, {"environment": "production"}):
            self.call("manager", backend._name, "write", backend.ids, values)
        self.assertEqual(row.status, "elsewhere")
        with self.assertRaisesRegex(AuthError, "service.example.com.*evil.example now"):
            backend._client()
        with self.refused(AccessError):
            self.call("manager", row._name, "write", row.ids, {"host": "evil.example"})
        self.call("manager", row._name, "write", row.ids, {"value": "another"})
        backend._client().close()
        self.assertEqual(row.status, "set")

    def test_a_token_stays_with_its_host_too(self):
        backend = self.record("integration.backend", self.company)
        backend.base_url = "https://service.example.com"
        with self.enter_registry_test_mode():
            backend._store_token("access", "token")
        self.assertEqual(backend._token("access"), "token")
        backend.base_url = "https://evil.example"
        self.assertFalse(backend._token("access"))

    def test_no_token_is_asked_for_elsewhere(self):
        """A refusal makes the engine ask for another token, with the secrets it has."""
        backend = self.record("integration.backend", self.company)
        backend.base_url = "https://service.example.com"
        backend.credential_ids.value = SECRET
        backend._token_client("https://login.example.com/token", []).close()
        backend.base_url = "https://evil.example"
        with self.assertRaisesRegex(AuthError, "service.example.com.*evil.example now"):
            backend._token_client("https://evil.example/token", [])

    def test_secrets_typed_before_the_address_get_its_host(self):
        backend = self.make("manager", "integration.backend", {"name": "B", "connector": "fake"})
        row = backend.credential_ids
        self.call("manager", row._name, "write", row.ids, {"value": SECRET})
        self.assertFalse(row.host)
        for address in ("https://service.example.com", "https://evil.example"):
            self.call("manager", backend._name, "write", backend.ids, {"base_url": address})
        self.assertEqual(row.host, "service.example.com")

    def test_exchanges_show_no_address_for_notifications(self):
        backend = self.record("integration.backend", self.company)
        backend.base_url = "https://service.example.com"
        with backend._client() as client:
            shown = client._redactor.body(
                json.dumps({"uri": backend.webhook_url}), "application/json"
            )
            self.assertNotIn(backend.webhook_token, shown)
            self.assertNotIn(backend.webhook_token, client._redactor.text(backend.webhook_url))

    def _render(self, user, text, engine="inline_template"):
        render = self.env["mail.render.mixin"].with_user(user)
        self.env.invalidate_all()
        try:
            return str(
                render._render_template(text, self.backend._name, self.backend.ids, engine=engine)
            )
        except (AccessError, UserError, ValueError) as error:
            return str(error)
