"""Makes names of Kubernetes objects of what organizations and resources are called."""

import hashlib
import re
import unicodedata

_LONGEST_WORD = 40
_DIGITS = 16
_PLAIN_ID = re.compile("[a-z0-9]+")


def object_name(title: str, organization_id: str) -> str:
    """Return a valid name that no other organization's object gets.

    It is `<title>-<id>`, such as `acme-280000000000000101`. The title is reduced to
    what a name may hold. An id that cannot be part of a name, or that has a dash, is
    replaced by the beginning of its SHA-256: so what is after the last dash tells the
    organization.

    Args:
        title: What people call the organization; it may hold anything.
        organization_id: ZITADEL's id.
    """
    suffix = organization_id
    if not _PLAIN_ID.fullmatch(suffix):
        suffix = hashlib.sha256(suffix.encode(errors="replace")).hexdigest()[:_DIGITS]
    return f"{reduced(title) or 'organization'}-{suffix}"


def reduced(title: str) -> str:
    """Return what of a text may be part of a name; it may be empty."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return re.sub("[^a-z0-9]+", "-", plain.lower())[:_LONGEST_WORD].strip("-")
