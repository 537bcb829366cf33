"""One replica: stands by with a filled inventory, leads, hands over."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from .engine import Engine
from .leadership import Leadership


class Replica:
    """An engine that works only while its process leads.

    Args:
        engine: The engine of this process; its `failed` is also set when the lease is
            lost.
        leadership: None if this is the only process; then it leads at once.
    """

    def __init__(self, engine: Engine, leadership: Leadership | None) -> None:
        self._engine = engine
        self._leadership = leadership
        self.lease_task: asyncio.Task[None] | None = None
        self.take_over_task: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        if leadership is not None:
            leadership.went_back = engine.doubt

    async def start(self) -> None:
        """Fill the inventory, then stand by for the lease.

        Raises:
            ClusterError: The first LIST failed.
        """
        await self._engine.start()
        if self._leadership is None:
            await self._engine.lead(fresh=True)
            return
        self.lease_task = self._spawn(self._leadership.run(), "lease")
        self.take_over_task = self._spawn(self._lead(self._leadership), "take-over")

    async def stop(self) -> None:
        """End the passes, and only then release the lease for another replica.

        The lease is renewed until the last pass has ended. Further calls wait for the
        first.
        """
        if self._stopping is None:
            loop = asyncio.get_running_loop()
            self._stopping = loop.create_task(self._stop(), name="znp-hand-over")
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        if self.take_over_task is not None:
            self.take_over_task.cancel()
        await self._engine.stop()
        if self._leadership is None or self.lease_task is None:
            return
        # If the lease was lost, passes were cut off and their calls may still be under
        # way; then it must not be released early.
        given_up = self.lease_task.done()
        self.lease_task.cancel()
        await asyncio.gather(self.lease_task, return_exceptions=True)
        if not given_up:
            await self._leadership.release()

    async def _lead(self, leadership: Leadership) -> None:
        await leadership.elected.wait()
        await self._engine.lead()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=f"znp-{name}")
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Abort at once when the lease is lost: another replica may soon get it."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._engine.abort(error)
