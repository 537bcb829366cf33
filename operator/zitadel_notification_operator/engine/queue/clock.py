"""The clock by which everything is due: the event loop's, in seconds."""

import asyncio


def loop_time() -> float:
    """Return the time of the running event loop."""
    return asyncio.get_running_loop().time()
