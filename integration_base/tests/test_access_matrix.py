import inspect
from contextlib import contextmanager
from unittest.mock import patch

from lxml import etree

from odoo import fields
from odoo.exceptions import AccessError, MissingError, UserError, ValidationError
from odoo.service.model import call_kw, get_public_method
from odoo.tests import tagged

from .access_case import RIGHTS, ROLES, STRANGERS, AccessCase

#: Parts of names that say that a field holds a secret.
SECRET_NAMES = {"secret", "token", "password", "key", "ciphertext", "verifier", "certificate"}
#: ``{field: reason}`` of fields that are called so and are open to all who read the model.
NO_SECRETS = {
    "integration.sync.log.claim_token": "a random number that tells drains apart",
    "integration.sync.log.key": "the id of the record in the external system",
    "integration.incident.key": "tells incidents apart, a digest of their text",
    "integration.intent.idempotency_key": "a digest; only with the credentials is it of any use",
}
MANAGER = "integration_base.group_integration_manager"


@tagged("post_install", "-at_install")
class TestAccessMatrix(AccessCase):
    """Every model x role x company; what is new is found by itself."""

    def test_every_model_is_in_the_table(self):
        for model in self.our_models():
            self.assertIn(
                model._name,
                self.table.matrix,
                f"{model._name} is new. Decide who may read, write, create and delete it, write "
                f"that as one line into MATRIX of {model._original_module}/tests/access_matrix.py "
                "and into security/ir.model.access.csv, and add a record rule for its company.",
            )
        self.assertLessEqual(self.table.matrix.keys(), {model._name for model in self.our_models()})

    def test_rights_are_those_of_the_table(self):
        differences = []
        for model in self.our_models():
            row = self.table.matrix[model._name]
            for role, user in self.users.items():
                expected = row.get(role, "")
                actual = "".join(
                    letter
                    for letter, operation in RIGHTS.items()
                    if model.with_user(user).has_access(operation)
                )
                if actual != expected:
                    differences.append(
                        f"{model._name}, {role}: {actual or 'nothing'} instead of "
                        f"{expected or 'nothing'}"
                    )
        self.assertFalse(differences, "\n".join(differences))

    def test_auditors_stay_out_of_the_ladder(self):
        def implied(role):
            return self.env.ref(f"integration_base.group_integration_{role}").all_implied_ids

        auditor = self.env.ref("integration_base.group_integration_auditor")
        for role in ("user", "operator", "manager"):
            self.assertNotIn(auditor, implied(role))
            self.assertNotIn(
                self.env.ref(f"integration_base.group_integration_{role}"), implied("auditor")
            )

    def test_records_belong_to_a_company(self):
        for model in self.our_models():
            if model._transient or model._name in self.table.no_company:
                continue
            self.assertIn(
                "company_id",
                model._fields,
                f"{model._name} has no company_id, so it is visible in every company. Add it, with "
                "a record rule, or give the reason in NO_COMPANY of access_matrix.py.",
            )

    def test_each_company_sees_its_own(self):
        for model in self.our_models():
            if model._transient or model._name in self.table.no_company:
                continue
            mine, theirs = (
                self.record(model._name, company) for company in (self.company, self.other_company)
            )
            self.assertEqual(mine.company_id, self.company, model._name)
            self.assertEqual(theirs.company_id, self.other_company, model._name)
            for role in ROLES:
                rights = self.table.matrix[model._name][role]
                if not rights:
                    continue
                with self.subTest(model=model._name, role=role):
                    self._check_company(mine, theirs, self.users[role], rights)

    def _check_company(self, mine, theirs, user, rights):
        own, foreign = mine.with_user(user).sudo(False), theirs.with_user(user).sudo(False)
        both = [("id", "in", (mine | theirs).ids)]
        self.assertEqual(own.with_context(active_test=False).search(both).ids, mine.ids)
        self.assertEqual(own.search_count(both), 1)
        self.assertEqual(own._read_group(both, aggregates=["__count"]), [(1,)])
        own.read(["id", "display_name"])
        with self.assertRaises(AccessError):
            foreign.read(["id", "display_name"])
        with self.assertRaises(AccessError):
            foreign.export_data(["id", "display_name"])
        for letter in rights:
            self.assertTrue(own.has_access(RIGHTS[letter]))
            self.assertFalse(foreign.has_access(RIGHTS[letter]), RIGHTS[letter])
        if "w" in rights:
            with self.assertRaises(AccessError):
                foreign.write({"create_uid": user.id})
        if "d" in rights:
            with self.assertRaises(AccessError):
                foreign.unlink()

    def test_the_active_company_counts(self):
        """Who works in both companies sees the one that is switched on."""
        user = self.users["manager"]
        user.company_ids |= self.other_company
        for model in self.our_models():
            if model._transient or model._name in self.table.no_company:
                continue
            both = self.record(model._name, self.company) | self.record(
                model._name, self.other_company
            )
            domain = [("id", "in", both.ids)]
            seen = model.with_user(user).with_context(active_test=False)
            for companies, expected in (
                (self.company, both[0]),
                (self.other_company, both[1]),
                (self.company | self.other_company, both),
            ):
                found = seen.with_context(allowed_company_ids=companies.ids).search(domain)
                self.assertEqual(set(found.ids), set(expected.ids), model._name)

    def test_wizards_are_their_makers(self):
        """What somebody types or is shown in a dialog is nobody else's business."""
        for model in self.our_models():
            if not model._transient or not self.table.matrix[model._name]["manager"]:
                continue
            made = self.record(model._name, self.company)
            made._write({"create_uid": self.users["manager"].id})
            made.invalidate_recordset()
            for role in ROLES:
                if role == "manager" or not self.table.matrix[model._name][role]:
                    continue
                other = made.with_user(self.users[role]).sudo(False)
                self.assertFalse(
                    other.search([("id", "=", made.id)]),
                    f"{model._name} shows what others typed into it. Add a record rule with "
                    "[('create_uid', '=', user.id)] to the security folder.",
                )
                for operation in RIGHTS.values():
                    self.assertFalse(other.has_access(operation), (model._name, operation))
            made.with_user(self.users["manager"]).sudo(False).read(["id"])

    def test_fields_called_secret_are_closed(self):
        no_secrets = {**NO_SECRETS, **self.table.no_secrets}
        for model in self.our_models():
            for name, field in model._fields.items():
                full_name = f"{model._name}.{name}"
                if not SECRET_NAMES & set(name.split("_")) or full_name in no_secrets:
                    continue
                self.assertIn(
                    field.groups,
                    (fields.NO_ACCESS, MANAGER),
                    f"{full_name} is called like a secret and open to all who read the model. Give "
                    "it groups=fields.NO_ACCESS, or say in NO_SECRETS why it is none.",
                )


@tagged("post_install", "-at_install")
class TestPublicMethods(AccessCase):
    """Every method that RPC can call, by those who have no business with it."""

    def _arguments(self, model, method, record):
        parameters = list(inspect.signature(getattr(type(model), method)).parameters.values())[1:]
        values = [
            {} if parameter.name == "vals" else [{}] if parameter.name == "vals_list" else "x"
            for parameter in parameters
            if parameter.default is parameter.empty
            and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        ]
        return values if self._is_of_model(model, method) else [record.ids, *values]

    def _is_of_model(self, model, method):
        return getattr(getattr(type(model), method), "_api_model", False)

    def _targets(self, company):
        """Yield ``(model, method, record)`` of everything that can be called from outside."""
        for model, method in self.our_methods():
            try:
                get_public_method(model, method)
            except AccessError:
                continue
            yield model, method, self._record_of(model, company)

    def _record_of(self, model, company):
        if model._original_module in self.addons:
            return self.record(model._name, company)
        factory = self.table.factories.get(model._name)
        # a record of no company is everybody's: it cannot be refused to another company
        companies = [company.id] if factory else [company.id, False]
        domain = [("company_id", "in", companies)] if "company_id" in model else []
        found = model.sudo().search(domain, limit=1)
        if not found and factory:
            found = model.sudo().create(factory(self.env, company, self.record))
        return found

    @contextmanager
    def _no_calls(self):
        with (
            self.enter_registry_test_mode(),
            patch("odoo.addons.integration_base.lib.http.HttpClient.request") as request,
        ):
            yield
        request.assert_not_called()

    def _call(self, model, method, record, user):
        with self.env.cr.savepoint():
            try:
                return call_kw(
                    model.with_user(user).sudo(False),
                    method,
                    self._arguments(model, method, record),
                    {},
                )
            finally:
                self.env.flush_all()

    def test_there_are_methods(self):
        found = {f"{model._name}.{method}" for model, method in self.our_methods()}
        self.assertLessEqual(
            {"integration.backend.action_pause", "integration.sync.log.action_retry"}, found
        )

    def _check_refused(self, user, company, who, methods=lambda method: True):
        targets = [target for target in self._targets(company) if methods(target[:2])]
        before = self.everything()
        for model, method, record in targets:
            with self.subTest(method=f"{model._name}.{method}", who=who), self._no_calls():
                with self.assertRaises(
                    UserError,
                    msg=f"{who} may call {model._name}.{method}. Begin it with "
                    'self.check_access("read"), or "write" if it changes anything, or mark it '
                    "@api.private.",
                ) as caught:
                    self._call(model, method, record, user)
                self.assertNotIsInstance(caught.exception, (MissingError, ValidationError))
        self.assertEqual(self.everything(), before)

    def test_strangers_call_nothing(self):
        for role in STRANGERS:
            self._check_refused(self.users[role], self.company, role)

    def test_managers_of_another_company_call_nothing(self):
        self._check_refused(
            self.others["manager"],
            self.company,
            "a manager of another company",
            # what is called on no record has none of another company
            lambda target: not self._is_of_model(*target),
        )

    def _check_readers(self, role):
        targets = list(self._targets(self.company))
        before = self.everything()
        for model, method, record in targets:
            if model._original_module not in self.addons:
                continue
            with self.subTest(method=f"{model._name}.{method}", who=role), self._no_calls():
                try:
                    self._call(model, method, record, self.users[role])
                except UserError:
                    continue
                self.assertEqual(
                    self.everything(), before, f"{role} changes something by {model._name}.{method}"
                )

    def test_auditors_change_nothing(self):
        self._check_readers("auditor")

    def test_users_change_nothing(self):
        self._check_readers("user")


@tagged("post_install", "-at_install")
class TestScreens(AccessCase):
    """Who sees a menu, a button or a link can use it."""

    def _views(self, model):
        return self.env["ir.ui.view"].search(
            [("model", "=", model), ("type", "!=", "search"), ("mode", "=", "primary")]
        )

    def _buttons(self, model, user):
        """Return ``{(type, name)}`` of the buttons a user finds on the screens of a model."""
        found = set()
        for view in self._views(model):
            arch = self.env[model].with_user(user).get_view(view.id, view.type)["arch"]
            for button in etree.fromstring(arch).iter("button", "a"):
                if button.get("type") in ("object", "action"):
                    owner = self._model_of(button, model)
                    found.add((owner, button.get("type"), button.get("name")))
        return found

    def _model_of(self, button, model):
        lines = [f for f in button.iterancestors("field") if f.get("name")]
        for line in reversed(lines):
            model = self.env[model]._fields[line.get("name")].comodel_name
        return model

    def test_readers_find_no_button_that_fails(self):
        for role in ("user", "auditor"):
            user = self.users[role]
            buttons = set()
            for model in self.our_models():
                if self.table.matrix[model._name][role]:
                    buttons |= self._buttons(model._name, user)
            self.assertTrue(buttons)
            for model, kind, name in sorted(buttons):
                with self.subTest(role=role, button=f"{model}.{name}"):
                    action = self._press(model, kind, name, user)
                    target = action and action.get("res_model")
                    if target and target in self.env:
                        self.env[target].with_user(user).check_access("read")

    def _press(self, model, kind, name, user):
        if kind == "action":
            return self.env["ir.actions.act_window"].browse(int(name)).sudo().read()[0]
        record = self.record(model, self.company).with_user(user).sudo(False)
        return call_kw(record.browse(), name, [record.ids], {})

    def test_menus_lead_somewhere(self):
        root = self.env.ref("integration_base.integration_menu_root")
        for role in ROLES:
            user = self.users[role]
            menus = self.env["ir.ui.menu"].with_user(user)
            visible = (
                menus.sudo()
                .browse(menus._visible_menu_ids())
                .filtered(
                    lambda menu: menu.parent_path.startswith(root.parent_path) and menu.action
                )
            )
            self.assertTrue(visible, role)
            for menu in visible:
                model = self.env[menu.action.res_model].with_user(user)
                self.assertTrue(model.has_access("read"), (role, menu.complete_name))
                model.search([], limit=1).read()

    def test_auditors_read_what_they_audit(self):
        auditor = self.users["auditor"]
        wanted = {
            "integration.sync.log": ["payload", "detail", "exchange_ids", "edit_ids"],
            "integration.webhook.event": ["body"],
            "integration.backend": ["credential_ids", "keep_done_days"],
            "integration.credential": ["name", "status", "set_at", "set_by_id"],
        }
        for model, names in wanted.items():
            record = self.record(model, self.company).with_user(auditor).sudo(False)
            self.assertTrue(record.read(names))
        backend = self.record("integration.backend", self.company).with_user(auditor).sudo(False)
        for name in ("webhook_token", "webhook_url"):
            with self.assertRaises(AccessError):
                backend.read([name])
