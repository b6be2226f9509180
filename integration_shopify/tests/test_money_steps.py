from unittest.mock import Mock

from odoo.exceptions import UserError
from odoo.tests import BaseCase, new_test_user, tagged

from odoo.addons.integration_base.lib.errors import RetryableError

from ..lib.money_steps import Capture, MarkAsPaid, Void
from .common import FakeShop, ShopifyCase, line, order, transaction

AUTHORIZATION = "gid://shopify/OrderTransaction/1"


def child(number, kind, status="SUCCESS", amount="10.0"):
    """Return a transaction of the authorization 1."""
    at = f"2026-11-20T10:00:0{number}Z"
    parent = {"parentTransaction": {"id": AUTHORIZATION}}
    return transaction(number, kind, amount, at=at, status=status, **parent)


def capture(known):
    return Capture("gid://shopify/Order/1", AUTHORIZATION, "10.00", "USD", known)


class TestMoneySteps(BaseCase):
    def test_capture_that_was_pending_and_failed_is_another_one(self):
        rows = [child(2, "CAPTURE", "PENDING")]
        self.assertEqual(capture(0).find(rows), rows[0]["id"])
        rows = [child(2, "CAPTURE", "FAILURE")]
        self.assertIsNone(capture(1).find(rows))
        self.assertFalse(capture(1).is_overtaken(rows))
        self.assertNotEqual(capture(0).key, capture(1).key)
        rows.append(child(3, "CAPTURE"))
        self.assertEqual(capture(1).find(rows), rows[1]["id"])
        # who has not seen the failure finds it as well
        self.assertEqual(capture(0).find(rows), rows[1]["id"])

    def test_void_that_failed_is_another_one(self):
        rows = [child(2, "VOID", "FAILURE")]
        self.assertIsNone(Void(AUTHORIZATION, 1).find(rows))
        self.assertNotEqual(Void(AUTHORIZATION, 0).key, Void(AUTHORIZATION, 1).key)
        rows.append(child(3, "VOID"))
        self.assertEqual(Void(AUTHORIZATION, 1).find(rows), rows[1]["id"])

    def test_mark_as_paid_is_no_payment_of_somebody_else(self):
        step = MarkAsPaid("gid://shopify/Order/1", 0)
        online = transaction(2, "SALE", "10.0", gateway="paypal")
        self.assertIsNone(step.find([online, child(3, "CAPTURE")]))
        self.assertTrue(step.is_overtaken([online]))
        marked = transaction(4, "SALE", "10.0", at="2026-11-20T11:00:00Z")
        self.assertEqual(step.find([online, marked]), marked["id"])


class CapturingShop(FakeShop):
    """Captures what is authorized, with the status ``status``."""

    def __init__(self):
        super().__init__()
        self.status = "SUCCESS"

    def _order_capture(self, variables):
        (payload,) = self.orders.values()
        number = len(payload["transactions"]) + 1
        made = child(number, "CAPTURE", self.status, variables["input"]["amount"])
        payload["transactions"].append(made)
        payload["updatedAt"] = f"2026-11-20T10:01:0{number}Z"
        return {"orderCapture": {"transaction": made, "userErrors": []}}


@tagged("post_install", "-at_install")
class TestCaptureDialog(ShopifyCase):
    def setUp(self):
        super().setUp()
        self.payload = order(
            1,
            [line(1, "10.0")],
            "10.0",
            displayFinancialStatus="AUTHORIZED",
            transactions=[transaction(1, "AUTHORIZATION", "10.0")],
        )
        self.sale = self.import_one(self.payload)
        self.shop = CapturingShop()
        self.shop.put(self.payload)
        self.manager = new_test_user(
            self.env, "capturer", groups="base.group_user,sales_team.group_sale_manager"
        )

    def dialog(self, **values):
        values["order_id"] = self.sale.id
        return self.env["integration.shopify.capture"].with_user(self.manager).create(values)

    def press(self, wizard, action="action_capture"):
        """Return what the person reads when it was refused."""
        self.env.flush_all()
        try:
            with self.enter_registry_test_mode():
                getattr(wizard, action)()
        except UserError as error:
            return str(error)
        finally:
            self.env.invalidate_all()
        return ""

    def intents(self):
        return self.env["integration.intent"].search([("res_model", "=", "sale.order")])

    def captures(self):
        return [name for name, _variables in self.shop.calls].count("order_capture")

    def test_capture_that_fails_later_can_be_taken_again(self):
        self.shop.status = "PENDING"
        self.assertFalse(self.press(self.dialog()))
        self.payload["transactions"][-1]["status"] = "FAILURE"
        self.payload["updatedAt"] = "2026-11-20T10:02:00Z"
        self.import_one(self.payload)
        self.shop.status = "SUCCESS"
        wizard = self.dialog()
        self.assertFalse(self.press(wizard))
        self.assertFalse(self.press(wizard))
        self.assertEqual(self.captures(), 2)

    def test_reading_before_a_capture_is_no_capture(self):
        original = self.shop._order_transactions
        self.shop._order_transactions = Mock(side_effect=RetryableError("No answer in time."))
        self.assertIn("No answer in time", self.press(self.dialog()))
        self.assertEqual(self.intents().outcome, "not_sent")
        self.shop._order_transactions = original
        self.assertFalse(self.press(self.dialog()))
        self.assertEqual((self.captures(), self.intents().outcome), (1, "sent"))

    def test_payment_of_another_order(self):
        other = order(
            2, [line(2, "10.0")], "10.0", transactions=[transaction(9, "AUTHORIZATION", "10.0")]
        )
        theirs = self.import_one(other).shopify_transaction_ids
        for action in ("action_capture", "action_void"):
            wizard = self.dialog(transaction_id=theirs.id)
            self.assertIn("no authorized payment of", self.press(wizard, action))
        self.assertFalse(self.intents())
