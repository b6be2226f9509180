import os
from configparser import RawConfigParser
from datetime import timedelta
from functools import cache

from odoo import api, fields, models
from odoo.tools import config

from ..lib.crypto import SecretBox, load_keys
from ..lib.errors import ConfigurationError

#: Environment variable with the Fernet keys (newest first, comma separated); else the line
#: ``encryption_key`` in the section ``[integration]`` of Odoo's configuration file. The keys stay
#: outside of the database, so that a dump alone opens nothing.
KEY_VARIABLE = "INTEGRATION_ENCRYPTION_KEY"


@cache
def _configured_keys(path):
    parser = RawConfigParser()
    parser.read([path] if path else [])
    return parser.get("integration", "encryption_key", fallback="")


@cache
def _secret_box(keys):
    return SecretBox(load_keys(keys))


class IntegrationCredential(models.Model):
    """One secret of a backend. It can be written and used, never read back."""

    _name = "integration.credential"
    _description = "Integration Credential"
    _order = "backend_id, sequence, id"

    backend_id = fields.Many2one(
        "integration.backend", required=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one(related="backend_id.company_id", store=True, index=True)
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
        help="Type a new value to replace the stored one; the stored one is never shown.",
    )
    ciphertext = fields.Text(groups=fields.NO_ACCESS, copy=False, prefetch=False)
    previous_ciphertext = fields.Text(groups=fields.NO_ACCESS, copy=False, prefetch=False)
    previous_until = fields.Datetime(
        readonly=True,
        copy=False,
        help="The replaced value is accepted on incoming notifications until then.",
    )
    is_set = fields.Boolean(string="Set", readonly=True, copy=False)
    status = fields.Selection(
        [("set", "Stored"), ("missing", "Missing"), ("optional", "Optional")],
        compute="_compute_status",
    )
    set_at = fields.Datetime(string="Set on", readonly=True, copy=False)
    set_by_id = fields.Many2one("res.users", string="Set by", readonly=True, copy=False)
    expires_at = fields.Datetime(readonly=True, copy=False)

    _code_unique = models.Constraint(
        "UNIQUE(backend_id, code)", "A backend has each credential once."
    )

    #: How long a replaced secret still verifies notifications that were signed with it.
    ROTATION_GRACE = timedelta(days=2)

    def write(self, vals):
        result = super().write(vals)
        # tokens are no secrets of notifications, and change every hour
        if any(credential.kind == "typed" for credential in self):
            self.env["integration.webhook.event"]._forget_targets()
        return result

    @api.depends("backend_id", "code")
    def _compute_spec(self):
        for credential in self:
            connector = credential.backend_id and credential.backend_id._connector()
            specs = {spec.code: spec for spec in connector._connector_credentials or ()}
            spec = specs.get(credential.code)
            credential.name = spec.label if spec else credential.code
            credential.help = spec.help if spec else False
            credential.required = bool(spec and spec.required)

    @api.depends("is_set", "required")
    def _compute_status(self):
        for credential in self:
            if credential.is_set:
                credential.status = "set"
            else:
                credential.status = "missing" if credential.required else "optional"

    def _compute_value(self):
        self.value = False

    def _inverse_value(self):
        for credential in self.filtered("value"):
            credential._set(credential.value.strip())
            # a token was issued for the old secrets
            # sudo: nobody may delete credentials, but these are worth nothing any more
            credential.backend_id.sudo().credential_ids.filtered(
                lambda row: row.kind == "token"
            ).unlink()
        self.invalidate_recordset(["value"])

    def _set(self, value, expires_at=None):
        """Encrypt and keep ``value``; the replaced one stays valid for a while."""
        self.ensure_one()
        now = fields.Datetime.now()
        # sudo: the ciphertext is closed to every user, also to the manager who types the secret
        self.sudo().write(
            {
                "previous_ciphertext": self.sudo().ciphertext if self.kind == "typed" else False,
                "previous_until": now + self.ROTATION_GRACE if self.sudo().ciphertext else False,
                "ciphertext": self._box().encrypt(value),
                "is_set": True,
                "set_at": now,
                "set_by_id": self.env.uid,
                "expires_at": expires_at,
            }
        )

    @api.model
    def _put_token(self, backend_id, code, value, expires_at):
        """Create, replace or (empty value) delete the token row ``code`` of a backend."""
        row = self.search([("backend_id", "=", backend_id), ("code", "=", code)])
        if not value:
            return row.unlink()
        if not row:
            row = self.create(
                {"backend_id": backend_id, "code": code, "kind": "token", "sequence": 100}
            )
        return row._set(value, expires_at)

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

        :returns: the usable values, newest first (list of text).
        """
        values = []
        now = fields.Datetime.now()
        for ciphertext, previous, previous_until in stored:
            if ciphertext:
                values.append(self._box().decrypt(ciphertext))
            if previous and previous_until > now:
                values.append(self._box().decrypt(previous))
        return values

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

        :raises ConfigurationError: without a valid key; secrets are never stored in the clear.
        """
        keys = os.environ.get(KEY_VARIABLE) or _configured_keys(config["config"])
        if not keys:
            raise ConfigurationError(
                self.env._(
                    "The server has no encryption key, so secrets cannot be stored. Add a section "
                    "[integration] with the line encryption_key = <key> to the Odoo configuration "
                    'file (or set %(variable)s) and restart. A key is made by: python3 -c "from '
                    'cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"',
                    variable=KEY_VARIABLE,
                )
            )
        return _secret_box(keys)
