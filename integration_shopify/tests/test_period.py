from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import ValidationError

from ..models import integration_shopify_order_ways as module
from .common import ShopifyCase, line, order


class TestPeriod(ShopifyCase):
    """Old orders are read by the day on which they were placed."""

    def setUp(self):
        super().setUp()
        self.flow.tz = "America/New_York"
        for number, placed in (
            (1, "2024-12-31T23:00:00Z"),
            # five hours behind: still the old year in New York
            (2, "2025-01-01T04:59:59Z"),
            (3, "2025-01-01T05:00:00Z"),
            (4, "2025-06-01T00:00:00Z"),
            (5, "2026-01-01T04:59:59Z"),
            (6, "2026-01-01T05:00:00Z"),
        ):
            self.shop.put(
                order(number, [line(number, "10.0")], "10.0", processedAt=placed, test=False)
            )

    def load(self, **values):
        return self.env["integration.backfill"].create(
            {"flow_id": self.flow.id, "date_basis": "made", **values}
        )

    def run_load(self, load):
        load.action_start()
        self.env.flush_all()
        with self.enter_registry_test_mode():
            for _time in range(6):
                self.env["integration.engine"]._drain(self.flow.id)
                self.env.invalidate_all()
                self.env["integration.backfill"]._step_advance()
                self.env.flush_all()
        self.env.invalidate_all()

    def imported(self):
        return sorted(
            self.env["integration.binding"]
            .search([("backend_id", "=", self.backend.id), ("resource", "=", "order")])
            .mapped("external_label")
        )

    def queries(self, name):
        return [variables["query"] for called, variables in self.shop.calls if called == name]

    def test_orders_of_a_year_as_the_shop_counts_its_days(self):
        load = self.load(date_from="2025-01-01", date_to="2025-12-31")
        self.run_load(load)
        self.assertEqual(self.imported(), ["#3", "#4", "#5"])
        self.assertEqual((load.total, load.found, load.state), (3, 3, "done"))
        self.assertEqual(
            set(self.queries("order_period")),
            {
                "status:any processed_at:>='2025-01-01T05:00:00Z'"
                " processed_at:<'2026-01-01T05:00:00Z'"
            },
        )

    def test_all_orders_over_several_pages(self):
        self.patch(module, "ORDERS_PER_PAGE", 2)
        self.run_load(self.load())
        self.assertEqual(self.imported(), [f"#{number}" for number in range(1, 7)])
        self.assertEqual(self.queries("order_period"), ["status:any"] * 3)

    def test_a_count_that_is_only_a_bound_is_none(self):
        self.shop.precision = "AT_LEAST"
        load = self.load(date_from="2025-01-01")
        self.run_load(load)
        self.assertEqual((load.total, load.found), (0, 4))

    def test_the_screen_says_what_shopify_hides(self):
        recent = fields.Date.today() - timedelta(days=30)
        self.assertIn("last 60 days only", self.load(date_from="2025-01-01").notice)
        self.assertIn("last 60 days only", self.load().notice)
        self.assertFalse(self.load(date_from=recent).notice)
        self.backend.granted_scopes = ["read_orders", "read_all_orders"]
        self.assertFalse(self.load().notice)

    def test_the_screen_says_what_the_backend_skips(self):
        self.backend.granted_scopes = ["read_all_orders"]
        self.backend.shopify_orders_since = "2026-01-01 00:00:00"
        self.assertIn(
            "placed before 2026-01-01 00:00:00 are skipped",
            self.load(date_from="2025-01-01").notice,
        )
        self.assertFalse(self.load(date_from="2026-01-02").notice)

    def test_only_what_has_a_date_of_its_own_is_read_by_it(self):
        load = self.load()
        self.assertTrue(load.has_period)
        with (
            patch.object(
                type(self.env["integration.shopify.order"]), "_resource_has_period", False
            ),
            self.assertRaises(ValidationError),
        ):
            self.load()
