"""A restart with a hundred thousand policies: memory, times, pauses of the event loop.

The policies are made up: a few real ones become Ready through the API server and the
operator, and the others are cast from one of them (`bench.mould`) and written into
etcd. The data folder is kept, and each run begins with a copy of it. The emulator has
all the organizations, with policies of the same value, but later dates. So the
instance's cursor is set to a later event: as after any restart, the operator has no
reason to look at a quiet policy.
"""

import asyncio
import hashlib
import json
import os
import random
import shutil
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from bench import etcd, phases
from bench.ledger import Ledger
from bench.load import driving
from bench.machine import describe, usage_of
from bench.mould import Mould
from bench.phases import percentile, until_quiet
from bench.probing import Probed, probed
from bench.processes import (
    INSTANCE,
    NAMESPACE,
    Processes,
    emulating,
    running_processes,
)
from zitadel_notification_operator.demo.control_plane import ControlPlane
from zitadel_notification_operator.demo.processes import free_port

REAL = 25
"""The number of real policies."""
ROLL_OUT = 60
"""How many made-up policies became Ready in the same second."""
SPELL = 5.0
"""Seconds without load after which a start counts as done. They are more than one,
because a page of a LIST may take the API server a while."""
PATIENCE = 600.0
LATER = 3600
"""Seconds between the events of the policies and the cursor: more than the search for
events looks back."""

_PREFIX = "/registry/zitadel-notification.dev/notificationpolicies/"
_FIRST = 280_000_000_000_000_101
"""The emulator's first organization besides the credential's."""
_TIMES = ("creationTimestamp", "time", "lastTransitionTime")
_START = datetime(2026, 11, 1, tzinfo=UTC)

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


@dataclass(frozen=True, slots=True)
class World:
    """A data folder of etcd with many policies.

    Attributes:
        data: The folder.
        port: The port of the ZITADEL that the instance names.
        made: The number of real policies that equal what the mould makes of them.
    """

    data: Path
    port: int
    made: int


def run_large(plan: Plan, say: Say) -> dict[str, Any]:
    """Carry out a run and return its result in a form for JSON."""
    world = _kept_world(plan, say)
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
        _fill_zitadel(processes)
        try:
            result["slow"] = asyncio.run(_measure(plan, processes, figures, say))
        finally:
            processes.stop_operator()
    result["machine"]["load_after"] = round(os.getloadavg()[0], 2)
    return result


def _fill_zitadel(processes: Processes) -> None:
    """Set all policies, and the instance's cursor to an event long after that."""
    processes.zitadel("policies", "PUT", {"passwordChange": False})
    known = [org["id"] for org in processes.zitadel("organizations")]
    # The first one is the organization of the credential.
    processes.organizations = known[1:]
    processes.zitadel("clock", "POST", {"seconds": LATER})
    made = processes.zitadel("organizations", "POST", {"name": "Made later"})
    last = processes.zitadel(f"events?aggregate={made['id']}")[-1]
    cursor = f"{last['time']} {last['sequence']} {last['aggregate']}"
    patch = json.dumps({"status": {"driftCursor": cursor}})
    processes.plane.kubectl(
        *("patch", "zni", INSTANCE, "--subresource=status", "--type=merge", "-p", patch)
    )


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


def _kept_world(plan: Plan, say: Say) -> World:
    """Return the world of this schema and size; make it if it is not there."""
    crds = sorted((plan.checkout / "deploy" / "crds").glob("*.yaml"))
    schema = hashlib.sha256(b"".join(path.read_bytes() for path in crds))
    folder = plan.kept / f"{schema.hexdigest()[:12]}-{plan.policies}"
    about = folder / "world.json"
    if not about.exists():
        shutil.rmtree(folder, ignore_errors=True)
        say(f"making a world of {plan.policies} policies, which is kept in {folder}")
        with tempfile.TemporaryDirectory("-znp-bench") as name:
            known = _make_world(plan, Path(name), folder / "etcd")
        about.write_text(json.dumps(known) + "\n")
    known = json.loads(about.read_text())
    return World(folder / "etcd", known["port"], known["made"])


def _make_world(plan: Plan, folder: Path, data: Path) -> dict[str, int]:
    port = free_port()
    with running_processes(folder, plan.checkout, REAL, port=port) as processes:
        asyncio.run(_make_real_ones(processes))
    [left] = (folder / "plane").glob("etcd-*")
    with etcd.serving(left, folder) as store:
        stored = store.under(_PREFIX)
        made = _mould_of(stored)
        asyncio.run(store.create(_made_up(made, plan.policies)))
    shutil.copytree(left, data)
    return {"port": port, "made": len(stored)}


async def _make_real_ones(processes: Processes) -> None:
    async with driving(processes) as driver:
        await phases.create_all(processes, driver, REAL)
        # So that the instance's status is that of a quiet time.
        await phases.until_reported(driver, REAL)
        await until_quiet(processes)
    processes.stop_operator()


def _mould_of(stored: dict[str, bytes]) -> Mould:
    """Return a mould, after it has made all real policies anew.

    Raises:
        RuntimeError: One of them is stored otherwise.
    """
    if len(stored) != REAL:
        raise RuntimeError(f"{REAL} policies were made, etcd holds {len(stored)}")
    mould = Mould.of(next(iter(stored.values())))
    for key, value in stored.items():
        again = mould.recast(value)
        if again != value or key != _key(Mould.of(value).organization):
            raise RuntimeError(
                f"{key}: stored {value!r}, but the mould makes {again!r}"
            )
    return mould


def _made_up(mould: Mould, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield keys and values of made-up policies, so that there are `count` in all."""
    chance = random.Random(1)
    for number in range(REAL, count):
        organization = str(_FIRST + number)
        moment = _START + timedelta(seconds=number // ROLL_OUT)
        exact = moment + timedelta(microseconds=chance.randrange(10**6))
        values = {
            "organizationName": f"Organization {number + 1}",
            "sequence": mould.sequence,
            "creationDate": f"{exact:%Y-%m-%dT%H:%M:%S.%fZ}",
            "changeDate": f"{exact:%Y-%m-%dT%H:%M:%S.%fZ}",
        }
        when = f"{moment:%Y-%m-%dT%H:%M:%SZ}"
        uid = str(UUID(int=chance.getrandbits(128), version=4))
        values |= dict.fromkeys(_TIMES, when)
        yield _key(organization), mould.cast(organization, uid, values.__getitem__)


def _key(organization: str) -> str:
    return f"{_PREFIX}{NAMESPACE}/p-{organization}"
