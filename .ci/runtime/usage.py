"""Who uses the embedded PostgreSQL: the last command to end stops it, so nothing is left running."""

from __future__ import annotations

import fcntl
from typing import IO

from . import paths


class Usage:
    """A shared lock held while a command works with the server."""

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

    def end(self) -> None:
        """Release the lock."""
        self._file.close()
        self._file = None
