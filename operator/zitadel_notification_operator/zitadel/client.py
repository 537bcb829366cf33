"""One ZITADEL through one credential: facts in, facts out, no decisions.

Satisfies the engine's `PolicyClient` by shape. Whatever cannot be read as ZITADEL's
answer is an error and never a value: the engine would write a difference to it.
"""

from collections.abc import Callable, Mapping

from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.errors import TerminalError, TransientError
from zitadel_notification_operator.core.events import ZitadelEvent
from zitadel_notification_operator.core.identity import Identity
from zitadel_notification_operator.core.policy import (
    Answer,
    ObservedPolicy,
    Organization,
    OrganizationPage,
    WriteResult,
)
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.zitadel import calls
from zitadel_notification_operator.zitadel.asking import Asker
from zitadel_notification_operator.zitadel.calls import Call
from zitadel_notification_operator.zitadel.errors import (
    OBSERVE_FACTS,
    RESET_FACTS,
    WRITE_FACTS,
    organization_missing,
)
from zitadel_notification_operator.zitadel.event_search import (
    EventsReply,
    events_after,
    events_in,
    last_event,
)
from zitadel_notification_operator.zitadel.identity import identify
from zitadel_notification_operator.zitadel.models import (
    FoundOrganization,
    OrganizationReply,
    PolicyReply,
    SearchReply,
    WriteReply,
)
from zitadel_notification_operator.zitadel.pool import Pool
from zitadel_notification_operator.zitadel.tokens import TokenSource

_VISIBLE_ASCII = range(0x21, 0x7F)
_VERBS = {Action.CREATE: "POST", Action.UPDATE: "PUT"}
_REMOVED_STATES = {"", "ORG_STATE_UNSPECIFIED", "ORG_STATE_REMOVED"}


class ZitadelClient:
    """Calls a ZITADEL with one credential; calls may run concurrently.

    All methods raise, beside what they name: `TransientError` with `Unreachable`,
    `RateLimited`, `ServerError`, `HostNotRecognized` or `UnexpectedAnswer`, and
    `TerminalError` with `CredentialsRejected`, `InsufficientPermissions` or
    `RequestRefused`. `retry_after` is in seconds.

    Args:
        pool: Connections and limits, shared by all clients of the instance object.
        tokens: Where the token of a call comes from.
        check: Asked right before each call goes out; what it raises ends the call.
    """

    def __init__(
        self,
        pool: Pool,
        tokens: TokenSource,
        check: Callable[[], None] | None = None,
    ) -> None:
        self._asker = Asker(pool, tokens, check)

    def guarded(self, check: Callable[[], None]) -> "ZitadelClient":
        """Return a client that asks `check`, too, right before each call goes out."""
        client = ZitadelClient(self._asker.pool, self._asker.tokens)
        client._asker = self._asker.guarded(check)
        return client

    async def identify(self) -> Identity:
        """Return who answers and who asks; see `zitadel.identity` for the calls."""
        return await identify(self._asker)

    async def organizations(self, offset: int, limit: int) -> OrganizationPage:
        """Return a page of the organizations that the credential may see.

        POST `/v2/organizations/_search`, ordered by name.

        Args:
            offset: Rows before the page, those that may not be seen included.
            limit: Rows of the page, at most 1,000.
        """
        reply = await self._asker.ask(calls.page_call(offset, limit), SearchReply)
        return OrganizationPage(
            tuple(_organization(found) for found in reply.result),
            int(reply.details.total),
        )

    async def search(self, reference: Reference) -> Organization | None:
        """Return the organization with this name or verified domain, if any.

        POST `/v2/organizations/_search`; an exact name goes before one that differs in
        case.

        Raises:
            TransientError: `UnexpectedAnswer`: it is not clear which one is meant.
        """
        call = calls.search_call(reference)
        reply = await self._asker.ask(call, SearchReply)
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
        """Return the events after a moment, oldest first; None: from the beginning."""
        return events_in(await self._asker.ask(events_after(since, limit), EventsReply))

    async def newest_event(self) -> ZitadelEvent | None:
        """Return the last event there is; None when there is none."""
        found = events_in(await self._asker.ask(last_event(), EventsReply))
        return found[0] if found else None

    async def organization(self, organization_id: str | None) -> Organization:
        """Return an organization that exists; deactivated ones do.

        GET `/management/v1/orgs/me`; a removed one still answers, without `state`.

        Args:
            organization_id: ZITADEL's id; None: the credential's own organization.

        Raises:
            TerminalError: `OrganizationNotFound`: unknown, or removed.
        """
        call = Call("GET", calls.ORGANIZATION, _known(organization_id))
        reply = await self._asker.ask(call, OrganizationReply)
        found = reply.org
        self._require_owner(call, found.id)
        if found.state in _REMOVED_STATES:
            raise organization_missing(organization_id, "has been removed from ZITADEL")
        return Organization(found.id, found.name)

    async def observe(self, organization_id: str | None) -> ObservedPolicy | None:
        """Return the policy in force.

        GET `/management/v1/policies/notification`, or the instance's at
        `/admin/v1/policies/notification`.

        Args:
            organization_id: Whose; None: the instance's.

        Returns:
            None when the instance has no policy, so that organizations have nothing
            to inherit either.

        Raises:
            TerminalError: `OrganizationNotFound`: ZITADEL has never known it.
        """
        call = _policy_call("GET", organization_id)
        reply = await self._asker.ask(call, PolicyReply, OBSERVE_FACTS)
        if isinstance(reply, Answer):
            return None
        policy = reply.policy
        if not policy.is_default:
            self._require_owner(call, policy.details.resource_owner)
        return ObservedPolicy(
            is_default=policy.is_default,
            password_change=policy.password_change,
            sequence=policy.details.sequence,
            creation_date=policy.details.creation_date,
            change_date=policy.details.change_date,
            resource_owner=policy.details.resource_owner,
        )

    async def write(
        self, organization_id: str | None, action: Action, *, password_change: bool
    ) -> WriteResult:
        """Create or update a policy: POST or PUT on the path of `observe`.

        Args:
            organization_id: Whose; None: the instance's.
            action: CREATE or UPDATE; ZITADEL's PUT never creates.
            password_change: The wanted value, always sent.

        Returns:
            `WRITTEN` with details, or `NOT_CHANGED`, `ALREADY_EXISTS`, `NOT_FOUND`.

        Raises:
            TransientError: `UnexpectedAnswer` also when it was written but the reply
                cannot be read: observe again.
            TerminalError: `OrganizationNotFound`: ZITADEL has never known it.
        """
        body = calls.policy_body(password_change=password_change)
        call = _policy_call(_VERBS[action], organization_id, body)
        return await self._change(call, WRITE_FACTS)

    async def reset(self, organization_id: str) -> WriteResult:
        """Remove an organization's own policy, so that it inherits again.

        DELETE `/management/v1/policies/notification`.

        Args:
            organization_id: Whose.

        Returns:
            `WRITTEN` with details, `NOT_FOUND` when it already inherits, or
            `ORGANIZATION_GONE` when ZITADEL does not know the organization.
        """
        return await self._change(_policy_call("DELETE", organization_id), RESET_FACTS)

    async def _change(self, call: Call, facts: Mapping[str, Answer]) -> WriteResult:
        reply = await self._asker.ask(call, WriteReply, facts)
        if isinstance(reply, Answer):
            return WriteResult(reply)
        details = reply.details
        self._require_owner(call, details.resource_owner)
        return WriteResult(
            Answer.WRITTEN,
            sequence=details.sequence,
            creation_date=details.creation_date,
            change_date=details.change_date,
            resource_owner=details.resource_owner,
        )

    def _require_owner(self, call: Call, owner: str) -> None:
        """Make sure that the answer is about the organization that was asked for.

        A proxy that drops `x-zitadel-orgid` lets ZITADEL answer for the credential's
        own organization, with no other sign of it.
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
    """Return the id; one that no header can carry belongs to no organization.

    Raises:
        TerminalError: `OrganizationNotFound`, above all for an empty id, which ZITADEL
            would take for the credential's own organization.
    """
    if organization_id is not None and not _is_sendable(organization_id):
        raise TerminalError(
            Reason.ORGANIZATION_NOT_FOUND,
            "The organization's id is empty or holds characters that no id has",
        )
    return organization_id


def _is_sendable(text: str) -> bool:
    return bool(text) and all(ord(char) in _VISIBLE_ASCII for char in text)
