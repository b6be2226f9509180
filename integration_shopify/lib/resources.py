"""Resource codes of bindings that several resources read."""

#: Variants (``product.product``) by the id of Shopify's ProductVariant, and by the id of its
#: InventoryItem.
VARIANT, INVENTORY_ITEM = "variant", "inventory_item"
#: Namespace of the metafield by which a product that Odoo has made is found again.
NAMESPACE = "odoo"
#: Variants (``product.product``) whose market prices are sent, by the id of ProductVariant.
PRICE = "price"
