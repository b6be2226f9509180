"""Compute which access scopes our documents and notifications need, from Shopify's own schema.

``SHOPIFY_SCHEMA_DIR=$(./run schema) ./run python -m tests.contract.scopes`` writes
``integration_shopify/lib/scopes.json``; a test fails while that file is not what the documents
need.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from graphql import (
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLSchema,
    OperationDefinitionNode,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    build_client_schema,
    get_named_type,
    parse,
    visit,
)

ADDON = Path(__file__).resolve().parents[2] / "integration_shopify"
TARGET = ADDON / "lib" / "scopes.json"
#: Scopes of apps that are not for one shop's own books; never what a merchant should grant.
FOREIGN = re.compile(r"marketplace|buyer_membership|quick_sale|pos_staff")
#: What the schema leaves out or spells otherwise (``orders``, for refunds); Shopify's pages of the
#: mutations name these.
MUTATIONS = {
    # what a bulk operation runs needs scopes of its own
    "bulkOperationCancel": [],
    "bulkOperationRunMutation": [],
    "bulkOperationRunQuery": [],
    # as for making one
    "fulfillmentCancel": ["write_merchant_managed_fulfillment_orders"],
    # what may be written of products may be described
    "metafieldDefinitionCreate": ["write_products"],
    "metafieldsDelete": ["write_products"],
    "refundCreate": ["write_orders"],
    # what is uploaded serves whoever may use it
    "stagedUploadsCreate": [],
    "tagsAdd": ["write_orders"],
    "tagsRemove": ["write_orders"],
    # what may be subscribed to depends on the topic
    "webhookSubscriptionCreate": [],
    "webhookSubscriptionDelete": [],
    "webhookSubscriptionUpdate": [],
}
#: How the names of topics begin that we subscribe to.
TOPICS = (
    "ORDER",
    "REFUNDS",
    "RETURNS",
    "FULFILLMENT",
    "CUSTOMER",
    "COMPAN",
    # what the shop is set up with
    "CHANNELS",
    "COLLECTIONS",
    "LOCALES",
    "LOCATIONS",
    "MARKETS",
)
#: Documents whose mutation takes the scope of what it is given.
DOCUMENTS = {
    "customer_tags_add": [["write_customers"]],
    "customer_tags_remove": [["write_customers"]],
}
_SCOPE = re.compile(r"(?:read|write)_[a-z_]+")


def _sorted(scopes: Iterable[str]) -> list[str]:
    """Return scopes once each, those first that most shops should choose."""
    ours = {name for name in scopes if not FOREIGN.search(name)}
    return sorted(
        ours, key=lambda name: ("merchant_managed" not in name, "companies" in name, name)
    )


class Access:
    """What the schema says about access: per type and per field."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self._rules = {
            (row["typeName"], row.get("fieldName")): row for row in raw["offline_scopes"]["items"]
        }

    def of(self, type_name: str, field: str | None = None) -> tuple[str, ...]:
        """Return the scopes one of which is needed; empty where none is."""
        rule = self._rules.get((type_name, field))
        if not rule:
            return ()
        # what follows concerns the permissions of people, or single arguments
        text = (rule["requiredAccess"] or "").split("Also:")[0]
        if re.search(r"` access scope and `", text):
            raise SystemExit(f"{type_name}.{field or ''} needs several scopes at once: {text}")
        named = _SCOPE.findall(text) or rule["offlineScopes"]
        return tuple(_sorted(named))


def documents() -> dict[str, list[Any]]:
    """Return ``{name: its operation and the fragments it uses}`` of the addon's documents."""
    files = {file.stem: parse(file.read_text("utf-8")) for file in (ADDON / "graphql").iterdir()}
    fragments = {
        node.name.value: node
        for file in files.values()
        for node in file.definitions
        if isinstance(node, FragmentDefinitionNode)
    }
    found = {}
    for name, file in sorted(files.items()):
        if not any(isinstance(node, OperationDefinitionNode) for node in file.definitions):
            continue
        wanted, nodes = list(file.definitions), []
        while wanted:
            node = wanted.pop(0)
            if node not in nodes:
                nodes.append(node)
                wanted += [fragments[spread] for spread in _spreads(node)]
        found[name] = nodes
    return found


def _spreads(node: Any) -> list[str]:
    """Return the names of the fragments a node uses."""
    found: list[str] = []

    class Spreads(Visitor):
        def enter_fragment_spread(self, spread: FragmentSpreadNode, *_args: Any) -> None:
            found.append(spread.name.value)

    visit(node, Spreads())
    return found


def needed(schema: GraphQLSchema, access: Access, nodes: list[Any]) -> list[list[str]]:
    """Return the scopes of a document: of each inner list one is needed."""
    info, found = TypeInfo(schema), set()

    class Fields(Visitor):
        def enter_field(self, node: Any, *_args: Any) -> None:
            parent, kind = info.get_parent_type(), get_named_type(info.get_type())
            if not parent or not kind:
                raise SystemExit(f"{node.name.value} is not in the schema")
            name = node.name.value
            if parent is schema.mutation_type:
                scopes = access.of("Mutation", name)
                if not scopes and name not in MUTATIONS:
                    raise SystemExit(f"The schema names no scope of {name}: add it to MUTATIONS.")
                found.add(scopes or tuple(MUTATIONS[name]))
            else:
                found.add(access.of(parent.name, name))
            found.add(access.of(kind.name))

        def enter_inline_fragment(self, node: Any, *_args: Any) -> None:
            if node.type_condition:
                found.add(access.of(node.type_condition.name.value))

        def enter_fragment_definition(self, node: Any, *_args: Any) -> None:
            found.add(access.of(node.type_condition.name.value))

    for node in nodes:
        visit(node, TypeInfoVisitor(info, Fields()))
    found.discard(())
    # what one of the others grants anyway
    least = {one for one in found if not any(set(other) < set(one) for other in found)}
    return sorted(map(list, least))


def topics(schema: GraphQLSchema) -> dict[str, list[str]]:
    """Return ``{topic: scopes one of which is needed}`` of everything Shopify notifies of."""
    found = {}
    for name, value in schema.get_type("WebhookSubscriptionTopic").values.items():
        text = (value.description or "").rpartition("Requires")[2]
        scopes = _sorted(_SCOPE.findall(text))
        if scopes and name.startswith(TOPICS):
            found[name] = scopes
    return found


def compute(folder: Path, version: str) -> dict[str, Any]:
    """Return what belongs into the file."""
    raw = json.loads(gzip.decompress((folder / f"admin_{version}.json.gz").read_bytes()))
    schema, access = build_client_schema(raw["data"], assume_valid=True), Access(raw)
    return {
        "documents": {
            name: DOCUMENTS.get(name) or needed(schema, access, nodes)
            for name, nodes in documents().items()
        },
        "topics": topics(schema),
    }


def write(found: dict[str, Any]) -> str:
    """Return the text of the file: a line for each document and topic."""

    def part(rows: dict[str, Any]) -> str:
        return ",\n".join(f"    {json.dumps(name)}: {json.dumps(rows[name])}" for name in rows)

    return (
        "{\n"
        + ",\n".join(
            f"  {json.dumps(name)}: {{\n{part(rows)}\n  }}" for name, rows in found.items()
        )
        + "\n}\n"
    )


def main() -> int:
    from .__main__ import versions

    folder = os.environ.get("SHOPIFY_SCHEMA_DIR")
    if not folder:
        print("Shopify's schemas are not here: set SHOPIFY_SCHEMA_DIR.")
        return 1
    TARGET.write_text(write(compute(Path(folder), versions()[-1])), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
