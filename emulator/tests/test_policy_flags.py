"""More flags than `passwordChange`, as a future ZITADEL might have."""

from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from shared.api import ACME, ADMIN, DEFAULT, GLOBEX, POLICY, Api, outcome
from shared.processes import running
from zitadel_emulator.command import new_command

MAIL = "emailChange"
FLAGS = {MAIL: "bool", "retries": "uint64", "template": "string"}
SAME = (400, 9, "Org-ioqnxz")


async def put(api: Api, org: str | None, **values: Any) -> tuple[int, int, str]:
    """PUT a policy with exactly these members; return the response."""
    answer = await api.call("PUT", POLICY if org else ADMIN, org, body=values)
    return outcome(answer)


async def values(api: Api, org: str | None = None) -> dict[str, Any]:
    """Return the policy in force without its details."""
    found = await api.policy(org)
    del found["details"]
    return found


@pytest.fixture(autouse=True)
async def _flags(api: Api) -> None:
    """Give the running server three more flags."""
    answer = await api.control("PUT", "policy-flags", FLAGS)
    assert answer.json() == (await api.control("GET", "policy-flags")).json() == FLAGS


async def test_absent_is_false(api: Api) -> None:
    """POST and PUT replace all; false, zero and empty values are omitted."""
    body = {"passwordChange": True, MAIL: True, "retries": "7", "template": "x"}
    assert outcome(await api.call("POST", POLICY, ACME, body=body)) == (200, 0, "")
    assert await values(api, ACME) == body
    assert await put(api, ACME, passwordChange=True) == (200, 0, "")
    assert await values(api, ACME) == {"passwordChange": True}
    assert await put(api, ACME, email_change=True) == (200, 0, "")
    assert await values(api, ACME) == {MAIL: True}
    assert await put(api, ACME, emailChange=None, retries=0) == (200, 0, "")
    assert await values(api, ACME) == {}


async def test_not_changed_means_all_of_them(api: Api) -> None:
    """One that differs is a change, and its event has only that one."""
    await api.call("POST", POLICY, ACME, body={MAIL: True, "retries": 3})
    assert await put(api, ACME, emailChange=True, retries="3") == SAME
    assert await put(api, ACME, emailChange=False, retries=3) == (200, 0, "")
    assert await put(api, ACME, retries=3, passwordChange=False) == SAME
    log = (await api.control("GET", f"events?aggregate={ACME}")).json()
    assert [event["payload"] for event in log[-2:]] == [
        {MAIL: True, "retries": 3},
        {MAIL: False},
    ]


async def test_the_default_is_inherited(api: Api) -> None:
    """It has all of its flags; an own policy has none of them."""
    assert await put(api, None, passwordChange=True, emailChange=True) == (200, 0, "")
    inherited = {"isDefault": True, "passwordChange": True, MAIL: True}
    assert await values(api) == await values(api, GLOBEX) == inherited
    default = (await api.call("GET", DEFAULT, GLOBEX)).json()["policy"]
    assert default[MAIL] is True
    await api.call("POST", POLICY, GLOBEX, body={"passwordChange": True})
    assert await values(api, GLOBEX) == {"passwordChange": True}
    await api.call("DELETE", POLICY, GLOBEX)
    assert await values(api, GLOBEX) == inherited
    same = await put(api, None, passwordChange=True, emailChange=True)
    assert same == (400, 9, "INSTANCE-29x02n")


async def test_a_server_that_does_not_know_a_flag_ignores_it(api: Api) -> None:
    """Its value appears again once the flag does."""
    await api.call("POST", POLICY, ACME, body={MAIL: True})
    await api.control("PUT", "policy-flags", {})
    assert await values(api, ACME) == {}
    assert await put(api, ACME, emailChange="of any type") == SAME
    await api.control("PUT", "policy-flags", FLAGS)
    assert await values(api, ACME) == {MAIL: True}
    answer = await api.call("PUT", POLICY, ACME, body={MAIL: "true"})
    assert outcome(answer) == (400, 3, "")
    twice = f'{{"{MAIL}": true, "email_change": true}}'
    answer = await api.call("PUT", POLICY, ACME, body=twice)
    assert outcome(answer) == (400, 3, "")


@pytest.mark.parametrize(
    ("flags", "field"),
    [
        ({"passwordChange": "bool"}, "passwordChange"),
        ({"isDefault": "bool"}, "isDefault"),
        ({"email_change": "bool"}, "email_change"),
        ({"emailChange": "int"}, "emailChange"),
        ({"emailChange": True}, "emailChange"),
        (["emailChange"], "the body"),
    ],
    ids=str,
)
async def test_bad_flags_name_the_field(api: Api, flags: Any, field: str) -> None:
    """The response is 400 and a sentence; the flags stay as they are."""
    answer = await api.control("PUT", "policy-flags", flags)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(field)
    assert (await api.control("GET", "policy-flags")).json() == FLAGS


def test_flags_from_the_start() -> None:
    """The option names boolean flags."""
    options = ("--port", "0", "--token", "mine", "--policy-flag", MAIL)
    sent = {"Authorization": "Bearer mine"}
    with (
        running(*options) as (_, url),
        httpx.Client(base_url=url, headers=sent, trust_env=False) as client,
    ):
        client.put(ADMIN, json={"passwordChange": True, MAIL: True}).raise_for_status()
        found = client.get(POLICY, headers={"x-zitadel-orgid": ACME}).json()
    assert found["policy"][MAIL] is True


def test_a_flag_that_cannot_be_one_is_reported() -> None:
    """The message has the option and the name; it is wrong usage."""
    done = CliRunner().invoke(new_command(), ["--policy-flag", "isDefault"])
    assert done.exit_code == 2
    assert "--policy-flag: isDefault: must be a new name" in done.output
