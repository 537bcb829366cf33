"""How a pass ends: when the key is to be looked at again."""

from dataclasses import dataclass

from zitadel_notification_operator.engine.meter import Result
from zitadel_notification_operator.engine.workqueue import Priority


class Superseded(Exception):
    """What the pass is about has changed while it ran; a new pass follows."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a pass.

    Attributes:
        again_in: Seconds until the next look; None waits for news.
        priority: Of the next look.
        failed: Count it as one more failure in a row.
        asked: Seconds that the other side asked to wait, for a failure.
        counts_as: What the rest does not tell: TERMINAL or FAULT.
    """

    again_in: float | None = None
    priority: Priority = Priority.DRIFT
    failed: bool = False
    asked: float | None = None
    counts_as: Result | None = None

    @property
    def result(self) -> Result:
        """What the pass is counted as."""
        if self.counts_as is not None:
            return self.counts_as
        if self.failed:
            return Result.ERROR
        if self.again_in is None:
            return Result.SUCCESS
        return Result.REQUEUE if self == AGAIN else Result.REQUEUE_AFTER


SOON = 0.2
"""Seconds after which a superseded pass is made again, unless news comes before."""

WAIT = Outcome()
"""Nothing to do until something changes."""


AGAIN = Outcome(SOON, Priority.RETRY)
"""A superseded pass: the next one begins anew."""


def look_again(seconds: float) -> Outcome:
    """Return the end of a pass that went well: a drift look-up in some seconds."""
    return Outcome(seconds, Priority.DRIFT)


def retry_in(seconds: float) -> Outcome:
    """Return the end of a pass that must be repeated after a fixed time."""
    return Outcome(seconds, Priority.RETRY)


def stall(seconds: float) -> Outcome:
    """Return the end of a pass that fails until somebody acts: tried again slowly."""
    return Outcome(seconds, Priority.RETRY, counts_as=Result.TERMINAL)


def back_off(asked: float | None = None) -> Outcome:
    """Return the end of a pass that failed: the queue's backoff says when."""
    return Outcome(priority=Priority.RETRY, failed=True, asked=asked)
