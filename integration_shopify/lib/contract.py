"""What we need of Shopify's orders, and how strict we are about it.

Money arrives as text and becomes :class:`~decimal.Decimal`; a missing amount, an unknown kind of
number or a text in place of a list is refused with its path. Texts that only describe (statuses,
titles) may have any value, because Shopify adds new ones with every version.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AliasPath, BeforeValidator, Field, StringConstraints, model_validator

from odoo.addons.integration_base.lib.contract import Payload
from odoo.addons.integration_base.lib.money import to_decimal


def _money(value: Any) -> Decimal:
    return to_decimal(value["money"]["amount"] if isinstance(value, dict) else value)


def _optional_money(value: Any) -> Decimal:
    return Decimal(0) if value is None else _money(value)


def _rate(value: Any) -> Decimal | None:
    # JSON numbers of rates (0.19) are written as briefly as Python prints them, so this is exact.
    return None if value is None else Decimal(str(value))


def read_utc(value: Any) -> datetime:
    """Return a time stamp of Shopify as naive UTC.

    :raises ValueError: when it is none, or has no time zone.
    """
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        raise ValueError("a date and time such as 2026-11-20T10:00:00Z is needed")
    if value.tzinfo is None:
        raise ValueError("a date and time needs its time zone, such as 2026-11-20T10:00:00Z")
    return value.astimezone(UTC).replace(tzinfo=None)


def _optional_utc(value: Any) -> datetime | None:
    return None if value is None else read_utc(value)


def _nodes(value: Any) -> Any:
    return value["nodes"] if isinstance(value, dict) and "nodes" in value else value


Money = Annotated[Decimal, BeforeValidator(_money)]
OptionalMoney = Annotated[Decimal, BeforeValidator(_optional_money)]
Rate = Annotated[Decimal | None, BeforeValidator(_rate)]
Utc = Annotated[datetime, BeforeValidator(read_utc)]
OptionalUtc = Annotated[datetime | None, BeforeValidator(_optional_utc)]
CurrencyCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Gid = Annotated[str, StringConstraints(pattern=r"^gid://shopify/[A-Za-z]+/[^/\s]+$")]
Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]


class TaxLine(Payload):
    """One tax of one line, for all its units."""

    title: Text = ""
    rate: Rate = None
    channelLiable: bool | None = None
    priceSet: Money


class DiscountApplication(Payload):
    """A code the buyer typed in, or a discount by its title."""

    code: Text = ""
    title: Text = ""


class DiscountAllocation(Payload):
    allocatedAmountSet: Money
    discountApplication: DiscountApplication = DiscountApplication()


class Variant(Payload):
    id: Gid
    barcode: Text = ""
    # looked up only where Odoo does not know the variant; no part of the order
    product: Any = Field(None, exclude=True)


class LineItem(Payload):
    """A line of goods. ``quantity``, taxes and discounts include removed and returned units."""

    id: Gid
    name: Text = ""
    sku: Text = ""
    quantity: Annotated[int, Field(ge=0, strict=True)]
    currentQuantity: Annotated[int, Field(ge=0, strict=True)]
    isGiftCard: bool = False
    taxable: bool = True
    requiresShipping: bool = True
    originalUnitPriceSet: Money
    discountAllocations: list[DiscountAllocation]
    taxLines: list[TaxLine]
    variant: Variant | None = None

    @model_validator(mode="after")
    def _check_quantities(self):
        if self.currentQuantity > self.quantity:
            raise ValueError("currentQuantity is larger than quantity")
        return self


class ShippingLine(Payload):
    """A shipping charge; ``currentDiscountedPriceSet`` is what is left of it after refunds."""

    id: Gid | None = None
    title: Text = ""
    code: Text = ""
    originalPriceSet: Money
    discountedPriceSet: Money
    currentDiscountedPriceSet: Money
    taxLines: list[TaxLine]


class Customer(Payload):
    id: Gid
    firstName: Text = ""
    lastName: Text = ""
    email: Text = Field("", validation_alias=AliasPath("defaultEmailAddress", "emailAddress"))
    # kept out of the drift report: it is read through ``email``
    defaultEmailAddress: Any = Field(None, exclude=True)


class Address(Payload):
    firstName: Text = ""
    lastName: Text = ""
    name: Text = ""
    company: Text = ""
    address1: Text = ""
    address2: Text = ""
    city: Text = ""
    zip: Text = ""
    phone: Text = ""
    countryCodeV2: Text = ""
    provinceCode: Text = ""
    province: Text = ""


class Location(Payload):
    id: Gid
    name: Text = ""


class Reference(Payload):
    """A record named by its id alone."""

    id: Gid
    name: Text = ""


class SaleTaxLine(Payload):
    title: Text = ""
    rate: Rate = None
    channelLiable: bool | None = None


class SaleTax(Payload):
    amount: Money
    taxLine: SaleTaxLine


class Sale(Payload):
    """One position of an agreement. Amounts and quantity are signed: what goes back is negative.

    :ivar totalAmount: after discounts, with tax.
    """

    id: Gid
    actionType: Text
    lineType: Text
    quantity: int | None = None
    totalAmount: Money
    taxes: list[SaleTax]
    lineItem: Reference | None = None
    # of shipping that was taken back Shopify does not say which
    shippingLine: Reference | None = None


class Agreement(Payload):
    """One entry of Shopify's append-only sales ledger: an order, an edit, a refund or a return.

    https://shopify.dev/docs/api/admin-graphql/latest/interfaces/SalesAgreement
    """

    id: Gid
    reason: Text
    happenedAt: Utc
    refund: Reference | None = None
    return_: Reference | None = Field(None, alias="return")
    sales: Annotated[list[Sale], BeforeValidator(_nodes)]


class MoneyV2(Payload):
    amount: Annotated[Decimal, BeforeValidator(to_decimal)]
    currencyCode: CurrencyCode


class MoneyBag(Payload):
    """An amount on both sides: there is no constant rate between them."""

    shopMoney: MoneyV2
    presentmentMoney: MoneyV2


class Transaction(Payload):
    """Money that moved, or was promised, refused or given back; amounts are never negative."""

    id: Gid
    kind: Text
    status: Text
    gateway: Text = ""
    formattedGateway: Text = ""
    paymentId: Text = ""
    test: bool = False
    processedAt: OptionalUtc = None
    createdAt: Utc
    authorizationExpiresAt: OptionalUtc = None
    # whether what is left after a capture stays authorized
    multiCapturable: bool = False
    parentTransaction: Reference | None = None
    amountSet: MoneyBag

    @property
    def moved_at(self) -> datetime:
        return self.processedAt or self.createdAt


class RefundLine(Payload):
    """Units given back; ``restockType`` says whether they came back to the shelf.

    ``CANCEL``: never shipped and free again; ``RETURN``: shipped and back; ``NO_RESTOCK``: neither.
    """

    id: Gid | None = None
    quantity: Annotated[int, Field(ge=0, strict=True)]
    restockType: Text = ""
    restocked: bool = False
    lineItem: Reference
    location: Location | None = None
    subtotalSet: Money
    totalTaxSet: Money


class RefundShippingLine(Payload):
    shippingLine: Reference
    subtotalAmountSet: Money
    taxAmountSet: Money


class OrderAdjustment(Payload):
    """Difference between the goods given back and the money: positive is kept, negative given."""

    id: Gid
    reason: Text = ""
    amountSet: Money
    taxAmountSet: Money


class Refund(Payload):
    """A refund, whether or not money moved: only its successful transactions are money."""

    id: Gid
    createdAt: OptionalUtc = None
    note: Text = ""
    return_: Reference | None = Field(None, alias="return")
    totalRefundedSet: Money
    refundLineItems: Annotated[list[RefundLine], BeforeValidator(_nodes)]
    refundShippingLines: Annotated[list[RefundShippingLine], BeforeValidator(_nodes)]
    orderAdjustments: Annotated[list[OrderAdjustment], BeforeValidator(_nodes)]


class Return(Payload):
    id: Gid
    name: Text = ""
    status: Text = ""
    createdAt: Utc
    closedAt: OptionalUtc = None
    totalQuantity: int = 0


class Tracking(Payload):
    company: Text = ""
    number: Text = ""
    url: Text = ""


class FulfillmentLine(Payload):
    id: Gid
    quantity: int | None = None
    lineItem: Reference


class FulfillmentService(Payload):
    handle: Text = ""
    serviceName: Text = ""
    type: Text = ""


class Fulfillment(Payload):
    """A shipment. ``status`` is ``CANCELLED`` with two L, ``displayStatus`` ``CANCELED``."""

    id: Gid
    name: Text = ""
    status: Text
    displayStatus: Text = ""
    createdAt: Utc
    updatedAt: Utc
    inTransitAt: OptionalUtc = None
    deliveredAt: OptionalUtc = None
    location: Location | None = None
    service: FulfillmentService | None = None
    trackingInfo: list[Tracking]
    fulfillmentLineItems: Annotated[list[FulfillmentLine], BeforeValidator(_nodes)]


class AssignedLocation(Payload):
    name: Text = ""
    location: Reference | None = None


class SupportedAction(Payload):
    action: Text


class FulfillmentHold(Payload):
    id: Gid
    reason: Text = ""
    displayReason: Text = ""
    reasonNotes: Text = ""


class FulfillmentOrderLine(Payload):
    id: Gid
    totalQuantity: int
    remainingQuantity: int
    lineItem: Reference


class FulfillmentOrder(Payload):
    """What one location has to ship. A closed one may still show units that remain."""

    id: Gid
    status: Text
    requestStatus: Text = ""
    assignedLocation: AssignedLocation
    supportedActions: list[SupportedAction]
    fulfillmentHolds: list[FulfillmentHold]
    lineItems: Annotated[list[FulfillmentOrderLine], BeforeValidator(_nodes)]


class Shipping(Payload):
    """What became of the units of an order: the part of it that shipping needs."""

    id: Gid
    updatedAt: Utc
    fulfillments: list[Fulfillment]
    fulfillmentOrders: Annotated[list[FulfillmentOrder], BeforeValidator(_nodes)]


class Attribute(Payload):
    key: Text
    value: Text = ""


class RiskAssessment(Payload):
    riskLevel: Text = ""


class Risk(Payload):
    recommendation: Text = ""
    assessments: list[RiskAssessment] = []


class PaymentTerms(Payload):
    paymentTermsName: Text = ""
    paymentTermsType: Text = ""
    dueInDays: int | None = None

    @property
    def key(self) -> str:
        """What a value mapping calls these terms: name and days, if they have any."""
        days = "" if self.dueInDays is None else self.dueInDays
        return f"{self.paymentTermsName or self.paymentTermsType}|{days}"


class PurchasingEntity(Payload):
    """The company that ordered; empty when a person did."""

    company: Reference | None = None
    location: Reference | None = None


class App(Payload):
    name: Text = ""


class CashRounding(Payload):
    """What rounding to coins added to the money received and given back; either sign."""

    paymentSet: OptionalMoney = Decimal(0)
    refundSet: OptionalMoney = Decimal(0)


class Outstanding(Payload):
    presentmentMoney: Annotated[Decimal, BeforeValidator(lambda value: to_decimal(value["amount"]))]


class Order(Payload):
    """An order as Shopify has it now, in the currency that was asked for.

    What came with later documents is None where it was not asked for, because the order has none.
    """

    id: Gid
    name: Annotated[str, StringConstraints(min_length=1)]
    createdAt: OptionalUtc = None
    processedAt: Utc
    updatedAt: Utc
    closedAt: OptionalUtc = None
    cancelledAt: OptionalUtc = None
    cancelReason: Text = ""
    test: bool
    email: Text = ""
    phone: Text = ""
    note: Text = ""
    tags: list[str]
    currencyCode: CurrencyCode
    presentmentCurrencyCode: CurrencyCode
    taxesIncluded: bool
    # None is real: an unpaid order made by an app, or a failed authorization
    displayFinancialStatus: Text = ""
    displayFulfillmentStatus: Text = ""
    returnStatus: Text = ""
    sourceName: Text = ""
    poNumber: Text = ""
    customAttributes: list[Attribute] = []
    capturable: bool = False
    canMarkAsPaid: bool = False
    paymentGatewayNames: list[str]
    discountCodes: list[str]
    # only of orders taken at a till
    retailLocation: Location | None = None
    currentTotalPriceSet: Money
    currentTotalTaxSet: Money
    currentTotalDutiesSet: OptionalMoney = Decimal(0)
    currentTotalAdditionalFeesSet: OptionalMoney = Decimal(0)
    totalTipReceivedSet: OptionalMoney = Decimal(0)
    totalOutstandingSet: Outstanding | None = None
    totalCashRoundingAdjustment: CashRounding = CashRounding()
    app: App | None = None
    risk: Risk | None = None
    paymentTerms: PaymentTerms | None = None
    purchasingEntity: PurchasingEntity | None = None
    transactions: list[Transaction] = []
    # kept out of the drift report: they only say whether more has to be read
    fulfillmentStates: Any = Field(None, exclude=True)
    shipments: Any = Field(None, exclude=True)
    # None: the ledger was not shown
    agreements: Annotated[list[Agreement] | None, BeforeValidator(_nodes)] = None
    refunds: list[Refund] | None = None
    returns: Annotated[list[Return] | None, BeforeValidator(_nodes)] = None
    fulfillments: list[Fulfillment] | None = None
    fulfillmentOrders: Annotated[list[FulfillmentOrder] | None, BeforeValidator(_nodes)] = None
    customer: Customer | None = None
    billingAddress: Address | None = None
    shippingAddress: Address | None = None
    shippingLines: Annotated[list[ShippingLine], BeforeValidator(_nodes)]
    lineItems: Annotated[list[LineItem], BeforeValidator(_nodes)]


class InventoryItem(Payload):
    id: Gid
    sku: Text = ""
    tracked: bool


class InventoryQuantity(Payload):
    name: str
    quantity: int


class InventoryLevel(Payload):
    """The stock of an item at a location."""

    # it carries a query: gid://shopify/InventoryLevel/1?inventory_item_id=2
    id: Gid
    isActive: bool
    updatedAt: Utc
    item: InventoryItem
    location: Location
    quantities: list[InventoryQuantity]

    @model_validator(mode="after")
    def _check_names(self):
        missing = {"on_hand", "committed"} - {row.name for row in self.quantities}
        if missing:
            raise ValueError(f"the quantity {', '.join(sorted(missing))} is missing")
        return self

    @property
    def on_hand(self) -> int:
        return self._quantity("on_hand")

    @property
    def committed(self) -> int:
        return self._quantity("committed")

    def _quantity(self, name) -> int:
        return next(row.quantity for row in self.quantities if row.name == name)
