"""The adapter with the emulator over HTTP: facts, errors by id, faults, limits."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from support.settings import mails
from zitadel_emulator.access import INSTANCE
from zitadel_emulator.faults import Fault
from zitadel_emulator.server import (
    Emulator,
    new_emulator,
    serve,
)
from zitadel_notification_operator.core.credentials import AccessToken
from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.errors import OperatorError, TransientError
from zitadel_notification_operator.core.instance_object import Endpoint, RateLimit
from zitadel_notification_operator.core.policy import WriteOutcome
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.zitadel.client import ZitadelClient
from zitadel_notification_operator.zitadel.connector import ZitadelConnector

TOKEN = "canary-token"
PAT = AccessToken(TOKEN)
ACME = "280000000000000101"


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator on loopback."""
    async with serve(new_emulator(TOKEN)) as running:
        yield running


@pytest.fixture
async def connector() -> AsyncIterator[ZitadelConnector]:
    """A connector with a timeout of two seconds."""
    made = ZitadelConnector(call_timeout=2.0, allow_local=True)
    yield made
    await made.aclose()


@pytest.fixture
def client(emulator: Emulator, connector: ZitadelConnector) -> ZitadelClient:
    """A client with the owner's token."""
    return connector.connect("default", Endpoint(emulator.url), PAT, None)


async def test_states_of_an_organization(client: ZitadelClient) -> None:
    """GET, POST, PUT and DELETE respond as ZITADEL does, state by state."""
    inherited = await client.observe(ACME)
    assert inherited is not None
    assert inherited.is_default
    assert inherited.resource_owner == (await client.identify()).zitadel_id
    put = await client.write(ACME, Action.UPDATE, settings=mails(False))
    assert put.answer is WriteOutcome.NOT_FOUND
    post = await client.write(ACME, Action.CREATE, settings=mails(False))
    assert (post.answer, post.resource_owner) == (WriteOutcome.WRITTEN, ACME)
    own = await client.observe(ACME)
    assert own is not None
    assert (own.is_default, own.settings) == (False, mails(False))
    assert own.sequence == post.sequence
    again = await client.write(ACME, Action.CREATE, settings=mails(True))
    assert again.answer is WriteOutcome.ALREADY_EXISTS
    same = await client.write(ACME, Action.UPDATE, settings=mails(False))
    assert same.answer is WriteOutcome.NOT_CHANGED
    assert (await client.reset(ACME)).answer is WriteOutcome.WRITTEN
    assert (await client.reset(ACME)).answer is WriteOutcome.NOT_FOUND
    assert (await client.reset("unknown")).answer is WriteOutcome.ORGANIZATION_GONE


async def test_states_of_the_instance(
    client: ZitadelClient, emulator: Emulator
) -> None:
    """An instance may have no policy; its id is found all the same."""
    zitadel_id = (await client.identify()).zitadel_id
    same = await client.write(None, Action.UPDATE, settings=mails(True))
    assert same.answer is WriteOutcome.NOT_CHANGED
    emulator.zitadel.drop_instance_policy()
    assert await client.observe(None) is None
    assert await client.observe(ACME) is None
    assert (await client.identify()).zitadel_id == zitadel_id
    put = await client.write(None, Action.UPDATE, settings=mails(True))
    assert put.answer is WriteOutcome.NOT_FOUND
    post = await client.write(None, Action.CREATE, settings=mails(True))
    assert post.answer is WriteOutcome.WRITTEN


async def test_removed_organization_does_not_exist(
    client: ZitadelClient, emulator: Emulator
) -> None:
    """A GET shows it as one that inherits; `orgs/me` shows the removal."""
    assert (await client.organization(ACME)).name == "ACME"
    assert (await client.organization(None)).name == "ZITADEL"
    emulator.zitadel.change_organization(ACME, "removed", "")
    assert await client.observe(ACME) is not None
    with pytest.raises(OperatorError) as caught:
        await client.organization(ACME)
    assert caught.value.reason is Reason.ORGANIZATION_NOT_FOUND


@pytest.mark.parametrize(
    ("roles", "organization", "reason"),
    [
        ({}, ACME, Reason.INSUFFICIENT_PERMISSIONS),
        ({INSTANCE: {"IAM_OWNER_VIEWER"}}, ACME, Reason.INSUFFICIENT_PERMISSIONS),
        ({INSTANCE: {"IAM_ORG_MANAGER"}}, None, Reason.INSUFFICIENT_PERMISSIONS),
        ({INSTANCE: {"IAM_OWNER"}}, "nosuch", Reason.ORGANIZATION_NOT_FOUND),
    ],
)
async def test_refusals(
    emulator: Emulator,
    connector: ZitadelConnector,
    roles: dict[str, set[str]],
    organization: str | None,
    reason: Reason,
) -> None:
    """ZITADEL's error ids distinguish 401, 403 and 404."""
    emulator.zitadel.add_token("other", roles)
    client = connector.connect(
        "default", Endpoint(emulator.url), AccessToken("other"), None
    )
    with pytest.raises(OperatorError) as caught:
        await client.write(organization, Action.CREATE, settings=mails(True))
    assert caught.value.reason is reason
    unknown = connector.connect(
        "default", Endpoint(emulator.url), AccessToken("revoked"), None
    )
    with pytest.raises(OperatorError) as caught:
        await unknown.observe(ACME)
    assert caught.value.reason is Reason.CREDENTIALS_REJECTED


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(status=429), Reason.RATE_LIMITED),
        (Fault(status=500, body="oops"), Reason.SERVER_ERROR),
        (Fault(status=503, body="<html>canary-token</html>"), Reason.SERVER_ERROR),
        (Fault(status=404, body="<html>canary-token"), Reason.UNEXPECTED_ANSWER),
        (Fault(status=404, body='{"code":5}'), Reason.UNEXPECTED_ANSWER),
        (Fault(status=302, headers={"Location": "/x"}), Reason.UNEXPECTED_ANSWER),
        (Fault(body="<html>canary-token</html>"), Reason.UNEXPECTED_ANSWER),
        (Fault(body=""), Reason.UNEXPECTED_ANSWER),
        (Fault(body="{}"), Reason.UNEXPECTED_ANSWER),
        (Fault(body='{"policy":{}}'), Reason.UNEXPECTED_ANSWER),
        (Fault(body='{"policy":{"isDefault":"true"}}'), Reason.UNEXPECTED_ANSWER),
        (Fault(body="null"), Reason.UNEXPECTED_ANSWER),
        (Fault(truncate=10), Reason.UNREACHABLE),
        (Fault(reset=True), Reason.UNREACHABLE),
        (Fault(hang=True), Reason.UNREACHABLE),
        (Fault(status=400, body='{"code":9,"message":"no"}'), Reason.REQUEST_REFUSED),
    ],
)
async def test_faults_are_never_a_value(
    client: ZitadelClient,
    emulator: Emulator,
    caplog: pytest.LogCaptureFixture,
    fault: Fault,
    reason: Reason,
) -> None:
    """Each has its reason; the token is in no text and no log."""
    caplog.set_level(logging.DEBUG)
    emulator.faults.add(fault)
    with pytest.raises(OperatorError) as caught:
        await client.observe(ACME)
    assert caught.value.reason is reason
    assert TOKEN not in str(caught.value)
    assert TOKEN not in caplog.text
    emulator.faults.clear()
    assert await client.observe(ACME) is not None


async def test_database_and_host_troubles_are_not_absence(
    client: ZitadelClient, emulator: Emulator, connector: ZitadelConnector
) -> None:
    """A 404 without a known id never means that there is no policy."""
    emulator.zitadel.database_down = True
    with pytest.raises(TransientError) as caught:
        await client.reset(ACME)
    assert caught.value.reason is Reason.SERVER_ERROR
    emulator.zitadel.database_down = False
    emulator.zitadel.domains = {"auth.example.com"}
    with pytest.raises(TransientError) as caught:
        await client.observe(ACME)
    assert caught.value.reason is Reason.HOST_NOT_RECOGNIZED
    endpoint = Endpoint(emulator.url, "auth.example.com")
    split = connector.connect("split", endpoint, PAT, None)
    assert await split.observe(ACME) is not None


@pytest.mark.clock
async def test_retry_after_holds_the_whole_instance(
    client: ZitadelClient, emulator: Emulator
) -> None:
    """After one 429 no call is made until the time is over."""
    emulator.faults.add(Fault(status=429, headers={"Retry-After": "1"}, times=1))
    with pytest.raises(TransientError) as caught:
        await client.observe(ACME)
    assert caught.value.retry_after == 1
    before = len(emulator.requests)
    with pytest.raises(TransientError) as caught:
        await client.observe(None)
    assert caught.value.reason is Reason.RATE_LIMITED
    assert len(emulator.requests) == before
    await asyncio.sleep(caught.value.retry_after or 0)
    assert await client.observe(None) is not None


@pytest.mark.clock
async def test_rate_and_concurrency_are_kept(
    emulator: Emulator, connector: ZitadelConnector
) -> None:
    """Twenty calls at 20 a second with a burst of 5 take most of a second."""
    endpoint = Endpoint(emulator.url, None, RateLimit(20, 5, 2))
    client = connector.connect("slow", endpoint, PAT, None)
    loop = asyncio.get_running_loop()
    start = loop.time()
    await asyncio.gather(*(client.observe(ACME) for _ in range(20)))
    assert loop.time() - start > 0.6


async def test_unreachable_names_what_is_wrong(connector: ZitadelConnector) -> None:
    """A refused connection and an unknown name have different messages."""
    client = connector.connect("gone", Endpoint("http://127.0.0.1:9"), PAT, None)
    with pytest.raises(TransientError, match="connection refused"):
        await client.identify()
