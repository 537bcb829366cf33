"""A restart with a hundred thousand policies: memory, times, pauses of the event loop.

The policies are those of a made-up world, which is kept (`bench.kept_world`).
"""

import asyncio
import os
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import phases
from bench.kept_world import fill_zitadel, kept_world
from bench.ledger import Ledger
from bench.load import driving
from bench.machine import describe, usage_of
from bench.phases import percentile, until_quiet
from bench.probing import Probed, probed
from bench.processes import Processes, emulating
from zitadel_notification_operator.demo.control_plane import ControlPlane
from zitadel_notification_operator.demo.processes import free_port

SPELL = 5.0
"""Seconds without load after which a start counts as done. They are more than one,
because a page of a LIST may take the API server a while."""
PATIENCE = 600.0
Say = Callable[[str], None]
Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """The scope of a run.

    Attributes:
        policies: The number of policies.
        checkout: The checkout of the operator.
        kept: The folder for data folders of etcd.
        idle: The length of the idle phase in seconds.
    """

    policies: int
    checkout: Path
    kept: Path
    idle: float = 660.0


def run_large(plan: Plan, say: Say) -> dict[str, Any]:
    """Carry out a run and return its result in a form for JSON."""
    world = kept_world(plan.policies, plan.checkout, plan.kept, say)
    figures: Figures = {"made": world.made}
    result: dict[str, Any] = {"policies": plan.policies, "figures": figures}
    say(f"starting a cluster with {plan.policies} policies, and their ZITADEL")
    with (
        tempfile.TemporaryDirectory("-znp-bench") as name,
        ControlPlane(Path(name) / "plane", data=world.data) as plane,
        emulating(Path(name), plan.policies, world.port) as emulator,
    ):
        processes = Processes(plane, Path(name), plan.checkout, emulator, [])
        result["machine"] = describe(plan.checkout, processes.version())
        fill_zitadel(processes)
        try:
            result["slow"] = asyncio.run(_measure(plan, processes, figures, say))
        finally:
            processes.stop_operator()
    result["machine"]["load_after"] = round(os.getloadavg()[0], 2)
    return result


async def _measure(
    plan: Plan, processes: Processes, figures: Figures, say: Say
) -> dict[str, list[float]]:
    """Fill the figures; return the slowest answers of /healthz by phase."""
    health, metrics = free_port(), free_port()
    url, folder = f"http://127.0.0.1:{health}/healthz", processes.folder
    slow: dict[str, list[float]] = {}

    def note(name: str, found: Probed) -> None:
        figures[f"{name}.longest_ms"] = 1000 * found.longest
        figures[f"{name}.late_ms"] = 1000 * found.late
        figures[f"{name}.wrong"] = found.wrong
        slow[name] = found.slow

    say("the operator starts")
    ledger, began = Ledger(processes), time.monotonic()
    with probed(url, folder) as found:
        figures["start.ready"] = processes.start_operator(health, metrics, PATIENCE)
        figures["start.idle"] = await until_quiet(processes, SPELL) - began
    note("start", found)
    entries, usage = ledger.close(), usage_of(processes.operator_pid)
    figures |= {"start.calls": entries.calls, "start.writes": entries.all_writes}
    figures |= {"start.cpu": usage.cpu, "start.rss_mib": usage.rss}
    figures["start.peak_mib"] = usage.peak
    say(f"idle for {plan.idle:.0f} seconds")
    with probed(url, folder) as found:
        quiet = await phases.idle(processes, plan.idle)
    note("idle", found)
    figures["idle.cpu_percent"] = 100 * quiet.cpu / plan.idle
    figures["idle.calls"] = quiet.entries.calls
    figures["idle.writes"] = quiet.entries.all_writes
    figures["idle.rss_mib"] = quiet.usage.rss
    say("one edit at a time")
    async with driving(processes, watching=False) as driver:
        times = await phases.one_patch(processes, driver)
    for share in (0.50, 0.95):
        key = f"one_patch_p{share * 100:.0f}_ms"
        figures[key] = 1000 * percentile(times, share)
    say("a scrape of /metrics")
    with probed(url, folder) as found:
        await asyncio.sleep(1)
        began = time.monotonic()
        size = await asyncio.to_thread(_scrape, metrics)
        figures["scrape.seconds"] = time.monotonic() - began
    note("scrape", found)
    figures["scrape.megabytes"] = size / 1e6
    figures["end.peak_mib"] = usage_of(processes.operator_pid).peak
    return slow


def _scrape(port: int) -> int:
    url = f"http://127.0.0.1:{port}/metrics"
    with urllib.request.urlopen(url, timeout=120) as answer:
        return sum(len(part) for part in iter(lambda: answer.read(1 << 20), b""))
