"""`./run test`: every test through pytest-odoo, on a copy of the template database."""

from __future__ import annotations

import os
from pathlib import Path

from . import browser, database, paths, schema
from .console import EnvironmentProblem, call, say, step
from .project import Project

PREFIX = "integration-test-"
WORKERS = 2
# The longest single test (a whole shop with kills and restarts) took 4 minutes on two slow cores.
TIMEOUT = 900


def run_tests(project: Project, arguments: list[str]) -> int:
    """Run pytest and return its exit code.

    :param arguments: paths and options for pytest; all tests when no path is among them.
    """
    in_ci = bool(os.environ.get("CI"))
    environment = project.environment()
    environment["INTEGRATION_TEMPLATE"] = template = database.template(project)
    try:
        environment[schema.VARIABLE] = str(schema.ensure())
    except EnvironmentProblem as problem:
        if in_ci:
            raise
        say(f"Tests against Shopify's schema are skipped. {problem}")
    chromium = browser.find(required=in_ci)
    if chromium:
        environment["PATH"] = f"{chromium.parent}{os.pathsep}{environment['PATH']}"
    _remove_leftovers(project)
    name = f"{PREFIX}{os.getpid()}"
    config = project.write_config(
        paths.STATE / f"{name}.conf",
        db_name=name,
        max_cron_threads=0,
        workers=0,
        log_level="critical",
    )
    with step("Copying the template database"):
        database.copy(project, template, name)
    environment["INTEGRATION_TEST_DATABASE"] = name
    environment["PYTHONPATH"] = str(paths.RUNTIME.parent)
    command = [
        str(project.python), "-m", "pytest", "-p", "runtime.pytest_plugin", f"--odoo-config={config}", f"--odoo-database={name}", "--odoo-http",
        f"--timeout={TIMEOUT}", *_parallel(arguments), *arguments,
    ]  # fmt: skip
    if not _paths(arguments):
        command += [str(addon.relative_to(paths.ROOT)) for addon in paths.addons()]
        command += [name for name in ("tests",) if (paths.ROOT / name).is_dir()]
    try:
        return call(command, environment, cwd=paths.ROOT)
    finally:
        config.unlink()
        database.drop(
            project, *(other for other in project.server.databases() if other.startswith(name))
        )


def _remove_leftovers(project: Project) -> None:
    """Drop the databases of runs that were killed."""
    for name in project.server.databases():
        owner = name.removeprefix(PREFIX).split("-")[0]
        if name.startswith(PREFIX) and not Path(f"/proc/{owner}").exists():
            database.drop(project, name)
            (paths.STATE / f"{PREFIX}{owner}.conf").unlink(missing_ok=True)


def _paths(arguments: list[str]) -> list[str]:
    """Arguments that name tests; the value of an option such as `-k name` is none, unless a file is called so."""
    return [
        item
        for item in arguments
        if not item.startswith("-") and (paths.ROOT / item.split("::")[0]).exists()
    ]


def _parallel(arguments: list[str]) -> list[str]:
    """Options that spread a large run over workers; a selected test or a debugger runs in one process."""
    mine = any(
        item.startswith(("-n", "-p", "--numprocesses", "--pdb", "-s", "--dist"))
        for item in arguments
    )
    if mine or _paths(arguments):
        return []
    return ["-n", str(WORKERS), "--dist=loadgroup"]
