"""Making the API misbehave on purpose."""

from __future__ import annotations

import random
import re
import threading
from dataclasses import dataclass
from typing import Any


@dataclass
class Fault:
    """One kind of trouble for the next ``count`` requests, or for a ``share`` of them.

    Shopify side: ``status`` with ``body`` ("html", "empty", "json" or a text of its own),
    ``retry_after`` seconds, ``hang`` seconds before the answer, ``truncate`` (half of the JSON),
    ``reset`` ("before" or "after" the request is executed), ``throttle`` (the GraphQL answer);
    with ``after`` the request is carried out all the same, and only its answer is lost.
    ``target`` is "graphql", "token", "file" (``operation`` ``upload`` or ``result``) or "any";
    ``operation`` a regular expression of the names of operations and of the mutations in them.
    """

    count: int | None = None
    share: float | None = None
    status: int | None = None
    body: str | None = None
    retry_after: float | None = None
    hang: float = 0.0
    truncate: bool = False
    reset: str | None = None
    throttle: bool = False
    after: bool = False
    target: str = "graphql"
    operation: str | None = None
    hits: int = 0

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> Fault:
        names = {"retryAfter": "retry_after"}
        values = {names.get(key, key): value for key, value in spec.items()}
        unknown = set(values) - set(cls.__dataclass_fields__)
        if unknown:
            raise ValueError(f"unknown fault setting: {', '.join(sorted(unknown))}")
        fault = cls(**values)
        if fault.count is None and fault.share is None:
            fault.count = 1
        return fault


class Faults:
    def __init__(self, seed: int) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(seed)
        self.active: list[Fault] = []

    def set(self, faults: list[Fault]) -> None:
        with self._lock:
            self.active = faults

    def add(self, faults: list[Fault]) -> None:
        with self._lock:
            self.active += faults

    def draw(self, target: str, names: list[str]) -> Fault | None:
        """The fault this request meets, if any; counted faults are used up."""
        with self._lock:
            for fault in self.active:
                if fault.target not in ("any", target):
                    continue
                wanted = fault.operation
                if wanted and not any(re.search(wanted, name) for name in names):
                    continue
                if fault.count is not None:
                    if fault.count <= 0:
                        continue
                    fault.count -= 1
                elif self._random.random() >= (fault.share or 0):
                    continue
                fault.hits += 1
                return fault
        return None
