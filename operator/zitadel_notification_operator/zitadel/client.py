"""One ZITADEL through one credential: facts in, facts out, no decisions.

Satisfies the engine's `PolicyClient` by shape. Whatever cannot be read as ZITADEL's
answer is an error and never a value: the engine would write a difference to it.
"""

from collections.abc import Mapping
from typing import TypeVar, overload

from pydantic import ValidationError

from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.errors import TerminalError, TransientError
from zitadel_notification_operator.core.policy import (
    Answer,
    ObservedPolicy,
    Organization,
    WriteResult,
)
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.zitadel import calls
from zitadel_notification_operator.zitadel.calls import Call
from zitadel_notification_operator.zitadel.errors import (
    OBSERVE_FACTS,
    RESET_FACTS,
    WRITE_FACTS,
    organization_missing,
    refusal_of,
    trouble_of,
    unexpected,
)
from zitadel_notification_operator.zitadel.models import (
    InstanceReply,
    Model,
    OrganizationReply,
    PolicyReply,
    WriteReply,
)
from zitadel_notification_operator.zitadel.pool import Pool

_OK = 200
_VISIBLE_ASCII = range(0x21, 0x7F)
_VERBS = {Action.CREATE: "POST", Action.UPDATE: "PUT"}
_REMOVED_STATES = {"", "ORG_STATE_UNSPECIFIED", "ORG_STATE_REMOVED"}

M = TypeVar("M", bound=Model)


class ZitadelClient:
    """Calls a ZITADEL with one token; keeps nothing, so calls may run concurrently.

    All methods raise, beside what they name: `TransientError` with `Unreachable`,
    `RateLimited`, `ServerError`, `HostNotRecognized` or `UnexpectedAnswer`, and
    `TerminalError` with `CredentialsRejected`, `InsufficientPermissions` or
    `RequestRefused`. `retry_after` is in seconds.

    Args:
        pool: Connections and limits, shared by all clients of the instance object.
        token: Of a service user; visible ASCII characters only.

    Raises:
        TerminalError: `CredentialsInvalid`: no header can carry the token.
    """

    def __init__(self, pool: Pool, token: str) -> None:
        # Checked here, because below it would be quoted in errors and debug logs.
        if not _is_sendable(token):
            raise TerminalError(
                Reason.CREDENTIALS_INVALID,
                "The token is empty or holds characters other than plain ASCII",
            )
        self._pool = pool
        self._token = token

    async def identify(self) -> str:
        """Return ZITADEL's own id.

        GET `/management/v1/policies/default/notification`, which the smallest useful
        role may read; its owner is the instance. Instances older than the feature
        may lack that policy, then GET `/admin/v1/instances/me`.

        Raises:
            TerminalError: `InsufficientPermissions`, also when the policy is missing
                and the credential may not read the instance.
        """
        found = await self._ask(
            Call("GET", calls.DEFAULT_POLICY), PolicyReply, OBSERVE_FACTS
        )
        if isinstance(found, PolicyReply):
            return found.policy.details.resource_owner
        try:
            reply = await self._ask(Call("GET", calls.INSTANCE), InstanceReply)
        except TerminalError as error:
            if error.reason is not Reason.INSUFFICIENT_PERMISSIONS:
                raise
            raise TerminalError(
                Reason.INSUFFICIENT_PERMISSIONS,
                "This ZITADEL has no notification policy for the instance, so the "
                "credential must be allowed to read the instance; give its service "
                "user the role IAM_OWNER_VIEWER in the instance, or create that policy "
                "in ZITADEL's console",
            ) from error
        return reply.instance.id

    async def organization(self, organization_id: str | None) -> Organization:
        """Return an organization that exists; deactivated ones do.

        GET `/management/v1/orgs/me`; a removed one still answers, without `state`.

        Args:
            organization_id: ZITADEL's id; None: the credential's own organization.

        Raises:
            TerminalError: `OrganizationNotFound`: unknown, or removed.
        """
        call = Call("GET", calls.ORGANIZATION, _known(organization_id))
        reply = await self._ask(call, OrganizationReply)
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
        reply = await self._ask(call, PolicyReply, OBSERVE_FACTS)
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
        call = _policy_call(
            _VERBS[action], organization_id, password_change=password_change
        )
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
        reply = await self._ask(call, WriteReply, facts)
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

    @overload
    async def _ask(self, call: Call, model: type[M]) -> M: ...

    @overload
    async def _ask(
        self, call: Call, model: type[M], facts: Mapping[str, Answer]
    ) -> M | Answer: ...

    async def _ask(
        self, call: Call, model: type[M], facts: Mapping[str, Answer] | None = None
    ) -> M | Answer:
        reply = await self._pool.send(call, self._token)
        if reply.status == _OK:
            try:
                return model.model_validate_json(reply.body)
            except ValidationError as error:
                raise unexpected(call, reply.status, reply.body, self._token) from error
        refusal = refusal_of(reply)
        if facts and refusal.id in facts:
            return facts[refusal.id]
        trouble = trouble_of(
            refusal,
            call,
            self._pool.hosts.shown,
            self._token,
            self._pool.wait_asked(reply),
        )
        if isinstance(trouble, TransientError):
            self._pool.pause.begin(trouble)
        raise trouble

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


def _policy_call(
    method: str, organization_id: str | None, *, password_change: bool | None = None
) -> Call:
    known = _known(organization_id)
    path = calls.INSTANCE_POLICY if known is None else calls.ORGANIZATION_POLICY
    return Call(method, path, known, password_change)


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
