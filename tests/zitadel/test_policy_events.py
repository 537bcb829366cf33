"""The newest event of one notification policy in ZITADEL's log."""

import json
from collections.abc import AsyncIterator

import pytest

from support.settings import mails
from zitadel.servers import PAT, TOKEN, Server, failure, policy, refusal
from zitadel_emulator.access import INSTANCE
from zitadel_emulator.server import (
    Emulator,
    new_emulator,
    serve,
)
from zitadel_notification_operator.core.credentials import AccessToken
from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.errors import TransientError
from zitadel_notification_operator.core.events import EventKind
from zitadel_notification_operator.core.instance_object import Endpoint
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.zitadel.client import ZitadelClient
from zitadel_notification_operator.zitadel.connector import ZitadelConnector

ACME = "280000000000000101"
GLOBEX = "280000000000000102"


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with serve(new_emulator(TOKEN)) as running:
        yield running


@pytest.fixture
def real(emulator: Emulator, connector: ZitadelConnector) -> ZitadelClient:
    """A client of the emulator, with the owner's token."""
    return connector.connect("real", Endpoint(emulator.url), PAT, None)


async def test_an_organization_s_newest_event(real: ZitadelClient) -> None:
    """Events of others and of other kinds are ignored."""
    assert await real.last_policy_event(ACME) is None
    for value, action in (
        (True, Action.CREATE),
        (False, Action.UPDATE),
        (True, Action.UPDATE),
    ):
        written = await real.write(ACME, action, settings=mails(value))
        await real.write(GLOBEX, action, settings=mails(value))
        found = await real.last_policy_event(ACME)
        assert found is not None
        assert found.id == (ACME, int(written.sequence))
        assert found.kind is EventKind.ORGANIZATION_POLICY
        assert found.editor is not None
    removed = await real.reset(ACME)
    found = await real.last_policy_event(ACME)
    assert found is not None
    assert found.id == (ACME, int(removed.sequence))
    assert found.kind is EventKind.ORGANIZATION_POLICY_REMOVED
    listed = [event for event in await real.events(None, 100) if event.id == found.id]
    assert listed == [found]


async def test_the_instance_s_newest_event(real: ZitadelClient) -> None:
    """It is found without the instance's id, and is not an organization's."""
    first = await real.last_policy_event(None)
    written = await real.write(None, Action.UPDATE, settings=mails(False))
    await real.write(ACME, Action.CREATE, settings=mails(False))
    found = await real.last_policy_event(None)
    assert found is not None
    assert found != first
    zitadel_id = (await real.identify()).zitadel_id
    assert found.id == (zitadel_id, int(written.sequence))
    assert found.kind is EventKind.INSTANCE_POLICY


async def test_the_end_of_an_organization_is_no_event_of_its_policy(
    real: ZitadelClient, emulator: Emulator
) -> None:
    written = await real.write(ACME, Action.CREATE, settings=mails(False))
    emulator.zitadel.change_organization(ACME, "removed", "")
    found = await real.last_policy_event(ACME)
    assert found is not None
    assert found.id.sequence == int(written.sequence)


async def test_it_is_one_call_for_one_event(
    client: ZitadelClient, server: Server
) -> None:
    server.always({})
    assert await client.last_policy_event("org-a") is None
    assert await client.last_policy_event(None) is None
    of_org, of_instance = (json.loads(seen.body) for seen in server.seen)
    assert of_org == {
        "limit": 1,
        "aggregateId": "org-a",
        "aggregateTypes": ["org"],
        "eventTypes": [
            "org.policy.notification.added",
            "org.policy.notification.changed",
            "org.policy.notification.removed",
        ],
    }
    assert of_instance == {
        "limit": 1,
        "aggregateTypes": ["instance"],
        "eventTypes": [
            "instance.policy.notification.added",
            "instance.policy.notification.changed",
        ],
    }


async def test_a_user_who_may_not_read_events_is_reported(
    emulator: Emulator, connector: ZitadelConnector
) -> None:
    emulator.zitadel.add_token("other", {INSTANCE: {"IAM_ORG_MANAGER"}})
    token = AccessToken("other")
    asking = connector.connect("other", Endpoint(emulator.url), token, None)
    error = await failure(asking.last_policy_event(ACME))
    assert error.reason is Reason.INSUFFICIENT_PERMISSIONS


async def test_a_refusal_pauses_no_other_call(
    client: ZitadelClient, server: Server
) -> None:
    server.always(refusal(8), 429, Retry_After="60")
    error = await failure(client.last_policy_event("org-a"))
    assert isinstance(error, TransientError)
    assert (error.reason, error.retry_after) == (Reason.RATE_LIMITED, 60)
    server.always(policy())
    assert await client.observe("org-a") is not None


async def test_an_event_of_somebody_else_is_no_answer(
    client: ZitadelClient, server: Server
) -> None:
    event = {
        "aggregate": {"id": "org-b"},
        "sequence": "7",
        "type": {"type": "org.policy.notification.removed"},
    }
    server.always({"events": [event]})
    error = await failure(client.last_policy_event("org-a"))
    assert error.reason is Reason.UNEXPECTED_ANSWER
    assert "org-b" in error.message


async def test_an_id_that_no_organization_has_is_not_asked_for(
    client: ZitadelClient, server: Server
) -> None:
    """For an empty id ZITADEL would search all organizations."""
    error = await failure(client.last_policy_event(""))
    assert error.reason is Reason.ORGANIZATION_NOT_FOUND
    assert server.seen == []
