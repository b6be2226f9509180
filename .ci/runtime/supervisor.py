"""`./run up`, `stop` and `reset`: the running system of this checkout.

One process, the supervisor, starts everything, watches it and stops it again. `--detach` is the
same process in the background. The lock on `.run/up.lock` says whether it lives, `.run/up.json`
says where.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import IO

from . import database, demo, paths, postgres, schema, server
from .console import EnvironmentProblem, run, say, step
from .project import Project
from .usage import Usage

DATABASE = "integration"
PORT = 8069
LOG = paths.LOGS / "odoo.log"
SIMULATOR_LOG = paths.LOGS / "simulator.log"
UP_LOG = paths.LOGS / "up.log"
CONFIG = paths.STATE / "odoo.conf"
STATUS = paths.STATE / "up.json"
# Odoo's database outlives a stop, so the shop it knows has to as well.
SHOP_STATE = paths.STATE / "shop.state"


def status() -> dict | None:
    """What the supervisor wrote about itself, or None when nothing runs."""
    lock = _lock()
    if lock:
        lock.close()
        return None
    return _written()


def _written() -> dict:
    try:
        return json.loads(STATUS.read_text())
    except (OSError, ValueError):  # not there yet, or half written
        return {}


def _lock(patience: float = 0) -> IO | None:
    """The supervisor's lock, or None when another process has it for longer than `patience`."""
    paths.STATE.mkdir(parents=True, exist_ok=True)
    file = (paths.STATE / "up.lock").open("w")
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                file.close()
                return None
            time.sleep(0.02)
        else:
            return file


def up(project: Project, port: int) -> int:
    """Start everything and stay until Ctrl-C or `./run stop`.

    :raises EnvironmentProblem: the port is taken, or something does not start or ends by itself.
    """
    lock = _lock(patience=0.5)  # `status` in another process has it for a moment
    if lock is None:
        running = status() or {}
        say(running.get("summary") or "It is starting already: `./run logs` shows how far it is.")
        return 0
    STATUS.write_text(json.dumps({"pid": os.getpid()}))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    services: list[server.Service] = []
    try:
        if not server.is_free(port):
            raise EnvironmentProblem(
                f"Port {port} is taken by another program: choose another one with `./run up "
                f"--port {port + 10}`."
            )
        _prepare_database(project)
        odoo = server.OdooServer(project, DATABASE, port=port, config=CONFIG, log=LOG)
        try:
            os.environ[schema.VARIABLE] = str(schema.ensure(project))
        except EnvironmentProblem as problem:
            say(f"The simulator judges by the part of the schema that lies with it. {problem}")
        shop_port = server.free_port(odoo.gevent_port + 1)
        shop = server.simulator(project, shop_port, SIMULATOR_LOG, SHOP_STATE)
        for service in (odoo, shop):
            services.append(service)
            with step(f"Starting {service.name}"):
                service.start()
        with step("Opening the login page"):
            urllib.request.urlopen(f"{odoo.url}/web/login", timeout=120).read()
        with step("Connecting the demo backend"):
            summary = demo.connect(odoo.url, DATABASE, f"http://{server.HOST}:{shop_port}")
        say(summary)
        STATUS.write_text(json.dumps({"pid": os.getpid(), "summary": summary}))
        _watch(services)
    except KeyboardInterrupt:
        say("")
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        if services:
            with step("Stopping Odoo and the simulator"):
                for service in services:
                    service.ask_to_stop()
                for service in services:
                    service.stop()
        project.close()
        STATUS.unlink(missing_ok=True)
        lock.close()
    return 0


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _watch(services: list[server.Service]) -> None:
    while True:
        for service in services:
            if service.process.poll() is not None:
                raise EnvironmentProblem(
                    f"{service.title} ended by itself ({service.process.returncode}); "
                    f"its log is {service.log}:\n{service.tail()}"
                )
        time.sleep(1)


def _prepare_database(project: Project) -> None:
    """Create the database from the template, or bring it up to the addons as they are now.

    The name of the template it was made from or updated to stands in the database's comment.
    """
    template = database.template(project)
    postgresql = project.server
    if DATABASE not in postgresql.databases():
        with step("Copying the template database"):
            database.copy(project, template, DATABASE)
    else:
        made_from = postgresql.psql(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database "
            f"WHERE datname = '{DATABASE}'"
        )
        if made_from != template:
            names = ",".join(addon.name for addon in paths.addons())
            config = project.write_config(paths.STATE / "install.conf", workers=0)
            with step(f"Updating the database {DATABASE} to the changed addons"):
                run(
                    project.odoo_command(
                        config, "-d", DATABASE, "-u", names, "-i", names, "--stop-after-init",
                        "--no-http",
                    ),
                    "The database cannot be updated; `./run reset` starts with a new one.",
                    env=project.environment(),
                    cwd=paths.ROOT,
                    log=paths.LOGS / "update.log",
                )  # fmt: skip
    postgresql.psql(f"COMMENT ON DATABASE \"{DATABASE}\" IS '{template}'")


def detach(project: Project, port: int) -> int:
    """Start the supervisor in the background and return when everything answers."""
    if status() is not None:
        return up(project, port)
    UP_LOG.parent.mkdir(parents=True, exist_ok=True)
    STATUS.unlink(missing_ok=True)
    command = [sys.executable, str(paths.ROOT / "run"), "up", "--port", str(port)]
    # not as an argument: other users of the machine see those
    given = postgres.from_url(project.database_url) if project.database_url else {}
    with UP_LOG.open("w") as log:
        child = subprocess.Popen(
            command,
            env={**os.environ, **given},
            cwd=paths.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with UP_LOG.open() as output:
            while True:
                ended, ready = child.poll() is not None, "summary" in _written()
                print(output.read(), end="", flush=True)
                if ended:
                    return child.returncode
                if ready:
                    say("It goes on in the background: `./run logs -f`, `./run stop`.")
                    return 0
                time.sleep(0.2)
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
        raise


def stop() -> int:
    """Stop what `up` started, and the embedded PostgreSQL."""
    running = status()
    if running is None:
        say("Nothing is running.")
        return 0
    pid = running.get("pid")
    if pid is None:
        raise EnvironmentProblem("It is just starting or ending: try again in a moment.")
    with step("Stopping"):
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + 90
        while status() is not None:
            if time.monotonic() > end:
                raise EnvironmentProblem(f"It does not stop: end process {pid} by hand.")
            time.sleep(0.1)
    return 0


def reset(project: Project) -> int:
    """Stop everything, delete databases, files and logs of this checkout; the cache stays."""
    if status() is not None:
        stop()
    usage = Usage()
    usage.begin()
    if not usage.is_last():
        raise EnvironmentProblem(
            "Another `./run` command is at work in this checkout: end it first, or wait for it."
        )
    usage.end()
    given = project.database_url or any(os.environ.get(name) for name in ("PGHOST", "PGSERVICE"))
    if given:
        ours = (DATABASE, *(name for name in project.server.databases() if database.is_ours(name)))
        project.server.drop(*ours)
        project.close()
    with step("Deleting the databases, files and logs of this checkout"):
        postgres.Cluster().remove()
        shutil.rmtree(paths.STATE)
    return 0


def logs(follow: bool) -> int:
    """Show the end of the logs; `follow` keeps showing what comes."""
    files: list[Path] = [file for file in (UP_LOG, LOG, SIMULATOR_LOG) if file.exists()]
    if not files:
        raise EnvironmentProblem("There are no logs yet: start with `./run up`.")
    sys.stdout.flush()
    os.execvp("tail", ["tail", "-n", "100", *(["-F"] if follow else []), *map(str, files)])


def shell(project: Project, arguments: list[str]) -> list[str]:
    """Command line of Odoo's shell on the database of `./run up`."""
    if DATABASE not in project.server.databases():
        raise EnvironmentProblem("There is no database yet: start once with `./run up`.")
    config = project.write_config(paths.STATE / "shell.conf", db_name=DATABASE, workers=0)
    return project.odoo_command(config, "shell", "--no-http", *arguments)
