"""Makes the TLS contexts for the API server, and describes TLS failures.

A certificate is accepted if kubectl and curl accept it. Both treat every certificate
that they are given as a trust anchor, even an intermediate one. Neither requires of an
authority the extensions that Python 3.13 began to demand (VERIFY_X509_STRICT): the
authorities of EKS have no key identifiers. Chain, dates and names are always verified.
"""

import re
import ssl
import tempfile
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from zitadel_notification_operator.core.causes import causes

_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----"
)
_REASONS = {
    "WRONG_VERSION_NUMBER": "it does not speak TLS there",
    "HTTP_REQUEST": "it does not speak TLS there",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it asks for a client certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not trust the client certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not accept the client certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the client certificate has expired",
}
"""Explanations for errors of OpenSSL and alerts from the other side of a handshake."""


class UnusableTls(ValueError):
    """A setting makes TLS impossible. The text says which one, and holds no secret."""


@dataclass(frozen=True, slots=True)
class Tls:
    """The settings of TLS connections.

    Attributes:
        authorities: Certificates in PEM; None for those of the system.
        origin: Where the authorities come from, for messages.
        certificate: The client's own chain in PEM; empty without one.
        key: Its private key in PEM.
        insecure: Whether verification of the server's certificate is turned off.
        server_name: The name to request and verify in place of the host; empty for the
            host.
    """

    authorities: str | None = None
    origin: str = "the system's"
    certificate: str = ""
    key: str = field(default="", repr=False)
    insecure: bool = False
    server_name: str = ""


@lru_cache(maxsize=8)
def context_of(tls: Tls) -> ssl.SSLContext:
    """Return the context for these settings; equal settings share one context.

    Raises:
        UnusableTls: The authorities contain no certificate, or the client's own
            certificate and key cannot be used.
    """
    context = ssl.create_default_context(cadata=_anchors(tls))
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.certificate or tls.key:
        _load_own(context, tls)
    return context


def _anchors(tls: Tls) -> str | None:
    """Return only the certificates; a file may hold comments and keys between them."""
    if tls.authorities is None or tls.insecure:
        return None
    found = _CERTIFICATE.findall(tls.authorities)
    usable = [pem for pem in found if _is_certificate(pem)]
    if not usable:
        raise UnusableTls(f"there is no certificate in {tls.origin}")
    return "\n".join(usable)


def _is_certificate(pem: str) -> bool:
    try:
        ssl.create_default_context(cadata=pem)
    except ssl.SSLError:
        return False
    return True


def _load_own(context: ssl.SSLContext, tls: Tls) -> None:
    # OpenSSL can only read them from a file, which is deleted before this returns.
    try:
        with tempfile.TemporaryDirectory("-znp") as folder:
            path = Path(folder) / "client.pem"
            path.touch(mode=0o600)
            path.write_text(f"{tls.certificate}\n{tls.key}\n")
            # With a password given, OpenSSL does not ask for one on the terminal.
            context.load_cert_chain(path, password="")
    except (ssl.SSLError, ValueError) as error:
        raise UnusableTls(
            "the client certificate and its key cannot be read, or do not belong "
            "together"
        ) from error
    except OSError as error:
        raise UnusableTls(
            "the client certificate needs a temporary folder, and there is none that "
            "can be written"
        ) from error


def is_tls_failure(error: BaseException) -> bool:
    """Return whether a connection failed because one side rejected the other's TLS."""
    return any(isinstance(cause, ssl.SSLError) for cause in causes(error))


def describe_tls(error: BaseException, tls: Tls) -> str | None:
    """Describe what is wrong with TLS, or return None if something else failed.

    Args:
        error: What the transport raised.
        tls: The settings of the connection.
    """
    found = [cause for cause in causes(error) if isinstance(cause, ssl.SSLError)]
    for cause in found:
        # aiohttp's own error has this type, too, but does not give the reason.
        if isinstance(cause, ssl.SSLCertVerificationError) and (
            why := getattr(cause, "verify_message", "")
        ):
            return (
                f"its certificate is not trusted: {why.rstrip('.')} "
                f"(authorities: {tls.origin})"
            )
    for cause in found:
        if reason := getattr(cause, "reason", None):
            words = reason.replace("_", " ").lower()
            return _REASONS.get(reason, f"TLS failed: {words}")
    return "TLS failed" if found else None
