"""Forgets what was found out about objects that are gone, or have a new namesake."""

from dataclasses import dataclass

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.engine.calls.connections import Connections
from zitadel_notification_operator.engine.drift.drift_watch import DriftWatch
from zitadel_notification_operator.engine.drift.events_pass import EventsPass
from zitadel_notification_operator.engine.policies.accounts import Accounts
from zitadel_notification_operator.engine.queue.meter import Meter


@dataclass(eq=False, repr=False)
class Forgetting:
    """Drops what is remembered by name, in all parts that remember anything.

    Args:
        connections: Hold what is known of each instance.
        drift: Remembers events about policies, and searches of instances.
        events: Remembers how far the events of instances were read.
        accounts: Keep Events about writes, and contests.
        meter: Has series about objects.
    """

    _connections: Connections
    _drift: DriftWatch
    _events: EventsPass
    _accounts: Accounts
    _meter: Meter

    def policy(self, key: PolicyKey) -> None:
        """Forget a policy that is gone, or whose name a different object has now."""
        self._drift.forget(key)
        self._accounts.forget(key)
        self._meter.gone(*key)

    def former_instance(self, name: str) -> None:
        """Forget what does not apply to a different object that has this name now."""
        self._meter.gone("", name)
        self._connections.drop(name)

    def instance(self, name: str) -> None:
        """Forget an instance that is gone."""
        self._connections.drop(name)
        self._drift.drop(name)
        self._meter.gone("", name)
        self._events.forget(name)
