"""The engine of one process: it fills its cache, leads when it may, and ends in order.

It also compares a periodic LIST with its cache, to find what a watch has lost.
Everything runs in one event loop. If a background task dies, the engine has failed:
`failure` then holds the exception, and the process must exit with a non-zero code.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from zitadel_notification_operator.engine.calls.lease_guard import LeaseGuard
from zitadel_notification_operator.engine.queue.workqueue import WorkQueue

from .housekeeping import Housekeeping
from .intake import Intake
from .passes import Passes
from .resync import Resync

STOP_PATIENCE = 12.0
"""Seconds that running passes get to end: enough for the longest call to ZITADEL and
the status write after it."""


@dataclass(eq=False, repr=False)
class Engine:
    """The engine of one operator process; start it once and stop it once.

    Args:
        lease_guard: Stops calls to ZITADEL.
        queue: Accepts keys only while the engine leads.
        watch_events: Receives what the watches deliver, whoever serves it.
        resync: Lists what Kubernetes holds.
        passes: Runs the passes that are due.
        housekeeping: Drops what is no longer needed.

    Attributes:
        watch_events: As the argument.
        filled: Set when the first LIST of each kind is in the inventory.
        failed: Set when the engine has failed.
        failure: The exception that the engine has failed with.
    """

    _lease_guard: LeaseGuard
    _queue: WorkQueue
    watch_events: Intake
    _resync: Resync
    _passes: Passes
    _housekeeping: Housekeeping
    _tasks: list[asyncio.Task[None]] = field(default_factory=list, init=False)
    filled: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    failed: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    failure: BaseException | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._queue.close()  # until this process leads

    async def start(self) -> None:
        """Fill the inventory with one LIST of each kind and keep it up to date.

        No pass runs before `lead`.

        Raises:
            ClusterError: The first LIST failed.
        """
        await self._resync.run()
        self.filled.set()
        self._spawn(self._list_for_ever(), "list")

    async def lead(self, *, fresh: bool = False) -> None:
        """Queue the passes that are due and begin to run them.

        Args:
            fresh: Whether nobody else can have written since `start`. Otherwise all
                objects are listed once more, because the watch may not have delivered
                yet what the last leader wrote.
        """
        if not fresh:
            await self._resync.run_until_it_works("A take-over waits for a LIST")
        self._queue.open()
        await self.watch_events.queue_all()
        self._spawn(self._passes.work(self._ended), "work")

    async def stop(self) -> None:
        """Begin no new pass, and let running ones end with the call they are making.

        A write to ZITADEL under way is awaited: a cancelled one might take effect after
        a write of the next leader.
        """
        self._lease_guard.end()
        self._queue.close()
        for task in self._tasks:
            task.cancel()
        if self._passes.running:
            await asyncio.wait(self._passes.running, timeout=STOP_PATIENCE)
        tasks = [*self._tasks, *self._passes.running]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()

    def abort(self, failure: BaseException) -> None:
        """Cancel all passes, wherever they are, and mark the engine as failed."""
        self._lease_guard.end()
        self._queue.close()
        for task in [*self._tasks, *self._passes.running]:
            task.cancel()
        self._fail(failure)

    def doubt(self) -> None:
        """Trust no cached object any longer: Kubernetes has gone back to older data."""
        self._resync.doubt()

    async def _list_for_ever(self) -> None:
        while True:
            await self._resync.wait()
            await self._resync.try_to_run("Periodic LIST failed")
            await self._housekeeping.run()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=f"znp-{name}")
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        self._fail(task.exception() or RuntimeError(f"{task.get_name()} ended"))

    def _fail(self, failure: BaseException) -> None:
        if self.failure is None:
            self.failure = failure
        self.failed.set()
