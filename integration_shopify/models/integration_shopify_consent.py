from odoo import api, fields, models


class IntegrationShopifyConsent(models.Model):
    """The history of a contact's consent to marketing; rows are only ever added."""

    _name = "integration.shopify.consent"
    _description = "Marketing Consent"
    _order = "id desc"

    partner_id = fields.Many2one("res.partner", required=True, ondelete="cascade", index=True)
    backend_id = fields.Many2one(
        "integration.backend", string="Shop", ondelete="cascade", help="Empty: decided in Odoo."
    )
    company_id = fields.Many2one("res.company", index=True)
    way = fields.Selection(
        [("email", "E-mail"), ("sms", "SMS")], string="By", required=True, default="email"
    )
    origin = fields.Selection([("shopify", "Shopify"), ("odoo", "Odoo")], required=True)
    state = fields.Char(help="As Shopify calls it.")
    level = fields.Char(string="Opt-in", help="How the consent was given.")
    since = fields.Datetime(help="When the customer decided so.")
    user_id = fields.Many2one("res.users", string="Noted by")

    @api.model
    def _add(self, partner, way, state, origin, *, level=False, since=False, backend=None):
        """Add what is known from now on.

        :param str way: ``email`` or ``sms``.
        :param str origin: ``shopify`` or ``odoo``: who said so.
        """
        # sudo: nobody writes this history by hand, not even whoever may change the contact
        return self.sudo().create(
            {
                "partner_id": partner.id,
                "backend_id": backend.id if backend else False,
                "company_id": backend.company_id.id if backend else partner.company_id.id,
                "way": way,
                "origin": origin,
                "state": state,
                "level": level,
                "since": since or fields.Datetime.now(),
                "user_id": False if backend else self.env.uid,
            }
        )
