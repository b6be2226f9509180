"""The arithmetic of stock, without a database."""

from odoo.tests import BaseCase

from ..lib import stock
from ..lib.client import Problem
from ..lib.stock import ASK, ODOO, SOLD, Level, Row


def level(available, committed=0):
    return Level("gid://shopify/InventoryLevel/1", "L1", available, committed, stamp="t1")


def row(quantity=5, former=3, stamp="r1", location="L1"):
    return Row(None, "I1", location, quantity, former, stamp)


class TestStockNumbers(BaseCase):
    def test_whole_units_are_offered_and_never_less_than_none(self):
        for quantity, buffer, offered in (
            (5, 0, 5),
            (4.999999999, 0, 5),
            (4.9, 0, 4),
            (5, 2, 3),
            (1, 2, 0),
            (-3, 0, 0),
            (0.1 + 0.2, 0, 0),
            (3e9, 0, stock.MAX_QUANTITY),
        ):
            self.assertEqual(stock.sellable(quantity, buffer), offered, (quantity, buffer))

    def test_units_odoo_has_not_counted(self):
        self.assertEqual(stock.pending(3, 1), 2)
        self.assertEqual(stock.pending(3, 5), 0)
        # Odoo still has what Shopify has shipped
        self.assertEqual(stock.pending(3, -2), 3)

    def test_what_was_sold_is_never_offered_again(self):
        self.assertEqual(stock.target(SOLD, 5, level(4, 1), 1), 4)
        self.assertEqual(stock.target(SOLD, 15, level(4, 1), 1), 14)
        self.assertEqual(stock.target(SOLD, 4, level(4, 1), 0), 4)
        # committed elsewhere: held back where it may leave from only
        self.assertEqual(stock.target(SOLD, 5, level(5, 0), 1), 5)
        self.assertEqual(stock.target(ASK, 5, level(4, 1), 1), 4)
        self.assertEqual(stock.target(ODOO, 5, level(4, 1), 1), 5)
        self.assertEqual(stock.target(SOLD, 5, None, 1), 5)

    def test_sold_on_both_sides_is_no_unit(self):
        self.assertEqual(stock.target(SOLD, 0, level(0, 1), 1), 0)
        self.assertEqual(stock.target(SOLD, 0, level(-2, 2), 2), -2)

    def test_units_that_left_without_an_open_order(self):
        # a till sells and hands over at once
        self.assertEqual(stock.vanished(5, 5, level(4)), 1)
        self.assertEqual(stock.target(SOLD, 5, level(4), 0, 1), 4)
        # and an order that is not here yet has others
        self.assertEqual(stock.vanished(9, 10, level(5, 2)), 3)
        self.assertEqual(stock.target(SOLD, 9, level(5, 2), 2, 3), 4)
        self.assertEqual(stock.target(SOLD, 9, level(5, 2), 0, 3), 6)
        # both sides agree by now, or an open order has them
        self.assertEqual(stock.vanished(4, 5, level(4)), 0)
        self.assertEqual(stock.vanished(9, 5, level(4, 1)), 0)
        self.assertEqual(stock.vanished(9, None, level(4)), 0)

    def test_orders_that_were_open_before_explain_nothing(self):
        self.assertEqual(stock.vanished(15, 10, level(8, 3), 3), 2)
        self.assertEqual(stock.vanished(15, 10, level(8, 3)), 0)
        # one more came since, or some were shipped
        self.assertEqual(stock.vanished(15, 10, level(8, 4), 3), 1)
        self.assertEqual(stock.vanished(15, 10, level(8, 1), 3), 2)
        self.assertEqual(stock.vanished(15, 10, level(8, -1)), 2)

    def test_what_orders_explain(self):
        self.assertTrue(stock.is_explained(5, level(4, 1)))
        self.assertFalse(stock.is_explained(5, level(6)))
        self.assertFalse(stock.is_explained(5, level(2, 1)))
        self.assertTrue(stock.is_explained(None, level(9)))

    def test_calls_of_250(self):
        rows = [row() for _number in range(501)]
        self.assertEqual([len(part) for part in stock.batches(rows)], [250, 250, 1])
        chunks = list(stock.read_chunks(list(range(60)), stock.FIRST_LEVELS))
        self.assertEqual([len(chunk) for chunk in chunks], [25, 25, 10])

    def test_keys(self):
        def key(*rows, **values):
            return stock.idempotency_key("shop", "correction", "doc", rows, **values)

        self.assertEqual(key(row()), key(row()))
        others = [
            key(row(quantity=6)),
            key(row(former=4)),
            # the same numbers on purpose, later
            key(row(stamp="r2")),
            key(row(), row(location="L2")),
            key(row(), salt=1),
            stock.idempotency_key("copy", "correction", "doc", [row()]),
        ]
        self.assertEqual(len({key(row()), *others}), 7)

    def test_rows_that_shopify_names(self):
        stale = Problem("input.quantities.1.changeFromQuantity", "CHANGE_FROM_QUANTITY_STALE", "")
        twice = Problem("input.quantities.1", "NO_DUPLICATE", "")
        self.assertEqual(stock.bad_rows([stale, twice], 2), {1: [stale, twice]})
        self.assertEqual(stock.bad_rows([stale, Problem("input.reason", "X", "")], 2), {})
        self.assertEqual(stock.bad_rows([stale], 1), {})

    def test_counted_elsewhere(self):
        # sold there: nothing left yet
        self.assertEqual(stock.counted(10, 1, 0, 10, 0), (10, 0))
        # shipped there, and Odoo has yet to deliver it
        self.assertEqual(stock.counted(9, 0, 1, 10, 0), (10, 1))
        # told again before it was delivered, and after
        self.assertEqual(stock.counted(9, 0, 1, 9, 1), (10, 1))
        self.assertEqual(stock.counted(9, 0, 0, 9, 1), (9, 0))
        # cancelled there: nothing left
        self.assertEqual(stock.counted(10, 0, 1, 10, 0), (10, 0))
        self.assertEqual(stock.counted(7, 0, 2, None, 0), (7, 0))
