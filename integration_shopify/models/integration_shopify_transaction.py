from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from typing import Any

from odoo import api, fields, models
from odoo.fields import Command
from odoo.tools import html2plaintext, plaintext2html

from odoo.addons.integration_base.lib.errors import MissingValue

from ..lib import clock, matching, money_steps

#: Money that moved, by kind. What was only authorized, voided or refused moved nothing. Of cash
#: given back at a till (CHANGE) the received part is a SALE of its own.
#: https://shopify.dev/docs/api/admin-graphql/latest/enums/OrderTransactionKind
RECEIVED, GIVEN = ("SALE", "CAPTURE"), ("REFUND", "CHANGE")
MONEY = (*RECEIVED, *GIVEN)
SUCCESS, PENDING = "SUCCESS", "PENDING"
#: The to-do about money that could not be booked.
TODO = "integration_shopify.mail_activity_type_payment"
#: Where a chart of accounts keeps its account of payments under way.
OUTSTANDING = {
    "inbound": "account_journal_payment_debit_account_id",
    "outbound": "account_journal_payment_credit_account_id",
}


@dataclass(frozen=True)
class _Book:
    """What the books hold of one order.

    :param rows: its transactions.
    :param agreements: its ledger, oldest first.
    :param documents: its posted invoices and credit notes.
    :param lines: receivable lines of documents and payments, in the currency of the order.
    """

    order: Any
    rows: Any
    agreements: Any
    documents: Any
    lines: Any


class IntegrationShopifyTransaction(models.Model):
    """Money of an order that moved, was promised, refused or given back.

    Each row is one transaction of Shopify. Money that moved becomes a payment, once, where the
    order's rules register payments; everything else is only noted.
    """

    _name = "integration.shopify.transaction"
    _description = "Shopify Transaction"
    _order = "processed_at, id"
    _check_company_auto = True

    order_id = fields.Many2one(
        "sale.order", required=True, readonly=True, ondelete="cascade", index=True
    )
    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade"
    )
    company_id = fields.Many2one("res.company", required=True, readonly=True, index=True)
    external_id = fields.Char(string="Shopify ID", required=True, readonly=True)
    parent_ref = fields.Char(
        string="Shopify ID of the Parent",
        readonly=True,
        help="The authorization that was captured or voided, or the payment that was given back.",
    )
    processed_at = fields.Datetime(string="Date", required=True, readonly=True)
    kind = fields.Char(string="Kind in Shopify", required=True, readonly=True)
    status = fields.Char(string="Status in Shopify", required=True, readonly=True)
    kind_name = fields.Char(string="Kind", compute="_compute_names")
    status_name = fields.Char(string="Status", compute="_compute_names")
    gateway = fields.Char(string="Gateway Code", readonly=True)
    gateway_name = fields.Char(string="Gateway", readonly=True)
    payment_ref = fields.Char(
        string="Reference",
        readonly=True,
        groups="account.group_account_invoice,account.group_account_readonly,"
        "integration_base.group_integration_user",
    )
    test = fields.Boolean(readonly=True)
    authorization_expires_at = fields.Datetime(string="Authorized Until", readonly=True)
    multi_capturable = fields.Boolean(
        string="Several Captures",
        readonly=True,
        help="Whether what is left of an authorization after a capture stays authorized.",
    )
    currency_id = fields.Many2one("res.currency", required=True, readonly=True)
    amount = fields.Monetary(readonly=True, help="In the currency of the sales order.")
    shop_currency_id = fields.Many2one("res.currency", readonly=True)
    shop_amount = fields.Monetary(
        string="In Shop Currency", currency_field="shop_currency_id", readonly=True
    )
    presentment_currency_id = fields.Many2one("res.currency", readonly=True)
    presentment_amount = fields.Monetary(
        string="As Paid", currency_field="presentment_currency_id", readonly=True
    )
    payment_id = fields.Many2one(
        "account.payment",
        readonly=True,
        index="btree_not_null",
        ondelete="restrict",
        check_company=True,
        groups="account.group_account_invoice,account.group_account_readonly",
    )
    note = fields.Char(string="Not Booked Because", readonly=True)

    _external_id_unique = models.Constraint(
        "UNIQUE(backend_id, external_id)", "This transaction is already known."
    )

    # === COMPUTE METHODS === #

    @api.depends("kind", "status")
    def _compute_names(self):
        kinds = {
            "SALE": self.env._("Payment"),
            "CAPTURE": self.env._("Capture"),
            "AUTHORIZATION": self.env._("Authorization"),
            "EMV_AUTHORIZATION": self.env._("Card Terminal Authorization"),
            "VOID": self.env._("Void"),
            "REFUND": self.env._("Refund"),
            "CHANGE": self.env._("Change"),
        }
        statuses = {
            SUCCESS: self.env._("Done"),
            PENDING: self.env._("Pending"),
            "AWAITING_RESPONSE": self.env._("Pending"),
            "FAILURE": self.env._("Failed"),
            "ERROR": self.env._("Failed"),
            "UNKNOWN": self.env._("Unknown"),
        }
        for row in self:
            # Shopify adds kinds with new versions of its interface
            row.kind_name = kinds.get(row.kind) or row.kind.replace("_", " ").capitalize()
            row.status_name = statuses.get(row.status) or row.status.replace("_", " ").capitalize()

    @api.depends("kind_name", "gateway_name")
    def _compute_display_name(self):
        for row in self:
            row.display_name = " · ".join(filter(None, (row.kind_name, row.gateway_name)))

    # === BUSINESS METHODS === #

    @api.model
    def _follow(self, backend, items):
        """Note the transactions of orders, and register the money that moved.

        :param list[Item] items: with ``record`` (the sales order), ``data`` and, in ``values``,
            what the order's ``_map`` prepared. Money that cannot be booked yet is told in
            ``item.seen``, ``item.notes`` and a to-do on the order; the next import books it.
        """
        if not items:
            return
        transactions = self.with_company(backend.company_id)
        rows = transactions._note(backend, items)
        transactions._note_actions(items)
        problems = defaultdict(list)
        transactions._book_money(backend, items, rows, problems)
        transactions._note_settled(backend, items, rows)
        orders = self.env["sale.order"].union(*(item.record for item in items))
        for order, problem in transactions._reconcile(orders, anew=True).items():
            problems[order].append(problem)
        for item in items:
            item.notes += problems[item.record]
        transactions._remind(backend, orders, problems)

    # === NOTING === #

    @api.model
    def _note(self, backend, items):
        """Create or bring up to date the rows of all transactions; returns them by order."""
        known = {
            row.external_id: row
            for row in self.search(
                [
                    ("backend_id", "=", backend.id),
                    ("order_id", "in", [item.record.id for item in items]),
                ]
            )
        }
        currencies = self._currencies(items)
        missing = []
        for item in items:
            for data in sorted(item.data.transactions, key=lambda row: (row.createdAt, row.id)):
                vals = self._values(backend, item, data, currencies)
                row = known.get(data.id)
                if row:
                    row._write_changes(vals)
                else:
                    missing.append(vals)
        rows = self.union(*known.values()) | self.create(missing)
        return rows.grouped("order_id")

    @api.model
    def _note_actions(self, items):
        """Note what can be done about the money of the orders from Odoo."""
        for item in items:
            vals = {
                "shopify_capturable": item.data.capturable,
                "shopify_can_mark_as_paid": item.data.canMarkAsPaid,
            }
            if any(item.record[name] != value for name, value in vals.items()):
                item.record.write(vals)

    @api.model
    def _currencies(self, items):
        codes = {
            money.currencyCode
            for item in items
            for data in item.data.transactions
            for money in (data.amountSet.shopMoney, data.amountSet.presentmentMoney)
        }
        # a currency that only Shopify deals in need not be active in Odoo
        found = self.env["res.currency"].with_context(active_test=False)
        return {row.name: row for row in found.search([("name", "in", list(codes))])}

    @api.model
    def _values(self, backend, item, data, currencies):
        shop, paid = data.amountSet.shopMoney, data.amountSet.presentmentMoney
        booked = shop if backend.shopify_currency_policy == "shop" else paid

        def currency(money):
            return currencies[money.currencyCode].id if money.currencyCode in currencies else False

        return {
            "order_id": item.record.id,
            "backend_id": backend.id,
            "company_id": backend.company_id.id,
            "external_id": data.id,
            "parent_ref": data.parentTransaction.id if data.parentTransaction else False,
            "processed_at": data.moved_at.replace(microsecond=0),
            "kind": data.kind,
            "status": data.status,
            "gateway": data.gateway,
            "gateway_name": data.formattedGateway or data.gateway,
            "payment_ref": data.paymentId,
            "test": data.test,
            "authorization_expires_at": data.authorizationExpiresAt
            and data.authorizationExpiresAt.replace(microsecond=0),
            "multi_capturable": data.multiCapturable,
            "currency_id": currency(booked) or item.record.currency_id.id,
            "amount": float(booked.amount),
            "shop_currency_id": currency(shop),
            "shop_amount": float(shop.amount),
            "presentment_currency_id": currency(paid),
            "presentment_amount": float(paid.amount),
        }

    def _write_changes(self, vals):
        """Write what differs."""
        changes = {}
        for name, value in vals.items():
            field = self._fields[name]
            present = self[name].id if field.type == "many2one" else self[name]
            if field.type == "monetary":
                currency = self[field.currency_field or "currency_id"]
                same = not (
                    currency.compare_amounts(present, value) if currency else present != value
                )
            else:
                same = (present or False) == (value or False)
            if not same:
                changes[name] = value
        if changes:
            self.write(changes)

    # === REGISTERING === #

    @api.model
    def _book_money(self, backend, items, rows, problems):
        """Make a payment of each transaction that moved money and has none yet.

        :param dict rows: the transactions by order.
        :param problems: ``{order: [text]}``, filled with why money is not booked.
        """
        pending, texts = [], {}
        journals = self._journals(backend, items, rows)
        for item in items:
            decision = item.values["decision"]
            due = [
                row
                for row in rows.get(item.record, self)
                if decision.register_payment and row._is_bookable(backend)
            ]
            by_hand = self._paid_by_hand(item.record) if due else ""
            for row in due:
                if by_hand:
                    texts[row] = by_hand
                    problems[item.record].append(by_hand)
                    continue
                # a gateway need not be one of those the order was placed with
                mapped = journals.get(row.gateway)
                if not mapped and row.gateway not in item.data.paymentGatewayNames:
                    item.seen.append(
                        MissingValue("payment_method", row.gateway, row.gateway_name or row.gateway)
                    )
                vals, problem = row._payment_values(backend, mapped or decision.journal)
                texts[row] = problem
                if problem:
                    problems[item.record].append(problem)
                else:
                    pending.append((row, vals))
        for row, problem in texts.items():
            if (row.note or "") != problem:
                row.note = problem
        if not pending:
            return
        payments = self.env["account.payment"].create([vals for _row, vals in pending])
        for (row, _vals), payment in zip(pending, payments, strict=True):
            row.payment_id = payment
        payments.action_post()

    @api.model
    def _paid_by_hand(self, order):
        """Return why nothing is registered of an order that somebody has settled in Odoo."""
        own = order.shopify_transaction_ids.payment_id
        settled = order.invoice_ids.filtered(
            lambda move: move.state == "posted" and move.payment_state in ("paid", "in_payment")
        )
        # payments of a journal without an account of its own are matched without being reconciled
        found = settled._get_reconciled_payments() | settled.matched_payment_ids
        others = found - own
        if not others:
            return ""
        return self.env._(
            "%(order)s was already paid in Odoo by %(payments)s, so its payments in Shopify are "
            "not registered beside them. If that is another payment, register this one by hand.",
            order=order.name,
            payments=", ".join(others.mapped("display_name")),
        )

    def _is_bookable(self, backend):
        """Whether it moved money that has no payment yet and belongs into the books."""
        return bool(
            self._is_money()
            and not self.payment_id
            and not self.currency_id.is_zero(self.amount)
            and not self._is_only_test(backend)
        )

    def _is_money(self):
        return self.kind in MONEY and self.status == SUCCESS

    def _is_only_test(self, backend):
        return (
            self.test
            and backend.environment == "production"
            and not backend.shopify_import_test_orders
        )

    @api.model
    def _journals(self, backend, items, rows):
        """Return ``{gateway: account.journal}`` of what is mapped."""
        wanted = {
            row.gateway: row.gateway_name or row.gateway
            for item in items
            for row in rows.get(item.record, self)
            if row.gateway and row._is_bookable(backend)
        }
        if not wanted:
            return {}
        return self.env["integration.mapping"]._values(backend, "payment_method", wanted)

    def _payment_values(self, backend, journal):
        """Return ``(values of the payment, "")``, or ``({}, why it cannot be made)``."""
        order = self.order_id
        if not journal:
            return {}, self.env._(
                "%(amount)s of %(order)s paid with %(gateway)s is not booked, because this way to "
                "pay has no journal. Choose one under Value Mappings of %(backend)s; the payment "
                "is then booked by itself.",
                amount=self.currency_id.format(self.amount),
                order=order.name,
                gateway=self.gateway_name or self.env._("an unknown gateway"),
                backend=backend.name,
            )
        direction = "inbound" if self.kind in RECEIVED else "outbound"
        methods = journal._get_available_payment_method_lines(direction)
        method = methods.filtered(lambda line: line.code == "manual")[:1] or methods[:1]
        if journal.type not in ("bank", "cash", "credit") or not method:
            return {}, self.env._(
                "%(amount)s of %(order)s is not booked, because the journal %(journal)s cannot be "
                "used for it. Choose a bank or cash journal with an incoming and an outgoing "
                "payment method for %(gateway)s under Value Mappings of %(backend)s.",
                amount=self.currency_id.format(self.amount),
                order=order.name,
                journal=journal.display_name,
                gateway=self.gateway_name,
                backend=backend.name,
            )
        account = self._outstanding_account(backend.company_id, method, direction)
        if not account:
            return {}, self.env._(
                "%(amount)s of %(order)s is not booked, because the payment method %(method)s of "
                "the journal %(journal)s has no outstanding account. Set one on that method under "
                "Accounting > Configuration > Journals, then import the order again.",
                amount=self.currency_id.format(self.amount),
                order=order.name,
                method=method.name,
                journal=journal.display_name,
            )
        partner = order.partner_invoice_id.commercial_partner_id
        receivable = order.fiscal_position_id.map_account(partner.property_account_receivable_id)
        return {
            "payment_type": direction,
            "partner_type": "customer",
            "partner_id": partner.id,
            "company_id": backend.company_id.id,
            "amount": self.amount,
            "currency_id": self.currency_id.id,
            "date": clock.local_date(self.processed_at, backend.shopify_timezone),
            "journal_id": journal.id,
            "payment_method_line_id": method.id,
            # without one Odoo makes no journal entry in some editions
            "outstanding_account_id": account.id,
            "destination_account_id": receivable.id,
            "memo": self._memo(),
        }, ""

    @api.model
    def _outstanding_account(self, company, method, direction):
        chart = self.env["account.chart.template"].with_context(
            allowed_company_ids=company.root_id.ids
        )
        return (
            method.payment_account_id
            or chart.ref(OUTSTANDING[direction], raise_if_not_found=False)
            or company.transfer_account_id
        )

    def _memo(self):
        """Return what names the payment on both sides: ``#1001 #1001.1``, or the number of it."""
        name = self.order_id.client_order_ref or self.order_id.name
        reference = self.payment_ref or self.external_id.rsplit("/", 1)[-1]
        return f"{name} {reference}"

    # === RECONCILING === #

    @api.model
    def _reconcile(self, orders, anew=False):
        """Settle the invoices and credit notes of orders with their Shopify payments.

        Which money pays which document follows from all of them together, see
        :func:`..lib.matching.match`: payments pay invoices and refunds credit notes, oldest first;
        then credit notes lower invoices, and money given back what was received. So it does not
        matter in which steps they came. What somebody matched with other entries stays.

        :param anew: also when nothing can be matched further: what was matched on the way may
            belong elsewhere now. Else what somebody matched by hand among these stays, too.
        :returns: ``{order: why it could not be done}``.
        """
        plan, wrong, problems = [], self.env["account.partial.reconcile"], {}
        books = self._books(orders)
        for book in books:
            problem = self._exchange_problem(book.order)
            if problem:
                problems[book.order] = problem
                continue
            for lines in book.lines.grouped("account_id").values():
                steps, undo = self._match_lines(book, lines, anew)
                plan += steps
                wrong |= undo
        wrong.unlink()
        if plan:
            self.env["account.move.line"]._reconcile_plan(plan)
        for book in books:
            if book.order not in problems:
                self._write_off(book)
        return problems

    @api.model
    def _books(self, orders):
        """Return a :class:`_Book` of each order that has payments, or credit notes to settle."""
        none = self.browse()
        rows = self.search([("order_id", "in", orders.ids)]).grouped("order_id")
        agreements = self.env["integration.shopify.agreement"].search(
            [("order_id", "in", orders.ids)]
        )
        entries = agreements.grouped("order_id")
        nothing = agreements.browse()
        orders = orders.filtered(
            lambda order: (
                rows.get(order, none).payment_id
                or (
                    # money that Odoo does not book is matched by people
                    not any(row._is_money() for row in rows.get(order, none))
                    and "out_refund" in entries.get(order, nothing).move_id.mapped("move_type")
                )
            )
        )
        agreements = agreements.filtered(lambda row: row.order_id in orders)
        payments = none.union(*(rows.get(order, none) for order in orders)).payment_id
        # of all orders at once: what is taken from them below costs no query for each
        everything = (orders.invoice_ids | agreements.move_id | payments.move_id).line_ids.filtered(
            lambda line: (
                line.account_id.account_type == "asset_receivable" and line.parent_state == "posted"
            )
        )
        by_move = everything.grouped("move_id")
        (everything.matched_debit_ids | everything.matched_credit_ids).mapped("amount")
        books = []
        for order in orders:
            own = entries.get(order, nothing)
            documents = (order.invoice_ids | own.move_id).filtered(
                lambda move: move.state == "posted"
            )
            lines = (
                everything.browse()
                .union(
                    *(
                        by_move.get(move, everything.browse())
                        for move in documents | rows.get(order, none).payment_id.move_id
                    )
                )
                .filtered(lambda line, order=order: line.currency_id == order.currency_id)
            )
            books.append(_Book(order, rows.get(order, none), own, documents, lines))
        return books

    @api.model
    def _match_lines(self, book, lines, anew):
        """Return ``([lines to reconcile, pair by pair], partial reconciliations to undo)``."""
        nothing = self.env["account.partial.reconcile"]
        currency = book.order.currency_id
        sides = {
            line.amount_residual_currency > 0
            for line in lines
            if not currency.is_zero(line.amount_residual_currency)
        }
        if len(sides) < 2 and not anew:
            return [], nothing
        inner = (lines.matched_debit_ids | lines.matched_credit_ids).filtered(
            lambda part: part.debit_move_id in lines and part.credit_move_id in lines
        )
        wanted = {
            (row.debit, row.credit): row.amount
            for row in matching.match(self._entries(book, lines, inner))
        }
        kept = inner.filtered(
            lambda part: (
                wanted.get((part.debit_move_id, part.credit_move_id))
                == self._exact(currency, part.debit_amount_currency)
            )
        )
        done = {(part.debit_move_id, part.credit_move_id) for part in kept}
        steps = [debit | credit for debit, credit in wanted if (debit, credit) not in done]
        return steps, inner - kept

    @api.model
    def _entries(self, book, lines, inner):
        """Return the lines as :class:`..lib.matching.Entry`, those of one moment in a fixed order.

        :param inner: reconciliations among them, which are open to be made anew.
        """
        ledger = book.agreements.grouped("move_id")
        money = {row.payment_id.move_id: row for row in book.rows}
        entries = []
        for line in lines:
            free = abs(line.amount_residual_currency)
            free += sum(p.debit_amount_currency for p in inner if p.debit_move_id == line)
            free += sum(p.credit_amount_currency for p in inner if p.credit_move_id == line)
            row, booked = money.get(line.move_id), ledger.get(line.move_id)
            if row:
                kind = matching.PAYMENT if line.balance < 0 else matching.REFUND
                at, name = row.processed_at, row.external_id
            else:
                kind = matching.INVOICE if line.balance > 0 else matching.CREDIT_NOTE
                day = line.move_id.invoice_date or line.move_id.date
                at = booked[0].happened_at if booked else datetime.combine(day, time.min)
                name = booked[0].external_id if booked else ""
            # ids of Shopify count up: the longer is the later one
            key = (at, len(name), name, line.date_maturity or line.date, line.id)
            amount = self._exact(book.order.currency_id, free)
            entries.append((key, matching.Entry(line, kind, at, amount)))
        return [entry for _key, entry in sorted(entries, key=lambda pair: pair[0])]

    @api.model
    def _exact(self, currency, amount):
        return Decimal(str(currency.round(amount)))

    @api.model
    def _exchange_problem(self, order):
        """Return why differences of exchange rates of the order cannot be booked, or ""."""
        company = order.company_id
        if order.currency_id == company.currency_id and not order.shopify_settled_at:
            return ""
        if (
            company.currency_exchange_journal_id
            and company.income_currency_exchange_account_id
            and company.expense_currency_exchange_account_id
        ):
            return ""
        return self.env._(
            "The payments of %(order)s are not matched with its invoices, because %(company)s has "
            "no accounts for differences of exchange rates. Set the journal, the gain and the loss "
            "account under Accounting > Configuration > Settings > Default Accounts, then import "
            "the order again.",
            order=order.name,
            company=company.name,
        )

    # === EXCHANGE DIFFERENCES === #

    @api.model
    def _note_settled(self, backend, items, rows):
        """Remember which orders are paid in full in the buyer's currency, booked in the shop's.

        Shopify keeps both sides of each amount, without a constant rate between them: an order of
        9.00 USD or 13.50 CAD is paid by 9.00 USD or 12.77 CAD, and nothing is due. What is open in
        the currency of the shop then is a difference of exchange rates.
        """
        for item in items:
            data, settled = item.data, False
            if backend.shopify_currency_policy == "shop" and (
                data.currencyCode != data.presentmentCurrencyCode
            ):
                money = rows.get(item.record, self)
                if (
                    data.totalOutstandingSet
                    and data.totalOutstandingSet.presentmentMoney == 0
                    # of money that is only promised nothing is outstanding, either
                    and not money._is_promised()
                ):
                    ledger = item.record.shopify_agreement_ids
                    settled = max(ledger.mapped("happened_at"), default=False)
            if item.record.shopify_settled_at != settled:
                item.record.shopify_settled_at = settled

    def _is_promised(self):
        """Whether money of these transactions is still to come."""
        return bool(self._open_authorizations()) or any(
            row.status not in (SUCCESS, "FAILURE", "ERROR") and row.kind in MONEY for row in self
        )

    def _open_authorizations(self):
        """Return ``{authorization: amount left, in the buyer's currency}``.

        A capture ends its authorization, whatever its amount, unless Shopify allows several.
        """
        left = {}
        for row in self:
            if row.kind != "AUTHORIZATION" or row.status != SUCCESS:
                continue
            taken = self.filtered(
                lambda child, row=row: (
                    child.parent_ref == row.external_id
                    and child.kind in ("CAPTURE", "VOID")
                    and child.status in money_steps.DONE
                )
            )
            if taken and (not row.multi_capturable or "VOID" in taken.mapped("kind")):
                continue
            currency = row.presentment_currency_id or row.currency_id
            amount = currency.round(
                row.presentment_amount - sum(taken.mapped("presentment_amount"))
            )
            if currency.compare_amounts(amount, 0) > 0:
                left[row] = amount
        return left

    @api.model
    def _write_off(self, book):
        """Book what is open of a settled order as difference of exchange rates.

        Only where the books hold the whole ledger and all the money. The entries of an order add up
        to one gain or one loss, however many there are: a later one first takes back the former.
        """
        order, company = book.order, book.order.company_id
        still_open = book.lines.filtered(lambda line: not line.reconciled)
        if (
            not still_open
            or not order.shopify_settled_at
            or order.shopify_settled_at != max(book.agreements.mapped("happened_at"), default=None)
            or not self._is_complete(book)
        ):
            return
        loss, gain = (
            company.expense_currency_exchange_account_id,
            company.income_currency_exchange_account_id,
        )
        Move = self.env["account.move"]
        former = Move.search([("shopify_exchange_order_id", "=", order.id)]).line_ids
        booked = {
            account: sum(line.balance for line in former if line.account_id == account)
            for account in (loss, gain)
        }
        total = sum(booked.values()) + sum(still_open.mapped("amount_residual"))
        wanted = {loss: max(total, 0.0), gain: min(total, 0.0)}
        name = self.env._("Exchange difference of %s", order.name)
        common = {"name": name, "partner_id": still_open.partner_id[:1].id}
        counterparts = [
            {
                **common,
                "account_id": line.account_id.id,
                "partner_id": line.partner_id.id,
                "currency_id": line.currency_id.id,
                "amount_currency": -line.amount_residual_currency,
                "balance": -line.amount_residual,
            }
            for line in still_open
        ]
        results = [
            {
                **common,
                "account_id": account.id,
                "currency_id": company.currency_id.id,
                "amount_currency": wanted[account] - booked[account],
                "balance": wanted[account] - booked[account],
            }
            for account in (loss, gain)
            if not company.currency_id.is_zero(wanted[account] - booked[account])
        ]
        move = Move.create(
            {
                "move_type": "entry",
                "journal_id": company.currency_exchange_journal_id.id,
                "date": max(book.lines.mapped("date")),
                "ref": order.client_order_ref or order.name,
                "shopify_exchange_order_id": order.id,
                "line_ids": [Command.create(vals) for vals in counterparts + results],
            }
        )
        move._post(soft=False)
        others = move.line_ids.sorted("id")[: len(still_open)]
        self.env["account.move.line"]._reconcile_plan(
            [line | other for line, other in zip(still_open, others, strict=True)]
        )

    @api.model
    def _is_complete(self, book):
        """Whether the posted documents are the ledger, and all money is booked."""
        currency = book.order.currency_id
        signed = sum(
            move.amount_total if move.move_type == "out_invoice" else -move.amount_total
            for move in book.documents
        )
        return not currency.compare_amounts(
            signed, sum(book.agreements.mapped("amount_total"))
        ) and all(
            row.payment_id.move_id.state == "posted" or row.currency_id.is_zero(row.amount)
            for row in book.rows
            if row._is_money()
        )

    # === TO-DO === #

    @api.model
    def _remind(self, backend, orders, problems):
        """Leave one to-do on each order whose money is not booked, and take back those solved."""
        kind = self.env.ref(TODO)
        todos = self.env["mail.activity"].search(
            [
                ("res_model", "=", "sale.order"),
                ("res_id", "in", orders.ids),
                ("activity_type_id", "=", kind.id),
            ]
        )
        by_order = todos.grouped("res_id")
        for order in orders:
            texts, todo = problems.get(order), by_order.get(order.id, todos.browse())
            note = plaintext2html("\n".join(dict.fromkeys(texts))) if texts else ""
            if not note:
                todo.unlink()
            elif todo:
                if html2plaintext(todo[0].note) != html2plaintext(note):
                    todo[0].note = note
            else:
                user = backend._in_charge("account.group_account_invoice", before=order.user_id)
                order.activity_schedule(TODO, user_id=user.id, note=note)
