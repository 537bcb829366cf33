"""The organizations of one ZITADEL, as readings, events and single calls showed them.

An organization stays until something positive says that it is gone: an event, or the
answer to a call about it. If a reading merely lacks it, it is only doubted, because the
credential may have lost a right, or the answer may be cut (docs/concepts/sets.md).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from zitadel_notification_operator.core.policy import Organization

_NEVER = float("-inf")


@dataclass(slots=True)
class Directory:
    """The directory of one instance.

    Only the room `sets` changes it, and `drift.events_pass` for organizations that an
    event is about.

    Attributes:
        zitadel_id: The ZITADEL that it is about.
        organizations: The organizations by id.
        removed: The ids of which ZITADEL has said that they are unknown or removed.
        doubted: The ids that have to be asked for one by one.
        read_at: Loop time at which the last whole reading began.
    """

    zitadel_id: str | None = None
    organizations: dict[str, Organization] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    doubted: set[str] = field(default_factory=set)
    read_at: float = _NEVER

    @property
    def is_read(self) -> bool:
        """Whether there was a whole reading."""
        return self.read_at > _NEVER

    def take(self, found: Iterable[Organization], begun: float) -> None:
        """Store a whole reading, and doubt what it lacks.

        Args:
            found: The organizations that it showed.
            begun: Loop time at which it began.
        """
        missing = set(self.organizations)
        for one in found:
            self.put(one)
            missing.discard(one.id)
        self.doubted |= missing
        self.read_at = begun

    def put(self, one: Organization) -> None:
        """Store an organization that exists."""
        self.organizations[one.id] = one
        self.removed.discard(one.id)
        self.doubted.discard(one.id)

    def remove(self, organization_id: str) -> None:
        """Store that ZITADEL knows no such organization, or has removed it."""
        self.organizations.pop(organization_id, None)
        self.removed.add(organization_id)
        self.doubted.discard(organization_id)

    def invalidate(self) -> None:
        """Request a new reading of all organizations: a change may be missing."""
        self.read_at = _NEVER

    def doubt(self, organization_ids: Iterable[str]) -> None:
        """Have organizations asked for one by one."""
        self.doubted |= set(organization_ids)
