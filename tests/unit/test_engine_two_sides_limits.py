"""A repair does not wait for ever, is not forgotten, and affects no other policy.

Each test shows a defect that the engine once had.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Unpack

import pytest

from support.drift import bench_with, calls
from support.engines import INSTANCE, Harness, PolicyChanges, policy, with_spec
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


def edit(harness: Harness, name: str, **changes: Unpack[PolicyChanges]) -> None:
    """Store a new spec of a policy."""
    stored = harness.policy(name)
    later = replace(stored, generation=stored.generation + 1)
    harness.seen(replace(later, **changes))


def instance_reason(harness: Harness) -> str:
    """Return the reason of the instance's Ready condition."""
    ready = find(harness.cluster.instances["default"].status.conditions, "Ready")
    assert ready is not None
    return str(ready.reason)


def reported_repairs(harness: Harness) -> int:
    """Return the number of repairs that Events have reported."""
    return [r for _, r in harness.recorder.notices].count("ReadSideRepaired")


async def stand_still(harness: Harness, *names: str) -> None:
    """Stop the read side, and edit until repairs are blocked."""
    harness.zitadel.stopped = True
    for name in names:
        edit(harness, name, settings=mails(True))
    await harness.live(120)
    assert instance_reason(harness) == Reason.ZITADEL_INCONSISTENT


def test_passes_of_others_do_not_delay_a_repair_for_ever() -> None:
    """Another policy of the organization is polled, and knows no event."""
    harness = bench_with(policy("p"))
    polled = with_spec(
        INSTANCE,
        key=ObjectKey("", "polled"),
        uid="i2",
        method=DriftMethod.POLL,
        poll_interval=10,
    )
    harness.cluster.put_instance(polled)
    watching = replace(
        policy("q"), instance="polled", management=ManagementPolicy.OBSERVE
    )
    harness.cluster.put(watching)

    async def lived() -> None:
        await harness.start()
        await harness.live(100)
        harness.zitadel.to_lose.append(("changed", "o"))
        harness.zitadel.change("o", True, OTHERS)
        await harness.live(150)
        assert harness.zitadel.written("o") is False
        assert reported_repairs(harness) == 1
        await harness.stop()

    run(lived())


def test_newer_events_do_not_delay_a_repair_for_ever() -> None:
    """GETs do not change, and somebody writes more often than every 30 seconds."""
    harness = bench_with(policy("p"))
    often = with_spec(INSTANCE, method=DriftMethod.AUTO, events_interval=5)
    harness.cluster.put_instance(often)

    async def lived() -> None:
        await harness.start()
        await harness.live(100)
        begun = len(harness.steps.log)
        harness.zitadel.stopped = True
        for number in range(6):
            harness.zitadel.change("o", number % 2 == 0, OTHERS)
            await harness.live(15)
        assert "last policy event" in calls(harness, begun)
        await harness.stop()

    run(lived())


def test_a_loss_is_not_forgotten_while_another_one_is_repaired() -> None:
    """Both are repaired, one after the other."""
    names = [f"p{number}" for number in range(5)]
    harness = bench_with(*(policy(name, f"o-{name}") for name in names))

    async def lived() -> None:
        await harness.start()
        await harness.live(100)

        async def slow(write: Callable[[], Awaitable[WriteResult]]) -> WriteResult:
            await asyncio.sleep(3)
            return await write()

        instead_of(harness.zitadel.write).around(slow)
        before = len(harness.zitadel.writes())
        for name in names:
            harness.zitadel.to_lose.append(("changed", f"o-{name}"))
            harness.zitadel.change(f"o-{name}", True, OTHERS)
        await harness.live(200)
        # Such a repair takes one write, which is not repeated.
        made = [organization for _, organization in harness.zitadel.writes()[before:]]
        assert sorted(made) == sorted(f"o-{name}" for name in names)
        log = {name: harness.zitadel.written(f"o-{name}") for name in names}
        assert log == dict.fromkeys(names, False)
        assert reported_repairs(harness) == len(names)
        await harness.stop()

    run(lived())


def test_a_loss_is_not_forgotten_while_zitadel_fails() -> None:
    """The write of the repair is answered with 500 at first."""
    harness = bench_with(policy("p"))

    async def lived() -> None:
        await harness.start()
        await harness.live(100)
        zitadel = harness.zitadel
        failing = True

        async def fails(write: Callable[[], Awaitable[WriteResult]]) -> WriteResult:
            if failing:
                raise TransientError(Reason.SERVER_ERROR, "HTTP 500")
            return await write()

        instead_of(zitadel.write).around(fails)
        zitadel.to_lose.append(("changed", "o"))
        zitadel.change("o", True, OTHERS)
        await harness.live(120)
        failing = False
        await harness.live(300)
        assert zitadel.written("o") is False
        assert harness.ready("p").status == "True"
        await harness.stop()

    run(lived())


@pytest.mark.parametrize("how", ["Observe", "suspend", "delete"])
def test_the_instance_speaks_of_nobody_who_wants_no_repair(how: str) -> None:
    """The affected policy no longer wants anything."""
    harness = bench_with(policy("p"), policy("q", "o2"))

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        await stand_still(harness, "p", "q")
        for name in ("p", "q"):
            if how == "delete":
                harness.cluster.policies.pop(harness.policy(name).key)
                assert harness.engine is not None
                harness.engine.watch_events.gone(policy_key(policy(name).key))
            elif how == "suspend":
                edit(harness, name, suspended=True)
            else:
                edit(harness, name, management=ManagementPolicy.OBSERVE)
        await harness.live(120)
        assert instance_reason(harness) == Reason.SUCCEEDED
        await harness.stop()

    run(lived())


@pytest.mark.parametrize("how", ["ended", "lost"])
def test_the_instance_speaks_of_nobody_who_may_not_write(how: str) -> None:
    """The new owner is suspended, and the affected policies still exist.

    One has ended, and somebody else's finalizer keeps it; the other one has lost a
    conflict. Neither of them writes again while the new owner is suspended.
    """
    harness = bench_with(policy("p", second=2), policy("q", "o2", second=2))

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        await stand_still(harness, "p", "q")
        for name, org in (("p", "o"), ("q", "o2")):
            second = 3 if how == "ended" else 1
            harness.seen(
                replace(policy(f"{name}-successor", org, second), suspended=True)
            )
            if how == "ended":
                kept = (*harness.policy(name).finalizers, "example.com/mine")
                edit(harness, name, deleting=True, finalizers=kept)
        await harness.live(120)
        reason = Reason.DELETED if how == "ended" else Reason.CONFLICT
        assert harness.ready("p").reason == reason
        assert instance_reason(harness) == Reason.SUCCEEDED
        await harness.stop()

    run(lived())


def test_the_instance_speaks_of_nobody_who_has_lost_his_grant() -> None:
    """The affected policy is in another namespace, whose grant is revoked."""
    team = (Grant(("team",), frozenset({Scope.ORGANIZATION})),)
    harness = bench_with()
    harness.cluster.put_instance(replace(INSTANCE, grants=team))
    keys = [PolicyKey("team", name) for name in "pq"]
    for key in keys:
        harness.cluster.put(replace(policy(key.name, f"o-{key.name}"), key=key))

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        harness.zitadel.stopped = True
        for key in keys:
            stored = harness.cluster.policies[key]
            harness.seen(replace(stored, settings=mails(True), generation=2))
        await harness.live(120)
        assert instance_reason(harness) == Reason.ZITADEL_INCONSISTENT
        stored_instance = harness.cluster.instances["default"]
        harness.instance_seen(replace(stored_instance, grants=(), generation=2))
        await harness.live(120)
        assert instance_reason(harness) == Reason.SUCCEEDED
        await harness.stop()

    run(lived())


def test_a_spec_that_goes_back_says_nothing_of_the_read_side() -> None:
    """Repairs stay blocked, because the read side has not changed.

    That includes its own: the log still holds the value of before.
    """
    harness = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(6)))

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        await stand_still(harness, *(f"p{n}" for n in range(6)))
        before = len(harness.zitadel.writes())
        for number in range(3):
            edit(harness, f"p{number}", settings=mails(False))
            await harness.live(60)
        assert len(harness.zitadel.writes()) == before
        assert instance_reason(harness) == Reason.ZITADEL_INCONSISTENT
        assert harness.ready("p0").reason == Reason.ZITADEL_INCONSISTENT
        await harness.stop()

    run(lived())


def test_a_read_side_that_moves_again_is_written_to_at_once() -> None:
    """It shows somebody else's change, so the ten minutes need not pass."""
    names = ["p", "q"]
    harness = bench_with(*(policy(name, f"o-{name}") for name in names))

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        await stand_still(harness, *names)
        for name in names:
            harness.zitadel.change(f"o-{name}", None, OTHERS)
        harness.zitadel.catch_up()
        await harness.live(150)
        assert harness.zitadel.own == dict.fromkeys([f"o-{n}" for n in names], True)
        assert {harness.ready(name).status for name in names} == {"True"}
        assert instance_reason(harness) == Reason.SUCCEEDED
        await harness.stop()

    run(lived())


def busy_from_now(harness: Harness, seconds: float) -> None:
    """Let GETs of policies fail, as while ZITADEL retries an insert."""
    harness.zitadel.unready_until = asyncio.get_running_loop().time() + seconds


def test_a_long_insert_is_reported_and_is_no_outage() -> None:
    """After ten minutes without a GET the policy reports it, not the instance."""
    harness = bench_with(policy("p"))

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        begun = len(harness.steps.log)
        busy_from_now(harness, 600)
        edit(harness, "p", settings=mails(True))
        await harness.live(500)
        assert harness.ready("p").status == "False"
        assert "read side" in harness.ready("p").message
        assert instance_reason(harness) == Reason.SUCCEEDED
        assert calls(harness, begun).count("identify") <= 2
        assert calls(harness, begun).count("observe") <= 60
        await harness.live(400)
        assert harness.zitadel.own == {"o": True}
        assert harness.ready("p").status == "True"
        await harness.stop()

    run(lived())


def test_a_second_insert_is_waited_for_like_the_first() -> None:
    """Nobody saw the end of the first one, because its policy was gone by then."""
    harness = bench_with(policy("p"), policy("q", "o2"))

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        busy_from_now(harness, 30)
        edit(harness, "p", settings=mails(True))
        await harness.live(5)
        edit(harness, "p", suspended=True)
        await harness.live(3000)
        busy_from_now(harness, 20)
        edit(harness, "q", settings=mails(True))
        await harness.live(10)
        assert harness.ready("q").status == "True"
        await harness.live(60)
        assert harness.zitadel.own["o2"] is True
        await harness.stop()

    run(lived())


def test_a_get_before_a_delayed_write_may_meet_an_insert() -> None:
    """The operator waits for it: nothing is reported, nothing is checked."""
    harness = bench_with(policy("p"), policy("q", "o2"))

    async def lived() -> None:
        await harness.start()
        await harness.live(60)

        async def slow(write: Callable[[], Awaitable[WriteResult]]) -> WriteResult:
            await asyncio.sleep(3)
            return await write()

        instead_of(harness.zitadel.write).around(slow)
        begun = len(harness.steps.log)
        edit(harness, "p", settings=mails(True))
        edit(harness, "q", settings=mails(True))
        await harness.live(2)
        busy_from_now(harness, 10)
        await harness.live(10)
        assert {harness.ready(name).status for name in "pq"} == {"True"}
        assert "identify" not in calls(harness, begun)
        await harness.live(30)
        assert harness.zitadel.own == {"o": True, "o2": True}
        await harness.stop()

    run(lived())


def test_the_end_of_the_process_does_not_wait_for_an_insert() -> None:
    """The write was made; the next process verifies it."""
    harness = bench_with(policy("p"))

    async def lived() -> None:
        await harness.start()
        await harness.live(60)

        async def written(write: Callable[[], Awaitable[WriteResult]]) -> WriteResult:
            result = await write()
            busy_from_now(harness, 50)
            return result

        instead_of(harness.zitadel.write).around(written)
        edit(harness, "p", settings=mails(True))
        await harness.live(5)
        ended = asyncio.get_running_loop().time()
        await harness.stop()
        assert asyncio.get_running_loop().time() - ended < 3

    run(lived())
