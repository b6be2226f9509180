from odoo import api, fields, models
from odoo.exceptions import UserError

OWNERS = [("shopify", "Shopify"), ("odoo", "Odoo")]


class IntegrationBackend(models.Model):
    _inherit = "integration.backend"

    shopify_customer_master = fields.Selection(
        [
            ("shopify", "Shopify"),
            ("odoo", "Odoo"),
            ("both", "Both, field by field"),
        ],
        string="Customers Belong to",
        default="shopify",
        required=True,
        help="Shopify: what changes there is written to the contact, the first import too; Odoo "
        "only makes new customers. Odoo: changes of contacts are sent, imports only add what is "
        "new. Whoever owns them, a customer is made once on each side and nothing is deleted. The "
        "flows Customers have to be switched on.",
    )
    shopify_customer_identity_owner = fields.Selection(
        OWNERS,
        string="Name, E-mail, Phone, Language",
        default="shopify",
        required=True,
        help="Who decides on them.",
    )
    shopify_customer_addresses_owner = fields.Selection(
        OWNERS,
        string="Addresses",
        default="shopify",
        required=True,
        help="Who decides on them. Addresses of documents never change.",
    )
    shopify_customer_consent_owner = fields.Selection(
        OWNERS,
        string="Marketing Consent",
        default="shopify",
        required=True,
        help="Who decides whether customers get marketing e-mails. Odoo: choose it only if you ask "
        "your customers in Odoo; what is set on contacts is then sent to the shop. Whoever objects "
        "in the shop later does not get them all the same.",
    )
    shopify_customer_tax_owner = fields.Selection(
        OWNERS,
        string="Tax Exemption",
        default="shopify",
        required=True,
        help="Who decides which customers pay no taxes, and on the tax numbers of companies. In "
        "Odoo the exemption is the fiscal position, see Value Mappings: Tax Exemption.",
    )
    shopify_customer_tags_owner = fields.Selection(
        OWNERS,
        string="Tags",
        default="shopify",
        required=True,
        help="Shopify: contacts get the tags of the shop. Odoo: customers get the tags of the "
        "contacts. Tags that only the other side has stay there.",
    )
    shopify_customer_tags = fields.Boolean(
        string="Exchange Tags",
        default=True,
        help="Tags of customers become tags of contacts with the same name, or the other way "
        "round. Switch it off when apps fill the shop with tags that mean nothing in Odoo.",
    )

    shopify_customers_out = fields.Boolean(compute="_compute_shopify_customers_out")

    @api.depends("flow_ids.enabled")
    def _compute_shopify_customers_out(self):
        for backend in self:
            flow = backend._shopify_customer_flow("out")
            backend.shopify_customers_out = bool(flow.filtered("enabled"))

    # === BUSINESS METHODS === #

    def _shopify_customer_owner(self, part):
        """Return who decides on a part of customers, ``shopify`` or ``odoo``.

        :param str part: one of ``lib.customers.PARTS``.
        """
        self.ensure_one()
        if self.shopify_customer_master == "both":
            return self[f"shopify_customer_{part}_owner"]
        return self.shopify_customer_master

    def _shopify_customer_flow(self, direction):
        """Return the flow of customers in a direction (``in``, ``out``), switched on or not."""
        return self.flow_ids.filtered(
            lambda flow: flow.resource == "customer" and flow.direction == direction
        )

    def action_shopify_send_contacts(self):
        """Send the contacts this shop is chosen on and that it does not have yet.

        For those chosen before the flow was switched on.

        :raises UserError: while the flow is off.
        """
        self.ensure_one()
        self.check_access("write")
        flow = self._shopify_customer_flow("out")
        if not flow.enabled:
            raise UserError(
                self.env._("The flow Customers (out of Odoo) is off. Switch it on first.")
            )
        chosen = self.env["res.partner"].search([("shopify_backend_ids", "in", self.ids)])
        known = self.env["integration.binding"]._search_records(self, "customer", chosen)
        new = chosen - chosen.browse(known.mapped("res_id"))
        self.env["integration.sync.log"]._append_records(flow, new, "manual")
        flow._wake_after_commit()
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "title": self.env._("Customers"),
                "message": self.env._("%s contacts are being sent.", len(new)),
                "type": "success",
            },
        }
