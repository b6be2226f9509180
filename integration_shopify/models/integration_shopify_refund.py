from odoo import api, fields, models


class IntegrationShopifyRefund(models.Model):
    """Goods of an order given back, and what became of them."""

    _name = "integration.shopify.refund"
    _description = "Shopify Refund"
    _order = "refunded_at, id"

    order_id = fields.Many2one(
        "sale.order", required=True, readonly=True, ondelete="cascade", index=True
    )
    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade"
    )
    company_id = fields.Many2one("res.company", required=True, readonly=True, index=True)
    external_id = fields.Char(string="Shopify ID", required=True, readonly=True)
    refunded_at = fields.Datetime(string="Date", readonly=True)

    _external_id_unique = models.Constraint(
        "UNIQUE(backend_id, external_id)", "This refund is already known."
    )

    @api.model
    def _follow(self, backend, items):
        """Take back into stock what refunds say has returned.

        :param list[Item] items: with ``record`` (the sales order), ``data`` and, in ``values``,
            what the order's ``_map`` prepared.
        """
