"""JSON as it comes from outside, read without surprises.

``json.loads`` accepts what no database or other parser does (``NaN``, ``1e999``, a repeated key, a
NUL character, half of a surrogate pair) and fails with a bug's exception on deep nesting and on
very long numbers. Here every one of them is an :class:`InvalidPayloadError` that says where.
"""

import json
import math
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, NoReturn
from uuid import UUID

from .errors import InvalidPayloadError

MAX_DEPTH = 64
MAX_BYTES = 20 * 1024 * 1024
#: Longest number taken: 64-bit ids have 19 digits, amounts fewer.
MAX_DIGITS = 40
#: Largest exponent of a decimal number taken; more makes arithmetic explode.
MAX_EXPONENT = 400

_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*"?'
_BRACKETS = re.compile(_STRING + r"|[\[\]{}]", re.DOTALL)
_CONSTANTS = re.compile(_STRING + r"|-?Infinity|NaN", re.DOTALL)
_LONG_NUMBER = re.compile(rf"\d{{{MAX_DIGITS + 1}}}")
_EXPONENT = re.compile(r"\d[eE]")
_SUSPECT_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Problem(ValueError):
    def __init__(self, message: str, where: str = ""):
        super().__init__(message)
        self.where = where


def loads_strict(
    data: bytes | bytearray | str,
    *,
    what: str = "The data received",
    max_depth: int = MAX_DEPTH,
    max_bytes: int = MAX_BYTES,
    decimals: bool = False,
    containers_only: bool = True,
) -> Any:
    """Parse JSON text.

    :param data: UTF-8 bytes (a byte order mark is tolerated) or text.
    :param what: beginning of the error's sentence, e.g. ``The answer of shop.example``.
    :param max_depth: deepest nesting of objects and lists.
    :param decimals: numbers with a fraction become ``Decimal`` (for money) instead of ``float``.
    :param containers_only: refuse a bare text, number, true, false or null.
    :raises InvalidPayloadError: with the place and the reason.
    """
    try:
        return _loads(data, max_depth, max_bytes, decimals, containers_only)
    except _Problem as problem:
        place = f" ({problem.where})" if problem.where else ""
        reason = str(problem)
        where = problem.where or "(whole text)"
    raise InvalidPayloadError(
        f"{what} cannot be read: {reason}{place}. Nothing was changed. Try again later; "
        f"if it stays, tell the other side's support.",
        problems=[(where, reason)],
    )


def dumps_strict(value: Any) -> str:
    """Write compact JSON for a request.

    ``Decimal`` becomes a text (``"10.00"``, digits kept), dates and times ISO 8601 (a naive
    ``datetime`` is UTC, as everywhere in Odoo), pydantic models their aliases.

    :raises ValueError: for NaN and infinity.
    :raises TypeError: for objects without a JSON form.
    """
    return json.dumps(
        value, default=_plain, allow_nan=False, ensure_ascii=False, separators=(",", ":")
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"{value} is not a number JSON can hold")
        return format(value, "f")
    if isinstance(value, datetime):
        text = value.isoformat()
        return text if value.tzinfo else f"{text}Z"
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="python", by_alias=True)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _loads(data, max_depth, max_bytes, decimals, containers_only):
    if len(data) > max_bytes:
        raise _Problem(f"it is larger than {max_bytes:,} bytes")
    text = _decode(data)
    if not text.strip():
        raise _Problem("it is empty")
    _check_depth(text, max_depth)
    try:
        value = json.loads(text, **_hooks(text, decimals))
    except json.JSONDecodeError as error:
        raise _Problem(_reason(error), _position(text, error.pos)) from None
    except RecursionError:
        raise _Problem(f"it is nested deeper than {max_depth} levels") from None
    if containers_only and not isinstance(value, (dict, list)):
        raise _Problem(f"an object or a list was expected, not {_kind(value)}")
    if _SUSPECT_ESCAPE.search(text):
        _check_texts(value)
    return value


def _decode(data: bytes | bytearray | str) -> str:
    if isinstance(data, str):
        text = data.removeprefix("\ufeff")
        if surrogate := _SURROGATE.search(text):
            raise _Problem("half of a character pair", _position(text, surrogate.start()))
        return text
    try:
        return bytes(data).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Problem("it is not UTF-8 text", f"byte {error.start}") from None


def _check_depth(text: str, max_depth: int) -> None:
    if text.count("[") + text.count("{") <= max_depth:
        return
    depth = 0
    for token in _BRACKETS.finditer(text):
        match token.group()[0]:
            case "[" | "{":
                depth += 1
                if depth > max_depth:
                    where = _position(text, token.start())
                    raise _Problem(f"it is nested deeper than {max_depth} levels", where)
            case "]" | "}":
                depth -= 1


def _hooks(text: str, decimals: bool) -> dict[str, Callable]:
    # The hooks cost a Python call per number, so they are only set when they can matter.
    hooks: dict[str, Callable] = {"object_pairs_hook": _object}
    long = bool(_LONG_NUMBER.search(text))
    if long:
        hooks["parse_int"] = _integer
    if decimals:
        hooks["parse_float"] = _decimal
    elif long or _EXPONENT.search(text):
        hooks["parse_float"] = _float

    def constant(name: str) -> NoReturn:
        found = (t for t in _CONSTANTS.finditer(text) if not t.group().startswith('"'))
        where = next((_position(text, token.start()) for token in found), "")
        raise _Problem(f"{name} is not a number", where)

    hooks["parse_constant"] = constant
    return hooks


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise _Problem("an object has the same name twice", f"name {twice[:80]!r}")
    return result


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise _Problem(f"a number has more than {MAX_DIGITS} digits", f"starts with {digits[:20]}")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise _Problem("a number is too large", f"starts with {digits[:20]}")
    return value


def _decimal(digits: str) -> Decimal:
    value = Decimal(digits)
    if len(digits) > 2 * MAX_DIGITS or abs(value.adjusted()) > MAX_EXPONENT:
        raise _Problem("a number is too large or too long", f"starts with {digits[:20]}")
    return value


def _check_texts(value: Any) -> None:
    for path, text in _texts(value, ""):
        if "\0" in text:
            raise _Problem("a text contains a NUL character", f"at {path or 'the top'}")
        if _SURROGATE.search(text):
            raise _Problem("a text contains half of a character pair", f"at {path or 'the top'}")


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield f"a name in {path}" if path else "a name at the top", key
            yield from _texts(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts(item, f"{path}[{number}]")


def _position(text: str, index: int) -> str:
    line = text.count("\n", 0, index) + 1
    column = index - text.rfind("\n", 0, index)
    return f"line {line}, column {column}"


def _reason(error: json.JSONDecodeError) -> str:
    if error.pos >= len(error.doc.rstrip()):
        return "it ends in the middle, a part is missing"
    return f"it is not JSON, {error.msg[0].lower()}{error.msg[1:]}"


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    return "a text" if isinstance(value, str) else "a number"
