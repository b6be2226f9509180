import contextlib
import logging
import os
import secrets
from collections import defaultdict
from contextvars import ContextVar
from urllib.parse import urlsplit

from odoo import SUPERUSER_ID, Command, api, fields, models
from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.fields import Domain
from odoo.tools import config, ormcache
from odoo.tools.misc import clean_context
from odoo.tools.urls import urljoin

from ..lib.address_guard import AddressGuard, origin_of, read_private_hosts
from ..lib.auth import ACCESS_TOKEN, REFRESH_TOKEN, AuthorizationCode
from ..lib.errors import (
    AddressError,
    AuthError,
    ConfigurationError,
    CredentialError,
    IntegrationError,
    RightsError,
    TokenRefused,
)
from ..lib.http import HttpClient
from ..lib.scopes import covered
from ..lib.server_config import read_setting
from .integration_engine import MAX_SLOTS
from .integration_exchange import check_time, record_exchange
from .integration_rate_bucket import Limiter
from .integration_sync_log import READERS
from .integration_webhook_subscription import AGAIN_AFTER

_logger = logging.getLogger(__name__)

#: Environment variable with the private hosts that every backend may call, production included;
#: else the line ``private_hosts`` in the section ``[integration]`` of Odoo's configuration file.
#: Not in the database: who can change a backend shall not reach the network around the server.
HOSTS_VARIABLE = "INTEGRATION_PRIVATE_HOSTS"
#: What only buttons and the engine change; a remote call could name an easy address, say.
OWN_FIELDS = frozenset(
    {
        "state",
        "pause_reason",
        "database_identity",
        "webhook_token",
        "other_base_url",
        "account_since",
        "kept",
    }
)
#: Ids of backends that a person lets work in this copy of the database just now. Hooks have
#: transactions of their own, which do not see yet that it was noted.
_taken_over = ContextVar("taken over", default=frozenset())


class IntegrationBackend(models.Model):
    """One configured account of an external service: one shop, one gateway account."""

    _name = "integration.backend"
    _description = "Integration Backend"
    _inherit = ["integration.company.mixin", "mail.thread", "mail.activity.mixin"]
    _order = "sequence, name"
    _check_company_auto = True

    name = fields.Char(required=True, tracking=True)
    sequence = fields.Integer(default=10)
    active = fields.Boolean(default=True)
    connector = fields.Selection(
        selection=lambda self: self.env["integration.connector"]._connector_codes(),
        required=True,
    )
    company_id = fields.Many2one(
        "res.company", required=True, default=lambda self: self.env.company, index=True
    )
    user_id = fields.Many2one(
        "res.users",
        string="Owner",
        default=lambda self: self.env.user,
        tracking=True,
        help="Is told when the connection needs a person.",
    )
    work_user_id = fields.Many2one(
        "res.users",
        string="Works as",
        copy=False,
        tracking=True,
        domain="[('share', '=', False), ('company_ids', 'in', company_id)]",
        help="Records are read and written with the rights of this user. By default that is a "
        "technical user of the company, who has just those that the flows need and cannot log in. "
        "Empty: with all rights.",
    )
    auth_kind = fields.Selection(
        selection=lambda self: self.env["integration.connector"]._auth_choices(),
        string="Sign in with",
        compute="_compute_auth_kind",
        store=True,
        readonly=False,
        tracking=True,
        help="How the service knows that it is us. What it needs is asked for under Credentials.",
    )
    auth_kinds = fields.Json(compute="_compute_auth_kinds")
    needs_consent = fields.Boolean(compute="_compute_needs_consent")
    oauth_callback_url = fields.Char(
        string="Redirect Address",
        compute="_compute_needs_consent",
        help="Enter it in the settings of the app at the service, exactly as it stands here.",
    )
    environment = fields.Selection(
        [("sandbox", "Sandbox"), ("production", "Production")],
        required=True,
        default="sandbox",
        tracking=True,
        help="A sandbox may talk to a test service on this machine without encryption; "
        "a production backend never does.",
    )
    private_hosts = fields.Char(
        tracking=True,
        help="Test services in your own network that this sandbox may call, as names, addresses or "
        "networks, e.g. simulator, 10.1.2.0/24. The certificate of https:// addresses is checked "
        "there too. Production backends do not heed it.",
    )
    base_url = fields.Char(
        string="Address", tracking=True, help="Where the service answers, e.g. https://..."
    )
    other_base_url = fields.Char(
        readonly=True, copy=False, help="The address in the other environment, when it was left."
    )
    account_since = fields.Datetime(
        string="This Account since",
        readonly=True,
        copy=False,
        help="When it was switched to an account with other records. What was received before "
        "is not processed again: it belongs to the other account.",
    )
    state = fields.Selection(
        [("draft", "Not connected"), ("active", "Connected"), ("paused", "Paused")],
        required=True,
        readonly=True,
        default="draft",
        copy=False,
        tracking=True,
    )
    pause_reason = fields.Text(readonly=True, copy=False)
    database_identity = fields.Char(
        readonly=True,
        copy=False,
        help="The database in which the connection was made. A copy of it does not call the "
        "service until somebody says so.",
    )
    in_foreign_database = fields.Boolean(compute="_compute_in_foreign_database")
    in_neutralized_database = fields.Boolean(compute="_compute_in_neutralized_database")
    max_drains = fields.Integer(
        string="Flows at Work",
        default=2,
        help="How many drains may work for this backend at the same time. A service that hangs "
        "holds up that many job workers; others have to be left for other backends.",
    )
    webhook_token = fields.Char(
        required=True,
        readonly=True,
        copy=False,
        default=lambda self: secrets.token_urlsafe(32),
        groups="integration_base.group_integration_manager",
    )
    webhook_url = fields.Char(
        compute="_compute_webhook_url", groups="integration_base.group_integration_manager"
    )
    credential_ids = fields.One2many(
        "integration.credential",
        "backend_id",
        groups="integration_base.group_integration_manager,integration_base.group_integration_auditor",
    )
    flow_ids = fields.One2many("integration.flow", "backend_id")
    mapping_ids = fields.One2many("integration.mapping", "backend_id")
    subscription_ids = fields.One2many("integration.webhook.subscription", "backend_id")
    granted_scopes = fields.Json(readonly=True, copy=False)
    scopes_checked_at = fields.Datetime(string="Access Checked", readonly=True, copy=False)
    scope_ids = fields.One2many("integration.scope", "backend_id", readonly=True, groups=READERS)
    missing_access = fields.Text(compute="_compute_missing_access", groups=READERS)
    waiting_count = fields.Integer(compute="_compute_operation_counts")
    failed_count = fields.Integer(compute="_compute_operation_counts")
    oldest_waiting_at = fields.Datetime(string="Waiting Since", compute="_compute_operation_counts")
    incident_count = fields.Integer(compute="_compute_incident_count", groups=READERS)
    unmapped_count = fields.Integer(compute="_compute_unmapped_count")
    event_count = fields.Integer(compute="_compute_event_count", groups=READERS)
    binding_count = fields.Integer(compute="_compute_binding_count")
    breaker_ids = fields.One2many("integration.breaker", "backend_id", readonly=True)
    breaker_state = fields.Selection(related="breaker_ids.state")
    breaker_message = fields.Text(related="breaker_ids.message")
    rate_bucket_ids = fields.One2many("integration.rate.bucket", "backend_id", readonly=True)

    keep_done_days = fields.Integer(
        string="Finished Operations (days)", default=30, required=True, aggregator=None
    )
    keep_done_mb = fields.Integer(
        string="Finished Operations (MB)", default=1000, required=True, aggregator=None
    )
    keep_failed_days = fields.Integer(
        string="Failed or Set Aside Operations (days)",
        default=365,
        required=True,
        aggregator=None,
        help="Counted from their failure. What nobody has looked at until then is gone.",
    )
    keep_events_days = fields.Integer(
        string="Webhook Events (days)", default=30, required=True, aggregator=None
    )
    keep_events_mb = fields.Integer(
        string="Webhook Events (MB)", default=500, required=True, aggregator=None
    )
    keep_exchanges_days = fields.Integer(
        string="HTTP Exchanges (days)", default=14, required=True, aggregator=None
    )
    keep_exchanges_mb = fields.Integer(
        string="HTTP Exchanges (MB)", default=1000, required=True, aggregator=None
    )
    kept = fields.Json(readonly=True, copy=False)
    kept_summary = fields.Html(string="Kept Now", compute="_compute_kept_summary", sanitize=False)

    _max_drains_limits = models.Constraint(
        f"CHECK(max_drains BETWEEN 1 AND {MAX_SLOTS})", "1 to 8 flows can be at work."
    )
    _keep_limits = models.Constraint(
        "CHECK(keep_done_days >= 0 AND keep_done_mb >= 0 AND keep_failed_days >= 0"
        " AND keep_events_days >= 0 AND keep_events_mb >= 0"
        " AND keep_exchanges_days >= 0 AND keep_exchanges_mb >= 0)",
        "Days and megabytes of kept data cannot be negative. 0 keeps everything.",
    )
    _webhook_token_unique = models.Constraint(
        "UNIQUE(webhook_token)", "The webhook address has to be unique."
    )

    # === COMPUTE METHODS === #

    @api.depends("connector")
    def _compute_auth_kind(self):
        for backend in self:
            options = list(backend._connector()._auth_options()) if backend.connector else []
            if backend.auth_kind not in options:
                backend.auth_kind = options[0] if options else False

    @api.depends("connector")
    def _compute_auth_kinds(self):
        for backend in self:
            options = list(backend._connector()._auth_options()) if backend.connector else []
            backend.auth_kinds = options if len(options) > 1 else False

    @api.depends("connector", "auth_kind")
    def _compute_needs_consent(self):
        Auth = self.env["integration.auth"]
        for backend in self:
            backend.needs_consent = isinstance(backend._auth_grant(), AuthorizationCode)
            url = Auth._callback_url(backend) if backend.needs_consent else False
            backend.oauth_callback_url = url

    @api.depends("webhook_token")
    def _compute_webhook_url(self):
        for backend in self:
            backend.webhook_url = backend._webhook_url()

    @api.depends("database_identity", "state")
    def _compute_in_foreign_database(self):
        for backend in self:
            was_connected = backend.database_identity or backend.state == "active"
            backend.in_foreign_database = bool(
                was_connected and backend.database_identity != self._this_database()
            )

    def _compute_in_neutralized_database(self):
        self.in_neutralized_database = self.env["integration.watchdog"]._is_copy()

    @api.depends_context("uid")
    def _compute_operation_counts(self):
        rows = self.env["integration.sync.log"]._read_group(
            [("backend_id", "in", self.ids), ("state", "in", ("pending", "running", "dead"))],
            ["backend_id", "state"],
            ["__count", "create_date:min"],
        )
        counts = {(backend.id, state): count for backend, state, count, _since in rows}
        oldest = {}
        for backend, state, _count, since in rows:
            if state != "dead":
                oldest[backend.id] = min(since, oldest.get(backend.id, since))
        for backend in self:
            backend.oldest_waiting_at = oldest.get(backend.id)
            backend.failed_count = counts.get((backend.id, "dead"), 0)
            backend.waiting_count = counts.get((backend.id, "pending"), 0) + counts.get(
                (backend.id, "running"), 0
            )

    def _count_by_backend(self, model, domain=()):
        rows = self.env[model]._read_group(
            [("backend_id", "in", self.ids), *domain], ["backend_id"], ["__count"]
        )
        return {backend.id: count for backend, count in rows}

    def _compute_unmapped_count(self):
        # a value that was only listed need not be anything in Odoo until a record brings it
        counts = self._count_by_backend(
            "integration.mapping", [("resource_ref", "=", False), ("seen_count", ">", 0)]
        )
        for backend in self:
            backend.unmapped_count = counts.get(backend.id, 0)

    @api.depends_context("uid")
    def _compute_incident_count(self):
        counts = self._count_by_backend("integration.incident", [("state", "=", "open")])
        for backend in self:
            backend.incident_count = counts.get(backend.id, 0)

    @api.depends_context("uid")
    def _compute_event_count(self):
        counts = self._count_by_backend("integration.webhook.event")
        for backend in self:
            backend.event_count = counts.get(backend.id, 0)

    @api.depends_context("uid")
    def _compute_binding_count(self):
        counts = self._count_by_backend("integration.binding")
        for backend in self:
            backend.binding_count = counts.get(backend.id, 0)

    @api.depends("flow_ids.missing_scopes", "flow_ids.scope_text")
    def _compute_missing_access(self):
        for backend in self:
            stopped = backend.flow_ids.filtered("missing_scopes")
            backend.missing_access = "\n".join(stopped.mapped("scope_text"))

    @api.depends("kept")
    def _compute_kept_summary(self):
        for backend in self:
            backend.kept_summary = self.env["integration.retention"]._summary(backend.kept)

    def init(self):
        # connected before it was noted where; whoever updates the module does so in that database
        self.env.cr.execute(
            "UPDATE integration_backend SET database_identity = %s"
            " WHERE state = 'active' AND database_identity IS NULL",
            [self._this_database()],
        )

    # === CRUD METHODS === #

    @api.model_create_multi
    def create(self, vals_list):
        for vals in vals_list:
            self._check_own_fields(vals)
            self._check_reach(vals)
            if not self.env.su:
                # whatever the context and the user's own defaults say
                vals.update(dict.fromkeys(OWN_FIELDS, False))
                vals.update(state="draft", webhook_token=secrets.token_urlsafe(32))
            if vals.get("state") == "active":
                vals["database_identity"] = self._this_database()
        backends = super().create(vals_list)
        backends.filtered("work_user_id")._check_lent_rights()
        for backend in backends:
            backend._create_missing_parts()
            backend._appoint_worker()
        self.env["integration.webhook.event"]._forget_targets()
        return backends

    def write(self, vals):
        self._check_own_fields(vals)
        self._check_reach(vals)
        if "connector" in vals and any(b.connector != vals["connector"] for b in self):
            raise UserError(
                self.env._(
                    "The connector of a backend cannot be changed: its bindings and mappings "
                    "belong to the old service. Create another backend."
                )
            )
        appointed = self.browse()
        if "company_id" in vals:
            moved = self.filtered(lambda backend: backend.company_id.id != vals["company_id"])
            moved._check_unused(
                self.env._(
                    "The company of a backend cannot be changed once it was used: its records and "
                    "its log belong to the old one. Create another backend."
                )
            )
            if "work_user_id" not in vals:
                appointed = moved.filtered(
                    lambda backend: (
                        backend.work_user_id and backend.work_user_id == backend._technical_user()
                    )
                )
        switched = self.filtered(
            lambda backend: backend.environment != vals.get("environment", backend.environment)
        )
        if any(backend.state != "draft" for backend in switched):
            raise UserError(
                self.env._(
                    "A backend at work does not change between sandbox and production by the way: "
                    "its records would be mixed. Press Switch Environment on its form."
                )
            )
        if vals.get("state") == "active":
            # one that is noted already stays: only a person takes a backend to another database
            unbound = self.filtered(lambda backend: not backend.database_identity)
            if unbound:
                unbound.database_identity = self._this_database()
        moved = self.filtered(lambda backend: backend._loses_tokens(vals))
        were_drafts = {backend.state == "draft" for backend in self}
        if "base_url" in vals:
            self._bind_credentials()
        if appointed:
            # sudo: the technical user of the new company takes its place below
            appointed.sudo().work_user_id = False
        result = super().write(vals)
        for backend in appointed:
            backend._appoint_worker()
        if "base_url" in vals:
            self._bind_credentials()
        if "work_user_id" in vals:
            self._check_lent_rights()
        for backend in switched:
            backend._take_credentials()
        for backend in moved:
            # tokens were issued by another service, or for other credentials
            self.env["integration.credential"]._forget_tokens(backend, backend.environment)
            backend.invalidate_recordset(["credential_ids"])
            backend._create_missing_parts()
        # changes are collected for backends that were connected at least once
        if "active" in vals or ("state" in vals and were_drafts != {vals["state"] == "draft"}):
            self.env["integration.outbox"]._forget_index()
        self.env["integration.webhook.event"]._forget_targets()
        return result

    def unlink(self):
        result = super().unlink()
        self.env["integration.webhook.event"]._forget_targets()
        return result

    @api.ondelete(at_uninstall=False)
    def _unlink_except_used(self):
        self._check_unused(
            self.env._(
                "A backend that was used cannot be deleted: without its links, another one would "
                "import every record a second time. Archive it instead."
            )
        )

    def _check_unused(self, message):
        for model in ("integration.binding", "integration.sync.log"):
            # sudo: what the user may not see counts as well
            if self.env[model].sudo().search_count([("backend_id", "in", self.ids)], limit=1):
                raise UserError(message)

    @api.constrains("auth_kind", "connector")
    def _check_auth_kind(self):
        for backend in self:
            options = backend._connector()._auth_options()
            if backend.auth_kind and backend.auth_kind not in options:
                raise ValidationError(
                    self.env._(
                        "%s does not sign in this way. Choose another one.",
                        backend._connector()._connector_name,
                    )
                )

    @api.model
    def _check_own_fields(self, vals):
        """Refuse what nobody but the buttons and the engine may change.

        :raises AccessError: when a user tries.
        """
        if not self.env.su and OWN_FIELDS & vals.keys():
            raise AccessError(
                self.env._("The state and the addresses of a backend are changed by its buttons.")
            )

    @api.model
    def _check_reach(self, vals):
        """Refuse to let a backend call this machine or the network around it.

        What is there trusts whoever calls from here. That a service of one's own may be called is
        decided by those who look after the server.

        :raises AccessError: unless the user is an administrator.
        """
        if self.env.su or self.env.user.has_group("base.group_system"):
            return
        is_reaching = bool(vals.get("private_hosts"))
        if vals.get("base_url"):
            try:
                AddressGuard(vals["base_url"], private_hosts=self._server_hosts())
            except AddressError:
                is_reaching = True
        if is_reaching:
            raise AccessError(
                self.env._(
                    "You can enter public https:// addresses. Only an administrator may let a "
                    "backend call this machine or the network around it."
                )
            )

    def _check_lent_rights(self):
        """Refuse to lend imports rights that whoever chooses the user does not have.

        :raises AccessError: unless it is the technical user, the user himself, or the choice of
            somebody who may grant rights anyway.
        """
        if self.env.su or self.env.user.has_group("base.group_erp_manager"):
            return
        for backend in self:
            if backend.work_user_id not in self.env.user | backend._technical_user():
                raise AccessError(
                    self.env._(
                        "Imports would get rights that you may not grant. Choose yourself or the "
                        "technical user of %s under Works as, or ask an administrator to choose.",
                        backend.company_id.name,
                    )
                )

    @api.constrains("work_user_id", "company_id")
    def _check_work_user(self):
        for backend in self.filtered("work_user_id"):
            if backend.company_id not in backend.work_user_id.company_ids:
                raise ValidationError(
                    self.env._(
                        "%(user)s may not work in %(company)s. Choose another user under Works "
                        "as, or give this one the company.",
                        user=backend.work_user_id.name,
                        company=backend.company_id.name,
                    )
                )

    @api.constrains("base_url", "environment", "private_hosts")
    def _check_base_url(self):
        for backend in self:
            try:
                read_private_hosts(backend.private_hosts or "")
                if backend.base_url:
                    HttpClient(backend.base_url, **backend._guard_options()).close()
            except IntegrationError as error:
                raise ValidationError(error.message) from error

    def _create_missing_parts(self):
        """Give the backend one flow per resource and one row per credential of its connector."""
        self.ensure_one()
        connector = self._connector()
        present = {(flow.resource, flow.direction) for flow in self.flow_ids}
        flows = []
        for code in connector._resource_codes():
            resource = self._resource(code)
            both = resource._resource_direction == "both"
            for direction in ("in", "out") if both else (resource._resource_direction,):
                if (code, direction) not in present:
                    flows.append(
                        {
                            "backend_id": self.id,
                            "resource": code,
                            "direction": direction,
                            "enabled": direction not in resource._resource_starts_off,
                            "batch_size": resource._resource_batch_size,
                            "interval_minutes": direction == "in"
                            and resource._resource_interval_minutes,
                        }
                    )
        # what a remote call says about defaults is not meant for these
        self = self.with_env(self.env(context=clean_context(self.env.context)))
        # sudo: flows follow from the connector, nobody adds others
        self.env["integration.flow"].sudo().create(flows)
        # sudo: whoever may create a backend gets the empty rows to type its secrets into
        Credential = self.env["integration.credential"].sudo().with_context(active_test=False)
        present = Credential.search(
            [("backend_id", "=", self.id), ("environment", "=", self.environment)]
        ).mapped("code")
        # sudo: the same
        self.env["integration.credential"].sudo().create(
            [
                {
                    "backend_id": self.id,
                    "environment": self.environment,
                    "code": spec.code,
                    "sequence": position,
                }
                for position, spec in enumerate(connector._credential_specs())
                if spec.code not in present
            ]
        )

    # === BUSINESS METHODS - RIGHTS === #

    def _needed_groups(self):
        """Return the groups whose rights the resources of this backend need, see ``groups``."""
        self.ensure_one()
        names = {
            name
            for code in self._connector()._resource_codes()
            for name in self._resource(code)._resource_groups
        }
        if not names:
            return self.env["res.groups"]
        names.add("integration_base.group_integration_operator")
        # sudo: groups are for administrators to read
        return self.env["res.groups"].sudo().union(*map(self.env.ref, sorted(names)))

    def _appoint_worker(self):
        """Let the backend work as the technical user of its company, unless it has another one.

        That user gets the groups the flows need, and never loses one: other backends may need it.
        """
        self.ensure_one()
        needed = self._needed_groups()
        technical = self._technical_user()
        if not needed or (self.work_user_id and self.work_user_id != technical):
            return
        if technical:
            self._check_technical(technical)
        else:
            context = {**clean_context(self.env.context), "no_reset_password": True}
            # superuser: whoever may connect a service need not be allowed to create users; this
            # one has nothing but what the connector asks for, no password, and nothing of the
            # defaults in the context or of the user
            Users = self.env(user=SUPERUSER_ID, context=context)["res.users"]
            technical = Users.create(
                {
                    "name": self.env._("Integrations (%s)", self.company_id.name),
                    "login": self._technical_login(),
                    "company_id": self.company_id.id,
                    "company_ids": [Command.set(self.company_id.ids)],
                    "group_ids": [Command.set(self.env.ref("base.group_user").ids)],
                    "tz": "UTC",
                }
            )
        # sudo: the choice follows from the connector
        self.sudo().work_user_id = technical
        if needed - technical.all_group_ids:
            technical.group_ids = [Command.link(group.id) for group in needed]

    def _technical_login(self):
        return f"integration-{self.company_id.id}"

    def _technical_user(self):
        """Return the technical user of the company, empty before it is needed."""
        self.ensure_one()
        # sudo: users are for administrators to read
        Users = self.env["res.users"].sudo().with_context(active_test=False)
        return Users.search([("login", "=", self._technical_login())])

    @api.model
    def _check_technical(self, user):
        """Refuse a person who has the login of the technical user: he would get its rights.

        :raises UserError: when somebody can log in as that user, or has done so.
        """
        user.flush_recordset()
        self.env.cr.execute("SELECT password FROM res_users WHERE id = %s", [user.id])
        (password,) = self.env.cr.fetchone()
        if password or user.share or user.login_date:
            raise UserError(
                self.env._(
                    "The login %(login)s is needed for the technical user, but %(user)s can log in "
                    "with it. Have an administrator give that person another login.",
                    login=user.login,
                    user=user.name,
                )
            )

    @contextlib.contextmanager
    def _working(self, items):
        """Run hooks on business records with the rights of the user it works as.

        Yields this backend in the environment of that user; so are the records of ``items``.

        :raises ConfigurationError: when the user cannot work.
        :raises RightsError: when the user lacks a right.
        """
        env = self._worker_env()
        self._hand_over(items, env)
        try:
            # what this transaction has read before is not checked again when it is used
            for records in self._records_by_model(items):
                records.check_access("read")
            yield self.with_env(env)
        except AccessError as error:
            if env.su:
                raise
            raise RightsError(
                self.env._(
                    "%(user)s, whom %(backend)s works as, lacks a right: %(error)s Give this user "
                    "the missing group, or choose another one under Works as on the backend, then "
                    "press Retry.",
                    user=env.user.name,
                    backend=self.display_name,
                    error=error,
                )
            ) from error
        self._hand_over(items, self.env)

    @api.model
    def _records_by_model(self, items):
        by_model = defaultdict(list)
        for item in items:
            if item.record:
                by_model[item.record._name].append(item.record)
        return [records[0].union(*records) for records in by_model.values()]

    @api.model
    def _hand_over(self, items, env):
        for item in items:
            if item.record:
                item.record = item.record.with_env(env)

    def _worker_env(self):
        """Return the environment in which business records are read and written.

        :raises ConfigurationError: when the user it works as cannot.
        """
        self.ensure_one()
        user = self.work_user_id
        if not user:
            return self.env
        if not user.active or self.company_id not in user.company_ids:
            raise ConfigurationError(
                self.env._(
                    "%(backend)s works as %(user)s, who was archived or may no longer work in "
                    "%(company)s. Choose another user under Works as on the backend, then press "
                    "Retry.",
                    backend=self.display_name,
                    user=user.name,
                    company=self.company_id.name,
                )
            )
        return self.with_user(user).env

    # === BUSINESS METHODS - ACCESS === #

    def _granted_scopes(self):
        """Return the names of the scopes granted at the last check, None when nobody knows."""
        self.ensure_one()
        return self.granted_scopes if isinstance(self.granted_scopes, list) else None

    def _scope_needs(self, enabled=True):
        """Return ``[(flow, Scope)]`` of what the connection needs at the service.

        :param bool enabled: of the connection itself (no flow) and the flows that are on; else of
            the flows that are off.
        """
        self.ensure_one()
        flows = self.flow_ids
        needs = []
        if enabled:
            own = self._connector()._connector_scopes(self)
            needs = [(flows.browse(), scope) for scope in own]
        for flow in flows.filtered(lambda flow: flow.enabled == enabled):
            needs += [(flow, scope) for scope in flow._needed_scopes()]
        return needs

    def _scopes_lacking(self, names):
        """Return those of ``names`` that are known not to be granted."""
        granted = self._granted_scopes()
        if granted is None:
            return []
        have = covered(granted, self._connector()._implied_scopes)
        return [name for name in names if name not in have]

    def _scopes_to_request(self):
        """Return the names of the scopes to ask the service for.

        Optional ones only where they are granted already: the service may refuse to talk about
        those that it gives on application only.
        """
        granted = set(self._granted_scopes() or ())
        names = {
            scope.name: None
            for _flow, scope in self._scope_needs()
            if not scope.optional or scope.name in granted
        }
        return list(names)

    # === BUSINESS METHODS - BEHAVIOUR === #

    def _connector(self):
        """Return the connector (AbstractModel) of this backend.

        Without its addon a backend has the base, which refuses notifications and cannot connect.
        """
        self.ensure_one()
        name = f"integration.connector.{self.connector}"
        return self.env[name if name in self.env else "integration.connector"]

    def _resource(self, code):
        """Return the resource (AbstractModel) ``code`` of this backend's connector."""
        self.ensure_one()
        return self.env[f"integration.{self.connector}.{code}"]

    def _webhook_url(self):
        """Return the public address the service sends this backend's notifications to.

        :raises AccessError: for a template or an expression: whoever writes one, it is read by
            others.
        """
        self.ensure_one()
        self.env["integration.credential"]._check_caller()
        # sudo: the address is a secret, but the connector has to tell it to the service
        return urljoin(self.get_base_url(), f"/integration/webhook/{self.sudo().webhook_token}")

    # === BUSINESS METHODS - CREDENTIALS === #

    def _loses_tokens(self, vals):
        """Return whether tokens are for something else once ``vals`` are written.

        They were issued by a service, for one kind of authentication, and must not go to another.
        """
        self.ensure_one()
        stays = vals.get("environment", self.environment) == self.environment
        before = self.base_url if stays else self.other_base_url
        after = vals.get("base_url", self.base_url)
        return (before or "").rstrip("/") != (after or "").rstrip("/") or (
            vals.get("auth_kind", self.auth_kind) != self.auth_kind
        )

    def _credential_specs(self):
        """Return the credentials (list of ``CredentialSpec``) that this backend needs."""
        self.ensure_one()
        return self._connector()._credential_specs(self._auth_in_force())

    def _auth_in_force(self):
        """Return the kind of authentication (``lib.auth.Auth``); None if there is none, or gone."""
        self.ensure_one()
        options = self._connector()._auth_options()
        return options.get(self.auth_kind or next(iter(options), None))

    def _auth_grant(self):
        """Return the part of it that needs tokens (``lib.auth.OAuth``), None if there is none."""
        auth = self._auth_in_force()
        return auth and auth.grant

    def _unused_codes(self):
        """Return the codes (set) of credentials that another kind of authentication needs."""
        self.ensure_one()
        known = {spec.code for spec in self._connector()._credential_specs()}
        return known - {spec.code for spec in self._credential_specs()}

    def _credential_rows(self, code=None):
        """Return the credentials of the environment the backend is in, for every user.

        :param str code: only the one of this code.
        """
        self.ensure_one()
        # sudo: hooks run for users who may not read secrets; a value goes to the service only
        backend = self.sudo()
        # whatever the context says of archived records: those of the other environment are none
        return backend.credential_ids.filtered(
            lambda row: row.environment == backend.environment and code in (None, row.code)
        )

    def _credentials(self, code):
        """Return every active value of a credential, newest first (for secrets in rotation).

        :raises CredentialError: when there is none, or it cannot be read.
        :raises KeyUnavailable: when the server has no key to read it with.
        """
        self.ensure_one()
        Credential = self.env["integration.credential"]
        known = self.env.cr.cache.get(("integration_credentials", self.id))
        if known is not None:
            values = Credential._open(known.get(code, ()))
        else:
            rows = self._credential_rows(code)
            values = rows._decrypt()
        if not values:
            rows = self._credential_rows(code)
            raise CredentialError(
                self.env._(
                    "%(backend)s has no %(credential)s. Type it into the Credentials page of the "
                    "backend. %(button)s",
                    backend=self.display_name,
                    credential=rows[:1].name or code,
                    button=self._connect_advice(),
                )
            )
        return values

    def _credential(self, code):
        """Return the newest value of a credential (text).

        :raises CredentialError, KeyUnavailable: as :meth:`_credentials`.
        """
        return self._credentials(code)[0]

    def _host(self):
        """Return the host that the service answers at, empty without an address."""
        self.ensure_one()
        with contextlib.suppress(ConfigurationError):
            return origin_of(self._connector()._base_url(self)).host
        return ""

    def _bind_credentials(self):
        """Bind the credentials in use that have no host yet to that of the present address."""
        for backend in self:
            backend._credential_rows()._bind_to(backend._host())

    def _ensure_own_host(self, host):
        """Refuse to send credentials to another host than the one they were stored for.

        Who can change the address could else have them sent to a server of his own.

        :raises AuthError: with the way out.
        """
        others = self._credential_rows().filtered(lambda row: row._is_elsewhere(host))
        if others:
            raise AuthError(
                self.env._(
                    "Credentials of %(backend)s (%(names)s) were entered for %(old)s, but its "
                    "address leads to %(new)s now. Nothing was sent, so that they do not get into "
                    "other hands. Correct the address, or enter the credentials of %(new)s on the "
                    "Credentials page. %(button)s",
                    backend=self.display_name,
                    button=self._connect_advice(anew=True),
                    names=", ".join(others.mapped("name")),
                    old=others[0].host,
                    new=host,
                )
            )

    def _use_credentials(self, stored):
        """Take the credentials of this backend from ``stored`` for the rest of the transaction.

        :param stored: ``{code: rows}`` as ``integration.credential._stored`` returns them.
        """
        self.env.cr.cache["integration_credentials", self.id] = stored

    def _token(self, code):
        """Return a stored access token that is valid for at least a minute more, or None."""
        self.ensure_one()
        issued = self.env.cr.cache.get(("integration_token", self.id, code))
        if issued:
            return issued
        return self._credential_rows(code)._valid_token()

    def _token_purpose(self):
        """Return the settings (dict) that a token is issued for; with others it is worth nothing.

        Take it before the token is asked for.
        """
        self.ensure_one()
        return {
            "auth_kind": self.auth_kind,
            "environment": self.environment,
            "base_url": (self.base_url or "").rstrip("/"),
        }

    def _token_scope(self):
        """Return what the tokens that were issued last allow, as the service writes it (text)."""
        self.ensure_one()
        # the present transaction may be older than the tokens
        with self.env.registry.cursor() as cr:
            backend = self.with_env(self.env(cr=cr))
            scopes = [
                scope
                for code in (ACCESS_TOKEN, REFRESH_TOKEN)
                for scope in backend._credential_rows(code).mapped("scope")
            ]
        return next(filter(None, scopes), "")

    def _store_token(self, code, value, expires_at=None, purpose=None, scope=None):
        """Keep a token the service has issued, in a transaction of its own.

        It must survive a rollback of the work that asked for it: the service may have
        invalidated the previous one.

        :param str value: the token; None or an empty text forgets it.
        :param datetime expires_at: naive UTC, None for never.
        :param dict purpose: what it was asked for, see :meth:`_token_purpose`; None: the settings
            as they are now.
        :param str scope: what it allows.
        :returns: whether it was kept: not when the settings are others by now.
        """
        self.ensure_one()
        with self.env.registry.cursor() as cr:
            env = api.Environment(cr, self.env.uid, {})
            # sudo: hooks renew tokens for users who may not write secrets
            Credential = env["integration.credential"].sudo()
            kept = Credential._put_token(self.id, code, value, expires_at, purpose, scope)
        if not kept:
            return False
        # sudo: only what is remembered of them is dropped
        self.sudo().credential_ids.invalidate_recordset()
        # sudo: the same
        self.sudo().invalidate_recordset(["credential_ids"])
        self._remember_token(code, value)
        return True

    def _remember_token(self, code, value):
        """Use a token that another transaction has stored in the present one.

        Its snapshot does not show what was committed since it began.
        """
        self.env.cr.cache["integration_token", self.id, code] = value

    def _audit(self, text, user=None):
        """Note in the chatter who changed what about the credentials; never a value.

        :param str text: what was changed.
        :param user: who did it, the present user by default.
        """
        self.ensure_one()
        # sudo: the note has to be written whoever is the cause of it
        self.sudo().message_post(
            body=text, author_id=(user or self.env.user).partner_id.id, subtype_xmlid="mail.mt_note"
        )

    def _take_credentials(self):
        """Give the backend the credentials of the environment it is in now.

        Before its first connection they are those typed already: the choice was a correction.
        """
        self.ensure_one()
        # sudo: whoever may write the backend may write its environment
        rows = self.sudo().with_context(active_test=False).credential_ids
        if not self.database_identity:
            rows.environment = self.environment
        self.invalidate_recordset(["credential_ids"])
        self._create_missing_parts()

    # === BUSINESS METHODS - TALKING === #

    def _client(self, **options):
        """Return an HTTP client for this backend; its exchanges are recorded.

        :param options: passed to :class:`~..lib.http.HttpClient`, e.g. ``timeout``.
        :raises ConfigurationError: when the address is missing or not allowed, or the database is
            a copy of the one that was connected.
        :raises AuthError: when the credentials were stored for another host.
        """
        self.ensure_one()
        self._ensure_callable()
        connector = self._connector()
        limiter = Limiter(self)

        def before_request(request):
            check_time()
            limiter.before_request(request)

        if "auth" not in options:
            options["auth"] = lambda: connector._auth_headers(self)
            options["auth_params"] = lambda: connector._auth_params(self)
            options["sign"] = lambda *request: connector._sign_request(self, *request)
        options.setdefault("certificate", connector._auth_certificate(self))
        base_url = connector._base_url(self)
        self._ensure_own_host(origin_of(base_url).host)
        return HttpClient(
            base_url,
            **self._guard_options(),
            classify=lambda response: connector._classify_response(self, response),
            on_exchange=lambda exchange: record_exchange(self, exchange),
            before_request=before_request,
            after_response=limiter.after_response,
            # sudo: the address for notifications is only for managers to read; calls that tell it
            # to the service are kept for more people
            redactor=connector._redactor().with_secrets([self.sudo().webhook_token]),
            **options,
        )

    def _token_client(self, url, secrets, **options):
        """Return a client of the host that issues tokens, which may be another one.

        What limits the service's API, and how its errors are read, does not concern it.

        :param str url: absolute address of the token endpoint.
        :param secrets: texts that requests to it hold, kept out of what is recorded.
        :raises AuthError: when the credentials were stored for another host than that of the
            backend's present address.
        """
        self.ensure_one()
        self._ensure_callable()
        self._ensure_own_host(self._host())
        connector = self._connector()
        return HttpClient(
            "{0.scheme}://{0.netloc}".format(urlsplit(url)),
            **self._guard_options(),
            certificate=connector._auth_certificate(self),
            on_exchange=lambda exchange: record_exchange(self, exchange),
            before_request=lambda _request: check_time(),
            redactor=connector._redactor().with_secrets(secrets),
            **options,
        )

    def _file_client(self, url, secrets=(), **options):
        """Return a client of the host that keeps files for the service, e.g. a storage service.

        It never gets the credentials of the backend: who may read a file, or send one, is told by
        its address or by the form.

        :param str url: absolute address of the file.
        :param secrets: more texts to keep out of what is recorded.
        :raises ConfigurationError: when the address must not be called.
        """
        self.ensure_one()
        self._ensure_callable()
        parts = urlsplit(url)
        return HttpClient(
            f"{parts.scheme}://{parts.netloc}",
            **self._guard_options(),
            on_exchange=lambda exchange: record_exchange(self, exchange),
            before_request=lambda _request: check_time(),
            redactor=self._connector()._redactor().with_secrets(secrets),
            **options,
        )

    @api.model
    def _server_hosts(self):
        """Return the private hosts that every backend of this server may call (text)."""
        return os.environ.get(HOSTS_VARIABLE) or read_setting(config["config"], "private_hosts")

    def _guard_options(self):
        """Return what this backend may call, for :class:`~..lib.http.HttpClient`."""
        sandbox = self.environment == "sandbox"
        hosts = self._server_hosts()
        if sandbox and self.private_hosts:
            hosts = f"{hosts},{self.private_hosts}"
        return {"allow_insecure": sandbox, "private_hosts": hosts}

    def _with_renewed_auth(self, ask):
        """Return ``ask()``, asked once more with renewed credentials when they are refused.

        :raises AuthError: when they cannot be renewed, or are refused again.
        """
        self.ensure_one()
        try:
            return ask()
        except TokenRefused:
            raise
        except AuthError:
            if not self._connector()._renew_auth(self):
                raise
            return ask()

    def _intent(self, action, record, key=None, request=None):
        """Guard a call that must not be repeated: a refund, a label, anything that costs money.

        ::

            with backend._intent("refund", payment, key=str(refund_number), request=body) as intent:
                answer = intent.send(
                    lambda key: client.post("/refunds", json=body, headers={"Key": key}).json(),
                    lambda key: self._search_refund(backend, key),
                )

        The body of the ``with`` calls ``intent.send`` exactly once; see
        :meth:`~.integration_intent.Intent.send`.

        :param str action: what is done, e.g. ``refund``.
        :param record: the committed Odoo record it is done for.
        :param str key: tells several of these actions on one record apart; equal in every try.
        :param request: what is asked for (text or JSON-able), shown redacted to people. A later
            try with another request is refused if the first was carried out.
        :raises NotReadyError: when another process is making this call.
        """
        self.ensure_one()
        return self.env["integration.intent"]._open(self, action, record, key, request)

    @api.model
    @ormcache()
    def _this_database(self):
        """Return what tells this database from every copy of it (text).

        A copy has another number in the same cluster, or belongs to another cluster; its name
        may be the same. See PostgreSQL's ``pg_control_system()``.
        """
        self.env.cr.execute(
            "SELECT d.oid || '/' || c.system_identifier FROM pg_database d, pg_control_system() c"
            " WHERE d.datname = current_database()"
        )
        return self.env.cr.fetchone()[0]

    @api.model
    def _connected_here(self, path=""):
        """Return the domain of the backends that were connected in this database.

        What goes on by itself is for these: in a copy, nobody is to be called, or to be told.

        :param str path: from the model that is searched to the backend, e.g. ``backend_id.``.
        """
        return [(f"{path}database_identity", "=", self._this_database())]

    @api.model
    def _ensure_not_neutralized(self):
        """Refuse to call any service from a neutralized copy of a database.

        :raises ConfigurationError: in such a copy.
        """
        if self.env["integration.watchdog"]._is_copy():
            raise ConfigurationError(
                self.env._("This database is a neutralized copy: it calls no external service.")
            )

    def _ensure_callable(self):
        """Refuse to call the service from a copy of the database.

        :raises ConfigurationError: in a neutralized copy, and in any other copy until a person
            has said that it shall work there.
        """
        self._ensure_not_neutralized()
        if self.in_foreign_database and self.id not in _taken_over.get():
            raise ConfigurationError(
                self.env._(
                    "%s was connected in another database. If this one is a copy, two databases "
                    "would do the same work. If it has taken the place of the other, press "
                    "Connect from Here on the form of the backend.",
                    self.display_name,
                )
            )

    # === BUSINESS METHODS - STATE === #

    def _switch_environment(self, base_url, same_account):
        """Take a backend whose work has stopped to the other environment, not connected yet.

        It gets the credentials that were stored for that environment, and a new address for
        notifications: those of the other one arrive nowhere.

        :param str base_url: address of the service there.
        :param bool same_account: the records there are the same ones: links, waiting operations
            and how far was read stay. Else they go; the records in Odoo stay.
        """
        self.ensure_one()
        before = self.base_url
        names = dict(self._fields["environment"]._description_selection(self.env))
        target = "production" if self.environment == "sandbox" else "sandbox"
        # sudo: nobody but the buttons changes what is behind them; the rights were checked there
        own = self.sudo()
        own.write({"state": "draft", "pause_reason": False})
        self.write({"environment": target, "base_url": base_url})
        own.write({"other_base_url": before, "webhook_token": secrets.token_urlsafe(32)})
        # the service there knows nothing of what the one here was asked to send
        # sudo: the rows follow from the checks
        self.sudo().subscription_ids.unlink()
        self.env["integration.scope"]._forget(self)
        links = 0 if same_account else self._forget_records()
        self.env["integration.incident"]._resolve("paused", self, "")
        self._audit(
            self.env._(
                "Switched to %(environment)s, from %(before)s to %(after)s. Links removed: "
                "%(links)s.",
                environment=names[target],
                before=before or "-",
                after=base_url or "-",
                links=links,
            )
        )

    def _forget_records(self):
        """Remove the links to records of another account, and end all work on them.

        :returns: number of links removed.
        """
        mine = [("backend_id", "=", self.id)]
        reason = self.env._("It belongs to the other environment.")
        # sudo: whoever may switch the backend may remove what belongs to the other account
        links = self.env["integration.binding"].sudo().search(mine)
        count = len(links)
        links.unlink()
        self.env["integration.backfill"].search(mine).action_cancel()
        self.env["integration.reconciliation"].search(mine).action_stop()
        # sudo: what comparisons have found is written by the code alone
        found = self.env["integration.discrepancy"].sudo()
        found.search([*mine, ("state", "not in", ("repaired", "outdated"))]).write(
            {"state": "outdated", "reason": reason}
        )
        operations = self.env["integration.sync.log"].search(
            [*mine, ("state", "in", ("pending", "dead"))]
        )
        operations._set_aside(reason)
        self.flow_ids.write({"cursor_at": False, "cursor_page": False, "held_reason": False})
        for flow in self.flow_ids:
            for kind in ("vanished", "drift"):
                self.env["integration.incident"]._resolve(kind, self, str(flow.id), reason)
        # to the end of this second: notifications may have come until now
        # sudo: nobody else writes it
        self.sudo().account_since = fields.Datetime.add(fields.Datetime.now(), seconds=1)
        return count

    @api.model
    def _of_other_accounts(self, field):
        """Return the domain of rows with a backend that are older than its present account.

        :param str field: when such a row was made.
        """
        # sudo: a date says nothing about backends of other companies
        switched = self.sudo().with_context(active_test=False)
        return Domain.OR(
            Domain("backend_id", "=", backend.id) & Domain(field, "<", backend.account_since)
            for backend in switched.search([("account_since", "!=", False)])
        )

    def _connect_advice(self, anew=False):
        """Return which button connects the backend (a sentence), for texts that say what to do.

        :param bool anew: a consent that was given before does not hold any more.
        """
        self.ensure_one()
        if self.needs_consent and (anew or self.state == "draft"):
            return self.env._("Then press Connect.")
        if self.state == "draft":
            return self.env._("Then press Test Connection.")
        if self.state == "paused":
            return self.env._("Then press Resume.")
        # whoever reads it may find that the error has paused the backend meanwhile
        return self.env._("Then press Test Connection, or Resume if the backend is paused.")

    def _set_paused(self, reason):
        """Stop calling the service; operations keep waiting. :meth:`_tell_paused` tells why."""
        # sudo: the state is written by the code alone
        self.sudo().filtered(lambda backend: backend.state != "paused").write(
            {"state": "paused", "pause_reason": reason}
        )

    def _tell_paused(self, reason):
        """Tell the owner, once, that the connection was paused and why."""
        self.ensure_one()
        self.env["integration.incident"]._raise("paused", self, "", reason)

    def _owner(self):
        """Return the user who is told when the connection needs a person."""
        self.ensure_one()
        return self.user_id or self.env.ref("base.user_admin")

    def _in_charge(self, role, before=None):
        """Return the user who gets a to-do that only users with a role may see.

        The owner; if he may not, a manager of the company, and in the end the administrator. A
        to-do shows its text to whomever it is assigned to, whatever else that user may read.

        :param str role: xml id of the group that is needed.
        :param before: a user who is asked before the owner.
        """
        self.ensure_one()
        # sudo: who may be told does not depend on who works
        backend = self.sudo()
        company = backend.company_id

        def first_of(users):
            may = (u for u in users if u.active and u.has_group(role) and company in u.company_ids)
            return next(may, None)

        user = first_of([*(before or ()), backend._owner()])
        if not user:
            managers = self.env.ref("integration_base.group_integration_manager")
            domain = [("all_group_ids", "in", managers.ids), ("company_ids", "in", company.ids)]
            user = first_of(backend.env["res.users"].search(domain, order="id"))
        return (user or self.env.ref("base.user_admin")).with_env(self.env)

    # === ACTIONS === #

    def action_test_connection(self):
        """Call the service; on success the backend is connected and its waiting work starts.

        :raises UserError: with the reason and the way out.
        """
        self.ensure_one()
        self.check_access("write")
        connector = self._connector()
        try:
            self._ensure_callable()
            message = self._with_renewed_auth(lambda: connector._test_connection(self))
            connector._connected(self)
            self.env["integration.scope"]._check(self)
        except IntegrationError as error:
            raise UserError(error.message) from error
        # sudo: the state is written by the code alone
        self.sudo().write({"state": "active", "pause_reason": False})
        self._appoint_worker()
        self.env["integration.incident"]._resolve("paused", self, "", message)
        self.env["integration.breaker"]._close(self)
        try:
            self.env["integration.webhook.subscription"]._check_and_report(self)
        except IntegrationError as error:
            # the connection works, and the daily check comes again
            _logger.info("Subscriptions of backend %s: %s", self.id, error.message)
        self.flow_ids._wake_after_commit()
        return self._action_tell(
            "warning" if self.missing_access else "success",
            self.env._("Connected"),
            " ".join(filter(None, (message, self.missing_access))),
            sticky=bool(self.missing_access),
        )

    def action_connect(self):
        """Open the page of the service on which a person grants access."""
        self.ensure_one()
        self.check_access("write")
        return {
            "type": "ir.actions.act_url",
            "url": f"/integration/oauth/connect/{self.id}",
            "target": "self",
        }

    def action_connect_here(self):
        """Let this database, a copy, take over the work of the one it was copied from.

        That holds also when the service cannot be called yet: the tokens of an old backup, say,
        have to be replaced first.

        :raises UserError: when this is a neutralized copy.
        """
        self.ensure_one()
        self.check_access("write")
        try:
            self._ensure_not_neutralized()
        except ConfigurationError as error:
            raise UserError(error.message) from error
        # what the original did since the copy was made is read again
        # sudo: the state is written by the code alone
        self.sudo().write({"state": "draft", "database_identity": self._this_database()})
        self._audit(self.env._("This database took over the work of the one it was copied from."))
        # the original is still notified at its own address
        # sudo: the rows follow from the checks
        self.sudo().subscription_ids.unlink()
        token = _taken_over.set(_taken_over.get() | {self.id})
        try:
            with self.env.cr.savepoint():
                return self.action_test_connection()
        except UserError as error:
            title = self.env._("Not connected yet")
            return self._action_tell("danger", title, str(error), sticky=True)
        finally:
            _taken_over.reset(token)

    def action_pause(self):
        """Stop calling the service until somebody resumes; nothing is lost meanwhile."""
        self.check_access("write")
        # sudo: the state is written by the code alone
        self.sudo().write({"state": "paused", "pause_reason": self.env._("Paused by hand.")})

    def action_switch_environment(self):
        """Stop calling the service, and ask what shall become of the backend elsewhere."""
        self.ensure_one()
        self.check_access("write")
        if self.state == "active":
            reason = self.env._("Paused to switch between sandbox and production.")
            # sudo: the state is written by the code alone
            self.sudo().write({"state": "paused", "pause_reason": reason})
        return self.env["integration.switch.environment"]._action_ask(self)

    def action_resume(self):
        """Go on after a pause; the connection is tested first."""
        return self.action_test_connection()

    def action_probe_now(self):
        """Ask a service that did not answer again now, instead of when its break is over."""
        self.breaker_ids.action_probe_now()

    def action_check_subscriptions(self):
        """Ask the service what it notifies us of, and complete it.

        :raises UserError: when it cannot be asked.
        """
        self.ensure_one()
        self.check_access("write")
        try:
            self._ensure_callable()
            rows = self.env["integration.webhook.subscription"]._check_and_report(self)
        except IntegrationError as error:
            raise UserError(error.message) from error
        if rows is None:
            raise UserError(
                self.env._(
                    "The subscriptions could not be checked now. If the service has no way to ask "
                    "for them, enter the address there by hand."
                )
            )
        return {"type": "ir.actions.client", "tag": "soft_reload"}

    def action_check_access(self):
        """Ask the service what it allows us, and let the flows go on that lacked it.

        :raises UserError: when it cannot be asked.
        """
        self.ensure_one()
        self.check_access("write")
        try:
            self._ensure_callable()
            self.env["integration.scope"]._check(self)
        except IntegrationError as error:
            raise UserError(error.message) from error
        return {"type": "ir.actions.client", "tag": "soft_reload"}

    def action_reconnect(self):
        """Ask the service for the access that the flows need now."""
        self.ensure_one()
        self.check_access("write")
        return self.action_connect() if self.needs_consent else self.action_test_connection()

    def action_new_webhook_address(self):
        """Replace the webhook address; the old one stops working at once.

        That holds also when the service cannot be told the new one now.

        :returns: a client action that says whether it was told.
        """
        self.ensure_one()
        self.check_access("write")
        # In a transaction of its own: calls are recorded in others, which would wait for this one,
        # and what the service is told has to be in force whatever happens here afterwards.
        with self.env.registry.cursor() as cr:
            own = self.with_env(self.env(cr=cr))
            # sudo: the address is made by the code alone
            own.sudo().webhook_token = secrets.token_urlsafe(32)
            own._audit(self.env._("The address for notifications was replaced."))
        was_told, message = self._tell_webhook_address()
        self.invalidate_recordset()
        return self._action_tell(
            "success" if was_told else "warning",
            self.env._("The old address no longer works"),
            f"{message} {self._by_hand_advice()}",
            sticky=True,
        )

    def _tell_webhook_address(self):
        """Tell the service the address that was committed last, whatever goes wrong there.

        :returns: whether it is known to be told, and what to say about it.
        """
        self.ensure_one()
        if self.state != "active":
            return False, self.env._("The service is told the new one when it is connected.")
        try:
            with self.env.registry.cursor() as cr:
                own = self.with_env(self.env(cr=cr))
                own._ensure_callable()
                own._with_renewed_auth(lambda: own._connector()._connected(own))
                rows = own.env["integration.webhook.subscription"]._check_and_report(own)
                states = None if rows is None else set(rows.mapped("state"))
        except Exception as error:
            # a leaked address has to go also when the service, or its connector, is out of order
            _logger.warning("New webhook address of backend %s", self.id, exc_info=True)
            # sudo: scheduled actions are for administrators
            cron = self.env.ref("integration_base.ir_cron_check_subscriptions").sudo()
            cron._trigger(fields.Datetime.now() + AGAIN_AFTER)
            known = isinstance(error, IntegrationError)
            return False, self.env._(
                "The service could not be told the new one: %s It is tried again in an hour, or "
                "press Check Now.",
                error.message if known else f"{type(error).__name__}.",
            )
        if states is None or states & {"failed", "missing"}:
            return False, self.env._(
                "Whether the service knows the new one is not certain: press Check Now."
            )
        return True, self.env._("The service was told the new one.")

    @api.model
    def _by_hand_advice(self):
        """Return what nobody but a person can do when the address for notifications is new."""
        return self.env._(
            "Where the old one was entered at the service by hand (in the settings of an app, "
            "say), replace it there by hand."
        )

    def action_clean_up(self):
        """Delete now what is over the limits of kept data, and say how much that was."""
        self.ensure_one()
        self.check_access("write")
        message = self.env["integration.retention"]._clean_up_now(self)
        return self._action_tell("success", self.env._("Clean Up"), message)

    @api.model
    def _action_tell(self, kind, title, message, sticky=False):
        """Return the action that shows a message and reloads the form.

        :param str kind: ``success``, ``warning`` or ``danger``.
        :param bool sticky: it stays until it is closed.
        """
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": kind,
                "title": title,
                "message": message,
                "sticky": sticky,
                "next": {"type": "ir.actions.client", "tag": "soft_reload"},
            },
        }

    def _action_open(self, xmlid, name):
        self.check_access("read")
        action = self.env["ir.actions.act_window"]._for_xml_id(f"integration_base.{xmlid}")
        action["domain"] = [("backend_id", "=", self.id)]
        action["context"] = {"default_backend_id": self.id}
        action["display_name"] = name
        return action

    def action_open_operations(self):
        action = self._action_open("integration_sync_log_action", self.env._("Sync Log"))
        action["context"]["search_default_filter_open"] = 1
        return action

    def action_open_failed(self):
        action = self._action_open("integration_sync_log_action", self.env._("Failed"))
        action["context"]["search_default_filter_failed"] = 1
        return action

    def action_open_incidents(self):
        action = self._action_open("integration_incident_action", self.env._("Incidents"))
        action["context"]["search_default_filter_open"] = 1
        return action

    def action_open_events(self):
        return self._action_open("integration_webhook_event_action", self.env._("Webhook Events"))

    def action_open_bindings(self):
        return self._action_open("integration_binding_action", self.env._("Bindings"))

    def action_open_mappings(self):
        action = self._action_open("integration_mapping_action", self.env._("Value Mappings"))
        if self.unmapped_count:
            action["context"]["search_default_filter_unmapped"] = 1
        return action
