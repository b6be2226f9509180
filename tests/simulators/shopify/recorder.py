"""Writes down what a shop is asked, so that it can be judged by other versions of the schema.

``tests/contract`` reads the files after a run of the tests.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

#: Names the folder to write to; nothing is written without it.
VARIABLE = "SHOPIFY_CONTRACT_DIR"
# What schemas know by name stays as it is: names of enumerations.
_NAME = re.compile(r"[A-Z][A-Z0-9_]*")


class Recorder:
    """Keeps one example of each request that a schema could judge differently."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / f"{os.getpid()}.jsonl"
        self._seen: set[tuple[str, str]] = set()

    @classmethod
    def from_environment(cls) -> Recorder | None:
        folder = os.environ.get(VARIABLE)
        return cls(Path(folder)) if folder else None

    def note(self, query: str, variables: dict[str, Any]) -> None:
        """Write a request down unless one like it is written down."""
        key = query, json.dumps(shape(variables), sort_keys=True)
        if key in self._seen:
            return
        self._seen.add(key)
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"query": query, "variables": variables}) + "\n")


def shape(value: Any) -> Any:
    """What a schema can tell about a value: its kind and parts, not which text or number it is."""
    if isinstance(value, dict):
        return {name: shape(part) for name, part in value.items()}
    if isinstance(value, list):
        parts = {json.dumps(shape(part), sort_keys=True) for part in value}
        return sorted(parts)
    if isinstance(value, str):
        return value if _NAME.fullmatch(value) else "text"
    if isinstance(value, bool) or value is None:
        return value
    return type(value).__name__
