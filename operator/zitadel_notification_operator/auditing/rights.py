"""What a credential may do, by calls that write nothing, and which role it lacks.

The permissions are those that ZITADEL lists; `zitadel.identity` says what they mean for
the instance. A call that only reads then shows that they work.
"""

from dataclasses import dataclass
from enum import StrEnum

from zitadel_notification_operator.core.errors import TerminalError
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.zitadel.client import ZitadelClient
from zitadel_notification_operator.zitadel.identity import capabilities_of

from .reading import patiently, read_organizations

_POLICY = frozenset({"policy.read", "policy.write", "policy.delete"})
"""What a policy of an organization takes: to read it, to set it and to reset it."""


class Purpose(StrEnum):
    """What a credential may be for."""

    ORGANIZATIONS = "organizations"
    ORGANIZATION = "organization"
    INSTANCE = "instance"
    EVENTS = "events"


_ROLES = {
    Purpose.ORGANIZATIONS: "IAM_ORG_MANAGER",
    Purpose.ORGANIZATION: "ORG_SETTINGS_MANAGER",
    Purpose.INSTANCE: "IAM_OWNER",
    Purpose.EVENTS: "IAM_OWNER_VIEWER",
}
"""ZITADEL's smallest role for each purpose; whoever hosts it may have others."""

_WHAT = {
    Purpose.ORGANIZATIONS: "set the notification policies of all organizations",
    Purpose.ORGANIZATION: "set the notification policy of organization {}",
    Purpose.INSTANCE: "set the notification policy of the instance",
    Purpose.EVENTS: "read ZITADEL's events",
}


@dataclass(frozen=True, slots=True)
class Right:
    """A right that is asked for.

    Attributes:
        purpose: What for.
        organization_id: Which organization; empty for other purposes.
    """

    purpose: Purpose
    organization_id: str = ""

    def __str__(self) -> str:
        suffix = f"={self.organization_id}" if self.organization_id else ""
        return f"{self.purpose}{suffix}"

    @staticmethod
    def parse(text: str) -> "Right":
        """Return the right that `--for` names.

        Raises:
            ValueError: It names none; the text says what can be named.
        """
        prefix = f"{Purpose.ORGANIZATION}="
        if text.startswith(prefix) and text != prefix:
            return Right(Purpose.ORGANIZATION, text.removeprefix(prefix))
        if text not in {Purpose.ORGANIZATIONS, Purpose.INSTANCE, Purpose.EVENTS}:
            raise ValueError(
                f"{text!r} is none of organizations, organization=ID, instance, events"
            )
        return Right(Purpose(text))

    @property
    def role(self) -> str:
        """The smallest role that has this right."""
        return _ROLES[self.purpose]

    @property
    def where(self) -> str:
        """Where the role must be given."""
        if self.purpose is Purpose.ORGANIZATION:
            return f"organization {self.organization_id}"
        return "the instance"

    @property
    def what(self) -> str:
        """What it allows, after "may"."""
        return _WHAT[self.purpose].format(self.organization_id)

    @property
    def advice(self) -> str:
        """What to do if it is missing."""
        return f"give the user the role {self.role} in {self.where}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a credential has a right.

    Attributes:
        right: The right.
        is_granted: Whether it has it.
    """

    right: Right
    is_granted: bool


EVENTS = Right(Purpose.EVENTS)


async def check(client: ZitadelClient, right: Right) -> Verdict:
    """Find out whether the credential of a client has a right; nothing is written.

    Raises:
        OperatorError: It cannot be found out: ZITADEL does not answer, the credential
            is refused, or there is no such organization.
    """
    try:
        return Verdict(right, await patiently(lambda: _has(client, right)))
    except TerminalError as error:
        if error.reason is not Reason.INSUFFICIENT_PERMISSIONS:
            raise
        return Verdict(right, is_granted=False)


async def _has(client: ZitadelClient, right: Right) -> bool:
    match right.purpose:
        case Purpose.EVENTS:
            can = capabilities_of(await client.permissions(None))
            if can.read_events:
                await client.has_events()
            return can.read_events
        case Purpose.INSTANCE:
            can = capabilities_of(await client.permissions(None))
            if can.write_instance_policy:
                await client.observe(None)
            return can.write_instance_policy
        case Purpose.ORGANIZATION:
            return await _has_policy(client, right.organization_id)
        case Purpose.ORGANIZATIONS:
            return await _has_policies(client)


async def _has_policy(client: ZitadelClient, organization_id: str) -> bool:
    if not await client.permissions(organization_id) >= _POLICY:
        return False
    await client.organization(organization_id)
    await client.observe(organization_id)
    return True


async def _has_policies(client: ZitadelClient) -> bool:
    """Return whether the user has the right in the instance, not in some organizations.

    Only roles in the instance count in an organization in which the user itself has
    none. If there is no such organization, all that exist are asked.
    """
    can = capabilities_of(await client.permissions(None))
    if not can.list_organizations:
        return False
    with_roles = await client.organizations_with_roles()
    ids = [one.id for one in await read_organizations(client)]
    others = [id_ for id_ in ids if id_ not in with_roles]
    for id_ in others[:1] or ids:
        if not await _has_policy(client, id_):
            return False
    return bool(ids)
