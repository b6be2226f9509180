"""What the documents of products out of Odoo are sent with; see ``test_documents.py``."""

from ..lib import catalogue

_ID = "gid://shopify/Product/1"
_VARIANT = "gid://shopify/ProductVariant/1"
_MEDIA = "gid://shopify/MediaImage/1"
_CHANNEL = "gid://shopify/Publication/1"
_COLLECTION = "gid://shopify/Collection/1"
_SOURCE = "https://storage.example.com/shirt.png"
_KEY = {"namespace": "odoo", "key": "db_1", "type": "id", "value": "7"}
_ROW = {
    "product": 1,
    "options": ["S"],
    "sku": "LS-S",
    "barcode": "4006381333931",
    "price": "30.00",
    "compare": "40.00",
    "cost": "9.00",
    "weight": ["0.3", "KILOGRAMS"],
    "hs": "620520",
    "origin": "PT",
    "tracked": True,
    "shipping": True,
    "policy": "DENY",
    "image": "c0ffee",
}
_VALUES = {
    "title": "Linen Shirt",
    "html": "<p>Cool</p>",
    "vendor": "Norte",
    "type": "Shirts",
    "category": "gid://shopify/TaxonomyCategory/aa-1",
    "status": "UNLISTED",
    "tags": ["summer"],
    "options": [{"name": "Size", "values": ["S"]}],
    "variants": [_ROW],
    "image": "c0ffee",
    "metafields": [
        {"namespace": "custom", "key": "care", "type": "number_decimal", "value": "1.5"}
    ],
    "collections": [_COLLECTION],
    "channels": [_CHANNEL],
    "translations": {},
}
_STATE = {"options": [{"id": "gid://shopify/ProductOption/1", "name": "Fit", "optionValues": []}]}
_MEDIA_INPUT = [{"originalSource": _SOURCE, "alt": "Linen Shirt", "mediaContentType": "IMAGE"}]
_NEW = {**catalogue.variant_input(_ROW, ["Size"]), "mediaSrc": [_SOURCE]}

VARIABLES = {
    "product_by_key": [
        {"identifier": {"customId": {"namespace": "odoo", "key": "db_1", "value": "7"}}}
    ],
    "product_candidates": [{"query": 'sku:"LS-S" OR barcode:"4"', "first": 100}],
    "product_delete": [{"id": _ID}],
    "product_key_definition": [
        {
            "definition": {
                "name": "Product in Odoo",
                "namespace": "odoo",
                "key": "db_1",
                "type": "id",
                "ownerType": "PRODUCT",
                "description": "Tells which product of Odoo this is.",
            }
        }
    ],
    "product_media": [{"id": _ID, "after": "abc"}],
    "product_media_detach": [{"files": [{"id": _MEDIA, "referencesToRemove": [_ID]}]}],
    "product_media_reorder": [{"id": _ID, "moves": [{"id": _MEDIA, "newPosition": "0"}]}],
    "product_metafields_delete": [
        {"metafields": [{"ownerId": _ID, "namespace": "custom", "key": "care"}]}
    ],
    "product_publish": [{"id": _ID, "input": [{"publicationId": _CHANNEL}]}],
    "product_unpublish": [{"id": _ID, "input": [{"publicationId": _CHANNEL}]}],
    "product_create_bulk": [
        {
            "identifier": {"customId": {"namespace": "odoo", "key": "db_1", "value": "7"}},
            "input": catalogue.creation_input(_VALUES, _KEY, {}, "Linen Shirt"),
            "variants": 250,
        }
    ],
    "product_set": [
        {
            "identifier": {"customId": {"namespace": "odoo", "key": "db_1", "value": "7"}},
            "input": catalogue.creation_input(_VALUES, _KEY, {"c0ffee": _SOURCE}, "Linen Shirt"),
            "variants": 100,
        },
        {
            "identifier": {"id": _ID},
            "input": catalogue.restructure_input(
                _VALUES, _STATE, catalogue.Pairing({0: {"id": _VARIANT}}), {}
            ),
            "variants": 100,
        },
    ],
    "product_state": [
        {"id": _ID, "variants": 50, "after": None, "keys": ["odoo.db_1"], "channels": True},
        {"id": _ID, "variants": 100, "after": "abc", "keys": [], "channels": False},
    ],
    "product_translations": [{"id": _ID, "locale": "de"}],
    "product_translate": [
        {
            "id": _ID,
            "translations": [
                {
                    "key": "title",
                    "value": "Hemd",
                    "locale": "de",
                    "translatableContentDigest": "abc",
                }
            ],
        }
    ],
    "product_update": [
        {
            "product": {
                "id": _ID,
                "title": "Linen Shirt",
                "descriptionHtml": "",
                "vendor": "Norte",
                "productType": "Shirts",
                "status": "DRAFT",
                "category": None,
                "tags": ["summer"],
                "collectionsToJoin": [_COLLECTION],
                "collectionsToLeave": [_COLLECTION],
                "metafields": [_KEY],
            },
            "media": _MEDIA_INPUT,
        },
        {"product": {"id": _ID, "status": "ARCHIVED"}, "media": None},
    ],
    "product_uploads": [
        {
            "input": [
                {
                    "resource": "IMAGE",
                    "filename": "linen-shirt.png",
                    "mimeType": "image/png",
                    "httpMethod": "PUT",
                }
            ]
        }
    ],
    "product_variants_create": [
        {"productId": _ID, "variants": [_NEW], "media": _MEDIA_INPUT},
    ],
    "product_variants_delete": [{"productId": _ID, "variants": [_VARIANT]}],
    "product_variants_update": [
        {
            "productId": _ID,
            "variants": [
                {
                    "id": _VARIANT,
                    "optionValues": [{"optionName": "Size", "name": "S"}],
                    "price": "31.00",
                    "compareAtPrice": None,
                    "barcode": None,
                    "inventoryPolicy": "CONTINUE",
                    "inventoryItem": _NEW["inventoryItem"],
                    "mediaId": _MEDIA,
                }
            ],
            "media": None,
        }
    ],
}
