from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError

from odoo.addons.base.models.res_partner import _tz_get

from ..lib.schedule import MINUTES_A_DAY, Quiet, next_daily, parse_times, write_times
from ..lib.scopes import Scope
from .integration_engine import MAX_SLOTS
from .integration_sync_log import READERS

#: What changes the time of the next reading.
SCHEDULE_FIELDS = {
    "enabled",
    "interval_minutes",
    "schedule_kind",
    "schedule_times",
    "schedule_days",
    "tz",
    "quiet_hours",
    "quiet_from",
    "quiet_to",
}
#: Minutes between two readings of a flow that reads at times of day, when notifications fail.
DAILY_WITHOUT_PUSH = 30
#: Fewer vanished records than this ask nobody, whatever their share.
FEW = 5


class IntegrationFlow(models.Model):
    """One resource of a backend in one direction: what is switched on, scheduled and measured."""

    _name = "integration.flow"
    _inherit = ["integration.company.mixin"]
    _description = "Integration Flow"
    _order = "backend_id, resource, direction"
    _rec_names_search = ["resource", "backend_id.name"]

    name = fields.Char(compute="_compute_name")
    backend_id = fields.Many2one(
        "integration.backend", required=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one(related="backend_id.company_id", store=True, index=True)
    resource = fields.Char(required=True, readonly=True)
    direction = fields.Selection(
        [("in", "Into Odoo"), ("out", "Out of Odoo")], required=True, readonly=True
    )
    enabled = fields.Boolean(
        default=True,
        help="Off: notifications are still stored, and wait until it is on again. Changes in Odoo "
        "are not collected meanwhile: run the initial load once it is on again.",
    )
    user_id = fields.Many2one(
        "res.users",
        string="Responsible",
        help="Reviews failures, with the role Integration Operator. Without it, or empty: the "
        "backend's owner.",
    )
    interval_minutes = fields.Integer(
        string="Every (minutes)",
        aggregator=None,
        help="How often the service is asked what changed. 0: only notifications and buttons.",
    )
    schedule_kind = fields.Selection(
        [("interval", "Every few minutes"), ("daily", "At times of day")],
        string="Reads Changes",
        required=True,
        default="interval",
    )
    schedule_times = fields.Char(
        string="Times", help="Times of day, e.g. 06:00, 12:30. Clock changes are respected."
    )
    schedule_days = fields.Selection(
        [
            ("all", "Every day"),
            ("workdays", "Monday to Friday"),
            ("0", "Mondays"),
            ("1", "Tuesdays"),
            ("2", "Wednesdays"),
            ("3", "Thursdays"),
            ("4", "Fridays"),
            ("5", "Saturdays"),
            ("6", "Sundays"),
        ],
        string="Days",
        required=True,
        default="all",
    )
    tz = fields.Selection(
        _tz_get,
        string="Time Zone",
        required=True,
        default=lambda self: self.env.user.tz or "UTC",
    )
    quiet_hours = fields.Selection(
        [
            ("heavy", "Initial loads and comparisons wait"),
            ("scheduled", "Scheduled readings wait as well"),
        ],
        help="What waits while the service, or Odoo, is busy with people. Notifications and "
        "changes in Odoo are always worked on.",
    )
    quiet_from = fields.Float(string="Quiet from", aggregator=None)
    quiet_to = fields.Float(string="Quiet until", aggregator=None)
    heavy_from = fields.Datetime(
        string="Heavy Work from",
        readonly=True,
        help="Initial loads and comparisons go on then.",
    )
    heavy_until = fields.Datetime(readonly=True)
    heavy_waits = fields.Boolean(compute="_compute_heavy_waits")
    schedule_text = fields.Char(string="Schedule", compute="_compute_schedule_text")
    batch_size = fields.Integer(
        default=50,
        aggregator=None,
        help="Records fetched and written together. More than 50 orders do not pay.",
    )
    slots = fields.Integer(
        string="Parallel Drains",
        aggregator=None,
        default=1,
        help="One drain with large batches is the fastest for records that touch the same stock.",
    )
    max_attempts = fields.Integer(
        default=8, aggregator=None, help="Technical failures in a row before a person is asked."
    )
    retry_seconds = fields.Integer(
        string="First Retry (seconds)",
        default=10,
        aggregator=None,
        help="How long to wait after the first technical failure; each further wait is twice as "
        "long, and drawn at random around that.",
    )
    retry_max_seconds = fields.Integer(
        string="Longest Wait (seconds)", default=3600, aggregator=None
    )
    max_age_hours = fields.Integer(
        string="Give up after (hours)",
        default=72,
        aggregator=None,
        help="An operation that fails for technical reasons or waits for something for so long is "
        "left to a person.",
    )
    debounce_seconds = fields.Integer(
        string="Collect changes for (seconds)",
        aggregator=None,
        help="Changes of one record in Odoo within this time are exported together.",
    )
    priority = fields.Integer(
        default=10, aggregator=None, help="Of two flows with work to do, the lower one goes first."
    )
    overlap_seconds = fields.Integer(
        string="Overlap (seconds)",
        default=300,
        aggregator=None,
        help="How far each listing reaches back before the last one, for changes that the "
        "service's search showed late. Records already known are not fetched again.",
    )
    cursor_at = fields.Datetime(
        string="Read up to",
        help="Everything the service changed until then is in the sync log. Set it back to read "
        "again: what did not change costs nothing. Empty: from the very beginning.",
    )
    cursor_page = fields.Json(readonly=True)
    next_run_at = fields.Datetime(string="Next Reading", readonly=True, index=True)
    blocked_until = fields.Datetime(
        readonly=True, help="The service asked for a break; waiting work starts then."
    )
    alone_until = fields.Datetime(
        string="One Drain until",
        readonly=True,
        help="Its parallel drains wanted the same records of Odoo; one is faster then.",
    )
    last_success_at = fields.Datetime(string="Last Success", readonly=True)
    held_reason = fields.Text(
        readonly=True, help="Why the flow does nothing until a person has decided."
    )
    refused_scopes = fields.Char(
        readonly=True,
        copy=False,
        help="Access that the service has refused the flow for lack of, until it is granted.",
    )
    missing_scopes = fields.Char(
        string="Missing Access",
        readonly=True,
        copy=False,
        help="Access scopes that the flow needs and the service does not grant. Its operations "
        "wait until it does.",
    )
    scope_text = fields.Text(compute="_compute_scope_text")
    reconcile_days = fields.Integer(
        string="Compare every (days)",
        aggregator=None,
        help="How often both sides are compared, record by record. 0: only by button.",
    )
    next_reconcile_at = fields.Datetime(string="Next Comparison", readonly=True)
    reconcile_repair = fields.Selection(
        [
            ("report", "Report only"),
            ("missing", "Repair what is missing"),
            ("all", "Repair everything"),
        ],
        string="After a Comparison",
        required=True,
        default="report",
        help="Missing: records that never arrived are brought over. Everything: records that "
        "differ are written anew by the side that decides, and deletions there are followed too.",
    )
    drift = fields.Float(
        string="Drift (%)",
        digits=(6, 2),
        readonly=True,
        aggregator="avg",
        help="Share of the records that were missing or different in the last comparison.",
    )
    drift_limit = fields.Float(
        string="Alert above (%)",
        digits=(6, 2),
        default=2.0,
        aggregator=None,
        help="A comparison with more missing or different records than that opens an incident.",
    )
    vanish_limit = fields.Float(
        string="Ask when more vanish than (%)",
        digits=(6, 2),
        default=10.0,
        aggregator=None,
        help="When more records than that, and at least 5, are gone within a day or in one "
        "comparison, the flow stops and asks before Odoo follows.",
    )
    vanish_decided_at = fields.Datetime(readonly=True)
    push_since = fields.Datetime(
        string="Notifications Measured Since",
        readonly=True,
        copy=False,
        help="Since when the service notifies of changes, or does so again.",
    )
    push_count = fields.Integer(
        string="Changes in 24 Hours", readonly=True, copy=False, aggregator=None
    )
    push_share = fields.Float(
        string="Learnt by Notification (%)",
        digits=(5, 1),
        readonly=True,
        copy=False,
        aggregator=None,
        help="Share of the records changed in the last 24 hours that the service told of before "
        "they were found by reading.",
    )
    push_degraded = fields.Boolean(
        string="Notifications Missing",
        readonly=True,
        copy=False,
        help="Changes are read more often until the notifications come again.",
    )
    waiting_count = fields.Integer(compute="_compute_counts")
    failed_count = fields.Integer(compute="_compute_counts")
    oldest_waiting_at = fields.Datetime(string="Oldest Waiting", compute="_compute_counts")
    hourly_count = fields.Integer(
        string="Done in the Last Hour",
        compute="_compute_hourly_count",
        help="Operations that ended well.",
    )
    backfill_ids = fields.One2many("integration.backfill", "flow_id", string="Initial Loads")
    discrepancy_count = fields.Integer(compute="_compute_discrepancy_count", groups=READERS)

    _resource_unique = models.Constraint(
        "UNIQUE(backend_id, resource, direction)", "A backend has each flow once."
    )
    _limits = models.Constraint(
        f"CHECK(batch_size BETWEEN 1 AND 500 AND slots BETWEEN 1 AND {MAX_SLOTS} "
        "AND max_attempts > 0 AND interval_minutes >= 0 AND overlap_seconds >= 0 "
        "AND retry_seconds > 0 AND retry_max_seconds >= retry_seconds AND max_age_hours > 0 "
        "AND debounce_seconds BETWEEN 0 AND 3600 AND reconcile_days >= 0 "
        "AND drift_limit BETWEEN 0 AND 100 AND vanish_limit BETWEEN 0 AND 100)",
        "Batch size (1 to 500), parallel drains (1 to 8), attempts, waits, interval, overlap or a "
        "share (0 to 100 %) is out of its limits.",
    )

    # === COMPUTE METHODS === #

    @api.depends("backend_id", "resource", "direction")
    def _compute_name(self):
        directions = dict(self._fields["direction"]._description_selection(self.env))
        for flow in self:
            title = flow.resource
            if flow.backend_id and flow.resource in flow.backend_id._connector()._resource_codes():
                title = flow._resource()._resource_name
            flow.name = f"{title} ({directions.get(flow.direction, '')})"

    @api.depends("backend_id.name", "name")
    def _compute_display_name(self):
        for flow in self:
            flow.display_name = f"{flow.backend_id.name}: {flow.name}"

    @api.depends_context("uid")
    def _compute_counts(self):
        rows = self.env["integration.sync.log"]._read_group(
            [("flow_id", "in", self.ids), ("state", "in", ("pending", "running", "dead"))],
            ["flow_id", "state"],
            ["__count", "create_date:min"],
        )
        counts = {(flow.id, state): (count, oldest) for flow, state, count, oldest in rows}
        for flow in self:
            waiting, oldest = counts.get((flow.id, "pending"), (0, False))
            flow.waiting_count = waiting + counts.get((flow.id, "running"), (0, False))[0]
            flow.oldest_waiting_at = oldest
            flow.failed_count = counts.get((flow.id, "dead"), (0, False))[0]

    @api.depends("heavy_from")
    def _compute_heavy_waits(self):
        """Whether it is quiet hours now."""
        now = fields.Datetime.now()
        for flow in self:
            flow.heavy_waits = bool(flow.heavy_from) and flow.heavy_from > now

    @api.depends_context("uid")
    def _compute_hourly_count(self):
        rows = self.env["integration.sync.log"]._read_group(
            [
                ("flow_id", "in", self.ids),
                ("state", "in", ("done", "merged")),
                ("kind", "=", "record"),
                ("finished_at", ">=", fields.Datetime.now() - timedelta(hours=1)),
            ],
            ["flow_id"],
            ["__count"],
        )
        counts = {flow.id: count for flow, count in rows}
        for flow in self:
            flow.hourly_count = counts.get(flow.id, 0)

    @api.depends(
        "direction",
        "enabled",
        "schedule_kind",
        "interval_minutes",
        "schedule_times",
        "schedule_days",
        "tz",
        "quiet_hours",
        "quiet_from",
        "quiet_to",
    )
    def _compute_schedule_text(self):
        """Say in words when changes are read and what waits."""
        for flow in self:
            flow.schedule_text = " ".join(filter(None, (flow._say_runs(), flow._say_quiet())))

    def _say_runs(self):
        if self.direction == "out":
            return self.env._("Changes in Odoo are sent as they happen.")
        if not self._is_scheduled():
            return self.env._("Only notifications and buttons.")
        if self.schedule_kind == "interval":
            return self.env._("Changes are read every %s minutes.", self.interval_minutes)
        days = dict(self._fields["schedule_days"]._description_selection(self.env))
        return self.env._(
            "Changes are read at %(times)s (%(days)s, %(tz)s).",
            times=self.schedule_times,
            days=days[self.schedule_days],
            tz=self.tz,
        )

    def _say_quiet(self):
        if not self.quiet_hours:
            return ""
        held_back = dict(self._fields["quiet_hours"]._description_selection(self.env))
        return self.env._(
            "From %(begin)s to %(end)s: %(what)s.",
            begin=write_times([self._minutes(self.quiet_from)]),
            end=write_times([self._minutes(self.quiet_to)]),
            what=held_back[self.quiet_hours],
        )

    @api.depends("enabled", "missing_scopes", "refused_scopes", "backend_id.granted_scopes")
    def _compute_scope_text(self):
        """Say which access the flow lacks, whether it is on or not."""
        for flow in self:
            lacking = flow._lacking_scopes()
            flow.scope_text = bool(lacking) and self.env._(
                "%(flow)s needs what %(service)s does not grant: %(scopes)s. %(advice)s",
                flow=flow.name,
                service=flow.backend_id.name,
                scopes=", ".join(f"{scope.name} ({scope.reason})" for scope in lacking),
                advice=flow.backend_id._connector()._scope_advice(flow.backend_id),
            )

    @api.onchange("enabled")
    def _onchange_enabled(self):
        if self.enabled and self.scope_text:
            return {
                "warning": {
                    "title": self.env._("Access Missing"),
                    "message": self.env._(
                        "%s Until then the flow waits, and nothing is lost.", self.scope_text
                    ),
                }
            }
        return None

    # === CRUD METHODS === #

    @api.model_create_multi
    def create(self, vals_list):
        flows = super().create(vals_list)
        self.env["integration.webhook.event"]._forget_targets()
        flows._schedule()
        self.env["integration.outbox"]._forget_index()
        return flows

    def write(self, vals):
        if "cursor_at" in vals and "cursor_page" not in vals:
            # a reading that was interrupted would go on where it was, and set the cursor itself
            vals = {**vals, "cursor_page": False}
        result = super().write(vals)
        if SCHEDULE_FIELDS & vals.keys():
            self._schedule()
        if {"quiet_hours", "quiet_from", "quiet_to", "tz"} & vals.keys():
            self._plan_heavy_work()
            self._wake_after_commit()
        if "enabled" in vals:
            self.env["integration.outbox"]._forget_index()
            for backend in self.backend_id:
                self.env["integration.scope"]._refresh(backend)
        if {"enabled", "slots", "batch_size"} & vals.keys():
            self._wake_after_commit()
        return result

    @api.constrains("user_id", "company_id")
    def _check_user_company(self):
        for flow in self.filtered("user_id"):
            if flow.company_id not in flow.user_id.company_ids:
                raise ValidationError(
                    self.env._(
                        "%(user)s may not work in %(company)s.",
                        user=flow.user_id.name,
                        company=flow.company_id.name,
                    )
                )

    @api.constrains("quiet_hours", "quiet_from", "quiet_to")
    def _check_quiet_hours(self):
        for flow in self.filtered("quiet_hours"):
            hours = (flow.quiet_from, flow.quiet_to)
            if min(hours) < 0 or max(hours) >= 24 or len(set(map(self._minutes, hours))) == 1:
                raise ValidationError(
                    self.env._(
                        "Quiet hours begin and end at two different times from 00:00 to 23:59."
                    )
                )

    @api.constrains("schedule_kind", "schedule_times")
    def _check_schedule_times(self):
        for flow in self:
            if flow.schedule_kind != "daily":
                continue
            try:
                parse_times(flow.schedule_times or "")
            except ValueError as error:
                raise ValidationError(
                    self.env._(
                        "%(text)s is no time of day. Write times like 06:00, 12:30.",
                        text=repr(str(error)),
                    )
                )

    # === BUSINESS METHODS === #

    def _resource(self):
        """Return the behaviour (AbstractModel ``integration.<connector>.<resource>``)."""
        self.ensure_one()
        return self.backend_id._resource(self.resource)

    # === BUSINESS METHODS - ACCESS === #

    def _needed_scopes(self):
        """Return the :class:`~..lib.scopes.Scope` this flow needs at the service."""
        self.ensure_one()
        connector = self.backend_id._connector()
        if self.resource not in connector._resource_codes():
            return []
        scopes = list(self._resource()._resource_scopes(self.backend_id, self.direction))
        declared = {scope.name for scope in scopes if not scope.optional}
        reason = self.env._("the service refuses the flow without it")
        return scopes + [
            Scope(name, reason)
            for name in (self.refused_scopes or "").split()
            if name not in declared
        ]

    def _lacking_scopes(self):
        """Return the scopes this flow cannot do without and has not got, as far as is known."""
        self.ensure_one()
        refused = (self.refused_scopes or "").split()
        needed = {scope.name: scope for scope in self._needed_scopes() if not scope.optional}
        lacking = {*self.backend_id._scopes_lacking(needed), *refused}
        return [scope for name, scope in needed.items() if name in lacking]

    def _note_refused(self, alternatives):
        """Stop the flow: the service has refused it for lack of access scopes.

        :param alternatives: tuples of names, one of each is enough. The one that the resource
            declares is meant, else the first.
        """
        self.ensure_one()
        declared = {scope.name for scope in self._needed_scopes()}
        names = {
            next((name for name in names if name in declared), names[0]) for names in alternatives
        }
        self.refused_scopes = " ".join(sorted(names.union((self.refused_scopes or "").split())))
        # what it said to grant before is no longer true
        implied = self.backend_id._connector()._implied_scopes
        granted = self.backend_id._granted_scopes()
        if granted is not None:
            self.backend_id.granted_scopes = [
                name for name in granted if name not in names and not names & set(implied(name))
            ]
        self.missing_scopes = " ".join(scope.name for scope in self._lacking_scopes())

    def _stop_without_scopes(self):
        """Stop the flow if it lacks access, or let it go on, and tell the person in charge."""
        self.ensure_one()
        Incident = self.env["integration.incident"]
        lacking = self._lacking_scopes() if self.enabled else []
        missing = " ".join(scope.name for scope in lacking) or False
        stopped = self.missing_scopes
        if stopped != missing:
            self.missing_scopes = missing
        if missing:
            Incident._raise(
                "scopes", self.backend_id, str(self.id), self.scope_text, flow=self, count=1
            )
        elif stopped:
            Incident._resolve("scopes", self.backend_id, str(self.id))
            self._wake_after_commit()

    # === BUSINESS METHODS - SCHEDULE === #

    def _is_scheduled(self):
        return self.direction == "in" and bool(
            self.schedule_times if self.schedule_kind == "daily" else self.interval_minutes
        )

    def _schedule(self):
        """Plan the next listing of changes; an interval begins with one at once."""
        now = fields.Datetime.now()
        for flow in self:
            if not flow.enabled or not flow._is_scheduled():
                flow.next_run_at = False
            elif flow.schedule_kind == "daily":
                flow.next_run_at = flow._next_run(now)
            else:
                flow.next_run_at = flow._after_quiet_hours(now)

    def _next_run(self, now):
        """Return when changes have to be read next (naive UTC), False for never.

        :param datetime now: naive UTC, the time of the present reading.
        """
        self.ensure_one()
        if not self._is_scheduled():
            return False
        if self.schedule_kind == "interval":
            planned = now + timedelta(minutes=self.interval_minutes)
        else:
            days = {"all": range(7), "workdays": range(5)}.get(self.schedule_days)
            times = parse_times(self.schedule_times)
            planned = next_daily(now, times, self.tz, days or [int(self.schedule_days)])
        if self.push_degraded:
            planned = min(planned, now + timedelta(minutes=self._minutes_without_push()))
        return self._after_quiet_hours(planned)

    def _minutes_without_push(self):
        """Return how often changes are read while the notifications are missing."""
        if self.schedule_kind == "daily":
            return DAILY_WITHOUT_PUSH
        return max(1, self.interval_minutes // 5)

    def _quiet(self):
        """Return the :class:`~..lib.schedule.Quiet` hours, None when there are none."""
        if not self.quiet_hours:
            return None
        return Quiet(self._minutes(self.quiet_from), self._minutes(self.quiet_to), self.tz)

    @staticmethod
    def _minutes(hours):
        return min(round(hours * 60), MINUTES_A_DAY - 1)

    def _after_quiet_hours(self, planned):
        quiet = self._quiet() if self.quiet_hours == "scheduled" else None
        return quiet.after(planned) if quiet else planned

    def _plan_heavy_work(self):
        """Set the time from which on heavy work may be done, and until when that holds.

        The engine compares plain time stamps; the watchdog calls this at the end of each period.
        """
        now = fields.Datetime.now()
        for flow in self:
            quiet = flow._quiet()
            if not quiet:
                flow.heavy_from = flow.heavy_until = False
                continue
            begin, end = quiet.period(now)
            if begin > now:
                flow.heavy_from, flow.heavy_until = now, begin
            else:
                flow.heavy_from, flow.heavy_until = end, quiet.period(end)[0]

    @api.model
    def _step_quiet_hours(self):
        """Open or close the gate for heavy work where quiet hours begin; a step of the watchdog."""
        flows = self.search([("heavy_until", "<=", fields.Datetime.now())])
        flows.try_lock_for_update()._plan_heavy_work()

    def _wake_after_commit(self):
        """Start a drain of these flows once the present transaction is committed."""
        if self.ids:
            self.env["integration.engine"]._wake_after_commit(self.ids)

    def _read_since(self):
        """Return from when on the next listing has to read (naive UTC), None for everything."""
        self.ensure_one()
        if not self.cursor_at:
            return None
        return self.cursor_at - timedelta(seconds=self.overlap_seconds)

    # === COMPARING === #

    def _repaired_kinds(self):
        """Return the kinds of discrepancies that are repaired without asking."""
        self.ensure_one()
        return {
            "report": [],
            "missing": ["missing_in_odoo" if self.direction == "in" else "missing_outside"],
            "all": ["missing_in_odoo", "missing_outside", "different"],
        }[self.reconcile_repair]

    def _note_drift(self, run):
        """Take over the figure of a comparison, and open or close the incident about it."""
        self.ensure_one()
        self.drift = run.drift
        Incident = self.env["integration.incident"]
        if run.drift > self.drift_limit:
            message = self.env._(
                "%(share).2f %% of the records of %(flow)s are missing or different: %(odoo)s "
                "missing in Odoo, %(outside)s missing outside, %(different)s different.",
                share=run.drift,
                flow=self.display_name,
                odoo=run.missing_in_odoo_count,
                outside=run.missing_outside_count,
                different=run.different_count,
            )
            Incident._raise("drift", self.backend_id, str(self.id), message, flow=self)
        else:
            reason = self.env._("A later comparison found both sides in agreement.")
            Incident._resolve("drift", self.backend_id, str(self.id), reason)

    # === VANISHED RECORDS === #

    def _too_many_vanished(self, count):
        """Whether so many records are gone that a person has to confirm it.

        Counted are these and those of the last 24 hours, unless somebody has decided since.

        :param int count: records that are gone and have no tombstone yet.
        """
        self.ensure_one()
        since = fields.Datetime.now() - timedelta(days=1)
        since = max(since, self.vanish_decided_at or since)
        mine = [("backend_id", "=", self.backend_id.id), ("resource", "=", self.resource)]
        Binding = self.env["integration.binding"]
        before = Binding.search_count([*mine, ("deleted_at", ">", since)])
        present = Binding.search_count([*mine, ("deleted_at", "=", False)])
        vanished = count + before
        return (
            count > 0
            and vanished >= FEW
            and vanished * 100 > self.vanish_limit * (present + before)
        )

    def _hold_vanished(self, count):
        """Stop the flow and ask a person whether the records are really gone."""
        self.ensure_one()
        self.held_reason = self.env._(
            "%(count)s or more records of %(flow)s no longer exist in %(backend)s. That many at "
            "once may be a mistake there, or a permission that was withdrawn. Nothing of them was "
            "changed in Odoo, and the flow waits for your decision.",
            count=count,
            flow=self.name,
            backend=self.backend_id.name,
        )
        self.env["integration.incident"]._raise(
            "vanished", self.backend_id, str(self.id), self.held_reason, flow=self, count=count
        )

    def _release_vanished(self, message):
        self.write({"held_reason": False, "vanish_decided_at": fields.Datetime.now()})
        self.env["integration.incident"]._resolve(
            "vanished", self.backend_id, str(self.id), message
        )
        self._wake_after_commit()

    def _check_decision_access(self):
        if not self.env.user.has_group("integration_base.group_integration_operator"):
            raise UserError(
                self.env._("Deciding about vanished records needs the role Integration Operator.")
            )
        self.check_access("read")

    def action_accept_vanished(self):
        """Follow the deletions: the records are really gone. The flow goes on."""
        self._check_decision_access()
        # sudo: operators decide about a flow they may not configure
        for flow in self.sudo().filtered("held_reason"):
            flow._vanished_operations().write({"force": True})
            flow._open_comparison().vanished_accepted = True
            flow._release_vanished(
                self.env._("%s confirmed that the records are gone.", self.env.user.name)
            )

    def action_keep_vanished(self):
        """Leave the records in Odoo as they are, whatever became of them outside."""
        self._check_decision_access()
        # sudo: see action_accept_vanished
        for flow in self.sudo().filtered("held_reason"):
            reason = self.env._("%s decided to keep the records in Odoo.", self.env.user.name)
            run = flow._open_comparison()
            lines = run.discrepancy_ids.filtered(
                lambda line: line.kind == "missing_outside" and line.state == "open"
            )
            operations = flow._vanished_operations()
            gone = {*lines.mapped("external_id"), *operations.mapped("external_id")} - {False}
            # sudo: see action_accept_vanished
            self.env["integration.binding"].sudo()._search_external(
                flow.backend_id, flow.resource, list(gone)
            )._entomb()
            lines._ignore(reason)
            operations.write(
                {"state": "ignored", "reviewed_by_id": self.env.uid, "review_note": reason}
            )
            run.vanished_accepted = True
            flow._release_vanished(reason)

    def _vanished_operations(self):
        """Return the operations that wait for the decision about vanished records."""
        return self.env["integration.sync.log"].search(
            [
                ("flow_id", "=", self.id),
                ("state", "=", "pending"),
                ("error_class", "=", "vanished"),
            ]
        )

    def _open_comparison(self):
        """Return the comparison under way, an empty one if there is none."""
        return self.env["integration.reconciliation"].search(
            [("flow_id", "=", self.id), ("state", "in", ("draft", "running", "paused"))]
        )

    @api.depends_context("uid")
    def _compute_discrepancy_count(self):
        rows = self.env["integration.discrepancy"]._read_group(
            [("flow_id", "in", self.ids), ("state", "=", "open")], ["flow_id"], ["__count"]
        )
        counts = {flow.id: count for flow, count in rows}
        for flow in self:
            flow.discrepancy_count = counts.get(flow.id, 0)

    def action_compare(self):
        """Start a comparison of both sides and show it."""
        if not self.env.user.has_group("integration_base.group_integration_operator"):
            raise UserError(self.env._("Comparing needs the role Integration Operator."))
        self.check_access("read")
        self.ensure_one()
        self._check_ready()
        run = self.env["integration.reconciliation"]._start(self, "manual")
        return {
            "type": "ir.actions.act_window",
            "res_model": run._name,
            "res_id": run.id,
            "view_mode": "form",
        }

    def action_open_comparisons(self):
        """Open the comparisons of this flow, with the history of their drift."""
        self.check_access("read")
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "integration_base.integration_reconciliation_action"
        )
        action["domain"] = [("flow_id", "=", self.id)]
        action["context"] = {}
        return action

    # === JOBS === #

    def _job_drain(self):
        """Process the due operations of this flow."""
        self.ensure_one()
        return self.env["integration.engine"]._drain(self.id)

    @api.model
    def _job_heartbeat(self):
        """Keep the engine alive; this one job repeats for ever."""
        self.env["integration.watchdog"]._heartbeat()

    @api.model
    def _cron_keep_alive(self):
        """Safety net behind the heartbeat, which repairs everything within seconds."""
        self.env["integration.watchdog"]._keep_alive()

    # === ACTIONS === #

    def action_read_changes(self):
        """Ask the service now what changed since the last reading, and say what came."""
        self.check_access("write")
        self._check_ready()
        outcomes = [self.env["integration.sync.log"]._append_and_run(flow) for flow in self]
        self._wake_after_commit()
        return (
            outcomes[0]
            if len(outcomes) == 1
            else {"type": "ir.actions.client", "tag": "soft_reload"}
        )

    def action_import_history(self):
        """Open the initial load under way, or a new one to fill in and start."""
        self.ensure_one()
        open_load = self.backfill_ids.filtered(
            lambda load: load.state in ("draft", "running", "paused", "failed")
        )[:1]
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Initial Load"),
            "res_model": "integration.backfill",
            "res_id": open_load.id,
            "view_mode": "form",
            "context": {"default_flow_id": self.id},
        }

    def action_open_failed(self):
        self.ensure_one()
        action = self.backend_id.action_open_failed()
        action["domain"] = [("flow_id", "=", self.id)]
        return action

    def action_open_operations(self):
        self.ensure_one()
        action = self.backend_id.action_open_operations()
        action["domain"] = [("flow_id", "=", self.id)]
        return action

    def _check_ready(self):
        """Refuse what cannot work now, with the reason.

        :raises UserError: when the flow is off or its backend is not connected.
        """
        for flow in self:
            if flow.backend_id.state != "active":
                raise UserError(
                    self.env._(
                        "%(backend)s is not connected. Open it. %(button)s",
                        backend=flow.backend_id.name,
                        button=flow.backend_id._connect_advice(),
                    )
                )
            if not flow.enabled:
                raise UserError(
                    self.env._("%s is switched off. Switch the flow on first.", flow.display_name)
                )
            if flow.held_reason:
                raise UserError(flow.held_reason)
            if flow.missing_scopes:
                raise UserError(flow.scope_text)
