from odoo import api, models


class IntegrationShopifyProduct(models.AbstractModel):
    _inherit = "integration.shopify.product"

    @api.model
    def _link_variants(self, backend, variants):
        """Send the stock of variants from when they are linked."""
        result = super()._link_variants(backend, variants)
        Binding = self.env["integration.binding"]
        wanted = {item: product for product, item, _label in variants.values() if item}
        labels = {item: label for _product, item, label in variants.values()}
        products = self.env["product.product"].union(*wanted.values())
        known = Binding._search_external(backend, "stock", list(wanted))
        known |= Binding._search_records(backend, "stock", products)
        stale = known.filtered(
            lambda link: link.res_id != wanted.get(link.external_id, products.browse()).id
        )
        stale.unlink()
        # what was confirmed of another item says nothing about this one
        self.env["integration.shopify.level"].search(
            [
                ("backend_id", "=", backend.id),
                ("product_id", "in", products.ids),
                ("item", "not in", list(wanted)),
            ]
        ).unlink()
        present = set((known - stale).mapped("external_id"))
        fresh = {item: product for item, product in wanted.items() if item not in present}
        Binding._bind(backend, "stock", fresh, labels)
        flow = backend._shopify_stock_flow()
        if fresh and flow.enabled:
            # sudo: the log is the engine's
            flow = flow.sudo()
            flow.env["integration.sync.log"]._append_records(
                flow, products.union(*fresh.values()), "change"
            )
            flow._wake_after_commit()
        return result
