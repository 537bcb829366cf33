"""Events with their values, as people who audit read them."""

import json

import pytest

from support.settings import mailing
from zitadel.servers import Server, failure
from zitadel_notification_operator.core.identity import User
from zitadel_notification_operator.core.policy_events import LogStart, PolicyEventKind
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.zitadel.client import ZitadelClient

TIME = "2026-11-22T03:41:38.399789Z"


def event(kind: str, **fields: object) -> dict[str, object]:
    """Return an event in the form of a recording of a real server."""
    return {
        "editor": {"userId": "u-1", "displayName": "Anna", "service": "zitadel"},
        "aggregate": {"id": "org-a", "type": {"type": "org"}, "resourceOwner": "org-a"},
        "sequence": "7",
        "creationDate": TIME,
        "type": {"type": kind, "localized": {"key": f"EventTypes.{kind}"}},
        **fields,
    }


POLICY = "org.policy.notification."


@pytest.mark.parametrize(
    ("verb", "payload", "value"),
    [
        ("added", {"passwordChange": True}, True),
        # ZITADEL leaves out what is false in a policy that was added.
        ("added", {}, False),
        ("added", None, False),
        ("changed", {"passwordChange": False}, False),
        ("changed", {"passwordChange": True, "future": 1}, True),
        ("changed", {"future": True}, None),
        ("changed", {"passwordChange": "true"}, None),
        ("changed", [True], None),
        ("removed", None, None),
    ],
)
async def test_the_value_in_an_event(
    client: ZitadelClient, server: Server, verb: str, payload: object, value: bool
) -> None:
    fields = {} if payload is None else {"payload": payload}
    server.always({"events": [event(POLICY + verb, **fields)]})
    (found,) = await client.policy_events(None, 10)
    assert found.kind == verb.capitalize()
    assert mailing(found.settings) is value
    assert (found.id, found.time) == (("org-a", 7), TIME)
    assert found.editor == User("u-1", "Anna")
    assert not found.of_instance


async def test_the_name_in_an_event(client: ZitadelClient, server: Server) -> None:
    """It is on one line. Events of ZITADEL itself have no user."""
    added = event("org.added", payload={"name": "AC\nME"}, editor={"service": "z"})
    server.always({"events": [added, event("org.domain.added"), event("org.removed")]})
    first, second = await client.policy_events(None, 10)
    assert (first.name, first.editor) == ("AC ME", None)
    assert second.kind is PolicyEventKind.ORGANIZATION_REMOVED


async def test_an_event_without_a_time_is_no_history(
    client: ZitadelClient, server: Server
) -> None:
    server.always({"events": [event(POLICY + "removed", creationDate="soon")]})
    error = await failure(client.policy_events(None, 10))
    assert error.reason is Reason.UNEXPECTED_ANSWER


async def test_the_search(client: ZitadelClient, server: Server) -> None:
    """It is for the oldest events after a time, of all kinds that matter."""
    server.always({})
    assert await client.policy_events(TIME, 500) == []
    body = json.loads(server.seen[0].body)
    kinds = body.pop("eventTypes")
    assert body == {
        "aggregateTypes": ["org", "instance"],
        "asc": True,
        "limit": 500,
        "range": {"since": TIME},
    }
    assert len(kinds) == 8
    assert len(set(kinds)) == 8


@pytest.mark.parametrize(
    ("answer", "start"),
    [
        ({}, LogStart("", is_complete=False)),
        ({"events": [event("instance.added")]}, LogStart(TIME, is_complete=True)),
        ({"events": [event("user.human.added")]}, LogStart(TIME, is_complete=False)),
    ],
)
async def test_where_the_log_begins(
    client: ZitadelClient, server: Server, answer: object, start: LogStart
) -> None:
    server.always(answer)
    assert await client.log_start() == start
    assert json.loads(server.seen[0].body) == {"asc": True, "limit": 1}
