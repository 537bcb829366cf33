"""What all passes share: records, connections, ports and clock, in one value."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from zitadel_notification_operator.core.backoff import spread
from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.grants import POSSIBLE
from zitadel_notification_operator.core.objects import InstanceObject, PolicyObject
from zitadel_notification_operator.engine.accounts import Accounts
from zitadel_notification_operator.engine.connections import Connections
from zitadel_notification_operator.engine.contests import Contests
from zitadel_notification_operator.engine.deadlines import Deadlines
from zitadel_notification_operator.engine.drift_watch import DriftWatch
from zitadel_notification_operator.engine.inventory import Inventory
from zitadel_notification_operator.engine.keys import Key, instance_key
from zitadel_notification_operator.engine.meter import Meter, Unmetered
from zitadel_notification_operator.engine.news import News
from zitadel_notification_operator.engine.outcome import Superseded
from zitadel_notification_operator.engine.own_writes import OwnWrites
from zitadel_notification_operator.engine.ownership import Ownership
from zitadel_notification_operator.engine.ports import (
    Connector,
    InstanceWriter,
    Notice,
    ObjectWriter,
    Recorder,
    SecretReader,
)
from zitadel_notification_operator.engine.repairs import Repairs
from zitadel_notification_operator.engine.telling import Telling
from zitadel_notification_operator.engine.term import Term, TermConnector
from zitadel_notification_operator.engine.workqueue import Priority, WorkQueue
from zitadel_notification_operator.engine.write_turns import (
    WRITE_LIMIT,
    WriteTurns,
    writes_at_once,
)

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Room:
    """The shared parts of one operator process.

    Attributes:
        now: The wall clock, with a time zone; passed in so that tests can set it.
        contests: Corrections that others keep undoing.
        accounts: Events about writes, to be posted once a GET shows the value.
        repairs: ZITADELs whose reads contradict their event logs.
        deadlines: Since when objects are in trouble with their present spec.
        telling: Events that wait for the write that they are about.
        chance: The source of jitter; seeded in tests.
        term: What passes may still do; it is checked before each call to ZITADEL.
        meter: Receives the results of passes.
        write_limit: Seconds that a write to ZITADEL may take at most.
        doubts: Set when Kubernetes has returned an older version of an object than
            before, so that no cached object can be trusted.
    """

    inventory: Inventory
    queue: WorkQueue[Key]
    writer: ObjectWriter
    instance_writer: InstanceWriter
    secrets: SecretReader
    connector: Connector
    recorder: Recorder
    now: Callable[[], datetime]
    chance: random.Random = field(default_factory=random.Random)
    connections: Connections = field(default_factory=Connections)
    term: Term = field(default_factory=Term)
    meter: Meter = field(default_factory=Unmetered)
    write_limit: float = WRITE_LIMIT
    doubts: asyncio.Event = field(default_factory=asyncio.Event)
    news: News = field(init=False)
    ownership: Ownership = field(init=False)
    drift: DriftWatch = field(init=False)
    own_writes: OwnWrites = field(init=False)
    repairs: Repairs = field(default_factory=Repairs)
    contests: Contests = field(default_factory=Contests)
    accounts: Accounts = field(default_factory=Accounts)
    deadlines: Deadlines = field(default_factory=Deadlines)
    telling: Telling = field(init=False)
    write_turns: WriteTurns = field(init=False)
    _turns: dict[Target, tuple[asyncio.Lock, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Build the parts that are made of other parts."""
        self.connector = TermConnector(self.connector, self.term)
        self.writer = self.own_writes = OwnWrites(self.writer, self.inventory.newest)
        self.news = News(self.inventory, self.queue)
        self.drift = DriftWatch(self.connections, self.inventory.users_of)
        self.ownership = Ownership(self.inventory, self.writer, self.news)
        self.telling = Telling(self.tell)
        self.write_turns = WriteTurns(
            partial(writes_at_once, self.inventory), self.write_limit
        )
        self.term.at_end(self.write_turns.end)

    @asynccontextmanager
    async def turn(self, target: Target) -> AsyncIterator[None]:
        """Lock the target, so that no two passes work on one organization at once."""
        lock, waiting = self._turns.get(target, (asyncio.Lock(), 0))
        self._turns[target] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._turns[target]
            if waiting == 1:
                del self._turns[target]
            else:
                self._turns[target] = (lock, waiting - 1)

    def tidy(self) -> frozenset[str]:
        """Drop what is no longer needed; return the uids of all known objects."""
        used = self.inventory.tidy()
        self.connections.keep(used)
        self.drift.keep(used)
        policies = {policy.uid for policy in self.inventory.policies.values()}
        instances = {known.uid for known in self.inventory.instances.values()}
        uids = frozenset(policies | instances)
        self.deadlines.keep(uids)
        self.telling.keep(uids)
        every = self.inventory.policies.values()
        targets = {self.inventory.target_of(policy) for policy in every}
        self.repairs.keep(targets.__contains__)
        self.repairs.keep_pending(self._written_to().__contains__)
        return uids

    def is_inconsistent(self, zitadel_id: str) -> bool:
        """Return whether an instance should report that repairs do not help.

        Only policies that want to write count. A contradiction at the target of a
        policy that is gone, suspended, in Observe or without its grant is nobody's
        trouble any longer.
        """
        if not self.repairs.is_inconsistent(zitadel_id):
            return False
        self.repairs.keep_pending(self._written_to().__contains__)
        return self.repairs.is_inconsistent(zitadel_id)

    def _written_to(self) -> set[Target | None]:
        """Return the targets that some policy may want to write now."""
        every = self.inventory.policies.values()
        targets = ((policy, self.inventory.target_of(policy)) for policy in every)
        return {
            target
            for policy, target in targets
            if target is not None and self._may_write(policy, target)
        }

    def _may_write(self, policy: PolicyObject, target: Target) -> bool:
        """Return whether a policy writes to its target whenever that is needed.

        A policy that is kept only by another finalizer has ended. One that lost a
        conflict writes nothing, even while the owner is suspended.
        """
        inventory = self.inventory
        if not policy.manages or inventory.admission(policy) not in POSSIBLE:
            return False
        owner = inventory.owner(target)
        if policy.deleting:
            return policy.undoes and policy.held and owner is None
        return not policy.suspended and owner in {None, policy.key}

    def newest(self, policy: PolicyObject) -> PolicyObject:
        """Return the newest record of this very object.

        Raises:
            Superseded: The object is gone; a different one may have its name.
        """
        newest = self.inventory.newest(policy)
        if newest is None:
            raise Superseded
        return newest

    def spread(self, seconds: float) -> float:
        """Return the seconds with jitter, so that passes do not come all at once."""
        return spread(seconds, self.chance.random())

    def suspect(self, instance: str) -> None:
        """Queue a check of an instance, because a policy's call found trouble."""
        line = self.connections.line(instance)
        if not line.suspected:
            line.suspected = True
            self.queue.add(instance_key(instance), Priority.CHANGE)

    def look_at_instances_of(self, zitadel_id: str) -> None:
        """Queue all instances that lead to a ZITADEL, to report what is known of it."""
        for name in self.inventory.instances:
            if self.inventory.leads_to(name, zitadel_id):
                self.queue.add(instance_key(name), Priority.CHANGE)

    def ask_as_requested(self, policy: PolicyObject) -> None:
        """Queue a pass over a troubled instance if a policy's token asks for one."""
        asked = policy.requested_at
        if asked in {None, policy.status.last_handled_reconcile_at}:
            return
        if policy.suspended and not policy.deleting:
            return  # the token takes effect when the policy is resumed
        if self.connections.line(policy.instance).trouble is not None:
            self.queue.add(instance_key(policy.instance), Priority.CHANGE)

    def tell(self, about: PolicyObject | InstanceObject, notice: Notice | None) -> None:
        """Log and post an Event, if there is one."""
        if notice is None:
            return
        level = logging.WARNING if notice.warning else logging.INFO
        _log.log(level, "%s", notice.note, extra={"znp_reason": str(notice.reason)})
        self.recorder.record(about, notice)
