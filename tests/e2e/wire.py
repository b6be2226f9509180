"""Requests as bytes, for what no HTTP library would send."""

import itertools
import re
import socket
import time
from typing import NamedTuple
from urllib.parse import urlsplit

_numbers = itertools.count(1)


class Answer(NamedTuple):
    """What came back.

    :param status: None when there was no answer, or none of HTTP.
    :param head: the lines before the body, without the status line and the date.
    :param seconds: until the first byte of it.
    """

    status: int | None
    head: tuple[bytes, ...]
    body: bytes
    seconds: float | None


def another_sender():
    """Return an address of this machine that hardly any request came from lately."""
    number = next(_numbers)
    return f"127.{number >> 16 & 63 | 64}.{number >> 8 & 255}.{number & 255}"


def send(url, raw, sender=None):
    """Send bytes, close our side, and return the :class:`Answer`.

    :param sender: address they come from; another one each time by default, or most would be
        turned away as a flood of one sender.
    """
    parts = urlsplit(url)
    source = (sender or another_sender(), 0)
    received, seconds = b"", None
    with socket.create_connection((parts.hostname, parts.port), 30, source) as connection:
        started = time.perf_counter()
        try:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # answered before it was told everything
        try:
            while part := connection.recv(65536):
                seconds = seconds or time.perf_counter() - started
                received += part
        except ConnectionResetError:
            pass  # the same, and the answer may be lost with it
    received = re.sub(rb"\AHTTP/1\.1 100 Continue\r\n\r\n", b"", received)
    head, _end, body = received.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    found = re.match(rb"HTTP/\d\.\d (\d{3})", lines[0])
    if not found:
        return Answer(None, (), received, seconds)
    kept = tuple(line for line in lines[1:] if not line.lower().startswith(b"date:"))
    return Answer(int(found[1]), kept, body, seconds)
