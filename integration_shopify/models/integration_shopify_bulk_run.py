from odoo import models

from odoo.addons.integration_base.lib.errors import IntegrationError
from odoo.addons.integration_base.lib.records import ChangePage

#: Fields with an address of the result.
ADDRESSES = {"url", "partialDataUrl"}


class IntegrationShopifyBulkRun(models.AbstractModel):
    """What Shopify tells of the end of bulk operations, so that nobody has to ask for it often."""

    _name = "integration.shopify.bulk_run"
    _inherit = ["integration.shopify.access", "integration.resource"]
    _description = "Shopify Bulk Operations"

    _resource_name = "Bulk Operations"
    _resource_model = "integration.shopify.bulk"
    _resource_interval_minutes = 0
    _resource_groups = ("integration_shopify.group_shopify_work",)

    _shopify_documents = ("bulk_operation", "bulk_operations", "bulk_query_run", "bulk_cancel")
    _shopify_extra_documents = ("bulk_mutation_run", "bulk_upload")

    def _fetch(self, backend, external_ids):
        client = backend._shopify_client()
        return self._fetch_each(
            external_ids,
            lambda gid: client.execute("bulk_operation", {"id": gid}).data["bulkOperation"],
        )

    def _fetch_changes(self, backend, since, page):
        # those that matter are looked at by whoever waits for them
        return ChangePage([])

    def _validate(self, backend, payload, label):
        if not isinstance(payload.get("status"), str):
            raise IntegrationError(self.env._("Shopify did not say how far %s is.", label))
        return payload

    def _digest(self, data):
        # the address of the result is signed anew each time
        return super()._digest({key: data[key] for key in data.keys() - ADDRESSES})

    def _map(self, backend, items):
        Bulk = self.env["integration.shopify.bulk"]
        known = {
            row.gid: row
            for row in Bulk.search(
                [
                    ("backend_id", "=", backend.id),
                    ("gid", "in", [item.external_id for item in items]),
                ]
            )
        }
        for item in items:
            item.record = item.record or known.get(item.external_id)
            if not item.record:
                item.skip(self.env._("It was not started by this Odoo."))

    def _apply(self, backend, items):
        for item in items:
            # sudo: what is known of it is written by the code alone
            item.record.sudo()._note_node(item.data, item.record.kind)
        records = self.env["integration.shopify.bulk"].union(*(item.record for item in items))
        # sudo: the same of the operations that wait for it
        records.sudo()._wake_waiting()

    def _apply_deletion(self, backend, items):
        """Nothing follows: Shopify forgets what ended a week ago."""

    def _undo_deletion(self, backend, items):
        """Nothing was done."""
