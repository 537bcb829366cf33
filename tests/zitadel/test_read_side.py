"""A read side that cannot project an event is no outage of ZITADEL."""

import json

import pytest

from support.settings import mails
from zitadel.servers import PAT, TOKEN, Server, failure, policy, refusal
from zitadel_emulator.access import INSTANCE
from zitadel_emulator.faults import Fault
from zitadel_emulator.server import new_emulator, serve
from zitadel_emulator.zitadel import INSTANCE_ID
from zitadel_notification_operator.core.credentials import AccessToken
from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.errors import ReadSideBusy, TransientError
from zitadel_notification_operator.core.instance_object import Endpoint
from zitadel_notification_operator.core.policy import WriteOutcome
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.zitadel.client import ZitadelClient
from zitadel_notification_operator.zitadel.connector import ZitadelConnector

ID = "CRDB-pKtsr"
ACME = "280000000000000101"
BY_ID = refusal(13, ID, "An internal error occurred")
IN_TEXT = refusal(13, text=f"ID={ID} Message=exec failed Parent=(duplicate key)")
UNDER_ANOTHER = refusal(13, "QUERY-Xz1a2", f"wrapped ID={ID}")
AMONG_OTHERS = {
    "code": 13,
    "message": "An internal error occurred",
    "details": [
        {"@type": "type.googleapis.com/some.Other", "id": "X-1"},
        {"@type": "type.googleapis.com/zitadel.v1.ErrorDetail", "id": ID},
    ],
}
SEEN = [BY_ID, IN_TEXT, UNDER_ANOTHER, AMONG_OTHERS, f"ID={ID} Message=exec failed"]


@pytest.mark.parametrize("body", SEEN, ids=["id", "text", "wrapped", "among", "plain"])
@pytest.mark.parametrize("organization", ["org-a", None])
async def test_it_is_an_error_of_its_own(
    client: ZitadelClient, server: Server, body: object, organization: str | None
) -> None:
    """Its text has no retry count, and says what ZITADEL is doing."""
    server.always(body, 500)
    error = await failure(client.observe(organization))
    assert isinstance(error, ReadSideBusy)
    assert error.reason is Reason.UNEXPECTED_ANSWER
    assert error.message == error.stable
    assert "read side cannot take an event" in error.message
    assert error.message.endswith(f"was answered with HTTP 500, {ID}")


async def test_it_holds_no_other_call_back(
    client: ZitadelClient, server: Server
) -> None:
    """A proxy's Retry-After would pause the whole instance."""
    server.always(BY_ID, 500, Retry_After="60")
    error = await failure(client.observe("org-a"))
    assert isinstance(error, ReadSideBusy)
    assert error.retry_after is None
    server.always(policy())
    assert await client.observe("org-a") is not None


async def test_other_failures_and_other_calls_are_none(
    client: ZitadelClient, server: Server
) -> None:
    server.always(refusal(13, "CRDB-other"), 500)
    error = await failure(client.observe("org-a"))
    assert error.reason is Reason.SERVER_ERROR
    server.always(BY_ID, 500)
    calls = (
        client.write("org-a", Action.UPDATE, settings=mails(True)),
        client.reset("org-a"),
        client.organization("org-a"),
        client.last_policy_event("org-a"),
    )
    for call in calls:
        error = await failure(call)
        assert error.reason is Reason.SERVER_ERROR
        assert not isinstance(error, ReadSideBusy)
    server.always(refusal(5, text=ID), 404)
    assert not isinstance(await failure(client.observe("org-a")), ReadSideBusy)


async def test_writes_and_other_reads_go_on_meanwhile(
    connector: ZitadelConnector,
) -> None:
    """This is as after a repair of a missed removal."""
    body = json.dumps(BY_ID)
    async with serve(new_emulator(TOKEN)) as emulator:
        client = connector.connect("real", Endpoint(emulator.url), PAT, None)
        policies = "/(management|admin)/v1/policies/(default/)?notification"
        emulator.faults.add(Fault("GET", policies, status=500, body=body))
        for organization in (ACME, None):
            error = await failure(client.observe(organization))
            assert isinstance(error, ReadSideBusy)
        written = await client.write(ACME, Action.CREATE, settings=mails(False))
        assert written.answer is WriteOutcome.WRITTEN
        assert (await client.organization(ACME)).name == "ACME"
        assert (await client.identify()).zitadel_id == INSTANCE_ID
        # A user who may not read the instance learns its id from the default policy.
        emulator.zitadel.add_token("small", {INSTANCE: {"IAM_ORG_MANAGER"}})
        small = connector.connect(
            "small", Endpoint(emulator.url), AccessToken("small"), None
        )
        error = await failure(small.identify())
        assert isinstance(error, ReadSideBusy)
        assert isinstance(error, TransientError)
        emulator.faults.clear()
        seen = await client.observe(ACME)
        assert seen is not None
        assert not seen.is_default
