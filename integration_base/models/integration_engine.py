import contextlib
import logging
import random
import time
import uuid
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import Any, NamedTuple

import psycopg2
from psycopg2.extensions import ISOLATION_LEVEL_READ_COMMITTED, TransactionRollbackError
from psycopg2.pool import PoolError

from odoo import SUPERUSER_ID, api, fields, models
from odoo.sql_db import Cursor
from odoo.tools import SQL

from ..lib.errors import (
    AuthError,
    ConfigurationError,
    MappingError,
    NotReadyError,
    RateLimitedError,
    RetryableError,
    RightsError,
)
from ..lib.token_bucket import BACKFILL, LIVE, PRIORITY
from .integration_exchange import calls_until, collected_exchanges, insert_exchanges
from .integration_sync_log import LIVE_PRIORITY, PRIORITIES

_logger = logging.getLogger(__name__)

#: First key of the advisory locks: slots of a flow and seats of a backend (session), claims of a
#: flow and records (transaction). Any constants will do that nobody else uses in the database.
LOCK_SLOT = 0x1A7E6
LOCK_CLAIM = 0x1A7E7
LOCK_RECORD = 0x1A7E8
LOCK_SEAT = 0x1A7EA
#: Parallel drains a flow, or a backend, may have; lock numbers are its id x MAX_SLOTS + n.
MAX_SLOTS = 8
#: Seconds one drain works before it makes room for other flows; Odoo kills it after
#: limit_time_real (120 s).
DRAIN_SECONDS = 10
#: Seconds after the beginning of a batch in which requests to the service may still begin.
CALL_SECONDS = 50
#: Seconds a claim is good for; longer than any batch.
LEASE_SECONDS = 300
#: Seconds of work that are claimed at once where batches are quick, and the most of these.
AHEAD_SECONDS = 0.5
MOST_AHEAD = 100
#: Longest wait, in seconds, that a job is planned for; longer ones end with a heartbeat.
SHORT_WAIT_SECONDS = 30
#: Minutes that a flow works with one drain after two of its drains were in each other's way.
ALONE_MINUTES = 10
#: Tries of one batch when PostgreSQL reports a conflict with another transaction.
CONFLICT_TRIES = 6
#: Process deaths after which an operation is left to a person.
MAX_CRASHES = 5


class LeaseLost(Exception):
    """Somebody else has taken over the batch; whatever we did is rolled back."""


class Facts(NamedTuple):
    """What a drain has to know of its flow; all but the last four never change."""

    flow_id: int
    backend_id: int
    company_id: int
    connector: str
    resource: str
    direction: str
    lang: str | None
    work_user_id: int | None
    slots: int
    batch_size: int
    max_drains: int


@dataclass
class Batch:
    """Operations that were claimed together, on their way through the engine."""

    #: the control cursor
    ctl: Any
    facts: Facts
    token: str
    #: dicts of the columns that :meth:`IntegrationEngine._claim` returns, of one kind
    operations: list[dict]
    #: of all operations, see ``PRIORITIES``
    priority: int
    #: whether it finds out if a silent service answers again
    probe: bool = False
    #: what was said to the service so far, see ``record_exchange``
    exchanges: list = field(default_factory=list)
    #: how many of them the circuit breaker has counted
    noted: int = 0
    started: float = field(default_factory=time.monotonic)
    #: whether it met an error that the operations after it would meet as well
    stopped: bool = False
    #: the work cursor, see :meth:`IntegrationEngine._transaction`
    work: Any = None
    #: removes the secrets of the backend from a text, see ``integration.credential._mask``
    mask: Any = None

    @property
    def flow_id(self):
        """The id of the flow."""
        return self.facts.flow_id

    @property
    def backend_id(self):
        """The id of the backend."""
        return self.facts.backend_id

    @cached_property
    def by_id(self):
        """The operations by their id."""
        return {operation["id"]: operation for operation in self.operations}

    @property
    def failed_status(self):
        """The HTTP status of the last request that failed, None when none was answered so."""
        for _backend_id, _company_id, exchange in reversed(self.exchanges):
            if exchange.error:
                return exchange.status
        return None


#: What tells that PostgreSQL was not there, or had no connection left.
DATABASE_AWAY = (psycopg2.OperationalError, psycopg2.InterfaceError, PoolError)


def concerns_all(error):
    """Whether every record of a batch would meet this error, so that halving it is in vain."""
    return isinstance(
        error,
        (RetryableError, RateLimitedError, NotReadyError, AuthError, *DATABASE_AWAY),
    ) or (
        isinstance(error, ConfigurationError) and not isinstance(error, (MappingError, RightsError))
    )


def halves(things):
    """Split a list in two."""
    half = len(things) // 2
    return things[:half], things[half:]


class IntegrationEngine(models.AbstractModel):
    """Claims due operations and runs them in batches.

    Operations are rows, jobs are vehicles: a queue job is one *drain* of a flow. Three kinds of
    cursors, never mixed:

    * the job's own cursor is used for nothing but registry and configuration: its snapshot is
      older than any claim made during the drain;
    * a *control* cursor (READ COMMITTED) claims, and writes what must survive a rollback:
      attempts, errors, exchanges;
    * what is read, and what is written, is each a transaction on a *work* cursor that is opened
      after the claim. The effect and the state ``done`` commit together, guarded by the claim's
      token.

    A flow has slots and a backend has seats; holding one is a session advisory lock, so
    PostgreSQL itself tells which drains are alive.

    What is done with a batch stands in ``integration.importer``, ``integration.exporter`` and
    ``integration.listing``; what becomes of failures in ``integration.settlement``.
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
                        # superuser: jobs are the engine's, whoever caused the work
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

        :param float seconds: not before so many seconds have passed.
        """
        for flow in self.env["integration.flow"].browse(sorted(flow_ids)):
            # a drain planned for later must not swallow a wake-up for now
            later = ".later" if seconds else ""
            self._enqueue(
                flow,
                "_job_drain",
                key=f"integration.drain.{flow.id}{later}",
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
        :param float seconds: not before so many seconds have passed.
        :param int priority: lower runs first, 10 is usual.
        """
        eta = None
        if seconds:
            # the queue keeps whole seconds, cut off: the job would start too early, for nothing
            eta = fields.Datetime.now() + timedelta(seconds=int(seconds) + 1)
        job = records.with_delay(
            identity_key=key,
            description=description,
            max_retries=0,
            eta=eta,
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
    def _transaction(self, batch):
        """Open a transaction for a batch, committed at the end, or rolled back on an error.

        They are one after the other on the cursor of the claim: to open one costs as much as a
        small batch.
        """
        try:
            yield batch.work
            batch.work.commit()  # pylint: disable=invalid-commit
        except BaseException:
            batch.work.rollback()
            raise

    @contextlib.contextmanager
    def _slot(self, ctl, space, owner_id, numbers):
        """Hold a free slot; yields its number, or None when all are taken.

        :param int space: ``LOCK_SLOT`` for a flow's slot, ``LOCK_SEAT`` for a backend's seat.
        :param numbers: the slots to try, in this order.
        """
        slot = None
        for number in numbers:
            ctl.execute(
                "SELECT pg_try_advisory_lock(%s, %s)", [space, owner_id * MAX_SLOTS + number]
            )
            if ctl.fetchone()[0]:
                slot = number
                break
        ctl.commit()  # pylint: disable=invalid-commit
        try:
            yield slot
        finally:
            if slot is not None:
                self._unlock_slot(ctl, space, owner_id * MAX_SLOTS + slot)

    def _unlock_slot(self, ctl, space, number):
        """Give the slot back; a connection that cannot must not return to the pool with it."""
        try:
            ctl.rollback()
            ctl.execute("SELECT pg_advisory_unlock(%s, %s)", [space, number])
            ctl.commit()  # pylint: disable=invalid-commit
        except psycopg2.Error:
            _logger.warning("Lock %s of %s is freed by closing its connection", number, space)
            ctl.connection.close()

    def _facts(self, cr, flow_id):
        """Return the :class:`Facts` about a flow, None when there is no such flow."""
        cr.execute(
            SQL(
                "SELECT f.id, b.id, b.company_id, b.connector, f.resource, f.direction, p.lang,"
                " b.work_user_id, %s, f.batch_size, b.max_drains"
                " FROM integration_flow f JOIN integration_backend b ON b.id = f.backend_id"
                " JOIN res_company c ON c.id = b.company_id"
                " JOIN res_partner p ON p.id = c.partner_id WHERE f.id = %s",
                self._slots_now(),
                flow_id,
            )
        )
        row = cr.fetchone()
        return row and Facts(*row)

    def _work_env(self, cr, facts):
        """Return the flow and its backend in an environment of their company on ``cr``."""
        # superuser: who may start an import need not be allowed to write what it writes
        env = api.Environment(
            cr,
            SUPERUSER_ID,
            {
                "allowed_company_ids": [facts.company_id],
                "integration_import": True,
                "tracking_disable": True,
                "mail_create_nosubscribe": True,
                "lang": facts.lang or self.env.lang or "en_US",
            },
        )
        flow = env["integration.flow"].browse(facts.flow_id)
        backend = env["integration.backend"].browse(facts.backend_id)
        # what is known and never changes is not read again in each of many small batches
        flow._update_cache(
            {
                "backend_id": backend,
                "resource": facts.resource,
                "direction": facts.direction,
            },
            validate=False,
        )
        worker = env["res.users"].browse(facts.work_user_id or ())
        backend._update_cache(
            {"connector": facts.connector, "work_user_id": worker}, validate=False
        )
        return flow, backend

    def _slots_now(self):
        """Return how many drains flow ``f`` may have at present (SQL)."""
        return SQL(
            "CASE WHEN f.alone_until > clock_timestamp() AT TIME ZONE 'UTC' THEN 1 ELSE f.slots END"
        )

    def _work_alone(self, batch):
        """Let one drain do the work of a flow whose drains want the same records of Odoo.

        Each conflict throws a whole batch away: orders of the same stock are written faster by
        one drain than by four.
        """
        if batch.facts.slots > 1:
            batch.ctl.execute(
                "UPDATE integration_flow SET alone_until = (clock_timestamp()"
                " + %s * interval '1 minute') AT TIME ZONE 'UTC' WHERE id = %s",
                [ALONE_MINUTES, batch.flow_id],
            )
            batch.ctl.commit()  # pylint: disable=invalid-commit

    def _with_tries(self, work, batch=None):
        """Return ``work()``; conflicts with other transactions are tried again, as a whole.

        A unique violation is one of them at first: somebody else created the same record, and
        the next try finds it.

        :param work: opens a transaction of its own.
        :raises NotReadyError: when the conflicts do not end; that uses no attempt.
        """
        collided = False
        for attempt in range(1, CONFLICT_TRIES + 1):
            try:
                return work()
            except (TransactionRollbackError, psycopg2.errors.LockNotAvailable) as error:
                if batch:
                    self._work_alone(batch)
                if attempt == CONFLICT_TRIES:
                    raise NotReadyError(
                        self.env._(
                            "The records were changed by other users at the same time. "
                            "It is tried again by itself."
                        ),
                        # drawn, so that those who disturbed each other do not meet again
                        retry_after=random.uniform(0.5, 3),  # nosec B311
                        detail=str(error),
                    ) from error
            except psycopg2.errors.UniqueViolation:
                if collided or attempt == CONFLICT_TRIES:
                    raise
                collided = True

    def _lock_records(self, cr, backend, resource, external_ids):
        """Let one flow at a time work on an external record, until the transaction ends.

        :raises NotReadyError: when somebody else does.
        """
        keys = sorted(f"{backend.id}/{resource}/{external_id}" for external_id in external_ids)
        if not keys:
            return
        cr.execute(
            "SELECT bool_and(pg_try_advisory_xact_lock(%s, hashtext(key))) FROM unnest(%s) AS key",
            [LOCK_RECORD, keys],
        )
        if not cr.fetchone()[0]:
            raise NotReadyError(self.env._("Another flow works on the same record."), retry_after=2)

    def _storable(self, text):
        """Return ``text`` without what PostgreSQL refuses: NUL and halves of characters."""
        if not text:
            return None
        return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()

    # === DRAINING === #

    @api.model
    def _drain(self, flow_id, budget=DRAIN_SECONDS):
        """Claim and run due operations of a flow until nothing is due or the time is over.

        :returns: a text for the job's result.
        """
        try:
            return self._drain_flow(flow_id, budget)
        except DATABASE_AWAY as error:
            # a job that fails stays failed; the operations are freed by the next heartbeat
            _logger.warning("flow %s: drain ended without its database: %s", flow_id, error)
            return "The database was not available."

    def _drain_flow(self, flow_id, budget):
        end = time.monotonic() + budget
        done = 0
        with self._control_cursor() as ctl:
            facts = self._facts(ctl, flow_id)
            if not facts:
                return "The flow is gone."
            with (
                self._slot(ctl, LOCK_SEAT, facts.backend_id, range(facts.max_drains)) as seat,
                self._slot(
                    ctl, LOCK_SLOT, flow_id, range(facts.slots) if seat is not None else ()
                ) as slot,
            ):
                if seat is None:
                    return "The backend has enough drains at work; they will wake this flow."
                if slot is None:
                    return "Another drain is at work."
                self.env["integration.watchdog"]._free_slot(ctl, flow_id, slot)
                ahead = 1
                while time.monotonic() < end:
                    claim = self._claim(ctl, facts, slot, ahead)
                    if not claim:
                        break
                    done += len(claim.operations)
                    ahead = self._run_in_batches(claim)
            wait = self._seconds_to_next(ctl, flow_id)
            due = self._flows_to_wake(ctl, facts.backend_id)
            ctl.commit()  # pylint: disable=invalid-commit
        if due or wait is not None:
            with self.env.registry.cursor() as cr:
                # superuser: jobs are the engine's, whoever caused the work
                engine = api.Environment(cr, SUPERUSER_ID, {})[self._name]
                engine._wake(due)
                if wait is not None and flow_id not in due:
                    engine._wake([flow_id], wait)
        return f"{done} operations"

    # === WHAT IS DUE === #

    def _open_flow(self):
        """Return the condition (SQL over flow ``f`` and backend ``b``) for work to be allowed."""
        return SQL(
            "f.enabled AND f.held_reason IS NULL AND f.missing_scopes IS NULL"
            " AND b.active AND b.state = 'active'"
            " AND b.database_identity = %s AND NOT %s",
            self.env["integration.backend"]._this_database(),
            self.env["integration.watchdog"]._is_copy(),
        )

    def _answering(self):
        """Return the condition (SQL over ``b``) for its service to answer, or to be asked again."""
        return SQL(
            "NOT EXISTS (SELECT 1 FROM integration_breaker k WHERE k.backend_id = b.id"
            " AND k.state <> 'closed' AND k.open_until > clock_timestamp() AT TIME ZONE 'UTC')"
        )

    def _due_at(self):
        """Return when operation ``o`` of flow ``f`` is due (SQL, naive UTC)."""
        # GREATEST ignores NULL
        return SQL(
            "GREATEST(o.next_attempt_at, f.blocked_until,"
            " CASE WHEN o.priority >= %s THEN f.heavy_from END)",
            PRIORITIES["backfill"],
        )

    def _due(self):
        """Return the condition (SQL over ``o``, ``f``, ``b``) for it to be time."""
        return SQL(
            "%s <= clock_timestamp() AT TIME ZONE 'UTC' AND %s", self._due_at(), self._answering()
        )

    def _free_record(self):
        """Return the condition (SQL over operation ``o``) for nobody to work on its record."""
        # OFFSET 0 has each key looked up by itself: a join would read, for each, the entries of
        # all that was running since the job began, which its snapshot keeps in the index
        return SQL(
            "NOT EXISTS (SELECT 1 FROM integration_sync_log r WHERE r.flow_id = o.flow_id"
            " AND r.key = o.key AND r.state = 'running' OFFSET 0)"
        )

    def _seconds_to_next(self, ctl, flow_id):
        """Return in how many seconds (> 0) the flow's next operation is due.

        None when that is long, or nothing waits.
        """
        ctl.execute(
            SQL(
                """
                SELECT extract(epoch FROM min(%s) - clock_timestamp() AT TIME ZONE 'UTC')::float
                  FROM integration_sync_log o
                  JOIN integration_flow f ON f.id = o.flow_id
                  JOIN integration_backend b ON b.id = f.backend_id
                 WHERE o.flow_id = %s AND o.state = 'pending' AND %s
                   AND o.next_attempt_at < (clock_timestamp() + %s * interval '1 second')
                                           AT TIME ZONE 'UTC'
                """,
                self._due_at(),
                flow_id,
                self._open_flow(),
                SHORT_WAIT_SECONDS,
            )
        )
        seconds = ctl.fetchone()[0]
        return seconds if seconds and 0 < seconds <= SHORT_WAIT_SECONDS else None

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
    def _flows_to_wake(self, cr=None, backend_id=None):
        """Return the ids of flows with due operations and a free slot.

        :param backend_id: look at the flows of this backend only.
        """
        cr = cr or self.env.cr
        cr.execute(
            SQL(
                """
                SELECT f.id
                  FROM integration_flow f JOIN integration_backend b ON b.id = f.backend_id
                 WHERE %(open)s AND %(whose)s
                   AND EXISTS (SELECT 1 FROM integration_sync_log o
                                WHERE o.flow_id = f.id AND o.state = 'pending'
                                  AND %(due)s AND %(free)s)
                   AND %(wanted)s > (SELECT count(*)
                                    FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                                   WHERE d.datname = current_database()
                                     AND l.locktype = 'advisory' AND l.classid = %(lock)s
                                     AND l.objsubid = 2 AND l.granted
                                     AND l.objid::bigint / %(slots)s = f.id)
                """,
                open=self._open_flow(),
                whose=SQL("f.backend_id = %s", backend_id) if backend_id else SQL("TRUE"),
                due=self._due(),
                free=self._free_record(),
                wanted=self._slots_now(),
                lock=LOCK_SLOT,
                slots=MAX_SLOTS,
            )
        )
        return [row[0] for row in cr.fetchall()]

    # === CLAIMING === #

    def _claim(self, ctl, facts, slot, ahead=1, operation_id=None):
        """Take due operations: lease, count the attempt, merge, commit.

        The waiting operations of one record are merged into the last, whose version becomes the
        newest of them, or unknown when one of them does not tell: notifications arrive in any
        order, and what the last one says may be long known. Operations whose process died, or
        that failed for technical reasons before, are tried in ever smaller batches, so that the
        guilty one soon stands alone.

        :param int ahead: how many batches to claim at once.
        :param operation_id: claim this one only, due or not.
        :returns: the :class:`Batch`, None when nothing is due.
        """
        limit = 1 if operation_id else facts.batch_size * ahead
        due = SQL("o.id = %s", operation_id) if operation_id else self._due()
        # two statements in one message; the second sees what was committed before the lock
        ctl.execute(
            SQL(
                """
                SELECT pg_advisory_xact_lock(%s, %s);
                SELECT o.id, o.key, o.kind, o.crashes + GREATEST(o.attempts - 1, 0) AS tries,
                       o.priority, %s AS slots,
                       COALESCE((SELECT k.state FROM integration_breaker k
                                  WHERE k.backend_id = b.id), 'closed') <> 'closed' AS silent
                  FROM integration_sync_log o
                  JOIN integration_flow f ON f.id = o.flow_id
                  JOIN integration_backend b ON b.id = f.backend_id
                 WHERE o.flow_id = %s AND o.state = 'pending' AND %s AND %s AND %s
                 ORDER BY o.crashes, o.priority, o.next_attempt_at, o.id
                 LIMIT %s
                   FOR NO KEY UPDATE OF o SKIP LOCKED
                """,
                LOCK_CLAIM,
                facts.flow_id,
                self._slots_now(),
                facts.flow_id,
                due,
                self._open_flow(),
                self._free_record(),
                limit,
            )
        )
        heads = ctl.dictfetchall()
        if heads and slot >= heads[0]["slots"] and not operation_id:
            heads = []
        if not heads:
            ctl.commit()  # pylint: disable=invalid-commit
            return None
        first = heads[0]
        size = limit
        if first["tries"]:
            # never several batches: a process that dies takes all of them along
            size = max(1, min(limit, facts.batch_size) >> 2 * first["tries"])
        probing = False
        if first["silent"]:
            # a service that does not answer is asked with one operation, by one drain
            size = 1
            probing = self.env["integration.breaker"]._begin_probe(
                ctl, facts.backend_id, forced=bool(operation_id)
            )
            if not probing and not operation_id:
                ctl.commit()  # pylint: disable=invalid-commit
                return None
        if first["kind"] != "record":
            size = 1
        keys = []
        for head in heads:
            alike = all(head[name] == first[name] for name in ("kind", "tries", "priority"))
            if alike and head["key"] not in keys and len(keys) < size:
                keys.append(head["key"])
        token = uuid.uuid4().hex
        # key by key: a plan for all keys at once would, in the first minute of a large import,
        # while PostgreSQL has no statistics, read all that waits for each batch
        ctl.execute(
            SQL(
                """
                WITH waiting AS (
                    SELECT same.* FROM unnest(%(keys)s) AS wanted(key), LATERAL (
                        SELECT id, key, attempts, crashes, force, deleted, external_updated_at,
                               first_failed_at, waiting_since
                          FROM integration_sync_log
                         WHERE flow_id = %(flow)s AND key = wanted.key AND state = 'pending'
                           FOR NO KEY UPDATE SKIP LOCKED) AS same
                ), leader AS (
                    SELECT max(id) AS id, key, max(attempts) AS attempts, max(crashes) AS crashes,
                           bool_or(force) AS force, bool_or(deleted) AS deleted,
                           max(external_updated_at) AS updated_at,
                           bool_or(external_updated_at IS NULL) AS unknown,
                           min(first_failed_at) AS failed_at, min(waiting_since) AS waits_since
                      FROM waiting GROUP BY key
                ), merged AS (
                    UPDATE integration_sync_log o
                       SET state = 'merged', merged_into_id = leader.id, edited_payload = NULL,
                           finished_at = clock_timestamp() AT TIME ZONE 'UTC'
                      FROM waiting JOIN leader USING (key)
                     WHERE o.id = waiting.id AND waiting.id <> leader.id
                )
                UPDATE integration_sync_log o
                   SET state = 'running', claim_token = %(token)s, batch_ref = %(token)s,
                       slot = %(slot)s, attempts = leader.attempts + 1, crashes = leader.crashes,
                       force = leader.force, deleted = leader.deleted,
                       external_updated_at = leader.updated_at,
                       first_failed_at = leader.failed_at, waiting_since = leader.waits_since,
                       started_at = clock_timestamp() AT TIME ZONE 'UTC',
                       claimed_until = (clock_timestamp() + %(lease)s * interval '1 second')
                                       AT TIME ZONE 'UTC'
                  FROM leader WHERE o.id = leader.id
             RETURNING o.id, o.kind, o.key, o.external_id, o.label, o.res_model, o.res_id,
                       o.attempts, o.crashes, o.force, o.deleted, o.first_failed_at,
                       o.waiting_since, o.create_date, o.company_id, o.trigger,
                       o.edited_payload, o.edited_at,
                       CASE WHEN NOT leader.unknown THEN leader.updated_at END
                       AS external_updated_at
                """,
                flow=facts.flow_id,
                keys=keys,
                token=token,
                slot=slot,
                lease=LEASE_SECONDS,
            )
        )
        operations = sorted(ctl.dictfetchall(), key=lambda op: op["id"])
        ctl.commit()  # pylint: disable=invalid-commit
        return Batch(ctl, facts, token, operations, first["priority"], probing)

    def _renew_lease(self, batch):
        batch.ctl.execute(
            "UPDATE integration_sync_log"
            "   SET claimed_until ="
            " (clock_timestamp() + %s * interval '1 second') AT TIME ZONE 'UTC'"
            " WHERE claim_token = %s",
            [LEASE_SECONDS, batch.token],
        )
        batch.ctl.commit()  # pylint: disable=invalid-commit

    # === RUNNING === #

    def _run_in_batches(self, claim):
        """Run claimed operations, a batch at a time.

        To claim costs as much as a small batch that does little and calls nobody, so these are
        claimed several at once: as many as take AHEAD_SECONDS, so that what is urgent, and who
        stops the flow, does not wait longer for them. What was claimed in vain is given back.

        :returns: how many batches to claim at once next time.
        """
        size = claim.facts.batch_size
        parts = [claim.operations[at : at + size] for at in range(0, len(claim.operations), size)]
        with self.env.registry.cursor() as work:
            for number, operations in enumerate(parts, 1):
                batch = replace(
                    claim,
                    operations=operations,
                    exchanges=[],
                    started=time.monotonic(),
                    work=work,
                )
                self._run(batch)
                late = time.monotonic() - claim.started > 4 * AHEAD_SECONDS
                if batch.exchanges or batch.stopped or late:
                    self._give_back(claim, claim.operations[number * size :])
                    return 1
        seconds = (time.monotonic() - claim.started) / len(parts)
        return max(1, min(MOST_AHEAD, int(AHEAD_SECONDS / seconds)))

    def _give_back(self, claim, operations):
        """Undo the claim of operations nobody has begun with."""
        if not operations:
            return
        claim.ctl.execute(
            "UPDATE integration_sync_log SET state = 'pending', attempts = attempts - 1,"
            " claim_token = NULL, claimed_until = NULL WHERE id = ANY(%s) AND claim_token = %s",
            [[operation["id"] for operation in operations], claim.token],
        )
        claim.ctl.commit()  # pylint: disable=invalid-commit

    def _run(self, batch):
        """Run claimed operations of one kind and settle every one of them."""
        recording = collected_exchanges.set(batch.exchanges)
        timing = calls_until.set(batch.started + CALL_SECONDS)
        importance = PRIORITY.set(LIVE if batch.priority <= LIVE_PRIORITY else BACKFILL)
        try:
            self._worker(batch)._run(batch)
        finally:
            collected_exchanges.reset(recording)
            calls_until.reset(timing)
            PRIORITY.reset(importance)
            self.env["integration.settlement"]._note_calls(batch)
            insert_exchanges(batch.ctl, batch.token, batch.exchanges)
            batch.ctl.commit()  # pylint: disable=invalid-commit
            _logger.debug(
                "flow %s: %s operations, %s calls in %.2f s",
                batch.flow_id,
                len(batch.operations),
                len(batch.exchanges),
                time.monotonic() - batch.started,
            )

    def _worker(self, batch):
        """Return the model whose ``_run(batch)`` does the work."""
        if batch.operations[0]["kind"] != "record":
            return self.env["integration.listing"]
        if batch.facts.direction == "out":
            return self.env["integration.exporter"]
        return self.env["integration.importer"]

    # === FOREGROUND === #

    @api.model
    def _run_in_foreground(self, flow_id, operation_id):
        """Run one operation now, for a user who waits.

        :param operation_id: a failed, skipped or waiting operation; it has to be committed.
        :returns: ``(state, message, name)`` it ended with.
        """
        with self._control_cursor() as ctl:
            # superuser: the engine writes the log, its callers have checked who may ask for it
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
            with self._slot(ctl, LOCK_SLOT, flow_id, reversed(range(MAX_SLOTS))) as slot:
                facts = self._facts(ctl, flow_id)
                batch = slot is not None and self._claim(ctl, facts, slot, operation_id=fresh.id)
                if batch:
                    self._run_in_batches(batch)
            if self._is_due(ctl, flow_id):
                # what came meanwhile has found the record or the slot taken
                with self.env.registry.cursor() as cr:
                    # superuser: jobs are the engine's, whoever caused the work
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
