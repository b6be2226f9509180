from datetime import timedelta

from odoo import api, fields, models

from odoo.addons.integration_base.lib.records import Change, ChangePage

from ..lib import contract

ORDERS_PER_PAGE = 250
#: What Shopify shows of the past to an app without ``read_all_orders``.
RECENT = timedelta(days=60)


class IntegrationShopifyOrder(models.AbstractModel):
    """Old orders by the date on which they were placed."""

    _inherit = "integration.shopify.order"

    _resource_has_period = True

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
