from odoo import api, fields, models


class IntegrationMapping(models.Model):
    _inherit = "integration.mapping"

    kind = fields.Selection(
        selection_add=[("product_category", "Product Category")],
        ondelete={"product_category": "cascade"},
    )

    @api.model
    def _kind_models(self):
        return {**super()._kind_models(), "product_category": "product.category"}
