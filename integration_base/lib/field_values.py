"""Read values out of a payload by path and convert them for an Odoo field."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from html import escape
from typing import Any

from .errors import InvalidPayloadError


def read_path(payload: Any, path: str) -> Any:
    """Return the value at ``path``, e.g. ``customer.addresses.0.zip``.

    Objects are read by attribute or key, lists by position. Anything missing gives None.
    """
    value = payload
    for step in path.split("."):
        if value is None:
            return None
        if isinstance(value, (list, tuple)):
            value = value[int(step)] if step.isdigit() and int(step) < len(value) else None
        elif isinstance(value, dict):
            value = value.get(step)
        else:
            value = getattr(value, step, None)
    return value


def _text(value):
    return value if isinstance(value, str) else str(value)


def _joined(value):
    return ", ".join(map(_text, value)) if isinstance(value, (list, tuple)) else _text(value)


def _html(value):
    return "<br/>".join(escape(line) for line in _text(value).splitlines())


def _plain(value):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", _text(value))).strip()


def _number(value):
    number = Decimal(_text(value))
    if not number.is_finite():
        raise InvalidOperation
    return float(number)


def _datetime(value):
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(_text(value))
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _date(value):
    return value if type(value) is date else _datetime(value).date()


#: name -> function; the names are the choices of ``integration.field.mapping``.
CONVERTERS = {
    "text": _text,
    "joined": _joined,
    "html": _html,
    "plain": _plain,
    "number": _number,
    "integer": lambda value: int(_text(value)),
    "boolean": bool,
    "datetime": _datetime,
    "date": _date,
}


def convert(value: Any, converter: str, path: str) -> Any:
    """Return ``value`` converted for Odoo; None and empty texts become False.

    :raises InvalidPayloadError: when the value does not fit, naming ``path``.
    """
    if value is None or value == "":
        return False
    try:
        return CONVERTERS[converter](value)
    except (ValueError, TypeError, ArithmeticError) as error:
        problem = f"{value!r} cannot be read as {converter}"
        raise InvalidPayloadError(
            f"The field {path} has a value that does not fit: {problem}. Correct it in "
            f"the external system, or choose another conversion in the field mapping, then press "
            f"Retry.",
            problems=[(path, problem)],
        ) from error
