"""Judge what the shops of a test run were asked: ``python -m tests.contract FOLDER``.

Shopify answers by an older or a newer version of its interface without telling in advance, so
every document and every variables object has to be valid in each version we know.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graphql import GraphQLSchema, OperationDefinitionNode, build_client_schema, parse, validate
from graphql.execution.values import get_variable_values

ROOT = Path(__file__).resolve().parents[2]


def versions() -> list[str]:
    """The versions the addon knows; its file is read without Odoo."""
    file = ROOT / "integration_shopify" / "lib" / "versions.py"
    spec = importlib.util.spec_from_file_location("shopify_versions", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return sorted(module.VERSIONS)


def requests(folder: Path) -> list[dict[str, Any]]:
    """Each request once, whichever process was asked it."""
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            found[line] = json.loads(line)
    return list(found.values())


def problems(schema: GraphQLSchema, query: str, variables: dict[str, Any]) -> Iterator[str]:
    """What a schema has against a request."""
    document = parse(query)
    refused = validate(schema, document)
    yield from (error.message for error in refused)
    if refused:
        return
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode):
            values = get_variable_values(schema, node.variable_definitions or (), variables)
            if isinstance(values, list):
                yield from (error.message for error in values)
            declared = {v.variable.name.value for v in node.variable_definitions or ()}
            yield from (f"${name} is not declared" for name in sorted(variables.keys() - declared))


def judge(folder: Path, schemas: Path) -> tuple[int, list[str]]:
    """Return (number of different requests, what is wrong with them)."""
    asked = requests(folder)
    found: dict[str, None] = {}
    for version in versions() if asked else ():
        file = schemas / f"admin_{version}.json.gz"
        schema = build_client_schema(
            json.loads(gzip.decompress(file.read_bytes()))["data"], assume_valid=True
        )
        for request in asked:
            name = request["query"].split("(")[0].split("{")[0].strip()
            for problem in problems(schema, request["query"], request["variables"]):
                found[f"{version}: {name}: {problem}"] = None
    return len(asked), list(found)


def main(arguments: list[str]) -> int:
    schemas = os.environ.get("SHOPIFY_SCHEMA_DIR")
    if not schemas:
        if os.environ.get("CI"):
            print("Shopify's schemas are not here: set SHOPIFY_SCHEMA_DIR.")
            return 1
        return 0
    count, found = judge(Path(arguments[0]), Path(schemas))
    for problem in found:
        print(f"A request of this run is not valid in API version {problem}")
    if count and not found:
        names = ", ".join(versions())
        print(f"{count} different requests to the shop are valid in API versions {names}.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
