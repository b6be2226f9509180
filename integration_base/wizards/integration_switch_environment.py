from markupsafe import Markup

from odoo import api, fields, models
from odoo.exceptions import UserError


class IntegrationSwitchEnvironment(models.TransientModel):
    """Takes a backend from sandbox to production or back, and shows before what that changes."""

    _name = "integration.switch.environment"
    _description = "Switch Environment"

    backend_id = fields.Many2one("integration.backend", required=True, readonly=True)
    environment = fields.Selection(
        related="backend_id.environment", related_sudo=False, string="From"
    )
    to_production = fields.Boolean(compute="_compute_changes")
    old_base_url = fields.Char(
        related="backend_id.base_url", related_sudo=False, string="Present Address"
    )
    base_url = fields.Char(string="New Address")
    credentials = fields.Html(compute="_compute_changes", sanitize=False)
    flows = fields.Char(string="Flows That Stop", compute="_compute_changes")
    binding_count = fields.Integer(string="Linked Records", compute="_compute_changes")
    waiting_count = fields.Integer(string="Waiting or Failed", compute="_compute_changes")
    account = fields.Selection(
        [
            ("other", "Others: remove the links, set aside what waits, read from the beginning"),
            ("same", "The same ones: keep the links and what waits, go on reading"),
        ],
        string="Its Records There Are",
    )

    @api.depends("backend_id")
    def _compute_changes(self):
        for wizard in self:
            backend = wizard.backend_id
            wizard.to_production = backend.environment == "sandbox"
            wizard.flows = ", ".join(backend.flow_ids.filtered("enabled").mapped("name"))
            wizard.binding_count = backend.binding_count
            wizard.waiting_count = backend.waiting_count + backend.failed_count
            wizard.credentials = wizard._compare_credentials()

    def _compare_credentials(self):
        """Return as a table which credentials are stored here, and which for there."""
        backend = self.backend_id.with_context(active_test=False)
        unused = backend._unused_codes()
        rows = backend.credential_ids.filtered(
            lambda row: row.kind == "typed" and row.code not in unused
        )
        words = dict(rows._fields["status"]._description_selection(self.env))
        stored = {(row.code, row.environment): row.status for row in rows}
        here = self.environment
        there = "sandbox" if here == "production" else "production"
        names = dict(backend._fields["environment"]._description_selection(self.env))
        line = Markup("<tr><td>%s</td><td>%s</td><td>%s</td></tr>")
        lines = [line % ("", names.get(here, ""), names[there])]
        for row in rows.filtered(lambda row: row.environment == here):
            empty = "missing" if row.required else "optional"
            status = stored.get((row.code, there), empty)
            lines.append(line % (row.name, words[row.status], words[status]))
        return Markup('<table class="table table-sm">%s</table>') % Markup("").join(lines)

    @api.model
    def _action_ask(self, backend):
        """Return the action that asks before ``backend`` is switched."""
        wizard = self.create([{"backend_id": backend.id, "base_url": backend.other_base_url}])
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "integration_base.integration_switch_environment_action"
        )
        return {**action, "res_id": wizard.id}

    def action_switch(self):
        """Switch the backend; its credentials there are completed and tested afterwards.

        :returns: a client action that says what is left to do.
        :raises UserError: while work is going on, or as long as something was not answered.
        """
        self.ensure_one()
        backend = self.backend_id
        backend.check_access("write")
        if backend.state == "active":
            raise UserError(
                self.env._(
                    "The backend was connected again meanwhile. Press Switch Environment again."
                )
            )
        running = self.env["integration.sync.log"].search_count(
            [("backend_id", "=", backend.id), ("state", "=", "running")], limit=1
        )
        if running:
            raise UserError(
                self.env._("The last operations are being finished. Try again in a few seconds.")
            )
        if not self.account and (self.binding_count or self.waiting_count):
            raise UserError(
                self.env._("Say whether the records there are the same ones as here or others.")
            )
        backend._switch_environment(self.base_url, self.account == "same")
        names = dict(backend._fields["environment"]._description_selection(self.env))
        message = self.env._("It is not connected yet, and has a new address for notifications.")
        return backend._action_tell(
            "warning",
            self.env._("Switched to %s", names[backend.environment]),
            f"{message} {backend._by_hand_advice()}",
            sticky=True,
        )
