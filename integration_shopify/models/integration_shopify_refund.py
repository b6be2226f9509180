import contextlib
from collections import defaultdict
from datetime import datetime, timedelta

import psycopg2

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Command, Domain
from odoo.tools import SQL, format_date

from odoo.addons.integration_base.lib.errors import (
    IntegrationError,
    MissingValue,
    NotReadyError,
    RequestRefused,
    RetryableError,
)
from odoo.addons.integration_base.lib.intents import LATE_SECONDS, outcome_of

from ..lib import refunds
from .sale_order import CANCEL_MINUTES

#: What people asked for in Odoo, and Shopify's refund of it was not read yet.
ASKED = ("requested", "sent", "refused")


class IntegrationShopifyRefund(models.Model):
    """A refund of an order: what was given back, and which goods came back into stock.

    Its money is booked from the sales ledger and from the transactions; this says what became of
    the goods, and holds what people asked for in Odoo until Shopify has it.
    """

    _name = "integration.shopify.refund"
    _inherit = ["integration.company.mixin"]
    _description = "Shopify Refund"
    _order = "refunded_at, id"
    _check_company_auto = True

    order_id = fields.Many2one(
        "sale.order", required=True, readonly=True, ondelete="cascade", index=True
    )
    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade"
    )
    company_id = fields.Many2one("res.company", required=True, readonly=True, index=True)
    external_id = fields.Char(string="Shopify ID", readonly=True)
    refunded_at = fields.Datetime(string="Date", readonly=True)
    state = fields.Selection(
        [
            ("requested", "Asked For"),
            ("sent", "Sent"),
            ("refused", "Not Carried Out"),
            ("new", "New"),
            ("open", "Goods on Their Way"),
            ("done", "Done"),
        ],
        required=True,
        readonly=True,
        default="new",
        help="Asked For: Shopify did not answer yet, or its answer was lost; Try Again finds out. "
        "Goods on Their Way: units came back that Odoo has not delivered yet. They are taken back "
        "as soon as their delivery is in Odoo.",
    )
    request_ref = fields.Char(
        readonly=True, help="Equal however often the same refund is asked for in Odoo."
    )
    request = fields.Json(readonly=True)
    error = fields.Char(string="Why Not", readonly=True)
    credit_note_id = fields.Many2one(
        "account.move",
        readonly=True,
        check_company=True,
        help="Made in Odoo before the refund, which was asked for from there.",
    )
    note = fields.Char(string="Reason", readonly=True)
    return_ref = fields.Char(readonly=True)
    return_name = fields.Char(string="Return", readonly=True)
    currency_id = fields.Many2one("res.currency", readonly=True)
    amount_total = fields.Monetary(
        string="Paid Back",
        readonly=True,
        help="Money that went back so far; refunds that are still pending are not in it.",
    )
    amount_asked = fields.Monetary(string="Asked For", readonly=True)
    line_ids = fields.One2many("integration.shopify.refund.line", "refund_id", readonly=True)
    goods = fields.Char(compute="_compute_goods", compute_sudo=True)
    picking_ids = fields.Many2many(
        "stock.picking",
        "integration_shopify_refund_picking_rel",
        "refund_id",
        "picking_id",
        string="Stock Returns",
        readonly=True,
        check_company=True,
    )
    move_ids = fields.Many2many(
        "account.move", string="Booked In", compute="_compute_move_ids", compute_sudo=True
    )

    _external_id_unique = models.Constraint(
        "UNIQUE(backend_id, external_id)", "This refund is already known."
    )
    _request_ref_unique = models.Constraint(
        "UNIQUE(backend_id, request_ref)", "This refund was already asked for."
    )
    _one_per_credit_note = models.UniqueIndex(
        "(credit_note_id) WHERE state <> 'refused'",
        "This credit note was paid back in Shopify already, or is about to be.",
    )
    _one_request = models.UniqueIndex(
        "(order_id) WHERE state = 'requested'",
        "Another refund of this order is under way.",
    )

    # === COMPUTE METHODS === #

    @api.depends("order_id", "refunded_at")
    def _compute_display_name(self):
        # sudo: whoever may see a refund may know which order it is of
        for refund in self.sudo():
            # read as "refund of ..." where calls to Shopify are listed
            day = format_date(self.env, refund.refunded_at)
            refund.display_name = ", ".join(filter(None, [refund.order_id.display_name, day]))

    @api.depends("line_ids.quantity", "line_ids.restock", "line_ids.name")
    def _compute_goods(self):
        for refund in self:
            refund.goods = "; ".join(line._text() for line in refund.line_ids)

    @api.depends("external_id", "return_ref")
    def _compute_move_ids(self):
        """The invoice or credit note of the ledger entry that came with this refund.

        The entry of a processed return names the return, not the refund it made.
        """
        entries = self.env["integration.shopify.agreement"].search(
            Domain("order_id", "in", self.order_id.ids)
            & (
                Domain("refund_ref", "in", self.mapped("external_id"))
                | Domain("return_ref", "in", self.mapped("return_ref"))
            )
        )
        for refund in self:
            refund.move_ids = entries.filtered(
                lambda entry, refund=refund: (
                    (refund.external_id and entry.refund_ref == refund.external_id)
                    or (refund.return_ref and entry.return_ref == refund.return_ref)
                )
            ).move_id

    # === FOLLOWING AN ORDER === #

    @api.model
    def _follow(self, backend, items):
        """Take back into stock what refunds say has returned.

        Each refund is noted once, and each of its units is taken back once, however often and
        in whatever order the order's history is seen.

        :param list[Item] items: with ``record`` (the sales order), ``data`` and, in ``values``,
            what the order's ``_map`` prepared. ``item.notes`` says what was done.
        """
        for item in items:
            cancelled = item.data.cancelledAt or False
            if item.record.shopify_cancelled_at != cancelled:
                item.record.write(
                    {"shopify_cancelled_at": cancelled, "shopify_cancel_asked_at": False}
                )
        self.env["integration.shopify.return"]._follow(backend, items)
        items = [item for item in items if item.data.refunds]
        if not items:
            return
        known = self.search(
            [
                ("backend_id", "=", backend.id),
                ("external_id", "in", [row.id for item in items for row in item.data.refunds]),
            ]
        ).grouped("external_id")
        locations = self._locations(backend, items)
        for item in items:
            rows = self.browse()
            asked = self._asked_for(item.record)
            for refund in sorted(item.data.refunds, key=self._sort_key):
                marker = refunds.marker_of(refund.note)
                row = (
                    known.get(refund.id)
                    or asked.get(marker)
                    or self.create(
                        {
                            "order_id": item.record.id,
                            "backend_id": backend.id,
                            "company_id": backend.company_id.id,
                            "external_id": refund.id,
                        }
                    )
                )
                row._note(refund, item)
                rows |= row
            rows._take_back(item, locations)

    @api.model
    def _await_cancellations(self, items):
        """Let orders wait that Shopify was asked to cancel and is still cancelling.

        Its jobs say nothing reliable, the order does. After some minutes it has failed.
        """
        for item in items:
            asked = item.record and item.record.shopify_cancel_asked_at
            if not asked or item.data.cancelledAt:
                continue
            waiting = fields.Datetime.now() - asked
            if waiting < timedelta(minutes=CANCEL_MINUTES):
                item.fail(
                    NotReadyError(
                        self.env._(
                            "Shopify is cancelling %s. It is read again when that is done.",
                            item.label,
                        ),
                        retry_after=5,
                    )
                )
            else:
                item.notes.append(
                    self.env._(
                        "Shopify was asked to cancel %s and did not. Look at the order in Shopify, "
                        "then press Cancel in Shopify again.",
                        item.label,
                    )
                )

    @api.model
    def _asked_for(self, order):
        """Return ``{marker: refund}`` of what was asked for in Odoo and may come back now."""
        rows = self.search([("order_id", "=", order.id), ("state", "in", ASKED)])
        return {row._marker(): row for row in rows if not row.external_id}

    @api.model
    def _sort_key(self, refund):
        return (refund.createdAt or datetime.min, refunds.number_of(refund.id))

    @api.model
    def _locations(self, backend, items):
        """Return ``{Shopify location: stock.location}`` of where goods came back to."""
        wanted = {}
        for item in items:
            for refund in item.data.refunds:
                for line in refund.refundLineItems:
                    if line.location and line.restockType == "RETURN":
                        wanted[line.location.id] = line.location.name
        if not wanted:
            return {}
        mapped = self.env["integration.mapping"]._values(backend, "location", wanted)
        for item in items:
            item.seen += [
                MissingValue("location", line.location.id, line.location.name)
                for refund in item.data.refunds
                for line in refund.refundLineItems
                if line.location and line.restockType == "RETURN" and line.location.id not in mapped
            ]
        return mapped

    def _note(self, refund, item):
        """Write what Shopify says about this refund; its lines never change."""
        is_asked = self.state in ASKED
        vals = {
            "external_id": refund.id,
            "refunded_at": refund.createdAt or item.data.updatedAt,
            "note": refunds.without_marker(refund.note),
            "return_ref": refund.return_.id if refund.return_ else False,
            "return_name": refund.return_.name if refund.return_ else False,
            "currency_id": item.values["currency"].id,
        }
        vals = {
            name: value
            for name, value in vals.items()
            if (self[name].id if name == "currency_id" else self[name] or False) != (value or False)
        }
        amount = float(refund.totalRefundedSet)
        if item.values["currency"].compare_amounts(self.amount_total, amount):
            vals["amount_total"] = amount
        if is_asked:
            # nobody needs what was sent any more, and it may tell about the buyer
            vals.update(state="new", error=False, request=False)
            self._adopt_credit_note(refund.id)
            self._settle_intent(refund.id)
        if is_asked or not self.line_ids:
            by_id = {line.shopify_line_id: line for line in item.record.order_line}
            vals["line_ids"] = [
                Command.clear(),
                *(Command.create(self._line_values(row, by_id)) for row in refund.refundLineItems),
            ]
        if vals:
            self.write(vals)

    def _settle_intent(self, external_id):
        """Note that a call whose answer was lost was carried out, as the order shows."""
        # sudo: nobody but the engine sees all intents
        Intent = self.env["integration.intent"].sudo()
        if not Intent.search_count(
            [
                ("res_model", "=", self._name),
                ("res_id", "=", self.id),
                ("outcome", "in", ("new", "unknown")),
            ]
        ):
            return

        def call(_key):
            raise RuntimeError("a refund that exists was to be made again")

        # whoever waits for the answer at this moment notes it
        with (
            contextlib.suppress(NotReadyError),
            self.backend_id._intent("refund", self, request=self.request) as intent,
        ):
            intent.send(call, lambda _key: {"refund": external_id})

    def _adopt_credit_note(self, external_id):
        """Let the credit note this refund was asked for from be the one that books it."""
        if self.credit_note_id:
            # sudo: whoever reads orders need not be allowed to change documents
            self.credit_note_id.sudo().shopify_refund_ref = external_id

    @api.model
    def _line_values(self, line, by_id):
        kinds = self.env["integration.shopify.refund.line"]._fields["restock"].get_values(self.env)
        restock = (line.restockType or "").lower()
        return {
            "shopify_line_id": line.lineItem.id,
            "sale_line_id": by_id[line.lineItem.id].id if line.lineItem.id in by_id else False,
            "quantity": line.quantity,
            "restock": restock if restock in kinds else "no_restock",
            "location_ref": line.location.id if line.location else False,
            "location_name": line.location.name if line.location else False,
            "amount_subtotal": float(line.subtotalSet),
            "amount_tax": float(line.totalTaxSet),
        }

    # === ASKED FOR IN ODOO === #

    def _marker(self):
        """Return what tells this refund from others of the order, at Shopify too."""
        return (self.request_ref or "")[:12]

    @api.model
    def _keep_request(self, key, vals):
        """Write down, committed, that a refund is about to be asked for.

        :param str key: equal for the same refund, e.g. of a button pressed twice.
        :param dict vals: values of the row; with ``request``, the variables of the mutation.
        :returns: the id of the row. It is not to be read in the present transaction, which sees
            the database as of its own beginning.
        :raises UserError: when another refund of the order is under way, or its credit note was
            paid back before.
        """
        try:
            with self.env.registry.cursor() as cr:
                # sudo: its callers have checked who may refund; nobody writes these rows by hand
                rows = self.with_env(self.env(cr=cr, su=True))
                row = rows.search([("request_ref", "=", key)])
                if not row or row.state == "refused":
                    rows._check_kept(vals)
                if not row:
                    row = rows.create({**vals, "request_ref": key, "state": "requested"})
                elif row.state == "refused":
                    row.write({**vals, "state": "requested", "error": False})
                rows.env.flush_all()
                return row.id
        except psycopg2.errors.UniqueViolation:
            row_id, _state, _request = self._kept(key)
            if row_id:
                return row_id
            with self.env.registry.cursor() as cr:
                self.with_env(self.env(cr=cr))._check_kept(vals)
            raise UserError(
                self.env._(
                    "Another refund of this order was asked for, and Shopify's answer is awaited. "
                    "It is on the page Shopify of the order: press Try Again there, then look what "
                    "is left to refund."
                )
            ) from None

    @api.model
    def _check_kept(self, vals):
        self._check_credit_note(self.env["account.move"].browse(vals.get("credit_note_id") or ()))

    @api.model
    def _kept(self, key):
        """Return ``(id, state, request)`` of what was asked for with this key, or three None."""
        with self.env.registry.cursor() as cr:
            cr.execute(
                SQL(
                    "SELECT id, state, request FROM integration_shopify_refund"
                    " WHERE request_ref = %s",
                    key,
                )
            )
            return cr.fetchone() or (None, None, None)

    @api.model
    def _paid_back(self, credit_notes):
        """Return those credit notes that were paid back in Shopify, or may have been."""
        # sudo: whoever posts credit notes need not see the refunds of orders
        rows = self.sudo().search(
            [("credit_note_id", "in", credit_notes.ids), ("state", "!=", "refused")]
        )
        return rows.credit_note_id.with_env(self.env)

    @api.model
    def _check_credit_note(self, credit_note):
        """:raises UserError: when a credit note was paid back in Shopify, or may have been."""
        if self._paid_back(credit_note):
            raise UserError(
                self.env._(
                    "This credit note was paid back in Shopify already, or that was asked for and "
                    "Shopify's answer is awaited. Look at the refunds on the page Shopify of the "
                    "order. To pay back something else, open Refund in Shopify on the order."
                )
            )

    @api.model
    def _send_kept(self, row_id):
        """Have Shopify carry a refund out that was asked for: once, however often it is called.

        A lost answer is looked up at once, and the same request is repeated by the same key, which
        Shopify honours.

        :raises UserError: with what to do, for the person who pressed the button.
        """
        for is_last in (False, True):
            with self.env.registry.cursor() as cr:
                # sudo: see _keep_request
                found, failure = self.with_env(self.env(cr=cr, su=True)).browse(row_id)._try_send()
            if not failure:
                self._mark(row_id, "sent", external_id=found)
                return
            if outcome_of(failure) in ("refused", "not_sent") and self._was_not_made(row_id):
                self._mark(row_id, "refused", error=failure.message)
                raise UserError(failure.message) from failure
            if is_last or not isinstance(failure, RetryableError):
                raise UserError(
                    self.env._(
                        "%(problem)s Whether the money was paid back is not known yet. The refund "
                        "is on the page Shopify of the order: press Try Again there. It is looked "
                        "up first, and never paid back twice.",
                        problem=failure.message,
                    )
                ) from failure

    @api.model
    def _was_not_made(self, row_id):
        """Whether Shopify certainly did not make a refund, as its calls say.

        An error can also be that of looking up an earlier call, which says nothing about it.
        """
        with self.env["integration.engine"]._control_cursor() as cr:
            cr.execute(
                SQL(
                    "SELECT outcome, attempts FROM integration_intent"
                    " WHERE res_model = %s AND res_id = %s AND action = 'refund'",
                    self._name,
                    row_id,
                )
            )
            # one that was not sent may repeat another one whose answer was lost
            return all(
                outcome in ("refused", "void") or (outcome == "not_sent" and attempts == 1)
                for outcome, attempts in cr.fetchall()
            )

    def _try_send(self):
        """Return ``(id of the refund, None)``, or None and the error."""
        try:
            return self._send(), None
        except IntegrationError as error:
            return None, error

    def _send(self):
        """Ask Shopify for this refund, under an intent; returns its id there.

        :raises IntegrationError: see :meth:`~.integration_intent.Intent.send`.
        """
        self.ensure_one()
        backend, request = self.backend_id, self.request
        client = backend._shopify_client()

        def call(key):
            if self._kept(self.request_ref)[1] != "requested":
                raise RequestRefused(self.env._("The refund was withdrawn meanwhile."))
            payload = client.mutate(
                "refund_create",
                {"input": request},
                idempotency_key=key,
                action=self.env._("refund %s", self.order_id.display_name),
            )
            if not payload.get("refund"):
                raise RetryableError(self.env._("Shopify did not say which refund it made."))
            return {"refund": payload["refund"]["id"]}

        def recover(_key):
            order = client.execute("order_refund_notes", {"id": request["orderId"]}).data["order"]
            for refund in (order or {}).get("refunds") or ():
                if refunds.marker_of(refund["note"]) == self._marker():
                    return {"refund": refund["id"]}
            return None

        with backend._intent("refund", self, request=request) as intent:
            return intent.send(call, recover, late_seconds=0)["refund"]

    @api.model
    def _mark(self, row_id, state, error=None, external_id=None):
        """Write, committed, what became of a request, unless an import has read it already."""
        try:
            with self.env["integration.engine"]._control_cursor() as cr:
                cr.execute(
                    SQL(
                        "UPDATE integration_shopify_refund SET state = %s, error = %s,"
                        " external_id = %s WHERE id = %s AND state = ANY(%s)",
                        state,
                        error,
                        external_id,
                        row_id,
                        ["requested", "refused"],
                    )
                )
        except psycopg2.errors.UniqueViolation:
            # an import was faster and could not tell that it was asked for here
            with self.env["integration.engine"]._control_cursor() as cr:
                cr.execute(
                    SQL(
                        "DELETE FROM integration_shopify_refund WHERE id = %s"
                        " RETURNING backend_id, credit_note_id",
                        row_id,
                    )
                )
                for backend_id, credit_note_id in cr.fetchall():
                    cr.execute(
                        SQL(
                            "UPDATE integration_shopify_refund SET credit_note_id = %s"
                            " WHERE backend_id = %s AND external_id = %s",
                            credit_note_id,
                            backend_id,
                            external_id,
                        )
                    )

    def action_try_again(self):
        """Find out what became of a refund whose answer was lost, or ask for it again.

        :raises UserError: when it is still not known, or Shopify refuses it.
        """
        self.ensure_one()
        self.order_id._shopify_check_may_refund()
        self._check_requested()
        self._send_kept(self.id)
        return self.order_id._shopify_import_now()

    def action_withdraw(self):
        """Give up a refund that Shopify certainly did not carry out.

        :raises UserError: when it was carried out, or may still be.
        """
        self.ensure_one()
        self.order_id._shopify_check_may_refund()
        self._check_requested()
        # sudo: whoever may refund need not see the connection
        row = self.sudo()
        client = row.backend_id._shopify_client()

        def find():
            variables = {"id": row.request["orderId"]}
            order = client.execute("order_refund_notes", variables).data["order"]
            markers = [
                refunds.marker_of(refund["note"]) for refund in (order or {}).get("refunds") or ()
            ]
            return row._marker() in markers

        try:
            is_given_up = row.env["integration.intent"]._give_up(
                row.backend_id, "refund", row, find, 2 * LATE_SECONDS
            )
        except NotReadyError as error:
            raise UserError(self.env._("%s Withdraw it in some minutes.", error.message)) from error
        except IntegrationError as error:
            raise UserError(error.message) from error
        if not is_given_up:
            return self.order_id._shopify_import_now()
        self._mark(self.id, "refused", error=self.env._("Withdrawn."))
        self.invalidate_recordset()
        return None

    def _check_requested(self):
        """:raises UserError: when it is known what became of this refund."""
        if self._kept(self.request_ref)[1] != "requested":
            raise UserError(
                self.env._(
                    "What became of this refund is known: nothing is left to find out. Reload the "
                    "page to see it."
                )
            )

    # === GOODS === #

    def _take_back(self, item, locations):
        """Return the units that these refunds of one order brought back and Odoo has delivered.

        What Odoo has out is compared with what Shopify has out after each refund: goods that
        somebody returned in Odoo before are not returned a second time, and those whose delivery
        is not in Odoo yet follow when it is.

        :param locations: ``{Shopify location: stock.location}``.
        """
        shipped = defaultdict(int)
        for fulfillment in item.data.fulfillments or ():
            if fulfillment.status == "SUCCESS":
                for row in fulfillment.fulfillmentLineItems:
                    shipped[row.lineItem.id] += row.quantity or 0
        expected = defaultdict(int, shipped)
        for refund in self:
            moved, taken = defaultdict(list), defaultdict(float)
            for line in refund.line_ids.filtered(lambda row: row.restock == "return"):
                key = line.shopify_line_id
                expected[key] = max(0, expected[key] - line.quantity)
                if refund.state == "done" or not line.quantity_left:
                    continue
                for move, quantity in line._choose_deliveries(shipped[key], expected[key], taken):
                    place = locations.get(line.location_ref) or self.env["stock.location"]
                    moved[move.picking_id, place].append((move, quantity))
            if refund.state == "done":
                continue
            refund._return_goods(moved)
            left = refund.line_ids.filtered("quantity_left")
            is_new = refund.state == "new"
            refund.state = "open" if left else "done"
            if is_new or moved:
                refund._tell(item, left)
            if is_new:
                refund._check_called_off(item)

    def _return_goods(self, moved):
        """Make a stock return of each delivery and place.

        :param moved: ``{(delivery, place or empty): [(move, quantity in the unit of the move)]}``.
        """
        for (delivery, place), rows in moved.items():
            wizard = (
                self.env["stock.return.picking"]
                .with_context(integration_return_location_id=place.id)
                .create(
                    {
                        "picking_id": delivery.id,
                        "product_return_moves": [
                            Command.create(
                                {
                                    "move_id": move.id,
                                    "product_id": move.product_id.id,
                                    "quantity": quantity,
                                    "to_refund": True,
                                }
                            )
                            for move, quantity in rows
                        ],
                    }
                )
            )
            picking = wizard._create_return()
            self.picking_ids = [Command.link(picking.id)]
            if self.backend_id.shopify_receive_returns:
                self._receive(picking)

    @api.model
    def _receive(self, picking):
        """Receive a return, unless only a person can tell which of several lots came back."""
        for move in picking.move_ids:
            lots = move.origin_returned_move_id.move_line_ids.lot_id
            if move.has_tracking != "none" and (len(lots) != 1 or not move.move_line_ids.lot_id):
                return
        for move in picking.move_ids:
            move.quantity = move.product_uom_qty
            move.picked = True
        picking._action_done()

    def _tell(self, item, left):
        """Say in the order's history and on the operation what became of the goods."""
        if not self.line_ids:
            return
        parts = [self.env._("Refunded in Shopify: %s.", self.goods)]
        done = self.picking_ids.filtered(lambda picking: picking.state == "done")
        if done:
            parts.append(self.env._("Received by %s.", ", ".join(done.mapped("name"))))
        ready = self.picking_ids - done
        if ready:
            parts.append(
                self.env._(
                    "The warehouse has to receive %s.",
                    ", ".join(picking.name or "" for picking in ready),
                )
            )
        if left:
            parts.append(
                self.env._(
                    "Not delivered in Odoo, so nothing to take back yet: %s.",
                    "; ".join(
                        self.env._(
                            "%(quantity)s x %(product)s",
                            quantity=line.quantity_left,
                            product=line.name,
                        )
                        for line in left
                    ),
                )
            )
        text = " ".join(parts)
        item.notes.append(text)
        self.order_id.message_post(body=text)

    def _check_called_off(self, item):
        """Give somebody a to-do when Odoo has delivered what Shopify says was never shipped.

        Each unit that was ordered is with the buyer, was taken back, or was called off. Odoo can
        have delivered the first two only.
        """
        current = {row.id: row.currentQuantity for row in item.data.lineItems}
        for line in self.line_ids:
            if line.restock != "cancel" or not line.sale_line_id:
                continue
            same = self._of_order(line.shopify_line_id)
            kept = sum(row.quantity for row in same if row.restock != "cancel")
            too_many = line._delivered() - current.get(line.shopify_line_id, 0) - kept
            if too_many > 0:
                self.order_id._shopify_todo(
                    self.backend_id,
                    self.env._("Delivered, but called off in Shopify"),
                    self.env._(
                        "%(quantity)s x %(product)s were refunded in Shopify as never shipped, "
                        "but Odoo has delivered them. Get them back and make a return of the "
                        "delivery, or ask the buyer to pay for them.",
                        quantity=min(int(too_many), line.quantity),
                        product=line.name,
                    ),
                )

    def _of_order(self, line_id):
        """Return the lines of all refunds of this order that are about one of its lines."""
        return self.env["integration.shopify.refund.line"].search(
            [("refund_id.order_id", "=", self.order_id.id), ("shopify_line_id", "=", line_id)]
        )
