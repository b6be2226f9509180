from odoo import models


class IntegrationFlow(models.Model):
    _inherit = "integration.flow"

    def write(self, vals):
        """Switch on the flows of products in one direction only where both would undo another."""
        result = super().write(vals)
        if vals.get("enabled"):
            self.filtered(
                lambda flow: flow.resource == "product" and flow.backend_id.connector == "shopify"
            ).backend_id._check_shopify_product_owner()
        return result
