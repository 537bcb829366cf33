"""What all passes share: records, lines, ports, clock; one value to hand around."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from zitadel_notification_operator.core.backoff import spread
from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.objects import InstanceObject, PolicyObject
from zitadel_notification_operator.engine.connections import Connections
from zitadel_notification_operator.engine.contests import Contests
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
from zitadel_notification_operator.engine.term import Term, TermConnector
from zitadel_notification_operator.engine.workqueue import Priority, WorkQueue

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Room:
    """The shared things of one operator process.

    Attributes:
        now: The wall clock, with a time zone; passed in so that tests can turn it.
        contests: What others keep changing back.
        chance: The source of jitter; seeded in tests.
        term: What passes may still do; each call to ZITADEL asks it.
        meter: Is told what passes have come to.
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
    news: News = field(init=False)
    ownership: Ownership = field(init=False)
    drift: DriftWatch = field(init=False)
    own_writes: OwnWrites = field(init=False)
    contests: Contests = field(default_factory=Contests)
    _turns: dict[Target, tuple[asyncio.Lock, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Build what is made of the parts."""
        self.connector = TermConnector(self.connector, self.term)
        self.writer = self.own_writes = OwnWrites(self.writer, self.inventory.newest)
        self.news = News(self.inventory, self.queue)
        self.drift = DriftWatch(self.connections)
        self.ownership = Ownership(self.inventory, self.writer, self.news)

    @asynccontextmanager
    async def turn(self, target: Target) -> AsyncIterator[None]:
        """Hold the target: never two passes at once on one organization."""
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

    def tidy(self) -> None:
        """Drop what nobody needs any longer."""
        used = self.inventory.tidy()
        self.connections.keep(used)
        self.drift.keep(used)

    def newest(self, policy: PolicyObject) -> PolicyObject:
        """Return this very object as it is known now.

        Raises:
            Superseded: It is gone; another one may have its name.
        """
        newest = self.inventory.newest(policy)
        if newest is None:
            raise Superseded
        return newest

    def spread(self, seconds: float) -> float:
        """Return the seconds with jitter, so that look-ups do not come at once."""
        return spread(seconds, self.chance.random())

    def suspect(self, instance: str) -> None:
        """Ask for a verdict on an instance: a policy's call found trouble."""
        line = self.connections.line(instance)
        if not line.suspected:
            line.suspected = True
            self.queue.add(instance_key(instance), Priority.CHANGE)

    def tell(self, about: PolicyObject | InstanceObject, notice: Notice | None) -> None:
        """Record an Event, if there is something to tell."""
        if notice is None:
            return
        level = logging.WARNING if notice.warning else logging.INFO
        _log.log(level, "%s", notice.note, extra={"znp_reason": str(notice.reason)})
        self.recorder.record(about, notice)
