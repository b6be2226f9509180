"""Sets up a company that sells through the shop simulator, ready for its first order."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import Any

from .rpc import Session

BACKEND = "Demo Shop"
# Of the simulator's markets: percentage, whether prices include it, countries it is charged in.
TAXES = [
    (5, True, ""),
    (10, True, "AU JP"),
    (19, True, "DE"),
    (20, True, "AT FR GB"),
    (21, True, "ES NL"),
    (22, True, "IT"),
    (23, True, "IE"),
    (25, True, "SE"),
    (1.25, False, "US"),
    (5, False, "CA"),
    (7.25, False, "US"),
    (8.1, False, "CH"),
    (9.975, False, "CA"),
]
# How the simulator's orders are paid.
GATEWAYS = ("shopify_payments", "paypal", "manual")
CURRENCIES = ("EUR", "USD", "GBP", "JPY", "SEK", "CHF", "CAD", "AUD")
# What the simulator expects unless it is started with others.
CREDENTIALS = {"client_id": "demo-client-id", "client_secret": "demo-client-secret"}

Call = Callable[..., Any]


def connect(url: str, database: str, shop_url: str) -> str:
    """Connect the demo backend if it is not there; returns what to tell the person.

    :param url: address of Odoo.
    :param shop_url: address of the shop simulator.
    """
    call = Session(url, database, "admin", "admin").call
    prepare_company(call)
    create_products(call, shop_url)
    prepare_books(call, connect_backend(call, url, shop_url))
    order = f"""curl -X POST {shop_url}/control/orders -d '{{"random": {{"count": 1}}}}'"""
    return "\n".join(
        (
            "",
            f"  Odoo            {url}   (user admin, password admin)",
            f"  Shop simulator  {shop_url}",
            "",
            f"  Next: press Place an order at {shop_url}, or run",
            f"    {order}",
            f"  Seconds later its sales order is at {url}/odoo/orders,",
            f"  its way there at {url}/odoo/sync-log",
            "",
        )
    )


def prepare_books(call: Call, backend: int) -> None:
    """Have orders invoiced when paid and their payments booked, unless somebody chose rules."""
    rules = call(
        "integration.shopify.rule",
        "search",
        [("backend_id", "=", backend)],
        context={"active_test": False},
    )
    if rules:
        return
    of_gateways = [
        ("backend_id", "=", backend),
        ("kind", "=", "payment_method"),
        ("external_value", "in", GATEWAYS),
    ]
    seen = call("integration.mapping", "search_read", of_gateways, ["external_value", "res_id"])
    known = {row["external_value"]: row for row in seen}
    (journal,) = call(
        "account.journal",
        "create",
        [{"name": "Shop Payments", "type": "bank", "code": "SHOP"}],
    )
    target = {"resource_ref": f"account.journal,{journal}"}
    for gateway in GATEWAYS:
        row = known.get(gateway)
        if not row:
            values = {"backend_id": backend, "kind": "payment_method", "external_value": gateway}
            call("integration.mapping", "create", [{**values, **target}])
        elif not row["res_id"]:
            call("integration.mapping", "write", [row["id"]], target)
    call("integration.backend", "action_shopify_usual_rules", [backend])


def prepare_company(call: Call) -> None:
    """Give the company the currencies and taxes of the shop's markets."""
    currencies = call(
        "res.currency",
        "search",
        [("name", "in", CURRENCIES), ("active", "=", False)],
        context={"active_test": False},
    )
    if currencies:
        call("res.currency", "write", currencies, {"active": True})
    _create_taxes(call)
    # discounts are shown on order lines only with this setting
    settings = call("res.config.settings", "create", [{"group_discount_per_so_line": True}])
    call("res.config.settings", "execute", settings)


def _create_taxes(call: Call) -> None:
    """Create the taxes that are missing, with a fiscal position for each country abroad."""
    sales = [("type_tax_use", "=", "sale"), ("amount_type", "=", "percent")]
    known = {
        (tax["amount"], tax["price_include"])
        for tax in call("account.tax", "search_read", sales, ["amount", "price_include"])
    }
    missing = [tax for tax in TAXES if tax[:2] not in known]
    # the totals of an order are shown by group
    names = sorted({f"Tax {rate:g}%" for rate, _included, _countries in missing})
    created = call("account.tax.group", "create", [{"name": name} for name in names])
    groups = dict(zip(names, created, strict=True))
    positions = _create_positions(call, missing)
    call(
        "account.tax",
        "create",
        [
            {
                "name": f"{rate:g}%{' included' if included else ''}",
                "amount": rate,
                "type_tax_use": "sale",
                "price_include_override": "tax_included" if included else "tax_excluded",
                "tax_group_id": groups[f"Tax {rate:g}%"],
                "fiscal_position_ids": [
                    (4, positions[code]) for code in countries.split() if code in positions
                ],
            }
            for rate, included, countries in missing
        ],
    )


def _create_positions(call: Call, taxes: list[tuple[float, bool, str]]) -> dict[str, int]:
    """Fiscal positions by country code: a tax of one of them is charged in that country."""
    codes = {code for _rate, _included, countries in taxes for code in countries.split()}
    (company,) = call("res.company", "search_read", [], ["account_fiscal_country_id"], limit=1)
    home = (company["account_fiscal_country_id"] or [0])[0]
    countries = call(
        "res.country",
        "search_read",
        [("code", "in", sorted(codes)), ("id", "!=", home)],
        ["code", "name"],
    )
    positions = call(
        "account.fiscal.position",
        "create",
        [{"name": country["name"], "country_id": country["id"]} for country in countries],
    )
    return {c["code"]: position for c, position in zip(countries, positions, strict=True)}


def create_products(call: Call, shop_url: str) -> None:
    """Create Odoo's side of the shop's catalogue: the same SKUs and barcodes."""
    wanted = {
        variant["sku"]: (product["title"], variant)
        for product in _get(f"{shop_url}/control/products")
        for variant in product["variants"]
        if variant["sku"]
    }
    known = call(
        "product.product",
        "search_read",
        [("default_code", "in", list(wanted))],
        ["default_code"],
    )
    for product in known:
        wanted.pop(product["default_code"], None)
    call(
        "product.product",
        "create",
        [
            {
                "name": f"{title} {variant['title']}".removesuffix(" Default Title"),
                "default_code": sku,
                "barcode": variant["barcode"],
                "list_price": float(variant["price"]),
                "is_storable": True,
                "taxes_id": [],
            }
            for sku, (title, variant) in wanted.items()
        ],
    )


def connect_backend(call: Call, url: str, shop_url: str) -> int:
    """Create and connect the backend as a user would, or connect it again; returns its id."""
    call("ir.config_parameter", "set_param", "web.base.url", url)
    call("ir.config_parameter", "set_param", "web.base.url.freeze", "True")
    # the simulator has another port after each start
    backends = call("integration.backend", "search", [("name", "=", BACKEND)])
    if backends:
        call("integration.backend", "write", backends, {"base_url": shop_url})
    else:
        values = {"name": BACKEND, "connector": "shopify", "base_url": shop_url}
        backends = call("integration.backend", "create", [values])
        for code, value in CREDENTIALS.items():
            domain = [("backend_id", "in", backends), ("code", "=", code)]
            rows = call("integration.credential", "search", domain)
            call("integration.credential", "write", rows, {"value": value})
        # what is read once a day is not what one waits for
        often = [("backend_id", "in", backends), ("interval_minutes", "<", 1440)]
        flows = call("integration.flow", "search", often)
        call("integration.flow", "write", flows, {"interval_minutes": 1})
    call("integration.backend", "action_test_connection", backends)
    return backends[0]


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)
