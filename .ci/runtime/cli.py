"""The commands of `./run`."""

from __future__ import annotations

import argparse
import os
import sys

from . import database, paths, schema, testing
from .console import EnvironmentProblem, say
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

    test = add("test", "run the tests; takes paths and every option of pytest")
    test.set_defaults(action=lambda project, known, rest: testing.run_tests(project, rest))

    python = add(
        "python", "run the virtual environment's Python, with Odoo and PostgreSQL in reach"
    )
    python.set_defaults(action=lambda project, known, rest: _python(project, rest))

    fetch = add("schema", "fetch Shopify's published schema and print its folder")
    fetch.set_defaults(action=lambda project, known, rest: _schema())

    template = add("template", "build the template database and print its name")
    template.set_defaults(action=lambda project, known, rest: _template(project))

    if arguments[:1] == ["python"]:  # everything after it belongs to Python
        known, rest = parser.parse_args(["python"]), arguments[1:]
    else:
        known, rest = parser.parse_known_args(arguments)
    return known.action(Project(known.database_url), known, rest)


def _python(project: Project, arguments: list[str]) -> int:
    environment = project.environment()
    sys.stdout.flush()
    os.execve(project.python, [str(project.python), *arguments], environment)


def _schema() -> int:
    paths.prepare()
    say(str(schema.ensure()))
    return 0


def _template(project: Project) -> int:
    say(database.template(project))
    return 0
