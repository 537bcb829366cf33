"""Turns the event loop's clock forward, so that an hour passes at once."""

import asyncio


def turn_clock(seconds: float) -> None:
    """Turn the clock of the running loop forward by `seconds`.

    Calls that are in progress would time out, so there should be none.
    """
    loop = asyncio.get_running_loop()
    before = loop.time

    def later() -> float:
        return before() + seconds

    loop.time = later  # type: ignore[method-assign]
