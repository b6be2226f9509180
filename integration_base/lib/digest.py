"""Digests that say "unchanged", and fingerprints that say "the same failure again"."""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID


def canonical_json(value: Any) -> str:
    """One text for equal data, whatever the order of keys or the spelling of a value.

    Equal are: ``Decimal("1.50")`` and ``Decimal("1.5")``; ``1.0`` and ``1``; one instant in two
    time zones (a naive ``datetime`` is UTC); tuple and list; a pydantic model or dataclass and the
    dict of its fields. A ``Decimal`` is written as text, so ``Decimal("1.5")`` equals ``"1.5"`` and
    not the float ``1.5``. Lists keep their order, sets have none.

    :raises TypeError: for objects without a stable form (records, functions ...).
    :raises ValueError: for NaN, infinity, and keys that fall together.
    """
    return json.dumps(
        _canonical(value),
        ensure_ascii=False,
        allow_nan=False,
        separators=(",", ":"),
        sort_keys=True,
    )


def digest(value: Any) -> str:
    """128 bits of SHA-256 over :func:`canonical_json`, as 32 hexadecimal digits."""
    return _sha256(canonical_json(value))[:32]


def fingerprint(error_class: str | type, message: str, about: Iterable[str | None] = ()) -> str:
    """16 hexadecimal digits, the same for failures that differ only in the record concerned.

    Quoted values, addresses and everything with a digit (ids, amounts, dates, order names) are
    left out; an HTTP status stays, because another status is another failure.

    :param about: what the record is called in the message (label, external id); left out, too.
    """
    name = error_class if isinstance(error_class, str) else error_class.__name__
    for text in sorted(filter(None, about), key=len, reverse=True):
        message = re.sub(rf"(?<!\w){re.escape(text)}(?!\w)", "#", message)
    return _sha256(f"{name}\n{generalize(message)}")[:16]


def generalize(message: str) -> str:
    """The message without what belongs to one record: ``SO12: 'AB' misses`` -> ``#: ? misses``."""
    text = message[:4000]
    for pattern, replacement in _GENERALIZE:
        text = pattern.sub(replacement, text)
    return text.strip()[:500]


_QUOTED = (
    r"`[^`\n]*`|\u201c[^\u201d\n]*\u201d|\u201e[^\u201c\u201d\n]*[\u201c\u201d]|\u00ab[^\u00bb\n]*\u00bb|\"[^\"\n]*\""
    # An apostrophe inside a word (doesn't) opens no quotation.
    r"|(?<!\w)'(?:[^'\n]|(?<=\w)'(?=\w))*'(?!\w)|(?<!\w)\u2018[^\u2018\u2019\n]*\u2019(?!\w)"
)
_GENERALIZE = [
    # As letters, so that the rule for digits below leaves the status alone.
    (re.compile(r"\bHTTP (\d)(\d)(\d)\b"), lambda m: "HTTP " + _letters(m.group(1, 2, 3))),
    (re.compile(_QUOTED), "?"),
    (re.compile(r"(?<!\S)\S{0,200}@\S*|https?://\S*"), "#"),
    # \S*\d\S*, anchored at the start of the word to stay linear; closing punctuation stays.
    (re.compile(r"(?<!\S)[^\s\d]*\d\S*?(?=[.,:;!?)\]]*(?:\s|$))"), "#"),
    (re.compile(r"#(?:[\s,;]+#)+"), "#"),
    (re.compile(r"\?(?:[\s,;]+\?)+"), "?"),
    (re.compile(r"\s+"), " "),
]


def _letters(digits: tuple[str, ...]) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in digits)


def _sha256(text: str) -> str:
    # A lone surrogate has no UTF-8 form, but data that holds one still needs a digest.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _canonical(value: Any) -> Any:
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        # NaN and infinity are left for json.dumps to refuse.
        return int(value) if math.isfinite(value) and value.is_integer() else value
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            value = value.replace(tzinfo=UTC)
        return value.astimezone(UTC).isoformat()
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, dict):
        return _mapping(value)
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_canonical(item) for item in value), key=canonical_json)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    if isinstance(value, UUID):
        return str(value)
    if hasattr(value, "model_dump"):
        return _canonical(value.model_dump(mode="python"))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _canonical(getattr(value, f.name)) for f in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__name__} has no stable form to compute a digest of")


def _decimal(value: Decimal) -> str:
    if not value.is_finite():
        raise ValueError("NaN and infinity have no digest")
    sign, digits, exponent = value.as_tuple()
    # as_tuple instead of normalize(), which would round to the context's precision.
    number = "".join(map(str, digits)).lstrip("0")
    kept = number.rstrip("0")
    if not kept:
        return "0"
    exponent += len(number) - len(kept)
    if abs(exponent) > 1000:
        return f"{'-' if sign else ''}{kept}e{exponent}"
    return format(Decimal((sign, tuple(map(int, kept)), exponent)), "f")


def _mapping(value: dict) -> dict[str, Any]:
    result = {_key(key): _canonical(item) for key, item in value.items()}
    if len(result) != len(value):
        raise ValueError("two keys of an object are the same when written as text")
    return result


def _key(key: Any) -> str:
    plain = _canonical(key)
    return plain if isinstance(plain, str) else json.dumps(plain, allow_nan=False)
