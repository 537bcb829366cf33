"""What ZITADEL's event log says about notification policies and their owners.

The operator itself reads `core.events`, which names only what may have drifted, because
a GET shows the present value. People who audit ask for the past, so these events have
their values as well.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from .events import EventId
from .identity import User
from .settings import NO_SETTINGS, Settings


class PolicyEventKind(StrEnum):
    """What an event did.

    Attributes:
        ADDED: A policy was created with all values.
        CHANGED: Some values of a policy were changed.
        REMOVED: An organization's policy was removed, so that it inherits since.
        ORGANIZATION_ADDED: An organization was created.
        ORGANIZATION_RENAMED: An organization got another name.
        ORGANIZATION_REMOVED: An organization was removed, with its policy.
    """

    ADDED = "Added"
    CHANGED = "Changed"
    REMOVED = "Removed"
    ORGANIZATION_ADDED = "OrganizationAdded"
    ORGANIZATION_RENAMED = "OrganizationRenamed"
    ORGANIZATION_REMOVED = "OrganizationRemoved"


@dataclass(frozen=True, slots=True)
class PolicyEvent:
    """One event.

    Attributes:
        id: The event's id. Its aggregate is an organization or the instance.
        kind: What it did.
        of_instance: Whether the policy is the instance's.
        time: When, as ZITADEL wrote it; it can always be parsed.
        editor: Who did it; None for ZITADEL itself.
        settings: The values in the event. Of a policy that was added, all of them; of
            one that was changed, only those that changed.
        name: The name of an organization that was added or renamed, otherwise empty.
    """

    id: EventId
    kind: PolicyEventKind
    of_instance: bool
    time: str
    editor: User | None = None
    settings: Settings = NO_SETTINGS
    name: str = ""


@dataclass(frozen=True, slots=True)
class LogStart:
    """Where the event log begins.

    Attributes:
        time: The time of its oldest event, as ZITADEL wrote it; empty if it has none.
        is_complete: Whether that event is the creation of the instance. Otherwise
            ZITADEL does not show older events any more (its audit-log retention).
    """

    time: str
    is_complete: bool


def in_sequence(events: Iterable[PolicyEvent]) -> list[PolicyEvent]:
    """Return events in which those of each aggregate are ordered by their sequence.

    ZITADEL orders events by time, which is the start of a transaction. Of two changes
    of one policy at the same moment, the one that counts is that with the higher
    sequence. The places of each aggregate among the others stay the same.

    Args:
        events: Events ordered by time.
    """
    listed = list(events)
    places: dict[str, list[int]] = {}
    for place, event in enumerate(listed):
        places.setdefault(event.id.aggregate, []).append(place)
    ordered = listed.copy()
    for own in places.values():
        sorted_ = sorted((listed[place] for place in own), key=lambda one: one.id)
        for place, event in zip(own, sorted_, strict=True):
            ordered[place] = event
    return ordered
