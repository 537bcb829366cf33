"""Engines side by side on a virtual clock: who acts, and what a stop waits for."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from support.engines import INSTANCE, Harness, compose, policy
from support.fakes import FakeCluster, FakeZitadel
from support.leases import LeaseConnection, StoredLease
from support.settings import mails
from support.steps import Steps
from support.virtual_time import VirtualLoop, run
from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.instance_object import InstanceObject, RateLimit
from zitadel_notification_operator.core.lease import Timing
from zitadel_notification_operator.core.objects import ObjectList
from zitadel_notification_operator.core.policy import WriteResult
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.engine.calls.lease_guard import LeaseGuard
from zitadel_notification_operator.engine.leader.leadership import (
    Clocks,
    Leadership,
    LeaseLost,
)
from zitadel_notification_operator.engine.leader.replica import Replica

TIMING = Timing(15.0)


class SlowZitadel(FakeZitadel):
    """A ZITADEL whose writes take time and have their effect at the end."""

    def __init__(self, steps: Steps) -> None:
        super().__init__(steps)
        self.takes = 0.0
        self.begun: list[float] = []
        self.landed: list[float] = []

    async def write(
        self, organization_id: str | None, action: Action, **policy: Any
    ) -> WriteResult:
        loop = asyncio.get_running_loop()
        self.begun.append(loop.time())

        async def land() -> WriteResult:
            await asyncio.sleep(self.takes)
            self.landed.append(loop.time())
            return await super(SlowZitadel, self).write(
                organization_id, action, **policy
            )

        return await asyncio.shield(asyncio.create_task(land()))


class UnwillingCluster(FakeCluster):
    """A cluster that may refuse LISTs."""

    lists = True

    async def list_instances(self) -> ObjectList:
        if not self.lists:
            raise ClusterError("not now")
        return await super().list_instances()


class Stage(Harness):
    """A harness on which several processes run."""

    def __init__(self) -> None:
        super().__init__()
        self.slow = SlowZitadel(self.steps)
        self.zitadel = self.slow
        self.cluster: UnwillingCluster = UnwillingCluster(self.steps)
        self.cluster.secrets["s"] = {"token": b"token"}
        self.cluster.put_instance(INSTANCE)
        self.record = StoredLease()
        self.processes: list[Process] = []

    def store_and_deliver(self, changed: PolicyObject | InstanceObject) -> None:
        """Store a change and deliver its watch event to all processes."""
        for process in self.processes:
            if isinstance(changed, InstanceObject):
                process.engine.watch_events.seen(self.cluster.put_instance(changed))
            else:
                process.engine.watch_events.seen(self.cluster.put(changed))

    async def end(self) -> None:
        """End all processes."""
        for process in self.processes:
            await process.replica.stop()


class Process:
    """One replica, built as `app` does."""

    def __init__(self, stage: Stage, name: str, *, elect: bool = True) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.way = LeaseConnection(stage.record)
        clocks = Clocks(loop.time, loop.now, random.Random(name))
        self.leadership = Leadership(self.way, name, TIMING, clocks)
        lease_guard = LeaseGuard(self.leadership.time_left) if elect else LeaseGuard()
        self.parts = compose(
            stage.cluster,
            stage.zitadel,
            stage.recorder,
            loop.now,
            lease_guard=lease_guard,
        )
        self.engine = self.parts.engine
        self.replica = Replica(self.engine, self.leadership if elect else None)
        stage.processes.append(self)

    async def start(self) -> "Process":
        await self.replica.start()
        return self

    async def kill(self) -> None:
        """End the process as `kill -9` does."""
        self.engine.abort(RuntimeError("killed"))
        for task in (self.replica.lease_task, self.replica.take_over_task):
            if task is not None:
                task.cancel()
        await asyncio.sleep(0)


def on_stage(test: Callable[[Stage], Awaitable[None]]) -> Callable[[], None]:
    """Run a test on a virtual clock with a stage that is cleaned up at the end."""

    async def whole() -> None:
        stage = Stage()
        await test(stage)
        await stage.end()
        assert stage.cluster.complaints == []

    def runner() -> None:
        run(whole())

    runner.__doc__ = test.__doc__
    return runner


@on_stage
async def test_a_standby_knows_all_and_does_nothing(stage: Stage) -> None:
    """Its queue stays empty whatever the watch delivers; its cache is warm."""
    first = await Process(stage, "a").start()
    await asyncio.sleep(1)
    second = await Process(stage, "b").start()
    assert second.engine.filled.is_set()
    for number in range(20):
        stage.store_and_deliver(policy(f"p{number}", f"o{number}"))
    stage.store_and_deliver(replace(INSTANCE, generation=2))
    await asyncio.sleep(700)
    assert len(second.parts.inventory.policies) == 20
    assert len(second.parts.queue) == 0
    assert second.parts.queue.active == 0
    assert second.parts.connections.state("default").proven is None
    assert first.leadership.is_leader
    assert len(stage.slow.begun) == 20


@on_stage
async def test_a_take_over_of_settled_policies_asks_who_is_there(stage: Stage) -> None:
    """There is one identification, no immediate GET of policies, and no write."""
    first = await Process(stage, "a").start()
    for number in range(1000):
        stage.store_and_deliver(policy(f"p{number}", f"o{number}"))
    await asyncio.sleep(300)
    second = await Process(stage, "b").start()
    await first.kill()
    before = len(stage.steps.log)
    await asyncio.wait_for(second.leadership.elected.wait(), 30)
    await asyncio.sleep(5)
    calls = [step[0] for step in stage.steps.log[before:]]
    assert calls.count("identify") == 1
    assert calls.count("observe") <= 1000 * 5 / 600 * 2
    assert set(calls) <= {"identify", "authenticate", "observe"}


@on_stage
async def test_what_was_missed_is_taken_up(stage: Stage) -> None:
    """The LIST of its take-over has changes that the watch has not delivered."""
    first = await Process(stage, "a").start()
    stage.store_and_deliver(policy("p"))
    await asyncio.sleep(60)
    second = await Process(stage, "b").start()
    await first.kill()
    changed = replace(stage.policy("p"), generation=2, settings=mails(True))
    stage.cluster.put(changed)
    await asyncio.wait_for(second.leadership.elected.wait(), 30)
    await asyncio.sleep(1)
    assert stage.slow.own == {"o": True}


@on_stage
async def test_a_take_over_waits_for_a_list(stage: Stage) -> None:
    """It retries the LIST with backoff, and acts as soon as one succeeds."""
    process = Process(stage, "a")
    await process.start()
    stage.cluster.lists = False
    stage.cluster.put(policy("p"))
    await asyncio.sleep(10)
    assert process.leadership.is_leader
    assert stage.slow.begun == []
    stage.cluster.lists = True
    await asyncio.sleep(10)
    assert stage.slow.own == {"o": False}


@on_stage
async def test_a_stop_waits_for_the_write_under_way(stage: Stage) -> None:
    """It ends and its status is stored before the lease is released.

    There are two writes, as many as the instance allows; a third one does not begin.
    """
    limit = RateLimit(max_concurrent_writes=2)
    stage.cluster.put_instance(replace(INSTANCE, rate_limit=limit))
    first = await Process(stage, "a").start()
    second = await Process(stage, "b").start()
    await asyncio.sleep(20)
    stage.slow.takes = 6.0
    stage.store_and_deliver(policy("p", "o1"))
    stage.store_and_deliver(policy("q", "o2"))
    await asyncio.sleep(1)
    assert len(stage.slow.begun) == 2
    stage.store_and_deliver(policy("r", "o3", second=1))
    began = asyncio.get_running_loop().time()
    await first.replica.stop()
    took = asyncio.get_running_loop().time() - began
    assert 4.9 < took < 5.1
    landed = list(stage.slow.landed)
    assert len(landed) == 2
    assert len(stage.slow.begun) == 2
    assert stage.ready("p").status == "True"
    released = [at for at, holder in stage.record.writes if not holder]
    assert released
    assert max(landed) <= released[0]
    await asyncio.wait_for(second.leadership.elected.wait(), 2.1)
    stage.slow.takes = 0.0
    await asyncio.sleep(2)
    assert stage.slow.own == {"o1": False, "o2": False, "o3": False}


@on_stage
async def test_a_stop_lets_a_pass_make_no_further_call(stage: Stage) -> None:
    """A pass that waits in the queue makes no GET or write any more."""
    process = await Process(stage, "a").start()
    await asyncio.sleep(5)
    stage.slow.turn.clear()
    stage.store_and_deliver(policy("p"))
    await asyncio.sleep(1)
    assert process.parts.queue.active == 1
    before = len(stage.steps.log)
    stop = asyncio.create_task(process.replica.stop())
    await asyncio.sleep(1)
    stage.slow.turn.set()
    await stop
    assert stage.steps.log[before:] == []


@on_stage
async def test_a_stop_ends_although_a_pass_hangs(stage: Stage) -> None:
    """The pass is abandoned after the longest time of a call."""
    process = await Process(stage, "a").start()
    await asyncio.sleep(5)
    stage.slow.takes = 1000.0
    stage.store_and_deliver(policy("p"))
    await asyncio.sleep(1)
    began = asyncio.get_running_loop().time()
    await process.replica.stop()
    assert 11 < asyncio.get_running_loop().time() - began < 13
    assert stage.record.lease is not None
    assert stage.record.lease.holder == ""


@on_stage
async def test_a_lost_lease_ends_passes_at_once(stage: Stage) -> None:
    """The engine fails, nothing is released, and nothing more is written."""
    process = await Process(stage, "a").start()
    await asyncio.sleep(20)
    stage.slow.takes = 30.0
    stage.store_and_deliver(policy("p", "o1"))
    await asyncio.sleep(1)
    process.way.fault = "hang"
    await asyncio.wait_for(process.engine.failed.wait(), 10.1)
    assert isinstance(process.engine.failure, LeaseLost)
    stage.store_and_deliver(policy("q", "o2"))
    await asyncio.sleep(1)
    assert len(stage.slow.begun) == 1
    assert process.parts.queue.active == 0
    assert stage.record.lease is not None
    assert stage.record.lease.holder == "a"


@on_stage
async def test_a_frozen_leader_writes_nothing_when_it_thaws(stage: Stage) -> None:
    """A pass that was about to write finds that its lease has expired."""
    process = await Process(stage, "a").start()
    await asyncio.sleep(20)
    stage.slow.turn.clear()
    stage.store_and_deliver(policy("p"))
    await asyncio.sleep(1)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.freeze(60)
    stage.slow.turn.set()
    await asyncio.sleep(1)
    assert stage.slow.begun == []
    assert process.engine.failed.is_set()


@on_stage
async def test_without_an_election_it_leads_at_once(stage: Stage) -> None:
    """There is one LIST, no lease, and no end of its term."""
    process = await Process(stage, "a", elect=False).start()
    stage.store_and_deliver(policy("p"))
    await asyncio.sleep(3600)
    assert stage.slow.own == {"o": False}
    assert stage.record.lease is None
    assert process.parts.lease_guard.time_left() == float("inf")


@pytest.mark.parametrize("when", [0.0, 0.012, 0.02, 1.0])
def test_a_stop_at_any_time_of_the_start_is_clean(when: float) -> None:
    """Before, during and after the election no pass begins and no lease stays."""

    async def test(stage: Stage) -> None:
        process = await Process(stage, "a").start()
        stage.store_and_deliver(policy("p"))
        await asyncio.sleep(when)
        await process.replica.stop()
        before = len(stage.steps.log)
        await asyncio.sleep(100)
        assert len(stage.steps.log) == before
        assert stage.record.lease is None or stage.record.lease.holder == ""

    on_stage(test)()
