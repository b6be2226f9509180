"""Servers on loopback that answer byte by byte what a test wants."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable


class Wire:
    """Accepts connections on a free port and hands each request to ``answer``.

    :param answer: called with (connection, raw request) for every request; returns bytes to send,
        or None when it has answered by itself. An empty answer closes the connection.
    """

    def __init__(
        self,
        answer: Callable[[socket.socket, bytes], bytes | None],
        tls: ssl.SSLContext | None = None,
    ):
        self.requests: list[bytes] = []
        self.connections = 0
        #: names in the certificates that callers have shown
        self.callers: list[str] = []
        self._answer, self._tls = answer, tls
        self._stop = threading.Event()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://localhost:{self.port}"

    def wait(self, seconds: float) -> bool:
        """Wait, but no longer than the test; True when the server shall end."""
        return self._stop.wait(seconds)

    def close(self) -> None:
        self._stop.set()
        for sock in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
                self._note_caller(connection)
            with connection:
                while request := self._read(connection):
                    self.requests.append(request)
                    answer = self._answer(connection, request)
                    if answer == b"":
                        return
                    if answer:
                        connection.sendall(answer)

    def _note_caller(self, connection: ssl.SSLSocket) -> None:
        subject = (connection.getpeercert() or {}).get("subject", ())
        self.callers += [value for (pair,) in subject for _name, value in [pair]]

    def _read(self, connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            if not (piece := connection.recv(65536)):
                return b""
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (
                int(line.partition(b":")[2])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            ),
            0,
        )
        while len(body) < length:
            if not (piece := connection.recv(65536)):
                break
            body += piece
        return head + b"\r\n\r\n" + body


def answer(
    status: int = 200,
    body: bytes = b"{}",
    content_type: str = "application/json",
    length: int | None = None,
    **headers: str,
) -> bytes:
    """The bytes of a complete HTTP answer; ``_`` in a header's name is written ``-``."""
    lines = [f"HTTP/1.1 {status} Status"]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
