"""A Kubernetes for random stories: calls take time, and the watch lags or loses events.

It refuses what the real one refuses. For each object it records which versions the
running process may take for the current one.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

from support.fakes import Answer, FakeCluster
from support.steps import Killed, Steps
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import (
    ClusterError,
    ObjectChanged,
    ObjectGone,
)
from zitadel_notification_operator.core.instance_object import (
    InstanceObject,
    InstanceStatus,
)
from zitadel_notification_operator.core.kinds import SET, Kind, ObjectKey
from zitadel_notification_operator.core.objects import (
    FINALIZER,
    ObjectList,
    OwnObject,
)
from zitadel_notification_operator.core.policy_object import (
    PolicyObject,
    PolicySpec,
    PolicyStatus,
)
from zitadel_notification_operator.core.set_object import SetObject, SetStatus
from zitadel_notification_operator.engine.queue.keys import (
    Key,
    instance_key,
    policy_key,
)

Stored = PolicyObject | InstanceObject | SetObject
Written = TypeVar("Written")


class SetName(NamedTuple):
    """The name of a set, which differs from that of a policy called like it."""

    key: ObjectKey


Name = PolicyKey | SetName | str
Lags = tuple[float, float]


class MortalSteps(Steps):
    """The calls of a process to the outside; after a kill, all of them fail."""

    dead = False

    def step(self, effect: Callable[[], Answer], *what: str) -> Answer:
        """Make one call to the outside."""
        if self.dead:
            raise Killed
        try:
            return super().step(effect, *what)
        except Killed:
            self.dead = True
            raise


class Beliefs:
    """The versions of each object that the process may take for the current one.

    The oldest of them is the newest version that the process has read for certain.
    """

    def __init__(self) -> None:
        self._versions: dict[Name, list[Stored | None]] = {}

    def of(self, name: Name) -> list[Any]:
        """Return the possible versions; None stands for absent."""
        return self._versions.get(name, [None])

    def stored(self, name: Name, version: Stored | None) -> None:
        """Record that a version was stored, which the process may not know yet."""
        self._versions[name] = [*self.of(name), version]

    def was_read(self, name: Name, version: Stored | None) -> None:
        """Record that the process has read a version, and drop all older ones."""
        versions = self.of(name)
        for index in range(len(versions) - 1, -1, -1):
            if _same(versions[index], version):
                self._versions[name] = versions[index:]
                return

    def were_all_read(self) -> None:
        """Record that the process has read the current version of every object."""
        self._versions = {name: vs[-1:] for name, vs in self._versions.items()}


class WorldCluster(FakeCluster):
    """Objects by key, with latency, faults, and a watch.

    Attributes:
        lag: The latency of a call each way, at most, in seconds; 0 for none.
        watch_lag: The delay of watch events in seconds.
        failure: Whether writes fail `before` or `after` their effect; None: neither.
        loses_events: While it is set, the watch loses the events.
        watch_events: The engine's receiver of watch events; None between two processes.
        judge_mark: A callback for each write of the annotation `original`.
        judge_status: A callback for each write of a status.
        judge_strip: A callback for each removal of annotation or finalizer.
        on_stored: A callback for each version that is stored.
        shared: The uids of copies, whose finalizer has a second field manager.
        by_crd: The uids of policies that are deleted because their CRD is.
    """

    def __init__(self, steps: Steps, chance: random.Random, lags: Lags) -> None:
        self.beliefs = Beliefs()
        self.lag, self.watch_lag = lags
        self.failure: str | None = None
        self.loses_events = False
        self.watch_events: Any = None
        self.judge_mark: Callable[[PolicyObject, str, bool], None]
        self.judge_status: Callable[[PolicyObject, PolicyStatus], None]
        self.judge_strip: Callable[[PolicyObject, bool, bool], None]
        self.on_stored: Callable[[PolicyKey, PolicyObject | None], None]
        self._chance = chance
        self.shared: set[str] = set()
        self.by_crd: set[str] = set()
        self._pending: deque[tuple[Name, Stored | None, Stored | None]] = deque()
        super().__init__(steps)

    def put(self, policy: PolicyObject) -> PolicyObject:
        """Store a version; a deleted object without finalizers is removed."""
        stored = super().put(policy)
        if policy.key not in self.policies:
            self.beliefs.stored(policy.key, stored)
        self._send_event(policy.key, self.policies.get(policy.key))
        return stored

    def vanish(self, key: PolicyKey) -> None:
        """Remove a policy in spite of its finalizers."""
        del self.policies[key]
        self.version += 1
        self._send_event(key, None)

    def put_instance(self, instance: InstanceObject) -> InstanceObject:
        """Store a version; a deleted object without finalizers is removed."""
        stored = super().put_instance(instance)
        if stored.deleting and not stored.finalizers:
            del self.instances[stored.name]
        self._send_event(stored.name, self.instances.get(stored.name))
        return stored

    def put_set(self, one: SetObject) -> SetObject:
        """Store a version; a deleted object without finalizers is removed."""
        stored = super().put_set(one)
        self._send_event(SetName(one.key), self.sets.get(one.key))
        return stored

    def _send_event(self, name: Name, version: Stored | None) -> None:
        last = self.beliefs.of(name)[-1]
        self.beliefs.stored(name, version)
        if isinstance(name, ObjectKey):
            assert version is None or isinstance(version, PolicyObject)
            self.on_stored(name, version)
        if self.watch_events is None or self.loses_events:
            return
        self._pending.append((name, version, last))
        asyncio.get_running_loop().call_later(self.watch_lag, self._deliver)

    def restart_watch(self, watch_events: Any) -> None:
        """Start or end a process's watch; events that were in transit are lost."""
        self.watch_events = watch_events
        self._pending.clear()

    def _deliver(self) -> None:
        if not self._pending:
            return
        name, version, last = self._pending.popleft()
        # This repeats what `handlers` does.
        key = _key_of(name)
        if version is None:
            self.watch_events.gone(key, last.uid if last else "")
        elif not isinstance(name, ObjectKey) or not self.watch_events.has(
            key, version.uid, version.resource_version
        ):
            self.watch_events.seen(version)
        self.beliefs.was_read(name, version)

    async def latency(self) -> None:
        """Wait for the latency of a call, one way."""
        if self.lag:
            await asyncio.sleep(self._chance.uniform(0.001, self.lag))

    async def _write(
        self, name: Name, write: Callable[[], Awaitable[Written]]
    ) -> Written:
        await self.latency()
        if self.failure == "before":
            raise ClusterError("no answer")
        stored = await write()
        await self.latency()
        if self.failure == "after":
            raise ClusterError("the answer was lost")
        if stored is None or isinstance(stored, Stored):
            self.beliefs.was_read(name, stored)
        return stored

    async def create_policy(
        self, one: SetObject, key: ObjectKey, spec: PolicySpec
    ) -> PolicyObject:
        create = partial(super().create_policy, one, key, spec)
        return await self._write(key, create)

    async def apply_policy(
        self, one: SetObject, policy: PolicyObject, spec: PolicySpec
    ) -> PolicyObject:
        apply = partial(super().apply_policy, one, policy, spec)
        return await self._write(policy.key, apply)

    async def delete(self, about: OwnObject) -> None:
        await self.latency()
        if self.failure == "before":
            raise ClusterError("no answer")
        await super().delete(about)
        await self.latency()
        if self.failure == "after":
            raise ClusterError("the answer was lost")

    async def apply_set_status(self, one: SetObject, status: SetStatus) -> SetObject:
        apply = partial(super().apply_set_status, one, status)
        return await self._write(SetName(one.key), apply)

    async def hold_set(self, one: SetObject) -> SetObject:
        async def write() -> SetObject:
            if self._stored_set(one).deleting:
                raise ObjectChanged("no finalizer can be added")
            return await super(WorldCluster, self).hold_set(one)

        return await self._write(SetName(one.key), write)

    async def release_set(self, one: SetObject) -> SetObject | None:
        async def write() -> SetObject | None:
            if one.key not in self.sets:
                return None
            return await super(WorldCluster, self).release_set(one)

        return await self._write(SetName(one.key), write)

    async def list_objects(self, kind: Kind, known: Iterable[OwnObject]) -> ObjectList:
        if kind is SET:
            await self._read()
            for key, one in self.sets.items():
                self.beliefs.was_read(SetName(key), one)
        return await super().list_objects(kind, known)

    async def read(self, kind: Kind, key: ObjectKey) -> OwnObject | None:
        if kind is SET:
            await self._read()
            self.beliefs.was_read(SetName(key), self.sets.get(key))
        return await super().read(kind, key)

    async def apply_policy_status(
        self, policy: PolicyObject, status: PolicyStatus
    ) -> PolicyObject:
        async def write() -> PolicyObject:
            return await super(WorldCluster, self).apply_policy_status(policy, status)

        self.judge_status(policy, status)
        return await self._write(policy.key, write)

    async def apply_original(
        self, policy: PolicyObject, original: str, *, finalizer: bool
    ) -> PolicyObject:
        async def write() -> PolicyObject:
            stored = self._stored(policy)
            if stored.deleting and finalizer and not stored.held:
                raise ObjectChanged("no finalizer can be added")
            marked = await super(WorldCluster, self).apply_original(
                policy, original, finalizer=finalizer
            )
            if finalizer or not stored.held or stored.uid in self.shared:
                return marked
            # An apply without a field that only its manager owns removes the field.
            left = tuple(f for f in marked.finalizers if f != FINALIZER)
            return self.put(replace(marked, finalizers=left))

        self.judge_mark(policy, original, finalizer)
        return await self._write(policy.key, write)

    async def strip_policy(
        self, policy: PolicyObject, *, finalizer: bool, original: bool
    ) -> PolicyObject | None:
        async def write() -> PolicyObject | None:
            stored = self.policies.get(policy.key)
            if stored is None or stored.uid != policy.uid:
                return None
            return await super(WorldCluster, self).strip_policy(
                policy, finalizer=finalizer, original=original
            )

        self.judge_strip(policy, finalizer, original)
        return await self._write(policy.key, write)

    def _stored_instance(self, instance: InstanceObject) -> InstanceObject:
        stored = self.instances.get(instance.name)
        if stored is None or stored.uid != instance.uid:
            raise ObjectGone(instance.name)
        return stored

    async def apply_instance_status(
        self, instance: InstanceObject, status: InstanceStatus
    ) -> InstanceObject:
        async def write() -> InstanceObject:
            self._stored_instance(instance)
            return await super(WorldCluster, self).apply_instance_status(
                instance, status
            )

        return await self._write(instance.name, write)

    async def hold_instance(self, instance: InstanceObject) -> InstanceObject:
        async def write() -> InstanceObject:
            if self._stored_instance(instance).deleting:
                raise ObjectChanged("no finalizer can be added")
            return await super(WorldCluster, self).hold_instance(instance)

        return await self._write(instance.name, write)

    async def release_instance(self, instance: InstanceObject) -> InstanceObject | None:
        def effect() -> InstanceObject | None:
            stored = self.instances.get(instance.name)
            if stored is None or stored.uid != instance.uid:
                return None
            left = tuple(f for f in stored.finalizers if f != FINALIZER)
            self.put_instance(replace(stored, finalizers=left))
            return self.instances.get(instance.name)

        await self.latency()
        if self.failure == "before":
            raise ClusterError("no answer")
        stored = self.steps.step(effect, "release", instance.name)
        await self.latency()
        if self.failure == "after":
            raise ClusterError("the answer was lost")
        # The engine drops the instance only when the watch reports its deletion.
        return stored

    async def list_policies(self, known: Iterable[OwnObject]) -> ObjectList:
        await self._read()
        for key, policy in self.policies.items():
            self.beliefs.was_read(key, policy)
        return await super().list_policies(known)

    async def list_instances(self) -> ObjectList:
        await self._read()
        for name, instance in self.instances.items():
            self.beliefs.was_read(name, instance)
        return await super().list_instances()

    async def read_policy(self, namespace: str, name: str) -> PolicyObject | None:
        await self._read()
        key = PolicyKey(namespace, name)
        self.beliefs.was_read(key, self.policies.get(key))
        return self.policies.get(key)

    async def read_instance(self, name: str) -> InstanceObject | None:
        await self._read()
        self.beliefs.was_read(name, self.instances.get(name))
        return self.instances.get(name)

    async def crd_is_ending(self, kind: Kind) -> bool:
        await self._read()
        return await super().crd_is_ending(kind)

    async def read_secret(self, name: str) -> dict[str, bytes] | None:
        await self._read()
        return self.secrets.get(name)

    async def _read(self) -> None:
        await self.latency()
        if self.failure is not None:
            raise ClusterError("no answer")


def _key_of(name: Name) -> Key:
    """Return the key of the work queue for an object."""
    if isinstance(name, str):
        return instance_key(name)
    if isinstance(name, SetName):
        return Key(SET, *name.key)
    return policy_key(name)


def _same(one: Stored | None, other: Stored | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.uid == other.uid and one.resource_version == other.resource_version
