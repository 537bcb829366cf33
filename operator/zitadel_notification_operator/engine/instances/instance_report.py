"""What a pass over an instance reports: its status, and the Events about it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from zitadel_notification_operator.core.credentials import expiry_of
from zitadel_notification_operator.core.errors import TerminalError
from zitadel_notification_operator.core.instance_report import (
    instance_ready,
    instance_troubled,
)
from zitadel_notification_operator.core.objects import InstanceObject, InstanceStatus
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.calls.connections import Line
from zitadel_notification_operator.engine.calls.repairs import READ_ON, Repairs
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.own_writes import OwnWrites
from zitadel_notification_operator.engine.drift.drift_watch import DriftWatch
from zitadel_notification_operator.engine.drift.search_health import without_round
from zitadel_notification_operator.engine.queue.clock import loop_time
from zitadel_notification_operator.engine.queue.meter import Meter
from zitadel_notification_operator.engine.queue.outcome import Superseded
from zitadel_notification_operator.engine.reporting.deadlines import Deadlines
from zitadel_notification_operator.engine.reporting.notices import (
    of_deprecation,
    of_drift_detection,
    of_settling,
    of_trouble,
)
from zitadel_notification_operator.engine.reporting.telling import Telling

COUNT_INTERVAL = 60.0
"""Seconds between status writes that only change the number of policies."""

INCONSISTENT = TerminalError(
    Reason.ZITADEL_INCONSISTENT,
    "ZITADEL's reads contradict its event log, and repairs of single policies do not "
    f"help, so its read side may stand still as a whole; {READ_ON}",
)
"""The trouble of an instance while repairs of its ZITADEL's read side do not help."""


@dataclass(eq=False, repr=False)
class InstanceReport:
    """Reports passes over instances.

    Args:
        inventory: Holds the newest records.
        writes: Writes the status.
        telling: Posts Events.
        drift: Knows how drift is detected at the instance.
        repairs: Know whether repairs of ZITADEL's read side help.
        deadlines: Know since when instances are in trouble.
        meter: Receives deprecated calls and the time of the report.
        now: Returns the wall-clock time.
    """

    _inventory: Inventory
    _writes: OwnWrites
    _telling: Telling
    _drift: DriftWatch
    _repairs: Repairs
    _deadlines: Deadlines
    _meter: Meter
    _now: Callable[[], datetime]

    async def write(self, instance: InstanceObject, line: Line) -> None:
        """Write the status if it differs, then post its Events.

        Raises:
            ClusterError: Kubernetes did not accept the status.
        """
        newest = self._inventory.instances.get(instance.name, instance)
        # A token or a spec that arrived during the pass belongs to the next one.
        instance = replace(
            newest, requested_at=instance.requested_at, generation=instance.generation
        )
        self._telling.confirm(instance)
        now = self._now()
        trouble = line.trouble
        if trouble is not None:
            began = self._deadlines.began(instance, now)
            status = instance_troubled(instance, trouble, now, began)
            notices = of_trouble(instance, trouble)
        elif line.proven is not None:
            expires = expiry_of(line.tried.credential) if line.tried else None
            status = instance_ready(instance, line.proven.identity, expires, now)
            notices = of_settling(instance, status)
            if self._repairs.is_inconsistent(line.proven.zitadel_id):
                # This is information for people: each policy still goes by its own
                # findings.
                base = replace(status, conditions=instance.status.conditions)
                known = replace(instance, status=base)
                status = instance_troubled(known, INCONSISTENT, now)
                notices = of_trouble(instance, INCONSISTENT)
        else:
            return
        cursor = line.cursor or status.drift_cursor
        users = len(self._inventory.users_of(instance.name))
        detection = self._drift.detection(instance) or status.drift_detection
        status = replace(
            status, policies=users, drift_cursor=cursor, drift_detection=detection
        )
        with self._telling.after(instance, status, notices):
            await self._write(instance, line, status)

    async def finish(self, instance: InstanceObject, line: Line) -> None:
        """Record that a pass has reached its end, and tell of deprecated calls.

        There is an Event about these, once for each version of ZITADEL.
        """
        if line.trouble is not None or line.proven is None:
            return
        self._meter.synced(instance)
        try:
            found = await line.proven.client.deprecation()
        except Superseded:
            return
        self._meter.deprecated(instance.name, found)
        key = (line.proven.zitadel_id, line.proven.identity.version)
        if found is not None and line.deprecated_in != key:
            line.deprecated_in = key
            self._telling.tell(instance, of_deprecation(key[1], found))

    async def _write(
        self, instance: InstanceObject, line: Line, status: InstanceStatus
    ) -> None:
        if status == instance.status or line.written == (status, instance.status):
            return
        now = loop_time()
        if _uncounted(status) == _uncounted(instance.status):
            if line.reported_at is None:
                # A restart begins such an interval, so that it causes no write at once.
                line.reported_at = now
            if now - line.reported_at < COUNT_INTERVAL:
                return
        line.reported_at = now
        before = line.written[0] if line.written else instance.status
        stored = await self._writes.apply_instance_status(instance, status)
        line.written = (status, stored.status)
        for notice in of_drift_detection(replace(instance, status=before), status):
            self._telling.tell(instance, notice)


def _uncounted(status: InstanceStatus) -> InstanceStatus:
    """Return a status without the parts that depend on the number of policies alone."""
    return replace(
        status, policies=None, drift_detection=without_round(status.drift_detection)
    )
