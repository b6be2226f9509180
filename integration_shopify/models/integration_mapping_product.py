from odoo import api, fields, models


class IntegrationMapping(models.Model):
    # what concerns products stands in files of its own
    _inherit = "integration.mapping"

    kind = fields.Selection(
        selection_add=[("product_category", "Product Category")],
        ondelete={"product_category": "cascade"},
    )

    shopify_publish = fields.Boolean(
        string="Publish Products",
        help="Of a sales channel: products of Odoo are shown in it. Switched off again: they are "
        "withdrawn from it when they are sent the next time.",
    )

    @api.model
    def _kind_models(self):
        return {**super()._kind_models(), "product_category": "product.category"}

    @api.model
    def _shopify_reversed(self, backend, kind):
        """Return ``{Odoo record: [external values]}`` of the mapped values of a kind, in order."""
        found = {}
        for row in self.search(
            [
                ("backend_id", "=", backend.id),
                ("kind", "=", kind),
                ("resource_ref", "!=", False),
            ],
            order="id",
        ):
            found.setdefault(row.resource_ref, []).append(row.external_value)
        return found
