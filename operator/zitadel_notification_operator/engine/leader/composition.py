"""Builds an engine: the only place that knows all of its parts.

Each part gets by name what it may touch. They are built in the order in which they need
each other.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from zitadel_notification_operator.engine.calls.connections import Connections
from zitadel_notification_operator.engine.calls.lease_guard import LeaseGuard
from zitadel_notification_operator.engine.calls.read_lag import ReadLag
from zitadel_notification_operator.engine.calls.repairs import Repairs
from zitadel_notification_operator.engine.calls.write_turns import (
    WRITE_LIMIT,
    WriteTurns,
    writes_at_once,
)
from zitadel_notification_operator.engine.claims.crds import Crds
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.own_writes import OwnWrites
from zitadel_notification_operator.engine.claims.ownership import (
    Ownership,
    wanted_targets,
)
from zitadel_notification_operator.engine.claims.wakeups import Wakeups
from zitadel_notification_operator.engine.drift.checks import Checks
from zitadel_notification_operator.engine.drift.drift_schedule import DriftSchedule
from zitadel_notification_operator.engine.drift.events_pass import EventsPass
from zitadel_notification_operator.engine.instances.holding import Holding
from zitadel_notification_operator.engine.instances.instance_pass import InstancePass
from zitadel_notification_operator.engine.instances.instance_probe import InstanceProbe
from zitadel_notification_operator.engine.instances.instance_report import (
    InstanceReport,
)
from zitadel_notification_operator.engine.instances.verdicts import Verdicts
from zitadel_notification_operator.engine.policies.admission_check import AdmissionCheck
from zitadel_notification_operator.engine.policies.deletion_pass import DeletionPass
from zitadel_notification_operator.engine.policies.deletion_report import DeletionReport
from zitadel_notification_operator.engine.policies.organization_resolver import (
    OrganizationResolver,
)
from zitadel_notification_operator.engine.policies.pending_write_events import (
    PendingWriteEvents,
)
from zitadel_notification_operator.engine.policies.policy_pass import PolicyPass
from zitadel_notification_operator.engine.policies.policy_report import PolicyReport
from zitadel_notification_operator.engine.policies.target_client import TargetClient
from zitadel_notification_operator.engine.policies.target_sync import TargetSync
from zitadel_notification_operator.engine.policies.target_writer import TargetWriter
from zitadel_notification_operator.engine.policies.targets import Targets
from zitadel_notification_operator.engine.policies.unseen_events import UnseenEvents
from zitadel_notification_operator.engine.ports import (
    Connector,
    ObjectReader,
    Recorder,
    SecretReader,
    Writer,
)
from zitadel_notification_operator.engine.queue.engine_metrics import PassMetrics
from zitadel_notification_operator.engine.queue.workqueue import WorkQueue
from zitadel_notification_operator.engine.reporting.deadlines import Deadlines
from zitadel_notification_operator.engine.reporting.event_outbox import EventOutbox

from .dispatch import Dispatch
from .engine import Engine
from .eviction import Eviction
from .housekeeping import Housekeeping
from .lanes import Lanes
from .passes import Passes
from .resync import Resync
from .watch_events import WatchEvents


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
    writer: Writer
    secrets: SecretReader
    connector: Connector
    recorder: Recorder
    now: Callable[[], datetime]
    metrics: PassMetrics
    chance: random.Random = field(default_factory=random.Random)


class Composition:
    """One engine and its parts.

    No part gets this object. It is for `app`, which shows some of the parts to the
    metrics, and for tests.

    Args:
        ports: The adapters.
        namespace: The namespace of the operator itself.
        workers: The number of passes that one lane of the work queue may run at once.
        lease_guard: Says whether passes may still call ZITADEL; asked before each call.
        write_limit: Seconds that a write to ZITADEL may take at most.

    Attributes:
        engine: The engine.
    """

    def __init__(
        self,
        ports: Ports,
        namespace: str,
        *,
        workers: int,
        lease_guard: LeaseGuard | None = None,
        write_limit: float = WRITE_LIMIT,
    ) -> None:
        self._ports = ports
        self.lease_guard = LeaseGuard() if lease_guard is None else lease_guard
        self.queue = WorkQueue(ports.metrics)
        self.outbox = EventOutbox(ports.recorder)
        self.deadlines = Deadlines()
        self._build_claims(namespace)
        self._build_instances(write_limit)
        self._build_arrivals()
        lanes = Lanes(self.inventory, workers)
        self.queue.divide(lanes.lane_of, workers, lanes.retries_of)
        self.engine = self._engine()

    def _build_claims(self, namespace: str) -> None:
        """Build what knows our objects, and writes them."""
        ports = self._ports
        self.inventory = Inventory(namespace)
        self.wakeups = Wakeups(self.inventory, self.queue)
        self.crds = Crds(ports.reader.crd_is_ending, self.wakeups.crd_ending)
        # All writes to our objects go through this: it recognizes their echoes.
        self.writes = OwnWrites(self.inventory, ports.writer, self.wakeups, self.outbox)

    def _build_instances(self, write_limit: float) -> None:
        """Build what knows the ZITADELs: who may call them, and what has drifted."""
        ports, inventory, queue = self._ports, self.inventory, self.queue
        wanted = partial(wanted_targets, inventory)
        self.connections = Connections(queue)
        self.repairs = Repairs(wanted, self.wakeups.queue_instances_of)
        self.lag = ReadLag()
        self.write_turns = WriteTurns(partial(writes_at_once, inventory), write_limit)
        self.lease_guard.at_end(self.write_turns.end)
        self.drift = drift = DriftSchedule(self.connections, inventory.users_of)
        self.checks = checks = Checks(inventory, drift, queue, ports.chance)
        self.events = EventsPass(
            inventory,
            self.connections,
            drift,
            checks,
            queue,
            ports.metrics,
            ports.chance,
        )
        self.pending_events = PendingWriteEvents(
            drift, self.outbox, ports.metrics, ports.now
        )

    def _build_arrivals(self) -> None:
        """Build what takes objects from Kubernetes."""
        inventory, writes, wakeups = self.inventory, self.writes, self.wakeups
        connections, checks, crds = self.connections, self.checks, self.crds
        queue, ports = self.queue, self._ports
        eviction = Eviction(
            connections, self.drift, self.events, self.pending_events, ports.metrics
        )
        self.watch_events = watch_events = WatchEvents(
            inventory, writes, wakeups, connections, crds, eviction, checks, queue
        )
        self.resync = Resync(
            ports.reader,
            inventory,
            watch_events,
            connections,
            checks,
            queue,
            ports.chance,
        )

    def _instance_pass(self) -> InstancePass:
        inventory, connections, repairs = self.inventory, self.connections, self.repairs
        wakeups, writes, outbox = self.wakeups, self.writes, self.outbox
        drift, checks, deadlines = self.drift, self.checks, self.deadlines
        metrics, chance, now = self._ports.metrics, self._ports.chance, self._ports.now
        secrets, connector = self._ports.secrets, self._ports.connector
        probe = InstanceProbe(
            inventory, wakeups, writes, secrets, connector, self.lease_guard, now
        )
        holding = Holding(inventory, connections, self.crds, writes, outbox)
        verdicts = Verdicts(inventory, probe, wakeups, drift, checks, self.queue, now)
        reports = InstanceReport(
            inventory, writes, outbox, drift, repairs, deadlines, metrics, now
        )
        return InstancePass(
            connections, holding, verdicts, reports, checks, drift, chance
        )

    def _build_targets(self, admit: AdmissionCheck) -> None:
        """Build what gives each pass its turn at a target, and its client."""
        connections, checks, queue = self.connections, self.checks, self.queue
        repairs, lag, outbox = self.repairs, self.lag, self.outbox
        client_of = partial(
            TargetClient, connections, checks, queue, self.write_turns, self.drift
        )
        writer_of = partial(TargetWriter, repairs, lag, outbox, self._ports.metrics)
        self.targets = Targets(admit, client_of, writer_of)

    def _policy_passes(self) -> tuple[PolicyPass, DeletionPass]:
        inventory, connections, repairs = self.inventory, self.connections, self.repairs
        wakeups, writes, outbox = self.wakeups, self.writes, self.outbox
        drift, deadlines, crds = self.drift, self.deadlines, self.crds
        metrics, chance, now = self._ports.metrics, self._ports.chance, self._ports.now
        admit = AdmissionCheck(inventory, connections)
        self._build_targets(admit)
        targets, pending_events = self.targets, self.pending_events
        resolver = OrganizationResolver(inventory, connections, writes, wakeups, now)
        ownership = Ownership(inventory, writes, wakeups, self.resync.reread_policy)
        unseen_events = UnseenEvents(inventory, drift, repairs, self.lag)
        reports = PolicyReport(
            writes, inventory, connections, drift, deadlines, metrics, chance, now
        )
        sync = TargetSync(
            inventory, admit, unseen_events, ownership, pending_events, repairs, reports
        )
        policies = PolicyPass(admit, resolver, targets, ownership, sync, reports)
        ends = DeletionReport(
            inventory, writes, outbox, connections, deadlines, chance, now
        )
        deletions = DeletionPass(
            inventory, connections, admit, ownership, crds, resolver, targets, ends
        )
        return policies, deletions

    def _engine(self) -> Engine:
        inventory, queue, ports = self.inventory, self.queue, self._ports
        connections, connector = self.connections, ports.connector
        instances, events = self._instance_pass(), self.events
        policies, deletions = self._policy_passes()
        dispatch = Dispatch(
            inventory, connections, connector, instances, events, policies, deletions
        )
        passes = Passes(
            queue, inventory, dispatch, self.resync, ports.metrics, ports.chance
        )
        housekeeping = Housekeeping(
            inventory,
            by_name=(connections.keep, self.drift.keep),
            by_uid=(self.deadlines.keep, self.outbox.keep, self.crds.keep),
            by_target=(self.repairs.keep, self.lag.keep),
        )
        return Engine(
            self.lease_guard,
            queue,
            self.watch_events,
            self.resync,
            passes,
            housekeeping,
        )
