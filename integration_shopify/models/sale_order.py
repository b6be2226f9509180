from odoo import fields, models


class SaleOrder(models.Model):
    _name = "sale.order"
    _inherit = ["sale.order", "integration.bound.mixin"]

    shopify_url = fields.Char(
        string="Order in Shopify",
        readonly=True,
        copy=False,
        index="btree_not_null",
        help="Opens the order in the Shopify admin.",
    )
    shopify_financial_status = fields.Char(
        string="Payment in Shopify",
        readonly=True,
        copy=False,
        help="As Shopify calls it; empty for an order nobody has paid or promised to pay.",
    )
    shopify_gateway = fields.Char(string="Paid With", readonly=True, copy=False)
    shopify_invoice = fields.Selection(
        [
            ("no", "By Hand"),
            ("at_once", "At Once"),
            ("paid", "When Paid"),
            ("delivered", "When Delivered"),
        ],
        string="Invoiced",
        readonly=True,
        copy=False,
        help="When the entries of Shopify's sales ledger become invoices and credit notes.",
    )
    shopify_agreement_ids = fields.One2many(
        "integration.shopify.agreement", "order_id", string="Shopify Ledger", readonly=True
    )
    shopify_discount_codes = fields.Char(string="Discount Codes", readonly=True, copy=False)

    def _prepare_confirmation_values(self):
        """Keep the day the buyer ordered on imported orders."""
        values = super()._prepare_confirmation_values()
        if self.env.context.get("integration_keep_order_date"):
            values.pop("date_order", None)
        return values

    def _shopify_todo(self, backend, summary, note):
        """Ask whoever is responsible for the order to do something; once while it is open.

        :param str summary: names the kind of to-do: of one order there is one of a kind.
        :param str note: what happened and what to do.
        """
        self.ensure_one()
        if self.activity_ids.filtered(lambda activity: activity.summary == summary):
            return
        self.activity_schedule(
            "mail.mail_activity_data_todo",
            summary=summary,
            note=note,
            user_id=(self.user_id or backend._owner()).id,
        )
