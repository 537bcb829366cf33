"""A keyed work queue: each key once, one pass at a time, the urgent first.

Level-triggered: a key says "look at it", never what happened. A key that is added
while its pass runs is looked at again after it. Delayed keys come back when due;
the earliest wish wins.
"""

import asyncio
import heapq
from collections.abc import Hashable
from enum import IntEnum
from itertools import count
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Priority(IntEnum):
    """What goes first when there is more than the workers can take."""

    DELETE = 0
    CHANGE = 1
    RETRY = 2
    DRIFT = 3


class WorkQueue(Generic[K]):
    """The queue; belongs to one event loop, whose clock it uses (seconds)."""

    def __init__(self) -> None:
        self._ready: list[tuple[Priority, int, K]] = []
        self._waiting: dict[K, Priority] = {}
        self._running: dict[K, Priority | None] = {}
        self._later: dict[K, tuple[float, Priority, asyncio.TimerHandle]] = {}
        self._failures: dict[K, int] = {}
        self._order = count()
        self._news = asyncio.Event()

    def __len__(self) -> int:
        """Return how many keys could run now but have no worker yet."""
        return len(self._waiting)

    @property
    def active(self) -> int:
        """How many keys are being looked at now."""
        return len(self._running)

    def add(self, key: K, priority: Priority) -> None:
        """Ask for a pass as soon as there is a worker."""
        self._cancel_later(key)
        if key in self._running:
            again = self._running[key]
            self._running[key] = priority if again is None else min(again, priority)
            return
        standing = self._waiting.get(key)
        if standing is not None and standing <= priority:
            return
        self._waiting[key] = priority
        heapq.heappush(self._ready, (priority, next(self._order), key))
        self._news.set()

    def add_after(self, key: K, delay: float, priority: Priority) -> None:
        """Ask for a pass in `delay` seconds, unless an earlier one is wished."""
        loop = asyncio.get_running_loop()
        due = loop.time() + delay
        standing = self._later.get(key)
        if standing is not None and standing[0] <= due:
            return
        if key in self._waiting:
            return
        self._cancel_later(key)
        handle = loop.call_later(delay, self._due, key, priority)
        self._later[key] = (due, priority, handle)

    async def get(self) -> K:
        """Wait for a key; the caller must answer with `done`."""
        while True:
            while self._ready:
                priority, _, key = heapq.heappop(self._ready)
                if self._waiting.get(key) is priority:
                    del self._waiting[key]
                    self._running[key] = None
                    return key
            self._news.clear()
            await self._news.wait()

    def done(self, key: K) -> None:
        """End the pass of a key; it comes back if it was added meanwhile."""
        again = self._running.pop(key)
        if again is not None:
            self.add(key, again)

    def failures(self, key: K) -> int:
        """Return how many passes over the key have failed in a row."""
        return self._failures.get(key, 0)

    def failed(self, key: K) -> int:
        """Count one more failure in a row; return how many."""
        self._failures[key] = self._failures.get(key, 0) + 1
        return self._failures[key]

    def succeeded(self, key: K) -> None:
        """Forget the failures of a key."""
        self._failures.pop(key, None)

    def forget(self, key: K) -> None:
        """Drop all that is known of a key that no longer exists."""
        self._cancel_later(key)
        self._waiting.pop(key, None)
        self._failures.pop(key, None)

    def clear_timers(self) -> None:
        """Cancel all delayed keys, at the end."""
        for key in list(self._later):
            self._cancel_later(key)

    def _due(self, key: K, priority: Priority) -> None:
        self._later.pop(key, None)
        self.add(key, priority)

    def _cancel_later(self, key: K) -> None:
        standing = self._later.pop(key, None)
        if standing is not None:
            standing[2].cancel()
