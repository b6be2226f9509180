from odoo import fields, models
from odoo.exceptions import UserError


class StockPicking(models.Model):
    _inherit = "stock.picking"

    shopify_hold = fields.Char(related="sale_id.shopify_hold", string="On Hold")

    def button_validate(self):
        """Keep back what must not leave the house yet.

        :raises UserError: naming the deliveries and why they wait.
        """
        # what Shopify says was shipped has left already
        if not self.env.context.get("shopify_follow"):
            held = self.filtered(
                lambda picking: (
                    picking.picking_type_code == "outgoing"
                    and picking.state != "done"
                    and picking.shopify_hold
                )
            )
            if held:
                raise UserError(
                    "\n".join(
                        self.env._(
                            "%(delivery)s of %(order)s is on hold and cannot be shipped: %(why)s. "
                            "Release the hold on the sales order, or in Shopify where it was put "
                            "there.",
                            delivery=picking.name,
                            order=picking.sale_id.name,
                            why=picking.shopify_hold,
                        )
                        for picking in held
                    )
                )
        return super().button_validate()

    def action_shopify_release_hold(self):
        """Release the orders of these deliveries, see the same button of the order."""
        return self.sale_id.action_shopify_release_hold()
