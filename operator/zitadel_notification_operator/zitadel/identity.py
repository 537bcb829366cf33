"""Finds out which ZITADEL answers and which user the credential belongs to.

That takes three calls, and up to five for a user with the smallest of roles.
"""

from collections.abc import AsyncIterator

from zitadel_notification_operator.core.errors import (
    PageTooLarge,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.identity import Capabilities, Identity, User
from zitadel_notification_operator.core.paging import PageSize
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.text import shown_name

from . import calls
from .api_caller import ApiCaller
from .calls import Call
from .errors import NO_ROLE_FACTS, OBSERVE_FACTS
from .models import (
    InstanceReply,
    Membership,
    MembershipsReply,
    PermissionsReply,
    PolicyReply,
    UserReply,
)

_MEMBERSHIPS = 100
"""Memberships per page. A user may have thousands, but one is enough."""


async def identify(caller: ApiCaller) -> Identity:
    """Return the ZITADEL and the user, by three calls that write nothing.

    The calls are POST `/auth/v1/permissions/zitadel/me/_search` and
    GET `/auth/v1/users/me`, which any user may make, then GET
    `/admin/v1/instances/me`. If the user may not read the instance, its id is taken
    from the owner of the default policy, which the smallest useful role may read.

    Raises:
        TerminalError: `InsufficientPermissions`: the user has no role anywhere, or one
            that is too small for an instance without a default policy.
    """
    permissions = await permissions_in(caller, None)
    user = await user_of(caller)
    zitadel_id, version = await _instance(caller, permissions)
    return Identity(
        zitadel_id, shown_name(version) or None, user, capabilities_of(permissions)
    )


async def user_of(caller: ApiCaller) -> User:
    """Return the credential's own user: GET `/auth/v1/users/me`."""
    user = (await caller.call(Call("GET", calls.USER), UserReply)).user
    return User(user.id, shown_name(user.user_name))


async def permissions_in(
    caller: ApiCaller, organization_id: str | None
) -> frozenset[str]:
    """Return the user's permissions in an organization, with those of the instance.

    POST `/auth/v1/permissions/zitadel/me/_search`.

    Args:
        caller: Makes the call.
        organization_id: The organization; None for the one that owns the user.

    Returns:
        Nothing if the user has no role there and none in the instance.

    Raises:
        NoOrganization: ZITADEL has never known it.
    """
    call = Call("POST", calls.PERMISSIONS, organization_id, b"{}")
    found = await caller.call(call, PermissionsReply, NO_ROLE_FACTS)
    if isinstance(found, PermissionsReply):
        return frozenset(found.result)
    return frozenset()


def capabilities_of(permissions: frozenset[str]) -> Capabilities:
    """Return what a credential with these permissions may do."""
    return Capabilities(
        read_events="events.read" in permissions,
        write_instance_policy="iam.policy.write" in permissions,
        # Roles in a single organization include neither of the two.
        list_organizations=not permissions.isdisjoint({"iam.read", "org.create"}),
    )


async def _instance(caller: ApiCaller, permissions: frozenset[str]) -> tuple[str, str]:
    if "iam.read" in permissions:
        call = Call("GET", calls.INSTANCE)
        instance = (await caller.call(call, InstanceReply)).instance
        return instance.id, instance.version
    try:
        owner = await _owner_of_default(caller, None)
    except TerminalError as error:
        if error.reason is not Reason.INSUFFICIENT_PERMISSIONS:
            raise
        owner = await _owner_of_default(caller, await _organization_of_role(caller))
    else:
        if "policy.read" not in permissions:
            raise TransientError(
                Reason.UNEXPECTED_ANSWER,
                "ZITADEL's list of the credential's permissions lacks one that it has",
            )
    if owner is not None:
        return owner, ""
    raise TerminalError(
        Reason.INSUFFICIENT_PERMISSIONS,
        "This ZITADEL has no notification policy for the instance, so the "
        "credential must be allowed to read the instance; give its service "
        "user the role IAM_OWNER_VIEWER in the instance, or create that policy "
        "in ZITADEL's console",
    )


async def _owner_of_default(
    caller: ApiCaller, organization_id: str | None
) -> str | None:
    """Return the owner of the default policy, or None if there is no such policy."""
    call = Call("GET", calls.DEFAULT_POLICY, organization_id)
    found = await caller.call(call, PolicyReply, OBSERVE_FACTS)
    if isinstance(found, PolicyReply):
        return found.policy.details.resource_owner
    return None


async def _organization_of_role(caller: ApiCaller) -> str:
    """Return an organization in which the user has a role. Its own gives none."""
    async for membership in memberships(caller):
        if membership.organization_id:
            return membership.organization_id
    raise TerminalError(
        Reason.INSUFFICIENT_PERMISSIONS,
        "The credential's service user has no role that lets it read notification "
        "policies; give it the role IAM_ORG_MANAGER in the instance for all "
        "organizations, or ORG_SETTINGS_MANAGER in the organization it is for",
    )


async def memberships(caller: ApiCaller) -> AsyncIterator[Membership]:
    """Yield where the user has roles: POST `/auth/v1/memberships/me/_search`."""
    page, offset, total = PageSize(_MEMBERSHIPS), 0, 1
    while offset < total:
        try:
            call = calls.memberships_call(offset, page.rows)
            reply = await caller.call(call, MembershipsReply)
        except PageTooLarge:
            if not page.halve():
                raise
            continue
        for membership in reply.result:
            yield membership
        offset, total = offset + page.rows, int(reply.details.total)
