"""The read side after lost events: every row of the table, as a client sees it."""

import asyncio
from datetime import timedelta

import httpx
import pytest

from shared.api import ACME, DEFAULT, GLOBEX, ME, POLICY, Api, outcome
from shared.sides import (
    EXISTS,
    FAILS,
    INHERITED,
    NO_DELETE,
    NO_PUT,
    OK,
    SAME,
    WINDOW,
    Time,
    assert_both_sides_agree,
    behave,
    get,
    lose,
    losses,
    miss_added,
    miss_changed,
    miss_removed,
    seen,
    write,
)
from zitadel_emulator.server import new_emulator, serve

each_value = pytest.mark.parametrize("x", [True, False])
each_pair = pytest.mark.parametrize(
    ("x", "y"), [(True, True), (True, False), (False, True), (False, False)]
)


@pytest.fixture
def api(still: Api) -> Api:
    """A client of an emulator whose clock stands still."""
    return still


@each_value
async def test_missed_added_is_seen(api: Api, x: bool) -> None:
    """GET shows inherited, POST says it exists, PUT works without effect on GETs."""
    await miss_added(api, x)
    assert await seen(api) == INHERITED
    assert await write(api, "POST", x) == EXISTS
    assert await write(api, "PUT", x) == SAME
    assert await write(api, "PUT", not x) == OK
    assert await seen(api) == INHERITED


@each_pair
async def test_missed_added_is_repaired(api: Api, x: bool, y: bool) -> None:
    """DELETE, POST x: only the last step changes what a GET shows."""
    await miss_added(api, y)
    assert await write(api, "DELETE") == OK
    assert await seen(api) == INHERITED
    assert await write(api, "POST", x) == OK
    await assert_both_sides_agree(api, x)


@each_value
async def test_missed_added_of_one_that_is_to_inherit(api: Api, x: bool) -> None:
    """DELETE is enough."""
    await miss_added(api, x)
    assert await write(api, "DELETE") == OK
    await assert_both_sides_agree(api, None)


@each_value
async def test_missed_changed_is_seen(api: Api, x: bool) -> None:
    """GET shows its own y with old details; PUT x is refused as not changed."""
    assert await write(api, "POST", not x) == OK
    before = await api.policy(ACME)
    await lose(api, "changed")
    assert await write(api, "PUT", x) == OK
    assert await api.policy(ACME) == before
    assert await write(api, "PUT", x) == SAME
    assert await write(api, "POST", x) == EXISTS


@each_value
async def test_missed_changed_is_repaired(api: Api, x: bool) -> None:
    """PUT y, PUT x: only the last step changes what a GET shows."""
    await miss_changed(api, shown=not x, written=x)
    assert await write(api, "PUT", not x) == OK
    assert await seen(api) == (False, not x)
    assert await write(api, "PUT", x) == OK
    await assert_both_sides_agree(api, x)


@each_value
async def test_missed_changed_of_one_that_is_to_inherit(api: Api, x: bool) -> None:
    """DELETE is enough."""
    await miss_changed(api, shown=not x, written=x)
    assert await write(api, "DELETE") == OK
    await assert_both_sides_agree(api, None)


@each_value
async def test_missed_removed_is_seen(api: Api, x: bool) -> None:
    """GET shows its own with old details; PUT and DELETE say that there is none."""
    assert await write(api, "POST", x) == OK
    before = await api.policy(ACME)
    await lose(api, "removed")
    assert await write(api, "DELETE") == OK
    assert await api.policy(ACME) == before
    assert await write(api, "PUT", x) == NO_PUT
    assert await write(api, "PUT", not x) == NO_PUT
    assert await write(api, "DELETE") == NO_DELETE


@each_pair
async def test_missed_removed_is_repaired(
    api: Api, time: Time, x: bool, y: bool
) -> None:
    """POST x; after the failing insert, if another value is shown: PUT y, PUT x."""
    await miss_removed(api, y)
    before = await api.policy(ACME)
    assert await write(api, "POST", x) == OK
    assert await get(api) == FAILS
    time.pass_by(WINDOW)
    assert await api.policy(ACME) == before
    if x != y:
        assert await write(api, "PUT", y) == OK
        assert await seen(api) == (False, y)
        assert await write(api, "PUT", x) == OK
    await assert_both_sides_agree(api, x)


@each_value
async def test_missed_removed_of_one_that_is_to_inherit(
    api: Api, time: Time, x: bool
) -> None:
    """POST y, DELETE: the first changes nothing that GETs show."""
    await miss_removed(api, x)
    assert await write(api, "POST", x) == OK
    assert await get(api) == FAILS
    time.pass_by(WINDOW)
    assert await seen(api) == (False, x)
    assert await write(api, "DELETE") == OK
    await assert_both_sides_agree(api, None)


@each_value
async def test_missed_change_of_the_instance(api: Api, x: bool) -> None:
    """PUT y, PUT x repairs it; organizations inherit what the GET shows."""
    if x:
        assert outcome(await api.write("PUT", None, value=False)) == OK
    await lose(api, "changed", instance=True)
    assert outcome(await api.write("PUT", None, value=x)) == OK
    for org in (None, ACME):
        assert await seen(api, org) == (True, not x)
    refused = await api.write("PUT", None, value=x)
    assert outcome(refused) == (400, 9, "INSTANCE-29x02n")
    assert outcome(await api.write("PUT", None, value=not x)) == OK
    assert await seen(api, None) == (True, not x)
    assert outcome(await api.write("PUT", None, value=x)) == OK
    for org in (None, ACME):
        assert await seen(api, org) == (True, x)
    assert await losses(api) == []


async def test_missed_policy_of_an_instance_that_had_none(api: Api) -> None:
    """GETs still show none, and POST says that it exists."""
    await api.control("DELETE", "instance-policy")
    await lose(api, "added", instance=True)
    assert outcome(await api.write("POST", None, value=True)) == OK
    assert await get(api, DEFAULT) == (404, 5, "QUERY-x0so2p")
    refused = await api.write("POST", None, value=True)
    assert outcome(refused) == (409, 6, "INSTANCE-xpo1bj")


async def test_failing_insert_is_reported_in_zitadels_manner(api: Api) -> None:
    """HTTP 500 with code, message and details as ZITADEL writes them."""
    await miss_removed(api, shown=True)
    await write(api, "POST", True)
    answer = await api.call("GET", POLICY, ACME)
    assert answer.status_code == 500
    assert answer.json() == {
        "code": 13,
        "message": "exec failed (CRDB-pKtsr)",
        "details": [
            {
                "@type": "type.googleapis.com/zitadel.v1.ErrorDetail",
                "id": "CRDB-pKtsr",
                "message": "exec failed",
            }
        ],
    }


async def test_failing_insert_holds_everybody_up(api: Api, time: Time) -> None:
    """There is one projection, so GETs of all organizations and the instance fail.

    Writes are decided as usual; the projection applies them once it goes on.
    """
    await miss_removed(api, shown=True)
    assert await write(api, "POST", True) == OK
    assert await write(api, "POST", False, GLOBEX) == OK
    assert await write(api, "PUT", False) == OK
    time.pass_by(WINDOW - timedelta(milliseconds=1))
    for path in (POLICY, DEFAULT):
        for org in (ACME, GLOBEX):
            assert await get(api, path, org) == FAILS
    assert outcome(await api.call("GET", "/admin/v1/policies/notification")) == FAILS
    assert (await api.call("GET", ME, GLOBEX)).status_code == 200
    time.pass_by(timedelta(milliseconds=1))
    assert await seen(api, ACME) == (False, False)
    assert await seen(api, GLOBEX) == (False, False)
    assert await seen(api, None) == INHERITED


async def test_second_failing_insert_comes_after_the_first(
    api: Api, time: Time
) -> None:
    """The projection keeps the order, so two failures take twice as long."""
    for org in (ACME, GLOBEX):
        await write(api, "POST", True, org)
    await lose(api, "removed", count=2)
    for org in (ACME, GLOBEX):
        assert await write(api, "DELETE", org=org) == OK
    for org in (ACME, GLOBEX):
        assert await write(api, "POST", False, org) == OK
    time.pass_by(WINDOW * 1.5)
    assert await get(api) == FAILS
    time.pass_by(WINDOW * 0.5)
    assert await seen(api, ACME) == await seen(api, GLOBEX) == (False, True)


async def test_length_of_the_failure_is_a_switch(api: Api, time: Time) -> None:
    """The default is 5 seconds; with 0 the event is given up at once."""
    shown = (await api.control("GET", "behavior")).json()
    assert shown["projection_retry_milliseconds"] == 5000
    await behave(api, projection_retry_milliseconds=200)
    await miss_removed(api, shown=True)
    assert await write(api, "POST", False) == OK
    time.pass_by(timedelta(milliseconds=199))
    assert await get(api) == FAILS
    time.pass_by(timedelta(milliseconds=1))
    assert await seen(api) == (False, True)
    await behave(api, projection_retry_milliseconds=0)
    await lose(api, "removed")
    assert await write(api, "DELETE") == OK
    assert await write(api, "POST", False) == OK
    assert await seen(api) == (False, True)


@pytest.mark.clock
async def test_failing_insert_ends_by_itself() -> None:
    """After this time, by the wall clock, GETs work again."""
    async with (
        serve(new_emulator("owner-token-5e1")) as emulator,
        httpx.AsyncClient(base_url=emulator.url, timeout=5) as client,
    ):
        api = Api(emulator, client)
        await behave(api, projection_retry_milliseconds=2000)
        await miss_removed(api, shown=True)
        assert await write(api, "POST", True) == OK
        assert await get(api) == FAILS
        await asyncio.sleep(2.1)
        await assert_both_sides_agree(api, True)


async def test_serial_writes_lose_nothing_by_themselves(api: Api) -> None:
    """The next GET shows each write with its details."""
    for turn in range(40):
        own = "isDefault" not in await api.policy(ACME)
        method = ("POST", "PUT", "PUT", "DELETE")[turn % 4]
        assert own is (method != "POST")
        answer = await api.write(method, ACME, value=turn % 4 == 1)
        assert outcome(answer) == OK
        policy = await api.policy(ACME)
        if method == "DELETE":
            assert await seen(api) == INHERITED
        else:
            details = answer.json()["details"]
            assert policy["details"]["sequence"] == details["sequence"]
            assert policy.get("passwordChange", False) is (turn % 4 == 1)


async def test_broken_projection_comes_before_the_failing_insert(
    api: Api, time: Time
) -> None:
    """Its switch decides; events are applied meanwhile."""
    await miss_removed(api, shown=True)
    await write(api, "POST", False)
    await behave(api, projection_broken=True)
    assert await get(api) == (500, 2, "")
    await behave(api)
    assert await get(api) == FAILS
    time.pass_by(WINDOW)
    assert await seen(api) == (False, True)


async def test_removed_organization_loses_its_row(api: Api) -> None:
    """This includes a row that should have gone before; POST creates a new one."""
    await miss_removed(api, shown=False)
    assert await seen(api) == (False, False)
    assert (await api.call("DELETE", ME, ACME)).status_code == 200
    assert await seen(api) == INHERITED
    assert await write(api, "POST", False) == OK
    assert await seen(api) == (False, False)
