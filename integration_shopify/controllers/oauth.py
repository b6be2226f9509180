from odoo import http

from odoo.addons.integration_base.controllers.oauth import IntegrationOauth


class ShopifyOauth(IntegrationOauth):
    @http.route("/integration/shopify/callback", type="http", auth="user", methods=["GET"])
    def shopify_callback(self, **parameters):
        """The address that apps of Shopify name as their redirect URL."""
        return self.callback(**parameters)
