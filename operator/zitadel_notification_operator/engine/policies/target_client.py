"""The client of one pass over one policy.

It records whether ZITADEL has the calls, and waits for a turn before each write.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from zitadel_notification_operator.core.backoff import SLOW
from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.errors import (
    ApiMissing,
    ReadSideBusy,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.events import ZitadelEvent
from zitadel_notification_operator.core.policy import (
    ObservedPolicy,
    Organization,
    WriteOutcome,
    WriteResult,
)
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.report import asks_for_a_pass
from zitadel_notification_operator.core.settings import Settings
from zitadel_notification_operator.engine.calls.confirmed_turns import ConfirmedTurns
from zitadel_notification_operator.engine.calls.connections import Connections
from zitadel_notification_operator.engine.calls.lease_guard import is_verifying
from zitadel_notification_operator.engine.drift.checks import Checks
from zitadel_notification_operator.engine.drift.drift_schedule import DriftSchedule
from zitadel_notification_operator.engine.ports import PolicyClient
from zitadel_notification_operator.engine.queue.clock import loop_time
from zitadel_notification_operator.engine.queue.keys import policy_key
from zitadel_notification_operator.engine.queue.outcome import StalePass
from zitadel_notification_operator.engine.queue.workqueue import Priority, WorkQueue

BACK_WITHIN = 60.0
"""Seconds over which all policies get a pass when a missing call is back."""

FRESH = 1.0
"""Seconds that a write may wait for its turn before the policy must be read again."""

_OBSERVE = "observe"
_REFUSALS = frozenset(
    {
        Reason.ORGANIZATION_NOT_FOUND,
        Reason.INSUFFICIENT_PERMISSIONS,
        Reason.REQUEST_REFUSED,
    }
)
"""Errors by which only a ZITADEL that has the call answers it."""

T = TypeVar("T")


@dataclass(eq=False, repr=False)
class TargetClient:
    """Makes the calls for one target; calls that this ZITADEL lacks are tried rarely.

    Args:
        connections: Know which calls the instance's ZITADEL lacks.
        checks: Schedules passes over the other policies when that changes.
        queue: Knows how urgent the pass is.
        write_turns: Gives turns to writes.
        drift: Records our own writes, which the event log has to show.
        policy: The policy of the pass.
        target: Its target.
        client: Makes the calls.
    """

    _connections: Connections
    _checks: Checks
    _queue: WorkQueue
    _write_turns: ConfirmedTurns
    _drift: DriftSchedule
    _policy: PolicyObject
    _target: Target
    _client: PolicyClient

    async def organization(self) -> Organization:
        """Return the target's organization, if it exists."""
        return await self._client.organization(self._target.organization_id)

    async def last_policy_event(self) -> ZitadelEvent | None:
        """Return the target's newest policy event, or None if there is none."""
        return await self._client.last_policy_event(self._target.organization_id)

    async def observe(self) -> ObservedPolicy | None:
        """Return the policy in force; that of an instance may be missing.

        Raises:
            TerminalError: `ApiUnsupported`, besides what the port names.
        """
        return await self._watched(_OBSERVE, self._observe)

    async def _observe(self) -> ObservedPolicy | None:
        return await self._client.observe(self._target.organization_id)

    async def write(
        self, action: Action, *, settings: Settings, before: ObservedPolicy | None
    ) -> WriteResult:
        """Create or update the policy, as the port says, when it is its turn.

        Raises:
            TerminalError: `ApiUnsupported`, besides what the port names.
            StalePass: The process is stopping, the pass may not write any longer,
                somebody has changed the policy during a long wait, or a GET after that
                wait is not answered because ZITADEL's read side is giving up an insert.
        """

        async def write(client: PolicyClient, waited: float) -> WriteResult:
            if before is not None and waited > FRESH:
                try:
                    now = await self._observe()
                except ReadSideBusy:
                    raise StalePass from None  # the next pass waits with its own GET
                if _differs(now, before):
                    # A write replaces the whole policy, and this one is based on an old
                    # one.
                    raise StalePass
            return await client.write(
                self._target.organization_id, action, settings=settings, before=before
            )

        return self._noted(
            await self._watched(str(action), lambda: self._in_turn(write))
        )

    async def reset(self) -> WriteResult:
        """Remove the organization's own policy, when it is its turn.

        Raises:
            AssertionError: The target is the instance, whose policy has no DELETE.
            TerminalError: `ApiUnsupported`, besides what the port names.
            StalePass: The process is stopping, or the pass may not write any longer.
        """
        organization_id = self._target.organization_id
        if organization_id is None:
            raise AssertionError("the instance's policy has no DELETE")

        async def reset(client: PolicyClient, _waited: float) -> WriteResult:
            return await client.reset(organization_id)

        return self._noted(await self._watched("reset", lambda: self._in_turn(reset)))

    def _noted(self, result: WriteResult) -> WriteResult:
        """Record a write, and return its result."""
        if result.answer is WriteOutcome.WRITTEN:
            self._drift.wrote(self._policy.instance, result)
        return result

    async def _in_turn(
        self, make: Callable[[PolicyClient, float], Awaitable[WriteResult]]
    ) -> WriteResult:
        """Make a write when it is its turn; the pass's guard is checked after that."""

        def urgency() -> Priority:
            return self._queue.urgency(policy_key(self._policy.key))

        async with self._write_turns.turn(self._target.zitadel_id, urgency) as turn:
            return await make(self._client.guarded(turn.sent), turn.waited)

    async def _watched(self, verb: str, ask: Callable[[], Awaitable[T]]) -> T:
        state = self._connections.state(self._policy.instance)
        apis = state.calls.apis
        call = f"{verb} {self._policy.scope}"
        if not is_verifying():
            # A write was taken, so what it has led to is read in any case.
            changed = asks_for_a_pass(self._policy)
            apis.require(call, loop_time(), changed=changed)
        lacked = apis.lacks(call)
        try:
            found = await ask()
        except ApiMissing as error:
            checked_at = state.probe.checked_at
            verdict = apis.missed(call, error, loop_time(), checked_at)
            if apis.lacks(call) and not lacked and verb == _OBSERVE:
                # No policy's state can be read any longer; they report it one after the
                # other.
                self._checks.all_within(self._policy.instance, SLOW)
            raise verdict from error
        except TerminalError as error:
            if error.reason in _REFUSALS:
                self._back(call)
            raise
        except (TransientError, StalePass):
            apis.unanswered(call)
            raise
        self._back(call)
        return found

    def _back(self, call: str) -> None:
        state = self._connections.state(self._policy.instance)
        if state.calls.apis.answered(call):
            self._checks.all_within(self._policy.instance, BACK_WITHIN)


def _differs(now: ObservedPolicy | None, before: ObservedPolicy) -> bool:
    """Return whether the policy has changed, apart from its sequence."""
    return now is None or (
        (now.is_default, now.settings, now.unknown_members)
        != (before.is_default, before.settings, before.unknown_members)
    )
