"""Whatever of a life Odoo sees, and in whichever order it is told: its books are the same."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from runtime import demo

from odoo.service.model import call_kw
from odoo.tests import tagged

from odoo.addons.integration_base.lib.records import Change
from odoo.addons.integration_shopify.lib import client
from odoo.addons.integration_shopify.tests import contract
from odoo.addons.integration_shopify.tests.common import ShopifyCase

from tests.simulators.shopify.base import Config
from tests.simulators.shopify.seed import seed_catalogue
from tests.simulators.shopify.shop import Shop

from .inprocess import Copy, answered_by
from .lives import clock, draw_lives
from .order_books import Amounts, expect
from .order_checker import OdooBooks
from .orders import fill_stock, judge, map_gateways, write_rules

SEED = 20
#: Lives of a test, of which there are two: one of all takes ten minutes.
LIVES = 5
#: Steps of a life: of shorter ones there is little to permute, and longer ones take their time.
STEPS = range(5, 8)
#: Of each life: copies Odoo sees some states of, and copies it is told about when they are over.
GLIMPSES, SHUFFLES = 4, 18
#: Share of the notifications that are lost and that come twice.
LOST, TWICE = 0.3, 0.3


class Told:
    """When Odoo is told about a copy of a life: at each tick, a list of moments of change."""

    def __init__(self, copy: Copy, kind: str, rng: random.Random):
        """:param kind: ``every`` state is seen, the ``end`` only, a ``glimpse`` of some states, or
        all notifications ``shuffled`` when it is over."""
        self.copy = copy
        self.kind = kind
        self.rng = rng
        #: what was told when: pairs of the tick and the moments of the changes
        self.heard = []
        self.late = None

    def at(self, tick, last):
        """Return the changes Odoo is told of at a tick; the last one is the listing."""
        changes = self._changes(last)
        if changes:
            self.heard.append((tick, tuple(change.updated_at for change in changes)))
        return changes

    def _changes(self, last):
        order = self.copy.order
        present = Change(order.gid, order.updated_at.replace(tzinfo=None), order.name)
        if last:
            return [present]
        if self.kind == "shuffled":
            return self._shuffled() if self.copy.over else []
        seen = {"every": 1, "end": 0, "glimpse": 0.4}[self.kind]
        return [present] if not self.copy.over_before and self.rng.random() < seen else []

    def _shuffled(self):
        """Some of the notifications that are left."""
        if self.late is None:
            self.late = [
                Change(gid, moment)
                for gid, moment in self.copy.notices
                for _time in range(self._times())
            ]
            self.rng.shuffle(self.late)
        count = self.rng.randint(0, len(self.late))
        now, self.late = self.late[:count], self.late[count:]
        return now

    def _times(self):
        draw = self.rng.random()
        return 0 if draw < LOST else 2 if draw < LOST + TWICE else 1

    def __str__(self):
        return f"{self.copy.life.title}, {self.kind}, told {self.heard}"


@pytest.mark.long
@tagged("post_install", "-at_install")
class TestPermutations(ShopifyCase):
    fake_shop = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        (cls.tax13 | cls.tax10 | cls.vat19 | cls.vat5).active = False

        def call(model, method, *arguments, **keywords):
            return call_kw(cls.env[model], method, list(arguments), keywords)

        cls.backend.shopify_timezone = Config().timezone
        demo.prepare_company(call)
        shop = Shop(Config())
        seed_catalogue(shop)
        for variant in shop.all("ProductVariant"):
            cls._product(variant.sku, barcode=variant.barcode, taxes_id=False)
        fill_stock(call)
        map_gateways(call, cls.backend.id)
        write_rules(call, cls.backend.id)

    def test_every_permutation_ends_in_the_same_books(self):
        self._permute(0)

    def test_every_permutation_of_other_lives(self):
        self._permute(LIVES)

    def _permute(self, start):
        lives = [life for life in draw_lives(SEED, 100) if len(life.steps) in STEPS]
        lives = lives[start : start + LIVES]
        rng = random.Random(SEED + start)
        kinds = ["every", "end", *["glimpse"] * GLIMPSES, *["shuffled"] * SHUFFLES]
        with clock() as watch:
            told = []
            for life in lives:
                for kind in kinds:
                    told.append(Told(Copy(life, len(told), watch), kind, rng))
            with answered_by([row.copy for row in told], client, contract.judge):
                self._live(told)
        found = self._books()
        wrong = {}
        for position in range(0, len(told), len(kinds)):
            first, *others = told[position : position + len(kinds)]
            wrong |= self._compare(first, others, found)
        permutations = {
            (row.copy.life.number, row.kind == "shuffled", *row.heard)
            for row in told
            if row.kind != "every"
        }
        self.assertGreaterEqual(len(permutations), 100)
        self.assertFalse(
            wrong, f"{len(wrong)} differ, e.g.\n" + "\n".join(list(wrong.values())[:5])
        )

    def _live(self, told):
        """Let all copies live step by step, with imports between."""
        steps = max(len(row.copy.life.steps) for row in told)
        # notifications of the longest life come for some time after its end
        ticks = steps + 4
        for tick in range(ticks):
            for row in told:
                row.copy.over_before = row.copy.over
                if not row.copy.over:
                    row.copy.play()
            self._import([change for row in told for change in row.at(tick, tick == ticks - 1)])

    def _import(self, changes):
        Log = self.env["integration.sync.log"]
        Log._append(self.flow, changes, "webhook")
        self.env.flush_all()
        waiting = [("flow_id", "=", self.flow.id), ("state", "in", ("pending", "running"))]
        for _drain in range(100):
            with self.enter_registry_test_mode():
                self.env["integration.engine"]._drain(self.flow.id)
            self.env.invalidate_all()
            if not Log.search_count(waiting):
                break
        else:
            self.fail("the orders are not imported in the end")
        dead = Log.search([("flow_id", "=", self.flow.id), ("state", "=", "dead")], limit=5)
        self.assertFalse(dead, "\n".join(row.message or "" for row in dead))

    def _books(self):
        self.env.flush_all()

        def sql(query, parameters=None):
            self.env.cr.execute(query, parameters)
            return self.env.cr.fetchall()

        return OdooBooks(sql, self.backend.id).read()

    def _compare(self, first, others, found):
        """Return what is wrong with the copies of a life, by copy."""
        wrong = {}
        should = self._plain(first, found)
        for row in [first, *others]:
            books = row.copy.books()
            problems = judge(books, found.get(row.copy.order.gid))
            present = self._plain(row, found)
            if expect(books).empty:
                # what nobody paid and nobody has needs no order: seen in time it is one of nothing
                problems |= self._left(present) | self._left(should)
            elif present != should:
                problems["permutation"] = [
                    f"{name}: {value}, should be {should[name]}"
                    for name, value in (present or {}).items()
                    if should and value != should[name]
                ] or ["there are no books"]
            if problems:
                wrong[row] = f"{row} {row.copy.life.actions}: {problems}"
        return wrong

    @staticmethod
    def _left(books):
        if books and (books["residual"] or books["amounts"]):
            return {"permutation": [f"something is left: {books}"]}
        return {}

    @staticmethod
    def _plain(row, found):
        """Odoo's books of a copy, without the names and numbers that differ between copies."""
        books = found.get(row.copy.order.gid)
        if books is None:
            return None
        entries = {
            key: sorted(gid for gid, keys in books.booked_in.items() if key in keys)
            for key in books.documents
        }
        plain = row.copy.plain
        documents = (
            sorted(
                (plain(entries[key]), replace(document, name=""))
                for key, document in books.documents.items()
            )
            if all(entries.values())
            else list(books.documents.values())
        )
        return {
            "state": books.state,
            "total": books.total,
            "documents": [(gids, str(document)) for gids, document in documents],
            "amounts": sum((d.amounts for d in books.documents.values()), Amounts()),
            "nothing": sorted(plain(books.nothing)),
            "payments": plain(books.payments),
            "quantities": plain(books.quantities),
            "delivered": plain(books.delivered),
            "to_ship": plain(books.to_ship),
            "residual": books.residual,
            "open": Counter(text.rpartition(": ")[2] for text in books.loose),
        }
