"""The instance's policy has no DELETE: some losses are only reported."""

from collections.abc import Callable

import pytest

from support.engines import Bench
from support.loss_stories import create_for_instance, loses
from support.virtual_time import run
from zitadel_notification_operator.core.conditions import find
from zitadel_notification_operator.core.reasons import Reason

LIVED = 60.0
"""Seconds from the loss to the first look at how it stands."""


def hidden(value: bool) -> Callable[[Bench], None]:
    """Return a function that creates a hidden policy before the operator starts."""

    def act(bench: Bench) -> None:
        bench.zitadel.lost[""] = value

    return act


HIDDEN = {
    "our own": loses("added", ""),
    "another value": hidden(True),
    "the same value": hidden(False),
}


async def lose_all(bench: Bench, hide: Callable[[Bench], None]) -> int:
    """Let the read side miss the instance's first policy; return the steps before."""
    bench.zitadel.default = None
    hide(bench)
    await bench.start()
    await bench.live(5)
    begun = len(bench.steps.log)
    create_for_instance(bench)
    await bench.live(LIVED)
    return begun


def require_only_reported(bench: Bench) -> None:
    """No GET shows a policy, nothing was repaired, and the status says so."""
    assert bench.zitadel.default is None
    ready = bench.ready("p")
    assert (ready.status, ready.reason) == ("False", Reason.ZITADEL_INCONSISTENT)
    assert '"already exists" to a POST' in ready.message
    assert "a GET afterwards says that there is no policy" in ready.message
    assert "no call by which the instance's policy could be removed" in ready.message
    assert "two-sides.md" in ready.message
    assert find(bench.policy("p").status.conditions, "Stalled") is not None
    assert "ReadSideRepaired" not in [r for _, r in bench.recorder.notices]
    assert {step[0] for step in bench.zitadel.writes()} == {"Create"}


@pytest.mark.parametrize("name", HIDDEN)
def test_a_missed_first_policy_of_the_instance_is_only_reported(name: str) -> None:
    """POST is refused and no GET shows it; when one does, all continues."""
    bench = Bench()

    async def lived() -> None:
        begun = await lose_all(bench, HIDDEN[name])
        require_only_reported(bench)
        made = [s for s in bench.steps.log[begun:] if s in bench.zitadel.writes()]
        assert len(made) == 2
        await bench.live(600)
        require_only_reported(bench)
        # There is a pass every five minutes, with no write but the POST that it needs.
        assert len(bench.zitadel.writes()) <= 2 + 2
        bench.zitadel.catch_up()
        await bench.live(310)
        assert bench.zitadel.default is bench.zitadel.written("") is False
        assert bench.ready("p").status == "True"
        assert "ReadSideRepaired" not in [r for _, r in bench.recorder.notices]
        await bench.stop()

    run(lived())


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("name", HIDDEN)
def test_killed_at_any_step_it_is_only_reported(name: str, after: bool) -> None:
    """Another process comes to the same result."""
    first, last = _steps_of(name)
    for number in range(first, last):
        bench = Bench()
        bench.steps.kill_at, bench.steps.after = number, after

        async def lived(bench: Bench = bench) -> None:
            await lose_all(bench, HIDDEN[name])
            await bench.live(LIVED)
            require_only_reported(bench)
            await bench.stop()

        run(lived())


def _steps_of(name: str) -> tuple[int, int]:
    bench = Bench()

    async def lived() -> tuple[int, int]:
        begun = await lose_all(bench, HIDDEN[name])
        await bench.stop()
        return begun, len(bench.steps.log)

    first, last = run(lived())
    return first, last
