"""A service on a free port, in this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from ..app import Simulator
from ..client import GenericService


class Caller:
    """Sends requests with the service's key, as a connector would."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = "Bearer demo-key"

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        options.setdefault("timeout", 10)
        return self.session.request(method, f"{self.url}/api/{path}", **options)


@pytest.fixture
def service() -> Iterator[GenericService]:
    """Control of a running service."""
    simulator = Simulator()
    server = simulator.listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    handle = GenericService(f"http://127.0.0.1:{server.port}")
    yield handle
    handle.stop()
    server.shutdown()
    thread.join(5)
    simulator.close()


@pytest.fixture
def ask(service: GenericService) -> Iterator[Caller]:
    """The API of that service."""
    caller = Caller(service.url)
    yield caller
    caller.session.close()
