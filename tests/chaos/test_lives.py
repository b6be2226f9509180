"""Lives are drawn from the seed alone, the shop accepts all of them, and they are varied."""

from collections import Counter

import pytest

from tests.simulators.shopify.base import Config
from tests.simulators.shopify.books import books
from tests.simulators.shopify.seed import seed_catalogue
from tests.simulators.shopify.shop import Shop

from .lives import SHIP_IN_ODOO, clock, draw, draw_lives, play, read
from .order_books import contradictions, expect


def live(life):
    """The books of the shop after a life."""
    with clock() as time:
        shop = Shop(Config(search_delay=0))
        seed_catalogue(shop)
        first, *others = life.steps
        order = shop.place_order(first.body)
        for step in others:
            time.go(step.pause)
            play(shop, order, step.action, step.body)
        return books(order, shop.config.timezone)


@pytest.fixture(scope="module")
def lived():
    return [(life, live(life)) for life in draw_lives(1, 300)]


def test_a_life_depends_on_seed_and_number_alone():
    assert [life.number for life in draw_lives(7, 3)] == [0, 1, 2]
    assert list(draw_lives(7, 3))[2] == draw(7, 2) == draw(7, 2)
    assert draw(7, 2).steps != draw(8, 2).steps
    assert read(draw(7, 2).told()).steps == draw(7, 2).steps


def test_lives_are_varied(lived):
    actions = Counter(action for life, _row in lived for action in life.actions)
    assert {
        "edit", "pay", "authorize", "capture", "void", "fulfil", SHIP_IN_ODOO, "refund", "settle",
        "cancel", "touch",
    } <= set(actions)  # fmt: skip
    assert len({row["presentmentCurrency"] for _life, row in lived}) >= 4
    assert {row["taxesIncluded"] for _life, row in lived} == {True, False}
    kinds = Counter(
        (transaction["kind"], transaction["status"])
        for _life, row in lived
        for transaction in row["transactions"]
    )
    assert {
        ("SALE", "SUCCESS"), ("SALE", "PENDING"), ("SALE", "FAILURE"), ("AUTHORIZATION", "SUCCESS"),
        ("AUTHORIZATION", "FAILURE"), ("CAPTURE", "SUCCESS"), ("VOID", "SUCCESS"),
        ("REFUND", "SUCCESS"), ("REFUND", "PENDING"), ("REFUND", "FAILURE"),
    } <= set(kinds)  # fmt: skip
    restocked = {
        part["restock"] for _life, row in lived for refund in row["refunds"]
        for part in refund["lines"]
    }  # fmt: skip
    assert restocked == {"RETURN", "CANCEL", "NO_RESTOCK"}
    sales = {
        (sale["action"], sale["type"]) for _life, row in lived for entry in row["agreements"]
        for sale in entry["sales"]
    }  # fmt: skip
    assert {
        ("ORDER", "PRODUCT"), ("ORDER", "SHIPPING"), ("ORDER", "TIP"), ("ORDER", "GIFT_CARD"),
        ("UPDATE", "PRODUCT"), ("RETURN", "PRODUCT"), ("RETURN", "SHIPPING"),
        ("RETURN", "ADJUSTMENT"),
    } <= sales  # fmt: skip


def test_the_ledger_agrees_with_the_totals_of_the_shop(lived):
    for side in ("presentment", "shop"):
        wrong = {life.number: contradictions(row, side) for life, row in lived}
        assert not {number: texts for number, texts in wrong.items() if texts}


def test_some_orders_were_never_paid_and_some_need_no_books(lived):
    seen = Counter((expect(row).ever_paid, expect(row).empty) for _life, row in lived)
    assert seen[True, False] and seen[False, False] and seen[False, True]
