"""How a policy pass ends: the status it writes, what it tells, when it looks again.

Trouble is not always told at once: a quiet policy waits for its instance's verdict,
so that a ZITADEL that does not answer costs no write a policy (ADR 0006 and 0009).
"""

from dataclasses import replace
from datetime import datetime

from zitadel_notification_operator.core.backoff import SLOW
from zitadel_notification_operator.core.errors import OperatorError, TransientError
from zitadel_notification_operator.core.objects import PolicyObject, PolicyStatus
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.report import (
    PROGRESS_DEADLINE,
    Findings,
    is_quiet,
    settled,
    troubled,
    unobserved,
)
from zitadel_notification_operator.engine.notices import of_settling, of_trouble
from zitadel_notification_operator.engine.outcome import (
    WAIT,
    Outcome,
    Superseded,
    back_off,
    look_again,
    retry_in,
    stall,
)
from zitadel_notification_operator.engine.room import Room

_PATIENCE = 3
"""Failed tries in a row before a quiet policy's own trouble is reported."""

_AWAY = frozenset(
    {
        Reason.UNREACHABLE,
        Reason.CERTIFICATE_NOT_TRUSTED,
        Reason.SERVER_ERROR,
        Reason.RATE_LIMITED,
        Reason.UNEXPECTED_ANSWER,
    }
)
"""What an instance may say while its quiet policies stay as they are (ADR 0006)."""


class PolicyReport:
    """Reports passes over policies."""

    def __init__(self, room: Room) -> None:
        self._room = room

    async def settle(
        self, policy: PolicyObject, findings: Findings, again_in: float = 0.0
    ) -> Outcome:
        """Report a pass that reached its end; say when the next look is due.

        Args:
            policy: With the reconcile-requested-at token that the pass began with.
            findings: What the pass found and did.
            again_in: Seconds until a look that is due in any case; 0: none is.

        Raises:
            Superseded: As `write`.
            ClusterError: Kubernetes did not take the status.
        """
        status = settled(policy, findings, self._room.now())
        for notice in of_settling(policy, status):
            self._room.tell(policy, notice)
        await self.write(policy, status)
        self._room.meter.synced(policy)
        instance = self._room.inventory.instances.get(policy.instance)
        interval = self._room.drift.interval(instance) if instance else SLOW
        if interval is not None:
            interval = self._room.spread(interval)
        due = [seconds for seconds in (interval, again_in) if seconds]
        return look_again(min(due)) if due else WAIT

    async def trouble(
        self, policy: PolicyObject, trouble: OperatorError, failures: int
    ) -> Outcome:
        """Report what stopped a pass; say when it is tried again.

        Args:
            policy: As it was when the pass began.
            trouble: What stopped it.
            failures: How many passes over the policy have failed in a row before.

        Raises:
            Superseded: As `write`; or the spec is another one by now.
            ClusterError: Kubernetes did not take the status.
        """
        asked = policy.requested_at
        newest = self._room.newest(policy)
        if newest.generation != policy.generation:
            raise Superseded  # what stopped it says nothing about another spec
        policy = replace(newest, requested_at=asked)
        now = self._room.now()
        passing = isinstance(trouble, TransientError)
        if trouble.reason is Reason.INSTANCE_NOT_READY and self._is_away(policy):
            return await self._wait_quietly(policy, trouble, now)
        rejected = trouble.reason is Reason.CREDENTIALS_REJECTED
        own = self._is_own_finding(policy, trouble)
        if own and (passing or rejected):
            self._room.suspect(policy.instance)
            if (is_quiet(policy) or rejected) and failures + 1 < _PATIENCE:
                return back_off(_asked(trouble))
        status = troubled(policy, trouble, now)
        if trouble.reason is Reason.CONFLICT:
            # What its reference means is found, and stays when the owner goes.
            meant = self._room.inventory.organization_of(policy)
            status = replace(status, organization_id=meant)
        for notice in of_trouble(policy, trouble):
            self._room.tell(policy, notice)
        await self.write(policy, status)
        if passing or (own and rejected):
            # A refusal that the instance does not share may be one call's misfortune.
            return back_off(_asked(trouble))
        return stall(self._room.spread(SLOW))

    def _is_own_finding(self, policy: PolicyObject, trouble: OperatorError) -> bool:
        """Return whether the trouble came from a call, not from the instance."""
        line = self._room.connections.line(policy.instance)
        told = {Reason.INSTANCE_NOT_FOUND, Reason.INSTANCE_NOT_READY}
        return line.trouble is None and trouble.reason not in told

    def _is_away(self, policy: PolicyObject) -> bool:
        """Return whether the policy is quiet and its ZITADEL only does not answer."""
        trouble = self._room.connections.line(policy.instance).trouble
        return trouble is not None and trouble.reason in _AWAY and is_quiet(policy)

    async def _wait_quietly(
        self, policy: PolicyObject, trouble: OperatorError, now: datetime
    ) -> Outcome:
        """Leave a quiet policy alone while its instance is away, up to ten minutes."""
        since = self._room.connections.line(policy.instance).troubled_since or now
        if self._room.drift.told(policy.key) is not None:
            # Nobody tells again: the look that is owed comes with the next verdict.
            self._room.connections.wait_for_verdict(policy.instance, policy.key)
        left = PROGRESS_DEADLINE - (now - since).total_seconds()
        if left > 0:
            return retry_in(left)
        await self.write(policy, unobserved(policy, now, trouble.message))
        return WAIT

    async def write(self, policy: PolicyObject, status: PolicyStatus) -> None:
        """Write the status if it differs from the newest one known.

        Raises:
            Superseded: The object is gone; another one may have its name.
            ClusterError: Kubernetes did not take the status.
        """
        newest = self._room.newest(policy)
        if newest.status == status:
            return
        stored = await self._room.writer.apply_policy_status(newest, status)
        self._room.news.stored(stored)


def _asked(trouble: OperatorError) -> float | None:
    return trouble.retry_after if isinstance(trouble, TransientError) else None
