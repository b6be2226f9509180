import re
import socket
from tempfile import NamedTemporaryFile
from unittest.mock import patch

from lxml import etree

from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import tagged
from odoo.tests.common import new_test_user
from odoo.tools import config
from odoo.tools.safe_eval import safe_eval

from ..lib.auth import AuthorizationCode
from ..lib.errors import AddressError, RetryableError
from ..models import integration_credential
from .common import FakeConnector, IntegrationCase

SECRET = "s3cr3t-canary"


@tagged("post_install", "-at_install")
class TestBackend(IntegrationCase):
    def test_new_backend_has_its_flows_and_credentials(self):
        self.assertEqual(self.flow.mapped("resource"), ["contact"])
        self.assertEqual(self.flow.name, "Contacts (Into Odoo)")
        self.assertEqual(self.backend.credential_ids.mapped("name"), ["Signing secret"])

    def test_connect_without_credentials_says_what_is_missing(self):
        backend = self.backend.copy({"name": "Copy"})
        self.assertEqual(backend.state, "draft")
        with self.assertRaisesRegex(UserError, "Copy has no Signing secret"):
            backend.action_test_connection()
        backend.credential_ids.value = "x"
        backend.action_test_connection()
        self.assertEqual(backend.state, "active")

    def test_texts_name_a_button_that_is_there(self):
        view = self.env["integration.backend"].get_view(
            self.env.ref("integration_base.integration_backend_view_form").id
        )
        header = etree.fromstring(view["arch"]).find("header")
        context = {"id": 1, "in_foreign_database": False, "in_neutralized_database": False}

        def shown(**values):
            return {
                button.get("string")
                for button in header.iter("button")
                if not safe_eval(button.get("invisible"), {**context, **values})
            }

        grant = AuthorizationCode(token_url="/token", authorize_url="/authorize")
        for kinds in ((), (grant,)):
            self.startPatcher(patch.object(FakeConnector, "_connector_auth", kinds, create=True))
            self.env.invalidate_all()
            consent = self.backend.needs_consent
            self.assertEqual(consent, bool(kinds))
            for state in ("draft", "paused", "active"):
                self.backend.state = state
                buttons = shown(state=state, needs_consent=consent)
                for anew in (False, True):
                    text = self.backend._connect_advice(anew)
                    named = set(re.findall(r"Test Connection|Resume|Connect(?= Again|\.)", text))
                    # the error itself may have paused it meanwhile
                    later = shown(state="paused", needs_consent=consent)
                    allowed = buttons | later if state == "active" else buttons
                    with self.subTest(text=text, state=state):
                        self.assertTrue(named)
                        self.assertLessEqual(named, allowed)

    def test_secret_is_written_and_used_but_never_read(self):
        credential = self.backend.credential_ids
        self.assertEqual(self.backend._credential("secret"), SECRET)
        self.assertTrue(credential.is_set)
        self.assertFalse(credential.value)
        self.env.flush_all()
        self.env.cr.execute("SELECT * FROM integration_credential WHERE id = %s", [credential.id])
        self.assertNotIn(SECRET, str(self.env.cr.fetchall()))
        # the superuser of tests may read everything: look as an administrator does
        credential = credential.with_user(self.env.ref("base.user_admin"))
        with self.assertRaises(AccessError):
            credential.read(["ciphertext"])
        with self.assertRaises(AccessError):
            credential.search([("ciphertext", "like", "%")])
        with self.assertRaises(AccessError):
            credential.export_data(["ciphertext"])
        self.assertNotIn(SECRET, str(credential.read()))
        self.assertNotIn(SECRET, str(self.backend.message_ids.mapped("body")))

    def test_replaced_secret_is_accepted_for_a_while(self):
        self.backend.credential_ids.value = "new"
        self.assertEqual(self.backend._credentials("secret"), ["new", SECRET])
        self.backend.credential_ids.previous_until = "2000-01-01"
        self.assertEqual(self.backend._credentials("secret"), ["new"])

    def test_no_key_no_secret(self):
        with (
            self._patch_key(""),
            patch.object(integration_credential, "_configured_keys", return_value=""),
            self.assertRaisesRegex(UserError, "no encryption key"),
        ):
            self.backend.credential_ids.value = "x"
        self.assertEqual(self.backend._credential("secret"), SECRET)

    def test_token_is_kept_until_it_expires(self):
        with self.enter_registry_test_mode():
            self.backend._store_token("access", "tok", None)
        self.env.invalidate_all()
        self.assertEqual(self.backend._token("access"), "tok")
        with self.enter_registry_test_mode():
            self.backend._store_token("access", "tok2", "2000-01-01 00:00:00")
        self.env.invalidate_all()
        self.env.cr.cache.clear()
        self.assertIsNone(self.backend._token("access"))

    def test_new_token_is_used_in_the_transaction_that_asked_for_it(self):
        """Its snapshot does not show what another one has committed since."""
        stored = self.backend.__class__._token
        with self.enter_registry_test_mode():
            self.backend._store_token("access", "new", None)
        self.patch(type(self.env["integration.credential"]), "_valid_token", lambda self: "old")
        self.assertEqual(stored(self.backend, "access"), "new")

    def test_address_is_checked(self):
        with self.assertRaises(ValidationError):
            self.backend.base_url = "ftp://service.example.com"
        self.backend.write({"environment": "sandbox", "base_url": "http://127.0.0.1:1"})
        self.backend.state = "draft"
        with self.assertRaises(ValidationError):
            self.backend.environment = "production"

    def test_production_backend_has_a_public_address(self):
        """What can be told without looking a name up, which a constraint must not do."""
        self.backend.state = "draft"
        self.backend.environment = "production"
        self.startPatcher(patch("socket.getaddrinfo", side_effect=AssertionError("looked up")))
        for address in (
            "https://localhost",
            "https://127.1",
            "https://10.0.0.1",
            "https://[::ffff:169.254.169.254]",
            "https://service.example.com:22",
            "https://user@service.example.com",
            "https://service.example.com?a=1",
        ):
            with self.subTest(address), self.assertRaises(ValidationError):
                self.backend.base_url = address
        self.backend.base_url = "https://service.example.com:8443/api"

    def test_sandbox_calls_the_private_hosts_it_lists(self):
        self.backend.state = "draft"
        self.backend.write({"environment": "sandbox", "private_hosts": "simulator, 10.1.2.0/24"})
        for address in ("http://simulator:8080", "https://10.1.2.3"):
            self.backend.base_url = address
            self.backend.credential_ids.value = "for that host"
            self.assertEqual(self.backend._client().base_url, address)
        address = {"base_url": "https://10.1.2.3", "private_hosts": "10.1.2.0/24"}
        for values, words in (
            ({"base_url": "https://10.9.9.9"}, "10.9.9.9 was not called"),
            ({"private_hosts": "simulator"}, "10.1.2.3 was not called"),
            ({"private_hosts": "0.0.0.0/0"}, "0.0.0.0/0 cannot be listed"),
            ({"environment": "production"}, "10.1.2.3 was not called"),
        ):
            with self.subTest(words), self.assertRaisesRegex(ValidationError, words):
                self.backend.write({"environment": "sandbox", **address, **values})

    def test_private_hosts_do_not_open_a_production_backend(self):
        self.backend.state = "draft"
        self.backend.write(
            {
                "environment": "production",
                "base_url": "https://service.example.com",
                "private_hosts": "service.example.com, 10.0.0.0/8",
            }
        )
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.1.2.3", 443))]
        self.startPatcher(patch("socket.getaddrinfo", return_value=found))
        opened = self.startPatcher(patch("socket.socket"))
        with self.assertRaisesRegex(AddressError, "leads to 10.1.2.3"):
            self.backend._client(auth=dict).get("/")
        opened.assert_not_called()

    def test_name_that_leads_to_this_machine_has_to_be_listed(self):
        self.backend.state = "draft"
        self.backend.write(
            {"environment": "sandbox", "base_url": "https://leads-here.example:6379"}
        )
        self.backend.credential_ids.value = "for that host"
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 6379))]
        self.startPatcher(patch("socket.getaddrinfo", return_value=found))
        opened = self.startPatcher(patch("socket.socket", side_effect=ConnectionRefusedError))
        with self.assertRaisesRegex(AddressError, "leads to 127.0.0.1"):
            self.backend._client(auth=dict).get("/")
        opened.assert_not_called()
        # which only administrators do, see test_attacks
        self.backend.private_hosts = "leads-here.example"
        with self.assertRaises(RetryableError):
            self.backend._client(auth=dict).get("/")
        opened.assert_called_once()

    def test_server_allows_private_hosts_to_production_backends(self):
        self.backend.state = "draft"
        self.backend.environment = "production"
        with NamedTemporaryFile("w", suffix=".conf") as file:
            file.write("[integration]\nprivate_hosts = 10.1.2.0/24\n")
            file.flush()
            self.patch(config, "options", config.options.new_child({"config": file.name}))
            self.backend.base_url = "https://10.1.2.3"
            with self.assertRaises(ValidationError):
                self.backend.base_url = "http://10.1.2.3"
        with patch.dict("os.environ", {"INTEGRATION_PRIVATE_HOSTS": "10.9.0.0/16"}):
            self.backend.base_url = "https://10.9.2.3"
            with self.assertRaises(ValidationError):
                self.backend.base_url = "https://10.1.2.3"

    def test_connector_cannot_be_changed(self):
        self.backend.write({"connector": "fake"})
        with self.assertRaisesRegex(UserError, "connector of a backend cannot be changed"):
            self.backend.connector = "other"

    def test_used_backend_keeps_its_company_and_stays(self):
        other = self.env["res.company"].create({"name": "Other"})
        unused = self.backend.copy({"name": "Unused"})
        unused.company_id = other
        unused.unlink()
        self.append("c1")
        with self.assertRaisesRegex(UserError, "company of a backend cannot be changed"):
            self.backend.company_id = other
        with self.assertRaisesRegex(UserError, "Archive it instead"):
            self.backend.unlink()

    def test_manager_replaces_a_secret_that_a_token_was_issued_for(self):
        manager = new_test_user(
            self.env,
            "integration_manager",
            groups="base.group_user,integration_base.group_integration_manager",
        )
        with self.enter_registry_test_mode():
            self.backend._store_token("access", "tok", None)
        self.env.invalidate_all()
        credentials = self.backend.credential_ids
        credentials.filtered(lambda row: row.kind == "typed").with_user(manager).value = "new"
        self.assertEqual(self.backend.credential_ids.mapped("kind"), ["typed"])

    def test_flows_are_found_by_what_they_read(self):
        names = dict(self.env["integration.flow"].name_search("contact"))
        self.assertIn(self.flow.id, names)

    def test_set_aside_needs_a_reason_and_the_role(self):
        self.service.records["c1"] = {"id": "c1"}
        operation = self.append("c1")
        self.drain()
        wizard = self.env["integration.set.aside"].create(
            {"operation_ids": operation.ids, "reason": "Test record of the shop."}
        )
        wizard.action_confirm()
        self.assertEqual(operation.state, "ignored")
        self.assertEqual(operation.review_note, "Test record of the shop.")

    def test_import_now_runs_in_the_foreground(self):
        self.service.put("c1", "One")
        with self.enter_registry_test_mode():
            action = (
                self.env["integration.import.now"]
                .create({"flow_id": self.flow.id, "reference": " c1 "})
                .action_import()
            )
        self.assertEqual(action["params"]["type"], "success")
        self.assertEqual(self.partners()["c1"].name, "One")
        self.backend.action_pause()
        with self.assertRaisesRegex(UserError, "is not connected"):
            self.env["integration.import.now"].create(
                {"flow_id": self.flow.id, "reference": "c1"}
            ).action_import()

    def test_read_changes_button(self):
        self.service.put("c1", "One")
        with self.enter_registry_test_mode():
            self.flow.action_read_changes()
        self.env.invalidate_all()
        self.assertTrue(self.env["integration.sync.log"].search([("external_id", "=", "c1")]))
        self.assertTrue(self.flow.cursor_at)
