import logging
import time
from datetime import timedelta

from odoo import SUPERUSER_ID, api, fields, models
from odoo.tools import SQL

from odoo.addons.queue_job.exception import RetryableJobError

from ..lib.errors import KeyUnavailable
from .integration_engine import LOCK_SLOT, MAX_CRASHES, MAX_SLOTS

_logger = logging.getLogger(__name__)

#: Seconds between two heartbeats: the longest that lost work waits.
HEARTBEAT_SECONDS = 5
#: Without a heartbeat for so long, the job runner counts as dead.
RUNNER_SILENCE = timedelta(seconds=60)
#: Seconds that the cron works in its place.
WORK_WITHOUT_RUNNER = 40
#: Due work that nobody has done for so long is reported.
STUCK_AFTER = timedelta(minutes=2)
#: Jobs of the engine; the rest of the queue is none of our business.
JOB_KEYS = "integration.%"

#: What each heartbeat does, as (model, method): cheap, repeatable, independent of each other.
STEPS = (
    ("integration.watchdog", "_free_orphans"),
    ("integration.watchdog", "_clear_failed_jobs"),
    ("integration.watchdog", "_plan_listings"),
    ("integration.flow", "_step_quiet_hours"),
    ("integration.backfill", "_step_advance"),
    ("integration.watchdog", "_wake_due"),
    ("integration.reconciliation", "_settle_runs"),
    ("integration.outbox", "_report_broken"),
)


class IntegrationWatchdog(models.AbstractModel):
    """Repairs what a lost wake-up, a killed process or a restarted database left behind.

    A heartbeat job runs every few seconds; a cron stands behind it.
    """

    _name = "integration.watchdog"
    _description = "Integration Watchdog"

    # === HEARTBEAT === #

    @api.model
    def _heartbeat(self):
        """Do the periodic work and ask to be called again in some seconds; never anything else.

        One eternal job: its planned time also bounds the sleep of the job runner, so that the
        jobs of killed workers are found within seconds instead of a minute.

        :raises RetryableJobError: always.
        """
        self._sweep()
        raise RetryableJobError("next heartbeat", seconds=HEARTBEAT_SECONDS, ignore_retry=True)

    @api.model
    def _keep_alive(self):
        """Recreate the heartbeat if it is missing, sweep, and do the work where no runner does.

        Called every minute by a cron.
        """
        Job = self.env["queue.job"]
        domain = [("identity_key", "=", "integration.heartbeat")]
        beat = Job.search([*domain, ("state", "in", ("pending", "enqueued", "started"))], limit=1)
        if not beat:
            self.env["integration.engine"]._enqueue(
                self.env["integration.flow"],
                "_job_heartbeat",
                key="integration.heartbeat",
                description="Integration heartbeat",
                priority=1,
            )
            Job.search([*domain, ("state", "in", ("failed", "cancelled", "done"))]).unlink()
        self._sweep()
        if self._is_copy():
            return
        # the job runner sleeps up to a minute when nothing tells it to look
        self.env.cr.execute("NOTIFY queue_job")
        planned = beat.eta or beat.date_enqueued or beat.date_created
        self._watch_runner(bool(planned) and fields.Datetime.now() - planned > RUNNER_SILENCE)
        self._watch_key()
        self._report_stuck()

    @api.model
    def _is_copy(self):
        # sudo: system parameters are for administrators, this one guards every user
        return bool(self.env["ir.config_parameter"].sudo().get_param("database.is_neutralized"))

    @api.model
    def _watch_runner(self, silent):
        """Report a job runner that is not alive, and do its work meanwhile.

        :param bool silent: whether the heartbeat should have come long ago.
        """
        Backend = self.env["integration.backend"]
        backends = Backend.search([("state", "=", "active"), *Backend._connected_here()])
        Incident = self.env["integration.incident"]
        for backend in backends:
            if silent:
                Incident._raise(
                    "watchdog",
                    backend,
                    "runner",
                    self.env._(
                        "The job runner of Odoo is not running. Work goes on once a minute only, "
                        "in the process for scheduled actions. Tell your administrator to look "
                        "for queue_job in server_wide_modules and in the server log."
                    ),
                )
            else:
                Incident._resolve("watchdog", backend, "runner")
        if not silent:
            return
        engine = self.env["integration.engine"]
        end = time.monotonic() + WORK_WITHOUT_RUNNER
        while time.monotonic() < end:
            with engine._control_cursor() as cr:
                due = engine._flows_to_wake(cr)
            if not due:
                break
            for flow_id in due:
                engine._drain(flow_id)

    @api.model
    def _watch_key(self):
        """Report to the owners that the server has no key to read their credentials with."""
        Backend = self.env["integration.backend"]
        Incident = self.env["integration.incident"]
        problem = None
        try:
            self.env["integration.credential"]._box()
        except KeyUnavailable as error:
            problem = error.message
        for backend in Backend.search([("state", "=", "active"), *Backend._connected_here()]):
            if problem and any(backend.credential_ids.mapped("is_set")):
                message = self.env._(
                    "The credentials cannot be read, so nothing is sent or received; all work "
                    "waits and goes on by itself. Tell your administrator: %s",
                    problem,
                )
                Incident._raise("watchdog", backend, "key", message)
            else:
                Incident._resolve("watchdog", backend, "key")

    @api.model
    def _report_stuck(self):
        """Report flows whose due work or whose schedule nobody has touched for minutes."""
        engine = self.env["integration.engine"]
        self.env.cr.execute(
            SQL(
                """
                SELECT f.id, (SELECT min(%(due_at)s) FROM integration_sync_log o
                               WHERE o.flow_id = f.id AND o.state = 'pending' AND %(due)s)
                             < (clock_timestamp() AT TIME ZONE 'UTC') - %(limit)s
                          OR COALESCE(f.next_run_at, 'infinity')
                             < (clock_timestamp() AT TIME ZONE 'UTC') - %(limit)s
                  FROM integration_flow f JOIN integration_backend b ON b.id = f.backend_id
                 WHERE %(open)s
                   AND NOT EXISTS (SELECT 1 FROM integration_sync_log r
                                    WHERE r.flow_id = f.id AND r.state = 'running')
                """,
                due=engine._due(),
                due_at=engine._due_at(),
                open=engine._open_flow(),
                limit=STUCK_AFTER,
            )
        )
        Incident = self.env["integration.incident"]
        for flow_id, stuck in self.env.cr.fetchall():
            flow = self.env["integration.flow"].browse(flow_id)
            key = f"stuck {flow_id}"
            if stuck:
                Incident._raise(
                    "watchdog",
                    flow.backend_id,
                    key,
                    self.env._(
                        "%s has work to do that nobody does. All job workers may be busy: ask "
                        "your administrator for more, or lower Flows at Work of slow backends.",
                        flow.display_name,
                    ),
                    flow=flow,
                )
            else:
                Incident._resolve("watchdog", flow.backend_id, key)

    @api.model
    def _sweep(self):
        """Run every step in a transaction of its own; one that fails does not hold up the rest."""
        if self._is_copy():
            return
        for model, method in STEPS:
            try:
                with self.env["integration.engine"]._control_cursor() as cr:
                    # superuser: the heartbeat belongs to nobody
                    getattr(api.Environment(cr, SUPERUSER_ID, {})[model], method)()
            except Exception:
                # a failed heartbeat would stop the engine until the cron; the next one tries again
                _logger.exception("Integration watchdog: %s.%s", model, method)

    # === STEPS === #

    @api.model
    def _free_orphans(self):
        """Make operations due again whose drain is dead or whose lease has run out."""
        self._free(
            self.env.cr,
            SQL(
                """
                claimed_until < clock_timestamp() AT TIME ZONE 'UTC'
                OR NOT EXISTS (
                    SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                     WHERE d.datname = current_database() AND l.locktype = 'advisory'
                       AND l.classid = %s AND l.objsubid = 2 AND l.granted
                       AND l.objid::bigint = o.flow_id * %s + o.slot)
                """,
                LOCK_SLOT,
                MAX_SLOTS,
            ),
        )

    @api.model
    def _free_slot(self, cr, flow_id, slot):
        """Make operations due again that the dead drain left whose slot we hold now.

        The heartbeat cannot tell: it sees that the slot is held.
        """
        self._free(cr, SQL("flow_id = %s AND slot = %s", flow_id, slot))

    def _free(self, cr, condition):
        """Make running operations due again that nobody works on (SQL over operation ``o``)."""
        cr.execute(
            SQL(
                """
                WITH orphans AS (
                UPDATE integration_sync_log o
                   SET state = CASE WHEN crashes + 1 >= %(max)s THEN 'dead' ELSE 'pending' END,
                       crashes = crashes + 1, claim_token = NULL, claimed_until = NULL,
                       next_attempt_at = clock_timestamp() AT TIME ZONE 'UTC',
                       finished_at = CASE WHEN crashes + 1 >= %(max)s
                                          THEN clock_timestamp() AT TIME ZONE 'UTC' END,
                       error_class = 'crash', fingerprint = NULL,
                       message = CASE WHEN crashes + 1 >= %(max)s THEN %(text)s ELSE message END
                 WHERE state = 'running' AND (%(orphaned)s)
             RETURNING id, flow_id, company_id, state, batch_ref, started_at
                ), attempts AS (
                    INSERT INTO integration_sync_attempt
                           (operation_id, company_id, at, duration_ms, error_class, message,
                            batch_ref)
                    SELECT id, company_id, clock_timestamp() AT TIME ZONE 'UTC',
                           extract(epoch FROM clock_timestamp() AT TIME ZONE 'UTC' - started_at)
                           * 1000, 'crash', %(died)s, batch_ref
                      FROM orphans
                )
                SELECT flow_id, state FROM orphans
                """,
                died=self.env._("The process that worked on it died, or lost the database."),
                max=MAX_CRASHES,
                text=self.env._(
                    "The process working on this record died %s times (memory, time limit or a "
                    "crash), also when it worked on nothing else. Nothing was changed in Odoo. "
                    "Show this to your administrator together with the server log.",
                    MAX_CRASHES,
                ),
                orphaned=condition,
            )
        )
        dead = {flow_id for flow_id, state in cr.fetchall() if state == "dead"}
        if dead:
            # superuser: incidents are kept by the engine only
            api.Environment(cr, SUPERUSER_ID, {})["integration.incident"]._refresh(sorted(dead))

    @api.model
    def _clear_failed_jobs(self):
        """Delete our failed jobs: what they should have done stands in the operations.

        The job queue fails a job for good when its database connection is lost.
        """
        self.env.cr.execute(
            "DELETE FROM queue_job WHERE state = 'failed' AND identity_key LIKE %s", [JOB_KEYS]
        )

    @api.model
    def _plan_listings(self):
        """Append a listing to every flow whose schedule says so."""
        now = fields.Datetime.now()
        flows = self.env["integration.flow"].search(
            [
                ("enabled", "=", True),
                ("held_reason", "=", False),
                ("missing_scopes", "=", False),
                ("next_run_at", "<=", now),
                ("backend_id.active", "=", True),
                ("backend_id.state", "=", "active"),
                *self.env["integration.backend"]._connected_here("backend_id."),
            ]
        )
        # a flow that somebody is editing is planned by the next heartbeat
        for flow in flows.try_lock_for_update():
            self.env["integration.sync.log"]._append_paged(flow, "listing", "schedule")
            flow.next_run_at = flow._next_run(now)

    @api.model
    def _wake_due(self):
        """Wake the flows that have due operations and a free slot."""
        engine = self.env["integration.engine"]
        engine._wake(engine._flows_to_wake())
