"""The calls that set up a test at once: policies, the clock, and a new start."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from shared.api import ACME, ADMIN, GLOBEX, OWN, POLICY, Api, outcome
from shared.sides import behave, lose, losses, seen

MAILS = {"passwordChange": True}
NO_MAILS = {"passwordChange": False}


async def policy(api: Api, org: str = ACME) -> Any:
    """Return what the control path shows of an organization's policy."""
    return (await api.control("GET", f"organizations/{org}/policy")).json()


async def set_policy(api: Api, org: str = ACME, **flags: Any) -> Any:
    """Set an organization's policy over the control path."""
    answer = await api.control("PUT", f"organizations/{org}/policy", flags)
    answer.raise_for_status()
    return answer.json()


async def test_a_policy_is_inherited_set_changed_and_removed(api: Api) -> None:
    """ZITADEL's own calls show the same."""
    inherited = {"shown": MAILS, "inherited": True, "written": None}
    assert await policy(api) == inherited
    off = {"shown": NO_MAILS, "inherited": False, "written": NO_MAILS}
    assert await set_policy(api, passwordChange=False) == off
    assert await policy(api) == off
    assert await seen(api) == (False, False)
    on = {"shown": MAILS, "inherited": False, "written": MAILS}
    assert await set_policy(api, passwordChange=True) == on
    before = (await api.control("GET", f"events?aggregate={ACME}")).json()
    assert await set_policy(api, passwordChange=True) == on
    assert (await api.control("GET", f"events?aggregate={ACME}")).json() == before
    for _ in range(2):
        await api.control("DELETE", f"organizations/{ACME}/policy")
        assert await policy(api) == inherited
    assert await policy(api, GLOBEX) == inherited


async def test_all_organizations_are_set_at_once(api: Api) -> None:
    """All but the credential's own; a value that a policy has already is kept."""
    await set_policy(api, GLOBEX, passwordChange=False)
    before = (await api.control("GET", f"events?aggregate={GLOBEX}")).json()
    answer = await api.control("PUT", "policies", NO_MAILS)
    assert answer.json() == {"organizations": 2}
    off = {"shown": NO_MAILS, "inherited": False, "written": NO_MAILS}
    assert await policy(api, ACME) == await policy(api, GLOBEX) == off
    assert (await policy(api, OWN))["inherited"]
    assert (await api.control("GET", f"events?aggregate={GLOBEX}")).json() == before
    assert await seen(api, ACME) == (False, False)
    refused = await api.control("PUT", "policies", {"mails": True})
    assert refused.json()["error"].startswith("mails: unknown")


async def test_the_instances_policy(api: Api) -> None:
    """It is never inherited; an instance may have none, and then gets one."""
    off = {"shown": NO_MAILS, "inherited": False, "written": NO_MAILS}
    answer = await api.control("PUT", "instance-policy", NO_MAILS)
    assert answer.json() == off
    assert (await policy(api))["shown"] == NO_MAILS
    await api.control("DELETE", "instance-policy")
    none = {"shown": None, "inherited": False, "written": None}
    assert (await api.control("GET", "instance-policy")).json() == none
    await api.control("PUT", "instance-policy", MAILS)
    assert await seen(api, None) == (True, True)


async def test_flags_that_are_left_out_keep_their_values(api: Api) -> None:
    """In ZITADEL's own calls they become false."""
    await api.control("PUT", "policy-flags", {"retries": "uint64", "note": "string"})
    await set_policy(api, passwordChange=True, retries=3)
    shown = await set_policy(api, note="x")
    assert shown["shown"] == {"passwordChange": True, "retries": 3, "note": "x"}


async def test_both_sides_are_shown_after_a_loss(api: Api) -> None:
    """A setting can be lost, too: it is an event like any other."""
    await lose(api, "added")
    shown = await set_policy(api, passwordChange=False)
    assert shown == {"shown": MAILS, "inherited": True, "written": NO_MAILS}
    assert await losses(api) == []


async def test_it_is_neither_a_request_nor_a_target_of_faults(api: Api) -> None:
    """No switch delays it, and it uses none up."""
    await set_policy(api, passwordChange=False)
    await api.write("PUT", ACME, value=True)
    await api.control("DELETE", "requests")
    await api.control("POST", "faults", {"status": 503, "times": 1})
    await behave(api, stale_reads=1)
    assert (await policy(api))["shown"] == MAILS
    assert (await api.control("GET", "requests")).json() == []
    assert (await api.call("GET", POLICY, ACME)).status_code == 503
    assert await seen(api) == (False, False)
    assert await seen(api) == (False, True)


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("organizations/1/policy", MAILS, "organization: there is no organization 1"),
        (f"organizations/{ACME}/policy", {"passwordChange": 1}, "passwordChange: must"),
        (f"organizations/{ACME}/policy", {"mails": True}, "mails: unknown"),
        ("instance-policy", [], "the body must be a JSON object"),
    ],
)
async def test_bad_policies_name_the_field(
    api: Api, path: str, body: Any, message: str
) -> None:
    """The response is 400 and a sentence."""
    answer = await api.control("PUT", path, body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(message)


async def time_of(api: Api) -> datetime:
    """Return the time of the emulator."""
    text = (await api.control("GET", "clock")).json()["time"]
    return datetime.fromisoformat(text)


async def test_the_clock_moves_ahead(still: Api) -> None:
    """Tokens end, and what the read side waits for is over."""
    begin = await time_of(still)
    end = (begin + timedelta(hours=1)).isoformat()
    made = await still.user(expiration=end)
    assert (await still.call("GET", ADMIN, token=made["token"])).status_code == 200
    answer = await still.control("POST", "clock", {"seconds": 3600})
    assert datetime.fromisoformat(answer.json()["time"]) - begin == timedelta(hours=1)
    assert (await still.call("GET", ADMIN, token=made["token"])).status_code == 401
    await set_policy(still, passwordChange=False)
    await lose(still, "removed")
    await still.call("DELETE", POLICY, ACME)
    await still.write("POST", ACME, value=True)
    failing = await still.call("GET", POLICY, ACME)
    assert outcome(failing) == (500, 13, "CRDB-pKtsr")
    await still.control("POST", "clock", {"seconds": 5.5})
    assert await seen(still) == (False, False)


@pytest.mark.parametrize("seconds", [-1, "1", True, None, 10**11])
async def test_bad_lengths_of_time(api: Api, seconds: Any) -> None:
    """The clock stays as it is."""
    answer = await api.control("POST", "clock", {"seconds": seconds})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("seconds: must be a number")


async def test_the_clock_ends_with_the_year_9999(api: Api) -> None:
    """Python has no later time."""
    for _ in range(26):
        answer = await api.control("POST", "clock", {"seconds": 10**10})
    assert answer.status_code == 400
    assert answer.json()["error"] == "seconds: must not lead beyond the year 9999"
    assert (await time_of(api)).year > 9600


async def test_a_reset_is_a_new_start(api: Api) -> None:
    """Nothing is left but the URL and the token."""
    at_first = (await api.control("GET", "organizations")).json()
    await set_policy(api, passwordChange=False)
    user = await api.user()
    await api.control("POST", "organizations", {"name": "New"})
    await api.control("POST", "domains", {"domain": "other.example"})
    await api.control("PUT", "policy-flags", {"emailChange": "bool"})
    await api.control("PUT", "database", {"down": True})
    await behave(api, stale_reads=5)
    await lose(api, "changed")
    await api.control("POST", "clock", {"seconds": 10**9})
    late = await time_of(api)
    await api.control("POST", "faults", {"status": 503})
    assert (await api.call("GET", ADMIN)).status_code == 503
    assert (await api.control("POST", "reset")).json() == {}
    assert (await api.control("GET", "requests")).json() == []
    assert (await api.call("GET", ADMIN)).status_code == 200
    assert (await api.call("GET", ADMIN, token=user["token"])).status_code == 401
    assert (await api.control("GET", "organizations")).json() == at_first
    assert (await api.control("GET", "policy-flags")).json() == {}
    assert (await api.control("GET", "behavior")).json()["stale_reads"] == 0
    assert await losses(api) == []
    assert await time_of(api) < late
    host = {"Host": "other.example"}
    assert (await api.call("GET", ADMIN, headers=host)).status_code == 404
    assert (await policy(api, OWN))["inherited"]


async def test_a_reset_cuts_what_hangs(api: Api) -> None:
    """A test leaves no request behind for the next one."""
    await api.control("POST", "faults", {"hang": True})
    waiting = asyncio.create_task(api.call("GET", ADMIN))
    while not (await api.control("GET", "requests")).json():
        pass  # the request has not arrived yet
    await api.control("POST", "reset")
    with pytest.raises(httpx.RemoteProtocolError):
        await waiting
