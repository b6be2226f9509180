from odoo import fields, models


class ProductTemplate(models.Model):
    _inherit = "product.template"

    shopify_vendor = fields.Char(
        string="Vendor in Shopify", help="The brand or maker, as buyers see it in the shop."
    )
    shopify_description = fields.Html(
        string="Description in Shopify", translate=True, sanitize_style=True
    )
    shopify_product_type = fields.Char(
        string="Type in Shopify",
        help="The shop's own kind of product. The product category is chosen by it, see Value "
        "Mappings of the backend.",
    )
