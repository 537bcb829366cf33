"""Each fault at each call: the end is that of a run without faults, write by write.

The engine and the real adapter call the emulator over HTTP; Kubernetes is in memory.
Lives (`support.zitadel_lives`) run side by side, each with its own ZITADEL.
"""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from support.zitadel_lives import CALLS, HISTORY, one_life
from zitadel_emulator.faults import Fault
from zitadel_emulator.server import new_emulator, serve
from zitadel_notification_operator.engine.instances import instance_pass

AT_ONCE = 40
"""Lives that are led at one time: all of them together would time out by themselves."""

TIMES = 2
"""How many calls of a phase a fault befalls."""

HTML = "<html><body>Bad gateway</body></html>"
DATABASE = {
    "code": 5,
    "message": "unable to set instance using origin x: ID=QUERY-d3fas",
}
NEWER_DATABASE = {**DATABASE, "code": 13}
"""As servers of July 2026 answer."""

REJECTED = {"code": 16, "message": "Errors.Token.Invalid (AUTH-7fs1e)"}

FAULTS: dict[str, Fault] = {
    "429 with Retry-After": Fault(status=429, headers={"Retry-After": "1"}),
    "429": Fault(status=429),
    "500": Fault(status=500, body="{}"),
    "503 HTML": Fault(status=503, body=HTML),
    "200 HTML": Fault(status=200, body=HTML),
    "reset": Fault(reset=True),
    "hang": Fault(hang=True),
    "slow": Fault(latency=2.0),
    "slow drip": Fault(drip=0.02),
    "truncated": Fault(truncate=20),
    "empty object": Fault(status=200, body="{}"),
    "401": Fault(status=401, body=json.dumps(REJECTED)),
    "database down": Fault(status=404, body=json.dumps(DATABASE)),
    "newer database down": Fault(status=500, body=json.dumps(NEWER_DATABASE)),
    "done, then reset": Fault(reset=True, after=True),
    "done, then 500": Fault(status=500, after=True),
}


async def run_with_fault(call: str, fault: str) -> list[tuple[str, Any]]:
    """Run a life with one kind of fault at one kind of call; return its events."""
    made: list[Fault] = []

    def make() -> Fault:
        made.append(replace(FAULTS[fault], **CALLS[call], times=TIMES))
        return made[-1]

    async with serve(new_emulator("token")) as running:
        history = await one_life(running, running.url, make, key=call == "discovery")
    assert any(one.times != TIMES for one in made), "the fault befell nothing"
    return history


async def run_without_faults() -> list[tuple[str, Any]]:
    """Run a life without faults; return its events."""
    async with serve(new_emulator("token")) as running:
        return await one_life(running, running.url, None)


@pytest.mark.clock
@pytest.mark.timeout(900)
def test_every_fault_at_every_call_ends_as_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No fault counts as a value, and none causes an unwanted write."""
    # Otherwise a credential that is refused twice is checked again after a minute.
    monkeypatch.setattr(instance_pass, "SECRET_INTERVAL", 5.0)

    async def story() -> dict[str, Any]:
        cases = [(call, fault) for call in CALLS for fault in FAULTS]
        places = asyncio.Semaphore(AT_ONCE)

        async def one(call: str, fault: str) -> list[tuple[str, Any]]:
            async with places:
                return await run_with_fault(call, fault)

        found = await asyncio.gather(
            *(one(call, fault) for call, fault in cases), return_exceptions=True
        )
        return {
            f"{call}: {fault}": history
            for (call, fault), history in zip(cases, found, strict=True)
            if history != HISTORY
        }

    assert asyncio.run(run_without_faults()) == HISTORY
    assert asyncio.run(story()) == {}
