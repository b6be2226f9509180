"""`./run check`: the tools everybody knows, then our own rules, one small file each.

A rule is a module with `check(project_files) -> Iterable[Finding]`. Its docstring says what it
demands and why.
"""

from __future__ import annotations

from collections.abc import Sequence

from .. import paths
from ..console import call, say, step
from ..project import Project
from . import (
    access,
    compose,
    dangers,
    dependencies,
    layers,
    manifests,
    model_files,
    noticed,
    overrides,
    portable,
    xml_ids,
)
from .files import Files, Finding

RULES = (
    manifests,
    dependencies,
    model_files,
    overrides,
    layers,
    xml_ids,
    access,
    dangers,
    compose,
    portable,
    noticed,
)


def run_rules(files: Files) -> list[Finding]:
    """All findings of our own rules, by file."""
    return sorted(finding for rule in RULES for finding in rule.check(files))


def run_checks(project: Project) -> int:
    """Run everything and return 1 if anything was found."""
    environment = project.environment(with_database=False)
    files = Files(paths.ROOT)
    code = [name for name in (".ci", "run", "tests") if (paths.ROOT / name).exists()]
    code += [addon.name for addon in files.addons]
    addons = [addon.name for addon in files.addons]
    failed: list[str] = []

    def tool(name: str, module: str, arguments: Sequence[str]) -> None:
        say(f"... {name}")
        command = [project.python, "-m", module, *arguments]
        if call(command, environment, cwd=paths.ROOT):
            failed.append(name)

    tool("ruff check", "ruff", ["check", "--output-format=concise", *code])
    tool("ruff format", "ruff", ["format", "--check", "--output-format=concise", *code])
    if addons:
        tool("pylint-odoo", "pylint", ["--rcfile=pyproject.toml", "-j", "0", *addons])
    tool("bandit", "bandit", ["-q", "-c", "pyproject.toml", "-r", ".ci", *addons])
    with step("Our own rules"):
        findings = run_rules(files)
    for finding in findings:
        say(f"{finding.file}: {finding.message}")
    if findings:
        failed.append(f"{len(findings)} findings of our own rules")
    say(f"Check failed: {', '.join(failed)}." if failed else "Check passed.")
    return 1 if failed else 0
