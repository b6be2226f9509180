from datetime import timedelta

from markupsafe import Markup

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError
from odoo.tools import SQL, format_datetime

from odoo.addons.integration_base.lib.errors import (
    IntegrationError,
    NotReadyError,
    RequestRefused,
    RetryableError,
)
from odoo.addons.integration_base.lib.records import Change

#: Who may give money back or cancel what was sold.
MAY_REFUND = ("sales_team.group_sale_manager", "account.group_account_invoice")
#: Minutes within which Shopify carries a cancellation out; after that it has failed.
CANCEL_MINUTES = 10


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
    shopify_cancelled_at = fields.Datetime(string="Cancelled in Shopify", readonly=True, copy=False)
    shopify_cancel_asked_at = fields.Datetime(readonly=True, copy=False)

    shopify_decision = fields.Json(
        readonly=True, copy=False, help="What rules and settings decided, and what was written."
    )
    shopify_why = fields.Html(
        string="Why", compute="_compute_shopify_why", sanitize=False, compute_sudo=True
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
    # === REFUNDS AND CANCELLATIONS === #

    def _shopify_check_may_refund(self):
        """Refuse whoever may not give money back.

        :raises AccessError: without the role, or without access to the order.
        """
        self.check_access("read")
        if not any(self.env.user.has_group(group) for group in MAY_REFUND):
            raise AccessError(
                self.env._(
                    "Refunding or cancelling in Shopify needs the right Sales: Administrator, or "
                    "Invoicing."
                )
            )

    def _shopify_binding(self):
        """Return the link of the order to Shopify, readable for whoever works on the order."""
        self.ensure_one()
        # sudo: whoever works on the order need not see the connection
        return (
            self.env["integration.binding"]
            .sudo()
            .search(
                [
                    ("resource", "=", "order"),
                    ("res_model", "=", self._name),
                    ("res_id", "=", self.id),
                    ("backend_id.connector", "=", "shopify"),
                ],
                limit=1,
            )
        )

    def _shopify_link(self):
        """Return ``(backend, Shopify id)`` of the order, for calls on behalf of the user.

        :raises UserError: when the order has no link, or its connection cannot be used now.
        """
        binding = self._shopify_binding()
        if not binding:
            raise UserError(self.env._("%s is not linked to an order in Shopify.", self.name))
        self._shopify_flow(binding.backend_id)._check_ready()
        return binding.backend_id, binding.external_id

    @api.model
    def _shopify_flow(self, backend):
        return backend.flow_ids.filtered(
            lambda flow: flow.resource == "order" and flow.direction == "in"
        )

    def _shopify_import_now(self):
        """Read the order from Shopify at once.

        :returns: a client action that shows the outcome and reloads the form.
        """
        backend, external_id = self._shopify_link()
        flow = self._shopify_flow(backend)
        # sudo: whoever may refund may have the order read
        log = self.env["integration.sync.log"].sudo()
        return log._append_and_run(flow, Change(external_id, label=self.name))

    def action_shopify_refund(self):
        """Open the dialog to refund this order in Shopify, as Shopify sees it now."""
        self.ensure_one()
        return self.env["integration.shopify.refund.request"]._open(self)

    def action_shopify_cancel(self):
        """Open the dialog to cancel this order in Shopify."""
        self.ensure_one()
        self._shopify_check_may_refund()
        self._shopify_link()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "integration_shopify.integration_shopify_cancel_action"
        )
        action["context"] = {"default_order_id": self.id}
        return action

    def _shopify_cancel(self, request):
        """Have Shopify cancel this order, once; it has to be committed.

        Shopify honours no key here and goes on by itself after its answer, so what is looked at is
        the order: one that is cancelled is never asked for again.

        :param dict request: variables of ``order_cancel.graphql``.
        :raises IntegrationError: see :meth:`~.integration_intent.Intent.send`.
        """
        backend, external_id = self._shopify_link()
        client = backend._shopify_client()

        def state():
            order = client.execute("order_cancel_state", {"id": external_id}).data["order"]
            if not order:
                raise RequestRefused(
                    self.env._("Shopify does not know %s any more.", self.display_name)
                )
            return order

        def call(_key):
            payload = client.mutate(
                "order_cancel",
                request,
                action=self.env._("cancel %s", self.display_name),
            )
            return {"job": (payload.get("job") or {}).get("id")}

        def recover(_key):
            return {"job": None} if state()["cancelledAt"] else None

        before = state()
        if before["cancelledAt"]:
            return
        self._shopify_refuse_cancelling(before)
        # what was sent and did not happen has failed on Shopify's side
        late = fields.Datetime.now() - timedelta(minutes=CANCEL_MINUTES)
        failed = self.env["integration.intent"].search_count(
            [
                ("action", "=", "cancel"),
                ("res_model", "=", self._name),
                ("res_id", "=", self.id),
                ("outcome", "=", "sent"),
                ("finished_at", "<", late),
            ]
        )
        with backend._intent("cancel", self, key=str(failed), request=request) as intent:
            intent.send(call, recover)
        with self.env["integration.engine"]._control_cursor() as cr:
            cr.execute(
                SQL(
                    "UPDATE sale_order SET shopify_cancel_asked_at = %s WHERE id = %s",
                    fields.Datetime.now(),
                    self.id,
                )
            )

    def _shopify_refuse_cancelling(self, state):
        """:raises RequestRefused: in plain words, for what Shopify would refuse too."""
        if state["returnStatus"] in ("RETURN_REQUESTED", "IN_PROGRESS"):
            raise RequestRefused(
                self.env._(
                    "%s has an open return in Shopify. Process or close the return there, then "
                    "cancel.",
                    self.display_name,
                )
            )
        if state["displayFulfillmentStatus"] == "FULFILLED":
            raise RequestRefused(
                self.env._(
                    "%s was shipped, so it can no longer be cancelled in Shopify. Take the goods "
                    "back and refund them instead: Refund in Shopify.",
                    self.display_name,
                )
            )

    def _shopify_cancel_now(self, request):
        """Cancel in Shopify for a person who waits, then read the order.

        :raises UserError: with what to do.
        """
        for is_last in (False, True):
            with self.env.registry.cursor() as cr:
                # sudo: the caller has checked who may cancel; the intent is the engine's
                failure = self.with_env(self.env(cr=cr, su=True))._shopify_try_cancel(request)
            if not failure:
                break
            if isinstance(failure, NotReadyError):
                raise UserError(
                    self.env._("%s Press Cancel in Shopify again in a minute.", failure.message)
                ) from failure
            # after a lost answer the order itself says whether it was cancelled
            if is_last or not isinstance(failure, RetryableError):
                raise UserError(failure.message) from failure
        return self._shopify_import_now()

    def _shopify_try_cancel(self, request):
        """Return the error of :meth:`_shopify_cancel`, or None."""
        try:
            self._shopify_cancel(request)
        except IntegrationError as error:
            return error
        return None
