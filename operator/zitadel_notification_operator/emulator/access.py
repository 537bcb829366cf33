"""Users, their tokens and roles, and what a role may do.

Source: ZITADEL's default role mapping (`InternalAuthZ`), the part that the calls of
this emulator need.
"""

from dataclasses import dataclass, field

_ALL = {
    "iam.read",
    "iam.policy.read",
    "iam.policy.write",
    "policy.read",
    "policy.write",
    "policy.delete",
    "org.read",
    "org.create",
    "org.write",
    "org.delete",
}
_SETTINGS = {"policy.read", "policy.write", "policy.delete", "org.read"}

PERMISSIONS: dict[str, set[str]] = {
    "IAM_OWNER": _ALL,
    "IAM_OWNER_VIEWER": {"iam.read", "iam.policy.read", "policy.read", "org.read"},
    "IAM_ORG_MANAGER": _SETTINGS | {"org.create", "org.write", "org.delete"},
    "ORG_OWNER": _SETTINGS | {"org.write", "org.delete"},
    "ORG_SETTINGS_MANAGER": _SETTINGS,
    "ORG_OWNER_VIEWER": {"policy.read", "org.read"},
}

INSTANCE = ""
"""Key of instance-wide memberships."""


@dataclass(slots=True)
class User:
    """A service user.

    Attributes:
        organization: That owns it; the context of calls without a header.
        roles: Role names by organization id, or by `INSTANCE`.
        active: A deactivated user's tokens are refused.
    """

    id: str
    organization: str
    roles: dict[str, set[str]] = field(default_factory=dict)
    active: bool = True

    def memberships(self, organization: str, removed: set[str]) -> set[str]:
        """Return the roles that count in an organization's context.

        Memberships of a removed organization are gone; instance-wide ones stay.
        """
        own = set() if organization in removed else self.roles.get(organization, set())
        return own | self.roles.get(INSTANCE, set())


class Access:
    """Tokens and who they belong to."""

    def __init__(self) -> None:
        self._users: dict[str, User] = {}

    def add(self, token: str, user: User) -> None:
        """Make a personal access token."""
        self._users[token] = user

    def revoke(self, token: str) -> bool:
        """Take a token back; return whether it was there."""
        return self._users.pop(token, None) is not None

    def user(self, token: str) -> User | None:
        """Return whose token it is; None when unknown, or the user is not active."""
        found = self._users.get(token)
        return found if found and found.active else None


def may(roles: set[str], permission: str) -> bool:
    """Return whether one of the roles holds the permission."""
    return any(permission in PERMISSIONS.get(role, set()) for role in roles)
