"""A clock that tests move ahead, so that nobody has to wait."""

from datetime import UTC, datetime, timedelta

from .events import Clock


class MovableClock:
    """A clock that is ahead of another one by as much as it was moved."""

    def __init__(self, base: Clock) -> None:
        """Start with the time of another clock.

        Args:
            base: Returns the time of the other clock.
        """
        self._base = base
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        """Return the time."""
        return self._base() + self._ahead

    def advance(self, length: timedelta) -> None:
        """Move the clock ahead.

        Raises:
            ValueError: The length is negative, or leads beyond the year 9999.
        """
        if length < timedelta():
            raise ValueError("seconds: must not be below 0")
        if length > datetime.max.replace(tzinfo=UTC) - self():
            raise ValueError("seconds: must not lead beyond the year 9999")
        self._ahead += length
