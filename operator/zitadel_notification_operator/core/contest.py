"""When somebody keeps reverting our corrections: detect it, then correct less often.

A second cluster, Terraform or a person may want a different value than the spec. Five
corrections within an hour are no coincidence. From then on the target is contested,
and each correction waits twice as long as the one before (see the `InSync` reason
`Contested` in docs/concepts/drift.md).
"""

from dataclasses import dataclass, replace
from typing import Self

LIMIT = 5
"""The number of corrections within `WINDOW` that makes a target contested."""

WINDOW = 3600.0
"""The time in seconds within which corrections are counted."""

FIRST = 600.0
"""Seconds to wait before the first correction of a contested target."""

LONGEST = 6 * 3600.0
"""The longest time in seconds between two corrections."""


@dataclass(frozen=True, slots=True)
class Contest:
    """The recent corrections of one policy. All times are those of the event loop.

    Attributes:
        generation: The generation of the spec. A new generation starts a new count.
        times: When the corrections of the last hour were made, oldest first.
        level: How many corrections were made since the target became contested, 0 if it
            is not contested.
    """

    generation: int
    times: tuple[float, ...] = ()
    level: int = 0

    @property
    def is_contested(self) -> bool:
        """Whether the target is contested, so that corrections have to wait."""
        return self.level > 0

    @property
    def distance(self) -> float:
        """Seconds that must pass between the last correction and the next one."""
        return min(FIRST * 2 ** (self.level - 1), LONGEST) if self.level else 0.0

    def wait(self, now: float) -> float:
        """Return the seconds until the next correction may be made."""
        if not self.is_contested or not self.times:
            return 0.0
        return max(self.times[-1] + self.distance - now, 0.0)

    def left(self, now: float) -> float:
        """Return the seconds without a correction after which the contest is over."""
        if not self.times:
            return 0.0
        return max(self.times[-1] + self.distance + WINDOW - now, 0.0)

    def corrected(self, now: float) -> Self:
        """Return a copy that includes one more correction, made now."""
        if self.is_contested:
            return replace(self, times=(now,), level=self.level + 1)
        recent = tuple(time for time in self.times if now - time < WINDOW)
        times = (*recent, now)
        return replace(self, times=times, level=int(len(times) >= LIMIT))
