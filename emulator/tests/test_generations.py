"""The differences between builds of ZITADEL, by switches of the control path."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.api import ACME, ADMIN, GLOBEX, POLICY, Api, outcome
from shared.events import SEARCH, events, numbers
from zitadel_emulator.server import new_emulator

ORGANIZATIONS = "/v2/organizations/_search"
JWT_LIKE = "eyJ" + "a" * 277
SHORT = timedelta(seconds=20)
DISCOVERY = "/.well-known/openid-configuration"


async def test_newer_servers_without_a_database(api: Api) -> None:
    """API calls get 500, code 13 and an id, even without a token."""
    await api.control("PUT", "behavior", {"database_error": "internal"})
    assert (await api.call("GET", ADMIN)).status_code == 200
    await api.control("PUT", "database", {"down": True})
    for answer in (
        await api.call("GET", ADMIN),
        await api.call("PUT", POLICY, ACME, body={}),
        await api.call("POST", SEARCH, body={}),
        await api.call("GET", ADMIN, headers={"Authorization": ""}),
        await api.client.get("/admin/v1/healthz"),
    ):
        assert outcome(answer) == (500, 13, "QUERY-d3fas")
    for answer in (await api.client.get(DISCOVERY), await api.token("x")):
        assert answer.status_code == 500
        assert "QUERY-d3fas" in answer.text
    assert (await api.client.get("/debug/ready")).status_code == 412
    await api.control("PUT", "database", {"down": False})
    assert (await api.call("GET", ADMIN)).status_code == 200


async def test_errors_with_slugs(api: Api) -> None:
    """The details have a slug instead of an id, which is in the message."""
    await api.control("PUT", "behavior", {"error_slugs": True})
    answer = await api.write("PUT", ACME, value=True)
    assert outcome_of_slug(answer.json()) == (5, "emulator.not_found")
    assert answer.json()["message"] == "Notification Policy not found (ORG-x029n3)"
    nobody = await api.call("GET", ADMIN, token="nobody")
    assert outcome_of_slug(nobody.json()) == (16, "emulator.unauthenticated")
    bare = await api.call("GET", ADMIN, headers={"Authorization": ""})
    assert "details" not in bare.json()


def outcome_of_slug(body: dict[str, Any]) -> tuple[int, str]:
    """Return code and slug of an error."""
    (detail,) = body["details"]
    assert detail.keys() == {"@type", "slug", "message"}
    assert detail["@type"] == "type.googleapis.com/zitadel.error.v2.ErrorDetail"
    return body["code"], detail["slug"]


@pytest.mark.parametrize(
    ("path", "at"),
    [
        (ORGANIZATIONS, "query"),
        ("/admin/v1/orgs/_search", "query"),
        ("/auth/v1/memberships/me/_search", "query"),
        (SEARCH, ""),
    ],
)
async def test_greater_limits_are_refused(api: Api, path: str, at: str) -> None:
    """They get 400 with an id; the largest limit is the default, too."""
    await api.control("PUT", "behavior", {"largest_limit": 2})

    async def search(limit: int) -> tuple[tuple[int, int, str], int]:
        body = {at: {"limit": limit}} if at else {"limit": limit}
        answer = await api.call("POST", path, body=body)
        content = answer.json()
        rows = content.get("result", content.get("events", []))
        return outcome(answer), len(rows)

    most = 1 if "memberships" in path else 2
    assert await search(3) == ((400, 3, "QUERY-4M0fs"), 0)
    assert (await search(1))[1] == 1
    assert await search(2) == await search(0)
    assert (await search(2))[1] >= most


async def test_an_event_has_the_time_at_which_its_transaction_began(api: Api) -> None:
    """It appears at once, before events that were written earlier."""
    await api.write("POST", GLOBEX, value=True)
    (before,) = await events(api)
    await api.control("PUT", "behavior", {"transaction_milliseconds": 60_000})
    start = datetime.now(UTC)
    await api.write("POST", ACME, value=True)
    assert await numbers(api) == [(ACME, 5), (GLOBEX, 5)]
    assert await numbers(api, asc=False, limit=1) == [(GLOBEX, 5)]
    assert await numbers(api, range={"since": before["creationDate"]}) == []
    began = datetime.fromisoformat((await events(api))[0]["creationDate"])
    assert began - start == pytest.approx(timedelta(seconds=-60), abs=SHORT)
    assert (await api.policy(ACME))["passwordChange"] is True
    log = (await api.control("GET", "events")).json()
    assert [event["aggregate"] for event in log[-2:]] == [GLOBEX, ACME]


async def test_numbers_of_one_organization_may_be_against_their_times(api: Api) -> None:
    """A search of one aggregate sorts by number, and filters by time."""
    await api.write("POST", ACME, value=True)
    (first,) = await events(api)
    await api.control("PUT", "behavior", {"transaction_milliseconds": 60_000})
    await api.write("PUT", ACME, value=False)
    assert await numbers(api) == [(ACME, 6), (ACME, 5)]
    assert await numbers(api, aggregateId=ACME) == [(ACME, 5), (ACME, 6)]
    until = {"until": first["creationDate"]}
    assert await numbers(api, aggregateId=ACME, range=until) == [(ACME, 6)]


def test_two_transactions_never_share_a_time() -> None:
    """This holds for equal beginnings and for a clock that stands still."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    zitadel = new_emulator("t", clock=lambda: moment).zitadel
    zitadel.behavior.transaction_milliseconds = 1000
    times = [zitadel.log.append(ACME, "org.changed", name="x").time for _ in range(5)]
    assert len(set(times)) == 5
    by_time = [event.time for event in zitadel.log.by_time]
    assert by_time == sorted(by_time)
    assert by_time[:5] == sorted(times)


async def test_tokens_of_280_characters(api: Api) -> None:
    """Any user may have one; a text that is in use is refused."""
    made = await api.user(token=JWT_LIKE, roles=["IAM_OWNER_VIEWER"])
    assert made["token"] == JWT_LIKE
    assert (await api.call("GET", ADMIN, token=JWT_LIKE)).status_code == 200
    users = len((await api.control("GET", "users")).json())
    again = await api.control("POST", "users", {"token": JWT_LIKE})
    assert (again.status_code, again.json()["error"]) == (400, "token: is in use")
    assert len((await api.control("GET", "users")).json()) == users
    more = {"credential": "token", "token": JWT_LIKE + "b"}
    path = f"users/{made['userId']}/credentials"
    assert (await api.control("POST", path, more)).json()["token"] == JWT_LIKE + "b"
    key = {"credential": "key", "token": "x"}
    assert (await api.control("POST", path, key)).status_code == 400


async def test_headers_that_announce_an_end(api: Api) -> None:
    """A fault with only headers adds them to ZITADEL's response."""
    headers = {"Deprecation": "@1767225600", "Sunset": "Fri, 01 Jan 2027 00:00:00 GMT"}
    await api.control("POST", "faults", {"path": "/management", "headers": headers})
    answer = await api.call("GET", POLICY, ACME)
    assert answer.json()["policy"]["isDefault"] is True
    assert {name: answer.headers.get(name) for name in headers} == headers
    assert "Sunset" not in (await api.call("GET", ADMIN)).headers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("database_error", "gone"),
        ("largest_limit", -1),
        ("transaction_milliseconds", -1),
        ("error_slugs", "yes"),
    ],
)
async def test_bad_switches_name_the_field(api: Api, name: str, value: object) -> None:
    """The response is 400, and the switch stays as it is."""
    answer = await api.control("PUT", "behavior", {name: value})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(name)
