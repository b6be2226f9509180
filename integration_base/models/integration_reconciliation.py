import contextlib
from dataclasses import dataclass, field
from typing import Any

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from ..lib.digest import digest
from ..lib.errors import SkipRecord
from ..lib.records import Difference, Item
from .integration_engine import concerns_all, halves
from .integration_importer import CLOCK_SKEW, READ_MARGIN

#: Links or Odoo records looked at in one transaction, where nothing has to be asked outside.
PAGE = 500
#: States of a run that has more to do.
OPEN_STATES = ("draft", "running", "paused")
#: States in which its operation works on a run.
WORKED_STATES = ("draft", "running", "failed")


@dataclass
class Reading:
    """What one step learnt before the transaction that stores it began.

    :param phase: the step, and ``page`` where in it the run stood then.
    :param answer: what the service said; while checking ``{id of the line: error}``.
    :param items: records fetched while checking; ``operation_id`` is the id of the line.
    """

    phase: str
    page: Any
    answer: Any = None
    items: list[Item] = field(default_factory=list)


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
            reading = run._read(own_flow, own_backend)
        return self._judge(flow.id, run_id, reading)

    @contextlib.contextmanager
    def _transaction(self, flow_id):
        """Yield flow and backend in a transaction of their own."""
        with self.env.registry.cursor() as cr:
            yield self.env["integration.engine"]._work_env(cr, flow_id)

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
                getattr(run, f"_store_{reading.phase}")(flow, backend, reading)
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

    # === COUNTING === #

    def _read(self, flow, backend):
        """Ask the service what the present phase needs to know."""
        reading = Reading(self.phase, self.page)
        if self.phase == "count":
            reading.answer = self._ask(backend, flow._resource()._count, backend)
        elif self.phase == "list":
            page = self.page["page"] if self.page else None
            reading.answer = self._ask(backend, flow._resource()._list, backend, page)
        elif self.phase == "check":
            self._read_suspects(flow, backend, reading)
        return reading

    @api.model
    def _ask(self, backend, hook, *arguments):
        return backend._with_renewed_auth(lambda: hook(*arguments))

    def _store_count(self, flow, backend, reading):
        linked = flow.env["integration.binding"].search_count(
            [
                ("backend_id", "=", backend.id),
                ("resource", "=", flow.resource),
                ("deleted_at", "=", False),
            ]
        )
        self.write({"external_count": reading.answer or 0, "odoo_count": linked})
        self._advance("list")

    # === LISTING === #

    def _store_list(self, flow, backend, reading):
        """Suspect what a page of the service's list shows to be missing or different in Odoo."""
        snapshots = {snapshot.external_id: snapshot for snapshot in reading.answer.snapshots}
        bindings, records = self._bound(flow, backend, snapshots)
        latest = self._latest_operations(flow, snapshots, records.values())
        agreements = self._agreements(flow, bindings)
        same_here = self._same_in_odoo(flow, backend, bindings, records, agreements)
        known = self._lines_of(snapshots)
        suspects, in_work, left_out, unbound = [], 0, 0, 0
        for external_id, snapshot in snapshots.items():
            binding = bindings.get(external_id)
            record = records.get(external_id)
            unbound += not binding
            same = record is not None and same_here[external_id]
            if external_id in known or same is None:
                continue
            agreement = binding and agreements.get(binding.id)
            if same and self._same_outside(flow, snapshot, binding, agreement):
                continue
            excuse = self._excuse(latest, external_id, record, snapshot.updated_at)
            if excuse == "in_work":
                in_work += 1
            elif excuse == "left_out" and record is None:
                left_out += 1
            else:
                suspects.append(
                    self._line_values(
                        "missing_in_odoo" if record is None else "different",
                        external_id,
                        snapshot.label or (binding and binding.external_label),
                        record,
                        self._version(snapshot),
                    )
                )
        marked = flow.env["integration.agreement"]._mark_seen(
            flow, self.id, [binding.id for binding in bindings.values()]
        )
        flow.env["integration.discrepancy"].create(suspects)
        values = {
            "seen_count": self.seen_count + marked + unbound,
            "in_work_count": self.in_work_count + in_work,
            "left_out_count": self.left_out_count + left_out,
        }
        if reading.answer.next_page is not None:
            values["page"] = {"page": reading.answer.next_page}
        self.write(values)
        if reading.answer.next_page is None:
            self.external_count = self.external_count or self.seen_count
            self._advance("unseen")

    def _line_values(self, kind, external_id, label, record, version=None):
        return {
            "reconciliation_id": self.id,
            "flow_id": self.flow_id.id,
            "backend_id": self.backend_id.id,
            "company_id": self.company_id.id,
            "kind": kind,
            "external_id": external_id,
            "external_label": label or external_id,
            "res_model": record is not None and record._name,
            "res_id": record is not None and record.id,
            "version": version,
        }

    def _lines_of(self, external_ids):
        """Return the ids among ``external_ids`` that this run has a line for."""
        lines = self.env["integration.discrepancy"].search_fetch(
            [("reconciliation_id", "=", self.id), ("external_id", "in", list(external_ids))],
            ["external_id"],
        )
        return set(lines.mapped("external_id"))

    @api.model
    def _bound(self, flow, backend, external_ids):
        """Return ``({external_id: binding}, {external_id: Odoo record that exists})``."""
        Binding = flow.env["integration.binding"]
        found = Binding._search_external(backend, flow.resource, list(external_ids))
        return {binding.external_id: binding for binding in found}, self._records_of(found)

    @api.model
    def _records_of(self, bindings):
        records = {}
        for res_model, group in bindings.grouped("res_model").items():
            existing = bindings.env[res_model].browse(group.mapped("res_id")).exists()
            by_id = {record.id: record for record in existing}
            records.update(
                (binding.external_id, by_id[binding.res_id])
                for binding in group
                if binding.res_id in by_id
            )
        return records

    @api.model
    def _agreements(self, flow, bindings):
        found = flow.env["integration.agreement"].search_fetch(
            [
                ("flow_id", "=", flow.id),
                ("binding_id", "in", [binding.id for binding in bindings.values()]),
            ],
            ["binding_id", "agreed_at", "agreed_state"],
        )
        return {agreement.binding_id.id: agreement for agreement in found}

    # === WHAT IS THE SAME WITHOUT FETCHING === #

    @api.model
    def _version(self, snapshot):
        if snapshot.digest:
            return snapshot.digest
        return snapshot.updated_at.isoformat() if snapshot.updated_at else None

    @api.model
    def _agreed_state(self, version, binding):
        # an import or export since then makes another state of it
        return version and digest([version, binding.import_digest, binding.export_digest])

    @api.model
    def _same_outside(self, flow, snapshot, binding, agreement):
        """Whether the service's record is one that is known to agree with Odoo's."""
        if binding.deleted_at:
            return False
        state = self._agreed_state(self._version(snapshot), binding)
        if state and agreement and agreement.agreed_state == state:
            return True
        if snapshot.digest:
            return flow.direction == "in" and snapshot.digest == binding.import_digest
        return bool(
            snapshot.updated_at
            and binding.external_updated_at
            and binding.fetched_at
            and snapshot.updated_at <= binding.external_updated_at
            # a second change of that very second may be unseen
            and binding.fetched_at > binding.external_updated_at + READ_MARGIN
        )

    def _same_in_odoo(self, flow, backend, bindings, records, agreements):
        """Return ``{external_id: whether the Odoo record is as it was when both agreed}``.

        None for records the flow is not concerned with. Into Odoo the time of the last change
        tells, which may be any change; out of Odoo the values that would be sent tell.
        """
        if flow.direction == "in":
            return {
                external_id: self._unwritten(
                    record, bindings[external_id], agreements.get(bindings[external_id].id)
                )
                for external_id, record in records.items()
            }
        resource = flow._resource()
        concerned = self._exported(flow, backend, records.values())
        items = [
            Item(0, external_id, record=record, bound=True, outgoing=True)
            for external_id, record in records.items()
            if record.id in concerned
        ]
        if items:
            resource._export(backend, items)
        same = dict.fromkeys(records)
        for item in items:
            sent = bindings[item.external_id].export_digest
            same[item.external_id] = item.alive and digest(item.values) == sent
        return same

    @api.model
    def _unwritten(self, record, binding, agreement):
        if "write_date" not in record._fields:
            return True
        times = (binding.create_date, binding.imported_at, agreement and agreement.agreed_at)
        return not record.write_date or record.write_date <= max(filter(None, times))

    @api.model
    def _exported(self, flow, backend, records):
        """Return the ids of those of ``records`` that the backend shall have."""
        resource = flow._resource()
        ids = [record.id for record in records]
        domain = [*resource._export_domain(backend), ("id", "in", ids)]
        Model = flow.env[resource._resource_model].with_context(active_test=False)
        return set(Model._search(domain)) if ids else set()

    # === WHAT IS ON ITS WAY === #

    @api.model
    def _latest_operations(self, flow, external_ids, records):
        """Return what the sync log has last of these records, of both directions, in one query.

        :returns: ``{(direction, key): (whether one is open, last state, last version)}``.
        """
        flow.env.cr.execute(
            SQL(
                """
                SELECT f.direction, o.key,
                       bool_or(o.state IN ('pending', 'running', 'dead')),
                       (array_agg(o.state ORDER BY o.id DESC))[1],
                       (array_agg(o.external_updated_at ORDER BY o.id DESC))[1]
                  FROM integration_sync_log o JOIN integration_flow f ON f.id = o.flow_id
                 WHERE f.backend_id = %s AND f.resource = %s AND o.kind = 'record'
                   AND o.state <> 'merged'
                   AND (f.direction = 'in' AND o.key = ANY(%s)
                        OR f.direction = 'out' AND o.key = ANY(%s))
                 GROUP BY f.direction, o.key
                """,
                flow.backend_id.id,
                flow.resource,
                [external_id for external_id in external_ids if external_id],
                [str(record.id) for record in records],
            )
        )
        return {(direction, key): rest for direction, key, *rest in flow.env.cr.fetchall()}

    def _excuse(self, latest, external_id, record, updated_at):
        """Return why a record that is not the same on both sides is no discrepancy, or None.

        ``in_work``: an operation on it is open, or it changed since the run began.
        ``left_out``: it was skipped or set aside with a reason, and did not change since.
        """
        mine = [latest.get(("in", external_id))]
        if record is not None:
            mine.append(latest.get(("out", str(record.id))))
        if any(row and row[0] for row in mine):
            return "in_work"
        if updated_at and updated_at > self._beginning():
            return "in_work"
        for row in filter(None, mine):
            _open, state, version = row
            if state in ("skipped", "ignored") and not (
                version and updated_at and updated_at > version
            ):
                return "left_out"
        return None

    def _beginning(self):
        # by the clock of the service, which may differ from ours
        return self.started_at - CLOCK_SKEW

    # === MISSING OUTSIDE === #

    def _store_unseen(self, flow, backend, reading):
        """Suspect the links that the service's list did not show."""
        after = self.page["after"] if self.page else ""
        flow.env.flush_all()
        flow.env.cr.execute(
            SQL(
                """
                SELECT b.id FROM integration_binding b
                  LEFT JOIN integration_agreement a ON a.binding_id = b.id AND a.flow_id = %s
                 WHERE b.backend_id = %s AND b.resource = %s AND b.external_id > %s
                   AND b.deleted_at IS NULL AND a.seen_run_id IS DISTINCT FROM %s
                 ORDER BY b.external_id LIMIT %s
                """,
                flow.id,
                backend.id,
                flow.resource,
                after,
                self.id,
                PAGE,
            )
        )
        bindings = flow.env["integration.binding"].browse(r[0] for r in flow.env.cr.fetchall())
        records = self._records_of(bindings)
        latest = self._latest_operations(flow, bindings.mapped("external_id"), records.values())
        if flow.direction == "out":
            concerned = self._exported(flow, backend, records.values())
            records = {key: record for key, record in records.items() if record.id in concerned}
        suspects, in_work = [], 0
        for binding in bindings:
            record = records.get(binding.external_id)
            if record is None:
                # on neither side, or none of the flow's business
                continue
            if self._excuse(latest, binding.external_id, record, None) == "in_work":
                in_work += 1
                continue
            suspects.append(
                self._line_values(
                    "missing_outside", binding.external_id, binding.external_label, record
                )
            )
        flow.env["integration.discrepancy"].create(suspects)
        self.in_work_count += in_work
        if len(bindings) == PAGE:
            self.page = {"after": bindings[-1].external_id}
        else:
            sends_all = flow.direction == "out" and flow._resource()._resource_export_scope == "all"
            self._advance("unsent" if sends_all else "check")

    def _store_unsent(self, flow, backend, reading):
        """Suspect the Odoo records that the backend shall have, and that never went out."""
        after = self.page["after"] if self.page else 0
        resource = flow._resource()
        records = flow.env[resource._resource_model].search(
            [*resource._export_domain(backend), ("id", ">", after)], order="id", limit=PAGE
        )
        bound = flow.env["integration.binding"]._read_group(
            [
                ("backend_id", "=", backend.id),
                ("resource", "=", flow.resource),
                ("res_model", "=", records._name),
                ("res_id", "in", records.ids),
            ],
            ["res_id"],
        )
        latest = self._latest_operations(flow, [], records)
        bound = {res_id for (res_id,) in bound}
        suspects, in_work, left_out = [], 0, 0
        for record in records:
            if record.id in bound:
                continue
            excuse = self._excuse(latest, None, record, None)
            if excuse == "in_work":
                in_work += 1
            elif excuse == "left_out":
                left_out += 1
            else:
                suspects.append(
                    self._line_values("missing_outside", False, record.display_name, record)
                )
        flow.env["integration.discrepancy"].create(suspects)
        self.in_work_count += in_work
        self.left_out_count += left_out
        if len(records) == PAGE:
            self.page = {"after": records[-1].id}
        else:
            self._advance("check")

    # === CHECKING === #

    def _read_suspects(self, flow, backend, reading):
        """Fetch the next suspected records, into ``reading``."""
        resource = flow._resource()
        lines = flow.env["integration.discrepancy"].search(
            [("reconciliation_id", "=", self.id), ("state", "=", "suspected")],
            order="id",
            limit=flow.batch_size,
        )
        errors, failed = {}, {}
        # what Odoo does not have is fetched when it is imported
        wanted = lines.filtered(lambda line: line.external_id and line.kind != "missing_in_odoo")
        payloads = self._fetch(resource, backend, wanted.mapped("external_id"), failed)
        for line in lines:
            item = Item(
                line.id,
                line.external_id or "",
                line.external_label or "",
                outgoing=flow.direction == "out",
            )
            reading.items.append(item)
            if item.external_id in failed:
                errors[line.id] = failed[item.external_id]
            elif item.external_id in payloads:
                item.payload = payloads[item.external_id]
                try:
                    item.data = resource._validate(backend, item.payload, item.label)
                    item.updated_at = resource._updated_at(item.data)
                    item.label = resource._label(item.data) or item.label
                    item.digest = resource._digest(item.data)
                except Exception as error:
                    errors[line.id] = error
        reading.answer = errors

    def _fetch(self, resource, backend, external_ids, failed):
        """Fetch by halves where an error nobody expected comes from one record.

        :param dict failed: gets ``{external_id: error}``.
        """
        if not external_ids:
            return {}
        try:
            return self._ask(backend, resource._fetch, backend, external_ids)
        except Exception as error:
            if concerns_all(error):
                raise
            if len(external_ids) == 1:
                failed[external_ids[0]] = error
                return {}
            first, second = halves(external_ids)
            return {
                **self._fetch(resource, backend, first, failed),
                **self._fetch(resource, backend, second, failed),
            }

    def _store_check(self, flow, backend, reading):
        """Compare what was fetched field by field, and report what still differs."""
        if not reading.items:
            self._guard_vanished(flow)
            self._advance("repair")
            return
        errors = reading.answer
        lines = flow.env["integration.discrepancy"].browse(i.operation_id for i in reading.items)
        lines = lines.exists().filtered(lambda line: line.state == "suspected")
        items = {item.operation_id: item for item in reading.items}
        bindings, records = self._bound(flow, backend, [i.external_id for i in items.values()])
        unsent = {line.id: line._record() for line in lines if not line.external_id}
        everything = [*records.values(), *filter(None, unsent.values())]
        latest = self._latest_operations(
            flow, [item.external_id for item in items.values()], everything
        )
        verdicts, compared = {}, []
        versions = {line.id: line.version for line in lines}
        for line in lines:
            item = items[line.id]
            item.restart()
            item.record = records.get(item.external_id) or unsent.get(line.id)
            item.bound = item.external_id in records
            verdict = self._verdict(line, item, bindings, latest, errors.get(line.id))
            if verdict == "compare":
                compared.append(item)
            else:
                verdicts[line] = verdict
        self._compare(flow, backend, compared, bindings)
        for item in compared:
            verdicts[lines.browse(item.operation_id)] = self._outcome(item, bindings)
        self._report(flow, verdicts)
        self._remember(flow, compared, bindings, versions)

    def _verdict(self, line, item, bindings, latest, error):
        """Return what a suspected record is: ``compare``, ``same``, ``in_work``, ``left_out``, or

        a discrepancy as ``(kind, differences)``.
        """
        if isinstance(error, SkipRecord):
            return "left_out"
        excuse = self._excuse(latest, item.external_id or None, item.record, item.updated_at)
        if excuse == "in_work":
            return excuse
        if error:
            return ("different", [["", "", getattr(error, "message", None) or str(error)]])
        if item.record is None:
            return ("missing_in_odoo", []) if line.kind != "missing_outside" else "same"
        if not item.external_id:
            started = item.record.create_date and item.record.create_date > self.started_at
            return "in_work" if started else ("missing_outside", [])
        if item.payload is None:
            if line.kind == "missing_in_odoo":
                # imported meanwhile
                return "same"
            # listed and then gone: it is being deleted right now
            return ("missing_outside", []) if line.kind == "missing_outside" else "in_work"
        known = bindings[item.external_id].external_updated_at
        if known and item.updated_at and item.updated_at < known:
            # an old copy, as services show them for a while
            return "in_work"
        return "compare"

    def _compare(self, flow, backend, items, bindings):
        """Let the resource prepare values and set the differences of ``items``."""
        if not items:
            return
        resource = flow._resource()
        (resource._export if flow.direction == "out" else resource._map)(backend, items)
        alive = [item for item in items if item.alive]
        if alive:
            resource._compare(backend, alive)
        for item in alive:
            if item.differences is None:
                item.differences = self._digest_differences(flow, item, bindings)
            if bindings[item.external_id].deleted_at:
                gone, here = self.env._("Deleted"), self.env._("Exists again")
                item.differences = [Difference("", gone, here), *item.differences]

    def _digest_differences(self, flow, item, bindings):
        """Say what is known of a record that cannot be compared field by field."""
        binding = bindings[item.external_id]
        if flow.direction == "out":
            if digest(item.values) == binding.export_digest:
                return []
            return [Difference("", self.env._("Changed since it was last sent"), "")]
        if item.digest == binding.import_digest:
            return []
        versions = (binding.external_updated_at, item.updated_at)
        return [
            Difference(
                self.env._("Version"), *(str(version) if version else "?" for version in versions)
            )
        ]

    def _outcome(self, item, bindings):
        if isinstance(item.error, SkipRecord):
            return "left_out"
        if item.error:
            return ("different", [["", "", item.error.message]])
        if not item.differences:
            return "same"
        return ("different", [[d.field, d.odoo, d.external] for d in item.differences])

    def _report(self, flow, verdicts):
        """Turn suspected lines into open ones, or drop them."""
        figures = dict.fromkeys(
            ("missing_in_odoo", "missing_outside", "different", "in_work", "left_out"), 0
        )
        Discrepancy = flow.env["integration.discrepancy"]
        found = Discrepancy.union(*(line for line, v in verdicts.items() if type(v) is tuple))
        earlier = Discrepancy.search(
            [
                ("flow_id", "=", flow.id),
                ("state", "in", ("open", "ignored")),
                ("reconciliation_id", "!=", self.id),
                "|",
                ("external_id", "in", found.filtered("external_id").mapped("external_id")),
                "&",
                ("external_id", "=", False),
                (
                    "res_id",
                    "in",
                    found.filtered(lambda line: not line.external_id).mapped("res_id"),
                ),
            ]
        )
        accepted = {
            (line.external_id or line.res_id, line.kind, digest(line.differences or []))
            for line in earlier
            if line.state == "ignored"
        }
        outdated, dropped = set(), Discrepancy
        for line, verdict in verdicts.items():
            if type(verdict) is tuple:
                kind, differences = verdict
                if (line.external_id or line.res_id, kind, digest(differences)) in accepted:
                    verdict = "left_out"
            if type(verdict) is not tuple:
                dropped |= line
                if verdict != "same":
                    figures[verdict] += 1
                continue
            figures[kind] += 1
            outdated.add(line.external_id or line.res_id)
            line.write({"kind": kind, "differences": differences or False, "state": "open"})
        dropped.unlink()
        earlier.filtered(
            lambda line: line.state == "open" and (line.external_id or line.res_id) in outdated
        ).state = "outdated"
        self.write(
            {f"{name}_count": self[f"{name}_count"] + count for name, count in figures.items()}
        )

    @api.model
    def _remember(self, flow, items, bindings, versions):
        """Keep in which state both sides were found equal, so that nothing is fetched again."""
        states = {}
        for item in items:
            if item.alive and not item.differences:
                binding = bindings[item.external_id]
                written_at = "write_date" in item.record._fields and item.record.write_date
                state = self._agreed_state(versions[item.operation_id], binding)
                states[binding.id] = (written_at, state or None)
        flow.env["integration.agreement"]._agree(flow, states)

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

    def _store_repair(self, flow, backend, reading):
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
        for run in self.sudo().filtered(lambda run: run.state in ("paused", "failed")):
            run.flow_id._check_ready()
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
        runs = self.sudo().filtered(lambda run: run.state in (*OPEN_STATES, "failed"))
        runs.write({"state": "stopped", "finished_at": fields.Datetime.now()})
        runs.discrepancy_ids.filtered(lambda line: line.state == "suspected").unlink()

    def action_open_discrepancies(self):
        """Open what the run found."""
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "integration_base.integration_discrepancy_action"
        )
        action["domain"] = [("reconciliation_id", "=", self.id), ("state", "!=", "suspected")]
        action["context"] = {}
        return action
