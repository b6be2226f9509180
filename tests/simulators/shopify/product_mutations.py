"""Products as the API changes them, and refuses to."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Any

from graphql import GraphQLResolveInfo

from . import bulk_api
from .base import SpecError, decimal
from .catalogue import GRAMS
from .money import round_money
from .mutations import mutation, refused, user_error
from .product_api import CATEGORIES, definition_of, identified, space_of
from .records import Media, MetafieldDefinition, Product, Variant, now
from .resolvers import find, gql_error, served, shop_of
from .shop import Refused, Shop

MAX_VARIANTS = 2048
MAX_OPTIONS = 3
#: Publications changed at once for one product; Shopify refuses more.
MAX_PUBLICATIONS = 250

# === WHAT IS SHARED === #


def _limit(rows: list[Any] | None, limit: int, path: str) -> None:
    if rows and len(rows) > limit:
        raise gql_error(
            f"The input array size of {len(rows)} is greater than the maximum allowed of {limit}.",
            "MAX_INPUT_SIZE_EXCEEDED",
            path=path,
        )


def _errors(name: str, error: Refused) -> dict[str, Any]:
    return {name: None, "userErrors": [refused(error)]}


def _product(
    info: GraphQLResolveInfo, gid: str, path: list[str], code: str | None = None
) -> Product:
    product = find(info, gid, "Product")
    if product is None:
        raise Refused("Product does not exist", path, code)
    return product


def _money(shop: Shop, value: Any, path: list[str]) -> Decimal | None:
    if value in (None, ""):
        return None
    try:
        amount = round_money(decimal(value), shop.config.currency)
    except SpecError as error:
        raise Refused("Price must be a number", path, "INVALID_INPUT") from error
    if amount < 0:
        raise Refused("must be greater than or equal to 0", path, "GREATER_THAN_OR_EQUAL_TO")
    return amount


def _check_variant(shop: Shop, row: dict[str, Any], path: list[str]) -> None:
    """Refuse what a variant cannot have, before anything is changed."""
    for name in ("price", "compareAtPrice"):
        _money(shop, row.get(name), [*path, name])
    values = row.get("inventoryItem") or {}
    code = values.get("harmonizedSystemCode")
    if code and not (code.isdigit() and 6 <= len(code) <= 13):
        raise Refused(
            "Harmonized system code must be between 6 and 13 digits",
            [*path, "inventoryItem", "harmonizedSystemCode"],
            "INVALID_INPUT",
        )
    weight = (values.get("measurement") or {}).get("weight")
    if weight and (weight["unit"] not in GRAMS or weight["value"] < 0):
        raise Refused("Weight is invalid", [*path, "inventoryItem", "measurement"])


def _item(shop: Shop, variant: Variant, values: dict[str, Any]) -> None:
    item = variant.item
    for name, attribute in (
        ("tracked", "tracked"),
        ("harmonizedSystemCode", "hs_code"),
        ("countryCodeOfOrigin", "origin"),
    ):
        if name in values:
            setattr(item, attribute, values[name])
    if "cost" in values:
        item.cost = None if values["cost"] is None else decimal(values["cost"])
    if values.get("requiresShipping") is not None:
        variant.requires_shipping = values["requiresShipping"]
    if "sku" in values:
        variant.sku = values["sku"] or None
    weight = (values.get("measurement") or {}).get("weight")
    if weight:
        shop.set_weight(item, weight["value"], weight["unit"])
    item.updated_at = now()


def _media(shop: Shop, source: str, alt: str | None) -> Media:
    """A picture out of an address or of what was uploaded.

    :raises Refused: nothing was uploaded there.
    """
    if "/staged/" in source:
        upload = shop.uploads.get(source.rsplit("/staged/", 1)[1].split("?")[0])
        if not upload or not upload.get("digest"):
            raise Refused("Image could not be loaded", ["media"], "INVALID")
        return shop.add_media(
            source, alt, digest=upload["digest"], filename=upload["filename"], status="READY"
        )
    if not source.startswith("http"):
        raise Refused("Image URL is invalid", ["media"], "INVALID")
    return shop.add_media(source, alt)


def _attach(variant: Variant, media: Media, path: list[str]) -> None:
    if media not in variant.product.media:
        raise Refused(
            "The media does not belong to this product.", path, "MEDIA_DOES_NOT_EXIST_ON_PRODUCT"
        )
    if media.status != "READY" and media.created_at != now():
        raise Refused("Non-ready media cannot be attached to variants.", path, "INVALID_INPUT")
    variant.media = [media]


Plan = list[tuple[str, str, str, str]]


def _plan_metafields(
    info: GraphQLResolveInfo, kind: str, owner: Any, rows: list[dict[str, Any]]
) -> Plan:
    """Namespace, key, type and value of each.

    :param owner: None for one that is going to be made.
    :raises Refused: one of them is wrong.
    """
    kinds = {"Product": "PRODUCT", "ProductVariant": "PRODUCTVARIANT", "Collection": "COLLECTION"}
    shop = shop_of(info)
    plan = []
    for index, row in enumerate(rows):
        path = ["metafields", str(index)]
        space = space_of(info, row.get("namespace"))
        definition = definition_of(info, kinds[kind], space, row["key"])
        type_ = row.get("type") or (definition.type if definition else None)
        if not type_:
            raise Refused("Type can't be blank", [*path, "type"], "BLANK")
        if definition and definition.type != type_:
            raise Refused(
                f"Type '{type_}' must be consistent with the definition's type: "
                f"'{definition.type}'.",
                [*path, "type"],
                "INVALID_TYPE",
            )
        value = str(row["value"])
        if value == "":
            raise Refused("Value can't be blank.", [*path, "value"], "BLANK")
        if len(value.encode()) > 16 * 1024:
            raise Refused("Value is too long", [*path, "value"], "TOO_LONG")
        if type_ == "number_integer" and not value.lstrip("-").isdigit():
            raise Refused("Value must be an integer.", [*path, "value"], "INVALID_VALUE")
        if type_ == "single_line_text_field" and "\n" in value:
            raise Refused(
                "Value must be a single line text string.", [*path, "value"], "INVALID_VALUE"
            )
        if definition and definition.unique:
            for other in shop.all(kind):
                if other is owner:
                    continue
                if any(
                    (m.namespace, m.key, m.value) == (space, row["key"], value)
                    for m in other.metafields
                ):
                    raise Refused("Value has already been taken", [*path, "value"], "TAKEN")
        plan.append((space, row["key"], type_, value))
    return plan


def _write_metafields(info: GraphQLResolveInfo, owner: Any, rows: list[dict[str, Any]]) -> None:
    for row in _plan_metafields(info, owner.gql_type, owner, rows):
        shop_of(info).write_metafield(owner, *row)


def _check_collections(info: GraphQLResolveInfo, gids: list[str], path: str) -> None:
    for gid in gids:
        collection = find(info, gid, "Collection")
        if collection is None:
            raise Refused("Collection does not exist", [path])
        if collection.rules:
            raise Refused("Can't add product to a smart collection", [path])


def _collections(
    info: GraphQLResolveInfo, product: Product, join: list[str], leave: list[str]
) -> None:
    for gid in join:
        if product not in find(info, gid).products:
            find(info, gid).products.append(product)
    for gid in leave:
        if product in find(info, gid).products:
            find(info, gid).products.remove(product)


_PLAIN = {
    "title": "title",
    "descriptionHtml": "description_html",
    "vendor": "vendor",
    "productType": "product_type",
    "status": "status",
    "templateSuffix": "template_suffix",
}


def _check_product(
    info: GraphQLResolveInfo, product: Product | None, values: dict[str, Any]
) -> None:
    """Refuse what a product cannot have, before anything is changed."""
    if "title" in values and not (values["title"] or "").strip():
        raise Refused("Title can't be blank", ["title"])
    if len(values.get("title") or "") > 255:
        raise Refused("Title is too long (maximum is 255 characters)", ["title"])
    if values.get("category") and values["category"] not in CATEGORIES:
        raise Refused("Category is invalid", ["category"])
    if any(len(tag) > 255 for tag in values.get("tags") or []):
        raise Refused("Tags is too long", ["tags"])
    if len(values.get("tags") or []) > 250:
        raise Refused("Too many tags", ["tags"])
    if values.get("handle"):
        others = [p for p in shop_of(info).all("Product") if p is not product]
        if any(p.handle == values["handle"] for p in others):
            raise Refused(f"Handle '{values['handle']}' already in use", ["handle"])
    for name in ("collectionsToJoin", "collectionsToLeave", "collections"):
        _check_collections(info, values.get(name) or [], name)
    _plan_metafields(info, "Product", product, values.get("metafields") or [])


def _write_product(info: GraphQLResolveInfo, product: Product, values: dict[str, Any]) -> None:
    for name, attribute in _PLAIN.items():
        if name in values:
            setattr(product, attribute, values[name] or ("" if name != "templateSuffix" else None))
    if "category" in values:
        product.category = values["category"]
    if "tags" in values:
        seen: dict[str, str] = {}
        for tag in values["tags"] or []:
            seen.setdefault(tag.strip().lower(), tag.strip())
        product.tags = list(seen.values())
    if "seo" in values:
        product.seo = dict(values["seo"] or {})
    if values.get("handle"):
        product.handle = values["handle"]


# === PRODUCT SET === #


@mutation("productSet")
def _set(
    _root: Any,
    info: GraphQLResolveInfo,
    input: dict[str, Any],
    identifier: dict[str, Any] | None = None,
    synchronous: bool = True,
) -> Any:
    if not synchronous:
        raise gql_error("This simulator runs productSet at once only.", "NOT_SIMULATED")
    _limit(input.get("variants"), MAX_VARIANTS, "variants")
    try:
        return {"product": _set_product(info, input, identifier or {}), "userErrors": []}
    except Refused as error:
        error.field = ["input", *error.field] if error.field else ["input"]
        return _errors("product", error)


def _set_product(
    info: GraphQLResolveInfo, values: dict[str, Any], identifier: dict[str, Any]
) -> Product:
    shop = shop_of(info)
    product = _to_set(info, values, identifier)
    plan = _check_set(info, product, values)
    created = product is None
    if product is None:
        handle = shop.free_handle(values.get("handle") or values["title"])
        product = Product(shop.next_id("Product"), values["title"], handle, vendor=shop.config.name)
        shop.add(product)
        if not plan:
            plan = [({"optionValues": []}, None, ("Default Title",))]
            values = {**values, "productOptions": [{"name": "Title"}]}
    _write_product(info, product, {k: v for k, v in values.items() if k != "handle" or not created})
    if values.get("files") is not None:
        product.media = [_file(info, row) for row in values["files"]]
    if plan:
        _rebuild(info, product, values["productOptions"], plan)
    if values.get("metafields") is not None:
        keep = [
            (space_of(info, row.get("namespace")), row.get("key")) for row in values["metafields"]
        ]
        # a list replaces what there was
        product.metafields = [m for m in product.metafields if (m.namespace, m.key) in keep]
        _write_metafields(info, product, values["metafields"])
    custom = identifier.get("customId")
    if custom:
        space = space_of(info, custom.get("namespace"))
        shop.write_metafield(product, space, custom["key"], "id", custom["value"])
    if values.get("collections") is not None:
        now_in = [c.gid for c in shop.all("Collection") if product in c.products and not c.rules]
        wanted = values["collections"]
        _collections(info, product, wanted, [gid for gid in now_in if gid not in wanted])
    if not created:
        shop.product_changed(product)
        return product
    for publication in shop.all("Publication"):
        if publication.auto:
            product.publications[publication.id] = now()
    shop.index_product(product)
    shop.effects["products"] += 1
    shop.emit("PRODUCTS_CREATE", product)
    return product


def _to_set(
    info: GraphQLResolveInfo, values: dict[str, Any], identifier: dict[str, Any]
) -> Product | None:
    """The product that is meant, None for a new one.

    :raises Refused: it does not exist, or what identifies it is wrong.
    """
    if values.get("id") and identifier:
        message = "The id field is not allowed if identifier is provided."
        raise Refused(message, ["id"], "ID_NOT_ALLOWED")
    identifier = identifier or ({"id": values["id"]} if values.get("id") else {})
    custom = identifier.get("customId")
    if custom:
        space = space_of(info, custom.get("namespace"))
        definition = definition_of(info, "PRODUCT", space, custom["key"])
        if definition is None or not definition.unique:
            message = "Metafield definition not found for the identifier."
            raise Refused(message, ["identifier"], "INVALID_METAFIELD")
        for row in values.get("metafields") or []:
            same = (space_of(info, row.get("namespace")), row["key"]) == (space, custom["key"])
            if same and row["value"] != custom["value"]:
                message = "The metafield does not match the identifier."
                raise Refused(message, ["metafields"], "METAFIELD_MISMATCH")
    product = identified(info, "Product", identifier) if identifier else None
    if identifier.get("id") and product is None:
        raise Refused("Product does not exist", ["id"], "PRODUCT_DOES_NOT_EXIST")
    return product


def _check_set(
    info: GraphQLResolveInfo, product: Product | None, values: dict[str, Any]
) -> list[Any]:
    """Refuse what is wrong before anything is changed; returns the plan of the variants."""
    options, variants = values.get("productOptions"), values.get("variants")
    if options is not None and variants is None:
        message = "Variants input is required when updating product options"
        raise Refused(message, ["variants"], "VARIANTS_INPUT_MISSING")
    if variants is not None and options is None:
        message = "Product options input is required when updating variants"
        raise Refused(message, ["productOptions"], "PRODUCT_OPTIONS_INPUT_MISSING")
    if product is None and not (values.get("title") or "").strip():
        raise Refused("Title can't be blank", ["title"], "MISSING_FIELD_REQUIRED")
    _check_product(info, product, values)
    _check_files(values)
    for index, row in enumerate(variants or []):
        _check_variant(shop_of(info), row, ["variants", str(index)])
    return _check_variants(product, options or [], variants) if variants is not None else []


def _check_files(values: dict[str, Any]) -> None:
    known = {row.get("originalSource") or row.get("id") for row in values.get("files") or []}
    for index, row in enumerate(values.get("variants") or []):
        file = row.get("file")
        if file and (file.get("originalSource") or file.get("id")) not in known:
            raise Refused(
                "Variant file must also be in the files of the product",
                ["variants", str(index), "file"],
                "INVALID_INPUT",
            )


def _file(info: GraphQLResolveInfo, row: dict[str, Any]) -> Media:
    if row.get("id"):
        media = find(info, row["id"], "MediaImage")
        if media is None:
            raise Refused("File does not exist", ["files"], "INVALID_INPUT")
        if row.get("alt") is not None:
            media.alt = row["alt"]
        return media
    return _media(shop_of(info), row["originalSource"], row.get("alt"))


def _check_variants(
    product: Product | None, options: list[dict[str, Any]], variants: list[dict[str, Any]]
) -> list[tuple[dict[str, Any], Variant | None, tuple[str, ...]]]:
    """Pairs of input and variant it is about, with the values of its options.

    :raises Refused: options or variants are wrong.
    """
    if len(options) > MAX_OPTIONS:
        raise Refused(
            f"Options count cannot be over {MAX_OPTIONS}", ["productOptions"], "OPTIONS_OVER_LIMIT"
        )
    names = []
    for index, option in enumerate(options):
        name = (option.get("name") or "").strip()
        if " / " in name:
            raise Refused(
                "Option name cannot contain ' / '",
                ["productOptions", str(index), "name"],
                "INVALID_INPUT",
            )
        if name.lower() in [n.lower() for n in names]:
            raise Refused(
                "Duplicated option name", ["productOptions", str(index)], "DUPLICATED_OPTION_NAME"
            )
        names.append(name)
        values = [row["name"].lower() for row in option.get("values") or []]
        if len(set(values)) < len(values):
            raise Refused(
                "Duplicated option value",
                ["productOptions", str(index), "values"],
                "DUPLICATED_OPTION_VALUE",
            )
        if not values:
            raise Refused(
                "Option values are missing",
                ["productOptions", str(index), "values"],
                "OPTION_VALUES_MISSING",
            )
    if not variants:
        raise Refused("Variants can't be blank", ["variants"], "VARIANTS_INPUT_MISSING")
    known = {variant.gid: variant for variant in product.variants} if product else {}
    by_values = {
        tuple(value.name.lower() for value in variant.values): variant for variant in known.values()
    }
    taken: set[tuple[str, ...]] = set()
    plan = []
    for index, row in enumerate(variants):
        path = ["variants", str(index)]
        chosen = {v["optionName"]: v["name"] for v in row["optionValues"]}
        if sorted(chosen) != sorted(names):
            raise Refused("Option does not exist", [*path, "optionValues"], "OPTION_DOES_NOT_EXIST")
        values = tuple(chosen[name] for name in names)
        for option, value in zip(options, values, strict=True):
            if value not in [v["name"] for v in option.get("values") or []]:
                raise Refused(
                    "Option value does not exist",
                    [*path, "optionValues"],
                    "OPTION_VALUE_DOES_NOT_EXIST",
                )
        key = tuple(value.lower() for value in values)
        if key in taken:
            raise Refused(
                f"The variant '{' / '.join(values)}' already exists. Please change at least one "
                f"option value.",
                path,
                "INVALID_VARIANT",
            )
        taken.add(key)
        variant = None
        if row.get("id"):
            variant = known.get(row["id"])
            if variant is None:
                raise Refused(
                    "Variant does not exist", [*path, "id"], "PRODUCT_VARIANT_DOES_NOT_EXIST"
                )
        elif key in by_values:
            variant = by_values[key]
        plan.append((row, variant, values))
    return plan


def _rebuild(
    info: GraphQLResolveInfo,
    product: Product,
    options: list[dict[str, Any]],
    plan: list[tuple[dict[str, Any], Variant | None, tuple[str, ...]]],
) -> None:
    shop = shop_of(info)
    old = list(product.options)
    by_id = {option.gid: option for option in old}
    by_name = {option.name.lower(): option for option in old}
    product.options = []
    for row in options:
        option = by_id.get(row.get("id") or "") or by_name.get(row["name"].lower())
        if option is None:
            option = shop.add_option(product, row["name"])
        else:
            option.name = row["name"]
            product.options.append(option)
        known = {value.gid: value for value in option.values}
        named = {value.name.lower(): value for value in option.values}
        values = []
        for value in row.get("values") or [{"name": "Default Title"}]:
            present = known.get(value.get("id") or "") or named.get(value["name"].lower())
            if present is None:
                present = shop.option_value(option, value["name"])
            present.name = value["name"]
            values.append(present)
        option.values = values
    keep = {variant for _row, variant, _values in plan if variant}
    for variant in list(product.variants):
        if variant not in keep:
            shop.remove_variant(variant)
    ordered = []
    for index, (row, variant, values) in enumerate(plan):
        if variant is None:
            variant = shop.add_variant(product, list(values), {"price": "0"})
        variant.values = [
            shop.option_value(option, value)
            for option, value in zip(product.options, values, strict=True)
        ]
        _write_variant(info, variant, row, ["variants", str(index)])
        ordered.append(variant)
    product.variants = ordered
    for option in product.options:
        option.values = [value for value in option.values if value.used] or option.values


def _write_variant(
    info: GraphQLResolveInfo, variant: Variant, row: dict[str, Any], path: list[str]
) -> None:
    shop = shop_of(info)
    if row.get("price") is not None:
        variant.price = _money(shop, row["price"], [*path, "price"]) or Decimal(0)
    if "compareAtPrice" in row:
        variant.compare_at = _money(shop, row["compareAtPrice"], [*path, "compareAtPrice"])
    if "sku" in row:
        variant.sku = row["sku"] or None
    if "barcode" in row:
        variant.barcode = row["barcode"] or None
    if row.get("inventoryPolicy"):
        variant.policy = row["inventoryPolicy"]
    if row.get("taxable") is not None:
        variant.taxable = row["taxable"]
    _item(shop, variant, row.get("inventoryItem") or {})
    if row.get("metafields") is not None:
        _write_metafields(info, variant, row["metafields"])
    file = row.get("file")
    if file:
        wanted = file.get("id") or file.get("originalSource")
        media = next(m for m in variant.product.media if wanted in (m.gid, m.source))
        variant.media = [media]
    variant.updated_at = now()


# === PRODUCT === #


@mutation("productUpdate")
def _update(
    _root: Any,
    info: GraphQLResolveInfo,
    product: dict[str, Any] | None = None,
    input: dict[str, Any] | None = None,
    media: list[dict[str, Any]] | None = None,
    identifier: dict[str, Any] | None = None,
) -> Any:
    values = product or input or {}
    shop = shop_of(info)
    try:
        target = _product(info, (identifier or values)["id"], ["id"])
        _check_product(info, target, values)
        _write_product(info, target, values)
        _collections(
            info,
            target,
            values.get("collectionsToJoin") or [],
            values.get("collectionsToLeave") or [],
        )
        _write_metafields(info, target, values.get("metafields") or [])
        for row in media or []:
            if row["mediaContentType"] != "IMAGE":
                raise Refused("Only images are simulated", ["media"])
            target.media.append(_media(shop, row["originalSource"], row.get("alt")))
    except Refused as error:
        return _errors("product", error)
    shop.product_changed(target)
    return {"product": target, "userErrors": []}


@mutation("productDelete")
def _delete(
    _root: Any, info: GraphQLResolveInfo, input: dict[str, Any], synchronous: bool = True
) -> Any:
    try:
        product = _product(info, input["id"], ["id"])
    except Refused as error:
        return _errors("deletedProductId", error)
    shop_of(info).remove_product(product)
    return {"deletedProductId": product.gid, "shop": shop_of(info), "userErrors": []}


# === VARIANTS === #


def _values_of(
    product: Product, row: dict[str, Any], have: Variant | None, path: list[str]
) -> tuple[str, ...]:
    chosen = {}
    for value in row.get("optionValues") or []:
        option = next(
            (
                o
                for o in product.options
                if value.get("optionId") == o.gid or value.get("optionName") == o.name
            ),
            None,
        )
        if option is None:
            raise Refused("Option does not exist", [*path, "optionValues"], "OPTION_DOES_NOT_EXIST")
        chosen[option] = value["name"]
    if have is not None:
        for value in have.values:
            chosen.setdefault(value.option, value.name)
    if len(chosen) < len(product.options):
        raise Refused(
            "You need to add option values for all options", path, "NEED_TO_ADD_OPTION_VALUES"
        )
    return tuple(chosen[option] for option in product.options)


def _refuse_taken(
    product: Product, values: tuple[str, ...], have: Variant | None, path: list[str]
) -> None:
    for other in product.variants:
        if other is not have and tuple(v.name for v in other.values) == values:
            raise Refused(
                f"The variant '{' / '.join(values)}' already exists.",
                path,
                "VARIANT_ALREADY_EXISTS",
            )


def _add_media(
    shop: Shop, product: Product, media: list[dict[str, Any]] | None
) -> dict[str, Media]:
    made = {}
    for row in media or []:
        made[row["originalSource"]] = picture = _media(shop, row["originalSource"], row.get("alt"))
        product.media.append(picture)
    return made


def _picture(
    info: GraphQLResolveInfo,
    variant: Variant,
    row: dict[str, Any],
    made: dict[str, Media],
    path: list[str],
) -> None:
    if row.get("mediaId") and row.get("mediaSrc"):
        raise Refused("Specify either mediaId or mediaSrc", path, "CANNOT_SPECIFY_BOTH")
    if row.get("mediaId"):
        media = find(info, row["mediaId"], "MediaImage")
        if media is None:
            raise Refused("Media does not exist", [*path, "mediaId"], "INVALID_INPUT")
        _attach(variant, media, [*path, "mediaId"])
    for source in row.get("mediaSrc") or []:
        if source not in made:
            raise Refused("Media source is not in media", [*path, "mediaSrc"], "INVALID_INPUT")
        variant.media = [made[source]]


@mutation("productVariantsBulkCreate")
def _bulk_create(
    _root: Any,
    info: GraphQLResolveInfo,
    productId: str,
    variants: list[dict[str, Any]],
    media: list[dict[str, Any]] | None = None,
    strategy: str = "DEFAULT",
) -> Any:
    _limit(variants, 250, "variants")
    shop = shop_of(info)
    created: list[Variant] = []
    try:
        product = _product(info, productId, ["productId"], "PRODUCT_DOES_NOT_EXIST")
        if len(product.variants) + len(variants) > MAX_VARIANTS:
            raise Refused(f"Variants count cannot be over {MAX_VARIANTS}", ["variants"], "INVALID")
        standalone = product.variants[0] if product.only_default else None
        taken = set()
        plan = []
        for index, row in enumerate(variants):
            path = ["variants", str(index)]
            values = _values_of(product, row, None, path)
            _refuse_taken(product, values, None, path)
            if values in taken:
                raise Refused(
                    f"The variant '{' / '.join(values)}' already exists.",
                    path,
                    "VARIANT_ALREADY_EXISTS",
                )
            taken.add(values)
            _check_variant(shop, row, path)
            plan.append((row, values, path))
        made = _add_media(shop, product, media)
        for row, values, path in plan:
            variant = shop.add_variant(product, list(values), {"price": "0"})
            created.append(variant)
            _write_variant(info, variant, {k: v for k, v in row.items() if k != "file"}, path)
            _picture(info, variant, row, made, path)
        if strategy == "REMOVE_STANDALONE_VARIANT" and standalone:
            shop.remove_variant(standalone)
    except Refused as error:
        for variant in created:
            shop.remove_variant(variant)
        return _errors("productVariants", error)
    shop.product_changed(product)
    return {"product": product, "productVariants": created, "userErrors": []}


@mutation("productVariantsBulkUpdate")
def _bulk_update(
    _root: Any,
    info: GraphQLResolveInfo,
    productId: str,
    variants: list[dict[str, Any]],
    media: list[dict[str, Any]] | None = None,
    allowPartialUpdates: bool = False,
) -> Any:
    _limit(variants, 250, "variants")
    shop = shop_of(info)
    try:
        product = _product(info, productId, ["productId"], "PRODUCT_DOES_NOT_EXIST")
    except Refused as error:
        return _errors("productVariants", error)
    known = {variant.gid: variant for variant in product.variants}
    errors, plan, seen = [], [], []
    for index, row in enumerate(variants):
        path = ["variants", str(index)]
        try:
            variant = known.get(row.get("id") or "")
            if variant is None:
                raise Refused(
                    "Product variant does not exist",
                    [*path, "id"],
                    "PRODUCT_VARIANT_DOES_NOT_EXIST",
                )
            seen.append(variant)
            if row.get("inventoryQuantities"):
                raise Refused(
                    "Inventory quantities can only be provided during create.",
                    [*path, "inventoryQuantities"],
                    "NO_INVENTORY_QUANTITIES_ON_VARIANTS_UPDATE",
                )
            values = _values_of(product, row, variant, path)
            _check_variant(shop, row, path)
            plan.append((variant, row, values, path))
        except Refused as error:
            errors.append(refused(error))
    future = {
        **{v: tuple(x.name for x in v.values) for v in product.variants},
        **{variant: values for variant, _row, values, _path in plan},
    }
    for _variant, _row, values, path in plan:
        if sum(other == values for other in future.values()) > 1:
            errors.append(
                user_error(
                    f"The variant '{' / '.join(values)}' already exists.",
                    path,
                    "VARIANT_ALREADY_EXISTS",
                )
            )
    if errors and not allowPartialUpdates:
        return {"product": product, "productVariants": None, "userErrors": errors}
    try:
        made = _add_media(shop, product, media)
        for variant, row, values, path in plan:
            variant.values = [
                shop.option_value(option, value)
                for option, value in zip(product.options, values, strict=True)
            ]
            _write_variant(info, variant, {k: v for k, v in row.items() if k != "file"}, path)
            _picture(info, variant, row, made, path)
    except Refused as error:
        return {"product": product, "productVariants": None, "userErrors": [refused(error)]}
    shop.product_changed(product)
    return {"product": product, "productVariants": seen, "userErrors": errors}


@mutation("productVariantsBulkDelete")
def _bulk_delete(
    _root: Any, info: GraphQLResolveInfo, productId: str, variantsIds: list[str]
) -> Any:
    _limit(variantsIds, 250, "variantsIds")
    try:
        product = _product(info, productId, ["productId"], "PRODUCT_DOES_NOT_EXIST")
        known = {variant.gid: variant for variant in product.variants}
        if not set(variantsIds) <= known.keys():
            raise Refused(
                "At least one variant does not belong to the product",
                ["variantsIds"],
                "AT_LEAST_ONE_VARIANT_DOES_NOT_BELONG_TO_THE_PRODUCT",
            )
        if len(known) == len(set(variantsIds)):
            raise Refused(
                "You can't delete the last variant", ["variantsIds"], "CANNOT_DELETE_LAST_VARIANT"
            )
    except Refused as error:
        return _errors("product", error)
    for gid in variantsIds:
        shop_of(info).remove_variant(known[gid])
    shop_of(info).product_changed(product)
    return {"product": product, "userErrors": []}


@mutation("productOptionsDelete")
def _options_delete(
    _root: Any,
    info: GraphQLResolveInfo,
    productId: str,
    options: list[str],
    strategy: str = "DEFAULT",
) -> Any:
    product = find(info, productId, "Product")
    rows = [option for option in product.options if option.gid in options] if product else []
    for index, option in enumerate(rows):
        if len(option.values) > 1 and strategy == "DEFAULT":
            error = user_error(
                "Cannot delete an option with multiple values.",
                ["options", str(index)],
                "CANNOT_DELETE_OPTION_WITH_MULTIPLE_VALUES",
            )
            return {"deletedOptionsIds": None, "product": product, "userErrors": [error]}
    raise gql_error("This simulator only refuses to delete options.", "NOT_SIMULATED")


# === PICTURES === #


@mutation("stagedUploadsCreate")
def _stage(_root: Any, info: GraphQLResolveInfo, input: list[dict[str, Any]]) -> Any:
    if {row["resource"] for row in input} == {"BULK_MUTATION_VARIABLES"}:
        return bulk_api.stage(info, input)
    shop = shop_of(info)
    targets = []
    for row in input:
        token = hashlib.sha256(f"{shop.next_id('Upload')}".encode()).hexdigest()[:32]
        url = f"{info.context.origin}/staged/{token}"
        shop.uploads[token] = {
            "resource": row["resource"],
            "filename": row["filename"],
            "mime": row["mimeType"],
            "method": row.get("httpMethod") or "PUT",
        }
        targets.append(
            {
                "url": url,
                "resourceUrl": url,
                "parameters": [
                    {"name": "content_type", "value": row["mimeType"]},
                    {"name": "acl", "value": "private"},
                ],
            }
        )
    return {"stagedTargets": targets, "userErrors": []}


@mutation("fileUpdate")
def _file_update(_root: Any, info: GraphQLResolveInfo, files: list[dict[str, Any]]) -> Any:
    changed = []
    for index, row in enumerate(files):
        path = ["files", str(index)]
        media = find(info, row["id"], "MediaImage")
        if media is None:
            error = user_error("File does not exist.", [*path, "id"], "FILE_DOES_NOT_EXIST")
            return {"files": None, "userErrors": [error]}
        if media.status != "READY":
            error = user_error("Non-ready files cannot be updated.", path, "NON_READY_STATE")
            return {"files": None, "userErrors": [error]}
        changed.append((media, row))
    for media, row in changed:
        if row.get("alt") is not None:
            media.alt = row["alt"]
        for gid in row.get("referencesToRemove") or []:
            product = find(info, gid, "Product")
            if product and media in product.media:
                product.media.remove(media)
                for variant in product.variants:
                    if media in variant.media:
                        variant.media.remove(media)
                shop_of(info).product_changed(product)
    return {"files": [media for media, _row in changed], "userErrors": []}


@mutation("productReorderMedia")
def _reorder(_root: Any, info: GraphQLResolveInfo, id: str, moves: list[dict[str, Any]]) -> Any:
    product = find(info, id, "Product")
    if product is None:
        error = user_error("Product does not exist", ["id"], "PRODUCT_DOES_NOT_EXIST")
        return {"job": None, "mediaUserErrors": [error], "userErrors": []}
    for move in moves:
        media = next((m for m in product.media if m.gid == move["id"]), None)
        if media is None:
            error = user_error("Media does not exist", ["moves"], "MEDIA_DOES_NOT_EXIST")
            return {"job": None, "mediaUserErrors": [error], "userErrors": []}
        product.media.remove(media)
        product.media.insert(int(move["newPosition"]), media)
    shop_of(info).product_changed(product)
    job = {"id": f"gid://shopify/Job/{shop_of(info).next_id('Job')}", "done": False}
    return {"job": job, "mediaUserErrors": [], "userErrors": []}


# === METAFIELDS === #


@mutation("metafieldsSet")
def _metafields_set(_root: Any, info: GraphQLResolveInfo, metafields: list[dict[str, Any]]) -> Any:
    if len(metafields) > 25:
        error = user_error("Exceeded the maximum metafields input limit of 25.", ["metafields"],
                           "LESS_THAN_OR_EQUAL_TO")  # fmt: skip
        return {"metafields": None, "userErrors": [error]}
    done = []
    for index, row in enumerate(metafields):
        owner = find(info, row["ownerId"], "Product", "ProductVariant", "Collection")
        path = ["metafields", str(index)]
        try:
            if owner is None:
                raise Refused("Owner does not exist.", [*path, "ownerId"], "INVALID")
            _write_metafields(info, owner, [row])
        except Refused as error:
            error.field = [*path, *(error.field or [])[2:]]
            return _errors("metafields", error)
        space = space_of(info, row.get("namespace"))
        done.append(
            next(m for m in owner.metafields if (m.namespace, m.key) == (space, row["key"]))
        )
    for owner in {m.owner for m in done if isinstance(m.owner, Product)}:
        shop_of(info).product_changed(owner)
    return {"metafields": done, "userErrors": []}


@mutation("metafieldsDelete")
def _metafields_delete(
    _root: Any, info: GraphQLResolveInfo, metafields: list[dict[str, Any]]
) -> Any:
    deleted = []
    for row in metafields:
        owner = find(info, row["ownerId"], "Product", "ProductVariant", "Collection")
        space = space_of(info, row["namespace"])
        found = owner and next(
            (m for m in owner.metafields if (m.namespace, m.key) == (space, row["key"])), None
        )
        if found:
            owner.metafields.remove(found)
        deleted.append(
            {"key": row["key"], "namespace": row["namespace"], "ownerId": row["ownerId"]}
            if found
            else None
        )
    return {"deletedMetafields": deleted, "userErrors": []}


@mutation("metafieldDefinitionCreate")
def _define(_root: Any, info: GraphQLResolveInfo, definition: dict[str, Any]) -> Any:
    space = space_of(info, definition.get("namespace"))
    error = None
    if definition_of(info, definition["ownerType"], space, definition["key"]):
        error = user_error("Key is in use for this namespace.", ["definition", "key"], "TAKEN")
    elif len(definition["key"]) < 2 or len(space) < 3:
        error = user_error("Key is too short", ["definition", "key"], "TOO_SHORT")
    if error:
        return {"createdDefinition": None, "userErrors": [error]}
    shop = shop_of(info)
    row = MetafieldDefinition(
        shop.next_id("MetafieldDefinition"),
        definition["ownerType"],
        space,
        definition["key"],
        definition["name"],
        definition["type"],
        definition.get("description"),
    )
    return {"createdDefinition": shop.add(row), "userErrors": []}


# === CHANNELS === #


def _publish(info: GraphQLResolveInfo, gid: str, rows: list[dict[str, Any]], on: bool) -> Any:
    record = find(info, gid, "Product", "Collection")
    shop = shop_of(info)
    if record is None:
        return {
            "publishable": None,
            "shop": shop,
            "userErrors": [user_error("Resource does not exist", ["id"])],
        }
    if len(rows) > MAX_PUBLICATIONS or shop.config.publication_limit < len(rows):
        error = user_error(
            "The limit for simultaneous publication updates has been exceeded.", ["input"]
        )
        return {"publishable": record, "shop": shop, "userErrors": [error]}
    found = []
    for index, row in enumerate(rows):
        publication = find(info, row.get("publicationId") or "", "Publication")
        if publication is None:
            error = user_error(
                "Publication does not exist or is not publishable",
                ["input", str(index), "publicationId"],
            )
            return {"publishable": record, "shop": shop, "userErrors": [error]}
        found.append(publication)
    for publication in found:
        if on:
            record.publications.setdefault(publication.id, now())
        else:
            record.publications.pop(publication.id, None)
    if isinstance(record, Product):
        shop.product_changed(record)
    return {"publishable": record, "shop": shop, "userErrors": []}


@mutation("publishablePublish")
def _publishable_publish(_root: Any, info: GraphQLResolveInfo, id: str, input: list[Any]) -> Any:
    return _publish(info, id, input, on=True)


@mutation("publishableUnpublish")
def _publishable_unpublish(_root: Any, info: GraphQLResolveInfo, id: str, input: list[Any]) -> Any:
    return _publish(info, id, input, on=False)


# === TRANSLATIONS === #


def _content(record: Any) -> dict[str, str]:
    if isinstance(record, Product):
        return {
            "title": record.title,
            "body_html": record.description_html,
            "product_type": record.product_type,
            "handle": record.handle,
        }
    return {}


def _text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _translatable(_root: Any, info: GraphQLResolveInfo, resourceId: str) -> Any:
    record = find(info, resourceId)
    return {"record": record} if record is not None and _content(record) else None


def _translations(row: dict[str, Any], info: GraphQLResolveInfo, locale: str, **_a: Any) -> Any:
    known = shop_of(info).translations.get(row["record"].gid, {})
    content = _content(row["record"])
    return [
        {
            "key": key,
            "locale": locale,
            "value": value,
            "outdated": digest != _text_digest(content[key]),
            "market": None,
        }
        for (code, key), (value, digest) in sorted(known.items())
        if code == locale
    ]


served(
    "TranslatableResource",
    resourceId=lambda r, i: r["record"].gid,
    translatableContent=lambda r, i, **_a: [
        {
            "key": key,
            "value": value,
            "digest": _text_digest(value),
            "locale": shop_of(i).config.locales[0],
            "type": "HTML" if key == "body_html" else "SINGLE_LINE_TEXT_FIELD",
        }
        for key, value in _content(r["record"]).items()
    ],
    translations=_translations,
)
served("QueryRoot", translatableResource=_translatable)


@mutation("translationsRegister")
def _register(
    _root: Any, info: GraphQLResolveInfo, resourceId: str, translations: list[dict[str, Any]]
) -> Any:
    shop = shop_of(info)
    record = find(info, resourceId)
    content = _content(record) if record is not None else {}
    if not content:
        error = user_error("Resource does not exist", ["resourceId"], "RESOURCE_NOT_FOUND")
        return {"translations": None, "userErrors": [error]}
    for index, row in enumerate(translations):
        path = ["translations", str(index)]
        error = None
        if row["locale"] not in shop.config.locales:
            error = user_error(
                "Locale is not valid for the shop", [*path, "locale"], "INVALID_LOCALE_FOR_SHOP"
            )
        elif row["locale"] == shop.config.locales[0]:
            error = user_error(
                "Locale cannot be the primary one", [*path, "locale"], "INVALID_LOCALE_FOR_SHOP"
            )
        elif row["key"] not in content:
            error = user_error("Key is not valid", [*path, "key"], "INVALID_KEY_FOR_MODEL")
        elif row["translatableContentDigest"] != _text_digest(content[row["key"]]):
            error = user_error(
                "Translatable content hash is invalid",
                [*path, "translatableContentDigest"],
                "INVALID_TRANSLATABLE_CONTENT",
            )
        elif not row["value"]:
            error = user_error("Value can't be blank", [*path, "value"], "BLANK")
        if error:
            return {"translations": None, "userErrors": [error]}
    known = shop.translations.setdefault(resourceId, {})
    for row in translations:
        known[row["locale"], row["key"]] = (row["value"], row["translatableContentDigest"])
    done = [
        {"key": r["key"], "locale": r["locale"], "value": r["value"], "outdated": False}
        for r in translations
    ]
    return {"translations": done, "userErrors": []}


@mutation("translationsRemove")
def _unregister(
    _root: Any,
    info: GraphQLResolveInfo,
    resourceId: str,
    translationKeys: list[str],
    locales: list[str],
    marketIds: list[str] | None = None,
) -> Any:
    known = shop_of(info).translations.get(resourceId, {})
    gone = [key for key in known if key[0] in locales and key[1] in translationKeys]
    for key in gone:
        del known[key]
    return {"translations": [{"locale": code, "key": key} for code, key in gone], "userErrors": []}
