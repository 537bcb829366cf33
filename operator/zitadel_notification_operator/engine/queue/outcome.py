"""How a pass ends, and when its key is due again."""

from dataclasses import dataclass
from typing import Self

from .engine_metrics import Result
from .workqueue import Priority


class StalePass(Exception):
    """What the pass is about has changed while it ran; a new pass follows."""


class RequeueAfter(Exception):
    """The pass has to wait for ZITADEL, and reports nothing meanwhile.

    Attributes:
        seconds: Seconds until the next pass.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a pass.

    Attributes:
        again_in: Seconds until the next pass; None waits for a change.
        priority: Priority of the next pass.
        failed: Whether it counts as one more failure in a row.
        asked: Seconds that the other side asked us to wait after a failure.
        counts_as: TERMINAL or FAULT, which the other fields do not show, or None.
    """

    again_in: float | None = None
    priority: Priority = Priority.DRIFT
    failed: bool = False
    asked: float | None = None
    counts_as: Result | None = None

    @classmethod
    def requeue_after(cls, seconds: float) -> Self:
        """Return the end of a good pass, with a drift check after some seconds."""
        return cls(seconds, Priority.DRIFT)

    @classmethod
    def retry_in(cls, seconds: float) -> Self:
        """Return the end of a pass that must be repeated after a fixed time."""
        return cls(seconds, Priority.RETRY)

    @classmethod
    def stall(cls, seconds: float) -> Self:
        """Return the end of a pass that fails until somebody acts; retried slowly."""
        return cls(seconds, Priority.RETRY, counts_as=Result.TERMINAL)

    @classmethod
    def back_off(cls, asked: float | None = None) -> Self:
        """Return the end of a failed pass; the queue's backoff says when to retry."""
        return cls(priority=Priority.RETRY, failed=True, asked=asked)

    @property
    def result(self) -> Result:
        """The result that the metrics count for this pass."""
        if self.counts_as is not None:
            return self.counts_as
        if self.failed:
            return Result.ERROR
        if self.again_in is None:
            return Result.SUCCESS
        return Result.REQUEUE if self == AGAIN else Result.REQUEUE_AFTER


SOON = 0.2
"""Seconds until a superseded pass is repeated, unless a change comes earlier."""

WAIT = Outcome()
"""There is nothing to do until something changes."""

AGAIN = Outcome(SOON, Priority.RETRY)
"""A superseded pass: the next one begins anew."""
