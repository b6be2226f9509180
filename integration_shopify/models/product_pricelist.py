from odoo import models


class ProductPricelist(models.Model):
    _inherit = "product.pricelist"

    def _shopify_backends(self):
        """Return the shops whose prices come from this price list, also by way of another one."""
        lists = reached = self
        Item = self.env["product.pricelist.item"].sudo()
        while reached:
            # sudo: a price list of another company may be built upon this one
            reached = (
                Item.search([("base", "=", "pricelist"), ("base_pricelist_id", "in", reached.ids)])
                .pricelist_id
                - lists
            )
            lists |= reached
        return (
            self.env["integration.backend"]
            .sudo()
            .search([("connector", "=", "shopify"), ("shopify_pricelist_id", "in", lists.ids)])
        )
