import time
from statistics import median

import requests

from tests.simulators.shopify.client import ShopSimulator

from ..case import Sample
from ..shop import ShopCase
from ..stack import Stack

#: Rows of one call.
ROWS = 250
#: Calls for what a drain finds before the transaction's other changes are due.
SPARE = 3
SET = """mutation ($input: InventorySetQuantitiesInput!, $key: String!) {
  inventorySetQuantities(input: $input) @idempotent(key: $key) { userErrors { message } }
}"""


class Stock(ShopCase):
    """10,000 changes of stock in one transaction until the shop has them, in calls of 250 rows; and
    100 single changes, one after the other, while an initial load of 20,000 products runs.

    Floor: the same quantities set by nothing but the calls to the shop, one after the other.
    """

    gate = None
    rounds = 2
    products = 10_000
    singles = 100
    catalogue = 20_000

    def __init__(self, scale: float = 1.0):
        super().__init__(scale)
        self.quantity = 1
        self.keys = self.seeded = 0

    def prepare(self, stack: Stack) -> None:
        super().prepare(stack)
        skus = [f"BENCH-{number}" for number in range(self.count(self.products))]
        seeded = self.shop.post(
            "seed", {"products": [{"title": sku, "sku": sku, "stock": 0} for sku in skus]}
        )
        rows = [variant for product in seeded["products"] for variant in product["variants"]]
        self.items = [row["inventoryItem"] for row in rows]
        self.location = rows[0]["levels"][0]["location"]
        with stack.environment() as env:
            backend = env["integration.backend"].browse(self.backend)
            place = env["stock.warehouse"].search([], limit=1).lot_stock_id
            products = env["product.product"].create(
                [{"name": sku, "default_code": sku, "is_storable": True} for sku in skus]
            )
            env["integration.shopify.product"]._link_variants(
                backend,
                {
                    row["id"]: (product, row["inventoryItem"], row["sku"])
                    for row, product in zip(rows, products, strict=True)
                },
            )
            self.quants = (
                env["stock.quant"]
                .sudo()
                .create(
                    [
                        {"product_id": product.id, "location_id": place.id, "quantity": 1}
                        for product in products
                    ]
                )
                .ids
            )
            values = {
                "backend_id": backend.id,
                "kind": "location",
                "external_value": self.location,
            }
            # connecting has read the shop's settings, perhaps not yet
            rows = env["integration.mapping"].search([(k, "=", v) for k, v in values.items()])
            rows = rows or rows.create(values)
            rows.write(
                {"resource_ref": f"stock.location,{place.id}", "shopify_stock_owner": "odoo"}
            )
            self.stock_flow = backend._shopify_stock_flow().id
        with stack.environment() as env:
            env["integration.flow"].browse(self.stock_flow).enabled = True
        self._sent(stack)

    def _sent(self, stack: Stack) -> None:
        stack.wait(
            "the stock is sent",
            lambda: (
                not stack.server.sql(
                    "SELECT 1 FROM integration_sync_log WHERE flow_id = %s"
                    " AND state IN ('pending', 'running') LIMIT 1",
                    [self.stock_flow],
                )
            ),
            1200,
        )

    def _change(self, stack: Stack, quants: list[int]) -> None:
        self.quantity += 1
        with stack.environment() as env:
            env["stock.quant"].sudo().browse(quants).write({"quantity": self.quantity})

    def _calls(self) -> int:
        return self.shop.calls()["byOperation"].get("InventorySet", 0)

    def measure(self, stack: Stack) -> Sample:
        stack.settle()
        position, before = stack.log.position(), self._calls()
        started = time.perf_counter()
        self._change(stack, self.quants)
        self._sent(stack)
        seconds, calls = time.perf_counter() - started, self._calls() - before
        queries = stack.job_cost(position, "_job_drain").queries
        failed, message = stack.server.sql(
            "SELECT count(*), min(message) FROM integration_sync_log"
            " WHERE flow_id = %s AND state = 'dead'",
            [self.stock_flow],
        )[0]
        return Sample(
            len(self.quants),
            seconds,
            queries,
            calls,
            {
                "dead_letters": failed,
                "message": message,
                "stock_calls": calls,
                **self._latency(stack),
            },
        )

    def _latency(self, stack: Stack) -> dict[str, float]:
        """Seconds from the commit of a change in Odoo to the shop, while a catalogue is loaded."""
        load, flow = self._start_load(stack)
        took = []
        for _number in range(self.count(self.singles)):
            self._change(stack, self.quants[:1])
            started = time.perf_counter()
            while self._available() != self.quantity:
                time.sleep(0.01)
            took.append(time.perf_counter() - started)
        state, done = self._progress(stack, load, flow)
        with stack.environment() as env:
            if state == "running":
                env["integration.backfill"].browse(load).action_cancel()
            env["integration.flow"].browse(flow).enabled = False
        stack.settle()
        return {
            "single_median_s": round(median(took), 2),
            "single_worst_s": round(max(took), 2),
            "load_state": state,
            "loaded_meanwhile": done,
        }

    def _start_load(self, stack: Stack) -> tuple[int, int]:
        """Begin to load products Odoo does not know; returns when the first of them are there."""
        count = self.count(self.catalogue)
        for start in range(0, count, 1000):
            rows = range(self.seeded + start, self.seeded + min(start + 1000, count))
            self.shop.post(
                "seed", {"products": [{"title": f"New {n}", "sku": f"NEW-{n}"} for n in rows]}
            )
        self.seeded += count
        with stack.environment() as env:
            backend = env["integration.backend"].browse(self.backend)
            backend.shopify_product_owner = "shopify"
            flow = backend.flow_ids.filtered(
                lambda flow: (flow.resource, flow.direction) == ("product", "in")
            )
            flow.enabled = True
            load = env["integration.backfill"].create({"flow_id": flow.id})
            load.action_start()
            ids = load.id, flow.id
        stack.wait("the load is under way", lambda: self._progress(stack, *ids)[1], 600)
        return ids

    def _progress(self, stack: Stack, load: int, flow: int) -> tuple[str, int]:
        return stack.server.sql(
            "SELECT state, (SELECT count(*) FROM integration_sync_log WHERE flow_id = %s"
            " AND kind = 'record' AND state = 'done')"
            " FROM integration_backfill WHERE id = %s",
            [flow, load],
        )[0]

    def _available(self) -> int:
        return self.shop.stock("BENCH-0")[0]["available"]

    def floor(self, stack: Stack) -> Sample:
        simulator: ShopSimulator = self.shop
        session, calls = requests.Session(), 0
        session.headers["X-Shopify-Access-Token"] = "shpat_demo"
        started = time.perf_counter()
        for start in range(0, len(self.items), ROWS):
            self.keys += 1
            rows = [
                {
                    "inventoryItemId": item,
                    "locationId": self.location,
                    "quantity": self.quantity,
                    "changeFromQuantity": None,
                }
                for item in self.items[start : start + ROWS]
            ]
            values = {"name": "available", "reason": "correction", "quantities": rows}
            answer = session.post(
                f"{simulator.url}/admin/api/2026-10/graphql.json",
                json={
                    "query": SET,
                    "variables": {"input": values, "key": f"floor-{self.keys}"},
                },
                timeout=60,
            )
            answer.raise_for_status()
            calls += 1
        return Sample(len(self.items), time.perf_counter() - started, calls=calls)

    def problems(self, samples: list[Sample]) -> list[str]:
        found = []
        most = -(-len(self.quants) // ROWS) + SPARE
        for sample in samples:
            if sample.calls > most:
                found.append(f"{sample.calls} calls for {sample.records} changes, not {most}.")
            if sample.figures["single_median_s"] >= 3:
                found.append(f"A single change took {sample.figures['single_median_s']} s.")
            if sample.figures["load_state"] != "running" and self.scale >= 1:
                found.append("The load had ended before the single changes had.")
            if sample.figures["dead_letters"]:
                found.append(
                    f"{sample.figures['dead_letters']} changes failed: {sample.figures['message']}"
                )
        return found
