"""What the passes of an engine share: its adapters, what it knows, and its queue.

Only `composition` uses this object. A part gets what it may touch by name.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from zitadel_notification_operator.core.serving import ServedBy
from zitadel_notification_operator.engine.calls.connections import Connections
from zitadel_notification_operator.engine.calls.lease_guard import LeaseGuard
from zitadel_notification_operator.engine.calls.read_lag import ReadLag
from zitadel_notification_operator.engine.calls.repairs import Repairs
from zitadel_notification_operator.engine.calls.write_turns import (
    WriteTurns,
    writes_at_once,
)
from zitadel_notification_operator.engine.claims.crds import Crds
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.own_writes import OwnWrites
from zitadel_notification_operator.engine.claims.ownership import wanted_targets
from zitadel_notification_operator.engine.claims.served_instances import (
    ServedInstances,
)
from zitadel_notification_operator.engine.claims.unserved_objects import (
    UnservedObjects,
)
from zitadel_notification_operator.engine.claims.wakeups import Wakeups
from zitadel_notification_operator.engine.drift.checks import Checks
from zitadel_notification_operator.engine.drift.drift_schedule import DriftSchedule
from zitadel_notification_operator.engine.drift.events_pass import EventsPass
from zitadel_notification_operator.engine.policies.pending_write_events import (
    PendingWriteEvents,
)
from zitadel_notification_operator.engine.ports import (
    Connector,
    ObjectReader,
    ObjectWriter,
    Recorder,
    SecretReader,
)
from zitadel_notification_operator.engine.queue.engine_metrics import PassMetrics
from zitadel_notification_operator.engine.queue.workqueue import WorkQueue
from zitadel_notification_operator.engine.reporting.deadlines import Deadlines
from zitadel_notification_operator.engine.reporting.event_outbox import EventOutbox


@dataclass(frozen=True, slots=True)
class Ports:
    """The adapters through which one engine reaches the outside world.

    Attributes:
        reader: Reads our objects.
        writer: Writes our objects.
        secrets: Reads credentials and CA bundles.
        connector: Makes clients of ZITADEL.
        recorder: Posts Events.
        now: The wall clock, with a time zone.
        metrics: Receives what is to be counted.
        chance: The source of jitter; seeded in tests.
    """

    reader: ObjectReader
    writer: ObjectWriter
    secrets: SecretReader
    connector: Connector
    recorder: Recorder
    now: Callable[[], datetime]
    metrics: PassMetrics
    chance: random.Random = field(default_factory=random.Random)


class SharedParts:
    """The parts that passes of several kinds use, built in the order of their needs.

    Args:
        ports: The adapters.
        own: The operator that this is; None to serve all instances, as a plan does.
        namespace: The namespace of the operator itself.
        lease_guard: Says whether passes may still call ZITADEL.
        write_limit: Seconds that a write to ZITADEL may take at most.
    """

    def __init__(
        self,
        ports: Ports,
        own: ServedBy | None,
        namespace: str,
        lease_guard: LeaseGuard,
        write_limit: float,
    ) -> None:
        self.ports, self.lease_guard = ports, lease_guard
        self.queue = queue = WorkQueue(ports.metrics)
        self.outbox = EventOutbox(ports.recorder)
        self.deadlines = Deadlines()

        # What knows our objects, and writes them.
        self.served = ServedInstances(own)
        self.unserved = UnservedObjects()
        self.inventory = inventory = Inventory(namespace)
        self.wakeups = Wakeups(inventory, queue)
        self.crds = Crds(ports.reader.crd_is_ending, self.wakeups.crd_ending)
        # All writes to our objects go through this: it recognizes their echoes.
        self.writes = OwnWrites(inventory, ports.writer, self.wakeups, self.outbox)

        # What knows the ZITADELs: who may call them, and what has drifted.
        self.connections = Connections(queue)
        self.repairs = Repairs(
            partial(wanted_targets, inventory), self.wakeups.queue_instances_of
        )
        self.lag = ReadLag()
        self.write_turns = WriteTurns(partial(writes_at_once, inventory), write_limit)
        lease_guard.at_end(self.write_turns.end)
        self.drift = DriftSchedule(self.connections, inventory.count_users)
        self.checks = Checks(inventory, self.drift, queue, ports.chance)
        self.events = EventsPass(
            inventory,
            self.connections,
            self.drift,
            self.checks,
            queue,
            ports.metrics,
            ports.chance,
        )
        self.pending_events = PendingWriteEvents(
            self.drift, self.outbox, ports.metrics, ports.now
        )
