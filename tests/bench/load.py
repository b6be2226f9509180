"""A load generator: many requests over a few connections, as fast as they are answered."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

#: Odoo lets 8 connections for each worker wait; more would measure the kernel's patience.
CONNECTIONS = 8
TIMEOUT = 60


@dataclass(frozen=True)
class Outcome:
    """What became of the requests."""

    seconds: float
    #: how many were answered with which status; 0 stands for a broken connection
    statuses: Counter[int]


def post(url: str, headers: dict[str, str], body: bytes) -> bytes:
    """A POST request as the bytes to send, built before anything is timed."""
    parts = urlsplit(url)
    lines = [
        f"POST {parts.path or '/'} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Connection: keep-alive",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def send(url: str, requests: Sequence[bytes], connections: int = CONNECTIONS) -> Outcome:
    """Send requests to the server of `url`, each once, over `connections` at a time."""
    parts = urlsplit(url)
    address = (parts.hostname, parts.port)
    numbers = itertools.count()
    statuses: list[Counter[int]] = [Counter() for _ in range(connections)]
    start = threading.Barrier(connections + 1)

    def work(counted: Counter[int]) -> None:
        start.wait()
        connection = None
        # `next` is atomic: no request is taken twice
        while (number := next(numbers)) < len(requests):
            connection, status = _exchange(address, connection, requests[number])
            counted[status] += 1
        if connection is not None:
            connection.close()

    threads = [threading.Thread(target=work, args=(counted,)) for counted in statuses]
    for thread in threads:
        thread.start()
    start.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    return Outcome(time.perf_counter() - started, sum(statuses, Counter()))


def _exchange(
    address: tuple[str, int], connection: socket.socket | None, request: bytes
) -> tuple[socket.socket | None, int]:
    """Send one request; returns the connection if it stays open, and the status."""
    try:
        if connection is None:
            connection = socket.create_connection(address, TIMEOUT)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(request)
        status, keep = _read(connection)
    except OSError:
        if connection is not None:
            connection.close()
        return None, 0
    if keep:
        return connection, status
    connection.close()
    return None, status


def _read(connection: socket.socket) -> tuple[int, bool]:
    """Read one answer; returns its status and whether another may follow."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            raise ConnectionError("the server hung up")
        data += part
    head, _end, body = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    headers = {}
    for line in lines:
        name, _colon, value = line.partition(b":")
        headers[name.strip().lower()] = value.strip().lower()
    keep = first.startswith(b"HTTP/1.1") and headers.get(b"connection") != b"close"
    missing = int(headers.get(b"content-length", 0)) - len(body)
    while missing > 0:
        part = connection.recv(missing)
        if not part:
            raise ConnectionError("the server hung up")
        missing -= len(part)
    return int(first.split()[1]), keep
