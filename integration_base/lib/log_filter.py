"""Keeps what people type, and what services send back with them, out of the log.

At the level DEBUG, Odoo's server logs every remote call with its arguments: also the values that
somebody types into a field that is never shown again. At every level it logs the addresses of
requests.
"""

import logging
import re

MASK = "***"


class HideArguments(logging.Filter):
    """Hides the arguments of remote calls on some models, for Odoo's logger ``odoo.service.model``.

    :param prefix: of the names of these models.
    """

    def __init__(self, prefix: str):
        super().__init__()
        self.prefix = prefix

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass; one that is about a call on one of the models says less."""
        arguments = record.args
        if isinstance(arguments, tuple) and arguments and self._is_ours(arguments[0]):
            # the records and the method, which come first, tell what was called
            record.args = (*arguments[:2], *(MASK for _ in arguments[2:]))
        return True

    def _is_ours(self, called: object) -> bool:
        name = getattr(called, "_name", None)
        return isinstance(name, str) and name.startswith(self.prefix)


class HideQuery(logging.Filter):
    """Hides what follows the path in logged addresses, for the logger ``werkzeug``.

    Also where such an address is a parameter itself: who is not logged in is sent to the login.

    :param path: regular expression of the paths.
    """

    def __init__(self, path: str):
        super().__init__()
        path = path.replace("/", "(?:/|%2F)")
        self._query = re.compile(rf"({path}(?:\?|%3F))\S*", re.IGNORECASE)

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass; one with such an address says less."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                self._query.sub(rf"\1{MASK}", arg) if isinstance(arg, str) else arg
                for arg in record.args
            )
        return True
