from contextlib import contextmanager
from datetime import date, datetime
from unittest.mock import patch

from odoo.fields import Command
from odoo.tests import tagged
from odoo.tools import html2plaintext

from .common import ShopifyCase, agreement, agreements, line, order, refund, sale


def transaction(number, kind="SALE", amount="10.0", *, day=20, currency="USD", shop=None, **extra):
    """Return a transaction of a day in November; ``shop`` is (amount, currency) of the shop."""
    at = f"2026-11-{day:02}T10:00:0{number % 10}Z"
    shop_amount, shop_currency = shop or (amount, currency)
    return {
        "id": f"gid://shopify/OrderTransaction/{number}",
        "kind": kind,
        "status": "SUCCESS",
        "gateway": "bogus",
        "formattedGateway": "Bogus Gateway",
        "paymentId": f"#1.{number}",
        "test": False,
        "processedAt": at,
        "createdAt": at,
        "authorizationExpiresAt": None,
        "parentTransaction": None,
        "amountSet": {
            "shopMoney": {"amount": shop_amount, "currencyCode": shop_currency},
            "presentmentMoney": {"amount": amount, "currencyCode": currency},
        },
        **extra,
    }


def parent(number):
    return {"parentTransaction": {"id": f"gid://shopify/OrderTransaction/{number}"}}


class PaymentCase(ShopifyCase):
    """The shop's company has a chart of accounts, and a bank journal for the gateway ``bogus``."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls._give_chart()
        cls.bank = cls.env["account.journal"].create(
            {"name": "Shopify Payments", "code": "SHOP", "type": "bank"}
        )
        cls.rule = cls.env["integration.shopify.rule"].create(
            {"backend_id": cls.backend.id, "register_payment": "register"}
        )

    @classmethod
    def _give_chart(cls):
        template = cls.env["account.chart.template"]
        if not cls.company.chart_template:
            template.try_loading("generic_coa", cls.company, install_demo=False)
        cls.product.taxes_id = False

    def map_gateway(self, gateway="bogus", journal=None):
        journal = journal or self.bank
        return self.env["integration.mapping"].create(
            {
                "backend_id": self.backend.id,
                "kind": "payment_method",
                "external_value": gateway,
                "resource_ref": f"account.journal,{journal.id}",
            }
        )

    def place(self, *transactions, total="10.0", number=1, minute=0, **extra):
        """Import the order in the version that has these transactions."""
        payload = order(
            number,
            [line(number, total)],
            total,
            paymentGatewayNames=["bogus"],
            transactions=list(transactions),
            **{"updatedAt": f"2026-11-20T10:{minute:02}:01Z", **extra},
        )
        return self.import_one(payload)

    def run_waiting(self):
        """Run what a mapping has made due."""
        self.env.flush_all()
        with self.enter_registry_test_mode():
            self.env["integration.engine"]._drain(self.flow.id)
        self.env.invalidate_all()

    def invoice(self, sale, day=20):
        moves = sale._create_invoices(final=True)
        moves.invoice_date = date(2026, 11, day)
        moves.action_post()
        return moves

    def credit(self, invoice, amount, day=20):
        """Credit a part of an invoice, as an accountant does."""
        sale_line = invoice.invoice_line_ids.sale_line_ids
        note = self.env["account.move"].create(
            {
                "move_type": "out_refund",
                "partner_id": invoice.partner_id.id,
                "invoice_date": date(2026, 11, day),
                "currency_id": invoice.currency_id.id,
                "invoice_line_ids": [
                    Command.create(
                        {
                            "name": "Credit",
                            "quantity": 1,
                            "price_unit": amount,
                            "tax_ids": False,
                            "sale_line_ids": [Command.set(sale_line.ids)],
                        }
                    )
                ],
            }
        )
        note.action_post()
        return note

    def payments(self, sale):
        return sale.shopify_transaction_ids.payment_id.sorted("id")

    def todos(self, sale):
        return sale.activity_ids.filtered(
            lambda todo: (
                todo.activity_type_id
                == self.env.ref("integration_shopify.mail_activity_type_payment")
            )
        )


@tagged("post_install", "-at_install")
class TestTransactions(PaymentCase):
    def test_payment(self):
        self.map_gateway()
        self.backend.shopify_timezone = "America/New_York"
        late = {"processedAt": "2026-11-21T03:00:00Z"}
        sale = self.place(transaction(7, amount="10.0", **late))
        payment = self.payments(sale)
        self.assertRecordValues(
            payment,
            [
                {
                    "payment_type": "inbound",
                    "partner_type": "customer",
                    "partner_id": sale.partner_invoice_id.commercial_partner_id.id,
                    "amount": 10.0,
                    "currency_id": sale.currency_id.id,
                    "date": date(2026, 11, 20),
                    "journal_id": self.bank.id,
                    "memo": "#1 #1.7",
                }
            ],
        )
        self.assertEqual(payment.move_id.state, "posted")
        self.assertIn(payment.state, ("in_process", "paid"))
        row = sale.shopify_transaction_ids
        self.assertEqual(row.kind_name, "Payment")
        self.assertEqual(row.status_name, "Done")
        self.assertEqual(row.gateway_name, "Bogus Gateway")
        self.assertEqual(row.processed_at, datetime(2026, 11, 21, 3))
        self.assertFalse(self.todos(sale))

    def test_money_is_booked_once(self):
        self.map_gateway()
        sale = self.place(transaction(1))
        for minute in (1, 2):
            self.place(transaction(1), transaction(2, "REFUND", "4.0", **parent(1)), minute=minute)
        payments = self.payments(sale)
        self.assertEqual(payments.mapped("payment_type"), ["inbound", "outbound"])
        self.assertEqual(payments.mapped("amount"), [10.0, 4.0])
        self.assertEqual(
            self.env["account.payment"].search_count([("partner_id", "=", payments.partner_id.id)]),
            2,
        )

    def test_nothing_is_booked_unless_a_rule_says_so(self):
        self.map_gateway()
        self.rule.active = False
        sale = self.place(transaction(1))
        self.assertEqual(len(sale.shopify_transaction_ids), 1)
        self.assertFalse(self.payments(sale))
        self.assertFalse(self.todos(sale))

    def test_promises_are_no_money(self):
        self.map_gateway()
        sale = self.place(
            transaction(1, "AUTHORIZATION"),
            transaction(2, "EMV_AUTHORIZATION"),
            transaction(3, "SALE", status="PENDING"),
            transaction(4, "SALE", status="FAILURE"),
            transaction(5, "SALE", status="ERROR"),
            transaction(6, "VOID", "0.0", **parent(1)),
        )
        self.assertEqual(len(sale.shopify_transaction_ids), 6)
        self.assertFalse(self.payments(sale))
        self.assertFalse(self.todos(sale))

    def test_case_16_void(self):
        self.map_gateway()
        sale = self.place(transaction(1, "AUTHORIZATION", "25.0"), total="25.0")
        left = sale.shopify_transaction_ids._open_authorizations()
        self.assertEqual(list(left.values()), [25.0])
        self.place(
            transaction(1, "AUTHORIZATION", "25.0"),
            transaction(2, "VOID", "0.0", **parent(1)),
            total="25.0",
            minute=1,
            displayFinancialStatus="VOIDED",
        )
        self.assertFalse(sale.shopify_transaction_ids._open_authorizations())
        self.assertFalse(self.payments(sale))

    def test_case_17_failed_authorization(self):
        self.map_gateway()
        failed = transaction(1, "AUTHORIZATION", "25.0", status="FAILURE")
        sale = self.place(failed, total="25.0", displayFinancialStatus=None)
        self.assertFalse(self.payments(sale))
        self.assertFalse(sale.shopify_transaction_ids._open_authorizations())

    def test_captures_in_parts(self):
        self.map_gateway()
        rows = [
            transaction(1, "AUTHORIZATION", "25.0", multiCapturable=True),
            transaction(2, "CAPTURE", "10.0", **parent(1)),
            transaction(3, "CAPTURE", "5.5", **parent(1)),
        ]
        sale = self.place(*rows, total="25.0")
        self.assertEqual(self.payments(sale).mapped("amount"), [10.0, 5.5])
        left = sale.shopify_transaction_ids._open_authorizations()
        self.assertEqual(list(left.values()), [9.5])
        rows[0]["multiCapturable"] = False
        self.place(*rows, total="25.0", minute=1)
        self.assertFalse(sale.shopify_transaction_ids._open_authorizations())

    def test_pending_money_is_booked_when_it_came(self):
        self.map_gateway()
        sale = self.place(transaction(1, status="PENDING"))
        self.assertFalse(self.payments(sale))
        self.place(transaction(1), minute=1)
        self.assertEqual(self.payments(sale).mapped("amount"), [10.0])

    def test_gateway_without_journal(self):
        sale = self.place(transaction(1), transaction(2, gateway="gift_card", formattedGateway=""))
        self.assertFalse(self.payments(sale))
        todo = self.todos(sale)
        self.assertEqual(len(todo), 1)
        for text in ("Bogus Gateway", "gift_card", "Value Mappings", self.backend.name):
            self.assertIn(text, html2plaintext(todo.note))
        offered = self.env["integration.mapping"].search(
            [("backend_id", "=", self.backend.id), ("kind", "=", "payment_method")]
        )
        self.assertEqual(set(offered.mapped("external_value")), {"bogus", "gift_card"})
        # one to-do, however often it is imported, until all of it is booked
        bogus = offered.filtered(lambda row: row.external_value == "bogus")
        bogus.resource_ref = f"account.journal,{self.bank.id}"
        self.run_waiting()
        self.assertEqual(len(self.payments(sale)), 1)
        self.assertNotIn("Bogus", html2plaintext(self.todos(sale).note))
        (offered - bogus).resource_ref = f"account.journal,{self.bank.id}"
        self.run_waiting()
        self.assertEqual(len(self.payments(sale)), 2)
        self.assertFalse(self.todos(sale))
        self.assertFalse(any(sale.shopify_transaction_ids.mapped("note")))

    def test_journal_of_the_rule(self):
        self.rule.journal_id = self.bank
        sale = self.place(transaction(1))
        self.assertEqual(self.payments(sale).journal_id, self.bank)

    def test_journal_that_cannot_take_money(self):
        sales = self.env["account.journal"].search(
            [("type", "=", "sale"), ("company_id", "=", self.company.id)], limit=1
        )
        self.map_gateway(journal=sales)
        sale = self.place(transaction(1))
        self.assertFalse(self.payments(sale))
        self.assertIn("bank or cash journal", html2plaintext(self.todos(sale).note))

    def test_no_outstanding_account(self):
        self.map_gateway()
        Transactions = type(self.env["integration.shopify.transaction"])
        with patch.object(
            Transactions,
            "_outstanding_account",
            lambda own, *_arguments: own.env["account.account"],
        ):
            sale = self.place(transaction(1))
        self.assertFalse(self.payments(sale))
        self.assertIn("outstanding account", html2plaintext(self.todos(sale).note))

    def test_outstanding_account_of_the_payment_method(self):
        self.map_gateway()
        account = self.env["account.account"].create(
            {
                "name": "Shopify clearing",
                "code": "101499",
                "account_type": "asset_current",
                "reconcile": True,
            }
        )
        self.bank.inbound_payment_method_line_ids.payment_account_id = account
        sale = self.place(transaction(1))
        self.assertEqual(self.payments(sale).outstanding_account_id, account)
        self.assertIn(account, self.payments(sale).move_id.line_ids.account_id)

    def test_test_money_is_not_booked(self):
        self.map_gateway()
        self.backend.state = "draft"
        self.backend.write({"environment": "production", "state": "active"})
        sale = self.place(transaction(1, test=True))
        self.assertFalse(self.payments(sale))
        self.assertFalse(self.todos(sale))
        self.backend.shopify_import_test_orders = True
        self.place(transaction(1, test=True), minute=1, note="Thanks")
        self.assertEqual(len(self.payments(sale)), 1)

    def test_more_transactions_than_come_along(self):
        self.map_gateway()
        rows = [transaction(number, amount="1.0", day=10) for number in range(10, 34)]
        sale = self.place(*rows, total="24.0")
        self.assertEqual(len(self.payments(sale)), 24)
        self.assertIn("order_transactions", [name for name, _variables in self.shop.calls])

    def test_queries_of_a_batch(self):
        """Following twice as many orders costs the same for each, and no more than before."""
        self.map_gateway()
        Transactions = self.env.registry["integration.shopify.transaction"]
        follow, counts = Transactions._follow, []

        def counted(own, backend, items):
            own.env.flush_all()
            before = own.env.cr.sql_log_count
            follow(own, backend, items)
            own.env.flush_all()
            counts.append((len(items), own.env.cr.sql_log_count - before))

        def batch(first, size, note):
            payloads = [
                order(
                    number,
                    [line(number, "10.0")],
                    "10.0",
                    paymentGatewayNames=["bogus"],
                    transactions=[transaction(number)],
                    note=note,
                    updatedAt=f"2026-11-20T10:0{len(counts)}:01Z",
                )
                for number in range(first, first + size)
            ]
            self.drain(*payloads)

        with patch.object(Transactions, "_follow", counted):
            batch(100, 5, "first")
            batch(200, 5, "first")
            batch(300, 10, "first")
            batch(300, 10, "again")
        (_size, _warm), (_small, few), (_large, many), (size, again) = counts
        self.assertEqual(size, 10)
        per_order = (many - few) / 5
        self.assertLess(per_order, 20, counts)
        # nothing new: some queries of the batch, none of each order
        self.assertLess(again, 20, counts)

    def test_change(self):
        self.map_gateway()
        sale = self.place(
            transaction(1, amount="20.0"),
            transaction(2, "CHANGE", "3.0", **parent(1)),
            total="17.0",
        )
        self.invoice(sale)
        self.assertEqual(self.payments(sale).mapped("payment_type"), ["inbound", "outbound"])
        self.assertEqual(sale.invoice_ids.amount_residual, 0.0)
        self.assertEqual(self.payments(sale).mapped("is_reconciled"), [True, True])


@tagged("post_install", "-at_install")
class TestReconciliation(PaymentCase):
    def setUp(self):
        super().setUp()
        self.map_gateway()

    @contextmanager
    def fresh(self):
        """Run in a savepoint that is undone, so that other histories of the same start fit in."""
        with self.env.cr.savepoint(flush=True) as savepoint:
            yield
            savepoint.rollback()
            self.env.invalidate_all()

    def state(self, sale):
        """What is left of each document and payment, and who pays whom."""
        documents = sale.invoice_ids.sorted("amount_total")
        lines = (documents | self.payments(sale).move_id).line_ids.filtered(
            lambda row: row.account_id.account_type == "asset_receivable"
        )
        return (
            [(doc.move_type, doc.amount_total, doc.amount_residual) for doc in documents],
            [(pay.payment_type, pay.amount, pay.is_reconciled) for pay in self.payments(sale)],
            sorted(
                (part.debit_move_id.balance, part.credit_move_id.balance, part.amount)
                for part in lines.matched_debit_ids | lines.matched_credit_ids
            ),
        )

    def test_invoice_after_payment(self):
        sale = self.place(transaction(1))
        invoice = self.invoice(sale)
        self.assertEqual(invoice.amount_residual, 0.0)
        self.assertIn(invoice.payment_state, ("paid", "in_payment"))
        self.assertTrue(self.payments(sale).is_reconciled)

    def test_payment_after_invoice(self):
        sale = self.place(transaction(1, status="PENDING"))
        invoice = self.invoice(sale)
        self.assertEqual(invoice.amount_residual, 10.0)
        self.place(transaction(1), minute=1)
        self.assertEqual(invoice.amount_residual, 0.0)

    def test_paid_in_parts(self):
        sale = self.place(transaction(1, amount="4.0"))
        invoice = self.invoice(sale)
        self.assertEqual(invoice.amount_residual, 6.0)
        self.assertEqual(invoice.payment_state, "partial")
        self.place(transaction(1, amount="4.0"), transaction(2, amount="6.0"), minute=1)
        self.assertEqual(invoice.amount_residual, 0.0)

    def test_case_14_amount_only_refund(self):
        sale = self.place(transaction(1))
        invoice = self.invoice(sale)
        note = self.credit(invoice, 1.0)
        self.assertEqual(note.amount_residual, 1.0)
        self.place(transaction(1), transaction(2, "REFUND", "1.0", **parent(1)), minute=1)
        self.assertEqual(note.amount_residual, 0.0)
        self.assertEqual(invoice.amount_residual, 0.0)
        refund = self.payments(sale)[-1]
        self.assertEqual((refund.payment_type, refund.amount), ("outbound", 1.0))
        self.assertEqual(refund.journal_id, self.bank)

    def test_case_15_pending_refund(self):
        sale = self.place(transaction(1, amount="277.61"), total="277.61")
        note = self.credit(self.invoice(sale), 277.61)
        refund = transaction(2, "REFUND", "277.61", status="PENDING", **parent(1))
        self.place(transaction(1, amount="277.61"), refund, total="277.61", minute=1)
        self.assertEqual(self.payments(sale).mapped("amount"), [277.61])
        self.assertEqual(note.amount_residual, 277.61)
        refund = transaction(2, "REFUND", "277.61", **parent(1))
        self.place(transaction(1, amount="277.61"), refund, total="277.61", minute=2)
        self.assertEqual(note.amount_residual, 0.0)

    def test_credit_note_before_the_rest_is_paid(self):
        sale = self.place(transaction(1, amount="4.0"))
        invoice = self.invoice(sale)
        note = self.credit(invoice, 3.0)
        self.assertEqual((invoice.amount_residual, note.amount_residual), (3.0, 0.0))
        self.place(transaction(1, amount="4.0"), transaction(2, amount="3.0"), minute=1)
        self.assertEqual((invoice.amount_residual, note.amount_residual), (0.0, 0.0))

    def test_same_matches_whatever_came_first(self):
        """An overpaid and partly credited order: its steps, one by one or in any other order."""
        paid = transaction(1, amount="6.0", day=20)
        rest = transaction(2, amount="5.0", day=22)
        refund = transaction(3, "REFUND", "4.0", day=23, **parent(1))
        histories = (
            ([paid, rest, refund], "invoice", "credit"),
            ("invoice", [paid], "credit", [paid, rest], [paid, rest, refund]),
            ("invoice", "credit", [paid], [paid, rest, refund]),
            ([paid], "invoice", [paid, rest, refund], "credit"),
            ("invoice", "credit", [paid, rest, refund]),
            ([paid, rest], [paid, rest, refund], "invoice", "credit"),
        )
        found = []
        for history in histories:
            with self.fresh():
                sale = self.place()
                for minute, step in enumerate(history, 1):
                    if step == "invoice":
                        self.invoice(sale, 20)
                    elif step == "credit":
                        self.credit(sale.invoice_ids, 3.0, 21)
                    else:
                        self.place(*step, minute=minute)
                # what happened by hand is seen by the next import
                self.place(paid, rest, refund, minute=10, note="Thanks")
                found.append(self.state(sale))
        self.assertEqual(
            found[0][0], [("out_refund", 3.0, 0.0), ("out_invoice", 10.0, 0.0)], found[0]
        )
        for other in found[1:]:
            self.assertEqual(other, found[0])

    def test_what_an_accountant_matched_elsewhere_stays(self):
        sale = self.place()
        invoice = self.invoice(sale)
        cash = self.env["account.payment"].create(
            {
                "payment_type": "inbound",
                "partner_id": invoice.commercial_partner_id.id,
                "amount": 10.0,
                "date": date(2026, 11, 20),
                "journal_id": self.bank.id,
            }
        )
        cash.action_post()
        (invoice | cash.move_id).line_ids.filtered(
            lambda row: row.account_id.account_type == "asset_receivable"
        ).reconcile()
        self.place(transaction(1), minute=1)
        self.assertTrue(cash.is_reconciled)
        self.assertFalse(self.payments(sale).is_reconciled)

    def test_foreign_currency(self):
        euro = self.env.ref("base.EUR")
        euro.active = True
        self.env["res.currency.rate"].create(
            [
                {"currency_id": euro.id, "name": day, "rate": rate}
                for day, rate in (("2026-11-20", 0.8), ("2026-11-22", 0.9))
            ]
        )
        eur = {"currencyCode": "USD", "presentmentCurrencyCode": "EUR"}
        sale = self.place(**eur)
        invoice = self.invoice(sale)
        self.place(transaction(1, currency="EUR", day=22, shop=("12.0", "USD")), minute=1, **eur)
        payment = self.payments(sale)
        self.assertEqual((payment.amount, payment.currency_id), (10.0, euro))
        self.assertEqual(invoice.amount_residual, 0.0)
        self.assertIn(invoice.payment_state, ("paid", "in_payment"))


@tagged("post_install", "-at_install")
class TestShopCurrency(PaymentCase):
    """Books in the currency of the shop, 13.50 for 9.00 of the buyer's, which he pays by 12.77."""

    def setUp(self):
        super().setUp()
        self.map_gateway()
        self.backend.shopify_currency_policy = "shop"
        self.env.ref("base.EUR").active = True
        self.rule.invoice = "at_once"

    def place_paid(self, *rows, outstanding="0.0", credited=None, number=1, **extra):
        """Import the order in the version that has these transactions.

        :param credited: what the ledger says was given back, in the shop's currency.
        """
        first, second = 10 * number, 10 * number + 1
        sold = sale(first, "PRODUCT", "13.50", line=number)
        ledger = [agreement(first, [sold], at="2026-11-20T10:00:00Z")]
        if credited:
            back = sale(second, "ADJUSTMENT", f"-{credited}", quantity=None, action="RETURN")
            ledger.append(agreement(second, [back], "REFUND", at="2026-11-22T10:00:00Z"))
            extra["refunds"] = [refund(number, "7.10", at="2026-11-22T10:00:00Z")]
        return self.place(
            *rows,
            total="13.50",
            currencyCode="USD",
            presentmentCurrencyCode="EUR",
            totalOutstandingSet={"presentmentMoney": {"amount": outstanding}},
            agreements=agreements(*ledger),
            number=number,
            **extra,
        )

    def exchange(self, order):
        moves = self.env["account.move"].search([("shopify_exchange_order_id", "=", order.id)])
        accounts = (
            self.company.expense_currency_exchange_account_id,
            self.company.income_currency_exchange_account_id,
        )
        return [
            round(sum(r.balance for r in moves.line_ids if r.account_id == account), 2)
            for account in accounts
        ]

    def paid(self, number=1):
        return transaction(number, amount="9.0", currency="EUR", shop=("12.77", "USD"))

    def refund(self, number=2):
        return transaction(
            number, "REFUND", "5.0", currency="EUR", shop=("7.10", "USD"), day=22, **parent(1)
        )

    def test_case_5_paid_at_another_rate(self):
        order = self.place_paid(outstanding="9.0")
        invoice = order.invoice_ids
        self.assertEqual(invoice.amount_residual, 13.5)
        self.place_paid(self.paid(), minute=1)
        self.assertEqual(self.payments(order).amount, 12.77)
        self.assertEqual(invoice.amount_residual, 0.0)
        self.assertIn(invoice.payment_state, ("paid", "in_payment"))
        self.assertEqual(self.exchange(order), [0.73, 0.0])

    def test_case_6_refund_at_another_rate(self):
        order = self.place_paid(self.paid(), self.refund(), credited="7.10")
        self.assertEqual(self.payments(order).mapped("amount"), [12.77, 7.1])
        self.assertEqual(order.invoice_ids.mapped("amount_residual"), [0.0, 0.0])
        self.assertEqual(self.exchange(order), [0.73, 0.0])

    def test_same_exchange_difference_in_steps(self):
        at_once = self.place_paid(self.paid(3), self.refund(4), credited="7.50", number=2)
        self.assertEqual(self.exchange(at_once), [0.33, 0.0])
        order = self.place_paid(self.paid())
        self.assertEqual(self.exchange(order), [0.73, 0.0])
        self.place_paid(self.paid(), self.refund(), credited="7.50", minute=2)
        self.assertEqual(order.invoice_ids.mapped("amount_residual"), [0.0, 0.0])
        self.assertEqual(self.exchange(order), [0.33, 0.0])

    def test_gain(self):
        paid = transaction(1, amount="9.0", currency="EUR", shop=("14.00", "USD"))
        order = self.place_paid(paid)
        self.assertEqual(self.exchange(order), [0.0, -0.5])
        self.assertTrue(self.payments(order).is_reconciled)

    def test_posted_by_hand_later(self):
        self.rule.post_invoice = "draft"
        order = self.place_paid(self.paid())
        self.assertEqual(order.invoice_ids.state, "draft")
        order.invoice_ids.action_post()
        self.assertEqual(order.invoice_ids.amount_residual, 0.0)
        self.assertEqual(self.exchange(order), [0.73, 0.0])

    def test_underpayment_stays_open(self):
        part = transaction(1, amount="8.0", currency="EUR", shop=("11.35", "USD"))
        order = self.place_paid(part, outstanding="1.0")
        self.assertEqual(order.invoice_ids.amount_residual, 2.15)
        self.assertEqual(self.exchange(order), [0.0, 0.0])

    def test_promised_money_settles_nothing(self):
        order = self.place_paid(self.paid() | {"kind": "AUTHORIZATION"})
        self.assertFalse(order.shopify_settled_at)

    def test_no_accounts_for_differences(self):
        self.company.expense_currency_exchange_account_id = False
        order = self.place_paid(self.paid())
        self.assertEqual(order.invoice_ids.amount_residual, 13.5)
        self.assertIn("differences of exchange rates", html2plaintext(self.todos(order).note))


@tagged("post_install", "-at_install")
class TestHistories(PaymentCase):
    """The same books whether each version of an order was seen, or only some, or only the last."""

    def setUp(self):
        super().setUp()
        self.map_gateway()
        self.rule.invoice = "paid"

    def versions(self, number):
        """Two units of 10.00: authorized, captured in two parts, one unit less, cancelled."""
        base = 100 * number
        authorized = transaction(base, "AUTHORIZATION", "20.0", multiCapturable=True)
        captures = [
            transaction(base + 1, "CAPTURE", "12.0", day=21, **parent(base)),
            transaction(base + 2, "CAPTURE", "8.0", day=22, **parent(base)),
        ]
        refunds = [
            transaction(base + 3, "REFUND", "10.0", day=23, **parent(base + 1)),
            transaction(base + 4, "REFUND", "10.0", day=25, **parent(base + 2)),
        ]
        ledger = [
            agreement(
                base + entry,
                [sale(base + entry, "PRODUCT", amount, quantity=units, action=action, line=number)],
                reason,
                at=f"2026-11-{day}T10:00:00Z",
                **(
                    {"refund": {"id": f"gid://shopify/Refund/{base + entry}"}}
                    if reason == "REFUND"
                    else {}
                ),
            )
            for entry, amount, units, action, reason, day in (
                (0, "20.0", 2, "ORDER", "ORDER", 20),
                (1, "-10.0", -1, "RETURN", "REFUND", 23),
                (2, "-10.0", -1, "RETURN", "REFUND", 25),
            )
        ]
        given_back = [
            refund(base + 1, "10.0", lines=[(number, 1, "CANCEL")], at="2026-11-23T10:00:00Z"),
            refund(base + 2, "10.0", lines=[(number, 1, "CANCEL")], at="2026-11-25T10:00:00Z"),
        ]
        steps = (
            ("AUTHORIZED", 2, [authorized], 1, 0),
            ("PARTIALLY_PAID", 2, [authorized, captures[0]], 1, 0),
            ("PAID", 2, [authorized, *captures], 1, 0),
            ("PARTIALLY_REFUNDED", 1, [authorized, *captures, refunds[0]], 2, 1),
            ("REFUNDED", 0, [authorized, *captures, *refunds], 3, 2),
        )
        for minute, (status, left, rows, entries, backs) in enumerate(steps):
            payload = order(
                number,
                [line(number, "10.0", 2, currentQuantity=left)],
                f"{10 * left}.0",
                paymentGatewayNames=["bogus"],
                displayFinancialStatus=status,
                transactions=rows,
                agreements=agreements(*ledger[:entries]),
                refunds=given_back[:backs],
                updatedAt=f"2026-11-26T10:{minute:02}:00Z",
            )
            if not left:
                payload.update(cancelledAt="2026-11-25T10:00:00Z", cancelReason="CUSTOMER")
            yield payload

    def books(self, sale_order):
        documents = sale_order.invoice_ids.sorted(lambda move: (move.invoice_date, move.id))
        payments = self.payments(sale_order).sorted(lambda row: (row.date, row.memo))
        names = {move: f"{move.move_type} {move.invoice_date}" for move in documents}
        names |= {row.move_id: f"{row.payment_type} {row.date}" for row in payments}
        lines = (documents | payments.move_id).line_ids
        return {
            "documents": [
                (names[move], move.amount_total, move.amount_residual, move.payment_state)
                for move in documents
            ],
            "payments": [(names[row.move_id], row.amount, row.is_reconciled) for row in payments],
            "matches": sorted(
                (
                    names[part.debit_move_id.move_id],
                    names[part.credit_move_id.move_id],
                    part.amount,
                )
                for part in lines.matched_debit_ids | lines.matched_credit_ids
            ),
        }

    def test_case_18_and_every_way_there(self):
        ways = [[4], [0, 4], [1, 4], [2, 4], [3, 4], [0, 2, 4], [1, 2, 3, 4], [0, 1, 2, 3, 4]]
        found = []
        for number, way in enumerate(ways, 1):
            versions = list(self.versions(number))
            for step in way:
                sale_order = self.import_one(versions[step])
            found.append(self.books(sale_order))
        self.assertEqual(
            found[-1],
            {
                "documents": [
                    ("out_invoice 2026-11-22", 20.0, 0.0, "paid"),
                    ("out_refund 2026-11-23", 10.0, 0.0, "paid"),
                    ("out_refund 2026-11-25", 10.0, 0.0, "paid"),
                ],
                "payments": [
                    ("inbound 2026-11-21", 12.0, True),
                    ("inbound 2026-11-22", 8.0, True),
                    ("outbound 2026-11-23", 10.0, True),
                    ("outbound 2026-11-25", 10.0, True),
                ],
                "matches": [
                    ("out_invoice 2026-11-22", "inbound 2026-11-21", 12.0),
                    ("out_invoice 2026-11-22", "inbound 2026-11-22", 8.0),
                    ("outbound 2026-11-23", "out_refund 2026-11-23", 10.0),
                    ("outbound 2026-11-25", "out_refund 2026-11-25", 10.0),
                ],
            },
        )
        for way, other in zip(ways, found, strict=True):
            self.assertEqual(other, found[-1], way)
