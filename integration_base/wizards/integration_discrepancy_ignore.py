from odoo import fields, models


class IntegrationDiscrepancyIgnore(models.TransientModel):
    """Asks for the reason before differences are left as they are."""

    _name = "integration.discrepancy.ignore"
    _description = "Ignore Differences"

    discrepancy_ids = fields.Many2many("integration.discrepancy", string="Records", required=True)
    reason = fields.Text(required=True)

    def action_confirm(self):
        """Ignore the differences with the reason typed in."""
        self.ensure_one()
        self.discrepancy_ids._ignore(self.reason)
        return {"type": "ir.actions.act_window_close"}
