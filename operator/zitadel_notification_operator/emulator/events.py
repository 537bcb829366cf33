"""The event log: all that ever happened, in order, a counter for each aggregate."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        aggregate: The id of what it happened to; of an organization or the instance.
        type: Such as `org.policy.notification.added`.
        sequence: Counted for each aggregate, from 1 (ZITADEL: `details.sequence`).
        time: UTC, microseconds; strictly rising over the whole log.
        editor: The user who did it.
        payload: What it says.
    """

    aggregate: str
    type: str
    sequence: int
    time: datetime
    editor: str
    payload: Mapping[str, Any]


class EventLog:
    """Events in order; the only state of the emulator besides users."""

    def __init__(self) -> None:
        self.all: list[Event] = []
        self._of: dict[str, list[Event]] = defaultdict(list)

    def append(
        self, aggregate: str, kind: str, editor: str = "", **payload: Any
    ) -> Event:
        """Add an event and return it."""
        time = datetime.now(UTC)
        if self.all and time <= self.all[-1].time:
            time = self.all[-1].time + timedelta(microseconds=1)
        own = self._of[aggregate]
        event = Event(aggregate, kind, len(own) + 1, time, editor, payload)
        own.append(event)
        self.all.append(event)
        return event

    def of(self, aggregate: str) -> list[Event]:
        """Return the events of one aggregate, oldest first; empty when unknown."""
        return self._of.get(aggregate, [])
