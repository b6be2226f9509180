"""Finds every model, method and view of our addons, and makes a record of each model."""

import importlib
import inspect
import itertools
from types import SimpleNamespace

from odoo import Command, models
from odoo.tests.common import new_test_user
from odoo.tools import SQL

from .common import IntegrationCase

PREFIX = "integration_base.group_integration_"
#: Those whom our models are no business of.
STRANGERS = {
    "anonymous": "base.group_public",
    "portal": "base.group_portal",
    "employee": "base.group_user",
}
ROLES = {
    role: f"base.group_user,base.group_allow_export,{PREFIX}{role}"
    for role in ("user", "operator", "auditor", "manager")
}
AUTOMATIC = ("id", "create_uid", "create_date", "write_uid", "write_date")
RIGHTS = {"r": "read", "w": "write", "c": "create", "d": "unlink"}


def read_matrix(text):
    """Return ``{model: {role: rights}}`` of a table as in access_matrix.py."""
    head, *lines = (line.split() for line in text.strip().splitlines())
    return {
        line[0]: dict(zip(head[1:], (cell.strip("-") for cell in line[1:]), strict=True))
        for line in lines
    }


class AccessCase(IntegrationCase):
    """A user of each role in company A (``users``), and two companies with a record of each model.

    ``others`` are the users of company B.
    """

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.company = cls.env.company
        cls.other_company = cls.env["res.company"].create({"name": "Other"})
        cls.users = cls._make_users(cls.company)
        cls.others = cls._make_users(cls.other_company)
        cls.addons = cls._our_addons()
        cls.table = SimpleNamespace(matrix={}, factories={}, no_company={}, no_secrets={})
        for addon in cls.addons:
            try:
                module = importlib.import_module(f"odoo.addons.{addon}.tests.access_matrix")
            except ModuleNotFoundError:
                continue
            cls.table.matrix.update(read_matrix(module.MATRIX))
            cls.table.factories.update(getattr(module, "FACTORIES", {}))
            cls.table.no_company.update(getattr(module, "NO_COMPANY", {}))
            cls.table.no_secrets.update(getattr(module, "NO_SECRETS", {}))
        cls._numbers = itertools.count(1)

    def setUp(self):
        super().setUp()
        self._made = {}

    @classmethod
    def _make_users(cls, company):
        return {
            role: new_test_user(
                cls.env,
                f"{role}-{company.id}@example.com",
                groups=groups,
                company_id=company.id,
                tz="UTC",
            )
            for role, groups in {**STRANGERS, **ROLES}.items()
        }

    @classmethod
    def _our_addons(cls):
        """Return the names of integration_base and all installed addons built on it."""
        modules = cls.env["ir.module.module"].search([("state", "=", "installed")])
        needs = {module.name: set(module.dependencies_id.mapped("name")) for module in modules}
        found, size = {"integration_base"}, 0
        while len(found) > size:
            size = len(found)
            found |= {name for name, needed in needs.items() if needed & found}
        return sorted(found)

    @classmethod
    def _addon_of(cls, definition):
        """Return our addon that a class or function is written in, None for all others."""
        parts = definition.__module__.split(".")
        # the connector of the tests is written in a test
        if parts[:2] == ["odoo", "addons"] and parts[2] in cls.addons and parts[3:4] != ["tests"]:
            return parts[2]
        return None

    def our_models(self):
        """Return the concrete models that our addons define, transient ones included."""
        return [
            self.env[name]
            for name, cls in sorted(self.env.registry.items())
            if not cls._abstract and cls._original_module in self.addons
        ]

    def our_methods(self):
        """Return ``[(model, method name)]`` of what RPC can call in the code of our addons.

        Also on models of others that we extend, but for what Odoo itself checks there: methods
        that every model has. An abstract model has no records to call anything on.
        """
        found = []
        for name, cls in sorted(self.env.registry.items()):
            if cls._abstract:
                continue
            methods = {
                method
                for parent in cls.mro()
                if self._addon_of(parent)
                for method, value in vars(parent).items()
                if inspect.isfunction(value) and not method.startswith("_")
                # an extension for all models: Odoo's own check is below it
                if parent._name != "base" or not hasattr(models.BaseModel, method)
            }
            if cls._original_module not in self.addons:
                methods = {m for m in methods if not hasattr(self.env.registry["base"], m)}
            found += [(self.env[name], method) for method in sorted(methods)]
        return found

    # === RECORDS === #

    def record(self, model, company):
        """Return the record (superuser) of a model in a company, made at the first call."""
        key = (model, company.id)
        if key not in self._made:
            self._made[key] = self._make(model, company).id
        return self.env[model].sudo().browse(self._made[key])

    def _make(self, name, company):
        model = self.env[name].sudo().with_company(company)
        values = {}
        factory = self.table.factories.get(name)
        given = factory(model.env, company, self.record) if factory else {}
        defaults = model.default_get(list(model._fields))
        for field_name, field in model._fields.items():
            if not field.store or field_name in (*given, *AUTOMATIC):
                continue
            if field.type == "many2one" and (
                field.comodel_name == "res.company"
                or (field.required and not field.compute)
                or field_name in ("backend_id", "flow_id", "operation_id")
            ):
                if not field.related:
                    values[field_name] = self._related_record(field, company).id
            elif field.required and not field.compute and defaults.get(field_name) in (None, False):
                values[field_name] = self._value(model, field, company)
        return model.create({**values, **given})

    def _related_record(self, field, company):
        if field.comodel_name == "res.company":
            return company
        if self.env.registry[field.comodel_name]._original_module in self.addons:
            return self.record(field.comodel_name, company)
        if field.comodel_name == "res.users":
            return (self.users if company == self.company else self.others)["operator"]
        return self.env[field.comodel_name].sudo().search([], limit=1)

    def _value(self, model, field, company):
        number = next(self._numbers)
        values = {
            "char": f"test-{number}",
            "text": f"test-{number}",
            "html": f"<p>test-{number}</p>",
            "integer": number,
            "float": float(number),
            "datetime": "2026-11-01 10:00:00",
            "date": "2026-11-01",
            "binary": b"eA==",
            "json": {"number": number},
        }
        if field.name == "res_model":
            return "res.partner"
        if field.type == "many2one_reference":
            return company.partner_id.id
        if field.type == "many2many":
            return [Command.set(self._related_record(field, company).ids)]
        if field.type == "selection":
            return field.get_values(model.env)[0]
        if field.type not in values:
            raise AssertionError(
                f"{model._name}.{field.name}: a test value is not known for it. Add the model to "
                "FACTORIES in the access_matrix.py of its addon."
            )
        return values[field.type]

    # === WHAT CHANGED === #

    def everything(self):
        """Return ``{table: digest}`` of all rows of our models and of the queue of jobs."""
        self.env.flush_all()
        tables = [model._table for model in self.our_models() if isinstance(model, models.Model)]
        digests = {}
        for table in [*tables, "queue_job", "mail_message", "mail_activity"]:
            self.env.cr.execute(
                SQL(
                    "SELECT md5(string_agg(t::text, chr(10) ORDER BY t.id)) FROM %s t",
                    SQL.identifier(table),
                )
            )
            digests[table] = self.env.cr.fetchone()[0]
        return digests
