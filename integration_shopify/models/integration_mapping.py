from odoo import api, fields, models


class IntegrationMapping(models.Model):
    _inherit = "integration.mapping"

    kind = fields.Selection(
        selection_add=[
            ("tax", "Tax"),
            ("payment_method", "Payment Method"),
            ("shipping_method", "Shipping Method"),
        ],
        ondelete={"tax": "cascade", "payment_method": "cascade", "shipping_method": "cascade"},
    )

    @api.model
    def _kind_models(self):
        return {
            **super()._kind_models(),
            "tax": "account.tax",
            "payment_method": "account.journal",
            "shipping_method": "delivery.carrier",
        }
