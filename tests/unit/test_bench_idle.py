"""`make bench-idle` fails for what an operator at rest must not do."""

import pytest

from bench.at_rest import MEANINGS, broken

QUIET = dict.fromkeys(MEANINGS, 0.0)


def test_a_quiet_run_is_not_broken() -> None:
    """Times and other counts decide nothing."""
    assert broken({**QUIET, "drift_one.max": 900.0, "idle_all.searches": 7.0}) == []


@pytest.mark.parametrize(
    "figure", ["idle_all.writes", "restart.writes", "failover.late"]
)
def test_a_write_at_rest_breaks_it(figure: str) -> None:
    """The sentence has the meaning, the name and the number."""
    (sentence,) = broken({**QUIET, figure: 3.0})
    assert sentence == f"{MEANINGS[figure]} ({figure}): 3 instead of 0"


@pytest.mark.parametrize("figure", sorted(MEANINGS))
def test_what_was_not_measured_breaks_it(figure: str) -> None:
    """A part of the run that is left out must not pass for a quiet one."""
    left = {name: count for name, count in QUIET.items() if name != figure}
    (sentence,) = broken(left)
    assert sentence.endswith(f"({figure}): was not measured")
