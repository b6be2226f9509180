from odoo import api, models


class IntegrationConnectorShopify(models.AbstractModel):
    _inherit = "integration.connector.shopify"

    @api.model
    def _default_mapping(self, backend, kind, values):
        """Recognise product categories: exactly one has the name of the type in Shopify."""
        if kind != "product_category":
            return super()._default_mapping(backend, kind, values)
        names = {value for value in values if not value.startswith("gid://")}
        found = {}
        rows = self.env["product.category"].search_fetch([("name", "in", list(names))], ["name"])
        for name, categories in rows.grouped("name").items():
            if len(categories) == 1:
                found[name] = categories
        return found
