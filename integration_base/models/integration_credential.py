import contextlib
import logging
import os
import re
from datetime import timedelta
from functools import cache

from odoo import SUPERUSER_ID, api, fields, models
from odoo.exceptions import AccessError, UserError
from odoo.tools import SQL, config, format_datetime

from ..lib.auth import REFRESH_TOKEN, TOKEN_LABELS
from ..lib.crypto import SecretBox, check_private, load_keys, read_key_file
from ..lib.errors import ConfigurationError, CredentialError, KeyUnavailable
from ..lib.log_secrets import SECRETS
from ..lib.redact import value_mask
from ..lib.server_config import read_setting
from ..lib.typed_code import typed_code

_logger = logging.getLogger(__name__)

_ONE_CALL = re.compile(r"model\.\w+\(\)")

#: Environment variable with the Fernet keys (newest first, comma separated); else the file that
#: KEY_FILE_VARIABLE names; else the line ``encryption_key`` in the section ``[integration]`` of
#: Odoo's configuration file. The keys stay outside of the database, so that a dump alone opens
#: nothing.
KEY_VARIABLE = "INTEGRATION_ENCRYPTION_KEY"
#: Environment variable with the path of a file that holds the keys and nothing else.
KEY_FILE_VARIABLE = "INTEGRATION_ENCRYPTION_KEY_FILE"
#: What a manager may change of a credential.
USER_FIELDS = frozenset({"value", "expires_at", "previous_until", "sequence"})
#: Days before the expiry of a credential at which its owner is told; 0 when it has expired.
STAGES = (30, 7, 1, 0)
#: Credentials encrypted again in one transaction.
ROTATION_BATCH = 200


@cache
def _configured_keys(path):
    keys = read_setting(path, "encryption_key")
    if keys:
        check_private(path)
    return keys


_key_file = cache(read_key_file)


@cache
def _secret_box(keys):
    return SecretBox(load_keys(keys), SECRETS.add)


class IntegrationCredential(models.Model):
    """One secret of a backend, in one environment. It can be written and used, never read back.

    Sandbox and production have sets of their own; the active rows are those of the backend's
    environment and kind of authentication, and no others are ever used.
    """

    _name = "integration.credential"
    _description = "Integration Credential"
    _order = "backend_id, sequence, id"
    _rec_names_search = ["code"]

    backend_id = fields.Many2one(
        "integration.backend", required=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one(related="backend_id.company_id", store=True, index=True)
    environment = fields.Selection(
        [("sandbox", "Sandbox"), ("production", "Production")], required=True, readonly=True
    )
    active = fields.Boolean(compute="_compute_active", store=True)
    code = fields.Char(required=True, readonly=True)
    sequence = fields.Integer(default=10)
    kind = fields.Selection(
        [("typed", "Typed in"), ("token", "Issued by the service")],
        required=True,
        default="typed",
        readonly=True,
    )
    name = fields.Char(compute="_compute_spec")
    help = fields.Char(compute="_compute_spec")
    required = fields.Boolean(compute="_compute_spec")
    value = fields.Char(
        string="New Value",
        compute="_compute_value",
        inverse="_inverse_value",
        exportable=False,
        help="Type a new value to replace the stored one; the stored one is never shown.",
    )
    ciphertext = fields.Text(groups=fields.NO_ACCESS, copy=False, prefetch=False)
    previous_ciphertext = fields.Text(groups=fields.NO_ACCESS, copy=False, prefetch=False)
    previous_until = fields.Datetime(
        string="Old Value Accepted Until",
        copy=False,
        help="The replaced value is accepted on incoming notifications until then. A time that is "
        "over ends it at once.",
    )
    has_previous = fields.Boolean(compute="_compute_has_previous")
    is_set = fields.Boolean(string="Set", readonly=True, copy=False)
    host = fields.Char(
        string="For",
        readonly=True,
        copy=False,
        help="The host that the address led to when the value was stored. It is sent to no other.",
    )
    status = fields.Selection(
        [
            ("set", "Stored"),
            ("missing", "Missing"),
            ("optional", "Optional"),
            ("expiring", "Expires soon"),
            ("expired", "Expired"),
            ("elsewhere", "For another host"),
        ],
        compute="_compute_status",
    )
    scope = fields.Char(
        readonly=True, copy=False, help="What a token allows, as the service writes it."
    )
    set_at = fields.Datetime(string="Set on", readonly=True, copy=False)
    set_by_id = fields.Many2one("res.users", string="Set by", readonly=True, copy=False)
    expires_at = fields.Datetime(
        string="Expires on",
        copy=False,
        help="If the service says when the value stops working, the owner of the backend is told "
        "30 days, 7 days and 1 day before. It is used as long as the service takes it.",
    )

    _code_unique = models.Constraint(
        "UNIQUE(backend_id, environment, code)", "A backend has each credential once."
    )

    #: How long a replaced secret still verifies notifications that were signed with it.
    ROTATION_GRACE = timedelta(days=2)

    # === COMPUTE METHODS === #

    @api.depends("environment", "code", "backend_id.environment", "backend_id.auth_kind")
    def _compute_active(self):
        for credential in self:
            backend = credential.backend_id
            credential.active = (
                credential.environment == backend.environment
                and credential.code not in backend._unused_codes()
            )

    @api.depends("backend_id.auth_kind", "code")
    @api.depends_context("lang")
    def _compute_spec(self):
        translated = self.env["integration.connector"]._translated
        for credential in self:
            spec = credential._spec()
            label = TOKEN_LABELS.get(credential.code, credential.code)
            credential.name = translated(spec.label if spec else label)
            credential.help = bool(spec and spec.help) and translated(spec.help)
            credential.required = bool(spec and spec.required)

    def _spec(self):
        """Return the :class:`CredentialSpec` of this credential, or None."""
        self.ensure_one()
        if not self.backend_id or self.kind == "token":
            return None
        specs = {spec.code: spec for spec in self.backend_id._credential_specs()}
        return specs.get(self.code)

    @api.depends("name")
    @api.depends_context("lang")
    def _compute_display_name(self):
        for credential in self:
            credential.display_name = credential.name

    @api.depends("is_set", "required", "expires_at", "kind", "host", "backend_id.base_url")
    def _compute_status(self):
        for credential in self:
            stage = credential._expiry_stage()
            if not credential.is_set:
                credential.status = "missing" if credential.required else "optional"
            elif credential.active and credential._is_elsewhere(credential.backend_id._host()):
                credential.status = "elsewhere"
            elif stage is None:
                credential.status = "set"
            else:
                credential.status = "expiring" if stage else "expired"

    @api.depends("previous_until", "kind")
    def _compute_has_previous(self):
        for credential in self:
            credential.has_previous = credential.kind == "typed" and bool(credential.previous_until)

    def _compute_value(self):
        self.value = False

    def _inverse_value(self):
        for credential in self.filtered("value"):
            value, expires_at = credential.value.strip(), credential.expires_at
            spec = credential._spec()
            try:
                if spec and spec.expiry:
                    expires_at = spec.expiry(value)
                credential._set(value, expires_at)
            except ConfigurationError as error:
                raise UserError(error.message) from error
            # An access token was issued for the old secrets; what a person has granted is good
            # for another secret of the same client.
            keep = () if credential.code == "client_id" else (REFRESH_TOKEN,)
            self._forget_tokens(credential.backend_id, credential.environment, keep)
        self.invalidate_recordset(["value"])

    # === CRUD METHODS === #

    def _init_column(self, column_name):
        if column_name != "environment":
            return super()._init_column(column_name)
        # stored before there were sets: what was used was for the environment of the backend
        return self.env.cr.execute(
            "UPDATE integration_credential c SET environment = b.environment"
            "  FROM integration_backend b WHERE b.id = c.backend_id AND c.environment IS NULL"
        )

    def write(self, vals):
        if not self.env.su:
            self._check_user_values(vals)
        if vals.get("value") and "expires_at" not in vals:
            # what was known of the replaced value
            vals = {**vals, "expires_at": False}
        before = {row: (row.expires_at, row.previous_until) for row in self}
        result = super().write(vals)
        typed = {"value", "expires_at", "previous_until"} & vals.keys()
        # else it is the engine that stores or forgets them
        if typed and not {"ciphertext", "previous_ciphertext"} & vals.keys():
            for credential, (expires_at, previous_until) in before.items():
                credential._end_previous()
                credential._note_change(vals, expires_at, previous_until)
                credential._tell_expiry()
        # tokens are no secrets of notifications, and change every hour
        if any(credential.kind == "typed" for credential in self):
            self.env["integration.webhook.event"]._forget_targets()
        return result

    def _check_user_values(self, vals):
        """Refuse what nobody but the engine may change, and the engine's own rows.

        :raises AccessError: when a user tries.
        """
        if vals.keys() - USER_FIELDS or any(row.kind == "token" for row in self):
            raise AccessError(
                self.env._(
                    "Only the value of a credential that was typed in, its expiry and how long "
                    "the old value is accepted can be changed."
                )
            )

    # === CHANGING === #

    def _is_elsewhere(self, host):
        """Whether the value was stored for another host than ``host``."""
        self.ensure_one()
        return bool(self.is_set and self.host and self.host != host)

    def _bind_to(self, host):
        """Note the host of values that were stored before there was an address."""
        if host:
            self.filtered(lambda row: row.is_set and not row.host).host = host

    def _set(self, value, expires_at=None):
        """Encrypt and keep ``value``; the replaced one stays valid for a while.

        :raises KeyUnavailable: see :meth:`_box`.
        """
        self.ensure_one()
        now = fields.Datetime.now()
        box = self._box()
        # sudo: the ciphertext is closed to every user, also to the manager who types the secret
        row = self.sudo()
        old = row.ciphertext if self.kind == "typed" else False
        if old and not box.can_open(old):
            # what was lost with its key verifies nothing
            old = False
        row.write(
            {
                "previous_ciphertext": old,
                "previous_until": now + self.ROTATION_GRACE if old else False,
                "ciphertext": box.encrypt(value),
                "is_set": True,
                "host": self.backend_id._host(),
                "set_at": now,
                "set_by_id": self.env.uid,
                "expires_at": expires_at,
            }
        )

    def _end_previous(self):
        """Forget replaced values whose time is over, and dates of values that do not exist."""
        now = fields.Datetime.now()
        # sudo: the ciphertext is closed to every user
        for row in self.sudo():
            if not (row.previous_until or row.previous_ciphertext):
                continue
            is_valid = row.previous_ciphertext and row.previous_until and row.previous_until > now
            if not is_valid:
                row.write({"previous_ciphertext": False, "previous_until": False})

    def _note_change(self, vals, expires_at, previous_until):
        """Write into the chatter of the backend what a person has changed.

        :param expires_at: the date before.
        :param previous_until: the date before.
        """
        self.ensure_one()
        notes = []
        if vals.get("value"):
            notes.append(self.env._("%s: a new value was stored.", self.name))
        elif self.previous_until != previous_until and not self.previous_until:
            notes.append(self.env._("%s: the old value was forgotten.", self.name))
        if self.previous_until and self.previous_until != previous_until:
            notes.append(
                self.env._(
                    "The old value is accepted until %s.",
                    format_datetime(self.env, self.previous_until),
                )
                if notes
                else self.env._(
                    "%(credential)s: the old value is accepted until %(date)s.",
                    credential=self.name,
                    date=format_datetime(self.env, self.previous_until),
                )
            )
        if self.expires_at != expires_at:
            notes.append(
                self.env._(
                    "%(credential)s expires on %(date)s.",
                    credential=self.name,
                    date=format_datetime(self.env, self.expires_at),
                )
                if self.expires_at
                else self.env._("%s has no date of expiry any more.", self.name)
            )
        if notes:
            self.backend_id._audit(" ".join(notes))

    def action_forget_previous(self):
        """End the time in which the replaced value is accepted beside the new one."""
        self.write({"previous_until": False})

    # === EXPIRY === #

    def _expiry_stage(self):
        """Return the smallest number of STAGES (days) that are left; None without need to tell."""
        self.ensure_one()
        if not self.expires_at or not self._is_announced():
            return None
        left = self.expires_at - fields.Datetime.now()
        if left <= timedelta(0):
            return 0
        stages = [timedelta(days=days) for days in STAGES]
        if self.kind == "token" and self.set_at:
            # one that is replaced every day is no news when it ends next week
            life = self.expires_at - self.set_at
            stages = [stage for stage in stages if stage <= life / 2]
        return min((stage.days for stage in stages if left <= stage), default=None)

    def _is_announced(self):
        """Whether a person has to replace it when it expires."""
        self.ensure_one()
        return self.kind == "typed" or self.code == REFRESH_TOKEN

    def _tell_expiry(self):
        """Open one incident for the present stage of each credential, and close the others."""
        Incident = self.env["integration.incident"]
        for credential in self.filtered(lambda row: row._is_announced()):
            backend = credential.backend_id
            stage = None
            if credential.is_set and credential.active and backend.state != "draft":
                stage = credential._expiry_stage()
            for other in STAGES:
                if other != stage:
                    Incident._resolve("expiring", backend, f"{credential.code}:{other}")
            if stage is None:
                continue
            owner = backend._owner()
            env = self.with_context(lang=owner.lang).env
            values = {
                "credential": credential.with_env(env).name,
                "date": format_datetime(env, credential.expires_at, tz=owner.tz),
            }
            message = (
                env._("%(credential)s expires on %(date)s.", **values)
                if stage
                else env._(
                    "%(credential)s has expired on %(date)s. When the service refuses it, the "
                    "connection pauses.",
                    **values,
                )
            )
            if credential.kind == "token":
                message += " " + env._("Press Connect on the backend to grant access again.")
            code = f"{credential.code}:{stage}"
            Incident._raise("expiring", backend, code, message, count=1)

    @api.model
    def _cron_daily(self):
        """Forget replaced values, tell of credentials that expire, and renew tokens."""
        self.with_context(active_test=False).search(
            [("previous_until", "<=", fields.Datetime.now())]
        )._end_previous()
        self.search(
            [
                ("expires_at", "!=", False),
                ("backend_id.active", "=", True),
                *self.env["integration.backend"]._connected_here("backend_id."),
            ]
        )._tell_expiry()
        # last, because it commits
        self.env["integration.auth"]._keep_alive()

    # === TOKENS === #

    @api.model
    def _put_token(self, backend_id, code, value, expires_at, purpose=None, scope=None):
        """Create, replace or (empty value) delete the token row ``code`` of a backend.

        To be called in a transaction of its own, which sees the settings as they are now.

        :returns: False when these are no longer those that the token was asked for.
        """
        # Settings that somebody is about to change wait until the token is stored. Where they do
        # not, the row is held by a change, maybe of our own caller: nothing can be waited for, and
        # the token is stored as one of the settings before.
        self.env.cr.execute(
            "SELECT 1 FROM integration_backend WHERE id = %s FOR SHARE SKIP LOCKED", [backend_id]
        )
        backend = self.env["integration.backend"].browse(backend_id)
        if purpose is not None and backend._token_purpose() != purpose:
            return False
        row = backend._credential_rows(code)
        if not value:
            return row.unlink()
        if not row:
            row = self.create(
                {
                    "backend_id": backend_id,
                    "environment": backend.environment,
                    "code": code,
                    "kind": "token",
                    "sequence": 100,
                }
            )
        row._set(value, expires_at)
        row.scope = scope
        return True

    @api.model
    def _forget_tokens(self, backends, environment, keep=()):
        """Delete the tokens that were issued to ``backends`` in an environment.

        :param keep: codes of those that stay.
        """
        # sudo: nobody may delete credentials, but these are worth nothing any more
        rows = self.sudo().with_context(active_test=False)
        rows.search(
            [
                ("backend_id", "in", backends.ids),
                ("environment", "=", environment),
                ("kind", "=", "token"),
                ("code", "not in", keep),
            ]
        ).unlink()
        cache, prefixes = self.env.cr.cache, {("integration_token", id_) for id_ in backends.ids}
        for key in [key for key in cache if isinstance(key, tuple) and key[:2] in prefixes]:
            del cache[key]

    # === USING === #

    def _decrypt(self):
        """Return the usable values, newest first (list of text)."""
        return self._open(self._stored())

    def _stored(self):
        """Return what is stored, still encrypted: ``[(value, previous value, until)]``."""
        # sudo: the ciphertext is closed to every user, hooks need it
        return [
            (row.ciphertext, row.previous_ciphertext, row.previous_until) for row in self.sudo()
        ]

    @api.model
    def _open(self, stored):
        """Decrypt what :meth:`_stored` returned; the only place that does.

        :returns: the usable values, newest first (list of text). A replaced value whose key is
            gone is none.
        :raises CredentialError: when a value in force cannot be read.
        :raises KeyUnavailable: see :meth:`_box`.
        """
        values = []
        now = fields.Datetime.now()
        for ciphertext, previous, previous_until in stored:
            if ciphertext:
                values.append(self._box().decrypt(ciphertext))
            if previous and previous_until > now:
                with contextlib.suppress(CredentialError):
                    values.append(self._box().decrypt(previous))
        return values

    @api.model
    def _mask(self, backend_id):
        """Return a function that removes the secrets of a backend from a text.

        For what code of others put into an error: it had the secret at hand.
        """
        values = []
        # sudo: whoever's work failed, its report must not hold a secret
        rows = self.sudo().with_context(active_test=False)
        rows = rows.search([("backend_id", "=", backend_id)])
        for ciphertext, previous, _until in rows._stored():
            for text in filter(None, (ciphertext, previous)):
                # without its key a secret cannot have come into the text either
                with contextlib.suppress(CredentialError, KeyUnavailable):
                    values.append(self._box().decrypt(text))
        return value_mask(values)

    def _valid_token(self):
        """Return the token if it is still good for a minute, else None."""
        soon = fields.Datetime.now() + timedelta(minutes=1)
        fresh = self.filtered(
            lambda row: row.is_set and (not row.expires_at or row.expires_at > soon)
        )
        return next(iter(fresh._decrypt()), None)

    @api.model
    def _box(self):
        """Return the box that closes and opens secrets.

        :raises KeyUnavailable: without a valid key; secrets are never stored in the clear.
        :raises AccessError: for a template or an expression.
        """
        self._check_caller()
        keys = os.environ.get(KEY_VARIABLE)
        if not keys and (path := os.environ.get(KEY_FILE_VARIABLE)):
            keys = _key_file(path)
        if not keys:
            keys = _configured_keys(config["config"])
        if not keys:
            raise KeyUnavailable(
                self.env._(
                    "The server has no encryption key, so secrets cannot be stored. Add a section "
                    "[integration] with the line encryption_key = <key> to the Odoo configuration "
                    "file (or set %(variable)s or %(file_variable)s) and restart. A key is made "
                    'by: python3 -c "from cryptography.fernet import Fernet; '
                    'print(Fernet.generate_key().decode())"',
                    variable=KEY_VARIABLE,
                    file_variable=KEY_FILE_VARIABLE,
                )
            )
        return _secret_box(keys)

    @api.model
    def _check_caller(self):
        """Refuse code that people typed into the database, and note where it cannot be refused.

        A hook has to get at secrets whoever's work it does, so rights alone cannot keep a mail
        template from calling one. Server actions are an administrator's code, which could do the
        same in other ways: each use is noted in Odoo's log and in the server's.

        :raises AccessError: for a template or an expression.
        """
        for name in typed_code():
            action = re.fullmatch(r"ir\.actions\.server\((\d+),\)", name)
            if not action:
                raise AccessError(
                    self.env._("Templates and expressions cannot use the secrets of integrations.")
                )
            self._note_action(int(action[1]))

    @api.model
    def _note_action(self, action_id):
        """Note that a server action uses secrets, unless it only calls a method, as crons do.

        Once in a transaction, in another one: it stays when the action ends with an error.
        """
        # sudo: server actions are for administrators to read
        action = self.env["ir.actions.server"].sudo().browse(action_id)
        noted = ("integration_noted_action", action_id)
        if noted in self.env.cr.cache or _ONE_CALL.fullmatch((action.code or "").strip()):
            return
        self.env.cr.cache[noted] = True
        message = "The server action %s (%s), run by %s, uses secrets of integrations."
        values = (action.name, action_id, self.env.user.login)
        _logger.warning(message, *values)
        with self.env.registry.cursor() as cr:
            # superuser: nobody writes this log by hand
            env = api.Environment(cr, SUPERUSER_ID, {})
            env["ir.logging"].create(
                {
                    "name": __name__,
                    "type": "server",
                    "dbname": cr.dbname,
                    "level": "WARNING",
                    "message": message % values,
                    "path": "integration.credential",
                    "func": "_box",
                    "line": str(action_id),
                }
            )

    # === ROTATION OF THE KEY === #

    @api.model
    def _key_usage(self):
        """Return how many stored texts are under each key: ``{key id: count}``.

        Those that are no longer readable at all, by whatever key, are counted under ``""``.
        """
        with self.env["integration.engine"]._control_cursor() as cr:
            cr.execute(
                "SELECT COALESCE(substring(t.stored FROM '^v1:([0-9a-f]{8}):'), ''), count(*)"
                "  FROM integration_credential c,"
                "       LATERAL (VALUES (c.ciphertext), (c.previous_ciphertext)) t(stored)"
                " WHERE t.stored <> '' GROUP BY 1"
            )
            return dict(cr.fetchall())

    @api.model
    def _rotate_keys(self):
        """Encrypt every credential of all companies with the newest key.

        Each batch is committed by itself: what interrupts it costs nothing but the rest, which
        the next call does. The server works on meanwhile.

        :returns: ``{"rotated": credentials encrypted again, "unreadable": ids of those whose key
            is missing, or which are damaged}``. Old keys can go when nothing is unreadable.
        :raises KeyUnavailable: without a valid key.
        """
        box = self._box()
        self.flush_model()
        rotated, unreadable, position = 0, [], 0
        while position is not None:
            with self.env["integration.engine"]._control_cursor() as cr:
                done, failed, position = self._rotate_batch(cr, box, position)
            rotated += done
            unreadable += failed
        self.invalidate_model(["ciphertext", "previous_ciphertext"])
        self.env["integration.webhook.event"]._forget_targets()
        return {"rotated": rotated, "unreadable": unreadable}

    @api.model
    def _rotate_batch(self, cr, box, position):
        """Encrypt the next credentials after the id ``position`` that are under an old key.

        :returns: ``(number rotated, ids of unreadable ones, id of the last one)``; the last is
            None when there are no more.
        """
        newest = f"v1:{box.key_id}:%"
        cr.execute(
            "SELECT id, backend_id, ciphertext, previous_ciphertext FROM integration_credential"
            " WHERE id > %s AND (ciphertext NOT LIKE %s OR previous_ciphertext NOT LIKE %s)"
            " ORDER BY id LIMIT %s FOR UPDATE",
            [position, newest, newest, ROTATION_BATCH],
        )
        rows = cr.fetchall()
        fresh, failed, counts = [], [], {}
        for row_id, backend_id, *stored in rows:
            rotated = list(stored)
            for position, text in enumerate(stored):
                try:
                    rotated[position] = text and box.rotate(text)
                except CredentialError:
                    failed.append(row_id)
            if rotated != stored:
                fresh.append((row_id, *rotated))
                counts[backend_id] = counts.get(backend_id, 0) + 1
        if fresh:
            values = SQL(", ").join(SQL("(%s, %s::text, %s::text)", *row) for row in fresh)
            cr.execute(
                SQL(
                    "UPDATE integration_credential c"
                    "   SET ciphertext = v.ciphertext, previous_ciphertext = v.previous_ciphertext"
                    "  FROM (VALUES %s) AS v(id, ciphertext, previous_ciphertext)"
                    " WHERE c.id = v.id",
                    values,
                )
            )
        # superuser: the audit trail is written by nobody else
        env = api.Environment(cr, SUPERUSER_ID, {})
        for backend_id, count in counts.items():
            env["integration.backend"].browse(backend_id)._audit(
                self.env._(
                    "%(count)s credentials were encrypted again, with the key %(key)s.",
                    count=count,
                    key=box.key_id,
                ),
                self.env.user,
            )
        return len(fresh), sorted(set(failed)), rows[-1][0] if len(rows) == ROTATION_BATCH else None
