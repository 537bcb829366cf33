"""The current state of policies and organizations, computed from their events."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from .events import Event

ORG_POLICY = "org.policy.notification."
INSTANCE_POLICY = "instance.policy.notification."
OWNER_REMOVED = "org.removed"


@dataclass(frozen=True, slots=True)
class Policy:
    """A notification policy, with the events that created and last changed it.

    Attributes:
        values: The values by lowerCamel name; absent ones are false, zero or empty.
    """

    values: Mapping[str, Any]
    created: Event
    changed: Event


class State(StrEnum):
    """The state of an organization; ZITADEL sends no state for a removed one."""

    ACTIVE = "ORG_STATE_ACTIVE"
    INACTIVE = "ORG_STATE_INACTIVE"
    REMOVED = ""


@dataclass(frozen=True, slots=True)
class Organization:
    """An organization; a removed one can still be looked up by id.

    Attributes:
        primary_domain: The domain that answers show. It is generated from the name
            unless another domain was made primary.
        domains: All verified domains.
        created: The organization's first event.
        changed: The organization's last event of any kind.
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
        """Whether the organization has been removed."""
        return self.state is State.REMOVED


def written_policy(events: Iterable[Event], prefix: str) -> Policy | None:
    """Return the policy as a write sees it, computed from the policy's own events.

    ZITADEL: the write models of `policies/notification` ignore `org.removed`, so the
    policy of a removed organization can still be changed.
    """
    policy: Policy | None = None
    for event in events:
        if not event.type.startswith(prefix):
            continue
        match event.type.removeprefix(prefix):
            case "added":
                policy = Policy(event.payload, event, event)
            case "changed" if policy is not None:
                # ZITADEL: a `changed` event contains only the values that changed.
                values = {**policy.values, **event.payload}
                policy = Policy(values, policy.created, event)
            case "removed":
                policy = None
            case _:
                pass
    return policy


def shown_policy(events: Iterable[Event], prefix: str) -> Policy | None:
    """Return the policy as a GET shows it, which is the row in the projection's table.

    It differs from what a write sees in two ways. First, the removal of the owning
    organization deletes the row. Only a later `added` event creates one again, because
    ZITADEL inserts a row even for a removed organization. Second, an `added` event
    changes nothing while there is a row, because the insert fails. `read_side` reports
    that failure to clients.

    Args:
        events: The events that the projection has processed, in this order.
        prefix: The prefix of the types of the policy's own events.
    """
    policy: Policy | None = None
    for event in events:
        if event.type in {OWNER_REMOVED, prefix + "removed"}:
            policy = None
        elif event.type == prefix + "added":
            policy = policy or Policy(event.payload, event, event)
        elif event.type == prefix + "changed" and policy is not None:
            # ZITADEL: the statement is an UPDATE of the columns in the event.
            values = {**policy.values, **event.payload}
            policy = Policy(values, policy.created, event)
    return policy


def organization(events: Sequence[Event]) -> Organization | None:
    """Return the organization that these events describe.

    Returns:
        None if there are no events, or if they are not those of an organization.
    """
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
