"""One pass over an instance: add the finalizer, probe it, report, queue policies.

Its verdict decides whether the policies that use the instance may make calls
(`engine.instances.verdicts`).
"""

import random
from dataclasses import dataclass

from zitadel_notification_operator.core.backoff import spread
from zitadel_notification_operator.core.errors import TransientError
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.engine.calls.connections import Connections
from zitadel_notification_operator.engine.calls.instance_state import InstanceState
from zitadel_notification_operator.engine.drift.checks import Checks
from zitadel_notification_operator.engine.drift.drift_schedule import DriftSchedule
from zitadel_notification_operator.engine.queue.engine_metrics import Result
from zitadel_notification_operator.engine.queue.outcome import WAIT, Outcome
from zitadel_notification_operator.engine.queue.workqueue import Priority

from .holding import Holding
from .instance_report import InstanceReport
from .probe_verdict import PROBE_DELAYS, next_probe_in
from .verdicts import Verdicts

SECRET_INTERVAL = 30.0
"""Seconds between reads of the Secret, whatever the state. So a bad credential is
reported, and one that is good again is used, within a minute
(docs/operations/troubleshooting.md)."""

SECOND_LOOK = 5.0
"""Seconds until a new error that somebody has to fix is checked once more."""


@dataclass(eq=False, repr=False)
class InstancePass:
    """Runs passes over instances.

    Args:
        connections: Hold what is known of each instance.
        holding: Adds and removes the finalizer.
        verdicts: Probe the instance, and queue the policies that this affects.
        reports: Writes the status.
        checks: Schedules searches of the instance's events.
        drift: Knows how drift is detected at the instance.
        chance: The source of jitter.
    """

    _connections: Connections
    _holding: Holding
    _verdicts: Verdicts
    _reports: InstanceReport
    _checks: Checks
    _drift: DriftSchedule
    _chance: random.Random

    async def run(self, instance: InstanceObject) -> Outcome:
        """Reach a verdict on one instance and report it.

        Raises:
            ClusterError: Kubernetes did not accept a call; the last verdict stands.
            RequeueAfter: ZITADEL's read side is giving up an insert; the last verdict
                stands.
        """
        if not instance.deleting:
            instance = await self._holding.hold(instance)
        elif await self._holding.let_go(instance):
            return WAIT
        state = self._connections.state(instance.name)
        before_token = instance.status.last_handled_reconcile_at
        read_events = self._drift.reads_events(instance)
        if not await self._verdicts.find(instance, state):
            return WAIT
        if state.undecided:
            # This is counted as a failure but not reported yet.
            again_in = next_probe_in(state.failures)
            return Outcome(again_in, Priority.RETRY, counts_as=Result.ERROR)
        changed = await self._verdicts.settle(instance, state, read_events=read_events)
        await self._reports.write(instance, state)
        if before_token != instance.requested_at is not None:
            self._checks.search_now(instance)
        await self._reports.finish(instance, state)
        self._checks.keep_searching(instance, state)
        return self._next_probe_in(state, changed=changed)

    def _next_probe_in(self, state: InstanceState, *, changed: bool) -> Outcome:
        failure, soon = state.failure, spread(SECRET_INTERVAL, self._chance.random())
        if failure is None:
            tries = [unread.streak.count for unread in state.probe.unread.values()]
            if tries and min(tries) <= len(PROBE_DELAYS):
                soon = PROBE_DELAYS[min(tries) - 1]
            return Outcome.retry_in(soon)
        if isinstance(failure, TransientError):
            return Outcome.back_off(failure.retry_after)
        if changed:
            # Check once more soon: the refusal may have hit this one call only.
            return Outcome.stall(SECOND_LOOK)
        return Outcome.stall(soon)
