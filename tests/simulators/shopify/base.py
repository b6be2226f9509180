"""What every part of the shop stands on: settings, records, changes, errors."""

from __future__ import annotations

import functools
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from .money import Bag, Currencies
from .records import Line, Order, Record, now

VERSIONS = ("2026-01", "2026-04", "2026-07", "2026-10")

DEFAULT_SCOPES = (
    "read_orders",
    "write_orders",
    "read_all_orders",
    "read_customers",
    "write_customers",
    "read_customer_merge",
    "write_customer_merge",
    "read_products",
    "write_products",
    "read_locations",
    "read_markets",
    "read_inventory",
    "write_inventory",
    "read_merchant_managed_fulfillment_orders",
    "write_merchant_managed_fulfillment_orders",
    "read_fulfillments",
    "write_fulfillments",
    "read_returns",
    "write_returns",
    "read_payment_terms",
    "read_publications",
    "write_publications",
    "read_locales",
    "read_translations",
    "write_translations",
    "read_files",
    "write_files",
)


class SpecError(ValueError):
    """The control request cannot be carried out; the text says why."""


class Refused(Exception):
    """Shopify would refuse this with a user error.

    :param field: path of the input, or None.
    """

    def __init__(
        self, message: str, field: list[str] | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.code = code


@dataclass
class Config:
    """Settings of a shop; every one can be changed with ``POST /control/config``."""

    shop: str = "demo-shop"
    name: str = "Demo Shop"
    currency: str = "EUR"
    timezone: str = "America/New_York"
    country: str = "DE"
    taxes_included: bool = True
    # the first one is that of the shop itself
    locales: tuple[str, ...] = ("en", "de", "fr")
    # channels that may be changed for one product at once
    publication_limit: int = 250
    client_id: str = "demo-client-id"
    client_secret: str = "demo-client-secret"
    webhook_secret: str | None = None
    legacy_tokens: tuple[str, ...] = ("shpat_demo",)
    scopes: tuple[str, ...] = DEFAULT_SCOPES
    token_lifetime: int = 86399
    refresh_lifetime: int = 90 * 86400
    versions: tuple[str, ...] = VERSIONS
    webhook_version: str = "2026-10"
    cost_bucket: float = 2000
    cost_restore: float = 100
    cost_model: str = "log"
    search_delay: float = 0.2
    protected_data: bool = True
    seed: int = 1
    webhook_timeout: float = 5.0
    webhook_backoff: tuple[float, ...] = (0.5, 1, 2, 4, 8, 16, 32, 64)
    webhook_failures: int = 8
    #: how long a bulk operation takes, how many run at once, and the largest file of variables
    bulk_seconds: float = 0.3
    bulk_slots: int = 5
    bulk_file_bytes: int = 100 * 1024 * 1024
    #: error code the next bulk operation fails with, half done
    bulk_failure: str = ""
    #: moment (seconds since 1970) until which results are good instead of seven days
    bulk_expired: float = 0
    rates: dict[str, str] = field(
        default_factory=lambda: {
            "USD": "0.92",
            "GBP": "1.17",
            "JPY": "0.0062",
            "CHF": "1.05",
            "CAD": "0.67",
            "SEK": "0.087",
            "AUD": "0.6",
            "EUR": "1",
        }
    )

    @property
    def domain(self) -> str:
        return f"{self.shop}.myshopify.com"


def decimal(value: Any, what: str = "amount") -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation as error:
        raise SpecError(f"{what}: {value!r} is not a number") from error


def action(method: Callable[..., Any]) -> Callable[..., Any]:
    """One thing that happens to the shop: whatever it notifies shares one event identifier."""

    @functools.wraps(method)
    def run(self: Base, *args: Any, **kwargs: Any) -> Any:
        if not self.depth:
            self.event_id = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        self.depth += 1
        try:
            return method(self, *args, **kwargs)
        finally:
            self.depth -= 1

    return run


class Base:
    """All state, in memory, behind one lock. Callers hold ``lock`` while they read or change it."""

    # What a state file keeps; the settings come with every start.
    KEPT = (
        "random",
        "event_id",
        "_ids",
        "records",
        "order_number",
        "_pending_index",
        "tokens",
        "refresh_tokens",
        "codes",
        "idempotency",
        "effects",
        "uploads",
        "translations",
    )

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self.lock = threading.RLock()
        # Set after a change, for the state file.
        self.unsaved = threading.Event()
        # Called as emit(topic, record, extra) for everything a webhook can report.
        self.emit: Callable[[str, Any], None] = lambda topic, record: None
        self.reset()

    def reset(self) -> None:
        """Forget every record and start the identifiers again; the settings stay."""
        self.random = random.Random(self.config.seed)
        self.event_id = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        self.depth = 0
        self._ids: dict[str, int] = {}
        self.records: dict[str, dict[int, Record]] = {}
        self.order_number = 1000
        self._pending_index: list[tuple[float, Any, dict[str, Any]]] = []
        self.tokens: dict[str, dict[str, Any]] = {}
        self.refresh_tokens: dict[str, dict[str, Any]] = {}
        self.codes: dict[str, dict[str, Any]] = {}
        self.idempotency: dict[str, tuple[str, Any]] = {}
        # How often something that cannot be undone was done, by kind.
        self.effects: Counter[str] = Counter()
        # What was uploaded, or is going to be, by its token.
        self.uploads: dict[str, dict[str, Any]] = {}
        # By id of the record: {(locale, key): (value, digest of what it translates)}.
        self.translations: dict[str, dict[tuple[str, str], tuple[str, str]]] = {}
        # Uploads and results of bulk operations, by name; a restart loses them.
        self.files: dict[str, bytes] = {}
        # How the last request called the shop.
        self.address = ""
        self.shop_id = 68817551382
        self.app_id = 74150117377

    def state(self) -> dict[str, Any]:
        """Everything a state file keeps, by the names in ``KEPT``; the caller holds ``lock``."""
        return {name: getattr(self, name) for name in self.KEPT}

    def restore(self, state: dict[str, Any]) -> None:
        """Become what :meth:`state` gave, perhaps in another process."""
        for name in self.KEPT:
            setattr(self, name, state[name])
        # Their moments are those of another clock; by now the search has caught up.
        self._pending_index = [(0.0, order, row) for _due, order, row in self._pending_index]

    # === IDENTIFIERS AND RECORDS === #

    def next_id(self, kind: str) -> int:
        if kind in self._ids:
            self._ids[kind] += 32_768
        else:
            self._ids[kind] = 5_800_000_000_000 + sum(ord(char) for char in kind) * 1_000_003
        return self._ids[kind]

    def add(self, record: Record) -> Any:
        self.records.setdefault(record.gql_type, {})[record.id] = record
        return record

    def all(self, kind: str) -> list[Any]:
        return list(self.records.get(kind, {}).values())

    def find(self, gid: str) -> Record | None:
        """Record of a well-formed id, or None. Raises ValueError for text that is no id at all."""
        parts = str(gid).split("?")[0].split("/")
        if not str(gid).startswith("gid://shopify/") or len(parts) != 5 or not parts[4].isdigit():
            raise ValueError(f"Invalid id: {gid}")
        kind, number = parts[3], int(parts[4])
        return self.records.get(kind, {}).get(number)

    def get(self, kind: str, key: Any) -> Any:
        """Record by number, global id, order name or SKU; for the control API."""
        text = str(key)
        found = self.records.get(kind, {})
        if text.startswith("gid://"):
            record = self.find(text)
        elif text.isdigit() and int(text) in found:
            record = found[int(text)]
        else:
            names = {text, f"#{text}"}
            record = next(
                (
                    r
                    for r in found.values()
                    if {getattr(r, "name", 0), getattr(r, "sku", 0)} & names
                ),
                None,
            )
        if record is None:
            raise SpecError(f"{kind} {key!r} does not exist")
        return record

    def local(self, moment: datetime) -> str:
        """A moment as webhooks write it: store-local with its offset."""
        return moment.astimezone(ZoneInfo(self.config.timezone)).isoformat()

    def _bag(self, value: Any, currencies: Currencies, what: str) -> Bag:
        """Amount of a spec: a number in the buyer's currency or {"shop": .., "presentment": ..}."""
        if isinstance(value, dict):
            shop = decimal(value["shop"], what)
            return Bag(shop, decimal(value.get("presentment", shop), what)).rounded(currencies)
        amount = decimal(value, what)
        if currencies.single:
            return Bag(amount, amount).rounded(currencies)
        return Bag(amount * currencies.rate, amount).rounded(currencies)

    @staticmethod
    def _moment(value: Any) -> datetime:
        if not value:
            return now()
        try:
            moment = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
        except ValueError as error:
            raise SpecError(f"{value!r} is not an ISO timestamp") from error
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)

    def live_rate(self, currency: str) -> Decimal:
        """Today's value of one unit of ``currency`` in shop currency."""
        rates = self.config.rates
        if currency == self.config.currency:
            return Decimal(1)
        if currency not in rates or self.config.currency not in rates:
            raise SpecError(
                f"rate: no rate for {currency}; give one with the order or in config.rates"
            )
        return decimal(rates[currency]) / decimal(rates[self.config.currency])

    # === CHANGES === #

    @action
    def changed(self, order: Order, *topics: str) -> None:
        """Stamp an order as changed, let the search index know (later), and notify."""
        order.updated_at = max(now(), order.updated_at)
        self._close_when_done(order)
        self._index(order)
        for topic in topics:
            self.emit(topic, order)
        self.emit("ORDERS_UPDATED", order)

    def _close_when_done(self, order: Order) -> None:
        done = (
            order.financial_status in ("PAID", "PARTIALLY_REFUNDED")
            and order.fulfillment_status == "FULFILLED"
            and not any(row.active for row in order.returns)
        )
        if done and not order.closed_at:
            order.closed_at = order.updated_at

    def line_of(self, order: Order, key: Any) -> Line:
        """Line by position (0 = first), id or SKU."""
        if isinstance(key, int) and 0 <= key < len(order.lines):
            return order.lines[key]
        for line in order.lines:
            if str(key) in (str(line.id), line.gid, line.sku, line.title):
                return line
        raise SpecError(f"{order.name} has no line {key!r}")

    # === SEARCH INDEX === #

    def _index(self, order: Order) -> None:
        document = {
            "id": order.id,
            "created_at": order.created_at,
            "updated_at": order.updated_at,
            "processed_at": order.processed_at,
        }
        self._index_later(order, document)

    def _index_later(self, record: Any, document: dict[str, Any]) -> None:
        if self.config.search_delay <= 0:
            record.indexed = document
            return
        due = time.monotonic() + self.config.search_delay
        self._pending_index.append((due, record, document))

    def _catch_up(self) -> None:
        """Let the search know what it is late with."""
        moment = time.monotonic()
        while self._pending_index and self._pending_index[0][0] <= moment:
            _due, record, document = self._pending_index.pop(0)
            if not record.indexed or record.indexed["updated_at"] <= document["updated_at"]:
                record.indexed = document

    def searchable_orders(self) -> list[Order]:
        """Orders the search index knows by now, each with what it knows in ``indexed``."""
        self._catch_up()
        horizon = now() - timedelta(days=60)
        everything = "read_all_orders" in self.config.scopes
        return [
            o for o in self.all("Order") if o.indexed and (everything or o.created_at >= horizon)
        ]
