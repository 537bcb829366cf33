"""The log is read page by page, whatever a page holds."""

import pytest

from support.ledgers import event
from support.virtual_time import run
from zitadel_notification_operator.auditing.reading import TRIES, patiently, read_log
from zitadel_notification_operator.core.errors import (
    OperatorError,
    PageTooLarge,
    TransientError,
)
from zitadel_notification_operator.core.events import parse_moment
from zitadel_notification_operator.core.policy_events import (
    PolicyEvent,
    PolicyEventKind,
)
from zitadel_notification_operator.core.reasons import Reason

CHANGED = PolicyEventKind.CHANGED


class Log:
    """A log in memory that answers as ZITADEL does.

    Attributes:
        asked: The limits of the searches so far.
    """

    def __init__(self, events: list[PolicyEvent], *, most: int = 1000) -> None:
        self.asked: list[int] = []
        self._events = sorted(events, key=lambda one: parse_moment(one.time))
        self._most = most

    async def policy_events(self, since: str | None, limit: int) -> list[PolicyEvent]:
        self.asked.append(limit)
        if limit > self._most:
            raise PageTooLarge(Reason.REQUEST_REFUSED, "too large")
        start = None if since is None else parse_moment(since)
        later = (
            e for e in self._events if start is None or parse_moment(e.time) > start
        )
        return list(later)[:limit]


def read(log: Log, rows: int = 1000) -> list[PolicyEvent]:
    async def all_of_it() -> list[PolicyEvent]:
        return [one async for one in read_log(log, rows)]

    return run(all_of_it())


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 20, 21, 99])
def test_every_event_comes_once(count: int) -> None:
    events = [event(CHANGED, f"org-{n % 7}", n) for n in range(1, count + 1)]
    assert read(Log(events), 10) == events


def test_a_page_that_is_too_large_is_halved() -> None:
    events = [event(CHANGED, "a", n) for n in range(1, 100)]
    log = Log(events, most=30)
    assert read(log, 100) == events
    assert log.asked[:3] == [100, 50, 25]


def test_events_of_one_moment_may_cross_a_page() -> None:
    """As those of one transaction."""
    first = [event(CHANGED, f"a-{n}", 1) for n in range(8)]
    second = [event(CHANGED, f"b-{n}", 2) for n in range(8)]
    last = [event(CHANGED, "c", n) for n in range(3, 30)]
    assert len(read(Log([*first, *second, *last]), 10)) == 8 + 8 + 27


def test_more_events_of_one_moment_than_a_page_are_an_error() -> None:
    """Otherwise the rest of the log would be missing without a word."""
    events = [event(CHANGED, f"a-{n}", 1) for n in range(12)]
    with pytest.raises(OperatorError, match="at one moment"):
        read(Log([*events, event(CHANGED, "b", 2)]), 10)


def test_events_are_in_sequence_across_pages() -> None:
    """A change that began earlier and ended later counts as the later one."""
    events = [event(CHANGED, "a", n) for n in range(1, 30)]
    early = event(CHANGED, "b", 10)
    late = PolicyEvent(event(CHANGED, "b", 20).id, CHANGED, False, events[8].time)
    early_but_later = PolicyEvent(early.id, CHANGED, False, events[12].time)
    found = read(Log([*events, late, early_but_later]), 10)
    of_b = [one.id.sequence for one in found if one.id.aggregate == "b"]
    assert of_b == [10, 20]
    assert [one for one in found if one.id.aggregate == "a"] == events


@pytest.mark.parametrize(("wait", "tries"), [(None, TRIES), (30, TRIES), (3600, 1)])
def test_a_failure_that_lasts_is_raised(wait: float | None, tries: int) -> None:
    """A person waits for the command, so it does not wait for an hour."""
    asked = 0

    async def fail() -> None:
        nonlocal asked
        asked += 1
        raise TransientError(Reason.RATE_LIMITED, "slower", wait)

    with pytest.raises(TransientError):
        run(patiently(fail))
    assert asked == tries
