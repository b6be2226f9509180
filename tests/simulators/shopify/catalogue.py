"""Products, stock, places and people."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import Any

from .base import Base, action, decimal
from .money import round_money
from .records import (
    Address,
    Collection,
    Customer,
    InventoryItem,
    Level,
    Line,
    Location,
    Media,
    Metafield,
    Option,
    OptionValue,
    Product,
    Publication,
    Variant,
    now,
)

GRAMS = {"GRAMS": 1, "KILOGRAMS": 1000, "OUNCES": 28.349523125, "POUNDS": 453.59237}

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

        :param spec: ``title``, ``variants`` (list of ``{sku, barcode, price, compareAt, options,
            stock, taxable, grams, weight: [value, unit], requiresShipping, tracked, policy, cost,
            hsCode, origin, image, metafields}``) and optionally ``vendor, productType,
            description, descriptionHtml, tags, options, status, giftCard, category, images (list of
            addresses or {source, alt}), metafields (list of {namespace, key, type, value}),
            collections, publications (ids)``.
        """
        title = spec.get("title") or spec.get("sku") or "Product"
        text = spec.get("description", "")
        product = Product(
            self.next_id("Product"),
            title,
            self.free_handle(spec.get("handle") or title),
            vendor=spec.get("vendor", self.config.name),
            product_type=spec.get("productType", ""),
            description_html=spec.get("descriptionHtml", f"<p>{text}</p>" if text else ""),
            status=spec.get("status", "ACTIVE"),
            tags=list(spec.get("tags", [])),
            gift_card=bool(spec.get("giftCard")),
            category=spec.get("category"),
        )
        for image in spec.get("images", []):
            row = {"source": image} if isinstance(image, str) else image
            product.media.append(self.add_media(row["source"], row.get("alt")))
        self.add(product)
        self.add_metafields(product, spec.get("metafields", []))
        names = list(spec.get("options", ["Title"]))
        for name in names:
            self.add_option(product, name)
        rows = spec.get("variants") or [
            {
                k: spec[k]
                for k in ("sku", "barcode", "price", "stock", "taxable", "grams", "tracked")
                if k in spec
            }
        ]
        for row in rows:
            self.add_variant(product, row.get("options") or ["Default Title"], row)
        for key in spec.get("collections", []):
            self.get("Collection", key).products.append(product)
        for key in spec.get("publications", []):
            product.publications[self.get("Publication", key).id] = now()
        for publication in self.all("Publication"):
            if publication.auto:
                product.publications[publication.id] = now()
        self.index_product(product)
        self.emit("PRODUCTS_CREATE", product)
        return product

    def free_handle(self, text: str) -> str:
        """A handle made of ``text`` that no product has."""
        base = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "product"
        taken = {product.handle for product in self.all("Product")}
        numbers = (f"{base}-{number}" for number in itertools.count(1))
        return next(name for name in itertools.chain([base], numbers) if name not in taken)

    def add_option(self, product: Product, name: str, values: Iterable[str] = ()) -> Option:
        option = self.add(Option(self.next_id("ProductOption"), product, name))
        product.options.append(option)
        for value in values:
            self.option_value(option, value)
        return option

    def option_value(self, option: Option, name: str) -> OptionValue:
        """The value of this name, made where it does not exist."""
        for value in option.values:
            if value.name == name:
                return value
        value = self.add(OptionValue(self.next_id("ProductOptionValue"), option, name))
        option.values.append(value)
        return value

    def add_variant(self, product: Product, values: list[str], row: dict[str, Any]) -> Variant:
        """Add a variant that is stocked everywhere; ``row`` as in :meth:`add_product`.

        :param values: of the options, in their order.
        """
        variant = Variant(
            self.next_id("ProductVariant"),
            product,
            " / ".join(values),
            [
                self.option_value(option, value)
                for option, value in zip(product.options, values, strict=False)
            ],
            row.get("sku"),
            row.get("barcode"),
            round_money(decimal(row.get("price", "10.00"), "price"), self.config.currency),
            len(product.variants) + 1,
            taxable=row.get("taxable", True),
            grams=int(row.get("grams", 0)),
            requires_shipping=row.get("requiresShipping", not product.gift_card),
            policy=row.get("policy", "DENY"),
        )
        if row.get("compareAt"):
            variant.compare_at = round_money(decimal(row["compareAt"]), self.config.currency)
        if row.get("image"):
            media = self.add_media(row["image"], None)
            product.media.append(media)
            variant.media.append(media)
        item = InventoryItem(
            self.next_id("InventoryItem"),
            variant,
            tracked=row.get("tracked", True),
            cost=decimal(row["cost"], "cost") if row.get("cost") is not None else None,
            hs_code=row.get("hsCode"),
            origin=row.get("origin"),
        )
        variant.item = item
        if row.get("weight"):
            self.set_weight(item, *row["weight"])
        product.variants.append(self.add(variant))
        self.add(item)
        self.add_metafields(variant, row.get("metafields", []))
        stock = int(row.get("stock", 0))
        for location in self.all("Location") or [self.default_location]:
            level = Level(self.next_id("InventoryLevel"), item, location)
            quantity = stock if location is self.default_location else 0
            level.quantities = {"available": quantity, "on_hand": quantity}
            item.levels.append(self.add(level))
        return variant

    def set_weight(self, item: InventoryItem, value: float, unit: str) -> None:
        """Weight of an item as it was given; lines of orders tell it in grams."""
        item.weight = (float(value), unit)
        item.variant.grams = round(float(value) * GRAMS[unit])

    def add_media(self, source: str, alt: str | None, **values: Any) -> Media:
        return self.add(Media(self.next_id("MediaImage"), alt, source, **values))

    def add_metafields(self, owner: Any, rows: Iterable[dict[str, Any]]) -> None:
        for row in rows:
            self.write_metafield(owner, row["namespace"], row["key"], row["type"], row["value"])

    def write_metafield(
        self, owner: Any, namespace: str, key: str, type_: str, value: str
    ) -> Metafield:
        """Write a value, whether the owner has one already or not."""
        for field in owner.metafields:
            if (field.namespace, field.key) == (namespace, key):
                field.type, field.value, field.updated_at = type_, value, now()
                return field
        field = self.add(
            Metafield(self.next_id("Metafield"), owner, namespace, key, type_, str(value))
        )
        owner.metafields.append(field)
        return field

    def add_publication(self, name: str, *, auto: bool = False) -> Publication:
        return self.add(Publication(self.next_id("Publication"), name, auto))

    def add_collection(
        self, title: str, *, rules: Iterable[str] = (), handle: str = ""
    ) -> Collection:
        slug = handle or "-".join(title.lower().split())
        collection = Collection(self.next_id("Collection"), title, slug, rules=list(rules))
        self.add(collection)
        self.emit("COLLECTIONS_CREATE", collection)
        return collection

    @action
    def product_changed(self, product: Product) -> None:
        """Stamp a product as changed, let the search know (later), and notify."""
        product.updated_at = max(now(), product.updated_at)
        for position, variant in enumerate(product.variants, 1):
            variant.position = position
            variant.title = " / ".join(value.name for value in variant.values)
        self.index_product(product)
        self.emit("PRODUCTS_UPDATE", product)

    @action
    def remove_product(self, product: Product) -> None:
        """Delete a product with its variants; what was sold of it keeps what it says."""
        for collection in self.all("Collection"):
            if product in collection.products:
                collection.products.remove(product)
        for variant in list(product.variants):
            self.remove_variant(variant)
        del self.records["Product"][product.id]
        self.emit("PRODUCTS_DELETE", {"id": product.id})

    def remove_variant(self, variant: Variant) -> None:
        """Delete a variant with its stock."""
        variant.product.variants.remove(variant)
        for level in variant.item.levels:
            self.records["InventoryLevel"].pop(level.id, None)
        self.records["InventoryItem"].pop(variant.item.id, None)
        self.records["ProductVariant"].pop(variant.id, None)

    # === SEARCH INDEX === #

    def index_product(self, product: Product) -> None:
        document = {
            "updated_at": product.updated_at,
            "title": product.title,
            "handle": product.handle,
            "status": product.status,
            "vendor": product.vendor,
            "product_type": product.product_type,
            "tag": list(product.tags),
            "sku": [variant.sku for variant in product.variants],
            "barcode": [variant.barcode for variant in product.variants],
        }
        self._index_later(product, document)

    def searchable_products(self) -> list[Product]:
        """Products the search knows by now, each with what it knows in ``indexed``."""
        self._catch_up()
        return [product for product in self.all("Product") if product.indexed]

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
