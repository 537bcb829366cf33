"""One process of the operator: it starts, serves, and ends at a signal or a failure."""

import asyncio
import logging
import os
import signal
import time
from contextlib import AsyncExitStack

from zitadel_notification_operator.cluster.connection import ClusterAccess, connect
from zitadel_notification_operator.cluster.reader import ClusterReader
from zitadel_notification_operator.core.kinds import KINDS
from zitadel_notification_operator.engine.leader.log_context import current
from zitadel_notification_operator.telemetry.endpoints import (
    health_app,
    metrics_app,
    serve,
)
from zitadel_notification_operator.telemetry.logs import attach_log_context
from zitadel_notification_operator.telemetry.metrics import Build, Metrics
from zitadel_notification_operator.version import VERSION

from .kinds import CRD_INTERVAL, MAIN_KINDS, is_kind_gone, wait_for_kinds
from .serving import Serving
from .settings import Settings

HEARTBEAT = 1.0
LONGEST_PAUSE = 30.0
"""Seconds without a heartbeat after which the event loop counts as stuck."""

REVISION = "ZNP_REVISION"
"""Environment variable of the image that holds the commit it was built from."""

_log = logging.getLogger(__name__)


class PortTaken(OSError):
    """The operator cannot listen on one of its ports; the text says which."""


class Operator:
    """One process of the operator."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._work: asyncio.Task[None] | None = None
        self._serving: Serving | None = None
        self._asked_to_end = ""
        self._ending: object = None
        self._beat = time.monotonic()
        self._missing = ""
        revision = os.environ.get(REVISION) or "unknown"
        self._metrics = Metrics(
            Build(VERSION, revision, settings.operator_class),
            self._leads,
            settings.workers,
            of_policies=settings.object_metrics,
        )

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, or until a part of it dies.

        Raises:
            RuntimeError: A task or a watch has died; the cause is chained.
            LeaseLost: This replica has lost its lease; another one has to take over.
            NoCluster: There is no usable kubeconfig, and this is no pod.
            PortTaken: The operator cannot listen on a port.
        """
        attach_log_context(current)
        self._work = work = asyncio.create_task(self._run(), name="znp-run")
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
            while not self._asked_to_end:
                reader.kinds = await wait_for_kinds(reader)
                await self._serve(access, reader)

    async def _listen(self, stack: AsyncExitStack) -> None:
        health = health_app(self._what_is_dead, self._what_is_missing)
        for name, app, port in (
            ("health", health, self._settings.health_port),
            ("metrics", metrics_app(self._metrics.parts), self._settings.metrics_port),
        ):
            host = self._settings.bind_address
            try:
                runner, actual = await serve(app, host, port)
            except OSError as error:
                where = f"{host}:{port}" if host else f"port {port}"
                raise PortTaken(
                    f"Cannot listen on {where}: it is taken or may not be used; choose "
                    f"another --{name}-port (0 picks a free one) or --bind-address"
                ) from error
            stack.push_async_callback(runner.cleanup)
            _log.info("Listening for %s on port %d", name, actual)

    async def _serve(self, access: ClusterAccess, reader: ClusterReader) -> None:
        """Serve the kinds whose CRDs exist, until these change or the process ends.

        After a change the engine starts again, too, as after a restart of the process.
        """
        absent = [kind.name for kind in KINDS if kind not in reader.kinds]
        missing = ", ".join(absent)
        self._missing = ""
        if not reader.kinds >= MAIN_KINDS:
            self._missing = f"there is no CRD of {missing}"
        if missing:
            _log.warning("Serving without %s, whose CRD is not there", missing)
        self._serving = serving = Serving(self._settings, self._metrics, access, reader)
        try:
            await serving.run(self._on_signals)
        except Exception as error:
            if serving.has_failed:
                raise
            # A signal may have come while the dead watch was being cleaned up.
            if not self._asked_to_end:
                if not await is_kind_gone(reader, error):
                    raise
                _log.warning("A kind is served no longer: its CRD was deleted")
        self._serving = None
        if not serving.is_started and not self._asked_to_end:
            # Discovery listed a kind that is not served, and may still do so.
            await asyncio.sleep(CRD_INTERVAL)

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
        if self._serving is not None and self._serving.is_watching:
            # The reference keeps the task alive: the event loop holds only a weak one.
            self._ending = asyncio.ensure_future(self._serving.depart())
        elif self._work is not None:
            self._work.cancel()

    async def _keep_beating(self) -> None:
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(HEARTBEAT)

    def _what_is_dead(self) -> str:
        if time.monotonic() - self._beat > LONGEST_PAUSE:
            return "the event loop is stuck"
        serving = self._serving
        if (
            serving is not None
            and serving.is_started
            and serving.engine.failed.is_set()
        ):
            return "a task has died"
        return ""

    def _what_is_missing(self) -> str:
        if self._serving is None or not self._serving.is_started:
            return "the inventory is not filled yet"
        return self._missing

    def _leads(self) -> bool:
        if self._settings.lease_duration is None:
            return True
        leadership = self._serving.leadership if self._serving else None
        return leadership is not None and leadership.is_leader
