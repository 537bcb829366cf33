"""Takes out of a watch what is known already, before kopf gets to see it.

Two of three events are echoes of the operator's own writes, whose answers it has stored
before their events arrive. kopf starts a task for each event that it is given, which
takes ten times as long as reading the event, and then the handlers would drop it.
"""

import json
from collections.abc import AsyncIterator
from typing import Any, Self

import aiohttp

from zitadel_notification_operator.core.kinds import Kind

from .unknown_items import IsKnown, is_known_item

_CHANGES = frozenset({"ADDED", "MODIFIED"})
"""The events that may be left out: a deletion is news, however old its version is, and
a bookmark tells kopf from where to watch after the next interruption."""


class ShortWatch:
    """The answer to a watch with fewer events; it has the members that kopf uses.

    Args:
        answer: The answer, whose body has not been read.
        kind: The kind of the objects.
        is_known: Decides about each event.

    Attributes:
        status: The HTTP status.
        headers: The headers of the whole answer.
    """

    def __init__(
        self, answer: aiohttp.ClientResponse, kind: Kind, is_known: IsKnown
    ) -> None:
        self._answer, self._kind, self._is_known = answer, kind, is_known
        self.status, self.headers = answer.status, answer.headers

    @property
    def content(self) -> Self:
        """What kopf calls `iter_chunked` of."""
        return self

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Yield the lines of the events that are left.

        Args:
            size: The largest number of bytes that are read at once. A line may be
                longer.
        """
        rest = b""
        async for data in self._answer.content.iter_chunked(size):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if not self._is_old(line):
                    yield line + b"\n"
        if rest:
            yield rest

    def close(self) -> None:
        """Close the connection."""
        self._answer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._answer.release()

    def _is_old(self, line: bytes) -> bool:
        """Return whether a line tells nothing new; kopf judges what is no event."""
        try:
            event: Any = json.loads(line)
            return event["type"] in _CHANGES and is_known_item(
                event["object"], self._kind, self._is_known
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return False
