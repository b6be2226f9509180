from odoo import api, fields, models


class IntegrationShopifyAgreement(models.Model):
    """One entry of Shopify's sales ledger, applied to the books exactly once."""

    _name = "integration.shopify.agreement"
    _description = "Shopify Ledger Entry"
    _order = "happened_at, id"

    order_id = fields.Many2one(
        "sale.order", required=True, readonly=True, ondelete="cascade", index=True
    )
    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade"
    )
    company_id = fields.Many2one("res.company", required=True, readonly=True, index=True)
    external_id = fields.Char(string="Shopify ID", required=True, readonly=True)
    name = fields.Char(readonly=True)
    reason = fields.Char(readonly=True)
    happened_at = fields.Datetime(string="Date", required=True, readonly=True)
    currency_id = fields.Many2one("res.currency", required=True, readonly=True)
    amount_tax = fields.Monetary(string="Tax", readonly=True)
    amount_total = fields.Monetary(string="Total", readonly=True)
    refund_ref = fields.Char(readonly=True)
    return_ref = fields.Char(readonly=True)
    move_id = fields.Many2one(
        "account.move",
        string="Booked In",
        readonly=True,
        index="btree_not_null",
        check_company=True,
    )

    _external_id_unique = models.Constraint(
        "UNIQUE(backend_id, external_id)", "This ledger entry is already known."
    )

    @api.model
    def _follow(self, backend, items):
        """Book the ledger entries of orders that are not booked yet.

        :param list[Item] items: with ``record`` (the sales order), ``data`` and, in ``values``,
            what the order's ``_map`` prepared.
        """
