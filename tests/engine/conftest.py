"""A database of its own whose transactions are real: for what one test transaction cannot show."""

import itertools
import os
import threading
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from cryptography.fernet import Fernet
from runtime import database

import odoo.tools
from odoo import SUPERUSER_ID, api
from odoo.modules.registry import Registry

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def common():
    """The module with the fake connector: addons cannot be imported before Odoo is set up."""
    from odoo.addons.integration_base.tests import auth_service, common, test_exporter

    common.auth_service = auth_service
    common.shelf = test_exporter.shelf
    common.FakeShelf = test_exporter.FakeShelf
    return common


class Engine:
    """The engine on a real database, with the fake service of the unit tests behind it.

    Every method works in transactions of its own, so they may be called from several threads.
    """

    def __init__(self, registry, service, shelf):
        self.registry = registry
        self.service = service
        self.shelf = shelf
        with self.env() as env:
            backend = env["integration.backend"].create(
                {"name": "Fake", "connector": "fake", "base_url": "https://service.example.com"}
            )
            backend.credential_ids.value = "s3cr3t-canary"
            backend.state = "active"
            backend.flow_ids.interval_minutes = 0
            self.backend_id = backend.id
            self.flow_id = backend.flow_ids.filtered(lambda f: f.resource == "contact").id
            self.shelf_flow_id = backend.flow_ids.filtered(
                lambda f: f.resource == "shelf" and f.direction == "out"
            ).id

    @contextmanager
    def env(self):
        """Open a transaction; it is committed at the end, or rolled back on an error."""
        with self.registry.cursor() as cr:
            yield api.Environment(cr, SUPERUSER_ID, {})

    def sql(self, query, *parameters):
        """Run one statement and return its rows."""
        with self.env() as env:
            env.cr.execute(query, parameters)
            return env.cr.fetchall() if env.cr.description else []

    def reset(self):
        """Forget the service and what came from it."""
        self.service.__init__()
        self.shelf.__init__()
        with self.env() as env:
            env["res.partner"].search([("ref", "=like", "c%")]).unlink()
            env["res.partner.category"].search([("name", "=like", "S%")]).unlink()
            env.flush_all()
            env.cr.execute(
                "DELETE FROM integration_sync_log; DELETE FROM integration_binding;"
                "DELETE FROM integration_webhook_event; DELETE FROM integration_incident;"
                "DELETE FROM integration_intent; DELETE FROM integration_breaker;"
                "DELETE FROM integration_rate_bucket;"
                "UPDATE integration_flow SET enabled = TRUE, cursor_at = NULL, cursor_page = NULL,"
                " blocked_until = NULL, heavy_from = NULL, slots = 1, batch_size = 50;"
                "UPDATE integration_backend SET state = 'active', pause_reason = NULL"
            )

    def append(self, *external_ids, updated_at=None, trigger="webhook"):
        """Append one operation per id and commit."""
        from odoo.addons.integration_base.lib.records import Change

        with self.env() as env:
            flow = env["integration.flow"].browse(self.flow_id)
            changes = [Change(external_id, updated_at) for external_id in external_ids]
            return env["integration.sync.log"]._append(flow, changes, trigger).ids

    def drain(self, flow_id=None):
        """Run a drain of a flow, as its job would; by default that of contacts."""
        with self.env() as env:
            return env["integration.engine"]._drain(flow_id or self.flow_id)

    def sweep(self):
        """Let the watchdog do its round."""
        with self.env() as env:
            env["integration.watchdog"]._sweep()

    def make_due(self):
        """Let the time pass that anything waits for."""
        self.sql(
            "UPDATE integration_sync_log SET next_attempt_at = create_date WHERE state = 'pending'"
        )
        self.sql("UPDATE integration_flow SET blocked_until = NULL, heavy_from = NULL")
        self.sql("UPDATE integration_breaker SET open_until = now() - interval '1 hour'")
        self.sql("UPDATE integration_intent SET started_at = started_at - interval '1 hour'")

    def states(self):
        """Return ``{key: [states of its operations, oldest first]}``."""
        states = {}
        for key, state in self.sql("SELECT key, state FROM integration_sync_log ORDER BY id"):
            states.setdefault(key, []).append(state)
        return states

    def partners(self):
        """Return ``{external id: [names]}`` of the partners that came from the service."""
        names = {}
        for ref, name in self.sql("SELECT ref, name FROM res_partner WHERE ref LIKE 'c%%'"):
            names.setdefault(ref, []).append(name)
        return names

    def together(self, *works):
        """Run functions in threads that start at the same moment; returns their results.

        :raises Exception: the first that one of them raised.
        """
        barrier, results, errors = threading.Barrier(len(works)), [None] * len(works), []

        def run(position, work):
            try:
                barrier.wait(120)
                results[position] = work()
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=run, args=pair) for pair in enumerate(works)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
            assert not thread.is_alive(), "a thread hangs"
        if errors:
            raise errors[0]
        return results


class _Cleanups:
    """What ``add_fake_connector`` needs of a test class."""

    def __init__(self, registry, env):
        self.registry, self.env, self.cleanups = registry, env, []

    def addClassCleanup(self, function):
        self.cleanups.append(function)


@pytest.fixture(scope="module")
def engine(project, common):
    """The engine on a copy of the template database that ends with the module."""
    name = f"{os.environ['INTEGRATION_TEST_DATABASE']}-engine-{os.getpid()}-{next(_numbers)}"
    database.copy(project, os.environ["INTEGRATION_TEMPLATE"], name)
    key = {common.integration_credential.KEY_VARIABLE: Fernet.generate_key().decode()}
    # several connections for each of some threads; no tests of modules while they are loaded
    settings = {"db_maxconn": 64, "test_enable": False}
    options = patch.dict(odoo.tools.config.options, settings)
    try:
        with patch.dict("os.environ", key), options:
            registry = Registry(name)
            with registry.cursor() as cr:
                known = _Cleanups(registry, api.Environment(cr, SUPERUSER_ID, {}))
                common.add_fake_connector(known)
                common.add_fake_models(known, common.FakeShelf)
                door = common.auth_service
                common.add_fake_models(known, door.DoorConnector, door.DoorThing)
            yield Engine(registry, common.service, common.shelf)
            for cleanup in known.cleanups:
                cleanup()
    finally:
        Registry.delete(name)
        odoo.sql_db.close_db(name)
        database.drop(project, name)


@pytest.fixture(autouse=True)
def fresh(engine):
    """Let each test begin with an empty service."""
    engine.reset()
