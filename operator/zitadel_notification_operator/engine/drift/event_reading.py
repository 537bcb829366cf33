"""One search of an instance's event log, over as many pages as it takes.

It returns what is new, or raises why the answer cannot be trusted: a log that is
truncated, empty or refused must never look like a ZITADEL without changes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import PageTooLarge, TransientError
from zitadel_notification_operator.core.event_cursor import EventCursor, is_in_order
from zitadel_notification_operator.core.events import (
    Cursor,
    EventId,
    ZitadelEvent,
    moment_of,
)
from zitadel_notification_operator.core.paging import PageSize
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.unseen_writes import UnseenWrites
from zitadel_notification_operator.engine.ports import PolicyClient
from zitadel_notification_operator.engine.queue.clock import loop_time

SHORT = 10
"""A page with fewer events is the last one, whatever was asked for.

A server may silently return fewer events than it was asked for, so a longer page is
followed by another search. No server is known to limit pages to less than this.
"""

SIGNS_INTERVAL = 600.0
"""Seconds between two checks that a log without our kinds shows any event at all."""


@dataclass(slots=True)
class Reading:
    """How far one instance object's log was read.

    Attributes:
        owner: The object's uid and ZITADEL's id; another pair begins anew.
        sweep_at: Loop time of the next check of all policies.
        begun: Whether a search has found the position to continue from.
        gap: Whether the last answer lacked an event that it should have had.
        signs_at: Loop time at which the log last showed that it has events.
        unsaved: The number of events read since the cursor was saved.
        relevant: Whether one of them affected a policy.
        woken: Policies that need a pass before the cursor may be saved.
    """

    owner: tuple[str, str]
    sweep_at: float
    event_cursor: EventCursor = field(default_factory=EventCursor)
    begun: bool = False
    gap: bool = False
    signs_at: float = float("-inf")
    unsaved: int = 0
    relevant: bool = False
    woken: set[PolicyKey] = field(default_factory=set)


class _Page(NamedTuple):
    """Events in ZITADEL's order, and how many were asked for."""

    events: list[ZitadelEvent]
    rows: int

    @property
    def is_full(self) -> bool:
        """Whether as many events came as were asked for."""
        return len(self.events) >= self.rows

    def is_last(self, end: EventId | None) -> bool:
        """Return whether no page can follow; `end` is the last event known before."""
        if self.is_full:
            return False
        return len(self.events) < SHORT or self.events[-1].id == end


@dataclass(frozen=True, slots=True)
class Search:
    """One search.

    Attributes:
        client: Calls ZITADEL.
        size: The page size; it keeps what is learnt about the limit.
        unseen_writes: Our own writes that the log has yet to show.
        look_at_all: Schedules a check of each policy, because events are missing.
    """

    client: PolicyClient
    size: PageSize
    unseen_writes: UnseenWrites
    look_at_all: Callable[[], None]

    async def run(self, reading: Reading, usable_since: float) -> list[ZitadelEvent]:
        """Return what has happened since the last search.

        Args:
            reading: Where the last search stopped.
            usable_since: Loop time since which passes over policies run.

        Raises:
            OperatorError: Any error of the client, or `UnexpectedAnswer` if the answer
                lacks what must be in it.
        """
        event_cursor = reading.event_cursor
        if not reading.begun:
            event_cursor.begin_at(
                await self.client.newest_event(), loop_time() - usable_since
            )
            self.unseen_writes.forget(before=usable_since)
            reading.begun = True
        end = event_cursor.cursor.id if event_cursor.cursor is not None else None
        found = await self._all(event_cursor.since(loop_time()), end)
        if found:
            reading.signs_at = loop_time()
        elif (
            event_cursor.cursor is not None
            or loop_time() - reading.signs_at > SIGNS_INTERVAL
        ):
            await self._require_signs_of_life(reading)
        if event_cursor.is_broken(found):
            if reading.gap:
                await self._begin_anew(event_cursor)
            reading.gap = not reading.gap
            raise TransientError(
                Reason.UNEXPECTED_ANSWER, "Events are missing in ZITADEL's answer"
            )
        reading.gap = False
        self.unseen_writes.shown(event.id for event in found)
        return event_cursor.take(found)

    async def _require_signs_of_life(self, reading: Reading) -> None:
        """Check that a log without events of our kinds has other events.

        An audit-log retention may have hidden ours. But a log that shows nothing at all
        cannot be trusted: its reader would never find any drift.

        Raises:
            TransientError: `UnexpectedAnswer`: it shows nothing at all.
        """
        if not await self.client.has_events():
            raise TransientError(
                Reason.UNEXPECTED_ANSWER, "ZITADEL's event log shows no event at all"
            )
        reading.signs_at = loop_time()

    async def _begin_anew(self, event_cursor: EventCursor) -> None:
        """Continue from the newest event and have all policies checked for the gap."""
        newest = await self.client.newest_event()
        self.look_at_all()
        event_cursor.begin_at(newest, 0)
        # The log will not show what was written before that position.
        self.unseen_writes.forget()

    async def _all(self, since: str | None, end: EventId | None) -> list[ZitadelEvent]:
        """Return all events after a moment, over as many pages as it takes.

        A page that ends with the last event of the search before is also the last page,
        so a burst that is read again costs one call.

        Pages are cut by time, because no other mark holds for all aggregates, but they
        are sorted by position. Where the two orders differ, an event that became
        visible late may be left out at a cut. Then all policies are checked.
        """
        found: list[ZitadelEvent] = []
        known: set[EventId] = set()
        cuts = -1
        while True:
            page = await self._page(since)
            new = [event for event in page.events if event.id not in known]
            known.update(event.id for event in new)
            found += new
            cuts += bool(new)
            if page.is_last(end) or (not new and not page.is_full):
                break
            after = _after(page, since, is_new=bool(new))
            if not new or after is None:
                # One moment has more events than a page holds; continue after it.
                self.look_at_all()
            if after is None:
                break
            since = after
        if cuts > 0 and not is_in_order(found):
            self.look_at_all()
        return found

    async def _page(self, since: str | None) -> _Page:
        """Return a page; if its size is refused, halve it from then on.

        Raises:
            OperatorError: Any error of the client.
        """
        while True:
            rows = self.size.rows
            try:
                return _Page(await self.client.events(since, rows), rows)
            except PageTooLarge:
                if not self.size.halve():
                    raise


def _after(page: _Page, since: str | None, *, is_new: bool) -> str | None:
    """Return where the next page begins, exclusive, or None if nothing leads on.

    Args:
        page: The page before.
        since: Where that page began.
        is_new: Whether it had any event that was not known.
    """
    timed = [event for event in page.events if moment_of(event.time) is not None]
    if not timed:
        return None
    if is_new:
        return Cursor.at(timed[-1]).just_before()
    return timed[-1].time if timed[-1].time != since else None
