from datetime import timedelta

from markupsafe import Markup

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError
from odoo.fields import Domain
from odoo.tools import SQL, format_datetime, html2plaintext

from odoo.addons.integration_base.lib.errors import (
    IntegrationError,
    NotReadyError,
    RequestRefused,
    RetryableError,
)
from odoo.addons.integration_base.lib.intents import outcome_of
from odoo.addons.integration_base.lib.records import Change

from ..lib import money_steps

#: Types of to-dos; those of a hold are found again in whatever language they are ended.
TODO = "mail.mail_activity_data_todo"
HOLD_TODO = "integration_shopify.mail_activity_type_hold"
#: Who may give money back or cancel what was sold.
MAY_REFUND = ("sales_team.group_sale_manager", "account.group_account_invoice")
#: Minutes within which Shopify carries a cancellation out; after that it has failed.
CANCEL_MINUTES = 10
#: Who reads Shopify's books, as in ir.model.access.csv: forms read a list of records even where it
#: is empty, and orders are opened by more people than these.
READERS = (
    "sales_team.group_sale_salesman,account.group_account_readonly,"
    "integration_base.group_integration_user,integration_base.group_integration_auditor,"
    "integration_shopify.group_shopify_work"
)


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
    shopify_cancelled_at = fields.Datetime(string="Cancelled in Shopify", readonly=True, copy=False)
    shopify_cancel_asked_at = fields.Datetime(readonly=True, copy=False)

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
    shopify_discount_codes = fields.Char(string="Discount Codes", readonly=True, copy=False)
    shopify_discounts = fields.Text(
        string="Discounts",
        readonly=True,
        copy=False,
        help="Each discount with its kind and what it took off, also by line.",
    )
    shopify_agreement_ids = fields.One2many(
        "integration.shopify.agreement",
        "order_id",
        string="Shopify Ledger",
        readonly=True,
        groups=READERS,
    )

    shopify_financial_status = fields.Char(
        string="Payment in Shopify",
        readonly=True,
        copy=False,
        help="As Shopify calls it; empty for an order nobody has paid or promised to pay.",
    )
    shopify_gateway = fields.Char(string="Paid With", readonly=True, copy=False)
    shopify_capturable = fields.Boolean(
        readonly=True, copy=False, help="An authorized payment can still be taken."
    )
    shopify_can_mark_as_paid = fields.Boolean(
        readonly=True, copy=False, help="Something is due that can be received outside of the shop."
    )
    shopify_payment_count = fields.Integer(
        string="Payments", compute="_compute_shopify_payment_count", compute_sudo=True
    )
    shopify_settled_at = fields.Datetime(
        readonly=True,
        copy=False,
        help="Set where all is paid in the buyer's currency while the books are in that of the "
        "shop: up to the ledger entry of that time.",
    )
    shopify_transaction_ids = fields.One2many(
        "integration.shopify.transaction",
        "order_id",
        string="Shopify Transactions",
        readonly=True,
        groups=f"{READERS},account.group_account_invoice",
    )

    shopify_fulfillment_ids = fields.One2many(
        "integration.shopify.fulfillment",
        "order_id",
        string="Shipments in Shopify",
        groups=f"{READERS},stock.group_stock_user",
    )
    shopify_refund_ids = fields.One2many(
        "integration.shopify.refund", "order_id", copy=False, groups=READERS
    )
    shopify_return_ids = fields.One2many(
        "integration.shopify.return", "order_id", copy=False, groups=READERS
    )

    # === COMPUTE METHODS === #

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
            body += Markup(
                '<tr><td class="text-nowrap">%s</td><td>%s</td><td>%s</td><td>%s</td></tr>'
            ) % (
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

    @api.depends("shopify_transaction_ids.payment_id")
    def _compute_shopify_payment_count(self):
        rows = self.env["integration.shopify.transaction"]._read_group(
            [("order_id", "in", self.ids), ("payment_id", "!=", False)],
            ["order_id"],
            ["__count"],
        )
        counts = {order.id: count for order, count in rows}
        for order in self:
            order.shopify_payment_count = counts.get(order.id, 0)

    # === CONFIRMATION AND DELETION === #

    @api.ondelete(at_uninstall=False)
    def _unlink_except_booked(self):
        """Keep what says that an order is in the books: without it, it would be booked again."""
        # sudo: what is booked of an order binds everybody
        for order in self.sudo():
            if order.shopify_agreement_ids.move_id or order.shopify_transaction_ids.payment_id:
                raise UserError(
                    self.env._(
                        "%s has invoices or payments made from Shopify, so it cannot be deleted. "
                        "Cancel it instead.",
                        order.name,
                    )
                )

    def _prepare_confirmation_values(self):
        """Keep the day the buyer ordered on imported orders."""
        values = super()._prepare_confirmation_values()
        if self.env.context.get("integration_keep_order_date"):
            values.pop("date_order", None)
        return values

    # === TO-DOS AND HOLDS === #

    def _shopify_todo(self, backend, summary, note, *, kind=TODO, role=None):
        """Ask whoever is responsible for the order to do something; once while it is open.

        :param str summary: title; of one order there is one to-do of a kind and title.
        :param str note: what happened and what to do; replaces that of a to-do that is open.
        :param str kind: XML id of the activity type.
        :param str role: XML id of a group: who does such work when the order has no salesperson;
            without it the owner of the backend.
        :returns: the mail.activity.
        """
        self.ensure_one()
        known = self.activity_search([kind], additional_domain=[("summary", "=", summary)])
        if known:
            if html2plaintext(known[0].note or "") != note:
                known[0].note = note
            return known[0]
        user = self.user_id or (backend._in_charge(role) if role else backend._owner())
        return self.activity_schedule(kind, summary=summary, note=note, user_id=user.id)

    def _shopify_close_hold(self, feedback):
        """Mark the to-do of a hold as done."""
        self.activity_feedback([HOLD_TODO], feedback=feedback)

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
            order.message_post(
                body=self.env._("%(what)s: %(why)s", what=row["what"], why=row["why"])
            )
            order._shopify_close_hold(row["what"])

    # === CALLS TO SHOPIFY === #

    def _shopify_check_may_refund(self):
        """Refuse whoever may not take money or give it back.

        :raises AccessError: without the role, or without access to the order.
        """
        self.check_access("read")
        if not any(self.env.user.has_group(group) for group in MAY_REFUND):
            raise AccessError(
                self.env._(
                    "Moving money or cancelling in Shopify needs the right Sales: Administrator, "
                    "or Invoicing."
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
        binding.backend_id._shopify_order_flow()._check_ready()
        return binding.backend_id, binding.external_id

    def _shopify_import_now(self):
        """Read the order from Shopify at once.

        :returns: a client action that shows the outcome and reloads the form.
        """
        backend, external_id = self._shopify_link()
        flow = backend._shopify_order_flow()
        # sudo: whoever may refund may have the order read
        log = self.env["integration.sync.log"].sudo()
        return log._append_and_run(flow, Change(external_id, label=self.name))

    def _shopify_call_now(self, call, again):
        """Make a call for a person who waits, once, then read the order.

        After a lost answer it is tried a second time: its intent looks up what became of the first.

        :param call: called with this order, as superuser in a transaction of its own.
        :param str again: what to do when the outcome cannot be told yet.
        :returns: see :meth:`_shopify_import_now`.
        :raises UserError: with what to do.
        """
        for is_last in (False, True):
            with self.env.registry.cursor() as cr:
                # sudo: the caller has checked who may; the intent is the engine's
                order = self.with_env(self.env(cr=cr, su=True))
                try:
                    call(order)
                    failure = None
                except IntegrationError as error:
                    failure = error
            if not failure:
                break
            if isinstance(failure, NotReadyError):
                raise UserError(" ".join((failure.message, again))) from failure
            if is_last or not isinstance(failure, RetryableError):
                raise UserError(failure.message) from failure
        return self._shopify_import_now()

    # === CANCELLATION === #

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
        calls = Domain(
            [("action", "=", "cancel"), ("res_model", "=", self._name), ("res_id", "=", self.id)]
        )
        Intent = self.env["integration.intent"]
        if not before["cancelledAt"]:
            self._shopify_refuse_cancelling(before)
        elif not Intent.search_count(calls & Domain("outcome", "in", ("new", "unknown"))):
            return
        # what was sent and did not happen has failed on Shopify's side
        late = fields.Datetime.now() - timedelta(minutes=CANCEL_MINUTES)
        failed = Intent.search_count(
            calls & Domain("outcome", "=", "sent") & Domain("finished_at", "<", late)
        )
        with backend._intent("cancel", self, key=str(failed), request=request) as intent:
            intent.send(call, recover)
        if before["cancelledAt"]:
            return
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
        return self._shopify_call_now(
            lambda order: order._shopify_cancel(request),
            self.env._("Press Cancel in Shopify again in a minute."),
        )

    # === TAKING MONEY === #

    def _shopify_move_money_now(self, step, title):
        """Have Shopify move money for a person who waits, once, then read the order.

        :param step: what is to be done, see :mod:`..lib.money_steps`.
        :param str title: the same, for the person: ``mark S00012 as paid``.
        :raises UserError: with what to do.
        """
        return self._shopify_call_now(
            lambda order: order._shopify_move_money(step, title),
            self.env._("Press the button again in a minute."),
        )

    def _shopify_move_money(self, step, title):
        """Have Shopify carry a step out; it honours no key here, so its transactions are read.

        :raises IntegrationError: see :meth:`~.integration_intent.Intent.send`.
        """
        backend, external_id = self._shopify_link()
        client = backend._shopify_client()

        def transactions():
            variables = {"id": external_id, "transactions": 250}
            order = client.execute("order_transactions", variables).data["order"]
            if not order:
                raise RequestRefused(
                    self.env._("Shopify does not know %s any more.", self.display_name)
                )
            return order["transactions"]

        def is_overtaken():
            try:
                return step.is_overtaken(transactions())
            except IntegrationError as error:
                if outcome_of(error) != "unknown":
                    raise
                # only reading failed: nobody has to look for what was never sent
                raise RetryableError(
                    error.message, outcome="not_sent", detail=error.detail
                ) from error

        def call(_key):
            if is_overtaken():
                raise RequestRefused(
                    self.env._(
                        "The payments of %s were changed in Shopify meanwhile, so nothing was "
                        "done. Press Import Now to read the order, then look what is left to do.",
                        self.display_name,
                    )
                )
            payload = client.mutate(step.document, step.variables, action=title)
            made = payload.get("transaction") or {}
            if made.get("status") in ("FAILURE", "ERROR"):
                raise RequestRefused(
                    self.env._(
                        "The payment provider refused to %s. The reason is on the order in the "
                        "Shopify admin.",
                        title,
                    )
                )
            return {"transaction": made.get("id")}

        def recover(_key):
            found = step.find(transactions())
            return {"transaction": found} if found else None

        with backend._intent(step.action, self, key=step.key, request=step.variables) as intent:
            intent.send(call, recover)

    # === ACTIONS === #

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

    def action_open_shopify_payments(self):
        """Open the payments made of the order's transactions."""
        self.ensure_one()
        return self.shopify_transaction_ids.payment_id._get_records_action(
            name=self.env._("Payments of %s", self.name), context={"create": False}
        )

    def action_shopify_refund(self):
        """Open the dialog to refund this order in Shopify, as Shopify sees it now."""
        self.ensure_one()
        return self.env["integration.shopify.refund.request"]._open(self)

    def action_shopify_cancel(self):
        """Open the dialog to cancel this order in Shopify."""
        return self._shopify_dialog("integration_shopify.integration_shopify_cancel_action")

    def action_shopify_capture(self):
        """Open the dialog to take an authorized payment, or to release it."""
        return self._shopify_dialog("integration_shopify.integration_shopify_capture_action")

    def _shopify_dialog(self, xml_id):
        self.ensure_one()
        self._shopify_check_may_refund()
        self._shopify_link()
        action = self.env["ir.actions.act_window"]._for_xml_id(xml_id)
        return {**action, "context": {"default_order_id": self.id}}

    def action_shopify_mark_as_paid(self):
        """Have Shopify note, once, that what is due was received outside of the shop.

        :raises UserError: when Shopify refuses it, or did not answer.
        """
        self.ensure_one()
        self._shopify_check_may_refund()
        _backend, external_id = self._shopify_link()
        if not self.shopify_can_mark_as_paid:
            raise UserError(
                self.env._("Nothing is due on %s that could be marked as paid.", self.name)
            )
        received = [
            row
            for row in self.shopify_transaction_ids
            if row.kind in ("SALE", "CAPTURE") and row.status == "SUCCESS"
        ]
        step = money_steps.MarkAsPaid(external_id, len(received))
        return self._shopify_move_money_now(step, self.env._("mark %s as paid", self.name))
