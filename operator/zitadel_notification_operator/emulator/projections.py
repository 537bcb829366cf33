"""What follows from the log: policies and organizations as they are now."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from zitadel_notification_operator.emulator.events import Event

ORG_POLICY = "org.policy.notification."
INSTANCE_POLICY = "instance.policy.notification."


@dataclass(frozen=True, slots=True)
class Policy:
    """A notification policy: its value, and the events that made and changed it."""

    password_change: bool
    created: Event
    changed: Event


class State(StrEnum):
    """What can be said of an organization; ZITADEL gives a removed one no state."""

    ACTIVE = "ORG_STATE_ACTIVE"
    INACTIVE = "ORG_STATE_INACTIVE"
    REMOVED = ""


@dataclass(frozen=True, slots=True)
class Organization:
    """An organization; removed ones are still found by id.

    Attributes:
        primary_domain: Made from the name unless another one was made primary.
        domains: All verified domains.
        created: Its first event.
        changed: Its last event of any kind.
    """

    id: str
    name: str
    primary_domain: str
    domains: frozenset[str]
    state: State
    created: Event
    changed: Event

    @property
    def removed(self) -> bool:
        """Whether it has been removed."""
        return self.state is State.REMOVED


def written_policy(events: Iterable[Event], prefix: str) -> Policy | None:
    """Return the policy as a write sees it: by its own events alone.

    ZITADEL: the write models of `policies/notification` do not look at `org.removed`,
    so a policy of a removed organization can still be changed.
    """
    policy: Policy | None = None
    for event in events:
        if not event.type.startswith(prefix):
            continue
        match event.type.removeprefix(prefix):
            case "added":
                policy = Policy(_value(event), event, event)
            case "changed" if policy is not None:
                policy = Policy(_value(event), policy.created, event)
            case "removed":
                policy = None
            case _:
                pass
    return policy


def shown_policy(events: Sequence[Event], prefix: str) -> Policy | None:
    """Return the policy as a GET shows it: the removal of its owner ends it.

    Events after the removal do not bring it back, except `added`: ZITADEL's
    projection inserts a row for a removed organization then.
    """
    removal = next((n for n, e in enumerate(events) if e.type == "org.removed"), 0)
    return written_policy(events[removal:], prefix)


def organization(events: Sequence[Event]) -> Organization | None:
    """Return an organization by its events; None when there are none."""
    if not events or events[0].type != "org.added":
        return None
    state = State.ACTIVE
    name = domain = ""
    domains: set[str] = set()
    for event in events:
        match event.type:
            case "org.added" | "org.changed":
                name = event.payload["name"]
            case "org.domain.verified":
                domains.add(event.payload["domain"])
            case "org.domain.removed":
                domains.discard(event.payload["domain"])
            case "org.domain.primary.set":
                domain = event.payload["domain"]
            case "org.deactivated":
                state = State.INACTIVE
            case "org.reactivated":
                state = State.ACTIVE
            case "org.removed":
                state = State.REMOVED
            case _:
                pass
    first, last = events[0], events[-1]
    return Organization(
        first.aggregate, name, domain, frozenset(domains), state, first, last
    )


def _value(event: Event) -> bool:
    # ZITADEL: the payload of `added` is empty when the value is false.
    return bool(event.payload.get("passwordChange"))
