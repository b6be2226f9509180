from odoo import fields, models


class IntegrationBoundMixin(models.AbstractModel):
    """Gives an Odoo model a smart button to its bindings.

    In the form view's button box: ``<button name="action_open_integration_bindings" ...>`` with
    the field ``integration_binding_count``.
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

    def _compute_integration_binding_count(self):
        rows = self.env["integration.binding"]._read_group(
            [("res_model", "=", self._name), ("res_id", "in", self.ids)],
            ["res_id"],
            ["__count"],
        )
        counts = dict(rows)
        for record in self:
            record.integration_binding_count = counts.get(record.id, 0)

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
