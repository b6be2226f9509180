"""Prices of Odoo's price lists reach the shop's price lists, each once and no more than needed."""

import re
from datetime import timedelta
from decimal import Decimal

from odoo import fields
from odoo.fields import Command
from odoo.tests import BaseCase, tagged

from odoo.addons.integration_base.lib.errors import RetryableError
from odoo.addons.integration_base.lib.records import Change

from ..lib import markets
from .simulated import SimulatedCase
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

    def _price_list_prices(self, variables):
        if not self._list(variables["id"]):
            return {"priceList": None}
        asked = {
            f"{VARIANT}{number}" for number in re.findall(r"variant_id:(\d+)", variables["query"])
        }
        assert 0 < len(asked) <= variables["first"]
        currency = self._list(variables["id"])["currency"]
        rows = [
            {
                # as the API writes amounts: 15.0
                "price": {"amount": str(float(price)), "currencyCode": currency},
                "compareAtPrice": before
                and {"amount": str(float(before)), "currencyCode": currency},
                "variant": {"id": gid},
            }
            for gid, (price, before) in sorted(self.prices.get(variables["id"], {}).items())
            if gid in asked
        ]
        return {"priceList": {"id": variables["id"], "prices": self._paged(rows, variables)}}


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
        # the operation of a comparison ends without a trace
        return waiting.exists().filtered(lambda row: row.state != "merged")

    def calls(self):
        """Return the mutations since the last time."""
        found = [name for name, _variables in self.shop.calls if "prices_" in name]
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

    def test_prices_of_the_shop(self):
        def read(amount, before=None, currency="EUR"):
            money = {"amount": amount, "currencyCode": currency}
            old = before and {"amount": before, "currencyCode": currency}
            return markets.read_price({"price": money, "compareAtPrice": old})

        self.assertEqual(read("12.5"), ["12.50", "", "EUR"])
        self.assertEqual(read("12.50", "15.0"), ["12.50", "15.00", "EUR"])
        self.assertEqual(read("1500.0", currency="JPY"), ["1500", "", "JPY"])
        self.assertEqual(read("12.504"), ["12.504", "", "EUR"], "not the price of 12.50")

    def test_search_of_variants(self):
        self.assertEqual(
            markets.search([f"{VARIANT}1", f"{VARIANT}22"]), "variant_id:1 OR variant_id:22"
        )

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


@tagged("post_install", "-at_install")
class TestPriceProof(PriceCase):
    """What was changed in the shop is found and repaired, and what is not ours is left alone."""

    LIST_NAME = "US wholesale"

    def setUp(self):
        super().setUp()
        self.gid = f"{VARIANT}{self.product.id}"

    def start(self):
        """Send everything and compare, so that both sides are known to agree."""
        self.send()
        self.assertFalse(self.compare().discrepancy_ids)
        self.shop.calls.clear()

    def compare(self):
        run = self.env["integration.reconciliation"]._start(self.prices, "manual")
        for _page in range(20):
            self.send()
            if run.state == "done":
                break
        self.assertEqual(run.state, "done", run.message)
        return run

    def found(self, run):
        """Return ``{SKU: differences}`` of a comparison."""
        return {line._record().default_code: line.differences for line in run.discrepancy_ids}

    def repair(self, run):
        run.discrepancy_ids.action_repair()
        return self.send()

    def fix(self, price, before=None, number=1, product=None):
        """Change a price in the shop, behind Odoo's back; None takes it away."""
        gid = f"{VARIANT}{(product or self.product).id}"
        kept = self.shop.prices.setdefault(f"{LIST}{number}", {})
        if price is None:
            del kept[gid]
        else:
            kept[gid] = (price, before)

    def lose(self):
        """Lose what waits to be sent, as by somebody who clears the log."""
        self.env.cr.flush()
        waiting = [("flow_id", "=", self.prices.id), ("state", "=", "pending")]
        self.env["integration.sync.log"].search(waiting).unlink()

    def reads(self):
        """Return the reading calls since the last time, as (price list, variants asked for)."""
        found = [
            (variables["id"], variables["query"].count("variant_id:"))
            for name, variables in self.shop.calls
            if name == "price_list_prices"
        ]
        self.shop.calls.clear()
        return found

    def test_changed_price_is_found_and_repaired(self):
        self.rule(self.product)
        self.start()
        self.fix("9.99")
        run = self.compare()
        self.assertEqual(run.different_count, 1)
        self.assertEqual(self.found(run), {"SKU-1": [[self.LIST_NAME, "15.00 USD", "9.99 USD"]]})
        self.assertEqual(
            run.discrepancy_ids.summary,
            "US wholesale: 15.00 USD in Odoo, 9.99 USD outside",
        )
        self.assertEqual(self.calls(), [], "comparing sends nothing")
        self.assertEqual(self.repair(run).state, "done")
        self.assertEqual(self.fixed(), {"SKU-1": ("15.00", None)})
        self.assertEqual(self.calls(), ["price_list_prices_add"])
        self.assertFalse(self.compare().discrepancy_ids)

    def test_price_before_the_discount_is_compared(self):
        self.rule(self.product, compute_price="percentage", percent_price=10)
        self.start()
        self.fix("18.00")
        run = self.compare()
        self.assertEqual(
            self.found(run),
            {"SKU-1": [[self.LIST_NAME, "18.00 USD (before: 20.00)", "18.00 USD"]]},
        )
        self.repair(run)
        self.assertEqual(self.fixed(), {"SKU-1": ("18.00", "20.00")})

    def test_removed_price_is_found_and_repaired(self):
        self.rule(self.product)
        self.start()
        self.fix(None)
        run = self.compare()
        self.assertEqual((run.different_count, run.missing_outside_count), (1, 0))
        self.assertEqual(self.found(run), {"SKU-1": [[self.LIST_NAME, "15.00 USD", ""]]})
        self.repair(run)
        self.assertEqual(self.fixed(), {"SKU-1": ("15.00", None)})
        self.assertFalse(self.compare().discrepancy_ids)

    def test_what_the_flow_repairs_by_itself(self):
        self.rule(self.product)
        self.prices.reconcile_repair = "all"
        self.start()
        self.fix("9.99")
        run = self.compare()
        self.send()
        self.assertEqual(self.fixed(), {"SKU-1": ("15.00", None)})
        self.env["integration.discrepancy"]._settle_repairs()
        self.assertEqual(run.discrepancy_ids.state, "repaired")

    def test_prices_that_odoo_has_no_rule_for_are_not_reported(self):
        other = self._product("SKU-2", list_price=10)
        self.link(other)
        self.rule(self.product)
        self.start()
        self.fix("3.00", product=other)
        self.assertFalse(self.compare().discrepancy_ids)
        # nor when it is looked at, because something of it changed in Odoo
        rule = self.rule(other, fixed_price=10)
        self.send()
        self.assertFalse(self.compare().discrepancy_ids)
        rule.fixed_price = 8
        self.lose()
        run = self.compare()
        self.assertEqual(self.found(run), {"SKU-2": [[self.LIST_NAME, "8.00 USD", "3.00 USD"]]})
        self.assertEqual(self.fixed()["SKU-2"], ("3.00", None))

    def test_price_of_ours_that_nobody_wants_any_more(self):
        rule = self.rule(self.product)
        self.start()
        rule.unlink()
        self.lose()
        run = self.compare()
        self.assertEqual(self.found(run), {"SKU-1": [[self.LIST_NAME, "", "15.00 USD"]]})
        self.repair(run)
        self.assertEqual(self.fixed(), {})
        self.assertEqual(self.calls(), ["price_list_prices_delete"])
        self.assertFalse(self.env["integration.shopify.fixed.price"].search([]))
        self.assertFalse(self.compare().discrepancy_ids)

    def test_unchanged_costs_no_write_and_only_what_odoo_has_fixed_is_read(self):
        others = [self._product(f"SKU-{n}", list_price=10) for n in range(2, 5)]
        self.link(*others)
        self.rule(self.product)
        self.send()
        self.shop.calls.clear()
        self.assertFalse(self.compare().discrepancy_ids)
        # listed, then looked at once
        self.assertEqual(self.reads(), [(f"{LIST}1", 1), (f"{LIST}1", 4)])
        states = self.env["integration.agreement"].search_read(
            [("flow_id", "=", self.prices.id)], ["agreed_state"]
        )
        run = self.compare()
        self.assertFalse(run.discrepancy_ids)
        self.assertEqual((run.seen_count, run.external_count), (4, 4))
        self.assertEqual([name for name, _variables in self.shop.calls], ["price_list_prices"])
        self.assertEqual(self.reads(), [(f"{LIST}1", 1)])
        self.assertEqual(
            states,
            self.env["integration.agreement"].search_read(
                [("flow_id", "=", self.prices.id)], ["agreed_state"]
            ),
        )

    def test_without_fixed_prices_nothing_is_asked(self):
        self.start()
        self.compare()
        self.assertEqual(self.shop.calls, [])

    def two_lists(self):
        """Map a second price list, in which the product costs 17.50 EUR."""
        eur = self.env.ref("base.EUR")
        eur.active = True
        self.shop.price_lists.append(price_list(2, "Europe", "EUR", percent=5))
        self.read_groups("market")
        second = self.env["product.pricelist"].create({"name": "EU", "currency_id": eur.id})
        self.map(2, second)
        self.rule(self.product, pricelist_id=second.id, fixed_price=17.5)

    def test_two_price_lists_of_one_variant(self):
        self.rule(self.product)
        self.two_lists()
        self.start()
        self.fix("1.00", number=2)
        run = self.compare()
        self.assertEqual(self.found(run), {"SKU-1": [["Europe", "17.50 EUR", "1.00 EUR"]]})
        self.fix(None)
        run = self.compare()
        self.assertEqual(
            sorted(self.found(run)["SKU-1"]),
            [["Europe", "17.50 EUR", "1.00 EUR"], [self.LIST_NAME, "15.00 USD", ""]],
        )
        self.repair(run)
        self.assertEqual(self.fixed(), {"SKU-1": ("15.00", None)})
        self.assertEqual(self.fixed(2), {"SKU-1": ("17.50", None)})
        self.shop.calls.clear()
        self.assertFalse(self.compare().discrepancy_ids)
        self.assertEqual(sorted(self.reads()), [(f"{LIST}1", 1), (f"{LIST}2", 1)])

    def test_price_list_that_is_gone_unnoticed(self):
        self.rule(self.product)
        self.start()
        self.shop.price_lists = []
        run = self.compare()
        self.assertEqual(self.found(run), {"SKU-1": [[self.LIST_NAME, "15.00 USD", ""]]})
        operation = self.repair(run)
        self.assertEqual(operation.state, "dead")
        self.assertIn("no longer in the shop", operation.message)

    def test_another_variant_by_now_is_sent_anew(self):
        self.rule(self.product)
        self.start()
        link = self.env["integration.binding"].search([("resource", "=", "variant")])
        link.external_id = f"{VARIANT}999999"
        run = self.compare()
        self.assertEqual(self.found(run), {"SKU-1": [["", "Changed since it was last sent", ""]]})
        self.repair(run)
        self.assertEqual(self.shop.prices[f"{LIST}1"][f"{VARIANT}999999"], ("15.00", None))
        self.assertFalse(self.compare().discrepancy_ids)

    def test_price_list_that_was_mapped_anew_is_sent_and_compared_again(self):
        self.rule(self.product)
        self.start()
        row = self.env["integration.mapping"].search([("kind", "=", "price_list")])
        row.resource_ref = False
        row.unlink()
        self.read_groups("market", force=True)
        self.map()
        self.send()
        self.assertEqual(self.calls(), ["price_list_prices_add"])
        self.assertFalse(self.compare().discrepancy_ids)
        self.fix("9.99")
        self.assertEqual(self.compare().different_count, 1)

    def test_calls_and_queries_per_variant_are_constant(self):
        def cost(count, start):
            products = self.env["product.product"].create(
                [{"name": f"Q{start + n}", "list_price": 10, "type": "consu"} for n in range(count)]
            )
            self.link(*products)
            self.send()
            self.assertFalse(self.compare().discrepancy_ids)
            self.env.flush_all()
            self.shop.calls.clear()
            before = self.env.cr.sql_log_count
            self.assertFalse(self.compare().discrepancy_ids)
            return self.env.cr.sql_log_count - before, self.reads()

        self.rule(None, applied_on="3_global")
        self.send()
        few, calls = cost(9, 0)
        # the product of the case, too
        self.assertEqual(calls, [(f"{LIST}1", 10)])
        many, calls = cost(markets.LISTED, 1000)
        # 610 variants: two pages of links
        self.assertEqual(calls, [(f"{LIST}1", markets.READ)] * 3 + [(f"{LIST}1", 10)])
        # measured: 47 for 600
        self.assertLess((many - few) / markets.LISTED, 0.2, (few, many))

    def test_pages_of_the_shop_are_read_to_their_end(self):
        others = [self._product(f"SKU-{n}", list_price=10) for n in range(2, 5)]
        self.link(*others)
        self.rule(None, applied_on="3_global")
        self.shop.page = 2
        self.start()
        self.fix("9.99", product=others[-1])
        run = self.compare()
        self.assertEqual(self.found(run), {"SKU-4": [[self.LIST_NAME, "15.00 USD", "9.99 USD"]]})
        # 4 variants in pages of 2: listed, then the one that differs
        self.assertEqual(self.reads(), [(f"{LIST}1", 4)] * 2 + [(f"{LIST}1", 1)])


@tagged("post_install", "-at_install")
class TestPricesSimulated(SimulatedCase):
    """The same against the simulated shop, which answers and searches as the real one does."""

    def setUp(self):
        super().setUp()
        from tests.simulators.shopify import market_api

        self.api = market_api
        for name in ("Wholesale", "Retail"):
            market_api.add_market(
                self.store, {"name": name, "currency": "USD", "priceList": {"percent": 10}}
            )
        self.backend.shopify_currency = "USD"
        self.settings = self.backend.flow_ids.filtered(lambda flow: flow.resource == "setting")
        self.env["integration.sync.log"]._append(self.settings, [Change("market")], "manual")
        self.run_flow(self.settings)
        self.prices = self.backend._shopify_price_flow()
        self.prices.write({"enabled": True, "debounce_seconds": 0, "reconcile_repair": "all"})
        rows = self.env["integration.mapping"].search([("kind", "=", "price_list")])
        for row, price in zip(rows, (15, 17), strict=True):
            pricelist = self.env["product.pricelist"].create(
                {
                    "name": row.display_name,
                    "currency_id": self.usd.id,
                    "item_ids": [
                        Command.create(
                            {
                                "applied_on": "3_global",
                                "compute_price": "fixed",
                                "fixed_price": price,
                            }
                        )
                    ],
                }
            )
            row.resource_ref = f"product.pricelist,{pricelist.id}"
        other = self._product("SKU-2", list_price=10)
        links = {}
        for product in self.product | other:
            variant = self.store.add_product(
                {"title": product.name, "sku": product.default_code, "price": "10.00"}
            ).variants[0]
            links[variant.gid] = (product, variant.item.gid, product.display_name)
        self.env["integration.shopify.product"]._link_variants(self.backend, links)
        self.backend._shopify_send_prices()
        self.run_flow(self.prices)
        self.calls.clear()

    def fixed(self):
        """Return ``{price list: {SKU: price and compare-at}}`` of the shop."""
        found = (self.api.truth(self.store, row) for row in self.store.all("PriceList"))
        return {row["name"]: row["fixed"] for row in found}

    def compare(self):
        run = self.env["integration.reconciliation"]._start(self.prices, "manual")
        self.run_flow(self.prices)
        self.assertEqual(run.state, "done", run.message)
        return run

    def test_what_was_changed_in_the_shop_is_repaired(self):
        wanted = {
            name: {sku: [price, None] for sku in ("SKU-1", "SKU-2")}
            for name, price in self.names().items()
        }
        self.assertEqual(self.fixed(), wanted)
        self.assertFalse(self.compare().discrepancy_ids)
        self.calls.clear()
        self.assertFalse(self.compare().discrepancy_ids)
        self.assertEqual(self.calls, {"PriceListPrices": 2})
        first, second = self.names()
        self.api.fix_price(self.store, {"priceList": first, "sku": "SKU-1", "price": "1"})
        self.api.fix_price(self.store, {"priceList": second, "sku": "SKU-1"})
        run = self.compare()
        self.run_flow(self.prices)
        prices = self.names()
        self.assertEqual(
            sorted(run.discrepancy_ids.differences),
            sorted(
                [
                    [first, f"{prices[first]} USD", "1.00 USD"],
                    [second, f"{prices[second]} USD", ""],
                ]
            ),
        )
        self.assertEqual(self.fixed(), wanted)
        self.calls.clear()
        self.assertFalse(self.compare().discrepancy_ids)
        self.assertEqual(self.calls, {"PriceListPrices": 2})

    def names(self):
        """Return ``{price list of the shop: what its products cost}``."""
        rows = self.env["integration.mapping"].search([("kind", "=", "price_list")])
        return {row.display_name: f"{row.resource_ref.item_ids.fixed_price:.2f}" for row in rows}
