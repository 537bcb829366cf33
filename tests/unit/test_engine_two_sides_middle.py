"""Events in the middle of a repair: after its first step, or during its last one.

The repair of a lost change is a PUT of the value that GETs show and a PUT of the wanted
one. Before it, two PUTs have shown that the change was lost.
"""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Unpack

import pytest

from support.drift import bench_with, calls
from support.engines import INSTANCE, Harness, PolicyChanges, with_spec
from support.engines import policy as own_policy
from support.fakes import OTHERS
from support.replacing import instead_of
from support.settings import mailing, mails
from support.virtual_time import run
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.conditions import Condition, find
from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.instance_object import DriftMethod
from zitadel_notification_operator.core.policy import (
    ObservedPolicy,
    Scope,
    WriteOutcome,
    WriteResult,
)
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.settings import Settings

KEY = PolicyKey("team", "p")
"""Of a policy that needs a grant."""

GRANTS = (Grant(("team",), frozenset({Scope.ORGANIZATION})),)

BEFORE = [
    ("Update", True, WriteOutcome.WRITTEN),
    ("Update", True, WriteOutcome.NOT_CHANGED),
]
FIRST_STEP = ("Update", False, WriteOutcome.WRITTEN)
LAST_STEP = ("Update", True, WriteOutcome.WRITTEN)
RESET = ("Reset", None, WriteOutcome.WRITTEN)

Made = list[tuple[str, bool | None, WriteOutcome]]


def stored(harness: Harness) -> PolicyObject:
    """Return the policy."""
    return harness.cluster.policies[KEY]


def edit(harness: Harness, **changes: Unpack[PolicyChanges]) -> None:
    """Store a new spec of the policy."""
    known = stored(harness)
    later = replace(known, generation=known.generation + 1)
    harness.seen(replace(later, **changes))


def ready(harness: Harness) -> Condition:
    """Return the policy's Ready condition."""
    found = find(stored(harness).status.conditions, "Ready")
    assert found is not None
    return found


def writes_of(
    harness: Harness, acts: dict[tuple[int, bool], Callable[[], None]]
) -> Made:
    """Have the writes noted, with their answers, and things happen with them.

    Args:
        harness: The harness.
        acts: What happens, by the number of the write and whether its response has
            come; if not, ZITADEL is still executing the write.
    """
    made: Made = []
    zitadel = harness.zitadel
    write, reset = zitadel.write, zitadel.reset

    async def noted(
        call: Awaitable[WriteResult], verb: str, value: bool | None
    ) -> WriteResult:
        number = len(made) + 1
        acts.get((number, False), lambda: None)()
        result = await call
        made.append((verb, value, result.answer))
        acts.get((number, True), lambda: None)()
        return result

    async def noted_write(
        organization_id: str | None,
        action: Action,
        *,
        settings: Settings,
        before: ObservedPolicy | None = None,
    ) -> WriteResult:
        call = write(organization_id, action, settings=settings, before=before)
        return await noted(call, str(action), mailing(settings))

    async def noted_reset(organization_id: str) -> WriteResult:
        return await noted(reset(organization_id), "Reset", None)

    instead_of(zitadel.write).call(noted_write)
    instead_of(zitadel.reset).call(noted_reset)
    return made


def take_back(harness: Harness) -> None:
    """Edit the spec to the value that GETs show."""
    edit(harness, settings=mails(False))


def delete(harness: Harness) -> None:
    """Delete the object, which resets the organization."""
    edit(harness, deleting=True)


def revoke(harness: Harness) -> None:
    """Revoke the grant."""
    known = harness.cluster.instances["default"]
    harness.instance_seen(replace(known, grants=(), generation=known.generation + 1))


def lose_lease(harness: Harness) -> None:
    """Let another replica become the leader."""
    assert harness.parts is not None
    harness.parts.lease_guard.time_left = lambda: 0


def regain_lease(harness: Harness) -> None:
    """Become the leader again."""
    assert harness.parts is not None
    harness.parts.lease_guard.time_left = lambda: math.inf


@dataclass(frozen=True)
class Turn:
    """Something that happens in the middle.

    Attributes:
        act: What happens.
        after: The writes that follow if it happens between the two steps.
        late: The writes that follow if it happens during the last step.
        reason: The reason of the policy's Ready condition at the end; None if the
            policy is gone.
    """

    act: Callable[[Harness], None]
    after: Made
    late: Made
    reason: Reason | None


BACK = ("Update", False, WriteOutcome.WRITTEN)

TURNS = {
    "value back": Turn(take_back, [], [BACK], Reason.SUCCEEDED),
    "deleted": Turn(delete, [RESET], [RESET], None),
    "grant lost": Turn(revoke, [], [], Reason.INSTANCE_NOT_FOUND),
    "lease lost": Turn(lose_lease, [], [], Reason.SUCCEEDED),
}


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("name", TURNS)
def test_what_comes_in_the_middle_of_a_repair_stops_it(name: str, late: bool) -> None:
    """No unwanted write follows; a write in progress is not stopped."""
    turn = TURNS[name]
    harness = bench_with()
    granting = with_spec(INSTANCE, method=DriftMethod.AUTO, grants=GRANTS)
    harness.cluster.put_instance(granting)
    harness.cluster.put(replace(own_policy("p"), key=KEY))

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        moment = (4, False) if late else (3, True)
        made = writes_of(harness, {moment: lambda: turn.act(harness)})
        harness.zitadel.to_lose.append(("changed", "o"))
        edit(harness, settings=mails(True))
        await harness.live(60)
        steps = [FIRST_STEP, LAST_STEP] if late else [FIRST_STEP]
        assert made == [*BEFORE, *steps, *(turn.late if late else turn.after)]
        if name == "lease lost":
            # Another replica would continue; here the same one leads again.
            regain_lease(harness)
            await harness.live(60)
            assert made == [*BEFORE, FIRST_STEP, LAST_STEP]
        wanted = {"value back": False, "deleted": None, "lease lost": True}
        value = wanted.get(name, late)
        assert harness.zitadel.own.get("o") is harness.zitadel.written("o") is value
        if turn.reason is None:
            assert KEY not in harness.cluster.policies
        else:
            assert ready(harness).reason == turn.reason
        await harness.stop()

    run(lived())


def test_a_write_that_no_get_shows_is_read_three_times_within_a_second() -> None:
    """It is repeated after two seconds, and not before."""
    harness = bench_with()

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        harness.zitadel.to_lose.append(("added", "o"))
        begun = len(harness.steps.log)
        harness.seen(own_policy("p"))
        await harness.live(1)
        looks = ["Create", *["observe"] * 3, "last policy event"]
        assert calls(harness, begun)[-len(looks) :] == looks
        await harness.live(1.8)
        assert calls(harness, begun)[-len(looks) :] == looks
        await harness.live(0.5)
        # One more GET, and the same write, whose response reveals the loss.
        assert calls(harness, begun).count("Create") == 2
        assert harness.zitadel.own == {}
        await harness.live(30)
        assert harness.zitadel.own == {"o": False}
        await harness.stop()

    run(lived())


def test_corrections_that_are_repaired_are_no_contest() -> None:
    """Somebody changes it three times, and ZITADEL loses each correction."""
    harness = bench_with(own_policy("p"))

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        zitadel = harness.zitadel
        for _ in range(3):
            zitadel.change("o", True, OTHERS)
            zitadel.to_lose.append(("changed", "o"))
            await harness.live(100)
            assert zitadel.own["o"] is zitadel.written("o") is False
        event_reasons = [reason for _, reason in harness.recorder.notices]
        assert event_reasons == ["Created", *["ReadSideRepaired"] * 3]
        assert harness.ready("p").status == "True"
        await harness.stop()

    run(lived())
