from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Command
from odoo.tools import format_amount

from odoo.addons.integration_base.lib.errors import ConflictError, MissingValue
from odoo.addons.integration_base.lib.records import Change

from ..lib import clock, ledger
from ..lib.amounts import exact_amounts, percent
from ..lib.taxes import Tax, sum_taxes, without_country

ZERO = Decimal(0)


class IntegrationShopifyAgreement(models.Model):
    """One entry of Shopify's sales ledger, applied to the books exactly once.

    The first invoice of an order holds all entries up to the moment its rule invoices it; every
    later entry becomes an invoice or a credit note of its own. Both follow from the dates of the
    ledger alone, so the documents are the same whether each step was seen or only the end.
    """

    _name = "integration.shopify.agreement"
    _description = "Shopify Ledger Entry"
    _order = "happened_at, id"

    order_id = fields.Many2one(
        "sale.order", required=True, readonly=True, ondelete="cascade", index=True
    )
    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade"
    )
    company_id = fields.Many2one("res.company", required=True, readonly=True, index=True)
    external_id = fields.Char(string="Shopify ID", required=True, readonly=True)
    reason = fields.Selection(
        [
            ("ORDER", "Order"),
            ("ORDER_EDIT", "Edit"),
            ("REFUND", "Refund"),
            ("RETURN", "Return"),
            ("ROUNDING", "Cash Rounding"),
        ],
        required=True,
        readonly=True,
    )
    name = fields.Char(string="Return", readonly=True)
    happened_at = fields.Datetime(string="Date", required=True, readonly=True)
    currency_id = fields.Many2one("res.currency", required=True, readonly=True)
    amount_tax = fields.Monetary(string="Tax", readonly=True)
    amount_total = fields.Monetary(string="Total", readonly=True)
    entries = fields.Json(readonly=True)
    refund_ref = fields.Char(readonly=True)
    return_ref = fields.Char(readonly=True)
    state = fields.Selection(
        [
            ("open", "Not Booked"),
            ("booked", "Booked"),
            ("nothing", "Nothing to Book"),
        ],
        default="open",
        required=True,
        readonly=True,
        help="Nothing to Book: it was taken back before the order was invoiced.",
    )
    move_id = fields.Many2one(
        "account.move",
        string="Booked In",
        readonly=True,
        index="btree_not_null",
        check_company=True,
        ondelete="restrict",
    )

    _external_id_unique = models.Constraint(
        "UNIQUE(backend_id, external_id)", "This ledger entry is already known."
    )

    # === IMPORT === #

    @api.model
    def _follow(self, backend, items):
        """Note the ledger of orders, and book what is due.

        :param list[Item] items: with ``record`` (the sales order), ``data`` and, in ``values``,
            ``amounts``, ``taxes``, ``currency`` and ``decision``.
        :raises ConflictError: when a document would not come to what the ledger says.
        """
        self._note(backend, items)
        for item in items:
            decision, amounts = item.values["decision"], item.values["amounts"]
            order = item.record
            # what the ledger cannot book, people have to be able to invoice
            invoice = "no" if amounts.fallback else decision.invoice
            if order.shopify_invoice != invoice:
                order.shopify_invoice = invoice
            if decision.invoice == "no":
                self._tell_about_own_invoices(backend, item)
            elif amounts.fallback:
                self._tell_about_fallback(backend, item)
            else:
                self._book(backend, item)

    @api.model
    def _note(self, backend, items):
        """Store the entries that are new, and what changed of those that are not booked yet."""
        known = self.search([("order_id", "in", [item.record.id for item in items])])
        by_order = known.grouped("order_id")
        vals_list = []
        for item in items:
            rows = by_order.get(item.record, self.browse())
            for posting in item.values["amounts"].postings:
                vals = self._values(backend, item, posting)
                same = rows.filtered(
                    lambda row, gid=posting.agreement_id: row.external_id.split("#more")[0] == gid
                )
                if not same:
                    vals_list.append(vals)
                elif same[0].state == "open":
                    if same._plain_entries() != vals["entries"]:
                        same[0].write(vals)
                else:
                    rest = same._rest(vals["entries"])
                    if rest:
                        # Shopify added to an entry that is booked: the difference is a new one
                        vals_list.append(
                            {
                                **vals,
                                **self._sums(rest, item.values["currency"]),
                                "external_id": f"{posting.agreement_id}#more{len(same)}",
                            }
                        )
        self.create(vals_list)

    @api.model
    def _values(self, backend, item, posting):
        entries = [self._plain(entry) for entry in posting.entries]
        return {
            "order_id": item.record.id,
            "backend_id": backend.id,
            "company_id": backend.company_id.id,
            "external_id": posting.agreement_id,
            "reason": posting.reason,
            "name": posting.return_name,
            "happened_at": posting.happened_at,
            "currency_id": item.values["currency"].id,
            "refund_ref": posting.refund_id,
            "return_ref": posting.return_id,
            **self._sums(entries, item.values["currency"]),
        }

    @api.model
    def _sums(self, entries, currency):
        tax = sum((Decimal(a) for row in entries for a in row["taxes"].values()), ZERO)
        total = sum((Decimal(row["untaxed"]) for row in entries), ZERO) + tax
        return {"entries": entries, "amount_tax": float(tax), "amount_total": float(total)}

    def _rest(self, entries):
        """Return what ``entries`` have beyond those of these rows, in the form of ``entries``.

        Taxes are compared without their country: an address that is erased changes no books.
        """
        keys = {without_country(key): key for row in entries for key in row["taxes"]}
        signs = [(1, entries), *((-1, row._plain_entries()) for row in self)]
        merged = ledger.merge(self._entry(row, sign, keys) for sign, rows in signs for row in rows)
        return [self._plain(entry) for entry in merged if entry]

    def _plain_entries(self):
        """Return the entries of one row; of an empty list the database keeps nothing."""
        return self[:1].entries or []

    @api.model
    def _entry(self, row, sign=1, keys=None):
        """Return an entry as it was stored.

        :param dict keys: ``{tax key without country: key}`` to call its taxes by.
        """
        keys = keys or {}
        return ledger.Entry(
            row["kind"],
            row["key"],
            sign * Decimal(row["quantity"]),
            sign * Decimal(row["untaxed"]),
            sum_taxes(
                Tax(keys.get(without_country(key), key), key, sign * Decimal(amount))
                for key, amount in row["taxes"].items()
            ),
        )

    @api.model
    def _plain(self, entry):
        return {
            "kind": entry.kind,
            "key": entry.key,
            "quantity": str(entry.quantity),
            "untaxed": str(entry.untaxed),
            "taxes": {tax.key: str(tax.amount) for tax in entry.taxes},
        }

    # === BOOKING === #

    @api.model
    def _book(self, backend, item):
        order, decision = item.record, item.values["decision"]
        rows = order.shopify_agreement_ids.sorted(lambda row: (row.happened_at, row.id))
        self._reopen(backend, item, rows)
        waiting = rows.filtered(lambda row: row.state == "open")
        if not waiting or order.state not in ("sale", "cancel"):
            return
        if order.state == "cancel" and waiting == rows and not ledger.has_moved_money(item.data):
            # it was an offer, or nobody has paid it
            return
        documents = list(waiting)
        if waiting == rows:
            since = self._due_since(item)
            if since is None:
                return
            if self._adopt_own_invoices(backend, item, rows):
                return
            first = waiting.filtered(lambda row: row.happened_at <= since)
            documents = [first, *(waiting - first)]
        for document in documents:
            date = clock.local_date(
                since if waiting == rows and document == documents[0] else document.happened_at,
                document.backend_id.shopify_timezone,
            )
            if item.bound:
                document._make_move(item, date, decision.post_invoice)
            elif not document._make_first_move(backend, item, date, decision.post_invoice):
                return

    @api.model
    def _due_since(self, item):
        """Return up to when the ledger belongs to the first invoice, None while it is not due."""
        decision, amounts, order = item.values["decision"], item.values["amounts"], item.record
        if decision.invoice == "at_once":
            return amounts.postings[0].happened_at
        if decision.invoice == "paid":
            return amounts.paid_at
        if order.state == "cancel":
            return None
        if not order.picking_ids:
            return amounts.postings[0].happened_at
        if order.delivery_status != "full":
            return None
        return max(filter(None, order.picking_ids.mapped("date_done")), default=None)

    @api.model
    def _reopen(self, backend, item, rows):
        """Book again what stands in a draft that was cancelled with the order.

        A posted document that somebody cancelled is a decision: it is only asked about.
        """
        cancelled = rows.filtered(lambda row: row.move_id.state == "cancel")
        drafts = cancelled.filtered(lambda row: not row.move_id.posted_before)
        drafts.write({"state": "open", "move_id": False})
        if cancelled - drafts:
            item.record._shopify_todo(
                backend,
                self.env._("Compare the invoices with Shopify"),
                self.env._(
                    "%(moves)s of %(order)s was cancelled in Odoo, so the books lack what "
                    "Shopify's ledger says. It is not made again: post it once more, or make "
                    "another document by hand.",
                    moves=", ".join((cancelled - drafts).move_id.mapped("display_name")),
                    order=item.record.name,
                ),
            )

    def _make_first_move(self, backend, item, date, post):
        """Make the document of an order that is new; what prevents it does not keep the order out.

        The order is read once more by an operation of its own, which fails for the same reason and
        is there for whoever reviews failures.

        :returns: whether it was made.
        """
        try:
            with self.env.cr.savepoint():
                self._make_move(item, date, post)
        except ConflictError as error:
            item.notes.append(error.message)
            # whatever is told of the order next is no repetition: its invoice is still to be made
            item.digest = ""
            flow = backend._shopify_order_flow()
            change = Change(item.external_id, label=item.label)
            self.env["integration.sync.log"]._append(flow, [change], "change", force=True)
            flow._wake_after_commit()
            return False
        return True

    def _make_move(self, item, date, post):
        """Make the invoice or credit note of these ledger entries; an empty one is not made."""
        order = item.record
        entries = [
            entry
            for entry in ledger.merge(self._entry(e) for row in self for e in row._plain_entries())
            if entry
        ]
        if not entries:
            self.state = "nothing"
            return
        total = sum((entry.total for entry in entries), ZERO)
        if self._adopt_credit_note(item, total):
            return
        back = total < 0 or (not total and all(entry.quantity <= 0 for entry in entries))
        sign = -1 if back else 1
        invoices = order.shopify_agreement_ids.move_id.filtered(
            lambda move: move.move_type == "out_invoice" and move.state != "cancel"
        )
        lines = {line.shopify_line_id: line for line in order.order_line if line.shopify_line_id}
        untaxed = self.env["integration.connector.shopify"]._untaxed_tax(order.company_id)
        move = self.env["account.move"].create(
            {
                **order._prepare_invoice(),
                "move_type": "out_refund" if back else "out_invoice",
                "invoice_date": date,
                "reversed_entry_id": invoices[:1].id if back else False,
                "invoice_line_ids": [
                    Command.create(
                        self._line_values(item, entry, lines.get(entry.key), untaxed, sign)
                    )
                    for entry in entries
                ],
            }
        )
        self._check_move(item, move, abs(total), sign * sum((e.tax for e in entries), ZERO))
        self.write({"state": "booked", "move_id": move.id})
        if post:
            self._post(item, move)
        else:
            item.notes.append(
                self.env._("%s is left as a draft, as its rule says.", move.display_name)
            )

    @api.model
    def _post(self, item, move):
        try:
            move._post(soft=False)
        except UserError as error:
            raise ConflictError(
                self.env._(
                    "%(order)s: its %(kind)s cannot be posted: %(reason)s Solve that, then press "
                    "Retry.",
                    order=item.label,
                    kind=dict(move._fields["move_type"]._description_selection(self.env))[
                        move.move_type
                    ].lower(),
                    reason=error.args[0],
                )
            ) from error

    def _line_values(self, item, entry, line, untaxed, sign):
        """Return the values of an invoice line.

        :param line: of the sales order; None where nothing on it stands for the entry.
        :param untaxed: the tax of what is not taxed.
        :param sign: -1 on a credit note, whose lines are positive for what goes back.
        """
        taxes = self._taxes(item, entry, sign) or {untaxed.id: ZERO}
        included = item.values["amounts"].taxes_included
        base = sign * entry.untaxed
        cost = sign * entry.total if included else base
        # what only changes a price is no unit: it must not count as invoiced goods
        amount_only = not entry.quantity
        quantity = Decimal(1) if amount_only else sign * entry.quantity
        price, discount = cost / quantity, ZERO
        if line and not amount_only:
            listed = Decimal(str(line.price_unit)) * quantity
            if listed * cost > 0 and abs(listed) >= abs(cost):
                price, discount = Decimal(str(line.price_unit)), percent(listed - cost, listed)
        vals = line._prepare_invoice_line() if line else self._unlinked_values(entry)
        vals.update(
            quantity=float(quantity),
            price_unit=float(price),
            discount=float(discount),
            tax_ids=[Command.set(sorted(taxes))],
            shopify_amount_only=amount_only,
        )
        vals["extra_tax_data"] = exact_amounts(
            item.values["currency"].id,
            vals["price_unit"],
            vals["discount"],
            vals["quantity"],
            base,
            taxes,
        )
        return vals

    @api.model
    def _taxes(self, item, entry, sign):
        """Return ``{account.tax id: amount}`` of an entry.

        :raises MappingError: when a tax that has an amount is not mapped.
        """
        mapped, found, missing = item.values["taxes"], {}, []
        for tax in entry.taxes:
            if tax.key in mapped:
                tax_id = mapped[tax.key].id
                found[tax_id] = found.get(tax_id, ZERO) + sign * tax.amount
            elif tax.amount:
                missing.append(MissingValue("tax", tax.key, tax.label))
        if missing:
            raise self.env["integration.shopify.order"]._missing_taxes(item, missing)
        return found

    @api.model
    def _unlinked_values(self, entry):
        """Return the values of a line that nothing on the sales order stands for."""
        product = self.backend_id._shopify_product(
            {"duty": "fee", "product": "custom"}.get(entry.kind, entry.kind)
        )
        return {"product_id": product.id, "name": product.display_name, "display_type": "product"}

    def _check_move(self, item, move, total, tax):
        currency = item.values["currency"]
        if (
            move.currency_id == currency
            and not currency.compare_amounts(move.amount_total, float(total))
            and not currency.compare_amounts(move.amount_tax, float(tax))
        ):
            return
        raise ConflictError(
            self.env._(
                "%(order)s: its document was not made, because Odoo computes %(total)s with tax "
                "%(tax)s where Shopify's ledger says %(w_total)s with tax %(w_tax)s. Check the "
                "taxes mapped for this shop and the rounding of the currency, then press Retry.",
                order=item.label,
                total=format_amount(self.env, move.amount_total, move.currency_id),
                tax=format_amount(self.env, move.amount_tax, move.currency_id),
                w_total=format_amount(self.env, float(total), currency),
                w_tax=format_amount(self.env, float(tax), currency),
            )
        )

    # === DOCUMENTS OF OTHERS === #

    def _adopt_credit_note(self, item, total):
        """Take the credit note from which somebody made this refund in Shopify.

        :returns: whether there is one; nothing is booked beside it.
        """
        refs = set(filter(None, self.mapped("refund_ref")))
        note = item.record.invoice_ids.filtered(
            lambda move: move.shopify_refund_ref in refs and move.state != "cancel"
        )[:1]
        if not note:
            return False
        if note.state == "draft":
            raise ConflictError(
                self.env._(
                    "%(order)s: the credit note %(note)s, from which a refund was made in Shopify, "
                    "is a draft. Post it, then press Retry.",
                    order=item.label,
                    note=note.display_name,
                )
            )
        currency = item.values["currency"]
        if currency.compare_amounts(note.amount_total, float(-total)):
            raise ConflictError(
                self.env._(
                    "%(order)s: the credit note %(note)s, from which a refund was made in Shopify, "
                    "comes to %(present)s, the refund to %(wanted)s. Correct the credit note, then "
                    "press Retry.",
                    order=item.label,
                    note=note.name,
                    present=format_amount(self.env, note.amount_total, currency),
                    wanted=format_amount(self.env, float(-total), currency),
                )
            )
        self.write({"state": "booked", "move_id": note.id})
        return True

    @api.model
    def _adopt_own_invoices(self, backend, item, rows):
        """Take documents that people made of the order as those of the ledger, if they agree.

        :returns: whether there are such documents; nothing is booked beside them.
        """
        order, currency = item.record, item.values["currency"]
        own = order.invoice_ids.filtered(lambda move: move.state != "cancel")
        if not own:
            return False
        posted = own.filtered(lambda move: move.state == "posted")
        total = sum(move.amount_total * -move.direction_sign for move in posted)
        if posted == own and not currency.compare_amounts(
            total, float(sum((posting.total for posting in item.values["amounts"].postings), ZERO))
        ):
            rows.write({"state": "booked", "move_id": posted[:1].id})
            return True
        order._shopify_todo(
            backend,
            self.env._("Compare the invoices with Shopify"),
            self.env._(
                "%(order)s has invoices made by hand (%(moves)s, together %(present)s) that "
                "do not come to what Shopify's ledger says (%(wanted)s). Nothing was booked beside "
                "them. Correct or cancel them, then import the order again.",
                order=order.name,
                moves=", ".join(own.mapped("display_name")),
                present=format_amount(self.env, total, currency),
                wanted=format_amount(self.env, float(item.values["amounts"].total), currency),
            ),
        )
        return True

    @api.model
    def _tell_about_own_invoices(self, backend, item):
        """Ask for a credit note or invoice where an order that people invoice has changed."""
        order, currency = item.record, item.values["currency"]
        posted = order.invoice_ids.filtered(lambda move: move.state == "posted")
        if not posted or not item.bound:
            return
        total = sum(move.amount_total * -move.direction_sign for move in posted)
        if currency.compare_amounts(total, order.amount_total) > 0:
            order._shopify_todo(
                backend,
                self.env._("Make a credit note"),
                self.env._(
                    "%(order)s now comes to %(wanted)s in Shopify, but %(present)s are invoiced. "
                    "Make the credit note of the difference; a rule of the backend can do so by "
                    "itself.",
                    order=order.name,
                    wanted=format_amount(self.env, order.amount_total, currency),
                    present=format_amount(self.env, total, currency),
                ),
            )

    @api.model
    def _tell_about_fallback(self, backend, item):
        item.record._shopify_todo(
            backend,
            self.env._("Invoice by hand"),
            self.env._(
                "Nothing of %(order)s was booked, because Shopify's sales ledger cannot be relied "
                "on: %(reason)s. The order has the totals of its lines. Compare it with Shopify "
                "and make its invoice or credit note by hand.",
                order=item.record.name,
                reason=item.values["amounts"].fallback,
            ),
        )
