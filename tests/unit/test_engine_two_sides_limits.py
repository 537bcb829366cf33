"""A repair does not wait for ever, is not forgotten, and affects no other policy.

Each test shows a defect that the engine once had.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Unpack

import pytest

from support.drift import bench_with, calls
from support.engines import INSTANCE, Bench, PolicyChanges, policy, with_spec
from support.fakes import OTHERS
from support.replacing import instead_of
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.conditions import find
from zitadel_notification_operator.core.errors import TransientError
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.instance_object import DriftMethod
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.policy import (
    ManagementPolicy,
    Scope,
    WriteResult,
)
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.queue.keys import policy_key


def edit(bench: Bench, name: str, **changes: Unpack[PolicyChanges]) -> None:
    """Store a new spec of a policy."""
    stored = bench.policy(name)
    later = replace(stored, generation=stored.generation + 1)
    bench.seen(replace(later, **changes))


def instance_reason(bench: Bench) -> str:
    """Return the reason of the instance's Ready condition."""
    ready = find(bench.cluster.instances["default"].status.conditions, "Ready")
    assert ready is not None
    return str(ready.reason)


def reported_repairs(bench: Bench) -> int:
    """Return the number of repairs that Events have reported."""
    return [r for _, r in bench.recorder.notices].count("ReadSideRepaired")


async def stand_still(bench: Bench, *names: str) -> None:
    """Stop the read side, and edit until repairs are blocked."""
    bench.zitadel.stopped = True
    for name in names:
        edit(bench, name, settings=mails(True))
    await bench.live(120)
    assert instance_reason(bench) == Reason.ZITADEL_INCONSISTENT


def test_passes_of_others_do_not_delay_a_repair_for_ever() -> None:
    """Another policy of the organization is polled, and knows no event."""
    bench = bench_with(policy("p"))
    polled = with_spec(
        INSTANCE,
        key=ObjectKey("", "polled"),
        uid="i2",
        method=DriftMethod.POLL,
        poll_interval=10,
    )
    bench.cluster.put_instance(polled)
    watching = replace(
        policy("q"), instance="polled", management=ManagementPolicy.OBSERVE
    )
    bench.cluster.put(watching)

    async def lived() -> None:
        await bench.start()
        await bench.live(100)
        bench.zitadel.to_lose.append(("changed", "o"))
        bench.zitadel.change("o", True, OTHERS)
        await bench.live(150)
        assert bench.zitadel.written("o") is False
        assert reported_repairs(bench) == 1
        await bench.stop()

    run(lived())


def test_newer_events_do_not_delay_a_repair_for_ever() -> None:
    """GETs do not change, and somebody writes more often than every 30 seconds."""
    bench = bench_with(policy("p"))
    often = with_spec(INSTANCE, method=DriftMethod.AUTO, events_interval=5)
    bench.cluster.put_instance(often)

    async def lived() -> None:
        await bench.start()
        await bench.live(100)
        begun = len(bench.steps.log)
        bench.zitadel.stopped = True
        for number in range(6):
            bench.zitadel.change("o", number % 2 == 0, OTHERS)
            await bench.live(15)
        assert "last policy event" in calls(bench, begun)
        await bench.stop()

    run(lived())


def test_a_loss_is_not_forgotten_while_another_one_is_repaired() -> None:
    """Both are repaired, one after the other."""
    names = [f"p{number}" for number in range(5)]
    bench = bench_with(*(policy(name, f"o-{name}") for name in names))

    async def lived() -> None:
        await bench.start()
        await bench.live(100)

        async def slow(write: Callable[[], Awaitable[WriteResult]]) -> WriteResult:
            await asyncio.sleep(3)
            return await write()

        instead_of(bench.zitadel.write).around(slow)
        before = len(bench.zitadel.writes())
        for name in names:
            bench.zitadel.to_lose.append(("changed", f"o-{name}"))
            bench.zitadel.change(f"o-{name}", True, OTHERS)
        await bench.live(200)
        # Such a repair takes one write, which is not repeated.
        made = [organization for _, organization in bench.zitadel.writes()[before:]]
        assert sorted(made) == sorted(f"o-{name}" for name in names)
        log = {name: bench.zitadel.written(f"o-{name}") for name in names}
        assert log == dict.fromkeys(names, False)
        assert reported_repairs(bench) == len(names)
        await bench.stop()

    run(lived())


def test_a_loss_is_not_forgotten_while_zitadel_fails() -> None:
    """The write of the repair is answered with 500 at first."""
    bench = bench_with(policy("p"))

    async def lived() -> None:
        await bench.start()
        await bench.live(100)
        zitadel = bench.zitadel
        failing = True

        async def fails(write: Callable[[], Awaitable[WriteResult]]) -> WriteResult:
            if failing:
                raise TransientError(Reason.SERVER_ERROR, "HTTP 500")
            return await write()

        instead_of(zitadel.write).around(fails)
        zitadel.to_lose.append(("changed", "o"))
        zitadel.change("o", True, OTHERS)
        await bench.live(120)
        failing = False
        await bench.live(300)
        assert zitadel.written("o") is False
        assert bench.ready("p").status == "True"
        await bench.stop()

    run(lived())


@pytest.mark.parametrize("how", ["Observe", "suspend", "delete"])
def test_the_instance_speaks_of_nobody_who_wants_no_repair(how: str) -> None:
    """The affected policy no longer wants anything."""
    bench = bench_with(policy("p"), policy("q", "o2"))

    async def lived() -> None:
        await bench.start()
        await bench.live(60)
        await stand_still(bench, "p", "q")
        for name in ("p", "q"):
            if how == "delete":
                bench.cluster.policies.pop(bench.policy(name).key)
                assert bench.engine is not None
                bench.engine.watch_events.gone(policy_key(policy(name).key))
            elif how == "suspend":
                edit(bench, name, suspended=True)
            else:
                edit(bench, name, management=ManagementPolicy.OBSERVE)
        await bench.live(120)
        assert instance_reason(bench) == Reason.SUCCEEDED
        await bench.stop()

    run(lived())


@pytest.mark.parametrize("how", ["ended", "lost"])
def test_the_instance_speaks_of_nobody_who_may_not_write(how: str) -> None:
    """The new owner is suspended, and the affected policies still exist.

    One has ended, and somebody else's finalizer keeps it; the other one has lost a
    conflict. Neither of them writes again while the new owner is suspended.
    """
    bench = bench_with(policy("p", second=2), policy("q", "o2", second=2))

    async def lived() -> None:
        await bench.start()
        await bench.live(60)
        await stand_still(bench, "p", "q")
        for name, org in (("p", "o"), ("q", "o2")):
            second = 3 if how == "ended" else 1
            bench.seen(
                replace(policy(f"{name}-successor", org, second), suspended=True)
            )
            if how == "ended":
                kept = (*bench.policy(name).finalizers, "example.com/mine")
                edit(bench, name, deleting=True, finalizers=kept)
        await bench.live(120)
        reason = Reason.DELETED if how == "ended" else Reason.CONFLICT
        assert bench.ready("p").reason == reason
        assert instance_reason(bench) == Reason.SUCCEEDED
        await bench.stop()

    run(lived())


def test_the_instance_speaks_of_nobody_who_has_lost_his_grant() -> None:
    """The affected policy is in another namespace, whose grant is revoked."""
    team = (Grant(("team",), frozenset({Scope.ORGANIZATION})),)
    bench = bench_with()
    bench.cluster.put_instance(replace(INSTANCE, grants=team))
    keys = [PolicyKey("team", name) for name in "pq"]
    for key in keys:
        bench.cluster.put(replace(policy(key.name, f"o-{key.name}"), key=key))

    async def lived() -> None:
        await bench.start()
        await bench.live(60)
        bench.zitadel.stopped = True
        for key in keys:
            stored = bench.cluster.policies[key]
            bench.seen(replace(stored, settings=mails(True), generation=2))
        await bench.live(120)
        assert instance_reason(bench) == Reason.ZITADEL_INCONSISTENT
        stored_instance = bench.cluster.instances["default"]
        bench.instance_seen(replace(stored_instance, grants=(), generation=2))
        await bench.live(120)
        assert instance_reason(bench) == Reason.SUCCEEDED
        await bench.stop()

    run(lived())


def test_a_spec_that_goes_back_says_nothing_of_the_read_side() -> None:
    """Repairs of others stay blocked, because the read side has not changed."""
    bench = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(6)))

    async def lived() -> None:
        await bench.start()
        await bench.live(60)
        await stand_still(bench, *(f"p{n}" for n in range(6)))
        before = len(bench.zitadel.writes())
        for number in range(3):
            edit(bench, f"p{number}", settings=mails(False))
            await bench.live(60)
        assert len(bench.zitadel.writes()) == before
        assert instance_reason(bench) == Reason.ZITADEL_INCONSISTENT
        assert bench.ready("p0").status == "True"
        await bench.stop()

    run(lived())


def test_a_read_side_that_moves_again_is_written_to_at_once() -> None:
    """It shows somebody else's change, so the ten minutes need not pass."""
    names = ["p", "q"]
    bench = bench_with(*(policy(name, f"o-{name}") for name in names))

    async def lived() -> None:
        await bench.start()
        await bench.live(60)
        await stand_still(bench, *names)
        for name in names:
            bench.zitadel.change(f"o-{name}", None, OTHERS)
        bench.zitadel.catch_up()
        await bench.live(150)
        assert bench.zitadel.own == dict.fromkeys([f"o-{n}" for n in names], True)
        assert {bench.ready(name).status for name in names} == {"True"}
        assert instance_reason(bench) == Reason.SUCCEEDED
        await bench.stop()

    run(lived())


def busy_from_now(bench: Bench, seconds: float) -> None:
    """Let GETs of policies fail, as while ZITADEL retries an insert."""
    bench.zitadel.unready_until = asyncio.get_running_loop().time() + seconds


def test_a_long_insert_is_reported_and_is_no_outage() -> None:
    """After ten minutes without a GET the policy reports it, not the instance."""
    bench = bench_with(policy("p"))

    async def lived() -> None:
        await bench.start()
        await bench.live(60)
        begun = len(bench.steps.log)
        busy_from_now(bench, 600)
        edit(bench, "p", settings=mails(True))
        await bench.live(500)
        assert bench.ready("p").status == "False"
        assert "read side" in bench.ready("p").message
        assert instance_reason(bench) == Reason.SUCCEEDED
        assert calls(bench, begun).count("identify") <= 2
        assert calls(bench, begun).count("observe") <= 60
        await bench.live(400)
        assert bench.zitadel.own == {"o": True}
        assert bench.ready("p").status == "True"
        await bench.stop()

    run(lived())


def test_a_second_insert_is_waited_for_like_the_first() -> None:
    """Nobody saw the end of the first one, because its policy was gone by then."""
    bench = bench_with(policy("p"), policy("q", "o2"))

    async def lived() -> None:
        await bench.start()
        await bench.live(60)
        busy_from_now(bench, 30)
        edit(bench, "p", settings=mails(True))
        await bench.live(5)
        edit(bench, "p", suspended=True)
        await bench.live(3000)
        busy_from_now(bench, 20)
        edit(bench, "q", settings=mails(True))
        await bench.live(10)
        assert bench.ready("q").status == "True"
        await bench.live(60)
        assert bench.zitadel.own["o2"] is True
        await bench.stop()

    run(lived())


def test_a_get_before_a_delayed_write_may_meet_an_insert() -> None:
    """The operator waits for it: nothing is reported, nothing is checked."""
    bench = bench_with(policy("p"), policy("q", "o2"))

    async def lived() -> None:
        await bench.start()
        await bench.live(60)

        async def slow(write: Callable[[], Awaitable[WriteResult]]) -> WriteResult:
            await asyncio.sleep(3)
            return await write()

        instead_of(bench.zitadel.write).around(slow)
        begun = len(bench.steps.log)
        edit(bench, "p", settings=mails(True))
        edit(bench, "q", settings=mails(True))
        await bench.live(2)
        busy_from_now(bench, 10)
        await bench.live(10)
        assert {bench.ready(name).status for name in "pq"} == {"True"}
        assert "identify" not in calls(bench, begun)
        await bench.live(30)
        assert bench.zitadel.own == {"o": True, "o2": True}
        await bench.stop()

    run(lived())


def test_the_end_of_the_process_does_not_wait_for_an_insert() -> None:
    """The write was made; the next process verifies it."""
    bench = bench_with(policy("p"))

    async def lived() -> None:
        await bench.start()
        await bench.live(60)

        async def written(write: Callable[[], Awaitable[WriteResult]]) -> WriteResult:
            result = await write()
            busy_from_now(bench, 50)
            return result

        instead_of(bench.zitadel.write).around(written)
        edit(bench, "p", settings=mails(True))
        await bench.live(5)
        ended = asyncio.get_running_loop().time()
        await bench.stop()
        assert asyncio.get_running_loop().time() - ended < 3

    run(lived())
