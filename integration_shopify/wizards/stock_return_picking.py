from odoo import models


class StockReturnPicking(models.TransientModel):
    _inherit = "stock.return.picking"

    def _prepare_picking_default_values_based_on(self, picking):
        """Let goods come back to another place than they left from, which may be elsewhere."""
        vals = super()._prepare_picking_default_values_based_on(picking)
        place = self.env["stock.location"].browse(
            self.env.context.get("integration_return_location_id")
        )
        if place:
            vals["location_dest_id"] = place.id
            warehouse = place.warehouse_id
            if warehouse and warehouse != picking.picking_type_id.warehouse_id:
                outgoing = warehouse.out_type_id
                vals["picking_type_id"] = (outgoing.return_picking_type_id or outgoing).id
        return vals
