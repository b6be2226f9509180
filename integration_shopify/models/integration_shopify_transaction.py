from odoo import api, fields, models


class IntegrationShopifyTransaction(models.Model):
    """Money of an order that moved, was promised, refused or given back."""

    _name = "integration.shopify.transaction"
    _description = "Shopify Transaction"
    _order = "processed_at, id"

    order_id = fields.Many2one(
        "sale.order", required=True, readonly=True, ondelete="cascade", index=True
    )
    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade"
    )
    company_id = fields.Many2one("res.company", required=True, readonly=True, index=True)
    external_id = fields.Char(string="Shopify ID", required=True, readonly=True)
    processed_at = fields.Datetime(string="Date", required=True, readonly=True)

    _external_id_unique = models.Constraint(
        "UNIQUE(backend_id, external_id)", "This transaction is already known."
    )

    @api.model
    def _follow(self, backend, items):
        """Note the transactions of orders, and register the money that moved.

        :param list[Item] items: with ``record`` (the sales order), ``data`` and, in ``values``,
            what the order's ``_map`` prepared.
        """
