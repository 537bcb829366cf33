"""Certificate authorities as users have them, and their certificates."""

import datetime as dt
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOUR = dt.timedelta(hours=1)


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()


def issue(
    name: str,
    issuer: Issued | None = None,
    *extensions: tuple[x509.ExtensionType, bool],
    ends: dt.timedelta = HOUR,
    key: ec.EllipticCurvePrivateKey | None = None,
) -> Issued:
    """Issue a certificate with only these extensions, self-signed without an issuer."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * HOUR)
        .not_valid_after(now + ends)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    signer = issuer.key if issuer else key
    return Issued(builder.sign(signer, hashes.SHA256()), key)


def constraints(
    *, ca: bool, critical: bool = True, longest: int | None = None
) -> tuple[x509.ExtensionType, bool]:
    return x509.BasicConstraints(ca=ca, path_length=longest), critical


def server_for(issuer: Issued, *more: tuple[x509.ExtensionType, bool]) -> Issued:
    """Issue a server certificate for 127.0.0.1 without key identifiers."""
    address = x509.IPAddress(ip_address("127.0.0.1"))
    names = (x509.SubjectAlternativeName([address]), False)
    return issue("zitadel", issuer, names, *more)


def showing(folder: Path, *chain: Issued) -> ssl.SSLContext:
    """Return a TLS context that serves these certificates, the server's own first."""
    path = folder / "shown.pem"
    path.write_text("".join([chain[0].key_pem, *(one.pem for one in chain)]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
