"""The log as the search for events sees it: filters, order, what is late or hidden.

Source: ZITADEL: `internal/api/grpc/admin/event.go`, `internal/query/event.go`,
`internal/eventstore/search_query.go`. Where a search begins and ends in time is found
by bisection, so that one near the end of a long log costs what it finds.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from zitadel_notification_operator.emulator.events import Event, EventLog

MOST = 1000
"""So many events are in one answer; ZITADEL: `maxLimit`."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a search looks for; what is empty, 0 or None matches all.

    Attributes:
        ascending: Oldest first.
        limit: At least 1.
        sequence: Only those above it when ascending, else below it.
        editor: The id of the user who did it.
        aggregate: The id of what it happened to.
        owner: The id of the organization or the instance that owns that.
        types: Full names, such as `org.policy.notification.added`.
        aggregate_types: Such as `org`.
        since: Only later ones.
        until: Only earlier ones.
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
        """Return whether an event is wanted, whatever its time and aggregate."""
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
    """Searches in a log, some of whose events may become visible late."""

    def __init__(self, log: EventLog, lag: Callable[[], timedelta]) -> None:
        """Follow a log.

        Args:
            log: Where everything is written.
            lag: How long an event that is written now stays out of searches.
        """
        self._log = log
        self._lag = lag
        self._late: dict[tuple[str, int], datetime] = {}
        log.subscribe(self._follow)

    def search(self, wanted: Wanted, retention: timedelta) -> list[Event]:
        """Return the events that are wanted and visible, in the order that is wanted.

        ZITADEL orders by position in the log, with an aggregate's id by sequence; in
        here these are the same, as no event is ever older than the one before it.

        Args:
            wanted: What to look for.
            retention: What is as old as this or older is hidden; 0 hides nothing.
        """
        now = self._log.clock()
        since = wanted.since
        if retention:
            oldest = now - retention
            since = oldest if since is None else max(since, oldest)
        aggregate = wanted.aggregate
        events = self._log.of(aggregate) if aggregate else self._log.all
        low, high = 0, len(events)
        if since is not None:
            low = bisect_right(events, since, key=_time)
        if wanted.until is not None:
            high = bisect_left(events, wanted.until, key=_time)
        places = range(low, high)[:: 1 if wanted.ascending else -1]
        late = self._still_late(now)
        found = (
            events[place]
            for place in places
            if _key(events[place]) not in late and wanted.matches(events[place])
        )
        return list(islice(found, wanted.limit))

    def _follow(self, event: Event) -> None:
        if lag := self._lag():
            self._late[_key(event)] = event.time + lag

    def _still_late(self, now: datetime) -> dict[tuple[str, int], datetime]:
        self._late = {key: due for key, due in self._late.items() if due > now}
        return self._late


def aggregate_type(event: Event) -> str:
    """Return the type of what an event happened to: `org`, `user`, `instance`."""
    return event.type.partition(".")[0]


def _key(event: Event) -> tuple[str, int]:
    return event.aggregate, event.sequence


def _time(event: Event) -> datetime:
    return event.time
