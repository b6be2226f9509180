"""Forms with a file, as storage services want them for an upload."""

import re
import secrets
from collections.abc import Iterable

_UNSAFE = re.compile(r'["\r\n\\]')


def encode_form(
    fields: Iterable[tuple[str, str]],
    name: str,
    filename: str,
    body: bytes,
    content_type: str,
    boundary: str = "",
) -> tuple[bytes, str]:
    """Return the body of a ``multipart/form-data`` request and its Content-Type.

    :param fields: pairs of name and value, in the order they are to be sent: before the file,
        because storage services ignore what stands behind it.
    :param name: of the field with the file.
    :param body: the content of the file.
    :param boundary: for tests; else a random one.
    :raises ValueError: for a name that would break the form.
    """
    boundary = boundary or secrets.token_hex(16)
    parts = [
        _part(boundary, f'form-data; name="{_safe(key)}"', "", value.encode())
        for key, value in fields
    ]
    file_head = f'form-data; name="{_safe(name)}"; filename="{_safe(filename)}"'
    parts.append(_part(boundary, file_head, f"Content-Type: {_safe(content_type)}\r\n", body))
    parts.append(f"--{boundary}--\r\n".encode())
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"


def _part(boundary: str, disposition: str, more: str, body: bytes) -> bytes:
    head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\n{more}\r\n"
    return head.encode() + body + b"\r\n"


def _safe(text: str) -> str:
    if _UNSAFE.search(text):
        raise ValueError(f"{text[:40]!r} cannot be a name in a form")
    return text
