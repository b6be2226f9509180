from datetime import UTC, datetime, time, timedelta

from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError
from odoo.fields import Domain
from odoo.tools import SQL

from ..lib.schedule import zone

#: Operations of an initial load that may wait at the same time: enough for full batches, few enough
#: to be paused and to leave the sync log readable.
MAX_WAITING = 1000
#: Outgoing records appended with one page.
PAGE_SIZE = 500
#: Key of the operation that reads the pages, see ``integration.sync.log``.
PAGE_KEY = "*backfill*"


class IntegrationBackfill(models.Model):
    """The initial load of a flow: all records of one side, or those of a period, to the other.

    It reads page by page (an operation of the kind ``backfill``), appends operations that give way
    to live work, and pauses while many of them wait. Its position is committed together with the
    operations of the page, so it goes on where it was, whatever happens. The cursor of the flow is
    left alone: changes are read and worked on meanwhile.
    """

    _name = "integration.backfill"
    _inherit = ["integration.company.mixin"]
    _description = "Initial Load"
    _order = "id desc"

    flow_id = fields.Many2one("integration.flow", required=True, ondelete="cascade", index=True)
    backend_id = fields.Many2one(related="flow_id.backend_id", store=True, index=True)
    company_id = fields.Many2one(related="flow_id.company_id", store=True, index=True)
    direction = fields.Selection(related="flow_id.direction")
    date_basis = fields.Selection(
        [("changed", "Last Change"), ("made", "Own Date")],
        string="Period by",
        required=True,
        default="changed",
        help="Own date: when a record was made, an order placed, whatever happened to it since.",
    )
    has_period = fields.Boolean(compute="_compute_notice")
    notice = fields.Text(compute="_compute_notice")
    date_from = fields.Date(
        string="Since", help="Only records of that day or later. Empty: from the beginning."
    )
    date_to = fields.Date(string="Until", help="Only records of that day or earlier. Empty: all.")
    state = fields.Selection(
        [
            ("draft", "New"),
            ("running", "Running"),
            ("paused", "Paused"),
            ("failed", "Failed"),
            ("done", "Done"),
            ("cancelled", "Cancelled"),
        ],
        required=True,
        default="draft",
        readonly=True,
        copy=False,
    )
    message = fields.Text(readonly=True, copy=False)
    cursor_page = fields.Json(readonly=True, copy=False)
    read_all = fields.Boolean(
        string="All Pages Read", readonly=True, copy=False, help="The rest is being worked on."
    )
    found = fields.Integer(readonly=True, copy=False, aggregator=None)
    appended = fields.Integer(
        string="To be Transferred",
        readonly=True,
        copy=False,
        aggregator=None,
        help="Found and not yet known in this version.",
    )
    total = fields.Integer(
        readonly=True, copy=False, aggregator=None, help="As counted at the beginning, if it could."
    )
    started_at = fields.Datetime(readonly=True, copy=False)
    finished_at = fields.Datetime(readonly=True, copy=False)
    resumed_at = fields.Datetime(readonly=True, copy=False)
    resumed_count = fields.Integer(readonly=True, copy=False, aggregator=None)
    waiting_count = fields.Integer(string="Waiting", compute="_compute_progress")
    failed_count = fields.Integer(string="Failed Records", compute="_compute_progress")
    processed_count = fields.Integer(string="Processed", compute="_compute_progress")
    progress = fields.Float(compute="_compute_progress")
    hourly_rate = fields.Integer(string="Records per Hour", compute="_compute_progress")
    expected_at = fields.Datetime(string="Expected to End", compute="_compute_progress")
    heavy_from = fields.Datetime(related="flow_id.heavy_from")
    heavy_waits = fields.Boolean(related="flow_id.heavy_waits")

    _running_unique = models.UniqueIndex(
        "(flow_id) WHERE state IN ('running', 'paused', 'failed')",
        "This flow has an initial load under way. Finish or cancel it first.",
    )
    _dates = models.Constraint(
        "CHECK(date_from IS NULL OR date_to IS NULL OR date_from <= date_to)",
        "The period ends before it begins.",
    )

    # === COMPUTE METHODS === #

    @api.depends("flow_id.display_name", "date_from", "date_to")
    def _compute_display_name(self):
        for backfill in self:
            period = " - ".join(
                fields.Date.to_string(date) if date else "…"
                for date in (backfill.date_from, backfill.date_to)
                if backfill.date_from or backfill.date_to
            )
            backfill.display_name = " ".join(
                filter(None, [backfill.flow_id.display_name, period and f"({period})"])
            )

    @api.depends("flow_id", "date_from", "date_basis")
    def _compute_notice(self):
        for backfill in self:
            flow = backfill.flow_id
            incoming = bool(flow) and flow.direction == "in"
            resource = flow._resource() if incoming else None
            backfill.has_period = incoming and resource._resource_has_period
            since = backfill._period()[0] if incoming else None
            backfill.notice = incoming and resource._period_notice(flow.backend_id, since)

    @api.constrains("date_basis", "flow_id")
    def _check_date_basis(self):
        for backfill in self:
            if backfill.date_basis == "made" and not backfill.has_period:
                raise ValidationError(
                    self.env._(
                        "%s cannot be read by a date of its own. Choose Period by: Last Change.",
                        backfill.flow_id.display_name,
                    )
                )

    @api.depends("state", "found", "total", "resumed_at", "resumed_count", "started_at")
    def _compute_progress(self):
        now = fields.Datetime.now()
        for backfill in self:
            counts = backfill._count_operations()
            backfill.waiting_count = counts.get("pending", 0) + counts.get("running", 0)
            backfill.failed_count = counts.get("dead", 0)
            processed = max(backfill.found - backfill.waiting_count, 0)
            backfill.processed_count = processed
            total = max(backfill.total, backfill.found)
            # without a count nobody knows how much is left, until the last page is read
            known = backfill.total or backfill.read_all
            backfill.progress = 100 * processed / total if known and total else 0
            if backfill.state == "done":
                backfill.progress = 100
            begin, done = backfill.resumed_at, processed - backfill.resumed_count
            if backfill.state == "done":
                begin, done = backfill.started_at, processed
            seconds = ((backfill.finished_at or now) - begin).total_seconds() if begin else 0
            rate = done / seconds if seconds > 0 and backfill.state in ("running", "done") else 0
            backfill.hourly_rate = round(rate * 3600)
            left = total - processed
            backfill.expected_at = (
                now + timedelta(seconds=left / rate)
                if rate > 0 and known and backfill.state == "running"
                else False
            )

    def _count_operations(self):
        """Return ``{state: count}`` of the open and failed operations of this load."""
        self.ensure_one()
        if not self.started_at:
            return {}
        rows = self.env["integration.sync.log"]._read_group(
            [*self._operations_domain(), ("state", "in", ("pending", "running", "dead"))],
            ["state"],
            ["__count"],
        )
        return dict(rows)

    def _operations_domain(self):
        return [
            ("flow_id", "=", self.flow_id.id),
            ("backend_id", "=", self.backend_id.id),
            ("trigger", "=", "backfill"),
            ("kind", "=", "record"),
            ("create_date", ">=", self.started_at),
        ]

    # === CRUD METHODS === #

    @api.ondelete(at_uninstall=False)
    def _unlink_except_open(self):
        if any(backfill.state in ("running", "paused", "failed") for backfill in self):
            raise UserError(self.env._("Cancel the initial load before you delete it."))

    # === READING (engine) === #

    @api.model
    def _run_page(self, flow, backend, operation):
        """Read the next page of the flow's initial load and append its operations.

        Called by the engine in a transaction of its own, whose errors, retries and waits are those
        of the operation.

        :param flow: the flow, in the environment of the work.
        :param dict operation: the operation of the kind ``backfill`` that was claimed.
        :returns: whether to go on with another page at once. The watchdog appends the next
            operation when enough of the waiting ones are done.
        :raises IntegrationError: see ``lib/errors.py``.
        """
        backfill = self.search([("flow_id", "=", flow.id), ("state", "=", "running")])
        if not backfill or backfill.read_all:
            return False
        if backfill._waiting() >= MAX_WAITING:
            return False
        read = backfill._read_in if flow.direction == "in" else backfill._read_out
        first = not backfill.cursor_page
        values = read(flow, backend)
        if first:
            values["total"] = backfill._count_all(flow, backend) or 0
        backfill.write(values)
        return not backfill.read_all and backfill._waiting() < MAX_WAITING

    def _waiting(self):
        counts = self._count_operations()
        return counts.get("pending", 0) + counts.get("running", 0)

    def _read_in(self, flow, backend):
        """Append what is new of the next page of the service; returns the values to write."""
        since, until = self._period()
        position = self.cursor_page or {"page": None}
        if self.date_basis == "made":
            page = backend._with_renewed_auth(
                lambda: flow._resource()._fetch_period(backend, since, until, position["page"])
            )
            until = None
            whole = False
        else:
            page, whole = self._read_changes(flow, backend, since, position)
        wanted = [
            change
            for change in page.changes
            if not until or not change.updated_at or change.updated_at < until
        ]
        # in an ordered listing, everything behind what is too new is too new as well
        beyond = page.ordered and len(wanted) < len(page.changes)
        new = self.env["integration.listing"]._unknown_changes(flow, wanted)
        self.env["integration.sync.log"]._append(flow, new, "backfill")
        return {
            "found": self.found + len(wanted),
            "appended": self.appended + len(new),
            "cursor_page": {"page": page.next_page, "whole": whole},
            "read_all": beyond or page.next_page is None,
        }

    def _read_changes(self, flow, backend, since, position):
        """Return the next page, and whether it comes from a listing with payloads."""
        resource, start = flow._resource(), position["page"]
        if position.get("whole", start is None):
            page = backend._with_renewed_auth(lambda: resource._fetch_all(backend, since, start))
            if page is not None:
                return page, True
            # its positions are not those of the other listing
            start = None
        page = backend._with_renewed_auth(lambda: resource._fetch_changes(backend, since, start))
        return page, False

    def _read_out(self, flow, backend):
        """Append the next records of Odoo; returns the values to write."""
        position = self.cursor_page or {"page": 0}
        domain = self._out_domain(flow, backend) & Domain("id", ">", position["page"])
        records = self._out_model(flow).search(domain, order="id", limit=PAGE_SIZE)
        self.env["integration.sync.log"]._append_records(flow, records, "backfill")
        return {
            "found": self.found + len(records),
            "appended": self.appended + len(records),
            "cursor_page": {"page": max(records.ids, default=position["page"])},
            "read_all": len(records) < PAGE_SIZE,
        }

    def _out_model(self, flow):
        return flow.env[flow._resource()._resource_model]

    def _out_domain(self, flow, backend):
        resource = flow._resource()
        domain = Domain(resource._export_domain(backend))
        if (resource._resource_load_scope or resource._resource_export_scope) == "bound":
            bindings = SQL(
                "(SELECT res_id FROM integration_binding WHERE backend_id = %s AND resource = %s"
                " AND res_model = %s)",
                backend.id,
                flow.resource,
                resource._resource_model,
            )
            domain &= Domain("id", "in", bindings)
        since, until = self._period()
        if since:
            domain &= Domain("write_date", ">=", since)
        if until:
            domain &= Domain("write_date", "<", until)
        return domain

    def _count_all(self, flow, backend):
        """Return how many records there are to read, None when nobody can tell."""
        if flow.direction == "out":
            return self._out_model(flow).search_count(self._out_domain(flow, backend))
        if self.date_basis == "made":
            return backend._with_renewed_auth(
                lambda: flow._resource()._count_period(backend, *self._period())
            )
        if self.date_from or self.date_to:
            return None
        return backend._with_renewed_auth(lambda: flow._resource()._count(backend))

    def _period(self):
        """Return begin and end (exclusive) of the period, naive UTC, None where it is open."""

        def midnight(date):
            wall = datetime.combine(date, time(), tzinfo=zone(self.flow_id.tz))
            return wall.astimezone(UTC).replace(tzinfo=None)

        return (
            midnight(self.date_from) if self.date_from else None,
            midnight(self.date_to + timedelta(days=1)) if self.date_to else None,
        )

    # === KEEPING IT GOING (watchdog) === #

    @api.model
    def _step_advance(self):
        """Read on where there is room, and notice what has ended; a step of the watchdog."""
        loads = self.search([("state", "in", ("running", "failed"))])
        for backfill in loads.try_lock_for_update():
            backfill._advance()

    def _advance(self):
        self.ensure_one()
        Operation = self.env["integration.sync.log"]
        page = Operation.search(
            [
                ("flow_id", "=", self.flow_id.id),
                ("key", "=", PAGE_KEY),
                ("state", "in", ("pending", "running", "dead")),
            ],
            order="id desc",
            limit=1,
        )
        if page.state == "dead":
            if self.state == "running":
                self.write({"state": "failed", "message": page.message})
        elif self.state == "failed":
            # somebody has retried the operation in the sync log
            self._go_on()
        elif page:
            return
        elif not self.read_all:
            if self._waiting() <= MAX_WAITING // 2:
                Operation._append_paged(self.flow_id, "backfill", "backfill")
                self.flow_id._wake_after_commit()
        elif not self._waiting():
            self.write({"state": "done", "finished_at": fields.Datetime.now()})

    def _go_on(self):
        """Run, and measure the speed from now on."""
        now = fields.Datetime.now()
        for backfill in self:
            backfill.write(
                {
                    "state": "running",
                    "message": False,
                    "started_at": backfill.started_at or now,
                    "resumed_at": now,
                    "resumed_count": max(backfill.found - backfill._waiting(), 0),
                }
            )

    # === ACTIONS === #

    def action_start(self):
        """Begin to read."""
        self.check_access("write")
        for backfill in self.filtered(lambda load: load.state == "draft"):
            backfill.flow_id._check_ready()
            backfill._check_alone()
            backfill._go_on()
            # sudo: operations follow from the load, nobody writes them by hand
            self.env["integration.sync.log"].sudo()._append_paged(
                backfill.flow_id, "backfill", "backfill"
            )
        self.flow_id._wake_after_commit()

    def _check_alone(self):
        other = self.search(
            [
                ("flow_id", "=", self.flow_id.id),
                ("state", "in", ("running", "paused", "failed")),
                ("id", "!=", self.id),
            ],
            limit=1,
        )
        if other:
            raise ValidationError(
                self.env._(
                    "%s has an initial load under way. Finish or cancel that one first.",
                    self.flow_id.display_name,
                )
            )

    def action_pause(self):
        """Read no further; what was read already is still transferred."""
        self.check_access("write")
        self.filtered(lambda load: load.state == "running").state = "paused"

    def action_resume(self):
        """Go on where it was."""
        self.check_access("write")
        for backfill in self.filtered(lambda load: load.state in ("paused", "failed")):
            backfill.flow_id._check_ready()
            # sudo: see action_start
            Operation = self.env["integration.sync.log"].sudo()
            stopped = Operation.search(
                [
                    ("flow_id", "=", backfill.flow_id.id),
                    ("key", "=", PAGE_KEY),
                    ("state", "=", "dead"),
                ]
            )
            stopped._requeue()
            backfill._go_on()
            if not stopped and not backfill.read_all:
                Operation._append_paged(backfill.flow_id, "backfill", "backfill")
        self.flow_id._wake_after_commit()

    def action_cancel(self):
        """Stop for good; records that still wait are not transferred."""
        self.check_access("write")
        for backfill in self.filtered(lambda load: load.state in ("running", "paused", "failed")):
            backfill.write({"state": "cancelled", "finished_at": fields.Datetime.now()})
            # sudo: see action_start
            Operation = self.env["integration.sync.log"].sudo()
            waiting = Operation.search(
                [*backfill._operations_domain(), ("state", "=", "pending")]
            ) | Operation.search(
                [
                    ("flow_id", "=", backfill.flow_id.id),
                    ("key", "=", PAGE_KEY),
                    ("state", "in", ("pending", "dead")),
                ]
            )
            waiting.write(
                {
                    "state": "ignored",
                    "reviewed_by_id": self.env.uid,
                    "review_note": self.env._("The initial load was cancelled."),
                    "finished_at": fields.Datetime.now(),
                }
            )

    def action_open_operations(self):
        """Open the operations of this load."""
        self.ensure_one()
        return self.env["integration.sync.log"]._action_show(self._operations_domain())

    def action_open_failed(self):
        """Open the operations of this load that failed."""
        self.ensure_one()
        return self.env["integration.sync.log"]._action_show(
            [*self._operations_domain(), ("state", "=", "dead")]
        )
