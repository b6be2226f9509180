from datetime import timedelta

from odoo import fields
from odoo.exceptions import AccessError
from odoo.tests import BaseCase, new_test_user

from odoo.addons.integration_base.lib.errors import RateLimitedError

from ..lib.numbers import Series, gaps, series_of
from ..models import integration_shopify_number as module
from .common import ShopifyCase, line, order


class TestSeries(BaseCase):
    def test_names_of_shops(self):
        for names, series in (
            (["#1001", "#1002"], Series("#", "")),
            (["1001"], Series("", "")),
            (["EN-2026-1001B"], Series("EN-2026-", "B")),
            (["#1001", "POS 7", "#1003"], Series("#", "")),
            (["nothing", ""], None),
            ([], None),
        ):
            self.assertEqual(series_of(names), series, names)

    def test_numbers_of_names(self):
        series = Series("EN", "-B")
        self.assertEqual(series.number("EN1001-B"), 1001)
        self.assertEqual(series.name(1001), "EN1001-B")
        for odd in (
            "1001",
            "EN-B",
            "EN1001",
            "EN01-B",
            "ENx1-B",
            "EN1001-B2",
            "EN" + "9" * 13 + "-B",
        ):
            self.assertIsNone(series.number(odd), odd)

    def test_gaps(self):
        self.assertEqual(gaps([1001, 1002, 1005], 100), [1003, 1004])
        self.assertEqual(gaps([1, 1005], 3), [1003, 1004])
        self.assertEqual(gaps([7], 100), [])
        self.assertEqual(gaps([], 100), [])


class TestMissingNumbers(ShopifyCase):
    def setUp(self):
        super().setUp()
        for number in (1001, 1002, 1006):
            self.import_one(self.order(number))
        self.shop.calls.clear()

    def order(self, number, **values):
        return order(number, [line(number, "10.0")], "10.0", **values)

    def check(self):
        self.env.flush_all()
        with self.enter_registry_test_mode():
            rows = self.env["integration.shopify.number"]._check(self.backend)
            self.env.flush_all()
            self.env["integration.engine"]._drain(self.flow.id)
        self.env.invalidate_all()
        return rows

    def states(self):
        return {row.name: row.state for row in self.backend.shopify_number_ids}

    def imported(self):
        return (
            self.env["integration.binding"]
            .search([("backend_id", "=", self.backend.id), ("resource", "=", "order")])
            .mapped("external_label")
        )

    def test_what_shopify_has_is_imported_and_what_not_is_remembered(self):
        self.shop.put(self.order(1004))
        rows = self.check()
        self.assertEqual(self.states(), {"#1003": "absent", "#1004": "found", "#1005": "absent"})
        self.assertIn("#1004", self.imported())
        self.assertEqual(
            rows.filtered(lambda row: row.state == "found").external_id, "gid://shopify/Order/1004"
        )
        self.assertIn("imported now: #1004", self.backend.message_ids[0].body)
        self.assertTrue(self.backend.shopify_numbers_checked_at)

    def test_longer_numbers_that_begin_alike_are_not_meant(self):
        self.shop.put(self.order(10031), self.order(100))
        self.check()
        self.assertEqual(set(self.states().values()), {"absent"})
        self.assertNotIn("#10031", self.imported())

    def test_a_search_that_lags_is_asked_again_but_not_for_ever(self):
        self.check()
        self.shop.put(self.order(1003))
        self.check()
        self.assertEqual(self.states()["#1003"], "found")
        late = fields.Datetime.now() - module.SEARCH_LAG - timedelta(hours=1)
        self.backend.shopify_number_ids.sudo().first_at = late
        self.shop.calls.clear()
        self.assertFalse(self.check())
        self.assertEqual(self.shop.calls, [], "nothing is left to ask for")

    def test_orders_that_were_skipped_or_failed_are_known(self):
        skipped = self.drain(self.order(1003, cancelledAt="2026-11-20T11:00:00Z"))
        self.assertEqual(skipped.state, "skipped")
        dead = self.drain(self.order(1004, currencyCode="XXX", presentmentCurrencyCode="XXX"))
        self.assertEqual(dead.state, "dead")
        skipped.sudo().label = False
        before = self.env["integration.sync.log"].search_count([])
        self.check()
        # the name of the first is nowhere, so Shopify is asked; then its id tells
        self.assertEqual(self.states(), {"#1003": "known", "#1005": "absent"})
        self.assertEqual(self.env["integration.sync.log"].search_count([]), before)

    def test_many_numbers_are_asked_for_in_parts(self):
        self.patch(module, "NUMBERS_PER_CALL", 2)
        self.check()
        queries = [variables["query"] for _name, variables in self.shop.calls]
        self.assertEqual(queries, ['name:"#1003" OR name:"#1004"', 'name:"#1005"'])

    def test_nothing_is_remembered_when_shopify_does_not_answer(self):
        self.shop.errors = [RateLimitedError("slow down")]
        with self.assertRaises(RateLimitedError), self.env.cr.savepoint():
            self.check()
        self.assertFalse(self.backend.shopify_number_ids)

    def test_nobody_is_asked_while_the_flow_is_off(self):
        self.flow.enabled = False
        self.assertFalse(self.check())
        self.assertEqual(self.shop.calls, [])

    def test_the_button(self):
        self.shop.put(self.order(1005))
        action = self.backend.action_shopify_find_missing_orders()
        self.assertIn("3 numbers were missing. Shopify has 1", action["params"]["message"])

    def test_the_daily_check_looks_for_them(self):
        self.shop.put(self.order(1005))
        self.env.flush_all()
        with self.enter_registry_test_mode():
            self.backend._connector()._check_daily(self.backend)
        self.env.invalidate_all()
        self.assertEqual(self.states()["#1005"], "found")

    def test_who_may_see_them(self):
        self.check()
        user = new_test_user(self.env, "reader", "integration_base.group_integration_user")
        rows = self.backend.shopify_number_ids.with_user(user)
        self.assertEqual(len(rows.mapped("name")), 3)
        with self.assertRaises(AccessError):
            rows.write({"name": "#1"})
        other = self.env["res.company"].create({"name": "Other"})
        stranger = new_test_user(
            self.env,
            "stranger",
            "integration_base.group_integration_user",
            company_id=other.id,
            company_ids=[(6, 0, other.ids)],
        )
        self.assertFalse(self.env["integration.shopify.number"].with_user(stranger).search([]))

    def test_orders_that_have_a_link_are_not_missing(self):
        """Old orders imported late have the newest links, and push others out of the sample."""
        for number in (1005, 1007, 990):
            self.import_one(self.order(number))
        self.patch(module, "WINDOW", 3)
        # long ago: the log has forgotten
        self.env.cr.execute("DELETE FROM integration_sync_log")
        self.shop.calls.clear()
        self.assertFalse(self.check())
        self.assertEqual(self.shop.calls, [])
        link = self.env["integration.binding"].search([("external_label", "=", "#1006")])
        link.external_label = False
        self.check()
        self.assertEqual(self.states(), {"#1006": "known"})
        self.assertFalse(self.env["integration.sync.log"].search_count([("kind", "=", "record")]))
