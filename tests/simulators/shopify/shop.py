"""The shop: its state, and what can happen to it."""

from __future__ import annotations

import functools
import random
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from .money import ZERO, Bag, Currencies, allocate_bag, round_money, tax_of, total
from .records import (
    Address,
    Adjustment,
    Agreement,
    Allocation,
    Charged,
    Customer,
    Discount,
    Fulfillment,
    FulfillmentLine,
    FulfillmentOrder,
    FulfillmentOrderLine,
    InventoryItem,
    Level,
    Line,
    Location,
    Order,
    Product,
    Record,
    Refund,
    RefundLine,
    RefundShipping,
    Sale,
    Shipping,
    TaxLine,
    Transaction,
    Variant,
    now,
)

VERSIONS = ("2026-01", "2026-04", "2026-07", "2026-10")

DEFAULT_SCOPES = (
    "read_orders",
    "write_orders",
    "read_all_orders",
    "read_customers",
    "read_products",
    "write_products",
    "read_locations",
    "read_inventory",
    "write_inventory",
    "read_merchant_managed_fulfillment_orders",
    "write_merchant_managed_fulfillment_orders",
    "read_returns",
)

# A change of the ledger: what, action, signed net and tax as stored, signed units (None: all).
Entry = tuple[Charged, str, Bag, Bag, int | None]

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


class SpecError(ValueError):
    """The control request cannot be carried out; the text says why."""


class Refused(Exception):
    """Shopify would refuse this with a user error.

    :param field: path of the input, or None.
    """

    def __init__(
        self, message: str, field: list[str] | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.code = code


@dataclass
class Config:
    """Settings of a shop; every one can be changed with ``POST /control/config``."""

    shop: str = "demo-shop"
    name: str = "Demo Shop"
    currency: str = "EUR"
    timezone: str = "America/New_York"
    country: str = "DE"
    taxes_included: bool = True
    client_id: str = "demo-client-id"
    client_secret: str = "demo-client-secret"
    webhook_secret: str | None = None
    legacy_tokens: tuple[str, ...] = ("shpat_demo",)
    scopes: tuple[str, ...] = DEFAULT_SCOPES
    token_lifetime: int = 86399
    refresh_lifetime: int = 90 * 86400
    versions: tuple[str, ...] = VERSIONS
    webhook_version: str = "2026-10"
    cost_bucket: float = 2000
    cost_restore: float = 100
    cost_model: str = "log"
    search_delay: float = 0.2
    protected_data: bool = True
    seed: int = 1
    webhook_timeout: float = 5.0
    webhook_backoff: tuple[float, ...] = (0.5, 1, 2, 4, 8, 16, 32, 64)
    webhook_failures: int = 8
    rates: dict[str, str] = field(
        default_factory=lambda: {
            "USD": "0.92",
            "GBP": "1.17",
            "JPY": "0.0062",
            "CHF": "1.05",
            "CAD": "0.67",
            "SEK": "0.087",
            "AUD": "0.6",
            "EUR": "1",
        }
    )

    @property
    def domain(self) -> str:
        return f"{self.shop}.myshopify.com"


def decimal(value: Any, what: str = "amount") -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation as error:
        raise SpecError(f"{what}: {value!r} is not a number") from error


def action(method: Callable[..., Any]) -> Callable[..., Any]:
    """One thing that happens to the shop: whatever it notifies shares one event identifier."""

    @functools.wraps(method)
    def run(self: Shop, *args: Any, **kwargs: Any) -> Any:
        if not self.depth:
            self.event_id = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        self.depth += 1
        try:
            return method(self, *args, **kwargs)
        finally:
            self.depth -= 1

    return run


class Shop:
    """All state, in memory, behind one lock. Callers hold ``lock`` while they read or change it."""

    # What a state file keeps; the settings come with every start.
    KEPT = (
        "random",
        "event_id",
        "_ids",
        "records",
        "order_number",
        "_pending_index",
        "tokens",
        "refresh_tokens",
        "codes",
        "idempotency",
    )

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self.lock = threading.RLock()
        # Set after a change, for the state file.
        self.unsaved = threading.Event()
        # Called as emit(topic, record, extra) for everything a webhook can report.
        self.emit: Callable[[str, Any], None] = lambda topic, record: None
        self.reset()

    def reset(self) -> None:
        """Forget every record and start the identifiers again; the settings stay."""
        self.random = random.Random(self.config.seed)
        self.event_id = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        self.depth = 0
        self._ids: dict[str, int] = {}
        self.records: dict[str, dict[int, Record]] = {}
        self.order_number = 1000
        self._pending_index: list[tuple[float, Order, dict[str, Any]]] = []
        self.tokens: dict[str, dict[str, Any]] = {}
        self.refresh_tokens: dict[str, dict[str, Any]] = {}
        self.codes: dict[str, dict[str, Any]] = {}
        self.idempotency: dict[str, tuple[str, Any]] = {}
        self.shop_id = 68817551382
        self.app_id = 74150117377

    def state(self) -> dict[str, Any]:
        """Everything a state file keeps, by the names in ``KEPT``; the caller holds ``lock``."""
        return {name: getattr(self, name) for name in self.KEPT}

    def restore(self, state: dict[str, Any]) -> None:
        """Become what :meth:`state` gave, perhaps in another process."""
        for name in self.KEPT:
            setattr(self, name, state[name])
        # Their moments are those of another clock; by now the search has caught up.
        self._pending_index = [(0.0, order, row) for _due, order, row in self._pending_index]

    # === IDENTIFIERS AND RECORDS === #

    def next_id(self, kind: str) -> int:
        if kind in self._ids:
            self._ids[kind] += 32_768
        else:
            self._ids[kind] = 5_800_000_000_000 + sum(ord(char) for char in kind) * 1_000_003
        return self._ids[kind]

    def add(self, record: Record) -> Any:
        self.records.setdefault(record.gql_type, {})[record.id] = record
        return record

    def all(self, kind: str) -> list[Any]:
        return list(self.records.get(kind, {}).values())

    def find(self, gid: str) -> Record | None:
        """Record of a well-formed id, or None. Raises ValueError for text that is no id at all."""
        parts = str(gid).split("?")[0].split("/")
        if not str(gid).startswith("gid://shopify/") or len(parts) != 5 or not parts[4].isdigit():
            raise ValueError(f"Invalid id: {gid}")
        kind, number = parts[3], int(parts[4])
        return self.records.get(kind, {}).get(number)

    def get(self, kind: str, key: Any) -> Any:
        """Record by number, global id, order name or SKU; for the control API."""
        text = str(key)
        found = self.records.get(kind, {})
        if text.startswith("gid://"):
            record = self.find(text)
        elif text.isdigit() and int(text) in found:
            record = found[int(text)]
        else:
            names = {text, f"#{text}"}
            record = next(
                (
                    r
                    for r in found.values()
                    if {getattr(r, "name", 0), getattr(r, "sku", 0)} & names
                ),
                None,
            )
        if record is None:
            raise SpecError(f"{kind} {key!r} does not exist")
        return record

    def local(self, moment: datetime) -> str:
        """A moment as webhooks write it: store-local with its offset."""
        return moment.astimezone(ZoneInfo(self.config.timezone)).isoformat()

    # === CATALOGUE AND CUSTOMERS === #

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

    # === PLACING AN ORDER === #

    def _bag(self, value: Any, currencies: Currencies, what: str) -> Bag:
        """Amount of a spec: a number in the buyer's currency or {"shop": .., "presentment": ..}."""
        if isinstance(value, dict):
            shop = decimal(value["shop"], what)
            return Bag(shop, decimal(value.get("presentment", shop), what)).rounded(currencies)
        amount = decimal(value, what)
        if currencies.single:
            return Bag(amount, amount).rounded(currencies)
        return Bag(amount * currencies.rate, amount).rounded(currencies)

    def _catalogue_bag(self, price: Decimal, currencies: Currencies) -> Bag:
        buyer = price if currencies.single else price / currencies.rate
        return Bag(price, buyer).rounded(currencies)

    def _currencies(self, spec: dict[str, Any]) -> Currencies:
        buyer = spec.get("presentmentCurrency") or spec.get("currency") or self.config.currency
        if buyer == self.config.currency:
            rate = Decimal(1)
        elif spec.get("rate") is not None:
            rate = decimal(spec["rate"], "rate")
        else:
            rate = self.live_rate(buyer)
        return Currencies(self.config.currency, buyer, rate)

    @action
    def place_order(self, spec: dict[str, Any]) -> Order:
        """Place an order. The keys of ``spec`` are described in README.md, "Placing an order"."""
        currencies = self._currencies(spec)
        if not spec.get("lines"):
            raise SpecError("lines: an order needs at least one line")
        taxes_included = bool(spec.get("taxesIncluded", self.config.taxes_included))
        created = self._moment(spec.get("createdAt"))
        self.order_number += 1
        order = Order(
            self.next_id("Order"),
            self.order_number,
            currencies,
            taxes_included,
            note=spec.get("note"),
            tags=list(spec.get("tags", [])),
            attributes=list((spec.get("attributes") or {}).items()),
            po_number=spec.get("poNumber"),
            source_name=spec.get("sourceName", "web"),
            test=bool(spec.get("test")),
            tax_exempt=bool(spec.get("taxExempt")),
            gateway=spec.get("gateway", "manual"),
            created_at=created,
            updated_at=created,
            processed_at=self._moment(spec.get("processedAt"))
            if spec.get("processedAt")
            else created,
        )
        self._set_people(order, spec)
        taxes = [] if order.tax_exempt else spec.get("taxes", [])
        for row in spec["lines"]:
            order.lines.append(self._make_line(order, row))
        for row in spec.get("shipping", []):
            order.shipping.append(self._make_shipping(order, row))
        for row, line in zip(spec["lines"], order.lines, strict=True):
            for discount in row.get("discounts", [row["discount"]] if row.get("discount") else []):
                self._discount_line(order, line, discount)
        for discount in spec.get("discounts", []):
            self._discount_order(order, discount)
        rows = [*spec["lines"], *spec.get("shipping", [])]
        for row, charged in zip(rows, order.charged, strict=True):
            self._tax(order, charged, row.get("taxes"), taxes)
        if isinstance(spec.get("corrupt"), dict):
            order.corrupt = dict(spec["corrupt"])
        self._open(order, spec.get("payment", "paid"))
        return order

    def _open(self, order: Order, payment: Any) -> None:
        """An order that is written down becomes one of the shop."""
        order.original_total = order.total
        self.add(order)
        self._ledger(
            order,
            "ORDER",
            order.processed_at,
            [(c, "ORDER", c.discounted, c.tax, None) for c in order.charged],
        )
        self._reserve(order)
        self._route(order, order.lines)
        self._initial_payments(order, payment)
        if order.customer:
            order.customer.orders.append(order)
            order.customer.updated_at = order.created_at
        self._index(order)
        # Both orders are seen in reality: the update notice may overtake the creation notice.
        topics = ["ORDERS_CREATE", "ORDERS_UPDATED"]
        if self.random.random() < 0.3:
            topics.reverse()
        for topic in topics:
            self.emit(topic, order)
        for transaction in order.transactions:
            if transaction.status != "PENDING":
                self.emit("ORDER_TRANSACTIONS_CREATE", transaction)
        if order.financial_status == "PAID":
            self.emit("ORDERS_PAID", order)

    @staticmethod
    def _moment(value: Any) -> datetime:
        if not value:
            return now()
        try:
            moment = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
        except ValueError as error:
            raise SpecError(f"{value!r} is not an ISO timestamp") from error
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)

    def live_rate(self, currency: str) -> Decimal:
        """Today's value of one unit of ``currency`` in shop currency."""
        rates = self.config.rates
        if currency == self.config.currency:
            return Decimal(1)
        if currency not in rates or self.config.currency not in rates:
            raise SpecError(
                f"rate: no rate for {currency}; give one with the order or in config.rates"
            )
        return decimal(rates[currency]) / decimal(rates[self.config.currency])

    def _set_people(self, order: Order, spec: dict[str, Any]) -> None:
        person = spec.get("customer", "guest" if spec.get("email") else None)
        billing, delivery = spec.get("billing"), spec.get("delivery", spec.get("shippingAddress"))
        order.email, order.phone = spec.get("email"), spec.get("phone")
        if isinstance(person, dict):
            if not person.get("guest"):
                order.customer = self.add_customer(person)
            named = {"first_name": person.get("firstName"), "last_name": person.get("lastName")}
            order.email = order.email or person.get("email")
            order.phone = order.phone or person.get("phone")
            address = person.get("address")
            if address and billing is None:
                billing = {**named, **address}
            if address and "delivery" not in spec and "shippingAddress" not in spec:
                delivery = {**named, **address}
        elif person not in (None, "guest"):
            order.customer = self.get("Customer", person)
        if order.customer:
            order.email = order.email or order.customer.email
            order.phone = order.phone or order.customer.phone
            if billing is None and order.customer.addresses:
                billing = vars(order.customer.addresses[0])
            if delivery is None and "delivery" not in spec and order.customer.addresses:
                delivery = vars(order.customer.addresses[0])
        order.billing = self.make_address(billing) if billing else None
        order.shipping_address = self.make_address(delivery) if delivery else None

    def _make_line(self, order: Order, row: dict[str, Any]) -> Line:
        """A line of a spec: ``sku`` or ``variant`` of the catalogue, or a custom ``title``."""
        variant = None
        if row.get("variant"):
            variant = self.get("ProductVariant", row["variant"])
        elif row.get("sku"):
            variant = next(
                (v for v in self.all("ProductVariant") if v.sku == row["sku"]),
                None,
            )
        quantity = int(row.get("quantity", 1))
        if quantity < 1:
            raise SpecError(f"quantity: {quantity} is not positive")
        if row.get("price") is not None:
            price = self._bag(row["price"], order.currencies, "price")
        elif variant:
            price = self._catalogue_bag(variant.price, order.currencies)
        else:
            raise SpecError(
                f"{row.get('sku') or row.get('title')!r}: not in the catalogue, so it needs a price"
            )
        tip = bool(row.get("tip"))
        title = row.get("title") or (variant.product.title if variant else row.get("sku") or "Tip")
        has_options = variant and variant.title != "Default Title"
        line = Line(
            self.next_id("LineItem"),
            title,
            order,
            variant=variant,
            variant_title=row.get("variantTitle") or (variant.title if has_options else None),
            sku=variant.sku if variant else row.get("sku"),
            vendor=variant.product.vendor if variant else row.get("vendor"),
            quantity=quantity,
            current_quantity=quantity,
            unit_price=price,
            taxable=row.get("taxable", variant.taxable if variant else not tip),
            requires_shipping=False
            if tip
            else row.get("requiresShipping", variant.requires_shipping if variant else True),
            gift_card=bool(row.get("giftCard", variant.product.gift_card if variant else False)),
            tip=tip,
            grams=variant.grams if variant else int(row.get("grams", 0)),
            attributes=list((row.get("attributes") or {}).items()),
        )
        return self.add(line)

    def _make_shipping(self, order: Order, row: dict[str, Any]) -> Shipping:
        return Shipping(
            self.next_id("ShippingLine"),
            row.get("title", "Standard"),
            order,
            code=row.get("code", row.get("title", "Standard")),
            price=self._bag(row.get("price", "0"), order.currencies, "shipping price"),
            source=row.get("source", "shopify"),
        )

    def _add_discount(
        self, order: Order, spec: dict[str, Any], across: bool, target: str
    ) -> Discount:
        percentage = spec.get("percentage")
        discount = Discount(
            len(order.discounts),
            spec.get("kind") or ("code" if spec.get("code") else "manual"),
            spec.get("code") or spec.get("title") or "Discount",
            across,
            target,
            amount=None
            if percentage is not None
            else self._bag(
                spec.get("amount", spec.get("fixed", "0")), order.currencies, "discount"
            ),
            percentage=None if percentage is None else decimal(percentage, "percentage"),
        )
        order.discounts.append(discount)
        return discount

    def _discount_line(self, order: Order, line: Line, spec: dict[str, Any]) -> Bag:
        discount = self._add_discount(order, spec, across=False, target="LINE_ITEM")
        left = line.discounted
        if discount.percentage is not None:
            amount = left.times(discount.percentage / 100).rounded(order.currencies)
        else:
            amount = discount.amount or Bag()
            # The discount of an order edit is per unit; the one of a checkout is for the line.
            if spec.get("perUnit"):
                amount = amount.times(line.current_quantity)
        amount = Bag(min(amount.shop, left.shop), min(amount.presentment, left.presentment))
        line.allocations.append(Allocation(discount, amount))
        return amount

    def _discount_order(self, order: Order, spec: dict[str, Any]) -> None:
        shipping = spec.get("target") == "shipping"
        discount = self._add_discount(
            order, spec, across=True, target="SHIPPING_LINE" if shipping else "LINE_ITEM"
        )
        targets: list[Charged] = list(
            order.shipping if shipping else [ln for ln in order.goods if not ln.gift_card]
        )
        weights = [target.discounted for target in targets]
        if discount.percentage is not None:
            amount = total(weights).times(discount.percentage / 100).rounded(order.currencies)
        else:
            amount = discount.amount or Bag()
        for target, part in zip(
            targets, allocate_bag(amount, weights, order.currencies), strict=True
        ):
            if part:
                target.allocations.append(Allocation(discount, part))

    def _tax(
        self,
        order: Order,
        charged: Charged,
        own: list[dict[str, Any]] | None,
        common: list[dict[str, Any]],
    ) -> None:
        """Write the tax lines of one line.

        A row is ``{"title", "rate"}`` with the rate as a fraction, and optionally ``amount`` when
        the stored tax is not what the rate gives (the tax service decides, not the rate).
        """
        is_line = isinstance(charged, Line)
        if is_line and (charged.tip or charged.gift_card or not charged.taxable):
            return
        rows = common if own is None else own
        if not is_line and own is None:
            rows = [row for row in common if row.get("shipping", True)]
        rates = [decimal(row.get("rate", 0) or 0, "tax rate") for row in rows]
        net = charged.discounted
        cur = order.currencies
        for row, rate in zip(rows, rates, strict=True):
            if row.get("amount") is not None:
                price = self._bag(row["amount"], cur, "tax amount")
            else:
                price = Bag(
                    tax_of(net.shop, rate, sum(rates, ZERO), order.taxes_included, cur.shop),
                    tax_of(
                        net.presentment,
                        rate,
                        sum(rates, ZERO),
                        order.taxes_included,
                        cur.presentment,
                    ),
                )
            stored = None if row.get("rate", 0) is None else rate
            charged.tax_lines.append(
                TaxLine(
                    row.get("title", "Tax"),
                    stored,
                    price,
                    channel_liable=bool(row.get("channelLiable")),
                )
            )

    def _initial_payments(self, order: Order, payment: Any) -> None:
        """``payment``: "paid", "pending", "authorized", "failed", "none", or a list of payments."""
        if isinstance(payment, list):
            for row in payment:
                amount = (
                    self._bag(row["amount"], order.currencies, "payment")
                    if row.get("amount") is not None
                    else order.outstanding
                )
                self._transact(
                    order,
                    row.get("kind", "SALE").upper(),
                    amount,
                    gateway=row.get("gateway", order.gateway),
                    status=row.get("status", "SUCCESS").upper(),
                )
            return
        kinds = {
            "paid": ("SALE", "SUCCESS"),
            "authorized": ("AUTHORIZATION", "SUCCESS"),
            "failed": ("AUTHORIZATION", "FAILURE"),
        }
        if isinstance(payment, str) and payment in kinds:
            if order.total:
                kind, status = kinds[payment]
                self._transact(order, kind, order.total, status=status)
        elif payment == "none":
            # An order made through the API without a status has none at all.
            order.unpaid_status = None
        elif payment != "pending":
            raise SpecError(
                f"payment: {payment!r} is none of paid, pending, authorized, failed, none"
            )

    def _transact(
        self,
        order: Order,
        kind: str,
        amount: Bag,
        *,
        gateway: str | None = None,
        status: str = "SUCCESS",
        parent: Transaction | None = None,
    ) -> Transaction:
        transaction = Transaction(
            self.next_id("OrderTransaction"),
            order,
            kind,
            status,
            gateway or (parent.gateway if parent else order.gateway),
            amount,
            parent,
            created_at=order.processed_at
            if kind in ("SALE", "AUTHORIZATION") and not order.transactions
            else now(),
            number=len(order.transactions) + 1,
        )
        order.transactions.append(self.add(transaction))
        return transaction

    # === LEDGER === #

    def _ledger(
        self,
        order: Order,
        reason: str,
        moment: datetime,
        entries: Iterable[Entry],
        refund: Refund | None = None,
    ) -> Agreement:
        """Append an agreement.

        :param entries: (line or shipping, action, signed net change as stored, signed tax change,
            signed quantity or None for the line's own).
        """
        agreement = Agreement(self.next_id("SalesAgreement"), order, reason, moment, refund=refund)
        for charged, action, amount, tax, quantity in entries:
            line = charged if isinstance(charged, Line) else None
            if line:
                line_type = "TIP" if line.tip else "GIFT_CARD" if line.gift_card else "PRODUCT"
                quantity = line.quantity if quantity is None else quantity
            else:
                line_type, quantity = "SHIPPING", 1 if quantity is None else quantity
            full = amount if order.taxes_included else amount + tax
            whole = charged.discounted
            share = Decimal(1) if not whole.presentment else amount.presentment / whole.presentment
            rate = sum((t.rate or ZERO for t in charged.tax_lines), ZERO)
            discount = charged.allocated.times(share)
            if order.taxes_included:
                discount = discount.times(1 / (1 + rate))
            sale = Sale(
                self.next_id("Sale"),
                action,
                line_type,
                full,
                tax,
                discount.rounded(order.currencies),
                quantity,
                line,
                None if line or action == "RETURN" else charged,  # type: ignore[arg-type]
            )
            parts = [t.price for t in charged.tax_lines]
            if len(parts) == 1:
                sale.taxes = [(self.next_id("SaleTax"), tax, charged.tax_lines[0])]
            elif parts:
                shop = allocate_bag(
                    Bag(abs(tax.shop), abs(tax.presentment)), parts, order.currencies
                )
                negative = tax.presentment < 0 or tax.shop < 0
                sale.taxes = [
                    (self.next_id("SaleTax"), -part if negative else part, line_tax)
                    for part, line_tax in zip(shop, charged.tax_lines, strict=True)
                ]
            agreement.sales.append(sale)
        order.agreements.append(self.add(agreement))
        return agreement

    # === STOCK AND FULFILMENT ORDERS === #

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

    def _reserve(self, order: Order) -> None:
        for line in order.goods:
            self._move_stock(line, {"available": -line.quantity, "committed": line.quantity})

    def _route(self, order: Order, lines: Iterable[Line], units: int | None = None) -> None:
        """A fulfillment order for these lines, whole or for some units of each."""
        goods = [line for line in lines if not line.tip]
        if not goods:
            return
        fulfillment_order = FulfillmentOrder(
            self.next_id("FulfillmentOrder"), order, self.default_location
        )
        for line in goods:
            count = line.quantity if units is None else units
            row = FulfillmentOrderLine(self.next_id("FulfillmentOrderLineItem"), line, count, count)
            fulfillment_order.lines.append(self.add(row))
        order.fulfillment_orders.append(self.add(fulfillment_order))
        self.emit("FULFILLMENT_ORDERS_ORDER_ROUTING_COMPLETE", fulfillment_order)

    def _withdraw(self, line: Line, quantity: int) -> None:
        """Take unfulfilled units out of the work still to do."""
        line.withdrawn += quantity
        for fulfillment_order in line_orders(line, line.order.fulfillment_orders):
            for row in fulfillment_order.lines:
                if row.line is line and quantity:
                    cut = min(row.remaining, quantity)
                    row.remaining -= cut
                    row.total -= cut
                    quantity -= cut
            if not any(row.remaining for row in fulfillment_order.lines):
                fulfillment_order.status = "CLOSED"
            fulfillment_order.updated_at = now()

    # === CHANGES === #

    @action
    def changed(self, order: Order, *topics: str) -> None:
        """Stamp an order as changed, let the search index know (later), and notify."""
        order.updated_at = max(now(), order.updated_at)
        self._close_when_done(order)
        self._index(order)
        for topic in topics:
            self.emit(topic, order)
        self.emit("ORDERS_UPDATED", order)

    def _close_when_done(self, order: Order) -> None:
        done = (
            order.financial_status in ("PAID", "PARTIALLY_REFUNDED")
            and order.fulfillment_status == "FULFILLED"
        )
        if done and not order.closed_at:
            order.closed_at = order.updated_at

    @action
    def touch(self, order: Order, spec: dict[str, Any]) -> None:
        """Change what does not concern money: note, tags, e-mail, addresses, attributes."""
        for key, name in (
            ("note", "note"),
            ("tags", "tags"),
            ("email", "email"),
            ("phone", "phone"),
            ("poNumber", "po_number"),
        ):
            if key in spec:
                setattr(order, name, spec[key])
        if "attributes" in spec:
            order.attributes = list((spec["attributes"] or {}).items())
        for key, name in (("billing", "billing"), ("delivery", "shipping_address")):
            if key in spec:
                setattr(order, name, self.make_address(spec[key]) if spec[key] else None)
        self.changed(order)

    def line_of(self, order: Order, key: Any) -> Line:
        """Line by position (0 = first), id or SKU."""
        if isinstance(key, int) and 0 <= key < len(order.lines):
            return order.lines[key]
        for line in order.lines:
            if str(key) in (str(line.id), line.gid, line.sku, line.title):
                return line
        raise SpecError(f"{order.name} has no line {key!r}")

    def _remove_units(self, order: Order, line: Line, quantity: int) -> tuple[Bag, Bag]:
        """Take units off a line for good; returns their share of the net amount and of the tax.

        The last units take what is left, so the shares of a line always sum to the line.
        """
        last = quantity == line.current_quantity
        amount = (
            line.current
            if last
            else line.discounted.share(quantity, line.quantity, order.currencies)
        )
        tax = Bag()
        for tax_line in line.tax_lines:
            part = (
                tax_line.current
                if last
                else tax_line.price.share(quantity, line.quantity, order.currencies)
            )
            tax_line.removed += part
            tax += part
        line.removed += amount
        line.current_quantity -= quantity
        return amount, tax

    @action
    def edit(self, order: Order, spec: dict[str, Any]) -> Order:
        """Edit an order as the admin does.

        :param spec: ``set`` [{line, quantity}], ``add`` [line specs with ``taxes``], ``discount``
            [{line, fixed (per unit) or percentage}], ``shipping`` [shipping specs].
        """
        if order.cancelled_at:
            raise Refused("The order cannot be edited.", ["id"])
        added = [(row, self._make_line(order, row)) for row in spec.get("add", [])]
        drops: list[tuple[Line, int]] = []
        for row in spec.get("set", []):
            line = self.line_of(order, row["line"])
            drop = line.current_quantity - int(row["quantity"])
            if drop > line.unfulfilled:
                raise Refused("The quantity of fulfilled units cannot be reduced.", ["quantity"])
            drops.append((line, drop))
        for row in spec.get("discount", []):
            self.line_of(order, row["line"])
        entries: list[Entry] = []
        for line, drop in drops:
            if drop > 0:
                amount, tax = self._remove_units(order, line, drop)
                self._withdraw(line, drop)
                self._move_stock(line, {"available": drop, "committed": -drop})
                entries.append((line, "RETURN", -amount, -tax, -drop))
            elif drop < 0:
                entries.append(self._add_units(order, line, -drop))
        for row, line in added:
            order.lines.append(line)
            self._tax(order, line, row.get("taxes"), spec.get("taxes", self._taxes_of(order)))
            self._move_stock(line, {"available": -line.quantity, "committed": line.quantity})
            entries.append((line, "ORDER", line.discounted, line.tax, None))
        for row in spec.get("discount", []):
            line = self.line_of(order, row["line"])
            before, tax_before = line.discounted, line.tax
            self._discount_line(order, line, {"title": "Discount", "perUnit": True, **row})
            self._retax(order, line)
            entries.append((line, "UPDATE", line.discounted - before, line.tax - tax_before, 0))
        for row in spec.get("shipping", []):
            shipping = self._make_shipping(order, row)
            order.shipping.append(shipping)
            self._tax(order, shipping, row.get("taxes"), spec.get("taxes", []))
            entries.append((shipping, "ORDER", shipping.discounted, shipping.tax, None))
        if not entries:
            raise Refused("There must be at least one change to be made.", ["id"])
        order.edited = True
        self._route(order, [line for _row, line in added])
        self._ledger(order, "ORDER_EDIT", now(), entries)
        self.changed(order, "ORDERS_EDITED")
        return order

    def _taxes_of(self, order: Order) -> list[dict[str, Any]]:
        line = next((ln for ln in order.lines if ln.tax_lines), None)
        return [{"title": t.title, "rate": t.rate} for t in line.tax_lines] if line else []

    def _retax(self, order: Order, charged: Charged) -> None:
        rows = [{"title": t.title, "rate": t.rate} for t in charged.tax_lines]
        removed = [t.removed for t in charged.tax_lines]
        charged.tax_lines = []
        self._tax(order, charged, rows, rows)
        for tax_line, part in zip(charged.tax_lines, removed, strict=False):
            tax_line.removed = part

    def _add_units(self, order: Order, line: Line, quantity: int) -> Entry:
        before, tax_before = line.discounted, line.tax
        line.quantity += quantity
        line.current_quantity += quantity
        self._retax(order, line)
        working = line_orders(line, order.fulfillment_orders)
        if working:
            row = next(row for row in working[0].lines if row.line is line)
            row.total += quantity
            row.remaining += quantity
        else:
            self._route(order, [line], quantity)
        self._move_stock(line, {"available": -quantity, "committed": quantity})
        return line, "ORDER", line.discounted - before, line.tax - tax_before, quantity

    @action
    def pay(self, order: Order, spec: dict[str, Any] | None = None) -> Transaction:
        """Receive money: the whole outstanding amount unless ``amount`` says otherwise.

        The shop side is converted at today's rate (``rate`` or the shop's own), so an order whose
        stored rate differs is fully paid with another amount in shop currency.
        """
        spec = spec or {}
        due = order.outstanding.presentment
        status = spec.get("status", "SUCCESS").upper()
        if (
            order.cancelled_at
            or due <= 0
            or order.financial_status in ("PAID", "REFUNDED", "VOIDED")
        ):
            raise Refused("Order cannot be marked as paid.", ["id"])
        amount = self._live_bag(order, spec.get("amount", due), spec.get("rate"))
        transaction = self._transact(
            order, "SALE", amount, gateway=spec.get("gateway", "manual"), status=status
        )
        if status != "PENDING":
            self.emit("ORDER_TRANSACTIONS_CREATE", transaction)
        self.changed(order, *(["ORDERS_PAID"] if order.financial_status == "PAID" else []))
        return transaction

    def _live_bag(self, order: Order, amount: Any, rate: Any = None) -> Bag:
        cur = order.currencies
        buyer = decimal(amount)
        if cur.single:
            return Bag(buyer, buyer).rounded(cur)
        value = decimal(rate, "rate") if rate is not None else self._current_rate(order)
        return Bag(buyer * value, buyer).rounded(cur)

    def _current_rate(self, order: Order) -> Decimal:
        try:
            return self.live_rate(order.currencies.presentment)
        except SpecError:
            return order.currencies.rate

    @action
    def authorize(self, order: Order, spec: dict[str, Any] | None = None) -> Transaction:
        spec = spec or {}
        due = order.outstanding.presentment
        amount = self._live_bag(
            order, spec.get("amount", due), spec.get("rate", order.currencies.rate)
        )
        transaction = self._transact(
            order,
            "AUTHORIZATION",
            amount,
            gateway=spec.get("gateway"),
            status=spec.get("status", "SUCCESS").upper(),
        )
        self.emit("ORDER_TRANSACTIONS_CREATE", transaction)
        self.changed(order)
        return transaction

    @action
    def capture(self, order: Order, spec: dict[str, Any] | None = None) -> Transaction:
        spec = spec or {}
        if not order.open_authorizations:
            raise Refused("Can only capture successful authorizations", ["parentTransactionId"])
        parent = order.open_authorizations[0]
        asked = decimal(spec.get("amount", parent.amount.presentment))
        if asked > parent.amount.presentment:
            limit = round_money(parent.amount.presentment, order.currencies.presentment)
            raise Refused(
                f"Cannot capture more than the authorized {limit} for this payment.", ["amount"]
            )
        amount = (
            parent.amount if asked == parent.amount.presentment else self._live_bag(order, asked)
        )
        transaction = self._transact(order, "CAPTURE", amount, parent=parent)
        self.emit("ORDER_TRANSACTIONS_CREATE", transaction)
        self.changed(order, *(["ORDERS_PAID"] if order.financial_status == "PAID" else []))
        return transaction

    @action
    def void(self, order: Order, spec: dict[str, Any] | None = None) -> Transaction:
        if not order.open_authorizations:
            raise Refused(
                "The authorization cannot be voided.", ["parentTransactionId"], "AUTH_NOT_VOIDABLE"
            )
        parent = order.open_authorizations[0]
        transaction = self._transact(order, "VOID", Bag(), parent=parent)
        self.emit("ORDER_TRANSACTIONS_CREATE", transaction)
        self.changed(order)
        return transaction

    @action
    def fulfil(self, order: Order, spec: dict[str, Any] | None = None) -> Fulfillment:
        """Ship everything still open, or ``lines`` [{line, quantity}].

        ``tracking`` is [{company, number, url}].
        """
        spec = spec or {}
        wanted: dict[Line, int] | None = None
        if spec.get("lines") is not None:
            wanted = {
                self.line_of(order, row["line"]): int(row.get("quantity", 1))
                for row in spec["lines"]
            }
        open_orders = [
            fo for fo in order.fulfillment_orders if fo.status in ("OPEN", "IN_PROGRESS")
        ]
        if not open_orders or order.cancelled_at:
            raise Refused("The order has nothing left to fulfil.", ["fulfillment"])
        for line, quantity in (wanted or {}).items():
            if quantity > line.unfulfilled:
                raise Refused(
                    "Invalid fulfillment order line item quantity requested.", ["fulfillment"]
                )
        fulfillment = Fulfillment(
            self.next_id("Fulfillment"),
            order,
            f"{order.name}-F{len(order.fulfillments) + 1}",
            open_orders[0].location,
            tracking=[
                {"company": t.get("company"), "number": t.get("number"), "url": t.get("url")}
                for t in spec.get("tracking", [])
            ],
        )
        shipped: dict[Line, int] = {}
        for fulfillment_order in open_orders:
            for row in fulfillment_order.lines:
                left = (
                    row.remaining if wanted is None else min(wanted.get(row.line, 0), row.remaining)
                )
                if wanted is not None and row.line in wanted:
                    wanted[row.line] -= left
                row.remaining -= left
                if left:
                    shipped[row.line] = shipped.get(row.line, 0) + left
            rest = any(row.remaining for row in fulfillment_order.lines)
            fulfillment_order.status = "IN_PROGRESS" if rest else "CLOSED"
            fulfillment_order.updated_at = now()
        for line, quantity in shipped.items():
            line.fulfilled += quantity
            self._move_stock(
                line, {"committed": -quantity, "on_hand": -quantity}, fulfillment.location
            )
            fulfillment.lines.append(
                self.add(FulfillmentLine(self.next_id("FulfillmentLineItem"), line, quantity))
            )
        order.fulfillments.append(self.add(fulfillment))
        self.emit("FULFILLMENTS_CREATE", fulfillment)
        self.changed(
            order,
            "ORDERS_FULFILLED"
            if order.fulfillment_status == "FULFILLED"
            else "ORDERS_PARTIALLY_FULFILLED",
        )
        return fulfillment

    @action
    def refund(self, order: Order, spec: dict[str, Any] | None = None) -> Refund:
        """Refund.

        :param spec: ``full`` (true) or ``lines`` [{line, quantity, restock}] with restock RETURN,
            CANCEL or NO_RESTOCK; ``shipping`` ("full" or a net amount in the buyer's currency);
            ``amount`` of money sent back (default: what is given back and was paid; 0 sends none);
            ``status`` of the money (SUCCESS or PENDING), ``rate`` of today, ``note``;
            ``zeroSubtotal`` shows 0.0 on the refund lines, as one recording has it.
        """
        spec = spec or {}
        paid = order.net_payment.presentment
        asked = None if spec.get("amount") is None else decimal(spec["amount"])
        if asked is not None and asked > paid:
            code = order.currencies.presentment
            raise Refused(
                f"Refund amount ${round_money(asked, code)} is greater than net payment received "
                f"${round_money(paid, code)}"
            )
        rows = list(spec.get("lines", []))
        shipping = spec.get("shipping")
        if spec.get("full"):
            rows = [{"line": ln.gid, "quantity": ln.current_quantity} for ln in order.lines]
            rows = [row for row in rows if row["quantity"]]
            shipping = "full"
        plan = self._refund_plan(order, rows)
        if not plan and shipping is None and not asked:
            raise Refused("Refund cannot be empty.", None)
        refund = Refund(self.next_id("Refund"), order, spec.get("note"))
        entries: list[Entry] = []
        worth = Bag()
        for line, quantity, restock in plan:
            amount, tax = self._remove_units(order, line, quantity)
            self._take_back(line, quantity, restock)
            shown = spec.get("zeroSubtotal")
            row = RefundLine(
                self.next_id("RefundLineItem"),
                line,
                quantity,
                restock,
                Bag() if shown else amount,
                Bag() if shown else tax,
                self.default_location if restock != "NO_RESTOCK" else None,
            )
            refund.lines.append(self.add(row))
            entries.append((line, "RETURN", -amount, -tax, -quantity))
            worth += amount if order.taxes_included else amount + tax
        if shipping is not None:
            worth += self._refund_shipping(order, refund, shipping, entries)
        due = self._refund_due(order, worth)
        money = self._refund_money(order, refund, due if asked is None else asked, worth, spec)
        order.refunds.append(self.add(refund))
        agreement = self._ledger(order, "REFUND", refund.created_at, entries, refund)
        pending = spec.get("status", "SUCCESS").upper() == "PENDING"
        self._balance_refund(order, agreement, worth, due, Bag() if pending else money, pending)
        if not pending:
            for transaction in refund.transactions:
                self.emit("ORDER_TRANSACTIONS_CREATE", transaction)
        self.emit("REFUNDS_CREATE", refund)
        self.changed(order)
        return refund

    def _refund_plan(self, order: Order, rows: list[dict[str, Any]]) -> list[tuple[Line, int, str]]:
        plan: list[tuple[Line, int, str]] = []
        taken: dict[Line, int] = {}
        for index, row in enumerate(rows):
            line, quantity = self.line_of(order, row["line"]), int(row.get("quantity", 1))
            taken[line] = taken.get(line, 0) + quantity
            if quantity < 1 or taken[line] > line.current_quantity:
                raise Refused(
                    "Quantity cannot refund more items than were purchased",
                    ["refundLineItems", str(index), "quantity"],
                )
            plan.append((line, quantity, row.get("restock", "NO_RESTOCK").upper()))
        return plan

    def _refund_due(self, order: Order, worth: Bag) -> Decimal:
        """Money that is owed after goods were given back, in the buyer's currency."""
        kept = order.current_total.presentment + order.adjusted.presentment
        return max(ZERO, min(worth.presentment, order.net_payment.presentment - kept))

    def _refund_shipping(self, order: Order, refund: Refund, asked: Any, entries: list[Any]) -> Bag:
        """Give shipping back: everything, or a net amount in the buyer's currency."""
        cur, worth = order.currencies, Bag()
        left = None if asked in (True, "full") else decimal(asked, "shipping")
        for shipping in order.shipping:
            current = shipping.current
            if not current.presentment or left == 0:
                continue
            if left is None or left >= current.presentment:
                amount, tax = current, shipping.current_tax
                for tax_line in shipping.tax_lines:
                    tax_line.removed = tax_line.price
            else:
                ratio = left / shipping.discounted.presentment
                amount = Bag(shipping.discounted.shop * ratio, left).rounded(cur)
                tax = Bag()
                for tax_line in shipping.tax_lines:
                    part = tax_line.price.times(ratio).rounded(cur)
                    tax_line.removed += part
                    tax += part
            if left is not None:
                left -= amount.presentment
            shipping.removed += amount
            refund.shipping.append(
                self.add(RefundShipping(self.next_id("RefundShippingLine"), shipping, amount, tax))
            )
            entries.append((shipping, "RETURN", -amount, -tax, None))
            worth += amount if order.taxes_included else amount + tax
        return worth

    def _refund_money(
        self, order: Order, refund: Refund, asked: Decimal, worth: Bag, spec: dict[str, Any]
    ) -> Bag:
        """Send money back; returns what moved or will move."""
        if not asked:
            return Bag()
        parent = next(
            t for t in order.transactions if t.kind in ("SALE", "CAPTURE") and t.status == "SUCCESS"
        )
        same_rate = order.currencies.single or parent.amount == order.original_total
        if asked == worth.presentment and same_rate and "rate" not in spec:
            amount = worth
        else:
            amount = self._live_bag(order, asked, spec.get("rate"))
        status = spec.get("status", "SUCCESS").upper()
        refund.transactions.append(
            self._transact(order, "REFUND", amount, parent=parent, status=status)
        )
        return amount

    def _balance_refund(
        self,
        order: Order,
        agreement: Agreement,
        worth: Bag,
        due: Decimal,
        moved: Bag,
        pending: bool,
    ) -> None:
        """Write the difference between what was owed for the goods and the money sent back."""
        if due == moved.presentment:
            return
        if due == worth.presentment:
            owed = worth
        else:
            ratio = worth.shop / worth.presentment if worth.presentment else ZERO
            owed = Bag(due * ratio, due).rounded(order.currencies)
        gap = owed - moved
        reason = "PENDING_REFUND_DISCREPANCY" if pending else "REFUND_DISCREPANCY"
        self._adjust(agreement, gap, reason)

    def _adjust(self, agreement: Agreement, gap: Bag, reason: str) -> None:
        agreement.refund.adjustments.append(
            self.add(Adjustment(self.next_id("OrderAdjustment"), gap, Bag(), reason))
        )
        agreement.sales.append(
            Sale(self.next_id("Sale"), "RETURN", "ADJUSTMENT", gap, Bag(), Bag())
        )

    def _take_back(self, line: Line, quantity: int, restock: str) -> None:
        """Units given back: first those never shipped, unless they are said to have returned."""
        shipped = line.fulfilled - line.returned
        back = (
            min(quantity, shipped) if restock == "RETURN" else max(quantity - line.unfulfilled, 0)
        )
        loose = quantity - back
        line.returned += back
        if loose:
            self._withdraw(line, loose)
        if restock != "NO_RESTOCK":
            self._move_stock(
                line, {"available": quantity, "committed": -loose, "on_hand": quantity - loose}
            )

    @action
    def settle(self, refund: Refund, status: str = "SUCCESS") -> Refund:
        """A pending refund becomes real: the balancing row is cleared by an opposite one."""
        for transaction in refund.transactions:
            if transaction.status == "PENDING":
                transaction.status = status
                self.emit("ORDER_TRANSACTIONS_CREATE", transaction)
        pending = [a for a in refund.adjustments if a.reason == "PENDING_REFUND_DISCREPANCY"]
        if status == "SUCCESS" and pending:
            agreement = next(a for a in refund.order.agreements if a.refund is refund)
            gap = total(a.amount for a in pending)
            self._adjust(agreement, -gap, "PENDING_REFUND_DISCREPANCY")
        self.changed(refund.order)
        return refund

    @action
    def cancel(self, order: Order, spec: dict[str, Any] | None = None) -> Order:
        """Cancel: money back to where it came from (unless ``refund`` is false), units released.

        :param spec: ``reason`` (OTHER), ``refund`` (true), ``restock`` (true), ``note``.
        """
        spec = spec or {}
        if order.cancelled_at:
            raise Refused(
                "Cannot cancel an order that has already been canceled", ["orderId"], "INVALID"
            )
        if len(spec.get("note") or "") > 255:
            raise Refused(
                "Staff note is too long (maximum is 255 characters)", ["staffNote"], "INVALID"
            )
        if any(line.fulfilled for line in order.goods):
            raise Refused("Cannot cancel a fulfilled order", ["orderId"], "INVALID")
        for parent in list(order.open_authorizations):
            self._transact(order, "VOID", Bag(), parent=parent)
        restock = "CANCEL" if spec.get("restock", True) else "NO_RESTOCK"
        rows = [
            {"line": ln.gid, "quantity": ln.current_quantity, "restock": restock}
            for ln in order.lines
            if ln.current_quantity
        ]
        moment = now()
        order.cancelled_at = order.closed_at = moment
        order.cancel_reason = spec.get("reason", "OTHER").upper()
        order.staff_note = spec.get("note")
        self._cancel_refund(order, rows, spec.get("refund", True))
        for fulfillment_order in order.fulfillment_orders:
            fulfillment_order.status = "CLOSED"
            for row in fulfillment_order.lines:
                row.total = row.remaining = 0
        self.changed(order, "ORDERS_CANCELLED")
        return order

    def _cancel_refund(self, order: Order, rows: list[dict[str, Any]], pay_back: bool) -> None:
        """A cancellation takes every unit out; money goes back only when it is wished."""
        refund: dict[str, Any] = {"lines": rows, "shipping": "full", "note": "Order canceled"}
        paid = order.net_payment.presentment
        if not pay_back:
            refund["amount"] = 0
        elif paid:
            refund["amount"] = paid
        self.refund(order, refund)

    # === SEARCH INDEX === #

    def _index(self, order: Order) -> None:
        document = {
            "id": order.id,
            "created_at": order.created_at,
            "updated_at": order.updated_at,
            "processed_at": order.processed_at,
        }
        due = time.monotonic() + self.config.search_delay
        if self.config.search_delay <= 0:
            order.indexed = document
        else:
            self._pending_index.append((due, order, document))

    def searchable_orders(self) -> list[Order]:
        """Orders the search index knows by now, each with what it knows in ``indexed``."""
        moment = time.monotonic()
        while self._pending_index and self._pending_index[0][0] <= moment:
            _due, order, document = self._pending_index.pop(0)
            if not order.indexed or order.indexed["updated_at"] <= document["updated_at"]:
                order.indexed = document
        horizon = now() - timedelta(days=60)
        everything = "read_all_orders" in self.config.scopes
        return [
            o for o in self.all("Order") if o.indexed and (everything or o.created_at >= horizon)
        ]

    # === TOKENS === #

    def issue_token(
        self, scopes: Iterable[str], lifetime: int | None, prefix: str = "shpat_"
    ) -> str:
        token = prefix + secrets.token_hex(16)
        expires = None if lifetime is None else time.time() + lifetime
        self.tokens[token] = {"scopes": tuple(scopes), "expires": expires}
        return token

    def offered_scopes(self, asked: str) -> tuple[str, ...]:
        """Those of the scopes asked for (``a,b``) that the app has been given; all without any."""
        names = {name.strip() for name in asked.split(",") if name.strip()}
        return tuple(s for s in self.config.scopes if not names or s in names)

    def token_scopes(self, token: str | None) -> tuple[str, ...] | None:
        """Scopes of a valid token; None when it is unknown or over."""
        if not token:
            return None
        if token in self.config.legacy_tokens:
            return self.config.scopes
        known = self.tokens.get(token)
        if not known or (known["expires"] is not None and known["expires"] <= time.time()):
            return None
        # The scopes of the app decide, whatever the token was issued with.
        return tuple(s for s in known["scopes"] if s in self.config.scopes)


def line_orders(
    line: Line, fulfillment_orders: Iterable[FulfillmentOrder]
) -> list[FulfillmentOrder]:
    return [
        fo
        for fo in fulfillment_orders
        if fo.status not in ("CLOSED", "CANCELLED") and any(row.line is line for row in fo.lines)
    ]
