"""Forgets what was found out about objects that are gone, or have a new namesake."""

from dataclasses import dataclass

from zitadel_notification_operator.core.kinds import INSTANCE, POLICY
from zitadel_notification_operator.engine.calls.connections import Connections
from zitadel_notification_operator.engine.drift.drift_schedule import DriftSchedule
from zitadel_notification_operator.engine.drift.events_pass import EventsPass
from zitadel_notification_operator.engine.policies.pending_write_events import (
    PendingWriteEvents,
)
from zitadel_notification_operator.engine.queue.engine_metrics import PassMetrics
from zitadel_notification_operator.engine.queue.keys import Key


@dataclass(eq=False, repr=False)
class Eviction:
    """Drops what is remembered by name, in all parts that remember anything.

    Args:
        connections: Hold what is known of each instance.
        drift: Remembers events about policies, and searches of instances.
        events: Remembers how far the events of instances were read.
        pending_events: Keep Events about writes, and contests.
        metrics: Has series about objects.
    """

    _connections: Connections
    _drift: DriftSchedule
    _events: EventsPass
    _pending_events: PendingWriteEvents
    _metrics: PassMetrics

    def former(self, key: Key) -> None:
        """Forget what does not apply to a different object that has this name now."""
        kind, name = key.of_object
        if kind is POLICY:
            self._drift.forget(name)
            self._pending_events.forget(name)
        elif kind is INSTANCE:
            self._connections.drop(key.name)
        self._metrics.gone(key)

    def gone(self, key: Key) -> None:
        """Forget an object that is gone."""
        self.former(key)
        if key.kind is INSTANCE:
            self._drift.drop(key.name)
            self._events.forget(key.name)
