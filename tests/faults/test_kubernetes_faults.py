"""Each fault of Kubernetes at each call: the end is that of a run without faults.

Every case is a life of one policy: created, edited, reset by somebody else, deleted. A
fault of calls about one object applies by the object's name, so these lives share one
operator and run at the same time. A fault of lists and watches affects everything that
an operator knows, so more operators, each with its own instances, run such lives in
turn.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from support.apiproxy import ApiFault, ApiProxy, lists, watches
from support.audit import AuditLog
from support.lives import EVENT_REASONS, HISTORY, Life, Servers
from support.running import EmulatorProcess, OperatorProcess
from support.waiting import soon
from zitadel_notification_operator.core.kinds import KINDS
from zitadel_notification_operator.demo.control_plane import ControlPlane
from zitadel_notification_operator.engine.leader.passes import FAULT

LOOKS = ("/admin/v1/events/", "/admin/v1/instances/", "/auth/v1/")
"""What is asked of a ZITADEL where nothing happens: events, and who it is."""

WRITES = ["", "status", "status", "status", ""]
"""What a life is to Kubernetes, by subresource; at most one more where the instance
comes after its policy, and where an answer is lost of a write that was made."""

QUIET = 20.0
POLICIES, INSTANCES = "/notificationpolicies/{}", "/zitadelinstances/{}"
APPLY, JSON_PATCH = "apply-patch", "json-patch"
CALLS: dict[str, ApiFault] = {
    # Method, path, content type, body; the name of the case is inserted into each.
    "status": ApiFault("PATCH", POLICIES + "/status"),
    "original": ApiFault("PATCH", POLICIES + r"\?", APPLY),
    "strip": ApiFault("PATCH", POLICIES + r"\?", JSON_PATCH),
    "read": ApiFault("GET", POLICIES + "$"),
    "event": ApiFault("POST", "/events$", "", '"{}"'),
    "secret": ApiFault("GET", "/secrets/{}$"),
    "instance-status": ApiFault("PATCH", INSTANCES + "/status"),
    "instance-hold": ApiFault("PATCH", INSTANCES + r"\?", APPLY),
    "instance-release": ApiFault("PATCH", INSTANCES + r"\?", JSON_PATCH),
}
FAULTS: dict[str, ApiFault] = {
    "409": ApiFault(status=409),
    "410": ApiFault(status=410),
    "429-retry-after": ApiFault(status=429, headers={"Retry-After": "1"}),
    "429": ApiFault(status=429),
    "500": ApiFault(status=500),
    "503": ApiFault(status=503),
    "reset": ApiFault(reset=True),
    "hang": ApiFault(hang=True),
    "slow": ApiFault(delay=1.5),
    "truncated": ApiFault(cut=60),
    "done-then-reset": ApiFault(reset=True, after=True),
    "done-then-504": ApiFault(status=504, after=True),
}
DONE = ("truncated", "done-then-reset", "done-then-504")
REFUSED = {"event-409", "event-410"}
"""Here Kubernetes says that it will not have the Event, so it is not sent again."""

Arm = Callable[[ApiProxy, int], None]


def answered(**what: Any) -> Arm:
    """Force new LISTs in each phase, and let each LIST and WATCH fail first."""

    def arm(proxy: ApiProxy, _: int) -> None:
        proxy.add(*lists(**what), *watches(**what))
        proxy.expire()

    return arm


def cut(proxy: ApiProxy, _: int) -> None:
    """Cut open watches, and the next ones in the middle of their first event."""
    proxy.add(*watches(cut=200, times=2))
    proxy.cut()


def expired(proxy: ApiProxy, _: int) -> None:
    """Let open and new watches say 410."""
    proxy.add(*watches(expired=True, times=2))
    proxy.expire()


def refused(proxy: ApiProxy, phase: int) -> None:
    """Refuse a LIST and later a WATCH with 410."""
    if phase == 2:
        proxy.add(*lists(status=410))
        proxy.expire()
    if phase == 3:
        proxy.add(*watches(status=410))
        proxy.cut()


def hanging_list(proxy: ApiProxy, phase: int) -> None:
    """Let the LIST after a 410 hang once."""
    if phase == 2:
        proxy.add(*lists(hang=True))
        proxy.expire()


def hanging_watch(proxy: ApiProxy, phase: int) -> None:
    """Let the WATCH after a cut hang once."""
    if phase == 1:
        proxy.add(*watches(hang=True))
        proxy.cut()


def silent_watch(proxy: ApiProxy, phase: int) -> None:
    """Let open watches send nothing more."""
    if phase == 1:
        proxy.silence()


def slow(proxy: ApiProxy, phase: int) -> None:
    """Delay every call."""
    if phase == 0:
        proxy.add(ApiFault(delay=1.5, times=1_000_000))


LISTS_AND_WATCHES: dict[str, dict[str, Arm]] = {
    "hanging-watches": {"hang": hanging_watch},
    "silent-watches": {"silence": silent_watch},
    "slowness": {"slow": slow, "list-hang": hanging_list},
    "streams": {
        "cut": cut,
        "410": expired,
        "410-as-status": refused,
        "reset": answered(reset=True),
    },
    "answers": {
        "500": answered(status=500),
        "503": answered(status=503),
        "429": answered(status=429),
        "429-retry-after": answered(status=429, headers={"Retry-After": "2"}),
    },
}
"""By operator: what befalls all that it lists and watches, one after the other."""

EXITS = {"streams": 2}
"""How often kopf's watch dies of it: the process ends, and is started again."""


@dataclass
class Operator:
    """An operator behind a proxy, and the objects that stay in its namespace."""

    servers: Servers
    name: str
    folder: Path
    proxy: ApiProxy
    exits: int = 0
    process: OperatorProcess = field(init=False)
    _supervision: asyncio.Task[None] = field(init=False)

    @property
    def stay(self) -> str:
        """The instance that exists to the end."""
        return f"stay-{self.name}"

    async def start(self) -> None:
        """Start the operator, with a policy that exists to the end."""
        body = {"metadata": {"name": self.name}}
        await self.servers.kubernetes("POST", "/api/v1/namespaces", body)
        await self.servers.add_instance(self.stay, self.name)
        await self.servers.add_policy(self.name, "stay", self.stay)
        self.folder.mkdir()
        await asyncio.to_thread(self._start)
        await soon(
            lambda: self.proxy.watches == len(KINDS), 60, f"watches of {self.name}"
        )
        self._supervision = asyncio.create_task(self._supervise())

    async def settle(self) -> None:
        """Let the operator make its delayed writes, and end its supervision."""
        self.proxy.faults = []
        await self.servers.reconcile_instance(self.stay, "end")
        self._supervision.cancel()

    def _start(self) -> None:
        self.process = OperatorProcess(
            self.servers.plane,
            self.folder,
            *("--watch-namespace", self.name),
            kubeconfig=self.proxy.kubeconfig(self.folder / "kubeconfig"),
        )
        self.process.wait_ready()

    def stop(self) -> None:
        """Stop the operator."""
        self.process.program.stop()

    async def _supervise(self) -> None:
        while True:
            if not self.process.program.running and self.process.program.wait(1):
                self.exits += 1
                await asyncio.to_thread(self._start)
            await asyncio.sleep(0.2)


@dataclass
class Stage:
    """A control plane with operators and all lives on it."""

    servers: Servers
    folder: Path
    stack: ExitStack
    operators: list[Operator] = field(default_factory=list)
    ends: dict[Life, Any] = field(default_factory=dict)

    async def objects(self) -> None:
        """Run a life for each fault of each call about an object, and one without."""
        operator = self._operator("objects")
        await operator.start()

        async def leave(_: int) -> None:
            """Add no fault."""

        lives = [Life(self.servers, "objects", "without", operator.stay, leave)]
        for call in CALLS:
            lives += [self._object(operator, call, fault) for fault in FAULTS]
        await asyncio.gather(*(self._lead(life) for life in lives))
        await operator.settle()

    def _object(self, operator: Operator, call: str, fault: str) -> Life:
        name = f"{call}-{fault}"
        where, times = CALLS[call], 1 if FAULTS[fault].hang else 2
        trouble = replace(
            FAULTS[fault],
            method=where.method,
            path=where.path.replace("{}", name),
            content=where.content,
            body=where.body.replace("{}", name),
            times=0,
        )
        operator.proxy.add(trouble)

        async def arm(phase: int) -> None:
            if call == "status" and phase == 3:
                # Ready may be stored, but its pass be repeated all the same: a reset in
                # between is then no drift for the operator.
                await asyncio.sleep(8)
            if times == 2 or not trouble.hits:
                trouble.times, trouble.hits = times, 0

        of_instance = call == "secret" or call.startswith("instance")
        instance = name if of_instance else operator.stay
        patience = 5 if name in REFUSED else 60
        return Life(self.servers, "objects", name, instance, arm, patience)

    async def lists_and_watches(self, name: str) -> None:
        """Run one life after the other, each with another fault."""
        operator = self._operator(name)
        first = next(iter(LISTS_AND_WATCHES[name].values()))
        first(operator.proxy, 0)
        await operator.start()
        for trouble, make in LISTS_AND_WATCHES[name].items():

            async def arm(phase: int, make: Arm = make) -> None:
                make(operator.proxy, phase)

            own = f"{name}-{trouble}"
            await self._lead(Life(self.servers, name, own, own, arm))
            operator.proxy.faults = []
        await operator.settle()

    async def restarts(self) -> None:
        """Run a life whose API server restarts before or right after each change."""
        plane = self.servers.plane
        under_way: list[asyncio.Task[None]] = []

        def restart() -> None:
            plane.stop_api_server()
            plane.start_api_server()

        async def soon() -> None:
            await asyncio.sleep(0.1)
            await asyncio.to_thread(restart)

        async def arm(phase: int) -> None:
            await asyncio.gather(*under_way)
            if phase > 0:
                under_way.append(asyncio.create_task(soon()))
            if phase % 2:
                await asyncio.gather(*under_way)

        operator = self._operator("restarts")
        await operator.start()
        await self._lead(Life(self.servers, "restarts", "restart", "restart", arm))
        await asyncio.gather(*under_way)
        await operator.settle()

    def _operator(self, name: str) -> Operator:
        proxy = ApiProxy(self.servers.plane, f"faults={name}")
        self.stack.enter_context(proxy)
        operator = Operator(self.servers, name, self.folder / name, proxy)
        self.operators.append(operator)
        self.stack.callback(operator.stop)
        return operator

    async def _lead(self, life: Life) -> None:
        try:
            self.ends[life] = await life.run()
        except (AssertionError, TimeoutError) as error:
            self.ends[life] = repr(error)


async def all_lives(
    planes: list[ControlPlane],
    emulator: EmulatorProcess,
    folder: Path,
    stack: ExitStack,
) -> list[Stage]:
    """Run all lives; return the stages, whose operators still run."""
    somebody = emulator.user("IAM_ORG_MANAGER", credential="token")["token"]
    stages = []
    async with AsyncExitStack() as sessions:
        for plane in planes:
            roots = ssl.create_default_context(cafile=plane.folder / "ca.crt")
            connector = aiohttp.TCPConnector(ssl=roots, limit=0)
            session = aiohttp.ClientSession(connector=connector)
            await sessions.enter_async_context(session)
            servers = Servers(plane, emulator, session, somebody)
            stages.append(Stage(servers, folder, stack))
        await asyncio.gather(
            *(stages[0].lists_and_watches(name) for name in LISTS_AND_WATCHES),
            stages[0].objects(),
            stages[1].restarts(),
        )
    return stages


def differences(stage: Stage, without: Any, audit: AuditLog) -> Iterator[str]:
    """Yield how lives differ from the one without faults."""
    for life, end in stage.ends.items():
        if not isinstance(end, dict):
            yield f"{life.name}: {end}"
            continue
        for what, expected in without.items():
            lost = life.name in REFUSED and what == "reasons"
            if end[what] != expected and not lost:
                yield f"{life.name}: {what} {end[what]}"
        writes = audit.by_operator("notificationpolicies", life.namespace, life.name)
        made = [write.subresource for write in writes if write.code < 300]
        if len(made) > len(WRITES) + (4 if life.name.endswith(DONE) else 1):
            yield f"{life.name}: writes {made}"


@pytest.mark.timeout(1500)
@pytest.mark.clock
def test_every_fault_at_every_call_ends_as_without(
    control_plane: ControlPlane, second_plane: ControlPlane, tmp_path: Path
) -> None:
    """Nothing is lost, only wanted writes are made; then all is quiet."""
    planes = [control_plane, second_plane]
    audits = [AuditLog(plane) for plane in planes]
    emulator = EmulatorProcess(tmp_path)
    with emulator.program, ExitStack() as stack:
        stages = asyncio.run(all_lives(planes, emulator, tmp_path, stack))
        operators = [operator for stage in stages for operator in stage.operators]
        time.sleep(6)  # the last events are read, and cursors written
        quiet = [AuditLog(plane) for plane in planes]
        requests_before = len(emulator.requests())
        called = {operator.name: len(operator.proxy.calls) for operator in operators}
        time.sleep(QUIET)
        assert [write for audit in quiet for write in audit.by_operator()] == []
        assert [
            request
            for request in emulator.requests()[requests_before:]
            if not request["path"].startswith(LOOKS)
        ] == []
        for operator in operators:
            assert operator.process.program.running
            assert operator.exits == EXITS.get(operator.name, 0)
            calls = operator.proxy.calls[called[operator.name] :]
            assert {call.method for call in calls} <= {"GET"}
            log = operator.process.log.read_text()
            assert FAULT not in log
            assert "Traceback" not in log or operator.exits
    (without,) = (end for life, end in stages[0].ends.items() if life.name == "without")
    assert (without["history"], without["reasons"]) == (HISTORY, EVENT_REASONS)
    pairs = zip(stages, audits, strict=True)
    found = [text for s, a in pairs for text in differences(s, without, a)]
    assert found == []
