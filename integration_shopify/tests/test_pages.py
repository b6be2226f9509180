import copy
import random

from odoo.tests import BaseCase

from odoo.addons.integration_base.lib.errors import (
    NotReadyError,
    RateLimitedError,
    RequestRefused,
    RetryableError,
)

from ..lib.client import QueryTooExpensive
from ..lib.pages import Connection, PlainList, Progress, by_root, read_on

GID = "gid://shopify/Order/1"


def agreements(place):
    return {**by_root(place), "sales": 2}


def sales(place):
    return {
        "id": place.root["id"],
        "first": 1,
        "after": place.before,
        "sales": place.first,
        "salesAfter": place.after,
    }


def of_parent(place):
    return {"id": place.parent["id"], "first": place.first, "after": place.after}


PLAN = (
    Connection("agreements.sales", "agreements", "order.agreements.0.sales", sales, by_cursor=True),
    Connection("refunds.lines", "refund_lines", "refund.lines", of_parent, version=None),
    Connection("refunds.lines.notes", "notes", "line.notes", of_parent, version=None, page=7),
    Connection("lines", "lines", "order.lines", page=50),
    Connection("agreements", "agreements", "order.agreements", agreements, page=20),
    PlainList("refunds", "refunds", "order.refunds", asked=3),
)


class Shop:
    """Cuts what it holds into pages; ``edges`` where a document asks for cursors."""

    def __init__(self, order, most=1000):
        self.order, self.most = order, most
        self.calls, self.points = [], None

    def first(self):
        """Return what the query of the order brings."""
        order = copy.deepcopy(self.order)
        order["lines"] = self.cut(order["lines"], 2, None)
        order["refunds"] = order["refunds"][:3]
        self.cut_refunds(order["refunds"])
        order["agreements"] = self.cut(order["agreements"], 3, None)
        for row in order["agreements"]["nodes"]:
            row["sales"] = self.cut(row["sales"], 2, None)
        return order

    def cut_refunds(self, refunds):
        for refund in refunds:
            refund["lines"] = self.cut(refund["lines"], 1, None)
            self.cut_notes(refund["lines"])

    def cut_notes(self, lines):
        for row in lines["nodes"]:
            row["notes"] = self.cut(row["notes"], 1, None)

    def cut(self, rows, first, after):
        start = int(after) + 1 if after else 0
        return {
            "nodes": rows[start : start + first],
            "pageInfo": {
                "hasNextPage": start + first < len(rows),
                "endCursor": str(min(start + first, len(rows)) - 1),
            },
        }

    def ask(self, name, variables):
        self.calls.append((name, variables))
        if variables["first"] * variables.get("sales", 1) > self.most:
            raise QueryTooExpensive("too expensive")
        if self.points is not None:
            self.points -= 1
            if self.points < 0:
                raise RateLimitedError("slow down", retry_after=1)
        return copy.deepcopy(getattr(self, f"_{name}")(variables))

    def _lines(self, asked):
        return self.in_order("lines", self.cut(self.order["lines"], asked["first"], asked["after"]))

    def _agreements(self, asked):
        page = self.cut(copy.deepcopy(self.order["agreements"]), asked["first"], asked["after"])
        start = int(asked["after"]) + 1 if asked["after"] else 0
        for row in page["nodes"]:
            row["sales"] = self.cut(row["sales"], asked["sales"], asked.get("salesAfter"))
        page["edges"] = [
            {"cursor": str(start + at), "node": row} for at, row in enumerate(page.pop("nodes"))
        ]
        return self.in_order("agreements", page)

    def _refunds(self, asked):
        refunds = copy.deepcopy(self.order["refunds"][: asked["first"]])
        self.cut_refunds(refunds)
        return self.in_order("refunds", refunds)

    def _refund_lines(self, asked):
        refund = copy.deepcopy(
            next(row for row in self.order["refunds"] if row["id"] == asked["id"])
        )
        refund["lines"] = self.cut(refund["lines"], asked["first"], asked["after"])
        self.cut_notes(refund["lines"])
        return {"refund": refund}

    def _notes(self, asked):
        rows = (row for refund in self.order["refunds"] for row in refund["lines"])
        line = copy.deepcopy(next(row for row in rows if row["id"] == asked["id"]))
        return {
            "line": {
                "id": line["id"],
                "notes": self.cut(line["notes"], asked["first"], asked["after"]),
            }
        }

    def in_order(self, name, value):
        return {"order": {"id": GID, "updatedAt": self.order["updatedAt"], name: value}}


def order(lines=0, agreements=(), refunds=()):
    """Return an order; ``agreements`` are numbers of sales, ``refunds`` of notes by line."""
    return {
        "id": GID,
        "name": "#1001",
        "updatedAt": "2026-11-20T10:00:00Z",
        "lines": [{"id": f"L{number}"} for number in range(lines)],
        "agreements": [
            {"id": f"A{a}", "sales": [{"id": f"A{a}S{s}"} for s in range(count)]}
            for a, count in enumerate(agreements)
        ],
        "refunds": [
            {
                "id": f"R{r}",
                "lines": [
                    {"id": f"R{r}L{n}", "notes": [{"id": f"R{r}L{n}N{i}"} for i in range(notes)]}
                    for n, notes in enumerate(lines)
                ],
            }
            for r, lines in enumerate(refunds)
        ],
    }


def plain(value):
    """Return a payload with its connections as lists."""
    if isinstance(value, dict):
        if "nodes" in value:
            assert not value["pageInfo"]["hasNextPage"], value["pageInfo"]
            return [plain(row) for row in value["nodes"]]
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(row) for row in value] if isinstance(value, list) else value


class TestPages(BaseCase):
    def assertWhole(self, wanted, most=1000):
        shop = Shop(wanted, most)
        self.assertEqual(plain(read_on(shop.ask, shop.first(), PLAN)), wanted)
        return shop

    def test_what_came_wholly_costs_nothing(self):
        self.assertFalse(self.assertWhole(order(2, [2, 1], [[1], [0]])).calls)

    def test_edges_of_a_page(self):
        for lines in (0, 1, 2, 3, 51, 52, 53, 250, 251, 600):
            self.assertWhole(order(lines))

    def test_every_depth(self):
        self.assertWhole(order(0, [0, 5, 2, 1, 300, 3, 8], [[9, 0, 30], [], [1], [2, 2], [0]]))

    def test_sales_of_objects_without_an_id_of_their_own_are_read_by_their_neighbours(self):
        shop = self.assertWhole(order(0, [1, 1, 5]))
        self.assertIn(
            ("agreements", {"id": GID, "first": 1, "after": "1", "sales": 250, "salesAfter": "1"}),
            shop.calls,
        )

    def test_any_order_under_any_limit(self):
        for seed in range(200):
            with self.subTest(seed=seed):
                dice = random.Random(seed)
                wanted = order(
                    dice.choice((0, 1, 2, 3, 60)),
                    [dice.choice((0, 1, 2, 3, 7)) for _ in range(dice.randint(0, 26))],
                    [
                        [dice.randint(0, 9) for _ in range(dice.randint(0, 4))]
                        for _ in range(dice.randint(0, 5))
                    ],
                )
                shop = self.assertWhole(wanted, most=dice.choice((250, 251, 400)))
                # and the same in pieces, each as many calls as the bucket has points
                progress, answers = Progress(), 0
                shop.calls.clear()
                while True:
                    shop.points, node, answers = dice.randint(0, 3), shop.first(), answers + 1
                    self.assertLess(answers, 200, "it never comes to an end")
                    try:
                        read_on(shop.ask, node, PLAN, progress=progress, key=seed)
                        break
                    except RateLimitedError:
                        continue
                self.assertEqual(plain(node), wanted)

    def test_pages_are_halved_until_they_fit(self):
        shop = self.assertWhole(order(30), most=4)
        self.assertEqual(
            [variables["first"] for _name, variables in shop.calls][:5], [50, 25, 12, 6, 3]
        )
        self.assertTrue(all(variables["first"] == 3 for _name, variables in shop.calls[5:]))

    def test_one_row_that_is_too_expensive_is_an_error(self):
        shop = Shop(order(3), most=0)
        with self.assertRaises(QueryTooExpensive):
            read_on(shop.ask, shop.first(), PLAN)

    def test_changed_while_it_was_read(self):
        shop = Shop(order(60))
        node = shop.first()
        shop.order["updatedAt"] = "2026-11-20T10:00:09Z"
        with self.assertRaises(NotReadyError) as caught:
            read_on(shop.ask, node, PLAN)
        self.assertIn("#1001 was changed", caught.exception.message)

    def test_a_neighbour_that_came_in_between_is_noticed(self):
        shop = Shop(order(0, [1, 1, 5]))
        node = shop.first()
        shop.order["agreements"].insert(0, {"id": "new", "sales": []})
        with self.assertRaises(NotReadyError):
            read_on(shop.ask, node, PLAN)

    def test_what_vanished_is_read_from_the_start(self):
        shop = Shop(order(60))
        node = shop.first()
        with self.assertRaises(NotReadyError):
            read_on(
                lambda *_args: {"order": {"updatedAt": node["updatedAt"], "lines": None}},
                node,
                PLAN,
            )
        with self.assertRaises(NotReadyError):
            read_on(lambda *_args: {"order": None}, shop.first(), PLAN)

    def test_a_page_that_repeats_itself_ends(self):
        shop = Shop(order(60))
        page = shop._lines({"first": 1, "after": None})
        page["order"]["lines"]["pageInfo"]["endCursor"] = "1"
        with self.assertRaises(RetryableError):
            read_on(lambda *_args: page, shop.first(), PLAN)

    def test_a_list_longer_than_shopify_gives_is_an_error(self):
        self.assertWhole(order(0, (), [[]] * 249))
        shop = Shop(order(0, (), [[]] * 250))
        with self.assertRaises(RequestRefused) as caught:
            read_on(shop.ask, shop.first(), PLAN)
        self.assertIn("#1001 has 250 or more refunds", caught.exception.message)

    def test_progress_is_of_one_version_and_not_for_ever(self):
        now = [0.0]
        progress = Progress(most=2, seconds=10, clock=lambda: now[0])
        for key in "abc":
            progress.keep(key, "1", f"work on {key}")
        self.assertIsNone(progress.take("a", "1"), "more than two are not kept")
        self.assertIsNone(progress.take("b", "2"), "it was changed since")
        self.assertEqual(progress.take("c", "1"), "work on c")
        self.assertIsNone(progress.take("c", "1"), "taken once")
        progress.keep("d", "1", "work on d")
        now[0] = 10.0
        self.assertIsNone(progress.take("d", "1"))

    def test_a_plan_that_cannot_work_says_so(self):
        shop = Shop(order(0, [1, 5]))
        with self.assertRaises(ValueError):
            read_on(shop.ask, shop.first(), [PLAN[0]])
