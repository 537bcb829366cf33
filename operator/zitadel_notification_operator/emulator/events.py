"""The event log: all that ever happened, in order, a counter for each aggregate."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

Clock = Callable[[], datetime]
Command = tuple[str, Mapping[str, Any]]
"""An event's type and payload, before it is given a number and a time."""

_TICK = timedelta(microseconds=1)


def utc_now() -> datetime:
    """Return the time of day, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        aggregate: The id of what it happened to: an organization, a user, the instance.
        type: Such as `org.policy.notification.added`.
        sequence: Counted for each aggregate, from 1 (ZITADEL: `details.sequence`).
        time: UTC, microseconds; events of one transaction share it.
        editor: The id of the user who did it; empty for the set-up.
        payload: What it says.
        owner: ZITADEL: `details.resourceOwner`.
    """

    aggregate: str
    type: str
    sequence: int
    time: datetime
    editor: str
    payload: Mapping[str, Any]
    owner: str


class EventLog:
    """Events in order: the emulator's only state besides the texts of tokens."""

    def __init__(self, clock: Clock = utc_now) -> None:
        self.all: list[Event] = []
        self.clock = clock
        self._of: dict[str, list[Event]] = defaultdict(list)
        self._listeners: list[Callable[[Event], None]] = []

    def subscribe(self, listener: Callable[[Event], None]) -> None:
        """Have a function called with every event from now on, once it is written."""
        self._listeners.append(listener)

    def append(
        self, aggregate: str, kind: str, editor: str = "", **payload: Any
    ) -> Event:
        """Add one event and return it."""
        return self.push(aggregate, editor, (kind, payload))

    def push(
        self, aggregate: str, editor: str, *commands: Command, owner: str = ""
    ) -> Event:
        """Add the events of one transaction; return the last.

        Args:
            aggregate: What they happen to.
            editor: Who does it.
            commands: At least one.
            owner: Of the resource; the aggregate itself when empty.
        """
        now = self.clock()
        if self.all and now <= self.all[-1].time:
            # Two transactions never share a time, whatever the clock's resolution.
            now = self.all[-1].time + _TICK
        own = self._of[aggregate]
        for kind, payload in commands:
            number = own[-1].sequence + 1 if own else 1
            event = Event(
                aggregate, kind, number, now, editor, payload, owner or aggregate
            )
            own.append(event)
            self.all.append(event)
            for listener in self._listeners:
                listener(event)
        return own[-1]

    def of(self, aggregate: str) -> Sequence[Event]:
        """Return the events of one aggregate, oldest first; empty when unknown."""
        return self._of.get(aggregate, [])

    def forget(self, aggregate: str, prefix: str) -> None:
        """Take events out of history, as if they had never been; numbers stay."""
        kept = [e for e in self._of[aggregate] if not e.type.startswith(prefix)]
        gone = {id(e) for e in self._of[aggregate]} - {id(e) for e in kept}
        self._of[aggregate] = kept
        self.all = [e for e in self.all if id(e) not in gone]
