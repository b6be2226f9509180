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


class DiscountAllocation(Payload):
    allocatedAmountSet: Money


class Variant(Payload):
    id: Gid
    barcode: Text = ""


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


class Order(Payload):
    """An order as Shopify has it now, in the currency that was asked for."""

    id: Gid
    name: Annotated[str, StringConstraints(min_length=1)]
    processedAt: Utc
    updatedAt: Utc
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
    paymentGatewayNames: list[str]
    discountCodes: list[str]
    # only of orders taken at a till
    retailLocation: Location | None = None
    currentTotalPriceSet: Money
    currentTotalTaxSet: Money
    currentTotalDutiesSet: OptionalMoney = Decimal(0)
    currentTotalAdditionalFeesSet: OptionalMoney = Decimal(0)
    totalTipReceivedSet: OptionalMoney = Decimal(0)
    customer: Customer | None = None
    billingAddress: Address | None = None
    shippingAddress: Address | None = None
    shippingLines: Annotated[list[ShippingLine], BeforeValidator(_nodes)]
    lineItems: Annotated[list[LineItem], BeforeValidator(_nodes)]
