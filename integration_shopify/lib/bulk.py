"""The files of Shopify's bulk operations: JSON Lines in both directions, in bounded memory.

A bulk query answers with one line per object. What lies in a connection has a line of its own, with
the id of its parent in ``__parentId``, anywhere in the file, before or behind its parent. A bulk
mutation reads one line of variables per call and answers with one line each, numbered from 0 by
``__lineNumber``, in any order.
https://shopify.dev/docs/api/usage/bulk-operations/queries
https://shopify.dev/docs/api/usage/bulk-operations/imports
"""

import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from odoo.addons.integration_base.lib.errors import (
    ConfigurationError,
    InvalidPayloadError,
    RequestRefused,
)

from .client import Problem, UserErrors, user_errors

#: Operations of one kind that an app may have running in a shop.
#: https://shopify.dev/changelog/faster-bulk-operations
SLOTS = 5
#: Bytes read of a result at a time.
CHUNK = 2 * 1024 * 1024
#: Longest line that is read, in bytes: a product with all it may have takes some 100 KB.
MAX_LINE = 16 * 1024 * 1024
#: Bytes and lines of one file of variables. Shopify takes 100 MB; what waits for one answer shall
#: stay small enough to be looked through, and to be held in memory while it is sent.
MAX_FILE = 15 * 1024 * 1024
MAX_FILE_LINES = 5000
#: Hours for which a result is used; Shopify keeps it for seven days.
FRESH_HOURS = 6 * 24
#: Hours in which another load takes over what was asked for and never read.
REUSE_HOURS = 24

PARENT = "__parentId"
LINE_NUMBER = "__lineNumber"
#: What a document says in the place of a search, and of a list of keys.
SEARCH, KEYS = "__SEARCH__", "__KEYS__"
_OPERATION = re.compile(r"\A\s*(query|mutation)(?:\s+(\w+))?", re.ASCII)
_GID = re.compile(r"gid://shopify/(\w+)/")


class BulkDenied(ConfigurationError):
    """The app may not read all of what a bulk query asks for; Shopify does not say what."""


class Line(NamedTuple):
    """One line of a query's result.

    :param gid: id of the object; empty where the query did not ask for it.
    :param parent: id of what it belongs to; empty for the objects asked for.
    :param text: the line as it is.
    """

    gid: str
    parent: str
    text: str


# === READING LINES === #


def complete_part(data: bytes, last: bool) -> int:
    """Return how many bytes of ``data`` are whole lines.

    :param last: whether the file ends here; its last line need not end with a line break.
    """
    return len(data) if last else data.rfind(b"\n") + 1


def read_lines(data: bytes, position: int = 0) -> Iterator[str]:
    """Yield the lines of ``data`` that are not empty.

    :param position: of the first byte in the file, to say where a damaged line stands.
    :raises InvalidPayloadError: for bytes that are no text.
    """
    start = 0
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        raw = data[start:end].strip()
        if raw:
            try:
                yield raw.decode("utf-8")
            except UnicodeDecodeError:
                raise InvalidPayloadError(
                    f"The result of a bulk operation is damaged: what begins at byte "
                    f"{position + start:,} is no text. Press Retry on the bulk operation: it is "
                    f"run again."
                )
        start = end + 1


def read_objects(data: bytes, position: int = 0) -> Iterator[Line]:
    """Yield the :class:`Line` of each line of a query's result.

    :param position: as for :func:`read_lines`.
    :raises InvalidPayloadError: for a line that is no JSON object.
    """
    for text in read_lines(data, position):
        row = parse(text)
        yield Line(str(row.get("id") or ""), str(row.get(PARENT) or ""), text)


def parse(text: str) -> dict:
    """Return a line as a dict.

    Less strict than what is asked for record by record: what one object has inside is judged when
    that object is imported, and must not stop all others.

    :raises InvalidPayloadError: when it is no JSON object.
    """
    row = None
    if len(text) <= MAX_LINE:
        with contextlib.suppress(ValueError, RecursionError):
            row = json.loads(text)
    if not isinstance(row, dict):
        raise InvalidPayloadError(
            f"The result of a bulk operation is damaged: a line is no JSON object. It begins: "
            f"{text[:80]}"
        )
    return row


# === PUTTING OBJECTS TOGETHER === #


def kind_of(gid: str) -> str:
    """Return the type an id names: ``ProductVariant``."""
    found = _GID.match(gid)
    return found[1] if found else ""


def ids_within(value: Any) -> Iterator[str]:
    """Yield the ids of an object and of all objects inside it: any of them may have children."""
    if isinstance(value, dict):
        if isinstance(value.get("id"), str):
            yield value["id"]
        for part in value.values():
            yield from ids_within(part)
    elif isinstance(value, list):
        for part in value:
            yield from ids_within(part)


def attach(
    parents: Iterable[dict], children: Iterable[dict], names: dict[str, dict[str, str]]
) -> list[dict]:
    """Put children into the connections of their parents, as an ordinary query returns them.

    :param parents: objects, with objects inside them.
    :param children: objects with ``__parentId``, which is taken away; their order is kept.
    :param names: ``{type of the parent: {type of the child: name of the connection}}``. Every
        parent of a type named here gets all of its connections, empty where nothing belongs in.
    :returns: the children that found no parent, or have no connection there.
    """
    places: dict[str, dict] = {}
    for parent in parents:
        _prepare(parent, names, places)
    lost = []
    for child in children:
        parent = places.get(child.get(PARENT) or "")
        kinds = names.get(kind_of(child.get(PARENT) or ""), {})
        name = kinds.get(kind_of(str(child.get("id") or "")))
        if parent is None or name is None:
            lost.append(child)
            continue
        del child[PARENT]
        parent[name]["nodes"].append(child)
    return lost


def _prepare(value, names, places):
    if isinstance(value, list):
        for part in value:
            _prepare(part, names, places)
    elif isinstance(value, dict):
        for part in list(value.values()):
            _prepare(part, names, places)
        gid = value.get("id")
        if isinstance(gid, str):
            connections = names.get(kind_of(gid), {})
            for name in connections.values():
                value.setdefault(
                    name, {"nodes": [], "pageInfo": {"hasNextPage": False, "endCursor": None}}
                )
            if connections or gid not in places:
                places[gid] = value


# === DOCUMENTS === #


def named(text: str, key: str) -> str:
    """Return a document whose operation is called like nothing else: by that name it is found.

    :param key: letters and digits.
    """
    return _OPERATION.sub(
        lambda found: f"{found[1]} {found[2] or 'Bulk'}_{key}", text.strip(), count=1
    )


def filled(text: str, search: str = "", keys: Iterable[str] = ()) -> str:
    """Return a document with ``search`` in the place of ``"__SEARCH__"`` and ``keys`` in that of
    ``["__KEYS__"]``: a bulk query takes no variables."""
    # a JSON text is a GraphQL text, and a JSON list of texts a GraphQL list
    text = text.replace(f'"{SEARCH}"', json.dumps(search))
    return text.replace(f'["{KEYS}"]', json.dumps(list(keys)))


# === VARIABLES AND RESULTS OF MUTATIONS === #


def variables_line(variables: dict) -> str:
    """Return the line of a file for one call of a bulk mutation, without its line break.

    In ASCII: no character of it can be taken for a line break.
    """
    return json.dumps(variables, separators=(",", ":"), allow_nan=False)


@dataclass
class Result:
    """What a bulk mutation did with one line of variables.

    :param number: of the line, from 0.
    :param payload: the mutation's field of ``data``.
    :param problems: its user errors, or the errors of the whole call without path.
    :param refused: whether it certainly was not carried out.
    """

    number: int
    payload: dict | None = None
    problems: list[Problem] = field(default_factory=list)
    refused: bool = False

    def error(self, action: str) -> RequestRefused | None:
        """Return the error for a line that was refused, None for one that was carried out.

        :param action: what was tried, for the person who reads it.
        """
        if not self.refused:
            return None
        text = "; ".join(
            f"{p.path + ': ' if p.path else ''}{p.message}{f' [{p.code}]' if p.code else ''}"
            for p in self.problems
        )
        return UserErrors(
            f"Shopify refused to {action}: {text}",
            problems=self.problems,
            payload=self.payload or {},
        )


def read_result(text: str) -> Result:
    """Read a line of a bulk mutation's result.

    :raises InvalidPayloadError: when it is none.
    """
    row = parse(text)
    number = row.get(LINE_NUMBER)
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise InvalidPayloadError(
            f"A line of a bulk operation's result does not say which line it answers. It begins: "
            f"{text[:80]}"
        )
    data = row.get("data")
    payload = next(iter(data.values()), None) if isinstance(data, dict) else None
    if isinstance(payload, dict):
        problems = user_errors(payload)
        return Result(number, payload, problems, refused=bool(problems))
    errors = row.get("errors")
    errors = errors if isinstance(errors, list) else [errors]
    problems = [
        Problem(
            ".".join(map(str, error.get("path") or ())),
            str((error.get("extensions") or {}).get("code") or ""),
            str(error.get("message") or "no reason given"),
        )
        if isinstance(error, dict)
        else Problem("", "", str(error or "no reason given"))
        for error in errors
    ]
    return Result(number, None, problems, refused=True)
