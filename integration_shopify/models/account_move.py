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
    shopify_refund_ref = fields.Char(
        string="Refund in Shopify",
        readonly=True,
        copy=False,
        index="btree_not_null",
        help="The refund that was made in Shopify from this credit note.",
    )
    shopify_can_refund = fields.Boolean(compute="_compute_shopify_can_refund")

    def _compute_shopify_can_refund(self):
        """Whether this is a credit note of an order of a shop that Shopify knows nothing of."""
        self.shopify_can_refund = False
        notes = self.filtered(
            lambda move: (
                move.move_type == "out_refund"
                and move.state == "posted"
                and not move.shopify_refund_ref
            )
        )
        if not notes:
            return
        # sudo: the ledger is not for everybody who may post credit notes
        Agreement = self.env["integration.shopify.agreement"].sudo()
        booked = Agreement.search([("move_id", "in", notes.ids)]).move_id
        paid_back = self.env["integration.shopify.refund"]._paid_back(notes)
        for move in notes - booked - paid_back:
            move.shopify_can_refund = len(move._shopify_orders()) == 1

    def _shopify_orders(self):
        orders = self.invoice_line_ids.sale_line_ids.order_id
        return orders.filtered("shopify_url")

    def action_shopify_refund(self):
        """Open the dialog to pay this credit note back in Shopify."""
        self.ensure_one()
        self.env["integration.shopify.refund"]._check_credit_note(self)
        return self.env["integration.shopify.refund.request"]._open(
            self._shopify_orders(), credit_note=self
        )

    def _post(self, soft=True):
        """Match an invoice or credit note with what Shopify says was paid, whoever posts it."""
        posted = super()._post(soft)
        documents = posted.filtered(lambda move: move.move_type in ("out_invoice", "out_refund"))
        # sudo: whoever may post an invoice need not see its orders, nor what was paid of them
        orders = documents.sudo().line_ids.sale_line_ids.order_id.filtered("shopify_url")
        if orders:
            orders.env["integration.shopify.transaction"]._reconcile(orders)
        return posted
