"""What a role may do.

Source: ZITADEL's default role mapping (`InternalAuthZ` in `cmd/defaults.yaml`), the
part that the calls of this emulator need. A self-hosted ZITADEL may map otherwise.
"""

from collections.abc import Iterable

_POLICIES = {"policy.read", "policy.write", "policy.delete"}
_ORG_CARE = {"org.read", "org.global.read", "org.write", "org.delete"}
_PEOPLE = {"user.read", "user.write"}

PERMISSIONS: dict[str, set[str]] = {
    "IAM_OWNER": {
        *("iam.read", "iam.write", "iam.member.write", "org.member.write"),
        *("iam.policy.read", "iam.policy.write", "iam.policy.delete"),
        *("org.create", "events.read"),
        *(_POLICIES | _ORG_CARE | _PEOPLE),
    },
    "IAM_OWNER_VIEWER": {
        *("iam.read", "iam.policy.read", "policy.read"),
        *("org.read", "user.read", "events.read"),
    },
    "IAM_LOGIN_CLIENT": {
        *("iam.read", "iam.policy.read", "iam.member.write", "policy.read"),
        *("org.read", "org.member.write", *_PEOPLE),
    },
    "IAM_ORG_MANAGER": {
        *("org.create", "org.member.write"),
        *(_POLICIES | _ORG_CARE | _PEOPLE),
    },
    "IAM_USER_MANAGER": {"org.read", "org.global.read", *_PEOPLE},
    "ORG_OWNER": {"org.member.write", *(_POLICIES | _ORG_CARE | _PEOPLE)},
    "ORG_SETTINGS_MANAGER": {"org.read", "org.write", *_POLICIES},
    "ORG_OWNER_VIEWER": {"org.read", "user.read", "policy.read"},
    "ORG_USER_MANAGER": {"org.read", "policy.read", *_PEOPLE},
    "ORG_USER_PERMISSION_EDITOR": {"org.read", "user.read", "policy.read"},
    "ORG_PROJECT_PERMISSION_EDITOR": {"org.read", "user.read", "policy.read"},
    "ORG_PROJECT_CREATOR": {"policy.read"},
    "PROJECT_OWNER": {"org.global.read", "user.read", "policy.read"},
    "PROJECT_OWNER_VIEWER": {"user.read", "policy.read"},
}


def may(roles: Iterable[str], permission: str) -> bool:
    """Return whether one of the roles holds the permission."""
    return any(permission in PERMISSIONS.get(role, set()) for role in roles)
