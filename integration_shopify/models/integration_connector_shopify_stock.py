from odoo import models

from odoo.addons.integration_base.lib.records import Notification

from ..lib import webhook


class IntegrationConnectorShopify(models.AbstractModel):
    _inherit = "integration.connector.shopify"

    def _parse_webhook(self, backend, topic, body):
        """Leave out stock levels that nobody but Odoo counts: each echoes what was just sent."""
        found = super()._parse_webhook(backend, topic, body)
        if found.resource != "inventory":
            return found
        location = webhook.read_location(topic, body)
        counted = self.env["integration.shopify.stock"]._places(backend, "shopify")
        return found if not location or location in counted else Notification(None)
