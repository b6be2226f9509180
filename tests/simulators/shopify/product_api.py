"""Products as the API says them: options, variants, media, metafields, collections, channels."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from graphql import GraphQLResolveInfo

from .records import Collection, Media, Metafield, MetafieldDefinition, Product, Variant
from .resolvers import (
    by_id,
    connection,
    count_of,
    find,
    first_of,
    money,
    searched,
    served,
    shop_of,
    stamp,
)
from .search import Search

#: Categories of Shopify's taxonomy that this shop knows.
CATEGORIES = {
    "gid://shopify/TaxonomyCategory/aa": "Apparel & Accessories",
    "gid://shopify/TaxonomyCategory/aa-1": "Apparel & Accessories > Clothing",
    "gid://shopify/TaxonomyCategory/aa-1-13-8": (
        "Apparel & Accessories > Clothing > Clothing Tops > T-Shirts"
    ),
    "gid://shopify/TaxonomyCategory/hg": "Home & Garden",
    "gid://shopify/TaxonomyCategory/hg-11-10-7": (
        "Home & Garden > Kitchen & Dining > Tableware > Drinkware > Mugs"
    ),
}

# === SEARCH === #


def _indexed(name: str) -> Callable[[Product], Any]:
    return lambda product: product.indexed[name]


_PRODUCT_SEARCH: dict[str, Callable[[Any], Any]] = {
    "id": lambda p: p.id,
    "created_at": lambda p: p.created_at,
    **{
        name: _indexed(name)
        for name in (
            "updated_at",
            "title",
            "handle",
            "status",
            "vendor",
            "product_type",
            "tag",
            "sku",
            "barcode",
        )
    },
}
_VARIANT_SEARCH: dict[str, Callable[[Any], Any]] = {
    "id": lambda v: v.id,
    # what the index of the product does not know yet is not found
    "sku": lambda v: v.sku if v.sku in v.product.indexed.get("sku", ()) else None,
    "barcode": lambda v: v.barcode if v.barcode in v.product.indexed.get("barcode", ()) else None,
    "title": lambda v: v.title,
    "product_id": lambda v: v.product.id,
    "updated_at": lambda v: v.updated_at,
}
_PRODUCT_KEYS: dict[str, Callable[[Any], Any]] = {
    "ID": lambda p: p.id,
    "CREATED_AT": lambda p: p.created_at,
    "UPDATED_AT": lambda p: p.updated_at,
    "TITLE": lambda p: p.title,
    "VENDOR": lambda p: p.vendor,
    "PRODUCT_TYPE": lambda p: p.product_type,
}
_VARIANT_KEYS: dict[str, Callable[[Any], Any]] = {
    "ID": lambda v: v.id,
    "SKU": lambda v: v.sku or "",
    "TITLE": lambda v: v.title,
    "POSITION": lambda v: v.position,
}
_COLLECTION_KEYS: dict[str, Callable[[Any], Any]] = {
    "ID": lambda c: c.id,
    "TITLE": lambda c: c.title,
    "UPDATED_AT": lambda c: c.updated_at,
}
_COLLECTION_SEARCH: dict[str, Callable[[Any], Any]] = {
    "id": lambda c: c.id,
    "title": lambda c: c.title,
    "handle": lambda c: c.handle,
    "updated_at": lambda c: c.updated_at,
    "collection_type": lambda c: "smart" if c.rules else "custom",
}


def _products(_root: Any, info: GraphQLResolveInfo, **args: Any) -> Any:
    shop = shop_of(info)
    # without a query it is no search, and nothing lags
    rows = shop.searchable_products() if args.get("query") else shop.all("Product")
    return searched(rows, _PRODUCT_SEARCH, _PRODUCT_KEYS, info, **args)


def _variants(_root: Any, info: GraphQLResolveInfo, **args: Any) -> Any:
    shop = shop_of(info)
    shop.searchable_products()
    return searched(shop.all("ProductVariant"), _VARIANT_SEARCH, _VARIANT_KEYS, info, **args)


def _counted(
    rows: Sequence[Any], fields: dict[str, Any], info: GraphQLResolveInfo, query: str | None
) -> dict[str, Any]:
    return count_of(Search(query, fields, shop_of(info).config.timezone).filter(rows))


# === IDENTIFIERS === #


def by_custom_id(info: GraphQLResolveInfo, kind: str, custom: dict[str, Any]) -> Any:
    """Record that has this value in a metafield whose values are unique; None without one."""
    space = custom.get("namespace") or app_namespace(info)
    for record in shop_of(info).all(kind):
        for row in record.metafields:
            if (row.namespace, row.key, row.value) == (space, custom["key"], custom["value"]):
                return record
    return None


def app_namespace(info: GraphQLResolveInfo) -> str:
    return f"app--{shop_of(info).app_id}"


def space_of(info: GraphQLResolveInfo, namespace: str | None) -> str:
    """Namespace as it is stored: ``$app`` is that of the app."""
    if not namespace:
        return app_namespace(info)
    if namespace.startswith("$app"):
        return namespace.replace("$app", app_namespace(info), 1).replace(":", "--", 1)
    return namespace


def definition_of(
    info: GraphQLResolveInfo, owner_type: str, namespace: str, key: str
) -> MetafieldDefinition | None:
    for row in shop_of(info).all("MetafieldDefinition"):
        if (row.owner_type, row.namespace, row.key) == (owner_type, namespace, key):
            return row
    return None


def identified(info: GraphQLResolveInfo, kind: str, identifier: dict[str, Any]) -> Any:
    """Record of an ``identifier`` argument: by id, handle or custom id."""
    if identifier.get("id"):
        return find(info, identifier["id"], kind)
    if identifier.get("handle"):
        rows = shop_of(info).all(kind)
        return next((row for row in rows if row.handle == identifier["handle"]), None)
    if identifier.get("customId"):
        return by_custom_id(info, kind, identifier["customId"])
    return None


def _identified(kind: str) -> Any:
    return lambda _root, info, identifier: identified(info, kind, identifier)


# === METAFIELDS === #


def metafield_of(
    owner: Any, info: GraphQLResolveInfo, key: str, namespace: str | None = None
) -> Metafield | None:
    """One value of a record."""
    space = space_of(info, namespace)
    rows = owner.metafields
    return next((row for row in rows if (row.namespace, row.key) == (space, key)), None)


def metafields_of(
    owner: Any,
    info: GraphQLResolveInfo,
    namespace: str | None = None,
    keys: list[str] | None = None,
    **args: Any,
) -> Any:
    """The connection of a record's values."""
    rows = owner.metafields
    if namespace:
        rows = [row for row in rows if row.namespace == space_of(info, namespace)]
    if keys:
        wanted = [
            (space_of(info, space or None), key)
            for space, _dot, key in (name.rpartition(".") for name in keys)
        ]
        rows = [row for row in rows if (row.namespace, row.key) in wanted]
    return connection(rows, **args)


def _json_value(row: Metafield) -> Any:
    if row.type == "boolean":
        return row.value == "true"
    try:
        structured = row.type == "json" or row.type.startswith(("list.", "number_integer"))
        return json.loads(row.value) if structured else row.value
    except ValueError:
        return row.value


served(
    "Metafield",
    id="gid",
    legacyResourceId=lambda m, i: str(m.id),
    namespace="namespace",
    key="key",
    type="type",
    value="value",
    jsonValue=lambda m, i: _json_value(m),
    ownerType=lambda m, i: m.owner.gql_type.upper(),
    owner="owner",
    definition=lambda m, i: definition_of(i, _owner_type(m.owner), m.namespace, m.key),
    createdAt="created_at",
    updatedAt="updated_at",
)


def _owner_type(owner: Any) -> str:
    return {"Product": "PRODUCT", "ProductVariant": "PRODUCTVARIANT", "Collection": "COLLECTION"}[
        owner.gql_type
    ]


served(
    "MetafieldDefinition",
    id="gid",
    name="name",
    namespace="namespace",
    key="key",
    ownerType="owner_type",
    description="description",
    type=lambda d, i: {"name": d.type, "category": d.type.upper()},
)


def _definition(
    _root: Any,
    info: GraphQLResolveInfo,
    id: str | None = None,
    identifier: dict[str, Any] | None = None,
) -> MetafieldDefinition | None:
    if id:
        return find(info, id, "MetafieldDefinition")
    if not identifier:
        return None
    space = space_of(info, identifier.get("namespace"))
    return definition_of(info, identifier["ownerType"], space, identifier["key"])


def _definitions(
    _root: Any,
    info: GraphQLResolveInfo,
    ownerType: str,
    namespace: str | None = None,
    key: str | None = None,
    **args: Any,
) -> Any:
    rows = [
        row
        for row in shop_of(info).all("MetafieldDefinition")
        if row.owner_type == ownerType
        and (not namespace or row.namespace == space_of(info, namespace))
        and (not key or row.key == key)
    ]
    args = {name: args[name] for name in ("first", "last", "after", "before") if name in args}
    return connection(rows, **args)


# === PRODUCTS === #


def _category(product: Product) -> dict[str, Any] | None:
    if not product.category:
        return None
    full = CATEGORIES.get(product.category, product.category)
    steps = full.split(" > ")
    return {
        "id": product.category,
        "name": steps[-1],
        "fullName": full,
        "level": len(steps),
        "isLeaf": True,
        "isRoot": len(steps) == 1,
        "isArchived": False,
    }


def _media(owner: Any, info: GraphQLResolveInfo, **args: Any) -> Any:
    args.pop("query", None)
    args.pop("sortKey", None)
    return connection(owner.media, **args)


def _collections_of(product: Product, info: GraphQLResolveInfo, **args: Any) -> Any:
    rows = [row for row in shop_of(info).all("Collection") if product in row.products]
    args = {name: args[name] for name in ("first", "last", "after", "before") if name in args}
    return connection(rows, **args)


def _publications_of(
    owner: Any, info: GraphQLResolveInfo, onlyPublished: bool = True, **args: Any
) -> Any:
    rows = [
        {
            "id": publication.gid,
            "publication": publication,
            "publishDate": stamp(owner.publications.get(publication.id)),
            "isPublished": publication.id in owner.publications,
        }
        for publication in shop_of(info).all("Publication")
        if publication.id in owner.publications or not onlyPublished
    ]
    args.pop("catalogType", None)
    return connection(rows, **args)


def _is_published(owner: Any, info: GraphQLResolveInfo, publicationId: str) -> bool:
    publication = find(info, publicationId, "Publication")
    return publication is not None and publication.id in owner.publications


def _published_at(owner: Any) -> str | None:
    return stamp(min(owner.publications.values())) if owner.publications else None


def _price_range(product: Product, info: GraphQLResolveInfo) -> dict[str, Any]:
    prices = [variant.price for variant in product.variants]
    currency = shop_of(info).config.currency
    return {
        "minVariantPrice": money(min(prices), currency),
        "maxVariantPrice": money(max(prices), currency),
    }


served(
    "Product",
    id="gid",
    legacyResourceId=lambda p, i: str(p.id),
    title="title",
    handle="handle",
    description=lambda p, i, truncateAt=None: p.description[:truncateAt],
    descriptionHtml="description_html",
    vendor="vendor",
    productType="product_type",
    status="status",
    tags=lambda p, i: sorted(p.tags, key=str.lower),
    isGiftCard="gift_card",
    options=first_of("options"),
    variants=lambda p, i, sortKey="POSITION", **a: connection(p.variants, **a),
    variantsCount=lambda p, i: count_of(p.variants),
    hasOnlyDefaultVariant="only_default",
    hasOutOfStockVariants=lambda p, i: any(v.item.tracked and v.available <= 0 for v in p.variants),
    hasVariantsThatRequiresComponents=lambda p, i: False,
    requiresSellingPlan=lambda p, i: False,
    totalInventory=lambda p, i: sum(v.available for v in p.variants if v.item.tracked),
    tracksInventory=lambda p, i: any(v.item.tracked for v in p.variants),
    priceRangeV2=lambda p, i: _price_range(p, i),
    createdAt="created_at",
    updatedAt="updated_at",
    publishedAt=lambda p, i: _published_at(p),
    onlineStoreUrl=lambda p, i: (
        f"https://{shop_of(i).config.domain}/products/{p.handle}" if p.publications else None
    ),
    onlineStorePreviewUrl=lambda p, i: f"https://{shop_of(i).config.domain}/products/{p.handle}",
    templateSuffix="template_suffix",
    seo=lambda p, i: {"title": p.seo.get("title"), "description": p.seo.get("description")},
    media=_media,
    mediaCount=lambda p, i: count_of(p.media),
    featuredMedia=lambda p, i: p.media[0] if p.media else None,
    category=lambda p, i: _category(p),
    collections=_collections_of,
    inCollection=lambda p, i, id: p in getattr(find(i, id, "Collection"), "products", ()),
    resourcePublicationsV2=_publications_of,
    resourcePublicationsCount=lambda p, i, **_a: count_of(list(p.publications)),
    publishedOnPublication=_is_published,
    metafield=metafield_of,
    metafields=metafields_of,
)
served(
    "ProductOption",
    id="gid",
    name="name",
    position=lambda o, i: o.product.options.index(o) + 1,
    # the older field has only the values that are in use
    values=lambda o, i: [value.name for value in o.values if value.used],
    optionValues="values",
    linkedMetafield=lambda o, i: None,
)
served(
    "ProductOptionValue",
    id="gid",
    name="name",
    hasVariants="used",
    linkedMetafieldValue=lambda v, i: None,
    swatch=lambda v, i: None,
)


def _selected(variant: Variant) -> list[dict[str, Any]]:
    return [
        {"name": value.option.name, "value": value.name, "optionValue": value}
        for value in variant.values
    ]


served(
    "ProductVariant",
    id="gid",
    legacyResourceId=lambda v, i: str(v.id),
    title="title",
    displayName="display_name",
    sku="sku",
    barcode="barcode",
    price=lambda v, i: format(v.price, "f"),
    compareAtPrice=lambda v, i: None if v.compare_at is None else format(v.compare_at, "f"),
    position="position",
    taxable="taxable",
    product="product",
    selectedOptions=lambda v, i: _selected(v),
    inventoryItem="item",
    inventoryQuantity="available",
    sellableOnlineQuantity="available",
    inventoryPolicy="policy",
    availableForSale=lambda v, i: v.available > 0 or v.policy == "CONTINUE" or not v.item.tracked,
    requiresComponents=lambda v, i: False,
    media=_media,
    image=lambda v, i, **_a: _image(v.media[0]) if v.media else None,
    createdAt="created_at",
    updatedAt="updated_at",
    metafield=metafield_of,
    metafields=metafields_of,
)


# === PICTURES === #


def _address(media: Media) -> str:
    return f"https://cdn.shopify.example/{media.id}/{media.filename or 'picture.png'}"


def _image(media: Media) -> dict[str, Any] | None:
    if media.status != "READY":
        return None
    return {
        "id": f"gid://shopify/ImageSource/{media.id}",
        "url": _address(media),
        "altText": media.alt,
        "width": 1024,
        "height": 1024,
    }


served("Image", url=lambda m, i, **_a: m["url"])
served(
    "MediaImage",
    id="gid",
    alt=lambda m, i: m.alt or "",
    mediaContentType=lambda m, i: "IMAGE",
    status="status",
    fileStatus="status",
    image=lambda m, i: _image(m),
    preview=lambda m, i: {"image": _image(m), "status": m.status},
    originalSource=lambda m, i: {"url": m.source, "fileSize": None},
    mediaErrors=lambda m, i: [],
    mediaWarnings=lambda m, i: [],
    fileErrors=lambda m, i: [],
    mimeType=lambda m, i: "image/png",
    createdAt="created_at",
    updatedAt="updated_at",
)

# === COLLECTIONS AND CHANNELS === #


def _rule_set(collection: Collection) -> dict[str, Any] | None:
    if not collection.rules:
        return None
    return {"appliedDisjunctively": False, "rules": []}


served(
    "Collection",
    id="gid",
    legacyResourceId=lambda c, i: str(c.id),
    title="title",
    handle="handle",
    description=lambda c, i, **_a: c.description_html,
    descriptionHtml="description_html",
    products=lambda c, i, sortKey=None, **a: connection(c.products, **a),
    productsCount=lambda c, i: count_of(c.products),
    hasProduct=lambda c, i, id: find(i, id, "Product") in c.products,
    ruleSet=lambda c, i: _rule_set(c),
    updatedAt="updated_at",
    metafield=metafield_of,
    metafields=metafields_of,
    resourcePublicationsV2=_publications_of,
    publishedOnPublication=_is_published,
)
served(
    "Publication",
    id="gid",
    name="name",
    autoPublish="auto",
    supportsFuturePublishing=lambda p, i: False,
    catalog=lambda p, i: {
        "__typename": "AppCatalog",
        "id": f"gid://shopify/AppCatalog/{p.id}",
        "title": p.name,
        "status": "ACTIVE",
        "publication": p,
    },
)
served(
    "ResourcePublicationV2",
    publication=lambda row, i: row["publication"],
    publishDate=lambda row, i: row["publishDate"],
    isPublished=lambda row, i: row["isPublished"],
)
served(
    "ShopLocale",
    locale=lambda row, i: row["locale"],
    name=lambda row, i: row["locale"],
    primary=lambda row, i: row["primary"],
    published=lambda row, i: True,
)


def _locales(_root: Any, info: GraphQLResolveInfo, published: bool | None = None) -> Any:
    return [
        {"locale": locale, "primary": not position}
        for position, locale in enumerate(shop_of(info).config.locales)
    ]


served(
    "QueryRoot",
    products=_products,
    product=by_id("Product"),
    productByIdentifier=_identified("Product"),
    productsCount=lambda _r, info, query=None, **_a: _counted(
        shop_of(info).searchable_products(), _PRODUCT_SEARCH, info, query
    ),
    productVariants=_variants,
    productVariant=by_id("ProductVariant"),
    productVariantByIdentifier=_identified("ProductVariant"),
    productVariantsCount=lambda _r, info, query=None, **_a: _counted(
        shop_of(info).all("ProductVariant"), _VARIANT_SEARCH, info, query
    ),
    collection=by_id("Collection"),
    collectionByIdentifier=_identified("Collection"),
    collections=lambda _r, info, **a: searched(
        shop_of(info).all("Collection"), _COLLECTION_SEARCH, _COLLECTION_KEYS, info, **a
    ),
    collectionsCount=lambda _r, info, query=None, **_a: _counted(
        shop_of(info).all("Collection"), _COLLECTION_SEARCH, info, query
    ),
    publication=by_id("Publication"),
    publications=lambda _r, info, catalogType=None, **a: connection(
        shop_of(info).all("Publication"), **a
    ),
    shopLocales=_locales,
    metafieldDefinition=_definition,
    metafieldDefinitions=_definitions,
)
