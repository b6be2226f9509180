"""The shop: its state, and what can happen to it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable

from .base import Config, Refused, SpecError
from .customers import Customers
from .edits import Edits
from .returns import Returns

__all__ = ["Config", "Refused", "Shop", "SpecError"]


class Shop(Customers, Edits, Returns):
    """Everything; each area is a module of its own."""

    # === TOKENS === #

    def issue_token(
        self, scopes: Iterable[str], lifetime: int | None, prefix: str = "shpat_"
    ) -> str:
        token = prefix + secrets.token_hex(16)
        expires = None if lifetime is None else time.time() + lifetime
        self.tokens[token] = {"scopes": tuple(scopes), "expires": expires}
        return token

    def offered_scopes(self, asked: str) -> tuple[str, ...]:
        """Those of the scopes asked for (``a,b``) that the app has been given; all without any."""
        names = {name.strip() for name in asked.split(",") if name.strip()}
        return tuple(s for s in self.config.scopes if not names or s in names)

    def token_scopes(self, token: str | None) -> tuple[str, ...] | None:
        """Scopes of a valid token; None when it is unknown or over."""
        if not token:
            return None
        if token in self.config.legacy_tokens:
            return self.config.scopes
        known = self.tokens.get(token)
        if not known or (known["expires"] is not None and known["expires"] <= time.time()):
            return None
        # The scopes of the app decide, whatever the token was issued with.
        return tuple(s for s in known["scopes"] if s in self.config.scopes)
