"""A shop with products, and helpers to write them in a few words."""

import copy
import itertools
import re

from odoo.addons.integration_base.lib.records import Change

from .common import FakeShop, ShopifyCase, connection


def variant(
    number, values=(), *, sku=None, price="10.00", names=("Size", "Color", "Fabric"), **extra
):
    """Return a variant of Shopify's with these values of its options.

    ``stock`` in ``extra`` are values of its inventory item.
    """
    stock = {
        "id": f"gid://shopify/InventoryItem/{number}",
        "tracked": True,
        "requiresShipping": True,
        "harmonizedSystemCode": None,
        "countryCodeOfOrigin": None,
        "unitCost": None,
        "measurement": {"weight": {"value": 0.5, "unit": "KILOGRAMS"}},
        **extra.pop("stock", {}),
    }
    chosen = [{"name": n, "value": v} for n, v in zip(names, values, strict=False)]
    return {
        "id": f"gid://shopify/ProductVariant/{number}",
        "title": " / ".join(values) or "Default Title",
        "sku": f"SKU-{number}" if sku is None else sku,
        "barcode": None,
        "price": str(price),
        "compareAtPrice": None,
        "taxable": True,
        "position": number,
        "requiresComponents": False,
        "selectedOptions": chosen or [{"name": "Title", "value": "Default Title"}],
        "inventoryItem": stock,
        **extra,
    }


def product(number, *variants, **extra):
    """Return a product of Shopify's with these variants, or with a plain one."""
    variants = variants or (variant(number),)
    names = [option["name"] for option in variants[0]["selectedOptions"]]
    options = [
        {
            "id": f"gid://shopify/ProductOption/{number}{position}",
            "name": name,
            "position": position,
            "optionValues": [
                {"id": f"gid://shopify/ProductOptionValue/{number}{position}{at}", "name": value}
                for at, value in enumerate(
                    dict.fromkeys(row["selectedOptions"][position - 1]["value"] for row in variants)
                )
            ],
        }
        for position, name in enumerate(names, 1)
    ]
    return {
        "id": f"gid://shopify/Product/{number}",
        "title": f"Product {number}",
        "handle": f"product-{number}",
        "descriptionHtml": "",
        "vendor": "Acme",
        "productType": "",
        "status": "ACTIVE",
        "tags": [],
        "isGiftCard": False,
        "hasOnlyDefaultVariant": names == ["Title"],
        "hasVariantsThatRequiresComponents": False,
        "updatedAt": "2026-11-20T10:00:00Z",
        "category": None,
        "featuredMedia": None,
        "options": options,
        "variants": connection(*variants),
        **extra,
    }


def matrix(number, *values, **extra):
    """Return a product with every combination of these values; variants count from 10 * number."""
    rows = [
        variant(10 * number + at, combination)
        for at, combination in enumerate(itertools.product(*values), 1)
    ]
    return product(number, *rows, **extra)


class ProductShop(FakeShop):
    """The fake shop with products, and pictures by address."""

    def __init__(self):
        super().__init__()
        self.products = {}

    def put(self, *payloads):
        for payload in payloads:
            kind = "products" if "/Product/" in payload["id"] else "orders"
            getattr(self, kind)[payload["id"]] = payload

    def _products(self, variables):
        rows = []
        for gid in variables["ids"]:
            row = copy.deepcopy(self.products.get(gid))
            if row:
                found = row.pop("metafields", [])
                if variables["withMetafields"]:
                    keys = variables["keys"]
                    row["metafields"] = connection(
                        *(m for m in found if f"{m['namespace']}.{m['key']}" in keys)
                    )
                for name in ("pictures", "variant_pictures"):
                    row.pop(name, None)
                self._cut(row["variants"], 0, variables["variants"])
            rows.append(row)
        return {"nodes": rows}

    def _product_variants(self, variables):
        row = copy.deepcopy(self.products[variables["id"]])
        self._cut(row["variants"], int(variables["after"]), variables["first"])
        return {"product": {name: row[name] for name in ("id", "updatedAt", "variants")}}

    def _product_changes(self, variables):
        rows = sorted(self.products.values(), key=lambda row: row["updatedAt"])
        query = variables["query"] or ""
        if query.startswith("sku:"):
            text = re.match(r'sku:"([^"]*)"', query)[1].casefold()
            rows = [
                row
                for row in rows
                if text in (row["title"].casefold(), row["handle"])
                or text in [(v["sku"] or "").casefold() for v in row["variants"]["nodes"]]
            ]
        start = int(variables["after"] or 0)
        page = rows[start : start + variables["first"]]
        end = start + len(page)
        return {
            "products": {
                "nodes": [
                    {name: row[name] for name in ("id", "title", "handle", "updatedAt")}
                    for row in page
                ],
                "pageInfo": {"hasNextPage": end < len(rows), "endCursor": str(end)},
            }
        }

    def _product_count(self, _variables):
        return {"productsCount": {"count": len(self.products), "precision": "EXACT"}}

    def _product_versions(self, variables):
        known = [self.products.get(gid) for gid in variables["ids"]]
        return {
            "nodes": [row and {"id": row["id"], "updatedAt": row["updatedAt"]} for row in known]
        }

    def _product_pictures(self, variables):
        rows = []
        for gid in variables["ids"]:
            row = self.products.get(gid)
            rows.append(
                row
                and {
                    "id": gid,
                    "title": row["title"],
                    "updatedAt": row["updatedAt"],
                    "featuredMedia": row.get("pictures"),
                    "variants": connection(
                        *(
                            {
                                "id": v["id"],
                                "media": connection(
                                    *row.get("variant_pictures", {}).get(v["id"], ())
                                ),
                            }
                            for v in row["variants"]["nodes"]
                        )
                    ),
                }
            )
        return {"nodes": rows}

    def _variant_products(self, variables):
        parents = {
            v["id"]: row["id"] for row in self.products.values() for v in row["variants"]["nodes"]
        }
        return {
            "nodes": [
                {"id": gid, "product": {"id": parents[gid]}} if gid in parents else None
                for gid in variables["ids"]
            ]
        }


class ProductCase(ShopifyCase):
    """The flow of products into Odoo is on, and Shopify owns the products."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.backend.shopify_product_owner = "shopify"
        cls.backend.shopify_currency = cls.usd.name
        cls.products_in = cls.flow_of("product")
        cls.products_in.enabled = True

    @classmethod
    def flow_of(cls, resource):
        return cls.backend.flow_ids.filtered(
            lambda flow: flow.resource == resource and flow.direction == "in"
        )

    def setUp(self):
        super().setUp()
        self.shop = ProductShop()

    def bring(self, *payloads, flow=None, force=False, deleted=False):
        """Put products into the shop and import them; returns the operations."""
        if not deleted:
            self.shop.put(*payloads)
        operations = self.env["integration.sync.log"]._append(
            flow or self.products_in,
            [Change(payload["id"], deleted=deleted) for payload in payloads],
            "manual",
            force=force,
        )
        self.run_flow(flow or self.products_in)
        return operations

    def run_flow(self, flow):
        self.env.flush_all()
        with self.enter_registry_test_mode():
            self.env["integration.engine"]._drain(flow.id)
        self.env.invalidate_all()

    def template_of(self, payload):
        """Return the template bound to a product of Shopify's."""
        found = self.env["integration.binding"]._find(self.backend, "product", [payload["id"]])
        return found.get(payload["id"], self.env["product.template"])

    def import_product(self, payload, **options):
        """Import a product that has to succeed; returns its template."""
        operation = self.bring(payload, **options)
        self.assertEqual(operation.state, "done", operation.message)
        self.notes = operation.message or ""
        return self.template_of(payload)

    def refuse_product(self, payload, **options):
        operation = self.bring(payload, **options)
        self.assertEqual(operation.state, "dead", operation.message)
        return operation

    def combinations(self, template):
        """Return ``{SKU: values}`` of the active variants."""
        return {
            row.default_code: tuple(row.product_template_attribute_value_ids.mapped("name"))
            for row in template.product_variant_ids
        }
