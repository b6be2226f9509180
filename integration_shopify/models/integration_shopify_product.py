from odoo import api, models

#: Resource codes of the bindings of variants (``product.product``): by the id of Shopify's
#: ProductVariant, and by the id of its InventoryItem.
VARIANT, INVENTORY_ITEM = "variant", "inventory_item"


class IntegrationShopifyProduct(models.AbstractModel):
    """Product templates and Shopify's products, with their variants."""

    _name = "integration.shopify.product"
    _inherit = ["integration.shopify.access", "integration.resource"]
    _description = "Shopify Products"

    _resource_name = "Products"
    _resource_model = "product.template"
    _resource_direction = "both"
    _resource_starts_off = frozenset({"in", "out"})
    _resource_groups = ("integration_shopify.group_shopify_work", "product.group_product_manager")

    # === VARIANTS === #

    @api.model
    def _link_variants(self, backend, variants):
        """Bind variants and their inventory items; links that point elsewhere follow.

        :param dict variants: ``{id of Shopify's variant: (product.product, id of its inventory
            item, label)}``.
        """
        Binding = self.env["integration.binding"]
        wanted = {
            VARIANT: {gid: product for gid, (product, _item, _label) in variants.items()},
            INVENTORY_ITEM: {item: product for product, item, _label in variants.values() if item},
        }
        labels = {
            name: label
            for gid, (_product, item, label) in variants.items()
            for name in (gid, item)
        }
        for resource, records in wanted.items():
            known = Binding._search_external(backend, resource, list(records))
            products = self.env["product.product"].union(*records.values())
            stale = Binding._search_records(backend, resource, products).filtered(
                lambda link, records=records: (
                    records.get(link.external_id, link.browse()).id != link.res_id
                )
            )
            stale |= known.filtered(
                lambda link, records=records: link.res_id != records[link.external_id].id
            )
            stale.unlink()
            present = set((known - stale).mapped("external_id"))
            Binding._bind(
                backend,
                resource,
                {gid: product for gid, product in records.items() if gid not in present},
                labels,
            )
