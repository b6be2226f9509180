from datetime import timedelta

from odoo import SUPERUSER_ID, api, fields, models

from odoo.addons.integration_base.lib.errors import SkipRecord
from odoo.addons.integration_base.lib.records import Change, ChangePage

from ..lib import contract

#: Ids per call.
OWNERS_PER_CALL = 50
ORDERS_PER_PAGE = 250
#: What Shopify shows of the past to an app without ``read_all_orders``.
RECENT = timedelta(days=60)
_ORDER = "gid://shopify/Order/"


class IntegrationShopifyOrder(models.AbstractModel):
    """Ways to an order beside its own notifications: by a part of it, and by its date."""

    _inherit = "integration.shopify.order"

    _resource_has_period = True

    # === BY A PART === #

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
        flow = backend._shopify_order_flow()
        with self.env.registry.cursor() as cr:
            # superuser: operations are written by the engine alone
            env = api.Environment(cr, SUPERUSER_ID, {})
            own_flow = flow.with_env(env)
            env["integration.sync.log"]._append(own_flow, [Change(gid) for gid in gids], "webhook")
            own_flow._wake_after_commit()

    # === BY THE DATE === #

    def _fetch_period(self, backend, since, until, page):
        orders = (
            backend._shopify_client()
            .execute(
                "order_period",
                {
                    "first": ORDERS_PER_PAGE,
                    "after": page,
                    "query": self._period_query(since, until),
                },
            )
            .data["orders"]
        )
        more = orders["pageInfo"]
        return ChangePage(
            [
                Change(row["id"], contract.read_utc(row["updatedAt"]), row["name"])
                for row in orders["nodes"]
            ],
            more["endCursor"] if more["hasNextPage"] else None,
        )

    def _count_period(self, backend, since, until):
        query = self._period_query(since, until)
        answer = backend._shopify_client().execute("order_count", {"query": query})
        count = answer.data.get("ordersCount") or {}
        return count.get("count") if count.get("precision") == "EXACT" else None

    @api.model
    def _period_query(self, since, until):
        """Return the search for orders placed in a period, whatever became of them.

        Without ``Z`` Shopify would read the times in the shop's own zone.
        """
        parts = ["status:any"]
        if since:
            parts.append(f"processed_at:>='{since:%Y-%m-%dT%H:%M:%SZ}'")
        if until:
            parts.append(f"processed_at:<'{until:%Y-%m-%dT%H:%M:%SZ}'")
        return " ".join(parts)

    def _period_notice(self, backend, since):
        notices = [super()._period_notice(backend, since)]
        granted = backend._granted_scopes()
        oldest = fields.Datetime.now() - RECENT
        if (not since or since < oldest) and "read_all_orders" not in (granted or ()):
            notices.append(
                self.env._(
                    "Shopify shows this app the orders of the last 60 days only, and gives no "
                    "error for the others. For older ones apply for read_all_orders in the "
                    "Shopify Dev Dashboard, then press Check Access on the backend."
                )
            )
        first = backend.shopify_orders_since
        if first and (not since or since < first):
            notices.append(
                self.env._(
                    "Orders placed before %s are skipped: Orders Placed Since on the backend says "
                    "so. Set it further back first.",
                    fields.Datetime.to_string(first),
                )
            )
        return "\n".join(filter(None, notices))
