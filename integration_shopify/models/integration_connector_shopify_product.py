from odoo import api, models


class IntegrationConnectorShopify(models.AbstractModel):
    _inherit = "integration.connector.shopify"

    @api.model
    def _default_mapping(self, backend, kind, values):
        """Recognise product categories: exactly one has the name of the type in Shopify.

        Not those of Shopify's taxonomy, whose names say nothing about the company's own.
        """
        if kind != "product_category":
            return super()._default_mapping(backend, kind, values)
        names = {value for value in values if not value.startswith("gid://")}
        rows = self.env["product.category"].search_fetch([("name", "in", list(names))], ["name"])
        return {
            name: categories
            for name, categories in rows.grouped("name").items()
            if len(categories) == 1
        }
