"""ZITADEL's events about what may have drifted, and how far the log was read.

Only ZITADEL's own times and sequence numbers count here. No event is missed, whatever
the operator's clock says.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, Self

from .identity import User

OVERLAP = timedelta(seconds=90)
"""How far before the last event each search begins.

An event's time is the start of the transaction that wrote it, but the event becomes
visible only when that transaction ends. An event that appears later may therefore be
older than the newest one, by up to the length of a transaction. This value covers
transactions of up to a minute.
"""


_LONGEST_LOOKBACK = timedelta(days=1)


class EventKind(StrEnum):
    """What an event is about.

    Attributes:
        ORGANIZATION_POLICY: An organization's own policy was added or changed.
        ORGANIZATION_POLICY_REMOVED: An organization's own policy was removed, and the
            organization has inherited the instance's since.
        INSTANCE_POLICY: The instance's policy was added or changed.
        ORGANIZATION: The organization itself was added or changed.
        ORGANIZATION_REMOVED: The organization itself was removed.
    """

    ORGANIZATION_POLICY = "OrganizationPolicy"
    ORGANIZATION_POLICY_REMOVED = "OrganizationPolicyRemoved"
    INSTANCE_POLICY = "InstancePolicy"
    ORGANIZATION = "Organization"
    ORGANIZATION_REMOVED = "OrganizationRemoved"


class EventId(NamedTuple):
    """Identifies an event by its aggregate and its sequence number in it."""

    aggregate: str
    sequence: int


@dataclass(frozen=True, slots=True)
class ZitadelEvent:
    """An event in ZITADEL's log.

    Attributes:
        id: The event's id. Its aggregate is an organization or the instance.
        kind: What the event is about.
        time: The time exactly as ZITADEL wrote it, RFC 3339 in UTC. A text in any other
            form is treated as an unknown time, see `moment_of`.
        editor: The user who caused the event; None for ZITADEL itself.
    """

    id: EventId
    kind: EventKind
    time: str
    editor: User | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last event that has been processed. Its time can always be parsed."""

    time: str
    id: EventId

    @classmethod
    def at(cls, event: ZitadelEvent) -> Self:
        """Return the cursor that points to this event."""
        return cls(event.time, event.id)

    @classmethod
    def from_text(cls, text: str) -> Self | None:
        """Parse `status.driftCursor`. Return None if the operator did not write it."""
        time, _, rest = text.partition(" ")
        sequence, _, aggregate = rest.partition(" ")
        try:
            if moment_of(time) is None:
                return None
            return cls(time, EventId(aggregate, int(sequence))) if aggregate else None
        except ValueError:
            return None

    def to_text(self) -> str:
        """Return the text of `status.driftCursor`."""
        return f"{self.time} {self.id.sequence} {self.id.aggregate}"

    def since(self, lookback: timedelta) -> str:
        """Return the exclusive start of a search that looks back this far."""
        return _before(self.time, lookback)

    def just_before(self) -> str:
        """Return the exclusive start of a search that finds this event again."""
        return _before(self.time, timedelta(microseconds=1))


def _before(time: str, distance: timedelta) -> str:
    moment = parse_moment(time) - distance
    # `%Y` alone would write the year 33 with two digits.
    return f"{moment.year:04}-{moment:%m-%dT%H:%M:%S.%fZ}"


def parse_moment(text: str) -> datetime:
    """Parse one of ZITADEL's times, which have up to nine digits after the second.

    Raises:
        ValueError: The text is not a time.
    """
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def moment_of(text: str) -> datetime | None:
    """Parse one of ZITADEL's times. Return None if it is unusable.

    Texts that others wrote may not be times at all, or may be so close to the ends of
    the calendar that looking back from them overflows.
    """
    try:
        moment = parse_moment(text)
        _ = moment - 2 * _LONGEST_LOOKBACK, moment + 2 * _LONGEST_LOOKBACK
    except (ValueError, OverflowError):
        return None
    return moment
