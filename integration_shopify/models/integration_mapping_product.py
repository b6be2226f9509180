from odoo import api, fields, models

#: Kinds whose rows say something about products in the shop.
KINDS = ("publication", "collection", "product_category", "locale")


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
        "withdrawn from it.",
    )

    shopify_category_ids = fields.Many2many(
        "product.category",
        "shopify_collection_category_rel",
        "mapping_id",
        "category_id",
        string="Product Categories",
        help="Of a collection: products of these categories, and of those below them, are put into "
        "it, besides those with the tag.",
    )

    @api.model_create_multi
    def create(self, vals_list):
        rows = super().create(vals_list)
        chosen = rows.filtered(lambda row: row.resource_ref and row.source != "automatic")
        chosen._shopify_send_catalogue()
        return rows

    def write(self, vals):
        names = {"resource_ref", "shopify_publish", "shopify_category_ids"} & vals.keys()
        if vals.get("source") == "automatic":
            # what is recognised by itself was read from the shop, and changes nothing there
            names.discard("resource_ref")
        before = {row: [row[name] for name in names] for row in self if names}
        result = super().write(vals)
        for row, values in before.items():
            if values != [row[name] for name in names]:
                row._shopify_send_catalogue()
        return result

    def unlink(self):
        backends = self.filtered(lambda row: row.kind in KINDS).backend_id
        result = super().unlink()
        backends._shopify_send_catalogue()
        return result

    def _shopify_send_catalogue(self):
        """Have products compared with what the shop has where these rows are about products."""
        self.filtered(lambda row: row.kind in KINDS).backend_id._shopify_send_catalogue()

    @api.model
    def _kind_models(self):
        return {**super()._kind_models(), "product_category": "product.category"}

    @api.model
    def _shopify_category_collections(self, backend):
        """Return ``{product.category: ids of collections}`` of the categories chosen for them."""
        found = {}
        for row in self.search(
            [
                ("backend_id", "=", backend.id),
                ("kind", "=", "collection"),
                ("shopify_category_ids", "!=", False),
            ]
        ):
            for category in row.shopify_category_ids:
                found.setdefault(category, []).append(row.external_value)
        return found

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
