from odoo import api, fields, models

from ..lib.resources import PRICE


class IntegrationShopifyFixedPrice(models.Model):
    """A price of a price list of the shop that Odoo has fixed, as it was last sent."""

    _name = "integration.shopify.fixed.price"
    _inherit = ["integration.company.mixin"]
    _description = "Shopify Fixed Price"
    _order = "backend_id, product_id, mapping_id"
    _rec_name = "product_id"

    backend_id = fields.Many2one(
        "integration.backend", required=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one(related="backend_id.company_id", store=True, index=True)
    product_id = fields.Many2one(
        "product.product", required=True, readonly=True, ondelete="cascade", index=True
    )
    mapping_id = fields.Many2one(
        "integration.mapping",
        string="Price List",
        required=True,
        readonly=True,
        ondelete="cascade",
        index=True,
        help="Of the shop.",
    )
    variant = fields.Char(required=True, readonly=True, help="Shopify's id of the variant.")
    amount = fields.Char(string="Price", required=True, readonly=True)
    compare_at = fields.Char(string="Compare-at Price", readonly=True)
    currency = fields.Char(required=True, readonly=True)

    _price_unique = models.Constraint(
        "UNIQUE(product_id, mapping_id)", "A product has one price in a price list."
    )

    @api.model
    def _known(self, backend, products):
        """Return ``{(product id, id of the price list, id of the variant): what was sent}``."""
        rows = self.search([("backend_id", "=", backend.id), ("product_id", "in", products.ids)])
        return {
            (row.product_id.id, row.mapping_id.external_value, row.variant): [
                row.amount,
                row.compare_at or "",
                row.currency,
            ]
            for row in rows
        }

    @api.model
    def _note(self, backend, items):
        """Store what was sent; repeatable.

        :param items: with ``payload`` ``{id of the price list: price, None for none any more}``.
        """
        products = self.env["product.product"].union(*(item.record for item in items))
        known = {
            (row.product_id.id, row.mapping_id.external_value): row
            for row in self.search(
                [("backend_id", "=", backend.id), ("product_id", "in", products.ids)]
            )
        }
        lists = {
            row.external_value: row.id
            for row in self.env["integration.mapping"].search(
                [("backend_id", "=", backend.id), ("kind", "=", "price_list")]
            )
        }
        fresh, gone = [], self.browse()
        for item in items:
            for gid, price in (item.payload or {}).items():
                row = known.get((item.record.id, gid), self.browse())
                if price is None:
                    gone |= row
                    continue
                amount, compare_at, currency = price
                vals = {
                    "variant": item.values["variant"],
                    "amount": amount,
                    "compare_at": compare_at or False,
                    "currency": currency,
                }
                if row:
                    row.write(vals)
                elif gid in lists:
                    fresh.append(
                        {
                            "backend_id": backend.id,
                            "product_id": item.record.id,
                            "mapping_id": lists[gid],
                            **vals,
                        }
                    )
        gone.unlink()
        self.create(fresh)

    @api.model
    def _forget(self, mappings):
        """Forget what was sent to price lists, so that all of it is sent again if it is wanted."""
        # sudo: whoever may delete a value mapping need not see prices or links
        rows = self.sudo().search([("mapping_id", "in", mappings.ids)])
        for backend, group in rows.grouped("backend_id").items():
            links = rows.env["integration.binding"]._search_records(
                backend, PRICE, group.product_id
            )
            links.export_digest = False
        rows.unlink()
