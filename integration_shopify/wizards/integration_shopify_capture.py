from odoo import api, fields, models
from odoo.exceptions import UserError

from ..lib import money_steps


class IntegrationShopifyCapture(models.TransientModel):
    """Takes an authorized payment of an order in Shopify, whole or in part, or releases it."""

    _name = "integration.shopify.capture"
    _description = "Capture in Shopify"

    order_id = fields.Many2one("sale.order", required=True, readonly=True)
    open_ids = fields.Many2many("integration.shopify.transaction", compute="_compute_open_ids")
    transaction_id = fields.Many2one(
        "integration.shopify.transaction",
        string="Authorization",
        required=True,
        compute="_compute_transaction_id",
        store=True,
        precompute=True,
        readonly=False,
        domain="[('id', 'in', open_ids)]",
    )
    currency_id = fields.Many2one(related="transaction_id.presentment_currency_id")
    expires_at = fields.Datetime(related="transaction_id.authorization_expires_at")
    amount_left = fields.Monetary(
        string="Authorized", compute="_compute_amounts", store=True, precompute=True
    )
    amount = fields.Monetary(
        string="Capture",
        compute="_compute_amounts",
        store=True,
        precompute=True,
        readonly=False,
        help="In the currency the buyer pays in. What is left stays authorized where the payment "
        "provider allows several captures.",
    )
    # of this the shop was told when the dialog was opened: pressing twice is meant once
    known = fields.Integer(compute="_compute_amounts", store=True, precompute=True)
    failed_voids = fields.Integer(compute="_compute_amounts", store=True, precompute=True)

    # === COMPUTE METHODS === #

    @api.depends("order_id")
    def _compute_open_ids(self):
        for wizard in self:
            left = wizard.order_id.shopify_transaction_ids._open_authorizations()
            wizard.open_ids = wizard.open_ids.union(*left)

    @api.depends("order_id")
    def _compute_transaction_id(self):
        for wizard in self:
            left = wizard.order_id.shopify_transaction_ids._open_authorizations()
            wizard.transaction_id = next(iter(left), False)

    @api.depends("transaction_id")
    def _compute_amounts(self):
        for wizard in self:
            rows = wizard.order_id.shopify_transaction_ids
            left = rows._open_authorizations().get(wizard.transaction_id, 0.0)
            wizard.amount = wizard.amount_left = left
            children = rows.filtered(
                lambda row, parent=wizard.transaction_id: (
                    row.parent_ref and row.parent_ref == parent.external_id
                )
            )
            wizard.known = len(children.filtered(lambda row: row.kind == "CAPTURE"))
            wizard.failed_voids = len(
                children.filtered(
                    lambda row: row.kind == "VOID" and row.status not in money_steps.DONE
                )
            )

    # === ACTIONS === #

    def action_capture(self):
        """Take the amount, once, then read the order.

        :raises UserError: when there is not so much left, Shopify refuses, or did not answer.
        """
        order, external_id = self._check()
        currency = self.currency_id
        if (
            currency.compare_amounts(self.amount, 0) <= 0
            or currency.compare_amounts(self.amount, self.amount_left) > 0
        ):
            raise UserError(
                self.env._(
                    "Type an amount between %(least)s and %(most)s, which is what is still "
                    "authorized.",
                    least=currency.format(currency.rounding),
                    most=currency.format(self.amount_left),
                )
            )
        step = money_steps.Capture(
            external_id,
            self.transaction_id.external_id,
            f"{self.amount:.{currency.decimal_places}f}",
            currency.name,
            self.known,
        )
        title = self.env._(
            "capture %(amount)s of %(order)s",
            amount=currency.format(self.amount),
            order=order.name,
        )
        return order._shopify_move_money_now(step, title)

    def action_void(self):
        """Release the authorization, once, then read the order.

        :raises UserError: when Shopify refuses it, or did not answer.
        """
        order, _external_id = self._check()
        step = money_steps.Void(self.transaction_id.external_id, self.failed_voids)
        title = self.env._("release the payment of %s", order.name)
        return order._shopify_move_money_now(step, title)

    def _check(self):
        self.ensure_one()
        self.order_id._shopify_check_may_refund()
        # one that was captured or released meanwhile may still be asked for: it is found to be done
        if (
            self.transaction_id not in self.order_id.shopify_transaction_ids
            or self.transaction_id.kind != "AUTHORIZATION"
        ):
            raise UserError(
                self.env._(
                    "This is no authorized payment of %s. Open the dialog again and choose one.",
                    self.order_id.name,
                )
            )
        _backend, external_id = self.order_id._shopify_link()
        return self.order_id, external_id
