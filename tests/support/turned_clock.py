"""Turns the event loop's clock forward, so that an hour passes at once."""

import asyncio

from support.replacing import instead_of


def turn_clock(seconds: float) -> None:
    """Turn the clock of the running loop forward by `seconds`.

    Calls that are in progress would time out, so there should be none.
    """
    loop = asyncio.get_running_loop()
    before = loop.time

    def later() -> float:
        return before() + seconds

    instead_of(loop.time).call(later)
