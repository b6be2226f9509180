"""Looks for secrets in whatever was kept, in all the shapes that code gives them by accident."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus


def make(name: str) -> str:
    """A secret nobody else has, with characters that URLs, JSON and base64 write differently."""
    return f'canary-{name}-{secrets.token_hex(8)}"+/=&{secrets.token_hex(8)}'


def shapes(secret: str) -> dict[str, bytes]:
    """Return ``{name of the shape: bytes}`` to look for."""
    raw = secret.encode()
    found = {
        "plain": raw,
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "URL": quote(secret, safe="").encode(),
        "URL path": quote(secret).encode(),
        "form": quote_plus(secret).encode(),
        "JSON": json.dumps(secret)[1:-1].encode(),
        "JSON in JSON": json.dumps(json.dumps(secret))[3:-3].encode(),
        "repr": repr(secret)[1:-1].encode(),
        "reversed": raw[::-1],
    }
    for offset in range(3):
        # what does not depend on the bytes around it; a secret is seldom encoded alone
        encoded = base64.b64encode(b"\0" * offset + raw)
        first, last = -(-offset * 8 // 6), (offset + len(raw)) * 8 // 6
        found[f"base64 at {offset}"] = encoded[first:last]
        found[f"base64 for URLs at {offset}"] = encoded[first:last].translate(
            bytes.maketrans(b"+/", b"-_")
        )
    return found


def traces(values: Mapping[str, str], kept: bytes | str | Iterable[bytes]) -> list[str]:
    """Return where secrets are found: name, shape and what stands around it, secret left out.

    :param values: secrets by name.
    """
    if isinstance(kept, str):
        kept = kept.encode()
    texts = [kept] if isinstance(kept, bytes) else kept
    patterns: dict[bytes, str] = {}
    for name, secret in values.items():
        for shape, pattern in shapes(secret).items():
            patterns.setdefault(pattern, f"{name} ({shape})")
    found = []
    for text in texts:
        for pattern, title in patterns.items():
            position = text.find(pattern)
            while position >= 0:
                end = position + len(pattern)
                before, after = text[max(position - 200, 0) : position], text[end : end + 80]
                context = before + b"<SECRET>" + after
                for other in patterns:
                    context = context.replace(other, b"<SECRET>")
                found.append(f"{title}: ...{context.decode(errors='replace')}...")
                position = text.find(pattern, end)
    return found
