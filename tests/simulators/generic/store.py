"""The records of the service, and everything that was ever done to them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

#: Collection -> first letters of its ids.
COLLECTIONS = {"contacts": "C", "products": "P", "prices": "R", "payments": "PAY"}
#: Collections whose rows are made once and never change: they cost money.
CREATE_ONLY = frozenset({"payments"})


class Refused(Exception):
    """The service does not accept what is asked of it; the text says why."""

    def __init__(self, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Config:
    """Settings; the control API changes them while the service runs."""

    keys: tuple[str, ...] = ("demo-key",)
    secret: str = "demo-secret"
    seed: int = 1
    #: rows of a page of a list, and most rows of a batch
    page_size: int = 100
    #: bucket -> (calls a second, capacity); ``*`` counts all calls, a collection its own
    rate_limits: dict[str, tuple[float, float]] = field(default_factory=dict)
    #: seconds by which the service's clock is wrong
    clock_skew: float = 0.0
    #: seconds to wait for the answer to a notification, and before each further try
    webhook_timeout: float = 5.0
    webhook_backoff: tuple[float, ...] = (1.0, 5.0, 15.0)

    NAMES = {
        "keys": "keys",
        "secret": "secret",
        "pageSize": "page_size",
        "rateLimits": "rate_limits",
        "clockSkew": "clock_skew",
        "webhookTimeout": "webhook_timeout",
        "webhookBackoff": "webhook_backoff",
    }

    def update(self, values: dict[str, Any]) -> None:
        """Take settings by their names in the control API.

        :raises Refused: an unknown one.
        """
        for name, value in values.items():
            if name not in self.NAMES:
                raise Refused(f"unknown setting {name}", 400)
            if name == "rateLimits":
                value = {bucket: (float(rate), float(cap)) for bucket, (rate, cap) in value.items()}
            elif name in ("keys", "webhookBackoff"):
                value = tuple(value)
            setattr(self, self.NAMES[name], value)

    def shown(self) -> dict[str, Any]:
        return {name: getattr(self, attribute) for name, attribute in self.NAMES.items()}


@dataclass
class Row:
    """One record; a deleted one stays as a tombstone."""

    id: str
    values: dict[str, Any]
    reference: str | None
    created_at: datetime
    updated_at: datetime
    deleted: bool = False

    def shown(self) -> dict[str, Any]:
        """The record as the API gives it."""
        stamps = {"created_at": text_of(self.created_at), "updated_at": text_of(self.updated_at)}
        if self.deleted:
            return {"id": self.id, "reference": self.reference, "deleted": True, **stamps}
        return {**self.values, "id": self.id, "reference": self.reference, **stamps}


@dataclass(frozen=True)
class Write:
    """One change that took place."""

    sequence: int
    #: by a clock that is right, seconds since the epoch
    at: float
    #: ``api`` or ``control``
    by: str
    action: str
    collection: str
    id: str
    reference: str | None
    values: dict[str, Any]


def text_of(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def moment_of(text: str) -> datetime:
    """Read a time as the service writes it.

    :raises Refused: it is none.
    """
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Refused(f"{text} is no time such as 2026-11-01T10:00:00Z", 400) from None


class Store:
    """Thread-safe through ``lock``, which callers hold around what belongs together.

    ``changed(action, collection, row)`` is called under the lock after every write.
    """

    def __init__(self, config: Config, changed: Callable[[str, str, Row], None]) -> None:
        self.config = config
        self.changed = changed
        self.lock = threading.RLock()
        self.rows: dict[str, dict[str, Row]] = {name: {} for name in COLLECTIONS}
        self.journal: list[Write] = []
        self._by_reference: dict[tuple[str, str], list[str]] = {}

    def reset(self) -> None:
        with self.lock:
            for rows in self.rows.values():
                rows.clear()
            self.journal.clear()
            self._by_reference.clear()

    def now(self) -> datetime:
        """The present by the service's own clock, in whole seconds."""
        return datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=self.config.clock_skew)

    # === READING === #

    def row(self, collection: str, row_id: str) -> Row:
        row = self.rows[collection].get(row_id)
        if row is None or row.deleted:
            raise Refused(f"{collection} has no {row_id}", 404)
        return row

    def by_ids(self, collection: str, ids: Iterable[str]) -> list[Row]:
        found = (self.rows[collection].get(row_id) for row_id in ids)
        return [row for row in found if row and not row.deleted]

    def by_references(self, collection: str, references: Iterable[str]) -> list[Row]:
        ids = (i for key in references for i in self._by_reference.get((collection, key), ()))
        return self.by_ids(collection, ids)

    def page(
        self,
        collection: str,
        since: datetime | None,
        after: tuple[datetime, str] | None,
        limit: int,
        deleted: bool,
    ) -> tuple[list[Row], tuple[datetime, str] | None]:
        """Rows by the time of their last change, oldest first.

        :param after: position of the last row of the previous page.
        :param deleted: tombstones too.
        :returns: the rows, and the position to go on from, None at the end.
        """
        rows = [
            row
            for row in self.rows[collection].values()
            if (deleted or not row.deleted)
            and (since is None or row.updated_at >= since)
            and (after is None or (row.updated_at, row.id) > after)
        ]
        rows.sort(key=lambda row: (row.updated_at, row.id))
        more = len(rows) > limit
        rows = rows[:limit]
        return rows, (rows[-1].updated_at, rows[-1].id) if more else None

    def count(self, collection: str) -> int:
        return sum(not row.deleted for row in self.rows[collection].values())

    # === WRITING === #

    def create(self, collection: str, values: dict[str, Any], by: str = "api") -> Row:
        """Make a row, whatever there is already: a second one with the same reference too."""
        values = dict(values)
        reference = values.pop("reference", None)
        self._check(collection, values, by)
        row_id = f"{COLLECTIONS[collection]}{len(self.rows[collection]) + 1}"
        now = self.now()
        row = Row(row_id, values, reference, now, now)
        self.rows[collection][row_id] = row
        if reference:
            self._by_reference.setdefault((collection, reference), []).append(row_id)
        self._note("create", collection, row, values, by)
        return row

    def update(self, collection: str, row_id: str, values: dict[str, Any], by: str = "api") -> Row:
        """Set values of a row."""
        row = self.row(collection, row_id)
        values = {key: value for key, value in values.items() if key not in ("id", "reference")}
        self._check(collection, {**row.values, **values}, by)
        row.values = {**row.values, **values}
        row.updated_at = self.now()
        self._note("update", collection, row, values, by)
        return row

    def delete(self, collection: str, row_id: str, by: str = "api") -> Row:
        row = self.row(collection, row_id)
        row.deleted, row.updated_at = True, self.now()
        self._note("delete", collection, row, {}, by)
        return row

    def _check(self, collection: str, values: dict[str, Any], by: str) -> None:
        """Refuse what the service does not take from others (its own records may be odd)."""
        if by == "control" or collection not in ("products", "prices", "payments"):
            return
        amount = values.get("amount" if collection != "products" else "price", 0)
        if not isinstance(amount, int | float) or amount < 0:
            raise Refused("the amount must be a number and not be negative")
        if collection == "products" and not values.get("name"):
            raise Refused("a product needs a name")

    def _note(
        self, action: str, collection: str, row: Row, values: dict[str, Any], by: str
    ) -> None:
        self.journal.append(
            Write(
                len(self.journal) + 1,
                time.time(),
                by,
                action,
                collection,
                row.id,
                row.reference,
                dict(values),
            )
        )
        self.changed(action, collection, row)
