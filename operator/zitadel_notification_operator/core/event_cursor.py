"""How far ZITADEL's event log was read, and which events are new.

Searches overlap because some events become visible late. Events that were already seen
are recognized by aggregate and sequence and left out. The overlap must contain the last
event that was processed. If it does not, ZITADEL no longer keeps the events after it
(audit-log retention), or the answer was cut.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from .events import (
    OVERLAP,
    Cursor,
    EventId,
    EventKind,
    ZitadelEvent,
    moment_of,
    parse_moment,
)
from .instance_object import InstanceStatus
from .policy_object import PolicyStatus


class EventCursor:
    """The position in the event log of one instance.

    Args:
        cursor: Where an earlier process stopped; None if nothing was read yet.
    """

    def __init__(self, cursor: Cursor | None = None) -> None:
        self.cursor = cursor
        self._expected = cursor
        self._stood_since: float | None = None
        self._asked_at = 0.0
        self._looked_back_at = float("-inf")
        self._lookback = OVERLAP
        self._seen: dict[EventId, datetime | None] = {}

    def since(self, now: float) -> str | None:
        """Return where the next search begins, or None for the beginning of the log.

        A search looks back from the cursor by the overlap. Once a search has done so
        after the cursor had not moved for as long as the overlap, no late event is
        possible any more. Later searches then begin right before the cursor, so that a
        burst of events just before it is not read again each time.

        Args:
            now: Seconds of any clock that never goes backward.
        """
        self._asked_at = now
        if self.cursor is None:
            return None
        if self._stood_since is None:
            self._stood_since = now
        if self._is_settled():
            return self.cursor.just_before()
        return self.cursor.since(self._lookback)

    def begin_at(self, newest: ZitadelEvent | None, seconds: float) -> None:
        """Start reading without a stored cursor.

        Args:
            newest: The last event in the log now; None if the log has none.
            seconds: For how long policies have been reconciled already. Events of that
                time count as new. This is right whatever the operator's clock says,
                because no event is younger than now.
        """
        self._lookback = OVERLAP + timedelta(seconds=seconds)
        readable = newest is not None and moment_of(newest.time) is not None
        self._move(Cursor.at(newest) if newest is not None and readable else None)
        self._expected = self.cursor

    def is_broken(self, found: Iterable[ZitadelEvent]) -> bool:
        """Return whether the answer lacks the last event of the previous answer."""
        expected = self._expected
        return expected is not None and expected.id not in {e.id for e in found}

    def take(self, found: Iterable[ZitadelEvent]) -> list[ZitadelEvent]:
        """Record the answer to a search. Return the events that are new.

        An event whose time cannot be parsed is returned once and does not move the
        cursor.
        """
        if not self._is_settled():
            self._looked_back_at = self._asked_at
        new, shown = [], set()
        for event in found:
            shown.add(event.id)
            if event.id in self._seen:
                continue
            moment = moment_of(event.time)
            self._seen[event.id] = moment
            new.append(event)
            if moment is not None and self._is_newest(moment):
                self._move(Cursor.at(event))
        self._expected = self.cursor
        self._lookback = OVERLAP
        self._forget(shown)
        return new

    def _is_settled(self) -> bool:
        """Return whether a search has looked back since no event can come late."""
        if self._stood_since is None:
            return False
        return self._looked_back_at - self._stood_since > OVERLAP.total_seconds()

    def _is_newest(self, moment: datetime) -> bool:
        """Compare parsed times, because ZITADEL omits trailing zeros in its texts."""
        return self.cursor is None or moment >= parse_moment(self.cursor.time)

    def _move(self, cursor: Cursor | None) -> None:
        self.cursor, self._stood_since = cursor, None

    def _forget(self, shown: set[EventId]) -> None:
        """Drop the events that no later search can return again."""
        if self.cursor is None:
            return
        oldest = parse_moment(self.cursor.time) - OVERLAP
        for id_, moment in list(self._seen.items()):
            if moment is None:
                if id_ not in shown:
                    del self._seen[id_]
            elif moment < oldest:
                del self._seen[id_]


def stored_cursor(status: InstanceStatus, zitadel_id: str) -> Cursor | None:
    """Return where an earlier process stopped, or None if the status does not say.

    Args:
        status: The status of the instance.
        zitadel_id: The id of the ZITADEL that answers now. A cursor of another ZITADEL
            is useless, because its events have other times and sequence numbers.
    """
    if not status.drift_cursor or status.instance_id != zitadel_id:
        return None
    return Cursor.from_text(status.drift_cursor)


def is_in_order(found: Sequence[ZitadelEvent]) -> bool:
    """Return whether no event is older than the one before it.

    ZITADEL sorts events by position, but an event's time is the start of its
    transaction. If the times are not in order, an answer that was divided into pages by
    time may lack events.
    """
    moments = [moment_of(event.time) for event in found]
    known = [moment for moment in moments if moment is not None]
    return known == sorted(known) and len(known) == len(moments)


def is_known(status: PolicyStatus, event: ZitadelEvent) -> bool:
    """Return whether a policy's status is as new as the event, or newer.

    Sequence numbers count within one aggregate. They say nothing if the policy in force
    belongs to another owner: for an organization that inherits, ZITADEL returns the
    instance's policy.
    """
    if event.kind is EventKind.ORGANIZATION_REMOVED:
        return False
    if status.resource_owner != event.id.aggregate:
        return False
    known = number_of(status.sequence)
    return known is not None and known >= event.id.sequence


_DIGITS = 20
"""The number of digits of the largest uint64."""


def number_of(text: str | None) -> int | None:
    """Return a sequence as a number, or None if the text is not a uint64."""
    if not text or len(text) > _DIGITS or not (text.isascii() and text.isdigit()):
        return None
    return int(text)
