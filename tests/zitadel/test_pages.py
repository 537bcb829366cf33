"""Searches by pages: refused limits, and responses that are too long."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from zitadel.servers import CREATED, Server, failure, policy, refusal, reply
from zitadel_notification_operator.core.errors import PageTooLarge, TransientError
from zitadel_notification_operator.core.event_cursor import EventCursor
from zitadel_notification_operator.core.events import (
    Cursor,
    EventId,
    EventKind,
    parse_moment,
)
from zitadel_notification_operator.core.paging import SMALLEST, PageSize
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.core.unseen_writes import UnseenWrites
from zitadel_notification_operator.engine.calls.instance_state import EVENTS as PAGE
from zitadel_notification_operator.engine.calls.organization_cache import (
    OrganizationCache,
)
from zitadel_notification_operator.engine.drift.event_reading import Reading, Search
from zitadel_notification_operator.zitadel.calls import EVENTS
from zitadel_notification_operator.zitadel.client import ZitadelClient

Answer = Callable[[dict[str, Any]], web.StreamResponse]
BY_ID = refusal(3, "QUERY-4M0fs", "Query limit exceeded")
BY_FIELD = refusal(
    3, text="invalid ListEventsRequest.Limit: value must be less than or equal to 100"
)


def event(number: int, **fields: Any) -> dict[str, Any]:
    """Return an event of a separate organization, a second after the one before."""
    time = f"2026-01-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z"
    return {
        "editor": {"userId": "u", "displayName": "Jane", "service": "zitadel"},
        "aggregate": {"id": f"o{number}", "type": {"type": "org"}},
        "sequence": "7",
        "creationDate": time,
        "type": {"type": "org.policy.notification.changed"},
        **fields,
    }


def limits_of(server: Server) -> list[int]:
    """Return the limits of the requests."""
    bodies = [json.loads(seen.body) for seen in server.seen]
    return [body.get("limit") or body["query"]["limit"] for body in bodies]


def answer_by(server: Server, answer: Answer) -> None:
    """Choose the response by the request's JSON."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return answer(await request.json())

    server.answer = handle


def log_of(events: list[dict[str, Any]], most: int, no: object) -> Answer:
    """Return a log that refuses limits above `most`, or silently returns fewer."""

    def answer(body: dict[str, Any]) -> web.StreamResponse:
        if body["limit"] > most and no is not None:
            return reply(no, 400)
        since = parse_moment(body.get("range", {}).get("since", "2000-01-01T00:00:00Z"))
        found = [e for e in events if parse_moment(e["creationDate"]) > since]
        found = found if body.get("asc") else found[::-1]
        return reply({"events": found[: min(body["limit"], most)]})

    return answer


@pytest.mark.parametrize("no", [BY_ID, BY_FIELD, None], ids=["id", "field", "silent"])
async def test_all_events_are_read_whatever_the_most_is(
    client: ZitadelClient, server: Server, no: object
) -> None:
    """The next search begins with the limit that was found."""
    answer_by(server, log_of([event(number) for number in range(350)], 100, no))
    looks: list[None] = []
    size = PageSize(250)
    search = Search(client, size, UnseenWrites(), lambda: looks.append(None))
    cursor = Cursor("2026-01-01T00:00:00Z", EventId("o0", 7))
    reading = Reading(("", ""), 0.0, EventCursor(cursor), begun=True)
    found = await search.run(reading, 0.0)
    assert [event.id.aggregate for event in found] == [f"o{n}" for n in range(350)]
    assert size.rows == (250 if no is None else 62)
    assert looks == []
    before = len(server.seen)
    assert await search.run(reading, 0.0) == []
    assert limits_of(server)[before] == size.rows


async def test_names_are_found_in_a_list_of_smaller_pages(
    client: ZitadelClient, server: Server
) -> None:
    """Two names are looked up at once (field fault 13)."""
    rows = [{"id": f"o{n}", "name": f"Name {n:03}"} for n in range(110)]

    def answer(body: dict[str, Any]) -> web.StreamResponse:
        query = body["query"]
        if query["limit"] > 100:
            return reply(BY_ID, 400)
        found = rows
        if "queries" in body:
            wanted = body["queries"][0]["nameQuery"]["name"].lower()
            found = [row for row in rows if row["name"].lower() == wanted]
        offset = int(query.get("offset", 0))
        details = {"totalResult": str(len(found)), "timestamp": CREATED}
        page = found[offset : offset + query["limit"]]
        return reply({"details": details, "result": page})

    answer_by(server, answer)
    page = PageSize(1000)
    organization_cache = OrganizationCache(client, lists=True, page=page)
    found = await asyncio.gather(
        *(
            organization_cache.find(Reference(By.NAME, f"name {n:03}"), lambda: 2)
            for n in (3, 108)
        )
    )
    assert [one.id for one in found] == ["o3", "o108"]
    assert limits_of(server) == [1000, 500, 250, 125, 62, 62]


async def test_an_answer_that_is_too_long_is_asked_for_in_halves(
    client: ZitadelClient, server: Server
) -> None:
    """A proxy's page of any length is no answer."""
    long = {"userId": "u", "displayName": "\N{PILE OF POO}" * 5000}
    events = [event(number, editor=long) for number in range(100)]

    def answer(body: dict[str, Any]) -> web.StreamResponse:
        found = json.dumps({"events": events[: body["limit"]]}, ensure_ascii=False)
        return reply(found)

    answer_by(server, answer)
    error = await failure(client.events(None, 100))
    assert isinstance(error, PageTooLarge)
    assert len(await client.events(None, 50)) == 50
    server.always("<html>" + " " * (1 << 20))
    error = await failure(client.events(None, 100))
    assert isinstance(error, TransientError)
    assert error.reason is Reason.UNEXPECTED_ANSWER


async def test_the_longest_events_of_a_page_fit() -> None:
    """A page has 250 events with the longest names and ids."""
    name = "\N{PILE OF POO}" * 400
    one = event(
        1,
        editor={"userId": "u" * 200, "displayName": name, "service": "zitadel"},
        aggregate={
            "id": "o" * 200,
            "type": {"type": "org", "localized": {"localizedMessage": "x" * 100}},
            "resourceOwner": "o" * 200,
        },
    )
    whole = json.dumps({"events": [one] * PAGE}, ensure_ascii=False).encode()
    assert len(whole) < 1 << 20


async def test_a_limit_that_is_refused_at_any_size_is_reported(
    client: ZitadelClient, server: Server
) -> None:
    """The size is reset, because it was not the cause."""
    server.always(BY_ID, 400)
    page = PageSize(1000)
    organization_cache = OrganizationCache(client, lists=True, page=page)
    error = await failure(
        organization_cache.find(Reference(By.NAME, "ACME"), lambda: 2)
    )
    assert error.reason is Reason.REQUEST_REFUSED
    assert limits_of(server)[-1] == SMALLEST
    assert page.rows == 1000


async def test_one_without_pages_is_refused_as_ever(
    client: ZitadelClient, server: Server
) -> None:
    server.always(BY_ID, 400)
    error = await failure(client.newest_event())
    assert error.reason is Reason.REQUEST_REFUSED
    assert not isinstance(error, PageTooLarge)


async def test_a_search_that_is_limited_stops_no_other_call(
    client: ZitadelClient, server: Server
) -> None:
    """The event search's Retry-After applies only to it, so polling works."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == EVENTS:
            return reply(refusal(8), 429, Retry_After="60")
        return reply(policy())

    server.answer = answer
    error = await failure(client.events(None, 10))
    assert isinstance(error, TransientError)
    assert error.retry_after == 60
    assert await client.observe("org-a") is not None


@pytest.mark.parametrize("time", [None, 7, "", "yesterday", "0001-01-01T00:00:00Z"])
async def test_an_event_s_time_may_be_anything(
    client: ZitadelClient, server: Server, time: object
) -> None:
    """The event is reported once, and moves no cursor."""
    odd, good = event(1, creationDate=time), event(2)
    server.always({"events": [good, odd]})
    found = await client.events(None, 10)
    assert {one.kind for one in found} == {EventKind.ORGANIZATION_POLICY}
    event_cursor = EventCursor()
    assert [one.id.aggregate for one in event_cursor.take(found)] == ["o2", "o1"]
    assert event_cursor.cursor is not None
    assert event_cursor.cursor.id.aggregate == "o2"
    assert event_cursor.take(found) == []


async def test_a_log_that_shows_anything_has_events(
    client: ZitadelClient, server: Server
) -> None:
    """Events of any kind show that the log can be read."""
    server.always({"events": [event(1, type={"type": "user.human.added"})]})
    assert await client.has_events()
    assert "eventTypes" not in json.loads(server.seen[-1].body)
    assert await client.events(None, 10) == []
    server.always({})
    assert not await client.has_events()
