from markupsafe import Markup

from odoo import api, fields, models

from ..lib.text_diff import changed_lines

_COLORS = {"-": "text-danger", "+": "text-success", "@": "text-muted"}


class IntegrationSyncEdit(models.Model):
    """Who changed the data of an operation by hand, what, when and why. Never changed itself."""

    _name = "integration.sync.edit"
    _description = "Edited Data"
    _order = "id desc"
    _log_access = False

    operation_id = fields.Many2one(
        "integration.sync.log", required=True, readonly=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one("res.company", required=True, readonly=True, index=True)
    at = fields.Datetime(required=True, readonly=True, default=fields.Datetime.now)
    user_id = fields.Many2one("res.users", string="Edited by", required=True, readonly=True)
    reason = fields.Text(required=True, readonly=True)
    original = fields.Text(string="Data Received", readonly=True, prefetch=False)
    edited = fields.Text(string="Edited Data", required=True, readonly=True, prefetch=False)
    diff = fields.Html(string="Changes", compute="_compute_diff", sanitize=False)

    @api.depends("original", "edited")
    def _compute_diff(self):
        for edit in self:
            edit.diff = self._diff(edit.original, edit.edited)

    @api.model
    def _diff(self, original, edited):
        """Return the lines that differ between two JSON texts as HTML."""
        lines = Markup("").join(
            Markup('<div class="%s">%s</div>') % (_COLORS.get(line[:1], ""), line)
            for line in changed_lines(original or "", edited or "")
        )
        return (
            lines
            and Markup(
                '<div class="font-monospace text-break" style="white-space: pre-wrap">%s</div>'
            )
            % lines
        )
