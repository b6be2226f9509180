"""What the log of an Odoo server tells: the requests it answered, and its errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Odoo writes after each request: queries, seconds in them, seconds of the rest.
REQUEST = re.compile(
    rb'"(?P<method>[A-Z]+) (?P<path>\S+) HTTP/[\d.]+" (?P<status>\d+) \S+ '
    rb"(?P<queries>\d+) (?P<sql>[\d.]+) (?P<rest>[\d.]+)"
)
#: Characters of an error that are shown; a refused statement may be as long as its values.
LINE = 200
ERROR = re.compile(rb"^\S+ \S+ \d+ (ERROR|CRITICAL) ", re.MULTILINE)


@dataclass(frozen=True)
class Request:
    """One answered request."""

    method: str
    path: str
    status: int
    queries: int
    sql_seconds: float
    other_seconds: float


class ServerLog:
    """Reads what was written to a log since a position."""

    def __init__(self, file: Path):
        self.file = file

    def position(self) -> int:
        """Where the log ends now."""
        return self.file.stat().st_size

    def requests(self, since: int, path: str) -> Iterator[Request]:
        """Requests answered since a position, to addresses that begin with `path`."""
        for match in REQUEST.finditer(self._read(since)):
            request = Request(
                match["method"].decode(),
                match["path"].decode(),
                int(match["status"]),
                int(match["queries"]),
                float(match["sql"]),
                float(match["rest"]),
            )
            if request.path.startswith(path):
                yield request

    def errors(self, since: int) -> list[str]:
        """First lines of the errors written since a position."""
        text = self._read(since)
        return [
            text[match.start() : match.start() + LINE].splitlines()[0].decode(errors="replace")
            for match in ERROR.finditer(text)
        ]

    def _read(self, since: int) -> bytes:
        with self.file.open("rb") as file:
            file.seek(since)
            return file.read()
