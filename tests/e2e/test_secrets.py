"""No secret of a whole run is kept anywhere: database, exports, screens, jobs, log files."""

import hashlib
import hmac
import json
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from types import SimpleNamespace

import pytest
from runtime import demo, paths, server
from runtime.rpc import RpcError

from tests import canary
from tests.simulators.generic.client import GenericService
from tests.simulators.generic.connect import connect_backend
from tests.simulators.shopify.client import ShopSimulator

from .conftest import wait_until

pytestmark = pytest.mark.long

PREFIX = "integration_base.group_integration_"
GROUPS = {
    "employee": [],
    "user": [f"{PREFIX}user"],
    "operator": [f"{PREFIX}operator"],
    "auditor": [f"{PREFIX}auditor"],
    "manager": [f"{PREFIX}manager"],
    "administrator": ["base.group_system", f"{PREFIX}manager"],
}
#: Rows read per model.
MANY = 500


def set_credential(odoo, backend, code, value):
    domain = [("backend_id", "=", backend), ("code", "=", code)]
    rows = odoo.call("integration.credential", "search", domain)
    odoo.call("integration.credential", "write", rows, {"value": value})


def notify(address, body, headers):
    """Send a notification; returns the status."""
    request = urllib.request.Request(address, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def create_users(odoo):
    for role, names in GROUPS.items():
        rows = odoo.sql(
            "SELECT res_id FROM ir_model_data WHERE model = 'res.groups'"
            " AND module || '.' || name = ANY(%s)",
            [["base.group_user", *names]],
        )
        values = {
            "name": role,
            "login": role,
            "password": role,
            "email": f"{role}@example.com",
            "group_ids": [(6, 0, [row[0] for row in rows])],
        }
        odoo.call("res.users", "create", [values])


@pytest.fixture(scope="module")
def simulators():
    values = {
        name: canary.make(name)
        for name in ("key", "secret", "old-secret", "wrong-key", "client-secret", "wrong-secret")
    }
    generic_options = ("--key", values["key"], "--secret", values["old-secret"])
    shop_options = ("--client-secret", values["client-secret"])
    with (
        GenericService.start(server.free_port(), *generic_options) as service,
        ShopSimulator.start(server.free_port(), *shop_options) as shop,
    ):
        yield SimpleNamespace(service=service, shop=shop, secrets=values)


@pytest.fixture(scope="module")
def run(odoo_server, simulators):
    """Everything that is done with secrets, and everything that goes wrong with them.

    The server tells in its log whatever it can, each SQL statement included.
    """
    odoo = odoo_server(
        workers=2,
        test_addons=True,
        log_handler=":DEBUG,odoo.sql_db:DEBUG,odoo.http.rpc.request:DEBUG",
    )
    create_users(odoo)
    backend = use_generic(odoo, simulators)
    issued = use_shop(odoo, simulators)
    come_back(odoo, simulators.secrets)
    simulators.secrets.update({f"token-{n}": token for n, token in enumerate(issued)})
    return SimpleNamespace(odoo=odoo, backend=backend, secrets=simulators.secrets)


def use_generic(odoo, simulators):
    service, values = simulators.service, simulators.secrets
    credentials = {"key": values["key"], "secret": values["old-secret"]}
    backend = connect_backend(odoo.call, odoo.url, service.url, credentials=credentials)

    def settled():
        return not odoo.sql(
            "SELECT 1 FROM integration_sync_log WHERE backend_id = %s"
            " AND state IN ('pending', 'running') AND kind = 'record'",
            [backend],
        )

    def state():
        return odoo.sql("SELECT state FROM integration_backend WHERE id = %s", [backend])[0][0]

    def settle():
        service.wait_for_webhooks()
        wait_until(settled, 120)

    # imports and exports that go well
    anna = service.create(name="Anna", email="anna@example.com")
    odoo.call("product.product", "create", [{"name": "Mug", "default_code": "MUG"}])
    wait_until(lambda: service.records("products"), 60)
    settle()
    # a record that cannot be read
    service.create(name="Broken", email=["no", "text"])
    # an answer of 500 to every call, for a while
    service.fault("server_error", count=3, status=500)
    service.update(anna["id"], name="Anna Berg")
    settle()
    # secrets in rotation, with notifications signed by the old and by the new one
    set_credential(odoo, backend, "secret", values["secret"])
    service.update(anna["id"], name="Anna Old")
    service.wait_for_webhooks()
    service.configure(secret=values["secret"])
    service.update(anna["id"], name="Anna New")
    settle()
    # notifications that are refused: signed wrongly, or with the secret where the signature belongs
    token = odoo.sql("SELECT webhook_token FROM integration_backend WHERE id = %s", [backend])
    address = f"{odoo.url}/integration/webhook/{token[0][0]}"
    body = json.dumps({"id": anna["id"]}).encode()
    forged = hmac.new(b"forged", body, hashlib.sha256).hexdigest()
    for signature in (forged, values["secret"], f"Bearer {values['key']}"):
        headers = {"X-Signature": signature, "X-Topic": "contacts/updated", "X-Event-Id": "x"}
        assert notify(address, body, headers) == 401
    # a key that is refused pauses the backend; one that was mistyped is refused at once
    service.configure(keys=["another"])
    service.update(anna["id"], name="Anna Refused")
    wait_until(lambda: state() == "paused", 60)
    set_credential(odoo, backend, "key", values["wrong-key"])
    with pytest.raises(RpcError):
        odoo.call("integration.backend", "action_test_connection", [backend])
    service.configure(keys=[values["key"]])
    set_credential(odoo, backend, "key", values["key"])
    odoo.call("integration.backend", "action_test_connection", [backend])
    settle()
    odoo.call("integration.backend", "copy", [backend])
    return backend


def use_shop(odoo, simulators):
    """Connect a shop, whose tokens are issued, refused and renewed; returns them."""
    shop, values = simulators.shop, simulators.secrets
    demo.prepare_company(odoo.call)
    backend = odoo.call(
        "integration.backend",
        "create",
        [{"name": "Shop", "connector": "shopify", "base_url": shop.url}],
    )[0]
    set_credential(odoo, backend, "client_id", "demo-client-id")
    set_credential(odoo, backend, "client_secret", values["wrong-secret"])
    with pytest.raises(RpcError):
        odoo.call("integration.backend", "action_test_connection", [backend])
    set_credential(odoo, backend, "client_secret", values["client-secret"])
    odoo.call("integration.backend", "action_test_connection", [backend])
    issued = shop.get("tokens")
    shop.post("tokens/revoke")
    shop.place_random_orders(3, seed=1)
    shop.wait_for_webhooks()
    wait_until(
        lambda: (
            not odoo.sql(
                "SELECT 1 FROM integration_sync_log WHERE backend_id = %s"
                " AND state IN ('pending', 'running')",
                [backend],
            )
        ),
        120,
    )
    issued += shop.get("tokens")
    assert len(set(issued)) >= 2, "the token was meant to be renewed"
    return issued


def come_back(odoo, values):
    """Come back from a page of consent, as somebody whose session is over."""
    values["code"] = canary.make("code")
    query = urllib.parse.urlencode({"code": values["code"], "state": "x"})
    for addon in ("oauth", "shopify"):
        address = f"{odoo.url}/integration/{addon}/callback?{query}"
        with urllib.request.urlopen(address, timeout=30) as answer:
            assert "/web/login" in answer.url


def assert_clean(run, kept, where):
    found = canary.traces(run.secrets, kept)
    assert not found, f"{len(found)} secrets in {where}, e.g.\n" + "\n".join(found[:5])


def test_run_was_eventful(run):
    """What was meant to happen did, so that there was something to leak."""
    assert run.odoo.sql("SELECT count(*) > 10 FROM integration_exchange") == [(True,)]
    statuses = {row[0] for row in run.odoo.sql("SELECT DISTINCT status FROM integration_exchange")}
    assert {200, 401, 500} <= statuses
    states = {row[0] for row in run.odoo.sql("SELECT DISTINCT state FROM integration_sync_log")}
    assert {"done", "dead"} <= states
    refused = "SELECT sum(count) FROM integration_webhook_event WHERE state = 'refused'"
    assert run.odoo.sql(refused)[0][0] >= 3
    assert run.odoo.sql("SELECT count(*) > 0 FROM integration_credential WHERE ciphertext LIKE %s",
                        ["v1:%"]) == [(True,)]  # fmt: skip


def test_dump_of_the_database(run, project):
    """The whole of it, as a backup or a stolen disk has it."""
    dump = subprocess.run(
        [project.server.binaries / "pg_dump", "--no-owner", run.odoo.database],
        env={**os.environ, **project.server.variables},
        capture_output=True,
        check=True,
    ).stdout
    assert b"COPY public.integration_exchange" in dump
    assert_clean(run, dump, "the dump of the database")


def test_files_of_the_database(run, project):
    """Attachments are kept beside the database."""
    folder = paths.STATE / "data/filestore" / run.odoo.database
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert files
    assert_clean(run, (file.read_bytes() for file in files), "the file store")


def test_jobs_logs_and_messages(run):
    """The tables a leak would be in first, by name; their rows are there to be looked at."""
    for table in ("queue_job", "mail_message", "integration_exchange", "integration_sync_log"):
        rows = run.odoo.sql(f"SELECT t::text FROM {table} t")
        assert rows, table
        assert_clean(run, (row[0].encode() for row in rows), table)
    rows = run.odoo.sql("SELECT t::text FROM ir_logging t")
    assert_clean(run, (row[0].encode() for row in rows), "ir_logging")


@pytest.mark.parametrize("role", GROUPS)
def test_what_each_group_can_read(run, role):
    """Every field of every model: read, exported, grouped, shown, copied, by RPC."""
    session = run.odoo.session(role)
    models = run.odoo.call(
        "ir.model",
        "search_read",
        [("model", "=like", "integration.%"), ("abstract", "=", False)],
        ["model"],
    )
    assert len(models) > 20
    answers = []
    for row in models:
        answers += list(read_everything(session, row["model"]))
    kept = json.dumps(answers, ensure_ascii=False)
    assert ("Anna" in kept) == (role != "employee")
    assert_clean(run, kept, f"what a {role} can read")


def test_server_log_that_tells_everything(run):
    """Read last, so that what was asked by the tests above is in it."""
    log = run.odoo.log.read_bytes()
    assert b" DEBUG " in log
    assert b"integration_credential" in log, "the statements were meant to be logged"
    assert b"/callback?***" in log, "the answer of a page of consent was meant to be logged"
    assert_clean(run, log, "the log of the server")


def read_everything(session, model):
    """Yield what a user gets to see of a model, refusals included."""

    def ask(method, *arguments, **keywords):
        try:
            return session.call(model, method, *arguments, **keywords)
        except RpcError as error:
            return str(error)

    fields = ask("fields_get")
    yield fields
    if not isinstance(fields, dict):
        return
    everybody = {"context": {"active_test": False}}
    yield ask("get_views", [(False, "form"), (False, "list")])
    yield ask("default_get", list(fields))
    ids = ask("search", [], limit=MANY, **everybody)
    if not isinstance(ids, list) or not ids:
        yield ids
        return
    for method in ("read", "export_data"):
        answer = ask(method, ids, list(fields))
        # one field that is refused hides what the others would show
        yield (
            answer if not isinstance(answer, str) else [ask(method, ids, [name]) for name in fields]
        )
    yield ask("web_read", ids, {name: {} for name in fields})
    yield ask("name_search", "", limit=MANY)
    for name, field in fields.items():
        if field.get("groupable"):
            yield ask("formatted_read_group", [], [name], ["__count"])
        if (field.get("relation") or "").startswith("integration."):
            yield ask("web_read", ids[:20], {name: {"fields": {"display_name": {}, "value": {}}}})
    # fields that fields_get hides are asked for by those who know of them
    for name in ("ciphertext", "previous_ciphertext", "value", "webhook_token"):
        yield ask("search_read", [], [name], limit=MANY)
        yield ask("export_data", ids, [name])
        yield ask("formatted_read_group", [], [name], ["__count"])
