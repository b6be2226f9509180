import base64
import hashlib
import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

import psycopg2

from odoo import SUPERUSER_ID, api, fields, models
from odoo.fields import Domain
from odoo.tools import SQL, ormcache

from ..lib.errors import IntegrationError, InvalidPayloadError, WebhookRefused
from ..lib.records import Change, PrivacyNotice, WebhookHeaders
from .integration_engine import LOCK_SEAT, LOCK_SLOT, MAX_SLOTS
from .integration_sync_log import READERS, FlowKey

_logger = logging.getLogger(__name__)

#: Notifications that are read again at a time.
CHUNK = 200
#: Longest id and topic that are stored as they are; longer ones do not fit into an index.
MAX_ID = 255


class UnknownAddress(LookupError):
    """No connected backend has this token."""


class NotAuthentic(WebhookRefused):
    """A notification is not signed with the secret of the backend."""


class Target(NamedTuple):
    """What receiving a notification needs to know of its backend.

    :param connector: model name of the connector.
    :param flows: ``{resource: FlowKey}`` of the flows into Odoo.
    :param credentials: ``{code: [(ciphertext, previous ciphertext, until)]}``, still encrypted.
    :param environment: ``sandbox`` or ``production``.
    """

    backend_id: int
    company_id: int
    connector: str
    flows: dict
    credentials: dict
    environment: str


class Refusal(NamedTuple):
    """A notification that was not taken, to be counted.

    :param reason: refusals of one reason are counted together.
    :param message: the reason, the sender and what to do, for the person who looks at it.
    """

    backend_id: int
    company_id: int
    reason: str
    message: str


class Reading(NamedTuple):
    """What a notification means: ``change`` in ``flow``, ``privacy``, or why there is none."""

    state: str
    message: str | None = None
    flow: FlowKey | None = None
    change: Change | None = None
    error: IntegrationError | None = None
    privacy: PrivacyNotice | None = None


#: What cannot be read of a request about personal data.
UNREADABLE_REQUEST = PrivacyNotice("manual")


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
    received_at = fields.Datetime(required=True, readonly=True)
    body = fields.Text(
        readonly=True,
        groups=READERS,
        help="Byte for byte as received; base64 where it is not text.",
    )
    body_is_base64 = fields.Boolean(readonly=True)
    body_digest = fields.Char(readonly=True)
    id_reused = fields.Boolean(
        string="Id Used Twice",
        readonly=True,
        help="The service had sent another body under the same id before.",
    )
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
        string="Deliveries",
        readonly=True,
        default=1,
        help="How often the service sent it. Refused ones are counted per hour, without those that "
        "were turned away unread because their sender had been refused too often.",
    )
    operation_ids = fields.One2many("integration.sync.log", "webhook_event_id", readonly=True)
    replay_count = fields.Integer(string="Processed Again", readonly=True, aggregator=None)
    replayed_at = fields.Datetime(string="Last Processed Again", readonly=True)
    replayed_by_id = fields.Many2one("res.users", string="Processed Again by", readonly=True)

    _received_index = models.Index("(backend_id, received_at, id)")
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
    def _answer(self, token, headers, body, remote_address):
        """Take a notification in.

        Costs one statement, and one more after the commit that looks whether somebody is at work;
        one that is refused costs none.

        :param str token: the last part of the address.
        :param headers: mapping of request headers, case-insensitive.
        :param bytes body: the raw body; None when it was too large to be read.
        :param str remote_address: where it came from, for the person who looks at refused ones.
        :returns: the HTTP status, and the :class:`Refusal` to count afterwards or None.
        """
        tokens = self._tokens()
        is_known = token in tokens
        if not tokens:
            return 401 if body is not None else 413, None
        try:
            # At an address that does not exist the same is done as at one that does, or the time
            # would tell them apart.
            target = self._read_target(token if is_known else next(iter(tokens)))
        except UnknownAddress:
            return 401, None
        backend = (
            self.env["integration.backend"]
            # a hook that needs one field of the backend shall not read them all
            .with_context(allowed_company_ids=[target.company_id], prefetch_fields=False)
            .browse(target.backend_id)
        )
        Event = backend.env[self._name]
        status, refusal = Event._judge(backend, headers, body, target, remote_address, is_known)
        return status, refusal if is_known else None

    @api.model
    def _judge(self, backend, headers, body, target, remote_address, is_known):
        """Verify a notification, and store it if its address is known; see :meth:`_answer`."""
        if body is None:
            reason = self.env._("It is larger than we read.")
            return 413, self._refusal(target, reason, remote_address)
        try:
            if not is_known:
                self._authenticate(backend, headers, body, target)
                raise WebhookRefused("")
            self._receive(backend, headers, body, target)
        except NotAuthentic as error:
            advice = self.env._(
                "If the service itself sent it, the secret stored in the backend is not the one "
                "it signs with."
            )
            return 401, self._refusal(target, error.message, remote_address, advice)
        except WebhookRefused as error:
            return 401, self._refusal(target, error.message, remote_address)
        except IntegrationError as error:
            if not is_known:
                return 401, None
            # our own setting is wrong (a missing secret, say): the service shall send it again
            _logger.warning("Webhook of backend %s: %s", backend.id, error.message)
            return 503, self._refusal(target, error.message, remote_address)
        return 200, None

    @api.model
    def _target(self, token):
        """Return the :class:`Target` of an address.

        Known and unknown ones are told apart in memory, in the same time: guesses cost no query.

        Writing a backend, a flow or a credential clears the caches (:meth:`_forget_targets`).

        :raises UnknownAddress: when there is none, or the backend is not connected.
        """
        if token not in self._tokens():
            raise UnknownAddress
        return self._read_target(token)

    @api.model
    @ormcache()
    def _tokens(self):
        """Return the tokens of all connected backends (frozenset)."""
        # sudo: nobody is logged in, and the tokens do not leave this model
        backends = self.env["integration.backend"].sudo().search([("state", "!=", "draft")])
        return frozenset(backends.mapped("webhook_token"))

    @api.model
    @ormcache("token")
    def _read_target(self, token):
        backend = (
            self.env["integration.backend"]
            .sudo()  # sudo: nobody is logged in, the token is the permission
            .search([("webhook_token", "=", token), ("state", "!=", "draft")], limit=1)
        )
        if not backend:
            raise UnknownAddress
        flows = backend.flow_ids.filtered(lambda flow: flow.direction == "in")
        credentials = {}
        for row in backend._credential_rows().filtered(lambda row: row.kind == "typed"):
            credentials[row.code] = row._stored()
        return Target(
            backend.id,
            backend.company_id.id,
            backend._connector()._name,
            {flow.resource: self._flow_key(flow) for flow in flows},
            credentials,
            backend.environment,
        )

    @api.model
    def _forget_targets(self):
        """Have the targets read again, by this transaction and by all others once it is committed.

        Until then another thread may have kept what it still saw.
        """
        registry = self.env.registry
        registry.clear_cache()
        self.env.cr.postcommit.add(registry.clear_cache)

    @api.model
    def _flow_key(self, flow):
        return FlowKey(flow.id, flow.backend_id.id, flow.company_id.id, flow.resource)

    @api.model
    def _receive(self, backend, headers, body, target=None):
        """Verify a notification, store it and append its operation: one statement.

        :param headers: mapping of request headers, case-insensitive.
        :param bytes body: the raw body.
        :param Target target: what is known about the backend already.
        :returns: the new event, empty when it was stored before; one for each backend it is for.
        :raises WebhookRefused: when it is not authentic.
        """
        if target is None:
            # sudo: the address is a secret of managers
            target = self._target(backend.sudo().webhook_token)
        connector = self._authenticate(backend, headers, body, target)
        envelope = self._read_envelope(connector, backend, headers, body)
        self._check_fresh(connector, envelope)
        events = self.browse()
        for receiver in self._receivers(connector, backend, target, envelope, headers, body):
            events |= self._take_in(connector, *receiver, envelope, body)
        return events

    @api.model
    def _receivers(self, connector, backend, target, envelope, headers, body):
        """Return whom an authentic notification is for, as pairs ``(backend, Target)``.

        Nobody else than the backend at whose address it arrived, unless the connector says so and
        the secret of the other one proves it, too.

        :raises WebhookRefused: when the connector does not want it.
        """
        try:
            wanted = connector._webhook_backends(backend, envelope.topic, headers, body)
        except (WebhookRefused, psycopg2.Error):
            raise
        except Exception:
            # authentic: refused, it would be lost
            _logger.exception("Receivers of a notification, backend %s", backend.id)
            wanted = backend
        receivers = []
        for other in wanted - backend:
            other = other.with_context(allowed_company_ids=other.company_id.ids)
            try:
                # sudo: the address is a secret of managers
                other_target = self._target(other.sudo().webhook_token)
                self._authenticate(other, headers, body, other_target)
                self._check_environment(other_target, envelope)
            except (UnknownAddress, IntegrationError):
                _logger.warning("Not taken by backend %s", other.id, exc_info=True)
            else:
                receivers.append((other, other_target))
        if backend in wanted or not receivers:
            self._check_environment(target, envelope)
            receivers.append((backend, target))
        return receivers

    @api.model
    def _take_in(self, connector, backend, target, envelope, body):
        """Store an authentic notification for one backend; see :meth:`_receive`."""
        reading = self._read(connector, backend, target.flows, envelope.topic, body)
        digest = hashlib.sha256(body).hexdigest()
        event, is_new, is_same = self._store(target, envelope, reading, body, digest)
        if not is_new and not is_same:
            # Nobody but the service can have signed it, so it may be news: kept as an event of
            # its own, where somebody sees that ids cannot be relied on.
            event_id = f"{envelope.event_id[:150]} {digest}"
            envelope = WebhookHeaders(envelope.topic, event_id, envelope.triggered_at)
            event, is_new, is_same = self._store(
                target, envelope, reading, body, digest, id_reused=True
            )
        if not is_new:
            return self.browse()
        if reading.privacy:
            event._ask_privacy(backend, reading.privacy)
        elif reading.state == "accepted":
            event._wake_after_commit(reading.flow.id)
        elif reading.flow:
            event._append_unreadable(reading)
        return event

    @api.model
    def _authenticate(self, backend, headers, body, target):
        """Check that a notification is of the service of ``backend``; returns the connector.

        :raises NotAuthentic: when it is not.
        """
        backend._use_credentials(target.credentials)
        connector = self.env[target.connector]
        self._verify(connector, backend, headers, body)
        return connector

    @api.model
    def _verify(self, connector, backend, headers, body):
        """Check that a notification is authentic.

        :raises NotAuthentic: when it is not, or the connector cannot tell.
        """
        try:
            connector._verify_webhook(backend, headers, body)
        except WebhookRefused as error:
            raise NotAuthentic(error.message) from error
        except (IntegrationError, psycopg2.Error):
            raise
        except Exception as error:
            # headers nobody thought of; what is not proven is refused
            _logger.warning("Signature of a notification, backend %s", backend.id, exc_info=True)
            raise NotAuthentic(
                self.env._(
                    "The signature cannot be checked: %(error)s.", error=type(error).__name__
                )
            ) from error

    @api.model
    def _read_envelope(self, connector, backend, headers, body):
        """Return the :class:`WebhookHeaders` of an authentic notification, fit to be stored.

        What the connector fails to read is stored under the digest of the body.

        :raises WebhookRefused: when the connector does not want it.
        """
        try:
            envelope = connector._read_webhook_headers(backend, headers, body)
        except (WebhookRefused, psycopg2.Error):
            raise
        except Exception:
            # authentic: refused, it would be lost
            _logger.exception("Headers of a notification, backend %s", backend.id)
            envelope = WebhookHeaders("", "")
        topic = self._storable(envelope.topic)[:MAX_ID]
        event_id = self._storable(envelope.event_id)
        if not event_id or len(event_id) > MAX_ID:
            event_id = hashlib.sha256(event_id.encode() or body).hexdigest()
        return replace(envelope, topic=topic, event_id=event_id)

    @api.model
    def _check_fresh(self, connector, envelope):
        """Refuse a notification that was signed too long ago, or in the future: a replay.

        :raises WebhookRefused: when the service signs the time and it is not about now.
        """
        if not envelope.signed_at:
            return
        signed_at = envelope.signed_at
        if not signed_at.tzinfo:
            signed_at = signed_at.replace(tzinfo=UTC)
        age = datetime.now(UTC) - signed_at
        if abs(age) > connector._connector_webhook_tolerance:
            raise WebhookRefused(
                self.env._(
                    "The notification was signed at another time than now: it is sent a second "
                    "time by somebody, or the clock of this server is wrong."
                )
            )

    @api.model
    def _check_environment(self, target, envelope):
        """Refuse an event of a test account at a live backend, and the reverse.

        :raises WebhookRefused: when the service says where it is from, and it is not from there.
        """
        if envelope.environment in (None, target.environment):
            return
        raise WebhookRefused(
            self.env._("It is a test event, and this backend is in production.")
            if envelope.environment == "sandbox"
            else self.env._("It is a live event, and this backend is a sandbox.")
        )

    @api.model
    def _store(self, target, envelope, reading, body, digest, id_reused=False):
        """Insert an event together with its operation, unless the event is there.

        :returns: ``(event, whether it is new, whether its body is this one)``.
        """
        text, is_base64 = self._body_text(body)
        operation = SQL("SELECT NULL::int AS id WHERE false")
        if reading.change:
            Operation = self.env["integration.sync.log"]
            operation = SQL(
                "INSERT INTO integration_sync_log (%s) SELECT %s FROM event WHERE is_new"
                " RETURNING id",
                Operation._row_columns(),
                Operation._row_values(
                    reading.flow,
                    "record",
                    reading.change.external_id,
                    reading.change,
                    None,
                    "webhook",
                    SQL("event.id"),
                ),
            )
        self.env.cr.execute(
            SQL(
                "WITH event AS ("
                "INSERT INTO integration_webhook_event AS e (backend_id, company_id, event_id,"
                " topic, triggered_at, received_at, body, body_is_base64, body_digest, id_reused,"
                " state, message, count)"
                " VALUES (%s, %s, %s, %s, %s, clock_timestamp() AT TIME ZONE 'UTC', %s, %s, %s,"
                " %s, %s, %s, 1)"
                " ON CONFLICT (backend_id, event_id) DO UPDATE SET count = e.count + 1"
                # a row that was there has been locked by this transaction
                " RETURNING e.id, e.xmax = 0 AS is_new, e.body_digest = %s AS is_same"
                "), operation AS (%s) SELECT id, is_new, is_same FROM event",
                target.backend_id,
                target.company_id,
                envelope.event_id,
                envelope.topic,
                envelope.triggered_at,
                text,
                is_base64,
                digest,
                id_reused,
                reading.state,
                reading.message,
                digest,
                operation,
            )
        )
        event_id, is_new, is_same = self.env.cr.fetchone()
        return self.browse(event_id), is_new, is_same is not False

    @api.model
    def _refusal(self, target, reason, remote_address, advice=""):
        """Return the :class:`Refusal` of a notification."""
        reason = self._storable(reason)
        message = self.env._(
            "%(reason)s Last sent from %(address)s. %(advice)s",
            reason=reason,
            address=self._storable(remote_address),
            advice=advice,
        )
        return Refusal(target.backend_id, target.company_id, reason, message.strip())

    @api.model
    def _count_refused(self, refusal, times=1):
        """Count refused notifications: one row per hour and reason, no body."""
        self.env.cr.execute(
            SQL(
                "INSERT INTO integration_webhook_event AS e (backend_id, company_id, event_id,"
                " received_at, state, message, count) SELECT b.id, %s,"
                " 'refused ' || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24') ||"
                " ' ' || md5(%s), clock_timestamp() AT TIME ZONE 'UTC', 'refused', %s, %s"
                # it may have been deleted since
                " FROM integration_backend b WHERE b.id = %s"
                " ON CONFLICT (backend_id, event_id) DO UPDATE SET count = e.count + %s,"
                " received_at = EXCLUDED.received_at, message = EXCLUDED.message",
                refusal.company_id,
                refusal.reason,
                refusal.message,
                times,
                refusal.backend_id,
                times,
            )
        )

    # === UNDERSTANDING === #

    @api.model
    def _read(self, connector, backend, flows, topic, body):
        """Return the :class:`Reading` of an authentic notification; never raises for its body.

        :param flows: ``{resource: FlowKey}`` of the backend.
        """
        try:
            notification = self._parse(connector, backend, topic, body)
        except IntegrationError as error:
            message = self._storable(error.message)
            if topic in connector._connector_privacy_topics:
                return Reading("unreadable", message, privacy=UNREADABLE_REQUEST)
            flow = flows.get(connector._connector_topics.get(topic))
            return Reading("unreadable", message, flow, error=error)
        if notification.privacy:
            message = self.env._("A request about personal data: see Privacy > Requests.")
            return Reading("accepted", message, privacy=notification.privacy)
        flow = flows.get(notification.resource)
        if not flow:
            return Reading("unknown", self.env._("No flow of this backend handles the topic."))
        return Reading("accepted", None, flow, notification.change)

    def _parse(self, connector, backend, topic, body):
        """Return what the connector reads; an error nobody expected is one of the notification.

        It is stored and shown like an unreadable one: refused, it would be lost.

        :raises IntegrationError: when it cannot be read.
        """
        try:
            notification = connector._parse_webhook(backend, topic, body)
            if notification.resource:
                self._check_change(notification.change)
        except (IntegrationError, psycopg2.Error):
            raise
        except Exception as error:
            _logger.warning("Notification %r, backend %s", topic, backend.id, exc_info=True)
            raise InvalidPayloadError(
                self.env._(
                    "A notification (%(topic)s) could not be read: %(error)s. It is kept. Have it "
                    "processed again once; if it fails again, show this page to your integrator.",
                    topic=topic,
                    error=f"{type(error).__name__}: {error}",
                )
            ) from error
        return notification

    @api.model
    def _check_change(self, change):
        """Refuse ids that no database can keep.

        :raises InvalidPayloadError: when there is none, or it is not one.
        """
        external_id = change.external_id
        if (
            not isinstance(external_id, str)
            or not 0 < len(external_id) <= MAX_ID
            or external_id != self._storable(external_id)
            or change.label != self._storable(change.label)
        ):
            raise InvalidPayloadError(
                self.env._(
                    "A notification names a record by an id that cannot be one. It is kept. Press "
                    "Retry once; if it fails again, show this page to your integrator."
                )
            )

    def _ask_privacy(self, backend, notice):
        """Store what the service asks for on behalf of a person; the cron works on it.

        What was asked for by this notification is not asked for again, whoever has it processed
        once more: personal data is handed out and erased on the word of the service alone.
        """
        # sudo: requests are written by the code alone
        Request = self.env["integration.privacy.request"].sudo()
        known = Request.search(self._same_requests(backend, notice))
        if notice != UNREADABLE_REQUEST:
            # what could not be read is no longer for a person
            unread = known.filtered(lambda request: request.kind == "manual" and request._is_open())
            unread._close(self.env._("The notification could be read."))
            known -= unread
        if known:
            return
        # sudo: the service asks, its signature was checked
        backend = backend.sudo()
        privacy = self.env["integration.privacy"]
        terms = privacy._terms(
            backend.company_id,
            contacts=notice.contacts,
            records={(backend.id, resource, key) for resource, key in notice.records},
            backend=backend if notice.kind == "erase_all" else None,
        )
        Request._store(
            backend.company_id,
            notice.kind,
            terms,
            backend_id=backend.id,
            event_id=self.id,
            reference=notice.reference or False,
        )

    def _same_requests(self, backend, notice):
        """Return the domain of the requests by which what is asked for is stored already."""
        asked = Domain("event_id", "=", self.id)
        # sent once more under another id, while it waits
        asked |= Domain("event_id.body_digest", "=", self.body_digest) & Domain(
            "state", "not in", ("done", "closed")
        )
        if notice.reference:
            asked |= Domain("kind", "=", notice.kind) & Domain("reference", "=", notice.reference)
        return Domain("backend_id", "=", backend.id) & asked

    def _append_unreadable(self, reading):
        """Add a failed operation: somebody has to look at the notification."""
        operation = self.env["integration.sync.log"]._append_rejected(
            self.env["integration.flow"].browse(reading.flow.id), self.id, reading.error
        )
        self.env["integration.incident"]._refresh([reading.flow.id])
        return operation

    def _interpret_again(self, operation):
        """Read the notification once more; replaces the failed ``operation``.

        :returns: the operations due now.
        """
        self.ensure_one()
        operation.write({"state": "merged"})
        return self._interpret().filtered(lambda op: op.state == "pending")

    def _interpret(self, trigger="webhook", force=False):
        """Append the operations that stored notifications stand for, and wake their flows.

        :param str trigger: of the operations.
        :param force: write the records even if they did not change.
        :returns: the new operations; failed ones of notifications that cannot be read.
        """
        operations = self.env["integration.sync.log"]
        rows, flow_ids = [], set()
        for backend, events in self.grouped("backend_id").items():
            flows = {
                flow.resource: self._flow_key(flow)
                for flow in backend.flow_ids
                if flow.direction == "in"
            }
            connector = backend._connector()
            for event in events:
                reading = self._read(connector, backend, flows, event.topic, event._raw_body())
                event._set_state(reading.state, reading.message)
                if reading.privacy:
                    event._ask_privacy(backend, reading.privacy)
                elif reading.change:
                    flow_ids.add(reading.flow.id)
                    rows.append((reading.flow, reading.change, event.id))
                elif reading.flow:
                    operations |= event._append_unreadable(reading)
        if rows:
            operations |= operations._append_for_events(rows, trigger, force)
            self.env["integration.flow"].browse(flow_ids)._wake_after_commit()
        return operations

    def _replay(self, force=False):
        """Process stored notifications once more; what they point at is read anew.

        Nothing is doubled: operations of one record are merged, and what did not change ends
        without effect. Who asked for it is kept on the notification and on the operations. What
        is asked for on behalf of a person was asked for once (:meth:`_ask_privacy`).

        :param force: write the records even if they did not change.
        :returns: the number of notifications processed, see :meth:`_replayable`.
        """
        Operation = self.env["integration.sync.log"]
        # sudo: operators may have work done again, the log itself is closed to them
        authentic = self.sudo().filtered_domain(self._replayable())
        for start in range(0, len(authentic), CHUNK):
            events = authentic[start : start + CHUNK]
            # sudo: what could not be read is replaced, as by its own button Retry
            Operation.sudo().search(
                [("webhook_event_id", "in", events.ids), ("external_id", "=", False)]
            ).filtered(lambda op: op.state in ("dead", "ignored")).write({"state": "merged"})
            events._interpret("manual", force)
            for event in events:
                event.replay_count += 1
            events.write({"replayed_at": fields.Datetime.now(), "replayed_by_id": self.env.uid})
            events.flush_recordset()
            # bodies are large
            events.invalidate_recordset(["body"])
        self.env["integration.incident"]._refresh(authentic.backend_id.flow_ids.ids)
        return len(authentic)

    @api.model
    def _replayable(self):
        """Return the domain of what may be processed again: authentic, and of this account."""
        others = self.env["integration.backend"]._of_other_accounts("received_at")
        return Domain("state", "!=", "refused") & ~others

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

    # === WAKING === #

    @api.model
    def _wake_after_commit(self, flow_id):
        """Wake the flow once the event is committed, unless somebody will look anyway.

        In a burst that is one cheap query for each notification instead of a job.
        """
        cr, registry = self.env.cr, self.env.registry

        @cr.postcommit.add
        def wake():
            try:
                if self._needs_waking(cr, flow_id):
                    with registry.cursor() as fresh:
                        # superuser: jobs are the engine's, whoever caused the work
                        env = api.Environment(fresh, SUPERUSER_ID, {})
                        env["integration.engine"]._wake([flow_id])
            except Exception:
                # the notification is stored and must be answered 200; the heartbeat finds its
                # operation
                _logger.exception("Waking flow %s", flow_id)

    @api.model
    def _needs_waking(self, cr, flow_id):
        """Whether nobody is going to look at what was committed just now.

        A drain that waits to be started will see it. So will those that hold the flow's slots or
        the backend's seats: they look again after they have given them back.
        """
        cr.execute(
            SQL(
                """
                SELECT 1
                  FROM integration_flow f JOIN integration_backend b ON b.id = f.backend_id,
                       LATERAL (
                           SELECT count(*) FILTER (
                                      WHERE l.classid = %(slot)s
                                        AND l.objid::bigint / %(most)s = f.id) AS slots,
                                  count(*) FILTER (
                                      WHERE l.classid = %(seat)s
                                        AND l.objid::bigint / %(most)s = b.id) AS seats
                             FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                            WHERE d.datname = current_database() AND l.locktype = 'advisory'
                              AND l.objsubid = 2 AND l.granted) taken
                 WHERE f.id = %(flow)s AND f.enabled AND b.active AND b.state = 'active'
                   AND COALESCE(f.blocked_until, '-infinity')
                       <= clock_timestamp() AT TIME ZONE 'UTC'
                   AND NOT EXISTS (SELECT 1 FROM queue_job
                                    WHERE identity_key = %(key)s AND eta IS NULL
                                      AND state IN ('pending', 'enqueued'))
                   AND taken.slots < %(wanted)s AND taken.seats < b.max_drains
                """,
                flow=flow_id,
                key=f"integration.drain.{flow_id}",
                slot=LOCK_SLOT,
                seat=LOCK_SEAT,
                most=MAX_SLOTS,
                wanted=self.env["integration.engine"]._slots_now(),
            )
        )
        return bool(cr.fetchone())

    # === BODY === #

    @api.model
    def _storable(self, text):
        """Return ``text`` without what PostgreSQL refuses: NUL and halves of characters."""
        text = str(text or "")
        return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()

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

    def action_replay(self):
        """Ask for confirmation, then process the selected notifications once more."""
        self.check_access("read")
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "integration_base.integration_webhook_replay_action"
        )
        action["context"] = {"default_event_ids": self.ids}
        return action

    def action_open_operations(self):
        """Open the operations of this notification."""
        self.check_access("read")
        return self.env["integration.sync.log"]._action_show([("webhook_event_id", "in", self.ids)])
