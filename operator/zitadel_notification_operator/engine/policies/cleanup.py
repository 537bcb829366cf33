"""What the deletion of a managing owner does in ZITADEL: reset or restore the policy.

Each method returns a sentence that says what was done. It also counts as success if the
target no longer exists, already has the wanted value, or somebody else was first.
"""

from dataclasses import dataclass

from zitadel_notification_operator.core.conditions import READY, find
from zitadel_notification_operator.core.decision import Action, decide
from zitadel_notification_operator.core.errors import NoOrganization, TransientError
from zitadel_notification_operator.core.original import OriginalValue
from zitadel_notification_operator.core.policy import DesiredPolicy, WriteOutcome
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.read_side import Step, Write
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.settings import Settings

from .target_writer import TargetWriter

GONE = "the organization no longer exists"
_INHERITS = "the organization inherits the instance's setting again"
_INHERITED = "the organization already inherited the instance's setting"
_ROUNDS = 3


@dataclass(eq=False, repr=False)
class Cleanup:
    """Undoes one policy in ZITADEL.

    Args:
        writer: Writes, and verifies that a GET shows the result; its client refuses
            each call once the policy may not undo any longer.
        policy: The policy that is being deleted.
        organization_id: Its target, or None for the instance.
    """

    _writer: TargetWriter
    _policy: PolicyObject
    _organization_id: str | None

    async def reset(self) -> str:
        """Delete the organization's own policy, also if somebody else created it.

        Raises:
            OperatorError: ZITADEL's error; the deletion waits.
        """
        if self._organization_id is None:
            return "the instance's policy cannot be reset; ZITADEL stays as it is"
        # A removed organization would accept the call and get an event after its end.
        if self._is_doubted() and not await self._exists():
            return GONE
        return await self._inherit()

    async def restore(self, original: OriginalValue | None) -> str:
        """Restore what was in force when the policy first managed its target.

        Args:
            original: The value that was recorded then, if any.

        Raises:
            OperatorError: ZITADEL's error; the deletion waits.
        """
        organization_id = self._organization_id
        if original is None:
            return "nothing was recorded to go back to; ZITADEL stays as it is"
        if organization_id is not None:
            if not await self._exists():
                return GONE
            if original.is_default:
                return await self._inherit()
        if original.settings.is_empty:
            return "the instance had no policy, and none can be removed; it stays"
        return await self._set(original.settings)

    def _is_doubted(self) -> bool:
        """Return whether the status says that the organization may be gone.

        Only the Ready condition says so while the policy is suspended, as Stalled is
        absent then.
        """
        ready = find(self._policy.status.conditions, READY)
        missing = {Reason.ORGANIZATION_NOT_FOUND, Reason.NOT_GRANTED}
        return ready is not None and ready.reason in missing

    async def _exists(self) -> bool:
        try:
            await self._writer.organization()
        except NoOrganization:
            return False
        return True

    async def _inherit(self) -> str:
        for _ in range(_ROUNDS):
            change = await self._writer.change(Step(Write.RESET), None)
            if change.result.answer is WriteOutcome.ORGANIZATION_GONE:
                return GONE
            if change.is_as_wanted:
                return _INHERITS if self._writer.wrote else _INHERITED
            if self._writer.wrote:
                break
        raise _outrun()

    async def _set(self, settings: Settings) -> str:
        desired = DesiredPolicy(self._policy.scope, settings)
        observed = await self._writer.observe()
        for _ in range(_ROUNDS):
            action = decide(desired, observed).action
            if action is Action.NONE:
                return f"{settings.describe('was')} already, as at first"
            # The original holds our flags only: all others stay as they are now.
            step = Step(Write(action), settings)
            change = await self._writer.change(step, observed)
            if change.is_as_wanted and self._writer.wrote:
                return f"{settings.describe('is')} again, as at first"
            if self._writer.wrote:
                break
            observed = change.shown
        raise _outrun()


def _outrun() -> TransientError:
    return TransientError(
        Reason.UNEXPECTED_ANSWER,
        "Somebody else changes the policy at the same time; it is tried again",
    )
