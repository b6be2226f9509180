"""Bugs that really happened to users of other connectors, each with a test of its name.

Numbers are those of the longest public list of them, the change log of one connector:

== ================================================= ==============================================
1  dates without zone miss orders                    here
2  tax rate without an amount                        here
3  order on the wrong person by name                 test_life, test_known_bugs_customers
4  neither billing nor shipping address              test_life, test_known_bugs_customers
5  ids of another kind delete pictures               here (lines), test_known_bugs_products_out
6  notifications ignore the cut-off date             test_life
7  fast changes of status are lost                   test_life
8  unarchived products without their variants        test_known_bugs_products_in, .._products_out
9  requests sent to the wrong store                  here, test_known_bugs_mappings, .._products_out
10 notifications refused after a new address         here, e2e/test_isolation
11 option with several values cannot be deleted      test_known_bugs_products_in, .._products_out
12 limit of simultaneous publications                test_known_bugs_products_out
13 endless loop when a delivery opens a dialog       here
14 archived contact used again                       test_life, test_known_bugs_customers
15 two contacts for equal addresses                  test_life, test_known_bugs_customers
16 forecast stock not sent after manufacturing       test_known_bugs_stock
17 stock of several companies ignores locations      test_known_bugs_stock, test_known_bugs_mappings
18 kilograms and pounds                              test_known_bugs_products_in, .._products_out
19 contact that is its own parent                    test_life, test_known_bugs_customers
20 one bad record blocks its batch                   here, and test_known_bugs_ of all others
21 name of a pickup location is lost                 test_life, test_known_bugs_customers
== ================================================= ==============================================
"""

import copy
import re
from datetime import datetime
from pathlib import Path
from unittest.mock import patch

from odoo.tests import BaseCase

from odoo.addons.integration_base.lib.http import HttpClient, Response
from odoo.addons.integration_base.lib.records import Change

from ..lib.client import GraphqlClient
from .common import (
    FakeShop,
    ShopifyCase,
    agreement,
    agreements,
    line,
    money,
    order,
    refund,
    sale,
    shipping,
    tax,
    transaction,
)
from .test_shipments import BERLIN, ShippingShop
from .test_webhook import BODY, headers

HST = ("HST", 0.13)
FIRST = "2026-11-21T08:00:00Z"
SECOND = "2026-11-22T08:00:00Z"
NOBODY = {
    "email": None,
    "phone": None,
    "customer": None,
    "billingAddress": None,
    "shippingAddress": None,
}


def later(payload, minute, **changes):
    """Return the order as it is some minutes later."""
    changed = {**copy.deepcopy(payload), "updatedAt": f"2026-11-22T10:{minute:02}:00Z"}
    return {**changed, **changes}


class RenamedShop(FakeShop):
    """A shop that got another address."""

    def _shop(self, _variables):
        return {"shop": {"name": "Demo", "myshopifyDomain": "renamed.myshopify.com"}}


class BugCase(ShopifyCase):
    def setUp(self):
        #: asks the shop in earnest
        self.ask = GraphqlClient._ask
        super().setUp()
        self.rule = self.env["integration.shopify.rule"].create(
            {"backend_id": self.backend.id, "invoice": "paid"}
        )

    def paid(self, number=1, units=3, price="10.0", **extra):
        """An order of some units of one product, without tax, that was paid at once."""
        total = str(units * float(price))
        return order(
            number,
            [line(number, price, units)],
            total,
            transactions=[transaction(number, "SALE", total)],
            agreements=agreements(
                agreement(number, [sale(number, "PRODUCT", total, quantity=units, line=number)])
            ),
            **extra,
        )

    def with_back(self, payload, *refunds, left, minute):
        """The same order after refunds of one unit each, given as pairs of number and time."""
        entries = [
            agreement(
                100 + number,
                [sale(100 + number, "PRODUCT", "-10.0", quantity=-1, action="RETURN", line=1)],
                "REFUND",
                at,
                refund={"id": f"gid://shopify/Refund/{number}"},
            )
            for number, at in refunds
        ]
        changed = later(
            payload,
            minute,
            displayFinancialStatus="PARTIALLY_REFUNDED",
            currentTotalPriceSet=money(f"{10 * left}.0"),
            agreements=agreements(*payload["agreements"]["nodes"], *entries),
            refunds=[
                refund(number, "10.0", lines=[(1, 1, "NO_RESTOCK")], at=at)
                for number, at in refunds
            ],
        )
        changed["lineItems"]["nodes"][0]["currentQuantity"] = left
        return changed

    def totals(self, sold):
        """Return kind, state and total of each document, oldest first."""
        return [
            (move.move_type, move.state, move.amount_total)
            for move in sold.invoice_ids.sorted("id")
        ]


class TestListedBugs(BugCase):
    """Numbers of the list that are about orders."""

    def test_bug_01_dates_are_sent_with_their_zone(self):
        """A time without zone is one of the shop's own, and the orders of some hours are missed."""
        resource = self.flow._resource()
        resource._fetch_changes(self.backend, datetime(2026, 11, 20, 9, 0), None)
        _name, variables = self.shop.calls[-1]
        self.assertEqual(variables["query"], "updated_at:>='2026-11-20T09:00:00Z'")

    def test_bug_02_tax_rate_without_amount(self):
        """A tax line that names a rate and takes nothing made the total too high."""
        payload = self.paid()
        nothing = tax("HST", 0.13, "0.0")
        payload["lineItems"]["nodes"][0]["taxLines"] = [nothing]
        payload["agreements"]["nodes"][0]["sales"]["nodes"][0]["taxes"] = [
            {
                "amount": money("0.0"),
                "taxLine": {name: nothing[name] for name in ("title", "rate", "channelLiable")},
            }
        ]
        sold = self.import_one(payload)
        self.assertTotals(sold, 30, 0, 30)
        self.assertEqual(self.totals(sold), [("out_invoice", "posted", 30)])

    def test_bug_05_other_kind_of_id_loses_no_line(self):
        """An id of another kind in the same place was taken for a new record, the old deleted."""
        payload = self.paid()
        sold = self.import_one(payload)
        known = sold.order_line
        variant = {"id": "gid://shopify/ProductVariant/777", "barcode": None}
        changed = later(payload, 1)
        changed["lineItems"]["nodes"][0]["variant"] = variant
        self.import_one(changed)
        self.assertEqual(sold.order_line, known)
        self.assertEqual(known.product_uom_qty, 3)

    def test_bug_09_every_shop_is_asked_for_its_own_orders(self):
        """With one session for all, orders of the second shop were asked for in the first."""
        second = self.env["integration.backend"].create(
            {"name": "Second", "connector": "shopify", "base_url": "second.myshopify.com"}
        )
        second.write({"state": "active", "shopify_domain": "second.myshopify.com"})
        asked = []

        def post(client, *_args, **_options):
            asked.append(client.base_url)
            return Response(200, {}, b'{"data": {"nodes": []}}', 1)

        with patch.object(HttpClient, "post", post):
            for backend in (self.backend, second, self.backend):
                self.ask(backend._shopify_client(note=False), "shop", None, "presentment")
        self.assertEqual(
            [url.split("://")[1].split("/")[0] for url in asked],
            ["demo.myshopify.com", "second.myshopify.com", "demo.myshopify.com"],
        )

    def test_bug_09_equal_numbers_of_two_shops(self):
        second = self.env["integration.backend"].create(
            {"name": "Second", "connector": "shopify", "base_url": "second.myshopify.com"}
        )
        second.write({"state": "active", "shopify_domain": "second.myshopify.com"})
        first = self.import_one(self.paid())
        self.flow = second.flow_ids.filtered(lambda flow: flow.resource == "order")
        other = self.import_one(self.paid())
        self.assertNotEqual(first, other)
        self.assertIn("second", other.shopify_url)

    def test_bug_10_notifications_after_the_shop_got_another_address(self):
        connector = self.backend._connector()
        renamed = headers(**{"X-Shopify-Shop-Domain": "renamed.myshopify.com"})
        self.shop = RenamedShop()
        connector._connected(self.backend)
        found = connector._webhook_backends(self.backend, "orders/create", renamed, BODY)
        self.assertEqual(found, self.backend)

    def test_bug_13_delivery_that_would_ask_for_a_backorder(self):
        """Where Odoo opens a dialog instead of validating, the job went round for ever."""
        self.shop = ShippingShop()
        payload = self.paid()
        self.shop.plan(payload, (BERLIN, {1: 3}))
        sold = self.import_one(payload)
        self.shop.ship(payload, BERLIN, {"gid://shopify/LineItem/1": 1})
        self.import_one(payload)
        self.assertEqual(sold.order_line.qty_delivered, 1)
        done = sold.picking_ids.filtered(lambda picking: picking.state == "done")
        rest = sold.picking_ids - done
        self.assertEqual((len(done), rest.backorder_id), (1, done))
        self.assertEqual(rest.move_ids.product_uom_qty, 2)

    def test_bug_20_bad_order_does_not_stop_its_neighbours(self):
        orders = [self.paid(number) for number in (1, 2, 3)]
        orders[1]["lineItems"]["nodes"][0].update(sku="NOBODY-KNOWS", variant=None)
        operations = self.drain(*orders)
        self.assertEqual(operations.mapped("state"), ["done", "dead", "done"])
        self.assertIn("NOBODY-KNOWS", operations[1].message)


class TestListOfBugs(BaseCase):
    def test_the_tests_are_where_the_list_says(self):
        """Each number is in the list, and in each file it names there is a test of it."""
        folder, listed, files = Path(__file__).parent, set(), {}
        for path in folder.glob("test_*.py"):
            found = re.findall(r"def test_(?:bug_)?(\d\d)_", path.read_text(encoding="utf-8"))
            files[path.stem] = {int(number) for number in found}
        for row in re.findall(r"^\d+ .*$", __doc__, re.MULTILINE):
            number = int(row.split()[0])
            listed.add(number)
            # whole stories are kept elsewhere, and need not be shipped along
            named = re.findall(r"(?<![\w/])(test_\w+[a-z])\b", row[53:])
            named += [f"test_known_bugs{end}" for end in re.findall(r"\.\.(_\w+)", row)]
            named += [Path(__file__).stem] if "here" in row[53:57] else []
            for name in set(named):
                found = files.get(name, ())
                self.assertIn(number, found, f"{name} has no test of bug {number}")
        self.assertEqual(listed, set(range(1, 22)))


class TestBugsOfTheBooks(BugCase):
    """What stops the connector that comes with Odoo."""

    def test_bug_refund_with_several_posted_invoices(self):
        """It needs exactly one posted invoice."""
        payload = self.paid()
        sold = self.import_one(payload)
        edit = agreement(50, [sale(50, "PRODUCT", "20.0", quantity=1, line=2)], "ORDER_EDIT", FIRST)
        edited = later(
            payload,
            1,
            currentTotalPriceSet=money("50.0"),
            agreements=agreements(*payload["agreements"]["nodes"], edit),
        )
        edited["lineItems"]["nodes"].append(line(2, "20.0"))
        self.import_one(edited)
        back = self.with_back(edited, (1, SECOND), left=2, minute=2)
        back["currentTotalPriceSet"] = money("40.0")
        self.import_one(back)
        self.assertEqual(
            self.totals(sold),
            [
                ("out_invoice", "posted", 30),
                ("out_invoice", "posted", 20),
                ("out_refund", "posted", 10),
            ],
        )
        self.assertTotals(sold, 40, 0, 40)

    def test_bug_several_refunds(self):
        payload = self.paid()
        sold = self.import_one(payload)
        self.import_one(self.with_back(payload, (1, FIRST), left=2, minute=1))
        self.import_one(self.with_back(payload, (1, FIRST), (2, SECOND), left=1, minute=2))
        self.assertEqual([row[2] for row in self.totals(sold)], [30, 10, 10])
        self.assertEqual(len(sold.shopify_refund_ids), 2)
        self.assertTotals(sold, 10, 0, 10)

    def test_bug_refund_that_is_gone_does_not_stop_later_ones(self):
        """One that Shopify does not list any more stopped every refund after it."""
        payload = self.paid()
        sold = self.import_one(payload)
        self.import_one(self.with_back(payload, (1, FIRST), left=2, minute=1))
        gone = self.with_back(payload, (1, FIRST), (2, SECOND), left=1, minute=2)
        gone["refunds"] = gone["refunds"][1:]
        self.import_one(gone)
        self.assertEqual([row[2] for row in self.totals(sold)], [30, 10, 10])
        self.assertEqual(
            set(sold.shopify_refund_ids.mapped("external_id")),
            {"gid://shopify/Refund/1", "gid://shopify/Refund/2"},
        )

    def test_bug_discrepancy_does_not_stop_the_invoice(self):
        """Tax that differs from its rate made an adjustment line, and no invoice."""
        payload = order(
            1,
            [line(1, "10.0", 3, taxes=[tax(*HST, "3.89")])],
            "33.89",
            "3.89",
            transactions=[transaction(1, "SALE", "33.89")],
            agreements=agreements(
                agreement(
                    1,
                    [sale(1, "PRODUCT", "33.89", quantity=3, taxes=[tax(*HST, "3.89")], line=1)],
                )
            ),
        )
        sold = self.import_one(payload)
        self.assertTotals(sold, 30, 3.89, 33.89)
        self.assertEqual(len(sold.order_line), 1)
        invoice = sold.invoice_ids
        self.assertEqual((invoice.state, len(invoice.invoice_line_ids)), ("posted", 1))
        self.assertEqual((invoice.amount_tax, invoice.amount_total), (3.89, 33.89))


class TestBugsEverybodyKnows(BugCase):
    """Complaints about more than one connector."""

    def test_bug_plan_without_personal_data(self):
        """ "Customer data not found": no order could be imported."""
        sold = self.import_one(self.paid(**NOBODY))
        self.assertEqual(sold.state, "sale")
        self.assertEqual(self.totals(sold), [("out_invoice", "posted", 30)])
        self.assertIn("without personal data", sold.partner_id.name)

    def test_bug_edits_are_synced(self):
        payload = self.paid()
        sold = self.import_one(payload)
        edit = agreement(50, [sale(50, "PRODUCT", "20.0", quantity=1, line=2)], "ORDER_EDIT", FIRST)
        edited = later(
            payload,
            1,
            currentTotalPriceSet=money("50.0"),
            agreements=agreements(*payload["agreements"]["nodes"], edit),
        )
        edited["lineItems"]["nodes"].append(line(2, "20.0"))
        self.import_one(edited)
        self.assertTotals(sold, 50, 0, 50)
        self.assertEqual(len(sold.order_line), 2)

    def test_bug_repeated_notifications_make_one_order(self):
        payload = self.paid()
        self.drain(payload)
        for _repeat in range(3):
            self.drain(payload)
        # the copies of one notification may also be waiting at the same time
        log = self.env["integration.sync.log"]
        for _repeat in range(3):
            log._append(self.flow, [Change(payload["id"])], "webhook")
        self.drain(later(payload, 1))
        sold = self.env["sale.order"].search([("origin", "=", "#1")])
        self.assertEqual(len(sold), 1)
        self.assertEqual(self.totals(sold), [("out_invoice", "posted", 30)])

    def test_bug_notifications_lost_during_maintenance(self):
        """Nobody was notified of the orders of an hour: the reading by schedule finds them."""
        self.import_one(self.paid(1))
        self.shop.put(*(self.paid(n, updatedAt=f"2026-11-20T10:0{n}:00Z") for n in (2, 3)))
        self.env["integration.sync.log"]._append_paged(self.flow, "listing", "schedule")
        self.env.flush_all()
        with self.enter_registry_test_mode():
            for _work in range(2):
                self.env["integration.engine"]._drain(self.flow.id)
        self.env.invalidate_all()
        found = self.env["sale.order"].search([("origin", "in", ("#1", "#2", "#3"))])
        self.assertEqual(len(found), 3)

    def test_bug_rounding_differences(self):
        """Three units whose discount and tax do not divide: not a cent more or less."""
        taxed = [tax(*HST, "3.77")]
        payload = order(
            1,
            [line(1, "10.01", 3, discounts=["1.01"], taxes=taxed)],
            "32.79",
            "3.77",
            transactions=[transaction(1, "SALE", "32.79")],
            agreements=agreements(
                agreement(1, [sale(1, "PRODUCT", "32.79", quantity=3, taxes=taxed, line=1)])
            ),
        )
        sold = self.import_one(payload)
        self.assertTotals(sold, 29.02, 3.77, 32.79)
        invoice = sold.invoice_ids
        self.assertEqual((invoice.amount_untaxed, invoice.amount_tax), (29.02, 3.77))
        self.assertEqual(invoice.amount_total, 32.79)

    def test_bug_discount_is_taken_from_the_net_price(self):
        """Taken from the price with tax, a discount of 10.00 became one of 8.85."""
        taxed, ship = [tax(*HST, "11.7")], [tax(*HST, "0.65")]
        payload = order(
            1,
            [line(1, "50.0", 2, discounts=["10.0"], taxes=taxed)],
            "107.35",
            "12.35",
            shipping_lines=[shipping(1, "5.0", taxes=ship)],
            transactions=[transaction(1, "SALE", "107.35")],
            agreements=agreements(
                agreement(
                    1,
                    [
                        sale(1, "PRODUCT", "101.7", quantity=2, taxes=taxed, line=1),
                        sale(2, "SHIPPING", "5.65", taxes=ship, ship=1),
                    ],
                )
            ),
        )
        sold = self.import_one(payload)
        self.assertTotals(sold, 95, 12.35, 107.35)
        goods = sold.order_line[0]
        self.assertEqual((goods.price_unit, goods.discount, goods.price_subtotal), (50, 10, 90))
        self.assertEqual(sold.invoice_ids.amount_total, 107.35)

    def test_bug_discount_with_prices_that_include_tax(self):
        """The same the other way round: here the discount is one of the price with tax."""
        taxed = [tax("VAT", 0.19, "14.37")]
        payload = order(
            1,
            [line(1, "50.0", 2, discounts=["10.0"], taxes=taxed)],
            "90.0",
            "14.37",
            taxesIncluded=True,
            transactions=[transaction(1, "SALE", "90.0")],
            agreements=agreements(
                agreement(1, [sale(1, "PRODUCT", "90.0", quantity=2, taxes=taxed, line=1)])
            ),
        )
        sold = self.import_one(payload)
        self.assertTotals(sold, 75.63, 14.37, 90)
        self.assertEqual(sold.invoice_ids.amount_total, 90)
