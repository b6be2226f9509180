"""Reading connections to their end, however long they are and however deep they lie.

A first query brings some rows of each connection of an object. :func:`read_on` adds the rest, page
by page, in place::

    PLAN = (
        Connection("lineItems", "order_lines", "order.lineItems", by_root),
        Connection(
            "agreements",
            "order_agreements",
            "order.agreements",
            lambda place: {**by_root(place), "sales": 20},
            page=20,
        ),
        # of an object without an id of its own: found by the cursor of its neighbour
        Connection(
            "agreements.sales",
            "order_agreements",
            "order.agreements.0.sales",
            lambda place: {
                "id": place.root["id"], "first": 1, "after": place.before,
                "sales": place.first, "salesAfter": place.after,
            },
            by_cursor=True,
        ),
        # of an object with an id: asked for by it
        Connection(
            "refunds.refundLineItems",
            "refund_lines",
            "refund.refundLineItems",
            lambda place: {
                "id": place.parent["id"], "first": place.first, "after": place.after,
            },
            version=None,
        ),
    )
    read_on(lambda name, variables: client.execute(name, variables).data, order, PLAN)

Nothing is ever cut off silently: what cannot be read to its end is an error.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from odoo.addons.integration_base.lib.errors import (
    NotReadyError,
    RateLimitedError,
    RequestRefused,
    RetryableError,
)

from .client import QueryTooExpensive

#: Rows of one page; Shopify gives no more.
MAX_PAGE = 250
#: Seconds after which what changed while it was read is worth reading again.
_CHANGED_SECONDS = 2.0


@dataclass(frozen=True)
class Place:
    """Where a page begins.

    :param root: the object :func:`read_on` was called with.
    :param parent: the object whose connection it is; ``root`` itself at the first level.
    :param before: cursor of what stands before ``parent`` in its own connection; None when it is
        the first there, or the connection is not read by cursor.
    :param first: rows to ask for.
    :param after: cursor of the last row read; None for the first page.
    """

    root: dict
    parent: dict
    before: str | None
    first: int
    after: str | None


def by_root(place: Place) -> dict:
    """The usual variables: ``$id`` of the root, ``$first``, ``$after``."""
    return {"id": place.root["id"], "first": place.first, "after": place.after}


@dataclass(frozen=True)
class Connection:
    """A connection, and how its pages after the first are read.

    :param path: from the root to it, dotted. A step over a list or another connection means each
        of its elements: ``agreements.sales``.
    :param document: reads a page.
    :param found: from the document's data to the connection, dotted; a number picks an element
        (of a list or a connection): ``order.agreements.0.sales``.
    :param variables: called with a :class:`Place`; returns the variables of the document.
    :param version: from the document's data to what has to equal the root's ``updatedAt``; None
        where the document does not bring it.
    :param page: rows to ask for at once; halved when that is too expensive.
    :param by_cursor: whether ``variables`` needs ``place.before``. The connection around has to be
        in the plan as well, and its document to ask for ``edges { cursor node }``.
    """

    path: str
    document: str
    found: str
    variables: Callable[[Place], dict] = by_root
    version: str | None = "order.updatedAt"
    page: int = MAX_PAGE
    by_cursor: bool = False


@dataclass(frozen=True)
class PlainList:
    """A list that Shopify cuts at ``first`` without saying so (``Order.refunds``).

    It is read again, as long as one can be, when it came as full as it was asked for.

    :param asked: rows the first query asked for.
    :param found: from the document's data to the list, dotted.
    :param variables: called with a :class:`Place` whose ``after`` is None.
    """

    path: str
    document: str
    found: str
    asked: int
    variables: Callable[[Place], dict] = lambda place: {
        "id": place.root["id"],
        "first": place.first,
    }
    version: str | None = "order.updatedAt"


class Progress:
    """Pages read so far, for when Shopify asks to slow down in the middle.

    Without it an object with very many rows would start over again and again, and never fit into
    the bucket. It lives in the worker's memory: losing it only costs a few calls.

    :param most: objects that are kept.
    :param seconds: how long.
    """

    def __init__(self, most: int = 50, seconds: float = 900, clock=time.monotonic):
        self._most, self._seconds, self._clock = most, seconds, clock
        self._kept: OrderedDict[Hashable, tuple[float, str, Any]] = OrderedDict()

    def keep(self, key: Hashable, updated_at: str, work: Any) -> None:
        """Keep work on one version of an object."""
        self._kept[key] = (self._clock(), updated_at, work)
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def take(self, key: Hashable, updated_at: str) -> Any:
        """Return the work kept on this version of an object and forget it; None without any."""
        version = self.version(key)
        work = self._kept.pop(key, (0.0, None, None))[2]
        return work if version and version == updated_at else None

    def version(self, key: Hashable) -> str | None:
        """Return the version of an object on which work is kept; None without any."""
        kept_at, version, _work = self._kept.get(key, (0.0, None, None))
        return version if self._clock() - kept_at < self._seconds else None


def changed_since(since: datetime | None) -> str | None:
    """Return the search for what was changed since then (naive UTC); None for everything.

    Shopify takes a time without Z for one of the shop's time zone, and would miss changes.
    """
    return f"updated_at:>='{since:%Y-%m-%dT%H:%M:%SZ}'" if since else None


def read_in_parts(
    ids: list[str], size: int, read: Callable[[list[str], dict[str, Any]], None]
) -> dict[str, Any]:
    """Read records, some in each call; half as many where Shopify counts a call as too expensive.

    When Shopify asks to slow down or fails in the middle, what was read is returned, and the error
    stands in the place of each other record.

    :param size: records per call.
    :param read: called with some ids and the dict to add to: a payload (dict) or an error per id.
    :raises QueryTooExpensive: when one record alone is.
    """
    pending = [ids[start : start + size] for start in range(0, len(ids), size)]
    payloads: dict[str, Any] = {}
    while pending:
        # of a call that was too expensive, some may have come
        part = [gid for gid in pending.pop(0) if not isinstance(payloads.get(gid), dict)]
        if not part:
            continue
        try:
            read(part, payloads)
        except QueryTooExpensive:
            if len(part) == 1:
                raise
            half = len(part) // 2
            pending[:0] = [part[:half], part[half:]]
        except (RateLimitedError, RetryableError) as error:
            if not payloads:
                raise
            rest = {gid for other in [part, *pending] for gid in other} - payloads.keys()
            payloads.update(dict.fromkeys(rest, error))
            break
    return payloads


def read_on(
    read: Callable[[str, dict], dict],
    node: dict,
    plan: Iterable[Connection | PlainList],
    *,
    progress: Progress | None = None,
    key: Hashable = None,
) -> dict:
    """Complete the connections of ``node`` in place; returns it.

    Rows of connections asked for as ``edges`` are put under ``nodes`` as well.

    :param read: called with the name of a document and its variables; returns its data, or raises.
    :param node: what the first query brought; with ``id`` and ``updatedAt``.
    :param plan: in any order.
    :param progress: keeps what was read when ``read`` raises RateLimitedError.
    :param key: of the object in ``progress``: database, backend, id, and what else tells readings
        apart (the currency, the plan).
    :raises NotReadyError: when it was changed while it was read; it has to be read from the start.
    :raises QueryTooExpensive: when one row alone is.
    :raises RequestRefused: when a plain list is longer than Shopify can give it.
    :raises RateLimitedError: the next call goes on where this one stopped.
    """
    reading = progress.take(key, node["updatedAt"]) if progress else None
    if reading:
        reading.take_over(node, read)
    else:
        reading = _Reading(read, node, tuple(plan))
    try:
        reading.run()
    except RateLimitedError:
        if progress:
            reading.let_go()
            progress.keep(key, node["updatedAt"], reading)
        raise
    return node


class _Reading:
    """One call of :func:`read_on`."""

    def __init__(self, read, root, plan):
        self._read, self._root = read, root
        # what lies deeper is asked for when all that is around it is there
        self._plan = sorted(plan, key=lambda entry: entry.path.count("."))
        self._sizes = {entry.path: entry.page for entry in plan if isinstance(entry, Connection)}
        #: cursors of the rows of a connection, by the connection
        self._cursors: dict[int, list[str | None]] = {}
        #: plain lists known to be whole
        self._whole: set[int] = set()

    def let_go(self):
        """Forget how to read: what it needs (a client, a database) is not for ever."""
        self._read = None

    def take_over(self, root, read):
        """Go on for a caller who has kept the object, or has read its first pages once more."""
        if root is not self._root:
            root.clear()
            root.update(self._root)
        self._root, self._read = root, read

    def run(self):
        for entry in self._plan:
            for parent, around, position in _owners(self._root, entry.path.split(".")):
                name = entry.path.rpartition(".")[2]
                if parent.get(name) is None:
                    continue
                if isinstance(entry, PlainList):
                    self._complete_list(entry, parent, name)
                else:
                    _nodes(parent[name])
                    self._complete(entry, parent, name, around, position)

    def _complete(self, entry, parent, name, around, position):
        connection = parent[name]
        while (connection.get("pageInfo") or {}).get("hasNextPage"):
            before = self._before(entry, around, position) if entry.by_cursor else None
            after = connection["pageInfo"]["endCursor"]
            page = self._page(entry, parent, before, after)
            cursors = self._cursors.setdefault(id(connection), [None] * len(connection["nodes"]))
            cursors += _cursors(page)
            connection["nodes"] += _nodes(page)
            if "edges" in connection:
                connection["edges"] += page.get("edges") or []
            connection["pageInfo"] = page["pageInfo"]

    def _page(self, entry, parent, before, after):
        """Read one page, as large as Shopify allows."""
        while True:
            place = Place(self._root, parent, before, self._sizes[entry.path], after)
            try:
                data = self._read(entry.document, entry.variables(place))
            except QueryTooExpensive:
                if place.first == 1:
                    raise
                self._sizes[entry.path] = place.first // 2
                continue
            self._check_version(entry, data)
            owner, page = _follow(data, entry.found)
            # by its neighbour's cursor another object is found once one was put in between
            if not page or (owner.get("id") and parent.get("id") not in (None, owner["id"])):
                raise self._changed()
            info = page["pageInfo"]
            if info["hasNextPage"] and info["endCursor"] in (None, after):
                raise RetryableError(
                    "Shopify repeats a page instead of giving the next one. It is asked again "
                    "later.",
                    detail=f"{entry.document} after {after}",
                )
            return page

    def _complete_list(self, entry, parent, name):
        if len(parent[name]) < entry.asked or id(parent[name]) in self._whole:
            return
        place = Place(self._root, parent, None, MAX_PAGE, None)
        data = self._read(entry.document, entry.variables(place))
        self._check_version(entry, data)
        rows = _follow(data, entry.found)[1]
        if rows is None:
            raise self._changed()
        if len(rows) >= MAX_PAGE:
            raise RequestRefused(
                f"{self._label()} has {MAX_PAGE} or more {name}, and Shopify gives no more than "
                f"that. Nothing was read of them; show this to your integrator.",
                status=200,
            )
        parent[name] = rows
        self._whole.add(id(rows))

    def _before(self, entry, around, position):
        """Return the cursor of what stands before an element of a connection."""
        if position == 0:
            return None
        cursors = self._cursors.get(id(around)) or _cursors(around)
        if position > len(cursors) or cursors[position - 1] is None:
            cursors = self._walk(entry, around)
        return cursors[position - 1]

    def _walk(self, entry, around):
        """Read the cursors of a whole connection, which came without them."""
        path = entry.path.rpartition(".")[0]
        outer = next((e for e in self._plan if isinstance(e, Connection) and e.path == path), None)
        if not outer or "." in path:
            raise ValueError(f"{entry.path} needs {path}, at the first level, in the plan")
        cursors, ids, after = [], [], None
        while True:
            page = self._page(outer, self._root, None, after)
            cursors += _cursors(page)
            ids += [row.get("id") for row in _nodes(page)]
            if not page["pageInfo"]["hasNextPage"]:
                break
            after = page["pageInfo"]["endCursor"]
        if ids != [row.get("id") for row in around["nodes"]]:
            raise self._changed()
        if None in cursors:
            raise ValueError(f"{outer.document} has to ask for edges {{ cursor node }}")
        self._cursors[id(around)] = cursors
        return cursors

    def _check_version(self, entry, data):
        if entry.version and _follow(data, entry.version)[1] != self._root["updatedAt"]:
            raise self._changed()

    def _changed(self):
        return NotReadyError(
            f"{self._label()} was changed while it was read; it is read again.",
            retry_after=_CHANGED_SECONDS,
        )

    def _label(self):
        return self._root.get("name") or self._root["id"]


def _owners(root: dict, steps: list[str]):
    """Return (object, connection around it, its position there) for each owner of the last step."""
    found = [(root, None, 0)]
    for step in steps[:-1]:
        inner = []
        for parent, _around, _position in found:
            value = parent.get(step)
            if isinstance(value, list):
                inner += [(row, None, at) for at, row in enumerate(value) if row]
            elif isinstance(value, dict) and ("nodes" in value or "edges" in value):
                inner += [(row, value, at) for at, row in enumerate(_nodes(value)) if row]
            elif value:
                inner.append((value, None, 0))
        found = inner
    return found


def _nodes(connection: dict) -> list:
    """Return the rows of a connection, however they were asked for."""
    if "nodes" not in connection:
        connection["nodes"] = [edge["node"] for edge in connection["edges"]]
    return connection["nodes"]


def _cursors(connection: dict) -> list[str | None]:
    if "edges" in connection:
        return [edge.get("cursor") for edge in connection["edges"]]
    return [None] * len(connection["nodes"])


def _follow(data: Any, path: str) -> tuple[dict, Any]:
    """Return (what it belongs to, what is at ``path``); (``{}``, None) when it is not there."""
    owner: dict = {}
    for step in path.split("."):
        if not data:
            return {}, None
        if step.isdecimal():
            rows = data if isinstance(data, list) else _nodes(data)
            if int(step) >= len(rows):
                return {}, None
            data = rows[int(step)]
        else:
            owner, data = data, data.get(step)
    return owner, data
