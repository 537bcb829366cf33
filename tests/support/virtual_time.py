"""An event loop whose clock jumps to the next timer: hours pass in milliseconds."""

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

Result = TypeVar("Result")

LOOK = 16
"""While callbacks are due, the loop looks for input only once in so many turns. To ask
the kernel takes longer than most callbacks, and hardly any test has input."""

START = datetime(2026, 1, 1, tzinfo=UTC)


class _Jumping(selectors.DefaultSelector):
    """Moves the clock to the next timer instead of waiting for it."""

    skipped = 0.0
    _busy = 0

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout == 0:
            self._busy += 1
            if self._busy % LOOK:
                return []
        ready = super().select(0)
        if not ready and timeout:
            self.skipped += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` and `now()` are virtual."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the virtual seconds since the start."""
        return self._jumping.skipped

    def freeze(self, seconds: float) -> None:
        """Let time pass while nothing runs, as in a stopped process."""
        self._jumping.skipped += seconds

    def now(self) -> datetime:
        """Return the virtual wall clock."""
        return START + timedelta(seconds=self.time())


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end on a virtual clock."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)
