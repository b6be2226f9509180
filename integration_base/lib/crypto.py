"""Secrets at rest: Fernet tokens under a key that is kept outside of the database."""

import contextlib
import hashlib
import re

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from .errors import ConfigurationError

_TOKEN = re.compile(r"v1:([0-9a-f]{8}):(\S+)", re.ASCII)
# 32 bytes. Python's decoder would also take what it does not understand.
_KEY = re.compile(r"[A-Za-z0-9_-]{43}=", re.ASCII)
_HOW_TO = (
    "Set encryption_key in the section [integration] of the Odoo configuration file (several keys "
    "are separated by commas, the newest first) and restart."
)


def generate_key() -> str:
    """A new key, as text for the configuration."""
    return Fernet.generate_key().decode("ascii")


def load_keys(text: str | None) -> list[str]:
    """Read keys from a setting: separated by commas, spaces or new lines, the newest first.

    :raises ConfigurationError: when there is none, or one is not a Fernet key. The text names the
        position, never the key.
    """
    keys = list(dict.fromkeys((text or "").replace(",", " ").split()))
    if not keys:
        raise ConfigurationError(
            f"There is no key to protect the credentials of integrations with. {_HOW_TO}"
        )
    for number, key in enumerate(keys, start=1):
        if not _KEY.fullmatch(key):
            raise ConfigurationError(
                f"Key number {number} of encryption_key is not valid: it must be 32 bytes "
                f"in URL-safe base64 (44 characters, the last one is =). {_HOW_TO}"
            )
    return keys


class SecretBox:
    """Encrypts and decrypts texts; the first key encrypts, all of them decrypt.

    A stored secret is ``v1:<key id>:<Fernet token>``. The key id (a hash) tells which rows still
    have to be rotated, and makes a missing key a clear error instead of a riddle.
    """

    def __init__(self, keys: list[str]):
        """:raises ConfigurationError: see :func:`load_keys`."""
        valid = load_keys("\n".join(keys))
        self._fernets = {_key_id(key): Fernet(key) for key in valid}
        self.key_id = _key_id(valid[0])

    def __repr__(self) -> str:
        return f"<SecretBox {', '.join(self._fernets)}>"

    def encrypt(self, secret: str) -> str:
        """The text to store for ``secret``."""
        token = self._fernets[self.key_id].encrypt(secret.encode("utf-8", "surrogatepass"))
        return f"v1:{self.key_id}:{token.decode('ascii')}"

    def decrypt(self, stored: str) -> str:
        """The secret behind a stored text.

        :raises ConfigurationError: unknown key, or damaged text.
        """
        key_id, token = self._split(stored)
        with contextlib.suppress(InvalidToken):
            return self._fernets[key_id].decrypt(token).decode("utf-8", "surrogatepass")
        raise ConfigurationError(_DAMAGED)

    def needs_rotation(self, stored: str) -> bool:
        """Whether ``stored`` is not under the newest key yet."""
        return not stored.startswith(f"v1:{self.key_id}:")

    def rotate(self, stored: str) -> str:
        """``stored`` under the newest key; unchanged when it already is.

        :raises ConfigurationError: as :meth:`decrypt`.
        """
        if not self.needs_rotation(stored):
            return stored
        key_id, token = self._split(stored)
        try:
            fresh = MultiFernet([self._fernets[self.key_id], self._fernets[key_id]]).rotate(token)
        except InvalidToken:
            fresh = None
        if fresh is None:
            raise ConfigurationError(_DAMAGED)
        return f"v1:{self.key_id}:{fresh.decode('ascii')}"

    def _split(self, stored: str) -> tuple[str, bytes]:
        found = _TOKEN.fullmatch(stored) if isinstance(stored, str) else None
        if not found or not found[2].isascii():
            raise ConfigurationError(_DAMAGED)
        if found[1] not in self._fernets:
            raise ConfigurationError(
                f"A stored credential was encrypted with the key {found[1]}, which is not among "
                f"the configured keys. Add that key to encryption_key (section [integration]) "
                f"again, or enter the credential anew."
            )
        return found[1], found[2].encode("ascii")


_DAMAGED = "A stored credential is damaged and cannot be read. Enter it anew on the backend."


def _key_id(key: str) -> str:
    return hashlib.sha256(b"integration key id:" + key.encode("ascii")).hexdigest()[:8]
