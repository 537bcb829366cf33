"""The list of organizations that searches use, a projection that may lag behind.

Source: ZITADEL: `internal/query/projection/org.go`, `internal/query/org.go`. The list
does not contain removed organizations. Names and domains are indexed, so that a search
for one name takes as long with ten organizations as with ten thousand.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum

from .events import Event, EventLog
from .projections import State


class Method(IntEnum):
    """How a search compares texts, numbered as in ZITADEL's `TextQueryMethod`."""

    EQUALS = 0
    EQUALS_IGNORE_CASE = 1
    STARTS_WITH = 2
    STARTS_WITH_IGNORE_CASE = 3
    CONTAINS = 4
    CONTAINS_IGNORE_CASE = 5
    ENDS_WITH = 6
    ENDS_WITH_IGNORE_CASE = 7

    def matches(self, text: str, wanted: str) -> bool:
        """Return whether `text` fits the `wanted` text by this method."""
        if self % 2:
            text, wanted = text.lower(), wanted.lower()
        match self:
            case Method.EQUALS | Method.EQUALS_IGNORE_CASE:
                return text == wanted
            case Method.STARTS_WITH | Method.STARTS_WITH_IGNORE_CASE:
                return text.startswith(wanted)
            case Method.CONTAINS | Method.CONTAINS_IGNORE_CASE:
                return wanted in text
            case Method.ENDS_WITH | Method.ENDS_WITH_IGNORE_CASE:
                return text.endswith(wanted)


class Order(IntEnum):
    """The column to sort by, numbered as in ZITADEL's `OrganizationFieldName`."""

    NONE = 0
    NAME = 1
    CREATION_DATE = 2


@dataclass(slots=True)
class Row:
    """One organization in the list.

    Attributes:
        primary_domain: The domain that answers show.
        domains: All verified domains.
        created: The organization's first event.
        changed: The last event that updated this row. Events about policies, members
            and domains that are not primary do not.
    """

    id: str
    name: str
    state: State
    created: Event
    changed: Event
    primary_domain: str = ""
    domains: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class ByName:
    """Search for organizations by name."""

    name: str
    method: Method


@dataclass(frozen=True, slots=True)
class ByDomain:
    """Search for organizations by a verified domain, primary or not."""

    domain: str
    method: Method


@dataclass(frozen=True, slots=True)
class ByState:
    """Search for organizations by state; None matches no row."""

    state: State | None


@dataclass(frozen=True, slots=True)
class ById:
    """Search for the organization with an id."""

    id: str


Query = ByName | ByDomain | ByState | ById


@dataclass(frozen=True, slots=True)
class Page:
    """The part of the result that a search returns, and its order.

    Attributes:
        limit: The maximum number of rows; 0 returns all, as in ZITADEL.
        ascending: Has an effect only if `order` is set.
    """

    offset: int = 0
    limit: int = 0
    order: Order = Order.NONE
    ascending: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a search.

    Attributes:
        total: The number of matching rows on all pages. It is 0 if this page is empty,
            because ZITADEL's database returns the count as a column of the rows.
        seen: The time of the last event that the list has processed.
    """

    rows: Sequence[Row]
    total: int
    seen: datetime


class Directory:
    """The list of organizations, updated from the event log."""

    def __init__(self, log: EventLog) -> None:
        """Follow a log that has no events yet."""
        self._log = log
        self._acts = {
            "org.added": self._add,
            "org.changed": self._rename,
            "org.domain.verified": self._verify,
            "org.domain.removed": self._remove_domain,
            "org.domain.primary.set": self._set_primary,
            "org.deactivated": self._deactivate,
            "org.reactivated": self._reactivate,
            "org.removed": self._remove,
        }
        self._pending: deque[Event] = deque()
        self._rows: dict[str, Row] = {}
        self._by_name: dict[str, Row] = {}
        self._by_domain: dict[str, Row] = {}
        self._sorted: list[Row] | None = None
        self._seen = log.clock()
        log.subscribe(self._follow)

    def search(self, queries: Iterable[Query], page: Page, lag: int = 0) -> Found:
        """Return one page of the rows that match all of the queries.

        Args:
            queries: The conditions; without any, all rows match.
            page: The part of the matching rows to return.
            lag: The search does not see events younger than this many milliseconds.
        """
        self._catch_up(lag)
        wanted = list(queries)
        rows = [
            row
            for row in self._candidates(wanted, page.order)
            if all(_matches(row, query) for query in wanted)
        ]
        if page.order is Order.CREATION_DATE:
            rows.sort(key=lambda row: row.created.time)
        if page.order is not Order.NONE and not page.ascending:
            rows.reverse()
        end = page.offset + page.limit if page.limit else len(rows)
        part = rows[page.offset : end]
        return Found(part, len(rows) if part else 0, self._seen)

    def _candidates(self, queries: Sequence[Query], order: Order) -> Iterable[Row]:
        for query in queries:
            match query:
                case ById(wanted):
                    return _one(self._rows.get(wanted))
                case ByName(name, Method.EQUALS | Method.EQUALS_IGNORE_CASE):
                    return _one(self._by_name.get(name.lower()))
                case ByDomain(domain, Method.EQUALS):
                    return _one(self._by_domain.get(domain))
                case _:
                    pass
        if order is not Order.NAME:
            return self._rows.values()
        if self._sorted is None:
            self._sorted = sorted(self._rows.values(), key=lambda row: row.name.lower())
        return self._sorted

    def _follow(self, event: Event) -> None:
        if event.type in self._acts:
            self._pending.append(event)

    def _catch_up(self, lag: int) -> None:
        horizon = self._log.clock() - timedelta(milliseconds=lag)
        while self._pending and (not lag or self._pending[0].time <= horizon):
            event = self._pending.popleft()
            self._acts[event.type](event)
            self._seen = event.time

    def _add(self, event: Event) -> None:
        name = event.payload["name"]
        row = Row(event.aggregate, name, State.ACTIVE, event, event)
        self._rows[row.id] = self._by_name[name.lower()] = row
        self._sorted = None

    def _rename(self, event: Event) -> None:
        if row := self._rows.get(event.aggregate):
            self._by_name.pop(row.name.lower(), None)
            row.name, row.changed = event.payload["name"], event
            self._by_name[row.name.lower()] = row
            self._sorted = None

    def _verify(self, event: Event) -> None:
        if row := self._rows.get(event.aggregate):
            row.domains.add(event.payload["domain"])
            self._by_domain[event.payload["domain"]] = row

    def _remove_domain(self, event: Event) -> None:
        if row := self._rows.get(event.aggregate):
            row.domains.discard(event.payload["domain"])
            self._by_domain.pop(event.payload["domain"], None)

    def _set_primary(self, event: Event) -> None:
        if row := self._rows.get(event.aggregate):
            row.primary_domain, row.changed = event.payload["domain"], event

    def _deactivate(self, event: Event) -> None:
        if row := self._rows.get(event.aggregate):
            row.state, row.changed = State.INACTIVE, event

    def _reactivate(self, event: Event) -> None:
        if row := self._rows.get(event.aggregate):
            row.state, row.changed = State.ACTIVE, event

    def _remove(self, event: Event) -> None:
        if row := self._rows.pop(event.aggregate, None):
            self._by_name.pop(row.name.lower(), None)
            for domain in row.domains:
                self._by_domain.pop(domain, None)
            self._sorted = None


def _one(row: Row | None) -> Iterable[Row]:
    return (row,) if row else ()


def _matches(row: Row, query: Query) -> bool:
    match query:
        case ByName(name, method):
            return method.matches(row.name, name)
        case ByDomain(domain, method):
            return any(method.matches(known, domain) for known in row.domains)
        case ByState(state):
            return row.state is state
        case ById(wanted):
            return row.id == wanted
