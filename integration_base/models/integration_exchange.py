import time
from contextvars import ContextVar

from odoo import fields, models
from odoo.tools import SQL

from ..lib.errors import RetryableError

#: Exchanges of the batch being worked on; written once, with its outcome.
collected_exchanges: ContextVar[list | None] = ContextVar("integration_exchanges", default=None)
#: Until when (monotonic seconds) the batch being worked on may begin calls; None for ever.
calls_until: ContextVar[float | None] = ContextVar("integration_calls_until", default=None)


def check_time():
    """Refuse to begin a call that its job may not live to see the end of.

    :raises RetryableError: the batch is tried again, in smaller parts.
    """
    until = calls_until.get()
    if until is not None and time.monotonic() > until:
        raise RetryableError(
            "The service is so slow that not all of the records could be asked for in time. It is "
            "tried again with fewer at once.",
            outcome="not_sent",
        )


def record_exchange(backend, exchange):
    """Keep an HTTP exchange of ``backend`` whatever happens to the present transaction.

    :param exchange: ``lib.http.ExchangeRecord``, already redacted.
    """
    collected = collected_exchanges.get()
    if collected is not None:
        collected.append((backend.id, backend.company_id.id, exchange))
        return
    with backend.env.registry.cursor() as cr:
        insert_exchanges(cr, None, [(backend.id, backend.company_id.id, exchange)])


def _header_lines(headers):
    return "\n".join(f"{name}: {value}" for name, value in (headers or {}).items())


def insert_exchanges(cr, batch_ref, exchanges):
    """Write collected exchanges by one INSERT.

    :param list exchanges: tuples ``(backend id, company id, ExchangeRecord)``.
    """
    if not exchanges:
        return
    rows = SQL(", ").join(
        SQL(
            "(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            backend_id,
            company_id,
            batch_ref,
            exchange.started_at,
            exchange.label,
            exchange.method,
            exchange.url,
            _header_lines(exchange.request_headers),
            exchange.request_body,
            exchange.status,
            _header_lines(exchange.response_headers),
            exchange.response_body,
            exchange.duration_ms,
            exchange.error or None,
        )
        for backend_id, company_id, exchange in exchanges
    )
    cr.execute(
        SQL(
            "INSERT INTO integration_exchange (backend_id, company_id, batch_ref, at, name, method,"
            " url, request_headers, request_body, status, response_headers, response_body,"
            " duration_ms, error) VALUES %s",
            rows,
        )
    )


class IntegrationExchange(models.Model):
    """One HTTP request and its answer, redacted before it was stored."""

    _name = "integration.exchange"
    _description = "HTTP Exchange"
    _order = "id desc"
    _rec_name = "url"
    _log_access = False

    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade"
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

    _at_index = models.Index("(backend_id, at, id)")
    _failed_index = models.Index("(backend_id, id) WHERE status >= 400 OR status IS NULL")

    def action_open_operations(self):
        """Open the operations this exchange was made for."""
        return self.env["integration.sync.log"]._action_show(
            [("batch_ref", "in", self.mapped("batch_ref"))]
        )
