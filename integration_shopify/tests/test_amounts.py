from decimal import ROUND_HALF_UP, Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from odoo.tests import BaseCase

from odoo.addons.integration_base.lib.contract import validate
from odoo.addons.integration_base.lib.errors import InvalidPayloadError
from odoo.addons.integration_base.lib.money import allocate

from ..lib.amounts import compute
from ..lib.contract import Order
from .common import fixture, line, order, shipping, tax


def computed(payload, places=2):
    return compute(validate(Order, payload, payload["name"]), "XXX", places)


class TestAmounts(BaseCase):
    def check(self, payload, untaxed, tax_total, total, places=2):
        found = computed(payload, places)
        self.assertEqual(found.problem, "")
        self.assertEqual(
            (found.untaxed, found.tax, found.total),
            (Decimal(untaxed), Decimal(tax_total), Decimal(total)),
        )
        self.assertEqual(sum(row.untaxed for row in found.lines), found.untaxed)
        self.assertEqual(sum(row.tax for row in found.lines), found.tax)
        return found.lines

    def test_unpaid_order_without_tax(self):
        self.check(fixture("unpaid_no_tax"), "20", "0", "20")

    def test_tax_on_goods_and_shipping(self):
        goods, ship = self.check(fixture("paid_tax_on_shipping"), "29", "2.9", "31.9")
        self.assertEqual(goods.taxes[0].key, "GST|0.1|excluded")
        self.assertEqual(goods.taxes[0].label, "GST 10 % (excluded)")
        self.assertEqual((ship.kind, ship.tax), ("shipping", Decimal("0.5")))

    def test_discount_code_keeps_the_unit_price(self):
        goods, _ship = self.check(fixture("fixed_discount_code"), "29", "0", "29")
        self.assertEqual(goods.price_unit, 30)
        self.assertEqual(goods.discount, Decimal("16.67"))
        self.assertEqual(goods.untaxed, 25)

    def test_discounts_are_taken_as_allocated(self):
        lines = self.check(fixture("discount_allocated_over_lines"), "394", "0", "394")
        self.assertEqual(
            [row.untaxed for row in lines],
            [Decimal(a) for a in ("89.22", "94.92", "94.93", "94.93", "20.0")],
        )

    def test_reduced_quantity_takes_its_share_of_price_and_tax(self):
        (goods,) = self.check(fixture("edited_quantity_reduced"), "100", "13", "113")
        self.assertEqual((goods.quantity, goods.untaxed, goods.tax), (1, 100, 13))

    def test_line_edited_to_zero_is_left_out(self):
        lines = self.check(fixture("edited_line_to_zero"), "15", "0", "15")
        self.assertEqual(len(lines), 2)

    def test_included_tax_is_taken_out_of_the_price(self):
        goods, ship = self.check(fixture("tax_included_order_discount"), "112.75", "5.64", "118.39")
        self.assertEqual((goods.untaxed, goods.tax), (Decimal("91.80"), Decimal("4.59")))
        self.assertEqual((ship.untaxed, ship.tax), (Decimal("20.95"), Decimal("1.05")))
        self.assertEqual(goods.taxes[0].key, "VAT|0.05|included")

    def test_tax_is_never_computed_from_the_rate(self):
        (goods,) = self.check(fixture("ddp_tax_not_by_rate"), "73.92", "14.08", "88")
        self.assertEqual(goods.tax, Decimal("14.08"))

    def test_rate_without_amount_books_no_tax(self):
        (goods,) = self.check(fixture("rate_without_amount"), "50", "0", "50")
        self.assertEqual(goods.taxes, ())

    def test_several_taxes_and_a_zero_rate(self):
        (goods,) = self.check(fixture("two_taxes_and_a_zero_tax"), "100", "13", "113")
        self.assertEqual([row.amount for row in goods.taxes], [5, 8, 0])

    def test_repeated_rounding_of_refunds_is_settled(self):
        (goods,) = self.check(fixture("refunded_in_steps"), "3.34", "0.33", "3.67")
        self.assertEqual(goods.quantity, 1)

    def test_currency_without_decimals(self):
        payload = order(
            1,
            [{**line(1, "999", 3, taxes=[tax("CT", 0.1, "300")]), "currentQuantity": 2}],
            "2198",
            "200",
        )
        (goods,) = self.check(payload, "1998", "200", "2198", places=0)
        self.assertEqual(goods.tax, 200)

    def test_currency_with_three_decimals(self):
        payload = order(
            1,
            [line(1, "1.250", 3, discounts=["0.125"], taxes=[tax("VAT", 0.1, "0.363")])],
            "3.988",
            "0.363",
        )
        (goods,) = self.check(payload, "3.625", "0.363", "3.988", places=3)
        self.assertEqual(goods.untaxed, Decimal("3.625"))

    def test_refunded_shipping(self):
        payload = order(
            1,
            [line(1, "10.0")],
            "12.2",
            "0.2",
            shipping_lines=[
                shipping(1, "6.0", discounted="5.0", current="2.0", taxes=[tax("GST", 0.1, "0.5")])
            ],
        )
        _goods, ship = self.check(payload, "12", "0.2", "12.2")
        self.assertEqual((ship.price_unit, ship.untaxed), (Decimal("3.0"), Decimal("2.0")))

    def test_tip_gift_card_custom_item_duty_and_fee(self):
        nothing = {"variant": None, "sku": None, "requiresShipping": False, "taxable": False}
        payload = order(
            1,
            [
                line(1, "10.0"),
                line(2, "50.0", isGiftCard=True),
                line(3, "7.0", **{**nothing, "requiresShipping": True}),
                line(4, "2.0", **nothing),
            ],
            "74.5",
            totalTipReceivedSet={"money": {"amount": "2.0"}},
            currentTotalDutiesSet={"money": {"amount": "4.0"}},
            currentTotalAdditionalFeesSet={"money": {"amount": "1.5"}},
        )
        lines = self.check(payload, "74.5", "0", "74.5")
        self.assertEqual(
            [row.kind for row in lines],
            ["product", "gift_card", "custom", "tip", "duty", "fee"],
        )

    def test_figures_that_do_not_add_up_are_named(self):
        found = computed(order(1, [line(1, "10.0")], "12.0"))
        self.assertIn("lines sum to 10.0, its total is 12.0 (difference 2.0)", found.problem)

    def test_difference_is_not_hidden_on_reduced_lines(self):
        payload = order(1, [{**line(1, "10.0", 2), "currentQuantity": 1}], "12.0")
        self.assertTrue(computed(payload).problem)

    def test_tax_paid_by_the_channel_is_another_tax(self):
        payload = order(
            1, [line(1, "10.0", taxes=[tax("VAT", 0.2, "2.0", channelLiable=True)])], "12.0", "2.0"
        )
        (goods,) = self.check(payload, "10", "2", "12")
        self.assertEqual(goods.taxes[0].key, "VAT|0.2|excluded|channel")

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(
        st.data(),
        st.sampled_from([0, 2, 3]),
        st.booleans(),
        st.lists(
            st.tuples(st.integers(0, 500000), st.integers(1, 12), st.integers(0, 100)),
            min_size=1,
            max_size=8,
        ),
        st.integers(0, 40),
    )
    def test_any_order_sums_to_its_totals(self, data, places, included, rows, order_discount):
        """Orders built by Shopify's rules, partly refunded in one step, are exact to the unit."""
        currency = {0: "JPY", 2: "EUR", 3: "KWD"}[places]
        unit = Decimal(1).scaleb(-places)

        def rounded(value):
            return Decimal(value).quantize(unit, rounding=ROUND_HALF_UP)

        rates = data.draw(st.lists(st.sampled_from(["0.05", "0.1", "0.08875"]), max_size=3))
        lists = [Decimal(price) * unit * quantity for price, quantity, _off in rows]
        own = [rounded(total * off / 100) for total, (_p, _q, off) in zip(lists, rows, strict=True)]
        bases = [total - part for total, part in zip(lists, own, strict=True)]
        whole = rounded(sum(bases) * order_discount / 100)
        shared = allocate(whole, bases, currency) if any(bases) else [Decimal(0)] * len(bases)
        shared = [min(part, base) for part, base in zip(shared, bases, strict=True)]
        total = taxes_total = Decimal(0)
        lines = []
        for number, (price, quantity, _off) in enumerate(rows):
            net = bases[number] - shared[number]
            left = data.draw(st.integers(0, quantity))
            taxes, tax_left = [], Decimal(0)
            for index, rate in enumerate(rates):
                share = (
                    Decimal(rate) / (1 + sum(map(Decimal, rates))) if included else Decimal(rate)
                )
                amount = rounded(net * share)
                taxes.append(tax(f"T{index}", float(rate), amount))
                tax_left += amount - rounded(amount * (quantity - left) / quantity)
            kept = net - rounded(net * (quantity - left) / quantity)
            lines.append(
                {
                    **line(
                        number,
                        Decimal(price) * unit,
                        quantity,
                        discounts=[own[number], shared[number]],
                        taxes=taxes,
                    ),
                    "currentQuantity": left,
                }
            )
            if left:
                total += kept if included else kept + tax_left
                taxes_total += tax_left
        payload = order(1, lines, total, taxes_total) | {"taxesIncluded": included}
        found = computed(payload, places)
        self.assertEqual(found.problem, "")
        self.assertEqual(sum(row.total for row in found.lines), total)
        self.assertEqual(sum(row.tax for row in found.lines), taxes_total)


class TestContract(BaseCase):
    def problems(self, **changes):
        with self.assertRaises(InvalidPayloadError) as caught:
            validate(Order, {**fixture("unpaid_no_tax"), **changes}, "#1001")
        return dict(caught.exception.problems)

    def test_every_bad_field_is_named(self):
        bad = fixture("unpaid_no_tax")["lineItems"]
        bad["nodes"][0]["quantity"] = "two"
        bad["nodes"][0]["originalUnitPriceSet"] = {"money": {"amount": "ten"}}
        found = self.problems(lineItems=bad, currentTotalPriceSet=None, taxesIncluded="maybe")
        self.assertEqual(
            set(found),
            {
                "lineItems.0.quantity",
                "lineItems.0.originalUnitPriceSet",
                "currentTotalPriceSet",
                "taxesIncluded",
            },
        )

    def test_amounts_are_texts(self):
        self.assertIn(
            "currentTotalPriceSet", self.problems(currentTotalPriceSet={"money": {"amount": 20.0}})
        )

    def test_times_need_a_zone(self):
        self.assertIn("updatedAt", self.problems(updatedAt="2026-11-20T10:00:00"))

    def test_unknown_statuses_are_fine(self):
        data = validate(
            Order, {**fixture("unpaid_no_tax"), "displayFinancialStatus": "HALF_PAID"}, "#1001"
        )
        self.assertEqual(data.displayFinancialStatus, "HALF_PAID")
        self.assertEqual(data.updatedAt.isoformat(), "2026-11-20T10:00:01")

    def test_no_customer_data(self):
        data = validate(
            Order,
            {
                **fixture("unpaid_no_tax"),
                "customer": {
                    "id": "gid://shopify/Customer/1",
                    "firstName": None,
                    "lastName": None,
                    "defaultEmailAddress": None,
                },
                "email": None,
                "billingAddress": None,
            },
            "#1001",
        )
        self.assertEqual(data.customer.email, "")
