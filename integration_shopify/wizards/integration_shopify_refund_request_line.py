from odoo import api, fields, models
from odoo.exceptions import ValidationError


class IntegrationShopifyRefundRequestLine(models.TransientModel):
    """Units of a line that can be given back, shipped ones apart from those that were not."""

    _name = "integration.shopify.refund.request.line"
    _description = "Line of a Refund in Shopify"

    request_id = fields.Many2one(
        "integration.shopify.refund.request", required=True, ondelete="cascade"
    )
    shopify_line_id = fields.Char(required=True, readonly=True)
    sale_line_id = fields.Many2one("sale.order.line", readonly=True)
    name = fields.Char(string="Goods", readonly=True)
    shipped = fields.Boolean(readonly=True)
    quantity_left = fields.Integer(string="Left", readonly=True)
    quantity = fields.Integer(string="Refund")
    restock = fields.Selection(
        [
            ("return", "Come back into stock"),
            ("cancel", "Were never shipped"),
            ("no_restock", "Do not come back"),
        ],
        string="The Goods",
        required=True,
    )
    duty_refs = fields.Char(readonly=True)

    @api.constrains("quantity")
    def _check_quantity(self):
        for line in self:
            if not 0 <= line.quantity <= line.quantity_left:
                raise ValidationError(
                    self.env._(
                        "%(line)s: between 0 and %(left)s units can be refunded.",
                        line=line.name,
                        left=line.quantity_left,
                    )
                )
