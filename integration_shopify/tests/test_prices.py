"""Prices of Odoo's price lists reach the shop's price lists, each once and no more than needed."""

from datetime import timedelta
from decimal import Decimal

from odoo import fields
from odoo.tests import BaseCase, tagged

from odoo.addons.integration_base.lib.errors import RetryableError

from ..lib import markets
from .test_settings import LIST, SettingsCase, SettingsShop, price_list

VARIANT = "gid://shopify/ProductVariant/"


class PriceShop(SettingsShop):
    """A shop that fixes prices as the real one does: all of a call, or none.

    :ivar prices: ``{id of the price list: {id of the variant: (price, compare-at)}}``.
    :ivar variants: ids of its variants; None for any.
    :ivar nameless: whether refusals say which row they are about.
    :ivar lost: how many of the next mutations take effect without an answer.
    """

    def __init__(self):
        super().__init__()
        self.prices = {}
        self.variants = None
        self.nameless = False
        self.lost = 0

    def _list(self, gid):
        return next((row for row in self.price_lists if row["id"] == gid), None)

    def _answer(self, name, errors, apply):
        if errors:
            if self.nameless:
                errors = [{**row, "field": ["prices"]} for row in errors[:1]]
            return {name: {"userErrors": errors}}
        apply()
        if self.lost:
            self.lost -= 1
            raise RetryableError("The answer was lost.")
        return {name: {"userErrors": []}}

    def _price_list_prices_add(self, variables):
        found, rows = self._list(variables["id"]), variables["prices"]
        assert len(rows) <= 250
        errors = []
        if not found:
            errors = [_error(["priceListId"], "PRICE_LIST_NOT_FOUND")]
        for number, row in enumerate(rows):
            path = ["prices", str(number)]
            if self.variants is not None and row["variantId"] not in self.variants:
                errors.append(_error([*path, "variantId"], "VARIANT_NOT_FOUND"))
            elif found and row["price"]["currencyCode"] != found["currency"]:
                errors.append(_error([*path, "price"], "PRICE_LIST_CURRENCY_MISMATCH"))

        def apply():
            kept = self.prices.setdefault(variables["id"], {})
            for row in rows:
                before = row["compareAtPrice"]
                kept[row["variantId"]] = (row["price"]["amount"], before and before["amount"])

        return self._answer("priceListFixedPricesAdd", errors, apply)

    def _price_list_prices_delete(self, variables):
        kept = self.prices.setdefault(variables["id"], {})
        errors = [
            _error(["variantIds", str(number)], "PRICE_NOT_FIXED")
            for number, gid in enumerate(variables["variants"])
            if gid not in kept
        ]

        def apply():
            for gid in variables["variants"]:
                del kept[gid]

        return self._answer("priceListFixedPricesDelete", errors, apply)


def _error(path, code):
    return {"field": path, "code": code, "message": code.capitalize().replace("_", " ")}


class PriceCase(SettingsCase):
    def setUp(self):
        super().setUp()
        self.shop = PriceShop()
        self.shop.price_lists = [price_list(1, "US wholesale", "USD")]
        self.shop.markets = []
        self.read_groups("market")
        self.backend.shopify_currency = "USD"
        self.prices = self.backend._shopify_price_flow()
        self.prices.enabled = True
        self.pricelist = self.env["product.pricelist"].create(
            {"name": "Wholesale", "currency_id": self.usd.id}
        )
        self.product.list_price = 20
        self.link(self.product)
        self.map()
        self.env.cr.flush()

    def map(self, number=1, pricelist=None):
        row = self.env["integration.mapping"].search(
            [
                ("backend_id", "=", self.backend.id),
                ("kind", "=", "price_list"),
                ("external_value", "=", f"{LIST}{number}"),
            ]
        )
        row.resource_ref = f"product.pricelist,{(pricelist or self.pricelist).id}"
        return row

    def link(self, *products, backend=None):
        """Have the shop know products as variants of their own numbers."""
        backend = backend or self.backend
        self.env["integration.shopify.product"]._link_variants(
            backend,
            {
                f"{VARIANT}{product.id}": (
                    product,
                    f"gid://shopify/InventoryItem/{product.id}",
                    product.display_name,
                )
                for product in products
            },
        )

    def rule(self, product=None, **values):
        values = {"compute_price": "fixed", "fixed_price": 15, **values}
        if product:
            values = {
                "applied_on": "0_product_variant",
                "product_tmpl_id": product.product_tmpl_id.id,
                "product_id": product.id,
                **values,
            }
        return self.env["product.pricelist.item"].create(
            {"pricelist_id": self.pricelist.id, **values}
        )

    def send(self, flow=None):
        """Send what waits; returns the operations of this run that were not merged."""
        flow = flow or self.prices
        # also what changes of watched fields append
        self.env.cr.flush()
        Log = self.env["integration.sync.log"]
        waiting = Log.search([("flow_id", "=", flow.id), ("state", "=", "pending")])
        waiting.write({"next_attempt_at": fields.Datetime.now() - timedelta(seconds=1)})
        self.env.flush_all()
        with self.enter_registry_test_mode():
            self.env["integration.engine"]._drain(flow.id)
        self.env.invalidate_all()
        return waiting.filtered(lambda row: row.state != "merged")

    def calls(self):
        """Return the mutations since the last time."""
        found = [name for name, _variables in self.shop.calls if "prices" in name]
        self.shop.calls.clear()
        return found

    def fixed(self, number=1):
        """Return ``{SKU: (price, compare-at)}`` of a price list of the shop."""
        return {
            self.env["product.product"].browse(int(gid.rpartition("/")[2])).default_code: price
            for gid, price in self.shop.prices.get(f"{LIST}{number}", {}).items()
        }


class TestPurePrices(BaseCase):
    def price(self, price, before=None, base=20.0, **values):
        values = {"ruled": True, "currency": "EUR", "same_currency": True, "percent": "0"} | values
        return markets.fixed(price, price if before is None else before, base, **values)

    def test_prices_without_a_rule_are_left_to_the_shop(self):
        self.assertIsNone(self.price(15.0, ruled=False))

    def test_price_that_is_the_shops_own_anyway(self):
        self.assertIsNone(self.price(20.0))
        self.assertEqual(self.price(20.0, percent="-10").amount, "20.00")
        self.assertEqual(self.price(20.0, same_currency=False).amount, "20.00")

    def test_amounts(self):
        self.assertEqual(self.price(14.1, 15.0), markets.Price("14.10", "15.00", "EUR"))
        self.assertEqual(self.price(15.0, 14.0).compare_at, "")
        self.assertEqual(self.price(1500.0, currency="JPY").amount, "1500")
        self.assertEqual(markets.amount(0.1 + 0.2, "EUR"), "0.30")
        self.assertEqual(markets.amount(1e-07, "EUR"), "0.00")
        self.assertEqual(markets.amount(Decimal("1.005"), "KWD"), "1.005")

    def test_refused_rows(self):
        self.assertEqual(
            markets.refused_rows(["prices.3.variantId", "prices.0"], "prices", 4), {3: 0, 0: 1}
        )
        for paths in (["priceListId"], ["prices"], ["prices.9"], [""]):
            self.assertIsNone(markets.refused_rows(paths, "prices", 4), paths)

    def test_input(self):
        self.assertEqual(
            markets.Price("1.00", "", "EUR").as_input("v"),
            {
                "variantId": "v",
                "price": {"amount": "1.00", "currencyCode": "EUR"},
                "compareAtPrice": None,
            },
        )


@tagged("post_install", "-at_install")
class TestPrices(PriceCase):
    def test_rule_fixes_a_price_and_its_end_lets_go_of_it(self):
        rule = self.rule(self.product)
        self.send()
        self.assertEqual(self.fixed(), {"SKU-1": ("15.00", None)})
        self.assertEqual(self.calls(), ["price_list_prices_add"])
        row = self.env["integration.shopify.fixed.price"].search([])
        self.assertEqual((row.product_id, row.amount, row.currency), (self.product, "15.00", "USD"))
        rule.fixed_price = 14
        self.send()
        self.assertEqual(self.fixed(), {"SKU-1": ("14.00", None)})
        rule.unlink()
        self.send()
        self.assertEqual(self.fixed(), {})
        self.assertFalse(row.exists())
        self.assertEqual(self.calls(), ["price_list_prices_add", "price_list_prices_delete"])

    def test_unchanged_costs_no_call(self):
        self.rule(self.product)
        self.send()
        self.calls()
        self.backend._shopify_send_prices()
        self.product.list_price = 21
        operations = self.send()
        self.assertEqual(set(operations.mapped("state")), {"done"})
        self.assertEqual(self.calls(), [])

    def test_price_of_the_shop_decides_whether_one_is_fixed(self):
        rule = self.rule(self.product, fixed_price=20)
        self.send()
        self.assertEqual(self.fixed(), {})
        self.product.list_price = 25
        self.send()
        self.assertEqual(self.fixed(), {"SKU-1": ("20.00", None)})
        self.assertTrue(rule)

    def test_discount_shows_the_price_before(self):
        self.rule(self.product, compute_price="percentage", percent_price=10)
        self.send()
        self.assertEqual(self.fixed(), {"SKU-1": ("18.00", "20.00")})
        self.backend.shopify_market_compare_at = False
        self.backend._shopify_send_prices()
        self.send()
        self.assertEqual(self.fixed(), {"SKU-1": ("18.00", None)})

    def test_rule_about_everything_reaches_every_product(self):
        others = [self._product(f"SKU-{n}", list_price=10) for n in range(2, 5)]
        self.link(*others)
        self.send()
        self.calls()
        self.rule(None, applied_on="3_global", compute_price="percentage", percent_price=50)
        self.send()
        self.assertEqual(self.calls(), ["price_list_prices_add"])
        self.assertEqual(len(self.fixed()), 4)

    def test_category_rule(self):
        category = self.env["product.category"].create({"name": "Cups"})
        self.product.categ_id = category
        rule = self.rule(None, applied_on="2_product_category", categ_id=category.id)
        self.send()
        self.assertEqual(self.fixed(), {"SKU-1": ("15.00", None)})
        rule.unlink()
        self.send()
        self.assertEqual(self.fixed(), {})

    def test_batches_of_250(self):
        products = self.env["product.product"].create(
            [
                {"name": f"P{n}", "default_code": f"P{n}", "list_price": 10, "type": "consu"}
                for n in range(260)
            ]
        )
        self.link(*products)
        self.rule(None, applied_on="3_global")
        self.prices.batch_size = 500
        self.send()
        self.assertEqual(self.calls(), ["price_list_prices_add"] * 2)
        self.assertEqual(len(self.fixed()), 261)

    def test_bad_variant_does_not_stop_its_neighbours(self):
        others = [self._product(f"SKU-{n}", list_price=10) for n in range(2, 5)]
        self.link(*others)
        self.send()
        self.shop.variants = {f"{VARIANT}{row.id}" for row in (self.product, others[0], others[2])}
        self.rule(None, applied_on="3_global")
        operations = self.send()
        self.assertEqual(sorted(self.fixed()), ["SKU-1", "SKU-2", "SKU-4"])
        bad = operations.filtered(lambda row: row.state == "dead")
        self.assertEqual(bad.res_id, others[1].id)
        self.assertIn("Wholesale", bad.message + self.pricelist.name)
        self.assertIn("Variant not found", bad.message)

    def test_refusal_that_names_no_row(self):
        others = [self._product(f"SKU-{n}", list_price=10) for n in range(2, 9)]
        self.link(*others)
        self.send()
        self.shop.nameless = True
        self.shop.variants = {f"{VARIANT}{row.id}" for row in (self.product, *others[1:])}
        self.rule(None, applied_on="3_global")
        operations = self.send()
        self.assertEqual(len(self.fixed()), 7)
        self.assertEqual(operations.filtered(lambda row: row.state == "dead").res_id, others[0].id)

    def test_lost_answer_changes_nothing(self):
        self.rule(self.product)
        self.shop.lost = 1
        operation = self.send()
        self.assertEqual(operation.state, "pending")
        self.assertEqual(self.fixed(), {"SKU-1": ("15.00", None)})
        operation = self.send()
        self.assertEqual(operation.state, "done")
        self.assertEqual(len(self.env["integration.shopify.fixed.price"].search([])), 1)

    def test_lost_answer_of_a_price_let_go(self):
        rule = self.rule(self.product)
        self.send()
        rule.unlink()
        self.shop.lost = 1
        self.assertEqual(self.send().state, "pending")
        self.assertEqual(self.send().state, "done")
        self.assertFalse(self.env["integration.shopify.fixed.price"].search([]))

    def test_prices_fixed_in_shopify_stay(self):
        other = self._product("SKU-2", list_price=10)
        self.link(other)
        self.shop.prices = {f"{LIST}1": {f"{VARIANT}{other.id}": ("3.00", None)}}
        self.rule(self.product)
        self.send()
        self.backend._shopify_send_prices()
        self.send()
        self.assertEqual(self.fixed(), {"SKU-1": ("15.00", None), "SKU-2": ("3.00", None)})

    def test_two_price_lists_send_only_what_changed(self):
        eur = self.env.ref("base.EUR")
        eur.active = True
        self.shop.price_lists.append(price_list(2, "Europe", "EUR", percent=5))
        self.read_groups("market")
        second = self.env["product.pricelist"].create({"name": "EU", "currency_id": eur.id})
        self.map(2, second)
        self.rule(self.product)
        self.send()
        self.env["product.pricelist.item"].create(
            {
                "pricelist_id": second.id,
                "applied_on": "1_product",
                "product_tmpl_id": self.product.product_tmpl_id.id,
                "compute_price": "fixed",
                "fixed_price": 17.5,
            }
        )
        self.shop.calls.clear()
        self.send()
        self.assertEqual([row[1]["id"] for row in self.shop.calls], [f"{LIST}2"])
        self.assertEqual(self.fixed(2), {"SKU-1": ("17.50", None)})

    def test_price_list_that_is_gone_is_left_alone(self):
        self.rule(self.product)
        self.shop.price_lists = []
        self.assertEqual(self.send().state, "dead")
        self.read_groups("market")
        self.backend._shopify_send_prices()
        self.assertEqual(self.send().state, "done")

    def test_price_list_in_another_currency_now(self):
        self.rule(self.product)
        self.shop.price_lists[0]["currency"] = "EUR"
        operation = self.send()
        self.assertEqual(operation.state, "dead")
        self.assertIn("another currency", operation.message)

    def test_new_variant_gets_its_prices(self):
        self.rule(None, applied_on="3_global")
        self.send()
        other = self._product("SKU-2", list_price=10)
        self.send()
        self.assertNotIn("SKU-2", self.fixed())
        self.link(other)
        self.send()
        self.assertIn("SKU-2", self.fixed())

    def test_rules_that_begin_and_end_by_themselves(self):
        now = fields.Datetime.now()
        self.rule(self.product, date_start=now + timedelta(hours=1))
        self.send()
        self.assertEqual(self.fixed(), {})
        self.backend.shopify_prices_checked_at = now - timedelta(hours=2)
        self.env["product.pricelist.item"].search([]).date_start = now - timedelta(hours=1)
        self.env["integration.sync.log"].search([("flow_id", "=", self.prices.id)]).unlink()
        self.env["integration.backend"]._cron_shopify_dated_prices()
        self.send()
        self.assertEqual(self.fixed(), {"SKU-1": ("15.00", None)})
        before = self.env["integration.sync.log"].search_count([])
        self.env["integration.backend"]._cron_shopify_dated_prices()
        self.assertEqual(self.env["integration.sync.log"].search_count([]), before)

    def test_shared_products_are_priced_in_the_main_company(self):
        """What the other shop itself asks is the sales price in its own currency."""
        eur = self.env.ref("base.EUR")
        eur.active = True
        other = self.second_company(eur, rate=0.5)
        found = self.env["integration.shopify.price"]._shop_prices(other, self.product)
        self.assertEqual(found, {self.product.id: 10})

    def test_nothing_is_sent_while_the_flow_is_off(self):
        self.send()
        self.prices.enabled = False
        self.rule(self.product)
        self.assertFalse(self.send())
        self.prices.enabled = True
        self.send()
        self.assertEqual(self.fixed(), {"SKU-1": ("15.00", None)})

    def test_queries_per_product_are_constant(self):
        def queries(count, start):
            products = self.env["product.product"].create(
                [{"name": f"Q{start + n}", "list_price": 10, "type": "consu"} for n in range(count)]
            )
            self.link(*products)
            self.env.flush_all()
            before = self.env.cr.sql_log_count
            self.send()
            return self.env.cr.sql_log_count - before

        self.rule(None, applied_on="3_global")
        self.send()
        queries(5, 0)
        few = queries(10, 100)
        many = queries(110, 1000)
        self.assertLess((many - few) / 100, 3, (few, many))
