"""GETs that are older than ZITADEL's event log: which are known to be, and since when.

A ZITADEL of several pods may answer from one that lags behind, also after another one
has shown a write (docs/concepts/two-sides.md). What such a GET says was in force
once and is no longer. It is recognized by the last write to the target, or by a newer
event of the log. Everything is in memory only.
"""

from collections.abc import Callable
from dataclasses import dataclass

from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.event_cursor import number_of
from zitadel_notification_operator.core.events import EventId
from zitadel_notification_operator.core.policy import ObservedPolicy, WriteResult
from zitadel_notification_operator.engine.queue.clock import loop_time

LAG = 30.0
"""Seconds for which a GET may be older than a write. After that it is believed: ZITADEL
may have been restored from a backup."""


@dataclass(frozen=True, slots=True)
class _Behind:
    """GETs that are older than an event of the log.

    Attributes:
        event: The event.
        shown: The sequence in the first GET that was older.
        since: The time of that GET, on the event loop's clock.
    """

    event: EventId
    shown: str | None
    since: float


class ReadLag:
    """Remembers by target the last write, and the event that GETs do not show yet."""

    def __init__(self) -> None:
        self._writes: dict[Target, tuple[EventId, float]] = {}
        self._behind: dict[Target, _Behind] = {}
        self._accepted: dict[tuple[Target, str], int] = {}

    def wrote(self, target: Target, result: WriteResult) -> None:
        """Record a write that ZITADEL has accepted."""
        sequence = number_of(result.sequence)
        if sequence is None:
            self._writes.pop(target, None)
        else:
            event = EventId(result.resource_owner, sequence)
            self._writes[target] = event, loop_time()

    def is_older_than_write(self, target: Target, shown: ObservedPolicy | None) -> bool:
        """Return whether a GET is surely older than our last write, and may catch up.

        That the organization inherits proves nothing: somebody may have removed the
        policy since.

        Args:
            target: The target of the GET.
            shown: What the GET returned. Sequences are compared within one aggregate
                only.
        """
        event, at = self._writes.get(target, (None, 0.0))
        if event is None or shown is None or loop_time() - at > LAG:
            return False
        sequence = number_of(shown.sequence)
        if shown.resource_owner != event.aggregate or sequence is None:
            return False
        return sequence < event.sequence and not self.is_accepted(target, event)

    def behind_for(self, target: Target, event: EventId, shown: str | None) -> float:
        """Return for how many seconds GETs have been older than events of the log.

        Args:
            target: The target of the GETs.
            event: The newest event that is known of it.
            shown: The sequence in the last GET. While it does not move, newer events do
                not restart the time.
        """
        known = self._behind.get(target)
        if known is None or (known.event != event and known.shown != shown):
            known = self._behind[target] = _Behind(event, shown, loop_time())
        return loop_time() - known.since

    def caught_up(self, target: Target) -> None:
        """Record that GETs are as new as the log."""
        self._behind.pop(target, None)

    def accept(self, target: Target, event: EventId) -> None:
        """Accept what GETs show, and wait for no event up to this one any longer."""
        key = target, event.aggregate
        self._accepted[key] = max(event.sequence, self._accepted.get(key, 0))
        self._behind.pop(target, None)

    def is_accepted(self, target: Target, event: EventId) -> bool:
        """Return whether GETs are accepted although they are older than an event."""
        return event.sequence <= self._accepted.get((target, event.aggregate), 0)

    def keep(self, is_known: Callable[[Target], bool]) -> None:
        """Forget the targets that no policy is about, and writes of long ago."""
        now = loop_time()
        self._writes = {
            target: (event, at)
            for target, (event, at) in self._writes.items()
            if is_known(target) and now - at <= LAG
        }
        self._behind = {t: b for t, b in self._behind.items() if is_known(t)}
        self._accepted = {k: n for k, n in self._accepted.items() if is_known(k[0])}
