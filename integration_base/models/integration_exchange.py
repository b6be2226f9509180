from odoo import fields, models


class IntegrationExchange(models.Model):
    """One HTTP request and its answer, redacted before it was stored."""

    _name = "integration.exchange"
    _description = "HTTP Exchange"
    _order = "id desc"
    _rec_name = "url"
    _log_access = False

    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one("res.company", required=True, readonly=True, index=True)
    batch_ref = fields.Char(
        readonly=True, index="btree_not_null", help="Shared by the operations it was made for."
    )
    at = fields.Datetime(required=True, readonly=True)
    name = fields.Char(string="Call", readonly=True)
    method = fields.Char(required=True, readonly=True)
    url = fields.Char(string="URL", required=True, readonly=True)
    request_headers = fields.Text(readonly=True)
    request_body = fields.Text(readonly=True)
    status = fields.Integer(readonly=True, aggregator=None)
    response_headers = fields.Text(readonly=True)
    response_body = fields.Text(readonly=True)
    duration_ms = fields.Integer(string="Milliseconds", readonly=True, aggregator="avg")
    error = fields.Text(readonly=True)

    _failed_index = models.Index("(backend_id, id) WHERE status >= 400 OR status IS NULL")

    def action_open_operations(self):
        """Open the operations this exchange was made for."""
        return self.env["integration.sync.log"]._action_show(
            [("batch_ref", "in", self.mapped("batch_ref"))]
        )
