"""A read side that answers no GET of a policy for some seconds.

A credential that may not read the instance learns ZITADEL's id from the default policy,
so the check of the instance meets the error, too. That is no failure of the instance.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from support.drift import bench_with, calls
from support.engines import INSTANCE, Bench, policy, with_spec
from support.fakes import OTHERS
from support.replacing import instead_of
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.conditions import Condition, find
from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.errors import TransientError
from zitadel_notification_operator.core.events import ZitadelEvent
from zitadel_notification_operator.core.instance_object import DriftMethod
from zitadel_notification_operator.core.policy import ObservedPolicy, WriteResult
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.settings import Settings
from zitadel_notification_operator.engine.instances.instance_probe import CHECK_INTERVAL

WINDOW = 20.0
"""Seconds without a GET: more than two looks at an instance take."""


def small_role() -> Bench:
    """Return a bench whose credential may not read the instance."""
    bench = bench_with(policy("p"), policy("q", "o2"), method=DriftMethod.POLL)
    bench.zitadel.reads_instance = False
    return bench


def busy_for(bench: Bench, seconds: float) -> None:
    """Let GETs of policies fail for some seconds from now on."""
    now = asyncio.get_running_loop().time()
    bench.zitadel.unready_until = now + seconds


def instance_ready(bench: Bench) -> Condition:
    """Return the Ready condition of the instance."""
    found = find(bench.cluster.instances["default"].status.conditions, "Ready")
    assert found is not None
    return found


def recheck(bench: Bench) -> None:
    """Let a policy pass report a failure, so that the instance is checked again."""
    assert bench.parts is not None
    bench.parts.connections.recheck("default")


def test_a_proof_that_meets_it_is_no_trouble_of_the_instance() -> None:
    """The check succeeds as soon as GETs do; meanwhile nothing is reported."""
    bench = small_role()

    async def lived() -> None:
        await bench.start()
        await bench.live(60)
        begun = len(bench.steps.log)
        busy_for(bench, WINDOW)
        recheck(bench)
        await bench.live(WINDOW)
        assert calls(bench, begun).count("identify") >= WINDOW / 6
        assert ("status", "default") not in bench.steps.log[begun:]
        assert ("status", "own/q") not in bench.steps.log[begun:]
        await bench.live(10)
        proven = len(bench.steps.log)
        await bench.live(CHECK_INTERVAL / 2)
        assert "identify" not in calls(bench, proven)
        assert ("status", "default") not in bench.steps.log[begun:]
        assert instance_ready(bench).status == "True"
        await bench.stop()

    run(lived())


def test_policies_write_while_the_proof_waits() -> None:
    """The last check still counts, because the repair that it waits for must go on."""
    bench = small_role()

    async def lived() -> None:
        await bench.start()
        await bench.live(60)
        bench.cluster.put_instance(
            with_spec(bench.cluster.instances["default"], poll_interval=10)
        )
        bench.instance_seen(bench.cluster.instances["default"])
        bench.zitadel.own["o"] = True
        bench.zitadel.lost["o"] = None

        async def written(write: Callable[[], Awaitable[WriteResult]]) -> WriteResult:
            result = await write()
            recheck(bench)
            return result

        instead_of(bench.zitadel.write).around(written)
        await bench.live(60)
        assert bench.zitadel.own["o"] is False
        assert bench.recorder.notices.count(("p", "ReadSideRepaired")) == 1
        assert instance_ready(bench).status == "True"
        await bench.stop()

    run(lived())


def test_it_is_reported_when_it_lasts() -> None:
    """After a minute it is reported, because somebody has to check ZITADEL."""
    bench = small_role()

    async def lived() -> None:
        await bench.start()
        await bench.live(60)
        busy_for(bench, 200)
        recheck(bench)
        await bench.live(55)
        assert instance_ready(bench).status == "True"
        await bench.live(20)
        assert instance_ready(bench).reason == Reason.UNEXPECTED_ANSWER
        await bench.live(240)
        assert instance_ready(bench).status == "True"
        busy_for(bench, WINDOW)
        recheck(bench)
        await bench.live(WINDOW + 5)
        assert instance_ready(bench).status == "True"
        await bench.stop()

    run(lived())


@pytest.mark.parametrize("what", ["restart", "credential", "after an outage"])
def test_without_a_proof_that_holds_policies_wait_quietly(what: str) -> None:
    """After a restart, or with another credential, nothing is reported or written."""
    bench = small_role()

    async def lived() -> None:
        await bench.start()
        await bench.live(60)
        if what == "after an outage":
            gone = TransientError(Reason.UNREACHABLE, "no answer")
            bench.zitadel.failure = gone
            recheck(bench)
            await bench.live(60)
            bench.zitadel.failure = None
        begun = len(bench.steps.log)
        busy_for(bench, WINDOW)
        if what == "credential":
            bench.cluster.secrets["s"] = {"token": b"other"}
            bench.zitadel.accepted = "other"
        if what == "restart":
            assert bench.engine is not None
            await bench.engine.stop()
            await bench.start()
        recheck(bench)
        await bench.live(WINDOW - 1)
        writes = [s for s in bench.steps.log[begun:] if s[0] == "status"]
        assert writes == []
        bench.zitadel.change("o", True, OTHERS)
        await bench.live(120)
        assert instance_ready(bench).status == "True"
        assert {bench.ready(name).status for name in ("p", "q")} == {"True"}
        await bench.stop()

    run(lived())


def test_an_instance_that_never_worked_says_it_at_once() -> None:
    """The person who sets it up is waiting for a result."""
    bench = small_role()

    async def lived() -> None:
        bench.zitadel.unready_until = WINDOW
        await bench.start()
        await bench.live(5)
        assert instance_ready(bench).reason == Reason.UNEXPECTED_ANSWER
        await bench.live(60)
        assert instance_ready(bench).status == "True"
        await bench.stop()

    run(lived())


def test_a_write_that_looks_again_after_its_wait_waits_for_the_read_side() -> None:
    """The second GET meets it; the pass starts again and reports nothing."""
    bench = bench_with(policy("p"), policy("q", "o2"), method=DriftMethod.POLL)

    async def lived() -> None:
        await bench.start()
        await bench.live(60)
        zitadel = bench.zitadel
        write = zitadel.write

        async def slow(
            organization_id: str | None,
            action: Action,
            *,
            settings: Settings,
            before: ObservedPolicy | None = None,
        ) -> WriteResult:
            if organization_id == "o":
                await asyncio.sleep(3)
                busy_for(bench, WINDOW)
            return await write(
                organization_id, action, settings=settings, before=before
            )

        instead_of(zitadel.write).call(slow)
        begun = len(bench.steps.log)
        for name in ("p", "q"):
            stored = bench.policy(name)
            bench.seen(replace(stored, settings=mails(True), generation=2))
            await bench.live(0.5)
        await bench.live(WINDOW)
        assert ("status", "own/q") not in bench.steps.log[begun:]
        await bench.live(30)
        assert zitadel.own == {"o": True, "o2": True}
        writes = [s for s in bench.steps.log[begun:] if s == ("status", "own/q")]
        assert len(writes) == 1
        await bench.stop()

    run(lived())


def test_the_second_get_of_a_contradiction_waits_for_the_read_side() -> None:
    """Another target's insert comes between the write and its repetition."""
    bench = bench_with(policy("p"), method=DriftMethod.POLL)
    bench.cluster.put_instance(INSTANCE)

    async def lived() -> None:
        await bench.start()
        await bench.live(60)
        zitadel = bench.zitadel
        zitadel.to_lose.append(("changed", "o"))
        last = zitadel.last_policy_event

        async def lagging_event(organization_id: str | None) -> ZitadelEvent | None:
            busy_for(bench, 10)
            return await last(organization_id)

        instead_of(zitadel.last_policy_event).call(lagging_event)
        begun = len(bench.steps.log)
        stored = bench.policy("p")
        bench.seen(replace(stored, settings=mails(True), generation=2))
        await bench.live(60)
        assert zitadel.own == {"o": True}
        writes = [s for s in bench.steps.log[begun:] if s == ("status", "own/p")]
        assert len(writes) == 1
        await bench.stop()

    run(lived())
