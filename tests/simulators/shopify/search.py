"""Shopify's search syntax: ``updated_at:>='2026-11-20T10:00:00Z' AND (tag:vip OR -test:true)``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<open>\() | (?P<close>\)) |
        (?P<and>AND\b) | (?P<or>OR\b) | (?P<not>NOT\b|-(?=\S)) |
        (?:(?P<field>[A-Za-z_]\w*):(?P<op>>=|<=|>|<)?\s*)?
        (?:'(?P<single>[^']*)'|"(?P<double>[^"]*)"|(?P<bare>[^\s()]+))
    )""",
    re.VERBOSE,
)

Value = Callable[[Any], Any]
Node = tuple[Any, ...]


class Search:
    """A parsed query over named fields.

    :param fields: name -> function of the record, giving a text, number, datetime, bool or list.
    :param timezone: zone of a time without offset (the shop's own, a well known trap).
    """

    def __init__(self, query: str | None, fields: Mapping[str, Value], timezone: str) -> None:
        self.query = query or ""
        self.fields = fields
        self.zone = ZoneInfo(timezone)
        self.unknown: list[str] = []
        self._tokens = [m for m in _TOKEN.finditer(self.query) if m.group(0).strip()]
        self._at = 0
        self._tree = self._parse_or() if self._tokens else None

    def filter(self, records: Iterable[Any]) -> list[Any]:
        if self._tree is None:
            return list(records)
        return [record for record in records if self._holds(self._tree, record)]

    # --- Parsing ---

    def _peek(self, kind: str) -> bool:
        return self._at < len(self._tokens) and self._tokens[self._at].group(kind) is not None

    def _parse_or(self) -> Node:
        parts = [self._parse_and()]
        while self._peek("or"):
            self._at += 1
            parts.append(self._parse_and())
        return ("or", parts)

    def _parse_and(self) -> Node:
        parts = []
        while self._at < len(self._tokens) and not self._peek("or") and not self._peek("close"):
            if self._peek("and"):
                self._at += 1
                continue
            parts.append(self._parse_term())
        return ("and", parts)

    def _parse_term(self) -> Node:
        token = self._tokens[self._at]
        self._at += 1
        if token.group("not"):
            return ("not", self._parse_term()) if self._at < len(self._tokens) else ("and", [])
        if token.group("open"):
            inner = self._parse_or()
            if self._peek("close"):
                self._at += 1
            return inner
        text = next(
            (token.group(k) for k in ("single", "double", "bare") if token.group(k) is not None), ""
        )
        field = token.group("field")
        if field and field not in self.fields:
            # Shopify ignores the condition and warns, it does not fail.
            self.unknown.append(field)
            return ("and", [])
        return ("term", field, token.group("op") or "", text)

    # --- Evaluation ---

    def _holds(self, node: Node, record: Any) -> bool:
        kind = node[0]
        if kind == "or":
            return any(self._holds(part, record) for part in node[1])
        if kind == "and":
            return all(self._holds(part, record) for part in node[1])
        if kind == "not":
            return not self._holds(node[1], record)
        _kind, field, operator, text = node
        if field is None:
            return any(
                text.lower() in str(v).lower()
                for f in self.fields.values()
                if isinstance(v := f(record), str)
            )
        return self._compare(self.fields[field](record), operator, text)

    def _compare(self, value: Any, operator: str, text: str) -> bool:
        if text == "*":
            return value not in (None, "", [])
        if isinstance(value, list | tuple):
            return any(self._compare(item, operator, text) for item in value)
        if value is None:
            return False
        if isinstance(value, bool):
            return str(value).lower() == text.lower()
        if isinstance(value, datetime):
            moment = self.moment(text)
            return moment is not None and _ordered(value, operator, moment)
        if isinstance(value, int):
            number = text.rsplit("/", 1)[-1]
            return number.lstrip("-").isdigit() and _ordered(value, operator, int(number))
        wanted, have = text.lower(), str(value).lower()
        if wanted.endswith("*"):
            return have.startswith(wanted[:-1])
        return _ordered(have, operator, wanted)

    def moment(self, text: str) -> datetime | None:
        if text.lower() == "now":
            return datetime.now(UTC)
        try:
            parsed = datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            return None
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=self.zone)).astimezone(UTC)


def _ordered(value: Any, operator: str, other: Any) -> bool:
    return {
        "": value == other,
        ">": value > other,
        ">=": value >= other,
        "<": value < other,
        "<=": value <= other,
    }[operator]
