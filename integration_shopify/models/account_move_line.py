from odoo import fields, models


class AccountMoveLine(models.Model):
    _inherit = "account.move.line"

    shopify_amount_only = fields.Boolean(
        readonly=True,
        copy=False,
        help="Changes the price of what was sold: it counts as no unit of the order line.",
    )
