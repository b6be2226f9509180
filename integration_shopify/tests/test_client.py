import json
from unittest.mock import Mock

from requests.structures import CaseInsensitiveDict

from odoo.tests import BaseCase

from odoo.addons.integration_base.lib.errors import (
    AuthError,
    ConfigurationError,
    MissingScopeError,
    RateLimitedError,
    RequestRefused,
    RetryableError,
)
from odoo.addons.integration_base.lib.http import Response

from ..lib import oauth
from ..lib.client import (
    API_VERSION,
    UNKNOWN_COST,
    GraphqlClient,
    QueryTooExpensive,
    bucket_state,
    denied_leaves,
    document,
    expected_cost,
    learn_cost,
    refuse_user_errors,
)

COST = {
    "requestedQueryCost": 101,
    "actualQueryCost": None,
    "throttleStatus": {"maximumAvailable": 2000, "currentlyAvailable": 1, "restoreRate": 100},
}


def error(code, message="No", **extra):
    return {
        "message": message,
        "extensions": {"code": code, **extra.pop("extensions", {})},
        **extra,
    }


class TestClient(BaseCase):
    def execute(self, body, headers=(), on_answer=None):
        http = Mock()
        http.post.return_value = Response(
            200, CaseInsensitiveDict(headers), json.dumps(body).encode(), 5
        )
        self.http = http
        return GraphqlClient(http, on_answer).execute("shop")

    def test_answer(self):
        seen = []
        answer = self.execute(
            {"data": {"shop": {"name": "Demo"}}, "extensions": {"cost": COST}},
            {"x-shopify-api-version": "2027-01", "X-Shopify-API-Deprecated-Reason": "Shop.x"},
            seen.append,
        )
        self.assertEqual(answer.data["shop"]["name"], "Demo")
        self.assertEqual((answer.api_version, answer.deprecated), ("2027-01", "Shop.x"))
        self.assertEqual(seen, [answer])
        path = self.http.post.call_args.args[0]
        self.assertEqual(path, f"/admin/api/{API_VERSION}/graphql.json")

    def test_throttled_waits_for_what_the_query_needs(self):
        for body in (
            {"errors": [error("THROTTLED", "Throttled")], "extensions": {"cost": COST}},
            {"data": None, "errors": [error("THROTTLED")], "extensions": {"cost": COST}},
            {"data": {"shop": {}}, "errors": [error("THROTTLED")], "extensions": {"cost": COST}},
        ):
            with self.assertRaises(RateLimitedError) as caught:
                self.execute(body)
            self.assertEqual(caught.exception.retry_after, 1.0)

    def test_throttled_without_cost(self):
        with self.assertRaises(RateLimitedError) as caught:
            self.execute({"errors": [error("THROTTLED")]})
        self.assertEqual(caught.exception.retry_after, 1.0)

    def test_cost_is_learnt_from_answers(self):
        def query(**variables):
            return {"query": "query Things", "variables": variables}

        self.assertEqual(expected_cost(query(ids=["a", "b"], after=None)), UNKNOWN_COST)
        learn_cost(query(ids=["a", "b"], after=None), COST)
        self.assertEqual(expected_cost(query(ids=["c", "d"], after="x")), 101)
        self.assertEqual(expected_cost(query(ids=["a"])), UNKNOWN_COST)
        learn_cost(query(ids=["a"]), {})
        self.assertEqual(expected_cost(query(ids=["a"])), UNKNOWN_COST)

    def test_execute_learns_the_cost(self):
        cost = {**COST, "requestedQueryCost": 7}
        self.execute({"data": {"shop": {"name": "Demo"}}, "extensions": {"cost": cost}})
        self.assertEqual(expected_cost(self.http.post.call_args.kwargs["json"]), 7)

    def test_bucket_of_an_answer(self):
        state = bucket_state({**COST, "actualQueryCost": 12})
        self.assertEqual(
            (state.available, state.capacity, state.per_second, state.cost), (1, 2000, 100, 12)
        )
        self.assertEqual(bucket_state(COST).cost, 0, "too fast: not carried out")
        for nothing in ({}, {"throttleStatus": {"currentlyAvailable": None}}):
            self.assertIsNone(bucket_state(nothing))

    def test_too_expensive(self):
        with self.assertRaises(QueryTooExpensive):
            self.execute({"errors": [error("MAX_COST_EXCEEDED")]})

    def test_access_denied_names_the_scope(self):
        denied = error(
            "ACCESS_DENIED",
            extensions={"requiredAccess": "`read_orders` access scope or `read_all_orders`."},
            path=["orders"],
        )
        with self.assertRaises(ConfigurationError) as caught:
            self.execute({"data": None, "errors": [denied]})
        self.assertIn("read_orders or read_all_orders", caught.exception.message)
        self.assertIsInstance(caught.exception, MissingScopeError)
        self.assertEqual(caught.exception.scopes, [("read_orders", "read_all_orders")])

    def test_protected_data_is_no_missing_scope(self):
        denied = error(
            "ACCESS_DENIED",
            message="This app is not approved to use the email field.",
            path=["orders"],
        )
        with self.assertRaises(ConfigurationError) as caught:
            self.execute({"data": None, "errors": [denied]})
        self.assertNotIsInstance(caught.exception, MissingScopeError)
        self.assertIn("not approved to use the email field", caught.exception.message)

    def test_partial_data_is_kept(self):
        denied = error("ACCESS_DENIED", path=["shop", "email"])
        answer = self.execute({"data": {"shop": {"email": None}}, "errors": [denied]})
        self.assertEqual(denied_leaves(answer), [("shop", "email")])

    def test_partial_data_missing_for_another_reason(self):
        broken = error("UNKNOWN", path=["shop", "email"])
        answer = self.execute({"data": {"shop": {"email": None}}, "errors": [broken]})
        with self.assertRaises(RequestRefused):
            denied_leaves(answer)

    def test_refused_documents_and_variables(self):
        for code in (
            "INVALID_VARIABLE",
            "undefinedField",
            "BAD_REQUEST",
            "INVALID_FIELD_ARGUMENTS",
        ):
            with self.subTest(code), self.assertRaises(RequestRefused) as caught:
                self.execute({"errors": [error(code, "Field 'x' is unknown", path=["query", "x"])]})
            self.assertIn(code, caught.exception.detail)

    def test_internal_error_is_tried_again(self):
        with self.assertRaises(RetryableError):
            self.execute({"errors": [error("INTERNAL_SERVER_ERROR")]})

    def test_answers_that_are_none(self):
        for body in ([], {}, {"data": None}, {"data": {}}):
            with self.subTest(str(body)), self.assertRaises(RetryableError):
                self.execute(body)

    def test_damaged_answer_is_asked_again(self):
        http = Mock()
        http.post.return_value = Response(200, CaseInsensitiveDict(), b'{"data": {"sh', 5)
        with self.assertRaises(RetryableError):
            GraphqlClient(http).execute("shop")

    def test_refused_token_in_the_body(self):
        with self.assertRaises(AuthError):
            self.execute({"errors": "[API] Invalid API key or access token (unrecognized login)"})

    def test_user_errors_keep_path_and_code(self):
        payload = {
            "userErrors": [
                {"field": ["input", "quantities", "0"], "message": "is bad", "code": "INVALID"},
                {"field": None, "message": "no field"},
            ]
        }
        with self.assertRaises(RequestRefused) as caught:
            refuse_user_errors(payload, "set stock")
        self.assertEqual(
            caught.exception.message,
            "Shopify refused to set stock: input.quantities.0: is bad [INVALID]; no field",
        )
        refuse_user_errors({"userErrors": []}, "set stock")

    def test_document_holds_only_what_it_uses(self):
        self.assertNotIn("fragment", document("shop"))
        self.assertNotIn("ShippingFields", document("order_lines"))
        self.assertIn("money: shopMoney", document("orders", "shop"))
        self.assertNotIn("money: presentmentMoney", document("orders", "shop"))


class TestOauth(BaseCase):
    def test_addresses_people_type(self):
        for typed, address in {
            "demo": "https://demo.myshopify.com",
            " Demo.MyShopify.com/admin ": "https://demo.myshopify.com",
            "https://demo.myshopify.com/": "https://demo.myshopify.com",
            "https://admin.shopify.com/store/demo/orders": "https://demo.myshopify.com",
            "http://127.0.0.1:8090": "http://127.0.0.1:8090",
            "http://localhost:8090/x": "http://localhost:8090",
            "": "",
        }.items():
            self.assertEqual(oauth.shop_address(typed), address)

    def test_shop_domains(self):
        for good in ("demo.myshopify.com", "a-1.myshopify.com"):
            self.assertTrue(oauth.is_shop_domain(good))
        for bad in (
            "",
            "demo.myshopify.com.evil.example",
            "evil.example/demo.myshopify.com",
            "-demo.myshopify.com",
            "demo.myshopify.com\n",
            "de.mo.myshopify.com",
            "myshopify.com",
        ):
            self.assertFalse(oauth.is_shop_domain(bad), bad)

    def test_foreign_hosts_get_no_credentials(self):
        oauth.refuse_foreign_host("https://demo.myshopify.com", sandbox=False)
        oauth.refuse_foreign_host("http://127.0.0.1:8090", sandbox=True)
        with self.assertRaises(ConfigurationError):
            oauth.refuse_foreign_host("https://evil.example", sandbox=False)

    def test_signed_query(self):
        # the example of Shopify's documentation
        parameters = {
            "code": "0907a61c0c8d55e99db179b68161bc00",
            "hmac": "700e2dadb827fcc8609e9d5ce208b2e9cdaab9df07390d2cbca10d7c328fc4bf",
            "shop": "some-shop.myshopify.com",
            "state": "0.6784241404160823",
            "timestamp": "1337178173",
        }
        self.assertTrue(oauth.is_signed_query(parameters, ["hush"]))
        self.assertFalse(oauth.is_signed_query({**parameters, "shop": "x"}, ["hush"]))
        self.assertFalse(oauth.is_signed_query(parameters, ["other"]))
        self.assertFalse(oauth.is_signed_query({}, ["hush"]))
