"""How many failures it takes before they are reported.

The rule is in docs/operations/troubleshooting.md.

A single failure proves nothing.
"""

from dataclasses import dataclass

REFUSALS = 3
"""Refusals in a row after which a credential is reported as refused."""

REFUSED_FOR = 20.0
"""The shortest time in seconds between the first and the last of these refusals."""


@dataclass(frozen=True, slots=True)
class FailureStreak:
    """Failures in a row, with no success in between.

    Attributes:
        count: The number of failures.
        since: The time of the first one, in seconds of any one clock.
        last: The time of the last one, on the same clock.
    """

    count: int
    since: float
    last: float

    @property
    def is_verdict(self) -> bool:
        """Whether enough failures came over a long enough time to report them."""
        return self.count >= REFUSALS and self.last - self.since >= REFUSED_FOR


def once_more(streak: FailureStreak | None, now: float) -> FailureStreak:
    """Return the streak with one more failure at this time; None starts a new one."""
    if streak is None:
        return FailureStreak(1, now, now)
    return FailureStreak(streak.count + 1, streak.since, now)
