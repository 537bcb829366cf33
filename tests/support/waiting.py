"""Waiting for a condition with a deadline, instead of sleeping."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

BUSY = 3.0
"""How many times longer than on an idle machine a wait may last before it fails.

What a test waits for takes longer where other programs use the processors. A promise
about time is checked by its own figure, not by how long a test is ready to wait.
"""


def eventually(
    ask: Callable[[], T], timeout: float = 20.0, what: str = "", every: float = 0.05
) -> T:
    """Ask until the answer is true; return it; fail after `BUSY` times `timeout`.

    Args:
        ask: Returns something that is false as long as there is a reason to wait.
        timeout: Seconds within which an idle machine gets there.
        what: What is waited for, for the message.
        every: Seconds between two questions. Ask less often where an answer costs as
            much as what is waited for.

    Raises:
        AssertionError: The answer stayed false.
    """
    limit = BUSY * timeout
    deadline = time.monotonic() + limit
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"Not within {limit} s: {what or ask} ({answer!r})")
        time.sleep(every)


async def soon(ask: Callable[[], T], patience: float = 10.0, what: str = "") -> T:
    """Do the same without blocking the event loop."""
    limit = BUSY * patience
    deadline = time.monotonic() + limit
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"Not within {limit} s: {what or ask} ({answer!r})")
        await asyncio.sleep(0.01)
