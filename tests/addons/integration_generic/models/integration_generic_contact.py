from datetime import UTC, datetime

from odoo import models

from odoo.addons.integration_base.lib.contract import Payload
from odoo.addons.integration_base.lib.records import Change, ChangePage


class ContactPayload(Payload):
    id: str
    name: str
    email: str | None = None
    phone: str | None = None
    city: str | None = None
    updated_at: datetime


class IntegrationGenericContact(models.AbstractModel):
    """Contacts belong to the service; Odoo follows."""

    _name = "integration.generic.contact"
    _inherit = "integration.resource"
    _description = "Generic Contacts"

    _resource_name = "Contacts"
    _resource_model = "res.partner"
    _resource_contract = ContactPayload
    _resource_digest_exclude = frozenset({"updated_at"})

    def _fetch(self, backend, external_ids):
        rows = backend._connector()._rows(backend, "contacts", "ids", external_ids)
        return {row["id"]: row for row in rows}

    def _fetch_changes(self, backend, since, page):
        params = {"page": page or ""}
        if since:
            params["updated_since"] = f"{since:%Y-%m-%dT%H:%M:%SZ}"
        answer = backend._connector()._ask(backend, "GET", "contacts", params=params).json()
        changes = [
            Change(row["id"], self._moment(row["updated_at"]), row.get("name") or "")
            for row in answer["rows"]
        ]
        return ChangePage(changes, answer["next"])

    def _count(self, backend):
        return backend._connector()._ask(backend, "GET", "contacts/count").json()["count"]

    def _moment(self, text):
        return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)

    def _updated_at(self, data):
        return data.updated_at.astimezone(UTC).replace(tzinfo=None)

    def _label(self, data):
        return data.name

    def _map(self, backend, items):
        for item in items:
            item.values = item.data.model_dump(include={"name", "email", "phone", "city"})
            item.values["ref"] = item.external_id

    def _apply(self, backend, items):
        new = [item for item in items if not item.record]
        partners = self.env["res.partner"].create([item.values for item in new])
        for item, partner in zip(new, partners, strict=True):
            item.record = partner
        for item in items:
            if item not in new:
                item.record.write(item.values)
