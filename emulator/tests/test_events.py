"""The search for events: filters, order, contents, and the switches of the clock."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from time import process_time
from typing import Any

import pytest

from shared.api import ACME, ADMIN, GLOBEX, INSTANCE, ME, POLICY, Api, outcome
from shared.events import (
    ADDED,
    CHANGED,
    POLICIES,
    REMOVED,
    SEARCH,
    events,
    numbers,
)
from zitadel_emulator.server import Emulator

LONG = 100_000


async def write_some(api: Api) -> None:
    """Write five events of policies: 5 to 8 of ACME, and 5 of Globex between them."""
    await api.write("POST", ACME, value=False)
    await api.write("PUT", ACME, value=True)
    await api.write("POST", GLOBEX, value=True)
    await api.write("PUT", ACME, value=False)
    await api.call("DELETE", POLICY, ACME)


WRITTEN = [(ACME, 5), (ACME, 6), (GLOBEX, 5), (ACME, 7), (ACME, 8)]


async def test_events_of_policies(api: Api) -> None:
    """Each has editor, aggregate, payload and type, and no other is found."""
    await write_some(api)
    found = await events(api)
    user = (await api.call("GET", "/auth/v1/users/me")).json()["user"]
    assert [event["type"]["type"] for event in found] == [
        *(ADDED, CHANGED, ADDED, CHANGED, REMOVED)
    ]
    assert [event.get("payload") for event in found] == [
        {},
        {"passwordChange": True},
        {"passwordChange": True},
        {"passwordChange": False},
        None,
    ]
    assert "payload" not in found[-1]
    first = {**found[0]}
    assert datetime.fromisoformat(first.pop("creationDate")) < datetime.now(UTC)
    assert first == {
        "editor": {
            "userId": user["id"],
            "displayName": user["machine"]["name"],
            "service": "zitadel",
        },
        "aggregate": {
            "id": ACME,
            "type": {
                "type": "org",
                "localized": {
                    "key": "AggregateTypes.org",
                    "localizedMessage": "Organization",
                },
            },
            "resourceOwner": ACME,
        },
        "sequence": "5",
        "payload": {},
        "type": {
            "type": ADDED,
            "localized": {
                "key": f"EventTypes.{ADDED}",
                "localizedMessage": "Notification policy added",
            },
        },
    }


async def test_another_writer(api: Api) -> None:
    """The event names the user who changes a policy, with id and name."""
    maria = await api.user(name="Maria Muster", roles=["IAM_OWNER"])
    body = {"passwordChange": False}
    answer = await api.call("PUT", ADMIN, token=maria["token"], body=body)
    assert answer.status_code == 200
    kinds = ["instance.policy.notification.changed"]
    (found,) = await events(api, eventTypes=kinds)
    assert found["editor"] == {
        "userId": maria["userId"],
        "displayName": "Maria Muster",
        "service": "zitadel",
    }
    assert found["aggregate"]["id"] == INSTANCE
    assert [found] == await events(api, eventTypes=[], editorUserId=maria["userId"])


async def test_removal_over_the_control_path(api: Api) -> None:
    """Its event has no user and no payload."""
    await api.control("PUT", f"organizations/{ACME}", {"state": "removed"})
    (found,) = await events(api, eventTypes=["org.removed"])
    assert found["editor"] == {"service": "zitadel"}
    assert found["aggregate"]["id"] == ACME
    assert "payload" not in found


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, WRITTEN),
        ({"asc": False}, WRITTEN[::-1]),
        ({"asc": False, "limit": 2}, WRITTEN[:-3:-1]),
        ({"limit": "2"}, WRITTEN[:2]),
        ({"limit": 0}, WRITTEN),
        ({"limit": 1001}, WRITTEN),
        ({"eventTypes": [CHANGED]}, [(ACME, 6), (ACME, 7)]),
        ({"eventTypes": [ADDED[:-1]]}, []),
        ({"aggregateTypes": ["org"]}, WRITTEN),
        ({"aggregateTypes": ["instance", "user"]}, []),
        ({"aggregateId": GLOBEX}, [(GLOBEX, 5)]),
        ({"aggregateId": "1"}, []),
        ({"resourceOwner": GLOBEX}, [(GLOBEX, 5)]),
        ({"aggregateId": GLOBEX, "resourceOwner": ACME}, []),
        ({"editorUserId": "1"}, []),
        ({"sequence": "6"}, [(ACME, 7), (ACME, 8)]),
        ({"sequence": 6, "asc": False, "aggregateId": ACME}, [(ACME, 5)]),
        ({"sequence": 0}, WRITTEN),
        ({"aggregate_id": GLOBEX, "nosuch": 1}, [(GLOBEX, 5)]),
    ],
    ids=str,
)
async def test_filters(
    api: Api, wanted: dict[str, Any], expected: list[tuple[str, int]]
) -> None:
    """Each filter works, alone and combined, in both orders."""
    await write_some(api)
    assert await numbers(api, **wanted) == expected


async def test_nothing_found(api: Api) -> None:
    """The response is an empty object."""
    answer = await api.call("POST", SEARCH, body={"eventTypes": POLICIES})
    assert (answer.status_code, answer.json()) == (200, {})


async def test_times_are_exclusive_bounds(api: Api) -> None:
    """This holds for `range`, `from` in both orders, and the old name of `from`."""
    await write_some(api)
    time = [event["creationDate"] for event in await events(api)]
    assert sorted(set(time)) == time
    for bounds, expected in (
        ({"since": time[1]}, WRITTEN[2:]),
        ({"until": time[1]}, WRITTEN[:1]),
        ({"since": time[1], "until": time[4]}, WRITTEN[2:4]),
        ({"since": time[4], "until": time[1]}, []),
        ({}, WRITTEN),
    ):
        assert await numbers(api, range=bounds) == expected
        assert await numbers(api, range=bounds, asc=False) == expected[::-1]
        # A range ends what the old field says.
        assert await numbers(api, range=bounds, creationDate=time[2]) == expected
    for name in ("from", "creationDate"):
        assert await numbers(api, **{name: time[2]}) == WRITTEN[3:]
        assert await numbers(api, **{name: time[2]}, asc=False) == WRITTEN[1::-1]


async def test_precision_is_a_microsecond(api: Api) -> None:
    """Further digits are cut off, and time zones count."""
    await write_some(api)
    first = (await events(api))[0]["creationDate"]
    moment = datetime.fromisoformat(first)
    exact = moment.strftime("%Y-%m-%dT%H:%M:%S.%f")
    before = (moment - timedelta(microseconds=1)).isoformat()
    assert await numbers(api, range={"since": exact + "999Z"}) == WRITTEN[1:]
    assert await numbers(api, range={"until": exact + "999Z"}) == []
    assert await numbers(api, range={"since": before}) == WRITTEN
    shifted = (moment + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S.%f+02:00")
    assert await numbers(api, range={"since": shifted}) == WRITTEN[1:]


async def test_one_write_has_one_time(api: Api) -> None:
    """Its events share the time, and keep their order."""
    name = {"name": "Initech"}
    made = await api.call("POST", "/management/v1/orgs", body=name)
    wanted = {"eventTypes": [], "resourceOwner": made.json()["id"]}
    found = await events(api, **wanted)
    assert len({event["creationDate"] for event in found}) == 1
    assert [event["sequence"] for event in found] == list("12345")
    assert await events(api, **wanted, asc=False) == found[::-1]


async def test_at_most_a_thousand(api: Api, emulator: Emulator) -> None:
    """A response never has more, whatever the limit."""
    for number in range(1010):
        emulator.zitadel.log.append(ACME, "org.changed", name=str(number))
    for limit in (0, 1001, 5000):
        found = await events(api, eventTypes=["org.changed"], limit=limit)
        assert len(found) == 1000
    assert len(await events(api, eventTypes=["org.changed"], limit=1000)) == 1000


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (
            {"eventTypes": ["a"] * 31},
            "ListEventsRequest.EventTypes: value must contain no more than 30 item(s)",
        ),
        (
            {"aggregateTypes": ["a"] * 11},
            "ListEventsRequest.AggregateTypes: value must contain no more than 10",
        ),
        ({"range": {"since": "yesterday"}}, "since"),
        ({"range": {}, "from": "2026-01-01T00:00:00Z"}, "creation_date_filter"),
        ({"limit": -1}, "limit"),
        ({"asc": "yes"}, "asc"),
    ],
    ids=["types", "aggregates", "since", "two", "limit", "asc"],
)
async def test_bad_searches(api: Api, body: dict[str, Any], why: str) -> None:
    """They get 400 and code 3 without details, and the field is named."""
    answer = await api.call("POST", SEARCH, body=body)
    assert outcome(answer) == (400, 3, "")
    assert why in answer.json()["message"]


async def test_as_many_types_as_allowed(api: Api) -> None:
    """30 event types and 10 aggregate types are accepted."""
    kinds = ["a"] * 29 + [ADDED]
    await write_some(api)
    found = await numbers(api, eventTypes=kinds, aggregateTypes=["b"] * 9 + ["org"])
    assert found == [(ACME, 5), (GLOBEX, 5)]


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("IAM_OWNER", (200, 0, "")),
        ("IAM_OWNER_VIEWER", (200, 0, "")),
        ("IAM_ORG_MANAGER", (403, 7, "AUTH-5mWD2")),
    ],
)
async def test_permission(api: Api, role: str, expected: tuple[int, int, str]) -> None:
    """The search requires `events.read`."""
    token = (await api.user(roles=[role]))["token"]
    answer = await api.call("POST", SEARCH, token=token, body={})
    assert outcome(answer) == expected


async def test_texts_follow_the_language(api: Api) -> None:
    """Names and keys do not; an event without a text shows its key."""
    body = {"limit": 1, "asc": True, "eventTypes": ["instance.member.added"]}
    german = await api.call(
        "POST", SEARCH, body=body, headers={"Accept-Language": "de"}
    )
    (found,) = german.json()["events"]
    assert found["aggregate"]["type"]["localized"]["localizedMessage"] == "Instanz"
    key = "EventTypes.instance.member.added"
    assert found["type"]["localized"] == {"key": key, "localizedMessage": key}


def turn_clock(api: Api, seconds: float) -> None:
    """Turn the emulator's clock forward."""
    ahead = timedelta(seconds=seconds)
    api.emulator.zitadel.log.clock = lambda: datetime.now(UTC) + ahead


async def test_retention(api: Api) -> None:
    """Old events are hidden, even from a search by their time."""
    await write_some(api)
    turn_clock(api, 61)
    await api.control("PUT", "behavior", {"event_retention_seconds": 60})
    await api.write("PUT", GLOBEX, value=False)
    assert await numbers(api) == [(GLOBEX, 6)]
    assert await numbers(api, range={"since": "2020-01-01T00:00:00Z"}) == [(GLOBEX, 6)]
    assert await numbers(api, asc=False) == [(GLOBEX, 6)]
    assert (await api.policy(GLOBEX)).get("passwordChange") is None
    await api.control("PUT", "behavior", {"event_retention_seconds": 0})
    assert await numbers(api) == [*WRITTEN, (GLOBEX, 6)]


async def test_late_events(api: Api) -> None:
    """An event appears after a younger one, in its place; only searches miss it."""
    await api.control("PUT", "behavior", {"event_lag_milliseconds": 60_000})
    await api.write("POST", ACME, value=True)
    await api.control("PUT", "behavior", {})
    await api.write("POST", GLOBEX, value=True)
    assert await numbers(api) == [(GLOBEX, 5)]
    assert "isDefault" not in await api.policy(ACME)
    log = (await api.control("GET", f"events?aggregate={ACME}")).json()
    assert log[-1]["type"] == ADDED
    turn_clock(api, 61)
    assert await numbers(api) == [(ACME, 5), (GLOBEX, 5)]


async def test_clock_ahead(api: Api) -> None:
    """Events, token expiry and the Date header follow the server's clock."""
    body = {"clock_skew_milliseconds": 3_600_000}
    end = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    token = (await api.user(expiration=end))["token"]
    assert (await api.call("GET", ADMIN, token=token)).status_code == 200
    assert (await api.control("PUT", "behavior", body)).json()[
        "clock_skew_milliseconds"
    ] == 3_600_000
    await api.write("POST", ACME, value=True)
    answer = await api.call("GET", ME)
    ahead = datetime.now(UTC) + timedelta(minutes=59)
    (found,) = await events(api)
    assert datetime.fromisoformat(found["creationDate"]) > ahead
    assert parsedate_to_datetime(answer.headers["Date"]) > ahead
    assert (await api.call("GET", ADMIN, token=token)).status_code == 401


async def test_clock_behind(api: Api) -> None:
    """Tokens live longer; no event is older than the one before it."""
    await api.control("PUT", "behavior", {"clock_skew_milliseconds": -3_600_000})
    await write_some(api)
    time = [event["creationDate"] for event in await events(api)]
    assert sorted(set(time)) == time
    answer = await api.call("GET", ME)
    behind = datetime.now(UTC) - timedelta(minutes=59)
    assert parsedate_to_datetime(answer.headers["Date"]) < behind


@pytest.mark.parametrize(
    "body",
    [
        {"event_lag_milliseconds": -1},
        {"event_retention_seconds": "1"},
        {"event_retention_seconds": 10**11},
        {"clock_skew_milliseconds": -(10**11)},
        {"clock_skew_milliseconds": True},
    ],
    ids=str,
)
async def test_bad_switches(api: Api, body: dict[str, Any]) -> None:
    """They are refused with the field's name, and change nothing."""
    answer = await api.control("PUT", "behavior", body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(*body)
    shown = (await api.control("GET", "behavior")).json()
    assert shown["clock_skew_milliseconds"] == shown["event_retention_seconds"] == 0


async def test_unknown_fields(api: Api) -> None:
    """With the switch an event has a field that no client knows."""
    await write_some(api)
    await api.control("PUT", "behavior", {"extra_fields": True})
    assert (await events(api))[0]["future"] == {"field": "1"}


async def test_the_end_of_a_long_log_is_found_at_once(
    api: Api, emulator: Emulator
) -> None:
    """A search near the end does not read the events before."""
    log = emulator.zitadel.log
    for number in range(LONG):
        log.append((ACME, GLOBEX)[number % 2], CHANGED, passwordChange=True)
    since = log.all[-10].time.isoformat()
    best = 1.0
    for _ in range(20):
        begin = process_time()
        found = await numbers(api, range={"since": since})
        best = min(best, process_time() - begin)
    assert len(found) == 9
    assert best < 0.01
