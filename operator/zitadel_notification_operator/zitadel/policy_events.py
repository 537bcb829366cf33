"""Searches ZITADEL's event log for what happened to policies, with the values.

This is for people who audit. The operator's own searches (`event_search`) leave the
values out, because a GET shows what is in force now.
"""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from zitadel_notification_operator.core.events import EventId, moment_of
from zitadel_notification_operator.core.identity import User
from zitadel_notification_operator.core.policy_events import (
    LogStart,
    PolicyEvent,
    PolicyEventKind,
)
from zitadel_notification_operator.core.settings import FLAGS, Settings
from zitadel_notification_operator.core.text import shown_name

from .calls import EVENTS, Call, post
from .event_search import EventBody
from .models import Model

_POLICY_VERBS = {
    "added": PolicyEventKind.ADDED,
    "changed": PolicyEventKind.CHANGED,
    "removed": PolicyEventKind.REMOVED,
}
_INSTANCE = "instance.policy.notification."
_KINDS = {
    **{f"org.policy.notification.{v}": kind for v, kind in _POLICY_VERBS.items()},
    f"{_INSTANCE}added": PolicyEventKind.ADDED,
    f"{_INSTANCE}changed": PolicyEventKind.CHANGED,
    "org.added": PolicyEventKind.ORGANIZATION_ADDED,
    "org.changed": PolicyEventKind.ORGANIZATION_RENAMED,
    "org.removed": PolicyEventKind.ORGANIZATION_REMOVED,
}
_FIRST_OF_ALL = "instance.added"
"""The type of the first event of each instance (seen on a real server)."""


def _time(text: str) -> str:
    """Return the text if it is a time.

    Raises:
        ValueError: It is none, so nobody could say what happened when.
    """
    if moment_of(text) is None:
        raise ValueError("not a time")
    return text


def _object(value: object) -> object:
    """Treat a payload that is no JSON object as absent."""
    return value if isinstance(value, dict) else {}


class RecordBody(EventBody):
    """`zitadel.event.v1.Event` with its payload.

    Attributes:
        creation_date: The time, without which a history would be none.
        payload: The new values. Of a policy that was added with false it is empty; a
            policy that was removed has none.
    """

    creation_date: Annotated[str, AfterValidator(_time)] = Field(alias="creationDate")
    payload: Annotated[dict[str, object], BeforeValidator(_object)] = Field(
        default_factory=dict
    )

    @property
    def settings(self) -> Settings:
        """The flags in the payload; those that were left out are None."""
        found = {flag.name: self.payload.get(flag.zitadel_name) for flag in FLAGS}
        return Settings.of(
            {n: value for n, value in found.items() if isinstance(value, bool)}
        )

    @property
    def name(self) -> str:
        """The name in the payload; empty if there is none."""
        found = self.payload.get("name")
        return found if isinstance(found, str) else ""


class RecordsReply(Model):
    """The reply to a search; `{}` if there are no results."""

    events: tuple[RecordBody, ...] = ()


def records_after(since: str | None, limit: int) -> Call:
    """Return the call for the events after a time, oldest first.

    Args:
        since: The exclusive start, RFC 3339; None for the beginning of the log.
        limit: The number of events, at most 1,000.
    """
    body: dict[str, object] = {
        "aggregateTypes": ["org", "instance"],
        "eventTypes": list(_KINDS),
        "asc": True,
        "limit": limit,
    }
    if since is not None:
        body["range"] = {"since": since}
    return post(EVENTS, body, paged=True)


def first_record() -> Call:
    """Return the call for the oldest event of any kind."""
    return post(EVENTS, {"asc": True, "limit": 1})


def start_in(reply: RecordsReply) -> LogStart:
    """Return where the log begins, from the reply to `first_record`."""
    if not reply.events:
        return LogStart("", is_complete=False)
    first = reply.events[0]
    return LogStart(first.creation_date, first.type.type == _FIRST_OF_ALL)


def records_in(reply: RecordsReply) -> list[PolicyEvent]:
    """Return the events of a reply. Events of other kinds are left out."""
    return [_event(body) for body in reply.events if body.type.type in _KINDS]


def _event(body: RecordBody) -> PolicyEvent:
    kind, editor = _KINDS[body.type.type], body.editor
    settings = body.settings
    if kind is PolicyEventKind.ADDED:
        # ZITADEL leaves out what is false.
        settings = settings.merged_into(_ALL_OFF)
    return PolicyEvent(
        id=EventId(body.aggregate.id, int(body.sequence)),
        kind=kind,
        of_instance=body.type.type.startswith(_INSTANCE),
        time=body.creation_date,
        editor=User(editor.user_id, shown_name(editor.display_name))
        if editor.user_id
        else None,
        settings=settings,
        name=shown_name(body.name),
    )


_ALL_OFF = Settings.of({flag.name: False for flag in FLAGS})
