from odoo import api, fields, models


class IntegrationMapping(models.Model):
    # what is about stock is together here
    _inherit = "integration.mapping"

    shopify_stock_owner = fields.Selection(
        [
            ("odoo", "Odoo"),
            ("shopify", "Shopify or a third party"),
            ("nobody", "Nobody"),
        ],
        string="Stock Counted by",
        default="odoo",
        help="Of a location. Odoo: its stock, and that of what lies below, is sent to the shop. "
        "Shopify or a third party: what is counted there becomes the stock in Odoo, and is never "
        "sent back. Nobody: stock is left as it is on both sides.",
    )

    shopify_place_id = fields.Many2one(
        "stock.location",
        string="In Odoo",
        compute="_compute_shopify_place_id",
        inverse="_inverse_shopify_place_id",
        domain="[('usage', '=', 'internal'), ('company_id', 'in', [company_id, False])]",
        help="Where the goods of this location are, with all that lies below.",
    )

    @api.depends("kind", "resource_ref")
    def _compute_shopify_place_id(self):
        for row in self:
            row.shopify_place_id = row.kind == "location" and row.resource_ref

    def _inverse_shopify_place_id(self):
        for row in self:
            place = row.shopify_place_id
            row.resource_ref = f"{place._name},{place.id}" if place else False

    @api.constrains("kind", "resource_ref", "shopify_stock_owner", "backend_id")
    def _check_shopify_places(self):
        """Refuse two locations of one shop that would sell, or count, the same goods."""
        self.filtered(lambda row: row.kind == "location").backend_id._check_shopify_places()

    @api.model_create_multi
    def create(self, vals_list):
        mappings = super().create(vals_list)
        mappings.filtered("resource_ref")._shopify_stock_changed()
        return mappings

    def write(self, vals):
        places = self.filtered(lambda row: row.kind == "location")
        was_open = {row: row._shopify_is_open() for row in places}
        result = super().write(vals)
        turned = places.filtered(lambda row: row._shopify_is_open() != was_open[row])
        if turned:
            turned._shopify_forget_levels()
        if {"resource_ref", "shopify_stock_owner"} & vals.keys():
            self._shopify_stock_changed()
        else:
            turned.filtered("resource_ref")._shopify_stock_changed()
        return result

    def _shopify_is_open(self):
        """Whether a location is one the shop still has, and has not closed."""
        self.ensure_one()
        return not self.gone_at and (self.external_details or {}).get("active", True)

    def _shopify_forget_levels(self):
        """Have the stock of locations read before it is sent again.

        What Shopify had there was moved or written off when the location was closed.
        """
        for backend, rows in self.grouped("backend_id").items():
            # sudo: the levels are the engine's
            self.env["integration.shopify.level"].sudo().search(
                [
                    ("backend_id", "=", backend.id),
                    ("location", "in", rows.mapped("external_value")),
                ]
            ).write({"confirmed_at": False, "gone_quantity": 0, "gone_until": False})

    def _shopify_stock_changed(self):
        """Send the stock of backends whose locations were mapped otherwise."""
        places = self.filtered(lambda row: row.kind == "location")
        places.backend_id.filtered(
            lambda backend: backend.connector == "shopify"
        )._shopify_resend_stock()
