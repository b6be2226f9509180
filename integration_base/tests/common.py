"""A connector to a service that lives in this process, to test the engine with."""

import hashlib
import hmac
import json
from datetime import datetime

from cryptography.fernet import Fernet

from odoo import models
from odoo.orm.model_classes import add_to_registry
from odoo.tests import HttpCase, TransactionCase

from ..lib.auth import CredentialSpec
from ..lib.contract import Payload
from ..lib.errors import InvalidPayloadError, MappingError, MissingValue, WebhookRefused
from ..lib.records import Change, ChangePage, Notification, WebhookHeaders
from ..models import integration_credential


class FakeService:
    """The records of the external system, and what shall go wrong.

    ``records`` maps ids to payloads, ``fetch_errors`` and ``apply_errors`` ids to exceptions.
    """

    def __init__(self):
        self.records = {}
        self.fetch_errors = {}
        self.apply_errors = {}
        self.fetches = []
        self.applied = []
        self.listings = []
        self.page_size = 100

    def put(self, external_id, name, updated_at=None, **extra):
        """Create or change a contact."""
        self.records[external_id] = {
            "id": external_id,
            "name": name,
            "updated_at": updated_at or datetime(2026, 11, 1, 10),
            **extra,
        }


#: What the models below talk to; a test class puts its own service here.
service = FakeService()


class ContactPayload(Payload):
    id: str
    name: str
    updated_at: datetime
    country: str | None = None
    color: int = 0


class FakeConnector(models.AbstractModel):
    _module = None
    _name = "integration.connector.fake"
    _inherit = ["integration.connector"]
    _description = "Fake Connector"

    _connector_name = "Fake Service"
    _connector_credentials = (CredentialSpec("secret", "Signing secret", help="Any text."),)
    _connector_topics = {"contact/updated": "contact"}

    def _test_connection(self, backend):
        backend._credential("secret")
        return "Connected."

    def _verify_webhook(self, backend, headers, body):
        signature = headers.get("X-Signature") or ""
        for secret in backend._credentials("secret"):
            expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
            if hmac.compare_digest(expected.encode(), signature.encode()):
                return
        raise WebhookRefused("The signature is wrong.")

    def _read_webhook_headers(self, backend, headers, body):
        environment = headers.get("X-Environment")
        return WebhookHeaders(headers["X-Topic"], headers["X-Event-Id"], environment=environment)

    def _parse_webhook(self, backend, topic, body):
        try:
            data = json.loads(body)
            change = Change(data["id"], label=data["id"])
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidPayloadError("The notification is not readable.") from error
        return Notification(self._connector_topics.get(topic), change)


class FakeContact(models.AbstractModel):
    _module = None
    _name = "integration.fake.contact"
    _inherit = ["integration.resource"]
    _description = "Fake Contact"

    _resource_name = "Contacts"
    _resource_model = "res.partner"
    _resource_contract = ContactPayload
    _resource_digest_exclude = frozenset({"updated_at"})

    def _fetch(self, backend, external_ids):
        service.fetches.append(list(external_ids))
        for external_id in external_ids:
            if external_id in service.fetch_errors:
                raise service.fetch_errors[external_id]
        return {key: service.records[key] for key in external_ids if key in service.records}

    def _fetch_changes(self, backend, since, page):
        service.listings.append((since, page))
        rows = sorted(
            (r for r in service.records.values() if not since or r["updated_at"] >= since),
            key=lambda row: (row["updated_at"], row["id"]),
        )
        start = page or 0
        end = start + service.page_size
        return ChangePage(
            [Change(row["id"], row["updated_at"], row["name"]) for row in rows[start:end]],
            end if end < len(rows) else None,
        )

    def _updated_at(self, data):
        return data.updated_at

    def _label(self, data):
        return data.name

    def _map(self, backend, items):
        wanted = {i.data.country: i.data.country for i in items if i.data.country}
        countries = self.env["integration.mapping"]._values(backend, "country", wanted)
        for item in items:
            country = countries.get(item.data.country)
            if item.data.country and not country:
                missing = MissingValue("country", item.data.country, item.data.country)
                item.fail(MappingError("The country is not mapped.", missing=[missing]))
                continue
            item.values = {
                "name": item.data.name,
                "ref": item.external_id,
                "color": item.data.color,
                "country_id": country and country.id,
            }

    def _find_existing(self, backend, items):
        found = self.env["res.partner"].search([("ref", "in", [i.external_id for i in items])])
        by_ref = {partner.ref: partner for partner in found}
        for item in items:
            item.record = by_ref.get(item.external_id)

    def _apply(self, backend, items):
        for item in items:
            if item.record:
                item.record.write(item.values)
        new = [item for item in items if not item.record]
        for item, partner in zip(
            new, self.env["res.partner"].create([i.values for i in new]), strict=True
        ):
            item.record = partner
        for item in items:
            if item.external_id in service.apply_errors:
                raise service.apply_errors[item.external_id]
            service.applied.append(item.external_id)


def add_fake_models(test_class, *models):
    """Make models known to the registry for the time of a test class."""
    registry = test_class.registry
    names = [model._name for model in models]
    for model in models:
        add_to_registry(registry, model)
    registry._setup_models__(test_class.env.cr, names)

    def forget():
        for model in models:
            for parent in (*model._inherit, "base"):
                registry[parent]._inherit_children.discard(model._name)
            del registry.models[model._name]
        registry.clear_all_caches()

    test_class.addClassCleanup(forget)


def add_fake_connector(test_class):
    """Make the fake connector known to the registry for the time of a test class."""
    add_fake_models(test_class, FakeConnector, FakeContact)


class FakeConnectorMixin:
    """Sets up a backend of the fake service; for any kind of Odoo test case."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        add_fake_connector(cls)
        cls.enterClassContext(cls._patch_key(Fernet.generate_key().decode()))
        cls.backend = cls.env["integration.backend"].create(
            {"name": "Fake", "connector": "fake", "base_url": "https://service.example.com"}
        )
        cls.backend.credential_ids.value = "s3cr3t-canary"
        cls.backend.state = "active"
        cls.flow = cls.backend.flow_ids

    @classmethod
    def _patch_key(cls, key):
        from unittest.mock import patch

        return patch.dict("os.environ", {integration_credential.KEY_VARIABLE: key})

    def setUp(self):
        super().setUp()
        service.__init__()
        self.service = service


class IntegrationCase(FakeConnectorMixin, TransactionCase):
    """Runs drains in the test's transaction: all cursors are one."""

    def setUp(self):
        super().setUp()
        self.engine = self.env["integration.engine"]
        self.watchdog = self.env["integration.watchdog"]

    def append(self, *external_ids, updated_at=None, **options):
        """Append one operation per id, as a notification would."""
        changes = [Change(external_id, updated_at) for external_id in external_ids]
        return self.env["integration.sync.log"]._append(self.flow, changes, "webhook", **options)

    def drain(self):
        """Run everything that is due, however slow the machine is."""
        self.env.flush_all()
        with self.enter_registry_test_mode():
            result = self.engine._drain(self.flow.id, budget=600)
        self.env.invalidate_all()
        return result

    def states(self, operations):
        """Return the states of operations, in the order they were appended."""
        operations.invalidate_recordset()
        return operations.sorted("id").mapped("state")

    def incidents(self, state="open"):
        """Return the incidents of the backend."""
        return self.env["integration.incident"].search(
            [("backend_id", "=", self.backend.id), ("state", "=", state)]
        )

    def partners(self):
        """Return the partners the fake service's records became, by external id."""
        bindings = self.env["integration.binding"].search([("backend_id", "=", self.backend.id)])
        return {b.external_id: self.env[b.res_model].browse(b.res_id) for b in bindings}


class TourCase(HttpCase):
    """Tours that also end well on a machine that is busy with something else."""

    #: Seconds a request may wait for the one before: the first page of all makes the bundles.
    test_cursor_lock_timeout = 120

    def start_tour(self, url_path, tour_name, **options):
        return super().start_tour(url_path, tour_name, **{"timeout": 300, **options})
