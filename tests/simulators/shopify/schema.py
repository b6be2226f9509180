"""Shopify's published Admin schema: the full introspection when it is there, else a trimmed copy.

The full files ``admin_<version>.json.gz`` come from the npm package ``@shopify/dev-mcp`` (ISC
licence) and are looked for in the folder ``$SHOPIFY_SCHEMA_DIR``. The trimmed copy is made of the
same file by ``trim_schema.py``, so the simulator also works without any download.
"""

from __future__ import annotations

import gzip
import json
import os
import threading
from pathlib import Path
from typing import Any

from graphql import GraphQLSchema, build_client_schema

TRIMMED = Path(__file__).parent / "data" / "admin_2026-10.trimmed.json.gz"

_schemas: dict[Path, GraphQLSchema] = {}
_lock = threading.Lock()


def schema_file(version: str) -> Path:
    """File that describes a version: the full one, the newest full one, or the trimmed copy."""
    folder = os.environ.get("SHOPIFY_SCHEMA_DIR")
    if folder:
        exact = Path(folder) / f"admin_{version}.json.gz"
        if exact.is_file():
            return exact
        others = sorted(Path(folder).glob("admin_20*.json.gz"))
        if others:
            return others[-1]
    return TRIMMED


def read_introspection(path: Path) -> dict[str, Any]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return json.load(stream)


def load_schema(version: str) -> GraphQLSchema:
    path = schema_file(version)
    with _lock:
        if path not in _schemas:
            _schemas[path] = build_client_schema(
                read_introspection(path)["data"], assume_valid=True
            )
        return _schemas[path]


def is_full(version: str) -> bool:
    return schema_file(version) != TRIMMED
