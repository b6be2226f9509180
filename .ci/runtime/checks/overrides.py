"""A model spread over several files of an addon has each method once, unless one calls the other
by `super()`: else whoever is loaded last silently replaces what the other file relies on."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from .files import Files, Finding


def check(files: Files) -> Iterator[Finding]:
    """Findings of this rule."""
    for addon in files.addons:
        found: dict[tuple[str, str], list[Path]] = defaultdict(list)
        for file in sorted((addon / "models").rglob("*.py")):
            for model, method in _methods(ast.parse(file.read_text())):
                found[model, method].append(file)
        for (model, method), places in found.items():
            for file in places[1:]:
                yield Finding(
                    files.name(file),
                    f"{method} of {model} is in {places[0].name} too: give it another name, or "
                    f"call super().",
                )


def _methods(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Model and name of each method that replaces whatever was there."""
    for node in tree.body:
        model = _model(node) if isinstance(node, ast.ClassDef) else None
        if model:
            for part in node.body:
                if isinstance(part, ast.FunctionDef) and "super" not in _names(part):
                    yield model, part.name


def _model(node: ast.ClassDef) -> str | None:
    values = {
        target.id: statement.value.value
        for statement in node.body
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
    return values.get("_name") or values.get("_inherit")


def _names(part: ast.FunctionDef) -> set[str]:
    return {node.id for node in ast.walk(part) if isinstance(node, ast.Name)}
