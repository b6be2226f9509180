import contextlib

from odoo import api, fields, models
from odoo.exceptions import UserError

from .integration_comparer import PAGE, Reading
from .integration_engine import concerns_all, halves

#: States of a run that has more to do.
OPEN_STATES = ("draft", "running", "paused")
#: States in which its operation works on a run.
WORKED_STATES = ("draft", "running", "failed")


class IntegrationReconciliation(models.Model):
    """One comparison of both sides of a flow, page by page, the cheapest questions first.

    count
        How many records each side has.
    list
        The service lists everything. Versions and digests tell which records are as they were
        when both sides last agreed; the rest is suspected.
    unseen, unsent
        Links the list did not show, and Odoo records that never went out, are suspected.
    check
        Only what is suspected is fetched and compared field by field. A record with an open
        operation, or changed since the run began, is on its way and no discrepancy.
    repair
        What the flow's policy allows is repaired, through operations like any other.

    Every page is stored together with the position of the run, so a run that was killed goes on
    where it was. It is worked on by an operation of the kind ``reconcile``.
    """

    _name = "integration.reconciliation"
    _description = "Integration Comparison"
    _order = "id desc"

    flow_id = fields.Many2one(
        "integration.flow", required=True, readonly=True, ondelete="cascade", index=True
    )
    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one("res.company", required=True, readonly=True, index=True)
    direction = fields.Selection(related="flow_id.direction")
    state = fields.Selection(
        [
            ("draft", "Waiting"),
            ("running", "Running"),
            ("paused", "Paused"),
            ("done", "Done"),
            ("failed", "Failed"),
            ("stopped", "Stopped"),
        ],
        required=True,
        readonly=True,
        default="draft",
    )
    phase = fields.Selection(
        [
            ("count", "Counting"),
            ("list", "Listing the other side"),
            ("unseen", "Looking for what was not listed"),
            ("unsent", "Looking for what was never sent"),
            ("check", "Comparing what differs"),
            ("repair", "Repairing"),
        ],
        required=True,
        readonly=True,
        default="count",
    )
    page = fields.Json(readonly=True)
    trigger = fields.Selection(
        [("manual", "Button"), ("schedule", "Schedule")],
        string="Started by",
        required=True,
        readonly=True,
        default="manual",
    )
    user_id = fields.Many2one("res.users", string="Started by User", readonly=True)
    started_at = fields.Datetime(readonly=True)
    finished_at = fields.Datetime(readonly=True)
    message = fields.Text(readonly=True)
    external_count = fields.Integer(string="Records There", readonly=True)
    odoo_count = fields.Integer(string="Linked in Odoo", readonly=True)
    seen_count = fields.Integer(string="Compared", readonly=True)
    missing_in_odoo_count = fields.Integer(string="Missing in Odoo", readonly=True)
    missing_outside_count = fields.Integer(string="Missing outside", readonly=True)
    different_count = fields.Integer(string="Different", readonly=True)
    in_work_count = fields.Integer(
        string="In Work",
        readonly=True,
        help="Not judged: an operation on the record waits or has failed, or it changed just now.",
    )
    left_out_count = fields.Integer(
        string="Left out",
        readonly=True,
        help="Skipped or set aside earlier, with a reason, or ignored in an earlier comparison.",
    )
    drift = fields.Float(
        string="Drift (%)",
        digits=(6, 2),
        readonly=True,
        aggregator="avg",
        help="Share of the records that were missing or different.",
    )
    vanished_accepted = fields.Boolean(readonly=True)
    discrepancy_ids = fields.One2many("integration.discrepancy", "reconciliation_id", readonly=True)
    repaired_count = fields.Integer(string="Repaired", compute="_compute_line_counts")
    open_count = fields.Integer(string="Open", compute="_compute_line_counts")

    _one_open = models.UniqueIndex(
        "(flow_id) WHERE state IN ('draft', 'running', 'paused')",
        "A comparison of this flow is under way already.",
    )

    # === COMPUTE METHODS === #

    @api.depends("flow_id.name", "create_date")
    def _compute_display_name(self):
        for run in self:
            day = fields.Date.to_string(run.create_date) if run.create_date else ""
            run.display_name = f"{run.flow_id.display_name}, {day}"

    def _compute_line_counts(self):
        rows = self.env["integration.discrepancy"]._read_group(
            [("reconciliation_id", "in", self.ids), ("state", "in", ("open", "repaired"))],
            ["reconciliation_id", "state"],
            ["__count"],
        )
        counts = {(run.id, state): count for run, state, count in rows}
        for run in self:
            run.open_count = counts.get((run.id, "open"), 0)
            run.repaired_count = counts.get((run.id, "repaired"), 0)

    # === STARTING === #

    @api.model
    def _start(self, flow, trigger):
        """Begin a comparison of ``flow``, or go on with the one that is under way.

        :param str trigger: ``manual`` or ``schedule``.
        :returns: the run.
        """
        # sudo: runs are written by the engine only, started by whoever may
        self = self.sudo()
        run = self.search([("flow_id", "=", flow.id), ("state", "in", OPEN_STATES)])
        if not run:
            run = self.create(
                {
                    "flow_id": flow.id,
                    "backend_id": flow.backend_id.id,
                    "company_id": flow.company_id.id,
                    "trigger": trigger,
                    "user_id": trigger == "manual" and self.env.uid,
                }
            )
        elif run.state == "paused":
            run.state = "running"
        run._append_operation(trigger)
        return run

    def _append_operation(self, trigger):
        operation = self.env["integration.sync.log"]._append_paged(
            self.flow_id, "reconcile", trigger
        )
        self.flow_id._wake_after_commit()
        return operation

    @api.model
    def _cron_start_due(self):
        """Start the comparisons that the flows' schedules ask for."""
        now = fields.Datetime.now()
        flows = self.env["integration.flow"].search(
            [
                ("enabled", "=", True),
                ("reconcile_days", ">", 0),
                ("backend_id.active", "=", True),
                ("backend_id.state", "=", "active"),
                *self.env["integration.backend"]._connected_here("backend_id."),
                "|",
                ("next_reconcile_at", "=", False),
                ("next_reconcile_at", "<=", now),
            ]
        )
        # a flow that somebody is editing is started by the next call
        for flow in flows.try_lock_for_update():
            self._start(flow, "schedule")
            flow.next_reconcile_at = fields.Datetime.add(now, days=flow.reconcile_days)

    # === WORKING (called by the engine) === #

    @api.model
    def _run_page(self, flow, backend, operation):
        """Work on the next page of the comparison of ``flow``, in transactions of its own.

        What the service says is read first; then a new transaction judges it by what Odoo has by
        then, and stores the findings together with the position. So nothing is lost or counted
        twice, wherever the process dies, and no lock is held while the service is asked.

        :param dict operation: the claimed one, of the kind ``reconcile``. The run is found by its
            flow, which has one at a time.
        :returns: whether there is more to do.
        :raises IntegrationError: what the service answers; the page is tried again.
        """
        with self._transaction(flow.id) as (own_flow, own_backend):
            own_backend._ensure_callable()
            run = self._run_of(own_flow)
            if not run:
                return False
            run_id = run.id
            reading = run.env["integration.comparer"]._read(run, own_flow, own_backend)
        return self._judge(flow.id, run_id, reading)

    @contextlib.contextmanager
    def _transaction(self, flow_id):
        """Yield flow and backend in a transaction of their own."""
        with self.env.registry.cursor() as cr:
            engine = self.env["integration.engine"]
            yield engine._work_env(cr, engine._facts(cr, flow_id))

    @api.model
    def _run_of(self, flow):
        """Return the run of ``flow`` to go on with, an empty one if there is nothing to do."""
        runs = flow.env[self._name]
        run = runs.search([("flow_id", "=", flow.id), ("state", "in", OPEN_STATES)])
        if not run:
            # somebody retries the operation that a failed run left behind
            run = runs.search([("flow_id", "=", flow.id)], limit=1)
        return run if run.state in WORKED_STATES else runs

    @api.model
    def _judge(self, flow_id, run_id, reading):
        """Store what was read; halves a page of checks on an error nobody expected."""
        try:
            with self._transaction(flow_id) as (flow, backend):
                run = flow.env[self._name].browse(run_id)
                if run.state not in WORKED_STATES:
                    return False
                if (run.phase, run.page) != (reading.phase, reading.page):
                    # another process was faster
                    return True
                if run.state != "running":
                    run.write(
                        {
                            "state": "running",
                            "message": False,
                            "started_at": run.started_at or fields.Datetime.now(),
                        }
                    )
                if reading.phase == "repair":
                    run._repair(flow)
                else:
                    comparer = run.env["integration.comparer"]
                    getattr(comparer, f"_store_{reading.phase}")(run, flow, backend, reading)
                flow.env.flush_all()
                return run.state == "running"
        except Exception as error:
            items = reading.items
            if not items or concerns_all(error):
                raise
            if len(items) > 1:
                for part in halves(items):
                    self._judge(
                        flow_id, run_id, Reading(reading.phase, reading.page, reading.answer, part)
                    )
                return True
            if items[0].operation_id in reading.answer:
                raise
            # becomes a discrepancy that says why nobody can judge it
            reading.answer[items[0].operation_id] = error
            return self._judge(flow_id, run_id, reading)

    def _advance(self, phase):
        self.write({"phase": phase, "page": False})

    # === VANISHED RECORDS === #

    def _guard_vanished(self, flow):
        """Stop the flow and ask a person when too many records are gone at once."""
        if self.vanished_accepted:
            return
        gone = self.env["integration.discrepancy"].search_count(
            [
                ("reconciliation_id", "=", self.id),
                ("kind", "=", "missing_outside"),
                ("external_id", "!=", False),
                ("state", "=", "open"),
            ]
        )
        if flow._too_many_vanished(gone):
            flow._hold_vanished(gone)

    # === REPAIRING AND ENDING === #

    def _repair(self, flow):
        """Repair what the policy of the flow allows without asking."""
        after = self.page["after"] if self.page else 0
        kinds = flow._repaired_kinds()
        lines = self.env["integration.discrepancy"].search(
            [
                ("reconciliation_id", "=", self.id),
                ("state", "=", "open"),
                ("kind", "in", kinds),
                ("id", ">", after),
            ],
            order="id",
            limit=PAGE,
        )
        lines._repair()
        if len(lines) == PAGE:
            self.page = {"after": lines[-1].id}
        else:
            self._finish(flow)

    def _finish(self, flow):
        """End the run: its figure, the incident about it, and what it makes outdated."""
        differing = self.missing_in_odoo_count + self.missing_outside_count + self.different_count
        total = max(self.seen_count + self.missing_outside_count, 1)
        self.write(
            {
                "state": "done",
                "finished_at": fields.Datetime.now(),
                "drift": 100.0 * differing / total,
            }
        )
        self.env["integration.discrepancy"].search(
            [
                ("flow_id", "=", flow.id),
                ("state", "=", "open"),
                ("reconciliation_id", "<", self.id),
            ]
        ).state = "outdated"
        flow._note_drift(self)

    @api.model
    def _settle_runs(self):
        """Take over what became of the operations behind runs and repairs; for every heartbeat.

        A run whose operation has failed for good is failed, one whose operation was set aside is
        stopped, and one that has lost its operation gets another.
        """
        self.env.flush_all()
        self.env.cr.execute(
            """
            SELECT r.id, o.state, COALESCE(o.review_note, o.message)
              FROM integration_reconciliation r
              LEFT JOIN LATERAL (
                   SELECT state, message, review_note FROM integration_sync_log
                    WHERE flow_id = r.flow_id AND key = '*reconcile*'
                    ORDER BY id DESC LIMIT 1) o ON TRUE
             WHERE r.state IN ('draft', 'running')
               AND COALESCE(o.state, '') NOT IN ('pending', 'running')
            """
        )
        for run_id, state, message in self.env.cr.fetchall():
            run = self.browse(run_id)
            if state == "dead":
                run.write({"state": "failed", "message": message})
            elif state == "ignored":
                run.write(
                    {"state": "stopped", "message": message, "finished_at": fields.Datetime.now()}
                )
            else:
                run._append_operation(run.trigger)
        self.env["integration.discrepancy"]._settle_repairs()

    @api.autovacuum
    def _gc_runs(self):
        """Forget lines nobody has to look at after 90 days; the figures stay for two years."""
        now = fields.Datetime.now()
        ended = [("state", "not in", OPEN_STATES)]
        old = self.search(
            [*ended, ("create_date", "<", fields.Datetime.subtract(now, years=2))], limit=1000
        )
        lines = self.env["integration.discrepancy"].search(
            [
                ("state", "in", ("repaired", "outdated", "suspected")),
                ("create_date", "<", fields.Datetime.subtract(now, days=90)),
                ("reconciliation_id.state", "not in", OPEN_STATES),
            ],
            limit=10000,
        )
        done = len(old) + len(lines)
        lines.unlink()
        old.unlink()
        return done, int(len(old) == 1000 or len(lines) == 10000)

    # === ACTIONS === #

    def _check_manage_access(self):
        if not self.env.user.has_group("integration_base.group_integration_operator"):
            raise UserError(self.env._("Comparing needs the role Integration Operator."))
        self.check_access("read")

    def action_pause(self):
        """Let the run rest after its present page."""
        self._check_manage_access()
        # sudo: runs are written by the engine and by these buttons only
        self.sudo().filtered(lambda run: run.state in ("draft", "running")).state = "paused"

    def action_resume(self):
        """Go on where the run was paused or failed."""
        self._check_manage_access()
        # sudo: see action_pause
        for run in self.sudo().filtered(lambda run: run.state in ("paused", "failed")):
            run.flow_id._check_ready()
            # sudo: see action_pause
            others = self.sudo().search(
                [("flow_id", "=", run.flow_id.id), ("state", "in", OPEN_STATES)]
            )
            if others - run:
                raise UserError(
                    self.env._("A newer comparison of this flow is under way. Stop that one first.")
                )
            run.write({"state": "running" if run.started_at else "draft", "message": False})
            run._append_operation("manual")

    def action_stop(self):
        """End the run; what it has found stays."""
        self._check_manage_access()
        # sudo: see action_pause
        runs = self.sudo().filtered(lambda run: run.state in (*OPEN_STATES, "failed"))
        runs.write({"state": "stopped", "finished_at": fields.Datetime.now()})
        runs.discrepancy_ids.filtered(lambda line: line.state == "suspected").unlink()

    def action_open_discrepancies(self):
        """Open what the run found."""
        self.check_access("read")
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "integration_base.integration_discrepancy_action"
        )
        action["domain"] = [("reconciliation_id", "=", self.id), ("state", "!=", "suspected")]
        action["context"] = {}
        return action
