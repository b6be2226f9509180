"""The records a shop keeps: amounts are :class:`~.money.Bag`, times aware UTC, in whole seconds."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from .money import Bag, Currencies, total


def now() -> datetime:
    """Shopify answers in whole seconds; two changes within one second look simultaneous."""
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(eq=False)
class Record:
    id: int

    gql_type = ""

    @property
    def gid(self) -> str:
        return f"gid://shopify/{self.gql_type}/{self.id}"


@dataclass(eq=False)
class Location(Record):
    name: str
    address: Address
    active: bool = True
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    gql_type = "Location"


@dataclass(eq=False)
class Address(Record):
    first_name: str | None = None
    last_name: str | None = None
    company: str | None = None
    address1: str | None = None
    address2: str | None = None
    city: str | None = None
    zip: str | None = None
    province: str | None = None
    province_code: str | None = None
    country: str | None = None
    country_code: str | None = None
    phone: str | None = None
    gql_type = "MailingAddress"

    @property
    def name(self) -> str | None:
        return " ".join(part for part in (self.first_name, self.last_name) if part) or None

    @property
    def lines(self) -> list[str]:
        place = " ".join(part for part in (self.zip, self.city) if part)
        return [
            part
            for part in (self.name, self.company, self.address1, self.address2, place, self.country)
            if part
        ]


@dataclass(eq=False)
class Level(Record):
    """Stock of one item at one location, by name (available, committed, on_hand ...)."""

    item: InventoryItem
    location: Location
    quantities: dict[str, int] = field(default_factory=dict)
    active: bool = True
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    gql_type = "InventoryLevel"

    @property
    def gid(self) -> str:
        return f"gid://shopify/InventoryLevel/{self.id}?inventory_item_id={self.item.id}"

    def quantity(self, name: str) -> int:
        return self.quantities.get(name, 0)

    def move(self, name: str, delta: int) -> None:
        self.quantities[name] = self.quantity(name) + delta
        self.updated_at = now()


@dataclass(eq=False)
class InventoryItem(Record):
    variant: Variant
    tracked: bool = True
    cost: Decimal | None = None
    hs_code: str | None = None
    origin: str | None = None
    # (value, unit); None for what the variant weighs in grams
    weight: tuple[float, str] | None = None
    #: False for what is put together of others (bundles): its stock follows theirs
    mutable: bool = True
    levels: list[Level] = field(default_factory=list)
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    gql_type = "InventoryItem"

    def level(self, location: Location) -> Level | None:
        return next((lev for lev in self.levels if lev.location is location), None)


@dataclass(eq=False)
class OptionValue(Record):
    option: Option
    name: str
    gql_type = "ProductOptionValue"

    @property
    def used(self) -> bool:
        """Whether a variant has it."""
        return any(self in variant.values for variant in self.option.product.variants)


@dataclass(eq=False)
class Option(Record):
    product: Product
    name: str
    values: list[OptionValue] = field(default_factory=list)
    gql_type = "ProductOption"


@dataclass(eq=False)
class Metafield(Record):
    owner: Record
    namespace: str
    key: str
    type: str = "single_line_text_field"
    value: str = ""
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    gql_type = "Metafield"


@dataclass(eq=False)
class MetafieldDefinition(Record):
    owner_type: str
    namespace: str
    key: str
    name: str
    type: str
    description: str | None = None
    gql_type = "MetafieldDefinition"

    @property
    def unique(self) -> bool:
        """Whether no two records may have the same value."""
        return self.type == "id"


@dataclass(eq=False)
class Media(Record):
    """A picture: one file, of any number of products."""

    alt: str | None
    source: str
    status: str = "READY"
    # SHA-256 of what was uploaded, empty for an address Shopify loads from itself
    digest: str = ""
    filename: str = ""
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    gql_type = "MediaImage"


@dataclass(eq=False)
class Publication(Record):
    """A sales channel as products are published to it."""

    name: str
    auto: bool = False
    gql_type = "Publication"


@dataclass(eq=False)
class Collection(Record):
    title: str
    handle: str
    description_html: str = ""
    # one with rules decides itself which products belong to it
    rules: list[str] = field(default_factory=list)
    products: list[Product] = field(default_factory=list)
    metafields: list[Metafield] = field(default_factory=list)
    publications: dict[int, datetime] = field(default_factory=dict)
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    gql_type = "Collection"


@dataclass(eq=False)
class Variant(Record):
    product: Product
    title: str
    values: list[OptionValue]
    sku: str | None
    barcode: str | None
    price: Decimal
    position: int = 1
    taxable: bool = True
    grams: int = 0
    requires_shipping: bool = True
    policy: str = "DENY"
    compare_at: Decimal | None = None
    media: list[Media] = field(default_factory=list)
    metafields: list[Metafield] = field(default_factory=list)
    item: InventoryItem = None  # type: ignore[assignment]
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    gql_type = "ProductVariant"

    @property
    def options(self) -> list[tuple[str, str]]:
        return [(value.option.name, value.name) for value in self.values]

    @property
    def available(self) -> int:
        return sum(lev.quantity("available") for lev in self.item.levels if lev.active)

    @property
    def display_name(self) -> str:
        return f"{self.product.title} - {self.title}"


@dataclass(eq=False)
class Product(Record):
    title: str
    handle: str
    vendor: str = ""
    product_type: str = ""
    description_html: str = ""
    status: str = "ACTIVE"
    tags: list[str] = field(default_factory=list)
    options: list[Option] = field(default_factory=list)
    variants: list[Variant] = field(default_factory=list)
    gift_card: bool = False
    category: str | None = None
    seo: dict[str, str | None] = field(default_factory=dict)
    template_suffix: str | None = None
    media: list[Media] = field(default_factory=list)
    metafields: list[Metafield] = field(default_factory=list)
    # since when it is published where, by the number of the publication
    publications: dict[int, datetime] = field(default_factory=dict)
    # what the search knows, with its delay
    indexed: dict[str, Any] = field(default_factory=dict)
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    gql_type = "Product"

    @property
    def description(self) -> str:
        """Without tags."""
        return " ".join(re.sub(r"<[^>]+>", " ", self.description_html).split())

    @property
    def only_default(self) -> bool:
        """Whether it has but the variant every product begins with."""
        return [option.name for option in self.options] == ["Title"] and (
            [value.name for value in self.options[0].values] == ["Default Title"]
        )


@dataclass(eq=False)
class Customer(Record):
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None
    note: str | None = None
    tags: list[str] = field(default_factory=list)
    addresses: list[Address] = field(default_factory=list)
    state: str = "DISABLED"
    tax_exempt: bool = False
    tax_exemptions: list[str] = field(default_factory=list)
    consent: dict[str, Any] | None = None
    #: the same for text messages
    sms_consent: dict[str, Any] | None = None
    metafields: list[Metafield] = field(default_factory=list)
    locale: str = "en"
    orders: list[Order] = field(default_factory=list)
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    gql_type = "Customer"

    @property
    def display_name(self) -> str:
        name = " ".join(part for part in (self.first_name, self.last_name) if part)
        return name or self.email or self.phone or ""


@dataclass(eq=False)
class TaxLine:
    """One tax on one line. ``removed`` is the part that left with removed or returned units."""

    title: str
    rate: Decimal | None
    price: Bag
    removed: Bag = field(default_factory=Bag)
    channel_liable: bool = False
    gql_type = "TaxLine"

    @property
    def current(self) -> Bag:
        return self.price - self.removed


@dataclass(eq=False)
class Discount:
    """A discount application of an order.

    ``kind`` is code | automatic | manual; ``across`` says it belongs to the whole order and is
    spread over the lines, otherwise it belongs to the line that holds the allocation.
    """

    index: int
    kind: str
    title: str
    across: bool
    target: str
    amount: Bag | None = None
    percentage: Decimal | None = None
    each: bool = False


@dataclass(eq=False)
class Allocation:
    discount: Discount
    amount: Bag
    gql_type = "DiscountAllocation"


@dataclass(eq=False)
class Charged(Record):
    """What goods and shipping share: a price, its discounts, its taxes, and what left again."""

    title: str = ""
    order: Order = None  # type: ignore[assignment]
    allocations: list[Allocation] = field(default_factory=list)
    tax_lines: list[TaxLine] = field(default_factory=list)
    removed: Bag = field(default_factory=Bag)

    @property
    def original_total(self) -> Bag:
        raise NotImplementedError

    @property
    def allocated(self) -> Bag:
        return total(a.amount for a in self.allocations)

    @property
    def discounted(self) -> Bag:
        """After every discount, before anything was removed (tax inside when the order says so)."""
        return self.original_total - self.allocated

    @property
    def current(self) -> Bag:
        return self.discounted - self.removed

    @property
    def tax(self) -> Bag:
        return total(t.price for t in self.tax_lines)

    @property
    def current_tax(self) -> Bag:
        return total(t.current for t in self.tax_lines)


@dataclass(eq=False)
class Line(Charged):
    variant: Variant | None = None
    variant_title: str | None = None
    sku: str | None = None
    vendor: str | None = None
    quantity: int = 1
    current_quantity: int = 1
    unit_price: Bag = field(default_factory=Bag)
    taxable: bool = True
    requires_shipping: bool = True
    gift_card: bool = False
    tip: bool = False
    grams: int = 0
    fulfilled: int = 0
    # Units that left (edit, refund, cancel) without ever being fulfilled.
    withdrawn: int = 0
    # Fulfilled units that came back.
    returned: int = 0
    attributes: list[tuple[str, str]] = field(default_factory=list)
    # Where the units are shipped from; None is the first place of the shop.
    location: Location | None = None
    duties: list[Duty] = field(default_factory=list)
    gql_type = "LineItem"

    @property
    def original_total(self) -> Bag:
        return self.unit_price.times(self.quantity)

    @property
    def name(self) -> str:
        return f"{self.title} - {self.variant_title}" if self.variant_title else self.title

    @property
    def unfulfilled(self) -> int:
        return 0 if self.tip else max(self.quantity - self.withdrawn - self.fulfilled, 0)

    @property
    def promised(self) -> int:
        """Units that an open return is about, and that have not come back yet."""
        return sum(
            row.unprocessed
            for return_ in self.order.returns
            if return_.active
            for row in return_.lines
            if row.line is self
        )

    @property
    def fulfillable(self) -> int:
        """Units that can be shipped right now: those on hold wait."""
        held = sum(
            row.remaining
            for fulfillment_order in self.order.fulfillment_orders
            if fulfillment_order.status == "ON_HOLD"
            for row in fulfillment_order.lines
            if row.line is self
        )
        return max(self.unfulfilled - held, 0)


@dataclass(eq=False)
class Shipping(Charged):
    code: str | None = None
    price: Bag = field(default_factory=Bag)
    source: str = "shopify"
    is_removed: bool = False
    gql_type = "ShippingLine"

    @property
    def original_total(self) -> Bag:
        return self.price


@dataclass(eq=False)
class Duty(Charged):
    """Import duty on one line of the order."""

    line: Line = None  # type: ignore[assignment]
    price: Bag = field(default_factory=Bag)
    code: str | None = None
    country: str | None = None
    gql_type = "Duty"

    @property
    def original_total(self) -> Bag:
        return self.price


@dataclass(eq=False)
class ExtraFee(Charged):
    """Additional fee of an order, such as one for a delivery state."""

    price: Bag = field(default_factory=Bag)
    gql_type = "AdditionalFee"

    @property
    def original_total(self) -> Bag:
        return self.price


@dataclass(eq=False)
class Transaction(Record):
    order: Order
    kind: str
    status: str
    gateway: str
    amount: Bag
    parent: Transaction | None = None
    created_at: datetime = field(default_factory=now)
    number: int = 1
    # What cash was rounded by; None where nothing is ever rounded.
    rounding: Bag | None = None
    location: Location | None = None
    gql_type = "OrderTransaction"

    @property
    def payment_id(self) -> str:
        return f"{self.order.name}.{self.number}"

    @property
    def refundable(self) -> Bag:
        """What is left of a payment after the refunds of it, pending ones included."""
        if self.kind not in ("SALE", "CAPTURE") or self.status != "SUCCESS":
            return Bag()
        return self.amount - total(
            t.amount
            for t in self.order.transactions
            if t.kind in ("REFUND", "CHANGE")
            and t.parent is self
            and t.status in ("SUCCESS", "PENDING")
        )


@dataclass(eq=False)
class RefundLine(Record):
    line: Line
    quantity: int
    restock_type: str
    subtotal: Bag
    tax: Bag
    location: Location | None = None
    gql_type = "RefundLineItem"


@dataclass(eq=False)
class RefundShipping(Record):
    shipping: Shipping
    subtotal: Bag
    tax: Bag
    gql_type = "RefundShippingLine"


@dataclass(eq=False)
class RefundDuty(Record):
    duty: Duty
    subtotal: Bag
    tax: Bag
    gql_type = "RefundDuty"


@dataclass(eq=False)
class Adjustment(Record):
    amount: Bag
    tax: Bag
    reason: str
    gql_type = "OrderAdjustment"


@dataclass(eq=False)
class Refund(Record):
    order: Order
    note: str | None = None
    lines: list[RefundLine] = field(default_factory=list)
    shipping: list[RefundShipping] = field(default_factory=list)
    duties: list[RefundDuty] = field(default_factory=list)
    adjustments: list[Adjustment] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)
    created_at: datetime = field(default_factory=now)
    gql_type = "Refund"

    @property
    def refunded(self) -> Bag:
        return total(t.amount for t in self.transactions if t.status == "SUCCESS")


@dataclass(eq=False)
class Sale(Record):
    """One entry of the sales ledger, signed as Shopify signs it."""

    action: str
    line_type: str
    amount: Bag
    tax: Bag
    discount_before_taxes: Bag
    quantity: int | None = None
    # What was sold: a line, shipping, a duty, a fee; None for an adjustment.
    of: Charged | None = None
    taxes: list[tuple[int, Bag, TaxLine]] = field(default_factory=list)

    @property
    def line(self) -> Line | None:
        return self.of if isinstance(self.of, Line) else None

    @property
    def shipping(self) -> Shipping | None:
        """Not told when shipping is given back."""
        return self.of if isinstance(self.of, Shipping) and self.action != "RETURN" else None

    @property
    def gid(self) -> str:
        return f"gid://shopify/Sale/{self.id}"

    @property
    def gql_type(self) -> str:
        return {
            "PRODUCT": "ProductSale",
            "SHIPPING": "ShippingLineSale",
            "TIP": "TipSale",
            "GIFT_CARD": "GiftCardSale",
            "ADJUSTMENT": "AdjustmentSale",
            "DUTY": "DutySale",
            "ADDITIONAL_FEE": "AdditionalFeeSale",
        }[self.line_type]


@dataclass(eq=False)
class Agreement(Record):
    order: Order
    reason: str
    happened_at: datetime
    sales: list[Sale] = field(default_factory=list)
    # A return has a refund too, but no agreement of that refund.
    refund: Refund | None = None
    return_: Return | None = None

    @property
    def gid(self) -> str:
        return f"gid://shopify/SalesAgreement/{self.id}"

    @property
    def gql_type(self) -> str:
        return {
            "ORDER": "OrderAgreement",
            "ORDER_EDIT": "OrderEditAgreement",
            "REFUND": "RefundAgreement",
            "RETURN": "ReturnAgreement",
        }[self.reason]


@dataclass(eq=False)
class FulfillmentOrderLine(Record):
    line: Line
    total: int
    remaining: int
    gql_type = "FulfillmentOrderLineItem"


@dataclass(eq=False)
class Hold(Record):
    reason: str
    notes: str | None = None
    handle: str | None = None
    # Holds of the app that asks, as opposed to those of the merchant.
    by_app: bool = True
    gql_type = "FulfillmentHold"


@dataclass(eq=False)
class FulfillmentOrder(Record):
    order: Order
    location: Location
    status: str = "OPEN"
    lines: list[FulfillmentOrderLine] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    # The one this was taken out of by a partial hold: released units come back together.
    held_apart_from: FulfillmentOrder | None = None
    # Split off another one, or split itself: it can be merged.
    was_split: bool = False
    request_status: str = "UNSUBMITTED"
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    gql_type = "FulfillmentOrder"

    @property
    def over(self) -> bool:
        return self.status in ("CLOSED", "CANCELLED")


@dataclass(eq=False)
class FulfillmentLine(Record):
    line: Line
    quantity: int
    # What the units were taken from.
    sources: list[tuple[FulfillmentOrder, FulfillmentOrderLine, int]] = field(default_factory=list)
    gql_type = "FulfillmentLineItem"


@dataclass(eq=False)
class FulfillmentEvent(Record):
    status: str
    happened_at: datetime
    message: str | None = None
    estimated_at: datetime | None = None
    created_at: datetime = field(default_factory=now)
    gql_type = "FulfillmentEvent"


@dataclass(eq=False)
class Fulfillment(Record):
    order: Order
    name: str
    location: Location
    lines: list[FulfillmentLine] = field(default_factory=list)
    tracking: list[dict[str, str | None]] = field(default_factory=list)
    status: str = "SUCCESS"
    notified: bool = False
    service: str | None = None
    events: list[FulfillmentEvent] = field(default_factory=list)
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    gql_type = "Fulfillment"

    @property
    def display_status(self) -> str:
        # Spelled with one L here, with two in the status.
        if self.status == "CANCELLED":
            return "CANCELED"
        return self.events[-1].status if self.events else "FULFILLED"

    def first_event(self, status: str) -> datetime | None:
        return next((e.happened_at for e in self.events if e.status == status), None)

    @property
    def fulfillment_orders(self) -> list[FulfillmentOrder]:
        return list(dict.fromkeys(source[0] for row in self.lines for source in row.sources))


@dataclass(eq=False)
class ReturnLine(Record):
    """Shipped units that are to come back."""

    fulfillment_line: FulfillmentLine
    quantity: int
    reason: str = "UNKNOWN"
    note: str = ""
    # Restocking fee in percent.
    fee: Decimal | None = None
    processed: int = 0
    gql_type = "ReturnLineItem"

    @property
    def line(self) -> Line:
        return self.fulfillment_line.line

    @property
    def unprocessed(self) -> int:
        return self.quantity - self.processed


@dataclass(eq=False)
class ExchangeLine(Record):
    """Goods the buyer gets instead; an order line once they are processed."""

    spec: dict[str, Any]
    variant: Variant | None
    quantity: int
    line: Line | None = None
    gql_type = "ExchangeLineItem"

    @property
    def processed(self) -> int:
        return self.quantity if self.line else 0


@dataclass(eq=False)
class Disposition(Record):
    """Where units that came back went."""

    type: str
    quantity: int
    location: Location | None = None
    created_at: datetime = field(default_factory=now)
    gql_type = "ReverseFulfillmentOrderDisposition"


@dataclass(eq=False)
class ReverseLine(Record):
    return_line: ReturnLine
    total: int
    dispositions: list[Disposition] = field(default_factory=list)
    gql_type = "ReverseFulfillmentOrderLineItem"


@dataclass(eq=False)
class ReverseOrder(Record):
    """Goods on their way back."""

    order: Order
    lines: list[ReverseLine] = field(default_factory=list)
    status: str = "OPEN"
    gql_type = "ReverseFulfillmentOrder"


@dataclass(eq=False)
class Return(Record):
    order: Order
    name: str
    status: str = "OPEN"
    lines: list[ReturnLine] = field(default_factory=list)
    exchanges: list[ExchangeLine] = field(default_factory=list)
    # Told in the buyer's currency only.
    shipping_fee: Decimal | None = None
    refunds: list[Refund] = field(default_factory=list)
    reverse_orders: list[ReverseOrder] = field(default_factory=list)
    decline: dict[str, Any] | None = None
    approved_at: datetime | None = None
    closed_at: datetime | None = None
    created_at: datetime = field(default_factory=now)
    gql_type = "Return"

    @property
    def active(self) -> bool:
        return self.status in ("REQUESTED", "OPEN")


@dataclass(eq=False)
class Company(Record):
    """A business that buys, with the places it has goods sent to."""

    name: str
    external_id: str | None = None
    locations: list[CompanyLocation] = field(default_factory=list)
    note: str | None = None
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    gql_type = "Company"


@dataclass(eq=False)
class CompanyLocation(Record):
    company: Company
    name: str
    external_id: str | None = None
    phone: str | None = None
    address: Address | None = None
    tax_registration: str | None = None
    tax_exempt: bool = False
    terms: dict[str, Any] | None = None
    catalogs: list[Catalog] = field(default_factory=list)
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    gql_type = "CompanyLocation"


@dataclass(eq=False)
class CompanyContact(Record):
    company: Company
    customer: Customer
    title: str | None = None
    main: bool = False
    roles: list[tuple[str, CompanyLocation]] = field(default_factory=list)
    gql_type = "CompanyContact"


@dataclass(eq=False)
class Catalog(Record):
    """What companies' locations may buy, at prices of their own."""

    title: str
    status: str = "ACTIVE"
    gql_type = "CompanyLocationCatalog"


@dataclass(eq=False)
class Buyer:
    """A company as the buyer of an order."""

    company: Company
    location: CompanyLocation
    contact: CompanyContact | None = None
    gql_type = "PurchasingCompany"


@dataclass(eq=False)
class PaymentTerms(Record):
    name: str
    type: str
    days: int | None = None
    due_at: datetime | None = None
    order: Order = None  # type: ignore[assignment]
    gql_type = "PaymentTerms"


@dataclass(eq=False)
class Assessment:
    """What somebody thinks of the risk of an order."""

    level: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    provider: str | None = None
    gql_type = "OrderRiskAssessment"


@dataclass(eq=False)
class Draft(Record):
    """A draft order; what it will become is its specification."""

    number: int
    spec: dict[str, Any]
    status: str = "OPEN"
    order: Order | None = None
    completed_at: datetime | None = None
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    gql_type = "DraftOrder"

    @property
    def name(self) -> str:
        return f"#D{self.number}"


@dataclass(eq=False)
class Order(Record):
    number: int
    currencies: Currencies
    taxes_included: bool
    customer: Customer | None = None
    email: str | None = None
    phone: str | None = None
    billing: Address | None = None
    shipping_address: Address | None = None
    lines: list[Line] = field(default_factory=list)
    shipping: list[Shipping] = field(default_factory=list)
    fees: list[ExtraFee] = field(default_factory=list)
    discounts: list[Discount] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)
    refunds: list[Refund] = field(default_factory=list)
    agreements: list[Agreement] = field(default_factory=list)
    fulfillment_orders: list[FulfillmentOrder] = field(default_factory=list)
    fulfillments: list[Fulfillment] = field(default_factory=list)
    returns: list[Return] = field(default_factory=list)
    note: str | None = None
    tags: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str]] = field(default_factory=list)
    po_number: str | None = None
    buyer: Buyer | None = None
    terms: PaymentTerms | None = None
    source_name: str = "web"
    source_identifier: str | None = None
    source_url: str | None = None
    # Sales channel: name of the app and, for a marketplace, what it says of itself.
    app: str = "Online Store"
    attribution: dict[str, str] | None = None
    # Where it was sold over the counter.
    retail_location: Location | None = None
    localized_fields: list[dict[str, str]] = field(default_factory=list)
    duties_included: bool = False
    recommendation: str = "ACCEPT"
    assessments: list[Assessment] = field(default_factory=list)
    locale: str = "en"
    test: bool = False
    tax_exempt: bool = False
    # Status while no transaction says otherwise: PENDING from a checkout, none from the API.
    unpaid_status: str | None = "PENDING"
    gateway: str = "manual"
    original_total: Bag = field(default_factory=Bag)
    edited: bool = False
    cancelled_at: datetime | None = None
    cancel_reason: str | None = None
    staff_note: str | None = None
    closed_at: datetime | None = None
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    processed_at: datetime = field(default_factory=now)
    # Overrides of the GraphQL answer, for orders that break the contract on purpose.
    corrupt: dict[str, Any] = field(default_factory=dict)
    # What the search index knows; it lags behind the order.
    indexed: dict[str, Any] | None = None
    gql_type = "Order"

    @property
    def name(self) -> str:
        return f"#{self.number}"

    # --- Goods and charges ---

    @property
    def goods(self) -> list[Line]:
        return [line for line in self.lines if not line.tip]

    @property
    def charged(self) -> list[Charged]:
        return [*self.lines, *self.shipping, *self.duties, *self.fees]

    @property
    def duties(self) -> list[Duty]:
        return [duty for line in self.lines for duty in line.duties]

    @property
    def subtotal(self) -> Bag:
        return total(line.discounted for line in self.goods)

    @property
    def tips(self) -> Bag:
        return total(line.discounted for line in self.lines if line.tip)

    @property
    def shipping_total(self) -> Bag:
        return total(s.discounted for s in self.shipping)

    @property
    def tax(self) -> Bag:
        return total(c.tax for c in self.charged)

    @property
    def discount_total(self) -> Bag:
        return total(c.allocated for c in self.charged)

    @property
    def total(self) -> Bag:
        result = total(c.discounted for c in self.charged)
        return result if self.taxes_included else result + self.tax

    @property
    def current_subtotal(self) -> Bag:
        return total(line.current for line in self.goods)

    @property
    def current_tax(self) -> Bag:
        return total(c.current_tax for c in self.charged)

    @property
    def current_total(self) -> Bag:
        result = total(c.current for c in self.charged)
        return result if self.taxes_included else result + self.current_tax

    def summed_taxes(self, *, current: bool = False) -> list[TaxLine]:
        """Tax lines of the order: summed by title and rate, in order of appearance."""
        sums: dict[tuple[str, Decimal | None], TaxLine] = {}
        for tax in (t for c in self.charged for t in c.tax_lines):
            amount = tax.current if current else tax.price
            if current and not amount and tax.removed:
                continue
            found = sums.setdefault((tax.title, tax.rate), TaxLine(tax.title, tax.rate, Bag()))
            found.price += amount
        return list(sums.values())

    # --- Money ---

    def _sum(self, kinds: tuple[str, ...], status: str = "SUCCESS") -> Bag:
        return total(t.amount for t in self.transactions if t.kind in kinds and t.status == status)

    @property
    def received(self) -> Bag:
        """Payments, without the change given back."""
        return self._sum(("SALE", "CAPTURE")) - self._sum(("CHANGE",))

    def rounding(self, *kinds: str) -> Bag:
        """What cash payments of these kinds were rounded by."""
        return total(
            t.rounding
            for t in self.transactions
            if t.kind in kinds and t.status == "SUCCESS" and t.rounding
        )

    @property
    def refunded(self) -> Bag:
        return self._sum(("REFUND",))

    @property
    def net_payment(self) -> Bag:
        return self.received - self.refunded

    @property
    def open_authorizations(self) -> list[Transaction]:
        done = {t.parent for t in self.transactions if t.kind in ("CAPTURE", "VOID") and t.parent}
        return [
            t
            for t in self.transactions
            if t.kind == "AUTHORIZATION" and t.status == "SUCCESS" and t not in done
        ]

    @property
    def authorized(self) -> Bag:
        return total(t.amount for t in self.open_authorizations)

    @property
    def adjusted(self) -> Bag:
        """Refund differences in the sense of the ledger: positive stays with the merchant."""
        return total(
            sale.amount
            for a in self.agreements
            for sale in a.sales
            if sale.line_type == "ADJUSTMENT"
        )

    @property
    def outstanding(self) -> Bag:
        """Not yet transacted; measured in the buyer's currency (a moved rate is no debt)."""
        due = self.current_total + self.adjusted - self.net_payment - self.authorized
        if self.currencies.single or not due.presentment:
            return due if self.currencies.single else Bag()
        whole = self.total
        ratio = whole.shop / whole.presentment if whole.presentment else self.currencies.rate
        return Bag(due.presentment * ratio, due.presentment).rounded(self.currencies)

    @property
    def financial_status(self) -> str | None:
        received, refunded = self.received.presentment, self.refunded.presentment
        if received:
            if refunded >= received:
                return "REFUNDED"
            if refunded:
                return "PARTIALLY_REFUNDED"
            return "PARTIALLY_PAID" if self.outstanding.presentment > 0 else "PAID"
        if self.open_authorizations:
            return "AUTHORIZED"
        if any(t.kind == "VOID" and t.status == "SUCCESS" for t in self.transactions):
            return "VOIDED"
        if any(t.status == "PENDING" for t in self.transactions):
            return "PENDING"
        if self.transactions:
            return None
        if not self.original_total and not self.total and self.lines:
            return "PAID"
        return None if self.cancelled_at else self.unpaid_status

    @property
    def return_status(self) -> str:
        """The most urgent of its returns; declined and cancelled ones do not count."""
        states = {r.status for r in self.returns}
        for state, status in (
            ("REQUESTED", "RETURN_REQUESTED"),
            ("OPEN", "IN_PROGRESS"),
            ("CLOSED", "RETURNED"),
        ):
            if state in states:
                return status
        return "NO_RETURN"

    @property
    def fulfillment_status(self) -> str:
        done = sum(line.fulfilled for line in self.goods)
        if not done:
            left = [fo for fo in self.fulfillment_orders if not fo.over]
            held = left and all(fo.status == "ON_HOLD" for fo in left)
            return "ON_HOLD" if held else "UNFULFILLED"
        return "PARTIALLY_FULFILLED" if any(ln.unfulfilled for ln in self.goods) else "FULFILLED"


@dataclass(eq=False)
class BulkOperation(Record):
    """A query or mutation that runs for a while."""

    type: str
    query: str
    scopes: tuple[str, ...] = ()
    version: str = ""
    #: of the shop, as the app called it
    address: str = ""
    #: variables of each call of a mutation
    lines: list[dict[str, Any]] = field(default_factory=list)
    client_identifier: str | None = None
    status: str = "CREATED"
    error_code: str | None = None
    object_count: int = 0
    root_count: int = 0
    #: name of its result
    file: str = ""
    created_at: datetime = field(default_factory=now)
    completed_at: datetime | None = None
    gql_type = "BulkOperation"


@dataclass(eq=False)
class StagedUpload(Record):
    """A place to upload a file to."""

    key: str
    fields: dict[str, str]
    gql_type = "StagedUpload"
