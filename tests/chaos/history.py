"""Everything that was tried during a run, with its outcome."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

OK, FAILED, UNKNOWN = "ok", "failed", "unknown"


class History:
    """Thread-safe; each entry is also a line of the file, for whoever has to find out why."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.counts: Counter[tuple[str, str]] = Counter()
        self._started = time.monotonic()
        self._lock = threading.Lock()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._started

    def add(self, who: str, what: str, outcome: str, **details: Any) -> None:
        """Keep an entry.

        :param outcome: `ok`, `failed` (did not take place) or `unknown` (nobody can tell).
        """
        entry = {"at": round(self.seconds, 2), "who": who, "what": what, "outcome": outcome}
        with self._lock:
            self.counts[who, outcome] += 1
            with self.file.open("a") as file:
                file.write(json.dumps({**entry, **details}, default=str) + "\n")
