from odoo import fields, models


class AccountMove(models.Model):
    _inherit = "account.move"

    shopify_exchange_order_id = fields.Many2one(
        "sale.order",
        string="Exchange Difference of",
        readonly=True,
        copy=False,
        index="btree_not_null",
        check_company=True,
        help="The Shopify order that was paid in full in the buyer's currency, while the amounts "
        "in the shop's currency differ.",
    )

    def _post(self, soft=True):
        """Match an invoice or credit note with what Shopify says was paid, whoever posts it."""
        posted = super()._post(soft)
        documents = posted.filtered(lambda move: move.move_type in ("out_invoice", "out_refund"))
        # sudo: whoever may post an invoice need not see the orders it is made of
        orders = documents.sudo().line_ids.sale_line_ids.order_id.filtered("shopify_url")
        if orders:
            self.env["integration.shopify.transaction"].sudo()._reconcile(orders)
        return posted
