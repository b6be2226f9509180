"""Cells of a spreadsheet that spreadsheet programs do not take for a formula."""

from typing import Any

#: What a formula begins with (OWASP, CSV Injection); a tab or line end before it is skipped.
_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def safe_cell(value: Any) -> Any:
    """Return ``value`` for a cell: a text that would be a formula gets an apostrophe before it.

    Anything but text stays as it is, so negative numbers do.
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_STARTS) else value
