from datetime import UTC, datetime

from odoo import models

from odoo.addons.integration_base.lib.errors import RequestRefused
from odoo.addons.integration_base.lib.records import ListPage, Snapshot, Watch


class IntegrationGenericProduct(models.AbstractModel):
    """Products belong to Odoo; the service follows."""

    _name = "integration.generic.product"
    _inherit = "integration.resource"
    _description = "Generic Products"

    _resource_name = "Products"
    _resource_model = "product.product"
    _resource_direction = "out"
    _resource_export_scope = "all"
    #: The service carries out a request within seconds or never.
    _resource_late_seconds = 15
    _resource_watches = (Watch("product.product", ("name", "default_code", "list_price")),)

    def _export_domain(self, backend):
        return [("default_code", "!=", False)]

    def _export(self, backend, items):
        for item in items:
            item.values = {
                "reference": self._reference(item.record),
                "name": item.record.name,
                "code": item.record.default_code,
                "price": item.record.list_price,
            }

    def _reference(self, product):
        return f"{product._name}-{product.id}"

    def _push(self, backend, items):
        known = [item for item in items if item.external_id]
        self._write(backend, "POST", [item for item in items if not item.external_id])
        self._write(backend, "PUT", known)

    def _write(self, backend, method, items):
        if not items:
            return
        rows = [
            {**item.values, "id": item.external_id} if item.external_id else item.values
            for item in items
        ]
        ask = backend._connector()._ask
        answers = ask(backend, method, "products/batch", json={"rows": rows}).json()["rows"]
        for item, answer in zip(items, answers, strict=True):
            if "error" in answer:
                item.fail(RequestRefused(answer["error"], status=answer["status"]))
            else:
                item.mark_sent(answer["id"])

    def _fetch(self, backend, external_ids):
        rows = backend._connector()._rows(backend, "products", "ids", external_ids)
        return {row["id"]: row for row in rows}

    def _updated_at(self, data):
        return datetime.fromisoformat(data["updated_at"]).astimezone(UTC).replace(tzinfo=None)

    def _count(self, backend):
        return backend._connector()._ask(backend, "GET", "products/count").json()["count"]

    def _list(self, backend, page):
        answer = backend._connector()._ask(backend, "GET", "products", params={"page": page or ""})
        rows = answer.json()["rows"]
        return ListPage(
            [Snapshot(row["id"], self._updated_at(row), label=row.get("name")) for row in rows],
            answer.json()["next"],
        )

    def _recover(self, backend, items):
        by_reference = {self._reference(item.record): item for item in items}
        rows = backend._connector()._rows(backend, "products", "reference", list(by_reference))
        for row in rows:
            by_reference[row["reference"]].external_id = row["id"]
