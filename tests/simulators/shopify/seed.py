"""A believable demo shop, and orders drawn from a seed."""

from __future__ import annotations

import random
import unicodedata
from typing import Any

from .money import exponent
from .shop import Shop

# (title, product type, options, [(options, sku, price, grams)])
_CATALOGUE: list[tuple[str, str, list[str], list[tuple[list[str], str, str, int]]]] = [
    (
        "Organic Cotton T-Shirt",
        "Apparel",
        ["Size", "Color"],
        [
            ([size, color], f"TSH-{color[:3].upper()}-{size}", "24.90", 180)
            for color in ("Black", "Sand")
            for size in ("S", "M", "L")
        ],
    ),
    (
        "Merino Beanie",
        "Apparel",
        ["Color"],
        [(["Navy"], "BEA-NAV", "29.00", 90), (["Moss"], "BEA-MOS", "29.00", 90)],
    ),
    ("Enamel Mug 350 ml", "Kitchen", ["Title"], [([], "MUG-350", "14.50", 260)]),
    (
        "Coffee Beans House Blend",
        "Coffee",
        ["Weight"],
        [(["250 g"], "COF-250", "9.95", 260), (["1 kg"], "COF-1000", "32.80", 1020)],
    ),
    ("Pour-Over Dripper", "Kitchen", ["Title"], [([], "DRP-01", "21.99", 340)]),
    ("Paper Filters (100)", "Kitchen", ["Title"], [([], "FIL-100", "4.75", 150)]),
    ("Hand Grinder", "Kitchen", ["Title"], [([], "GRD-HAND", "89.00", 640)]),
    (
        "Canvas Tote Bag",
        "Accessories",
        ["Color"],
        [(["Natural"], "TOT-NAT", "17.33", 210), (["Charcoal"], "TOT-CHA", "17.33", 210)],
    ),
    ("Beeswax Candle", "Home", ["Title"], [([], "CAN-BEE", "12.07", 310)]),
    ("Linen Tea Towel", "Home", ["Title"], [([], "TOW-LIN", "11.11", 120)]),
    ("Oak Cutting Board", "Kitchen", ["Title"], [([], "BRD-OAK", "46.00", 1400)]),
    (
        "Notebook A5",
        "Stationery",
        ["Paper"],
        [(["Dotted"], "NOT-DOT", "7.99", 230), (["Lined"], "NOT-LIN", "7.99", 230)],
    ),
]


def ean13(number: int) -> str:
    """A valid EAN-13 in the range for internal use."""
    digits = f"20{number:010d}"
    odd_even = sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(digits))
    return digits + str(-odd_even % 10)


def seed_catalogue(shop: Shop) -> None:
    """Two locations, a dozen products, three known customers."""
    if not shop.all("Location"):
        shop.add_location(
            "Main warehouse", address1="Lagerstr. 1", city="Hamburg", zip="20095", country_code="DE"
        )
        shop.add_location(
            "Store Berlin", address1="Torstr. 10", city="Berlin", zip="10119", country_code="DE"
        )
    for name in ("Online Store", "Point of Sale"):
        shop.add_publication(name, auto=True)
    number = 1
    for title, kind, options, rows in _CATALOGUE:
        variants = []
        for values, sku, price, grams in rows:
            variants.append(
                {
                    "options": values or None,
                    "sku": sku,
                    "barcode": ean13(number),
                    "price": price,
                    "grams": grams,
                    "stock": 500,
                }
            )
            number += 1
        shop.add_product(
            {
                "title": title,
                "productType": kind,
                "vendor": "Nordlicht Goods",
                "options": options,
                "variants": variants,
                "tags": [kind.lower()],
            }
        )
    rng = random.Random(shop.config.seed)
    for country in ("DE", "FR", "US"):
        shop.add_customer(_customer(rng, country))


# country -> (first names, last names, streets, [(post code, city, province)])
_PLACES: dict[str, tuple[str, str, str, list[tuple[str, str, tuple[str, str] | None]]]] = {
    "DE": (
        "Anna Jonas Greta Felix Mia Paul Lea Emil",
        "Bergmann Krüger Weiß Schäfer Vogt Brandt Lorenz Köhler",
        "Lindenweg|Bahnhofstr.|Am Markt",
        [("10435", "Berlin", None), ("20095", "Hamburg", None), ("80331", "München", None)],
    ),
    "AT": (
        "Maria Lukas Eva Tobias Klara",
        "Huber Gruber Pichler Moser Steiner",
        "Ringstr.|Hauptplatz",
        [("1010", "Wien", None), ("8010", "Graz", None)],
    ),
    "FR": (
        "Chloé Hugo Léa Théo Manon",
        "Dubois Lefèvre Moreau Girard Fontaine",
        "rue des Lilas|avenue Foch",
        [("69001", "Lyon", None), ("75011", "Paris", None)],
    ),
    "IT": (
        "Marco Giulia Luca Sara Elena",
        "Rossi Ferrari Bianchi Greco D'Angelo",
        "Via Roma|Corso Italia",
        [("20121", "Milano", ("MI", "Milano")), ("10121", "Torino", ("TO", "Torino"))],
    ),
    "ES": (
        "Sofía Pablo Lucía Diego Carmen",
        "García Muñoz Ortega Ibáñez Vidal",
        "Calle Mayor|Gran Vía",
        [("28013", "Madrid", ("M", "Madrid")), ("08002", "Barcelona", ("B", "Barcelona"))],
    ),
    "NL": (
        "Jan Sanne Daan Lotte Bram",
        "Jansen Visser Bakker Smit Dekker",
        "Keizersgracht|Dorpsstraat",
        [("1015 CV", "Amsterdam", None), ("3511 LN", "Utrecht", None)],
    ),
    "IE": (
        "Liam Aoife Conor Niamh Sean",
        "O'Connor Byrne Walsh Kelly Nolan",
        "Merrion Sq|Main St",
        [("D02 E400", "Dublin", ("D", "Dublin")), ("T12 XY00", "Cork", ("CO", "Cork"))],
    ),
    "GB": (
        "Olivia George Amelia Harry Isla",
        "Smith Taylor Hughes Patel Clarke",
        "Deansgate|High Street",
        [("M3 1AZ", "Manchester", None), ("SW1A 1AA", "London", None)],
    ),
    "SE": (
        "Åsa Erik Maja Nils Freja",
        "Lindqvist Bergström Åkesson Holm Ek",
        "Sveavägen|Storgatan",
        [("111 34", "Stockholm", None), ("411 03", "Göteborg", None)],
    ),
    "CH": (
        "Lukas Nora Beat Selina Reto",
        "Meier Keller Frei Brunner Zürcher",
        "Seestr.|Dorfstr.",
        [("8002", "Zürich", ("ZH", "Zürich")), ("3011", "Bern", ("BE", "Bern"))],
    ),
    "US": (
        "Emma Noah Ava James Mia Ethan Grace Logan",
        "Johnson Williams Brown Davis Miller Garcia Lee Walker",
        "Market St|Broadway|Oak Ave",
        [
            ("94105", "San Francisco", ("CA", "California")),
            ("10006", "New York", ("NY", "New York")),
            ("78701", "Austin", ("TX", "Texas")),
        ],
    ),
    "CA": (
        "Amélie William Zoé Thomas Léa",
        "Tremblay Gagnon Roy MacDonald Singh",
        "Rue Sainte-Anne|King St",
        [("H3B 1A1", "Montréal", ("QC", "Quebec")), ("M5H 2N2", "Toronto", ("ON", "Ontario"))],
    ),
    "JP": (
        "Yuki Haruto Sakura Ren Aoi",
        "Tanaka Suzuki Yamamoto Kobayashi Mori",
        "Shibuya|Umeda",
        [("150-0002", "Tokyo", ("JP-13", "Tokyo")), ("530-0001", "Osaka", ("JP-27", "Osaka"))],
    ),
    "AU": (
        "Jack Ruby Oliver Matilda Lachlan",
        "Nguyen Campbell Murphy Kelly Harris",
        "George St|Collins St",
        [
            ("2000", "Sydney", ("NSW", "New South Wales")),
            ("3000", "Melbourne", ("VIC", "Victoria")),
        ],
    ),
}

# country -> (currency, taxes included, [(title, rate)], shipping price in that currency)
_MARKETS: dict[str, tuple[str, bool, list[tuple[str, str]], str]] = {
    "DE": ("EUR", True, [("DE MwSt", "0.19")], "4.90"),
    "AT": ("EUR", True, [("AT MwSt", "0.2")], "7.90"),
    "FR": ("EUR", True, [("FR TVA", "0.2")], "8.90"),
    "IT": ("EUR", True, [("IT IVA", "0.22")], "8.90"),
    "ES": ("EUR", True, [("ES IVA", "0.21")], "8.90"),
    "NL": ("EUR", True, [("NL BTW", "0.21")], "6.90"),
    "IE": ("EUR", True, [("IE VAT", "0.23")], "9.90"),
    "GB": ("GBP", True, [("GB VAT", "0.2")], "9.50"),
    "SE": ("SEK", True, [("SE Moms", "0.25")], "79.00"),
    "CH": ("CHF", False, [("CH MwSt", "0.081")], "12.00"),
    "US": ("USD", False, [("State Tax", "0.0725"), ("County Tax", "0.0125")], "14.99"),
    "CA": ("CAD", False, [("GST", "0.05"), ("QST", "0.09975")], "18.00"),
    "JP": ("JPY", True, [("JP Consumption Tax", "0.1")], "1800"),
    "AU": ("AUD", True, [("AU GST", "0.1")], "19.95"),
}


# Where most of the buyers are.
_WEIGHTS = {"DE": 5, "US": 4, "FR": 2, "GB": 2}


def _customer(rng: random.Random, country: str) -> dict[str, Any]:
    """Somebody of a country; the same name is the same person at the same address."""
    firsts, lasts, streets, towns = _PLACES[country]
    first, last = rng.choice(firsts.split()), rng.choice(lasts.split())
    number = sum(map(ord, first + last))
    street = streets.split("|")[number % len(streets.split("|"))]
    code, city, province = towns[number % len(towns)]
    place = f"{number % 90 + 1}"
    before = country in ("US", "GB", "IE", "CA", "AU", "FR")
    address: dict[str, Any] = {
        "address1": f"{place} {street}" if before else f"{street} {place}",
        "zip": code,
        "city": city,
        "country_code": country,
    }
    if province:
        address["province_code"], address["province"] = province
    name = unicodedata.normalize("NFKD", f"{first}.{last}".lower().replace("ß", "ss"))
    plain = "".join(char for char in name if char.isascii() and (char.isalnum() or char == "."))
    return {
        "firstName": first,
        "lastName": last,
        "email": f"{plain}@{country.lower()}.example.com",
        "address": address,
    }


def random_orders(count: int, seed: int, shop: Shop) -> list[dict[str, Any]]:
    """Specs of ``count`` orders; the same seed on the same catalogue draws the same orders."""
    rng = random.Random(seed)
    variants = [v for v in shop.all("ProductVariant") if v.sku]
    return [_random_order(rng, variants, shop) for _order in range(count)]


def _random_order(rng: random.Random, variants: list[Any], shop: Shop) -> dict[str, Any]:
    country = rng.choices(list(_MARKETS), [_WEIGHTS.get(c, 1) for c in _MARKETS])[0]
    customer = _customer(rng, country)
    currency, included, taxes, shipping = _MARKETS[country]
    local = currency == shop.config.currency or currency in shop.config.rates
    if not local or rng.random() < 0.15:
        currency, shipping = shop.config.currency, "9.90"
    lines = []
    for variant in rng.sample(variants, min(rng.randint(1, 12), len(variants))):
        line: dict[str, Any] = {"variant": variant.gid, "quantity": rng.choice([1, 1, 1, 2, 3, 5])}
        if rng.random() < 0.12:
            line["discount"] = rng.choice(
                [
                    {"title": "Bundle", "kind": "automatic", "percentage": 10},
                    {"title": "Bundle", "kind": "automatic", "percentage": 33},
                    {"title": "Scratched", "amount": "1" if not exponent(currency) else "1.37"},
                ]
            )
        if rng.random() < 0.05:
            line["taxable"] = False
        lines.append(line)
    discounts: list[dict[str, Any]] = []
    draw = rng.random()
    if draw < 0.15:
        discounts.append({"code": "WELCOME10", "percentage": 10})
    elif draw < 0.3:
        discounts.append({"code": "FIVE", "amount": "500" if not exponent(currency) else "5.01"})
    elif draw < 0.36:
        discounts.append({"code": "FREESHIP", "percentage": 100, "target": "shipping"})
    spec: dict[str, Any] = {
        "presentmentCurrency": currency,
        "taxesIncluded": included,
        "taxes": [{"title": title, "rate": rate} for title, rate in taxes],
        "lines": lines,
        "discounts": discounts,
        "shipping": [{"title": "Standard", "code": "STD", "price": shipping}],
        "customer": customer,
        "payment": rng.choices(["paid", "pending", "authorized", "none"], [75, 12, 8, 5])[0],
        "gateway": rng.choice(["shopify_payments", "paypal", "manual"]),
        "tags": rng.sample(["vip", "gift", "wholesale"], rng.choice([0, 0, 1, 2])),
    }
    if rng.random() < 0.15:
        customer["guest"] = True
    if rng.random() < 0.25:
        spec["note"] = rng.choice(["Please ring twice", "Gift, no invoice in the box", "Ça va? ✓"])
    if rng.random() < 0.2:
        other = _customer(rng, country)
        spec["delivery"] = {
            "first_name": other["firstName"],
            "last_name": other["lastName"],
            **other["address"],
            "company": "c/o Office",
        }
    return spec
