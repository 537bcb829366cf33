"""The record by which replicas agree on a writer, and the times they keep.

Why no two replicas can write at one time is told in ADR 0010. Nothing here compares
the wall clocks of two machines: the times in the record are for people.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from math import ceil

SHORTEST = 5.0
LONGEST = 3600.0
"""Seconds that a lease may be asked to last."""

MARGIN = 1.0
"""Seconds before its lease ends at which a leader's last write must have ended."""

RELEASED = 1
"""Seconds that a lease without a holder lasts; the record must name a number."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The times of an election; seconds.

    Attributes:
        duration: For how long a renewal holds.
    """

    duration: float

    @property
    def renew_deadline(self) -> float:
        """After this long without a renewal the leader gives up."""
        return self.duration * 2 / 3

    @property
    def retry_period(self) -> float:
        """Between two looks at the record, and between two renewals."""
        return self.duration * 2 / 15

    @property
    def call_timeout(self) -> float:
        """For one try; two of them fit into the renew deadline."""
        return max(1.0, self.renew_deadline / 2)


@dataclass(frozen=True, slots=True)
class Lease:
    """The record as stored.

    Attributes:
        holder: Who has it; empty when it was released.
        duration: Seconds for which others must leave it alone after it changed.
        acquired: By the holder's wall clock; None when never.
        renewed: Likewise.
        transitions: How often it went from one holder to another.
        version: As Kubernetes counts changes; empty for one that is not stored yet.
    """

    holder: str
    duration: int
    acquired: datetime | None = None
    renewed: datetime | None = None
    transitions: int = 0
    version: str = ""

    def taken(self, holder: str, timing: Timing, now: datetime) -> "Lease":
        """Return what to store to have it, or to have it for longer."""
        duration = ceil(timing.duration)
        if holder == self.holder:
            return replace(self, duration=duration, renewed=now)
        return Lease(
            holder, duration, now, now, self.transitions + 1, version=self.version
        )

    def released(self, now: datetime) -> "Lease":
        """Return what to store so that nobody has to wait for its end."""
        return replace(self, holder="", duration=RELEASED, renewed=now)


def first_lease(holder: str, timing: Timing, now: datetime) -> Lease:
    """Return what to store where there is no record yet."""
    return Lease(holder, ceil(timing.duration), now, now)
