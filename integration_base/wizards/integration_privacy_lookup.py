from odoo import api, fields, models
from odoo.exceptions import UserError

from ..models.integration_privacy_request import FOREGROUND_SECONDS


class IntegrationPrivacyLookup(models.TransientModel):
    """Asks who it is about, then exports or erases what the integrations keep on that person."""

    _name = "integration.privacy.lookup"
    _description = "Privacy: Find a Person"

    company_id = fields.Many2one(
        "res.company", required=True, default=lambda self: self.env.company
    )
    partner_id = fields.Many2one("res.partner", string="Contact")
    email = fields.Char()
    phone = fields.Char()
    name = fields.Char(help="As it may stand in messages. Others may have the same name.")
    street = fields.Char()
    reference = fields.Char(
        string="External Record", help="The number or external id of a customer or an order."
    )
    found = fields.Text(string="Kept Now", readonly=True)

    @api.onchange("partner_id")
    def _onchange_partner_id(self):
        if self.partner_id:
            for name in ("email", "phone", "name", "street"):
                self[name] = self.partner_id[name]

    @api.onchange("company_id", "partner_id", "email", "phone", "name", "street", "reference")
    def _onchange_person(self):
        # Erase is about whom the fields name, and these figures were somebody else's
        self.found = False

    # === BUSINESS METHODS === #

    def _terms(self):
        """Return what the person is found by, see ``integration.privacy._terms``.

        :raises UserError: when nothing was filled in, or nothing has the number.
        """
        self.ensure_one()
        self._check_manager()
        if self.partner_id:
            self.partner_id.check_access("read")
        contacts = [text for text in (self.email, self.phone) if text]
        names = [text for text in (self.name, self.street) if text]
        if not (self.partner_id or contacts or self.reference):
            raise UserError(
                self.env._("Choose a contact, or type an e-mail address, phone number or number.")
            )
        return self.env["integration.privacy"]._terms(
            self.company_id, self.partner_id, contacts, names, self._records()
        )

    def _check_manager(self):
        if not self.env.user.has_group("integration_base.group_integration_manager"):
            raise UserError(self.env._("This needs the role Integration Manager."))
        if self.company_id not in self.env.companies:
            raise UserError(self.env._("Switch to the company %s first.", self.company_id.name))

    def _records(self):
        """Return ``{(backend id, resource, external id)}`` of what has the number typed in."""
        text = (self.reference or "").strip()
        if not text:
            return set()
        found = set()
        for model, label in (
            ("integration.binding", "external_label"),
            ("integration.sync.log", "label"),
        ):
            rows = self.env[model].search(
                [
                    ("company_id", "=", self.company_id.id),
                    "|",
                    ("external_id", "=", text),
                    (label, "=", text),
                ]
            )
            found |= {
                (row.backend_id.id, row.resource, row.external_id)
                for row in rows
                if row.external_id
            }
        if not found:
            raise UserError(self.env._("Nothing of an integration is called %s.", text))
        return found

    def _start(self, kind):
        """Store the request, work on it for a while, and show it; the cron does the rest."""
        request = self.env["integration.privacy.request"]._ask(self.company_id, kind, self._terms())
        # what was typed in is personal data, too
        self.unlink()
        request.sudo()._work()  # sudo: the rights were checked, requests are closed to users
        return {
            "type": "ir.actions.act_window",
            "res_model": request._name,
            "res_id": request.id,
            "view_mode": "form",
        }

    # === ACTIONS === #

    def action_look(self):
        """Show how much is kept on the person, without changing anything."""
        privacy = self.env["integration.privacy"]
        counts, is_all = privacy._count(self.company_id, self._terms(), FOREGROUND_SECONDS)
        # sudo: names of models are no secret
        models_ = self.env["ir.model"].sudo()
        lines = [
            f"{models_._get(model).name}: {count}"
            for model, count in sorted(counts.items())
            if count
        ]
        if not is_all:
            lines.append(
                self.env._(
                    "There may be more: the log is too large to be read through here. Export and "
                    "Erase read all of it, in the background."
                )
            )
        self.found = "\n".join(lines) or self.env._("Nothing.")
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "integration_base.integration_privacy_lookup_action"
        )
        return {**action, "res_id": self.id}

    def action_export(self):
        """Make a file of what is kept on the person."""
        return self._start("export")

    def action_erase(self):
        """Erase what is kept on the person."""
        return self._start("erase")
