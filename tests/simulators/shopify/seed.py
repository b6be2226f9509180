"""A believable demo shop, and orders drawn from a seed."""

from __future__ import annotations

import random
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
    for person in _PEOPLE[:3]:
        shop.add_customer(_customer(person))


_PEOPLE = [
    ("Anna", "Bergmann", "DE", "Lindenweg 4", "10435", "Berlin", None),
    ("Liam", "O'Connor", "IE", "12 Merrion Sq", "D02 E400", "Dublin", None),
    ("Chloé", "Dubois", "FR", "3 rue des Lilas", "69001", "Lyon", None),
    ("Marco", "Rossi", "IT", "Via Roma 15", "20121", "Milano", ("MI", "Milano")),
    ("Emma", "Johnson", "US", "450 Market St", "94105", "San Francisco", ("CA", "California")),
    ("Noah", "Williams", "US", "77 Broadway", "10006", "New York", ("NY", "New York")),
    ("Olivia", "Smith", "GB", "5 Deansgate", "M3 1AZ", "Manchester", None),
    ("Yuki", "Tanaka", "JP", "1-2-3 Shibuya", "150-0002", "Tokyo", ("JP-13", "Tokyo")),
    ("Lukas", "Meier", "CH", "Seestr. 8", "8002", "Zürich", None),
    ("Sofia", "García", "ES", "Calle Mayor 9", "28013", "Madrid", ("M", "Madrid")),
    ("Åsa", "Lindqvist", "SE", "Sveavägen 44", "111 34", "Stockholm", None),
    ("Jan", "de Vries", "NL", "Keizersgracht 100", "1015 CV", "Amsterdam", None),
    ("Amélie", "Tremblay", "CA", "200 Rue Sainte-Anne", "H3B 1A1", "Montréal", ("QC", "Quebec")),
    ("Maria", "Huber", "AT", "Ringstr. 2", "1010", "Wien", None),
    ("Jack", "Nguyen", "AU", "18 George St", "2000", "Sydney", ("NSW", "New South Wales")),
]

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


def _customer(person: tuple[Any, ...], serial: str = "") -> dict[str, Any]:
    first, last, country, street, code, city, province = person
    plain = "".join(
        c for c in f"{first}.{last}".lower() if c.isascii() and (c.isalnum() or c == ".")
    )
    address = {"address1": street, "zip": code, "city": city, "country_code": country}
    if province:
        address["province_code"], address["province"] = province
    return {
        "firstName": first,
        "lastName": last + serial,
        "email": f"{plain}{serial.strip()}@example.com",
        "address": address,
    }


def random_orders(count: int, seed: int, shop: Shop) -> list[dict[str, Any]]:
    """Specs of ``count`` orders; the same seed on the same catalogue draws the same orders."""
    rng = random.Random(seed)
    variants = [v for v in shop.all("ProductVariant") if v.sku]
    return [_random_order(rng, index, variants, shop) for index in range(count)]


def _random_order(
    rng: random.Random, index: int, variants: list[Any], shop: Shop
) -> dict[str, Any]:
    person = rng.choice(_PEOPLE)
    # Buyers come back: 60 % of the orders are of a small circle, the others of somebody new.
    serial = f" {rng.randint(1, 4)}" if rng.random() < 0.6 else f" {100 + index}"
    customer = _customer(person, serial)
    country = person[2]
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
        other = _customer(rng.choice([p for p in _PEOPLE if p[2] == country]))
        spec["delivery"] = {
            "first_name": other["firstName"],
            "last_name": other["lastName"],
            **other["address"],
            "company": "c/o Office",
        }
    return spec
