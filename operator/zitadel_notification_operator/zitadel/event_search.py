"""ZITADEL's event log, read for what may have drifted.

POST `/admin/v1/events/_search` with `events.read`. Times are exclusive bounds, the
order is by position with `asc`; a search without a hit is `{}` (notes, section 13).
"""

import json

from pydantic import Field

from zitadel_notification_operator.core.events import EventId, EventKind, ZitadelEvent
from zitadel_notification_operator.core.identity import User
from zitadel_notification_operator.core.text import shown_name
from zitadel_notification_operator.zitadel.calls import Call
from zitadel_notification_operator.zitadel.models import Id, Model, Sequence

EVENTS = "/admin/v1/events/_search"

KINDS = {
    "org.policy.notification.added": EventKind.ORGANIZATION_POLICY,
    "org.policy.notification.changed": EventKind.ORGANIZATION_POLICY,
    "org.policy.notification.removed": EventKind.ORGANIZATION_POLICY,
    "org.removed": EventKind.ORGANIZATION_REMOVED,
    "instance.policy.notification.added": EventKind.INSTANCE_POLICY,
    "instance.policy.notification.changed": EventKind.INSTANCE_POLICY,
}
_FILTER: dict[str, object] = {
    "aggregateTypes": ["org", "instance"],
    "eventTypes": list(KINDS),
}


class EditorBody(Model):
    """`zitadel.event.v1.Editor`; set-up's own has only a `service`."""

    user_id: str = Field(default="", alias="userId")
    display_name: str = Field(default="", alias="displayName")


class AggregateBody(Model):
    """`zitadel.event.v1.Aggregate`."""

    id: Id


class TypeBody(Model):
    """`zitadel.event.v1.EventType`."""

    type: str


class EventBody(Model):
    """`zitadel.event.v1.Event`, without its payload: a GET tells what holds now."""

    editor: EditorBody = EditorBody()
    aggregate: AggregateBody
    sequence: Sequence
    creation_date: str = Field(alias="creationDate", min_length=1)
    type: TypeBody


class EventsReply(Model):
    """The reply; `{}` without a hit."""

    events: tuple[EventBody, ...] = ()


def events_after(since: str | None, limit: int) -> Call:
    """Return the call for the events after a moment, oldest first.

    Args:
        since: RFC 3339, exclusive; None: from the beginning.
        limit: At most 1,000.
    """
    body = _FILTER | {"asc": True, "limit": limit}
    if since is not None:
        body["range"] = {"since": since}
    return Call("POST", EVENTS, body=json.dumps(body).encode())


def last_event() -> Call:
    """Return the call for the newest event; newest first is ZITADEL's own order."""
    body = _FILTER | {"limit": 1}
    return Call("POST", EVENTS, body=json.dumps(body).encode())


def events_in(reply: EventsReply) -> list[ZitadelEvent]:
    """Return the events of a reply; those of other kinds say nothing to us."""
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
