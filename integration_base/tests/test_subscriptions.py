from unittest.mock import patch

from odoo.exceptions import UserError
from odoo.tests import tagged

from ..lib.errors import ConfigurationError, RequestRefused, RetryableError
from ..lib.records import Subscription
from .common import IntegrationCase


@tagged("post_install", "-at_install")
class TestSubscriptions(IntegrationCase):
    def setUp(self):
        super().setUp()
        self.remote = {}
        self.problem = None
        case = self

        def listing(connector, backend):
            if case.problem:
                raise case.problem
            return list(case.remote.values())

        def create(connector, backend, topic, address):
            if "refused" in address:
                raise RequestRefused(f"The address is not public: {address}")
            remote_id = f"r{len(case.remote) + 1}"
            case.remote[remote_id] = Subscription(topic, address, remote_id)
            return remote_id

        def delete(connector, backend, remote_id):
            del case.remote[remote_id]

        connector = self.registry["integration.connector.fake"]
        self.patch(connector, "_list_subscriptions", listing)
        self.patch(connector, "_create_subscription", create)
        self.patch(connector, "_delete_subscription", delete)

    def check(self):
        return self.env["integration.webhook.subscription"]._check_and_report(self.backend)

    def run_cron(self):
        self.env.flush_all()
        with self.enter_registry_test_mode(), self.registry.cursor() as cr:
            self.env(cr=cr)["integration.webhook.subscription"]._cron_check()
        self.env.invalidate_all()

    def incident(self):
        return self.env["integration.incident"].search(
            [("backend_id", "=", self.backend.id), ("kind", "=", "webhooks")]
        )

    def text_of(self, record):
        return record.body if record._name == "mail.message" else record.message

    def test_missing_ones_are_made_by_the_test_of_the_connection(self):
        self.backend.action_test_connection()
        self.assertEqual(
            [(row.topic, row.address) for row in self.remote.values()],
            [("contact/updated", self.backend._webhook_url())],
        )
        self.assertEqual(self.backend.subscription_ids.mapped("state"), ["ok"])
        self.check()
        self.assertEqual(len(self.remote), 1)

    def test_vanished_one_is_made_again_by_the_daily_check(self):
        self.check()
        self.remote.clear()
        self.run_cron()
        self.assertEqual(len(self.remote), 1)

    def test_one_that_is_set_up_otherwise_is_made_anew_by_the_daily_check(self):
        self.check()
        old = self.remote["r1"]
        self.remote = {"odd": Subscription(old.topic, old.address, "odd", drifted="filter")}
        self.run_cron()
        self.assertNotIn("odd", self.remote)
        self.assertEqual(
            [(row.topic, row.address) for row in self.remote.values()], [(old.topic, old.address)]
        )
        self.assertEqual(self.backend.subscription_ids.mapped("state"), ["ok"])

    def test_one_of_others_that_is_set_up_otherwise_stays(self):
        other = Subscription("contact/updated", "https://other.example", "o", drifted="format")
        self.remote["o"] = other
        self.run_cron()
        self.assertIn(other, self.remote.values())

    def test_the_connector_looks_after_its_own_once_a_day(self):
        asked = []
        connector = self.registry["integration.connector.fake"]
        self.patch(connector, "_check_daily", lambda _self, backend: asked.append(backend.id))
        self.run_cron()
        self.assertEqual(asked, self.backend.ids)

    def test_a_daily_check_that_fails_is_tried_again_soon(self):
        def fail(_self, backend):
            raise RetryableError("down")

        self.patch(self.registry["integration.connector.fake"], "_check_daily", fail)
        before = self.env["ir.cron.trigger"].search_count([])
        self.run_cron()
        self.assertEqual(self.env["ir.cron.trigger"].search_count([]), before + 1)

    def test_repeated_and_old_ones_of_ours_are_deleted(self):
        self.check()
        address = self.backend._webhook_url()
        self.remote["twice"] = Subscription("contact/updated", address, "twice")
        self.remote["foreign"] = Subscription("contact/updated", "https://b.example.com", "foreign")
        self.check()
        self.assertEqual(list(self.remote), ["r1", "foreign"])
        self.backend.webhook_token = "new"
        self.check()
        addresses = [row.address for row in self.remote.values()]
        self.assertEqual(addresses, ["https://b.example.com", self.backend._webhook_url()])
        self.assertEqual(sorted(self.backend.subscription_ids.mapped("state")), ["foreign", "ok"])

    def test_original_keeps_its_subscription_when_a_copy_connects(self):
        self.check()
        self.env["ir.config_parameter"].set_param("web.base.url", "https://copy.example.com")
        self.backend.action_connect_here()
        self.assertEqual(len(self.remote), 2)
        self.assertEqual(sorted(self.backend.subscription_ids.mapped("state")), ["foreign", "ok"])

    def new_address(self):
        """Replace the address; returns the old one and what is said."""
        old = self.backend._webhook_url()
        self.env.flush_all()
        with self.enter_registry_test_mode():
            shown = self.backend.action_new_webhook_address()["params"]
        self.env.invalidate_all()
        self.assertNotEqual(self.backend._webhook_url(), old)
        self.assertIn("replace it there by hand", shown["message"])
        return old, shown

    def addresses(self):
        return [row.address for row in self.remote.values()]

    def test_new_address_is_told_to_the_service(self):
        self.check()
        _old, shown = self.new_address()
        self.assertEqual(shown["type"], "success")
        self.assertIn("was told", shown["message"])
        self.assertEqual(self.addresses(), [self.backend._webhook_url()])

    def test_leaked_address_goes_while_the_service_fails(self):
        self.check()
        cron = self.env.ref("integration_base.ir_cron_check_subscriptions")
        triggers = [("cron_id", "=", cron.id)]
        for problem, words in (
            (RetryableError("No answer."), "No answer"),
            (KeyError("a bug of the connector"), "KeyError"),
        ):
            with self.subTest(problem=problem):
                self.problem = problem
                before = self.env["ir.cron.trigger"].search_count(triggers)
                with self.assertLogs("odoo.addons.integration_base.models", "WARNING"):
                    _old, shown = self.new_address()
                self.assertEqual(shown["type"], "warning")
                self.assertIn(words, shown["message"])
                self.assertEqual(self.backend.state, "active")
                after = self.env["ir.cron.trigger"].search_count(triggers)
                self.assertEqual(after, before + 1, "it is tried again by itself")
        for problem in (ConfigurationError("Not allowed."), None):
            self.problem = problem
            _old, shown = self.new_address()
        self.assertEqual(self.addresses(), [self.backend._webhook_url()])

    def test_leaked_address_goes_when_subscribing_fails_half_way(self):
        """What the service was told already is the address that is in force."""
        self.check()
        connector = self.registry["integration.connector.fake"]
        create = connector._create_subscription

        def create_and_fail(model, backend, topic, address):
            create(model, backend, topic, address)
            raise RetryableError("Cut off.")

        with (
            patch.object(connector, "_create_subscription", create_and_fail),
            patch.object(connector, "_delete_subscription", lambda *arguments: None),
            self.assertLogs("odoo.addons.integration_base.models", "WARNING"),
        ):
            old, shown = self.new_address()
        self.assertIn("Cut off", shown["message"])
        self.assertEqual(self.addresses(), [old, self.backend._webhook_url()])
        self.check()
        self.assertEqual(self.addresses(), [self.backend._webhook_url()])

    def test_new_address_before_the_connection(self):
        self.backend.state = "draft"
        _old, shown = self.new_address()
        self.assertIn("when it is connected", shown["message"])
        self.assertFalse(self.remote)

    def test_new_address_where_the_service_is_not_asked(self):
        self.patch(
            self.registry["integration.connector.fake"],
            "_list_subscriptions",
            lambda connector, backend: None,
        )
        _old, shown = self.new_address()
        self.assertEqual(shown["type"], "warning")
        self.assertIn("press Check Now", shown["message"])

    def test_flow_that_is_off_needs_none(self):
        self.flow.enabled = False
        self.assertFalse(self.check())
        self.assertFalse(self.remote)

    def test_refusal_is_an_incident_until_it_is_solved(self):
        self.env["ir.config_parameter"].set_param("web.base.url", "https://refused.example.com")
        self.backend.action_test_connection()
        self.assertEqual(self.backend.state, "active")
        self.assertEqual(self.backend.subscription_ids.state, "failed")
        self.assertRegex(self.incident().message, "The address is not public: .*Until this is sol")
        # those who see incidents may not see the address
        for shown in (self.incident(), self.incident().message_ids, self.backend.subscription_ids):
            self.assertNotIn(self.backend.webhook_token, str(shown.mapped(self.text_of)))
        self.env["ir.config_parameter"].set_param("web.base.url", "https://good.example.com")
        self.backend.action_check_subscriptions()
        self.assertEqual(self.incident().state, "closed")

    def test_service_that_cannot_be_asked(self):
        self.problem = ConfigurationError("The app may not list subscriptions.")
        self.assertIsNone(self.check())
        self.assertIn("may not list", self.incident().message)
        self.problem = ConfigurationError(f"Refused: {self.backend._webhook_url()}.")
        self.assertIsNone(self.check())
        self.assertNotIn(self.backend.webhook_token, self.incident().message)
        self.problem = RetryableError("No answer.")
        with self.assertRaisesRegex(UserError, "No answer"):
            self.backend.action_check_subscriptions()
        self.backend.action_test_connection()
        self.assertEqual(self.backend.state, "active")

    def test_passing_trouble_is_tried_again_soon(self):
        self.problem = RetryableError("No answer.")
        cron = self.env.ref("integration_base.ir_cron_check_subscriptions")
        before = self.env["ir.cron.trigger"].search_count([("cron_id", "=", cron.id)])
        self.run_cron()
        after = self.env["ir.cron.trigger"].search_count([("cron_id", "=", cron.id)])
        self.assertEqual(after, before + 1)
        self.assertFalse(self.incident())
