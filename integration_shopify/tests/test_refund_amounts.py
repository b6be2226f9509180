from decimal import Decimal

from odoo.tests import BaseCase

from ..lib.refunds import CannotPayBack, Source, marked, marker_of, spread, without_marker


def source(name, suggested, left):
    return Source(name, "bogus", name, Decimal(suggested), None if left is None else Decimal(left))


class TestSpread(BaseCase):
    """To which payments money goes back."""

    def assertSpread(self, amount, sources, **expected):
        found = {row.parent_id: part for row, part in spread(Decimal(amount), tuple(sources))}
        self.assertEqual(found, {name: Decimal(part) for name, part in expected.items()})

    def test_as_shopify_proposes(self):
        self.assertSpread(
            "15.00", [source("card", "10", "20"), source("gift", "5", "5")], card="10", gift="5"
        )

    def test_less_takes_the_first(self):
        self.assertSpread("8", [source("card", "10", "20"), source("gift", "5", "5")], card="8")

    def test_more_goes_where_something_is_left(self):
        self.assertSpread(
            "18", [source("card", "10", "12"), source("gift", "5", "9")], card="12", gift="6"
        )

    def test_nothing_proposed(self):
        self.assertSpread("1.00", [source("card", "0", "12")], card="1.00")
        self.assertSpread("0", [source("card", "0", "12")])

    def test_more_than_they_have(self):
        with self.assertRaises(CannotPayBack) as caught:
            spread(Decimal(20), (source("card", "10", "12"),))
        self.assertEqual(caught.exception.left, 12)

    def test_no_payment_at_all(self):
        with self.assertRaises(CannotPayBack):
            spread(Decimal("0.01"), ())


class TestMarker(BaseCase):
    def test_found_again(self):
        text = marked("arrived damaged", "0123456789ab")
        self.assertEqual(marker_of(text), "0123456789ab")
        self.assertEqual(without_marker(text), "arrived damaged")
        self.assertEqual(marker_of(marked("", "0123456789ab")), "0123456789ab")

    def test_other_notes(self):
        for note in (None, "", "[Odoo]", "broken [Odoo 12]"):
            self.assertEqual(marker_of(note), "")
            self.assertEqual(without_marker(note), note or "")
