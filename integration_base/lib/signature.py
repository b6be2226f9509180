"""Signatures of notifications: HMAC over the raw bytes, compared in constant time."""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from typing import Literal

Encoding = Literal["base64", "hex"]  # no mutant: a type
Algorithm = Literal["sha256", "sha512", "sha1"]  # no mutant: a type

_ALGORITHMS = {"sha256": hashlib.sha256, "sha512": hashlib.sha512, "sha1": hashlib.sha1}


def hmac_sha256(secret: str, body: bytes, encoding: Encoding = "base64") -> str:
    """The HMAC-SHA256 of ``body`` as text."""
    return _sign(secret, body, encoding, "sha256").decode("ascii")


def verify_hmac(
    secrets: Iterable[str],
    body: bytes,
    received: str | bytes | None,
    encoding: Encoding = "base64",
    algorithm: Algorithm = "sha256",
) -> bool:
    """Whether ``received`` is the signature of ``body`` under one of the active secrets.

    :param secrets: every active one (two while a secret is rotated). Empty ones never match.
    :param body: the raw bytes as received, before any parsing.
    :param received: the header as received. Whatever is in it, the answer is False, no error.
    :raises ValueError: for an encoding or algorithm we do not know (a bug of the caller).
    """
    signature = _bytes(received)
    matches = False
    for secret in secrets:
        # No early end: the time taken must not tell which secret matched.
        matches |= bool(secret) & _matches(secret, body, signature, encoding, algorithm)
    return matches


def _matches(secret, body, signature, encoding, algorithm) -> bool:
    return hmac.compare_digest(_sign(secret, body, encoding, algorithm), signature)


def _sign(secret: str, body: bytes, encoding: str, algorithm: str) -> bytes:
    if encoding not in ("base64", "hex"):
        raise ValueError(f"unknown signature encoding {encoding!r}")
    if algorithm not in _ALGORITHMS:
        raise ValueError(f"unknown signature algorithm {algorithm!r}")
    signed = hmac.new(secret.encode("utf-8", "surrogatepass"), body, _ALGORITHMS[algorithm])
    if encoding == "hex":
        return signed.hexdigest().encode("ascii")
    return base64.b64encode(signed.digest())


def _bytes(received: str | bytes | None) -> bytes | bytearray:
    # compare_digest raises TypeError on a text that is not ASCII, hence bytes on both sides.
    if isinstance(received, str):
        return received.encode("utf-8", "surrogatepass")
    if isinstance(received, (bytes, bytearray)):
        return received
    return b""  # no mutant: as good as anything that is no signature
