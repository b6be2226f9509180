from odoo import api, fields, models


class IntegrationMapping(models.Model):
    _inherit = "integration.mapping"

    kind = fields.Selection(
        selection_add=[("payment_term", "Payment Terms")], ondelete={"payment_term": "cascade"}
    )

    @api.model
    def _kind_models(self):
        return {**super()._kind_models(), "payment_term": "account.payment.term"}
