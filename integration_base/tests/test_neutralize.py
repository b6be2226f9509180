"""What the command `neutralize` leaves of a database, and what a copy of one refuses to do."""

import re
from datetime import timedelta

from odoo import fields
from odoo.exceptions import UserError
from odoo.modules.neutralize import get_neutralization_queries
from odoo.tests import tagged
from odoo.tools import SQL

from ..lib.errors import ConfigurationError, RequestRefused
from ..models import integration_backend
from .common import IntegrationCase
from .test_access_matrix import NO_SECRETS, SECRET_NAMES

TEXTS = ("char", "text", "html", "json", "binary", "reference")
CANARY = "canary"


def has_to_be_cleared(field, is_dialog=False):
    """Whether a neutralized copy must not have what is in a column, by what its field says.

    That is a secret by its name, or what is closed to some of those who may read the record.

    :param is_dialog: it is typed into a dialog, which nobody needs to see again.
    """
    if not field.store or not field.column_type or field.type not in TEXTS:
        return False
    if str(field) in NO_SECRETS:
        return bool(field.groups) or is_dialog
    return bool(SECRET_NAMES & set(field.name.split("_")) or field.groups) or is_dialog


class NeutralizeCase(IntegrationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        base = cls.env.ref("base.module_integration_base")
        cls.modules = base | base.downstream_dependencies()
        cls.addons = cls.modules.mapped("name")

    def neutralize(self, *addons):
        """Run the scripts of addons, of all of ours by default."""
        self.env.flush_all()
        for query in get_neutralization_queries(addons or self.addons):
            self.env.cr.execute(query)
        self.env.invalidate_all()


@tagged("post_install", "-at_install", "neutralize")
class TestNeutralizeColumns(NeutralizeCase):
    """From the registry: whoever adds a secret has to clear it."""

    def columns(self):
        """Return ``{table: {column}}`` of what has to be cleared, in all tables."""
        found = {}
        for model in self.registry.models.values():
            if model._abstract or not model._auto:
                continue
            is_dialog = model._transient and model._original_module in self.addons
            for name, field in model._fields.items():
                if set(self.addons) & set(field._modules) and has_to_be_cleared(field, is_dialog):
                    found.setdefault(model._table, set()).add(name)
        return found

    def kept(self, columns):
        """Fill tables of their own with canaries, run the scripts, and return what is left.

        The tables lie before the real ones for the rest of the transaction; they have the same
        columns, and no references or conditions that would have to be met.
        """
        for table in {*self.our_tables(), *columns}:
            shadow = SQL.identifier(table)
            self.env.cr.execute(
                SQL("CREATE TEMP TABLE %s (LIKE public.%s) ON COMMIT DROP", shadow, shadow)
            )
            for name in columns.get(table, ()):
                self.env.cr.execute(
                    SQL(
                        "ALTER TABLE %s ADD COLUMN IF NOT EXISTS %s varchar",
                        shadow,
                        SQL.identifier(name),
                    )
                )
            self.fill(table)
        self.neutralize()
        left = []
        for table, names in columns.items():
            for name in names:
                self.env.cr.execute(
                    SQL(
                        "SELECT 1 FROM %s WHERE %s::text LIKE %s",
                        SQL.identifier(table),
                        SQL.identifier(name),
                        f"%{CANARY}%",
                    )
                )
                if self.env.cr.fetchone():
                    left.append(f"{table}.{name}")
        return sorted(left)

    def our_tables(self):
        return {
            model._table
            for model in self.registry.models.values()
            if not model._abstract and model._auto and model._original_module in self.addons
        }

    def fill(self, table):
        """Insert a row with a canary in each column that can take one."""
        self.env.cr.execute(
            "SELECT attname, typname FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
            " WHERE attrelid = %s::regclass AND attnum > 0",
            [f"pg_temp.{table}"],
        )
        values = {
            "bool": SQL("TRUE"),
            "date": SQL("now()"),
            "timestamp": SQL("now()"),
            "jsonb": SQL("to_jsonb(%s::text)", CANARY),
            "varchar": SQL("%s", CANARY),
            "text": SQL("%s", CANARY),
            "bytea": SQL("%s::bytea", CANARY),
        }
        row = {name: values.get(kind, SQL("1")) for name, kind in self.env.cr.fetchall()}
        self.env.cr.execute(
            SQL(
                "INSERT INTO %s (%s) VALUES (%s)",
                SQL.identifier(table),
                SQL(", ").join(map(SQL.identifier, row)),
                SQL(", ").join(row.values()),
            )
        )

    def test_every_secret_is_cleared(self):
        columns = self.columns()
        for table, name in (
            ("integration_credential", "ciphertext"),
            ("integration_backend", "webhook_token"),
            ("integration_webhook_event", "body"),
            ("integration_privacy_lookup", "email"),
        ):
            self.assertIn(name, columns.get(table, ()), "the search for columns is broken")
        self.assertEqual(
            self.kept(columns),
            [],
            "A neutralized copy keeps these columns. By their name, their groups or because they "
            "are of a dialog they hold what a copy must not have. Clear them in "
            "data/neutralize.sql of the addon that defines them.",
        )

    def test_new_secret_is_noticed(self):
        columns = {"integration_flow": {"gateway_password"}}
        self.assertEqual(self.kept(columns), ["integration_flow.gateway_password"])

    def test_what_counts_as_a_secret(self):
        def field(name, kind=fields.Char, **attributes):
            made = kind(**attributes)
            made._setup_attrs__(self.registry["integration.flow"], name)
            return made

        for secret in (
            field("gateway_password"),
            field("api_key"),
            field("refresh_token", fields.Text),
            field("client_certificate", fields.Binary, attachment=False),
            field("note", groups="base.group_system"),
        ):
            self.assertTrue(has_to_be_cleared(secret), secret)
        for harmless in (
            field("note"),
            field("tokens", fields.Float),
            field("token", store=False, compute=lambda records: None),
        ):
            self.assertFalse(has_to_be_cleared(harmless), harmless)
        self.assertTrue(has_to_be_cleared(field("note"), is_dialog=True))

    def test_scripts_name_nothing_of_addons_that_may_be_missing(self):
        """Each runs also where none of the addons is installed that its own does not need."""
        for module in self.modules:
            upstream = module.upstream_dependencies(exclude_states=("uninstallable",))
            needed = {"base", module.name, *upstream.mapped("name")}
            for query in get_neutralization_queries([module.name]):
                plain = re.sub(r"--.*|'[^']*'", "", query)
                words = set(re.findall(r"\w+", plain))
                for model in self.registry.models.values():
                    if model._abstract or model._table not in words:
                        continue
                    self.assertIn(model._original_module, needed)
                    for name in words & set(model._fields):
                        self.assertTrue(
                            needed & set(model._fields[name]._modules or needed),
                            f"{module.name}: {model._table}.{name}",
                        )


@tagged("post_install", "-at_install", "neutralize")
class TestNeutralize(NeutralizeCase):
    """Odoo's own style: the scripts on the database as it is, once and again."""

    def one(self, query):
        self.env.cr.execute(query)
        return self.env.cr.fetchone()[0]

    def test_busy_database(self):
        backend = self.backend
        with self.enter_registry_test_mode():
            backend._store_token("access", "issued", None)
        other = self.env["integration.credential"].create(
            {"backend_id": backend.id, "environment": "production", "code": "secret"}
        )
        other.value = "of production"
        before = backend.webhook_token
        operations = self.append("c1", "c2", "c3")
        operations[1].write({"state": "running", "claim_token": "t", "payload": "received"})
        operations[2].write({"state": "dead", "payload": "received", "detail": "trace"})
        event = self.env["integration.webhook.event"].create(
            {
                "backend_id": backend.id,
                "company_id": backend.company_id.id,
                "event_id": "e1",
                "received_at": fields.Datetime.now(),
                "state": "accepted",
                "body": '{"order_status_url": "https://shop.example.com/?key=s"}',
            }
        )
        load = self.env["integration.backfill"].create({"flow_id": self.flow.id})
        load.state = "running"
        run = self.env["integration.reconciliation"]._start(self.flow, "manual")
        Job = self.env["queue.job"].with_context(
            _job_edit_sentinel=self.env["queue.job"].EDIT_SENTINEL
        )
        states = ("wait_dependencies", "pending", "enqueued", "started", "failed", "done")
        jobs = Job.create([self.job(state, "integration.flow") for state in states])
        strange = Job.create(self.job("pending", "res.partner"))
        links = self.env["integration.binding"].create(
            {
                "backend_id": backend.id,
                "resource": "contact",
                "external_id": "c9",
                "res_model": "res.partner",
                "res_id": self.env.user.partner_id.id,
            }
        )
        self.env["integration.breaker"].create({"backend_id": backend.id, "state": "open"})
        for _time in range(2):
            self.neutralize()
            self.assertEqual(backend.state, "draft")
            self.assertNotEqual(backend.webhook_token, before)
            self.assertGreaterEqual(len(backend.webhook_token), 43)
            self.assertEqual(self.states(operations), ["ignored", "ignored", "dead"])
            self.assertEqual(
                operations.mapped(lambda op: (op.claim_token, op.payload, op.detail)),
                [(False, False, False)] * 3,
            )
            self.assertEqual((event.body, event.state), (False, "accepted"))
            self.assertEqual((load.state, run.state), ("cancelled", "stopped"))
            self.assertEqual(jobs.mapped("state"), ["cancelled"] * 5 + ["done"])
            self.assertEqual(strange.state, "pending", "is none of ours")
            self.assertTrue(links.exists())
            for table in ("exchange", "sync_edit", "webhook_subscription", "breaker"):
                self.assertEqual(self.one(f"SELECT count(*) FROM integration_{table}"), 0)
            self.assertEqual(
                self.one(
                    "SELECT count(*) FROM integration_credential WHERE is_set OR kind = 'token'"
                    " OR COALESCE(ciphertext, previous_ciphertext) IS NOT NULL"
                ),
                0,
            )
        # each address of its own
        self.assertEqual(
            self.one("SELECT count(*) - count(DISTINCT webhook_token) FROM integration_backend"), 0
        )

    def job(self, state, model):
        return {
            "uuid": f"{state} {model}",
            "state": state,
            "model_name": model,
            "method_name": "x",
            "user_id": self.env.uid,
        }

    def test_personal_data_of_requests_and_dialogs(self):
        company = self.env.company
        self.env["integration.privacy.lookup"].create({"email": "anna@example.com"})
        values = {"company_id": company.id, "terms": {"emails": ["anna@example.com"]}}
        Request = self.env["integration.privacy.request"]
        done, waiting = Request.create(
            [{**values, "kind": "export", "state": "done"}, {**values, "kind": "erase"}]
        )
        file = self.env["ir.attachment"].create(
            {"name": "p.json", "raw": b"Anna", "res_model": Request._name, "res_id": done.id}
        )
        done.attachment_id = file
        self.env.flush_all()
        self.neutralize()
        self.assertFalse(waiting.exists())
        self.assertFalse(done.terms or done.attachment_id)
        self.assertEqual(self.one("SELECT count(*) FROM integration_privacy_lookup"), 0)
        manager = self.env.ref("integration_base.group_integration_manager")
        user = self.env["res.users"].create(
            {"name": "M", "login": "m", "group_ids": [(4, manager.id)]}
        )
        self.assertFalse(file.with_user(user).has_access("read"))
        Request._gc_files_of_copies()
        self.assertFalse(file.exists(), "it would stay on the disk")

    def test_files_of_the_original_stay(self):
        Request = self.env["integration.privacy.request"]
        request = Request.create({"company_id": self.env.company.id, "kind": "export"})
        file = self.env["ir.attachment"].create(
            {"name": "p.json", "raw": b"A", "res_model": Request._name, "res_id": request.id}
        )
        Request._gc_files_of_copies()
        self.assertTrue(file.exists())


@tagged("post_install", "-at_install")
class TestCopy(IntegrationCase):
    """A copy that was not neutralized: same secrets, same jobs, same schedules."""

    def setUp(self):
        super().setUp()
        self.env.cr.execute(
            "UPDATE integration_backend SET database_identity = '1/2' WHERE id = %s",
            [self.backend.id],
        )
        self.backend.invalidate_recordset()

    def test_nothing_but_the_confirmation_connects_it(self):
        """Whatever its state: one that is paused would wake up by a harmless looking button."""
        for state in ("active", "paused", "draft"):
            with self.subTest(state):
                self.backend.state = state
                self.assertTrue(self.backend.in_foreign_database)
                for action in ("action_test_connection", "action_resume"):
                    with self.assertRaisesRegex(UserError, "Connect from Here"):
                        getattr(self.backend, action)()
                with self.assertRaises(ConfigurationError):
                    self.backend._client()
        self.backend.action_connect_here()
        self.assertEqual(self.backend.state, "active")
        self.assertFalse(self.backend.in_foreign_database)
        self.assertIn("took over", " ".join(self.backend.message_ids.mapped("body")))

    def test_hooks_with_transactions_of_their_own_may_call(self):
        """Tokens are renewed in another transaction, which does not see the confirmation yet."""
        identity = self.backend.database_identity

        def test(connector, backend):
            self.env.cr.execute(
                "UPDATE integration_backend SET database_identity = %s WHERE id = %s",
                [identity, backend.id],
            )
            backend.invalidate_recordset()
            self.assertTrue(backend.in_foreign_database)
            backend._client().close()
            backend.database_identity = backend._this_database()
            return "Connected."

        self.patch(self.registry["integration.connector.fake"], "_test_connection", test)
        self.backend.action_connect_here()
        self.assertFalse(integration_backend._taken_over.get())

    def test_confirmation_holds_though_the_secrets_are_old(self):
        """Else they could not be renewed either: a backup has tokens that were replaced since."""

        def refuse(connector, backend):
            raise RequestRefused("The token is unknown.")

        with self.subTest("refused"):
            connector = self.registry["integration.connector.fake"]
            self.patch(connector, "_test_connection", refuse)
            action = self.backend.action_connect_here()
            self.assertIn("The token is unknown.", action["params"]["message"])
        self.assertEqual(self.backend.state, "draft")
        self.assertFalse(self.backend.in_foreign_database)
        with self.assertRaisesRegex(UserError, "The token is unknown"):
            self.backend.action_test_connection()

    def test_neutralized_one_cannot_be_taken_over(self):
        self.env["ir.config_parameter"].set_param("database.is_neutralized", "True")
        with self.assertRaisesRegex(UserError, "neutralized copy"):
            self.backend.action_connect_here()
        self.assertEqual(self.backend.database_identity, "1/2")
        self.assertTrue(self.backend.in_neutralized_database)

    def test_writing_the_state_is_no_confirmation(self):
        self.backend.state = "draft"
        self.backend.state = "active"
        self.assertTrue(self.backend.in_foreign_database)

    def test_schedules_start_nothing_and_tell_nobody(self):
        past = fields.Datetime.now() - timedelta(hours=1)
        self.flow.write({"next_run_at": past, "reconcile_days": 1, "next_reconcile_at": past})
        secret = self.backend.credential_ids[:1]
        self.env.cr.execute(
            "UPDATE integration_credential SET expires_at = %s WHERE id = %s", [past, secret.id]
        )
        self.env.flush_all()
        self.env.invalidate_all()
        asked = []
        self.patch(
            self.registry["integration.connector.fake"],
            "_list_subscriptions",
            lambda connector, backend: asked.append(backend),
        )
        self.watchdog._plan_listings()
        self.watchdog._watch_runner(True)
        self.env["integration.reconciliation"]._cron_start_due()
        self.env["integration.credential"]._cron_daily()
        with self.enter_registry_test_mode():
            self.env["integration.webhook.subscription"]._cron_check()
        domain = [("backend_id", "=", self.backend.id)]
        self.assertFalse(self.env["integration.sync.log"].search(domain))
        self.assertFalse(self.env["integration.incident"].search(domain))
        self.assertFalse(asked)
        # and here they do, so that the test says something
        self.backend.database_identity = self.backend._this_database()
        self.watchdog._plan_listings()
        self.env["integration.credential"]._cron_daily()
        self.assertTrue(self.env["integration.sync.log"].search(domain))
        self.assertTrue(self.env["integration.incident"].search(domain))
