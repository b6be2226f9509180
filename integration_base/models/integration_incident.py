import logging
from datetime import timedelta

import psycopg2

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Domain
from odoo.tools import SQL, plaintext2html

from ..lib.auth import REFRESH_TOKEN
from .integration_sync_log import ERROR_CLASSES

_logger = logging.getLogger(__name__)

#: First key of the advisory lock that lets one transaction at a time change a backend's incidents.
LOCK_INCIDENT = 0x1A7E9
#: An incident whose cause comes back within this time is the same one again.
REOPEN_WITHIN = timedelta(days=1)
#: How often at most people are reminded of one incident.
REMIND_EVERY = timedelta(hours=1)
#: Growth of an incident that is worth a reminder.
REMIND_GROWTH = 10
#: So many incidents of a backend within the window get a to-do each, all others share one.
FLOOD_LIMIT = 5
FLOOD_WINDOW = timedelta(minutes=10)
#: How often at most a technical incident that lasts is written again.
TOUCH_EVERY = timedelta(minutes=1)
#: Kinds that end without anybody's doing.
SELF_HEALING = ("breaker", "limiter")
#: Kinds about a flow that only managers can do something about.
FOR_MANAGERS = ("scopes",)
#: Kinds that are shown and send nobody a to-do.
SILENT = ("limiter",)


class IntegrationIncident(models.Model):
    """One cause of trouble, however many operations it hits: open until the cause is gone.

    One incident is one to-do for the responsible person. Failed operations are grouped by their
    fingerprint (:meth:`_refresh`); what the engine itself finds out is raised and resolved by
    name (:meth:`_raise`, :meth:`_resolve`).
    """

    _name = "integration.incident"
    _description = "Integration Incident"
    _inherit = ["mail.thread", "mail.activity.mixin"]
    _order = "state desc, last_at desc, id desc"
    # whoever reads of it may say what they know about it
    _mail_post_access = "read"

    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade"
    )
    flow_id = fields.Many2one(
        "integration.flow", readonly=True, ondelete="cascade", index="btree_not_null"
    )
    company_id = fields.Many2one(related="backend_id.company_id", store=True, index=True)
    kind = fields.Selection(
        [
            ("failures", "Failed operations"),
            ("paused", "Connection paused"),
            ("breaker", "Service out of order"),
            ("watchdog", "Engine"),
            ("drift", "Records differ"),
            ("vanished", "Records vanished"),
            ("webhooks", "Notifications missing"),
            ("limiter", "Slowed down"),
            ("expiring", "Credential expires"),
            ("scopes", "Access missing"),
            ("interface", "Interface outdated"),
        ],
        required=True,
        readonly=True,
    )
    key = fields.Char(
        required=True,
        readonly=True,
        default="",
        help="Tells incidents of one kind apart: for failed operations their fingerprint.",
    )
    error_class = fields.Selection(ERROR_CLASSES, string="Kind of Failure", readonly=True)
    message = fields.Text(required=True, readonly=True)
    advice = fields.Text(string="What to Do", compute="_compute_advice")
    severity = fields.Selection(
        [("person", "Needs a person"), ("self", "Ends by itself")], compute="_compute_severity"
    )
    count = fields.Integer(
        readonly=True,
        aggregator=None,
        help="Failed operations, or how often it was seen where it is about something else.",
    )
    first_at = fields.Datetime(string="Since", required=True, readonly=True)
    last_at = fields.Datetime(string="Last Seen", required=True, readonly=True)
    operation_id = fields.Many2one(
        "integration.sync.log",
        string="Example",
        readonly=True,
        ondelete="set null",
        index="btree_not_null",
    )
    state = fields.Selection(
        [("open", "Open"), ("closed", "Closed")], required=True, readonly=True, default="open"
    )
    closed_at = fields.Datetime(readonly=True)
    close_reason = fields.Text(readonly=True)
    reopened = fields.Integer(
        readonly=True, aggregator=None, help="How often its cause came back within a day."
    )
    user_id = fields.Many2one("res.users", string="Responsible", readonly=True)
    activity_id = fields.Many2one("mail.activity", readonly=True, ondelete="set null")
    notified_at = fields.Datetime(string="Last Reminder", readonly=True)
    notified_count = fields.Integer(readonly=True, aggregator=None)

    _open_unique = models.UniqueIndex(
        "(backend_id, kind, COALESCE(flow_id, 0), key) WHERE state = 'open'"
    )
    _closed_index = models.Index("(backend_id, kind, closed_at) WHERE state = 'closed'")

    # === COMPUTE METHODS === #

    @api.depends("kind", "error_class", "flow_id", "backend_id")
    def _compute_display_name(self):
        kinds = dict(self._fields["kind"]._description_selection(self.env))
        classes = dict(self._fields["error_class"]._description_selection(self.env))
        for incident in self:
            what = kinds[incident.kind] if incident.kind else ""
            if incident.error_class:
                what = f"{what} ({classes[incident.error_class]})"
            where = (incident.flow_id or incident.backend_id).display_name
            incident.display_name = f"{where}: {what}"

    @api.depends("kind")
    def _compute_severity(self):
        for incident in self:
            incident.severity = "self" if incident.kind in SELF_HEALING else "person"

    @api.depends("kind", "error_class", "key")
    def _compute_advice(self):
        for incident in self:
            incident.advice = incident._advice()

    def _advice(self):
        """Return what the reader can do about the incident, or that nothing is to be done."""
        by_kind = {
            "paused": self.env._(
                "Open the backend and correct the cause. Then press Resume, or Connect if access "
                "has to be granted again. Operations keep waiting."
            ),
            "breaker": self.env._(
                "Nothing: the service is asked again by itself, and the waiting operations go on "
                "when it answers. If it lasts, ask its provider."
            ),
            "watchdog": self.env._("Show it to your administrator."),
            "drift": self.env._("Look at the records that differ and decide which side is right."),
            "vanished": self.env._(
                "Look into the external system: if the records were deleted on purpose, confirm "
                "it; if not, have them restored there."
            ),
            "webhooks": self.env._(
                "Open the page Notifications of the backend and press Check Now, which renews its "
                "subscriptions. Until then changes arrive as late as the schedules say."
            ),
            "expiring": self.env._(
                "Get a new value from the service. Open the backend, page Credentials, and type it "
                "in together with its date of expiry."
            ),
            "scopes": self.env._(
                "Open the page Access of the backend: it says what is missing and how it is "
                "granted. The operations wait and go on by themselves."
            ),
            "interface": self.env._(
                "Update the addon of this service, or show this to your integrator."
            ),
            "limiter": self.env._("Nothing: the work goes on as fast as the service allows."),
        }
        by_class = {
            "retryable": self.env._("When the service works again, press Retry All."),
            "crash": self.env._("Show it to your administrator together with the server log."),
            "bug": self.env._(
                "Press Retry All once. If it fails again, show an operation to your integrator."
            ),
            "auth": self.env._("Correct the credentials of the backend, then press Retry All."),
            "configuration": self.env._(
                "Correct the setting named in the message, then press Retry All."
            ),
            "mapping": self.env._(
                "Press Map Values and say what the values are in Odoo. The operations go on by "
                "themselves."
            ),
            "invalid_payload": self.env._(
                "Correct the records in the external system, or the data of single operations, "
                "and retry."
            ),
            "ambiguous": self.env._(
                "Open the operations and make clear which record is meant, then retry."
            ),
            "conflict": self.env._("Open the operations, decide which side is right, and retry."),
            "odoo": self.env._("Solve in Odoo what the message names, then press Retry All."),
        }
        if self.kind == "expiring" and (self.key or "").startswith(REFRESH_TOKEN):
            return self.env._(
                "Open the backend and press Connect or Connect Again: the service asks you to "
                "grant access once more."
            )
        if self.kind != "failures":
            return by_kind.get(self.kind)
        return by_class.get(
            self.error_class,
            self.env._("Open the operations, correct the cause, then press Retry All."),
        )

    # === FAILED OPERATIONS === #

    @api.model
    def _refresh(self, flow_ids):
        """Open, update and close the incidents about the failed operations of some flows.

        Costs the same few queries for one failure and for ten thousand. Any transaction may call
        it; one at a time works on a backend, until it ends.

        :param flow_ids: ids of flows whose operations failed, or do so no longer.
        """
        if not flow_ids:
            return
        # sudo: incidents follow from the log, whoever changed it
        self = self.sudo()
        self.env.flush_all()
        self._lock(
            SQL(
                "SELECT DISTINCT backend_id FROM integration_flow WHERE id = ANY(%s) ORDER BY 1",
                list(flow_ids),
            )
        )
        failing = {(row["flow_id"], row["key"]): row for row in self._failing(flow_ids)}
        known = {}
        for incident in self.search(
            [
                ("kind", "=", "failures"),
                ("flow_id", "in", list(flow_ids)),
                "|",
                ("state", "=", "open"),
                ("closed_at", ">", fields.Datetime.now() - REOPEN_WITHIN),
            ],
            order="state, closed_at, id",
        ):
            # of those with one fingerprint the open one wins, else the one closed last
            key = incident.flow_id.id, incident.key
            if key not in known or known[key].state == "closed":
                known[key] = incident
        gone = self.browse(
            incident.id
            for key, incident in known.items()
            if incident.state == "open" and key not in failing
        )
        gone._close(self.env._("No operation fails for this reason any more."))
        changed = self._update_failing(
            [(known[key], row) for key, row in failing.items() if key in known]
        )
        new = self._insert([row for key, row in failing.items() if key not in known])
        (changed + new)._notify()

    @api.model
    def _failing(self, flow_ids):
        """Return one dict per flow and fingerprint of failed operations."""
        self.env.cr.execute(
            SQL(
                """
                WITH failing AS (
                    SELECT flow_id, COALESCE(fingerprint, error_class, '') AS key,
                           count(*) AS count, min(finished_at) AS first_at,
                           max(finished_at) AS last_at, max(id) AS operation_id
                      FROM integration_sync_log
                     WHERE flow_id = ANY(%s) AND state = 'dead'
                     GROUP BY flow_id, COALESCE(fingerprint, error_class, ''))
                SELECT failing.*, o.backend_id, o.company_id, o.error_class, o.message,
                       'failures' AS kind
                  FROM failing JOIN integration_sync_log o ON o.id = failing.operation_id
                """,
                list(flow_ids),
            )
        )
        return self.env.cr.dictfetchall()

    def _update_failing(self, updates):
        """Write what is known about incidents now, by one query.

        :param updates: tuples ``(incident, row)`` of :meth:`_failing`.
        :returns: the incidents whose figures have changed.
        """
        updates = [
            (incident, row)
            for incident, row in updates
            if (incident.state, incident.count, incident.operation_id.id)
            != ("open", row["count"], row["operation_id"])
        ]
        if not updates:
            return self.browse()
        rows = SQL(", ").join(
            SQL(
                "(%s, %s, %s, %s::timestamp, %s)",
                incident.id,
                row["count"],
                row["operation_id"],
                row["last_at"],
                row["message"] or "",
            )
            for incident, row in updates
        )
        self.env.cr.execute(
            SQL(
                """
                UPDATE integration_incident i
                   SET count = v.count, operation_id = v.operation_id, message = v.message,
                       last_at = COALESCE(v.last_at, i.last_at), state = 'open',
                       reopened = i.reopened + CASE WHEN i.state = 'closed' THEN 1 ELSE 0 END,
                       closed_at = NULL, close_reason = NULL
                  FROM (VALUES %s) AS v(id, count, operation_id, last_at, message)
                 WHERE i.id = v.id
                """,
                rows,
            )
        )
        incidents = self.browse(incident.id for incident, _row in updates)
        incidents.invalidate_recordset()
        return incidents

    # === WHAT THE ENGINE FINDS OUT === #

    @api.model
    def _raise(self, kind, backend, key, message, flow=None, count=None):
        """Say that something is wrong with a backend; one query when that is known already.

        :param str kind: one of the field ``kind``.
        :param str key: tells incidents of one kind apart; ``""`` where there is only one.
        :param str message: what happened, for the person in charge.
        :param flow: the flow concerned, if it is one.
        :param int count: how many records are concerned; else it is counted how often it was seen.
        :returns: the open incident.
        """
        # sudo: whoever runs into trouble may say so
        self = self.sudo()
        self.flush_model()
        identity = SQL(
            "backend_id = %s AND kind = %s AND COALESCE(flow_id, 0) = %s AND key = %s",
            backend.id,
            kind,
            flow.id if flow else 0,
            key,
        )
        incident = self._touch(identity, message, count)
        if incident:
            return incident
        self._lock(SQL("SELECT %s AS backend_id", backend.id))
        incident = self._touch(identity, message, count) or self._reopen(identity, message, count)
        if not incident:
            now = fields.Datetime.now()
            incident = self._insert(
                [
                    {
                        "backend_id": backend.id,
                        "company_id": backend.company_id.id,
                        "flow_id": flow.id if flow else None,
                        "kind": kind,
                        "key": key,
                        "message": message,
                        "count": 1 if count is None else count,
                        "first_at": now,
                        "last_at": now,
                    }
                ]
            )
        incident._notify()
        return incident

    @api.model
    def _resolve(self, kind, backend, key, message=None):
        """Close what :meth:`_raise` opened; one query when nothing is open.

        :param str message: why it is over, shown on the incident.
        """
        # sudo: see _raise
        self = self.sudo()
        self.search(
            [
                ("backend_id", "=", backend.id),
                ("kind", "=", kind),
                ("key", "=", key),
                ("state", "=", "open"),
            ]
        )._close(message or self.env._("The cause is gone."))

    def _touch(self, identity, message, count):
        """Note that an open incident lasts; what nobody would see is not written again."""
        self.env.cr.execute(
            SQL(
                """
                WITH known AS (
                    SELECT id, message, count, last_at FROM integration_incident
                     WHERE %(identity)s AND state = 'open'
                ), seen AS (
                    UPDATE integration_incident i
                       SET last_at = clock_timestamp() AT TIME ZONE 'UTC', message = %(message)s,
                           count = COALESCE(%(count)s, i.count + 1)
                      FROM known
                     WHERE i.id = known.id
                       AND (known.message <> %(message)s OR known.count <> %(count)s
                            OR known.last_at < clock_timestamp() AT TIME ZONE 'UTC' - %(every)s)
                )
                SELECT id FROM known
                """,
                identity=identity,
                message=message,
                count=count,
                every=TOUCH_EVERY,
            )
        )
        incident = self.browse(row[0] for row in self.env.cr.fetchall())
        incident.invalidate_recordset()
        return incident

    def _reopen(self, identity, message, count):
        """Open the incident again that was closed within a day for the same cause."""
        self.env.cr.execute(
            SQL(
                """
                UPDATE integration_incident
                   SET state = 'open', closed_at = NULL, close_reason = NULL,
                       reopened = reopened + 1, message = %(message)s,
                       last_at = clock_timestamp() AT TIME ZONE 'UTC',
                       count = COALESCE(%(count)s, count + 1)
                 WHERE id = (SELECT id FROM integration_incident
                              WHERE %(identity)s AND state = 'closed' AND closed_at > %(after)s
                              ORDER BY closed_at DESC, id DESC LIMIT 1)
             RETURNING id
                """,
                identity=identity,
                message=message,
                count=count,
                after=fields.Datetime.now() - REOPEN_WITHIN,
            )
        )
        incident = self.browse(row[0] for row in self.env.cr.fetchall())
        incident.invalidate_recordset()
        return incident

    # === OPENING AND CLOSING === #

    @api.model
    def _lock(self, backends):
        """Wait until no other transaction changes incidents of these backends.

        :param SQL backends: query with a column ``backend_id``, sorted.
        """
        self.env.cr.execute(
            SQL(
                "SELECT pg_advisory_xact_lock(%s, b.backend_id) FROM (%s) b",
                LOCK_INCIDENT,
                backends,
            )
        )

    @api.model
    def _insert(self, rows):
        """Open incidents by one query; one that somebody else has opened meanwhile is left out."""
        if not rows:
            return self.browse()
        now = fields.Datetime.now()
        values = SQL(", ").join(
            SQL(
                "(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'open', 0, %s, %s)",
                row["backend_id"],
                row["company_id"],
                row["flow_id"],
                row["kind"],
                row["key"],
                row.get("error_class"),
                row["message"] or "",
                row["count"],
                row["first_at"] or now,
                row["last_at"] or now,
                row.get("operation_id"),
                now,
                self.env.uid,
            )
            for row in rows
        )
        self.env.cr.execute(
            SQL(
                "INSERT INTO integration_incident (backend_id, company_id, flow_id, kind, key,"
                " error_class, message, count, first_at, last_at, operation_id, state, reopened,"
                " create_date, create_uid) VALUES %s ON CONFLICT DO NOTHING RETURNING id",
                values,
            )
        )
        return self.browse(row[0] for row in self.env.cr.fetchall())

    def _close(self, reason):
        """Close the incidents and end their to-dos."""
        if not self:
            return
        self.write(
            {
                "state": "closed",
                "closed_at": fields.Datetime.now(),
                "close_reason": reason,
                "notified_count": 0,
            }
        )
        todo = self.activity_id.filtered("active")
        if todo:
            shared = self.search([("state", "=", "open"), ("activity_id", "in", todo.ids)])
            (todo - shared.activity_id).action_feedback(feedback=reason)

    # === TELLING PEOPLE === #

    def _owner(self):
        """Return the user who is told: the first of those in charge who may do what it advises."""
        self.ensure_one()
        role = "manager" if self.kind in FOR_MANAGERS else "operator"
        return self.backend_id._in_charge(
            f"integration_base.group_integration_{role}", self.flow_id.user_id
        )

    def _notify(self):
        """Give the person in charge one to-do for each incident that is new or got much worse.

        A mail goes out with it at most once an hour per incident. Where many incidents of a
        backend open at once, those above the limit share one to-do on the backend.
        """
        # the mail server may be slow: it is talked to by the scheduled action for mails
        told = self.with_context(mail_notify_force_send=False).filtered(
            lambda i: i.kind not in SILENT and i._is_due_to_tell()
        )
        try:
            with self.env.cr.savepoint():
                for backend, incidents in told.grouped("backend_id").items():
                    incidents._notify_of(backend)
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            raise
        except Exception:
            # an incident that nobody was told of is better than none; the next failure tells
            _logger.exception("Telling of incidents %s", told.ids)

    def _is_due_to_tell(self):
        self.ensure_one()
        if not self.notified_count:  # new, or open again
            return True
        return (
            self.count >= REMIND_GROWTH * self.notified_count
            and self.notified_at <= fields.Datetime.now() - REMIND_EVERY
        )

    def _notify_of(self, backend):
        now = fields.Datetime.now()
        recent = self.search_count(
            [("backend_id", "=", backend.id), ("notified_at", ">", now - FLOOD_WINDOW)]
        )
        own = self[: max(FLOOD_LIMIT - recent, 0)]
        for incident in own:
            incident._give_todo()
        many = self - own
        if many:
            many.activity_id = many._shared_todo(backend)
        for incident in self:
            incident.write({"notified_at": now, "notified_count": max(incident.count, 1)})

    def _give_todo(self):
        """Give the person in charge the to-do of this incident, or remind them of it."""
        owner = self._owner()
        quiet = bool(self.notified_at and self.notified_at > fields.Datetime.now() - REMIND_EVERY)
        incident = self.with_context(lang=owner.lang, mail_activity_quick_update=quiet)
        values = {
            "summary": incident.display_name,
            "note": plaintext2html("\n".join(filter(None, [incident.message, incident.advice]))),
        }
        todo = incident.activity_id
        if todo.active and todo.res_model == self._name and todo.res_id == self.id:
            todo.write(values)
            if not quiet and owner != self.env.user:
                todo.action_notify()
        else:
            incident.activity_id = incident.activity_schedule(
                "mail.mail_activity_data_todo", user_id=owner.id, **values
            )
        incident.user_id = owner

    def _shared_todo(self, backend):
        """Return the one to-do on the backend for all incidents above the limit."""
        self.user_id = owner = backend._in_charge("integration_base.group_integration_operator")
        shared = self.search(
            [
                ("backend_id", "=", backend.id),
                ("state", "=", "open"),
                ("activity_id.res_model", "=", backend._name),
                ("activity_id.active", "=", True),
            ],
            limit=1,
        ).activity_id
        return shared or backend.with_context(lang=owner.lang).activity_schedule(
            "mail.mail_activity_data_todo",
            user_id=owner.id,
            summary=self.with_context(lang=owner.lang).env._("Many incidents at once"),
            note=self.with_context(lang=owner.lang).env._(
                "More than %s things went wrong within ten minutes. You are not told of each: all "
                "of them are listed under Integrations > Review.",
                FLOOD_LIMIT,
            ),
        )

    # === ACTIONS === #

    def _operations_domain(self):
        """Return the domain of the failed operations behind the incidents."""
        return Domain.OR(
            Domain("flow_id", "=", incident.flow_id.id)
            & Domain("state", "=", "dead")
            & (
                Domain("fingerprint", "=", incident.key)
                | Domain("fingerprint", "=", False)
                & Domain("error_class", "=", incident.key or False)
            )
            for incident in self
            if incident.kind == "failures"
        )

    def action_open_operations(self):
        """Open the failed operations behind the incident."""
        return self.env["integration.sync.log"]._action_show(list(self._operations_domain()))

    def _failed_operations(self):
        """Return the failed operations behind the incidents, as far as the user may see them.

        :raises UserError: when there is none, or the user may not review.
        """
        operations = self.env["integration.sync.log"].search(self._operations_domain())
        operations._check_review_access()
        if not operations:
            raise UserError(self.env._("No failed operation is behind it (any more)."))
        return operations

    def action_retry_all(self):
        """Try all operations behind the incidents again, as soon as possible."""
        operations = self._failed_operations()
        # sudo: operators hold no write access to the log, reviewing is what they may do
        operations.sudo()._requeue()
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "success",
                "message": self.env._("%s operations are tried again now.", len(operations)),
                "next": {"type": "ir.actions.client", "tag": "soft_reload"},
            },
        }

    def action_set_aside_all(self):
        """Ask for the reason and set all operations behind the incidents aside."""
        return self.env["integration.set.aside"]._action_ask(self._failed_operations())

    def action_open_mappings(self):
        """Open the values the operations behind the incident wait for."""
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "integration_base.integration_mapping_action"
        )
        operations = self.env["integration.sync.log"].search(self._operations_domain())
        rows = operations._read_group(
            [("id", "in", operations.ids), ("mapping_ids.resource_ref", "=", False)],
            ["mapping_ids"],
        )
        action["domain"] = [("id", "in", [mapping.id for (mapping,) in rows])]
        action["context"] = {}
        return action

    def action_accept_vanished(self):
        """Follow the deletions: the vanished records are really gone."""
        self.flow_id.action_accept_vanished()

    def action_keep_vanished(self):
        """Leave the vanished records as they are in Odoo."""
        self.flow_id.action_keep_vanished()

    def action_open_discrepancies(self):
        """Open the records of the flow that are missing or different."""
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "integration_base.integration_discrepancy_action"
        )
        action["domain"] = [("flow_id", "in", self.flow_id.ids), ("state", "!=", "suspected")]
        return action

    def action_open_backend(self):
        """Open the backend the incident is about."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "res_model": "integration.backend",
            "res_id": self.backend_id.id,
            "view_mode": "form",
        }
