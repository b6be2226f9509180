"""A shop that answers from fixtures, and helpers to write them in a few words."""

import copy
import json
import re
from pathlib import Path
from unittest.mock import patch

from cryptography.fernet import Fernet

from odoo.tests import TransactionCase

from odoo.addons.integration_base.lib.records import Change
from odoo.addons.integration_base.models import integration_credential

from ..lib.client import Answer, GraphqlClient, document
from .contract import judge

#: Parts of an order that documents of their own read.
HISTORY = ("refunds", "returns", "fulfillments", "fulfillmentOrders")
#: Those of them that come in pages.
CONNECTIONS = {"returns", "fulfillmentOrders"}
FIXTURES = Path(__file__).parent / "fixtures"


def fixture(name):
    """Return the order of ``fixtures/<name>.json`` as the API returns it."""
    return json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))


def money(amount):
    """Return a pair of amounts as our documents ask for it."""
    return {"money": {"amount": str(amount)}}


def tax(title, rate, amount, **extra):
    """Return a tax line."""
    return {
        "title": title,
        "rate": rate,
        "channelLiable": False,
        "priceSet": money(amount),
        **extra,
    }


def line(number, price, quantity=1, *, discounts=(), taxes=(), sku="SKU-1", **extra):
    """Return a line item; ``discounts`` are amounts, ``taxes`` are results of :func:`tax`."""
    return {
        "id": f"gid://shopify/LineItem/{number}",
        "name": f"Line {number}",
        "sku": sku,
        "quantity": quantity,
        "currentQuantity": quantity,
        "isGiftCard": False,
        "taxable": True,
        "requiresShipping": True,
        "originalUnitPriceSet": money(price),
        "discountAllocations": [{"allocatedAmountSet": money(d)} for d in discounts],
        "taxLines": list(taxes),
        "variant": {"id": f"gid://shopify/ProductVariant/{number}", "barcode": None},
        **extra,
    }


def shipping(number, price, *, discounted=None, current=None, taxes=(), title="Standard", **extra):
    """Return a shipping line."""
    discounted = price if discounted is None else discounted
    return {
        "id": f"gid://shopify/ShippingLine/{number}",
        "title": title,
        "code": title,
        "originalPriceSet": money(price),
        "discountedPriceSet": money(discounted),
        "currentDiscountedPriceSet": money(discounted if current is None else current),
        "taxLines": list(taxes),
        **extra,
    }


def address(**values):
    """Return a mailing address of Anna Muster in Berlin, or what ``values`` say."""
    return {
        "firstName": "Anna",
        "lastName": "Muster",
        "name": "Anna Muster",
        "company": None,
        "address1": "Hauptstr. 5",
        "address2": None,
        "city": "Berlin",
        "zip": "10115",
        "phone": None,
        "countryCodeV2": "DE",
        "provinceCode": None,
        "province": None,
        **values,
    }


def order(number, lines, total, tax_total="0.0", *, shipping_lines=(), **extra):
    """Return an order as the API returns it."""
    return {
        "id": f"gid://shopify/Order/{number}",
        "name": f"#{number}",
        "processedAt": "2026-11-20T09:59:59Z",
        "updatedAt": "2026-11-20T10:00:01Z",
        "cancelledAt": None,
        "cancelReason": None,
        "test": False,
        "email": "anna@example.com",
        "phone": None,
        "note": None,
        "tags": [],
        "currencyCode": "USD",
        "presentmentCurrencyCode": "USD",
        "taxesIncluded": False,
        "displayFinancialStatus": "PAID",
        "paymentGatewayNames": [],
        "discountCodes": [],
        "retailLocation": None,
        "currentTotalPriceSet": money(total),
        "currentTotalTaxSet": money(tax_total),
        "currentTotalDutiesSet": None,
        "currentTotalAdditionalFeesSet": None,
        "totalTipReceivedSet": money("0.0"),
        "customer": {
            "id": "gid://shopify/Customer/1",
            "firstName": "Anna",
            "lastName": "Muster",
            "defaultEmailAddress": {"emailAddress": "anna@example.com"},
        },
        "billingAddress": address(),
        "shippingAddress": address(),
        "shippingLines": {
            "nodes": list(shipping_lines),
            "pageInfo": {"hasNextPage": False, "endCursor": None},
        },
        "lineItems": {
            "nodes": list(lines),
            "pageInfo": {"hasNextPage": False, "endCursor": None},
        },
        **extra,
    }


def sale(number, kind, amount, *, quantity=1, action="ORDER", taxes=(), line=None, ship=None):
    """Return a sale of the ledger.

    :param amount: with tax.
    :param taxes: results of :func:`tax`.
    :param line: number of the line item; ``ship`` of the shipping line.
    """
    return {
        "id": f"gid://shopify/Sale/{number}",
        "actionType": action,
        "lineType": kind,
        "quantity": quantity,
        "totalAmount": money(amount),
        "taxes": [
            {
                "amount": row["priceSet"],
                "taxLine": {name: row[name] for name in ("title", "rate", "channelLiable")},
            }
            for row in taxes
        ],
        **({"lineItem": {"id": f"gid://shopify/LineItem/{line}"}} if line else {}),
        **({"shippingLine": {"id": f"gid://shopify/ShippingLine/{ship}"}} if ship else {}),
    }


def agreement(number, sales, reason="ORDER", at="2026-11-20T09:59:59Z", **extra):
    """Return an agreement of the ledger; ``extra`` may name its ``refund`` or ``return``."""
    return {
        "id": f"gid://shopify/SalesAgreement/{number}",
        "reason": reason,
        "happenedAt": at,
        **extra,
        "sales": {"nodes": list(sales), "pageInfo": {"hasNextPage": False, "endCursor": None}},
    }


def connection(*rows):
    """Return a connection that holds all of its rows."""
    return {"nodes": list(rows), "pageInfo": {"hasNextPage": False, "endCursor": None}}


def agreements(*rows):
    """Return the ledger of an order."""
    return connection(*rows)


def transaction(number, kind, amount, *, at="2026-11-20T09:59:59Z", currency="USD", **extra):
    """Return a successful transaction, the same on both sides unless ``extra`` says otherwise."""
    side = {"amount": str(amount), "currencyCode": currency}
    return {
        "id": f"gid://shopify/OrderTransaction/{number}",
        "kind": kind,
        "status": "SUCCESS",
        "gateway": "manual",
        "formattedGateway": "Manual",
        "paymentId": f"#{number}",
        "test": False,
        "processedAt": at,
        "createdAt": at,
        "authorizationExpiresAt": None,
        "parentTransaction": None,
        "amountSet": {"shopMoney": side, "presentmentMoney": side},
        **extra,
    }


def refund(number, total, *, lines=(), ships=(), adjustments=(), at, **extra):
    """Return a refund.

    :param lines: triples (line number, quantity, restock type).
    :param ships: pairs (shipping line number, amount).
    :param adjustments: pairs (amount, reason).
    """
    return {
        "id": f"gid://shopify/Refund/{number}",
        "createdAt": at,
        "note": None,
        "return": None,
        "totalRefundedSet": money(total),
        "refundLineItems": {
            "nodes": [
                {
                    "id": f"gid://shopify/RefundLineItem/{number}{position}",
                    "quantity": quantity,
                    "restockType": restock,
                    "restocked": restock != "NO_RESTOCK",
                    "lineItem": {"id": f"gid://shopify/LineItem/{line}"},
                    "location": None,
                    "subtotalSet": money("0.0"),
                    "totalTaxSet": money("0.0"),
                }
                for position, (line, quantity, restock) in enumerate(lines)
            ],
            "pageInfo": {"hasNextPage": False, "endCursor": None},
        },
        "refundShippingLines": {
            "nodes": [
                {
                    "shippingLine": {"id": f"gid://shopify/ShippingLine/{line}"},
                    "subtotalAmountSet": money(amount),
                    "taxAmountSet": money("0.0"),
                }
                for line, amount in ships
            ]
        },
        "orderAdjustments": {
            "nodes": [
                {
                    "id": f"gid://shopify/OrderAdjustment/{number}{position}",
                    "reason": reason,
                    "amountSet": money(amount),
                    "taxAmountSet": money("0.0"),
                }
                for position, (amount, reason) in enumerate(adjustments)
            ]
        },
        "transactions": {"nodes": []},
        **extra,
    }


class FakeShop:
    """Answers documents from the orders it holds, and counts the calls."""

    def __init__(self):
        self.orders = {}
        self.calls = []
        self.errors = []
        #: top-level errors beside the data, by document
        self.partial = {}
        self.precision = "EXACT"
        #: orders by their fulfillment orders
        self.owners = {}

    def put(self, *orders):
        for payload in orders:
            self.orders[payload["id"]] = payload

    def execute(self, name, variables=None, *, money="presentment"):
        judge(document(name, money), variables)
        self.calls.append((name, variables))
        if self.errors:
            error = self.errors.pop(0)
            if error:
                raise error
        return Answer(data=getattr(self, f"_{name}")(variables), errors=self.partial.get(name, []))

    def _orders(self, variables):
        answer = []
        for gid in variables["ids"]:
            payload = copy.deepcopy(self.orders.get(gid))
            if payload:
                payload["shipments"] = [
                    {"id": row["id"]} for row in payload.get("fulfillments", ())[:1]
                ]
                for name in HISTORY:
                    payload.pop(name, None)
                self._cut(payload["lineItems"], 0, variables["lines"])
                self._cut(payload["shippingLines"], 0, variables["shippingLines"])
                if "transactions" in payload:
                    del payload["transactions"][variables["transactions"] :]
            answer.append(payload)
        return {"nodes": answer}

    def _order_lines(self, variables):
        payload = copy.deepcopy(self.orders[variables["id"]])
        self._cut(payload["lineItems"], int(variables["after"]), variables["first"])
        return {"order": payload}

    def _order_transactions(self, variables):
        return self._history(variables, "transactions")

    def _order_refunds(self, variables):
        return self._history(variables, "refunds", "returns")

    def _order_fulfillments(self, variables):
        return self._history(variables, "fulfillments", "fulfillmentOrders")

    def _history(self, variables, *names):
        payload = self.orders[variables["id"]]
        found = {name: copy.deepcopy(payload.get(name, [])) for name in names}
        for name in CONNECTIONS.intersection(names):
            if isinstance(found[name], list):
                found[name] = connection(*found[name])
        return {"order": {"id": payload["id"], "updatedAt": payload["updatedAt"], **found}}

    def _placed(self, query):
        since, until = (
            next(iter(re.findall(rf"processed_at:{sign}'([^']*)'", query)), default)
            for sign, default in ((">=", ""), ("<", "9"))
        )
        rows = sorted(self.orders.values(), key=lambda row: row["processedAt"])
        return [row for row in rows if since <= row["processedAt"] < until]

    def _order_period(self, variables):
        start = int(variables["after"] or 0)
        rows = self._placed(variables["query"])
        page = rows[start : start + variables["first"]]
        end = start + len(page)
        return {
            "orders": {
                "nodes": [{key: row[key] for key in ("id", "name", "updatedAt")} for row in page],
                "pageInfo": {"hasNextPage": end < len(rows), "endCursor": str(end)},
            }
        }

    def _order_count(self, variables):
        count = len(self._placed(variables["query"]))
        return {"ordersCount": {"count": count, "precision": self.precision}}

    def _fulfillment_order_owners(self, variables):
        return {
            "nodes": [
                {"id": gid, "orderId": self.owners[gid]} if gid in self.owners else None
                for gid in variables["ids"]
            ]
        }

    def _order_versions(self, variables):
        told = ("id", "updatedAt", "displayFulfillmentStatus", "fulfillmentStates")
        known = [self.orders.get(gid) for gid in variables["ids"]]
        return {"nodes": [row and {name: row.get(name) for name in told} for row in known]}

    def _order_changes(self, variables):
        rows = sorted(self.orders.values(), key=lambda row: row["updatedAt"])
        if (variables["query"] or "").startswith("name:"):
            # words are searched by their beginnings
            names = [part.lstrip("#") for part in variables["query"].split('"')[1::2]]
            rows = [row for row in rows if row["name"].lstrip("#").startswith(tuple(names))]
        start = int(variables["after"] or 0)
        page = rows[start : start + variables["first"]]
        end = start + len(page)
        return {
            "orders": {
                "nodes": [{key: row[key] for key in ("id", "name", "updatedAt")} for row in page],
                "pageInfo": {"hasNextPage": end < len(rows), "endCursor": str(end)},
            }
        }

    @staticmethod
    def _cut(connection, start, size):
        nodes = connection["nodes"]
        end = min(start + size, len(nodes))
        connection["nodes"] = nodes[start:end]
        connection["pageInfo"] = {"hasNextPage": end < len(nodes), "endCursor": str(end)}


class ShopifyCase(TransactionCase):
    """A backend of a company taxed in Germany, a product with the SKU ``SKU-1``, a fake shop."""

    #: Whether documents are answered by :class:`FakeShop`; without it they reach the HTTP client.
    fake_shop = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(
            patch.dict(
                "os.environ", {integration_credential.KEY_VARIABLE: Fernet.generate_key().decode()}
            )
        )
        cls.company = cls.env.company
        cls.usd = cls.company.currency_id
        cls.company.account_fiscal_country_id = cls.env.ref("base.de")
        cls.backend = cls.env["integration.backend"].create(
            {"name": "Demo shop", "connector": "shopify", "base_url": "demo.myshopify.com"}
        )
        cls.backend.write({"state": "active", "shopify_domain": "demo.myshopify.com"})
        cls.flow = cls.backend.flow_ids.filtered(lambda flow: flow.resource == "order")
        cls.product = cls._product("SKU-1")
        cls.env["account.tax"].search(
            [("company_id", "=", cls.company.id), ("type_tax_use", "=", "sale")]
        ).active = False
        cls.tax_group = cls.env["account.tax.group"].create(
            {
                "name": "Shop taxes",
                "company_id": cls.company.id,
                "country_id": cls.env.ref("base.de").id,
            }
        )
        cls.tax13 = cls._tax("HST 13%", 13)
        cls.tax10 = cls._tax("GST 10%", 10)
        cls.vat19 = cls._tax("VAT 19% incl.", 19, included=True)
        cls.vat5 = cls._tax("VAT 5% incl.", 5, included=True)

    def setUp(self):
        super().setUp()
        self.shop = FakeShop()
        if not self.fake_shop:
            return
        self.startPatcher(
            patch.object(
                GraphqlClient,
                "_ask",
                lambda _client, name, variables, money: self.shop.execute(
                    name, variables, money=money
                ),
            )
        )

    @classmethod
    def _product(cls, sku, **values):
        return cls.env["product.product"].create(
            {
                "name": f"Product {sku}",
                "default_code": sku,
                "type": "consu",
                "is_storable": True,
                "invoice_policy": "order",
                **values,
            }
        )

    @classmethod
    def _tax(cls, name, amount, *, included=False, **values):
        return cls.env["account.tax"].create(
            {
                "name": name,
                "amount": amount,
                "amount_type": "percent",
                "type_tax_use": "sale",
                "company_id": cls.company.id,
                "tax_group_id": cls.tax_group.id,
                "country_id": cls.company.account_fiscal_country_id.id or cls.env.ref("base.us").id,
                "price_include_override": "tax_included" if included else "tax_excluded",
                **values,
            }
        )

    def second_company(self, currency, *, rate):
        """Return a shop of another company, in a currency of its own.

        :param currency: of company and shop.
        :param rate: units of it for one of the main company's.
        """
        company = self.env["res.company"].create({"name": "Other", "currency_id": currency.id})
        self.env.user.company_ids |= company
        self.env["res.currency.rate"].create(
            [
                {"currency_id": row.id, "company_id": company.id, "rate": value}
                for row, value in ((self.usd, 1), (currency, rate))
            ]
        )
        backend = self.env["integration.backend"].create(
            {
                "name": "Other shop",
                "connector": "shopify",
                "base_url": "other.myshopify.com",
                "company_id": company.id,
            }
        )
        backend.write(
            {
                "state": "active",
                "shopify_domain": "other.myshopify.com",
                "shopify_currency": currency.name,
            }
        )
        return backend

    # === RUNNING THE ENGINE === #

    def drain(self, *orders, force=False):
        """Put orders into the shop, import them through the engine; returns the operations."""
        self.shop.put(*orders)
        operations = self.env["integration.sync.log"]._append(
            self.flow, [Change(payload["id"]) for payload in orders], "webhook"
        )
        self.env.flush_all()
        with self.enter_registry_test_mode():
            self.env["integration.engine"]._drain(self.flow.id)
        self.env.invalidate_all()
        return self.env["integration.sync.log"].browse(
            operations.ids if hasattr(operations, "ids") else operations
        )

    def import_one(self, payload):
        """Import an order that has to succeed; returns the sales order."""
        operation = self.drain(payload)
        self.assertEqual(operation.state, "done", operation.message)
        return self.env["sale.order"].browse(operation.res_id)

    def refuse_one(self, payload):
        """Import an order that has to become a dead letter; returns the operation."""
        operation = self.drain(payload)
        self.assertEqual(operation.state, "dead", operation.message)
        return operation

    def assertTotals(self, sale, untaxed, tax_total, total):
        """Compare the totals of a sales order, exactly."""
        present = (sale.amount_untaxed, sale.amount_tax, sale.amount_total)
        for is_, should in zip(present, (untaxed, tax_total, total), strict=True):
            self.assertFalse(
                sale.currency_id.compare_amounts(is_, float(should)), f"{present} is not {should}"
            )


__all__ = [
    "FakeShop",
    "ShopifyCase",
    "address",
    "agreement",
    "agreements",
    "fixture",
    "line",
    "money",
    "order",
    "refund",
    "sale",
    "shipping",
    "tax",
    "transaction",
]
