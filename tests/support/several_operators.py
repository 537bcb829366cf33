"""Several operators on one virtual clock, one Kubernetes and one ZITADEL in memory.

Every write is noted with the operator that makes it, and judged at once: no two
operators may write to the ZITADEL at the same time, and none may write to what another
one serves.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, NamedTuple

from support.engines import INSTANCE, compose, policy
from support.fakes import FakeCluster, FakeRecorder, FakeZitadel
from support.leases import LeaseConnection, StoredLease
from support.steps import Steps
from support.virtual_time import VirtualLoop, run
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.conditions import (
    READY,
    Condition,
    find,
    is_true,
)
from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.instance_object import (
    InstanceObject,
    InstanceStatus,
)
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.lease import Timing
from zitadel_notification_operator.core.objects import OwnObject
from zitadel_notification_operator.core.policy import Scope, WriteResult
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.serving import ServedBy
from zitadel_notification_operator.core.set_object import SetObject
from zitadel_notification_operator.engine.calls.lease_guard import LeaseGuard
from zitadel_notification_operator.engine.leader.composition import Composition
from zitadel_notification_operator.engine.leader.leadership import Clocks, Leadership
from zitadel_notification_operator.engine.leader.replica import Replica
from zitadel_notification_operator.engine.queue.keys import key_of

TIMING = Timing(15.0)
EVERYBODY = (Grant(("*",), frozenset({Scope.ORGANIZATION, Scope.INSTANCE})),)

WHO: ContextVar[ServedBy | None] = ContextVar("who", default=None)
"""The operator that runs now; None in a test."""


class ZitadelWrite(NamedTuple):
    """A write to the ZITADEL, which has its effect at the end."""

    who: ServedBy
    organization_id: str
    begun: float
    ended: float


class SharedZitadel(FakeZitadel):
    """A ZITADEL whose writes take time, whoever waits for them.

    Attributes:
        takes: Seconds that a write takes.
        made: The writes that have had their effect.
        complaints: What the judge objects to.
        serving: Returns the operators that serve an instance now.
    """

    def __init__(self, steps: Steps) -> None:
        super().__init__(steps)
        self.takes = 0.0
        self.made: list[ZitadelWrite] = []
        self.complaints: list[str] = []
        self.serving: Callable[[], set[ServedBy | None]] = set
        self._under_way: dict[int, ServedBy] = {}
        self._count = 0

    async def write(
        self, organization_id: str | None, action: Action, **policy: Any
    ) -> WriteResult:
        write = super().write
        return await self._take(
            organization_id, lambda: write(organization_id, action, **policy)
        )

    async def reset(self, organization_id: str) -> WriteResult:
        reset = super().reset
        return await self._take(organization_id, lambda: reset(organization_id))

    async def _take(
        self,
        organization_id: str | None,
        call: Callable[[], Coroutine[Any, Any, WriteResult]],
    ) -> WriteResult:
        who, loop = WHO.get(), asyncio.get_running_loop()
        assert who is not None
        others = {other for other in self._under_way.values() if other != who}
        if others:
            self.complaints.append(f"{loop.time():.2f}: {who} writes besides {others}")
        if who not in self.serving():
            self.complaints.append(f"{loop.time():.2f}: {who} writes, serving nothing")
        self._count += 1
        number = self._count
        self._under_way[number] = who
        begun = loop.time()

        async def land() -> WriteResult:
            try:
                await asyncio.sleep(self.takes)
                return await call()
            finally:
                del self._under_way[number]
                end = loop.time()
                self.made.append(ZitadelWrite(who, organization_id or "", begun, end))

        # A write goes on after its caller has been killed.
        return await asyncio.shield(asyncio.create_task(land()))

    def writers(self) -> list[ServedBy]:
        """Return who has written, each once for a row of writes."""
        found: list[ServedBy] = []
        for write in self.made:
            if not found or found[-1] != write.who:
                found.append(write.who)
        return found


class ClusterWrite(NamedTuple):
    """A write of an operator to an object."""

    at: float
    who: ServedBy
    one: OwnObject


class SharedCluster(FakeCluster):
    """A Kubernetes whose watches deliver each change to all operators.

    Attributes:
        lag: Seconds until the watches deliver a change.
        watchers: Who receives them.
        written: The writes of operators.
        drops: Whether the CRD is of an older version, without class and servedBy.
    """

    def __init__(self, steps: Steps) -> None:
        super().__init__(steps)
        self.lag = 0.01
        self.watchers: list[Process] = []
        self.written: list[ClusterWrite] = []
        self.drops = False

    def put(self, policy: PolicyObject) -> PolicyObject:
        self._judge_writer(self.policies.get(policy.key) or policy)
        stored = super().put(policy)
        self._changed(stored, is_gone=stored.key not in self.policies)
        return stored

    def put_set(self, one: SetObject) -> SetObject:
        self._judge_writer(self.sets.get(one.key) or one)
        stored = super().put_set(one)
        self._changed(stored, is_gone=stored.key not in self.sets)
        return stored

    def put_instance(self, instance: InstanceObject) -> InstanceObject:
        self._judge_writer(self.instances.get(instance.name) or instance)
        if self.drops:
            status = replace(instance.status, served_by=None)
            instance = replace(instance, operator_class="", status=status)
        stored = super().put_instance(instance)
        self._changed(stored, is_gone=False)
        return stored

    async def release_instance(self, instance: InstanceObject) -> InstanceObject | None:
        self._judge_writer(instance)
        known = self.instances[instance.name]
        left = await super().release_instance(instance)
        self.version += 1
        gone = replace(known, resource_version=str(self.version))
        self._changed(gone, is_gone=True)
        return left

    def _judge_writer(self, one: OwnObject) -> None:
        """Note who writes, and complain if the object is another operator's."""
        who = WHO.get()
        if who is None:
            return
        now = asyncio.get_running_loop().time()
        self.written.append(ClusterWrite(now, who, one))
        name = one.name if isinstance(one, InstanceObject) else one.needed_instance
        instance = self.instances.get(name or "")
        if instance is None:
            is_theirs = who.operator_class == ""
        else:
            by = instance.status.served_by
            serves = by is not None and by.operator == who
            is_theirs = serves or instance.operator_class == who.operator_class
            if not isinstance(one, InstanceObject) and not self.drops:
                is_theirs = serves
        if not is_theirs:
            self.complaints.append(f"{now:.2f}: {who} writes to {one.kind} {one.key}")

    def _changed(self, one: OwnObject, *, is_gone: bool) -> None:
        with suppress(RuntimeError):  # a test may fill the cluster before it begins
            loop = asyncio.get_running_loop()
            for watcher in self.watchers:
                loop.call_later(self.lag, watcher.deliver, one, is_gone)


class Process:
    """One process of an operator, built as `app` does."""

    def __init__(self, town: "Town", own: ServedBy, number: int) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self._town, self.own = town, own
        identity = f"{own.namespace}/{own.operator_class}/{number}"
        clocks = Clocks(loop.time, loop.now, random.Random(identity))
        record = town.leases.setdefault(own, StoredLease())
        self.leadership = Leadership(LeaseConnection(record), identity, TIMING, clocks)
        self.parts: Composition = compose(
            town.cluster,
            town.zitadel,
            town.recorder,
            loop.now,
            seed=number,
            lease_guard=LeaseGuard(self.leadership.time_left),
            namespace=own.namespace,
            operator_class=own.operator_class,
        )
        self.replica = Replica(self.parts.engine, self.leadership)

    def deliver(self, one: OwnObject, is_gone: bool) -> None:
        """Deliver a watch event, as the handlers do."""
        if self not in self._town.cluster.watchers:
            return
        key, watch_events = key_of(one), self.parts.engine.watch_events
        if is_gone:
            watch_events.gone(key, one.uid)
        elif not watch_events.has(key, one.uid, one.resource_version):
            watch_events.seen(one)

    async def start(self) -> "Process":
        """Start the process; all that it does is noted as this operator's."""
        self._town.cluster.watchers.append(self)
        self._town.processes.append(self)

        async def begin() -> None:
            WHO.set(self.own)
            await self.replica.start()

        await asyncio.create_task(begin())
        return self

    async def kill(self) -> None:
        """End the process as `kill -9` does."""
        self._town.forget(self)
        self.parts.engine.abort(RuntimeError("killed"))
        for task in (self.replica.lease_task, self.replica.take_over_task):
            if task is not None:
                task.cancel()
        await asyncio.sleep(0)

    async def stop(self) -> None:
        """End the process in order."""

        async def end() -> None:
            WHO.set(self.own)
            await self.replica.stop()

        await asyncio.create_task(end())
        self._town.forget(self)


class Town:
    """The stores in memory, and the operators that use them."""

    def __init__(self) -> None:
        self.steps = Steps()
        self.zitadel = SharedZitadel(self.steps)
        self.cluster = SharedCluster(self.steps)
        self.cluster.secrets["s"] = {"token": b"token"}
        self.recorder = FakeRecorder()
        self.leases: dict[ServedBy, StoredLease] = {}
        self.processes: list[Process] = []
        self.zitadel.serving = self._serving
        self._count = 0

    def _serving(self) -> set[ServedBy | None]:
        found = {self.served_by(name) for name in self.cluster.instances}
        if self.cluster.drops:
            found |= {process.own for process in self.processes}
        return found

    def another_zitadel(self, url: str, zitadel_id: str) -> SharedZitadel:
        """Return another ZITADEL to which this URL leads, with a judge of its own."""
        made = SharedZitadel(self.steps)
        made.id, made.serving = zitadel_id, self._serving
        self.zitadel.elsewhere[url] = made
        return made

    async def operator(self, namespace: str, operator_class: str = "") -> Process:
        """Start a process of an operator."""
        self._count += 1
        own = ServedBy(namespace, operator_class)
        return await Process(self, own, self._count).start()

    def forget(self, process: Process) -> None:
        """Deliver nothing to a process that has ended."""
        self.processes.remove(process)
        self.cluster.watchers.remove(process)

    def instance(
        self, name: str, operator_class: str = "", second: int = 0
    ) -> InstanceObject:
        """Create an instance, which any namespace of the tests may use."""
        made = replace(
            INSTANCE,
            key=ObjectKey("", name),
            uid=f"uid-{name}",
            created=f"2026-01-01T00:00:{second:02}Z",
            operator_class=operator_class,
            grants=EVERYBODY,
            status=InstanceStatus(),
        )
        return self.cluster.put_instance(made)

    def edit_instance(self, name: str, **spec: Any) -> InstanceObject:
        """Change the spec of an instance as an administrator does."""
        known = self.cluster.instances[name]
        spec["generation"] = known.generation + 1
        return self.cluster.put_instance(replace(known, **spec))

    def annotate(self, name: str, take_over: str | None) -> None:
        """Set the take-over annotation of an instance."""
        known = self.cluster.instances[name]
        self.cluster.put_instance(replace(known, take_over=take_over))

    def policies(self, count: int, instance: str, start: int = 0) -> None:
        """Create policies of as many organizations."""
        for number in range(start, start + count):
            made = policy(f"p{number}", f"o{number}", number % 60)
            self.cluster.put(replace(made, instance=instance))

    def served_by(self, name: str) -> ServedBy | None:
        """Return who serves an instance, as stored."""
        by = self.cluster.instances[name].status.served_by
        return by.operator if by is not None else None

    def ready(self, number: int) -> Condition:
        """Return the Ready condition that a policy must have."""
        found = find(self._conditions(number), READY)
        assert found is not None
        return found

    def is_settled(self, count: int) -> bool:
        """Return whether as many policies are Ready, with what they ask for."""
        return all(
            is_true(self._conditions(number), READY, Reason.SUCCEEDED)
            and self.zitadel.own.get(f"o{number}") is False
            for number in range(count)
        )

    def _conditions(self, number: int) -> tuple[Condition, ...]:
        key = PolicyKey("own", f"p{number}")
        return self.cluster.policies[key].status.conditions

    async def until(self, is_true: Callable[[], bool], seconds: float = 120) -> float:
        """Wait until something is true; return how long it took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not is_true():
            assert loop.time() - began < seconds, "it never became true"
            await asyncio.sleep(0.05)
        return loop.time() - began

    async def end(self) -> None:
        """End all processes, and require that the judges had nothing to object to."""
        for process in list(self.processes):
            await process.stop()
        assert self.zitadel.complaints == []
        assert self.cluster.complaints == []


def in_town(test: Callable[[Town], Awaitable[None]]) -> Callable[[], None]:
    """Run a test on a virtual clock with a town that is cleaned up and judged."""

    async def whole() -> None:
        town = Town()
        await test(town)
        await town.end()

    def runner() -> None:
        run(whole())

    runner.__doc__ = test.__doc__
    return runner
