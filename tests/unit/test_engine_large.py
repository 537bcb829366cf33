"""Hundreds of policies: others get turns meanwhile, and nothing squares itself."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from support.engines import INSTANCE, Harness, compose, policy, with_spec
from support.replacing import instead_of
from support.virtual_time import VirtualLoop, run
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.instance_object import DriftMethod
from zitadel_notification_operator.engine.leader.composition import Composition
from zitadel_notification_operator.engine.queue.keys import policy_key
from zitadel_notification_operator.engine.queue.slices import SLICE

SLICES = 3
COUNT = SLICES * SLICE


async def turns_during(work: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Return how many turns another task gets while some work is done."""
    task = asyncio.create_task(work())
    turns = 0
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    await task
    return turns


async def settled(method: DriftMethod) -> Harness:
    """Return a harness in which `COUNT` policies are Ready, and no process runs."""
    harness = Harness()
    harness.cluster.put_instance(with_spec(INSTANCE, method=method))
    for number in range(COUNT):
        harness.cluster.put(policy(f"p{number}", f"o{number}"))
    await harness.start(workers=50)
    await harness.live(300)
    for number in range(COUNT):
        assert harness.ready(f"p{number}").status == "True"
    await harness.stop()
    harness.steps.log.clear()
    return harness


def new_process(harness: Harness) -> Composition:
    """Return an engine that has not begun."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return compose(harness.cluster, harness.zitadel, harness.recorder, loop.now)


def test_a_restart_gives_turns_to_others() -> None:
    """What was listed is stored, and what is due is looked for, in slices."""

    async def story() -> None:
        harness = await settled(DriftMethod.EVENTS)
        parts = new_process(harness)
        assert await turns_during(parts.engine.start) > SLICES
        assert len(parts.inventory.policies) == COUNT
        assert await turns_during(lambda: parts.engine.lead(fresh=True)) > SLICES
        assert len(parts.queue) == 1  # the instance
        await parts.engine.stop()

    run(story())


def test_an_event_wakes_its_own_policy_alone() -> None:
    async def story() -> None:
        harness = await settled(DriftMethod.EVENTS)
        parts = new_process(harness)
        await parts.engine.start()
        await parts.engine.lead(fresh=True)
        await asyncio.sleep(120)
        harness.steps.log.clear()
        harness.zitadel.change("o7", value=True)
        await asyncio.sleep(120)
        looked_at = {step for step in harness.steps.log if step[0] == "observe"}
        assert looked_at == {("observe", "o7")}
        await parts.engine.stop()

    run(story())


def test_scheduling_checks_is_not_quadratic() -> None:
    """To schedule one check, nobody copies the list of all policies of an instance."""

    async def story() -> None:
        harness = await settled(DriftMethod.POLL)
        parts = new_process(harness)
        copied: list[str] = []
        users_of = parts.inventory.users_of

        def copy(instance: str) -> frozenset[PolicyKey]:
            copied.append(instance)
            return users_of(instance)

        instead_of(parts.inventory.users_of).call(copy)
        await parts.engine.start()
        await parts.engine.lead(fresh=True)
        await asyncio.sleep(60)
        for number in range(COUNT):
            assert policy_key(PolicyKey("own", f"p{number}")) in parts.queue
        assert len(copied) < 20
        await parts.engine.stop()

    run(story())
