from odoo import fields, models


class IntegrationSetAside(models.TransientModel):
    """Asks for the reason before failed operations leave the review."""

    _name = "integration.set.aside"
    _description = "Set Operations Aside"

    operation_ids = fields.Many2many("integration.sync.log", string="Operations", required=True)
    reason = fields.Text(required=True)

    def action_confirm(self):
        """Set the operations aside with the reason typed in."""
        self.ensure_one()
        self.operation_ids._set_aside(self.reason)
        return {"type": "ir.actions.act_window_close"}
