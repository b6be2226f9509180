from pathlib import Path

from odoo.tests import BaseCase

from ..lib.client import document
from ..lib.versions import ACCEPTED
from .contract import VERSIONS, judge, refusals, schema
from .documents_customer import VARIABLES as OF_CUSTOMERS
from .product_documents import VARIABLES as PRODUCTS

GID = "gid://shopify/Order/1"
PRODUCT = "gid://shopify/Product/1"
PAGE = {"first": 250, "after": "abc"}
SUBSCRIPTION = {
    "uri": "https://odoo.example.com/integration/webhook/token",
    "format": "JSON",
    "includeFields": ["id"],
}
REFUND_LINES = [
    {
        "lineItemId": "gid://shopify/LineItem/1",
        "quantity": 1,
        "restockType": "RETURN",
        "locationId": "gid://shopify/Location/1",
    },
    {"lineItemId": "gid://shopify/LineItem/1", "quantity": 1, "restockType": "NO_RESTOCK"},
]
PRICE_LIST = "gid://shopify/PriceList/1"
REFUND_DUTIES = [{"dutyId": "gid://shopify/Duty/1", "refundType": "PROPORTIONAL"}]
TRACKING = {
    "company": "UPS",
    "numbers": ["1Z1", "1Z2"],
    "urls": ["https://example.com/1Z1", "https://example.com/1Z2"],
}
#: Run by bulk operations, which read connections to their end.
READ_IN_BULK = {"bulk_products", "bulk_products_metafields"}
#: Each document with the variables we send it, complete and as bare as they can be.
VARIABLES = {
    "bulk_products": [{}],
    "bulk_products_metafields": [{}],
    "bulk_query_run": [{"query": "{ products { edges { node { id } } } }"}],
    "bulk_mutation_run": [
        {"mutation": "mutation A { x }", "stagedUploadPath": "tmp/1", "clientIdentifier": "odoo-1"}
    ],
    "bulk_operation": [{"id": "gid://shopify/BulkOperation/1"}],
    "bulk_operations": [{**PAGE, "query": "operation_type:query"}, {"first": 50}],
    "bulk_cancel": [{"id": "gid://shopify/BulkOperation/1"}],
    "bulk_upload": [
        {
            "input": [
                {
                    "resource": "BULK_MUTATION_VARIABLES",
                    "filename": "0123.jsonl",
                    "mimeType": "text/jsonl",
                    "httpMethod": "POST",
                    "fileSize": "100",
                }
            ]
        }
    ],
    **PRODUCTS,
    "orders": [
        {
            "ids": [GID],
            "lines": 20,
            "shippingLines": 2,
            "transactions": 10,
            "agreements": 5,
            "sales": 20,
        }
    ],
    "order_agreements": [{"id": GID, **PAGE, "sales": 250, "salesAfter": "abc"}],
    "order_refunds": [
        {"id": GID, "refunds": 25, "lines": 20, "returns": 25},
        {"id": GID, "refunds": 1, "lines": 1, "returns": 250, "returnsAfter": "abc"},
    ],
    "refund_shipping_lines": [{"id": "gid://shopify/Refund/1", **PAGE}],
    "refund_adjustments": [{"id": "gid://shopify/Refund/1", **PAGE}],
    "order_refundable": [{"id": GID, **PAGE}, {"id": GID, "first": 250, "after": None}],
    "order_suggested_refund": [
        {"id": GID, "lines": REFUND_LINES, "shipping": "5.00", "duties": REFUND_DUTIES},
        {"id": GID, "lines": [], "shipping": None, "duties": []},
    ],
    "order_refund_notes": [{"id": GID}],
    "refund_create": [
        {
            "input": {
                "orderId": GID,
                "currency": "USD",
                "notify": True,
                "note": "damaged [Odoo 0123456789ab]",
                "refundLineItems": REFUND_LINES,
                "transactions": [
                    {
                        "orderId": GID,
                        "parentId": "gid://shopify/OrderTransaction/1",
                        "gateway": "bogus",
                        "kind": "REFUND",
                        "amount": "10.00",
                    }
                ],
                "shipping": {"amount": "5.00"},
                "refundDuties": REFUND_DUTIES,
            },
            "idempotencyKey": "0123",
        }
    ],
    "order_cancel_state": [{"id": GID}],
    "order_cancel": [
        {
            "orderId": GID,
            "reason": "CUSTOMER",
            "restock": True,
            "refundMethod": {"originalPaymentMethodsRefund": False},
            "notifyCustomer": False,
            "staffNote": None,
        }
    ],
    "order_transactions": [{"id": GID, "transactions": 250}],
    "order_capture": [
        {
            "input": {
                "id": GID,
                "parentTransactionId": "gid://shopify/OrderTransaction/1",
                "amount": "12.50",
                "currency": "EUR",
            }
        }
    ],
    "transaction_void": [{"parentTransactionId": "gid://shopify/OrderTransaction/1"}],
    "order_mark_as_paid": [{"input": {"id": GID}}],
    "refund_lines": [{"id": "gid://shopify/Refund/1", **PAGE}],
    "order_fulfillments": [
        {"id": GID, "fulfillments": 25, "fulfillmentOrders": 25, "lines": 20},
        {"id": GID, "fulfillments": 1, "fulfillmentOrders": 25, "lines": 20, "after": "abc"},
    ],
    "fulfillment_lines": [{"id": "gid://shopify/Fulfillment/1", **PAGE}],
    "fulfillment_order_lines": [{"id": "gid://shopify/FulfillmentOrder/1", **PAGE}],
    "fulfillment_create": [
        {
            "fulfillment": {
                "lineItemsByFulfillmentOrder": [
                    {
                        "fulfillmentOrderId": "gid://shopify/FulfillmentOrder/1",
                        "fulfillmentOrderLineItems": [
                            {"id": "gid://shopify/FulfillmentOrderLineItem/1", "quantity": 2}
                        ],
                    }
                ],
                "notifyCustomer": True,
                "trackingInfo": TRACKING,
            }
        },
        {
            "fulfillment": {
                "lineItemsByFulfillmentOrder": [
                    {
                        "fulfillmentOrderId": "gid://shopify/FulfillmentOrder/1",
                        "fulfillmentOrderLineItems": [
                            {"id": "gid://shopify/FulfillmentOrderLineItem/1", "quantity": 2}
                        ],
                    }
                ],
                "notifyCustomer": False,
            }
        },
    ],
    "fulfillment_cancel": [{"id": "gid://shopify/Fulfillment/1"}],
    "fulfillment_tracking_update": [
        {"id": "gid://shopify/Fulfillment/1", "tracking": TRACKING, "notify": True},
        {"id": "gid://shopify/Fulfillment/1", "tracking": {"numbers": ["1"]}, "notify": False},
    ],
    "fulfillment_order_move": [
        {
            "id": "gid://shopify/FulfillmentOrder/1",
            "location": "gid://shopify/Location/1",
            "lines": [{"id": "gid://shopify/FulfillmentOrderLineItem/1", "quantity": 2}],
        }
    ],
    "order_lines": [{"id": GID, **PAGE}, {"id": GID, "first": 250}],
    "order_shipping_lines": [{"id": GID, **PAGE}],
    "order_versions": [{"ids": [GID]}],
    "order_changes": [
        {**PAGE, "query": "updated_at:>='2026-11-20T10:00:00Z'"},
        {"first": 250, "after": None, "query": None},
    ],
    "fulfillment_order_owners": [{"ids": ["gid://shopify/FulfillmentOrder/1"]}],
    "order_period": [
        {"first": 250, "after": None, "query": "status:any"},
        {**PAGE, "query": "status:any processed_at:>='2026-01-01T00:00:00Z'"},
    ],
    "order_count": [{"query": "status:any processed_at:<'2026-01-01T00:00:00Z'"}],
    "inventory_levels": [{"ids": ["gid://shopify/InventoryItem/1"], "first": 10}],
    "inventory_item_levels": [{"id": "gid://shopify/InventoryItem/1", **PAGE}],
    "inventory_set": [
        {
            "input": {
                "name": "available",
                "reason": "correction",
                "referenceDocumentUri": "https://odoo.example.com/odoo/stock.picking/1",
                "quantities": [
                    {
                        "inventoryItemId": "gid://shopify/InventoryItem/1",
                        "locationId": "gid://shopify/Location/1",
                        "quantity": 5,
                        "changeFromQuantity": former,
                    }
                    for former in (3, None)
                ],
            },
            "idempotencyKey": "0123",
        }
    ],
    "inventory_activate": [
        {
            "item": "gid://shopify/InventoryItem/1",
            "location": "gid://shopify/Location/1",
            "idempotencyKey": "0123",
        }
    ],
    "inventory_level_nodes": [{"ids": ["gid://shopify/InventoryLevel/1?inventory_item_id=2"]}],
    "inventory_location_levels": [
        {"location": "gid://shopify/Location/1", **PAGE, "query": None},
        {
            "location": "gid://shopify/Location/1",
            "first": 100,
            "after": None,
            "query": "updated_at:>='2026-11-20T10:00:00Z'",
        },
    ],
    "locations": [{"first": 100, "after": None}],
    "shop_settings": [{"first": 100, "after": "abc"}],
    "shop_locales": [{}],
    "markets": [{"first": 20, "after": "abc", "catalogs": 10}],
    "market_catalogs": [{"id": "gid://shopify/Market/1", "first": 100, "after": None}],
    "price_lists": [{"first": 100, "after": None}],
    "price_list_prices": [
        {
            "id": PRICE_LIST,
            "first": 200,
            "after": "abc",
            "query": "variant_id:1 OR variant_id:2",
        },
        {"id": PRICE_LIST, "first": 200, "after": None, "query": "variant_id:1"},
    ],
    "price_list_prices_add": [
        {
            "id": PRICE_LIST,
            "prices": [
                {
                    "variantId": "gid://shopify/ProductVariant/1",
                    "price": {"amount": "12.50", "currencyCode": "EUR"},
                    "compareAtPrice": {"amount": "15.00", "currencyCode": "EUR"},
                },
                {
                    "variantId": "gid://shopify/ProductVariant/2",
                    "price": {"amount": "1500", "currencyCode": "JPY"},
                    "compareAtPrice": None,
                },
            ],
        }
    ],
    "price_list_prices_delete": [
        {"id": PRICE_LIST, "variants": ["gid://shopify/ProductVariant/1"]}
    ],
    "publications": [{"first": 100, "after": None}],
    "collections": [{"first": 100, "after": None}],
    "product_types": [{"first": 100, "after": "abc"}],
    "access_scopes": [{}],
    "shop": [{}],
    "webhook_subscriptions": [
        {"first": 100, "after": None, "topics": ["ORDERS_CREATE", "ORDERS_UPDATED"]}
    ],
    "webhook_subscription_create": [
        {"topic": "ORDERS_CREATE", "webhookSubscription": SUBSCRIPTION},
        {"topic": "ORDERS_EDITED", "webhookSubscription": {"uri": "https://a.example.com"}},
    ],
    "webhook_subscription_delete": [{"id": "gid://shopify/WebhookSubscription/1"}],
    **OF_CUSTOMERS,
    "products": [
        {
            "ids": [PRODUCT],
            "variants": 25,
            "metafields": 2,
            "keys": ["custom.care", "facts.rating"],
            "withMetafields": True,
        },
        {
            "ids": [PRODUCT],
            "variants": 25,
            "metafields": 1,
            "keys": [],
            "withMetafields": False,
        },
    ],
    "product_variants": [{"id": PRODUCT, **PAGE}],
    "product_changes": [
        {**PAGE, "query": "updated_at:>='2026-11-20T10:00:00Z'"},
        {"first": 250, "after": None, "query": None},
    ],
    "product_count": [{}],
    "product_versions": [{"ids": [PRODUCT]}],
    "product_pictures": [{"ids": [PRODUCT], "variants": 25}],
    "product_variant_pictures": [{"id": PRODUCT, **PAGE}],
    "variant_products": [{"ids": ["gid://shopify/ProductVariant/1"]}],
}


class TestDocuments(BaseCase):
    def test_every_document_has_variables_here(self):
        folder = Path(__file__).parent.parent / "graphql"
        fragments = {
            "company_fields",
            "order_fields",
            "product_fields",
            "money_presentment",
            "money_shop",
        }
        self.assertEqual(
            {path.stem for path in folder.glob("*.graphql")} - fragments, set(VARIABLES)
        )

    def test_documents_and_variables_fit_the_schemas(self):
        for name, variable_sets in VARIABLES.items():
            for money in ("presentment", "shop"):
                for variables in variable_sets:
                    with self.subTest(document=name, money=money):
                        self.assertEqual(refusals(document(name, money), variables), [])

    def test_each_document_is_one_operation_with_one_mutation_at_most(self):
        from graphql import OperationType, parse

        for name in VARIABLES:
            operation, *others = parse(document(name)).definitions
            self.assertTrue(all(node.kind == "fragment_definition" for node in others), name)
            if operation.operation == OperationType.MUTATION:
                # the client returns the payload of the first
                self.assertEqual(len(operation.selection_set.selections), 1, name)

    def test_what_shopify_refuses_is_noticed(self):
        schema(VERSIONS[-1])
        shop = "query Shop($x: Int!) { shop { name } x: orders(first: $x) { nodes { id } } }"
        judge(shop, {"x": 1})
        for query, variables in (
            (shop, {"x": "many"}),
            (shop, {}),
            (shop, {"x": 1, "y": 2}),
            ("query Shop { shop { nme } }", {}),
        ):
            with self.assertRaisesRegex(AssertionError, VERSIONS[0]):
                judge(query, variables)

    def test_connections_can_be_read_to_their_end(self):
        from graphql import TypeInfo, TypeInfoVisitor, Visitor, get_named_type, parse, visit

        known, found = schema(VERSIONS[-1]), set()
        for name in VARIABLES.keys() - READ_IN_BULK:
            info = TypeInfo(known)

            class Connections(Visitor):
                def enter_field(self, node, *_args, document=name, info=info):
                    if not get_named_type(info.get_type()).name.endswith("Connection"):
                        return
                    asked = {
                        part.name.value: part
                        for part in node.selection_set.selections
                        if hasattr(part, "name")
                    }
                    if "pageInfo" not in asked:
                        owner = f"{info.get_parent_type().name}.{node.name.value}"
                        found.add(f"{document}: {owner}")

            visit(parse(document(name)), TypeInfoVisitor(info, Connections()))
        self.assertFalse(found, "only the beginning of these would be read")

    def test_nothing_deprecated_is_asked_for(self):
        from graphql import NoDeprecatedCustomRule, parse, validate

        known, used = schema(VERSIONS[-1]), set()
        for name in VARIABLES:
            for error in validate(known, parse(document(name)), [NoDeprecatedCustomRule]):
                used.add(error.message.removeprefix("The field ").split(" ")[0])
        self.assertEqual(used, ACCEPTED)

    def test_documents_stay_small(self):
        for name in VARIABLES:
            self.assertLess(len(document(name).encode()), 10000)
