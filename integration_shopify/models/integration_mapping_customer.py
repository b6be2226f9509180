from odoo import api, fields, models


class IntegrationMapping(models.Model):
    _inherit = "integration.mapping"

    kind = fields.Selection(
        selection_add=[("tax_exemption", "Tax Exemption"), ("catalog", "Catalog")],
        ondelete={"tax_exemption": "cascade", "catalog": "cascade"},
    )

    @api.model
    def _kind_models(self):
        return {
            **super()._kind_models(),
            "tax_exemption": "account.fiscal.position",
            "catalog": "product.pricelist",
        }
