from markupsafe import Markup

from odoo import api, fields, models
from odoo.exceptions import UserError

from ..lib.errors import ConfigurationError

#: Credentials named on the form; more are counted.
NAMED = 10


class IntegrationKeyRotation(models.TransientModel):
    """Shows under which keys credentials are stored, and encrypts them with the newest one."""

    _name = "integration.key.rotation"
    _description = "Encryption Keys"

    keys = fields.Html(compute="_compute_state", sanitize=False)
    problem = fields.Text(compute="_compute_state")
    old_count = fields.Integer(compute="_compute_state")

    @api.depends_context("uid")
    def _compute_state(self):
        Credential = self.env["integration.credential"]
        usage = Credential._key_usage()
        try:
            configured, problem = Credential._box().key_ids, False
        except ConfigurationError as error:
            configured, problem = (), error.message
        for wizard in self:
            wizard.problem = problem
            wizard.old_count = sum(usage.values()) - usage.get(next(iter(configured), None), 0)
            wizard.keys = self._describe(configured, usage)

    @api.model
    def _describe(self, configured, usage):
        """Return the keys as a table: ids, what they are, and how many values are under each."""
        rows = [
            (
                key,
                self.env._("Newest: encrypts") if key == configured[0] else self.env._("Old"),
                usage.get(key, 0),
            )
            for key in configured
        ]
        rows += [
            (key or "?", self.env._("Not configured: unreadable"), count)
            for key, count in sorted(usage.items())
            if key not in configured
        ]
        line = Markup('<tr><td><code>%s</code></td><td>%s</td><td class="text-end">%s</td></tr>')
        head = Markup('<tr><th>%s</th><th></th><th class="text-end">%s</th></tr>') % (
            self.env._("Key"),
            self.env._("Stored values"),
        )
        return Markup('<table class="table table-sm">%s%s</table>') % (
            head,
            Markup("").join(line % row for row in rows),
        )

    def action_rotate(self):
        """Encrypt every credential with the newest key, and say what could not be read.

        :raises UserError: without a valid key.
        """
        self.check_access("write")
        try:
            result = self.env["integration.credential"]._rotate_keys()
        except ConfigurationError as error:
            raise UserError(error.message) from error
        message = self.env._(
            "%s credentials were encrypted again with the newest key.", result["rotated"]
        )
        unreadable = result["unreadable"]
        if unreadable:
            # the key is one for all companies, the names are not for everybody
            named = (
                self.env["integration.credential"]
                .with_context(active_test=False)
                .search([("id", "in", unreadable)], limit=NAMED)
            )
            names = ", ".join(f"{row.backend_id.name}: {row.name}" for row in named)
            if len(unreadable) > len(named):
                names = self.env._(
                    "%(names)s and %(count)s more", names=names, count=len(unreadable) - len(named)
                )
            message = self.env._(
                "%(done)s Not readable, because their key is not configured or they are damaged: "
                "%(names)s. Add the key again, or type these credentials anew.",
                done=message,
                names=names,
            )
        else:
            message = self.env._(
                "%s Old keys may be removed from the configuration now; keep them with the backups "
                "made until today.",
                message,
            )
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "warning" if unreadable else "success",
                "sticky": True,
                "title": self.env._("Encryption Keys"),
                "message": message,
                "next": {"type": "ir.actions.act_window_close"},
            },
        }
