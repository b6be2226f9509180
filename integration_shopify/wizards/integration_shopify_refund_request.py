import uuid
from collections import defaultdict
from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Command

from odoo.addons.integration_base.lib.digest import digest
from odoo.addons.integration_base.lib.errors import IntegrationError

from ..lib import refunds

LINES_PER_PAGE = 250


class IntegrationShopifyRefundRequest(models.TransientModel):
    """What to give back of an order; the amounts are Shopify's."""

    _name = "integration.shopify.refund.request"
    _description = "Refund in Shopify"

    order_id = fields.Many2one("sale.order", required=True, readonly=True)
    credit_note_id = fields.Many2one("account.move", readonly=True)
    credit_note_total = fields.Monetary(
        related="credit_note_id.amount_total",
        currency_field="credit_note_currency_id",
        string="Credit Note",
    )
    credit_note_currency_id = fields.Many2one(related="credit_note_id.currency_id")
    # tells a button that was pressed twice from two refunds
    token = fields.Char(default=lambda self: uuid.uuid4().hex, required=True, readonly=True)
    currency_id = fields.Many2one("res.currency", required=True, readonly=True)
    line_ids = fields.One2many("integration.shopify.refund.request.line", "request_id")
    place_id = fields.Many2one(
        "stock.location",
        string="Goods Come Back To",
        domain="[('id', 'in', place_ids)]",
        help="Empty: Shopify chooses the location.",
    )
    place_ids = fields.Many2many("stock.location", compute="_compute_place_ids", compute_sudo=True)
    shipping = fields.Monetary(
        help="As the shop shows shipping: without tax where its prices are without tax."
    )
    shipping_left = fields.Monetary(readonly=True)
    has_duties = fields.Boolean(readonly=True)
    duties = fields.Boolean(string="Refund the Duties of These Goods")
    note = fields.Char(string="Reason", help="Only the staff of the shop sees it.")
    notify = fields.Boolean(string="Notify the Customer", default=True)
    computed_for = fields.Char(readonly=True)
    is_computed = fields.Boolean(compute="_compute_is_computed")
    subtotal = fields.Monetary(string="Goods", readonly=True)
    tax = fields.Monetary(readonly=True)
    shipping_refunded = fields.Monetary(readonly=True)
    duties_refunded = fields.Monetary(readonly=True)
    suggested = fields.Monetary(string="Shopify Proposes", readonly=True)
    pending = fields.Monetary(string="Under Way", readonly=True)
    limit = fields.Monetary(string="At Most", readonly=True)
    amount = fields.Monetary(
        string="Pay Back",
        help="What Shopify proposes, unless you change it: more is a goodwill payment, less is "
        "kept, e.g. for damage.",
    )

    # === COMPUTE METHODS === #

    @api.depends("order_id")
    def _compute_place_ids(self):
        for wizard in self:
            places = wizard._places().values()
            wizard.place_ids = self.env["stock.location"].union(*places)

    def _places(self):
        """Return ``{Shopify location: stock.location}``."""
        backend = self.order_id._shopify_binding().backend_id
        # sudo: where the shop's locations are is no secret to whoever refunds
        return self.env["integration.mapping"].sudo()._values(backend, "location")

    @api.depends(
        "computed_for", "shipping", "duties", "line_ids.quantity", "line_ids.restock", "place_id"
    )
    def _compute_is_computed(self):
        for wizard in self:
            wizard.is_computed = wizard.computed_for == wizard._choice()

    def _choice(self):
        """Return what was chosen, to tell whether Shopify's amounts are about it."""
        return digest([self._lines(), self._text(self.shipping), self._duties(), self.place_id.id])

    # === OPENING === #

    @api.model
    def _open(self, order, credit_note=None):
        """Return the action that opens the dialog for an order, or for a credit note of it.

        :raises UserError: when nothing can be read, or nothing is left to refund.
        """
        order._shopify_check_may_refund()
        backend, external_id = order._shopify_link()
        found = self._ask(lambda: self._read_lines(backend, external_id))
        currency = (
            self.env["res.currency"]
            .with_context(active_test=False)
            .search([("name", "=", found["presentmentCurrencyCode"])])
        )
        wizard = self.create(
            {
                "order_id": order.id,
                "credit_note_id": credit_note.id if credit_note else False,
                "currency_id": currency.id,
                "has_duties": any(line["duties"] for line in found["lines"]),
                "note": credit_note.ref if credit_note else False,
                "line_ids": [Command.create(vals) for vals in self._rows(order, found["lines"])],
            }
        )
        wizard.place_id = wizard.place_ids & order.warehouse_id.lot_stock_id
        if credit_note:
            wizard._choose_credited()
        wizard._compute_amounts()
        if credit_note and credit_note.currency_id == currency:
            wizard.amount = min(credit_note.amount_total, wizard.limit)
        return wizard._reopen()

    @api.model
    def _rows(self, order, lines):
        """Return the values of one row per line and whether its units were shipped."""
        ours = {line.shopify_line_id: line for line in order.order_line if line.shopify_line_id}
        rows = []
        for line in lines:
            left = line["refundableQuantity"]
            unshipped = min(line["unfulfilledQuantity"], left)
            for quantity, restock in ((left - unshipped, "return"), (unshipped, "cancel")):
                if quantity > 0:
                    rows.append(
                        {
                            "shopify_line_id": line["id"],
                            "sale_line_id": ours[line["id"]].id if line["id"] in ours else False,
                            "name": line["name"],
                            "shipped": restock == "return",
                            "quantity_left": quantity,
                            "restock": restock if line["restockable"] else "no_restock",
                            "duty_refs": ",".join(duty["id"] for duty in line["duties"]),
                        }
                    )
        return rows

    def _choose_credited(self):
        """Choose what the credit note credits, shipped units first."""
        credited, shipping = defaultdict(float), 0.0
        for line in self.credit_note_id.invoice_line_ids:
            sold = line.sale_line_ids[:1]
            if sold.is_delivery:
                included = any(line.tax_ids.mapped("price_include"))
                shipping += line.price_total if included else line.price_subtotal
            elif sold:
                credited[sold.id] += line.quantity
        for row in self.line_ids:
            key = row.sale_line_id.id
            row.quantity = min(row.quantity_left, int(credited[key]))
            credited[key] -= row.quantity
        self.shipping = shipping

    def _reopen(self):
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "integration_shopify.integration_shopify_refund_request_action"
        )
        action["res_id"] = self.id
        return action

    # === ASKING SHOPIFY === #

    def _source(self):
        return self.order_id._shopify_link()

    @api.model
    def _ask(self, ask):
        try:
            return ask()
        except IntegrationError as error:
            raise UserError(error.message) from error

    @api.model
    def _read_lines(self, backend, external_id):
        """Return the order with all its ``lines``, as Shopify has it now."""
        client, lines, after = backend._shopify_client(), [], None
        while True:
            order = client.execute(
                "order_refundable", {"id": external_id, "first": LINES_PER_PAGE, "after": after}
            ).data["order"]
            if not order:
                raise UserError(self.env._("Shopify does not know this order any more."))
            lines += order["lineItems"]["nodes"]
            page = order["lineItems"]["pageInfo"]
            if not page["hasNextPage"]:
                return {**order, "lines": lines}
            after = page["endCursor"]

    def _suggestion(self):
        """Return what Shopify proposes now for what was chosen."""
        backend, external_id = self._source()
        variables = {
            "id": external_id,
            "lines": self._lines(),
            "shipping": self._text(self.shipping) if self.shipping else None,
            "duties": self._duties(),
        }
        answer = self._ask(
            lambda: backend._shopify_client().execute("order_suggested_refund", variables)
        )
        return refunds.read_suggestion(answer.data["order"])

    def _text(self, amount):
        """Return an amount as Shopify reads it."""
        return f"{amount:.{self.currency_id.decimal_places}f}"

    def _lines(self):
        """Return the input fields of what was chosen."""
        rows = []
        place = next((key for key, row in self._places().items() if row == self.place_id), None)
        for line in self.line_ids:
            if line.quantity:
                row = {
                    "lineItemId": line.shopify_line_id,
                    "quantity": line.quantity,
                    "restockType": line.restock.upper(),
                }
                if line.restock != "no_restock" and place:
                    row["locationId"] = place
                rows.append(row)
        return rows

    def _duties(self):
        if not self.duties:
            return []
        return [
            {"dutyId": duty, "refundType": "PROPORTIONAL"}
            for duty in sorted(
                {
                    duty
                    for line in self.line_ids
                    if line.quantity
                    for duty in (line.duty_refs or "").split(",")
                    if duty
                }
            )
        ]

    # === ACTIONS === #

    def action_all(self):
        """Choose everything that is left: goods, shipping and duties."""
        for line in self.line_ids:
            line.quantity = line.quantity_left
        self.write({"shipping": self.shipping_left, "duties": self.has_duties})
        return self.action_compute()

    def action_compute(self):
        """Ask Shopify what to pay back for what was chosen."""
        self.order_id._shopify_check_may_refund()
        self._compute_amounts()
        return self._reopen()

    def _compute_amounts(self):
        found = self._suggestion()
        self.write(
            {
                "computed_for": self._choice(),
                "subtotal": float(found.subtotal),
                "tax": float(found.tax),
                "shipping_refunded": float(found.shipping),
                "shipping_left": float(found.shipping_left),
                "duties_refunded": float(found.duties),
                "suggested": float(found.amount),
                "pending": float(found.pending),
                "limit": float(found.limit),
                "amount": float(min(found.amount, found.limit)),
            }
        )

    def action_refund(self):
        """Have Shopify refund what was chosen, once, then read the order.

        :raises UserError: before anything is sent, when more would be given back than is left.
        """
        self.ensure_one()
        self.order_id._shopify_check_may_refund()
        self._source()
        Refund = self.env["integration.shopify.refund"]
        row_id, state, kept = Refund._kept(self.token)
        if state == "requested":
            self._check_unchanged(kept)
        if state in (None, "refused"):
            row_id = Refund._keep_request(self.token, self._values(self._checked_request()))
            state = "requested"
        if state == "requested":
            Refund._send_kept(row_id)
        return self.order_id._shopify_import_now()

    def _check_unchanged(self, kept):
        """:raises UserError: when something else is under way than is asked for now.

        :param dict kept: the input of the mutation that was sent.
        """
        paid = sum(Decimal(row["amount"]) for row in kept["transactions"])
        rest = {name: value for name, value in kept.items() if name != "transactions"}
        if paid != Decimal(self._text(self.amount)) or rest != self._request():
            raise UserError(
                self.env._(
                    "A refund of %(amount)s %(currency)s of %(order)s was asked for from this "
                    "dialog before, and Shopify's answer is awaited. What was changed since was "
                    "not sent. Press Try Again on the page Shopify of the order, then look what is "
                    "left to refund.",
                    amount=paid,
                    currency=kept["currency"],
                    order=self.order_id.name,
                )
            )

    def _request(self):
        """Return the input of the mutation without where the money comes from."""
        request = {
            "orderId": self._source()[1],
            "currency": self.currency_id.name,
            "notify": self.notify,
            "note": refunds.marked(self.note or "", self.token[:12]),
            "refundLineItems": self._lines(),
        }
        if self.shipping:
            request["shipping"] = {"amount": self._text(self.shipping)}
        if self._duties():
            request["refundDuties"] = self._duties()
        return request

    def _checked_request(self):
        """Return the input of the mutation.

        :raises UserError: when it would give back more than is left, or nothing.
        """
        if not self.is_computed:
            raise UserError(self.env._("The choice was changed. Press Compute first."))
        amount = Decimal(self._text(self.amount))
        rows = self._lines()
        if amount < 0 or self.shipping < 0 or any(row["quantity"] < 0 for row in rows):
            raise UserError(self.env._("Nothing can be refunded below zero."))
        if not rows and not self.shipping and not amount:
            raise UserError(self.env._("Choose what to refund, or type an amount to pay back."))
        backend, external_id = self._source()
        self._check_quantities(backend, external_id)
        found = self._suggestion()
        if amount > found.limit:
            self._refuse_amount(amount, found)
        try:
            parts = refunds.spread(amount, found.sources)
        except refunds.CannotPayBack as error:
            raise UserError(
                self.env._(
                    "The payments of %(order)s have only %(left)s left to give back. Pay back "
                    "less.",
                    order=self.order_id.name,
                    left=self._text(error.left),
                )
            ) from error
        return {
            **self._request(),
            "transactions": [
                {
                    "orderId": external_id,
                    "parentId": source.parent_id,
                    "gateway": source.gateway,
                    "kind": "REFUND",
                    "amount": self._text(part),
                }
                for source, part in parts
            ],
        }

    def _check_quantities(self, backend, external_id):
        """:raises UserError: when more units were chosen than are left, as Shopify has it now."""
        chosen = defaultdict(int)
        for line in self.line_ids:
            chosen[line.shopify_line_id] += line.quantity
        if not any(chosen.values()):
            return
        now = self._ask(lambda: self._read_lines(backend, external_id))
        left = {line["id"]: line["refundableQuantity"] for line in now["lines"]}
        for line in self.line_ids:
            if chosen[line.shopify_line_id] > left.get(line.shopify_line_id, 0):
                raise UserError(
                    self.env._(
                        "%(line)s: %(chosen)s units were chosen, but only %(left)s are left to "
                        "refund in Shopify. Somebody may have refunded the others meanwhile.",
                        line=line.name,
                        chosen=chosen[line.shopify_line_id],
                        left=left.get(line.shopify_line_id, 0),
                    )
                )

    def _refuse_amount(self, amount, found):
        """:raises UserError: that more would be paid back than is left."""
        if found.pending:
            raise UserError(
                self.env._(
                    "%(amount)s %(currency)s is more than is left of what the buyer paid for "
                    "%(order)s: %(limit)s, because %(pending)s are on their way back already.",
                    amount=amount,
                    currency=self.currency_id.name,
                    order=self.order_id.name,
                    limit=found.limit,
                    pending=found.pending,
                )
            )
        raise UserError(
            self.env._(
                "%(amount)s %(currency)s is more than is left of what the buyer paid for "
                "%(order)s: %(limit)s. Pay back at most that.",
                amount=amount,
                currency=self.currency_id.name,
                order=self.order_id.name,
                limit=found.limit,
            )
        )

    def _values(self, request):
        """Return the values of the row that keeps the request."""
        return {
            "order_id": self.order_id.id,
            "backend_id": self._source()[0].id,
            "company_id": self.order_id.company_id.id,
            "refunded_at": fields.Datetime.now(),
            "currency_id": self.currency_id.id,
            "amount_asked": self.amount,
            "note": self.note,
            "credit_note_id": self.credit_note_id.id,
            "request": request,
            "line_ids": [
                Command.clear(),
                *(
                    Command.create(
                        {
                            "shopify_line_id": line.shopify_line_id,
                            "sale_line_id": line.sale_line_id.id,
                            "quantity": line.quantity,
                            "restock": line.restock,
                        }
                    )
                    for line in self.line_ids
                    if line.quantity
                ),
            ],
        }
