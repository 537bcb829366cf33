"""A Kubernetes for random stories: calls take time, the watch lags and may be deaf.

It refuses what the real one refuses, and notes of each object which versions the
running process may believe in.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from support.fakes import FakeCluster, Killed, Steps
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import (
    ClusterError,
    ObjectChanged,
    ObjectGone,
)
from zitadel_notification_operator.core.objects import (
    FINALIZER,
    InstanceList,
    InstanceObject,
    InstanceStatus,
    PolicyList,
    PolicyObject,
    PolicyStatus,
)

Stored = PolicyObject | InstanceObject
Name = PolicyKey | str
Lags = tuple[float, float]


class MortalSteps(Steps):
    """Outside calls of a process that makes no more of them once it is killed."""

    dead = False

    def step(self, effect: Callable[[], Any], *what: str) -> Any:
        """Make one outside call."""
        if self.dead:
            raise Killed
        try:
            return super().step(effect, *what)
        except Killed:
            self.dead = True
            raise


class Beliefs:
    """Of each object: the versions from the one that the process surely has read."""

    def __init__(self) -> None:
        self._versions: dict[Name, list[Stored | None]] = {}

    def of(self, name: Name) -> list[Any]:
        """Return what may be believed now; None stands for absent."""
        return self._versions.get(name, [None])

    def stored(self, name: Name, version: Stored | None) -> None:
        """Note what is stored now; the process need not know yet."""
        self._versions[name] = [*self.of(name), version]

    def took(self, name: Name, version: Stored | None) -> None:
        """Note what the process has read: nothing older counts any longer."""
        versions = self.of(name)
        for index in range(len(versions) - 1, -1, -1):
            if _same(versions[index], version):
                self._versions[name] = versions[index:]
                return

    def took_all(self) -> None:
        """Note that the process has read everything as it is now."""
        self._versions = {name: vs[-1:] for name, vs in self._versions.items()}


class WorldCluster(FakeCluster):
    """Objects by key, with time, faults, and a watch.

    Attributes:
        lag: Seconds that a call takes each way, at most; 0: all calls are immediate.
        watch_lag: Seconds after which the watch tells.
        failure: `before` or `after` its effect each write fails; None: all is well.
        deaf: What is stored while it is set is never told.
        audience: What the watch tells; None between two processes.
        judge_mark: Asked when a mark is sent.
        judge_status: Asked when a status is sent.
        judge_strip: Asked when marks are taken off.
        noted: Told of each version that is stored.
        shared: Uids of copies, whose finalizer is not ours alone.
        by_crd: Uids of policies that are deleted because their CRD is.
    """

    def __init__(self, steps: Steps, chance: random.Random, lags: Lags) -> None:
        self.beliefs = Beliefs()
        self.lag, self.watch_lag = lags
        self.failure: str | None = None
        self.deaf = False
        self.audience: Any = None
        self.judge_mark: Callable[[PolicyObject, str, bool], None]
        self.judge_status: Callable[[PolicyObject, PolicyStatus], None]
        self.judge_strip: Callable[[PolicyObject, bool, bool], None]
        self.noted: Callable[[PolicyKey, PolicyObject | None], None]
        self._chance = chance
        self.shared: set[str] = set()
        self.by_crd: set[str] = set()
        self._pending: deque[tuple[Name, Stored | None, Stored | None]] = deque()
        super().__init__(steps)

    def put(self, policy: PolicyObject) -> PolicyObject:
        """Store a version and tell it; a deleted one that nothing holds goes."""
        stored = super().put(policy)
        if policy.key not in self.policies:
            self.beliefs.stored(policy.key, stored)
        self._tell(policy.key, self.policies.get(policy.key))
        return stored

    def vanish(self, key: PolicyKey) -> None:
        """Remove a policy, whatever holds it."""
        del self.policies[key]
        self.version += 1
        self._tell(key, None)

    def put_instance(self, instance: InstanceObject) -> InstanceObject:
        """Store a version and tell it; a deleted one that nothing holds goes."""
        stored = super().put_instance(instance)
        if stored.deleting and not stored.finalizers:
            del self.instances[stored.name]
        self._tell(stored.name, self.instances.get(stored.name))
        return stored

    def _tell(self, name: Name, version: Stored | None) -> None:
        last = self.beliefs.of(name)[-1]
        self.beliefs.stored(name, version)
        if isinstance(name, PolicyKey):
            self.noted(name, version)
        if self.audience is None or self.deaf:
            return
        self._pending.append((name, version, last))
        asyncio.get_running_loop().call_later(self.watch_lag, self._deliver)

    def restart_watch(self, audience: Any) -> None:
        """Begin or end a process's watch; what was under way is lost."""
        self.audience = audience
        self._pending.clear()

    def _deliver(self) -> None:
        if not self._pending:
            return
        name, version, last = self._pending.popleft()
        # As `handlers` does.
        if isinstance(name, PolicyKey):
            if version is None:
                self.audience.policy_gone(name, last.uid if last else "")
            elif not self.audience.has_policy(
                name, version.uid, version.resource_version
            ):
                self.audience.policy_seen(version)
        elif version is None:
            self.audience.instance_gone(name, last.uid if last else "")
        else:
            self.audience.instance_seen(version)
        self.beliefs.took(name, version)

    async def way(self) -> None:
        """Let a call take its time."""
        if self.lag:
            await asyncio.sleep(self._chance.uniform(0.001, self.lag))

    async def _write(self, name: Name, write: Callable[[], Any]) -> Any:
        await self.way()
        if self.failure == "before":
            raise ClusterError("no answer")
        stored = await write()
        await self.way()
        if self.failure == "after":
            raise ClusterError("the answer was lost")
        self.beliefs.took(name, stored)
        return stored

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
            # An apply that leaves out what it had owned alone takes it off.
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

        await self.way()
        if self.failure == "before":
            raise ClusterError("no answer")
        stored = self.steps.step(effect, "release", instance.name)
        await self.way()
        if self.failure == "after":
            raise ClusterError("the answer was lost")
        # Its end is taken from the watch alone, so it counts until then.
        return stored

    async def list_policies(
        self, known: Mapping[PolicyKey, PolicyObject]
    ) -> PolicyList:
        await self._read()
        for key, policy in self.policies.items():
            self.beliefs.took(key, policy)
        return await super().list_policies(known)

    async def list_instances(self) -> InstanceList:
        await self._read()
        for name, instance in self.instances.items():
            self.beliefs.took(name, instance)
        return await super().list_instances()

    async def read_policy(self, namespace: str, name: str) -> PolicyObject | None:
        await self._read()
        key = PolicyKey(namespace, name)
        self.beliefs.took(key, self.policies.get(key))
        return self.policies.get(key)

    async def read_instance(self, name: str) -> InstanceObject | None:
        await self._read()
        self.beliefs.took(name, self.instances.get(name))
        return self.instances.get(name)

    async def crd_is_ending(self, kind: str) -> bool:
        await self._read()
        return await super().crd_is_ending(kind)

    async def read_secret(self, name: str) -> dict[str, bytes] | None:
        await self._read()
        return self.secrets.get(name)

    async def _read(self) -> None:
        await self.way()
        if self.failure is not None:
            raise ClusterError("no answer")


def _same(one: Stored | None, other: Stored | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.uid == other.uid and one.resource_version == other.resource_version
