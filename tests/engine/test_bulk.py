"""Bulk operations of Shopify with real transactions and a shop behind a port: nothing is lost,
nothing is done twice, whatever process dies in between."""

import gc
import json
import socket
import threading
from collections import Counter
from unittest.mock import patch

import pytest

from tests.simulators.shopify.app import Simulator
from tests.simulators.shopify.client import ShopSimulator
from tests.simulators.shopify.faults import Fault
from tests.simulators.shopify.shop import Config

QUERY = """query BulkTitles {
  products(query: "__SEARCH__") {
    edges { node { id title updatedAt variants { edges { node { id sku title } } } } }
  }
}"""
MUTATION = """mutation TitleSet($input: ProductSetInput!) {
  productSet(synchronous: true, input: $input) {
    product { id title }
    userErrors { field message code }
  }
}"""
CONNECTIONS = {"Product": {"ProductVariant": "variants"}}


class Killed(BaseException):
    """The process died: nobody catches this."""


@pytest.fixture(scope="module")
def simulator():
    config = Config(bulk_seconds=0.05, search_delay=0, cost_bucket=20000, cost_restore=1000)
    simulator = Simulator(config, seed=False)
    server = simulator.listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    simulator.url = f"http://localhost:{server.port}"
    yield simulator
    server.shutdown()
    thread.join(5)
    simulator.close()


def resources(simulator):
    """Return a resource that reads products, and one that sends them."""
    from odoo import models

    from odoo.addons.integration_base.lib.records import Change, ChangePage
    from odoo.addons.integration_shopify.lib.contract import read_utc

    class Titles(models.AbstractModel):
        _module = None
        _name = "integration.shopify.title"
        _inherit = ["integration.shopify.bulk.source", "integration.resource"]
        _description = "Titles"
        _resource_name = "Titles"
        _resource_model = "res.partner.category"

        def _fetch_all(self, backend, since, page):
            found = self._bulk_page(backend, page, document="titles", connections=CONNECTIONS)
            changes = [
                Change(
                    row["id"],
                    read_utc(row["updatedAt"]),
                    row["title"],
                    payload=row,
                    read_at=found.read_at,
                )
                for row in found.objects
            ]
            return ChangePage(changes, found.next_page, ordered=False)

        def _fetch(self, backend, external_ids):
            raise AssertionError("everything came along")

        def _updated_at(self, data):
            return read_utc(data["updatedAt"])

        def _map(self, backend, items):
            for item in items:
                skus = sorted(node["sku"] for node in item.data["variants"]["nodes"])
                item.values = {"name": f"{item.data['title']} {' '.join(skus)}"}

        def _apply(self, backend, items):
            for item in items:
                item.record = item.record or self.env["res.partner.category"].create(item.values)

    class Labels(models.AbstractModel):
        _module = None
        _name = "integration.shopify.label"
        _inherit = ["integration.shopify.bulk.push", "integration.resource"]
        _description = "Labels"
        _resource_name = "Labels"
        _resource_model = "res.partner.category"
        _resource_direction = "out"
        _resource_export_scope = "all"

        def _export_domain(self, backend):
            return [("name", "=like", "S%")]

        def _export(self, backend, items):
            for item in items:
                title = "" if "bad" in item.record.name else item.record.name
                item.values = {"title": title}

        def _push(self, backend, items):
            rows = []
            for item in self._bulk_take(backend, items):
                known = {"id": item.external_id} if item.external_id else {}
                rows.append((item, {"input": {**item.values, **known}}))
            self._bulk_send(backend, "labels", rows)

        def _recover(self, backend, items):
            for item in self._bulk_recover(backend, items):
                with simulator.shop.lock:
                    found = [p for p in simulator.shop.all("Product") if p.title == item.label]
                item.external_id = found[0].gid if found else ""

        def _bulk_created(self, payload):
            return payload["product"]["id"]

    return Titles, Labels


class World:
    """An Odoo with a flow that loads products, and one that sends them, and the shop."""

    def __init__(self, engine, simulator):
        self.engine, self.simulator = engine, simulator
        with engine.env() as env:
            backend = env["integration.backend"].create(
                {
                    "name": "Shop",
                    "connector": "shopify",
                    "base_url": simulator.url,
                    "environment": "sandbox",
                    "auth_kind": "shopify.legacy",
                }
            )
            for row in backend.credential_ids:
                row.value = "shpat_demo"
            backend.state = "active"
            backend.flow_ids.interval_minutes = 0
            self.backend_id = backend.id
            self.flows = {(f.resource, f.direction): f.id for f in backend.flow_ids}

    def reset(self):
        self.simulator.reset(seed=False)
        for name, value in {"bulk_seconds": 0.05, "bulk_failure": "", "bulk_expired": 0}.items():
            setattr(self.simulator.shop.config, name, value)
        self.engine.sql(
            "DELETE FROM integration_shopify_bulk; DELETE FROM integration_shopify_bulk_item;"
            "DELETE FROM integration_backfill; DELETE FROM integration_exchange;"
            "UPDATE integration_flow SET enabled = TRUE"
        )
        self.gather(0)

    def gather(self, seconds):
        from odoo.addons.integration_shopify.models import integration_shopify_bulk_item

        integration_shopify_bulk_item.GATHER_SECONDS = seconds

    def run(self, resource, direction="in", rounds=40, until=None):
        """Let time pass, and drain a flow again and again until nothing of it is open."""
        flow = self.flows[resource, direction]
        for _round in range(rounds):
            self.engine.make_due()
            self.engine.sql(
                "UPDATE integration_shopify_bulk SET looked_at = looked_at - interval '1 hour',"
                " asked_at = asked_at - interval '1 hour'"
            )
            self.engine.drain(flow)
            self.engine.sweep()
            if until and until():
                return
            if not until and not self.open(flow):
                return
            threading.Event().wait(0.06)
        raise AssertionError(f"still open: {self.operations(flow)} {self.bulks()}")

    def open(self, flow):
        return self.engine.sql(
            "SELECT id FROM integration_sync_log WHERE flow_id = %s"
            " AND state IN ('pending', 'running')",
            flow,
        )

    def operations(self, flow):
        return self.engine.sql(
            "SELECT key, state, message FROM integration_sync_log WHERE flow_id = %s", flow
        )

    def bulks(self):
        return self.engine.sql(
            "SELECT kind, state, error_code, tries FROM integration_shopify_bulk ORDER BY id"
        )

    # reading

    def put(self, products, variants=2):
        for number in range(products):
            rows = [{"sku": f"{number}-{n}", "options": [f"v{n}"]} for n in range(variants)]
            spec = {"title": f"S{number:05}", "options": ["Kind"], "variants": rows}
            self.simulator.shop.add_product(spec)

    def load(self):
        with self.engine.env() as env:
            load = env["integration.backfill"].create({"flow_id": self.flows["title", "in"]})
            load.action_start()
            return load.id

    def loaded(self, load):
        def ended():
            [[state]] = self.engine.sql(
                "SELECT state FROM integration_backfill WHERE id = %s", load
            )
            return state == "done"

        return ended

    def names(self):
        rows = self.engine.sql("SELECT name->>'en_US' FROM res_partner_category")
        return sorted(name for (name,) in rows if name.startswith("S"))

    # writing

    def create(self, *names):
        with self.engine.env() as env:
            records = env["res.partner.category"].create([{"name": name} for name in names])
            flow = env["integration.flow"].browse(self.flows["label", "out"])
            env["integration.sync.log"]._append_records(flow, records, "backfill")

    def titles(self):
        return Counter(product.title for product in self.simulator.shop.all("Product"))

    def called(self, name):
        return self.simulator.calls[name]


@pytest.fixture(scope="module")
def whole(engine, common, simulator):
    from odoo import SUPERUSER_ID, api

    from odoo.addons.integration_shopify.models import (
        integration_shopify_bulk,
        integration_shopify_bulk_item,
        integration_shopify_bulk_source,
    )

    class Known:
        def __init__(self, env):
            self.registry, self.env, self.cleanups = engine.registry, env, []

        def addClassCleanup(self, function):
            self.cleanups.append(function)

    with engine.registry.cursor() as cr:
        known = Known(api.Environment(cr, SUPERUSER_ID, {}))
        common.add_fake_models(known, *resources(simulator))
    documents = {"titles": QUERY, "labels": MUTATION}.__getitem__
    with (
        patch.object(integration_shopify_bulk_source, "text_of", documents),
        patch.object(integration_shopify_bulk_item, "document", documents),
        patch.object(integration_shopify_bulk_item, "GATHER_SECONDS", 0),
        patch.object(integration_shopify_bulk, "BUSY_SECONDS", 1),
    ):
        yield World(engine, simulator)
    for cleanup in known.cleanups:
        cleanup()


@pytest.fixture
def world(whole):
    whole.reset()
    return whole


@pytest.fixture
def small(monkeypatch):
    """Files are read in small parts, and put together in small pages."""
    from odoo.addons.integration_shopify.lib import bulk
    from odoo.addons.integration_shopify.models import integration_shopify_bulk_line

    monkeypatch.setattr(bulk, "CHUNK", 700)
    monkeypatch.setattr(integration_shopify_bulk_line, "PAGE_ROOTS", 4)


# === READING === #


def expected(products, variants=2):
    return [
        f"S{number:05} {' '.join(f'{number}-{n}' for n in range(variants))}"
        for number in range(products)
    ]


def test_everything_arrives_without_a_fetch(world, small):
    world.put(20)
    load = world.load()
    world.run("title", until=world.loaded(load))
    assert world.names() == expected(20)
    assert world.called("BulkQueryRun") == 1
    assert world.bulks() == [("query", "done", None, 1)]
    assert world.engine.sql("SELECT count(*) FROM integration_shopify_bulk_line") == [(0,)]
    assert world.engine.sql("SELECT count(*) FROM integration_staged_payload") == [(0,)]
    # again: nothing is written, nothing but the file is read
    before = world.engine.sql("SELECT max(id) FROM integration_sync_log WHERE kind = 'record'")
    world.engine.sql("UPDATE integration_binding SET fetched_at = now() + interval '1 hour'")
    load = world.load()
    world.run("title", until=world.loaded(load))
    assert before == world.engine.sql(
        "SELECT max(id) FROM integration_sync_log WHERE kind = 'record'"
    )


def test_lines_are_joined_by_a_plan_for_as_many(world):
    """The table is empty between two loads, and its statistics say so until somebody looks again:
    the pages of the next load took a minute each."""
    from odoo.addons.integration_shopify.models import integration_shopify_bulk_line

    size = "SELECT reltuples FROM pg_class WHERE relname = 'integration_shopify_bulk_line'"
    Line, known = integration_shopify_bulk_line.IntegrationShopifyBulkLine, []
    original = Line._roots

    def roots(self, operation, after):
        self.env.cr.execute(size)
        known.append(int(self.env.cr.fetchone()[0]))
        return original(self, operation, after)

    world.put(20)
    world.run("title", until=world.loaded(world.load()))
    # as autovacuum does by itself
    world.engine.sql("ANALYZE integration_shopify_bulk_line")
    assert world.engine.sql(size) == [(0,)]
    with patch.object(Line, "_roots", roots):
        world.run("title", until=world.loaded(world.load()))
    assert known[0] == 20 * 3


def test_nothing_in_the_shop(world):
    load = world.load()
    world.run("title", until=world.loaded(load))
    assert world.bulks() == [("query", "done", None, 1)]


def test_killed_worker_goes_on_where_it_was(world, small):
    from odoo.addons.integration_shopify.models.integration_shopify_bulk import (
        IntegrationShopifyBulk as Bulk,
    )

    world.put(20)
    load = world.load()
    steps = Counter()

    def dying(method):
        """Let each first, third ... call die after it has done its work."""

        def run(*args, **kwargs):
            result = method(*args, **kwargs)
            steps[method.__name__] += 1
            if steps[method.__name__] % 3 == 2:
                raise Killed(method.__name__)
            return result

        return run

    names = ("_create_apart", "_start", "_look", "_read", "_join", "_note_started")
    with contextlib_patches(Bulk, names, dying):
        for _round in range(80):
            try:
                world.run("title", rounds=1, until=world.loaded(load))
                break
            except Killed:
                free(world)
            except AssertionError:
                continue
    world.run("title", until=world.loaded(load))
    assert world.names() == expected(20)
    assert world.called("BulkQueryRun") == 1, "it is never started twice"
    size = len(next(iter(world.simulator.shop.files.values())))
    parts = world.called("(bulk result)")
    # a lost part is read again, and no part before it
    assert parts <= 2 * (size // 500 + 2), (parts, size)


def contextlib_patches(target, names, wrap):
    from contextlib import ExitStack

    stack = ExitStack()
    for name in names:
        stack.enter_context(patch.object(target, name, wrap(getattr(target, name))))
    return stack


def free(world):
    """What the watchdog does with operations whose process is gone."""
    world.engine.sql(
        "UPDATE integration_sync_log SET state = 'pending', claim_token = NULL"
        " WHERE state = 'running'"
    )


def test_lost_answer_starts_nothing_twice(world):
    world.put(3)
    world.simulator.faults.add(
        [Fault(count=1, reset="after", operation="BulkQueryRun", after=True)]
    )
    load = world.load()
    world.run("title", until=world.loaded(load))
    assert world.called("BulkQueryRun") == 1
    assert len(world.names()) == 3


def test_failed_operation_runs_again(world):
    world.put(6)
    world.simulator.shop.config.bulk_failure = "TIMEOUT"
    load = world.load()
    world.run("title", until=world.loaded(load))
    assert len(world.names()) == 6
    assert world.bulks() == [("query", "done", None, 2)]


def test_expired_result_is_read_anew(world, small):
    from odoo.addons.integration_base.lib.http import HttpClient

    world.put(12)
    load = world.load()

    download, begun = HttpClient.download, []

    def expire(*args, **kwargs):
        if len(begun) == 2:
            # in the middle of the file, and Shopify has no other address for it
            world.simulator.shop.files.clear()
        begun.append(True)
        return download(*args, **kwargs)

    with patch.object(HttpClient, "download", expire):
        world.run("title", until=world.loaded(load))
    assert world.names() == expected(12)
    assert world.bulks() == [("query", "done", None, 2)]


def test_busy_shop_makes_us_wait(world):
    world.put(3)
    world.simulator.shop.config.bulk_seconds = 3600
    for _number in range(5):
        world.simulator.executor.run(
            "mutation { bulkOperationRunQuery(query: \"{ products { edges { node { id } } } }\")"
            " { bulkOperation { id } userErrors { message } } }",
            {}, None, world.simulator.shop.config.scopes, "2026-10",
        )  # fmt: skip
    load = world.load()
    with pytest.raises(AssertionError):
        world.run("title", rounds=3, until=world.loaded(load))
    [(_key, state, message)] = world.operations(world.flows["title", "in"])
    assert (state, "Other bulk operations" in message) == ("pending", True)
    world.simulator.shop.config.bulk_seconds = 0.05
    for operation in world.simulator.shop.all("BulkOperation"):
        operation.status = "CANCELED"
    world.run("title", until=world.loaded(load))
    assert len(world.names()) == 3


def test_five_places_are_never_six(world):
    """Many ask at once: five get a place, each a different one."""
    with world.engine.env() as env:
        backend = env["integration.backend"].browse(world.backend_id)
        Bulk = env["integration.shopify.bulk"]
        ids = [Bulk._new(backend, "title", "query", "T", QUERY).id for _number in range(8)]

    def take(number):
        from odoo.addons.integration_base.lib.errors import NotReadyError

        def run():
            for _try in range(20):
                with world.engine.env() as env:
                    operation = env["integration.shopify.bulk"].browse(ids[number])
                    try:
                        operation._take_slot(operation._facts())
                        return True
                    except NotReadyError:
                        continue
            return False

        return run

    assert sum(world.engine.together(*map(take, range(8)))) == 5
    rows = world.engine.sql("SELECT slot FROM integration_shopify_bulk WHERE slot > 0")
    assert sorted(slot for (slot,) in rows) == [1, 2, 3, 4, 5]


# === WRITING === #


def test_records_are_sent_by_one_call(world):
    names = [f"S{number:03}" for number in range(120)]
    world.gather(1)
    world.create(*names)
    world.run("label", "out")
    assert world.titles() == Counter(names)
    assert world.called("BulkMutationRun") == 1
    assert world.simulator.shop.effects["bulk lines"] == 120
    bound = world.engine.sql(
        "SELECT count(*) FROM integration_binding WHERE resource = 'label' AND backend_id = %s",
        world.backend_id,
    )
    assert bound == [(120,)]
    assert world.engine.sql("SELECT count(*) FROM integration_shopify_bulk_item") == [(0,)]
    outcomes = world.engine.sql("SELECT DISTINCT outcome FROM integration_intent")
    assert outcomes == [("sent",)]
    # unchanged costs nothing
    with world.engine.env() as env:
        flow = env["integration.flow"].browse(world.flows["label", "out"])
        records = env["res.partner.category"].search([("name", "=like", "S%")])
        env["integration.sync.log"]._append_records(flow, records, "backfill")
    calls = sum(world.simulator.calls.values())
    world.run("label", "out")
    assert sum(world.simulator.calls.values()) == calls


def test_refused_line_is_told_and_sent_again_after_the_correction(world):
    world.create("S1", "S bad", "S2")
    world.run("label", "out")
    assert world.titles() == Counter(["S1", "S2"])
    [(error, message)] = world.engine.sql(
        "SELECT error_class, message FROM integration_sync_log WHERE state = 'dead'"
    )
    assert error == "refused" and "Title can't be blank" in message and "S bad" in message
    with world.engine.env() as env:
        env["res.partner.category"].search([("name", "=", "S bad")]).name = "S good"
        env["integration.sync.log"].search([("state", "=", "dead")])._requeue()
    world.run("label", "out")
    assert world.titles() == Counter(["S1", "S2", "S good"])


def test_record_that_changes_meanwhile_is_sent_again(world):
    world.create("S1")
    world.simulator.shop.config.bulk_seconds = 3600
    world.run("label", "out", until=lambda: world.called("BulkMutationRun"))
    with world.engine.env() as env:
        env["res.partner.category"].search([("name", "=", "S1")]).name = "S1 new"
    finish_all(world)
    world.run("label", "out")
    assert world.titles() == Counter(["S1 new"])
    assert world.called("BulkMutationRun") == 2


def finish_all(world):
    from tests.simulators.shopify.bulk_api import finish

    world.simulator.shop.config.bulk_seconds = 0.05
    for operation in world.simulator.shop.all("BulkOperation"):
        finish(world.simulator.shop, operation)


STEPS = (
    "_new",
    "_take_slot",
    "_upload",
    "_ask",
    "_note_started",
    "_note_node",
    "_download",
)
ITEM_STEPS = ("_stage", "_gather", "_file", "_settle", "_forget")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", [*STEPS, *ITEM_STEPS])
def test_crash_at_every_step_of_a_bulk_mutation(world, step, when):
    """A process that dies before or after any step makes no product twice, and loses none."""
    from odoo.addons.integration_shopify.models.integration_shopify_bulk import (
        IntegrationShopifyBulk as Bulk,
    )
    from odoo.addons.integration_shopify.models.integration_shopify_bulk_item import (
        IntegrationShopifyBulkItem as Item,
    )

    owner = Item if step in ITEM_STEPS else Bulk
    method, deaths = getattr(owner, step), []

    def dying(*args, **kwargs):
        if when == "before" and not deaths:
            deaths.append(step)
            raise Killed
        result = method(*args, **kwargs)
        if not deaths:
            deaths.append(step)
            raise Killed
        return result

    names = [f"S{number}" for number in range(5)]
    world.create(*names)
    with patch.object(owner, step, dying):
        try:
            world.run("label", "out")
        except Killed:
            free(world)
    assert deaths
    world.run("label", "out")
    assert world.titles() == Counter(names)
    assert world.simulator.shop.effects["bulk lines"] == 5


@pytest.mark.parametrize(
    "fault", ["BulkMutationRun", "BulkUpload", "upload", "result", "^BulkOperation$"]
)
@pytest.mark.parametrize("after", [False, True])
def test_lost_answer_anywhere_in_a_bulk_mutation(world, fault, after):
    target = "file" if fault in ("upload", "result") else "graphql"
    reset = "after" if after else "before"
    world.simulator.faults.add(
        [Fault(count=1, reset=reset, after=after, target=target, operation=fault)]
    )
    names = [f"S{number}" for number in range(5)]
    world.create(*names)
    world.run("label", "out")
    assert world.simulator.faults.active[0].hits == 1
    assert world.titles() == Counter(names)
    assert world.simulator.shop.effects["bulk lines"] == 5


def test_half_done_operation_is_finished(world):
    """What Shopify did before it failed stays, the rest is looked up and sent again."""
    world.simulator.shop.config.bulk_failure = "INTERNAL_SERVER_ERROR"
    names = [f"S{number}" for number in range(10)]
    world.create(*names)
    world.run("label", "out")
    assert world.titles() == Counter(names)
    assert [row[:2] for row in world.bulks()] == [("mutation", "failed"), ("mutation", "done")]


def test_notification_of_the_end_wakes_what_waits(world):
    world.create("S1")
    world.simulator.shop.config.bulk_seconds = 3600
    world.run("label", "out", until=lambda: world.called("BulkMutationRun"))
    finish_all(world)
    [operation] = world.simulator.shop.all("BulkOperation")
    with world.engine.env() as env:
        from odoo.addons.integration_shopify.lib import webhook

        resource, change = webhook.read(
            "bulk_operations/finish",
            json.dumps({"admin_graphql_api_id": operation.gid, "status": "completed"}).encode(),
        )
        flow = env["integration.flow"].browse(world.flows[resource, "in"])
        env["integration.sync.log"]._append(flow, [change], "webhook")
    world.engine.drain(world.flows["bulk_run", "in"])
    assert world.bulks() == [("mutation", "ready", None, 1)]
    due = world.engine.sql(
        "SELECT 1 FROM integration_sync_log WHERE flow_id = %s AND state = 'pending'"
        " AND next_attempt_at <= clock_timestamp() AT TIME ZONE 'UTC'",
        world.flows["label", "out"],
    )
    assert due


# === MEMORY === #

PRODUCTS, VARIANTS = 200, 100
#: Megabytes a worker may grow by.
GROWTH = 200


def memory(name):
    """Return a figure of this process in megabytes: VmRSS now, VmHWM its highest."""
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(name))
    return int(line.split()[1]) / 1024


def test_twenty_thousand_variants_in_bounded_memory(world, record_property):
    """From the file to payloads that are worked on; the shop is another process."""
    with socket.create_server(("127.0.0.1", 0)) as free_port:
        port = free_port.getsockname()[1]
    text = "x" * 400
    with ShopSimulator.start(port, "--empty", "--search-delay", "0") as shop:
        shop.configure(costBucket=20000, costRestore=1000)
        for start in range(0, PRODUCTS, 20):
            products = [
                {
                    "title": f"S{number:05}",
                    "description": text,
                    "options": ["Kind"],
                    "variants": [
                        {"sku": f"{number}-{n}", "options": [f"v{n} {text[:200]}"]}
                        for n in range(VARIANTS)
                    ],
                }
                for number in range(start, start + 20)
            ]
            shop.post("seed", {"products": products})
        with world.engine.env() as env:
            backend = env["integration.backend"].browse(world.backend_id)
            backend.base_url = shop.url.replace("127.0.0.1", "localhost")
        try:
            load = world.load()
            gc.collect()
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")
            before = memory("VmRSS")
            world.run("title", rounds=400, until=world.loaded(load))
            grown = memory("VmHWM") - before
            calls = shop.calls()["byOperation"]
        finally:
            with world.engine.env() as env:
                backend = env["integration.backend"].browse(world.backend_id)
                backend.base_url = world.simulator.url
    record_property("megabytes", grown)
    print(f"grown by {grown:.0f} MB; calls {calls}")
    assert len(world.names()) == PRODUCTS
    assert world.names()[0].count("-") == VARIANTS
    assert grown < GROWTH
    [[size]] = world.engine.sql("SELECT max(file_size) FROM integration_shopify_bulk")
    assert size > 5_000_000, "it is worth the name"
