"""A stopped read side: nothing is reported as repaired, and little is written.

A stopped read side shows no write, so no write of the operator helps. GETs distinguish
it from one that has lost a single event: they show nothing newer at all.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Unpack

import pytest

from support.drift import bench_with
from support.engines import INSTANCE, Harness, PolicyChanges, policy, with_spec
from support.fakes import OTHERS
from support.replacing import instead_of
from support.settings import mailing, mails
from support.virtual_time import run
from zitadel_notification_operator.core.conditions import find
from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.identity import Capabilities
from zitadel_notification_operator.core.instance_object import DriftMethod
from zitadel_notification_operator.core.policy import (
    ObservedPolicy,
    WriteOutcome,
    WriteResult,
)
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.settings import Settings

PER_TEN_MINUTES = 8
"""Writes that a whole read side that stands still may get of us in ten minutes."""


def bench_that_reads_often() -> Harness:
    """Return a harness with one policy, whose instance reads events every 5 s."""
    harness = bench_with(policy("p"))
    often = with_spec(INSTANCE, method=DriftMethod.AUTO, events_interval=5)
    harness.cluster.put_instance(often)
    return harness


def edit(harness: Harness, name: str, **changes: Unpack[PolicyChanges]) -> None:
    """Store a new spec of a policy."""
    stored = harness.policy(name)
    later = replace(stored, generation=stored.generation + 1)
    harness.seen(replace(later, **changes))


def event_reasons(harness: Harness) -> Counter[str]:
    """Return how often each reason was recorded."""
    return Counter(reason for _, reason in harness.recorder.notices)


def instance_reason(harness: Harness) -> str:
    """Return the reason of the instance's Ready condition."""
    ready = find(harness.cluster.instances["default"].status.conditions, "Ready")
    assert ready is not None
    return str(ready.reason)


@pytest.mark.parametrize("value", [True, None])
def test_what_was_not_seen_to_move_is_not_called_repaired(value: bool | None) -> None:
    """After a foreign change the log and GETs both have the wanted value."""
    harness = bench_with(policy("p"))

    async def lived() -> None:
        await harness.start()
        await harness.live(100)
        begun = len(harness.zitadel.writes())
        harness.zitadel.stopped = True
        harness.zitadel.change("o", value, OTHERS)
        await harness.live(1000)
        made = [step[0] for step in harness.zitadel.writes()[begun:]]
        # The PUT is answered with 404 if the policy is removed.
        assert made == (["Update"] if value else ["Update", "Create"])
        assert "ReadSideRepaired" not in event_reasons(harness)
        assert harness.zitadel.written("o") is harness.zitadel.own["o"] is False
        assert harness.ready("p").status == "True"
        await harness.stop()

    run(lived())


def test_a_repair_that_was_stopped_is_not_reported_when_nothing_has_moved() -> None:
    """Between two steps the spec goes back to what GETs always showed."""
    harness = bench_that_reads_often()

    async def lived() -> None:
        await harness.start()
        await harness.live(100)
        zitadel = harness.zitadel
        write = zitadel.write
        made: list[tuple[bool | None, WriteOutcome]] = []

        async def stopped(
            organization_id: str | None,
            action: Action,
            *,
            settings: Settings,
            before: ObservedPolicy | None = None,
        ) -> WriteResult:
            result = await write(
                organization_id, action, settings=settings, before=before
            )
            made.append((mailing(settings), result.answer))
            if made[-1] == (False, WriteOutcome.WRITTEN) and len(made) == 3:
                zitadel.change("o", True, OTHERS)
                edit(harness, "p", settings=mails(False))
            return result

        instead_of(zitadel.write).call(stopped)
        zitadel.stopped = True
        zitadel.change("o", True, OTHERS)
        await harness.live(15)
        edit(harness, "p", settings=mails(True))
        await harness.live(200)
        told_before = [(True, WriteOutcome.NOT_CHANGED)] * 2
        assert made == [*told_before, *[(False, WriteOutcome.WRITTEN)] * 2]
        assert zitadel.written("o") is zitadel.own["o"] is False
        assert "ReadSideRepaired" not in event_reasons(harness)
        await harness.stop()

    run(lived())


def test_a_pod_that_lags_hides_no_repair() -> None:
    """GETs show the write half a second later; the event before it was lost."""
    harness = bench_with(policy("p"))

    async def lived() -> None:
        await harness.start()
        await harness.live(100)
        zitadel = harness.zitadel
        zitadel.to_lose.append(("changed", "o"))
        zitadel.change("o", True, OTHERS)

        def late(project: Callable[[], None]) -> None:
            zitadel.stopped = True
            project()
            asyncio.get_running_loop().call_later(0.5, zitadel.catch_up)

        # This is where the read side moves.
        instead_of(zitadel._project).around(late)  # noqa: SLF001
        await harness.live(120)
        assert zitadel.written("o") is zitadel.own["o"] is False
        assert event_reasons(harness)["ReadSideRepaired"] == 1
        await harness.stop()

    run(lived())


@pytest.mark.parametrize("value", [True, None])
def test_changes_of_others_that_no_get_shows_are_no_flood_either(
    value: bool | None,
) -> None:
    """For twelve changed policies a few writes show that nothing changes.

    A removal is recognized by a write that is answered with 404, so it takes one write
    for each.
    """
    names = [f"p{number}" for number in range(12)]
    harness = bench_with(*(policy(name, f"o-{name}") for name in names))

    async def lived() -> None:
        await harness.start()
        await harness.live(100)
        zitadel = harness.zitadel
        zitadel.stopped = True
        for name in names:
            zitadel.change(f"o-{name}", value, OTHERS)
        for period in range(6):
            before = len(zitadel.writes())
            await harness.live(600)
            most = PER_TEN_MINUTES
            if value is None and period == 0:
                most += len(names)
            assert len(zitadel.writes()) - before <= most
        assert instance_reason(harness) == Reason.ZITADEL_INCONSISTENT
        assert "ReadSideRepaired" not in event_reasons(harness)
        zitadel.catch_up()
        await harness.live(200)
        assert zitadel.own == {f"o-{name}": False for name in names}
        assert {harness.ready(name).status for name in names} == {"True"}
        assert instance_reason(harness) == Reason.SUCCEEDED
        await harness.stop()

    run(lived())


def test_changes_of_others_that_are_lost_again_and_again_are_left_in_the_end() -> None:
    """Each repairing write counts: after three in an hour it is only reported."""
    harness = bench_with(policy("p"))

    async def lived() -> None:
        await harness.start()
        await harness.live(100)
        zitadel = harness.zitadel
        before = len(zitadel.writes())
        for _ in range(4):
            zitadel.to_lose.append(("changed", "o"))
            zitadel.change("o", True, OTHERS)
            await harness.live(200)
        assert len(zitadel.writes()) - before == 3
        assert event_reasons(harness)["ReadSideRepaired"] == 3
        stalled = find(harness.policy("p").status.conditions, "Stalled")
        assert stalled is not None
        assert stalled.reason == Reason.ZITADEL_INCONSISTENT
        sequence = zitadel.events_log[-1].id.sequence
        assert f"the log's last event of it has sequence {sequence}" in stalled.message
        assert "GETs, which are older, say passwordChange false" in stalled.message
        assert "docs/concepts/two-sides.md" in stalled.message
        await harness.live(3600)
        assert zitadel.written("o") is zitadel.own["o"] is False
        assert harness.ready("p").status == "True"
        await harness.stop()

    run(lived())


def test_who_waits_for_its_turn_to_be_posted_over_writes_nothing() -> None:
    """Only one removal in ten minutes is repaired; others do not retry."""
    names = [f"p{number}" for number in range(5)]
    harness = bench_with(*(policy(name, f"o-{name}") for name in names))

    async def lived() -> None:
        await harness.start()
        await harness.live(100)
        zitadel = harness.zitadel
        for name in names:
            zitadel.to_lose.append(("removed", f"o-{name}"))
            zitadel.change(f"o-{name}", None, OTHERS)
        before = len(zitadel.writes())
        await harness.live(600)
        # One write with 404 for each, and the POST of the first one.
        assert len(zitadel.writes()) - before == len(names) + 1
        reasons = Counter(harness.ready(name).reason for name in names)
        assert reasons == {Reason.ZITADEL_INCONSISTENT: 4, Reason.SUCCEEDED: 1}
        await harness.live(4 * 660)
        assert {harness.ready(name).status for name in names} == {"True"}
        assert [zitadel.written(f"o-{name}") for name in names] == [False] * 5
        assert event_reasons(harness)["ReadSideRepaired"] == len(names)
        # Each of them gets another 404 when it may be repaired.
        assert len(zitadel.writes()) - before <= 3 * len(names)
        await harness.stop()

    run(lived())


@pytest.mark.parametrize("count", [2, 5])
def test_a_new_try_comes_after_ten_minutes_and_no_flood(count: int) -> None:
    """In an hour each edit is written once, and a repair takes up to four writes."""
    names = [f"p{number}" for number in range(count)]
    harness = bench_with(*(policy(name, f"o-{name}") for name in names))

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        zitadel = harness.zitadel
        zitadel.stopped = True
        for name in names:
            edit(harness, name, settings=mails(True))
        made: list[int] = []
        for _ in range(6):
            before = len(zitadel.writes())
            await harness.live(600)
            made.append(len(zitadel.writes()) - before)
            assert instance_reason(harness) == Reason.ZITADEL_INCONSISTENT
        assert made[0] <= count + PER_TEN_MINUTES
        assert all(1 <= number <= PER_TEN_MINUTES for number in made[1:])
        assert "ReadSideRepaired" not in event_reasons(harness)
        zitadel.catch_up()
        await harness.live(300)
        assert {harness.ready(name).status for name in names} == {"True"}
        assert instance_reason(harness) == Reason.SUCCEEDED
        await harness.stop()

    run(lived())


@pytest.mark.parametrize("count", [2, 12])
def test_without_the_event_log_there_is_no_flood_either(count: int) -> None:
    """Each edit may be written twice to be sure; ZITADEL refuses the second write."""
    names = [f"p{number}" for number in range(count)]
    harness = bench_with(*(policy(name, f"o-{name}") for name in names))
    harness.zitadel.capabilities = Capabilities(False, True, True)

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        zitadel = harness.zitadel
        zitadel.stopped = True
        for name in names:
            edit(harness, name, settings=mails(True))
        made: list[int] = []
        taken = -len(zitadel.events_log)
        for period in range(6):
            before = len(zitadel.writes())
            await harness.live(600)
            made.append(len(zitadel.writes()) - before)
            if period == 0:
                taken += len(zitadel.events_log)
            assert instance_reason(harness) == Reason.ZITADEL_INCONSISTENT
        assert taken <= count + PER_TEN_MINUTES
        assert made[0] <= 2 * count + PER_TEN_MINUTES
        assert all(1 <= number <= PER_TEN_MINUTES for number in made[1:])
        zitadel.catch_up()
        await harness.live(900)
        assert {harness.ready(name).status for name in names} == {"True"}
        assert instance_reason(harness) == Reason.SUCCEEDED
        await harness.stop()

    run(lived())


def test_what_shows_up_within_half_a_minute_is_no_loss() -> None:
    """The operator waits for a read side that is late by less."""
    harness = bench_that_reads_often()

    async def lived() -> None:
        await harness.start()
        await harness.live(100)
        zitadel = harness.zitadel
        before = len(zitadel.writes())
        zitadel.stopped = True
        zitadel.change("o", True, OTHERS)
        await harness.live(25)
        assert len(zitadel.writes()) == before
        zitadel.catch_up()
        await harness.live(60)
        assert zitadel.writes()[before:] == [("Update", "o")]
        assert zitadel.own == {"o": False}
        assert event_reasons(harness)["DriftCorrected"] == 1
        assert "ReadSideRepaired" not in event_reasons(harness)
        await harness.stop()

    run(lived())


def test_who_waits_for_its_turn_writes_at_once_when_the_reads_move() -> None:
    """The removal was only late: a GET shows it, so nothing prevents the write."""
    harness = bench_with(policy("p", "o-p"), policy("q", "o-q"))

    async def lived() -> None:
        await harness.start()
        await harness.live(100)
        zitadel = harness.zitadel
        zitadel.stopped = True
        for org in ("o-p", "o-q"):
            zitadel.change(org, None, OTHERS)
        await harness.live(120)
        reasons = {harness.ready(name).reason for name in "pq"}
        assert reasons == {Reason.SUCCEEDED, Reason.ZITADEL_INCONSISTENT}
        zitadel.catch_up()
        await harness.live(90)
        assert zitadel.own == {"o-p": False, "o-q": False}
        assert {harness.ready(name).status for name in "pq"} == {"True"}
        await harness.stop()

    run(lived())


def test_the_instance_says_it_as_soon_as_a_policy_has_to_wait_for_it() -> None:
    """Two writes that changed nothing need no more work; the third waits."""
    harness = bench_that_reads_often()

    async def lived() -> None:
        await harness.start()
        await harness.live(100)
        zitadel = harness.zitadel
        zitadel.stopped = True
        for _ in range(3):
            assert instance_reason(harness) == Reason.SUCCEEDED
            assert harness.ready("p").status == "True"
            zitadel.change("o", True, OTHERS)
            for _ in range(60):
                await harness.live(1)
                if harness.ready("p").status != "True":
                    break
        await harness.live(1)
        assert harness.ready("p").reason == Reason.ZITADEL_INCONSISTENT
        assert instance_reason(harness) == Reason.ZITADEL_INCONSISTENT
        await harness.stop()

    run(lived())
