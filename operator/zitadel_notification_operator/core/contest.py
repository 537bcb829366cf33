"""Somebody keeps changing it back: when to go on, and when to wait longer each time.

A second cluster, Terraform or a person may want something else than the spec. Five
corrections within an hour are no accident; after them each waits twice as long as the
one before (design of `InSync` reason `Contested`).
"""

from dataclasses import dataclass, replace
from typing import Self

LIMIT = 5
"""Corrections within `WINDOW` after which a target is contested."""

WINDOW = 3600.0
"""Seconds."""

FIRST = 600.0
"""Seconds before the first correction of a contested target."""

LONGEST = 6 * 3600.0
"""Seconds between two corrections at most."""


@dataclass(frozen=True, slots=True)
class Contest:
    """What is known of the corrections of one policy; times are the event loop's.

    Attributes:
        generation: Of the spec; another one begins anew.
        times: Of the corrections within the last hour, oldest first.
        level: How many corrections were made since it is contested.
    """

    generation: int
    times: tuple[float, ...] = ()
    level: int = 0

    @property
    def is_contested(self) -> bool:
        """Whether corrections wait."""
        return self.level > 0

    @property
    def distance(self) -> float:
        """Seconds between the last correction and the next."""
        return min(FIRST * 2 ** (self.level - 1), LONGEST) if self.level else 0.0

    def wait(self, now: float) -> float:
        """Return the seconds until the next correction may be made."""
        if not self.is_contested or not self.times:
            return 0.0
        return max(self.times[-1] + self.distance - now, 0.0)

    def left(self, now: float) -> float:
        """Return the seconds without a correction after which it is over."""
        if not self.times:
            return 0.0
        return max(self.times[-1] + self.distance + WINDOW - now, 0.0)

    def corrected(self, now: float) -> Self:
        """Return it after one more correction."""
        if self.is_contested:
            return replace(self, times=(now,), level=self.level + 1)
        recent = tuple(time for time in self.times if now - time < WINDOW)
        times = (*recent, now)
        return replace(self, times=times, level=int(len(times) >= LIMIT))
