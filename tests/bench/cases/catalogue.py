import time
from contextlib import contextmanager
from threading import Event, Thread

import psutil

from ..case import Sample
from ..shop import ShopCase
from ..stack import Stack

#: Variants of each product, and products of one transaction.
VARIANTS = 20
BATCH_SIZE = 50
#: Megabytes a worker may need more than an idle one.
GROWTH = 200
SIZES = ("S", "M", "L", "XL")


class Catalogue(ShopCase):
    """20,000 variants of 1,000 products that Odoo does not know, from the start of an initial load
    in bulk until they are in Odoo; and the same load once more, which has nothing to do.

    Few products (a small scale) come by calls instead. Floor: the same products made by Odoo's own
    `create`, so many in one transaction.
    """

    rounds = 1
    products = 1_000
    # other cases connect the same backend to a shop that has none of these products
    shares = False

    def prepare(self, stack: Stack) -> None:
        super().prepare(stack)
        self.made = 0
        with stack.environment() as env:
            backend = env["integration.backend"].browse(self.backend)
            backend.shopify_product_owner = "shopify"
            flow = backend.flow_ids.filtered(
                lambda flow: (flow.resource, flow.direction) == ("product", "in")
            )
            flow.write({"batch_size": BATCH_SIZE, "enabled": True})
            self.products_in = flow.id
        # what the shop sells already is none of this
        self._load(stack)

    def _colours(self) -> list[str]:
        return [f"Colour {number}" for number in range(VARIANTS // len(SIZES))]

    def _put(self, count: int) -> None:
        specs = []
        for number in range(self.made, self.made + count):
            rows = [
                {"sku": f"C{number}-{size}-{colour}", "price": "10.00", "options": [size, colour]}
                for size in SIZES
                for colour in self._colours()
            ]
            specs.append(
                {
                    "title": f"Product {number}",
                    "description": "x" * 400,
                    "options": ["Size", "Colour"],
                    "variants": rows,
                }
            )
        self.made += count
        for start in range(0, count, 50):
            self.shop.post("seed", {"products": specs[start : start + 50]})
        # what is read within three seconds of its time stamp is read once more, see READ_MARGIN
        time.sleep(4)

    def _load(self, stack: Stack) -> None:
        with stack.environment() as env:
            load = env["integration.backfill"].create({"flow_id": self.products_in})
            load.action_start()
            number = load.id
        states = ("done", "failed", "cancelled")
        stack.wait(
            "the initial load has ended",
            lambda: (
                stack.server.sql("SELECT state FROM integration_backfill WHERE id = %s", [number])[
                    0
                ][0]
                in states
            ),
            3600,
        )
        stack.settle()

    def _figures(self, stack: Stack) -> tuple[int, int, str]:
        """Return how many variants are linked, failed operations, and when one was last written."""
        linked = stack.server.sql(
            "SELECT count(*) FROM integration_binding WHERE backend_id = %s"
            " AND resource = 'variant'",
            [self.backend],
        )[0][0]
        dead = stack.server.sql(
            "SELECT count(*) FROM integration_sync_log WHERE flow_id = %s AND state = 'dead'",
            [self.products_in],
        )[0][0]
        written = stack.server.sql(
            "SELECT greatest((SELECT max(write_date) FROM product_product),"
            " (SELECT max(write_date) FROM product_template),"
            " (SELECT max(write_date) FROM integration_binding))::text"
        )[0][0]
        return linked, dead, written

    def measure(self, stack: Stack) -> Sample:
        count = self.count(self.products)
        before = self._figures(stack)
        self._put(count)
        position, calls = stack.log.position(), self.shop.calls()
        started = time.perf_counter()
        with memory_of(stack) as memory:
            self._load(stack)
        seconds = time.perf_counter() - started
        queries = stack.job_cost(position, "_job_drain").queries
        asked = self.shop.calls()
        after = self._figures(stack)
        self._load(stack)
        again, rows = self.shop.calls(), self._figures(stack)
        return Sample(
            count * VARIANTS,
            seconds,
            queries,
            asked["total"] - calls["total"],
            {
                "missing": count * VARIANTS - (after[0] - before[0]),
                "dead_letters": after[1] - before[1],
                "idle_mb": round(memory["idle"]),
                "peak_growth_mb": round(memory["peak"] - memory["idle"]),
                "second_run_wrote": rows != after,
                "second_run_calls": again["total"] - asked["total"],
                "second_run_changed": self._changes(again) - self._changes(asked),
            },
        )

    def _changes(self, calls: dict) -> int:
        """How much was changed in the shop; a bulk query only reads."""
        return sum(count for name, count in calls["effects"].items() if name != "bulk query")

    def floor(self, stack: Stack) -> Sample:
        count = self.count(self.products)
        with stack.environment() as env:
            attributes = env["product.attribute"].create(
                [
                    {"name": "Floor Size", "value_ids": [(0, 0, {"name": name}) for name in SIZES]},
                    {
                        "name": "Floor Colour",
                        "value_ids": [(0, 0, {"name": name}) for name in self._colours()],
                    },
                ]
            )
            lines = [
                (0, 0, {"attribute_id": row.id, "value_ids": [(6, 0, row.value_ids.ids)]})
                for row in attributes
            ]
        started = time.perf_counter()
        for start in range(0, count, BATCH_SIZE):
            with stack.environment() as env:
                env["product.template"].create(
                    [
                        {"name": f"Floor {number}", "attribute_line_ids": lines}
                        for number in range(start, min(start + BATCH_SIZE, count))
                    ]
                )
        return Sample(count * VARIANTS, time.perf_counter() - started)

    def problems(self, samples: list[Sample]) -> list[str]:
        found = []
        for sample in samples:
            figures = sample.figures
            if figures["missing"] or figures["dead_letters"]:
                found.append(f"{figures['missing']} variants did not arrive.")
            if figures["peak_growth_mb"] > GROWTH:
                found.append(f"A worker grew by {figures['peak_growth_mb']} MB.")
            if figures["second_run_wrote"] or figures["second_run_changed"]:
                found.append("The second load was not idle.")
        return found


@contextmanager
def memory_of(stack: Stack):
    """Yield a dict with megabytes of the largest worker: ``idle`` before, ``peak`` until the end.

    Read every 50 ms: a worker may be replaced in between.
    """

    def largest() -> float:
        sizes = [0]
        for pid in stack.server.workers():
            try:
                sizes.append(psutil.Process(pid).memory_info().rss)
            except psutil.NoSuchProcess:
                continue
        return max(sizes) / 2**20

    def watch() -> None:
        while not ended.wait(0.05):
            found["peak"] = max(found["peak"], largest())

    idle = largest()
    found, ended = {"idle": idle, "peak": idle}, Event()
    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        ended.set()
        watcher.join()
