from odoo import SUPERUSER_ID, api, models

from odoo.addons.integration_base.lib.errors import SkipRecord
from odoo.addons.integration_base.lib.records import Change

#: Ids per call.
OWNERS_PER_CALL = 50
_ORDER = "gid://shopify/Order/"


class IntegrationShopifyOrder(models.AbstractModel):
    """Notifications that name a part of an order only are led to the order."""

    _inherit = "integration.shopify.order"

    def _fetch(self, backend, external_ids):
        orders = [gid for gid in external_ids if gid.startswith(_ORDER)]
        parts = [gid for gid in external_ids if not gid.startswith(_ORDER)]
        payloads = super()._fetch(backend, orders) if orders else {}
        if parts:
            payloads.update(self._lead_to_orders(backend, parts))
        return payloads

    def _lead_to_orders(self, backend, gids):
        """Have the orders read that fulfillment orders belong to.

        :returns: ``{id: SkipRecord}`` that says so.
        """
        client, owners = backend._shopify_client(), {}
        for start in range(0, len(gids), OWNERS_PER_CALL):
            answer = client.execute(
                "fulfillment_order_owners", {"ids": gids[start : start + OWNERS_PER_CALL]}
            )
            owners |= {
                row["id"]: row["orderId"]
                for row in self._complete(answer).get("nodes") or []
                if row and row.get("id")
            }
        if owners:
            self._append_orders(backend, sorted(set(owners.values())))
        gone = self.env._("Shopify does not know it any more.")
        return {
            gid: SkipRecord(
                self.env._("It belongs to the order %s, which is read instead.", owners[gid])
                if gid in owners
                else gone
            )
            for gid in gids
        }

    @api.model
    def _append_orders(self, backend, gids):
        """Add an operation per order, in a transaction of its own: nothing else is written yet."""
        flow = backend.flow_ids.filtered(
            lambda row: row.resource == "order" and row.direction == "in"
        )
        with self.env.registry.cursor() as cr:
            # superuser: operations are written by the engine alone
            env = api.Environment(cr, SUPERUSER_ID, {})
            own_flow = flow.with_env(env)
            env["integration.sync.log"]._append(own_flow, [Change(gid) for gid in gids], "webhook")
            own_flow._wake_after_commit()
