"""May this replica write now? Takes the lease, holds it, gives it up.

Judged by this machine's own clock alone. A standby counts from when it has *seen* the
record change; the leader counts from *before* it sent the renewal that went well. So
the leader always ends earlier than any standby begins, whatever the network does in
between (ADR 0010).
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Never, Protocol, TypeVar

from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.lease import (
    MARGIN,
    Lease,
    Timing,
    first_lease,
)

JITTER = 0.1
"""The largest part by which a wait is shortened at random."""

_NEVER = float("-inf")
_TRIES = 3

_log = logging.getLogger(__name__)

T = TypeVar("T")


class LeaseStore(Protocol):
    """Keeps the record. All methods raise `ClusterError` and nothing else."""

    async def read(self) -> Lease | None:
        """Return the record; None: there is none."""
        ...

    async def create(self, lease: Lease) -> Lease | None:
        """Store the first record; None: somebody else was faster."""
        ...

    async def update(self, lease: Lease) -> Lease | None:
        """Store it in place of its version; None: that is no longer the newest."""
        ...


class LeaseLost(Exception):
    """This replica must write nothing any more; the text says why."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """Where time and chance come from.

    Attributes:
        seconds: Never goes back, and goes on while the machine sleeps.
        now: The wall clock, for the record's readers only.
        chance: For jitter.
    """

    seconds: Callable[[], float]
    now: Callable[[], datetime]
    chance: random.Random = field(default_factory=random.Random)


class Leadership:
    """One replica's part in the election; for one term, then a new process.

    Args:
        store: Where the record is.
        identity: This process, as no other one ever.
        timing: How long things take.
        clocks: Of this machine.
    """

    def __init__(
        self, store: LeaseStore, identity: str, timing: Timing, clocks: Clocks
    ) -> None:
        self._store = store
        self._identity = identity
        self._timing = timing
        self._clocks = clocks
        self._lease: Lease | None = None
        self._seen = ""
        self._others_until = _NEVER
        self._renewed: float | None = None
        self._lost = False
        self._told = ""
        self.elected = asyncio.Event()

    @property
    def is_leader(self) -> bool:
        """Whether this replica has the lease, as far as it knows."""
        return self._renewed is not None

    def time_left(self) -> float:
        """Return the seconds for which this replica may write; none when not above 0.

        The last write must have ended by then, answer included.
        """
        if self._renewed is None:
            return 0.0
        end = self._renewed + self._timing.duration - MARGIN
        return end - self._clocks.seconds()

    async def run(self) -> Never:
        """Stand by until the lease is ours, say so by `elected`, then hold it.

        Raises:
            LeaseLost: It could not be renewed in time, or somebody else has it.
        """
        while True:
            wait = await self._try_to_acquire()
            if wait is None:
                break
            await asyncio.sleep(wait)
        _log.info("Leading as %s", self._identity)
        self.elected.set()
        while True:
            await asyncio.sleep(max(0.0, min(self._pause(), self._until_deadline())))
            await self._renew()

    async def release(self) -> None:
        """Give the lease up, so that the next one need not wait for its end.

        For after the last write. Does nothing once the lease is lost; a failure is
        logged, and the lease then ends by itself.
        """
        self._renewed = None
        if self._lost:
            return
        try:
            if await self._within(self._timing.call_timeout, self._give_up()):
                _log.info("Released the lease")
        except ClusterError as error:
            _log.warning("The lease was not released: %s", error.message)

    async def _try_to_acquire(self) -> float | None:
        """Look once; return the seconds until the next look, None when it is ours."""
        try:
            timeout = self._timing.call_timeout
            return await self._within(timeout, self._look())
        except ClusterError as error:
            self._tell(logging.WARNING, f"Standing by: {error.message}")
            return self._pause()

    async def _look(self) -> float | None:
        lease = await self._store.read()
        now = self._clocks.seconds()
        self._observe(lease, now)
        if now < self._others_until:
            if lease is not None:
                self._tell(logging.INFO, f"Standing by: {lease.holder} leads")
            return min(self._pause(), self._others_until - now)
        return None if await self._take(lease) else self._pause()

    def _observe(self, lease: Lease | None, now: float) -> None:
        """Note until when others may write: counted anew whenever the record changes.

        A record that vanishes frees nothing: its holder may not know yet.
        """
        if lease is None or lease.version == self._seen:
            return
        self._seen = lease.version
        ours = lease.holder in {"", self._identity}
        self._others_until = _NEVER if ours else now + lease.duration

    async def _take(self, lease: Lease | None) -> bool:
        """Store that it is ours, from now on; return whether that went well."""
        began, now = self._clocks.seconds(), self._clocks.now()
        if lease is None:
            first = first_lease(self._identity, self._timing, now)
            stored = await self._store.create(first)
        else:
            taken = lease.taken(self._identity, self._timing, now)
            stored = await self._store.update(taken)
        if stored is None:
            return False
        # From before the call: others may have seen it since.
        self._lease, self._renewed, self._told = stored, began, ""
        return True

    async def _renew(self) -> None:
        left = self._until_deadline()
        if left <= 0:
            self._lose(
                f"it could not be renewed for {self._timing.renew_deadline:.1f} s"
            )
        try:
            await self._within(min(left, self._timing.call_timeout), self._try_renew())
        except ClusterError as error:
            self._tell(logging.WARNING, f"The lease was not renewed: {error.message}")

    async def _try_renew(self) -> None:
        if await self._take(self._lease):
            return
        # Changed or gone: a try of ours that seemed to fail, a person, another one.
        lease = await self._store.read()
        if lease is not None and lease.holder != self._identity:
            self._lose(f"{lease.holder or 'nobody'} has it")
        self._lease = lease
        await self._take(lease)

    def _lose(self, why: str) -> Never:
        self._renewed, self._lost = None, True
        raise LeaseLost(f"The lease of {self._identity} is lost: {why}")

    async def _give_up(self) -> bool:
        """Return whether it was ours; also by a try that was cancelled."""
        for _ in range(_TRIES):
            lease = await self._store.read()
            if lease is None or lease.holder != self._identity:
                return False
            if await self._store.update(lease.released(self._clocks.now())):
                return True
        return False

    async def _within(self, seconds: float, call: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(seconds):
                return await call
        except TimeoutError as error:
            raise ClusterError("Kubernetes did not answer in time") from error

    def _until_deadline(self) -> float:
        renewed = _NEVER if self._renewed is None else self._renewed
        return renewed + self._timing.renew_deadline - self._clocks.seconds()

    def _pause(self) -> float:
        # Only ever shorter, so that the promised times hold with jitter, too.
        chance = self._clocks.chance.random()
        return self._timing.retry_period * (1 - JITTER * chance)

    def _tell(self, level: int, text: str) -> None:
        """Log once a cause, not once a try."""
        if text != self._told:
            self._told = text
            _log.log(level, "%s", text)
