from odoo import fields, models

from ..lib import shipping


class DeliveryCarrier(models.Model):
    _inherit = "delivery.carrier"

    shopify_company = fields.Selection(
        selection=lambda self: [(name, name) for name in shipping.COMPANIES],
        string="Carrier in Shopify",
        help="What the Shopify shop calls who carries the parcels, so that it can link their "
        "tracking numbers. Empty: recognised by the name of the delivery method; a name that "
        "Shopify does not know is shown as it is.",
    )

    def _shopify_company(self):
        """Return what Shopify is told about who carries the parcels."""
        self.ensure_one()
        return self.shopify_company or shipping.company_of(self.name, self.delivery_type)
