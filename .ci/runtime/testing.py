"""`./run test`: every test through pytest-odoo, on a copy of the template database."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from . import browser, core_tests, database, paths, schema
from .console import EnvironmentProblem, call, say, step
from .project import Project

PREFIX = "integration-test-"
WORKERS = 2
# The longest single test (a whole shop with kills and restarts) took 4 minutes on two slow cores.
TIMEOUT = 900
TESTS_FAILED = 1  # pytest's exit code
# What a test has written its open transaction alone can see. Autovacuum finds pages without a row
# and notes that; then the planner reads such a table again and again, for seconds a query.
NO_AUTOVACUUM = """
DO $$ DECLARE t text; BEGIN
    FOR t IN SELECT oid::regclass FROM pg_class
              WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
    LOOP EXECUTE 'ALTER TABLE ' || t || ' SET (autovacuum_enabled = off)'; END LOOP;
END $$
"""
# Where simulated shops of a run write down what they are asked (tests/contract).
CONTRACT = "SHOPIFY_CONTRACT_DIR"


def run_tests(project: Project, arguments: list[str], *, long: bool = False) -> int:
    """Run pytest over our tests and return its exit code.

    :param arguments: paths and options for pytest; without a path, all tests that are quick.
    :param long: those marked `long`, and no others.
    """
    environment = _prepare(project)
    environment["INTEGRATION_TEMPLATE"] = database.template(project)
    targets: list[str] = []
    if not _paths(arguments):
        targets = [str(addon.relative_to(paths.ROOT)) for addon in paths.addons()]
        targets += [name for name in ("tests",) if (paths.ROOT / name).is_dir()]
    if long or targets:  # before what the person says, which comes last and wins
        arguments = ["-m", "long" if long else "not long", *arguments]
    return _pytest(project, environment, [*arguments, *targets], parallel=bool(targets))


def run_core_tests(project: Project, arguments: list[str], *, baseline: bool) -> int:
    """Run the own tests of the Odoo modules we build on, and of queue_job.

    :param baseline: on a database without our addons, to know how green they are by themselves.
    """
    environment = _prepare(project)
    source = database.base_template if baseline else database.template
    environment["INTEGRATION_TEMPLATE"] = source(project)
    results = paths.STATE / f"core-tests-{os.getpid()}.json"
    environment[core_tests.VARIABLE] = str(results)
    targets = [str(folder) for folder in core_tests.folders(project)]
    try:
        code = _pytest(
            project, environment, [*arguments, *targets], parallel=True, second_chance=True
        )
        if not any(item.startswith(("-k", "--co")) for item in arguments):
            fewer = core_tests.missing(project.odoo.version, results)
            for module, (count, expected) in fewer.items():
                say(f"{module}: {count} tests passed, {expected} without our addons.")
            code = code or int(bool(fewer))
    finally:
        results.unlink(missing_ok=True)
    return code


def run_program(project: Project, module: str, arguments: list[str]) -> int:
    """Run a module that starts servers of its own, as the tests do; returns its exit code.

    :param module: run as `python -m module`; what it prints is the output, progress goes to stderr.
    """
    with redirect_stdout(sys.stderr):
        environment = _prepare(project)
        environment["INTEGRATION_TEMPLATE"] = database.template(project)
    _remove_leftovers(project)
    name = f"{PREFIX}{os.getpid()}"
    environment["INTEGRATION_TEST_DATABASE"] = name
    environment["PYTHONPATH"] = str(paths.RUNTIME.parent)
    try:
        with _judged_requests(project, environment, name) as judge:
            code = call([project.python, "-m", module, *arguments], environment, cwd=paths.ROOT)
            return code or judge()
    finally:
        _drop_all(project, name)


@contextmanager
def _judged_requests(
    project: Project, environment: dict[str, str], name: str
) -> Iterator[Callable[[], int]]:
    """Have the simulated shops of a run write down what they are asked.

    Yields a function to be called at the end: it judges the requests by every version of Shopify's
    schema we know, and returns an exit code.
    """
    folder = paths.STATE / f"{name}-contract"
    folder.mkdir(parents=True)
    environment[CONTRACT] = str(folder)

    def judge() -> int:
        # on stderr: the output of a program may be data
        output = sys.stderr.fileno()
        command = [str(project.python), "-m", "tests.contract", str(folder)]
        return subprocess.call(command, env=environment, cwd=paths.ROOT, stdout=output)

    try:
        yield judge
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _prepare(project: Project) -> dict[str, str]:
    """Environment of the tests, with Shopify's schema and chromium in reach where possible.

    :raises EnvironmentProblem: one of them is missing in CI, where nothing may be skipped.
    """
    in_ci = bool(os.environ.get("CI"))
    environment = project.environment()
    try:
        environment[schema.VARIABLE] = str(schema.ensure(project))
    except EnvironmentProblem as problem:
        if in_ci:
            raise
        say(f"Tests against Shopify's schema are skipped. {problem}")
    chromium = browser.find(required=in_ci)
    if chromium:
        environment["PATH"] = f"{environment['PATH']}{os.pathsep}{chromium.parent}"
    return environment


def _pytest(
    project: Project,
    environment: dict[str, str],
    arguments: list[str],
    *,
    parallel: bool,
    second_chance: bool = False,
) -> int:
    """Run pytest on a copy of the template database.

    :param second_chance: run failed tests once more, alone, as Odoo's own runner does.
    """
    _remove_leftovers(project)
    name = f"{PREFIX}{os.getpid()}"
    cache = paths.STATE / f"{name}-cache"
    config = project.write_config(
        paths.STATE / f"{name}.conf",
        db_name=name,
        max_cron_threads=0,
        workers=0,
        channels="root:0",  # else the job runner works beside the tests, in their own process
    )
    with step("Copying the template database"):
        database.copy(project, environment["INTEGRATION_TEMPLATE"], name)
        project.server.psql(NO_AUTOVACUUM, name)
    environment["INTEGRATION_TEST_DATABASE"] = name
    environment["PYTHONPATH"] = str(paths.RUNTIME.parent)
    command = [str(project.python), "-m", "pytest", "-p", "runtime.pytest_plugin"]
    command += [f"--odoo-config={config}", f"--odoo-database={name}", "--odoo-http"]
    # pytest-odoo's own default, critical, would hide from tests what the code logs
    command += ["--odoo-log-level=warn"]
    command += [f"--timeout={TIMEOUT}", f"--rootdir={paths.ROOT}", "-c", "pyproject.toml"]
    if second_chance:  # another run at the same time has other failed tests
        command += ["-o", f"cache_dir={cache}"]
    distribution = []
    if parallel and not _is_interactive(arguments):
        distribution = ["-n", str(WORKERS), "--dist=loadscope", "--no-loadscope-reorder"]
    try:
        with _judged_requests(project, environment, name) as judge:
            code = call([*command, *distribution, *arguments], environment, cwd=paths.ROOT)
            if code == TESTS_FAILED and second_chance:
                say("The failed tests once more, alone:")
                again = ["--last-failed", "--last-failed-no-failures=none"]
                code = call([*command, *again, *arguments], environment, cwd=paths.ROOT)
            return code or judge()
    finally:
        config.unlink()
        shutil.rmtree(cache, ignore_errors=True)
        _drop_all(project, name)


def _drop_all(project: Project, name: str) -> None:
    """Delete the databases of a run: that one, and those whose names begin with it."""
    mine = (other for other in project.server.databases() if other.startswith(name))
    database.drop(project, *mine)


def _remove_leftovers(project: Project) -> None:
    """Delete the databases of runs that were killed, and the logs of all that have ended."""

    def ended(name: str) -> bool:
        owner = re.match(rf"{PREFIX}(\d+)", name)
        return bool(owner) and not Path(f"/proc/{owner[1]}").exists()

    database.drop(project, *filter(ended, project.server.databases()))
    for folder in (paths.STATE, paths.LOGS):
        for file in folder.glob(f"{PREFIX}*"):
            if file.is_file() and ended(file.name):
                file.unlink()
    for folder in paths.STATE.glob(f"{PREFIX}*-contract"):
        if ended(folder.name):
            shutil.rmtree(folder, ignore_errors=True)


def _paths(arguments: list[str]) -> list[str]:
    """Arguments that name tests; a value such as that of `-k name` only if a file is called so."""
    return [
        item
        for item in arguments
        if not item.startswith("-") and (paths.ROOT / item.split("::")[0]).exists()
    ]


def _is_interactive(arguments: list[str]) -> bool:
    """Whether the person wants one process: a debugger, direct output, or an own distribution."""
    own = ("-n", "--numprocesses", "--pdb", "--trace", "-s", "--dist")
    return any(item.startswith(own) for item in arguments)
