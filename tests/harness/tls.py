"""Certificates for the faults of TLS: a good one, another name's, an expired one, a foreign authority's."""

from __future__ import annotations

import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

AUTHORITY = "harness authority"
DAY = timedelta(days=1)
SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """A certificate authority of its own. `client()` trusts it alone; a second Authority is a foreign one."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._root = self._signed(AUTHORITY, self._key, [x509.BasicConstraints(ca=True, path_length=None), SIGNS])

    def client(self) -> ssl.SSLContext:
        """For a client that verifies."""
        return ssl.create_default_context(cadata=self._root.public_bytes(Encoding.PEM).decode())

    def server(self, address: str = "127.0.0.1", *, expired: bool = False) -> ssl.SSLContext:
        """For `Upstream(tls=...)`, with a certificate for this IP address."""
        key = ec.generate_private_key(ec.SECP256R1())
        named = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
        certificate = self._signed(address, key, [named], expired=expired)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile(suffix=".pem") as chain:  # the ssl module reads keys from files only
            chain.write(private + certificate.public_bytes(Encoding.PEM))
            chain.flush()
            context.load_cert_chain(chain.name)
        return context

    def _signed(
        self, name: str, key: ec.EllipticCurvePrivateKey, says: list[x509.ExtensionType], *, expired: bool = False
    ) -> x509.Certificate:
        """A certificate for `key` that `says` this. Both key identifiers are what strict clients ask for."""
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(_name(AUTHORITY), _name(name), key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - 2 * DAY).not_valid_after(now - DAY if expired else now + DAY)
        subject = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        for extension in [*says, subject, issuer]:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self._key, SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
