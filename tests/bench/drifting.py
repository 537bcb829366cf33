"""Somebody else changes policies in ZITADEL; how long until they are corrected.

Both times come from ZITADEL's event log: those of the last foreign event and of the
last event that corrects one.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp

from bench.load import AT_ONCE
from bench.processes import Processes

POLICY = "/management/v1/policies/notification"
_LONGEST = 180.0
_BETWEEN = 1.0
"""Seconds between two reads of the whole event log, which cost the emulator time."""


@dataclass(frozen=True, slots=True)
class Stranger:
    """Another user of ZITADEL, who may change policies.

    Attributes:
        id: The id by which events name their editor.
        token: The token for its calls.
    """

    id: str
    token: str


@dataclass(frozen=True, slots=True)
class Correction:
    """How one round of foreign changes ended.

    Attributes:
        writing: Seconds from the first foreign event to the last.
        seconds: Seconds from the last foreign event to the last correction.
        curve: Seconds from the last foreign event to each correction, sorted; negative
            while foreign changes were still going on.
    """

    writing: float
    seconds: float
    curve: list[float]


def stranger(processes: Processes) -> Stranger:
    """Create such a user in ZITADEL."""
    made = processes.emulator.user("IAM_OWNER", credential="token")
    return Stranger(made["userId"], made["token"])


async def change_and_wait(
    processes: Processes,
    somebody: Stranger,
    organizations: Sequence[str],
    *,
    value: bool,
) -> Correction:
    """Change policies of organizations all at once, and wait for all corrections.

    Raises:
        TimeoutError: Not all of them were corrected.
    """
    seen = len(_events(processes))
    await _change(processes, somebody, organizations, value=value)
    end = time.monotonic() + _LONGEST
    while True:
        foreign, corrected = _changes(_events(processes)[seen:], somebody.id)
        if len(foreign) != len(organizations):
            raise RuntimeError(f"{len(foreign)} changes of {len(organizations)}")
        if len(corrected) == len(foreign):
            last = max(foreign.values())
            curve = sorted(at - last for at in corrected.values())
            return Correction(last - min(foreign.values()), curve[-1], curve)
        if time.monotonic() > end:
            missing = len(foreign) - len(corrected)
            raise TimeoutError(f"{missing} are not corrected after {_LONGEST:.0f} s")
        await asyncio.sleep(_BETWEEN)


async def _change(
    processes: Processes,
    somebody: Stranger,
    organizations: Sequence[str],
    *,
    value: bool,
) -> None:
    headers = {"Authorization": f"Bearer {somebody.token}"}
    turns = asyncio.Semaphore(AT_ONCE)
    async with aiohttp.ClientSession(processes.zitadel_url, headers=headers) as zitadel:

        async def change(organization: str) -> None:
            body, of = {"passwordChange": value}, {"x-zitadel-orgid": organization}
            async with turns, zitadel.put(POLICY, json=body, headers=of) as answer:
                answer.raise_for_status()

        await asyncio.gather(*map(change, organizations))


def _changes(
    events: list[dict[str, Any]], somebody: str
) -> tuple[dict[str, float], dict[str, float]]:
    """Return when each was changed, and when it was corrected, by organization."""
    foreign: dict[str, float] = {}
    corrected: dict[str, float] = {}
    for event in events:
        if event["type"].startswith("org.policy.notification."):
            at = datetime.fromisoformat(event["time"]).timestamp()
            organization = event["aggregate"]
            if event["editor"] == somebody:
                foreign[organization] = at
                corrected.pop(organization, None)
            elif organization in foreign:
                corrected.setdefault(organization, at)
    return foreign, corrected


def _events(processes: Processes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = processes.zitadel("events")
    return found
