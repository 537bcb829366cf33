"""A Lease in memory, the connections of replicas to it, and faults of these."""

import asyncio
import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from support.virtual_time import VirtualLoop
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.lease import Lease, Timing
from zitadel_notification_operator.engine.leader.leadership import Clocks, Leadership

LATENCY = 0.01


class StoredLease:
    """The Lease that the API server stores."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.writes: list[tuple[float, str]] = []
        self._version = 0

    def store(self, lease: Lease) -> Lease:
        """Store a Lease as the next version."""
        self._version += 1
        self.lease = replace(lease, version=str(self._version))
        self.writes.append((asyncio.get_running_loop().time(), lease.holder))
        return self.lease


class LeaseConnection:
    """A `LeaseStore`: one replica's connection to the stored Lease.

    Attributes:
        fault: What happens to calls. Empty: nothing. `fail`: they fail before their
            effect. `lose`: they have their effect, but the response is lost. `hang`:
            they hang without an effect. `late`: they have their effect after the caller
            has timed out.
    """

    def __init__(self, record: StoredLease) -> None:
        self._record = record
        self.fault = ""
        self.latency = LATENCY

    async def read(self) -> Lease | None:
        await self._go()
        lease = self._record.lease
        await self._come_back()
        return lease

    async def create(self, lease: Lease) -> Lease | None:
        return await self._write(lease, "")

    async def update(self, lease: Lease) -> Lease | None:
        return await self._write(lease, lease.version)

    async def _write(self, lease: Lease, version: str) -> Lease | None:
        if self.fault == "late":
            asyncio.get_running_loop().call_later(8, self._store, lease, version)
            await asyncio.sleep(1000)
        await self._go()
        stored = self._store(lease, version)
        await self._come_back()
        return stored

    def _store(self, lease: Lease, version: str) -> Lease | None:
        known = self._record.lease
        if version != (known.version if known else ""):
            return None
        return self._record.store(lease)

    async def _go(self) -> None:
        await asyncio.sleep(self.latency / 2)
        if self.fault == "fail":
            raise ClusterError("refused")
        if self.fault == "hang":
            await asyncio.sleep(1000)

    async def _come_back(self) -> None:
        await asyncio.sleep(self.latency / 2)
        if self.fault == "lose":
            raise ClusterError("the answer was lost")


class Candidate:
    """The leadership of one replica, with clocks of its own, as its process runs it."""

    def __init__(
        self,
        record: StoredLease,
        name: str,
        duration: float = 15.0,
        *,
        wall: float = 0.0,
    ) -> None:
        """Start to compete for the Lease.

        Args:
            record: The stored Lease.
            name: The replica's identity.
            duration: The lease duration in seconds.
            wall: Seconds by which the replica's wall clock is wrong.
        """
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        # The monotonic clocks of two machines never agree.
        offset = random.Random(name).uniform(0, 1e6)

        def now() -> datetime:
            return loop.now() + timedelta(seconds=wall)

        self.name = name
        self.way = LeaseConnection(record)
        clocks = Clocks(lambda: loop.time() + offset, now, random.Random(name))
        self.leadership = Leadership(self.way, name, Timing(duration), clocks)
        self.task = asyncio.create_task(self.leadership.run())
        self.ended_at: float | None = None
        self._killed = False
        self.task.add_done_callback(self._note_end)

    @property
    def may_write(self) -> bool:
        """Whether the replica would write to ZITADEL now."""
        return not self._killed and self.leadership.time_left() > 0

    async def stop(self) -> None:
        """End as on SIGTERM while no pass is running."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.leadership.release()

    def kill(self) -> None:
        """End as on kill -9."""
        self.task.cancel()
        self._killed = True

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()
        self.ended_at = asyncio.get_running_loop().time()


class TermObserver:
    """Watches all candidates, and fails if two of them may write at a time."""

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        self.candidates = list(candidates)
        self.terms: list[tuple[str, float, float]] = []
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> list[tuple[str, float, float]]:
        """Return the terms: the candidate that could write, and from when to when."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        return self.terms

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            writers = [c.name for c in self.candidates if c.may_write]
            assert len(writers) <= 1, f"{writers} at {loop.time()}"
            if writers:
                name, now = writers[0], loop.time()
                if self.terms and self.terms[-1][0] == name:
                    self.terms[-1] = (name, self.terms[-1][1], now)
                else:
                    self.terms.append((name, now, now))
            await asyncio.sleep(0.02)

    def check(self) -> None:
        """Raise the failure, if there was one."""
        if self._task.done():
            self._task.result()
