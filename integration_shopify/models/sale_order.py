from markupsafe import Markup

from odoo import api, fields, models
from odoo.exceptions import AccessError
from odoo.tools import format_datetime


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
    shopify_refund_ids = fields.One2many("integration.shopify.refund", "order_id", copy=False)
    shopify_return_ids = fields.One2many("integration.shopify.return", "order_id", copy=False)

    shopify_decision = fields.Json(
        readonly=True, copy=False, help="What rules and settings decided, and what was written."
    )
    shopify_why = fields.Html(
        string="Why", compute="_compute_shopify_why", sanitize=False, compute_sudo=True
    )

    shopify_hold = fields.Char(
        string="On Hold",
        readonly=True,
        copy=False,
        index="btree_not_null",
        help="Why the deliveries of the order must not be shipped; empty when they may.",
    )
    shopify_channel = fields.Char(
        string="Ordered Through",
        readonly=True,
        copy=False,
        help="The source, app or till the order came from, as Shopify calls it.",
    )
    shopify_risk = fields.Char(
        string="Risk",
        readonly=True,
        copy=False,
        help="What Shopify recommends after looking for fraud. Its reasons are in the Shopify "
        "admin.",
    )
    shopify_attributes = fields.Text(
        string="Additional Details",
        readonly=True,
        copy=False,
        help="What the buyer or an app added to the order: one name and value a line.",
    )
    shopify_discounts = fields.Text(
        string="Discounts",
        readonly=True,
        copy=False,
        help="Each discount with its kind and what it took off, also by line.",
    )

    @api.depends("shopify_decision")
    @api.depends_context("lang", "tz")
    def _compute_shopify_why(self):
        Rule = self.env["integration.shopify.rule"].with_context(active_test=False)
        for order in self:
            rows = (order.shopify_decision or {}).get("rows", ())
            rules = Rule.search([("id", "in", [row["rule"] for row in rows if row["rule"]])])
            order.shopify_why = order._shopify_table(rows, {rule.id: rule for rule in rules})

    def _shopify_table(self, rows, rules):
        """Return the rows of a decision as a table; each names its rule and leads to it."""
        if not rows:
            return False
        head = Markup("<tr>%s</tr>") % Markup().join(
            Markup("<th>%s</th>") % title
            for title in (
                self.env._("When"),
                self.env._("What"),
                self.env._("Why"),
                self.env._("Rule"),
            )
        )
        body = Markup()
        for row in rows:
            at = fields.Datetime.to_datetime(row["at"])
            rule = rules.get(row["rule"])
            if rule:
                path = f"/odoo/action-integration_shopify.integration_shopify_rule_action/{rule.id}"
                link = Markup('<a href="%s">%s</a>') % (path, rule.display_name)
            else:
                link = self.env._("deleted") if row["rule"] else ""
            body += Markup("<tr><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>") % (
                format_datetime(self.env, at, dt_format="short"),
                row["what"],
                row["why"],
                link,
            )
        return Markup(
            '<table class="table table-sm"><thead>%s</thead><tbody>%s</tbody></table>'
        ) % (
            head,
            body,
        )

    def action_shopify_why(self):
        """Open what was decided about the order, and why, in a dialog."""
        self.ensure_one()
        self.check_access("read")
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Why Did %s Do That?", self.name),
            "res_model": self._name,
            "res_id": self.id,
            "view_mode": "form",
            "views": [(self.env.ref("integration_shopify.sale_order_view_form_why").id, "form")],
            "target": "new",
        }

    def _shopify_hold_summary(self):
        """Return the title of the to-do of a held order."""
        return self.env._("Delivery on hold")

    def _shopify_close_hold(self, feedback):
        """Mark the to-do of a hold as done."""
        summary = self._shopify_hold_summary()
        self.activity_ids.filtered(lambda row: row.summary == summary).action_feedback(feedback)

    def action_shopify_release_hold(self):
        """Let the deliveries of held orders go, and remember who did.

        The reasons released do not hold the order again; a new one does. A hold that Shopify has
        itself stays there.

        :raises AccessError: unless the user sells, or looks after the integrations.
        """
        self.check_access("write")
        if not self.env.user.has_groups(
            "sales_team.group_sale_salesman,integration_base.group_integration_manager"
        ):
            raise AccessError(
                self.env._("Only salespeople and integration managers may release a hold.")
            )
        now = fields.Datetime.to_string(fields.Datetime.now())
        for order in self.filtered("shopify_hold"):
            known = order.shopify_decision or {}
            memory = known.get("hold", {})
            keys = memory.get("keys", [])
            row = {
                "at": now,
                "what": self.env._("Hold released"),
                "why": self.env._(
                    "by %(user)s; it was: %(why)s",
                    user=self.env.user.name,
                    why=order.shopify_hold,
                ),
                "rule": None,
            }
            order.write(
                {
                    "shopify_hold": False,
                    "shopify_decision": {
                        **known,
                        "rows": [*known.get("rows", ()), row],
                        "hold": {
                            "keys": [],
                            "released": sorted({*memory.get("released", ()), *keys}),
                        },
                    },
                }
            )
            order.message_post(body=f"{row['what']}: {row['why']}")
            order._shopify_close_hold(row["what"])

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
