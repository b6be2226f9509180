from odoo import api, models

from ..lib.resources import VARIANT


class IntegrationShopifyProduct(models.AbstractModel):
    # what concerns settings and markets stands in a file of its own
    # pylint: disable=consider-merging-classes-inherited
    _inherit = "integration.shopify.product"

    @api.model
    def _link_variants(self, backend, variants):
        """Bind variants; the prices of those that are new or other ones are sent."""
        products = {gid: product for gid, (product, _item, _label) in variants.items()}
        Binding = self.env["integration.binding"]
        known = {
            link.external_id: link.res_id
            for link in Binding._search_external(backend, VARIANT, list(products))
        }
        result = super()._link_variants(backend, variants)
        moved = self.env["product.product"].union(
            *(product for gid, product in products.items() if known.get(gid) != product.id)
        )
        if moved:
            # another variant has no price of ours yet
            Binding._search_records(backend, "price", moved).filtered(
                lambda link: products.get(link.external_id) != moved.browse(link.res_id)
            ).unlink()
            backend._shopify_send_prices(moved)
        return result
