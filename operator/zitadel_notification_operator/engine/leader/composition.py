"""Builds an engine: the only place that knows all of its parts.

Each part gets by name what it may touch. They are built in the order in which they need
each other.
"""

from functools import partial

from zitadel_notification_operator.core.kinds import POLICY
from zitadel_notification_operator.core.serving import ServedBy
from zitadel_notification_operator.engine.calls.confirmed_turns import ConfirmedTurns
from zitadel_notification_operator.engine.calls.lease_guard import LeaseGuard
from zitadel_notification_operator.engine.calls.write_turns import (
    WRITE_LIMIT,
)
from zitadel_notification_operator.engine.claims.ownership import (
    Ownership,
)
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
from zitadel_notification_operator.engine.policies.policy_pass import PolicyPass
from zitadel_notification_operator.engine.policies.policy_report import PolicyReport
from zitadel_notification_operator.engine.policies.status_trail import StatusTrail
from zitadel_notification_operator.engine.policies.target_client import TargetClient
from zitadel_notification_operator.engine.policies.target_sync import TargetSync
from zitadel_notification_operator.engine.policies.target_writer import TargetWriter
from zitadel_notification_operator.engine.policies.targets import Targets
from zitadel_notification_operator.engine.policies.unseen_events import UnseenEvents
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
from .shared_parts import Ports, SharedParts
from .watch_events import WatchEvents


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
        self.lease_guard = lease_guard or LeaseGuard()
        own = None if operator_class is None else ServedBy(namespace, operator_class)
        shared = SharedParts(ports, own, namespace, self.lease_guard, write_limit)
        self.queue, self.inventory = shared.queue, shared.inventory
        self.served, self.writes = shared.served, shared.writes
        self.connections, self.write_turns = shared.connections, shared.write_turns
        self.repairs, self.lag = shared.repairs, shared.lag
        self.drift, self.events = shared.drift, shared.events
        self.pending_events = shared.pending_events
        intake = _intake(shared)
        resync = Resync(
            ports.reader,
            shared.inventory,
            intake,
            shared.connections,
            shared.checks,
            shared.queue,
            ports.chance,
        )
        classes = ClassCheck(
            shared.served,
            shared.write_turns,
            shared.writes,
            resync.relist_instances,
            self.lease_guard,
            ports.now,
        )
        admit = AdmissionCheck(shared.inventory, shared.connections)
        turns = ConfirmedTurns(shared.write_turns, resync.relist_instances)
        self.targets = targets = _targets(shared, admit, turns)
        sets = _passes_over_sets(shared)
        policies, deletions = _passes_over_policies(shared, admit, targets, resync)
        dispatch = Dispatch(
            shared.inventory,
            shared.connections,
            ports.connector,
            _passes_over_instances(shared, classes),
            shared.events,
            policies,
            deletions,
            sets,
        )
        serving = ServingPass(
            shared.served,
            _hand_overs(shared, intake),
            dispatch,
            shared.inventory,
            resync.reread,
        )
        passes = Passes(
            shared.queue,
            shared.inventory,
            serving,
            resync,
            ports.metrics,
            ports.chance,
        )
        housekeeping = _housekeeping(shared, sets)
        lanes = Lanes(shared.inventory, workers)
        shared.queue.divide(lanes.lane_of, workers, lanes.retries_of)
        self.engine = Engine(
            self.lease_guard, shared.queue, intake, resync, passes, housekeeping
        )


def _targets(
    shared: SharedParts, admit: AdmissionCheck, turns: ConfirmedTurns
) -> Targets:
    client_of = partial(
        TargetClient,
        shared.connections,
        shared.checks,
        shared.queue,
        turns,
        shared.drift,
    )
    writer_of = partial(
        TargetWriter, shared.repairs, shared.lag, shared.outbox, shared.ports.metrics
    )
    return Targets(admit, client_of, writer_of)


def _intake(shared: SharedParts) -> Intake:
    """Return what takes objects from Kubernetes."""
    eviction = Eviction(
        shared.connections,
        shared.drift,
        shared.events,
        shared.pending_events,
        shared.ports.metrics,
    )
    watch_events = WatchEvents(
        shared.inventory,
        shared.writes,
        shared.wakeups,
        shared.connections,
        shared.crds,
        eviction,
        shared.checks,
        shared.queue,
    )
    return Intake(
        shared.served,
        shared.unserved,
        shared.inventory,
        watch_events,
        shared.wakeups,
        shared.connections,
        eviction,
        shared.queue,
    )


def _hand_overs(shared: SharedParts, intake: Intake) -> HandOvers:
    """Return what takes instances from other operators, and hands them over."""
    return HandOvers(
        shared.served,
        shared.write_turns,
        shared.connections,
        intake,
        shared.ports.writer,
        shared.outbox,
    )


def _passes_over_instances(shared: SharedParts, classes: ClassCheck) -> InstancePass:
    ports = shared.ports
    probe = InstanceProbe(
        shared.inventory,
        shared.wakeups,
        shared.writes,
        ports.secrets,
        ports.connector,
        classes,
        ports.now,
    )
    verdicts = Verdicts(
        shared.inventory,
        probe,
        shared.wakeups,
        shared.drift,
        shared.checks,
        shared.queue,
        ports.now,
    )
    reports = InstanceReport(
        shared.inventory,
        shared.writes,
        shared.outbox,
        shared.drift,
        shared.repairs,
        shared.deadlines,
        ports.metrics,
        ports.now,
    )
    holding = Holding(
        shared.inventory,
        shared.served,
        shared.write_turns,
        shared.connections,
        shared.crds,
        shared.writes,
        shared.outbox,
    )
    return InstancePass(
        shared.connections,
        holding,
        verdicts,
        reports,
        shared.checks,
        shared.drift,
        ports.chance,
    )


def _passes_over_policies(
    shared: SharedParts, admit: AdmissionCheck, targets: Targets, resync: Resync
) -> tuple[PolicyPass, DeletionPass]:
    ports = shared.ports
    resolver = OrganizationResolver(
        shared.inventory, shared.connections, shared.writes, shared.wakeups, ports.now
    )
    ownership = Ownership(
        shared.inventory,
        shared.served,
        shared.unserved,
        shared.writes,
        shared.wakeups,
        partial(resync.reread, POLICY),
    )
    reports = PolicyReport(
        shared.writes,
        shared.inventory,
        shared.connections,
        shared.drift,
        shared.deadlines,
        ports.metrics,
        ports.chance,
        ports.now,
    )
    sync = TargetSync(
        shared.inventory,
        admit,
        UnseenEvents(shared.inventory, shared.drift, shared.repairs, shared.lag),
        ownership,
        shared.pending_events,
        shared.repairs,
        reports,
        StatusTrail(shared.write_turns, shared.queue),
    )
    ends = DeletionReport(
        shared.inventory,
        shared.writes,
        shared.outbox,
        shared.connections,
        shared.deadlines,
        ports.chance,
        ports.now,
    )
    deletions = DeletionPass(
        shared.inventory,
        shared.connections,
        admit,
        ownership,
        shared.crds,
        resolver,
        targets,
        ends,
    )
    policies = PolicyPass(admit, resolver, targets, ownership, sync, reports)
    return policies, deletions


def _passes_over_sets(shared: SharedParts) -> SetPass:
    inventory, wakeups, writes = shared.inventory, shared.wakeups, shared.writes
    reports = SetReport(inventory, writes, shared.ports.metrics, shared.ports.now)
    members = Members(writes)
    directories = Directories(inventory, shared.connections, shared.drift)
    deletion = SetDeletion(inventory, shared.crds, members, wakeups, writes, reports)
    return SetPass(inventory, directories, members, wakeups, writes, reports, deletion)


def _housekeeping(shared: SharedParts, sets: SetPass) -> Housekeeping:
    return Housekeeping(
        shared.inventory,
        by_name=(shared.connections.keep, shared.drift.keep),
        by_uid=(
            shared.deadlines.keep,
            shared.outbox.keep,
            shared.crds.keep,
            sets.keep,
        ),
        by_target=(shared.repairs.keep, shared.lag.keep),
    )
