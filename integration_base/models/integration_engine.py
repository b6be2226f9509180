import contextlib
import logging
import time
import traceback
import uuid
from contextvars import ContextVar
from datetime import UTC, timedelta

import psycopg2
from psycopg2.extensions import ISOLATION_LEVEL_READ_COMMITTED, TransactionRollbackError

from odoo import SUPERUSER_ID, api, fields, models
from odoo.exceptions import RedirectWarning, UserError
from odoo.sql_db import Cursor
from odoo.tools import SQL

from ..lib.backoff import next_delay, parse_http_date
from ..lib.digest import fingerprint
from ..lib.errors import (
    AuthError,
    ConfigurationError,
    IntegrationError,
    MappingError,
    NotReadyError,
    RateLimitedError,
    RetryableError,
    SkipRecord,
)
from ..lib.records import Item

_logger = logging.getLogger(__name__)

#: First key of the advisory locks: slots of a flow (session), claims of a flow and records
#: (transaction). Any constants will do, as long as nobody else uses them in the database.
LOCK_SLOT = 0x1A7E6
LOCK_CLAIM = 0x1A7E7
LOCK_RECORD = 0x1A7E8
#: Parallel drains a flow may have; slot numbers are flow id x MAX_SLOTS + n.
MAX_SLOTS = 8
#: Seconds one drain works before it makes room; far below Odoo's limit_time_real (120 s).
DRAIN_SECONDS = 30
#: Seconds a claim is good for; longer than any batch.
LEASE_SECONDS = 300
#: Longest break a service asks for that a job waits for; longer ones end with a heartbeat.
SHORT_BREAK_SECONDS = 30
#: Tries of one batch when PostgreSQL reports a conflict with another transaction.
CONFLICT_TRIES = 6
#: Process deaths after which an operation is left to a person.
MAX_CRASHES = 5
#: Longest that an operation waits for something that is not ready.
MAX_NOT_READY = timedelta(days=3)

#: How long a service may tell of a record before it shows it.
READ_LAG = timedelta(seconds=30)
#: How long after its time stamp a version has to be read to be the last one of that second.
READ_MARGIN = timedelta(seconds=3)
#: What our clock and that of a service that does not tell its time may differ by.
CLOCK_SKEW = timedelta(minutes=2)

#: Exchanges of the batch being worked on; written once, with its outcome.
_exchanges: ContextVar[list | None] = ContextVar("integration_exchanges", default=None)


class LeaseLost(Exception):
    """Somebody else has taken over the batch; whatever we did is rolled back."""


def record_exchange(backend, exchange):
    """Keep an HTTP exchange of ``backend`` whatever happens to the present transaction.

    :param exchange: ``lib.http.ExchangeRecord``, already redacted.
    """
    collected = _exchanges.get()
    if collected is not None:
        collected.append((backend.id, backend.company_id.id, exchange))
        return
    with backend.env.registry.cursor() as cr:
        _insert_exchanges(cr, None, [(backend.id, backend.company_id.id, exchange)])


def _header_lines(headers):
    return "\n".join(f"{name}: {value}" for name, value in (headers or {}).items())


def _insert_exchanges(cr, batch_ref, exchanges):
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


class IntegrationEngine(models.AbstractModel):
    """Claims due operations and runs them in batches.

    Operations are rows, jobs are vehicles: a queue job is one *drain* of a flow. Three kinds of
    cursors, never mixed:

    * the job's own cursor is used for nothing but registry and configuration: its snapshot is
      older than any claim made during the drain;
    * a *control* cursor (READ COMMITTED) claims, and writes what must survive a rollback:
      attempts, errors, exchanges;
    * each batch has a *work* cursor of its own, opened after the claim and the fetch. The effect
      and the state ``done`` commit together, guarded by the claim's token.

    A flow has slots; holding a slot is a session advisory lock, so PostgreSQL itself tells which
    drains are alive.
    """

    _name = "integration.engine"
    _description = "Integration Engine"

    # === WAKING === #

    @api.model
    def _wake_after_commit(self, flow_ids):
        """Enqueue a drain of each flow once the present transaction is committed.

        Not within it: a job that exists already could end before our commit, and the new
        operations would wait for the heartbeat.
        """
        waiting = self.env.cr.postcommit.data.get("integration_flows")
        if waiting is None:
            waiting = self.env.cr.postcommit.data["integration_flows"] = set()
            registry = self.env.registry

            @self.env.cr.postcommit.add
            def wake():
                try:
                    with registry.cursor() as cr:
                        api.Environment(cr, SUPERUSER_ID, {})["integration.engine"]._wake(waiting)
                except Exception:
                    # what caused the work is committed and must not look failed; the heartbeat
                    # finds the operations
                    _logger.exception("Waking flows %s", sorted(waiting))

        waiting.update(flow_ids)

    @api.model
    def _wake(self, flow_ids, seconds=0):
        """Enqueue a drain of each flow in the present transaction, unless one is enqueued.

        Two of one flow do no harm: the second finds no free slot.

        :param seconds: not before so many seconds have passed.
        """
        for flow in self.env["integration.flow"].browse(sorted(flow_ids)):
            self._enqueue(
                flow,
                "_job_drain",
                key=f"integration.drain.{flow.id}",
                description=f"Drain flow {flow.id}",
                seconds=seconds,
                priority=flow.priority,
            )

    @api.model
    def _enqueue(self, records, method, *, key, description, seconds=0, priority=None):
        """Enqueue a job in the present transaction; the one place that knows the job queue.

        Jobs are vehicles: they carry no data, may run twice or never, and must not fail. What has
        to be done stands in rows.

        :param records: what the method is called on.
        :param str method: private method, registered as a job function.
        :param str key: while a job with this key waits to be run, no second one is added.
        :param seconds: not before so many seconds have passed.
        :param int priority: lower runs first, 10 is usual.
        """
        job = records.with_delay(
            identity_key=key,
            description=description,
            max_retries=0,
            eta=seconds or None,
            priority=priority,
        )
        getattr(job, method)()

    # === CURSORS === #

    @contextlib.contextmanager
    def _control_cursor(self):
        """Open a cursor whose statements see what others have committed in the meantime."""
        with self.env.registry.cursor() as cr:
            # within Odoo's tests all cursors share one transaction and have no level of their own
            if isinstance(cr, Cursor):
                cr.connection.set_isolation_level(ISOLATION_LEVEL_READ_COMMITTED)
            yield cr

    @contextlib.contextmanager
    def _slot(self, ctl, flow_id, numbers):
        """Hold a free slot of the flow; yields its number, or None when all are taken.

        :param numbers: the slots to try, in this order.
        """
        slot = None
        for number in numbers:
            ctl.execute(
                "SELECT pg_try_advisory_lock(%s, %s)", [LOCK_SLOT, flow_id * MAX_SLOTS + number]
            )
            if ctl.fetchone()[0]:
                slot = number
                break
        ctl.commit()  # pylint: disable=invalid-commit
        try:
            yield slot
        finally:
            if slot is not None:
                self._unlock_slot(ctl, flow_id, slot)

    def _unlock_slot(self, ctl, flow_id, slot):
        """Give the slot back; a connection that cannot must not return to the pool with it."""
        try:
            ctl.rollback()
            ctl.execute(
                "SELECT pg_advisory_unlock(%s, %s)", [LOCK_SLOT, flow_id * MAX_SLOTS + slot]
            )
            ctl.commit()  # pylint: disable=invalid-commit
        except psycopg2.Error:
            _logger.warning("Slot %s of flow %s is freed by closing its connection", slot, flow_id)
            ctl.connection.close()

    def _work_context(self, backend):
        return {
            "allowed_company_ids": [backend.company_id.id],
            "integration_import": True,
            "tracking_disable": True,
            "mail_create_nosubscribe": True,
            "lang": backend.company_id.partner_id.lang or self.env.lang or "en_US",
        }

    def _work_env(self, cr, flow_id):
        """Return the flow and its backend in an environment of their company on ``cr``.

        Superuser: who may start an import need not be allowed to write what it writes.
        """
        flow = api.Environment(cr, SUPERUSER_ID, {})["integration.flow"].browse(flow_id)
        flow = flow.with_context(**self._work_context(flow.backend_id))
        return flow, flow.backend_id

    # === DRAINING === #

    @api.model
    def _drain(self, flow_id, budget=DRAIN_SECONDS):
        """Run due operations of a flow until none is left or the time is over.

        :returns: text for the job's result.
        """
        try:
            return self._drain_flow(flow_id, budget)
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            # a job that fails stays failed; the operations are freed by the next heartbeat
            _logger.warning("flow %s: drain ended without its database: %s", flow_id, error)
            return "The database was not available."

    def _drain_flow(self, flow_id, budget):
        end = time.monotonic() + budget
        done = 0
        with self._control_cursor() as ctl:
            ctl.execute("SELECT slots FROM integration_flow WHERE id = %s", [flow_id])
            row = ctl.fetchone()
            if not row:
                return "The flow is gone."
            with self._slot(ctl, flow_id, range(row[0])) as slot:
                if slot is None:
                    return "Another drain is at work."
                while time.monotonic() < end:
                    token, operations = self._claim(ctl, flow_id, slot)
                    if not operations:
                        break
                    done += len(operations)
                    self._run(ctl, flow_id, token, operations)
            left, wait = self._is_due(ctl, flow_id), self._blocked_for(ctl, flow_id)
        if left or wait:
            with self.env.registry.cursor() as cr:
                api.Environment(cr, SUPERUSER_ID, {})[self._name]._wake([flow_id], wait)
        return f"{done} operations"

    def _blocked_for(self, ctl, flow_id):
        """Return the seconds (rounded up) the service asked this flow to wait, 0 for none.

        Longer breaks are left to the heartbeat.
        """
        ctl.execute(
            "SELECT ceil(extract(epoch FROM"
            " blocked_until - clock_timestamp() AT TIME ZONE 'UTC'))::int"
            " FROM integration_flow WHERE id = %s AND blocked_until IS NOT NULL",
            [flow_id],
        )
        seconds = (ctl.fetchone() or [0])[0]
        return seconds if 0 < seconds <= SHORT_BREAK_SECONDS else 0

    def _open_flow(self):
        """Return the condition (SQL over flow ``f`` and backend ``b``) for work to be allowed."""
        return SQL("f.enabled AND b.active AND b.state = 'active'")

    def _due(self):
        """Return the condition (SQL over operation ``o`` and flow ``f``) for it to be time."""
        return SQL(
            "o.next_attempt_at <= clock_timestamp() AT TIME ZONE 'UTC'"
            " AND COALESCE(f.blocked_until, '-infinity') <= clock_timestamp() AT TIME ZONE 'UTC'"
        )

    def _free_record(self):
        """Return the condition (SQL over operation ``o``) for nobody to work on its record."""
        return SQL(
            "NOT EXISTS (SELECT 1 FROM integration_sync_log r WHERE r.flow_id = o.flow_id"
            " AND r.key = o.key AND r.state = 'running')"
        )

    def _is_due(self, ctl, flow_id):
        """Whether a drain would find work; a record that is being worked on has to wait."""
        ctl.execute(
            SQL(
                """
                SELECT EXISTS (
                    SELECT 1 FROM integration_sync_log o
                      JOIN integration_flow f ON f.id = o.flow_id
                      JOIN integration_backend b ON b.id = f.backend_id
                     WHERE o.flow_id = %s AND o.state = 'pending' AND %s AND %s AND %s)
                """,
                flow_id,
                self._open_flow(),
                self._due(),
                self._free_record(),
            )
        )
        return ctl.fetchone()[0]

    @api.model
    def _flows_to_wake(self):
        """Return the ids of flows with due operations and a free slot."""
        self.env.cr.execute(
            SQL(
                """
                SELECT f.id
                  FROM integration_flow f JOIN integration_backend b ON b.id = f.backend_id
                 WHERE %(open)s
                   AND EXISTS (SELECT 1 FROM integration_sync_log o
                                WHERE o.flow_id = f.id AND o.state = 'pending' AND %(due)s)
                   AND f.slots > (SELECT count(*)
                                    FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                                   WHERE d.datname = current_database()
                                     AND l.locktype = 'advisory' AND l.classid = %(lock)s
                                     AND l.objsubid = 2 AND l.granted
                                     AND l.objid::bigint / %(slots)s = f.id)
                """,
                open=self._open_flow(),
                due=self._due(),
                lock=LOCK_SLOT,
                slots=MAX_SLOTS,
            )
        )
        return [row[0] for row in self.env.cr.fetchall()]

    def _claim(self, ctl, flow_id, slot, operation_id=None):
        """Take due operations: lease, count the attempt, merge, commit.

        The waiting operations of one record are merged into the last, whose version becomes the
        newest of them, or unknown when one of them does not tell: notifications arrive in any
        order, and what the last one says may be long known. Operations whose process
        died are tried in ever smaller batches, so that the guilty one soon stands alone.

        :param operation_id: claim this one only, due or not.
        :returns: ``(token, [dict of the operation])``, an empty list when nothing is due.
        """
        token = uuid.uuid4().hex
        ctl.execute("SELECT pg_advisory_xact_lock(%s, %s)", [LOCK_CLAIM, flow_id])
        due = SQL("o.id = %s", operation_id) if operation_id else self._due()
        ctl.execute(
            SQL(
                """
                SELECT o.id, o.key, o.kind, o.crashes, f.batch_size
                  FROM integration_sync_log o
                  JOIN integration_flow f ON f.id = o.flow_id
                  JOIN integration_backend b ON b.id = f.backend_id
                 WHERE o.flow_id = %s AND o.state = 'pending' AND %s AND %s AND %s
                 ORDER BY o.crashes, o.priority, o.next_attempt_at, o.id
                 LIMIT (SELECT batch_size FROM integration_flow WHERE id = %s)
                   FOR NO KEY UPDATE OF o SKIP LOCKED
                """,
                flow_id,
                due,
                self._open_flow(),
                self._free_record(),
                flow_id,
            )
        )
        heads = ctl.dictfetchall()
        if not heads:
            ctl.commit()  # pylint: disable=invalid-commit
            return token, []
        first = heads[0]
        size = max(1, first["batch_size"] >> 2 * first["crashes"])
        if first["kind"] == "listing":
            size = 1
        keys = []
        for head in heads:
            alike = (head["kind"], head["crashes"]) == (first["kind"], first["crashes"])
            if alike and head["key"] not in keys and len(keys) < size:
                keys.append(head["key"])
        ctl.execute(
            SQL(
                """
                WITH waiting AS (
                    SELECT id, key, attempts, crashes, force, external_updated_at
                      FROM integration_sync_log
                     WHERE flow_id = %(flow)s AND key = ANY(%(keys)s) AND state = 'pending'
                       FOR NO KEY UPDATE SKIP LOCKED
                ), leader AS (
                    SELECT max(id) AS id, key, max(attempts) AS attempts, max(crashes) AS crashes,
                           bool_or(force) AS force, max(external_updated_at) AS updated_at,
                           bool_or(external_updated_at IS NULL) AS unknown
                      FROM waiting GROUP BY key
                ), merged AS (
                    UPDATE integration_sync_log o
                       SET state = 'merged', merged_into_id = leader.id,
                           finished_at = clock_timestamp() AT TIME ZONE 'UTC'
                      FROM waiting JOIN leader USING (key)
                     WHERE o.id = waiting.id AND waiting.id <> leader.id
                )
                UPDATE integration_sync_log o
                   SET state = 'running', claim_token = %(token)s, batch_ref = %(token)s,
                       slot = %(slot)s, attempts = leader.attempts + 1, crashes = leader.crashes,
                       force = leader.force, external_updated_at = leader.updated_at,
                       started_at = clock_timestamp() AT TIME ZONE 'UTC',
                       claimed_until = (clock_timestamp() + %(lease)s * interval '1 second')
                                       AT TIME ZONE 'UTC'
                  FROM leader WHERE o.id = leader.id
             RETURNING o.id, o.kind, o.key, o.external_id, o.label, o.attempts, o.crashes, o.force,
                       o.waiting_since, o.create_date, o.company_id, o.trigger,
                       CASE WHEN NOT leader.unknown THEN leader.updated_at END
                       AS external_updated_at
                """,
                flow=flow_id,
                keys=keys,
                token=token,
                slot=slot,
                lease=LEASE_SECONDS,
            )
        )
        operations = sorted(ctl.dictfetchall(), key=lambda op: op["id"])
        ctl.commit()  # pylint: disable=invalid-commit
        return token, operations

    # === RUNNING A BATCH === #

    def _run(self, ctl, flow_id, token, operations):
        """Run claimed operations of one kind and settle every one of them."""
        started = time.monotonic()
        exchanges = []
        recording = _exchanges.set(exchanges)
        try:
            if operations[0]["kind"] == "listing":
                self._run_listing(ctl, flow_id, token, operations[0])
            else:
                for fetched in self._fetch(flow_id, token, operations, ctl):
                    self._run_items(ctl, flow_id, token, fetched, operations)
        finally:
            _exchanges.reset(recording)
            _insert_exchanges(ctl, token, exchanges)
            ctl.commit()  # pylint: disable=invalid-commit
            _logger.info(
                "flow %s: %s operations, %s calls in %.2f s",
                flow_id,
                len(operations),
                len(exchanges),
                time.monotonic() - started,
            )

    def _fetch(self, flow_id, token, operations, ctl):
        """Fetch and validate; yields lists of items to write, settles what cannot be read.

        An error that nothing explains is narrowed down by fetching halves.
        """
        try:
            with self.env.registry.cursor() as cr:
                flow, backend = self._work_env(cr, flow_id)
                backend._ensure_callable()
                items = self._fetch_items(flow, backend, operations)
        except Exception as error:
            if len(operations) > 1 and not self._concerns_all(error):
                half = len(operations) // 2
                for part in (operations[:half], operations[half:]):
                    yield from self._fetch(flow_id, token, part, ctl)
                return
            self._settle_failures(ctl, flow_id, token, [(op, error) for op in operations])
            return
        yield items

    def _fetch_items(self, flow, backend, operations):
        resource = flow._resource()
        items = [
            Item(op["id"], op["external_id"], op["label"] or "", forced=op["force"])
            for op in operations
        ]
        known = self._versions_read(flow, operations)
        for item in items:
            item.changed = item.operation_id not in known
        wanted = [item.external_id for item in items if item.changed]
        payloads, fetched_at = {}, None
        if wanted:
            calls = len(_exchanges.get())
            payloads = backend._with_renewed_auth(lambda: resource._fetch(backend, wanted))
            fetched_at = self._time_of_reading(_exchanges.get()[calls:])
        for op, item in zip(operations, items, strict=True):
            item.fetched_at = fetched_at
            if not item.changed:
                continue
            if op["external_id"] not in payloads:
                item.fail(self._missing(resource, backend, op, item))
                continue
            item.payload = payloads[op["external_id"]]
            try:
                item.data = resource._validate(
                    backend, item.payload, item.label or item.external_id
                )
                item.updated_at = resource._updated_at(item.data)
                item.label = resource._label(item.data) or item.label
                item.digest = resource._digest(item.data)
            except Exception as error:
                item.fail(error)
        return items

    def _missing(self, resource, backend, operation, item):
        """Return the error for a record that was not in the answer.

        Services tell of a record before all of their servers know it: what was announced just now
        is asked for once more.
        """
        age = fields.Datetime.now() - operation["create_date"]
        if operation["trigger"] != "manual" and age < READ_LAG:
            return NotReadyError(
                self.env._(
                    "%(record)s was announced, but %(backend)s does not show it yet.",
                    record=item.label or item.external_id,
                    backend=backend.display_name,
                ),
                retry_after=READ_LAG.total_seconds(),
            )
        return resource._missing_on_fetch(backend, item.external_id, item.label)

    def _versions_read(self, flow, operations):
        """Return the ids of operations about a version that was read after its time was over.

        Several notifications of one change cost one fetch. Services give whole seconds: what was
        read within the second of the change may lack a second change.
        """
        asked = {
            op["external_id"]: op
            for op in operations
            if op["external_updated_at"] and not op["force"]
        }
        if not asked:
            return set()
        bindings = flow.env["integration.binding"]._search_external(
            flow.backend_id, flow.resource, list(asked)
        )
        return {
            asked[binding.external_id]["id"]
            for binding in bindings
            if binding.external_updated_at
            and binding.fetched_at
            and asked[binding.external_id]["external_updated_at"] <= binding.external_updated_at
            and binding.fetched_at > binding.external_updated_at + READ_MARGIN
        }

    def _time_of_reading(self, exchanges):
        """Return since when the answers are true, by the clock of the service (naive UTC).

        That clock also writes the time stamps of the records. Where the service does not tell its
        time, ours is taken, less what two clocks may differ by.
        """
        times = []
        for _backend_id, _company_id, exchange in exchanges:
            headers = {key.lower(): value for key, value in exchange.response_headers.items()}
            said = parse_http_date(headers.get("date"))
            if said is None:
                return fields.Datetime.now() - CLOCK_SKEW
            said = said.astimezone(UTC).replace(tzinfo=None) if said.tzinfo else said
            times.append(said - timedelta(milliseconds=exchange.duration_ms))
        return min(times, default=fields.Datetime.now() - CLOCK_SKEW)

    def _run_items(self, ctl, flow_id, token, items, operations):
        """Write fetched items; halve the batch on an error until the guilty one stands alone."""
        by_id = {op["id"]: op for op in operations}
        unreadable = [item for item in items if not item.alive]
        if unreadable:
            self._settle_failures(
                ctl, flow_id, token, [(by_id[i.operation_id], i.error, i) for i in unreadable]
            )
        self._run_work(ctl, flow_id, token, [item for item in items if item.alive], by_id)

    def _run_work(self, ctl, flow_id, token, items, by_id):
        if not items:
            return
        try:
            self._work_with_tries(flow_id, token, items)
        except LeaseLost:
            _logger.warning("flow %s: the lease of batch %s was lost", flow_id, token)
            # the rest of the batch is still ours, and would be taken for crashed
            self._postpone(ctl, token, [by_id[item.operation_id] for item in items], 2)
            return
        except Exception as error:
            if len(items) > 1 and not self._concerns_all(error):
                half = len(items) // 2
                self._run_work(ctl, flow_id, token, items[:half], by_id)
                self._run_work(ctl, flow_id, token, items[half:], by_id)
                return
            self._settle_failures(
                ctl, flow_id, token, [(by_id[i.operation_id], error, i) for i in items]
            )
            return
        failed = [item for item in items if not item.alive]
        self._settle_failures(
            ctl, flow_id, token, [(by_id[i.operation_id], i.error, i) for i in failed]
        )
        self._note_seen(ctl, flow_id, items)

    def _concerns_all(self, error):
        """Whether every record of the batch would meet this error, so that halving is in vain."""
        return isinstance(
            error,
            RetryableError
            | RateLimitedError
            | NotReadyError
            | AuthError
            | psycopg2.OperationalError
            | psycopg2.InterfaceError,
        ) or (isinstance(error, ConfigurationError) and not isinstance(error, MappingError))

    def _work_with_tries(self, flow_id, token, items):
        """Write the items; conflicts with other transactions are tried again at once, as a whole.

        A unique violation is one of them at first: somebody else created the same record, and
        the next try finds it.
        """
        collided = False
        for attempt in range(1, CONFLICT_TRIES + 1):
            for item in items:
                item.restart()
            try:
                return self._work(flow_id, token, items)
            except (TransactionRollbackError, psycopg2.errors.LockNotAvailable) as error:
                if attempt == CONFLICT_TRIES:
                    raise RetryableError(
                        self.env._(
                            "The records were changed by other users at the same time. "
                            "It is tried again by itself."
                        ),
                        outcome="not_sent",
                        detail=str(error),
                    ) from error
            except psycopg2.errors.UniqueViolation:
                if collided or attempt == CONFLICT_TRIES:
                    raise
                collided = True

    def _work(self, flow_id, token, items):
        """Map, match, apply and bind in one transaction, together with the state ``done``."""
        registry = self.env.registry
        try:
            with registry.cursor() as cr:
                flow, backend = self._work_env(cr, flow_id)
                resource = flow._resource()
                self._lock_records(cr, backend, flow.resource, items)
                bindings = self._attach(flow, backend, items)
                for hook, concerned in (
                    (resource._map, lambda item: True),
                    (resource._find_existing, lambda item: not item.bound),
                    (resource._apply, lambda item: True),
                ):
                    todo = [i for i in items if i.alive and i.changed and concerned(i)]
                    if todo:
                        hook(backend, todo)
                written = [i for i in items if i.alive]
                self._bind(flow, backend, bindings, written)
                flow.env.flush_all()
                self._finish(cr, flow, token, written)
        except Exception:
            registry.reset_changes()
            raise
        registry.signal_changes()

    def _lock_records(self, cr, backend, resource, items):
        """Let one flow at a time work on an external record.

        :raises NotReadyError: when somebody else does.
        """
        keys = sorted(f"{backend.id}/{resource}/{item.external_id}" for item in items)
        cr.execute(
            "SELECT bool_and(pg_try_advisory_xact_lock(%s, hashtext(key))) FROM unnest(%s) AS key",
            [LOCK_RECORD, keys],
        )
        if not cr.fetchone()[0]:
            raise NotReadyError(self.env._("Another flow works on the same record."), retry_after=2)

    def _attach(self, flow, backend, items):
        """Set the bound record of each item, and take out what is unchanged or older than known.

        :returns: ``{external_id: binding}``.
        """
        Binding = flow.env["integration.binding"]
        bindings = {
            binding.external_id: binding
            for binding in Binding._search_external(
                backend, flow.resource, [item.external_id for item in items]
            )
        }
        records = {}
        for res_model, group in Binding.union(*bindings.values()).grouped("res_model").items():
            existing = flow.env[res_model].browse(group.mapped("res_id")).exists()
            records.update({(res_model, record.id): record for record in existing})
        for item in items:
            binding = bindings.get(item.external_id)
            if not binding:
                continue
            item.record = records.get((binding.res_model, binding.res_id))
            if item.record is None:
                binding.unlink()
                del bindings[item.external_id]
                if not item.changed:
                    message = self.env._("Its record was deleted in Odoo; it is read again.")
                    item.fail(NotReadyError(message, retry_after=0))
                continue
            item.bound = True
            if not item.changed:
                continue
            known = binding.external_updated_at
            if item.updated_at and known and item.updated_at < known:
                item.skip(self.env._("A newer version (of %s UTC) is already in Odoo.", known))
            elif binding.import_digest == item.digest and not item.forced:
                item.changed = False
        return bindings

    def _bind(self, flow, backend, bindings, items):
        """Link new records, and remember what was read."""
        Binding = flow.env["integration.binding"]
        new = {i.external_id: i.record for i in items if i.external_id not in bindings and i.record}
        labels = {item.external_id: item.label for item in items}
        for binding in Binding._bind(backend, flow.resource, new, labels):
            bindings[binding.external_id] = binding
        for item in items:
            binding = bindings.get(item.external_id)
            if binding and item.digest:
                binding.write(
                    {
                        "import_digest": item.digest,
                        "external_updated_at": item.updated_at,
                        "fetched_at": item.fetched_at,
                    }
                )

    def _finish(self, cr, flow, token, items):
        """Mark the items done in the transaction that holds their effect.

        :raises LeaseLost: when one of them is no longer ours; everything is rolled back.
        """
        if not items:
            return
        rows = SQL(", ").join(
            SQL(
                "(%s, %s, %s, %s, %s, %s::timestamp)",
                item.operation_id,
                item.label or None,
                "\n".join(item.notes) or (None if item.changed else self.env._("Unchanged.")),
                item.record._name if item.record else None,
                item.record.id if item.record else None,
                item.updated_at,
            )
            for item in items
        )
        cr.execute(
            SQL(
                """
                UPDATE integration_sync_log o
                   SET state = 'done', claim_token = NULL, claimed_until = NULL,
                       error_class = NULL, detail = NULL, payload = NULL, fingerprint = NULL,
                       finished_at = clock_timestamp() AT TIME ZONE 'UTC',
                       label = COALESCE(v.label, o.label), message = v.message,
                       res_model = v.res_model, res_id = v.res_id::int,
                       external_updated_at = COALESCE(v.updated_at, o.external_updated_at)
                  FROM (VALUES %s) AS v(id, label, message, res_model, res_id, updated_at)
                 WHERE o.id = v.id AND o.claim_token = %s
                """,
                rows,
                token,
            )
        )
        if cr.rowcount != len(items):
            raise LeaseLost
        self._close_older(cr, flow.id, [item.operation_id for item in items])

    def _supersede(self, cr, flow_id, operation_ids):
        """Close older failures of the records whose newer operation has ended.

        :returns: whether there were any, so that the alert about them has to be refreshed.
        """
        cr.execute(
            SQL(
                """
                UPDATE integration_sync_log old
                   SET state = 'merged', merged_into_id = new.id
                  FROM integration_sync_log new
                 WHERE new.id = ANY(%s) AND old.flow_id = %s AND old.key = new.key
                   AND old.state = 'dead' AND old.id < new.id
                """,
                list(operation_ids),
                flow_id,
            )
        )
        return bool(cr.rowcount)

    def _close_older(self, cr, flow_id, operation_ids):
        if self._supersede(cr, flow_id, operation_ids):
            env = api.Environment(cr, SUPERUSER_ID, {})
            env["integration.incident"]._refresh([flow_id])

    # === LISTINGS === #

    def _run_listing(self, ctl, flow_id, token, operation):
        """Read what changed, page by page; each page is stored before the cursor moves past it."""
        end = time.monotonic() + DRAIN_SECONDS
        found = 0
        try:
            more = True
            while more and time.monotonic() < end:
                with self.env.registry.cursor() as cr:
                    flow, backend = self._work_env(cr, flow_id)
                    backend._ensure_callable()
                    position = (flow.cursor_at, flow.cursor_page)
                    state = flow.cursor_page or {"page": None, "since": None, "high": None}
                    if state["page"] is None:
                        since = flow._read_since()
                        state["since"] = since and fields.Datetime.to_string(since)
                    page = self._fetch_page(flow, backend, state)
                with self.env.registry.cursor() as cr:
                    flow, backend = self._work_env(cr, flow_id)
                    # whoever sets the cursor back while we read wants to read from there
                    moved = (flow.cursor_at, flow.cursor_page) != position
                    trigger = operation["trigger"]
                    found += len(self._store_page(flow, state, page, trigger, moved))
                    more = moved or page.next_page is not None
                    if not more:
                        self._finish_listing(cr, flow_id, token, operation, found)
                self._renew_lease(ctl, token)
            if more:
                self._postpone(ctl, token, [operation], 0)
        except LeaseLost:
            _logger.warning("flow %s: the lease of its listing was lost", flow_id)
        except Exception as error:
            self._settle_failures(ctl, flow_id, token, [(operation, error)])

    def _fetch_page(self, flow, backend, state):
        since = fields.Datetime.to_datetime(state["since"])
        resource = flow._resource()
        return backend._with_renewed_auth(
            lambda: resource._fetch_changes(backend, since, state["page"])
        )

    def _store_page(self, flow, state, page, trigger, moved=False):
        """Append what is new of a page, and move the cursor in the same transaction.

        :param bool moved: whether somebody else has moved the cursor, which then stays there.
        """
        new = self._unknown_changes(flow, page.changes)
        operations = flow.env["integration.sync.log"]._append(flow, new, trigger)
        seen = [change.updated_at for change in page.changes if change.updated_at]
        high = max(
            [*seen, *filter(None, [fields.Datetime.to_datetime(state["high"])])], default=None
        )
        values = {"last_success_at": fields.Datetime.now()}
        if moved:
            flow.write(values)
            return operations
        if high and (page.ordered or page.next_page is None):
            values["cursor_at"] = max(filter(None, [high, flow.cursor_at]))
        values["cursor_page"] = page.next_page is not None and {
            "page": page.next_page,
            "since": state["since"],
            "high": high and fields.Datetime.to_string(high),
        }
        flow.write(values)
        return operations

    def _unknown_changes(self, flow, changes):
        """Return the changes that no operation or binding has seen in this version."""
        if not changes:
            return []
        flow.env.cr.execute(
            SQL(
                """
                SELECT external_id, max(updated_at) FROM (
                    SELECT external_id, external_updated_at AS updated_at
                      FROM integration_binding
                     WHERE backend_id = %(backend)s AND resource = %(resource)s
                       AND external_id = ANY(%(ids)s)
                       AND fetched_at > external_updated_at + %(margin)s
                     UNION ALL
                    SELECT key, external_updated_at FROM integration_sync_log
                     WHERE flow_id = %(flow)s AND key = ANY(%(ids)s)
                       AND state IN ('pending', 'running', 'dead', 'ignored', 'skipped')
                ) known GROUP BY external_id
                """,
                backend=flow.backend_id.id,
                resource=flow.resource,
                ids=[change.external_id for change in changes],
                flow=flow.id,
                margin=READ_MARGIN,
            )
        )
        known = dict(flow.env.cr.fetchall())
        return [
            change
            for change in changes
            if not change.updated_at
            or not known.get(change.external_id)
            or known[change.external_id] < change.updated_at
        ]

    def _finish_listing(self, cr, flow_id, token, operation, found):
        """End a listing; one that found nothing leaves no row behind."""
        self._close_older(cr, flow_id, [operation["id"]])
        if found:
            cr.execute(
                "UPDATE integration_sync_log SET state = 'done', claim_token = NULL, message = %s,"
                " error_class = NULL, detail = NULL, fingerprint = NULL,"
                " finished_at = clock_timestamp() AT TIME ZONE 'UTC'"
                " WHERE id = %s AND claim_token = %s",
                [self.env._("%s changed records found.", found), operation["id"], token],
            )
        else:
            cr.execute(
                "DELETE FROM integration_sync_log WHERE id = %s AND claim_token = %s",
                [operation["id"], token],
            )
        if cr.rowcount != 1:
            raise LeaseLost

    # === SETTLING FAILURES (control cursor) === #

    def _settle_failures(self, ctl, flow_id, token, failures):
        """Write what became of failed operations; commits.

        Whatever an error contains, its operation ends in a state: an exception from here would
        look like a dead process, and take the neighbours with it.

        :param failures: tuples ``(operation, error)`` or ``(operation, error, item)``.
        """
        if not failures:
            return
        try:
            tell = self._settle(ctl, flow_id, token, failures)
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            raise
        except Exception as problem:
            _logger.exception("flow %s: settling %s failures", flow_id, len(failures))
            ctl.rollback()
            if len(failures) > 1:
                for failure in failures:
                    self._settle_failures(ctl, flow_id, token, [failure])
                return
            operation = failures[0][0]
            message = self.env._(
                "This record failed, and the reason could not be stored (%s). Nothing was changed "
                "in Odoo. Show this page to your integrator.",
                type(problem).__name__,
            )
            self._end(ctl, token, operation, "dead", IntegrationError(message))
            ctl.commit()  # pylint: disable=invalid-commit
            tell = True
        if tell:
            self._tell(ctl, flow_id, [error for _operation, error, *_item in failures])

    def _tell(self, ctl, flow_id, errors):
        """Tell the people in charge; what became of the operations is committed before.

        The next failure tells again what cannot be told now.
        """
        try:
            env = api.Environment(ctl, SUPERUSER_ID, {"mail_notify_force_send": False})
            refused = [error for error in errors if isinstance(error, AuthError)]
            if refused:
                env["integration.flow"].browse(flow_id).backend_id._tell_paused(refused[0].message)
            env["integration.incident"]._refresh([flow_id])
            ctl.commit()  # pylint: disable=invalid-commit
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            raise
        except Exception:
            _logger.exception("flow %s: telling of its failures", flow_id)
            ctl.rollback()

    def _settle(self, ctl, flow_id, token, failures):
        """Write what became of failed operations; returns whether people have to know."""
        env = api.Environment(ctl, SUPERUSER_ID, {})
        flow = env["integration.flow"].browse(flow_id)
        ended = []
        for operation, error, *item in failures:
            if isinstance(error, RateLimitedError):
                until = fields.Datetime.now() + timedelta(seconds=error.retry_after)
                ctl.execute(
                    "UPDATE integration_flow SET blocked_until = %s WHERE id = %s", [until, flow_id]
                )
                self._postpone(ctl, token, [operation], error.retry_after, error)
            elif isinstance(error, AuthError):
                self._postpone(ctl, token, [operation], 0, error)
                flow.backend_id._set_paused(error.message)
            elif isinstance(error, SkipRecord):
                self._end(ctl, token, operation, "skipped", error, *item)
                ended.append(operation["id"])
            elif isinstance(error, NotReadyError) and (
                not operation["waiting_since"]
                or fields.Datetime.now() - operation["waiting_since"] < MAX_NOT_READY
            ):
                self._postpone(ctl, token, [operation], error.retry_after, error)
            elif self._is_technical(error) and operation["attempts"] < flow.max_attempts:
                self._retry_later(ctl, token, operation, error)
            else:
                self._end(ctl, token, operation, "dead", error, *item)
                ended.append(operation["id"])
                if operation["kind"] == "listing":
                    # the page it stopped at may be what the service refuses
                    flow.cursor_page = False
        env.flush_all()
        self._supersede(ctl, flow_id, ended)
        ctl.commit()  # pylint: disable=invalid-commit
        return bool(ended) or any(isinstance(error, AuthError) for _op, error, *_item in failures)

    def _is_technical(self, error):
        return isinstance(
            error, RetryableError | psycopg2.OperationalError | psycopg2.InterfaceError
        )

    def _describe(self, operation, error, item=None):
        """Return ``(error class, text for the clerk, technical detail)``."""
        kind, message, detail = self._explain(operation, error, item)
        return kind, self._storable(message), self._storable(detail)

    def _storable(self, text):
        """Return ``text`` without what PostgreSQL refuses: NUL and halves of characters."""
        if not text:
            return None
        return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()

    def _explain(self, operation, error, item):
        if isinstance(error, IntegrationError):
            return error.error_class, error.message, error.detail
        if isinstance(error, UserError | RedirectWarning):
            reason = str(error.args[0]) if isinstance(error, RedirectWarning) else str(error)
            return (
                "odoo",
                self.env._(
                    "%(record)s: Odoo does not accept it: %(reason)s Nothing was changed. Solve "
                    "that in Odoo, then press Retry.",
                    record=(item and item.label) or operation["label"] or operation["external_id"],
                    reason=f"{reason.rstrip().rstrip('.')}.",
                ),
                "".join(traceback.format_exception(error)),
            )
        if self._is_technical(error):
            return "retryable", self.env._("The database was not available."), str(error)
        detail = "".join(traceback.format_exception(error))
        return (
            "bug",
            self.env._(
                "An error nobody expected: %(error)s. Nothing was changed in Odoo. Press Retry "
                "once; if it fails again, show this page to your integrator.",
                error=f"{type(error).__name__}: {error}",
            ),
            detail,
        )

    def _postpone(self, ctl, token, operations, seconds, error=None):
        """Make the operations due again later, without using up an attempt.

        :param error: what they wait for, shown to people meanwhile.
        """
        kind, message = self._describe(None, error)[:2] if error else (None, None)
        ctl.execute(
            SQL(
                """
                UPDATE integration_sync_log
                   SET state = 'pending', attempts = GREATEST(attempts - 1, 0),
                       claim_token = NULL, claimed_until = NULL,
                       error_class = COALESCE(%s, error_class), message = COALESCE(%s, message),
                       waiting_since = CASE WHEN %s
                                            THEN COALESCE(waiting_since,
                                                          clock_timestamp() AT TIME ZONE 'UTC')
                                       END,
                       next_attempt_at = (clock_timestamp() + %s * interval '1 second')
                                         AT TIME ZONE 'UTC'
                 WHERE id = ANY(%s) AND claim_token = %s
                """,
                kind,
                message,
                isinstance(error, NotReadyError),
                seconds,
                [op["id"] for op in operations],
                token,
            )
        )

    def _retry_later(self, ctl, token, operation, error):
        delay = next_delay(operation["attempts"])
        delay = max(delay, getattr(error, "retry_after", None) or 0)
        kind, message, detail = self._describe(operation, error)
        self._log_attempt(ctl, token, operation, kind, message)
        ctl.execute(
            SQL(
                """
                UPDATE integration_sync_log
                   SET state = 'pending', claim_token = NULL, claimed_until = NULL,
                       error_class = %s, message = %s, detail = %s,
                       next_attempt_at = (clock_timestamp() + %s * interval '1 second')
                                         AT TIME ZONE 'UTC'
                 WHERE id = %s AND claim_token = %s
                """,
                kind,
                message,
                detail,
                delay,
                operation["id"],
                token,
            )
        )

    def _end(self, ctl, token, operation, state, error, item=None):
        kind, message, detail = self._describe(operation, error, item)
        Operation = api.Environment(ctl, SUPERUSER_ID, {})["integration.sync.log"]
        payload = None
        if item and state == "dead":
            payload = self._storable(Operation._payload_text(item.payload))
        if state == "dead":
            self._log_attempt(ctl, token, operation, kind, message)
        ctl.execute(
            SQL(
                """
                UPDATE integration_sync_log
                   SET state = %s, claim_token = NULL, claimed_until = NULL, error_class = %s,
                       message = %s, detail = %s, fingerprint = %s, payload = %s,
                       label = COALESCE(%s, label),
                       external_updated_at = COALESCE(%s, external_updated_at),
                       finished_at = clock_timestamp() AT TIME ZONE 'UTC'
                 WHERE id = %s AND claim_token = %s
                """,
                state,
                kind,
                message,
                detail,
                fingerprint(kind, message),
                payload,
                self._storable(item and item.label),
                (item and item.updated_at) or None,
                operation["id"],
                token,
            )
        )
        if ctl.rowcount and isinstance(error, MappingError):
            Operation.invalidate_model()
            Operation.browse(operation["id"])._wait_for_mappings(error.missing)

    def _log_attempt(self, ctl, token, operation, kind, message):
        ctl.execute(
            SQL(
                """
                INSERT INTO integration_sync_attempt
                       (operation_id, company_id, at, duration_ms, error_class, message, batch_ref)
                SELECT id, company_id, clock_timestamp() AT TIME ZONE 'UTC',
                       extract(epoch FROM clock_timestamp() AT TIME ZONE 'UTC' - started_at) * 1000,
                       %s, %s, batch_ref
                  FROM integration_sync_log WHERE id = %s AND claim_token = %s
                """,
                kind,
                message,
                operation["id"],
                token,
            )
        )

    def _renew_lease(self, ctl, token):
        ctl.execute(
            "UPDATE integration_sync_log"
            "   SET claimed_until ="
            " (clock_timestamp() + %s * interval '1 second') AT TIME ZONE 'UTC'"
            " WHERE claim_token = %s",
            [LEASE_SECONDS, token],
        )
        ctl.commit()  # pylint: disable=invalid-commit

    def _note_seen(self, ctl, flow_id, items):
        """Collect optional values without a mapping, with their count."""
        seen = [value for item in items for value in item.seen]
        if seen:
            env = api.Environment(ctl, SUPERUSER_ID, {})
            flow = env["integration.flow"].browse(flow_id)
            env["integration.mapping"]._collect(flow.backend_id, seen)
            env.flush_all()
            ctl.commit()  # pylint: disable=invalid-commit

    # === FOREGROUND === #

    @api.model
    def _run_in_foreground(self, flow_id, operation_id):
        """Run one operation now, for a user who waits.

        :param operation_id: a failed, skipped or waiting operation; it has to be committed.
        :returns: ``(state, message, name)`` it ended with.
        """
        with self._control_cursor() as ctl:
            env = api.Environment(ctl, SUPERUSER_ID, {})
            operation = env["integration.sync.log"].browse(operation_id)
            fresh = operation._make_due()
            if not fresh and operation.webhook_event_id:
                # the notification is still unreadable; its new operation says so
                event = operation.webhook_event_id
                fresh = fresh.search([("webhook_event_id", "=", event.id)], limit=1)
            flow_id = fresh.flow_id.id or flow_id
            env.flush_all()
            ctl.commit()  # pylint: disable=invalid-commit
            # from the top: the first ones are those of the drains
            with self._slot(ctl, flow_id, reversed(range(MAX_SLOTS))) as slot:
                if slot is not None:
                    token, claimed = self._claim(ctl, flow_id, slot, fresh.id)
                    if claimed:
                        self._run(ctl, flow_id, token, claimed)
            if self._is_due(ctl, flow_id):
                # what came meanwhile has found the record or the slot taken
                with self.env.registry.cursor() as cr:
                    api.Environment(cr, SUPERUSER_ID, {})[self._name]._wake([flow_id])
            env.invalidate_all()
            fresh = fresh.exists()
            if fresh.state == "merged" and fresh.merged_into_id:
                fresh = fresh.merged_into_id
            if fresh:
                result = (fresh.state, fresh.message, fresh.display_name)
            else:  # a reading of changes that found none leaves no row behind
                result = ("done", self.env._("Nothing had changed."), "")
        self.env.invalidate_all()
        return result
