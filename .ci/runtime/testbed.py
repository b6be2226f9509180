"""Real servers for end-to-end tests: own database, workers, job runner, means to break them."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any

from . import database, paths, server
from .project import Project
from .rpc import Session

_numbers = itertools.count(1)


def _name(suffix: str) -> str:
    """A name that begins with the run's own, so that it is tidied up with the run."""
    return f"{os.environ['INTEGRATION_TEST_DATABASE']}-{suffix}"


class InsideProject(Project):
    """The project seen from a test: Odoo, Python and PostgreSQL are there already."""

    @cached_property
    def python(self) -> Path:
        """The Python that runs the tests."""
        return Path(sys.executable)

    def odoo_command(self, config: Path, *arguments: str) -> list[str]:
        """Command line of an Odoo that serves no websockets."""
        program = Path(__file__).with_name("odoo_without_websockets.py")
        # -P: our own modules beside it have names that others might import
        return [str(self.python), "-P", str(program), *arguments, "-c", str(config)]


class TestServer(server.OdooServer):
    """An Odoo server of a test, on its own copy of the template database."""

    __test__ = False

    @classmethod
    def create(
        cls,
        project: Project,
        *,
        test_addons: bool = False,
        modules: Sequence[str] = (),
        **options: Any,
    ) -> TestServer:
        """Copy the template database and start Odoo on it.

        :param test_addons: with the addons of tests/addons installed, e.g. the connector generic.
        :param modules: of Odoo, installed besides those of the template.
        :param options: `workers`, `channels` and further settings of the configuration file.
        """
        name = _name(f"e2e-{os.getpid()}-{next(_numbers)}")
        template = os.environ["INTEGRATION_TEMPLATE"]
        if test_addons or modules:
            template = database.testbed_template(
                project, template, test_addons=test_addons, modules=modules
            )
        if test_addons:
            options["addons_path"] = project.addons_path(paths.ROOT, paths.TEST_ADDONS)
        database.copy(project, template, name)
        instance = cls(project, name, **options)
        try:
            instance.start()
        except BaseException:
            instance.remove()
            raise
        return instance

    def connect(self):
        """A psycopg2 connection in autocommit mode; the caller closes it."""
        import psycopg2

        connection = psycopg2.connect(dbname=self.database, **self._dsn())
        connection.autocommit = True
        return connection

    @staticmethod
    def _dsn() -> dict[str, str]:
        names = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGPASSWORD": "password"}
        return {
            name: os.environ[variable] for variable, name in names.items() if variable in os.environ
        }

    def sql(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple]:
        """Run one statement and return its rows (an empty list when it has none)."""
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []

    def session(self, login: str = "admin") -> Session:
        """Log in as a user whose password is the login."""
        return Session(self.url, self.database, login, login)

    def call(self, model: str, method: str, *arguments: Any, **keywords: Any) -> Any:
        """Call a public method as the administrator."""
        return self._session.call(model, method, *arguments, **keywords)

    @cached_property
    def _session(self) -> Session:
        return self.session()

    def kill_worker(self) -> int:
        """SIGKILL one HTTP worker; returns its process id. Odoo starts a new one by itself."""
        for pid in self.workers():
            name = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
            if b"WorkerHTTP" in name:
                os.kill(pid, signal.SIGKILL)
                return pid
        raise AssertionError("there is no HTTP worker to kill")

    def remove(self) -> None:
        """End the server and drop its database; its log stays in .run/logs.

        Not politely, which takes seconds: nobody needs what it is doing.
        """
        self.kill()
        self.config.unlink(missing_ok=True)
        database.drop(self.project, self.database)


def start_simulator(project: Project, name: str = "shopify") -> server.Service:
    """Start the simulator `tests.simulators.<name>` on a free port; its address is in `url`."""
    port = server.free_port()
    log = paths.LOGS / f"{_name(name)}-{port}.log"
    service = server.simulator(project, port, log, name=name)
    service.url = f"http://{server.HOST}:{port}"
    service.start()
    return service
