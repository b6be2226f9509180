from odoo import api, fields, models


class IntegrationAlert(models.Model):
    """Something a person has to know about a flow: open until its cause is gone.

    One open alert, one to-do for the responsible person, however many operations fail.
    """

    _name = "integration.alert"
    _description = "Integration Alert"
    _order = "closed_at desc, id desc"
    _rec_name = "message"

    backend_id = fields.Many2one("integration.backend", required=True, ondelete="cascade")
    flow_id = fields.Many2one("integration.flow", ondelete="cascade", index=True)
    company_id = fields.Many2one(related="backend_id.company_id", store=True, index=True)
    kind = fields.Selection([("failures", "Failed operations")], required=True, readonly=True)
    message = fields.Char(required=True, readonly=True)
    count = fields.Integer(readonly=True)
    opened_at = fields.Datetime(required=True, readonly=True, default=fields.Datetime.now)
    closed_at = fields.Datetime(readonly=True)

    _open_unique = models.UniqueIndex("(flow_id, kind) WHERE closed_at IS NULL")

    @api.model
    def _refresh_failures(self, flow_ids):
        """Open, update or close the alert about the failed operations of each flow."""
        # sudo: alerts follow from the log, whoever changed it
        self = self.sudo()
        if not flow_ids:
            return
        rows = self.env["integration.sync.log"]._read_group(
            [("flow_id", "in", flow_ids), ("state", "=", "dead")], ["flow_id"], ["__count"]
        )
        failures = dict(rows)
        opened = self.search([("flow_id", "in", flow_ids), ("closed_at", "=", False)])
        for alert in opened:
            count = failures.pop(alert.flow_id, 0)
            if count:
                alert.write({"count": count, "message": alert.flow_id._failure_message(count)})
            else:
                alert.closed_at = fields.Datetime.now()
                alert.backend_id.activity_ids.filtered(
                    lambda a, flow=alert.flow_id: a.summary == flow._failure_summary()
                ).action_feedback(feedback=self.env._("No failed operations are left."))
        for flow, count in failures.items():
            message = flow._failure_message(count)
            self.create(
                {
                    "backend_id": flow.backend_id.id,
                    "flow_id": flow.id,
                    "kind": "failures",
                    "message": message,
                    "count": count,
                }
            )
            note = self.env._("Each failed operation says what to do next, under Review.")
            flow.backend_id._remind_owner(flow._failure_summary(), note, flow._owner())

    def action_open_failed(self):
        """Open the failed operations behind the alert."""
        self.ensure_one()
        return self.flow_id.action_open_failed()
