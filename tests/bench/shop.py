"""Orders of the simulated shop on their real way into Odoo, and sales orders made by hand."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

from runtime import demo, server
from runtime.testbed import start_simulator

from tests.simulators.shopify.client import ShopSimulator

from .case import Case, Sample
from .stack import Stack

SKUS = ("MUG-350", "FIL-100", "CAN-BEE")
CUSTOMERS = 10
#: More orders in one transaction do not pay.
BATCH_SIZE = 50
#: Pieces of each product on stock: enough for every order to be reserved.
STOCK = 1_000_000

_numbers = itertools.count()


class ShopCase(Case):
    """Orders of ten known customers for the same three products, with stock of all of them.

    They are placed, and their operations appended, while the flow is switched off; time runs from
    the moment it is switched on.
    """

    def __init__(self, scale: float = 1.0):
        super().__init__(scale)
        self.simulator: server.Service | None = None

    def prepare(self, stack: Stack) -> None:
        self.simulator = start_simulator(stack.server.project)
        self.shop = ShopSimulator(self.simulator.url)
        # a Plus shop, which does not slow us down; orders are appended, so it need not notify
        self.shop.configure(costBucket=20000, costRestore=1000)
        self.shop.webhook_faults(drop=1.0)
        call = stack.server.call
        demo.prepare_company(call)
        demo.create_products(call, self.simulator.url)
        self.backend = demo.connect_backend(call, stack.server.url, self.simulator.url)
        with stack.environment() as env:
            backend = env["integration.backend"].browse(self.backend)
            backend.flow_ids.write({"enabled": False, "interval_minutes": 0})
            self.flow = backend.flow_ids.filtered(lambda flow: flow.resource == "order").id
            warehouse = env["stock.warehouse"].search([], limit=1)
            products = env["product.product"].search([("default_code", "in", SKUS)])
            for product in products:
                env["stock.quant"]._update_available_quantity(
                    product, warehouse.lot_stock_id, STOCK
                )
        stack.settle()

    def place(self, count: int) -> list[dict[str, Any]]:
        """Place equal orders in the shop."""
        placed = []
        for _ in range(count):
            number = next(_numbers) % CUSTOMERS
            address = {"address1": f"Weg {number}", "zip": "10435", "city": "Berlin"}
            placed.append(
                self.shop.place_order(
                    lines=[{"sku": sku, "quantity": 1} for sku in SKUS],
                    shipping=[{"title": "Standard", "code": "STD", "price": "4.90"}],
                    taxes=[{"title": "DE MwSt", "rate": "0.19"}],
                    taxesIncluded=True,
                    customer={
                        "firstName": "Anna",
                        "lastName": f"Berg {number}",
                        "email": f"anna{number}@example.com",
                        "address": {**address, "country_code": "DE"},
                    },
                )
            )
        return placed

    def import_orders(
        self, stack: Stack, count: int, slots: int = 1, batch_size: int = BATCH_SIZE
    ) -> Sample:
        """Let the server import new orders with so many drains at a time."""
        from odoo.addons.integration_base.lib.records import Change

        placed = self.place(count)
        with stack.environment() as env:
            flow = env["integration.flow"].browse(self.flow)
            flow.write({"slots": slots, "batch_size": batch_size})
            flow.backend_id.max_drains = max(slots, flow.backend_id.max_drains)
            changes = [Change(order["id"], label=order["name"]) for order in placed]
            operations = env["integration.sync.log"]._append(flow, changes, "webhook")
            ids = operations.ids
        stack.settle()
        position, released = stack.log.position(), stack.now()
        with stack.environment() as env:
            env["integration.flow"].browse(self.flow).enabled = True
        stack.wait(
            "every order is done",
            lambda: (
                not stack.server.sql(
                    "SELECT 1 FROM integration_sync_log WHERE id = ANY(%s)"
                    " AND state IN ('pending', 'running') LIMIT 1",
                    [ids],
                )
            ),
            600,
        )
        states = dict(
            stack.server.sql(
                "SELECT state, count(*) FROM integration_sync_log WHERE id = ANY(%s) GROUP BY 1",
                [ids],
            )
        )
        finished, attempts = stack.server.sql(
            "SELECT extract(epoch FROM max(finished_at)), sum(attempts)"
            "  FROM integration_sync_log WHERE id = ANY(%s)",
            [ids],
        )[0]
        stack.settle()
        with stack.environment() as env:
            env["integration.flow"].browse(self.flow).enabled = False
        calls = stack.server.sql(
            # those of other flows, such as the settings of the shop, are not for these orders
            "SELECT count(*) FROM integration_exchange WHERE backend_id = %s"
            " AND at >= to_timestamp(%s) AT TIME ZONE 'UTC' AND batch_ref IN"
            " (SELECT batch_ref FROM integration_sync_log WHERE id = ANY(%s))",
            [self.backend, released, ids],
        )[0][0]
        return Sample(
            count,
            float(finished) - released,
            stack.job_cost(position, "_job_drain").queries,
            calls,
            {
                "dead_letters": states.get("dead", 0),
                "not_done": count - states.get("done", 0),
                "attempts_per_record": round(attempts / count, 2),
            },
        )

    def problems(self, samples: list[Sample]) -> list[str]:
        lost = sum(sample.figures["not_done"] for sample in samples)
        dead = sum(sample.figures["dead_letters"] for sample in samples)
        return [f"{lost} orders did not end as done, {dead} of them failed."] if lost else []

    def confirm_by_hand(self, stack: Stack, count: int) -> Sample:
        """Create and confirm sales orders equal to the imported ones, in batches of the same size:
        each batch is created at once, confirmed at once and committed."""
        values, context = self._equal_orders(stack, count)
        thread = threading.current_thread()
        thread.query_count, thread.query_time = 0, 0.0
        started = time.perf_counter()
        for start in range(0, count, BATCH_SIZE):
            with stack.environment() as env:
                orders = env["sale.order"].with_context(**context)
                orders.create(values[start : start + BATCH_SIZE]).action_confirm()
        seconds, queries = time.perf_counter() - started, thread.query_count
        del thread.query_count
        return Sample(count, seconds, queries)

    def _equal_orders(self, stack: Stack, count: int) -> tuple[list[dict], dict]:
        """Values of the last imported orders, and the context of an import."""
        header = ("partner_id", "partner_invoice_id", "partner_shipping_id", "currency_id")
        line = ("product_id", "product_uom_qty", "price_unit", "discount", "name")
        with stack.environment() as env:
            backend = env["integration.backend"].browse(self.backend)
            flow = backend.flow_ids.filtered(lambda f: f.resource == "order")
            engine = env["integration.engine"]
            context = engine._work_env(env.cr, engine._facts(env.cr, flow.id))[0].env.context
            bindings = env["integration.binding"].search(
                [("backend_id", "=", self.backend), ("resource", "=", "order")],
                order="id desc",
                limit=count,
            )
            orders = env["sale.order"].browse(bindings.mapped("res_id"))
            values = [
                {
                    **order._convert_to_write({name: order[name] for name in header}),
                    "order_line": [
                        (
                            0,
                            0,
                            {
                                **row._convert_to_write({name: row[name] for name in line}),
                                "tax_ids": [(6, 0, row.tax_ids.ids)],
                            },
                        )
                        for row in order.order_line
                    ],
                }
                for order in itertools.islice(itertools.cycle(orders), count)
            ]
            return values, context

    def close(self) -> None:
        if self.simulator:
            self.simulator.stop()
