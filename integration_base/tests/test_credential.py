"""Secrets: under which key they are, who sees what of them, and how they are replaced."""

import base64
import contextlib
import hmac
import json
import logging
import traceback
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from cryptography.fernet import Fernet
from freezegun import freeze_time
from pytz import timezone

from odoo import Command, fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import new_test_user, tagged
from odoo.tools import SQL, config, html2plaintext, mute_logger, translate

from ..lib.crypto import SecretBox
from ..lib.errors import AuthError, ConfigurationError, CredentialError, RetryableError
from ..lib.http import HttpClient
from ..models import integration_credential
from .common import IntegrationCase

SECRET = "s3cr3t-canary"
OLD, NEW = (Fernet.generate_key().decode() for _number in range(2))


class Killed(BaseException):
    """The process ends here."""


@tagged("post_install", "-at_install")
class TestServerLog(IntegrationCase):
    """What code that was given a secret puts into an error is in the log without it."""

    def failure(self, secret):
        logger = logging.getLogger("odoo.addons.somebody")
        with self.assertLogs(logger) as log:
            try:
                raise ValueError(f"{secret} was refused")
            except ValueError:
                logger.exception("The request with %s failed", secret)
        return log.output[0]

    def test_secret_that_was_typed(self):
        secret = "typed-0f3b-into-a-field"
        self.assertIn(secret, self.failure(secret))
        self.backend.credential_ids.write({"value": secret})
        shown = self.failure(secret)
        self.assertIn("The request with *** failed", shown)
        self.assertIn("ValueError: *** was refused", shown)
        self.assertNotIn(secret, shown)

    def test_secret_that_was_read(self):
        secret = "read-77ac-from-a-row"
        stored = SecretBox([OLD]).encrypt(secret)
        self.assertIn(secret, self.failure(secret))
        with self._patch_key(OLD):
            self.backend.credential_ids.write({"ciphertext": stored})
            self.assertIn(secret, self.backend.credential_ids._decrypt())
            self.assertNotIn(secret, self.failure(secret))
            self.assertNotIn(OLD, self.failure(OLD))


@tagged("post_install", "-at_install")
class TestKeyRotation(IntegrationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(cls._patch_key(OLD))
        cls.backend.credential_ids.write({"ciphertext": False, "value": SECRET})
        cls.Credential = cls.env["integration.credential"]

    def fill(self, count):
        """Store secrets under the old key: ``value-<n>``, and ``before-<n>`` replaced by it."""
        box = SecretBox([OLD])
        rows = [
            (f"c{n}", box.encrypt(f"value-{n}"), box.encrypt(f"before-{n}")) for n in range(count)
        ]
        self.env.cr.execute_values(
            "INSERT INTO integration_credential (backend_id, company_id, code, ciphertext,"
            " previous_ciphertext, previous_until, kind, is_set, sequence, environment, active)"
            " VALUES %s",
            [
                (
                    *(self.backend.id, self.backend.company_id.id, *row, "2999-01-01", "typed"),
                    *(True, 10, "sandbox", True),
                )
                for row in rows
            ],
        )
        self.env.invalidate_all()

    def rotate(self):
        with self.enter_registry_test_mode():
            result = self.Credential._rotate_keys()
        self.env.invalidate_all()
        return result

    def test_thousand_secrets_interrupted_in_the_middle(self):
        self.fill(1000)
        rotate_batch = type(self.Credential)._rotate_batch
        batches = []

        def killed(*arguments):
            result = rotate_batch(*arguments)
            batches.append(result)
            if len(batches) == 3:
                raise Killed
            return result

        with self._patch_key(f"{NEW},{OLD}"):
            new, old = self.Credential._box().key_ids
            self.patch(type(self.Credential), "_rotate_batch", killed)
            # assertRaises would roll back what was committed before
            with contextlib.suppress(Killed):
                self.rotate()
            self.assertEqual(len(batches), 3)
            # the third batch was not committed
            done = 2 * integration_credential.ROTATION_BATCH
            self.assertEqual(self.usage(), {new: 2 * done - 1, old: 2 * (1000 - done) + 2})
            self.assertEqual(self.backend._credentials("c0"), ["value-0", "before-0"])
            self.assertEqual(self.backend._credentials("c999"), ["value-999", "before-999"])
            self.assertEqual(self.rotate(), {"rotated": 1001 - done, "unreadable": []})
            self.assertEqual(self.usage(), {new: 2001})
            self.assertEqual(self.rotate(), {"rotated": 0, "unreadable": []})
        with self._patch_key(NEW):
            for number in range(1000):
                self.assertEqual(
                    self.backend._credentials(f"c{number}"), [f"value-{number}", f"before-{number}"]
                )
            self.assertEqual(self.backend._credential("secret"), SECRET)

    def usage(self):
        with self.enter_registry_test_mode():
            return self.Credential._key_usage()

    def test_missing_key_is_counted_and_named(self):
        self.fill(1)
        missing = Fernet.generate_key().decode()
        row = self.Credential.search([("code", "=", "c0")])
        row.sudo().ciphertext = SecretBox([missing]).encrypt("x")
        with self._patch_key(f"{NEW},{OLD}"):
            self.assertEqual(self.rotate(), {"rotated": 2, "unreadable": row.ids})
            self.assertIn(SecretBox([missing]).key_id, self.usage())
            with self.enter_registry_test_mode():
                action = self.env["integration.key.rotation"].create({}).action_rotate()
        self.assertEqual(action["params"]["type"], "warning")
        self.assertIn("Fake: c0.", action["params"]["message"])
        with self._patch_key(NEW):
            self.assertEqual(self.backend._credential("secret"), SECRET)

    def test_form_shows_ids_and_never_keys(self):
        with self._patch_key(f"{NEW},{OLD}"), self.enter_registry_test_mode():
            new, old = self.Credential._box().key_ids
            wizard = self.env["integration.key.rotation"].create({})
            self.assertEqual(wizard.old_count, 1)
            self.assertIn(new, wizard.keys)
            self.assertIn(old, wizard.keys)
            shown = str(wizard.read())
            action = wizard.action_rotate()
            self.env.invalidate_all()
            self.assertEqual(wizard.old_count, 0)
        self.assertEqual(action["params"]["type"], "success")
        for key in (NEW, OLD):
            self.assertNotIn(key, shown)
            self.assertNotIn(key, str(action))

    def test_form_without_a_key_says_what_to_do(self):
        with self._patch_key("nonsense"), self.enter_registry_test_mode():
            wizard = self.env["integration.key.rotation"].create({})
            self.assertIn("Key number 1 of encryption_key is not valid", wizard.problem)
            self.assertEqual(wizard.old_count, 1)

    def test_rotation_is_noted_in_the_chatter(self):
        with self._patch_key(f"{NEW},{OLD}"):
            self.rotate()
        self.assertIn("1 credentials were encrypted again", str(self.notes()))

    def notes(self):
        self.backend.invalidate_recordset(["message_ids"])
        return self.backend.message_ids.mapped("body")


@tagged("post_install", "-at_install")
class TestKeySource(IntegrationCase):
    """Where the key is looked for, and that nothing is stored where it is missing or open."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(TemporaryDirectory()))
        self.enterContext(self._patch_key(""))
        self.enterContext(patch.dict("os.environ", {integration_credential.KEY_FILE_VARIABLE: ""}))
        # each test reads files of its own
        self.credential = self.backend.copy({"name": "New"}).credential_ids

    def write_file(self, name, text, mode):
        file = self.folder / name
        file.touch(0o600)
        file.write_text(text)
        file.chmod(mode)
        return str(file)

    def use_config(self, text, mode=0o600):
        path = self.write_file("odoo.conf", text, mode)
        self.enterContext(patch.dict(config.options, {"config": path}))

    def test_configuration_file(self):
        self.use_config(f"[options]\nworkers = 2\n[integration]\nencryption_key = {NEW},{OLD}\n")
        self.credential.value = "x"
        self.assertEqual(self.credential._decrypt(), ["x"])
        self.assertEqual(self.credential._box().key_ids[0], SecretBox([NEW]).key_id)

    def test_configuration_file_that_others_can_read(self):
        self.use_config(f"[integration]\nencryption_key = {NEW}\n", 0o644)
        with self.assertRaisesRegex(UserError, "chmod 600"):
            self.credential.value = "x"
        self.assertFalse(self.credential.is_set)

    def test_configuration_file_without_a_key_may_be_open(self):
        self.use_config("[options]\nworkers = 2\n", 0o644)
        with self.assertRaisesRegex(UserError, "no encryption key"):
            self.credential.value = "x"

    def test_key_file(self):
        self.use_config(f"[integration]\nencryption_key = {OLD}\n")
        path = self.write_file("key", f"{NEW}\n", 0o600)
        with patch.dict("os.environ", {integration_credential.KEY_FILE_VARIABLE: path}):
            self.credential.value = "x"
            self.assertEqual(self.credential._box().key_ids, SecretBox([NEW]).key_ids)

    def test_key_file_that_is_missing_is_not_passed_over(self):
        self.use_config(f"[integration]\nencryption_key = {OLD}\n")
        path = str(self.folder / "nothing")
        with (
            patch.dict("os.environ", {integration_credential.KEY_FILE_VARIABLE: path}),
            self.assertRaisesRegex(UserError, "cannot be read or is empty"),
        ):
            self.credential.value = "x"


class CredentialCase(IntegrationCase):
    """A connected backend with a stored secret, and people of every role."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.credential = cls.backend.credential_ids
        cls.people = {
            role: new_test_user(
                cls.env,
                f"credential_{role}",
                groups="base.group_user,base.group_allow_export,"
                f"integration_base.group_integration_{role}",
            )
            for role in ("user", "operator", "manager")
        }
        cls.manager = cls.people["manager"]

    def notes(self):
        """Return what the chatter of the backend says, as one text."""
        self.env.flush_all()
        self.backend.invalidate_recordset(["message_ids"])
        return " ".join(html2plaintext(body) for body in self.backend.message_ids.mapped("body"))

    def type_value(self, **vals):
        """Save the form of the backend as the web client of a manager does."""
        command = Command.update(self.credential.id, vals)
        return self.backend.with_user(self.manager).web_save(
            {"credential_ids": [command]},
            {"credential_ids": {"fields": {"value": {}, "status": {}, "expires_at": {}}}},
        )


@tagged("post_install", "-at_install")
class TestExposure(CredentialCase):
    """A secret that was stored comes back by no way at all."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.canaries = (SECRET, "n3w-c4nary-secret", "t0ken-c4nary")
        raw = [canary.encode() for canary in cls.canaries]
        cls.forms = (
            *cls.canaries,
            *(base64.b64encode(secret).decode() for secret in raw),
            *(secret.hex() for secret in raw),
        )

    def listen(self):
        """Keep what the server logs, of every level."""
        self.log = Listener()
        logging.getLogger().addHandler(self.log)
        self.addCleanup(logging.getLogger().removeHandler, self.log)
        for name in ("", "odoo", "odoo.sql_db", "odoo.http", "odoo.models", "odoo.addons"):
            logger = logging.getLogger(name)
            self.addCleanup(logger.setLevel, logger.level)
            logger.setLevel(logging.DEBUG)

    def assertSilent(self, shown, where):
        text = shown if isinstance(shown, str) else repr(shown)
        for form in self.forms:
            self.assertNotIn(form, text, where)

    def use_everything(self):
        """Type, replace, use and lose secrets."""
        answer = self.type_value(value=self.canaries[1])
        with self.enter_registry_test_mode():
            self.backend._store_token("access", self.canaries[2])
        self.env.invalidate_all()
        self.assertEqual(self.backend._credentials("secret"), [self.canaries[1], SECRET])
        self.assertEqual(self.backend._token("access"), self.canaries[2])
        return answer

    def users(self):
        return [self.env.ref("base.user_admin"), *self.people.values()]

    def test_database_and_log(self):
        """Every column of every table, as a dump has them, and the log of the server at DEBUG."""
        self.listen()
        self.assertSilent(self.use_everything(), "the answer to the web client")
        self.fail_with_secrets()
        self.env.flush_all()
        logging.getLogger().removeHandler(self.log)
        self.assertGreater(len(self.log.texts), 100)
        for text in self.log.texts:
            self.assertSilent(text, "the log")
        self.env.cr.execute(
            "SELECT table_name FROM information_schema.tables"
            " WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        )
        for (table,) in self.env.cr.fetchall():
            self.env.cr.execute(
                SQL(
                    "SELECT count(*) FROM %s t WHERE t::text ILIKE ANY(%s)",
                    SQL.identifier(table),
                    [f"%{form}%" for form in self.forms],
                )
            )
            self.assertEqual(self.env.cr.fetchone()[0], 0, table)

    def fail_with_secrets(self):
        """Let code that has the secrets at hand fail, and report its failures."""
        connector = type(self.env["integration.connector.fake"])

        def fetch(resource, backend, external_ids):
            secret = backend._credential("secret")
            raise self.errors[external_ids[0]](f"HTTP 401 for {secret} at {external_ids[0]}")

        self.patch(type(self.env["integration.fake.contact"]), "_fetch", fetch)
        self.errors = {
            "bug": RuntimeError,
            "refused": ConfigurationError,
            "away": RetryableError,
            "odoo": UserError,
        }
        operations = self.append(*self.errors)
        self.drain()
        self.assertEqual(set(self.states(operations)), {"dead", "pending"})
        bug = operations.sorted("id")[0]
        self.assertIn("RuntimeError: HTTP 401 for *** at bug", bug.detail)
        self.assertIn("HTTP 401 for *** at bug", bug.message)
        self.errors["paused"] = AuthError
        self.append("paused")
        self.drain()
        self.assertEqual(self.backend.state, "paused")
        self.assertEqual(self.backend.pause_reason, "HTTP 401 for *** at paused")
        self.patch(connector, "_verify_webhook", lambda *_args: 1 / 0)
        token = self.backend.webhook_token
        self.env["integration.webhook.event"]._answer(token, {}, b"{}", "198.51.100.1")
        self.assertSilent(self.env["integration.webhook.event"]._target(token), "the target")

    def test_nobody_reads_it(self):
        self.use_everything()
        models = [name for name in self.env.registry if name.startswith("integration.")]
        self.assertIn("integration.credential", models)
        seen = 0
        for user in self.users():
            for name in models:
                model = self.env[name].with_user(user)
                if not model._auto or model._abstract or not model.has_access("read"):
                    continue
                columns = model.fields_get(attributes=["relation"])
                names = list(columns)
                plain = [field for field in names if not columns[field].get("relation")]
                records = model.with_context(active_test=False).search([])
                seen += len(records)
                where = f"{name} as {user.login}"
                self.assertSilent(records.read(), where)
                self.assertSilent(model.search_read([]), where)
                self.assertSilent(records.web_read({field: {} for field in names}), where)
                self.assertSilent(model.web_search_read([], {field: {} for field in names}), where)
                self.assertSilent(records.export_data(plain), where)
                self.assertSilent(model.name_search(""), where)
                self.assertSilent(model.default_get(names), where)
                self.assertSilent(repr(records), where)
        self.assertGreater(seen, 20)

    def test_no_oracle(self):
        self.use_everything()
        for user in self.users():
            Credential = self.env["integration.credential"].with_user(user)
            for field in ("ciphertext", "previous_ciphertext", "value"):
                for way in (
                    lambda m, f: m.search([(f, "=like", "v1:%")]),
                    lambda m, f: m.search([(f, "!=", False)]),
                    lambda m, f: m.search_count([(f, "=", SECRET)]),
                    lambda m, f: m.search([], order=f),
                    lambda m, f: m.formatted_read_group([], [f], ["__count"]),
                    lambda m, f: m.formatted_read_group([], [], [f"{f}:array_agg"]),
                    lambda m, f: m._read_group([], [f], ["__count"]),
                ):
                    with self.subTest(field=field, user=user.login):
                        self.assertSilent(self.refusal(way, Credential, field), field)
        backends = self.env["integration.backend"].with_user(self.manager)
        with self.assertRaises(AccessError):
            backends.search([("credential_ids.ciphertext", "like", "v1")])
        names = backends.env["integration.credential"].name_search("secret")
        self.assertEqual(names[0][1], "Signing secret")

    def refusal(self, way, model, field):
        """Return why Odoo does not answer."""
        try:
            with mute_logger("odoo.models", "odoo.domains"), self.env.cr.savepoint():
                answer = way(model, field)
        except (AccessError, ValueError, UserError, TypeError) as error:
            return str(error)
        self.fail(f"answered: {answer!r}")

    def test_copies_hold_nothing(self):
        self.use_everything()
        backend = self.backend.with_user(self.manager)
        self.assertSilent(backend.copy_data(), "copy_data")
        self.assertNotIn("credential_ids", backend.copy_data()[0])
        copied = backend.copy({"name": "Copy"}).sudo()
        self.assertEqual(copied.credential_ids.mapped("status"), ["missing"])
        self.assertFalse(copied.credential_ids.ciphertext)
        self.assertFalse(copied._token("access"))
        data = self.credential.sudo().copy_data()[0]
        secret = {"ciphertext", "previous_ciphertext", "value", "is_set", "expires_at"}
        self.assertFalse(secret & data.keys())

    def test_form_and_views(self):
        self.use_everything()
        backend = self.backend.with_user(self.manager)
        views = backend.get_views([(False, "form"), (False, "list"), (False, "search")])
        self.assertSilent(views, "get_views")
        spec = {"name": {}, "credential_ids": {"fields": {"value": {}, "status": {}}}}
        self.assertSilent(backend.onchange({"name": "New"}, ["name"], spec), "onchange")
        exported = self.env["integration.credential"].fields_get(["value"])["value"]
        self.assertFalse(exported["exportable"])

    def test_imported_from_a_file(self):
        Credential = self.env["integration.credential"].with_user(self.manager)
        name = self.credential._export_rows([["id"]])[0][0]
        result = Credential.load(["id", "value"], [[name, self.canaries[1]]])
        self.assertSilent(result, "load")
        self.assertEqual(self.backend._credential("secret"), self.canaries[1])

    def test_managers_change_nothing_else(self):
        """Moved to a backend of their own, a secret would be sent wherever they like."""
        other = self.backend.copy({"name": "Other"})
        credential = self.credential.with_user(self.manager)
        for vals in (
            {"backend_id": other.id},
            {"environment": "production"},
            {"code": "x"},
            {"kind": "token"},
            {"is_set": False},
            {"ciphertext": "x"},
            {"set_by_id": self.people["user"].id},
        ):
            with self.subTest(vals=vals), self.assertRaises(AccessError):
                credential.write(vals)
        with self.enter_registry_test_mode():
            self.backend._store_token("access", "x")
        self.env.invalidate_all()
        token = self.backend.credential_ids.filtered(lambda row: row.kind == "token")
        with self.assertRaises(AccessError):
            token.with_user(self.manager).value = "y"
        with self.assertRaises(AccessError):
            self.credential.with_user(self.people["operator"]).value = "y"

    def test_secret_that_no_header_can_carry(self):
        self.credential.value = "line\nbreak-canary"
        client = HttpClient(
            "https://service.example.com",
            auth=lambda: {"Authorization": self.backend._credential("secret")},
        )
        with self.assertRaises(ConfigurationError) as refused:
            client.get("/")
        self.assertNotIn("break-canary", "".join(traceback.format_exception(refused.exception)))


class Listener(logging.Handler):
    """Keeps what is logged, with tracebacks as the log file shows them."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.texts = []

    def emit(self, record):
        self.texts.append(self.format(record))


@tagged("post_install", "-at_install")
class TestReplacement(CredentialCase):
    """Old and new are valid together until a date that people see, and change."""

    def test_date_is_set_and_ended(self):
        self.assertFalse(self.credential.has_previous)
        self.type_value(value="new")
        self.assertTrue(self.credential.has_previous)
        left = self.credential.previous_until - fields.Datetime.now()
        self.assertAlmostEqual(left.total_seconds(), 2 * 86400, delta=60)
        self.type_value(previous_until="2999-01-01 00:00:00")
        self.assertEqual(self.backend._credentials("secret"), ["new", SECRET])
        with freeze_time("2998-12-31"):
            self.assertEqual(self.backend._credentials("secret"), ["new", SECRET])
        self.credential.with_user(self.manager).action_forget_previous()
        self.assertEqual(self.backend._credentials("secret"), ["new"])
        self.assertFalse(self.credential.has_previous)
        self.assertFalse(self.credential.sudo().previous_ciphertext)

    def test_notification_signed_with_the_forgotten_value_is_refused(self):
        token = self.backend.webhook_token
        body = b'{"id": "c1"}'
        headers = {
            "X-Signature": hmac.new(SECRET.encode(), body, "sha256").hexdigest(),
            "X-Topic": "contact/updated",
        }

        def answer(number):
            status, _refusal = self.env["integration.webhook.event"]._answer(
                token, {**headers, "X-Event-Id": number}, body, "198.51.100.1"
            )
            return status

        self.type_value(value="new")
        self.assertEqual(answer("1"), 200)
        self.credential.with_user(self.manager).action_forget_previous()
        self.assertEqual(answer("2"), 401)

    def test_value_typed_anew_after_its_key_was_lost(self):
        body = b'{"id": "c1"}'
        headers = {
            "X-Signature": hmac.new(b"new-canary", body, "sha256").hexdigest(),
            "X-Topic": "contact/updated",
            "X-Event-Id": "1",
        }
        lost = self.credential.sudo().ciphertext
        with self._patch_key(NEW):
            with self.assertRaisesRegex(CredentialError, "not among the configured keys"):
                self.backend._credential("secret")
            self.type_value(value="new-canary")
            self.assertFalse(self.credential.has_previous)
            self.assertEqual(self.backend._credentials("secret"), ["new-canary"])
            status, _refusal = self.env["integration.webhook.event"]._answer(
                self.backend.webhook_token, headers, body, "198.51.100.1"
            )
            self.assertEqual(status, 200)
            with self.subTest("the key of the replaced value is lost later"):
                until = fields.Datetime.now() + timedelta(days=1)
                self.credential.sudo().write({"previous_ciphertext": lost, "previous_until": until})
                self.assertEqual(self.backend._credentials("secret"), ["new-canary"])
                mask = self.env["integration.credential"]._mask(self.backend.id)
                self.assertNotIn("new-canary", mask("It said new-canary."))

    def test_date_that_is_over_forgets_at_once(self):
        self.type_value(value="new")
        self.type_value(previous_until="2000-01-01 00:00:00")
        self.assertFalse(self.credential.sudo().previous_ciphertext)
        self.assertFalse(self.credential.previous_until)

    def test_date_of_nothing(self):
        self.type_value(previous_until="2999-01-01 00:00:00")
        self.assertFalse(self.credential.previous_until)

    def test_what_is_over_is_deleted_daily(self):
        self.type_value(value="new")
        self.env["integration.credential"]._cron_daily()
        self.assertTrue(self.credential.sudo().previous_ciphertext)
        with freeze_time(fields.Datetime.now() + timedelta(days=3)):
            self.env["integration.credential"]._cron_daily()
        self.assertFalse(self.credential.sudo().previous_ciphertext)
        self.assertFalse(self.credential.previous_until)
        self.assertEqual(self.backend._credential("secret"), "new")


@tagged("post_install", "-at_install")
class TestAudit(CredentialCase):
    """The chatter of the backend says who changed what, and when."""

    def test_everything_is_noted_without_values(self):
        self.type_value(value="n3w-canary")
        self.assertIn("Signing secret: a new value was stored. The old value", self.notes())
        note = self.backend.message_ids[0]
        self.assertEqual(note.author_id, self.manager.partner_id)
        self.assertEqual(note.subtype_id, self.env.ref("mail.mt_note"))
        self.type_value(previous_until="2999-01-01 12:00:00")
        self.assertRegex(self.notes(), r"Signing secret: the old value is accepted until .*2999")
        self.credential.with_user(self.manager).action_forget_previous()
        self.assertIn("Signing secret: the old value was forgotten", self.notes())
        self.type_value(expires_at="2999-01-01 12:00:00")
        self.assertRegex(self.notes(), r"Signing secret expires on .*2999")
        self.type_value(expires_at=False)
        self.assertIn("Signing secret has no date of expiry any more", self.notes())
        self.assertNotIn("canary", self.notes())

    def test_tokens_are_not_noted(self):
        before = self.notes()
        with self.enter_registry_test_mode():
            self.backend._store_token("access", "x")
        self.assertEqual(self.notes(), before)

    def test_address_and_its_secret_part(self):
        self.backend.with_user(self.manager).base_url = "https://other.example.com"
        self.backend.state = "draft"
        self.env.flush_all()
        with self.enter_registry_test_mode():
            self.backend.with_user(self.manager).action_new_webhook_address()
        self.env.invalidate_all()
        self.env.cr.precommit.run()
        self.assertIn("The address for notifications was replaced", self.notes())
        self.assertNotIn(self.backend.webhook_token, self.notes())
        tracked = self.backend.message_ids.tracking_value_ids
        self.assertIn("https://other.example.com", tracked.mapped("new_value_char"))


@tagged("post_install", "-at_install")
class TestExpiry(CredentialCase):
    """That a credential expires is known before it happens, once for each stage."""

    def setUp(self):
        super().setUp()
        self.now = fields.Datetime.now()
        self.backend.user_id = self.manager

    def day(self, days):
        """Let the daily action run so many days from now."""
        with freeze_time(self.now + timedelta(days=days)):
            self.env["integration.credential"]._cron_daily()
            self.env.invalidate_all()
            return self.credential.status

    def told(self):
        """Return the open incidents and their open to-dos."""
        incidents = self.incidents().filtered(lambda incident: incident.kind == "expiring")
        return incidents, incidents.activity_id.filtered("active")

    def test_stages(self):
        self.type_value(expires_at=self.now + timedelta(days=40))
        self.assertEqual(self.day(0), "set")
        self.assertFalse(self.told()[0])
        todos = self.env["mail.activity"]
        for days, status in (
            (11, "expiring"),
            (12, "expiring"),
            (34, "expiring"),
            (35, "expiring"),
            (39.5, "expiring"),
            (41, "expired"),
            (42, "expired"),
        ):
            self.assertEqual(self.day(days), status, days)
            incident, todo = self.told()
            self.assertEqual(len(incident), 1, days)
            todos |= todo
            self.assertEqual(todo.user_id, self.backend.user_id)
        self.assertEqual(len(todos), 4)
        self.assertIn("Signing secret has expired on", incident.message)
        self.assertEqual(len(todos.filtered("active")), 1)

    def test_owner_is_told_in_the_language_of_the_owner(self):
        self.env["res.lang"]._activate_lang("de_DE")
        self.backend.user_id = self.manager
        self.manager.write({"lang": "de_DE", "tz": "Asia/Tokyo"})
        texts = {
            "%(credential)s expires on %(date)s.": "%(credential)s endet am %(date)s.",
            "Signing secret": "Signaturschlüssel",
        }
        self.patch(
            translate.code_translations,
            "get_python_translations",
            lambda module, lang: texts if lang == "de_DE" else {},
        )
        self.credential.expires_at = self.now + timedelta(days=5)
        self.day(0)
        tokyo = timezone("Asia/Tokyo").fromutc(self.now + timedelta(days=5))
        self.assertRegex(
            self.told()[0].message,
            rf"^Signaturschlüssel endet am {tokyo:%d.%m.%Y %H:%M}:\d\d\.$",
        )

    def test_replaced_in_time(self):
        self.type_value(expires_at=self.now + timedelta(days=5))
        self.assertEqual(self.credential.status, "expiring")
        incident, todo = self.told()
        self.assertIn("Signing secret expires on", incident.message)
        answer = self.type_value(value="new")
        self.assertEqual(answer[0]["credential_ids"][0]["status"], "set")
        self.assertFalse(self.credential.expires_at)
        self.assertFalse(self.told()[0])
        self.assertEqual(incident.state, "closed")
        self.assertFalse(todo.active)

    def test_typed_together_with_the_next_date(self):
        self.type_value(expires_at=self.now + timedelta(days=5))
        later = (self.now + timedelta(days=90)).replace(microsecond=0)
        self.type_value(value="new", expires_at=later)
        self.assertEqual(self.credential.expires_at, later)
        self.assertEqual(self.backend._credential("secret"), "new")
        self.assertFalse(self.told()[0])

    def test_it_is_used_until_the_service_refuses_it(self):
        self.type_value(expires_at=self.now - timedelta(days=1))
        self.assertEqual(self.credential.status, "expired")
        self.assertEqual(self.backend._credential("secret"), SECRET)

    def test_nobody_is_told_of_a_backend_that_is_off(self):
        self.backend.state = "draft"
        self.type_value(expires_at=self.now + timedelta(days=5))
        self.day(0)
        self.assertFalse(self.told()[0])


@tagged("post_install", "-at_install")
class TestEnvironment(CredentialCase):
    """Sandbox and production are two worlds; a backend goes from one to the other when asked."""

    def ask(self):
        action = self.backend.with_user(self.manager).action_switch_environment()
        self.env.flush_all()
        return self.env[action["res_model"]].with_user(self.manager).browse(action["res_id"])

    def switch(self, **vals):
        wizard = self.ask()
        wizard.write({"base_url": "https://live.example.com", **vals})
        wizard.action_switch()
        self.env.invalidate_all()

    def link(self):
        self.service.put("c1", "One")
        self.append("c1")
        self.drain()
        self.assertEqual(self.backend.binding_count, 1)

    def test_running_backend_refuses_the_field(self):
        for state in ("active", "paused"):
            self.backend.state = state
            with self.assertRaisesRegex(UserError, "Press Switch Environment"):
                self.backend.with_user(self.manager).environment = "production"
        self.backend.write({"environment": "sandbox", "name": "Same"})

    def test_it_stops_first_and_shows_the_difference(self):
        self.link()
        self.append("c2")
        wizard = self.ask()
        self.assertEqual(self.backend.state, "paused")
        self.assertEqual(wizard.old_base_url, "https://service.example.com")
        self.assertEqual(wizard.flows, "Contacts (Into Odoo)")
        self.assertEqual((wizard.binding_count, wizard.waiting_count), (1, 1))
        shown = html2plaintext(wizard.credentials)
        self.assertRegex(shown, r"(?s)Sandbox.*Production.*Signing secret.*Stored.*Missing")
        self.assertEqual(self.backend.environment, "sandbox")

    def test_sets_are_separate(self):
        with self.enter_registry_test_mode():
            self.backend._store_token("access", "sandbox-token")
        self.env.invalidate_all()
        self.switch()
        self.env.cr.cache.clear()
        self.assertEqual((self.backend.environment, self.backend.state), ("production", "draft"))
        with self.assertRaisesRegex(ConfigurationError, "has no Signing secret"):
            self.backend.with_context(active_test=False)._credential("secret")
        self.assertIsNone(self.backend._token("access"))
        production = self.backend.credential_ids
        self.assertEqual(production.mapped("environment"), ["production"])
        production.value = "live-secret"
        self.backend.action_test_connection()
        self.assertEqual(self.backend._credential("secret"), "live-secret")
        self.switch(base_url="https://service.example.com")
        self.assertEqual(self.backend._credential("secret"), SECRET)
        self.assertEqual(self.backend._token("access"), "sandbox-token")
        self.assertEqual(self.backend.other_base_url, "https://live.example.com")
        self.assertEqual(self.ask().base_url, "https://live.example.com")

    def test_notifications_of_the_other_service_are_refused(self):
        token = self.backend.webhook_token
        self.switch()
        self.backend.credential_ids.value = "live-secret"
        self.backend.action_test_connection()
        answer = self.env["integration.webhook.event"]._answer
        self.assertEqual(answer(token, {}, b"{}", "198.51.100.1")[0], 401)
        body = b'{"id": "c1"}'
        signature = hmac.new(SECRET.encode(), body, "sha256").hexdigest()
        headers = {"X-Signature": signature, "X-Topic": "contact/updated", "X-Event-Id": "1"}
        status, _refusal = answer(self.backend.webhook_token, headers, body, "198.51.100.1")
        self.assertEqual(status, 401)

    def test_test_events_and_live_ones(self):
        body = b'{"id": "c1"}'
        signature = hmac.new(SECRET.encode(), body, "sha256").hexdigest()
        headers = {"X-Signature": signature, "X-Topic": "contact/updated"}

        def answer(number, environment):
            told = {"X-Environment": environment} if environment else {}
            Event = self.env["integration.webhook.event"]
            told_headers = {**headers, **told, "X-Event-Id": number}
            token = self.backend.webhook_token
            status, refusal = Event._answer(token, told_headers, body, "198.51.100.1")
            if refusal:
                Event._count_refused(refusal)
            return status

        def refused():
            events = self.env["integration.webhook.event"].search([("state", "=", "refused")])
            return events.mapped("message")

        self.assertEqual(answer("1", None), 200)
        self.assertEqual(answer("2", "sandbox"), 200)
        self.assertEqual(answer("3", "production"), 401)
        self.assertIn("this backend is a sandbox", refused()[0])
        self.switch(account="other")
        self.backend.credential_ids.value = SECRET
        self.backend.action_test_connection()
        self.assertEqual(answer("4", "sandbox"), 401)
        self.assertIn("this backend is in production", refused()[0])
        self.assertEqual(answer("5", "production"), 200)

    def test_other_account(self):
        self.link()
        partner = self.partners()["c1"]
        self.flow.cursor_at = "2026-01-01"
        waiting = self.append("c2")
        with self.assertRaisesRegex(UserError, "the same ones as here or others"):
            self.switch()
        self.switch(account="other")
        self.assertEqual(self.backend.binding_count, 0)
        self.assertFalse(self.flow.cursor_at)
        self.assertEqual(self.states(waiting), ["ignored"])
        self.assertTrue(partner.exists())
        self.assertIn("Switched to Production, from https://service.example.com", self.notes())
        self.assertIn("Links removed: 1", self.notes())

    def test_same_account(self):
        self.link()
        waiting = self.append("c2")
        event = self.notify("c3")
        self.switch(account="same")
        self.assertEqual(self.backend.binding_count, 1)
        self.assertEqual(self.states(waiting), ["pending"])
        self.assertEqual(event._replay(), 1)

    def notify(self, external_id):
        body = json.dumps({"id": external_id}).encode()
        signature = hmac.new(SECRET.encode(), body, "sha256").hexdigest()
        headers = {"X-Signature": signature, "X-Topic": "contact/updated"}
        headers["X-Event-Id"] = external_id
        return self.env["integration.webhook.event"]._receive(self.backend, headers, body)

    def wait_out_the_second(self):
        """Let the switch be a while ago, as it is when a person has typed the credentials."""
        before = self.backend.account_since
        for table, column in (
            ("integration_webhook_event", "received_at"),
            ("integration_sync_log", "create_date"),
        ):
            self.env.cr.execute(
                SQL(
                    "UPDATE %s SET %s = %s - interval '1 minute'",
                    *(SQL.identifier(table), SQL.identifier(column), SQL.identifier(column)),
                )
            )
        self.backend.account_since = before - timedelta(seconds=30)

    def test_other_account_ends_initial_loads_and_comparisons(self):
        for number in range(4):
            self.service.put(f"c{number}", f"Contact {number}")
        self.service.page_size = 2
        load = self.env["integration.backfill"].create({"flow_id": self.flow.id})
        load.action_start()
        for state in ("running", "paused"):
            with self.subTest(state=state), self.env.cr.savepoint() as savepoint:
                load.write({"state": state, "cursor_page": {"page": 2}})
                run = self.env["integration.reconciliation"]._start(self.flow, "manual")
                run.state = state
                self.flow._hold_vanished(9)
                line = self.env["integration.discrepancy"].create(
                    {
                        "reconciliation_id": run.id,
                        "flow_id": self.flow.id,
                        "backend_id": self.backend.id,
                        "company_id": self.backend.company_id.id,
                        "kind": "missing_in_odoo",
                        "external_id": "c1",
                        "state": "open",
                    }
                )
                self.switch(account="other")
                self.assertEqual((load.state, run.state), ("cancelled", "stopped"))
                self.assertEqual(line.state, "outdated")
                self.assertFalse(self.flow.held_reason)
                self.assertFalse(self.incidents())
                self.backend.credential_ids.value = "live-secret"
                self.backend.action_test_connection()
                load._step_advance()
                self.env["integration.reconciliation"]._settle_runs()
                open_ones = self.env["integration.sync.log"].search(
                    [("backend_id", "=", self.backend.id), ("state", "in", ("pending", "dead"))]
                )
                self.assertFalse(open_ones)
                with self.assertRaisesRegex(UserError, "choose lines that are open"):
                    line.action_repair()
                savepoint.rollback()
            self.env.invalidate_all()

    def test_other_account_ends_what_was_received_before(self):
        event = self.notify("c1")
        waiting = event.operation_ids
        self.switch(account="other")
        self.backend.credential_ids.value = SECRET
        self.backend.action_test_connection()
        self.wait_out_the_second()
        wizard = self.env["integration.webhook.replay"].create({"event_ids": event.ids})
        self.assertEqual(wizard.count, 0)
        with self.assertRaisesRegex(UserError, "before a switch to another account"):
            wizard.action_replay()
        self.assertEqual(event._replay(force=True), 0)
        with self.assertRaisesRegex(UserError, "before a switch to another account"):
            waiting.action_retry()
        waiting._requeue()
        self.assertEqual(self.states(waiting), ["ignored"])
        self.assertEqual(event.operation_ids, waiting)
        # what the account sends now is like any other
        fresh = self.notify("c2")
        fresh.operation_ids._set_aside("Later.")
        fresh.operation_ids._requeue()
        self.assertEqual(self.states(fresh.operation_ids), ["pending"])
        self.assertEqual(fresh._replay(), 1)

    def test_it_says_what_is_left_to_do_by_hand(self):
        wizard = self.ask()
        wizard.base_url = "https://live.example.com"
        shown = wizard.action_switch()["params"]
        self.assertEqual(shown["title"], "Switched to Production")
        self.assertIn("new address for notifications", shown["message"])
        self.assertIn("replace it there by hand", shown["message"])

    def test_work_that_goes_on_is_waited_for(self):
        operation = self.append("c1")
        wizard = self.ask()
        self.env.cr.execute(
            "UPDATE integration_sync_log SET state = 'running', claim_token = 'x' WHERE id = %s",
            [operation.id],
        )
        self.env.invalidate_all()
        wizard.account = "same"
        with self.assertRaisesRegex(UserError, "are being finished"):
            wizard.action_switch()
        self.assertEqual(self.backend.environment, "sandbox")

    def test_choice_before_the_first_connection_is_a_correction(self):
        backend = self.backend.copy({"name": "New"})
        backend.credential_ids.value = "typed"
        backend.with_user(self.manager).environment = "production"
        self.assertEqual(backend._credential("secret"), "typed")
        self.assertEqual(backend.credential_ids.mapped("environment"), ["production"])

    def test_operators_do_not_switch(self):
        with self.assertRaises(AccessError):
            self.backend.with_user(self.people["operator"]).action_switch_environment()
