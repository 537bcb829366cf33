"""The event log as the search for events shows it: filtered, sorted, partly hidden.

Source: ZITADEL: `internal/api/grpc/admin/event.go`, `internal/query/event.go`,
`internal/eventstore/search_query.go`. A bisection finds the first and last event in a
range of time, so the cost of a search depends on the size of the range and not on the
length of the log.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from .events import Event, EventLog, time_of

MOST = 1000
"""The maximum number of events in one answer (ZITADEL: `maxLimit`)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The conditions of a search; one that is empty, 0 or None matches all events.

    Attributes:
        ascending: Whether the oldest event comes first.
        limit: The maximum number of events, at least 1.
        sequence: Only events with a higher sequence number, or with a lower one if the
            search is not ascending.
        editor: The id of the user who made the change.
        aggregate: The id of the organization, user or instance that changed.
        owner: The id of the organization or instance that owns the aggregate.
        types: Full names, such as `org.policy.notification.added`.
        aggregate_types: Types of aggregates, such as `org`.
        since: Only events later than this.
        until: Only events earlier than this.
    """

    ascending: bool = False
    limit: int = MOST
    sequence: int = 0
    editor: str = ""
    aggregate: str = ""
    owner: str = ""
    types: frozenset[str] = frozenset()
    aggregate_types: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None

    def matches(self, event: Event) -> bool:
        """Return whether an event matches, without regard to time and aggregate."""
        return (
            (not self.types or event.type in self.types)
            and (
                not self.aggregate_types
                or aggregate_type(event) in self.aggregate_types
            )
            and self.owner in {"", event.owner}
            and self.editor in {"", event.editor}
            and self._follows(event)
        )

    def _follows(self, event: Event) -> bool:
        if not self.sequence:
            return True
        if self.ascending:
            return event.sequence > self.sequence
        return event.sequence < self.sequence


class History:
    """Searches in an event log whose new events may become visible with a delay."""

    def __init__(self, log: EventLog, lag: Callable[[], timedelta]) -> None:
        """Follow a log.

        Args:
            log: The event log to search in.
            lag: Returns how long searches do not see an event that is written now.
        """
        self._log = log
        self._lag = lag
        self._late: dict[tuple[str, int], datetime] = {}
        log.subscribe(self._follow)

    def search(self, wanted: Wanted, retention: timedelta) -> list[Event]:
        """Return the visible events that match, in the requested order.

        As in ZITADEL the order is that of the times, or that of the sequence numbers
        if the search names an aggregate.

        Args:
            wanted: The conditions of the search.
            retention: Events of this age or older are hidden; 0 hides none.
        """
        now = self._log.clock()
        since = wanted.since
        if retention:
            oldest = now - retention
            since = oldest if since is None else max(since, oldest)
        if wanted.aggregate:
            # The order is by sequence number, so the times need not be ascending.
            own = self._log.of(wanted.aggregate)
            events = [e for e in own if _is_between(e.time, since, wanted.until)]
            places = range(len(events))
        else:
            events = self._log.by_time
            places = _places(events, since, wanted.until)
        places = places[:: 1 if wanted.ascending else -1]
        late = self._still_late(now)
        found = (
            events[place]
            for place in places
            if _key(events[place]) not in late and wanted.matches(events[place])
        )
        return list(islice(found, wanted.limit))

    def _follow(self, event: Event) -> None:
        if lag := self._lag():
            self._late[_key(event)] = self._log.clock() + lag

    def _still_late(self, now: datetime) -> dict[tuple[str, int], datetime]:
        self._late = {key: due for key, due in self._late.items() if due > now}
        return self._late


def aggregate_type(event: Event) -> str:
    """Return the type of an event's aggregate: `org`, `user` or `instance`."""
    return event.type.partition(".")[0]


def _key(event: Event) -> tuple[str, int]:
    return event.aggregate, event.sequence


def _places(
    events: Sequence[Event], since: datetime | None, until: datetime | None
) -> range:
    """Return the indexes of the events between two times; `events` is sorted by time.

    Both times are exclusive.
    """
    low, high = 0, len(events)
    if since is not None:
        low = bisect_right(events, since, key=time_of)
    if until is not None:
        high = bisect_left(events, until, key=time_of)
    return range(low, high)


def _is_between(
    moment: datetime, since: datetime | None, until: datetime | None
) -> bool:
    return (since is None or moment > since) and (until is None or moment < until)
