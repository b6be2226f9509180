"""Keeps a shop in a file from one start to the next.

The file is one line, ``shop-state <version> <SHA-256 of the rest>``, and the pickled state. A
pickle may only be loaded from a file of one's own: this is one, written here and nowhere else.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import threading
import time
from dataclasses import fields, is_dataclass
from pathlib import Path

from . import market_api, money, mutations, records
from .shop import Shop

_MARK = b"shop-state"
# Seconds in which changes are collected; written they are to be after a second.
_PAUSE = 0.3


def version() -> str:
    """Version of the format; another one as soon as a kept record gains or loses a field."""
    parts = list(Shop.KEPT)
    for module in (money, records, mutations, market_api):
        for name, kind in sorted(vars(module).items()):
            if is_dataclass(kind) and kind.__module__ == module.__name__:
                parts += [
                    f"{module.__name__}.{name}",
                    *(f"{f.name}: {f.type}" for f in fields(kind)),
                ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


class StateFile:
    """The file of one shop. Its thread writes whatever changed since the last time."""

    def __init__(self, path: Path, shop: Shop) -> None:
        self.path = path
        self.shop = shop
        self._written = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="state", daemon=True)

    def load(self) -> bool:
        """Give the shop what the file holds; False when there is none that can be read.

        One that cannot be read is set aside, and stderr says so.

        :raises OSError: the operating system refuses to read it.
        """
        try:
            head, _newline, body = self.path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return False
        mark, _space, rest = head.partition(b" ")
        written_by, _space, digest = rest.decode("ascii", "replace").partition(" ")
        if mark != _MARK or digest != hashlib.sha256(body).hexdigest():
            self._set_aside("is damaged")
        elif written_by != version():
            self._set_aside("was written by another version of the simulator")
        else:
            with self.shop.lock:
                self.shop.restore(pickle.loads(body))
            return True
        return False

    def _set_aside(self, reason: str) -> None:
        aside = self.path.with_name(f"{self.path.name}.unreadable")
        self.path.replace(aside)
        print(
            f"The state of the shop in {self.path} {reason}: it is now {aside.name}, and the shop "
            "starts anew with its first order number, so start what is connected to it anew too "
            "(`./run reset`).",
            file=sys.stderr,
            flush=True,
        )

    def save(self) -> None:
        """Write the shop as it is now, whole or not at all.

        :raises OSError: it cannot be written; what was there before still is.
        """
        with self.shop.lock:
            self.shop.unsaved.clear()
            body = pickle.dumps(self.shop.state())
        digest = hashlib.sha256(body).hexdigest()
        if digest == self._written:
            return
        new = self.path.with_name(f"{self.path.name}.new")
        with new.open("wb") as file:
            file.write(b"%s %s %s\n" % (_MARK, version().encode(), digest.encode()))
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)
        self._written = digest

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread, lock the shop for good and write it for the last time.

        :raises OSError: as :meth:`save`.
        """
        self._ended.set()
        self.shop.unsaved.set()
        if self._thread.is_alive():
            self._thread.join()
        # Never released: nobody shall get an answer about a change that is not written any more.
        self.shop.lock.acquire()
        self.save()

    def _keep(self) -> None:
        told, pause = "", _PAUSE
        while self.shop.unsaved.wait() and not self._ended.wait(pause):
            begun = time.monotonic()
            try:
                self.save()
                told = ""
            except OSError as error:
                self.shop.unsaved.set()
                if told != str(error):
                    told = str(error)
                    print(
                        f"The state of the shop cannot be written and is tried again: {error}.",
                        file=sys.stderr,
                        flush=True,
                    )
            # A big shop is not to be locked most of the time.
            pause = max(_PAUSE, time.monotonic() - begun)
