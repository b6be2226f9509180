"""Make the small schema the simulator carries with it.

``python -m tests.simulators.shopify.trim_schema FOLDER/admin_2026-10.json.gz`` keeps the types the
simulator serves (with all their plain fields), its mutations, and whatever these need.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

from . import api  # noqa: F401  (declares the fields and the mutations)
from .resolvers import DICT_TYPES, FIELDS
from .schema import TRIMMED, read_introspection

_NOTICE = (
    "Part of the Admin GraphQL schema published by Shopify Inc. in the npm package "
    "@shopify/dev-mcp, ISC licence; see LICENSE-shopify-dev-mcp beside this file."
)


def named(reference: dict[str, Any]) -> str:
    while reference.get("ofType"):
        reference = reference["ofType"]
    return reference["name"]


def trim(introspection: dict[str, Any]) -> dict[str, Any]:
    """Introspection of the served part of a schema."""
    schema = introspection["data"]["__schema"]
    types = {t["name"]: t for t in schema["types"]}
    plain = {n for n, t in types.items() if t["kind"] in ("SCALAR", "ENUM")}
    objects = {n for n in FIELDS if n in types} | {n for n in DICT_TYPES if n in types}
    roots = {schema["queryType"]["name"], schema["mutationType"]["name"]}
    abstract = {
        n
        for n, t in types.items()
        if t["kind"] in ("INTERFACE", "UNION")
        and any(p["name"] in objects for p in t["possibleTypes"] or [])
    }
    payloads = {
        named(f["type"])
        for f in types[schema["mutationType"]["name"]]["fields"]
        if f["name"] in FIELDS["Mutation"]
    }
    helpers = {
        n
        for n in types
        if n.endswith(("Connection", "Edge"))
        and any(
            named(f["type"]) in objects | abstract
            for f in types[n].get("fields") or []
            if f["name"] in ("nodes", "node")
        )
    }
    errors = {n for n in types if n.endswith("UserError")} | {
        named(f["type"]) for n in payloads for f in types[n]["fields"] if f["name"] == "userErrors"
    }
    more = {"InventoryAdjustmentGroup", "InventoryChange", "Job"} & set(types)
    keep = objects | abstract | payloads | helpers | errors | more | {"PageInfo"}
    result: dict[str, dict[str, Any]] = {}
    queue = [schema["queryType"]["name"], schema["mutationType"]["name"]]
    while queue:
        name = queue.pop()
        if name in result:
            continue
        kept = _trim_type(types[name], keep | plain, roots)
        result[name] = kept
        queue += _references(kept)
        if kept["kind"] in ("INTERFACE", "UNION"):
            kept["possibleTypes"] = [p for p in kept["possibleTypes"] if p["name"] in objects]
            queue += [p["name"] for p in kept["possibleTypes"]]
    for kept in result.values():
        if kept.get("interfaces"):
            kept["interfaces"] = [i for i in kept["interfaces"] if i["name"] in result]
    for kept in result.values():
        # An interface shows only fields all its kept types still have.
        if kept["kind"] == "INTERFACE":
            owners = [result[p["name"]] for p in kept["possibleTypes"] if p["name"] in result]
            names = [{f["name"] for f in owner["fields"]} for owner in owners]
            kept["fields"] = [f for f in kept["fields"] if all(f["name"] in have for have in names)]
    directives = [
        d
        for d in schema["directives"]
        if d["name"] in ("include", "skip", "deprecated", "specifiedBy", "oneOf", "idempotent")
    ]
    for directive in directives:
        for argument in directive["args"]:
            name = named(argument["type"])
            result.setdefault(name, types[name])
    for kept in result.values():
        _strip(kept)
    return {
        "notice": _NOTICE,
        "data": {
            "__schema": {
                "queryType": {"name": schema["queryType"]["name"]},
                "mutationType": {"name": schema["mutationType"]["name"]},
                "subscriptionType": None,
                "types": sorted(result.values(), key=lambda t: t["name"]),
                "directives": directives,
            }
        },
    }


def _trim_type(kind: dict[str, Any], allowed: set[str], roots: set[str]) -> dict[str, Any]:
    kept = dict(kind)
    if kind["kind"] in ("OBJECT", "INTERFACE"):
        served = FIELDS.get(kind["name"], {})
        kept["fields"] = [
            f
            for f in kind["fields"]
            if f["name"] in served or (kind["name"] not in roots and named(f["type"]) in allowed)
        ]
    return kept


def _references(kind: dict[str, Any]) -> list[str]:
    found = []
    for field in kind.get("fields") or []:
        found.append(named(field["type"]))
        found += [named(argument["type"]) for argument in field["args"]]
    found += [named(field["type"]) for field in kind.get("inputFields") or []]
    return found


def _strip(value: Any) -> None:
    """Descriptions are most of the weight and nothing the simulator needs."""
    if isinstance(value, dict):
        for key in ("description", "requiredAccess", "isProtected", "protectedContent", "gidTypes"):
            value.pop(key, None)
        for item in value.values():
            _strip(item)
    elif isinstance(value, list):
        for item in value:
            _strip(item)


def main(source: str) -> None:
    small = trim(read_introspection(Path(source)))
    TRIMMED.parent.mkdir(exist_ok=True)
    text = json.dumps(small, separators=(",", ":"), sort_keys=True).encode()
    TRIMMED.write_bytes(gzip.compress(text, 9, mtime=0))
    count = len(small["data"]["__schema"]["types"])
    print(f"{TRIMMED.name}: {count} types, {TRIMMED.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
