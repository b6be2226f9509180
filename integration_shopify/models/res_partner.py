from odoo import api, fields, models

from ..lib.customers import STATES

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
        string="Decided on", readonly=True, copy=False, groups=READERS
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
        decided = partners.browse(
            partner.id
            for partner, vals in zip(partners, vals_list, strict=True)
            if vals.get("shopify_email_consent")
        )
        decided._shopify_note_decision()
        return partners

    def write(self, vals):
        if "shopify_email_consent" in vals and not self.env.context.get("shopify_consent_noted"):
            vals = {**vals, "shopify_email_consent_at": fields.Datetime.now()}
        result = super().write(vals)
        if "shopify_backend_ids" in vals:
            self._shopify_announce()
        if "shopify_email_consent" in vals:
            self._shopify_note_decision()
        return result

    def _shopify_note_decision(self):
        """Add a decision made in Odoo to the history; what a shop says is noted by itself."""
        if self.env.context.get("shopify_consent_noted"):
            return
        for partner in self:
            if not partner.shopify_email_consent_at:
                partner.with_context(
                    shopify_consent_noted=True
                ).shopify_email_consent_at = fields.Datetime.now()
            self.env["integration.shopify.consent"]._add(
                partner,
                STATES.get(partner.shopify_email_consent),
                "odoo",
                since=partner.shopify_email_consent_at,
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
