"""Drops what the parts of the engine remember about objects that no longer exist."""

from zitadel_notification_operator.engine.calls.connections import Connections
from zitadel_notification_operator.engine.calls.read_lag import ReadLag
from zitadel_notification_operator.engine.calls.repairs import Repairs
from zitadel_notification_operator.engine.claims.crds import Crds
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.drift.drift_watch import DriftWatch
from zitadel_notification_operator.engine.reporting.deadlines import Deadlines
from zitadel_notification_operator.engine.reporting.telling import Telling


class Tidying:
    """Drops it after each periodic LIST, so that memory holds no more than there is.

    Args:
        inventory: Knows which objects exist.
        connections: Hold what is known of each instance.
        drift: Remembers searches of instances.
        repairs: Remember contradictions.
        lag: Remembers GETs that are older than the event log.
        deadlines: Know since when objects are in trouble.
        telling: Remembers Events.
        crds: Remember deletions.
    """

    def __init__(
        self,
        inventory: Inventory,
        connections: Connections,
        drift: DriftWatch,
        repairs: Repairs,
        lag: ReadLag,
        deadlines: Deadlines,
        telling: Telling,
        crds: Crds,
    ) -> None:
        self._inventory = inventory
        self._connections = connections
        self._drift = drift
        self._repairs = repairs
        self._lag = lag
        self._deadlines = deadlines
        self._telling = telling
        self._crds = crds

    def run(self) -> None:
        """Drop what is no longer needed."""
        used = self._inventory.tidy()
        self._connections.keep(used)
        self._drift.keep(used)
        policies = {policy.uid for policy in self._inventory.policies.values()}
        instances = {known.uid for known in self._inventory.instances.values()}
        uids = frozenset(policies | instances)
        self._deadlines.keep(uids)
        self._telling.keep(uids)
        self._crds.keep(uids)
        every = self._inventory.policies.values()
        targets = {self._inventory.target_of(policy) for policy in every}
        self._repairs.keep(targets.__contains__)
        self._lag.keep(targets.__contains__)
