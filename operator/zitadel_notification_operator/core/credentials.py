"""What Secrets and ConfigMaps must hold to serve as credential or as trusted roots.

ZITADEL knows three credentials of service users: a personal access token, a key file
(type `serviceaccount`), a client id with its secret. No message here ever holds a
part of a value, and no record shows one when it is printed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from zitadel_notification_operator.core.errors import TerminalError, TransientError
from zitadel_notification_operator.core.reasons import Reason

LONGEST = 4096
"""Bytes of a token; ZITADEL's have about a hundred, and servers refuse long headers."""

CLIENT_ID, CLIENT_SECRET = "clientId", "clientSecret"
"""Keys of the Secret with client credentials."""

_VISIBLE_ASCII = range(0x21, 0x7F)
_NEVER = 9999


class CredentialKind(StrEnum):
    """The fields of `spec.credentials`."""

    TOKEN = "personalAccessToken"  # noqa: S105 - the name of a field
    KEY = "privateKeyJWT"
    CLIENT = "clientCredentials"


class CredentialRef(NamedTuple):
    """Where a credential is: a Secret in the operator's own namespace.

    Attributes:
        kind: What the Secret must hold.
        secret: Its name.
        key: Its key; empty for client credentials, which have two.
    """

    kind: CredentialKind
    secret: str
    key: str = ""


class CaRef(NamedTuple):
    """Where more trusted roots are, in the operator's own namespace.

    Attributes:
        kind: `ConfigMap` or `Secret`.
        name: Of the object.
        key: Its key.
    """

    kind: str
    name: str
    key: str


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A personal access token; sent as it is."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A service user's key, as ZITADEL lets people download it.

    Attributes:
        user_id: Whose it is: issuer and subject of assertions.
        key_id: Their `kid`.
        private_key: PEM; not yet known to be one.
        expires: UTC; None where it does not.
    """

    user_id: str
    key_id: str
    private_key: str = field(repr=False)
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """A service user's client id and secret."""

    client_id: str
    secret: str = field(repr=False)


Credential = AccessToken | KeyFile | ClientSecret


def parse_credential(
    ref: CredentialRef,
    data: Mapping[str, bytes] | None,
    own_namespace: str,
    now: datetime,
) -> Credential:
    """Return the credential that a Secret holds.

    Args:
        ref: Where it was looked for.
        data: The Secret's decoded values by key; None when there is no such Secret.
        own_namespace: Where the operator looks for Secrets.
        now: The present time, UTC.

    Raises:
        TransientError: `CredentialsMissing`: it may come a moment later.
        TerminalError: `CredentialsInvalid`: it is none, or has expired.
    """
    where = f"Secret {own_namespace}/{ref.secret}"
    match ref.kind:
        case CredentialKind.TOKEN:
            what = "the personal access token of a ZITADEL service user"
            value = _value(where, data, ref.key, what)
            return _token(f"{where}, key {ref.key!r}", value)
        case CredentialKind.KEY:
            what = "the key file of a ZITADEL service user, as downloaded"
            value = _value(where, data, ref.key, what)
            return _key_file(f"{where}, key {ref.key!r}", value, now)
        case CredentialKind.CLIENT:
            what = "of a ZITADEL service user"
            client = _value(where, data, CLIENT_ID, f"the client id {what}")
            secret = _value(where, data, CLIENT_SECRET, f"the client secret {what}")
            return ClientSecret(
                _text(f"{where}, key {CLIENT_ID!r}", client),
                _text(f"{where}, key {CLIENT_SECRET!r}", secret),
            )


def expiry_of(credential: Credential) -> datetime | None:
    """Return when a credential ends, where that can be known from itself."""
    return credential.expires if isinstance(credential, KeyFile) else None


def bundle_name(ref: CaRef, namespace: str) -> str:
    """Return what messages call a bundle of roots."""
    return f"{ref.kind} {namespace}/{ref.name}, key {ref.key!r}"


def parse_roots(ref: CaRef, data: Mapping[str, bytes] | None, namespace: str) -> str:
    """Return the PEM text with more trusted roots.

    Raises:
        TransientError: `CABundleMissing`: it may come a moment later.
        TerminalError: `CABundleInvalid`: no certificate is in it.
    """
    where = bundle_name(ref, namespace)
    value = (data or {}).get(ref.key)
    if value is None:
        raise TransientError(
            Reason.CA_BUNDLE_MISSING,
            f"{where}: not found; create it with the certificates of the authority "
            "that has signed ZITADEL's, in PEM",
        )
    text = value.decode("ascii", errors="ignore")
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise TerminalError(
            Reason.CA_BUNDLE_INVALID,
            f"{where}: holds no certificate; put the authority's certificates there, "
            "in PEM",
        )
    return text


def _value(where: str, data: Mapping[str, bytes] | None, key: str, what: str) -> bytes:
    if data is None or key not in data:
        raise TransientError(
            Reason.CREDENTIALS_MISSING,
            f"{where}, key {key!r}: not found; create it with {what}",
        )
    # A file made by `echo` ends with a newline; it is never part of a credential.
    value = data[key].strip()
    if not value:
        raise _invalid(f"{where}, key {key!r}", f"empty; put {what} there")
    return value


def _token(where: str, value: bytes) -> AccessToken:
    if len(value) > LONGEST:
        raise _invalid(
            where,
            f"longer than {LONGEST} bytes, so it is not a personal access token; "
            "store the token alone",
        )
    if not all(byte in _VISIBLE_ASCII for byte in value):
        raise _invalid(
            where,
            "holds blanks or characters other than plain ASCII, so it is not a "
            "personal access token; store the token alone, not a file about it",
        )
    return AccessToken(value.decode("ascii"))


def _text(where: str, value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = ""
    if not text.isprintable() or not 0 < len(text) <= LONGEST:
        raise _invalid(
            where, f"must be text of one line, of at most {LONGEST} characters"
        )
    return text


def _key_file(where: str, value: bytes, now: datetime) -> KeyFile:
    try:
        content: Any = json.loads(value)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise _invalid(
            where,
            "is not JSON; store ZITADEL's key file of a service user as downloaded, "
            "or use credentials.personalAccessToken if it is a token",
        )
    if content.get("type") == "application" or "clientId" in content:
        raise _invalid(
            where,
            "is the key of an application, which cannot call ZITADEL's API by itself; "
            "create a key at a service user instead",
        )
    wanted = ("userId", "keyId", "key")
    missing = [name for name in wanted if not _is_text(content.get(name))]
    if missing:
        raise _invalid(
            where,
            f"lacks {', '.join(missing)}; store ZITADEL's key file of a service user "
            "as downloaded",
        )
    expires = _expiry(content.get("expirationDate"))
    if expires is not None and expires <= now:
        raise _invalid(
            where,
            f"the key has expired at {expires:%Y-%m-%dT%H:%M:%SZ}; create a new one at "
            "the service user and store its file",
        )
    return KeyFile(content["userId"], content["keyId"], content["key"], expires)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _expiry(value: object) -> datetime | None:
    """Return the end of a key; ZITADEL writes the year 9999 where there is none."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if moment is None or moment.year >= _NEVER:
        return None
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        return None


def _invalid(where: str, what: str) -> TerminalError:
    return TerminalError(Reason.CREDENTIALS_INVALID, f"{where}: {what}")
