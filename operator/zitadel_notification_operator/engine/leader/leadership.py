"""Leader election: acquires the lease, renews it and releases it.

It uses this machine's own clock only. A standby counts from when it has *seen* the
record change; the leader counts from *before* it sent the renewal that succeeded. So
the leader always stops earlier than any standby starts, whatever the network does in
between (ADR 0010).
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Never, Protocol, TypeVar

from zitadel_notification_operator.core.backoff import BOUND
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.lease import MARGIN, Lease, Timing, first_lease

JITTER = 0.1
"""The largest part by which a wait is shortened at random."""

_NEVER = float("-inf")
_TRIES = 3

_log = logging.getLogger(__name__)

T = TypeVar("T")


class LeaseStore(Protocol):
    """Stores the record. All methods raise `ClusterError` and nothing else."""

    async def read(self) -> Lease | None:
        """Return the record, or None if there is none."""

    async def create(self, lease: Lease) -> Lease | None:
        """Store the first record; return None if somebody else was first."""

    async def update(self, lease: Lease) -> Lease | None:
        """Replace this version of the record; return None if there is a newer one."""


class LeaseLost(Exception):
    """This replica must not write any longer; the text says why."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """The sources of time and chance.

    Attributes:
        seconds: Never goes back, and goes on while the machine sleeps.
        now: The wall clock, for the readers of the record only.
        chance: The source of jitter.
    """

    seconds: Callable[[], float]
    now: Callable[[], datetime]
    chance: random.Random = field(default_factory=random.Random)


class Leadership:
    """One replica's part in the election, for one term; then the process must restart.

    Args:
        store: Stores the record.
        identity: The name of this process, which no other process ever has.
        timing: The durations of the election.
        clocks: The clocks of this machine.
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
        self._logged = self._failure = ""
        self.elected = asyncio.Event()
        self.went_back: Callable[[], None] = lambda: None
        """Called when the record is older than before: Kubernetes was restored."""

    @property
    def is_leader(self) -> bool:
        """Whether this replica has the lease, as far as it knows."""
        return self._renewed is not None

    def time_left(self) -> float:
        """Return the seconds for which this replica may write; 0 or less means none.

        The last write must have ended by then, including its answer.
        """
        if self._renewed is None:
            return 0.0
        end = self._renewed + self._timing.duration - MARGIN
        return end - self._clocks.seconds()

    async def run(self) -> Never:
        """Stand by until this replica has the lease, set `elected`, then renew it.

        Raises:
            LeaseLost: It could not be renewed in time, or another replica has it.
        """
        while True:
            wait = await self._try_to_acquire()
            if wait is None:
                break
            await asyncio.sleep(wait)
        _log.info("Leading as %s", self._identity)
        self.elected.set()
        asked: float | None = None
        while True:
            pause = min(self._pause(asked), self._until_deadline())
            await asyncio.sleep(max(0.0, pause))
            asked = await self._renew()

    async def release(self) -> None:
        """Release the lease, so that the next leader need not wait for its end.

        Call this after the last write. It does nothing once the lease is lost. A
        failure is logged, and the lease then expires by itself.
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
        """Try once; return the seconds until the next try, or None with the lease."""
        try:
            timeout = self._timing.call_timeout
            return await self._within(timeout, self._look())
        except ClusterError as error:
            self._complain("Standing by", error)
            return self._pause(error.retry_after)

    async def _look(self) -> float | None:
        lease = await self._store.read()
        now = self._clocks.seconds()
        self._observe(lease, now)
        if now < self._others_until:
            if lease is not None:
                self._tell(logging.INFO, "Standing by", f"{lease.holder} leads")
            return min(self._pause(), self._others_until - now)
        return None if await self._take(lease) else self._pause()

    def _observe(self, lease: Lease | None, now: float) -> None:
        """Record until when the holder may write; each change of the Lease extends it.

        If the record vanishes, the lease is not free: its holder may not know yet.
        """
        if lease is None or lease.version == self._seen:
            return
        self._compare(lease.version, self._seen)
        self._seen = lease.version
        ours = lease.holder in {"", self._identity}
        self._others_until = _NEVER if ours else now + lease.duration

    async def _take(self, lease: Lease | None) -> bool:
        """Store this replica as the holder from now on; return whether that worked."""
        began, now = self._clocks.seconds(), self._clocks.now()
        if lease is None:
            first = first_lease(self._identity, self._timing, now)
            stored = await self._store.create(first)
        else:
            taken = lease.taken(self._identity, self._timing, now)
            stored = await self._store.update(taken)
        if stored is None:
            return False
        # Count from before the call, because others may have seen the record since.
        self._lease, self._renewed, self._logged = stored, began, ""
        return True

    async def _renew(self) -> float | None:
        """Renew once; return the seconds that Kubernetes asks us to wait, if any."""
        left = self._until_deadline()
        if left <= 0:
            seconds = f"{self._timing.renew_deadline:.1f} s"
            why = f": {self._failure}" if self._failure else ""
            self._lose(f"it could not be renewed for {seconds}{why}")
        limit = min(left, self._timing.call_timeout)
        try:
            await self._within(limit, self._try_renew())
        except ClusterError as error:
            if limit == self._timing.call_timeout or not self._failure:
                # A try that the deadline has cut short says less than the one before.
                self._failure = error.message
            self._complain("The lease was not renewed", error)
            # The deadline is nearer than most waits that may be asked for. Half of the
            # time left leaves room for one more try.
            return min(error.retry_after or 0.0, self._until_deadline() / 2)
        self._failure = ""
        return None

    async def _try_renew(self) -> None:
        if await self._take(self._lease):
            return
        # The record has changed or is gone: by a call of ours that seemed to fail, a
        # person, or another replica.
        lease = await self._store.read()
        if lease is not None and lease.holder != self._identity:
            self._lose(f"{lease.holder or 'nobody'} has it")
        if lease is not None and self._lease is not None:
            self._compare(lease.version, self._lease.version)
        self._lease = lease
        await self._take(lease)

    def _compare(self, version: str, before: str) -> None:
        """Call `went_back` if a record that was read is older than the last one."""
        if version.isdigit() and before.isdigit() and int(version) < int(before):
            self.went_back()

    def _lose(self, why: str) -> Never:
        self._renewed, self._lost = None, True
        raise LeaseLost(f"The lease of {self._identity} is lost: {why}")

    async def _give_up(self) -> bool:
        """Return whether the lease was ours, also by a call that was cancelled."""
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

    def _pause(self, asked: float | None = None) -> float:
        # Jitter only makes it shorter, so the promised times hold.
        chance = self._clocks.chance.random()
        pause = self._timing.retry_period * (1 - JITTER * chance)
        return max(pause, min(asked or 0.0, BOUND))

    def _complain(self, what: str, error: ClusterError) -> None:
        """Log a failure, as a warning only if its cause has not been logged before."""
        news = error.claim_logging()
        self._tell(logging.WARNING if news else logging.DEBUG, what, error.message)

    def _tell(self, level: int, what: str, text: str) -> None:
        """Log each cause once, not with each try."""
        if text != self._logged:
            self._logged = text
            _log.log(level, "%s: %s", what, text)
