"""How a policy's pass ends: its status, its Events, and when the next one is due.

A failure is not always reported at once. A quiet policy waits for its instance's
verdict, so a ZITADEL that does not answer causes no status write for each policy (ADR
0006 and 0009).
"""

import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from zitadel_notification_operator.core.backoff import SLOW, spread
from zitadel_notification_operator.core.conditions import IN_SYNC, READY, find
from zitadel_notification_operator.core.errors import (
    ApiMissing,
    OperatorError,
    ReadSideBusy,
    TransientError,
)
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.report import (
    PROGRESS_DEADLINE,
    Findings,
    failed,
    is_ready_and_current,
    settled,
    suspended,
    unobserved,
)
from zitadel_notification_operator.engine.calls.connections import (
    AWAY,
    UNUSABLE_ACCESS,
    Connections,
    NotCheckedYet,
)
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.own_writes import OwnWrites
from zitadel_notification_operator.engine.claims.ownership import original_in_failure
from zitadel_notification_operator.engine.drift.drift_schedule import DriftSchedule
from zitadel_notification_operator.engine.queue.clock import loop_time
from zitadel_notification_operator.engine.queue.engine_metrics import PassMetrics
from zitadel_notification_operator.engine.queue.outcome import WAIT, Outcome, StalePass
from zitadel_notification_operator.engine.reporting.deadlines import Deadlines
from zitadel_notification_operator.engine.reporting.event_messages import (
    failure_events,
    settled_events,
)

_PATIENCE = 3
"""Failed tries in a row after which a quiet policy's own failure is reported."""

AWAY_SPREAD = 60.0
"""Seconds, after the ten minutes, over which the quiet policies of an instance that is
away report it; otherwise thousands would write in one second."""

_QUIETLY = AWAY | UNUSABLE_ACCESS
"""Reasons of an instance's failure that leave quiet policies as they are for ten
minutes."""

OF_THE_POLICY = frozenset(
    {
        Reason.NOT_GRANTED,
        Reason.CONFLICT,
        Reason.ORGANIZATION_NOT_FOUND,
        Reason.INSTANCE_NOT_FOUND,
    }
)
"""Failures of the policy itself, whatever failure its instance has meanwhile."""

_REFUSALS = frozenset(
    {
        Reason.CREDENTIALS_REJECTED,
        Reason.INSUFFICIENT_PERMISSIONS,
        Reason.REQUEST_REFUSED,
    }
)
"""Refusals that a single call may meet by mistake, of a proxy for example."""


@dataclass(eq=False, repr=False)
class PolicyReport:
    """Reports passes over policies.

    Args:
        writes: Writes the status and posts its Events.
        inventory: Holds the newest records.
        connections: Know which failures instances have.
        drift: Knows when a quiet policy is checked for drift.
        deadlines: Know since when policies are failing.
        metrics: Receives the time of the report.
        chance: The source of jitter.
        now: Returns the wall-clock time.
    """

    _writes: OwnWrites
    _inventory: Inventory
    _connections: Connections
    _drift: DriftSchedule
    _deadlines: Deadlines
    _metrics: PassMetrics
    _chance: random.Random
    _now: Callable[[], datetime]

    async def suspend(self, policy: PolicyObject) -> Outcome:
        """Report a suspended policy, which nothing is done for.

        Raises:
            StalePass: The object is gone; a different one may have its name.
            ClusterError: Kubernetes did not accept the status.
        """
        await self._writes.report(policy, suspended(policy, self._now()))
        return WAIT

    async def settle(
        self, policy: PolicyObject, findings: Findings, again_in: float = 0.0
    ) -> Outcome:
        """Report a pass that reached its end, and return when the next one is due.

        Args:
            policy: The policy, with the reconcile-requested-at token of the pass's
                beginning.
            findings: What the pass found and did.
            again_in: Seconds until a pass that is due in any case, or 0 for none.

        Raises:
            StalePass: The object is gone; a different one may have its name.
            ClusterError: Kubernetes did not accept the status.
        """
        status = settled(policy, findings, self._now())
        await self._writes.report(
            policy, status, lambda known: settled_events(known, status)
        )
        calls = self._connections.state(policy.instance).calls
        calls.refused.pop(policy.key, None)
        calls.answered_at = loop_time()
        self._metrics.synced(policy)
        instance = self._inventory.instances.get(policy.instance)
        interval = self._drift.interval(instance) if instance else SLOW
        if interval is not None:
            # Never later than the interval, which users rely on.
            interval *= 0.9 + 0.1 * self._chance.random()
        due = [seconds for seconds in (interval, again_in) if seconds]
        return Outcome.requeue_after(min(due)) if due else WAIT

    async def failure(
        self, policy: PolicyObject, failure: OperatorError, failures: int
    ) -> Outcome:
        """Report what stopped a pass, and return when it is retried.

        Args:
            policy: The record that the pass began with.
            failure: What stopped it.
            failures: The number of consecutive failed passes before it.

        Raises:
            NotCheckedYet: The instance's verdict will explain the failure.
            StalePass: As for `settle`, or the spec has changed meanwhile.
            ClusterError: Kubernetes did not accept the status.
        """
        newest = self._inventory.require_newest(policy)
        if newest.generation != policy.generation:
            raise StalePass  # the failure says nothing about another spec
        policy = replace(newest, requested_at=policy.requested_at)
        now = self._now()
        passing = isinstance(failure, TransientError)
        state = self._connections.state(policy.instance)
        shared = failure.reason not in OF_THE_POLICY
        if state.undecided and shared:
            raise NotCheckedYet  # the instance's verdict will explain this
        away = state.failure is not None and state.failure.reason in _QUIETLY
        if shared and away and is_ready_and_current(policy):
            waits = await self._wait_quietly(policy, failure, now)
            if waits is not None:
                return waits
        rejected = failure.reason is Reason.CREDENTIALS_REJECTED
        own = self._is_own_finding(policy, failure)
        is_busy = isinstance(failure, ReadSideBusy)  # no outage of the instance
        if own and (passing or rejected) and not is_busy:
            self._connections.recheck(policy.instance)
        if own and self._must_repeat_before_reporting(policy, failure, failures):
            return Outcome.back_off(failure.retry_after)
        if isinstance(failure, ApiMissing) and _says_unsupported(policy):
            # An earlier process was certain, and nothing says that it is better now.
            return Outcome.back_off(failure.retry_after)
        began = self._deadlines.began(policy, now) if passing else None
        status = failed(policy, failure, now, began=began)
        if failure.reason is Reason.CONFLICT:
            # The reference is resolved, and its result is kept for when the owner goes.
            meant = self._inventory.organization_of(policy)
            status = replace(status, organization_id=meant)
        else:
            status = replace(
                status, original=original_in_failure(self._inventory, policy)
            )
        await self._writes.report(
            policy, status, lambda known: failure_events(known, failure)
        )
        if passing or (own and rejected):
            # A refusal that the instance does not share may have hit this one call
            # only.
            return Outcome.back_off(failure.retry_after)
        return Outcome.stall(spread(SLOW, self._chance.random()))

    def _is_own_finding(self, policy: PolicyObject, failure: OperatorError) -> bool:
        """Return whether the failure came from the policy's call, not its instance."""
        state = self._connections.state(policy.instance)
        known = {
            Reason.INSTANCE_NOT_FOUND,
            Reason.INSTANCE_NOT_READY,
            Reason.ZITADEL_INCONSISTENT,
        }
        return state.failure is None and failure.reason not in known

    def _must_repeat_before_reporting(
        self, policy: PolicyObject, failure: OperatorError, failures: int
    ) -> bool:
        """Return whether a failure must repeat before a status reports it."""
        quiet = is_ready_and_current(policy)
        if failure.reason in _REFUSALS:
            calls = self._connections.state(policy.instance).calls
            streak = calls.refused_again(policy.key, loop_time())
            rejected = failure.reason is Reason.CREDENTIALS_REJECTED
            return (quiet or rejected) and not streak.is_verdict
        passing = isinstance(failure, TransientError)
        return quiet and passing and failures + 1 < _PATIENCE

    async def _wait_quietly(
        self, policy: PolicyObject, failure: OperatorError, now: datetime
    ) -> Outcome | None:
        """Leave a quiet policy alone while its instance is away, up to ten minutes.

        Returns:
            How the pass ends, or None if the failure must be reported. That is so if
            the Secret or the CA bundle is missing, because somebody must correct that.
        """
        state = self._connections.state(policy.instance)
        if self._drift.waiting_event(policy.key) is not None:
            # The event is not repeated, so the pass that it needs comes with the next
            # verdict.
            self._connections.wait_for_verdict(policy.instance, policy.key)
        # Derived from the uid, so that a policy that is queued meanwhile keeps its
        # moment.
        share = zlib.crc32(policy.uid.encode()) / 2**32
        deadline = PROGRESS_DEADLINE + AWAY_SPREAD * share
        left = deadline - (now - (state.failures.since or now)).total_seconds()
        if left > 0:
            return Outcome.retry_in(left)
        if state.failure is not None and state.failure.reason in UNUSABLE_ACCESS:
            return None
        sync = find(policy.status.conditions, IN_SYNC)
        if sync is None or sync.reason != Reason.NOT_OBSERVED:
            # Only once, because the cause may change with each try while it is away.
            await self._writes.report(policy, unobserved(policy, now, failure.message))
        return WAIT


def _says_unsupported(policy: PolicyObject) -> bool:
    ready = find(policy.status.conditions, READY)
    return (
        ready is not None
        and ready.reason == Reason.API_UNSUPPORTED
        and ready.observed_generation == policy.generation
    )
