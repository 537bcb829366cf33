"""A whole run: the phases in their order, and the figures that result from them.

The name of a figure, such as `create.seconds`, tells its unit: seconds, milliseconds
(`_ms`), MiB (`_mib`), or otherwise a count for one policy.
"""

import asyncio
import os
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import phases
from bench.load import Driver, driving
from bench.machine import describe, usage_of
from bench.phases import Phase, percentile
from bench.processes import Processes, running_processes
from bench.sampling import sampled

FOREIGN_MEGABYTES = 60

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """The scope of a run.

    Attributes:
        policies: The number N of policies.
        checkout: The checkout of the operator.
        idle: The length of the idle phase in seconds; 0 skips it.
        memory: Whether to measure 10 times N policies and foreign Secrets, too.
        profile: Whether to sample where the time goes, too.
    """

    policies: int
    checkout: Path
    idle: float = 300.0
    memory: bool = True
    profile: bool = True


@dataclass(frozen=True, slots=True)
class _Course:
    """The input of a part of a run, and where it stores its results."""

    plan: Plan
    processes: Processes
    result: dict[str, Any]
    figures: Figures
    say: Callable[[str], None]


_Part = Callable[[_Course], Coroutine[Any, Any, None]]


def run(plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Carry out a run and return its result in a form for JSON.

    Args:
        plan: The scope of the run.
        say: Receives lines of progress.
    """
    result: dict[str, Any] = {"policies": plan.policies, "figures": {}}
    figures: Figures = result["figures"]
    parts: list[tuple[str, int, _Part]] = [
        ("times and counts", plan.policies + phases.SAMPLES, _times),
    ]
    if plan.profile:
        parts.append(("profile", plan.policies, _profile))
    if plan.memory:
        parts.append(("memory", 10 * plan.policies, _memory))
    for name, organizations, part in parts:
        say(
            f"{name}: starting a cluster and a ZITADEL of {organizations} organizations"
        )
        with (
            tempfile.TemporaryDirectory("-znp-bench") as folder,
            running_processes(Path(folder), plan.checkout, organizations) as processes,
        ):
            if "machine" not in result:
                result["machine"] = describe(plan.checkout, processes.version())
            asyncio.run(part(_Course(plan, processes, result, figures, say)))
    result["machine"]["load_after"] = round(os.getloadavg()[0], 2)
    return result


async def _times(course: _Course) -> None:
    processes, figures, say = course.processes, course.figures, course.say
    count, idle = course.plan.policies, course.plan.idle
    figures["rss_0_mib"] = usage_of(processes.operator_pid).rss
    async with driving(processes) as driver:
        say("one object at a time")
        _note_each(course, "one_create", await phases.one_create(processes, driver))
        _note_each(course, "one_patch", await phases.one_patch(processes, driver))
        say(f"{count} policies: create")
        created = await phases.create_all(processes, driver, count)
        _note(course, "create", created)
        course.result["curve"] = created.curve
        figures["rss_mib"] = created.usage.rss
        say("edit")
        _note(course, "edit", await phases.edit_all(processes, driver, count))
        figures["rss_peak_mib"] = usage_of(processes.operator_pid).peak
        say("restart, after the status has the number of policies")
        await phases.until_reported(driver, count + phases.SAMPLES)
        for key, value in (await phases.restart(processes)).items():
            figures[f"restart.{key}"] = value
        if idle:
            say(f"idle for {idle:.0f} seconds")
            quiet = await phases.idle(processes, idle)
            figures["idle.calls"] = quiet.entries.calls
            figures["idle.writes"] = quiet.entries.all_writes
            figures["idle.cpu_percent"] = 100 * quiet.cpu / idle
        say("delete")
        _note(course, "delete", await phases.delete_all(processes, driver, count))


def _note_each(course: _Course, name: str, values: list[float]) -> None:
    for share in (0.50, 0.95):
        key = f"{name}_p{share * 100:.0f}_ms"
        course.figures[key] = 1000 * percentile(values, share)


def _note(course: _Course, name: str, phase: Phase) -> None:
    count, figures = course.plan.policies, course.figures
    figures[f"{name}.seconds"] = phase.seconds
    figures[f"{name}.cpu_ms"] = 1000 * phase.cpu / count
    figures[f"{name}.calls"] = phase.entries.calls / count
    figures[f"{name}.writes"] = phase.entries.all_writes / count
    figures[f"{name}.refused"] = phase.entries.refused
    figures[f"{name}.events"] = phase.entries.events / count
    course.result.setdefault("entries", {})[name] = {
        "zitadel": dict(phase.entries.zitadel),
        "kubernetes": dict(phase.entries.writes),
    }


async def _profile(course: _Course) -> None:
    async with driving(course.processes) as driver:
        course.say(f"sampling while {course.plan.policies} policies are created")
        with sampled(course.processes, course.processes.folder) as profile:
            await phases.create_all(course.processes, driver, course.plan.policies)
    course.result["profile"] = asdict(profile)


async def _memory(course: _Course) -> None:
    processes, figures = course.processes, course.figures
    memory: dict[str, float] = {"0": usage_of(processes.operator_pid).rss}
    async with driving(processes) as driver:
        await _fill(course, driver, memory)
        figures["rss_10x_mib"] = usage_of(processes.operator_pid).rss
        course.say("restart")
        again = await phases.restart(processes)
        figures["restart_10x.idle"] = again["idle"]
        figures["rss_10x_restarted_mib"] = usage_of(processes.operator_pid).rss
        course.say(f"{FOREIGN_MEGABYTES} MB of Secrets that the operator does not use")
        await phases.foreign_secrets(driver, FOREIGN_MEGABYTES)
        await phases.restart(processes)
        figures["rss_10x_foreign_mib"] = usage_of(processes.operator_pid).rss
    course.result["memory"] = memory


async def _fill(course: _Course, driver: Driver, memory: dict[str, float]) -> None:
    """Create ten times N policies in five steps, and record the memory after each."""
    processes, total = course.processes, 10 * course.plan.policies
    done = 0
    for share in (0.1, 0.25, 0.5, 0.75, 1.0):
        until = round(total * share)
        course.say(f"{until} policies")
        await phases.create_more(processes, driver, done, until)
        done = until
        memory[str(done)] = usage_of(processes.operator_pid).rss
