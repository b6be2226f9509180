"""Secrets at rest: Fernet tokens under a key that is kept outside of the database."""

import contextlib
import hashlib
import logging
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from .errors import CredentialError, KeyUnavailable

_logger = logging.getLogger(__name__)

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

    :raises KeyUnavailable: when there is none, or one is not a Fernet key. The text names the
        position, never the key.
    """
    keys = list(dict.fromkeys((text or "").replace(",", " ").split()))
    if not keys:
        raise KeyUnavailable(
            f"There is no key to protect the credentials of integrations with. {_HOW_TO}"
        )
    for number, key in enumerate(keys, start=1):
        if not _KEY.fullmatch(key):
            raise KeyUnavailable(
                f"Key number {number} of encryption_key is not valid: it must be 32 bytes "
                f"in URL-safe base64 (44 characters, the last one is =). {_HOW_TO}"
            )
    return keys


def check_private(path: str | os.PathLike) -> None:
    """Refuse a file with a key that others on this machine can read or replace.

    The rule is that of OpenSSH for private keys: what belongs to the user of the server must be
    his alone. A file of somebody else (root's, mounted into a container) is not for us to
    change, so it is only warned of. The group of the server's own process may read it: so do the
    packages of Odoo install their configuration file.

    :raises KeyUnavailable: with the command that corrects it.
    :raises OSError: when there is no such file.
    """
    if os.name != "posix":
        return
    status = os.stat(path)
    risky = stat.S_IRWXO | stat.S_IWGRP
    if status.st_gid != os.getegid():
        risky |= stat.S_IRGRP
    if not stat.S_IMODE(status.st_mode) & risky:
        return
    if status.st_uid == os.geteuid() and not _is_read_only(path):
        raise KeyUnavailable(
            f"{path} holds the key of the credentials of integrations, and other users of the "
            f"server can open it (its mode is {stat.S_IMODE(status.st_mode):04o}), so the key is "
            f"not used. Correct that with: chmod 600 {path}"
        )
    _logger.warning(
        "%s holds the key of the credentials of integrations, and other users of this machine can "
        "open it (its mode is %04o). Let nobody but the user of Odoo read it.",
        path,
        stat.S_IMODE(status.st_mode),
    )


def _is_read_only(path) -> bool:
    """Whether the file is on a mount where its mode cannot be changed."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def read_key_file(path: str) -> str:
    """Return the keys in a file that holds nothing else, e.g. a secret of Docker.

    :raises KeyUnavailable: when it cannot be read, is empty, or others can read it.
    """
    try:
        text = Path(path).read_text(encoding="ascii")
        check_private(path)
    except (OSError, ValueError):
        text = ""
    if not text.strip():
        raise KeyUnavailable(
            f"The file {path}, which shall hold the key of the credentials of integrations, "
            f"cannot be read or is empty. Correct it, or the variable that names it, and restart."
        )
    return text


class SecretBox:
    """Encrypts and decrypts texts; the first key encrypts, all of them decrypt.

    A stored secret is ``v1:<key id>:<Fernet token>``. The key id (a hash) tells which rows still
    have to be rotated, and makes a missing key a clear error instead of a riddle.
    """

    def __init__(self, keys: list[str], seen: Callable[[str], Any] | None = None):
        """Make a box that opens with each of the keys.

        :param seen: is told every secret that passes through the box, and the keys.
        :raises KeyUnavailable: see :func:`load_keys`.
        """
        valid = load_keys("\n".join(keys))
        self._seen = seen or (lambda secret: None)
        for key in valid:
            self._seen(key)
        self._fernets = {_key_id(key): Fernet(key) for key in valid}
        self.key_id = _key_id(valid[0])

    def __repr__(self) -> str:
        return f"<SecretBox {', '.join(self.key_ids)}>"

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of the keys, the newest first. They tell nothing about the keys."""
        return tuple(self._fernets)

    def encrypt(self, secret: str) -> str:
        """The text to store for ``secret``."""
        self._seen(secret)
        token = self._fernets[self.key_id].encrypt(secret.encode("utf-8", "surrogatepass"))
        return f"v1:{self.key_id}:{token.decode('ascii')}"

    def decrypt(self, stored: str) -> str:
        """The secret behind a stored text.

        :raises CredentialError: unknown key, or damaged text.
        """
        key_id, token = self._split(stored)
        with contextlib.suppress(InvalidToken):
            secret = self._fernets[key_id].decrypt(token).decode("utf-8", "surrogatepass")
            self._seen(secret)
            return secret
        raise CredentialError(_DAMAGED)

    def can_open(self, stored: str) -> bool:
        """Whether ``stored`` can be decrypted with one of the keys."""
        with contextlib.suppress(CredentialError):
            self.decrypt(stored)
            return True
        return False

    def needs_rotation(self, stored: str) -> bool:
        """Whether ``stored`` is not under the newest key yet."""
        return not stored.startswith(f"v1:{self.key_id}:")

    def rotate(self, stored: str) -> str:
        """``stored`` under the newest key; unchanged when it already is.

        :raises CredentialError: as :meth:`decrypt`.
        """
        if not self.needs_rotation(stored):
            return stored
        key_id, token = self._split(stored)
        try:
            fresh = MultiFernet([self._fernets[self.key_id], self._fernets[key_id]]).rotate(token)
        except InvalidToken:
            fresh = None
        if fresh is None:
            raise CredentialError(_DAMAGED)
        return f"v1:{self.key_id}:{fresh.decode('ascii')}"

    def _split(self, stored: str) -> tuple[str, bytes]:
        found = _TOKEN.fullmatch(stored) if isinstance(stored, str) else None
        if not found or not found[2].isascii():
            raise CredentialError(_DAMAGED)
        if found[1] not in self._fernets:
            raise CredentialError(
                f"A stored credential was encrypted with the key {found[1]}, which is not among "
                f"the configured keys. Add that key to encryption_key (section [integration]) "
                f"again, or enter the credential anew."
            )
        return found[1], found[2].encode("ascii")


_DAMAGED = "A stored credential is damaged and cannot be read. Enter it anew on the backend."


def _key_id(key: str) -> str:
    return hashlib.sha256(b"integration key id:" + key.encode("ascii")).hexdigest()[:8]
