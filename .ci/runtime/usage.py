"""Locks between commands at the same time, in one checkout or several with one cache."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from . import paths


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file; a second command waits here."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Usage:
    """Who uses the embedded PostgreSQL: the last command to end stops it."""

    def __init__(self) -> None:
        self._file: IO | None = None

    def begin(self) -> None:
        """Announce that this command needs the server; waits while another one stops it."""
        paths.STATE.mkdir(parents=True, exist_ok=True)
        self._file = (paths.STATE / "users.lock").open("w")
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def is_last(self) -> bool:
        """Whether nobody else uses the server; if so, newcomers wait until `end`."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def share(self) -> None:
        """Let newcomers in again after `is_last`."""
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def end(self) -> None:
        """Release the lock."""
        self._file.close()
        self._file = None
