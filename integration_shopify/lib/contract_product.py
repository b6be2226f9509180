"""What we need of Shopify's products, and how strict we are about it; see :mod:`.contract`."""

import json
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PrivateAttr, StringConstraints, model_validator

from odoo.addons.integration_base.lib.contract import Payload
from odoo.addons.integration_base.lib.money import to_decimal

from .contract import Gid, MoneyV2, Text, Utc, _nodes


def _price(value: Any) -> Decimal:
    return to_decimal(value)


def _optional_price(value: Any) -> Decimal | None:
    return None if value is None else to_decimal(value)


def _exact(value: Any) -> Decimal:
    # JSON numbers (0.3) are written as briefly as Python prints them, so this is exact
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise ValueError("a number is needed") from error
    if not number.is_finite():
        raise ValueError("a number is needed")
    return number


def _code(value: Any) -> str:
    # spaces around a SKU or barcode are slips of the keyboard, and would never be found
    return value.strip() if isinstance(value, str) else ("" if value is None else value)


def read_metafields(value: Any) -> Any:
    """Return metafields as nested objects: ``custom.care`` is ``metafields["custom"]["care"]``.

    Values get the kind their type says: lists and objects are read from their JSON, yes and no
    become booleans; all else stays the text Shopify writes, which is exact.
    https://shopify.dev/docs/apps/build/custom-data/metafields/list-of-data-types
    """
    rows = _nodes(value)
    if not isinstance(rows, list):
        return rows
    found: dict = {}
    for row in rows:
        place = found
        for step in str(row["namespace"]).split("."):
            place = place.setdefault(step, {})
        place[row["key"]] = _metafield(str(row.get("type") or ""), row.get("value"))
    return found


def _metafield(kind: str, value: Any) -> Any:
    if value is None:
        return None
    if kind == "boolean":
        return value == "true" or value is True
    if kind.startswith("list.") or kind in ("json", "money", "weight", "volume", "dimension"):
        try:
            return json.loads(value, parse_float=str, parse_int=str)
        except ValueError:
            return value
    return value


Price = Annotated[Decimal, BeforeValidator(_price)]
OptionalPrice = Annotated[Decimal | None, BeforeValidator(_optional_price)]
Exact = Annotated[Decimal, BeforeValidator(_exact)]
Code = Annotated[str, BeforeValidator(_code)]
Named = Annotated[str, StringConstraints(min_length=1)]


class Weight(Payload):
    value: Exact
    unit: Text


class Measurement(Payload):
    weight: Weight | None = None


class InventoryItem(Payload):
    """What is stocked of a variant: customs, cost and weight belong to it."""

    id: Gid
    tracked: bool = False
    requiresShipping: bool = True
    harmonizedSystemCode: Text = ""
    countryCodeOfOrigin: Text = ""
    # None too where the app may not see costs
    unitCost: MoneyV2 | None = None
    measurement: Measurement | None = None


class SelectedOption(Payload):
    name: Named
    value: Named


class Variant(Payload):
    id: Gid
    title: Text = ""
    sku: Code = ""
    barcode: Code = ""
    price: Price
    compareAtPrice: OptionalPrice = None
    taxable: bool = True
    position: int = 0
    requiresComponents: bool = False
    selectedOptions: list[SelectedOption]
    inventoryItem: InventoryItem


class OptionValue(Payload):
    id: Gid | None = None
    name: Named


class Option(Payload):
    id: Gid
    name: Named
    position: int
    optionValues: list[OptionValue]


class Category(Payload):
    """A category of Shopify's standard taxonomy."""

    id: Gid
    fullName: Text = ""


class Media(Payload):
    id: Gid


class Product(Payload):
    """A product as Shopify has it now, with all of its variants."""

    id: Gid
    title: Named
    handle: Text = ""
    descriptionHtml: Text = ""
    vendor: Text = ""
    productType: Text = ""
    status: Named
    tags: list[str]
    isGiftCard: bool = False
    hasOnlyDefaultVariant: bool = False
    hasVariantsThatRequiresComponents: bool = False
    updatedAt: Utc
    category: Category | None = None
    # says that there may be another picture
    featuredMedia: Media | None = None
    options: list[Option]
    metafields: Annotated[dict, BeforeValidator(read_metafields)] = {}
    variants: Annotated[list[Variant], BeforeValidator(_nodes)]
    # products whose place this one took, as far as we know: no part of it
    replaces: list[str] = Field([], exclude=True)

    @model_validator(mode="after")
    def _check_variants(self):
        names = {option.name for option in self.options}
        if not self.variants:
            raise ValueError("a product has one variant at least, this one has none")
        for variant in self.variants:
            if {option.name for option in variant.selectedOptions} != names:
                raise ValueError(
                    f"the options of variant {variant.title or variant.id} are not those of the "
                    f"product"
                )
        return self


class Image(Payload):
    url: Named


class PictureMedia(Payload):
    """A picture, or a film or model, which has no ``image``; None too while it is prepared."""

    id: Gid
    image: Image | None = None


class PicturedVariant(Payload):
    id: Gid
    media: Annotated[list[PictureMedia], BeforeValidator(_nodes)]


class Pictures(Payload):
    """The main picture of a product and those of its variants.

    What was downloaded of them is beside the data, so that digests and records stay small.
    """

    id: Gid
    title: Text = ""
    updatedAt: Utc
    featuredMedia: PictureMedia | None = None
    variants: Annotated[list[PicturedVariant], BeforeValidator(_nodes)]
    # {id of the product or of a variant: its picture, or a text that says why there is none}
    _downloads: dict = PrivateAttr(default_factory=dict)
    # whether there are more pictures than are downloaded at a time
    _more: bool = PrivateAttr(default=False)

    def sources(self) -> dict[str, PictureMedia]:
        """Return ``{id of the product or of a variant: its picture}``.

        A variant that shows the picture of the product has none of its own.
        """
        found, main = {}, self.featuredMedia
        if main and main.image:
            found[self.id] = main
        for variant in self.variants:
            own = next((media for media in variant.media if media.image), None)
            if own and not (main and own.id == main.id):
                found[variant.id] = own
        return found
