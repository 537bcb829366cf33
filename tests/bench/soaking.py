"""A soak: many policies, the shortest intervals, faults and restarts for a long time.

The soak begins with a made-up world (`bench.kept_world`), whose ZITADEL serves TLS.
Then happens what `bench.happenings` has planned, and the operator's memory is sampled.
In the end all faults are lifted, the world settles and is judged: each policy must be
Ready, ZITADEL must hold what its spec says on both its sides, and memory must have been
flat.
"""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.acting import Stage, born_in, session_of
from bench.drifting import stranger
from bench.happenings import Kind, lively, planned
from bench.kept_world import fill_zitadel, kept_world
from bench.lives import Lives, counting
from bench.load import driving
from bench.machine import describe, usage_of
from bench.memory_slope import Slope, slope_of, what_leaks
from bench.processes import INSTANCE, Processes, emulating
from bench.settling import settled, told
from support.apiproxy import ApiProxy
from support.relay import Relay
from support.running import OWN_NAMESPACE
from zitadel_notification_operator.demo.certificates import write_certificates
from zitadel_notification_operator.demo.control_plane import ControlPlane

MORE = 200
"""Organizations in addition, for the policies that are created and deleted."""
DRIFT_DETECTION = {"eventsInterval": "5s", "pollInterval": "10s"}
"""The shortest intervals that the CRD allows."""
LEASE = "60s"
"""The lease of the operator. An operator that cannot renew it for 40 seconds ends. A
busy machine may take more than ten to stop and start an API server, which a fault that
hangs may follow; with 30 seconds a soak beside a test run ended so."""
AUTHORITY = "zitadel-ca"

Say = Callable[[str], None]
Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """The scope of a soak.

    Attributes:
        policies: The number of policies.
        checkout: The checkout of the operator.
        kept: The folder for data folders of etcd.
        seconds: The length of the soak, without its preparation and the judgement.
        seed: What decides what happens when.
    """

    policies: int
    checkout: Path
    kept: Path
    seconds: float = 1800.0
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Cluster:
    """What runs before the operator starts, and what it goes through.

    Attributes:
        processes: The processes.
        proxy: Through it the operator reaches Kubernetes.
        relay: Through it the operator reaches ZITADEL.
    """

    processes: Processes
    proxy: ApiProxy
    relay: Relay


def run_soak(plan: Plan, say: Say) -> dict[str, Any]:
    """Carry out a soak and return its result in a form for JSON.

    Returns:
        The figures, the machine, the samples of each life, and as `wrong` a sentence
        for everything that must not be.
    """
    figures: Figures = {}
    result: dict[str, Any] = {
        "policies": plan.policies,
        "seconds": plan.seconds,
        "seed": plan.seed,
        "figures": figures,
        "wrong": [],
    }
    with _running(plan, say) as cluster:
        processes = cluster.processes
        result["machine"] = describe(plan.checkout, processes.version())
        try:
            asyncio.run(_soak(plan, cluster, result, say))
        finally:
            processes.stop_operator()
    result["machine"]["load_after"] = round(os.getloadavg()[0], 2)
    return result


@contextmanager
def _running(plan: Plan, say: Say) -> Iterator[Cluster]:
    """Start all but the operator, with TLS on both sides."""
    world = kept_world(plan.policies, plan.checkout, plan.kept, say)
    say(f"starting a cluster with {plan.policies} policies, and their ZITADEL")
    with tempfile.TemporaryDirectory("-znp-bench") as name:
        folder = Path(name)
        certificates = folder / "certificates"
        certificates.mkdir()
        write_certificates(certificates)
        count = plan.policies + MORE
        with (
            ControlPlane(folder / "plane", data=world.data) as plane,
            emulating(folder, count, certificates=certificates) as emulator,
            Relay(int(emulator.url.rpartition(":")[2])) as relay,
            ApiProxy(plane, pair=_pair(plane)) as proxy,
        ):
            processes = Processes(plane, folder, plan.checkout, emulator, [])
            authority = {"certificate-authority": str(plane.folder / "ca.crt")}
            processes.kubeconfig = proxy.kubeconfig(folder / "kubeconfig", authority)
            processes.options = ("--lease-duration", LEASE)
            processes.environment = counting(processes)
            fill_zitadel(processes)
            _connect(processes, relay)
            yield Cluster(processes, proxy, relay)


def _pair(plane: ControlPlane) -> Path:
    """Return a file with the API server's certificate and key, for the proxy."""
    path = plane.folder / "proxy.pem"
    names = ("serving.crt", "serving.key")
    path.write_text("".join((plane.folder / name).read_text() for name in names))
    return path


def _connect(processes: Processes, relay: Relay) -> None:
    """Point the instance to the relay, by TLS, and give it the shortest intervals."""
    roots = processes.emulator.roots
    assert roots is not None
    bundle = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": AUTHORITY, "namespace": OWN_NAMESPACE},
        "data": {"ca.crt": roots.read_text()},
    }
    kubectl = processes.plane.kubectl
    kubectl("apply", "-f", "-", stdin=json.dumps(bundle))
    spec = {
        "url": f"https://127.0.0.1:{relay.port}",
        "allowInsecureHTTP": False,
        "caBundle": {"configMapRef": {"name": AUTHORITY}},
        "driftDetection": DRIFT_DETECTION,
    }
    patch = json.dumps({"spec": spec})
    kubectl("patch", "zni", INSTANCE, "--type=merge", "-p", patch)


async def _soak(plan: Plan, cluster: Cluster, result: dict[str, Any], say: Say) -> None:
    processes, figures, wrong = cluster.processes, result["figures"], result["wrong"]
    born = born_in(processes.organizations[plan.policies :][:MORE])
    async with (
        driving(processes, watching=False) as driver,
        session_of(processes, stranger(processes)) as zitadel,
    ):
        stage = Stage(processes, cluster.proxy, cluster.relay, driver, zitadel, born)
        lives = Lives(processes, stage.turn, say)
        await lives.begin()
        await _happen(plan, stage, lives, say)
        await stage.lift()
        say("all faults are lifted; the world settles")
        reset = born.reset - {organization for _, organization in born.alive}
        verdict = await settled(driver, zitadel, reset)
        figures["settled"], figures["mismatches"] = verdict.seconds, len(verdict.wrong)
        figures["memory.settled_mib"] = usage_of(processes.operator_pid).rss
        await lives.end("SIGTERM")
    wrong += told(verdict.wrong)
    _note_lives(lives, result)
    _note_counts(stage, lives, figures)


async def _happen(plan: Plan, stage: Stage, lives: Lives, say: Say) -> None:
    """Let everything happen that is planned, and wait for the end of the time."""
    began = time.monotonic()
    watching = asyncio.create_task(lives.watch())
    telling = asyncio.create_task(_tell(stage, lives, say))
    try:
        async with asyncio.TaskGroup() as group:
            for happening in planned(plan.seed, plan.seconds, lively(plan.policies)):
                await asyncio.sleep(began + happening.at - time.monotonic())
                group.create_task(stage.act(happening, lives.restart))
                _raise_from(watching)
        await asyncio.sleep(began + plan.seconds - time.monotonic())
    finally:
        for task in (watching, telling):
            task.cancel()
        await asyncio.gather(watching, telling, return_exceptions=True)


def _raise_from(task: asyncio.Task[None]) -> None:
    """Raise what has ended a task that must not end."""
    if task.done():
        task.result()


async def _tell(stage: Stage, lives: Lives, say: Say) -> None:
    """Say once a minute how things stand."""
    minute = 0
    while True:
        await asyncio.sleep(60)
        minute += 1
        samples = lives.all[-1].samples
        memory = f"{samples[-1].mib:.1f} MiB used" if samples else "not running"
        edits, foreign = stage.counts[Kind.EDIT], stage.counts[Kind.FOREIGN]
        say(
            f"minute {minute}: {memory}, {lives.traffic.calls} calls to ZITADEL, "
            f"{lives.traffic.writes} writes to Kubernetes, {edits} edits, "
            f"{foreign} foreign edits"
        )


def _note_lives(lives: Lives, result: dict[str, Any]) -> None:
    """Fill in memory, health and ends of all lives."""
    figures, wrong = result["figures"], result["wrong"]
    slopes = [slope_of(life.samples) for life in lives.all]
    for number, slope in enumerate(slopes, 1):
        if slope is not None:
            wrong += what_leaks(number, slope)
    known = [slope for slope in slopes if slope is not None]
    if known:
        _note_slopes(known, figures)
    wrong += lives.wrong
    figures["lives"] = len(lives.all)
    figures["ends"] = sum(life.end == "by itself" for life in lives.all)
    figures["health.asked"] = sum(life.health.count for life in lives.all)
    figures["health.wrong"] = sum(life.health.wrong for life in lives.all)
    figures["health.longest_ms"] = 1000 * max(life.health.longest for life in lives.all)
    figures["health.late_ms"] = 1000 * max(life.health.late for life in lives.all)
    figures["memory.peak_mib"] = max(life.peak for life in lives.all)
    if figures["health.wrong"]:
        wrong.append(f"{figures['health.wrong']:.0f} answers of /healthz were wrong.")
    result["lives"] = [
        {
            "end": life.end,
            "samples": [
                (round(s.at, 1), s.calls, round(s.mib, 2)) for s in life.samples
            ],
        }
        for life in lives.all
    ]


def _note_slopes(known: list[Slope], figures: Figures) -> None:
    longest = max(known, key=lambda slope: slope.seconds)
    figures["slope.bytes_per_call"] = longest.bytes_per_call
    figures["slope.mib_per_hour"] = longest.mib_per_hour
    figures["slope.growth_mib"] = longest.growth
    figures["slope.minutes"] = longest.seconds / 60
    figures["slope.calls"] = longest.calls
    figures["slope.largest"] = max(slope.bytes_per_call for slope in known)


def _note_counts(stage: Stage, lives: Lives, figures: Figures) -> None:
    figures |= {f"count.{kind.name.lower()}": stage.counts[kind] for kind in Kind}
    figures["count.failed"] = stage.counts["failed"]
    figures["calls"] = lives.traffic.calls
    figures["writes"] = lives.traffic.writes
    figures["events"] = lives.traffic.events
