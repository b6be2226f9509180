from odoo import models


class IntegrationFlow(models.Model):
    # what concerns settings and markets stands in a file of its own
    # pylint: disable=consider-merging-classes-inherited
    _inherit = "integration.flow"

    def write(self, vals):
        result = super().write(vals)
        if vals.get("enabled"):
            # what changed while it was off was not collected
            self.filtered(
                lambda flow: flow.resource == "price" and flow.backend_id.connector == "shopify"
            ).backend_id._shopify_send_prices()
        return result
