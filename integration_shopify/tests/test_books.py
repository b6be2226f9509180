import json
import re
from datetime import date
from unittest.mock import patch

from odoo.exceptions import UserError

from .common import (
    ShopifyCase,
    agreement,
    agreements,
    line,
    money,
    order,
    refund,
    sale,
    shipping,
    tax,
    transaction,
)

HST = ("HST", 0.13)
BACK = "2026-11-22T08:00:00Z"


def at(payload, minute, **changes):
    """Return the order as it is some minutes later."""
    return {**payload, "updatedAt": f"2026-11-22T10:{minute:02}:00Z", **changes}


def goods_back(number, line_number, quantity, total, tax_amount):
    """Return the sale by which units of a line are given back."""
    return sale(
        number,
        "PRODUCT",
        total,
        quantity=-quantity,
        action="RETURN",
        taxes=[tax(*HST, tax_amount)],
        line=line_number,
    )


class TestBooks(ShopifyCase):
    """Each entry of the ledger becomes part of one document, once."""

    def setUp(self):
        super().setUp()
        self.backend.shopify_timezone = "America/New_York"
        self.rule = self.env["integration.shopify.rule"].create(
            {"backend_id": self.backend.id, "invoice": "paid"}
        )

    def ledger(self, *more):
        first = agreement(
            1,
            [
                sale(1, "PRODUCT", "226.0", quantity=2, taxes=[tax(*HST, "26.0")], line=1),
                sale(2, "SHIPPING", "5.0", ship=1),
            ],
        )
        return agreements(first, *more)

    def placed(self, **extra):
        """Two units of 100.00 and shipping of 5.00, 13 % on the goods."""
        return order(
            1,
            [line(1, "100.0", 2, taxes=[tax(*HST, "26.0")])],
            "231.0",
            "26.0",
            shipping_lines=[shipping(1, "5.0")],
            **{
                "transactions": [transaction(1, "SALE", "231.0", at="2026-11-21T02:00:00Z")],
                "agreements": self.ledger(),
                **extra,
            },
        )

    def one_back(self, **extra):
        """One unit was refunded and not put back on the shelf; 10.00 of it were kept."""
        back = agreement(
            2,
            [
                goods_back(3, 1, 1, "-113.0", "-13.0"),
                sale(4, "ADJUSTMENT", "10.0", quantity=None, action="RETURN"),
            ],
            "REFUND",
            BACK,
            refund={"id": "gid://shopify/Refund/1"},
        )
        payload = self.placed(
            displayFinancialStatus="PARTIALLY_REFUNDED",
            currentTotalPriceSet=money("118.0"),
            currentTotalTaxSet=money("13.0"),
            agreements=self.ledger(back),
            refunds=[
                refund(
                    1,
                    "103.0",
                    lines=[(1, 1, "NO_RESTOCK")],
                    adjustments=[("10.0", "REFUND_DISCREPANCY")],
                    at=BACK,
                )
            ],
            **extra,
        )
        payload["lineItems"]["nodes"][0]["currentQuantity"] = 1
        return at(payload, 1)

    def documents(self, sale_order):
        """Return what an accountant sees of each document."""
        return [
            (
                move.move_type,
                move.state,
                move.invoice_date,
                move.amount_untaxed,
                move.amount_tax,
                move.amount_total,
                [(row.quantity, row.price_subtotal) for row in move.invoice_line_ids],
            )
            for move in sale_order.invoice_ids.sorted("id")
        ]

    def test_invoice_when_paid(self):
        pending = self.placed(transactions=[], displayFinancialStatus="PENDING")
        order_ = self.import_one(pending)
        self.assertFalse(order_.invoice_ids)
        self.assertEqual(order_.shopify_agreement_ids.state, "open")
        self.assertEqual(order_.invoice_status, "no")
        self.import_one(at(self.placed(), 1))
        self.assertEqual(
            self.documents(order_),
            [
                (
                    "out_invoice",
                    "posted",
                    # the day it was paid, in the shop
                    date(2026, 11, 20),
                    205,
                    26,
                    231,
                    [(2, 200), (1, 5)],
                )
            ],
        )
        self.assertEqual(order_.shopify_agreement_ids.move_id, order_.invoice_ids)
        self.assertEqual(order_.invoice_status, "invoiced")
        self.assertEqual(order_.order_line.mapped("qty_invoiced"), [2, 1])

    def test_each_step_or_only_the_end(self):
        stepwise = self.import_one(self.placed())
        self.import_one(self.one_back())
        # the same order with other ids
        other = re.sub(r"(gid://shopify/\w+/)", r"\g<1>9", json.dumps(self.one_back()))
        at_end = self.import_one(json.loads(other))
        self.assertNotEqual(stepwise, at_end)
        expected = [
            ("out_invoice", "posted", date(2026, 11, 20), 205, 26, 231, [(2, 200), (1, 5)]),
            ("out_refund", "posted", date(2026, 11, 22), 90, 13, 103, [(1, 100), (-1, -10)]),
        ]
        self.assertEqual(self.documents(stepwise), expected)
        self.assertEqual(self.documents(at_end), expected)
        for order_ in (stepwise, at_end):
            self.assertTotals(order_, 115, 13, 128)
            invoice, note = order_.invoice_ids.sorted("id")
            self.assertEqual(note.reversed_entry_id, invoice)
            self.assertEqual(order_.invoice_status, "invoiced")
            goods, ship, kept = order_.order_line
            self.assertEqual((goods.product_uom_qty, goods.qty_invoiced), (1, 1))
            self.assertEqual((ship.qty_invoiced, kept.qty_to_invoice), (1, 0))

    def test_money_on_its_way_back_without_goods_is_nothing_to_book_yet(self):
        """The entry holds an adjustment only, which is left out while the money is under way."""
        back = agreement(2, [], "REFUND", BACK, refund={"id": "gid://shopify/Refund/1"})
        order_ = self.import_one(self.placed())
        for minute in (1, 2):
            self.import_one(at(self.placed(agreements=self.ledger(back), refunds=[]), minute))
        self.assertEqual(len(order_.invoice_ids), 1)
        self.assertEqual(order_.shopify_agreement_ids.mapped("state"), ["booked", "nothing"])

    def test_nothing_is_booked_twice(self):
        order_ = self.import_one(self.one_back())
        before = self.documents(order_)
        for minute in (2, 3):
            self.import_one(at(self.one_back(), minute, note=f"note {minute}"))
        operation = self.drain(self.one_back(), force=True)
        self.assertIn(operation.state, ("done", "skipped"))
        self.assertEqual(self.documents(order_), before)

    def edited(self, **extra):
        """A line of 20.00 was added a day later."""
        edit = agreement(
            2,
            [sale(3, "PRODUCT", "22.6", taxes=[tax(*HST, "2.6")], line=2)],
            "ORDER_EDIT",
            BACK,
        )
        payload = self.placed(
            currentTotalPriceSet=money("253.6"),
            currentTotalTaxSet=money("28.6"),
            agreements=self.ledger(edit),
            displayFinancialStatus="PARTIALLY_PAID",
            **extra,
        )
        payload["lineItems"]["nodes"].append(line(2, "20.0", taxes=[tax(*HST, "2.6")]))
        return at(payload, 1)

    def test_edit_after_the_invoice_is_an_invoice_of_its_own(self):
        order_ = self.import_one(self.placed())
        self.import_one(self.edited())
        self.assertEqual([row[5] for row in self.documents(order_)], [231, 22.6])
        self.assertTotals(order_, 225, 28.6, 253.6)

    def test_all_invoices_of_an_unpaid_order_are_settled_when_it_is_cancelled(self):
        self.rule.invoice = "at_once"
        unpaid = {"transactions": [], "displayFinancialStatus": "PENDING"}
        order_ = self.import_one(self.placed(**unpaid))
        edited = {**self.edited(), **unpaid}
        self.import_one(edited)
        back = agreement(
            3,
            [
                goods_back(5, 1, 2, "-226.0", "-26.0"),
                goods_back(6, 2, 1, "-22.6", "-2.6"),
                sale(7, "SHIPPING", "-5.0", quantity=None, action="RETURN"),
            ],
            "REFUND",
            "2026-11-23T08:00:00Z",
            refund={"id": "gid://shopify/Refund/1"},
        )
        edited["agreements"]["nodes"].append(back)
        for row in edited["lineItems"]["nodes"]:
            row["currentQuantity"] = 0
        self.import_one(
            at(
                edited,
                2,
                cancelledAt="2026-11-23T08:00:00Z",
                currentTotalPriceSet=money("0.0"),
                currentTotalTaxSet=money("0.0"),
                refunds=[
                    refund(
                        1,
                        "0.0",
                        lines=[(1, 2, "CANCEL"), (2, 1, "CANCEL")],
                        at="2026-11-23T08:00:00Z",
                    )
                ],
            )
        )
        self.assertEqual(
            order_.invoice_ids.mapped("move_type"), ["out_refund", *["out_invoice"] * 2]
        )
        self.assertEqual(order_.invoice_ids.mapped("amount_residual"), [0, 0, 0])

    def test_edit_before_the_payment_is_part_of_the_invoice(self):
        order_ = self.import_one(self.placed(transactions=[], displayFinancialStatus="PENDING"))
        self.import_one(self.edited(transactions=[]))
        self.assertFalse(order_.invoice_ids)
        paid = transaction(1, "SALE", "253.6", at="2026-11-22T09:00:00Z")
        self.import_one(at(self.edited(transactions=[paid]), 2, displayFinancialStatus="PAID"))
        self.assertEqual([row[5] for row in self.documents(order_)], [253.6])

    def test_cheaper_by_an_edit(self):
        """What only changes the price is no unit: nothing is left to invoice, or over."""
        order_ = self.import_one(self.placed())
        edit = agreement(
            2,
            [
                sale(
                    3,
                    "PRODUCT",
                    "-22.6",
                    quantity=0,
                    action="UPDATE",
                    taxes=[tax(*HST, "-2.6")],
                    line=1,
                )
            ],
            "ORDER_EDIT",
            BACK,
        )
        self.import_one(
            at(
                self.placed(
                    currentTotalPriceSet=money("208.4"),
                    currentTotalTaxSet=money("23.4"),
                    agreements=self.ledger(edit),
                ),
                1,
            )
        )
        self.assertEqual([row[0] for row in self.documents(order_)], ["out_invoice", "out_refund"])
        self.assertEqual(self.documents(order_)[1][3:], (20, 2.6, 22.6, [(1, 20)]))
        self.assertTotals(order_, 185, 23.4, 208.4)
        self.assertEqual(order_.order_line[0].qty_invoiced, 2)
        self.assertEqual(order_.order_line[0].discount, 10)

    def test_exchange_without_money(self):
        order_ = self.import_one(self.placed())
        swap = agreement(
            2,
            [
                goods_back(3, 1, 1, "-113.0", "-13.0"),
                sale(4, "PRODUCT", "113.0", taxes=[tax(*HST, "13.0")], line=2),
            ],
            "RETURN",
            BACK,
            **{"return": {"id": "gid://shopify/Return/1", "name": "#1-R1"}},
        )
        payload = self.placed(agreements=self.ledger(swap))
        payload["lineItems"]["nodes"][0]["currentQuantity"] = 1
        payload["lineItems"]["nodes"].append(line(2, "100.0", taxes=[tax(*HST, "13.0")]))
        self.import_one(at(payload, 1))
        self.assertEqual(self.documents(order_)[1][3:], (0, 0, 0, [(-1, -100), (1, 100)]))
        self.assertTotals(order_, 205, 26, 231)
        self.assertEqual(order_.shopify_agreement_ids.mapped("name"), ["", "#1-R1"])

    def test_taxes_included(self):
        payload = order(
            1,
            [line(1, "19.99", 3, taxes=[tax("VAT", 0.19, "9.57")])],
            "59.97",
            "9.57",
            taxesIncluded=True,
            transactions=[transaction(1, "SALE", "59.97")],
            agreements=agreements(
                agreement(
                    1,
                    [
                        sale(
                            1,
                            "PRODUCT",
                            "59.97",
                            quantity=3,
                            taxes=[tax("VAT", 0.19, "9.57")],
                            line=1,
                        )
                    ],
                )
            ),
        )
        order_ = self.import_one(payload)
        self.assertEqual(self.documents(order_)[0][3:], (50.4, 9.57, 59.97, [(3, 50.4)]))

    def test_cancelled_before_it_was_seen_but_paid(self):
        back = agreement(
            2,
            [
                goods_back(3, 1, 2, "-226.0", "-26.0"),
                sale(4, "SHIPPING", "-5.0", quantity=None, action="RETURN"),
            ],
            "REFUND",
            BACK,
            refund={"id": "gid://shopify/Refund/1"},
        )
        payload = self.placed(
            cancelledAt=BACK,
            cancelReason="CUSTOMER",
            displayFinancialStatus="REFUNDED",
            currentTotalPriceSet=money("0.0"),
            currentTotalTaxSet=money("0.0"),
            agreements=self.ledger(back),
            refunds=[refund(1, "231.0", lines=[(1, 2, "CANCEL")], at=BACK)],
        )
        payload["lineItems"]["nodes"][0]["currentQuantity"] = 0
        order_ = self.import_one(payload)
        self.assertEqual(order_.state, "cancel")
        self.assertEqual(
            [(row[0], row[5]) for row in self.documents(order_)],
            [("out_invoice", 231), ("out_refund", 231)],
        )

    def test_cancelled_before_it_was_paid_leaves_no_document(self):
        order_ = self.import_one(self.placed(transactions=[], displayFinancialStatus="PENDING"))
        back = agreement(
            2,
            [
                goods_back(3, 1, 2, "-226.0", "-26.0"),
                sale(4, "SHIPPING", "-5.0", quantity=None, action="RETURN"),
            ],
            "ORDER_EDIT",
            BACK,
        )
        payload = self.placed(
            transactions=[],
            displayFinancialStatus=None,
            cancelledAt=BACK,
            currentTotalPriceSet=money("0.0"),
            currentTotalTaxSet=money("0.0"),
            agreements=self.ledger(back),
        )
        payload["lineItems"]["nodes"][0]["currentQuantity"] = 0
        self.import_one(at(payload, 1))
        self.assertEqual(order_.state, "cancel")
        self.assertFalse(order_.invoice_ids)

    def test_invoice_at_once_and_as_a_draft(self):
        self.rule.write({"invoice": "at_once", "post_invoice": "draft"})
        order_ = self.import_one(self.placed(transactions=[], displayFinancialStatus="PENDING"))
        self.assertEqual(self.documents(order_)[0][1:3], ("draft", date(2026, 11, 20)))

    def test_invoice_when_delivered(self):
        self.rule.invoice = "delivered"
        order_ = self.import_one(self.placed())
        self.assertFalse(order_.invoice_ids)
        for move in order_.picking_ids.move_ids:
            move.write({"quantity": move.product_uom_qty, "picked": True})
        order_.picking_ids.button_validate()
        self.import_one(at(self.placed(), 1, note="shipped"))
        self.assertEqual(self.documents(order_)[0][5], 231)

    def test_invoice_made_by_hand_is_taken(self):
        self.rule.invoice = "no"
        order_ = self.import_one(self.placed())
        invoice = order_._create_invoices()
        invoice.action_post()
        self.rule.invoice = "paid"
        self.import_one(at(self.placed(), 1, note="again"))
        self.assertEqual(order_.invoice_ids, invoice)
        self.assertEqual(order_.shopify_agreement_ids.move_id, invoice)

    def test_invoice_made_by_hand_that_differs(self):
        self.rule.invoice = "no"
        order_ = self.import_one(self.placed())
        invoice = order_._create_invoices()
        self.rule.invoice = "paid"
        self.import_one(at(self.placed(), 1, note="again"))
        self.assertEqual(order_.invoice_ids, invoice)
        self.assertEqual(order_.activity_ids.summary, "Compare the invoices with Shopify")

    def test_ledger_that_cannot_be_relied_on_books_nothing(self):
        payload = self.placed()
        payload["agreements"]["nodes"][0]["sales"]["nodes"].pop()
        order_ = self.import_one(payload)
        self.assertTotals(order_, 205, 26, 231)
        self.assertFalse(order_.invoice_ids)
        self.assertEqual(order_.activity_ids.summary, "Invoice by hand")
        self.assertIn("sales sum to 226", order_.activity_ids.note)

    def test_what_shopify_adds_to_an_entry_is_booked_once(self):
        order_ = self.import_one(self.placed())
        more = self.placed(currentTotalPriceSet=money("241.0"))
        more["agreements"]["nodes"][0]["sales"]["nodes"].append(sale(9, "PRODUCT", "10.0", line=9))
        more["lineItems"]["nodes"].append(line(9, "10.0"))
        for minute in (1, 2):
            self.import_one(at(more, minute, note=str(minute)))
        self.assertEqual([row[5] for row in self.documents(order_)], [231, 10])
        self.assertEqual(len(order_.shopify_agreement_ids), 2)

    def test_erased_address_changes_no_books(self):
        placed = self.placed()
        placed["shippingAddress"]["countryCodeV2"] = "AT"
        self.env["integration.mapping"].create(
            {
                "backend_id": self.backend.id,
                "kind": "tax",
                "external_value": "HST|0.13|excluded|AT",
                "resource_ref": f"account.tax,{self.tax13.id}",
            }
        )
        order_ = self.import_one(placed)
        before = self.documents(order_)
        self.import_one(at(self.placed(shippingAddress=None, billingAddress=None), 1))
        self.assertEqual(self.documents(order_), before)
        self.assertEqual(len(order_.shopify_agreement_ids), 1)

    def test_tax_of_what_was_given_back_is_needed(self):
        """Not mapped, it would be left out of the invoice and of the credit note alike."""
        payload = self.one_back()
        payload["shippingAddress"]["countryCodeV2"] = "AT"
        operation = self.refuse_one(payload)
        self.assertEqual(operation.error_class, "mapping")

    def test_draft_cancelled_with_the_order_is_balanced(self):
        self.rule.write({"invoice": "at_once", "post_invoice": "draft"})
        order_ = self.import_one(self.placed())
        invoice = order_.invoice_ids
        order_._action_cancel()
        self.assertEqual(invoice.state, "cancel")
        self.import_one(at(self.placed(), 1, note="again"))
        self.assertEqual(
            [(row[0], row[1], row[5]) for row in self.documents(order_)],
            [("out_invoice", "cancel", 231), ("out_invoice", "draft", 231)],
        )

    def test_posted_invoice_that_somebody_cancelled_is_asked_about(self):
        order_ = self.import_one(self.placed())
        order_.invoice_ids.button_draft()
        order_.invoice_ids.button_cancel()
        self.import_one(at(self.placed(), 1, note="again"))
        self.assertEqual(len(order_.invoice_ids), 1)
        self.assertEqual(order_.activity_ids.summary, "Compare the invoices with Shopify")

    def test_what_odoo_does_not_post_keeps_no_new_order_out(self):
        """The delivery does not wait for the books, and the failure is there to be reviewed."""
        moves = type(self.env["account.move"])
        with patch.object(moves, "_post", side_effect=UserError("The period is locked.")):
            order_ = self.import_one(self.placed())
        self.assertTrue(order_.picking_ids)
        self.assertFalse(order_.invoice_ids)
        self.assertEqual(order_.shopify_agreement_ids.state, "open")
        log = self.env["integration.sync.log"]
        done, failed = log.search([("key", "=", "gid://shopify/Order/1")], order="id")
        self.assertEqual((done.state, failed.state), ("done", "dead"))
        self.assertIn("The period is locked.", failed.message)
        self.assertFalse(order_.invoice_ids)
        # what is told of the order next does not make it look as if all were well
        with patch.object(moves, "_post", side_effect=UserError("The period is locked.")):
            told = self.refuse_one(self.placed())
        self.assertEqual(failed.state, "merged")
        failed = told
        failed._requeue()
        with self.enter_registry_test_mode():
            self.env["integration.engine"]._drain(self.flow.id)
        self.env.invalidate_all()
        self.assertEqual(failed.state, "done")
        self.assertEqual(order_.invoice_ids.state, "posted")
        self.assertEqual(order_.shopify_agreement_ids.move_id, order_.invoice_ids)

    def test_what_odoo_does_not_post_later_changes_nothing(self):
        order_ = self.import_one(self.placed())
        moves = type(self.env["account.move"])
        with patch.object(moves, "_post", side_effect=UserError("The period is locked.")):
            operation = self.refuse_one(self.one_back())
        self.assertIn("The period is locked.", operation.message)
        self.assertEqual(len(order_.invoice_ids), 1)

    def test_booked_order_cannot_be_deleted(self):
        order_ = self.import_one(self.placed())
        order_._action_cancel()
        with self.assertRaisesRegex(UserError, "cannot be deleted"):
            order_.unlink()

    def test_paid_by_hand_is_not_paid_twice(self):
        self.rule.invoice = "no"
        order_ = self.import_one(self.placed())
        invoice = order_._create_invoices()
        invoice.action_post()
        wizard = self.env["account.payment.register"].with_context(
            active_model="account.move", active_ids=invoice.ids
        )
        wizard.create({}).action_create_payments()
        self.rule.write({"invoice": "paid", "register_payment": "register"})
        self.import_one(at(self.placed(), 1, note="again"))
        self.assertFalse(order_.shopify_transaction_ids.payment_id)
        self.assertIn("already paid in Odoo", order_.shopify_transaction_ids.note)
