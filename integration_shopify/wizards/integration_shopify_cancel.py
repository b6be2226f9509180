from odoo import fields, models


class IntegrationShopifyCancel(models.TransientModel):
    """How to cancel an order in Shopify, which cannot be taken back."""

    _name = "integration.shopify.cancel"
    _description = "Cancel in Shopify"

    order_id = fields.Many2one("sale.order", required=True, readonly=True)
    reason = fields.Selection(
        [
            ("CUSTOMER", "The customer changed their mind"),
            ("INVENTORY", "Goods are not available"),
            ("DECLINED", "The payment was declined"),
            ("FRAUD", "The order is fraudulent"),
            ("STAFF", "It was a mistake"),
            ("OTHER", "Another reason"),
        ],
        required=True,
        default="CUSTOMER",
    )
    refund = fields.Boolean(
        string="Pay Back",
        default=True,
        help="Give back what was paid, to where it came from. What was only authorized is always "
        "released.",
    )
    restock = fields.Boolean(
        string="Release the Stock",
        default=True,
        help="The units can be sold again in Shopify.",
    )
    notify = fields.Boolean(string="Notify the Customer", default=True)
    note = fields.Char(string="Note for the Staff", size=255)

    def action_cancel_order(self):
        """Cancel the order in Shopify, once, then bring it up to date in Odoo.

        :raises UserError: when Shopify refuses it, or did not answer.
        """
        self.ensure_one()
        self.order_id._shopify_check_may_refund()
        _backend, external_id = self.order_id._shopify_link()
        return self.order_id._shopify_cancel_now(
            {
                "orderId": external_id,
                "reason": self.reason,
                "restock": self.restock,
                "refundMethod": {"originalPaymentMethodsRefund": self.refund},
                "notifyCustomer": self.notify,
                "staffNote": self.note or None,
            }
        )
