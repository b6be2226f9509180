from odoo.exceptions import AccessError, UserError
from odoo.fields import Command
from odoo.tests import new_test_user

from .common import address, line, order, shipping
from .test_order_import import NOBODY, customer
from .test_order_update import later
from .test_rules import RulesCase

RISKY = {
    "recommendation": "INVESTIGATE",
    "assessments": [{"riskLevel": "HIGH", "facts": []}],
}


def company(number=1, name="ACME Inc."):
    return {
        "company": {"id": f"gid://shopify/Company/{number}", "name": name},
        "location": {"id": f"gid://shopify/CompanyLocation/{number}", "name": "HQ"},
    }


def work(number, status="OPEN", holds=()):
    """Return a fulfillment order; ``holds`` are pairs (number, reason)."""
    return {
        "id": f"gid://shopify/FulfillmentOrder/{number}",
        "status": status,
        "requestStatus": "UNSUBMITTED",
        "assignedLocation": {"name": "Main", "location": {"id": "gid://shopify/Location/1"}},
        "supportedActions": [],
        "fulfillmentHolds": [
            {
                "id": f"gid://shopify/FulfillmentHold/{hold}",
                "reason": reason.upper().replace(" ", "_"),
                "displayReason": reason,
                "reasonNotes": None,
            }
            for hold, reason in holds
        ],
        "lineItems": {"nodes": []},
    }


class LifeCase(RulesCase):
    def deliver(self, picking):
        for move in picking.move_ids:
            move.quantity = move.product_uom_qty
            move.picked = True
        picking.button_validate()

    def held(self, *works, **extra):
        """Return the order with fulfillment orders as Shopify shows them now."""
        return self.payload(
            fulfillmentStates={"nodes": [{"status": row["status"]} for row in works]},
            fulfillmentOrders={"nodes": list(works)},
            **extra,
        )


class TestHold(LifeCase):
    """Deliveries wait while a rule or Shopify holds them, and nobody ships them meanwhile."""

    def risky(self, **extra):
        self.rule(risk="risky", hold="hold")
        return self.import_one(self.payload(risk=RISKY, **extra))

    def test_risk_holds_the_delivery(self):
        sale = self.risky()
        self.assertEqual((sale.state, sale.shopify_risk), ("sale", "Investigate"))
        self.assertIn("investigate", sale.shopify_hold)
        self.assertEqual(sale.picking_ids.shopify_hold, sale.shopify_hold)
        with self.assertRaisesRegex(UserError, "is on hold and cannot be shipped"):
            self.deliver(sale.picking_ids)
        self.assertNotEqual(sale.picking_ids.state, "done")
        todo = sale.activity_ids
        self.assertEqual((len(todo), todo.summary), (1, "Delivery on hold"))
        self.assertIn("Release Hold", todo.note)

    def test_released_by_a_person(self):
        sale = self.risky()
        sale.action_shopify_release_hold()
        self.assertFalse(sale.shopify_hold)
        self.assertFalse(sale.activity_ids)
        self.assertIn(self.env.user.name, sale.shopify_why)
        # the same reason does not hold it again
        self.import_one(later(self.payload(risk=RISKY), note="new"))
        self.assertFalse(sale.shopify_hold)
        self.deliver(sale.picking_ids)
        self.assertEqual(sale.picking_ids.state, "done")

    def test_new_reason_holds_again(self):
        sale = self.risky()
        sale.action_shopify_release_hold()
        worse = {"recommendation": "CANCEL", "assessments": []}
        self.import_one(later(self.payload(risk=worse)))
        self.assertIn("cancel", sale.shopify_hold)

    def test_risk_cleared_in_shopify(self):
        sale = self.risky()
        self.import_one(later(self.payload(risk={"recommendation": "ACCEPT"})))
        self.assertFalse(sale.shopify_hold)
        self.assertFalse(sale.activity_ids)
        self.assertIn("Hold lifted", [what for what, _why in self.rows(sale)])

    def test_only_sales_and_managers_release(self):
        sale = self.risky()
        stock = new_test_user(self.env, "stocky", groups="stock.group_stock_user")
        with self.assertRaises(AccessError):
            sale.with_user(stock).action_shopify_release_hold()
        self.assertTrue(sale.shopify_hold)
        seller = new_test_user(self.env, "sally", groups="sales_team.group_sale_salesman_all_leads")
        sale.with_user(seller).action_shopify_release_hold()
        self.assertFalse(sale.shopify_hold)

    def test_hold_of_shopify(self):
        """Holds do not change the order's own version: the same one is read again."""
        sale = self.import_one(self.held(work(1)))
        self.assertFalse(sale.shopify_hold)
        self.import_one(self.held(work(1, "ON_HOLD", [(1, "Inventory out of stock")])))
        self.assertEqual(sale.shopify_hold, "Shopify: Inventory out of stock")
        with self.assertRaises(UserError):
            self.deliver(sale.picking_ids)
        self.assertFalse(sale.activity_ids)
        self.import_one(self.held(work(1)))
        self.assertFalse(sale.shopify_hold)
        self.deliver(sale.picking_ids)

    def test_second_hold_of_shopify_after_a_release_in_odoo(self):
        sale = self.import_one(self.held(work(1, "ON_HOLD", [(1, "Other")])))
        sale.action_shopify_release_hold()
        self.import_one(later(self.held(work(1, "ON_HOLD", [(1, "Other")])), note="x"))
        self.assertFalse(sale.shopify_hold)
        self.import_one(later(self.held(work(1, "ON_HOLD", [(2, "Address incorrect")])), 6))
        self.assertIn("Address incorrect", sale.shopify_hold)

    def test_scheduled(self):
        sale = self.import_one(self.held(work(1, "SCHEDULED")))
        self.assertIn("scheduled", sale.shopify_hold)

    def test_cancelled_order_is_not_held(self):
        sale = self.risky()
        self.import_one(later(self.payload(risk=RISKY), cancelledAt="2026-11-20T10:05:00Z"))
        self.assertEqual(sale.state, "cancel")
        self.assertFalse(sale.shopify_hold)
        self.assertFalse(sale.activity_ids)

    def test_shipments_of_shopify_are_not_refused(self):
        sale = self.risky()
        self.deliver(sale.picking_ids.with_context(shopify_follow=True))
        self.assertEqual(sale.picking_ids.state, "done")


class TestCompanies(LifeCase):
    """B2B orders belong to the company, with the person who ordered as its contact."""

    def b2b(self, number=1, **extra):
        return self.payload(number, purchasingEntity=company(), **extra)

    def test_company_with_its_contact(self):
        sale = self.import_one(self.b2b(poNumber="PO-7"))
        self.assertEqual(sale.partner_id.name, "Anna Muster")
        self.assertEqual(sale.partner_id.commercial_partner_id.name, "ACME Inc.")
        self.assertTrue(sale.partner_id.parent_id.is_company)
        self.assertEqual((sale.client_order_ref, sale.origin), ("PO-7", "#1"))
        self.assertEqual(sale.partner_shipping_id.parent_id, sale.partner_id.parent_id)

    def test_nothing_is_doubled(self):
        first = self.import_one(self.b2b())
        count = self.env["res.partner"].search_count([])
        second = self.import_one(self.b2b(2))
        self.assertEqual(second.partner_id, first.partner_id)
        self.import_one(later(self.b2b(), note="new"))
        self.assertEqual(self.env["res.partner"].search_count([]), count)

    def test_second_contact_of_a_company(self):
        first = self.import_one(self.b2b())
        second = self.import_one(
            self.b2b(2, customer=customer(2, "bob@example.com", "Bob"), email="bob@example.com")
        )
        self.assertNotEqual(second.partner_id, first.partner_id)
        self.assertEqual(second.partner_id.parent_id, first.partner_id.parent_id)

    def test_known_contact_of_the_company(self):
        parent = self.env["res.partner"].create({"name": "Acme, Inc", "is_company": True})
        contact = self.env["res.partner"].create(
            {"name": "Anna", "email": "anna@example.com", "parent_id": parent.id}
        )
        sale = self.import_one(self.b2b())
        self.assertEqual(sale.partner_id, contact)
        self.assertEqual(sale.partner_id.parent_id, parent)

    def test_contact_of_another_company_stays_there(self):
        other = self.env["res.partner"].create({"name": "Other", "is_company": True})
        contact = self.env["res.partner"].create(
            {"name": "Anna", "email": "anna@example.com", "parent_id": other.id}
        )
        sale = self.import_one(self.b2b())
        self.assertEqual(contact.parent_id, other)
        self.assertEqual(sale.partner_id.name, "ACME Inc.")

    def test_company_without_a_person(self):
        sale = self.import_one(self.b2b(**NOBODY))
        self.assertEqual(sale.partner_id.name, "ACME Inc.")
        self.assertEqual(self.import_one(self.b2b(2, **NOBODY)).partner_id, sale.partner_id)

    def test_payment_terms_are_recognised_when_there_is_one(self):
        terms = {"paymentTermsName": "Net 17", "paymentTermsType": "NET", "dueInDays": 17}
        sale = self.import_one(self.b2b(paymentTerms=terms))
        self.assertFalse(sale.payment_term_id)
        row = self.env["integration.mapping"].search([("kind", "=", "payment_term")])
        self.assertEqual((row.external_value, row.external_label), ("Net 17|17", "Net 17"))
        term = self.env["account.payment.term"].create(
            {"name": "17 days", "line_ids": [Command.create({"value_amount": 100, "nb_days": 17})]}
        )
        sale = self.import_one(self.b2b(2, paymentTerms=terms))
        self.assertEqual(sale.payment_term_id, term)
        self.assertEqual(row.resource_ref, term)
        term.copy()
        row.resource_ref = False
        sale = self.import_one(self.b2b(3, paymentTerms=terms))
        self.assertFalse(sale.payment_term_id)

    def test_rule_for_companies(self):
        self.rule(buyer="company", confirm="confirm")
        self.rule(milestone="pending", confirm="quotation")
        self.assertEqual(self.import_one(self.b2b()).state, "sale")
        self.assertEqual(self.import_one(self.payload(2)).state, "draft")


class TestTills(LifeCase):
    """Orders of a point of sale come to Odoo as the backend says."""

    def till(self, number=1, **extra):
        return self.payload(number, sourceName="pos", **extra)

    def test_policies(self):
        self.assertTrue(self.import_one(self.till()))
        self.backend.shopify_pos_policy = "skip"
        operation = self.drain(self.till(2))
        self.assertEqual(operation.state, "skipped")
        self.assertIn("Point of Sale Orders", operation.message)
        self.backend.shopify_pos_policy = "delivered"
        self.assertEqual(self.drain(self.till(3)).state, "skipped")
        fulfilled = {**self.till(3), "displayFulfillmentStatus": "FULFILLED"}
        self.assertTrue(self.import_one(later(fulfilled)))
        # what is in Odoo goes on being followed
        self.import_one(later(self.till(), note="new"))


class TestHeader(LifeCase):
    """What the header of an order tells of where it came from."""

    def test_channel_details_and_discounts(self):
        lines = [
            line(
                1,
                "30.0",
                discountAllocations=[
                    {
                        "allocatedAmountSet": {"money": {"amount": "4.0"}},
                        "discountApplication": {"code": "TEN"},
                    },
                    {
                        "allocatedAmountSet": {"money": {"amount": "1.0"}},
                        "discountApplication": {"title": "Spring sale"},
                    },
                ],
            )
        ]
        sale = self.import_one(
            order(
                1,
                lines,
                "28.0",
                shipping_lines=[shipping(1, "5.0", discounted="3.0")],
                sourceName="web",
                app={"name": "Online Store"},
                customAttributes=[{"key": "Gift note", "value": "Happy birthday"}],
                discountCodes=["TEN"],
            )
        )
        self.assertEqual(sale.shopify_channel, "web, Online Store")
        self.assertEqual(sale.source_id.name, "Online Store")
        self.assertEqual(sale.shopify_attributes, "Gift note: Happy birthday")
        self.assertEqual(
            sale.shopify_discounts.splitlines(),
            ["code TEN: 4.0 (Line 1: 4.0)", "Spring sale: 1.0 (Line 1: 1.0)", "Standard: 2.0"],
        )
        self.assertEqual(sale.shopify_discount_codes, "TEN")

    def test_address_changed_after_confirmation(self):
        self.payload_ = order(1, [line(1, "10.0", 2)], "20.0")
        sale = self.import_one(self.payload_)
        moved = address(address1="Neuer Weg 2", zip="10117")
        self.import_one(later(self.payload_, shippingAddress=moved))
        self.assertEqual(sale.picking_ids.partner_id.street, "Neuer Weg 2")
        self.assertFalse(sale.activity_ids)

    def test_address_changed_after_a_part_was_delivered(self):
        payload = order(1, [line(1, "10.0", 2)], "20.0")
        sale = self.import_one(payload)
        first = sale.picking_ids
        first.move_ids.write({"quantity": 1, "picked": True})
        first.with_context(skip_backorder=True).button_validate()
        rest = sale.picking_ids - first
        self.assertEqual((first.state, len(rest)), ("done", 1))
        moved = address(address1="Neuer Weg 2", zip="10117")
        self.import_one(later(payload, shippingAddress=moved))
        self.assertEqual(first.partner_id.street, "Hauptstr. 5")
        self.assertEqual(rest.partner_id.street, "Neuer Weg 2")
        self.assertIn(first.name, sale.activity_ids.note)

    def test_address_chosen_by_hand_stays(self):
        payload = order(1, [line(1, "10.0")], "10.0")
        sale = self.import_one(payload)
        own = self.env["res.partner"].create({"name": "Shop", "parent_id": sale.partner_id.id})
        sale.partner_shipping_id = own
        self.import_one(later(payload, note="new"))
        self.assertEqual(sale.partner_shipping_id, own)
        self.assertFalse(sale.activity_ids)
        moved = address(address1="Neuer Weg 2", zip="10117")
        self.import_one(later(payload, 6, shippingAddress=moved))
        self.assertEqual(sale.partner_shipping_id, own)
        self.assertIn("Neuer Weg", sale.activity_ids.note)


class TestReportedBugs(LifeCase):
    """Bugs that really happened to users of other connectors; numbers as in their list."""

    def test_bug_03_empty_email_never_matches_by_name(self):
        other = self.env["res.partner"].create({"name": "Anna Muster"})
        sale = self.import_one(self.payload(customer=customer(5), email=None))
        self.assertEqual(sale.partner_id.name, "Anna Muster")
        self.assertNotEqual(sale.partner_id, other)

    def test_bug_04_neither_billing_nor_shipping_address(self):
        sale = self.import_one(self.payload(billingAddress=None, shippingAddress=None))
        self.assertEqual(sale.partner_shipping_id, sale.partner_id)
        sale = self.import_one(self.payload(2, **NOBODY))
        self.assertIn("without personal data", sale.partner_id.name)
        self.assertEqual(sale.state, "sale")

    def test_bug_06_cut_off_date_holds_for_notifications(self):
        self.backend.shopify_orders_since = "2026-11-21"
        self.assertEqual(self.drain(self.payload()).state, "skipped")

    def test_bug_07_fast_status_changes_are_not_lost(self):
        """Only the last state is read, and what the states before it decided is done."""
        self.rule(milestone="authorized", confirm="confirm")
        self.rule(confirm="quotation")
        sale = self.import_one(self.payload())
        self.assertEqual(sale.state, "draft")
        money = {"amount": "10.0", "currencyCode": "USD"}
        moves = [
            {
                "id": f"gid://shopify/OrderTransaction/{number}",
                "kind": kind,
                "status": "SUCCESS",
                "createdAt": f"2026-11-20T1{number}:00:00Z",
                "amountSet": {"shopMoney": money, "presentmentMoney": money},
            }
            for number, kind in ((1, "AUTHORIZATION"), (2, "VOID"))
        ]
        self.import_one(later(self.payload(), displayFinancialStatus="VOIDED", transactions=moves))
        self.assertEqual(sale.state, "sale")

    def test_bug_14_archived_partner_is_not_reused(self):
        sale = self.import_one(self.payload())
        first = sale.partner_id
        first.active = False
        second = self.import_one(self.payload(2)).partner_id
        self.assertNotEqual(second, first)
        self.assertTrue(second.active)

    def test_bug_15_billing_equal_to_shipping_makes_one_contact(self):
        before = self.env["res.partner"].search_count([])
        sale = self.import_one(self.payload())
        self.assertEqual(sale.partner_invoice_id, sale.partner_shipping_id)
        self.assertEqual(self.env["res.partner"].search_count([]), before + 1)

    def test_bug_19_no_recursive_partner_hierarchy(self):
        """The company itself has the e-mail address of its order."""
        known = self.env["res.partner"].create(
            {"name": "ACME", "is_company": True, "email": "anna@example.com"}
        )
        sale = self.import_one(self.payload(purchasingEntity=company()))
        self.assertFalse(known.parent_id)
        self.assertEqual(sale.partner_id.name, "ACME Inc.")
        again = self.import_one(self.payload(2, purchasingEntity=company(2, "ACME")))
        self.assertEqual(again.partner_id, known)

    def test_bug_21_name_of_a_pickup_location_is_kept(self):
        sale = self.import_one(
            order(
                1,
                [line(1, "10.0")],
                "10.0",
                shipping_lines=[shipping(1, "0.0", title="Pick up: Main Street Store")],
                shippingAddress=None,
            )
        )
        self.assertIn("Pick up: Main Street Store", sale.order_line.mapped("name"))
