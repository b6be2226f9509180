from odoo import api, fields, models
from odoo.exceptions import UserError

#: How many of the operations are named.
NAMED = 10


class IntegrationSetAside(models.TransientModel):
    """Asks for the reason before failed operations leave the review."""

    _name = "integration.set.aside"
    _description = "Set Operations Aside"

    operation_ids = fields.Many2many("integration.sync.log", string="Operations", required=True)
    operation_names = fields.Char(string="Operations", compute="_compute_operation_names")
    reason = fields.Text()

    @api.depends("operation_ids")
    def _compute_operation_names(self):
        for wizard in self:
            operations = wizard.operation_ids
            # a list of thousands names nothing, and reading it takes its time
            names = ", ".join(operations[:NAMED].mapped("display_name"))
            if len(operations) > NAMED:
                names = self.env._(
                    "%(names)s and %(count)s more", names=names, count=len(operations) - NAMED
                )
            wizard.operation_names = names

    @api.model
    def _action_ask(self, operations):
        """Return the action that asks why ``operations`` are set aside."""
        wizard = self.create([{"operation_ids": operations.ids}])
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "integration_base.integration_set_aside_action"
        )
        return {**action, "res_id": wizard.id}

    def action_confirm(self):
        """Set the operations aside with the reason typed in."""
        self.ensure_one()
        if not (self.reason or "").strip():
            raise UserError(self.env._("Say why nobody needs these records."))
        self.operation_ids._set_aside(self.reason)
        return {"type": "ir.actions.act_window_close"}
