"""XML ids say what they are: `<model>_view_<type>`, `<model>_action`, `..._menu`; none twice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

from .files import Files, Finding

VIEW = "ir.ui.view"
ACTION = "ir.actions.act_window"
KINDS = "form|list|search|kanban|graph|pivot|calendar|activity|inherit"


def check(files: Files) -> Iterator[Finding]:
    """Findings of this rule."""
    for addon in files.addons:
        seen: dict[str, str] = {}
        for file, element in files.records(addon):
            identifier = element.get("id", "")
            name = files.name(file)
            if element.tag == "record" and identifier in seen:
                yield Finding(name, f"{identifier} is also defined in {seen[identifier]}.")
            seen[identifier] = name
            problem = _problem(element, identifier)
            if problem:
                yield Finding(name, f"{identifier}: {problem}")


def _problem(element: ElementTree.Element, identifier: str) -> str | None:
    identifier = identifier.split(".")[-1]
    if element.tag == "menuitem":
        return None if "menu" in identifier else "rename it to <something>_menu."
    if element.tag != "record":
        return None
    field = {child.get("name"): (child.text or "").strip() for child in element.iter("field")}
    if element.get("model") == VIEW and field.get("model"):
        prefix = field["model"].replace(".", "_")
        if not re.fullmatch(rf"{prefix}_view_({KINDS})(_\w+)?", identifier):
            return f"rename this view of {field['model']} to {prefix}_view_<type>."
    if element.get("model") == ACTION and field.get("res_model"):
        prefix = field["res_model"].replace(".", "_")
        if not re.fullmatch(rf"{prefix}(_\w+)?_action(_\w+)?", identifier):
            return f"rename this action on {field['res_model']} to {prefix}_action."
    return None
