"""The operator's own writes that ZITADEL's event log has not shown yet.

They prove that the log is current. A log that comes from a cache, from a replica that
no longer advances, or from a proxy that answers by itself looks like a ZITADEL in
which nothing happens. The operator's own writes must appear in it.
"""

from collections import OrderedDict
from collections.abc import Iterable

from .events import EventId

PATIENCE = 20.0
"""Seconds after which a write that the log does not show counts as missed.

An event may become visible some time after its write.
"""

_MOST = 100
"""The largest number of writes to remember.

The oldest ones are kept: the time since the oldest one tells whether the log stands
still, also while many writes are made.
"""


class UnseenWrites:
    """The writes that the event log of one instance has not shown yet."""

    def __init__(self) -> None:
        self._written: OrderedDict[EventId, float] = OrderedDict()

    def wrote(self, event: EventId, now: float) -> None:
        """Record a write that ZITADEL has answered, at `now` in event loop seconds."""
        if len(self._written) < _MOST:
            self._written[event] = now

    def shown(self, events: Iterable[EventId]) -> None:
        """Drop the writes that the log has shown."""
        for event in events:
            self._written.pop(event, None)

    def is_missed(self, now: float) -> bool:
        """Return whether the log should have shown a write by now but has not."""
        oldest = next(iter(self._written.values()), now)
        return now - oldest > PATIENCE

    def forget(self, before: float = float("inf")) -> None:
        """Drop the writes made before a time, because the log is read from it on."""
        for event, at in list(self._written.items()):
            if at < before:
                del self._written[event]
