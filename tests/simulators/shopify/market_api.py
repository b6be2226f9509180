"""Markets, catalogs, price lists with their fixed prices, currencies, changes of locations.

Locations themselves are in ``catalogue.py``; sales channels, collections and languages in
``product_api.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from graphql import GraphQLResolveInfo

from .base import SpecError, decimal
from .money import exponent, round_money
from .mutations import mutation, user_error
from .records import Location, Record, Variant, now
from .resolvers import MAX_PAGE, by_id, connection, find, gql_error, money, served, shop_of
from .search import Search
from .shop import Shop

CURRENCY_NAMES = {
    "AUD": "Australian Dollar",
    "CAD": "Canadian Dollar",
    "CHF": "Swiss Franc",
    "EUR": "Euro",
    "GBP": "British Pound",
    "JPY": "Japanese Yen",
    "SEK": "Swedish Krona",
    "USD": "US Dollar",
}


@dataclass(eq=False)
class PriceList(Record):
    """Prices in one currency: fixed ones, and a percentage for all others."""

    name: str
    currency: str
    percent: Decimal = Decimal(0)
    # variant number -> (price, price before)
    fixed: dict[int, tuple[Decimal, Decimal | None]] = field(default_factory=dict)
    gql_type = "PriceList"


@dataclass(eq=False)
class MarketCatalog(Record):
    title: str
    price_list: PriceList | None
    markets: list[Market] = field(default_factory=list)
    status: str = "ACTIVE"
    gql_type = "MarketCatalog"


@dataclass(eq=False)
class Market(Record):
    name: str
    currency: str | None = None
    status: str = "ACTIVE"
    catalogs: list[MarketCatalog] = field(default_factory=list)
    gql_type = "Market"


# === WHAT HAPPENS === #


def seed_markets(shop: Shop) -> None:
    """The shop's own country, and one abroad with prices of its own."""
    add_market(shop, {"name": "Europe", "currency": "EUR"})
    add_market(
        shop,
        {"name": "Switzerland", "currency": "CHF", "priceList": {"percent": 5}},
    )


def add_market(shop: Shop, spec: dict[str, Any]) -> Market:
    """Open a market.

    :param spec: ``name``, ``currency``, ``status`` and ``priceList``: the id of one that is there,
        or ``{"name", "currency", "percent"}`` of a new one.
    """
    market = Market(
        shop.next_id("Market"), spec["name"], spec.get("currency"), spec.get("status", "ACTIVE")
    )
    wanted = spec.get("priceList")
    if isinstance(wanted, str):
        price_list = shop.get("PriceList", wanted)
    elif wanted:
        price_list = PriceList(
            shop.next_id("PriceList"),
            wanted.get("name", market.name),
            wanted.get("currency") or market.currency or shop.config.currency,
            decimal(wanted.get("percent", 0), "percent"),
        )
        shop.add(price_list)
    else:
        price_list = None
    if price_list:
        catalog = MarketCatalog(
            shop.next_id("MarketCatalog"), f"Catalog {market.name}", price_list, [market]
        )
        market.catalogs.append(shop.add(catalog))
    shop.add(market)
    shop.emit("MARKETS_CREATE", _market_payload(market))
    return market


def change_market(shop: Shop, market: Market, values: dict[str, Any]) -> Market:
    """Rename, close, re-price: ``name``, ``status``, ``currency`` (of its price list too)."""
    for name in ("name", "status", "currency"):
        if name in values:
            setattr(market, name, values[name])
    for catalog in market.catalogs:
        if catalog.price_list and "currency" in values:
            catalog.price_list.currency = values["currency"]
            # Shopify lets go of prices that are in another currency.
            catalog.price_list.fixed.clear()
    shop.emit("MARKETS_UPDATE", _market_payload(market))
    return market


def delete_market(shop: Shop, market: Market) -> None:
    """A market goes with its catalogs and their price lists."""
    del shop.records["Market"][market.id]
    for catalog in market.catalogs:
        catalog.markets.remove(market)
        if not catalog.markets:
            del shop.records["MarketCatalog"][catalog.id]
            if catalog.price_list:
                shop.records["PriceList"].pop(catalog.price_list.id, None)
    shop.emit("MARKETS_DELETE", {"id": market.id})


def fix_price(shop: Shop, spec: dict[str, Any]) -> PriceList:
    """Somebody fixes a price in the admin, or takes it away; nobody is told of it.

    :param spec: ``priceList`` (name or id), ``sku``, ``price`` (none: let go of it), ``before``.
    """
    price_list = shop.get("PriceList", spec["priceList"])
    variant = shop.get("ProductVariant", spec["sku"])
    if spec.get("price") is None:
        price_list.fixed.pop(variant.id, None)
        return price_list
    price, before = (
        None
        if spec.get(name) is None
        else round_money(decimal(spec[name], name), price_list.currency)
        for name in ("price", "before")
    )
    price_list.fixed[variant.id] = (price, before)
    return price_list


def change_location(shop: Shop, location: Location, values: dict[str, Any]) -> Location:
    """Rename, move, (de)activate or delete: ``name``, ``active``, ``address1`` ..., ``deleted``."""
    if values.get("deleted"):
        del shop.records["Location"][location.id]
        shop.emit("LOCATIONS_DELETE", {"id": location.id})
        return location
    topic = "LOCATIONS_UPDATE"
    if "active" in values and values["active"] != location.active:
        location.active = bool(values["active"])
        topic = "LOCATIONS_ACTIVATE" if location.active else "LOCATIONS_DEACTIVATE"
    location.name = values.get("name", location.name)
    for name, value in values.items():
        if name in ("name", "active"):
            continue
        if not hasattr(location.address, name):
            raise SpecError(f"an address has no {name!r}")
        setattr(location.address, name, value)
    location.updated_at = max(location.updated_at, now())
    shop.emit(topic, _location_payload(location))
    return location


def new_location(shop: Shop, spec: dict[str, Any]) -> Location:
    """Open a location: ``name`` and the fields of its address."""
    location = shop.add_location(**spec)
    shop.emit("LOCATIONS_CREATE", _location_payload(location))
    return location


def _market_payload(market: Market) -> dict[str, Any]:
    return {
        "id": market.id,
        "admin_graphql_api_id": market.gid,
        "name": market.name,
        "status": market.status.lower(),
    }


def _location_payload(location: Location) -> dict[str, Any]:
    address = location.address
    return {
        "id": location.id,
        "admin_graphql_api_id": location.gid,
        "name": location.name,
        "address1": address.address1,
        "city": address.city,
        "zip": address.zip,
        "country_code": address.country_code,
        "active": location.active,
        "updated_at": location.updated_at.isoformat(),
    }


def price_in(shop: Shop, price_list: PriceList, variant: Variant) -> Decimal:
    """What a variant costs in a price list that does not fix its price."""
    rate = shop.live_rate(price_list.currency)
    exact = variant.price / rate * (100 + price_list.percent) / 100
    return round_money(exact, price_list.currency)


def truth(shop: Shop, price_list: PriceList) -> dict[str, Any]:
    """What a checker compares with: fixed prices by the SKU."""
    variants = {variant.id: variant for variant in shop.all("ProductVariant")}
    return {
        "id": price_list.gid,
        "name": price_list.name,
        "currency": price_list.currency,
        "percent": str(price_list.percent),
        "fixed": {
            variants[number].sku: [_text(price_list, price), before and _text(price_list, before)]
            for number, (price, before) in price_list.fixed.items()
            if number in variants
        },
    }


def _text(price_list: PriceList, amount: Decimal) -> str:
    return f"{amount:.{exponent(price_list.currency)}f}"


# === READING === #

_PRICE_SEARCH: dict[str, Callable[[Any], Any]] = {
    "product_id": lambda variant: variant.product.id,
    "variant_id": lambda variant: variant.id,
}


def _prices(
    price_list: PriceList,
    info: GraphQLResolveInfo,
    originType: str | None = None,
    query: str | None = None,
    **args: Any,
) -> Any:
    shop = shop_of(info)
    search = Search(query, _PRICE_SEARCH, shop.config.timezone)
    if search.unknown:
        info.context.warn_search(info, query, search.unknown)
    rows = []
    for variant in search.filter(shop.all("ProductVariant")):
        is_fixed = variant.id in price_list.fixed
        if originType and (originType == "FIXED") != is_fixed:
            continue
        price, before = price_list.fixed.get(variant.id) or (
            price_in(shop, price_list, variant),
            None,
        )
        rows.append(_price_row(price_list, variant, price, before, is_fixed))
    return connection(rows, **args)


def _price_row(
    price_list: PriceList, variant: Variant, price: Decimal, before: Decimal | None, is_fixed: bool
) -> dict[str, Any]:
    return {
        "key": variant.id,
        "variant": variant,
        "price": money(price, price_list.currency),
        "compareAtPrice": None if before is None else money(before, price_list.currency),
        "originType": "FIXED" if is_fixed else "RELATIVE",
    }


def _catalog_of(price_list: PriceList, info: GraphQLResolveInfo) -> MarketCatalog | None:
    catalogs = shop_of(info).all("MarketCatalog")
    return next((row for row in catalogs if row.price_list is price_list), None)


def _parent(price_list: PriceList, _info: GraphQLResolveInfo) -> dict[str, Any]:
    kind = "PERCENTAGE_DECREASE" if price_list.percent < 0 else "PERCENTAGE_INCREASE"
    return {
        "adjustment": {"type": kind, "value": float(abs(price_list.percent))},
        "settings": {"compareAtMode": "ADJUSTED"},
    }


def _currency_settings(shop: Shop, info: GraphQLResolveInfo, **args: Any) -> Any:
    codes = sorted(code for code in shop.config.rates if code != shop.config.currency)
    rows = [
        {
            "key": code,
            "currencyCode": code,
            "currencyName": CURRENCY_NAMES.get(code, code),
            "enabled": True,
            "manualRate": None,
            "rateUpdatedAt": None,
        }
        for code in codes
    ]
    return connection(rows, **args)


def _product_types(_root: Any, info: GraphQLResolveInfo, **args: Any) -> Any:
    types = {row.product_type for row in shop_of(info).all("Product") if row.product_type}
    page = connection([{"key": name} for name in sorted(types)], **args)
    page["nodes"] = [row["key"] for row in page["nodes"]]
    for edge in page["edges"]:
        edge["node"] = edge["node"]["key"]
    return page


served(
    "QueryRoot",
    markets=lambda _r, info, type=None, query=None, sortKey=None, **a: connection(
        shop_of(info).all("Market"), key=lambda row: row.name, **a
    ),
    market=by_id("Market"),
    catalogs=lambda _r, info, type=None, query=None, sortKey=None, **a: connection(
        shop_of(info).all("MarketCatalog"), key=lambda row: row.id, **a
    ),
    priceLists=lambda _r, info, sortKey=None, **a: connection(
        shop_of(info).all("PriceList"), key=lambda row: row.id, **a
    ),
    priceList=by_id("PriceList"),
    productTypes=_product_types,
)
served("Shop", currencySettings=_currency_settings)
served(
    "Market",
    id="gid",
    name="name",
    handle=lambda m, i: "-".join(m.name.lower().split()),
    status="status",
    type=lambda m, i: "REGION",
    currencySettings=lambda m, i: (
        {
            "baseCurrency": {
                "currencyCode": m.currency,
                "currencyName": CURRENCY_NAMES.get(m.currency, m.currency),
                "enabled": True,
            },
            "localCurrencies": False,
            "roundingEnabled": False,
        }
        if m.currency
        else None
    ),
    catalogs=lambda m, i, **a: connection(m.catalogs, **a),
)
served(
    "MarketCatalog",
    id="gid",
    title="title",
    status="status",
    priceList="price_list",
    markets=lambda c, i, type=None, status=None, **a: connection(c.markets, **a),
)
served(
    "PriceList",
    id="gid",
    name="name",
    currency="currency",
    fixedPricesCount=lambda p, i: len(p.fixed),
    parent=_parent,
    catalog=_catalog_of,
    prices=_prices,
)


# === FIXING PRICES === #


def _of(info: GraphQLResolveInfo, gid: str) -> PriceList | None:
    try:
        return find(info, gid, "PriceList")
    except Exception:
        return None


def _unknown_list() -> list[dict[str, Any]]:
    return [user_error("Price list does not exist.", ["priceListId"], "PRICE_LIST_NOT_FOUND")]


def _refuse_many(rows: list[Any]) -> None:
    if len(rows) > MAX_PAGE:
        raise gql_error(
            f"The input array size of {len(rows)} is greater than the maximum allowed of "
            f"{MAX_PAGE}.",
            "MAX_INPUT_SIZE_EXCEEDED",
        )


def _variant(info: GraphQLResolveInfo, gid: str) -> Variant | None:
    record = find(info, gid)
    return record if isinstance(record, Variant) else None


def _to_add(
    info: GraphQLResolveInfo, price_list: PriceList, rows: list[dict[str, Any]], name: str
) -> tuple[dict[int, tuple[Decimal, Decimal | None]], list[dict[str, Any]]]:
    plan: dict[int, tuple[Decimal, Decimal | None]] = {}
    errors = []
    for index, row in enumerate(rows):
        path = [name, str(index)]
        variant = _variant(info, row["variantId"])
        amounts = (
            [row["price"], row["compareAtPrice"]] if row.get("compareAtPrice") else [row["price"]]
        )
        if variant is None:
            errors.append(
                user_error("Variant does not exist.", [*path, "variantId"], "VARIANT_NOT_FOUND")
            )
        elif any(amount["currencyCode"] != price_list.currency for amount in amounts):
            errors.append(
                user_error(
                    "The specified currency does not match the price list's currency.",
                    [*path, "price", "currencyCode"],
                    "PRICE_LIST_CURRENCY_MISMATCH",
                )
            )
        else:
            values = [
                round_money(decimal(amount["amount"]), price_list.currency) for amount in amounts
            ]
            plan[variant.id] = (values[0], values[1] if len(values) > 1 else None)
    return plan, errors


def _to_delete(
    info: GraphQLResolveInfo, price_list: PriceList, gids: list[str], name: str
) -> tuple[list[Variant], list[dict[str, Any]]]:
    gone, errors = [], []
    for index, gid in enumerate(gids):
        variant = _variant(info, gid)
        if variant is None or variant.id not in price_list.fixed:
            code = "VARIANT_NOT_FOUND" if variant is None else "PRICE_NOT_FIXED"
            message = (
                "Variant does not exist."
                if variant is None
                else "Only fixed prices can be deleted."
            )
            errors.append(user_error(message, [name, str(index)], code))
        else:
            gone.append(variant)
    return gone, errors


def _written(
    info: GraphQLResolveInfo, price_list: PriceList, plan: dict[int, Any]
) -> list[dict[str, Any]]:
    price_list.fixed.update(plan)
    shop = shop_of(info)
    shop.effects["prices"] += len(plan)
    return [
        _price_row(price_list, shop.records["ProductVariant"][number], *price, True)
        for number, price in plan.items()
    ]


def _let_go(info: GraphQLResolveInfo, price_list: PriceList, gone: list[Variant]) -> list[str]:
    for variant in gone:
        del price_list.fixed[variant.id]
    shop_of(info).effects["pricesDeleted"] += len(gone)
    return [variant.gid for variant in gone]


@mutation("priceListFixedPricesAdd")
def _add_prices(
    _root: Any, info: GraphQLResolveInfo, priceListId: str, prices: list[dict[str, Any]]
) -> Any:
    _refuse_many(prices)
    price_list = _of(info, priceListId)
    if price_list is None:
        return {"prices": None, "userErrors": _unknown_list()}
    plan, errors = _to_add(info, price_list, prices, "prices")
    if errors:
        return {"prices": None, "userErrors": errors}
    return {"prices": _written(info, price_list, plan), "userErrors": []}


@mutation("priceListFixedPricesDelete")
def _delete_prices(
    _root: Any, info: GraphQLResolveInfo, priceListId: str, variantIds: list[str]
) -> Any:
    _refuse_many(variantIds)
    price_list = _of(info, priceListId)
    if price_list is None:
        return {"deletedFixedPriceVariantIds": None, "userErrors": _unknown_list()}
    gone, errors = _to_delete(info, price_list, variantIds, "variantIds")
    if errors:
        return {"deletedFixedPriceVariantIds": None, "userErrors": errors}
    return {
        "deletedFixedPriceVariantIds": _let_go(info, price_list, gone),
        "userErrors": [],
    }


@mutation("priceListFixedPricesUpdate")
def _update_prices(
    _root: Any,
    info: GraphQLResolveInfo,
    priceListId: str,
    pricesToAdd: list[dict[str, Any]],
    variantIdsToDelete: list[str],
) -> Any:
    _refuse_many(pricesToAdd)
    _refuse_many(variantIdsToDelete)
    price_list = _of(info, priceListId)
    if price_list is None:
        return {"priceList": None, "userErrors": _unknown_list()}
    plan, errors = _to_add(info, price_list, pricesToAdd, "pricesToAdd")
    gone, more = _to_delete(info, price_list, variantIdsToDelete, "variantIdsToDelete")
    if errors or more:
        return {"priceList": price_list, "userErrors": [*errors, *more]}
    return {
        "priceList": price_list,
        "pricesAdded": _written(info, price_list, plan),
        "deletedFixedPriceVariantIds": _let_go(info, price_list, gone),
        "userErrors": [],
    }


__all__ = [
    "add_market",
    "change_location",
    "change_market",
    "delete_market",
    "fix_price",
    "new_location",
    "seed_markets",
    "truth",
]
