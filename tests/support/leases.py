"""A Lease in memory, and the ways by which replicas reach it, good and bad ones."""

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


class Record:
    """What the API server holds."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.writes: list[tuple[float, str]] = []
        self._version = 0

    def store(self, lease: Lease) -> Lease:
        """Store it as the next version."""
        self._version += 1
        self.lease = replace(lease, version=str(self._version))
        self.writes.append((asyncio.get_running_loop().time(), lease.holder))
        return self.lease


class Way:
    """A `LeaseStore`: one replica's way to the record.

    Attributes:
        fault: What happens to calls: empty for nothing; `fail` before the effect;
            `lose` after it, the answer alone is lost; `hang` without any effect;
            `late`: the effect comes after the caller has given up.
    """

    def __init__(self, record: Record) -> None:
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
    """A replica's leadership, with clocks of its own, run as its process would."""

    def __init__(
        self, record: Record, name: str, duration: float = 15.0, *, wall: float = 0.0
    ) -> None:
        """Stand for election.

        Args:
            record: What is fought for.
            name: Its identity.
            duration: Of the lease, in seconds.
            wall: Seconds by which its wall clock is wrong.
        """
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        # No two machines' monotonic clocks agree.
        offset = random.Random(name).uniform(0, 1e6)

        def now() -> datetime:
            return loop.now() + timedelta(seconds=wall)

        self.name = name
        self.way = Way(record)
        clocks = Clocks(lambda: loop.time() + offset, now, random.Random(name))
        self.leadership = Leadership(self.way, name, Timing(duration), clocks)
        self.task = asyncio.create_task(self.leadership.run())
        self.ended_at: float | None = None
        self._killed = False
        self.task.add_done_callback(self._note_end)

    @property
    def may_write(self) -> bool:
        """Whether it would write to ZITADEL now."""
        return not self._killed and self.leadership.time_left() > 0

    async def stop(self) -> None:
        """End as on SIGTERM, with no pass that runs."""
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


class Witness:
    """Looks at all candidates all the time."""

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        self.candidates = list(candidates)
        self.terms: list[tuple[str, float, float]] = []
        self._task = asyncio.create_task(self._look())

    async def stop(self) -> list[tuple[str, float, float]]:
        """Return the terms: who may have written from when to when; seconds."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        return self.terms

    async def _look(self) -> None:
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
        """Raise what it has seen."""
        if self._task.done():
            self._task.result()
