from odoo.tests import BaseCase

from ..lib import scopes, webhook
from .common import ShopifyCase
from .test_documents import VARIABLES


class TestScopes(BaseCase):
    def test_every_document_was_computed(self):
        for name in VARIABLES:
            scopes.of_documents([name])
        with self.assertRaises(KeyError):
            scopes.of_documents(["no such document"])

    def test_of_documents(self):
        self.assertEqual(
            scopes.of_documents(["order_lines", "shop"]), ["read_orders", "read_products"]
        )
        self.assertEqual(scopes.of_documents(["webhook_subscription_create"]), [])

    def test_one_of_several_is_the_one_that_is_granted(self):
        wanted = scopes.of_documents(["fulfillment_order_owners"])
        self.assertEqual(wanted, ["read_merchant_managed_fulfillment_orders"])
        granted = ["write_third_party_fulfillment_orders"]
        self.assertEqual(
            scopes.of_documents(["fulfillment_order_owners"], granted),
            ["read_third_party_fulfillment_orders"],
        )

    def test_topics(self):
        self.assertTrue(scopes.allows_topic("ORDERS_CREATE", ["read_orders"]))
        self.assertTrue(scopes.allows_topic("ORDERS_CREATE", ["write_orders"]))
        self.assertFalse(scopes.allows_topic("RETURNS_REQUEST", ["read_orders"]))
        self.assertTrue(scopes.allows_topic("RETURNS_CLOSE", ["read_orders"]))
        self.assertTrue(scopes.allows_topic("APP_UNINSTALLED", []))


class TestConnectionScopes(ShopifyCase):
    def topics(self, granted):
        self.backend.granted_scopes = granted
        return self.backend._connector()._webhook_topics(self.backend)

    def test_only_topics_that_are_allowed_are_subscribed_to(self):
        few = self.topics(["read_orders"])
        self.assertIn("refunds/create", few)
        self.assertIn("returns/close", few)
        self.assertNotIn("returns/request", few)
        self.assertEqual(self.topics(None), few, "before the first connection nothing is known")
        more = self.topics(["read_orders", "read_returns", "read_fulfillments"])
        self.assertIn("returns/request", more)
        self.assertIn("fulfillments/create", more)
        self.assertEqual(
            self.topics(
                [
                    "write_orders",
                    "read_returns",
                    "read_fulfillments",
                    "write_merchant_managed_fulfillment_orders",
                ]
            ),
            [*webhook.ORDER_TOPICS, "bulk_operations/finish", "shop/update"],
        )

    def test_each_scope_says_what_it_is_for(self):
        needed = self.backend._connector()._connector_scopes(self.backend)
        self.assertEqual(
            [(scope.name, scope.optional) for scope in needed],
            [
                ("read_orders", False),
                ("read_returns", True),
                ("read_fulfillments", True),
                ("read_merchant_managed_fulfillment_orders", True),
                # what the shop is set up with
                ("read_locations", True),
                ("read_markets", True),
                ("read_products", True),
                ("read_locales", True),
                ("read_publications", True),
            ],
        )
        self.assertEqual(len({scope.reason for scope in needed[:4]}), 4)

    def test_scopes_of_a_resource_come_from_its_documents(self):
        resource = self.env["integration.shopify.access"]
        reasons = {
            "read_orders": "read orders",
            "read_products": "find products",
            "read_all_orders": "read old orders",
        }
        self.patch(type(resource), "_shopify_scope_reasons", lambda _self, _backend: reasons)
        self.patch(type(resource), "_shopify_optional_scopes", frozenset({"read_products"}))
        found = resource._shopify_scopes(self.backend, ("order_lines", "shop"))
        self.assertEqual(
            [(scope.name, scope.reason, scope.optional) for scope in found],
            [
                ("read_orders", "read orders", False),
                ("read_products", "find products", True),
                ("read_all_orders", "read old orders", True),
            ],
        )

    def test_every_scope_a_resource_needs_says_what_for(self):
        connector = self.backend._connector()
        unsaid = self.env["integration.shopify.access"]._shopify_scopes(
            self.backend, ("order_lines",)
        )
        for code in connector._resource_codes():
            resource = self.backend._resource(code)
            for name in scopes.of_documents(getattr(resource, "_shopify_documents", ())):
                reasons = resource._shopify_scope_reasons(self.backend)
                self.assertIn(name, reasons, f"{code}: say what {name} is needed for")
                self.assertNotEqual(reasons[name], unsaid[0].reason)
