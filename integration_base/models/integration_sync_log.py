import json
from typing import NamedTuple

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Domain
from odoo.tools import SQL

from ..lib.digest import fingerprint
from ..lib.records import Change

#: ``error_class`` of lib/errors.py, and what the engine itself finds out.
ERROR_CLASSES = [
    ("retryable", "Technical"),
    ("rate_limited", "Slowed down"),
    ("not_ready", "Not ready"),
    ("dependency", "Waits for another record"),
    ("vanished", "Waits for a decision"),
    ("auth", "Credentials"),
    ("configuration", "Configuration"),
    ("mapping", "Mapping"),
    ("scope", "Missing access"),
    ("invalid_payload", "Invalid data"),
    ("ambiguous", "Ambiguous match"),
    ("conflict", "Conflict"),
    ("refused", "Refused by the service"),
    ("odoo", "Refused by Odoo"),
    ("skip", "Not for us"),
    ("crash", "Process died"),
    ("bug", "Unexpected error"),
    ("error", "Other"),
]
#: Operations that read page by page instead of working on a record.
PAGED_KINDS = ("listing", "backfill", "reconcile")
#: The order of work in a flow: readings of changes, then what is live, then what has time.
PRIORITIES = {"listing": 5, "backfill": 20, "reconcile": 30}
LIVE_PRIORITY = 10
#: States a person may try again from.
RETRIABLE = ("pending", "dead", "ignored", "skipped")


class FlowKey(NamedTuple):
    """What an operation needs to know of its flow, without reading the record."""

    id: int
    backend_id: int
    company_id: int
    resource: str


#: Who sees the data of operations, not only what became of them.
READERS = "integration_base.group_integration_operator,integration_base.group_integration_auditor"


class IntegrationSyncLog(models.Model):
    """One operation: a piece of work on one record in one flow, with everything that became of it.

    Rows are appended in the transaction that causes the work and claimed by drains
    (``integration.engine``). A record's waiting operations are merged when they are claimed.
    """

    _name = "integration.sync.log"
    _description = "Integration Operation"
    _inherit = ["integration.readable.mixin"]
    _order = "id desc"
    _rec_name = "label"
    _rec_names_search = ["label", "external_id"]

    flow_id = fields.Many2one("integration.flow", required=True, readonly=True, ondelete="cascade")
    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade"
    )
    company_id = fields.Many2one("res.company", required=True, readonly=True, index=True)
    resource = fields.Char(required=True, readonly=True)
    direction = fields.Selection(related="flow_id.direction")
    kind = fields.Selection(
        [
            ("record", "Record"),
            ("listing", "Reading of changes"),
            ("backfill", "Initial load"),
            ("reconcile", "Comparison"),
        ],
        required=True,
        readonly=True,
        default="record",
    )
    key = fields.Char(required=True, readonly=True)
    external_id = fields.Char(string="External ID", readonly=True)
    label = fields.Char(string="Record", readonly=True)
    external_updated_at = fields.Datetime(readonly=True)
    trigger = fields.Selection(
        [
            ("webhook", "Notification"),
            ("schedule", "Schedule"),
            ("change", "Change in Odoo"),
            ("manual", "Button"),
            ("backfill", "Initial load"),
            ("reconcile", "Comparison"),
            ("dependency", "Needed by another record"),
        ],
        required=True,
        readonly=True,
    )
    webhook_event_id = fields.Many2one(
        "integration.webhook.event",
        readonly=True,
        ondelete="set null",
        index="btree_not_null",
        groups=READERS,
    )
    priority = fields.Integer(default=10, readonly=True)
    state = fields.Selection(
        [
            ("pending", "Waiting"),
            ("running", "Running"),
            ("done", "Done"),
            ("skipped", "Skipped"),
            ("merged", "Merged"),
            ("dead", "Failed"),
            ("ignored", "Set Aside"),
        ],
        required=True,
        default="pending",
        readonly=True,
    )
    force = fields.Boolean(
        readonly=True, help="Write even if the record did not change since it was last read."
    )
    attempts = fields.Integer(readonly=True, aggregator=None)
    crashes = fields.Integer(
        readonly=True, help="How often the process working on it died; it is tried alone then."
    )
    next_attempt_at = fields.Datetime(required=True, default=fields.Datetime.now, readonly=True)
    claim_token = fields.Char(readonly=True)
    claimed_until = fields.Datetime(readonly=True)
    slot = fields.Integer(readonly=True)
    batch_ref = fields.Char(readonly=True, index="btree_not_null")
    deleted = fields.Boolean(readonly=True, help="The record was deleted on the other side.")
    depends_on = fields.Char(
        readonly=True, help="Resource and external id of the record this one waits for."
    )
    first_failed_at = fields.Datetime(
        readonly=True, help="Since when it fails for technical reasons; there is a limit to that."
    )
    waiting_since = fields.Datetime(
        readonly=True, help="Since when what it needs is not ready; it does not wait for ever."
    )
    started_at = fields.Datetime(readonly=True)
    finished_at = fields.Datetime(readonly=True)
    error_class = fields.Selection(ERROR_CLASSES, string="Kind of Failure", readonly=True)
    message = fields.Text(readonly=True)
    detail = fields.Text(
        readonly=True,
        prefetch=False,
        groups=READERS,
    )
    fingerprint = fields.Char(readonly=True, index="btree_not_null")
    payload = fields.Text(
        readonly=True,
        prefetch=False,
        groups=READERS,
    )
    edited_payload = fields.Text(
        readonly=True,
        prefetch=False,
        copy=False,
        groups=READERS,
        help="Used instead of what the service sends, until it is in Odoo or a newer version of "
        "the record arrives.",
    )
    edited_at = fields.Datetime(readonly=True, copy=False)
    edit_ids = fields.One2many(
        "integration.sync.edit",
        "operation_id",
        readonly=True,
        groups=READERS,
    )
    edit_diff = fields.Html(
        compute="_compute_edit_diff",
        sanitize=False,
        groups=READERS,
    )
    incident_id = fields.Many2one(
        "integration.incident", compute="_compute_incident_id", groups=READERS
    )
    merged_into_id = fields.Many2one(
        "integration.sync.log", readonly=True, ondelete="set null", index="btree_not_null"
    )
    res_model = fields.Char(readonly=True)
    res_id = fields.Many2oneReference(model_field="res_model", readonly=True)
    mapping_ids = fields.Many2many("integration.mapping", string="Missing Mappings", readonly=True)
    missing_mapping_ids = fields.Many2many(
        "integration.mapping", compute="_compute_missing_mapping_ids", string="To Map"
    )
    attempt_ids = fields.One2many(
        "integration.sync.attempt", "operation_id", readonly=True, groups=READERS
    )
    exchange_ids = fields.Many2many(
        "integration.exchange",
        compute="_compute_exchange_ids",
        groups=READERS,
    )
    reviewed_by_id = fields.Many2one("res.users", readonly=True)
    review_note = fields.Text(readonly=True)

    _due_index = models.Index("(flow_id, next_attempt_at) WHERE state = 'pending'")
    # the order in which the engine claims
    _claim_index = models.Index(
        "(flow_id, crashes, priority, next_attempt_at, id) WHERE state = 'pending'"
    )
    # what is merged with a claim, however long the history of a record is
    _waiting_index = models.Index("(flow_id, key) WHERE state = 'pending'")
    _key_index = models.Index("(flow_id, key, id)")
    _open_index = models.Index("(backend_id, state) WHERE state IN ('pending', 'running', 'dead')")
    _depends_index = models.Index(
        "(backend_id, depends_on) WHERE state = 'pending' AND depends_on IS NOT NULL"
    )
    _dead_index = models.Index("(flow_id, fingerprint) WHERE state = 'dead'")
    # throughput
    _finished_index = models.Index("(flow_id, finished_at) WHERE finished_at IS NOT NULL")
    # append-only: what began in the last hours is found at almost no cost
    _created_index = models.Index("USING brin (create_date)")
    # what is old enough to be deleted
    _done_index = models.Index(
        "(backend_id, COALESCE(finished_at, create_date), id)"
        " WHERE state IN ('done', 'merged', 'skipped')"
    )
    _failed_index = models.Index(
        "(backend_id, COALESCE(finished_at, create_date), id) WHERE state IN ('dead', 'ignored')"
    )
    _record_index = models.Index("(res_model, res_id) WHERE res_id IS NOT NULL")
    _running_unique = models.UniqueIndex("(flow_id, key) WHERE state = 'running'")

    # === COMPUTE METHODS === #

    @api.depends("label", "external_id", "kind", "key")
    def _compute_display_name(self):
        kinds = dict(self._fields["kind"]._description_selection(self.env))
        for operation in self:
            if operation.kind in PAGED_KINDS:
                operation.display_name = kinds[operation.kind]
            else:
                operation.display_name = (
                    operation.label or operation.external_id or f"{operation.key}"
                )

    @api.depends("mapping_ids.resource_ref")
    def _compute_missing_mapping_ids(self):
        for operation in self:
            operation.missing_mapping_ids = operation.mapping_ids.filtered(
                lambda mapping: not mapping.resource_ref
            )

    @api.depends("batch_ref", "attempt_ids.batch_ref")
    def _compute_exchange_ids(self):
        for operation in self:
            refs = {operation.batch_ref, *operation.attempt_ids.mapped("batch_ref")} - {False}
            operation.exchange_ids = self.env["integration.exchange"].search(
                [("batch_ref", "in", list(refs))]
            )

    @api.depends("edit_ids.diff")
    def _compute_edit_diff(self):
        for operation in self:
            operation.edit_diff = operation.edit_ids[:1].diff

    @api.depends("state", "flow_id", "fingerprint", "error_class")
    def _compute_incident_id(self):
        dead = self.filtered(lambda op: op.state == "dead")
        incidents = {
            (incident.flow_id, incident.key): incident
            for incident in self.env["integration.incident"].search(
                [
                    ("flow_id", "in", dead.flow_id.ids),
                    ("kind", "=", "failures"),
                    ("state", "=", "open"),
                ]
            )
        }
        for operation in self:
            key = operation.flow_id, operation.fingerprint or operation.error_class or ""
            operation.incident_id = operation in dead and incidents.get(key)

    # === APPENDING === #

    @api.model
    def _append(self, flow, changes, trigger, event_id=None, force=False):
        """Add one operation per change, in the present transaction and by one plain INSERT.

        Never blocks and never fails because the record has operations already: those are merged
        when they are claimed. The caller wakes the flow (``flow._wake_after_commit``).

        :param list[Change] changes: the records concerned.
        :returns: the new operations.
        """
        operations = self._insert(
            flow,
            [("record", change.external_id, change, None) for change in changes],
            trigger,
            event_id,
            force,
        )
        self.env["integration.staged.payload"]._keep(operations, changes)
        return operations

    @api.model
    def _append_records(self, flow, records, trigger, force=False):
        """Add one outgoing operation per Odoo record; see :meth:`_append`.

        :param records: records of the resource's model.
        """
        return self._insert(
            flow,
            [("record", str(record.id), Change(""), record) for record in records],
            trigger,
            force=force,
        )

    @api.model
    def _append_paged(self, flow, kind, trigger):
        """Add an operation that reads page by page, e.g. asks what changed; see :meth:`_append`.

        :param str kind: one of ``PAGED_KINDS``.
        """
        # no external id can be equal to the key
        return self._insert(flow, [(kind, f"*{kind}*", Change(""), None)], trigger)

    @api.model
    def _append_for_events(self, rows, trigger, force=False):
        """Add one operation per notification; see :meth:`_append`.

        :param rows: ``[(FlowKey, Change, event id)]``.
        """
        return self._insert_values(
            self._row_values(key, "record", change.external_id, change, None, trigger, event, force)
            for key, change, event in rows
        )

    @api.model
    def _insert(self, flow, rows, trigger, event_id=None, force=False):
        if not rows:
            return self
        key = FlowKey(flow.id, flow.backend_id.id, flow.company_id.id, flow.resource)
        return self._insert_values(
            self._row_values(key, *row, trigger, event_id, force) for row in rows
        )

    @api.model
    def _insert_values(self, rows):
        values = SQL(", ").join(SQL("(%s)", row) for row in rows)
        self.env.cr.execute(
            SQL(
                "INSERT INTO integration_sync_log (%s) VALUES %s RETURNING id",
                self._row_columns(),
                values,
            )
        )
        return self.browse(row[0] for row in self.env.cr.fetchall())

    @api.model
    def _row_columns(self):
        """Return the columns (SQL) of :meth:`_row_values`."""
        return SQL(
            "flow_id, backend_id, company_id, resource, kind, key, external_id, label,"
            ' external_updated_at, deleted, res_model, res_id, "trigger", webhook_event_id,'
            " priority, state, force, attempts, crashes, next_attempt_at, create_date, create_uid"
        )

    @api.model
    def _row_values(self, flow, kind, key, change, record, trigger, event_id, force=False):
        """Return the values (SQL) of one new operation, for a statement that inserts it.

        :param FlowKey flow: where it belongs.
        :param event_id: id of the notification, or SQL that gives it.
        """
        return SQL(
            "%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'pending', %s, 0, 0,"
            " clock_timestamp() AT TIME ZONE 'UTC', clock_timestamp() AT TIME ZONE 'UTC', %s",
            flow.id,
            flow.backend_id,
            flow.company_id,
            flow.resource,
            kind,
            key,
            change.external_id or None,
            change.label or None,
            change.updated_at,
            change.deleted,
            record and record._name,
            record and record.id,
            trigger,
            event_id,
            PRIORITIES.get(trigger if kind == "record" else kind, LIVE_PRIORITY),
            force,
            self.env.uid,
        )

    @api.model
    def _append_rejected(self, flow, event_id, error):
        """Add an operation for a notification that cannot be read; a person has to look at it."""
        operation = self._insert(
            flow, [("record", f"event-{event_id}", Change(""), None)], "webhook", event_id
        )
        self.env.cr.execute(
            SQL(
                "UPDATE integration_sync_log SET state = 'dead', error_class = %s, message = %s,"
                " fingerprint = %s, finished_at = clock_timestamp() AT TIME ZONE 'UTC'"
                " WHERE id = %s",
                error.error_class,
                error.message,
                fingerprint(error.error_class, error.message),
                operation.id,
            )
        )
        return operation

    # === REVIEW === #

    def _requeue(self):
        """Make failed, skipped or set aside operations due again and wake their flows.

        The same few queries for one operation and for ten thousand.

        :returns: the operations that are due now.
        """
        again = self._make_due()
        flows = self._concerned_flows()
        flows._wake_after_commit()
        self.env["integration.incident"]._refresh(flows.ids)
        return again

    def _make_due(self):
        """Give the operations a fresh set of attempts, due now.

        A notification that could not be read is read again; its operation ends, and what it
        says becomes operations of its own.

        :returns: the operations that are due now.
        """
        others = self.env["integration.backend"]._of_other_accounts("create_date")
        self -= self.search(others & Domain("id", "in", self.ids))
        unread = self.search(
            [
                ("id", "in", self.ids),
                ("state", "in", RETRIABLE),
                ("webhook_event_id", "!=", False),
                ("key", "=like", "event-%"),
            ]
        ).filtered(lambda op: op.key == f"event-{op.webhook_event_id.id}")
        due = self.browse()
        for operation in unread:
            due |= operation.webhook_event_id._interpret_again(operation)
        self.flush_model()
        self.env.cr.execute(
            SQL(
                """
                UPDATE integration_sync_log
                   SET state = 'pending', attempts = 0, crashes = 0, waiting_since = NULL,
                       first_failed_at = NULL, force = TRUE, reviewed_by_id = %s,
                       next_attempt_at = clock_timestamp() AT TIME ZONE 'UTC'
                 WHERE id = ANY(%s) AND state = ANY(%s)
             RETURNING id
                """,
                self.env.uid,
                (self - unread).ids,
                list(RETRIABLE),
            )
        )
        self.invalidate_model()
        return due + self.browse(row[0] for row in self.env.cr.fetchall())

    def _concerned_flows(self):
        """Return the flows of the operations, by one query for any number of them."""
        rows = self._read_group([("id", "in", self.ids)], ["flow_id"])
        return self.env["integration.flow"].union(*(flow for (flow,) in rows))

    def _wait_for_mappings(self, missing):
        """Keep which mappings the operation needs.

        If somebody has filled them in while it ran, it is due again. Their time does not tell for
        sure (it is that of the beginning of a transaction), so a first complaint about values
        that are all there is tried once more.

        :param list[MissingValue] missing: required values without a mapping.
        """
        self.ensure_one()
        mappings = self.env["integration.mapping"]._collect(self.backend_id, missing)
        self.mapping_ids = mappings
        meanwhile = any(m.write_date and m.write_date >= self.started_at for m in mappings)
        if (meanwhile or not self.force) and mappings and not self.missing_mapping_ids:
            self._requeue()

    def _check_review_access(self):
        # operators hold no write access to the log itself: reviewing is all they may change
        if not self.env.user.has_group("integration_base.group_integration_operator"):
            raise UserError(self.env._("Reviewing failures needs the role Integration Operator."))
        # counting is one query; the check itself reads every record
        if self.search_count([("id", "in", self.ids)]) < len(self):
            self.check_access("read")

    # === ACTIONS === #

    def action_retry(self):
        """Try again now (a single record) or as soon as possible (several)."""
        self._check_review_access()
        others = self.env["integration.backend"]._of_other_accounts("create_date")
        again = self.search(
            Domain("id", "in", self.ids) & Domain("state", "in", RETRIABLE) & ~others
        )
        if not again:
            raise UserError(
                self.env._(
                    "Nothing to retry: only failed, skipped or waiting operations can be, and "
                    "none from before a switch to another account."
                )
            )
        if len(again) == 1 and again.flow_id.backend_id.state == "active":
            # sudo: see _check_review_access
            return again.sudo()._run_in_foreground()
        # sudo: the same
        again.sudo()._requeue()
        return {"type": "ir.actions.client", "tag": "soft_reload"}

    def action_set_aside(self):
        """Ask for the reason and set the operations aside."""
        self._check_review_access()
        return self.env["integration.set.aside"]._action_ask(self)

    def _set_aside(self, reason):
        """Take failed operations out of the review, with the reason.

        :returns: how many.
        """
        self._check_review_access()
        self.flush_model()
        self.env.cr.execute(
            SQL(
                "UPDATE integration_sync_log"
                "   SET state = 'ignored', reviewed_by_id = %s, review_note = %s"
                " WHERE id = ANY(%s) AND state IN ('dead', 'pending')",
                self.env.uid,
                reason,
                self.ids,
            )
        )
        count = self.env.cr.rowcount
        self.invalidate_model()
        self.env["integration.incident"]._refresh(self._concerned_flows().ids)
        return count

    def action_open_incident(self):
        """Open the incident this failure belongs to."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "res_model": "integration.incident",
            "res_id": self.incident_id.id,
            "view_mode": "form",
        }

    # === EDITED DATA === #

    def action_edit_payload(self):
        """Open the data received, to correct it and try again with that."""
        self.ensure_one()
        self._check_review_access()
        return self.env["integration.edit.payload"]._action_ask(self)

    def _edit_payload(self, text, reason):
        """Keep ``text`` as the data to use for this record instead of fetching it.

        It is used until it is in Odoo or a newer version of the record arrives; who changed what
        and why stays on the operation.

        :param str text: JSON that the contract of the resource has accepted.
        :param str reason: why it may differ from what the service says.
        """
        self.ensure_one()
        self.env["integration.sync.edit"].create(
            [
                {
                    "operation_id": self.id,
                    "company_id": self.company_id.id,
                    "user_id": self.env.uid,
                    "reason": reason,
                    "original": self.payload,
                    "edited": text,
                }
            ]
        )
        self.write({"edited_payload": text, "edited_at": fields.Datetime.now()})

    def action_discard_edit(self):
        """Forget the edited data: the next try fetches the record again."""
        self._check_review_access()
        # sudo: see _check_review_access
        self.sudo().write({"edited_payload": False, "edited_at": False})

    @api.model
    def _append_and_run(self, flow, change=None, record=None):
        """Append an operation and run it at once; without a record it reads what changed.

        It is appended in a transaction of its own: the run has to see it, and the request never
        will, because it reads the database as of its own beginning.

        :param Change change: the record to import, whatever is known about it.
        :param record: the Odoo record to export, for a flow out of Odoo.
        :returns: see :meth:`_run_in_foreground`.
        """
        with self.env.registry.cursor() as cr:
            # sudo: its callers have checked who may start work; nobody writes the log by hand
            env = api.Environment(cr, self.env.uid, {}, su=True)
            log, own_flow = env[self._name], env["integration.flow"].browse(flow.id)
            if change:
                operation = log._append(own_flow, [change], "manual", force=True)
            elif record:
                operation = log._append_records(
                    own_flow, record.with_env(env), "manual", force=True
                )
            else:
                operation = log._append_paged(own_flow, "listing", "manual")
            operation_id = operation.id
        return self._run_now(flow.id, operation_id)

    def _run_in_foreground(self):
        """Run this operation at once and tell its outcome.

        :returns: a client action that shows the outcome and reloads the form.
        """
        self.ensure_one()
        return self._run_now(self.flow_id.id, self.id)

    @api.model
    def _run_now(self, flow_id, operation_id):
        engine = self.env["integration.engine"]
        state, message, name = engine._run_in_foreground(flow_id, operation_id)
        labels = dict(self._fields["state"]._description_selection(self.env))
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": {"done": "success", "dead": "danger"}.get(state, "warning"),
                "title": labels.get(state, state),
                "message": message or name,
                "sticky": state == "dead",
                "next": {"type": "ir.actions.client", "tag": "soft_reload"},
            },
        }

    @api.model
    def _action_show(self, domain):
        """Return the action that lists the operations of ``domain``, all states of them."""
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "integration_base.integration_sync_log_action"
        )
        action["domain"] = domain
        action["context"] = {}
        return action

    def action_open_record(self):
        """Open the Odoo record this operation wrote."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "res_model": self.res_model,
            "res_id": self.res_id,
            "view_mode": "form",
        }

    def action_open_mappings(self):
        """Open the mappings this operation waits for."""
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "integration_base.integration_mapping_action"
        )
        action["domain"] = [("id", "in", self.mapping_ids.ids)]
        action["context"] = {}
        return action

    def _payload_text(self, payload):
        """Return ``payload`` as readable text for the review (JSON where possible)."""
        if payload is None or isinstance(payload, str):
            return payload
        return json.dumps(payload, indent=2, ensure_ascii=False, default=str)
