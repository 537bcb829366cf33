"""What may go wrong with a ZITADEL: faults, lost events, switches, time."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Literal

from zitadel_emulator.behavior import Behavior
from zitadel_emulator.faults import Fault

from .control_path import ControlPath

Loss = Literal["added", "changed", "removed"]


class Trouble(ControlPath):
    """What tests do to the emulated ZITADEL."""

    def cause(self, fault: Fault) -> None:
        """Let requests fail, hang, be slow or be cut, until `clear_faults`.

        If several faults match a request, the oldest one applies.

        Args:
            fault: What happens, to which requests and how often, such as
                `Fault(path="/management", status=503, times=2)`.

        Raises:
            BadControl: A value is not allowed; the text names the field.
        """
        self.control("POST", "faults", asdict(fault))

    def faults(self) -> list[Fault]:
        """Return the active faults; a fault that is used up is none of them."""
        return [Fault(**each) for each in self.control("GET", "faults")]

    def clear_faults(self) -> None:
        """Remove all faults."""
        self.control("DELETE", "faults")

    def lose(self, kind: Loss, organization: str = "", count: int = 1) -> None:
        """Let the read side of ZITADEL miss the next events of a notification policy.

        ZITADEL then answers a write with 200, and GETs go on showing what was there
        before, for good. A real ZITADEL loses events when writes overlap
        (zitadel/zitadel#8517).

        Args:
            kind: Which events: that a policy was added, changed or removed.
            organization: Only events of this organization; empty means of any.
            count: How many events are lost.

        Raises:
            BadControl: A value is not allowed; the text names the field.
        """
        where = {"organization": organization} if organization else {}
        self.control("POST", "losses", {"kind": kind, "count": count, **where})

    def lose_of_instance(
        self, kind: Literal["added", "changed"], count: int = 1
    ) -> None:
        """Let the read side miss the next events of the instance's own policy.

        Args:
            kind: Which events: that the policy was added or changed.
            count: How many events are lost.

        Raises:
            BadControl: A value is not allowed; the text names the field.
        """
        self.control("POST", "losses", {"kind": kind, "count": count, "instance": True})

    def still_to_lose(self) -> int:
        """Return how many events are still to be lost."""
        return sum(each["left"] for each in self.control("GET", "losses"))

    def clear_losses(self) -> None:
        """Lose no more events; those that were lost stay lost."""
        self.control("DELETE", "losses")

    def behave(self, behavior: Behavior) -> None:
        """Set all switches: a read side that lags or has stopped, other builds, ...

        Args:
            behavior: The switches; those that are left out are as at the start, so
                `behave(Behavior())` sets all of them back.

        Raises:
            BadControl: A value is not allowed; the text names the switch.
        """
        self.control("PUT", "behavior", asdict(behavior))

    def behavior(self) -> Behavior:
        """Return the switches as they are now."""
        return Behavior(**self.control("GET", "behavior"))

    def set_database(self, *, down: bool) -> None:
        """Let ZITADEL answer as if its database were down, or end that."""
        self.control("PUT", "database", {"down": down})

    def now(self) -> datetime:
        """Return the time of the emulated ZITADEL, in UTC."""
        return datetime.fromisoformat(self.control("GET", "clock")["time"])

    def advance_clock(self, length: timedelta) -> None:
        """Move the clock of the emulated ZITADEL ahead.

        Tokens and keys expire, and what takes a while by a switch is over. It does not
        shorten the latency of a fault. For a clock that is wrong there is the switch
        `clock_skew_milliseconds`.

        Raises:
            BadControl: The length is negative, or leads beyond the year 9999.
        """
        self.control("POST", "clock", {"seconds": length.total_seconds()})
