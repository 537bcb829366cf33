"""A keyed work queue: each key once, one pass for a key at a time, urgent ones first.

The queue is level-triggered: a key means that its object needs a pass, never what
happened. A key that is added while its pass runs gets another pass after it. Delayed
keys come back when they are due; the earliest due time wins.

Keys are in lanes, and each lane may only run a limited number of passes at once, so
passes that hang in one lane do not block the others. Within a lane deletions go before
changes, and both before retries and drift checks. Of those two, retries go first until
a drift check has waited for `DRIFT_PATIENCE`, so endless retries starve nobody. Retries
may take only a part of a lane's turns; otherwise five hundred hanging retries would
keep all turns from an edit.
"""

import asyncio
import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from itertools import count
from typing import NamedTuple

from .clock import loop_time
from .engine_metrics import PassMetrics
from .keys import Key

DRIFT_PATIENCE = 30.0
"""Seconds for which retries may go before a drift check that is due."""


class Priority(IntEnum):
    """What goes first when there is more work than a lane has turns."""

    DELETE = 0
    CHANGE = 1
    RETRY = 2
    DRIFT = 3


class _Place(NamedTuple):
    """The position of a waiting key; compares in the order of turns."""

    rank: int
    due: float
    order: int


class _Heap(NamedTuple):
    """Names a heap of waiting keys: a lane has one for retries, one for all else."""

    lane: str
    retries: bool


class WorkQueue:
    """The queue; belongs to one event loop, whose clock it uses (seconds).

    Args:
        metrics: Receives callbacks about what happens to keys.
    """

    def __init__(self, metrics: PassMetrics) -> None:
        self._metrics = metrics
        self._ready: dict[_Heap, list[tuple[_Place, Key]]] = defaultdict(list)
        self._waiting: dict[Key, tuple[Priority, _Place]] = {}
        self._running: dict[Key, Priority | None] = {}
        self._later: dict[Key, tuple[float, Priority, asyncio.TimerHandle]] = {}
        self._failures: dict[Key, int] = {}
        self._priority_at_start: dict[Key, Priority] = {}
        self._turns: dict[Key, _Heap] = {}
        self._resting: dict[Key, asyncio.Event] = {}
        self._busy: Counter[_Heap] = Counter()
        self._order = count()
        self._news = asyncio.Event()
        self._lane_of: Callable[[Key], str] = lambda _: ""
        self._retries_of: Callable[[str], int] = lambda _: 1
        self._width: int | None = None
        self._open = True

    def __len__(self) -> int:
        """Return the number of keys that could run now but have no turn yet."""
        return len(self._waiting)

    def __contains__(self, key: Key) -> bool:
        """Return whether a pass over the key runs, waits, or is scheduled."""
        return key in self._running or key in self._waiting or key in self._later

    def waiting(self) -> list[tuple[Key, Priority]]:
        """Return the keys that could run now but have no turn yet."""
        return [(key, known[0]) for key, known in self._waiting.items()]

    def is_running(self, key: Key) -> bool:
        """Return whether a pass over the key is under way."""
        return key in self._running

    def is_asked_again(self, key: Key) -> bool:
        """Return whether the key was added since its pass, which runs, began."""
        return self._running.get(key) is not None

    @contextmanager
    def resting(self, key: Key) -> Iterator[asyncio.Event]:
        """Give the turn of a running pass to another key, for the rest of that pass.

        The number of passes that have given up their turns is not limited here.

        Yields:
            An event that is set when the key is added again.
        """
        self._give_back(key)
        self._news.set()
        self._resting[key] = asyncio.Event()
        try:
            yield self._resting[key]
        finally:
            del self._resting[key]

    def urgency(self, key: Key) -> Priority:
        """Return the priority that a running pass has now.

        That is the priority with which its key was handed out, or a more urgent one
        that was added since, because the next pass has to wait for this one. A key
        without a pass counts as a retry.
        """
        given = self._priority_at_start.get(key, Priority.RETRY)
        again = self._running.get(key)
        return given if again is None else min(given, again)

    @property
    def active(self) -> int:
        """The number of keys that have a pass now."""
        return len(self._running)

    def next_due(self) -> float | None:
        """Return the loop time at which the next scheduled key is due, if any is."""
        return min((due for due, *_ in self._later.values()), default=None)

    def divide(
        self,
        lane_of: Callable[[Key], str],
        width: int,
        retries_of: Callable[[str], int],
    ) -> None:
        """Divide keys into lanes; without this there is one lane without a limit.

        Args:
            lane_of: Returns the name of a key's lane.
            width: The number of passes that one lane may run at once.
            retries_of: Returns how many of them may be retries, by lane; at least 1.
        """
        self._lane_of, self._width, self._retries_of = lane_of, width, retries_of

    def add(self, key: Key, priority: Priority) -> None:
        """Queue a pass that runs as soon as it can have a turn."""
        if not self._open:
            return
        self._cancel_later(key)
        if key in self._running:
            again = self._running[key]
            self._running[key] = priority if again is None else min(again, priority)
            if key in self._resting:
                self._resting[key].set()
            return
        known = self._waiting.get(key)
        if known is not None and known[0] <= priority:
            return
        if known is None:
            self._metrics.added(key)
        place = self._place(priority)
        self._waiting[key] = (priority, place)
        heap = _Heap(self._lane_of(key), priority is Priority.RETRY)
        heapq.heappush(self._ready[heap], (place, key))
        self._news.set()

    def add_after(self, key: Key, delay: float, priority: Priority) -> None:
        """Schedule a pass in `delay` seconds, unless an earlier one is scheduled."""
        if not self._open:
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + delay
        known = self._later.get(key)
        if known is not None and known[0] <= due:
            return
        if key in self._waiting:
            return
        self._cancel_later(key)
        handle = loop.call_later(delay, self._due, key, priority)
        self._later[key] = (due, priority, handle)

    async def get(self) -> Key:
        """Wait for a key; the caller must call `done` for it."""
        while True:
            heap = self._next_heap()
            if heap is not None:
                _, key = heapq.heappop(self._ready[heap])
                if not self._ready[heap]:
                    del self._ready[heap]
                self._priority_at_start[key] = self._waiting.pop(key)[0]
                self._running[key] = None
                self._turns[key] = heap
                self._busy[heap] += 1
                self._metrics.taken(key)
                return key
            self._news.clear()
            await self._news.wait()

    def begin(self, key: Key) -> None:
        """Begin the pass of a key from `get`; it covers what was added since then."""
        self._priority_at_start[key] = self.urgency(key)
        self._running[key] = None

    def done(self, key: Key) -> None:
        """End the pass of a key; the key is queued again if it was added meanwhile."""
        again = self._running.pop(key)
        del self._priority_at_start[key]
        self._metrics.done(key)
        self._give_back(key)
        if again is not None:
            self.add(key, again)
        self._news.set()

    def _give_back(self, key: Key) -> None:
        """Give back the turn of a pass, unless it has done so already."""
        heap = self._turns.pop(key, None)
        if heap is None:
            return
        self._busy[heap] -= 1
        if not self._busy[heap]:
            del self._busy[heap]

    def failures(self, key: Key) -> int:
        """Return how many passes over the key have failed in a row."""
        return self._failures.get(key, 0)

    def failed(self, key: Key) -> int:
        """Count one more failure in a row and return their number."""
        self._failures[key] = self._failures.get(key, 0) + 1
        self._metrics.retried(key)
        return self._failures[key]

    def succeeded(self, key: Key) -> None:
        """Forget the failures of a key."""
        self._failures.pop(key, None)

    def forget(self, key: Key) -> None:
        """Drop everything that is known of a key that no longer exists."""
        self._cancel_later(key)
        if self._waiting.pop(key, None) is not None:
            self._metrics.dropped(key)
        self._failures.pop(key, None)

    def close(self) -> None:
        """Drop all waiting and scheduled keys, and accept none until `open`."""
        self._open = False
        for key in list(self._later):
            self._cancel_later(key)
        self._waiting.clear()
        self._ready.clear()

    def open(self) -> None:
        """Accept keys again."""
        self._open = True

    def _place(self, priority: Priority) -> _Place:
        due = loop_time()
        if priority is Priority.DRIFT:
            due += DRIFT_PATIENCE
        rank = min(priority, Priority.RETRY)
        return _Place(rank, due, next(self._order))

    def _next_heap(self) -> _Heap | None:
        """Return the heap whose turn it is, or None if nothing may run now."""
        first: tuple[_Place, _Heap] | None = None
        for heap in list(self._ready):
            place = self._first_of(heap)
            if place is None or self._is_full(heap):
                continue
            if first is None or place < first[0]:
                first = (place, heap)
        return first[1] if first else None

    def _is_full(self, heap: _Heap) -> bool:
        """Return whether a lane, or its part for retries, has all its turns taken."""
        if self._width is None:
            return False
        retries = self._busy[_Heap(heap.lane, retries=True)]
        if heap.retries and retries >= self._retries_of(heap.lane):
            return True
        return retries + self._busy[_Heap(heap.lane, retries=False)] >= self._width

    def _first_of(self, heap: _Heap) -> _Place | None:
        """Return the first place of a heap, after removing outdated ones."""
        places = self._ready[heap]
        while places:
            place, key = places[0]
            known = self._waiting.get(key)
            if known is not None and known[1] is place:
                return place
            heapq.heappop(places)
        del self._ready[heap]
        return None

    def _due(self, key: Key, priority: Priority) -> None:
        self._later.pop(key, None)
        self.add(key, priority)

    def _cancel_later(self, key: Key) -> None:
        known = self._later.pop(key, None)
        if known is not None:
            known[2].cancel()
