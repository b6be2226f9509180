"""Access: every model has access rights, and every model with a company has a record rule.

Odoo only warns about the first, and says nothing about the second: users would see other companies'
records. Nor does it keep what people type into a dialog (a transient model) from each other.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator

from .files import Files, Finding


def check(files: Files) -> Iterator[Finding]:
    """Findings of this rule."""
    for addon in files.addons:
        granted = _granted(files, addon)
        ruled = {
            field.get("ref", "").split(".")[-1]
            for _file, record in files.records(addon)
            if record.get("model") == "ir.rule"
            for field in record.iter("field")
            if field.get("name") == "model_id"
        }
        for model in files.models(addon):
            if model.kind == "AbstractModel":
                continue
            identifier = f"model_{model.name.replace('.', '_')}"
            if identifier not in granted:
                yield Finding(
                    files.name(model.file),
                    f"{model.name} has no access rights: add it to security/ir.model.access.csv.",
                )
            if "company_id" in model.fields and identifier not in ruled and model.kind == "Model":
                yield Finding(
                    files.name(model.file),
                    f"{model.name} has a company and no record rule: add an ir.rule in security/.",
                )
            if model.kind == "TransientModel" and identifier not in ruled:
                yield Finding(
                    files.name(model.file),
                    f"{model.name} shows everybody what others typed into it: add an ir.rule with "
                    "[('create_uid', '=', user.id)] in security/.",
                )


def _granted(files: Files, addon) -> set[str]:
    file = addon / "security" / "ir.model.access.csv"
    if not file.exists():
        return set()
    with file.open(newline="") as lines:
        rows = csv.DictReader(lines)
        return {
            (row.get("model_id:id") or row.get("model_id") or "").split(".")[-1] for row in rows
        }
