from odoo import fields, models


class ProductTemplate(models.Model):
    _inherit = "product.template"

    shopify_product_type = fields.Char(
        string="Type in Shopify",
        help="The shop's own kind of product. The product category is chosen by it, see Value "
        "Mappings of the backend.",
    )
