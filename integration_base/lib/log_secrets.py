"""Keeps the secrets that this process has had in its hands out of the server's log.

Any code that was given a secret may put it into an error, whose traceback is logged at every level.
"""

import contextlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable

from .redact import MASK, forms_of, value_mask

#: Shorter values are not looked for: any word could be one.
SHORTEST = 6


class KnownSecrets:
    """The secrets that this process has had in its hands, to find them in a text.

    The time it takes to look into a text does not depend on how many there are.

    :param limit: so many, the newest, are known.
    """

    def __init__(self, limit: int = 2000):
        self._limit = limit
        self._values: OrderedDict[str, frozenset[str]] = OrderedDict()
        # the last characters of every form of a secret (the first are the same in all tokens of a
        # service): the secrets that can end with them
        self._endings: dict[str, set[str]] = {}
        self._lock = threading.RLock()  # a finalizer that logs may run while it is held

    def add(self, value: str) -> None:
        """Know one more secret."""
        if len(value) < SHORTEST:
            return
        with self._lock:
            if value in self._values:
                self._values.move_to_end(value)
                return
            self._values[value] = frozenset(_ending(form) for form in forms_of(value))
            for ending in self._values[value]:
                self._endings.setdefault(ending, set()).add(value)
            if len(self._values) > self._limit:
                self._forget(*self._values.popitem(last=False))

    def _forget(self, value: str, endings: frozenset[str]) -> None:
        for ending in endings:
            values = self._endings[ending]
            values.discard(value)
            if not values:
                del self._endings[ending]

    def mask(self, text: str) -> str:
        """Return a text without the secrets."""
        # by far the most texts hold none, and this is all that is done with them
        known, small = self._endings, text.lower()
        found = {
            small[at : at + SHORTEST]
            for at in range(len(small))
            if small[at : at + SHORTEST] in known
        }
        if not found:
            return text
        with self._lock:
            values = set().union(*(known.get(ending, ()) for ending in found))
        return value_mask(values)(text)

    def __bool__(self) -> bool:
        return bool(self._values)

    def __repr__(self) -> str:
        return f"<KnownSecrets: {len(self._values)}>"


def _ending(form: str) -> str:
    return form.lower()[-SHORTEST:]


class HideSecrets:
    """A factory of log records, for :func:`logging.setLogRecordFactory`.

    The records are those of the factory that was there before. One that holds a secret is a text
    without it, whoever writes it down; every other is as it was. It never raises, and for every
    record there is one.

    :param make: the factory that was there before.
    :param secrets: what is looked for.
    """

    def __init__(self, make: Callable[..., logging.LogRecord], secrets: KnownSecrets):
        self._make = make
        self._secrets = secrets

    def __call__(self, *args, **kwargs) -> logging.LogRecord:
        """Return the record that the other factory makes, without secrets."""
        record = self._make(*args, **kwargs)
        if self._secrets:
            try:
                self._clean(record)
            except Exception as error:
                # what cannot be looked into is not shown; but that something was logged is
                record.msg = (
                    f"{MASK} (left out: secrets could not be removed, {type(error).__name__})"
                )
                record.args = record.exc_info = record.exc_text = record.stack_info = None
        return record

    def _clean(self, record: logging.LogRecord) -> None:
        message = _message(record)
        shown = self._secrets.mask(message)
        if shown != message:
            record.msg, record.args = shown, None
        if record.exc_info:
            trace = logging.Formatter().formatException(record.exc_info)
            shown = self._secrets.mask(trace)
            if shown != trace:
                # formatters take the text; nobody shall make another one
                record.exc_text, record.exc_info = shown, None
        if record.stack_info:
            record.stack_info = self._secrets.mask(record.stack_info)


def _message(record: logging.LogRecord) -> str:
    with contextlib.suppress(TypeError, ValueError, KeyError):
        return record.getMessage()
    # it does not fit its arguments, and logging would print both to say so
    return f"{record.msg} {record.args!r}"


#: What this process has decrypted or encrypted.
SECRETS = KnownSecrets()


def hide_secrets() -> None:
    """Let no log record of this process show a known secret."""
    make = logging.getLogRecordFactory()
    if not isinstance(make, HideSecrets):
        logging.setLogRecordFactory(HideSecrets(make, SECRETS))
