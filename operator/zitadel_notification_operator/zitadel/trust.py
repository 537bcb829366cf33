"""Which certificates are trusted, and the advice for one that is not.

A bundle is accepted as curl and Go accept it. Each of its certificates is a trust
anchor, even an intermediate one, and the profile of RFC 5280 is not enforced to the
letter. Python 3.13 does enforce it (`VERIFY_X509_STRICT`) and would refuse authorities
that every other client in the cluster accepts, such as one without a key usage. Chain,
host name and validity are checked as usual.
"""

import ssl
from dataclasses import dataclass

from zitadel_notification_operator.core.errors import TerminalError
from zitadel_notification_operator.core.reasons import Reason


@dataclass(frozen=True, slots=True)
class Trust:
    """How to verify a server's certificate.

    Attributes:
        context: The TLS context with the system's roots and those of the bundle.
        bundled: Whether `spec.caBundle` adds roots to the system's.
    """

    context: ssl.SSLContext
    bundled: bool = False


def trusting(roots: str | None) -> Trust:
    """Return the trust in the system's roots and those of a bundle.

    Reading the system's roots takes tens of milliseconds.

    Args:
        roots: PEM text with additional roots; None for the system's roots only.

    Raises:
        TerminalError: `CABundleInvalid`: a certificate in the bundle cannot be read.
    """
    context = ssl.create_default_context()
    context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    if roots is None:
        return Trust(context)
    try:
        context.load_verify_locations(cadata=roots)
    except (ssl.SSLError, ValueError, TypeError) as error:
        raise TerminalError(
            Reason.CA_BUNDLE_INVALID,
            "what is there cannot be read as certificates in PEM",
        ) from error
    return Trust(context, bundled=True)


_NAMED_ALREADY = (
    "none of the authorities in spec.caBundle, nor of the system's, has signed it; put "
    "the one there that has, with the intermediate certificates that the server does "
    "not send"
)
_NAME_IT = (
    "name the authority's certificates in spec.caBundle, or ZITADEL's own domain in "
    "spec.externalDomain"
)

# OpenSSL's error numbers (x509_vfy.h). The first entry that contains the number counts.
_AUTHORITY_UNKNOWN = {2, 7, 18, 19, 20, 21, 27, 29, 30}
_TIMES = (
    "renew whichever certificate of the chain, the authority's included, is not valid "
    "now, and compare the clocks"
)
_NAMES = (
    "set spec.externalDomain to ZITADEL's own domain, or give ZITADEL a certificate "
    "for the name in spec.url"
)
_UNFIT = (
    "the certificate of the authority that has signed it is at fault; issue that one "
    "anew as an authority's (basicConstraints CA:TRUE, a strong enough key and "
    "signature)"
)
_ADVICE: tuple[tuple[set[int], str], ...] = (
    ({9, 10}, _TIMES),
    ({62, 64}, _NAMES),
    ({24, 25, 32, 67, 68, *range(79, 95)}, _UNFIT),
    ({26}, "give ZITADEL a certificate that may be a server's (serverAuth)"),
    ({66}, "give ZITADEL a certificate with a stronger key"),
)


def advice_for(code: int, *, bundled: bool) -> str:
    """Return how to fix a certificate that is not trusted.

    Args:
        code: OpenSSL's number of the verification error.
        bundled: Whether `spec.caBundle` already names authorities.
    """
    for codes, advice in _ADVICE:
        if code in codes:
            return advice
    if not bundled:
        return _NAME_IT
    if code in _AUTHORITY_UNKNOWN:
        return _NAMED_ALREADY
    return (
        "look at the certificates of the server and of the authority in "
        "spec.caBundle with openssl x509 -text"
    )
