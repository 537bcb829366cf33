"""Work over thousands of objects that lets other tasks go on in between.

Without that, a hundred thousand policies would keep the event loop for seconds, and
with it the answers to the kubelet and the renewal of the lease.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

SLICE = 250
"""How many objects are looked at before others may go on: a few milliseconds."""

T = TypeVar("T")


async def in_slices(items: Iterable[T]) -> AsyncIterator[T]:
    """Yield the items, and let other tasks go on after each slice of them.

    Args:
        items: Must not change meanwhile; pass a copy of what others may change.
    """
    for number, item in enumerate(items, start=1):
        yield item
        if number % SLICE == 0:
            await asyncio.sleep(0)
