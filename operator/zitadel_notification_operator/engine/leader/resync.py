"""Compares LISTs with the inventory and stores what differs.

An interrupted watch may have lost events. And Kubernetes itself may go back: after its
etcd was restored from a backup, objects have older versions than before, and deleted
ones exist again. Then nothing that is cached of the cluster can be trusted.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass, field

from zitadel_notification_operator.core.backoff import bounded_delay, spread
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.objects import InstanceObject, PolicyObject
from zitadel_notification_operator.engine.calls.connections import Connections
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.records import (
    as_number,
    is_older,
    newest_version,
)
from zitadel_notification_operator.engine.drift.checks import Checks
from zitadel_notification_operator.engine.ports import ObjectReader
from zitadel_notification_operator.engine.queue.keys import (
    POLICY,
    Key,
    instance_key,
    policy_key,
)
from zitadel_notification_operator.engine.queue.workqueue import Priority, WorkQueue
from zitadel_notification_operator.engine.reporting.event_outbox import level_of

from .watch_events import WatchEvents

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
        inventory: Holds what is known.
        watch_events: Receives what was read, as it receives what the watch delivers.
        connections: Know which instances are in doubt.
        checks: Schedules drift checks.
        queue: Receives passes over everything after Kubernetes has gone back.
        chance: The source of jitter.
    """

    _reader: ObjectReader
    _inventory: Inventory
    _watch_events: WatchEvents
    _connections: Connections
    _checks: Checks
    _queue: WorkQueue
    _chance: random.Random
    _doubts: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _listed: dict[str, int] = field(default_factory=dict, init=False)
    _deaf_until: int = field(default=0, init=False)
    _incomplete: bool = field(default=False, init=False)

    async def run(self) -> None:
        """List everything, store what differs, and schedule checks that are missing.

        An object that cannot be read does not stop the others: it stays as it is known,
        and is read again soon.

        Raises:
            ClusterError: A LIST failed; nothing was stored.
        """
        inventory = self._inventory
        known_instances = set(inventory.instances)
        known_policies = set(inventory.policies)
        newest = self._newest_known()
        doubted, self._incomplete = self._doubts.is_set(), False
        instances = await self._reader.list_instances()
        policies = await self._reader.list_policies(inventory.policies)
        listed = {
            "policies": as_number(policies.version),
            "instances": as_number(instances.version),
        }
        went_back = any(0 < listed[kind] < newest[kind] for kind in listed)
        anew = doubted or went_back
        if anew:
            # The cached records cannot be reused, because versions are used a second
            # time.
            policies = await self._reader.list_policies({})
            self._begin_anew(max(newest.values()))
        self._listed = listed
        self._doubts.clear()
        for instance in instances.instances:
            self._watch_events.instance_seen(instance)
        for policy in policies.policies:
            self._watch_events.policy_seen(policy)
        for name in known_instances - {one.name for one in instances.instances}:
            if not await self._try(self.reread_instance(name)):
                self._incomplete = True
        for key in known_policies - {one.key for one in policies.policies}:
            if key.namespace in policies.unread:
                continue
            if not await self._try(self.reread_policy(key)):
                self._incomplete = True
        if anew:
            self._look_at_all()
        self._checks.complete()

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

    async def reread_policy(self, key: PolicyKey) -> None:
        """Read a policy from Kubernetes and store it, or its deletion.

        Raises:
            ClusterError: Kubernetes did not answer; the record stays as it is.
        """
        known = self._inventory.policies.get(key)
        policy = await self._reader.read_policy(*key)
        if policy is not None:
            self._doubt(policy, known)
            self._watch_events.policy_seen(policy)
        elif known is not None:
            # A new object of that name may have arrived before this answer.
            self._watch_events.policy_gone(key, known.uid)

    async def reread_instance(self, name: str) -> None:
        """Read an instance and store it, or its deletion; as `reread_policy`."""
        known = self._inventory.instances.get(name)
        instance = await self._reader.read_instance(name)
        if instance is not None:
            self._doubt(instance, known)
            self._watch_events.instance_seen(instance)
        elif known is not None:
            self._watch_events.instance_gone(name, known.uid)

    async def reread(self, key: Key) -> None:
        """Read an object again, because a write found a different version than ours."""
        if key.kind == POLICY:
            await self._try(self.reread_policy(key.policy))
        else:
            await self._try(self.reread_instance(key.name))

    async def _try(self, reread: Awaitable[None]) -> bool:
        """Return whether Kubernetes has answered; log it if not."""
        try:
            await reread
        except ClusterError as error:
            _log.log(level_of(error), "%s", error.message)
            return False
        return True

    def _doubt(
        self,
        read: PolicyObject | InstanceObject,
        known: PolicyObject | InstanceObject | None,
    ) -> None:
        """Trust no cached object if a later read returns an older version."""
        if known is not None and known.uid == read.uid and is_older(read, known):
            self.doubt()

    def _newest_known(self) -> dict[str, int]:
        """Return the newest version seen of each kind, in objects or LISTs."""
        newest = {
            "policies": newest_version(self._inventory.policies.values()),
            "instances": newest_version(self._inventory.instances.values()),
        }
        return {kind: max(newest[kind], self._listed.get(kind, 0)) for kind in newest}

    def _begin_anew(self, newest: int) -> None:
        """Accept whatever comes next as newer, and log it."""
        _log.warning(
            "Kubernetes holds older objects than before, as after its etcd was "
            "restored from a backup; all of them are read and looked at anew"
        )
        # Until Kubernetes reaches that version again, its watches may deliver nothing.
        self._deaf_until = max(self._deaf_until, newest)
        self._inventory.begin_anew()

    def _look_at_all(self) -> None:
        """Queue passes over everything: a restored status may be out of date."""
        inventory, queue = self._inventory, self._queue
        for name in inventory.instances:
            self._connections.state(name).suspected = True
            queue.add(instance_key(name), Priority.CHANGE)
        for key in inventory.policies:
            queue.add(policy_key(key), Priority.DRIFT)
