from odoo import api, fields, models
from odoo.fields import Domain

# The field that holds the picture of a product, and that of a variant.
FIELDS = {"product.template": "image_1920", "product.product": "image_variant_1920"}


class IntegrationShopifyImage(models.Model):
    """A picture that Odoo and a shop both have: what tells changed ones from others.

    We gave it to the shop, or it came from there, and is then not sent back.

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
    from_shop = fields.Boolean(
        readonly=True, help="It came from the shop, and stays there when Odoo has another one."
    )

    _checksum_unique = models.Constraint(
        "UNIQUE(backend_id, product_tmpl_id, checksum)", "This picture is known already."
    )

    @api.model
    def _files(self, records):
        """Return ``{(model, id): attachment}`` of the pictures in Odoo, in one query.

        A variant that shows the picture of its template has none of its own.

        :param records: products and variants, in any order.
        """
        ids = {model: [] for model in FIELDS}
        for record in records:
            ids[record._name].append(record.id)
        domain = Domain.OR(
            [("res_model", "=", model), ("res_field", "=", name), ("res_id", "in", ids[model])]
            for model, name in FIELDS.items()
        )
        # sudo: pictures of products are attachments that only administrators may search
        Attachment = self.env["ir.attachment"].sudo()
        files = Attachment.search_fetch(domain, ["res_model", "res_id", "checksum", "mimetype"])
        return {(file.res_model, file.res_id): file for file in files}

    @api.model
    def _known(self, backend, templates):
        """Return the pictures of templates in one query.

        :returns: ``{template id: {checksum: (id of the MediaImage, whether it is the shop's)}}``.
        """
        found = {}
        for row in self.search_fetch(
            [("backend_id", "=", backend.id), ("product_tmpl_id", "in", templates.ids)],
            ["product_tmpl_id", "checksum", "external_id", "from_shop"],
        ):
            media = found.setdefault(row.product_tmpl_id.id, {})
            media[row.checksum] = (row.external_id, row.from_shop)
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

    @api.model
    def _learn(self, backend, media):
        """Note pictures that came from a shop; what is known of others stays.

        :param dict media: ``{template id: {checksum: id of the MediaImage}}``.
        """
        rows = self.search(
            [("backend_id", "=", backend.id), ("product_tmpl_id", "in", list(media))]
        )
        present, stale = set(), self.browse()
        for row in rows:
            new = media[row.product_tmpl_id.id]
            if new.get(row.checksum) == row.external_id:
                present.add((row.product_tmpl_id.id, row.checksum))
            elif row.checksum in new or row.external_id in new.values():
                # one picture has one checksum, whatever it was before
                stale |= row
        stale.unlink()
        self.create(
            [
                {
                    "backend_id": backend.id,
                    "product_tmpl_id": template_id,
                    "checksum": checksum,
                    "external_id": gid,
                    "from_shop": True,
                }
                for template_id, new in media.items()
                for checksum, gid in new.items()
                if (template_id, checksum) not in present
            ]
        )
