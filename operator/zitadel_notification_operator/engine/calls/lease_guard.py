"""Guards calls to ZITADEL: none without the lease, and no new ones at shutdown.

It is checked right before each call is sent, so it also stops passes that have waited
for long.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from zitadel_notification_operator.engine.queue.outcome import StalePass

_verifying: ContextVar[bool] = ContextVar("verifying", default=False)


def is_verifying() -> bool:
    """Return whether this task reads the result of its own write."""
    return _verifying.get()


@contextmanager
def verifying() -> Iterator[None]:
    """Let this task read the result of its own write, whatever has happened.

    So a write that was under way when the process began to stop, or when the policy
    lost its claim, is still reported. The original that was found first must reach the
    status, because a new owner in another namespace believes only that.
    """
    mark = _verifying.set(True)
    try:
        yield
    finally:
        _verifying.reset(mark)


class LeaseGuard:
    """The time in which this process may act.

    Args:
        time_left: Returns the seconds for which it may write; 0 or less means not now.
            Without leader election there is no end.
    """

    def __init__(self, time_left: Callable[[], float] = lambda: math.inf) -> None:
        self.time_left = time_left
        self._ending = False
        self._at_end: list[Callable[[], None]] = []

    def at_end(self, call: Callable[[], None]) -> None:
        """Register a callback for the moment when passes are to end."""
        self._at_end.append(call)

    def end(self) -> None:
        """Let passes end with the call that they are making."""
        self._ending = True
        for call in self._at_end:
            call()

    def require_lease(self) -> None:
        """Check that this process may write.

        Raises:
            StalePass: It may not: another replica takes over.
        """
        if self.time_left() <= 0:
            raise StalePass

    def require(self) -> None:
        """Check that a pass may make one more call to ZITADEL.

        Raises:
            StalePass: The process is stopping, or may not write.
        """
        if self._ending and not is_verifying():
            raise StalePass
        self.require_lease()
