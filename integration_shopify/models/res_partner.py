from odoo import api, fields, models

from ..lib.customers import STATES, WAYS

#: Who sees what shops know of a contact.
READERS = "sales_team.group_sale_salesman,integration_base.group_integration_operator"


class ResPartner(models.Model):
    _inherit = "res.partner"

    shopify_backend_ids = fields.Many2many(
        "integration.backend",
        "shopify_partner_backend_rel",
        "partner_id",
        "backend_id",
        string="Shopify Shops",
        domain="[('connector', '=', 'shopify')]",
        copy=False,
        # whoever may read backends
        groups="integration_base.group_integration_user",
        help="The contact becomes a customer of these shops, once the flow Customers (out) of the "
        "shop is on. Contacts that came from a shop are linked to it anyway.",
    )
    shopify_profile_ids = fields.One2many(
        "integration.shopify.profile", "partner_id", readonly=True, copy=False, groups=READERS
    )
    shopify_consent_ids = fields.One2many(
        "integration.shopify.consent", "partner_id", readonly=True, copy=False, groups=READERS
    )
    shopify_email_consent = fields.Selection(
        [
            ("subscribed", "Wants e-mails"),
            ("pending", "Has to confirm"),
            ("unsubscribed", "Does not want e-mails"),
        ],
        string="Marketing E-mails",
        copy=False,
        groups=READERS,
        help="What the customer has decided. Shops that leave the consent to Odoo (page Customers "
        "of the backend) are told of a change made here; for others it is what they say.",
    )
    shopify_email_consent_at = fields.Datetime(
        string="Decided on E-mails", readonly=True, copy=False, groups=READERS
    )
    shopify_sms_consent = fields.Selection(
        [
            ("subscribed", "Wants SMS"),
            ("pending", "Has to confirm"),
            ("unsubscribed", "Does not want SMS"),
        ],
        string="Marketing SMS",
        copy=False,
        groups=READERS,
        help="The same for text messages to the phone number.",
    )
    shopify_sms_consent_at = fields.Datetime(
        string="Decided on SMS", readonly=True, copy=False, groups=READERS
    )

    @api.model_create_multi
    def create(self, vals_list):
        partners = super().create(vals_list)
        flagged = partners.browse(
            partner.id
            for partner, vals in zip(partners, vals_list, strict=True)
            if vals.get("shopify_backend_ids")
        )
        flagged._shopify_announce()
        for way in WAYS:
            decided = partners.browse(
                partner.id
                for partner, vals in zip(partners, vals_list, strict=True)
                if vals.get(f"shopify_{way.code}_consent")
            )
            decided._shopify_note_decision(way.code)
        return partners

    def write(self, vals):
        decided = [way.code for way in WAYS if f"shopify_{way.code}_consent" in vals]
        if decided and not self.env.context.get("shopify_consent_noted"):
            now = fields.Datetime.now()
            vals = {**vals, **{f"shopify_{code}_consent_at": now for code in decided}}
        result = super().write(vals)
        if "shopify_backend_ids" in vals:
            self._shopify_announce()
        for code in decided:
            self._shopify_note_decision(code)
        return result

    def _shopify_note_decision(self, way):
        """Add a decision made in Odoo to the history; what a shop says is noted by itself.

        :param str way: ``email`` or ``sms``.
        """
        if self.env.context.get("shopify_consent_noted"):
            return
        name = f"shopify_{way}_consent"
        for partner in self:
            if not partner[f"{name}_at"]:
                partner.with_context(shopify_consent_noted=True)[f"{name}_at"] = (
                    fields.Datetime.now()
                )
            self.env["integration.shopify.consent"]._add(
                partner, way, STATES.get(partner[name]), "odoo", since=partner[f"{name}_at"]
            )

    def _shopify_announce(self):
        """Have contacts sent to the shops chosen on them, as far as these take contacts."""
        # sudo: whoever may change a contact need not see the integrations
        for backend in self.sudo().shopify_backend_ids:
            flow = backend._shopify_customer_flow("out")
            if flow.enabled and backend.active and backend.state != "draft":
                records = self.filtered(lambda row, own=backend: own in row.shopify_backend_ids)
                flow.env["integration.sync.log"]._append_records(flow, records, "change")
                flow._wake_after_commit()
