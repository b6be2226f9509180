from odoo import api, fields, models


class IntegrationShopifyFulfillment(models.Model):
    """A shipment of an order as Shopify has it."""

    _name = "integration.shopify.fulfillment"
    _description = "Shopify Fulfillment"
    _order = "shipped_at, id"

    order_id = fields.Many2one(
        "sale.order", required=True, readonly=True, ondelete="cascade", index=True
    )
    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade"
    )
    company_id = fields.Many2one("res.company", required=True, readonly=True, index=True)
    external_id = fields.Char(string="Shopify ID", required=True, readonly=True)
    shipped_at = fields.Datetime(string="Date", readonly=True)

    _external_id_unique = models.Constraint(
        "UNIQUE(backend_id, external_id)", "This fulfillment is already known."
    )

    @api.model
    def _follow(self, backend, items):
        """Ship in Odoo what others have shipped, and note what we have.

        :param list[Item] items: with ``record`` (the sales order), ``data`` and, in ``values``,
            what the order's ``_map`` prepared.
        """
