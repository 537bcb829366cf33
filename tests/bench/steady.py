"""A run without load: idle, restart, drift, failover.

`python -m bench steady` starts it. It compresses an hour: the instance searches events
every 5 seconds instead of every minute.
"""

import asyncio
import os
import random
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench import phases
from bench.drifting import Correction, change_and_wait, stranger
from bench.failover import fail_over
from bench.ledger import Entries, Ledger
from bench.load import Driver, driving
from bench.machine import describe, usage_of
from bench.processes import Processes, running_processes
from zitadel_notification_operator.core.events import OVERLAP

INTERVAL = 5.0
"""The `eventsInterval` in seconds, which is the shortest that is allowed."""
DRIFT_DETECTION = {"eventsInterval": f"{INTERVAL:.0f}s", "pollInterval": "10m"}
SETTLE = OVERLAP.total_seconds() + 15.0
"""Seconds to wait after a load; until then its events are searched again."""
AFTERWARDS = 30.0
"""Seconds after a restart during which there must be no pass either."""
SINGLES = 10
"""Rounds in which one policy is changed by somebody else."""
ROUNDS = 3
"""Rounds in which half of the policies are changed."""
SEARCH = "POST /admin/v1/events/_search"
CHECKS = {
    "POST /auth/v1/permissions/zitadel/me/_search",
    "GET /auth/v1/users/me",
    "GET /admin/v1/instances/me",
}
"""The three calls that check the instance, which are made every three minutes."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The scope of a run.

    Attributes:
        policies: The number N of policies.
        checkout: The checkout of the operator; replicas always run this checkout's.
        idle: Seconds during which nothing happens.
        runs: Failovers for each lease and signal, except for the slow combination.
        long_runs: Failovers by kill -9 with a lease of 15 s, which are slow.
    """

    policies: int
    checkout: Path
    idle: float = 300.0
    runs: int = 10
    long_runs: int = 3

    @property
    def sizes(self) -> tuple[int, int, int]:
        """The numbers of policies of the idle worlds."""
        return 1, self.policies // 10, self.policies


@dataclass(frozen=True, slots=True)
class _Course:
    """The data that all parts of a run share."""

    plan: Plan
    result: dict[str, Any]
    say: Callable[[str], None]

    @property
    def figures(self) -> dict[str, float]:
        """The figures of the result."""
        found: dict[str, float] = self.result["figures"]
        return found

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Report that a part begins, and record the machine's load around it."""
        self.say(name)
        before = round(os.getloadavg()[0], 2)
        yield
        after = round(os.getloadavg()[0], 2)
        self.result["loads"][name] = [before, after]


def run_steady(plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Carry out a run and return its result in a form for JSON.

    Args:
        plan: The scope of the run.
        say: Receives lines of progress.
    """
    result: dict[str, Any] = {"policies": plan.policies, "figures": {}, "loads": {}}
    course = _Course(plan, result, say)
    say(f"starting three clusters with a ZITADEL each, for {plan.sizes} policies")
    with tempfile.TemporaryDirectory("-znp-bench") as parent, ExitStack() as big:
        with ExitStack() as small:
            worlds = []
            for size, stack in zip(plan.sizes, (small, small, big), strict=True):
                folder = Path(parent) / str(size)
                folder.mkdir()
                new = running_processes(folder, plan.checkout, size, DRIFT_DETECTION)
                worlds.append(stack.enter_context(new))
            result["machine"] = describe(plan.checkout, worlds[0].version())
            asyncio.run(_idle(course, worlds))
        asyncio.run(_rest(course, worlds[-1]))
    result["machine"]["load_after"] = round(os.getloadavg()[0], 2)
    return result


async def _idle(course: _Course, worlds: list[Processes]) -> None:
    """Let worlds of different sizes be idle side by side."""
    plan = course.plan
    sized = list(zip(("one", "tenth", "all"), plan.sizes, worlds, strict=True))
    for _, size, processes in sized:
        course.say(f"{size} policies: create")
        async with driving(processes) as driver:
            await phases.create_all(processes, driver, size)
            await phases.until_reported(driver, size)
    await asyncio.sleep(SETTLE)
    with course.part(f"idle for {plan.idle:.0f} seconds"):
        ledgers = [Ledger(processes) for processes in worlds]
        before = [usage_of(processes.operator_pid).cpu for processes in worlds]
        await asyncio.sleep(plan.idle)
        after = [usage_of(processes.operator_pid).cpu for processes in worlds]
        found = [ledger.close() for ledger in ledgers]
    for (name, _, _), entries, start, end in zip(
        sized, found, before, after, strict=True
    ):
        _note_idle(course, name, entries)
        course.figures[f"idle_{name}.cpu_percent"] = 100 * (end - start) / plan.idle


def _note_idle(course: _Course, name: str, entries: Entries) -> None:
    checks = sum(n for call, n in entries.zitadel.items() if call in CHECKS)
    for key, value in (
        ("calls", entries.calls - checks),
        ("searches", entries.zitadel[SEARCH]),
        ("checks", checks),
        ("writes", entries.all_writes),
        ("events", entries.events),
        ("leases", entries.leases),
    ):
        course.figures[f"idle_{name}.{key}"] = value
    _keep(course, f"idle_{name}", entries)


def _keep(course: _Course, name: str, entries: Entries) -> None:
    course.result.setdefault("entries", {})[name] = {
        "zitadel": dict(entries.zitadel),
        "kubernetes": dict(entries.writes),
    }


async def _rest(course: _Course, processes: Processes) -> None:
    """Run the parts that need all with all policies."""
    with course.part("restart"):
        await _restart(course, processes)
    async with driving(processes) as driver:
        with course.part("drift"):
            await _drift(course, processes)
        processes.stop_operator()
        with course.part("failover"):
            await _failover(course, processes, driver)


async def _restart(course: _Course, processes: Processes) -> None:
    for key, value in (await phases.restart(processes)).items():
        course.figures[f"restart.{key}"] = value
    ledger = Ledger(processes)
    await asyncio.sleep(AFTERWARDS)
    entries = ledger.close()
    after = entries.calls - entries.zitadel[SEARCH]
    course.figures["restart.afterwards"] = after + entries.all_writes
    _keep(course, "after_restart", entries)


async def _drift(course: _Course, processes: Processes) -> None:
    somebody, figures, say = stranger(processes), course.figures, course.say
    half = len(processes.organizations) // 2
    alone, many = processes.organizations[:SINGLES], processes.organizations[-half:]
    singles: list[float] = []
    for organization in alone:
        # A random wait, so that changes are spread evenly between two searches.
        await asyncio.sleep(INTERVAL * random.random())
        found = await change_and_wait(processes, somebody, [organization], value=True)
        singles.append(found.seconds)
    say(f"one corrected within {max(singles):.2f} s")
    figures["drift_one.p50"], figures["drift_one.max"] = median(singles), max(singles)
    await phases.until_quiet(processes)
    ledger, rounds = Ledger(processes), list[Correction]()
    for _ in range(ROUNDS):
        await asyncio.sleep(INTERVAL * random.random())
        rounds.append(await change_and_wait(processes, somebody, many, value=True))
        say(f"{half}: {rounds[-1].writing:.2f} s to change, {rounds[-1].seconds:.2f}")
    await phases.until_quiet(processes)
    entries, count = ledger.close(), ROUNDS * half
    figures["drift_many.p50"] = median(found.seconds for found in rounds)
    figures["drift_many.max"] = max(found.seconds for found in rounds)
    figures["drift_many.writing"] = median(found.writing for found in rounds)
    # Subtract the stranger's own calls.
    figures["drift_many.calls"] = (entries.calls - count) / count
    figures["drift_many.writes"] = entries.all_writes / count
    _keep(course, "drift", entries)
    course.result["drift"] = {
        "one": singles,
        "many": [found.seconds for found in rounds],
        "curves": [found.curve for found in rounds],
    }


async def _failover(course: _Course, processes: Processes, driver: Driver) -> None:
    plan = course.plan
    names = [f"p-{organization}" for organization in processes.organizations]
    late = 0
    for lease, kills in ((5, plan.runs), (15, plan.long_runs)):
        runs = {signal.SIGKILL: kills, signal.SIGTERM: plan.runs}
        found = await fail_over(processes, driver, names, lease, runs, course.say)
        for how, series in found.items():
            name = f"failover_{how.name.lower()}_{lease}s"
            course.figures[f"{name}.p50"] = median(series.seconds)
            course.figures[f"{name}.max"] = max(series.seconds)
            course.result.setdefault("failover", {})[name] = series.seconds
            late += series.late
    course.figures["failover.late"] = late
