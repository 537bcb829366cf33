"""Knows the passes that run for the objects of each instance."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class RunningPasses:
    """The passes over policies, sets and events that run now, by their instance."""

    def __init__(self) -> None:
        self._running: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    @contextmanager
    def on(self, instance: str) -> Iterator[None]:
        """Count a pass as running within the block."""
        ended = asyncio.Event()
        self._running[instance].add(ended)
        try:
            yield
        finally:
            ended.set()
            self._running[instance].discard(ended)
            if not self._running[instance]:
                del self._running[instance]

    def are_any(self, instance: str) -> bool:
        """Return whether a pass runs for the objects of an instance."""
        return instance in self._running

    async def idle(self, instance: str) -> None:
        """Wait until the passes that run now are over; others may begin meanwhile."""
        for ended in tuple(self._running.get(instance, ())):
            await ended.wait()
