import json
import logging
import time

from odoo import SUPERUSER_ID, api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from .integration_engine import DATABASE_AWAY

_logger = logging.getLogger(__name__)

#: Longest that somebody waits who has pressed Erase or Export; the cron does the rest.
FOREGROUND_SECONDS = 20
#: Longest that one run of the cron works on requests.
CRON_SECONDS = 60
#: Kinds that are not carried out before a person has decided.
HELD_KINDS = ("erase_all", "manual")
#: Within so many days requests of persons and services have to be answered (GDPR, article 12).
DAYS_TO_ANSWER = 30


class IntegrationPrivacyRequest(models.Model):
    """One request of a person (or of a service on their behalf), and what was done about it.

    It stays as evidence: who asked for what and when, which external records it was about, how
    many rows were concerned. What the person is found by is forgotten as soon as it is done.
    """

    _name = "integration.privacy.request"
    _description = "Privacy Request"
    _inherit = ["mail.thread", "mail.activity.mixin"]
    _order = "id desc"
    # whoever decides may say why
    _mail_post_access = "read"

    company_id = fields.Many2one("res.company", required=True, readonly=True, index=True)
    kind = fields.Selection(
        [
            ("export", "Export"),
            ("erase", "Erasure"),
            ("erase_all", "Erasure of a whole backend"),
            ("manual", "Request to do by hand"),
        ],
        required=True,
        readonly=True,
    )
    state = fields.Selection(
        [
            ("waiting", "Waiting"),
            ("held", "Needs a Person"),
            ("running", "Running"),
            ("done", "Done"),
            ("closed", "Closed by Hand"),
        ],
        required=True,
        readonly=True,
        default="waiting",
    )
    backend_id = fields.Many2one(
        "integration.backend",
        readonly=True,
        ondelete="set null",
        help="Whose service asked for it; empty when a user did.",
    )
    reference = fields.Char(readonly=True, help="What the service calls its request.")
    event_id = fields.Many2one(
        "integration.webhook.event",
        string="Notification",
        readonly=True,
        ondelete="set null",
        index="btree_not_null",
        help="By which the service asked for it, as long as it is kept.",
    )
    event_message = fields.Text(related="event_id.message")
    decided_by_id = fields.Many2one("res.users", string="Decided by", readonly=True)
    user_id = fields.Many2one(
        "res.users", string="Requested by", readonly=True, default=lambda self: self.env.user
    )
    partner_id = fields.Many2one("res.partner", string="Contact", readonly=True)
    external_ids = fields.Text(
        string="External Records", readonly=True, help="Backend, resource and external id of each."
    )
    counts = fields.Json(readonly=True)
    counts_text = fields.Text(string="Rows", compute="_compute_counts_text")
    set_aside_count = fields.Integer(string="Operations Set Aside", readonly=True, aggregator=None)
    done_at = fields.Datetime(readonly=True)
    terms = fields.Json(readonly=True, groups=fields.NO_ACCESS)
    position = fields.Json(readonly=True, groups=fields.NO_ACCESS)
    attachment_id = fields.Many2one(
        "ir.attachment", string="File", readonly=True, ondelete="set null", copy=False
    )

    _open_index = models.Index("(id) WHERE state <> 'done'")

    # === COMPUTE METHODS === #

    @api.depends("kind", "create_date")
    def _compute_display_name(self):
        kinds = dict(self._fields["kind"]._description_selection(self.env))
        for request in self:
            request.display_name = f"{kinds.get(request.kind, '')} {request.id or ''}".strip()

    @api.depends("counts")
    def _compute_counts_text(self):
        # sudo: names of models are no secret
        models_ = self.env["ir.model"].sudo()
        for request in self:
            request.counts_text = "\n".join(
                f"{models_._get(model).name}: {count}"
                for model, count in sorted((request.counts or {}).items())
                if count
            )

    # === ASKING === #

    @api.model
    def _ask(self, company, kind, terms, **values):
        """Store a request in a transaction of its own, so that its work can begin.

        :param dict terms: see ``integration.privacy._terms``.
        :param values: more fields.
        :returns: the request.
        """
        with self.env.registry.cursor() as cr:
            # sudo: requests are written by the code alone
            env = api.Environment(cr, self.env.uid, {}, su=True)
            request_id = env[self._name]._store(company, kind, terms, **values).id
        return self.browse(request_id)

    @api.model
    def _store(self, company, kind, terms, **values):
        """Store a request in the present transaction; the cron works on it afterwards."""
        if kind == "erase" and values.get("backend_id"):
            # a service speaks for what it gave us, not for what others did
            terms = self.env["integration.privacy"]._within(terms, values["backend_id"])
        names = {}
        for backend_id, resource, external_id in terms["records"]:
            backend = self.env["integration.backend"].browse(backend_id)
            names.setdefault(f"{backend.name} / {resource}", []).append(external_id)
        request = self.create(
            [
                {
                    "company_id": company.id,
                    "kind": kind,
                    "terms": terms,
                    "external_ids": "\n".join(
                        f"{name}: {', '.join(ids)}" for name, ids in sorted(names.items())
                    ),
                    "partner_id": terms["partners"][0] if len(terms["partners"]) == 1 else False,
                    **values,
                }
            ]
        )
        self.env.ref("integration_base.ir_cron_privacy")._trigger()
        return request

    # === WORKING === #

    @api.model
    def _cron_work(self):
        """Go on with the requests that are not done, the oldest first."""
        Cron = self.env["ir.cron"]
        end = time.monotonic() + CRON_SECONDS
        requests = self.search([("state", "in", ("waiting", "running"))], order="id")
        for position, request in enumerate(requests):
            try:
                request._work(end - time.monotonic())
            except DATABASE_AWAY:
                raise
            except Exception:
                # one that fails holds up no other; it is tried again with the next run
                _logger.exception("Privacy request %s", request.id)
            if not Cron._commit_progress(1, remaining=len(requests) - position - 1):
                return

    def _work(self, seconds=FOREGROUND_SECONDS):
        """Work on the request, window by window, each in a transaction of its own.

        :returns: whether it is done.
        """
        self.ensure_one()
        engine = self.env["integration.engine"]
        end = time.monotonic() + seconds
        go_on, is_done = True, False
        while go_on and time.monotonic() < end:
            go_on, is_done = engine._with_tries(self._work_once)
        self.invalidate_recordset()
        return is_done

    def _work_once(self):
        """Do one part; returns whether there is more to do just now, and whether all is done.

        Its outcome is read where it was written: the caller's transaction may be older.
        """
        with self.env["integration.engine"]._control_cursor() as cr:
            request = self._own(cr)
            go_on = request._step()
            return go_on, request.state == "done"

    def _own(self, cr):
        """Return the request in a transaction of its own, with all rights."""
        cr.execute("SELECT user_id FROM integration_privacy_request WHERE id = %s", [self.id])
        (user_id,) = cr.fetchone() or (None,)
        # superuser: a notice of a service has no user; all of the company's rows are looked at
        return self.with_env(api.Environment(cr, user_id or SUPERUSER_ID, {}, su=True))

    def _step(self):
        """Do one part of the work; returns whether there is more to do just now."""
        # another process may be at it: each part is done once, whoever does it
        self.env.cr.execute(
            SQL("SELECT state FROM integration_privacy_request WHERE id = %s FOR UPDATE", self.id)
        )
        (state,) = self.env.cr.fetchone() or ("done",)
        if state not in ("waiting", "running"):
            return False
        if self.kind in HELD_KINDS and not self.decided_by_id:
            self._hold()
            return False
        if state == "waiting":
            return self._begin()
        return self._go_on()

    def _is_open(self):
        """Whether something is still to be done about the request."""
        self.ensure_one()
        return self.state not in ("done", "closed")

    def _hold(self):
        """Ask a person what becomes of the request: the word of the service is not enough."""
        self.state = "held"
        self._tell_owner()

    def _close(self, reason):
        """End requests without doing anything about them.

        :param str reason: why, kept with their to-dos.
        """
        self.write({"state": "closed", "done_at": fields.Datetime.now(), "terms": False})
        self.activity_ids.action_feedback(feedback=reason)

    def _begin(self):
        """Find the person's records, and set their open operations aside if they are erased."""
        if self.kind == "erase_all":
            self._switch_off()
        privacy = self.env["integration.privacy"]
        links = privacy._links(self.company_id, self.terms)
        if self.kind != "export" and not self._set_aside(links):
            return False
        self.write({"state": "running", "position": {"store": 0, "after": 0, "links": links}})
        return True

    def _set_aside(self, links):
        """Set open operations aside; returns whether none is at work just now."""
        privacy = self.env["integration.privacy"]
        count, is_idle = privacy._set_aside(
            links, self.env._("Personal data was erased (%s).", self.display_name)
        )
        self.set_aside_count += count
        if not is_idle:
            # what is at work just now may still write about the person; the cron comes again
            self.env.ref("integration_base.ir_cron_privacy")._trigger(
                fields.Datetime.add(fields.Datetime.now(), minutes=1)
            )
        return is_idle

    def _switch_off(self):
        """Archive the backend and forget what it signs in with; it takes no notifications then."""
        self.backend_id.write({"state": "draft", "active": False})
        self.backend_id.subscription_ids.unlink()
        # also those of other kinds of authentication, which are archived
        backend = self.backend_id.with_context(active_test=False)
        rows = backend.credential_ids.filtered(lambda row: row.environment == backend.environment)
        tokens = rows.filtered(lambda row: row.kind == "token")
        tokens.unlink()
        (rows - tokens).write({"ciphertext": False, "previous_ciphertext": False, "is_set": False})

    def _go_on(self):
        """Export or erase one window; at the end of the last table finish the request."""
        privacy = self.env["integration.privacy"]
        stores = privacy._stores()
        position, counts = dict(self.position), dict(self.counts or {})
        if position["store"] < len(stores):
            store = stores[position["store"]]
            where = position["links"], self.terms
            if self.kind == "export":
                last, rows = privacy._export(store, *where, position["after"])
                self._attach_part(rows)
                changed = len(rows)
            else:
                keys = privacy._personal_keys(self.company_id)
                last, changed = privacy._erase(store, *where, keys, position["after"])
            counts[store.model] = counts.get(store.model, 0) + changed
            if last is None:
                position.update(store=position["store"] + 1, after=0)
            else:
                position["after"] = last
            self.write({"position": position, "counts": counts})
            return True
        if self.kind == "export":
            self._end(counts, attachment_id=self._attach_export().id)
        else:
            counts["ir.attachment"] = privacy._erase_attachments(self.company_id, self.terms)
            self._end(counts)
        return False

    def _attach(self, name, data):
        return self.env["ir.attachment"].create(
            [
                {
                    "name": name,
                    "raw": json.dumps(data, ensure_ascii=False, indent=2).encode(),
                    "mimetype": "application/json",
                    "res_model": self._name,
                    "res_id": self.id,
                    "company_id": self.company_id.id,
                }
            ]
        )

    def _attach_part(self, rows):
        """Put what one window has for the export into a file of its own, until all are found."""
        if rows:
            self._attach(f"privacy-{self.id}.part.json", rows)

    def _attach_export(self):
        """Make one file of the parts; returns it."""
        parts = self.env["ir.attachment"].search(
            [
                ("res_model", "=", self._name),
                ("res_id", "=", self.id),
                ("name", "=", f"privacy-{self.id}.part.json"),
            ],
            order="id",
        )
        data = {
            "company": self.company_id.name,
            "exported_at": fields.Datetime.to_string(fields.Datetime.now()),
            "external_records": (self.external_ids or "").splitlines(),
            "kept": [row for part in parts for row in json.loads(part.raw)],
        }
        parts.unlink()
        return self._attach(f"privacy-{self.id}.json", data)

    def _end(self, counts, **values):
        self.write(
            {
                "state": "done",
                "done_at": fields.Datetime.now(),
                "counts": counts,
                "terms": False,
                "position": False,
                **values,
            }
        )
        if self.backend_id:
            self._tell_owner()

    def _tell_owner(self):
        """Give a manager the to-do that goes with the request of the service."""
        owner = self.backend_id._in_charge("integration_base.group_integration_manager")
        env = self.with_context(lang=owner.lang).env
        service = self.backend_id.display_name
        summaries = {
            "export": env._("%s: a customer wants to know what you keep", service),
            "erase": env._("%s: a customer wants to be forgotten", service),
            "erase_all": env._("%s: the app was removed, its data was erased", service),
            "held erase_all": env._("%s: erase everything that was kept of it?", service),
            "held manual": env._("%s: a request about personal data needs you", service),
        }
        notes = {
            "export": env._(
                "What the integrations keep on the customer is ready to be downloaded here. Add "
                "what Odoo itself has, and give it to the customer within 30 days."
            ),
            "erase": env._(
                "What was kept of it on the customer has been erased, not what other backends "
                "keep: for that, use Integration Data on the contact. Decide what becomes of the "
                "contact and its documents in Odoo: invoices have to be kept for years, other "
                "data may have to go."
            ),
            "erase_all": env._(
                "Everything that was kept of it has been erased, and the backend is archived. "
                "Orders and contacts in Odoo are as they were."
            ),
            "held erase_all": env._(
                "The service says that our app was removed there, and asks for everything that was "
                "kept of it to be erased. Nothing has been erased yet. If that is right, press "
                "Erase Now. If the backend is still in use, or its Test Connection succeeds, the "
                "notice is an old one or not a true one: press Close."
            ),
            "held manual": env._(
                "The service asks for the personal data of somebody to be handed out or erased, "
                "and its notification could not be carried out. Open it to see whom it is about, "
                "use Privacy > Find a Person, then press Close."
            ),
        }
        what = f"held {self.kind}" if self.state == "held" else self.kind
        answer_by = fields.Date.add(fields.Date.context_today(self), days=DAYS_TO_ANSWER)
        self.with_context(lang=owner.lang, mail_notify_force_send=False).activity_schedule(
            "mail.mail_activity_data_todo",
            date_deadline=answer_by if self.state == "held" else None,
            user_id=owner.id,
            summary=summaries[what],
            note=notes[what],
        )

    @api.autovacuum
    def _gc_files_of_copies(self):
        """Delete files that neutralize.sql has closed: SQL does not reach them on the disk."""
        # sudo: they belong to no record any more, nobody else may touch them
        files = self.env["ir.attachment"].sudo()
        files.search([("res_model", "=", self._name), ("res_id", "=", False)]).unlink()

    # === ACTIONS === #

    def action_open_contact(self):
        """Open the contact, to decide what becomes of it."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "res_model": "res.partner",
            "res_id": self.partner_id.id,
            "view_mode": "form",
        }

    def action_erase_now(self):
        """Have everything of the backend erased, as its service asks for.

        :raises UserError: when that is not what is to be decided, or not by this user.
        """
        self._check_decidable()
        if self.kind != "erase_all":
            raise UserError(self.env._("There is nothing to erase by itself here."))
        # sudo: nobody may write requests, but deciding is what managers are asked to do
        request = self.sudo()
        request.write({"state": "waiting", "decided_by_id": self.env.uid})
        request.activity_ids.action_feedback(feedback=self.env._("Erase Now"))
        request.env.ref("integration_base.ir_cron_privacy")._trigger()

    def action_close(self):
        """End the request: it was done by hand, or is not true.

        :raises UserError: when nobody is asked to decide, or not this user.
        """
        self._check_decidable()
        # sudo: nobody may write requests, but deciding is what managers are asked to do
        request = self.sudo()
        request.decided_by_id = self.env.uid
        request._close(self.env._("Closed by hand"))

    def _check_decidable(self):
        self.ensure_one()
        self.check_access("read")
        if not self.env.user.has_group("integration_base.group_integration_manager"):
            raise UserError(self.env._("This needs the role Integration Manager."))
        if self.state != "held":
            raise UserError(self.env._("There is nothing to decide about this request any more."))

    def action_download(self):
        """Download what was exported.

        :raises UserError: when the file was deleted.
        """
        self.ensure_one()
        self.check_access("read")
        if not self.attachment_id:
            raise UserError(self.env._("The file is gone. Make a new export."))
        return {
            "type": "ir.actions.act_url",
            "url": f"/web/content/{self.attachment_id.id}?download=true",
            "target": "self",
        }

    def action_delete_file(self):
        """Delete the exported file; the request stays."""
        self.check_access("read")
        if not self.env.user.has_group("integration_base.group_integration_manager"):
            raise UserError(self.env._("This needs the role Integration Manager."))
        # sudo: nobody may write requests, but what was handed over need not stay
        self.sudo().attachment_id.unlink()
