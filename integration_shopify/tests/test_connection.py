import hashlib
import hmac
import itertools
import json
import threading
import time
from contextlib import closing
from datetime import timedelta
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

from requests.structures import CaseInsensitiveDict

from odoo import SUPERUSER_ID, api, fields
from odoo.exceptions import UserError, ValidationError
from odoo.sql_db import db_connect
from odoo.tests import HttpCase, new_test_user, tagged
from odoo.tools import translate

from odoo.addons.integration_base.lib.errors import (
    AuthError,
    ConfigurationError,
    RateLimitedError,
)
from odoo.addons.integration_base.lib.http import HttpClient, Request, Response
from odoo.addons.integration_base.models.integration_rate_bucket import Limiter

from ..lib import webhook
from ..lib.client import ENDPOINT, learn_cost
from ..lib.versions import API_VERSION
from .common import ShopifyCase
from .contract import judge

SHOP = {
    "name": "Demo",
    "myshopifyDomain": "demo.myshopify.com",
    "currencyCode": "USD",
    "ianaTimezone": "America/New_York",
    "taxesIncluded": False,
}


class FakeHttp:
    """Stands in for the network under the HTTP client."""

    def __init__(self):
        self.requests = []
        self.tokens = 0
        self.token_answer = {"scope": "read_orders", "expires_in": 86399}
        self.valid = None
        self.scopes = [
            "write_orders",
            "read_customers",
            "read_products",
            "read_locations",
            "read_returns",
            "read_fulfillments",
            "read_merchant_managed_fulfillment_orders",
            "write_merchant_managed_fulfillment_orders",
        ]
        self.subscriptions = []
        self.subscription_errors = []
        self.ids = itertools.count(1)
        self.api_version = API_VERSION
        self.deprecated = ""

    def post(self, client, path, *, json=None, data=None, **_options):
        headers = dict(client._auth() or {}) if client._auth else {}
        self.requests.append((path, headers, json or data))
        if path.endswith("/access_token"):
            if data["client_secret"] != "s3cret":
                return Response(400, {}, b'{"error": "invalid_client"}', 5)
            return self.answer(self.issue(data))
        if headers.get("X-Shopify-Access-Token") != self.valid:
            raise AuthError("Shopify refuses the credentials.")
        return self.answer({"data": self.data(json)})

    def issue(self, form):
        self.tokens += 1
        self.valid = f"token-{self.tokens}"
        answer = {"access_token": self.valid, **self.token_answer}
        if form.get("grant_type") != "client_credentials":
            answer |= {"refresh_token": f"refresh-{self.tokens}", "expires_in": 3600}
        return answer

    def data(self, request):
        judge(request["query"], request["variables"])
        if "query Shop" in request["query"]:
            return {"shop": SHOP}
        if "query AccessScopes" in request["query"]:
            rows = [{"handle": scope} for scope in self.scopes]
            return {"currentAppInstallation": {"accessScopes": rows}}
        if "query WebhookSubscriptions" in request["query"]:
            return {
                "webhookSubscriptions": {
                    "nodes": self.subscriptions,
                    "pageInfo": {"hasNextPage": False, "endCursor": None},
                }
            }
        variables = request["variables"]
        if "mutation WebhookSubscriptionDelete" in request["query"]:
            kept = [row for row in self.subscriptions if row["id"] != variables["id"]]
            gone = len(kept) == len(self.subscriptions)
            errors = [{"field": ["id"], "message": "It does not exist"}] if gone else []
            self.subscriptions = kept
            return {"webhookSubscriptionDelete": {"userErrors": errors}}
        subscription = None
        if not self.subscription_errors:
            subscription = {"id": f"gid://{next(self.ids)}", "topic": variables["topic"]}
            self.subscriptions.append({**subscription, **variables["webhookSubscription"]})
        return {
            "webhookSubscriptionCreate": {
                "webhookSubscription": subscription,
                "userErrors": self.subscription_errors,
            }
        }

    def answer(self, body):
        headers = CaseInsensitiveDict({"X-Shopify-API-Version": self.api_version})
        if self.deprecated:
            headers["X-Shopify-API-Deprecated-Reason"] = self.deprecated
        return Response(200, headers, json.dumps(body).encode(), 5)

    def forms(self):
        return [body for path, _headers, body in self.requests if path.endswith("/access_token")]


class ConnectionMixin:
    def connect(self):
        self.http = http = FakeHttp()
        self.startPatcher(
            patch.object(
                HttpClient,
                "post",
                lambda client, path, **options: http.post(client, path, **options),
            )
        )
        for code, value in (("client_id", "app-id"), ("client_secret", "s3cret")):
            self.credential(code).value = value
        self.backend.state = "draft"

    def credential(self, code):
        return self.backend.credential_ids.filtered(lambda row: row.code == code)

    def press_test_connection(self):
        self.env.flush_all()
        with self.enter_registry_test_mode():
            return self.backend.action_test_connection()


class TestConnection(ConnectionMixin, ShopifyCase):
    fake_shop = False

    def setUp(self):
        super().setUp()
        self.connect()

    def renew(self):
        with self.enter_registry_test_mode():
            return self.backend._connector()._renew_auth(self.backend)

    def test_client_credentials(self):
        action = self.press_test_connection()
        self.assertEqual(
            action["params"]["message"], 'Connected to "Demo" (demo.myshopify.com, USD).'
        )
        self.assertEqual(self.backend.state, "active")
        self.assertEqual(self.backend.shopify_shop_name, "Demo")
        self.assertEqual(self.backend.shopify_timezone, "America/New_York")
        self.assertEqual(len(self.http.forms()), 1)
        self.assertEqual(self.http.forms()[0]["grant_type"], "client_credentials")
        token = self.backend.credential_ids.filtered(lambda row: row.kind == "token")
        life = token.expires_at - fields.Datetime.now()
        self.assertLess(life, timedelta(seconds=86399 - 290))
        self.assertGreater(life, timedelta(hours=23))
        self.press_test_connection()
        self.assertEqual(len(self.http.forms()), 1)

    def test_wrong_secret(self):
        self.credential("client_secret").value = "wrong"
        with self.assertRaisesRegex(UserError, "Check client ID and client secret"):
            self.press_test_connection()
        self.assertEqual(self.backend.state, "draft")

    def test_missing_secret(self):
        self.credential("client_id").unlink()
        with self.assertRaisesRegex(UserError, "client_id"):
            self.press_test_connection()

    def test_refused_token_is_renewed_once(self):
        self.press_test_connection()
        self.http.valid = "another"
        self.press_test_connection()
        self.assertEqual(len(self.http.forms()), 2)

    def test_another_worker_was_faster(self):
        self.press_test_connection()
        with self.enter_registry_test_mode():
            token = self.env["integration.auth"]._access_token(self.backend, "token-0")
        self.assertEqual(token, "token-1")
        self.assertEqual(len(self.http.forms()), 1)

    def test_new_token_is_used_in_the_transaction_that_got_it(self):
        """Another transaction stored it, so the snapshot of this one shows the old token."""
        self.press_test_connection()
        connector = self.backend._connector()
        credential_class = type(self.env["integration.credential"])
        self.env.cr.cache.clear()
        with (
            self.enter_registry_test_mode(),
            patch.object(credential_class, "_valid_token", lambda _rows: "token-1"),
        ):
            self.assertTrue(connector._renew_auth(self.backend))
            self.assertEqual(
                connector._auth_headers(self.backend), {"X-Shopify-Access-Token": "token-2"}
            )

    def test_two_workers_get_one_token(self):
        """The second worker waits, and takes what the first one has stored meanwhile."""
        with db_connect(self.env.cr.dbname).cursor() as cr:
            env = api.Environment(cr, SUPERUSER_ID, {})
            backend = env["integration.backend"].create(
                {
                    "name": "Two",
                    "connector": "shopify",
                    "base_url": "demo.myshopify.com",
                    # made anew it would wait for the one that this test's transaction has made
                    "work_user_id": SUPERUSER_ID,
                }
            )
            for code, value in (("client_id", "app-id"), ("client_secret", "s3cret")):
                backend.credential_ids.filtered(lambda row, c=code: row.code == c).value = value
        self.addCleanup(self.forget, backend.id)
        issue, answers = self.http.issue, []
        self.http.issue = lambda form: (time.sleep(0.5), issue(form))[1]

        def work():
            with closing(db_connect(self.env.cr.dbname).cursor()) as cr:
                mine = backend.with_env(api.Environment(cr, SUPERUSER_ID, {}))
                answers.append(mine._connector()._auth_headers(mine))

        workers = [threading.Thread(target=work) for _number in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(300)
        self.assertEqual(answers, [{"X-Shopify-Access-Token": "token-1"}] * 3)
        self.assertEqual(len(self.http.forms()), 1)

    def forget(self, backend_id):
        with db_connect(self.env.cr.dbname).cursor() as cr:
            api.Environment(cr, SUPERUSER_ID, {})["integration.backend"].browse(backend_id).unlink()

    def test_each_kind_asks_for_what_it_uses(self):
        """The client secret checks notifications, whatever signs requests."""
        app = ["client_id", "client_secret"]
        kinds = {
            "client_credentials": app,
            "authorization_code": app,
            "legacy": ["access_token", "client_secret"],
        }
        for kind, codes in kinds.items():
            self.backend.auth_kind = f"shopify.{kind}"
            self.env.invalidate_all()
            rows = self.backend.credential_ids
            self.assertEqual(sorted(rows.mapped("code")), codes, kind)
            self.assertTrue(all(rows.mapped("help")), kind)
        self.assertIn("shpat_", self.credential("access_token").help)
        self.assertIn("Dev Dashboard", self.hint("client_credentials", "client_id"))

    def hint(self, kind, code):
        self.backend.auth_kind = f"shopify.{kind}"
        self.env.invalidate_all()
        return self.credential(code).help

    def test_labels_are_translated(self):
        self.env["res.lang"]._activate_lang("de_DE")
        texts = {"Client secret": "Geheimnis"}
        self.patch(
            translate.code_translations,
            "get_python_translations",
            lambda module, lang: texts if module == "integration_shopify" else {},
        )
        row = self.credential("client_secret").with_context(lang="de_DE")
        self.assertEqual(row.name, "Geheimnis")

    def test_legacy_token(self):
        self.backend.auth_kind = "shopify.legacy"
        self.http.valid = "shpat_1"
        with self.assertRaisesRegex(UserError, "Access token"):
            self.press_test_connection()
        self.credential("access_token").value = "shpat_1"
        self.press_test_connection()
        self.assertEqual(self.http.forms(), [])
        self.assertFalse(self.renew())

    def test_authorization_code_without_consent(self):
        self.backend.auth_kind = "shopify.authorization_code"
        with self.assertRaisesRegex(UserError, "press Connect"):
            self.press_test_connection()

    def test_refresh_token_rotates(self):
        self.backend.auth_kind = "shopify.authorization_code"
        with self.enter_registry_test_mode():
            self.complete(self.callback_query())
        self.assertEqual(self.http.forms()[0]["code"], "c0de")
        self.press_test_connection()
        self.assertTrue(self.renew())
        self.assertEqual(self.http.forms()[1]["refresh_token"], "refresh-1")
        self.assertTrue(self.renew())
        self.assertEqual(self.http.forms()[2]["refresh_token"], "refresh-2")

    def complete(self, query):
        Auth = self.env["integration.auth"]
        pending, _url = Auth._begin_consent(self.backend, "state", "verifier")
        Auth._complete_consent(self.backend, query, pending)

    def callback_query(self, **changes):
        query = {
            "code": "c0de",
            "shop": "demo.myshopify.com",
            "state": "x",
            "timestamp": "1",
            **changes,
        }
        message = "&".join(f"{key}={value}" for key, value in sorted(query.items()))
        query["hmac"] = hmac.new(b"s3cret", message.encode(), hashlib.sha256).hexdigest()
        return query

    def test_callback_of_another_shop_or_unsigned(self):
        self.backend.auth_kind = "shopify.authorization_code"
        with self.assertRaises(ConfigurationError):
            self.complete(self.callback_query(shop="other.myshopify.com"))
        with self.assertRaises(AuthError):
            self.complete({**self.callback_query(), "code": "stolen"})
        self.assertEqual(self.http.forms(), [])

    def test_backends_of_before_the_kinds_of_authentication(self):
        self.env.flush_all()
        self.env.cr.execute("ALTER TABLE integration_backend ADD COLUMN shopify_auth varchar")
        self.env.cr.execute(
            "UPDATE integration_backend SET shopify_auth = 'authorization_code', auth_kind = NULL"
            " WHERE id = %s",
            [self.backend.id],
        )
        with self.enter_registry_test_mode():
            self.backend._store_token("shopify_refresh", "refresh-0")
        self.env["integration.backend"].init()
        self.env["integration.backend"].init()
        self.env.invalidate_all()
        self.assertEqual(self.backend.auth_kind, "shopify.authorization_code")
        self.assertTrue(self.backend.needs_consent)
        self.renew()
        self.assertEqual(self.http.forms()[0]["refresh_token"], "refresh-0")

    def scopes(self):
        """Return ``{scope: state}`` of the table on the backend."""
        return {row.name: row.state for row in self.backend.scope_ids}

    def test_missing_scopes_stop_the_flow_that_needs_them(self):
        self.http.scopes = ["read_orders"]
        self.press_test_connection()
        self.assertEqual(self.backend.state, "active")
        self.assertEqual(
            self.scopes(),
            {
                "read_customers": "missing",
                "read_products": "missing",
                "read_locations": "missing",
                "read_merchant_managed_fulfillment_orders": "missing",
                "read_returns": "missing",
                "write_merchant_managed_fulfillment_orders": "missing",
                "write_third_party_fulfillment_orders": "optional",
                "read_all_orders": "optional",
                "read_payment_terms": "optional",
                "write_orders": "optional",
                "read_fulfillments": "optional",
                # what the shop is set up with is offered as far as it may be read
                "read_locales": "optional",
                "read_markets": "optional",
                "read_publications": "optional",
                "read_orders": "granted",
            },
        )
        missing = [
            "read_customers",
            "read_locations",
            "read_merchant_managed_fulfillment_orders",
            "read_products",
            "read_returns",
        ]
        self.assertEqual(self.flow.missing_scopes.split(), missing)
        self.assertIn("read_customers (read who ordered)", self.flow.scope_text)
        self.assertIn("Shopify Dev Dashboard", self.flow.scope_text)
        with self.assertRaisesRegex(UserError, "read_customers"):
            self.flow.action_read_changes()
        self.http.scopes += missing
        self.http.scopes.append("write_merchant_managed_fulfillment_orders")
        self.press_test_connection()
        self.assertFalse(self.flow.missing_scopes)
        self.assertFalse(self.backend.missing_access)

    def test_writing_includes_reading(self):
        self.http.scopes[self.http.scopes.index("read_products")] = "write_products"
        self.press_test_connection()
        row = self.backend.scope_ids.filtered(lambda row: row.name == "write_products")
        self.assertEqual(self.scopes()["read_products"], "granted")
        self.assertEqual(row.state, "superfluous")
        self.assertIn("replace it by read_products", row.advice)
        self.http.scopes.append("read_products")
        self.press_test_connection()
        self.assertIn("remove it", row.advice)
        reading = self.backend.scope_ids.filtered(lambda row: row.name == "read_orders")
        self.assertEqual(
            reading.reason.splitlines(),
            [
                "Connection: be notified of changes",
                "Orders (Into Odoo): read the orders and their lines",
            ],
        )

    def test_the_way_to_more_access_depends_on_how_one_signs_in(self):
        self.http.scopes = ["read_orders"]
        self.press_test_connection()
        for auth, text in (
            ("authorization_code", "press Reconnect"),
            ("legacy", "Admin API access scopes"),
            ("client_credentials", "accept it in the shop"),
        ):
            self.backend.auth_kind = f"shopify.{auth}"
            self.env.invalidate_all()
            self.assertIn(text, self.flow.scope_text)
        self.backend.auth_kind = "shopify.authorization_code"
        self.assertEqual(
            self.backend.action_reconnect()["url"],
            f"/integration/oauth/connect/{self.backend.id}",
        )

    def test_an_app_of_ones_own_asks_for_no_scopes(self):
        """Shopify's client credentials grant has no such parameter: the app's version says it."""
        self.press_test_connection()
        (form,) = self.http.forms()
        self.assertEqual(set(form), {"client_id", "client_secret", "grant_type"})

    def test_consent_is_asked_for_what_the_flows_need(self):
        needed = {
            "read_orders",
            "read_customers",
            "read_locations",
            "read_products",
            "read_returns",
            # includes to read them
            "write_merchant_managed_fulfillment_orders",
        }
        self.assertEqual(
            set(self.backend._scopes_to_request()) - {"read_merchant_managed_fulfillment_orders"},
            needed,
        )
        self.http.scopes.append("read_all_orders")
        self.press_test_connection()
        self.assertEqual(
            set(self.backend._scopes_to_request()),
            {*self.http.scopes, *needed},
            "not to lose them",
        )
        self.backend.flow_ids.enabled = False
        self.assertEqual(self.backend._scopes_to_request(), [])

    def wanted(self):
        """Return how many subscriptions there have to be: all about orders, and what else the app
        may be told of."""
        topics = self.backend._connector()._webhook_topics(self.backend)
        self.assertLessEqual(set(webhook.ORDER_TOPICS), set(topics))
        return len(topics)

    def test_subscriptions_are_made_once(self):
        self.press_test_connection()
        self.press_test_connection()
        self.assertEqual(len(self.http.subscriptions), self.wanted())
        by_topic = {row["topic"]: row for row in self.http.subscriptions}
        self.assertEqual(by_topic["ORDERS_CREATE"]["uri"], self.backend._webhook_url())
        self.assertEqual(by_topic["ORDERS_CREATE"]["includeFields"], webhook.INCLUDE_FIELDS)
        self.assertNotIn("includeFields", by_topic["ORDERS_EDITED"])

    def test_old_address_is_unsubscribed_and_others_are_left_alone(self):
        self.press_test_connection()
        foreign = {
            "id": "gid://foreign",
            "topic": "ORDERS_CREATE",
            "uri": "https://erp.example.com",
        }
        self.http.subscriptions.append(foreign)
        self.backend.webhook_token = "another-address-of-this-backend"
        self.press_test_connection()
        self.assertEqual(len(self.http.subscriptions), self.wanted() + 1)
        self.assertIn(foreign, self.http.subscriptions)
        self.assertEqual(
            {row["uri"] for row in self.http.subscriptions} - {foreign["uri"]},
            {self.backend._webhook_url()},
        )
        self.assertEqual(
            self.backend.subscription_ids.filtered(lambda row: row.state == "foreign").mapped(
                "address"
            ),
            [foreign["uri"]],
        )

    def check_daily(self):
        self.env.flush_all()
        with self.enter_registry_test_mode(), self.registry.cursor() as cr:
            self.env(cr=cr)["integration.webhook.subscription"]._cron_check()
        self.env.invalidate_all()

    def test_one_that_shopify_deleted_is_made_again_by_the_daily_check(self):
        self.press_test_connection()
        gone = self.http.subscriptions.pop(3)
        self.check_daily()
        self.assertEqual(len(self.http.subscriptions), self.wanted())
        self.assertIn(gone["topic"], [row["topic"] for row in self.http.subscriptions])

    def test_one_that_somebody_changed_is_made_anew_by_the_daily_check(self):
        self.press_test_connection()
        for name, value in (
            ("format", "XML"),
            ("filter", "total_price:>100"),
            ("includeFields", ["id"]),
            ("includeFields", []),
            ("includeFields", ["id", "admin_graphql_api_id", "updated_at", "name", "email"]),
        ):
            with self.subTest(name, value=value):
                row = next(r for r in self.http.subscriptions if r["topic"] == "ORDERS_UPDATED")
                changed = {**row, name: value}
                self.http.subscriptions[self.http.subscriptions.index(row)] = changed
                self.check_daily()
                present = [r for r in self.http.subscriptions if r["topic"] == "ORDERS_UPDATED"]
                self.assertEqual(len(present), 1)
                self.assertNotEqual(present[0]["id"], row["id"], "it was made anew")
                self.assertEqual(present[0]["includeFields"], webhook.INCLUDE_FIELDS)
                self.assertFalse(present[0].get("filter"))
        before = list(self.http.subscriptions)
        self.check_daily()
        self.assertEqual(self.http.subscriptions, before, "what is right stays as it is")

    def test_deleting_what_is_gone_is_no_error(self):
        connector = self.backend._connector()
        self.press_test_connection()
        connector._delete_subscription(self.backend, "gid://unknown")
        self.http.subscriptions.clear()
        self.press_test_connection()
        self.assertEqual(len(self.http.subscriptions), self.wanted())

    def test_refused_address_does_not_prevent_the_connection(self):
        self.http.subscription_errors = [
            {"field": ["webhookSubscription", "uri"], "message": "Address is invalid"}
        ]
        self.press_test_connection()
        self.assertEqual(self.backend.state, "active")
        incident = self.env["integration.incident"].search([("kind", "=", "webhooks")])
        self.assertIn("Address is invalid", incident.message)
        self.assertIn("web.base.url", incident.message)
        self.assertEqual(
            self.backend.subscription_ids.mapped("state"),
            ["failed"] + ["missing"] * (self.wanted() - 1),
        )
        self.http.subscription_errors = []
        self.press_test_connection()
        self.assertEqual(incident.state, "closed")

    def test_another_version_answers(self):
        self.http.api_version = "2027-01"
        self.press_test_connection()
        self.assertEqual(self.backend.shopify_api_version, "2027-01")
        self.assertTrue(self.backend.shopify_api_outdated)

    def test_version_is_noted_by_work_too(self):
        self.press_test_connection()
        self.http.api_version = "2027-04"
        self.env.flush_all()
        with self.enter_registry_test_mode():
            self.backend._shopify_client().execute("shop")
        self.assertEqual(self.backend.shopify_api_version, "2027-04")

    def test_address(self):
        self.backend.base_url = "Other-Shop"
        self.assertEqual(self.backend.base_url, "https://other-shop.myshopify.com")
        with self.assertRaises(ValidationError):
            self.backend.base_url = "http://other-shop.myshopify.com"
        self.backend.write({"environment": "production", "base_url": "https://evil.example"})
        with self.assertRaisesRegex(UserError, "not the address of a Shopify shop"):
            self.press_test_connection()
        self.assertEqual(self.http.requests, [])


class TestRateLimit(ShopifyCase):
    """What the requests of a shop take from its bucket, and what the answers say of it."""

    def setUp(self):
        super().setUp()
        self.enterContext(self.enter_registry_test_mode())
        self.limiter = Limiter(self.backend)
        self.query = {"query": f"query Q {{ shop {{ name }} }} # {self.id()}", "variables": {}}

    def bucket(self):
        self.env.invalidate_all()
        return self.backend.rate_bucket_ids

    def send(self, body, path=ENDPOINT, error=None):
        request = Request("POST", f"https://demo.myshopify.com{path}", "", self.query)
        self.limiter.before_request(request)
        response = Response(200, CaseInsensitiveDict(), body, 5)
        self.limiter.after_response(request, response, error)

    def cost(self, requested, actual, available, capacity=2000, rate=100):
        status = {
            "maximumAvailable": capacity,
            "currentlyAvailable": available,
            "restoreRate": rate,
        }
        return {
            "requestedQueryCost": requested,
            "actualQueryCost": actual,
            "throttleStatus": status,
        }

    def answer(self, *cost):
        return json.dumps({"data": {}, "extensions": {"cost": self.cost(*cost)}}).encode()

    def test_real_cost_and_real_size(self):
        self.send(self.answer(30, 12, 19_988, 20_000, 1000))
        bucket = self.bucket()
        self.assertEqual((bucket.capacity, bucket.per_second), (20_000, 1000))
        self.assertEqual(bucket.tokens, 19_988)
        self.send(self.answer(30, 12, 300, 20_000, 1000))
        self.assertEqual(self.bucket().tokens, 300, "other users of the app")

    def test_empty_bucket_is_not_asked(self):
        learn_cost(self.query, self.cost(900, 900, 0))
        self.send(self.answer(900, 900, 500))
        with self.assertRaises(RateLimitedError) as caught:
            self.send(b"")
        self.assertAlmostEqual(caught.exception.retry_after, 6, delta=1)

    def test_tokens_are_free_and_pages_tell_nothing(self):
        self.send(b"{}", path="/admin/oauth/access_token")
        self.assertFalse(self.bucket())
        for body in (b"<html>", b"", b"[]", b'{"extensions": null}', b'{"data": '):
            self.send(body)
        self.assertLess(self.bucket().tokens, 2000)


@tagged("post_install", "-at_install")
class TestOauthCallback(HttpCase):
    """The two pages in the browser: consent and return."""

    def setUp(self):
        super().setUp()
        self.backend = self.env["integration.backend"].create(
            {
                "name": "Demo shop",
                "connector": "shopify",
                "base_url": "demo.myshopify.com",
                "auth_kind": "shopify.authorization_code",
            }
        )
        for code, value in (("client_id", "app-id"), ("client_secret", "s3cret")):
            self.backend.credential_ids.filtered(lambda row, c=code: row.code == c).value = value
        self.http = http = FakeHttp()
        self.startPatcher(
            patch.object(
                HttpClient,
                "post",
                lambda client, path, **options: http.post(client, path, **options),
            )
        )

    def consent(self):
        answer = self.url_open(
            f"/integration/oauth/connect/{self.backend.id}", allow_redirects=False
        )
        address = urlsplit(answer.headers["Location"])
        self.assertEqual(address.netloc, "demo.myshopify.com")
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        self.assertEqual(query["client_id"], "app-id")
        self.assertTrue(query["redirect_uri"].endswith("/integration/shopify/callback"))
        return query["state"]

    def come_back(self, state, secret=b"s3cret", **changes):
        query = {"code": "c0de", "shop": "demo.myshopify.com", "state": state, **changes}
        message = "&".join(f"{key}={value}" for key, value in sorted(query.items()))
        query["hmac"] = hmac.new(secret, message.encode(), hashlib.sha256).hexdigest()
        return self.url_open(
            "/integration/shopify/callback?" + "&".join(f"{k}={v}" for k, v in query.items()),
            allow_redirects=False,
        )

    def test_connect(self):
        self.authenticate("admin", "admin")
        self.env.ref("base.user_admin").group_ids += self.env.ref(
            "integration_base.group_integration_manager"
        )
        state = self.consent()
        answer = self.come_back(state)
        self.assertEqual(answer.status_code, 303)
        self.env.invalidate_all()
        self.assertEqual(self.backend.state, "active")
        self.assertEqual(self.backend._token("oauth_refresh"), "refresh-1")
        with self.subTest("the state is good once"):
            self.assertEqual(self.come_back(state).status_code, 403)
            self.assertEqual(len(self.http.forms()), 1)

    def test_forged(self):
        self.authenticate("admin", "admin")
        self.env.ref("base.user_admin").group_ids += self.env.ref(
            "integration_base.group_integration_manager"
        )
        self.assertEqual(self.come_back("guess").status_code, 403)
        self.consent()
        self.assertEqual(self.url_open("/integration/shopify/callback?state=é").status_code, 403)
        self.consent()
        self.assertEqual(self.come_back("guess").status_code, 403)
        self.assertIn("not signed", self.come_back(self.consent(), b"wrong").text)
        other = self.come_back(self.consent(), shop="other.myshopify.com")
        self.assertIn("other.myshopify.com", other.text)
        self.assertEqual(self.http.forms(), [])

    def test_other_users(self):
        new_test_user(self.env, "clerk", groups="integration_base.group_integration_operator")
        self.authenticate("clerk", "clerk")
        answer = self.url_open(
            f"/integration/oauth/connect/{self.backend.id}", allow_redirects=False
        )
        self.assertEqual(answer.status_code, 404)
