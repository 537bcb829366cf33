"""Notification policies in each state, with details from the log."""

import asyncio
from datetime import UTC, datetime

import pytest

from shared.api import (
    ACME,
    ADMIN,
    DEFAULT,
    GLOBEX,
    INSTANCE,
    ME,
    POLICY,
    Api,
    outcome,
)
from zitadel_emulator.answers import timestamp
from zitadel_emulator.server import new_emulator


async def test_states_of_an_organization(api: Api) -> None:
    """PUT never creates, POST never changes, DELETE of nothing is 404."""
    assert (await api.policy(ACME))["isDefault"] is True
    expected = [
        ("PUT", False, (404, 5, "ORG-x029n3")),
        ("DELETE", False, (404, 5, "ORG-x029n1s")),
        ("POST", False, (200, 0, "")),
        ("POST", True, (409, 6, "Org-xa08n2")),
        ("PUT", False, (400, 9, "Org-ioqnxz")),
        ("PUT", True, (200, 0, "")),
        ("DELETE", False, (200, 0, "")),
        ("PUT", True, (404, 5, "ORG-x029n3")),
        ("POST", True, (200, 0, "")),
    ]
    for method, value, result in expected:
        assert outcome(await api.write(method, ACME, value)) == result
    own = await api.policy(ACME)
    assert (own.get("isDefault"), own["passwordChange"]) == (None, True)


async def test_instance_without_a_policy(api: Api) -> None:
    """Old instances have none: GETs are 404, POST creates it, nothing removes it."""
    await api.control("DELETE", "instance-policy")
    missing = (404, 5, "QUERY-x0so2p")
    assert outcome(await api.call("GET", ADMIN)) == missing
    assert outcome(await api.call("GET", POLICY, ACME)) == missing
    assert outcome(await api.call("GET", DEFAULT, ACME)) == missing
    put = await api.write("PUT", None, value=True)
    assert outcome(put) == (404, 5, "INSTANCE-x891na")
    assert outcome(await api.write("POST", ACME, value=True)) == (200, 0, "")
    assert (await api.policy(ACME))["passwordChange"] is True
    post = await api.write("POST", None, value=False)
    assert outcome(post) == (200, 0, "")
    assert (await api.policy())["details"]["sequence"] == post.json()["details"][
        "sequence"
    ]
    again = await api.write("POST", None, value=False)
    assert outcome(again) == (409, 6, "INSTANCE-xpo1bj")


async def test_sequences_count_all_events_of_their_organization(api: Api) -> None:
    """A member in between makes an organization's counter jump."""
    first = (await api.write("POST", ACME, value=True)).json()["details"]
    made = await api.control("POST", "tokens", {"roles": ["ORG_OWNER"]})
    member = {"userId": made.json()["userId"], "roles": ["ORG_OWNER"]}
    await api.call("POST", ME + "/members", ACME, body=member)
    await api.write("POST", GLOBEX, value=True)
    second = (await api.write("PUT", ACME, value=False)).json()["details"]
    assert int(second["sequence"]) == int(first["sequence"]) + 2
    events = (await api.control("GET", f"events?aggregate={ACME}")).json()
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "org.policy.notification.changed"


async def test_details_of_each_call(api: Api) -> None:
    """POST has no change date, PUT and DELETE no creation date, GET has both."""
    post = (await api.write("POST", ACME, value=True)).json()["details"]
    fresh = (await api.policy(ACME))["details"]
    assert fresh["creationDate"] == fresh["changeDate"] == post["creationDate"]
    put = (await api.write("PUT", ACME, value=False)).json()["details"]
    shown = (await api.policy(ACME))["details"]
    delete = (await api.write("DELETE", ACME, value=False)).json()["details"]
    assert post.keys() == {"sequence", "creationDate", "resourceOwner"}
    assert put.keys() == delete.keys() == {"sequence", "changeDate", "resourceOwner"}
    assert shown == {**put, "creationDate": post["creationDate"]}
    inherited = await api.policy(ACME)
    assert inherited["details"]["resourceOwner"] == INSTANCE


async def test_removed_organization_that_had_a_policy(api: Api) -> None:
    """Writes still see the policy, GETs do not (ZITADEL: 200 without change)."""
    await api.write("POST", ACME, value=True)
    assert (await api.call("DELETE", ME, ACME)).status_code == 200
    assert (await api.policy(ACME))["isDefault"] is True
    assert outcome(await api.write("POST", ACME, value=True)) == (409, 6, "Org-xa08n2")
    assert outcome(await api.write("PUT", ACME, value=False)) == (200, 0, "")
    assert (await api.policy(ACME))["isDefault"] is True
    assert outcome(await api.write("DELETE", ACME, value=False)) == (200, 0, "")


async def test_removed_organization_that_had_none(api: Api) -> None:
    """POST creates a policy of a removed organization."""
    await api.call("DELETE", ME, ACME)
    put = await api.write("PUT", ACME, value=True)
    assert outcome(put) == (404, 5, "ORG-x029n3")
    assert outcome(await api.write("POST", ACME, value=False)) == (200, 0, "")
    assert "isDefault" not in await api.policy(ACME)


async def test_parallel_writers_get_200_or_not_changed(api: Api) -> None:
    """Every event has its own number, and there is no other response."""
    await api.write("POST", ACME, value=False)
    writes = (api.write("PUT", ACME, value=n % 2 == 0) for n in range(40))
    outcomes = [outcome(answer) for answer in await asyncio.gather(*writes)]
    assert set(outcomes) <= {(200, 0, ""), (400, 9, "Org-ioqnxz")}
    events = (await api.control("GET", f"events?aggregate={ACME}")).json()
    changed = [e for e in events if e["type"].endswith(".changed")]
    assert len(changed) == outcomes.count((200, 0, ""))
    numbers = [event["sequence"] for event in events]
    assert numbers == sorted(set(numbers))


async def test_parallel_creators_make_one_policy(api: Api) -> None:
    """One POST succeeds; the others get "already exists"."""
    posts = (api.write("POST", ACME, value=True) for _ in range(20))
    outcomes = [outcome(answer) for answer in await asyncio.gather(*posts)]
    assert outcomes.count((200, 0, "")) == 1
    assert outcomes.count((409, 6, "Org-xa08n2")) == 19


async def test_stale_reads(api: Api) -> None:
    """This number of GETs does not show the last write."""
    await api.write("POST", ACME, value=True)
    await api.control("PUT", "behavior", {"stale_reads": 2})
    seen = ["isDefault" in await api.policy(ACME) for _ in range(3)]
    assert seen == [True, True, False]
    await api.control("PUT", "behavior", {"stale_milliseconds": 60_000})
    assert "isDefault" in await api.policy(ACME)
    await api.control("PUT", "behavior", {})
    assert "isDefault" not in await api.policy(ACME)


async def test_other_behavior(api: Api) -> None:
    """A broken projection, unknown fields, a deprecation header."""
    await api.control("PUT", "behavior", {"projection_broken": True})
    assert outcome(await api.call("GET", POLICY, ACME)) == (500, 2, "")
    assert outcome(await api.write("POST", ACME, value=True)) == (200, 0, "")
    await api.control("PUT", "behavior", {"extra_fields": True, "deprecation": True})
    answer = await api.call("GET", POLICY, ACME)
    assert answer.headers["Deprecation"] == "true"
    assert "emailChange" in answer.json()["policy"]


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "2026-01-01T00:00:00Z"),
        (120_000, "2026-01-01T00:00:00.120Z"),
        (120, "2026-01-01T00:00:00.000120Z"),
        (100_200, "2026-01-01T00:00:00.100200Z"),
    ],
)
def test_groups_of_zeros_are_cut_from_times(microseconds: int, text: str) -> None:
    """Times have 0, 3 or 6 digits, as protobuf writes them."""
    moment = datetime(2026, 1, 1, microsecond=microseconds, tzinfo=UTC)
    assert timestamp(moment) == text


def test_times_rise_even_when_the_clock_stands_still() -> None:
    """Two transactions never share a time; the events of one do."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    log = new_emulator("t", clock=lambda: moment).zitadel.log
    times = [event.time for event in log.all]
    assert times == sorted(times)
    assert len({event.time for event in log.of(ACME)}) == 1
    assert log.of(ACME)[0].time < log.of(GLOBEX)[0].time


async def test_white_space_differs_between_answers(api: Api) -> None:
    """So no client can compare bodies as bytes."""
    answers = [await api.call("GET", ADMIN) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert answers[0].text != answers[1].text
