"""The measurements, one function each; all is quiet before each of them."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp

from bench.drifting import POLICY
from bench.ledger import Entries, Ledger
from bench.load import USER_AGENT, Driver, Json, is_ready, policy_of
from bench.machine import Usage, usage_of
from bench.processes import Processes
from support.running import TOKEN

SAMPLES = 30
"""The number of single objects whose latency is measured."""
QUIET = 0.05
"""The part of one core below which the operator counts as idle during a second."""
_SPELL = 1.0
_LONGEST = 600.0


@dataclass(slots=True)
class Phase:
    """The cost of one phase.

    Attributes:
        seconds: The time from the first request to the last effect.
        cpu: The operator's CPU time in seconds.
        usage: The operator's resources at the end.
        entries: The counts of calls and writes.
        curve: The seconds from the start after which each object reached its state,
            sorted.
    """

    seconds: float
    cpu: float
    usage: Usage
    entries: Entries
    curve: list[float] = field(default_factory=list)


async def create_all(processes: Processes, driver: Driver, count: int) -> Phase:
    """Create policies for `count` organizations, and wait until all are Ready."""
    return await create_more(processes, driver, 0, count)


async def create_more(
    processes: Processes, driver: Driver, start: int, stop: int
) -> Phase:
    """Create policies for a range of organizations, and wait until all are Ready."""
    orgs = processes.organizations[start:stop]
    return await load(
        processes,
        driver,
        [driver.create(policy_of(org, value=False)) for org in orgs],
        lambda body: body is not None and is_ready(body),
    )


async def edit_all(processes: Processes, driver: Driver, count: int) -> Phase:
    """Edit all; `seconds` ends when the last change is in ZITADEL's event log."""
    orgs = processes.organizations[:count]
    start = time.time()
    phase = await load(
        processes,
        driver,
        [driver.patch(f"p-{org}", {"passwordChange": True}) for org in orgs],
        lambda body: body is not None and is_ready(body) and _value(body),
    )
    phase.seconds = _last(processes, "org.policy.notification.changed") - start
    return phase


async def delete_all(processes: Processes, driver: Driver, count: int) -> Phase:
    """Delete all; `seconds` ends when the last object and own policy are gone."""
    orgs = processes.organizations[:count]
    start = time.time()
    phase = await load(
        processes,
        driver,
        [driver.delete(f"p-{org}") for org in orgs],
        lambda body: body is None,
    )
    reset = _last(processes, "org.policy.notification.removed") - start
    phase.seconds = max(phase.seconds, reset)
    return phase


async def one_create(processes: Processes, driver: Driver) -> list[float]:
    """Return the seconds from create to Ready, for each of `SAMPLES` objects."""
    found = []
    for org in processes.organizations[-SAMPLES:]:
        driver.watch.expect(1, lambda body: body is not None and is_ready(body))
        start = time.monotonic()
        await driver.create(policy_of(org, value=False))
        await driver.watch.until_reached()
        found.append(time.monotonic() - start)
        await asyncio.sleep(0.05)
    return found


async def one_patch(processes: Processes, driver: Driver) -> list[float]:
    """Return the seconds from a patch until a GET of ZITADEL shows the value."""
    found = []
    async with asking_zitadel(processes) as zitadel:
        for org in processes.organizations[-SAMPLES:]:
            start = time.monotonic()
            await driver.patch(f"p-{org}", {"passwordChange": True})
            while not await holds(zitadel, org):  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0.001)
            found.append(time.monotonic() - start)
            await asyncio.sleep(0.05)
    return found


async def until_reported(driver: Driver, count: int) -> None:
    """Wait until the instance's status has the number of policies.

    The operator writes that number once a minute at most, so an idle time that begins
    before could contain the write.
    """
    end = time.monotonic() + _LONGEST
    while await driver.reported_policies() != count:
        if time.monotonic() > end:
            raise TimeoutError(f"The instance does not report {count} policies")
        await asyncio.sleep(1)


async def restart(processes: Processes) -> dict[str, float]:
    """Restart the operator with all objects, and wait until it is idle again."""
    processes.stop_operator()
    ledger = Ledger(processes)
    start = time.monotonic()
    ready = processes.start_operator()
    idle = await until_quiet(processes) - start
    entries = ledger.close()
    return {
        "ready": ready,
        "idle": idle,
        "calls": entries.calls,
        "writes": entries.all_writes,
        "cpu": usage_of(processes.operator_pid).cpu,
    }


async def idle(processes: Processes, seconds: float) -> Phase:
    """Measure some seconds without load."""
    async with _accounted(processes) as close:
        await asyncio.sleep(seconds)
    return close(seconds)


async def foreign_secrets(driver: Driver, megabytes: int) -> None:
    """Fill the cluster with Secrets that the operator does not use."""
    size = 1_000_000
    await driver.all(
        driver.create_secret("default", f"foreign-{n}", size) for n in range(megabytes)
    )


def percentile(values: list[float], share: float) -> float:
    """Return the percentile of the values for a share between 0 and 1."""
    return statistics.quantiles(values, n=100, method="inclusive")[
        round(share * 100) - 1
    ]


async def load(
    processes: Processes,
    driver: Driver,
    work: list[Awaitable[None]],
    wanted: Callable[[Json | None], bool],
    count: int = 0,
) -> Phase:
    """Make requests, and wait until as many policies are as they shall be.

    Args:
        processes: The processes.
        driver: Makes the requests.
        work: The requests.
        wanted: Returns whether a policy is as it shall be; None stands for a deletion.
        count: The number of policies, if it differs from that of the requests.
    """
    driver.watch.expect(count or len(work), wanted)
    start = time.monotonic()
    async with _accounted(processes) as close:
        await driver.all(work)
        await driver.watch.until_reached()
    reached = sorted(moment - start for moment in driver.watch.reached.values())
    phase = close(reached[-1])
    phase.curve = reached
    return phase


@asynccontextmanager
async def _accounted(processes: Processes) -> AsyncIterator[Callable[[float], Phase]]:
    """Yield a function that returns the cost of this block after its end."""
    ledger = Ledger(processes)
    before = usage_of(processes.operator_pid)
    after = before

    def close(seconds: float) -> Phase:
        cpu = after.cpu - before.cpu
        return Phase(seconds, cpu, after, ledger.close())

    yield close
    # Work that is still going on (Events, look-ups) belongs to this block.
    await until_quiet(processes)
    after = usage_of(processes.operator_pid)


async def until_quiet(processes: Processes, spell: float = _SPELL) -> float:
    """Wait for the first idle spell; return the monotonic time of its beginning."""
    end = time.monotonic() + _LONGEST
    while time.monotonic() < end:
        began, before = time.monotonic(), usage_of(processes.operator_pid).cpu
        await asyncio.sleep(spell)
        if usage_of(processes.operator_pid).cpu - before <= QUIET * spell:
            return began
    raise TimeoutError(f"The operator is not idle after {_LONGEST:.0f} s")


def asking_zitadel(processes: Processes) -> aiohttp.ClientSession:
    """Return a session with ZITADEL, whose calls are not counted."""
    headers = {"Authorization": f"Bearer {TOKEN}", "User-Agent": USER_AGENT}
    return aiohttp.ClientSession(processes.zitadel_url, headers=headers)


async def holds(zitadel: aiohttp.ClientSession, organization: str) -> bool:
    """Return whether ZITADEL sends mails in an organization."""
    async with zitadel.get(POLICY, headers={"x-zitadel-orgid": organization}) as answer:
        policy: dict[str, Any] = (await answer.json())["policy"]
    return bool(policy.get("passwordChange"))


def _value(body: Json) -> bool:
    return bool(body["status"]["passwordChange"])


def _last(processes: Processes, kind: str) -> float:
    """Return the time of ZITADEL's last event of this type."""
    return max(
        datetime.fromisoformat(event["time"]).timestamp()
        for event in processes.zitadel("events")
        if event["type"] == kind
    )
