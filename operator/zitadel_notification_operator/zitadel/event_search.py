"""Searches ZITADEL's event log for events about what may have drifted.

The call is POST `/admin/v1/events/_search` with the permission `events.read`. Times are
exclusive bounds, `asc` sorts by position, and a search without results returns `{}`.
"""

from typing import Annotated

from pydantic import BeforeValidator, Field

from zitadel_notification_operator.core.events import EventId, EventKind, ZitadelEvent
from zitadel_notification_operator.core.identity import User
from zitadel_notification_operator.core.text import shown_name

from .calls import EVENTS, Call, post
from .models import Id, Model, Sequence

KINDS = {
    "org.policy.notification.added": EventKind.ORGANIZATION_POLICY,
    "org.policy.notification.changed": EventKind.ORGANIZATION_POLICY,
    "org.policy.notification.removed": EventKind.ORGANIZATION_POLICY_REMOVED,
    "org.added": EventKind.ORGANIZATION,
    "org.changed": EventKind.ORGANIZATION,
    "org.deactivated": EventKind.ORGANIZATION,
    "org.reactivated": EventKind.ORGANIZATION,
    "org.domain.primary.set": EventKind.ORGANIZATION,
    "org.removed": EventKind.ORGANIZATION_REMOVED,
    "instance.policy.notification.added": EventKind.INSTANCE_POLICY,
    "instance.policy.notification.changed": EventKind.INSTANCE_POLICY,
}
_ORGANIZATION_POLICY_TYPES = [
    name for name in KINDS if name.startswith("org.policy.notification.")
]
_INSTANCE_POLICY_TYPES = [
    name for name in KINDS if name.startswith("instance.policy.notification.")
]
_FILTER: dict[str, object] = {
    "aggregateTypes": ["org", "instance"],
    "eventTypes": list(KINDS),
}


def _or_nothing(value: object) -> object:
    """Treat a value that is not text as absent."""
    return value if isinstance(value, str) else ""


Text = Annotated[str, BeforeValidator(_or_nothing)]


class EditorBody(Model):
    """`zitadel.event.v1.Editor`. For set-up's own events it has only a `service`."""

    user_id: str = Field(default="", alias="userId")
    display_name: str = Field(default="", alias="displayName")


class AggregateBody(Model):
    """`zitadel.event.v1.Aggregate`."""

    id: Id


class TypeBody(Model):
    """`zitadel.event.v1.EventType`."""

    type: str


class EventBody(Model):
    """`zitadel.event.v1.Event` without its payload: a GET shows the present value.

    Attributes:
        creation_date: Any text. An event without a readable time still names its
            target.
    """

    editor: EditorBody = EditorBody()
    aggregate: AggregateBody
    sequence: Sequence
    creation_date: Text = Field(default="", alias="creationDate")
    type: TypeBody


class EventsReply(Model):
    """The reply to a search; `{}` if there are no results."""

    events: tuple[EventBody, ...] = ()


def events_after(since: str | None, limit: int) -> Call:
    """Return the call for the events after a time, oldest first.

    Args:
        since: The exclusive start, RFC 3339; None for the beginning of the log.
        limit: The number of events, at most 1,000.
    """
    body = _FILTER | {"asc": True, "limit": limit}
    if since is not None:
        body["range"] = {"since": since}
    return post(EVENTS, body, paged=True)


def any_event() -> Call:
    """Return the call for the newest event of any kind."""
    return post(EVENTS, {"limit": 1})


def last_event() -> Call:
    """Return the call for the newest relevant event. ZITADEL sorts newest first."""
    return post(EVENTS, _FILTER | {"limit": 1})


def last_policy_event(organization_id: str | None) -> Call:
    """Return the call for the newest event of one notification policy.

    With `aggregateId`, ZITADEL sorts by sequence, newest first. No other field works,
    because an organization's event may have another `resourceOwner`.

    Args:
        organization_id: The owner of the policy; None for the instance. An instance has
            only one aggregate of its type, so its id is not needed.
    """
    body: dict[str, object] = {"limit": 1}
    if organization_id is None:
        body |= {"aggregateTypes": ["instance"], "eventTypes": _INSTANCE_POLICY_TYPES}
    else:
        body |= {"aggregateTypes": ["org"], "eventTypes": _ORGANIZATION_POLICY_TYPES}
        body["aggregateId"] = organization_id
    return post(EVENTS, body)


def events_in(reply: EventsReply) -> list[ZitadelEvent]:
    """Return the relevant events of a reply. Events of other kinds are left out."""
    return [
        ZitadelEvent(
            EventId(body.aggregate.id, int(body.sequence)),
            KINDS[body.type.type],
            body.creation_date,
            User(body.editor.user_id, shown_name(body.editor.display_name))
            if body.editor.user_id
            else None,
        )
        for body in reply.events
        if body.type.type in KINDS
    ]
