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
from zitadel_notification_operator.engine.calls.read_lag import ReadLag
from zitadel_notification_operator.engine.calls.repairs import Repairs
from zitadel_notification_operator.engine.calls.term import Term
from zitadel_notification_operator.engine.calls.write_turns import (
    WRITE_LIMIT,
    WriteTurns,
    writes_at_once,
)
from zitadel_notification_operator.engine.claims.crds import Crds
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.news import News
from zitadel_notification_operator.engine.claims.own_writes import OwnWrites
from zitadel_notification_operator.engine.claims.ownership import (
    Ownership,
    wanted_targets,
)
from zitadel_notification_operator.engine.drift.checks import Checks
from zitadel_notification_operator.engine.drift.drift_watch import DriftWatch
from zitadel_notification_operator.engine.drift.events_pass import EventsPass
from zitadel_notification_operator.engine.instances.holding import Holding
from zitadel_notification_operator.engine.instances.instance_pass import InstancePass
from zitadel_notification_operator.engine.instances.instance_report import (
    InstanceReport,
)
from zitadel_notification_operator.engine.instances.proof import Proof
from zitadel_notification_operator.engine.instances.verdicts import Verdicts
from zitadel_notification_operator.engine.leader.arrivals import Arrivals
from zitadel_notification_operator.engine.leader.dispatch import Dispatch
from zitadel_notification_operator.engine.leader.engine import Engine
from zitadel_notification_operator.engine.leader.forgetting import Forgetting
from zitadel_notification_operator.engine.leader.healing import Healing
from zitadel_notification_operator.engine.leader.lanes import Lanes
from zitadel_notification_operator.engine.leader.passes import Passes
from zitadel_notification_operator.engine.leader.tidying import Tidying
from zitadel_notification_operator.engine.policies.accounts import Accounts
from zitadel_notification_operator.engine.policies.admittance import Admittance
from zitadel_notification_operator.engine.policies.converging import Converging
from zitadel_notification_operator.engine.policies.deletion_pass import DeletionPass
from zitadel_notification_operator.engine.policies.deletion_report import DeletionReport
from zitadel_notification_operator.engine.policies.lagging import Lagging
from zitadel_notification_operator.engine.policies.policy_pass import PolicyPass
from zitadel_notification_operator.engine.policies.policy_report import PolicyReport
from zitadel_notification_operator.engine.policies.resolution import Resolution
from zitadel_notification_operator.engine.policies.target_client import TargetClient
from zitadel_notification_operator.engine.policies.target_writer import TargetWriter
from zitadel_notification_operator.engine.policies.targets import Targets
from zitadel_notification_operator.engine.ports import (
    Connector,
    ObjectReader,
    Recorder,
    SecretReader,
    Writer,
)
from zitadel_notification_operator.engine.queue.meter import Meter
from zitadel_notification_operator.engine.queue.workqueue import WorkQueue
from zitadel_notification_operator.engine.reporting.deadlines import Deadlines
from zitadel_notification_operator.engine.reporting.telling import Telling


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
        meter: Receives what is to be counted.
        chance: The source of jitter; seeded in tests.
    """

    reader: ObjectReader
    writer: Writer
    secrets: SecretReader
    connector: Connector
    recorder: Recorder
    now: Callable[[], datetime]
    meter: Meter
    chance: random.Random = field(default_factory=random.Random)


class Composition:
    """One engine and its parts.

    No part gets this object. It is for `app`, which shows some of the parts to the
    metrics, and for tests.

    Args:
        ports: The adapters.
        namespace: The namespace of the operator itself.
        workers: The number of passes that one lane of the work queue may run at once.
        term: What passes may still do; it is checked before each call to ZITADEL.
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
        term: Term | None = None,
        write_limit: float = WRITE_LIMIT,
    ) -> None:
        self._ports = ports
        self.term = Term() if term is None else term
        self.queue = WorkQueue(ports.meter)
        self.telling = Telling(ports.recorder)
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
        self.news = News(self.inventory, self.queue)
        self.crds = Crds(ports.reader.crd_is_ending, self.news.crd_ending)
        # All writes to our objects go through this: it recognizes their echoes.
        self.writes = OwnWrites(self.inventory, ports.writer, self.news, self.telling)

    def _build_instances(self, write_limit: float) -> None:
        """Build what knows the ZITADELs: who may call them, and what has drifted."""
        ports, inventory, queue = self._ports, self.inventory, self.queue
        wanted = partial(wanted_targets, inventory)
        self.connections = Connections(queue)
        self.repairs = Repairs(wanted, self.news.look_at_instances_of)
        self.lag = ReadLag()
        self.write_turns = WriteTurns(partial(writes_at_once, inventory), write_limit)
        self.term.at_end(self.write_turns.end)
        self.drift = drift = DriftWatch(self.connections, inventory.users_of)
        self.checks = checks = Checks(inventory, drift, queue, ports.chance)
        self.events = EventsPass(
            inventory, self.connections, drift, checks, queue, ports.meter, ports.chance
        )
        self.accounts = Accounts(drift, self.telling, ports.meter, ports.now)

    def _build_arrivals(self) -> None:
        """Build what takes objects from Kubernetes."""
        inventory, writes, news = self.inventory, self.writes, self.news
        connections, checks, crds = self.connections, self.checks, self.crds
        queue, ports = self.queue, self._ports
        forgetting = Forgetting(
            connections, self.drift, self.events, self.accounts, ports.meter
        )
        self.arrivals = arrivals = Arrivals(
            inventory, writes, news, connections, crds, forgetting, checks, queue
        )
        self.healing = Healing(
            ports.reader, inventory, arrivals, connections, checks, queue, ports.chance
        )

    def _instance_pass(self) -> InstancePass:
        inventory, connections, repairs = self.inventory, self.connections, self.repairs
        news, writes, telling = self.news, self.writes, self.telling
        drift, checks, deadlines = self.drift, self.checks, self.deadlines
        meter, chance, now = self._ports.meter, self._ports.chance, self._ports.now
        secrets, connector = self._ports.secrets, self._ports.connector
        proof = Proof(inventory, news, writes, secrets, connector, self.term, now)
        holding = Holding(inventory, connections, self.crds, writes, telling)
        verdicts = Verdicts(inventory, proof, news, drift, checks, self.queue, now)
        reports = InstanceReport(
            inventory, writes, telling, drift, repairs, deadlines, meter, now
        )
        return InstancePass(
            connections, holding, verdicts, reports, checks, drift, chance
        )

    def _build_targets(self) -> None:
        """Build what gives each pass its turn at a target, and its client."""
        connections, checks, queue = self.connections, self.checks, self.queue
        repairs, lag, telling = self.repairs, self.lag, self.telling
        client_of = partial(
            TargetClient, connections, checks, queue, self.write_turns, self.drift
        )
        writer_of = partial(TargetWriter, repairs, lag, telling, self._ports.meter)
        self.targets = Targets(client_of, writer_of)

    def _policy_passes(self) -> tuple[PolicyPass, DeletionPass]:
        inventory, connections, repairs = self.inventory, self.connections, self.repairs
        news, writes, telling = self.news, self.writes, self.telling
        drift, deadlines, crds = self.drift, self.deadlines, self.crds
        meter, chance, now = self._ports.meter, self._ports.chance, self._ports.now
        self._build_targets()
        targets, accounts = self.targets, self.accounts
        admit = Admittance(inventory, connections)
        resolution = Resolution(inventory, connections, writes, news, now)
        ownership = Ownership(inventory, writes, news, self.healing.reread_policy)
        lagging = Lagging(inventory, drift, repairs, self.lag)
        reports = PolicyReport(
            writes, inventory, connections, drift, deadlines, meter, chance, now
        )
        converging = Converging(
            inventory, admit, lagging, ownership, accounts, repairs, reports
        )
        policies = PolicyPass(
            admit, resolution, targets, ownership, converging, reports
        )
        ends = DeletionReport(
            inventory, writes, telling, connections, deadlines, chance, now
        )
        deletions = DeletionPass(
            inventory, connections, admit, ownership, crds, resolution, targets, ends
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
            queue, inventory, dispatch, self.healing, ports.meter, ports.chance
        )
        tidying = Tidying(
            inventory,
            by_name=(connections.keep, self.drift.keep),
            by_uid=(self.deadlines.keep, self.telling.keep, self.crds.keep),
            by_target=(self.repairs.keep, self.lag.keep),
        )
        return Engine(self.term, queue, self.arrivals, self.healing, passes, tidying)
