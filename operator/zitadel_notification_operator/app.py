"""Wires settings, adapters, engine and handlers, and starts, stops and supervises them.

The process lives only as long as all of its parts do. If a task, a watch or a listener
dies, the process ends with an error, and its supervisor, such as the kubelet, restarts
it.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import kopf

from zitadel_notification_operator.cluster.connection import ClusterAccess, connect
from zitadel_notification_operator.cluster.lease import ClusterLease, own_identity
from zitadel_notification_operator.cluster.reader import KINDS, ClusterReader
from zitadel_notification_operator.cluster.recorder import EventRecorder
from zitadel_notification_operator.cluster.secrets import ClusterSecrets
from zitadel_notification_operator.cluster.writer import ClusterWriter
from zitadel_notification_operator.core.backoff import bounded_delay
from zitadel_notification_operator.core.errors import ClusterError, ObjectGone
from zitadel_notification_operator.core.lease import Timing
from zitadel_notification_operator.engine.calls.term import Term
from zitadel_notification_operator.engine.leader.composition import Composition, Ports
from zitadel_notification_operator.engine.leader.engine import Engine
from zitadel_notification_operator.engine.leader.leadership import (
    Clocks,
    Leadership,
    LeaseLost,
)
from zitadel_notification_operator.engine.leader.replica import Replica
from zitadel_notification_operator.engine.leader.subject import current
from zitadel_notification_operator.handlers import build_registry, build_settings
from zitadel_notification_operator.telemetry.endpoints import (
    Endpoint,
    health_app,
    metrics_app,
)
from zitadel_notification_operator.telemetry.logs import name_subjects
from zitadel_notification_operator.telemetry.metrics import Metrics
from zitadel_notification_operator.version import VERSION
from zitadel_notification_operator.zitadel.connector import (
    CALL_TIMEOUT,
    ZitadelConnector,
)

CRD_INTERVAL = 2.0
"""Seconds between two checks for CRDs that are not served yet."""

CRD_LOOKS = 5
"""How many checks in a row must find one CRD absent before the other kind is served
alone: whoever installs or restores the CRDs does so one after the other."""

STEADY_INTERVAL = 30.0
"""Seconds between two checks for CRDs while both kinds are served and watched."""

NOT_FOUND = 404

HEARTBEAT = 1.0
LONGEST_PAUSE = 30.0
"""Seconds without a heartbeat after which the event loop counts as stuck."""

EVENTS_GRACE = 2.0
"""Seconds for which a shutdown waits for Events, unless Kubernetes is out of reach."""

GC_THRESHOLD = 10_000
"""New objects between two runs of the garbage collector; Python's default is 700."""

REVISION = "ZNP_REVISION"
"""Environment variable of the image that holds the commit it was built from."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of `znp run`, from its options and environment variables.

    Attributes:
        namespace: The operator's own namespace.
        watch_namespaces: The namespaces whose policies are watched; empty for all.
        kubeconfig: A kubeconfig file. None to try the pod's service account, then
            KUBECONFIG.
        bind_address: The address of both endpoints; empty for every address, by IPv4
            and IPv6.
        health_port: 0 picks a free port and logs it.
        metrics_port: Likewise.
        allow_local_urls: Whether instances may have loopback and link-local addresses.
        workers: How many passes over the policies of one instance may run at once.
        lease_duration: The duration of the leader's lease, in seconds. None if there is
            only one replica, which needs no lease.
    """

    namespace: str
    watch_namespaces: tuple[str, ...] = ()
    kubeconfig: Path | None = None
    bind_address: str = ""
    health_port: int = 8081
    metrics_port: int = 8080
    allow_local_urls: bool = False
    workers: int = 16
    lease_duration: float | None = 15.0


class PortTaken(OSError):
    """The operator cannot listen on one of its ports; the text says which."""


class Operator:
    """One process of the operator."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engine: Engine | None = None
        self._leadership: Leadership | None = None
        self._asked_to_end = ""
        self._begin_to_end: Callable[[], object] = lambda: None
        self._ending: object = None
        self._beat = time.monotonic()
        self._missing = ""
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
            LeaseLost: This replica has lost its lease; another one has to take over.
            NoCluster: There is no usable kubeconfig, and this is no pod.
            PortTaken: The operator cannot listen on a port.
        """
        name_subjects(current)
        work = asyncio.create_task(self._run(), name="znp-run")
        self._begin_to_end = work.cancel
        self._on_signals()
        try:
            await work
        except asyncio.CancelledError:
            if not self._asked_to_end:
                raise
        finally:
            # If our caller cancelled this coroutine, the task would go on without it.
            work.cancel()

    async def _run(self) -> None:
        async with AsyncExitStack() as stack:
            access = await connect(
                self._settings.kubeconfig, self._metrics.kubernetes_called
            )
            stack.push_async_callback(access.api.close)
            beat = asyncio.create_task(self._keep_beating(), name="znp-heartbeat")
            stack.callback(beat.cancel)
            await self._listen(stack)
            reader = ClusterReader(access.api, self._settings.watch_namespaces)
            while await self._wait_for_crds(reader):
                if not await self._serve_until_kinds_change(access, reader):
                    return

    async def _listen(self, stack: AsyncExitStack) -> None:
        health = health_app(self._what_is_dead, self._what_is_missing)
        for name, app, port in (
            ("health", health, self._settings.health_port),
            ("metrics", metrics_app(self._metrics.parts), self._settings.metrics_port),
        ):
            host = self._settings.bind_address
            endpoint = Endpoint(app, host, port)
            try:
                actual = await endpoint.start()
            except OSError as error:
                where = f"{host}:{port}" if host else f"port {port}"
                raise PortTaken(
                    f"Cannot listen on {where}: it is taken or may not be used; choose "
                    f"another --{name}-port (0 picks a free one) or --bind-address"
                ) from error
            stack.push_async_callback(endpoint.stop)
            _log.info("Listening for %s on port %d", name, actual)

    async def _wait_for_crds(self, reader: ClusterReader) -> bool:
        """Wait until both kinds are served, or only one because the other has no CRD.

        Objects of the one kind must not wait for a CRD that may never come back:
        otherwise their deletions, and that of their own CRD, would never finish.

        Returns:
            True if there is something to serve, False if the process is to end.
        """
        told, alone, failures = False, 0, 0
        while not self._asked_to_end:
            try:
                reader.kinds = await reader.kinds_served()
                if reader.kinds == KINDS:
                    return True
                missing = KINDS - reader.kinds
                absent = bool(reader.kinds) and await reader.are_absent(missing)
                alone = alone + 1 if absent else 0
                if alone == CRD_LOOKS:
                    return True
            except ClusterError as error:
                failures += 1
                level = logging.WARNING if error.claim_telling() else logging.DEBUG
                _log.log(level, "Waiting: %s", error.message)
                pause = bounded_delay(failures, chance=0.5, asked=error.retry_after)
            else:
                # A user is probably about to apply the CRDs and waits for the operator.
                failures, pause = 0, CRD_INTERVAL
                if not told:
                    _log.warning("Waiting for the CRDs: apply deploy/crds first")
                    told = True
            await asyncio.sleep(pause)
        return False

    async def _serve_until_kinds_change(
        self, access: ClusterAccess, reader: ClusterReader
    ) -> bool:
        """Serve the kinds whose CRDs exist. Return True if these change meanwhile.

        In that case the engine starts again, too, as after a restart of the process.
        kopf looks for kinds only once, and its watch of a kind ends for good when the
        CRD is gone.
        """
        missing = ", ".join(sorted(KINDS - reader.kinds))
        self._missing = f"there is no CRD of {missing}" if missing else ""
        if missing:
            _log.warning("Serving without %s, whose CRD is not there", missing)
        async with AsyncExitStack() as stack:
            try:
                await self._serve(stack, access, reader)
            except Exception as error:
                if self._has_failed():
                    raise
                if self._asked_to_end:
                    # The signal arrived while the dead watch was being cleaned up.
                    return False
                if not await self._is_gone(reader, error):
                    raise
                _log.warning("A kind is served no longer: its CRD was deleted")
        stale, self._engine = self._engine is None, None
        if stale and not self._asked_to_end:
            # Discovery listed a kind that is not served, and may still do so.
            await asyncio.sleep(CRD_INTERVAL)
        return not self._asked_to_end

    def _has_failed(self) -> bool:
        return self._engine is None or self._engine.failure is not None

    async def _is_gone(self, reader: ClusterReader, error: Exception) -> bool:
        """Return whether a watch has ended because its kind is no longer served."""
        if getattr(error, "status", None) == NOT_FOUND:
            return True
        for _ in range(CRD_LOOKS):
            with contextlib.suppress(ClusterError):
                if await reader.kinds_served() != reader.kinds:
                    return True
            await asyncio.sleep(CRD_INTERVAL)
        return False

    async def _watch_for_crds(
        self, reader: ClusterReader, replica: Replica, stop: asyncio.Event
    ) -> None:
        """End the watches when the served kinds are no longer the watched ones.

        A watch notices by itself that its CRD is gone. But kopf creates no watch at all
        for a kind that disappears between the first LIST and kopf's own discovery.
        """
        lost = 0
        while True:
            settled = reader.kinds == KINDS and self._engine is not None and not lost
            await asyncio.sleep(STEADY_INTERVAL if settled else CRD_INTERVAL)
            try:
                served = await reader.kinds_served()
            except ClusterError:
                continue
            lost = 0 if served >= reader.kinds else lost + 1
            # A single response without a kind may come from a starting API server.
            if served - reader.kinds or lost == CRD_LOOKS:
                _log.info("CRDs have come or gone: beginning anew")
                await replica.stop()
                stop.set()
                return

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
        for work in (
            self._watch_engine(engine, stop),
            self._watch_for_crds(reader, replica, stop),
        ):
            stack.callback(asyncio.create_task(work).cancel)

        async def start() -> None:
            await recorder.start()
            try:
                await replica.start()
            except ObjectGone:
                # Discovery was out of date, so that another attempt cannot help.
                _log.info("A kind is not served after all: looking for the CRDs anew")
                await recorder.stop(0.0)
                stop.set()
                # If this returned, kopf would begin its own discovery. Cancelled in the
                # middle of that, it would end late and with an error.
                await asyncio.Event().wait()
            _settle_memory()
            self._engine = engine
            _log.info("Inventory filled; watching")

        async def end() -> None:
            await replica.stop()
            lost = isinstance(engine.failure, LeaseLost)
            await recorder.stop(0.0 if lost else EVENTS_GRACE)
            # Otherwise kopf would wait five seconds for its own waiter of this flag.
            stop.set()

        async def depart() -> None:
            if self._engine is None:
                # Otherwise kopf would wait five seconds for the recorder's task.
                await recorder.stop(0.0)
            else:
                await replica.stop()
            stop.set()

        async def login() -> kopf.AiohttpSession:
            # The session is not an aiohttp one, but has all the members that kopf uses.
            session = cast("Any", access.watcher())
            return kopf.AiohttpSession(server=access.server, aiohttp_session=session)

        ours, cancel = asyncio.all_tasks(), self._begin_to_end
        try:
            tasks = await kopf.spawn_tasks(
                registry=build_registry(
                    engine.arrivals, login, start, end, reader.kinds
                ),
                settings=build_settings(),
                clusterwide=not self._settings.watch_namespaces,
                namespaces=self._settings.watch_namespaces,
                standalone=True,
                # The identity is for peering, which is off. Without one, kopf asks for
                # the name of the user, and dies if a pod's user has none.
                identity=cast("Any", own_identity()),
                stop_flag=stop,
            )
            # kopf's own handler would end the watches first, and the engine only then.
            self._begin_to_end = lambda: asyncio.ensure_future(depart())
            self._on_signals()
            await kopf.run_tasks(tasks, ignored=ours)
        finally:
            # If a watch has died, kopf ends without calling its cleanup handlers.
            await end()
            self._begin_to_end = cancel
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
        ports = Ports(
            reader=reader,
            writer=writer,
            secrets=ClusterSecrets(access.api, self._settings.namespace),
            connector=connector,
            recorder=recorder,
            now=_now,
            meter=self._metrics.passes,
        )
        parts = Composition(
            ports,
            self._settings.namespace,
            workers=self._settings.workers,
            term=term,
            write_limit=CALL_TIMEOUT,
        )
        self._metrics.watch(parts.queue, parts.inventory)
        return parts.engine

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

    def _on_signals(self) -> None:
        """Handle SIGTERM and SIGINT, in place of any earlier handler."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._leave, number.name)

    def _leave(self, name: str) -> None:
        """Begin to shut down, in the way that the present phase requires.

        Only the first call has an effect.
        """
        if self._asked_to_end:
            return
        self._asked_to_end = name
        _log.info("%s: ending", name)
        # The reference keeps the task alive: the event loop holds only a weak one.
        self._ending = self._begin_to_end()

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
        return self._missing

    def _leads(self) -> bool:
        if self._settings.lease_duration is None:
            return True
        return self._leadership is not None and self._leadership.is_leader


def _now() -> datetime:
    return datetime.now(UTC)


def _seconds() -> float:
    """Return a clock that also runs while the machine sleeps, if there is one."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def _settle_memory() -> None:
    """Make garbage collection rarer, and exclude what lives as long as the process.

    That is modules, schemas and the inventory; docs/performance.md has the figures.
    """
    # An earlier phase of serving may have left an inventory that nobody needs.
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
