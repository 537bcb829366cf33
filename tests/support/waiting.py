"""Waiting for a condition with a deadline, instead of sleeping."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(
    ask: Callable[[], T], timeout: float = 20.0, what: str = "", every: float = 0.05
) -> T:
    """Ask until the answer is true; return it; fail after `timeout` seconds.

    Where an answer costs as much as what is waited for, ask less often: `every` is the
    number of seconds between two questions.
    """
    deadline = time.monotonic() + timeout
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"Not within {timeout} s: {what or ask} ({answer!r})")
        time.sleep(every)


async def soon(ask: Callable[[], T], patience: float = 10.0, what: str = "") -> T:
    """Do the same without blocking the event loop."""
    deadline = time.monotonic() + patience
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"Not within {patience} s: {what or ask} ({answer!r})")
        await asyncio.sleep(0.01)
