"""A running Odoo server on a database of its own, which this process has open as well."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from runtime.testbed import InsideProject, TestServer

from .server_log import ServerLog

RUNJOB = "/queue_job/runjob"


@dataclass(frozen=True)
class JobCost:
    """What the server did in the jobs of a run."""

    jobs: int
    queries: int


class Stack:
    """Odoo with workers and job runner; `environment()` works on its database from here."""

    def __init__(self, project: InsideProject, **options: Any):
        """:param options: `workers`, `channels` and settings of Odoo's configuration file."""
        self.server = TestServer.create(project, test_addons=True, **options)
        self.log = ServerLog(self.server.log)
        self._registry = None
        # Odoo's own scheduled work, all of it due on a new database, would be measured too
        self.server.sql(
            "UPDATE ir_cron SET active = FALSE WHERE id NOT IN"
            " (SELECT res_id FROM ir_model_data WHERE model = 'ir.cron' AND module LIKE %s)",
            ["integration%"],
        )

    @contextmanager
    def environment(self) -> Iterator[Any]:
        """An environment of the superuser on a cursor of its own; commits at the end."""
        from psycopg2.extensions import ISOLATION_LEVEL_READ_COMMITTED

        from odoo import SUPERUSER_ID, api

        with self.registry.cursor() as cr:
            # the heartbeat of the server may write the same flow just then
            cr.connection.set_isolation_level(ISOLATION_LEVEL_READ_COMMITTED)
            yield api.Environment(cr, SUPERUSER_ID, {})

    @property
    def registry(self) -> Any:
        """The registry of the server's database in this process."""
        if self._registry is None:
            from odoo.modules.registry import Registry
            from odoo.tools import config

            config.parse_config(["-c", str(self.server.config), "--log-level=warn"])
            self._registry = Registry(self.server.database)
        return self._registry

    def now(self) -> float:
        """The clock of the database, in seconds: the clock that rows are stamped with."""
        return float(self.server.sql("SELECT extract(epoch FROM clock_timestamp())")[0][0])

    def settle(self, timeout: float = 120) -> None:
        """Wait until no job is open but the heartbeat."""
        self.wait(
            "no job is open",
            lambda: (
                not self.server.sql(
                    "SELECT 1 FROM queue_job WHERE state IN ('pending', 'enqueued', 'started')"
                    " AND method_name <> '_job_heartbeat' LIMIT 1"
                )
            ),
            timeout,
        )

    def job_cost(self, since: int, method: str) -> JobCost:
        """What the jobs of a method have cost the server since a position of its log.

        :param method: name of the method that the jobs call; they have to be done.
        """
        done = self.server.sql(
            "SELECT uuid FROM queue_job WHERE method_name = %s AND state = 'done'", [method]
        )
        wanted = {row[0] for row in done}
        requests = [
            request
            for request in self.log.requests(since, RUNJOB)
            if parse_qs(urlsplit(request.path).query).get("job_uuid", [""])[0] in wanted
        ]
        return JobCost(len(requests), sum(request.queries for request in requests))

    def wait(self, what: str, condition: Callable[[], Any], timeout: float = 300) -> Any:
        """Wait until a condition is true and return its value.

        :raises TimeoutError: it is not within `timeout` seconds.
        """
        end = time.monotonic() + timeout
        while not (value := condition()):
            if time.monotonic() > end:
                raise TimeoutError(f"not within {timeout:.0f} s: {what} (see {self.log.file})")
            time.sleep(0.1)
        return value

    def remove(self) -> None:
        """Stop the server and drop its database."""
        if self._registry is not None:
            import odoo.sql_db
            from odoo.modules.registry import Registry

            Registry.delete(self.server.database)
            odoo.sql_db.close_db(self.server.database)
        self.server.remove()
