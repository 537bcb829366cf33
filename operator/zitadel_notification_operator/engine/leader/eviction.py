"""Forgets what was found out about objects that are gone, or have a new namesake."""

from dataclasses import dataclass

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.engine.calls.connections import Connections
from zitadel_notification_operator.engine.drift.drift_schedule import DriftSchedule
from zitadel_notification_operator.engine.drift.events_pass import EventsPass
from zitadel_notification_operator.engine.policies.pending_write_events import (
    PendingWriteEvents,
)
from zitadel_notification_operator.engine.queue.engine_metrics import PassMetrics


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

    def policy(self, key: PolicyKey) -> None:
        """Forget a policy that is gone, or whose name a different object has now."""
        self._drift.forget(key)
        self._pending_events.forget(key)
        self._metrics.gone(*key)

    def former_instance(self, name: str) -> None:
        """Forget what does not apply to a different object that has this name now."""
        self._metrics.gone("", name)
        self._connections.drop(name)

    def instance(self, name: str) -> None:
        """Forget an instance that is gone."""
        self._connections.drop(name)
        self._drift.drop(name)
        self._metrics.gone("", name)
        self._events.forget(name)
