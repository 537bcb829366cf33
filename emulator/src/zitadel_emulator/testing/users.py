"""The service users of the emulated instance, their roles and their credentials."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from .control_path import ControlPath, part

Kind = Literal["token", "key", "secret"]


@dataclass(frozen=True)
class Credential:
    """A new credential of a service user; what its kind does not have is empty.

    Attributes:
        token: A personal access token, to be sent as `Authorization: Bearer`.
        token_id: The id of that token.
        key_file: A key file, as the file that ZITADEL's console offers for download.
        key_id: The id of that key.
        client_id: The client id, for the grant type `client_credentials`.
        client_secret: The secret of that client.
    """

    token: str = ""
    token_id: str = ""
    key_file: dict[str, str] = field(default_factory=dict)
    key_id: str = ""
    client_id: str = ""
    client_secret: str = ""


@dataclass(frozen=True)
class User:
    """A new service user.

    Attributes:
        id: The user's id.
        name: The user's login name.
        credential: The user's first credential.
    """

    id: str
    name: str
    credential: Credential


class Users(ControlPath):
    """What tests do with service users."""

    def add_user(
        self,
        *roles: str,
        organization: str = "",
        credential: Kind = "token",
        expires: datetime | None = None,
        home: str = "",
        name: str = "",
    ) -> User:
        """Create a service user with a credential.

        Args:
            roles: ZITADEL's names of the user's roles, such as `ORG_OWNER` or
                `IAM_OWNER`; without any the user has no membership.
            organization: The id of the organization in which the user has these roles;
                empty means the whole instance.
            credential: The kind of credential: a personal access token, a key file for
                the grant type JWT bearer, or a client secret.
            expires: When the token or key expires; None means the year 9999.
            home: The id of the organization that owns the user; empty means
                `organization`, or the token's own.
            name: The display name; the login name is made from it.

        Raises:
            BadControl: A role or an organization is unknown, or the end is in the past.
        """
        body = {
            "roles": roles,
            "credential": credential,
            "expiration": _end(expires),
            **_given(organization=organization, home=home, name=name),
        }
        made = self.control("POST", "users", body)
        return User(made["userId"], made["userName"], _credential(made))

    def add_credential(
        self, user: str, credential: Kind = "token", expires: datetime | None = None
    ) -> Credential:
        """Create one more token or key of a user, or another client secret.

        Args:
            user: The id of the user.
            credential: The kind of credential.
            expires: When the token or key expires; None means the year 9999.

        Raises:
            BadControl: There is no such user, or the end is in the past.
        """
        body = {"credential": credential, "expiration": _end(expires)}
        made = self.control("POST", f"users/{part(user)}/credentials", body)
        return _credential(made)

    def set_roles(
        self, user: str, roles: Collection[str], organization: str = ""
    ) -> None:
        """Replace the roles of a user in an organization, or in the whole instance.

        Raises:
            BadControl: There is no such user, organization or role.
        """
        body = {"roles": list(roles), **_given(organization=organization)}
        self.control("PUT", f"users/{part(user)}", body)

    def deactivate_user(self, user: str) -> None:
        """Deactivate a user, whose tokens are then refused with 401.

        Raises:
            BadControl: There is no such user, or it is deactivated already.
        """
        self.control("PUT", f"users/{part(user)}", {"state": "deactivated"})

    def reactivate_user(self, user: str) -> None:
        """Reactivate a user.

        Raises:
            BadControl: There is no such user, or it is active.
        """
        self.control("PUT", f"users/{part(user)}", {"state": "reactivated"})

    def revoke_token(self, token: str) -> None:
        """Revoke a personal access token, named by its text or its id.

        Raises:
            BadControl: There is no such token that is still valid.
        """
        self.control("DELETE", f"tokens/{part(token)}")

    def remove_key(self, user: str, key: str) -> None:
        """Remove a key of a user; tokens that were issued for it stay valid.

        Raises:
            BadControl: There is no such user or key.
        """
        self.control("DELETE", f"users/{part(user)}/keys/{part(key)}")

    def remove_secret(self, user: str) -> None:
        """Remove the client secret of a user.

        Raises:
            BadControl: There is no such user, or it has no secret.
        """
        self.control("DELETE", f"users/{part(user)}/secret")


def _given(**fields: str) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value}


def _end(expires: datetime | None) -> str:
    return "" if expires is None else expires.isoformat()


def _credential(made: dict[str, Any]) -> Credential:
    return Credential(
        token=made.get("token", ""),
        token_id=made.get("tokenId", ""),
        key_file=made.get("keyFile", {}),
        key_id=made.get("keyId", ""),
        client_id=made.get("clientId", ""),
        client_secret=made.get("clientSecret", ""),
    )
