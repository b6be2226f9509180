"""Python packages: what an addon imports stands in its manifest, in requirements.txt and, pinned,
in the lock file.

Odoo's own libraries need no entry, unless a manifest claims them.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from .files import Files, Finding

# Import name -> package name where they differ.
PACKAGES = {"dateutil": "python-dateutil", "psycopg2": "psycopg2-binary", "yaml": "pyyaml"}
# Always there with Odoo itself, and used by it everywhere.
WITH_ODOO = {
    "odoo",
    "psycopg2",
    "werkzeug",
    "lxml",
    "dateutil",
    "pytz",
    "markupsafe",
    "babel",
    "urllib3",
}
LOCK = ".ci/runtime/requirements.lock"


def check(files: Files) -> Iterator[Finding]:
    """Findings of this rule."""
    wanted = _names(files.root / "requirements.txt")
    pinned = _names(files.root / LOCK)
    for name in sorted(wanted - pinned):
        yield Finding(LOCK, f"does not pin {name} of requirements.txt: make the lock file again.")
    for addon in files.addons:
        manifest = files.name(addon / "__manifest__.py")
        declared = _declared(files, addon)
        for name in sorted(declared - wanted):
            yield Finding("requirements.txt", f"lacks {name}, which {manifest} declares: add it.")
        for module, file in sorted(_imports(addon).items()):
            package = _normal(PACKAGES.get(module, module))
            if package not in declared:
                yield Finding(
                    files.name(file),
                    f"imports {module}, which {manifest} does not declare: "
                    f"add {package} to external_dependencies and requirements.txt.",
                )


def _declared(files: Files, addon: Path) -> set[str]:
    """Packages that an addon declares, itself or through one of ours that it depends on."""
    manifest = files.manifest(addon)
    names = {_normal(name) for name in manifest.get("external_dependencies", {}).get("python", ())}
    below = (other for other in files.addons if other.name in manifest.get("depends", ()))
    return names.union(*(_declared(files, other) for other in below))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _names(file: Path) -> set[str]:
    lines = file.read_text().splitlines() if file.exists() else []
    found = (re.match(r"[A-Za-z0-9][\w.-]*", line) for line in lines)
    return {_normal(match[0]) for match in found if match}


def _imports(addon: Path) -> dict[str, Path]:
    """Third-party modules that an addon imports outside its tests, each with the first file."""
    found: dict[str, Path] = {}
    for file in sorted(addon.rglob("*.py")):
        if "tests" in file.relative_to(addon).parts:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in (name.split(".")[0] for name in names):
                if name not in sys.stdlib_module_names | WITH_ODOO:
                    found.setdefault(name, file)
    return found
