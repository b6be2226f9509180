"""The processes of a running system: Odoo with workers and job runner, the shop simulator."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from . import paths
from .console import EnvironmentProblem
from .project import Project

HOST = "127.0.0.1"
# root has one more place than its children need: the heartbeat of the engine must never wait for a
# drain.
CHANNELS = "root:3,root.integration:2"
WORKERS = 2
START_TIMEOUT = 180
STOP_TIMEOUT = 20
# Below those that the kernel gives to outgoing connections: one of them could have taken a port
# that was free a moment ago by the time the service listens.
PORTS = range(20000, 32000)
_PR_SET_PDEATHSIG = 1


def is_free(port: int) -> bool:
    """Whether nobody listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def free_port(first: int | None = None) -> int:
    """A free port: the next one from `first` on, or any."""
    if first is None:
        first = random.choice(PORTS)  # nosec B311
    return next(port for port in range(first, 65536) if is_free(port))


def _die_with_parent() -> None:
    """Let the kernel end this process when its parent is killed: nothing is left running."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Service:
    """One child process with its own process group and log file."""

    def __init__(
        self, name: str, command: list[str], environment: Mapping[str, str], log: Path, probe: str
    ):
        """:param probe: URL that answers 200 when the service is ready."""
        self.name = name
        self.command = command
        self.environment = dict(environment)
        self.log = log
        self.probe = probe
        self.process: subprocess.Popen | None = None
        self._asked = False

    @property
    def title(self) -> str:
        """The name at the beginning of a sentence."""
        return self.name[0].upper() + self.name[1:]

    @property
    def pid(self) -> int | None:
        """Process id of the main process."""
        return self.process.pid if self.process else None

    def start(self, timeout: float = START_TIMEOUT) -> None:
        """Start and wait until it answers.

        :raises EnvironmentProblem: it ended, or does not answer within `timeout` seconds.
        """
        self._asked = False
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=paths.ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self.wait_until_ready(timeout)

    def wait_until_ready(self, timeout: float = START_TIMEOUT) -> None:
        """Return when the probe answers 200."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise EnvironmentProblem(
                    f"{self.title} ended with {self.process.returncode} while it "
                    f"started:\n{self.tail()}"
                )
            try:
                with urllib.request.urlopen(self.probe, timeout=30) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.1)
        raise EnvironmentProblem(
            f"{self.title} does not answer on {self.probe} after {timeout:.0f} s:\n{self.tail()}"
        )

    def ask_to_stop(self) -> None:
        """Tell it to end, without waiting. Only once: Odoo takes a second time as impatience."""
        if self.process is not None and not self._asked:
            self._asked = True
            self.process.terminate()

    def stop(self) -> None:
        """End it politely, then whatever is left of its process group."""
        if self.process is None:
            return
        self.ask_to_stop()
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._kill_group()
        self.process = None

    def kill(self) -> None:
        """End it and all its children at once, as a crash would (SIGKILL)."""
        if self.process is not None:
            self._kill_group()
            self.process.wait()
            self.process = None

    def _kill_group(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])


class OdooServer(Service):
    """Odoo on one database, with HTTP workers and the runner of queue_job."""

    def __init__(
        self,
        project: Project,
        database: str,
        *,
        port: int | None = None,
        workers: int = WORKERS,
        channels: str = CHANNELS,
        config: Path | None = None,
        log: Path | None = None,
        **options: str | int | bool,
    ):
        """:param options: further settings of the configuration file."""
        self.project = project
        self.database = database
        self.port = port or free_port()
        self.gevent_port = free_port(self.port + 1)
        self.url = f"http://{HOST}:{self.port}"
        self.config = project.write_config(
            config or paths.STATE / f"{database}.conf",
            db_name=database,
            dbfilter=f"^{database}$",
            http_port=self.port,
            gevent_port=self.gevent_port,
            workers=workers,
            channels=channels,
            max_cron_threads=1,
            proxy_mode=False,
            **options,
        )
        super().__init__(
            "Odoo",
            project.odoo_command(self.config),
            project.environment(),
            log or paths.LOGS / f"{database}.log",
            f"{self.url}/web/health",
        )

    def workers(self) -> list[int]:
        """Process ids of the main process's children: HTTP and cron workers, job runner."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def restart(self) -> None:
        """Stop politely and start again."""
        self.stop()
        self.start()


def simulator(
    project: Project, port: int, log: Path, state: Path | None = None, name: str = "shopify"
) -> Service:
    """A simulated service, `python -m tests.simulators.<name>`.

    The shop judges requests by Shopify's published schema where `SHOPIFY_SCHEMA_DIR` names it.
    """
    return Service(
        "the shop simulator" if name == "shopify" else f"the {name} simulator",
        [
            *(str(project.python), "-m", f"tests.simulators.{name}", "--port", str(port)),
            *(("--state", str(state)) if state else ()),
        ],
        project.environment(),
        log,
        f"http://{HOST}:{port}/control/health",
    )
