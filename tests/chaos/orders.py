"""Orders living in the shop while notifications and calls go wrong; then the books are compared."""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from runtime import demo, paths
from runtime.rpc import RpcError

from tests.simulators.shopify.client import SimulatorError

from .history import FAILED, OK, History
from .lives import GATEWAYS, INVOICED_WHEN_PAID, SHIP_IN_ODOO, Life, Step
from .order_books import contradictions, expect
from .order_checker import CHECKS, Found, OdooBooks, compare

#: Of notifications: every fourth is lost, others come late, twice, out of order.
NOTIFICATIONS = {"drop": 0.25, "duplicate": 0.25, "delay": [0, 3], "reorder": True}
#: Of the calls of the API: one in twenty fails, or is done but its answer lost. An import of fifty
#: orders takes sixty calls, so of most something is tried again.
FAULTS = (
    {"share": 0.01, "status": 502, "body": "html"},
    {"share": 0.005, "status": 503, "retryAfter": 1},
    {"share": 0.01, "reset": "before"},
    {"share": 0.015, "reset": "after"},
    {"share": 0.005, "truncate": True},
    {"share": 0.005, "throttle": True},
)
#: A shop that answers at once deserves quick retries. People work on the same orders meanwhile, and
#: whom a long transaction meets starts anew: small batches.
FLOW = {
    "batch_size": 10,
    "interval_minutes": 1,
    "retry_seconds": 1,
    "retry_max_seconds": 5,
    "max_attempts": 20,
}
#: Orders waiting to be imported at which the shop takes a breath: else Odoo saw only the ends.
CROWD = 40
#: Of Odoo: orders, shipments, and what people do.
WORKERS = 3
#: People who work in the shop at the same time.
HANDS = 4
#: Seconds until somebody who waits for Odoo to know an order gives up.
PATIENCE = 900
#: Seconds a call takes at most: a listing stored so long after a moment was read after it.
LONGEST_CALL = 3
#: Pieces of each product on stock.
STOCK = 1_000_000
EVIDENCE = (
    "integration_sync_log",
    "integration_sync_attempt",
    "integration_intent",
    "integration_webhook_event",
)


@dataclass
class Result:
    """The figures of a run, and what is wrong with each life that failed."""

    lives: int
    steps: int
    seconds: float
    settled: bool
    imports: int
    calls: dict[str, Any]
    #: life -> check -> what is wrong
    unequal: dict[int, dict[str, list[str]]] = field(default_factory=dict)
    #: what belongs to no life
    strays: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return self.settled and not self.unequal and not self.strays

    def figures(self) -> dict[str, float]:
        wrong = Counter(check for problems in self.unequal.values() for check in problems)
        return {
            "lives": self.lives,
            "unequal": len(self.unequal),
            "strays": len(self.strays),
            "steps": self.steps,
            "imports": self.imports,
            "seconds": round(self.seconds, 1),
            "settled": self.settled,
            "unequal_by_check": {check: wrong[check] for check in [*CHECKS, "life"]},
        }


@dataclass
class Living:
    """A life under way."""

    life: Life
    order: str = ""
    name: str = ""
    position: int = 0
    waiting_since: float | None = None
    problem: str = ""

    @property
    def step(self) -> Step:
        return self.life.steps[self.position]

    @property
    def patient(self) -> bool:
        """Whether the next step waits for Odoo to have seen the present state."""
        return self.step.pause > 1 and self.waiting_since is None


class Run:
    """A shop and a connected Odoo, put through lives."""

    def __init__(
        self,
        odoo: Any,
        shop: Any,
        lives: Sequence[Life],
        say: Callable[[str], None],
        *,
        faults: bool = True,
    ) -> None:
        """:param faults: whether anything goes wrong; without, a life is easier to look at."""
        self.odoo = odoo
        self.shop = shop
        self.lives = lives
        self.say = say
        self.faults = faults
        self.living: list[Living] = []
        seed = lives[0].seed if lives else 0
        self.history = History(paths.LOGS / f"chaos-orders-{seed}.jsonl")

    def execute(self, limit: float) -> Result:
        """Live all lives, wait until all is quiet, compare.

        :param limit: seconds after which it has failed to settle.
        """
        self.backend = set_up(self.odoo, self.shop)
        if self.faults:
            self.shop.post("faults", list(FAULTS))
            self.shop.webhook_faults(**NOTIFICATIONS)
        started = time.monotonic()
        end = started + limit
        self._live(end)
        settled = self._settle(end)
        seconds = time.monotonic() - started
        result = Result(
            len(self.living),
            sum(one.position for one in self.living),
            seconds,
            settled,
            self._count("attempts"),
            self.shop.calls(),
        )
        self._compare(result)
        if not result.good:
            self._keep_evidence()
        return result

    # === LIVING === #

    def _live(self, end: float) -> None:
        """Play the steps of all lives, each in its order and none before its time."""
        due: list[tuple[float, int, Living]] = []
        tickets = itertools.count()
        work: queue.Queue[Living | None] = queue.Queue()
        done: queue.Queue[tuple[Living, float | None]] = queue.Queue()
        errors: list[BaseException] = []
        shipped: dict[tuple[int, int], int] = {}
        arguments = (work, done, errors, shipped)
        hands = [
            threading.Thread(target=self._hand, args=arguments, daemon=True) for _ in range(HANDS)
        ]
        for hand in hands:
            hand.start()
        self.living = [Living(life) for life in self.lives]
        unborn, busy = list(reversed(self.living)), 0
        told = asked = time.monotonic()
        crowded = False
        while (unborn or due or busy) and time.monotonic() < end and not errors:
            now = time.monotonic()
            if now - asked > 0.5:
                asked, crowded = now, self._crowded()
            if now - told > 30:
                told = now
                self.say(
                    f"{self.history.seconds:.0f} s: {len(self.living) - len(unborn)} lives, "
                    f"{sum(one.position for one in self.living)} steps"
                )
            if unborn and not crowded and busy < HANDS and len(due) < 2 * CROWD:
                work.put(unborn.pop())
                busy += 1
            while due and due[0][0] <= now and busy < 2 * HANDS:
                one = heapq.heappop(due)[2]
                if crowded and one.patient:
                    heapq.heappush(due, (now + 1, next(tickets), one))
                    continue
                work.put(one)
                busy += 1
            try:
                one, again = done.get(timeout=0.02)
            except queue.Empty:
                continue
            busy -= 1
            if again is not None:
                heapq.heappush(due, (time.monotonic() + again, next(tickets), one))
        for _ in hands:
            work.put(None)
        for hand in hands:
            hand.join(60)
        if errors:
            raise errors[0]
        for one in self.living:
            if one.position < len(one.life.steps) and not one.problem:
                one.problem = "was not over in time"

    def _hand(
        self,
        work: queue.Queue[Living | None],
        done: queue.Queue[tuple[Living, float | None]],
        errors: list[BaseException],
        shipped: dict[tuple[int, int], int],
    ) -> None:
        """Somebody at work: does the step of a life that is due, until there is none."""
        hand = _Hand(self, shipped)
        while (one := work.get()) is not None:
            try:
                again = hand.do(one)
            except SimulatorError as refusal:
                one.problem = f"the shop refuses {one.step.action}: {refusal}"
                again = None
            except BaseException as error:
                errors.append(error)
                raise
            done.put((one, again))

    def _crowded(self) -> bool:
        (row,) = self.odoo.sql(
            "SELECT count(DISTINCT external_id) FROM integration_sync_log"
            " WHERE backend_id = %s AND kind = 'record' AND state IN ('pending', 'running')",
            [self.backend],
        )
        return row[0] > CROWD

    # === SETTLING === #

    def _settle(self, end: float) -> bool:
        """Wait until everything has been read and no operation is open; False when it is late.

        Nobody helps: what a lost notification told is found by the schedule.
        """
        if self.faults and len(self.living) <= 200:
            # long after they were answered all notifications come once more
            self.shop.resend_webhooks()
        (row,) = self.odoo.sql("SELECT now() AT TIME ZONE 'UTC'")
        time.sleep(LONGEST_CALL)
        # the minute until the next listing is over
        self.odoo.sql(
            "UPDATE integration_flow SET next_run_at = now() AT TIME ZONE 'UTC'"
            " WHERE backend_id = %s AND resource = 'order'",
            [self.backend],
        )
        quiet, left = 0, {}
        while time.monotonic() < end:
            left = self._left(row[0])
            quiet = quiet + 1 if not left else 0
            if quiet > 1:
                return True
            self.history.add("settle", str(left), OK)
            time.sleep(1)
        self.say(f"It did not settle: {left}")
        return False

    def _left(self, changed_at: Any) -> dict[str, Any]:
        """What is still to be done, empty when nothing is."""
        left: dict[str, Any] = {}
        if pending := self.shop.health()["webhooksPending"]:
            left["notifications"] = pending
        rows = self.odoo.sql(
            "SELECT resource FROM integration_flow"
            " WHERE backend_id = %s AND resource = 'order' AND enabled AND NOT"
            "       (COALESCE(last_success_at, '2000-01-01') > %s + %s * interval '1 second'"
            "        AND COALESCE(cursor_page::text, 'false') IN ('false', 'null'))",
            [self.backend, changed_at, LONGEST_CALL],
        )
        if rows:
            left["listing"] = "not read to the end since the last change"
        states = self.odoo.sql(
            "SELECT resource || ' ' || state || ' ' || COALESCE(error_class, ''), count(*)"
            "  FROM integration_sync_log WHERE backend_id = %s"
            "   AND state IN ('pending', 'running') GROUP BY 1",
            [self.backend],
        )
        return left | dict(states)

    # === COMPARING === #

    def _compare(self, result: Result) -> None:
        books = {row["id"]: row for row in self.shop.books()}
        odoo = OdooBooks(self.odoo.sql, self.backend)
        found = odoo.read()
        dead = dict(
            self.odoo.sql(
                "SELECT external_id, COALESCE(message, '') FROM integration_sync_log"
                " WHERE backend_id = %s AND state = 'dead'",
                [self.backend],
            )
        )
        for one in self.living:
            row = books.pop(one.order, None)
            problems = judge(row, found.get(one.order)) if row else {}
            life = [one.problem] if one.problem else []
            if one.order in dead:
                life.append(f"dead letter: {dead.pop(one.order)}")
            if life:
                problems["life"] = life
            if problems:
                result.unequal[one.life.number] = problems
        result.strays = [
            *odoo.strays,
            *(f"{row['name']} is of no life" for row in books.values()),
            *(f"dead letter of {key}: {message}" for key, message in dead.items()),
        ]

    def _count(self, column: str) -> int:
        (row,) = self.odoo.sql(
            f"SELECT COALESCE(sum({column}), 0) FROM integration_sync_log"
            " WHERE backend_id = %s AND kind = 'record' AND resource = 'order'",
            [self.backend],
        )
        return int(row[0])

    def _keep_evidence(self) -> None:
        """Save what tells how it came, before the database is gone."""
        for table in EVIDENCE:
            rows = self.odoo.sql(f"SELECT to_json(t)::text FROM {table} t")
            file = self.history.file.with_name(f"{self.history.file.stem}-{table}.jsonl")
            file.write_text("".join(f"{row[0]}\n" for row in rows))


def judge(row: dict[str, Any], found: Found | None) -> dict[str, list[str]]:
    """Compare Odoo's books of an order with those its history demands; what is wrong by check.

    :param row: of the simulator's ``books``.
    """
    expected = expect(row)
    late = row["sourceName"] == INVOICED_WHEN_PAID
    problems = compare(expected, found, invoiced=not late or expected.ever_paid, late=late)
    if wrong := contradictions(row):
        problems["life"] = [f"the shop contradicts itself: {text}" for text in wrong]
    return problems


class _Hand:
    """Does the steps of lives, with a session of its own in Odoo."""

    def __init__(self, run: Run, shipped: dict[tuple[int, int], int]) -> None:
        """:param shipped: of all hands: life and step -> shipments before it was delivered."""
        self.run = run
        self.shipped = shipped
        self.shop = type(run.shop)(run.shop.url)
        self._call: Callable[..., Any] | None = None

    def do(self, one: Living) -> float | None:
        """Do the next step; returns the seconds until the one after it, None when all is done."""
        step = one.step
        if step.action == "place":
            placed = self.shop.place_order(**step.body)
            one.order, one.name = placed["id"], placed["name"]
        elif step.action == SHIP_IN_ODOO:
            if (again := self._ship(one, step)) is not None:
                return again
            if one.problem:
                return None
        else:
            self.shop.act(one.order, step.action, **step.body)
        self.run.history.add(one.name, step.action, OK, life=one.life.number, body=step.body)
        one.position += 1
        one.waiting_since = None
        return one.step.pause if one.position < len(one.life.steps) else None

    # --- Shipping in Odoo --- #

    def _ship(self, one: Living, step: Step) -> float | None:
        """Deliver in Odoo, then wait for the shop to know; returns seconds to wait, or None.

        People in the warehouse see an order once it has come to Odoo, and as it is there: they
        wait for the units they are asked for.
        """
        now = time.monotonic()
        one.waiting_since = one.waiting_since or now
        (row,) = self.shop.books(one.order)
        lines = [line["id"] for line in row["lines"]]
        wanted = {lines[part["line"]]: part["quantity"] for part in step.body["lines"]}
        key = (one.life.number, one.position)
        if key in self.shipped:
            if len(row["fulfillments"]) > self.shipped[key]:
                return None
        elif self._delivered(one, wanted, step.body["tracking"]):
            self.shipped[key] = len(row["fulfillments"])
            return 0.5
        if now - one.waiting_since > PATIENCE:
            one.problem = (
                "what was delivered in Odoo did not reach the shop"
                if key in self.shipped
                else "Odoo never had what was to be delivered"
            )
            self.run.history.add(one.name, step.action, FAILED, problem=one.problem)
            return None
        return 1.0

    def _delivered(self, one: Living, wanted: dict[str, int], tracking: list[dict]) -> bool:
        """Validate a picking with these units; False when Odoo does not have them to deliver."""
        rows = self.run.odoo.sql(
            "SELECT m.id, l.shopify_line_id, m.product_uom_qty, m.picking_id"
            "  FROM stock_move m JOIN sale_order_line l ON l.id = m.sale_line_id"
            "  JOIN sale_order o ON o.id = l.order_id"
            "  JOIN stock_location d ON d.id = m.location_dest_id"
            " WHERE o.shopify_url LIKE '%%/' || %s AND d.usage = 'customer'"
            "   AND m.state NOT IN ('done', 'cancel') ORDER BY m.id",
            [one.order.rsplit("/", 1)[-1]],
        )
        picked: dict[int, float] = {}
        left = dict(wanted)
        pickings = set()
        for move, gid, quantity, picking in rows:
            if take := min(left.get(gid, 0), int(quantity)):
                picked[move] = take
                left[gid] -= take
                pickings.add(picking)
        if any(left.values()) or len(pickings) != 1:
            return False
        (picking,) = pickings
        try:
            self._validate(picking, {row[0] for row in rows if row[3] == picking}, picked, tracking)
        except RpcError as error:
            # somebody else, such as the import, was at it in the same moment
            self.run.history.add(one.name, SHIP_IN_ODOO, FAILED, error=str(error)[:300])
            return False
        return True

    def _validate(
        self, picking: int, moves: set[int], picked: dict[int, float], tracking: list[dict]
    ) -> None:
        call = self._call or self.run.odoo.session().call
        self._call = call
        if tracking:
            values = {"carrier_tracking_ref": tracking[0]["number"]}
            call("stock.picking", "write", [picking], values)
        for move in moves:
            values = {"quantity": picked.get(move, 0), "picked": move in picked}
            call("stock.move", "write", [move], values)
        call("stock.picking", "button_validate", [picking], context={"skip_backorder": True})


# === SETTING UP === #


def set_up(odoo: Any, shop: Any) -> int:
    """Connect a shop to an Odoo that books everything by itself; returns the backend.

    Orders are confirmed and invoiced at once, those of :data:`INVOICED_WHEN_PAID` when they are
    paid; every gateway has a journal.
    """
    call = odoo.call
    # a Plus shop: hundreds of orders shall wait for Odoo, not for the shop's rate limit
    shop.configure(costBucket=20000, costRestore=1000)
    demo.prepare_company(call)
    demo.create_products(call, shop.url)
    fill_stock(call)
    backend = demo.connect_backend(call, odoo.url, shop.url)
    flows = call("integration.flow", "search", [("backend_id", "=", backend)])
    call("integration.flow", "write", flows, FLOW)
    map_gateways(call, backend)
    write_rules(call, backend)
    return backend


def fill_stock(call: Callable[..., Any]) -> None:
    """Put more of each product on stock than anybody orders.

    :param call: ``call(model, method, *arguments)`` as a user with all rights.
    """
    products = call("product.product", "search", [("is_storable", "=", True)])
    (warehouse,) = call("stock.warehouse", "search_read", [], ["lot_stock_id"], limit=1)
    quants = call(
        "stock.quant",
        "create",
        [
            {
                "product_id": product,
                "location_id": warehouse["lot_stock_id"][0],
                "inventory_quantity": STOCK,
            }
            for product in products
        ],
        context={"inventory_mode": True},
    )
    call("stock.quant", "action_apply_inventory", quants)


def map_gateways(call: Callable[..., Any], backend: int) -> None:
    """Give each gateway a journal of its own."""
    journals = call(
        "account.journal",
        "create",
        [
            {"name": gateway, "type": "bank", "code": f"SH{number}"}
            for number, gateway in enumerate(GATEWAYS)
        ],
    )
    call(
        "integration.mapping",
        "create",
        [
            {
                "backend_id": backend,
                "kind": "payment_method",
                "external_value": gateway,
                "resource_ref": f"account.journal,{journal}",
            }
            for gateway, journal in zip(GATEWAYS, journals, strict=True)
        ],
    )


def write_rules(call: Callable[..., Any], backend: int) -> None:
    """Let every order be confirmed, its payments registered, and its ledger booked: when it is
    paid if it comes from :data:`INVOICED_WHEN_PAID`, else at once."""
    books = {"confirm": "confirm", "post_invoice": "post", "register_payment": "register"}
    call(
        "integration.shopify.rule",
        "create",
        [
            {
                "backend_id": backend,
                "sequence": 1,
                "channel": INVOICED_WHEN_PAID,
                "invoice": "paid",
                **books,
            },
            {"backend_id": backend, "sequence": 2, "invoice": "at_once", **books},
        ],
    )
