"""Wiring: settings to adapters to engine to handlers; start, stop, supervision.

The process lives as long as all of it lives: a dead task, watch or listener ends it
with an error, and whoever supervises the process starts it anew.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import kopf

from zitadel_notification_operator.cluster.connection import ClusterAccess, connect
from zitadel_notification_operator.cluster.lease import ClusterLease, own_identity
from zitadel_notification_operator.cluster.reader import ClusterReader
from zitadel_notification_operator.cluster.recorder import EventRecorder
from zitadel_notification_operator.cluster.secrets import ClusterSecrets
from zitadel_notification_operator.cluster.writer import ClusterWriter
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.lease import Timing
from zitadel_notification_operator.engine.engine import Engine
from zitadel_notification_operator.engine.inventory import Inventory
from zitadel_notification_operator.engine.keys import Key
from zitadel_notification_operator.engine.leadership import (
    Clocks,
    Leadership,
    LeaseLost,
)
from zitadel_notification_operator.engine.replica import Replica
from zitadel_notification_operator.engine.room import Room
from zitadel_notification_operator.engine.subject import current
from zitadel_notification_operator.engine.term import Term
from zitadel_notification_operator.engine.workqueue import WorkQueue
from zitadel_notification_operator.handlers import build_registry, build_settings
from zitadel_notification_operator.telemetry.endpoints import (
    Endpoint,
    Health,
    health_app,
    metrics_app,
)
from zitadel_notification_operator.telemetry.logs import name_subjects
from zitadel_notification_operator.telemetry.metrics import Metrics
from zitadel_notification_operator.version import VERSION
from zitadel_notification_operator.zitadel.connector import ZitadelConnector

CRD_INTERVAL = 2.0
"""Seconds between looks for CRDs that are not served yet."""

HEARTBEAT = 1.0
LONGEST_PAUSE = 30.0
"""Seconds without a heartbeat after which the event loop counts as stuck."""

EVENTS_GRACE = 2.0
"""Seconds for which the end waits for Events; none where Kubernetes is out of reach."""

GC_THRESHOLD = 10_000
"""New objects between two looks of the garbage collector; Python's own is 700."""

REVISION = "ZNP_REVISION"
"""Environment variable of the image: the commit that it was built from."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """What `znp run` can be told.

    Attributes:
        namespace: The operator's own.
        watch_namespaces: Where policies are watched; empty means everywhere.
        kubeconfig: A file; None: in-cluster, then KUBECONFIG.
        bind_address: Of both endpoints.
        health_port: 0 picks a free one and logs it.
        metrics_port: Likewise.
        allow_local_urls: Whether instances may be on loopback and link-local
            addresses.
        workers: How many passes over the policies of one instance may run at once.
        lease_duration: Seconds for which the lease of the leading replica holds; None
            for the only replica, which needs none.
    """

    namespace: str
    watch_namespaces: tuple[str, ...] = ()
    kubeconfig: Path | None = None
    bind_address: str = "0.0.0.0"  # noqa: S104 - the kubelet probes the pod's address
    health_port: int = 8081
    metrics_port: int = 8080
    allow_local_urls: bool = False
    workers: int = 16
    lease_duration: float | None = 15.0


class PortTaken(OSError):
    """One of the operator's ports cannot be listened on; the text says which."""


class Operator:
    """One process of the operator."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engine: Engine | None = None
        self._leadership: Leadership | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._beat = time.monotonic()
        self._metrics = Metrics(
            VERSION,
            os.environ.get(REVISION) or "unknown",
            self._leads,
            settings.workers,
        )

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, or until a part of it dies.

        Raises:
            RuntimeError: A task or a watch has died; the cause is chained.
            LeaseLost: Another replica has to go on.
            NoCluster: There is no usable kubeconfig and no pod.
            PortTaken: A port cannot be listened on.
        """
        name_subjects(current)
        async with AsyncExitStack() as stack:
            access = await connect(
                self._settings.kubeconfig, self._metrics.kubernetes_called
            )
            stack.push_async_callback(access.api.close)
            beat = asyncio.create_task(self._keep_beating(), name="znp-heartbeat")
            stack.callback(beat.cancel)
            await self._listen(stack)
            reader = ClusterReader(access.api, self._settings.watch_namespaces)
            await self._wait_for_crds(reader)
            await self._serve(stack, access, reader)

    async def _listen(self, stack: AsyncExitStack) -> None:
        health = Health(alive=self._what_is_dead, ready=self._what_is_missing)
        for name, app, port in (
            ("health", health_app(health), self._settings.health_port),
            ("metrics", metrics_app(self._metrics.parts), self._settings.metrics_port),
        ):
            endpoint = Endpoint(app, self._settings.bind_address, port)
            try:
                actual = await endpoint.start()
            except OSError as error:
                raise PortTaken(
                    f"Cannot listen on {self._settings.bind_address}:{port}: it is "
                    f"taken or may not be used; choose another --{name}-port (0 picks "
                    "a free one) or --bind-address"
                ) from error
            stack.push_async_callback(endpoint.stop)
            _log.info("Listening for %s on port %d", name, actual)

    async def _wait_for_crds(self, reader: ClusterReader) -> None:
        told = ""
        while True:
            try:
                if await reader.crds_served():
                    return
                missing = "Waiting for the CRDs: apply deploy/crds first"
            except ClusterError as error:
                missing = f"Waiting: {error.message}"
            if missing != told:
                _log.warning("%s", missing)
                told = missing
            await asyncio.sleep(CRD_INTERVAL)

    async def _serve(
        self, stack: AsyncExitStack, access: ClusterAccess, reader: ClusterReader
    ) -> None:
        self._leadership = leadership = self._build_leadership(stack, access)
        term = Term() if leadership is None else Term(leadership.time_left)
        connector = ZitadelConnector(
            allow_local=self._settings.allow_local_urls,
            time_left=term.time_left,
            observe=self._metrics.zitadel_called,
        )
        stack.push_async_callback(connector.aclose)
        recorder = EventRecorder(access.api)
        engine = self._build_engine(access, reader, connector, recorder, term)
        replica = Replica(engine, leadership)
        stop = asyncio.Event()
        watch = asyncio.create_task(self._watch_engine(engine, stop))
        stack.callback(watch.cancel)

        async def start() -> None:
            await recorder.start()
            await replica.start()
            _settle_memory()
            self._engine = engine
            # In place of kopf's, which would end the watches first, and only then us.
            self._on_signals(replica, stop)
            _log.info("Inventory filled; watching")

        async def end() -> None:
            await replica.stop()
            lost = isinstance(engine.failure, LeaseLost)
            await recorder.stop(0.0 if lost else EVENTS_GRACE)
            # kopf would wait five seconds for its own waiter of this flag.
            stop.set()

        async def login() -> kopf.ConnectionInfo:
            return kopf.ConnectionInfo(**asdict(await access.login()))

        await kopf.operator(
            registry=build_registry(engine, login, start, end),
            settings=build_settings(),
            clusterwide=not self._settings.watch_namespaces,
            namespaces=self._settings.watch_namespaces,
            standalone=True,
            # Of peering, which is off; else kopf asks for the user's name, and dies
            # where a pod's user has none.
            identity=cast("Any", own_identity()),
            stop_flag=stop,
        )
        if isinstance(engine.failure, LeaseLost):
            raise engine.failure
        if engine.failure is not None:
            raise RuntimeError("A task of the operator has died") from engine.failure

    def _build_engine(
        self,
        access: ClusterAccess,
        reader: ClusterReader,
        connector: ZitadelConnector,
        recorder: EventRecorder,
        term: Term,
    ) -> Engine:
        writer = ClusterWriter(access.api, term.require_lease)
        meter = self._metrics.passes
        queue: WorkQueue[Key] = WorkQueue(meter)
        room = Room(
            inventory=Inventory(self._settings.namespace),
            queue=queue,
            writer=writer,
            instance_writer=writer,
            secrets=ClusterSecrets(access.api, self._settings.namespace),
            connector=connector,
            recorder=recorder,
            now=_now,
            term=term,
            meter=meter,
        )
        self._metrics.watch(queue, room.inventory)
        return Engine(room, reader, self._settings.workers)

    def _build_leadership(
        self, stack: AsyncExitStack, access: ClusterAccess
    ) -> Leadership | None:
        if self._settings.lease_duration is None:
            return None
        api = access.client()
        stack.push_async_callback(api.close)
        return Leadership(
            ClusterLease(api, self._settings.namespace),
            own_identity(),
            Timing(self._settings.lease_duration),
            Clocks(_seconds, _now),
        )

    def _on_signals(self, replica: Replica, stop: asyncio.Event) -> None:
        """At SIGTERM or SIGINT let passes end at once, hand over, then stop kopf."""
        loop = asyncio.get_running_loop()

        def leave(name: str) -> None:
            if self._leaving is None:
                _log.info("%s: ending", name)
                self._leaving = loop.create_task(replica.stop())
                self._leaving.add_done_callback(lambda _: stop.set())

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, leave, number.name)

    async def _watch_engine(self, engine: Engine, stop: asyncio.Event) -> None:
        await engine.failed.wait()
        stop.set()

    async def _keep_beating(self) -> None:
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(HEARTBEAT)

    def _what_is_dead(self) -> str:
        if time.monotonic() - self._beat > LONGEST_PAUSE:
            return "the event loop is stuck"
        if self._engine is not None and self._engine.failed.is_set():
            return "a task has died"
        return ""

    def _what_is_missing(self) -> str:
        if self._engine is None or not self._engine.filled.is_set():
            return "the inventory is not filled yet"
        return ""

    def _leads(self) -> bool:
        if self._settings.lease_duration is None:
            return True
        return self._leadership is not None and self._leadership.is_leader


def _now() -> datetime:
    return datetime.now(UTC)


def _seconds() -> float:
    """Return a clock that, where there is one, goes on while the machine sleeps."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def _settle_memory() -> None:
    """Have the garbage collector look less often, and not at what stays anyhow.

    Modules, schemas and the inventory live as long as the process; figures are in
    docs/performance.md.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
