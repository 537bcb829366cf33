"""Reading credentials and trusted roots from the data of Secrets and ConfigMaps.

ZITADEL accepts three kinds of credentials for service users: a personal access token,
a key file (type `serviceaccount`), and a client id with its secret. No message here
contains any part of a value, and the records do not show values when printed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from . import mistakes
from .conditions import format_time
from .errors import TerminalError, TransientError
from .reasons import Reason

LONGEST = 4096
"""The longest token in bytes.

ZITADEL's tokens have about a hundred bytes, and servers refuse long headers.
"""

CLIENT_ID, CLIENT_SECRET = "clientId", "clientSecret"
"""The keys of a Secret that holds client credentials."""

_VISIBLE_ASCII = range(0x21, 0x7F)
_NEVER = 9999


class CredentialKind(StrEnum):
    """The kinds of credentials, named as the fields of `spec.credentials`."""

    TOKEN = "personalAccessToken"  # noqa: S105 - the name of a field
    KEY = "privateKeyJWT"
    CLIENT = "clientCredentials"


class CredentialRef(NamedTuple):
    """Where a credential is stored: a Secret in the operator's own namespace.

    Attributes:
        kind: What the Secret must hold.
        secret: The name of the Secret.
        key: The key in the Secret. Empty for client credentials, which use two keys.
    """

    kind: CredentialKind
    secret: str
    key: str = ""


class CaRef(NamedTuple):
    """Where additional trusted roots are stored, in the operator's own namespace.

    Attributes:
        kind: `ConfigMap` or `Secret`.
        name: The name of the object.
        key: The key in the object.
    """

    kind: str
    name: str
    key: str


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A personal access token, which is sent to ZITADEL unchanged."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A service user's key, as people download it from ZITADEL.

    Attributes:
        user_id: The service user's id, used as issuer and subject of assertions.
        key_id: The key's id, sent as the `kid` of assertions.
        private_key: The key as PEM text. It has not been checked yet.
        expires: When the key expires, in UTC; None if it does not expire.
    """

    user_id: str
    key_id: str
    private_key: str = field(repr=False)
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """A service user's client id and client secret."""

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
        ref: The place that the data was read from.
        data: The Secret's decoded values by key; None if the Secret does not exist.
        own_namespace: The namespace in which the operator looks for Secrets.
        now: The present time, UTC.

    Raises:
        TransientError: `CredentialsMissing`: the Secret or its key does not exist, but
            may be created soon.
        TerminalError: `CredentialsInvalid`: the value is not a credential of this kind,
            or the credential has expired.
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


def parse_credential_file(
    kind: CredentialKind, where: str, content: bytes, now: datetime
) -> Credential:
    """Return the credential that a file holds.

    Args:
        kind: What the file must hold: a token alone, a key file as ZITADEL offers it,
            or JSON with `clientId` and `clientSecret`.
        where: How messages name the file.
        content: Its content.
        now: The present time, UTC.

    Raises:
        TerminalError: `CredentialsInvalid`: it is not a credential of this kind, or the
            credential has expired.
    """
    value = content.strip()
    if not value:
        raise _invalid(where, "empty")
    if kind is CredentialKind.TOKEN:
        return _token(where, value)
    if kind is CredentialKind.KEY:
        return _key_file(where, value, now)
    try:
        fields: Any = json.loads(value)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or not all(
        _is_text(fields.get(name)) for name in (CLIENT_ID, CLIENT_SECRET)
    ):
        raise _invalid(
            where, f"must be JSON with {CLIENT_ID!r} and {CLIENT_SECRET!r} as text"
        )
    client, secret = (fields[name].encode() for name in (CLIENT_ID, CLIENT_SECRET))
    return ClientSecret(
        _text(f"{where}, {CLIENT_ID}", client),
        _text(f"{where}, {CLIENT_SECRET}", secret),
    )


def expiry_of(credential: Credential) -> datetime | None:
    """Return when a credential expires, or None if it does not say so itself."""
    return credential.expires if isinstance(credential, KeyFile) else None


def bundle_name(ref: CaRef, namespace: str) -> str:
    """Return how messages name a bundle of trusted roots."""
    return f"{ref.kind} {namespace}/{ref.name}, key {ref.key!r}"


def parse_roots(ref: CaRef, data: Mapping[str, bytes] | None, namespace: str) -> str:
    """Return the additional trusted roots as PEM text.

    Raises:
        TransientError: `CABundleMissing`: the object or its key does not exist, but may
            be created soon.
        TerminalError: `CABundleInvalid`: the value contains no certificate.
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
        mistake = mistakes.in_bundle(value) or (
            "holds no certificate; put the authority's certificates there, in PEM"
        )
        raise TerminalError(Reason.CA_BUNDLE_INVALID, f"{where}: {mistake}")
    return text


def _value(where: str, data: Mapping[str, bytes] | None, key: str, what: str) -> bytes:
    if data is None:
        raise TransientError(
            Reason.CREDENTIALS_MISSING,
            f"{where}: not found; create it with {what} as its key {key!r}",
        )
    if key not in data:
        raise TransientError(
            Reason.CREDENTIALS_MISSING,
            f"{where}: there is no key {key!r} in it; put {what} there",
        )
    # A file written by `echo` ends with a newline, which is never part of a credential.
    value = data[key].strip()
    if not value:
        raise _invalid(f"{where}, key {key!r}", f"empty; put {what} there")
    return value


def _token(where: str, value: bytes) -> AccessToken:
    _require_none(where, mistakes.in_token(value))
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
    _require_none(where, mistakes.in_text(value))
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
        _require_none(where, mistakes.in_key_file(value))
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
            f"the key has expired at {format_time(expires)}; create a new one at the "
            "service user and store its file",
        )
    return KeyFile(content["userId"], content["keyId"], content["key"], expires)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _expiry(value: object) -> datetime | None:
    """Return when a key expires. ZITADEL writes the year 9999 if it never does."""
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


def _require_none(where: str, mistake: str) -> None:
    if mistake:
        raise _invalid(where, mistake)


def _invalid(where: str, what: str) -> TerminalError:
    return TerminalError(Reason.CREDENTIALS_INVALID, f"{where}: {what}")
