import re
from datetime import datetime, timedelta
from pathlib import Path

from freezegun import freeze_time

from odoo.tests import BaseCase

from odoo.addons.integration_base.lib.errors import ConfigurationError

from ..lib import client, versions
from ..lib.versions import API_VERSION
from .common import ShopifyCase
from .test_connection import ConnectionMixin

END = versions.ends_at(API_VERSION)
OLDER = sorted(versions.VERSIONS)[0]


class TestVersions(BaseCase):
    def test_the_pinned_version_is_known(self):
        self.assertIn(API_VERSION, versions.VERSIONS)
        self.assertEqual(client.ENDPOINT, f"/admin/api/{API_VERSION}/graphql.json")

    def test_the_version_is_named_in_one_place(self):
        addon = Path(client.__file__).parent.parent
        named = re.compile(r"\b20[2-9]\d-(?:01|04|07|10)\b(?!-\d)")
        found = {
            str(path.relative_to(addon))
            for kind in ("py", "xml", "graphql", "js")
            for path in addon.rglob(f"*.{kind}")
            # tests may speak of other versions on purpose
            if "tests" not in path.parts and named.search(path.read_text(encoding="utf-8"))
        }
        self.assertEqual(found, {"lib/versions.py"})

    def test_stages(self):
        for days, stage in ((91, None), (90, 90), (31, 90), (30, 30), (8, 30), (7, 7), (-9, 7)):
            self.assertEqual(versions.stage(END - timedelta(days=days)), stage, days)

    def test_days_left(self):
        self.assertEqual(versions.days_left(API_VERSION, END - timedelta(days=3)), 3)
        self.assertEqual(versions.days_left(API_VERSION, END + timedelta(hours=1)), -1)
        self.assertIsNone(versions.days_left("2099-01", datetime(2026, 11, 20)))


class TestVersionGuard(ConnectionMixin, ShopifyCase):
    fake_shop = False

    def setUp(self):
        super().setUp()
        # the calendar must not decide whether these tests pass
        self.startPatcher(freeze_time(END - timedelta(days=200)))
        self.connect()
        self.press_test_connection()

    def incidents(self, state="open"):
        return self.env["integration.incident"].search(
            [
                ("kind", "=", "interface"),
                ("backend_id", "=", self.backend.id),
                ("state", "=", state),
            ]
        )

    def ask(self):
        self.env.flush_all()
        with self.enter_registry_test_mode():
            self.backend._shopify_client().execute("shop")
        self.env.invalidate_all()

    def subscribe(self):
        return self.backend._connector()._create_subscription(
            self.backend, "orders/create", "https://odoo.example.com/x"
        )

    def mutations(self):
        return [body for _p, _h, body in self.http.requests if "mutation" in str(body)]

    def check_daily(self):
        self.env.flush_all()
        with self.enter_registry_test_mode(), self.registry.cursor() as cr:
            self.env(cr=cr)["integration.webhook.subscription"]._cron_check()
        self.env.invalidate_all()

    def test_all_is_well(self):
        self.check_daily()
        self.assertFalse(self.incidents())
        self.assertFalse(self.backend.shopify_api_outdated)
        self.assertEqual(self.backend.shopify_api_until, END)

    def test_a_known_version_answers(self):
        self.http.api_version = OLDER
        self.ask()
        incident = self.incidents()
        self.assertEqual(len(incident), 1)
        self.assertIn(
            f"version {OLDER} of its interface instead of {API_VERSION}", incident.message
        )
        self.assertIn("200 days left", incident.message)
        self.assertTrue(incident.activity_id, "it is a to-do of the responsible person")
        self.assertTrue(self.subscribe(), "writing goes on")
        self.http.api_version = API_VERSION
        self.ask()
        self.assertEqual(incident.state, "closed")

    def test_nothing_is_written_while_an_unknown_version_answers(self):
        self.http.api_version = "2099-01"
        self.ask()
        incident = self.incidents()
        self.assertIn("Nothing is written to Shopify", incident.message)
        self.assertTrue(incident.advice)
        self.assertTrue(self.backend.shopify_api_writes_refused)
        before = len(self.mutations())
        with self.assertRaises(ConfigurationError) as caught:
            self.subscribe()
        self.assertIn("nothing was sent", caught.exception.message)
        self.assertEqual(len(self.mutations()), before)
        self.ask()
        self.assertEqual(len(self.incidents()), 1, "reading goes on, and tells nobody twice")

    def test_writing_goes_on_as_soon_as_a_known_version_answers(self):
        self.http.api_version = "2099-01"
        self.ask()
        self.http.api_version = API_VERSION
        self.assertTrue(self.subscribe())

    def test_the_end_is_announced_in_three_stages(self):
        told = self.env["integration.incident"]
        for days, count in ((91, 0), (90, 1), (60, 1), (30, 2), (7, 3), (1, 3), (-1, 3)):
            with freeze_time(END - timedelta(days=days)):
                self.check_daily()
                self.check_daily()
            told |= self.incidents()
            self.assertEqual(len(told), count, f"{days} days before")
            self.assertEqual(len(self.incidents()), min(count, 1), f"{days} days before")
        self.assertIn("-1 days left", self.incidents().message)

    def test_each_deprecated_part_is_told_once(self):
        self.http.deprecated = "Shop.email, Order.x"
        self.ask()
        incidents = self.incidents()
        self.assertEqual(
            sorted(incidents.mapped("key")), ["deprecated:Order.x", "deprecated:Shop.email"]
        )
        self.assertIn("Shopify is going to remove", incidents[0].message)
        self.http.deprecated = "Order.x"
        self.ask()
        self.http.deprecated = "Order.y"
        self.ask()
        self.assertEqual(len(self.incidents()), 3)
        self.assertEqual(self.backend.shopify_api_deprecated, "Order.x, Order.y, Shop.email")

    def test_what_has_no_successor_in_older_versions_is_no_incident(self):
        self.http.deprecated = "CustomerPhoneNumber.marketingState, Order.x"
        self.ask()
        self.assertEqual(self.incidents().mapped("key"), ["deprecated:Order.x"])

    def test_what_an_older_module_used_is_forgotten(self):
        self.http.deprecated = "Shop.email"
        self.ask()
        self.backend.shopify_api_asked = OLDER
        self.http.deprecated = ""
        self.ask()
        self.assertFalse(self.backend.shopify_api_deprecated)
        self.assertFalse(self.incidents())
