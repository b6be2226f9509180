"""The files the rules look at, and what a rule reports."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from xml.etree import ElementTree


@dataclass(frozen=True, order=True)
class Finding:
    """One breach of a rule: where, and what to do."""

    file: str
    message: str


@dataclass(frozen=True)
class Model:
    """A class that defines a model of its own: it has a `_name` that it does not inherit."""

    name: str
    kind: str
    """`Model`, `TransientModel` or `AbstractModel`."""
    fields: frozenset[str]
    file: Path


class Files:
    """A checkout as the rules see it."""

    def __init__(self, root: Path):
        self.root = root

    def name(self, path: Path) -> str:
        """Path as it is shown to the reader."""
        return str(path.relative_to(self.root))

    @cached_property
    def addons(self) -> list[Path]:
        """Folders of the addons."""
        return sorted(path.parent for path in self.root.glob("*/__manifest__.py"))

    def manifest(self, addon: Path) -> dict:
        """Content of an addon's manifest."""
        return ast.literal_eval((addon / "__manifest__.py").read_text())

    @cached_property
    def tracked(self) -> list[Path]:
        """Files that belong to the project: in Git, or about to be."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=self.root,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        paths = (self.root / name for name in listed.split("\0") if name)
        return [path for path in paths if path.is_file()]

    def models(self, addon: Path) -> Iterator[Model]:
        """Models that an addon defines, wizards included, tests not."""
        for folder in ("models", "wizards", "wizard"):
            for file in sorted((addon / folder).rglob("*.py")):
                for node in ast.parse(file.read_text()).body:
                    if isinstance(node, ast.ClassDef):
                        yield from self._model(node, file)

    @staticmethod
    def _model(node: ast.ClassDef, file: Path) -> Iterator[Model]:
        kinds = [base.attr for base in node.bases if isinstance(base, ast.Attribute)]
        values = {
            target.id: statement.value
            for statement in node.body
            if isinstance(statement, ast.Assign)
            for target in statement.targets
            if isinstance(target, ast.Name)
        }
        name = values.get("_name")
        if not isinstance(name, ast.Constant) or not kinds or not kinds[0].endswith("Model"):
            return
        inherited = values.get("_inherit")
        constants = ast.walk(inherited) if inherited else ()
        extends = name.value in [c.value for c in constants if isinstance(c, ast.Constant)]
        if not extends:
            yield Model(name.value, kinds[0], frozenset(values), file)

    def records(self, addon: Path) -> Iterator[tuple[Path, ElementTree.Element]]:
        """Every `<record>`, `<menuitem>` and `<template>` of an addon's XML, with its file."""
        for file in sorted(addon.rglob("*.xml")):
            if "static" not in file.relative_to(addon).parts:
                for element in ElementTree.parse(file).iter():
                    if element.tag in ("record", "menuitem", "template"):
                        yield file, element
