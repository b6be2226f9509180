"""Shops in this process behind the connector's client: no HTTP, no waiting, a clock of our own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

from tests.simulators.shopify.base import Config
from tests.simulators.shopify.books import books
from tests.simulators.shopify.executor import Executor
from tests.simulators.shopify.records import Order
from tests.simulators.shopify.seed import seed_catalogue
from tests.simulators.shopify.shop import Shop

from .lives import Clock, Life, play

#: Identifiers of one copy of a life are this far from those of the next.
STRIDE = 10**10
#: Time between two steps that do not follow at once.
GAP = timedelta(hours=7)


class Copy:
    """A life in a shop of its own; all copies of a life differ in their identifiers alone."""

    def __init__(self, life: Life, number: int, clock: Clock) -> None:
        """:param number: of the copy, unique among all copies of all lives."""
        self.life = life
        self.number = number
        self.clock = clock
        self.start = clock.moment
        self.elapsed = timedelta()
        self.position = 0
        #: whether it was over before the present moment
        self.over_before = False
        self.order: Order | None = None
        #: (order id, updated_at) of what the shop notified about the order, oldest first
        self.notices: list[tuple[str, datetime]] = []
        self.shop = _NumberedShop(number)
        self.executor = Executor(self.shop)
        seed_catalogue(self.shop)
        self.shop.emit = self._notice

    @property
    def over(self) -> bool:
        return self.position >= len(self.life.steps)

    def play(self) -> None:
        """Do the next step, at its time."""
        step = self.life.steps[self.position]
        if self.position:
            # never in the same second: Odoo can tell two states of one second apart only by
            # having read the first within seconds
            self.elapsed += GAP if step.pause else timedelta(seconds=2)
        self.clock.moment = self.start + self.elapsed
        if self.order is None:
            self.order = self.shop.place_order(step.body)
        else:
            play(self.shop, self.order, step.action, step.body)
        self.position += 1

    def books(self) -> dict[str, Any]:
        return books(self.order, self.shop.config.timezone)

    def plain(self, value: Any) -> Any:
        """A value with the identifiers of copy 0."""
        if isinstance(value, dict):
            return {self.plain(key): self.plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return type(value)(self.plain(item) for item in value)
        if isinstance(value, str) and value.startswith("gid://shopify/"):
            head, _slash, tail = value.rpartition("/")
            if tail.isdecimal():
                return f"{head}/{int(tail) - self.number * STRIDE}"
        return value

    def _notice(self, topic: str, record: Any) -> None:
        if isinstance(record, Order) and topic.startswith("ORDERS_"):
            self.notices.append((record.gid, record.updated_at.replace(tzinfo=None)))


class _NumberedShop(Shop):
    def __init__(self, number: int) -> None:
        self.first = number * STRIDE
        super().__init__(Config(search_delay=0, cost_bucket=10**9, cost_restore=10**9))
        self.order_number = 1000 + number

    def next_id(self, kind: str) -> int:
        return super().next_id(kind) + self.first

    def restore(self, state: dict[str, Any]) -> None:
        raise NotImplementedError("a copy is not kept")


@contextmanager
def answered_by(
    copies: list[Copy], client: Any, judge: Callable[[str, dict[str, Any]], None]
) -> Iterator[None]:
    """Let documents of the connector be answered by the shop that has the order.

    :param client: the module ``integration_shopify.lib.client``.
    :param judge: called with each document and its variables; raises what Shopify would refuse.
    """

    def execute(
        _client: Any, name: str, variables: dict[str, Any] | None = None, *, money="presentment"
    ) -> Any:
        query, variables = client.document(name, money), dict(variables or {})
        judge(query, variables)
        owners = {copy.order.gid: copy for copy in copies if copy.order}
        if "ids" not in variables:
            return _run(owners[variables["id"]], query, variables)
        nodes, errors = [], []
        for gid in variables["ids"]:
            answer = _run(owners[gid], query, {**variables, "ids": [gid]})
            nodes += answer.data["nodes"]
            errors += answer.errors
        return client.Answer(data={"nodes": nodes}, errors=errors)

    def _run(copy: Copy, query: str, variables: dict[str, Any]) -> Any:
        config = copy.shop.config
        answer = copy.executor.run(query, variables, None, config.scopes, client.API_VERSION).body
        if not answer.get("data"):
            raise AssertionError(f"the shop refuses: {answer}")
        return client.Answer(data=answer["data"], errors=answer.get("errors", []))

    with patch.object(client.GraphqlClient, "execute", execute):
        yield
