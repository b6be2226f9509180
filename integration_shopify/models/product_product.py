from odoo import models

from .product_template import _SENT


class ProductProduct(models.Model):
    _inherit = "product.product"

    def write(self, vals):
        result = super().write(vals)
        if _SENT & vals.keys():
            self.product_tmpl_id._shopify_send_unsent()
        return result
