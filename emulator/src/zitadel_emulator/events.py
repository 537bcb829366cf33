"""The event log: every change in order, with a sequence number for each aggregate."""

from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

Clock = Callable[[], datetime]
Command = tuple[str, Mapping[str, Any]]
"""The type and payload of an event that has no sequence number and time yet."""

_TICK = timedelta(microseconds=1)


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        aggregate: The id of the organization, user or instance that changed.
        type: The full name, such as `org.policy.notification.added`.
        sequence: The number within the aggregate, from 1 (ZITADEL:
            `details.sequence`).
        time: The time in UTC with microseconds; events of one transaction share it.
        editor: The id of the user who made the change. Empty for the set-up of the
            instance and for changes over the control path.
        payload: The new values.
        owner: The id of the organization or instance that owns the aggregate (ZITADEL:
            `details.resourceOwner`).
    """

    aggregate: str
    type: str
    sequence: int
    time: datetime
    editor: str
    payload: Mapping[str, Any]
    owner: str


class EventLog:
    """The events in order, which almost all of the emulator's state is computed from.

    Attributes:
        all: The events in the order in which they were written.
        by_time: The same events in the order of their times, which searches use.
        clock: Returns the current time.
    """

    def __init__(
        self,
        clock: Clock = utc_now,
        transaction: Callable[[], timedelta] = timedelta,
    ) -> None:
        """Start without events.

        Args:
            clock: Returns the current time.
            transaction: Returns how long ago the transaction began that writes an
                event now. The event gets the time of that beginning, because ZITADEL
                uses `NOW()` of PostgreSQL.
        """
        self.all: list[Event] = []
        self.by_time: list[Event] = []
        self.clock = clock
        self._transaction = transaction
        self._times: set[datetime] = set()
        self._of: dict[str, list[Event]] = defaultdict(list)
        self._listeners: list[Callable[[Event], None]] = []

    def subscribe(self, listener: Callable[[Event], None]) -> None:
        """Register a callback, which gets every new event after it is written."""
        self._listeners.append(listener)

    def append(
        self, aggregate: str, kind: str, editor: str = "", **payload: Any
    ) -> Event:
        """Add one event and return it."""
        return self.push(aggregate, editor, (kind, payload))

    def push(
        self, aggregate: str, editor: str, *commands: Command, owner: str = ""
    ) -> Event:
        """Add the events of one transaction and return the last one.

        Args:
            aggregate: The id of the organization, user or instance that changes.
            editor: The id of the user who makes the change.
            commands: The type and payload of each event; at least one.
            owner: The id of the aggregate's owner; empty if it owns itself.
        """
        now = self._begin()
        own = self._of[aggregate]
        for kind, payload in commands:
            number = own[-1].sequence + 1 if own else 1
            event = Event(
                aggregate, kind, number, now, editor, payload, owner or aggregate
            )
            own.append(event)
            self.all.append(event)
            self._sort_in(event)
            for listener in self._listeners:
                listener(event)
        return own[-1]

    def of(self, aggregate: str) -> Sequence[Event]:
        """Return the events of one aggregate, oldest first; empty if it is unknown."""
        return self._of.get(aggregate, [])

    def forget(self, aggregate: str, prefix: str) -> None:
        """Delete an aggregate's events by prefix of their type.

        Afterwards the log looks as if they had never happened, except that the
        remaining events keep their sequence numbers.
        """
        kept = [e for e in self._of[aggregate] if not e.type.startswith(prefix)]
        gone = {id(e) for e in self._of[aggregate]} - {id(e) for e in kept}
        self._of[aggregate] = kept
        self.all = [e for e in self.all if id(e) not in gone]
        self.by_time = [e for e in self.by_time if id(e) not in gone]

    def _sort_in(self, event: Event) -> None:
        if not self.by_time or self.by_time[-1].time <= event.time:
            self.by_time.append(event)
        else:
            insort(self.by_time, event, key=time_of)

    def _begin(self) -> datetime:
        """Return the time of a new transaction.

        No two transactions share a time, even if the clock stands still or goes back.
        """
        length = self._transaction()
        now = self.clock() - length
        if self.by_time and not length:
            now = max(now, self.by_time[-1].time + _TICK)
        while now in self._times:
            now += _TICK
        self._times.add(now)
        return now


def time_of(event: Event) -> datetime:
    """Return an event's time, as a sort key."""
    return event.time
