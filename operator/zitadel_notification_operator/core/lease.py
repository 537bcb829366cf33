"""The lease by which replicas elect a leader, and its time limits.

ADR 0010 explains why no two replicas can write at the same time. Nothing here compares
the wall clocks of two machines: the times in the record are for people.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from math import ceil

SHORTEST = 5.0
LONGEST = 3600.0
"""The bounds in seconds for the configured duration of a lease."""

MARGIN = 1.0
"""Seconds before the end of its lease by which a leader's last write must be over."""

RELEASED = 1
"""Seconds that a released lease lasts, since the record must contain a number."""


NAME = "zitadel-notification-operator"
"""The name of the Lease of the operator without a class."""


def name_of_lease(operator_class: str) -> str:
    """Return the name of the Lease by which the replicas of a class elect a leader."""
    return f"{NAME}-{operator_class}" if operator_class else NAME


@dataclass(frozen=True, slots=True)
class Timing:
    """The time limits of leader election, in seconds.

    Attributes:
        duration: For how long a renewal is valid.
    """

    duration: float

    @property
    def renew_deadline(self) -> float:
        """Seconds without a renewal after which the leader steps down."""
        return self.duration * 2 / 3

    @property
    def retry_period(self) -> float:
        """Seconds between two reads of the record, and between two renewals."""
        return self.duration * 2 / 15

    @property
    def call_timeout(self) -> float:
        """Seconds that one try may take. Two tries fit into the renew deadline."""
        return max(1.0, self.renew_deadline / 2)


@dataclass(frozen=True, slots=True)
class Lease:
    """The record as it is stored.

    Attributes:
        holder: The replica that holds the lease; empty if it was released.
        duration: Seconds after the last change of the record during which other
            replicas must not take the lease.
        acquired: When the holder took the lease, by its own wall clock; None if never.
        renewed: When the holder last renewed the lease, by the same clock.
        transitions: How often the lease went from one holder to another.
        version: The resourceVersion; empty for a record that is not stored yet.
    """

    holder: str
    duration: int
    acquired: datetime | None = None
    renewed: datetime | None = None
    transitions: int = 0
    version: str = ""

    def taken(self, holder: str, timing: Timing, now: datetime) -> "Lease":
        """Return the record to store in order to take the lease, or to renew it."""
        duration = ceil(timing.duration)
        if holder == self.holder:
            return replace(self, duration=duration, renewed=now)
        return Lease(
            holder, duration, now, now, self.transitions + 1, version=self.version
        )

    def released(self, now: datetime) -> "Lease":
        """Return the record to store so that no replica has to wait for its end."""
        return replace(self, holder="", duration=RELEASED, renewed=now)


def first_lease(holder: str, timing: Timing, now: datetime) -> Lease:
    """Return the record to store if there is none yet."""
    return Lease(holder, ceil(timing.duration), now, now)
