"""ZITADEL's events, as far as they say what may have drifted, and how far we have read.

ZITADEL's own times and sequences are the only ones that count here: whatever our clock
says, nothing is missed (notes on `events/_search`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, Self

from zitadel_notification_operator.core.identity import User

OVERLAP = timedelta(seconds=30)
"""How far before the last event each search begins: some become visible late."""


_LONGEST_LOOKBACK = timedelta(days=1)


class EventKind(StrEnum):
    """What an event is about."""

    ORGANIZATION_POLICY = "OrganizationPolicy"
    INSTANCE_POLICY = "InstancePolicy"
    ORGANIZATION_REMOVED = "OrganizationRemoved"


class EventId(NamedTuple):
    """Names an event: its aggregate, and its number there."""

    aggregate: str
    sequence: int


@dataclass(frozen=True, slots=True)
class ZitadelEvent:
    """Something that happened in ZITADEL.

    Attributes:
        id: Its aggregate is an organization, or the instance.
        kind: What it is about.
        time: ZITADEL's own text, RFC 3339 in UTC.
        editor: Who did it; None for ZITADEL itself.
    """

    id: EventId
    kind: EventKind
    time: str
    editor: User | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last event that has been dealt with."""

    time: str
    id: EventId

    @classmethod
    def at(cls, event: ZitadelEvent) -> Self:
        """Return the cursor that stands at an event."""
        return cls(event.time, event.id)

    @classmethod
    def from_text(cls, text: str) -> Self | None:
        """Read `status.driftCursor`; None when it is not one of ours."""
        time, _, rest = text.partition(" ")
        sequence, _, aggregate = rest.partition(" ")
        try:
            _before(time, 2 * _LONGEST_LOOKBACK)
            return cls(time, EventId(aggregate, int(sequence))) if aggregate else None
        except (ValueError, OverflowError):
            return None

    def to_text(self) -> str:
        """Return the text of `status.driftCursor`."""
        return f"{self.time} {self.id.sequence} {self.id.aggregate}"

    def since(self, lookback: timedelta) -> str:
        """Return where a search begins, exclusive, that looks back so far."""
        return _before(self.time, lookback)

    def just_before(self) -> str:
        """Return where a search begins, exclusive, that finds this event again."""
        return _before(self.time, timedelta(microseconds=1))


def _before(time: str, distance: timedelta) -> str:
    return f"{parse_moment(time) - distance:%Y-%m-%dT%H:%M:%S.%fZ}"


def parse_moment(text: str) -> datetime:
    """Return one of ZITADEL's times; it writes up to nine digits of a second.

    Raises:
        ValueError: It is none.
    """
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
