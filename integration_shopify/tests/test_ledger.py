from datetime import datetime
from decimal import Decimal

from odoo.tests import BaseCase

from odoo.addons.integration_base.lib.contract import validate

from ..lib.amounts import compute
from ..lib.contract import Order
from .common import (
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

HST = ("HST", 0.13)


def computed(payload, currency="USD"):
    return compute(validate(Order, payload, payload["name"]), currency, 2, "DE")


class LedgerCase(BaseCase):
    def placed(self, **extra):
        """Two units of 100.00 and shipping of 5.00, 13 % on the goods; paid."""
        return order(
            1,
            [line(1, "100.0", 2, taxes=[tax(*HST, "26.0")])],
            "231.0",
            "26.0",
            shipping_lines=[shipping(1, "5.0")],
            **{
                "transactions": [transaction(1, "SALE", "231.0")],
                "agreements": agreements(self.first()),
                **extra,
            },
        )

    def first(self):
        return agreement(
            1,
            [
                sale(1, "PRODUCT", "226.0", quantity=2, taxes=[tax(*HST, "26.0")], line=1),
                sale(2, "SHIPPING", "5.0", ship=1),
            ],
        )

    def given_back(self, *sales, at="2026-11-21T08:00:00Z", reason="REFUND", **extra):
        return agreement(2, sales, reason, at, **extra)

    def one_back(self, **extra):
        return sale(
            3,
            "PRODUCT",
            "-113.0",
            quantity=-1,
            action="RETURN",
            taxes=[tax(*HST, "-13.0")],
            line=1,
            **extra,
        )

    def left(self, total, tax_total, quantity=1, **extra):
        payload = self.placed(
            currentTotalPriceSet=money(total), currentTotalTaxSet=money(tax_total), **extra
        )
        payload["lineItems"]["nodes"][0]["currentQuantity"] = quantity
        return payload

    def check(self, payload, untaxed, tax_total, total):
        found = computed(payload)
        self.assertEqual((found.problem, found.fallback), ("", ""))
        self.assertEqual(
            (found.untaxed, found.tax, found.total),
            (Decimal(untaxed), Decimal(tax_total), Decimal(total)),
        )
        self.assertEqual(sum(post.total for post in found.postings), found.total)
        return found


class TestLedger(LedgerCase):
    """Amounts come from the sales agreements, to the cent."""

    def test_order(self):
        found = self.check(self.placed(), "205", "26", "231")
        goods, ship = found.lines
        self.assertEqual((goods.quantity, goods.untaxed, goods.tax), (2, 200, 26))
        self.assertEqual(goods.taxes[0].key, "HST|0.13|excluded")
        self.assertEqual((ship.kind, ship.untaxed, ship.quantity), ("shipping", 5, 1))
        self.assertEqual(found.paid_at, datetime(2026, 11, 20, 9, 59, 59))

    def test_refund_of_goods_and_shipping(self):
        payload = self.left(
            "115.0",
            "13.0",
            agreements=agreements(
                self.first(),
                self.given_back(
                    self.one_back(),
                    # Shopify does not say of which shipping line
                    sale(4, "SHIPPING", "-3.0", quantity=None, action="RETURN"),
                    refund={"id": "gid://shopify/Refund/1"},
                ),
            ),
            refunds=[
                refund(
                    1,
                    "116.0",
                    lines=[(1, 1, "RETURN")],
                    ships=[(1, "3.0")],
                    at="2026-11-21T08:00:00Z",
                )
            ],
        )
        found = self.check(payload, "102", "13", "115")
        goods, ship = found.lines
        self.assertEqual((goods.quantity, goods.untaxed), (1, 100))
        self.assertEqual((ship.untaxed, ship.price_unit), (2, 2))
        second = found.postings[1]
        self.assertEqual((second.total, second.refund_id), (-116, "gid://shopify/Refund/1"))
        self.assertEqual([entry.quantity for entry in second.entries], [-1, 0])

    def test_fee_kept_of_a_refund(self):
        payload = self.left(
            "118.0",
            "13.0",
            agreements=agreements(
                self.first(),
                self.given_back(
                    self.one_back(),
                    sale(4, "ADJUSTMENT", "10.0", quantity=None, action="RETURN"),
                    refund={"id": "gid://shopify/Refund/1"},
                ),
            ),
            refunds=[
                refund(
                    1,
                    "103.0",
                    adjustments=[("10.0", "REFUND_DISCREPANCY")],
                    at="2026-11-21T08:00:00Z",
                )
            ],
        )
        found = self.check(payload, "115", "13", "128")
        self.assertEqual([row.kind for row in found.lines], ["product", "shipping", "adjustment"])
        self.assertEqual(found.postings[1].total, -103)

    def test_money_of_a_refund_under_way_is_credited(self):
        """Acceptance case 15: the balancing adjustment must not make the credit note 0.00."""
        payload = self.left(
            "118.0",
            "13.0",
            agreements=agreements(
                self.first(),
                self.given_back(
                    self.one_back(),
                    sale(4, "ADJUSTMENT", "113.0", quantity=None, action="RETURN"),
                    refund={"id": "gid://shopify/Refund/1"},
                ),
            ),
            refunds=[
                refund(
                    1,
                    "0.0",
                    adjustments=[("113.0", "PENDING_REFUND_DISCREPANCY")],
                    at="2026-11-21T08:00:00Z",
                )
            ],
        )
        found = self.check(payload, "105", "13", "118")
        self.assertEqual(found.postings[1].total, -113)
        self.assertEqual(len(found.lines), 2)

    def test_exchange_with_a_difference_kept(self):
        """Acceptance case 25: the replacement is a sale inside of the return."""
        payload = self.left(
            "208.0",
            "13.0",
            agreements=agreements(
                self.first(),
                self.given_back(
                    self.one_back(),
                    sale(4, "PRODUCT", "90.0", line=2),
                    sale(5, "ADJUSTMENT", "23.0", quantity=None, action="RETURN"),
                    reason="RETURN",
                    **{"return": {"id": "gid://shopify/Return/1", "name": "#1-R1"}},
                ),
            ),
            refunds=[
                refund(
                    1,
                    "0.0",
                    lines=[(1, 1, "RETURN")],
                    adjustments=[("23.0", "REFUND_DISCREPANCY")],
                    at="2026-11-21T08:00:00Z",
                    **{"return": {"id": "gid://shopify/Return/1", "name": "#1-R1"}},
                )
            ],
        )
        payload["lineItems"]["nodes"].append(line(2, "90.0"))
        found = self.check(payload, "218", "13", "231")
        post = found.postings[1]
        self.assertEqual((post.total, post.return_name), (0, "#1-R1"))
        self.assertEqual(post.refund_id, "gid://shopify/Refund/1")
        self.assertEqual([entry.total for entry in post.entries], [-113, 90, 23])

    def test_everything_taken_back_keeps_its_lines(self):
        payload = self.left(
            "5.0",
            "0.0",
            0,
            agreements=agreements(
                self.first(),
                self.given_back(
                    sale(
                        3,
                        "PRODUCT",
                        "-226.0",
                        quantity=-2,
                        action="RETURN",
                        taxes=[tax(*HST, "-26.0")],
                        line=1,
                    )
                ),
            ),
        )
        goods = self.check(payload, "5", "0", "5").lines[0]
        self.assertEqual((goods.quantity, goods.untaxed, goods.tax), (0, 0, 0))

    def test_cash_rounding_is_a_posting_of_its_own(self):
        payload = self.placed(
            totalCashRoundingAdjustment={"paymentSet": money("-0.01"), "refundSet": money("0.0")}
        )
        found = self.check(payload, "204.99", "26", "230.99")
        self.assertEqual(found.postings[1].reason, "ROUNDING")

    def test_ledger_that_does_not_add_up_is_not_used(self):
        short = agreement(1, [sale(1, "PRODUCT", "226.0", taxes=[tax(*HST, "26.0")], line=1)])
        found = computed(self.placed(agreements=agreements(short)))
        self.assertIn("sales sum to 226.0, the order says 231.0", found.fallback)
        self.assertIn("1 units, the order 2", found.fallback)
        self.assertEqual((found.problem, found.total, found.postings), ("", Decimal(231), ()))

    def test_unknown_kind_of_sale_is_not_used(self):
        ledger = self.first()
        ledger["sales"]["nodes"][1]["lineType"] = "UNKNOWN"
        found = computed(self.placed(agreements=agreements(ledger)))
        self.assertIn("unknown kind ORDER UNKNOWN", found.fallback)

    def test_no_ledger(self):
        found = computed(self.placed(agreements=agreements()))
        self.assertIn("no sales agreements", found.fallback)
        self.assertEqual(found.total, 231)

    def test_tax_of_another_country_is_another_tax(self):
        payload = self.placed()
        payload["shippingAddress"]["countryCodeV2"] = "AT"
        self.assertEqual(computed(payload).lines[0].taxes[0].key, "HST|0.13|excluded|AT")

    def test_rate_without_amount_is_no_tax(self):
        ledger = self.first()
        county = tax("County", 0.08, "0.0")
        ledger["sales"]["nodes"][0]["taxes"].append(
            {
                "amount": county["priceSet"],
                "taxLine": {"title": "County", "rate": 0.08, "channelLiable": False},
            }
        )
        found = self.check(self.placed(agreements=agreements(ledger)), "205", "26", "231")
        self.assertEqual([row.key for row in found.lines[0].taxes], ["HST|0.13|excluded"])


class TestPaidAt(LedgerCase):
    """When an order was first paid is a fact about the past."""

    def test_in_parts(self):
        parts = [
            transaction(1, "SALE", "100.0"),
            transaction(2, "CAPTURE", "131.0", at="2026-11-20T12:00:00Z"),
        ]
        found = computed(self.placed(transactions=parts))
        self.assertEqual(found.paid_at, datetime(2026, 11, 20, 12))
        half = self.placed(transactions=parts[:1], displayFinancialStatus="PARTIALLY_PAID")
        self.assertIsNone(computed(half).paid_at)

    def test_what_is_no_money(self):
        rows = [
            transaction(1, "AUTHORIZATION", "231.0"),
            transaction(2, "SALE", "231.0", status="PENDING"),
            transaction(3, "SALE", "231.0", status="FAILURE"),
        ]
        status = {"displayFinancialStatus": "PENDING"}
        self.assertIsNone(computed(self.placed(transactions=rows, **status)).paid_at)

    def test_part_payment_that_was_given_back_never_paid_the_order(self):
        """Shopify calls it refunded; so an import that saw the steps had no invoice, one of the
        end had."""
        rows = [
            transaction(1, "SALE", "10.0", at="2026-11-20T12:00:00Z"),
            transaction(2, "REFUND", "10.0", at="2026-11-21T08:00:00Z"),
        ]
        for status in ("PARTIALLY_REFUNDED", "REFUNDED"):
            payload = self.placed(transactions=rows, displayFinancialStatus=status)
            self.assertIsNone(computed(payload).paid_at)

    def test_stays_after_a_refund_and_a_cancellation(self):
        back = sale(
            3,
            "PRODUCT",
            "-226.0",
            quantity=-2,
            action="RETURN",
            taxes=[tax(*HST, "-26.0")],
            line=1,
        )
        payload = self.left(
            "5.0",
            "0.0",
            0,
            agreements=agreements(self.first(), self.given_back(back)),
            transactions=[
                transaction(1, "SALE", "231.0", at="2026-11-20T12:00:00Z"),
                transaction(2, "REFUND", "226.0", at="2026-11-21T08:00:00Z"),
            ],
        )
        self.assertEqual(computed(payload).paid_at, datetime(2026, 11, 20, 12))

    def test_unpaid_order_that_was_cancelled_was_never_paid(self):
        back = [
            sale(
                3,
                "PRODUCT",
                "-226.0",
                quantity=-2,
                action="RETURN",
                taxes=[tax(*HST, "-26.0")],
                line=1,
            ),
            sale(4, "SHIPPING", "-5.0", quantity=None, action="RETURN"),
        ]
        payload = self.left(
            "0.0",
            "0.0",
            0,
            transactions=[],
            displayFinancialStatus=None,
            agreements=agreements(self.first(), self.given_back(*back)),
        )
        self.assertIsNone(computed(payload).paid_at)

    def test_free_order_is_paid_when_it_is_placed(self):
        payload = order(
            1,
            [line(1, "10.0", discounts=["10.0"])],
            "0.0",
            agreements=agreements(agreement(1, [sale(1, "PRODUCT", "0.0", line=1)])),
        )
        self.assertEqual(computed(payload).paid_at, datetime(2026, 11, 20, 9, 59, 59))

    def test_in_money_of_the_shop_shopify_decides(self):
        """Acceptance case 5: 12.77 CAD of 13.50 CAD pay the order, 9.00 USD of 9.00 USD."""
        row = transaction(1, "SALE", "12.77", currency="CAD", at="2026-11-20T12:00:00Z")
        row["amountSet"]["presentmentMoney"] = {"amount": "9.0", "currencyCode": "USD"}
        payload = order(
            1,
            [line(1, "13.5")],
            "13.5",
            agreements=agreements(agreement(1, [sale(1, "PRODUCT", "13.5", line=1)])),
            transactions=[row],
            currencyCode="CAD",
        )
        self.assertEqual(computed(payload, "CAD").paid_at, datetime(2026, 11, 20, 12))
