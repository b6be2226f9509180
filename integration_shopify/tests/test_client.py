import json
from unittest.mock import Mock, patch

from requests.structures import CaseInsensitiveDict

from odoo.tests import BaseCase

from odoo.addons.integration_base.lib.errors import (
    AuthError,
    ConfigurationError,
    ConflictError,
    MissingScopeError,
    NotReadyError,
    RateLimitedError,
    RequestRefused,
    RetryableError,
)
from odoo.addons.integration_base.lib.http import Response
from odoo.addons.integration_base.lib.intents import needs_fresh_key, outcome_of

from ..lib import client as client_module
from ..lib import oauth
from ..lib.client import (
    GraphqlClient,
    Problem,
    QueryTooExpensive,
    UserErrors,
    bucket_state,
    denied_leaves,
    document,
    expected_cost,
    learn_cost,
    refuse_user_errors,
)
from ..lib.versions import API_VERSION

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
        text = "query Things($ids: [ID!]!) { nodes(ids: $ids) { id } }"

        def query(**variables):
            return {"query": text, "variables": variables}

        self.assertEqual(expected_cost(query(ids=["a", "b"], after=None)), 1)
        learn_cost(query(ids=["a", "b"], after=None), COST)
        self.assertEqual(expected_cost(query(ids=["c", "d"], after="x")), 101)
        self.assertEqual(expected_cost(query(ids=["a"])), 1)
        learn_cost(query(ids=["a"]), {})
        self.assertEqual(expected_cost(query(ids=["a"])), 1, "it told nothing")

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


#: Mutations as connectors write them: with a key Shopify honours, and without.
MUTATIONS = {
    "refund": """mutation Refund($input: RefundInput!, $idempotencyKey: String!) {
      refundCreate(input: $input) @idempotent(key: $idempotencyKey) {
        refund { id note }
        userErrors { field message }
      }
    }""",
    "cancel": """mutation Cancel($orderId: ID!) {
      orderCancel(orderId: $orderId) {
        job { id }
        orderCancelUserErrors { field message code }
        userErrors { field message }
      }
    }""",
}


class TestMutate(BaseCase):
    def setUp(self):
        super().setUp()
        self.startPatcher(
            patch.object(client_module, "document", lambda name, money="": MUTATIONS[name])
        )

    def mutate(self, body, name="refund", idempotency_key="key-1", **options):
        self.http = Mock()
        if isinstance(body, Exception):
            self.http.post.side_effect = body
        else:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.http.post.return_value = Response(200, CaseInsensitiveDict(), content, 5)
        return GraphqlClient(self.http).mutate(
            name, {"input": {"x": 1}}, idempotency_key=idempotency_key, **options
        )

    def sent(self):
        return self.http.post.call_args.kwargs["json"]["variables"]

    def raised(self, error_type, body, **options):
        with self.assertRaises(error_type) as caught:
            self.mutate(body, **options)
        return caught.exception

    def test_payload_is_returned_and_the_key_sent_where_it_is_declared(self):
        payload = self.mutate({"data": {"refundCreate": {"refund": {"id": "1"}, "userErrors": []}}})
        self.assertEqual(payload["refund"], {"id": "1"})
        self.assertEqual(payload.errors, [])
        self.assertEqual(self.sent(), {"input": {"x": 1}, "idempotencyKey": "key-1"})
        self.mutate({"data": {"orderCancel": {"job": {"id": "1"}}}}, name="cancel")
        self.assertEqual(self.sent(), {"input": {"x": 1}})

    def test_a_mutation_that_takes_a_key_is_not_sent_without_one(self):
        self.raised(ValueError, {}, idempotency_key=None)
        self.http.post.assert_not_called()

    def test_user_errors_are_structured(self):
        for shape in (
            {"orderCancelUserErrors": [{"field": ["orderId"], "message": "No", "code": "INVALID"}]},
            {
                # the same once more, under the name it had before it got codes
                "userErrors": [{"field": ["orderId"], "message": "No"}],
                "orderCancelUserErrors": [
                    {"field": ["orderId"], "message": "No", "code": "INVALID"}
                ],
            },
        ):
            error = self.raised(
                UserErrors,
                {"data": {"orderCancel": {"job": None, **shape}}},
                name="cancel",
                action="cancel #1001",
            )
            self.assertEqual(error.problems, [Problem("orderId", "INVALID", "No")])
            self.assertEqual(error.codes, {"INVALID"})
            self.assertTrue(error.only("INVALID", "NOT_FOUND"))
            self.assertFalse(error.only("NOT_FOUND"))
            self.assertEqual(
                error.message, "Shopify refused to cancel #1001: orderId: No [INVALID]"
            )
            self.assertIn("job", error.payload)
            self.assertEqual(outcome_of(error), "refused")

    def test_a_leaf_that_is_denied_does_not_undo_the_mutation(self):
        for code in ("ACCESS_DENIED", "INTERNAL_SERVER_ERROR", "THROTTLED"):
            leaf = error(code, path=["refundCreate", "refund", "note"])
            payload = self.mutate(
                {
                    "data": {"refundCreate": {"refund": {"id": "1", "note": None}}},
                    "errors": [leaf],
                }
            )
            self.assertEqual(payload["refund"]["id"], "1")
            self.assertEqual(payload.errors, [leaf])

    def test_a_mutation_that_is_denied_was_not_carried_out(self):
        denied = error(
            "ACCESS_DENIED",
            path=["refundCreate"],
            extensions={"requiredAccess": "`write_orders` access scope."},
        )
        found = self.raised(MissingScopeError, {"data": {"refundCreate": None}, "errors": [denied]})
        self.assertEqual(outcome_of(found), "refused")

    def test_throttled_and_too_expensive_were_not_carried_out(self):
        for code, error_type, outcome in (
            ("THROTTLED", RateLimitedError, "not_sent"),
            ("MAX_COST_EXCEEDED", QueryTooExpensive, "refused"),
        ):
            for data in (None, {"refundCreate": None}, {"refundCreate": {}}):
                found = self.raised(error_type, {"data": data, "errors": [error(code)]})
                self.assertEqual(outcome_of(found), outcome)

    def test_what_is_not_known_stays_unknown(self):
        leaf = error("ACCESS_DENIED", path=["refundCreate", "refund", "id"])
        for body in (
            RetryableError("time-out"),
            b'{"data": {"refundCr',
            b"<html>502</html>",
            {},
            {"data": None},
            {"data": {"refundCreate": None}},
            {"errors": [error("INTERNAL_SERVER_ERROR")]},
            # codes nobody knows, or none
            {"data": {"refundCreate": None}, "errors": [error("SERVICE_UNAVAILABLE")]},
            {"data": {"refundCreate": None}, "errors": [{"message": "Something went wrong"}]},
            {"errors": [error("THROTTLED"), error("SOMETHING_NEW")]},
            {"data": {"refundCreate": None}, "errors": [error("TIMEOUT", path=["refundCreate"])]},
            # the payload itself fell victim to a leaf that must not be null
            {"data": {"refundCreate": None}, "errors": [leaf]},
        ):
            with self.subTest(str(body)):
                self.assertEqual(outcome_of(self.raised(RetryableError, body)), "unknown")

    def test_what_shopify_did_not_even_run_is_refused(self):
        for code in (
            "undefinedField",
            "argumentLiteralsIncompatible",
            "missingRequiredArguments",
            "variableMismatch",
            "INVALID_VARIABLE",
            "BAD_REQUEST",
            "RESOURCE_NOT_FOUND",
        ):
            found = self.raised(RequestRefused, {"errors": [error(code)]})
            self.assertEqual(outcome_of(found), "refused")

    def test_a_request_that_never_left_may_be_sent_again(self):
        found = self.raised(RetryableError, RetryableError("no network", outcome="not_sent"))
        self.assertEqual(outcome_of(found), "not_sent")

    def test_idempotency_codes_say_what_to_do_in_every_layer(self):
        for code, text, error_type, outcome in (
            (
                "IDEMPOTENCY_CONCURRENT_REQUEST",
                "This request is currently in progress, please try again.",
                NotReadyError,
                "unknown",
            ),
            (
                "IDEMPOTENCY_KEY_PARAMETER_MISMATCH",
                "The same idempotency key cannot be used with different operation parameters.",
                ConflictError,
                "unknown",
            ),
            (
                "IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED",
                "A previous request with this idempotency key failed. "
                "Retry with a new idempotency key.",
                RetryableError,
                "refused",
            ),
        ):
            for body in (
                {"data": {"refundCreate": {"userErrors": [{"message": "No", "code": code}]}}},
                # refundCreate's userErrors have no code
                {"data": {"refundCreate": {"userErrors": [{"field": None, "message": text}]}}},
                {"data": {"refundCreate": None}, "errors": [error(code, path=["refundCreate"])]},
                {"errors": [error(code)]},
            ):
                with self.subTest(code, body=body):
                    self.assertEqual(outcome_of(self.raised(error_type, body)), outcome)
        self.assertTrue(needs_fresh_key("refused", repeated=False))

    def test_texts_about_keys_mean_nothing_where_none_was_sent(self):
        problem = {"field": None, "message": "Another edit is currently in progress"}
        self.raised(UserErrors, {"data": {"orderCancel": {"userErrors": [problem]}}}, name="cancel")


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
