"""Copies of a busy database: neutralized, as it is, and on a machine without the key."""

import hashlib
import hmac
import json
import os
import re
import subprocess
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from cryptography.fernet import Fernet
from runtime import database, paths, server, testbed
from runtime.rpc import RpcError

from tests import canary
from tests.simulators.generic.client import GenericService
from tests.simulators.generic.connect import connect_backend
from tests.simulators.shopify.client import ShopSimulator

from .conftest import wait_until
from .test_secrets import notify, set_credential

pytestmark = pytest.mark.long

#: Seconds in which a copy could call: several heartbeats, and the crons that are made due.
WATCHED = 25
#: Each answer of the service takes so long while the original is killed at work.
HANGING = 60
JOBS = ("wait_dependencies", "pending", "enqueued", "started", "failed")
#: How every text begins that is encrypted by the keys of credentials.
FERNET = b"gAAAAA"
REFUSED = "neutralized copy"
FOREIGN = "connected in another database"


@pytest.fixture(scope="module")
def world(odoo_server, project):
    """A database that was killed in the middle of its work, with copies of it, none running."""
    names = ("key", "secret", "old-secret", "client-secret", "production-key", "typed-street")
    secrets = {name: canary.make(name) for name in names}
    with (
        GenericService.start(
            server.free_port(), "--key", secrets["key"], "--secret", secrets["old-secret"]
        ) as service,
        ShopSimulator.start(
            server.free_port(), "--client-secret", secrets["client-secret"]
        ) as shop,
    ):
        odoo = odoo_server(workers=2, channels="root:4,root.integration:3", test_addons=True)
        world = SimpleNamespace(
            odoo=odoo, service=service, shop=shop, secrets=secrets, project=project
        )
        connect(world)
        make_busy(world)
        odoo.kill()
        add_jobs(odoo)
        world.tokens = dict(odoo.sql("SELECT name, webhook_token FROM integration_backend"))
        secrets.update({f"address of {name}": token for name, token in world.tokens.items()})
        secrets.update(stored_tokens(world))
        world.work = open_work(odoo)
        world.plain = copy_of(world, "plain")
        world.neutralized = copy_of(world, "neutralized")
        yield world
        world.plain.remove()
        world.neutralized.remove()


def connect(world):
    odoo, service, secrets = world.odoo, world.service, world.secrets
    credentials = {"key": secrets["key"], "secret": secrets["old-secret"]}
    # typed once more: the old value is still stored beside the new one
    flows = {"contact": {"batch_size": 2, "interval_minutes": 1}}
    world.generic = connect_backend(
        odoo.call, odoo.url, service.url, "Service", flows, credentials=credentials
    )
    set_credential(odoo, world.generic, "secret", secrets["secret"])
    service.configure(secret=secrets["secret"])
    connect_shop(world)
    # one with credentials for both environments
    both = connect_backend(odoo.call, odoo.url, service.url, "Both", {}, credentials=credentials)
    odoo.call("integration.backend", "action_switch_environment", [both])
    values = {"backend_id": both, "account": "other", "base_url": "https://service.example.com"}
    wizard = odoo.call("integration.switch.environment", "create", [values])
    odoo.call("integration.switch.environment", "action_switch", wizard)
    set_credential(odoo, both, "key", secrets["production-key"])
    environments = "SELECT DISTINCT environment FROM integration_credential WHERE is_set"
    assert len(odoo.sql(environments)) == 2


def connect_shop(world):
    """Connect the shop by its owner's consent, which gives a refresh token."""
    odoo, shop = world.odoo, world.shop
    values = {"name": "Shop", "connector": "shopify", "base_url": shop.url}
    (world.shop_backend,) = odoo.call("integration.backend", "create", [values])
    set_credential(odoo, world.shop_backend, "client_id", "demo-client-id")
    set_credential(odoo, world.shop_backend, "client_secret", world.secrets["client-secret"])
    odoo.call("integration.backend", "action_test_connection", [world.shop_backend])
    values = {"auth_kind": "shopify.authorization_code"}
    odoo.call("integration.backend", "write", [world.shop_backend], values)
    consent = f"{odoo.url}/integration/oauth/connect/{world.shop_backend}"
    with odoo.session().opener.open(consent, timeout=60) as page:
        assert f"/integration.backend/{world.shop_backend}" in page.url, page.read()[:2000]


def stored_tokens(world):
    """Return the tokens that the services have issued, read with the key of the original."""
    box = Fernet(world.project.encryption_key())
    rows = world.odoo.sql("SELECT code, ciphertext FROM integration_credential WHERE kind='token'")
    tokens = {code: box.decrypt(text.split(":")[2]).decode() for code, text in rows}
    assert any(token.startswith("shprt_") for token in tokens.values()), "no refresh token"
    return tokens


def make_busy(world):
    """Have something of everything that can be open, and everything of it under way."""
    odoo, service = world.odoo, world.service
    spec = {"action": "create", "collection": "contacts"}
    service.change(*({**spec, "values": {"name": f"Person {n}"}} for n in range(40)))
    service.wait_for_webhooks(60)
    count = "SELECT count(*) FROM integration_binding WHERE backend_id = %s"
    wait_until(lambda: odoo.sql(count, [world.generic])[0][0] == 40)
    odoo.call("integration.privacy.lookup", "create", {"street": world.secrets["typed-street"]})
    partner = odoo.call("res.partner", "search", [("name", "=", "Person 7")], limit=1)
    wizard = odoo.call("integration.privacy.lookup", "create", {"partner_id": partner[0]})
    odoo.call("integration.privacy.lookup", "action_export", [wizard])
    service.send_webhook("contacts/updated", body="{garbage")
    service.faults(shares={"hang": 1}, seconds=HANGING)
    flow = "SELECT id FROM integration_flow WHERE backend_id = %s AND resource = %s"
    contacts, products = (
        odoo.sql(flow, [world.generic, name])[0][0] for name in ("contact", "product")
    )
    (load,) = odoo.call("integration.backfill", "create", [{"flow_id": contacts}])
    odoo.call("integration.backfill", "action_start", [load])
    odoo.call("integration.flow", "action_compare", [products])
    values = [{"name": f"Mug {n}", "default_code": f"M{n}"} for n in range(20)]
    odoo.call("product.product", "create", values)
    service.change(*({**spec, "values": {"name": f"Late {n}"}} for n in range(10)))
    wait_until(lambda: odoo.sql("SELECT 1 FROM integration_intent WHERE outcome = 'new'"), 60)
    wait_until(lambda: odoo.sql("SELECT 1 FROM queue_job WHERE state = 'started'"), 60)


def add_jobs(odoo):
    """Have a job in each state; nobody runs them, the server is dead."""
    for state in JOBS:
        odoo.sql(
            "INSERT INTO queue_job (uuid, identity_key, state, model_name, method_name,"
            " records, args, kwargs, channel, channel_method_name, name, user_id, company_id,"
            " priority, retry, max_retries, date_created)"
            " SELECT 'busy ' || %s, 'integration.busy.' || %s, %s, model_name, method_name,"
            " records, args, kwargs, channel, channel_method_name, name, user_id, company_id,"
            " priority, 0, 0, date_created"
            " FROM queue_job WHERE method_name = '_job_drain' LIMIT 1",
            [state, state, state],
        )


def open_work(odoo):
    """Return ``{kind of work: number that is open}``."""
    queries = {
        "jobs": f"queue_job WHERE state IN {JOBS}",
        "operations": "integration_sync_log WHERE state IN ('pending', 'running')",
        "running": "integration_sync_log WHERE state = 'running'",
        "outbound": "integration_sync_log o JOIN integration_flow f ON f.id = o.flow_id"
        " WHERE o.state IN ('pending', 'running') AND f.direction = 'out'",
        "intents": "integration_intent WHERE outcome IN ('new', 'unknown')",
        "loads": "integration_backfill WHERE state IN ('running', 'paused', 'failed')",
        "comparisons": "integration_reconciliation WHERE state IN ('draft', 'running', 'paused')",
        "unreadable": "integration_webhook_event WHERE state = 'unreadable'",
        "secrets": "integration_credential WHERE ciphertext IS NOT NULL",
        "old secrets": "integration_credential WHERE previous_ciphertext IS NOT NULL",
        "exchanges": "integration_exchange",
        "files": "ir_attachment WHERE res_model = 'integration.privacy.request'",
    }
    return {
        kind: odoo.sql(f"SELECT count(*) FROM {query}")[0][0] for kind, query in queries.items()
    }


def copy_of(world, name):
    """Return a server, not running, on a `createdb --template` of the original and its files."""
    name = f"{world.odoo.database}-{name}"
    database.copy(world.project, world.odoo.database, name)
    return testbed.TestServer(
        world.project,
        name,
        workers=2,
        channels="root:4,root.integration:3",
        addons_path=world.project.addons_path(paths.ROOT, paths.TEST_ADDONS),
    )


@contextmanager
def running(copy):
    copy.log.write_text("")
    copy.start()
    try:
        yield copy.session()
    finally:
        copy.stop()


def hurry(copy, session):
    """Switch all our scheduled actions on, and run them with everything due now."""
    copy.sql(
        "UPDATE ir_cron SET active = TRUE, nextcall = now() AT TIME ZONE 'UTC' - interval '1 day'"
        " WHERE id IN (SELECT res_id FROM ir_model_data"
        "               WHERE model = 'ir.cron' AND module LIKE 'integration%%')"
    )
    copy.sql("UPDATE integration_flow SET interval_minutes = 1, next_run_at = now(),"
             " reconcile_days = 1, next_reconcile_at = now() - interval '1 day'")  # fmt: skip
    # the process for scheduled actions sleeps up to a minute
    for (action,) in copy.sql(
        "SELECT res_id FROM ir_model_data WHERE model = 'ir.cron' AND module = 'integration_base'"
    ):
        try:
            session.call("ir.cron", "method_direct_trigger", [action])
        except RpcError as error:
            # it is at it already
            assert "currently being executed" in str(error) or "busy" in str(error), error


def press(session, model, method, ids):
    """Return what a button says: the text of its refusal or of its notice."""
    try:
        answer = session.call(model, method, ids)
    except RpcError as error:
        return str(error)
    return (answer or {}).get("params", {}).get("message", "")


def calls(world):
    """Return how often the services were called."""
    return world.service.calls()["total"] + world.shop.calls()["total"]


def deliver(world, copy, name):
    """Deliver a notification that is signed well to the address of the original, at the copy."""
    body = json.dumps({"id": "1"}).encode()
    signature = hmac.new(world.secrets["secret"].encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-Signature": signature, "X-Topic": "contacts/updated", "X-Event-Id": "late"}
    return notify(f"{copy.url}/integration/webhook/{world.tokens[name]}", body, headers)


def assert_quiet(world, copy, before):
    """Nobody was called, and nothing went wrong without a word."""
    assert calls(world) == before, (world.service.calls(), world.shop.calls())
    wait_until(lambda: not copy.sql("SELECT 1 FROM queue_job WHERE state = 'failed'"), 90)
    log = copy.log.read_text()
    assert "Traceback" not in log
    assert not re.search(r'HTTP/1\.[01]" 5\d\d ', log)


def dump(world, copy):
    return subprocess.run(
        [world.project.server.binaries / "pg_dump", "--no-owner", copy.database],
        env={**os.environ, **world.project.server.variables},
        capture_output=True,
        check=True,
    ).stdout


def files(copy):
    folder = paths.STATE / "data/filestore" / copy.database
    return [file.read_bytes() for file in folder.rglob("*") if file.is_file()]


def neutralize(world, copy):
    """Run Odoo's own command, as an administrator does."""
    ended = subprocess.run(
        world.project.odoo_command(copy.config, "neutralize", "-d", copy.database),
        env=world.project.environment(),
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert "Neutralization finished" in ended.stderr


def assert_holds_nothing(world, copy):
    text = dump(world, copy)
    assert b"COPY public.integration_credential" in text
    found = canary.traces(world.secrets, text)
    assert not found, f"{len(found)} secrets in the copy, e.g.\n" + "\n".join(found[:5])
    assert FERNET not in text


def test_the_original_was_busy(world):
    """What was meant to be open was, and what is looked for below can be found."""
    assert all(world.work.values()), world.work
    for state in JOBS:
        assert world.odoo.sql("SELECT 1 FROM queue_job WHERE state = %s", [state]), state
    text = dump(world, world.plain)
    assert FERNET in text
    assert canary.traces({"street": world.secrets["typed-street"]}, text)
    assert canary.traces({"address": world.tokens["Service"]}, text)


def test_neutralized_copy(world):
    copy = world.neutralized
    neutralize(world, copy)
    assert_holds_nothing(world, copy)
    left = open_work(copy)
    assert {kind for kind, count in left.items() if count} == {"intents", "unreadable", "files"}
    before = calls(world)
    with running(copy) as session:
        hurry(copy, session)
        for name, backend in (("Service", world.generic), ("Shop", world.shop_backend)):
            buttons = (
                "action_test_connection",
                "action_resume",
                "action_connect_here",
                "action_check_subscriptions",
            )
            for button in buttons:
                assert REFUSED in press(session, "integration.backend", button, [backend]), button
            # the address of the original exists no more
            assert deliver(world, copy, name) == 401
        page = session.opener.open(
            f"{copy.url}/integration/oauth/connect/{world.shop_backend}", timeout=60
        )
        assert REFUSED in page.read().decode()
        flows = session.call("integration.flow", "search", [])
        for flow in flows:
            assert "is not connected" in press(
                session, "integration.flow", "action_read_changes", [flow]
            )
        # whoever sets the state by hand has not made it another database
        copy.sql("UPDATE integration_backend SET state = 'active'")
        press(session, "integration.flow", "action_read_changes", flows[:1])
        retry(copy, session)
        end_quietly(world, copy, before)
        clean_up(copy, session)
        assert not open_work(copy)["files"]
    assert_holds_nothing(world, copy)
    exported = [content for content in files(world.plain) if b'"exported_at"' in content]
    assert exported
    assert not [content for content in files(copy) if content in exported]
    neutralize(world, copy)
    assert_holds_nothing(world, copy)


def clean_up(copy, session):
    """Run Odoo's clean-up: what goes from the database goes from the disk the next time."""
    [(action,)] = copy.sql("SELECT res_id FROM ir_model_data WHERE name = 'autovacuum_job'")
    for _time in range(2):
        session.call("ir.cron", "method_direct_trigger", [action])


def retry(copy, session):
    """Press Retry on what had failed in the original."""
    failed = copy.sql("SELECT id FROM integration_sync_log WHERE state IN ('dead', 'ignored')")
    for (operation,) in failed[:3]:
        press(session, "integration.sync.log", "action_retry", [operation])


def end_quietly(world, copy, before):
    """Watch for a while that the copy really calls nobody, job runner and all."""
    beat = "SELECT max(date_created) FROM queue_job"
    end = copy.sql("SELECT now() AT TIME ZONE 'UTC' + %s * interval '1 second'", [WATCHED])[0][0]
    wait_until(lambda: copy.sql("SELECT now() AT TIME ZONE 'UTC' > %s", [end])[0][0], WATCHED + 5)
    assert copy.sql(beat)
    assert_quiet(world, copy, before)


def test_copy_as_it_is(world):
    """With the same keys, jobs and schedules."""
    copy = world.plain
    before = calls(world)
    with running(copy) as session:
        hurry(copy, session)
        fields = ["in_foreign_database", "state"]
        rows = session.call("integration.backend", "search_read", [], fields)
        assert {row["in_foreign_database"] for row in rows} == {True}
        for backend in (world.generic, world.shop_backend):
            for button in ("action_test_connection", "action_check_subscriptions"):
                assert FOREIGN in press(session, "integration.backend", button, [backend]), button
            # the way by which a paused one would have been connected
            session.call("integration.backend", "action_pause", [backend])
            assert FOREIGN in press(session, "integration.backend", "action_resume", [backend])
            copy.sql("UPDATE integration_backend SET state = 'active' WHERE id = %s", [backend])
        page = session.opener.open(
            f"{copy.url}/integration/oauth/connect/{world.shop_backend}", timeout=60
        )
        assert FOREIGN in page.read().decode()
        contacts = copy.sql("SELECT id FROM integration_flow WHERE resource = 'contact'")
        for (flow,) in contacts:
            press(session, "integration.flow", "action_read_changes", [flow])
        retry(copy, session)
        # kept, as by the original: if this database takes its place, nothing is missing
        assert deliver(world, copy, "Service") == 200
        end_quietly(world, copy, before)


def test_copy_on_a_machine_without_the_key(world):
    copy = world.plain
    config = copy.config.read_text()
    keyless = re.sub(r"(?m)^encryption_key = .*$", "", config)
    assert keyless != config
    before = calls(world)
    copy.config.write_text(keyless)
    try:
        with running(copy) as session:
            message = press(
                session, "integration.backend", "action_connect_here", [world.shop_backend]
            )
            assert "no encryption key" in message, message
            # the service shall send it again, to a server that can check it
            assert deliver(world, copy, "Service") == 503
            assert calls(world) == before
            log = copy.log.read_text()
            assert "Traceback" not in log
            assert not copy.sql("SELECT 1 FROM queue_job WHERE state = 'failed'")
    finally:
        copy.config.write_text(config)


def test_original_is_undisturbed(world):
    odoo, service = world.odoo, world.service
    service.clear_faults()
    odoo.start()
    try:
        wait_until(
            lambda: (
                not odoo.sql(
                    "SELECT 1 FROM integration_sync_log"
                    " WHERE backend_id = %s AND state IN ('pending', 'running')",
                    [world.generic],
                )
            ),
            240,
        )
        there = sorted(row["id"] for row in service.records("contacts"))
        here = odoo.sql(
            "SELECT external_id FROM integration_binding WHERE backend_id = %s"
            " AND resource = 'contact' ORDER BY 1",
            [world.generic],
        )
        assert len(there) == 50
        assert sorted(row[0] for row in here) == there
        codes = [row.get("code") for row in service.records("products")]
        assert sorted(code for code in codes if code and code.startswith("M")) == sorted(
            f"M{n}" for n in range(20)
        )
        assert len(codes) == len(set(codes)), "a product was sent twice"
        address = "SELECT state, webhook_token FROM integration_backend WHERE name = 'Service'"
        assert odoo.sql(address) == [("active", world.tokens["Service"])]
        # and it is still notified
        service.create(name="Told")
        wait_until(
            lambda: odoo.sql(
                "SELECT 1 FROM integration_sync_log"
                " WHERE label IS NOT NULL AND \"trigger\" = 'webhook' AND state = 'done'"
                " AND key = (SELECT ref FROM res_partner WHERE name = 'Told')"
            ),
            60,
        )
    finally:
        odoo.stop()


def test_copy_works_once_a_person_has_confirmed(world):
    copy = world.plain
    world.service.webhook_faults(drop=1)
    world.service.create(name="After the move")
    with running(copy) as session:
        before = calls(world)
        for backend, text in (
            (world.generic, "Connected to"),
            (world.shop_backend, "Connected to"),
        ):
            method = "action_connect_here" if backend == world.generic else "action_test_connection"
            assert text in press(session, "integration.backend", method, [backend])
        assert calls(world) > before
        moved = "SELECT 1 FROM res_partner WHERE name = 'After the move'"
        wait_until(lambda: copy.sql(moved), 120)
        wait_until(lambda: not copy.sql("SELECT 1 FROM queue_job WHERE state = 'failed'"), 60)
