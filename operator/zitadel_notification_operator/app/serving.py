"""Builds what serves the objects of a cluster, runs it, and ends it in order."""

import asyncio
import gc
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, cast

import kopf

from zitadel_notification_operator.cluster.connection import ClusterAccess
from zitadel_notification_operator.cluster.lease import ClusterLease, own_identity
from zitadel_notification_operator.cluster.reader import ClusterReader
from zitadel_notification_operator.cluster.recorder import EventRecorder
from zitadel_notification_operator.cluster.secrets import ClusterSecrets
from zitadel_notification_operator.cluster.writer import ClusterWriter
from zitadel_notification_operator.core.errors import ObjectGone
from zitadel_notification_operator.core.kinds import Kind, ObjectKey
from zitadel_notification_operator.core.lease import Timing, name_of_lease
from zitadel_notification_operator.engine.calls.lease_guard import LeaseGuard
from zitadel_notification_operator.engine.leader.composition import Composition
from zitadel_notification_operator.engine.leader.engine import Engine
from zitadel_notification_operator.engine.leader.leadership import (
    Clocks,
    Leadership,
    LeaseLost,
)
from zitadel_notification_operator.engine.leader.replica import Replica
from zitadel_notification_operator.engine.leader.shared_parts import Ports
from zitadel_notification_operator.engine.queue.keys import Key
from zitadel_notification_operator.handlers import (
    NoMemories,
    build_registry,
    build_settings,
)
from zitadel_notification_operator.telemetry.metrics import Metrics
from zitadel_notification_operator.zitadel.connector import (
    CALL_TIMEOUT,
    ZitadelConnector,
)

from .kinds import wait_for_change
from .settings import Settings

EVENTS_GRACE = 2.0
"""Seconds for which a shutdown waits for Events, unless Kubernetes is out of reach."""

GC_THRESHOLD = 10_000
"""New objects between two runs of the garbage collector; Python's default is 700."""

_log = logging.getLogger(__name__)


class Serving:
    """One phase of a process, in which it serves the kinds of a reader.

    Args:
        settings: The settings of the process.
        metrics: Read the engine's queue and inventory from now on.
        access: The connection to the cluster.
        reader: Knows the kinds that are served.

    Attributes:
        leadership: None if this is the only replica.
        engine: The engine of this phase.
        is_started: Whether the first LIST is done.
        is_watching: Whether kopf runs, so that a shutdown begins with `depart`.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        access: ClusterAccess,
        reader: ClusterReader,
    ) -> None:
        self._settings = settings
        self._access = access
        self._reader = reader
        self._closing = AsyncExitStack()
        self._stop = asyncio.Event()
        self.is_started = self.is_watching = False
        self.leadership = self._build_leadership()
        lease_guard = (
            LeaseGuard(self.leadership.time_left) if self.leadership else LeaseGuard()
        )
        self._recorder = EventRecorder(access.api)
        self.engine = self._build_engine(metrics, lease_guard)
        self._replica = Replica(self.engine, self.leadership)

    def _build_leadership(self) -> Leadership | None:
        if self._settings.lease_duration is None:
            return None
        api, of_class = self._access.client(), self._settings.operator_class
        self._closing.push_async_callback(api.close)
        return Leadership(
            ClusterLease(api, self._settings.namespace, name_of_lease(of_class)),
            own_identity(),
            Timing(self._settings.lease_duration),
            Clocks(_seconds, _now),
        )

    def _build_engine(self, metrics: Metrics, lease_guard: LeaseGuard) -> Engine:
        settings, api = self._settings, self._access.api
        connector = ZitadelConnector(
            allow_local=settings.allow_local_urls,
            time_left=lease_guard.time_left,
            observe=metrics.zitadel_called,
        )
        self._closing.push_async_callback(connector.aclose)
        ports = Ports(
            reader=self._reader,
            writer=ClusterWriter(api, lease_guard.require_lease),
            secrets=ClusterSecrets(api, settings.namespace),
            connector=connector,
            recorder=self._recorder,
            now=_now,
            metrics=metrics.passes,
        )
        parts = Composition(
            ports,
            settings.namespace,
            workers=settings.workers,
            operator_class=settings.operator_class,
            lease_guard=lease_guard,
            write_limit=CALL_TIMEOUT,
        )
        metrics.watch(parts.queue, parts.inventory, parts.served.refused)
        return parts.engine

    @property
    def has_failed(self) -> bool:
        """Whether the engine has not come up, or has failed since."""
        return not self.is_started or self.engine.failure is not None

    async def run(self, on_signals: Callable[[], None]) -> None:
        """Serve until `depart`, until the kinds change, or until a part dies.

        Args:
            on_signals: Handles signals again, after kopf has replaced the handlers.

        Raises:
            RuntimeError: A task has died; the cause is chained.
            LeaseLost: This replica has lost its lease; another one has to take over.
            Exception: A watch has died.
        """
        async with self._closing:
            for work in (self._watch_engine(), self._watch_kinds()):
                self._closing.callback(asyncio.create_task(work).cancel)
            ours = asyncio.all_tasks()
            try:
                tasks = await self._begin_to_watch()
                self.is_watching = True
                on_signals()
                await kopf.run_tasks(tasks, ignored=ours)
            finally:
                # If a watch has died, kopf ends without calling its cleanup handlers.
                await self._end()
                self.is_watching = False
            if isinstance(self.engine.failure, LeaseLost):
                raise self.engine.failure
            if self.engine.failure is not None:
                raise RuntimeError(
                    "A task of the operator has died"
                ) from self.engine.failure

    async def _begin_to_watch(self) -> Any:
        return await kopf.spawn_tasks(
            registry=build_registry(
                self.engine.watch_events,
                self._login,
                self._start,
                self._end,
                self._reader.kinds,
            ),
            settings=build_settings(),
            memories=NoMemories(),
            clusterwide=not self._settings.watch_namespaces,
            namespaces=self._settings.watch_namespaces,
            standalone=True,
            # The identity is for peering, which is off. Without one, kopf asks for the
            # name of the user, and dies if a pod's user has none.
            identity=cast("Any", own_identity()),
            stop_flag=self._stop,
        )

    async def _login(self) -> kopf.AiohttpSession:
        # The session is not an aiohttp one, but has all the members that kopf uses.
        session = cast("Any", self._access.watcher(self._is_known))
        return kopf.AiohttpSession(server=self._access.server, aiohttp_session=session)

    def _is_known(self, kind: Kind, key: ObjectKey, uid: str, version: str) -> bool:
        return self.engine.watch_events.has(Key(kind, *key), uid, version)

    async def _start(self) -> None:
        await self._recorder.start()
        try:
            with _filling_memory():
                await self._replica.start()
        except ObjectGone:
            # Discovery was out of date, so that another attempt cannot help.
            _log.info("A kind is not served after all: looking for the CRDs anew")
            await self._recorder.stop(0.0)
            self._stop.set()
            # If this returned, kopf would begin its own discovery. Cancelled in the
            # middle of that, it would end late and with an error.
            await asyncio.Event().wait()
        self.is_started = True
        _log.info("Inventory filled; watching")

    async def depart(self) -> None:
        """End in order: kopf's own handler would end the watches before the engine."""
        if self.is_started:
            await self._replica.stop()
        else:
            # Otherwise kopf would wait five seconds for the recorder's task.
            await self._recorder.stop(0.0)
        self._stop.set()

    async def _end(self) -> None:
        await self._replica.stop()
        lost = isinstance(self.engine.failure, LeaseLost)
        await self._recorder.stop(0.0 if lost else EVENTS_GRACE)
        # Otherwise kopf would wait five seconds for its own waiter of this flag.
        self._stop.set()

    async def _watch_engine(self) -> None:
        await self.engine.failed.wait()
        self._stop.set()

    async def _watch_kinds(self) -> None:
        await wait_for_change(self._reader, lambda: self.is_started)
        await self._replica.stop()
        self._stop.set()


def _now() -> datetime:
    return datetime.now(UTC)


def _seconds() -> float:
    """Return a clock that also runs while the machine sleeps, if there is one."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


@contextmanager
def _filling_memory() -> Iterator[None]:
    """Make garbage collection rarer, and exclude what lives as long as the process.

    That is modules, schemas and the inventory, which is filled meanwhile. Nothing is
    collected until then, because a collection that goes through a hundred thousand
    records stops everything for half a second; docs/performance.md has the figures.
    """
    # An earlier phase of serving may have left an inventory that nobody needs.
    gc.unfreeze()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD)
        gc.enable()
