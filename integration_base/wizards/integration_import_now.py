from odoo import api, fields, models
from odoo.exceptions import UserError

from ..lib.errors import IntegrationError
from ..lib.records import Change


class IntegrationImportNow(models.TransientModel):
    """Imports one record at once, by the number people know it by."""

    _name = "integration.import.now"
    _description = "Import One Record"

    backend_id = fields.Many2one("integration.backend")
    flow_id = fields.Many2one(
        "integration.flow",
        string="What",
        required=True,
        compute="_compute_flow_id",
        store=True,
        precompute=True,
        readonly=False,
        domain="[('backend_id', '=', backend_id), ('direction', '=', 'in')]",
    )
    reference = fields.Char(
        required=True, help="Its number or id in the external system, e.g. #1001."
    )

    @api.depends("backend_id")
    def _compute_flow_id(self):
        for wizard in self:
            flows = wizard.backend_id.flow_ids.filtered(lambda flow: flow.direction == "in")
            if wizard.flow_id not in flows:
                wizard.flow_id = flows.filtered("enabled")[:1]

    def action_import(self):
        """Import the record in the foreground and show what became of it."""
        self.ensure_one()
        if not self.env.user.has_group("integration_base.group_integration_operator"):
            raise UserError(self.env._("Importing needs the role Integration Operator."))
        self.flow_id._check_ready()
        # sudo: operators start work, they do not write the log
        flow = self.flow_id.sudo()
        try:
            external_id = flow._resource()._resolve_reference(
                flow.backend_id, self.reference.strip()
            )
        except IntegrationError as error:
            raise UserError(error.message) from error
        change = Change(external_id, label=self.reference.strip())
        # sudo: the same
        return self.env["integration.sync.log"].sudo()._append_and_run(flow, change)
