"""The commands of `./run`."""

from __future__ import annotations

import argparse
import sys

from . import checks, database, paths, schema, supervisor, testing
from .console import EnvironmentProblem, call, say
from .project import Project


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit code of the process."""
    try:
        return _main(arguments)
    except EnvironmentProblem as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


def _main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="run", description="Builds, starts and tests the integration addons."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, summary: str, **options) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=summary, description=summary, **options)
        command.add_argument(
            "--database-url",
            help="a given PostgreSQL server: postgresql://user:password@host:5432/",
        )
        return command

    up = add("up", "start Odoo, its job runner and the shop simulator, and connect them")
    up.add_argument("--detach", action="store_true", help="go on in the background")
    up.add_argument(
        "--port", type=int, default=supervisor.PORT, help="of Odoo (default: %(default)s)"
    )
    up.set_defaults(action=_up)

    stop = add("stop", "stop what `up --detach` started")
    stop.set_defaults(action=lambda project, known, rest: supervisor.stop())

    reset = add("reset", "stop, and delete the databases, files and logs of this checkout")
    reset.set_defaults(action=lambda project, known, rest: supervisor.reset(project))

    shell = add("shell", "Odoo's shell on the database of `up`")
    shell.set_defaults(action=_shell)

    logs = add("logs", "show the logs of `up`")
    logs.add_argument("-f", "--follow", action="store_true", help="and what comes")
    logs.set_defaults(action=lambda project, known, rest: supervisor.logs(known.follow))

    test = add("test", "run the tests; takes paths and every option of pytest")
    test.add_argument(
        "--long",
        action="store_true",
        help="only those that take minutes each, which `test` alone leaves out",
    )
    test.add_argument(
        "--core",
        action="store_true",
        help="the tests of Odoo's modules below ours, and of queue_job",
    )
    test.add_argument(
        "--baseline", action="store_true", help="with --core: on a database without our addons"
    )
    test.set_defaults(action=_test)

    bench = add(
        "bench",
        "measure the engine against floors: [CASE...] [--list] [--rounds N] [--json FILE]",
        add_help=False,
    )
    bench.set_defaults(action=_bench)

    chaos = add(
        "chaos",
        "change records on both sides while everything breaks, and compare; `chaos --help`",
        add_help=False,
    )
    chaos.set_defaults(action=_chaos)

    mutate = add(
        "mutate",
        "change the security rules of lib in every place: their tests have to notice",
        add_help=False,
    )
    mutate.set_defaults(action=_mutate)

    check = add("check", "ruff, pylint-odoo, bandit and our own rules")
    check.set_defaults(action=lambda project, known, rest: checks.run_checks(project))

    python = add(
        "python", "run the virtual environment's Python, with Odoo and PostgreSQL in reach"
    )
    python.set_defaults(action=lambda project, known, rest: _python(project, rest))

    fetch = add("schema", "fetch Shopify's published schema and print its folder")
    fetch.set_defaults(action=lambda project, known, rest: _schema(project))

    template = add("template", "build the template database and print its name")
    template.set_defaults(action=lambda project, known, rest: _template(project))

    if arguments[:1] == ["python"]:  # everything after it belongs to Python
        known, rest = parser.parse_args(["python"]), arguments[1:]
    else:
        known, rest = parser.parse_known_args(arguments)
        if rest and known.command not in ("test", "shell", "bench", "chaos", "mutate"):
            parser.error(f"{known.command} does not know {' '.join(rest)}")
    project = Project(known.database_url)
    try:
        return known.action(project, known, rest)
    finally:
        project.close()


def _up(project: Project, known: argparse.Namespace, rest: list[str]) -> int:
    return (supervisor.detach if known.detach else supervisor.up)(project, known.port)


def _test(project: Project, known: argparse.Namespace, rest: list[str]) -> int:
    if known.core:
        return testing.run_core_tests(project, rest, baseline=known.baseline)
    return testing.run_tests(project, rest, long=known.long)


def _bench(project: Project, known: argparse.Namespace, rest: list[str]) -> int:
    return testing.run_program(project, "tests.bench", rest)


def _chaos(project: Project, known: argparse.Namespace, rest: list[str]) -> int:
    project.ensure_alone("`./run chaos`")
    return testing.run_program(project, "tests.chaos", rest)


def _mutate(project: Project, known: argparse.Namespace, rest: list[str]) -> int:
    environment = project.environment(with_database=False)
    environment["PYTHONPATH"] = str(paths.RUNTIME.parent)
    return call([project.python, "-m", "tests.mutation", *rest], environment, cwd=paths.ROOT)


def _shell(project: Project, known: argparse.Namespace, rest: list[str]) -> int:
    return call(supervisor.shell(project, rest), project.environment())


def _python(project: Project, arguments: list[str]) -> int:
    return call([project.python, *arguments], project.environment())


def _schema(project: Project) -> int:
    paths.prepare()
    say(str(schema.ensure(project)))
    return 0


def _template(project: Project) -> int:
    say(database.template(project))
    return 0
