"""Ends the pass of a deletion: reports what was done, or what it waits for."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from zitadel_notification_operator.core.backoff import SLOW, spread
from zitadel_notification_operator.core.errors import (
    OperatorError,
    ReadSideBusy,
    TransientError,
)
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.report import ended, failed
from zitadel_notification_operator.engine.calls.connections import Connections
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.own_writes import OwnWrites
from zitadel_notification_operator.engine.queue.clock import loop_time
from zitadel_notification_operator.engine.queue.outcome import WAIT, Outcome
from zitadel_notification_operator.engine.reporting.deadlines import Deadlines
from zitadel_notification_operator.engine.reporting.event_outbox import EventOutbox

WAY_OUT = "to delete it without touching ZITADEL, set spec.deletionPolicy to Retain"


class Ending(NamedTuple):
    """The result of a deletion.

    Attributes:
        sentence: What was done, for people, without a full stop.
        wrote: Whether this attempt has changed something in ZITADEL.
    """

    sentence: str
    wrote: bool = False


@dataclass(eq=False, repr=False)
class DeletionReport:
    """Reports passes over policies that are being deleted.

    Args:
        inventory: Holds the newest records.
        writes: Removes the finalizer, and writes the status.
        outbox: Posts the Event about the end.
        connections: Know which failures instances have.
        deadlines: Know since when policies are failing.
        chance: The source of jitter.
        now: Returns the wall-clock time.
    """

    _inventory: Inventory
    _writes: OwnWrites
    _outbox: EventOutbox
    _connections: Connections
    _deadlines: Deadlines
    _chance: random.Random
    _now: Callable[[], datetime]

    async def end(self, policy: PolicyObject, ending: Ending) -> Outcome:
        """Release the object; if another finalizer keeps it, report what was done.

        Raises:
            ClusterError: Kubernetes did not accept a write.
        """
        newest = self._inventory.newest(policy)
        outbox, sentence = self._outbox, ending.sentence
        if ending.wrote:
            outbox.ended(policy)  # this attempt did more than an earlier one reported
        else:
            # An attempt that is repeated because Kubernetes did not answer has less to
            # do, so the sentence of the first one stands.
            sentence = outbox.posted(policy) or sentence
        if newest is None or newest.held:
            outbox.ending(policy, sentence)  # the object may vanish with its finalizer
        if newest is not None:
            await self._writes.strip(newest)
        kept = self._inventory.newest(policy)
        if kept is not None:
            status = ended(kept, sentence, self._now())
            await self._writes.apply_status(kept, status)
        outbox.ending(policy, sentence)
        outbox.ended(policy)
        return WAIT

    async def failure(self, policy: PolicyObject, failure: OperatorError) -> Outcome:
        """Report what stopped a deletion, and return when it is retried.

        Raises:
            StalePass: The object is gone; a different one may have its name.
            ClusterError: Kubernetes did not accept the status.
        """
        policy = self._inventory.require_newest(policy)
        state = self._connections.state(policy.instance)
        # `ApiUnsupported` is only reported after repeated probes of the instance have
        # succeeded, and what Kubernetes refuses or a set has yet to find out says
        # nothing about the instance.
        known = {
            Reason.API_UNSUPPORTED,
            Reason.CLUSTER_UNAVAILABLE,
            Reason.DIRECTORY_NOT_READABLE,
            Reason.ZITADEL_INCONSISTENT,
        }
        own_finding = state.failure is None and failure.reason not in known
        if own_finding and not isinstance(failure, ReadSideBusy):
            self._connections.recheck(policy.instance)
        if self._must_repeat_before_reporting(policy, failure):
            return Outcome.back_off()
        now, passing = self._now(), isinstance(failure, TransientError)
        began = self._deadlines.began(policy, now) if passing else None
        status = failed(policy, failure, now, WAY_OUT, began)
        if status != policy.status:
            await self._writes.apply_status(policy, status)
        if passing or (own_finding and failure.reason is Reason.CREDENTIALS_REJECTED):
            # The instance's check may find the credential good; then only this call had
            # bad luck.
            return Outcome.back_off(failure.retry_after)
        return Outcome.stall(spread(SLOW, self._chance.random()))

    def _must_repeat_before_reporting(
        self, policy: PolicyObject, failure: OperatorError
    ) -> bool:
        """Return whether a refusal must be met again, as the credential has worked."""
        state = self._connections.state(policy.instance)
        known = (
            None if state.undecided or state.failure is None else state.failure.reason
        )
        rejected = Reason.CREDENTIALS_REJECTED
        if failure.reason is not rejected or known is rejected or state.proven is None:
            return False
        now = loop_time()
        return not state.calls.refused_again(policy.key, now).is_verdict
