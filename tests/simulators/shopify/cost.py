"""Query cost and the leaky bucket.

Objects cost 1, scalars nothing, mutations 10. Shopify keeps the rest to itself but says that
connections scale logarithmically; ``2 + children x 2 ln(first)`` is what the one public breakdown
fits (a product's 250 variants with their inventory item: 25). The older, linear rule can be chosen
instead: whoever lives with it lives with the real one.
"""

from __future__ import annotations

import math
import time
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_named_type,
    value_from_ast_untyped,
)

MAX_COST = 1000
_MUTATION_COST = {"refundCreate": 20, "orderCapture": 20}


def _logarithmic(count: int) -> float:
    return min(count, max(1.0, 2 * math.log(count))) if count > 0 else 0.0


class Costs:
    """Cost of one operation: as asked (before) and as answered (after)."""

    def __init__(
        self,
        schema: GraphQLSchema,
        operation: OperationDefinitionNode,
        fragments: dict[str, FragmentDefinitionNode],
        variables: dict[str, Any],
        model: str = "log",
    ) -> None:
        self.schema = schema
        self.operation = operation
        self.fragments = fragments
        self.variables = variables
        self._scale = float if model == "linear" else _logarithmic
        self.is_mutation = operation.operation.value == "mutation"
        self.root = schema.mutation_type if self.is_mutation else schema.query_type

    def requested(self) -> int:
        return max(1, round(self._selection(self.operation.selection_set, self.root, None, True)))

    def actual(self, data: dict[str, Any] | None) -> int:
        if data is None:
            return self._base() if self.is_mutation else 1
        cost = self._selection(self.operation.selection_set, self.root, data, True)
        return max(1, round(cost))

    def _base(self) -> int:
        names = [
            s.name.value
            for s in self.operation.selection_set.selections
            if isinstance(s, FieldNode)
        ]
        return sum(_MUTATION_COST.get(name, 10) for name in names)

    def _fields(self, selection_set: SelectionSetNode, parent: Any) -> list[tuple[FieldNode, Any]]:
        found: list[tuple[FieldNode, Any]] = []
        for node in selection_set.selections:
            if isinstance(node, FieldNode):
                found.append((node, parent))
            elif isinstance(node, FragmentSpreadNode):
                fragment = self.fragments.get(node.name.value)
                if fragment:
                    kind = self.schema.get_type(fragment.type_condition.name.value)
                    found += self._fields(fragment.selection_set, kind)
            elif isinstance(node, InlineFragmentNode):
                kind = (
                    self.schema.get_type(node.type_condition.name.value)
                    if node.type_condition
                    else parent
                )
                found += self._fields(node.selection_set, kind)
        return found

    def _selection(
        self, selection_set: SelectionSetNode | None, parent: Any, data: Any, root: bool = False
    ) -> float:
        """``data`` None means: the worst case the document asks for."""
        if selection_set is None:
            return 0
        return sum(
            self._field(node, kind, data, root)
            for node, kind in self._fields(selection_set, parent)
        )

    def _field(self, node: FieldNode, parent: Any, data: Any, root: bool) -> float:
        fields = getattr(parent, "fields", None)
        if not fields or node.name.value not in fields:
            return 0
        named = get_named_type(fields[node.name.value].type)
        key = node.alias.value if node.alias else node.name.value
        value = None
        if data is not None:
            if not isinstance(data, dict) or key not in data:
                return 0
            value = data[key]
        if root and self.is_mutation:
            own = _MUTATION_COST.get(node.name.value, 10)
            return own + (
                self._selection(node.selection_set, named, value) if value or data is None else 0
            )
        if not isinstance(named, GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType):
            return 0
        if data is not None and value is None:
            return 0
        if named.name.endswith("Connection"):
            return self._connection(node, named, value, data is None)
        if isinstance(value, list):
            children = [
                1 + self._selection(node.selection_set, named, item) for item in value if item
            ]
            return sum(children)
        one = 1 + self._selection(node.selection_set, named, value)
        # A list asked for by identifiers is as long as they are many.
        return one * self._scale(self._argument(node, "ids")) if data is None else one

    def _argument(self, node: FieldNode, name: str) -> int:
        """Number in an argument, or length of a list in it; 1 when it is not given."""
        for argument in node.arguments:
            if argument.name.value == name:
                value = value_from_ast_untyped(argument.value, self.variables)
                return len(value) if isinstance(value, list) else int(value or 0)
        return 1

    def _connection(self, node: FieldNode, named: Any, value: Any, asked: bool) -> float:
        if asked:
            count = max(self._argument(node, "first"), self._argument(node, "last"))
            child = self._nodes(node, named, None)
            return 2 + child * self._scale(count)
        rows = value.get("nodes")
        if rows is None:
            rows = [edge.get("node") for edge in value.get("edges") or []]
        if not rows:
            return 2
        mean = sum(self._nodes(node, named, row) for row in rows) / len(rows)
        return 2 + mean * self._scale(len(rows))

    def _nodes(self, node: FieldNode, named: Any, row: Any) -> float:
        """Cost of one node of a connection, however it is selected."""
        cost = 0.0
        for child, _kind in self._fields(node.selection_set, named) if node.selection_set else []:
            name = child.name.value
            if name == "nodes":
                kind = get_named_type(named.fields["nodes"].type)
                cost += 1 + self._selection(child.selection_set, kind, row)
            elif name == "edges":
                edge = get_named_type(named.fields["edges"].type)
                for inner, _edge in self._fields(child.selection_set, edge):
                    if inner.name.value == "node":
                        kind = get_named_type(edge.fields["node"].type)
                        cost += 1 + self._selection(inner.selection_set, kind, row)
        return cost


class Bucket:
    """Points of one app in one shop; refills while nobody asks."""

    def __init__(self, size: float, restore: float) -> None:
        self.size, self.restore = float(size), float(restore)
        self.available = self.size
        self._stamp = time.monotonic()

    def refill(self) -> float:
        moment = time.monotonic()
        self.available = min(self.size, self.available + (moment - self._stamp) * self.restore)
        self._stamp = moment
        return self.available

    def take(self, points: float) -> bool:
        if self.refill() < points:
            return False
        self.available -= points
        return True

    def give_back(self, points: float) -> None:
        self.available = min(self.size, self.available + points)

    def status(self) -> dict[str, float]:
        return {
            "maximumAvailable": self.size,
            "currentlyAvailable": int(self.refill()),
            "restoreRate": self.restore,
        }
