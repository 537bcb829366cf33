"""Decides whose turn it is to write to a ZITADEL.

ZITADEL's read side may miss an event for good when writes overlap. So writes to one
ZITADEL go one at a time, or as many as the administrator allows
(docs/concepts/two-sides.md). Turns are kept by ZITADEL's own id, because several
ZitadelInstances may reach the same one.

A write without an answer may still take effect. The next one waits until that is over:
writes carry a time limit, and ZITADEL obeys it.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count

from zitadel_notification_operator.core.errors import TransientError
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.queue.clock import loop_time
from zitadel_notification_operator.engine.queue.outcome import StalePass
from zitadel_notification_operator.engine.queue.workqueue import (
    DRIFT_PATIENCE,
    Priority,
)

WRITE_LIMIT = 10.0
"""Seconds that a write may take at most, if no other limit is given."""

LOOK = 0.05
"""Seconds between two looks at whether the writes to a ZITADEL are over."""

MARGIN = 1.0
"""Seconds after that limit until a write without an answer is certainly over."""


def writes_at_once(inventory: Inventory, zitadel_id: str) -> int:
    """Return how many writes one ZITADEL may get at once.

    Args:
        inventory: Says which instances reach it now, and what their specs allow.
        zitadel_id: ZITADEL's own id.

    Returns:
        The smallest number of all instances that reach it; 1 if none is known to.
    """
    limits = [
        instance.rate_limit.max_concurrent_writes
        for instance in inventory.instances.values()
        if inventory.leads_to(instance.name, zitadel_id)
    ]
    return max(1, min(limits, default=1))


class Turn:
    """The turn of one write.

    Attributes:
        sent_at: Loop time at which the write was sent, or None if it was not.
        waited: Seconds that it has waited for its turn.
    """

    def __init__(self, waited: float) -> None:
        self.sent_at: float | None = None
        self.waited = waited

    def sent(self) -> None:
        """Record that the write is sent now."""
        self.sent_at = loop_time()


@dataclass(slots=True)
class _Waiter:
    """A write that waits.

    Attributes:
        urgency: Returns its priority now, as an edit may arrive while it waits.
        since: Loop time at which it began to wait.
        order: Decides between writes that began at the same time.
        granted: Done when it is its turn, or when no more turns are given.
        holds: Whether it has a turn, which it must give back.
    """

    urgency: Callable[[], Priority]
    since: float
    order: int
    granted: asyncio.Future[None]
    holds: bool = False

    def place(self) -> tuple[int, float, int]:
        """Return its position, by the same order as in the work queue.

        A drift check goes after retries, but not for ever.
        """
        priority, due = self.urgency(), self.since
        if priority is Priority.DRIFT:
            due += DRIFT_PATIENCE
        return min(priority, Priority.RETRY), due, self.order


@dataclass(slots=True)
class _TurnQueue:
    """The writes to one ZITADEL.

    Attributes:
        busy: The number of writes under way.
        waiting: The writes that wait.
        free_at: Loop time before which no other write may begin.
        alarm: The timer for that moment, if one is set.
    """

    busy: int = 0
    waiting: list[_Waiter] = field(default_factory=list)
    free_at: float = float("-inf")
    alarm: asyncio.TimerHandle | None = None

    @property
    def is_taken(self) -> bool:
        """Whether a write is under way or waits."""
        return bool(self.busy or self.waiting)


class WriteTurns:
    """Gives turns to writes; belongs to one event loop, whose clock it uses.

    Args:
        limit_of: Returns how many writes a ZITADEL may get at once, by its id; called
            for each write.
        write_limit: Seconds that a write may take; the adapter gives it no more.
    """

    def __init__(
        self, limit_of: Callable[[str], int], write_limit: float = WRITE_LIMIT
    ) -> None:
        self._limit_of = limit_of
        self._write_limit = write_limit
        self._lines: dict[str, _TurnQueue] = {}
        self._listeners: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._order = count()
        self._ended = False

    def __len__(self) -> int:
        """Return the number of ZITADELs about which anything is remembered."""
        return len(self._lines)

    def end(self) -> None:
        """Dismiss all waiting writes and give no more turns, to stop the process."""
        self._ended = True
        for zitadel_id in list(self._listeners):
            self._tell(zitadel_id)
        for line in self._lines.values():
            for waiter in line.waiting:
                if not waiter.granted.done():
                    # Not by an exception: a task that is cancelled now would never
                    # retrieve it.
                    waiter.granted.set_result(None)

    def are_taken(self, zitadel_id: str) -> bool:
        """Return whether a write is under way or waits; False when no turn is given."""
        line = self._lines.get(zitadel_id)
        return line is not None and not self._ended and line.is_taken

    @contextmanager
    def telling_when_free(self, zitadel_id: str, news: asyncio.Event) -> Iterator[None]:
        """Set the event, within the block, each time when no write is left.

        Args:
            zitadel_id: ZITADEL's own id.
            news: The event. It is also set when no more turns are given.
        """
        self._listeners[zitadel_id].add(news)
        try:
            yield
        finally:
            self._listeners[zitadel_id].remove(news)
            if not self._listeners[zitadel_id]:
                del self._listeners[zitadel_id]

    def _tell(self, zitadel_id: str) -> None:
        for news in self._listeners.get(zitadel_id, ()):
            news.set()

    async def settled(self, zitadel_id: str) -> None:
        """Wait until the writes that were sent to a ZITADEL by now are certainly over.

        Others may begin meanwhile; they are not waited for.
        """
        end = loop_time() + self._write_limit + MARGIN
        while (line := self._lines.get(zitadel_id)) is not None:
            left = max(line.free_at, loop_time()) - loop_time()
            if not (line.busy or left) or loop_time() >= end:
                return
            await asyncio.sleep(left or LOOK)

    @asynccontextmanager
    async def turn(
        self, zitadel_id: str, urgency: Callable[[], Priority]
    ) -> AsyncIterator[Turn]:
        """Hold a turn for one write.

        Args:
            zitadel_id: ZITADEL's own id.
            urgency: Returns the priority of the pass that writes.

        Raises:
            StalePass: The process is stopping.
        """
        if self._ended:
            raise StalePass
        began = loop_time()
        await self._wait(zitadel_id, urgency)
        turn, is_open = Turn(loop_time() - began), False
        try:
            yield turn
        except TransientError as error:
            is_open = error.maybe_done
            raise
        except asyncio.CancelledError:
            is_open = True  # nobody waits for the answer any longer
            raise
        finally:
            line = self._lines[zitadel_id]
            if is_open and turn.sent_at is not None:
                over = turn.sent_at + self._write_limit + MARGIN
                line.free_at = max(line.free_at, over)
            line.busy -= 1
            self._go_on(zitadel_id)

    async def _wait(self, zitadel_id: str, urgency: Callable[[], Priority]) -> None:
        """Wait for a turn, which counts as taken when this returns."""
        line = self._lines.setdefault(zitadel_id, _TurnQueue())
        granted = asyncio.get_running_loop().create_future()
        waiter = _Waiter(urgency, loop_time(), next(self._order), granted)
        line.waiting.append(waiter)
        self._go_on(zitadel_id)
        try:
            await granted
            if not waiter.holds:
                raise StalePass  # noqa: TRY301 - cleaned up below like the others
        except BaseException:
            if waiter.holds:
                line.busy -= 1  # it has the turn, but was cancelled
            elif waiter in line.waiting:
                line.waiting.remove(waiter)
            if zitadel_id in self._lines:
                self._go_on(zitadel_id)
            raise

    def _go_on(self, zitadel_id: str) -> None:
        """Give the free turns; forget a ZITADEL without any writes."""
        line = self._lines[zitadel_id]
        while self._may_begin(line, zitadel_id):
            first = min(line.waiting, key=_Waiter.place)
            line.waiting.remove(first)
            if not first.granted.done():
                line.busy += 1
                first.holds = True
                first.granted.set_result(None)
        left = line.free_at - loop_time()
        if line.alarm is None and left > 0:
            loop = asyncio.get_running_loop()
            line.alarm = loop.call_later(left, self._wake, zitadel_id)
        if not line.is_taken:
            self._tell(zitadel_id)
            if line.alarm is None:
                del self._lines[zitadel_id]

    def _may_begin(self, line: _TurnQueue, zitadel_id: str) -> bool:
        if not line.waiting or line.free_at > loop_time():
            return False
        return line.busy < self._limit_of(zitadel_id)

    def _wake(self, zitadel_id: str) -> None:
        self._lines[zitadel_id].alarm = None
        self._go_on(zitadel_id)
