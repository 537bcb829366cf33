"""Waiting for a condition with a deadline, instead of sleeping."""

import asyncio
import time
from collections.abc import Callable
from typing import Literal, TypeVar

T = TypeVar("T")

BUSY = 3.0
"""How many times longer than on an idle machine a wait may last before it fails.

On a machine with other load, everything that a test waits for takes longer. A test of a
promised time measures that time itself and does not rely on this limit.
"""

SHORTEST, GROWTH, LONGEST = 0.02, 1.3, 0.2
"""Seconds of the first pause, the factor by which pauses grow, and the longest."""


def eventually(
    ask: Callable[[], T | Literal[False] | None],
    timeout: float = 20.0,
    what: str = "",
    every: float = 0.0,
) -> T:
    """Call `ask` until its result is true, and return it.

    At first it is called often, then more and more seldom. Most of what tests wait for
    comes at once. The rest takes seconds, in which many calls would take the processor
    from what they wait for.

    Args:
        ask: Returns something falsy as long as the test has to wait.
        timeout: Seconds that this takes at most on an idle machine; the wait fails
            after `BUSY` times as many.
        what: What the test waits for; used in the message.
        every: Seconds between two calls; 0 for the growing pauses. They should be
            longer if a call costs as much as the work that the test waits for.

    Raises:
        AssertionError: The result stayed falsy.
    """
    limit = BUSY * timeout
    deadline = time.monotonic() + limit
    pause = every or SHORTEST
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"Not within {limit} s: {what or ask} ({answer!r})")
        time.sleep(pause)
        if not every:
            pause = min(pause * GROWTH, LONGEST)


async def soon(ask: Callable[[], T], patience: float = 10.0, what: str = "") -> T:
    """Do what `eventually` does without blocking the event loop."""
    limit = BUSY * patience
    deadline = time.monotonic() + limit
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"Not within {limit} s: {what or ask} ({answer!r})")
        await asyncio.sleep(0.01)
