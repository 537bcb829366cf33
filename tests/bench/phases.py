"""What is measured: one function a figure, each on a world that is quiet before it."""

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
from bench.load import Driver, Json, is_ready, policy_of
from bench.machine import Usage, usage_of
from bench.world import World
from support.running import TOKEN

SAMPLES = 30
"""Single objects whose latency is measured."""
QUIET = 0.05
"""Share of one core below which the operator counts as idle, over one second."""
_SPELL = 1.0
_LONGEST = 120.0


@dataclass(slots=True)
class Phase:
    """What one phase took.

    Attributes:
        seconds: From the first request to the last effect.
        cpu: Seconds of the operator.
        usage: Of the operator at the end.
        entries: What was called and written.
        curve: Seconds since the start at which each object got there, sorted.
    """

    seconds: float
    cpu: float
    usage: Usage
    entries: Entries
    curve: list[float] = field(default_factory=list)


async def create_all(world: World, driver: Driver, count: int) -> Phase:
    """Create policies for so many organizations, until all are Ready."""
    return await create_more(world, driver, 0, count)


async def create_more(world: World, driver: Driver, start: int, stop: int) -> Phase:
    """Create policies for the organizations of this range, until all are Ready."""
    orgs = world.organizations[start:stop]
    return await _load(
        world,
        driver,
        [driver.create(policy_of(org, value=False)) for org in orgs],
        lambda body: body is not None and is_ready(body),
    )


async def edit_all(world: World, driver: Driver, count: int) -> Phase:
    """Edit them all; `seconds` is until ZITADEL's event log has the last change."""
    orgs = world.organizations[:count]
    start = time.time()
    phase = await _load(
        world,
        driver,
        [driver.patch(f"p-{org}", {"passwordChange": True}) for org in orgs],
        lambda body: body is not None and is_ready(body) and _value(body),
    )
    phase.seconds = _last(world, "org.policy.notification.changed") - start
    return phase


async def delete_all(world: World, driver: Driver, count: int) -> Phase:
    """Delete them all, until the last object and the last own policy are gone."""
    orgs = world.organizations[:count]
    start = time.time()
    phase = await _load(
        world,
        driver,
        [driver.delete(f"p-{org}") for org in orgs],
        lambda body: body is None,
    )
    reset = _last(world, "org.policy.notification.removed") - start
    phase.seconds = max(phase.seconds, reset)
    return phase


async def one_create(world: World, driver: Driver) -> list[float]:
    """Return the seconds from create to Ready, for each of `SAMPLES` objects."""
    found = []
    for org in world.organizations[-SAMPLES:]:
        driver.watch.expect(1, lambda body: body is not None and is_ready(body))
        start = time.monotonic()
        await driver.create(policy_of(org, value=False))
        await driver.watch.until_reached()
        found.append(time.monotonic() - start)
        await asyncio.sleep(0.05)
    return found


async def one_patch(world: World, driver: Driver) -> list[float]:
    """Return the seconds from a patch until a GET of ZITADEL shows the value."""
    found = []
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(world.zitadel_url, headers=headers) as zitadel:
        for org in world.organizations[-SAMPLES:]:
            start = time.monotonic()
            await driver.patch(f"p-{org}", {"passwordChange": True})
            while not await _holds(zitadel, org):  # noqa: ASYNC110 - nobody tells us
                await asyncio.sleep(0.001)
            found.append(time.monotonic() - start)
            await asyncio.sleep(0.05)
    return found


async def counted(driver: Driver, count: int) -> None:
    """Wait until the instance tells of so many; counts are told once a minute at most.

    What is idle afterwards has nothing left to tell.
    """
    end = time.monotonic() + _LONGEST
    while await driver.policies_told() != count:
        if time.monotonic() > end:
            raise TimeoutError(f"The instance does not tell of {count} policies")
        await asyncio.sleep(1)


async def restart(world: World) -> dict[str, float]:
    """Stop and start the operator with what there is, until it is idle again."""
    world.stop_operator()
    ledger = Ledger(world)
    start = time.monotonic()
    ready = world.start_operator()
    idle = await until_quiet(world) - start
    entries = ledger.close()
    return {
        "ready": ready,
        "idle": idle,
        "calls": entries.calls,
        "writes": entries.all_writes,
        "cpu": usage_of(world.operator_pid).cpu,
    }


async def idle(world: World, seconds: float) -> Phase:
    """Do nothing for so many seconds."""
    async with _accounted(world) as close:
        await asyncio.sleep(seconds)
    return close(seconds)


async def foreign_secrets(driver: Driver, megabytes: int) -> None:
    """Fill the cluster with Secrets that are none of our business."""
    size = 1_000_000
    await driver.all(
        driver.create_secret("default", f"foreign-{n}", size) for n in range(megabytes)
    )


def percentile(values: list[float], share: float) -> float:
    """Return the value below which this share of all lies."""
    return statistics.quantiles(values, n=100, method="inclusive")[
        round(share * 100) - 1
    ]


async def _load(
    world: World,
    driver: Driver,
    work: list[Awaitable[None]],
    wanted: Callable[[Json | None], bool],
) -> Phase:
    driver.watch.expect(len(work), wanted)
    start = time.monotonic()
    async with _accounted(world) as close:
        await driver.all(work)
        await driver.watch.until_reached()
    reached = sorted(moment - start for moment in driver.watch.reached.values())
    phase = close(reached[-1])
    phase.curve = reached
    return phase


@asynccontextmanager
async def _accounted(world: World) -> AsyncIterator[Callable[[float], Phase]]:
    """Give a function that closes the books of this block."""
    ledger = Ledger(world)
    before = usage_of(world.operator_pid)
    after = before

    def close(seconds: float) -> Phase:
        cpu = after.cpu - before.cpu
        return Phase(seconds, cpu, after, ledger.close())

    yield close
    # What is still on its way (Events, look-ups) belongs to this block.
    await until_quiet(world)
    after = usage_of(world.operator_pid)


async def until_quiet(world: World) -> float:
    """Wait for the first quiet spell; return the monotonic time of its beginning."""
    end = time.monotonic() + _LONGEST
    while time.monotonic() < end:
        began, before = time.monotonic(), usage_of(world.operator_pid).cpu
        await asyncio.sleep(_SPELL)
        if usage_of(world.operator_pid).cpu - before <= QUIET * _SPELL:
            return began
    raise TimeoutError(f"The operator is not idle after {_LONGEST:.0f} s")


async def _holds(zitadel: aiohttp.ClientSession, organization: str) -> bool:
    async with zitadel.get(POLICY, headers={"x-zitadel-orgid": organization}) as answer:
        policy: dict[str, Any] = (await answer.json())["policy"]
    return bool(policy.get("passwordChange"))


def _value(body: Json) -> bool:
    return bool(body["status"]["passwordChange"])


def _last(world: World, kind: str) -> float:
    """Return when ZITADEL's last event of this type came about."""
    return max(
        datetime.fromisoformat(event["time"]).timestamp()
        for event in world.zitadel("events")
        if event["type"] == kind
    )
