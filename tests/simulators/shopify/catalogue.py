"""Products, stock, places and people."""

from __future__ import annotations

from typing import Any

from .base import Base, action, decimal
from .money import round_money
from .records import Address, Customer, InventoryItem, Level, Line, Location, Product, Variant

COUNTRIES = {
    "AT": "Austria",
    "AU": "Australia",
    "BE": "Belgium",
    "CA": "Canada",
    "CH": "Switzerland",
    "DE": "Germany",
    "ES": "Spain",
    "FR": "France",
    "GB": "United Kingdom",
    "IE": "Ireland",
    "IT": "Italy",
    "JP": "Japan",
    "NL": "Netherlands",
    "SE": "Sweden",
    "US": "United States",
}


class Catalogue(Base):
    def add_location(self, name: str, **address: Any) -> Location:
        place = self.make_address({"country_code": self.config.country, **address})
        return self.add(Location(self.next_id("Location"), name, place))

    @property
    def default_location(self) -> Location:
        locations = [loc for loc in self.all("Location") if loc.active]
        return locations[0] if locations else self.add_location("Main warehouse")

    @action
    def add_product(self, spec: dict[str, Any]) -> Product:
        """Create a product.

        :param spec: ``title``, ``variants`` (list of ``{sku, barcode, price, options, stock,
            taxable, grams, requiresShipping}``) and optionally ``vendor, productType, description,
            tags, options, status, giftCard``.
        """
        title = spec.get("title") or spec.get("sku") or "Product"
        product = Product(
            self.next_id("Product"),
            title,
            spec.get("handle") or "-".join(title.lower().split()),
            vendor=spec.get("vendor", self.config.name),
            product_type=spec.get("productType", ""),
            description=spec.get("description", ""),
            status=spec.get("status", "ACTIVE"),
            tags=list(spec.get("tags", [])),
            options=list(spec.get("options", ["Title"])),
            gift_card=bool(spec.get("giftCard")),
        )
        self.add(product)
        rows = spec.get("variants") or [
            {k: spec[k] for k in ("sku", "barcode", "price", "stock", "taxable") if k in spec}
        ]
        for position, row in enumerate(rows, 1):
            values = row.get("options") or ["Default Title"]
            variant = Variant(
                self.next_id("ProductVariant"),
                product,
                " / ".join(values),
                list(zip(product.options, values, strict=False)),
                row.get("sku"),
                row.get("barcode"),
                round_money(decimal(row.get("price", "10.00"), "price"), self.config.currency),
                position,
                taxable=row.get("taxable", True),
                grams=int(row.get("grams", 0)),
                requires_shipping=row.get("requiresShipping", not product.gift_card),
                policy=row.get("policy", "DENY"),
            )
            item = InventoryItem(
                self.next_id("InventoryItem"), variant, tracked=row.get("tracked", True)
            )
            variant.item = item
            product.variants.append(self.add(variant))
            self.add(item)
            stock = int(row.get("stock", 0))
            for location in self.all("Location") or [self.default_location]:
                level = Level(self.next_id("InventoryLevel"), item, location)
                quantity = stock if location is self.default_location else 0
                level.quantities = {"available": quantity, "on_hand": quantity}
                item.levels.append(self.add(level))
        self.emit("PRODUCTS_CREATE", product)
        return product

    def add_level(self, item: InventoryItem, location: Location) -> Level:
        """Stock an item at a location where it was not stocked (allowed since 2026-10)."""
        level = Level(self.next_id("InventoryLevel"), item, location)
        item.levels.append(self.add(level))
        return level

    def make_address(self, spec: dict[str, Any]) -> Address:
        values = {
            key: spec[key]
            for key in (
                "first_name",
                "last_name",
                "company",
                "address1",
                "address2",
                "city",
                "zip",
                "province",
                "province_code",
                "country",
                "country_code",
                "phone",
            )
            if spec.get(key) is not None
        }
        for camel, snake in (
            ("firstName", "first_name"),
            ("lastName", "last_name"),
            ("countryCode", "country_code"),
            ("provinceCode", "province_code"),
        ):
            if spec.get(camel) is not None:
                values[snake] = spec[camel]
        code = values.get("country_code")
        if code:
            values.setdefault("country", COUNTRIES.get(code, code))
        return self.add(Address(self.next_id("MailingAddress"), **values))

    @action
    def add_customer(self, spec: dict[str, Any]) -> Customer:
        """Create a customer, or return the one with this id, e-mail or phone."""
        if spec.get("id"):
            return self.get("Customer", spec["id"])
        for customer in self.all("Customer"):
            if spec.get("email") and (customer.email or "").lower() == spec["email"].lower():
                return customer
        address = {k: v for k, v in (spec.get("address") or {}).items()}
        first, last = spec.get("firstName"), spec.get("lastName")
        customer = Customer(
            self.next_id("Customer"),
            first,
            last,
            spec.get("email"),
            spec.get("phone"),
            note=spec.get("note"),
            tags=list(spec.get("tags", [])),
            state=spec.get("state", "DISABLED"),
            tax_exempt=bool(spec.get("taxExempt")),
        )
        if address:
            named = {"first_name": first, "last_name": last, **address}
            customer.addresses.append(self.make_address(named))
        self.add(customer)
        self.emit("CUSTOMERS_CREATE", customer)
        return customer

    def _move_stock(
        self, line: Line, moves: dict[str, int], location: Location | None = None
    ) -> None:
        if not line.variant or not line.variant.item.tracked:
            return
        level = line.variant.item.level(location or self.default_location)
        if level:
            for name, delta in moves.items():
                level.move(name, delta)
            self.emit("INVENTORY_LEVELS_UPDATE", level)
