from datetime import datetime
from decimal import Decimal
from itertools import permutations

from odoo.tests import BaseCase

from ..lib.matching import CREDIT_NOTE, INVOICE, PAYMENT, REFUND, Entry, match


def entry(kind, day, amount):
    return Entry(f"{kind} {day}", kind, datetime(2026, 11, day), Decimal(amount))


class TestMatching(BaseCase):
    def found(self, *entries):
        return [(row.debit, row.credit, str(row.amount)) for row in match(list(entries))]

    def test_oldest_first(self):
        self.assertEqual(
            self.found(
                entry(INVOICE, 2, "5.00"), entry(INVOICE, 1, "10.00"), entry(PAYMENT, 3, "12.00")
            ),
            [("invoice 1", "payment 3", "10.00"), ("invoice 2", "payment 3", "2.00")],
        )

    def test_refunds_pay_credit_notes(self):
        self.assertEqual(
            self.found(
                entry(INVOICE, 1, "10.00"),
                entry(PAYMENT, 1, "10.00"),
                entry(CREDIT_NOTE, 2, "4.00"),
                entry(REFUND, 2, "4.00"),
            ),
            [("invoice 1", "payment 1", "10.00"), ("refund 2", "credit_note 2", "4.00")],
        )

    def test_credit_note_lowers_what_is_due(self):
        self.assertEqual(
            self.found(
                entry(INVOICE, 1, "10.00"), entry(CREDIT_NOTE, 2, "4.00"), entry(PAYMENT, 3, "6.00")
            ),
            [("invoice 1", "payment 3", "6.00"), ("invoice 1", "credit_note 2", "4.00")],
        )

    def test_change_is_given_back_from_what_was_received(self):
        self.assertEqual(
            self.found(
                entry(INVOICE, 1, "17.00"), entry(PAYMENT, 1, "20.00"), entry(REFUND, 1, "3.00")
            ),
            [("invoice 1", "payment 1", "17.00"), ("refund 1", "payment 1", "3.00")],
        )

    def test_nothing_can_be_matched_after_the_last_step(self):
        kinds = (INVOICE, CREDIT_NOTE, PAYMENT, REFUND)
        for amounts in permutations(("3.00", "5.00", "8.00", "13.00")):
            entries = [entry(kind, 1, amount) for kind, amount in zip(kinds, amounts, strict=True)]
            left = {row.key: row.amount for row in entries}
            for row in match(entries):
                left[row.debit] -= row.amount
                left[row.credit] -= row.amount
            self.assertTrue(all(amount >= 0 for amount in left.values()), left)
            debit = left["invoice 1"] + left["refund 1"]
            credit = left["payment 1"] + left["credit_note 1"]
            self.assertFalse(debit and credit, left)

    def test_the_order_of_arrival_does_not_matter(self):
        entries = [
            entry(INVOICE, 1, "100.00"),
            entry(PAYMENT, 2, "60.00"),
            entry(CREDIT_NOTE, 3, "20.00"),
            entry(PAYMENT, 4, "40.00"),
            entry(REFUND, 5, "20.00"),
        ]
        expected = sorted(self.found(*entries))
        for some in permutations(entries):
            self.assertEqual(sorted(self.found(*some)), expected)
