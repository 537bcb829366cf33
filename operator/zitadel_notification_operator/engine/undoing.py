"""What the end of a managing owner does in ZITADEL: reset, or restore what was before.

Each returns a sentence that says what was done. "Not there any more", "already so" and
"somebody was first" are good ends, too.
"""

from zitadel_notification_operator.core.conditions import READY, find
from zitadel_notification_operator.core.decision import Action, decide
from zitadel_notification_operator.core.errors import TerminalError, TransientError
from zitadel_notification_operator.core.objects import PolicyObject
from zitadel_notification_operator.core.original import OriginalValue
from zitadel_notification_operator.core.policy import (
    Answer,
    DesiredPolicy,
    Scope,
)
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.ports import PolicyClient

GONE = "the organization no longer exists"
_INHERITS = "the organization inherits the instance's setting again"
_INHERITED = "the organization already inherited the instance's setting"
_ROUNDS = 3


class Undoing:
    """Undoes one policy in ZITADEL.

    Args:
        client: Makes no call once the policy may not undo any longer.
        policy: Whose deletion it is.
        organization_id: Its target; None: the instance.
    """

    def __init__(
        self, client: PolicyClient, policy: PolicyObject, organization_id: str | None
    ) -> None:
        self._client = client
        self._policy = policy
        self._organization_id = organization_id

    async def reset(self) -> str:
        """Remove the organization's own policy, whoever made it.

        Raises:
            OperatorError: What ZITADEL answered; the deletion waits.
        """
        if self._organization_id is None:
            return "the instance's policy cannot be reset; ZITADEL stays as it is"
        # A removed one would take the call, and get an event after its end.
        if self._is_doubted() and not await self._exists(self._organization_id):
            return GONE
        return await self._inherit(self._organization_id)

    async def restore(self, original: OriginalValue | None) -> str:
        """Put back what was in force when the policy first managed its target.

        Args:
            original: What was recorded then.

        Raises:
            OperatorError: What ZITADEL answered; the deletion waits.
        """
        organization_id = self._organization_id
        if original is None:
            return "nothing was recorded to go back to; ZITADEL stays as it is"
        if organization_id is not None:
            if not await self._exists(organization_id):
                return GONE
            if original.is_default:
                return await self._inherit(organization_id)
        if original.password_change is None:
            return "the instance had no policy, and none can be removed; it stays"
        return await self._set(value=original.password_change)

    def _is_doubted(self) -> bool:
        """Return whether the status says that the organization may be gone.

        Ready says so also while the policy is suspended, when it is not Stalled.
        """
        ready = find(self._policy.status.conditions, READY)
        missing = {Reason.ORGANIZATION_NOT_FOUND, Reason.NOT_GRANTED}
        return ready is not None and ready.reason in missing

    async def _exists(self, organization_id: str) -> bool:
        try:
            await self._client.organization(organization_id)
        except TerminalError as error:
            if error.reason is not Reason.ORGANIZATION_NOT_FOUND:
                raise
            return False
        return True

    async def _inherit(self, organization_id: str) -> str:
        result = await self._client.reset(organization_id)
        match result.answer:
            case Answer.WRITTEN:
                return _INHERITS
            case Answer.NOT_FOUND:
                return _INHERITED
            case Answer.ORGANIZATION_GONE:
                return GONE
            case Answer.NOT_CHANGED | Answer.ALREADY_EXISTS:
                raise TransientError(
                    Reason.UNEXPECTED_ANSWER,
                    f"ZITADEL answered {result.answer} to a reset",
                )

    async def _set(self, *, value: bool) -> str:
        scope = Scope.ORGANIZATION if self._organization_id else Scope.INSTANCE
        word = str(value).lower()
        for _ in range(_ROUNDS):
            observed = await self._client.observe(self._organization_id)
            action = decide(DesiredPolicy(scope, value), observed).action
            if action is Action.NONE:
                return f"passwordChange was {word} already, as at first"
            result = await self._client.write(
                self._organization_id, action, password_change=value
            )
            if result.answer is Answer.WRITTEN:
                return f"passwordChange is {word} again, as at first"
        raise TransientError(
            Reason.UNEXPECTED_ANSWER,
            "Somebody else changes the policy at the same time; it is tried again",
        )
