"""POST and PUT replace ZITADEL's policy, so unknown flags are written back."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from support.settings import mails
from zitadel.servers import PAT, Server, details, failure
from zitadel_emulator.messages import Kind
from zitadel_emulator.server import (
    Emulator,
    new_emulator,
    serve,
)
from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.instance_object import Endpoint
from zitadel_notification_operator.core.policy import WriteOutcome
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.zitadel.client import ZitadelClient
from zitadel_notification_operator.zitadel.connector import ZitadelConnector

ACME = "280000000000000101"
UNKNOWN = {
    "emailChange": True,
    "smsChange": False,
    "template": 'x \u00e9 \U0001f600 "quoted"',
    "longest": "18446744073709551615",
    "number": 9007199254740993,
    "share": 0.1,
    "list": [1, {"a": None}, []],
    "nested": {"details": {"sequence": "1"}, "isDefault": True, "passwordChange": 1},
    "nothing": None,
    "snake_case": True,
    "@type": "type.googleapis.com/zitadel.Future",
    "": "a name without letters",
}
CONTROL = {
    "unknown_members": 1,
    "model_extra": 2,
    "model_config": 3,
    "__class__": "4",
    "self": 5,
    "action": "DELETE",
    "organization_id": "another",
    "before": None,
    "resourceOwner": "another",
}
"""Names that mean something here or elsewhere; in a policy they are flags."""


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator whose policies have three more flags."""
    emulator = new_emulator(PAT.token)
    emulator.zitadel.policy_flags = {
        "emailChange": Kind.BOOL,
        "retries": Kind.UINT64,
        "template": Kind.TEXT,
    }
    async with serve(emulator) as running:
        yield running


async def sent(
    client: ZitadelClient, server: Server, policy: dict[str, Any], *, value: bool = True
) -> dict[str, Any]:
    """Observe a policy, write it, and return the body of the write."""
    server.always({"policy": {"details": details(), **policy}})
    observed = await client.observe("org-a")
    server.always({"details": details()})
    action = Action.UPDATE
    await client.write("org-a", action, settings=mails(value), before=observed)
    body: dict[str, Any] = json.loads(server.seen[-1].body)
    return body


@pytest.mark.parametrize(
    "unknown", [{}, UNKNOWN, CONTROL], ids=["none", "all", "names"]
)
async def test_a_write_carries_every_member(
    client: ZitadelClient, server: Server, unknown: dict[str, Any]
) -> None:
    """Members of every type are unchanged; `details` and `isDefault` are left out."""
    policy = {"isDefault": True, "passwordChange": True, **unknown}
    assert await sent(client, server, policy, value=False) == {
        **unknown,
        "passwordChange": False,
    }


async def test_the_instance_has_the_same_rule(
    client: ZitadelClient, server: Server
) -> None:
    """It has its own path, with POST and PUT."""
    server.always({"policy": {"details": details(), "isDefault": True, **UNKNOWN}})
    observed = await client.observe(None)
    server.always({"details": details()})
    for action, verb in ((Action.CREATE, "POST"), (Action.UPDATE, "PUT")):
        await client.write(None, action, settings=mails(True), before=observed)
        seen = server.seen[-1]
        assert (seen.method, seen.path) == (verb, "/admin/v1/policies/notification")
        assert json.loads(seen.body) == {**UNKNOWN, "passwordChange": True}


async def test_without_a_policy_ours_is_sent_alone(
    client: ZitadelClient, server: Server
) -> None:
    """Nothing was read, so nothing can be carried."""
    server.always({"details": details()})
    await client.write(None, Action.CREATE, settings=mails(False), before=None)
    assert json.loads(server.seen[-1].body) == {"passwordChange": False}


async def test_both_spellings_of_what_we_know_are_ours(
    client: ZitadelClient, server: Server
) -> None:
    """ZITADEL refuses a body with both spellings."""
    policy = {"is_default": True, "password_change": True, "email_change": True}
    server.always({"policy": {"details": details(), **policy}})
    observed = await client.observe(None)
    assert observed is not None
    assert (observed.is_default, observed.settings) == (True, mails(True))
    body = await sent(client, server, policy, value=False)
    assert body == {"email_change": True, "passwordChange": False}
    both = {"passwordChange": True, "password_change": False, "is_default": False}
    assert await sent(client, server, both) == {"passwordChange": True}


async def test_ten_thousand_members(client: ZitadelClient, server: Server) -> None:
    """All of them are sent."""
    many = {f"flag{number}": number % 2 == 0 for number in range(10_000)}
    assert await sent(client, server, many) == {**many, "passwordChange": True}


@pytest.mark.parametrize(
    "member",
    ["NaN", "-Infinity", "1e400", "[[1, Infinity]]", "1" * 5000, "[" * 500 + "]" * 500],
    ids=["NaN", "infinity", "too big", "nested", "digits", "brackets"],
)
async def test_what_cannot_be_carried_is_not_understood(
    client: ZitadelClient, server: Server, member: str
) -> None:
    """The GET already fails, because no write could be correct."""
    text = json.dumps({"policy": {"details": details(), "flag": "?"}})
    server.always(text.replace('"?"', member))
    error = await failure(client.observe("org-a"))
    assert error.reason is Reason.UNEXPECTED_ANSWER


async def test_flags_outlive_all_writes(
    connector: ZitadelConnector, emulator: Emulator
) -> None:
    """The emulator has such flags, and each state is tried."""
    client = connector.connect("default", Endpoint(emulator.url), PAT, None)
    log = emulator.zitadel

    def flags(org: str | None) -> dict[str, Any]:
        policy = (log.policy(org) if org else log.instance_policy())["policy"]
        return {name: policy[name] for name in log.policy_flags if name in policy}

    async def write(org: str | None, action: Action, *, value: bool) -> WriteOutcome:
        before = await client.observe(org)
        result = await client.write(org, action, settings=mails(value), before=before)
        return result.answer

    first = {"emailChange": True, "retries": "7", "template": "x"}
    made = {**first, "retries": 7}
    async with httpx.AsyncClient(base_url=emulator.url) as http:
        answer = await http.put(
            "/admin/v1/policies/notification",
            headers={"Authorization": f"Bearer {PAT.token}"},
            json={"passwordChange": True, **made},
        )
        assert answer.status_code == 200
    assert await write(None, Action.UPDATE, value=False) is WriteOutcome.WRITTEN
    assert flags(None) == first
    assert await write(ACME, Action.CREATE, value=True) is WriteOutcome.WRITTEN
    assert flags(ACME) == first
    assert await write(ACME, Action.UPDATE, value=False) is WriteOutcome.WRITTEN
    assert await write(ACME, Action.UPDATE, value=False) is WriteOutcome.NOT_CHANGED
    assert flags(ACME) == first
    assert log.policy(ACME)["policy"].get("isDefault") is None
