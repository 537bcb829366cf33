"""How far ZITADEL's event log was read, and which events are new.

Searches overlap, because some events become visible late; what was seen before is left
out by aggregate and sequence. The last event that was dealt with must be in the
overlap: where it is missing, ZITADEL no longer keeps what came after it (audit-log
retention).
"""

from collections.abc import Iterable
from datetime import timedelta

from zitadel_notification_operator.core.events import (
    OVERLAP,
    Cursor,
    EventId,
    EventKind,
    ZitadelEvent,
    parse_moment,
)
from zitadel_notification_operator.core.objects import PolicyStatus


class Feed:
    """The reading of one instance's events.

    Args:
        cursor: Where an earlier process stopped; None where nothing was read yet.
    """

    def __init__(self, cursor: Cursor | None = None) -> None:
        self.cursor = cursor
        self._expected = cursor
        self._stood_since: float | None = None
        self._lookback = OVERLAP
        self._seen: dict[EventId, str] = {}

    def since(self, now: float) -> str | None:
        """Return where the next search begins; None: at the beginning.

        Args:
            now: Seconds of any clock that only goes forward. Once the cursor has stood
                for the overlap, nothing can come late any more: a burst that it ended
                is not read again each time.
        """
        if self.cursor is None:
            return None
        if self._stood_since is None:
            self._stood_since = now
        stands = now - self._stood_since > OVERLAP.total_seconds()
        return (
            self.cursor.just_before() if stands else self.cursor.since(self._lookback)
        )

    def begin_at(self, newest: ZitadelEvent | None, seconds: float) -> None:
        """Begin without a past.

        Args:
            newest: The last event there is now; None: there is none.
            seconds: For how long policies were looked at before this: what happened
                meanwhile is new, whatever our clock says, because no event is younger
                than now.
        """
        self._lookback = OVERLAP + timedelta(seconds=seconds)
        self._move(Cursor.at(newest) if newest else None)
        self._expected = self.cursor

    def is_broken(self, found: Iterable[ZitadelEvent]) -> bool:
        """Return whether the answer lacks the event that the last one ended with."""
        expected = self._expected
        return expected is not None and expected.id not in {e.id for e in found}

    def take(self, found: Iterable[ZitadelEvent]) -> list[ZitadelEvent]:
        """Take the answer of a search; return the events that are new."""
        new = []
        for event in found:
            if event.id in self._seen:
                continue
            self._seen[event.id] = event.time
            new.append(event)
            if self.cursor is None or _is_later(event.time, self.cursor.time):
                self._move(Cursor.at(event))
        self._expected = self.cursor
        self._lookback = OVERLAP
        self._forget()
        return new

    def _move(self, cursor: Cursor | None) -> None:
        self.cursor, self._stood_since = cursor, None

    def _forget(self) -> None:
        """Drop what no later search can bring again."""
        if self.cursor is None:
            return
        oldest = parse_moment(self.cursor.time) - OVERLAP
        for id_, time in list(self._seen.items()):
            if parse_moment(time) < oldest:
                del self._seen[id_]


def _is_later(one: str, other: str) -> bool:
    """Compare moments, not texts: ZITADEL cuts zeros at the end."""
    return parse_moment(one) >= parse_moment(other)


def is_known(status: PolicyStatus, event: ZitadelEvent) -> bool:
    """Return whether a policy's status already tells what came of an event.

    Sequences count within one aggregate, so they say nothing when the policy in force
    is another owner's (ZITADEL: an organization that inherits shows the instance's).
    """
    if event.kind is EventKind.ORGANIZATION_REMOVED:
        return False
    sequence = status.sequence or ""
    return (
        status.resource_owner == event.id.aggregate
        and sequence.isdigit()
        and int(sequence) >= event.id.sequence
    )
