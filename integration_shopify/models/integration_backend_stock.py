from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError

from ..lib import stock
from ..lib.resources import INVENTORY_ITEM

#: Settings that make other quantities of the same stock.
STOCK_SETTINGS = {"shopify_stock_source", "shopify_stock_buffer"}


class IntegrationBackend(models.Model):
    # what is about stock is together here
    _inherit = "integration.backend"

    shopify_stock_source = fields.Selection(
        [
            ("free", "Free to use"),
            ("forecast", "Forecast"),
            ("on_hand", "On hand"),
        ],
        string="Quantity to Sell",
        default="free",
        required=True,
        help="Free to use: on hand less what is reserved. Forecast: with what is to come, less all "
        "demand; choose it to sell goods before they arrive. On hand: orders of other channels do "
        "not lower it; what Shopify has sold is taken off by Shopify itself.",
    )
    shopify_stock_buffer = fields.Integer(
        string="Keep Back",
        help="Units of each product that are not offered, so that the last ones are not sold "
        "twice by several channels. A product or its category may keep back more.",
    )
    shopify_stock_policy = fields.Selection(
        [
            (stock.SOLD, "Keep what the shop sold"),
            (stock.ODOO, "Odoo is right"),
            (stock.ASK, "Ask a person"),
        ],
        string="If Shopify Differs",
        default="sold",
        required=True,
        help="Shopify has another number than it confirmed last. Keep what the shop sold: Odoo's "
        "quantity less the units of orders that Odoo has not counted yet. Odoo is right: Odoo's "
        "quantity as it is, which may sell again what was sold a moment ago. Ask a person: as the "
        "first, but a difference that no order explains waits for a decision.",
    )
    shopify_stock_reason = fields.Selection(
        [
            ("correction", "Correction"),
            ("cycle_count_available", "Cycle count"),
            ("movement_updated", "Movement"),
            ("other", "Other"),
        ],
        string="Adjustment Reason",
        default="correction",
        required=True,
        help="What the inventory history in Shopify shows as the reason.",
    )
    shopify_stock_on = fields.Boolean(compute="_compute_shopify_stock_on")
    shopify_location_ids = fields.One2many(
        "integration.mapping",
        "backend_id",
        string="Shop Locations",
        domain=[("kind", "=", "location")],
    )

    _shopify_stock_buffer_positive = models.Constraint(
        "CHECK(shopify_stock_buffer >= 0)", "The units to keep back cannot be negative."
    )

    @api.depends("flow_ids.enabled")
    def _compute_shopify_stock_on(self):
        for backend in self:
            backend.shopify_stock_on = bool(backend._shopify_stock_flow().filtered("enabled"))

    # === CRUD METHODS === #

    def write(self, vals):
        result = super().write(vals)
        if STOCK_SETTINGS & vals.keys():
            self._shopify_resend_stock()
        return result

    # === BUSINESS METHODS === #

    def _check_shopify_places(self):
        """Refuse two locations of one shop that would sell, or count, the same goods.

        :raises ValidationError: when the stock of the shop is sent or counted.
        """
        for backend in self:
            flows = backend.flow_ids.filtered(lambda flow: flow.resource in ("stock", "inventory"))
            if not any(flows.mapped("enabled")):
                continue
            places = [
                (row, row.resource_ref)
                for row in backend.shopify_location_ids
                if row.resource_ref and row.shopify_stock_owner != "nobody"
            ]
            for row, place in places:
                for other, above in places:
                    if row != other and place.parent_path.startswith(above.parent_path):
                        raise ValidationError(
                            self.env._(
                                "%(first)s and %(second)s of the shop are both %(place)s in Odoo, "
                                "or one lies below the other, so the same goods would be sold "
                                "twice. Choose separate locations, or let nobody count one.",
                                first=row.display_name,
                                second=other.display_name,
                                place=above.display_name,
                            )
                        )

    def _shopify_stock_flow(self):
        """Return the flow that sends stock, switched on or not."""
        return self.flow_ids.filtered(lambda flow: flow.resource == "stock")

    def _shopify_link_stock(self):
        """Have the stock of every product sent that is linked to an inventory item.

        :returns: the products whose stock is sent.
        """
        Binding = self.env["integration.binding"]
        products = self.env["product.product"]
        for backend in self:
            links = Binding.search_fetch(
                [
                    ("backend_id", "=", backend.id),
                    ("resource", "in", (INVENTORY_ITEM, stock.STOCK)),
                    ("deleted_at", "=", False),
                ],
                ["resource", "external_id", "external_label", "res_id"],
            )
            items = links.filtered(lambda link: link.resource == INVENTORY_ITEM)
            wanted = {link.external_id: link.res_id for link in items}
            stale = (links - items).filtered(
                lambda link, wanted=wanted: wanted.get(link.external_id) != link.res_id
            )
            stale.unlink()
            present = set((links - items - stale).mapped("external_id"))
            Binding._bind(
                backend,
                "stock",
                {
                    gid: products.browse(res_id)
                    for gid, res_id in wanted.items()
                    if gid not in present
                },
                {link.external_id: link.external_label for link in items},
            )
            products |= products.browse(wanted.values())
        return products

    def _shopify_resend_stock(self):
        """Compare all stock with what was sent, after what it is computed from has changed.

        Nothing is called for levels that stay the same.
        """
        for backend in self:
            flow = backend._shopify_stock_flow()
            if not flow.enabled:
                continue
            # sudo: whoever may change the setting may have it take effect
            own, flow = backend.sudo(), flow.sudo()
            products = own._shopify_link_stock()
            own.env["integration.sync.log"]._append_records(flow, products.exists(), "backfill")
            flow._wake_after_commit()

    # === ACTIONS === #

    def action_shopify_send_stock(self):
        """Look through all stock now, and send what differs from what was sent."""
        self.ensure_one()
        self.check_access("write")
        if not self._shopify_stock_flow().enabled:
            raise UserError(
                self.env._("The flow Stock is switched off. Switch it on under Flows first.")
            )
        self._shopify_resend_stock()
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "success",
                "message": self.env._("The stock is compared and sent in the background."),
            },
        }

    def action_shopify_stock_levels(self):
        """Open what was sent, and why."""
        self.ensure_one()
        self.check_access("read")
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "integration_shopify.integration_shopify_level_action"
        )
        return {**action, "domain": [("backend_id", "=", self.id)]}
