"""Shipments: who carries them as Shopify calls it, and which units of an order are shipped where.

All of it is about units of Shopify's line items, which are whole numbers.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from odoo.addons.integration_base.lib.digest import digest

from .contract import Fulfillment, FulfillmentOrder
from .pages import Connection, PlainList

#: Names of carriers for which Shopify makes tracking links by itself, written exactly like this.
#: https://shopify.dev/docs/api/admin-graphql/latest/objects/FulfillmentTrackingInfo
COMPANIES = (
    *("4PX", "ACS Courier", "AGS", "Alliance Air Freight", "Allied Express", "Amazon"),
    *("Amazon Logistics UK", "An Post", "Anjun Logistics", "APC", "Aramex Australia"),
    *("Aras Kargo", "Asendia USA", "Australia Post", "Bluedart", "Bonds", "Bonshaw", "BoxKnight"),
    *("BPost", "BPost International", "Bring", "BRT", "Canada Post", "Canpar", "CDL Last Mile"),
    *("China Post", "Chronopost", "Chukou1", "Colis Privé", "Colissimo", "Comingle"),
    *("Coordinadora", "Correios", "Correos", "Couriers Please", "CTT", "CTT Express"),
    *("Cyprus Post", "Delhivery", "Delnext", "Deutsche Post", "Deutsche Post (DE)"),
    *("Deutsche Post (EN)", "DHL", "DHL eCommerce", "DHL eCommerce Asia", "DHL Express"),
    *("DHL Parcel", "Direct Couriers", "DPD", "DPD Ireland", "DPD Local", "DPD UK", "DTD Express"),
    *("DTDC", "DX", "Eagle", "Ecom Express", "Ekart", "Estes", "Evri", "Fastway", "FedEx"),
    *("First Global Logistics", "First Line", "FSC", "Fulfilla", "Gati KWE", "GLS", "GLS Italy"),
    *("GO Logistics", "Guangdong Weisuyi Information Technology (WSE)"),
    *("Heppner Internationale Spedition GmbH & Co.", "Hermes", "Hunter Express", "Iceland Post"),
    *("IDEX", "India Post", "Inpost", "Intelcom", "Israel Post", "Japan Post (EN)"),
    *("Japan Post (JA)", "La Poste Burkina Faso", "La Poste Colissimo", "Lasership"),
    *("Latvia Post", "Lietuvos Paštas", "Logisters", "Lone Star Overnight", "Loomis", "LSO"),
    *("M3 Logistics", "Meteor Space", "Mondial Relay", "New Zealand Post", "NinjaVan"),
    *("North Russia Supply Chain (Shenzhen) Co.", "Northline", "Old Dominion", "OnTrac"),
    *("Packeta", "Pago Logistics", "Pandion", "Parcelforce", "Pilot Freight"),
    *("Ping An Da Tengfei Express", "Pitney Bowes", "Portal PostNord", "Poste Italiane"),
    *("PostNL", "PostNord DK", "PostNord NO", "PostNord SE", "Professional Couriers", "PTT"),
    *("Purolator", "Qxpress", "Qyun Express", "R+L Carriers", "Royal Mail", "Royal Shipments"),
    *("Sagawa (EN)", "Sagawa (JA)", "Sendle", "SEUR", "SF Express", "SFC Fulfillment"),
    *("Shadowfax", "ShipBob", "SHREE NANDAN COURIER", "Singapore Post", "Skynet"),
    *("Southwest Air Cargo", "Speedy", "StarTrack", "Step Forward Freight", "Sürat Kargo"),
    *("Swiship", "Swiss Post", "TForce Final Mile", "Tinghao", "TNT", "TNT Australia"),
    *("Toll IPEC", "Tuffnells", "United Delivery Service", "UPS", "USPS", "Venipak"),
    *("WanbExpress", "We Post", "Whistl", "Wizmo", "WMYC", "Xpedigo", "XPO Logistics"),
    *("XpressBees", "Yamato (EN)", "Yamato (JA)", "YiFan Express", "Yodel", "YunExpress"),
    *("Yurtiçi Kargo", "Zásilkovna", "Österreichische Post"),
    *(
        "エコ配",
        "名鉄運輸",
        "日本通運",
        "福山通運",
        "第一貨物",
        "西濃スーパーエキスプレス",
        "西濃運輸",
    ),
)
#: What Odoo's own carriers are called in ``delivery_type``, where no name could tell.
_TYPES = {
    "bpost": "BPost",
    "dhl": "DHL Express",
    "dhl_rest": "DHL Express",
    "fedex": "FedEx",
    "fedex_rest": "FedEx",
    "ups": "UPS",
    "ups_rest": "UPS",
    "usps": "USPS",
    "usps_rest": "USPS",
}
#: Fulfillment orders whose units are no work: of a closed one they are in another one.
FINISHED = frozenset({"CLOSED", "CANCELLED"})
#: Lines of a fulfillment order that one call may name; Shopify takes no longer list.
MAX_ROWS = 250
#: Shipments that never were, or are no more.
UNSHIPPED = frozenset({"CANCELLED", "ERROR", "FAILURE"})
#: How shipments are shown that have left the house: cancelling them brings no goods back.
#: https://shopify.dev/docs/api/admin-graphql/latest/enums/FulfillmentDisplayStatus
ON_THE_WAY = frozenset(
    {
        "ATTEMPTED_DELIVERY",
        "CARRIER_PICKED_UP",
        "DELAYED",
        "DELIVERED",
        "IN_TRANSIT",
        "OUT_FOR_DELIVERY",
        "PICKED_UP",
    }
)


def company_of(carrier: str, delivery_type: str = "") -> str:
    """Return what Shopify calls a carrier; its own name where Shopify does not know it.

    >>> company_of("DHL Express Worldwide"), company_of("Our van")
    ('DHL Express', 'Our van')

    :param carrier: name of Odoo's delivery method.
    :param delivery_type: which of Odoo's integrations it is.
    """
    name = " ".join(carrier.split())
    found = [
        company
        for company in COMPANIES
        if re.search(rf"(?<!\w){re.escape(company)}(?!\w)", name, re.IGNORECASE)
    ]
    return max(found, key=len, default=None) or _TYPES.get(delivery_type) or name


def split_numbers(text: str) -> list[str]:
    """Return the tracking numbers of a field that may hold several, each once."""
    return list(dict.fromkeys(filter(None, (part.strip() for part in re.split(r"[,;\n]", text)))))


def tracking_mark(numbers: Iterable[str]) -> str:
    """Return a text that is equal for equal tracking numbers, whatever their order."""
    return digest(sorted(numbers))[:16] if numbers else ""


def is_shipped(fulfillment: Fulfillment) -> bool:
    """Whether the units left; a service may still work on what it has only acknowledged."""
    return fulfillment.status == "SUCCESS"


def units_of(fulfillment: Fulfillment) -> Counter:
    """Return ``{line item id: units}`` of a shipment."""
    units = Counter()
    for row in fulfillment.fulfillmentLineItems:
        units[row.lineItem.id] += row.quantity or 0
    return +units


def numbers_of(fulfillment: Fulfillment) -> list[str]:
    """Return the tracking numbers of a shipment."""
    return [row.number for row in fulfillment.trackingInfo if row.number]


#: Rows of the first query of :data:`PAGES`.
FIRST = {"fulfillments": 25, "fulfillmentOrders": 25, "lines": 20}


def _lines_of(place):
    return {"id": place.parent["id"], "first": place.first, "after": place.after}


def _more(place, **sizes):
    return {"id": place.root["id"], **FIRST, "after": place.after, **sizes}


#: How what ``order_fulfillments`` brings is read to its end, see :mod:`.pages`.
PAGES = (
    PlainList(
        "fulfillments",
        "order_fulfillments",
        "order.fulfillments",
        FIRST["fulfillments"],
        lambda place: _more(place, fulfillments=place.first, fulfillmentOrders=1, lines=1),
    ),
    Connection(
        "fulfillments.fulfillmentLineItems",
        "fulfillment_lines",
        "fulfillment.fulfillmentLineItems",
        _lines_of,
        version=None,
    ),
    Connection(
        "fulfillmentOrders",
        "order_fulfillments",
        "order.fulfillmentOrders",
        lambda place: _more(place, fulfillments=1, fulfillmentOrders=place.first),
        page=FIRST["fulfillmentOrders"],
    ),
    Connection(
        "fulfillmentOrders.lineItems",
        "fulfillment_order_lines",
        "fulfillmentOrder.lineItems",
        _lines_of,
        version=None,
    ),
)


@dataclass
class Part:
    """What one call ships: units at one location.

    :ivar units: ``{line item id: units}``.
    :ivar rows: ``{fulfillment order id: {id of its line: units}}``.
    """

    location: str
    units: Counter = field(default_factory=Counter)
    rows: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        return sum(map(len, self.rows.values())) >= MAX_ROWS


@dataclass
class Plan:
    """How units are shipped.

    :ivar parts: by location, the wanted one first.
    :ivar missing: ``{line item id: units}`` that no fulfillment order has open.
    :ivar blocked: the fulfillment orders that have such units and may not be shipped now.
    """

    parts: list[Part]
    missing: Counter
    blocked: list[FulfillmentOrder]


def _actions(order: FulfillmentOrder) -> set[str]:
    return {row.action for row in order.supportedActions}


def _place(order: FulfillmentOrder) -> str:
    location = order.assignedLocation.location
    return location.id if location else ""


def _open(orders, action):
    return [o for o in orders if o.status not in FINISHED and action in _actions(o)]


def _rows(order):
    return [row for row in order.lineItems if row.remainingQuantity > 0]


def open_units(orders: list[FulfillmentOrder], lines: Iterable[str]) -> Counter:
    """Return the units of some line items that may be shipped now, ``{line item id: units}``."""
    wanted, found = set(lines), Counter()
    for order in _open(orders, "CREATE_FULFILLMENT"):
        for row in _rows(order):
            if row.lineItem.id in wanted:
                found[row.lineItem.id] += row.remainingQuantity
    return found


def plan(orders: list[FulfillmentOrder], wanted: Mapping[str, int], location: str = "") -> Plan:
    """Find the fulfillment orders to ship units from.

    :param wanted: ``{line item id: units}``.
    :param location: where they are shipped; units assigned there are taken first.
    """
    rest = +Counter(wanted)
    parts = {}
    ready = _open(orders, "CREATE_FULFILLMENT")
    for order in sorted(ready, key=lambda order: _place(order) != location):
        for row in _rows(order):
            units = min(rest[row.lineItem.id], row.remainingQuantity)
            if units <= 0:
                continue
            place = _place(order)
            if place not in parts or parts[place][-1].is_full:
                parts.setdefault(place, []).append(Part(place))
            part = parts[place][-1]
            part.units[row.lineItem.id] += units
            part.rows.setdefault(order.id, {})[row.id] = units
            rest[row.lineItem.id] -= units
    rest = +rest
    blocked = [
        order
        for order in orders
        if order.status not in FINISHED
        and order not in ready
        and any(row.lineItem.id in rest for row in _rows(order))
    ]
    return Plan([part for found in parts.values() for part in found], rest, blocked)


def moves(
    orders: list[FulfillmentOrder], wanted: Mapping[str, int], location: str
) -> list[tuple[str, dict[str, int]]]:
    """Return what has to be assigned to ``location`` before units can be shipped from there.

    :returns: ``[(fulfillment order id, {id of its line: units})]``, only the units needed and only
        what may be moved.
    """
    rest = +Counter(wanted)
    for order in _open(orders, "CREATE_FULFILLMENT"):
        if _place(order) == location:
            rest -= Counter({row.lineItem.id: row.remainingQuantity for row in _rows(order)})
    found = []
    for order in _open(orders, "MOVE"):
        if _place(order) == location or order.status == "ON_HOLD":
            continue
        taken = {}
        for row in _rows(order):
            units = min(rest[row.lineItem.id], row.remainingQuantity)
            if units > 0:
                taken[row.id] = units
                rest[row.lineItem.id] -= units
        if taken:
            found.append((order.id, taken))
    return found
