"""Every kind of authentication against a real server; how tokens are renewed, and how they end."""

import itertools
import logging
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

from cryptography.fernet import Fernet
from freezegun import freeze_time

from odoo import fields
from odoo.exceptions import UserError, ValidationError
from odoo.http import root
from odoo.tests import Form, HttpCase, TransactionCase, new_test_user, tagged
from odoo.tools import SQL, translate

from ..controllers.oauth import SESSION_KEY
from ..lib.auth import ACCESS_TOKEN, REFRESH_TOKEN
from ..lib.errors import AuthError, CredentialError, RetryableError
from ..lib.records import Change
from ..lib.scopes import Scope
from ..models import integration_auth
from .auth_service import SECRETS, AuthService, DoorConnector, DoorThing, callback_address
from .authority import Authority
from .common import FakeConnectorMixin, add_fake_models

KINDS = ["api_key", "query", "basic", "bearer", "hmac", "client_credentials"]


class DoorMixin(FakeConnectorMixin):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        add_fake_models(cls, DoorConnector, DoorThing)
        cls.owner = new_test_user(
            cls.env, "door_owner", groups="integration_base.group_integration_manager"
        )

    def setUp(self):
        super().setUp()
        self.door = AuthService()
        self.addCleanup(self.door.close)
        self.backend = self.make("api_key")
        self.Auth = self.env["integration.auth"]

    def make(self, kind, url=None, **values):
        """Return a backend of the door with all that the kind asks for."""
        backend = self.env["integration.backend"].create(
            {
                "name": f"Door {kind}",
                "connector": "door",
                "base_url": url or self.door.url,
                "auth_kind": f"door.{kind}",
                "user_id": self.owner.id,
                **values,
            }
        )
        self.type_in(backend)
        return backend

    def type_in(self, backend):
        for credential in backend.credential_ids:
            if credential.code in SECRETS:
                credential.value = SECRETS[credential.code]

    def press_test(self, backend):
        self.env.flush_all()
        with self.enter_registry_test_mode():
            return backend.action_test_connection()

    def tokens(self, backend):
        self.env.invalidate_all()
        self.env.cr.cache.clear()
        return [backend._token(code) for code in (ACCESS_TOKEN, REFRESH_TOKEN)]


class DoorCase(DoorMixin, TransactionCase):
    def headers(self, backend):
        self.env.flush_all()
        with self.enter_registry_test_mode():
            return backend._connector()._auth_headers(backend)

    def renew(self, backend):
        self.env.flush_all()
        with self.enter_registry_test_mode():
            return backend._connector()._renew_auth(backend)

    def granted(self, **values):
        """Return a connected backend to which a person has granted access."""
        backend = self.make("authorization_code", **values)
        self.grant(backend)
        backend.state = "active"
        return backend

    def grant(self, backend):
        with self.enter_registry_test_mode():
            pending, url = self.Auth._begin_consent(backend, "st4te", "v3rifier-canary" * 4)
            self.Auth._complete_consent(backend, self.door.consent(url), pending)

    def expire(self, backend, code=ACCESS_TOKEN):
        row = backend._credential_rows(code)
        row.expires_at = fields.Datetime.now() - timedelta(minutes=1)
        self.env.flush_all()
        self.env.cr.cache.clear()

    def daily(self):
        self.env.flush_all()
        with self.enter_registry_test_mode(), self.registry.cursor() as cr:
            self.env(cr=cr)["integration.credential"]._cron_daily()
        self.env.invalidate_all()

    def drain(self, backend, *external_ids):
        flow = backend.flow_ids
        operations = self.env["integration.sync.log"]._append(
            flow, [Change(external_id, None) for external_id in external_ids], "webhook"
        )
        self.env.flush_all()
        with self.enter_registry_test_mode():
            self.env["integration.engine"]._drain(flow.id)
        self.env.invalidate_all()
        return operations

    def incidents(self, backend, kind):
        return self.env["integration.incident"].search(
            [("backend_id", "=", backend.id), ("kind", "=", kind), ("state", "=", "open")]
        )


@tagged("post_install", "-at_install")
class TestKinds(DoorCase):
    def test_each_kind_gets_in(self):
        for kind in KINDS:
            with self.subTest(kind):
                backend = self.make(kind)
                self.press_test(backend)
                self.assertEqual(backend.state, "active")
                self.assertNothingShown(backend)

    def assertNothingShown(self, backend):
        """No exchange of the backend, and no other table, holds what was typed in or issued."""
        self.env.flush_all()
        exchanges = self.env["integration.exchange"].search([("backend_id", "=", backend.id)])
        self.assertGreaterEqual(len(exchanges), 2)
        for table in ("integration_exchange", "integration_sync_log", "mail_message"):
            self.env.cr.execute(
                SQL(
                    "SELECT t::text FROM %s t WHERE t::text ILIKE '%%canary-%%'",
                    SQL.identifier(table),
                )
            )
            self.assertEqual(self.env.cr.fetchall(), [], table)

    def test_each_kind_is_refused_with_something_else(self):
        for kind in KINDS:
            backend = self.make(kind)
            for credential in backend.credential_ids:
                if credential.code not in ("username", "client_id"):
                    with self.subTest(kind, code=credential.code):
                        credential.value = "canary-something-else"
                        with self.assertRaises(UserError) as caught:
                            self.press_test(backend)
                        self.assertNotIn("canary-", str(caught.exception))
                        self.type_in(backend)
            with self.enter_registry_test_mode(), self.assertRaises(AuthError) as caught:
                client = backend._client(auth=dict)
                client.get("/api/me")
            self.assertNotIn("canary-", f"{caught.exception} {caught.exception.detail}")

    def test_client_certificate(self):
        folder = self.enterContext(TemporaryDirectory())
        authority = Authority(Path(folder))
        door = AuthService(authority.server("localhost", demands=True))
        self.addCleanup(door.close)
        backend = self.make("tls", door.url)
        self.patch(type(self.env["integration.connector.door"]), "ca_bundle", authority.path)
        with self.assertRaisesRegex(UserError, "Client certificate"):
            self.press_test(backend)
        certificate, key = authority.issue("acme", days=5, passphrase="canary-pass")
        self.assertTypedIn(backend, certificate, key)
        with self.assertRaisesRegex(UserError, "client certificate cannot be used"):
            self.press_test(backend)
        self.credential(backend, "certificate_passphrase").value = "canary-pass"
        self.press_test(backend)
        self.assertEqual(backend.state, "active")
        self.assertNothingShown(backend)
        self.assertEqual(len(door.calls), 2)
        with self.subTest("its end is known without typing it"):
            row = self.credential(backend, "certificate")
            self.assertAlmostEqual(
                row.expires_at - fields.Datetime.now(),
                timedelta(days=5),
                delta=timedelta(minutes=1),
            )
            row._tell_expiry()
            self.assertIn("Client certificate expires", self.incidents(backend, "expiring").message)
        with self.subTest("the service knows another authority"):
            other = Authority(Path(self.enterContext(TemporaryDirectory())), "Another")
            self.assertTypedIn(backend, *other.issue("acme"))
            with self.assertRaisesRegex(UserError, "does not accept our client certificate"):
                self.press_test(backend)

    def assertTypedIn(self, backend, certificate, key):
        # as a browser's field of one line hands it over
        self.credential(backend, "certificate").value = certificate.replace("\n", "")
        self.credential(backend, "certificate_key").value = key.replace("\n", "")

    def credential(self, backend, code):
        return backend.credential_ids.filtered(lambda row: row.code == code)

    def test_wrong_certificate_is_refused_when_it_is_typed(self):
        backend = self.make("tls")
        for value in ("nonsense", "-----BEGIN CERTIFICATE-----AAAA-----END CERTIFICATE-----"):
            with self.assertRaisesRegex(UserError, "no certificate in PEM format"):
                self.credential(backend, "certificate").value = value
        self.assertFalse(self.credential(backend, "certificate").is_set)

    def test_form_asks_for_what_the_kind_needs(self):
        backend = self.make("basic")
        self.assertEqual(backend.credential_ids.mapped("code"), ["username", "password"])
        self.assertEqual(backend.credential_ids.mapped("required"), [True, True])
        backend.auth_kind = "door.tls"
        self.assertEqual(
            backend.credential_ids.mapped("code"),
            ["access_token", "certificate", "certificate_key", "certificate_passphrase"],
        )
        self.assertEqual(
            backend.credential_ids.mapped("status"), ["missing", "missing", "missing", "optional"]
        )
        with self.subTest("what was typed is still there"):
            backend.auth_kind = "door.basic"
            self.assertEqual(backend.credential_ids.mapped("status"), ["set", "set"])
            self.press_test(backend)

    def test_choice(self):
        with Form(self.env["integration.backend"]) as form:
            form.name = "Choice"
            form.connector = "door"
            self.assertEqual(form.auth_kind, "door.api_key")
            form.auth_kind = "door.basic"
            form.connector = "fake"
            self.assertFalse(form.auth_kind)
            form.connector = "door"
            form.base_url = self.door.url
        backend = form.save()
        self.assertEqual(backend.auth_kind, "door.api_key")
        self.assertEqual(len(backend.auth_kinds), 8)
        with self.assertRaises(ValidationError):
            backend.auth_kind = "door.unknown"
        with self.assertRaises(ValidationError):
            self.env["integration.backend"].create(
                {"name": "x", "connector": "fake", "auth_kind": "door.basic"}
            )
        with self.subTest("a kind that is gone is replaced by a person, not by another"):
            self.patch(
                type(self.env["integration.connector.door"]),
                "_connector_auth",
                DoorConnector._connector_auth[1:],
            )
            with self.assertRaisesRegex(CredentialError, "Choose again"):
                backend._client().get("/api/me")
            self.assertEqual(self.door.calls, [])

    def test_hints_are_for_what_the_kind_asks_for(self):
        hints = {"api_key": "On the door.", "username": "On the bell."}
        self.patch(type(self.env["integration.connector.door"]), "_connector_hints", hints)
        rows = self.make("api_key").credential_ids
        self.assertEqual([(row.code, row.help) for row in rows], [("api_key", "On the door.")])
        rows = self.make("basic").credential_ids
        self.assertEqual(
            [(row.code, row.help) for row in rows],
            [("username", "On the bell."), ("password", False)],
        )

    def test_labels_are_translated(self):
        self.env["res.lang"]._activate_lang("de_DE")
        texts = {
            "User name": "Benutzername",
            "User name and password": "Benutzername und Passwort",
            "Client certificate": "Zertifikat",
            "Of the certificate, in PEM format.": "Zum Zertifikat",
            "Access token": "Zugriffstoken",
        }
        self.patch(
            translate.code_translations,
            "get_python_translations",
            lambda module, lang: texts if (module, lang) == ("integration_base", "de_DE") else {},
        )
        backend = self.make("basic").with_context(lang="de_DE")
        self.assertEqual(backend.credential_ids[0].display_name, "Benutzername")
        shown = dict(backend.fields_get(["auth_kind"])["auth_kind"]["selection"])
        self.assertEqual(shown["door.basic"], "Benutzername und Passwort")
        self.assertEqual(shown["door.tls"], "Zertifikat, Zugriffstoken")
        tls = self.make("tls").with_context(lang="de_DE").credential_ids
        self.assertIn(("Private key", "Zum Zertifikat"), [(row.name, row.help) for row in tls])
        english = backend.with_context(lang="en_US").credential_ids[0]
        self.assertEqual(english.display_name, "User name")
        with self.assertRaisesRegex(CredentialError, "has no Zertifikat"):
            tls.backend_id._credential("certificate")

    def test_what_is_stored_belongs_to_one_service(self):
        """Neither another address nor another kind gets a token."""
        backend = self.make("client_credentials")
        self.press_test(backend)
        first = self.tokens(backend)[0]
        other = AuthService()
        other.issued = itertools.count(201)
        self.addCleanup(other.close)
        backend.base_url = other.url
        self.assertEqual(self.tokens(backend), [None, None])
        self.press_test(backend)
        self.assertIn("canary-access-201", str(other.calls))
        self.assertNotIn(first, str(other.calls))
        backend.base_url = self.door.url
        self.press_test(backend)
        backend.auth_kind = "door.authorization_code"
        self.assertEqual(self.tokens(backend), [None, None])


@tagged("post_install", "-at_install")
class TestTokens(DoorCase):
    def test_client_credentials_are_asked_for_once(self):
        backend = self.make("client_credentials")
        first = self.headers(backend)
        self.env.cr.cache.clear()
        self.assertEqual(self.headers(backend), first)
        self.assertEqual(
            self.door.forms, [{"grant_type": "client_credentials", "scope": "read write"}]
        )
        self.expire(backend)
        self.assertNotEqual(self.headers(backend), first)
        self.assertEqual(len(self.door.forms), 2)

    def test_refused_token_is_renewed_by_work(self):
        backend = self.make("client_credentials")
        self.press_test(backend)
        self.door.access.clear()
        self.env.cr.cache.clear()
        operation = self.drain(backend, "1")
        self.assertEqual(operation.state, "done")
        self.assertEqual(len(self.door.forms), 2)

    def test_refresh_token_rotates(self):
        backend = self.granted()
        for number in range(3):
            _access, refresh = self.tokens(backend)
            self.assertTrue(self.renew(backend))
            self.assertEqual(self.door.forms[-1]["refresh_token"], refresh)
            self.assertEqual(len(self.door.refresh), 1, number)
            self.assertIn(self.tokens(backend)[1], self.door.refresh)

    def test_refresh_token_that_does_not_rotate_is_kept(self):
        self.door.rotates = False
        backend = self.granted()
        _access, refresh = self.tokens(backend)
        self.assertTrue(self.renew(backend))
        self.assertTrue(self.renew(backend))
        self.assertEqual(self.tokens(backend)[1], refresh)
        self.assertEqual(self.door.forms[-1]["refresh_token"], refresh)

    def test_revoked_access_pauses_tells_and_ends_by_connecting_again(self):
        backend = self.granted()
        self.door.revoke()
        self.env.cr.cache.clear()
        operation = self.drain(backend, "1", "2")
        self.assertEqual(backend.state, "paused")
        self.assertIn("has ended or was withdrawn", backend.pause_reason)
        self.assertIn("Press Connect", backend.pause_reason)
        self.assertNotIn("canary", backend.pause_reason)
        self.assertEqual(set(operation.mapped("state")), {"pending"}, "nothing is lost")
        self.assertEqual(operation.mapped("attempts"), [0, 0])
        self.assertEqual(len(self.door.forms), 2, "asked once, not again and again")
        incident = self.incidents(backend, "paused")
        self.assertEqual(incident.message, backend.pause_reason)
        self.assertEqual(incident.activity_id.user_id, self.owner)
        self.grant(backend)
        self.press_test(backend)
        self.assertEqual(backend.state, "active")
        self.assertFalse(self.incidents(backend, "paused"))
        self.drain(backend)
        self.assertEqual(set(operation.mapped("state")), {"done"})

    def test_passing_trouble_of_the_token_endpoint_does_not_pause(self):
        backend = self.granted()
        for trouble in ((503, {}), (500, b"<html>"), (400, {"error": "temporarily_unavailable"})):
            with self.subTest(trouble):
                self.expire(backend)
                self.door.troubles = [trouble]
                operation = self.drain(backend, f"t{trouble[0]}")
                self.assertEqual((operation.state, backend.state), ("pending", "active"))
                self.assertEqual(operation.error_class, "retryable")
        operation.next_attempt_at = fields.Datetime.now()
        self.env["integration.breaker"]._close(backend)
        self.drain(backend)
        self.assertEqual(operation.state, "done")

    def test_wrong_client_pauses(self):
        backend = self.make("client_credentials", state="active")
        self.door.troubles = [(401, {"error": "invalid_client"})]
        self.drain(backend, "1")
        self.assertEqual(backend.state, "paused")
        self.assertIn("Check client ID and client secret", backend.pause_reason)

    def test_consent_outlives_a_new_secret_but_no_other_client(self):
        backend = self.granted()
        refresh = self.tokens(backend)[1]
        codes = {row.code: row for row in backend.credential_ids}
        codes["client_secret"].value = SECRETS["client_secret"]
        self.assertEqual(self.tokens(backend), [None, refresh])
        self.press_test(backend)
        codes["client_id"].value = SECRETS["client_id"]
        self.assertEqual(self.tokens(backend), [None, None])

    def test_client_secret_goes_to_no_other_host(self):
        """Who may change the address could else have it sent to a server of his own."""
        other = AuthService()
        self.addCleanup(other.close)
        address = other.url.replace("localhost", "127.0.0.1")
        backend = self.granted()
        backend.base_url = address
        pending, url = self.Auth._begin_consent(backend, "st4te", "v3rifier-canary" * 4)
        with self.enter_registry_test_mode(), self.assertRaisesRegex(AuthError, "localhost"):
            self.Auth._complete_consent(backend, other.consent(url), pending)
        with self.subTest("nor at night"):
            self.daily()
        self.assertEqual(other.forms, [])

    def test_nobody_has_granted_access(self):
        backend = self.make("authorization_code")
        with self.assertRaisesRegex(UserError, "press Connect"):
            self.press_test(backend)
        self.assertEqual(self.door.forms, [])

    def test_access_that_ends_while_nothing_is_to_do_is_noticed(self):
        backend = self.granted()
        self.expire(backend)
        self.door.revoke()
        self.daily()
        self.assertEqual(backend.state, "paused")
        self.assertTrue(self.incidents(backend, "paused").activity_id)

    def test_client_that_was_ended_while_nothing_is_to_do_is_noticed(self):
        backend = self.make("client_credentials")
        self.press_test(backend)
        self.expire(backend)
        self.door.troubles = [(401, {"error": "invalid_client"})]
        self.daily()
        self.assertEqual(backend.state, "paused")
        self.assertIn("Check client ID and client secret", backend.pause_reason)
        self.assertEqual(self.incidents(backend, "paused").activity_id.user_id, self.owner)

    def test_one_backend_that_cannot_be_paused_holds_up_no_other(self):
        backends = self.granted() + self.granted() + self.granted()
        for backend in backends:
            self.expire(backend)
        expiring = self.backend.credential_ids
        self.backend.state = "active"
        expiring.expires_at = fields.Datetime.now() + timedelta(days=5)
        self.env["integration.incident"].search([("kind", "=", "expiring")]).unlink()
        self.door.revoke()
        tell = type(backends)._tell_paused

        def broken(backend, reason):
            if backend == backends[1]:
                raise ValueError("serialization")
            tell(backend, reason)

        self.patch(type(backends), "_tell_paused", broken)
        with self.assertLogs("odoo.addons.integration_base.models.integration_auth", "ERROR"):
            self.daily()
        self.assertEqual(backends.mapped("state"), ["paused", "active", "paused"])
        self.assertTrue(self.incidents(backends[0], "paused"))
        self.assertTrue(self.incidents(backends[2], "paused"))
        self.assertTrue(self.incidents(self.backend, "expiring"))

    def test_nothing_is_renewed_in_a_copy(self):
        backend = self.granted()
        self.expire(backend)
        backend.database_identity = "another"
        before = len(self.door.forms)
        with patch.object(type(backend), "_ensure_callable"):
            self.daily()
        self.assertEqual(len(self.door.forms), before)

    def changed_meanwhile(self, backend, values):
        """Change the backend after the service has issued tokens, before they are stored."""
        request = type(self.Auth)._request

        def change(auth, of, *arguments, **form):
            tokens = request(auth, of, *arguments, **form)
            backend.write(values)
            self.env.flush_all()
            return tokens

        return patch.object(type(self.Auth), "_request", change)

    def test_token_of_settings_that_were_changed_meanwhile_is_not_kept(self):
        other = self.door.url.replace("localhost", "127.0.0.1")
        production = {"environment": "production", "base_url": "https://door.example.com"}
        for values in ({"base_url": other}, {"auth_kind": "door.authorization_code"}, production):
            backend = self.make("client_credentials")
            with (
                self.subTest(values),
                self.changed_meanwhile(backend, values),
                self.assertRaisesRegex(RetryableError, "settings of Door .* were changed"),
            ):
                self.headers(backend)
            rows = self.env["integration.credential"].with_context(active_test=False)
            self.assertFalse(rows.search([("backend_id", "=", backend.id), ("kind", "=", "token")]))
        self.assertEqual(len(self.door.forms), 3)

    def test_consent_to_settings_that_were_changed_meanwhile_is_not_kept(self):
        backend = self.make("authorization_code")
        with (
            self.changed_meanwhile(backend, {"base_url": f"{self.door.url}/elsewhere"}),
            self.assertRaisesRegex(AuthError, "were changed meanwhile"),
        ):
            self.grant(backend)
        self.assertEqual(self.tokens(backend), [None, None])

    def test_daily_renewal_leaves_others_alone(self):
        idle, silent, draft = self.granted(), self.granted(), self.granted()
        draft.state = "draft"
        for backend in (idle, silent, draft):
            self.expire(backend)
        self.door.troubles = [(503, {})]
        before = len(self.door.forms)
        self.daily()
        self.assertEqual(len(self.door.forms), before + 2)
        self.assertEqual(idle.state, silent.state, "active")

    def test_end_of_a_refresh_token_is_announced(self):
        self.door.rotates = False
        self.door.refresh_expires_in = 90 * 86400
        backend = self.granted()
        for days, told in ((0, False), (59, False), (61, True), (84, True), (91, True)):
            with freeze_time(fields.Datetime.now() + timedelta(days=days)), self.subTest(days):
                backend._credential_rows(REFRESH_TOKEN)._tell_expiry()
                incident = self.incidents(backend, "expiring")
                self.assertEqual(bool(incident), told)
                if told:
                    self.assertEqual(len(incident), 1)
                    self.assertIn("Refresh token", incident.message)
                    self.assertIn("Press Connect", incident.message)
                    self.assertIn("press Connect or Connect Again", incident.advice)
                    self.assertNotIn("type it", incident.advice)
        self.grant(backend)
        backend._credential_rows(REFRESH_TOKEN)._tell_expiry()
        self.assertFalse(self.incidents(backend, "expiring"))

    def test_short_lived_refresh_tokens_are_no_news(self):
        self.door.refresh_expires_in = 86400
        backend = self.granted()
        backend._credential_rows(REFRESH_TOKEN)._tell_expiry()
        self.assertFalse(self.incidents(backend, "expiring"))

    def test_nothing_of_it_is_shown(self):
        backend = self.granted()
        self.press_test(backend)
        self.renew(backend)
        self.door.revoke()
        self.env.cr.cache.clear()
        self.drain(backend, "1")
        TestKinds.assertNothingShown(self, backend)
        self.env.cr.execute("SELECT 1 FROM integration_exchange WHERE url LIKE '%/oauth/token'")
        self.assertTrue(self.env.cr.fetchall())
        self.env.cr.execute(
            "SELECT t::text FROM integration_exchange t WHERE t::text LIKE '%v3rifier%'"
        )
        self.assertEqual(self.env.cr.fetchall(), [])


@tagged("post_install", "-at_install")
class TestUnusable(DoorCase):
    """Credentials that are missing or cannot be read: work waits, and none of it fails."""

    def assertWaiting(self, operations):
        self.assertEqual(set(operations.mapped("state")), {"pending"})
        self.assertEqual(set(operations.mapped("attempts")), {0})

    def assertPaused(self, backend, operations, text):
        self.assertWaiting(operations)
        self.assertEqual(backend.state, "paused")
        self.assertIn(text, backend.pause_reason)
        self.assertEqual(self.incidents(backend, "paused").activity_id.user_id, self.owner)

    def assertGoesOn(self, backend, operations):
        self.press_test(backend)
        self.assertEqual(backend.state, "active")
        self.drain(backend)
        self.assertEqual(set(operations.mapped("state")), {"done"})

    def test_kind_was_changed_before_its_credential_was_typed(self):
        backend = self.make("api_key", state="active")
        backend.credential_ids.filtered(lambda row: row.code == "access_token").unlink()
        backend.auth_kind = "door.bearer"
        operations = self.drain(backend, "1", "2", "3")
        self.assertPaused(backend, operations, "has no Access token")
        self.type_in(backend)
        self.assertGoesOn(backend, operations)

    def test_key_was_lost_and_the_credential_typed_anew(self):
        backend = self.make("api_key", state="active")
        with self._patch_key(Fernet.generate_key().decode()):
            operations = self.drain(backend, "1", "2")
            self.assertPaused(backend, operations, "not among the configured keys")
            self.type_in(backend)
            self.assertGoesOn(backend, operations)

    def test_server_without_a_key(self):
        backend = self.make("api_key", state="active")
        with self._patch_key("nonsense"):
            operations = self.drain(backend, "1", "2")
            self.env["integration.watchdog"]._watch_key()
        self.assertWaiting(operations)
        self.assertEqual(backend.state, "active")
        self.assertIn("encryption_key", operations[0].message)
        told = self.incidents(backend, "watchdog")
        self.assertIn("Key number 1 of encryption_key is not valid", told.message)
        self.assertEqual(self.door.calls, [])
        with self.subTest("the key is back"):
            self.env["integration.watchdog"]._watch_key()
            self.assertEqual(told.state, "closed")
            past = fields.Datetime.now() - timedelta(seconds=1)
            operations.next_attempt_at = past
            backend.flow_ids.write({"blocked_until": past, "heavy_from": False})
            self.drain(backend)
            self.assertEqual(set(operations.mapped("state")), {"done"})


@tagged("post_install", "-at_install")
class TestGrantedScopes(DoorCase):
    """What tokens allow, where the service has no other way to tell."""

    def setUp(self):
        super().setUp()
        needed = [Scope("orders", "read the orders"), Scope("stock", "read the stock")]
        self.startPatcher(
            patch.object(DoorThing, "_resource_scopes", lambda *_arguments: needed, create=True)
        )

    def answer(self, number, **more):
        token = f"canary-access-x{number}"
        self.door.access.add(token)
        self.door.troubles = [(200, {"access_token": token, "expires_in": 3600, **more})]

    def states(self, backend):
        self.press_test(backend)
        self.env.invalidate_all()
        return {row.name: row.state for row in backend.scope_ids}

    def test_what_is_told(self):
        backend = self.make("client_credentials")
        self.answer(1, scope="read write orders")
        # asked for once more, as a token may know nothing of what was granted since
        self.door.troubles += [(200, {"access_token": "canary-access-x1", "scope": "orders more"})]
        self.assertEqual(
            self.states(backend), {"orders": "granted", "stock": "missing", "more": "superfluous"}
        )
        self.assertIn("Check Access", backend.missing_access)

    def test_what_is_not_told_is_what_was_asked_for(self):
        backend = self.make("client_credentials")
        self.answer(1)
        self.assertEqual(self.states(backend), {"orders": "granted", "stock": "granted"})

    def test_renewal_that_tells_nothing_changes_nothing(self):
        backend = self.make("authorization_code")
        consent = self.door._issue
        self.patch(self.door, "_issue", lambda **more: consent(**{**more, "scope": "orders"}))
        self.grant(backend)
        self.patch(self.door, "_issue", consent)
        self.assertEqual(self.states(backend), {"orders": "granted", "stock": "missing"})
        self.assertIn("press Reconnect", backend.missing_access)
        self.assertTrue(self.renew(backend))
        self.assertEqual(self.states(backend), {"orders": "granted", "stock": "missing"})

    def test_kinds_without_tokens_know_nothing(self):
        backend = self.make("api_key")
        self.assertEqual(self.states(backend), {"orders": "unknown", "stock": "unknown"})


@tagged("post_install", "-at_install")
class TestConsent(DoorMixin, HttpCase):
    """The two pages in the browser: consent and return."""

    def setUp(self):
        super().setUp()
        self.backend = self.make("authorization_code")
        self.env.flush_all()
        self.authenticate("door_owner", "door_owner")

    def connect(self, backend=None):
        """Press Connect; returns the address that the browser is sent to."""
        action = (backend or self.backend).with_user(self.owner).action_connect()
        answer = self.url_open(action["url"], allow_redirects=False)
        self.assertEqual(answer.status_code, 303)
        return answer.headers["Location"]

    def come_back(self, query):
        return self.url_open(callback_address(query), allow_redirects=False)

    def assertNobodyIn(self):
        self.assertEqual(self.tokens(self.backend), [None, None])
        self.assertEqual(self.backend.state, "draft")

    def test_connect(self):
        url = self.connect()
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        self.assertTrue(url.startswith(f"{self.door.url}/oauth/authorize?"))
        self.assertEqual(query["redirect_uri"], self.backend.oauth_callback_url)
        self.assertTrue(query["redirect_uri"].endswith("/integration/oauth/callback"))
        self.assertEqual(query["scope"], "read write")
        self.assertGreater(len(query["state"]), 40)
        back = self.door.consent(url)
        answer = self.come_back(back)
        self.assertEqual(answer.status_code, 303)
        self.assertTrue(answer.headers["Location"].endswith(str(self.backend.id)))
        self.env.invalidate_all()
        self.assertEqual(self.backend.state, "active")
        self.assertEqual(len(self.door.forms), 1)
        self.assertNotIn(self.door.forms[0]["code_verifier"], url)
        self.assertIn("Access was granted", str(self.backend.message_ids.mapped("body")))
        with self.subTest("the state is good once"):
            self.assertEqual(self.come_back(back).status_code, 403)
            self.assertEqual(len(self.door.forms), 1)

    def test_code_is_not_logged(self):
        """As the server logs a request, see ``log_request`` in Odoo's and Werkzeug's server."""
        logger = logging.getLogger("werkzeug")
        for path in ("/integration/oauth/callback", "/integration/shopify/callback"):
            line = f"GET {path}?code=canary-1&state=canary-2 HTTP/1.1"
            record = logger.makeRecord(
                "werkzeug", logging.INFO, "", 0, '"%s" %s %s', (line, "303", "-"), None
            )
            self.assertTrue(logger.filter(record))
            self.assertEqual(record.getMessage(), f'"GET {path}?*** HTTP/1.1" 303 -')

    def test_two_consents_have_nothing_in_common(self):
        first, second = (parse_qs(urlsplit(self.connect()).query) for _number in range(2))
        self.assertNotEqual(first["state"], second["state"])
        self.assertNotEqual(first["code_challenge"], second["code_challenge"])

    def test_forged_callbacks(self):
        back = self.door.consent(self.connect())
        for state in ("", "guess", "é", back["state"][:-1], back["state"] + "x"):
            with self.subTest(state):
                self.assertEqual(self.come_back({**back, "state": state}).status_code, 403)
        self.assertEqual(self.come_back({"code": back["code"]}).status_code, 403)
        self.assertEqual(self.door.forms, [])
        self.assertNobodyIn()
        with self.subTest("none of them ends what was begun"):
            self.assertEqual(self.come_back(back).status_code, 303)

    def test_callback_nobody_asked_for(self):
        self.assertEqual(self.come_back({"code": "x", "state": ""}).status_code, 403)
        self.assertEqual(self.come_back({"code": "x", "state": "x"}).status_code, 403)
        self.assertEqual(self.door.forms, [])

    def test_callback_in_the_session_of_somebody_else(self):
        back = self.door.consent(self.connect())
        new_test_user(self.env, "other", groups="integration_base.group_integration_manager")
        self.authenticate("other", "other")
        self.assertEqual(self.come_back(back).status_code, 403)
        self.assertEqual(self.door.forms, [])
        self.assertNobodyIn()

    def test_same_session_another_user(self):
        back = self.door.consent(self.connect())
        session = self.opener.cookies.get("session_id")
        self.assertTrue(session)
        other = new_test_user(
            self.env, "other", groups="integration_base.group_integration_manager"
        )
        stored = root.session_store.get(session)
        stored[SESSION_KEY]["user_id"] = other.id
        root.session_store.save(stored)
        self.assertEqual(self.come_back(back).status_code, 403)
        self.assertEqual(self.door.forms, [])

    def test_too_late(self):
        back = self.door.consent(self.connect())
        later = integration_auth.time.time() + integration_auth.CONSENT_SECONDS + 1
        with patch("odoo.addons.integration_base.controllers.oauth.time.time", lambda: later):
            self.assertEqual(self.come_back(back).status_code, 403)
        self.assertEqual(self.door.forms, [])

    def test_code_of_somebody_else(self):
        """An attacker slips the code of their own account to a manager: the proof is missing."""
        mine = self.connect()
        theirs = mine.replace("code_challenge=", "code_challenge=A")
        code = self.door.consent(theirs)["code"]
        answer = self.come_back({"code": code, "state": parse_qs(urlsplit(mine).query)["state"][0]})
        self.assertIn("It is not connected", answer.text)
        self.assertIn("PKCE failed", answer.text)
        self.assertNobodyIn()

    def test_cancelled(self):
        state = self.door.consent(self.connect())["state"]
        answer = self.come_back({"error": "access_denied", "state": state})
        self.assertIn("Access was not granted", answer.text)
        self.assertIn("press Connect again", answer.text)
        self.assertIn(f"/odoo/integration.backend/{self.backend.id}", answer.text)
        self.assertEqual(self.door.forms, [])
        state = self.door.consent(self.connect())["state"]
        answer = self.come_back(
            {"error": "server_error", "error_description": "<script>x</script>", "state": state}
        )
        self.assertIn("sent no access back", answer.text)
        self.assertNotIn("<script>x", answer.text)
        self.assertNobodyIn()

    def test_refused_code(self):
        back = self.door.consent(self.connect())
        self.door.codes.clear()
        self.assertIn("Unknown code", self.come_back(back).text)
        self.assertNobodyIn()

    def test_settings_changed_meanwhile(self):
        back = self.door.consent(self.connect())
        self.backend.auth_kind = "door.api_key"
        self.env.flush_all()
        self.assertEqual(self.come_back(back).status_code, 404)
        self.backend.auth_kind = "door.authorization_code"
        self.env.flush_all()
        other = AuthService()
        self.addCleanup(other.close)
        production = {"environment": "production", "base_url": "https://door.example.com"}
        for values in ({"base_url": other.url}, production):
            back = self.door.consent(self.connect())
            self.backend.write(values)
            self.env.flush_all()
            self.assertIn("were changed meanwhile", self.come_back(back).text)
            self.assertNobodyIn()
        self.assertEqual(self.door.forms + other.forms, [])

    def test_missing_client_is_explained(self):
        self.backend.credential_ids.filtered(lambda row: row.code == "client_id").unlink()
        answer = self.url_open(f"/integration/oauth/connect/{self.backend.id}")
        self.assertIn("client_id", answer.text)

    def test_missing_secret_is_explained_before_anybody_consents(self):
        self.backend.credential_ids.filtered(lambda row: row.code == "client_secret").write(
            {"ciphertext": False, "is_set": False}
        )
        self.env.flush_all()
        answer = self.url_open(
            f"/integration/oauth/connect/{self.backend.id}", allow_redirects=False
        )
        self.assertIn("Door authorization_code has no Client secret", answer.text)

    def test_others_cannot_begin(self):
        address = f"/integration/oauth/connect/{self.backend.id}"
        key = self.make("api_key")
        self.env.flush_all()
        self.assertEqual(self.url_open(f"/integration/oauth/connect/{key.id}").status_code, 404)
        self.assertEqual(self.url_open("/integration/oauth/connect/999999999").status_code, 404)
        new_test_user(self.env, "clerk", groups="integration_base.group_integration_operator")
        self.authenticate("clerk", "clerk")
        self.assertEqual(self.url_open(address).status_code, 404)
        self.authenticate(None, None)
        answer = self.url_open(address, allow_redirects=False)
        self.assertIn("/web/login", answer.headers["Location"])

    def test_copy_of_the_database_connects_nothing(self):
        self.env["ir.config_parameter"].set_param("database.is_neutralized", "True")
        self.env.flush_all()
        answer = self.url_open(f"/integration/oauth/connect/{self.backend.id}")
        self.assertIn("neutralized", answer.text)
