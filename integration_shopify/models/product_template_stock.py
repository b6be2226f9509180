from odoo import fields, models


class ProductTemplate(models.Model):
    _inherit = "product.template"

    shopify_stock_buffer = fields.Integer(
        string="Keep Back from Shops",
        help="Units that are not offered in Shopify. Of this, its category's and the shop's number "
        "the largest counts.",
    )
