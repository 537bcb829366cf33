"""Counts the passes that run for the objects of each instance."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class RunningPasses:
    """The passes over policies, sets and events that run now, by their instance."""

    def __init__(self) -> None:
        self._running: Counter[str] = Counter()
        self._ended = asyncio.Event()

    @contextmanager
    def on(self, instance: str) -> Iterator[None]:
        """Count a pass while it runs."""
        self._running[instance] += 1
        try:
            yield
        finally:
            self._running[instance] -= 1
            if not self._running[instance]:
                del self._running[instance]
                self._ended.set()

    async def idle(self, instance: str) -> None:
        """Wait until no pass runs for the objects of an instance."""
        while self._running[instance]:
            self._ended.clear()
            await self._ended.wait()
