"""The repairs that the core plans, step by step, with the emulator's losses."""

from collections.abc import AsyncIterator

import pytest

from emulator.api import ACME, Api
from emulator.sides import WINDOW, Time, assert_both_sides_agree, losses
from support.repair_table import CASES, Case, Ground, Row
from zitadel_notification_operator.core.credentials import AccessToken
from zitadel_notification_operator.core.instance_object import Endpoint
from zitadel_notification_operator.core.policy import Scope
from zitadel_notification_operator.zitadel.connector import ZitadelConnector


@pytest.fixture
async def ground(still: Api, time: Time) -> AsyncIterator[Ground]:
    """The operator's own client of an emulator whose clock stands still."""
    connector = ZitadelConnector(call_timeout=5.0, allow_local=True)
    endpoint = Endpoint(still.emulator.url)
    token = AccessToken(still.emulator.token)

    async def lose(kind: str, target: str | None) -> None:
        where = {"organization": target} if target else {"instance": True}
        answer = await still.control("POST", "losses", {"kind": kind, **where})
        answer.raise_for_status()

    async def pass_by() -> None:
        time.pass_by(WINDOW)

    client = connector.connect("default", endpoint, token, None)
    yield Ground(client, ACME, lose, pass_by)
    await connector.aclose()


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_repair_makes_both_sides_agree(
    still: Api, ground: Ground, case: Case
) -> None:
    """This holds for all losses; only the last step changes what is shown."""
    await Row(ground, case).run()
    assert await losses(still) == []
    if case.scope is Scope.ORGANIZATION:
        await assert_both_sides_agree(still, case.wanted)
