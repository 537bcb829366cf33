"""Work over thousands of members that lets other passes go on in between."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

SLICE = 250
"""How many members are looked at before others may go on: a few milliseconds."""

T = TypeVar("T")


async def in_slices(items: Iterable[T]) -> AsyncIterator[T]:
    """Yield the items, and let other passes go on after each slice of them.

    Args:
        items: Must not change meanwhile; pass a copy of what others may change.
    """
    for number, item in enumerate(items, start=1):
        yield item
        if number % SLICE == 0:
            await asyncio.sleep(0)
