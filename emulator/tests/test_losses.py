"""Losses on demand, and a read side that stops or lags behind."""

from datetime import timedelta
from typing import Any

import pytest

from shared.api import ACME, GLOBEX, POLICY, Api, outcome
from shared.sides import (
    EXISTS,
    FAILS,
    INHERITED,
    OK,
    WINDOW,
    Time,
    behave,
    get,
    lose,
    losses,
    miss_added,
    seen,
    write,
)


@pytest.fixture
def api(still: Api) -> Api:
    """A client of an emulator whose clock stands still."""
    return still


async def test_losses_are_counted_by_kind_and_organization(api: Api) -> None:
    """The oldest match takes an event; GET shows what is left of each."""
    await lose(api, "changed", organization=GLOBEX, count=2)
    await lose(api, "changed")
    await lose(api, "changed", instance=True)
    for org in (ACME, GLOBEX):
        await write(api, "POST", True, org)
    assert await write(api, "PUT", False, GLOBEX) == OK
    assert [(each["kind"], each["left"]) for each in await losses(api)] == [
        ("changed", 1),
        ("changed", 1),
        ("changed", 1),
    ]
    assert await write(api, "PUT", False) == OK
    assert await losses(api) == [
        {
            "kind": "changed",
            "organization": GLOBEX,
            "instance": False,
            "count": 2,
            "left": 1,
        },
        {
            "kind": "changed",
            "organization": None,
            "instance": True,
            "count": 1,
            "left": 1,
        },
    ]
    assert await seen(api, ACME) == await seen(api, GLOBEX) == (False, True)
    assert (await api.control("DELETE", "losses")).status_code == 200
    assert await losses(api) == []
    assert await write(api, "PUT", True, GLOBEX) == OK
    assert await write(api, "PUT", False, GLOBEX) == OK
    assert await seen(api, GLOBEX) == (False, False)


async def test_other_kinds_and_organizations_lose_nothing(api: Api) -> None:
    """A loss waits for its own event."""
    await lose(api, "removed", organization=GLOBEX)
    await lose(api, "added", organization=GLOBEX)
    await lose(api, "changed", instance=True)
    await write(api, "POST", True)
    await write(api, "PUT", False)
    assert await seen(api) == (False, False)
    await write(api, "DELETE")
    assert await seen(api) == INHERITED
    assert [each["left"] for each in await losses(api)] == [1, 1, 1]


async def test_lost_events_stay_in_the_log(api: Api) -> None:
    """The log and the search for events have them; the projection does not."""
    await miss_added(api, value=False)
    kept = (await api.control("GET", f"events?aggregate={ACME}")).json()
    assert kept[-1]["type"] == "org.policy.notification.added"
    wanted = {"aggregateId": ACME, "limit": 1}
    found = await api.call("POST", "/admin/v1/events/_search", body=wanted)
    event = found.json()["events"][0]
    assert event["type"]["type"] == "org.policy.notification.added"


@pytest.mark.parametrize(
    ("loss", "field"),
    [
        ({}, "kind"),
        ({"kind": "gone"}, "kind"),
        ({"kind": 1}, "kind"),
        ({"kind": ["added"]}, "kind"),
        ({"kind": "removed", "instance": True}, "kind"),
        ({"kind": "added", "organization": ""}, "organization"),
        ({"kind": "added", "organization": 7}, "organization"),
        ({"kind": "added", "organization": ACME, "instance": True}, "organization"),
        ({"kind": "added", "instance": "yes"}, "instance"),
        ({"kind": "added", "count": 0}, "count"),
        ({"kind": "added", "count": -1}, "count"),
        ({"kind": "added", "count": 1.5}, "count"),
        ({"kind": "added", "count": True}, "count"),
        ({"kind": "added", "count": "2"}, "count"),
        ({"kind": "added", "every": 2}, "every"),
        ([], "the body"),
    ],
)
async def test_bad_losses_name_the_field(api: Api, loss: object, field: str) -> None:
    """The response is 400 and a sentence; nothing is activated."""
    answer = await api.control("POST", "losses", loss)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(field)
    assert await losses(api) == []


@pytest.mark.parametrize(
    ("switch", "value"),
    [
        ("projection_stopped", 1),
        ("projection_stopped", "true"),
        ("projection_retry_milliseconds", -1),
        ("projection_retry_milliseconds", True),
        ("projection_retry_milliseconds", "5"),
    ],
)
async def test_bad_switches_name_the_field(api: Api, switch: str, value: Any) -> None:
    """The response is 400 and a sentence; nothing is switched."""
    before = (await api.control("GET", "behavior")).json()
    answer = await api.control("PUT", "behavior", {switch: value})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(switch)
    assert (await api.control("GET", "behavior")).json() == before


async def test_projection_that_stands_still_catches_up(api: Api) -> None:
    """It then applies all events in order."""
    await write(api, "POST", True, GLOBEX)
    before = await api.policy(GLOBEX)
    await behave(api, projection_stopped=True)
    assert await write(api, "POST", False) == OK
    assert await write(api, "PUT", True) == OK
    assert await write(api, "PUT", False, GLOBEX) == OK
    assert await write(api, "DELETE", org=GLOBEX) == OK
    last = await api.write("POST", GLOBEX, value=False)
    assert outcome(await api.write("PUT", None, value=False)) == OK
    assert await seen(api, ACME) == await seen(api, None) == INHERITED
    assert await api.policy(GLOBEX) == before
    assert await write(api, "POST", True) == EXISTS
    await behave(api)
    assert await seen(api, ACME) == (False, True)
    after = await api.policy(GLOBEX)
    assert after.get("passwordChange", False) is False
    assert after["details"]["sequence"] == last.json()["details"]["sequence"]
    assert await seen(api, None) == (True, False)


async def test_events_may_be_lost_while_the_projection_stands_still(
    api: Api, time: Time
) -> None:
    """A lost event does not come late; a failing insert fails then."""
    await write(api, "POST", True)
    await lose(api, "removed")
    await behave(api, projection_stopped=True)
    await write(api, "DELETE")
    await write(api, "POST", False)
    assert await seen(api) == (False, True)
    assert await losses(api) == []
    time.pass_by(WINDOW * 2)
    await behave(api)
    time.pass_by(WINDOW / 2)
    assert await get(api) == FAILS
    time.pass_by(WINDOW / 2)
    assert await seen(api) == (False, True)


async def test_details_are_those_of_the_row(api: Api) -> None:
    """Creation is that of its event, the rest that of the last applied one."""
    created = (await api.write("POST", ACME, value=True)).json()["details"]
    taken = (await api.write("PUT", ACME, value=False)).json()["details"]
    await lose(api, "changed")
    await write(api, "PUT", True)
    shown = (await api.policy(ACME))["details"]
    assert shown == {**taken, "creationDate": created["creationDate"]}
    last = (await api.write("PUT", ACME, value=False)).json()["details"]
    shown = (await api.policy(ACME))["details"]
    assert shown == {**last, "creationDate": created["creationDate"]}


async def test_changed_names_only_what_changed(api: Api) -> None:
    """A flag with a lost change keeps its old value when another changes."""
    await api.control("PUT", "policy-flags", {"emailChange": "bool"})
    body = {"passwordChange": True, "emailChange": False}
    await api.call("POST", POLICY, ACME, body=body)
    await lose(api, "changed")
    await api.call("PUT", POLICY, ACME, body=body | {"passwordChange": False})
    both = {"passwordChange": False, "emailChange": True}
    assert outcome(await api.call("PUT", POLICY, ACME, body=both)) == OK
    policy = await api.policy(ACME)
    assert (policy["passwordChange"], policy["emailChange"]) == (True, True)


async def test_lagging_pod_sees_what_was_taken_and_is_old_enough(
    api: Api, time: Time
) -> None:
    """A lost event never comes; the others come late."""
    await write(api, "POST", True)
    time.pass_by(timedelta(seconds=10))
    await lose(api, "changed")
    await write(api, "PUT", False)
    await write(api, "DELETE")
    await behave(api, stale_milliseconds=1000)
    assert await seen(api) == (False, True)
    time.pass_by(timedelta(seconds=2))
    assert await seen(api) == INHERITED
    await write(api, "POST", False)
    await behave(api, stale_reads=1)
    assert await seen(api) == INHERITED
    assert await seen(api) == (False, False)
