"""The guards are as they were when their tests noticed every mistake in them.

To find that out takes `./run mutate` too long to do it with every change; so it notes down what it
has looked at, and a guard, or a test of it, that differs is not let in.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from .files import Files, Finding

ADDON = "integration_base"
#: The modules that stand between us and everybody else; a rule lost there is a hole.
GUARDS = ("address_guard", "signature", "xml_strict", "log_secrets", "redact")
FOLDER = "tests/mutation"
NAME = f"{FOLDER}/noticed.json"
#: A line with it is left alone; the comment goes on with the reason.
EQUIVALENT = "# no mutant:"


def check(files: Files) -> Iterator[Finding]:
    """Findings of this rule."""
    if not (files.root / FOLDER).is_dir():
        return
    noticed = read(files.root)
    for module in GUARDS:
        if noticed.get(module, {}).get("digest") != digest(files.root, module):
            file = f"{ADDON}/lib/{module}.py"
            yield Finding(
                file,
                f"it or its tests changed since every mistake in it was noticed. Run "
                f"`./run mutate {module}` and commit {NAME}.",
            )


def read(root: Path) -> dict[str, dict]:
    """What is noted of each module: its `digest`, and how many `mutants` were noticed."""
    file = root / NAME
    return json.loads(file.read_text()) if file.exists() else {}


def write(root: Path, module: str, noted: dict | None) -> None:
    """Note something of a module, or, without it, nothing any more."""
    others = {name: known for name, known in read(root).items() if name != module}
    known = {**others, module: noted} if noted else others
    (root / NAME).write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")


def tests_of(root: Path, module: str) -> list[Path]:
    """The files with a module's own tests."""
    folder = root / ADDON / "tests" / "lib"
    return [folder / f"test_lib_{module}.py", *sorted(folder.glob(f"test_lib_{module}_*.py"))]


def digest(root: Path, module: str) -> str:
    """What a module, its tests and the mistakes come to, whatever their comments and layout."""
    sources = [root / ADDON / "lib" / f"{module}.py", *tests_of(root, module)]
    sources.append(root / FOLDER / "mutants.py")
    result = hashlib.sha256()
    for source in sources:
        text = source.read_text()
        result.update(f"{source.name}\n{_meaning(ast.parse(text), text.splitlines())}\n".encode())
    return result.hexdigest()


def is_documentation(node: ast.AST) -> bool:
    """Whether it is a text that nobody uses."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _meaning(node: object, lines: list[str]) -> str:
    """The tree below a node. Unlike `ast.dump` it is the same in every version of Python."""
    if isinstance(node, list):
        parts = (_meaning(item, lines) for item in node if not is_documentation(item))
        return f"[{','.join(parts)}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = ((name, value) for name, value in ast.iter_fields(node) if value not in (None, []))
    inner = ",".join(f"{name}={_meaning(value, lines)}" for name, value in fields)
    left_alone = hasattr(node, "lineno") and EQUIVALENT in lines[node.lineno - 1]
    return f"{type(node).__name__}{'!' if left_alone else ''}({inner})"
