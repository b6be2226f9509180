"""A shop in the same process, and one behind a port."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ..app import Simulator
from ..shop import Config, Shop


@pytest.fixture
def shop() -> Shop:
    """An empty shop of CAD whose search index does not lag."""
    return Shop(Config(currency="CAD", search_delay=0, taxes_included=False))


@pytest.fixture
def simulator() -> Simulator:
    return Simulator(Config(search_delay=0))


@pytest.fixture
def graphql(simulator: Simulator) -> Callable[..., dict[str, Any]]:
    """Run a document against the shop; returns the decoded body."""

    def run(
        query: str,
        variables: dict[str, Any] | None = None,
        *,
        scopes: tuple[str, ...] | None = None,
        version: str = "2026-10",
    ) -> dict[str, Any]:
        with simulator.shop.lock:
            granted = simulator.shop.config.scopes if scopes is None else scopes
            return simulator.executor.run(query, variables, None, granted, version).body

    return run


@pytest.fixture
def served(simulator: Simulator) -> Iterator[str]:
    """Address of the shop on a free port."""
    server = simulator.listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join(5)
    simulator.close()
