from odoo import fields, models


class ProductCategory(models.Model):
    _inherit = "product.category"

    shopify_stock_buffer = fields.Integer(
        string="Keep Back from Shops",
        help="Units of each product of this category, and of those below, that are not offered in "
        "Shopify. Of this, the product's own and the shop's number the largest counts.",
    )

    def write(self, vals):
        result = super().write(vals)
        if {"shopify_stock_buffer", "parent_id"} & vals.keys():
            # sudo: what changes follows from the category, whoever may see the products
            templates = (
                self.env["product.template"].sudo().search([("categ_id", "child_of", self.ids)])
            )
            self.env["integration.outbox"]._note_changed(
                "product.template", templates.ids, ["shopify_stock_buffer"]
            )
        return result
