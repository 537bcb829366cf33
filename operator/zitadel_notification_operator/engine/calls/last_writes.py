"""The last write to each target, by which an older GET is recognized.

A ZITADEL of several pods may answer from one that lags behind, also after another one
has shown a write (notes on ZITADEL, "Consistency"). What such a GET says was in force
once and is no longer.
"""

from collections.abc import Callable

from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.events import EventId
from zitadel_notification_operator.core.feed import number_of
from zitadel_notification_operator.core.policy import ObservedPolicy, WriteResult
from zitadel_notification_operator.engine.queue.clock import loop_time

LAG = 30.0
"""Seconds for which a GET may be older than a write. After that it is believed: ZITADEL
may have been restored from a backup."""


class LastWrites:
    """Remembers the last write to each target, for as long as a pod may lag."""

    def __init__(self) -> None:
        self._known: dict[Target, tuple[EventId, float]] = {}

    def __len__(self) -> int:
        """Return the number of targets of which a write is remembered."""
        return len(self._known)

    def wrote(self, target: Target, result: WriteResult) -> None:
        """Record a write that ZITADEL has accepted."""
        sequence = number_of(result.sequence)
        if sequence is None:
            self._known.pop(target, None)
        else:
            event = EventId(result.resource_owner, sequence)
            self._known[target] = event, loop_time()

    def later_than(
        self, target: Target, shown: ObservedPolicy | None
    ) -> EventId | None:
        """Return the event of the last write if a GET is surely older, else None.

        That the organization inherits proves nothing: somebody may have removed the
        policy since.

        Args:
            target: The target of the GET.
            shown: What the GET returned. Sequences are compared within one aggregate
                only.
        """
        event, at = self._known.get(target, (None, 0.0))
        if event is None or shown is None or loop_time() - at > LAG:
            return None
        told = number_of(shown.sequence)
        if shown.resource_owner != event.aggregate or told is None:
            return None
        return event if told < event.sequence else None

    def keep(self, is_known: Callable[[Target], bool]) -> None:
        """Forget the targets that no policy is about, and what is too long ago."""
        now = loop_time()
        self._known = {
            target: (event, at)
            for target, (event, at) in self._known.items()
            if is_known(target) and now - at <= LAG
        }
