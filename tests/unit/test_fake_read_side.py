"""The ZITADEL in memory loses events and is repaired like the emulator."""

import asyncio

import pytest

from support.fakes import FakeZitadel
from support.repair_table import CASES, Case, Ground, Row
from support.steps import Steps
from support.virtual_time import run


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_repair_makes_both_sides_agree(case: Case) -> None:
    """The same table as for the emulator (tests/zitadel/test_repairs.py)."""

    async def lived() -> None:
        zitadel = FakeZitadel(Steps())
        zitadel.token = zitadel.accepted

        async def lose(kind: str, target: str | None) -> None:
            zitadel.to_lose.append((kind, target or ""))

        async def pass_by() -> None:
            await asyncio.sleep(5)

        await Row(Ground(zitadel, "o", lose, pass_by), case).run()
        assert zitadel.to_lose == []

    run(lived())
