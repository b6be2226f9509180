from odoo import models


class IntegrationFlow(models.Model):
    _inherit = "integration.flow"

    def write(self, vals):
        """Send all stock when its flow is switched on."""
        off = self.filtered(lambda flow: not flow.enabled)
        result = super().write(vals)
        started = off.filtered(lambda flow: flow.enabled)
        started.filtered(
            lambda flow: flow.resource in ("stock", "inventory")
        ).backend_id._check_shopify_places()
        started.filtered(lambda flow: flow.resource == "stock").backend_id._shopify_resend_stock()
        return result
