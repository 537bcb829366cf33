"""The event loop's clock, turned forward: an hour passes at once, on any machine."""

import asyncio


def turn_clock(seconds: float) -> None:
    """Let the running loop's clock go on from `seconds` later.

    Calls that are under way would time out, so there should be none.
    """
    loop = asyncio.get_running_loop()
    before = loop.time

    def later() -> float:
        return before() + seconds

    loop.time = later  # type: ignore[method-assign]
