"""Certificates with which we prove who we are (mutual TLS).

OpenSSL takes a certificate from a file only. The private key is given to it as a file in memory
that no other process finds, for the moment of reading.
"""

import contextlib
import os
import re
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509

from .errors import ConfigurationError, CredentialError

#: How OpenSSL's own format says that a key is encrypted. Without line breaks nothing but its length
#: tells the number after the cipher from the key.
_LOCK = (
    r"\s*Proc-Type:\s*4,\s*ENCRYPTED\s*DEK-Info:\s*"
    r"(?P<lock>AES-(?:128|192|256)-CBC,[0-9A-Fa-f]{32}|DES-EDE3-CBC,[0-9A-Fa-f]{16})"
)
_BLOCK = re.compile(
    rf"-----BEGIN (?P<label>[A-Z0-9 ]{{1,40}})-----(?:{_LOCK})?"
    r"(?P<body>[A-Za-z0-9+/=\s]*)-----END (?P=label)-----"
)
_LINE = 64


@dataclass(frozen=True)
class ClientCertificate:
    """A certificate, with those that vouch for it, and its private key.

    :param certificate: PEM, our own certificate first. Line breaks may be missing: fields of one
        line take them away.
    :param key: its private key, PEM.
    :param passphrase: of the private key, if it is encrypted.
    """

    certificate: str
    key: str = field(repr=False)
    passphrase: str = field(default="", repr=False)

    def load_into(self, context: ssl.SSLContext) -> None:
        """Let connections of ``context`` show the certificate when they are asked for one.

        :raises CredentialError: when certificate and key cannot be used.
        """
        content = f"{_pem(self.certificate)}{_pem(self.key)}".encode("ascii")
        loaded = False
        # Their texts may quote what they could not read. Without a passphrase OpenSSL would ask
        # for one at the terminal.
        with contextlib.suppress(OSError, ValueError), _unlisted_file(content) as path:
            context.load_cert_chain(path, password=self.passphrase)
            loaded = True
        if not loaded:
            raise CredentialError(
                "The client certificate cannot be used: certificate and private key do not belong "
                "together, are damaged, or the passphrase is wrong. Type them again on the page "
                "Credentials of the backend, in PEM format."
            )


def certificate_expiry(text: str) -> datetime:
    """When the first certificate in a PEM text ends; naive UTC.

    :raises ConfigurationError: when there is no certificate in it, or it has ended already.
    """
    try:
        ends = x509.load_pem_x509_certificate(_pem(text).encode("ascii")).not_valid_after_utc
    except ValueError:
        ends = None
    if ends is None:
        raise ConfigurationError(
            "This is no certificate in PEM format. It begins with -----BEGIN CERTIFICATE-----; "
            "copy the whole file."
        )
    if ends <= datetime.now(UTC):
        raise ConfigurationError(
            f"This certificate has ended on {ends:%Y-%m-%d}. Get a new one from the service."
        )
    return ends.replace(tzinfo=None)


def _pem(text: str) -> str:
    """The PEM blocks of a text, with the line breaks that OpenSSL needs."""
    lines = []
    for block in _BLOCK.finditer(text):
        body = "".join(block["body"].split())
        lines += [f"-----BEGIN {block['label']}-----"]
        if block["lock"]:
            lines += ["Proc-Type: 4,ENCRYPTED", f"DEK-Info: {block['lock']}", ""]
        lines += [body[start : start + _LINE] for start in range(0, len(body), _LINE)]
        lines += [f"-----END {block['label']}-----"]
    return "".join(f"{line}\n" for line in lines)


@contextlib.contextmanager
def _unlisted_file(content: bytes) -> Iterator[str]:
    """A path to read ``content`` from, for as long as the block takes."""
    if not hasattr(os, "memfd_create"):  # only Linux has it
        with tempfile.NamedTemporaryFile() as file:  # readable for its owner only
            file.write(content)
            file.flush()
            yield file.name
        return
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
