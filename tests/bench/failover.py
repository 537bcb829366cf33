"""The leader is ended; how long until the next one writes to ZITADEL.

Two replicas run side by side, each behind relays of its own that record its requests to
ZITADEL with their times. All times are of one clock, that of the bench.
"""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.load import Driver, Json, is_ready
from bench.processes import Processes
from support.replicas import Fleet, Replica, first_after

TASKS = 10
"""The number of policies that are edited after the signal to cause writes."""
_APART = 0.1
"""Seconds between two of these edits; the old leader may still write the first one."""
_RENEWALS = 2 / 15
"""The part of the lease's duration after which it is renewed."""
_PATIENCE = 60.0


@dataclass(slots=True)
class Series:
    """Several failovers of one kind.

    Attributes:
        seconds: The time of each, from the signal to the next leader's first write.
        late: Writes of an old leader after the first write of the next one.
    """

    seconds: list[float] = field(default_factory=list)
    late: int = 0


async def fail_over(
    processes: Processes,
    driver: Driver,
    names: list[str],
    lease: int,
    runs: dict[signal.Signals, int],
    say: Callable[[str], None],
) -> dict[signal.Signals, Series]:
    """End the leader again and again; no operator may run at the beginning.

    Args:
        processes: Everything, whose operator is stopped.
        driver: Makes the edits.
        names: The policies of which `TASKS` are edited each time.
        lease: The lease duration in seconds.
        runs: How often to end the leader with each signal.
        say: Receives lines of progress.
    """
    folder = processes.folder / f"lease-{lease}"
    folder.mkdir()
    fleet = Fleet(processes.plane, processes.emulator, folder)
    found = {how: Series() for how in runs}
    try:
        acting, standby = await asyncio.to_thread(fleet.start, 2, f"{lease}s")
        for how, count in runs.items():
            for _ in range(count):
                # A random wait spreads the signals evenly between two renewals.
                await asyncio.sleep(lease * _RENEWALS * random.random())
                chosen = random.sample(names, TASKS)
                await _once(driver, chosen, (acting, standby), how, found[how])
                say(f"{how.name}, {lease} s: {found[how].seconds[-1]:.2f} s")
                acting, standby = standby, await _next(fleet, acting, lease)
    finally:
        await asyncio.to_thread(fleet.stop)
    return found


async def _once(
    driver: Driver,
    names: list[str],
    replicas: tuple[Replica, Replica],
    how: signal.Signals,
    series: Series,
) -> None:
    acting, standby = replicas
    wanted = {
        name: not driver.watch.objects[name]["spec"]["passwordChange"] for name in names
    }

    def is_done(body: Json | None) -> bool:
        return (
            body is not None
            and is_ready(body)
            and wanted.get(body["metadata"]["name"]) is body["spec"]["passwordChange"]
        )

    driver.watch.expect(TASKS, is_done)
    moment = time.monotonic()
    os.kill(acting.process.program.pid, how)
    for name, value in wanted.items():
        await driver.patch(name, {"passwordChange": value})
        await asyncio.sleep(_APART)
    await driver.watch.until_reached()
    took = await asyncio.to_thread(first_after, standby, moment, _PATIENCE)
    series.seconds.append(took)
    series.late += sum(at >= moment + took for at in acting.zitadel.writes())


async def _next(fleet: Fleet, ended: Replica, lease: int) -> Replica:
    """Clean up after the replica that was ended, and start another standby."""

    def start() -> Replica:
        ended.stop()
        new = fleet.start_one(f"{lease}s")
        new.process.wait_ready()
        return new

    return await asyncio.to_thread(start)
