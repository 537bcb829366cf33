"""What a pass over an instance reports: its status, and the Events about it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from zitadel_notification_operator.core.credentials import expiry_of
from zitadel_notification_operator.core.errors import TerminalError
from zitadel_notification_operator.core.instance_object import (
    InstanceObject,
    InstanceStatus,
)
from zitadel_notification_operator.core.instance_report import (
    instance_failed,
    instance_ready,
)
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.calls.instance_state import (
    InstanceState,
    Reported,
)
from zitadel_notification_operator.engine.calls.repairs import READ_ON, Repairs
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.own_writes import OwnWrites
from zitadel_notification_operator.engine.drift.drift_schedule import DriftSchedule
from zitadel_notification_operator.engine.drift.search_health import without_round
from zitadel_notification_operator.engine.queue.clock import loop_time
from zitadel_notification_operator.engine.queue.engine_metrics import PassMetrics
from zitadel_notification_operator.engine.queue.outcome import StalePass
from zitadel_notification_operator.engine.reporting.deadlines import Deadlines
from zitadel_notification_operator.engine.reporting.event_messages import (
    deprecation_event,
    drift_detection_events,
    failure_events,
    settled_events,
)
from zitadel_notification_operator.engine.reporting.event_outbox import EventOutbox

COUNT_INTERVAL = 60.0
"""Seconds between status writes that only change the number of policies, and from the
first report of a process until it stores a cursor of its own. So a restart right after
a change causes no write: until then the stored cursor serves as well, because events
that are read once more are recognized."""

INCONSISTENT = TerminalError(
    Reason.ZITADEL_INCONSISTENT,
    "ZITADEL's reads contradict its event log, and repairs of single policies do not "
    f"help, so its read side may stand still as a whole; {READ_ON}",
)
"""The failure of an instance while repairs of its ZITADEL's read side do not help."""


@dataclass(eq=False, repr=False)
class InstanceReport:
    """Reports passes over instances.

    Args:
        inventory: Holds the newest records.
        writes: Writes the status.
        outbox: Posts Events.
        drift: Knows how drift is detected at the instance.
        repairs: Know whether repairs of ZITADEL's read side help.
        deadlines: Know since when instances are failing.
        metrics: Receives deprecated calls and the time of the report.
        now: Returns the wall-clock time.
    """

    _inventory: Inventory
    _writes: OwnWrites
    _outbox: EventOutbox
    _drift: DriftSchedule
    _repairs: Repairs
    _deadlines: Deadlines
    _metrics: PassMetrics
    _now: Callable[[], datetime]

    async def write(self, instance: InstanceObject, state: InstanceState) -> None:
        """Write the status if it differs, then post its Events.

        Raises:
            ClusterError: Kubernetes did not accept the status.
        """
        newest = self._inventory.instances.get(instance.name, instance)
        # A token or a spec that arrived during the pass belongs to the next one.
        instance = replace(
            newest, requested_at=instance.requested_at, generation=instance.generation
        )
        self._outbox.confirm(instance)
        now = self._now()
        failure = state.failure
        if failure is not None:
            began = self._deadlines.began(instance, now)
            status = instance_failed(instance, failure, now, began)
            notices = failure_events(instance, failure)
        elif state.proven is not None:
            tried = state.probe.tried
            expires = expiry_of(tried.credential) if tried else None
            status = instance_ready(instance, state.proven.identity, expires, now)
            notices = settled_events(instance, status)
            if self._repairs.is_inconsistent(state.proven.zitadel_id):
                # This is information for people: each policy still goes by its own
                # findings.
                base = replace(status, conditions=instance.status.conditions)
                known = replace(instance, status=base)
                status = instance_failed(known, INCONSISTENT, now)
                notices = failure_events(instance, INCONSISTENT)
        else:
            return
        cursor = state.event_log.cursor or status.drift_cursor
        users = self._inventory.count_users(instance.name)
        detection = self._drift.detection(instance) or status.drift_detection
        status = replace(
            status, policies=users, drift_cursor=cursor, drift_detection=detection
        )
        with self._outbox.after(instance, status, notices):
            await self._write(instance, state.reported, status)

    async def finish(self, instance: InstanceObject, state: InstanceState) -> None:
        """Record that a pass has reached its end, and tell of deprecated calls.

        There is an Event about these, once for each version of ZITADEL.
        """
        if state.failure is not None or state.proven is None:
            return
        self._metrics.synced(instance)
        try:
            found = await state.proven.client.deprecation()
        except StalePass:
            return
        self._metrics.deprecated(instance.name, found)
        key = (state.proven.zitadel_id, state.proven.identity.version)
        if found is not None and state.reported.deprecated_in != key:
            state.reported.deprecated_in = key
            self._outbox.tell(instance, deprecation_event(key[1], found))

    async def _write(
        self, instance: InstanceObject, reported: Reported, status: InstanceStatus
    ) -> None:
        now = loop_time()
        if reported.at is None:
            # A restart begins such an interval, so that it causes no write at once.
            reported.at = now
        if status == instance.status or reported.written == (status, instance.status):
            return
        if now - reported.at < COUNT_INTERVAL and _can_wait(
            instance.status, status, is_first=reported.written is None
        ):
            return
        reported.at = now
        before = reported.written[0] if reported.written else instance.status
        stored = await self._writes.apply_instance_status(instance, status)
        reported.written = (status, stored.status)
        for notice in drift_detection_events(replace(instance, status=before), status):
            self._outbox.tell(instance, notice)


def _can_wait(
    stored: InstanceStatus, status: InstanceStatus, *, is_first: bool
) -> bool:
    """Return whether nothing is lost if the status is written later.

    Args:
        stored: The status as stored.
        status: The status to write.
        is_first: Whether this process has written none yet.
    """
    before, after = _uncounted(stored), _uncounted(status)
    if is_first and stored.drift_cursor is not None:
        before = replace(before, drift_cursor=after.drift_cursor)
    return before == after


def _uncounted(status: InstanceStatus) -> InstanceStatus:
    """Return a status without the parts that depend on the number of policies alone."""
    return replace(
        status, policies=None, drift_detection=without_round(status.drift_detection)
    )
