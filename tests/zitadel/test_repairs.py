"""The repairs that the core plans, step by step, with the emulator's losses."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from support.repair_table import CASES, Case, Ground, Row
from zitadel_emulator.losses import Loss
from zitadel_emulator.projections import ORG_POLICY, written_policy
from zitadel_emulator.server import Emulator, new_emulator, serve
from zitadel_emulator.zitadel import INSTANCE_ID, Zitadel
from zitadel_notification_operator.core.credentials import AccessToken
from zitadel_notification_operator.core.instance_object import Endpoint
from zitadel_notification_operator.core.policy import Scope
from zitadel_notification_operator.zitadel.connector import ZitadelConnector

ACME = "280000000000000101"
WINDOW = timedelta(seconds=5)
"""How long the emulator retries the insert of a policy whose row is there."""


@dataclass
class Time:
    """A clock that stands still until a test moves it."""

    now: datetime = datetime(2026, 9, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the time of day."""
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def emulator(time: Time) -> AsyncIterator[Emulator]:
    async with serve(new_emulator("owner-token-5e1", clock=time)) as running:
        yield running


@pytest.fixture
async def ground(emulator: Emulator, time: Time) -> AsyncIterator[Ground]:
    """The operator's own client of an emulator whose clock stands still."""
    connector = ZitadelConnector(call_timeout=5.0, allow_local=True)
    losses = emulator.zitadel.read_side.losses

    async def lose(kind: str, target: str | None) -> None:
        losses.add(Loss(kind, target, instance=target is None))

    async def pass_by() -> None:
        time.now += WINDOW

    endpoint, token = Endpoint(emulator.url), AccessToken(emulator.token)
    client = connector.connect("default", endpoint, token, None)
    yield Ground(client, ACME, lose, pass_by)
    await connector.aclose()


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_repair_makes_both_sides_agree(
    emulator: Emulator, ground: Ground, case: Case
) -> None:
    """This holds for all losses; only the last step changes what is shown."""
    await Row(ground, case).run()
    assert emulator.zitadel.read_side.losses.active == []
    if case.scope is Scope.ORGANIZATION:
        assert written(emulator.zitadel) is shown(emulator.zitadel) is case.wanted


def written(zitadel: Zitadel) -> bool | None:
    """Return the value of ACME's own policy as the event log has it, or None."""
    own = written_policy(zitadel.log.of(ACME), ORG_POLICY)
    return own.values.get("passwordChange", False) if own else None


def shown(zitadel: Zitadel) -> bool | None:
    """Return the value of ACME's own policy as the read side has it, or None."""
    policy, inherited = zitadel.read_side.policy(ACME, INSTANCE_ID)
    assert policy is not None
    return None if inherited else policy.values.get("passwordChange", False)
