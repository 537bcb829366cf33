"""Reaches a verdict on an instance, and queues the policies that it affects."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from zitadel_notification_operator.core.errors import (
    ClusterError,
    OperatorError,
    ReadSideBusy,
)
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.report import is_observed_and_current
from zitadel_notification_operator.engine.calls.instance_state import (
    InstanceState,
    Verdict,
    is_superseded,
)
from zitadel_notification_operator.engine.calls.repairs import BUSY_INTERVAL
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.wakeups import Wakeups
from zitadel_notification_operator.engine.drift.checks import Checks
from zitadel_notification_operator.engine.drift.drift_schedule import DriftSchedule
from zitadel_notification_operator.engine.queue.clock import loop_time
from zitadel_notification_operator.engine.queue.keys import policy_key
from zitadel_notification_operator.engine.queue.outcome import RequeueAfter
from zitadel_notification_operator.engine.queue.slices import in_slices
from zitadel_notification_operator.engine.queue.workqueue import Priority, WorkQueue

from .instance_probe import InstanceProbe
from .probe_verdict import holds_while_busy, note_failure, note_success

OTHER_RIGHTS_SPREAD = 60.0
"""Seconds over which passes over all policies are spread after a change of
credential."""


@dataclass(eq=False, repr=False)
class Verdicts:
    """Decides whether the policies of an instance may make calls.

    Args:
        inventory: Holds the newest records, and knows the policies of an instance.
        probe: Probes the instance.
        wakeups: Queues the policies whose claims change.
        drift: Knows how drift is detected at the instance.
        checks: Schedules drift checks and searches, and chooses where these begin.
        queue: Receives the policies that wait for the verdict.
        now: Returns the wall-clock time.
    """

    _inventory: Inventory
    _probe: InstanceProbe
    _wakeups: Wakeups
    _drift: DriftSchedule
    _checks: Checks
    _queue: WorkQueue
    _now: Callable[[], datetime]

    async def find(self, instance: InstanceObject, state: InstanceState) -> bool:
        """Probe an instance and record what was found.

        Returns:
            Whether the findings are about the object as it is now. If not, they are
            dropped, and its watch event has queued another pass.

        Raises:
            ClusterError: Kubernetes did not accept a call; the last verdict stands.
            RequeueAfter: ZITADEL's read side is giving up an insert; the last verdict
                stands.
        """
        failure = await self._failure_of(instance, state)
        if is_superseded(self._inventory, instance):
            return False
        if failure is None:
            note_success(state, instance)
            return True
        # What ZITADEL said of its API meanwhile may be due to the same failure.
        state.calls.apis.doubt()
        note_failure(state, instance, failure, loop_time(), self._now())
        if failure.reason is Reason.CLASS_CONFLICT:
            # The other operator may change what owners have found here.
            self._inventory.forget_bequests(instance.name)
        if failure.reason is Reason.INSTANCE_CHANGED and not state.undecided:
            # Not before: a single wrong answer must not move any policy's claim.
            self._wakeups.leads_elsewhere(instance.name)
        return True

    async def settle(
        self, instance: InstanceObject, state: InstanceState, *, read_events: bool
    ) -> bool:
        """Take what was found as the verdict, and queue the policies that it affects.

        Called only if a failure counts as a verdict.

        Args:
            instance: The instance.
            state: What is known of it; receives the verdict.
            read_events: Whether events alone revealed all drift before this pass.

        Returns:
            Whether the verdict differs from the last one.
        """
        before, verdict = state.verdict, _verdict_on(state)
        state.verdict, changed = verdict, verdict != before
        waiting, state.waiting = state.waiting, set()
        self._wakeups.affected(waiting)
        if changed:
            self._wakeups.queue_sets_of(instance.name)
        if changed or read_events is not self._drift.reads_events(instance):
            await self._wake_all(instance, state)
        if before and before.rights not in {None, verdict.rights}:
            # A usable credential has replaced one with other rights.
            self._checks.all_within(instance.name, OTHER_RIGHTS_SPREAD)
        return changed

    async def _failure_of(
        self, instance: InstanceObject, state: InstanceState
    ) -> OperatorError | None:
        """Probe the instance and return why it cannot be used now, or None if it can.

        Raises:
            ClusterError: As for `find`.
            RequeueAfter: As for `find`.
        """
        try:
            await self._probe.run(instance, state)
            await self._checks.find_beginning(instance, state)
        except ClusterError:
            raise
        except RequeueAfter:
            # The next pass asks ZITADEL again, and policies wait for its verdict.
            state.suspected = state.undecided = True
            raise
        except ReadSideBusy as error:
            if not holds_while_busy(state, instance, loop_time()):
                return error
            state.suspected = True  # so that the next pass asks ZITADEL again
            raise RequeueAfter(BUSY_INTERVAL) from None
        except OperatorError as error:
            return error
        return None

    async def _wake_all(self, instance: InstanceObject, state: InstanceState) -> None:
        usable = state.failure is None
        interval = self._drift.interval(instance)
        if usable and self._drift.searches(instance):
            if interval is None and self._checks.is_past_unknown(instance, state):
                interval = self._drift.round(instance)
            self._checks.plan_search(instance)
        policies = self._inventory.policies
        users = self._inventory.users_of(instance.name)
        at_verdict = [(key, policies.get(key)) for key in users]
        async for key, before in in_slices(at_verdict):
            policy = policies.get(key)
            if policy is None or before is None:
                continue
            if not usable or policy.deleting or not is_observed_and_current(policy):
                # Not with priority RETRY: retries may take only a part of the
                # instance's turns.
                self._queue.add(policy_key(key), Priority.DRIFT)
            elif interval is not None and is_observed_and_current(before):
                # Only its drift check is left. The checks are spread, so that a restart
                # with many policies causes no burst. A policy that has had its pass
                # since the verdict needs none.
                self._checks.within(key, interval)


def _verdict_on(state: InstanceState) -> Verdict:
    """Return the verdict; while the instance fails, with the rights of the last one."""
    failure, proven = state.failure, state.proven
    summary = f"{failure.reason}: {failure.stable}" if failure else None
    rights = state.verdict.rights if state.verdict else None
    if proven is not None and failure is None:
        rights = proven.identity.user, proven.identity.capabilities
    return Verdict(summary, proven.zitadel_id if proven else None, rights)
