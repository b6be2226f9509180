from odoo import fields, models

from .integration_sync_log import ERROR_CLASSES


class IntegrationSyncAttempt(models.Model):
    """One failed try of an operation."""

    _name = "integration.sync.attempt"
    _description = "Failed Attempt"
    _order = "id desc"
    _log_access = False

    operation_id = fields.Many2one(
        "integration.sync.log", required=True, readonly=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one("res.company", required=True, readonly=True, index=True)
    at = fields.Datetime(required=True, readonly=True)
    duration_ms = fields.Integer(string="Milliseconds", readonly=True, aggregator="avg")
    error_class = fields.Selection(ERROR_CLASSES, string="Kind of Failure", readonly=True)
    status = fields.Integer(
        string="HTTP Status",
        readonly=True,
        aggregator=None,
        help="Of the last call that failed; 0 when there was no answer.",
    )
    message = fields.Text(readonly=True)
    batch_ref = fields.Char(readonly=True, index="btree_not_null")
