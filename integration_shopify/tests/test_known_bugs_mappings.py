"""Bugs that really happened to users of other connectors, about settings and prices of a shop.

Where the tests of all numbers are: ``test_known_bugs.py``.
"""

from unittest.mock import patch

from odoo.tests import tagged

from ..lib.client import GraphqlClient
from .test_prices import VARIANT, PriceCase, PriceShop
from .test_settings import LIST, location, price_list


@tagged("post_install", "-at_install")
class TestListedBugsOfSettings(PriceCase):
    def second_shop(self):
        """Return another shop, its backend, and send what each is asked to the right one."""
        backend = self.env["integration.backend"].create(
            {"name": "Second", "connector": "shopify", "base_url": "second.myshopify.com"}
        )
        backend.write({"state": "active", "shopify_domain": "second.myshopify.com"})
        shop = PriceShop()
        shop.price_lists = [price_list(1, "Of the second", "USD")]
        shop.markets = []
        shops = {"demo.myshopify.com": self.shop, "second.myshopify.com": shop}

        def ask(client, name, variables, money):
            host = client._http.base_url.split("://")[1].split("/")[0]
            return shops[host].execute(name, variables, money=money)

        self.startPatcher(patch.object(GraphqlClient, "_ask", ask))
        return shop, backend

    def read_of(self, backend, *codes):
        self.settings = backend.flow_ids.filtered(lambda flow: flow.resource == "setting")
        return self.read_groups(*codes)

    def test_bug_09_prices_and_settings_of_two_shops(self):
        """Both shops have a price list of the same number, and sell the same product."""
        shop, second = self.second_shop()
        self.read_of(second, "market", "location")
        self.assertEqual(
            self.env["integration.mapping"]
            .search([("kind", "=", "price_list"), ("external_value", "=", f"{LIST}1")])
            .mapped("external_label"),
            ["US wholesale", "Of the second"],
        )
        self.link(self.product, backend=second)
        self.rule(self.product)
        prices = second._shopify_price_flow()
        prices.enabled = True
        self.send()
        self.send(prices)
        gid = f"{VARIANT}{self.product.id}"
        self.assertEqual(self.shop.prices, {f"{LIST}1": {gid: ("15.00", None)}})
        self.assertEqual(shop.prices, {}, "its price list is none of Odoo's")
        dear = self.env["product.pricelist"].create({"name": "Dear", "currency_id": self.usd.id})
        row = self.env["integration.mapping"].search(
            [("backend_id", "=", second.id), ("kind", "=", "price_list")]
        )
        row.resource_ref = f"product.pricelist,{dear.id}"
        self.env["product.pricelist.item"].create(
            {
                "pricelist_id": dear.id,
                "applied_on": "3_global",
                "compute_price": "fixed",
                "fixed_price": 99,
            }
        )
        self.send(prices)
        self.send()
        self.assertEqual(shop.prices, {f"{LIST}1": {gid: ("99.00", None)}})
        self.assertEqual(self.shop.prices, {f"{LIST}1": {gid: ("15.00", None)}})

    def test_bug_17_locations_are_looked_for_in_the_own_company(self):
        """The stock of another company was sold, because its warehouse had the same name."""
        other = self.env["res.company"].create({"name": "Other"})
        Warehouse = self.env["stock.warehouse"]
        foreign = Warehouse.search([("company_id", "=", other.id)])
        foreign.write({"name": "Hamburg"})
        self.shop.locations = [location(7, "Hamburg")]
        self.read_groups("location")
        row = self.rows("location")["Hamburg"]
        self.assertFalse(row.resource_ref)
        own = Warehouse.create({"name": "Hamburg", "code": "HAM"})
        self.shop.locations = [location(7, "Hamburg"), location(8, "hamburg")]
        self.read_groups("location")
        self.assertEqual(self.rows("location")["hamburg"].resource_ref, own.lot_stock_id)

    def test_bug_20_one_price_that_is_refused_does_not_stop_the_others(self):
        others = [self._product(f"SKU-{n}", list_price=10) for n in range(2, 6)]
        self.link(*others)
        self.send()
        self.shop.variants = {f"{VARIANT}{row.id}" for row in (self.product, *others[1:])}
        self.rule(None, applied_on="3_global")
        states = self.send().mapped("state")
        self.assertEqual(sorted(states), ["dead", *["done"] * 4])
        self.assertEqual(len(self.fixed()), 4)
