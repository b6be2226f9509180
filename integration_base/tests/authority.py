"""Certificates for servers and clients of tests."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Authority:
    """A certificate authority of its own for one test run."""

    def __init__(self, folder, name="Test Authority"):
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._issue(name, self.key, ca=True)
        self.path = str(folder / "ca.pem")
        (folder / "ca.pem").write_bytes(self._pem(self.certificate))

    def server(
        self, name, days=1, self_signed=False, maximum=None, demands=False
    ) -> ssl.SSLContext:
        """Make what a server of that name shows.

        :param demands: whether it wants a certificate of this authority from its callers.
        """
        path = self.folder / f"{name}-{days}-{self_signed}.pem"
        path.write_text("".join(self.issue(name, days, self_signed)))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        if demands:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.path)
        if maximum:
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = maximum
        return context

    def issue(self, name, days=1, self_signed=False, passphrase=""):
        """Return ``(certificate, private key)`` as PEM texts."""
        key = ec.generate_private_key(ec.SECP256R1())
        encryption = serialization.NoEncryption()
        if passphrase:
            encryption = serialization.BestAvailableEncryption(passphrase.encode())
        written = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )
        certificate = self._issue(name, key, days=days, self_signed=self_signed)
        return self._pem(certificate).decode(), written.decode()

    def _issue(self, name, key, days=1, ca=False, self_signed=False):
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        own = ca or self_signed
        now = datetime.now(UTC).replace(tzinfo=None)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if own else self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=10))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            names = [x509.DNSName(name)]
            if name == "localhost":
                names.append(x509.IPAddress(ip_address("127.0.0.1")))
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(key if own else self.key, hashes.SHA256())

    def _pem(self, certificate):
        return certificate.public_bytes(serialization.Encoding.PEM)
