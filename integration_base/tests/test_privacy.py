"""What is kept on a person is found, handed out and erased; the history stays explainable."""

import hashlib
import hmac
import io
import json
import zipfile
from datetime import datetime
from unittest.mock import patch

import xlsxwriter

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, new_test_user, tagged

from ..models import integration_privacy
from ..models.integration_privacy import FOLLOWED, STORES
from ..wizards import integration_privacy_lookup
from .common import FakeConnector, IntegrationCase

EMAIL, PHONE = "anna.canary@example.com", "+49 171 5550143"
NAME, STREET = "Anna Canaryson", "Canaryweg 17"
CANARIES = (EMAIL, PHONE, "49171555", NAME, STREET, "Canary")
TEXT_TYPES = ("char", "text", "html", "json", "binary", "serialized", "job_serialized")
#: Columns of our tables that hold no personal data: ids, codes, names of settings.
PLAIN = {
    "integration.agreement": "agreed_state",
    "integration.backend": (
        "name base_url other_base_url private_hosts database_identity webhook_token kept"
        " granted_scopes"
    ),
    "integration.backfill": "cursor_page",
    "integration.binding": "resource external_id res_model import_digest export_digest",
    "integration.credential": "code host scope ciphertext previous_ciphertext",
    "integration.discrepancy": "external_id version res_model",
    "integration.exchange": "batch_ref method",
    "integration.field.mapping": "resource external_path",
    "integration.flow": "resource schedule_times cursor_page missing_scopes refused_scopes",
    "integration.incident": "key",
    "integration.intent": "action resource res_model batch_ref idempotency_key request_digest",
    "integration.mapping": "external_value external_details",
    # wiped when the request is done
    "integration.privacy.request": "reference external_ids counts terms position",
    "integration.rate.bucket": "name",
    "integration.reconciliation": "page",
    "integration.scope": "name",
    "integration.sync.attempt": "batch_ref",
    "integration.sync.log": "resource key external_id claim_token batch_ref depends_on fingerprint"
    " res_model",
    "integration.webhook.event": "event_id topic body_digest",
    "integration.webhook.subscription": "topic address remote_id",
}


def connector_says(name, value):
    """Let the fake connector have an attribute of its own."""
    return patch.object(FakeConnector, name, value, create=True)


class PrivacyCase(IntegrationCase):
    def setUp(self):
        super().setUp()
        self.privacy = self.env["integration.privacy"]
        self.Request = self.env["integration.privacy.request"]
        self.company = self.backend.company_id
        self.anna = self.env["res.partner"].create(
            {"name": NAME, "email": EMAIL, "phone": PHONE, "street": STREET}
        )
        self.other = self.env["res.partner"].create(
            {"name": "Ben Other", "email": "ben@example.com"}
        )
        self.customer = "cust-77712345"
        self.bind(self.customer, self.anna, NAME)
        self.bind("cust-2", self.other, "Ben Other")

    # === WHAT IS KEPT === #

    def insert(self, model, **values):
        columns = ", ".join(f'"{name}"' for name in values)
        marks = ", ".join(["%s"] * len(values))
        self.env.flush_all()
        self.env.cr.execute(
            f"INSERT INTO {self.env[model]._table} ({columns}) VALUES ({marks}) RETURNING id",
            list(values.values()),
        )
        return self.env[model].browse(self.env.cr.fetchone()[0])

    def bind(self, external_id, record, label, backend=None):
        return self.env["integration.binding"].create(
            {
                "backend_id": (backend or self.backend).id,
                "resource": "contact",
                "external_id": external_id,
                "external_label": label,
                "res_model": record._name,
                "res_id": record.id,
                "import_digest": "digest-of-it",
            }
        )

    def operation(self, external_id, state="done", **values):
        return self.insert(
            "integration.sync.log",
            **{
                "flow_id": self.flow.id,
                "backend_id": self.backend.id,
                "company_id": self.company.id,
                "resource": "contact",
                "kind": "record",
                "key": external_id,
                "external_id": external_id,
                "trigger": "webhook",
                "state": state,
                "next_attempt_at": datetime(2099, 1, 1),
                **values,
            },
        )

    def event(self, event_id, body, **values):
        return self.insert(
            "integration.webhook.event",
            **{
                "backend_id": self.backend.id,
                "company_id": self.company.id,
                "event_id": event_id,
                "topic": "contact/updated",
                "received_at": fields.Datetime.now(),
                "state": "accepted",
                "body": body,
                "body_digest": f"digest-{event_id}",
                "count": 1,
                **values,
            },
        )

    def payload(self, **values):
        return json.dumps(
            {
                "id": self.customer,
                "email": EMAIL,
                "phone": PHONE,
                "shipping_address": {"name": NAME, "address1": STREET, "country_code": "DE"},
                "total": "12.50",
                **values,
            }
        )

    def keep_everything(self):
        """Put the person into every column that may hold personal data."""
        now = fields.Datetime.now()
        words = f"{NAME}, {STREET}: {EMAIL} or {PHONE}"
        kept = {}
        kept["event"] = self.event("e-1", self.payload(), message=words)
        kept["operation"] = self.operation(
            self.customer,
            "dead",
            label=NAME,
            message=f"Several contacts have the address: {words}",
            detail=f"Traceback: ValueError: {words}",
            payload=self.payload(),
            edited_payload=self.payload(),
            review_note=words,
            webhook_event_id=kept["event"].id,
            batch_ref="batch-1",
            error_class="ambiguous",
        )
        operation_id = kept["operation"].id
        kept["attempt"] = self.insert(
            "integration.sync.attempt",
            operation_id=operation_id,
            company_id=self.company.id,
            at=now,
            message=words,
            batch_ref="batch-0",
        )
        kept["edit"] = self.insert(
            "integration.sync.edit",
            operation_id=operation_id,
            company_id=self.company.id,
            at=now,
            user_id=self.env.uid,
            reason=words,
            original=self.payload(),
            edited=self.payload(),
        )
        kept["editing"] = self.insert(
            "integration.edit.payload",
            operation_id=operation_id,
            payload=self.payload(),
            reason=words,
        )
        kept["staged"] = self.insert(
            "integration.staged.payload",
            operation_id=operation_id,
            backend_id=self.backend.id,
            company_id=self.company.id,
            payload=self.payload(),
            read_at=now,
        )
        for number in (0, 1):
            kept[f"exchange {number}"] = self.insert(
                "integration.exchange",
                backend_id=self.backend.id,
                company_id=self.company.id,
                batch_ref=f"batch-{number}",
                at=now,
                name=NAME,
                method="POST",
                url=f"https://service.example.com/customers?q={EMAIL}&id={self.customer}",
                request_headers=f"X-Customer: {EMAIL}",
                request_body=self.payload(),
                response_headers=f"X-Customer: {NAME}",
                response_body=json.dumps(
                    {
                        "nodes": [
                            {"id": self.customer, "note": f"call {NAME} at {PHONE}"},
                            {"id": "cust-2", "note": "leave it with Ben"},
                        ]
                    }
                ),
                status=200,
                error=words,
            )
        kept["intent"] = self.insert(
            "integration.intent",
            backend_id=self.backend.id,
            company_id=self.company.id,
            action="create",
            res_model="res.partner",
            res_id=self.anna.id,
            label=NAME,
            idempotency_key="key-1",
            request=self.payload(),
            result=json.dumps({"id": "label-1", "name": NAME}),
            outcome="sent",
            try_number=1,
            attempts=1,
            error=words,
            create_date=now,
            started_at=now,
        )
        kept["incident"] = self.insert(
            "integration.incident",
            backend_id=self.backend.id,
            company_id=self.company.id,
            kind="failures",
            key="fingerprint",
            message=words,
            close_reason=words,
            state="closed",
            first_at=now,
            last_at=now,
            operation_id=operation_id,
        )
        run = self.insert(
            "integration.reconciliation",
            flow_id=self.flow.id,
            backend_id=self.backend.id,
            company_id=self.company.id,
            state="done",
            phase="check",
            trigger="manual",
            message=words,
        )
        kept["discrepancy"] = self.insert(
            "integration.discrepancy",
            reconciliation_id=run.id,
            flow_id=self.flow.id,
            backend_id=self.backend.id,
            company_id=self.company.id,
            kind="different",
            state="open",
            external_id=self.customer,
            external_label=NAME,
            reason=words,
            differences=json.dumps(
                [["Total", "12.50 EUR", "13.00 EUR"], ["Street", STREET, "Old Canary Street 1"]]
            ),
        )
        self.env["integration.mapping"].create(
            {
                "backend_id": self.backend.id,
                "kind": "country",
                "external_value": "XX",
                "external_label": words,
            }
        )
        self.flow.held_reason = words
        self.backend.pause_reason = words
        self.env["integration.breaker"].search([("backend_id", "=", self.backend.id)]).unlink()
        self.insert(
            "integration.breaker",
            backend_id=self.backend.id,
            company_id=self.company.id,
            state="closed",
            last_error=words,
        )
        kept["incident"].message_post(body=words, subject=words)
        kept["incident"].activity_schedule(
            "mail.mail_activity_data_todo", summary=words, note=words, user_id=self.env.uid
        )
        message = kept["incident"].message_ids[:1]
        self.env["mail.mail"].create({"mail_message_id": message.id, "body_html": words})
        self.env["ir.attachment"].create(
            {
                "name": "order.json",
                "raw": self.payload().encode(),
                "res_model": "integration.incident",
                "res_id": kept["incident"].id,
            }
        )
        self.insert(
            "queue.job",
            uuid="job-1",
            name=words,
            func_string=words,
            model_name="integration.flow",
            method_name="_job_drain",
            state="failed",
            exc_message=words,
            exc_info=words,
            result=words,
            # as queue_job stores them: JSON in a text that is JSON itself
            records=json.dumps(json.dumps({"model": "integration.flow", "ids": self.flow.ids})),
            args=json.dumps(json.dumps([NAME, {"email": EMAIL}])),
            company_id=self.company.id,
        )
        self.env.invalidate_all()
        return kept

    # === ASKING === #

    def ask(self, kind, terms=None, **values):
        self.env.flush_all()
        with self.enter_registry_test_mode():
            request = self.Request._ask(
                self.company,
                kind,
                terms or self.privacy._terms(self.company, self.anna),
                **values,
            )
            request._work()
        self.env.invalidate_all()
        return request

    def scan(self):
        """Return ``{(table, column)}`` of all text that holds a canary, files included."""
        self.env.flush_all()
        self.env.cr.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND (table_name LIKE 'integration\\_%%'"
            "    OR table_name LIKE 'mail\\_%%' OR table_name IN ('queue_job', 'ir_attachment'))"
            "   AND data_type IN ('text', 'character varying', 'json', 'jsonb', 'bytea')"
        )
        found = set()
        for table, column in self.env.cr.fetchall():
            self.env.cr.execute(
                f'SELECT 1 FROM "{table}" WHERE "{column}"::text ~* %s LIMIT 1',
                ["|".join(canary.replace("+", r"\+") for canary in CANARIES)],
            )
            if self.env.cr.fetchone():
                found.add((table, column))
        for file in self.env["ir.attachment"].search([("res_model", "=like", "integration.%")]):
            if any(canary.encode() in (file.raw or b"") for canary in CANARIES):
                found.add(("ir_attachment", "raw"))
        return found


@tagged("post_install", "-at_install")
class TestStores(PrivacyCase):
    def test_every_text_column_is_accounted_for(self):
        stores = {store.model: set(store.columns) for store in STORES}
        unknown = []
        for name, model in self.env.items():
            if not name.startswith("integration.") or model._abstract or model._transient:
                continue
            known = stores.get(name, set()) | set(PLAIN.get(name, "").split())
            unknown += [
                f"{name}.{field.name}"
                for field in model._fields.values()
                if field.store
                and field.type in TEXT_TYPES
                and field.name not in known
                # columns of other addons are theirs to declare
                and "integration_base" in (field._modules or ("integration_base",))
                and not field.name.startswith(("message_", "activity_"))
            ]
        self.assertFalse(unknown, "Declare them in STORES, or in PLAIN with a good reason.")

    def test_declared_columns_exist(self):
        for store in STORES:
            for name in store.columns:
                self.assertTrue(self.env[store.model]._fields[name].column_type, name)

    def test_records_that_people_follow_are_accounted_for(self):
        followed = {
            name
            for name, model in self.env.items()
            if name.startswith("integration.")
            and not model._abstract
            and ("message_ids" in model._fields or "activity_ids" in model._fields)
        }
        self.assertEqual(followed, set(FOLLOWED))

    def test_every_store_knows_what_belongs_to_a_backend(self):
        for store in STORES:
            self.assertIn("%(backend)s", store.whole, store.model)


@tagged("post_install", "-at_install")
class TestErase(PrivacyCase):
    def test_nothing_is_left(self):
        self.keep_everything()
        columns = {
            (self.env[store.model]._table, name) for store in STORES for name in store.columns
        }
        self.assertGreater(len(self.scan() & columns), 40)
        request = self.ask("erase")
        self.assertEqual(request.state, "done")
        self.assertFalse(self.scan())

    def test_history_stays_explainable(self):
        kept = self.keep_everything()
        request = self.ask("erase")
        operation = kept["operation"]
        self.assertEqual(
            (operation.state, operation.external_id, operation.error_class),
            ("ignored", self.customer, "ambiguous"),
        )
        self.assertIn("Several contacts have the address: ***", operation.message)
        self.assertIn(request.display_name, operation.review_note)
        payload = json.loads(operation.payload)
        self.assertEqual((payload["id"], payload["total"]), (self.customer, "12.50"))
        self.assertEqual(payload["shipping_address"]["country_code"], "DE")
        self.assertFalse(operation.edited_payload)
        exchange = kept["exchange 1"]
        self.assertEqual((exchange.status, exchange.method), (200, "POST"))
        self.assertIn("leave it with Ben", exchange.response_body)
        self.assertIn(self.customer, exchange.url)
        self.assertEqual(kept["event"].body_digest, "digest-e-1")
        self.assertEqual(
            kept["discrepancy"].differences,
            [["Total", "12.50 EUR", "13.00 EUR"], ["Street", "***", "***"]],
        )
        binding = self.env["integration.binding"].search([("external_id", "=", self.customer)])
        self.assertEqual((binding.res_id, binding.import_digest), (self.anna.id, "digest-of-it"))
        self.assertEqual(binding.display_name, self.customer)

    def test_name_goes_with_a_deleted_contact(self):
        binding = self.env["integration.binding"].search([("external_id", "=", self.customer)])
        self.anna.unlink()
        self.assertEqual(binding.display_name, self.customer)

    def test_nothing_is_imported_again_by_itself(self):
        body = self.payload().encode()
        headers = {
            "X-Topic": "contact/updated",
            "X-Event-Id": "e-9",
            "X-Signature": self.sign(body),
        }
        Event = self.env["integration.webhook.event"]
        event = Event._receive(self.backend, headers, body)
        operation = event.operation_ids
        self.ask("erase")
        self.assertEqual(operation.state, "ignored")
        self.assertNotIn("Canary", event.body)
        # the service sends it once more: the row is there, and is the same
        self.assertFalse(Event._receive(self.backend, headers, body))
        self.assertFalse(event.id_reused)
        self.drain()
        self.assertFalse(self.service.fetches)

    def sign(self, body):
        return hmac.new(b"s3cr3t-canary", body, hashlib.sha256).hexdigest()

    def test_open_operations_that_name_the_person_without_a_link(self):
        operation = self.operation("order-1", "pending", payload=self.payload())
        namesake = self.operation("order-2", "pending", label=NAME)
        self.ask("erase")
        self.assertEqual(self.states(operation + namesake), ["ignored", "pending"])
        self.assertEqual(namesake.label, "***")

    def test_waits_for_an_operation_at_work(self):
        operation = self.operation(self.customer, "running", label=NAME)
        request = self.ask("erase")
        self.assertEqual((request.state, operation.label), ("waiting", NAME))
        self.env.cr.execute("UPDATE integration_sync_log SET state = 'done'")
        with self.enter_registry_test_mode():
            self.assertTrue(request._work())
        operation.invalidate_recordset()
        self.assertEqual(operation.label, "***")

    def test_others_stay_as_they_are(self):
        kept = self.operation(
            "cust-2", "dead", label="Ben Other", payload=json.dumps({"email": "ben@example.com"})
        )
        namesake = self.payload(id="cust-3", email="another@example.com", phone=None)
        namesake = self.event("e-2", namesake.replace(STREET, "Elsewhere 1"))
        before = (kept.label, kept.payload, namesake.body)
        self.ask("erase")
        self.assertEqual((kept.state, kept.label, kept.payload), ("dead", *before[:2]))
        self.assertIn("another@example.com", namesake.body)

    def test_other_companies_stay_as_they_are(self):
        other = self.env["res.company"].create({"name": "Other"})
        foreign = self.event("e-3", self.payload(), company_id=other.id)
        own = self.event("e-4", self.payload())
        self.ask("erase")
        self.assertIn(EMAIL, foreign.body)
        self.assertNotIn(EMAIL, own.body)

    def in_second_shop(self):
        """Let another backend of the company know the person, too; returns what it keeps."""
        second = self.backend.create(
            {"name": "Second", "connector": "fake", "base_url": "https://second.example.com"}
        )
        values = {"backend_id": second.id, "flow_id": second.flow_ids.id}
        link = self.bind(self.customer, self.anna, NAME, second)
        operation = self.operation(
            self.customer, "pending", label=NAME, payload=self.payload(), **values
        )
        event = self.event("s-1", self.payload(), backend_id=second.id)
        return operation, event, link, second

    def test_a_service_speaks_for_its_own_backend(self):
        operation, event, link, second = self.in_second_shop()
        kept = self.keep_everything()
        second.message_post(body=f"{NAME}, {EMAIL}")
        before = (operation.label, operation.payload, event.body, link.external_label)
        terms = self.privacy._terms(
            self.company,
            contacts=[EMAIL],
            records={(self.backend.id, "contact", self.customer)},
        )
        request = self.ask("erase", terms, backend_id=self.backend.id)
        self.assertEqual(request.state, "done")
        self.assertNotIn("Second", request.external_ids)
        self.assertIn("Fake / contact", request.external_ids)
        self.assertEqual((kept["operation"].state, operation.state), ("ignored", "pending"))
        self.assertEqual(
            (operation.label, operation.payload, event.body, link.external_label), before
        )
        self.assertIn(EMAIL, second.message_ids[0].body)
        self.assertNotIn("anary", kept["event"].body)
        self.assertNotIn("anary", kept["incident"].message_ids[0].body)
        self.assertFalse(
            self.env["ir.attachment"].search([("res_id", "=", kept["incident"].id)]).raw
        )
        # whoever asks as a user means the company
        request = self.ask("erase")
        self.assertIn("Second / contact", request.external_ids)
        self.assertEqual(operation.state, "ignored")
        self.assertFalse(self.scan())

    def test_window_by_window(self):
        events = [self.event(f"e-{number}", self.payload()) for number in range(7)]
        self.env.flush_all()
        with (
            patch.object(integration_privacy, "WINDOW", 2),
            self.enter_registry_test_mode(),
        ):
            terms = self.privacy._terms(self.company, self.anna)
            request = self.Request._ask(self.company, "erase", terms)
            steps = 1
            while request._work_once()[0]:
                steps += 1
                request.invalidate_recordset()
                if request.position and request.state == "running":
                    self.assertTrue(request.terms)
        self.env.invalidate_all()
        self.assertGreater(steps, len(STORES) + 3)
        self.assertEqual(request.counts["integration.webhook.event"], 7)
        self.assertFalse(any(EMAIL in event.body for event in events))

    def test_what_remains_of_the_request(self):
        self.keep_everything()
        request = self.ask("erase")
        self.assertEqual(request.user_id, self.env.user)
        self.assertTrue(request.done_at)
        self.assertIn(self.customer, request.external_ids)
        self.assertEqual(request.set_aside_count, 1)
        self.assertEqual(request.counts["integration.sync.log"], 1)
        self.assertFalse(request.sudo().terms or request.sudo().position)

    def test_however_it_is_written(self):
        names = ["Anna  Canaryson", "Anna\u00a0Canaryson", "Anna&nbsp;Canaryson", "Anna+Canaryson"]
        street = json.dumps(json.dumps("Canarystraße 5"))
        self.anna.street = "Canarystraße 5"
        bodies = [f"{name} {street} x" for name in names]
        bodies += [json.dumps({"text": body}) for body in bodies]
        bodies.append("Anna Canaryson, CANARYSTRA&szlig;E&#160;5")
        events = [self.event(f"w-{number}", body) for number, body in enumerate(bodies)]
        self.ask("erase")
        for event, body in zip(events, bodies, strict=True):
            self.assertNotIn("anary", event.body.lower(), body)

    def test_addresses_of_the_contact_are_the_person(self):
        self.env["res.partner"].create(
            {"parent_id": self.anna.id, "type": "delivery", "name": "x", "street": "Nebenweg 9"}
        )
        event = self.event("e-5", json.dumps({"id": "o", "a": "Nebenweg 9", "b": EMAIL}))
        self.ask("erase")
        self.assertNotIn("Nebenweg", event.body)

    def test_employees_of_a_company_are_not(self):
        company = self.env["res.partner"].create({"name": "Canary Works", "is_company": True})
        self.anna.parent_id = company
        terms = self.privacy._terms(self.company, company)
        self.assertNotIn(EMAIL, terms["contacts"])

    def test_free_text_that_the_connector_names(self):
        event = self.event("e-6", self.payload(gift_message="for my little bird"))
        with connector_says("_connector_personal_keys", ("gift_message",)):
            self.ask("erase")
        self.assertEqual(json.loads(event.body)["gift_message"], "***")


@tagged("post_install", "-at_install")
class TestExport(PrivacyCase):
    def test_everything_is_in_it(self):
        self.keep_everything()
        request = self.ask("export")
        text = request.attachment_id.raw.decode()
        for canary in (EMAIL, PHONE, NAME, STREET):
            self.assertIn(canary, text)
        kinds = {row["kind"] for row in json.loads(text)["kept"]}
        linked = {store.model for store in STORES if store.linked != "false"}
        self.assertFalse(linked - kinds)
        self.assertFalse(request.sudo().terms)

    def test_window_by_window(self):
        events = [self.event(f"p-{number}", self.payload()) for number in range(7)]
        self.keep_everything()
        self.env.flush_all()
        terms = self.privacy._terms(self.company, self.anna)
        whole = json.loads(self.ask("export").attachment_id.raw)["kept"]
        with (
            patch.object(integration_privacy, "WINDOW", 2),
            self.enter_registry_test_mode(),
        ):
            request = self.Request._ask(self.company, "export", terms)
            steps, position = 1, None
            while request._work_once()[0]:
                steps += 1
                request.invalidate_recordset()
                # what was looked at is not looked at again
                self.assertNotEqual(request.sudo().position, position)
                position = request.sudo().position
        self.env.invalidate_all()
        self.assertGreater(steps, len(STORES) + 5)
        # the files of both requests may be about the person, the texts of ours are the same
        self.assertEqual(json.loads(request.attachment_id.raw)["kept"], whole)
        self.assertGreaterEqual(request.counts["integration.webhook.event"], len(events))
        files = self.env["ir.attachment"].search(
            [("res_model", "=", request._name), ("res_id", "=", request.id)]
        )
        self.assertEqual(files, request.attachment_id)

    def test_address_with_a_name(self):
        for number, email in enumerate((f"Anna <{EMAIL}>", f"{EMAIL}, anna@second.example")):
            self.anna.email = email
            event = self.event(f"n-{number}", f"by {EMAIL}")
            wizard = self.env["integration.privacy.lookup"].create({"email": email})
            for terms in (self.privacy._terms(self.company, self.anna), wizard._terms()):
                person = self.privacy._person(terms)
                self.assertTrue(person.is_in(event.body, certain=True))

    def test_nobody_else_is_in_it(self):
        self.keep_everything()
        self.operation("cust-2", label="Ben Other")
        self.event("e-7", json.dumps({"name": NAME, "email": "namesake@example.com"}))
        text = self.ask("export").attachment_id.raw.decode()
        self.assertNotIn("Ben", text)
        self.assertNotIn("namesake", text)

    def test_file_is_private_and_can_be_deleted(self):
        request = self.ask("export")
        self.assertFalse(request.attachment_id.public)
        self.assertEqual(request.attachment_id.company_id, self.company)
        operator = new_test_user(
            self.env, "privacy_op", groups="integration_base.group_integration_operator"
        )
        with self.assertRaises(AccessError):
            _ = request.attachment_id.with_user(operator).raw
        manager = new_test_user(
            self.env, "privacy_man", groups="integration_base.group_integration_manager"
        )
        self.assertTrue(request.attachment_id.with_user(manager).raw)
        action = request.with_user(manager).action_download()
        self.assertIn(f"/web/content/{request.attachment_id.id}", action["url"])
        request.with_user(manager).action_delete_file()
        self.assertFalse(request.attachment_id)
        with self.assertRaises(UserError):
            request.action_download()

    def test_other_companies_do_not_see_it(self):
        request = self.ask("export")
        other = self.env["res.company"].create({"name": "Other"})
        manager = new_test_user(
            self.env,
            "privacy_other",
            groups="integration_base.group_integration_manager",
            company_id=other.id,
            company_ids=[(6, 0, other.ids)],
        )
        with self.assertRaises(AccessError):
            request.with_user(manager).read(["kind"])


@tagged("post_install", "-at_install")
class TestLookup(PrivacyCase):
    def lookup(self, **values):
        return self.env["integration.privacy.lookup"].create(values)

    def press(self, wizard, action):
        self.env.flush_all()
        with self.enter_registry_test_mode():
            result = getattr(wizard, action)()
        self.env.invalidate_all()
        return result

    def test_by_contact(self):
        event = self.event("e-1", self.payload())
        wizard = self.lookup(partner_id=self.anna.id)
        self.press(wizard, "action_look")
        self.assertIn("Webhook Event: 1", wizard.found)
        action = self.press(wizard, "action_erase")
        request = self.env[action["res_model"]].browse(action["res_id"])
        self.assertEqual((request.state, request.partner_id), ("done", self.anna))
        self.assertNotIn("Canary", event.body)
        self.assertFalse(wizard.exists())

    def test_looking_ends_in_time(self):
        self.event("e-1", self.payload())
        wizard = self.lookup(partner_id=self.anna.id)
        with patch.object(integration_privacy_lookup, "FOREGROUND_SECONDS", -1):
            self.press(wizard, "action_look")
        self.assertIn("There may be more", wizard.found)
        self.press(wizard, "action_look")
        self.assertNotIn("There may be more", wizard.found)

    def test_figures_are_of_whom_the_fields_name(self):
        self.event("e-1", self.payload())
        wizard = self.lookup(partner_id=self.anna.id)
        self.press(wizard, "action_look")
        for name, value in (
            ("partner_id", self.other),
            ("email", "ben@example.com"),
            ("phone", "+49 171 999999"),
            ("name", "Ben"),
            ("street", "Elsewhere 1"),
            ("reference", "cust-2"),
        ):
            form = Form(wizard)
            self.assertIn("Webhook Event", form.found)
            form[name] = value
            self.assertFalse(form.found, name)

    def test_by_what_is_typed_in(self):
        for number, values in enumerate(
            ({"email": EMAIL.upper()}, {"phone": "0049 171/5550143"}, {"reference": self.customer})
        ):
            event = self.event(f"t-{number}", self.payload())
            self.press(self.lookup(**values), "action_erase")
            self.assertNotIn(PHONE, event.body, values)

    def test_nothing_typed_in_and_nothing_found(self):
        for values in ({}, {"name": NAME}, {"reference": "no such number"}):
            with self.assertRaises(UserError):
                self.lookup(**values).action_look()
        wizard = self.lookup(email="nobody@example.com")
        self.press(wizard, "action_look")
        self.assertEqual(wizard.found, "Nothing.")

    def test_managers_only(self):
        operator = new_test_user(
            self.env, "privacy_op", groups="integration_base.group_integration_operator"
        )
        with self.assertRaises(AccessError):
            self.env["integration.privacy.lookup"].with_user(operator).create({"email": EMAIL})
        with self.assertRaises(AccessError):
            self.Request.with_user(operator).search([])
        with self.assertRaises(AccessError):
            self.Request.create({"company_id": self.company.id, "kind": "erase"}).with_user(
                self.env.ref("base.user_admin")
            ).write({"counts": {}})


@tagged("post_install", "-at_install")
class TestWholeBackend(PrivacyCase):
    def test_everything_of_the_backend_goes(self):
        kept = self.keep_everything()
        waiting = self.operation("order-9", "pending", label="Ben Other")
        exports = self.ask("export") + self.ask("export", backend_id=self.backend.id)
        self.assertEqual(len(exports.attachment_id), 2)
        for record in (self.backend, exports[1]):
            record.message_post(body=f"{NAME}, {EMAIL}", subject=NAME)
            record.activity_schedule("mail.mail_activity_data_todo", summary=NAME, note=EMAIL)
        request = self.ask(
            "erase_all",
            self.privacy._terms(self.company, backend=self.backend),
            backend_id=self.backend.id,
        )
        self.assertEqual((request.state, self.backend.state), ("held", "active"))
        self.assertEqual(self.states(waiting), ["pending"])
        request.action_erase_now()
        self.env.flush_all()
        with self.enter_registry_test_mode():
            self.assertTrue(request._work())
        self.env.invalidate_all()
        self.assertEqual(request.state, "done")
        self.assertEqual((self.backend.state, self.backend.active), ("draft", False))
        self.assertFalse(self.backend.credential_ids.filtered("is_set"))
        self.assertEqual(self.states(waiting), ["ignored"])
        self.assertFalse(waiting.label)
        self.assertFalse(self.scan())
        self.assertFalse(exports.attachment_id)
        self.assertGreaterEqual(request.counts["ir.attachment"], 3)
        self.assertEqual(kept["exchange 1"].status, 200)
        self.assertEqual(kept["operation"].external_id, self.customer)

    def test_nothing_of_another_backend_goes(self):
        second = self.backend.create(
            {"name": "Second", "connector": "fake", "base_url": "https://second.example.com"}
        )
        values = {"backend_id": second.id, "flow_id": second.flow_ids.id}
        operation = self.operation("order-9", "pending", label="Ben Other", **values)
        second.message_post(body="Ben Other")
        other = self.ask("export", backend_id=second.id)
        second.activity_schedule("mail.mail_activity_data_todo", summary="Ben Other")
        job = self.insert(
            "queue.job",
            uuid="job-2",
            name="Ben Other",
            model_name="integration.flow",
            method_name="_job_drain",
            state="failed",
            records=json.dumps(json.dumps({"ids": second.flow_ids.ids})),
            company_id=self.company.id,
        )
        self.ask(
            "erase_all",
            self.privacy._terms(self.company, backend=self.backend),
            backend_id=self.backend.id,
        )
        self.assertEqual((operation.state, operation.label), ("pending", "Ben Other"))
        self.assertIn("Ben Other", second.message_ids[0].body)
        self.assertEqual(second.activity_ids.summary, "Ben Other")
        self.assertEqual(job.name, "Ben Other")
        self.assertTrue(other.attachment_id)


@tagged("post_install", "-at_install")
class TestWhoIsTold(PrivacyCase):
    def user(self, login, role, company=None):
        company = company or self.company
        return new_test_user(
            self.env,
            login,
            groups=f"base.group_user,integration_base.group_integration_{role}",
            company_id=company.id,
            company_ids=[(6, 0, company.ids)],
        )

    def told(self):
        request = self.ask("erase", backend_id=self.backend.id)
        self.assertEqual(request.state, "done")
        user = request.activity_ids.user_id
        request.with_user(user).read(["kind"])
        return user

    def test_only_who_may_read_requests(self):
        owner = self.user("owner", "manager")
        self.backend.user_id = owner
        self.assertEqual(self.told(), owner)
        # an operator owns the backend
        self.backend.user_id = self.user("operator", "operator")
        self.assertTrue(self.told().has_group("integration_base.group_integration_manager"))
        other = self.env["res.company"].create({"name": "Elsewhere"})
        self.backend.user_id = self.user("stranger", "manager", other)
        self.assertIn(self.company, self.told().company_ids)

    def test_a_manager_of_the_company_before_the_administrator(self):
        company = self.env["res.company"].create({"name": "Elsewhere"})
        operator = self.user("operator", "operator", company)
        backend = self.backend.copy({"company_id": company.id, "user_id": operator.id})
        role = "integration_base.group_integration_manager"
        admin = self.env.ref("base.user_admin")
        admin.company_ids -= company
        self.assertEqual(backend._in_charge(role), admin)
        manager = self.user("manager", "manager", company)
        self.assertEqual(backend._in_charge(role), manager)
        self.assertEqual(
            backend._in_charge("integration_base.group_integration_operator"), operator
        )
        self.assertEqual(backend._in_charge(role, operator), manager)
        manager.active = False
        self.assertEqual(backend._in_charge(role), admin)


@tagged("post_install", "-at_install")
class TestConnectorRedaction(PrivacyCase):
    def test_connector_names_more_of_its_fields(self):
        with (
            connector_says("_connector_secret_keys", ("voucher",)),
            connector_says("_connector_personal_keys", ("gift.message",)),
            connector_says("_connector_secret_headers", ("X-Odd",)),
            connector_says("_connector_secret_patterns", (r"GIFT-\d+",)),
        ):
            redactor = self.backend._client()._redactor
        self.assertEqual(
            redactor.data({"voucher": "v", "gift": {"message": "m"}, "t": "use GIFT-12", "n": 1}),
            {"voucher": "***", "gift": {"message": "***"}, "t": "use ***", "n": 1},
        )
        self.assertEqual(redactor.headers({"x-odd": "v", "x-even": "v"})["x-odd"], "***")
        plain = self.backend._client()._redactor
        self.assertEqual(plain.data({"voucher": "v"}), {"voucher": "v"})


@tagged("post_install", "-at_install")
class TestSpreadsheets(PrivacyCase):
    def test_no_cell_of_our_exports_is_a_formula(self):
        texts = ["=1+1", "+cmd", "-2", "@SUM(A1)", "\t=1+1", "\r=1+1", "#1001"]
        operations = self.env["integration.sync.log"]
        for number, text in enumerate(texts):
            operations |= self.operation(f"f-{number}", label=text, message=text)
        rows = operations.sorted("id").export_data(["label", "message", "attempts"])["datas"]
        self.assertEqual([row[0] for row in rows], [f"'{t}" for t in texts[:-1]] + ["#1001"])
        self.assertEqual([row[0] for row in rows], [row[1] for row in rows])
        output = io.BytesIO()
        with xlsxwriter.Workbook(output, {"in_memory": True}) as workbook:
            sheet = workbook.add_worksheet()
            for position, row in enumerate(rows):
                sheet.write(position, 0, row[0])
        with zipfile.ZipFile(output) as file:
            self.assertNotIn(b"<f>", file.read("xl/worksheets/sheet1.xml"))

    def test_other_models_export_as_ever(self):
        self.anna.name = "@SUM(A1)"
        self.assertEqual(self.anna.export_data(["name"])["datas"], [["@SUM(A1)"]])


@tagged("post_install", "-at_install")
class TestOdoosLookup(PrivacyCase):
    def test_rows_are_listed_and_erased_but_stay(self):
        kept = self.keep_everything()
        wizard = self.env["privacy.lookup.wizard"].create({"name": NAME, "email": EMAIL})
        wizard.action_lookup()
        listed = {(line.res_model, line.res_id): line for line in wizard.line_ids}
        self.assertIn(("res.partner", self.anna.id), listed)
        for name in ("event", "operation", "attempt", "edit", "exchange 1", "intent", "incident"):
            self.assertIn((kept[name]._name, kept[name].id), listed)
        for line in wizard.line_ids.filtered(lambda row: row.res_model.startswith("integration.")):
            line.action_unlink()
            self.assertIn("Erased", line.execution_details)
            with self.assertRaises(UserError):
                line.action_unlink()
        self.assertEqual(kept["operation"].state, "ignored")
        tables = {self.env[store.model]._table for store in self.privacy._own_stores()}
        # links are known by the contact, not by its e-mail address
        self.assertFalse({(t, c) for t, c in self.scan() if t in tables - {"integration_binding"}})
        self.assertEqual(json.loads(kept["event"].body)["total"], "12.50")

    def lookup(self, email):
        wizard = self.env["privacy.lookup.wizard"].create({"name": "Nobody Here", "email": email})
        wizard.action_lookup()
        return wizard.line_ids.filtered(lambda row: row.res_model.startswith("integration."))

    def test_address_with_a_name(self):
        event = self.event("e-1", self.payload())
        lines = self.lookup(f"Anna <{EMAIL}>")
        self.assertEqual((lines.res_model, lines.res_id), (event._name, event.id))
        lines.action_unlink()
        self.assertNotIn(EMAIL, event.body)

    def test_address_too_short_to_be_found(self):
        self.keep_everything()
        self.assertFalse(self.lookup("a@b"))

    def test_somebody_whose_address_contains_it(self):
        event = self.event("e-1", json.dumps({"email": f"jo{EMAIL}"}))
        (line,) = self.lookup(EMAIL)
        line.action_unlink()
        self.assertIn("somebody else", line.execution_details)
        self.assertIn(f"jo{EMAIL}", event.body)

    def test_evidence_is_not_listed(self):
        request = self.ask("export")
        self.assertEqual(request.partner_id, self.anna)
        wizard = self.env["privacy.lookup.wizard"].create({"name": NAME, "email": EMAIL})
        wizard.action_lookup()
        wizard.line_ids.action_unlink_all()
        self.assertTrue(request.exists())
        self.assertTrue(request.attachment_id)
