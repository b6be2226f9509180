import contextlib
import json
import logging
from contextvars import ContextVar
from datetime import timedelta

import psycopg2

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from ..lib.digest import digest
from ..lib.errors import ConflictError, IntegrationError, NotReadyError, RetryableError
from ..lib.intents import (
    LATE_SECONDS,
    intent_key,
    intent_of,
    needs_fresh_key,
    outcome_of,
    seconds_to_wait,
    service_key,
)
from ..lib.redact import Redactor
from .integration_sync_log import ERROR_CLASSES

_logger = logging.getLogger(__name__)

#: First key of the advisory lock (session) that one process holds on an intent.
LOCK_INTENT = 0x1A7EB
#: Seconds after which somebody who found the intent in use looks again.
BUSY_SECONDS = 5

#: Keys of the intents this thread has open.
_open_keys: ContextVar[frozenset] = ContextVar("integration_open_intents", default=frozenset())


class Intent:
    """One call that must not be repeated, opened by ``backend._intent(...)``.

    :meth:`send` is the only thing to do with it, exactly once.
    """

    def __init__(self, cr, backend, record, key, values, request):
        self._cr = cr
        self._backend = backend
        self._record = record
        self._key = key
        self._values = values
        self._request = (
            backend._connector()._redactor().data(request) if request is not None else None
        )
        self._request_digest = digest(request) if request is not None else None
        self._title = backend.env._(
            "%(action)s of %(record)s", action=values["action"], record=values["label"]
        )
        self._sent = False

    def send(self, call, recover, *, late_seconds=LATE_SECONDS):
        """Bring the effect about, at most once, and return what the service answered.

        The intent is committed before ``call`` and its outcome after it, in transactions of their
        own: when the work around it is rolled back, the next try gets the stored result without a
        call. After a lost answer (time-out, killed process) ``recover`` is asked first.

        :param call: called with the idempotency key (text to send along); does the HTTP call and
            returns what has to be remembered of the answer: JSON-able, not None, best only ids.
        :param recover: called with the idempotency key of the lost call; asks the service and
            returns what ``call`` would have, or None when it certainly was not carried out.
            Raises NotReadyError when that cannot be told yet.
        :param late_seconds: how long after its start a call without an answer may still be carried
            out, so that None is believed only after that; 0 for a service that honours the key.
        :raises NotReadyError: when the outcome of an earlier call cannot be told yet.
        :raises ConflictError: when an earlier call had another ``request``.
        :raises IntegrationError: what ``call`` and ``recover`` raise.
        """
        if self._sent:
            raise RuntimeError(f"{self._title}: send() was called twice; open a second intent")
        self._sent = True
        known = self._known()
        if known and known["outcome"] == "sent":
            self._refuse_changes(known)
            return json.loads(known["result"])
        try_number, repeated = 1, False
        if known:
            try_number = known["try_number"]
            lost = known["outcome"] in ("new", "unknown")
            if lost:
                found = self._find(known, recover)
                if found is not None:
                    return found
            changed = lost and self._is_changed(known)
            fresh = changed or needs_fresh_key(known["outcome"], known["repeated"])
            if lost:
                self._wait_for_late(known, late_seconds, fresh)
            try_number += fresh
            repeated = lost and not fresh
        self._announce(try_number, repeated)
        return self._call(call, service_key(self._key, try_number))

    def _known(self):
        self._cr.execute(
            SQL(
                "SELECT outcome, result, request, request_digest, try_number, repeated,"
                " extract(epoch FROM clock_timestamp() AT TIME ZONE 'UTC' - started_at)::float"
                " AS elapsed FROM integration_intent"
                " WHERE idempotency_key = %s AND backend_id = %s",
                self._key,
                self._backend.id,
            )
        )
        known = self._cr.dictfetchone()
        self._cr.commit()  # pylint: disable=invalid-commit
        return known

    def _find(self, known, recover):
        """Return what the lost call brought about, None when nothing; stores it."""
        sent_key = service_key(self._key, known["try_number"])
        found = self._backend._with_renewed_auth(lambda: recover(sent_key))
        if found is None:
            return None
        result = self._plain(found, "recover")
        self._store("sent", result)
        self._refuse_changes(known)
        return json.loads(result)

    def _wait_for_late(self, known, late_seconds, fresh):
        wait = seconds_to_wait(known["elapsed"], late_seconds, fresh, LATE_SECONDS)
        if wait:
            raise NotReadyError(
                self._backend.env._(
                    "%(title)s: the answer of %(backend)s was lost. It has not been carried out so "
                    "far, but the request may still arrive, so it is sent again a little later.",
                    title=self._title,
                    backend=self._backend.display_name,
                ),
                retry_after=wait,
            )

    def _is_changed(self, known):
        return bool(
            self._request_digest
            and known["request_digest"]
            and self._request_digest != known["request_digest"]
        )

    def _refuse_changes(self, known):
        """:raises ConflictError: when what was carried out is not what is asked for now."""
        if self._is_changed(known):
            raise ConflictError(
                self._backend.env._(
                    "%(title)s was already carried out, with other contents. Carried out: "
                    "%(before)s. Asked for now: %(after)s. Nothing was sent. Undo the change in "
                    "Odoo, or make a new document for the difference.",
                    title=self._title,
                    before=known["request"],
                    after=self._request_text(),
                )
            )

    def _request_text(self):
        if self._request is None or isinstance(self._request, str):
            return self._request
        return json.dumps(self._request, ensure_ascii=False, default=str)

    def _announce(self, try_number, repeated):
        """Commit that the call is about to be made."""
        self._cr.execute(
            SQL(
                """
                INSERT INTO integration_intent AS i
                       (backend_id, company_id, action, res_model, res_id, label,
                        idempotency_key, request, request_digest, outcome, try_number, repeated,
                        attempts, create_date, started_at, operation_id, batch_ref)
                SELECT %(backend)s, %(company)s, %(action)s, %(res_model)s, %(res_id)s, %(label)s,
                       %(key)s, %(request)s, %(digest)s, 'new', %(number)s,
                       %(repeated)s, 1, %(now)s, %(now)s, o.id, o.batch_ref
                  FROM (SELECT 1) AS once
             LEFT JOIN LATERAL (
                       SELECT id, batch_ref FROM integration_sync_log
                        WHERE backend_id = %(backend)s AND state = 'running'
                          AND res_model = %(res_model)s AND res_id = %(res_id)s
                        ORDER BY id DESC LIMIT 1) AS o ON TRUE
                    ON CONFLICT (idempotency_key, backend_id) DO UPDATE
                   SET outcome = 'new', try_number = EXCLUDED.try_number,
                       repeated = EXCLUDED.repeated, attempts = i.attempts + 1,
                       started_at = EXCLUDED.started_at, finished_at = NULL,
                       request = EXCLUDED.request, request_digest = EXCLUDED.request_digest,
                       label = EXCLUDED.label,
                       operation_id = COALESCE(EXCLUDED.operation_id, i.operation_id),
                       batch_ref = COALESCE(EXCLUDED.batch_ref, i.batch_ref)
                """,
                backend=self._backend.id,
                company=self._backend.company_id.id,
                action=self._values["action"],
                res_model=self._record._name,
                res_id=self._record.id,
                label=self._values["label"],
                key=self._key,
                request=self._request_text(),
                digest=self._request_digest,
                now=SQL("clock_timestamp() AT TIME ZONE 'UTC'"),
                number=try_number,
                repeated=repeated,
            )
        )
        self._cr.commit()  # pylint: disable=invalid-commit

    def _call(self, call, key):
        try:
            answer = self._backend._with_renewed_auth(lambda: call(key))
            result = self._plain(answer, "call")
        except BaseException as error:
            try:
                self._store(outcome_of(error), error=error)
            except psycopg2.Error:
                # "new" is treated as unknown by the next try
                _logger.warning("%s: the outcome could not be stored", self._title, exc_info=True)
            raise
        try:
            self._store("sent", result)
        except psycopg2.Error as error:
            raise RetryableError(
                self._backend.env._(
                    "%s was sent, but the answer could not be stored. It is looked up at the "
                    "service before anything is sent again.",
                    self._title,
                ),
                detail=str(error),
            ) from error
        return json.loads(result)

    def _plain(self, result, source):
        if result is None and source == "call":
            raise TypeError(
                f"{self._title}: call() returned None; return the id of what was made, because "
                "recover() says by None that nothing was"
            )
        # ASCII: what PostgreSQL does not take (NUL, halves of characters) stays escaped
        return json.dumps(result, allow_nan=False)

    def _store(self, outcome, result=None, error=None):
        try:
            self._write_outcome(self._cr, outcome, result, error)
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            # the call takes long enough for a connection to get lost
            with self._backend.env.registry.cursor() as cr:
                self._write_outcome(cr, outcome, result, error)

    def _write_outcome(self, cr, outcome, result, error):
        kind, text = self._backend.env["integration.intent"]._explain(error)
        cr.execute(
            SQL(
                "UPDATE integration_intent SET outcome = %s, result = %s, error_class = %s,"
                " error = %s, finished_at = clock_timestamp() AT TIME ZONE 'UTC'"
                " WHERE idempotency_key = %s AND backend_id = %s",
                outcome,
                result,
                kind,
                text,
                self._key,
                self._backend.id,
            )
        )
        cr.commit()  # pylint: disable=invalid-commit


class IntegrationIntent(models.Model):
    """A call that must not be repeated: written down before it is made, with its outcome after.

    Anything that costs money, cannot be undone, or creates something at a service goes through
    here: ``backend._intent(...)`` for a connector, :meth:`_begin`, :meth:`_recover` and
    :meth:`_settle` for the engine's batches of creations. Rows are written by SQL in committed
    transactions of their own; the operation is no foreign key, because it is forgotten earlier.
    """

    _name = "integration.intent"
    _description = "Unrepeatable Call"
    _order = "id desc"
    _rec_name = "label"
    _log_access = False

    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one("res.company", required=True, readonly=True, index=True)
    action = fields.Char(required=True, readonly=True)
    resource = fields.Char(readonly=True)
    res_model = fields.Char(string="Model", required=True, readonly=True)
    res_id = fields.Many2oneReference(
        string="Odoo Record", model_field="res_model", required=True, readonly=True
    )
    label = fields.Char(string="Record", readonly=True)
    operation_id = fields.Integer(readonly=True, aggregator=None)
    batch_ref = fields.Char(readonly=True)
    idempotency_key = fields.Char(
        required=True,
        readonly=True,
        help="Names the effect. What is sent to the service is this, with the number of the try "
        "from the second one on.",
    )
    try_number = fields.Integer(
        string="Try",
        required=True,
        readonly=True,
        aggregator=None,
        help="A refused or undone call is tried again under another key.",
    )
    repeated = fields.Boolean(
        readonly=True, help="The last call repeated the key of one whose answer was lost."
    )
    request = fields.Text(readonly=True)
    request_digest = fields.Char(readonly=True)
    outcome = fields.Selection(
        [
            ("new", "Under Way"),
            ("sent", "Done"),
            ("not_sent", "Not sent"),
            ("unknown", "Unknown"),
            ("refused", "Refused"),
            ("void", "Undone"),
        ],
        required=True,
        readonly=True,
    )
    result = fields.Text(readonly=True)
    attempts = fields.Integer(string="Calls", readonly=True, aggregator=None)
    error_class = fields.Selection(ERROR_CLASSES, string="Kind of Failure", readonly=True)
    error = fields.Text(readonly=True)
    create_date = fields.Datetime(string="Since", readonly=True)
    started_at = fields.Datetime(string="Last Call", readonly=True)
    finished_at = fields.Datetime(readonly=True)
    is_lost = fields.Boolean(compute="_compute_is_lost", search="_search_is_lost")

    # the key contains the backend; first, because settling a batch looks up by the key alone
    _key_unique = models.Constraint(
        "UNIQUE(idempotency_key, backend_id)", "This call is already known."
    )
    _record_index = models.Index("(res_model, res_id)")
    _open_index = models.Index("(backend_id) WHERE outcome IN ('new', 'unknown')")

    # === COMPUTE METHODS === #

    @api.depends("action", "label")
    def _compute_display_name(self):
        for intent in self:
            intent.display_name = self.env._(
                "%(action)s of %(record)s", action=intent.action, record=intent.label
            )

    def _lost_since(self):
        return fields.Datetime.now() - timedelta(seconds=5 * LATE_SECONDS)

    @api.depends("outcome", "started_at")
    def _compute_is_lost(self):
        """Whether nobody knows what became of it, nor is it still being made."""
        limit = self._lost_since()
        for intent in self:
            intent.is_lost = intent.outcome == "unknown" or (
                intent.outcome == "new" and intent.started_at < limit
            )

    def _search_is_lost(self, operator, value):
        if operator != "in":
            return NotImplemented
        return [
            "|",
            ("outcome", "=", "unknown"),
            "&",
            ("outcome", "=", "new"),
            ("started_at", "<", self._lost_since()),
        ]

    # === KEYS === #

    @api.model
    def _key(self, backend, action, record, key=None):
        # sudo: system parameters are for administrators, the key is for every user's call
        database = self.env["ir.config_parameter"].sudo().get_param("database.uuid")
        return intent_key(database, backend.id, action, record._name, record.id, key)

    @api.model
    def _creation_key(self, backend, resource, record):
        return self._key(backend, "create", record, f"resource {resource}")

    @api.model
    def _explain(self, error):
        """Return ``(kind, text)`` to store of an error, or two times None."""
        if error is None:
            return None, None
        kind = error.error_class if isinstance(error, IntegrationError) else "bug"
        text = getattr(error, "message", None) or f"{type(error).__name__}: {error}"
        return kind, self.env["integration.engine"]._storable(Redactor().text(text))

    # === ONE CALL === #

    @api.model
    @contextlib.contextmanager
    def _open(self, backend, action, record, key, request):
        """See ``integration.backend._intent``."""
        record.ensure_one()
        if not isinstance(record.id, int):
            raise ValueError(f"an intent needs a saved record, not {record}")
        backend._ensure_callable()
        name = self._key(backend, action, record, key)
        if name in _open_keys.get():
            raise RuntimeError(f"{action} of {record} is already open: intents cannot be nested")
        label = record.display_name or f"{record._name} {record.id}"
        opened = _open_keys.set(_open_keys.get() | {name})
        try:
            with self._locked(name, backend, action, label) as cr:
                self._check_committed(cr, action, record)
                values = {"action": action, "label": label}
                intent = Intent(cr, backend, record, name, values, request)
                yield intent
                if not intent._sent:
                    raise RuntimeError(f"{action} of {record}: the intent was left without send()")
        finally:
            _open_keys.reset(opened)

    @contextlib.contextmanager
    def _locked(self, name, backend, action, label):
        """Yield a cursor whose session holds the intent's lock.

        That its connection gets lost during the call changes nothing: the outcome is stored over
        another one.

        :raises NotReadyError: when another process holds it.
        """
        used, failure = False, None
        try:
            with self.env["integration.engine"]._control_cursor() as cr:
                cr.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", [LOCK_INTENT, name])
                if not cr.fetchone()[0]:
                    raise NotReadyError(
                        self.env._(
                            "%(action)s of %(record)s is being sent to %(backend)s at this moment. "
                            "Look again in some seconds.",
                            action=action,
                            record=label,
                            backend=backend.display_name,
                        ),
                        retry_after=BUSY_SECONDS,
                    )
                cr.commit()  # pylint: disable=invalid-commit
                try:
                    yield cr
                    used = True
                except BaseException as error:
                    failure = error
                    raise
                finally:
                    self._unlock(cr, name)
        except psycopg2.InterfaceError:
            if failure is not None:
                raise failure
            if not used:
                raise

    def _unlock(self, cr, name):
        try:
            cr.rollback()
            cr.execute("SELECT pg_advisory_unlock(%s, hashtext(%s))", [LOCK_INTENT, name])
            cr.commit()  # pylint: disable=invalid-commit
        except psycopg2.Error:
            # it must not return to the pool with the lock
            _logger.warning("The lock of an intent is freed by closing its connection")
            cr.connection.close()

    @api.model
    def _give_up(self, backend, action, record, find, seconds, key=None):
        """Let a call be none any more that the service certainly did not carry out.

        Nobody can make it meanwhile; when it is asked for again, it is another call.

        :param find: called without arguments; returns whether the service carried it out.
        :param seconds: how long after its start a call may still be carried out.
        :returns: False when it was carried out; nothing is changed then.
        :raises NotReadyError: while it is being made, or may still be carried out.
        :raises IntegrationError: what ``find`` raises.
        """
        record.ensure_one()
        name, label = self._key(backend, action, record, key), record.display_name
        with self._locked(name, backend, action, label) as cr:
            intent = Intent(cr, backend, record, name, {"action": action, "label": label}, None)
            known = intent._known()
            if known and known["outcome"] == "sent":
                return False
            if find():
                return False
            if known and known["elapsed"] < seconds:
                raise NotReadyError(
                    self.env._(
                        "%(backend)s has not carried out %(title)s so far, but the request may "
                        "still arrive.",
                        backend=backend.display_name,
                        title=intent._title,
                    ),
                    retry_after=seconds - known["elapsed"],
                )
            intent._store("void")
        return True

    def _check_committed(self, cr, action, record):
        """Refuse a record that a rollback would replace by another one.

        Its successor would have another key, and the service would do everything twice.
        """
        cr.execute(SQL("SELECT 1 FROM %s WHERE id = %s", SQL.identifier(record._table), record.id))
        if not cr.fetchone():
            raise RuntimeError(
                f"{action}: {record} is not committed yet. Send it from an operation or a second "
                "request, or take a record that exists already and a key."
            )
        cr.commit()  # pylint: disable=invalid-commit

    # === BATCHES OF CREATIONS === #

    @api.model
    def _begin(self, cr, backend, resource, items, token):
        """Write down that records are about to be created at the service; commits.

        Sets ``item.idempotency_key``, and ``item.external_id`` where an earlier try is known to
        have succeeded: leave those out of the creation. At most two statements.

        :param cr: cursor that is not the one of the work, e.g. the engine's control cursor.
        :param str resource: code of the resource.
        :param list[Item] items: with ``record`` and without ``external_id``.
        :param str token: the batch, to find its exchanges again.
        :returns: the items of which an earlier try has an unknown outcome; hand them to
            :meth:`_recover` before anything is sent.
        """
        if not items:
            return []
        by_key = {self._creation_key(backend, resource, item.record): item for item in items}
        known = self._known(cr, backend, list(by_key))
        lost, fresh = [], []
        for key, item in by_key.items():
            item.announced = False
            row = known.get(key)
            number = 1
            if row:
                number = row["try_number"] + needs_fresh_key(row["outcome"], False)
            item.idempotency_key = service_key(key, number)
            if row and row["outcome"] == "sent":
                item.external_id = json.loads(row["result"])
            elif row and row["outcome"] in ("new", "unknown"):
                lost.append(item)
            else:
                item.announced = True
                fresh.append((key, number, item))
        if fresh:
            now = SQL("clock_timestamp() AT TIME ZONE 'UTC'")
            rows = SQL(", ").join(
                SQL(
                    "(%s, %s, %s, 'create', %s, %s, %s, %s, 'new', %s, FALSE, 1, %s, %s, %s, %s)",
                    backend.id,
                    backend.company_id.id,
                    resource,
                    item.record._name,
                    item.record.id,
                    item.label or item.record.display_name,
                    key,
                    number,
                    now,
                    now,
                    item.operation_id,
                    token,
                )
                for key, number, item in fresh
            )
            cr.execute(
                SQL(
                    """
                    INSERT INTO integration_intent AS i
                           (backend_id, company_id, resource, action, res_model, res_id, label,
                            idempotency_key, outcome, try_number, repeated, attempts, create_date,
                            started_at, operation_id, batch_ref)
                    VALUES %s
                        ON CONFLICT (idempotency_key, backend_id) DO UPDATE
                       SET outcome = 'new', try_number = EXCLUDED.try_number, repeated = FALSE,
                           attempts = i.attempts + 1, started_at = EXCLUDED.started_at,
                           finished_at = NULL, label = EXCLUDED.label,
                           operation_id = EXCLUDED.operation_id, batch_ref = EXCLUDED.batch_ref
                    """,
                    rows,
                )
            )
        cr.commit()  # pylint: disable=invalid-commit
        return lost

    def _known(self, cr, backend, keys):
        cr.execute(
            SQL(
                "SELECT idempotency_key, outcome, result, try_number, repeated,"
                " extract(epoch FROM clock_timestamp() AT TIME ZONE 'UTC' - started_at)::float"
                " AS elapsed FROM integration_intent"
                " WHERE idempotency_key = ANY(%s) AND backend_id = %s",
                keys,
                backend.id,
            )
        )
        return {row["idempotency_key"]: row for row in cr.dictfetchall()}

    @api.model
    def _recover(self, cr, backend, resource, items, token):
        """Find out what became of creations whose answer was lost; commits.

        Afterwards an item either has its ``external_id``, or has failed with NotReadyError because
        the lost request may still arrive, or may be sent now under its ``idempotency_key``.

        :param list[Item] items: what :meth:`_begin` returned.
        :raises IntegrationError: what the resource's ``_recover`` raises; nothing may be sent then.
        """
        if not items:
            return
        behaviour = backend._resource(resource)
        backend._with_renewed_auth(lambda: behaviour._recover(backend, items))
        for item in items:
            item.announced = bool(item.external_id)
        missing = [item for item in items if item.alive and not item.external_id]
        known = self._known(cr, backend, [intent_of(item.idempotency_key) for item in missing])
        longest = behaviour._resource_late_seconds
        late = 0 if behaviour._resource_honours_keys else longest
        again = []
        for item in missing:
            key = intent_of(item.idempotency_key)
            row = known[key]
            fresh = needs_fresh_key(row["outcome"], row["repeated"])
            wait = seconds_to_wait(row["elapsed"], late, fresh, longest)
            if wait:
                item.fail(
                    NotReadyError(
                        self.env._(
                            "%(record)s: the answer of %(backend)s was lost. It was not created so "
                            "far, but the request may still arrive, so it is sent again a little "
                            "later.",
                            record=item.label or item.record.display_name,
                            backend=backend.display_name,
                        ),
                        retry_after=wait,
                    )
                )
                continue
            number = row["try_number"] + fresh
            item.idempotency_key = service_key(key, number)
            item.announced = True
            again.append(SQL("(%s, %s, %s, %s)", key, number, not fresh, item.operation_id))
        if again:
            cr.execute(
                SQL(
                    """
                    UPDATE integration_intent i
                       SET outcome = 'new', try_number = v.try_number, repeated = v.repeated,
                           attempts = i.attempts + 1, finished_at = NULL,
                           started_at = clock_timestamp() AT TIME ZONE 'UTC',
                           operation_id = v.operation_id, batch_ref = %s
                      FROM (VALUES %s) AS v(key, try_number, repeated, operation_id)
                     WHERE i.idempotency_key = v.key AND i.backend_id = %s
                    """,
                    token,
                    SQL(", ").join(again),
                    backend.id,
                )
            )
        cr.commit()  # pylint: disable=invalid-commit

    @api.model
    def _settle(self, cr, items, error=None):
        """Write what became of creations, by one statement; commits.

        Call it whatever ``_push`` and :meth:`_recover` did, before the work's transaction begins.
        What :meth:`_recover` could not find out stays unknown.

        :param list[Item] items: those of :meth:`_begin`. With an ``external_id`` it was created;
            else ``item.error``, or ``error``, says what became of it.
        :param error: what was raised for the batch, if anything.
        """
        announced = [item for item in items if item.announced]
        if not announced:
            return
        rows = SQL(", ").join(self._settled(item, error) for item in announced)
        cr.execute(
            SQL(
                """
                UPDATE integration_intent i
                   SET outcome = v.outcome, result = v.result, error_class = v.error_class,
                       error = v.error, finished_at = clock_timestamp() AT TIME ZONE 'UTC'
                  FROM (VALUES %s) AS v(key, outcome, result, error_class, error)
                 WHERE i.idempotency_key = v.key AND i.outcome <> 'sent'
                """,
                rows,
            )
        )
        cr.commit()  # pylint: disable=invalid-commit

    def _settled(self, item, error):
        key = intent_of(item.idempotency_key)
        if item.external_id:
            return SQL("(%s, 'sent', %s, NULL, NULL)", key, json.dumps(item.external_id))
        error = item.error or error
        kind, text = self._explain(error)
        outcome = outcome_of(error) if error else "unknown"
        return SQL("(%s, %s, NULL, %s, %s)", key, outcome, kind, text)

    @api.model
    def _void(self, backend, resource, records):
        """Let records be created at the service anew: what was created is gone, or unlinked.

        In the present transaction, so that it holds if and only if the unlinking does.
        """
        keys = [self._creation_key(backend, resource, record) for record in records]
        self.env.cr.execute(
            SQL(
                "UPDATE integration_intent SET outcome = 'void' WHERE idempotency_key = ANY(%s)"
                " AND backend_id = %s AND outcome = 'sent'",
                keys,
                backend.id,
            )
        )

    # === ACTIONS === #

    def action_open_record(self):
        """Open the Odoo record the call was made for."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "res_model": self.res_model,
            "res_id": self.res_id,
            "view_mode": "form",
        }

    def action_open_operation(self):
        """Open the operation that made the last call."""
        return self.env["integration.sync.log"]._action_show(
            [("id", "in", self.mapped("operation_id"))]
        )

    def action_not_done(self):
        """Take a person's word that the service did not carry the call out.

        :raises UserError: when the outcome is known, or the user is not a manager.
        """
        if not self.env.user.has_group("integration_base.group_integration_manager"):
            raise UserError(self.env._("This needs the role Integration Manager."))
        self.check_access("read")
        for intent in self:
            if not intent.is_lost:
                raise UserError(
                    self.env._(
                        "The outcome of %s is known: nothing to decide.", intent.display_name
                    )
                )
            # sudo: nobody may write intents, this one statement apart
            intent.sudo().write(
                {
                    "outcome": "void",
                    "finished_at": fields.Datetime.now(),
                    "error_class": False,
                    "error": self.env._(
                        "%(user)s said that it was not carried out.", user=self.env.user.name
                    ),
                }
            )
