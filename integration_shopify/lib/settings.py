"""What a shop is set up with: locations, currencies, price lists, markets, channels, languages ...

Each group (``location``, ``market`` ...) is read as a whole, so what is not there any more is gone.
:func:`values` turns what Shopify says into rows of the value mappings.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from odoo.addons.integration_base.lib.contract import Payload

from .contract import CurrencyCode, Gid, Text

#: Rows of one page of most groups; Shopify gives up to 250, at a cost by their number.
PAGE = 100
#: The same of markets and of the catalogs of each.
MARKETS, CATALOGS = 20, 10

_Number = Annotated[Decimal, BeforeValidator(lambda value: Decimal(str(value)))]


class Address(Payload):
    address1: Text = ""
    zip: Text = ""
    city: Text = ""
    countryCode: Text = ""


class Location(Payload):
    id: Gid
    name: str
    isActive: bool
    isFulfillmentService: bool
    address: Address


class CurrencySetting(Payload):
    currencyCode: CurrencyCode
    currencyName: Text = ""
    enabled: bool


class Shop(Payload):
    name: str
    currencyCode: CurrencyCode
    ianaTimezone: str
    #: all pages of ``currencySettings``; the shop's own currency is not among them
    currencies: list[CurrencySetting]


class Locale(Payload):
    locale: str
    name: Text = ""
    primary: bool
    published: bool


class _Adjustment(Payload):
    type: Literal["PERCENTAGE_DECREASE", "PERCENTAGE_INCREASE"]
    value: _Number


class _Parent(Payload):
    adjustment: _Adjustment


class _Catalog(Payload):
    id: Gid
    title: Text = ""
    status: Text = ""


class PriceList(Payload):
    id: Gid
    name: str
    currency: CurrencyCode
    parent: _Parent | None = None
    catalog: _Catalog | None = None

    @property
    def percent(self) -> Decimal:
        """What its prices differ from the shop's by where none is fixed, in percent."""
        if not self.parent:
            return Decimal(0)
        adjustment = self.parent.adjustment
        return -adjustment.value if "DECREASE" in adjustment.type else adjustment.value


class _Reference(Payload):
    id: Gid


class _MarketCatalog(Payload):
    id: Gid
    status: Text = ""
    priceList: _Reference | None = None


class _Currency(Payload):
    currencyCode: CurrencyCode


class _Currencies(Payload):
    baseCurrency: _Currency


class Market(Payload):
    id: Gid
    name: str
    status: Text
    currencySettings: _Currencies | None = None
    #: all of them
    catalogs: list[_MarketCatalog]

    @property
    def currency(self) -> str:
        """The code, empty for that of the buyer or the shop."""
        return self.currencySettings.baseCurrency.currencyCode if self.currencySettings else ""

    @property
    def price_lists(self) -> list[str]:
        """Ids of the price lists of its active catalogs."""
        return [
            row.priceList.id for row in self.catalogs if row.priceList and row.status == "ACTIVE"
        ]


class _Title(Payload):
    title: Text = ""


class Publication(Payload):
    id: Gid
    autoPublish: bool
    catalog: _Title | None = None


class Collection(Payload):
    id: Gid
    title: str
    handle: Text = ""


class _Group(Payload):
    #: key of :data:`GROUPS`
    group: str


class Locations(_Group):
    locations: list[Location]


class Currencies(_Group):
    shop: Shop


class Locales(_Group):
    locales: list[Locale]


class Markets(_Group):
    priceLists: list[PriceList]
    markets: list[Market]


class Publications(_Group):
    publications: list[Publication]


class Collections(_Group):
    collections: list[Collection]


class ProductTypes(_Group):
    productTypes: list[str]


@dataclass(frozen=True)
class Value:
    """One row of the value mappings.

    :param value: the key.
    :param label: for people.
    :param note: what else tells it apart, for people.
    :param marks: the rest of that, as keys of sentences: see ``_words`` of the resource.
    :param details: the same for programs; has a JSON form.
    """

    value: str
    label: str
    note: str = ""
    marks: tuple[str, ...] = ()
    details: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """What is read at once.

    :param kind: of the value mappings it fills.
    :param documents: those that read it.
    :param contract: what they have to bring.
    :param read: called with ``execute(name, variables) -> data``; returns what the contract takes.
    :param domain: which of the rows of the kind it is about.
    """

    kind: str
    documents: tuple[str, ...]
    contract: type[Payload]
    read: Callable[[Callable], dict]
    domain: tuple = ()


def read_all(execute, name: str, path: str, size: int = PAGE, **variables) -> Iterator[Any]:
    """Return the rows of all pages of a connection.

    :param execute: called with the name of a document and its variables; returns its data.
    :param path: from the data to the connection, dotted.
    """
    after = None
    while True:
        found = execute(name, {**variables, "first": size, "after": after})
        for step in path.split("."):
            found = found[step]
        yield from found["nodes"]
        page = found["pageInfo"]
        # a cursor that stays would be read for ever
        if not page["hasNextPage"] or page["endCursor"] == after:
            return
        after = page["endCursor"]


def _read_shop(execute):
    told = {}

    def note(name, variables):
        data = execute(name, variables)
        told.update(data["shop"])
        return data

    rows = list(read_all(note, "shop_settings", "shop.currencySettings"))
    told.pop("currencySettings")
    return {"shop": {**told, "currencies": rows}}


def _read_markets(execute):
    markets = []
    for row in read_all(execute, "markets", "markets", MARKETS, catalogs=CATALOGS):
        catalogs = row["catalogs"]
        rows = list(catalogs["nodes"])
        if catalogs["pageInfo"]["hasNextPage"]:
            rows = list(read_all(execute, "market_catalogs", "market.catalogs", id=row["id"]))
        markets.append({**row, "catalogs": rows})
    lists = list(read_all(execute, "price_lists", "priceLists"))
    return {"priceLists": lists, "markets": markets}


def _reads(name: str, path: str, key: str = ""):
    return lambda execute: {key or path: list(read_all(execute, name, path))}


#: By the name of the group, in the order they are shown.
GROUPS = {
    "location": Group("location", ("locations",), Locations, _reads("locations", "locations")),
    "currency": Group("currency", ("shop_settings",), Currencies, _read_shop),
    "market": Group(
        "price_list", ("markets", "market_catalogs", "price_lists"), Markets, _read_markets
    ),
    "publication": Group(
        "publication", ("publications",), Publications, _reads("publications", "publications")
    ),
    "collection": Group(
        "collection", ("collections",), Collections, _reads("collections", "collections")
    ),
    "locale": Group(
        "locale",
        ("shop_locales",),
        Locales,
        lambda execute: {"locales": execute("shop_locales", {})["shopLocales"]},
    ),
    "product_type": Group(
        "product_category",
        ("product_types",),
        ProductTypes,
        _reads("product_types", "productTypes"),
        # the categories of Shopify's taxonomy are of the same kind
        (("external_value", "not =like", "gid://%"),),
    ),
}


def values(data: Payload) -> list[Value]:
    """Return the rows that what was read of a group amounts to.

    :param data: an instance of the group's contract.
    """
    return _VALUES[type(data)](data)


def _locations(data):
    return [
        Value(
            row.id,
            row.name,
            _address(row.address),
            _marks(inactive=not row.isActive, service=row.isFulfillmentService),
            {
                "name": row.name,
                "street": row.address.address1,
                "zip": row.address.zip,
                "city": row.address.city,
                "country": row.address.countryCode,
                "active": row.isActive,
                "service": row.isFulfillmentService,
            },
        )
        for row in data.locations
    ]


def _currencies(data):
    own = Value(data.shop.currencyCode, data.shop.currencyCode, marks=("own",))
    found = {
        row.currencyCode: Value(row.currencyCode, row.currencyCode, row.currencyName)
        for row in data.shop.currencies
        if row.enabled
    }
    return [own, *(row for code, row in found.items() if code != own.value)]


def _price_lists(data):
    markets: dict[str, list[str]] = {}
    for market in data.markets:
        for gid in market.price_lists:
            markets.setdefault(gid, []).append(market.name)
    return [
        Value(
            row.id,
            row.name,
            _joined(
                row.currency,
                f"{row.percent:+f} %" if row.percent else "",
                ", ".join(sorted(markets.get(row.id, ())))
                or (row.catalog.title if row.catalog else ""),
            ),
            details={"currency": row.currency, "percent": str(row.percent)},
        )
        for row in data.priceLists
    ]


def _publications(data):
    return [
        Value(
            row.id,
            (row.catalog.title if row.catalog else "") or row.id,
            marks=_marks(auto=row.autoPublish),
        )
        for row in data.publications
    ]


def _collections(data):
    return [Value(row.id, row.title, row.handle) for row in data.collections]


def _locales(data):
    return [
        Value(
            row.locale,
            row.name or row.locale,
            marks=_marks(own=row.primary, unpublished=not row.published),
            details={"primary": row.primary, "published": row.published},
        )
        for row in data.locales
    ]


def _product_types(data):
    return [Value(name, name) for name in sorted({text for text in data.productTypes if text})]


def _address(address: Address) -> str:
    town = " ".join(filter(None, (address.zip, address.city)))
    return _joined(address.address1, town, address.countryCode)


def _marks(**said: bool) -> tuple[str, ...]:
    return tuple(name for name, is_so in said.items() if is_so)


def _joined(*parts: str) -> str:
    return ", ".join(filter(None, parts))


_VALUES: dict[type, Callable[[Any], list[Value]]] = {
    Locations: _locations,
    Currencies: _currencies,
    Markets: _price_lists,
    Publications: _publications,
    Collections: _collections,
    Locales: _locales,
    ProductTypes: _product_types,
}
