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

FLOOR, SLOW = "floor.", "slow."
"""What the names of figures begin with that are those of the floor, or were measured
with a ZITADEL that answers slowly; `slow.floor.` for both."""

COMPARED = (
    *("create.seconds", "edit.seconds", "delete.seconds"),
    *("one_create_p50_ms", "one_patch_p50_ms"),
    *("create.cpu_ms", "edit.cpu_ms", "delete.cpu_ms"),
)
"""The figures that are compared with the floor's."""

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
        floor: Whether to measure the floor, too (`bench.floor`).
        slow: Whether to measure with a ZITADEL that answers slowly, too.
    """

    policies: int
    checkout: Path
    idle: float = 300.0
    memory: bool = True
    profile: bool = True
    floor: bool = True
    slow: bool = True


@dataclass(frozen=True, slots=True)
class _Course:
    """The input of a part of a run, and where it stores its results.

    Attributes:
        prefix: What the names of the part's figures begin with.
    """

    plan: Plan
    processes: Processes
    result: dict[str, Any]
    figures: Figures
    say: Callable[[str], None]
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a run, which has a cluster and a ZITADEL of its own.

    Attributes:
        title: Its name for people.
        organizations: The number of organizations in ZITADEL.
        work: Makes the measurements.
        prefix: What the names of its figures begin with.
        floor: Whether the floor is measured, not the operator.
        slow: Whether ZITADEL answers slowly.
    """

    title: str
    organizations: int
    work: Callable[[_Course], Coroutine[Any, Any, None]]
    prefix: str = ""
    floor: bool = False
    slow: bool = False


def _parts_of(plan: Plan) -> list[_Part]:
    """Return the parts in their order: the floor right after what it is for."""
    most = plan.policies + phases.SAMPLES
    parts = [_Part("times and counts", most, _times)]
    if plan.floor:
        parts.append(_Part("the floor", most, _load, FLOOR, floor=True))
    if plan.slow:
        title = "a ZITADEL that answers slowly"
        parts.append(_Part(title, most, _load, SLOW, slow=True))
        if plan.floor:
            both = SLOW + FLOOR
            parts.append(
                _Part(f"{title}, the floor", most, _load, both, floor=True, slow=True)
            )
    if plan.profile:
        parts.append(_Part("profile", plan.policies, _profile))
    if plan.memory:
        parts.append(_Part("memory", 10 * plan.policies, _memory))
    return parts


def run(plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Carry out a run and return its result in a form for JSON.

    Args:
        plan: The scope of the run.
        say: Receives lines of progress.
    """
    result: dict[str, Any] = {"policies": plan.policies, "figures": {}}
    figures: Figures = result["figures"]
    for part in _parts_of(plan):
        say(
            f"{part.title}: starting a cluster and a ZITADEL of {part.organizations} "
            "organizations"
        )
        with (
            tempfile.TemporaryDirectory("-znp-bench") as folder,
            running_processes(
                Path(folder),
                plan.checkout,
                part.organizations,
                floor=part.floor,
                slow=part.slow,
            ) as processes,
        ):
            if "machine" not in result:
                result["machine"] = describe(plan.checkout, processes.version())
            course = _Course(plan, processes, result, figures, say, part.prefix)
            asyncio.run(part.work(course))
    figures |= ratios_to_floor(figures)
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


async def _load(course: _Course) -> None:
    """Create, edit and delete only."""
    processes, count = course.processes, course.plan.policies
    async with driving(processes) as driver:
        course.say("one object at a time")
        _note_each(course, "one_create", await phases.one_create(processes, driver))
        _note_each(course, "one_patch", await phases.one_patch(processes, driver))
        for name, phase in (
            ("create", phases.create_all),
            ("edit", phases.edit_all),
            ("delete", phases.delete_all),
        ):
            course.say(f"{count} policies: {name}")
            _note(course, name, await phase(processes, driver, count))


def ratios_to_floor(figures: Figures) -> Figures:
    """Return how many times the floor's each figure is that has a floor."""
    return {
        f"{prefix}{name}_floor": figures[prefix + name] / figures[prefix + FLOOR + name]
        for prefix in ("", SLOW)
        for name in COMPARED
        if {prefix + name, prefix + FLOOR + name} <= figures.keys()
    }


def _note_each(course: _Course, name: str, values: list[float]) -> None:
    for share in (0.50, 0.95):
        key = f"{course.prefix}{name}_p{share * 100:.0f}_ms"
        course.figures[key] = 1000 * percentile(values, share)


def _note(course: _Course, name: str, phase: Phase) -> None:
    count, figures = course.plan.policies, course.figures
    name = course.prefix + name
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
