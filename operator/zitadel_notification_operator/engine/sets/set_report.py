"""Reports sets: each status at its own pace, and Events about transitions."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from zitadel_notification_operator.core.conditions import READY, find
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.set_object import SetObject, SetStatus
from zitadel_notification_operator.core.set_report import is_current
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.own_writes import OwnWrites
from zitadel_notification_operator.engine.claims.wakeups import SET_PACE
from zitadel_notification_operator.engine.ports import Notice
from zitadel_notification_operator.engine.queue.clock import loop_time
from zitadel_notification_operator.engine.queue.engine_metrics import PassMetrics
from zitadel_notification_operator.engine.reporting.event_messages import (
    nothing_matches_event,
    settled_events,
    unready_events,
)

_LEAST_WAIT = 0.001
"""Seconds that a pass waits at least, because a timer may be a rounding error early."""


@dataclass(eq=False, repr=False)
class SetReport:
    """Writes the statuses of sets.

    Args:
        inventory: Holds the newest records.
        writes: Writes the status and posts its Events.
        metrics: Receives the time of a success.
        now: Returns the wall-clock time.
    """

    _inventory: Inventory
    _writes: OwnWrites
    _metrics: PassMetrics
    _now: Callable[[], datetime]
    _reported: dict[str, float] = field(default_factory=dict, init=False)

    async def report(
        self, one: SetObject, make: Callable[[SetObject, datetime], SetStatus]
    ) -> float | None:
        """Write the status, unless the last one was written a moment ago.

        Args:
            one: The set, with the reconcile-requested-at token of the pass's beginning.
            make: Makes the status from the newest record and the time.

        Returns:
            Seconds until the status may be written, or None if it is up to date.

        Raises:
            StalePass: The object is gone; a different one may have its name.
            ClusterError: Kubernetes did not accept the status.
        """
        newest = self._inventory.require_newest(one)
        # A status that this process finds may have been written a moment ago.
        is_new = not newest.status.conditions
        since = float("-inf") if is_new else loop_time()
        since = self._reported.setdefault(one.uid, since)
        status = make(newest, self._now())
        if status == newest.status:
            return None
        waits = since + SET_PACE - loop_time()
        if waits > 0:
            return max(waits, _LEAST_WAIT)
        try:
            await self._writes.report(one, status, lambda known: _events(known, status))
        finally:
            # It counts from the answer, because a request may be under way for longer
            # than the next one.
            self._reported[one.uid] = loop_time()
        ready = find(status.conditions, READY)
        if ready is not None and ready.status == "True" and is_current(newest):
            self._metrics.synced(one)
        return None

    def keep(self, uids: frozenset[str]) -> None:
        """Forget all sets but these: the others are gone."""
        self._reported = {u: at for u, at in self._reported.items() if u in uids}


def _only_waits(status: SetStatus) -> bool:
    """Return whether nothing failed: the set is suspended, or has no results yet."""
    counts = status.organizations
    ready = find(status.conditions, READY)
    reason = ready.reason if ready is not None else ""
    if reason == Reason.SUSPENDED:
        return True
    is_failing = counts is None or counts.failed or not counts.pending
    return reason == Reason.POLICIES_NOT_READY and not is_failing


def _events(known: SetObject, status: SetStatus) -> list[Notice]:
    notices = settled_events(known, status)
    if not _only_waits(status):
        notices += unready_events(known, status)
    was, is_now = (find(c, READY) for c in (known.status.conditions, status.conditions))
    nothing = Reason.NOTHING_MATCHES
    is_nothing = is_now is not None and is_now.reason == nothing
    if is_nothing and (was is None or was.reason != nothing):
        notices.append(nothing_matches_event())
    return notices
