"""What `make soak` plans, fits and judges, and that its verdicts can fail."""

from itertools import pairwise
from typing import Any

import pytest

from bench.happenings import FOREIGN_MOST, PERIODS, Kind, lively, planned
from bench.memory_slope import (
    FEWEST,
    MOST_BYTES,
    MOST_MIB,
    NOISE_MIB,
    Sample,
    Slope,
    least_squares,
    slope_of,
    what_leaks,
)
from bench.settling import SHOWN, told, wrong_policy, wrong_status

HALF_AN_HOUR = 1800.0
MIB = 1024 * 1024


def life(leak: float, start: float = 0.0, seconds: int = 600) -> list[Sample]:
    """Return a life of ten minutes, or of less, with 50 calls a second.

    Args:
        leak: Bytes that each call leaves behind.
        start: MiB by which memory grows in the first minute, besides.
        seconds: Its length.
    """
    return [
        Sample(at, 50 * at, 100 + min(at, 60) * start / 60 + 50 * at * leak / MIB)
        for at in range(0, seconds + 1, 2)
    ]


def test_the_same_seed_plans_the_same() -> None:
    """So that a soak that fails can be repeated."""
    assert planned(7, HALF_AN_HOUR, 1000) == planned(7, HALF_AN_HOUR, 1000)
    assert planned(7, HALF_AN_HOUR, 1000) != planned(8, HALF_AN_HOUR, 1000)


def test_each_kind_happens_in_each_of_its_periods() -> None:
    """They are in order, and two restarts leave a life of more than half of the run."""
    plan = planned(1, HALF_AN_HOUR, 1000)
    assert all(one.at <= next_one.at for one, next_one in pairwise(plan))
    for kind, period in PERIODS.items():
        turns = [int(one.at // period) for one in plan if one.kind is kind]
        assert turns == list(range(int(HALF_AN_HOUR // period))), kind
    restarts = [one for one in plan if one.kind is Kind.RESTART]
    assert [one.manner for one in restarts] == ["SIGTERM", "SIGKILL"]
    assert HALF_AN_HOUR - restarts[-1].at >= 12 * 60


def test_a_short_soak_has_each_kind() -> None:
    assert {one.kind for one in planned(1, 120.0, 100)} == set(Kind)


def test_no_policy_is_contested_or_repaired_too_often() -> None:
    """Then corrections would wait for minutes, which is no failure of the operator."""
    foreign: dict[int, int] = {}
    lost: list[int] = []
    for one in planned(3, HALF_AN_HOUR, 100):
        for number, _ in one.changes:
            if one.kind is Kind.FOREIGN:
                foreign[number] = foreign.get(number, 0) + 1
                assert foreign[number] <= FOREIGN_MOST
            else:
                foreign[number] = 0
        if one.kind is Kind.LOSS:
            lost += [number for number, _ in one.changes]
    assert len(lost) == len(set(lost)) > 80


def test_edits_change_something_and_foreign_ones_contradict() -> None:
    """A spec with the value that it has already would be no edit."""
    values = dict.fromkeys(range(100), False)
    for one in planned(3, 600.0, 100):
        for number, value in one.changes:
            assert value is not values[number]
            if one.kind is not Kind.FOREIGN:
                values[number] = value


@pytest.mark.parametrize(
    ("policies", "expected"), [(50, 50), (300, 100), (10_000, 1000)]
)
def test_one_policy_in_ten_is_lively(policies: int, expected: int) -> None:
    assert lively(policies) == expected


def test_a_line_is_fitted() -> None:
    assert least_squares([0, 1, 2, 3], [5, 7, 9, 11]) == pytest.approx(2)
    assert least_squares([4, 4, 4], [1, 2, 3]) == 0


def test_the_slope_is_that_after_the_first_quarter() -> None:
    """Growth in the first minute is no leak."""
    slope = slope_of(life(leak=300, start=40))
    assert slope is not None
    assert slope.bytes_per_call == pytest.approx(300)
    assert slope.seconds == 450
    assert slope.calls == 450 * 50
    assert slope.growth == pytest.approx(450 * 50 * 300 / MIB)
    assert slope.mib_per_hour == pytest.approx(8 * slope.growth)


def test_a_life_that_is_too_short_says_nothing() -> None:
    assert slope_of([]) is None
    assert slope_of(life(0)[: FEWEST - 1]) is None


def slope(growth: float, each: float) -> Slope:
    """Return a slope with a growth in MiB and bytes a call."""
    return Slope(each, growth * 6, growth, 1000, 600.0, 800.0)


def test_flat_memory_is_no_leak() -> None:
    """Neither is noise that is divided by few calls, nor a little for many calls."""
    flat = slope_of(life(leak=0, start=40))
    assert flat is not None
    assert what_leaks(1, flat) == []
    assert what_leaks(1, slope(NOISE_MIB - 0.1, 10 * MOST_BYTES)) == []
    assert what_leaks(1, slope(MOST_MIB - 0.1, MOST_BYTES / 2)) == []
    assert what_leaks(1, slope(-20, -1000)) == []


def test_a_leak_by_call_is_told() -> None:
    """300 bytes a call are 6 MiB in seven minutes."""
    steep = slope_of(life(leak=300))
    assert steep is not None
    [sentence] = what_leaks(3, steep)
    assert "life 3 grew by 6.4 MiB in 450 s and 22500 calls (300 bytes" in sentence


def test_a_short_life_is_not_judged() -> None:
    """Its memory has not stopped growing after a quarter of it."""
    short = slope_of(life(leak=3000, seconds=590))
    assert short is not None
    assert what_leaks(1, short) == []


def test_a_leak_by_time_is_told() -> None:
    """With very many calls, a leak by time is a few bytes for each of them."""
    [sentence] = what_leaks(1, slope(MOST_MIB + 1, 5))
    assert sentence.endswith(f"; {MOST_MIB:.0f} MiB are the most.")


def policy(**changes: Any) -> dict[str, Any]:
    """Return a policy that is Ready, but for changes of its condition."""
    ready = {"type": "Ready", "status": "True", "observedGeneration": 3, **changes}
    return {
        "metadata": {"name": "p", "generation": 3},
        "spec": {"organization": {"id": "28"}, "passwordChange": True},
        "status": {"passwordChange": True, "conditions": [ready]},
    }


def test_a_ready_policy_is_right() -> None:
    assert wrong_status(policy()) == []


def test_a_policy_that_has_not_settled_is_told() -> None:
    refused = policy(status="False", reason="Unreachable", message="cut")
    assert wrong_status(refused) == ["p is not Ready: Unreachable, cut"]
    old = wrong_status(policy(observedGeneration=2))
    assert old == ["p is Ready for generation 2 instead of 3."]
    new = policy()
    del new["status"]
    assert wrong_status(new) == ["p has no condition Ready."]
    going = policy()
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert wrong_status(going) == ["p is still being deleted."]
    other = policy()
    other["status"]["passwordChange"] = False
    [sentence] = wrong_status(other)
    assert "another value" in sentence


@pytest.mark.parametrize("side", ["shown", "written", "inherited"])
def test_both_sides_of_zitadel_are_judged(side: str) -> None:
    held = {"passwordChange": True}
    view: dict[str, Any] = {"shown": held, "written": held, "inherited": False}
    assert wrong_policy("28", True, view) == []
    view[side] = True if side == "inherited" else {"passwordChange": False}
    [sentence] = wrong_policy("28", True, view)
    assert sentence.startswith("Organization 28 shall have True")


def test_a_deleted_policy_must_be_reset() -> None:
    default = {"passwordChange": True}
    view: dict[str, Any] = {"shown": default, "written": None, "inherited": True}
    assert wrong_policy("28", None, view) == []
    [sentence] = wrong_policy("28", None, {**view, "inherited": False})
    assert sentence.startswith("Organization 28 still has a policy")


def test_many_mistakes_are_told_in_few_lines() -> None:
    assert told(["a"]) == ["a"]
    many = told([str(number) for number in range(SHOWN + 5)])
    assert many[SHOWN:] == ["5 more are not as they should be."]
