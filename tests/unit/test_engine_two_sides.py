"""A read side that loses an event: noticed, repaired, reported; no false alarm.

Each story loses one event of ZITADEL's projection. At its end GETs and the event log
agree on the wanted value, at whichever call the process was killed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from support.drift import bench_with, calls
from support.engines import INSTANCE, Harness, PolicyChanges, policy, with_spec
from support.fakes import OTHERS, OURSELVES
from support.loss_stories import (
    STORIES,
    LossStory,
    create,
    delete,
    edit,
    end,
    live,
    stale_row,
)
from support.replacing import instead_of
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.conditions import find
from zitadel_notification_operator.core.identity import Capabilities, User
from zitadel_notification_operator.core.instance_object import DriftMethod
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ManagementPolicy,
    ObservedPolicy,
    WriteOutcome,
    WriteResult,
)
from zitadel_notification_operator.core.reasons import Reason

EXTRA = 4
"""Writes that a loss may cost beside the one that was asked for."""


Moves = list[tuple[int, bool | None]]
"""The steps at which writes of ours have changed what GETs show, and to what."""


def moves_by_us(harness: Harness, story: LossStory) -> Moves:
    """Record each change of what GETs show that follows from the operator's writes."""
    moves: Moves = []
    zitadel = harness.zitadel
    change = zitadel.change

    def shown() -> bool | None:
        return zitadel.own.get(story.of) if story.of else zitadel.default

    def noted(org: str, value: bool | None, editor: User = OTHERS) -> int:
        before = shown()
        sequence = change(org, value, editor)
        if editor is OURSELVES and shown() is not before:
            moves.append((len(harness.steps.log), shown()))
        return sequence

    instead_of(zitadel.change).call(noted)
    return moves


def require_one_move(story: LossStory, moves: Moves, begun: int) -> None:
    """Check that GETs changed to the wanted value directly, and to no other."""
    values = [value for step, value in moves if step > begun]
    assert values in ([], [story.value])


def writes_since(harness: Harness, begun: int) -> list[tuple[str, ...]]:
    """Return the operator's writes from that step on."""
    writes = {"Create", "Update", "Reset"}
    return [step for step in harness.steps.log[begun:] if step[0] in writes]


@pytest.mark.parametrize("name", STORIES)
def test_a_loss_is_repaired_within_a_minute(name: str) -> None:
    """It takes four extra writes at most, one report, and no false drift."""
    story, harness = STORIES[name], Harness()

    async def lived() -> None:
        begun = await live(story, harness)
        end(story, harness)
        made = writes_since(harness, begun)
        assert 1 <= len(made) <= 1 + EXTRA
        assert {organization for _, organization in made} == {story.of}
        event_reasons = [reason for _, reason in harness.recorder.notices]
        assert event_reasons.count("ReadSideRepaired") == story.is_reported
        assert not harness.recorder.notices.count(("p", "DriftCorrected"))
        assert "Contested" not in event_reasons
        await harness.stop()

    run(lived())


def _steps_of(story: LossStory) -> tuple[int, int]:
    harness = Harness()

    async def lived() -> tuple[int, int]:
        begun = await live(story, harness)
        await harness.stop()
        return begun, len(harness.steps.log)

    first, last = run(lived())
    return first, last


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("name", STORIES)
def test_killed_at_any_step_it_ends_the_same(name: str, after: bool) -> None:
    """This holds for each call; only the last step changes what GETs show."""
    story = STORIES[name]
    first, last = _steps_of(story)
    for number in range(first, last):
        harness = Harness()
        harness.steps.kill_at, harness.steps.after = number, after
        moves = moves_by_us(harness, story)

        async def lived(harness: Harness = harness, moves: Moves = moves) -> None:
            begun = await live(story, harness)
            await harness.live(60)
            end(story, harness)
            require_one_move(story, moves, begun)
            made = writes_since(harness, begun)
            assert len(made) <= 1 + 2 * EXTRA
            assert {organization for _, organization in made} <= {story.of}
            await harness.stop()

        run(lived())


@pytest.mark.parametrize("name", STORIES)
def test_only_the_last_step_changes_what_is_in_force(name: str) -> None:
    """Before it, GETs show the same as before."""
    story, harness = STORIES[name], Harness()
    moves = moves_by_us(harness, story)

    async def lived() -> None:
        begun = await live(story, harness)
        end(story, harness)
        require_one_move(story, moves, begun)
        await harness.stop()

    run(lived())


def without_events(harness: Harness) -> None:
    """Remove the permission to read events."""
    harness.zitadel.capabilities = Capabilities(False, True, True)


def test_without_the_event_log_it_takes_longer() -> None:
    """After three contradictions over thirty seconds comes the same repair."""
    harness = Harness()
    without_events(harness)

    async def lived() -> None:
        await harness.start()
        await harness.live(5)
        harness.zitadel.to_lose.append(("added", "o"))
        create(harness)
        await harness.live(25)
        assert harness.zitadel.own == {}
        ready = harness.ready("p")
        assert (ready.status, ready.reason) == ("False", Reason.ZITADEL_INCONSISTENT)
        assert find(harness.policy("p").status.conditions, "Stalled") is None
        await harness.live(30)
        assert harness.zitadel.own == {"o": False}
        assert harness.ready("p").status == "True"
        await harness.stop()

    run(lived())


def test_somebody_who_is_always_faster_is_no_loss() -> None:
    """Somebody changes it after each GET: the log has an event in between."""
    harness = bench_with(policy("p"))

    async def lived() -> None:
        zitadel = harness.zitadel
        observe = zitadel.observe

        async def faster(organization_id: str | None) -> ObservedPolicy | None:
            found = await observe(organization_id)
            if zitadel.written("o") is None:
                zitadel.change("o", True, OTHERS)
            else:
                zitadel.change("o", None, OTHERS)
            return found

        instead_of(zitadel.observe).call(faster)
        await harness.start()
        await harness.live(120)
        assert not [r for _, r in harness.recorder.notices if r == "ReadSideRepaired"]
        assert harness.ready("p").reason == Reason.UNEXPECTED_ANSWER
        instead_of(zitadel.observe).call(observe)
        await harness.live(120)
        assert zitadel.own == {"o": False}
        assert harness.ready("p").status == "True"
        await harness.stop()

    run(lived())


def test_a_pod_that_lags_half_a_second_is_no_loss() -> None:
    """There is one write, as without the lag."""
    harness = Harness()

    async def lived() -> None:
        await harness.start()
        await harness.live(5)
        zitadel = harness.zitadel

        def late(project: Callable[[], None]) -> None:
            zitadel.stopped = True
            project()
            asyncio.get_running_loop().call_later(0.5, zitadel.catch_up)

        # This is where the read side moves.
        instead_of(zitadel._project).around(late)  # noqa: SLF001
        create(harness)
        await harness.live(10)
        assert [s[0] for s in zitadel.writes()] == ["Create"]
        edit(harness)
        await harness.live(10)
        assert [s[0] for s in zitadel.writes()] == ["Create", "Update"]
        assert harness.ready("p").status == "True"
        delete(harness)
        await harness.live(10)
        assert [s[0] for s in zitadel.writes()] == ["Create", "Update", "Reset"]
        assert harness.cluster.policies == {}
        assert not [r for _, r in harness.recorder.notices if r == "ReadSideRepaired"]
        await harness.stop()

    run(lived())


def test_a_read_side_that_stands_still_gets_no_flood_of_writes() -> None:
    """A hundred edits take a write each and eight more; the instance reports it."""
    count = 100
    harness = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(count)))

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        harness.zitadel.stopped = True
        before = len(harness.zitadel.writes())
        for number in range(count):
            stored = harness.policy(f"p{number}")
            harness.seen(replace(stored, settings=mails(True), generation=2))
        await harness.live(300)
        assert len(harness.zitadel.writes()) - before <= count + 2 * EXTRA
        reported = harness.cluster.instances["default"].status
        ready = find(reported.conditions, "Ready")
        stalled = find(reported.conditions, "Stalled")
        assert ready is not None
        assert stalled is not None
        assert ready.reason == stalled.reason == Reason.ZITADEL_INCONSISTENT
        assert harness.ready("p7").reason == Reason.ZITADEL_INCONSISTENT
        harness.zitadel.catch_up()
        await harness.live(150)
        states = {harness.ready(f"p{n}").status for n in range(count)}
        assert states == {"True"}
        reported = harness.cluster.instances["default"].status
        ready = find(reported.conditions, "Ready")
        assert ready is not None
        assert ready.status == "True"
        assert len(harness.zitadel.writes()) - before <= count + 2 * EXTRA
        await harness.stop()

    run(lived())


def test_three_repairs_an_hour_and_then_somebody_has_to_act() -> None:
    """The read side misses each edit; the fourth loss is reported only."""
    harness = bench_with(policy("p"))

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        value = False
        for generation in range(2, 6):
            value = not value
            harness.zitadel.to_lose = [("changed", "o")]
            stored = harness.policy("p")
            harness.seen(replace(stored, settings=mails(value), generation=generation))
            await harness.live(60)
        assert harness.recorder.notices.count(("p", "ReadSideRepaired")) == 3
        ready = harness.ready("p")
        assert ready.reason == Reason.ZITADEL_INCONSISTENT
        assert "two-sides.md" in ready.message
        assert 'ZITADEL answered "not changed" to a PUT' in ready.message
        assert "a GET afterwards says passwordChange true" in ready.message
        stalled = find(harness.policy("p").status.conditions, "Stalled")
        assert stalled is not None
        before = len(harness.zitadel.writes())
        await harness.live(600)
        assert len(harness.zitadel.writes()) - before <= 3
        await harness.live(3600)
        assert harness.zitadel.own == {"o": False}
        assert harness.ready("p").status == "True"
        await harness.stop()

    run(lived())


@pytest.mark.parametrize("how", ["suspend", "Observe", "Retain"])
def test_a_repair_stops_when_it_is_no_longer_asked_for(how: str) -> None:
    """It stops between two steps; what is in force has not changed."""
    harness = bench_with(policy("p"))

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        zitadel = harness.zitadel
        zitadel.to_lose.append(("removed" if how == "Retain" else "changed", "o"))

        async def edited(write: Callable[[], Awaitable[WriteResult]]) -> WriteResult:
            result = await write()
            made = [s[0] for s in zitadel.writes()][1:]
            if made in (["Update"] * 3, ["Reset", "Reset", "Create"]):
                # The first step of the repair was made and answered with 200.
                assert result.answer is WriteOutcome.WRITTEN
                stored = harness.policy("p")
                edits: dict[str, PolicyChanges] = {
                    "suspend": {"suspended": True},
                    "Observe": {"management": ManagementPolicy.OBSERVE},
                    "Retain": {"deletion": DeletionPolicy.RETAIN},
                }
                changed = replace(stored, generation=stored.generation + 1)
                harness.seen(replace(changed, **edits[how]))
            return result

        instead_of(zitadel.write).around(edited)
        if how == "Retain":
            delete(harness)
        else:
            edit(harness)
        await harness.live(120)
        made = [s[0] for s in zitadel.writes()][1:]
        assert zitadel.own == {"o": False}
        steps = ["Update"] * 3 if how != "Retain" else ["Reset", "Reset", "Create"]
        assert made == steps
        await harness.stop()

    run(lived())


@pytest.mark.parametrize("how", ["Observe", "suspended"])
def test_nothing_is_repaired_for_who_does_not_manage(how: str) -> None:
    """The status shows what a GET says, and nothing else happens."""
    harness = Harness()
    stale_row(True)(harness)
    only = replace(policy("p"), management=ManagementPolicy.OBSERVE)
    if how == "suspended":
        only = replace(policy("p"), suspended=True)
    harness.cluster.put(only)

    async def lived() -> None:
        await harness.start()
        await harness.live(100)
        harness.zitadel.to_lose.append(("added", "o"))
        harness.zitadel.change("o", False, OTHERS)
        await harness.live(200)
        assert harness.zitadel.writes() == []
        if how == "Observe":
            assert harness.ready("p").status == "True"
            assert harness.policy("p").status.settings == mails(True)
        await harness.stop()

    run(lived())


def test_others_wait_quietly_while_an_insert_is_retried() -> None:
    """Their statuses do not change, and the instance is not checked."""
    harness = bench_with(policy("p"), policy("q", "o2"), method=DriftMethod.POLL)
    harness.cluster.put_instance(with_spec(INSTANCE, poll_interval=10))

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        stale_row(True)(harness)
        begun = len(harness.steps.log)
        await harness.live(60)
        assert harness.zitadel.own["o"] is False
        after = harness.steps.log[begun:]
        assert ("status", "own/q") not in after
        assert ("status", "default") not in after
        assert "identify" not in calls(harness, begun)
        await harness.stop()

    run(lived())


def test_a_row_is_posted_over_once_in_ten_minutes() -> None:
    """It stops all GETs of policies for seconds; a second repair waits."""
    harness = Harness()
    for number in range(2):
        harness.zitadel.own[f"o{number}"] = True
        harness.zitadel.lost[f"o{number}"] = None
        harness.cluster.put(policy(f"p{number}", f"o{number}"))

    async def lived() -> None:
        await harness.start()
        await harness.live(120)
        states = sorted(harness.ready(f"p{n}").reason for n in range(2))
        assert states == [Reason.SUCCEEDED, Reason.ZITADEL_INCONSISTENT]
        await harness.live(600)
        assert harness.zitadel.own == {"o0": False, "o1": False}
        await harness.stop()

    run(lived())


def test_the_verifying_get_may_fail_and_the_drift_is_reported_all_the_same() -> None:
    """ZITADEL accepted the write; it is reported once a GET shows it."""
    harness = bench_with(policy("p"))

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        zitadel = harness.zitadel

        async def written(write: Callable[[], Awaitable[WriteResult]]) -> WriteResult:
            result = await write()
            zitadel.unready_until = asyncio.get_running_loop().time() + 100
            return result

        instead_of(zitadel.write).around(written)
        zitadel.change("o", True, OTHERS)
        await harness.live(400)
        assert harness.recorder.notices.count(("p", "DriftCorrected")) == 1
        assert harness.policy("p").status.last_drift is not None
        await harness.stop()

    run(lived())
