"""Manifests: LGPL-3, a version of Odoo 19, an author, every data file present and listed once."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .files import Files, Finding

VERSION = re.compile(r"19\.0\.\d+\.\d+\.\d+")
REQUIRED = ("name", "summary", "version", "author", "license", "depends", "category")


def check(files: Files) -> Iterator[Finding]:
    """Findings of this rule."""
    if not (files.root / "LICENSE").exists():
        yield Finding("LICENSE", "is missing: put the text of the LGPL version 3 there.")
    for addon in files.addons:
        file = files.name(addon / "__manifest__.py")
        manifest = files.manifest(addon)
        for key in REQUIRED:
            if not manifest.get(key):
                yield Finding(file, f"has no {key}: add it.")
        if manifest.get("license") not in (None, "LGPL-3"):
            yield Finding(file, f"license is {manifest['license']}: the addons are LGPL-3.")
        if not VERSION.fullmatch(manifest.get("version", "")):
            yield Finding(file, "version must look like 19.0.1.0.0.")
        listed = [*manifest.get("data", ()), *manifest.get("demo", ())]
        for name in sorted(set(listed)):
            if not (addon / name).is_file():
                yield Finding(file, f"lists {name}, which does not exist: remove or create it.")
            if listed.count(name) > 1:
                yield Finding(file, f"lists {name} twice: remove one.")
        for folder in ("views", "data", "security", "wizards"):
            for path in sorted((addon / folder).glob("*")):
                name = str(path.relative_to(addon))
                if path.suffix in (".xml", ".csv") and name not in listed:
                    yield Finding(files.name(path), "is loaded by no manifest: list it under data.")
