"""Certificate authorities as real clusters have them, including unusual ones."""

import ipaddress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey


def _new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _pem(key: Key) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


@dataclass
class Authority:
    """A CA with `basicConstraints=critical,CA:TRUE` and nothing else, like that of EKS.

    Attributes:
        name: The common name of its subject.
        issuer: The authority that signs it; None makes it self-signed.
        critical: Whether basicConstraints is critical.
    """

    name: str = "kubernetes"
    issuer: "Authority | None" = None
    critical: bool = True
    key: Key = field(default_factory=_new_key)
    certificate: x509.Certificate = field(init=False)

    def __post_init__(self) -> None:
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        builder = _builder(self.name, self.key, timedelta(days=1)).add_extension(
            constraints, critical=self.critical
        )
        signer = self.issuer or self
        builder = builder.issuer_name(_name(signer.name))
        self.certificate = builder.sign(signer.key, hashes.SHA256())

    @property
    def pem(self) -> str:
        """The certificate in PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(
        self,
        subject: str = "kube-apiserver",
        *names: str,
        lasts: timedelta = timedelta(days=1),
    ) -> tuple[str, str]:
        """Return certificate and key in PEM, for 127.0.0.1 unless names are given.

        The certificate has no key identifiers and no key usage, which the strict check
        of Python 3.13 requires.
        """
        key = _new_key()
        known: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        if not names:
            known = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = (
            _builder(subject, key, lasts)
            .issuer_name(_name(self.name))
            .add_extension(x509.SubjectAlternativeName(known), critical=False)
        )
        made = builder.sign(self.key, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM).decode(), _pem(key)


def _builder(subject: str, key: Key, lasts: timedelta) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + lasts)
    )


def write_pair(folder: Path, pair: tuple[str, str], *chain: Authority) -> Path:
    """Write certificate, chain and key into one file; return its path."""
    path = folder / "server.pem"
    path.write_text(pair[0] + "".join(ca.pem for ca in chain) + pair[1])
    return path
