"""Others act during a repair, which is no failure of the repair."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Unpack

import pytest

from support.drift import bench_with
from support.engines import Harness, PolicyChanges, policy
from support.fakes import OTHERS, FakeZitadel
from support.replacing import instead_of
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.conditions import find
from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ObservedPolicy,
    WriteOutcome,
    WriteResult,
)
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.settings import Settings
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


def before_write(harness: Harness, number: int, act: Callable[[str], None]) -> None:
    """Run something right before the nth write or DELETE of an organization."""
    zitadel = harness.zitadel
    write, reset = zitadel.write, zitadel.reset
    made: Counter[str] = Counter()

    def count(org: str) -> None:
        made[org] += 1
        if made[org] == number:
            act(org)

    async def counted_write(
        organization_id: str | None,
        action: Action,
        *,
        settings: Settings,
        before: ObservedPolicy | None = None,
    ) -> WriteResult:
        count(organization_id or "")
        return await write(organization_id, action, settings=settings, before=before)

    async def counted_reset(organization_id: str) -> WriteResult:
        count(organization_id)
        return await reset(organization_id)

    instead_of(zitadel.write).call(counted_write)
    instead_of(zitadel.reset).call(counted_reset)


def test_somebody_who_writes_in_the_middle_of_repairs_is_no_failure() -> None:
    """However often: nothing is blocked, and no instance is inconsistent."""
    names = [f"p{number}" for number in range(6)]
    harness = bench_with(*(policy(name, f"o-{name}") for name in names))

    async def lived() -> None:
        await harness.start()
        await harness.live(60)

        def set_false(org: str) -> None:
            harness.zitadel.change(org, False)

        before_write(harness, 3, set_false)
        for name in names:
            harness.zitadel.to_lose.append(("changed", f"o-{name}"))
            edit(harness, name, settings=mails(True))
        await harness.live(60)
        assert set(harness.zitadel.own.values()) == {True}
        assert instance_reason(harness) == Reason.SUCCEEDED
        assert {harness.ready(name).status for name in names} == {"True"}
        await harness.stop()

    run(lived())


def test_an_own_policy_that_others_remove_in_the_middle_is_made_again() -> None:
    """The DELETE of a repair is answered with 404, which is not its aim."""
    harness = bench_with()

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        zitadel = harness.zitadel

        def removed(org: str) -> None:
            zitadel.change(org, None, OTHERS)

        before_write(harness, 3, removed)
        zitadel.to_lose.append(("added", "o"))
        harness.seen(policy("p"))
        await harness.live(60)
        assert zitadel.own == {"o": False}
        assert harness.ready("p").status == "True"
        await harness.stop()

    run(lived())


@pytest.mark.parametrize("ending", [DeletionPolicy.RESET, DeletionPolicy.RESTORE])
def test_an_organization_that_goes_in_the_middle_ends_the_deletion(
    ending: DeletionPolicy,
) -> None:
    """ZITADEL says that the organization is gone, so nothing is left to do."""
    harness = bench_with(replace(policy("p"), deletion=ending))

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        zitadel = harness.zitadel
        gone_from(zitadel, lambda: zitadel.remove("o"), 3)
        zitadel.to_lose.append(("removed", "o"))
        begun = len(harness.steps.log)
        harness.seen(replace(harness.policy("p"), deleting=True))
        await harness.live(10)
        assert harness.cluster.policies == {}
        # No error was reported meanwhile: a repair that nobody needs has not failed.
        assert ("status", "own/p") not in harness.steps.log[begun:]
        assert instance_reason(harness) == Reason.SUCCEEDED
        await harness.stop()

    run(lived())


def gone_from(zitadel: FakeZitadel, remove: Callable[[], None], number: int) -> None:
    """Remove an organization right before the nth write, which then fails."""
    made = 0

    async def counted(call: Callable[[], Awaitable[WriteResult]]) -> WriteResult:
        nonlocal made
        made += 1
        if made == number:
            remove()
        if made >= number:
            return WriteResult(WriteOutcome.ORGANIZATION_GONE)
        return await call()

    instead_of(zitadel.write).around(counted)
    instead_of(zitadel.reset).around(counted)


@pytest.mark.parametrize(
    "refusal",
    [
        TerminalError(Reason.INSUFFICIENT_PERMISSIONS, "HTTP 403"),
        TerminalError(Reason.REQUEST_REFUSED, "HTTP 400"),
        TransientError(Reason.SERVER_ERROR, "HTTP 500"),
    ],
)
def test_a_write_that_is_refused_in_the_middle_is_reported_and_tried_again(
    refusal: OperatorError,
) -> None:
    """After the repair only the value is left that GETs showed before."""
    harness = bench_with(policy("p"), policy("q", "o2"))

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        zitadel, refusing = harness.zitadel, True

        def refused(_: str) -> None:
            if refusing:
                raise refusal

        for number in range(4, 40):
            before_write(harness, number, refused)
        zitadel.to_lose.append(("changed", "o"))
        edit(harness, "p", settings=mails(True))
        await harness.live(60)
        assert zitadel.own["o"] is zitadel.written("o") is False
        assert harness.ready("p").reason == refusal.reason
        zitadel.to_lose.append(("changed", "o2"))
        refusing = False
        edit(harness, "q", settings=mails(True))
        await harness.live(700)
        assert zitadel.own == {"o": True, "o2": True}
        assert {harness.ready(name).status for name in "pq"} == {"True"}
        assert instance_reason(harness) == Reason.SUCCEEDED
        assert not harness.recorder.notices.count(("p", "DriftCorrected"))
        assert harness.recorder.notices.count(("p", "ReadSideRepaired")) == 1
        await harness.stop()

    run(lived())


def test_what_a_deletion_has_done_is_reported_whatever_comes_meanwhile() -> None:
    """The edit to Retain comes during the DELETE: too late, and reported."""
    harness = bench_with(policy("p"))

    async def lived() -> None:
        await harness.start()
        await harness.live(60)

        def retain(_: str) -> None:
            edit(harness, "p", deletion=DeletionPolicy.RETAIN)

        before_write(harness, 1, retain)
        edit(harness, "p", deleting=True)
        await harness.live(30)
        assert harness.cluster.policies == {}
        assert harness.zitadel.own == {}
        assert "inherits the instance's setting again" in harness.recorder.notes[-1]
        await harness.stop()

    run(lived())


def test_records_of_writes_go_with_their_policies() -> None:
    """No GET shows a write, and the object was removed by hand."""
    harness = bench_with(policy("p"))

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        harness.zitadel.stopped = True
        edit(harness, "p", settings=mails(True))
        await harness.live(30)
        key = harness.policy("p").key
        del harness.cluster.policies[key]
        assert harness.engine is not None
        harness.engine.watch_events.gone(policy_key(key))
        await harness.live(10)
        assert harness.parts is not None
        assert len(harness.parts.pending_events) == 0
        await harness.stop()

    run(lived())
