"""ZITADEL's calls: facts in, facts out; what they mean for a policy is core's."""

from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.errors import TerminalError
from zitadel_notification_operator.core.policy import (
    Answer,
    ObservedPolicy,
    Organization,
    WriteResult,
)
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.zitadel.errors import refusal, unusable
from zitadel_notification_operator.zitadel.models import (
    Details,
    InstanceAnswer,
    OrgAnswer,
    PolicyAnswer,
    WriteAnswer,
)
from zitadel_notification_operator.zitadel.transport import Transport, error_id

ADMIN_POLICY = "/admin/v1/policies/notification"
ORG_POLICY = "/management/v1/policies/notification"
DEFAULT_POLICY = "/management/v1/policies/default/notification"
OWN_ORG = "/management/v1/orgs/me"
INSTANCE = "/admin/v1/instances/me"

_NO_POLICY = "QUERY-x0so2p"
_ORGANIZATION_UNKNOWN = "AUTH-Bs7Ds"
_ANSWERS = {
    "Org-ioqnxz": Answer.NOT_CHANGED,
    "INSTANCE-29x02n": Answer.NOT_CHANGED,
    "Org-xa08n2": Answer.ALREADY_EXISTS,
    "INSTANCE-xpo1bj": Answer.ALREADY_EXISTS,
    "ORG-x029n3": Answer.NOT_FOUND,
    "ORG-x029n1s": Answer.NOT_FOUND,
    "INSTANCE-x891na": Answer.NOT_FOUND,
}

M = TypeVar("M", bound=BaseModel)


class ZitadelClient:
    """The engine's `PolicyClient`: one ZITADEL, one token."""

    def __init__(self, transport: Transport, token: str) -> None:
        self._transport = transport
        self._token = token

    async def identify(self) -> str:
        """Return ZITADEL's own id.

        The default policy's owner (GET /management/v1/policies/default/notification),
        because the smallest roles may read it; where there is no such policy, GET
        /admin/v1/instances/me.

        Raises:
            OperatorError: As `zitadel.errors` maps it.
        """
        response = await self._call("GET", DEFAULT_POLICY)
        if error_id(response) != _NO_POLICY:
            return self._read(response, PolicyAnswer).policy.details.resource_owner
        return self._read(await self._call("GET", INSTANCE), InstanceAnswer).instance.id

    async def organization(self, organization_id: str | None) -> Organization:
        """Return an organization that exists (GET /management/v1/orgs/me).

        Raises:
            TerminalError: `OrganizationNotFound`: unknown, or removed.
            OperatorError: As `zitadel.errors` maps it.
        """
        org = self._read(
            await self._call("GET", OWN_ORG, organization_id), OrgAnswer
        ).org
        if not org.state:
            raise TerminalError(
                Reason.ORGANIZATION_NOT_FOUND,
                "The organization was removed from ZITADEL",
            )
        return Organization(org.id, org.name)

    async def observe(self, organization_id: str | None) -> ObservedPolicy | None:
        """Return the policy in force; None when not even the instance has one.

        Raises:
            OperatorError: As `zitadel.errors` maps it.
        """
        path = ADMIN_POLICY if organization_id is None else ORG_POLICY
        response = await self._call("GET", path, organization_id)
        if error_id(response) == _NO_POLICY:
            return None
        policy = self._read(response, PolicyAnswer).policy
        if not policy.is_default:
            self._require_owner(response, organization_id, policy.details)
        return ObservedPolicy(
            policy.is_default,
            policy.password_change,
            policy.details.sequence,
            policy.details.creation_date,
            policy.details.change_date,
            policy.details.resource_owner,
        )

    async def write(
        self, organization_id: str | None, action: Action, *, password_change: bool
    ) -> WriteResult:
        """Create (POST) or update (PUT) a policy; the value is always sent.

        Raises:
            OperatorError: As `zitadel.errors` maps it; whether the write took place
                is unknown then, and the next pass observes it.
        """
        path = ADMIN_POLICY if organization_id is None else ORG_POLICY
        method = "POST" if action is Action.CREATE else "PUT"
        body = {"passwordChange": password_change}
        response = await self._call(method, path, organization_id, body)
        return self._result(response, organization_id)

    async def reset(self, organization_id: str) -> WriteResult:
        """Remove the organization's own policy (DELETE).

        Raises:
            OperatorError: As `zitadel.errors` maps it.
        """
        response = await self._call("DELETE", ORG_POLICY, organization_id)
        if error_id(response) == _ORGANIZATION_UNKNOWN:
            return WriteResult(Answer.ORGANIZATION_GONE)
        return self._result(response, organization_id)

    async def _call(
        self,
        method: str,
        path: str,
        organization: str | None = None,
        body: dict[str, bool] | None = None,
    ) -> httpx.Response:
        return await self._transport.call(method, path, self._token, organization, body)

    def _result(
        self, response: httpx.Response, organization_id: str | None
    ) -> WriteResult:
        answer = _ANSWERS.get(error_id(response))
        if answer is not None:
            return WriteResult(answer)
        details = self._read(response, WriteAnswer).details
        self._require_owner(response, organization_id, details)
        return WriteResult(
            Answer.WRITTEN,
            details.sequence,
            details.creation_date,
            details.change_date,
            details.resource_owner,
        )

    def _require_owner(
        self, response: httpx.Response, organization_id: str | None, details: Details
    ) -> None:
        """Refuse an answer about another organization, as a broken cache may give."""
        if organization_id is not None and details.resource_owner != organization_id:
            raise unusable(response, self._token)

    def _read(self, response: httpx.Response, model: type[M]) -> M:
        if not response.is_success:
            raise refusal(response, self._token)
        try:
            return model.model_validate_json(response.content)
        except ValidationError:
            # Its text would hold the body; only a short excerpt may go on.
            raise unusable(response, self._token) from None
