from odoo import api, fields, models


class IntegrationBoundMixin(models.AbstractModel):
    """Gives an Odoo model smart buttons to its links and to what became of it.

    In the form view's button box: ``<button name="action_open_integration_bindings" ...>`` with
    the field ``integration_binding_count``, and ``action_open_integration_operations`` with
    ``integration_sync_state``. Whoever may read the record sees both, with the role Integration
    User.
    """

    _name = "integration.bound.mixin"
    _description = "Record Linked to External Systems"

    integration_binding_ids = fields.One2many(
        "integration.binding",
        "res_id",
        domain=lambda self: [("res_model", "=", self._name)],
        groups="integration_base.group_integration_user",
    )
    integration_binding_count = fields.Integer(
        compute="_compute_integration_binding_count",
        groups="integration_base.group_integration_user",
    )
    integration_sync_state = fields.Selection(
        [("waiting", "Waiting"), ("done", "Up to Date"), ("failed", "Failed")],
        string="Synchronisation",
        compute="_compute_integration_sync_state",
        groups="integration_base.group_integration_user",
        help="What became of the last operation on the record.",
    )

    @api.depends_context("uid")
    def _compute_integration_binding_count(self):
        rows = self.env["integration.binding"]._read_group(
            [("res_model", "=", self._name), ("res_id", "in", self.ids)],
            ["res_id"],
            ["__count"],
        )
        counts = dict(rows)
        for record in self:
            record.integration_binding_count = counts.get(record.id, 0)

    @api.depends_context("uid")
    def _compute_integration_sync_state(self):
        states = {"pending": "waiting", "running": "waiting", "dead": "failed"}
        Log = self.env["integration.sync.log"]
        last = dict(
            Log._read_group(
                [
                    ("res_model", "=", self._name),
                    ("res_id", "in", self.ids),
                    # what a newer one covers, and what somebody has decided about
                    ("state", "not in", ("merged", "ignored")),
                ],
                ["res_id"],
                ["id:max"],
            )
        )
        for record in self:
            operation = Log.browse(last.get(record.id, ())).with_prefetch(last.values())
            record.integration_sync_state = operation and states.get(operation.state, "done")

    def action_open_integration_operations(self):
        """Open what became of this record in the exchange with external systems."""
        self.check_access("read")
        self.env["integration.sync.log"].check_access("read")
        self.ensure_one()
        return self.env["integration.sync.log"]._action_show(
            [("res_model", "=", self._name), ("res_id", "=", self.id)]
        )

    def action_open_integration_bindings(self):
        """Open the links of this record to external systems."""
        self.check_access("read")
        self.env["integration.binding"].check_access("read")
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "integration_base.integration_binding_action"
        )
        action["domain"] = [("res_model", "=", self._name), ("res_id", "=", self.id)]
        action["context"] = {}
        return action

    def unlink(self):
        # a link to a record that is gone would make the next import update nothing
        # sudo: whoever may delete the record need not see the integrations
        bindings = (
            self.env["integration.binding"]
            .sudo()
            .search([("res_model", "=", self._name), ("res_id", "in", self.ids)])
        )
        result = super().unlink()
        bindings.unlink()
        return result
