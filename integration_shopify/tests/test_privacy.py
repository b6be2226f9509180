"""What Shopify asks every app for on behalf of a person. One fixture, one event, one test."""

import json

from requests.structures import CaseInsensitiveDict

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import BaseCase, new_test_user, tagged
from odoo.tools import mute_logger

from odoo.addons.integration_base.lib.errors import InvalidPayloadError, WebhookRefused

from ..lib import webhook
from .common import FIXTURES, ShopifyCase, address, line, order
from .test_webhook import BODY as ORDER
from .test_webhook import signature

CUSTOMER = "gid://shopify/Customer/191167"
ORDERS = ("gid://shopify/Order/299938", "gid://shopify/Order/280263")
HELD = ("erase_all", "held")
CANARIES = ("anna@example.com", "Anna", "Muster", "Hauptstr", "ring twice", "625-1199")


@tagged("post_install", "-at_install")
class TestPrivacyNotices(ShopifyCase):
    def setUp(self):
        super().setUp()
        self.backend.credential_ids.filtered(lambda c: c.code == "client_secret").value = "s3cret"
        self.backend.user_id = new_test_user(
            self.env, "owning", groups="integration_base.group_integration_manager"
        )
        customer = {
            "id": CUSTOMER,
            "firstName": "Anna",
            "lastName": "Muster",
            "defaultEmailAddress": {"emailAddress": "anna@example.com"},
        }
        self.sale = self.import_one(
            order(299938, [line(1, 10)], 10, customer=customer, note="ring twice")
        )
        # one that fails keeps what was received
        self.failed = self.refuse_one(
            order(
                280263,
                [line(2, 10, sku="NO-SUCH-SKU")],
                10,
                customer=customer,
                note="ring twice",
                shippingAddress=address(phone="555-625-1199"),
            )
        )

    def body(self, name, **values):
        payload = json.loads((FIXTURES / "webhooks" / f"{name}.json").read_bytes())
        return json.dumps({**payload, **values}).encode()

    def deliver(self, topic, body=None, event_id="event-1", secret="s3cret", **headers):
        """Deliver a notification as Shopify does, and let the scheduled action do its work."""
        body = self.body(topic.replace("/", "_")) if body is None else body
        sent = CaseInsensitiveDict(
            {
                "X-Shopify-Topic": topic,
                "X-Shopify-Hmac-Sha256": signature(body, secret),
                "X-Shopify-Shop-Domain": "demo.myshopify.com",
                "X-Shopify-Event-Id": event_id,
                "X-Shopify-Triggered-At": "2026-11-20T10:00:02.123456789Z",
                **{f"X-Shopify-{name.replace('_', '-')}": text for name, text in headers.items()},
            }
        )
        sent = CaseInsensitiveDict({name: text for name, text in sent.items() if text is not None})
        backend = self.backend.sudo()
        status, refusal = self.env["integration.webhook.event"]._answer(
            backend.webhook_token, sent, body, "203.0.113.7"
        )
        self.assertEqual(status, 200, refusal)
        self.work()
        return self.env["integration.webhook.event"].search([("topic", "=", topic)])

    def work(self):
        self.env.flush_all()
        with self.enter_registry_test_mode():
            for request in self.env["integration.privacy.request"].search([]):
                request._work()
        self.env.invalidate_all()

    def requests(self, backend=None):
        return self.env["integration.privacy.request"].search(
            [("backend_id", "=", (backend or self.backend).id)]
        )

    def assertUntouched(self):
        """Nothing was handed out or erased."""
        self.assertEqual(self.backend.state, "active")
        self.assertTrue(self.backend.credential_ids.filtered("is_set"))
        self.assertIn("ring twice", self.kept())
        self.assertEqual(self.failed.state, "dead")
        self.assertFalse(self.env["integration.privacy.request"].search([("state", "=", "done")]))

    def kept(self):
        """Return all texts that are kept, for a look at what is in them."""
        texts = []
        for store in self.env["integration.privacy"]._stores():
            columns = ", ".join(f'"{name}"::text' for name in store.columns)
            self.env.cr.execute(f"SELECT {columns} FROM {self.env[store.model]._table}")
            texts += [text for row in self.env.cr.fetchall() for text in row if text]
        return "\n".join(texts)

    def test_customers_redact(self):
        self.assertIn("ring twice", self.kept())
        event = self.deliver("customers/redact")
        request = self.requests()
        self.assertEqual((request.kind, request.state), ("erase", "done"))
        self.assertEqual(request.partner_id, self.sale.partner_id)
        for external_id in (CUSTOMER, *ORDERS):
            self.assertIn(external_id, request.external_ids)
        kept = self.kept()
        for canary in CANARIES:
            self.assertNotIn(canary, kept)
        self.assertEqual(json.loads(event.body)["customer"]["id"], 191167)
        self.assertEqual(self.failed.state, "ignored")
        # Odoo's own records are for a person to decide about
        self.assertEqual(self.sale.partner_id.email, "anna@example.com")
        self.assertEqual(request.activity_ids.user_id, self.backend.user_id)
        self.assertIn("forgotten", request.activity_ids.summary)
        # the same notification once more
        self.deliver("customers/redact")
        self.assertEqual(len(self.requests()), 1)

    def keep_beside_the_order(self):
        """Keep on the order what shipments, refunds and payments may tell about a person."""
        common = {
            "order_id": self.sale.id,
            "backend_id": self.backend.id,
            "company_id": self.company.id,
        }
        return [
            self.env["integration.shopify.refund"].create(
                {
                    **common,
                    "note": "Anna Muster sent it back",
                    "error": "anna@example.com was not found",
                    "request": {"note": "Anna Muster sent it back", "orderId": ORDERS[0]},
                }
            ),
            self.env["integration.shopify.fulfillment"].create(
                {
                    **common,
                    "external_id": "gid://shopify/Fulfillment/1",
                    "tracking_numbers": "TRACK-1",
                    "tracking_url": "https://track.example.com/TRACK-1",
                    "problem": "Call Anna Muster",
                }
            ),
            self.env["integration.shopify.transaction"].create(
                {
                    **common,
                    "external_id": "gid://shopify/OrderTransaction/1",
                    "processed_at": "2026-11-20",
                    "kind": "SALE",
                    "status": "SUCCESS",
                    "currency_id": self.usd.id,
                    "payment_ref": "PAY-1",
                }
            ),
        ]

    def test_what_is_kept_beside_an_order(self):
        rows = self.keep_beside_the_order()
        self.deliver("customers/data_request")
        text = self.requests().attachment_id.raw.decode()
        for canary in ("sent it back", "TRACK-1", "Call Anna", "PAY-1"):
            self.assertIn(canary, text)
        self.deliver("customers/redact", event_id="event-2")
        kept = self.kept()
        for canary in (*CANARIES, "TRACK-1", "PAY-1"):
            self.assertNotIn(canary, kept)
        for row in rows:
            self.assertTrue(row.exists())

    def test_consents_are_handed_out_and_stay(self):
        """That somebody consented, and when, has to be provable; whoever it was may know it."""
        partner = self.sale.partner_id
        partner.write({"shopify_email_consent": "subscribed"})
        profile = self.env["integration.shopify.profile"].create(
            {
                "partner_id": partner.id,
                "backend_id": self.backend.id,
                "sms_state": "UNSUBSCRIBED",
                "sms_since": "2026-11-02 10:00:00",
                "tags": "VIP",
            }
        )
        before = {way: profile._said(way) for way in ("email", "sms")}
        profile._hand_on_consent("sms", before["sms"])
        stranger = self.env["res.partner"].create(
            {"name": "Ben", "shopify_email_consent": "unsubscribed"}
        )
        history = partner.shopify_consent_ids
        self.assertEqual(len(history), 2)
        self.deliver("customers/data_request")
        kept = json.loads(self.requests().attachment_id.raw)["kept"]
        found = {row["id"]: row for row in kept if row["kind"] == history._name}
        self.assertEqual(set(found), set(history.ids))
        said = sorted((row["way"], row["origin"], row["state"]) for row in found.values())
        self.assertEqual(
            said, [("email", "odoo", "SUBSCRIBED"), ("sms", "shopify", "UNSUBSCRIBED")]
        )
        self.assertTrue(all(row["since"] for row in found.values()))
        (told,) = [row for row in kept if row["kind"] == profile._name]
        self.assertEqual((told["sms_state"], told["tags"]), ("UNSUBSCRIBED", "VIP"))
        self.assertTrue(told["sms_since"].startswith("2026-11-02"))
        self.deliver("customers/redact", event_id="event-2")
        self.assertEqual(
            [(row.way, row.state) for row in history.sorted("way")],
            [("email", "SUBSCRIBED"), ("sms", "UNSUBSCRIBED")],
        )
        self.assertEqual((profile.sms_state, profile.tags), ("UNSUBSCRIBED", False))
        self.assertTrue(stranger.shopify_consent_ids)

    def test_customers_data_request(self):
        self.deliver("customers/data_request")
        request = self.requests()
        self.assertEqual(
            (request.kind, request.state, request.reference), ("export", "done", "9999")
        )
        text = request.attachment_id.raw.decode()
        for canary in CANARIES:
            self.assertIn(canary, text)
        self.assertIn("30 days", request.activity_ids.note)
        self.assertIn("ring twice", self.kept())

    def test_shop_redact(self):
        # typed before another way to sign in was chosen
        self.backend.auth_kind = "shopify.legacy"
        unused = self.backend.credential_ids.filtered(lambda row: row.code == "access_token")
        unused.value = "shpat_canary"
        self.backend.auth_kind = "shopify.client_credentials"
        self.assertEqual((unused.active, unused.is_set), (False, True))
        event = self.deliver("shop/redact")
        request = self.requests()
        # not on the word of a notification alone
        self.assertEqual((request.kind, request.state, request.event_id), (*HELD, event))
        self.assertTrue(unused.is_set)
        self.assertUntouched()
        todo = request.activity_ids
        self.assertEqual(todo.user_id, self.backend.user_id)
        self.assertEqual(
            todo.date_deadline, fields.Date.add(fields.Date.context_today(request), days=30)
        )
        # the scheduled action and a second delivery change nothing
        self.deliver("shop/redact", event_id="event-2")
        self.assertEqual(self.requests(), request)
        self.assertUntouched()

        request.with_user(self.manager()).action_erase_now()
        self.work()
        self.assertEqual(request.state, "done")
        self.assertEqual(request.decided_by_id.login, "deciding")
        self.assertEqual((self.backend.state, self.backend.active), ("draft", False))
        self.assertFalse(self.backend.credential_ids.filtered("is_set"))
        self.assertFalse(unused.is_set)
        kept = self.kept()
        for canary in CANARIES:
            self.assertNotIn(canary, kept)
        self.assertEqual(self.failed.state, "ignored")
        self.assertTrue(self.sale.exists())
        self.assertIn("its data was erased", request.activity_ids.summary)
        self.assertEqual(request.activity_ids.user_id, self.backend.user_id)

    def manager(self, **values):
        return new_test_user(
            self.env, "deciding", groups="integration_base.group_integration_manager", **values
        )

    def test_shop_redact_that_is_not_true(self):
        self.deliver("shop/redact")
        request = self.requests()
        manager = self.manager()
        request.with_user(manager).message_post(body="The app is still there.")
        self.assertTrue(request.with_user(manager).activity_ids.read(["note"]))
        request.with_user(manager).action_close()
        self.assertEqual((request.state, request.activity_ids.ids), ("closed", []))
        self.work()
        self.assertUntouched()
        with self.assertRaises(UserError):
            request.action_erase_now()

    def test_only_managers_of_the_company_decide(self):
        self.deliver("shop/redact")
        operator = new_test_user(
            self.env, "operating", groups="integration_base.group_integration_operator"
        )
        company = self.env["res.company"].create({"name": "Other"})
        stranger = self.manager(company_id=company.id, company_ids=[(6, 0, company.ids)])
        for user in (operator, stranger):
            for action in ("action_erase_now", "action_close"):
                with self.assertRaises(AccessError):
                    getattr(self.requests().with_user(user), action)()
        self.work()
        self.assertUntouched()

    def test_signed_bodies_of_other_topics_erase_nothing(self):
        """Shopify signs the body alone: whoever has seen one chooses topic, shop and id."""
        bodies = {
            "orders/updated": ORDER,
            "customers/data_request": self.body("customers_data_request"),
            "customers/redact": self.body("customers_redact"),
            "shop/redact": self.body("shop_redact"),
        }
        number = 0
        for topic in webhook.PRIVACY_TOPICS:
            for origin, body in bodies.items():
                if origin == topic:
                    continue
                for domain in ("demo.myshopify.com", None):
                    number += 1
                    with self.subTest(topic=topic, origin=origin, domain=domain):
                        self.deliver(topic, body, f"again-{number}", Shop_Domain=domain)
                        self.assertUntouched()
        requests = self.requests()
        self.assertEqual(set(requests.mapped("kind")), {"manual"})
        self.assertEqual(set(requests.mapped("state")), {"held"})
        # of one body, only one
        self.assertEqual(len(requests), len(bodies))

    def test_other_and_unknown_shops(self):
        for number, (ours, theirs) in enumerate(
            (
                ("demo.myshopify.com", "other.myshopify.com"),
                ("", "demo.myshopify.com"),
                ("", ""),
                (False, None),
            )
        ):
            self.backend.shopify_domain = ours
            for topic in webhook.PRIVACY_TOPICS:
                body = self.body(topic.replace("/", "_"), shop_domain=theirs)
                event = self.deliver(topic, body, f"other-{number}")[0]
                self.assertEqual(event.state, "unreadable")
                self.assertUntouched()
        self.assertEqual(set(self.requests().mapped("kind")), {"manual"})

    def other_shop(self, secret="s3cret", **values):
        """A shop of another company that has the same app."""
        number = self.env["res.company"].search_count([])
        company = self.env["res.company"].create({"name": f"Other {number}"})
        backend = self.env["integration.backend"].create(
            {
                "name": "Other shop",
                "connector": "shopify",
                "base_url": "other.myshopify.com",
                "company_id": company.id,
            }
        )
        backend.credential_ids.filtered(lambda c: c.code == "client_secret").value = secret
        backend.write({"state": "active", "shopify_domain": "other.myshopify.com", **values})
        return backend

    def ask_for_other_shop(self):
        body = self.body("customers_redact", shop_domain="other.myshopify.com")
        return self.deliver("customers/redact", body, Shop_Domain="other.myshopify.com")

    def test_one_address_for_all_shops_of_an_app(self):
        other = self.other_shop()
        event = self.ask_for_other_shop()
        self.assertEqual((event.backend_id, event.company_id), (other, other.company_id))
        request = self.requests(other)
        self.assertEqual((request.kind, request.state), ("erase", "done"))
        self.assertEqual(request.company_id, other.company_id)
        self.assertFalse(self.requests())
        self.assertIn("ring twice", self.kept())
        # what is no request about a person stays where it was sent
        with self.assertRaises(WebhookRefused):
            self.backend._connector()._webhook_backends(
                self.backend,
                "orders/updated",
                {"X-Shopify-Shop-Domain": "other.myshopify.com"},
                ORDER,
            )

    @mute_logger("odoo.addons.integration_base.models.integration_webhook_event")
    def test_shop_whose_own_secret_does_not_prove_it(self):
        for values in ({"secret": "another"}, {"secret": False}, {"state": "draft"}):
            with self.subTest(**values):
                other = self.other_shop(**values)
                event = self.ask_for_other_shop()
                self.assertEqual((event.backend_id, event.state), (self.backend, "unreadable"))
                self.assertIn("the shop other.myshopify.com", event.message)
                self.assertFalse(self.requests(other))
                self.assertEqual(self.requests().mapped("state"), ["held"])
                other.active = False
        self.assertUntouched()

    def test_two_backends_of_one_shop(self):
        other = self.other_shop(shopify_domain="demo.myshopify.com")
        self.deliver("customers/redact")
        self.assertEqual(self.requests().mapped("state"), ["done"])
        self.assertEqual(self.requests(other).mapped("state"), ["done"])

    def test_processing_again_asks_for_nothing_new(self):
        event = self.deliver("customers/redact")
        self.deliver("customers/data_request")
        held = self.deliver("shop/redact")
        requests = self.requests()
        self.assertEqual(len(requests), 3)
        operator = new_test_user(
            self.env, "operating", groups="integration_base.group_integration_operator"
        )
        events = event | held | self.env["integration.webhook.event"].search([])
        wizard = self.env["integration.webhook.replay"].with_user(operator)
        wizard.create({"event_ids": events.ids}).action_replay()
        self.assertEqual(self.requests(), requests)
        # one that was lost
        requests.filtered(lambda r: r.event_id == event).unlink()
        wizard.create({"event_ids": event.ids}).action_replay()
        self.assertEqual(len(self.requests() - requests), 1)

    def test_request_that_was_sent_again_under_another_id(self):
        self.deliver("customers/data_request")
        self.deliver("customers/data_request", event_id="event-2")
        self.assertEqual(self.requests().mapped("kind"), ["export"])

    def test_what_cannot_be_read_is_for_a_person(self):
        self.backend.shopify_domain = False
        event = self.deliver("customers/redact")
        request = self.requests()
        self.assertEqual((request.kind, request.state), ("manual", "held"))
        self.assertEqual((request.event_id, event.state), (event, "unreadable"))
        self.assertIn("Privacy > Requests", event.message)
        self.assertNotIn("next scheduled reading", event.message)
        self.assertEqual(request.event_message, event.message)
        self.assertEqual(request.activity_ids.user_id, self.backend.user_id)
        with self.assertRaises(UserError):
            request.action_erase_now()
        self.assertUntouched()
        event._replay()
        self.assertEqual(self.requests(), request)
        # once it can be read, it is carried out, and nobody is asked any more
        self.backend.shopify_domain = "demo.myshopify.com"
        event._replay()
        self.work()
        self.assertEqual((request.state, request.activity_ids.ids), ("closed", []))
        self.assertEqual((self.requests() - request).mapped("state"), ["done"])
        self.assertEqual(event.state, "accepted")
        self.assertNotIn("ring twice", self.kept())

    def test_what_was_done_by_hand_is_not_done_again(self):
        self.backend.shopify_domain = False
        event = self.deliver("customers/redact")
        self.requests().with_user(self.manager()).action_close()
        self.backend.shopify_domain = "demo.myshopify.com"
        event._replay()
        self.assertEqual(self.requests().mapped("state"), ["closed"])


class TestReadingPrivacyNotices(BaseCase):
    SHOP = "demo.myshopify.com"

    def notice(self, topic, **values):
        payload = {"shop_id": 1, "shop_domain": self.SHOP, **values}
        return webhook.read_privacy(topic, json.dumps(payload).encode(), self.SHOP)

    def redact(self, customer, orders=()):
        return self.notice("customers/redact", customer=customer, orders_to_redact=list(orders))

    def test_unreadable(self):
        for topic in webhook.PRIVACY_TOPICS:
            for body in (b"", b"[]", b"{}", b'{"shop_domain": 5}', b'{"customer": {"id": 5}}'):
                with self.subTest(topic=topic, body=body), self.assertRaises(InvalidPayloadError):
                    webhook.read_privacy(topic, body, self.SHOP)
        for customer in (None, 5, [], {}, {"id": None}, {"email": "", "phone": 5}):
            with self.subTest(customer=customer), self.assertRaises(InvalidPayloadError):
                self.redact(customer)

    def test_what_belongs_to_the_topic_is_there(self):
        for topic in ("customers/redact", "customers/data_request"):
            with self.subTest(topic), self.assertRaises(InvalidPayloadError):
                self.notice(topic, customer={"id": 1})
        body = json.dumps({"shop_domain": self.SHOP}).encode()
        with self.assertRaises(InvalidPayloadError):
            webhook.read_privacy("shop/redact", body, self.SHOP)

    def test_phone_or_address_alone(self):
        for customer in ({"phone": "+49 1"}, {"email": "a@example.com", "id": None}):
            notice = self.redact(customer)
            self.assertEqual(notice.contacts, (next(iter(customer.values())),))
            self.assertFalse(notice.records)

    def test_shop_in_capitals(self):
        notice = self.notice("shop/redact", shop_domain="Demo.MyShopify.com")
        self.assertEqual(notice.kind, "erase_all")

    def test_numbers(self):
        notice = self.redact({"id": "7"}, [1, "2"])
        self.assertEqual(
            notice.records,
            (
                ("customer", "gid://shopify/Customer/7"),
                ("order", "gid://shopify/Order/1"),
                ("order", "gid://shopify/Order/2"),
            ),
        )

    def test_odd_numbers_are_not_left_out(self):
        for odd in ("x", "", 1.5, -1, True, None, [], {}, "\u0661", "gid://shopify/Order/1"):
            with self.subTest(odd=odd):
                with self.assertRaises(InvalidPayloadError) as caught:
                    self.redact({"id": 1}, [1, odd])
                self.assertEqual(caught.exception.problems[0][0], "orders_to_redact.1")
                if odd is not None:
                    with self.assertRaises(InvalidPayloadError):
                        self.redact({"id": odd, "email": "a@example.com"})
                    with self.assertRaises(InvalidPayloadError):
                        self.notice("shop/redact", shop_id=odd)
        for orders in (None, 5, {"1": 1}, "12"):
            with self.subTest(orders=orders), self.assertRaises(InvalidPayloadError):
                self.notice("customers/redact", customer={"id": 1}, orders_to_redact=orders)

    def test_data_request_has_a_number(self):
        for request in (None, 5, {}, {"id": "x"}):
            with self.subTest(request=request), self.assertRaises(InvalidPayloadError):
                self.notice("customers/data_request", customer={"id": 1}, data_request=request)
        notice = self.notice("customers/data_request", customer={"id": 1}, data_request={"id": 9})
        self.assertEqual((notice.kind, notice.reference), ("export", "9"))
