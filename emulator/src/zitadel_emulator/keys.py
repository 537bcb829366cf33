"""Keys and client secrets of service users, which the token endpoint checks.

Source: ZITADEL: `internal/command/user_machine_{key,secret}.go`,
`internal/domain/machine_key.go`. The event log contains public keys only. As in
ZITADEL, a private key is returned once, when it is created, and is not stored.
"""

import secrets
import string
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from .access import Access
from .answers import NOT_FOUND, PRECONDITION, Refusal, timestamp
from .events import Event, EventLog

FIRST_KEY = 283000000000000001
KEY_BITS = 2048
"""ZITADEL's default of `SystemDefaults.KeyConfig.PrivateKeySize`."""

SECRET_LENGTH = 64
"""Letters and digits in a secret (ZITADEL: `SecretGenerators.ClientSecret.Length`)."""

_KEY = "user.machine.key."
_SECRET = "user.machine.secret."  # noqa: S105 - the type of an event


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A new key, including the private key, which the emulator does not store.

    Attributes:
        id: The id of the key, which assertions name as `kid`.
        content: The content of the JSON key file that ZITADEL offers for download.
    """

    id: str
    content: dict[str, str]


class Keys:
    """The keys and client secrets of all users."""

    def __init__(self, log: EventLog, access: Access) -> None:
        """Start without any.

        Args:
            log: The event log, which gets everything but private keys and secrets.
            access: The users.
        """
        self._log = log
        self._access = access
        self._made = 0
        self._secrets: dict[str, str] = {}

    def add_key(
        self, user_id: str, editor: str = "", expiration: str = ""
    ) -> tuple[KeyFile, Event]:
        """Create an RSA key for a user (POST /management/v1/users/{id}/keys).

        Args:
            user_id: The id of the user.
            editor: The id of the caller.
            expiration: When it expires, in RFC 3339. Empty means the year 9999, as in
                ZITADEL.

        Raises:
            Refusal: The user is unknown, or the expiration is in the past
                (`DOMAIN-dv3t5`).
        """
        user = self._access.known(user_id)
        end = timestamp(self._access.end(expiration))
        key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        key_id = str(FIRST_KEY + self._made)
        self._made += 1
        public = key.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        payload = {"keyId": key_id, "expiration": end, "publicKey": public.decode()}
        event = self._log.push(
            user_id, editor, (_KEY + "added", payload), owner=user.organization
        )
        # ZITADEL sends PKCS#1 ("BEGIN RSA PRIVATE KEY"), so clients must support it.
        private = key.private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        )
        content = {
            "type": "serviceaccount",
            "keyId": key_id,
            "key": private.decode(),
            "expirationDate": end,
            "userId": user_id,
        }
        return KeyFile(key_id, content), event

    def remove_key(self, user_id: str, key_id: str, editor: str = "") -> Event:
        """Remove a key (DELETE /management/v1/users/{id}/keys/{key}).

        Raises:
            Refusal: The user is unknown or has no such key.
        """
        user = self._access.known(user_id)
        if self._added(user_id, key_id) is None:
            text = "Errors.User.Machine.Key.NotFound"
            raise Refusal(NOT_FOUND, text, "COMMAND-4m77G")
        command = (_KEY + "removed", {"keyId": key_id})
        return self._log.push(user_id, editor, command, owner=user.organization)

    def public_key(self, user_id: str, key_id: str) -> str | None:
        """Return a public key as PEM, or None if it does not exist or has expired."""
        added = self._added(user_id, key_id)
        if added is None:
            return None
        end = datetime.fromisoformat(added["expiration"])
        return str(added["publicKey"]) if self._log.clock() < end else None

    def set_secret(self, user_id: str, editor: str = "") -> tuple[str, Event]:
        """Create a client secret, which replaces the user's old one.

        This is PUT /management/v1/users/{id}/secret.

        Raises:
            Refusal: The user is unknown.
        """
        user = self._access.known(user_id)
        letters = string.ascii_letters + string.digits
        text = "".join(secrets.choice(letters) for _ in range(SECRET_LENGTH))
        self._secrets[user_id] = text
        owner = user.organization
        return text, self._log.push(user_id, editor, (_SECRET + "set", {}), owner=owner)

    def remove_secret(self, user_id: str, editor: str = "") -> Event:
        """Remove a client secret (DELETE /management/v1/users/{id}/secret).

        Raises:
            Refusal: The user is unknown or has no secret (`COMMAND-coi82n`).
        """
        user = self._access.known(user_id)
        if self._secrets.pop(user_id, None) is None:
            text = "Errors.User.Machine.Secret.NotExisting"
            raise Refusal(PRECONDITION, text, "COMMAND-coi82n")
        owner = user.organization
        return self._log.push(user_id, editor, (_SECRET + "removed", {}), owner=owner)

    def secret(self, user_id: str) -> str | None:
        """Return a user's client secret, or None if the user has none."""
        return self._secrets.get(user_id)

    def _added(self, user_id: str, key_id: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = None
        for event in self._log.of(user_id):
            if event.type.startswith(_KEY) and event.payload["keyId"] == key_id:
                found = dict(event.payload) if event.type == _KEY + "added" else None
        return found
