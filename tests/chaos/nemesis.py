"""Breaks things at the planned times."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from runtime import postgres
from runtime.console import EnvironmentProblem

from .history import FAILED, OK, History
from .plan import Plan


class Nemesis(threading.Thread):
    """One trouble after the other; also makes sure that everything runs again."""

    def __init__(self, odoo: Any, service: Any, plan: Plan, history: History):
        super().__init__(name="nemesis", daemon=True)
        self.odoo = odoo
        self.service = service
        self.troubles = plan.troubles
        self.duration = plan.duration
        self.history = history
        self.random = random.Random(f"{plan.seed}-nemesis")
        self.error: BaseException | None = None
        self.caretaker = Caretaker(odoo, history)

    def run(self) -> None:
        started = time.monotonic()
        self.caretaker.start()
        try:
            for trouble in self.troubles:
                time.sleep(max(0, started + trouble.at * self.duration - time.monotonic()))
                details = getattr(self, trouble.action)(**trouble.arguments)
                self.history.add(self.name, trouble.action, OK, details=details)
        except BaseException as error:
            self.error = error
            raise

    # === TROUBLES === #

    def kill_worker(self) -> str:
        """SIGKILL the HTTP worker that works most, in the middle of operations if there are any."""
        workers = self._workers()
        end = time.monotonic() + 5
        while time.monotonic() < end and not self._running():
            time.sleep(0.02)
        before = {pid: _cpu(pid) for pid in workers}
        time.sleep(0.1)
        pid = max(workers, key=lambda pid: (_cpu(pid) - before[pid], self.random.random()))
        running = self._running()
        os.kill(pid, signal.SIGKILL)
        return f"process {pid}, {running} operations were running"

    def kill_server(self) -> str:
        """SIGKILL Odoo with all its processes; the caretaker starts it again."""
        running = self._running()
        with self.caretaker.lock:
            self.odoo.kill()
        return f"{running} operations were running"

    def restart_database(self) -> str:
        """Restart PostgreSQL; of a server that is not ours only the connections end."""
        server = self.odoo.project.server
        if not server.embedded:
            return self.end_connections()
        running = self._running()
        cluster = postgres.Cluster.installed(self.odoo.project.python)
        cluster.stop()
        cluster.start()
        return f"{running} operations were running"

    def end_connections(self) -> str:
        """Cut every connection to the database, as a restart does."""
        (row,) = self.odoo.sql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return f"{row[0]} connections"

    def outage(self, seconds: float) -> str:
        """The service answers nothing for some time, one way or another."""
        kind = self.random.choice(("reset_before", "server_error", "html"))
        self.service.outage(seconds, kind)
        return f"{kind} for {seconds} s"

    def step_clock(self, seconds: float) -> str:
        """The service's clock jumps forward."""
        config = self.service.get("config")
        self.service.configure(clockSkew=config["clockSkew"] + seconds)
        return f"by {seconds} s"

    def _workers(self) -> list[int]:
        """The HTTP workers; they may have to be started first."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with self.caretaker.lock:
                children = self.odoo.workers() if self.odoo.process else ()
                found = [pid for pid in children if "WorkerHTTP" in _command(pid)]
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError("Odoo has no HTTP worker")

    def _running(self) -> int:
        (row,) = self.odoo.sql("SELECT count(*) FROM integration_sync_log WHERE state = 'running'")
        return row[0]


class Caretaker(threading.Thread):
    """Starts Odoo again when it has ended, as the service manager of a machine does.

    The main process of Odoo gives up when it wants to fork while the database is away. Nobody else
    starts Odoo during a run: it ends with the thread that has started it.
    """

    def __init__(self, odoo: Any, history: History):
        super().__init__(name="caretaker", daemon=True)
        self.odoo = odoo
        self.history = history
        #: held by whoever stops or starts Odoo
        self.lock = threading.Lock()
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.5):
            with self.lock:
                process = self.odoo.process
                if self.stopped.is_set() or (process and process.poll() is None):
                    continue
                self.odoo.kill()
                self._start()

    def _start(self) -> None:
        while not self.stopped.is_set():
            try:
                self.odoo.start()
            except EnvironmentProblem as problem:  # the database may not be back yet
                self.history.add(self.name, "start", FAILED, error=str(problem)[:300])
                self.odoo.kill()
                time.sleep(1)
            else:
                self.history.add(self.name, "start", OK)
                return


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def _cpu(pid: int) -> int:
    """Clock ticks a process has worked."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    return 0
