"""The permissions of each role.

Source: ZITADEL's default role mapping (`InternalAuthZ` in `cmd/defaults.yaml`), with
its roles and permissions in the same order. A self-hosted ZITADEL may have another
mapping.
"""

from collections.abc import Iterable

_ORG_CARE = """
org.member.read org.member.write org.member.delete
org.idp.read org.idp.write org.idp.delete
org.action.read org.action.write org.action.delete
org.flow.read org.flow.write org.flow.delete
org.feature.read org.feature.write org.feature.delete
user.read user.global.read user.write user.delete
user.grant.read user.grant.write user.grant.delete user.membership.read
user.credential.write user.passkey.write
user.feature.read user.feature.write user.feature.delete
policy.read policy.write policy.delete
project.read project.create project.write project.delete
project.member.read project.member.write project.member.delete
project.role.read project.role.write project.role.delete
project.app.read project.app.write
"""
_GRANT_CARE = """
project.grant.read project.grant.write project.grant.delete
project.grant.member.read project.grant.member.write project.grant.member.delete
"""
_PROJECT_VIEW = """
project.read project.member.read project.role.read project.app.read
project.grant.read project.grant.member.read
"""
_GRANT_EDIT = """
org.read org.member.read user.read user.global.read
user.grant.read user.grant.write user.grant.delete policy.read
project.read project.member.read project.role.read project.app.read
project.grant.read
"""

_ROLES = {
    "IAM_OWNER": f"""
        iam.read iam.write iam.policy.read iam.policy.write iam.policy.delete
        iam.member.read iam.member.write iam.member.delete
        iam.idp.read iam.idp.write iam.idp.delete
        iam.action.read iam.action.write iam.action.delete
        iam.flow.read iam.flow.write iam.flow.delete
        iam.feature.read iam.feature.write iam.feature.delete
        iam.restrictions.read iam.restrictions.write
        iam.web_key.write iam.web_key.delete iam.web_key.read
        iam.debug.write iam.debug.read
        org.read org.global.read org.create org.write org.delete {_ORG_CARE}
        project.app.delete {_GRANT_CARE}
        events.read milestones.read session.read session.write session.delete
        action.target.read action.target.write action.target.delete
        action.execution.read action.execution.write
        userschema.read userschema.write userschema.delete
    """,
    "IAM_OWNER_VIEWER": f"""
        iam.read iam.policy.read iam.member.read iam.idp.read iam.action.read
        iam.flow.read iam.restrictions.read iam.feature.read iam.web_key.read
        iam.debug.read org.read org.member.read org.idp.read org.action.read
        org.flow.read org.feature.read user.read user.global.read user.grant.read
        user.membership.read user.feature.read policy.read {_PROJECT_VIEW}
        events.read milestones.read action.target.read action.execution.read
        userschema.read session.read
    """,
    "IAM_ORG_MANAGER": f"""
        org.read org.global.read org.create org.write org.delete {_ORG_CARE}
        project.app.delete {_GRANT_CARE} session.read session.delete
    """,
    "IAM_USER_MANAGER": """
        org.read org.global.read org.member.read org.member.delete
        user.read user.global.read user.write user.delete
        user.grant.read user.grant.write user.grant.delete user.membership.read
        user.passkey.write user.feature.read user.feature.write user.feature.delete
        project.read project.member.read project.role.read project.app.read
        project.grant.read project.grant.write project.grant.delete
        project.grant.member.read session.read session.delete
    """,
    "IAM_ADMIN_IMPERSONATOR": "admin.impersonation impersonation",
    "IAM_END_USER_IMPERSONATOR": "impersonation",
    "IAM_LOGIN_CLIENT": """
        iam.read iam.policy.read iam.member.read iam.member.write iam.idp.read
        iam.feature.read iam.restrictions.read org.read org.member.read
        org.member.write org.idp.read org.feature.read user.read user.write
        user.grant.read user.grant.write user.membership.read user.credential.write
        user.passkey.write user.feature.read policy.read project.read
        project.member.read project.member.write project.role.read project.app.read
        project.grant.read project.grant.member.read project.grant.member.write
        session.read session.write session.link session.delete userschema.read
    """,
    "ORG_OWNER": f"""
        org.read org.global.read org.write org.delete {_ORG_CARE} {_GRANT_CARE}
        session.read session.delete
    """,
    "ORG_USER_MANAGER": """
        org.read user.read user.global.read user.write user.delete
        user.grant.read user.grant.write user.grant.delete user.membership.read
        user.feature.read user.feature.write user.feature.delete policy.read
        project.read project.role.read session.read session.delete
    """,
    "ORG_OWNER_VIEWER": f"""
        org.read org.member.read org.idp.read org.action.read org.flow.read
        org.feature.read user.read user.global.read user.grant.read
        user.membership.read user.feature.read policy.read {_PROJECT_VIEW}
        project.grant.user.grant.read
    """,
    "ORG_SETTINGS_MANAGER": """
        org.read org.write org.member.read org.idp.read org.idp.write org.idp.delete
        org.feature.read org.feature.write org.feature.delete
        policy.read policy.write policy.delete
    """,
    "ORG_USER_PERMISSION_EDITOR": f"{_GRANT_EDIT} project.grant.member.read",
    "ORG_PROJECT_PERMISSION_EDITOR": f"""
        {_GRANT_EDIT} project.grant.write project.grant.delete
        project.grant.member.read
    """,
    "ORG_PROJECT_CREATOR": """
        user.global.read policy.read project.read:self project.create
    """,
    "ORG_ADMIN_IMPERSONATOR": "admin.impersonation impersonation",
    "ORG_END_USER_IMPERSONATOR": "impersonation",
    "PROJECT_OWNER": f"""
        org.global.read policy.read project.read project.write project.delete
        project.member.read project.member.write project.member.delete
        project.role.read project.role.write project.role.delete
        project.app.read project.app.write project.app.delete {_GRANT_CARE}
        user.read user.global.read user.grant.read user.grant.write
        user.grant.delete user.membership.read
    """,
    "PROJECT_OWNER_VIEWER": f"""
        policy.read {_PROJECT_VIEW} user.read user.global.read user.grant.read
        user.membership.read
    """,
}

PERMISSIONS: dict[str, tuple[str, ...]] = {
    role: tuple(names.split()) for role, names in _ROLES.items()
}
"""The permissions by role, in ZITADEL's order."""


def may(roles: Iterable[str], permission: str) -> bool:
    """Return whether at least one of the roles has the permission."""
    return any(permission in PERMISSIONS.get(role, ()) for role in roles)


def permissions_of(roles: Iterable[str]) -> list[str]:
    """Return the permissions of all these roles, in order and without duplicates."""
    names = (name for role in roles for name in PERMISSIONS.get(role, ()))
    return list(dict.fromkeys(names))
