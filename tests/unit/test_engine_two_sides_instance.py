"""The instance's policy has no DELETE: some losses are only reported."""

from collections.abc import Callable

import pytest

from support.engines import Harness
from support.loss_stories import create_for_instance, loses
from support.virtual_time import run
from zitadel_notification_operator.core.conditions import find
from zitadel_notification_operator.core.reasons import Reason

LIVED = 60.0
"""Seconds from the loss to the first look at how it stands."""


def hidden(value: bool) -> Callable[[Harness], None]:
    """Return a function that creates a hidden policy before the operator starts."""

    def act(harness: Harness) -> None:
        harness.zitadel.lost[""] = value

    return act


HIDDEN = {
    "our own": loses("added", ""),
    "another value": hidden(True),
    "the same value": hidden(False),
}


async def lose_all(harness: Harness, hide: Callable[[Harness], None]) -> int:
    """Let the read side miss the instance's first policy; return the steps before."""
    harness.zitadel.default = None
    hide(harness)
    await harness.start()
    await harness.live(5)
    begun = len(harness.steps.log)
    create_for_instance(harness)
    await harness.live(LIVED)
    return begun


def require_only_reported(harness: Harness) -> None:
    """No GET shows a policy, nothing was repaired, and the status says so."""
    assert harness.zitadel.default is None
    ready = harness.ready("p")
    assert (ready.status, ready.reason) == ("False", Reason.ZITADEL_INCONSISTENT)
    assert '"already exists" to a POST' in ready.message
    assert "a GET afterwards says that there is no policy" in ready.message
    assert "no call by which the instance's policy could be removed" in ready.message
    assert "two-sides.md" in ready.message
    assert find(harness.policy("p").status.conditions, "Stalled") is not None
    assert "ReadSideRepaired" not in [r for _, r in harness.recorder.notices]
    assert {step[0] for step in harness.zitadel.writes()} == {"Create"}


@pytest.mark.parametrize("name", HIDDEN)
def test_a_missed_first_policy_of_the_instance_is_only_reported(name: str) -> None:
    """POST is refused and no GET shows it; when one does, all continues."""
    harness = Harness()

    async def lived() -> None:
        begun = await lose_all(harness, HIDDEN[name])
        require_only_reported(harness)
        made = [s for s in harness.steps.log[begun:] if s in harness.zitadel.writes()]
        assert len(made) == 2
        await harness.live(600)
        require_only_reported(harness)
        # There is a pass every five minutes, with no write but the POST that it needs.
        assert len(harness.zitadel.writes()) <= 2 + 2
        harness.zitadel.catch_up()
        await harness.live(310)
        assert harness.zitadel.default is harness.zitadel.written("") is False
        assert harness.ready("p").status == "True"
        assert "ReadSideRepaired" not in [r for _, r in harness.recorder.notices]
        await harness.stop()

    run(lived())


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("name", HIDDEN)
def test_killed_at_any_step_it_is_only_reported(name: str, after: bool) -> None:
    """Another process comes to the same result."""
    first, last = _steps_of(name)
    for number in range(first, last):
        harness = Harness()
        harness.steps.kill_at, harness.steps.after = number, after

        async def lived(harness: Harness = harness) -> None:
            await lose_all(harness, HIDDEN[name])
            await harness.live(LIVED)
            require_only_reported(harness)
            await harness.stop()

        run(lived())


def _steps_of(name: str) -> tuple[int, int]:
    harness = Harness()

    async def lived() -> tuple[int, int]:
        begun = await lose_all(harness, HIDDEN[name])
        await harness.stop()
        return begun, len(harness.steps.log)

    first, last = run(lived())
    return first, last
