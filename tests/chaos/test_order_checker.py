"""The checker of orders finds every kind of wrong books: each is planted in right ones."""

from copy import deepcopy
from dataclasses import replace
from decimal import Decimal

import pytest

from .lives import clock, draw_lives
from .order_books import Amounts, Document, Money, expect
from .order_checker import CHECKS, Found, compare
from .test_lives import live

INVOICE, NOTE = 11, 12


def right_books(expected):
    """What Odoo has when everything is right: an invoice, and a note for all that came later."""
    first, *later = expected.agreements.items()
    documents = {
        INVOICE: Document(
            "INV/1", "posted", first[1], currency=expected.currency, date=expected.dates[first[0]]
        )
    }
    booked_in = {first[0]: [INVOICE]}
    if later:
        amounts = sum((amounts for _gid, amounts in later), Amounts())
        documents[NOTE] = Document(
            "RINV/1",
            "posted",
            amounts,
            currency=expected.currency,
            date=expected.dates[later[0][0]],
        )
        booked_in |= {gid: [NOTE] for gid, _amounts in later}
    return Found(
        total=expected.total,
        currency=expected.currency,
        agreements=dict(expected.agreements),
        payments=dict(expected.payments),
        quantities=dict(expected.quantities),
        delivered=dict(expected.delivered),
        to_ship=dict(expected.to_ship),
        residual=expected.residual,
        state="cancel" if expected.cancelled and not any(expected.delivered.values()) else "sale",
        documents=documents,
        booked_in=booked_in,
    )


@pytest.fixture(scope="module")
def expected():
    """A life with everything: paid, taxed, shipped, refunded, nothing open."""
    for life in draw_lives(3, 500):
        found = expect(live(life))
        if (
            found.total
            and not found.residual
            and not found.cancelled
            and len(found.payments) > 1
            and len(found.agreements) > 1
            and any(found.delivered.values())
            and any(amounts.taxes for amounts in found.agreements.values())
        ):
            return found
    raise AssertionError("there is no such life")


@pytest.fixture
def found(expected):
    return deepcopy(right_books(expected))


def wrong(expected, found, invoiced=True):
    """The checks that fail."""
    return set(compare(expected, found, invoiced=invoiced))


def test_right_books_of_many_lives_are_right():
    for life in draw_lives(2, 200):
        expected = expect(live(life))
        assert compare(expected, right_books(expected), invoiced=True) == {}, life.title


def test_an_order_that_is_missing_doubled_or_cancelled_is_found(expected, found):
    assert wrong(expected, None) == {"order"}
    assert compare(replace(expected, empty=True), None, invoiced=True) == {}
    assert wrong(expected, replace(found, sales=2)) == {"order"}
    assert "order" in wrong(expected, replace(found, state="draft"))
    assert "order" in wrong(expected, replace(found, state="cancel"))


def test_a_cent_on_the_order_is_found(expected, found):
    found.total += Decimal("0.01")
    assert wrong(expected, found) == {"total"}


def test_a_currency_is_found(expected, found):
    found.currency = "XXX"
    assert wrong(expected, found) == {"total"}


@pytest.mark.parametrize("field", ["quantities", "delivered", "to_ship"])
def test_a_piece_is_found(expected, found, field):
    units = getattr(found, field)
    gid = next(iter(units))
    units[gid] += 1
    assert wrong(expected, found) == {field}
    del units[gid]
    setattr(expected_copy := deepcopy(expected), field, {gid: Decimal(1)})
    setattr(found, field, {})
    assert wrong(expected_copy, found) == {field}


def change(found, **values):
    found.documents[INVOICE] = replace(found.documents[INVOICE], **values)


def test_a_document_of_other_amounts_is_found(expected, found):
    amounts = found.documents[INVOICE].amounts
    change(found, amounts=replace(amounts, untaxed=amounts.untaxed + Decimal("0.01")))
    assert wrong(expected, found) == {"documents", "agreements"}


def test_tax_on_another_tax_is_found(expected, found):
    amounts = found.documents[INVOICE].amounts
    (percent, amount), *others = amounts.taxes
    moved = replace(amounts, taxes=((percent + 1, amount), *others))
    assert moved.total == amounts.total
    change(found, amounts=moved)
    assert wrong(expected, found) == {"documents", "agreements"}


def test_documents_not_posted_in_another_currency_missing_or_twice_are_found(expected, found):
    change(found, state="draft")
    assert wrong(expected, found) == {"documents"}
    change(found, state="posted", currency="XXX")
    assert wrong(expected, found) == {"documents"}
    missing = deepcopy(found)
    del missing.documents[INVOICE]
    assert "documents" in wrong(expected, missing)
    change(found, currency=expected.currency)
    found.documents[13] = found.documents[INVOICE]
    assert wrong(expected, found) == {"documents", "agreements"}


def test_documents_that_sum_up_but_hold_the_wrong_entries_are_found(expected, found):
    """Amounts moved from one document to the other."""
    cent = Amounts(Decimal("0.01"))
    for key, sign in ((INVOICE, cent), (NOTE, -cent)):
        document = found.documents[key]
        found.documents[key] = replace(document, amounts=document.amounts + sign)
    assert wrong(expected, found) == {"agreements"}


def test_a_ledger_entry_booked_twice_never_or_invented_is_found(expected, found):
    gid = next(iter(found.booked_in))
    for documents in ([], [INVOICE, NOTE]):
        copy = deepcopy(found)
        copy.booked_in[gid] = documents
        assert wrong(expected, copy) == {"agreements"}
    found.booked_in["gid://shopify/SalesAgreement/1"] = [INVOICE]
    assert wrong(expected, found) == {"agreements"}


def test_a_document_of_another_day_is_found(expected, found):
    change(found, date="2026-11-01")
    assert wrong(expected, found) == {"agreements"}
    assert compare(expected, found, invoiced=True, late=True) == {}


def test_entries_left_out_have_to_come_to_nothing(expected, found):
    gid = next(iter(found.booked_in))
    found.booked_in[gid] = []
    found.nothing = {gid}
    assert "agreements" in wrong(expected, found)


def test_an_order_invoiced_before_it_was_paid_is_found(expected, found):
    assert {"documents", "residual"} <= wrong(expected, found, invoiced=False)


@pytest.mark.parametrize(
    "values", [{"amount": Decimal("0.01")}, {"currency": "XXX"}, {"date": "2026-11-01"}]
)
def test_a_payment_of_another_amount_currency_or_day_is_found(expected, found, values):
    gid, money = next(iter(found.payments.items()))
    found.payments[gid] = replace(money, **values)
    assert wrong(expected, found) == {"payments"}


def test_a_payment_missing_doubled_invented_or_the_wrong_way_round_is_found(expected, found):
    gid, money = next(iter(found.payments.items()))
    for payments in (
        {},
        {**found.payments, "gid://shopify/OrderTransaction/1": money},
        {**found.payments, gid: Money(-money.amount, money.currency, money.date)},
    ):
        assert wrong(expected, replace(found, payments=payments)) == {"payments"}
    assert wrong(expected, replace(found, doubled=["twice"])) == {"payments"}


def test_an_open_cent_is_found(expected, found):
    assert wrong(expected, replace(found, residual=Decimal("0.01"))) == {"residual"}
    assert wrong(expected, replace(found, loose=["INV/1: 5 is open"])) == {"reconciled"}
    owing = replace(expected, residual=Decimal(5))
    assert wrong(owing, replace(found, residual=Decimal(5), loose=["INV/1: 5 is open"])) == set()


def test_every_check_is_named(expected, found):
    assert set(CHECKS) == {
        "order", "total", "quantities", "documents", "agreements", "payments", "residual",
        "reconciled", "delivered", "to_ship",
    }  # fmt: skip


def test_what_was_paid_once_stays_paid():
    """The moment at which all was paid does not go away with an edit or a refund."""
    with clock():
        lives = [life for life in draw_lives(4, 200) if life.actions[-1] == "edit"]
    rows = [live(life) for life in lives]
    later = [row for row in rows if row["financialStatus"] == "PARTIALLY_PAID"]
    assert any(expect(row).ever_paid for row in later)
