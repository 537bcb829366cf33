"""A read side that answers no GET of a policy for some seconds.

A credential that may not read the instance learns ZITADEL's id from the default policy,
so the check of the instance meets the error, too. That is no failure of the instance.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from support.drift import bench_with, calls
from support.engines import INSTANCE, Harness, policy, with_spec
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


def small_role() -> Harness:
    """Return a harness whose credential may not read the instance."""
    harness = bench_with(policy("p"), policy("q", "o2"), method=DriftMethod.POLL)
    harness.zitadel.reads_instance = False
    return harness


def busy_for(harness: Harness, seconds: float) -> None:
    """Let GETs of policies fail for some seconds from now on."""
    now = asyncio.get_running_loop().time()
    harness.zitadel.unready_until = now + seconds


def instance_ready(harness: Harness) -> Condition:
    """Return the Ready condition of the instance."""
    found = find(harness.cluster.instances["default"].status.conditions, "Ready")
    assert found is not None
    return found


def recheck(harness: Harness) -> None:
    """Let a policy pass report a failure, so that the instance is checked again."""
    assert harness.parts is not None
    harness.parts.connections.recheck("default")


def test_a_proof_that_meets_it_is_no_trouble_of_the_instance() -> None:
    """The check succeeds as soon as GETs do; meanwhile nothing is reported."""
    harness = small_role()

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        begun = len(harness.steps.log)
        busy_for(harness, WINDOW)
        recheck(harness)
        await harness.live(WINDOW)
        assert calls(harness, begun).count("identify") >= WINDOW / 6
        assert ("status", "default") not in harness.steps.log[begun:]
        assert ("status", "own/q") not in harness.steps.log[begun:]
        await harness.live(10)
        proven = len(harness.steps.log)
        await harness.live(CHECK_INTERVAL / 2)
        assert "identify" not in calls(harness, proven)
        assert ("status", "default") not in harness.steps.log[begun:]
        assert instance_ready(harness).status == "True"
        await harness.stop()

    run(lived())


def test_policies_write_while_the_proof_waits() -> None:
    """The last check still counts, because the repair that it waits for must go on."""
    harness = small_role()

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        harness.cluster.put_instance(
            with_spec(harness.cluster.instances["default"], poll_interval=10)
        )
        harness.instance_seen(harness.cluster.instances["default"])
        harness.zitadel.own["o"] = True
        harness.zitadel.lost["o"] = None

        async def written(write: Callable[[], Awaitable[WriteResult]]) -> WriteResult:
            result = await write()
            recheck(harness)
            return result

        instead_of(harness.zitadel.write).around(written)
        await harness.live(60)
        assert harness.zitadel.own["o"] is False
        assert harness.recorder.notices.count(("p", "ReadSideRepaired")) == 1
        assert instance_ready(harness).status == "True"
        await harness.stop()

    run(lived())


def test_it_is_reported_when_it_lasts() -> None:
    """After a minute it is reported, because somebody has to check ZITADEL."""
    harness = small_role()

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        busy_for(harness, 200)
        recheck(harness)
        await harness.live(55)
        assert instance_ready(harness).status == "True"
        await harness.live(20)
        assert instance_ready(harness).reason == Reason.UNEXPECTED_ANSWER
        await harness.live(240)
        assert instance_ready(harness).status == "True"
        busy_for(harness, WINDOW)
        recheck(harness)
        await harness.live(WINDOW + 5)
        assert instance_ready(harness).status == "True"
        await harness.stop()

    run(lived())


@pytest.mark.parametrize("what", ["restart", "credential", "after an outage"])
def test_without_a_proof_that_holds_policies_wait_quietly(what: str) -> None:
    """After a restart, or with another credential, nothing is reported or written."""
    harness = small_role()

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        if what == "after an outage":
            gone = TransientError(Reason.UNREACHABLE, "no answer")
            harness.zitadel.failure = gone
            recheck(harness)
            await harness.live(60)
            harness.zitadel.failure = None
        begun = len(harness.steps.log)
        busy_for(harness, WINDOW)
        if what == "credential":
            harness.cluster.secrets["s"] = {"token": b"other"}
            harness.zitadel.accepted = "other"
        if what == "restart":
            assert harness.engine is not None
            await harness.engine.stop()
            await harness.start()
        recheck(harness)
        await harness.live(WINDOW - 1)
        writes = [s for s in harness.steps.log[begun:] if s[0] == "status"]
        assert writes == []
        harness.zitadel.change("o", True, OTHERS)
        await harness.live(120)
        assert instance_ready(harness).status == "True"
        assert {harness.ready(name).status for name in ("p", "q")} == {"True"}
        await harness.stop()

    run(lived())


def test_an_instance_that_never_worked_says_it_at_once() -> None:
    """The person who sets it up is waiting for a result."""
    harness = small_role()

    async def lived() -> None:
        harness.zitadel.unready_until = WINDOW
        await harness.start()
        await harness.live(5)
        assert instance_ready(harness).reason == Reason.UNEXPECTED_ANSWER
        await harness.live(60)
        assert instance_ready(harness).status == "True"
        await harness.stop()

    run(lived())


def test_a_write_that_looks_again_after_its_wait_waits_for_the_read_side() -> None:
    """The second GET meets it; the pass starts again and reports nothing."""
    harness = bench_with(policy("p"), policy("q", "o2"), method=DriftMethod.POLL)

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        zitadel = harness.zitadel
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
                busy_for(harness, WINDOW)
            return await write(
                organization_id, action, settings=settings, before=before
            )

        instead_of(zitadel.write).call(slow)
        begun = len(harness.steps.log)
        for name in ("p", "q"):
            stored = harness.policy(name)
            harness.seen(replace(stored, settings=mails(True), generation=2))
            await harness.live(0.5)
        await harness.live(WINDOW)
        assert ("status", "own/q") not in harness.steps.log[begun:]
        await harness.live(30)
        assert zitadel.own == {"o": True, "o2": True}
        writes = [s for s in harness.steps.log[begun:] if s == ("status", "own/q")]
        assert len(writes) == 1
        await harness.stop()

    run(lived())


def test_the_second_get_of_a_contradiction_waits_for_the_read_side() -> None:
    """Another target's insert comes between the write and its repetition."""
    harness = bench_with(policy("p"), method=DriftMethod.POLL)
    harness.cluster.put_instance(INSTANCE)

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        zitadel = harness.zitadel
        zitadel.to_lose.append(("changed", "o"))
        last = zitadel.last_policy_event

        async def lagging_event(organization_id: str | None) -> ZitadelEvent | None:
            busy_for(harness, 10)
            return await last(organization_id)

        instead_of(zitadel.last_policy_event).call(lagging_event)
        begun = len(harness.steps.log)
        stored = harness.policy("p")
        harness.seen(replace(stored, settings=mails(True), generation=2))
        await harness.live(60)
        assert zitadel.own == {"o": True}
        writes = [s for s in harness.steps.log[begun:] if s == ("status", "own/p")]
        assert len(writes) == 1
        await harness.stop()

    run(lived())
