from odoo import fields, models


class SaleOrder(models.Model):
    _name = "sale.order"
    _inherit = ["sale.order", "integration.bound.mixin"]

    shopify_url = fields.Char(
        string="Order in Shopify",
        readonly=True,
        copy=False,
        index="btree_not_null",
        help="Opens the order in the Shopify admin.",
    )
    shopify_financial_status = fields.Char(
        string="Payment in Shopify",
        readonly=True,
        copy=False,
        help="As Shopify calls it; empty for an order nobody has paid or promised to pay.",
    )
    shopify_gateway = fields.Char(string="Paid With", readonly=True, copy=False)
    shopify_discount_codes = fields.Char(string="Discount Codes", readonly=True, copy=False)
    shopify_refund_ids = fields.One2many("integration.shopify.refund", "order_id", copy=False)
    shopify_return_ids = fields.One2many("integration.shopify.return", "order_id", copy=False)

    def _prepare_confirmation_values(self):
        """Keep the day the buyer ordered on imported orders."""
        values = super()._prepare_confirmation_values()
        if self.env.context.get("integration_keep_order_date"):
            values.pop("date_order", None)
        return values
