from datetime import datetime

from odoo.exceptions import UserError
from odoo.fields import Command
from odoo.tests import BaseCase

from ..lib import amounts, automation, contract
from .common import ShopifyCase, address, line, order, shipping
from .test_order_update import later

PLACED = "2026-11-20T09:59:59Z"


def transaction(number, kind, amount, at, *, status="SUCCESS", gateway="bogus", **extra):
    """Return a transaction in dollars."""
    money = {"amount": str(amount), "currencyCode": "USD"}
    return {
        "id": f"gid://shopify/OrderTransaction/{number}",
        "kind": kind,
        "status": status,
        "gateway": gateway,
        "formattedGateway": gateway.replace("_", " ").title(),
        "processedAt": at,
        "createdAt": at,
        "amountSet": {"shopMoney": money, "presentmentMoney": money},
        **extra,
    }


def paid(at="2026-11-20T12:00:00Z", amount="10.0"):
    return transaction(1, "SALE", amount, at)


class TestSteps(BaseCase):
    """The states of the money that an order went through, read from its history."""

    def steps(self, *transactions, status="PENDING", total="10.0"):
        payload = order(
            1,
            [line(1, total)],
            total,
            createdAt=PLACED,
            displayFinancialStatus=status,
            transactions=list(transactions),
        )
        data = contract.Order.model_validate(payload)
        return [
            step.milestone
            for step in automation.steps_of(data, amounts.compute(data, "USD", 2).paid_at)
        ]

    def test_pending_then_paid(self):
        self.assertEqual(self.steps(), ["pending"])
        self.assertEqual(self.steps(paid()), ["pending", "paid"])

    def test_paid_at_the_checkout_was_never_pending(self):
        self.assertEqual(self.steps(paid("2026-11-20T10:00:03Z")), ["paid"])

    def test_paid_holds_after_a_refund(self):
        refund = transaction(2, "REFUND", "10.0", "2026-11-21T09:00:00Z")
        self.assertEqual(self.steps(paid(), refund, status="REFUNDED"), ["pending", "paid"])

    def test_paid_in_parts(self):
        parts = [
            transaction(1, "SALE", "4.0", "2026-11-20T11:00:00Z"),
            transaction(2, "SALE", "6.0", "2026-11-20T12:00:00Z"),
        ]
        self.assertEqual(self.steps(*parts[:1]), ["pending", "partly_paid"])
        self.assertEqual(self.steps(*parts), ["pending", "partly_paid", "paid"])

    def test_authorized_then_captured_or_voided(self):
        authorization = transaction(1, "AUTHORIZATION", "10.0", "2026-11-20T10:00:00Z")
        capture = transaction(2, "CAPTURE", "10.0", "2026-11-22T10:00:00Z")
        void = transaction(2, "VOID", "0.0", "2026-11-22T10:00:00Z")
        self.assertEqual(self.steps(authorization), ["authorized"])
        self.assertEqual(self.steps(authorization, capture), ["authorized", "paid"])
        self.assertEqual(self.steps(authorization, void, status="VOIDED"), ["authorized"])

    def test_failed_payment_is_none(self):
        failed = transaction(1, "AUTHORIZATION", "10.0", PLACED, status="FAILURE")
        self.assertEqual(self.steps(failed, status=None), ["pending"])

    def test_state_without_transactions(self):
        self.assertEqual(self.steps(status="PARTIALLY_REFUNDED"), ["paid"])
        self.assertEqual(self.steps(status="AUTHORIZED"), ["authorized"])
        self.assertEqual(self.steps(status="PARTIALLY_PAID"), ["partly_paid"])


class RulesCase(ShopifyCase):
    def rule(self, **vals):
        count = self.env["integration.shopify.rule"].search_count(
            [("backend_id", "=", self.backend.id)]
        )
        return self.env["integration.shopify.rule"].create(
            {"backend_id": self.backend.id, "sequence": 10 * (count + 1), **vals}
        )

    def payload(self, number=1, **extra):
        values = {"displayFinancialStatus": "PENDING", "createdAt": PLACED, **extra}
        return order(number, [line(number, "10.0")], "10.0", **values)

    def decide(self, **extra):
        data = contract.Order.model_validate(self.payload(**extra))
        rules = self.env["integration.shopify.rule"].search([("backend_id", "=", self.backend.id)])
        return rules._decision(data, amounts.compute(data, "USD", 2).paid_at)

    def rows(self, sale):
        return [(row["what"], row["why"]) for row in sale.shopify_decision["rows"]]


class TestRules(RulesCase):
    """Each column is decided by the first rule that fits and says something in it."""

    def test_without_rules_every_order_is_confirmed(self):
        decision = self.decide()
        self.assertTrue(decision.confirm)
        self.assertEqual((decision.invoice, decision.register_payment), ("no", False))
        sale = self.import_one(self.payload())
        self.assertEqual(sale.state, "sale")
        self.assertEqual(self.rows(sale)[0][0], "Confirmed")

    def test_first_rule_with_something_in_the_column(self):
        self.rule(milestone="pending", confirm="quotation")
        self.rule(gateway="bogus", confirm="confirm", invoice="delivered")
        self.rule(invoice="at_once", register_payment="register")
        decision = self.decide(paymentGatewayNames=["bogus"])
        self.assertFalse(decision.confirm)
        self.assertEqual(decision.invoice, "delivered")
        self.assertTrue(decision.register_payment)
        decision = self.decide(paymentGatewayNames=["other"])
        self.assertEqual(decision.invoice, "at_once")

    def test_conditions(self):
        till = {"id": "gid://shopify/Location/1", "name": "Main Street"}
        company = {
            "company": {"id": "gid://shopify/Company/1", "name": "ACME"},
            "location": {"id": "gid://shopify/CompanyLocation/1", "name": "HQ"},
        }
        risky = {"recommendation": "INVESTIGATE", "assessments": []}
        high = {"recommendation": "NONE", "assessments": [{"riskLevel": "HIGH", "facts": []}]}
        cases = [
            ({"gateway": "Bank Deposit"}, {"paymentGatewayNames": ["bank_deposit"]}, {}),
            ({"channel": "pos"}, {"retailLocation": till}, {"sourceName": "web"}),
            ({"channel": "x, main street"}, {"retailLocation": till}, {}),
            ({"channel": "my app"}, {"app": {"name": "My App"}}, {"app": {"name": "Other"}}),
            (
                {"country_ids": self.env.ref("base.de").ids},
                {"shippingAddress": address()},
                {"shippingAddress": address(countryCodeV2="FR")},
            ),
            (
                {"country_ids": self.env.ref("base.de").ids},
                {"shippingAddress": None},
                {"shippingAddress": None, "billingAddress": None},
            ),
            ({"risk": "investigate"}, {"risk": risky}, {}),
            ({"risk": "risky"}, {"risk": high}, {"risk": {"recommendation": "ACCEPT"}}),
            ({"buyer": "company"}, {"purchasingEntity": company}, {}),
            ({"buyer": "person"}, {"purchasingEntity": {}}, {"purchasingEntity": company}),
            ({"tag": "vip, wholesale"}, {"tags": ["VIP"]}, {"tags": ["vipx"]}),
        ]
        for condition, fits, fits_not in cases:
            with self.subTest(condition=condition):
                values = {
                    name: [Command.set(value)] if name == "country_ids" else value
                    for name, value in condition.items()
                }
                rule = self.rule(confirm="quotation", **values)
                self.assertFalse(self.decide(**fits).confirm)
                self.assertTrue(self.decide(**fits_not).confirm)
                rule.unlink()

    def test_values_of_the_order(self):
        team = self.env["crm.team"].create({"name": "Web"})
        user = self.env["res.users"].create({"name": "Sally", "login": "sally"})
        warehouse = self.env["stock.warehouse"].create({"name": "East", "code": "EAST"})
        term = self.env["account.payment.term"].create({"name": "14 days"})
        tag = self.env["crm.tag"].create({"name": "from the web"})
        rule = self.rule(
            team_id=team.id,
            user_id=user.id,
            warehouse_id=warehouse.id,
            payment_term_id=term.id,
            tag_ids=[Command.set(tag.ids)],
        )
        self.backend.shopify_team_id = self.env["crm.team"].create({"name": "Fallback"})
        sale = self.import_one(self.payload(tags=["vip"]))
        self.assertEqual(sale.team_id, team)
        self.assertEqual(sale.user_id, user)
        self.assertEqual(sale.warehouse_id, warehouse)
        self.assertEqual(sale.payment_term_id, term)
        self.assertEqual(set(sale.tag_ids.mapped("name")), {"vip", "from the web"})
        self.assertIn(("Sales Team: Web", "holds for every order"), self.rows(sale))
        self.assertIn(f"integration_shopify_rule_action/{rule.id}", sale.shopify_why)

    def test_settings_where_rules_are_silent(self):
        self.backend.shopify_team_id = self.env["crm.team"].create({"name": "Fallback"})
        self.backend.shopify_user_id = self.env.user
        sale = self.import_one(self.payload())
        self.assertEqual(sale.team_id.name, "Fallback")
        self.assertEqual(sale.user_id, self.env.user)
        self.assertIn(("Sales Team: Fallback", "setting of Demo shop"), self.rows(sale))

    def test_usual_rules(self):
        self.backend.action_shopify_usual_rules()
        risky = {"recommendation": "INVESTIGATE", "assessments": []}
        self.assertFalse(self.decide().confirm)
        decision = self.decide(transactions=[paid()], risk=risky)
        self.assertTrue(decision.confirm)
        self.assertTrue(decision.hold)
        self.assertEqual(decision.invoice, "paid")
        self.assertTrue(decision.register_payment)
        with self.assertRaisesRegex(UserError, "rules already"):
            self.backend.action_shopify_usual_rules()

    def test_rules_read_as_sentences(self):
        team = self.env["crm.team"].create({"name": "Web"})
        rule = self.rule(
            milestone="paid",
            risk="risky",
            country_ids=[Command.set(self.env.ref("base.de").ids)],
            confirm="confirm",
            invoice="paid",
            team_id=team.id,
        )
        self.assertEqual(rule.if_text, "Paid, risk: investigate or cancel, to DE")
        self.assertEqual(rule.then_text, "Confirm; Invoice: when paid; Sales Team: Web")
        self.assertEqual(self.rule(hold="no").if_text, "Every order")

    def test_rules_of_another_backend_do_not_count(self):
        other = self.backend.copy({"name": "Other", "base_url": "other.myshopify.com"})
        self.rule(confirm="quotation").backend_id = other
        self.assertEqual(self.import_one(self.payload()).state, "sale")


class TestRulesInTime(RulesCase):
    """What happened is never undone, and seeing only the end is as good as seeing every step."""

    def lives(self):
        pending = self.payload()
        captured = later(
            pending,
            10,
            displayFinancialStatus="PAID",
            transactions=[
                paid(),
            ],
        )
        refunded = later(
            captured,
            20,
            displayFinancialStatus="REFUNDED",
            transactions=[*captured["transactions"], transaction(2, "REFUND", "10.0", PLACED)],
        )
        return pending, captured, refunded

    def test_quotation_is_confirmed_when_paid(self):
        self.rule(milestone="pending", confirm="quotation")
        self.rule(milestone="paid", confirm="confirm")
        pending, captured, refunded = self.lives()
        sale = self.import_one(pending)
        self.assertEqual(sale.state, "draft")
        self.assertFalse(sale.picking_ids)
        self.import_one(captured)
        self.assertEqual(sale.state, "sale")
        self.assertEqual(sale.date_order, datetime(2026, 11, 20, 9, 59, 59))
        self.assertTrue(sale.picking_ids)
        self.import_one(refunded)
        self.assertEqual(sale.state, "sale")
        self.assertEqual(
            [what for what, _why in self.rows(sale)],
            ["Stays a quotation", "Customer recognised", "Confirmed"],
        )

    def test_only_the_end_is_seen(self):
        self.rule(milestone="pending", confirm="quotation")
        self.rule(milestone="paid", confirm="confirm")
        sale = self.import_one(self.lives()[-1])
        self.assertEqual(sale.state, "sale")

    def test_any_steps_that_are_seen_end_the_same(self):
        """Whichever of the states an import sees, in the end the order is the same."""
        east, west = self.env["crm.team"].create([{"name": "East"}, {"name": "West"}])
        tags = self.env["crm.tag"].create([{"name": "p"}, {"name": "q"}])
        self.rule(milestone="pending", confirm="quotation", team_id=east.id, invoice="delivered")
        self.rule(milestone="partly_paid", tag_ids=[Command.set(tags[0].ids)], confirm="quotation")
        self.rule(milestone="paid", team_id=west.id, invoice="paid", register_payment="register")
        self.rule(milestone="paid", tag_ids=[Command.set(tags[1].ids)])
        term = self.env["account.payment.term"].create({"name": "14 days"})
        self.rule(milestone="pending", payment_term_id=term.id)
        history = (
            ("SALE", "4.0", "2026-11-20T11:00:00Z"),
            ("SALE", "6.0", "2026-11-20T12:00:00Z"),
            ("REFUND", "10.0", "2026-11-20T13:00:00Z"),
        )
        states = ("PENDING", "PARTIALLY_PAID", "PAID", "REFUNDED")
        ends = set()
        seen = [range(4), (0, 3), (1, 3), (2, 3), (0, 2, 3), (3,)]
        for number, steps in enumerate(seen, start=1):
            moves = [transaction(10 * number + n, *move) for n, move in enumerate(history)]
            for step in steps:
                sale = self.import_one(
                    later(
                        self.payload(number),
                        10 + step,
                        displayFinancialStatus=states[step],
                        transactions=moves[:step],
                    )
                )
            ends.add(
                (
                    sale.state,
                    sale.team_id.name,
                    sale.payment_term_id.name,
                    *sorted(sale.tag_ids.mapped("name")),
                )
            )
        self.assertEqual(ends, {("sale", "West", "14 days", "p", "q")})

    def test_what_an_early_step_decided_holds_at_the_end(self):
        """A rule of the end that says less does not take back what an earlier step gave."""
        self.rule(milestone="pending", confirm="confirm", invoice="at_once")
        self.rule(milestone="paid", confirm="quotation", invoice="no")
        _pending, captured, _refunded = self.lives()
        decision = self.decide(**{k: captured[k] for k in ("transactions",)})
        self.assertTrue(decision.confirm)
        self.assertEqual(decision.invoice, "at_once")

    def test_values_are_those_of_the_step_that_confirms(self):
        east, west = self.env["crm.team"].create([{"name": "East"}, {"name": "West"}])
        self.rule(milestone="pending", confirm="quotation", team_id=east.id)
        self.rule(milestone="paid", confirm="confirm", team_id=west.id)
        pending, captured, _refunded = self.lives()
        sale = self.import_one(pending)
        self.assertEqual(sale.team_id, east)
        self.import_one(captured)
        self.assertEqual(sale.team_id, west)

    def test_changes_by_hand_stay(self):
        east, west, own = self.env["crm.team"].create(
            [{"name": "East"}, {"name": "West"}, {"name": "Own"}]
        )
        self.rule(milestone="pending", confirm="quotation", team_id=east.id)
        self.rule(milestone="paid", confirm="confirm", team_id=west.id)
        pending, captured, _refunded = self.lives()
        sale = self.import_one(pending)
        sale.team_id = own
        self.import_one(captured)
        self.assertEqual((sale.team_id, sale.state), (own, "sale"))

    def test_order_made_a_quotation_again_by_hand_stays_one(self):
        sale = self.import_one(self.payload())
        sale._action_cancel()
        sale.action_draft()
        self.import_one(later(self.payload(), note="new"))
        self.assertEqual(sale.state, "draft")

    def test_quotation_follows_changes_of_its_lines(self):
        self.rule(milestone="pending", confirm="quotation")
        sale = self.import_one(self.payload())
        more = order(
            1,
            [line(1, "10.0", 2)],
            "25.0",
            shipping_lines=[shipping(1, "5.0")],
            displayFinancialStatus="PENDING",
        )
        self.import_one(later(more))
        self.assertTotals(sale, 25, 0, 25)
        self.assertEqual(sale.state, "draft")

    def test_shipped_order_is_confirmed(self):
        self.rule(confirm="quotation")
        shipment = {
            "id": "gid://shopify/Fulfillment/1",
            "status": "CANCELLED",
            "createdAt": PLACED,
            "updatedAt": PLACED,
            "trackingInfo": [],
            "fulfillmentLineItems": {"nodes": []},
        }
        self.assertFalse(self.decide().confirm)
        self.assertTrue(self.decide(fulfillments=[shipment]).confirm)

    def test_cancelled_quotation(self):
        self.rule(confirm="quotation")
        sale = self.import_one(self.payload())
        self.import_one(later(self.payload(), cancelledAt="2026-11-20T10:05:00Z"))
        self.assertEqual(sale.state, "cancel")

    def test_why_is_a_table(self):
        self.rule(milestone="pending", tag="<b>vip</b>", confirm="quotation")
        sale = self.import_one(self.payload(tags=["<b>vip</b>"]))
        self.assertIn("Stays a quotation", sale.shopify_why)
        self.assertIn("pending since", sale.shopify_why)
        self.assertNotIn("<b>vip", sale.shopify_why)
        action = sale.action_shopify_why()
        self.assertEqual((action["res_id"], action["target"]), (sale.id, "new"))
