from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Domain


class IntegrationWebhookReplay(models.TransientModel):
    """Processes stored notifications once more: some that were selected, or all of a time."""

    _name = "integration.webhook.replay"
    _description = "Process Notifications Again"

    event_ids = fields.Many2many("integration.webhook.event", string="Selected")
    backend_id = fields.Many2one("integration.backend")
    topic = fields.Char(help="As the service names it, e.g. orders/create. Empty: all.")
    date_from = fields.Datetime(
        string="Received from",
        default=lambda self: fields.Datetime.subtract(fields.Datetime.now(), days=1),
    )
    date_to = fields.Datetime(string="until", default=fields.Datetime.now)
    force = fields.Boolean(
        string="Write even what did not change",
        help="Also records that are equal on both sides are written to Odoo again.",
    )
    is_selection = fields.Boolean(compute="_compute_is_selection")
    count = fields.Integer(string="Notifications", compute="_compute_count")

    @api.depends("event_ids")
    def _compute_is_selection(self):
        for wizard in self:
            wizard.is_selection = bool(wizard.event_ids)

    @api.depends("event_ids", "backend_id", "topic", "date_from", "date_to")
    def _compute_count(self):
        for wizard in self:
            wizard.count = self.env["integration.webhook.event"].search_count(wizard._domain())

    def _domain(self):
        """Return the domain of the notifications meant; none while the range is incomplete."""
        self.ensure_one()
        replayable = self.env["integration.webhook.event"]._replayable()
        if self.event_ids:
            return replayable & Domain("id", "in", self.event_ids.ids)
        if not (self.backend_id and self.date_from and self.date_to):
            return Domain.FALSE
        domain = (
            replayable
            & Domain("backend_id", "=", self.backend_id.id)
            & Domain("received_at", ">=", self.date_from)
            & Domain("received_at", "<=", self.date_to)
        )
        if self.topic:
            domain &= Domain("topic", "=", self.topic.strip())
        return domain

    def action_replay(self):
        """Process the notifications again and show the operations that came of it."""
        self.ensure_one()
        if not self.env.user.has_group("integration_base.group_integration_operator"):
            raise UserError(self.env._("Processing again needs the role Integration Operator."))
        # oldest first, as they came
        events = self.env["integration.webhook.event"].search(self._domain(), order="id")
        if not events:
            raise UserError(
                self.env._(
                    "There is nothing to process again: refused notifications and those from "
                    "before a switch to another account never are, and no other one was received "
                    "in this time."
                )
            )
        events._replay(self.force)
        return self.env["integration.sync.log"]._action_show(
            [("webhook_event_id", "in", events.ids), ("trigger", "=", "manual")]
        )
