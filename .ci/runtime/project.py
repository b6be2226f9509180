"""What a command needs, built on first use: Odoo, virtual environment, PostgreSQL, settings."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from . import odoo_source, paths, postgres, venv
from .console import EnvironmentProblem
from .odoo_source import OdooSource
from .postgres import Postgres
from .usage import Usage, alone


@dataclass
class Project:
    """The checkout at work."""

    database_url: str | None = None
    _usage: Usage = field(default_factory=Usage)

    @cached_property
    def odoo(self) -> OdooSource:
        """The Odoo 19 in use."""
        paths.prepare()
        with alone(paths.cache() / "build.lock"):
            return odoo_source.find()

    @cached_property
    def python(self) -> Path:
        """Python of the virtual environment."""
        odoo = self.odoo
        with alone(paths.cache() / "build.lock"):
            python = venv.ensure(odoo)
        (paths.cache() / "ready").touch()
        return python

    @cached_property
    def server(self) -> Postgres:
        """A PostgreSQL that answers."""
        self._usage.begin()
        return postgres.connect(self.python, self.database_url)

    def close(self) -> None:
        """Stop the embedded PostgreSQL unless another command still uses it."""
        if "server" in self.__dict__:
            if self.server.embedded and self._usage.is_last():
                postgres.Cluster().stop()
            self._usage.end()
            del self.server

    def ensure_alone(self, purpose: str) -> None:
        """Refuse to go on while another command uses the embedded PostgreSQL.

        :raises EnvironmentProblem: one does.
        """
        if not self.server.embedded:
            return
        if not self._usage.is_last():
            raise EnvironmentProblem(
                f"{purpose} restarts the PostgreSQL of this checkout, which another command uses: "
                "stop that first (`./run stop`)."
            )
        self._usage.share()

    def environment(self, *, with_database: bool = True) -> dict[str, str]:
        """Environment of every process that runs Odoo or the tests.

        :param with_database: start PostgreSQL and put it in reach.
        """
        values = venv.environment(self.python)
        if not with_database:
            return values
        values["PATH"] = f"{self.server.binaries}:{values['PATH']}"
        return {**values, **self.server.variables}

    def odoo_command(self, config: Path, *arguments: str) -> list[str]:
        """Command line of Odoo."""
        return [str(self.python), str(self.python.with_name("odoo")), *arguments, "-c", str(config)]

    def addons_path(self, *ours: Path) -> str:
        """The option `addons_path`: our folders before Odoo's."""
        return ",".join(map(str, (*ours, *self.odoo.addons)))

    @staticmethod
    def encryption_key() -> str:
        """The Fernet key of this checkout's databases, made once."""
        file = paths.STATE / "encryption.key"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())
        return file.read_text()

    def write_config(self, path: Path, **options: str | int | bool) -> Path:
        """Write an Odoo configuration file, readable by its owner only.

        :param options: of section [options]; `channels` goes to [queue_job].
        """
        channels = options.pop("channels", None)
        reach = {
            "db_host": "PGHOST",
            "db_port": "PGPORT",
            "db_user": "PGUSER",
            "db_password": "PGPASSWORD",
        }
        values = {
            **{
                option: self.server.variables[name]
                for option, name in reach.items()
                if name in self.server.variables
            },
            "addons_path": self.addons_path(paths.ROOT),
            "data_dir": paths.STATE / "data",
            "http_interface": "127.0.0.1",
            "list_db": False,
            "server_wide_modules": "base,rpc,web,queue_job",
            **options,
        }
        lines = ["[options]", *(f"{name} = {value}" for name, value in values.items())]
        lines += ["", "[integration]", f"encryption_key = {self.encryption_key()}"]
        if channels:
            lines += ["", "[queue_job]", f"channels = {channels}"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text("\n".join(lines) + "\n")
        return path
