import base64
import logging

import psycopg2

from odoo import api, fields, models
from odoo.tools import SQL

from ..lib.errors import IntegrationError, InvalidPayloadError

_logger = logging.getLogger(__name__)


class IntegrationWebhookEvent(models.Model):
    """One notification, stored before it is believed. Unique by the service's event id."""

    _name = "integration.webhook.event"
    _description = "Webhook Event"
    _order = "id desc"
    _rec_name = "topic"
    _log_access = False

    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade"
    )
    company_id = fields.Many2one("res.company", required=True, readonly=True, index=True)
    event_id = fields.Char(required=True, readonly=True)
    topic = fields.Char(readonly=True)
    triggered_at = fields.Datetime(readonly=True)
    received_at = fields.Datetime(required=True, readonly=True, index=True)
    body = fields.Text(
        readonly=True,
        groups="integration_base.group_integration_operator",
        help="Byte for byte as received; base64 where it is not text.",
    )
    body_is_base64 = fields.Boolean(readonly=True)
    state = fields.Selection(
        [
            ("accepted", "Accepted"),
            ("unknown", "Unknown Topic"),
            ("unreadable", "Unreadable"),
            ("refused", "Refused"),
        ],
        required=True,
        readonly=True,
    )
    message = fields.Text(readonly=True)
    count = fields.Integer(
        string="Deliveries", readonly=True, default=1, help="Refused ones are counted per hour."
    )
    operation_ids = fields.One2many("integration.sync.log", "webhook_event_id", readonly=True)

    _event_unique = models.Constraint(
        "UNIQUE(backend_id, event_id)", "This event is already stored."
    )

    # === COMPUTE METHODS === #

    @api.depends("topic", "state")
    def _compute_display_name(self):
        states = dict(self._fields["state"]._description_selection(self.env))
        for event in self:
            event.display_name = event.topic or states.get(event.state, "")

    # === RECEIVING === #

    @api.model
    def _receive(self, backend, headers, body):
        """Verify a notification, store it and append its operations.

        :param headers: mapping of request headers, case-insensitive.
        :param bytes body: the raw body.
        :returns: the new event, empty when it was stored before.
        :raises WebhookRefused: when it is not authentic.
        """
        connector = backend._connector()
        connector._verify_webhook(backend, headers, body)
        envelope = connector._read_webhook_headers(backend, headers, body)
        text, is_base64 = self._body_text(body)
        self.env.cr.execute(
            SQL(
                "INSERT INTO integration_webhook_event (backend_id, company_id, event_id, topic,"
                " triggered_at, received_at, body, body_is_base64, state, count)"
                " VALUES (%s, %s, %s, %s, %s, clock_timestamp() AT TIME ZONE 'UTC', %s, %s,"
                " 'accepted', 1) ON CONFLICT (backend_id, event_id) DO NOTHING RETURNING id",
                backend.id,
                backend.company_id.id,
                envelope.event_id,
                envelope.topic,
                envelope.triggered_at,
                text,
                is_base64,
            )
        )
        row = self.env.cr.fetchone()
        if not row:
            return self.browse()
        event = self.browse(row[0])
        event._interpret(backend, envelope.topic, body)
        return event

    @api.model
    def _refuse(self, backend, error, remote_address):
        """Count a notification that is not authentic: one row per hour and reason, no body."""
        self.env.cr.execute(
            SQL(
                "INSERT INTO integration_webhook_event AS e (backend_id, company_id, event_id,"
                " received_at, state, message, count) VALUES (%s, %s,"
                " 'refused ' || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24') ||"
                " ' ' || md5(%s), clock_timestamp() AT TIME ZONE 'UTC', 'refused', %s, 1)"
                " ON CONFLICT (backend_id, event_id) DO UPDATE SET count = e.count + 1,"
                " received_at = EXCLUDED.received_at, message = EXCLUDED.message",
                backend.id,
                backend.company_id.id,
                str(error),
                self.env._(
                    "%(reason)s Last sent from %(address)s. If the service itself sent it, the "
                    "secret stored in the backend is not the one it signs with.",
                    reason=error,
                    address=remote_address,
                ),
            )
        )

    def _interpret(self, backend, topic, body):
        """Append the operations an authentic notification stands for.

        A body that cannot be read becomes a failed operation: somebody has to look at it.
        """
        connector = backend._connector()
        Operation = self.env["integration.sync.log"]
        try:
            notification = self._parse(connector, backend, topic, body)
        except IntegrationError as error:
            self._set_state("unreadable", error.message)
            flow = backend.flow_ids.filtered(
                lambda f: f.resource == connector._connector_topics.get(topic)
            )[:1]
            if not flow:
                return Operation
            operation = Operation._append_rejected(flow, self.id, error)
            self.env["integration.incident"]._refresh(flow.ids)
            return operation
        flow = backend.flow_ids.filtered(
            lambda f: f.resource == notification.resource and f.direction == "in"
        )[:1]
        if not flow:
            self._set_state("unknown", self.env._("No flow of this backend handles the topic."))
            return Operation
        self._set_state("accepted", None)
        flow._wake_after_commit()
        return Operation._append(flow, [notification.change], "webhook", self.id)

    def _parse(self, connector, backend, topic, body):
        """Return what the connector reads; an error nobody expected is one of the notification.

        It is stored and shown like an unreadable one: refused, it would be lost.

        :raises IntegrationError: when it cannot be read.
        """
        try:
            return connector._parse_webhook(backend, topic, body)
        except (IntegrationError, psycopg2.Error):
            raise
        except Exception as error:
            _logger.exception("Notification %s of %s", self.event_id, backend.display_name)
            raise InvalidPayloadError(
                self.env._(
                    "A notification (%(topic)s) could not be read: %(error)s. It is kept. Press "
                    "Retry once; if it fails again, show this page to your integrator.",
                    topic=topic,
                    error=f"{type(error).__name__}: {error}",
                )
            ) from error

    def _interpret_again(self, operation):
        """Read the notification once more; replaces the failed ``operation``.

        :returns: the operations due now.
        """
        self.ensure_one()
        operation.write({"state": "merged"})
        return self._interpret(self.backend_id, self.topic, self._raw_body()).filtered(
            lambda op: op.state == "pending"
        )

    def _set_state(self, state, message):
        self.env.cr.execute(
            SQL(
                "UPDATE integration_webhook_event SET state = %s, message = %s"
                " WHERE id = %s AND (state, message) IS DISTINCT FROM (%s, %s)",
                state,
                message,
                self.id,
                state,
                message,
            )
        )
        self.invalidate_recordset(["state", "message"])

    # === BODY === #

    @api.model
    def _body_text(self, body):
        """Return ``(text, is_base64)``: PostgreSQL takes neither NUL nor broken UTF-8."""
        try:
            text = body.decode()
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text:
            return base64.b64encode(body).decode(), True
        return text, False

    def _raw_body(self):
        """Return the body as received (bytes)."""
        self.ensure_one()
        # sudo: read for the connector, not for the user
        text = self.sudo().body or ""
        return base64.b64decode(text) if self.body_is_base64 else text.encode()

    # === ACTIONS === #

    def action_open_operations(self):
        """Open the operations of this notification."""
        return self.env["integration.sync.log"]._action_show([("webhook_event_id", "in", self.ids)])
