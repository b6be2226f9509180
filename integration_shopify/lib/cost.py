"""What a query will cost, before Shopify has ever told.

Shopify counts 1 for an object, nothing for a scalar, 10 for a mutation, and connections by the
rows asked for; rows count logarithmically, in its own words, and ``2 + row x 2 ln(first)`` is what
its answers fit (https://shopify.dev/docs/api/usage/limits). No schema is needed: what has a
selection is an object, and what has ``nodes`` or ``edges`` is a connection.
"""

import math
import re
from typing import Any, NamedTuple

#: One query may not cost more, whatever it asks for.
MOST = 1000.0
_MUTATION = 10.0
#: Mutations for which Shopify takes more.
_MUTATIONS = {"refundCreate": 20.0, "orderCapture": 20.0}
_TOKEN = re.compile(
    r'\#[^\n]*|\.\.\.|"""(?:.|\n)*?"""|"(?:[^"\\]|\\.)*"|\$?[A-Za-z_]\w*|-?\d+(?:\.\d+)?|[^\s,]'
)


class _Field(NamedTuple):
    name: str
    arguments: dict
    selection: list | None


class _Spread(NamedTuple):
    name: str


def estimate(query: str, variables: dict[str, Any]) -> float:
    """Return the points a query will probably ask for, at least 1 and at most :data:`MOST`.

    :param query: text with one operation and the fragments it uses.
    :param variables: as they are sent.
    """
    return min(MOST, max(1.0, round(_Estimate(query, variables).cost())))


class _Estimate:
    def __init__(self, query, variables):
        self._tokens = [token for token in _TOKEN.findall(query) if token[0] != "#"]
        self._position = 0
        self._variables = variables
        self._fragments: dict[str, list] = {}

    def cost(self):
        root, is_mutation = [], False
        while self._position < len(self._tokens):
            kind = self._next()
            if kind == "fragment":
                name = self._next()
                self._skip_to_selection()
                self._fragments[name] = self._selection()
            else:
                is_mutation = kind == "mutation"
                self._position -= kind == "{"
                self._skip_to_selection()
                root = self._selection()
        if is_mutation:
            return sum(
                _MUTATIONS.get(field.name, _MUTATION) + self._sum(field.selection)
                for field in self._fields(root)
            )
        return self._sum(root)

    # === READING === #

    def _next(self):
        self._position += 1
        return self._tokens[self._position - 1]

    def _peek(self):
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _skip_to_selection(self):
        """Skip names, types, variables and directives, up to the brace that opens a selection."""
        depth = 0
        while (self._peek() != "{" or depth) and self._peek():
            token = self._next()
            depth += (token in "([") - (token in ")]") if len(token) == 1 else 0

    def _selection(self):
        found = []
        self._next()
        while self._peek() not in ("}", ""):
            token = self._next()
            if token != "...":
                found.append(self._field(token))
            elif self._peek() in ("on", "{", "@"):
                self._skip_to_selection()
                found += self._selection()
            else:
                found.append(_Spread(self._next()))
                self._directives()
        self._next()
        return found

    def _field(self, name):
        if self._peek() == ":":
            self._next()
            name = self._next()
        arguments = self._arguments() if self._peek() == "(" else {}
        self._directives()
        return _Field(name, arguments, self._selection() if self._peek() == "{" else None)

    def _directives(self):
        while self._peek() == "@":
            self._position += 2
            if self._peek() == "(":
                self._arguments()

    def _arguments(self):
        """Return the arguments that say how many: numbers, and lists by their length."""
        found, closing = {}, {"(": ")", "[": "]", "{": "}"}
        self._next()
        while self._peek() != ")":
            name, _colon, value = self._next(), self._next(), self._next()
            if value in closing:
                opened = [closing[value]]
                while opened:
                    token = self._next()
                    if token in closing:
                        opened.append(closing[token])
                    elif token == opened[-1]:
                        opened.pop()
            elif value.startswith("$"):
                found[name] = self._variables.get(value[1:])
            elif value.isdecimal():
                found[name] = int(value)
        self._next()
        return found

    # === COUNTING === #

    def _fields(self, selection):
        for entry in selection or ():
            if isinstance(entry, _Spread):
                yield from self._fields(self._fragments.get(entry.name))
            else:
                yield entry

    def _sum(self, selection):
        return sum(self._cost(field) for field in self._fields(selection))

    def _cost(self, field):
        if field.selection is None:
            return 0.0
        rows = self._rows(field.selection)
        if rows is not None:
            return 2 + rows * _scaled(_size(field.arguments, ("first", "last")))
        # a list asked for by ids is as long as they are many; other lists are no connections
        return (1 + self._sum(field.selection)) * _scaled(_size(field.arguments, ("ids",), 1))

    def _rows(self, selection):
        """Return the cost of a row of a connection, None for what is no connection."""
        rows = None
        for field in self._fields(selection):
            if field.name == "nodes":
                rows = (rows or 0) + 1 + self._sum(field.selection)
            elif field.name == "edges":
                inner = [row for row in self._fields(field.selection) if row.name == "node"]
                rows = (rows or 0) + sum(1 + self._sum(row.selection) for row in inner)
        return rows


def _size(arguments, names, default=0):
    for name in names:
        value = arguments.get(name)
        if isinstance(value, list):
            return len(value)
        if isinstance(value, int):
            return value
    return default


def _scaled(count):
    return min(count, max(1.0, 2 * math.log(count))) if count > 0 else 0.0
