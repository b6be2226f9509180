"""`lib/` is plain Python without Odoo, so that it is tested in milliseconds without a database."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .files import Files, Finding


def check(files: Files) -> Iterator[Finding]:
    """Findings of this rule."""
    for addon in files.addons:
        for file in sorted((addon / "lib").rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    names = [node.module or ""]
                else:
                    continue
                # Another addon's lib is reached through the odoo.addons namespace.
                wrong = [n for n in names if n.split(".")[0] == "odoo" and ".lib" not in n]
                if wrong:
                    yield Finding(
                        files.name(file),
                        f"line {node.lineno} imports {wrong[0]}: move what needs Odoo to models/.",
                    )
