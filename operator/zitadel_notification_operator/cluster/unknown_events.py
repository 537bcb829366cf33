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

from .unknown_items import IsKnown, version_of

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

        After the last line that is left out before a pause, a bookmark takes its place.
        So kopf learns how far it has read, as by any other event.

        Args:
            size: The largest number of bytes that are read at once. A line may be
                longer.
        """
        rest = b""
        async for data in self._answer.content.iter_chunked(size):
            *lines, rest = (rest + data).split(b"\n")
            left_out = ""
            for line in lines:
                left_out = self._version_if_known(line)
                if not left_out:
                    yield line + b"\n"
            if left_out:
                yield _bookmark(left_out)
        if rest:
            yield rest

    def close(self) -> None:
        """Close the connection."""
        self._answer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._answer.release()

    def _version_if_known(self, line: bytes) -> str:
        """Return the resourceVersion of what a line tells, if it tells nothing new.

        Otherwise return an empty text. kopf judges what is no event.
        """
        try:
            event: Any = json.loads(line)
            is_change = event["type"] in _CHANGES
            key, uid, version = version_of(event["object"])
        except (ValueError, TypeError, KeyError, AttributeError):
            return ""
        is_known = is_change and self._is_known(self._kind, key, uid, version)
        return version if is_known else ""


def _bookmark(version: str) -> bytes:
    """Return an event that says only how far a watch has come, as Kubernetes sends."""
    body = {"metadata": {"resourceVersion": version}}
    return json.dumps({"type": "BOOKMARK", "object": body}).encode() + b"\n"
