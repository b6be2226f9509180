from odoo import models


class ProductPricelist(models.Model):
    _inherit = "product.pricelist"

    def _shopify_backends(self):
        """Return the shops whose prices come from this price list, also by way of another one."""
        # sudo: a price list that is closed to the user may be built upon this one
        own = self.sudo()
        lists = reached = own
        while reached:
            items = own.env["product.pricelist.item"].search(
                [("base", "=", "pricelist"), ("base_pricelist_id", "in", reached.ids)]
            )
            reached = items.pricelist_id - lists
            lists |= reached
        return own.env["integration.backend"].search(
            [("connector", "=", "shopify"), ("shopify_pricelist_id", "in", lists.ids)]
        )
