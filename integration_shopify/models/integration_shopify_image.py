from odoo import api, fields, models


class IntegrationShopifyImage(models.Model):
    """A picture of a product that we gave to a shop: what tells changed ones from others.

    ``external_id`` is always the id of the MediaImage. Shopify has a second id for the same
    picture (ProductImage), which says nothing about it.
    """

    _name = "integration.shopify.image"
    _description = "Shopify Picture"
    _order = "id"

    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one(related="backend_id.company_id", store=True, index=True)
    product_tmpl_id = fields.Many2one(
        "product.template", required=True, readonly=True, ondelete="cascade", index=True
    )
    checksum = fields.Char(required=True, readonly=True, help="Of the picture in Odoo.")
    external_id = fields.Char(string="External ID", required=True, readonly=True)

    _checksum_unique = models.Constraint(
        "UNIQUE(backend_id, product_tmpl_id, checksum)", "This picture is known already."
    )

    @api.model
    def _known(self, backend, templates):
        """Return ``{template id: {checksum: id of the MediaImage}}`` in one query."""
        found = {}
        for row in self.search_fetch(
            [("backend_id", "=", backend.id), ("product_tmpl_id", "in", templates.ids)],
            ["product_tmpl_id", "checksum", "external_id"],
        ):
            found.setdefault(row.product_tmpl_id.id, {})[row.checksum] = row.external_id
        return found

    @api.model
    def _remember(self, backend, template, media):
        """Make ``media`` (``{checksum: id}``) all that is known of a product's pictures."""
        known = {
            row.checksum: row
            for row in self.search(
                [("backend_id", "=", backend.id), ("product_tmpl_id", "=", template.id)]
            )
        }
        self.union(
            *(row for checksum, row in known.items() if media.get(checksum) != row.external_id)
        ).unlink()
        self.create(
            [
                {
                    "backend_id": backend.id,
                    "product_tmpl_id": template.id,
                    "checksum": checksum,
                    "external_id": gid,
                }
                for checksum, gid in media.items()
                if checksum not in known or known[checksum].external_id != gid
            ]
        )
