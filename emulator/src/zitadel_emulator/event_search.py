"""POST /admin/v1/events/_search, the search for events and their editors.

Source: ZITADEL: `proto/zitadel/admin.proto`, `internal/api/grpc/admin/event.go`. The
form of the answer follows a recording of a real server.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from .answers import BAD_INPUT, Refusal, Reply, allowed, lean, ok, timestamp
from .effects import Context
from .events import Event
from .history import MOST, Wanted, aggregate_type
from .messages import Fields, Kind, Part

FIELDS: Fields = {
    "sequence": Kind.UINT64,
    "limit": Kind.UINT32,
    "asc": Kind.BOOL,
    "editorUserId": Kind.TEXT,
    "eventTypes": Kind.TEXTS,
    "aggregateId": Kind.TEXT,
    "aggregateTypes": Kind.TEXTS,
    "resourceOwner": Kind.TEXT,
    "creationDate": Kind.MOMENT,
    "range": Part({"since": Kind.MOMENT, "until": Kind.MOMENT}),
    "from": Kind.MOMENT,
}
"""The fields of the request; `creationDate` is the old name of `from`."""

_ENGLISH = {
    "AggregateTypes.instance": "Instance",
    "AggregateTypes.org": "Organization",
    "AggregateTypes.user": "User",
    "EventTypes.instance.added": "Instance added",
    "EventTypes.org.policy.notification.added": "Notification policy added",
    "EventTypes.org.policy.notification.changed": "Notification policy changed",
    "EventTypes.org.policy.notification.removed": "Notification policy removed",
}
"""The recorded texts by key; as in ZITADEL, a key without a text is shown itself."""

_GERMAN = {
    "AggregateTypes.instance": "Instanz",
    "AggregateTypes.org": "Organisation",
    "AggregateTypes.user": "Benutzer",
}
_MOST_ITEMS = {"eventTypes": 30, "aggregateTypes": 10}
_TWO_FILTERS = (
    'proto:\u00a0error parsing "from", oneof '
    "zitadel.admin.v1.ListEventsRequest.creation_date_filter is already set"
)
_SERVICE = "zitadel"
_ADDED_POLICY = "policy.notification.added"


def events(c: Context) -> Reply:
    """Serve the search: answer with the events that match, or `{}` if none does.

    Raises:
        Refusal: The request has too many types, two filters for the time, or too high
            a limit.
    """
    wanted = _wanted(c.message, c.zitadel.behavior.largest_limit)
    retention = timedelta(seconds=c.zitadel.behavior.event_retention_seconds)
    found = c.zitadel.history.search(wanted, retention)
    names = {editor: _display_name(c, editor) for editor in {e.editor for e in found}}
    return ok(lean({"events": [_item(c, e, names[e.editor]) for e in found]}))


def _wanted(message: Mapping[str, Any], largest: int) -> Wanted:
    for name, most in _MOST_ITEMS.items():
        if len(message.get(name, ())) > most:
            field = f"invalid ListEventsRequest.{name[0].upper()}{name[1:]}"
            why = f"value must contain no more than {most} item(s)"
            raise Refusal(BAD_INPUT, f"{field}: {why}")
    ascending = bool(message.get("asc"))
    since, until = _times(message, ascending=ascending)
    limit = allowed(message.get("limit", 0), largest)
    return Wanted(
        ascending=ascending,
        limit=limit if 0 < limit <= MOST else MOST,
        sequence=message.get("sequence", 0),
        editor=message.get("editorUserId", ""),
        aggregate=message.get("aggregateId", ""),
        owner=message.get("resourceOwner", ""),
        types=frozenset(message.get("eventTypes", ())),
        aggregate_types=frozenset(message.get("aggregateTypes", ())),
        since=since,
        until=until,
    )


def _times(
    message: Mapping[str, Any], *, ascending: bool
) -> tuple[datetime | None, datetime | None]:
    """Return the earliest and the latest time, both exclusive.

    A `range` in the request overrides `creationDate`.

    Raises:
        Refusal: The request has both a `range` and `from`.
    """
    if "range" in message:
        if "from" in message:
            raise Refusal(BAD_INPUT, _TWO_FILTERS)
        bounds = message["range"]
        return _moment(bounds.get("since")), _moment(bounds.get("until"))
    bound = _moment(message.get("from", message.get("creationDate")))
    return (bound, None) if ascending else (None, bound)


def _moment(text: str | None) -> datetime | None:
    # Digits after the microseconds are dropped, as they are on the way to PostgreSQL.
    return None if text is None else datetime.fromisoformat(text)


def _display_name(c: Context, editor: str) -> str:
    user = c.zitadel.access.find(editor)
    return user.name if user else ""


def _item(c: Context, event: Event, editor: str) -> dict[str, Any]:
    kind = aggregate_type(event)
    item: dict[str, Any] = {
        "editor": lean(
            {"userId": event.editor, "displayName": editor, "service": _SERVICE}
        ),
        "aggregate": {
            "id": event.aggregate,
            "type": _typed("AggregateTypes", kind, c.language),
            "resourceOwner": event.owner,
        },
        "sequence": str(event.sequence),
        "creationDate": timestamp(event.time),
    }
    # Most events without values have no payload at all, but the `added` event of a
    # policy whose values are all false has an empty one.
    if event.payload or event.type.endswith(_ADDED_POLICY):
        item["payload"] = dict(event.payload)
    item["type"] = _typed("EventTypes", event.type, c.language)
    if c.zitadel.behavior.extra_fields:
        item["future"] = {"field": "1"}
    return item


def _typed(group: str, name: str, language: str) -> dict[str, Any]:
    key = f"{group}.{name}"
    text = _ENGLISH.get(key, key)
    if language.startswith("de"):
        text = _GERMAN.get(key, key)
    return {"type": name, "localized": {"key": key, "localizedMessage": text}}
