from odoo import models


class ProductProduct(models.Model):
    _inherit = "product.product"

    def _get_remaining_moves(self):
        """Answer at once for products that are being created: goods of them were never moved.

        Odoo asks that for the value of each new product, one by one.
        """
        if self.env.context.get("shopify_new_products"):
            return {}
        return super()._get_remaining_moves()
