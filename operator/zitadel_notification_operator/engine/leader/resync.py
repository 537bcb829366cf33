"""Compares LISTs with the inventory and stores what differs.

An interrupted watch may have lost events. And Kubernetes itself may go back: after its
etcd was restored from a backup, objects have older versions than before, and deleted
ones exist again. Then nothing that is cached of the cluster can be trusted.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from zitadel_notification_operator.core.backoff import bounded_delay, spread
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.kinds import INSTANCE, KINDS, Kind, ObjectKey
from zitadel_notification_operator.core.objects import ObjectList
from zitadel_notification_operator.engine.calls.connections import Connections
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.records import (
    as_number,
    is_older,
    newest_version,
)
from zitadel_notification_operator.engine.drift.checks import Checks
from zitadel_notification_operator.engine.ports import ObjectReader
from zitadel_notification_operator.engine.queue.clock import loop_time
from zitadel_notification_operator.engine.queue.keys import (
    Key,
    instance_key,
    key_of,
    policy_key,
)
from zitadel_notification_operator.engine.queue.slices import in_slices
from zitadel_notification_operator.engine.queue.workqueue import Priority, WorkQueue
from zitadel_notification_operator.engine.reporting.event_outbox import level_of

from .intake import Intake

LIST_INTERVAL = 600.0
"""Seconds between the periodic LISTs that find what a watch may have lost."""

DOUBT_PAUSE = 1.0
"""Seconds between a doubt and the LIST that settles it."""

SOON = 30.0
"""Seconds between LISTs while a watch may deliver nothing, or after an object could not
be read."""

_log = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)
class Resync:
    """Reads what Kubernetes holds.

    Args:
        reader: Makes the calls.
        inventory: Holds what this operator serves.
        intake: Receives what was read, as it receives what the watch delivers.
        connections: Know which instances are in doubt.
        checks: Schedules drift checks.
        queue: Receives passes over everything after Kubernetes has gone back.
        chance: The source of jitter.
    """

    _reader: ObjectReader
    _inventory: Inventory
    _intake: Intake
    _connections: Connections
    _checks: Checks
    _queue: WorkQueue
    _chance: random.Random
    _doubts: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _listed: dict[Kind, int] = field(default_factory=dict, init=False)
    _deaf_until: int = field(default=0, init=False)
    _incomplete: bool = field(default=False, init=False)
    _instances_read_at: float = field(default=float("-inf"), init=False)
    _reading_instances: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def run(self) -> None:
        """List everything, store what differs, and schedule checks that are missing.

        An object that cannot be read does not stop the others: it stays as it is known,
        and is read again soon.

        Raises:
            ClusterError: A LIST failed; nothing was stored.
        """
        began = loop_time()
        known = {kind: {one.key for one in self._intake.of(kind)} for kind in KINDS}
        newest = self._newest_known()
        doubted, self._incomplete = self._doubts.is_set(), False
        lists = await self._list(reuse=True)
        listed = {kind: as_number(found.version) for kind, found in lists.items()}
        went_back = any(0 < listed[kind] < newest[kind] for kind in KINDS)
        anew = doubted or went_back
        if anew:
            # The cached records cannot be reused, because versions are used a second
            # time.
            lists = await self._list(reuse=False)
            self._begin_anew(max(newest.values()))
        self._listed = listed
        self._doubts.clear()
        await self._store(lists.values(), at_once=anew)
        self._instances_read_at = max(self._instances_read_at, began)
        for kind, found in lists.items():
            for key in known[kind] - {one.key for one in found.objects}:
                if key.namespace in found.unread:
                    continue
                if not await self._try(self.reread(kind, key)):
                    self._incomplete = True
        if anew:
            self._look_at_all()
        await self._checks.complete()

    async def _store(self, lists: Iterable[ObjectList], *, at_once: bool) -> None:
        """Store what was listed.

        Args:
            lists: What was listed.
            at_once: Whether no other task may run meanwhile. That is so if Kubernetes
                has gone back: an event of the time before must not come in between.
        """
        for found in lists:
            if at_once:
                for one in found.objects:
                    self._intake.seen(one)
            else:
                async for one in in_slices(found.objects):
                    self._intake.seen(one)

    async def _list(self, *, reuse: bool) -> dict[Kind, ObjectList]:
        """List the objects of all kinds, an instance before what needs it."""
        return {
            kind: await self._reader.list_objects(
                kind, self._intake.of(kind) if reuse else ()
            )
            for kind in reversed(KINDS)
        }

    async def relist_instances(self, since: float) -> None:
        """Read all instances from Kubernetes, and store what differs.

        Args:
            since: Loop time. Nothing is read if that was begun after it.

        Raises:
            ClusterError: Kubernetes did not answer; nothing was stored.
        """
        async with self._reading_instances:
            if self._instances_read_at > since:
                return
            began = loop_time()
            known = self._intake.of(INSTANCE)
            for one in (await self._reader.list_objects(INSTANCE, known)).objects:
                self._intake.seen(one)
            self._instances_read_at = began

    async def try_to_run(self, complaint: str) -> ClusterError | None:
        """List everything as `run` does; log an error and return it.

        Args:
            complaint: What an error means, for the log.
        """
        try:
            await self.run()
        except ClusterError as error:
            _log.log(level_of(error), "%s: %s", complaint, error.message)
            return error
        return None

    async def run_until_it_works(self, complaint: str) -> None:
        """List everything; repeat that after each error, with a growing delay."""
        attempt = 0
        while (failure := await self.try_to_run(complaint)) is not None:
            attempt += 1
            chance = self._chance.random()
            await asyncio.sleep(bounded_delay(attempt, chance, failure.retry_after))

    def doubt(self) -> None:
        """Trust no cached object any longer: Kubernetes has gone back to older data."""
        self._doubts.set()

    async def wait(self) -> None:
        """Wait until the next LIST is due, which is soon if something is in doubt."""
        deaf = max(self._listed.values(), default=0) < self._deaf_until
        interval = SOON if deaf or self._incomplete else LIST_INTERVAL
        with suppress(TimeoutError):
            async with asyncio.timeout(spread(interval, self._chance.random())):
                await self._doubts.wait()
                # A pause, so that doubts that cannot be settled cause no constant
                # LISTs.
                await asyncio.sleep(DOUBT_PAUSE)

    async def reread(self, kind: Kind, key: ObjectKey) -> None:
        """Read an object from Kubernetes and store it, or its deletion.

        Raises:
            ClusterError: Kubernetes did not answer; the record stays as it is.
        """
        known = self._intake.find(kind, key)
        found = await self._reader.read(kind, key)
        if found is not None:
            if known and known.uid == found.uid and is_older(found, known):
                # A later read has returned an older version.
                self.doubt()
            self._intake.seen(found)
        elif known is not None:
            # A new object of that name may have arrived before this answer.
            self._intake.gone(key_of(known), known.uid)

    async def try_to_reread(self, key: Key) -> None:
        """Read an object again, because a write found a different version than ours."""
        await self._try(self.reread(*key.of_object))

    async def _try(self, reread: Awaitable[None]) -> bool:
        """Return whether Kubernetes has answered; log it if not."""
        try:
            await reread
        except ClusterError as error:
            _log.log(level_of(error), "%s", error.message)
            return False
        return True

    def _newest_known(self) -> dict[Kind, int]:
        """Return the newest version seen of each kind, in objects or LISTs."""
        return {
            kind: max(newest_version(self._intake.of(kind)), self._listed.get(kind, 0))
            for kind in KINDS
        }

    def _begin_anew(self, newest: int) -> None:
        """Accept whatever comes next as newer, and log it."""
        _log.warning(
            "Kubernetes holds older objects than before, as after its etcd was "
            "restored from a backup; all of them are read and looked at anew"
        )
        # Until Kubernetes reaches that version again, its watches may deliver nothing.
        self._deaf_until = max(self._deaf_until, newest)
        self._intake.begin_anew()

    def _look_at_all(self) -> None:
        """Queue passes over everything: a restored status may be out of date."""
        inventory, queue = self._inventory, self._queue
        for name in inventory.instances:
            self._connections.state(name).suspected = True
            queue.add(instance_key(name), Priority.CHANGE)
        for key in inventory.policies:
            queue.add(policy_key(key), Priority.DRIFT)
