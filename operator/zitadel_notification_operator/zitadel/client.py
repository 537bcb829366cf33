"""A client for one ZITADEL and one credential. It returns facts and decides nothing.

It implements the engine's protocol `PolicyClient`. Anything that is not clearly
ZITADEL's answer is raised as an error and never returned as a value, because the engine
would correct a wrong value in ZITADEL.
"""

from collections.abc import Callable

from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.deprecation import Deprecation
from zitadel_notification_operator.core.errors import NoOrganization, TransientError
from zitadel_notification_operator.core.events import ZitadelEvent
from zitadel_notification_operator.core.identity import Identity, User
from zitadel_notification_operator.core.policy import (
    ObservedPolicy,
    Organization,
    OrganizationPage,
    WriteOutcome,
    WriteResult,
)
from zitadel_notification_operator.core.policy_events import LogStart, PolicyEvent
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.core.settings import Settings

from . import calls
from .api_caller import ApiCaller
from .calls import Call, is_sendable
from .errors import OBSERVE_FACTS, RESET_FACTS, WRITE_FACTS, Facts, organization_missing
from .event_search import (
    EventsReply,
    any_event,
    events_after,
    events_in,
    last_event,
    last_policy_event,
)
from .identity import identify, memberships, permissions_in, user_of
from .models import (
    FoundOrganization,
    OrganizationReply,
    PolicyReply,
    SearchReply,
    UserReply,
    WriteReply,
)
from .policy_events import (
    RecordsReply,
    first_record,
    records_after,
    records_in,
    start_in,
)

_VERBS = {Action.CREATE: "POST", Action.UPDATE: "PUT"}
_REMOVED_STATES = {"", "ORG_STATE_UNSPECIFIED", "ORG_STATE_REMOVED"}


class ZitadelClient:
    """Calls a ZITADEL with one credential. Calls may run concurrently.

    In addition to the errors in their docstrings, all methods raise `TransientError`
    with `Unreachable`, `RateLimited`, `ServerError`, `HostNotRecognized` or
    `UnexpectedAnswer`, and `TerminalError` with `CredentialsRejected`,
    `InsufficientPermissions` or `RequestRefused`. `retry_after` is in seconds.

    Args:
        caller: Makes the calls.
    """

    def __init__(self, caller: ApiCaller) -> None:
        self._caller = caller

    def guarded(self, check: Callable[[], None]) -> "ZitadelClient":
        """Return a client that also calls `check` right before each call is sent."""
        return ZitadelClient(self._caller.guarded(check))

    async def deprecation(self) -> Deprecation | None:
        """Return the calls that ZITADEL has marked as deprecated, without a call."""
        return self._caller.pool.marks.deprecation()

    async def identify(self) -> Identity:
        """Return the ZITADEL and the user; see `zitadel.identity` for the calls."""
        return await identify(self._caller)

    async def user(self) -> User:
        """Return the credential's own user, which any valid credential may read."""
        return await user_of(self._caller)

    async def permissions(self, organization_id: str | None) -> frozenset[str]:
        """Return the user's permissions in an organization, with those of the instance.

        Args:
            organization_id: The organization; None for the one that owns the user.

        Returns:
            Nothing if the user has no role there and none in the instance.

        Raises:
            NoOrganization: It is unknown, or no organization can have this id.
        """
        return await permissions_in(self._caller, _known(organization_id))

    async def organizations_with_roles(self) -> frozenset[str]:
        """Return the ids of the organizations in which the user itself has roles."""
        found = memberships(self._caller)
        return frozenset(
            [one.organization_id async for one in found if one.organization_id]
        )

    async def authenticate(self) -> None:
        """Read the credential's own user, which any valid credential may do.

        GET `/auth/v1/users/me`.
        """
        await self._caller.call(Call("GET", calls.USER), UserReply)

    async def organizations(self, offset: int, limit: int) -> OrganizationPage:
        """Return a page of the organizations that the credential may see.

        POST `/v2/organizations/_search`, ordered by name.

        Args:
            offset: The number of rows before the page, including rows that the
                credential may not see.
            limit: The number of rows of the page, at most 1,000.

        Raises:
            PageTooLarge: ZITADEL returns fewer rows at once.
        """
        reply = await self._caller.call(calls.page_call(offset, limit), SearchReply)
        return OrganizationPage(
            tuple(_organization(found) for found in reply.result),
            int(reply.details.total),
        )

    async def search(self, reference: Reference) -> Organization | None:
        """Return the organization with this name or verified domain, or None.

        POST `/v2/organizations/_search`. An exact name takes precedence over one that
        differs in case.

        Raises:
            TransientError: `UnexpectedAnswer`: several organizations match.
        """
        call = calls.search_call(reference)
        reply = await self._caller.call(call, SearchReply)
        found = [_organization(organization) for organization in reply.result]
        if reference.by is By.NAME:
            wanted = reference.value
            exact = [one for one in found if one.name == wanted]
            found = exact or [
                one for one in found if one.name.lower() == wanted.lower()
            ]
        if len(found) > 1:
            raise TransientError(
                Reason.UNEXPECTED_ANSWER,
                f"ZITADEL knows more than one {reference}; name it by its id",
            )
        return found[0] if found else None

    async def events(self, since: str | None, limit: int) -> list[ZitadelEvent]:
        """Return the events after a time, or all if it is None; oldest first.

        Raises:
            PageTooLarge: ZITADEL returns fewer than `limit` events at once.
        """
        return events_in(
            await self._caller.call(events_after(since, limit), EventsReply)
        )

    async def newest_event(self) -> ZitadelEvent | None:
        """Return the newest event in the log, or None if there is none."""
        found = events_in(await self._caller.call(last_event(), EventsReply))
        return found[0] if found else None

    async def last_policy_event(
        self, organization_id: str | None
    ) -> ZitadelEvent | None:
        """Return the newest event of one notification policy.

        One POST `/admin/v1/events/_search`. Like every search of events, it does not
        pause the whole instance when it is refused.

        Args:
            organization_id: The owner of the policy; None for the instance.

        Returns:
            None if the log has no such event: either the organization has never had a
            policy of its own, or the log keeps events for a limited time only.

        Raises:
            TransientError: `UnexpectedAnswer`, also if the event belongs to another
                organization than the requested one.
            NoOrganization: No organization can have this id.
        """
        call = last_policy_event(_known(organization_id))
        found = events_in(await self._caller.call(call, EventsReply))
        if not found:
            return None
        owner = found[0].id.aggregate
        if organization_id not in {None, owner}:
            raise TransientError(
                Reason.UNEXPECTED_ANSWER,
                f"{call} for organization {organization_id} was answered with an event "
                f"of {owner}",
            )
        return found[0]

    async def policy_events(self, since: str | None, limit: int) -> list[PolicyEvent]:
        """Return what happened to policies after a time; oldest first.

        Args:
            since: The exclusive start, RFC 3339; None for the beginning of the log.
            limit: The number of events, at most 1,000.

        Raises:
            PageTooLarge: ZITADEL returns fewer than `limit` events at once.
        """
        call = records_after(since, limit)
        return records_in(await self._caller.call(call, RecordsReply))

    async def log_start(self) -> LogStart:
        """Return where ZITADEL's event log begins."""
        return start_in(await self._caller.call(first_record(), RecordsReply))

    async def has_events(self) -> bool:
        """Return whether the log contains any event, of any kind."""
        return bool((await self._caller.call(any_event(), EventsReply)).events)

    async def organization(self, organization_id: str | None) -> Organization:
        """Return an organization that exists, even if it is deactivated.

        GET `/management/v1/orgs/me`. A removed organization is still returned, but
        without `state`.

        Args:
            organization_id: ZITADEL's id; None for the credential's own organization.

        Raises:
            NoOrganization: It is unknown or was removed.
        """
        call = Call("GET", calls.ORGANIZATION, _known(organization_id))
        reply = await self._caller.call(call, OrganizationReply)
        found = reply.org
        self._require_owner(call, found.id)
        if found.state in _REMOVED_STATES:
            raise organization_missing(organization_id, "has been removed from ZITADEL")
        return Organization(found.id, found.name, found.primary_domain)

    async def observe(self, organization_id: str | None) -> ObservedPolicy | None:
        """Return the policy in force.

        GET `/management/v1/policies/notification`, or
        `/admin/v1/policies/notification` for the instance.

        Args:
            organization_id: The owner of the policy; None for the instance.

        Returns:
            None if the instance has no policy, so that organizations have nothing to
            inherit either.

        Raises:
            NoOrganization: ZITADEL has never known it.
        """
        call = _policy_call("GET", organization_id)
        reply = await self._caller.call(call, PolicyReply, OBSERVE_FACTS)
        if isinstance(reply, WriteOutcome):
            return None
        policy = reply.policy
        if not policy.is_default:
            self._require_owner(call, policy.details.resource_owner)
        return ObservedPolicy(
            is_default=policy.is_default,
            settings=policy.settings,
            sequence=policy.details.sequence,
            creation_date=policy.details.creation_date,
            change_date=policy.details.change_date,
            resource_owner=policy.details.resource_owner,
            unknown_members=policy.unknown_members,
        )

    async def write(
        self,
        organization_id: str | None,
        action: Action,
        *,
        settings: Settings,
        before: ObservedPolicy | None = None,
    ) -> WriteResult:
        """Create or update a policy: POST or PUT on the path of `observe`.

        Args:
            organization_id: The owner of the policy; None for the instance.
            action: CREATE or UPDATE. ZITADEL's PUT never creates a policy.
            settings: The desired values, which are always sent.
            before: What `observe` returned right before; None if there was no policy.
                ZITADEL replaces the whole policy, so the flags that `settings` leaves
                out, and the members that this version does not know, are sent again as
                they were read.

        Returns:
            `WRITTEN` with details, or `NOT_CHANGED`, `ALREADY_EXISTS` or `NOT_FOUND`.

        Raises:
            TransientError: `UnexpectedAnswer`, also if the policy was written but the
                reply cannot be parsed. Observe again.
            NoOrganization: ZITADEL has never known it.
        """
        body = calls.policy_body(settings, before)
        call = _policy_call(_VERBS[action], organization_id, body)
        return await self._change(call, WRITE_FACTS)

    async def reset(self, organization_id: str) -> WriteResult:
        """Remove an organization's own policy, so that it inherits again.

        DELETE `/management/v1/policies/notification`.

        Args:
            organization_id: The owner of the policy.

        Returns:
            `WRITTEN` with details, `NOT_FOUND` if the organization already inherits, or
            `ORGANIZATION_GONE` if ZITADEL does not know the organization.
        """
        return await self._change(_policy_call("DELETE", organization_id), RESET_FACTS)

    async def _change(self, call: Call, facts: Facts) -> WriteResult:
        reply = await self._caller.call(call, WriteReply, facts)
        if isinstance(reply, WriteOutcome):
            return WriteResult(reply)
        details = reply.details
        self._require_owner(call, details.resource_owner)
        return WriteResult(
            WriteOutcome.WRITTEN, details.sequence, details.resource_owner
        )

    def _require_owner(self, call: Call, owner: str) -> None:
        """Raise an error if the answer is about another organization than requested.

        If a proxy drops `x-zitadel-orgid`, ZITADEL answers for the credential's own
        organization, and nothing else shows this.
        """
        if call.organization_id not in {None, owner}:
            raise TransientError(
                Reason.UNEXPECTED_ANSWER,
                f"{call} for organization {call.organization_id} was answered for "
                f"{owner}; does a proxy drop the header x-zitadel-orgid?",
            )


def _organization(found: FoundOrganization) -> Organization:
    return Organization(found.id, found.name, found.primary_domain)


def _policy_call(
    method: str, organization_id: str | None, body: bytes | None = None
) -> Call:
    known = _known(organization_id)
    path = calls.INSTANCE_POLICY if known is None else calls.ORGANIZATION_POLICY
    return Call(method, path, known, body)


def _known(organization_id: str | None) -> str | None:
    """Return the id, or raise an error if no header can carry it.

    Raises:
        NoOrganization: No organization has such an id. This matters most for an empty
            id, which ZITADEL would take for the credential's own organization.
    """
    if organization_id is not None and not is_sendable(organization_id):
        raise NoOrganization(
            "The organization's id is empty or holds characters that no id has"
        )
    return organization_id
