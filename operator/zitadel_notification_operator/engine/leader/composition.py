"""Builds an engine: the only place that knows all of its parts.

Each part gets by name what it may touch. They are built in the order in which they need
each other.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from zitadel_notification_operator.core.kinds import POLICY
from zitadel_notification_operator.core.serving import ServedBy
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
from zitadel_notification_operator.engine.instances.class_check import ClassCheck
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
from zitadel_notification_operator.engine.policies.status_trail import StatusTrail
from zitadel_notification_operator.engine.policies.target_client import TargetClient
from zitadel_notification_operator.engine.policies.target_sync import TargetSync
from zitadel_notification_operator.engine.policies.target_writer import TargetWriter
from zitadel_notification_operator.engine.policies.targets import Targets
from zitadel_notification_operator.engine.policies.unseen_events import UnseenEvents
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
from zitadel_notification_operator.engine.sets.directories import Directories
from zitadel_notification_operator.engine.sets.members import Members
from zitadel_notification_operator.engine.sets.set_deletion import SetDeletion
from zitadel_notification_operator.engine.sets.set_pass import SetPass
from zitadel_notification_operator.engine.sets.set_report import SetReport

from .dispatch import Dispatch
from .engine import Engine
from .eviction import Eviction
from .housekeeping import Housekeeping
from .intake import Intake
from .lanes import Lanes
from .passes import Passes
from .resync import Resync
from .serving_pass import HandOvers, ServingPass
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
    writer: ObjectWriter
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
        operator_class: The class of the instances that it serves. None to serve those
            of all classes, as a plan does.
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
        operator_class: str | None = "",
        lease_guard: LeaseGuard | None = None,
        write_limit: float = WRITE_LIMIT,
    ) -> None:
        metrics, chance, now = ports.metrics, ports.chance, ports.now
        self.lease_guard = lease_guard = lease_guard or LeaseGuard()
        self.queue = queue = WorkQueue(metrics)
        outbox = EventOutbox(ports.recorder)
        deadlines = Deadlines()

        # What knows our objects, and writes them.
        self.served = served = ServedInstances(_operator(namespace, operator_class))
        self.inventory = inventory = Inventory(namespace)
        wakeups = Wakeups(inventory, queue)
        crds = Crds(ports.reader.crd_is_ending, wakeups.crd_ending)
        # All writes to our objects go through this: it recognizes their echoes.
        self.writes = writes = OwnWrites(inventory, ports.writer, wakeups, outbox)

        # What knows the ZITADELs: who may call them, and what has drifted.
        self.connections = connections = Connections(queue)
        self.repairs = repairs = Repairs(
            partial(wanted_targets, inventory), wakeups.queue_instances_of
        )
        self.lag = lag = ReadLag()
        self.write_turns = turns = WriteTurns(
            partial(writes_at_once, inventory), write_limit
        )
        lease_guard.at_end(turns.end)
        self.drift = drift = DriftSchedule(connections, inventory.count_users)
        checks = Checks(inventory, drift, queue, chance)
        self.events = events = EventsPass(
            inventory, connections, drift, checks, queue, metrics, chance
        )
        self.pending_events = pending = PendingWriteEvents(drift, outbox, metrics, now)

        # What takes objects from Kubernetes.
        eviction = Eviction(connections, drift, events, pending, metrics)
        watch_events = WatchEvents(
            inventory, writes, wakeups, connections, crds, eviction, checks, queue
        )
        intake = Intake(
            served,
            UnservedObjects(),
            inventory,
            watch_events,
            wakeups,
            connections,
            eviction,
            queue,
        )
        resync = Resync(
            ports.reader, inventory, intake, connections, checks, queue, chance
        )

        # What takes instances from other operators, and hands them over.
        hand_overs = HandOvers(served, turns, connections, intake, ports.writer, outbox)
        classes = ClassCheck(
            served, turns, writes, resync.relist_instances, lease_guard
        )

        # Passes over instances.
        probe = InstanceProbe(
            inventory, wakeups, writes, ports.secrets, ports.connector, classes, now
        )
        verdicts = Verdicts(inventory, probe, wakeups, drift, checks, queue, now)
        instance_reports = InstanceReport(
            inventory, writes, outbox, drift, repairs, deadlines, metrics, now
        )
        instances = InstancePass(
            connections,
            Holding(inventory, connections, crds, writes, outbox),
            verdicts,
            instance_reports,
            checks,
            drift,
            chance,
        )

        # Passes over policies.
        admit = AdmissionCheck(inventory, connections)
        client_of = partial(TargetClient, connections, checks, queue, turns, drift)
        writer_of = partial(TargetWriter, repairs, lag, outbox, metrics)
        self.targets = targets = Targets(admit, client_of, writer_of)
        resolver = OrganizationResolver(inventory, connections, writes, wakeups, now)
        ownership = Ownership(
            inventory, writes, wakeups, partial(resync.reread, POLICY)
        )
        unseen_events = UnseenEvents(inventory, drift, repairs, lag)
        reports = PolicyReport(
            writes, inventory, connections, drift, deadlines, metrics, chance, now
        )
        sync = TargetSync(
            inventory,
            admit,
            unseen_events,
            ownership,
            pending,
            repairs,
            reports,
            StatusTrail(turns, queue),
        )
        policies = PolicyPass(admit, resolver, targets, ownership, sync, reports)
        ends = DeletionReport(
            inventory, writes, outbox, connections, deadlines, chance, now
        )
        deletions = DeletionPass(
            inventory, connections, admit, ownership, crds, resolver, targets, ends
        )

        # Passes over sets.
        directories = Directories(inventory, connections, drift)
        sets = _passes_over_sets(
            inventory,
            directories,
            wakeups,
            writes,
            crds,
            SetReport(inventory, writes, metrics, now),
        )

        # The engine.
        dispatch = Dispatch(
            inventory,
            connections,
            ports.connector,
            instances,
            events,
            policies,
            deletions,
            sets,
        )
        serving = ServingPass(served, hand_overs, dispatch, inventory, resync.reread)
        passes = Passes(queue, inventory, serving, resync, metrics, chance)
        housekeeping = Housekeeping(
            inventory,
            by_name=(connections.keep, drift.keep, classes.keep),
            by_uid=(
                deadlines.keep,
                outbox.keep,
                crds.keep,
                sets.keep,
            ),
            by_target=(repairs.keep, lag.keep),
        )
        lanes = Lanes(inventory, workers)
        queue.divide(lanes.lane_of, workers, lanes.retries_of)
        self.engine = Engine(lease_guard, queue, intake, resync, passes, housekeeping)


def _operator(namespace: str, operator_class: str | None) -> ServedBy | None:
    return None if operator_class is None else ServedBy(namespace, operator_class)


def _passes_over_sets(
    inventory: Inventory,
    directories: Directories,
    wakeups: Wakeups,
    writes: OwnWrites,
    crds: Crds,
    reports: SetReport,
) -> SetPass:
    members = Members(writes)
    deletion = SetDeletion(inventory, crds, members, wakeups, writes, reports)
    return SetPass(inventory, directories, members, wakeups, writes, reports, deletion)
