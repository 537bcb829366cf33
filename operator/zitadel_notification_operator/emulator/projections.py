"""What follows from the log: policies and organizations as they are now."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from zitadel_notification_operator.emulator.answers import timestamp
from zitadel_notification_operator.emulator.events import Event

ORG_POLICY = "org.policy.notification."
INSTANCE_POLICY = "instance.policy.notification."


@dataclass(frozen=True, slots=True)
class Policy:
    """A notification policy: its value, and the events that made and changed it."""

    password_change: bool
    created: Event
    changed: Event

    def details(self) -> dict[str, Any]:
        """Return `details` as a GET gives them."""
        return {
            "sequence": str(self.changed.sequence),
            "creationDate": timestamp(self.created.time),
            "changeDate": timestamp(self.changed.time),
            "resourceOwner": self.changed.aggregate,
        }


@dataclass(frozen=True, slots=True)
class Organization:
    """An organization; `removed` ones are still found by id."""

    id: str
    name: str
    state: str
    created: Event
    changed: Event

    @property
    def removed(self) -> bool:
        """Whether it has been removed: it has no state then."""
        return not self.state


def written_policy(events: Iterable[Event], prefix: str) -> Policy | None:
    """Return the policy as a write sees it: by its own events alone."""
    policy: Policy | None = None
    for event in events:
        if not event.type.startswith(prefix):
            continue
        match event.type.removeprefix(prefix):
            case "added":
                policy = Policy(event.payload["passwordChange"], event, event)
            case "changed" if policy is not None:
                value = event.payload["passwordChange"]
                policy = Policy(value, policy.created, event)
            case "removed":
                policy = None
            case _:
                pass
    return policy


def shown_policy(events: list[Event], prefix: str) -> Policy | None:
    """Return the policy as a GET shows it: the removal of its owner ends it.

    Events after the removal do not bring it back, except `added`: ZITADEL's
    projection inserts a row for a removed organization then.
    """
    removal = next((n for n, e in enumerate(events) if e.type == "org.removed"), None)
    if removal is None:
        return written_policy(events, prefix)
    return written_policy(events[removal:], prefix)


def organization(events: list[Event]) -> Organization | None:
    """Return an organization by its events; None when there are none."""
    if not events:
        return None
    state = "ORG_STATE_ACTIVE"
    name = ""
    for event in events:
        match event.type:
            case "org.added":
                name = event.payload["name"]
            case "org.deactivated":
                state = "ORG_STATE_INACTIVE"
            case "org.reactivated":
                state = "ORG_STATE_ACTIVE"
            case "org.removed":
                state = ""
            case _:
                pass
    return Organization(events[0].aggregate, name, state, events[0], events[-1])
